/* denoise.h - labels judged by taggers that have not seen them.
 *
 * The records are cut into folds by chance (seeded).  Model j learns on train_folds of them, from fold j on, and
 * judges the others, so every record is judged by folds - train_folds models.  Where they agree that an unlabelled
 * run is a mention it is masked: a mention that no list has.  A label in which they see nothing at all is rejected: a
 * word that only looks like an entity.  Nothing else changes, and nothing that was masked is. Sources: cross-training
 * by folds, Wang et al., "CrossWeigh", 2019; confident learning, Northcutt et al. 2021. One thread.
 */
#ifndef NM_DATASET_DENOISE_H
#define NM_DATASET_DENOISE_H

#include "schemas/project.h"
#include "workers/dataset/format.h"
#include "workers/dataset/source.h"

struct nm_denoise {
    struct nm_project_denoise how;
    uint64_t seed;
    const struct nm_source *source; /* read several times: it must not change */
    const char *dir;                /* work files: model-J.train.conll, model-J.judge.conll, model-J.judged.conll */
};

struct nm_denoise_counts {
    uint64_t records;
    uint64_t labels, rejected;     /* labelled spans; of those rejected */
    uint64_t masked, masked_words; /* unlabelled runs that were masked, and their words */
    uint64_t unlabelled;           /* words */
};

/* nm_denoise_cut - write what model number model learns on (train) and what it judges. */
enum nm_err nm_denoise_cut(const struct nm_denoise *denoise, uint32_t model, uint64_t *train, uint64_t *judged,
                           struct nm_diag *diag);

/* nm_denoise_join - write the records in that form to path, with the verdicts of all models' model-J.judged.conll
 * (what judge.conll is, with the model's tags).  NM_EFORMAT: the words of one are others; NM_ESTATE: most labels are
 * rejected, or most other words masked, which says more of the models than of the labels: nothing is written. */
enum nm_err nm_denoise_join(const struct nm_denoise *denoise, const struct nm_format *format, const char *path,
                            struct nm_denoise_counts *counts, struct nm_diag *diag);

/* nm_denoise_record - one record's tags and mentions by n_judges columns of tags (judges[j][word]); changed in place,
 * what is new in arena.  NM_ENOMEM. */
enum nm_err nm_denoise_record(const struct nm_project_denoise *how, struct nm_record *record, char ***judges,
                              size_t n_judges, struct nm_arena *arena, struct nm_denoise_counts *counts);

#endif
