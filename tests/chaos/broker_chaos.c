/* broker_chaos - a broker is killed at random moments, or has a failing disk, under load from unruly workers, and is
 * counted.
 *
 *     broker_chaos [--kills N] [--seconds N] [--seed N] [--disk LIBRARY] [--fails N] PROGRAM
 *
 * SIGKILL comes at random moments, most of them just after an acknowledgement: N times, or for 15 seconds.  With
 * --disk, failing_disk refuses, shortens, tears and loses writes meanwhile, or cuts the power.  After each death the
 * ledger is opened and held against what was acknowledged to the workers: every answer is there, word for word; every
 * sample that an aligner was told to keep is its own, nobody else's; the queue's invariants hold, and so says
 * `nermill-broker check`.  At the end the
 * goal is set to what is needed and a little more, reached, and counted exactly.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/ledger.h"
#include "broker/map.h"
#include "common/clock.h"
#include "common/log.h"
#include "tests/chaos/clients.h"
#include "tests/chaos/server.h"

enum { GENERATORS = 4, ALIGNERS = 2, CREDIT = 64, ENDLESS = 100000000, MORE = 300, END_LIMIT_MS = 60000 };
enum { SAMPLED = 500, STARTS_MAX = 100 };

struct chaos {
    struct server server;
    struct crowd crowd;
    struct nm_socket *rude; /* sends garbage */
    struct nm_map owners;   /* task -> client that keeps it */
    struct nm_ledger_counters last;
    unsigned int kills, crashes;
    unsigned int ended; /* by itself: its disk failed */
    bool ok;
};

#define CHECK(c, condition, ...)                                                                                     \
    do {                                                                                                             \
        if (!(condition)) {                                                                                          \
            fprintf(stderr, "broker test: " __VA_ARGS__);                                                            \
            fputc('\n', stderr);                                                                                     \
            (c)->ok = false;                                                                                         \
        }                                                                                                            \
    } while (0)

/* ---- counting -------------------------------------------------------------------------------- */

/* all: everything that was ever acknowledged, else what is new and some of the old. */
static void check_generator(struct chaos *c, struct nm_ledger *ledger, struct client *client, bool all)
{
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    size_t sampled = all || client->checked == 0 ? 0 : SAMPLED, fresh = all ? 0 : client->checked;
    for (size_t n = 0; n < sampled + client->acked.n - fresh; n++) {
        size_t i = n < sampled ? (size_t)nm_rng_below(&c->crowd.rng, client->checked) : fresh + n - sampled;
        const struct item *item = &client->acked.list[i];
        struct nm_msg_response response;
        char text[128];
        nm_arena_reset(&arena);
        enum nm_err err = nm_ledger_read_response(ledger, item->task, item->attempt, &arena, &response, NULL);
        CHECK(c, err == NM_OK, "the answer of %s to task %llu was acknowledged and is lost", client->id,
              (unsigned long long)item->task);
        response_text(client->id, item->task, item->attempt, text, sizeof text);
        if (!err && item->flag)
            CHECK(c, strcmp(response.text.ptr, text) == 0, "the answer of %s to task %llu was overwritten",
                  client->id, (unsigned long long)item->task);
    }
    client->checked = client->acked.n;
    nm_arena_clean_up(&arena);
}

static uint64_t check_aligner(struct chaos *c, struct nm_ledger *ledger, struct client *client)
{
    uint64_t kept = 0;
    for (size_t i = 0; i < client->acked.n; i++) {
        const struct item *item = &client->acked.list[i];
        struct nm_queue_task ended;
        enum nm_err err = nm_ledger_ended(ledger, item->task, &ended, NULL);
        const struct nm_ledger_worker *owner = err ? NULL : nm_ledger_get_worker(ledger, ended.worker);
        bool mine = !err && ended.state == NM_TASK_DONE && owner && strcmp(owner->id, client->id) == 0;
        CHECK(c, mine == item->flag, "task %llu: %s was told to %s its sample, and the ledger says otherwise",
              (unsigned long long)item->task, client->id, item->flag ? "keep" : "drop");
        if (!item->flag)
            continue;
        kept++;
        struct client *other = nm_map_get(&c->owners, item->task);
        CHECK(c, !other || other == client, "task %llu is kept by two aligners", (unsigned long long)item->task);
        CHECK(c, nm_map_put(&c->owners, item->task, client) == NM_OK, "out of memory");
    }
    return kept;
}

