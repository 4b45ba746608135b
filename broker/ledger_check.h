/* ledger_check.h - is a ledger whole?  Every invariant of its databases is held against the others.
 *
 *   1. The store is a ledger, of a schema this nermill reads; every key and record can be read.
 *   2. A task is open or ended, never both; exactly the tasks taken from the plan, and the extra ones, are
 *      one of the two.
 *   3. An open task has a state of the open ones, and a worker of the right role exactly if it is held.
 *   4. The answers to a task are those to its attempts 1 to n.  It waits for the answer to n + 1 (ready, delayed,
 *      leased), or n was accepted (accepted, aligning, done, dropped) or rejected (dead).  Answers before the last
 *      one are rejections, but for what an operator has buried and kicked.
 *   5. The counters are what the databases hold: answers, accepted and rejected ones, rules, tokens, cost; tasks
 *      done, dead, dropped; the samples of each aligner.
 *   6. Dead letters are the dead tasks.
 *   7. Each entity is covered by as many texts as tasks that ask for it and are accepted, aligning or done, and
 *      is asked for again, alone or not, by as many extra tasks as say so.
 *
 * It reads one snapshot, in one walk through open, ended and responses together: O(answers) time, 12 bytes an entity.
 */
#ifndef NM_BROKER_LEDGER_CHECK_H
#define NM_BROKER_LEDGER_CHECK_H

#include <stdint.h>

#include "common/err.h"

struct nm_ledger_findings {
    char run[64];
    uint64_t violations;
    uint64_t open, done, dead, dropped, answers, accepted, aside, entities, workers;
};

/* What is broken: one line without its end, valid during the call. */
typedef void (*nm_ledger_violation_fn)(void *ctx, const char *line);

/* nm_ledger_check - the ledger in the directory path, beside a live broker too (its old pages are kept from reuse
 * meanwhile); nothing is written.  NM_OK: it could be read to its end, and findings->violations is how often fn was
 * called.  Otherwise as nm_store_open, and diag says why. */
enum nm_err nm_ledger_check(const char *path, nm_ledger_violation_fn fn, void *ctx,
                            struct nm_ledger_findings *findings, struct nm_diag *diag);

#endif
