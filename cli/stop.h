/* stop.h - Ctrl-C, SIGTERM and SIGHUP: once to stop when one can, twice to stop now. */
#ifndef NM_CLI_STOP_H
#define NM_CLI_STOP_H

#include <stdbool.h>

/* nm_stop_catch - from now on they are counted.  Main thread, once. */
void nm_stop_catch(void);

bool nm_stop_asked(void);
bool nm_stop_hurried(void);

#endif
