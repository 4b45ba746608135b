/* ledger.h - the durable side of the queue: what a broker killed at any moment knows again.
 *
 * Changes are collected and written by nm_ledger_commit in one transaction with one fsync: the group commit.  Nothing
 * may be acknowledged, and no lease sent, before the commit that holds it.  Databases:
 *
 *     settings   text -> text           the run's id; what shaped the plan, refused if it changes
 *     state      text -> record         the counters; the rules and how often each was broken
 *     open       task -> record         state, attempt, holder, failures, due: of each open task
 *     ended      task -> record         how it ended, at which attempt, who owns the sample, at which place
 *     dead       task -> record         of the ended ones those that may be kicked: when, and why by hand
 *     failures   (task, attempt) -> record             calls without an answer: how many, and the last one
 *     grants     (task, attempt) -> record         calls that may be on their way: of the governor
 *     notes      text -> bytes          what other parts of the broker keep over a restart
 *     responses  (task, attempt) -> nm_msg_response    every answer that was paid for, rejected ones too
 *     coverage   chunk -> 64 numbers    accepted texts of each entity
 *     covered_since  number -> entities     what changed in it since the chunks were written, a record a commit
 *     workers    number -> record       role, id, endpoint, samples
 *     shards     (number, shard) -> record            sealed ones of an aligner: count, bytes, digest
 *     keys_a, keys_b  number -> (key, task) ...          new in the index of duplicates, a record a commit
 *     extra      task -> entities       of each extra task, as it can't be computed
 *     generations  number -> text           how each began, and the settings it was made with
 *     aside      task -> task           first and last of the ranges of tasks that were set aside
 *     troubled   entity -> record       of those ever rejected or asked for again: asked, in a row, alone; by rule
 *
 * Records carry no C structs: numbers are little-endian, texts have their length before them.
 * One thread.
 */
#ifndef NM_BROKER_LEDGER_H
#define NM_BROKER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/queue.h"
#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"
#include "schemas/messages.h"
#include "schemas/shard.h"

enum { NM_LEDGER_SCHEMA = 1, NM_LEDGER_RULES_MAX = 64 };

/* What shaped the plan.  key: at most 24 bytes; name: what a person calls it. */
struct nm_ledger_setting {
    const char *key, *name;
    char value[256]; /* one line */
};

/* A changed setting makes a new generation of the run, if somebody has said what becomes of the samples there are:
 * see ledger_renew.c. */
struct nm_ledger_renewal {
    bool fresh; /* set all aside; else keep those that are still valid */
    uint64_t (*find)(void *ctx, struct nm_str type,
                     struct nm_str text); /* an entity's index; UINT64_MAX: not listed */
    void *ctx;
    bool happened;              /* out: a setting had changed */
    uint64_t stay, open, aside; /* out: samples that stay, accepted texts on their way, samples set aside */
};

/* clang-format off */
/* What aligners tell of spans: those of the samples; of them masked; by the notes of PROTOCOL.md, "sample". */
#define NM_LEDGER_SPANS(X)                                                                                           \
    X(span_all) X(span_masked) X(span_abbreviation) X(span_unlisted) X(span_unmarked) X(span_doubted)                \
    X(span_type) X(span_overlap) X(span_cut) X(span_ambiguous)
/* clang-format on */

