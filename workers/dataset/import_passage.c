/* import_passage.c - a title or an abstract with its mentions, whole or cut into sentences. */
#include <inttypes.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/dataset/import_parts.h"

/* Is there a sentence's end at byte i: '.', '!' or '?', brackets or quotes behind it, blanks, and then something that
 * is no small letter?  Not behind one letter alone ("E. coli") and not behind the few abbreviations that capitals
 * follow.  *next: where the next sentence begins. */
static bool ends_at(struct nm_str text, size_t i, size_t *next)
{
    static const char *const short_forms[] = {"vs", "Dr", "al", "Fig", "Figs", "No", "cf", "approx", "St", "resp"};
    if (strchr(".!?", text.ptr[i]) == NULL)
        return false;
    size_t at = i + 1, word = i;
    while (at < text.len && strchr(")]\"'", text.ptr[at]) != NULL)
        at++;
    size_t blanks = at;
    while (at < text.len && strchr(" \t\n\r", text.ptr[at]) != NULL)
        at++;
    int32_t cp = 0;
    if (at == blanks || nm_utf8_next(text.ptr + at, text.len - at, &cp) <= 0 ||
        (nm_utf8_is_letter(cp) && nm_utf8_lower(cp) == cp))
        return false;
    while (word > 0 && strchr(" \t\n\r([", text.ptr[word - 1]) == NULL)
        word--;
    size_t len = i - word;
    if (text.ptr[i] == '.' && len == 1 && nm_utf8_is_upper((unsigned char)text.ptr[word]))
        return false;
    for (size_t k = 0; k < sizeof short_forms / sizeof *short_forms; k++)
        if (len == strlen(short_forms[k]) && strncmp(text.ptr + word, short_forms[k], len) == 0)
            return false;
    *next = at;
    return true;
}

/* The end of the sentence that begins at start, never inside a mention; *next: the beginning of the one behind. */
static size_t find_end(const struct nm_passage *p, size_t start, size_t *next)
{
    size_t span = 0;
    for (size_t i = start; i < p->text.len; i++) {
        while (span < p->n && p->spans[span].end <= i)
            span++;
        if (!ends_at(p->text, i, next))
            continue;
        bool inside = false;
        for (size_t k = span; k < p->n && p->spans[k].start < *next && !inside; k++)
            inside = p->spans[k].end > i + 1;
        if (!inside) {
            while (*next > i + 1 && strchr(" \t\n\r", p->text.ptr[*next - 1]) != NULL)
                (*next)--;
            size_t end = *next;
            while (*next < p->text.len && strchr(" \t\n\r", p->text.ptr[*next]) != NULL)
                (*next)++;
            return end;
        }
    }
    *next = p->text.len;
    return p->text.len;
}

static enum nm_err give(const struct nm_import_sink *sink, const struct nm_passage *p, size_t start, size_t end,
                        struct nm_arena *arena)
{
    struct nm_record record = {.document = p->document};
    struct nm_text_span *spans = nm_arena_alloc(arena, (p->n + 1) * sizeof *spans);
    size_t n = 0;
    record.source = nm_str(nm_arena_sprintf(arena, "%s:%" PRIu64, p->name, p->line));
    if (spans == NULL || record.source.len == 0)
        return nm_fail(sink->diag, NM_ENOMEM, "%s: out of memory", p->name);
    for (size_t i = 0; i < p->n; i++) {
        if (p->spans[i].start < start || p->spans[i].end > end)
            continue;
        spans[n] = p->spans[i];
        spans[n].start -= start;
        spans[n++].end -= start;
    }
    struct nm_str text = {p->text.ptr + start, end - start};
    enum nm_err err = nm_record_from_spans(arena, text, spans, n, &record, sink->counts);
    if (err != NM_OK)
        return nm_fail(sink->diag, err, "%s:%" PRIu64 ": %s", p->name, p->line, nm_err_name(err));
    return nm_import_give(sink, &record);
}

enum nm_err nm_import_passage(const struct nm_import_sink *sink, const struct nm_passage *passage, bool sentences,
                              struct nm_arena *arena)
{
    if (!sentences)
        return give(sink, passage, 0, passage->text.len, arena);
    enum nm_err err = NM_OK;
    for (size_t start = 0, next = 0; start < passage->text.len && err == NM_OK; start = next) {
        size_t end = find_end(passage, start, &next);
        err = give(sink, passage, start, end, arena);
    }
    return err;
}
