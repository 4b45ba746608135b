/* Unit tests of alignment: tags, offsets, types, what was asked for, provenance; and BC5CDR's own tags back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/file.h"
#include "workers/aligner/bio.h"
#include "workers/aligner/tokenize.h"

struct fixture {
    struct nm_entities *entities;
    struct nm_bio *bio;
    struct nm_arena arena;
    struct nm_msg_sample sample;
    const char *rule, *detail;
};

static void set_up(struct fixture *f, const char *blob)
{
    struct nm_diag diag = {""};
    *f = (struct fixture){.entities = nm_entities_new()};
    nm_arena_init(&f->arena, 0);
    if (nm_entities_from_blob(f->entities, blob, strlen(blob), &diag) != NM_OK ||
        nm_bio_new(f->entities, &f->bio, &diag) != NM_OK)
        fail_msg("%s", diag.text);
}

static void tear_down(struct fixture *f)
{
    nm_bio_destroy(&f->bio);
    nm_entities_destroy(&f->entities);
    nm_arena_clean_up(&f->arena);
}

static void align(struct fixture *f, const char *text, struct nm_msg_entity *entities, size_t n)
{
    struct nm_msg_align align = {.task = 5,
                                 .attempt = 2,
                                 .text = nm_str(text),
                                 .entities = entities,
                                 .n_entities = n,
                                 .prompt_hash = nm_str("abcd"),
                                 .model = nm_str("model-x"),
                                 .seed = 99,
                                 .constraint = nm_str("grammar")};
    nm_arena_reset(&f->arena);
    assert_int_equal(nm_bio_align(f->bio, &align, &f->arena, &f->sample, &f->rule, &f->detail), NM_OK);
}

/* "token/tag token/tag" */
static void check_tags(const struct fixture *f, const char *want)
{
    char got[1024] = "";
    size_t n = 0;
    for (size_t i = 0; i < f->sample.n_tokens; i++) {
        const struct nm_msg_token *t = &f->sample.tokens[i];
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%.*s/%s", i > 0 ? " " : "", (int)(t->end - t->start),
                              f->sample.text.ptr + t->start, t->tag.ptr);
    }
    assert_string_equal(got, want);
}

static void test_tags(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, "Chemical\tnaloxone\nChemical\talpha-methyldopa\nDisease\tAIDS\nDisease\theart failure\n");
    struct nm_msg_entity asked[] = {{.text = nm_str("heart failure"), .type = nm_str("Disease"), .index = 3}};
    align(&f, "Naloxone, α-methyldopa or alpha - methyldopa aids heart failure.", asked, 1);
    check_tags(&f, "Naloxone/B-Chemical ,/O α/O -/O methyldopa/O or/O alpha/B-Chemical -/I-Chemical "
                   "methyldopa/I-Chemical aids/O heart/B-Disease failure/I-Disease ./O");
    assert_string_equal(f.rule, "");
    assert_int_equal(f.sample.n_mentions, 3);
    const struct nm_msg_mention *m = f.sample.mentions;
    assert_true(m[0].start == 0 && m[0].end == 8 && m[0].index == 0 && !m[0].requested);
    assert_true(m[1].start == 27 && m[1].end == 45 && m[1].index == 1 && !m[1].requested); /* bytes: α is two */
    assert_true(m[2].start == 51 && m[2].end == 64 && m[2].index == 3 && m[2].requested);
    assert_string_equal(m[1].type.ptr, "Chemical");
    assert_string_equal(m[2].type.ptr, "Disease");
    assert_true(f.sample.task == 5 && f.sample.attempt == 2 && f.sample.seed == 99);
    assert_string_equal(f.sample.prompt_hash.ptr, "abcd");
    assert_string_equal(f.sample.model.ptr, "model-x");
    assert_string_equal(f.sample.constraint.ptr, "grammar");
    tear_down(&f);
}

static void test_neighbours(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, "T\talpha\nT\tbeta\n");
    align(&f, "alpha beta alpha", NULL, 0);
    check_tags(&f, "alpha/B-T beta/B-T alpha/B-T"); /* touching mentions stay apart */
    tear_down(&f);
}

static void test_twins(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, "One\tbeta-alanine\nTwo\tbeta - alanine\n");
    struct nm_msg_entity asked[] = {{.text = nm_str("beta - alanine"), .type = nm_str("Two"), .index = 1}};
    align(&f, "beta-alanine", asked, 1);
    check_tags(&f, "beta/B-Two -/I-Two alanine/I-Two");
    assert_true(f.sample.mentions[0].requested && f.sample.mentions[0].index == 1);
    align(&f, "beta-alanine", NULL, 0);
    check_tags(&f, "beta/B-One -/I-One alanine/I-One");
    tear_down(&f);
}

