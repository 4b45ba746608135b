#include "workers/trainer/trie.h"

#include <stdlib.h>
#include <string.h>

enum {
    SPARE = 257,
    NODES_MAX = 1 << 27,
    KEY_MAX = 1024 /* place() recurses once a byte, 2.5 KB each */
};

/* Free slots are a list threaded through check (next, negated) so that placing a node skips the full ones. */
struct builder {
    struct nm_trie_node *nodes;
    size_t cap;
    size_t used;  /* one above the highest slot taken */
    size_t first; /* no free slot below this one */
    const struct nm_trie_key *keys;
};

static int compare(const void *a, const void *b)
{
    const struct nm_trie_key *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int order = n > 0 ? memcmp(x->key, y->key, n) : 0;
    if (order != 0)
        return order;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

static enum nm_err reserve(struct builder *b, size_t need)
{
    if (need <= b->cap)
        return NM_OK;
    if (need > NODES_MAX)
        return NM_ELIMIT;
    size_t cap = need + need / 2 + 4096;
    struct nm_trie_node *nodes = realloc(b->nodes, cap * sizeof(*nodes));
    if (nodes == NULL)
        return NM_ENOMEM;
    for (size_t i = b->cap; i < cap; i++)
        nodes[i] = (struct nm_trie_node){.base = 0, .check = -1, .value = -1};
    b->nodes = nodes;
    b->cap = cap;
    return NM_OK;
}

/* The lowest base where every one of the bytes finds a free slot; never a base that reaches slots 0 and 1. */
static enum nm_err find_base(struct builder *b, const unsigned char *bytes, size_t n, size_t *base)
{
    while (b->first < b->cap && b->nodes[b->first].check != -1)
        b->first++;
    size_t misses = 0;
    for (size_t slot = b->first;; slot++) {
        enum nm_err err = reserve(b, slot + SPARE + 1);
        if (err != NM_OK)
            return err;
        if (b->nodes[slot].check != -1 || slot < (size_t)bytes[0] + 2)
            continue;
        size_t i = 1;
        *base = slot - bytes[0];
        while (i < n && b->nodes[*base + bytes[i]].check == -1)
            i++;
        if (i == n)
            break;
        if (++misses == 64) /* the low region is nearly full: give its few holes up */
            b->first = slot;
    }
    return NM_OK;
}

/* Keys lo..hi-1 share their first depth bytes, which lead to node. */
static enum nm_err place(struct builder *b, size_t node, size_t lo, size_t hi, size_t depth)
{
    for (; lo < hi && b->keys[lo].len == depth; lo++)
        b->nodes[node].value = b->keys[lo].value;
    if (lo == hi)
        return NM_OK;
    unsigned char bytes[256];
    size_t n = 0, starts[257];
    for (size_t i = lo; i < hi; i++) {
        unsigned char byte = (unsigned char)b->keys[i].key[depth];
        if (n == 0 || bytes[n - 1] != byte) {
            starts[n] = i;
            bytes[n++] = byte;
        }
    }
    starts[n] = hi;
    size_t base = 0;
    enum nm_err err = find_base(b, bytes, n, &base);
    if (err != NM_OK)
        return err;
    b->nodes[node].base = (int32_t)base;
    for (size_t i = 0; i < n; i++)
        b->nodes[base + bytes[i]].check = (int32_t)node;
    if (base + 256 > b->used)
        b->used = base + 256;
    for (size_t i = 0; i < n && err == NM_OK; i++)
        err = place(b, base + bytes[i], starts[i], starts[i + 1], depth + 1);
    return err;
}

static size_t longest(const struct nm_trie_key *keys, size_t n)
{
    size_t max = 0;
    for (size_t i = 0; i < n; i++)
        max = keys[i].len > max ? keys[i].len : max;
    return max;
}

enum nm_err nm_trie_build(struct nm_trie *trie, struct nm_trie_key *keys, size_t n)
{
    *trie = (struct nm_trie){0};
    if (longest(keys, n) > KEY_MAX)
        return NM_ELIMIT;
    qsort(keys, n, sizeof(*keys), compare);
    struct builder b = {.keys = keys, .first = 2, .used = SPARE};
    enum nm_err err = reserve(&b, 2 * SPARE);
    if (err == NM_OK) {
        b.nodes[NM_TRIE_NONE].check = -2;
        b.nodes[NM_TRIE_ROOT].check = -2;
        err = place(&b, NM_TRIE_ROOT, 0, n, 0);
    }
    if (err == NM_OK)
        err = reserve(&b, b.used + SPARE);
    if (err != NM_OK) {
        free(b.nodes);
        return err;
    }
    trie->nodes = b.nodes;
    trie->count = b.used;
    return NM_OK;
}

void nm_trie_clean_up(struct nm_trie *trie)
{
    free(trie->nodes);
    *trie = (struct nm_trie){0};
}

int32_t nm_trie_find(const struct nm_trie *trie, int32_t node, const char *key, size_t len)
{
    for (size_t i = 0; i < len && node != NM_TRIE_NONE; i++)
        node = nm_trie_step(trie, node, (unsigned char)key[i]);
    return node == NM_TRIE_NONE ? -1 : trie->nodes[node].value;
}
