/* broker_parts.h - the insides of a broker, shared by the files of broker/ that handle its messages. */
#ifndef NM_BROKER_BROKER_PARTS_H
#define NM_BROKER_BROKER_PARTS_H

#include <stdbool.h>

#include "broker/broker.h"
#include "broker/coverage.h"
#include "broker/governor.h"
#include "broker/latency.h"
#include "broker/ledger.h"
#include "broker/map.h"
#include "broker/plan.h"
#include "broker/queue.h"
#include "broker/recent.h"
#include "broker/recorded.h"
#include "common/net.h"
#include "schemas/decoy.h"
#include "schemas/messages.h"
#include "schemas/project.h"

enum {
    RATE_SECONDS = 3601, /* one snapshot a second: the rate over an hour needs both ends */
    BLOBS = 8,
    FAILURE_LINE = 512,
};

enum {
    NM_BLOB_PROJECT,
    NM_BLOB_ENTITIES,
    NM_BLOB_TEMPLATE,
    NM_BLOB_ASIDE,
    NM_BLOB_LEARN_FROM,
    NM_BLOB_EXEMPLARS,
    NM_BLOB_LEAKAGE,
    NM_BLOB_REPLAY
};

/* Settings that a generation of the run is made with; those before PLAN shape the plan. */
enum { NM_GENERATION_PLAN = 7, NM_GENERATION_SETTINGS = 16 };

/* Tasks that may be opened for a goal, before the run is called stuck. */
#define OPENED_MAX(goal) (4 * (goal) + 100)

/* A worker of the ledger as the broker meets it; sessions are kept by worker number. */
struct session {
    uint32_t number;
    bool connected; /* its peer is known */
    struct nm_peer peer;
    char host[NM_NAME_MAX + 1], software[NM_NAME_MAX + 1];
    uint64_t pid;
    int64_t seen;
    struct nm_msg_hold *acks; /* to be sent after the commit */
    size_t n_acks, cap_acks;
    struct circuit *circuits; /* (the project's endpoints) of a generator that has told; else NULL */
};

struct blob {
    const char *name;
    struct nm_buf data;
    uint64_t digest;
    const char *missing; /* why there is none; NULL: there is */
};

/* An LLM endpoint of the project, as generators report on it. */
struct endpoint {
    const char *name;
    bool failed;
    bool paused; /* by an operator */
    char detail[FAILURE_LINE];
};

struct failure {
    char kind[64], endpoint[NM_NAME_MAX + 1], detail[FAILURE_LINE];
    uint64_t task, status;
    int64_t at_ms; /* Unix time; 0: there was none, or calls have been answered since */
    int64_t logged_ms;
};

/* The training that was heard of last; its strings are copies. */
struct training {
    struct nm_msg_training figures;
    char state[NM_NAME_MAX + 1], host[NM_NAME_MAX + 1], scored[NM_NAME_MAX + 1];
    int64_t seen; /* monotonic; 0: never */
};

/* What an operator has set by hand; goal 0: as configured. */
struct desk {
    bool paused, draining;
    uint64_t goal, configured;
};

struct snapshot {
    uint64_t calls, accepted, done;
};

struct nm_broker {
    char *state_dir, *project_path;
    bool samples_given; /* the goal is not the project's */
    int64_t drain_ms;
    struct nm_project *project;
    struct nm_entities *entities;
    struct nm_decoys *decoys;
    struct nm_plan *plan;
    struct nm_queue *queue;
    struct nm_ledger *ledger;
    uint64_t goal;
    struct nm_coverage *coverage; /* NULL: the goal is samples alone */
    struct nm_map asking;         /* extra task -> what it asks for, while it has no accepted text */
    struct nm_map words;          /* hash of type and text -> entity + 1; filled when it is needed */
    bool again_open;              /* an extra task was opened since the start */
    int64_t lease_ms, heartbeat_ms;
    const char *const *styles;
    uint32_t n_styles;

