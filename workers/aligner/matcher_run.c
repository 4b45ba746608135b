/* matcher_run.c - matching.
 *
 * With 1,000,000 entities every step of a look-up is a cache miss, and a text is short: so the tokens of a block take
 * each step together, one asking for the cache lines of the next, and the misses overlap.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "workers/aligner/array.h"
#include "workers/aligner/matcher_parts.h"

enum { BLOCK = 64 };

/* The hashes of tokens [first, end), the table's cache lines asked for on the way. */
static enum nm_err hash_tokens(const struct nm_matcher *m, const char *text, const struct nm_tokens *tokens,
                               size_t first, size_t end, struct nm_matches *work)
{
    for (size_t i = first; i < end; i++) {
        const struct nm_token *token = &tokens->v[i];
        uint64_t hash;
        if (token->kind == NM_TOKEN_UNICODE) {
            enum nm_err err = matcher_folded(text, token, &work->form);
            if (err != NM_OK)
                return err;
            hash = nm_lexicon_hash(&m->lexicon, nm_buf_str(&work->form), work->form.len, false);
        } else {
            hash = nm_lexicon_hash(&m->lexicon, text + token->start, token->end - token->start,
                                   token->kind == NM_TOKEN_WORD);
        }
        work->hashes[i] = hash;
        nm_lexicon_prefetch(&m->lexicon, hash);
    }
    return NM_OK;
}

/* The numbers of tokens [first, end); the hashes become those of each pair of a token that an entity may go on behind
 * and the next one. */
static void number_tokens(const struct nm_matcher *m, size_t first, size_t end, struct nm_matches *work)
{
    uint32_t before = first > 0 ? work->ids[first - 1] : 0;
    for (size_t i = first; i < end; i++) {
        uint32_t id = nm_lexicon_find(&m->lexicon, work->hashes[i]);
        work->ids[i] = id;
        if ((before & GOES_ON) != 0) {
            work->hashes[i] = matcher_edge_hash(before & NUMBER, id & NUMBER);
            __builtin_prefetch(matcher_filter_word(m, work->hashes[i]));
        }
        if ((id & ENDS) != 0)
            __builtin_prefetch(&m->nodes[id & NUMBER]);
        before = id;
    }
}

/* Take the mark from tokens behind which the next one rules out that an entity goes on: nearly every word of a text
 * begins some entity when there are 1,000,000, and hardly one goes on. */
static void filter_pairs(const struct nm_matcher *m, size_t first, size_t end, const struct nm_matches *work)
{
    for (size_t i = first > 0 ? first : 1; i < end; i++) {
        if ((work->ids[i - 1] & GOES_ON) == 0)
            continue;
        uint64_t hash = work->hashes[i];
        uint64_t bits = matcher_filter_bits(hash);
        if (work->ids[i] == 0 || (*matcher_filter_word(m, hash) & bits) != bits)
            work->ids[i - 1] &= ~GOES_ON;
        else
            __builtin_prefetch(&m->edges[hash & m->edge_mask]);
    }
}

/* Ask for what the walk will compare at the ends of single tokens, and of pairs. */
static void ask_ahead(const struct nm_matcher *m, size_t first, size_t end, const struct nm_matches *work)
{
    for (size_t i = first; i < end; i++) {
        uint32_t id = work->ids[i];
        if ((id & ENDS) != 0)
            __builtin_prefetch(matcher_record(m, m->nodes[id & NUMBER].record));
        if ((id & GOES_ON) != 0 && i + 1 < end) {
            const struct edge *edge = matcher_edge(m->edges, m->edge_mask, id & NUMBER, work->ids[i + 1] & NUMBER);
            work->hashes[i] = edge->to;
            __builtin_prefetch(&m->nodes[edge->to]);
        }
    }
    for (size_t i = first; i + 1 < end; i++)
        if ((work->ids[i] & GOES_ON) != 0 && m->nodes[work->hashes[i]].record != NO_RECORD)
            __builtin_prefetch(matcher_record(m, m->nodes[work->hashes[i]].record));
}

/* Whether a token of ASCII has this form; *form is moved behind its NUL if so. */
static bool same_ascii(const char *text, const struct nm_token *token, bool cased, const char **form)
{
    size_t len = token->end - token->start;
    const char *s = text + token->start;
    unsigned char fold = cased || token->kind != NM_TOKEN_WORD ? 0 : 0x20; /* as lexicon.h: of letters and digits */
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)(*form)[i] != ((unsigned char)s[i] | fold)) /* at the form's NUL, too: s holds none */
            return false;
    *form += len + 1;
    return (*form)[-1] == '\0';
}

