/* serve.h - a tagger behind HTTP: requests that wait together are tagged together.
 *
 *   POST /v1/tag    {"text": "..."}      -> {"text": "...", "entities": [...]}
 *                   {"texts": ["..."]}   -> {"results": [{"text": "...", "entities": [...]}]}
 *   GET  /health    {"status": "ok", ...}
 *   GET  /metrics   counters as Prometheus reads them
 *
 * Entities are those of predict's JSON.  Errors are {"error": "..."} with 400, 404, 405, 413 or 503.  One thread
 * holds the model and takes all that waits, up to a batch, as soon as it has done the one before: alone a request is
 * tagged at once, under load forward passes are full.
 */
#ifndef NM_TRAINER_SERVE_H
#define NM_TRAINER_SERVE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/tagger.h"

struct nm_serve {
    struct nm_tagger *tagger;
    const char *bind;             /* an IPv4 or IPv6 address */
    uint16_t port;                /* 0: any free one */
    const char *model;            /* its name, for /health */
    volatile sig_atomic_t *stop;  /* set by a signal: what waits is answered, and it ends */
    void (*ready)(uint16_t port); /* called once it listens; may be NULL */
};

/* nm_serve_run - until *stop.  NM_EEXIST: the port is taken; NM_EINVAL: no address; NM_ENOMEM. */
enum nm_err nm_serve_run(const struct nm_serve *serve, struct nm_diag *diag);

#endif
