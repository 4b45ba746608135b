/* recorded.h - the response log of a run as a portable file: what a replay answers from.
 *
 * One JSON object a line, gzip'd or not.  The first says what the run was, every other one is an answer, by task and
 * attempt (a task's number is that in the ledger, without its generation):
 *
 *     {"nermill": "responses", "version": 1, "run": "run-...", "project": "name", "goal": 2000, "samples": 2000,
 *      "tasks": 2210, "extra": 0, "dedup": {"exact": true, "near": 0.7, "per_template": 0}, "unfinished": [2204]}
 *     {"task": 0, "attempt": 1, "key": "16 hex digits", "endpoint": "local", "answer": {"choices": ...}}
 *
 * goal, samples: what the run was to make, and made; tasks, extra: opened of the plan, and extra ones; unfinished:
 * those that had neither a text nor used up their attempts.  Of an answer: key: XXH3-64 of the request's body, with
 * the seed "salt" where there is one; constraint: "none" if absent; answer: the chat completion, without what nobody
 * looks at; or raw: another body, as text; or status, rule and detail where there is no text to judge; refused:
 * {rule, detail} of a text that was accepted but for what had been accepted before it; entities: of an extra task's
 * first; line, lines: of the first answer to a task whose call asked for several sentences.  With a line after the
 * first there is no key and no answer: it is that of the task whose line is the first.
 */
#ifndef NM_BROKER_RECORDED_H
#define NM_BROKER_RECORDED_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"
#include "schemas/messages.h"

enum { NM_RECORDED_VERSION = 1 };

struct nm_recorded_head {
    uint64_t goal, samples;
    uint64_t tasks, extra;
    bool exact; /* dedup, as the run had it */
    double near;
    uint64_t per_template;
};

struct nm_recorded;

/* nm_recorded_read - append the file's bytes, unpacked.  NM_ENOENT and other file errors; NM_EFORMAT: a gzip file
 * that is damaged. */
enum nm_err nm_recorded_read(const char *path, struct nm_buf *out, struct nm_diag *diag);

/* nm_recorded_parse - text is borrowed, name stands for it in messages.  NM_EFORMAT: file and line in diag;
 * NM_EVERSION: of a newer nermill. */
enum nm_err nm_recorded_parse(const char *text, size_t len, const char *name, struct nm_recorded **recorded,
                              struct nm_diag *diag);
void nm_recorded_destroy(struct nm_recorded **recorded);

const struct nm_recorded_head *nm_recorded_head(const struct nm_recorded *recorded);
bool nm_recorded_unfinished(const struct nm_recorded *recorded, uint64_t task);

/* nm_recorded_shares - which of how many sentences of one call was the task's; 0 of 0: it was its alone. */
void nm_recorded_shares(const struct nm_recorded *recorded, uint64_t task, uint32_t *line, uint32_t *lines);

/* Of one attempt. */
struct nm_recorded_answer {
    struct nm_msg_answer answer;    /* as it goes to a generator */
    struct nm_str refused, why;     /* rule and detail of the broker's own rejection; empty: there was none */
    uint64_t *entities, n_entities; /* that an extra task asks for */
};

/* nm_recorded_get - into arena.  NM_ENOENT: there is none; NM_ENOMEM. */
enum nm_err nm_recorded_get(const struct nm_recorded *recorded, uint64_t task, uint64_t attempt,
                            struct nm_arena *arena, struct nm_recorded_answer *out);

/* nm_recorded_by_order - a rule that compares with what was accepted before. */
bool nm_recorded_by_order(struct nm_str rule);

#endif
