/* Messages: every type survives a round trip; what is over a limit, malformed or unknown is refused in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/hash.h"
#include "schemas/messages.h"

static struct nm_arena arena;
static struct nm_buf buf;
static struct nm_diag diag;

static int set_up(void **state)
{
    (void)state;
    nm_arena_init(&arena, 0);
    nm_buf_init(&buf, NM_FRAME_MAX);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    nm_arena_clean_up(&arena);
    nm_buf_clean_up(&buf);
    return 0;
}

static void assert_str(struct nm_str s, const char *want)
{
    assert_int_equal(s.len, strlen(want));
    assert_string_equal(s.ptr, want);
}

static void task_survives_round_trip(void **state)
{
    (void)state;
    struct nm_msg_entity entities[] = {{.text = nm_str("β-blocker"), .type = nm_str("Chemical"), .index = 7},
                                       {.text = nm_str("gout"), .type = nm_str("Disease"), .index = UINT64_MAX}};
    struct nm_msg in = {.type = NM_MSG_task,
                        .u.task = {.task = 1ULL << 40,
                                   .attempt = 3,
                                   .entities = entities,
                                   .n_entities = 2,
                                   .negative = true,
                                   .style = nm_str("case report"),
                                   .feedback_text = nm_str("")}};
    struct nm_msg out;
    assert_int_equal(nm_msg_encode(&in, &buf), NM_OK);
    assert_int_equal(nm_msg_decode(buf.data, buf.len, &arena, &out, &diag), NM_OK);
    assert_int_equal(out.type, NM_MSG_task);
    assert_true(out.u.task.task == 1ULL << 40);
    assert_int_equal(out.u.task.attempt, 3);
    assert_int_equal(out.u.task.n_entities, 2);
    assert_str(out.u.task.entities[0].text, "β-blocker");
    assert_str(out.u.task.entities[1].type, "Disease");
    assert_true(out.u.task.entities[1].index == UINT64_MAX);
    assert_true(out.u.task.negative);
    assert_false(out.u.task.last_try);
    assert_str(out.u.task.style, "case report");
}

static void response_keeps_binary_body(void **state)
{
    (void)state;
    struct nm_msg_response in = {.task = 5, .accepted = true, .text = nm_str("x"), .body = {"\0\xff{", 3}};
    struct nm_msg_span spans[] = {{.start = 3, .end = 7, .type = 1, .state = NM_SPAN_MASKED}};
    struct nm_msg_response out;
    in.mentions = spans;
    in.n_mentions = 1;
    in.marked = true;
    assert_int_equal(nm_response_encode(&in, &buf), NM_OK);
    assert_int_equal(nm_response_decode(buf.data, buf.len, &arena, &out, &diag), NM_OK);
    assert_int_equal(out.body.len, 3);
    assert_memory_equal(out.body.ptr, "\0\xff{", 3);
    assert_true(out.accepted);
    assert_true(out.marked);
    assert_int_equal(out.n_mentions, 1);
    assert_memory_equal(out.mentions, spans, sizeof spans);
}

static void unknown_fields_are_skipped_and_absent_ones_zero(void **state)
{
    (void)state;
    /* [3, {"zzz": [1, {"a": nil}], "holding": 9}] : heartbeat with a field from the future */
    static const char frame[] = "\x92\x03\x82\xa3zzz\x92\x01\x81\xa1"
                                "a\xc0\xa7holding\x09";
    struct nm_msg out;
    assert_int_equal(nm_msg_decode(frame, sizeof frame - 1, &arena, &out, &diag), NM_OK);
    assert_int_equal(out.u.heartbeat.holding, 9);
    static const char empty[] = "\x92\x03\x80";
    assert_int_equal(nm_msg_decode(empty, sizeof empty - 1, &arena, &out, &diag), NM_OK);
    assert_int_equal(out.u.heartbeat.holding, 0);
    static const char goodbye[] = "\x92\x04\x80";
    assert_int_equal(nm_msg_decode(goodbye, sizeof goodbye - 1, &arena, &out, &diag), NM_OK);
    assert_str(out.u.goodbye.reason, "");
}

static void refusals_name_message_and_field(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        enum nm_err err;
        const char *word;
    } cases[] = {
        {"", 0, NM_EFORMAT, "msgpack"},
        {"\x92\x03", 2, NM_EFORMAT, "cut short"},
        {"\x92\x03\x80\x00", 4, NM_EFORMAT, "behind its end"},
        {"\x93\x03\x80\x00", 4, NM_EFORMAT, "[type, map]"},
        {"\x92\xcd\x27\x0f\x80", 5, NM_EVERSION, "9999"},
        {"\x92\x03\x81\xa7holding\xc3", 12, NM_EFORMAT, "holding"},
        {"\x92\x03\x81\xa7holding\xff", 12, NM_EFORMAT, "holding"},
        {"\x92\x04\x81\xa6reason\xa2\xc3\x28", 13, NM_EFORMAT, "UTF-8"},
        {"\xdd\xff\xff\xff\xff", 5, NM_EFORMAT, "cut short"},
        {"\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\xc0", 11, NM_EFORMAT, "deeper"},
        {"\x92\x03\xc1", 3, NM_EFORMAT, "msgpack"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nm_msg out;
        memset(&diag, 0, sizeof diag);
        assert_int_equal(nm_msg_decode(cases[i].bytes, cases[i].len, &arena, &out, &diag), cases[i].err);
        if (strstr(diag.text, cases[i].word) == NULL)
            fail_msg("case %zu: '%s' does not say '%s'", i, diag.text, cases[i].word);
    }
}