static void check_counters(struct chaos *c, struct nm_ledger *ledger)
{
    const struct nm_ledger_counters *now = nm_ledger_counters(ledger);
    CHECK(c, now->calls == now->accepted + now->rejected, "calls are not accepted + rejected");
    CHECK(c, now->opened >= now->done + now->dead + now->dropped, "more tasks ended than were opened");
    CHECK(c, now->calls >= c->last.calls && now->done >= c->last.done && now->opened >= c->last.opened,
          "a counter runs backwards");
    CHECK(c, now->tokens_in == 10 * now->calls && now->tokens_out == 20 * now->calls, "tokens are counted wrongly");
    c->last = *now;
}

static enum nm_err restore_one(void *ctx, const struct nm_queue_task *task)
{
    return nm_queue_restore(ctx, task, 0);
}

static void check_queue(struct chaos *c, struct nm_ledger *ledger)
{
    const struct nm_queue_options options = {
        .goal = ENDLESS, .opened_max = ENDLESS, .attempts = 3, .lease_ms = 1000, .backlog_max = ENDLESS};
    const struct nm_ledger_counters *now = nm_ledger_counters(ledger);
    struct nm_queue_totals totals = {
        .opened = now->opened, .done = now->done, .dead = now->dead, .dropped = now->dropped};
    struct nm_queue *queue = nm_queue_new(&options);
    struct nm_diag diag = {""};
    if (!queue)
        abort();
    nm_queue_restore_totals(queue, &totals);
    enum nm_err err = nm_ledger_restore(ledger, restore_one, queue, &diag);
    CHECK(c, err == NM_OK, "%s", diag.text);
    CHECK(c, err || nm_queue_check(queue, &diag) == NM_OK, "%s", diag.text);
    nm_queue_destroy(&queue);
}

static bool anything_acknowledged(const struct chaos *c)
{
    for (size_t i = 0; i < c->crowd.n; i++)
        if (c->crowd.clients[i].acked.n)
            return true;
    return false;
}

/* The broker is not running.  Returns how many samples are kept by aligners who know it. */
static uint64_t check_ledger(struct chaos *c, bool all)
{
    struct nm_ledger *ledger;
    struct nm_diag diag = {""};
    uint64_t kept = 0;
    if (!anything_acknowledged(c)) /* the broker may have died before its ledger was made */
        return 0;
    int code = server_check(&c->server);
    CHECK(c, code == 0, "nermill-broker check ends with %d, see check.log", code);
    if (nm_ledger_open(c->server.ledger, NULL, 0, SERVER_ENTITIES, &ledger, &diag) != NM_OK) {
        CHECK(c, false, "%s", diag.text);
        return 0;
    }
    for (size_t i = 0; i < c->crowd.n; i++) {
        if (c->crowd.clients[i].aligner)
            kept += check_aligner(c, ledger, &c->crowd.clients[i]);
        else
            check_generator(c, ledger, &c->crowd.clients[i], all);
    }
    check_counters(c, ledger);
    check_queue(c, ledger);
    nm_ledger_close(&ledger);
    return kept;
}

/* ---- trouble --------------------------------------------------------------------------------- */

static void send_garbage(struct chaos *c)
{
    unsigned char bytes[64];
    size_t len = 1 + nm_rng_below(&c->crowd.rng, sizeof bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)nm_rng_next(&c->crowd.rng);
    (void)nm_socket_send(c->rude, NULL, bytes, len);
}

static void cause_trouble(struct chaos *c, int64_t now)
{
    struct nm_rng *rng = &c->crowd.rng;
    struct client *client = &c->crowd.clients[nm_rng_below(rng, c->crowd.n)];
    uint64_t dice = nm_rng_below(rng, 1000);
    if (dice < 2) {
        client_crash(client, c->server.endpoint);
        c->crashes++;
    } else if (dice < 3) {
        client->silent_until_ms = now + (int64_t)nm_rng_below(rng, 6000); /* some longer than a lease */
    } else if (dice < 20) {
        send_garbage(c);
    }
}

