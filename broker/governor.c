#include "broker/governor.h"

#include <assert.h>
#include <stdlib.h>

#include "broker/governor_parts.h"

enum {
    MINUTE_MS = 60000,
    BURST_MS = 2000,     /* grants may run ahead of their pace by so much */
    PROMPT_FIRST = 4096, /* tokens of a prompt at most, before one was seen */
    PROMPT_EPOCH = 64,   /* after so many, the largest of them is what counts */
    PATIENCE = 5,        /* failures in a row that are no reason to pause */
    PAUSE_MS = 500,      /* after the next one; doubles with each */
    PAUSE_MAX_MS = 30000,
    QUOTA_MS = 300000, /* the same for a used-up quota, where a person has to act */
    QUOTA_MAX_MS = 3600000,
};

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static struct nm_governor_sum sum_of(uint64_t requests, uint64_t tokens, uint64_t money)
{
    return (struct nm_governor_sum){requests, tokens, money};
}

static void sum_add(struct nm_governor_sum *a, struct nm_governor_sum b)
{
    a->requests = add(a->requests, b.requests);
    a->tokens = add(a->tokens, b.tokens);
    a->money = add(a->money, b.money);
}

static void sum_sub(struct nm_governor_sum *a, struct nm_governor_sum b)
{
    assert(a->requests >= b.requests && a->tokens >= b.tokens && a->money >= b.money);
    a->requests -= b.requests;
    a->tokens -= b.tokens;
    a->money -= b.money;
}

/* ---- new and set ----------------------------------------------------------------------------- */

struct nm_governor *nm_governor_new(const struct nm_governor_limits *limits, uint32_t n,
                                    const struct nm_governor_sum *budget)
{
    struct nm_governor *g = calloc(1, sizeof *g + n * sizeof g->endpoints[0]);
    if (!g)
        return NULL;
    g->n = n;
    g->budget = *budget;
    for (uint32_t i = 0; i < n; i++) {
        g->endpoints[i].limits = limits[i];
        nm_window_init(&g->endpoints[i].window, limits[i].concurrency);
        for (size_t s = 0; s < 64; s++)
            g->endpoints[i].slots[s].second = INT64_MIN / 2;
    }
    return g;
}

void nm_governor_destroy(struct nm_governor **governor)
{
    free(*governor);
    *governor = NULL;
}

void nm_governor_set(struct nm_governor *g, const struct nm_governor_limits *limits,
                     const struct nm_governor_sum *budget)
{
    g->budget = *budget;
    g->lowered = true;
    for (uint32_t i = 0; i < g->n; i++) {
        struct endpoint_state *e = &g->endpoints[i];
        if (e->limits.concurrency != limits[i].concurrency)
            nm_window_init(&e->window, limits[i].concurrency);
        e->limits = limits[i];
    }
}

/* ---- the last minute ------------------------------------------------------------------------- */

static int64_t second_of(int64_t now)
{
    return now >= 0 ? now / 1000 : (now - 999) / 1000;
}

static struct slot *slot_at(struct endpoint_state *e, int64_t second)
{
    struct slot *slot = &e->slots[(uint64_t)second % 64];
    if (slot->second != second)
        *slot = (struct slot){.second = second};
    return slot;
}

/* What ended within the last minute, and what is in flight. */
static struct nm_governor_sum minute_of(const struct endpoint_state *e, int64_t now)
{
    struct nm_governor_sum sum = {e->in_flight, e->reserved.tokens, 0};
    int64_t second = second_of(now);
    for (size_t i = 0; i < 64; i++)
        if (e->slots[i].second > second - NM_GOVERNOR_SLOTS)
            sum_add(&sum, sum_of(e->slots[i].requests, e->slots[i].tokens, 0));
    return sum;
}

/* ---- granting -------------------------------------------------------------------------------- */

uint64_t nm_governor_cost(const struct nm_governor *g, uint32_t endpoint, uint64_t tokens_in, uint64_t tokens_out)
{
    const struct nm_governor_limits *l = &g->endpoints[endpoint].limits;
    unsigned __int128 parts =
        (unsigned __int128)tokens_in * l->price_in + (unsigned __int128)tokens_out * l->price_out;
    unsigned __int128 micros = (parts + 999999) / 1000000;
    return micros > UINT64_MAX ? UINT64_MAX : (uint64_t)micros;
}

struct nm_grant nm_governor_most(const struct nm_governor *g, uint32_t endpoint)
{
    const struct endpoint_state *e = &g->endpoints[endpoint];
    struct nm_grant grant = {
        .endpoint = endpoint, .tokens_in = e->prompt ? e->prompt : PROMPT_FIRST, .tokens_out = e->limits.max_tokens};
    grant.money = nm_governor_cost(g, endpoint, grant.tokens_in, grant.tokens_out);
    return grant;
}

