/* Unit tests of tokenisers, of schemes learnt from a file, and of natural text: by example, and every sentence of the
 * corpora and of a small file in another style given back by the scheme of its own file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/utf8.h"
#include "workers/aligner/conll.h"
#include "workers/aligner/detokenize.h"
#include "workers/aligner/scheme.h"

/* ---- tokenisers by example ------------------------------------------------------------------- */

/* The tokens of text, joined by '|'. */
static void check(const struct nm_tokenizer *tokenizer, const char *text, const char *want)
{
    char got[1024] = "";
    size_t len = 0;
    struct nm_tokens tokens;
    nm_tokens_init(&tokens);
    assert_int_equal(nm_tokenizer_run(tokenizer, text, strlen(text), &tokens), NM_OK);
    for (size_t i = 0; i < tokens.count; i++)
        len += (size_t)snprintf(got + len, sizeof got - len, "%s%.*s", i > 0 ? "|" : "",
                                (int)(tokens.v[i].end - tokens.v[i].start), text + tokens.v[i].start);
    assert_string_equal(got, want);
    nm_tokens_clean_up(&tokens);
}

static void test_ptb(void **state)
{
    (void)state;
    struct nm_tokenizer *t = nm_tokenizer_new(NM_TOKENIZER_PTB);
    check(t, "The U.S. didn't cut 1,000.5 jobs (10%), Dr. Smith's aide said.",
          "The|U.S.|did|n't|cut|1,000.5|jobs|(|10|%|)|,|Dr.|Smith|'s|aide|said|.");
    check(t, "They cannot pay $3.88; \"we're done,\" he said.",
          "They|can|not|pay|$|3.88|;|\"|we|'re|done|,|\"|he|said|.");
    check(t, "non-small-cell and/or IL-2--or not...", "non-small-cell|and/or|IL-2|--|or|not|...");
    check(t, "It ended. Then e.g. the dogs' tails at 10:30.", "It|ended|.|Then|e.g.|the|dogs|'|tails|at|10:30|.");
    check(t, "‘Isn’t’ – “quoted”", "‘|Is|n’t|’|–|“|quoted|”");
    check(t, "N(G)-nitro, α-tocopherol.", "N|(|G|)|-nitro|,|α-tocopherol|.");
    check(t, "", "");
    nm_tokenizer_destroy(&t);
    nm_tokenizer_destroy(&t);
}

static void test_whitespace(void **state)
{
    (void)state;
    struct nm_tokenizer *t = nm_tokenizer_new(NM_TOKENIZER_WHITESPACE);
    check(t, " aspirin,\t(100 mg)\u00a0daily.\n", "aspirin,|(100|mg)|daily.");
    check(t, "\u200b \u00ad", ""); /* nothing that can be seen */
    nm_tokenizer_destroy(&t);
    assert_null(nm_tokenizer_new(NM_TOKENIZER_LEARNED));
}

/* ---- learning -------------------------------------------------------------------------------- */

static const char treebank[] =
    "The\tO\nU.S.\tB-LOC\nwo\tO\nn't\tO\npay\tO\n1.5\tO\n%\tO\n.\tO\n\n"
    "It\tO\nca\tO\nn't\tO\n.\tO\n\n"
    "He\tO\ncould\tO\nn't\tO\nsee\tO\nthe\tO\nU.S.\tB-LOC\n,\tO\nor\tO\n2.25\tO\ncan\tO\nnot\tO\n.\tO\n\n";

