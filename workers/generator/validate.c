#include "workers/generator/validate.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/utf8.h"
#include "workers/generator/rules.h"

const char *nm_rule_name(enum nm_rule rule)
{
    static const char *const names[NM_RULE_COUNT] = {
        [NM_RULE_NONE] = "none",
        [NM_RULE_UTF8] = "utf8",
        [NM_RULE_FINISH] = "finish_reason",
        [NM_RULE_JSON] = "json_form",
        [NM_RULE_CONTROL] = "control_character",
        [NM_RULE_EMPTY] = "empty",
        [NM_RULE_CODE_FENCE] = "code_fence",
        [NM_RULE_REFUSAL] = "refusal",
        [NM_RULE_SLOT] = "slot_left",
        [NM_RULE_META] = "meta_text",
        [NM_RULE_LIST] = "list",
        [NM_RULE_MARKDOWN] = "markdown",
        [NM_RULE_QUOTES] = "quotes",
        [NM_RULE_PARAGRAPHS] = "paragraphs",
        [NM_RULE_SCRIPT] = "script",
        [NM_RULE_REPETITION] = "repetition",
        [NM_RULE_ECHO] = "prompt_echo",
        [NM_RULE_ENTITY_MISSING] = "entity_missing",
        [NM_RULE_ENTITY_CASE] = "entity_case",
        [NM_RULE_ENTITY_BOUNDARY] = "entity_boundary",
        [NM_RULE_TOO_SHORT] = "too_short",
        [NM_RULE_TOO_LONG] = "too_long",
        [NM_RULE_SENTENCES] = "sentences",
        [NM_RULE_TRUNCATED] = "truncated",
    };
    return rule >= 0 && rule < NM_RULE_COUNT ? names[rule] : "unknown";
}

static bool fail_bytes(struct nm_verdict *out, enum nm_rule rule, size_t start, size_t len, const char *detail)
{
    out->accepted = false;
    out->rule = rule;
    out->span_start = start;
    out->span_len = len;
    (void)snprintf(out->detail, sizeof out->detail, "%s", detail);
    return false;
}

bool nm_check_fail(struct nm_check *check, enum nm_rule rule, size_t start, size_t end, const char *fmt, ...)
{
    char line[sizeof check->out->detail];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    size_t bad;
    if (!nm_utf8_valid(line, strlen(line), &bad)) /* cut in mid-character */
        line[bad] = '\0';
    const size_t *off = check->text.off;
    return fail_bytes(check->out, rule, off[start], off[end] - off[start], line);
}

bool nm_check_in_entity(const struct nm_check *check, size_t glyph)
{
    for (size_t i = 0; i < check->ntaken; i++)
        if (glyph >= check->taken[i].start && glyph < check->taken[i].end)
            return true;
    return false;
}

/* ---- cleaning -------------------------------------------------------------------------------- */

static bool is_dropped(int32_t cp)
{
    return cp == 0xfeff || cp == 0x200b || cp == 0x2060 || cp == 0xad || cp == '\r';
}

static bool is_control(int32_t cp)
{
    return (cp < 0x20 && cp != '\n' && cp != '\t') || (cp >= 0x7f && cp < 0xa0) || cp == 0xfffd;
}

/* What stands for cp in the cleaned text, given the glyphs beside it (0 at the ends). */
static int32_t plain(int32_t before, int32_t cp, int32_t after)
{
    if (cp == 0x2010 || cp == 0x2011)
        return '-';
    if (cp == 0x2019 && nm_text_word_char(before) && nm_text_word_char(after))
        return '\'';
    if (cp != '\n' && nm_utf8_is_space(cp))
        return ' ';
    return cp;
}

/* Collapse and tidy valid NFC text into out, which has room for in->len bytes; false at a control character.
 */
static bool tidy(const struct nm_text *in, char *out, size_t *out_len, size_t *bad)
{
    size_t len = 0;
    int32_t before = '\n';
    for (size_t i = 0; i < in->n; i++) {
        int32_t cp = in->cp[i];
        if (is_dropped(cp))
            continue;
        if (is_control(cp)) {
            *bad = in->off[i];
            return false;
        }
        cp = plain(before, cp, i + 1 < in->n ? in->cp[i + 1] : 0);
        bool gap = cp == ' ' || cp == '\n';
        if (gap && (before == ' ' || before == '\n')) {
            if (cp == '\n' && before == ' ')
                out[len - 1] = '\n';
            before = cp == '\n' ? '\n' : before;
            continue;
        }
        len += (size_t)nm_utf8_put(cp, out + len);
        before = cp;
    }
    while (len > 0 && (out[len - 1] == ' ' || out[len - 1] == '\n'))
        len--;
    *out_len = len;
    return true;
}

struct pair {
    const char *open, *close;
};

