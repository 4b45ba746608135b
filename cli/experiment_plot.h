/* experiment_plot.h - figures as SVG files that need nothing else: lines with error bands, and bars. */
#ifndef NM_CLI_EXPERIMENT_PLOT_H
#define NM_CLI_EXPERIMENT_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

enum { NM_PLOT_POINTS = 64, NM_PLOT_SERIES = 12 };

struct nm_plot_series {
    char name[64];
    size_t n;
    double x[NM_PLOT_POINTS], y[NM_PLOT_POINTS], deviation[NM_PLOT_POINTS]; /* by rising x */
    bool level; /* one value (y[0]) that x has no part in: a dashed line */
};

struct nm_plot {
    char title[160];
    const char *x_label, *y_label;
    bool log_x;
    size_t n;
    struct nm_plot_series series[NM_PLOT_SERIES];
};

/* nm_plot_add - a point; more than there is room for are left out. */
void nm_plot_add(struct nm_plot_series *series, double x, double y, double deviation);

/* nm_plot_lines - append the picture.  nm_plot_bars - of the first series, a bar for each point, named by names (n).
 * NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_plot_lines(const struct nm_plot *plot, struct nm_buf *svg);
enum nm_err nm_plot_bars(const struct nm_plot *plot, const char (*names)[64], struct nm_buf *svg);

#endif
