/* cmd_evaluate.c - nermill-trainer evaluate: a model against gold. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/file.h"
#include "workers/trainer/commands.h"
#include "workers/trainer/tagger.h"

static const char help[] =
    "usage: nermill-trainer evaluate --model DIR --gold FILE [options]\n"
    "\n"
    "Tags the words of a CoNLL file with a trained model and compares: precision, recall and F1 of entities (type "
    "and\n"
    "both ends), by type and in all, as seqeval counts them; by IOB2's letter; by any word shared; confusion of "
    "types;\n"
    "calibration.\n"
    "\n"
    "  --model DIR    a trained model\n"
    "  --gold FILE    labelled sentences\n"
    "  --seen FILE    recall apart for entities that are in it and that are not: labelled sentences, or a list "
    "(.txt) of\n"
    "                 one entity a line; may be given more than once\n"
    "  --errors FILE  every mistake with its words, one JSON object a line; - for standard output after the scores\n"
    "  --constrained  score the best tags that are BIO, not each word's best\n"
    "  --min-score X  only entities of this score and more (as the model says)\n"
    "  --json         one JSON object instead of the tables\n"
    "  --threads N    (as many as there are cores)\n";

struct arguments {
    const char *model, *gold, *errors;
    char **seen; /* (n_seen) */
    size_t n_seen;
    bool json;
    struct nm_tagger_options how;
    double min_score; /* where how points to it */
};

/* ---- mistakes --------------------------------------------------------------------------------- */

enum { CONTEXT = 8 }; /* words on each side */

/* Where mistakes go, and what their numbers mean. */
struct errors {
    FILE *out;
    const struct nm_tagset *types;
    const char *name; /* of gold */
};

static json_t *words_json(const struct nm_sentence *s, size_t from, size_t to)
{
    struct nm_buf text;
    nm_buf_init(&text, 1 << 24);
    enum nm_err err = NM_OK;
    for (size_t i = from; i < to && err == NM_OK; i++) {
        if (i > from)
            err = nm_buf_addc(&text, ' ');
        if (err == NM_OK)
            err = nm_buf_add(&text, s->words[i].text, s->words[i].len);
    }
    json_t *value = json_stringn(nm_buf_str(&text), text.len);
    nm_buf_clean_up(&text);
    return value;
}

static json_t *span_json(const struct errors *e, const struct nm_sentence *s, const struct nm_span *span)
{
    if (span == NULL)
        return json_null();
    return json_pack("{s:o, s:s, s:I, s:I}", "text", words_json(s, span->start, span->end), "type",
                     e->types->types[span->type], "start", (json_int_t)span->start, "end", (json_int_t)span->end);
}

static void write_mistake(void *arg, const struct nm_mistake *m)
{
    const struct errors *e = arg;
    const struct nm_span *any = m->gold != NULL ? m->gold : m->predicted;
    const size_t n = m->sentence->n, from = any->start > CONTEXT ? any->start - CONTEXT : 0;
    const size_t to = any->end + CONTEXT < n ? any->end + CONTEXT : n;
    json_t *root = json_pack("{s:s, s:s, s:I, s:o, s:o, s:f, s:o, s:o}", "kind", nm_mistake_name(m->kind), "file",
                             e->name, "line", (json_int_t)m->sentence->line + (json_int_t)any->start, "gold",
                             span_json(e, m->sentence, m->gold), "predicted", span_json(e, m->sentence, m->predicted),
                             "score", (double)m->score, "left", words_json(m->sentence, from, any->start), "right",
                             words_json(m->sentence, any->end, to));
    char *line = root != NULL ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    if (line != NULL)
        fprintf(e->out, "%s\n", line);
    free(line);
    json_decref(root);
}

/* ---- the command ------------------------------------------------------------------------------ */

