#include "workers/dataset/augment.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/utf8.h"
#include "workers/aligner/tokenizer.h"
#include "workers/dataset/tally.h"

/* The names of a type, by their numbers in the set. */
struct list {
    size_t *names;
    size_t n;
};

struct augmenting {
    struct nm_augment *augment;
    nm_record_fn fn;
    void *ctx;
    size_t *names;       /* numbers of entities, by type */
    struct list *lists;  /* by type; each a part of names */
    struct nm_buf words; /* the file as CoNLL with offsets, to learn from */
    struct nm_tokenizer *tokenizer;
    struct nm_tokens tokens;
    struct nm_tally seen; /* hashes of texts */
    uint64_t sentence;    /* the present one's number */
    struct nm_arena arena;
    struct nm_buf text; /* of the copy that is made */
};

static enum nm_err no_memory(struct nm_diag *diag)
{
    return nm_fail(diag, NM_ENOMEM, "augment: out of memory");
}

/* False: it is known already, or (*err) there is no memory. */
static bool is_new(struct augmenting *a, const char *text, size_t len, enum nm_err *err)
{
    uint64_t *seen = nm_tally_at(&a->seen, nm_hash64(text, len, 0));
    if (seen == NULL)
        *err = NM_ENOMEM;
    return seen != NULL && ++*seen == 1;
}

/* ---- the sentences themselves ----------------------------------------------------------------------------------
 */

static enum nm_err learn_from(struct augmenting *a, const struct nm_msg_sample *sample)
{
    struct nm_utf8_counter at = {.s = sample->text.ptr};
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < sample->n_tokens && err == NM_OK; i++) {
        const struct nm_msg_token *t = &sample->tokens[i];
        err = nm_buf_addf(&a->words, "%.*s\t%" PRIu64 "\tO\n", (int)(t->end - t->start), sample->text.ptr + t->start,
                          nm_utf8_count_to(&at, t->start));
    }
    return err == NM_OK ? nm_buf_addc(&a->words, '\n') : err;
}

static enum nm_err take(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    struct augmenting *a = ctx;
    enum nm_err err = learn_from(a, &record->sample);
    if (err == NM_OK)
        (void)is_new(a, record->sample.text.ptr, record->sample.text.len, &err);
    if (err != NM_OK)
        return no_memory(diag);
    a->augment->counts.sentences++;
    return a->fn(a->ctx, record, diag);
}

static enum nm_err learn(struct augmenting *a, struct nm_diag *diag)
{
    struct nm_conll conll;
    nm_conll_init(&conll);
    enum nm_err err = nm_conll_parse(&conll, nm_buf_str(&a->words), a->words.len, a->augment->from.path, diag);
    if (err == NM_OK && nm_tokenizer_learn(&conll, &a->tokenizer) != NM_OK)
        err = no_memory(diag);
    nm_conll_clean_up(&conll);
    return err;
}

/* ---- a copy ----------------------------------------------------------------------------------------------------
 */

static const struct list *list_of(const struct augmenting *a, struct nm_str type)
{
    for (size_t i = 0; i < nm_entities_type_count(a->augment->entities); i++) {
        const char *name = nm_entities_type_name(a->augment->entities, i);
        if (strlen(name) == type.len && memcmp(name, type.ptr, type.len) == 0)
            return &a->lists[i];
    }
    return NULL;
}

/* A name in place of a mention, whose own name, case aside, it is not; NULL: there is no other one. */
static const struct nm_entity *draw(const struct augmenting *a, const struct nm_msg_sample *sample,
                                    const struct nm_msg_mention *m, struct nm_rng *rng)
{
    const struct nm_entities *entities = a->augment->entities;
    const struct list *list = list_of(a, m->type);
    if (list == NULL || list->n == 0)
        return NULL;
    size_t own =
        nm_entities_find(entities, (size_t)(list - a->lists), sample->text.ptr + m->start, m->end - m->start);
    size_t at = (size_t)nm_rng_below(rng, list->n);
    if (list->names[at] == own)
        at = (at + 1) % list->n;
    return list->names[at] == own ? NULL : nm_entities_get(entities, list->names[at]);
}