    struct nm_socket *work, *stats, *publish;
    struct session **sessions;
    uint32_t n_sessions;
    struct nm_map peers;     /* hash of the routing id -> session */
    struct session **to_ack; /* with acks to send */
    size_t n_to_ack, cap_to_ack;
    struct nm_queue_lease *leases; /* of this turn */
    size_t n_leases, cap_leases;
    struct nm_recent recent; /* texts accepted in this turn */

    struct nm_arena arena; /* of one message */
    struct nm_buf in, out;
    struct nm_plan_task task;

    struct blob blobs[BLOBS];
    struct nm_directory *directory;
    struct nm_dedup *dedup;     /* NULL: any text may come again */
    struct nm_recorded *replay; /* borrows its blob; NULL: answers are bought */
    struct endpoint *endpoints;
    struct nm_governor *governor;
    struct nm_map grants; /* the live ones, by task and attempt */
    struct nm_buf note;   /* its record */
    bool keeps_grants;    /* in the ledger */
    bool told_budget;     /* that it is used up */
    struct failure failure;
    struct training training;
    struct desk desk;
    struct json_t *by_hand; /* limits; NULL: none */
    enum nm_phase phase;
    bool stopping;              /* nothing more is leased */
    int64_t stop_ms, probed_ms; /* when it is over at the latest; 0: at once, or it goes on */

    uint64_t malformed, unknown; /* frames refused; messages of peers that had not said hello */
    int64_t started_ms, tick_ms;
    int64_t now; /* monotonic, of this turn */
    struct nm_latency latency;
    struct nm_stream *stream;
    uint64_t measured; /* commits whose time is in it */
    struct snapshot rates[RATE_SECONDS];
    size_t n_rates;   /* snapshots taken */
    uint64_t expired; /* of the queue, counted already */
    int64_t slowest_commit_us;
    uint64_t synced; /* commits that were forced to the disk, where durability is interval */
    int64_t sync_ms; /* when the next ones are */
};

/* session.c - who is there */
struct session *nm_session_of_peer(const struct nm_broker *b, const struct nm_peer *peer);
enum nm_err nm_session_hello(struct nm_broker *b, const struct nm_peer *peer, const struct nm_msg_hello *hello);
enum nm_err nm_session_goodbye(struct nm_broker *b, struct session *s, const struct nm_msg_goodbye *goodbye);
/* nm_session_lost - its peer can't be reached: no more leases until it says hello. */
void nm_session_lost(struct nm_broker *b, struct session *s);
enum nm_err nm_session_ack(struct nm_broker *b, struct session *s, uint64_t task, uint64_t attempt, bool keep,
                           uint64_t place);
void nm_session_send_acks(struct nm_broker *b);
void nm_session_send_done(struct nm_broker *b, struct session *s);
/* nm_session_send_goodbye - the broker stops: to all.  nm_session_welcome_all - the times of leases changed. */
void nm_session_send_goodbye(struct nm_broker *b);
void nm_session_welcome_all(struct nm_broker *b);
/* nm_session_busy - a worker that can be reached holds a lease. */
bool nm_session_busy(struct nm_broker *b);
void nm_session_clean_up(struct nm_broker *b);
/* nm_session_send - to a worker; a failure counts as nm_session_lost and is returned. */
enum nm_err nm_session_send(struct nm_broker *b, struct session *s, const struct nm_msg *msg);
/* nm_session_send_frame - the same, of a message that is encoded already. */
enum nm_err nm_session_send_frame(struct nm_broker *b, struct session *s, struct nm_str frame);
/* nm_broker_reply - to any peer; one that is gone is nobody's loss. */
void nm_broker_reply(struct nm_broker *b, const struct nm_peer *peer, const struct nm_msg *msg);
void nm_broker_refuse(struct nm_broker *b, const struct nm_peer *peer, enum nm_err code, const char *text);

/* answers.c - what workers hand in */
enum nm_err nm_answer_response(struct nm_broker *b, struct session *s, const struct nm_msg_response *response);
enum nm_err nm_answer_failure(struct nm_broker *b, struct session *s, const struct nm_msg_failure *failure);
enum nm_err nm_answer_aligned(struct nm_broker *b, struct session *s, const struct nm_msg_aligned *aligned);
bool nm_endpoints_failed(const struct nm_broker *b);
void nm_endpoints_revive(struct nm_broker *b);

