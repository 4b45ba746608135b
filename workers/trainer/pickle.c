#include "workers/trainer/pickle.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { STACK_MAX = 1 << 20, MEMO_MAX = 1 << 20, GLOBAL_MAX = 200 };

struct reader {
    const unsigned char *data;
    size_t size, at;
    const char *const *allowed;
    size_t n_allowed;
    struct nm_arena *arena;
    const char *name;
    struct nm_pickle **stack, **memo; /* memo: NULL where nothing was put */
    size_t depth, cap, memo_cap, memoized;
    bool done;
    struct nm_diag *diag;
};

static enum nm_err malformed(const struct reader *r, const char *what)
{
    (void)nm_fail(r->diag, NM_EFORMAT, "%s: byte %zu of its pickle: %s", r->name, r->at, what);
    return NM_EFORMAT;
}

static enum nm_err no_memory(const struct reader *r)
{
    (void)nm_fail(r->diag, NM_ENOMEM, "%s: out of memory, or more values than a file of weights has", r->name);
    return NM_ENOMEM;
}

/* ---- bytes ------------------------------------------------------------------------------------ */

static enum nm_err take(struct reader *r, size_t n, const unsigned char **bytes)
{
    *bytes = NULL;
    if (n > r->size - r->at)
        return malformed(r, "truncated: fetch the file again");
    *bytes = r->data + r->at;
    r->at += n;
    return NM_OK;
}

/* An unsigned number of n bytes, little-endian. */
static enum nm_err take_number(struct reader *r, size_t n, uint64_t *out)
{
    const unsigned char *bytes;
    enum nm_err err = take(r, n, &bytes);
    *out = 0;
    for (size_t i = n; i-- > 0 && err == NM_OK;)
        *out = *out << 8 | bytes[i];
    return err;
}

/* Up to the next newline, which is skipped. */
static enum nm_err take_line(struct reader *r, const char **line, size_t *len)
{
    const unsigned char *from = r->data + r->at, *end = memchr(from, '\n', r->size - r->at);
    *line = NULL;
    *len = 0;
    if (end == NULL)
        return malformed(r, "truncated: fetch the file again");
    *line = (const char *)from;
    *len = (size_t)(end - from);
    r->at += *len + 1;
    return NM_OK;
}

/* ---- the stack -------------------------------------------------------------------------------- */

static enum nm_err grow(struct nm_pickle ***array, size_t *cap, size_t need, size_t max)
{
    if (need <= *cap)
        return NM_OK;
    const size_t wanted = need + need / 2 + 64, each = sizeof(struct nm_pickle *);
    struct nm_pickle **grown = need <= max ? realloc(*array, wanted * each) : NULL;
    if (grown == NULL)
        return NM_ENOMEM;
    memset(grown + *cap, 0, (wanted - *cap) * each);
    *array = grown;
    *cap = wanted;
    return NM_OK;
}

static enum nm_err push(struct reader *r, struct nm_pickle *value)
{
    if (value == NULL || grow(&r->stack, &r->cap, r->depth + 1, STACK_MAX) != NM_OK)
        return no_memory(r);
    r->stack[r->depth++] = value;
    return NM_OK;
}

static enum nm_err push_new(struct reader *r, const struct nm_pickle *like)
{
    struct nm_pickle *value = nm_arena_alloc(r->arena, sizeof(*value));
    if (value != NULL)
        *value = *like;
    return push(r, value);
}

static enum nm_err push_kind(struct reader *r, enum nm_pickle_kind kind)
{
    return push_new(r, &(struct nm_pickle){.kind = kind});
}

static enum nm_err push_int(struct reader *r, int64_t integer)
{
    return push_new(r, &(struct nm_pickle){.kind = NM_PICKLE_INT, .integer = integer});
}

/* The newest value, which is no mark; NULL where there is none. */
static struct nm_pickle *top(const struct reader *r)
{
    struct nm_pickle *value = r->depth > 0 ? r->stack[r->depth - 1] : NULL;
    return value != NULL && value->kind != NM_PICKLE_MARK ? value : NULL;
}

static enum nm_err pop(struct reader *r, struct nm_pickle **value)
{
    *value = top(r);
    if (*value == NULL)
        return malformed(r, "it takes a value from an empty stack");
    r->depth--;
    return NM_OK;
}