static void test_empty(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, "T\talpha\n");
    align(&f, " \u200b\n", NULL, 0);
    assert_string_equal(f.rule, "empty");
    assert_true(strlen(f.detail) > 0);
    align(&f, "no entity", NULL, 0);
    assert_string_equal(f.rule, "");
    assert_int_equal(f.sample.n_mentions, 0);
    check_tags(&f, "no/O entity/O");
    tear_down(&f);
}

/* ---- BC5CDR: its gold mentions are the list, and must be found where they stand ----------------------------------
 */

struct sentence {
    struct nm_buf text;
    char tags[1024]; /* first letter of each token's tag */
    size_t n;
};

/* Read the next sentence at *at, tokens joined by spaces; false at the end. */
static bool read_sentence(const char **at, struct sentence *s)
{
    nm_buf_reset(&s->text);
    s->n = 0;
    while (**at != '\0') {
        const char *end = strchr(*at, '\n');
        const char *tab = memchr(*at, '\t', (size_t)(end - *at));
        const char *line = *at;
        *at = end + 1;
        if (tab == NULL) {
            if (s->n > 0)
                return true;
            continue;
        }
        assert_true(s->n < sizeof s->tags);
        assert_int_equal(nm_buf_add(&s->text, " ", s->n > 0), NM_OK);
        assert_int_equal(nm_buf_add(&s->text, line, (size_t)(tab - line)), NM_OK);
        s->tags[s->n++] = tab[1];
    }
    return s->n > 0;
}

/* Each sentence's gold mentions, as a list of its own, give all of its tags back. */
static void test_bc5cdr(void **state)
{
    (void)state;
    const char *dir = getenv("NERMILL_DATA");
    if (dir == NULL) {
        print_message("skipped: set NERMILL_DATA to the directory that holds bc5cdr/\n");
        skip();
    }
    char path[4096];
    struct nm_buf data;
    struct nm_buf blob;
    struct nm_diag diag;
    struct sentence s;
    nm_buf_init(&data, 64 << 20);
    nm_buf_init(&blob, 1 << 20);
    nm_buf_init(&s.text, 1 << 20);
    assert_int_equal(nm_file_join(dir, "bc5cdr/test.tsv", path, sizeof path), NM_OK);
    assert_int_equal(nm_file_read(path, &data, &diag), NM_OK);
    size_t sentences = 0;
    size_t mentions = 0;
    size_t wrong = 0;
    for (const char *at = data.data; read_sentence(&at, &s); sentences++) {
        struct nm_tokens tokens;
        nm_tokens_init(&tokens);
        assert_int_equal(nm_tokenize(s.text.data, s.text.len, &tokens), NM_OK);
        assert_int_equal(tokens.count, s.n);
        nm_buf_reset(&blob);
        for (size_t i = 0, j; i < s.n; i = j) {
            for (j = i + 1; s.tags[i] == 'B' && j < s.n && s.tags[j] == 'I'; j++)
                ;
            if (s.tags[i] == 'B')
                assert_int_equal(nm_buf_addf(&blob, "T\t%.*s\n", (int)(tokens.v[j - 1].end - tokens.v[i].start),
                                             s.text.data + tokens.v[i].start),
                                 NM_OK);
        }
        struct fixture f;
        set_up(&f, nm_buf_str(&blob));
        align(&f, nm_buf_str(&s.text), NULL, 0);
        assert_int_equal(f.sample.n_tokens, s.n);
        for (size_t i = 0; i < s.n; i++)
            wrong += f.sample.tokens[i].tag.ptr[0] != s.tags[i];
        mentions += f.sample.n_mentions;
        tear_down(&f);
        nm_tokens_clean_up(&tokens);
    }
    assert_int_equal(sentences, 4797);
    assert_int_equal(mentions, 9809);
    assert_int_equal(wrong, 0);
    nm_buf_clean_up(&data);
    nm_buf_clean_up(&blob);
    nm_buf_clean_up(&s.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags),  cmocka_unit_test(test_neighbours), cmocka_unit_test(test_twins),
        cmocka_unit_test(test_empty), cmocka_unit_test(test_bc5cdr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
