/* generator.h - the generator role: tasks in, one LLM call each, validated answers out; and the preview. */
#ifndef NM_GENERATOR_GENERATOR_H
#define NM_GENERATOR_GENERATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct nm_generator_options {
    const char *broker;      /* "tcp://127.0.0.1:7711" */
    const char *state_dir;   /* the worker's id and its spool */
    const char *project_dir; /* relative api_key_file and ca_file are looked for here; NULL: the working directory */
    size_t concurrency;      /* calls in flight at most; 0: what the project's endpoints allow together */
    bool exit_when_done;     /* leave when the broker says that the goal is reached */
    int64_t give_up_ms;      /* without one good answer for so long: leave with NM_ENET; 0: never */
    int64_t drain_ms;        /* after the first signal, wait so long for calls in flight */
    int64_t join_ms;         /* wait so long for the broker at the start */
};

/* nm_generator_run - work until the broker is done, an endpoint is beyond hope, or a signal.
 * NM_OK: done; NM_ECANCELED: a signal, everything answered is in the spool or acknowledged; NM_ENET: no endpoint is
 * of use; NM_ETIMEOUT: no broker; NM_EFULL, NM_EBUSY, NM_EVERSION: the spool.  diag: one line for a person.
 * One at a time a process: it catches signals. */
enum nm_err nm_generator_run(const struct nm_generator_options *options, struct nm_diag *diag);

struct nm_preview_options {
    const char *project; /* project.yaml, or a directory that holds one */
    size_t samples;
    uint64_t seed;
    bool verbose;       /* the prompt and the rejected attempts too */
    bool colour;        /* ANSI colours for the entities */
    int64_t give_up_ms; /* as above */
};

/* nm_preview_run - make samples now with the project's endpoint, print them on stdout, store nothing.
 * NM_ENET: no endpoint is of use; the project's and the lists' own errors.  NM_EFORMAT is not used for samples that
 * were rejected: they are printed with their verdict. */
enum nm_err nm_preview_run(const struct nm_preview_options *options, struct nm_diag *diag);

/* nm_probe_run - ask every endpoint of the project whether it would serve us, without a sample: the list of models,
 * and where there is none, one call of a few tokens.  A server that is loading or busy is waited for up to
 * give_up_ms. One line an endpoint on stdout, or on stderr.  NM_ENET: one will not serve (any: none will), the first
 * in diag; the project's own errors. */
enum nm_err nm_probe_run(const char *project, bool any, int64_t give_up_ms, struct nm_diag *diag);

#endif
