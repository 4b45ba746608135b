#include "workers/generator/validate.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/generator/clean.h"
#include "workers/generator/rules.h"

const char *nm_rule_name(enum nm_rule rule)
{
    static const char *const names[NM_RULE_COUNT] = {
        [NM_RULE_NONE] = "none",
        [NM_RULE_UTF8] = "utf8",
        [NM_RULE_FINISH] = "finish_reason",
        [NM_RULE_JSON] = "json_form",
        [NM_RULE_LINE] = "line_missing",
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
        [NM_RULE_MARKUP] = "markup",
        [NM_RULE_MARKUP_TYPE] = "markup_type",
        [NM_RULE_MARKUP_MISSING] = "markup_missing",
        [NM_RULE_DECOY_MISSING] = "decoy_missing",
        [NM_RULE_TOO_SHORT] = "too_short",
        [NM_RULE_TOO_LONG] = "too_long",
        [NM_RULE_SENTENCES] = "sentences",
        [NM_RULE_TRUNCATED] = "truncated",
        [NM_RULE_LEAKAGE] = "leakage",
    };
    return rule >= 0 && rule < NM_RULE_COUNT ? names[rule] : "unknown";
}

static uint64_t off_of(const struct nm_project_validation *limits)
{
    uint64_t off = 0;
    for (uint32_t i = 0; i < limits->n_off; i++)
        for (int rule = NM_RULE_NONE + 1; rule < NM_RULE_COUNT; rule++)
            if (strcmp(limits->off[i], nm_rule_name((enum nm_rule)rule)) == 0)
                off |= nm_rule_bit((enum nm_rule)rule);
    return off;
}

static bool fail_bytes(struct nm_verdict *out, enum nm_rule rule, size_t start, size_t len, const char *detail)
{
    out->failed |= nm_rule_bit(rule);
    if (out->rule != NM_RULE_NONE) /* the first one is the verdict */
        return false;
    out->rule = rule;
    out->span_start = start;
    out->span_len = len;
    (void)snprintf(out->detail, sizeof out->detail, "%s", detail);
    return false;
}

