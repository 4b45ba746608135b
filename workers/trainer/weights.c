#include "workers/trainer/weights.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/file.h"
#include "workers/trainer/safetensors.h"
#include "workers/trainer/torch_file.h"

enum { INDEX_MAX = 64 << 20, FILES_MAX = 10000 };

static const struct form {
    const char *name;
    bool torch, index;
} forms[] = {{"model.safetensors", false, false},
             {"model.safetensors.index.json", false, true},
             {"pytorch_model.bin", true, false},
             {"pytorch_model.bin.index.json", true, true}};

struct file {
    char *path;
    struct nm_safetensors *st; /* one of the two */
    struct nm_torch_file *torch;
};

struct nm_weights {
    char *dir;
    struct file *files;
    size_t n, cap;
    bool torch;
};

/* The first form that is there, and its path. */
static enum nm_err find_form(const char *dir, const struct form **form, char path[NM_FILE_PATH], struct nm_diag *diag)
{
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        enum nm_err err = nm_file_path(dir, forms[i].name, path, diag);
        if (err != NM_OK)
            return err;
        *form = &forms[i];
        if (nm_file_exists(path))
            return NM_OK;
    }
    return nm_fail(diag, NM_ENOENT,
                   "%s: no weights: neither model.safetensors nor pytorch_model.bin, nor an index of either", dir);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The shards that an index names, each once, sorted.  Only names of files beside it: it is somebody else's text. */
static enum nm_err list_shards(const char *path, json_t **root, const char ***names, size_t *n, struct nm_diag *diag)
{
    struct nm_buf buf;
    const char *tensor;
    json_t *value;
    json_error_t where;
    nm_buf_init(&buf, INDEX_MAX);
    *names = NULL;
    *n = 0;
    *root = NULL;
    enum nm_err err = nm_file_read(path, &buf, diag);
    if (err == NM_OK && (*root = json_loadb(nm_buf_str(&buf), buf.len, 0, &where)) == NULL)
        err = nm_fail(diag, NM_EFORMAT, "%s:%d: %s", path, where.line, where.text);
    nm_buf_clean_up(&buf);
    json_t *map = json_object_get(*root, "weight_map");
    if (err == NM_OK && json_object_size(map) == 0)
        err = nm_fail(diag, NM_EFORMAT, "%s: no \"weight_map\" in it", path);
    if (err != NM_OK)
        return err;
    *names = malloc(json_object_size(map) * sizeof(**names));
    if (*names == NULL) {
        (void)nm_fail(diag, NM_ENOMEM, "%s: out of memory", path);
        return NM_ENOMEM;
    }
    json_object_foreach(map, tensor, value)
    {
        const char *name = json_string_value(value);
        if (name == NULL || *name == '\0' || strchr(name, '/') != NULL)
            return nm_fail(diag, NM_EFORMAT, "%s: tensor %s is in no file of this directory", path, tensor);
        (*names)[(*n)++] = name;
    }
    qsort(*names, *n, sizeof(**names), by_name);
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++)
        if (kept == 0 || strcmp((*names)[kept - 1], (*names)[i]) != 0)
            (*names)[kept++] = (*names)[i];
    *n = kept;
    if (kept > FILES_MAX)
        return nm_fail(diag, NM_ELIMIT, "%s: more than %d files", path, FILES_MAX);
    return NM_OK;
}

enum nm_err nm_weights_each_file(const char *dir,
                                 enum nm_err (*use)(void *arg, const char *path, struct nm_diag *diag), void *arg,
                                 struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    const struct form *form;
    const char **names = NULL;
    json_t *root = NULL;
    size_t n = 0;
    enum nm_err err = find_form(dir, &form, path, diag);
    if (err == NM_OK)
        err = use(arg, path, diag);
    if (err == NM_OK && form->index)
        err = list_shards(path, &root, &names, &n, diag);
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        err = nm_file_path(dir, names[i], path, diag);
        if (err == NM_OK)
            err = use(arg, path, diag);
    }
    free(names);
    json_decref(root);
    return err;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static bool is_index(const char *path)
{
    static const char end[] = ".index.json";
    size_t len = strlen(path);
    return len >= sizeof(end) && strcmp(path + len - sizeof(end) + 1, end) == 0;
}

static enum nm_err open_file(void *arg, const char *path, struct nm_diag *diag)
{
    struct nm_weights *w = arg;
    if (is_index(path))
        return NM_OK;
    if (w->n == w->cap) {
        size_t cap = w->cap * 2 + 4;
        struct file *files = realloc(w->files, cap * sizeof(*files));
        if (files == NULL)
            return nm_fail(diag, NM_ENOMEM, "%s: out of memory", path);
        w->files = files;
        w->cap = cap;
    }
    struct file *f = &w->files[w->n];
    *f = (struct file){.path = strdup(path)};
    if (f->path == NULL)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", path);
    w->n++;
    return w->torch ? nm_torch_file_open(&f->torch, path, diag) : nm_safetensors_open(&f->st, path, diag);
}

enum nm_err nm_weights_open(struct nm_weights **weights, const char *dir, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    const struct form *form;
    enum nm_err err = find_form(dir, &form, path, diag);
    if (err != NM_OK)
        return err;
    struct nm_weights *w = calloc(1, sizeof(*w));
    if (w == NULL || (w->dir = strdup(dir)) == NULL) {
        free(w);
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", dir);
    }
    w->torch = form->torch;
    err = nm_weights_each_file(dir, open_file, w, diag);
    if (err != NM_OK)
        nm_weights_close(&w);
    else
        *weights = w;
    return err;
}

void nm_weights_close(struct nm_weights **weights)
{
    struct nm_weights *w = *weights;
    if (w == NULL)
        return;
    for (size_t i = 0; i < w->n; i++) {
        nm_safetensors_close(&w->files[i].st);
        nm_torch_file_close(&w->files[i].torch);
        free(w->files[i].path);
    }
    free(w->files);
    free(w->dir);
    free(w);
    *weights = NULL;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static const struct nm_stored_tensor *find(const struct nm_weights *w, const char *name, const char **path)
{
    const struct nm_stored_tensor *t = NULL;
    for (size_t i = 0; i < w->n && t == NULL; i++) {
        const struct file *f = &w->files[i];
        t = f->torch != NULL ? nm_torch_file_find(f->torch, name) : nm_safetensors_find(f->st, name);
        *path = f->path;
    }
    return t;
}

bool nm_weights_has(const struct nm_weights *weights, const char *name)
{
    const char *path;
    return find(weights, name, &path) != NULL;
}

enum nm_err nm_weights_read(const struct nm_weights *weights, const char *name, size_t rank, const size_t *shape,
                            float *out, struct nm_diag *diag)
{
    const char *path;
    const struct nm_stored_tensor *t = find(weights, name, &path);
    if (t == NULL && weights->n == 1)
        return nm_fail(diag, NM_ENOENT, "%s: no tensor %s in this file", weights->files[0].path, name);
    if (t == NULL)
        return nm_fail(diag, NM_ENOENT, "%s: no tensor %s in its %zu files of weights", weights->dir, name,
                       weights->n);
    return nm_stored_tensor_read(t, path, rank, shape, out, diag);
}

const float *nm_weights_borrow(const struct nm_weights *weights, const char *name, size_t rank, const size_t *shape)
{
    const char *path;
    const struct nm_stored_tensor *t = find(weights, name, &path);
    return t != NULL ? nm_stored_tensor_borrow(t, rank, shape) : NULL;
}
