/* pool.h - the project's endpoints: which may be called now, how many at once, and when again after a failure.
 *
 * An endpoint is READY, PAUSED (until a time; then one call is let through, and its success makes it ready again) or
 * STOPPED (a person has to act).  Time comes in as a parameter.  One thread.
 *
 *     PROBING --success--> READY --failure--> PAUSED --time over--> PROBING --failure--> PAUSED (longer)
 *     any --fatal failure--> STOPPED
 */
#ifndef NM_GENERATOR_POOL_H
#define NM_GENERATOR_POOL_H

#include "common/hash.h"
#include "schemas/project.h"
#include "workers/generator/chat.h"
#include "workers/generator/llm.h"

enum nm_canary { NM_CANARY_DUE, NM_CANARY_SENT, NM_CANARY_DONE };

struct nm_endpoint {
    const struct nm_project_endpoint *config; /* borrowed */
    struct nm_llm_target *target;
    size_t in_flight;
    enum nm_canary canary;
    enum nm_constraint trying, honours; /* the kind that the next canary is for; the kind found, or NONE */
    bool stopped;
    unsigned failures; /* in a row */
    uint64_t successes;
    int64_t paused_until; /* monotonic ms; 0: not paused */
    int64_t failing_since;
    char why[640]; /* the last failure's line */
};

struct nm_pool {
    struct nm_endpoint *endpoints;
    size_t n, turn;
    struct nm_rng rng; /* jitter */
};

/* nm_pool_init - targets for every endpoint of the project, which must outlive the pool.
 * NM_EINVAL, NM_ENOENT: a url or a key that cannot be used; diag names endpoint and variable. */
enum nm_err nm_pool_init(struct nm_pool *pool, const struct nm_project *project, uint64_t seed, struct nm_diag *diag);
void nm_pool_clean_up(struct nm_pool *pool);

/* nm_pool_has_room - one more call may go to this endpoint now. */
bool nm_pool_has_room(const struct nm_endpoint *endpoint, int64_t now_ms);

/* nm_pool_pick - an endpoint with room for a call now, in turn; NULL: none. */
struct nm_endpoint *nm_pool_pick(struct nm_pool *pool, int64_t now_ms);

/* nm_pool_success, nm_pool_failure - what came of a call.  A failure pauses or stops the endpoint and writes one log
 * line when its state changes; returns the milliseconds until it is worth trying again. */
void nm_pool_success(struct nm_pool *pool, struct nm_endpoint *endpoint);
int64_t nm_pool_failure(struct nm_pool *pool, struct nm_endpoint *endpoint, const struct nm_chat_fault *fault,
                        int64_t now_ms);

/* nm_pool_wait_ms - until a paused endpoint may be tried; -1: none is paused. */
int64_t nm_pool_wait_ms(const struct nm_pool *pool, int64_t now_ms);

/* nm_pool_capacity - calls that may be in flight at all. */
size_t nm_pool_capacity(const struct nm_pool *pool);

/* nm_pool_dead - why nothing can be generated: every endpoint is stopped, or has failed without a success for
 * give_up_ms (0: never).  NULL: there is hope. */
const char *nm_pool_dead(const struct nm_pool *pool, int64_t give_up_ms, int64_t now_ms);

#endif
