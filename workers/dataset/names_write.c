/* names_write.c - the lists, and entities.json: where they come from and what was left out of them, with the reason.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "workers/dataset/names_parts.h"

/* The file of a type: its name, with '_' for what is no letter, digit, '-', '_' or '.' (nor, in front, a '.'). */
static enum nm_err file_of(const struct nm_names *names, size_t type, struct nm_buf *out)
{
    const char *name = names->types[type].name;
    nm_buf_reset(out);
    enum nm_err err = nm_buf_adds(out, name);
    for (size_t i = 0; i < out->len && err == NM_OK; i++) {
        unsigned char c = (unsigned char)out->data[i];
        bool kept = c >= 0x80 || strchr("/\\ \t\n\r:*?\"<>|", c) == NULL;
        if (!kept || (i == 0 && c == '.') || c < 0x20)
            out->data[i] = '_';
    }
    return err == NM_OK ? nm_buf_adds(out, ".txt") : err;
}

static enum nm_err check_files(const struct nm_names *names, struct nm_diag *diag)
{
    struct nm_buf a, b;
    enum nm_err err = NM_OK;
    nm_buf_init(&a, NM_FILE_PATH);
    nm_buf_init(&b, NM_FILE_PATH);
    for (size_t i = 0; i < names->n_types && err == NM_OK; i++)
        for (size_t k = 0; k < i && err == NM_OK; k++) {
            if (!names->types[i].listed || !names->types[k].listed)
                continue;
            err = file_of(names, i, &a);
            if (err == NM_OK)
                err = file_of(names, k, &b);
            if (err == NM_OK && strcmp(nm_buf_str(&a), nm_buf_str(&b)) == 0)
                err =
                    nm_fail(diag, NM_EINVAL, "the lists of the types %s and %s would both be %s: choose with --type",
                            names->types[i].name, names->types[k].name, nm_buf_str(&a));
        }
    nm_buf_clean_up(&a);
    nm_buf_clean_up(&b);
    return err;
}

static enum nm_err write_list(const struct nm_names *names, size_t type, const char *dir, struct nm_buf *buf,
                              struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    enum nm_err err = file_of(names, type, buf);
    if (err == NM_OK)
        err = nm_file_path(dir, nm_buf_str(buf), path, diag);
    if (err != NM_OK)
        return err;
    nm_buf_reset(buf);
    for (size_t i = 0; i < names->n && err == NM_OK; i++) {
        if (!names->v[i].drawn || names->v[i].type != type)
            continue;
        err = nm_buf_add(buf, names->v[i].text, names->v[i].len);
        if (err == NM_OK)
            err = nm_buf_addc(buf, '\n');
    }
    return err == NM_OK ? nm_file_write_atomic(path, nm_buf_str(buf), buf->len, diag)
                        : nm_fail(diag, err, "out of memory");
}

/* ---- entities.json ---------------------------------------------------------------------------------------------
 */

static json_t *hex(uint64_t hash)
{
    return json_sprintf("%016" PRIx64, hash);
}

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *of_type(const struct nm_names *names, size_t type, const char *file)
{
    static const uint64_t from[NAME_BANDS] = {1, 2, 4, 8, 16};
    uint64_t all[NAME_BANDS] = {0}, wanted[NAME_BANDS] = {0}, drawn[NAME_BANDS] = {0}, sums[3] = {0};
    for (size_t i = 0; i < names->n; i++) {
        const struct nm_name *name = &names->v[i];
        size_t band = name_band(name->labelled);
        if (name->type != type)
            continue;
        all[band]++;
        wanted[band] += name->wanted;
        drawn[band] += name->drawn;
        sums[0]++;
        sums[1] += name->wanted;
        sums[2] += name->drawn;
    }
    json_t *bands = json_array();
    for (size_t b = 0; b < NAME_BANDS; b++)
        json_array_append_new(bands,
                              json_pack("{s:o, s:o, s:o, s:o}", "mentioned_at_least", number(from[b]), "names",
                                        number(all[b]), "wanted", number(wanted[b]), "listed", number(drawn[b])));
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "file", file, "mentions", number(names->types[type].mentions),
                     "names", number(sums[0]), "wanted", number(sums[1]), "listed", number(sums[2]), "bands", bands);
}

