/* An answer read in one walk gives what jansson gives, and nothing that jansson refuses is read so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/hash.h"
#include "workers/generator/skim.h"

enum { ANSWERS = 40000 };

static const char *const answers[] = {
    "{\"id\":\"c-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"fixed\",\"choices\":[{"
    "\"index\":0,"
    "\"message\":{\"role\":\"assistant\",\"content\":\"Aspirin \\\"helped\\\" at 5\\/6 caf\xc3\xa9s.\\n\"},"
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":20,\"total_tokens\":220}}",
    " { \"choices\" : [ { \"finish_reason\" : null , \"logprobs\" : { \"a\" : [ -0.5 , 1e-7 , 12.25E+9, 0, -3, true, "
    "false ] } ,\n"
    "\t\"message\" : { \"refusal\" : null , \"content\" : \"\" , \"tool_calls\" : [ ] } } , { \"x\" : {} } ] , "
    "\"usage\" : null ,\r\n"
    "\"timings\" : { \"ms\" : 1234.5678901234 } , \"model\" : 7 } \n",
    "{\"usage\":{\"prompt_tokens\":-4,\"completion_tokens\":2.0,\"details\":{\"cached\":0}},\"model\":\"m\\tn\\\\\","
    "\"choices\":[{\"message\":{\"content\":\"\xe2\x80\x9cYes\xe2\x80\x9d\\b\\f\\r\"},\"finish_reason\":\"length\"},["
    "],\"z\"]}",
};

/* Like it, with a member that sends it the long way. */
static const char *longer(const char *body, struct nm_arena *arena)
{
    return nm_arena_sprintf(arena, "{\"\\u007a\":0,%s", strchr(body, '{') + 1);
}

static bool compare(const char *body, struct nm_arena *arena)
{
    struct nm_chat_reply skimmed = {.finish_reason = "", .model = ""}, read;
    struct nm_diag why = {""};
    if (!nm_skim(body, strlen(body), arena, &skimmed))
        return false;
    const char *other = longer(body, arena);
    assert_false(nm_skim(other, strlen(other), arena, &read));
    if (nm_chat_read(other, strlen(other), arena, &read, &why) != NM_OK)
        fail_msg("%s: %s", body, why.text);
    assert_string_equal(skimmed.content, read.content);
    assert_int_equal(skimmed.content_len, read.content_len);
    assert_string_equal(skimmed.finish_reason, read.finish_reason);
    assert_string_equal(skimmed.model, read.model);
    assert_int_equal(skimmed.tokens_in, read.tokens_in);
    assert_int_equal(skimmed.tokens_out, read.tokens_out);
    assert_null(read.refusal);
    return true;
}

static void test_plain(void **state)
{
    (void)state;
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        if (!compare(answers[i], &arena))
            fail_msg("left to jansson: %s", answers[i]);
    nm_arena_clean_up(&arena);
}

/* Pieces that are put in, or change places with what is there. */
static void change(struct nm_rng *rng, char *body, size_t size)
{
    static const char *const pieces[] = {"\"",
                                         "\\",
                                         "{",
                                         "}",
                                         "[",
                                         "]",
                                         ",",
                                         ":",
                                         "0",
                                         "1",
                                         "-",
                                         ".",
                                         "e",
                                         "E9",
                                         " ",
                                         "\n",
                                         "null",
                                         "true",
                                         "\\u00e9",
                                         "\\n",
                                         "\\\"",
                                         "\xc3",
                                         "\xa9",
                                         "\x01",
                                         "\"content\":\"x\",",
                                         "\"usage\":{},",
                                         "\"model\":\"n\",",
                                         "\"finish_reason\":\"a\",",
                                         "\"message\":{},",
                                         "\"prompt_tokens\":9,",
                                         "99999999999999999999",
                                         "1e999",
                                         "//",
                                         "'"};
    char rest[1024];
    size_t len = strlen(body), at = nm_rng_below(rng, len + 1), cut = nm_rng_below(rng, 3);
    const char *piece = nm_rng_below(rng, 3) == 0 ? "" : pieces[nm_rng_below(rng, sizeof pieces / sizeof *pieces)];
    (void)snprintf(rest, sizeof rest, "%s", body + at + (cut < len - at ? cut : len - at));
    (void)snprintf(body + at, size - at, "%s%s", piece, rest);
}

static void test_changed(void **state)
{
    (void)state;
    struct nm_rng rng;
    size_t skimmed = 0;
    nm_rng_init(&rng, 5);
    for (int i = 0; i < ANSWERS; i++) {
        struct nm_arena arena;
        char body[1024];
        nm_arena_init(&arena, 0);
        (void)snprintf(body, sizeof body, "%s", answers[nm_rng_below(&rng, sizeof answers / sizeof *answers)]);
        for (size_t n = 1 + nm_rng_below(&rng, 3); n > 0; n--)
            change(&rng, body, sizeof body);
        skimmed += compare(body, &arena);
        nm_arena_clean_up(&arena);
    }
    assert_in_range(skimmed, ANSWERS / 20, ANSWERS * 3 / 4);
}

/* Left to jansson, which knows what comes of them. */
static void test_unusual(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "{}",
        "[]",
        "{\"choices\":[]}",
        "{\"choices\":[{\"message\":{\"content\":null}}]}",
        "{\"choices\":[{\"message\":{\"content\":\"\\u2019\"}}]}",
        "{\"choices\":[{\"message\":{\"content\":\"a\"}}]} x",
        "{\"choices\":[{\"message\":{\"content\":\"a\",\"content\":\"b\"}}]}",
        "{\"choices\":[{\"message\":{\"content\":\"a\"}}],\"choices\":[]}",
        "{\"choices\":[{\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}}]}",
        "{\"choices\":[{\"message\":{\"content\":\"a\"}}],\"n\":12345678901234567890}",
        "{\"choices\":[{\"message\":{\"content\":\"\xc3\x28\"}}]}",
        "{\"choices\":[{\"message\":{\"content\":\"a\nb\"}}]}",
        "{\"error\":{\"message\":\"no\"}}",
        "{\"choices\":[{\"message\":{\"content\":\"a\"}}],\"n\":01}",
        "{\"choices\":[{\"message\":{\"content\":\"a\"}}],}",
        "data: {}"};
    struct nm_arena arena;
    struct nm_chat_reply reply;
    nm_arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        if (nm_skim(bodies[i], strlen(bodies[i]), &arena, &reply))
            fail_msg("skimmed: %s", bodies[i]);
    for (size_t len = 0; len < strlen(answers[0]); len++) /* cut anywhere */
        assert_false(nm_skim(answers[0], len, &arena, &reply));
    nm_arena_clean_up(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain), cmocka_unit_test(test_changed),
                                       cmocka_unit_test(test_unusual)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
