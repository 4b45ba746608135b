/* normalizer.h - what BertNormalizer and BertPreTokenizer do to a code point, as one table look-up.
 *
 * The four steps of the normaliser (clean, spaces around CJK, NFD without non-spacing marks, lower case) work
 * on one code point at a time, but for the reordering of marks that NFD asks for; so their composition is a
 * table, built once for the options of a tokenizer, and the marks are put in order while they are collected.
 * Properties are those of Hugging Face's library, not those of utf8proc: see make_normalizer_tables.py for why.
 */
#ifndef NM_TRAINER_NORMALIZER_H
#define NM_TRAINER_NORMALIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct nm_normalizer_options {
    bool clean_text;
    bool handle_chinese_chars;
    bool strip_accents;
    bool lowercase;
};

enum nm_normal_class { NM_NORMAL_WORD_CHAR, NM_NORMAL_SPACE_CHAR, NM_NORMAL_PUNCT_CHAR, NM_NORMAL_BOUNDARY };

/* A normalised code point: code point | class << 21 | combining class << 24. */
#define NM_NORMAL_CP(item) ((int32_t)((item)&0x1fffff))
#define NM_NORMAL_CLASS(item) ((enum nm_normal_class)((item) >> 21 & 7))

struct nm_normalizer;

/* A growing list of normalised code points; zero it first, free() items last. */
struct nm_normal_text {
    uint32_t *items;
    size_t count, cap;
    size_t run; /* where the present run of combining marks began */
};

/* nm_normalizer_new - the table for these options (about 200 KB).  NULL: out of memory. */
struct nm_normalizer *nm_normalizer_new(const struct nm_normalizer_options *options);
void nm_normalizer_destroy(struct nm_normalizer **map);

/* nm_normalizer_ascii - what becomes of the ASCII character c: its item, or 0 where it is dropped.  Pure. */
uint32_t nm_normalizer_ascii(const struct nm_normalizer *map, unsigned char c);

/* nm_normalizer_add - normalise cp and append the result to text.  NM_ENOMEM.  Threads: any, one a text. */
enum nm_err nm_normalizer_add(const struct nm_normalizer *map, int32_t cp, struct nm_normal_text *text)
    __attribute__((warn_unused_result));

#endif
