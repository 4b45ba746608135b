/* experiment_seal.h - all choices written down before the test part is looked at.
 *
 * A seal is STATE/seals/N.json: every tagger of the experiment by the key of all that it depends on, and a hash over
 * them.  Only sealed taggers are scored on the test part.  STATE/seals/N.opened says that it was looked at; whoever
 * chooses anew after that makes another seal, and the results say so.
 */
#ifndef NM_CLI_EXPERIMENT_SEAL_H
#define NM_CLI_EXPERIMENT_SEAL_H

#include "cli/experiment_plan.h"

struct nm_seal {
    unsigned number;        /* 0: nothing is sealed */
    unsigned opened_before; /* earlier seals under which the test part was looked at */
    char hash[33];
};

/* nm_seal_write - the experiment as it stands; where the last seal is of just this one, that stays.  File errors. */
enum nm_err nm_seal_write(const struct nm_exp *x, struct nm_seal *seal, struct nm_diag *diag);

/* nm_seal_read - the last one.  NM_EFORMAT: it was changed since. */
enum nm_err nm_seal_read(const struct nm_exp *x, struct nm_seal *seal, struct nm_diag *diag);

/* nm_seal_open - every wanted cell is sealed, and it is noted that the test part is looked at from now on.  NM_EAUTH:
 * one is not. */
enum nm_err nm_seal_open(const struct nm_exp *x, struct nm_seal *seal, struct nm_diag *diag);

#endif
