#include "workers/generator/grammar.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* What free text is made of.  Where a stretch is at its bound, only a link word or the entity can follow: forced
 * after a bare noun, a small model writes "the disease aspirin"; after "of" or "with" it fits.  Letters come in the
 * model's own tokens; the bounds only stop run-aways. */
#define CAP "[A-Z][a-z]{0,17}"
#define WORD "[A-Za-z][a-z]{0,17}|[1-9][0-9]{0,3}(\\.[0-9]{1,2})?%%?"
static const char *const links[] = {
    "of",      "with",      "by",      "in",      "for",  "and",  "from",      "the",    "or",     "after", "during",
    "between", "including", "against", "on",      "is",   "was",  "causes",    "caused", "using",  "had",   "reduced",
    "treated", "severe",    "acute",   "chronic", "oral", "than", "developed", "both",   "without"};

static size_t count_words(const char *s)
{
    size_t words = 0;
    for (; *s != '\0'; s++)
        words += (*s != ' ' && (s[1] == ' ' || s[1] == '\0'));
    return words;
}

/* s as a literal: what the syntax would read as something else is escaped; other bytes, UTF-8 among them, stay. */
static enum nm_err add_escaped(enum nm_syntax syntax, struct nm_buf *out, const char *s, size_t len)
{
    const char *marks = syntax == NM_SYNTAX_GBNF ? "\"\\" : "\\^$.|?*+()[]{}";
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < len && err == NM_OK; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < 0x20)
            err = nm_buf_addf(out, "\\x%02X", c);
        else
            err = strchr(marks, c) != NULL ? nm_buf_addf(out, "\\%c", c) : nm_buf_addc(out, s[i]);
    }
    return err;
}

static enum nm_err add_literal(enum nm_syntax syntax, struct nm_buf *out, const char *s, size_t len)
{
    const char *mark = syntax == NM_SYNTAX_GBNF ? "\"" : "";
    enum nm_err err = nm_buf_adds(out, mark);
    if (err == NM_OK)
        err = add_escaped(syntax, out, s, len);
    if (err == NM_OK)
        err = nm_buf_adds(out, mark);
    return err == NM_OK && *mark != '\0' ? nm_buf_addc(out, ' ') : err;
}

/* first: the sentence begins with it, with a capital where it can. */
static enum nm_err add_term(enum nm_syntax syntax, struct nm_buf *out, const struct nm_grammar_term *term, bool first)
{
    size_t len = strlen(term->text);
    bool small =
        first && len > 3 && term->text[0] >= 'a' && term->text[0] <= 'z'; /* not capitals alone: case is free */
    char capital = (char)(term->text[0] - 32);
    enum nm_err err = term->type != NULL ? add_literal(syntax, out, "[[", 2) : NM_OK;
    if (err == NM_OK && small)
        err = add_literal(syntax, out, &capital, 1);
    if (err == NM_OK)
        err = add_literal(syntax, out, term->text + small, len - small);
    if (err != NM_OK || term->type == NULL)
        return err;
    err = add_literal(syntax, out, "|", 1);
    if (err == NM_OK)
        err = add_literal(syntax, out, term->type, strlen(term->type));
    return err == NM_OK ? add_literal(syntax, out, "]]", 2) : err;
}

/* Append a form: C a capitalised word, W a word, S what stands between words, L a link word, _ a space, ! the full
 * stop at the end; brackets, bars and counts as in both syntaxes. */
