#include "workers/generator/breaker.h"

#include <stdbool.h>

enum { LOADING_MS = 1000, QUOTA_MS = 30000 };

enum nm_breaker_state nm_breaker_look(const struct nm_breaker *b, int64_t now)
{
    return b->state == NM_BREAKER_OPEN && now >= b->until_ms ? NM_BREAKER_HALF_OPEN : b->state;
}

size_t nm_breaker_room(const struct nm_breaker *b, size_t most, int64_t now)
{
    enum nm_breaker_state state = nm_breaker_look(b, now);
    return state == NM_BREAKER_CLOSED ? most : state == NM_BREAKER_HALF_OPEN ? 1 : 0;
}

void nm_breaker_success(struct nm_breaker *b, int64_t now)
{
    b->successes++;
    b->failures = 0;
    if (b->state == NM_BREAKER_STOPPED)
        return;
    /* A call that was under way when the server said wait does not end the wait. */
    if (b->state == NM_BREAKER_OPEN && b->why != NM_BREAKER_TROUBLE && now < b->until_ms)
        return;
    b->state = NM_BREAKER_CLOSED;
    b->pauses = 0;
}

static int64_t full_jitter(unsigned times, struct nm_rng *rng)
{
    int64_t limit = NM_BREAKER_FIRST_MS;
    for (unsigned i = 1; i < times && limit < NM_BREAKER_LONGEST_MS; i++)
        limit *= 2;
    limit = limit < NM_BREAKER_LONGEST_MS ? limit : NM_BREAKER_LONGEST_MS;
    return 1 + (int64_t)nm_rng_below(rng, (uint64_t)limit);
}

static int64_t pause_for(const struct nm_breaker *b, enum nm_breaker_why why, struct nm_rng *rng)
{
    if (why == NM_BREAKER_QUOTA)
        return QUOTA_MS + full_jitter(b->pauses, rng);
    if (why == NM_BREAKER_LOADING)
        return LOADING_MS / 2 + (int64_t)nm_rng_below(rng, LOADING_MS / 2);
    return full_jitter(b->pauses, rng);
}

static void open_until(struct nm_breaker *b, enum nm_breaker_why why, int64_t until)
{
    b->state = NM_BREAKER_OPEN;
    b->why = why;
    b->until_ms = until;
}

int64_t nm_breaker_failure(struct nm_breaker *b, enum nm_breaker_why why, int64_t wait, int64_t now,
                           struct nm_rng *rng)
{
    enum nm_breaker_state state = nm_breaker_look(b, now);
    if (state == NM_BREAKER_STOPPED)
        return NM_BREAKER_LONGEST_MS;
    if (b->failures++ == 0)
        b->failing_since_ms = now;
    if (state == NM_BREAKER_OPEN) { /* the rest of a burst: one pause is enough, if it is long enough */
        int64_t longest = why == NM_BREAKER_QUOTA && b->why != NM_BREAKER_QUOTA ? QUOTA_MS : wait;
        if (now + longest > b->until_ms)
            open_until(b, why, now + longest);
        return b->until_ms - now;
    }
    bool trips = state == NM_BREAKER_HALF_OPEN || why != NM_BREAKER_TROUBLE || wait > 0 || b->successes == 0 ||
                 b->failures >= NM_BREAKER_TRIP;
    if (!trips) {
        int64_t pause = full_jitter(b->failures, rng);
        return pause;
    }
    b->pauses++;
    int64_t pause = pause_for(b, why, rng);
    open_until(b, why, now + (wait > pause ? wait : pause));
    return b->until_ms - now;
}

void nm_breaker_wait(struct nm_breaker *b, int64_t wait, int64_t now)
{
    if (b->state == NM_BREAKER_STOPPED || wait <= 0)
        return;
    if (b->state != NM_BREAKER_OPEN || now + wait > b->until_ms)
        open_until(b, NM_BREAKER_BUSY, now + wait);
}

void nm_breaker_stop(struct nm_breaker *b)
{
    b->state = NM_BREAKER_STOPPED;
}

int64_t nm_breaker_wait_ms(const struct nm_breaker *b, int64_t now)
{
    if (b->state == NM_BREAKER_STOPPED)
        return -1;
    return b->state == NM_BREAKER_OPEN && b->until_ms > now ? b->until_ms - now : 0;
}

const char *nm_breaker_state_name(enum nm_breaker_state state)
{
    static const char *const names[] = {"closed", "open", "half-open", "stopped"};
    return names[state];
}
