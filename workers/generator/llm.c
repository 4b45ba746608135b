#include "workers/generator/llm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <curl/curl.h>

#include "common/buf.h"
#include "common/clock.h"
#include "workers/generator/llm_target.h"

/* One reusable place for a call: its handle and buffers stay, so a call in steady state allocates nothing here. */
struct slot {
    struct nm_llm *llm;
    CURL *easy;
    struct nm_buf request, answer;
    char error[CURL_ERROR_SIZE];
    void *call;
    const struct nm_llm_target *target;
    int64_t started_us;
    int64_t sent_ms, heard_ms; /* monotonic: the request went out; the last byte came; 0: not yet */
    struct nm_limits limits;
    size_t head_bytes;
    bool too_large;
    unsigned sent; /* times */
    struct slot *next_free;
    struct slot *prev, *next; /* among those in flight */
};

struct nm_llm {
    struct nm_llm_options options;
    CURLM *multi;
    const char *ca_file, *ca_path; /* the system's */
    int epoll;
    struct slot *slots; /* (max_in_flight) */
    size_t used;        /* slots that were ever taken */
    struct slot *free_slots, *flying;
    size_t in_flight;
    int64_t due_ms;  /* monotonic time of curl's next time-out; -1: none */
    int64_t look_ms; /* the same, of the first call that may have stalled by then */
};

enum { EVENTS = 256, KEEP_BYTES = 64 * 1024, HEAD_MAX = 256 * 1024 };

/* ---- curl's callbacks ------------------------------------------------------------------------ */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
    (void)easy;
    struct nm_llm *llm = ctx;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(llm->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    struct epoll_event event = {.data.fd = fd};
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0U) | (what & CURL_POLL_OUT ? EPOLLOUT : 0U);
    int rc = epoll_ctl(llm->epoll, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    if (rc != 0 && errno == EEXIST)
        rc = epoll_ctl(llm->epoll, EPOLL_CTL_MOD, fd, &event);
    else if (rc != 0 && errno == ENOENT)
        rc = epoll_ctl(llm->epoll, EPOLL_CTL_ADD, fd, &event);
    curl_multi_assign(llm->multi, fd, llm);
    return rc == 0 ? 0 : -1;
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    (void)multi;
    struct nm_llm *llm = ctx;
    llm->due_ms = timeout_ms < 0 ? -1 : nm_clock_mono_ms() + timeout_ms;
    return 0;
}

/* ---- time-outs that curl does not have ------------------------------------------------------- */

/* When a call has waited too long for its first byte, or for another one; -1: never. */
static int64_t deadline_of(const struct slot *slot)
{
    const struct nm_llm_target *target = slot->target;
    if (slot->heard_ms > 0)
        return target->stall_timeout_ms > 0 ? slot->heard_ms + target->stall_timeout_ms : -1;
    return slot->sent_ms > 0 && target->first_byte_timeout_ms > 0 ? slot->sent_ms + target->first_byte_timeout_ms
                                                                  : -1;
}

/* Deadlines only move away, so all calls are looked at no more often than one of them could be over. */
static void look_by(struct nm_llm *llm, int64_t deadline_ms)
{
    if (deadline_ms >= 0 && (llm->look_ms < 0 || deadline_ms < llm->look_ms))
        llm->look_ms = deadline_ms;
}

/* On a kept-alive connection that is cut before an answer, libcurl would send the same request once more in secret.
 * It may have been served, and billed; so that is stopped.  The failure is told (as cut), and the broker, which
 * counts every call, decides. */
