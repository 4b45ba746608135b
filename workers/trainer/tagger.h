/* tagger.h - a fine-tuned model and its tokenizer, put to work: words in, tags and scores out. */
#ifndef NM_TRAINER_TAGGER_H
#define NM_TRAINER_TAGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/bert.h"
#include "workers/trainer/corpus.h"
#include "workers/trainer/evaluation.h"
#include "workers/trainer/tagset.h"
#include "workers/trainer/wordpiece.h"

struct nm_tagger {
    struct nm_bert *bert;
    struct nm_wordpiece *wp;
    struct nm_tagset tagset;
    const char *where; /* the model's directory, borrowed: for messages */
    bool constrained;  /* the best tags that are BIO, not each word's best (crf.h); those of a model with a CRF layer
                        * always are */
    double min_score;  /* of an entity: the mean probability of its words' tags; what is below is outside */
    bool borrowed;     /* bert and wp are somebody else's */
    struct {
        uint64_t tokens; /* [CLS] and [SEP] among them */
        double seconds;
    } done; /* by nm_tagger_tag, since it was loaded: from words to their tags */
};

struct nm_tagger_options {
    size_t n_threads; /* 0: as many as there are cores */
    enum nm_precision precision;
    bool lasting;            /* see nm_bert_options: of a server, whose model may be overwritten while it runs */
    bool constrained;        /* see nm_tagger */
    const double *min_score; /* see nm_tagger; NULL: what the model's config.json says */
};

/* nm_tagger_load - a Hugging Face directory of a token classifier with BIO labels.  where is borrowed.
 * Errors of nm_bert_load and nm_wordpiece_load; NM_EFORMAT: no tagger, or a vocabulary larger than the model's.
 */
enum nm_err nm_tagger_load(struct nm_tagger *tagger, const char *dir, const struct nm_tagger_options *options,
                           struct nm_diag *diag);

/* nm_tagger_borrow - the same from what is loaded already (a model in training); both must outlive it. */
enum nm_err nm_tagger_borrow(struct nm_tagger *tagger, struct nm_bert *bert, struct nm_wordpiece *wp,
                             const char *where, struct nm_diag *diag);
void nm_tagger_clean_up(struct nm_tagger *tagger);

/* nm_tagger_check_vocabulary - NM_EFORMAT where the tokenizer has ids that the model has no embedding for. */
enum nm_err nm_tagger_check_vocabulary(const struct nm_bert *bert, const struct nm_wordpiece *wp, const char *dir,
                                       struct nm_diag *diag);

/* nm_tagger_tag - tags (numbers of tagset) and, if scores is not NULL, their probabilities, for the words of
 * sentences[0..n) one after the other (their tags are not read).  A word without any token is O with score 1.
 * The words of an entity below min_score are O, with what is left of their probability.
 * A sentence longer than the model is cut into windows that overlap, and each word is taken from the window
 * where it stands farther from the cut.  NM_ENOMEM and errors of nm_bert_forward.
 */
enum nm_err nm_tagger_tag(struct nm_tagger *tagger, const struct nm_sentence *sentences, size_t n, int32_t *tags,
                          float *scores, struct nm_diag *diag);

/* nm_tagger_extent - of the largest batch that tagging this corpus makes, with a model of so many positions, into
 * extent's scored_tokens and scored_len.  NM_ENOMEM. */
enum nm_err nm_tagger_extent(const struct nm_wordpiece *wp, const struct nm_corpus *corpus, size_t positions,
                             struct nm_bert_extent *extent);

/* nm_tagger_evaluate - tag gold and count.  e is initialised here, but for known, mistake and arg, which the caller
 * has set (or zeroed); its types are tagset.types, to which those that only gold has are added; the caller cleans it
 * up. */
enum nm_err nm_tagger_evaluate(struct nm_tagger *tagger, const struct nm_corpus *gold, struct nm_evaluation *e,
                               struct nm_diag *diag);

#endif
