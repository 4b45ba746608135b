#include "workers/dataset/heldout.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/hash.h"
#include "schemas/folded.h"
#include "workers/aligner/array.h"
#include "workers/dataset/tally.h"

enum { WORDS_MIN = 5, SHARE = 10 /* one in so many sentences is too many */ };

/* A text as far as it has been read. */
struct content {
    uint64_t hash;    /* of the hashes of its sentences */
    uint64_t counted; /* sentences that are long enough */
};

struct file {
    const char *path;
    struct content content;
    uint64_t shared; /* of its sentences (of at least WORDS_MIN words), those that were noted */
};

struct nm_heldout {
    struct nm_arena arena;
    struct nm_tally known; /* the hash of a sentence: its file's number, from 1 */
    struct file *files;
    size_t n, cap;
    struct content noted;
};

struct nm_heldout *nm_heldout_new(void)
{
    struct nm_heldout *h = calloc(1, sizeof *h);
    if (h != NULL)
        nm_arena_init(&h->arena, 0);
    return h;
}

void nm_heldout_destroy(struct nm_heldout **heldout)
{
    struct nm_heldout *h = *heldout;
    if (h == NULL)
        return;
    nm_tally_clean_up(&h->known);
    nm_arena_clean_up(&h->arena);
    free(h->files);
    free(h);
    *heldout = NULL;
}

/* *hash: the sentence's, 0 if it is too short to be told from others. */
static enum nm_err take(struct nm_heldout *h, struct content *content, struct nm_str text, uint64_t *hash,
                        struct nm_diag *diag)
{
    struct nm_folded_text words;
    nm_arena_reset(&h->arena);
    enum nm_err err = nm_folded_split(text, &h->arena, &words);
    if (err != NM_OK)
        return nm_fail(diag, err, "a sentence cannot be compared with those held out: %s", nm_err_name(err));
    *hash = nm_folded_hash(words.at, words.n, 0);
    content->hash = nm_mix64(content->hash ^ *hash);
    if (words.n < WORDS_MIN)
        *hash = 0;
    content->counted += *hash != 0;
    return NM_OK;
}

static enum nm_err add_sentence(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    struct nm_heldout *h = ctx;
    uint64_t hash = 0;
    enum nm_err err = take(h, &h->files[h->n - 1].content, record->sample.text, &hash, diag);
    if (err != NM_OK || hash == 0)
        return err;
    uint64_t *file = nm_tally_at(&h->known, hash);
    if (file == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    *file = *file == 0 ? h->n : *file;
    return NM_OK;
}

enum nm_err nm_heldout_add(struct nm_heldout *h, const char *path, struct nm_diag *diag)
{
    struct nm_record_counts counts;
    struct file *files = nm_array_grow(h->files, &h->cap, h->n + 1, sizeof *files);
    if (files == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    h->files = files;
    files[h->n++] = (struct file){.path = path};
    return nm_import_read(&(struct nm_import){.path = path, .natural = true}, add_sentence, h, &counts, diag);
}

enum nm_err nm_heldout_note(struct nm_heldout *h, struct nm_str text, struct nm_diag *diag)
{
    uint64_t hash = 0;
    enum nm_err err = take(h, &h->noted, text, &hash, diag);
    uint64_t file = err == NM_OK && hash != 0 ? nm_tally_get(&h->known, hash) : 0;
    if (file > 0)
        h->files[file - 1].shared++;
    return err;
}

enum nm_err nm_heldout_check(const struct nm_heldout *h, const char *corpus, struct nm_diag *diag)
{
    for (size_t i = 0; i < h->n; i++) {
        const struct file *file = &h->files[i];
        uint64_t least = file->content.counted < h->noted.counted ? file->content.counted : h->noted.counted;
        if (file->content.hash == h->noted.hash)
            return nm_fail(diag, NM_EINVAL, "%s is %s, which has to stay unseen: name the training part", corpus,
                           file->path);
        if (file->shared > 0 && file->shared * SHARE >= least)
            return nm_fail(diag, NM_EINVAL,
                           "%" PRIu64 " sentences of %s stand in %s, which has to stay unseen: name a file that "
                           "holds the training part alone",
                           file->shared, corpus, file->path);
    }
    return NM_OK;
}

uint64_t nm_heldout_content(const struct nm_heldout *h)
{
    return h->noted.hash;
}

const char *nm_heldout_file(const struct nm_heldout *h, size_t i, uint64_t *content)
{
    if (i >= h->n)
        return NULL;
    *content = h->files[i].content.hash;
    return h->files[i].path;
}