/* Whether the bytes of a record are those of tokens [token, token + count): the trie's word alone is not proof. */
static enum nm_err equals(const struct record *record, const char *text, const struct nm_token *token, size_t count,
                          struct nm_buf *form, bool *equal)
{
    const char *want = matcher_forms(record);
    const char *end = want + record->len;
    size_t i = 0;
    *equal = false;
    for (; i < count && want < end; i++, token++) {
        if (token->kind != NM_TOKEN_UNICODE) {
            if (!same_ascii(text, token, record->cased, &want))
                return NM_OK;
            continue;
        }
        nm_buf_reset(form);
        enum nm_err err = nm_form(text + token->start, token->end - token->start, !record->cased, form);
        if (err != NM_OK)
            return err;
        if ((size_t)(end - want) <= form->len || memcmp(want, nm_buf_str(form), form->len + 1) != 0)
            return NM_OK;
        want += form->len + 1;
    }
    *equal = want == end && i == count;
    return NM_OK;
}

/* The pattern of a node's chain that these tokens are, the one of the lowest rank. */
static enum nm_err choose(const struct nm_matcher *m, uint32_t head, const char *text, const struct nm_token *token,
                          size_t count, struct nm_buf *form, uint32_t *number)
{
    unsigned best = UINT_MAX;
    *number = NM_NO_ENTITY;
    for (uint32_t i = head; i != NO_RECORD; i = matcher_record(m, i)->next) {
        const struct record *record = matcher_record(m, i);
        bool equal = false;
        if (record->rank >= best)
            continue;
        enum nm_err err = equals(record, text, token, count, form, &equal);
        if (err != NM_OK)
            return err;
        if (equal) {
            *number = record->number;
            best = record->rank;
        }
    }
    return NM_OK;
}

/* The longest entity that begins at token first; match->count is 0 if none does. */
static enum nm_err longest_at(const struct nm_matcher *m, const char *text, const struct nm_tokens *tokens,
                              size_t first, struct nm_matches *work, struct nm_match *match)
{
    *match = (struct nm_match){.first = (uint32_t)first};
    uint32_t node = work->ids[first] & NUMBER;
    for (size_t last = first;;) {
        if (m->nodes[node].record != NO_RECORD) {
            uint32_t entity;
            enum nm_err err =
                choose(m, m->nodes[node].record, text, &tokens->v[first], last + 1 - first, &work->form, &entity);
            if (err != NM_OK)
                return err;
            if (entity != NM_NO_ENTITY) {
                match->count = (uint32_t)(last + 1 - first);
                match->entity = entity;
            }
        }
        bool goes_on = last == first ? (work->ids[first] & GOES_ON) != 0 : m->nodes[node].inner != 0;
        if (++last == tokens->count || !goes_on || work->ids[last] == 0)
            return NM_OK;
        const struct edge *edge = matcher_edge(m->edges, m->edge_mask, node, work->ids[last] & NUMBER);
        if (edge->from == 0)
            return NM_OK;
        node = edge->to;
    }
}

/* All that is known of tokens [first, end) before their bytes are compared. */
static void look_up(const struct nm_matcher *m, size_t first, size_t end, struct nm_matches *work)
{
    number_tokens(m, first, end, work);
    filter_pairs(m, first, end, work);
    ask_ahead(m, first, end, work);
}

static enum nm_err make_room(struct nm_matches *matches, size_t n)
{
    uint64_t *hashes = nm_array_grow(matches->hashes, &matches->hashes_cap, n, sizeof *hashes);
    if (hashes == NULL)
        return NM_ENOMEM;
    matches->hashes = hashes;
    uint32_t *ids = nm_array_grow(matches->ids, &matches->ids_cap, n, sizeof *ids);
    if (ids == NULL)
        return NM_ENOMEM;
    matches->ids = ids;
    struct nm_match *v = nm_array_grow(matches->v, &matches->cap, n, sizeof *v); /* one a token at most */
    if (v == NULL)
        return NM_ENOMEM;
    matches->v = v;
    return NM_OK;
}

enum nm_err nm_matcher_run(const struct nm_matcher *m, const char *text, const struct nm_tokens *tokens,
                           struct nm_matches *matches)
{
    matches->count = 0;
    enum nm_err err = make_room(matches, tokens->count);
    for (size_t i = 0; i < tokens->count && err == NM_OK; i += BLOCK) { /* what was asked for is still in the cache */
        size_t end = tokens->count - i > BLOCK ? i + BLOCK : tokens->count;
        err = hash_tokens(m, text, tokens, i, end, matches);
        if (err == NM_OK)
            look_up(m, i, end, matches);
    }
    for (size_t i = 0; i < tokens->count && err == NM_OK;) {
        struct nm_match *match = &matches->v[matches->count];
        if ((matches->ids[i] & (ENDS | GOES_ON)) == 0) { /* no entity begins with this token */
            i++;
            continue;
        }
        err = longest_at(m, text, tokens, i, matches, match);
        matches->count += match->count > 0;
        i += match->count > 0 ? match->count : 1;
    }
    return err;
}
