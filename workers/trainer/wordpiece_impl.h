/* wordpiece_impl.h - what wordpiece.c and wordpiece_load.c share; nobody else includes it. */
#ifndef NM_TRAINER_WORDPIECE_IMPL_H
#define NM_TRAINER_WORDPIECE_IMPL_H

#include "workers/trainer/trie.h"
#include "workers/trainer/wordpiece.h"

/* A token that is cut out of the text before (or, if normalized, after) anything else looks at it. */
struct nm_added_token {
    char *content; /* as written; owned */
    size_t len;
    uint32_t *items; /* if normalized: the code points to look for; owned */
    size_t n_items;
    uint32_t id;
    bool single_word, lstrip, rstrip, normalized;
};

/* How the fast path takes an ASCII byte. */
enum nm_ascii_class { NM_ASCII_WORD, NM_ASCII_SPACE, NM_ASCII_PUNCT, NM_ASCII_SLOW };

struct nm_wordpiece {
    struct nm_trie trie;
    int32_t inside; /* the node of the continuing prefix ("##"), or NM_TRIE_NONE */
    size_t max_chars;
    uint32_t unk, cls, sep;
    size_t vocab_size;
    struct nm_normalizer_options options;
    struct nm_normalizer *normalizer;
    struct nm_added_token *added;
    size_t n_added;
    bool any_normalized;      /* an added token is looked for in normalised text: no fast path */
    bool added_first[256];    /* first bytes of the others */
    unsigned char only_first; /* the only such byte, or 0 where there are none or several */
    uint8_t ascii_class[256];
    unsigned char ascii_lower[256];
    uint32_t punct_id[128];
};

/* nm_wordpiece_prepare - fill what follows from vocabulary, options and added tokens.  NM_ENOMEM. */
enum nm_err nm_wordpiece_prepare(struct nm_wordpiece *wp);

#endif
