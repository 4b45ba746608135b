#include "workers/aligner/bio.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/aligner/matcher.h"
#include "workers/aligner/shortforms.h"
#include "workers/aligner/variants.h"

/* The two tags of a type, and its name. */
struct label {
    struct nm_str type, begin, inside;
};

struct nm_bio {
    const struct nm_entities *entities;
    const struct nm_project_alignment *alignment;
    const struct nm_tokenizer *tokenizer; /* NULL: words are the tokens */
    struct nm_project_alignment plain;    /* of a NULL alignment */
    struct nm_matcher *matcher;
    struct label *labels; /* by type */
    uint32_t *priors;     /* by type: its place in the project's prior, the number of types where it has none */
    struct nm_arena names;
    struct nm_tokens words, tokens;
    struct nm_matches matches;
    struct nm_spans listed, told, spans;
    struct nm_verdict_counts counts;
};

/* ---- making one --------------------------------------------------------------------------------------------------
 */

static enum nm_err make_labels(struct nm_bio *bio)
{
    size_t n = nm_entities_type_count(bio->entities);
    bio->labels = nm_arena_alloc(&bio->names, n * sizeof *bio->labels);
    bio->priors = nm_arena_alloc(&bio->names, n * sizeof *bio->priors);
    if (bio->labels == NULL || bio->priors == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const char *name = nm_entities_type_name(bio->entities, i);
        struct label *label = &bio->labels[i];
        label->type = nm_str(name);
        label->begin = nm_str(nm_arena_sprintf(&bio->names, "B-%s", name));
        label->inside = nm_str(nm_arena_sprintf(&bio->names, "I-%s", name));
        if (label->begin.ptr == NULL || label->inside.ptr == NULL)
            return NM_ENOMEM;
        bio->priors[i] = bio->alignment == &bio->plain ? (uint32_t)i : bio->alignment->n_prior;
        for (uint32_t k = bio->alignment->n_prior; k-- > 0;)
            if (strcmp(bio->alignment->prior[k], name) == 0)
                bio->priors[i] = k;
    }
    return NM_OK;
}

/* The entities, and behind them their variants. */
static enum nm_err make_patterns(const struct nm_bio *bio, struct nm_variants *variants, struct nm_pattern **patterns,
                                 size_t *count)
{
    size_t n = nm_entities_count(bio->entities);
    bool plurals = bio->alignment->plurals;
    bool hyphens = bio->alignment->hyphens;
    enum nm_err err = NM_OK;
    struct nm_pattern *all = calloc(n > 0 ? n : 1, sizeof *all);
    *patterns = all;
    if (all == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        const struct nm_entity *entity = nm_entities_get(bio->entities, i);
        all[i] = (struct nm_pattern){entity->text, entity->len, 0};
        if (plurals || hyphens)
            err = nm_variants_add(variants, &all[i], (uint32_t)i, plurals, hyphens);
    }
    *count = n + variants->n;
    if (err != NM_OK || variants->n == 0)
        return err;
    all = realloc(all, *count * sizeof *all);
    if (all == NULL)
        return NM_ENOMEM;
    *patterns = all;
    memcpy(all + n, variants->v, variants->n * sizeof *all);
    return NM_OK;
}

static enum nm_err make_matcher(struct nm_bio *bio, struct nm_diag *diag)
{
    struct nm_variants variants;
    struct nm_pattern *patterns;
    size_t n;
    nm_variants_init(&variants);
    enum nm_err err = make_patterns(bio, &variants, &patterns, &n);
    err = err == NM_OK ? nm_matcher_new(patterns, n, &bio->matcher, diag)
                       : nm_fail(diag, err, "out of memory for %zu entities", nm_entities_count(bio->entities));
    free(patterns);
    nm_variants_clean_up(&variants);
    return err;
}

