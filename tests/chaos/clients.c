#include "tests/chaos/clients.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEARTBEAT_MS = 300, HELLO_AGAIN_MS = 500 };

static void must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "broker test: %s\n", what);
        abort();
    }
}

static void items_add(struct items *items, uint64_t task, uint64_t attempt, bool flag)
{
    if (items->n == items->cap) {
        items->cap = items->cap ? items->cap * 2 : 256;
        items->list = realloc(items->list, items->cap * sizeof *items->list);
        if (!items->list)
            abort();
    }
    items->list[items->n++] = (struct item){task, attempt, flag};
}

static bool items_remove(struct items *items, uint64_t task, uint64_t attempt)
{
    for (size_t i = 0; i < items->n; i++)
        if (items->list[i].task == task && items->list[i].attempt == attempt) {
            items->list[i] = items->list[--items->n];
            return true;
        }
    return false;
}

static bool items_hold(const struct items *items, uint64_t task, uint64_t attempt)
{
    for (size_t i = 0; i < items->n; i++)
        if (items->list[i].task == task && items->list[i].attempt == attempt)
            return true;
    return false;
}

static bool chance(struct crowd *crowd, uint64_t of_10000)
{
    return of_10000 && nm_rng_below(&crowd->rng, 10000) < of_10000;
}

void response_text(const char *worker, uint64_t task, uint64_t attempt, char *out, size_t size)
{
    snprintf(out, size, "Task %llu, attempt %llu, was written by %s and says nothing else.", (unsigned long long)task,
             (unsigned long long)attempt, worker);
}

/* ---- sending ------------------------------------------------------------------------------------------------------
 */

/* Not connected, the message is lost: as for a real worker, the hello after the reconnection makes up for it. */
static void send_msg(struct crowd *crowd, struct client *client, const struct nm_msg *msg)
{
    nm_buf_reset(&crowd->out);
    must(nm_msg_encode(msg, &crowd->out) == NM_OK, "a message that can't be encoded");
    (void)nm_socket_send(client->socket, NULL, crowd->out.data, crowd->out.len);
}

static void send_hello(struct crowd *crowd, struct client *client, int64_t now)
{
    size_t n = 0;
    struct nm_msg_hold *holds =
        nm_arena_alloc(&crowd->arena, (client->working.n + client->stored.n + 1) * sizeof *holds);
    must(holds != NULL, "out of memory");
    for (size_t i = 0; i < client->working.n; i++)
        holds[n++] =
            (struct nm_msg_hold){.task = client->working.list[i].task, .attempt = client->working.list[i].attempt};
    for (size_t i = 0; i < client->stored.n; i++)
        holds[n++] =
            (struct nm_msg_hold){.task = client->stored.list[i].task, .attempt = client->stored.list[i].attempt};
    struct nm_msg msg = {.type = NM_MSG_hello,
                         .u.hello = {.protocol = NM_PROTOCOL_VERSION,
                                     .role = nm_str(client->aligner ? "aligner" : "generator"),
                                     .worker = nm_str(client->id),
                                     .software = nm_str("test"),
                                     .host = nm_str("here"),
                                     .pid = 1,
                                     .credit = client->credit,
                                     .endpoint = nm_str(client->aligner ? "tcp://127.0.0.1:1" : ""),
                                     .holding = holds,
                                     .n_holding = n}};
    client->welcomed = false;
    client->sent_ms = now;
    send_msg(crowd, client, &msg);
}

/* flag of a stored item: accepted by the generator's validation, or found useless by the aligner. */
static void send_response(struct crowd *crowd, struct client *client, const struct item *item)
{
    char text[128];
    response_text(client->id, item->task, item->attempt, text, sizeof text);
    struct nm_msg msg = {.type = NM_MSG_response,
                         .u.response = {.task = item->task,
                                        .attempt = item->attempt,
                                        .accepted = item->flag,
                                        .text = nm_str(text),
                                        .rule = nm_str(item->flag ? "" : "too_short"),
                                        .detail = nm_str(item->flag ? "" : "three words"),
                                        .endpoint = nm_str("local"),
                                        .model = nm_str("model"),
                                        .prompt_hash = nm_str("00112233445566778899aabbccddeeff"),
                                        .status = 200,
                                        .tokens_in = 10,
                                        .tokens_out = 20,
                                        .body = nm_str("{\"choices\":[]}")}};
    crowd->sent_responses++;
    send_msg(crowd, client, &msg);
}

