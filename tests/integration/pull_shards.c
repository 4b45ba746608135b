/* pull_shards BROKER DIR - what a trainer gets: the corpus, as its digest and size on standard output ("DIGEST N"),
 * and every shard as it came, in DIR/WORKER.NUMBER. */
#include <inttypes.h>
#include <stdio.h>

#include "common/file.h"
#include "common/net.h"
#include "schemas/shard.h"
#include "workers/trainer/pull.h"
#include "workers/worker/worker.h"

enum { WAIT_MS = 30000, ANSWER_MS = 3000, TRIES = 10, BLOB_MAX = 1 << 30 };

static enum nm_err save(struct nm_worker *aligner, const char *dir, const char *id, uint64_t number,
                        struct nm_buf *blob, struct nm_diag *diag)
{
    char name[64];
    char path[4096];
    (void)snprintf(name, sizeof name, "shard/%" PRIu64, number);
    (void)snprintf(path, sizeof path, "%s/%s.%" PRIu64, dir, id, number);
    enum nm_err err = nm_worker_blob(aligner, name, blob, ANSWER_MS, diag);
    return err == NM_OK ? nm_file_write_atomic(path, nm_buf_str(blob), blob->len, diag) : err;
}

static enum nm_err save_all(const struct nm_msg_aligner *entry, const char *dir, struct nm_diag *diag)
{
    const struct nm_worker_role role = {.name = "trainer", .peer = "aligner"};
    struct nm_worker *aligner = NULL;
    struct nm_buf blob;
    struct nm_arena arena;
    struct nm_index index = {0};
    nm_buf_init(&blob, BLOB_MAX);
    nm_arena_init(&arena, 0);
    enum nm_err err = nm_worker_new(&role, entry->endpoint.ptr, NULL, &aligner, diag);
    if (err == NM_OK)
        err = nm_worker_blob(aligner, "index", &blob, ANSWER_MS, diag);
    if (err == NM_OK)
        err = nm_index_decode(nm_buf_str(&blob), blob.len, &arena, &index, diag);
    for (size_t i = 0; err == NM_OK && i < index.n_shards; i++)
        err = save(aligner, dir, entry->worker.ptr, i, &blob, diag);
    nm_worker_destroy(&aligner);
    nm_buf_clean_up(&blob);
    nm_arena_clean_up(&arena);
    return err;
}

static enum nm_err pull(const char *broker, const char *dir, struct nm_diag *diag)
{
    const struct nm_pull options = {.broker = broker, .timeout_ms = WAIT_MS};
    const struct nm_worker_role role = {.name = "trainer"};
    struct nm_worker *worker = NULL;
    struct nm_msg_directory directory = {0};
    struct nm_corpus corpus;
    struct nm_arena arena;
    struct nm_buf project;
    nm_corpus_init(&corpus);
    nm_arena_init(&arena, 0);
    nm_buf_init(&project, 1 << 20);
    enum nm_err err = nm_pull_corpus(&options, &project, &corpus, diag);
    if (err == NM_OK)
        printf("%016" PRIx64 " %zu\n", nm_corpus_digest(&corpus), corpus.n);
    if (err == NM_OK)
        err = nm_worker_new(&role, broker, NULL, &worker, diag);
    if (err == NM_OK)
        err = nm_worker_directory(worker, &arena, &directory, WAIT_MS, diag);
    for (size_t i = 0; err == NM_OK && i < directory.n_aligners; i++)
        for (int try = 0; directory.aligners[i].samples > 0 && try < TRIES; try++)
            if ((err = save_all(&directory.aligners[i], dir, diag)) != NM_ETIMEOUT)
                break; /* else a spoilt frame has stopped the connection */
    nm_worker_destroy(&worker);
    nm_corpus_clean_up(&corpus);
    nm_arena_clean_up(&arena);
    nm_buf_clean_up(&project);
    return err;
}

int main(int argc, char **argv)
{
    struct nm_diag diag = {""};
    if (argc != 3) {
        (void)fputs("usage: pull_shards BROKER DIR\n", stderr);
        return 2;
    }
    nm_net_init();
    enum nm_err err = pull(argv[1], argv[2], &diag);
    if (err != NM_OK)
        (void)fprintf(stderr, "%s\n", diag.text);
    nm_net_clean_up();
    return err == NM_OK ? 0 : 1;
}
