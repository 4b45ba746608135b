/* bench_sink - an aligner that keeps nothing: it takes texts from a broker and says at once that they are samples.
 *
 *     bench_sink BROKER STATE_DIR
 *
 * For benchmarks of what stands before the aligner: without one, a broker stops asking for more texts after a while.
 */
#include <poll.h>
#include <stdio.h>

#include "common/log.h"
#include "common/net.h"
#include "workers/worker/worker.h"

enum { CREDIT = 4096 };

static enum nm_err take(void *ctx, const struct nm_msg *msg)
{
    struct nm_worker *worker = *(struct nm_worker **)ctx;
    if (msg->type != NM_MSG_align)
        return NM_OK;
    struct nm_msg aligned = {.type = NM_MSG_aligned,
                             .u.aligned = {.task = msg->u.align.task, .attempt = msg->u.align.attempt, .tokens = 1}};
    return nm_worker_send(worker, &aligned);
}

int main(int argc, char **argv)
{
    struct nm_worker *worker = NULL;
    struct nm_diag diag = {""};
    struct nm_worker_role role = {
        .name = "aligner", .ctx = &worker, .credit = CREDIT, .endpoint = "tcp://127.0.0.1:9", .message = take};
    if (argc != 3) {
        (void)fprintf(stderr, "usage: bench_sink BROKER STATE_DIR\n");
        return NM_EXIT_USAGE;
    }
    nm_log_init("sink");
    nm_net_init();
    nm_worker_catch_signals();
    enum nm_err err = nm_worker_new(&role, argv[1], argv[2], &worker, &diag);
    if (err == NM_OK)
        err = nm_worker_join(worker, 30000, &diag);
    if (err == NM_OK)
        err = nm_worker_start(worker);
    while (err == NM_OK && nm_worker_stop_requested() == 0) {
        int wait_ms = 0;
        err = nm_worker_step(worker, &wait_ms, &diag);
        struct pollfd fd = {.fd = nm_worker_fd(worker), .events = POLLIN};
        if (err == NM_OK)
            (void)poll(&fd, 1, wait_ms);
    }
    if (err != NM_OK)
        (void)fprintf(stderr, "bench_sink: %s\n", diag.text);
    nm_worker_destroy(&worker);
    nm_net_clean_up();
    return (int)nm_exit_code(err);
}
