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

static enum nm_err add_all(struct nm_buf *out, const char *const *texts, size_t n)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < n && err == NM_OK; i++)
        err = nm_buf_adds(out, texts[i]);
    return err;
}

/* "a", "a and b", "a, b and c"; or with notes: "a" (X), "b" (Y). */
static enum nm_err join(const struct nm_prompt_pair *pairs, size_t n, bool quote, bool notes, struct nm_buf *out)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        const char *gap = i == 0 ? "" : i + 1 == n && !notes ? " and " : ", ", *mark = quote ? "\"" : "";
        bool noted = notes && pairs[i].note != NULL;
        const char *const texts[] = {gap, mark, pairs[i].text, mark, " (", noted ? pairs[i].note : "", ")"};
        err = add_all(out, texts, noted ? 7 : 4);
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

/* The values that are a text as they are: it, "" or NULL where it is not there. */
static const char *text_of(enum value value, const struct nm_prompt_vars *vars)
{
    bool feedback = vars->rule != NULL && vars->rule[0] != '\0';
    switch (value) {
    case V_NEGATIVE:
        return vars->negative ? "yes" : NULL;
    case V_DOMAIN:
        return vars->domain;
    case V_STYLE:
        return vars->style;
    case V_SECTION:
        return vars->section;
    case V_FEEDBACK:
        return feedback ? "yes" : NULL;
    case V_RULE:
        return feedback ? vars->rule : NULL;
    case V_DETAIL:
        return feedback ? vars->detail : NULL;
    case V_PREVIOUS:
        return feedback ? vars->previous : NULL;
    case V_QUOTE:
        return feedback ? vars->quote : NULL;
    case V_GUIDELINES:
        return vars->guidelines;
    case V_MARKUP:
        return vars->markup ? "yes" : NULL;
    case V_DECOY:
        return vars->decoy;
    case V_EXEMPLARS:
        return vars->n_exemplars > 0 ? "yes" : NULL;
    case V_TEXT:
        return vars->text;
    default:
        return NULL;
    }
}

static enum nm_err add_value(enum value value, const struct nm_prompt_vars *vars, struct nm_buf *out)
{
    const char *text;
    switch (value) {
    case V_TERMS:
        return join(vars->entities, vars->n_entities, true, false, out);
    case V_ENTITIES:
        return join(vars->entities, vars->n_entities, true, true, out);
    case V_TYPES:
        return join(vars->types, vars->n_types, false, false, out);
    case V_DEFINITIONS:
        return definitions(vars, out);
    case V_WORDS:
        return add_words(vars, out);
    case V_MIN_WORDS:
        return add_number(out, vars->min_words);
    case V_MAX_WORDS:
        return add_number(out, vars->max_words);
    case V_SENTENCES:
        return add_number(out, vars->count > 1 ? vars->count : 0);
    default:
        text = text_of(value, vars);
        return text != NULL ? nm_buf_adds(out, text) : NM_OK;
    }
}

