#include "workers/aligner/matcher.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/aligner/array.h"
#include "workers/aligner/lexicon.h"

enum { CASED_CHARACTERS = 3, SEEDS = 16, BLOCK = 64 };

/* Node number i of the trie: what ends here, and whether anything goes on.  Nodes 1..firsts are the children of the
 * root, reached by the token of the same number. */
struct node {
    uint32_t entity; /* head of the chain of entities that end here, or NM_NO_ENTITY */
    uint32_t inner;  /* not 0: has children */
};

struct edge {
    uint32_t from, token, to; /* from 0: free */
};

/* Byte ranges of an entity's forms in pool: its tokens' folded (or, if cased, exact) forms, each followed by NUL. */
struct entity {
    size_t start;
    uint32_t len;
    uint32_t next;   /* in the chain of its node */
    uint32_t origin; /* the entity it is a form of */
    bool cased;
    unsigned char rank; /* the lowest of those that match the same tokens is taken */
};

struct nm_matcher {
    struct nm_lexicon lexicon;
    uint32_t firsts;
    struct node *nodes; /* [0] is not used */
    size_t n_nodes, nodes_cap;
    struct edge *edges;
    uint64_t edge_mask;
    size_t n_edges;
    struct entity *entities;
    size_t n_entities;
    struct nm_buf pool;
};

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

static uint64_t edge_hash(uint32_t from, uint32_t token)
{
    uint64_t h = ((uint64_t)from << 32 | token) * 0x9E3779B97F4A7C15U;
    return h ^ h >> 32;
}

static struct edge *locate(struct edge *edges, uint64_t mask, uint32_t from, uint32_t token)
{
    uint64_t i = edge_hash(from, token) & mask;
    while (edges[i].from != 0 && (edges[i].from != from || edges[i].token != token))
        i = (i + 1) & mask;
    return &edges[i];
}

