/* How many calls an endpoint is sent at once. */
#include "broker/governor_parts.h"

enum {
    STEPS = 16,    /* of an increase from nothing to the whole window, a window of answers each */
    CUT_MS = 1000, /* halved once for a burst of refusals */
    START = 4,
    GROUP = 8,          /* answers: the mean of a group may be the best latency */
    EPOCH_MS = 1000,    /* at least */
    EPOCH_ANSWERS = 16, /* at least */
    QUIET_EPOCHS = 30,  /* after a trial that cost throughput */
    WORTH_A_LOOK = 2,   /* times the best latency */
};

/* It starts small, so that the endpoint's latency without a queue is known. */
void nm_window_init(struct window *w, uint32_t most)
{
    *w = (struct window){.most = most, .cut_ms = INT64_MIN / 2, .starting = true};
    w->size = most / STEPS > START ? most / STEPS : most < START ? most : START;
}

static void set_size(struct window *w, double size)
{
    w->size = size < 1 ? 1 : size > w->most ? w->most : size;
}

void nm_window_cut(struct window *w, int64_t now)
{
    double pause = w->latency > CUT_MS ? w->latency : CUT_MS;
    if ((double)(now - w->cut_ms) < pause)
        return;
    w->cut_ms = now;
    w->trial_size = 0;
    w->starting = false;
    set_size(w, w->size / 2);
}

/* Twice the best latency may mean that calls queue at the server, or that it serves more of them at once, each more
 * slowly: only throughput tells.  So a tenth less is tried for an epoch.  If throughput holds, the calls were
 * queueing, and the next epoch tries less still; if it falls, they were served, and the window is as it was. */
static void look_at_latency(struct window *w, double rate)
{
    bool slow = w->latency > WORTH_A_LOOK * w->best;
    if (w->trial_size > 0 && rate < 0.95 * w->trial_rate) {
        set_size(w, w->trial_size);
        w->trial_size = 0;
        w->quiet = QUIET_EPOCHS;
    } else if (w->quiet > 0) {
        w->quiet--;
        w->trial_size = 0;
    } else if (slow) {
        if (w->trial_size == 0 || rate > w->trial_rate)
            w->trial_rate = rate; /* many small losses are a large one */
        w->trial_size = w->size;
        w->starting = false;
        set_size(w, w->size * 0.9 < w->size - 1 ? w->size * 0.9 : w->size - 1);
    } else {
        w->trial_size = 0;
    }
}

static void end_epoch(struct window *w, int64_t now)
{
    double rate = (double)w->answers * 1000 / (double)(now - w->epoch_ms);
    w->latency = w->sum_latency / (double)w->answers;
    w->best *= 1.01; /* forgotten slowly: prompts grow, servers change */
    look_at_latency(w, rate);
    w->epoch_ms = now;
    w->sum_latency = 0;
    w->answers = 0;
}

static void note_latency(struct window *w, double latency_ms)
{
    w->sum_latency += latency_ms;
    w->answers++;
    w->group_latency += latency_ms;
    if (++w->group < GROUP)
        return;
    w->group_latency /= GROUP;
    if (w->best == 0 || w->group_latency < w->best)
        w->best = w->group_latency;
    w->group_latency = 0;
    w->group = 0;
}

void nm_window_answered(struct window *w, int64_t latency_ms, int64_t now)
{
    if (w->answers == 0 && w->epoch_ms == 0)
        w->epoch_ms = now;
    note_latency(w, latency_ms > 0 ? (double)latency_ms : 1);
    double step = w->starting ? w->size : w->most / STEPS > 1 ? w->most / STEPS : 1;
    bool slow = w->best > 0 && w->latency > WORTH_A_LOOK * w->best && w->quiet == 0;
    if (w->trial_size == 0 && !slow)
        set_size(w, w->size + step / w->size);
    double epoch = w->latency * 2 > EPOCH_MS ? w->latency * 2 : EPOCH_MS;
    if ((double)(now - w->epoch_ms) >= epoch && w->answers >= EPOCH_ANSWERS)
        end_epoch(w, now);
}