/* By which name each mention is replaced, NULL where it stays; how many are. */
static size_t choose(const struct augmenting *a, const struct nm_msg_sample *sample, struct nm_rng *rng,
                     const struct nm_entity **names)
{
    size_t n = 0, able = 0;
    const struct nm_entity *only = NULL;
    size_t place = 0;
    for (size_t i = 0; i < sample->n_mentions; i++) {
        const struct nm_entity *name = draw(a, sample, &sample->mentions[i], rng);
        bool chosen = nm_rng_unit(rng) < a->augment->share;
        if (name != NULL && nm_rng_below(rng, ++able) == 0) { /* one of those that could be, each as likely */
            only = name;
            place = i;
        }
        names[i] = chosen ? name : NULL;
        n += names[i] != NULL;
    }
    if (n == 0 && only != NULL) {
        names[place] = only;
        n = 1;
    }
    return n;
}

/* Tokens of the old text from *at on, up to byte end, with the text before and between them. */
static enum nm_err copy_until(struct augmenting *a, const struct nm_msg_sample *from, struct nm_msg_sample *to,
                              size_t *at, uint64_t *byte, uint64_t end)
{
    uint64_t begin = a->text.len;
    enum nm_err err = nm_buf_add(&a->text, from->text.ptr + *byte, end - *byte);
    for (; *at < from->n_tokens && from->tokens[*at].end <= end; ++*at)
        to->tokens[to->n_tokens++] = (struct nm_msg_token){.start = from->tokens[*at].start - *byte + begin,
                                                           .end = from->tokens[*at].end - *byte + begin};
    *byte = end;
    return err;
}

/* The name with its tokens in place of the mention. */
static enum nm_err put_name(struct augmenting *a, const struct nm_entity *name, struct nm_msg_sample *to)
{
    uint64_t begin = a->text.len;
    enum nm_err err = nm_tokenizer_run(a->tokenizer, name->text, name->len, &a->tokens);
    for (size_t i = 0; i < a->tokens.count && err == NM_OK; i++)
        to->tokens[to->n_tokens++] =
            (struct nm_msg_token){.start = a->tokens.v[i].start + begin, .end = a->tokens.v[i].end + begin};
    return err == NM_OK ? nm_buf_add(&a->text, name->text, name->len) : err;
}

/* Room for a copy's tokens, of which a name has at most as many as bytes, and for its mentions. */
static enum nm_err make_room(struct augmenting *a, const struct nm_msg_sample *from,
                             const struct nm_entity *const *names, struct nm_msg_sample *to)
{
    size_t room = from->n_tokens + 1;
    for (size_t i = 0; i < from->n_mentions; i++)
        room += names[i] != NULL ? names[i]->len : 0;
    to->n_tokens = 0;
    to->tokens = nm_arena_alloc(&a->arena, room * sizeof *to->tokens);
    to->mentions = nm_arena_alloc(&a->arena, (from->n_mentions + 1) * sizeof *to->mentions);
    return to->tokens != NULL && to->mentions != NULL ? NM_OK : NM_ENOMEM;
}

/* The record with its mentions replaced by names, in a's arena and text. */
static enum nm_err build(struct augmenting *a, const struct nm_msg_sample *from, const struct nm_entity *const *names,
                         struct nm_msg_sample *to)
{
    size_t at = 0;
    uint64_t byte = 0;
    nm_buf_reset(&a->text);
    enum nm_err err = make_room(a, from, names, to);
    for (size_t i = 0; i < from->n_mentions && err == NM_OK; i++) {
        const struct nm_msg_mention *m = &from->mentions[i];
        err = copy_until(a, from, to, &at, &byte, m->start);
        to->mentions[i] = *m;
        to->mentions[i].start = a->text.len;
        if (err == NM_OK && names[i] != NULL) {
            err = put_name(a, names[i], to);
            byte = m->end;
            while (at < from->n_tokens && from->tokens[at].end <= byte)
                at++;
        } else if (err == NM_OK) {
            err = copy_until(a, from, to, &at, &byte, m->end);
        }
        to->mentions[i].end = a->text.len;
    }
    if (err == NM_OK)
        err = copy_until(a, from, to, &at, &byte, from->text.len);
    to->text = (struct nm_str){nm_buf_str(&a->text), a->text.len};
    return err == NM_OK ? nm_record_tag(&a->arena, to) : err;
}

