/* desk.h - the operator's commands on a live run: pause, resume, drain, limit, kick, bury, dead, peek, coverage,
 * workers.
 *
 * Each is a request on the stats socket and acts on the queue at once.  What it changes is committed to the ledger
 * before the answer is sent, and holds over a restart: the switches and the goal are the note "desk".
 */
#ifndef NM_BROKER_DESK_H
#define NM_BROKER_DESK_H

#include <jansson.h>

#include "broker/broker_parts.h"

/* nm_desk_restore - the switches and the goal as they were left; after the queue is restored. */
enum nm_err nm_desk_restore(struct nm_broker *b, struct nm_diag *diag);

/* nm_desk_keep - the switches and the goal into the ledger, with the next commit. */
enum nm_err nm_desk_keep(struct nm_broker *b);

/* nm_desk_obey - one command; *answer: what to send (its owner is the caller), NULL: it is no command of the desk.
 * *changed: the answer has to wait for a commit.  Errors are those of the ledger and memory: the broker stops. */
enum nm_err nm_desk_obey(struct nm_broker *b, const char *command, const json_t *request, json_t **answer,
                         bool *changed, struct nm_diag *diag);

/* limits.c - limits of endpoints and the budget, by hand.  set: *any: the request names one; *answer: a complaint, or
 * as it was.  restore: after the governor is open; reload: the project as it is in the file now. */
enum nm_err nm_limits_set(struct nm_broker *b, const json_t *request, bool *any, json_t **answer);
enum nm_err nm_limits_restore(struct nm_broker *b, struct nm_diag *diag);
enum nm_err nm_limits_reload(struct nm_broker *b, const struct nm_project *new);

/* letters.c - what dead and peek show */
enum nm_err nm_letters_dead(struct nm_broker *b, const json_t *request, json_t **answer, struct nm_diag *diag);
enum nm_err nm_letters_peek(struct nm_broker *b, const json_t *request, json_t **answer, struct nm_diag *diag);

/* tally.c - what coverage shows */
enum nm_err nm_tally_coverage(struct nm_broker *b, const json_t *request, json_t **answer, struct nm_diag *diag);

/* nm_desk_complain - {"error": text}.  nm_desk_count - a whole number of the request; false: absent or none. */
json_t *nm_desk_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool nm_desk_count(const json_t *request, const char *key, uint64_t *value);

/* nm_letters_answered - the answer to an attempt is in the response log.  Uses the broker's arena. */
enum nm_err nm_letters_answered(struct nm_broker *b, uint64_t task, uint64_t attempt, bool *answered,
                                struct nm_diag *diag);

#endif
