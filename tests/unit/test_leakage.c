/* The test set as hashes: what repeats it is found, what only resembles it is not, and its words are not in the blob.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "schemas/leakage.h"

static const char gold[] =
    "-DOCSTART- O\n\n"
    "Propylthio\tB-Chemical\n-\tI-Chemical\nuracil\tI-Chemical\nrarely\tO\ncauses\tO\nsevere\tO\nliver\tB-Disease\n"
    "failure\tI-Disease\nin\tO\nyoung\tO\nwomen\tO\nand\tO\nin\tO\nolder\tO\nmen\tO\nalike\tO\n.\tO\n"
    "\n"
    "Aspirin B-Chemical\r\nreduces O\r\nfever O\r\nin O\r\nchildren O\r\n. O\r\n"
    "\n"
    "Results\tO\n:\tO\n";

static struct nm_leakage leakage;

static size_t shared(const char *text)
{
    struct nm_arena arena;
    size_t words;
    nm_arena_init(&arena, 0);
    assert_int_equal(nm_leakage_finds(&leakage, nm_str(text), &arena, &words), NM_OK);
    nm_arena_clean_up(&arena);
    return words;
}

static void make(uint32_t ngram)
{
    struct nm_leakage made;
    struct nm_buf blob;
    struct nm_diag diag = {""};
    nm_leakage_init(&made, ngram);
    assert_int_equal(nm_leakage_add_conll(&made, "gold", gold, sizeof gold - 1, &diag), NM_OK);
    nm_leakage_close(&made);
    nm_buf_init(&blob, 1 << 20);
    assert_int_equal(nm_leakage_encode(&made, &blob), NM_OK);
    assert_null(memmem(blob.data, blob.len, "uracil", 6)); /* no word of it travels */
    nm_leakage_clean_up(&leakage);
    nm_leakage_init(&leakage, 0);
    assert_int_equal(nm_leakage_decode(blob.data, blob.len, &leakage, &diag), NM_OK);
    assert_int_equal(leakage.n, made.n);
    assert_memory_equal(leakage.hashes, made.hashes, made.n * sizeof *made.hashes);
    for (size_t cut = 0; cut < blob.len; cut += 7) {
        struct nm_leakage bad;
        nm_leakage_init(&bad, 0);
        enum nm_err err = nm_leakage_decode(blob.data, cut, &bad, &diag);
        assert_true(err == NM_EFORMAT || (cut >= 113 && (cut - 113) % 8 == 0));
        nm_leakage_clean_up(&bad);
    }
    nm_buf_clean_up(&blob);
    nm_leakage_clean_up(&made);
}

static void test_finds(void **state)
{
    (void)state;
    make(13);
    /* the whole sentence, as people write it; thirteen of its words inside another; twelve of them */
    assert_int_equal(
        shared("Propylthio-uracil rarely causes severe liver failure in young women and in older men alike."), 13);
    assert_int_equal(
        shared("We read that uracil rarely causes severe LIVER failure, in young women and in older men, too."), 13);
    assert_int_equal(shared("We read that rarely causes severe liver failure in young women and in older folk."), 0);
    /* a shorter sentence as a whole, alone and inside another; changed, it is another */
    assert_int_equal(shared("Aspirin reduces fever in children."), 5);
    assert_int_equal(shared("As is known, aspirin reduces fever in children with colds."), 5);
    assert_int_equal(shared("Aspirin reduces fever in adults."), 0);
    /* a word or two that happen to be a sentence there */
    assert_int_equal(shared("Results"), 1);
    assert_int_equal(shared("The results were good."), 0);
    assert_int_equal(shared(""), 0);
}

static void test_shorter_runs(void **state)
{
    (void)state;
    make(4);
    assert_int_equal(shared("Sometimes it causes severe liver failure."), 4);
    assert_int_equal(shared("Sometimes it causes severe liver damage."), 0);
}

static void test_nothing_to_keep_out_is_an_error(void **state)
{
    (void)state;
    struct nm_leakage made;
    struct nm_diag diag = {""};
    nm_leakage_init(&made, 13);
    assert_int_equal(nm_leakage_add_conll(&made, "empty.conll", "\n\n", 2, &diag), NM_EFORMAT);
    assert_non_null(strstr(diag.text, "empty.conll"));
    assert_int_equal(nm_leakage_add_conll(&made, "bad.conll", "\xff\tO\n", 4, &diag), NM_EFORMAT);
    nm_leakage_clean_up(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds),
        cmocka_unit_test(test_shorter_runs),
        cmocka_unit_test(test_nothing_to_keep_out_is_an_error),
    };
    int failed = cmocka_run_group_tests_name("unit.leakage", tests, NULL, NULL);
    nm_leakage_clean_up(&leakage);
    return failed;
}
