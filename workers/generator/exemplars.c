#include "workers/generator/exemplars.h"

#include <stdlib.h>
#include <string.h>

#include "workers/aligner/conll.h"
#include "workers/aligner/detokenize.h"

enum { TOKENS_MIN = 4, TOKENS_MAX = 60 };

struct exemplar {
    struct nm_prompt_exemplar plain, marked, listed; /* the same entities and text, each its own answer */
};

struct nm_exemplars {
    struct nm_arena arena;
    struct exemplar *items;
    size_t n;
};

/* One sentence on its way from tokens to an exemplar. */
struct sentence {
    const struct nm_conll_token *tokens;
    size_t n;
    struct nm_str words[TOKENS_MAX];
    size_t starts[TOKENS_MAX];
    struct nm_buf text, marked, listed;
    struct nm_prompt_pair entities[TOKENS_MAX];
    size_t n_entities;
};

static bool begins(const struct sentence *s, size_t i)
{
    struct nm_str tag = s->tokens[i].tag;
    if (tag.len < 3 || tag.ptr[1] != '-')
        return false;
    struct nm_str before = i > 0 ? s->tokens[i - 1].tag : (struct nm_str){"", 0};
    bool same = before.len == tag.len && memcmp(before.ptr + 2, tag.ptr + 2, tag.len - 2) == 0;
    return tag.ptr[0] != 'I' || !same; /* also what IOB1 begins with I- */
}

static bool goes_on(const struct sentence *s, size_t i)
{
    return i < s->n && s->tokens[i].tag.len >= 3 && s->tokens[i].tag.ptr[0] == 'I' && !begins(s, i);
}

static const char *type_of(const struct nm_project *project, struct nm_str tag)
{
    for (uint32_t i = 0; i < project->n_lists; i++)
        if (strlen(project->lists[i].type) == tag.len - 2 &&
            memcmp(project->lists[i].type, tag.ptr + 2, tag.len - 2) == 0)
            return project->lists[i].type;
    return NULL;
}

/* The mention of tokens [first,end), and the text up to it from byte from. */
static enum nm_err add_mention(struct sentence *s, size_t first, size_t end, size_t from, const char *type,
                               struct nm_arena *arena)
{
    size_t start = s->starts[first], stop = s->starts[end - 1] + s->words[end - 1].len;
    const char *text = nm_arena_strndup(arena, s->text.data + start, stop - start);
    if (text == NULL)
        return NM_ENOMEM;
    bool again = false;
    for (size_t i = 0; i < s->n_entities; i++)
        again = again || strcmp(s->entities[i].text, text) == 0;
    enum nm_err err = nm_buf_add(&s->marked, s->text.data + from, start - from);
    if (err == NM_OK)
        err = nm_buf_addf(&s->marked, "[[%s|%s]]", text, type);
    if (err == NM_OK && !again) {
        err = nm_buf_addf(&s->listed, "%s%s: %s", s->n_entities > 0 ? "\n" : "", type, text);
        s->entities[s->n_entities++] = (struct nm_prompt_pair){text, type};
    }
    return err;
}

static enum nm_err read_mentions(const struct nm_project *project, struct sentence *s, const char *name, size_t line,
                                 struct nm_arena *arena, struct nm_diag *diag)
{
    size_t from = 0;
    for (size_t i = 0; i < s->n;) {
        size_t end = i + 1;
        if (!begins(s, i)) {
            i = end;
            continue;
        }
        while (goes_on(s, end))
            end++;
        const char *type = type_of(project, s->tokens[i].tag);
        if (type == NULL)
            return nm_fail(diag, NM_EFORMAT, "%s:%zu: the tag \"%.*s\" is of none of the project's types", name,
                           line + i, (int)s->tokens[i].tag.len, s->tokens[i].tag.ptr);
        enum nm_err err = add_mention(s, i, end, from, type, arena);
        if (err != NM_OK)
            return nm_fail(diag, err, "%s:%zu: %s", name, line, nm_err_name(err));
        from = s->starts[end - 1] + s->words[end - 1].len;
        i = end;
    }
    enum nm_err err = nm_buf_add(&s->marked, s->text.data + from, s->text.len - from);
    if (err == NM_OK && s->n_entities == 0)
        err = nm_buf_adds(&s->listed, "none");
    return err == NM_OK ? NM_OK : nm_fail(diag, err, "%s:%zu: %s", name, line, nm_err_name(err));
}

static enum nm_err keep(struct nm_exemplars *exemplars, const struct sentence *s)
{
    struct nm_arena *arena = &exemplars->arena;
    struct nm_prompt_pair *entities = nm_arena_alloc(arena, (s->n_entities + 1) * sizeof *entities);
    const char *text = nm_arena_strndup(arena, nm_buf_str(&s->text), s->text.len);
    const char *marked = nm_arena_strndup(arena, nm_buf_str(&s->marked), s->marked.len);
    const char *listed = nm_arena_strndup(arena, nm_buf_str(&s->listed), s->listed.len);
    if (entities == NULL || text == NULL || marked == NULL || listed == NULL)
        return NM_ENOMEM;
    memcpy(entities, s->entities, s->n_entities * sizeof *entities);
    exemplars->items[exemplars->n++] = (struct exemplar){{entities, s->n_entities, text, text},
                                                         {entities, s->n_entities, text, marked},
                                                         {entities, s->n_entities, text, listed}};
    return NM_OK;
}

