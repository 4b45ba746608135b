#include "workers/trainer/torch_file.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "common/file.h"
#include "workers/trainer/pickle.h"
#include "workers/trainer/zip.h"

enum { PICKLE_MEMORY_MAX = 256 << 20, OLD_VERSION = 1001 };

/* The storage classes, by the name that a pickle gives them, and their element's dtype. */
static const struct {
    const char *global, *dtype;
} storages[] = {{"torch.FloatStorage", "F32"},  {"torch.HalfStorage", "F16"}, {"torch.BFloat16Storage", "BF16"},
                {"torch.DoubleStorage", "F64"}, {"torch.LongStorage", "I64"}, {"torch.IntStorage", "I32"},
                {"torch.ShortStorage", "I16"},  {"torch.CharStorage", "I8"},  {"torch.ByteStorage", "U8"},
                {"torch.BoolStorage", "BOOL"}};
enum { N_STORAGES = sizeof(storages) / sizeof(storages[0]) };

static const char rebuild_v2[] = "torch._utils._rebuild_tensor_v2", rebuild_v1[] = "torch._utils._rebuild_tensor",
                  rebuild_parameter[] = "torch._utils._rebuild_parameter";

struct storage {
    const char *key; /* (key_len) */
    size_t key_len;
    const unsigned char *data;
    size_t size; /* bytes */
};

struct nm_torch_file {
    char *path;
    struct nm_file_map map;
    struct nm_arena arena;
    struct nm_stored_tensor *tensors;
    size_t n;
    /* while it is opened */
    struct storage *storages;
    size_t n_storages;
    struct nm_diag *diag;
};

static enum nm_err malformed(const struct nm_torch_file *f, const char *what)
{
    return nm_fail(f->diag, NM_EFORMAT, "%s: %s: fetch it again", f->path, what);
}

static enum nm_err read_pickle(struct nm_torch_file *f, const unsigned char *data, size_t size,
                               struct nm_pickle **root, size_t *used)
{
    const char *allowed[N_STORAGES + 3];
    for (size_t i = 0; i < N_STORAGES; i++)
        allowed[i] = storages[i].global;
    allowed[N_STORAGES] = rebuild_v2;
    allowed[N_STORAGES + 1] = rebuild_v1;
    allowed[N_STORAGES + 2] = rebuild_parameter;
    return nm_pickle_read(data, size, allowed, N_STORAGES + 3, &f->arena, f->path, root, used, f->diag);
}

/* ---- values of the pickle --------------------------------------------------------------------- */

static bool is_text(const struct nm_pickle *p, const char *text)
{
    return p->kind == NM_PICKLE_TEXT && p->len == strlen(text) && memcmp(p->text, text, p->len) == 0;
}

static bool is_call(const struct nm_pickle *p, const char *callee)
{
    return p->kind == NM_PICKLE_CALL && strcmp(p->items[0]->text, callee) == 0;
}

static bool to_size(const struct nm_pickle *p, size_t *out)
{
    if (p->kind != NM_PICKLE_INT || p->integer < 0)
        return false;
    *out = (size_t)p->integer;
    return true;
}

/* ---- tensors ---------------------------------------------------------------------------------- */

/* What ('storage', torch.FloatStorage, key, device, number of elements, ...) names.  NULL: nothing that is there. */
static const struct storage *find_storage(const struct nm_torch_file *f, const struct nm_pickle *id,
                                          const char **dtype)
{
    const struct nm_pickle *tuple = id->kind == NM_PICKLE_PERSID ? id->items[0] : NULL;
    *dtype = NULL;
    if (tuple == NULL || tuple->kind != NM_PICKLE_TUPLE || tuple->n < 5 || !is_text(tuple->items[0], "storage") ||
        tuple->items[1]->kind != NM_PICKLE_GLOBAL || tuple->items[2]->kind != NM_PICKLE_TEXT)
        return NULL;
    for (size_t i = 0; i < N_STORAGES; i++)
        if (strcmp(tuple->items[1]->text, storages[i].global) == 0)
            *dtype = storages[i].dtype;
    for (size_t i = 0; i < f->n_storages && *dtype != NULL; i++)
        if (f->storages[i].key_len == tuple->items[2]->len &&
            memcmp(f->storages[i].key, tuple->items[2]->text, f->storages[i].key_len) == 0)
            return &f->storages[i];
    return NULL;
}

/* Sizes of a dimension of 1 element may have any stride. */
static bool row_major(const struct nm_stored_tensor *t, const struct nm_pickle *strides)
{
    size_t expected = 1, stride;
    for (size_t i = t->rank; i-- > 0; expected *= t->shape[i])
        if (!to_size(strides->items[i], &stride) || (t->shape[i] > 1 && stride != expected))
            return false;
    return true;
}

