/* rules_prose.c - looks at the sentence itself: script, loops, echo, length, ends. */
#include <string.h>

#include "common/utf8.h"
#include "workers/generator/packed.h"
#include "workers/generator/rules.h"

/* Words that sentences of another language can't do without, and English ones can. */
static bool is_foreign_word(const struct nm_text *text, const struct nm_word *word)
{
    enum { LONGEST = 6 };
    static const char *const words[] = {"und",  "der",  "das",    "dem",   "ist",  "ein",  "eine", "mit", "nicht",
                                        "wie",  "wird", "werden", "sich",  "auch", "les",  "des",  "est", "une",
                                        "dans", "avec", "qui",    "sur",   "los",  "las",  "una",  "del", "por",
                                        "para", "que",  "como",   "della", "che",  "sono", "gli",  "uma", "dos"};
    if (word->end - word->start > LONGEST)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (text->fold[word->start] == words[i][0] && strlen(words[i]) == word->end - word->start &&
            nm_text_at_ascii(text, word->start, words[i]))
            return true;
    return false;
}

static bool has_word(const struct nm_wording *wording, uint64_t hash)
{
    for (size_t i = 0; i < wording->n; i++)
        if (wording->words[i] == hash)
            return true;
    return false;
}

/* Three different ones, of which the prompt has none, and a tenth of all words: another language in the same script.
 */
static bool same_language(struct nm_check *check)
{
    enum { DIFFERENT = 3, SHARE = 10 };
    const struct nm_text *text = &check->text;
    uint64_t seen[DIFFERENT] = {0};
    size_t different = 0, all = 0;
    const struct nm_word *first = NULL;
    for (const struct nm_word *word = text->words; word < text->words + text->nwords; word++) {
        if (!is_foreign_word(text, word) || has_word(&check->prompt, word->hash) ||
            nm_check_in_entity(check, word->start))
            continue;
        first = first == NULL ? word : first;
        all++;
        bool known = false;
        for (size_t i = 0; i < different; i++)
            known = known || seen[i] == word->hash;
        if (!known && different < DIFFERENT)
            seen[different++] = word->hash;
    }
    if (different < DIFFERENT || all * SHARE < text->nwords)
        return true;
    return nm_check_fail(check, NM_RULE_SCRIPT, first->start, first->end, "it is in another language");
}

bool nm_check_script(struct nm_check *check)
{
    const struct nm_text *text = &check->text;
    unsigned known = check->prompt.scripts | NM_SCRIPT_COMMON | NM_SCRIPT_GREEK;
    if (check->prompt.scripts == 0)
        known |= NM_SCRIPT_LATIN;
    size_t foreign = 0, first = 0;
    bool plain = text->n == text->len && (known & NM_SCRIPT_LATIN) != 0; /* ASCII */
    for (size_t i = 0; i < text->n && !plain; i++)
        if ((known & nm_text_script(text->cp[i])) == 0 && !nm_check_in_entity(check, i))
            first = foreign++ == 0 ? i : first;
    if (foreign < check->limits->foreign_letters) /* one stray letter is a symbol, two are a word */
        return same_language(check);
    return nm_check_fail(check, NM_RULE_SCRIPT, first, first + 1, "it changes to another language or script");
}

static bool same_words(const struct nm_word *a, const struct nm_word *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i].hash != b[i].hash)
            return false;
    return true;
}

/* Word n-grams that follow themselves at once: "the the the", "of pain of pain of pain", "a b c a b c". */
static bool loop_of(struct nm_check *check, size_t n, size_t times)
{
    const struct nm_text *text = &check->text;
    for (size_t i = 0; i + n * times <= text->nwords; i++) {
        size_t k = 1;
        while (k < times && same_words(text->words + i, text->words + i + k * n, n))
            k++;
        if (k == times) {
            size_t start = text->words[i].start, end = text->words[i + n - 1].end;
            return nm_check_fail(check, NM_RULE_REPETITION, start, text->words[i + n * times - 1].end,
                                 "it repeats \"%.*s\"", (int)(text->off[end] - text->off[start]),
                                 text->s + text->off[start]);
        }
    }
    return true;
}