static struct nm_governor_sum most_of(const struct nm_grant *grant)
{
    return sum_of(1, grant->tokens_in + grant->tokens_out, grant->money);
}

static bool within(uint64_t spent, uint64_t reserved, uint64_t more, uint64_t budget)
{
    return budget == 0 || add(add(spent, reserved), more) <= budget;
}

static bool fits_budget(const struct nm_governor *g, struct nm_governor_sum most)
{
    return within(g->spent.requests, g->reserved.requests, most.requests, g->budget.requests) &&
           within(g->spent.tokens, g->reserved.tokens, most.tokens, g->budget.tokens) &&
           within(g->spent.money, g->reserved.money, most.money, g->budget.money);
}

/* A limit that is less than one call's reservation lets one call through in a minute, by what it uses. */
static bool fits_minute(const struct endpoint_state *e, struct nm_governor_sum most, int64_t now)
{
    const struct nm_governor_limits *l = &e->limits;
    if (!l->requests_per_minute && !l->tokens_per_minute)
        return true;
    struct nm_governor_sum used = minute_of(e, now);
    bool requests = within(used.requests, 0, 1, l->requests_per_minute);
    bool tokens = within(used.tokens, 0, most.tokens, l->tokens_per_minute) || used.tokens == 0;
    return requests && tokens;
}

static bool fits_pace(const struct endpoint_state *e, int64_t now)
{
    return (e->limits.requests_per_minute == 0 || e->request_pace <= (double)(now + BURST_MS)) &&
           (e->limits.tokens_per_minute == 0 || e->token_pace <= (double)(now + BURST_MS));
}

static double window_of(const struct endpoint_state *e)
{
    bool doubtful = e->why == NM_WHY_QUOTA || (e->why == NM_WHY_TROUBLE && e->failures > PATIENCE);
    return doubtful ? 1 : e->window.size; /* one call at a time finds out */
}

static bool has_room(const struct nm_governor *g, uint32_t endpoint, int64_t now)
{
    const struct endpoint_state *e = &g->endpoints[endpoint];
    if (e->blocked || now < e->paused_until || (double)(e->in_flight + 1) > window_of(e) || !fits_pace(e, now))
        return false;
    struct nm_grant grant = nm_governor_most(g, endpoint);
    return fits_budget(g, most_of(&grant)) && fits_minute(e, most_of(&grant), now);
}

static void pace(struct endpoint_state *e, const struct nm_grant *grant, int64_t now)
{
    const struct nm_governor_limits *l = &e->limits;
    double t = (double)now, tokens = (double)(grant->tokens_in + grant->tokens_out);
    if (l->requests_per_minute)
        e->request_pace =
            (e->request_pace > t ? e->request_pace : t) + (double)MINUTE_MS / (double)l->requests_per_minute;
    if (l->tokens_per_minute)
        e->token_pace = (e->token_pace > t ? e->token_pace : t) + tokens * MINUTE_MS / (double)l->tokens_per_minute;
}

static void reserve(struct nm_governor *g, const struct nm_grant *grant)
{
    struct endpoint_state *e = &g->endpoints[grant->endpoint];
    sum_add(&g->reserved, most_of(grant));
    sum_add(grant->batch ? &g->batches : &e->reserved, most_of(grant));
    e->in_flight += !grant->batch;
    e->changed = true;
}

bool nm_governor_pick_batch(struct nm_governor *g, uint32_t endpoint, struct nm_grant *grant)
{
    *grant = nm_governor_most(g, endpoint);
    grant->batch = true;
    if (!fits_budget(g, most_of(grant)))
        return false;
    reserve(g, grant);
    return true;
}

bool nm_governor_serves(const struct nm_governor *g, int64_t now)
{
    for (uint32_t i = 0; i < g->n; i++)
        if (!g->endpoints[i].blocked && now >= g->endpoints[i].paused_until)
            return true;
    return false;
}

bool nm_governor_has_room(const struct nm_governor *g, int64_t now)
{
    for (uint32_t i = 0; i < g->n; i++)
        if (!g->endpoints[i].apart && has_room(g, i, now))
            return true;
    return false;
}

void nm_governor_set_apart(struct nm_governor *g, uint32_t endpoint)
{
    g->endpoints[endpoint].apart = true;
}

bool nm_governor_has_room_at(const struct nm_governor *g, uint32_t endpoint, int64_t now)
{
    return has_room(g, endpoint, now);
}

bool nm_governor_pick_at(struct nm_governor *g, uint32_t endpoint, int64_t now, struct nm_grant *grant)
{
    if (!has_room(g, endpoint, now))
        return false;
    *grant = nm_governor_most(g, endpoint);
    reserve(g, grant);
    pace(&g->endpoints[endpoint], grant, now);
    return true;
}

