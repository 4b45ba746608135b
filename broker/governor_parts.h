/* governor_parts.h - the insides of a governor, shared by governor*.c only. */
#ifndef NM_BROKER_GOVERNOR_PARTS_H
#define NM_BROKER_GOVERNOR_PARTS_H

#include "broker/governor.h"

struct slot {
    int64_t second;
    uint64_t requests, tokens; /* of grants that ended in it */
};

/* The window of calls in flight, and what it is steered by. */
struct window {
    double size, most;
    int64_t cut_ms;       /* when it was last halved */
    int64_t epoch_ms;     /* when the present epoch began */
    double sum_latency;   /* of the present epoch */
    uint64_t answers;     /* of it */
    double group_latency; /* of the present group of answers */
    uint32_t group;
    bool starting;                 /* doubles with each window of answers, until the first reason not to */
    double latency, best;          /* mean of the last epoch; the best of the recent ones */
    double trial_size, trial_rate; /* before the trial under way; 0: none is */
    uint32_t quiet;                /* epochs before the next trial */
};

struct endpoint_state {
    struct nm_governor_limits limits;
    struct window window;
    uint64_t in_flight;
    struct nm_governor_sum reserved, spent, overrun;
    struct slot slots[64];           /* by second modulo 64 */
    double request_pace, token_pace; /* ms: the theoretical time of arrival of the next one */
    uint64_t prompt, prompt_seen;    /* tokens at most: what a grant reserves; of the present epoch */
    uint32_t prompts;                /* of it */
    int64_t turn;                    /* smooth weighted round robin */
    uint32_t failures;
    enum nm_governor_why why;
    int64_t paused_until;
    bool blocked, changed;
    bool apart; /* grants only what is asked of it by number */
};

struct nm_governor {
    uint32_t n;
    struct nm_governor_sum budget, spent, reserved;
    struct nm_governor_sum batches; /* of reserved, what is out in batches */
    bool lowered;                   /* below what was in use: nm_governor_check allows for it */
    struct endpoint_state endpoints[];
};

/* governor_window.c */
void nm_window_init(struct window *window, uint32_t most);
void nm_window_answered(struct window *window, int64_t latency_ms, int64_t now);
void nm_window_cut(struct window *window, int64_t now);

#endif
