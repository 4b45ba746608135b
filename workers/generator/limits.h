/* limits.h - what a server says in its headers about when it wants to be asked again.
 *
 * Read: x-should-retry, retry-after-ms, Retry-After (seconds or an HTTP date), and
 * x-ratelimit-{limit,remaining,reset}, each of them plain or with -requests or -tokens (OpenAI's form; plain ones are
 * of requests).  A reset is a duration
 * ("6m0s", "20ms", "1h2m"), seconds ("59.5"), or a Unix time in seconds or milliseconds.  Any thread.
 */
#ifndef NM_GENERATOR_LIMITS_H
#define NM_GENERATOR_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NM_LIMITS_WAIT_MAX_MS = 24 * 3600 * 1000 }; /* nothing is waited for longer, whatever a server says */

/* -1: not said. */
struct nm_limit {
    int64_t limit, remaining, reset_ms;
};

struct nm_limits {
    int should_retry;       /* 1 or 0; -1: not said */
    int64_t retry_after_ms; /* -1: not said */
    bool exact;             /* it was said in milliseconds, which counts before seconds */
    struct nm_limit requests, tokens;
};

/* nm_limits_clear - nothing is said. */
void nm_limits_clear(struct nm_limits *limits);

/* nm_limits_read - one header line, with or without its line end; others are ignored, as is nonsense.  now_ms: Unix
 * time, which dates are held against. */
void nm_limits_read(struct nm_limits *limits, const char *line, size_t len, int64_t now_ms);

/* nm_limits_duration_ms - of a reset as above; -1: none. */
int64_t nm_limits_duration_ms(const char *text, size_t len, int64_t now_ms);

/* nm_limits_wait_ms - how long the endpoint is to be left alone; -1: nothing says so.
 * After a refusal: Retry-After; else the reset of whatever is used up.  After an answer (refused false): where no
 * request is left, or fewer than tokens: that share of the reset in which one more comes free. */
int64_t nm_limits_wait_ms(const struct nm_limits *limits, bool refused, uint64_t tokens);

#endif
