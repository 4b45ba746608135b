/* commands.c - what the sub-commands share. */
#include "workers/trainer/commands.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/log.h"

#include "workers/trainer/scores_json.h"

volatile sig_atomic_t nm_command_stop;

static void on_signal(int sig)
{
    nm_command_stop = 1;
    signal(sig, SIG_DFL);
}

void nm_command_catch_signals(void)
{
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int nm_command_fail(const char *command, enum nm_err err, const struct nm_diag *diag)
{
    fprintf(stderr, "nermill-trainer %s: %s\n", command, diag->text[0] != '\0' ? diag->text : nm_err_name(err));
    return nm_exit_code(err);
}

int nm_command_usage(const char *command, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "nermill-trainer %s: ", command);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, " (nermill-trainer %s --help)\n", command);
    va_end(args);
    return NM_EXIT_USAGE;
}

void nm_command_join(struct nm_training *training)
{
    training->comm = nm_comm_init();
    if (nm_comm_rank(training->comm) > 0)
        (void)nm_log_set_level("warn");
}

int nm_command_leave(struct nm_training *training, int code)
{
    if (code != NM_EXIT_OK && code != NM_EXIT_SIGNAL) /* a signal stops all of them after the same step */
        nm_comm_abort(training->comm, code);
    nm_comm_destroy(&training->comm);
    return code;
}

bool nm_option_count(const char *text, uint64_t max, uint64_t *value)
{
    char *end;
    errno = 0;
    if (text[0] < '0' || text[0] > '9')
        return false;
    unsigned long long n = strtoull(text, &end, 10);
    *value = n;
    return errno == 0 && *end == '\0' && n <= max;
}

bool nm_option_real(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*value);
}

bool nm_option_share(const char *text, double *value)
{
    return nm_option_real(text, value) && *value >= 0 && *value <= 1;
}

bool nm_option_precision(const char *text, enum nm_precision *value)
{
    *value = strcmp(text, "bf16") == 0 ? NM_BF16 : NM_FP32;
    return *value == NM_BF16 || strcmp(text, "fp32") == 0;
}

static void print_json(json_t *root)
{
    char *text = json_dumps(root, JSON_REAL_PRECISION(10));
    printf("%s\n", text != NULL ? text : "{}");
    free(text);
    json_decref(root);
}

void nm_command_print_scores(const struct nm_scores *scores, char *const *types, bool json)
{
    if (json)
        print_json(nm_scores_json(scores, types));
    else
        nm_scores_print(scores, types, stdout);
}

void nm_command_print_evaluation(const struct nm_evaluation *e, char *const *types, bool json)
{
    if (json)
        print_json(nm_evaluation_json(e, types));
    else
        nm_evaluation_print(e, types, stdout);
}
