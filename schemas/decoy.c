#include "schemas/decoy.h"

#include <stdlib.h>
#include <string.h>

#include "common/hash.h"

struct nm_decoys {
    const struct nm_entities *entities;
    double hard_negatives, share;
    struct nm_entities *own; /* of the project's file; NULL: it names none */
};

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

static bool pick_word(const struct nm_entities *entities, struct nm_rng *rng, char *out)
{
    size_t count = nm_entities_count(entities);
    for (int i = 0; i < TRIES && count > 0; i++)
        if (pick_in(entities, nm_entities_get(entities, (size_t)nm_rng_below(rng, count))->text, rng, out))
            return true;
    return false;
}

bool nm_decoys_pick(const struct nm_decoys *d, bool negative, uint64_t seed, char out[NM_DECOY_MAX])
{
    struct nm_rng rng;
    nm_rng_init(&rng, seed);
    if (nm_rng_unit(&rng) >= (negative ? d->hard_negatives : d->share))
        return false;
    nm_rng_init(&rng, nm_rng_next(&rng));
    if (d->own == NULL)
        return pick_word(d->entities, &rng, out);
    const struct nm_entity *term = nm_entities_get(d->own, (size_t)nm_rng_below(&rng, nm_entities_count(d->own)));
    memcpy(out, term->text, term->len + 1);
    return true;
}

static enum nm_err check_own(const struct nm_decoys *d, const char *file, struct nm_diag *diag)
{
    for (size_t i = 0; i < nm_entities_count(d->own); i++) {
        const struct nm_entity *term = nm_entities_get(d->own, i);
        bool ascii = term->len < NM_DECOY_MAX;
        for (uint32_t k = 0; k < term->len; k++)
            ascii = ascii && term->text[k] >= ' ' && term->text[k] <= '~';
        if (!ascii)
            return nm_fail(diag, NM_EFORMAT, "%s: '%s' can be no decoy: it has to be ASCII, of %d characters at most",
                           file, term->text, NM_DECOY_MAX - 1);
        if (nm_entities_find(d->entities, NM_ENTITIES_ANY, term->text, term->len) != NM_ENTITIES_NONE)
            return nm_fail(diag, NM_EFORMAT, "%s: '%s' can be no decoy: it is on an entity list", file, term->text);
    }
    return NM_OK;
}

enum nm_err nm_decoys_new(const struct nm_project *project, const char *path, const struct nm_entities *entities,
                          struct nm_decoys **decoys, struct nm_diag *diag)
{
    char file[4096];
    const struct nm_project_generation *g = &project->generation;
    struct nm_decoys *d = *decoys = calloc(1, sizeof *d);
    if (d == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    d->entities = entities;
    d->hard_negatives = g->hard_negatives;
    if (g->decoys.file == NULL)
        return NM_OK;
    d->share = g->decoys.share;
    d->own = nm_entities_new();
    enum nm_err err = d->own != NULL ? NM_OK : nm_fail(diag, NM_ENOMEM, "out of memory");
    if (err == NM_OK && nm_project_path(path, g->decoys.file, file, sizeof file) != NM_OK)
        err = nm_fail(diag, NM_ELIMIT, "%s: the path is too long", g->decoys.file);
    if (err == NM_OK)
        err = nm_entities_load(d->own, "decoy", file, diag);
    if (err == NM_OK)
        err = check_own(d, file, diag);
    if (err != NM_OK)
        nm_decoys_destroy(decoys);
    return err;
}

void nm_decoys_destroy(struct nm_decoys **decoys)
{
    if (*decoys == NULL)
        return;
    nm_entities_destroy(&(*decoys)->own);
    free(*decoys);
    *decoys = NULL;
}

uint64_t nm_decoys_digest(const struct nm_decoys *decoys)
{
    uint64_t digest = 0;
    for (size_t i = 0; decoys->own != NULL && i < nm_entities_count(decoys->own); i++) {
        const struct nm_entity *term = nm_entities_get(decoys->own, i);
        digest = nm_hash64(term->text, term->len, nm_mix64(digest));
    }
    return digest;
}
