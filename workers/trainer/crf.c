#include "workers/trainer/crf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/trainer/team.h"

/* ---- what BIO says ---------------------------------------------------------------------------- */

/* May b follow a?  a NULL: may it begin. */
static uint8_t may_follow(const char *a, const char *b)
{
    if (strncmp(b, "I-", 2) != 0)
        return 1;
    return a != NULL && (a[0] == 'B' || a[0] == 'I') && strcmp(a + 1, b + 1) == 0;
}

enum nm_err nm_crf_init(struct nm_crf *crf, const char *const *labels, size_t k)
{
    *crf = (struct nm_crf){.k = k, .may = malloc((k + 1) * k + 1), .outside = k};
    if (crf->may == NULL)
        return NM_ENOMEM;
    for (size_t b = 0; b < k; b++) {
        for (size_t a = 0; a <= k; a++)
            crf->may[a * k + b] = may_follow(a < k ? labels[a] : NULL, labels[b]);
        if (strcmp(labels[b], "O") == 0)
            crf->outside = b;
    }
    return NM_OK;
}

void nm_crf_clean_up(struct nm_crf *crf)
{
    free(crf->may);
    *crf = (struct nm_crf){0};
}

/* ---- a sentence ------------------------------------------------------------------------------- */

/* One sentence and the room that its sums have. */
struct chain {
    const struct nm_crf *crf;
    const float *const *rows; /* (n) */
    const int32_t *labels;    /* (n), or NULL: any */
    size_t n;
    double *step;  /* (k+1,k) the transitions, -inf where BIO rules one out; last row: the start */
    double *alpha; /* (n,k) log of the sum of all ways to a label of a word */
    double *words; /* (n,k) */
    double *p;     /* (2,k) */
};

size_t nm_crf_room(size_t n, size_t k)
{
    return (k + 1) * k + 2 * n * k + 2 * k;
}

static struct chain open_chain(const struct nm_crf *crf, double *room, const float *const *rows, size_t n)
{
    const size_t k = crf->k;
    struct chain c = {.crf = crf, .rows = rows, .n = n, .step = room};
    c.alpha = c.step + (k + 1) * k;
    c.words = c.alpha + n * k;
    c.p = c.words + n * k;
    for (size_t i = 0; i < (k + 1) * k; i++) {
        const double weight =
            crf->transitions == NULL ? 0 : (double)(i < k * k ? crf->transitions[i] : crf->start[i - k * k]);
        c.step[i] = crf->may[i] ? weight : -INFINITY;
    }
    return c;
}

/* A label that can't stand behind the one before says nothing: an I- whose B- is a word without a token. */
static int32_t reachable(const struct nm_crf *crf, const int32_t *labels, size_t w)
{
    const size_t k = crf->k, before = w == 0 ? k : (size_t)labels[w - 1];
    if (labels[w] < 0 || (w > 0 && labels[w - 1] < 0))
        return labels[w];
    return crf->may[before * k + (size_t)labels[w]] ? labels[w] : NM_LABEL_UNKNOWN;
}

static double emission(const struct chain *c, size_t w, size_t label)
{
    const int32_t known = c->labels != NULL ? reachable(c->crf, c->labels, w) : NM_LABEL_UNKNOWN;
    if (known >= 0 && (size_t)known != label)
        return -INFINITY;
    if (c->rows[w] == NULL)
        return label == c->crf->outside ? 0 : -INFINITY;
    return (double)c->rows[w][label];
}

static double ending(const struct chain *c, size_t label)
{
    return c->crf->transitions != NULL ? (double)c->crf->end[label] : 0;
}

/* log of the sum of exp(x[a] + y[a * stride]) over k. */
static double log_sum(const double *x, const double *y, size_t stride, size_t k)
{
    double max = -INFINITY, sum = 0;
    for (size_t a = 0; a < k; a++)
        max = fmax(max, x[a] + y[a * stride]);
    for (size_t a = 0; a < k && max > -INFINITY; a++)
        if (x[a] + y[a * stride] > -INFINITY) /* half of BIO's are not: spare the call */
            sum += exp(x[a] + y[a * stride] - max);
    return max > -INFINITY ? max + log(sum) : max;
}