static enum nm_err grow_edges(struct nm_matcher *m)
{
    uint64_t mask = m->edges == NULL ? 63 : m->edge_mask * 2 + 1;
    struct edge *edges = nm_table_new(mask + 1, sizeof *edges);
    if (edges == NULL)
        return NM_ENOMEM;
    for (uint64_t i = 0; m->edges != NULL && i <= m->edge_mask; i++)
        if (m->edges[i].from != 0)
            *locate(edges, mask, m->edges[i].from, m->edges[i].token) = m->edges[i];
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
    nodes[m->n_nodes++] = (struct node){NM_NO_ENTITY, 0};
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
    struct edge *edge = locate(m->edges, m->edge_mask, *node, token);
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

/* Hang entity number i at the end of its node's chain: chains are short, and the first of the list goes first. */
static void hang(struct nm_matcher *m, uint32_t node, uint32_t i)
{
    uint32_t *link = &m->nodes[node].entity;
    while (*link != NM_NO_ENTITY)
        link = &m->entities[*link].next;
    *link = i;
}

/* The folded forms of an entity's tokens, one call a token. */
static enum nm_err folded_form(const char *text, const struct nm_token *token, struct nm_buf *form)
{
    nm_buf_reset(form);
    return nm_form(text + token->start, token->end - token->start, true, form);
}

/* First walk over the entities: check them, write down what they are compared by, number their first tokens. */
static enum nm_err read_entity(struct nm_matcher *m, const struct nm_pattern *pattern, uint32_t number,
                               struct nm_tokens *tokens, struct nm_buf *form)
{
    struct entity *entity = &m->entities[number];
    *entity = (struct entity){.start = m->pool.len, .next = NM_NO_ENTITY};
    enum nm_err err = nm_tokenize(pattern->text, pattern->len, tokens);
    if (err == NM_OK && tokens->count == 0)
        err = NM_EINVAL;
    if (err == NM_OK && pattern->variant_of > number)
        err = NM_EINVAL;
    if (err == NM_OK && pattern->variant_of > 0)
        entity->cased = m->entities[pattern->variant_of - 1].cased;
    else if (err == NM_OK)
        err = nm_matcher_is_cased(pattern->text, pattern->len, &entity->cased);
    entity->origin = pattern->variant_of > 0 ? pattern->variant_of - 1 : number;
    entity->rank = (unsigned char)(2 * (pattern->variant_of > 0) + !entity->cased);
    for (size_t i = 0; i < tokens->count && err == NM_OK; i++) {
        const struct nm_token *token = &tokens->v[i];
        err = nm_form(pattern->text + token->start, token->end - token->start, !entity->cased, &m->pool);
        if (err == NM_OK)
            err = nm_buf_addc(&m->pool, '\0');
    }
    if (err != NM_OK)
        return err;
    entity->len = (uint32_t)(m->pool.len - entity->start);
    uint32_t id;
    err = folded_form(pattern->text, &tokens->v[0], form);
    return err == NM_OK ? nm_lexicon_add(&m->lexicon, nm_buf_str(form), form->len, &id) : err;
}

/* Second walk: the trie. */
static enum nm_err plant_entity(struct nm_matcher *m, const struct nm_pattern *pattern, uint32_t number,
                                struct nm_tokens *tokens, struct nm_buf *form)
{
    enum nm_err err = nm_tokenize(pattern->text, pattern->len, tokens);
    uint32_t node = 0;
    for (size_t i = 0; i < tokens->count && err == NM_OK; i++) {
        uint32_t id = 0;
        err = folded_form(pattern->text, &tokens->v[i], form);
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
    nm_buf_clean_up(&m->pool);
    free(m->nodes);
    free(m->edges);
    free(m->entities);
    *m = (struct nm_matcher){0};
}

/* The nodes grew by doubling; now that their number is known they go where they stay. */
static enum nm_err settle_nodes(struct nm_matcher *m)
{
    struct node *nodes = nm_table_new(m->n_nodes, sizeof *nodes);
    if (nodes == NULL)
        return NM_ENOMEM;
    memcpy(nodes, m->nodes, m->n_nodes * sizeof *nodes);
    free(m->nodes);
    m->nodes = nodes;
    m->nodes_cap = m->n_nodes;
    return NM_OK;
}

static enum nm_err build(struct nm_matcher *m, const struct nm_pattern *patterns, uint32_t n, uint64_t seed,
                         struct nm_tokens *tokens, struct nm_buf *form, uint32_t *at)
{
    nm_buf_init(&m->pool, SIZE_MAX / 4);
    m->n_entities = n;
    m->entities = calloc(n > 0 ? n : 1, sizeof *m->entities);
    enum nm_err err = m->entities != NULL ? nm_lexicon_init(&m->lexicon, seed) : NM_ENOMEM;
    if (err == NM_OK)
        err = grow_edges(m);
    for (*at = 0; *at < n && err == NM_OK; ++*at)
        err = read_entity(m, &patterns[*at], *at, tokens, form);
    m->firsts = m->lexicon.count;
    for (uint32_t i = 0, node; i <= m->firsts && err == NM_OK; i++)
        err = add_node(m, &node);
    for (uint32_t i = 0; i < n && err == NM_OK; i++)
        err = plant_entity(m, &patterns[i], i, tokens, form);
    return err == NM_OK ? settle_nodes(m) : err;
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
           (m->edge_mask + 1) * sizeof *m->edges + m->n_entities * sizeof *m->entities + m->pool.cap;
}

uint32_t nm_matcher_twin(const struct nm_matcher *m, uint32_t entity)
{
    const struct entity *one = &m->entities[entity];
    for (uint32_t i = one->next; i != NM_NO_ENTITY; i = m->entities[i].next) {
        const struct entity *other = &m->entities[i];
        if (one->rank == other->rank && one->len == other->len &&
            memcmp(m->pool.data + one->start, m->pool.data + other->start, one->len) == 0)
            return i;
    }
    return NM_NO_ENTITY;
}

uint32_t nm_matcher_origin(const struct nm_matcher *m, uint32_t pattern)
{
    return m->entities[pattern].origin;
}

/* ---- matching -------------------------------------------------------------------------------- */

/* The hashes of tokens [first, end), the table's cache lines asked for on the way. */
static enum nm_err hash_tokens(const struct nm_matcher *m, const char *text, const struct nm_tokens *tokens,
                               size_t first, size_t end, struct nm_matches *work)
{
    for (size_t i = first; i < end; i++) {
        const struct nm_token *token = &tokens->v[i];
        uint64_t hash;
        if (token->kind == NM_TOKEN_UNICODE) {
            enum nm_err err = folded_form(text, token, &work->form);
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

/* The numbers of tokens [first, end), and what the walk will need of the trie asked for: with 1,000,000 entities
 * every step is a cache miss, and together they cost little more than one. */
static void number_tokens(const struct nm_matcher *m, size_t first, size_t end, struct nm_matches *work)
{
    uint32_t before = 0; /* the token before, if an entity may begin with it */
    for (size_t i = first; i < end; i++) {
        uint32_t id = nm_lexicon_find(&m->lexicon, work->hashes[i]);
        work->ids[i] = id;
        if (id != 0 && before != 0)
            __builtin_prefetch(&m->edges[edge_hash(before, id) & m->edge_mask]);
        before = id <= m->firsts ? id : 0;
        if (before != 0)
            __builtin_prefetch(&m->nodes[before]);
    }
}

/* Whether the bytes of an entity are those of tokens [first, first + count): the trie's word alone is not proof. */
static enum nm_err equals(const struct nm_matcher *m, const struct entity *entity, const char *text,
                          const struct nm_token *token, size_t count, struct nm_buf *form, bool *equal)
{
    const char *want = m->pool.data + entity->start;
    const char *end = want + entity->len;
    for (size_t i = 0; i < count; i++, token++) {
        nm_buf_reset(form);
        enum nm_err err = nm_form(text + token->start, token->end - token->start, !entity->cased, form);
        if (err != NM_OK)
            return err;
        *equal = (size_t)(end - want) > form->len && memcmp(want, nm_buf_str(form), form->len + 1) == 0;
        if (!*equal)
            return NM_OK;
        want += form->len + 1;
    }
    *equal = want == end;
    return NM_OK;
}

/* The entity of a node's chain that these tokens are, the one of the lowest rank. */
static enum nm_err choose(const struct nm_matcher *m, uint32_t head, const char *text, const struct nm_token *token,
                          size_t count, struct nm_buf *form, uint32_t *entity)
{
    unsigned best = UINT_MAX;
    *entity = NM_NO_ENTITY;
    for (uint32_t i = head; i != NM_NO_ENTITY; i = m->entities[i].next) {
        bool equal = false;
        if (m->entities[i].rank >= best)
            continue;
        enum nm_err err = equals(m, &m->entities[i], text, token, count, form, &equal);
        if (err != NM_OK)
            return err;
        if (equal) {
            *entity = i;
            best = m->entities[i].rank;
        }
    }
    return NM_OK;
}

/* The longest entity that begins at token first; match->count is 0 if none does. */
static enum nm_err longest_at(const struct nm_matcher *m, const char *text, const struct nm_tokens *tokens,
                              size_t first, struct nm_matches *work, struct nm_match *match)
{
    *match = (struct nm_match){.first = (uint32_t)first};
    uint32_t node = work->ids[first];
    for (size_t last = first;;) {
        if (m->nodes[node].entity != NM_NO_ENTITY) {
            uint32_t entity;
            enum nm_err err =
                choose(m, m->nodes[node].entity, text, &tokens->v[first], last + 1 - first, &work->form, &entity);
            if (err != NM_OK)
                return err;
            if (entity != NM_NO_ENTITY) {
                match->count = (uint32_t)(last + 1 - first);
                match->entity = entity;
            }
        }
        if (++last == tokens->count || m->nodes[node].inner == 0 || work->ids[last] == 0)
            return NM_OK;
        const struct edge *edge = locate(m->edges, m->edge_mask, node, work->ids[last]);
        if (edge->from == 0)
            return NM_OK;
        node = edge->to;
    }
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
            number_tokens(m, i, end, matches);
    }
    for (size_t i = 0; i < tokens->count && err == NM_OK;) {
        struct nm_match *match = &matches->v[matches->count];
        if (matches->ids[i] - 1 >= m->firsts) { /* 0 wraps: no entity begins with this token */
            i++;
            continue;
        }
        err = longest_at(m, text, tokens, i, matches, match);
        matches->count += match->count > 0;
        i += match->count > 0 ? match->count : 1;
    }
    return err;
}