static int on_send(void *ctx, char *to, char *from, int to_port, int from_port)
{
    (void)to;
    (void)from;
    (void)to_port;
    (void)from_port;
    struct slot *slot = ctx;
    slot->sent_ms = nm_clock_mono_ms();
    look_by(slot->llm, deadline_of(slot));
    return slot->sent++ == 0 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static void heard(struct slot *slot)
{
    bool first = slot->heard_ms == 0;
    slot->heard_ms = nm_clock_mono_ms();
    if (first)
        look_by(slot->llm, deadline_of(slot));
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
    struct slot *slot = ctx;
    heard(slot);
    slot->head_bytes += size * n;
    if (slot->head_bytes > HEAD_MAX)
        return 0;
    if (size * n > 5 && memcmp(data, "HTTP/", 5) == 0) /* of another answer: what came before was an interim one */
        nm_limits_clear(&slot->limits);
    nm_limits_read(&slot->limits, data, size * n, nm_clock_wall_ms());
    return size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct slot *slot = ctx;
    heard(slot);
    enum nm_err err = nm_buf_add(&slot->answer, data, size * n);
    slot->too_large = err == NM_ELIMIT;
    return err == NM_OK ? size * n : 0;
}

/* ---- slots ----------------------------------------------------------------------------------- */

static bool set_up(struct slot *slot)
{
    CURL *easy = slot->easy;
    CURLcode rc = CURLE_OK;
    rc |= curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
    rc |= curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send);
    rc |= curl_easy_setopt(easy, CURLOPT_PREREQDATA, slot);
    rc |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    rc |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, slot);
    rc |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    rc |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
    rc |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->error);
    rc |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    rc |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    rc |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS); /* where ALPN offers it */
    rc |= curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    rc |=
        curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* those of a proxy say nothing of the server */
    rc |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_USERAGENT, "nermill/" NM_VERSION);
    /* 1,000 calls in flight are to fit 100 MB: curl's own defaults are 16 KiB and 64 KiB a transfer */
    rc |= curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 8192L);
    rc |= curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
    return rc == CURLE_OK;
}

static struct slot *take_slot(struct nm_llm *llm)
{
    struct slot *slot = llm->free_slots;
    if (slot != NULL) {
        llm->free_slots = slot->next_free;
        return slot;
    }
    if (llm->used == llm->options.max_in_flight)
        return NULL;
    slot = &llm->slots[llm->used];
    slot->llm = llm;
    slot->easy = curl_easy_init();
    if (slot->easy == NULL)
        return NULL;
    if (!set_up(slot)) {
        curl_easy_cleanup(slot->easy);
        return NULL;
    }
    (void)curl_easy_getinfo(slot->easy, CURLINFO_CAINFO, &llm->ca_file);
    (void)curl_easy_getinfo(slot->easy, CURLINFO_CAPATH, &llm->ca_path);
    nm_buf_init(&slot->request, 64U << 20);
    nm_buf_init(&slot->answer, llm->options.max_body);
    llm->used++;
    return slot;
}

static void empty(struct nm_buf *buf)
{
    if (buf->cap > KEEP_BYTES) {
        size_t max = buf->max;
        nm_buf_clean_up(buf);
        nm_buf_init(buf, max);
    } else {
        nm_buf_reset(buf);
    }
}

static void give_slot(struct slot *slot)
{
    struct nm_llm *llm = slot->llm;
    empty(&slot->request);
    empty(&slot->answer);
    slot->next_free = llm->free_slots;
    llm->free_slots = slot;
}

static void link_flying(struct slot *slot)
{
    struct nm_llm *llm = slot->llm;
    slot->prev = NULL;
    slot->next = llm->flying;
    if (slot->next != NULL)
        slot->next->prev = slot;
    llm->flying = slot;
    llm->in_flight++;
}

static void unlink_flying(struct slot *slot)
{
    struct nm_llm *llm = slot->llm;
    if (slot->prev != NULL)
        slot->prev->next = slot->next;
    else
        llm->flying = slot->next;
    if (slot->next != NULL)
        slot->next->prev = slot->prev;
    llm->in_flight--;
}

/* ---- a call ---------------------------------------------------------------------------------- */

