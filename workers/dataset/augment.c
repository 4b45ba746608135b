#include "workers/dataset/augment.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/hash.h"
#include "common/utf8.h"
#include "workers/aligner/tokenizer.h"
#include "workers/dataset/draft.h"
#include "workers/dataset/tally.h"

/* A sentence of the file, which stays for all of its copies. */
struct sentence {
    struct nm_record record;
    struct sentence *next;
};

struct augmenting {
    struct nm_augment *augment;
    nm_record_fn fn;
    void *ctx;
    size_t *names;                  /* numbers of entities, by type */
    struct nm_typed_names *lists;   /* by type; each a part of names */
    struct sentence *first, **last; /* the file's, in kept; last: where the next one goes */
    struct nm_arena kept;
    struct nm_buf words; /* the file as CoNLL with offsets, to learn from */
    struct nm_tokenizer *tokenizer;
    struct nm_tally seen;    /* hashes of texts */
    uint64_t sentence, copy; /* the present ones' numbers */
    struct nm_arena arena;
    struct nm_draft draft;      /* the copy that is made */
    struct nm_surface *surface; /* NULL: mention replacement */
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

static enum nm_err keep(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    struct augmenting *a = ctx;
    struct sentence *sentence = nm_arena_alloc(&a->kept, sizeof *sentence);
    if (sentence == NULL || nm_record_copy(&a->kept, record, &sentence->record) != NM_OK)
        return no_memory(diag);
    *a->last = sentence;
    a->last = &sentence->next;
    return NM_OK;
}

/* What happens with one of them. */
typedef enum nm_err (*sentence_fn)(struct augmenting *a, struct nm_record *record, struct nm_diag *diag);

static enum nm_err each(struct augmenting *a, sentence_fn fn, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
    a->sentence = 0;
    for (struct sentence *s = a->first; s != NULL && err == NM_OK; s = s->next, a->sentence++)
        err = fn(a, &s->record, diag);
    return err;
}

static enum nm_err learn_from(struct augmenting *a, struct nm_record *record, struct nm_diag *diag)
{
    const struct nm_msg_sample *sample = &record->sample;
    struct nm_utf8_counter at = {.s = sample->text.ptr};
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < sample->n_tokens && err == NM_OK; i++) {
        const struct nm_msg_token *t = &sample->tokens[i];
        err = nm_buf_addf(&a->words, "%.*s\t%" PRIu64 "\tO\n", (int)(t->end - t->start), sample->text.ptr + t->start,
                          nm_utf8_count_to(&at, t->start));
    }
    if (err == NM_OK)
        err = nm_buf_addc(&a->words, '\n');
    return err == NM_OK ? NM_OK : no_memory(diag);
}

static enum nm_err take(struct augmenting *a, struct nm_record *record, struct nm_diag *diag)
{
    enum nm_err err = NM_OK;
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
    enum nm_err err = each(a, learn_from, diag);
    if (err == NM_OK)
        err = nm_conll_parse(&conll, nm_buf_str(&a->words), a->words.len, a->augment->from.path, diag);
    if (err == NM_OK && nm_tokenizer_learn(&conll, &a->tokenizer) != NM_OK)
        err = no_memory(diag);
    nm_conll_clean_up(&conll);
    return err;
}

/* ---- a copy ----------------------------------------------------------------------------------------------------
 */

/* A name in place of a mention, whose own name, case aside, it is not; NULL: there is no other one. */
static const struct nm_entity *draw(const struct augmenting *a, const struct nm_msg_sample *sample,
                                    const struct nm_msg_mention *m, struct nm_rng *rng)
{
    const struct nm_entities *entities = a->augment->entities;
    const size_t type = nm_entities_type_find(entities, m->type.ptr, m->type.len);
    const struct nm_typed_names *list = type != NM_ENTITIES_NONE ? &a->lists[type] : NULL;
    if (list == NULL || list->n == 0)
        return NULL;
    size_t own = nm_entities_find(entities, type, sample->text.ptr + m->start, m->end - m->start);
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

/* The record with its mentions replaced by names, in a's draft and arena. */
static enum nm_err build(struct augmenting *a, const struct nm_msg_sample *from, const struct nm_entity *const *names,
                         struct nm_msg_sample *to)
{
    nm_draft_begin(&a->draft, from);
    for (size_t i = 0; i < from->n_mentions; i++) {
        const struct nm_msg_mention *m = &from->mentions[i];
        if (names[i] == NULL) {
            nm_draft_keep(&a->draft, m);
            continue;
        }
        nm_draft_copy(&a->draft, m->start);
        nm_draft_name(&a->draft, names[i]->text, names[i]->len, m->type);
        nm_draft_skip(&a->draft, m->end);
    }
    return nm_draft_end(&a->draft, &a->arena, to);
}

/* A copy goes to fn, unless its text is there already. */
static enum nm_err give(struct augmenting *a, struct nm_record *made, uint64_t replaced, struct nm_diag *diag)
{
    struct nm_augment_counts *counts = &a->augment->counts;
    enum nm_err err = NM_OK;
    if (!is_new(a, made->sample.text.ptr, made->sample.text.len, &err)) {
        counts->repeated += err == NM_OK;
        return err == NM_OK ? NM_OK : no_memory(diag);
    }
    made->sample.task = counts->sentences + ++counts->copies;
    counts->replaced += replaced;
    return a->fn(a->ctx, made, diag);
}

/* All copies of a sentence, by mention replacement. */
static enum nm_err replace(struct augmenting *a, struct nm_record *record, struct nm_diag *diag)
{
    struct nm_rng rng;
    enum nm_err err = NM_OK;
    nm_rng_init(&rng, nm_mix64(a->augment->seed) ^ a->sentence);
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
        err = give(a, &made, replaced, diag);
    }
    return err;
}

