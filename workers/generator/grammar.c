#include "workers/generator/grammar.h"

#include <stdbool.h>
#include <string.h>

static size_t count_words(const char *s)
{
    size_t words = 0;
    for (; *s != '\0'; s++)
        words += (*s != ' ' && (s[1] == ' ' || s[1] == '\0'));
    return words;
}

/* s as a GBNF literal: quotes and backslashes escaped; other bytes, UTF-8 among them, as they are. */
static enum nm_err add_literal(struct nm_buf *out, const char *s)
{
    enum nm_err err = nm_buf_addc(out, '"');
    for (; *s != '\0' && err == NM_OK; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            err = nm_buf_addf(out, "\\%c", c);
        else if (c < 0x20)
            err = nm_buf_addf(out, "\\x%02X", c);
        else
            err = nm_buf_addc(out, *s);
    }
    return err == NM_OK ? nm_buf_addc(out, '"') : err;
}

/* The entity at the very beginning has a capital where it can. */
static enum nm_err add_first(struct nm_buf *out, const char *entity)
{
    bool small = strlen(entity) > 3 && entity[0] >= 'a' && entity[0] <= 'z'; /* so no capitals alone: case is free */
    if (!small)
        return add_literal(out, entity);
    enum nm_err err = nm_buf_addf(out, "\"%c\" ", entity[0] - 32);
    return err == NM_OK ? add_literal(out, entity + 1) : err;
}

/* What free text is made of.  Where a stretch is at its bound, only a link word or the entity can follow: forced
 * after a bare noun, a small model writes "the disease aspirin"; after "of" or "with" it fits.  Letters come in the
 * model's own tokens; the bounds only stop run-aways. */
static enum nm_err add_words(struct nm_buf *out)
{
    return nm_buf_adds(out,
                       "cap ::= [A-Z] [a-z]{0,17}\n"
                       "word ::= [A-Za-z] [a-z]{0,17} | [1-9] [0-9]{0,3} (\".\" [0-9]{1,2})? \"%\"?\n"
                       "sep ::= \" \" | \", \" | \"-\"\n"
                       "link ::= \"of\" | \"with\" | \"by\" | \"in\" | \"for\" | \"and\" | \"from\" | \"the\" | "
                       "\"or\" | \"after\" | \"during\" | \"between\" | \"including\" | "
                       "\"against\" | \"on\" | \"is\" | \"was\" | \"causes\" | \"caused\" | \"using\" | \"had\" | "
                       "\"reduced\" | \"treated\" | \"severe\" | \"acute\" | \"chronic\" | \"oral\" | \"than\" | "
                       "\"developed\" | \"both\" | \"without\"\n");
}

/* Words of one stretch of free text between entities. */
static size_t stretch_words(const char *const *entities, size_t count, size_t max_words)
{
    size_t most = max_words > 0 ? max_words : 40, taken = count + 1; /* links, the first word */
    for (size_t i = 0; i < count; i++)
        taken += count_words(entities[i]);
    size_t each = most > taken ? 2 * (most - taken) / (2 * count + 3) : 0; /* the last one is half as long again */
    return each < 3 ? 3 : each;
}

enum nm_err nm_grammar_sentence(const char *const *entities, size_t count, size_t min_words, size_t max_words,
                                struct nm_buf *out)
{
    enum nm_err err;
    if (count == 0) {
        size_t least = min_words > 1 ? min_words - 1 : 1, most = max_words > least + 1 ? max_words - 1 : 40;
        err = nm_buf_addf(out, "root ::= cap (sep word){%zu,%zu} \".\"\n", least, most);
        return err == NM_OK ? add_words(out) : err;
    }
    size_t stretch = stretch_words(entities, count, max_words);
    err = nm_buf_addf(out, "root ::= (first | cap (sep word){0,%zu} (\" \" link)? \" \" e0)", stretch);
    for (size_t i = 1; i < count && err == NM_OK; i++)
        err = nm_buf_addf(out, " (sep word){0,%zu} (\" \" link)? \" \" e%zu", stretch, i);
    if (err == NM_OK)
        err = nm_buf_addf(out, " (sep word){%d,%zu} \".\"\nfirst ::= ", count == 1 ? 3 : 0, stretch + stretch / 2);
    if (err == NM_OK)
        err = add_first(out, entities[0]);
    for (size_t i = 0; i < count && err == NM_OK; i++) {
        err = nm_buf_addf(out, "\ne%zu ::= ", i);
        if (err == NM_OK)
            err = add_literal(out, entities[i]);
    }
    if (err == NM_OK)
        err = nm_buf_adds(out, "\n");
    return err == NM_OK ? add_words(out) : err;
}

enum nm_err nm_grammar_word(const char *word, struct nm_buf *out)
{
    enum nm_err err = nm_buf_adds(out, "root ::= ");
    if (err == NM_OK)
        err = add_literal(out, word);
    return err == NM_OK ? nm_buf_adds(out, "\n") : err;
}
