/* prompt_merge.c - one call for several sentences: what would have been asked for each, numbered. */
#include "common/buf.h"
#include "workers/generator/prompt_parts.h"

struct merging {
    struct nm_buf text; /* of the message under way */
    struct nm_prompt_message messages[4];
    size_t n;
    struct nm_arena *arena;
};

static enum nm_err add_numbered(struct merging *m, size_t number, const char *text, const char *gap)
{
    return nm_buf_addf(&m->text, "%s%zu. %s", number > 1 ? gap : "", number, text);
}

static enum nm_err add_request(struct merging *m, size_t n)
{
    nm_buf_reset(&m->text);
    return nm_buf_addf(&m->text, "Answer each of these %zu requests with one line that begins with its number.\n\n",
                       n);
}

static enum nm_err end_message(struct merging *m, enum nm_prompt_role role)
{
    const char *text = nm_arena_strndup(m->arena, nm_buf_str(&m->text), m->text.len);
    m->messages[m->n++] = (struct nm_prompt_message){role, text, NULL};
    return text != NULL ? NM_OK : NM_ENOMEM;
}

/* The examples between the system message and the last one: pairs of a user's and an answer. */
static enum nm_err merge_examples(struct merging *m, const struct nm_prompt_text *from, size_t first)
{
    size_t pairs = (from->n - 1 - first) / 2;
    if (pairs == 0)
        return NM_OK;
    enum nm_err err = add_request(m, pairs);
    for (size_t i = 0; i < pairs && err == NM_OK; i++)
        err = add_numbered(m, i + 1, from->messages[first + 2 * i].text, "\n\n");
    if (err == NM_OK)
        err = end_message(m, NM_PROMPT_USER);
    nm_buf_reset(&m->text);
    for (size_t i = 0; i < pairs && err == NM_OK; i++)
        err = add_numbered(m, i + 1, from->messages[first + 2 * i + 1].text, "\n");
    return err == NM_OK ? end_message(m, NM_PROMPT_ASSISTANT) : err;
}

enum nm_err nm_prompt_merge(const struct nm_prompt_text *texts, size_t n, struct nm_arena *arena,
                            struct nm_prompt_text *out)
{
    struct merging m = {.arena = arena};
    const struct nm_prompt_text *head = &texts[0];
    size_t first = head->messages[0].role == NM_PROMPT_SYSTEM;
    nm_buf_init(&m.text, 4 * NM_PROMPT_MAX_BYTES);
    if (first > 0)
        m.messages[m.n++] = head->messages[0];
    enum nm_err err = merge_examples(&m, head, first);
    if (err == NM_OK)
        err = add_request(&m, n);
    for (size_t i = 0; i < n && err == NM_OK; i++)
        err = add_numbered(&m, i + 1, texts[i].messages[texts[i].n - 1].text, "\n\n");
    if (err == NM_OK)
        err = end_message(&m, NM_PROMPT_USER);
    nm_buf_clean_up(&m.text);
    if (err != NM_OK)
        return err;
    struct nm_prompt_message *messages = nm_arena_alloc(arena, m.n * sizeof *messages);
    if (messages == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < m.n; i++)
        messages[i] = m.messages[i];
    *out = (struct nm_prompt_text){.messages = messages, .n = m.n};
    return nm_prompt_name(out);
}
