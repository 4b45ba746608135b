/* cmd_predict.c - nermill-trainer predict. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "workers/trainer/commands.h"
#include "workers/trainer/predict.h"

static const char help[] =
    "usage: nermill-trainer predict --model DIR [FILE|-] [--format color|plain|jsonl|conll] [--input "
    "text|jsonl|conll]\n"
    "\n"
    "Tags each line of FILE (or of standard input) and prints the entities.\n"
    "\n"
    "  --model DIR    a trained model\n"
    "  --format F     color: the text with its entities in colour (on a terminal, if not said otherwise)\n"
    "                 plain: [entity|Type] in the text (otherwise)\n"
    "                 jsonl: {\"text\", \"entities\": [{\"start\", \"end\", \"type\", \"text\", \"score\"}]} a "
    "line;\n"
    "                        start and end count code points, end is behind the last; score: mean probability\n"
    "                 conll: a word and its tag a line; with --scores its probability too\n"
    "  --input I      text: a text a line; jsonl: an object with \"text\" a line, whose other members --format jsonl "
    "keeps;\n"
    "                 conll: a word a line, blank lines between sentences\n"
    "                 (files that end in .conll, .tsv or .iob are conll, those in .jsonl are jsonl)\n"
    "  --constrained  the best tags that are BIO (no I- without its B-), not each word's best\n"
    "  --min-score X  only entities of this score and more (as the model says)\n"
    "  --sure X       of conll: words whose tag is less probable than X, and entities that have one, are masked "
    "(-);\n"
    "                 train on the result, and the model teaches itself what it is sure of\n"
    "  --threads N    (as many as there are cores)\n"
    "  --timing       at the end, on standard error: tokens/s from words to tags, without loading and printing\n"
    "  --precision P  fp32, or bf16: about twice as fast where the CPU has it, some 1 in 1,000 tags differ (fp32)\n";

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static void print_timing(const struct nm_tagger *tagger)
{
    const double seconds = tagger->done.seconds, tokens = (double)tagger->done.tokens;
    (void)fprintf(stderr, "tagged %.0f tokens in %.3f s: %.0f tokens/s\n", tokens, seconds,
                  seconds > 0 ? tokens / seconds : 0.0);
}

static int run(struct nm_predict *p, const char *model, const char *path, const struct nm_tagger_options *options,
               bool timing)
{
    struct nm_diag diag = {""};
    struct nm_tagger tagger = {0};
    bool from_stdin = path == NULL || strcmp(path, "-") == 0;
    p->name = from_stdin ? "standard input" : path;
    p->in = from_stdin ? stdin : fopen(path, "r");
    if (p->in == NULL) {
        enum nm_err err = nm_err_from_errno(errno);
        nm_fail(&diag, err, "%s: %s", path, strerror(errno));
        return nm_command_fail("predict", err, &diag);
    }
    p->unbuffered = from_stdin && isatty(STDIN_FILENO) != 0;
    p->out = stdout;
    p->tagger = &tagger;
    enum nm_err err = nm_tagger_load(&tagger, model, options, &diag);
    if (err == NM_OK)
        err = nm_predict_run(p, &diag);
    if (err == NM_OK && timing)
        print_timing(&tagger);
    nm_tagger_clean_up(&tagger);
    p->tagger = NULL;
    if (!from_stdin)
        fclose(p->in);
    return err == NM_OK ? NM_EXIT_OK : nm_command_fail("predict", err, &diag);
}

static bool read_format(const char *name, enum nm_predict_format *format)
{
    static const char *const names[] = {"color", "plain", "jsonl", "conll"};
    for (size_t i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0) {
            *format = (enum nm_predict_format)i;
            return true;
        }
    return false;
}

/* What the option says, or else the file's name. */
static enum nm_predict_input input_of(const char *option, const char *path)
{
    if (option != NULL)
        return strcmp(option, "conll") == 0   ? NM_PREDICT_FROM_CONLL
               : strcmp(option, "jsonl") == 0 ? NM_PREDICT_FROM_JSONL
                                              : NM_PREDICT_FROM_TEXT;
    if (ends_in(path, ".conll") || ends_in(path, ".tsv") || ends_in(path, ".iob"))
        return NM_PREDICT_FROM_CONLL;
    return ends_in(path, ".jsonl") ? NM_PREDICT_FROM_JSONL : NM_PREDICT_FROM_TEXT;
}

int nm_command_predict(int argc, char **argv)
{
    static const struct option options[] = {{"model", required_argument, NULL, 'm'},
                                            {"format", required_argument, NULL, 'f'},
                                            {"input", required_argument, NULL, 'i'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"scores", no_argument, NULL, 's'},
                                            {"constrained", no_argument, NULL, 'c'},
                                            {"min-score", required_argument, NULL, 'M'},
                                            {"sure", required_argument, NULL, 'S'},
                                            {"precision", required_argument, NULL, 'p'},
                                            {"timing", no_argument, NULL, 'T'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct nm_predict p = {.format = isatty(STDOUT_FILENO) != 0 ? NM_PREDICT_COLOR : NM_PREDICT_PLAIN};
    struct nm_tagger_options how = {.n_threads = 0};
    const char *model = NULL, *input = NULL;
    uint64_t threads = 0;
    double min_score;
    bool timing = false;
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == 'm')
            model = optarg;
        else if (o == 's')
            p.scores = true;
        else if (o == 'c')
            how.constrained = true;
        else if (o == 'T')
            timing = true;
        else if (o == 'M') {
            if (!nm_option_share(optarg, &min_score))
                return nm_command_usage("predict", "--min-score: \"%s\" is not a number from 0 to 1", optarg);
            how.min_score = &min_score;
        } else if (o == 'S') {
            if (!nm_option_real(optarg, &p.sure) || p.sure < 0 || p.sure > 1)
                return nm_command_usage("predict", "--sure: \"%s\" is not a number from 0 to 1", optarg);
        } else if (o == 'f') {
            if (!read_format(optarg, &p.format))
                return nm_command_usage("predict", "--format: \"%s\" is none of color, plain, jsonl, conll", optarg);
        } else if (o == 'i') {
            input = optarg;
            if (strcmp(input, "text") != 0 && strcmp(input, "jsonl") != 0 && strcmp(input, "conll") != 0)
                return nm_command_usage("predict", "--input: \"%s\" is none of text, jsonl, conll", optarg);
        } else if (o == 't') {
            if (!nm_option_count(optarg, 4096, &threads))
                return nm_command_usage("predict", "--threads: \"%s\" is not a number in its range", optarg);
        } else if (o == 'p') {
            if (!nm_option_precision(optarg, &how.precision))
                return nm_command_usage("predict", "--precision: \"%s\" is neither fp32 nor bf16", optarg);
        } else if (o == 'h') {
            fputs(help, stdout);
            return NM_EXIT_OK;
        } else
            return NM_EXIT_USAGE;
    }
    if (model == NULL)
        return nm_command_usage("predict", "--model is missing");
    if (p.sure > 0 && p.format != NM_PREDICT_CONLL)
        return nm_command_usage("predict", "--sure masks words, which only --format conll can say");
    if (argc - optind > 1)
        return nm_command_usage("predict", "one FILE, not %d", argc - optind);
    const char *path = optind < argc ? argv[optind] : NULL;
    p.input = input_of(input, path != NULL ? path : "");
    how.n_threads = (size_t)threads;
    return run(&p, model, path, &how, timing);
}
