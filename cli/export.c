/* export.c - nermill export and nermill import: a data set in another form. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/dataset.h"
#include "cli/parquet.h"
#include "cli/process.h"
#include "common/file.h"
#include "common/log.h"
#include "common/nearest.h"
#include "workers/dataset/export.h"
#include "workers/dataset/import.h"

static const char formats_text[] =
    "Formats:\n"
    "  conll        token TAB tag (BIO), a blank line behind each sample; a masked token's tag is -\n"
    "  conll2003    four columns by blanks, as CoNLL-2003: token -X- _ tag\n"
    "  jsonl        one object a line, with offsets and provenance: schemas/sample.schema.json\n"
    "  spacy        spaCy's JSON; 'spacy convert FILE.json DIR --converter json' makes a DocBin of it\n"
    "  parquet      a directory that Hugging Face's datasets loads (needs Python with pyarrow:\n"
    "               deploy/setup-export.sh); of a directory that nermill split made, all its parts\n"
    "  labelstudio  Label Studio tasks, our labels as predictions\n"
    "  doccano      doccano's JSONL for sequence labelling\n"
    "  brat         a directory of .txt and .ann, and annotation.conf\n";

static int unknown_format(const char *command, const char *name)
{
    const char *names[32] = {"parquet"};
    size_t n = 1;
    for (size_t i = 0; nm_formats[i] != NULL && n < 32; i++)
        names[n++] = nm_formats[i]->name;
    const char *near = nm_nearest(name, names, n);
    fprintf(stderr, "nermill %s: there is no format '%s'", command, name);
    if (near != NULL)
        fprintf(stderr, "; did you mean '%s'?", near);
    fprintf(stderr, "\n'nermill %s --help' lists them.\n", command);
    return NM_EXIT_USAGE;
}

/* An option that does not fit is the command line's fault. */
static int complain(const char *command, enum nm_err err, const struct nm_diag *diag)
{
    int code = nm_complain(command, err, diag);
    return err == NM_EINVAL ? NM_EXIT_USAGE : code;
}

/* The name of a data set for its card: the directory's or file's. */
static void title_of(const char *named, char *out, size_t size)
{
    size_t len = strlen(named);
    while (len > 1 && named[len - 1] == '/')
        len--;
    size_t start = len;
    while (start > 0 && named[start - 1] != '/')
        start--;
    (void)snprintf(out, size, "%.*s", (int)(len - start), named + start);
}

/* The parts that nermill split left in a directory, as datasets calls them. */
static size_t find_parts(const char *dir, char paths[3][NM_PATH_MAX], struct nm_source sources[3],
                         struct nm_parquet_split splits[3])
{
    static const char *const names[3][2] = {
        {"train.jsonl", "train"}, {"dev.jsonl", "validation"}, {"test.jsonl", "test"}};
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) {
        if (nm_file_join(dir, names[i][0], paths[n], NM_PATH_MAX) != NM_OK || !nm_file_exists(paths[n]))
            continue;
        sources[n] = (struct nm_source){.path = paths[n]};
        splits[n] = (struct nm_parquet_split){names[i][1], &sources[n]};
        n++;
    }
    return n;
}

static enum nm_err export_parquet(const char *named, const char *state, const char *out, int *code,
                                  struct nm_diag *diag)
{
    char paths[3][NM_PATH_MAX], title[256];
    struct nm_source sources[3];
    struct nm_parquet_split splits[3];
    struct nm_dataset *dataset = NULL;
    if (out == NULL)
        return nm_fail(diag, NM_EINVAL, "--format parquet writes a directory: name it with --out");
    title_of(named, title, sizeof title);
    size_t n = state == NULL ? find_parts(named, paths, sources, splits) : 0;
    enum nm_err err = n > 0 ? NM_OK : nm_dataset_open(named, state, &dataset, diag);
    if (err == NM_OK && n == 0)
        splits[n++] = (struct nm_parquet_split){"train", nm_dataset_source(dataset)};
    if (err == NM_OK)
        err = nm_parquet_export(splits, n, title, out, code, diag);
    nm_dataset_close(&dataset);
    return err;
}

static enum nm_err export_by(const struct nm_format *format, const char *named, const char *state, const char *out,
                             struct nm_diag *diag)
{
    struct nm_dataset *dataset;
    uint64_t written;
    enum nm_err err = nm_dataset_open(named, state, &dataset, diag);
    if (err == NM_OK)
        err = nm_export_run(nm_dataset_source(dataset), format, out, &written, diag);
    nm_dataset_close(&dataset);
    return err;
}

