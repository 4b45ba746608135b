#include "cli/experiment_plot.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* The picture, and the plot in it; the key stands to its right. */
enum {
    WIDTH = 760,
    HEIGHT = 400,
    LEFT = 62,
    RIGHT = 190,
    TOP = 40,
    BOTTOM = 48,
    TICKS_MAX = 12,
    ROW = 26,
    NAMES = 210
};

/* Okabe and Ito 2008: told apart by the colour-blind. */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f"};
enum { COLOURS = sizeof colours / sizeof *colours };

struct drawing {
    const struct nm_plot *plot;
    struct nm_buf *svg;
    double x_min, x_max, y_min, y_max, y_step;
    enum nm_err err;
};

static void put(struct drawing *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct drawing *d, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (d->err == NM_OK)
        d->err = nm_buf_adds(d->svg, text);
}

void nm_plot_add(struct nm_plot_series *series, double x, double y, double deviation)
{
    if (series->n == NM_PLOT_POINTS)
        return;
    size_t at = series->n++;
    for (; at > 0 && series->x[at - 1] > x; at--) {
        series->x[at] = series->x[at - 1];
        series->y[at] = series->y[at - 1];
        series->deviation[at] = series->deviation[at - 1];
    }
    series->x[at] = x;
    series->y[at] = y;
    series->deviation[at] = deviation;
}

/* ---- the axes -------------------------------------------------------------------------------- */

static double nice_step(double range)
{
    static const double steps[] = {1, 2, 5, 10};
    const double raw = fmax(range, 1e-9) / 5, power = pow(10, floor(log10(raw)));
    for (size_t i = 0; i < 4; i++)
        if (steps[i] * power >= raw * (1 - 1e-9))
            return steps[i] * power;
    return 10 * power;
}

static void find_range(struct drawing *d)
{
    d->x_min = d->y_min = HUGE_VAL;
    d->x_max = d->y_max = -HUGE_VAL;
    for (size_t s = 0; s < d->plot->n; s++) {
        const struct nm_plot_series *series = &d->plot->series[s];
        for (size_t i = 0; i < series->n; i++) {
            d->y_min = fmin(d->y_min, series->y[i] - series->deviation[i]);
            d->y_max = fmax(d->y_max, series->y[i] + series->deviation[i]);
            if (!series->level) {
                d->x_min = fmin(d->x_min, series->x[i]);
                d->x_max = fmax(d->x_max, series->x[i]);
            }
        }
    }
    if (d->x_min > d->x_max)
        d->x_min = d->x_max = 1;
    if (d->y_min > d->y_max)
        d->y_min = d->y_max = 0;
    d->y_step = nice_step(d->y_max - d->y_min);
    d->y_min = floor(d->y_min / d->y_step) * d->y_step;
    d->y_max = ceil(d->y_max / d->y_step + 1e-9) * d->y_step;
    if (d->y_max <= d->y_min)
        d->y_max = d->y_min + d->y_step;
}

static double place(const struct drawing *d, double x)
{
    double share = 0.5;
    if (d->x_max > d->x_min)
        share =
            d->plot->log_x ? log(x / d->x_min) / log(d->x_max / d->x_min) : (x - d->x_min) / (d->x_max - d->x_min);
    return LEFT + 12 + share * (WIDTH - LEFT - RIGHT - 24);
}

static double height(const struct drawing *d, double y)
{
    return HEIGHT - BOTTOM - (y - d->y_min) / (d->y_max - d->y_min) * (HEIGHT - TOP - BOTTOM);
}

static void put_head(struct drawing *d, double tall)
{
    put(d,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"%s\">\n"
        "<style>text{font:12px system-ui,sans-serif;fill:#444}.t{font-weight:600}.e{text-anchor:end}.m{text-anchor:"
        "middle}.g{stroke:#8884}",
        WIDTH, tall, d->plot->title);
    put(d,
        "@media(prefers-color-scheme:dark){text{fill:#ccc}}</style>\n<text class=\"t\" x=\"%d\" y=\"20\">%s</text>\n",
        LEFT, d->plot->title);
}

/* A name under each x that a series has, where it does not stand on the one before. */
static void put_x_ticks(struct drawing *d)
{
    double last = -HUGE_VAL;
    const struct nm_plot_series *most = &d->plot->series[0];
    for (size_t s = 0; s < d->plot->n; s++)
        if (!d->plot->series[s].level && (most->level || d->plot->series[s].n > most->n))
            most = &d->plot->series[s];
    for (size_t i = 0; i < most->n && !most->level; i++) {
        const double x = place(d, most->x[i]);
        if (x - last < 34)
            continue;
        put(d, "<path class=\"g\" d=\"M%.1f %dV%d\"/><text class=\"m\" x=\"%.1f\" y=\"%d\">%.0f</text>\n", x, TOP,
            HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 17, most->x[i]);
        last = x;
    }
}