/* Where the values above the newest mark begin. */
static enum nm_err find_mark(const struct reader *r, size_t *first)
{
    for (*first = r->depth; *first > 0; --*first)
        if (r->stack[*first - 1]->kind == NM_PICKLE_MARK)
            return NM_OK;
    return malformed(r, "it looks for a mark that is not there");
}

static enum nm_err add_items(struct reader *r, struct nm_pickle *to, struct nm_pickle *const *values, size_t n)
{
    if (to->n + n > to->cap) {
        size_t cap = to->n + n + to->cap;
        struct nm_pickle **items = nm_arena_alloc(r->arena, cap * sizeof(struct nm_pickle *));
        if (items == NULL)
            return no_memory(r);
        if (to->n > 0)
            memcpy(items, to->items, to->n * sizeof(struct nm_pickle *));
        to->items = items;
        to->cap = cap;
    }
    if (n > 0)
        memcpy(to->items + to->n, values, n * sizeof(struct nm_pickle *));
    to->n += n;
    return NM_OK;
}

/* The newest n values as one of kind, in their place. */
static enum nm_err gather(struct reader *r, enum nm_pickle_kind kind, size_t n)
{
    struct nm_pickle *whole = nm_arena_alloc(r->arena, sizeof(*whole));
    for (size_t i = 0; i < n; i++)
        if (i >= r->depth || r->stack[r->depth - 1 - i]->kind == NM_PICKLE_MARK)
            return malformed(r, "it takes a value from an empty stack");
    if (whole == NULL)
        return no_memory(r);
    whole->kind = kind;
    enum nm_err err = n > 0 ? add_items(r, whole, r->stack + r->depth - n, n) : NM_OK;
    if (err != NM_OK)
        return err;
    r->depth -= n;
    return push(r, whole);
}

static enum nm_err gather_from_mark(struct reader *r, enum nm_pickle_kind kind)
{
    size_t first;
    enum nm_err err = find_mark(r, &first);
    if (err == NM_OK)
        err = gather(r, kind, r->depth - first);
    if (err == NM_OK) { /* the mark is below it */
        r->stack[first - 1] = r->stack[first];
        r->depth--;
    }
    return err;
}

/* The values from first on go into the collection of this kind that stands below them (and below a mark). */
static enum nm_err collect(struct reader *r, enum nm_pickle_kind kind, size_t first, size_t marks)
{
    size_t n = r->depth - first;
    struct nm_pickle *to = first > marks && r->stack != NULL ? r->stack[first - 1 - marks] : NULL;
    if (to == NULL || to->kind != kind || (kind == NM_PICKLE_DICT && n % 2 != 0))
        return malformed(r, "it adds items to what takes none");
    enum nm_err err = add_items(r, to, r->stack + first, n);
    r->depth = first - marks;
    return err;
}

static enum nm_err collect_from_mark(struct reader *r, enum nm_pickle_kind kind)
{
    size_t first;
    enum nm_err err = find_mark(r, &first);
    return err == NM_OK ? collect(r, kind, first, 1) : err;
}

static enum nm_err collect_last(struct reader *r, enum nm_pickle_kind kind, size_t n)
{
    for (size_t i = 0; i <= n; i++)
        if (i >= r->depth || r->stack[r->depth - 1 - i]->kind == NM_PICKLE_MARK)
            return malformed(r, "it takes a value from an empty stack");
    return collect(r, kind, r->depth - n, 0);
}

/* ---- the memo --------------------------------------------------------------------------------- */

static enum nm_err put(struct reader *r, uint64_t index)
{
    struct nm_pickle *value = top(r);
    if (value == NULL)
        return malformed(r, "it keeps a value of an empty stack");
    if (index >= MEMO_MAX || grow(&r->memo, &r->memo_cap, (size_t)index + 1, MEMO_MAX) != NM_OK)
        return no_memory(r);
    r->memo[index] = value;
    r->memoized++;
    return NM_OK;
}

static enum nm_err get(struct reader *r, uint64_t index)
{
    if (index >= r->memo_cap || r->memo[index] == NULL)
        return malformed(r, "it takes a value that it has not kept");
    return push(r, r->memo[index]);
}

/* ---- globals and calls ------------------------------------------------------------------------ */