static void limits_hold_both_ways(void **state)
{
    (void)state;
    char *big = test_malloc(NM_LINE_MAX + 1);
    memset(big, 'x', NM_LINE_MAX + 1);
    struct nm_msg msg = {.type = NM_MSG_goodbye, .u.goodbye.reason = {big, NM_LINE_MAX + 1}};
    assert_int_equal(nm_msg_encode(&msg, &buf), NM_ELIMIT);
    assert_int_equal(buf.len, 0);
    msg.u.goodbye.reason.len = NM_LINE_MAX;
    assert_int_equal(nm_msg_encode(&msg, &buf), NM_OK);
    /* the same frame with a length one over the limit */
    struct nm_buf over;
    nm_buf_init(&over, NM_FRAME_MAX);
    assert_int_equal(nm_buf_add(&over, "\x92\x04\x81\xa6reason\xda\x10\x01", 13), NM_OK);
    assert_int_equal(nm_buf_add(&over, big, NM_LINE_MAX + 1), NM_OK);
    struct nm_msg out;
    assert_int_equal(nm_msg_decode(over.data, over.len, &arena, &out, &diag), NM_ELIMIT);
    assert_non_null(strstr(diag.text, "goodbye: field reason has 4097 bytes"));
    nm_buf_clean_up(&over);
    struct nm_buf tiny;
    nm_buf_init(&tiny, 100);
    assert_int_equal(nm_msg_encode(&msg, &tiny), NM_ELIMIT);
    nm_buf_clean_up(&tiny);
    test_free(big);
}

/* Whatever is flipped in a good frame, decoding answers with a code and reads nothing it must not (asan judges). */
static void damaged_frames_never_break_the_decoder(void **state)
{
    (void)state;
    struct nm_msg_hold holds[20] = {{.task = 1, .attempt = 2, .keep = true}};
    struct nm_msg in = {
        .type = NM_MSG_hello,
        .u.hello = {.role = nm_str("generator"), .worker = nm_str("w"), .holding = holds, .n_holding = 20}};
    assert_int_equal(nm_msg_encode(&in, &buf), NM_OK);
    struct nm_rng rng;
    nm_rng_init(&rng, 7);
    int refused = 0;
    for (int i = 0; i < 20000; i++) {
        struct nm_buf copy;
        nm_buf_init(&copy, NM_FRAME_MAX);
        assert_int_equal(nm_buf_add(&copy, buf.data, buf.len), NM_OK);
        for (uint64_t n = 1 + nm_rng_below(&rng, 4); n > 0; n--)
            copy.data[nm_rng_below(&rng, copy.len)] = (char)nm_rng_next(&rng);
        copy.len = 1 + nm_rng_below(&rng, copy.len);
        struct nm_msg out;
        refused += nm_msg_decode(copy.data, copy.len, &arena, &out, &diag) != NM_OK;
        nm_arena_reset(&arena);
        nm_buf_clean_up(&copy);
    }
    assert_in_range(refused, 15000, 20000);
}

static void sample_record_round_trip(void **state)
{
    (void)state;
    struct nm_msg_token tokens[] = {{0, 7, nm_str("B-Chemical")}, {8, 13, nm_str("O")}};
    struct nm_msg_mention mentions[] = {{.start = 0, .end = 7, .type = nm_str("Chemical"), .requested = true}};
    struct nm_msg_sample in = {.task = 9,
                               .text = nm_str("aspirin helps"),
                               .tokens = tokens,
                               .n_tokens = 2,
                               .mentions = mentions,
                               .n_mentions = 1};
    struct nm_msg_sample out;
    assert_int_equal(nm_sample_encode(&in, &buf), NM_OK);
    assert_int_equal(nm_sample_decode(buf.data, buf.len, &arena, &out, &diag), NM_OK);
    assert_int_equal(out.n_tokens, 2);
    assert_int_equal(out.tokens[1].start, 8);
    assert_str(out.tokens[0].tag, "B-Chemical");
    assert_true(out.mentions[0].requested);
    struct nm_buf again;
    nm_buf_init(&again, NM_FRAME_MAX);
    assert_int_equal(nm_sample_encode(&out, &again), NM_OK);
    assert_int_equal(again.len, buf.len);
    assert_memory_equal(again.data, buf.data, buf.len);
    nm_buf_clean_up(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(task_survives_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(response_keeps_binary_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_fields_are_skipped_and_absent_ones_zero, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refusals_name_message_and_field, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_hold_both_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_frames_never_break_the_decoder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sample_record_round_trip, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
