/* optimizer.h - AdamW with linear warm-up, linear decay and clipping by the global norm.
 *
 * Sources: Loshchilov, Hutter 2019 (decoupled weight decay), in torch.optim.AdamW's order of operations;
 * transformers' get_linear_schedule_with_warmup; torch.nn.utils.clip_grad_norm_.  Test: golden.bert.
 */
#ifndef NM_TRAINER_OPTIMIZER_H
#define NM_TRAINER_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/params.h"

struct nm_optimizer_options {
    float lr; /* the peak */
    float beta1, beta2, eps;
    float weight_decay;
    float layer_decay;   /* a parameter's rate is lr * layer_decay^depth (Howard, Ruder 2018); 1: the same for all */
    size_t n_layers;     /* for the depth: see nm_params_depth */
    bool decay_all;      /* biases and LayerNorm too, as a plain torch.optim.AdamW(model.parameters()) does */
    float clip_norm;     /* 0: no clipping */
    size_t warmup_steps; /* lr grows from 0 over these */
    size_t total_steps;  /* and falls to 0 at this one; 0: constant after the warm-up */
    size_t n_threads;    /* 0: as many as there are cores */
};

/* 5e-5, 0.9, 0.999, 1e-8, 0.01, layer decay 1, false, 1.0, no warm-up, constant. */
struct nm_optimizer_options nm_optimizer_defaults(void);

struct nm_optimizer;

/* nm_optimizer_new - state for these parameters, which must outlive it.  NM_ENOMEM, NM_EINVAL. */
enum nm_err nm_optimizer_new(struct nm_optimizer **opt, struct nm_params *params,
                             const struct nm_optimizer_options *options, struct nm_diag *diag);
void nm_optimizer_destroy(struct nm_optimizer **opt);

/* nm_optimizer_step - one update from params->grad, which it leaves as it is (see nm_bert_zero_grad).
 * Returns the gradients' norm before clipping.  A norm that is not finite changes nothing but the step count.
 */
double nm_optimizer_step(struct nm_optimizer *opt);

/* nm_optimizer_lr - the learning rate that the next step will use.  nm_optimizer_steps - steps done. */
float nm_optimizer_lr(const struct nm_optimizer *opt);
size_t nm_optimizer_steps(const struct nm_optimizer *opt);

/* nm_optimizer_moments - the two vectors (params->total each), to be filled from elsewhere; steps is set with them.
 */
void nm_optimizer_moments(struct nm_optimizer *opt, float **m, float **v, size_t steps);

/* nm_optimizer_save / load - moments and step count as one safetensors file, atomically.  Loading checks that
 * the names and shapes are those of the parameters: NM_EFORMAT otherwise, and the state is as it was. */
enum nm_err nm_optimizer_save(const struct nm_optimizer *opt, const char *path, struct nm_diag *diag);
enum nm_err nm_optimizer_load(struct nm_optimizer *opt, const char *path, struct nm_diag *diag);

#endif