/* Quotes around the whole come off where they are the only ones of their kind. */
static void strip_quotes(const char **s, size_t *len)
{
    static const struct pair pairs[] = {{"\"", "\""}, {"\xe2\x80\x9c", "\xe2\x80\x9d"},
                                        {"'", "'"},   {"\xe2\x80\x98", "\xe2\x80\x99"},
                                        {"`", "`"},   {"\xc2\xab", "\xc2\xbb"}};
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        size_t a = strlen(pairs[k].open), b = strlen(pairs[k].close);
        if (*len <= a + b || memcmp(*s, pairs[k].open, a) != 0 || memcmp(*s + *len - b, pairs[k].close, b) != 0)
            continue;
        const char *inner = *s + a;
        size_t inner_len = *len - a - b;
        if (memmem(inner, inner_len, pairs[k].open, a) != NULL || memmem(inner, inner_len, pairs[k].close, b) != NULL)
            continue;
        while (inner_len > 0 && *inner == ' ') {
            inner++;
            inner_len--;
        }
        while (inner_len > 0 && inner[inner_len - 1] == ' ')
            inner_len--;
        *s = inner;
        *len = inner_len;
        return;
    }
}

static bool is_ascii(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] >= 0x80)
            return false;
    return true;
}

/* s in NFC, in the arena (or s itself where it is ASCII). */
static enum nm_err nfc(const char *s, size_t len, struct nm_arena *arena, const char **out, size_t *out_len)
{
    *out = s;
    *out_len = len;
    if (is_ascii(s, len))
        return NM_OK;
    struct nm_buf buf;
    nm_buf_init(&buf, 4 * len + 16);
    enum nm_err err = nm_utf8_nfc(s, len, &buf);
    if (err == NM_OK) {
        *out = nm_arena_strndup(arena, nm_buf_str(&buf), buf.len);
        *out_len = buf.len;
        err = *out == NULL ? NM_ENOMEM : NM_OK;
    }
    nm_buf_clean_up(&buf);
    return err;
}

/* Clean in->raw into out->text.  *go_on is false if that alone is a verdict. */
static enum nm_err clean(const struct nm_validate_input *in, struct nm_arena *arena, struct nm_verdict *out,
                         bool *go_on)
{
    const char *s;
    size_t len, bad = 0;
    enum nm_err err = nfc(in->raw, in->raw_len, arena, &s, &len);
    if (err != NM_OK)
        return err;
    struct nm_text raw;
    err = nm_text_decode(s, len, arena, &raw);
    char *tidied = nm_arena_alloc(arena, len + 1);
    if (err != NM_OK || tidied == NULL)
        return err != NM_OK ? err : NM_ENOMEM;
    *go_on = tidy(&raw, tidied, &len, &bad);
    if (!*go_on) {
        fail_bytes(out, NM_RULE_CONTROL, 0, 0, "it holds control characters: plain text only");
        return NM_OK;
    }
    s = tidied;
    strip_quotes(&s, &len);
    out->text = nm_arena_strndup(arena, s, len);
    out->text_len = len;
    return out->text == NULL ? NM_ENOMEM : NM_OK;
}

/* ---- entities -------------------------------------------------------------------------------- */

static bool overlaps(const struct nm_check *check, size_t start, size_t end)
{
    for (size_t i = 0; i < check->ntaken; i++)
        if (start < check->taken[i].end && check->taken[i].start < end)
            return true;
    return false;
}

/* Take the first free place of the entity; false with the rule that says how near it came. */
static bool take(struct nm_check *check, const struct nm_text *entity, size_t index, enum nm_rule *rule)
{
    bool fold = !nm_text_case_matters(entity);
    *rule = NM_RULE_ENTITY_MISSING;
    for (size_t at = nm_text_find(&check->text, 0, entity, true); at != NM_TEXT_NONE;
         at = nm_text_find(&check->text, at + 1, entity, true)) {
        size_t end = at + entity->n;
        if (overlaps(check, at, end))
            continue;
        bool bounded = nm_text_bounded(&check->text, at, end);
        bool cased = fold || memcmp(check->text.cp + at, entity->cp, entity->n * sizeof *entity->cp) == 0;
        if (bounded && cased) {
            check->taken[check->ntaken++] = (struct nm_taken){at, end, index};
            return true;
        }
        if (bounded)
            *rule = NM_RULE_ENTITY_CASE;
        else if (*rule == NM_RULE_ENTITY_MISSING)
            *rule = NM_RULE_ENTITY_BOUNDARY;
    }
    return false;
}

struct missing {
    enum nm_rule rule;
    const char *entity;
};

