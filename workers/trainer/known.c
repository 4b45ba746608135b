/* known.c - the entities that were seen before, out of files. */
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "workers/trainer/evaluation.h"

static enum nm_err add_list(struct nm_known *known, const char *path, struct nm_diag *diag)
{
    struct nm_buf buf;
    nm_buf_init(&buf, 1 << 30);
    enum nm_err err = nm_file_read(path, &buf, diag);
    for (size_t at = 0; at < buf.len && err == NM_OK;) {
        const char *line = buf.data + at, *end = memchr(line, '\n', buf.len - at);
        size_t len = end != NULL ? (size_t)(end - line) : buf.len - at;
        err = nm_known_add_text(known, line, len);
        at += len + 1;
    }
    nm_buf_clean_up(&buf);
    return err;
}

enum nm_err nm_known_add_file(struct nm_known *known, const char *path, struct nm_diag *diag)
{
    const size_t len = strlen(path);
    struct nm_corpus corpus;
    if (len > 4 && strcmp(path + len - 4, ".txt") == 0)
        return add_list(known, path, diag);
    nm_corpus_init(&corpus);
    enum nm_err err = nm_corpus_read_conll(&corpus, path, true, diag);
    if (err == NM_OK)
        err = nm_known_add_corpus(known, &corpus);
    nm_corpus_clean_up(&corpus);
    return err;
}
