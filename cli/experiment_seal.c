#include "cli/experiment_seal.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/hash.h"

static enum nm_err seal_path(const struct nm_exp *x, unsigned number, const char *suffix, char path[NM_FILE_PATH],
                             struct nm_diag *diag)
{
    char name[24];
    (void)snprintf(name, sizeof name, "%u", number);
    return nm_exp_path(x, "seals", name, suffix, path) == NM_OK
               ? NM_OK
               : nm_fail(diag, NM_ELIMIT, "%.200s...: the path is too long", x->state);
}

static unsigned last_number(const struct nm_exp *x)
{
    char path[NM_FILE_PATH];
    unsigned n = 0;
    while (seal_path(x, n + 1, ".json", path, NULL) == NM_OK && nm_file_exists(path))
        n++;
    return n;
}

/* {key: label} of all taggers, sorted by jansson when it is written. */
static json_t *taggers_of(const struct nm_exp *x)
{
    json_t *all = json_object();
    char label[256];
    for (size_t i = 0; i < x->n_cells; i++) {
        const struct nm_exp_step *step = &x->steps[x->cells[i].step];
        nm_exp_step_label(x, step, label, sizeof label);
        json_object_set_new(all, step->choice, json_string(label));
    }
    return all;
}

static bool hash_taggers(const json_t *taggers, char hash[33])
{
    char *text = json_dumps(taggers, JSON_SORT_KEYS | JSON_COMPACT);
    if (text != NULL)
        nm_hash128_hex(nm_hash128(text, strlen(text)), hash);
    free(text);
    return text != NULL;
}

static enum nm_err read_seal(const struct nm_exp *x, struct nm_seal *seal, json_t **taggers, struct nm_diag *diag)
{
    char path[NM_FILE_PATH], hash[33] = "";
    *seal = (struct nm_seal){.number = last_number(x)};
    *taggers = NULL;
    for (unsigned i = 1; i < seal->number; i++)
        seal->opened_before += seal_path(x, i, ".opened", path, NULL) == NM_OK && nm_file_exists(path);
    if (seal->number == 0)
        return NM_OK;
    enum nm_err err = seal_path(x, seal->number, ".json", path, diag);
    if (err != NM_OK)
        return err;
    json_t *root = json_load_file(path, 0, NULL);
    const char *said = json_string_value(json_object_get(root, "hash"));
    *taggers = json_incref(json_object_get(root, "taggers"));
    if (said == NULL || !hash_taggers(*taggers, hash) || strcmp(said, hash) != 0)
        err = nm_fail(diag, NM_EFORMAT, "%s: its taggers are not those that were sealed: the hash differs", path);
    memcpy(seal->hash, hash, sizeof hash);
    json_decref(root);
    return err;
}

enum nm_err nm_seal_read(const struct nm_exp *x, struct nm_seal *seal, struct nm_diag *diag)
{
    json_t *taggers;
    enum nm_err err = read_seal(x, seal, &taggers, diag);
    json_decref(taggers);
    return err;
}

enum nm_err nm_seal_write(const struct nm_exp *x, struct nm_seal *seal, struct nm_diag *diag)
{
    char path[NM_FILE_PATH], hash[33] = "";
    enum nm_err err = nm_seal_read(x, seal, diag);
    json_t *taggers = taggers_of(x);
    if (err == NM_OK && !hash_taggers(taggers, hash))
        err = nm_fail(diag, NM_ENOMEM, "out of memory");
    if (err != NM_OK || (seal->number > 0 && strcmp(seal->hash, hash) == 0)) {
        json_decref(taggers);
        return err;
    }
    json_t *root = json_pack("{s:s, s:s, s:i, s:I, s:s, s:s, s:o}", "hash", hash, "experiment", x->e->name, "method",
                             NM_EXPERIMENT_METHOD, "sealed_ms", (json_int_t)nm_clock_wall_ms(), "train", x->pool_hash,
                             "nermill", NM_VERSION, "taggers", taggers);
    char *text = json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS);
    err = text != NULL ? seal_path(x, seal->number + 1, ".json", path, diag)
                       : nm_fail(diag, NM_ENOMEM, "out of memory");
    if (err == NM_OK)
        err = nm_file_write_atomic(path, text, strlen(text), diag);
    free(text);
    json_decref(root);
    return err == NM_OK ? nm_seal_read(x, seal, diag) : err;
}

enum nm_err nm_seal_open(const struct nm_exp *x, struct nm_seal *seal, struct nm_diag *diag)
{
    char path[NM_FILE_PATH], label[256];
    json_t *taggers;
    enum nm_err err = read_seal(x, seal, &taggers, diag);
    if (err == NM_OK && seal->number == 0)
        err = nm_fail(
            diag, NM_EAUTH,
            "evaluate: test: nothing is sealed; nermill experiment FILE --seal writes down all choices first");
    for (size_t i = 0; i < x->n_cells && err == NM_OK; i++) {
        const struct nm_exp_step *step = &x->steps[x->cells[i].step];
        if (!step->wanted || json_object_get(taggers, step->choice) != NULL)
            continue;
        nm_exp_cell_label(x, &x->cells[i], label, sizeof label);
        err =
            nm_fail(diag, NM_EAUTH,
                    "evaluate: test: %s is not as it was sealed (seal %u); --seal makes another one, and the results "
                    "will say so",
                    label, seal->number);
    }
    json_decref(taggers);
    if (err == NM_OK)
        err = seal_path(x, seal->number, ".opened", path, diag);
    if (err == NM_OK && !nm_file_exists(path))
        err = nm_file_write_atomic(path, seal->hash, strlen(seal->hash), diag);
    return err;
}
