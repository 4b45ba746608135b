/* nermill-trainer - fine-tune, evaluate and use taggers; see commands.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"
#include "workers/trainer/commands.h"

static const char help[] = "usage: nermill-trainer COMMAND [options]\n"
                           "       nermill-trainer --broker tcp://HOST:PORT --model DIR --out DIR [options]\n"
                           "\n"
                           "  train      fine-tune a BERT encoder on CoNLL files\n"
                           "  evaluate   score a model against labelled sentences\n"
                           "  predict    tag text\n"
                           "  serve      tag text over HTTP\n"
                           "  score      two columns of tags: gold and predicted\n"
                           "  compare    is one tagger better than another?\n"
                           "  --broker   fine-tune on the samples of a run: pulled from its aligners\n"
                           "\n"
                           "nermill-trainer COMMAND --help tells more.\n"
                           "Exit codes: 0 done, 2 command line, 3 unusable input, 4 no broker, 5 storage, 130 "
                           "stopped (run again to go on),\n"
                           "1 anything else.\n";

/* Idle threads of libgomp spin for milliseconds by default, and on a machine that does anything else they spin away
 * the time that the busy ones need: 257 tokens/s instead of 835 on two shared cores.  libgomp reads its environment
 * before main, so set it and begin again.  A setting of the user's stays. */
static void spin_less(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") == NULL && getenv("OMP_WAIT_POLICY") == NULL &&
        setenv("GOMP_SPINCOUNT", "10000", 0) == 0)
        (void)execv("/proc/self/exe", argv); /* where that fails, it is only slower */
}

int main(int argc, char **argv)
{
    spin_less(argv);
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"train", nm_command_train}, {"evaluate", nm_command_evaluate}, {"predict", nm_command_predict},
                    {"serve", nm_command_serve}, {"compare", nm_command_compare},   {"score", nm_command_score}};
    nm_log_init("trainer");
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        fputs(help, argc < 2 ? stderr : stdout);
        return argc < 2 ? NM_EXIT_USAGE : NM_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("nermill-trainer " NM_VERSION);
        return NM_EXIT_OK;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (argv[1][0] == '-')
        return nm_command_pull(argc, argv);
    fprintf(stderr, "nermill-trainer: no command \"%s\" (nermill-trainer --help)\n", argv[1]);
    return NM_EXIT_USAGE;
}
