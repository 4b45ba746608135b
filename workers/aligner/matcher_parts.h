/* matcher_parts.h - what matcher.c (building) and matcher_run.c (matching) share; for nobody else. */
#ifndef NM_ALIGNER_MATCHER_PARTS_H
#define NM_ALIGNER_MATCHER_PARTS_H

#include "workers/aligner/lexicon.h"
#include "workers/aligner/matcher.h"

/* Marks of a token's number: an entity of it alone may end here; an entity may go on behind it. */
#define ENDS NM_LEXICON_MARK_A
#define GOES_ON NM_LEXICON_MARK_B
#define NUMBER NM_LEXICON_ID_MAX

#define NO_RECORD UINT32_MAX

/* Node number i of the trie: what ends here, and whether anything goes on.  Nodes 1..firsts are the children of the
 * root, reached by the token of the same number. */
struct node {
    uint32_t record; /* head of the chain of patterns that end here, or NO_RECORD */
    uint32_t inner;  /* not 0: has children */
};

struct edge {
    uint32_t from, token, to; /* from 0: free */
};

/* A pattern, and behind it, in the same cache line mostly, what it is compared by: its tokens' folded (or, if cased,
 * exact) forms, each followed by NUL. */
struct record {
    uint32_t next; /* in the chain of its node, or NO_RECORD */
    uint32_t number;
    uint32_t len;       /* of the forms */
    unsigned char rank; /* the lowest of those that match the same tokens is taken */
    bool cased;
};

/* Records are found by their place in the pool, in units of their alignment: 16 GiB of them. */
enum { RECORD_UNIT = 4 };

struct nm_matcher {
    struct nm_lexicon lexicon;
    uint32_t firsts;
    struct node *nodes; /* [0] is not used */
    size_t n_nodes, nodes_cap;
    struct edge *edges;
    uint64_t edge_mask;
    size_t n_edges;
    uint64_t *filter; /* over the edges from the root's children */
    uint64_t filter_mask;
    char *pool; /* of records */
    size_t pool_len, pool_cap;
    uint32_t *records; /* (n_patterns) where each pattern's is */
    uint32_t *origins; /* (n_patterns) the entity that each is a form of */
    size_t n_patterns;
};

static inline struct record *matcher_record(const struct nm_matcher *m, uint32_t place)
{
    return (struct record *)(void *)(m->pool + (size_t)place * RECORD_UNIT);
}

static inline const char *matcher_forms(const struct record *record)
{
    return (const char *)(record + 1);
}

/* The folded form of one token, in place of what form held. */
static inline enum nm_err matcher_folded(const char *text, const struct nm_token *token, struct nm_buf *form)
{
    nm_buf_reset(form);
    return nm_form(text + token->start, token->end - token->start, true, form);
}

static inline uint64_t matcher_edge_hash(uint32_t from, uint32_t token)
{
    uint64_t h = ((uint64_t)from << 32 | token) * 0x9E3779B97F4A7C15U;
    return h ^ h >> 32;
}

/* The filter: two bits of one word for each edge from the root's children (a Bloom filter, blocked: F. Putze, P.
 * Sanders and J. Singler 2007). */
static inline uint64_t *matcher_filter_word(const struct nm_matcher *m, uint64_t hash)
{
    return &m->filter[hash & m->filter_mask];
}

static inline uint64_t matcher_filter_bits(uint64_t hash)
{
    return UINT64_C(1) << (hash >> 52 & 63) | UINT64_C(1) << (hash >> 58);
}

/* The slot where the edge is or belongs. */
static inline struct edge *matcher_edge(struct edge *edges, uint64_t mask, uint32_t from, uint32_t token)
{
    uint64_t i = matcher_edge_hash(from, token) & mask;
    while (edges[i].from != 0 && (edges[i].from != from || edges[i].token != token))
        i = (i + 1) & mask;
    return &edges[i];
}

#endif
