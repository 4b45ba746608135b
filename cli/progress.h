/* progress.h - how far a run is: a bar that redraws itself on a terminal, a plain line every few seconds otherwise.
 */
#ifndef NM_CLI_PROGRESS_H
#define NM_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/stats.h"

enum { NM_RATE_POINTS = 64 };

struct nm_progress {
    bool tty;
    bool drawn;       /* a bar stands on the terminal's last line */
    int64_t shown_ms; /* when the last line was written */
    char last[400];   /* what it said */
    struct {
        int64_t ms;
        uint64_t accepted;
    } points[NM_RATE_POINTS]; /* one a second, a ring */
    unsigned n_points;
};

void nm_progress_init(struct nm_progress *progress);

/* nm_progress_rate - accepted samples a minute over the last minute at most; notes the new point. */
double nm_progress_rate(struct nm_progress *progress, int64_t now_ms, uint64_t accepted);

/* nm_progress_samples - show a broker's snapshot: count, rate, accepted share, time left, trouble. */
void nm_progress_samples(struct nm_progress *progress, int64_t now_ms, const struct nm_stats *stats);

/* nm_progress_text - show a line of any other work; done and total make the bar (total 0: none). */
void nm_progress_text(struct nm_progress *progress, int64_t now_ms, const char *text, double done, double total);

/* nm_progress_say - a line that stays. */
void nm_progress_say(struct nm_progress *progress, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* nm_duration - "1 h 05 min", "2 min 10 s", "8 s" for seconds; "?" below 0. */
void nm_duration(double seconds, char *out, size_t size);

#endif
