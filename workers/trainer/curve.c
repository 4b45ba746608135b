#include "workers/trainer/curve.h"

#include <math.h>
#include <stdlib.h>

/* The picture, and the plot in it. */
enum { WIDTH = 720, HEIGHT = 360, LEFT = 60, RIGHT = 60, TOP = 30, BOTTOM = 44, TICKS = 5 };

static const struct {
    const char *name, *colour;
} lines[NM_CURVE_LINES] = {{"loss", "#2563eb"}, {"dev F1", "#d97706"}};

void nm_curve_add(struct nm_curve *curve, enum nm_curve_line line, double x, double y)
{
    if (curve->n[line] == curve->cap[line]) {
        size_t cap = curve->cap[line] * 2 + 256;
        struct nm_curve_point *points = realloc(curve->points[line], cap * sizeof(*points));
        if (points == NULL)
            return;
        curve->points[line] = points;
        curve->cap[line] = cap;
    }
    curve->points[line][curve->n[line]++] = (struct nm_curve_point){x, y};
}

void nm_curve_clean_up(struct nm_curve *curve)
{
    for (size_t i = 0; i < NM_CURVE_LINES; i++)
        free(curve->points[i]);
    *curve = (struct nm_curve){0};
}

/* The next of 1, 2, 5, 10 ... that is not below x. */
static double nice(double x)
{
    const double power = pow(10, floor(log10(x > 1e-9 ? x : 1e-9)));
    static const double steps[] = {1, 2, 5, 10};
    for (size_t i = 0; i < 4; i++)
        if (steps[i] * power >= x * (1 - 1e-9))
            return steps[i] * power;
    return 10 * power;
}

struct axes {
    double x_max, y_max;
};

static double left(const struct axes *a, double x)
{
    return LEFT + x / a->x_max * (WIDTH - LEFT - RIGHT);
}

static double down(double share)
{
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);
}

static enum nm_err draw_axes(const struct axes *a, struct nm_buf *svg)
{
    enum nm_err err = NM_OK;
    for (int i = 0; i <= TICKS && err == NM_OK; i++) {
        const double share = (double)i / TICKS, y = down(share), x = left(a, share * a->x_max);
        err = nm_buf_addf(svg,
                          "<path class=\"g\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" class=\"e\">%.3g</text>"
                          "<text x=\"%d\" y=\"%.1f\">%.1f</text><text x=\"%.1f\" y=\"%d\" class=\"m\">%.0f</text>\n",
                          LEFT, y, WIDTH - RIGHT, LEFT - 8, y + 4, share * a->y_max, WIDTH - RIGHT + 8, y + 4, share,
                          x, HEIGHT - BOTTOM + 18, share * a->x_max);
    }
    return err;
}

static enum nm_err draw_line(const struct nm_curve *curve, enum nm_curve_line line, const struct axes *a,
                             struct nm_buf *svg)
{
    const double scale = line == NM_CURVE_LOSS ? a->y_max : 1;
    enum nm_err err =
        nm_buf_addf(svg, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"", lines[line].colour);
    for (size_t i = 0; i < curve->n[line] && err == NM_OK; i++) {
        const struct nm_curve_point *p = &curve->points[line][i];
        const double share = p->y / scale;
        err = nm_buf_addf(svg, "%.1f,%.1f ", left(a, p->x), down(share > 1 ? 1 : share));
    }
    if (err == NM_OK)
        err = nm_buf_adds(svg, "\"/>\n");
    for (size_t i = 0; line == NM_CURVE_F1 && i < curve->n[line] && err == NM_OK; i++) {
        const struct nm_curve_point *p = &curve->points[line][i];
        err = nm_buf_addf(
            svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"><title>step %.0f: %.4f</title></circle>\n",
            left(a, p->x), down(p->y), lines[line].colour, p->x, p->y);
    }
    return err;
}

enum nm_err nm_curve_draw(const struct nm_curve *curve, struct nm_buf *svg)
{
    struct axes a = {.x_max = 1, .y_max = 0.01};
    for (size_t line = 0; line < NM_CURVE_LINES; line++)
        for (size_t i = 0; i < curve->n[line]; i++) {
            const struct nm_curve_point *p = &curve->points[line][i];
            a.x_max = fmax(a.x_max, p->x);
            a.y_max = line == NM_CURVE_LOSS && isfinite(p->y) ? fmax(a.y_max, p->y) : a.y_max;
        }
    a.y_max = nice(a.y_max);
    enum nm_err err =
        nm_buf_addf(svg,
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"loss "
                    "and dev F1 by step\">\n"
                    "<style>text{font:12px "
                    "system-ui,sans-serif;fill:#555}.e{text-anchor:end}.m{text-anchor:middle}.g{stroke:#8884}"
                    "@media(prefers-color-scheme:dark){text{fill:#bbb}}</style>\n",
                    WIDTH, HEIGHT);
    if (err == NM_OK)
        err = draw_axes(&a, svg);
    for (size_t line = 0; line < NM_CURVE_LINES && err == NM_OK; line++)
        if (curve->n[line] > 0)
            err = draw_line(curve, (enum nm_curve_line)line, &a, svg);
    for (size_t line = 0; line < NM_CURVE_LINES && err == NM_OK; line++)
        err = nm_buf_addf(svg, "<text x=\"%d\" y=\"18\" style=\"fill:%s\" class=\"m\">%s</text>\n",
                          line == NM_CURVE_LOSS ? LEFT : WIDTH - RIGHT, lines[line].colour, lines[line].name);
    if (err == NM_OK)
        err = nm_buf_addf(svg, "<text x=\"%d\" y=\"%d\" class=\"m\">step</text>\n</svg>\n", WIDTH / 2, HEIGHT - 8);
    return err;
}
