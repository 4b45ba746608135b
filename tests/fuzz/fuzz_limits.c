/* Header lines from anywhere: what is understood lies within its bounds, and so does every wait that follows. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "workers/generator/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_wait(int64_t ms)
{
    if (ms < -1 || ms > NM_LIMITS_WAIT_MAX_MS)
        abort();
}

static void check_limit(const struct nm_limit *limit)
{
    if (limit->limit < -1 || limit->remaining < -1)
        abort();
    check_wait(limit->reset_ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"",
                                        "x-ratelimit-reset-tokens:",
                                        "x-ratelimit-remaining-tokens:",
                                        "Retry-After: ",
                                        "x-ratelimit-limit-tokens:",
                                        "x-ratelimit-reset:",
                                        "retry-after-ms:"};
    struct nm_limits limits;
    nm_limits_clear(&limits);
    while (size > 0) { /* a byte for the name, then the value, up to a line end */
        const uint8_t *end = memchr(data, '\n', size);
        size_t len = end != NULL ? (size_t)(end - data) : size;
        const char *name = names[data[0] % (sizeof names / sizeof *names)];
        size_t name_len = strlen(name), value = len > 0 ? len - 1 : 0;
        char *line = malloc(name_len + value + 1);
        if (line == NULL)
            return 0;
        memcpy(line, name, name_len + 1);
        memcpy(line + name_len, data + (len > 0), value);
        nm_limits_read(&limits, line, name_len + value, 1700000000000);
        check_wait(nm_limits_duration_ms(line + name_len, value, 1700000000000));
        free(line);
        size -= end != NULL ? len + 1 : len;
        data += end != NULL ? len + 1 : len;
    }
    check_wait(limits.retry_after_ms);
    check_limit(&limits.requests);
    check_limit(&limits.tokens);
    check_wait(nm_limits_wait_ms(&limits, true, 100));
    check_wait(nm_limits_wait_ms(&limits, false, 100));
    return 0;
}
