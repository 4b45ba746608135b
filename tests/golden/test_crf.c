/* The CRF against PyTorch in float64 (make_crf.py): loss with all labels known and with some, every gradient, the
 * best sequence, marginals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "workers/trainer/crf.h"

static json_t *goldens;

/* One case, as it is stored. */
struct stored {
    size_t k, n;
    struct nm_crf crf;
    float *transitions, *start, *end, *emissions;
    float **rows; /* of emissions */
    int32_t *known;
    double *room;
};

static const json_t *list_at(const json_t *object, const char *key, size_t n)
{
    const json_t *list = json_object_get(object, key);
    assert_int_equal(json_array_size(list), n);
    return list;
}

static float *floats_at(const json_t *object, const char *key, size_t n)
{
    const json_t *list = list_at(object, key, n);
    float *values = calloc(n, sizeof(*values));
    assert_non_null(values);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)json_number_value(json_array_get(list, i));
    return values;
}

static void read_case(struct stored *c, const json_t *stored)
{
    const char *labels[64];
    const json_t *names = json_object_get(stored, "labels");
    *c = (struct stored){.k = json_array_size(names), .n = json_array_size(json_object_get(stored, "known"))};
    assert_in_range(c->k, 1, 64);
    for (size_t i = 0; i < c->k; i++)
        labels[i] = json_string_value(json_array_get(names, i));
    assert_int_equal(nm_crf_init(&c->crf, labels, c->k), NM_OK);
    c->transitions = floats_at(stored, "transitions", c->k * c->k);
    c->start = floats_at(stored, "start", c->k);
    c->end = floats_at(stored, "end", c->k);
    c->emissions = floats_at(stored, "emissions", c->n * c->k);
    c->crf.transitions = c->transitions;
    c->crf.start = c->start;
    c->crf.end = c->end;
    c->rows = calloc(c->n, sizeof(*c->rows));
    c->known = calloc(c->n, sizeof(*c->known));
    c->room = calloc(nm_crf_room(c->n, c->k), sizeof(*c->room));
    assert_true(c->rows != NULL && c->known != NULL && c->room != NULL);
    for (size_t i = 0; i < c->n; i++) {
        c->rows[i] = c->emissions + i * c->k;
        c->known[i] = (int32_t)json_integer_value(json_array_get(list_at(stored, "known", c->n), i));
    }
}

static void clean_up(struct stored *c)
{
    nm_crf_clean_up(&c->crf);
    free(c->transitions);
    free(c->start);
    free(c->end);
    free(c->emissions);
    free(c->rows);
    free(c->known);
    free(c->room);
}

static void assert_close(const char *what, double ours, double golden)
{
    if (!(fabs(ours - golden) <= 1e-6 * fmax(1, fabs(golden))))
        fail_msg("%s: %.9g, PyTorch has %.9g", what, ours, golden);
}

static void assert_sums(const json_t *gradients, const char *key, const double *sums, size_t n)
{
    const json_t *golden = list_at(gradients, key, n);
    for (size_t i = 0; i < n; i++)
        assert_close(key, sums[i], json_number_value(json_array_get(golden, i)));
}

static void best_and_marginals(void **state)
{
    (void)state;
    size_t i;
    json_t *stored;
    json_array_foreach(json_object_get(goldens, "cases"), i, stored)
    {
        struct stored c;
        size_t best[64];
        float marginals[64 * 64];
        read_case(&c, stored);
        const json_t *path = list_at(stored, "best", c.n), *golden = list_at(stored, "marginals", c.n * c.k);
        nm_crf_decode(&c.crf, c.room, (const float *const *)c.rows, c.n, best);
        nm_crf_marginals(&c.crf, c.room, (const float *const *)c.rows, c.n, marginals);
        for (size_t w = 0; w < c.n; w++)
            assert_int_equal(best[w], json_integer_value(json_array_get(path, w)));
        for (size_t m = 0; m < c.n * c.k; m++)
            assert_close("marginal", (double)marginals[m], json_number_value(json_array_get(golden, m)));
        clean_up(&c);
    }
}

static void loss_and_gradients(void **state)
{
    (void)state;
    size_t i, partial = 0;
    json_t *stored;
    json_array_foreach(json_object_get(goldens, "cases"), i, stored)
    {
        struct stored c;
        read_case(&c, stored);
        const size_t pairs = c.k * c.k;
        double *sums = calloc(pairs + 2 * c.k, sizeof(*sums));
        assert_non_null(sums);
        const json_t *gradients = json_object_get(stored, "gradients");
        const double loss = nm_crf_loss(&c.crf, c.room, c.rows, c.known, c.n, 1, sums);
        assert_close("loss", loss, json_number_value(json_object_get(stored, "loss")));
        for (size_t m = 0; m < c.n * c.k; m++)
            assert_close("emissions", (double)c.emissions[m],
                         json_number_value(json_array_get(list_at(gradients, "emissions", c.n * c.k), m)));
        assert_sums(gradients, "transitions", sums, pairs);
        assert_sums(gradients, "start", sums + pairs, c.k);
        assert_sums(gradients, "end", sums + pairs + c.k, c.k);
        for (size_t w = 0; w < c.n; w++)
            partial += c.known[w] < 0;
        free(sums);
        clean_up(&c);
    }
    assert_int_equal(i, 16);
    assert_in_range(partial, 20, 60); /* of labels that are not known */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(best_and_marginals), cmocka_unit_test(loss_and_gradients)};
    goldens = argc == 2 ? json_load_file(argv[1], 0, NULL) : NULL;
    if (goldens == NULL)
        return 2;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(goldens);
    return failed;
}
