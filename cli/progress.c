#include "cli/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PLAIN_EVERY_MS = 5000, POINT_EVERY_MS = 1000, BAR_CELLS = 24, WIDTH_DEFAULT = 100 };

void nm_progress_init(struct nm_progress *progress)
{
    memset(progress, 0, sizeof *progress);
    const char *term = getenv("TERM");
    progress->tty = isatty(STDOUT_FILENO) && (term == NULL || strcmp(term, "dumb") != 0);
    progress->shown_ms = -PLAIN_EVERY_MS;
}

void nm_duration(double seconds, char *out, size_t size)
{
    long s = lround(seconds);
    if (!(seconds >= 0) || seconds > 1e8)
        (void)snprintf(out, size, "?");
    else if (s >= 3600)
        (void)snprintf(out, size, "%ld h %02ld min", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        (void)snprintf(out, size, "%ld min %02ld s", s / 60, s % 60);
    else
        (void)snprintf(out, size, "%ld s", s);
}

double nm_progress_rate(struct nm_progress *progress, int64_t now_ms, uint64_t accepted)
{
    unsigned n = progress->n_points;
    if (n == 0 || now_ms - progress->points[(n - 1) % NM_RATE_POINTS].ms >= POINT_EVERY_MS) {
        progress->points[n % NM_RATE_POINTS].ms = now_ms;
        progress->points[n % NM_RATE_POINTS].accepted = accepted;
        progress->n_points = ++n;
    }
    unsigned oldest = n > NM_RATE_POINTS ? n - NM_RATE_POINTS : 0;
    int64_t ms = now_ms - progress->points[oldest % NM_RATE_POINTS].ms;
    uint64_t before = progress->points[oldest % NM_RATE_POINTS].accepted;
    return ms < POINT_EVERY_MS || accepted < before ? 0.0 : 60000.0 * (double)(accepted - before) / (double)ms;
}

static int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        return size.ws_col;
    return WIDTH_DEFAULT;
}

static void clear_bar(struct nm_progress *progress)
{
    if (progress->drawn)
        fputs("\r\033[K", stdout);
    progress->drawn = false;
}

void nm_progress_say(struct nm_progress *progress, const char *fmt, ...)
{
    clear_bar(progress);
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

void nm_progress_text(struct nm_progress *progress, int64_t now_ms, const char *text, double done, double total)
{
    if (!progress->tty) {
        if (now_ms - progress->shown_ms < PLAIN_EVERY_MS)
            return;
        progress->shown_ms = now_ms;
        puts(text);
        fflush(stdout);
        return;
    }
    char bar[BAR_CELLS + 1] = "";
    if (total > 0) {
        int full = (int)(BAR_CELLS * (done < total ? done / total : 1.0));
        memset(bar, '-', BAR_CELLS);
        memset(bar, '#', (size_t)full);
    }
    int room = terminal_width() - 1 - (total > 0 ? BAR_CELLS + 3 : 0);
    clear_bar(progress);
    if (total > 0)
        printf("[%s] %.*s", bar, room, text);
    else
        printf("%.*s", room, text);
    fflush(stdout);
    progress->drawn = true;
}

void nm_progress_samples(struct nm_progress *progress, int64_t now_ms, const struct nm_stats *stats)
{
    char left[32], text[900];
    double rate = nm_progress_rate(progress, now_ms, stats->accepted);
    uint64_t usable = stats->aligned + stats->waiting;
    uint64_t have = usable < stats->goal ? usable : stats->goal;
    double missing = (double)(stats->goal - have);
    nm_duration(rate > 0 || missing == 0 ? 60.0 * missing / fmax(rate, 1e-9) : -1.0, left, sizeof left);
    double share = stats->responses > 0 ? 100.0 * (double)stats->accepted / (double)stats->responses : 0.0;
    (void)snprintf(text, sizeof text, "%llu/%llu samples, %.0f/min, %.0f %% of answers accepted, %s left%s%s",
                   (unsigned long long)have, (unsigned long long)stats->goal, rate, share, left,
                   stats->trouble[0] != '\0' ? "; " : "", stats->trouble);
    nm_progress_text(progress, now_ms, text, (double)have, (double)stats->goal);
}