static enum nm_err push_global(struct reader *r, const char *module, size_t module_len, const char *name, size_t len)
{
    static const char ordered[] = "collections.OrderedDict";
    if (module_len > GLOBAL_MAX || len > GLOBAL_MAX)
        return malformed(r, "a global with an endless name");
    char *full = nm_arena_sprintf(r->arena, "%.*s.%.*s", (int)module_len, module, (int)len, name);
    if (full == NULL)
        return no_memory(r);
    bool known = strcmp(full, ordered) == 0;
    for (size_t i = 0; i < r->n_allowed && !known; i++)
        known = strcmp(full, r->allowed[i]) == 0;
    if (!known)
        return nm_fail(
            r->diag, NM_EFORMAT,
            "%s: its pickle names %s, which a file of weights has no need for: it is refused, and nothing in it"
            " was executed",
            r->name, full);
    return push_new(r, &(struct nm_pickle){.kind = NM_PICKLE_GLOBAL, .text = full, .len = strlen(full)});
}

static enum nm_err global_of_lines(struct reader *r)
{
    const char *module, *name;
    size_t module_len, len;
    enum nm_err err = take_line(r, &module, &module_len);
    if (err == NM_OK)
        err = take_line(r, &name, &len);
    return err == NM_OK ? push_global(r, module, module_len, name, len) : err;
}

static enum nm_err global_of_stack(struct reader *r)
{
    struct nm_pickle *name, *module;
    enum nm_err err = pop(r, &name);
    if (err == NM_OK)
        err = pop(r, &module);
    if (err != NM_OK)
        return err;
    if (name->kind != NM_PICKLE_TEXT || module->kind != NM_PICKLE_TEXT)
        return malformed(r, "a global whose name is no text");
    return push_global(r, module->text, module->len, name->text, name->len);
}

static enum nm_err call(struct reader *r)
{
    struct nm_pickle *args = top(r), *callee = r->depth > 1 ? r->stack[r->depth - 2] : NULL;
    if (args == NULL || callee == NULL || args->kind != NM_PICKLE_TUPLE || callee->kind != NM_PICKLE_GLOBAL)
        return malformed(r, "a call of what can't be called");
    if (strcmp(callee->text, "collections.OrderedDict") != 0)
        return gather(r, NM_PICKLE_CALL, 2);
    if (args->n > 0)
        return malformed(r, "an OrderedDict with arguments");
    r->depth -= 2;
    return push_kind(r, NM_PICKLE_DICT);
}

/* An object's state: PyTorch gives a state_dict one (_metadata), which weights don't need. */
static enum nm_err build(struct reader *r)
{
    struct nm_pickle *state;
    enum nm_err err = pop(r, &state);
    if (err == NM_OK && top(r) == NULL)
        err = malformed(r, "a state for nothing");
    return err;
}

/* ---- opcodes ---------------------------------------------------------------------------------- */

static enum nm_err text(struct reader *r, size_t length_bytes)
{
    uint64_t len;
    const unsigned char *bytes;
    enum nm_err err = take_number(r, length_bytes, &len);
    if (err == NM_OK)
        err = take(r, len <= SIZE_MAX ? (size_t)len : SIZE_MAX, &bytes);
    if (err != NM_OK)
        return err;
    return push_new(r, &(struct nm_pickle){.kind = NM_PICKLE_TEXT, .text = (const char *)bytes, .len = (size_t)len});
}

/* An int of any length, two's complement. */
static enum nm_err long_int(struct reader *r)
{
    uint64_t len, value = 0;
    const unsigned char *bytes;
    enum nm_err err = take_number(r, 1, &len);
    if (err == NM_OK)
        err = take(r, (size_t)len, &bytes);
    if (err != NM_OK)
        return err;
    if (len > 8)
        return push_new(r,
                        &(struct nm_pickle){.kind = NM_PICKLE_LONG, .text = (const char *)bytes, .len = (size_t)len});
    bool negative = len > 0 && (bytes[len - 1] & 0x80) != 0;
    for (size_t i = 8; i-- > 0;)
        value = value << 8 | (i < len ? bytes[i] : negative ? 0xFFU : 0U);
    return push_int(r, (int64_t)value);
}

static enum nm_err number(struct reader *r, size_t bytes, bool is_signed)
{
    uint64_t value;
    enum nm_err err = take_number(r, bytes, &value);
    if (err != NM_OK)
        return err;
    return push_int(r, is_signed ? (int64_t)(int32_t)(uint32_t)value : (int64_t)value);
}

static enum nm_err skip(struct reader *r, size_t n)
{
    const unsigned char *bytes;
    return take(r, n, &bytes);
}

