/* Keys from files that others may not read, and kept out of what is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "workers/generator/endpoint.h"
#include "workers/generator/secret.h"

static char path[] = "/tmp/nermill-secret-XXXXXX";

static void put(const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void test_modes(void **state)
{
    (void)state;
    static const mode_t open[] = {0644, 0640, 0604, 0660, 0601, 0610, 0777};
    struct nm_buf key;
    struct nm_diag diag = {""};
    nm_buf_init(&key, 4096);
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        put("sesame-open-up\n", open[i]);
        assert_int_equal(nm_secret_file("e", path, &key, &diag), NM_EINVAL);
        assert_non_null(strstr(diag.text, "chmod 600"));
        assert_non_null(strstr(diag.text, path));
        assert_null(strstr(diag.text, "sesame"));
        assert_int_equal(key.len, 0);
    }
    put("sesame-open-up\r\nsecond line\n", 0600);
    assert_int_equal(nm_secret_file("e", path, &key, &diag), NM_OK);
    assert_string_equal(nm_buf_str(&key), "sesame-open-up");
    nm_buf_reset(&key);
    put("sesame-open-up", 0400);
    assert_int_equal(nm_secret_file("e", path, &key, &diag), NM_OK);
    assert_string_equal(nm_buf_str(&key), "sesame-open-up");
    put("\n", 0600);
    assert_int_equal(nm_secret_file("e", path, &key, &diag), NM_EFORMAT);
    assert_int_equal(nm_secret_file("e", "/nonexistent/key", &key, &diag), NM_ENOENT);
    assert_int_equal(nm_secret_file("e", "/tmp", &key, &diag), NM_EINVAL);
    nm_buf_clean_up(&key);
}

static void test_mask(void **state)
{
    (void)state;
    static const struct {
        const char *secret, *text, *want;
    } rows[] = {
        {"12345678", "12345678", "********"},
        {"12345678", "a 12345678b12345678", "a ********b********"},
        {"12345678", "1234567 1234512345678", "1234567 12345********"},
        {"1234/678", "1234\\/678 1234/678 1234\\678", "********* ******** 1234\\678"},
        {"EMPTY", "EMPTY", "EMPTY"},
        {"12345678", "", ""},
        {"12345678", "1234567", "1234567"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "%s", rows[i].text);
        nm_secret_mask(text, strlen(text), rows[i].secret);
        assert_string_equal(text, rows[i].want);
    }
    nm_secret_mask(NULL, 0, "12345678");
}

static struct nm_project_endpoint config(const char *url)
{
    return (struct nm_project_endpoint){
        .name = (char *)"e", .url = (char *)url, .model = (char *)"m", .timeout_s = 1};
}

/* What of an endpoint's configuration is a secret, and is masked in what its server says. */
static void test_targets(void **state)
{
    (void)state;
    char text[] = "key-from-file pass-word-1 query-value header-value title-value proxy-pass";
    char *headers[] = {(char *)"X-Secret: ${NM_TEST_HEADER}", (char *)"X-Title: ${NM_TEST_TITLE}"};
    struct nm_project_endpoint c = config("https://u:pass-word-1@h/v1?a=b&api_key=query-value#f");
    struct nm_llm_target *target;
    struct nm_diag diag = {""};
    const char *name = strrchr(path, '/') + 1;
    put("key-from-file\n", 0600);
    setenv("NM_TEST_HEADER", "Bearer header-value", 1);
    setenv("NM_TEST_TITLE", "title-value", 1);
    c.api_key_file = (char *)name; /* relative to the directory given */
    c.headers = headers;
    c.n_headers = 2;
    c.proxy = (char *)"http://u:proxy-pass@p:3128";
    if (nm_endpoint_target(&c, "/tmp", &target, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    assert_string_equal(nm_llm_target_shown(target), "e (https://h/v1)");
    nm_llm_target_mask(target, text, strlen(text));
    assert_string_equal(text, "************* *********** *********** ************ title-value **********");
    nm_llm_target_destroy(&target);
    setenv("NM_TEST_HEADER", "x\r\nX-Evil: 1", 1);
    assert_int_equal(nm_endpoint_target(&c, "/tmp", &target, &diag), NM_EINVAL);
    unsetenv("NM_TEST_HEADER");
    assert_int_equal(nm_endpoint_target(&c, "/tmp", &target, &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "NM_TEST_HEADER"));
    c = config("https://h/v1");
    c.ca_file = (char *)"/nonexistent/ca.pem";
    assert_int_equal(nm_endpoint_target(&c, NULL, &target, &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "ca_file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_modes), cmocka_unit_test(test_mask),
                                       cmocka_unit_test(test_targets)};
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