/* lease.c - what workers are given */
/* nm_lease_align - what an aligner is told of an accepted answer; borrows from it, and from arena. */
enum nm_err nm_lease_align(struct nm_ledger *ledger, const struct nm_msg_response *response, struct nm_arena *arena,
                           struct nm_msg_align *align, struct nm_diag *diag);
enum nm_err nm_lease_assign(struct nm_broker *b);
enum nm_err nm_lease_send(struct nm_broker *b, struct nm_diag *diag);

/* again.c - what tasks ask for; entities with too few texts are asked for again */
enum nm_err nm_again_open(struct nm_broker *b, struct nm_diag *diag);
void nm_again_clean_up(struct nm_broker *b);
/* nm_again_task - into b->task, of the plan or extra. */
enum nm_err nm_again_task(struct nm_broker *b, uint64_t task, struct nm_diag *diag);
enum nm_err nm_again_accepted(struct nm_broker *b, uint64_t task);
enum nm_err nm_again_rejected(struct nm_broker *b, uint64_t task, struct nm_str rule);
/* nm_again_uncover - an accepted text of that task no longer counts for its entities. */
enum nm_err nm_again_uncover(struct nm_broker *b, uint64_t task);
/* nm_again_samples - the goal in samples; one of coverage alone takes as many as ask for each entity that often. */
uint64_t nm_again_samples(const struct nm_broker *b, const struct nm_project *project);
/* nm_again_changed - a task as the ledger hears of it. */
enum nm_err nm_again_changed(struct nm_broker *b, const struct nm_queue_task *task);
/* nm_again_restore - a task that was open before; nm_again_restored - after all of them. */
enum nm_err nm_again_restore(struct nm_broker *b, const struct nm_queue_task *task);
enum nm_err nm_again_restored(struct nm_broker *b, struct nm_diag *diag);
/* nm_again_ask - open one extra task if a generator is free for it. */
enum nm_err nm_again_ask(struct nm_broker *b, bool *opened);
/* nm_again_settle - whether the goal is reached, as of now. */
void nm_again_settle(struct nm_broker *b);

/* generation.c - what the samples are made with (digest: of the entities; blobs: of the broker, for its files) */
void nm_generation_describe(const struct nm_project *project, const struct nm_entities *entities, uint64_t digest,
                            const struct nm_decoys *decoys, const struct blob *blobs,
                            struct nm_ledger_setting settings[NM_GENERATION_SETTINGS]);
/* nm_reuse_offer - add to a task what earlier generations were answered at its place (reuse.c). */
enum nm_err nm_reuse_offer(struct nm_broker *b, struct nm_msg_task *msg, struct nm_diag *diag);
/* replay.c - a run that is answered from the log of another one.  nm_replay_open - of the file that the blob holds;
 * path: for messages.  NM_EINVAL: its dedup is another.  nm_replay_goal - the queue's goal, for ours: out of reach
 * where all that is recorded is wanted; ours where nothing is replayed. */
enum nm_err nm_replay_open(struct nm_broker *b, const char *path, struct nm_diag *diag);
uint64_t nm_replay_goal(const struct nm_broker *b, uint64_t goal);
/* nm_replay_skips - a task that the recorded run had not finished: whatever it is answered, it is to be buried. */
bool nm_replay_skips(const struct nm_broker *b, uint64_t task);
/* nm_replay_shares - as nm_recorded_shares. */
void nm_replay_shares(void *ctx, uint64_t task, uint32_t *line, uint32_t *lines);
/* nm_replay_is_short - recorded extra tasks are still to be opened.  nm_replay_ask - open the next one, if a
 * generator is free for it. */