static enum nm_err read_tensor(const struct nm_torch_file *f, const struct nm_pickle *call,
                               struct nm_stored_tensor *t)
{
    const struct nm_pickle *args = call->items[1];
    size_t offset, elem, need;
    if (args->n < 4 || !to_size(args->items[1], &offset) || args->items[2]->kind != NM_PICKLE_TUPLE ||
        args->items[3]->kind != NM_PICKLE_TUPLE || args->items[2]->n != args->items[3]->n ||
        args->items[2]->n > NM_TENSOR_MAX_RANK)
        return nm_fail(f->diag, NM_EFORMAT, "%s: tensor %s: no tensor's description", f->path, t->name);
    t->rank = args->items[2]->n;
    for (size_t i = 0; i < t->rank; i++)
        if (!to_size(args->items[2]->items[i], &t->shape[i]))
            return nm_fail(f->diag, NM_EFORMAT, "%s: tensor %s: size %zu of its shape is out of range", f->path,
                           t->name, i);
    const struct storage *s = find_storage(f, args->items[0], &t->dtype);
    if (s == NULL)
        return nm_fail(f->diag, NM_EFORMAT, "%s: tensor %s: its storage is not in the file", f->path, t->name);
    elem = nm_stored_tensor_elem_size(t->dtype);
    if (nm_stored_tensor_count(t) != NM_OK || __builtin_mul_overflow(t->n_elems, elem, &t->n_bytes) ||
        __builtin_mul_overflow(offset, elem, &offset) || __builtin_add_overflow(offset, t->n_bytes, &need) ||
        need > s->size)
        return nm_fail(f->diag, NM_EFORMAT, "%s: tensor %s reaches beyond its storage of %zu bytes", f->path, t->name,
                       s->size);
    if (t->n_elems > 0 && !row_major(t, args->items[3]))
        return nm_fail(f->diag, NM_EFORMAT, "%s: tensor %s is not row-major: save it again with .contiguous()",
                       f->path, t->name);
    t->data = s->data + offset;
    return NM_OK;
}

/* The tensor behind a value, or NULL: parameters are wrapped once more. */
static const struct nm_pickle *tensor_call(const struct nm_pickle *value)
{
    if (is_call(value, rebuild_parameter))
        value = value->items[1]->n > 0 ? value->items[1]->items[0] : value;
    return is_call(value, rebuild_v2) || is_call(value, rebuild_v1) ? value : NULL;
}

static enum nm_err read_tensors(struct nm_torch_file *f, const struct nm_pickle *root)
{
    if (root->kind != NM_PICKLE_DICT)
        return nm_fail(f->diag, NM_EFORMAT, "%s: it holds no state_dict: save model.state_dict()", f->path);
    f->tensors = calloc(root->n / 2 + 1, sizeof(*f->tensors));
    if (f->tensors == NULL)
        return nm_fail(f->diag, NM_ENOMEM, "%s: out of memory", f->path);
    enum nm_err err = NM_OK;
    for (size_t i = 0; i + 1 < root->n && err == NM_OK; i += 2) {
        const struct nm_pickle *key = root->items[i], *call = tensor_call(root->items[i + 1]);
        struct nm_stored_tensor *t = &f->tensors[f->n];
        if (key->kind != NM_PICKLE_TEXT || call == NULL)
            continue;
        t->name = nm_arena_strndup(&f->arena, key->text, key->len);
        if (t->name == NULL)
            return nm_fail(f->diag, NM_ENOMEM, "%s: out of memory", f->path);
        err = read_tensor(f, call, t);
        f->n++;
    }
    return err;
}

/* ---- the two forms ---------------------------------------------------------------------------- */

static bool ends_with(const struct nm_zip_entry *entry, const char *end)
{
    size_t len = strlen(end);
    return entry->name_len >= len && memcmp(entry->name + entry->name_len - len, end, len) == 0;
}

/* Storages are the entries PREFIX/data/KEY, where PREFIX/data.pkl is the pickle. */
static enum nm_err take_storages(struct nm_torch_file *f, const struct nm_zip_entry *entries, size_t n,
                                 const struct nm_zip_entry *pickle)
{
    const size_t prefix = pickle->name_len - strlen("data.pkl");
    f->storages = calloc(n + 1, sizeof(*f->storages));
    if (f->storages == NULL)
        return nm_fail(f->diag, NM_ENOMEM, "%s: out of memory", f->path);
    for (size_t i = 0; i < n; i++) {
        const struct nm_zip_entry *e = &entries[i];
        if (e->name_len > prefix + 5 && memcmp(e->name, pickle->name, prefix) == 0 &&
            memcmp(e->name + prefix, "data/", 5) == 0)
            f->storages[f->n_storages++] = (struct storage){
                .key = e->name + prefix + 5, .key_len = e->name_len - prefix - 5, .data = e->data, .size = e->size};
        if (e->name_len == prefix + 9 && ends_with(e, "byteorder") &&
            (e->size != 6 || memcmp(e->data, "little", 6) != 0))
            return nm_fail(f->diag, NM_EFORMAT, "%s: its numbers are not little-endian", f->path);
    }
    return NM_OK;
}