static enum nm_err copy(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    struct augmenting *a = ctx;
    struct nm_augment_counts *counts = &a->augment->counts;
    struct nm_rng rng;
    enum nm_err err = NM_OK;
    nm_rng_init(&rng, nm_mix64(a->augment->seed) ^ a->sentence++);
    for (uint64_t i = 0; i < a->augment->copies && err == NM_OK; i++) {
        struct nm_record made = *record;
        nm_arena_reset(&a->arena);
        const struct nm_entity **names =
            nm_arena_alloc(&a->arena, (record->sample.n_mentions + 1) * sizeof(const struct nm_entity *));
        if (names == NULL)
            return no_memory(diag);
        size_t replaced = choose(a, &record->sample, &rng, names);
        if (replaced == 0)
            return NM_OK;
        if (build(a, &record->sample, names, &made.sample) != NM_OK)
            return no_memory(diag);
        if (!is_new(a, made.sample.text.ptr, made.sample.text.len, &err)) {
            counts->repeated += err == NM_OK;
            continue;
        }
        made.sample.task = counts->sentences + ++counts->copies;
        counts->replaced += replaced;
        err = a->fn(a->ctx, &made, diag);
    }
    return err == NM_ENOMEM && diag->text[0] == '\0' ? no_memory(diag) : err;
}

/* ---- both ------------------------------------------------------------------------------------------------------
 */

static enum nm_err make_lists(struct augmenting *a)
{
    const struct nm_entities *entities = a->augment->entities;
    size_t n = nm_entities_count(entities), n_types = nm_entities_type_count(entities), at = 0;
    a->names = calloc(n + 1, sizeof *a->names);
    a->lists = calloc(n_types + 1, sizeof *a->lists);
    if (a->names == NULL || a->lists == NULL)
        return NM_ENOMEM;
    for (size_t t = 0; t < n_types; t++) {
        struct list *list = &a->lists[t];
        list->names = a->names + at;
        for (size_t i = 0; i < n; i++)
            if (nm_entities_get(entities, i)->type == t)
                list->names[list->n++] = i;
        at += list->n;
    }
    return NM_OK;
}

static void clean_up(struct augmenting *a)
{
    free(a->names);
    free(a->lists);
    nm_tokenizer_destroy(&a->tokenizer);
    nm_tokens_clean_up(&a->tokens);
    nm_tally_clean_up(&a->seen);
    nm_buf_clean_up(&a->words);
    nm_buf_clean_up(&a->text);
    nm_arena_clean_up(&a->arena);
}

enum nm_err nm_augment_read(const void *from, nm_record_fn fn, void *ctx, struct nm_diag *diag)
{
    struct augmenting a = {.augment = *(struct nm_augment *const *)from, .fn = fn, .ctx = ctx};
    struct nm_import import = a.augment->from;
    struct nm_record_counts counts;
    a.augment->counts = (struct nm_augment_counts){0};
    import.natural = true;
    if (strcmp(import.path, "-") == 0)
        return nm_fail(diag, NM_EINVAL, "the file is read twice: name one");
    nm_arena_init(&a.arena, 0);
    nm_tokens_init(&a.tokens);
    nm_buf_init(&a.words, SIZE_MAX / 4);
    nm_buf_init(&a.text, SIZE_MAX / 4);
    enum nm_err err = make_lists(&a) == NM_OK ? NM_OK : no_memory(diag);
    if (err == NM_OK)
        err = nm_import_read(&import, take, &a, &counts, diag);
    if (err == NM_OK)
        err = learn(&a, diag);
    if (err == NM_OK)
        err = nm_import_read(&import, copy, &a, &counts, diag);
    clean_up(&a);
    return err;
}
