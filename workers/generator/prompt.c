#include "workers/generator/prompt.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/utf8.h"

enum value {
    V_TERMS,
    V_ENTITIES,
    V_NEGATIVE,
    V_TYPES,
    V_DEFINITIONS,
    V_DOMAIN,
    V_STYLE,
    V_SECTION,
    V_WORDS,
    V_MIN_WORDS,
    V_MAX_WORDS,
    V_FEEDBACK,
    V_RULE,
    V_DETAIL,
    V_PREVIOUS,
    V_QUOTE,
    V_GUIDELINES,
    V_MARKUP,
    V_DECOY,
    V_EXEMPLARS,
    V_SENTENCES,
    V_TEXT,
    V_COUNT
};

static const char *const value_names[V_COUNT] = {
    "terms",      "entities",  "negative",  "types",     "definitions", "domain", "style",    "section",
    "words",      "min_words", "max_words", "feedback",  "rule",        "detail", "previous", "quote",
    "guidelines", "markup",    "decoy",     "exemplars", "count",       "text"};

enum op_kind { OP_TEXT, OP_VALUE, OP_IF, OP_UNLESS, OP_END };

struct op {
    enum op_kind kind;
    enum value value;
    const char *text; /* OP_TEXT: points into the prompt's copy of the template */
    size_t len;
    size_t jump; /* OP_IF, OP_UNLESS: index of its OP_END */
    size_t line;
};

enum { PARTS_MAX = 64, MAX_DEPTH = 16 };

struct part {
    enum nm_prompt_role role;
    bool exemplars; /* the place of the user's own, and nothing else */
    struct op *ops;
    size_t n, cap;
};

struct nm_prompt {
    char *copy;
    struct part parts[PARTS_MAX];
    size_t n_parts;
};

const char *nm_prompt_role_name(enum nm_prompt_role role)
{
    static const char *const names[] = {"system", "user", "assistant"};
    return names[role];
}

/* ---- compiling ------------------------------------------------------------------------------- */

struct parser {
    const char *name;
    const char *at, *end;
    size_t line;
    struct nm_prompt *prompt;
    struct part *part; /* NULL before the first %line */
    size_t open[MAX_DEPTH];
    size_t depth;
    struct nm_diag *diag;
};

static enum nm_err add_op(struct parser *p, struct op op)
{
    struct part *part = p->part;
    if (part->n == part->cap) {
        size_t cap = part->cap == 0 ? 16 : 2 * part->cap;
        struct op *grown = realloc(part->ops, cap * sizeof *grown);
        if (grown == NULL)
            return nm_fail(p->diag, NM_ENOMEM, "%s: out of memory", p->name);
        part->ops = grown;
        part->cap = cap;
    }
    op.line = p->line;
    part->ops[part->n++] = op;
    return NM_OK;
}

static enum nm_err find_value(struct parser *p, const char *s, size_t len, enum value *value)
{
    for (int v = 0; v < V_COUNT; v++)
        if (strlen(value_names[v]) == len && memcmp(value_names[v], s, len) == 0) {
            *value = (enum value)v;
            return NM_OK;
        }
    return nm_fail(p->diag, NM_EFORMAT,
                   "%s:%zu: unknown name \"%.*s\"; known are terms, entities, negative, types, definitions, domain, "
                   "style, section, words, min_words, max_words, guidelines, markup, decoy, exemplars, count, text, "
                   "feedback, rule, detail, previous, quote",
                   p->name, p->line, (int)len, s);
}

static enum nm_err close_section(struct parser *p, enum value value)
{
    if (p->depth == 0)
        return nm_fail(p->diag, NM_EFORMAT, "%s:%zu: {{/%s}} closes nothing", p->name, p->line, value_names[value]);
    struct op *open = &p->part->ops[p->open[p->depth - 1]];
    if (open->value != value)
        return nm_fail(p->diag, NM_EFORMAT, "%s:%zu: {{/%s}} stands where {{/%s}} is due (opened in line %zu)",
                       p->name, p->line, value_names[value], value_names[open->value], open->line);
    p->depth--;
    open->jump = p->part->n;
    return add_op(p, (struct op){.kind = OP_END, .value = value});
}

