#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/coverage.h"
#include "common/hash.h"

static struct nm_coverage *make(uint64_t entities, uint32_t least, uint32_t give_up)
{
    struct nm_coverage_goal goal = {entities, least, give_up};
    struct nm_coverage *c = nm_coverage_new(&goal);
    assert_non_null(c);
    return c;
}

static void test_everyone_is_asked_for_once_a_round(void **state)
{
    (void)state;
    struct nm_coverage *c = make(5, 1, 3);
    const struct nm_coverage_facts nothing = {0};
    uint64_t out[4];
    assert_int_equal(nm_coverage_short(c), 5);
    assert_int_equal(nm_coverage_next(c, 3, out), 3);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(out[i], i);
        nm_coverage_note(c, i, &nothing, 1);
    }
    assert_int_equal(nm_coverage_next(c, 3, out), 2);
    assert_int_equal(out[0], 3);
    assert_int_equal(out[1], 4);
    nm_coverage_note(c, 3, &nothing, 1);
    nm_coverage_note(c, 4, &nothing, 1);
    assert_int_equal(nm_coverage_next(c, 3, out), 0);
    assert_int_equal(nm_coverage_short(c), 5);
    const struct nm_coverage_facts one = {.accepted = 1};
    for (uint64_t i = 0; i < 5; i++)
        nm_coverage_note(c, i, &one, -1);
    assert_int_equal(nm_coverage_short(c), 0);
    nm_coverage_note(c, 2, &nothing, 0); /* its text was of no use in the end */
    assert_int_equal(nm_coverage_next(c, 3, out), 1);
    assert_int_equal(out[0], 2);
    nm_coverage_destroy(&c);
}

static void test_a_suspect_is_asked_for_alone_and_given_up(void **state)
{
    (void)state;
    struct nm_coverage *c = make(3, 2, 4);
    uint64_t out[4];
    struct nm_coverage_facts facts = {.in_a_row = 4}; /* never alone: it may be another's fault */
    nm_coverage_note(c, 0, &facts, 0);
    assert_int_equal(nm_coverage_next(c, 3, out), 1);
    assert_int_equal(out[0], 0);
    facts.alone = 3;
    facts.in_a_row = 9;
    nm_coverage_note(c, 0, &facts, 1);
    assert_int_equal(nm_coverage_next(c, 3, out), 2); /* the others go on together, without it */
    assert_int_equal(out[0], 1);
    facts.alone = 4;
    nm_coverage_note(c, 0, &facts, -1);
    assert_int_equal(nm_coverage_given_up(c), 1);
    assert_int_equal(nm_coverage_short(c), 2);
    assert_int_equal(nm_coverage_list_given_up(c, out, 4), 1);
    assert_int_equal(out[0], 0);
    facts = (struct nm_coverage_facts){.accepted = 1}; /* a late answer was accepted */
    nm_coverage_note(c, 0, &facts, 0);
    assert_int_equal(nm_coverage_given_up(c), 0);
    assert_int_equal(nm_coverage_short(c), 3);
    nm_coverage_destroy(&c);
}

/* ---- random events beside a plain model ------------------------------------------------------ */

enum { N = 150, TASKS = 12, WIDEST = 4, EVENTS = 60000 };

struct model {
    struct nm_coverage_facts facts[N];
    int pending[N];
};

static bool model_given_up(const struct model *m, uint64_t e, uint32_t least, uint32_t give_up)
{
    const struct nm_coverage_facts *f = &m->facts[e];
    return f->accepted < least && f->alone >= give_up;
}

static bool model_needy(const struct model *m, uint64_t e, uint32_t least, uint32_t give_up)
{
    const struct nm_coverage_facts *f = &m->facts[e];
    if (f->accepted >= least || model_given_up(m, e, least, give_up))
        return false;
    return f->in_a_row ? m->pending[e] == 0 : f->accepted + (uint32_t)m->pending[e] < least;
}

static void compare(const struct nm_coverage *c, const struct model *m, uint32_t least, uint32_t give_up)
{
    uint64_t missing = 0, given_up = 0;
    for (uint64_t e = 0; e < N; e++) {
        bool gone = model_given_up(m, e, least, give_up);
        given_up += gone;
        missing += !gone && m->facts[e].accepted < least;
    }
    assert_int_equal(nm_coverage_short(c), missing);
    assert_int_equal(nm_coverage_given_up(c), given_up);
}

static void check_choice(const struct model *m, const uint64_t *out, uint32_t n, uint32_t least, uint32_t give_up)
{
    if (n == 0)
        for (uint64_t e = 0; e < N; e++)
            assert_false(model_needy(m, e, least, give_up));
    for (uint32_t i = 0; i < n; i++) {
        assert_true(model_needy(m, out[i], least, give_up));
        assert_true(n == 1 || m->facts[out[i]].in_a_row == 0);
        for (uint32_t k = 0; k < i; k++)
            assert_int_not_equal(out[i], out[k]);
    }
}

/* Some entities fail always, the others often: in the end all are covered or given up, and only those that fail
 * always are given up. */
static void run_model(uint64_t seed, uint32_t least, uint32_t give_up)
{
    struct nm_coverage *c = make(N, least, give_up);
    struct model m = {0};
    struct {
        uint64_t entities[WIDEST];
        uint32_t n;
    } open[TASKS];
    uint32_t n_open = 0;
    struct nm_rng rng;
    nm_rng_init(&rng, seed);
    for (int event = 0; event < EVENTS && (nm_coverage_short(c) || n_open); event++) {
        if (n_open < TASKS && nm_rng_below(&rng, 2)) {
            uint32_t n = nm_coverage_next(c, 1 + (uint32_t)nm_rng_below(&rng, WIDEST), open[n_open].entities);
            check_choice(&m, open[n_open].entities, n, least, give_up);
            open[n_open].n = n;
            for (uint32_t i = 0; i < n; i++) {
                uint64_t e = open[n_open].entities[i];
                m.pending[e]++;
                nm_coverage_note(c, e, &m.facts[e], 1);
            }
            n_open += n > 0;
        } else if (n_open) {
            uint32_t t = (uint32_t)nm_rng_below(&rng, n_open);
            bool bad = nm_rng_below(&rng, 4) == 0;
            for (uint32_t i = 0; i < open[t].n; i++)
                bad = bad || open[t].entities[i] % 10 == 3;
            for (uint32_t i = 0; i < open[t].n; i++) {
                uint64_t e = open[t].entities[i];
                m.pending[e]--;
                m.facts[e].accepted += !bad;
                m.facts[e].in_a_row = bad ? m.facts[e].in_a_row + 1 : 0;
                m.facts[e].alone = bad ? m.facts[e].alone + (open[t].n == 1) : 0;
                nm_coverage_note(c, e, &m.facts[e], -1);
            }
            open[t] = open[--n_open];
        }
        compare(c, &m, least, give_up);
    }
    assert_int_equal(nm_coverage_short(c), 0);
    uint64_t out[N];
    size_t n = nm_coverage_list_given_up(c, out, N), always = 0;
    for (size_t i = 0; i < n; i++)
        always += out[i] % 10 == 3;
    assert_int_equal(always, N / 10);
    assert_true(n <= N / 10 + 1); /* 1 in 4^12 for the honest ones */
    nm_coverage_destroy(&c);
}

static void test_random_events(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++)
        run_model(seed, 1 + (uint32_t)seed % 4, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everyone_is_asked_for_once_a_round),
        cmocka_unit_test(test_a_suspect_is_asked_for_alone_and_given_up),
        cmocka_unit_test(test_random_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
