/* text.h - a short text decoded once for many looks: code points, lower-cased code points, words.
 *
 * Everything lives in the caller's arena.  Indices are glyphs (code points); off[] turns them into bytes.
 * Internal to the generator.  Threads: any, one arena each.
 */
#ifndef NM_GENERATOR_TEXT_H
#define NM_GENERATOR_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"

struct nm_word {
    size_t start, end; /* glyphs, surrounding punctuation left out */
    uint64_t hash;     /* of the lower-cased glyphs */
};

struct nm_text {
    const char *s; /* borrowed, valid UTF-8 */
    size_t len;
    int32_t *cp;   /* (n) as written */
    int32_t *fold; /* (n) lower-cased */
    size_t *off;   /* (n + 1) byte offsets */
    size_t n;
    struct nm_word *words;
    size_t nwords; /* white-space separated runs that hold a letter or a digit */
};

/* Blocks, coarse: enough to see a model switch its language in mid-sentence.  A set of them is their sum. */
enum nm_script {
    NM_SCRIPT_COMMON = 1 << 0,
    NM_SCRIPT_LATIN = 1 << 1,
    NM_SCRIPT_GREEK = 1 << 2,
    NM_SCRIPT_CYRILLIC = 1 << 3,
    NM_SCRIPT_SEMITIC = 1 << 4,
    NM_SCRIPT_INDIC = 1 << 5,
    NM_SCRIPT_CJK = 1 << 6
};

#define NM_TEXT_NONE ((size_t)-1)
#define NM_TEXT_PHRASES_MAX 64

/* nm_text_decode - look at s[0..len), which must stay as long as the text is used.
 * NM_EFORMAT: not UTF-8.  NM_ENOMEM.
 */
enum nm_err nm_text_decode(const char *s, size_t len, struct nm_arena *arena, struct nm_text *out);

/* nm_text_word_char - letter, digit or combining mark: what a token is not cut inside of. */
bool nm_text_word_char(int32_t cp);

/* nm_text_script - of one letter, COMMON for what is none; nm_text_scripts - of all of the text, as a set. */
enum nm_script nm_text_script(int32_t cp);
unsigned nm_text_scripts(const struct nm_text *text);

/* nm_text_find - first place at or after from where needle stands, as written or (fold) whatever the case.
 * NM_TEXT_NONE if there is none.
 */
size_t nm_text_find(const struct nm_text *text, size_t from, const struct nm_text *needle, bool fold);

/* nm_text_glyph - the glyph that begins at this byte. */
size_t nm_text_glyph(const struct nm_text *text, size_t byte);

/* nm_text_find_ascii - the same for a lower-case ASCII phrase, whatever the case of the text. */
size_t nm_text_find_ascii(const struct nm_text *text, size_t from, const char *phrase);

/* nm_text_find_phrase - the first of the phrases that stands anywhere between token boundaries; its first place goes
 * to *at.  NULL: none does.  A phrase is lower-case ASCII, of two characters or more, the first one a letter; NULL
 * stands behind the last of at most NM_TEXT_PHRASES_MAX. */
const char *nm_text_find_phrase(const struct nm_text *text, const char *const *phrases, size_t *at);

/* nm_text_at_ascii - true if the phrase stands exactly at glyph pos. */
bool nm_text_at_ascii(const struct nm_text *text, size_t pos, const char *phrase);

/* nm_text_bounded - true if glyphs [start,end) begin and end at token boundaries. */
bool nm_text_bounded(const struct nm_text *text, size_t start, size_t end);

/* nm_text_case_matters - the casing policy: three characters or fewer, or capitals and no small letter. */
bool nm_text_case_matters(const struct nm_text *entity);

#endif
