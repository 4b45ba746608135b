/* recent.h - the texts accepted in this turn, as ALIGN frames, so that those which go to an aligner in the same turn
 * need not be read back from the ledger and decoded.  One thread. */
#ifndef NM_BROKER_RECENT_H
#define NM_BROKER_RECENT_H

#include <stdbool.h>

#include "broker/map.h"
#include "common/buf.h"
#include "schemas/messages.h"

struct nm_recent_text {
    uint64_t attempt;
    size_t offset, len;
};

struct nm_recent {
    struct nm_map places; /* task -> its number in texts, + 1 */
    struct nm_recent_text *texts;
    size_t n, cap;
    struct nm_buf frames;
};

void nm_recent_init(struct nm_recent *recent);
void nm_recent_clean_up(struct nm_recent *recent);

/* nm_recent_keep - the text of an accepted answer.  One too many is not kept.  NM_ENOMEM. */
enum nm_err nm_recent_keep(struct nm_recent *recent, const struct nm_msg_response *response);

/* nm_recent_get - the ALIGN frame of that attempt, until nm_recent_forget; false: it is not here. */
bool nm_recent_get(const struct nm_recent *recent, uint64_t task, uint64_t attempt, struct nm_str *frame);

void nm_recent_forget(struct nm_recent *recent);

/* nm_recent_align - what an aligner is told of an accepted answer; borrows from it. */
struct nm_msg_align nm_recent_align(const struct nm_msg_response *response);

#endif
