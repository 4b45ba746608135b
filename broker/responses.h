/* responses.h - nermill-broker responses: the response log as a file that a replay answers from (recorded.h). */
#ifndef NM_BROKER_RESPONSES_H
#define NM_BROKER_RESPONSES_H

/* nm_responses_main - the program, from its own name on; its exit code. */
int nm_responses_main(int argc, char **argv);

#endif