static void run_until(struct chaos *c, int64_t end)
{
    for (int64_t now; (now = nm_clock_mono_ms()) < end && server_alive(&c->server);) {
        cause_trouble(c, now);
        if (!crowd_step(&c->crowd, now))
            crowd_wait(&c->crowd, 2);
    }
}

/* The moment after an acknowledgement is the one that tells: was it durable, or only promised? */
static void kill_at_an_ack(struct chaos *c)
{
    int64_t end = nm_clock_mono_ms() + 200;
    for (uint64_t acks = c->crowd.acks;
         acks == c->crowd.acks && nm_clock_mono_ms() < end && server_alive(&c->server);)
        if (!crowd_step(&c->crowd, nm_clock_mono_ms()))
            crowd_wait(&c->crowd, 2);
    if (server_alive(&c->server))
        c->kills++;
    else
        c->ended++;
    server_kill(&c->server);
}

/* A broker whose disk fails may end before it listens; the ledger must be whole then, too. */
static bool start(struct chaos *c, uint64_t samples)
{
    for (int i = 0; i < STARTS_MAX; i++) {
        c->server.disk_seed++;
        if (server_start(&c->server, samples))
            return true;
        server_kill(&c->server);
        c->ended++;
        if (!c->server.disk)
            break;
        check_ledger(c, false);
    }
    c->ok = false;
    return false;
}

static void connect_all(struct chaos *c)
{
    crowd_connect(&c->crowd, c->server.endpoint);
    nm_socket_destroy(&c->rude);
    if (nm_socket_connect(NM_DEALER, c->server.endpoint, &c->rude, NULL) != NM_OK)
        abort();
}

/* Kill after kill; the workers stay, and find the new broker on the same port. */
static void kill_again_and_again(struct chaos *c, unsigned int kills, int64_t seconds)
{
    char endpoint[sizeof c->server.endpoint];
    int64_t end = kills ? INT64_MAX : nm_clock_mono_ms() + seconds * 1000;
    if (!start(c, ENDLESS))
        return;
    connect_all(c);
    while (c->ok && c->crowd.ok && nm_clock_mono_ms() < end && (!kills || c->kills + c->ended < kills)) {
        int64_t life = (int64_t)nm_rng_below(&c->crowd.rng, nm_rng_below(&c->crowd.rng, 5) ? 400 : 4000);
        run_until(c, nm_clock_mono_ms() + life);
        kill_at_an_ack(c);
        check_ledger(c, false);
        memcpy(endpoint, c->server.endpoint, sizeof endpoint);
        if (!start(c, ENDLESS))
            return;
        if (strcmp(endpoint, c->server.endpoint) != 0) /* someone took the port: rare, and allowed */
            connect_all(c);
    }
    server_kill(&c->server);
    check_ledger(c, true);
}

static bool all_done(const struct chaos *c)
{
    for (size_t i = 0; i < c->crowd.n; i++)
        if ((!c->crowd.clients[i].aligner && !c->crowd.clients[i].done) || c->crowd.clients[i].stored.n)
            return false;
    return true;
}

/* A goal a little beyond what is under way: reached, told to every generator, and met exactly. */
static void finish(struct chaos *c)
{
    uint64_t goal = c->last.opened - c->last.dead - c->last.dropped + MORE;
    int64_t end = nm_clock_mono_ms() + END_LIMIT_MS;
    c->server.disk = NULL;
    if (!start(c, goal))
        return;
    connect_all(c);
    for (size_t i = 0; i < c->crowd.n; i++)
        c->crowd.clients[i].silent_until_ms = 0;
    while (!all_done(c) && nm_clock_mono_ms() < end)
        if (!crowd_step(&c->crowd, nm_clock_mono_ms()))
            crowd_wait(&c->crowd, 5);
    CHECK(c, all_done(c), "the goal was not reached within %d s", END_LIMIT_MS / 1000);
    CHECK(c, server_stop(&c->server) == 0, "SIGTERM did not end the broker with exit code 0");
    uint64_t kept = check_ledger(c, true);
    CHECK(c, kept == goal && c->last.done == goal, "the goal is %llu, the ledger has %llu, the aligners keep %llu",
          (unsigned long long)goal, (unsigned long long)c->last.done, (unsigned long long)kept);
    CHECK(c, c->last.opened == c->last.done + c->last.dead + c->last.dropped, "tasks are still open");
}

