/* What a governor keeps over a restart, and its check. */
#include "broker/governor_parts.h"

bool nm_governor_changed(const struct nm_governor *g, uint32_t endpoint)
{
    return g->endpoints[endpoint].changed;
}

static int64_t second_of(int64_t now)
{
    return now >= 0 ? now / 1000 : (now - 999) / 1000;
}

void nm_governor_save(struct nm_governor *g, uint32_t endpoint, int64_t now, struct nm_governor_saved *saved)
{
    struct endpoint_state *e = &g->endpoints[endpoint];
    *saved = (struct nm_governor_saved){.spent = e->spent,
                                        .overrun = e->overrun,
                                        .window_milli = (uint64_t)(e->window.size * 1000),
                                        .prompt = e->prompt,
                                        .failures = e->failures,
                                        .why = e->why};
    if (e->paused_until > now)
        saved->pause_ms = e->paused_until - now;
    for (size_t i = 0; i < 64; i++) {
        int64_t age = second_of(now) - e->slots[i].second;
        if (age >= 0 && age < NM_GOVERNOR_SLOTS) {
            saved->slots[age].requests = e->slots[i].requests;
            saved->slots[age].tokens = e->slots[i].tokens;
        }
    }
    e->changed = false;
}

void nm_governor_restore(struct nm_governor *g, uint32_t endpoint, const struct nm_governor_saved *saved,
                         int64_t later_ms, int64_t now)
{
    struct endpoint_state *e = &g->endpoints[endpoint];
    double window = (double)saved->window_milli / 1000;
    later_ms = later_ms > 0 ? later_ms : 0; /* a clock set back: everything was just now */
    e->spent = saved->spent;
    e->overrun = saved->overrun;
    if (window >= 1 && window < e->window.most)
        e->window.size = window;
    e->prompt = saved->prompt;
    e->failures = saved->failures;
    e->why = saved->why;
    if (saved->pause_ms > later_ms)
        e->paused_until = now + (saved->pause_ms - later_ms);
    for (int64_t age = 0; age < NM_GOVERNOR_SLOTS; age++) {
        int64_t second = second_of(now) - age - later_ms / 1000;
        if (age + later_ms / 1000 < NM_GOVERNOR_SLOTS)
            e->slots[(uint64_t)second % 64] =
                (struct slot){second, saved->slots[age].requests, saved->slots[age].tokens};
    }
}

void nm_governor_restore_spent(struct nm_governor *g, const struct nm_governor_sum *spent)
{
    g->spent = *spent;
}

void nm_governor_restore_grant(struct nm_governor *g, const struct nm_grant *grant)
{
    struct endpoint_state *e = &g->endpoints[grant->endpoint];
    struct nm_governor_sum most = {1, grant->tokens_in + grant->tokens_out, grant->money};
    struct nm_governor_sum *const both[] = {&g->reserved, grant->batch ? &g->batches : &e->reserved};
    for (int i = 0; i < 2; i++) {
        both[i]->requests += most.requests;
        both[i]->tokens += most.tokens;
        both[i]->money += most.money;
    }
    e->in_flight += !grant->batch;
}

static bool over(uint64_t used, uint64_t limit)
{
    return limit && used > limit;
}

enum nm_err nm_governor_check(const struct nm_governor *g, int64_t now, struct nm_diag *diag)
{
    struct nm_governor_sum reserved = g->batches, overrun = {0};
    for (uint32_t i = 0; i < g->n; i++) {
        const struct endpoint_state *e = &g->endpoints[i];
        struct nm_governor_view v;
        nm_governor_look(g, i, now, &v);
        reserved.requests += e->reserved.requests;
        reserved.tokens += e->reserved.tokens;
        reserved.money += e->reserved.money;
        overrun.tokens += e->overrun.tokens;
        overrun.money += e->overrun.money;
        if (e->reserved.requests != e->in_flight)
            return nm_fail(diag, NM_ESTATE, "endpoint %u: what is reserved is not what is in flight", i);
        if (e->window.size < 1 || e->window.size > e->limits.concurrency)
            return nm_fail(diag, NM_ESTATE, "endpoint %u: the window is out of its bounds", i);
        if (over(v.requests_last_minute, e->limits.requests_per_minute) && !g->lowered)
            return nm_fail(diag, NM_ESTATE, "endpoint %u: over the requests a minute", i);
    }
    if (reserved.requests != g->reserved.requests || reserved.tokens != g->reserved.tokens ||
        reserved.money != g->reserved.money)
        return nm_fail(diag, NM_ESTATE, "the endpoints' reservations are not the run's");
    if (!g->lowered && (over(g->spent.requests + g->reserved.requests, g->budget.requests) ||
                        over(g->spent.tokens + g->reserved.tokens, g->budget.tokens + overrun.tokens) ||
                        over(g->spent.money + g->reserved.money, g->budget.money + overrun.money)))
        return nm_fail(diag, NM_ESTATE, "over the budget");
    return NM_OK;
}
