/* page.h - a report's JSON as one HTML page that needs nothing else: no script, no file, no host. */
#ifndef NM_CLI_PAGE_H
#define NM_CLI_PAGE_H

#include "common/buf.h"
#include "common/err.h"

struct json_t;

/* nm_page_report - append the page for a document of schemas/report.schema.json; every figure on it is one of the
 * document's.  The markup is well-formed XML as well.  NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_page_report(const struct json_t *report, struct nm_buf *out);

#endif
