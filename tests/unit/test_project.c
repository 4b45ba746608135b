/* Project and entity lists: defaults, ranges, and every mistake named with its file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/project.h"

static struct nm_diag diag;
static char dir[64];

static int set_up(void **state)
{
    (void)state;
    memset(&diag, 0, sizeof diag);
    (void)snprintf(dir, sizeof dir, "/tmp/nm-project-XXXXXX");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command); /* NOLINT: a directory of our own */
}

#define HEAD                                                                                                         \
    "version: 1\n"                                                                                                   \
    "entities:\n"                                                                                                    \
    "  - type: Chemical\n"                                                                                           \
    "    file: c.txt\n"                                                                                              \
    "endpoints:\n"                                                                                                   \
    "  - url: http://127.0.0.1:8080/v1\n"                                                                            \
    "    model: m\n"

static struct nm_project *parse(const char *yaml, enum nm_err want)
{
    struct nm_project *project = NULL;
    enum nm_err err = nm_project_parse(yaml, strlen(yaml), "p.yaml", &project, &diag);
    if (err != want)
        fail_msg("got %d, want %d: %s", (int)err, (int)want, diag.text);
    return project;
}

static void the_least_project_has_defaults(void **state)
{
    (void)state;
    struct nm_project *p = parse(HEAD, NM_OK);
    assert_int_equal(p->goal.samples, 200);
    assert_int_equal(p->goal.min_per_entity, 0);
    assert_int_equal(p->seed, 13);
    assert_int_equal(p->generation.entities.max, 3);
    assert_true(p->generation.negatives == 0.1);
    assert_int_equal(p->generation.constrain, NM_CONSTRAIN_LAST);
    assert_string_equal(p->endpoints[0].name, "http://127.0.0.1:8080/v1");
    assert_null(p->endpoints[0].api_key_env);
    assert_null(p->endpoints[0].proxy);
    assert_int_equal(p->endpoints[0].n_headers, 0);
    assert_int_equal(p->endpoints[0].connect_timeout_s, 10);
    assert_int_equal(p->endpoints[0].first_byte_timeout_s, 0);
    assert_int_equal(p->endpoints[0].stall_timeout_s, 60);
    assert_true(p->trainer.dropout < 0);
    assert_null(p->gold);
    nm_project_destroy(&p);
}

static void everything_said_is_kept(void **state)
{
    (void)state;
    struct nm_project *p = parse(HEAD "    temperature: 0\n"
                                      "    constraint: grammar\n"
                                      "    api_key_file: ${HOME}/key\n"
                                      "    api_key_header: api-key\n"
                                      "    headers: ['X-Title: nermill', 'X-Api-Key: ${KEY}']\n"
                                      "    extra_body: '{\"top_k\": 40}'\n"
                                      "    proxy: socks5h://u:${PASSWORD}@localhost:1080\n"
                                      "    ca_file: ca.pem\n"
                                      "    stall_timeout_s: 0\n"
                                      "name: \"β\"\n"
                                      "seed: 18446744073709551615\n"
                                      "goal: {samples: 7}\n"
                                      "generation:\n"
                                      "  negatives: 0\n"
                                      "  constrain: always\n"
                                      "  entities: {min: 2, max: 5}\n"
                                      "  styles: [one, two]\n"
                                      "trainer:\n"
                                      "  dropout: 0\n",
                                 NM_OK);
    assert_true(p->endpoints[0].temperature == 0);
    assert_int_equal(p->endpoints[0].constraint, NM_CONSTRAINT_GRAMMAR);
    assert_string_equal(p->endpoints[0].api_key_file, "${HOME}/key");
    assert_string_equal(p->endpoints[0].api_key_header, "api-key");
    assert_int_equal(p->endpoints[0].n_headers, 2);
    assert_string_equal(p->endpoints[0].headers[1], "X-Api-Key: ${KEY}");
    assert_string_equal(p->endpoints[0].extra_body, "{\"top_k\": 40}");
    assert_string_equal(p->endpoints[0].ca_file, "ca.pem");
    assert_int_equal(p->endpoints[0].stall_timeout_s, 0);
    assert_string_equal(p->name, "β");
    assert_true(p->seed == UINT64_MAX);
    assert_int_equal(p->goal.samples, 7);
    assert_true(p->generation.negatives == 0);
    assert_int_equal(p->generation.constrain, NM_CONSTRAIN_ALWAYS);
    assert_int_equal(p->generation.entities.min, 2);
    assert_int_equal(p->generation.n_styles, 2);
    assert_string_equal(p->generation.styles[1], "two");
    assert_true(p->trainer.dropout == 0);
    nm_project_destroy(&p);
}

