/* import_bc4chemd.c - BioCreative IV CHEMDNER's two files:
 *
 *     abstracts     PMID  title  abstract
 *     annotations   PMID  T|A  start  end  text  class      offsets count within the title or the abstract
 *
 * parted by tabs (training.abstracts.txt, training.annotations.txt and so on).  The corpus's IOB files know one type,
 * Chemical, and so do we unless the classes are asked for: ABBREVIATION, FAMILY, FORMULA, IDENTIFIER, MULTIPLE,
 * SYSTEMATIC, TRIVIAL, and "NO CLASS", whose blank becomes "_", for many forms part their columns by blanks.  A line
 * with an empty text marks nothing.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "workers/dataset/import_parts.h"

struct mark {
    uint64_t pmid, start, end, line;
    char section; /* 'T', 'A' */
    bool used;
    struct nm_str text, type; /* of the arena of all marks */
};

struct reading {
    const struct nm_import *import;
    struct nm_import_sink sink;
    struct nm_arena marks_arena, arena;
    struct mark *marks;
    size_t n, cap;
};

static enum nm_err fail(const struct reading *r, const struct nm_lines *lines, const char *what)
{
    return nm_fail(r->sink.diag, NM_EFORMAT, "%s:%" PRIu64 ": %s", lines->name, lines->number, what);
}

static enum nm_err take_mark(struct reading *r, const struct nm_lines *lines)
{
    struct nm_str f[6];
    struct mark mark = {.line = lines->number};
    if (nm_lines_split(lines, '\t', f, 6) != 6 || !nm_import_number(f[0], &mark.pmid) || f[1].len != 1 ||
        strchr("TA", f[1].ptr[0]) == NULL || !nm_import_number(f[2], &mark.start) ||
        !nm_import_number(f[3], &mark.end) || f[5].len == 0)
        return fail(r, lines, "no annotation: PMID, T or A, start, end, text and class, parted by tabs");
    if (f[4].len == 0)
        return NM_OK;
    mark.section = f[1].ptr[0];
    if (r->n == r->cap) {
        size_t cap = r->cap * 2 + 1024;
        struct mark *marks = realloc(r->marks, cap * sizeof *marks);
        if (marks == NULL)
            return nm_fail(r->sink.diag, NM_ENOMEM, "%s: out of memory", lines->name);
        r->marks = marks;
        r->cap = cap;
    }
    mark.text = (struct nm_str){nm_arena_strndup(&r->marks_arena, f[4].ptr, f[4].len), f[4].len};
    char *class = nm_arena_strndup(&r->marks_arena, f[5].ptr, f[5].len);
    if (mark.text.ptr == NULL || class == NULL)
        return nm_fail(r->sink.diag, NM_ENOMEM, "%s: out of memory", lines->name);
    for (char *blank = class; (blank = strchr(blank, ' ')) != NULL;)
        *blank = '_';
    mark.type = nm_str(r->import->classes ? class : "Chemical");
    r->marks[r->n++] = mark;
    return NM_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    if (x->pmid != y->pmid)
        return x->pmid < y->pmid ? -1 : 1;
    if (x->section != y->section)
        return x->section > y->section ? -1 : 1; /* the title first */
    return (x->start > y->start) - (x->start < y->start);
}

static enum nm_err read_marks(struct reading *r)
{
    struct nm_lines lines;
    enum nm_err err = nm_lines_open(&lines, r->import->annotations, r->sink.diag);
    while (err == NM_OK && (err = nm_lines_next(&lines, r->sink.diag)) == NM_OK)
        if (lines.len > 0)
            err = take_mark(r, &lines);
    bool ended = err == NM_ENOENT && lines.file != NULL;
    nm_lines_close(&lines);
    if (r->n > 1)
        qsort(r->marks, r->n, sizeof *r->marks, by_place);
    return ended ? NM_OK : err;
}

