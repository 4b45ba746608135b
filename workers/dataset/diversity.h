/* diversity.h - how much the texts of a data set differ from each other.
 *
 *     distinct-n        different n-grams / n-grams (Li et al. 2016)
 *     self-BLEU         mean BLEU-4 of each text against all others (Zhu et al. 2018)
 *     compression       bytes / bytes when deflated: repetition of any kind (Shaib et al. 2024)
 *     self-repetition   the share of texts that hold an n-gram of LONG_GRAM words which another text holds too
 *                       (after Salkar et al. 2022, with longer n-grams: what is copied rather than said again)
 *
 * All depend on how much text there is, so they are taken of a sample of a given size and compare only at that size.
 */
#ifndef NM_DATASET_DIVERSITY_H
#define NM_DATASET_DIVERSITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { NM_DIVERSITY_LONG_GRAM = 8 };

/* A text: its words as hashes (lower-cased), and its bytes. */
struct nm_diverse_text {
    const uint64_t *words;
    size_t n;
    const char *text;
    size_t len;
};

struct nm_diversity {
    double distinct[3]; /* of 1, 2 and 3 words */
    double self_bleu;   /* of the first self_bleu_n texts */
    size_t self_bleu_n;
    double compression;
    double self_repetition;
};

/* nm_diversity_measure - of n texts; self-BLEU of the first bleu_max of them, for it is quadratic.  Fewer than two
 * texts have a self-BLEU of 0.  NM_ENOMEM. */
enum nm_err nm_diversity_measure(const struct nm_diverse_text *texts, size_t n, size_t bleu_max,
                                 struct nm_diversity *diversity);

#endif
