#include "workers/trainer/model_dir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/hash.h"
#include "workers/trainer/scores_json.h"
#include "workers/trainer/weights.h"

enum { FILE_MAX = 256 << 20, CHUNK = 1 << 20 };

#define CARD "nermill.json"

static const char *const tokenizer_files[] = {"tokenizer.json", "vocab.txt", "tokenizer_config.json",
                                              "special_tokens_map.json", "added_tokens.json"};
enum { N_TOKENIZER_FILES = sizeof(tokenizer_files) / sizeof(tokenizer_files[0]) };

bool nm_model_dir_same(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

enum nm_err nm_model_dir_copy_tokenizer(const char *from, const char *to, struct nm_diag *diag)
{
    if (nm_model_dir_same(from, to))
        return NM_OK;
    struct nm_buf buf;
    nm_buf_init(&buf, FILE_MAX);
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < N_TOKENIZER_FILES && err == NM_OK; i++) {
        char source[NM_FILE_PATH], target[NM_FILE_PATH];
        err = nm_file_path(from, tokenizer_files[i], source, diag);
        if (err == NM_OK)
            err = nm_file_path(to, tokenizer_files[i], target, diag);
        if (err != NM_OK || !nm_file_exists(source))
            continue;
        nm_buf_reset(&buf);
        err = nm_file_read(source, &buf, diag);
        if (err == NM_OK)
            err = nm_file_write_atomic(target, nm_buf_str(&buf), buf.len, diag);
    }
    nm_buf_clean_up(&buf);
    return err;
}

/* What a digest is made of, file by file. */
struct hashing {
    struct nm_hash_stream *stream;
    char *chunk; /* (CHUNK) */
};

/* A file's name and content; one that is not there has only a name. */
static enum nm_err hash_file(void *arg, const char *path, struct nm_diag *diag)
{
    const struct hashing *h = arg;
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    FILE *file = fopen(path, "rb");
    if (file == NULL && errno != ENOENT)
        return nm_fail(diag, nm_err_from_errno(errno), "%s: %s", path, strerror(errno));
    for (size_t n; file != NULL && (n = fread(h->chunk, 1, CHUNK, file)) > 0;)
        nm_hash_stream_add(h->stream, h->chunk, n);
    bool failed = file != NULL && ferror(file) != 0;
    if (file != NULL)
        fclose(file);
    nm_hash_stream_add(h->stream, name, strlen(name) + 1);
    return failed ? nm_fail(diag, NM_EIO, "%s: reading failed", path) : NM_OK;
}

static enum nm_err hash_files(struct hashing *h, const char *dir, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    enum nm_err err = nm_file_path(dir, "config.json", path, diag);
    if (err == NM_OK)
        err = hash_file(h, path, diag);
    if (err == NM_OK)
        err = nm_weights_each_file(dir, hash_file, h, diag);
    if (err == NM_OK)
        err = nm_file_path(dir, NM_CRF_FILE, path, diag);
    if (err == NM_OK)
        err = hash_file(h, path, diag);
    for (size_t i = 0; i < N_TOKENIZER_FILES && err == NM_OK; i++) {
        err = nm_file_path(dir, tokenizer_files[i], path, diag);
        if (err == NM_OK)
            err = hash_file(h, path, diag);
    }
    return err;
}

enum nm_err nm_model_dir_digest(const char *dir, uint64_t *digest, struct nm_diag *diag)
{
    struct hashing h = {.stream = nm_hash_stream_new(), .chunk = malloc(CHUNK)};
    enum nm_err err =
        h.stream != NULL && h.chunk != NULL ? NM_OK : nm_fail(diag, NM_ENOMEM, "%s: out of memory", dir);
    if (err == NM_OK)
        err = hash_files(&h, dir, diag);
    if (err == NM_OK)
        *digest = nm_hash_stream_digest(h.stream);
    nm_hash_stream_destroy(&h.stream);
    free(h.chunk);
    return err;
}