/* The same four words three times (limits->repeats) anywhere. */
static bool four_gram(struct nm_check *check)
{
    const struct nm_text *text = &check->text;
    for (size_t i = 0; i + 4 <= text->nwords; i++) {
        size_t seen = 1;
        for (size_t j = i + 4; j + 4 <= text->nwords && seen < check->limits->repeats; j++)
            seen += same_words(text->words + i, text->words + j, 4);
        if (seen == check->limits->repeats)
            return nm_check_fail(check, NM_RULE_REPETITION, text->words[i].start, text->words[i + 3].end,
                                 "it says the same words again and again");
    }
    return true;
}

/* Half of the words of a longer text are repeats of others.  Abstracts of PubMed: 0.70 and more at 40 words.
 */
static bool distinct_words(struct nm_check *check)
{
    const struct nm_text *text = &check->text;
    size_t distinct = 0;
    if (text->nwords < 16 || text->nwords > 400)
        return true;
    for (size_t i = 0; i < text->nwords; i++) {
        size_t j = 0;
        while (j < i && text->words[j].hash != text->words[i].hash)
            j++;
        distinct += j == i;
    }
    if ((double)distinct >= check->limits->distinct_words * (double)text->nwords)
        return true;
    return nm_check_fail(check, NM_RULE_REPETITION, 0, text->n, "it has only %zu different words among %zu", distinct,
                         text->nwords);
}

/* Loops that no two words of tell: deflate finds them.  Of 3,375 sentences of BC5CDR none is over 2.17; of 650
 * answers of a small model all over 2.2 are caught by another rule too: this is the net below those. */
static bool deflated(struct nm_check *check)
{
    enum { LEAST = 100 }; /* bytes */
    const struct nm_text *text = &check->text;
    if (text->len < LEAST || !nm_packed_over(text->s, text->len, check->limits->compression))
        return true;
    return nm_check_fail(check, NM_RULE_REPETITION, 0, text->n, "it says the same again and again");
}

/* Inside a word: one character 6 times, or 2 to 8 characters 4 times ("hydroxyhydroxyhydroxyhydroxy"). */
static bool loop_in_word(struct nm_check *check)
{
    const struct nm_text *text = &check->text;
    for (size_t period = 1; period <= 8; period++) {
        size_t need = period == 1 ? 5 : period * 3, run = 0;
        for (size_t i = period; i < text->n; i++) {
            bool same = text->fold[i] == text->fold[i - period] && text->fold[i] != ' ' && text->fold[i] != '0';
            run = same ? run + 1 : 0;
            if (run >= need && !nm_check_in_entity(check, i))
                return nm_check_fail(check, NM_RULE_REPETITION, i + 1 - run - period, i + 1,
                                     "it repeats the same letters");
        }
    }
    return true;
}

bool nm_check_repetition(struct nm_check *check)
{
    if (!loop_of(check, 1, 3) || !loop_of(check, 2, 3))
        return false;
    for (size_t n = 3; n <= 12; n++)
        if (!loop_of(check, n, 2))
            return false;
    return four_gram(check) && distinct_words(check) && loop_in_word(check) && deflated(check);
}

/* Does the text's run of words at i stand in the prompt? */
static bool is_told(const struct nm_check *check, size_t i, size_t run)
{
    const struct nm_word *words = check->text.words + i;
    const struct nm_wording *prompt = &check->prompt;
    for (size_t j = 0; j + run <= prompt->n; j++) {
        size_t k = 0;
        while (k < run && words[k].hash == prompt->words[j + k])
            k++;
        if (k == run)
            return true;
    }
    return false;
}

/* A run that holds a word that is not the prompt's need not be looked for. */
bool nm_check_echo(struct nm_check *check)
{
    const size_t run = check->limits->echo_words, own_least = run - 2; /* seven in a row, five of them no entity's */
    const struct nm_text *text = &check->text;
    uint64_t known[64] = {0}; /* numbers that the prompt's words have */
    size_t row = 0;           /* words up to here that have such numbers */
    for (size_t j = 0; j < check->prompt.n; j++)
        known[check->prompt.words[j] / 64 % 64] |= (uint64_t)1 << check->prompt.words[j] % 64;
    for (size_t end = 0; end < text->nwords; end++) {
        uint64_t hash = text->words[end].hash;
        row = (known[hash / 64 % 64] >> hash % 64 & 1) != 0 ? row + 1 : 0;
        if (row < run) /* some word of the run is not the prompt's */
            continue;
        size_t i = end + 1 - run, own = 0;
        for (size_t k = 0; k < run; k++)
            own += !nm_check_in_entity(check, text->words[i + k].start);
        if (own >= own_least && is_told(check, i, run))
            return nm_check_fail(check, NM_RULE_ECHO, text->words[i].start, text->words[end].end,
                                 "it repeats the instructions instead of following them");
    }
    return true;
}

