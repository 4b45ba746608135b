/* tell.h - a training's news to the broker whose samples it is on, for that one's statistics.
 *
 * Sent and forgotten: where the broker is away, or starts again, nothing waits and nothing is lost but figures.
 * Threads: one.
 */
#ifndef NM_TRAINER_TELL_H
#define NM_TRAINER_TELL_H

#include "workers/trainer/trainer.h"

struct nm_tell;

/* nm_tell_open - get to know the broker's run, for at most timeout_ms.  Errors of nm_worker_join; NM_ENOMEM. */
enum nm_err nm_tell_open(struct nm_tell **tell, const char *broker, int timeout_ms, struct nm_diag *diag);
void nm_tell_close(struct nm_tell **tell);

/* nm_tell_news - arg is the nm_tell: of struct nm_training. */
void nm_tell_news(void *arg, const struct nm_training_news *news);

#endif
