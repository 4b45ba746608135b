/* normalizer_tables.h - the generated tables behind normalizer.h; make_normalizer_tables.py writes them. */
#ifndef NM_TRAINER_NORMALIZER_TABLES_H
#define NM_TRAINER_NORMALIZER_TABLES_H

#include <stddef.h>
#include <stdint.h>

enum {
    NM_NORMAL_CLEAN_DROP = 1,  /* clean_text removes it */
    NM_NORMAL_CLEAN_SPACE = 2, /* clean_text makes it a space */
    NM_NORMAL_PUNCT = 4,       /* the pre-tokenizer isolates it */
    NM_NORMAL_SPACE = 8,       /* the pre-tokenizer splits there */
    NM_NORMAL_NONSPACING = 16, /* strip_accents removes it */
    NM_NORMAL_CJK = 32         /* handle_chinese_chars puts spaces around it */
};

/* Code points first..last share these properties: NM_NORMAL_* flags, combining class << 8.  Sorted. */
struct nm_normalizer_range {
    uint32_t first, last;
    uint32_t props;
};

/* NFD of cp: count code points of nm_normalizer_decomposed from offset.  Sorted; without Hangul. */
struct nm_normalizer_decomposition {
    uint32_t cp;
    uint16_t offset, count;
};

/* Lower case of first, first + step, ... last is delta away.  Sorted by first; U+0130 is not in it. */
struct nm_normalizer_lower_run {
    uint32_t first, last, step;
    int32_t delta;
};

extern const struct nm_normalizer_range nm_normalizer_ranges[];
extern const size_t nm_normalizer_ranges_count;
extern const struct nm_normalizer_decomposition nm_normalizer_decompositions[];
extern const size_t nm_normalizer_decompositions_count;
extern const uint32_t nm_normalizer_decomposed[];
extern const struct nm_normalizer_lower_run nm_normalizer_lower_runs[];
extern const size_t nm_normalizer_lower_runs_count;

#endif
