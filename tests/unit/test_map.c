#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/map.h"
#include "common/hash.h"

enum { KEYS = 3000 };

/* Random puts and deletes against a plain array; the keys are few, so that probes run into each other. */
static void test_against_array(void **state)
{
    (void)state;
    static void *model[KEYS];
    static char values[KEYS];
    struct nm_map map;
    nm_map_init(&map);
    struct nm_rng rng;
    nm_rng_init(&rng, 5);
    size_t n = 0;
    for (int step = 0; step < 300000; step++) {
        uint64_t key = nm_rng_below(&rng, KEYS);
        bool put = nm_rng_below(&rng, 100) < (step / 50000 % 2 ? 30u : 60u);
        if (put) {
            n += model[key] == NULL;
            model[key] = &values[nm_rng_below(&rng, KEYS)];
            assert_int_equal(nm_map_put(&map, key, model[key]), NM_OK);
        } else {
            n -= model[key] != NULL;
            assert_ptr_equal(nm_map_del(&map, key), model[key]);
            model[key] = NULL;
        }
        assert_int_equal(map.n, n);
        uint64_t other = nm_rng_below(&rng, KEYS);
        assert_ptr_equal(nm_map_get(&map, other), model[other]);
    }
    for (uint64_t key = 0; key < KEYS; key++)
        assert_ptr_equal(nm_map_get(&map, key), model[key]);
    nm_map_clean_up(&map);
}

static void test_empty(void **state)
{
    (void)state;
    struct nm_map map;
    nm_map_init(&map);
    assert_null(nm_map_get(&map, 0));
    assert_null(nm_map_del(&map, UINT64_MAX));
    nm_map_clean_up(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_array), cmocka_unit_test(test_empty)};
    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