struct settings {
    unsigned int kills, fails;
    int64_t seconds;
    uint64_t seed;
    const char *disk, *program;
};

static bool parse(int argc, char **argv, struct settings *s)
{
    static const struct option known[] = {
        {"kills", required_argument, NULL, 'k'}, {"seconds", required_argument, NULL, 't'},
        {"seed", required_argument, NULL, 's'},  {"disk", required_argument, NULL, 'd'},
        {"fails", required_argument, NULL, 'f'}, {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 'k')
            s->kills = (unsigned int)atoi(optarg);
        else if (c == 't')
            s->seconds = atoll(optarg);
        else if (c == 's')
            s->seed = strtoull(optarg, NULL, 10);
        else if (c == 'd')
            s->disk = optarg;
        else if (c == 'f')
            s->fails = (unsigned int)atoi(optarg);
        else
            return false;
    }
    s->program = optind + 1 == argc ? argv[optind] : NULL;
    return s->program != NULL;
}

/* How often the disk did what, from the broker's log. */
static void report_disk(const struct chaos *c)
{
    static const char mark[] = "failing disk: ";
    enum { KINDS = 8 };
    char path[300], line[512], kinds[KINDS][64];
    unsigned int counts[KINDS] = {0}, n = 0, k;
    snprintf(path, sizeof path, "%s/broker.log", c->server.dir);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, mark, sizeof mark - 1) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        for (k = 0; k < n && strcmp(kinds[k], line + sizeof mark - 1) != 0;)
            k++;
        if (k == n && n < KINDS)
            snprintf(kinds[n++], sizeof kinds[0], "%.60s", line + sizeof mark - 1);
        if (k < KINDS)
            counts[k]++;
    }
    if (file)
        fclose(file);
    for (k = 0; k < n; k++)
        printf("%s%u x %s", k ? ", " : "the disk failed: ", counts[k], kinds[k]);
    printf("%s", n ? "\n" : "");
}

static void report(const struct chaos *c, bool ok)
{
    report_disk(c);
    printf("%u kills, %u ends by itself, %u worker crashes: %llu answers, %llu samples, %llu late, %llu duplicates, "
           "%llu leases expired: %s\n",
           c->kills, c->ended, c->crashes, (unsigned long long)c->last.calls, (unsigned long long)c->last.done,
           (unsigned long long)c->last.late, (unsigned long long)c->last.duplicates,
           (unsigned long long)c->last.expired, ok ? "nothing lost, nothing twice" : "FAILED");
}

int main(int argc, char **argv)
{
    struct settings s = {.seconds = 15, .seed = 1, .fails = 30};
    if (!parse(argc, argv, &s)) {
        fprintf(stderr,
                "usage: broker_chaos [--kills N | --seconds N] [--seed N] [--disk LIBRARY [--fails N]] PROGRAM\n");
        return 2;
    }
    struct chaos *c = calloc(1, sizeof *c);
    nm_log_init("test");
    nm_net_init();
    nm_map_init(&c->owners);
    c->ok = true;
    server_init(&c->server, s.program);
    c->server.disk = s.disk;
    c->server.disk_seed = s.seed * 1000;
    c->server.fails = s.fails;
    crowd_init(&c->crowd, GENERATORS, ALIGNERS, CREDIT, s.seed);
    c->crowd.reject = 2500;
    c->crowd.fail = 200;
    c->crowd.useless = 100;
    c->crowd.twice = 200;
    kill_again_and_again(c, s.kills, s.seconds);
    if (c->ok)
        finish(c);
    bool ok = c->ok && c->crowd.ok;
    report(c, ok);
    if (ok)
        server_remove(&c->server);
    else
        fprintf(stderr, "broker test: everything is kept in %s\n", c->server.dir);
    crowd_clean_up(&c->crowd);
    nm_socket_destroy(&c->rude);
    nm_map_clean_up(&c->owners);
    nm_net_clean_up();
    free(c);
    return ok ? 0 : 1;
}