/* Would anything be added? */
static bool is_there(enum value value, const struct nm_prompt_vars *vars)
{
    const char *text;
    bool defined = false;
    switch (value) {
    case V_TERMS:
    case V_ENTITIES:
        return vars->n_entities > 0;
    case V_TYPES:
        return vars->n_types > 0;
    case V_DEFINITIONS:
        for (size_t i = 0; i < vars->n_types; i++)
            defined = defined || vars->types[i].note != NULL;
        return defined;
    case V_WORDS:
        return vars->min_words > 0 || vars->max_words > 0;
    case V_MIN_WORDS:
        return vars->min_words > 0;
    case V_MAX_WORDS:
        return vars->max_words > 0;
    case V_SENTENCES:
        return vars->count > 1;
    default:
        text = text_of(value, vars);
        return text != NULL && text[0] != '\0';
    }
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

/* One part, as it is being made. */
struct rendering {
    const struct nm_prompt_vars *vars;
    const struct settled *asked; /* its values are there or not as there says; NULL: as vars says */
    size_t there;
    struct nm_buf text; /* scratch */
    struct nm_arena *arena;
};

static bool has(const struct rendering *r, enum value value)
{
    for (size_t k = 0; r->asked != NULL && k < r->asked->n_asked; k++)
        if (r->asked->asked[k] == value)
            return (r->there >> k & 1) != 0;
    return is_there(value, r->vars);
}

static enum nm_err render_part(struct rendering *r, const struct part *part, const char **out)
{
    enum nm_err err = NM_OK;
    nm_buf_reset(&r->text);
    for (size_t i = 0; i < part->n && err == NM_OK; i++) {
        const struct op *op = &part->ops[i];
        if (op->kind == OP_TEXT)
            err = nm_buf_add(&r->text, op->text, op->len);
        else if (op->kind == OP_VALUE)
            err = add_value(op->value, r->vars, &r->text);
        else if (op->kind != OP_END && has(r, op->value) != (op->kind == OP_IF))
            i = op->jump;
    }
    if (err != NM_OK)
        return err;
    char *text = nm_arena_strndup(r->arena, nm_buf_str(&r->text), r->text.len);
    if (text == NULL)
        return NM_ENOMEM;
    tidy(text);
    *out = text;
    return NM_OK;
}

/* ---- what is settled ------------------------------------------------------------------------- */

static bool is_projects(enum value value)
{
    return value == V_TYPES || value == V_DEFINITIONS || value == V_DOMAIN || value == V_GUIDELINES ||
           value == V_MARKUP;
}

/* What it asks of a call's values; false: too much, or it speaks of one. */
static bool find_asked(const struct part *part, struct settled *out)
{
    out->n_asked = 0;
    for (const struct op *op = part->ops; op < part->ops + part->n; op++) {
        if (op->kind == OP_TEXT || op->kind == OP_END || is_projects(op->value))
            continue;
        size_t k = 0;
        while (k < out->n_asked && out->asked[k] != op->value)
            k++;
        if (op->kind == OP_VALUE || k == ASKED_MAX)
            return false;
        if (k == out->n_asked)
            out->asked[out->n_asked++] = op->value;
    }
    return !part->exemplars;
}

static enum nm_err settle_part(struct rendering *r, struct part *part)
{
    struct settled settled = {.texts = NULL};
    if (!find_asked(part, &settled))
        return NM_OK;
    size_t n = (size_t)1 << settled.n_asked;
    struct nm_passage *texts = nm_arena_alloc(r->arena, n * sizeof *texts);
    enum nm_err err = texts != NULL ? NM_OK : NM_ENOMEM;
    r->asked = &settled;
    for (r->there = 0; r->there < n && err == NM_OK; r->there++) {
        const char *text;
        err = render_part(r, part, &text);
        if (err == NM_OK)
            err = nm_passage_make(text, r->arena, &texts[r->there]);
    }
    r->asked = NULL;
    settled.texts = texts;
    if (err == NM_OK)
        part->settled = settled;
    return err == NM_ENOMEM ? err : NM_OK; /* what is too long, or not UTF-8, is told when a call is made of it */
}

enum nm_err nm_prompt_settle(struct nm_prompt *prompt, const struct nm_prompt_vars *project)
{
    struct rendering r = {.vars = project, .arena = &prompt->arena};
    enum nm_err err = NM_OK;
    nm_buf_init(&r.text, NM_PROMPT_MAX_BYTES);
    for (size_t i = 0; i < prompt->n_parts && err == NM_OK; i++)
        err = settle_part(&r, &prompt->parts[i]);
    nm_buf_clean_up(&r.text);
    return err;
}

/* NULL: it is to be rendered. */
static const struct nm_passage *settled_text(const struct part *part, const struct nm_prompt_vars *vars)
{
    size_t there = 0;
    for (size_t k = 0; k < part->settled.n_asked; k++)
        there |= (size_t)is_there(part->settled.asked[k], vars) << k;
    return part->settled.texts != NULL ? &part->settled.texts[there] : NULL;
}

/* ---- the messages of a call ------------------------------------------------------------------ */

enum { USUAL_BYTES = 4000 }; /* of a prompt */

/* Role, NUL, text, NUL of each message. */
static enum nm_err add_to_hash(struct nm_buf *buf, const struct nm_prompt_message *message)
{
    const char *role = nm_prompt_role_name(message->role);
    enum nm_err err = nm_buf_add(buf, role, strlen(role) + 1);
    return err == NM_OK ? nm_buf_add(buf, message->text, strlen(message->text) + 1) : err;
}

enum nm_err nm_prompt_name(struct nm_prompt_text *text)
{
    struct nm_buf all;
    nm_buf_init(&all, 4 * NM_PROMPT_MAX_BYTES);
    enum nm_err err = nm_buf_reserve(&all, USUAL_BYTES);
    for (size_t i = 0; i < text->n && err == NM_OK; i++)
        err = add_to_hash(&all, &text->messages[i]);
    if (err == NM_OK)
        text->hash = nm_hash128(all.data, all.len);
    nm_buf_clean_up(&all);
    return err;
}

struct messages {
    const struct nm_prompt *prompt;
    struct rendering r;
    struct nm_prompt_message *list;
    size_t n;
};

static void add_message(struct messages *m, enum nm_prompt_role role, const char *text,
                        const struct nm_passage *passage)
{
    m->list[m->n++] = (struct nm_prompt_message){role, text, passage};
}

/* Each example as it would have been asked for. */
static enum nm_err add_exemplars(struct messages *m)
{
    const struct part *user = &m->prompt->parts[m->prompt->n_parts - 1];
    const struct nm_prompt_vars *call = m->r.vars;
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < call->n_exemplars && err == NM_OK; i++) {
        const struct nm_prompt_exemplar *exemplar = &call->exemplars[i];
        struct nm_prompt_vars vars = *call;
        const char *text;
        vars.entities = exemplar->entities;
        vars.n_entities = exemplar->n;
        vars.negative = exemplar->n == 0;
        vars.text = exemplar->text;
        vars.style = vars.section = vars.decoy = vars.rule = NULL;
        vars.min_words = vars.max_words = 0;
        m->r.vars = &vars;
        err = render_part(&m->r, user, &text);
        if (err != NM_OK)
            break;
        add_message(m, NM_PROMPT_USER, text, NULL);
        add_message(m, NM_PROMPT_ASSISTANT, exemplar->answer, NULL);
    }
    m->r.vars = call;
    return err;
}

