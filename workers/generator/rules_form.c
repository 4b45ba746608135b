/* rules_form.c - looks at what surrounds the sentence: chat talk, markup, quotes, lines. */
#include <string.h>

#include "common/utf8.h"
#include "workers/generator/rules.h"

/* First phrase of the list that stands at glyph pos and ends at a token boundary; NULL if none. */
static const char *phrase_at(const struct nm_text *text, size_t pos, const char *const *phrases)
{
    for (; *phrases != NULL; phrases++)
        if (nm_text_at_ascii(text, pos, *phrases) && nm_text_bounded(text, pos, pos + strlen(*phrases)))
            return *phrases;
    return NULL;
}

/* A phrase at the beginning, or one anywhere. */
static const char *phrase_of(const struct nm_text *text, const char *const *begins, const char *const *anywhere,
                             size_t *at)
{
    const char *hit = phrase_at(text, 0, begins);
    *at = 0;
    return hit != NULL ? hit : nm_text_find_phrase(text, anywhere, at);
}

bool nm_check_code_fence(struct nm_check *check)
{
    size_t at = nm_text_find_ascii(&check->text, 0, "```");
    if (at == NM_TEXT_NONE)
        return true;
    return nm_check_fail(check, NM_RULE_CODE_FENCE, at, at + 3, "it is wrapped in a code fence (```)");
}

bool nm_check_refusal(struct nm_check *check)
{
    static const char *const begins[] = {"i'm sorry",
                                         "i am sorry",
                                         "sorry,",
                                         "i cannot",
                                         "i can't",
                                         "i can not",
                                         "i apologize",
                                         "i apologise",
                                         "i'm unable",
                                         "i am unable",
                                         "i'm not able",
                                         "i am not able",
                                         "i won't",
                                         "i will not",
                                         "i must decline",
                                         "unfortunately, i",
                                         "as an ai",
                                         "my apologies",
                                         "i do not feel comfortable",
                                         "i don't feel comfortable",
                                         NULL};
    static const char *const anywhere[] = {"as an ai",
                                           "as a language model",
                                           "ai language model",
                                           "i cannot fulfill",
                                           "i can't fulfill",
                                           "i cannot provide",
                                           "i can't provide",
                                           "i cannot assist",
                                           "i can't assist",
                                           "i cannot generate",
                                           "i can't generate",
                                           "i cannot write",
                                           "i'm not able to",
                                           "consult a healthcare professional for personalized",
                                           NULL};
    size_t at;
    const char *hit = phrase_of(&check->text, begins, anywhere, &at);
    return hit == NULL || nm_check_fail(check, NM_RULE_REFUSAL, at, at + strlen(hit),
                                        "it refuses (\"%s\") instead of giving the sentence", hit);
}

/* True if glyphs [start,end) read like the name of something to fill in. */
static bool slot_name(const struct nm_text *text, size_t start, size_t end)
{
    static const char *const names[] = {"entity",     "entities", "term",     "terms", "insert",  "placeholder",
                                        "name",       "chemical", "disease",  "drug",  "drugs",   "condition",
                                        "your",       "word",     "sentence", "text",  "xxx",     "blank",
                                        "medication", "gene",     "protein",  "task",  "dataset", "metric",
                                        "compound",   "fill",     "type",     NULL};
    const char *hit = phrase_at(text, start, names);
    if (hit == NULL)
        return false;
    /* "[drug A]", "[entity 1]" and "[insert disease here]" yes; a long aside in brackets no. */
    return end - start <= strlen(hit) + 24;
}

/* "[blood type]", "[journal_name]": words in square brackets; "[3H]" and "[Ca2+]" are none. */
static bool bracketed_words(const struct nm_text *text, size_t start, size_t end)
{
    bool several = false;
    for (size_t i = start; i < end; i++) {
        bool gap = text->cp[i] == ' ' || text->cp[i] == '_';
        if (!gap && !nm_utf8_is_letter(text->cp[i]))
            return false;
        several = several || gap;
    }
    return several;
}

static bool open_slot(const struct nm_text *text, size_t i, size_t *end)
{
    static const int32_t open[] = {'[', '<', '{'}, close[] = {']', '>', '}'};
    for (size_t k = 0; k < 3; k++) {
        if (text->cp[i] != open[k])
            continue;
        size_t j = i + 1;
        while (j < text->n && j - i < 48 && text->cp[j] != close[k])
            j++;
        if (j < text->n && text->cp[j] == close[k] &&
            (slot_name(text, i + 1, j) || (k == 0 && bracketed_words(text, i + 1, j)))) {
            *end = j + 1;
            return true;
        }
    }
    return false;
}

/* What any of the marks below begins with: a slot's, and markdown's. */
static bool begins_slot(int32_t cp)
{
    return cp == '[' || cp == ']' || cp == '{' || cp == '}' || cp == '<' || cp == '|' || cp == '_';
}

static bool begins_markup(int32_t cp)
{
    return cp == '*' || cp == '~' || cp == ']' || cp == 'h' || cp == '&' || cp == '\\' || cp == '<' || cp == '_';
}

