/* matcher.c - building a matcher; matcher_run.c has the matching. */
#include "workers/aligner/matcher.h"

#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/aligner/array.h"
#include "workers/aligner/matcher_parts.h"

enum { CASED_CHARACTERS = 3, SEEDS = 16, FILTER_WORDS_MIN = 16, FILTER_WORDS_MAX = 1 << 17, BITS_AN_EDGE = 16 };

void nm_matches_init(struct nm_matches *matches)
{
    *matches = (struct nm_matches){0};
    nm_buf_init(&matches->form, UINT32_MAX);
}

void nm_matches_clean_up(struct nm_matches *matches)
{
    free(matches->v);
    free(matches->hashes);
    free(matches->ids);
    nm_buf_clean_up(&matches->form);
    nm_matches_init(matches);
}

enum nm_err nm_matcher_is_cased(const char *text, size_t len, bool *cased)
{
    struct nm_buf nfc;
    nm_buf_init(&nfc, UINT32_MAX);
    enum nm_err err = nm_utf8_nfc(text, len, &nfc);
    size_t characters = 0;
    bool capital = false;
    bool small = false;
    for (size_t at = 0; err == NM_OK && at < nfc.len; characters++) {
        int32_t cp;
        at += (size_t)nm_utf8_next(nfc.data + at, nfc.len - at, &cp);
        capital = capital || nm_utf8_lower(cp) != cp;
        small = small || strcmp(nm_utf8_category(cp), "Ll") == 0;
    }
    nm_buf_clean_up(&nfc);
    *cased = characters <= CASED_CHARACTERS || (capital && !small);
    return err;
}

/* ---- building -------------------------------------------------------------------------------- */

static enum nm_err grow_edges(struct nm_matcher *m)
{
    uint64_t mask = m->edges == NULL ? 63 : m->edge_mask * 2 + 1;
    struct edge *edges = nm_table_new(mask + 1, sizeof *edges);
    if (edges == NULL)
        return NM_ENOMEM;
    for (uint64_t i = 0; m->edges != NULL && i <= m->edge_mask; i++)
        if (m->edges[i].from != 0)
            *matcher_edge(edges, mask, m->edges[i].from, m->edges[i].token) = m->edges[i];
    free(m->edges);
    m->edges = edges;
    m->edge_mask = mask;
    return NM_OK;
}

static enum nm_err add_node(struct nm_matcher *m, uint32_t *number)
{
    if (m->n_nodes == UINT32_MAX)
        return NM_ELIMIT;
    struct node *nodes = nm_array_grow(m->nodes, &m->nodes_cap, m->n_nodes + 1, sizeof *nodes);
    if (nodes == NULL)
        return NM_ENOMEM;
    m->nodes = nodes;
    *number = (uint32_t)m->n_nodes;
    nodes[m->n_nodes++] = (struct node){NO_RECORD, 0};
    return NM_OK;
}

static enum nm_err descend(struct nm_matcher *m, uint32_t token, uint32_t *node)
{
    if (*node == 0) { /* from the root */
        *node = token;
        return NM_OK;
    }
    if ((m->n_edges + 1) * 2 > m->edge_mask + 1) {
        enum nm_err err = grow_edges(m);
        if (err != NM_OK)
            return err;
    }
    struct edge *edge = matcher_edge(m->edges, m->edge_mask, *node, token);
    if (edge->from == 0) {
        uint32_t child;
        enum nm_err err = add_node(m, &child);
        if (err != NM_OK)
            return err;
        m->nodes[*node].inner = 1;
        *edge = (struct edge){*node, token, child};
        m->n_edges++;
    }
    *node = edge->to;
    return NM_OK;
}

/* Hang a pattern at the end of its node's chain: chains are short, and the first of the list goes first. */
static void hang(struct nm_matcher *m, uint32_t node, uint32_t number)
{
    uint32_t *link = &m->nodes[node].record;
    while (*link != NO_RECORD)
        link = &matcher_record(m, *link)->next;
    *link = m->records[number];
}

/* A record into the pool, with the forms of a pattern's tokens. */
static enum nm_err keep_record(struct nm_matcher *m, struct record record, const struct nm_pattern *pattern,
                               const struct nm_tokens *tokens, struct nm_buf *forms)
{
    enum nm_err err = NM_OK;
    nm_buf_reset(forms);
    for (size_t i = 0; i < tokens->count && err == NM_OK; i++) {
        const struct nm_token *token = &tokens->v[i];
        err = nm_form(pattern->text + token->start, token->end - token->start, !record.cased, forms);
        if (err == NM_OK)
            err = nm_buf_addc(forms, '\0');
    }
    if (err != NM_OK)
        return err;
    size_t size = (sizeof record + forms->len + RECORD_UNIT - 1) / RECORD_UNIT * RECORD_UNIT;
    if ((m->pool_len + size) / RECORD_UNIT >= NO_RECORD)
        return NM_ELIMIT;
    char *pool = nm_array_grow(m->pool, &m->pool_cap, m->pool_len + size, 1);
    if (pool == NULL)
        return NM_ENOMEM;
    m->pool = pool;
    record.len = (uint32_t)forms->len;
    memcpy(pool + m->pool_len, &record, sizeof record);
    memcpy(pool + m->pool_len + sizeof record, nm_buf_str(forms), forms->len);
    m->records[record.number] = (uint32_t)(m->pool_len / RECORD_UNIT);
    m->pool_len += size;
    return NM_OK;
}

