/* broker.h - the process in the middle: leases tasks to workers, keeps their answers, tells who has the samples.
 *
 * One thread, one loop.  A turn takes in the messages that have come, applies them to the queue, decides on new
 * leases, commits all of it to the ledger at once, and only then sends acknowledgements and leases.
 */
#ifndef NM_BROKER_BROKER_H
#define NM_BROKER_BROKER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct nm_broker_options {
    const char *project;                /* a project.yaml, or the directory that holds one */
    const char *state;                  /* a directory; DIR/ledger and DIR/endpoints.json are made in it */
    const char *bind, *stats, *publish; /* endpoints; NULL: as the project says */
    const char *new_generation; /* "keep" or "fresh": what becomes of the samples where settings changed; NULL */
    uint64_t samples;           /* the goal; 0: as the project says */
    bool log_level_given;       /* the project's does not count */
    uint32_t drain_s;           /* when stopped: wait so long for what workers are at */
};

struct nm_broker;

/* nm_broker_new - load the project, restore the ledger, listen; DIR/endpoints.json then tells where.
 * NM_EBUSY: port or ledger in use; NM_EVERSION: the ledger is of a newer nermill; NM_EINVAL: the project changed in
 * a way that would mix two plans; NM_EFORMAT, NM_ENOENT ...: as the project, the lists and the store say. */
enum nm_err nm_broker_new(const struct nm_broker_options *options, struct nm_broker **broker, struct nm_diag *diag);
void nm_broker_destroy(struct nm_broker **broker);

/* Set by signals: stop counts them (the first drains, the second ends at once), reload is taken back to 0. */
struct nm_broker_signals {
    volatile sig_atomic_t stop, reload;
};

/* nm_broker_run - serve until a signal or a client stops it; what was taken in is committed then, and the workers are
 * told.
 * Errors are those of the ledger: nothing that was acknowledged is lost, and nothing more is taken in. */
enum nm_err nm_broker_run(struct nm_broker *broker, struct nm_broker_signals *signals, struct nm_diag *diag);

#endif
