/* bert.h - a BERT encoder for token classification, on packed batches: no padding anywhere.
 *
 * Sources: Devlin et al. 2019 (BERT); Hugging Face transformers' BertForTokenClassification for names,
 * initialisation and where dropout stands.  Tests: golden.bert, unit.bert.
 * Threads: one model, one calling thread; the work inside is spread over n_threads.
 */
#ifndef NM_TRAINER_BERT_H
#define NM_TRAINER_BERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/crf.h"
#include "workers/trainer/model_config.h"
#include "workers/trainer/params.h"
#include "workers/trainer/tensor.h"

/* Sequences packed end to end.  Sequence s is tokens seq_start[s] .. seq_start[s+1]-1, [CLS] and [SEP] among
 * them; its positions count from 0, its token types are 0.
 */
struct nm_batch {
    size_t n_seqs;
    size_t n_tokens;           /* == seq_start[n_seqs] */
    const uint32_t *ids;       /* (n_tokens) < vocab_size */
    const uint32_t *seq_start; /* (n_seqs+1), ascending, first 0 */
    const int32_t *labels;     /* (n_tokens) < n_labels; ignored in the loss: those below 0 (crf.h); or NULL */
    size_t first_token;        /* of the step that this batch is a part of: dropout masks are the whole step's */
    const uint32_t *wanted;    /* (n_wanted) the tokens whose logits nm_bert_forward makes, ascending; NULL: all */
    size_t n_wanted;
};

struct nm_bert_options {
    const char *const *labels; /* (n_labels) the tag set; NULL: that of config.json */
    size_t n_labels;
    bool crf;         /* with labels: a CRF layer behind the classifier; without: where the directory has one */
    uint64_t seed;    /* of the classifier's initialisation, where the directory has none that fits */
    size_t n_threads; /* 0: as many as there are cores */
    /* Of the products. A model in training multiplies so in nm_bert_train; in nm_bert_forward in fp32, as the saved
     * model does when it is scored. */
    enum nm_precision precision;
    /* Of what a layer computes keep the output alone and make the rest again in the backward pass: the same bits, a
     * fraction of the memory, four thirds of the time. */
    bool checkpointing;
    bool inference; /* no gradients, no stored activations: backward is refused, memory is a fraction */
    /* Of nm_bert_load: for nm_bert_forward alone, many sequences a batch.  Weights are packed in this precision and
     * nowhere else, so that there is nothing to save; threads take sequences through all layers each for itself. */
    bool frozen;
    bool lasting; /* frozen, but nothing stays in the directory's files: they may be overwritten in its time */
};

struct nm_bert;

/* nm_bert_load - config.json and weights (see weights.h) of a Hugging Face directory, names with or without
 * "bert.". A classifier in the file is taken if its labels are the wanted ones, otherwise drawn from N(0,
 * 0.02) by seed; pooler, position_ids and other heads are ignored.  So a CRF layer
 * is (crf.safetensors), or its weights begin at 0.  *bert is set on NM_OK only. Errors: those
 * of nm_model_config_read, nm_weights_open and nm_weights_read; NM_ENOMEM.
 */
enum nm_err nm_bert_load(struct nm_bert **bert, const char *dir, const struct nm_bert_options *options,
                         struct nm_diag *diag);

/* nm_bert_new - the same without weights: zeros, LayerNorm at 1.  cfg is copied.  For tests and for shapes of
 * which no weights are at hand; nm_bert_init_weights draws them.
 */
enum nm_err nm_bert_new(struct nm_bert **bert, const struct nm_model_config *cfg,
                        const struct nm_bert_options *options, struct nm_diag *diag);
void nm_bert_init_weights(struct nm_bert *bert, uint64_t seed);

void nm_bert_destroy(struct nm_bert **bert);

/* nm_bert_save - config.json and model.safetensors into dir (which exists), atomically each, weights first;
 * as transformers' AutoModelForTokenClassification.from_pretrained loads them.  A CRF layer goes into
 * crf.safetensors beside them, by the names of pytorch-crf.  Vocabulary files are the caller's.  NM_ESTATE: frozen.
 */
enum nm_err nm_bert_save(const struct nm_bert *bert, const char *dir, struct nm_diag *diag);

