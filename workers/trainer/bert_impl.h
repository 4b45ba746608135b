/* bert_impl.h - inside nm_bert: what bert.c, bert_file.c and bert_run.c share. */
#ifndef NM_TRAINER_BERT_IMPL_H
#define NM_TRAINER_BERT_IMPL_H

#include "workers/trainer/bert.h"
#include "workers/trainer/lookup.h"
#include "workers/trainer/tensor.h"

/* Offsets into the flat vectors of weights and gradients.  H hidden, I intermediate, K labels. */
struct layer_at {
    size_t qkv_w, qkv_b; /* (3H,H), (3H): query, key, value one after the other */
    size_t out_w, out_b; /* (H,H), (H) */
    size_t norm1_g, norm1_b;
    size_t up_w, up_b;     /* (I,H), (I) */
    size_t down_w, down_b; /* (H,I), (H) */
    size_t norm2_g, norm2_b;
};
struct model_at {
    size_t word, position, type, norm_g, norm_b;
    size_t head;           /* the classifier's number among the parameters */
    size_t head_w, head_b; /* (K,H), (K) */
    size_t crf_transitions, crf_start, crf_end;
    struct layer_at *layers;
};

/* The weights of one layer's products forward. */
struct layer_weights {
    struct nm_weight qkv, out, up, down;
};

/* What one layer leaves for its backward pass; all (n, ...) in the activation arena. */
struct layer_acts {
    float *qkv;   /* (n,3H) */
    float *probs; /* heads * sum len^2 */
    float *ctx;   /* (n,H) */
    struct nm_norm_kept norm1, norm2;
    float *mid;        /* (n,H) after the first norm */
    float *slope, *up; /* (n,I) gelu' and gelu */
    float *out;        /* (n,H) */
};

struct nm_bert {
    struct nm_model_config cfg;
    struct nm_params params;
    struct model_at at;
    const float *words; /* (vocab,H) the embeddings, in params or in the file */
    struct layer_weights *weights;
    struct nm_weight head;
    struct nm_touched touched[3]; /* word, position, type rows */
    bool inference, checkpointing, frozen, in_place, head_loaded;
    enum nm_precision precision;
    size_t n_threads;
    struct nm_loss loss;
    struct nm_crf crf;
    void (*ready)(void *arg, size_t offset); /* see nm_bert_on_grad */
    void *ready_arg;
    bool fresh; /* gradients hold nothing yet: the next backward overwrites */
    struct nm_team *team;

    /* of a frozen model, see bert_frozen.c */
    struct nm_weights *file; /* open where words stands in it */
    uint32_t *packed;
    size_t packed_units, packed_cap; /* so far, in all */
    float *staging;                  /* what is read and not packed yet */
    size_t staging_cap;
    struct nm_lookup *lookup; /* for the first layer's qkv, whose weight is folded then; NULL: it is multiplied */
    float *folded;            /* (3H) what is left of the norm's beta and the bias */
    struct nm_bert **parts;   /* (n_threads) */
    uint32_t *slice;          /* a part's: its slice's seq_start and wanted */
    float *dealt;             /* logits of a batch that was dealt */
    size_t dealt_cap;

    /* the activation arena: one block, laid out anew for each batch, grown when a batch needs more */
    float *arena;
    size_t arena_cap, arena_used; /* floats */
    struct layer_acts *acts;
    struct nm_norm_kept norm0;
    float *embedded;                 /* (n,H) */
    float *final;                    /* (n,H), classifier's input after its dropout */
    float *logits;                   /* (n,K) */
    float *picked_logits;            /* (n,K), its first rows those of the picked tokens */
    float *grad_a, *grad_b, *grad_c; /* (n,H), (n,H), (n,max(I,3H)) */
    float *scratch;                  /* attention's */
    float *crf_room;                 /* where there is a layer */
    float *lookup_room;              /* where there is a lookup */
    uint32_t *positions;             /* (n) */
    uint32_t *picked, *picked_start; /* (n), (n+1) tokens that the last layer is computed for: see nm_attention */
    size_t tokens_cap;
};

/* nm_bert_team_options - who works on a model of this config. */
struct nm_team_options nm_bert_team_options(const struct nm_model_config *cfg, size_t n_threads);

/* nm_bert_count_params - floats of weights, with the gaps that align them; SIZE_MAX / 8 without memory to count. */
size_t nm_bert_count_params(const struct nm_model_config *cfg);

/* nm_bert_check_batch - NM_EINVAL, or the length of its longest sequence. */
enum nm_err nm_bert_check_batch(const struct nm_bert *b, const struct nm_batch *batch, size_t *max_len,
                                struct nm_diag *diag);

/* nm_bert_space_for - have an arena for batches of this extent, without touching it.  NM_ENOMEM. */
enum nm_err nm_bert_space_for(struct nm_bert *bert, const struct nm_bert_extent *extent, struct nm_diag *diag);

/* nm_bert_freeze - have room for packed weights.  NM_ENOMEM.
 * nm_bert_destination - where parameter p is to be read to; those of a weight one after the other, then the next's.
 * nm_bert_was_read - it is there: a weight that is complete is packed.
 * nm_bert_make_parts - all are there.  NM_ENOMEM.
 * nm_bert_thaw - free what only a frozen model has. */
enum nm_err nm_bert_freeze(struct nm_bert *bert, struct nm_diag *diag);
float *nm_bert_destination(struct nm_bert *bert, const struct nm_param *p);
void nm_bert_was_read(struct nm_bert *bert, const struct nm_param *p);
enum nm_err nm_bert_make_parts(struct nm_bert *bert, struct nm_diag *diag);
void nm_bert_thaw(struct nm_bert *bert);

/* nm_bert_deal - nm_bert_forward by a frozen model's parts. */
enum nm_err nm_bert_deal(struct nm_bert *bert, const struct nm_batch *batch, const float **logits,
                         struct nm_diag *diag);

/* nm_bert_set_up - check a batch and lay out the activations of its pass; att is what its attention needs, but in the
 * last layer, which needs att_last: there only the tokens in a loss, or those that are wanted, ask. */
enum nm_err nm_bert_set_up(struct nm_bert *bert, const struct nm_batch *batch, bool train, struct nm_attention *att,
                           struct nm_attention *att_last, struct nm_diag *diag);

/* nm_bert_init_param - N(0, initializer_range) into tensor i, its own stream of the seed. */
void nm_bert_init_param(struct nm_bert *bert, size_t i, uint64_t seed);

#endif