static void put_axes(struct drawing *d)
{
    const int digits = d->y_step < 0.1 ? 2 : d->y_step < 1 ? 1 : 0;
    for (int i = 0; i < TICKS_MAX && d->y_min + i * d->y_step <= d->y_max + d->y_step / 2; i++) {
        const double y = height(d, d->y_min + i * d->y_step);
        put(d, "<path class=\"g\" d=\"M%d %.1fH%d\"/><text class=\"e\" x=\"%d\" y=\"%.1f\">%.*f</text>\n", LEFT, y,
            WIDTH - RIGHT, LEFT - 7, y + 4, digits, d->y_min + i * d->y_step);
    }
    put_x_ticks(d);
    put(d, "<text class=\"m\" x=\"%d\" y=\"%d\">%s</text>\n", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10,
        d->plot->x_label);
    put(d, "<text class=\"m\" transform=\"translate(16 %d) rotate(-90)\">%s</text>\n", (TOP + HEIGHT - BOTTOM) / 2,
        d->plot->y_label);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void put_band(struct drawing *d, const struct nm_plot_series *s, const char *colour)
{
    put(d, "<polygon fill=\"%s\" fill-opacity=\".15\" points=\"", colour);
    for (size_t i = 0; i < s->n; i++)
        put(d, "%.1f,%.1f ", place(d, s->x[i]), height(d, s->y[i] + s->deviation[i]));
    for (size_t i = s->n; i > 0; i--)
        put(d, "%.1f,%.1f ", place(d, s->x[i - 1]), height(d, s->y[i - 1] - s->deviation[i - 1]));
    put(d, "\"/>\n");
}

static void put_series(struct drawing *d, const struct nm_plot_series *s, const char *colour)
{
    if (s->level && s->n > 0) {
        put(d,
            "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" stroke-dasharray=\"6 4\" d=\"M%d %.1fH%d\"/>\n",
            colour, LEFT, height(d, s->y[0]), WIDTH - RIGHT);
        return;
    }
    put_band(d, s, colour);
    put(d, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colour);
    for (size_t i = 0; i < s->n; i++)
        put(d, "%.1f,%.1f ", place(d, s->x[i]), height(d, s->y[i]));
    put(d, "\"/>\n");
    for (size_t i = 0; i < s->n; i++)
        put(d, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"><title>%s, %.0f: %.4g ± %.2g</title></circle>\n",
            place(d, s->x[i]), height(d, s->y[i]), colour, s->name, s->x[i], s->y[i], s->deviation[i]);
}

static void put_key(struct drawing *d)
{
    for (size_t s = 0; s < d->plot->n; s++) {
        const struct nm_plot_series *series = &d->plot->series[s];
        const int y = TOP + 14 + (int)s * 20;
        put(d, "<path stroke=\"%s\" stroke-width=\"2\"%s d=\"M%d %dh22\"/><text x=\"%d\" y=\"%d\">%s</text>\n",
            colours[s % COLOURS], series->level ? " stroke-dasharray=\"6 4\"" : "", WIDTH - RIGHT + 14, y,
            WIDTH - RIGHT + 42, y + 4, series->name);
    }
}

enum nm_err nm_plot_lines(const struct nm_plot *plot, struct nm_buf *svg)
{
    struct drawing d = {.plot = plot, .svg = svg};
    find_range(&d);
    put_head(&d, HEIGHT);
    put_axes(&d);
    for (size_t s = 0; s < plot->n; s++)
        put_series(&d, &plot->series[s], colours[s % COLOURS]);
    put_key(&d);
    put(&d, "</svg>\n");
    return d.err;
}

/* ---- bars ------------------------------------------------------------------------------------ */

/* From 0 to the right or, below it, to the left; the line over its end is the deviation. */
static void put_bar(struct drawing *d, size_t row, const char *name, double value, double deviation)
{
    const double y = TOP + (double)row * ROW, span = d->y_max - d->y_min;
    const double unit = (WIDTH - NAMES - 90) / (span > 0 ? span : 1), zero = NAMES - d->y_min * unit;
    const double end = zero + value * unit;
    put(d, "<text class=\"e\" x=\"%d\" y=\"%.1f\">%s</text>", NAMES - 10, y + 16, name);
    put(d, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"16\" fill=\"%s\"/>", fmin(zero, end), y + 4,
        fabs(end - zero), colours[value < 0 ? 1 : 0]);
    put(d, "<path stroke=\"#444\" d=\"M%.1f %.1fH%.1f\"/>", end - deviation * unit, y + 12, end + deviation * unit);
    put(d, "<text x=\"%d\" y=\"%.1f\">%+.3f</text>\n", WIDTH - 60, y + 16, value);
}

enum nm_err nm_plot_bars(const struct nm_plot *plot, const char (*names)[64], struct nm_buf *svg)
{
    struct drawing d = {.plot = plot, .svg = svg};
    const struct nm_plot_series *s = &plot->series[0];
    const double tall = TOP + (double)s->n * ROW + 30;
    find_range(&d);
    d.y_min = fmin(d.y_min, 0);
    d.y_max = fmax(d.y_max, 0);
    put_head(&d, tall);
    for (size_t i = 0; i < s->n; i++)
        put_bar(&d, i, names[(size_t)s->x[i]], s->y[i], s->deviation[i]);
    put(&d, "<text x=\"%d\" y=\"%.0f\">%s</text>\n</svg>\n", NAMES, tall - 8, plot->y_label);
    return d.err;
}