/* ---- with the surface form of real text ------------------------------------------------------------------------
 */

/* Its copies are made of what is left of it then. */
static enum nm_err take_shielded(struct augmenting *a, struct nm_record *record, struct nm_diag *diag)
{
    nm_arena_reset(&a->arena);
    if (nm_surface_shield(a->surface, &record->sample, &a->arena, &a->kept) != NM_OK)
        return no_memory(diag);
    return take(a, record, diag);
}

/* One copy of a sentence. */
static enum nm_err resurface(struct augmenting *a, struct nm_record *record, struct nm_diag *diag)
{
    struct nm_record made = *record;
    struct nm_rng rng;
    nm_rng_init(&rng, nm_mix64(nm_mix64(a->augment->seed) ^ a->sentence) ^ a->copy);
    nm_arena_reset(&a->arena);
    if (nm_surface_copy(a->surface, &record->sample, &rng, &a->arena, &made.sample) != NM_OK)
        return no_memory(diag);
    return give(a, &made, 0, diag);
}

/* Sentence after sentence for each copy, so that one copy more changes nothing of the others: what names are dealt
 * depends on all that were dealt before. */
static enum nm_err read_with_surface(struct augmenting *a, struct nm_diag *diag)
{
    struct nm_augment *augment = a->augment;
    const struct nm_surface_parts parts = {augment->surface, augment->entities, a->lists, a->tokenizer,
                                           augment->seed};
    enum nm_err err = nm_surface_new(&parts, &a->surface, diag);
    if (err == NM_OK)
        err = each(a, take_shielded, diag);
    for (a->copy = 1; a->copy <= augment->copies && err == NM_OK; a->copy++)
        err = each(a, resurface, diag);
    if (err == NM_OK)
        augment->counts.surface = *nm_surface_counts(a->surface);
    return err;
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
        struct nm_typed_names *list = &a->lists[t];
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
    nm_surface_destroy(&a->surface);
    nm_draft_clean_up(&a->draft);
    nm_tokenizer_destroy(&a->tokenizer);
    nm_tally_clean_up(&a->seen);
    nm_buf_clean_up(&a->words);
    nm_arena_clean_up(&a->kept);
    nm_arena_clean_up(&a->arena);
}

static enum nm_err read_with_replacement(struct augmenting *a, struct nm_diag *diag)
{
    enum nm_err err = each(a, take, diag);
    return err == NM_OK ? each(a, replace, diag) : err;
}

enum nm_err nm_augment_read(const void *from, nm_record_fn fn, void *ctx, struct nm_diag *diag)
{
    struct augmenting a = {.augment = *(struct nm_augment *const *)from, .fn = fn, .ctx = ctx};
    struct nm_import import = a.augment->from;
    struct nm_record_counts counts;
    a.augment->counts = (struct nm_augment_counts){0};
    import.natural = true;
    a.last = &a.first;
    nm_arena_init(&a.kept, 0);
    nm_arena_init(&a.arena, 0);
    nm_buf_init(&a.words, SIZE_MAX / 4);
    enum nm_err err = make_lists(&a) == NM_OK ? NM_OK : no_memory(diag);
    if (err == NM_OK)
        err = nm_import_read(&import, keep, &a, &counts, diag);
    if (err == NM_OK)
        err = learn(&a, diag);
    nm_draft_init(&a.draft, a.tokenizer);
    if (err == NM_OK)
        err = a.augment->surface != NULL ? read_with_surface(&a, diag) : read_with_replacement(&a, diag);
    clean_up(&a);
    return err;
}
