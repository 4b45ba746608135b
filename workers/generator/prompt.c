/* prompt.c - the messages of one call, out of a compiled template. */
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "workers/generator/prompt_parts.h"

const char *nm_prompt_role_name(enum nm_prompt_role role)
{
    static const char *const names[] = {"system", "user", "assistant"};
    return names[role];
}

/* "a", "a and b", "a, b and c"; or with notes: "a" (X), "b" (Y). */
static enum nm_err join(const struct nm_prompt_pair *pairs, size_t n, bool quote, bool notes, struct nm_buf *out)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        const char *gap = i == 0 ? "" : i + 1 == n && !notes ? " and " : ", ";
        const char *mark = quote ? "\"" : "";
        err = nm_buf_addf(out, "%s%s%s%s", gap, mark, pairs[i].text, mark);
        if (err == NM_OK && notes && pairs[i].note != NULL)
            err = nm_buf_addf(out, " (%s)", pairs[i].note);
    }
    return err;
}

static enum nm_err definitions(const struct nm_prompt_vars *vars, struct nm_buf *out)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < vars->n_types && err == NM_OK; i++)
        if (vars->types[i].note != NULL)
            err = nm_buf_addf(out, "%s%s: %s", out->len > 0 ? "\n" : "", vars->types[i].text, vars->types[i].note);
    return err;
}

static enum nm_err add_number(struct nm_buf *out, size_t n)
{
    return n > 0 ? nm_buf_addf(out, "%zu", n) : NM_OK;
}

static enum nm_err add_words(const struct nm_prompt_vars *vars, struct nm_buf *out)
{
    if (vars->min_words > 0 && vars->max_words > 0)
        return nm_buf_addf(out, "%zu to %zu", vars->min_words, vars->max_words);
    if (vars->max_words > 0)
        return nm_buf_addf(out, "at most %zu", vars->max_words);
    return vars->min_words > 0 ? nm_buf_addf(out, "at least %zu", vars->min_words) : NM_OK;
}

static enum nm_err add_str(struct nm_buf *out, const char *s)
{
    return s != NULL ? nm_buf_adds(out, s) : NM_OK;
}

static enum nm_err add_value(enum value value, const struct nm_prompt_vars *vars, struct nm_buf *out)
{
    bool feedback = vars->rule != NULL && vars->rule[0] != '\0';
    switch (value) {
    case V_TERMS:
        return join(vars->entities, vars->n_entities, true, false, out);
    case V_ENTITIES:
        return join(vars->entities, vars->n_entities, true, true, out);
    case V_NEGATIVE:
        return add_str(out, vars->negative ? "yes" : NULL);
    case V_TYPES:
        return join(vars->types, vars->n_types, false, false, out);
    case V_DEFINITIONS:
        return definitions(vars, out);
    case V_DOMAIN:
        return add_str(out, vars->domain);
    case V_STYLE:
        return add_str(out, vars->style);
    case V_SECTION:
        return add_str(out, vars->section);
    case V_WORDS:
        return add_words(vars, out);
    case V_MIN_WORDS:
        return add_number(out, vars->min_words);
    case V_MAX_WORDS:
        return add_number(out, vars->max_words);
    case V_FEEDBACK:
        return add_str(out, feedback ? "yes" : NULL);
    case V_RULE:
        return add_str(out, feedback ? vars->rule : NULL);
    case V_DETAIL:
        return add_str(out, feedback ? vars->detail : NULL);
    case V_PREVIOUS:
        return add_str(out, feedback ? vars->previous : NULL);
    case V_QUOTE:
        return add_str(out, feedback ? vars->quote : NULL);
    case V_GUIDELINES:
        return add_str(out, vars->guidelines);
    case V_MARKUP:
        return add_str(out, vars->markup ? "yes" : NULL);
    case V_DECOY:
        return add_str(out, vars->decoy);
    case V_EXEMPLARS:
        return add_str(out, vars->n_exemplars > 0 ? "yes" : NULL);
    case V_SENTENCES:
        return add_number(out, vars->count > 1 ? vars->count : 0);
    case V_TEXT:
        return add_str(out, vars->text);
    case V_COUNT:
        break;
    }
    return NM_EINVAL;
}

/* Cut the ends and fold three or more line ends into two, in place. */
static void tidy(char *s)
{
    char *to = s;
    size_t ends = 2;
    for (const char *from = s; *from != '\0'; from++) {
        if (*from == '\r')
            continue;
        if (*from == '\n') {
            while (to > s && to[-1] == ' ')
                to--;
            if (to == s || ends >= 2)
                continue;
            ends++;
        } else if (*from != ' ' || to > s) {
            ends = 0;
        }
        if (*from != ' ' || to > s)
            *to++ = *from;
    }
    while (to > s && (to[-1] == '\n' || to[-1] == ' '))
        to--;
    *to = '\0';
}