static enum nm_err add_form(enum nm_syntax syntax, struct nm_buf *out, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static enum nm_err add_form(enum nm_syntax syntax, struct nm_buf *out, const char *fmt, ...)
{
    char form[256];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(form, sizeof form, fmt, args);
    va_end(args);
    enum nm_err err = NM_OK;
    for (const char *c = form; *c != '\0' && err == NM_OK; c++) {
        bool gbnf = syntax == NM_SYNTAX_GBNF;
        if (*c == 'C')
            err = nm_buf_adds(out, gbnf ? "cap " : "(" CAP ")");
        else if (*c == 'W')
            err = gbnf ? nm_buf_adds(out, "word ") : nm_buf_addf(out, "(" WORD ")");
        else if (*c == 'S')
            err = nm_buf_adds(out, gbnf ? "sep " : "( |, |-)");
        else if (*c == '_')
            err = nm_buf_adds(out, gbnf ? "\" \" " : " ");
        else if (*c == '!')
            err = nm_buf_adds(out, gbnf ? "\".\" " : "\\.");
        else if (*c == 'L' && gbnf)
            err = nm_buf_adds(out, "link ");
        else if (*c == 'L')
            for (size_t i = 0; i < sizeof links / sizeof *links && err == NM_OK; i++)
                err = nm_buf_addf(out, "%s%s%s", i == 0 ? "(" : "|", links[i],
                                  i + 1 == sizeof links / sizeof *links ? ")" : "");
        else
            err = nm_buf_addc(out, *c);
    }
    return err;
}

/* The rules that the forms of a grammar name. */
static enum nm_err add_rules(struct nm_buf *out)
{
    enum nm_err err = nm_buf_adds(out, "\ncap ::= [A-Z] [a-z]{0,17}\n"
                                       "word ::= [A-Za-z] [a-z]{0,17} | [1-9] [0-9]{0,3} (\".\" [0-9]{1,2})? \"%\"?\n"
                                       "sep ::= \" \" | \", \" | \"-\"\n"
                                       "link ::= ");
    for (size_t i = 0; i < sizeof links / sizeof *links && err == NM_OK; i++)
        err = nm_buf_addf(out, "%s\"%s\"", i == 0 ? "" : " | ", links[i]);
    return err == NM_OK ? nm_buf_addc(out, '\n') : err;
}

/* Words of one stretch of free text between entities. */
static size_t stretch_words(const struct nm_grammar_term *terms, size_t count, size_t max_words)
{
    size_t most = max_words > 0 ? max_words : 40, taken = count + 1; /* links, the first word */
    for (size_t i = 0; i < count; i++)
        taken += count_words(terms[i].text);
    size_t each = most > taken ? 2 * (most - taken) / (2 * count + 3) : 0; /* the last one is half as long again */
    return each < 3 ? 3 : each;
}

static enum nm_err add_sentence(enum nm_syntax syntax, const struct nm_grammar_term *terms, size_t count,
                                size_t stretch, struct nm_buf *out)
{
    enum nm_err err = nm_buf_addc(out, '(');
    if (err == NM_OK)
        err = add_term(syntax, out, &terms[0], true);
    if (err == NM_OK)
        err = add_form(syntax, out, "|C(SW){0,%zu}(_L)?_", stretch);
    if (err == NM_OK)
        err = add_term(syntax, out, &terms[0], false);
    if (err == NM_OK)
        err = nm_buf_addc(out, ')');
    for (size_t i = 1; i < count && err == NM_OK; i++) {
        err = add_form(syntax, out, "(SW){0,%zu}(_L)?_", stretch);
        if (err == NM_OK)
            err = add_term(syntax, out, &terms[i], false);
    }
    return err == NM_OK ? add_form(syntax, out, "(SW){%d,%zu}!", count == 1 ? 3 : 0, stretch + stretch / 2) : err;
}

/* The number that a line begins with.  A line end stands for itself in a regular expression: engines differ in
 * escapes. */
static enum nm_err add_number(enum nm_syntax syntax, struct nm_buf *out, size_t number)
{
    bool gbnf = syntax == NM_SYNTAX_GBNF;
    const char *end = number == 1 ? "" : gbnf ? "\\n" : "\n";
    return nm_buf_addf(out, gbnf ? "\"%s%zu. \" " : "%s%zu\\. ", end, number);
}

static enum nm_err add_one(enum nm_syntax syntax, const struct nm_grammar_sentence *s, struct nm_buf *out)
{
    size_t least = s->min_words > 1 ? s->min_words - 1 : 1, most = s->max_words > least + 1 ? s->max_words - 1 : 40;
    return s->count == 0
               ? add_form(syntax, out, "C(SW){%zu,%zu}!", least, most)
               : add_sentence(syntax, s->terms, s->count, stretch_words(s->terms, s->count, s->max_words), out);
}

enum nm_err nm_grammar_sentences(enum nm_syntax syntax, const struct nm_grammar_sentence *sentences, size_t n,
                                 struct nm_buf *out)
{
    enum nm_err err = syntax == NM_SYNTAX_GBNF ? nm_buf_adds(out, "root ::= ") : NM_OK;
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        if (n > 1)
            err = add_number(syntax, out, i + 1);
        if (err == NM_OK)
            err = add_one(syntax, &sentences[i], out);
    }
    return err == NM_OK && syntax == NM_SYNTAX_GBNF ? add_rules(out) : err;
}

enum nm_err nm_grammar_word(enum nm_syntax syntax, const char *word, struct nm_buf *out)
{
    enum nm_err err = syntax == NM_SYNTAX_GBNF ? nm_buf_adds(out, "root ::= ") : NM_OK;
    if (err == NM_OK)
        err = add_literal(syntax, out, word, strlen(word));
    return err == NM_OK && syntax == NM_SYNTAX_GBNF ? nm_buf_adds(out, "\n") : err;
}
