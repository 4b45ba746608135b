/* desk.h - how answers to the operator's commands look to people. */
#ifndef NM_CLI_DESK_H
#define NM_CLI_DESK_H

#include <jansson.h>

/* nm_desk_print - the answer to command ("dead", "peek", …) on stdout. */
void nm_desk_print(const char *command, const json_t *answer);

#endif