bool nm_check_slot(struct nm_check *check)
{
    static const char *const marks[] = {"{{",     "}}",      "[[",     "]]",      "<|",   "|>",    "</s>", "<s>",
                                        "[inst]", "[/inst]", "<think", "</think", "____", "<unk>", NULL};
    const struct nm_text *text = &check->text;
    for (size_t i = 0; i < text->n; i++) {
        size_t end = i;
        if (!begins_slot(text->cp[i]) || nm_check_in_entity(check, i))
            continue;
        for (const char *const *mark = marks; *mark != NULL && end == i; mark++)
            if (nm_text_at_ascii(text, i, *mark))
                end = i + strlen(*mark);
        if (end == i && !open_slot(text, i, &end))
            continue;
        return nm_check_fail(check, NM_RULE_SLOT, i, end, "it holds \"%.*s\", which is not part of a sentence",
                             (int)(text->off[end] - text->off[i]), text->s + text->off[i]);
    }
    return true;
}

bool nm_check_meta(struct nm_check *check)
{
    static const char *const begins[] = {"here is",
                                         "here's",
                                         "here are",
                                         "sure",
                                         "certainly",
                                         "of course",
                                         "absolutely",
                                         "okay",
                                         "ok,",
                                         "sentence:",
                                         "sentence 1",
                                         "sentence is",
                                         "output:",
                                         "answer:",
                                         "example:",
                                         "response:",
                                         "result:",
                                         "note:",
                                         "text:",
                                         "the sentence",
                                         "the following sentence",
                                         "below is",
                                         "this sentence",
                                         "this abstract",
                                         "the abstract",
                                         "the biomedical abstract",
                                         "this article is about",
                                         "this is a comparison of",
                                         "this is a sentence",
                                         "this is the sentence",
                                         "this is an example",
                                         "assistant:",
                                         "user:",
                                         "system:",
                                         "final answer",
                                         "revised sentence",
                                         "corrected sentence",
                                         "corrected:",
                                         "revised:",
                                         "one sentence:",
                                         "i hope",
                                         "i love",
                                         "i will",
                                         "i have",
                                         "i made",
                                         "i am",
                                         "i'm",
                                         "i would",
                                         "i think",
                                         "i just",
                                         "alright",
                                         "your",
                                         "great!",
                                         "got it",
                                         "understood",
                                         "my sentence",
                                         "a sentence",
                                         "i have written",
                                         "i've written",
                                         "i will write",
                                         "i'll write",
                                         "let me",
                                         "let's",
                                         "to write",
                                         "write a sentence",
                                         "write one",
                                         "the corrected sentence",
                                         "terms:",
                                         "types:",
                                         "title:",
                                         NULL};
    static const char *const anywhere[] = {"the sentence above",
                                           "above sentence",
                                           "in this sentence",
                                           "this sentence contains",
                                           "this sentence includes",
                                           "this sentence uses",
                                           "the requested term",
                                           "the required term",
                                           "requested entities",
                                           "required entities",
                                           "the given terms",
                                           "the exact term",
                                           "exact terms",
                                           "word count",
                                           "words long",
                                           "let me know if",
                                           "feel free to",
                                           "i hope this helps",
                                           "hope this helps",
                                           "as requested",
                                           "as per your request",
                                           "according to your instructions",
                                           "the prompt",
                                           "the user",
                                           "write a sentence",
                                           "write one sentence",
                                           "a sentence",
                                           "the sentence",
                                           "this sentence",
                                           "one sentence",
                                           "single sentence",
                                           "sentence that",
                                           "your last answer",
                                           "your original",
                                           "your sentence",
                                           "your answer",
                                           "your request",
                                           "you mentioned",
                                           "you provided",
                                           "you requested",
                                           "you asked",
                                           "you gave",
                                           "you added",
                                           "terms provided",
                                           "provided terms",
                                           "original answer",
                                           "last answer",
                                           "quotation marks",
                                           "terms:",
                                           NULL};
    size_t at;
    const char *hit = phrase_of(&check->text, begins, anywhere, &at);
    return hit == NULL ||
           nm_check_fail(check, NM_RULE_META, at, at + strlen(hit),
                         "it talks about the sentence (\"%s\") instead of being the sentence alone", hit);
}

static bool is_digit(int32_t cp)
{
    return cp >= '0' && cp <= '9';
}