static enum nm_err read_archive(struct nm_torch_file *f)
{
    struct nm_zip_entry *entries = NULL;
    const struct nm_zip_entry *pickle = NULL;
    struct nm_pickle *root;
    size_t n, used;
    enum nm_err err = nm_zip_read(f->map.data, f->map.size, f->path, &entries, &n, f->diag);
    if (err != NM_OK)
        return err;
    for (size_t i = 0; i < n && pickle == NULL; i++)
        if (ends_with(&entries[i], "data.pkl"))
            pickle = &entries[i];
    if (pickle == NULL) {
        (void)nm_fail(f->diag, NM_EFORMAT, "%s: a ZIP archive without data.pkl: PyTorch did not write it", f->path);
        free(entries);
        return NM_EFORMAT;
    }
    if (err == NM_OK)
        err = take_storages(f, entries, n, pickle);
    if (err == NM_OK)
        err = read_pickle(f, pickle->data, pickle->size, &root, &used);
    if (err == NM_OK)
        err = read_tensors(f, root);
    free(entries);
    return err;
}

/* Behind the pickles, in the order of keys: 8 bytes with the number of elements, then the elements. */
static enum nm_err take_old_storages(struct nm_torch_file *f, const struct nm_pickle *keys,
                                     const struct nm_pickle *root, size_t at)
{
    if (keys->kind != NM_PICKLE_LIST)
        return malformed(f, "no list of storages behind its pickles");
    f->storages = calloc(keys->n + 1, sizeof(*f->storages));
    if (f->storages == NULL)
        return nm_fail(f->diag, NM_ENOMEM, "%s: out of memory", f->path);
    for (size_t i = 0; i < keys->n; i++) /* their keys first: the tensors tell the size of an element */
        f->storages[f->n_storages++] = (struct storage){.key = keys->items[i]->text, .key_len = keys->items[i]->len};
    for (size_t i = 0; i + 1 < root->n; i += 2) {
        const struct nm_pickle *call = tensor_call(root->items[i + 1]);
        const char *dtype;
        const struct storage *s =
            call != NULL && call->items[1]->n > 0 ? find_storage(f, call->items[1]->items[0], &dtype) : NULL;
        if (s != NULL)
            f->storages[s - f->storages].size = nm_stored_tensor_elem_size(dtype);
    }
    for (size_t i = 0; i < f->n_storages; i++) {
        struct storage *s = &f->storages[i];
        uint64_t elems = 0;
        size_t elem = s->size;
        if (elem == 0 || f->map.size - at < 8)
            return malformed(f, elem == 0 ? "a storage of no tensor" : "truncated");
        for (size_t k = 8; k-- > 0;)
            elems = elems << 8 | f->map.data[at + k];
        at += 8;
        if (elems > (f->map.size - at) / elem)
            return malformed(f, "truncated");
        s->data = f->map.data + at;
        s->size = (size_t)elems * elem;
        at += s->size;
    }
    return NM_OK;
}

/* Five pickles: a magic number, a version, the machine's sizes, the state_dict, the keys of the storages. */
static enum nm_err read_old(struct nm_torch_file *f)
{
    static const unsigned char magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    struct nm_pickle *values[5];
    size_t at = 0, used;
    for (size_t i = 0; i < 5; i++) {
        enum nm_err err = read_pickle(f, f->map.data + at, f->map.size - at, &values[i], &used);
        if (err != NM_OK)
            return err;
        at += used;
        if (i == 0 && (values[0]->kind != NM_PICKLE_LONG || values[0]->len != sizeof(magic) ||
                       memcmp(values[0]->text, magic, sizeof(magic)) != 0))
            return nm_fail(f->diag, NM_EFORMAT, "%s: torch.save did not write it", f->path);
    }
    if (values[1]->kind != NM_PICKLE_INT || values[1]->integer != OLD_VERSION || values[3]->kind != NM_PICKLE_DICT)
        return nm_fail(f->diag, NM_EFORMAT, "%s: it holds no state_dict: save model.state_dict()", f->path);
    enum nm_err err = take_old_storages(f, values[4], values[3], at);
    return err == NM_OK ? read_tensors(f, values[3]) : err;
}

enum nm_err nm_torch_file_open(struct nm_torch_file **file, const char *path, struct nm_diag *diag)
{
    struct nm_torch_file *f = calloc(1, sizeof(*f));
    if (f == NULL || (f->path = strdup(path)) == NULL) {
        free(f);
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", path);
    }
    f->diag = diag;
    nm_arena_init(&f->arena, PICKLE_MEMORY_MAX);
    enum nm_err err = nm_file_map(path, &f->map, diag);
    if (err == NM_OK)
        err = nm_zip_is(f->map.data, f->map.size) ? read_archive(f) : read_old(f);
    free(f->storages);
    f->storages = NULL;
    f->diag = NULL;
    if (err != NM_OK)
        nm_torch_file_close(&f);
    else
        *file = f;
    return err;
}

void nm_torch_file_close(struct nm_torch_file **file)
{
    if (*file == NULL)
        return;
    nm_file_unmap(&(*file)->map);
    nm_arena_clean_up(&(*file)->arena);
    free((*file)->tensors);
    free((*file)->path);
    free(*file);
    *file = NULL;
}

const struct nm_stored_tensor *nm_torch_file_find(const struct nm_torch_file *file, const char *name)
{
    for (size_t i = 0; i < file->n; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}
