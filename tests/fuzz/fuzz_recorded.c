/* A response log from anywhere: refused, or every answer in it can be had. */
#include <stdint.h>
#include <stdlib.h>

#include "broker/recorded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] =
        "{\"nermill\":\"responses\",\"version\":1,\"goal\":9,\"samples\":9,\"tasks\":9,\"extra\":3,"
        "\"dedup\":{\"per_template\":0},\"unfinished\":[2]}\n";
    static const char line[] = "{\"task\":1,\"attempt\":1,\"key\":\"00000000000000ff\",\"answer\":{},\"";
    struct nm_recorded *recorded = NULL;
    struct nm_diag diag;
    struct nm_buf text;
    struct nm_arena arena;
    nm_buf_init(&text, 1 << 20);
    nm_arena_init(&arena, 0);
    const char *const before[] = {"", head, line}; /* as it is, behind a head that is good, as members of an answer */
    for (size_t i = size > 0 ? data[0] % 3 : 0, k = 0; k <= i; k++)
        if (nm_buf_adds(&text, before[k]))
            abort();
    if (nm_buf_add(&text, data, size))
        abort();
    enum nm_err err = nm_recorded_parse(nm_buf_str(&text), text.len, "log", &recorded, &diag);
    if ((err == NM_OK) != (recorded != NULL))
        abort();
    for (uint64_t task = 0; task < 9 && recorded; task++)
        for (uint64_t attempt = 1; attempt < 4; attempt++) {
            struct nm_recorded_answer a;
            err = nm_recorded_get(recorded, task, attempt, &arena, &a);
            if (err != NM_OK && err != NM_ENOENT)
                abort();
        }
    nm_recorded_destroy(&recorded);
    nm_arena_clean_up(&arena);
    nm_buf_clean_up(&text);
    return 0;
}
