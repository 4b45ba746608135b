/* breaker.h - the circuit breaker of one endpoint: may it be called now, by how many, and when again.
 *
 *     CLOSED     calls go, up to the endpoint's concurrency
 *     OPEN       none goes until a time
 *     HALF_OPEN  the time is over: one call at a time finds out
 *     STOPPED    a person has to act
 *
 *     CLOSED     --NM_BREAKER_TRIP failures in a row; the first one ever; the server says wait--> OPEN
 *     OPEN       --time over--> HALF_OPEN
 *     HALF_OPEN  --failure--> OPEN, twice as long      --success--> CLOSED
 *     OPEN       --success of a call that was under way--> CLOSED, unless the server said wait
 *     any        --stop--> STOPPED
 *
 * Pauses are exponential back-off with full jitter (Brooker 2015): uniform between 0 and a limit that doubles from
 * 0.5 s to 30 s, and never shorter than the server asks for.  Pure: time (monotonic ms) and randomness come in.
 */
#ifndef NM_GENERATOR_BREAKER_H
#define NM_GENERATOR_BREAKER_H

#include <stddef.h>
#include <stdint.h>

#include "common/hash.h"

enum { NM_BREAKER_TRIP = 5, NM_BREAKER_FIRST_MS = 500, NM_BREAKER_LONGEST_MS = 30000 };

enum nm_breaker_state { NM_BREAKER_CLOSED, NM_BREAKER_OPEN, NM_BREAKER_HALF_OPEN, NM_BREAKER_STOPPED };

/* TROUBLE: it fails.  BUSY: it serves, but not now (429, 503, 529).  LOADING: up, its model not yet there: asked
 * again within a second.  QUOTA: used up; half a minute at least. */
enum nm_breaker_why { NM_BREAKER_TROUBLE, NM_BREAKER_BUSY, NM_BREAKER_LOADING, NM_BREAKER_QUOTA };

struct nm_breaker {
    enum nm_breaker_state state; /* as of the last event; nm_breaker_look knows the time too */
    enum nm_breaker_why why;     /* OPEN: for this */
    unsigned failures;           /* in a row */
    unsigned pauses;             /* in a row: how often the limit has doubled */
    uint64_t successes;
    int64_t until_ms;         /* OPEN */
    int64_t failing_since_ms; /* failures > 0 */
};

/* nm_breaker_look - OPEN whose time is over is HALF_OPEN. */
enum nm_breaker_state nm_breaker_look(const struct nm_breaker *breaker, int64_t now_ms);

/* nm_breaker_room - calls that may be in flight: 0, 1, or most. */
size_t nm_breaker_room(const struct nm_breaker *breaker, size_t most, int64_t now_ms);

void nm_breaker_success(struct nm_breaker *breaker, int64_t now_ms);

/* nm_breaker_failure - wait_ms: what the server asked for, -1: nothing.  Returns the ms after which what failed is
 * worth trying again: the pause where it opened or is open, else a back-off of its own. */
int64_t nm_breaker_failure(struct nm_breaker *breaker, enum nm_breaker_why why, int64_t wait_ms, int64_t now_ms,
                           struct nm_rng *rng);

/* nm_breaker_wait - a good answer says that nothing is left for so long. */
void nm_breaker_wait(struct nm_breaker *breaker, int64_t wait_ms, int64_t now_ms);

void nm_breaker_stop(struct nm_breaker *breaker);

/* nm_breaker_wait_ms - until it may be called; 0: now; -1: never. */
int64_t nm_breaker_wait_ms(const struct nm_breaker *breaker, int64_t now_ms);

/* nm_breaker_state_name - "closed", "open", "half-open", "stopped". */
const char *nm_breaker_state_name(enum nm_breaker_state state);

#endif