/* Counted over the whole run; stored in this order, new ones at the end. */
#define NM_LEDGER_COUNTERS(X)                                                                                        \
    X(opened)    /* tasks taken from the plan */                                                                     \
    X(done)      /* samples owned by an aligner */                                                                   \
    X(dead)      /* tasks that used up their attempts */                                                             \
    X(dropped)   /* accepted texts that no aligner could use */                                                      \
    X(calls)     /* answered calls */                                                                                \
    X(accepted)  /* of them accepted */                                                                              \
    X(rejected)  /* of them rejected */                                                                              \
    X(failures)  /* calls without an answer */                                                                       \
    X(tokens_in) /* as the endpoints counted */                                                                      \
    X(tokens_out)                                                                                                    \
    X(cost_micros)                                                                                                   \
    X(late)       /* answers taken after their lease was lost */                                                     \
    X(duplicates) /* answers that had been given before */                                                           \
    X(foreign)    /* answers to tasks that were never leased */                                                      \
    X(expired)    /* leases that ran out */                                                                          \
    X(extra)      /* extra tasks opened */                                                                           \
    X(kicked)     /* dead tasks opened again */                                                                      \
    X(reused)     /* of the answered calls, those that an earlier answer stood for */                                \
    NM_LEDGER_SPANS(X)                                                                                               \
    X(reused_in) /* tokens of the reused ones, not spent again */                                                    \
    X(reused_out)                                                                                                    \
    X(shared) /* of the answers, those that were in another task's call */

struct nm_ledger_counters {
#define NM_LEDGER_COUNTER(name) uint64_t name;
    NM_LEDGER_COUNTERS(NM_LEDGER_COUNTER)
#undef NM_LEDGER_COUNTER
};

struct nm_ledger_rule {
    char *name;
    uint64_t count;
};

struct nm_ledger_worker {
    char *id, *endpoint; /* endpoint: where an aligner serves its shards, else "" */
    enum nm_queue_role role;
    uint64_t samples; /* that it owns */
    uint64_t places;  /* given out; some may be of samples set aside */
    uint64_t shards;  /* sealed ones on record */
};

struct nm_ledger_coverage {
    uint64_t entities, min, max, sum; /* of accepted texts for each entity */
};

struct nm_ledger;

/* nm_ledger_open - the ledger in the directory path, made if absent.
 * NM_EINVAL: a setting differs from the one the run began with, and diag says which and what to do;
 * NM_EFORMAT: damaged; otherwise as nm_store_open. */
enum nm_err nm_ledger_open(const char *path, const struct nm_ledger_setting *settings, size_t n_settings,
                           uint64_t entities, struct nm_ledger **ledger, struct nm_diag *diag);

/* nm_ledger_open_renewing - the same, but a changed setting makes a new generation, as renewal says. */
enum nm_err nm_ledger_open_renewing(const char *path, const struct nm_ledger_setting *settings, size_t n_settings,
                                    uint64_t entities, struct nm_ledger_renewal *renewal, struct nm_ledger **ledger,
                                    struct nm_diag *diag);

enum { NM_LEDGER_SETTINGS_MAX = 32 };

/* What a ledger says while a broker may be at work on it. */
struct nm_ledger_look {
    char run[64];
    uint64_t generation;
    struct nm_ledger_counters counters;
    uint64_t waiting; /* accepted texts on their way to an aligner */
    uint64_t open;    /* open tasks, with those */
    size_t n_changes; /* settings that differ */
    struct {
        const char *key, *name;
        char was[256], now[256];
    } changes[NM_LEDGER_SETTINGS_MAX];
    struct nm_ledger_renewal keep, fresh;             /* what each would do */
    uint32_t *covered;                                /* (entities) with keep; free() it */
    struct nm_ledger_rule rules[NM_LEDGER_RULES_MAX]; /* their names too are the caller's to free() */
    size_t n_rules;
};

/* nm_ledger_look - read beside a live broker; nothing is changed.  find: as in a renewal.  NM_ENOENT: no ledger
 * there. */
enum nm_err nm_ledger_look(const char *path, const struct nm_ledger_setting *settings, size_t n_settings,
                           uint64_t entities, uint64_t (*find)(void *ctx, struct nm_str type, struct nm_str text),
                           void *ctx, struct nm_ledger_look *look, struct nm_diag *diag);

/* nm_ledger_close - what was not committed is lost. */
void nm_ledger_close(struct nm_ledger **ledger);

/* nm_ledger_restore - hand every open task to fn.  due_ms is Unix time. */
typedef enum nm_err (*nm_ledger_restore_fn)(void *ctx, const struct nm_queue_task *task);
enum nm_err nm_ledger_restore(struct nm_ledger *ledger, nm_ledger_restore_fn fn, void *ctx, struct nm_diag *diag);