static void send_aligned(struct crowd *crowd, struct client *client, const struct item *item)
{
    struct nm_msg msg = {.type = NM_MSG_aligned,
                         .u.aligned = {.task = item->task,
                                       .attempt = item->attempt,
                                       .tokens = 9,
                                       .rule = nm_str(item->flag ? "unaligned" : "")}};
    crowd->sent_aligned++;
    send_msg(crowd, client, &msg);
}

static void hand_in(struct crowd *crowd, struct client *client, const struct item *item)
{
    struct item copy = *item;
    if (client->aligner)
        send_aligned(crowd, client, &copy);
    else
        send_response(crowd, client, &copy);
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void on_task(struct client *client, uint64_t task, uint64_t attempt)
{
    if (!items_hold(&client->working, task, attempt) && !items_hold(&client->stored, task, attempt))
        items_add(&client->working, task, attempt, false);
}

static void on_align(struct crowd *crowd, struct client *client, const struct nm_msg_align *align)
{
    if (align->text.len < 20 || memcmp(align->text.ptr, "Task ", 5) != 0 ||
        strtoull(align->text.ptr + 5, NULL, 10) != align->task) {
        fprintf(stderr, "broker test: task %llu came with another's text\n", (unsigned long long)align->task);
        crowd->ok = false;
    }
    on_task(client, align->task, align->attempt);
}

static void on_ack(struct client *client, const struct nm_msg_ack *ack)
{
    for (size_t i = 0; i < ack->n_items; i++) {
        const struct nm_msg_hold *item = &ack->items[i];
        if (items_remove(&client->stored, item->task, item->attempt)) /* not again for what was sent twice */
            items_add(&client->acked, item->task, item->attempt, item->keep);
    }
}

static void dispatch(struct crowd *crowd, struct client *client, const struct nm_msg *msg, int64_t now)
{
    switch (msg->type) {
    case NM_MSG_welcome:
        client->welcomed = true;
        for (size_t i = 0; i < client->stored.n; i++)
            hand_in(crowd, client, &client->stored.list[i]);
        break;
    case NM_MSG_error:
        if (msg->u.error.code == NM_ESTATE)
            send_hello(crowd, client, now);
        else
            crowd->refused++;
        break;
    case NM_MSG_task:
        if ((msg->u.task.attempt > 1) != (msg->u.task.feedback_rule.len > 0)) {
            fprintf(stderr, "broker test: feedback is missing, or given without reason\n");
            crowd->ok = false;
        }
        on_task(client, msg->u.task.task, msg->u.task.attempt);
        break;
    case NM_MSG_align:
        on_align(crowd, client, &msg->u.align);
        break;
    case NM_MSG_ack:
        crowd->acks++;
        on_ack(client, &msg->u.ack);
        break;
    case NM_MSG_done:
        client->done = true;
        break;
    default:
        break;
    }
}

/* Work on everything in hand: each task is answered, or fails; what is answered is stored first. */
static void work(struct crowd *crowd, struct client *client)
{
    while (client->working.n) {
        struct item item = client->working.list[--client->working.n];
        if (!client->aligner && chance(crowd, crowd->fail)) {
            struct nm_msg msg = {.type = NM_MSG_failure,
                                 .u.failure = {.task = item.task,
                                               .attempt = item.attempt,
                                               .kind = nm_str("cut"),
                                               .endpoint = nm_str("local"),
                                               .detail = nm_str("the connection was cut"),
                                               .retry_after_ms = 5}};
            send_msg(crowd, client, &msg);
            continue;
        }
        item.flag = client->aligner ? chance(crowd, crowd->useless) : !chance(crowd, crowd->reject);
        items_add(&client->stored, item.task, item.attempt, item.flag);
        hand_in(crowd, client, &item);
        if (chance(crowd, crowd->twice))
            hand_in(crowd, client, &item);
    }
}

static bool step(struct crowd *crowd, struct client *client, int64_t now)
{
    bool any = false;
    if (now < client->silent_until_ms)
        return false;
    for (;;) {
        struct nm_msg msg;
        struct nm_diag diag = {""};
        if (nm_socket_recv(client->socket, NULL, &crowd->in) != NM_OK)
            break;
        any = true;
        nm_arena_reset(&crowd->arena);
        if (nm_msg_decode(crowd->in.data, crowd->in.len, &crowd->arena, &msg, &diag) != NM_OK) {
            fprintf(stderr, "broker test: the broker sent what can't be read: %s\n", diag.text);
            crowd->ok = false;
            continue;
        }
        dispatch(crowd, client, &msg, now);
    }
    nm_arena_reset(&crowd->arena);
    if (client->welcomed)
        work(crowd, client);
    if (now - client->sent_ms >= (client->welcomed ? HEARTBEAT_MS : HELLO_AGAIN_MS)) {
        struct nm_msg beat = {.type = NM_MSG_heartbeat};
        client->sent_ms = now;
        if (client->welcomed)
            send_msg(crowd, client, &beat);
        else
            send_hello(crowd, client, now);
    }
    return any;
}

bool crowd_step(struct crowd *crowd, int64_t now)
{
    bool any = false;
    for (size_t i = 0; i < crowd->n; i++)
        any |= step(crowd, &crowd->clients[i], now);
    return any;
}

void crowd_wait(struct crowd *crowd, int ms)
{
    struct nm_socket *sockets[8];
    bool ready[8];
    size_t n = crowd->n < 8 ? crowd->n : 8;
    for (size_t i = 0; i < n; i++)
        sockets[i] = crowd->clients[i].socket;
    (void)nm_net_wait(sockets, n, ms, ready);
}

/* ---- life and death -------------------------------------------------------------------------- */

static void connect_client(struct client *client, const char *endpoint)
{
    nm_socket_destroy(&client->socket);
    must(nm_socket_connect(NM_DEALER, endpoint, &client->socket, NULL) == NM_OK, "no connection");
    client->welcomed = false;
    client->sent_ms = 0;
}

void client_crash(struct client *client, const char *endpoint)
{
    client->working.n = 0;
    connect_client(client, endpoint);
}

void crowd_connect(struct crowd *crowd, const char *endpoint)
{
    for (size_t i = 0; i < crowd->n; i++)
        connect_client(&crowd->clients[i], endpoint);
}

void crowd_init(struct crowd *crowd, size_t generators, size_t aligners, uint64_t credit, uint64_t seed)
{
    memset(crowd, 0, sizeof *crowd);
    crowd->n = generators + aligners;
    crowd->ok = true;
    crowd->clients = calloc(crowd->n, sizeof *crowd->clients);
    must(crowd->clients != NULL, "out of memory");
    nm_rng_init(&crowd->rng, seed);
    nm_arena_init(&crowd->arena, 0);
    nm_buf_init(&crowd->in, NM_FRAME_MAX);
    nm_buf_init(&crowd->out, NM_FRAME_MAX);
    for (size_t i = 0; i < crowd->n; i++) {
        struct client *client = &crowd->clients[i];
        client->aligner = i >= generators;
        client->credit = credit;
        snprintf(client->id, sizeof client->id, "%s-%zu", client->aligner ? "aligner" : "generator", i);
    }
}

void crowd_clean_up(struct crowd *crowd)
{
    for (size_t i = 0; i < crowd->n; i++) {
        struct client *client = &crowd->clients[i];
        nm_socket_destroy(&client->socket);
        free(client->working.list);
        free(client->stored.list);
        free(client->acked.list);
    }
    free(crowd->clients);
    nm_arena_clean_up(&crowd->arena);
    nm_buf_clean_up(&crowd->in);
    nm_buf_clean_up(&crowd->out);
}