static enum nm_err read_sentence(const struct nm_project *project, const struct nm_conll_token *tokens, size_t n,
                                 const char *name, size_t line, struct nm_exemplars *exemplars, struct nm_diag *diag)
{
    struct sentence s = {.tokens = tokens, .n = n};
    uint32_t gaps[TOKENS_MAX];
    nm_buf_init(&s.text, 1U << 16);
    nm_buf_init(&s.marked, 1U << 16);
    nm_buf_init(&s.listed, 1U << 16);
    for (size_t i = 0; i < n; i++)
        s.words[i] = tokens[i].text;
    nm_detokenize(s.words, n, gaps);
    enum nm_err err = nm_detokenize_join(s.words, n, gaps, &s.text, s.starts);
    err = err == NM_OK ? read_mentions(project, &s, name, line, &exemplars->arena, diag)
                       : nm_fail(diag, err, "%s:%zu: %s", name, line, nm_err_name(err));
    if (err == NM_OK && keep(exemplars, &s) != NM_OK)
        err = nm_fail(diag, NM_ENOMEM, "%s: out of memory", name);
    nm_buf_clean_up(&s.text);
    nm_buf_clean_up(&s.marked);
    nm_buf_clean_up(&s.listed);
    return err;
}

static enum nm_err read_all(const struct nm_project *project, const struct nm_conll *conll, const char *name,
                            struct nm_exemplars *exemplars, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    exemplars->items = nm_arena_alloc(&exemplars->arena, (conll->n_sentences + 1) * sizeof *exemplars->items);
    if (exemplars->items == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", name);
    for (size_t i = 0; i < conll->n_sentences && err == NM_OK; i++) {
        const struct nm_conll_sentence *s = &conll->sentences[i];
        if (s->n >= TOKENS_MIN && s->n <= TOKENS_MAX)
            err = read_sentence(project, conll->tokens + s->first, s->n, name, s->line, exemplars, diag);
    }
    if (err == NM_OK && exemplars->n == 0)
        err = nm_fail(diag, NM_EFORMAT, "%s: no sentence of %d to %d tokens in it", name, TOKENS_MIN, TOKENS_MAX);
    return err;
}

enum nm_err nm_exemplars_parse(const struct nm_project *project, const char *name, const char *data, size_t len,
                               struct nm_exemplars **exemplars, struct nm_diag *diag)
{
    struct nm_conll conll;
    struct nm_exemplars *made = calloc(1, sizeof *made);
    *exemplars = NULL;
    if (made == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", name);
    nm_arena_init(&made->arena, 0);
    nm_conll_init(&conll);
    enum nm_err err = nm_conll_parse(&conll, data, len, name, diag);
    if (err == NM_OK)
        err = read_all(project, &conll, name, made, diag);
    nm_conll_clean_up(&conll);
    if (err != NM_OK)
        nm_exemplars_destroy(&made);
    *exemplars = made;
    return err;
}

void nm_exemplars_destroy(struct nm_exemplars **exemplars)
{
    if (*exemplars == NULL)
        return;
    nm_arena_clean_up(&(*exemplars)->arena);
    free(*exemplars);
    *exemplars = NULL;
}

enum nm_err nm_exemplars_draw(const struct nm_exemplars *exemplars, uint64_t seed, size_t count,
                              enum nm_exemplar_form form, struct nm_arena *arena,
                              const struct nm_prompt_exemplar **drawn, size_t *n)
{
    count = count < exemplars->n ? count : exemplars->n;
    struct nm_prompt_exemplar *out = nm_arena_alloc(arena, (count + 1) * sizeof *out);
    size_t *places = nm_arena_alloc(arena, (exemplars->n + 1) * sizeof *places);
    struct nm_rng rng;
    if (out == NULL || places == NULL)
        return NM_ENOMEM;
    nm_rng_init(&rng, seed);
    for (size_t i = 0; i < exemplars->n; i++)
        places[i] = i;
    for (size_t i = 0; i < count; i++) { /* the beginning of a Fisher-Yates shuffle */
        size_t other = i + (size_t)nm_rng_below(&rng, exemplars->n - i), place = places[other];
        places[other] = places[i];
        const struct exemplar *item = &exemplars->items[place];
        out[i] = form == NM_EXEMPLAR_PLAIN ? item->plain : form == NM_EXEMPLAR_MARKED ? item->marked : item->listed;
    }
    *drawn = out;
    *n = count;
    return NM_OK;
}