static struct nm_tokenizer *learn(const char *file)
{
    struct nm_conll conll;
    struct nm_diag diag = {""};
    struct nm_tokenizer *tokenizer;
    nm_conll_init(&conll);
    if (nm_conll_parse(&conll, file, strlen(file), "file", &diag) != NM_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(nm_tokenizer_learn(&conll, &tokenizer), NM_OK);
    nm_conll_clean_up(&conll);
    return tokenizer;
}

static void test_learn(void **state)
{
    (void)state;
    struct nm_tokenizer *t = learn(treebank);
    check(t, "The U.S. won't.", "The|U.S.|wo|n't|.");
    check(t, "I don't pay 7.5%, or 3.", "I|do|n't|pay|7.5|%|,|or|3|."); /* words that the file does not hold */
    check(t, "naïve β2 (x)", "naïve|β2|(|x|)");                         /* what it never showed */
    nm_tokenizer_destroy(&t);
    t = learn("na\t0\tO\nï\t2\tO\nve\t3\tO\nway\t7\tO\n(\t11\tO\nx\t12\tO\n)\t13\tO\n"); /* offsets: glued */
    check(t, "a naïve (café) way", "a|na|ï|ve|(|caf|é|)|way");
    nm_tokenizer_destroy(&t);
}

static void test_conll_lines(void **state)
{
    (void)state;
    struct nm_conll conll;
    struct nm_diag diag = {""};
    nm_conll_init(&conll);
    static const char file[] =
        "\xef\xbb\xbf-DOCSTART- -X- O O\r\n\r\nEU NNP B-NP B-ORG\r\nrejects VBZ B-VP O\r\n \t\r\na\t12\tO";
    assert_int_equal(nm_conll_parse(&conll, file, sizeof file - 1, "f", &diag), NM_OK);
    assert_int_equal(conll.n_sentences, 2);
    assert_int_equal(conll.sentences[0].n, 2);
    assert_int_equal(conll.sentences[1].line, 6);
    assert_memory_equal(conll.tokens[0].text.ptr, "EU", conll.tokens[0].text.len);
    assert_memory_equal(conll.tokens[0].tag.ptr, "B-ORG", conll.tokens[0].tag.len);
    assert_true(conll.tokens[0].offset == NM_CONLL_NO_OFFSET && conll.tokens[2].offset == 12);
    assert_int_equal(nm_conll_parse(&conll, "a\tO\nb\n", 6, "f", &diag), NM_EFORMAT);
    assert_string_equal(diag.text, "f:2: this line is not a token and a tag");
    assert_int_equal(nm_conll_parse(&conll, "\n", 1, "f", &diag), NM_EFORMAT);
    assert_int_equal(nm_conll_parse(&conll, "\xff\tO\n", 4, "f", &diag), NM_EFORMAT);
    nm_conll_clean_up(&conll);
}

/* ---- natural text ---------------------------------------------------------------------------- */

/* Tokens parted by blanks, as natural text. */
static void check_text(const char *tokens, const char *want)
{
    struct nm_str texts[64];
    uint32_t gaps[64];
    size_t n = 0;
    struct nm_buf out;
    nm_buf_init(&out, 4096);
    for (const char *at = tokens; *at != '\0'; at += strspn(at, " ")) {
        texts[n++] = (struct nm_str){at, strcspn(at, " ")};
        at += strcspn(at, " ");
    }
    nm_detokenize(texts, n, gaps);
    assert_int_equal(nm_detokenize_join(texts, n, gaps, &out, NULL), NM_OK);
    assert_string_equal(nm_buf_str(&out), want);
    nm_buf_clean_up(&out);
}

static void test_natural_text(void **state)
{
    (void)state;
    check_text("Propylthio - uracil ( PTU ) , 0 . 5 mg / kg , i . v . : p < 0 . 01 .",
               "Propylthio-uracil (PTU), 0.5 mg/kg, i.v.: p < 0.01.");
    check_text("Parkinson ' s disease : the patients ' \" own \" words",
               "Parkinson's disease: the patients' \"own\" words");
    check_text("short - and long - term , 1 , 000 of 2 , 4 - dinitrophenol in 10 %",
               "short- and long-term, 1,000 of 2,4-dinitrophenol in 10%");
    check_text("He ca n't see the dog 's [ new ] tail at 37 ° C", "He can't see the dog's [new] tail at 37°C");
    check_text("\" Na + \" at = - 5 and 5 '", "\"Na+\" at = -5 and 5'");
}

/* ---- the corpora ----------------------------------------------------------------------------- */

struct tally {
    size_t sentences, lost, glued, widened;
    size_t known, guessed; /* gaps that an offset column tells, and those guessed right */
};

static void compare_guess(const struct nm_conll_token *tokens, const struct nm_str *texts, size_t n,
                          const uint32_t *gaps, struct tally *t)
{
    uint32_t *guess = calloc(n, sizeof *guess);
    assert_non_null(guess);
    nm_detokenize(texts, n, guess);
    for (size_t i = 1; i < n; i++) {
        t->known += tokens[i].offset != NM_CONLL_NO_OFFSET;
        t->guessed += tokens[i].offset != NM_CONLL_NO_OFFSET && guess[i] == gaps[i];
    }
    free(guess);
}

/* Each sentence as natural text, and cut again. */
static void give_back(const struct nm_conll *conll, const struct nm_conll_sentence *s,
                      const struct nm_tokenizer *tokenizer, struct nm_tokens *work, struct tally *t)
{
    struct nm_str *texts = calloc(s->n, sizeof *texts);
    uint32_t *gaps = calloc(s->n, sizeof *gaps);
    uint32_t *first = calloc(s->n, sizeof *first);
    struct nm_buf text;
    bool exact;
    assert_non_null(texts);
    assert_non_null(gaps);
    assert_non_null(first);
    for (size_t i = 0; i < s->n; i++)
        texts[i] = conll->tokens[s->first + i].text;
    nm_scheme_gaps(&conll->tokens[s->first], texts, s->n, gaps);
    compare_guess(&conll->tokens[s->first], texts, s->n, gaps, t);
    memcpy(first, gaps, s->n * sizeof *gaps);
    assert_int_equal(nm_detokenize_fit(texts, s->n, tokenizer, gaps, work, &exact), NM_OK);
    nm_buf_init(&text, 1 << 20);
    assert_int_equal(nm_detokenize_join(texts, s->n, gaps, &text, NULL), NM_OK);
    for (size_t i = 0; i < s->n; i++) {
        t->widened += gaps[i] != first[i];
        t->glued += i > 0 && gaps[i] == 0;
    }
    t->sentences++;
    if (!exact && t->lost++ < 5)
        print_message("line %zu is not given back: %s\n", s->line, nm_buf_str(&text));
    nm_buf_clean_up(&text);
    free(texts);
    free(gaps);
    free(first);
}

static struct tally give_all_back(const struct nm_conll *conll)
{
    struct nm_tokenizer *tokenizer;
    struct nm_tokens work;
    struct tally t = {0};
    nm_tokens_init(&work);
    assert_int_equal(nm_tokenizer_learn(conll, &tokenizer), NM_OK);
    for (size_t i = 0; i < conll->n_sentences; i++)
        give_back(conll, &conll->sentences[i], tokenizer, &work, &t);
    nm_tokenizer_destroy(&tokenizer);
    nm_tokens_clean_up(&work);
    return t;
}

static void test_other_style(void **state)
{
    (void)state;
    struct nm_conll conll;
    struct nm_diag diag;
    nm_conll_init(&conll);
    assert_int_equal(nm_conll_parse(&conll, treebank, sizeof treebank - 1, "treebank", &diag), NM_OK);
    struct tally t = give_all_back(&conll);
    assert_int_equal(t.sentences, 3);
    assert_int_equal(t.lost, 0);
    assert_int_equal(t.widened, 0);
    nm_conll_clean_up(&conll);
}

/* The sentences of a file, as natural text, cut in another style: what a file in that style would hold. */
static void restyle(const struct nm_conll *conll, enum nm_tokenizer_kind kind, struct nm_buf *out)
{
    struct nm_tokenizer *style = nm_tokenizer_new(kind);
    struct nm_tokens tokens;
    nm_tokens_init(&tokens);
    for (size_t i = 0; i < conll->n_sentences; i++) {
        const struct nm_conll_sentence *s = &conll->sentences[i];
        struct nm_str *texts = calloc(s->n, sizeof *texts);
        uint32_t *gaps = calloc(s->n, sizeof *gaps);
        struct nm_buf text;
        assert_non_null(texts);
        assert_non_null(gaps);
        nm_buf_init(&text, 1 << 20);
        for (size_t k = 0; k < s->n; k++)
            texts[k] = conll->tokens[s->first + k].text;
        nm_scheme_gaps(&conll->tokens[s->first], texts, s->n, gaps);
        assert_int_equal(nm_detokenize_join(texts, s->n, gaps, &text, NULL), NM_OK);
        assert_int_equal(nm_tokenizer_run(style, nm_buf_str(&text), text.len, &tokens), NM_OK);
        for (size_t k = 0; k < tokens.count; k++)
            assert_int_equal(nm_buf_addf(out, "%.*s\tO\n", (int)(tokens.v[k].end - tokens.v[k].start),
                                         text.data + tokens.v[k].start),
                             NM_OK);
        assert_int_equal(nm_buf_addc(out, '\n'), NM_OK);
        nm_buf_clean_up(&text);
        free(texts);
        free(gaps);
    }
    nm_tokens_clean_up(&tokens);
    nm_tokenizer_destroy(&style);
}

/* The same sentences in styles that the corpora are not in. */
static void check_styles(const struct nm_conll *conll)
{
    for (enum nm_tokenizer_kind kind = NM_TOKENIZER_PTB; kind <= NM_TOKENIZER_WHITESPACE; kind++) {
        struct nm_conll styled;
        struct nm_buf file;
        struct nm_diag diag;
        nm_conll_init(&styled);
        nm_buf_init(&file, 1 << 26);
        restyle(conll, kind, &file);
        assert_int_equal(nm_conll_parse(&styled, nm_buf_str(&file), file.len, "styled", &diag), NM_OK);
        struct tally t = give_all_back(&styled);
        print_message("in style %d: %zu sentences, %zu places glued, %zu of them parted\n", (int)kind, t.sentences,
                      t.glued, t.widened);
        assert_int_equal(t.sentences, conll->n_sentences);
        assert_int_equal(t.lost, 0);
        nm_conll_clean_up(&styled);
        nm_buf_clean_up(&file);
    }
}

static void test_corpora(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        size_t sentences;
    } files[] = {{"bc5cdr/train.tsv", 4560},
                 {"bc5cdr/devel.tsv", 4581},
                 {"bc5cdr/test.tsv", 4797},
                 {"tdmsci/train_1500_v2.conll", 1523},
                 {"tdmsci/test_500_v2.conll", 487}};
    const char *dir = getenv("NERMILL_DATA");
    if (dir == NULL) {
        print_message("skipped: set NERMILL_DATA to the directory that holds bc5cdr/ and tdmsci/\n");
        skip();
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[4096];
        struct nm_conll conll;
        struct nm_diag diag;
        nm_conll_init(&conll);
        assert_int_equal(nm_file_join(dir, files[i].file, path, sizeof path), NM_OK);
        if (nm_conll_read(&conll, path, &diag) != NM_OK)
            fail_msg("%s", diag.text);
        struct tally t = give_all_back(&conll);
        print_message(
            "%s: %zu sentences, %zu places glued, %zu of them parted for the way back; guessed right %zu of %zu\n",
            files[i].file, t.sentences, t.glued, t.widened, t.guessed, t.known);
        assert_int_equal(t.sentences, files[i].sentences);
        assert_int_equal(t.lost, 0);
        assert_int_equal(t.widened, 0); /* so the texts are as natural as they can be guessed */
        if (strstr(files[i].file, "train") != NULL)
            check_styles(&conll);
        nm_conll_clean_up(&conll);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ptb),         cmocka_unit_test(test_whitespace),   cmocka_unit_test(test_learn),
        cmocka_unit_test(test_conll_lines), cmocka_unit_test(test_natural_text), cmocka_unit_test(test_other_style),
        cmocka_unit_test(test_corpora),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