static enum nm_err text_before(const struct parser *p)
{
    return nm_fail(p->diag, NM_EFORMAT, "%s:%zu: text before the first %%system or %%user line", p->name, p->line);
}

/* The inside of {{...}}: s[0..len). */
static enum nm_err add_tag(struct parser *p, const char *s, size_t len)
{
    enum value value = V_COUNT;
    char sign = len > 0 ? *s : '\0';
    if (sign == '!')
        return NM_OK;
    if (strchr("#^/", sign) != NULL && sign != '\0') {
        s++;
        len--;
    }
    while (len > 0 && *s == ' ') {
        s++;
        len--;
    }
    while (len > 0 && s[len - 1] == ' ')
        len--;
    enum nm_err err = find_value(p, s, len, &value);
    if (err != NM_OK)
        return err;
    if (p->part == NULL)
        return text_before(p);
    if (sign == '/')
        return close_section(p, value);
    if (sign != '#' && sign != '^')
        return add_op(p, (struct op){.kind = OP_VALUE, .value = value});
    if (p->depth == MAX_DEPTH)
        return nm_fail(p->diag, NM_ELIMIT, "%s:%zu: more than %d sections inside each other", p->name, p->line,
                       MAX_DEPTH);
    p->open[p->depth++] = p->part->n;
    return add_op(p, (struct op){.kind = sign == '#' ? OP_IF : OP_UNLESS, .value = value});
}

static enum nm_err end_part(struct parser *p)
{
    if (p->part == NULL || p->depth == 0)
        return NM_OK;
    const struct op *open = &p->part->ops[p->open[p->depth - 1]];
    return nm_fail(p->diag, NM_EFORMAT, "%s:%zu: section \"%s\" is not closed: add {{/%s}}", p->name, open->line,
                   value_names[open->value], value_names[open->value]);
}

/* A line that begins with '%' opens a part. */
static enum nm_err part_line(struct parser *p, size_t len)
{
    size_t cut = len;
    while (cut > 0 && (p->at[cut - 1] == ' ' || p->at[cut - 1] == '\r'))
        cut--;
    enum nm_err err = end_part(p);
    if (err != NM_OK)
        return err;
    bool exemplars = cut == strlen("%exemplars") && memcmp(p->at, "%exemplars", cut) == 0;
    int role = exemplars ? NM_PROMPT_USER : NM_PROMPT_ASSISTANT;
    while (!exemplars && role >= 0 &&
           (strlen(nm_prompt_role_name((enum nm_prompt_role)role)) != cut - 1 ||
            memcmp(p->at + 1, nm_prompt_role_name((enum nm_prompt_role)role), cut - 1) != 0))
        role--;
    if (role < 0)
        return nm_fail(p->diag, NM_EFORMAT,
                       "%s:%zu: \"%.*s\": a part is %%system, %%user, %%assistant or %%exemplars", p->name, p->line,
                       (int)(cut < 40 ? cut : 40), p->at);
    if (role == NM_PROMPT_SYSTEM && p->prompt->n_parts > 0)
        return nm_fail(p->diag, NM_EFORMAT, "%s:%zu: %%system is the first part or none", p->name, p->line);
    if (p->prompt->n_parts == PARTS_MAX)
        return nm_fail(p->diag, NM_ELIMIT, "%s:%zu: more than %d parts", p->name, p->line, PARTS_MAX);
    p->part = &p->prompt->parts[p->prompt->n_parts++];
    p->part->role = (enum nm_prompt_role)role;
    p->part->exemplars = exemplars;
    p->at += len;
    if (p->at < p->end)
        p->at++;
    p->line++;
    return NM_OK;
}

static bool line_begins(const struct parser *p, const char *start)
{
    return p->at == start || p->at[-1] == '\n';
}

