/* circuits.c - the broker is told how the circuit breakers stand, for whoever asks it. */
#include "common/clock.h"
#include "workers/generator/generator_parts.h"

static const char *why_of(const struct nm_breaker *breaker, enum nm_breaker_state state)
{
    static const char *const names[] = {[NM_BREAKER_TROUBLE] = "trouble",
                                        [NM_BREAKER_BUSY] = "busy",
                                        [NM_BREAKER_LOADING] = "loading",
                                        [NM_BREAKER_QUOTA] = "quota"};
    return state == NM_BREAKER_OPEN || state == NM_BREAKER_HALF_OPEN ? names[breaker->why] : "";
}

static struct nm_msg_circuit circuit_of(const struct nm_endpoint *e, int64_t now)
{
    enum nm_breaker_state state = nm_breaker_look(&e->breaker, now);
    int64_t wait = nm_breaker_wait_ms(&e->breaker, now);
    return (struct nm_msg_circuit){.endpoint = nm_str(e->config->name),
                                   .state = nm_str(nm_breaker_state_name(state)),
                                   .why = nm_str(why_of(&e->breaker, state)),
                                   .wait_ms = wait > 0 ? (uint64_t)wait : 0,
                                   .failures = e->breaker.failures,
                                   .detail = nm_str(state != NM_BREAKER_CLOSED ? e->why : "")};
}

static bool is_news(const struct nm_endpoint *e, int64_t now)
{
    enum nm_breaker_state state = nm_breaker_look(&e->breaker, now);
    return state != e->told_state || (state == NM_BREAKER_OPEN && e->breaker.until_ms != e->told_until_ms);
}

void nm_generator_tell_circuits(struct nm_generator *g, int64_t now)
{
    bool news = !g->told_circuits;
    for (size_t i = 0; i < g->pool.n; i++)
        news = news || is_news(&g->pool.endpoints[i], now);
    if (!news || !nm_worker_connected(g->worker))
        return;
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    struct nm_msg msg = {.type = NM_MSG_circuits};
    struct nm_msg_circuits *all = &msg.u.circuits;
    all->list = nm_arena_alloc(&arena, g->pool.n * sizeof *all->list);
    for (size_t i = 0; i < g->pool.n && all->list != NULL; i++)
        all->list[all->n_list++] = circuit_of(&g->pool.endpoints[i], now);
    g->told_circuits = all->list != NULL && nm_worker_send(g->worker, &msg) == NM_OK; /* else at the next tick */
    for (size_t i = 0; i < g->pool.n && g->told_circuits; i++) {
        struct nm_endpoint *e = &g->pool.endpoints[i];
        e->told_state = nm_breaker_look(&e->breaker, now);
        e->told_until_ms = e->breaker.until_ms;
    }
    nm_arena_clean_up(&arena);
}
