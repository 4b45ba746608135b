/* governor.h - how much the whole fleet may ask of each endpoint: requests and tokens a minute, calls in flight,
 * money.
 *
 * Pure: no sockets, no disk, no clock.  Time comes in as milliseconds that never run backwards.  The unit is the
 * grant: the right to make one call.  It reserves one request, the most tokens that the call can use and the most
 * money that they can cost, and ends in exactly one of four ways:
 *
 *     nm_governor_pick --> grant --+-- settle    answered: what it really used is spent, the rest is free again
 *                                  +-- release   never sent: all of it is free again
 *                                  +-- refused   sent, and refused without being billed: one request is spent
 *                                  +-- charge    nobody knows: all of it is spent
 *
 * Invariants (nm_governor_check looks at every one; test_governor holds them against a plain model):
 *   1. spent + reserved <= budget, in requests, tokens and money: a call is granted only if the most it can cost
 * fits.
 *   2. For each endpoint: grants in flight <= window, 1 <= window <= concurrency.
 *   3. In flight + ended within the last minute <= the limit a minute.  A call takes place between its grant and its
 *      end, so no minute at the endpoint itself can hold more, wherever it begins.  (A token bucket filled at the
 *      grant promises less: calls held up on their way can come out close together.)
 *   4. What is reserved is the sum over the live grants.
 * A call that uses more than its reservation (a server that ignores max_tokens) breaks 1 and 3 by the difference,
 * which is counted as overrun.
 *
 * Within a minute grants are paced (generic cell rate algorithm, burst of BURST_MS), as many servers enforce a limit
 * a minute as one a second.
 *
 * The window: additive increase, multiplicative decrease on 429 and on 5xx (Chiu, Jain 1989), at most once in a
 * latency; and where latency says that calls only queue (see look_at_latency in governor_window.c).
 */
#ifndef NM_BROKER_GOVERNOR_H
#define NM_BROKER_GOVERNOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { NM_GOVERNOR_SLOTS = 61 }; /* seconds that a minute can touch */

/* Of one endpoint; 0 means no limit where nothing else is said. */
struct nm_governor_limits {
    uint32_t concurrency; /* at least 1 */
    uint32_t weight;      /* share among endpoints with room; at least 1 */
    uint32_t max_tokens;  /* of an answer */
    uint64_t requests_per_minute, tokens_per_minute;
    uint64_t price_in, price_out; /* millionths of money for a million tokens */
};

/* Of the run: a budget (0: none), or what was spent of it. */
struct nm_governor_sum {
    uint64_t requests, tokens, money; /* money in millionths */
};

struct nm_grant {
    uint32_t endpoint;
    uint64_t tokens_in, tokens_out; /* at most */
    uint64_t money;                 /* at most */
    bool batch; /* the call is one of an offline batch: it counts in the budget, and in no limit of the endpoint */
};

/* Why an endpoint is paused, or was last: told to wait (429, 503), failing, its quota is used up.  On disk. */
enum nm_governor_why { NM_WHY_NONE, NM_WHY_RATE, NM_WHY_TROUBLE, NM_WHY_QUOTA, NM_WHYS };

/* An endpoint as it is kept on disk: everything that a restart must not forget. */
struct nm_governor_saved {
    struct nm_governor_sum spent, overrun;
    uint64_t window_milli; /* thousandths */
    uint64_t prompt;       /* the most tokens of a prompt, as learnt; 0: not yet */
    uint32_t failures;
    enum nm_governor_why why;
    int64_t pause_ms; /* left */
    struct {
        uint64_t requests, tokens; /* ended that many seconds ago */
    } slots[NM_GOVERNOR_SLOTS];
};

struct nm_governor_view {
    double window;
    uint64_t in_flight;
    uint64_t requests_last_minute, tokens_last_minute; /* ended in it, and in flight */
    struct nm_governor_sum spent, reserved, overrun;
    bool paused;
    int64_t pause_ms; /* left */
    enum nm_governor_why why;
    double latency_ms, best_latency_ms; /* of late; 0: not known */
};

struct nm_governor;

/* nm_governor_new - NULL: out of memory. */
struct nm_governor *nm_governor_new(const struct nm_governor_limits *limits, uint32_t n,
                                    const struct nm_governor_sum *budget);
void nm_governor_destroy(struct nm_governor **governor);

/* nm_governor_pick - the next call: chooses among the endpoints with room by weight, and reserves.  false: nothing
 * may be asked of anybody now.  O(endpoints). */
bool nm_governor_pick(struct nm_governor *governor, int64_t now, struct nm_grant *grant);

/* nm_governor_pick_batch - a call of an offline batch, to that endpoint: whatever its limits, window and pauses, for
 * a batch has its own at the provider.  false: the budget does not hold it. */
bool nm_governor_pick_batch(struct nm_governor *governor, uint32_t endpoint, struct nm_grant *grant);