enum nm_err nm_llm_start(struct nm_llm *llm, const struct nm_llm_target *target, const char *body, size_t len,
                         void *call)
{
    if (llm->in_flight == llm->options.max_in_flight)
        return NM_EBUSY;
    struct slot *slot = take_slot(llm);
    if (slot == NULL)
        return NM_ENOMEM;
    enum nm_err err = nm_buf_add(&slot->request, body != NULL ? body : "", len);
    CURLcode rc = CURLE_OK;
    rc |= curl_easy_setopt(slot->easy, CURLOPT_URL, body != NULL ? target->url : target->models);
    rc |= curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, target->headers);
    rc |= curl_easy_setopt(slot->easy, CURLOPT_PROXY, target->proxy);
    rc |= curl_easy_setopt(slot->easy, CURLOPT_NOPROXY, target->proxy != NULL ? "" : NULL);
    rc |= curl_easy_setopt(slot->easy, CURLOPT_CAINFO, target->ca_file != NULL ? target->ca_file : llm->ca_file);
    rc |= curl_easy_setopt(slot->easy, CURLOPT_CAPATH, target->ca_file != NULL ? NULL : llm->ca_path);
    rc |= curl_easy_setopt(slot->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)target->connect_timeout_ms);
    rc |= curl_easy_setopt(slot->easy, CURLOPT_TIMEOUT_MS, (long)target->timeout_ms);
    if (body != NULL) {
        rc |= curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
        rc |=
            curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, nm_buf_str(&slot->request)); /* which makes it a POST */
    } else {
        rc |= curl_easy_setopt(slot->easy, CURLOPT_HTTPGET, 1L);
    }
    slot->error[0] = '\0';
    slot->target = target;
    slot->too_large = false;
    slot->sent = 0;
    slot->sent_ms = slot->heard_ms = 0;
    slot->head_bytes = 0;
    nm_limits_clear(&slot->limits);
    slot->call = call;
    slot->started_us = nm_clock_mono_us();
    if (err != NM_OK || rc != CURLE_OK || curl_multi_add_handle(llm->multi, slot->easy) != CURLM_OK) {
        give_slot(slot);
        return err != NM_OK ? err : NM_ENOMEM;
    }
    link_flying(slot);
    return NM_OK;
}

static enum nm_llm_fault fault_of(const struct slot *slot, CURLcode rc)
{
    switch (rc) {
    case CURLE_OK:
        return NM_LLM_ANSWERED;
    case CURLE_WRITE_ERROR:
        return slot->too_large ? NM_LLM_TOO_LARGE : NM_LLM_CUT;
    case CURLE_BAD_CONTENT_ENCODING:
        return NM_LLM_UNPACKABLE;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return NM_LLM_UNTRUSTED;
    default: /* before the request went out, nothing was asked, and nothing can be billed */
        return slot->sent == 0 ? NM_LLM_CONNECT : rc == CURLE_OPERATION_TIMEDOUT ? NM_LLM_TIMEOUT : NM_LLM_CUT;
    }
}

/* The slot is free again before the callback runs only after it returns: the outcome points into it. */
static void finish(struct slot *slot, enum nm_llm_fault fault, const char *text)
{
    struct nm_llm *llm = slot->llm;
    nm_llm_target_mask(slot->target, slot->answer.data, slot->answer.len);
    struct nm_llm_outcome outcome = {.fault = fault,
                                     .text = text,
                                     .body = nm_buf_str(&slot->answer),
                                     .body_len = slot->answer.len,
                                     .latency_us = nm_clock_mono_us() - slot->started_us,
                                     .limits = slot->limits};
    (void)curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &outcome.status);
    curl_multi_remove_handle(llm->multi, slot->easy);
    unlink_flying(slot);
    llm->options.done(llm->options.ctx, slot->call, &outcome);
    give_slot(slot);
}

static void reap(struct nm_llm *llm)
{
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(llm->multi, &left)) != NULL) {
        struct slot *slot = NULL;
        CURLcode rc = msg->data.result;
        if (msg->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &slot);
        const char *text = slot->error[0] != '\0' ? slot->error : curl_easy_strerror(rc);
        if (slot->sent > 1) /* curl's words are of our own stopping it */
            text = "the kept-alive connection was closed before an answer";
        nm_llm_target_mask(slot->target, slot->error, strlen(slot->error));
        finish(slot, fault_of(slot, rc), rc == CURLE_OK ? "" : text);
    }
}