/* Glyphs of a bullet or a number at the beginning of a line at pos; 0 if there is none. */
static size_t bullet_at(const struct nm_text *text, size_t pos)
{
    static const int32_t bullets[] = {'-', '*', '+', 0x2022, 0x2013, 0x2014, 0x25cf, 0x25e6, 0x2023, 0xb7};
    if (pos + 1 >= text->n)
        return 0;
    for (size_t k = 0; k < sizeof bullets / sizeof *bullets; k++)
        if (text->cp[pos] == bullets[k] && text->cp[pos + 1] == ' ')
            return 2;
    size_t i = pos;
    bool paren = text->cp[i] == '(';
    i += paren ? 1 : 0;
    size_t digits = 0;
    while (i < text->n && is_digit(text->cp[i]) && digits < 3) {
        i++;
        digits++;
    }
    bool letter = digits == 0 && i < text->n && text->fold[i] >= 'a' && text->fold[i] <= 'h' && i + 1 < text->n &&
                  text->cp[i + 1] == ')';
    i += letter ? 1 : 0;
    if ((digits == 0 && !letter) || i + 1 >= text->n || text->cp[i + 1] != ' ')
        return 0;
    bool closed = text->cp[i] == ')' || (!paren && (text->cp[i] == '.' || text->cp[i] == ':'));
    return closed ? i + 2 - pos : 0;
}

bool nm_check_list(struct nm_check *check)
{
    size_t len = bullet_at(&check->text, 0);
    if (len == 0 || nm_check_in_entity(check, 0))
        return true;
    return nm_check_fail(check, NM_RULE_LIST, 0, len, "it begins with a list number or bullet");
}

/* "<b>", "</i>", "<br/>": a tag of letters, nothing that a comparison would look like. */
static size_t tag_at(const struct nm_text *text, size_t pos)
{
    size_t i = pos + 1;
    if (text->cp[pos] != '<')
        return 0;
    i += i < text->n && text->cp[i] == '/' ? 1 : 0;
    size_t letters = 0;
    while (i < text->n && text->fold[i] >= 'a' && text->fold[i] <= 'z' && letters < 8) {
        i++;
        letters++;
    }
    i += i < text->n && text->cp[i] == '/' ? 1 : 0;
    return letters > 0 && i < text->n && text->cp[i] == '>' ? i + 1 - pos : 0;
}

/* "*word*" or "_word_": emphasis with one mark. */
static size_t emphasis_at(const struct nm_text *text, size_t pos)
{
    int32_t mark = text->cp[pos];
    if ((mark != '*' && mark != '_') || (pos > 0 && nm_text_word_char(text->cp[pos - 1])) || pos + 2 >= text->n ||
        !nm_text_word_char(text->cp[pos + 1]))
        return 0;
    for (size_t i = pos + 2; i < text->n && i - pos < 80; i++)
        if (text->cp[i] == mark && nm_text_word_char(text->cp[i - 1]))
            return i + 1 < text->n && nm_text_word_char(text->cp[i + 1]) ? 0 : i + 1 - pos;
    return 0;
}

bool nm_check_markdown(struct nm_check *check)
{
    static const char *const marks[] = {"**",   "~~",    "](http", "http://", "https://", "&nbsp;",
                                        "&lt;", "&amp;", "\\(",    "\\[",     "\\text",   NULL};
    const struct nm_text *text = &check->text;
    if (text->n > 1 && ((text->cp[0] == '#' && (text->cp[1] == '#' || text->cp[1] == ' ')) ||
                        (text->cp[0] == '>' && text->cp[1] == ' ')))
        return nm_check_fail(check, NM_RULE_MARKDOWN, 0, 2, "it begins with a heading or quote mark");
    for (size_t i = 0; i < text->n; i++) {
        size_t len = 0;
        if (!begins_markup(text->cp[i]))
            continue;
        for (const char *const *mark = marks; *mark != NULL && len == 0; mark++)
            if (nm_text_at_ascii(text, i, *mark))
                len = strlen(*mark);
        if (len == 0)
            len = tag_at(text, i);
        if (len == 0)
            len = emphasis_at(text, i);
        if (len > 0 && !nm_check_in_entity(check, i))
            return nm_check_fail(check, NM_RULE_MARKDOWN, i, i + len, "it holds markup (\"%.*s\"): plain text only",
                                 (int)(text->off[i + len] - text->off[i]), text->s + text->off[i]);
    }
    return true;
}

static bool is_double_quote(int32_t cp)
{
    return cp == '"' || cp == 0x201c || cp == 0x201d || cp == 0x201e || cp == 0xab || cp == 0xbb;
}

bool nm_check_quotes(struct nm_check *check)
{
    const struct nm_text *text = &check->text;
    size_t count = 0, first = 0;
    for (size_t i = 0; i < text->n; i++)
        if (is_double_quote(text->cp[i]) && !nm_check_in_entity(check, i)) {
            /* 12" and 5'10" are inches, not quotes */
            if (text->cp[i] == '"' && i > 0 && is_digit(text->cp[i - 1]) && count % 2 == 0)
                continue;
            first = count++ == 0 ? i : first;
        }
    if (count % 2 == 0)
        return true;
    return nm_check_fail(check, NM_RULE_QUOTES, first, first + 1,
                         "a quotation mark has no partner: leave quotes out");
}

bool nm_check_paragraphs(struct nm_check *check)
{
    size_t at = nm_text_find_ascii(&check->text, 0, "\n");
    if (at == NM_TEXT_NONE)
        return true;
    return nm_check_fail(check, NM_RULE_PARAGRAPHS, at, check->text.n,
                         "it runs over several lines: one sentence on one line only");
}