bool nm_replay_is_short(const struct nm_broker *b);
enum nm_err nm_replay_ask(struct nm_broker *b, bool *opened);
/* nm_replay_offer - add to a task what was answered then.  nm_replay_judge - what the recorded broker refused. */
enum nm_err nm_replay_offer(struct nm_broker *b, struct nm_msg_task *msg);
enum nm_err nm_replay_judge(struct nm_broker *b, struct nm_msg_response *response);
/* nm_generation_open - open the ledger; how: "keep", "fresh" or NULL, for changed settings. */
enum nm_err nm_generation_open(struct nm_broker *b, const char *how, struct nm_diag *diag);
/* nm_generation_find - the index of an entity; UINT64_MAX: not listed.  ctx: the broker. */
uint64_t nm_generation_find(void *ctx, struct nm_str type, struct nm_str text);
/* nm_generation_task - into b->task the entities of an open task of an earlier generation, as its text has them. */
enum nm_err nm_generation_task(struct nm_broker *b, uint64_t task, struct nm_diag *diag);

/* directory.c - who has which samples, and what they were made from */
struct nm_directory *nm_directory_new(void); /* NULL: out of memory */
void nm_directory_destroy(struct nm_directory **directory);
/* nm_directory_answer - to who asks for the list of aligners. */
void nm_directory_answer(struct nm_broker *b, const struct nm_peer *peer);
/* nm_directory_blob - the blob of that name as it is now, or as begun where offset is not 0; NULL: it is none of
 * ours. missing says why it can't be given. */
const struct blob *nm_directory_blob(struct nm_broker *b, const struct nm_msg_blob_read *read);
/* nm_directory_sealed - an aligner tells of a shard. */
enum nm_err nm_directory_sealed(struct nm_broker *b, const struct session *s, const struct nm_msg_sealed *sealed);

/* training.c - what a trainer tells of its training, for the statistics */
void nm_training_heard(struct nm_broker *b, const struct nm_msg_training *training);
struct json_t *nm_training_json(const struct nm_broker *b);

/* serve.c - blobs */
enum nm_err nm_serve_load(struct nm_broker *b, const struct nm_broker_options *options, struct nm_diag *diag);
void nm_serve_blob(struct nm_broker *b, const struct nm_peer *peer, const struct nm_msg_blob_read *read);
void nm_serve_clean_up(struct nm_broker *b);

/* broker.c - the queue's changes into the ledger; and the ledger onto the disk */
enum nm_err nm_broker_flush(struct nm_broker *b);
enum nm_err nm_broker_commit(struct nm_broker *b, struct nm_diag *diag);
void nm_broker_set_goal(struct nm_broker *b, uint64_t goal);

/* reload.c - project.yaml again, after SIGHUP */
enum nm_err nm_reload(struct nm_broker *b, struct nm_diag *diag);

/* broker_open.c */
/* nm_broker_make_plan - b->plan, and the styles it is made with, of b->project and b->entities. */
enum nm_err nm_broker_make_plan(struct nm_broker *b, struct nm_diag *diag);
/* nm_broker_other_plan - NULL: the projects have the same plan; else what differs, for people. */
const char *nm_broker_other_plan(struct nm_broker *b, const struct nm_project *project,
                                 const struct nm_entities *entities, uint64_t entities_digest);

/* stats.c - what people see */
void nm_stats_tick(struct nm_broker *b);
/* nm_stats_answer - the requests that have come; *changed: a command changed something, and it is committed. */
enum nm_err nm_stats_answer(struct nm_broker *b, bool *changed, struct nm_diag *diag);
struct json_t *nm_stats_workers(const struct nm_broker *b);
const char *nm_broker_state(const struct nm_broker *b);

/* circuits.c: nm_circuits_heard - from a generator; nm_circuits_forget - it is gone, or says hello anew;
 * nm_circuits_json - one endpoint's, of each generator that is connected. */
enum nm_err nm_circuits_heard(struct nm_broker *b, struct session *s, const struct nm_msg_circuits *told);
void nm_circuits_forget(struct session *s);
struct json_t *nm_circuits_json(const struct nm_broker *b, uint32_t endpoint);

#endif
