/* aligner.h - the aligner's face: a worker that turns accepted texts into BIO samples on its own disk. */
#ifndef NM_ALIGNER_ALIGNER_H
#define NM_ALIGNER_ALIGNER_H

#include "common/err.h"

struct nm_aligner_options {
    const char *broker;    /* "tcp://127.0.0.1:7711" */
    const char *state_dir; /* the worker's id and its samples */
    const char *bind;      /* where trainers fetch shards; NULL: any free port where the broker can see us */
    const char
        *advertise;    /* where they reach it, if that is another endpoint (a proxy, a mapped port); NULL: bind's */
    const char *adopt; /* the id of an aligner that is gone: its samples are made again here; NULL: of none */
    int wait_s;        /* for a broker that does not answer yet */
};

/* nm_aligner_run - serve until SIGTERM or SIGINT (NM_ECANCELED, all committed) or until something fails:
 * NM_ETIMEOUT: no broker; NM_ESTATE: another run's directory; NM_EFULL, NM_EBUSY, NM_EVERSION, NM_EAUTH: the store
 * or the port; diag says what to do.  One thread, one aligner a process. */
enum nm_err nm_aligner_run(const struct nm_aligner_options *options, struct nm_diag *diag);

#endif