enum nm_err nm_bio_new(const struct nm_entities *entities, const struct nm_project_alignment *alignment,
                       const struct nm_tokenizer *tokenizer, struct nm_bio **out, struct nm_diag *diag)
{
    *out = NULL;
    struct nm_bio *bio = calloc(1, sizeof *bio);
    if (bio == NULL)
        return nm_fail(diag, NM_ENOMEM, "aligner: out of memory");
    bio->entities = entities;
    bio->alignment = alignment != NULL ? alignment : &bio->plain; /* all zero: no abbreviations */
    if (tokenizer != NULL && nm_tokenizer_kind(tokenizer) != NM_TOKENIZER_BIOMEDICAL)
        bio->tokenizer = tokenizer;
    nm_arena_init(&bio->names, 0);
    nm_tokens_init(&bio->words);
    nm_tokens_init(&bio->tokens);
    nm_matches_init(&bio->matches);
    enum nm_err err = make_labels(bio);
    if (err != NM_OK)
        (void)nm_fail(diag, err, "aligner: out of memory");
    else
        err = make_matcher(bio, diag);
    if (err != NM_OK)
        nm_bio_destroy(&bio);
    *out = bio;
    return err;
}

void nm_bio_destroy(struct nm_bio **bio)
{
    struct nm_bio *b = *bio;
    if (b == NULL)
        return;
    nm_matcher_destroy(&b->matcher);
    nm_matches_clean_up(&b->matches);
    nm_tokens_clean_up(&b->words);
    nm_tokens_clean_up(&b->tokens);
    nm_spans_clean_up(&b->listed);
    nm_spans_clean_up(&b->told);
    nm_spans_clean_up(&b->spans);
    nm_arena_clean_up(&b->names);
    free(b);
    *bio = NULL;
}

const struct nm_verdict_counts *nm_bio_counts(const struct nm_bio *bio)
{
    return &bio->counts;
}

/* ---- what the model told of --------------------------------------------------------------------------------------
 */

/* From characters to bytes; offsets are asked for in rising order mostly. */
static size_t byte_of(struct nm_str text, uint64_t character, struct nm_utf8_counter *at)
{
    if (character < at->point)
        *at = (struct nm_utf8_counter){.s = text.ptr};
    while (at->point < character && at->byte < text.len) {
        at->byte++;
        while (at->byte < text.len && ((unsigned char)text.ptr[at->byte] & 0xc0) == 0x80)
            at->byte++;
        at->point++;
    }
    return at->point == character ? at->byte : SIZE_MAX;
}

static enum nm_err read_told(struct nm_bio *bio, const struct nm_msg_align *align)
{
    struct nm_utf8_counter at = {.s = align->text.ptr};
    enum nm_err err = NM_OK;
    bio->told.n = 0;
    for (size_t i = 0; i < align->n_mentions && err == NM_OK; i++) {
        const struct nm_msg_span *m = &align->mentions[i];
        struct nm_span span = {.start = byte_of(align->text, m->start, &at),
                               .end = byte_of(align->text, m->end, &at),
                               .type = m->state == NM_SPAN_LABELLED ? (uint32_t)m->type : NM_NO_TYPE,
                               .index = NM_NO_INDEX};
        if (m->type >= nm_entities_type_count(bio->entities) || span.start >= span.end || span.end > align->text.len)
            return NM_EFORMAT;
        err = nm_spans_add(&bio->told, span);
    }
    nm_spans_sort(&bio->told);
    return err;
}

static const struct nm_span *told_at(const struct nm_bio *bio, size_t start, size_t end)
{
    for (size_t i = 0; i < bio->told.n; i++)
        if (bio->told.v[i].start == start && bio->told.v[i].end == end)
            return &bio->told.v[i];
    return NULL;
}

/* ---- what the lists say ------------------------------------------------------------------------------------------
 */

static bool asked_for(const struct nm_msg_align *align, uint32_t entity)
{
    for (size_t i = 0; i < align->n_entities; i++)
        if (align->entities[i].index == entity)
            return true;
    return false;
}

/* How much speaks for a type, the most first: the request, the model, the prior. */
struct claim {
    bool requested, told;
    uint32_t prior;
};

static int compare_claims(const struct claim *a, const struct claim *b)
{
    if (a->requested != b->requested)
        return a->requested ? 1 : -1;
    if (a->told != b->told)
        return a->told ? 1 : -1;
    return a->prior == b->prior ? 0 : a->prior < b->prior ? 1 : -1;
}