/* First walk over the patterns: check them, write down what they are compared by, number their first tokens. */
static enum nm_err read_pattern(struct nm_matcher *m, const struct nm_pattern *pattern, uint32_t number,
                                struct nm_tokens *tokens, struct nm_buf *form)
{
    struct record record = {.next = NO_RECORD, .number = number};
    enum nm_err err = nm_tokenize(pattern->text, pattern->len, tokens);
    if (err == NM_OK && (tokens->count == 0 || pattern->variant_of > number))
        err = NM_EINVAL;
    m->origins[number] = pattern->variant_of > 0 ? pattern->variant_of - 1 : number;
    if (err == NM_OK && pattern->variant_of > 0)
        record.cased = matcher_record(m, m->records[pattern->variant_of - 1])->cased;
    else if (err == NM_OK)
        err = nm_matcher_is_cased(pattern->text, pattern->len, &record.cased);
    record.rank = (unsigned char)(2 * (pattern->variant_of > 0) + !record.cased);
    if (err == NM_OK)
        err = keep_record(m, record, pattern, tokens, form);
    if (err != NM_OK)
        return err;
    uint32_t id;
    err = matcher_folded(pattern->text, &tokens->v[0], form);
    return err == NM_OK ? nm_lexicon_add(&m->lexicon, nm_buf_str(form), form->len, &id) : err;
}

/* Second walk: the trie. */
static enum nm_err plant_pattern(struct nm_matcher *m, const struct nm_pattern *pattern, uint32_t number,
                                 struct nm_tokens *tokens, struct nm_buf *form)
{
    enum nm_err err = nm_tokenize(pattern->text, pattern->len, tokens);
    uint32_t node = 0;
    for (size_t i = 0; i < tokens->count && err == NM_OK; i++) {
        uint32_t id = 0;
        err = matcher_folded(pattern->text, &tokens->v[i], form);
        if (err == NM_OK)
            err = nm_lexicon_add(&m->lexicon, nm_buf_str(form), form->len, &id);
        if (err == NM_OK)
            err = descend(m, id, &node);
    }
    if (err == NM_OK)
        hang(m, node, number);
    return err;
}

static void empty(struct nm_matcher *m)
{
    nm_lexicon_clean_up(&m->lexicon);
    free(m->nodes);
    free(m->edges);
    free(m->filter);
    free(m->pool);
    free(m->records);
    free(m->origins);
    *m = (struct nm_matcher){0};
}

/* A table that grew by doubling goes where it stays, now that its size is known. */
static enum nm_err settle(void **table, size_t used, size_t *cap, size_t size)
{
    void *settled = nm_table_new(used, size);
    if (settled == NULL)
        return NM_ENOMEM;
    if (used > 0)
        memcpy(settled, *table, used * size);
    free(*table);
    *table = settled;
    *cap = used;
    return NM_OK;
}

static enum nm_err settle_tables(struct nm_matcher *m)
{
    void *nodes = m->nodes;
    void *pool = m->pool;
    enum nm_err err = settle(&nodes, m->n_nodes, &m->nodes_cap, sizeof *m->nodes);
    m->nodes = nodes;
    if (err == NM_OK)
        err = settle(&pool, m->pool_len, &m->pool_cap, 1);
    m->pool = pool;
    return err;
}

/* What a token's number tells at once, and the filter over pairs of tokens.  Nearly every word of a text begins some
 * entity when there are 1,000,000 of them, and hardly one goes on: the filter is a MiB at most, which the second and
 * third level of a cache hold; nodes and edges are 40 MiB.  (Of 53,000 look-ups among the edges for every 360,000
 * tokens it leaves 27,000, those of real entities: 0.70 -> 0.87 of the speed with 5,899 entities.) */