/* The first mark of this section of this abstract, or of what comes behind it. */
static size_t first_mark(const struct reading *r, uint64_t pmid, char section)
{
    struct mark key = {.pmid = pmid, .section = section};
    size_t low = 0, high = r->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (by_place(&r->marks[mid], &key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static enum nm_err give_section(struct reading *r, const struct nm_lines *lines, uint64_t pmid, char section,
                                struct nm_str document, struct nm_str text)
{
    struct nm_passage passage = {.text = text, .document = document, .name = lines->name, .line = lines->number};
    size_t first = first_mark(r, pmid, section), last = first, n_points;
    while (last < r->n && r->marks[last].pmid == pmid && r->marks[last].section == section)
        last++;
    const uint64_t *bytes = nm_points_to_bytes(&r->arena, text, &n_points);
    passage.spans = nm_arena_alloc(&r->arena, (last - first + 1) * sizeof *passage.spans);
    if (bytes == NULL || passage.spans == NULL)
        return nm_fail(r->sink.diag, NM_ENOMEM, "%s: out of memory", lines->name);
    for (size_t i = first; i < last; i++) {
        struct mark *mark = &r->marks[i];
        mark->used = true;
        bool inside = mark->start < mark->end && mark->end <= n_points;
        const char *there = inside ? text.ptr + bytes[mark->start] : "";
        size_t len = inside ? bytes[mark->end] - bytes[mark->start] : 0;
        if (len != mark->text.len || memcmp(there, mark->text.ptr, len) != 0)
            return nm_fail(r->sink.diag, NM_EFORMAT,
                           "%s:%" PRIu64 ": the %s of %" PRIu64 " has \"%.*s\" there, not \"%.*s\"",
                           r->import->annotations, mark->line, section == 'T' ? "title" : "abstract", pmid, (int)len,
                           there, (int)mark->text.len, mark->text.ptr);
        passage.spans[passage.n++] = (struct nm_text_span){.start = bytes[mark->start],
                                                           .end = bytes[mark->end],
                                                           .type = mark->type,
                                                           .index = NM_NO_INDEX,
                                                           .note = nm_str("")};
    }
    return nm_import_passage(&r->sink, &passage, r->import->sentences, &r->arena);
}

static enum nm_err take_abstract(struct reading *r, const struct nm_lines *lines)
{
    struct nm_str f[3];
    uint64_t pmid;
    nm_arena_reset(&r->arena);
    if (nm_lines_split(lines, '\t', f, 3) != 3 || !nm_import_number(f[0], &pmid))
        return fail(r, lines, "no abstract: PMID, title and abstract, parted by tabs");
    enum nm_err err = give_section(r, lines, pmid, 'T', f[0], f[1]);
    return err == NM_OK ? give_section(r, lines, pmid, 'A', f[0], f[2]) : err;
}

static enum nm_err read_abstracts(struct reading *r)
{
    struct nm_lines lines;
    enum nm_err err = nm_lines_open(&lines, r->import->path, r->sink.diag);
    while (err == NM_OK && (err = nm_lines_next(&lines, r->sink.diag)) == NM_OK)
        if (lines.len > 0)
            err = take_abstract(r, &lines);
    bool ended = err == NM_ENOENT && lines.file != NULL;
    nm_lines_close(&lines);
    for (size_t i = 0; i < r->n && ended; i++)
        if (!r->marks[i].used)
            return nm_fail(r->sink.diag, NM_EFORMAT, "%s:%" PRIu64 ": there is no abstract %" PRIu64 " in %s",
                           r->import->annotations, r->marks[i].line, r->marks[i].pmid, r->import->path);
    return ended ? NM_OK : err;
}

enum nm_err nm_import_bc4chemd(const struct nm_import *import, nm_record_fn fn, void *ctx,
                               struct nm_record_counts *counts, struct nm_diag *diag)
{
    struct reading r = {.import = import, .sink = {fn, ctx, counts, diag}};
    nm_arena_init(&r.arena, 0);
    nm_arena_init(&r.marks_arena, 0);
    enum nm_err err = read_marks(&r);
    if (err == NM_OK)
        err = read_abstracts(&r);
    free(r.marks);
    nm_arena_clean_up(&r.arena);
    nm_arena_clean_up(&r.marks_arena);
    return err;
}
