/* llm.h - many HTTP POSTs in flight from one thread (owns libcurl).
 *
 * curl's socket interface on an epoll of its own: a step costs what is ready, not what is in flight.  The caller
 * waits on nm_llm_fd (readable when there is work; it can stand in any poll set) for at most nm_llm_wait_ms and
 * calls nm_llm_step.  Easy handles, their buffers and the connections are kept and used again.
 * One thread an engine.
 */
#ifndef NM_GENERATOR_LLM_H
#define NM_GENERATOR_LLM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/generator/limits.h"

struct nm_llm;
struct nm_llm_target;

enum nm_llm_fault {
    NM_LLM_ANSWERED = 0, /* a whole HTTP answer came, whatever its status */
    NM_LLM_CONNECT,      /* refused, unresolvable, unreachable, not in time: the request never went out */
    NM_LLM_UNTRUSTED,    /* its certificate is none that we trust */
    NM_LLM_TIMEOUT,      /* once it was sent: to the first byte, without another byte, or in total */
    NM_LLM_CUT,          /* the connection broke in mid-answer, or what came is no HTTP */
    NM_LLM_TOO_LARGE,    /* the answer is over the cap, as it is or unpacked */
    NM_LLM_UNPACKABLE,   /* the answer's Content-Encoding is damaged, or one that we don't know */
    NM_LLM_CANCELED      /* nm_llm_cancel */
};

/* How one call ended.  Everything borrowed until the callback returns. */
struct nm_llm_outcome {
    enum nm_llm_fault fault;
    long status;      /* HTTP, 0 where none came */
    const char *text; /* curl's words for a fault, "" else */
    const char *body; /* NUL-terminated behind body_len; what came before a fault too */
    size_t body_len;
    int64_t latency_us;
    struct nm_limits limits; /* what the headers say */
};

typedef void (*nm_llm_done_fn)(void *ctx, void *call, const struct nm_llm_outcome *outcome);

struct nm_llm_options {
    size_t max_in_flight;
    size_t max_body;     /* bytes of one answer */
    nm_llm_done_fn done; /* may start new calls */
    void *ctx;
};

/* nm_llm_new - NM_ENOMEM, NM_EIO. */
enum nm_err nm_llm_new(const struct nm_llm_options *options, struct nm_llm **llm, struct nm_diag *diag);

/* nm_llm_destroy - whatever is in flight is dropped without its callback. */
void nm_llm_destroy(struct nm_llm **llm);

/* Everything as it is to be used, copied.  NULL or 0: none, where nothing else is said. */
struct nm_llm_target_options {
    const char *name;           /* for messages */
    const char *url;            /* base, up to and without /chat/completions (with it is fine too) */
    const char *key;            /* the API key */
    const char *key_header;     /* "Authorization" sends "Bearer KEY"; NULL: as the url wants it */
    const char *const *headers; /* (n_headers) further ones, whole lines */
    size_t n_headers;
    const char *const *secrets; /* (n_secrets) beside the key: masked in whatever comes back */
    size_t n_secrets;
    const char *proxy;   /* a url, or "none"; NULL: as the environment says, and none for loopback */
    const char *ca_file; /* NULL: the system's authorities */
    int64_t connect_timeout_ms, first_byte_timeout_ms, stall_timeout_ms, timeout_ms;
};

/* nm_llm_target_new - NM_EINVAL: not an http(s) URL, or a key with white space; diag names the endpoint.  NM_ENOMEM.
 */
enum nm_err nm_llm_target_new(const struct nm_llm_target_options *options, struct nm_llm_target **target,
                              struct nm_diag *diag);
void nm_llm_target_destroy(struct nm_llm_target **target);

/* nm_llm_target_shown - "name (http://host:port/v1)": without user, password and query; the target's. */
const char *nm_llm_target_shown(const struct nm_llm_target *target);

/* nm_llm_target_mask - put '*' over every secret of the target in what a server said.  Answers, and curl's words, are
 * masked before the callback; what is decoded out of them is to be masked again. */
void nm_llm_target_mask(const struct nm_llm_target *target, char *text, size_t len);

/* nm_llm_start - POST body[0..len) (copied) to the chat; with body NULL, GET the list of models, which costs nothing.
 *  The callback comes from a later step, with this call pointer.
 * NM_EBUSY: max_in_flight are in flight.  NM_ENOMEM.  The target must outlive the call. */
enum nm_err nm_llm_start(struct nm_llm *llm, const struct nm_llm_target *target, const char *body, size_t len,
                         void *call);

int nm_llm_fd(const struct nm_llm *llm);
int nm_llm_wait_ms(const struct nm_llm *llm); /* -1: nothing is due before the fd fires */
enum nm_err nm_llm_step(struct nm_llm *llm);
size_t nm_llm_in_flight(const struct nm_llm *llm);

/* nm_llm_cancel - end every call in flight now, each with its callback (NM_LLM_CANCELED). */
void nm_llm_cancel(struct nm_llm *llm);

#endif