bool nm_governor_pick(struct nm_governor *g, int64_t now, struct nm_grant *grant)
{
    struct endpoint_state *best = NULL;
    int64_t total = 0;
    for (uint32_t i = 0; i < g->n; i++) {
        if (g->endpoints[i].apart || !has_room(g, i, now))
            continue;
        struct endpoint_state *e = &g->endpoints[i];
        e->turn += e->limits.weight;
        total += e->limits.weight;
        if (!best || e->turn > best->turn)
            best = e;
    }
    if (!best)
        return false;
    best->turn -= total;
    return nm_governor_pick_at(g, (uint32_t)(best - g->endpoints), now, grant);
}

/* ---- the ends of a grant --------------------------------------------------------------------- */

static struct endpoint_state *unreserve(struct nm_governor *g, const struct nm_grant *grant)
{
    struct endpoint_state *e = &g->endpoints[grant->endpoint];
    assert(grant->batch || e->in_flight > 0);
    sum_sub(&g->reserved, most_of(grant));
    sum_sub(grant->batch ? &g->batches : &e->reserved, most_of(grant));
    e->in_flight -= !grant->batch;
    e->changed = true;
    return e;
}

/* Tokens that were reserved and not used move the pace back. */
static void give_back(struct endpoint_state *e, uint64_t tokens)
{
    if (e->limits.tokens_per_minute)
        e->token_pace -= (double)tokens * MINUTE_MS / (double)e->limits.tokens_per_minute;
}

static void spend(struct nm_governor *g, const struct nm_grant *grant, struct nm_governor_sum used, int64_t now)
{
    struct endpoint_state *e = unreserve(g, grant);
    struct nm_governor_sum most = most_of(grant);
    if (!grant->batch) {
        struct slot *slot = slot_at(e, second_of(now));
        slot->requests = add(slot->requests, used.requests);
        slot->tokens = add(slot->tokens, used.tokens);
    }
    sum_add(&g->spent, used);
    sum_add(&e->spent, used);
    if (used.tokens < most.tokens && !grant->batch)
        give_back(e, most.tokens - used.tokens);
    if (used.tokens > most.tokens || used.money > most.money)
        sum_add(&e->overrun, sum_of(1, used.tokens > most.tokens ? used.tokens - most.tokens : 0,
                                    used.money > most.money ? used.money - most.money : 0));
}

void nm_governor_settle(struct nm_governor *g, const struct nm_grant *grant, uint64_t tokens_in, uint64_t tokens_out,
                        int64_t now)
{
    struct nm_governor_sum used = most_of(grant);
    if (tokens_in || tokens_out)
        used = sum_of(1, add(tokens_in, tokens_out), nm_governor_cost(g, grant->endpoint, tokens_in, tokens_out));
    spend(g, grant, used, now);
}

void nm_governor_release(struct nm_governor *g, const struct nm_grant *grant)
{
    struct endpoint_state *e = unreserve(g, grant);
    if (grant->batch)
        return;
    give_back(e, grant->tokens_in + grant->tokens_out);
    if (e->limits.requests_per_minute)
        e->request_pace -= (double)MINUTE_MS / (double)e->limits.requests_per_minute;
}

void nm_governor_refused(struct nm_governor *g, const struct nm_grant *grant, int64_t now)
{
    spend(g, grant, sum_of(1, 0, 0), now);
}

void nm_governor_charge(struct nm_governor *g, const struct nm_grant *grant, int64_t now)
{
    spend(g, grant, most_of(grant), now);
}

/* ---- what is learnt -------------------------------------------------------------------------- */

/* Calls that were on their way when the server said wait do not end the wait. */
void nm_governor_answered(struct nm_governor *g, uint32_t endpoint, int64_t latency_ms, int64_t now)
{
    struct endpoint_state *e = &g->endpoints[endpoint];
    if (e->why == NM_WHY_TROUBLE || now >= e->paused_until) {
        e->failures = 0;
        e->why = NM_WHY_NONE;
        e->paused_until = INT64_MIN;
    }
    e->changed = true;
    nm_window_answered(&e->window, latency_ms, now);
}

static int64_t doubled(int64_t first, int64_t most, uint32_t times)
{
    while (times-- > 1 && first < most)
        first *= 2;
    return first < most ? first : most;
}

static int64_t pause_for(const struct endpoint_state *e, enum nm_governor_why why)
{
    if (why == NM_WHY_QUOTA)
        return doubled(QUOTA_MS, QUOTA_MAX_MS, e->failures);
    if (why == NM_WHY_RATE)
        return doubled(PAUSE_MS, PAUSE_MAX_MS, e->failures);
    return e->failures > PATIENCE ? doubled(PAUSE_MS, PAUSE_MAX_MS, e->failures - PATIENCE) : 0;
}

