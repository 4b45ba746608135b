#include "broker/latency.h"

#include <stdlib.h>

enum nm_err nm_latency_init(struct nm_latency *l, uint32_t endpoints)
{
    nm_map_init(&l->sent);
    l->steps = calloc(NM_STEPS, sizeof *l->steps);
    l->endpoints = calloc((size_t)endpoints + 1, sizeof *l->endpoints);
    return l->steps && l->endpoints ? NM_OK : NM_ENOMEM;
}

void nm_latency_clean_up(struct nm_latency *l)
{
    nm_map_clean_up(&l->sent);
    free(l->steps);
    free(l->endpoints);
}

void nm_latency_sent(struct nm_latency *l, uint64_t task, int64_t now_us)
{
    if (nm_map_put(&l->sent, task, (void *)(uintptr_t)now_us)) /* a time in a pointer's place: never NULL */
        (void)nm_map_del(&l->sent, task);
}

void nm_latency_answered(struct nm_latency *l, enum nm_step step, uint64_t task, int64_t now_us)
{
    const void *sent = nm_map_del(&l->sent, task);
    if (sent)
        nm_window_add(&l->steps[step], (uint64_t)(now_us - (int64_t)(uintptr_t)sent), now_us / 1000);
}
