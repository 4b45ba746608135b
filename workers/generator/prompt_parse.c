/* prompt_parse.c - a template's text compiled. */
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/utf8.h"
#include "workers/generator/prompt_parts.h"

enum { MAX_DEPTH = 16 };

static const char *const value_names[V_COUNT] = {
    "terms",      "entities",  "negative",  "types",     "definitions", "domain", "style",    "section",
    "words",      "min_words", "max_words", "feedback",  "rule",        "detail", "previous", "quote",
    "guidelines", "markup",    "decoy",     "exemplars", "count",       "text"};

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
    nm_arena_clean_up(&(*prompt)->arena);
    free((*prompt)->copy);
    free(*prompt);
    *prompt = NULL;
}