void nm_governor_failed(struct nm_governor *g, uint32_t endpoint, enum nm_governor_why why, int64_t retry_ms,
                        int64_t now)
{
    struct endpoint_state *e = &g->endpoints[endpoint];
    e->changed = true;
    if (why == NM_WHY_RATE)
        nm_window_cut(&e->window, now);
    bool worse = why == NM_WHY_QUOTA && e->why != NM_WHY_QUOTA;
    if (now < e->paused_until && !worse) { /* the rest of a burst: one pause is enough, if it is long enough */
        if (why == NM_WHY_RATE && now + retry_ms > e->paused_until)
            e->paused_until = now + retry_ms;
        return;
    }
    e->failures = why == e->why ? e->failures + 1 : 1;
    e->why = why;
    int64_t pause = pause_for(e, why);
    e->paused_until = now + (retry_ms > pause && why == NM_WHY_RATE ? retry_ms : pause);
}

void nm_governor_prompt(struct nm_governor *g, uint32_t endpoint, uint64_t tokens)
{
    struct endpoint_state *e = &g->endpoints[endpoint];
    if (tokens == 0)
        return;
    tokens = tokens > UINT32_MAX ? UINT32_MAX : tokens;
    e->prompt_seen = tokens > e->prompt_seen ? tokens : e->prompt_seen;
    bool over = ++e->prompts == PROMPT_EPOCH; /* bounds become tighter as generators learn */
    if (tokens > e->prompt || over) {
        e->prompt = e->prompt_seen + e->prompt_seen / 8; /* the next may be a little larger */
        e->changed = true;
    }
    if (over) {
        e->prompts = 0;
        e->prompt_seen = 0;
    }
}

void nm_governor_revive(struct nm_governor *g)
{
    for (uint32_t i = 0; i < g->n; i++)
        g->endpoints[i].paused_until = INT64_MIN;
}

void nm_governor_block(struct nm_governor *g, uint32_t endpoint, bool blocked)
{
    g->endpoints[endpoint].blocked = blocked;
}

/* ---- looking --------------------------------------------------------------------------------- */

bool nm_governor_exhausted(const struct nm_governor *g)
{
    if (g->n == 0 || g->reserved.requests > 0)
        return false;
    for (uint32_t i = 0; i < g->n; i++) {
        struct nm_grant grant = nm_governor_most(g, i);
        if (fits_budget(g, most_of(&grant)))
            return false;
    }
    return g->budget.requests || g->budget.tokens || g->budget.money;
}

int64_t nm_governor_wait_ms(const struct nm_governor *g, int64_t now)
{
    int64_t wait = -1;
    for (uint32_t i = 0; i < g->n; i++) {
        const struct endpoint_state *e = &g->endpoints[i];
        if (e->blocked || (double)(e->in_flight + 1) > window_of(e))
            continue;
        int64_t until = e->paused_until > now ? e->paused_until : now;
        double at = e->request_pace > e->token_pace ? e->request_pace : e->token_pace;
        if ((e->limits.requests_per_minute || e->limits.tokens_per_minute) && at - BURST_MS > (double)until)
            until = (int64_t)at - BURST_MS + 1;
        struct nm_grant grant = nm_governor_most(g, i);
        if (until <= now && !fits_minute(e, most_of(&grant), now))
            until = now + 1000 - now % 1000; /* a slot a second becomes free */
        if (until > now && fits_budget(g, most_of(&grant)) && (wait < 0 || until - now < wait))
            wait = until - now;
    }
    return wait;
}

struct nm_governor_sum nm_governor_spent(const struct nm_governor *g)
{
    return g->spent;
}

struct nm_governor_sum nm_governor_reserved(const struct nm_governor *g)
{
    return g->reserved;
}

struct nm_governor_sum nm_governor_budget(const struct nm_governor *g)
{
    return g->budget;
}

void nm_governor_look(const struct nm_governor *g, uint32_t endpoint, int64_t now, struct nm_governor_view *view)
{
    const struct endpoint_state *e = &g->endpoints[endpoint];
    struct nm_governor_sum minute = minute_of(e, now);
    *view = (struct nm_governor_view){.window = window_of(e),
                                      .in_flight = e->in_flight,
                                      .requests_last_minute = minute.requests,
                                      .tokens_last_minute = minute.tokens,
                                      .spent = e->spent,
                                      .reserved = e->reserved,
                                      .overrun = e->overrun,
                                      .paused = now < e->paused_until,
                                      .why = e->why,
                                      .latency_ms = e->window.latency,
                                      .best_latency_ms = e->window.best};
    if (view->paused)
        view->pause_ms = e->paused_until - now;
}

const char *nm_governor_why_name(enum nm_governor_why why)
{
    static const char *const names[NM_WHYS] = {"", "rate", "trouble", "quota"};
    return why < NM_WHYS ? names[why] : "";
}
