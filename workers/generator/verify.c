#include "workers/generator/verify.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "workers/generator/clean.h"
#include "workers/generator/text.h"

/* The second look, as it is read. */
struct look {
    const struct nm_verify_input *in;
    struct nm_arena *arena;
    struct nm_text text;
    struct nm_msg_span *spans; /* (n) in the order of the list */
    size_t n, cap;
    size_t lines, read; /* that say something; that are of the form */
};

static struct nm_str trim(struct nm_str s)
{
    static const char blanks[] = " \t\r-*\"'.";
    while (s.len > 0 && strchr(blanks, *s.ptr) != NULL && *s.ptr != '\0') {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && strchr(" \t\r\"'.;,", s.ptr[s.len - 1]) != NULL)
        s.len--;
    return s;
}

static bool is_word(struct nm_str s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.ptr, word, s.len) == 0;
}

static enum nm_err add_span(struct look *look, size_t start, size_t end, size_t type)
{
    if (look->n == look->cap) {
        size_t cap = look->cap == 0 ? 16 : 2 * look->cap;
        struct nm_msg_span *grown = nm_arena_alloc(look->arena, cap * sizeof *grown);
        if (grown == NULL)
            return NM_ENOMEM;
        if (look->n > 0)
            memcpy(grown, look->spans, look->n * sizeof *grown);
        look->spans = grown;
        look->cap = cap;
    }
    look->spans[look->n++] = (struct nm_msg_span){.start = start, .end = end, .type = type};
    return NM_OK;
}

/* Every place of the words in the text. */
static enum nm_err add_places(struct look *look, struct nm_str words, size_t type)
{
    struct nm_text needle;
    const char *s;
    size_t len;
    enum nm_err err = nm_text_nfc(words.ptr, words.len, look->arena, &s, &len);
    if (err == NM_OK)
        err = nm_text_decode(s, len, look->arena, &needle);
    if (err != NM_OK)
        return err == NM_EFORMAT ? NM_OK : err;
    bool fold = !nm_text_case_matters(&needle);
    for (size_t at = nm_text_find(&look->text, 0, &needle, fold); at != NM_TEXT_NONE && err == NM_OK;
         at = nm_text_find(&look->text, at + 1, &needle, fold))
        if (nm_text_bounded(&look->text, at, at + needle.n))
            err = add_span(look, at, at + needle.n, type);
    return err;
}

/* "TYPE: words", a bullet before it or not. */
static enum nm_err read_line(struct look *look, struct nm_str line)
{
    line = trim(line);
    if (line.len == 0)
        return NM_OK;
    look->lines++;
    if (is_word(line, "none")) {
        look->read++;
        return NM_OK;
    }
    const char *colon = memchr(line.ptr, ':', line.len);
    if (colon == NULL)
        return NM_OK;
    struct nm_str name = trim((struct nm_str){line.ptr, (size_t)(colon - line.ptr)});
    struct nm_str words = trim((struct nm_str){colon + 1, line.len - (size_t)(colon + 1 - line.ptr)});
    for (size_t type = 0; type < look->in->n_types; type++)
        if (is_word(name, look->in->types[type])) {
            look->read++;
            return words.len > 0 && !is_word(words, "none") ? add_places(look, words, type) : NM_OK;
        }
    return NM_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct nm_msg_span *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->end > y->end ? -1 : x->end < y->end; /* the longer one first */
}

static bool same(const struct nm_msg_span *a, const struct nm_msg_span *b)
{
    return a->start == b->start && a->end == b->end && a->type == b->type;
}

static bool is_among(const struct nm_msg_span *span, const struct nm_msg_span *spans, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (same(span, &spans[i]))
            return true;
    return false;
}

/* The lists are a reader too: a listed entity that nobody asked for is one. */
static bool is_listed(const struct look *look, const struct nm_msg_span *span)
{
    const size_t *off = look->text.off;
    const char *s = look->text.s + off[span->start];
    size_t len = off[span->end] - off[span->start];
    if (look->in->lists == NULL)
        return false;
    size_t i = nm_entities_find(look->in->lists, span->type, s, len);
    if (i == NM_ENTITIES_NONE)
        return false;
    const struct nm_entity *entity = nm_entities_get(look->in->lists, i);
    struct nm_text listed;
    bool exact = entity->len == len && memcmp(entity->text, s, len) == 0;
    return exact || (nm_text_decode(entity->text, entity->len, look->arena, &listed) == NM_OK &&
                     !nm_text_case_matters(&listed));
}

/* Both looks as one sorted list, each span with its state; what overlaps becomes one masked span. */
static enum nm_err merge(struct look *look, struct nm_verify_result *out)
{
    const struct nm_verify_input *in = look->in;
    struct nm_msg_span *all = nm_arena_alloc(look->arena, (in->n_first + look->n + 1) * sizeof *all);
    size_t n = 0;
    if (all == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < in->n_first; i++) {
        all[n] = in->first[i];
        all[n++].state = is_among(&in->first[i], look->spans, look->n) ? NM_SPAN_LABELLED : NM_SPAN_MASKED;
    }
    for (size_t i = 0; i < look->n; i++)
        if (!is_among(&look->spans[i], all, n)) {
            all[n] = look->spans[i];
            all[n++].state = is_listed(look, &look->spans[i]) ? NM_SPAN_LABELLED : NM_SPAN_MASKED;
        }
    qsort(all, n, sizeof *all, by_place);
    out->spans = all;
    for (size_t i = 0; i < n; i++) {
        struct nm_msg_span *last = out->n > 0 ? &all[out->n - 1] : NULL;
        if (last == NULL || all[i].start >= last->end) {
            all[out->n++] = all[i];
            continue;
        }
        if (last->state == NM_SPAN_LABELLED && all[i].state == NM_SPAN_MASKED && all[i].end <= last->end)
            continue; /* inside of what both saw: "pain" in "abdominal pain" */
        last->end = all[i].end > last->end ? all[i].end : last->end;
        last->state = NM_SPAN_MASKED;
    }
    for (size_t i = 0; i < out->n && out->unsure_start == out->unsure_end; i++)
        if (all[i].state == NM_SPAN_MASKED) {
            out->unsure_start = all[i].start;
            out->unsure_end = all[i].end;
        }
    return NM_OK;
}

enum nm_err nm_verify(const struct nm_verify_input *in, struct nm_arena *arena, struct nm_verify_result *out)
{
    struct look look = {.in = in, .arena = arena};
    *out = (struct nm_verify_result){.readable = false};
    enum nm_err err = nm_text_decode(in->text.ptr, in->text.len, arena, &look.text);
    const char *end = in->answer.ptr + in->answer.len;
    for (const char *at = in->answer.ptr; at < end && err == NM_OK;) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        eol = eol != NULL ? eol : end;
        err = read_line(&look, (struct nm_str){at, (size_t)(eol - at)});
        at = eol + 1;
    }
    if (err != NM_OK)
        return err;
    out->readable = look.read > 0 && 2 * look.read >= look.lines;
    return merge(&look, out);
}
