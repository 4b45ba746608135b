/* commands.c - what the sub-commands share. */
#include "workers/trainer/commands.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

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

static json_t *score_json(const struct nm_score *s)
{
    return json_pack("{s:f, s:f, s:f, s:I, s:I, s:I}", "precision", s->precision, "recall", s->recall, "f1", s->f1,
                     "correct", (json_int_t)s->correct, "predicted", (json_int_t)s->predicted, "gold",
                     (json_int_t)s->gold);
}

static void print_json(const struct nm_scores *scores, char *const *types)
{
    json_t *root = score_json(&scores->micro), *by_type = json_object();
    for (size_t i = 0; i < scores->n_types; i++)
        json_object_set_new(by_type, types[i], score_json(&scores->types[i]));
    json_object_set_new(root, "types", by_type);
    json_object_set_new(root, "words", json_integer((json_int_t)scores->words));
    json_object_set_new(root, "word_accuracy",
                        json_real(scores->words > 0 ? (double)scores->right_words / (double)scores->words : 0));
    char *text = json_dumps(root, JSON_REAL_PRECISION(10));
    printf("%s\n", text != NULL ? text : "{}");
    free(text);
    json_decref(root);
}

void nm_command_print_scores(const struct nm_scores *scores, char *const *types, bool json)
{
    if (json) {
        print_json(scores, types);
        return;
    }
    int width = 8;
    for (size_t i = 0; i < scores->n_types; i++)
        width = (int)strlen(types[i]) > width ? (int)strlen(types[i]) : width;
    printf("%*s  precision  recall      F1  support\n", width, "");
    for (size_t i = 0; i <= scores->n_types; i++) {
        const struct nm_score *s = i < scores->n_types ? &scores->types[i] : &scores->micro;
        printf("%*s     %.4f  %.4f  %.4f  %7zu\n", width, i < scores->n_types ? types[i] : "all", s->precision,
               s->recall, s->f1, s->gold);
    }
}