/* nm_governor_serves - some endpoint is neither paused nor blocked, if perhaps busy. */
bool nm_governor_serves(const struct nm_governor *governor, int64_t now);

/* nm_governor_set_apart - this endpoint is no longer one among the others.  nm_governor_pick_at,
 * nm_governor_has_room_at - the same as without _at, of one endpoint. */
void nm_governor_set_apart(struct nm_governor *governor, uint32_t endpoint);
bool nm_governor_pick_at(struct nm_governor *governor, uint32_t endpoint, int64_t now, struct nm_grant *grant);
bool nm_governor_has_room_at(const struct nm_governor *governor, uint32_t endpoint, int64_t now);

/* nm_governor_has_room - nm_governor_pick would grant.  nm_governor_most - what it would reserve there. */
bool nm_governor_has_room(const struct nm_governor *governor, int64_t now);
struct nm_grant nm_governor_most(const struct nm_governor *governor, uint32_t endpoint);

/* The ends of a grant (see above).  tokens both 0: the server does not count, so all of it is spent. */
void nm_governor_settle(struct nm_governor *governor, const struct nm_grant *grant, uint64_t tokens_in,
                        uint64_t tokens_out, int64_t now);
void nm_governor_release(struct nm_governor *governor, const struct nm_grant *grant);
void nm_governor_refused(struct nm_governor *governor, const struct nm_grant *grant, int64_t now);
void nm_governor_charge(struct nm_governor *governor, const struct nm_grant *grant, int64_t now);

/* What is learnt from calls, beside the end of their grants.
 * answered: latency as the generator measured it; widens the window or narrows it.
 * failed: RATE narrows the window and pauses for retry_ms, or a back-off that doubles; TROUBLE pauses after some in
 * a row, QUOTA for minutes, and one call at a time finds out whether it is over.
 * prompt: a call's prompt had at most so many tokens (0: not known); grants reserve the most of the last ones. */
void nm_governor_answered(struct nm_governor *governor, uint32_t endpoint, int64_t latency_ms, int64_t now);
void nm_governor_failed(struct nm_governor *governor, uint32_t endpoint, enum nm_governor_why why, int64_t retry_ms,
                        int64_t now);
void nm_governor_prompt(struct nm_governor *governor, uint32_t endpoint, uint64_t tokens);

/* nm_governor_revive - every pause is over: a person or a new worker may have mended what was wrong. */
void nm_governor_revive(struct nm_governor *governor);

/* nm_governor_block - grant nothing there, or again: a person paused it, or it can't be used as configured. */
void nm_governor_block(struct nm_governor *governor, uint32_t endpoint, bool blocked);

/* nm_governor_set - other limits and another budget from now on; what is spent stays spent. */
void nm_governor_set(struct nm_governor *governor, const struct nm_governor_limits *limits,
                     const struct nm_governor_sum *budget);

/* nm_governor_exhausted - the budget does not hold one more call for any endpoint, and nothing in flight can give
 * some of it back. */
bool nm_governor_exhausted(const struct nm_governor *governor);

/* nm_governor_wait_ms - until time alone may make room; -1: it won't. */
int64_t nm_governor_wait_ms(const struct nm_governor *governor, int64_t now);

struct nm_governor_sum nm_governor_spent(const struct nm_governor *governor);
struct nm_governor_sum nm_governor_reserved(const struct nm_governor *governor); /* by calls, batches among them */
struct nm_governor_sum nm_governor_budget(const struct nm_governor *governor);
uint64_t nm_governor_cost(const struct nm_governor *governor, uint32_t endpoint, uint64_t tokens_in,
                          uint64_t tokens_out);
void nm_governor_look(const struct nm_governor *governor, uint32_t endpoint, int64_t now,
                      struct nm_governor_view *view);
const char *nm_governor_why_name(enum nm_governor_why why);

/* Keeping it.  changed: since it was last saved.  restore: that many milliseconds later, before anything else.
 * restore_spent: what the run has spent in all, over endpoints that are no longer there as well.
 * restore_grant: a live one, as it was. */
bool nm_governor_changed(const struct nm_governor *governor, uint32_t endpoint);
void nm_governor_save(struct nm_governor *governor, uint32_t endpoint, int64_t now, struct nm_governor_saved *saved);
void nm_governor_restore(struct nm_governor *governor, uint32_t endpoint, const struct nm_governor_saved *saved,
                         int64_t later_ms, int64_t now);
void nm_governor_restore_spent(struct nm_governor *governor, const struct nm_governor_sum *spent);
void nm_governor_restore_grant(struct nm_governor *governor, const struct nm_grant *grant);

/* nm_governor_check - NM_ESTATE: diag says which invariant is broken (but by overruns and lowered limits). */
enum nm_err nm_governor_check(const struct nm_governor *governor, int64_t now, struct nm_diag *diag);

#endif