static enum nm_err make_filter(struct nm_matcher *m)
{
    uint64_t words = FILTER_WORDS_MIN;
    while (words < FILTER_WORDS_MAX && words * 64 < BITS_AN_EDGE * m->n_edges)
        words *= 2;
    m->filter = nm_table_new(words, sizeof *m->filter);
    if (m->filter == NULL)
        return NM_ENOMEM;
    m->filter_mask = words - 1;
    for (uint64_t i = 0; i <= m->edge_mask; i++) {
        uint64_t hash = matcher_edge_hash(m->edges[i].from, m->edges[i].token);
        if (m->edges[i].from != 0 && m->edges[i].from <= m->firsts)
            *matcher_filter_word(m, hash) |= matcher_filter_bits(hash);
    }
    for (uint32_t id = 1; id <= m->firsts; id++)
        nm_lexicon_mark(&m->lexicon, id,
                        (m->nodes[id].record != NO_RECORD ? ENDS : 0) | (m->nodes[id].inner != 0 ? GOES_ON : 0));
    return NM_OK;
}

static enum nm_err build(struct nm_matcher *m, const struct nm_pattern *patterns, uint32_t n, uint64_t seed,
                         struct nm_tokens *tokens, struct nm_buf *form, uint32_t *at)
{
    m->n_patterns = n;
    m->records = calloc((size_t)n + 1, sizeof *m->records);
    m->origins = calloc((size_t)n + 1, sizeof *m->origins);
    enum nm_err err = m->records != NULL && m->origins != NULL ? nm_lexicon_init(&m->lexicon, seed) : NM_ENOMEM;
    if (err == NM_OK)
        err = grow_edges(m);
    for (*at = 0; *at < n && err == NM_OK; ++*at)
        err = read_pattern(m, &patterns[*at], *at, tokens, form);
    m->firsts = m->lexicon.count;
    for (uint32_t i = 0, node; i <= m->firsts && err == NM_OK; i++)
        err = add_node(m, &node);
    for (uint32_t i = 0; i < n && err == NM_OK; i++)
        err = plant_pattern(m, &patterns[i], i, tokens, form);
    if (err == NM_OK)
        err = settle_tables(m);
    return err == NM_OK ? make_filter(m) : err;
}

enum nm_err nm_matcher_new(const struct nm_pattern *patterns, size_t n, struct nm_matcher **matcher,
                           struct nm_diag *diag)
{
    *matcher = NULL;
    if (n >= NM_NO_ENTITY)
        return nm_fail(diag, NM_ELIMIT, "%zu entities are more than an aligner can hold", n);
    struct nm_matcher *m = calloc(1, sizeof *m);
    if (m == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory for %zu entities", n);
    struct nm_tokens tokens;
    struct nm_buf form;
    nm_tokens_init(&tokens);
    nm_buf_init(&form, UINT32_MAX);
    enum nm_err err = NM_EEXIST;
    uint32_t at = 0;
    for (uint64_t seed = 0; seed < SEEDS && err == NM_EEXIST; seed++) {
        empty(m);
        err = build(m, patterns, (uint32_t)n, seed * 0x9E3779B97F4A7C15U + 1, &tokens, &form, &at);
    }
    nm_tokens_clean_up(&tokens);
    nm_buf_clean_up(&form);
    if (err == NM_OK) {
        *matcher = m;
        return NM_OK;
    }
    nm_matcher_destroy(&m);
    if (err == NM_EINVAL || err == NM_EFORMAT)
        return nm_fail(diag, err, "entity number %u %s: take it off the list", at,
                       err == NM_EINVAL ? "holds no visible character" : "is not UTF-8");
    return nm_fail(diag, err, "cannot build the matcher for %zu entities: %s", n, nm_err_name(err));
}

void nm_matcher_destroy(struct nm_matcher **matcher)
{
    if (*matcher == NULL)
        return;
    empty(*matcher);
    free(*matcher);
    *matcher = NULL;
}

size_t nm_matcher_bytes(const struct nm_matcher *m)
{
    return sizeof *m + nm_lexicon_bytes(&m->lexicon) + m->nodes_cap * sizeof *m->nodes +
           (m->edge_mask + 1) * sizeof *m->edges + (m->filter_mask + 1) * sizeof *m->filter +
           m->n_patterns * (sizeof *m->records + sizeof *m->origins) + m->pool_cap;
}

uint32_t nm_matcher_twin(const struct nm_matcher *m, uint32_t pattern)
{
    const struct record *one = matcher_record(m, m->records[pattern]);
    for (uint32_t i = one->next; i != NO_RECORD; i = matcher_record(m, i)->next) {
        const struct record *other = matcher_record(m, i);
        if (one->rank == other->rank && one->len == other->len &&
            memcmp(matcher_forms(one), matcher_forms(other), one->len) == 0)
            return other->number;
    }
    return NM_NO_ENTITY;
}

uint32_t nm_matcher_origin(const struct nm_matcher *m, uint32_t pattern)
{
    return m->origins[pattern];
}
