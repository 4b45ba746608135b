/* tools.h - nermill-broker check and backup: what is done to a ledger without being its broker. */
#ifndef NM_BROKER_TOOLS_H
#define NM_BROKER_TOOLS_H

/* Each takes argv from its own name on and returns the exit code. */
int nm_tool_check(int argc, char **argv);
int nm_tool_backup(int argc, char **argv);

#endif
