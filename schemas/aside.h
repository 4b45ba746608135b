/* aside.h - samples that are set aside: made by an earlier generation of the run that no longer counts.
 *
 * The broker's blob "aside", and its file aside.txt: UTF-8 text, a line "FIRST LAST" for each range of tasks,
 * ascending, both ends included; empty where everything counts.  Whoever reads samples leaves those out.
 */
#ifndef NM_SCHEMAS_ASIDE_H
#define NM_SCHEMAS_ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct nm_aside {
    struct nm_aside_range {
        uint64_t first, last;
    } * ranges; /* ascending */
    size_t n;
};

/* nm_aside_parse - name stands for the text in messages.  NM_EFORMAT: a line that is no range, or out of order. */
enum nm_err nm_aside_parse(const char *text, size_t len, const char *name, struct nm_aside *aside,
                           struct nm_diag *diag);
void nm_aside_clean_up(struct nm_aside *aside);

/* nm_aside_has - O(log ranges). */
bool nm_aside_has(const struct nm_aside *aside, uint64_t task);

#endif