/* Longest first, each its own place: "pain" is not found inside a requested "abdominal pain". */
static enum nm_err take_entities(struct nm_check *check, struct nm_arena *arena, struct missing *missing)
{
    struct nm_text entity[NM_VALIDATE_MAX_ENTITIES];
    size_t order[NM_VALIDATE_MAX_ENTITIES];
    const struct nm_validate_input *in = check->in;
    for (size_t i = 0; i < in->count; i++) {
        const char *s;
        size_t len;
        enum nm_err err = nfc(in->entities[i], strlen(in->entities[i]), arena, &s, &len);
        if (err == NM_OK)
            err = nm_text_decode(s, len, arena, &entity[i]);
        if (err != NM_OK)
            return err;
        size_t k = i;
        for (; k > 0 && entity[order[k - 1]].n < entity[i].n; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    for (size_t k = 0; k < in->count; k++) {
        enum nm_rule rule;
        if (take(check, &entity[order[k]], order[k], &rule) || missing->rule != NM_RULE_NONE)
            continue;
        missing->rule = rule;
        missing->entity = in->entities[order[k]];
    }
    return NM_OK;
}

static bool check_entities(struct nm_check *check, const struct missing *missing)
{
    switch (missing->rule) {
    case NM_RULE_NONE:
        return true;
    case NM_RULE_ENTITY_CASE:
        return nm_check_fail(check, missing->rule, 0, 0, "the term \"%.150s\" has to keep its capital letters",
                             missing->entity);
    case NM_RULE_ENTITY_BOUNDARY:
        return nm_check_fail(check, missing->rule, 0, 0,
                             "the term \"%.150s\" has to stand as a word of its own, not inside a longer word",
                             missing->entity);
    default:
        return nm_check_fail(check, NM_RULE_ENTITY_MISSING, 0, 0, "the term \"%.150s\" is missing: use it exactly",
                             missing->entity);
    }
}

static enum nm_err keep_places(const struct nm_check *check, struct nm_arena *arena)
{
    struct nm_place *places = nm_arena_alloc(arena, (check->ntaken + 1) * sizeof *places);
    if (places == NULL)
        return NM_ENOMEM;
    const size_t *off = check->text.off;
    for (size_t i = 0; i < check->ntaken; i++) {
        const struct nm_taken *taken = &check->taken[i];
        places[i] = (struct nm_place){taken->entity, off[taken->start], off[taken->end] - off[taken->start]};
    }
    check->out->places = places;
    check->out->n_places = check->ntaken;
    return NM_OK;
}

/* ---- the order ------------------------------------------------------------------------------- */

/* What the bytes and the finish reason alone decide. */
static bool check_raw(const struct nm_validate_input *in, struct nm_verdict *out)
{
    size_t bad;
    if (in->raw_len > NM_VALIDATE_MAX_BYTES)
        return fail_bytes(out, NM_RULE_TOO_LONG, 0, in->raw_len, "it is far too long: one sentence only");
    if (!nm_utf8_valid(in->raw, in->raw_len, &bad))
        return fail_bytes(out, NM_RULE_UTF8, bad, 1, "it is not valid UTF-8 text");
    if (in->finish_reason != NULL && strcmp(in->finish_reason, "length") == 0)
        return fail_bytes(out, NM_RULE_FINISH, 0, 0, "it was cut off because it was too long: write a shorter one");
    if (in->finish_reason != NULL && strcmp(in->finish_reason, "content_filter") == 0)
        return fail_bytes(out, NM_RULE_FINISH, 0, 0, "it was stopped by a content filter: keep to clinical facts");
    if (in->malformed)
        return fail_bytes(out, NM_RULE_JSON, 0, 0, "it is not the JSON object that was asked for");
    return true;
}

static bool check_all(struct nm_check *check, const struct missing *missing)
{
    if (check->text.nwords == 0)
        return nm_check_fail(check, NM_RULE_EMPTY, 0, check->text.n, "it is empty");
    return nm_check_code_fence(check) && nm_check_refusal(check) && nm_check_slot(check) && nm_check_meta(check) &&
           nm_check_list(check) && nm_check_markdown(check) && nm_check_quotes(check) && nm_check_paragraphs(check) &&
           nm_check_script(check) && nm_check_repetition(check) && nm_check_echo(check) &&
           check_entities(check, missing) && nm_check_words(check) && nm_check_sentences(check) &&
           nm_check_truncated(check);
}

enum nm_err nm_validate(const struct nm_validate_input *in, struct nm_arena *arena, struct nm_verdict *out)
{
    memset(out, 0, sizeof *out);
    out->text = "";
    if (in->count > NM_VALIDATE_MAX_ENTITIES)
        return NM_ELIMIT;
    if (!check_raw(in, out))
        return NM_OK;
    bool go_on = true;
    enum nm_err err = clean(in, arena, out, &go_on);
    if (err != NM_OK || !go_on)
        return err;
    struct nm_check check = {.in = in, .out = out};
    err = nm_text_decode(out->text, out->text_len, arena, &check.text);
    if (err == NM_OK && in->prompt != NULL)
        err = nm_text_decode(in->prompt, strlen(in->prompt), arena, &check.prompt);
    if (err != NM_OK)
        return err;
    struct missing missing = {NM_RULE_NONE, NULL};
    err = take_entities(&check, arena, &missing);
    if (err == NM_OK)
        err = keep_places(&check, arena);
    if (err != NM_OK)
        return err;
    if (check_all(&check, &missing))
        out->accepted = true;
    return NM_OK;
}