/* Tag, count, print; the scores before the mistakes where both go to standard output. */
static enum nm_err evaluate(const struct arguments *a, struct nm_tagger *tagger, const struct nm_corpus *gold,
                            const struct nm_known *known, struct nm_diag *diag)
{
    char *text = NULL;
    size_t size = 0;
    const bool inline_errors = a->errors != NULL && strcmp(a->errors, "-") == 0;
    struct errors errors = {.types = &tagger->tagset, .name = a->gold};
    if (a->errors != NULL)
        errors.out = inline_errors ? open_memstream(&text, &size) : fopen(a->errors, "w");
    if (a->errors != NULL && errors.out == NULL)
        return nm_fail(diag, nm_err_from_errno(errno), "cannot write %s: %s", a->errors, strerror(errno));
    struct nm_evaluation e = {
        .known = a->n_seen > 0 ? known : NULL, .mistake = errors.out != NULL ? write_mistake : NULL, .arg = &errors};
    enum nm_err err = nm_tagger_evaluate(tagger, gold, &e, diag);
    if (errors.out != NULL && fclose(errors.out) != 0 && err == NM_OK)
        err = nm_fail(diag, nm_err_from_errno(errno), "cannot write %s: %s", a->errors, strerror(errno));
    if (err == NM_OK) {
        nm_command_print_evaluation(&e, tagger->tagset.types, a->json);
        if (inline_errors)
            fwrite(text, 1, size, stdout);
    }
    free(text);
    nm_evaluation_clean_up(&e);
    return err;
}

static int run(const struct arguments *a)
{
    struct nm_diag diag = {""};
    struct nm_corpus gold;
    struct nm_tagger tagger = {0};
    struct nm_known known = {0};
    nm_corpus_init(&gold);
    enum nm_err err = nm_corpus_read_conll(&gold, a->gold, true, &diag);
    for (size_t i = 0; i < a->n_seen && err == NM_OK; i++)
        err = nm_known_add_file(&known, a->seen[i], &diag);
    nm_known_close(&known);
    if (err == NM_OK)
        err = nm_tagger_load(&tagger, a->model, &a->how, &diag);
    if (err == NM_OK)
        err = evaluate(a, &tagger, &gold, &known, &diag);
    nm_known_clean_up(&known);
    nm_tagger_clean_up(&tagger);
    nm_corpus_clean_up(&gold);
    return err == NM_OK ? NM_EXIT_OK : nm_command_fail("evaluate", err, &diag);
}

static int parse(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {
        {"model", required_argument, NULL, 'm'}, {"gold", required_argument, NULL, 'g'},
        {"seen", required_argument, NULL, 's'},  {"errors", required_argument, NULL, 'e'},
        {"json", no_argument, NULL, 'j'},        {"threads", required_argument, NULL, 't'},
        {"constrained", no_argument, NULL, 'c'}, {"min-score", required_argument, NULL, 'M'},
        {"help", no_argument, NULL, 'h'},        {0}};
    uint64_t threads = 0;
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == 'm')
            a->model = optarg;
        else if (o == 'g')
            a->gold = optarg;
        else if (o == 's')
            a->seen[a->n_seen++] = optarg;
        else if (o == 'e')
            a->errors = optarg;
        else if (o == 'c')
            a->how.constrained = true;
        else if (o == 'M') {
            if (!nm_option_share(optarg, &a->min_score))
                return nm_command_usage("evaluate", "--min-score: \"%s\" is not a number from 0 to 1", optarg);
            a->how.min_score = &a->min_score;
        } else if (o == 'j')
            a->json = true;
        else if (o == 't') {
            if (!nm_option_count(optarg, 4096, &threads))
                return nm_command_usage("evaluate", "--threads: \"%s\" is not a number in its range", optarg);
        } else if (o == 'h') {
            fputs(help, stdout);
            return NM_EXIT_OK;
        } else
            return NM_EXIT_USAGE;
    }
    a->how.n_threads = (size_t)threads;
    if (optind < argc)
        return nm_command_usage("evaluate", "\"%s\" is not an option", argv[optind]);
    if (a->model == NULL || a->gold == NULL)
        return nm_command_usage("evaluate", "--%s is missing", a->model == NULL ? "model" : "gold");
    return -1;
}

int nm_command_evaluate(int argc, char **argv)
{
    struct arguments a = {.seen = calloc((size_t)argc, sizeof(char *))};
    if (a.seen == NULL)
        return NM_EXIT_FAILURE;
    int code = parse(argc, argv, &a);
    if (code < 0)
        code = run(&a);
    free(a.seen);
    return code;
}