/* The forward algorithm; returns log of the sum over all sequences. */
static double forward(struct chain *c)
{
    const size_t k = c->crf->k;
    for (size_t w = 0; w < c->n; w++)
        for (size_t b = 0; b < k; b++) {
            double *now = &c->alpha[w * k + b];
            *now = emission(c, w, b);
            if (*now > -INFINITY)
                *now += w == 0 ? c->step[k * k + b] : log_sum(c->alpha + (w - 1) * k, c->step + b, k, k);
        }
    for (size_t b = 0; b < k; b++)
        c->p[b] = ending(c, b);
    return log_sum(c->alpha + (c->n - 1) * k, c->p, 1, k);
}

/* Behind forward, from the last word back: the probability of a word's label is shared out among the labels before
 * it, each by its part of the ways there.  weight times the probabilities of labels are added to words, of
 * neighbours, first and last ones to sums (NULL: not wanted). */
static void backward(struct chain *c, double log_z, double weight, double *sums)
{
    const size_t k = c->crf->k;
    double *p = c->p, *before = c->p + k;
    for (size_t b = 0; b < k; b++) {
        p[b] = exp(c->alpha[(c->n - 1) * k + b] + ending(c, b) - log_z);
        if (sums != NULL)
            sums[k * k + k + b] += weight * p[b];
    }
    for (size_t w = c->n - 1;; w--) {
        for (size_t b = 0; b < k; b++)
            c->words[w * k + b] += weight * p[b];
        if (w == 0)
            break;
        memset(before, 0, k * sizeof(*before));
        for (size_t b = 0; b < k; b++) {
            if (p[b] <= 0)
                continue;
            const double reached = c->alpha[w * k + b] - emission(c, w, b);
            for (size_t a = 0; a < k; a++) {
                const double way = c->alpha[(w - 1) * k + a] + c->step[a * k + b];
                const double share = way > -INFINITY ? p[b] * exp(way - reached) : 0;
                before[a] += share;
                if (sums != NULL)
                    sums[a * k + b] += weight * share;
            }
        }
        double *swap = p;
        p = before;
        before = swap;
    }
    for (size_t b = 0; b < k && sums != NULL; b++)
        sums[k * k + b] += weight * p[b];
}

void nm_crf_marginals(const struct nm_crf *crf, double *room, const float *const *rows, size_t n, float *out)
{
    if (n == 0)
        return;
    struct chain c = open_chain(crf, room, rows, n);
    memset(c.words, 0, n * crf->k * sizeof(*c.words));
    backward(&c, forward(&c), 1, NULL);
    for (size_t i = 0; i < n * crf->k; i++)
        out[i] = (float)c.words[i];
}

void nm_crf_decode(const struct nm_crf *crf, double *room, const float *const *rows, size_t n, size_t *best)
{
    if (n == 0)
        return;
    const size_t k = crf->k;
    struct chain c = open_chain(crf, room, rows, n);
    for (size_t w = 0; w < n; w++) /* alpha: the best way to a label, words: the label before on it */
        for (size_t b = 0; b < k; b++) {
            double top = w == 0 ? c.step[k * k + b] : -INFINITY;
            size_t from = 0;
            for (size_t a = 0; a < k && w > 0; a++)
                if (c.alpha[(w - 1) * k + a] + c.step[a * k + b] > top) {
                    top = c.alpha[(w - 1) * k + a] + c.step[a * k + b];
                    from = a;
                }
            c.alpha[w * k + b] = top + emission(&c, w, b);
            c.words[w * k + b] = (double)from;
        }
    const double *last = c.alpha + (n - 1) * k;
    size_t label = 0;
    for (size_t b = 1; b < k; b++)
        label = last[b] + ending(&c, b) > last[label] + ending(&c, label) ? b : label;
    for (size_t w = n; w-- > 0;) {
        best[w] = label;
        label = (size_t)c.words[w * k + label];
    }
}

