/* import_pubtator.c - PubTator, the form that BC5CDR was published in:
 *
 *     PMID|t|Title                    offsets count from the title's first character; the abstract's first one
 *     PMID|a|Abstract                 is one behind the title's end
 *     PMID  start  end  mention  type  [id]  [parts of a composite mention]
 *     PMID  CID  id1  id2             a relation: skipped
 *
 * and an empty line between documents.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "workers/dataset/import_parts.h"

enum { FIELDS_MAX = 8 };

struct part {
    struct nm_str text; /* of the arena; len 0: none yet */
    uint64_t line;
};

struct reading {
    const struct nm_import *import;
    struct nm_import_sink sink;
    struct nm_lines lines;
    struct nm_arena arena; /* of the open document */
    struct nm_str pmid;
    struct part title, abstract;
    uint64_t *bytes; /* of the code points of "title abstract", made at the first mention */
    size_t n_points;
    struct nm_str whole;
    struct nm_text_span *spans;
    size_t n, cap;
};

static enum nm_err fail(const struct reading *r, const char *what)
{
    return nm_fail(r->sink.diag, NM_EFORMAT, "%s:%" PRIu64 ": %s", r->lines.name, r->lines.number, what);
}

static enum nm_err no_memory(const struct reading *r)
{
    return nm_fail(r->sink.diag, NM_ENOMEM, "%s: out of memory", r->lines.name);
}

static enum nm_err give_part(struct reading *r, const struct part *part, size_t from)
{
    size_t end = from + part->text.len, n = 0;
    struct nm_text_span *spans = nm_arena_alloc(&r->arena, (r->n + 1) * sizeof *spans);
    if (spans == NULL)
        return no_memory(r);
    for (size_t i = 0; i < r->n; i++) {
        if (r->spans[i].start < from || r->spans[i].end > end)
            continue;
        spans[n] = r->spans[i];
        spans[n].start -= from;
        spans[n++].end -= from;
    }
    struct nm_passage passage = {
        .text = part->text, .document = r->pmid, .name = r->lines.name, .line = part->line, .spans = spans, .n = n};
    return nm_import_passage(&r->sink, &passage, r->import->sentences, &r->arena);
}

