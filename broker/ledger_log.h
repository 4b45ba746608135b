/* ledger_log.h - the response log of the run's present generation, beside a live broker too. */
#ifndef NM_BROKER_LEDGER_LOG_H
#define NM_BROKER_LEDGER_LOG_H

#include "broker/ledger.h"

/* What is known before the first answer.  Tasks are numbered without their generation. */
struct nm_ledger_log {
    char run[64];
    uint64_t generation;
    uint64_t tasks, extra; /* opened of the plan; and extra ones */
    uint64_t samples;      /* accepted and not given up: aligned, or on their way */
    uint64_t older;        /* samples of earlier generations that still count */
    uint64_t *unfinished;  /* (n_unfinished) ascending: neither accepted nor out of attempts, or buried by hand */
    size_t n_unfinished;
};

/* response NULL: the first call, before any answer. */
typedef enum nm_err (*nm_ledger_log_fn)(void *ctx, const struct nm_ledger_log *log,
                                        const struct nm_msg_response *response, struct nm_diag *diag);

/* nm_ledger_read_log - hand every answer of the present generation to fn, by task and attempt, as of one moment;
 * task is without its generation.  The ledger is at path; nothing is changed.  NM_ENOENT: there is none; what fn
 * returned; NM_EFORMAT: damaged. */
enum nm_err nm_ledger_read_log(const char *path, nm_ledger_log_fn fn, void *ctx, struct nm_diag *diag);

#endif