static json_t *types_json(const struct nm_names *names)
{
    json_t *types = json_object();
    struct nm_buf file;
    nm_buf_init(&file, NM_FILE_PATH);
    for (size_t i = 0; i < names->n_types; i++)
        if (names->types[i].listed && file_of(names, i, &file) == NM_OK)
            json_object_set_new(types, names->types[i].name, of_type(names, i, nm_buf_str(&file)));
    nm_buf_clean_up(&file);
    return types;
}

static json_t *clashes_json(const struct nm_names *names)
{
    json_t *list = json_array();
    uint64_t resolved = 0;
    for (size_t i = 0; i < names->n_clashes; i++) {
        const struct name_clash *clash = &names->clashes[i];
        bool kept = clash->type < names->n_types;
        json_t *mentions = json_object();
        for (size_t t = 0; t < names->n_types; t++)
            if (clash->counts[t] > 0)
                json_object_set_new(mentions, names->types[t].name, number(clash->counts[t]));
        resolved += kept;
        json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "name", clash->text, "mentions", mentions, "type",
                                              kept ? json_string(names->types[clash->type].name) : json_null()));
    }
    return json_pack("{s:o, s:o, s:o}", "resolved", number(resolved), "dropped", number(names->n_clashes - resolved),
                     "names", list);
}

static json_t *faults_json(const struct nm_names *names)
{
    json_t *list = json_array();
    for (size_t i = 0; i < names->n; i++) {
        const struct nm_name *name = &names->v[i];
        if (name->fault == NM_NAME_GOOD || !names->types[name->type].listed)
            continue;
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o, s:o, s:o, s:s}", "name", name->text, "type",
                                        names->types[name->type].name, "labelled", number(name->labelled),
                                        "unlabelled", number(name->unlabelled), "unlabelled_any_case",
                                        number(name->unlabelled_any_case), "why", nm_name_fault_text(name->fault)));
    }
    return json_pack("{s:b, s:o}", "dropped", names->hygiene, "names", list);
}

static json_t *unseen_json(const struct nm_names *names)
{
    json_t *list = json_array();
    uint64_t content;
    const char *path;
    for (size_t i = 0; (path = nm_heldout_file(names->heldout, i, &content)) != NULL; i++)
        json_array_append_new(list, json_pack("{s:s, s:o}", "file", path, "content", hex(content)));
    return list;
}

static json_t *report(const struct nm_names *names)
{
    json_t *source = json_pack("{s:s, s:o, s:o, s:o, s:o}", "file", names->source, "content",
                               hex(nm_heldout_content(names->heldout)), "sentences", number(names->counts.records),
                               "mentions", number(names->counts.mentions), "masked", number(names->counts.masked));
    json_t *spellings = json_pack("{s:o, s:o, s:o}", "different", number(names->n_forms), "folded",
                                  number(names->folded), "unlistable_mentions", number(names->unlistable));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "source", source, "unseen", unseen_json(names),
                     "budget", names->budget > 0 ? number(names->budget) : json_null(), "seed", number(names->seed),
                     "types", types_json(names), "spellings", spellings, "two_types", clashes_json(names),
                     "ambiguous", faults_json(names));
}

static enum nm_err write_report(const struct nm_names *names, const char *dir, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    json_t *root = report(names);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (text == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    enum nm_err err = nm_file_path(dir, "entities.json", path, diag);
    const struct nm_file_part parts[] = {{text, strlen(text)}, {"\n", 1}};
    if (err == NM_OK)
        err = nm_file_write_atomic_parts(path, parts, 2, diag);
    free(text);
    return err;
}

enum nm_err nm_names_write(const struct nm_names *names, const char *dir, struct nm_diag *diag)
{
    struct nm_buf buf;
    nm_buf_init(&buf, SIZE_MAX / 4);
    enum nm_err err = check_files(names, diag);
    if (err == NM_OK)
        err = nm_file_make_dirs(dir, diag);
    for (size_t i = 0; i < names->n_types && err == NM_OK; i++)
        if (names->types[i].listed)
            err = write_list(names, i, dir, &buf, diag);
    if (err == NM_OK)
        err = write_report(names, dir, diag);
    nm_buf_clean_up(&buf);
    return err;
}
