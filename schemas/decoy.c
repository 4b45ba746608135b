#include "schemas/decoy.h"

#include <string.h>

#include "common/hash.h"

enum { TRIES = 64, LETTERS_MIN = 4, WORDS_MAX = 16 };

/* In every text anyway: a sentence that uses them proves nothing. */
static bool says_nothing(const char *word, size_t len)
{
    static const char *const words[] = {"with", "from",  "that",  "this",    "into",
                                        "type", "other", "after", "related", "induced"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == len && memcmp(words[i], word, len) == 0)
            return true;
    return false;
}

static bool is_decoy(const struct nm_entities *entities, const char *word, size_t len)
{
    if (len < LETTERS_MIN || len >= NM_DECOY_MAX || says_nothing(word, len))
        return false;
    for (size_t i = 0; i < len; i++)
        if (word[i] < 'a' || word[i] > 'z')
            return false;
    return nm_entities_find(entities, NM_ENTITIES_ANY, word, len) == NM_ENTITIES_NONE;
}

/* One of the decoys in a name; false: it has none. */
static bool pick_in(const struct nm_entities *entities, const char *name, struct nm_rng *rng, char *out)
{
    const char *words[WORDS_MAX];
    size_t lens[WORDS_MAX], n = 0;
    if (strchr(name, ' ') == NULL)
        return false;
    for (const char *at = name; *at != '\0' && n < WORDS_MAX;) {
        size_t len = strcspn(at, " ");
        if (is_decoy(entities, at, len)) {
            words[n] = at;
            lens[n++] = len;
        }
        at += len + strspn(at + len, " ");
    }
    if (n == 0)
        return false;
    size_t i = (size_t)nm_rng_below(rng, n);
    memcpy(out, words[i], lens[i]);
    out[lens[i]] = '\0';
    return true;
}

bool nm_decoy_pick(const struct nm_entities *entities, uint64_t seed, char out[NM_DECOY_MAX])
{
    struct nm_rng rng;
    size_t count = nm_entities_count(entities);
    nm_rng_init(&rng, seed);
    for (int i = 0; i < TRIES && count > 0; i++)
        if (pick_in(entities, nm_entities_get(entities, (size_t)nm_rng_below(&rng, count))->text, &rng, out))
            return true;
    return false;
}
