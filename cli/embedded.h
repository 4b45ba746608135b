/* embedded.h - files of cli/embedded, built in. */
#ifndef NM_CLI_EMBEDDED_H
#define NM_CLI_EMBEDDED_H

#include "cli/templates.h"

/* nm_embedded_find - the file of that name, which is one of ours. */
const struct nm_template_file *nm_embedded_find(const char *name);

extern const struct nm_template_file nm_embedded_files[];
extern const size_t nm_embedded_count;

#endif
