/* govern.h - the governor at work in the broker: every lease to a generator is a grant, kept until the call's end.
 *
 * A grant is in the ledger with the same commit as its lease, before the task is sent, and its end with the same
 * commit as the answer, before that is acknowledged.  So a broker killed at any moment knows every call that may have
 * been made.  A lease that is lost (its worker is silent, came back without it, or was told by a broker that died
 * before it could send) is charged in full: nobody knows whether the call was made.
 */
#ifndef NM_BROKER_GOVERN_H
#define NM_BROKER_GOVERN_H

#include <jansson.h>

#include "broker/broker_parts.h"

/* nm_govern_open - before the queue's tasks are restored; nm_govern_restore - after. */
enum nm_err nm_govern_open(struct nm_broker *b, struct nm_diag *diag);
enum nm_err nm_govern_restore(struct nm_broker *b, struct nm_diag *diag);
void nm_govern_close(struct nm_broker *b);

/* govern_keep.c - the figures from the ledger; nm_govern_load_grants - the grants. */
enum nm_err nm_govern_load(struct nm_broker *b, struct nm_diag *diag);
enum nm_err nm_govern_load_grants(struct nm_broker *b, struct nm_diag *diag);

/* nm_govern_adopt - a restored task is with a generator: unless its grant is known, it counts all the same. */
enum nm_err nm_govern_adopt(struct nm_broker *b, const struct nm_queue_task *task);

/* nm_govern_gate - may a generator be given something now?  The queue is told. */
void nm_govern_gate(struct nm_broker *b);

/* nm_govern_lease - the lease just assigned takes a grant; nm_govern_name - what the task's message says of it. */
/* nm_govern_verifier - the endpoint that verifies and does nothing else; UINT32_MAX: any of them does. */
uint32_t nm_govern_verifier(const struct nm_broker *b);

enum nm_err nm_govern_lease(struct nm_broker *b, const struct nm_queue_lease *lease);
void nm_govern_name(struct nm_broker *b, struct nm_msg_task *task);

/* The ends.  unsent: the task could not be delivered.  sweep: that worker's leases have changed by other means. */
enum nm_err nm_govern_unsent(struct nm_broker *b, const struct nm_queue_lease *lease);
enum nm_err nm_govern_response(struct nm_broker *b, const struct session *s, const struct nm_msg_response *response);
enum nm_err nm_govern_failure(struct nm_broker *b, const struct session *s, const struct nm_msg_failure *failure);
enum nm_err nm_govern_sweep(struct nm_broker *b, uint32_t worker);

/* nm_govern_record - what changed, into the next commit. */
enum nm_err nm_govern_record(struct nm_broker *b);

/* nm_govern_reload - limits and budget as this project says. */
void nm_govern_reload(struct nm_broker *b, const struct nm_project *project);

/* nm_govern_exhausted - the budget is used up, and all that was bought is dealt with. */
bool nm_govern_exhausted(const struct nm_broker *b);
/* nm_govern_tell - in the log, once, that the budget is used up. */
void nm_govern_tell(struct nm_broker *b);
int64_t nm_govern_wait_ms(const struct nm_broker *b, int64_t now);

/* For the statistics: the budget; one endpoint's fields into o. */
json_t *nm_govern_budget_json(const struct nm_broker *b);
void nm_govern_endpoint_json(const struct nm_broker *b, uint32_t endpoint, json_t *o);

#endif
