/* batch.h - offline batches: a generator's work with the call left out.
 *
 *     PLANNED --export--> OUT (leased for good, kept in DIR/asked, a line of a file) --import--> answered, as any
 * other
 *                          \--cancel--> PLANNED
 *
 * The tasks of an export belong to the worker whose id and stores are in the state directory, for as long as it
 * takes. An answer goes through the same hands as one that came over HTTP: spool, verdict, broker, acknowledgement.
 * Every step can be repeated after any kill: a result is taken once, whatever file it comes in and how often.
 */
#ifndef NM_GENERATOR_BATCH_H
#define NM_GENERATOR_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct nm_batch_options {
    const char *broker, *state_dir;
    const char *endpoint; /* whose model and limits the requests have; NULL: the project's first */
    const char *file;     /* requests, to be made; or results */
    size_t n;             /* requests at most */
    int64_t join_ms;
};

/* nm_batch_export - lease tasks, and write the requests of all that are in no file yet.  NM_EEXIST: the file is
 * there; NM_ENOENT: there is nothing to ask for now.  nm_batch_import - hand in the results of a file.  NM_EFORMAT:
 * it is none; NM_ETIMEOUT: the broker did not take all: the next import hands in the rest.  nm_batch_cancel - give
 * back what is out: those requests were never sent.  Each says in words on stdout what it did.  Otherwise as
 * nm_generator_run; one at a time a process. */
enum nm_err nm_batch_export(const struct nm_batch_options *options, struct nm_diag *diag);
enum nm_err nm_batch_import(const struct nm_batch_options *options, struct nm_diag *diag);
enum nm_err nm_batch_cancel(const struct nm_batch_options *options, struct nm_diag *diag);

#endif
