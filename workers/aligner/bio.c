#include "workers/aligner/bio.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/aligner/matcher.h"
#include "workers/aligner/tokenize.h"

/* The two tags of a type, and its name. */
struct label {
    struct nm_str type, begin, inside;
};

struct nm_bio {
    const struct nm_entities *entities;
    struct nm_matcher *matcher;
    struct label *labels; /* by type */
    struct nm_arena names;
    struct nm_tokens tokens;
    struct nm_matches matches;
};

static enum nm_err make_labels(struct nm_bio *bio)
{
    size_t n = nm_entities_type_count(bio->entities);
    bio->labels = nm_arena_alloc(&bio->names, n * sizeof *bio->labels);
    if (bio->labels == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const char *name = nm_entities_type_name(bio->entities, i);
        struct label *label = &bio->labels[i];
        label->type = nm_str(name);
        label->begin = nm_str(nm_arena_sprintf(&bio->names, "B-%s", name));
        label->inside = nm_str(nm_arena_sprintf(&bio->names, "I-%s", name));
        if (label->begin.ptr == NULL || label->inside.ptr == NULL)
            return NM_ENOMEM;
    }
    return NM_OK;
}

static enum nm_err make_matcher(struct nm_bio *bio, struct nm_diag *diag)
{
    size_t n = nm_entities_count(bio->entities);
    struct nm_pattern *patterns = calloc(n > 0 ? n : 1, sizeof *patterns);
    if (patterns == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory for %zu entities", n);
    for (size_t i = 0; i < n; i++) {
        const struct nm_entity *entity = nm_entities_get(bio->entities, i);
        patterns[i] = (struct nm_pattern){entity->text, entity->len};
    }
    enum nm_err err = nm_matcher_new(patterns, n, &bio->matcher, diag);
    free(patterns);
    return err;
}

enum nm_err nm_bio_new(const struct nm_entities *entities, struct nm_bio **out, struct nm_diag *diag)
{
    *out = NULL;
    struct nm_bio *bio = calloc(1, sizeof *bio);
    if (bio == NULL)
        return nm_fail(diag, NM_ENOMEM, "aligner: out of memory");
    bio->entities = entities;
    nm_arena_init(&bio->names, 0);
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
    nm_tokens_clean_up(&b->tokens);
    nm_arena_clean_up(&b->names);
    free(b);
    *bio = NULL;
}

static bool asked_for(const struct nm_msg_align *align, uint32_t entity)
{
    for (size_t i = 0; i < align->n_entities; i++)
        if (align->entities[i].index == entity)
            return true;
    return false;
}

/* The twin that was asked for, else the entity itself. */
static uint32_t prefer(const struct nm_bio *bio, const struct nm_msg_align *align, uint32_t entity, bool *requested)
{
    for (uint32_t i = entity; i != NM_NO_ENTITY; i = nm_matcher_twin(bio->matcher, i)) {
        *requested = asked_for(align, i);
        if (*requested)
            return i;
    }
    return entity;
}

static void put_mention(struct nm_bio *bio, const struct nm_msg_align *align, const struct nm_match *match,
                        struct nm_msg_token *tokens, struct nm_msg_mention *mention)
{
    bool requested = false;
    uint32_t entity = prefer(bio, align, match->entity, &requested);
    const struct label *label = &bio->labels[nm_entities_get(bio->entities, entity)->type];
    struct nm_msg_token *first = &tokens[match->first];
    for (uint32_t i = 0; i < match->count; i++)
        first[i].tag = i == 0 ? label->begin : label->inside;
    *mention = (struct nm_msg_mention){.start = first->start,
                                       .end = first[match->count - 1].end,
                                       .type = label->type,
                                       .requested = requested,
                                       .index = entity};
}

static struct nm_msg_token *put_tokens(const struct nm_tokens *tokens, struct nm_arena *arena)
{
    struct nm_msg_token *out = nm_arena_alloc(arena, tokens->count * sizeof *out);
    for (size_t i = 0; out != NULL && i < tokens->count; i++)
        out[i] = (struct nm_msg_token){.start = tokens->v[i].start, .end = tokens->v[i].end, .tag = nm_str("O")};
    return out;
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
    enum nm_err err = nm_tokenize(align->text.ptr, align->text.len, &bio->tokens);
    if (err == NM_OK)
        err = nm_matcher_run(bio->matcher, align->text.ptr, &bio->tokens, &bio->matches);
    if (err != NM_OK)
        return err;
    if (bio->tokens.count == 0) {
        *rule = "empty";
        *detail = "the text holds no visible character";
        return NM_OK;
    }
    sample->tokens = put_tokens(&bio->tokens, arena);
    sample->mentions = nm_arena_alloc(arena, bio->matches.count * sizeof *sample->mentions);
    if (sample->tokens == NULL || sample->mentions == NULL)
        return NM_ENOMEM;
    sample->n_tokens = bio->tokens.count;
    sample->n_mentions = bio->matches.count;
    for (size_t i = 0; i < bio->matches.count; i++)
        put_mention(bio, align, &bio->matches.v[i], sample->tokens, &sample->mentions[i]);
    return NM_OK;
}
