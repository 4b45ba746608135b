#include "schemas/project_form.h"

#include <stdio.h>
#include <string.h>

#include "common/buf.h"

static const cyaml_config_t config = {.mem_fn = cyaml_mem, .flags = CYAML_CFG_STYLE_BLOCK | CYAML_CFG_NO_ALIAS};

/* Every field of ours is a pointer: NULL where the file does not say. */
static void **at(const cyaml_schema_field_t *field, void *owner)
{
    return (void **)(void *)((char *)owner + field->data_offset);
}

static void swap_bytes(void *a, void *b, size_t n)
{
    char c[16];
    memcpy(c, a, n);
    memcpy(a, b, n);
    memcpy(b, c, n);
}

enum nm_err raw_project_write(const struct raw_project *raw, struct nm_buf *out)
{
    char *text = NULL;
    size_t len = 0;
    if (cyaml_save_data(&text, &len, &config, &nm_project_form, raw, 0) != CYAML_OK)
        return NM_ENOMEM;
    enum nm_err err = nm_buf_add(out, text, len);
    config.mem_fn(config.mem_ctx, text, 0);
    return err;
}

enum nm_err raw_project_copy(const struct raw_project *raw, struct raw_project **copy)
{
    struct nm_buf text;
    *copy = NULL;
    nm_buf_init(&text, 64 << 20);
    enum nm_err err = raw_project_write(raw, &text);
    if (err == NM_OK)
        err = nm_yaml_load(nm_buf_str(&text), text.len, "a project", &nm_project_form, (void **)copy, NULL);
    nm_buf_clean_up(&text);
    return err;
}

static void merge(const cyaml_schema_field_t *fields, void *into, void *patch)
{
    for (const cyaml_schema_field_t *f = fields; f->key != NULL; f++) {
        void **old = at(f, into), **new = at(f, patch);
        if (*new == NULL)
            continue;
        if (f->value.type == CYAML_MAPPING && *old != NULL) {
            merge(f->value.mapping.fields, *old, *new);
            continue;
        }
        swap_bytes(old, new, sizeof *old);
        if (f->value.type == CYAML_SEQUENCE)
            swap_bytes((char *)into + f->count_offset, (char *)patch + f->count_offset, f->count_size);
    }
}

void raw_project_merge(struct raw_project *project, struct raw_project *patch)
{
    merge(nm_project_fields, project, patch);
}

static size_t count_of(const cyaml_schema_field_t *field, const void *owner)
{
    uint32_t n = 0; /* every count of ours is of this size */
    memcpy(&n, (const char *)owner + field->count_offset, sizeof n);
    return n;
}

static bool remove_key(const cyaml_schema_field_t *fields, void *owner, const char *path)
{
    const size_t len = strcspn(path, ".");
    for (const cyaml_schema_field_t *f = fields; f->key != NULL; f++) {
        if (strlen(f->key) != len || memcmp(f->key, path, len) != 0)
            continue;
        void **value = at(f, owner);
        if (path[len] == '.')
            return f->value.type == CYAML_MAPPING &&
                   (*value == NULL || remove_key(f->value.mapping.fields, *value, path + len + 1));
        if (*value != NULL)
            (void)cyaml_free(&config, &f->value, *value,
                             f->value.type == CYAML_SEQUENCE ? (unsigned)count_of(f, owner) : 0);
        *value = NULL;
        if (f->value.type == CYAML_SEQUENCE)
            memset((char *)owner + f->count_offset, 0, f->count_size);
        return true;
    }
    return false;
}

bool raw_project_remove(struct raw_project *project, const char *path)
{
    return remove_key(nm_project_fields, project, path);
}

struct texts {
    raw_text_fn fn;
    void *ctx;
    char key[128];
};

static enum nm_err each_text(struct texts *t, const cyaml_schema_field_t *fields, const void *owner);

/* A list of texts, or of mappings that stand in a row. */
static enum nm_err each_item(struct texts *t, const cyaml_schema_value_t *item, const void *items, size_t n)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        if (item->type == CYAML_MAPPING)
            err = each_text(t, item->mapping.fields, (const char *)items + i * item->data_size);
        else if (item->type == CYAML_STRING)
            err = t->fn(t->ctx, t->key, ((const char *const *)items)[i]);
    }
    return err;
}

static enum nm_err each_text(struct texts *t, const cyaml_schema_field_t *fields, const void *owner)
{
    const size_t len = strlen(t->key);
    enum nm_err err = NM_OK;
    for (const cyaml_schema_field_t *f = fields; f->key != NULL && err == NM_OK; f++) {
        const void *value = NULL;
        memcpy(&value, (const char *)owner + f->data_offset, sizeof value);
        if (value == NULL)
            continue;
        (void)snprintf(t->key + len, sizeof t->key - len, "%s%s", len > 0 ? "." : "", f->key);
        if (f->value.type == CYAML_MAPPING)
            err = each_text(t, f->value.mapping.fields, value);
        else if (f->value.type == CYAML_SEQUENCE)
            err = each_item(t, f->value.sequence.entry, value, count_of(f, owner));
        else if (f->value.type == CYAML_STRING)
            err = t->fn(t->ctx, t->key, value);
        t->key[len] = '\0';
    }
    return err;
}

enum nm_err raw_project_each_text(const struct raw_project *project, raw_text_fn fn, void *ctx)
{
    struct texts t = {.fn = fn, .ctx = ctx};
    return each_text(&t, nm_project_fields, project);
}
