#include "tests/bench/broker_clients.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/hash.h"
#include "common/net.h"
#include "schemas/fingerprint.h"
#include "schemas/messages.h"

enum { BODY_BYTES = 512, TEXT_BYTES = 128, BEAT_EVERY_US = 1000000, PACED_WAIT_MS = 1, IDLE_WAIT_MS = 50 };

struct client {
    const struct load *load;
    struct nm_socket *generator, *aligner;
    struct nm_arena arena;
    struct nm_buf in, out, print;
    struct nm_rng rng;        /* of the texts */
    struct nm_msg_hold *held; /* (credit) a ring: tasks received and not answered */
    int64_t *sent_us;         /* (credit) a ring: when the answers were sent whose leases have not been replaced */
    uint64_t received, answered;
    int64_t began_us, beat_us;
    bool welcomed;
    char id[2][32], body[BODY_BYTES + 1];
};

/* ---- times ------------------------------------------------------------------------------------------------------
 */

static void times_add(struct times *times, int64_t us)
{
    uint64_t value = us > 0 ? (uint64_t)us : 0;
    unsigned int bucket = (unsigned int)value;
    if (value >= 16) {
        unsigned int high = 63 - (unsigned int)__builtin_clzll(value);
        bucket = (high - 3) * 16 + (unsigned int)((value >> (high - 4)) & 15);
    }
    atomic_fetch_add_explicit(&times->counts[bucket < TIMES_BUCKETS ? bucket : TIMES_BUCKETS - 1], 1,
                              memory_order_relaxed);
}

static double bucket_end(unsigned int bucket)
{
    if (bucket < 16)
        return bucket + 1;
    return (double)((16ULL + bucket % 16 + 1) << (bucket / 16 - 1));
}

uint64_t times_count(struct times *times)
{
    uint64_t n = 0;
    for (unsigned int i = 0; i < TIMES_BUCKETS; i++)
        n += atomic_load(&times->counts[i]);
    return n;
}

double times_quantile(struct times *times, double q)
{
    uint64_t n = times_count(times), seen = 0;
    for (unsigned int i = 0; i < TIMES_BUCKETS && n > 0; i++) {
        seen += atomic_load(&times->counts[i]);
        if ((double)seen >= q * (double)n)
            return bucket_end(i);
    }
    return 0;
}

/* ---- sending ----------------------------------------------------------------------------------------------------
 */

static void send_msg(struct client *c, struct nm_socket *socket, const struct nm_msg *msg)
{
    bool ready;
    nm_buf_reset(&c->out);
    if (nm_msg_encode(msg, &c->out) != NM_OK)
        abort();
    while (nm_socket_send(socket, NULL, c->out.data, c->out.len) == NM_EBUSY)
        (void)nm_net_wait(&socket, 1, 1, &ready);
}

static void send_hello(struct client *c, bool aligner)
{
    struct nm_msg msg = {.type = NM_MSG_hello,
                         .u.hello = {.protocol = NM_PROTOCOL_VERSION,
                                     .role = nm_str(aligner ? "aligner" : "generator"),
                                     .worker = nm_str(c->id[aligner]),
                                     .software = nm_str("bench"),
                                     .host = nm_str("here"),
                                     .credit = c->load->credit,
                                     .endpoint = nm_str(aligner ? "tcp://127.0.0.1:1" : "")}};
    send_msg(c, aligner ? c->aligner : c->generator, &msg);
}

/* A sentence of its own, the time at its head: fifteen words of a vocabulary of a thousand. */
static void write_text(struct client *c, int64_t now, char *text)
{
    int n = snprintf(text, TEXT_BYTES, "%lld:", (long long)now);
    for (int i = 0; i < 15; i++) {
        uint64_t word = nm_rng_below(&c->rng, 1000);
        text[n++] = ' ';
        for (int k = 0; k < 4; k++, word /= 6)
            text[n++] = "aeinrst"[(word + (uint64_t)k) % 7];
    }
    text[n] = '\0';
}

static void answer(struct client *c)
{
    uint64_t place = c->answered++ % c->load->credit;
    const struct nm_msg_hold *task = &c->held[place];
    int64_t now = nm_clock_mono_us();
    char text[TEXT_BYTES];
    write_text(c, now, text);
    struct nm_fingerprint print;
    const struct nm_fingerprint_text of = {.text = nm_str(text)};
    nm_buf_reset(&c->print);
    nm_arena_reset(&c->arena);
    if (nm_fingerprint_make(&of, &c->arena, &print) != NM_OK || nm_fingerprint_encode(&print, &c->print) != NM_OK)
        abort();
    struct nm_msg msg = {.type = NM_MSG_response,
                         .u.response = {.task = task->task,
                                        .attempt = task->attempt,
                                        .accepted = true,
                                        .text = nm_str(text),
                                        .endpoint = nm_str("local"),
                                        .model = nm_str("model"),
                                        .prompt_hash = nm_str("00112233445566778899aabbccddeeff"),
                                        .constraint = nm_str("none"),
                                        .status = 200,
                                        .tokens_in = 100,
                                        .tokens_out = 20,
                                        .latency_ms = 1,
                                        .prompt_bound = 120,
                                        .body = {c->body, BODY_BYTES},
                                        .fingerprint = {c->print.data, c->print.len}}};
    c->sent_us[place] = now;
    send_msg(c, c->generator, &msg);
}