static enum nm_err render_part(const struct part *part, const struct nm_prompt_vars *vars, struct nm_buf *buf,
                               struct nm_arena *arena, const char **out)
{
    struct nm_buf probe;
    nm_buf_init(&probe, NM_PROMPT_MAX_BYTES);
    nm_buf_reset(buf);
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < part->n && err == NM_OK; i++) {
        const struct op *op = &part->ops[i];
        if (op->kind == OP_TEXT)
            err = nm_buf_add(buf, op->text, op->len);
        else if (op->kind == OP_VALUE)
            err = add_value(op->value, vars, buf);
        else if (op->kind != OP_END) {
            nm_buf_reset(&probe);
            err = add_value(op->value, vars, &probe);
            if ((probe.len == 0) == (op->kind == OP_IF))
                i = op->jump;
        }
    }
    nm_buf_clean_up(&probe);
    if (err != NM_OK)
        return err;
    char *text = nm_arena_strndup(arena, nm_buf_str(buf), buf->len);
    if (text == NULL)
        return NM_ENOMEM;
    tidy(text);
    *out = text;
    return NM_OK;
}

/* Role, NUL, text, NUL of each message. */
static enum nm_err add_to_hash(struct nm_buf *buf, const struct nm_prompt_message *message)
{
    const char *role = nm_prompt_role_name(message->role);
    enum nm_err err = nm_buf_add(buf, role, strlen(role) + 1);
    return err == NM_OK ? nm_buf_add(buf, message->text, strlen(message->text) + 1) : err;
}

static enum nm_err set_hash(struct nm_prompt_text *text)
{
    struct nm_buf all;
    enum nm_err err = NM_OK;
    nm_buf_init(&all, 4 * NM_PROMPT_MAX_BYTES);
    for (size_t i = 0; i < text->n && err == NM_OK; i++)
        err = add_to_hash(&all, &text->messages[i]);
    if (err == NM_OK)
        text->hash = nm_hash128(all.data, all.len);
    nm_buf_clean_up(&all);
    return err;
}

/* The messages of one call, as they are made. */
struct rendering {
    const struct nm_prompt *prompt;
    const struct nm_prompt_vars *vars;
    struct nm_arena *arena;
    struct nm_prompt_message *messages;
    size_t n;
    struct nm_buf part; /* scratch */
};

static void add_message(struct rendering *r, enum nm_prompt_role role, const char *text)
{
    r->messages[r->n++] = (struct nm_prompt_message){role, text};
}

/* Each example as it would have been asked for. */
static enum nm_err add_exemplars(struct rendering *r)
{
    const struct part *user = &r->prompt->parts[r->prompt->n_parts - 1];
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < r->vars->n_exemplars && err == NM_OK; i++) {
        const struct nm_prompt_exemplar *exemplar = &r->vars->exemplars[i];
        struct nm_prompt_vars vars = *r->vars;
        const char *text;
        vars.entities = exemplar->entities;
        vars.n_entities = exemplar->n;
        vars.negative = exemplar->n == 0;
        vars.text = exemplar->text;
        vars.style = vars.section = vars.decoy = vars.rule = NULL;
        vars.min_words = vars.max_words = 0;
        err = render_part(user, &vars, &r->part, r->arena, &text);
        if (err != NM_OK)
            break;
        add_message(r, NM_PROMPT_USER, text);
        add_message(r, NM_PROMPT_ASSISTANT, exemplar->answer);
    }
    return err;
}

static enum nm_err add_part(struct rendering *r, const struct part *part, bool last)
{
    const char *text;
    if (part->exemplars)
        return add_exemplars(r);
    enum nm_err err = render_part(part, r->vars, &r->part, r->arena, &text);
    if (err == NM_OK && (text[0] != '\0' || last))
        add_message(r, part->role, text);
    return err;
}

enum nm_err nm_prompt_render(const struct nm_prompt *prompt, const struct nm_prompt_vars *vars,
                             struct nm_arena *arena, struct nm_prompt_text *out)
{
    struct rendering r = {.prompt = prompt, .vars = vars, .arena = arena};
    r.messages = nm_arena_alloc(arena, (prompt->n_parts * (1 + 2 * vars->n_exemplars)) * sizeof *r.messages);
    if (r.messages == NULL)
        return NM_ENOMEM;
    nm_buf_init(&r.part, NM_PROMPT_MAX_BYTES);
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < prompt->n_parts && err == NM_OK; i++)
        err = add_part(&r, &prompt->parts[i], i + 1 == prompt->n_parts);
    *out = (struct nm_prompt_text){.messages = r.messages, .n = r.n};
    nm_buf_clean_up(&r.part);
    return err == NM_OK ? set_hash(out) : err;
}

enum nm_err nm_prompt_shorten(struct nm_prompt_text *text, struct nm_arena *arena)
{
    struct nm_prompt_message *left = nm_arena_alloc(arena, 2 * sizeof *left);
    size_t n = 0;
    if (left == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < text->n; i++)
        if (i + 1 == text->n || (i == 0 && text->messages[i].role == NM_PROMPT_SYSTEM))
            left[n++] = text->messages[i];
    text->messages = left;
    text->n = n;
    return set_hash(text);
}