static enum nm_err add_part(struct messages *m, const struct part *part, bool last)
{
    const struct nm_passage *passage = settled_text(part, m->r.vars);
    const char *text = passage != NULL ? passage->text : NULL;
    if (part->exemplars)
        return add_exemplars(m);
    enum nm_err err = passage == NULL ? render_part(&m->r, part, &text) : NM_OK;
    if (err == NM_OK && (text[0] != '\0' || last))
        add_message(m, part->role, text, passage);
    return err;
}

enum nm_err nm_prompt_render(const struct nm_prompt *prompt, const struct nm_prompt_vars *vars,
                             struct nm_arena *arena, struct nm_prompt_text *out)
{
    struct messages m = {.prompt = prompt, .r = {.vars = vars, .arena = arena}};
    m.list = nm_arena_alloc(arena, (prompt->n_parts * (1 + 2 * vars->n_exemplars)) * sizeof *m.list);
    if (m.list == NULL)
        return NM_ENOMEM;
    nm_buf_init(&m.r.text, NM_PROMPT_MAX_BYTES);
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < prompt->n_parts && err == NM_OK; i++)
        err = add_part(&m, &prompt->parts[i], i + 1 == prompt->n_parts);
    *out = (struct nm_prompt_text){.messages = m.list, .n = m.n};
    nm_buf_clean_up(&m.r.text);
    return err == NM_OK ? nm_prompt_name(out) : err;
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
    return nm_prompt_name(text);
}
