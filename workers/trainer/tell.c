#include "workers/trainer/tell.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "schemas/messages.h"
#include "workers/worker/worker.h"

struct nm_tell {
    struct nm_worker *broker;
    char host[NM_NAME_MAX];
};

enum nm_err nm_tell_open(struct nm_tell **tell, const char *broker, int timeout_ms, struct nm_diag *diag)
{
    const struct nm_worker_role role = {.name = "trainer"};
    struct nm_tell *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return nm_fail(diag, NM_ENOMEM, "broker %s: out of memory", broker);
    if (gethostname(t->host, sizeof(t->host) - 1) != 0)
        t->host[0] = '\0';
    enum nm_err err = nm_worker_new(&role, broker, NULL, &t->broker, diag);
    if (err == NM_OK)
        err = nm_worker_join(t->broker, timeout_ms, diag);
    if (err != NM_OK)
        nm_tell_close(&t);
    *tell = t;
    return err;
}

void nm_tell_close(struct nm_tell **tell)
{
    if (*tell == NULL)
        return;
    nm_worker_destroy(&(*tell)->broker);
    free(*tell);
    *tell = NULL;
}

void nm_tell_news(void *arg, const struct nm_training_news *news)
{
    struct nm_tell *t = arg;
    const struct nm_train_step *last = &news->last;
    int wait_ms;
    const struct nm_msg msg = {.type = NM_MSG_training,
                               .u.training = {.run = nm_str(nm_worker_run(t->broker)),
                                              .host = nm_str(t->host),
                                              .pid = (uint64_t)getpid(),
                                              .state = nm_str(news->state),
                                              .step = last->step,
                                              .steps = news->steps,
                                              .epoch = last->epoch,
                                              .epochs = news->epochs,
                                              .loss = last->loss,
                                              .learning_rate = last->lr,
                                              .grad_norm = last->grad_norm,
                                              .tokens_per_s = last->tokens_per_s,
                                              .scored = nm_str(news->scored),
                                              .scored_step = news->scored_step,
                                              .precision = news->score.precision,
                                              .recall = news->score.recall,
                                              .f1 = news->score.f1}};
    enum nm_err err = nm_worker_send(t->broker, &msg);
    if (err != NM_OK)
        nm_debug("the broker was not told how the training goes: %s", nm_err_name(err));
    (void)nm_worker_step(t->broker, &wait_ms, NULL); /* an answer is a complaint, and is logged */
}
