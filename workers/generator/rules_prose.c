/* rules_prose.c - looks at the sentence itself: script, loops, echo, length, ends. */
#include <string.h>

#include <zlib.h>

#include "common/utf8.h"
#include "workers/generator/rules.h"

enum script { SCRIPT_COMMON, SCRIPT_LATIN, SCRIPT_GREEK, SCRIPT_CYRILLIC, SCRIPT_SEMITIC, SCRIPT_INDIC, SCRIPT_CJK };

/* Blocks, coarse: enough to see a model switch its language in mid-sentence. */
static enum script script_of(int32_t cp)
{
    if (cp < 0x80)
        return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') ? SCRIPT_LATIN : SCRIPT_COMMON;
    if (!nm_utf8_is_letter(cp))
        return SCRIPT_COMMON;
    if (cp < 0x250 || (cp >= 0x1e00 && cp < 0x1f00))
        return SCRIPT_LATIN;
    if ((cp >= 0x370 && cp < 0x400) || (cp >= 0x1f00 && cp < 0x2000))
        return SCRIPT_GREEK;
    if (cp >= 0x400 && cp < 0x530)
        return SCRIPT_CYRILLIC;
    if (cp >= 0x590 && cp < 0x800)
        return SCRIPT_SEMITIC;
    if (cp >= 0x900 && cp < 0x1000)
        return SCRIPT_INDIC;
    if ((cp >= 0x1100 && cp < 0x1200) || (cp >= 0x2e80 && cp < 0xd7b0) || (cp >= 0xf900 && cp < 0xfb00) ||
        cp >= 0x20000)
        return SCRIPT_CJK;
    return SCRIPT_COMMON;
}

static unsigned scripts_in(const struct nm_text *text)
{
    unsigned set = 0;
    for (size_t i = 0; i < text->n; i++)
        set |= 1U << script_of(text->cp[i]);
    return set;
}

/* Words that sentences of another language can't do without, and English ones can. */
static bool is_foreign_word(const struct nm_text *text, const struct nm_word *word)
{
    static const char *const words[] = {"und",  "der",  "das",    "dem",   "ist",  "ein",  "eine", "mit", "nicht",
                                        "wie",  "wird", "werden", "sich",  "auch", "les",  "des",  "est", "une",
                                        "dans", "avec", "qui",    "sur",   "los",  "las",  "una",  "del", "por",
                                        "para", "que",  "como",   "della", "che",  "sono", "gli",  "uma", "dos"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == word->end - word->start && nm_text_at_ascii(text, word->start, words[i]))
            return true;
    return false;
}

static bool has_word(const struct nm_text *text, uint64_t hash)
{
    for (size_t i = 0; i < text->nwords; i++)
        if (text->words[i].hash == hash)
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
    unsigned known = scripts_in(&check->prompt) | 1U << SCRIPT_COMMON | 1U << SCRIPT_GREEK;
    if (check->prompt.n == 0)
        known |= 1U << SCRIPT_LATIN;
    size_t foreign = 0, first = 0;
    for (size_t i = 0; i < text->n; i++)
        if ((known & 1U << script_of(text->cp[i])) == 0 && !nm_check_in_entity(check, i))
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

/* Bytes of the text packed by deflate at its best, without a header; 0: it does not fit the buffer.  A sentence gets
 * tables of its size: clearing zlib's usual 268 KB takes longer than packing it, and finds nothing more. */
static size_t packed_size(const struct nm_text *text)
{
    enum { SMALL = 3500, SMALL_WINDOW = 12, SMALL_MEMORY = 5, WINDOW = 15, MEMORY = 8 };
    bool small = text->len <= SMALL;
    unsigned char packed[4096];
    z_stream z = {.next_in = (unsigned char *)text->s,
                  .avail_in = (uInt)text->len,
                  .next_out = packed,
                  .avail_out = sizeof packed};
    if (deflateInit2(&z, 9, Z_DEFLATED, small ? -SMALL_WINDOW : -WINDOW, small ? SMALL_MEMORY : MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    bool whole = deflate(&z, Z_FINISH) == Z_STREAM_END;
    (void)deflateEnd(&z);
    return whole ? z.total_out : 0;
}

/* Loops that no two words of tell: deflate finds them.  Of 3,375 sentences of BC5CDR none is over 2.17; of 650
 * answers of a small model all over 2.2 are caught by another rule too: this is the net below those. */
static bool deflated(struct nm_check *check)
{
    enum { LEAST = 100 }; /* bytes */
    const struct nm_text *text = &check->text;
    size_t len = text->len < LEAST ? 0 : packed_size(text);
    if (len == 0)
        return true;
    double ratio = (double)text->len / (double)len;
    if (ratio <= check->limits->compression)
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

bool nm_check_echo(struct nm_check *check)
{
    const size_t run = check->limits->echo_words, own_least = run - 2; /* seven in a row, five of them no entity's */
    const struct nm_text *text = &check->text, *prompt = &check->prompt;
    for (size_t i = 0; i + run <= text->nwords; i++) {
        size_t own = 0;
        for (size_t k = 0; k < run; k++)
            own += !nm_check_in_entity(check, text->words[i + k].start);
        if (own < own_least)
            continue;
        for (size_t j = 0; j + run <= prompt->nwords; j++)
            if (same_words(text->words + i, prompt->words + j, run))
                return nm_check_fail(check, NM_RULE_ECHO, text->words[i].start, text->words[i + run - 1].end,
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