static enum nm_err memo_op(struct reader *r, unsigned char op)
{
    uint64_t index = r->memoized;
    enum nm_err err = NM_OK;
    if (op != 0x94)
        err = take_number(r, op == 'q' || op == 'h' ? 1 : 4, &index);
    if (err != NM_OK)
        return err;
    return op == 'h' || op == 'j' ? get(r, index) : put(r, index);
}

static enum nm_err drop(struct reader *r, bool to_mark)
{
    size_t first;
    struct nm_pickle *value;
    if (!to_mark)
        return pop(r, &value);
    enum nm_err err = find_mark(r, &first);
    if (err == NM_OK)
        r->depth = first - 1;
    return err;
}

static enum nm_err number_op(struct reader *r, unsigned char op)
{
    switch (op) {
    case 'N':
        return push_kind(r, NM_PICKLE_NONE);
    case 0x88:
    case 0x89:
        return push_int(r, op == 0x88);
    case 'K':
        return number(r, 1, false);
    case 'M':
        return number(r, 2, false);
    case 'J':
        return number(r, 4, true);
    case 0x8a:
        return long_int(r);
    default: { /* G */
        enum nm_err err = skip(r, 8);
        return err == NM_OK ? push_kind(r, NM_PICKLE_FLOAT) : err;
    }
    }
}

static enum nm_err step(struct reader *r)
{
    const unsigned char *op;
    enum nm_err err = take(r, 1, &op);
    if (err != NM_OK)
        return err;
    switch (*op) {
    case 0x80: /* PROTO */
        return skip(r, 1);
    case 0x95: /* FRAME */
        return skip(r, 8);
    case '.':
        r->done = true;
        return NM_OK;
    case '(':
        return push_kind(r, NM_PICKLE_MARK);
    case '0':
    case '1':
        return drop(r, *op == '1');
    case 'N':
    case 0x88:
    case 0x89:
    case 'K':
    case 'M':
    case 'J':
    case 0x8a:
    case 'G':
        return number_op(r, *op);
    case 0x8c: /* SHORT_BINUNICODE */
    case 'U':
    case 'C':
        return text(r, 1);
    case 'X':
    case 'T':
    case 'B':
        return text(r, 4);
    case 0x8d: /* BINUNICODE8 */
        return text(r, 8);
    case ')':
        return push_kind(r, NM_PICKLE_TUPLE);
    case 't':
        return gather_from_mark(r, NM_PICKLE_TUPLE);
    case 0x85: /* TUPLE1 to TUPLE3 */
    case 0x86:
    case 0x87:
        return gather(r, NM_PICKLE_TUPLE, *op - 0x84U);
    case ']':
        return push_kind(r, NM_PICKLE_LIST);
    case 'a':
        return collect_last(r, NM_PICKLE_LIST, 1);
    case 'e':
        return collect_from_mark(r, NM_PICKLE_LIST);
    case '}':
        return push_kind(r, NM_PICKLE_DICT);
    case 's':
        return collect_last(r, NM_PICKLE_DICT, 2);
    case 'u':
        return collect_from_mark(r, NM_PICKLE_DICT);
    case 'q':
    case 'r':
    case 'h':
    case 'j':
    case 0x94:
        return memo_op(r, *op);
    case 'c':
        return global_of_lines(r);
    case 0x93:
        return global_of_stack(r);
    case 'R':
        return call(r);
    case 'b':
        return build(r);
    case 'Q':
        return gather(r, NM_PICKLE_PERSID, 1);
    default:
        r->at--;
        return nm_fail(r->diag, NM_EFORMAT,
                       "%s: byte %zu of its pickle: opcode 0x%02x is none that a file of weights has", r->name, r->at,
                       *op);
    }
}

enum nm_err nm_pickle_read(const unsigned char *data, size_t size, const char *const *allowed, size_t n_allowed,
                           struct nm_arena *arena, const char *name, struct nm_pickle **root, size_t *used,
                           struct nm_diag *diag)
{
    struct reader r = {.data = data,
                       .size = size,
                       .allowed = allowed,
                       .n_allowed = n_allowed,
                       .arena = arena,
                       .name = name,
                       .diag = diag};
    enum nm_err err = NM_OK;
    while (err == NM_OK && !r.done)
        err = step(&r);
    if (err == NM_OK && (r.depth != 1 || top(&r) == NULL))
        err = malformed(&r, "it ends with more or less than one value");
    if (err == NM_OK) {
        *root = r.stack[0];
        *used = r.at;
    }
    free(r.stack);
    free(r.memo);
    return err;
}
