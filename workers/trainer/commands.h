/* commands.h - the sub-commands of nermill-trainer: each has its options, prints its result, returns an exit code.
 *
 * argv[0] is the command's name.
 */
#ifndef NM_TRAINER_COMMANDS_H
#define NM_TRAINER_COMMANDS_H

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/evaluation.h"
#include "workers/trainer/trainer.h"

int nm_command_train(int argc, char **argv);
int nm_command_evaluate(int argc, char **argv);
int nm_command_score(int argc, char **argv);
int nm_command_predict(int argc, char **argv);
int nm_command_compare(int argc, char **argv);
int nm_command_serve(int argc, char **argv);
int nm_command_pull(int argc, char **argv); /* no command: --broker */

/* nm_command_fail - the line of diag (or of the code) on stderr, and the exit code. */
int nm_command_fail(const char *command, enum nm_err err, const struct nm_diag *diag);

/* nm_command_usage - a wrong command line: one line that says what, and where help is. */
int nm_command_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Numbers of options: false where the text is no number or out of range. */
bool nm_option_count(const char *text, uint64_t max, uint64_t *value);
bool nm_option_real(const char *text, double *value);
bool nm_option_share(const char *text, double *value); /* 0 to 1 */
bool nm_option_precision(const char *text, enum nm_precision *value);

/* nm_command_print_scores - a table for people, or one JSON object. */
void nm_command_print_scores(const struct nm_scores *scores, char *const *types, bool json);

void nm_command_print_evaluation(const struct nm_evaluation *e, char *const *types, bool json);

/* Set by SIGINT and SIGTERM once nm_command_catch_signals was called; a second one kills. */
extern volatile sig_atomic_t nm_command_stop;
void nm_command_catch_signals(void);

/* The options of a training, which train and the broker form share: the recipe's fields and a few more. */
enum { NM_TRAINING_OPTION = 256, NM_TRAINING_OPTIONS_MAX = 64 };

/* nm_training_options - own (n_own) and those of a training, and the end, into out. */
void nm_training_options(const struct option *own, size_t n_own, struct option out[NM_TRAINING_OPTIONS_MAX]);

/* nm_training_help - a line for each of them, on stdout. */
void nm_training_help(void);

/* nm_training_option - take one of these options; 1: taken, 0: not one of them, -1: bad value (said on stderr). */
int nm_training_option(struct nm_training *training, int option, const char *value);

/* nm_training_take - the recipe of a project. */
struct nm_project_trainer;
void nm_training_take(struct nm_training *training, const struct nm_project_trainer *p);

/* nm_command_join - training->comm; of several processes only the first one speaks.  nm_command_leave - and out of
 * it: a process that failed takes the others with it.  Returns code. */
void nm_command_join(struct nm_training *training);
int nm_command_leave(struct nm_training *training, int code);

/* nm_command_seeds - train once for each of the seeds ("13,14,15"), in training->out/seed-N, and write seeds.json
 * there: each one's scores on gold, mean and standard deviation.  What is there already is not trained again.
 * NM_EINVAL: no list of numbers, or no gold to score on; errors of nm_trainer_run. */
enum nm_err nm_command_seeds(const struct nm_training *training, const char *seeds, struct nm_diag *diag);

/* nm_command_report - what came of a training, on stdout. */
void nm_command_report(const struct nm_training *training, const struct nm_training_result *result);

#endif
