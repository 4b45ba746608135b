/* commands.h - the commands that nermill itself has; each takes argv from its own name on and returns an exit code.
 */
#ifndef NM_CLI_COMMANDS_H
#define NM_CLI_COMMANDS_H

#include "cli/options.h"
#include "common/err.h"

int nm_command_init(int argc, char **argv);
int nm_command_validate(int argc, char **argv);
int nm_command_run(int argc, char **argv);
int nm_command_status(int argc, char **argv);
int nm_command_pause(int argc, char **argv);
int nm_command_resume(int argc, char **argv);
int nm_command_drain(int argc, char **argv);
int nm_command_limit(int argc, char **argv);
int nm_command_dead(int argc, char **argv);
int nm_command_peek(int argc, char **argv);
int nm_command_kick(int argc, char **argv);
int nm_command_bury(int argc, char **argv);
int nm_command_coverage(int argc, char **argv);
int nm_command_workers(int argc, char **argv);
int nm_command_batch(int argc, char **argv);
int nm_command_check(int argc, char **argv);
int nm_command_backup(int argc, char **argv);
int nm_command_evaluate(int argc, char **argv);
int nm_command_export(int argc, char **argv);
int nm_command_import(int argc, char **argv);
int nm_command_split(int argc, char **argv);
int nm_command_denoise(int argc, char **argv);
int nm_command_entities(int argc, char **argv);
int nm_command_match(int argc, char **argv);
int nm_command_augment(int argc, char **argv);
int nm_command_report(int argc, char **argv);
int nm_command_responses(int argc, char **argv);
int nm_command_experiment(int argc, char **argv);

/* nm_complain - "nermill COMMAND: text" on stderr; returns the exit code that belongs to err. */
int nm_complain(const char *command, enum nm_err err, const struct nm_diag *diag);

/* nm_complain_usage - "nermill COMMAND: what; see nermill COMMAND --help" on stderr; returns NM_EXIT_USAGE. */
int nm_complain_usage(const char *command, const char *what);

#endif