/* Borrowed; valid as long as the model. */
const struct nm_model_config *nm_bert_config(const struct nm_bert *bert);
struct nm_params *nm_bert_params(struct nm_bert *bert);
const struct nm_crf *nm_bert_crf(const struct nm_bert *bert); /* without a layer: what BIO says of the labels */

/* nm_bert_set_min_score - for config.json: see struct nm_model_config. */
void nm_bert_set_min_score(struct nm_bert *bert, double min_score);

/* nm_bert_set_dropout - of hidden states and attention, for the trainings that follow and for config.json. */
void nm_bert_set_dropout(struct nm_bert *bert, float p);

/* nm_bert_set_loss - of the trainings that follow; see struct nm_loss in tensor.h.  Cross-entropy unless set. */
void nm_bert_set_loss(struct nm_bert *bert, float smoothing, float gce);

/* nm_bert_on_grad - ready(arg, offset) is called in each nm_bert_train, by its caller's thread, as soon as the
 * gradients from offset to the end of the vector are final: after each layer, from the last to the second.  NULL: not
 * any more. */
void nm_bert_on_grad(struct nm_bert *bert, void (*ready)(void *arg, size_t offset), void *arg);

/* nm_bert_no_grad - a step without a sentence of this process: all gradients are 0. */
void nm_bert_no_grad(struct nm_bert *bert);

/* nm_bert_head_loaded - false where the classifier was newly initialised. */
bool nm_bert_head_loaded(const struct nm_bert *bert);

/* nm_bert_memory - bytes that a model of this config takes with batches of at most this extent: weights and
 * activations, in training gradients and optimizer state, too. */
struct nm_bert_extent {
    size_t n_tokens, max_len;
    size_t scored_tokens, scored_len; /* of a model in training: of batches for nm_bert_forward */
    size_t probs;                     /* sum of length * nm_attention_row(length) of a batch's sequences */
};
size_t nm_bert_memory(const struct nm_model_config *cfg, const struct nm_bert_options *options,
                      const struct nm_bert_extent *extent);

/* nm_bert_reserve - room for such batches now and not when they come.  NM_ENOMEM. */
enum nm_err nm_bert_reserve(struct nm_bert *bert, const struct nm_bert_extent *extent, struct nm_diag *diag);

/* nm_bert_batch - so many tokens a batch for nm_bert_forward has best: enough to keep all threads busy, few enough
 * for the memory they take. */
enum { NM_BATCH_TOKENS = 2048 }; /* of a model that is not frozen */
size_t nm_bert_batch(const struct nm_bert *bert);

/* nm_bert_forward - logits (n_tokens, n_labels), eval mode: no dropout, nothing kept for backward.  Where tokens are
 * wanted, the last layer is computed for them alone, and the logits of the others are 0.
 * *logits is borrowed until the next call on this model.  batch->labels may be NULL.
 * NM_EINVAL: an id, length or label out of range (diag names it); NM_ENOMEM.
 */
enum nm_err nm_bert_forward(struct nm_bert *bert, const struct nm_batch *batch, const float **logits,
                            struct nm_diag *diag);

/* nm_bert_train - forward with dropout and backward: adds this batch's gradients to params->grad.
 * The loss (cross-entropy unless nm_bert_set_loss; with a CRF layer the sentences' of crf.h) is the mean over the
 * labelled tokens, as transformers computes it, times scale (1 for a whole step; a micro-batch's share of the step's
 * labelled tokens when accumulating). dropout_key names the random masks: the same key, batch and weights give the
 * same bits (single-threaded), so pass one that is different in every micro-batch (nm_mix64 of seed and step).  Where
 * no token is labelled the loss is 0 and the gradients are unchanged. loss: mean cross-entropy, unscaled. n_labelled:
 * how many tokens had a label. Either may be NULL. Errors as forward.
 */
enum nm_err nm_bert_train(struct nm_bert *bert, const struct nm_batch *batch, float scale, uint64_t dropout_key,
                          double *loss, size_t *n_labelled, struct nm_diag *diag);

/* nm_bert_zero_grad - start a new accumulation.  O(touched embedding rows): dense gradients are overwritten
 * by the next nm_bert_train. */
void nm_bert_zero_grad(struct nm_bert *bert);

/* nm_bert_loss - mean cross-entropy of the last nm_bert_forward's logits against batch->labels. */
double nm_bert_loss(const struct nm_bert *bert, const struct nm_batch *batch, size_t *n_labelled);

#endif