int nm_command_export(int argc, char **argv)
{
    const char *state = NULL, *format = "conll", *out = NULL;
    const struct nm_opt opts[] = {
        {0, "state", NM_OPT_TEXT, &state, "DIR", "the run's state directory (default: PROJECT's run/)"},
        {'f', "format", NM_OPT_TEXT, &format, "FORMAT", "conll (default) or another one of those below"},
        {'o', "out", NM_OPT_TEXT, &out, "FILE", "write there (default: standard output); a directory, for some"},
    };
    const struct nm_command command = {
        .name = "export",
        .usage = "PROJECT|DATASET [--state DIR] [--format FORMAT] [--out FILE|DIR]",
        .summary =
            "The data set that PROJECT's run has made so far, each accepted sample once; or that of a file of\n"
            "JSON lines or CoNLL, like those that nermill import and nermill split write.",
        .text = formats_text,
        .min_args = 1,
        .max_args = 1,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    struct nm_diag diag = {""};
    const struct nm_format *writer = nm_format_find(format);
    bool parquet = strcmp(format, "parquet") == 0;
    if (writer == NULL && !parquet)
        return unknown_format("export", format);
    code = NM_EXIT_OK;
    enum nm_err err =
        parquet ? export_parquet(argv[1], state, out, &code, &diag) : export_by(writer, argv[1], state, out, &diag);
    return err == NM_OK ? code : complain("export", err, &diag);
}

/* ---- import ---------------------------------------------------------------------------------------------------- */

struct importing {
    const struct nm_import *import;
    struct nm_record_counts counts;
};

static enum nm_err read_import(const void *from, nm_record_fn fn, void *ctx, struct nm_diag *diag)
{
    struct importing *importing = *(struct importing *const *)from;
    return nm_import_read(importing->import, fn, ctx, &importing->counts, diag);
}

static void print_counts(const struct nm_record_counts *counts)
{
    fprintf(stderr, "%" PRIu64 " records, %" PRIu64 " mentions", counts->records, counts->mentions);
    if (counts->masked > 0)
        fprintf(stderr, ", %" PRIu64 " masked", counts->masked);
    if (counts->cut > 0)
        fprintf(stderr, " (%" PRIu64 " begin or end inside a token)", counts->cut);
    if (counts->overlapping > 0)
        fprintf(stderr, "; %" PRIu64 " lay over a longer one and were left out", counts->overlapping);
    fputc('\n', stderr);
}

int nm_command_import(int argc, char **argv)
{
    struct nm_import import = {0};
    const char *to = "jsonl", *out = NULL;
    const struct nm_opt opts[] = {
        {'f', "format", NM_OPT_TEXT, &import.format, "FORMAT",
         "what FILE is; default: JSON lines or CoNLL, as it begins"},
        {'a', "annotations", NM_OPT_TEXT, &import.annotations, "FILE", "the mentions (bc4chemd)"},
        {0, "sentences", NM_OPT_FLAG, &import.sentences, NULL, "cut titles and abstracts into sentences"},
        {0, "classes", NM_OPT_FLAG, &import.classes, NULL, "bc4chemd: FORMULA, TRIVIAL ... as types, not Chemical"},
        {'t', "to", NM_OPT_TEXT, &to, "FORMAT", "jsonl (default), conll, or any that nermill export writes"},
        {'o', "out", NM_OPT_TEXT, &out, "FILE", "write there (default: standard output)"},
    };
    const struct nm_command command = {
        .name = "import",
        .usage = "FILE [--format FORMAT] [--annotations FILE] [--to FORMAT] [--out FILE]",
        .summary = "A labelled corpus as a data set that nermill export, split, report and train read.",
        .text = "Formats of FILE ('-': standard input):\n"
                "  conll      a word and its tag a line: 2, 3, 4 or more columns by tabs or blanks, first and last "
                "count;\n"
                "             BIO, IOB1, IOBES or BILOU; -DOCSTART-; also BC4CHEMD's IOB files\n"
                "  bc4chemd   BioCreative's abstracts (PMID, title, abstract), with --annotations\n"
                "  pubtator   PMID|t|, PMID|a| and mentions: BC5CDR's source form\n"
                "  tdmsci     TDMSci's word, offset and tag\n"
                "  jsonl      text with spans, in characters: entities, spans, label or labels (also doccano's), or\n"
                "             tokens with tags\n"
                "A span that begins or ends inside a token is masked; of two that overlap the longer one is taken.\n",
        .min_args = 1,
        .max_args = 1,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    struct nm_diag diag = {""};
    const struct nm_format *writer = nm_format_find(to);
    if (writer == NULL)
        return unknown_format("import", to);
    uint64_t written;
    import.path = argv[1];
    struct importing importing = {.import = &import}, *from = &importing;
    if (writer->wants_types && strcmp(import.path, "-") == 0)
        return complain("import", nm_fail(&diag, NM_EINVAL, "--to %s reads its input twice: name a file", to), &diag);
    enum nm_err err = nm_export_records(read_import, &from, writer, out, &written, &diag);
    if (err != NM_OK)
        return complain("import", err, &diag);
    print_counts(&importing.counts);
    return NM_EXIT_OK;
}
