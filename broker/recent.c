#include "broker/recent.h"

#include <stdlib.h>

enum { FRAMES_MAX = 16 << 20 };

void nm_recent_init(struct nm_recent *recent)
{
    *recent = (struct nm_recent){0};
    nm_map_init(&recent->places);
    nm_buf_init(&recent->frames, FRAMES_MAX);
}

void nm_recent_clean_up(struct nm_recent *recent)
{
    nm_map_clean_up(&recent->places);
    nm_buf_clean_up(&recent->frames);
    free(recent->texts);
}

struct nm_msg_align nm_recent_align(const struct nm_msg_response *response)
{
    return (struct nm_msg_align){.task = response->task,
                                 .attempt = response->attempt,
                                 .text = response->text,
                                 .entities = response->entities,
                                 .n_entities = response->n_entities,
                                 .prompt_hash = response->prompt_hash,
                                 .model = response->model,
                                 .seed = response->seed,
                                 .constraint = response->constraint,
                                 .mentions = response->mentions,
                                 .n_mentions = response->n_mentions,
                                 .marked = response->marked};
}

static enum nm_err reserve(struct nm_recent *recent)
{
    if (recent->n < recent->cap)
        return NM_OK;
    size_t cap = recent->cap ? recent->cap * 2 : 64;
    struct nm_recent_text *bigger = realloc(recent->texts, cap * sizeof *bigger);
    if (!bigger)
        return NM_ENOMEM;
    recent->texts = bigger;
    recent->cap = cap;
    return NM_OK;
}

enum nm_err nm_recent_keep(struct nm_recent *recent, const struct nm_msg_response *response)
{
    struct nm_msg msg = {.type = NM_MSG_align, .u.align = nm_recent_align(response)};
    size_t offset = recent->frames.len;
    enum nm_err err = reserve(recent);
    if (!err)
        err = nm_msg_encode(&msg, &recent->frames);
    if (err)
        return err == NM_ELIMIT ? NM_OK : err; /* the ledger has it, too */
    recent->texts[recent->n++] = (struct nm_recent_text){response->attempt, offset, recent->frames.len - offset};
    void *number = (void *)(uintptr_t)recent->n; /* a number in a pointer's place: never NULL */
    return nm_map_put(&recent->places, response->task, number);
}

bool nm_recent_get(const struct nm_recent *recent, uint64_t task, uint64_t attempt, struct nm_str *frame)
{
    size_t number = (size_t)(uintptr_t)nm_map_get(&recent->places, task);
    if (number == 0 || recent->texts[number - 1].attempt != attempt)
        return false;
    const struct nm_recent_text *text = &recent->texts[number - 1];
    *frame = (struct nm_str){recent->frames.data + text->offset, text->len};
    return true;
}

void nm_recent_forget(struct nm_recent *recent)
{
    if (recent->n == 0)
        return;
    nm_map_clear(&recent->places);
    nm_buf_reset(&recent->frames);
    recent->n = 0;
}
