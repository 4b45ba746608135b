/* Blobs: what anybody may ask for, hello or not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker_parts.h"
#include "common/file.h"
#include "common/hash.h"

enum { PATH_BYTES = 4096, TEMPLATE_MAX = 1 << 20, ENTITIES_MAX = 1 << 30 };

static struct blob *start_blob(struct nm_broker *b, int i, const char *name, size_t max)
{
    struct blob *blob = &b->blobs[i];
    blob->name = name;
    nm_buf_init(&blob->data, max);
    return blob;
}

/* A file that the project names, or does not: file is NULL then, and missing says what that means. */
static enum nm_err load_file(const char *project, const char *file, const char *missing, struct blob *blob,
                             struct nm_diag *diag)
{
    char path[PATH_BYTES];
    if (!file) {
        blob->missing = missing;
        return NM_OK;
    }
    if (nm_project_path(project, file, path, sizeof path))
        return nm_fail(diag, NM_ELIMIT, "%s: the path of %s is too long", project, file);
    return nm_file_read(path, &blob->data, diag);
}

/* The test sentences as hashes: their words stay here. */
static enum nm_err load_leakage(struct nm_broker *b, const char *project, struct blob *blob, struct nm_diag *diag)
{
    if (b->project->leakage.n_gold > 0)
        return nm_project_leakage_blob(b->project, project, &blob->data, diag);
    blob->missing = "none: the project names no test set under leakage: gold";
    return NM_OK;
}

/* Its bytes are unpacked. */
static enum nm_err load_replay(struct nm_broker *b, const char *project, struct blob *blob, struct nm_diag *diag)
{
    char path[PATH_BYTES];
    const char *file = b->project->generation.replay;
    if (!file) {
        blob->missing = "none: the project replays no other run";
        return NM_OK;
    }
    if (nm_project_path(project, file, path, sizeof path))
        return nm_fail(diag, NM_ELIMIT, "%s: the path of %s is too long", project, file);
    enum nm_err err = nm_recorded_read(path, &blob->data, diag);
    return err ? err : nm_replay_open(b, path, diag);
}

enum nm_err nm_serve_load(struct nm_broker *b, const struct nm_broker_options *options, struct nm_diag *diag)
{
    char path[PATH_BYTES];
    struct blob *project = start_blob(b, 0, "project", NM_TEXT_MAX);
    struct blob *entities = start_blob(b, 1, "entities", ENTITIES_MAX);
    struct blob *template = start_blob(b, 2, "template", TEMPLATE_MAX);
    struct blob *learn_from = start_blob(b, NM_BLOB_LEARN_FROM, "learn_from", ENTITIES_MAX);
    struct blob *exemplars = start_blob(b, NM_BLOB_EXEMPLARS, "exemplars", TEMPLATE_MAX);
    struct blob *leakage = start_blob(b, NM_BLOB_LEAKAGE, "leakage", ENTITIES_MAX);
    struct blob *replay = start_blob(b, NM_BLOB_REPLAY, "replay", ENTITIES_MAX);
    (void)start_blob(b, NM_BLOB_ASIDE, "aside", ENTITIES_MAX); /* filled when the ledger is open */
    if (nm_project_file(options->project, path, sizeof path))
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", options->project);
    enum nm_err err = nm_file_read(path, &project->data, diag);
    if (!err)
        err = nm_project_parse(project->data.data, project->data.len, path, &b->project, diag);
    if (!err)
        err = nm_project_entities(b->project, options->project, &b->entities, diag);
    if (!err)
        err = nm_decoys_new(b->project, options->project, b->entities, &b->decoys, diag);
    if (!err && nm_entities_to_blob(b->entities, &entities->data))
        err = nm_fail(diag, NM_ELIMIT, "%s: the entity lists are larger than %d bytes", path, (int)ENTITIES_MAX);
    if (!err)
        err = load_file(options->project, b->project->generation.template,
                        "none: the project uses a built-in template", template, diag);
    if (!err)
        err = load_file(options->project, b->project->alignment.learn_from,
                        "none: the project's tokenizer learns from no file", learn_from, diag);
    if (!err)
        err = load_file(options->project, b->project->generation.exemplars.file,
                        "none: the project names no exemplars", exemplars, diag);
    if (!err)
        err = load_leakage(b, options->project, leakage, diag);
    if (!err)
        err = load_replay(b, options->project, replay, diag);
    for (int i = 0; i < BLOBS && !err; i++)
        b->blobs[i].digest = nm_hash64(nm_buf_str(&b->blobs[i].data), b->blobs[i].data.len, 0);
    return err;
}

void nm_serve_clean_up(struct nm_broker *b)
{
    for (int i = 0; i < BLOBS; i++)
        nm_buf_clean_up(&b->blobs[i].data);
    nm_recorded_destroy(&b->replay);
    nm_decoys_destroy(&b->decoys);
    nm_entities_destroy(&b->entities);
    nm_project_destroy(&b->project);
}

static const struct blob *find_blob(struct nm_broker *b, const struct nm_msg_blob_read *read)
{
    struct nm_str name = read->name;
    for (int i = 0; i < BLOBS; i++)
        if (strlen(b->blobs[i].name) == name.len && memcmp(b->blobs[i].name, name.ptr, name.len) == 0)
            return &b->blobs[i];
    return nm_directory_blob(b, read);
}

void nm_serve_blob(struct nm_broker *b, const struct nm_peer *peer, const struct nm_msg_blob_read *read)
{
    const struct blob *blob = find_blob(b, read);
    struct nm_msg msg = {.type = NM_MSG_blob_data, .u.blob_data = {.name = read->name, .offset = read->offset}};
    struct nm_msg_blob_data *data = &msg.u.blob_data;
    if (!blob) {
        data->error = nm_str("no such blob: this broker has project, entities, template, learn_from, exemplars, "
                             "leakage, replay and aside, and of each "
                             "aligner index/ID and made/ID/PLACE");
    } else if (blob->missing) {
        data->error = nm_str(blob->missing);
    } else if (read->offset > blob->data.len) {
        data->error = nm_str("the offset is behind the end");
    } else {
        uint64_t left = blob->data.len - read->offset;
        uint64_t length = read->length && read->length < NM_BODY_MAX ? read->length : NM_BODY_MAX;
        data->total = blob->data.len;
        data->digest = blob->digest;
        data->data = (struct nm_str){nm_buf_str(&blob->data) + read->offset, (size_t)(length < left ? length : left)};
        data->checksum = nm_hash64(data->data.ptr, data->data.len, 0);
    }
    nm_broker_reply(b, peer, &msg);
}