/* Every call whose deadline is over ends; when to look again is known from the others. */
static void look(struct nm_llm *llm, int64_t now)
{
    char text[96];
    struct slot *next;
    llm->look_ms = -1;
    for (struct slot *slot = llm->flying; slot != NULL; slot = next) {
        next = slot->next;
        int64_t deadline = deadline_of(slot);
        if (deadline < 0 || now < deadline) {
            look_by(llm, deadline);
            continue;
        }
        (void)snprintf(text, sizeof text,
                       slot->heard_ms > 0 ? "no further byte for %.1f s" : "no first byte in %.1f s",
                       (double)(now - (slot->heard_ms > 0 ? slot->heard_ms : slot->sent_ms)) / 1000);
        finish(slot, NM_LLM_TIMEOUT, text);
    }
}

enum nm_err nm_llm_step(struct nm_llm *llm)
{
    struct epoll_event events[EVENTS];
    int running;
    if (llm->due_ms >= 0 && nm_clock_mono_ms() >= llm->due_ms) {
        llm->due_ms = -1;
        curl_multi_socket_action(llm->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    int n = epoll_wait(llm->epoll, events, EVENTS, 0);
    for (int i = 0; i < n; i++) {
        int what = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                   (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(llm->multi, events[i].data.fd, what, &running);
    }
    reap(llm);
    if (llm->look_ms >= 0 && nm_clock_mono_ms() >= llm->look_ms)
        look(llm, nm_clock_mono_ms());
    return n < 0 && errno != EINTR ? nm_err_from_errno(errno) : NM_OK;
}

int nm_llm_wait_ms(const struct nm_llm *llm)
{
    int64_t due = llm->due_ms < 0 || (llm->look_ms >= 0 && llm->look_ms < llm->due_ms) ? llm->look_ms : llm->due_ms;
    if (due < 0)
        return -1;
    int64_t left = due - nm_clock_mono_ms();
    return left <= 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

void nm_llm_cancel(struct nm_llm *llm)
{
    for (size_t n = llm->in_flight; n > 0 && llm->flying != NULL; n--)
        finish(llm->flying, NM_LLM_CANCELED, "canceled");
}

int nm_llm_fd(const struct nm_llm *llm)
{
    return llm->epoll;
}

size_t nm_llm_in_flight(const struct nm_llm *llm)
{
    return llm->in_flight;
}

/* ---- life ------------------------------------------------------------------------------------ */

enum nm_err nm_llm_new(const struct nm_llm_options *options, struct nm_llm **llm, struct nm_diag *diag)
{
    *llm = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return nm_fail(diag, NM_EIO, "libcurl does not start");
    struct nm_llm *made = calloc(1, sizeof *made);
    if (made == NULL) {
        curl_global_cleanup();
        return nm_fail(diag, NM_ENOMEM, "out of memory for the HTTP engine");
    }
    made->options = *options;
    made->due_ms = made->look_ms = -1;
    made->epoll = epoll_create1(EPOLL_CLOEXEC);
    made->slots = calloc(options->max_in_flight, sizeof *made->slots);
    made->multi = curl_multi_init();
    if (made->epoll < 0 || made->slots == NULL || made->multi == NULL) {
        nm_llm_destroy(&made);
        return nm_fail(diag, NM_ENOMEM, "no memory or no file descriptor left for %zu calls in flight",
                       options->max_in_flight);
    }
    curl_multi_setopt(made->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(made->multi, CURLMOPT_SOCKETDATA, made);
    curl_multi_setopt(made->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(made->multi, CURLMOPT_TIMERDATA, made);
    curl_multi_setopt(made->multi, CURLMOPT_MAXCONNECTS, (long)options->max_in_flight);
    curl_multi_setopt(made->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)options->max_in_flight);
    *llm = made;
    return NM_OK;
}

void nm_llm_destroy(struct nm_llm **llm)
{
    struct nm_llm *old = *llm;
    if (old == NULL)
        return;
    for (size_t i = 0; old->slots != NULL && i < old->used; i++) {
        struct slot *slot = &old->slots[i];
        curl_multi_remove_handle(old->multi, slot->easy);
        curl_easy_cleanup(slot->easy);
        nm_buf_clean_up(&slot->request);
        nm_buf_clean_up(&slot->answer);
    }
    if (old->multi != NULL)
        curl_multi_cleanup(old->multi);
    if (old->epoll >= 0)
        close(old->epoll);
    free(old->slots);
    free(old);
    curl_global_cleanup();
    *llm = NULL;
}