/* The entity that a match is, of all that are written so; of those with the best claim the first.  If another type
 * has as good a claim, it is anybody's guess. */
static struct nm_span resolve(const struct nm_bio *bio, const struct nm_msg_align *align, uint32_t match,
                              size_t start, size_t end)
{
    const struct nm_span *told = told_at(bio, start, end);
    struct nm_span span = {.start = start, .end = end};
    struct claim best = {0};
    bool tie = false;
    for (uint32_t i = match; i != NM_NO_ENTITY; i = nm_matcher_twin(bio->matcher, i)) {
        uint32_t entity = nm_matcher_origin(bio->matcher, i);
        uint32_t type = nm_entities_get(bio->entities, entity)->type;
        struct claim claim = {asked_for(align, entity), told != NULL && told->type == type, bio->priors[type]};
        int better = i == match ? 1 : compare_claims(&claim, &best);
        if (better > 0) {
            best = claim;
            span.type = type;
            span.index = entity;
            span.requested = claim.requested;
        }
        tie = better > 0 ? false : tie || (better == 0 && type != span.type);
    }
    if (tie) {
        span.type = NM_NO_TYPE;
        span.note = NM_NOTE_AMBIGUOUS;
    }
    return span;
}

static enum nm_err read_listed(struct nm_bio *bio, const struct nm_msg_align *align)
{
    enum nm_err err = NM_OK;
    bio->listed.n = 0;
    for (size_t i = 0; i < bio->matches.count && err == NM_OK; i++) {
        const struct nm_match *match = &bio->matches.v[i];
        const struct nm_token *first = &bio->words.v[match->first];
        err =
            nm_spans_add(&bio->listed, resolve(bio, align, match->entity, first->start, first[match->count - 1].end));
    }
    return err;
}

/* ---- spans into tags ---------------------------------------------------------------------------------------------
 */

/* The tokens [*first, *last] that the span lies on, looked for from *first on.  False: there are none. */
static bool find_tokens(const struct nm_tokens *tokens, const struct nm_span *span, size_t *first, size_t *last)
{
    while (*first < tokens->count && tokens->v[*first].end <= span->start)
        ++*first;
    if (*first == tokens->count || tokens->v[*first].start >= span->end)
        return false;
    for (*last = *first; *last + 1 < tokens->count && tokens->v[*last + 1].start < span->end;)
        ++*last;
    return true;
}

/* Each span onto whole tokens: what lies on no token goes, what cuts one or shares one is decided. */
static enum nm_err fit_to_tokens(struct nm_bio *bio, const struct nm_tokens *tokens)
{
    struct nm_spans fitted = {0};
    enum nm_err err = NM_OK;
    size_t first = 0;
    size_t last = 0;
    for (size_t i = 0; i < bio->spans.n && err == NM_OK; i++) {
        struct nm_span span = bio->spans.v[i];
        if (!find_tokens(tokens, &span, &first, &last))
            continue;
        bool cut = tokens->v[first].start < span.start || tokens->v[last].end > span.end;
        span.start = tokens->v[first].start;
        span.end = tokens->v[last].end;
        struct nm_span *before = fitted.n > 0 ? &fitted.v[fitted.n - 1] : NULL;
        if (before != NULL && before->end > span.start) { /* on one token: neither can be told */
            span.start = before->start;
            span.index = NM_NO_INDEX;
            fitted.n--;
            err = nm_spans_decide(span, NM_NOTE_CUT,
                                  bio->alignment->cut == NM_POLICY_KEEP ? NM_POLICY_MASK : bio->alignment->cut,
                                  &fitted, &bio->counts);
        } else if (cut && span.type != NM_NO_TYPE) {
            err = nm_spans_decide(span, NM_NOTE_CUT, bio->alignment->cut, &fitted, &bio->counts);
        } else {
            err = nm_spans_add(&fitted, span);
        }
    }
    nm_spans_clean_up(&bio->spans);
    bio->spans = fitted;
    return err;
}

