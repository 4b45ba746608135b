/* trie.h - a static map from byte strings to numbers, walked one byte at a time: one load a byte.
 *
 * A double array (Aoe 1989): the child of node s by byte b is t = base(s) + b, if check(t) == s.
 */
#ifndef NM_TRAINER_TRIE_H
#define NM_TRAINER_TRIE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct nm_trie_key {
    const char *key;
    size_t len;
    int32_t value; /* >= 0 */
};

struct nm_trie_node {
    int32_t base;
    int32_t check;
    int32_t value; /* -1: no key ends here */
};

struct nm_trie {
    struct nm_trie_node *nodes; /* 256 more than can be reached, so that a step needs no bounds check */
    size_t count;
};

enum { NM_TRIE_ROOT = 1, NM_TRIE_NONE = 0 };

/* nm_trie_build - keys are sorted in place; of equal ones the highest value wins.  NM_ENOMEM, NM_ELIMIT
 * (a key over 1,024 bytes, more than 2^27 nodes); trie is empty then. */
enum nm_err nm_trie_build(struct nm_trie *trie, struct nm_trie_key *keys, size_t n);
void nm_trie_clean_up(struct nm_trie *trie);

/* nm_trie_step - the child of node by byte, or NM_TRIE_NONE (which has no children). */
static inline int32_t nm_trie_step(const struct nm_trie *trie, int32_t node, unsigned char byte)
{
    int32_t to = trie->nodes[node].base + byte;
    return trie->nodes[to].check == node ? to : NM_TRIE_NONE;
}

/* nm_trie_find - the value of exactly this key below node, or -1. */
int32_t nm_trie_find(const struct nm_trie *trie, int32_t node, const char *key, size_t len);

#endif