bool nm_check_words(struct nm_check *check)
{
    size_t n = check->text.nwords;
    if (check->in->min_words > 0 && n < check->in->min_words)
        return nm_check_fail(check, NM_RULE_TOO_SHORT, 0, check->text.n, "it has %zu words, fewer than %zu", n,
                             check->in->min_words);
    if (check->in->max_words > 0 && n > check->in->max_words)
        return nm_check_fail(check, NM_RULE_TOO_LONG, 0, check->text.n, "it has %zu words, more than %zu", n,
                             check->in->max_words);
    return true;
}

static bool is_stop(int32_t cp)
{
    return cp == '.' || cp == '!' || cp == '?' || cp == 0x3002 || cp == 0xff01 || cp == 0xff1f;
}

/* True if the word that ends before glyph end is one that keeps its full stop in mid-sentence. */
static bool abbreviation(const struct nm_text *text, size_t end)
{
    static const char *const known[] = {"dr",  "mr",   "mrs", "ms",  "prof", "fig",  "figs", "no",
                                        "nos", "vs",   "al",  "e.g", "i.e",  "cf",   "ca",   "approx",
                                        "st",  "inc",  "ltd", "eq",  "ref",  "refs", "vol",  "sp",
                                        "spp", "resp", "etc", "co",  "u.s",  "u.k",  NULL};
    size_t start = end;
    while (start > 0 && (nm_text_word_char(text->cp[start - 1]) || text->cp[start - 1] == '.'))
        start--;
    if (end - start == 1 && nm_utf8_is_upper(text->cp[start]))
        return true; /* an initial */
    for (const char *const *word = known; *word != NULL; word++)
        if (strlen(*word) == end - start && nm_text_at_ascii(text, start, *word))
            return true;
    return false;
}

/* A sentence ends at glyph i and another begins behind it. */
static bool is_break(const struct nm_check *check, size_t i)
{
    const struct nm_text *text = &check->text;
    if (!is_stop(text->cp[i]) || nm_check_in_entity(check, i))
        return false;
    size_t j = i + 1;
    while (j < text->n && (text->cp[j] == ')' || text->cp[j] == '"' || text->cp[j] == 0x201d || text->cp[j] == ']'))
        j++;
    if (j >= text->n || text->cp[j] != ' ')
        return false;
    while (j < text->n && !nm_text_word_char(text->cp[j]))
        j++;
    if (j >= text->n)
        return false;
    bool capital = nm_utf8_is_upper(text->cp[j]) || nm_utf8_is_digit(text->cp[j]);
    return capital && !(text->cp[i] == '.' && abbreviation(text, i));
}

bool nm_check_sentences(struct nm_check *check)
{
    const struct nm_text *text = &check->text;
    size_t count = 1;
    for (size_t i = 0; i < text->n; i++) {
        if (!is_break(check, i))
            continue;
        if (++count > check->limits->max_sentences)
            return nm_check_fail(check, NM_RULE_SENTENCES, i + 1, text->n, "it has more than %u sentence%s",
                                 check->limits->max_sentences, check->limits->max_sentences == 1 ? "" : "s");
    }
    return true;
}

bool nm_check_truncated(struct nm_check *check)
{
    const struct nm_text *text = &check->text;
    if (text->cp[0] < 0x80 && strchr(",;:.)]}%!?", (int)text->cp[0]) != NULL && !nm_check_in_entity(check, 0))
        return nm_check_fail(check, NM_RULE_TRUNCATED, 0, 1, "it begins in the middle of a sentence");
    size_t end = text->n;
    while (end > 0) {
        int32_t cp = text->cp[end - 1];
        if (cp != ')' && cp != ']' && cp != '"' && cp != '\'' && cp != 0x201d && cp != 0x2019 && cp != 0xbb)
            break;
        end--;
    }
    bool dots = end >= 3 && text->cp[end - 1] == '.' && text->cp[end - 2] == '.';
    if (end == 0 || !is_stop(text->cp[end - 1]) || dots)
        return nm_check_fail(check, NM_RULE_TRUNCATED, end > 0 ? end - 1 : 0, text->n,
                             "it is not finished: end with a full stop");
    return true;
}
