/* project_form.h: a project written, changed and read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "schemas/project_form.h"

static struct raw_project *load(const char *yaml)
{
    struct raw_project *p = NULL;
    struct nm_diag diag = {""};
    if (nm_yaml_load(yaml, strlen(yaml), "test", &nm_project_form, (void **)&p, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return p;
}

static void assert_text(const struct raw_project *p, const char *wanted)
{
    struct raw_project *same = load(wanted);
    struct nm_buf a, b;
    nm_buf_init(&a, 1 << 16);
    nm_buf_init(&b, 1 << 16);
    assert_int_equal(raw_project_write(p, &a), NM_OK);
    assert_int_equal(raw_project_write(same, &b), NM_OK);
    assert_string_equal(nm_buf_str(&a), nm_buf_str(&b));
    nm_buf_clean_up(&a);
    nm_buf_clean_up(&b);
    raw_project_free(&same);
}

static const char base[] = "seed: 5\n"
                           "endpoints: [{url: 'http://x', model: m, temperature: 0.7}, {url: 'http://y', model: n}]\n"
                           "generation: {negatives: 0.1, words: {min: 4, max: 9}, styles: [a, b], reuse: false}\n"
                           "denoise: {folds: 3}\n";

static void test_copy(void **state)
{
    (void)state;
    struct raw_project *p = load(base), *copy;
    assert_int_equal(raw_project_copy(p, &copy), NM_OK);
    raw_project_free(&p);
    assert_text(copy, base);
    raw_project_free(&copy);
}

static void test_merge(void **state)
{
    (void)state;
    struct raw_project *p = load(base);
    struct raw_project *patch = load("seed: 6\nname: new\ngeneration: {words: {max: 20}, styles: [c], attempts: 2}\n"
                                     "endpoints: [{url: 'http://z', model: o}]\nverification: {mode: drop}\n");
    raw_project_merge(p, patch);
    raw_project_free(&patch);
    assert_text(p, "seed: 6\nname: new\nendpoints: [{url: 'http://z', model: o}]\n"
                   "generation: {negatives: 0.1, words: {min: 4, max: 20}, styles: [c], reuse: false, attempts: 2}\n"
                   "verification: {mode: drop}\ndenoise: {folds: 3}\n");
    raw_project_free(&p);
}

static void test_remove(void **state)
{
    (void)state;
    struct raw_project *p = load(base);
    assert_true(raw_project_remove(p, "denoise"));
    assert_true(raw_project_remove(p, "generation.words.min"));
    assert_true(raw_project_remove(p, "generation.styles"));
    assert_true(raw_project_remove(p, "endpoints"));
    assert_true(raw_project_remove(p, "verification.mode")); /* it is not there: nothing to remove */
    assert_false(raw_project_remove(p, "generation.wordz"));
    assert_false(raw_project_remove(p, "seed.x"));
    assert_false(raw_project_remove(p, ""));
    assert_text(p, "seed: 5\ngeneration: {negatives: 0.1, words: {max: 9}, reuse: false}\n");
    raw_project_free(&p);
}

static enum nm_err join_text(void *ctx, const char *key, const char *text)
{
    char *out = ctx;
    (void)snprintf(out + strlen(out), 512 - strlen(out), "%s=%s;", key, text);
    return strcmp(text, "stop") == 0 ? NM_EAUTH : NM_OK;
}

static void test_texts(void **state)
{
    (void)state;
    char all[512] = "";
    struct raw_project *p = load("name: n\nendpoints: [{url: u, model: m}, {url: v, model: o}]\n"
                                 "generation: {styles: [a, b], exemplars: {file: f}}\nleakage: {gold: [g]}\n");
    assert_int_equal(raw_project_each_text(p, join_text, all), NM_OK);
    assert_string_equal(all, "name=n;endpoints.url=u;endpoints.model=m;endpoints.url=v;endpoints.model=o;"
                             "generation.exemplars.file=f;generation.styles=a;generation.styles=b;leakage.gold=g;");
    raw_project_free(&p);
    all[0] = '\0';
    p = load("name: stop\ngold: never\n");
    assert_int_equal(raw_project_each_text(p, join_text, all), NM_EAUTH);
    assert_string_equal(all, "name=stop;");
    raw_project_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
