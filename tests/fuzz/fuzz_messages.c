/* Frames and records from anywhere: decoded or refused; what was decoded is encoded again to the same message. */
#include <stdint.h>
#include <stdlib.h>

#include "schemas/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nm_arena arena;
    struct nm_buf first, second;
    struct nm_diag diag;
    struct nm_msg msg, again;
    nm_arena_init(&arena, (size_t)1 << 28);
    nm_buf_init(&first, NM_FRAME_MAX);
    nm_buf_init(&second, NM_FRAME_MAX);
    if (nm_msg_decode(data, size, &arena, &msg, &diag) == NM_OK) {
        if (nm_msg_encode(&msg, &first) != NM_OK ||
            nm_msg_decode(first.data, first.len, &arena, &again, &diag) != NM_OK ||
            nm_msg_encode(&again, &second) != NM_OK || first.len != second.len)
            abort();
    }
    struct nm_msg_sample sample;
    struct nm_msg_response response;
    (void)nm_sample_decode(data, size, &arena, &sample, &diag);
    (void)nm_response_decode(data, size, &arena, &response, &diag);
    nm_arena_clean_up(&arena);
    nm_buf_clean_up(&first);
    nm_buf_clean_up(&second);
    return 0;
}