/* ---- receiving --------------------------------------------------------------------------------------------------
 */

static void on_task(struct client *c, const struct nm_msg_task *task)
{
    uint64_t place = c->received % c->load->credit;
    if (c->received++ >= c->load->credit && atomic_load_explicit(&c->load->measures->recording, memory_order_relaxed))
        times_add(&c->load->measures->lease, nm_clock_mono_us() - c->sent_us[place]);
    c->held[place] = (struct nm_msg_hold){.task = task->task, .attempt = task->attempt};
}

static void on_align(struct client *c, const struct nm_msg_align *align)
{
    struct nm_msg msg = {.type = NM_MSG_aligned,
                         .u.aligned = {.task = align->task, .attempt = align->attempt, .tokens = 16, .mentions = 2}};
    if (atomic_load_explicit(&c->load->measures->recording, memory_order_relaxed))
        times_add(&c->load->measures->align, nm_clock_mono_us() - strtoll(align->text.ptr, NULL, 10));
    send_msg(c, c->aligner, &msg);
}

static void drain(struct client *c, struct nm_socket *socket)
{
    struct nm_msg msg;
    while (nm_socket_recv(socket, NULL, &c->in) == NM_OK) {
        struct nm_diag diag = {""};
        nm_arena_reset(&c->arena);
        if (nm_msg_decode(c->in.data, c->in.len, &c->arena, &msg, &diag) != NM_OK) {
            fprintf(stderr, "bench: the broker sent what can't be read: %s\n", diag.text);
            exit(1);
        }
        if (msg.type == NM_MSG_welcome)
            c->welcomed |= socket == c->generator;
        else if (msg.type == NM_MSG_task)
            on_task(c, &msg.u.task);
        else if (msg.type == NM_MSG_align)
            on_align(c, &msg.u.align);
        else if (msg.type == NM_MSG_error) {
            fprintf(stderr, "bench: the broker says: %s\n", msg.u.error.text.ptr);
            exit(1);
        }
    }
}

/* Answers what is held, at most as many as the pace allows. */
static void answer_all(struct client *c, int64_t now)
{
    uint64_t limit = UINT64_MAX;
    if (c->load->rate > 0)
        limit = (uint64_t)((double)(now - c->began_us) * 1e-6 * c->load->rate);
    while (c->answered < c->received && c->answered < limit)
        answer(c);
}

static void beat(struct client *c, int64_t now)
{
    struct nm_msg msg = {.type = NM_MSG_heartbeat};
    struct timespec cpu;
    if (now - c->beat_us < BEAT_EVERY_US)
        return;
    send_msg(c, c->generator, &msg);
    send_msg(c, c->aligner, &msg);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    static int64_t before;
    int64_t used = (int64_t)cpu.tv_sec * 1000000 + cpu.tv_nsec / 1000;
    atomic_fetch_add(&c->load->measures->cpu_us, (uint64_t)(used - before));
    before = used;
    c->beat_us = now;
}

static void wait_for_both(struct client *c, int ms)
{
    struct nm_socket *both[] = {c->generator, c->aligner};
    bool ready[2];
    (void)nm_net_wait(both, 2, ms, ready);
}

_Noreturn void broker_clients_run(const struct load *load)
{
    struct client *c = calloc(1, sizeof *c);
    nm_net_init();
    c->load = load;
    c->held = calloc((size_t)load->credit, sizeof *c->held);
    c->sent_us = calloc((size_t)load->credit, sizeof *c->sent_us);
    nm_arena_init(&c->arena, 0);
    nm_buf_init(&c->in, NM_FRAME_MAX);
    nm_buf_init(&c->out, NM_FRAME_MAX);
    nm_buf_init(&c->print, NM_FINGERPRINT_MAX);
    nm_rng_init(&c->rng, (uint64_t)load->number + 1);
    memset(c->body, 'x', BODY_BYTES);
    snprintf(c->id[0], sizeof c->id[0], "generator-%d", load->number);
    snprintf(c->id[1], sizeof c->id[1], "aligner-%d", load->number);
    if (!c->held || !c->sent_us || nm_socket_connect(NM_DEALER, load->endpoint, &c->generator, NULL) != NM_OK ||
        nm_socket_connect(NM_DEALER, load->endpoint, &c->aligner, NULL) != NM_OK)
        abort();
    send_hello(c, false);
    send_hello(c, true);
    while (!c->welcomed) {
        wait_for_both(c, IDLE_WAIT_MS);
        drain(c, c->generator);
    }
    c->began_us = nm_clock_mono_us();
    for (;;) {
        drain(c, c->aligner);
        drain(c, c->generator);
        int64_t now = nm_clock_mono_us();
        answer_all(c, now);
        beat(c, now);
        wait_for_both(c, load->rate > 0 ? PACED_WAIT_MS : IDLE_WAIT_MS);
    }
}
