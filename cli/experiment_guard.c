#include "cli/experiment_guard.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/utf8.h"
#include "schemas/leakage.h"

enum { FILE_BYTES_MAX = 1 << 30, NGRAM = 13, ACCIDENTS = 20 };

struct nm_guard {
    char hash[33];
    dev_t device;
    ino_t inode;
    uint32_t words;
    uint64_t *sentences; /* (n) hashes, ascending */
    size_t n;
    struct nm_leakage leakage; /* the same sentences, for text that has no sentences of its own */
};

static int ascending(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool holds(const struct nm_guard *g, const struct nm_exp_sentence *s)
{
    return s->n_words >= g->words && g->n > 0 &&
           bsearch(&s->words, g->sentences, g->n, sizeof *g->sentences, ascending) != NULL;
}

/* ---- the test part, as hashes ---------------------------------------------------------------- */

static enum nm_err take_sentences(struct nm_guard *g, const struct nm_exp_corpus *test, const char *path,
                                  struct nm_diag *diag)
{
    struct nm_buf blocks;
    nm_buf_init(&blocks, FILE_BYTES_MAX);
    g->sentences = malloc((test->n + 1) * sizeof *g->sentences);
    enum nm_err err = g->sentences != NULL ? NM_OK : NM_ENOMEM;
    for (size_t i = 0; i < test->n && err == NM_OK; i++)
        if (test->at[i].n_words >= g->words) {
            g->sentences[g->n++] = test->at[i].words;
            err = nm_buf_add(&blocks, test->at[i].block, test->at[i].len);
        }
    if (err != NM_OK)
        (void)nm_fail(diag, err, "%s: out of memory", path);
    else if (g->n == 0)
        err = nm_fail(diag, NM_EFORMAT, "%s: no sentence in it has %" PRIu32 " words: lower corpus.guard_words", path,
                      g->words);
    if (err == NM_OK) {
        qsort(g->sentences, g->n, sizeof *g->sentences, ascending);
        err = nm_leakage_add_conll(&g->leakage, path, nm_buf_str(&blocks), blocks.len, diag);
        nm_leakage_close(&g->leakage);
    }
    nm_buf_clean_up(&blocks);
    return err;
}

enum nm_err nm_guard_new(const char *test, uint32_t words, struct nm_guard **guard, struct nm_diag *diag)
{
    struct nm_exp_corpus corpus;
    struct stat st;
    *guard = NULL;
    if (test == NULL)
        return NM_OK;
    struct nm_guard *g = *guard = calloc(1, sizeof *g);
    if (g == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    g->words = words;
    nm_leakage_init(&g->leakage, NGRAM);
    nm_exp_corpus_init(&corpus);
    enum nm_err err = nm_exp_file_hash(test, g->hash, diag);
    if (err == NM_OK && stat(test, &st) == 0) {
        g->device = st.st_dev;
        g->inode = st.st_ino;
        err = nm_exp_corpus_read(&corpus, test, diag);
    }
    if (err == NM_OK)
        err = take_sentences(g, &corpus, test, diag);
    nm_exp_corpus_clean_up(&corpus);
    if (err != NM_OK)
        nm_guard_destroy(guard);
    return err;
}

void nm_guard_destroy(struct nm_guard **guard)
{
    struct nm_guard *g = *guard;
    if (g == NULL)
        return;
    nm_leakage_clean_up(&g->leakage);
    free(g->sentences);
    free(g);
    *guard = NULL;
}

const char *nm_guard_hash(const struct nm_guard *guard)
{
    return guard->hash;
}

/* ---- looking at what comes in ---------------------------------------------------------------- */

bool nm_guard_is_test(const struct nm_guard *guard, const char *path)
{
    struct stat st;
    char hash[33];
    if (guard == NULL || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    if (st.st_dev == guard->device && st.st_ino == guard->inode)
        return true;
    return nm_exp_file_hash(path, hash, NULL) == NM_OK && strcmp(hash, guard->hash) == 0;
}

static enum nm_err refuse_test(const char *what, const char *path, struct nm_diag *diag)
{
    return nm_fail(diag, NM_EAUTH,
                   "%s: %s is the test part (corpus.test), which nothing may see before the final evaluation", what,
                   path);
}

/* Words in a row, line by line and over their ends: a prompt, JSON lines, a list. */
static enum nm_err check_text(const struct nm_guard *g, const char *what, const char *path, struct nm_diag *diag)
{
    struct nm_buf text;
    struct nm_arena arena;
    size_t found = 0;
    nm_buf_init(&text, FILE_BYTES_MAX);
    nm_arena_init(&arena, 0);
    enum nm_err err = nm_file_read(path, &text, diag);
    if (err == NM_OK && nm_utf8_valid(nm_buf_str(&text), text.len, NULL))
        err = nm_leakage_finds(&g->leakage, (struct nm_str){nm_buf_str(&text), text.len}, &arena, &found);
    if (err == NM_OK && found > 0)
        err =
            nm_fail(diag, NM_EAUTH, "%s: %s shares %zu words in a row with a sentence of the test part (corpus.test)",
                    what, path, found);
    nm_arena_clean_up(&arena);
    nm_buf_clean_up(&text);
    return err;
}

/* The data behind an encoder that nermill has trained are not known here. */
static enum nm_err check_encoder(const char *what, const char *path, struct nm_diag *diag)
{
    char card[NM_FILE_PATH];
    enum nm_err err = nm_file_path(path, "nermill.json", card, diag);
    if (err == NM_OK && nm_file_exists(card))
        err = nm_fail(diag, NM_EAUTH,
                      "%s: %s is a tagger that nermill has trained, nobody knows here on what: take the encoder that "
                      "it was made from",
                      what, path);
    return err;
}

/* CoNLL files by their sentences, too: in the text of the file each word has its tag behind it. */
static enum nm_err check_sentences(const struct nm_guard *g, const char *what, const char *path, struct nm_diag *diag)
{
    struct nm_exp_corpus corpus;
    struct nm_diag other_form;
    enum nm_err err = NM_OK;
    nm_exp_corpus_init(&corpus);
    if (nm_exp_corpus_read(&corpus, path, &other_form) == NM_OK)
        for (size_t i = 0; i < corpus.n && err == NM_OK; i++)
            if (holds(g, &corpus.at[i]))
                err = nm_fail(diag, NM_EAUTH, "%s: sentence %zu of %s is one of the test part (corpus.test)", what,
                              i + 1, path);
    nm_exp_corpus_clean_up(&corpus);
    return err;
}

enum nm_err nm_guard_check_file(const struct nm_guard *guard, const char *what, const char *path,
                                struct nm_diag *diag)
{
    struct stat st;
    if (guard == NULL)
        return NM_OK;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return check_encoder(what, path, diag);
    if (nm_guard_is_test(guard, path))
        return refuse_test(what, path, diag);
    enum nm_err err = check_sentences(guard, what, path, diag);
    return err == NM_OK ? check_text(guard, what, path, diag) : err;
}

enum nm_err nm_guard_clean(const struct nm_guard *guard, const char *what, const char *path,
                           struct nm_exp_corpus *corpus, size_t *dropped, struct nm_diag *diag)
{
    size_t kept = 0;
    *dropped = 0;
    if (guard == NULL)
        return NM_OK;
    if (nm_guard_is_test(guard, path))
        return refuse_test(what, path, diag);
    for (size_t i = 0; i < corpus->n; i++)
        if (!holds(guard, &corpus->at[i]))
            corpus->at[kept++] = corpus->at[i];
    *dropped = corpus->n - kept;
    corpus->n = kept;
    if (*dropped > guard->n / ACCIDENTS && *dropped > 1)
        return nm_fail(
            diag, NM_EAUTH,
            "%s: %zu sentences of %s stand in the test part (corpus.test), which has %zu: that is no accident", what,
            *dropped, path, guard->n);
    return NM_OK;
}