static void a_goal_of_coverage(void **state)
{
    (void)state;
    struct nm_project *p = parse(HEAD "goal:\n  coverage: {min_per_entity: 3}\n", NM_OK);
    assert_int_equal(p->goal.samples, 0); /* as many as it takes */
    assert_int_equal(p->goal.min_per_entity, 3);
    assert_int_equal(p->goal.give_up, 12);
    nm_project_destroy(&p);
    p = parse(HEAD "goal: {samples: 9, coverage: {min_per_entity: 2, give_up: 4}}\n", NM_OK);
    assert_int_equal(p->goal.samples, 9);
    assert_int_equal(p->goal.give_up, 4);
    nm_project_destroy(&p);
}

static void mistakes_name_file_line_and_way_out(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *says;
    } cases[] = {
        {"", "p.yaml:1: the file holds no project"},
        {"version: 1\n\tname: x\n", "p.yaml:1: libyaml: found a tab character"},
        {HEAD "sed: 3\n", "p.yaml:8: unknown key 'sed': did you mean 'seed'?"},
        {HEAD "generation:\n  atempts: 3\n", "p.yaml:9: unknown key 'atempts': did you mean 'attempts'?"},
        {HEAD "    temprature: 3\n", "p.yaml:8: unknown key 'temprature': did you mean 'temperature'?"},
        {HEAD "qqqqqqqqqq: 3\n", "p.yaml:8: unknown key 'qqqqqqqqqq'"},
        {"version: 1\n", "the key 'entities' is missing"},
        {HEAD "goal:\n  coverage: {give_up: 3}\n", "p.yaml:9: goal.coverage: min_per_entity is missing"},
        {HEAD "goal:\n  coverage:\n    min_per_entity: 0\n", "p.yaml:10: goal.min_per_entity: 0 is not between"},
        {HEAD "goal: {samples: many}\n", "p.yaml:8: Invalid uint64_t value: 'many'"},
        {HEAD "generation:\n  attempts: 0\n", "p.yaml:9: generation.attempts: 0 is not between 1 and 100"},
        {HEAD "generation:\n  constrain: often\n",
         "p.yaml:9: generation.constrain: 'often' is not one of never, last"},
        {HEAD "generation:\n  negatives: 2\n", "p.yaml:9: generation.negatives: 2 is not between 0 and 0.9"},
        {HEAD "    top_p: 1.5\n", "p.yaml:8: endpoints.top_p: 1.5 is not between 0 and 1"},
        {HEAD "    proxy: proxy:3128\n", "p.yaml:8: endpoints.proxy: it is neither http://"},
        {HEAD "    proxy: http://u:sesame@proxy\n", "p.yaml:8: endpoints.proxy: a password stands there in the open"},
        {HEAD "    headers: [no colon]\n", "p.yaml:8: endpoints.headers: one of them is not like"},
        {HEAD "    headers: ['Host: x']\n", "p.yaml:8: endpoints.headers: host is nermill's own to send"},
        {HEAD "    headers: ['authorization: Bearer sesame']\n",
         "p.yaml:8: endpoints.headers: authorization stands there in the open"},
        {HEAD "    extra_body: '[1]'\n",
         "p.yaml:8: endpoints.extra_body: not like '{\"top_k\": 40}': it is JSON, but"},
        {HEAD "    extra_body: '{'\n", "p.yaml:8: endpoints.extra_body: not like"},
        {HEAD "    api_key_env: K\n    api_key_file: k\n",
         "p.yaml:9: endpoints.api_key_file: api_key_env is given too"},
        {HEAD "  - url: https://u:sesame@h/v1\n    model: m\n", "p.yaml:8: endpoints.url: a password stands there"},
        {HEAD "  - url: https://h/v1?a=b&key=sesame\n    model: m\n",
         "p.yaml:8: endpoints.url: a password stands there"},
        {HEAD "version: 2\n", "p.yaml:"},
        {"version: 2\n" HEAD, "p.yaml:"},
        {HEAD "generation:\n  words: {min: 9, max: 3}\n", "p.yaml:9: generation.words: min 9 is larger than max 3"},
        {HEAD "broker:\n  lease_s: 0\n", "p.yaml:9: broker.lease_s: 0 is not between"},
        {"version: 1\nentities:\n  - type: a b\n    file: x\nendpoints:\n  - url: http://x\n    model: m\n",
         "p.yaml:3: entities.type: 'a b' is not"},
        {"version: 1\nentities:\n  - type: a\n    file: x\nendpoints:\n  - url: ftp://x\n    model: m\n",
         "p.yaml:6: endpoints.url: 'ftp://x' is neither"},
        {"version: 1\nname: \xff\xfe\n", "p.yaml:2: not valid UTF-8"},
        {"version: 1\nentities: []\n", "p.yaml:2: Insufficient entries"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nm_project *p = parse(cases[i].yaml, NM_EFORMAT);
        assert_null(p);
        if (strstr(diag.text, cases[i].says) == NULL)
            fail_msg("case %zu: '%s' does not say '%s'", i, diag.text, cases[i].says);
        assert_null(strstr(diag.text, "sesame"));
    }
}

