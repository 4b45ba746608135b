#include "workers/trainer/checkpoint.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/file.h"

enum { JSON_MAX = 1 << 20, VERSION = 2 };

#define PREFIX "checkpoint-"
#define INDEX "checkpoint.json"
#define BEST "best"

static const char *const files[] = {"model.safetensors", NM_CRF_FILE, "config.json", "optimizer.safetensors"};

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Our files in dir, and the temporary ones beside them that a killed writer left. */
static void remove_files(const char *dir, const char *const *names, size_t n)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        for (size_t i = 0; i < n; i++) {
            char path[NM_FILE_PATH];
            if (begins_with(entry->d_name, names[i]) && nm_file_join(dir, entry->d_name, path, sizeof(path)) == NM_OK)
                unlink(path);
        }
    closedir(d);
}

static int is_checkpoint(const struct dirent *entry)
{
    return begins_with(entry->d_name, PREFIX);
}

static size_t step_of(const struct dirent *entry)
{
    return (size_t)strtoull(entry->d_name + strlen(PREFIX), NULL, 10);
}

static int newest_first(const struct dirent **a, const struct dirent **b)
{
    size_t x = step_of(*a), y = step_of(*b);
    return x > y ? -1 : x < y;
}

/* All checkpoints in dir but the newest keep up to this step; those beyond it are of another training. */
static void remove_old(const char *dir, size_t newest, size_t keep)
{
    struct dirent **entries;
    int n = scandir(dir, &entries, is_checkpoint, newest_first);
    for (int i = 0; i < n; i++) {
        char sub[NM_FILE_PATH];
        if (step_of(entries[i]) <= newest && keep > 0)
            keep--;
        else if (nm_file_join(dir, entries[i]->d_name, sub, sizeof(sub)) == NM_OK) {
            remove_files(sub, files, sizeof(files) / sizeof(files[0]));
            rmdir(sub); /* left where somebody put other files in */
        }
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

static enum nm_err write_index(const char *dir, const char *name, const struct nm_checkpoint *c, struct nm_diag *diag)
{
    char path[NM_FILE_PATH], recipe[17];
    enum nm_err err = nm_file_path(dir, INDEX, path, diag);
    if (err != NM_OK)
        return err;
    snprintf(recipe, sizeof(recipe), "%016" PRIx64, c->recipe);
    json_t *losses = json_array();
    for (size_t i = 0; i < c->n_losses; i++)
        json_array_append_new(losses, json_real(c->losses[i]));
    json_t *root = json_pack("{s:i, s:s, s:s, s:I, s:f, s:I, s:f, s:I, s:f, s:o}", "version", (int)VERSION,
                             "directory", name, "recipe", recipe, "step", (json_int_t)c->step, "seconds", c->seconds,
                             "tokens", (json_int_t)c->tokens, "loss_sum", c->loss_sum, "best_epoch",
                             (json_int_t)c->best_epoch, "best_f1", c->best_f1, "losses", losses);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (text == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", path);
    err = nm_file_write_atomic(path, text, strlen(text), diag);
    free(text);
    return err;
}

enum nm_err nm_checkpoint_save(const char *dir, const struct nm_checkpoint *checkpoint, const struct nm_bert *bert,
                               const struct nm_optimizer *optimizer, size_t keep, struct nm_diag *diag)
{
    char name[64], sub[NM_FILE_PATH], path[NM_FILE_PATH];
    snprintf(name, sizeof(name), PREFIX "%zu", checkpoint->step);
    enum nm_err err = nm_file_path(dir, name, sub, diag);
    if (err == NM_OK)
        err = nm_file_make_dirs(sub, diag);
    if (err == NM_OK)
        err = nm_bert_save(bert, sub, diag);
    if (err == NM_OK)
        err = nm_file_path(sub, "optimizer.safetensors", path, diag);
    if (err == NM_OK)
        err = nm_optimizer_save(optimizer, path, diag);
    if (err == NM_OK)
        err = write_index(dir, name, checkpoint, diag);
    if (err == NM_OK)
        remove_old(dir, checkpoint->step, keep > 0 ? keep : 1);
    return err;
}

static bool read_index(const json_t *root, struct nm_checkpoint *c, const char **name)
{
    const char *recipe = NULL;
    json_int_t step = 0, tokens = 0, version = 0, best = 0;
    json_t *losses = NULL;
    if (json_unpack((json_t *)root, "{s:I, s:s, s:s, s:I, s:F, s:I, s:F, s:I, s:F, s:o}", "version", &version,
                    "directory", name, "recipe", &recipe, "step", &step, "seconds", &c->seconds, "tokens", &tokens,
                    "loss_sum", &c->loss_sum, "best_epoch", &best, "best_f1", &c->best_f1, "losses", &losses) != 0)
        return false;
    if (version != VERSION || step < 0 || tokens < 0 || best < 0 || strchr(*name, '/') != NULL ||
        strncmp(*name, PREFIX, strlen(PREFIX)) != 0 || json_array_size(losses) > NM_CHECKPOINT_EPOCHS)
        return false;
    c->recipe = strtoull(recipe, NULL, 16);
    c->step = (size_t)step;
    c->tokens = (uint64_t)tokens;
    c->best_epoch = (size_t)best;
    c->n_losses = json_array_size(losses);
    for (size_t i = 0; i < c->n_losses; i++)
        c->losses[i] = json_number_value(json_array_get(losses, i));
    return true;
}

enum nm_err nm_checkpoint_find(const char *dir, struct nm_checkpoint *checkpoint, char *model_dir, size_t size,
                               struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    struct nm_buf buf;
    const char *name = NULL;
    *checkpoint = (struct nm_checkpoint){0};
    enum nm_err err = nm_file_path(dir, INDEX, path, diag);
    if (err != NM_OK)
        return err;
    if (!nm_file_exists(path))
        return NM_ENOENT;
    nm_buf_init(&buf, JSON_MAX);
    err = nm_file_read(path, &buf, diag);
    json_t *root = err == NM_OK ? json_loadb(nm_buf_str(&buf), buf.len, 0, NULL) : NULL;
    if (err == NM_OK && (root == NULL || !read_index(root, checkpoint, &name)))
        err = nm_fail(diag, NM_EFORMAT, "%s: no checkpoint of this version: remove it to train from the start", path);
    if (err == NM_OK && nm_file_join(dir, name, model_dir, size) != NM_OK)
        err = nm_fail(diag, NM_ELIMIT, "%s: the path is too long", path);
    json_decref(root);
    nm_buf_clean_up(&buf);
    return err;
}

enum nm_err nm_checkpoint_load_optimizer(const char *model_dir, struct nm_optimizer *optimizer, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    enum nm_err err = nm_file_path(model_dir, "optimizer.safetensors", path, diag);
    return err == NM_OK ? nm_optimizer_load(optimizer, path, diag) : err;
}

enum nm_err nm_checkpoint_best(const char *dir, char path[NM_FILE_PATH], struct nm_diag *diag)
{
    return nm_file_path(dir, BEST, path, diag);
}

enum nm_err nm_checkpoint_save_best(const char *dir, const struct nm_bert *bert, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    enum nm_err err = nm_checkpoint_best(dir, path, diag);
    if (err == NM_OK)
        err = nm_file_make_dirs(path, diag);
    return err == NM_OK ? nm_bert_save(bert, path, diag) : err;
}

void nm_checkpoint_remove(const char *dir)
{
    static const char *const index[] = {INDEX};
    char best[NM_FILE_PATH];
    remove_files(dir, index, 1);
    remove_old(dir, 0, 0);
    if (nm_checkpoint_best(dir, best, NULL) == NM_OK) {
        remove_files(best, files, sizeof(files) / sizeof(files[0]));
        rmdir(best);
    }
}