bool nm_check_fail(struct nm_check *check, enum nm_rule rule, size_t start, size_t end, const char *fmt, ...)
{
    if ((check->off & nm_rule_bit(rule)) != 0)
        return true;
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

/* ---- the order ------------------------------------------------------------------------------- */

/* What the bytes alone decide. */
static bool check_raw(const struct nm_validate_input *in, struct nm_verdict *out)
{
    size_t bad;
    if (in->raw_len > NM_VALIDATE_MAX_BYTES)
        return fail_bytes(out, NM_RULE_TOO_LONG, 0, 0, "it is far too long: one sentence only");
    if (!nm_utf8_valid(in->raw, in->raw_len, &bad))
        return fail_bytes(out, NM_RULE_UTF8, bad, 1, "it is not valid UTF-8 text");
    return true;
}

static bool check_finish(struct nm_check *check)
{
    const char *reason = check->in->finish_reason != NULL ? check->in->finish_reason : "";
    size_t end = check->text.n;
    if (strcmp(reason, "length") == 0)
        return nm_check_fail(check, NM_RULE_FINISH, end, end,
                             "it was cut off because it was too long: write a shorter one");
    if (strcmp(reason, "content_filter") == 0)
        return nm_check_fail(check, NM_RULE_FINISH, end, end,
                             "it was stopped by a content filter: keep to plain facts of the field");
    return true;
}

/* What is no sentence at all: nothing else is looked at. */
static bool check_shape(struct nm_check *check)
{
    if (check->in->malformed)
        return nm_check_fail(check, NM_RULE_JSON, 0, 0, "it is not the JSON object that was asked for");
    if (check->in->missing)
        return nm_check_fail(check, NM_RULE_LINE, 0, 0, "it was left out of an answer that was to have several");
    if (check->text.nwords == 0)
        return nm_check_fail(check, NM_RULE_EMPTY, 0, check->text.n, "it is empty");
    return true;
}

static void check_all(struct nm_check *check)
{
    static bool (*const checks[])(struct nm_check *) = {
        nm_check_code_fence, nm_check_refusal,   nm_check_slot,       nm_check_meta,   nm_check_list,
        nm_check_markdown,   nm_check_quotes,    nm_check_paragraphs, nm_check_script, nm_check_repetition,
        nm_check_echo,       nm_check_entities,  nm_check_marks,      nm_check_marked, nm_check_decoys,
        nm_check_words,      nm_check_sentences, nm_check_truncated};
    bool fine = check_finish(check);
    if ((!fine && !check->in->every) || !check_shape(check))
        return;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (!checks[i](check) && !check->in->every)
            return;
}

/* Out of the marked text, the bare one and its marks; false: it is not to be read. */
static enum nm_err read_marks(const struct nm_validate_input *in, struct nm_arena *arena, struct nm_verdict *out)
{
    static const char *const words[] = {[NM_MARKUP_OPEN] = "a mark [[ has no ]]",
                                        [NM_MARKUP_CLOSE] = "a mark ]] has no [[",
                                        [NM_MARKUP_NESTED] = "a mark stands inside another one",
                                        [NM_MARKUP_BARE] = "a mark is not of the form [[text|TYPE]]",
                                        [NM_MARKUP_TYPE] = "a mark names a type that there is not"};
    struct nm_markup markup;
    if (in->n_types == 0)
        return NM_OK;
    enum nm_err err = nm_markup_read(out->text, out->text_len, in->types, in->n_types, arena, &markup);
    if (err != NM_OK)
        return err;
    if (markup.fault != NM_MARKUP_FINE) {
        (void)fail_bytes(out, markup.fault == NM_MARKUP_TYPE ? NM_RULE_MARKUP_TYPE : NM_RULE_MARKUP,
                         markup.fault_start, markup.fault_len, words[markup.fault]);
        return NM_OK;
    }
    out->text = markup.text;
    out->text_len = markup.len;
    out->marks = markup.marks;
    out->n_marks = markup.n;
    return NM_OK;
}

/* out->text as the model wrote it, but clean, and without marks; a rule where there can be none. */
static enum nm_err take_text(const struct nm_validate_input *in, struct nm_arena *arena, struct nm_verdict *out)
{
    struct nm_clean clean;
    out->text = "";
    if (!check_raw(in, out))
        return NM_OK;
    enum nm_err err = nm_text_clean(in->raw, in->raw_len, arena, &clean);
    if (err != NM_OK)
        return err;
    out->text = clean.text;
    out->text_len = clean.len;
    if (clean.control) {
        (void)fail_bytes(out, NM_RULE_CONTROL, 0, 0, "it holds control characters: plain text only");
        return NM_OK;
    }
    return read_marks(in, arena, out);
}

/* What it shares with the test set is nothing to tell a model of. */
static enum nm_err check_leakage(const struct nm_validate_input *in, struct nm_arena *arena, struct nm_verdict *out)
{
    size_t shared = 0;
    if (in->leakage == NULL || in->leakage->n == 0 || (out->rule != NM_RULE_NONE && !in->every))
        return NM_OK;
    enum nm_err err = nm_leakage_finds(in->leakage, (struct nm_str){out->text, out->text_len}, arena, &shared);
    if (shared > 0)
        (void)fail_bytes(out, NM_RULE_LEAKAGE, 0, out->text_len,
                         "it repeats a text that is set apart for tests: write a different one");
    return err;
}

enum nm_err nm_validate(const struct nm_validate_input *in, struct nm_arena *arena, struct nm_verdict *out)
{
    memset(out, 0, sizeof *out);
    if (in->count > NM_VALIDATE_MAX_ENTITIES)
        return NM_ELIMIT;
    const struct nm_project_validation usual = nm_project_validation_default();
    struct nm_check check = {.in = in, .out = out, .limits = in->limits != NULL ? in->limits : &usual};
    check.off = off_of(check.limits);
    enum nm_err err = take_text(in, arena, out);
    if (err != NM_OK || out->rule != NM_RULE_NONE)
        return err;
    err = nm_text_decode(out->text, out->text_len, arena, &check.text);
    if (in->prompt != NULL)
        check.prompt = *in->prompt;
    if (err == NM_OK)
        err = nm_check_take(&check, arena);
    if (err == NM_OK)
        err = nm_check_keep_places(&check, arena);
    if (err != NM_OK)
        return err;
    check_all(&check);
    err = check_leakage(in, arena, out);
    out->accepted = out->rule == NM_RULE_NONE;
    return err;
}