/* One piece: a part line, a tag, or the text up to the next of them. */
static enum nm_err parse_piece(struct parser *p, const char *start)
{
    if (*p->at == '%' && line_begins(p, start)) {
        const char *eol = memchr(p->at, '\n', (size_t)(p->end - p->at));
        return part_line(p, (size_t)((eol != NULL ? eol : p->end) - p->at));
    }
    bool tag = p->end - p->at >= 2 && p->at[0] == '{' && p->at[1] == '{';
    if (p->part == NULL && strchr(" \t\r\n", *p->at) == NULL && !tag)
        return text_before(p);
    if (tag) {
        const char *close = memmem(p->at, (size_t)(p->end - p->at), "}}", 2);
        if (close == NULL)
            return nm_fail(p->diag, NM_EFORMAT, "%s:%zu: {{ without }}", p->name, p->line);
        enum nm_err err = add_tag(p, p->at + 2, (size_t)(close - p->at) - 2);
        for (; p->at < close + 2; p->at++)
            p->line += *p->at == '\n';
        return err;
    }
    const char *from = p->at;
    size_t line = p->line;
    do {
        line += *p->at == '\n';
        p->at++;
    } while (p->at < p->end && !(p->at[0] == '{' && p->at + 1 < p->end && p->at[1] == '{') &&
             !(p->at[0] == '%' && p->at[-1] == '\n'));
    enum nm_err err = NM_OK;
    if (p->part != NULL)
        err = add_op(p, (struct op){.kind = OP_TEXT, .text = from, .len = (size_t)(p->at - from)});
    p->line = line;
    return err;
}

enum nm_err nm_prompt_parse(const char *name, const char *text, size_t len, struct nm_prompt **prompt,
                            struct nm_diag *diag)
{
    *prompt = NULL;
    size_t bad;
    if (len > NM_PROMPT_MAX_BYTES)
        return nm_fail(diag, NM_ELIMIT, "%s: a template has at most %d bytes", name, NM_PROMPT_MAX_BYTES);
    if (!nm_utf8_valid(text, len, &bad))
        return nm_fail(diag, NM_EFORMAT, "%s: byte %zu is not UTF-8", name, bad);
    struct nm_prompt *made = calloc(1, sizeof *made);
    if (made == NULL || (made->copy = strndup(text, len)) == NULL) {
        nm_prompt_destroy(&made);
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", name);
    }
    struct parser p = {.name = name, .at = made->copy, .line = 1, .prompt = made, .diag = diag};
    p.end = made->copy + strlen(made->copy);
    enum nm_err err = NM_OK;
    while (err == NM_OK && p.at < p.end)
        err = parse_piece(&p, made->copy);
    if (err == NM_OK)
        err = end_part(&p);
    if (err == NM_OK && (made->n_parts == 0 || made->parts[made->n_parts - 1].role != NM_PROMPT_USER ||
                         made->parts[made->n_parts - 1].exemplars || made->parts[made->n_parts - 1].n == 0))
        err = nm_fail(diag, NM_EFORMAT, "%s:%zu: there is no %%user part at the end", name, p.line);
    if (err != NM_OK)
        nm_prompt_destroy(&made);
    *prompt = made;
    return err;
}

enum nm_err nm_prompt_load(const char *path, enum nm_builtin builtin, struct nm_prompt **prompt, struct nm_diag *diag)
{
    *prompt = NULL;
    if (path == NULL)
        return nm_prompt_parse("built-in template", nm_prompt_builtin(builtin), strlen(nm_prompt_builtin(builtin)),
                               prompt, diag);
    struct nm_buf buf;
    nm_buf_init(&buf, NM_PROMPT_MAX_BYTES);
    enum nm_err err = nm_file_read(path, &buf, diag);
    if (err == NM_OK)
        err = nm_prompt_parse(path, nm_buf_str(&buf), buf.len, prompt, diag);
    nm_buf_clean_up(&buf);
    return err;
}

void nm_prompt_destroy(struct nm_prompt **prompt)
{
    if (*prompt == NULL)
        return;
    for (size_t i = 0; i < (*prompt)->n_parts; i++)
        free((*prompt)->parts[i].ops);
    free((*prompt)->copy);
    free(*prompt);
    *prompt = NULL;
}

/* ---- rendering ------------------------------------------------------------------------------- */

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
