#include "workers/trainer/reduce.h"

#include <stdlib.h>
#include <string.h>

void nm_reduce_init(struct nm_reduce *reduce, struct nm_comm *comm, struct nm_params *params)
{
    *reduce = (struct nm_reduce){.comm = comm, .params = params};
    for (size_t i = 0; i < params->n; i++)
        if (params->at[i].touched != NULL)
            reduce->dense = params->at[i].offset + params->at[i].n;
}

void nm_reduce_clean_up(struct nm_reduce *reduce)
{
    free(reduce->rows);
    *reduce = (struct nm_reduce){0};
}

void nm_reduce_begin(struct nm_reduce *reduce)
{
    reduce->pending = reduce->params->total;
}

void nm_reduce_ready(void *arg, size_t offset)
{
    struct nm_reduce *reduce = arg;
    if (offset < reduce->pending) {
        nm_comm_begin_sum(reduce->comm, reduce->params->grad + offset, reduce->pending - offset);
        reduce->pending = offset;
    }
    nm_comm_progress(reduce->comm);
}

/* The rows that any process has touched become touched here. */
static void unite(struct nm_comm *comm, const struct nm_param *p)
{
    struct nm_touched *t = (struct nm_touched *)p->touched; /* the model's; it hands them out as read-only */
    nm_comm_any(comm, t->marked, p->rows);
    t->n = 0;
    for (size_t row = 0; row < p->rows; row++) /* in the same order everywhere */
        if (t->marked[row])
            t->rows[t->n++] = (uint32_t)row;
}

/* Touched rows into the packed ones, or back. */
static void copy_rows(struct nm_reduce *reduce, const struct nm_param *p, float *packed, int back)
{
    float *grad = reduce->params->grad + p->offset;
    for (size_t i = 0; i < p->touched->n; i++) {
        float *row = grad + (size_t)p->touched->rows[i] * p->cols, *place = packed + i * p->cols;
        memcpy(back ? row : place, back ? place : row, p->cols * sizeof(float));
    }
}

static enum nm_err sum_rows(struct nm_reduce *reduce)
{
    const struct nm_params *params = reduce->params;
    size_t need = 0, at = 0;
    for (size_t i = 0; i < params->n; i++)
        if (params->at[i].touched != NULL) {
            unite(reduce->comm, &params->at[i]);
            need += params->at[i].touched->n * params->at[i].cols;
        }
    if (need > reduce->cap) {
        free(reduce->rows);
        reduce->cap = need + need / 4;
        reduce->rows = malloc(reduce->cap * sizeof(float));
        if (reduce->rows == NULL) {
            reduce->cap = 0;
            return NM_ENOMEM;
        }
    }
    for (int back = 0; back < 2; back++) {
        at = 0;
        for (size_t i = 0; i < params->n; i++)
            if (params->at[i].touched != NULL) {
                copy_rows(reduce, &params->at[i], reduce->rows + at, back);
                at += params->at[i].touched->n * params->at[i].cols;
            }
        if (!back) {
            nm_comm_begin_sum(reduce->comm, reduce->rows, need);
            nm_comm_wait(reduce->comm);
        }
    }
    return NM_OK;
}

enum nm_err nm_reduce_finish(struct nm_reduce *reduce)
{
    nm_reduce_ready(reduce, reduce->dense);
    nm_comm_wait(reduce->comm);
    return nm_comm_size(reduce->comm) > 1 ? sum_rows(reduce) : NM_OK;
}
