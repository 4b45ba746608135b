/* params.h - a model's parameters: one flat vector of weights, one of gradients, and who is where in them.
 *
 * Every Hugging Face tensor is a contiguous slice; tensors that are multiplied together (query, key, value)
 * are neighbours.  What holds the vectors (a model) owns them; the optimizer, the checkpoint and MPI only see
 * this.
 */
#ifndef NM_TRAINER_PARAMS_H
#define NM_TRAINER_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The rows of an embedding whose gradients are not zero.  Rows outside hold zeros. */
struct nm_touched {
    size_t n;
    uint32_t *rows;  /* (n), in order of first touch; room for all rows */
    uint8_t *marked; /* (all rows) 1 where in rows */
};

struct nm_param {
    char name[96];                    /* Hugging Face's name: "bert.encoder.layer.0.attention.self.query.weight" */
    size_t rank;                      /* 1 or 2 */
    size_t rows;                      /* shape[0] */
    size_t cols;                      /* shape[1]; 1 for rank 1 */
    size_t offset;                    /* of its first element in data and grad */
    size_t n;                         /* rows * cols */
    bool no_decay;                    /* a bias or a LayerNorm parameter: no weight decay by the usual recipe */
    const struct nm_touched *touched; /* NULL: the gradient is dense */
};

struct nm_params {
    struct nm_param *at; /* (n) in order of offset */
    size_t n;
    float *data; /* (total) weights */
    float *grad; /* (total) gradients */
    size_t total;
};

/* nm_params_depth - how far below the classifier a parameter stands: 0 the classifier, 1 the last of n_layers,
 * n_layers + 1 the embeddings. */
size_t nm_params_depth(const struct nm_param *param, size_t n_layers);

/* nm_params_find - by Hugging Face name; NULL if there is none. */
const struct nm_param *nm_params_find(const struct nm_params *params, const char *name);

#endif