/* ---- changes, durable with the next commit; NM_ENOMEM, NM_ELIMIT leave the ledger fit for closing only ----------
 */

/* nm_ledger_task - a task as it is now (due_ms: Unix time).  An ended one leaves "open"; a DONE one counts for its
 * owner. */
enum nm_err nm_ledger_task(struct nm_ledger *ledger, const struct nm_queue_task *task);

/* nm_ledger_reopen - a dead task is about to be open again. */
enum nm_err nm_ledger_reopen(struct nm_ledger *ledger, uint64_t task);

/* nm_ledger_bury - a task that has been handed over as DEAD became so by hand; why: an operator's words, may be
 * empty. */
enum nm_err nm_ledger_bury(struct nm_ledger *ledger, uint64_t task, uint32_t attempt, const char *why);

/* nm_ledger_failure - the last call of an attempt that brought no answer; count: how many of it so far. */
enum nm_err nm_ledger_failure(struct nm_ledger *ledger, const struct nm_msg_failure *failure, uint32_t count,
                              int64_t at_ms);

/* A live grant of the governor; endpoint: the hash of its name. */
struct nm_ledger_grant {
    uint64_t task;
    uint32_t attempt, worker;
    uint64_t endpoint, tokens_in, tokens_out, money;
};

/* nm_ledger_put_grant, nm_ledger_del_grant - it lives; it has ended.  nm_ledger_read_grants - hand each to fn. */
enum nm_err nm_ledger_put_grant(struct nm_ledger *ledger, const struct nm_ledger_grant *grant);
enum nm_err nm_ledger_del_grant(struct nm_ledger *ledger, uint64_t task, uint32_t attempt);
typedef enum nm_err (*nm_ledger_grant_fn)(void *ctx, const struct nm_ledger_grant *grant);
enum nm_err nm_ledger_read_grants(struct nm_ledger *ledger, nm_ledger_grant_fn fn, void *ctx, struct nm_diag *diag);

/* nm_ledger_note - keep bytes under a name of at most 24. */
enum nm_err nm_ledger_note(struct nm_ledger *ledger, const char *name, const void *data, size_t len);

/* nm_ledger_response - log an answer and count it.  packed: the same answer as a record, where the caller has it
 * (nm_msg_map of its frame), so that it need not be written again. */
enum nm_err nm_ledger_response(struct nm_ledger *ledger, const struct nm_msg_response *response);
enum nm_err nm_ledger_response_packed(struct nm_ledger *ledger, const struct nm_msg_response *response,
                                      struct nm_str packed);

/* nm_ledger_count_rule - one more text rejected by that rule.  Over NM_LEDGER_RULES_MAX names it is "other". */
enum nm_err nm_ledger_count_rule(struct nm_ledger *ledger, struct nm_str name);

/* nm_ledger_cover - one accepted text more (or less) for an entity. */
enum nm_err nm_ledger_cover(struct nm_ledger *ledger, uint64_t entity, bool less);

/* nm_ledger_extra - what an extra task asks for: n entities.  It counts as asked for each of them. */
enum nm_err nm_ledger_extra(struct nm_ledger *ledger, uint64_t task, const uint64_t *entities, uint32_t n);

/* nm_ledger_reject - a text for that entity was rejected by that rule; alone: it asked for nothing else. */
enum nm_err nm_ledger_reject(struct nm_ledger *ledger, uint64_t entity, struct nm_str rule, bool alone);

/* nm_ledger_worker - the number of the worker with that id and role, given out if it is new; its endpoint is noted.
 */
enum nm_err nm_ledger_worker(struct nm_ledger *ledger, enum nm_queue_role role, struct nm_str id,
                             struct nm_str endpoint, uint32_t *number);

/* nm_ledger_give_place - a sample that is done gets the next place of its aligner's, from 1.  NM_ENOMEM. */
enum nm_err nm_ledger_give_place(struct nm_ledger *ledger, uint64_t task, uint32_t worker, uint64_t *place);