static int by_start(const void *a, const void *b)
{
    const struct nm_text_span *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

static enum nm_err end_document(struct reading *r)
{
    enum nm_err err = NM_OK;
    if (r->pmid.len > 0) {
        if (r->n > 1)
            qsort(r->spans, r->n, sizeof *r->spans, by_start);
        err = give_part(r, &r->title, 0);
        if (err == NM_OK)
            err = give_part(r, &r->abstract, r->title.text.len + 1);
    }
    nm_arena_reset(&r->arena);
    r->pmid = nm_str("");
    r->title = r->abstract = (struct part){.text = nm_str("")};
    r->bytes = NULL;
    r->n = 0;
    return err;
}

static enum nm_err copy(struct reading *r, struct nm_str text, struct nm_str *out)
{
    *out = (struct nm_str){nm_arena_strndup(&r->arena, text.ptr, text.len), text.len};
    return out->ptr != NULL ? NM_OK : no_memory(r);
}

static bool same(struct nm_str a, struct nm_str b)
{
    return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

/* "PMID|t|text" */
static enum nm_err take_part(struct reading *r, struct nm_str pmid, char which, struct nm_str text)
{
    struct part *part = which == 't' ? &r->title : &r->abstract;
    enum nm_err err = NM_OK;
    if (which == 't' || !same(pmid, r->pmid)) {
        err = end_document(r);
        if (err == NM_OK)
            err = copy(r, pmid, &r->pmid);
    }
    if (err == NM_OK)
        err = copy(r, text, &part->text);
    part->line = r->lines.number;
    return err;
}

static enum nm_err join_text(struct reading *r)
{
    char *whole = nm_arena_sprintf(&r->arena, "%s %s", r->title.text.ptr, r->abstract.text.ptr);
    if (whole == NULL)
        return no_memory(r);
    r->whole = nm_str(whole);
    r->bytes = nm_points_to_bytes(&r->arena, r->whole, &r->n_points);
    return r->bytes != NULL ? NM_OK : no_memory(r);
}

static enum nm_err add_span(struct reading *r, uint64_t start, uint64_t end, struct nm_str type)
{
    if (r->n == r->cap) {
        size_t cap = r->cap * 2 + 64;
        struct nm_text_span *spans = realloc(r->spans, cap * sizeof *spans);
        if (spans == NULL)
            return no_memory(r);
        r->spans = spans;
        r->cap = cap;
    }
    r->spans[r->n] = (struct nm_text_span){
        .start = r->bytes[start], .end = r->bytes[end], .index = NM_NO_INDEX, .note = nm_str("")};
    return copy(r, type, &r->spans[r->n++].type);
}

static enum nm_err take_mention(struct reading *r, const struct nm_str *fields, size_t n)
{
    uint64_t start, end;
    if (!same(fields[0], r->pmid))
        return fail(r, "a mention of a document whose title does not stand before it");
    if (n == 4 && !nm_import_number(fields[1], &start)) /* PMID CID id1 id2 */
        return NM_OK;
    if (n < 5 || !nm_import_number(fields[1], &start) || !nm_import_number(fields[2], &end) || fields[4].len == 0)
        return fail(r, "neither a mention (PMID, start, end, text, type by tabs) nor a relation");
    enum nm_err err = r->bytes != NULL ? NM_OK : join_text(r);
    if (err != NM_OK)
        return err;
    if (start >= end || end > r->n_points)
        return fail(r, "the mention's offsets are not within title and abstract");
    struct nm_str there = {r->whole.ptr + r->bytes[start], r->bytes[end] - r->bytes[start]};
    if (!same(there, fields[3]))
        return nm_fail(r->sink.diag, NM_EFORMAT, "%s:%" PRIu64 ": the text has \"%.*s\" there, not \"%.*s\"",
                       r->lines.name, r->lines.number, (int)there.len, there.ptr, (int)fields[3].len, fields[3].ptr);
    return add_span(r, start, end, fields[4]);
}

static enum nm_err take_line(struct reading *r)
{
    const char *line = r->lines.data, *bar = strchr(line, '|');
    struct nm_str fields[FIELDS_MAX];
    if (strspn(line, " \t") == r->lines.len)
        return end_document(r);
    size_t id = strcspn(line, "| \t");
    if (bar != NULL && (size_t)(bar - line) == id && id > 0 && (bar[1] == 't' || bar[1] == 'a') && bar[2] == '|')
        return take_part(r, (struct nm_str){line, id}, bar[1], nm_str(bar + 3));
    size_t n = nm_lines_split(&r->lines, '\t', fields, FIELDS_MAX);
    if (n < 4 || r->pmid.len == 0)
        return fail(r, "no line of PubTator: PMID|t|title, PMID|a|abstract, or a mention's fields by tabs");
    return take_mention(r, fields, n < FIELDS_MAX ? n : FIELDS_MAX);
}

enum nm_err nm_import_pubtator(const struct nm_import *import, nm_record_fn fn, void *ctx,
                               struct nm_record_counts *counts, struct nm_diag *diag)
{
    struct reading r = {.import = import, .sink = {fn, ctx, counts, diag}, .pmid = nm_str("")};
    r.title = r.abstract = (struct part){.text = nm_str("")};
    nm_arena_init(&r.arena, 0);
    enum nm_err err = nm_lines_open(&r.lines, import->path, diag);
    while (err == NM_OK && (err = nm_lines_next(&r.lines, diag)) == NM_OK)
        err = take_line(&r);
    if (err == NM_ENOENT && r.lines.file != NULL)
        err = end_document(&r);
    free(r.spans);
    nm_lines_close(&r.lines);
    nm_arena_clean_up(&r.arena);
    return err;
}
