/* dedup.h - no accepted text twice in the whole run: the same, nearly the same, or one template too often.
 *
 * What texts are searched by (schemas/fingerprint.h) is kept in an index (keytable.h), a key a question: exact, each
 * band, and each place of a template.  A key only leads to a task; the task's text is then read from the ledger, or
 * from this turn, and compared in truth, so nothing is ever refused for a hash.  A task that came to nothing (dead,
 * dropped, set aside) is in nobody's way.
 *
 * Verdicts are made before the queue hears of the answer, for the first answer to an attempt only; what is accepted
 * is entered in the same turn, and journaled in the commit that logs the answer.  An entry whose commit is lost leads
 * to no text, and an answer given again meets its own task, which is no duplicate.
 */
#ifndef NM_BROKER_DEDUP_H
#define NM_BROKER_DEDUP_H

#include "broker/broker_parts.h"
#include "schemas/fingerprint.h"

struct nm_dedup;

/* nm_dedup_open - b->dedup, as the project says; NULL: it wants none.  The ledger is open, nothing is restored yet.
 * Where the index is missing, or lacks what is asked for now, it is made from the response log.  Errors as
 * nm_keytable_open. */
enum nm_err nm_dedup_open(struct nm_broker *b, struct nm_diag *diag);
void nm_dedup_close(struct nm_dedup **dedup);

/* nm_dedup_judge - an accepted answer, before the queue has it: *response is made a rejected one if its text is a
 * duplicate of some kind; *print is what nm_dedup_keep wants.  NM_ENOMEM, NM_EIO. */
enum nm_err nm_dedup_judge(struct nm_broker *b, struct nm_msg_response *response, struct nm_fingerprint *print);

/* nm_dedup_keep - the answer counts: later ones are compared with it. */
enum nm_err nm_dedup_keep(struct nm_broker *b, uint64_t task, const struct nm_fingerprint *print);

/* nm_dedup_turn - before a commit: the index goes to the disk when much of it is new.  nm_dedup_committed - after it.
 */
enum nm_err nm_dedup_turn(struct nm_broker *b);
void nm_dedup_committed(struct nm_broker *b);

/* nm_dedup_describe - {"keys", "bytes", "lost", "compared"}, or NULL where there is none. */
struct json_t *nm_dedup_describe(const struct nm_dedup *dedup);

#endif