/* nm_ledger_skip_places - the aligner has that many: none of them is given again. */
void nm_ledger_skip_places(struct nm_ledger *ledger, uint32_t worker, uint64_t places);

/* nm_ledger_seal - a shard of that aligner is sealed.  One out of order is left out. */
enum nm_err nm_ledger_seal(struct nm_ledger *ledger, uint32_t worker, const struct nm_msg_sealed *sealed);

/* The journal of the index of duplicates, in two halves.  nm_ledger_add_key - into the present one.
 * nm_ledger_turn_keys - what follows goes into the other one, which must be empty; nm_ledger_drop_keys - that one may
 * go. */
enum nm_err nm_ledger_add_key(struct nm_ledger *ledger, uint64_t key, uint64_t task);
enum nm_err nm_ledger_turn_keys(struct nm_ledger *ledger);
enum nm_err nm_ledger_drop_keys(struct nm_ledger *ledger);

/* nm_ledger_counters - to add to in place. */
struct nm_ledger_counters *nm_ledger_counters(struct nm_ledger *ledger);

/* nm_ledger_commit - write everything at once; returns only when it is on the disk.  Nothing to write: NM_OK at
 * once.  NM_EFULL and others as nm_store_write: nothing was written, and it may be tried again. */
enum nm_err nm_ledger_commit(struct nm_ledger *ledger, struct nm_diag *diag);

/* nm_ledger_set_sync - whether each commit waits for the disk (as opened: yes).  With false a commit survives the
 * process and not the machine; nm_ledger_sync forces what is committed to the disk.  Errors as nm_store_sync. */
enum nm_err nm_ledger_set_sync(struct nm_ledger *ledger, bool each_commit, struct nm_diag *diag);
enum nm_err nm_ledger_sync(struct nm_ledger *ledger, struct nm_diag *diag);

/* ---- reading --------------------------------------------------------------------------------- */

/* nm_ledger_read_response - into arena.  NM_ENOENT: no such answer was committed. */
enum nm_err nm_ledger_read_response(struct nm_ledger *ledger, uint64_t task, uint64_t attempt, struct nm_arena *arena,
                                    struct nm_msg_response *response, struct nm_diag *diag);

/* nm_ledger_ended - how a task ended.  NM_ENOENT: it has not. */
enum nm_err nm_ledger_ended(struct nm_ledger *ledger, uint64_t task, struct nm_queue_task *ended,
                            struct nm_diag *diag);

/* nm_ledger_read_keys - hand every committed pair of both halves to fn. */
typedef void (*nm_ledger_key_fn)(void *ctx, uint64_t key, uint64_t task);
enum nm_err nm_ledger_read_keys(struct nm_ledger *ledger, nm_ledger_key_fn fn, void *ctx, struct nm_diag *diag);

/* nm_ledger_each_response - hand every committed answer to fn, by task and attempt.  O(all answers). */
typedef enum nm_err (*nm_ledger_response_fn)(void *ctx, const struct nm_msg_response *response);
enum nm_err nm_ledger_each_response(struct nm_ledger *ledger, nm_ledger_response_fn fn, void *ctx,
                                    struct nm_diag *diag);

/* nm_ledger_get_place - of a sample, from 1, the next commit's too; 0: none is on record. */
enum nm_err nm_ledger_get_place(struct nm_ledger *ledger, uint64_t task, uint64_t *place, struct nm_diag *diag);

/* The answer that a sample was made from. */
struct nm_ledger_made {
    uint64_t task, attempt;
};

/* nm_ledger_made_at - what stands at an aligner's place (counted from 0), as committed.  NM_ENOENT: nothing.  The
 * first call, and each that leaves a million places behind, walks over all tasks that ended; the others are O(1). */
enum nm_err nm_ledger_made_at(struct nm_ledger *ledger, uint32_t worker, uint64_t place, struct nm_ledger_made *made,
                              struct nm_diag *diag);