static void variables_come_from_the_environment(void **state)
{
    (void)state;
    struct nm_buf out;
    nm_buf_init(&out, 1000);
    setenv("NM_TEST_PORT", "81", 1);
    assert_int_equal(nm_project_expand("url", "http://x:${NM_TEST_PORT}/v1$", &out, &diag), NM_OK);
    assert_string_equal(nm_buf_str(&out), "http://x:81/v1$");
    assert_int_equal(nm_project_expand("endpoints.url", "${NM_TEST_UNSET}", &out, &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "endpoints.url: the environment variable NM_TEST_UNSET is not set"));
    nm_buf_clean_up(&out);
}

static const char *write_list(const char *name, const char *text, size_t len)
{
    static char path[2][128];
    static int turn;
    turn = !turn;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    FILE *file = fopen(path[turn], "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    return path[turn];
}

static void lists_are_cleaned_counted_and_sent_whole(void **state)
{
    (void)state;
    struct nm_entities *e = nm_entities_new();
    /* a BOM, a comment, CRLF, a repeated line, e + combining acute (NFC: é), a tab inside, no newline at the end */
    static const char list[] =
        "\xef\xbb\xbf# drugs\naspirin\r\n\n  acetic \t acid \naspirin\ncafe\xcc\x81ine\ncAMP\nCAMP";
    const char *path = write_list("c.txt", list, sizeof list - 1);
    assert_int_equal(nm_entities_load(e, "Chemical", path, &diag), NM_OK);
    assert_int_equal(nm_entities_count(e), 5);
    assert_int_equal(nm_entities_duplicates(e), 1);
    assert_string_equal(nm_entities_get(e, 1)->text, "acetic acid");
    assert_string_equal(nm_entities_get(e, 2)->text, "caf\xc3\xa9ine");
    assert_int_equal(nm_entities_load(e, "Disease", write_list("d.txt", "gout\n", 5), &diag), NM_OK);
    assert_null(nm_entities_get(e, 6));
    struct nm_buf blob;
    nm_buf_init(&blob, 10000);
    assert_int_equal(nm_entities_to_blob(e, &blob), NM_OK);
    struct nm_entities *copy = nm_entities_new();
    assert_int_equal(nm_entities_from_blob(copy, blob.data, blob.len, &diag), NM_OK);
    assert_int_equal(nm_entities_count(copy), 6);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(nm_entities_get(copy, i)->text, nm_entities_get(e, i)->text);
        assert_string_equal(nm_entities_type_name(copy, nm_entities_get(copy, i)->type),
                            nm_entities_type_name(e, nm_entities_get(e, i)->type));
    }
    nm_buf_clean_up(&blob);
    nm_entities_destroy(&copy);
    nm_entities_destroy(&e);
}

static void bad_lists_are_named_with_their_line(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof text);
    static const struct {
        const char *text;
        size_t len;
        const char *says;
    } cases[] = {
        {"# nothing\n\n", 11, "no entity in the list of type Disease"},
        {"gout\nfl\xffu\n", 10, "d.txt:2: not valid UTF-8"},
        {"gout\nAspirin\n", 13, "d.txt:2: 'Aspirin' is Disease here but Chemical in"},
        {NULL, 2000, "d.txt:1: an entity of more than 512 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nm_entities *e = nm_entities_new();
        assert_int_equal(nm_entities_load(e, "Chemical", write_list("c.txt", "x\naspirin\n", 10), &diag), NM_OK);
        const char *path = write_list("d.txt", cases[i].text != NULL ? cases[i].text : text, cases[i].len);
        assert_int_equal(nm_entities_load(e, "Disease", path, &diag), NM_EFORMAT);
        if (strstr(diag.text, cases[i].says) == NULL)
            fail_msg("case %zu: '%s' does not say '%s'", i, diag.text, cases[i].says);
        nm_entities_destroy(&e);
    }
    struct nm_entities *e = nm_entities_new();
    assert_int_equal(nm_entities_load(e, "Chemical", "/nonexistent/list.txt", &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "/nonexistent/list.txt"));
    assert_int_equal(nm_entities_load(e, "Chemical", dir, &diag), NM_EINVAL);
    assert_non_null(strstr(diag.text, "is a directory"));
    nm_entities_destroy(&e);
}

static void a_large_list_stays_whole(void **state)
{
    (void)state;
    struct nm_buf list;
    nm_buf_init(&list, 10 << 20);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(nm_buf_addf(&list, "compound %d\n", i % 70000), NM_OK);
    struct nm_entities *e = nm_entities_new();
    assert_int_equal(nm_entities_load(e, "Chemical", write_list("c.txt", list.data, list.len), &diag), NM_OK);
    assert_int_equal(nm_entities_count(e), 70000);
    assert_int_equal(nm_entities_duplicates(e), 30000);
    nm_entities_destroy(&e);
    nm_buf_clean_up(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_least_project_has_defaults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(everything_said_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_goal_of_coverage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mistakes_name_file_line_and_way_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(variables_come_from_the_environment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_are_cleaned_counted_and_sent_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_lists_are_named_with_their_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_large_list_stays_whole, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
