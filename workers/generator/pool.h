/* pool.h - the project's endpoints: which may be called now, how many at once, and when again after a failure.
 *
 * Each has a circuit breaker (breaker.h).  A request that an endpoint does not take is the request's trouble, as long
 * as it takes others; when it refuses one after the other, it is the endpoint's.  Time comes in as a parameter.
 * One thread.
 */
#ifndef NM_GENERATOR_POOL_H
#define NM_GENERATOR_POOL_H

#include "common/hash.h"
#include "schemas/project.h"
#include "workers/generator/bound.h"
#include "workers/generator/breaker.h"
#include "workers/generator/chat.h"
#include "workers/generator/llm.h"

enum nm_canary { NM_CANARY_DUE, NM_CANARY_SENT, NM_CANARY_DONE };

struct nm_endpoint {
    const struct nm_project_endpoint *config; /* borrowed */
    struct nm_llm_target *target;             /* NULL: it cannot be called */
    size_t in_flight;
    enum nm_canary canary;
    enum nm_constraint trying, honours; /* the kind that the next canary is for; the kind found, or NONE */
    struct nm_breaker breaker;
    unsigned refusals;                /* requests not taken, in a row */
    uint64_t overflowed_at;           /* prompts of so many bytes are too long for its context; 0: none was */
    struct nm_bound bound;            /* on the tokens of a prompt */
    int64_t turn;                     /* smooth weighted round robin */
    char why[640];                    /* the last failure's line */
    enum nm_breaker_state told_state; /* to the broker, and of an OPEN one until when */
    int64_t told_until_ms;
};

struct nm_pool {
    struct nm_endpoint *endpoints;
    size_t n;
    struct nm_rng rng; /* jitter */
};

/* nm_pool_init - targets for every endpoint of the project, which must outlive the pool; dir as nm_endpoint_target.
 * One that can't be called from here (no key, no such file, a variable that is not set) is STOPPED, with its line in
 * why. Where none can, the first one's error; NM_ENOMEM. */
enum nm_err nm_pool_init(struct nm_pool *pool, const struct nm_project *project, const char *dir, uint64_t seed,
                         struct nm_diag *diag);
void nm_pool_clean_up(struct nm_pool *pool);

/* nm_pool_shown - its name for people. */
const char *nm_pool_shown(const struct nm_endpoint *endpoint);

/* nm_pool_has_room - one more call may go to this endpoint now. */
bool nm_pool_has_room(const struct nm_endpoint *endpoint, int64_t now_ms);

/* nm_pool_pick - an endpoint with room for a call now, by weight; NULL: none. */
struct nm_endpoint *nm_pool_pick(struct nm_pool *pool, int64_t now_ms);

/* nm_pool_judge - nm_chat_judge for a call to this endpoint; no secret of its is in *fault. */
bool nm_pool_judge(const struct nm_endpoint *endpoint, const struct nm_llm_outcome *outcome,
                   struct nm_chat_fault *fault);

/* nm_pool_absorbs - the fault is the request's alone: the attempt is rejected by fault->rule, the endpoint goes on.
 * Tell it once for each call: it counts. */
bool nm_pool_absorbs(struct nm_endpoint *endpoint, const struct nm_chat_fault *fault);

/* nm_pool_success, nm_pool_failure - what came of a call.  A failure may pause or stop the endpoint, and writes one
 * log line when its state changes; returns the milliseconds until it is worth trying again. */
void nm_pool_success(struct nm_pool *pool, struct nm_endpoint *endpoint, int64_t now_ms);
int64_t nm_pool_failure(struct nm_pool *pool, struct nm_endpoint *endpoint, const struct nm_chat_fault *fault,
                        int64_t now_ms);

/* nm_pool_heed - what the headers of a good answer say of the next calls, one of which may use so many tokens. */
void nm_pool_heed(struct nm_endpoint *endpoint, const struct nm_limits *limits, uint64_t tokens, int64_t now_ms);

/* nm_pool_other - another endpoint than this one is closed and has room. */
bool nm_pool_other(const struct nm_pool *pool, const struct nm_endpoint *endpoint, int64_t now_ms);

/* nm_pool_wait_ms - until a paused endpoint may be tried; -1: none is paused. */
int64_t nm_pool_wait_ms(const struct nm_pool *pool, int64_t now_ms);

/* nm_pool_capacity - calls that may be in flight at all. */
size_t nm_pool_capacity(const struct nm_pool *pool);

/* nm_pool_dead - why nothing can be generated: every endpoint is stopped, or has failed without a success for
 * give_up_ms (0: never).  NULL: there is hope. */
const char *nm_pool_dead(const struct nm_pool *pool, int64_t give_up_ms, int64_t now_ms);

#endif