/* nm_ledger_list_shards - the sealed ones of an aligner, as committed; the list in arena. */
enum nm_err nm_ledger_list_shards(struct nm_ledger *ledger, uint32_t worker, struct nm_arena *arena,
                                  struct nm_index *index, struct nm_diag *diag);

/* nm_ledger_find_worker - its number; NM_QUEUE_NOBODY: there is none. */
uint32_t nm_ledger_find_worker(const struct nm_ledger *ledger, enum nm_queue_role role, struct nm_str id);

/* A dead letter, as far as it is not in the response log. */
struct nm_ledger_dead {
    uint64_t task, attempt;
    bool by_hand;
    int64_t at_ms;
    char why[256];
};

/* nm_ledger_list_dead - up to max of them, by task, from task `from` on; *n: how many. */
enum nm_err nm_ledger_list_dead(struct nm_ledger *ledger, uint64_t from, struct nm_ledger_dead *list, size_t max,
                                size_t *n, struct nm_diag *diag);

struct nm_ledger_failed {
    uint32_t count; /* 0: every call of the attempt was answered */
    int64_t at_ms;
    uint64_t status;
    uint64_t tokens_in, tokens_out; /* of the last one, where its server counted them */
    char kind[64], endpoint[NM_NAME_MAX + 1], detail[512];
};

/* nm_ledger_read_failure - NM_OK with a count of 0 where there was none. */
enum nm_err nm_ledger_read_failure(struct nm_ledger *ledger, uint64_t task, uint64_t attempt,
                                   struct nm_ledger_failed *failed, struct nm_diag *diag);

/* nm_ledger_read_note - into out.  NM_ENOENT: there is none. */
enum nm_err nm_ledger_read_note(struct nm_ledger *ledger, const char *name, struct nm_buf *out, struct nm_diag *diag);

/* nm_ledger_read_extra - into entities, with room for max.  NM_ENOENT: no such task was committed. */
enum nm_err nm_ledger_read_extra(struct nm_ledger *ledger, uint64_t task, uint64_t *entities, uint32_t max,
                                 uint32_t *n, struct nm_diag *diag);

/* What an entity has had; the changes since the last commit are in it. */
struct nm_ledger_entity {
    uint32_t accepted, rejected;
    uint32_t asked;    /* in extra tasks */
    uint32_t in_a_row; /* rejected since the last accepted text */
    uint32_t alone;    /* of those, texts that asked for nothing else */
};
struct nm_ledger_entity nm_ledger_get_entity(const struct nm_ledger *ledger, uint64_t entity);

/* nm_ledger_read_rejections - how often each rule (numbered as in nm_ledger_rules) rejected a text for the entity, as
 * of the last commit, into counts (NM_LEDGER_RULES_MAX). */
enum nm_err nm_ledger_read_rejections(struct nm_ledger *ledger, uint64_t entity, uint64_t *counts,
                                      struct nm_diag *diag);

/* nm_ledger_list_aside - the ranges of tasks set aside, as text (see schemas/aside.h), into out. */
enum nm_err nm_ledger_list_aside(struct nm_ledger *ledger, struct nm_buf *out, struct nm_diag *diag);

uint64_t nm_ledger_generation(const struct nm_ledger *ledger);
const char *nm_ledger_run(const struct nm_ledger *ledger);
const char *nm_ledger_path(const struct nm_ledger *ledger);
uint32_t nm_ledger_worker_count(const struct nm_ledger *ledger);
const struct nm_ledger_worker *nm_ledger_get_worker(const struct nm_ledger *ledger, uint32_t number);
size_t nm_ledger_rules(const struct nm_ledger *ledger, const struct nm_ledger_rule **rules);
struct nm_ledger_coverage nm_ledger_get_coverage(const struct nm_ledger *ledger); /* O(entities) */
uint64_t nm_ledger_commits(const struct nm_ledger *ledger);
int64_t nm_ledger_commit_us(const struct nm_ledger *ledger);

#endif
