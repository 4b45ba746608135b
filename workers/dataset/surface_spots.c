#include "workers/dataset/surface_spots.h"

/* So many tokens stand before the first place of an aside: "However," has none. */
enum { TOKENS_BEFORE = 4 };

static struct nm_token_span *room_for(struct nm_arena *arena, const struct nm_msg_sample *sample)
{
    return nm_arena_alloc(arena, (sample->n_tokens + 1) * sizeof(struct nm_token_span));
}

/* A comma or a full stop that parts words: not the one in "0.5". */
static bool is_pause(const struct nm_msg_sample *sample, size_t i, char c)
{
    const struct nm_msg_token *t = &sample->tokens[i];
    return i >= TOKENS_BEFORE && t->end - t->start == 1 && sample->text.ptr[t->start] == c &&
           (t->end == sample->text.len || sample->text.ptr[t->end] == ' ');
}

enum nm_err nm_spots_find(const struct nm_terms *decoys, const struct nm_msg_sample *sample, struct nm_arena *arena,
                          struct nm_spot **spots, size_t *n)
{
    const struct nm_msg_token *t = sample->tokens;
    struct nm_token_span *found = room_for(arena, sample);
    struct nm_spot *out = *spots = nm_arena_alloc(arena, (sample->n_tokens + sample->n_mentions + 1) * sizeof *out);
    size_t n_found = 0, decoy = 0, mention = 0, next;
    *n = 0;
    if (found == NULL || out == NULL)
        return NM_ENOMEM;
    enum nm_err err = nm_terms_find(decoys, sample, found, &n_found);
    for (size_t i = 0; i < sample->n_tokens && err == NM_OK; i = next) {
        const struct nm_msg_mention *m = mention < sample->n_mentions ? &sample->mentions[mention] : NULL;
        next = i + 1;
        while (decoy < n_found && found[decoy].first < i)
            decoy++;
        const struct nm_token_span *d = decoy < n_found && found[decoy].first == i ? &found[decoy] : NULL;
        if (m != NULL && t[i].end > m->start) {
            out[(*n)++] = (struct nm_spot){NM_SPOT_MENTION, m->start, m->end, m};
            mention++;
            while (next < sample->n_tokens && t[next].start < m->end)
                next++;
        } else if (d != NULL && (m == NULL || t[d->end - 1].end <= m->start)) {
            out[(*n)++] = (struct nm_spot){NM_SPOT_DECOY, t[i].start, t[d->end - 1].end, NULL};
            next = d->end;
        } else if (is_pause(sample, i, ',') || is_pause(sample, i, '.')) {
            const enum nm_spot_kind kind = sample->text.ptr[t[i].start] == ',' ? NM_SPOT_COMMA : NM_SPOT_STOP;
            out[(*n)++] = (struct nm_spot){kind, t[i].start, t[i].end, NULL};
        }
    }
    return err;
}

/* Is the mention a part of one of the terms, and shorter? */
static bool is_part(const struct nm_msg_sample *sample, const struct nm_msg_mention *m,
                    const struct nm_token_span *terms, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t start = sample->tokens[terms[i].first].start, end = sample->tokens[terms[i].end - 1].end;
        if (start <= m->start && m->end <= end)
            return end - start > m->end - m->start;
    }
    return false;
}

enum nm_err nm_spots_shield(const struct nm_terms *decoys, struct nm_msg_sample *sample, struct nm_arena *room,
                            struct nm_arena *arena, uint64_t *shielded)
{
    struct nm_token_span *found = room_for(room, sample);
    size_t n = 0, kept = 0;
    enum nm_err err = found != NULL ? nm_terms_find(decoys, sample, found, &n) : NM_ENOMEM;
    if (err != NM_OK)
        return err;
    for (size_t i = 0; i < sample->n_mentions; i++) {
        const struct nm_msg_mention m = sample->mentions[i];
        if (nm_mention_masked(&m) || !is_part(sample, &m, found, n))
            sample->mentions[kept++] = m;
    }
    *shielded += sample->n_mentions - kept;
    sample->n_mentions = kept;
    return nm_record_tag(arena, sample);
}
