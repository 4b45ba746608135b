/* curve.h - a training's loss and dev F1 over its steps, as an SVG that stands by itself. */
#ifndef NM_TRAINER_CURVE_H
#define NM_TRAINER_CURVE_H

#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

enum nm_curve_line { NM_CURVE_LOSS, NM_CURVE_F1, NM_CURVE_LINES };

struct nm_curve_point {
    double x, y;
};

struct nm_curve {
    struct nm_curve_point *points[NM_CURVE_LINES]; /* (n) */
    size_t n[NM_CURVE_LINES], cap[NM_CURVE_LINES];
};

/* nm_curve_add - a point behind the others.  Without memory it is left out: a picture lacks a point. */
void nm_curve_add(struct nm_curve *curve, enum nm_curve_line line, double x, double y);
void nm_curve_clean_up(struct nm_curve *curve);

/* nm_curve_draw - append the picture: loss by the left axis, F1 (0 to 1) by the right one.  NM_ENOMEM. */
enum nm_err nm_curve_draw(const struct nm_curve *curve, struct nm_buf *svg);

#endif
