#include "workers/dataset/import.h"

#include <string.h>

#include "workers/dataset/format.h"
#include "workers/dataset/import_parts.h"
#include "workers/dataset/read_jsonl.h"

const struct nm_import_format nm_import_formats[] = {
    {"conll", "a word and its tag a line (2, 3, 4 or more columns; BIO, IOB1, IOBES or BILOU)", nm_import_conll},
    {"bc4chemd", "BC4CHEMD: PMID, title, abstract by tabs; with --annotations FILE", nm_import_bc4chemd},
    {"pubtator", "PubTator (BC5CDR's source form): PMID|t|, PMID|a| and tabbed mentions", nm_import_pubtator},
    {"tdmsci", "TDMSci: word, offset and tag by tabs; blanks as the offsets tell", nm_import_tdmsci},
    {"jsonl", "JSON lines: text with spans (also doccano's), or tokens with tags", nm_import_jsonl},
};
const size_t nm_import_n_formats = sizeof nm_import_formats / sizeof *nm_import_formats;

enum nm_err nm_import_give(const struct nm_import_sink *sink, struct nm_record *record)
{
    if (record->sample.n_tokens == 0)
        return NM_OK;
    struct nm_record_counts *counts = sink->counts;
    counts->records++;
    if (record->sample.task == 0)
        record->sample.task = counts->records;
    for (size_t i = 0; i < record->sample.n_mentions; i++) {
        bool masked = nm_mention_masked(&record->sample.mentions[i]);
        counts->masked += masked;
        counts->mentions += !masked;
    }
    return sink->fn(sink->ctx, record, sink->diag);
}

bool nm_import_number(struct nm_str text, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || i > 17)
            return false;
        *number = *number * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return text.len > 0;
}

enum nm_err nm_import_jsonl(const struct nm_import *import, nm_record_fn fn, void *ctx,
                            struct nm_record_counts *counts, struct nm_diag *diag)
{
    struct nm_import_sink sink = {fn, ctx, counts, diag};
    struct nm_lines lines;
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    enum nm_err err = nm_lines_open(&lines, import->path, diag);
    while (err == NM_OK && (err = nm_lines_next(&lines, diag)) == NM_OK) {
        struct nm_record record;
        nm_arena_reset(&arena);
        if (strspn(lines.data, " \t") == lines.len)
            continue;
        err = nm_jsonl_record(&lines, &arena, &record, counts, diag);
        if (err == NM_OK)
            err = nm_import_give(&sink, &record);
    }
    nm_lines_close(&lines);
    nm_arena_clean_up(&arena);
    return err == NM_ENOENT && counts->records > 0 ? NM_OK : err;
}

/* JSON lines begin with a brace, and no CoNLL file of more than one column does. */
static enum nm_err sniff(const char *path, const char **format, struct nm_diag *diag)
{
    struct nm_lines lines;
    enum nm_err err = nm_lines_open(&lines, path, diag);
    if (err != NM_OK)
        return err;
    int c = getc(lines.file);
    if (lines.file == stdin)
        (void)ungetc(c, stdin);
    else if (c == 0xef && getc(lines.file) == 0xbb && getc(lines.file) == 0xbf) /* a byte order mark */
        c = getc(lines.file);
    *format = c == '{' ? "jsonl" : "conll";
    nm_lines_close(&lines);
    return NM_OK;
}

static const struct nm_import_format *find(const char *name)
{
    for (size_t i = 0; i < nm_import_n_formats; i++)
        if (strcmp(nm_import_formats[i].name, name) == 0)
            return &nm_import_formats[i];
    return NULL;
}

enum nm_err nm_import_read(const struct nm_import *import, nm_record_fn fn, void *ctx,
                           struct nm_record_counts *counts, struct nm_diag *diag)
{
    const char *name = import->format;
    diag->text[0] = '\0';
    *counts = (struct nm_record_counts){0};
    if (name == NULL) {
        enum nm_err err = sniff(import->path, &name, diag);
        if (err != NM_OK)
            return err;
    }
    const struct nm_import_format *format = find(name);
    if (format == NULL)
        return nm_fail(diag, NM_EINVAL, "there is no import format '%s'; --help lists them", name);
    bool two = strcmp(name, "bc4chemd") == 0, passages = two || strcmp(name, "pubtator") == 0;
    if ((import->annotations != NULL || import->classes) && !two)
        return nm_fail(diag, NM_EINVAL, "--annotations and --classes belong to --format bc4chemd");
    if (two && import->annotations == NULL)
        return nm_fail(diag, NM_EINVAL,
                       "--format bc4chemd needs --annotations FILE; its IOB files are --format conll");
    if (import->sentences && !passages)
        return nm_fail(diag, NM_EINVAL, "--sentences belongs to --format bc4chemd and pubtator");
    enum nm_err err = format->read(import, fn, ctx, counts, diag);
    if (err == NM_OK && counts->records == 0)
        err = NM_ENOENT;
    if (err == NM_ENOENT && diag->text[0] == '\0')
        return nm_fail(diag, NM_EFORMAT, "%s: no sentence in it", import->path);
    return err;
}