static void put_mention(const struct nm_bio *bio, const struct nm_span *span, struct nm_msg_token *tokens, size_t n,
                        size_t *at, struct nm_msg_mention *mention)
{
    const struct label *label = span->type != NM_NO_TYPE ? &bio->labels[span->type] : NULL;
    while (tokens[*at].start < span->start)
        ++*at;
    for (bool first = true; *at < n && tokens[*at].end <= span->end; ++*at, first = false)
        tokens[*at].tag = label == NULL ? nm_str(NM_TAG_TEXT_MASKED) : first ? label->begin : label->inside;
    *mention = (struct nm_msg_mention){.start = span->start,
                                       .end = span->end,
                                       .type = label != NULL ? label->type : nm_str(""),
                                       .requested = span->requested,
                                       .index = span->index,
                                       .note = nm_str(nm_note_name(span->note))};
}

static enum nm_err fill_in(struct nm_bio *bio, const struct nm_tokens *tokens, struct nm_arena *arena,
                           struct nm_msg_sample *sample)
{
    sample->tokens = nm_arena_alloc(arena, tokens->count * sizeof *sample->tokens);
    sample->mentions = nm_arena_alloc(arena, bio->spans.n * sizeof *sample->mentions);
    if (sample->tokens == NULL || sample->mentions == NULL)
        return NM_ENOMEM;
    sample->n_tokens = tokens->count;
    for (size_t i = 0; i < tokens->count; i++)
        sample->tokens[i] =
            (struct nm_msg_token){.start = tokens->v[i].start, .end = tokens->v[i].end, .tag = nm_str("O")};
    sample->n_mentions = bio->spans.n;
    size_t at = 0;
    for (size_t i = 0; i < bio->spans.n; i++) {
        bio->counts.masked += bio->spans.v[i].type == NM_NO_TYPE;
        put_mention(bio, &bio->spans.v[i], sample->tokens, sample->n_tokens, &at, &sample->mentions[i]);
    }
    return NM_OK;
}

/* Every span of the text into bio->spans, in order. */
static enum nm_err find_spans(struct nm_bio *bio, const struct nm_msg_align *align)
{
    bio->counts = (struct nm_verdict_counts){0};
    bio->spans.n = 0;
    enum nm_err err = nm_tokenize(align->text.ptr, align->text.len, &bio->words);
    if (err == NM_OK)
        err = nm_matcher_run(bio->matcher, align->text.ptr, &bio->words, &bio->matches);
    if (err == NM_OK)
        err = read_told(bio, align);
    if (err == NM_OK)
        err = read_listed(bio, align);
    if (err == NM_OK)
        err = nm_spans_combine(&bio->listed, &bio->told, align->marked, bio->alignment, &bio->spans, &bio->counts);
    if (err == NM_OK && bio->alignment->abbreviations != NM_ABBREVIATIONS_IGNORE)
        err = nm_shortforms_add(align->text, &bio->words, bio->alignment->abbreviations, &bio->spans, &bio->counts);
    return err;
}

enum nm_err nm_bio_align(struct nm_bio *bio, const struct nm_msg_align *align, struct nm_arena *arena,
                         struct nm_msg_sample *sample, const char **rule, const char **detail)
{
    *rule = *detail = "";
    *sample = (struct nm_msg_sample){.task = align->task,
                                     .attempt = align->attempt,
                                     .text = align->text,
                                     .prompt_hash = align->prompt_hash,
                                     .model = align->model,
                                     .seed = align->seed,
                                     .constraint = align->constraint};
    const struct nm_tokens *tokens = bio->tokenizer != NULL ? &bio->tokens : &bio->words;
    enum nm_err err = find_spans(bio, align);
    if (err == NM_OK && bio->tokenizer != NULL)
        err = nm_tokenizer_run(bio->tokenizer, align->text.ptr, align->text.len, &bio->tokens);
    if (err == NM_OK)
        err = fit_to_tokens(bio, tokens);
    if (err != NM_OK)
        return err;
    if (tokens->count == 0) {
        *rule = "empty";
        *detail = "the text holds no visible character";
        return NM_OK;
    }
    if (bio->counts.dropped != NM_NOTE_LISTED) {
        *rule = nm_note_name(bio->counts.dropped);
        *detail = nm_note_detail(bio->counts.dropped);
        return NM_OK;
    }
    return fill_in(bio, tokens, arena, sample);
}
