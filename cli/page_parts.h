/* page_parts.h - what page.c puts together: text, tables, charts, samples. */
#ifndef NM_CLI_PAGE_PARTS_H
#define NM_CLI_PAGE_PARTS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/buf.h"

/* Appending that stops at the first error. */
struct nm_page {
    struct nm_buf *out;
    enum nm_err err;
    unsigned charts;     /* drawn so far: their ids */
    const json_t *types; /* names, for colours */
};

/* Raw markup; formatted markup; text, escaped. */
void nm_page_add(struct nm_page *page, const char *markup);
void nm_page_addf(struct nm_page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
void nm_page_text(struct nm_page *page, const char *text, size_t len);
void nm_page_string(struct nm_page *page, const json_t *string);

/* nm_page_figure - a number of the document as people read it: 12,345; 0.123; 12.3 % where it is a share.  "not
 * measured" for null. */
void nm_page_figure(struct nm_page *page, const json_t *value, bool share);

/* nm_page_type_color - 0 to 7: the place of a type among the document's; 8: none. */
unsigned nm_page_type_color(const struct nm_page *page, const char *type);

/* One series of a chart: bins of the document, and what they are called. */
struct nm_page_series {
    const char *name;
    const json_t *bins;
};

/* nm_page_histogram - bars for the bins' shares, two series side by side, and the figures as a table below. */
void nm_page_histogram(struct nm_page *page, const char *title, const char *unit, const struct nm_page_series *series,
                       size_t n);

/* nm_page_bars - a horizontal bar for each name with its count; colored: in the types' colours. */
struct nm_page_bar {
    const char *name;
    json_int_t count;
};
void nm_page_bars(struct nm_page *page, const char *title, const struct nm_page_bar *bars, size_t n, bool colored);

/* nm_page_samples - the samples with their spans in colour. */
void nm_page_samples(struct nm_page *page, const json_t *samples);

#endif
