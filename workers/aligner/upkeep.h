/* upkeep.h - what an aligner does for its store between two texts: tells the broker of sealed shards, fills holes,
 * mends what is damaged, and after its start reads every shard once, so that damage is found before a trainer asks.
 * One thread. */
#ifndef NM_ALIGNER_UPKEEP_H
#define NM_ALIGNER_UPKEEP_H

#include <stdbool.h>

#include "workers/aligner/mend.h"

struct nm_upkeep;

/* nm_upkeep_new - all three are borrowed.  NULL: out of memory. */
struct nm_upkeep *nm_upkeep_new(struct nm_worker *worker, struct nm_bio *bio, struct nm_samples *samples);
void nm_upkeep_destroy(struct nm_upkeep **upkeep);

/* nm_upkeep_welcome - what the broker knows of us; nothing is done yet. */
void nm_upkeep_welcome(struct nm_upkeep *upkeep, const struct nm_msg_welcome *welcome);

/* nm_upkeep_step - one piece of work, if there is any; *busy: there may be more at once, else *wait_ms is lowered to
 * when there may be.  idle: no text is waiting. Returned are only errors that the aligner can't live with; what can't
 * be mended is logged, and tried again. */
enum nm_err nm_upkeep_step(struct nm_upkeep *upkeep, bool idle, bool *busy, int *wait_ms, struct nm_diag *diag);

/* nm_upkeep_hopes - damage that is found will be mended, as far as is known. */
bool nm_upkeep_hopes(const struct nm_upkeep *upkeep);

#endif