static json_t *data_json(const struct nm_corpus *corpus)
{
    char digest[17];
    json_t *types = json_array();
    snprintf(digest, sizeof(digest), "%016" PRIx64, nm_corpus_digest(corpus));
    for (size_t i = 0; i < corpus->n_types; i++)
        json_array_append_new(types, json_string(corpus->types[i]));
    return json_pack("{s:s, s:I, s:I, s:o}", "digest", digest, "sentences", (json_int_t)corpus->n, "words",
                     (json_int_t)corpus->n_words, "types", types);
}

static json_t *recipe_json(const struct nm_recipe *recipe)
{
    size_t n;
    const struct nm_recipe_field *fields = nm_recipe_fields(&n);
    json_t *root = json_object();
    for (size_t i = 0; i < n; i++) {
        const struct nm_recipe_field *f = &fields[i];
        json_t *value = NULL;
        if (f->kind == NM_RECIPE_REAL) {
            double real = nm_recipe_real(recipe, f);
            value = real < 0 ? json_null() : json_real(real); /* dropout: the model's own */
        } else {
            uint64_t count = nm_recipe_count(recipe, f);
            value = f->kind == NM_RECIPE_CHOICE ? json_string(f->choices[count]) : json_integer((json_int_t)count);
        }
        json_object_set_new(root, f->name, value);
    }
    return root;
}

enum nm_err nm_model_dir_write_card(const char *dir, const struct nm_training *training,
                                    const struct nm_checkpoint *state, const struct nm_scores *scores,
                                    char *const *types, struct nm_diag *diag)
{
    char path[NM_FILE_PATH], hash[17];
    enum nm_err err = nm_file_path(dir, CARD, path, diag);
    if (err != NM_OK)
        return err;
    snprintf(hash, sizeof(hash), "%016" PRIx64, state->recipe);
    json_t *losses = json_array();
    for (size_t i = 0; i < state->n_losses; i++)
        json_array_append_new(losses, json_real(state->losses[i]));
    json_t *root =
        json_pack("{s:i, s:s, s:s, s:s, s:o, s:o, s:{s:I, s:I, s:f, s:f, s:o}, s:o}", "version", 1, "nermill",
                  NM_VERSION, "training_id", hash, "base_model", training->model, "recipe",
                  recipe_json(&training->recipe), "data", data_json(training->train), "training", "steps",
                  (json_int_t)state->step, "best_epoch", (json_int_t)state->best_epoch, "seconds", state->seconds,
                  "tokens_per_s", state->seconds > 0 ? (double)state->tokens / state->seconds : 0.0, "losses", losses,
                  "scores", scores != NULL ? nm_scores_json(scores, types) : json_null());
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(10)) : NULL;
    json_decref(root);
    if (text == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory, or a name that is not UTF-8", path);
    err = nm_file_write_atomic(path, text, strlen(text), diag);
    free(text);
    return err;
}

bool nm_model_dir_is_result(const char *dir, uint64_t recipe)
{
    static const char *const needed[] = {"model.safetensors", "config.json"};
    char path[NM_FILE_PATH];
    struct nm_buf buf;
    for (size_t i = 0; i < 2; i++)
        if (nm_file_join(dir, needed[i], path, sizeof(path)) != NM_OK || !nm_file_exists(path))
            return false;
    if (nm_file_join(dir, CARD, path, sizeof(path)) != NM_OK || !nm_file_exists(path))
        return false;
    nm_buf_init(&buf, 1 << 20);
    json_t *root = nm_file_read(path, &buf, NULL) == NM_OK ? json_loadb(nm_buf_str(&buf), buf.len, 0, NULL) : NULL;
    const char *id = json_string_value(json_object_get(root, "training_id"));
    const char *crf = json_string_value(json_object_get(json_object_get(root, "recipe"), "crf"));
    bool same = id != NULL && strlen(id) == 16 && strtoull(id, NULL, 16) == recipe;
    if (crf != NULL && strcmp(crf, "on") == 0) /* its layer is a part of it */
        same = same && nm_file_join(dir, NM_CRF_FILE, path, sizeof(path)) == NM_OK && nm_file_exists(path);
    json_decref(root);
    nm_buf_clean_up(&buf);
    return same;
}