double nm_crf_loss(const struct nm_crf *crf, double *room, float *const *rows, const int32_t *labels, size_t n,
                   double scale, double *sums)
{
    const size_t k = crf->k;
    if (n == 0)
        return 0;
    struct chain c = open_chain(crf, room, (const float *const *)rows, n);
    memset(c.words, 0, n * k * sizeof(*c.words));
    const double all = forward(&c);
    backward(&c, all, scale, sums);
    c.labels = labels;
    const double right = forward(&c);
    backward(&c, right, -scale, sums);
    for (size_t w = 0; w < n; w++)
        for (size_t b = 0; b < k; b++)
            rows[w][b] = (float)c.words[w * k + b];
    return all - right;
}

/* ---- a batch ---------------------------------------------------------------------------------- */

static size_t sums_size(size_t k)
{
    return k * k + 2 * k;
}

/* Doubles of one thread: its sums, the room of a sentence, the words of a sentence (a pointer and a label each);
 * whole cache lines, so that no two threads write into the same. */
static size_t thread_room(size_t max_len, size_t k)
{
    return (sums_size(k) + nm_crf_room(max_len, k) + 2 * max_len + 7) / 8 * 8;
}

size_t nm_crf_team_room(size_t n_threads, size_t max_len, size_t k)
{
    return n_threads * thread_room(max_len, k) * (sizeof(double) / sizeof(float));
}

/* One sequence: its words are the tokens that have a label or could have one. */
static double train_sequence(const struct nm_crf *crf, const struct nm_crf_batch *batch, size_t s, double *own)
{
    const size_t k = crf->k;
    double *room = own + sums_size(k), *ends = room + nm_crf_room(batch->max_len, k);
    float **rows = (float **)ends;
    int32_t *labels = (int32_t *)(ends + batch->max_len);
    size_t n = 0, known = 0;
    for (size_t t = batch->seq_start[s]; t < batch->seq_start[s + 1]; t++) {
        if (batch->labels[t] == NM_LABEL_NONE) {
            memset(batch->logits + t * k, 0, k * sizeof(float));
            continue;
        }
        rows[n] = batch->logits + t * k;
        labels[n++] = batch->labels[t];
        known += batch->labels[t] >= 0;
    }
    if (known > 0)
        return nm_crf_loss(crf, room, rows, labels, n, (double)batch->scale, own);
    for (size_t w = 0; w < n; w++)
        memset(rows[w], 0, k * sizeof(float));
    return 0;
}

/* The threads' sums, in their order. */
static void add_up(const struct part *part, const double *rooms, size_t stride, size_t k, struct nm_crf_grad grad)
{
    for (size_t i = 0; i < sums_size(k); i++) {
        float *out = i < k * k       ? &grad.transitions[i]
                     : i < k * k + k ? &grad.start[i - k * k]
                                     : &grad.end[i - k * k - k];
        double sum = grad.add ? (double)*out : 0;
        for (int thread = 0; thread < part->threads; thread++)
            sum += rooms[(size_t)thread * stride + i];
        *out = (float)sum;
    }
}

double nm_crf_train(struct nm_team *team, const struct nm_crf *crf, struct nm_crf_grad grad,
                    const struct nm_crf_batch *batch)
{
    const struct part part = part_of(0);
    const size_t i = (size_t)part.i, threads = (size_t)part.threads, stride = thread_room(batch->max_len, crf->k);
    double *rooms = (double *)batch->room, *own = rooms + i * stride, loss = 0;
    memset(own, 0, sums_size(crf->k) * sizeof(*own));
    team_barrier(team); /* the logits are there */
    for (size_t s = batch->n_seqs * i / threads; s < batch->n_seqs * (i + 1) / threads; s++)
        loss += train_sequence(crf, batch, s, own);
    loss = nm_team_sum(team, loss);
    if (part.i == 0)
        add_up(&part, rooms, stride, crf->k, grad);
    return loss;
}
