/* batch_line.h - one line of a batch file, as the OpenAI-style batch APIs have it: a request out, a result in.
 *
 *     {"custom_id": "RUN-TASK-ATTEMPT", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
 *     {"custom_id": "...", "response": {"status_code": 200, "body": {...}}, "error": null}
 *     {"custom_id": "...", "response": null, "error": {"code": "batch_expired", "message": "..."}}
 *
 * Pure.  Any thread.
 */
#ifndef NM_GENERATOR_BATCH_LINE_H
#define NM_GENERATOR_BATCH_LINE_H

#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"
#include "schemas/messages.h"

/* nm_batch_line_write - append a request's line; body is its JSON object.  NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_batch_line_write(const char *run, uint64_t task, uint64_t attempt, struct nm_str body,
                                struct nm_buf *out);

struct nm_batch_result {
    char run[128]; /* of custom_id; "" where it is none of ours */
    uint64_t task, attempt;
    uint64_t status;     /* HTTP; 0: the request was not answered at all */
    struct nm_str body;  /* the answer as JSON, in the arena; empty: none */
    struct nm_str error; /* why there is no answer, for a person, in the arena; empty: there is one */
};

/* nm_batch_line_read - a result's line.  NM_EFORMAT: not JSON, or not a result; diag says what is wrong.  NM_ENOMEM.
 */
enum nm_err nm_batch_line_read(const char *line, size_t len, struct nm_arena *arena, struct nm_batch_result *result,
                               struct nm_diag *diag);

#endif
