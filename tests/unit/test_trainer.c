/* The trainer on a tiny model: batches, training that learns, kill and resume, tagging long sentences. */
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

#include "common/buf.h"
#include "common/file.h"
#include "workers/trainer/bert.h"
#include "workers/trainer/checkpoint.h"
#include "workers/trainer/dataset.h"
#include "workers/trainer/model_dir.h"
#include "workers/trainer/predict.h"
#include "workers/trainer/tagger.h"
#include "workers/trainer/trainer.h"
#include "workers/trainer/words.h"

static char root[] = "/tmp/nm-trainer-XXXXXX";
static char base[64];

static const char vocab[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n##a\n##b\n##c\nred\ngreen\nblue\nsaw\nthe\n.\n"
    "zinc\niron\nfever\ncough\nof\n";

static const char text[] =
    "the O\nzinc B-Chemical\nsaw O\nfever B-Disease\n. O\n\niron B-Chemical\nzinc I-Chemical\nof O\n"
    "the O\ncough B-Disease\n\nred O\nfever B-Disease\ncough I-Disease\nsaw O\niron B-Chemical\n\n"
    "abc O\nzinc B-Chemical\n\ngreen O\n. O\n";

/* A path below root; stays valid. */
static char *path_of(const char *name)
{
    static char paths[64][96];
    char path[96];
    size_t i = 0;
    snprintf(path, sizeof(path), "%s/%s", root, name);
    while (i < 63 && paths[i][0] != '\0' && strcmp(paths[i], path) != 0)
        i++;
    return memcpy(paths[i], path, sizeof(path));
}

static void write_file(const char *path, const char *content)
{
    struct nm_diag diag;
    assert_int_equal(nm_file_write_atomic(path, content, strlen(content), &diag), NM_OK);
}

static void read_corpus(struct nm_corpus *corpus)
{
    struct nm_diag diag = {""};
    nm_corpus_init(corpus);
    if (nm_corpus_parse_conll(corpus, "test", text, strlen(text), true, &diag) != NM_OK)
        fail_msg("%s", diag.text);
}

/* ---- words ----------------------------------------------------------------------------------- */

static void check_words(const char *line, const char *expected)
{
    struct nm_extents words = {0};
    struct nm_buf joined;
    nm_buf_init(&joined, 4096);
    assert_int_equal(nm_words_split(line, strlen(line), &words), NM_OK);
    for (size_t i = 0; i < words.n; i++)
        assert_int_equal(nm_buf_addf(&joined, "%s%.*s", i > 0 ? " " : "", (int)(words.at[i].end - words.at[i].start),
                                     line + words.at[i].start),
                         NM_OK);
    assert_string_equal(nm_buf_str(&joined), expected);
    nm_buf_clean_up(&joined);
    free(words.at);
}

static void test_words(void **state)
{
    (void)state;
    check_words("Parkinson's (0.5%) H2O/TNF-alpha.", "Parkinson ' s ( 0 . 5 % ) H2O / TNF - alpha .");
    check_words(" \t", "");
    check_words("nai\xcc\x88ve \xce\xb1-x", "nai\xcc\x88ve \xce\xb1 - x");
    check_words("co\xc2\xadop\xe2\x80\x8bx", "co\xc2\xadop x"); /* soft hyphen inside, zero-width space parts */
    check_words("\xe9\x98\xbf\xe5\x8f\xb8"
                "a",
                "\xe9\x98\xbf \xe5\x8f\xb8 a");
    struct nm_extents words = {0};
    assert_int_equal(nm_words_split("a \xff", 3, &words), NM_EFORMAT);
    free(words.at);
}

/* ---- tagset ---------------------------------------------------------------------------------- */

static void test_tagset(void **state)
{
    (void)state;
    struct nm_tagset set;
    struct nm_diag diag = {""};
    size_t type;
    static const char *const labels[] = {"I-Y", "O", "B-X", "B-Y"};
    assert_int_equal(nm_tagset_init(&set, labels, 4, "m", &diag), NM_OK);
    assert_int_equal(set.n_types, 2);
    assert_int_equal(set.tags[0], NM_TAG_I(1));
    assert_int_equal(set.tags[1], NM_TAG_O);
    assert_int_equal(set.tags[2], NM_TAG_B(0));
    assert_int_equal(set.tags[3], NM_TAG_B(1));
    assert_int_equal(nm_tagset_type(&set, "A", &type), NM_OK);
    assert_int_equal(type, 2); /* behind the others: the model's numbers stay */
    nm_tagset_clean_up(&set);
    assert_int_equal(nm_tagset_init(&set, (const char *const[]){"LABEL_0"}, 1, "m", &diag), NM_EFORMAT);
    assert_non_null(strstr(diag.text, "LABEL_0"));
    static const char *const types[] = {"X", "Yy"};
    char **names = nm_tagset_labels(types, 2);
    assert_string_equal(names[0], "O");
    assert_string_equal(names[1], "B-X");
    assert_string_equal(names[2], "I-X");
    assert_string_equal(names[4], "I-Yy");
    free(names);
}

/* ---- dataset --------------------------------------------------------------------------------- */

static void test_dataset(void **state)
{
    (void)state;
    struct nm_corpus corpus;
    struct nm_wordpiece *wp = NULL;
    struct nm_dataset set;
    struct nm_batch batch;
    struct nm_diag diag = {""};
    static const int32_t same[] = {0, 1, 2, 3, 4};
    read_corpus(&corpus);
    assert_int_equal(nm_wordpiece_load(&wp, base, &diag), NM_OK);
    assert_int_equal(nm_dataset_init(&set, wp, &corpus, same, 6, &diag), NM_OK);
    assert_int_equal(set.n, 5);
    assert_int_equal(set.truncated, 3);
    static const uint32_t order[] = {3, 0};
    assert_int_equal(nm_dataset_batch(&set, order, 2, &batch), NM_OK);
    static const uint32_t ids[] = {2, 5, 9, 10, 17, 3, 2, 15, 17, 14, 19, 3};
    static const int32_t labels[] = {-1, 0, -1, -1, 1, -1, -1, 0, 1, 0, 3, -1};
    assert_int_equal(batch.n_tokens, 12);
    assert_memory_equal(batch.ids, ids, sizeof(ids));
    assert_memory_equal(batch.labels, labels, sizeof(labels));
    assert_int_equal(batch.seq_start[0], 0);
    assert_int_equal(batch.seq_start[1], 6);
    assert_int_equal(batch.seq_start[2], 12);
    nm_dataset_clean_up(&set);
    nm_wordpiece_destroy(&wp);
    nm_corpus_clean_up(&corpus);
}

/* ---- training -------------------------------------------------------------------------------- */

static struct nm_training training(const struct nm_corpus *corpus, const char *out)
{
    struct nm_training t = {.model = base, .out = out, .train = corpus, .gold = corpus, .n_threads = 1};
    t.recipe = nm_recipe_defaults();
    t.recipe.epochs = 12;
    t.recipe.batch = 2;
    t.recipe.lr = 0.02;
    return t;
}

static void train(const struct nm_training *t, enum nm_err expected, struct nm_training_result *result)
{
    struct nm_diag diag = {""};
    enum nm_err err = nm_trainer_run(t, result, &diag);
    if (err != expected)
        fail_msg("%s: %s", nm_err_name(err), diag.text);
}

static void test_learns_and_knows_it_is_done(void **state)
{
    (void)state;
    struct nm_corpus corpus;
    struct nm_training_result result;
    read_corpus(&corpus);
    struct nm_training t = training(&corpus, path_of("learn"));
    t.recipe.epochs = 40;
    t.recipe.dropout = 0;
    train(&t, NM_OK, &result);
    assert_false(result.already);
    assert_true(result.loss < 0.1);
    assert_true(result.scores.micro.f1 > 0.9);
    assert_string_equal(result.types[1], "Disease");
    nm_training_result_clean_up(&result);
    train(&t, NM_OK, &result);
    assert_true(result.already);
    t.recipe.seed++;
    t.max_steps = 1;
    train(&t, NM_ECANCELED, &result); /* another seed is another training */
    nm_corpus_clean_up(&corpus);
}

static void assert_same_file(const char *a, const char *b, bool same)
{
    struct nm_buf x, y;
    struct nm_diag diag = {""};
    nm_buf_init(&x, 1 << 24);
    nm_buf_init(&y, 1 << 24);
    if (nm_file_read(a, &x, &diag) != NM_OK || nm_file_read(b, &y, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    bool equal = x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
    nm_buf_clean_up(&x);
    nm_buf_clean_up(&y);
    assert_int_equal(equal, same);
}

static void test_resume_is_bit_exact(void **state)
{
    (void)state;
    struct nm_corpus corpus;
    struct nm_training_result result;
    read_corpus(&corpus);
    struct nm_training whole = training(&corpus, path_of("whole"));
    train(&whole, NM_OK, &result);
    nm_training_result_clean_up(&result);
    struct nm_training parts = training(&corpus, path_of("parts"));
    static const size_t stops[] = {1, 3, 4, 17, 18, 35};
    for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
        parts.max_steps = stops[i];
        train(&parts, NM_ECANCELED, &result);
        assert_true(nm_file_exists(path_of("parts/checkpoint.json")));
        assert_false(nm_file_exists(path_of("parts/nermill.json")));
    }
    parts.max_steps = 0;
    train(&parts, NM_OK, &result);
    assert_int_equal(result.steps, 36);
    nm_training_result_clean_up(&result);
    assert_same_file(path_of("whole/model.safetensors"), path_of("parts/model.safetensors"), true);
    assert_false(nm_file_exists(path_of("parts/checkpoint.json")));
    struct nm_training less = training(&corpus, path_of("less"));
    less.checkpointing = true;
    train(&less, NM_OK, &result);
    nm_training_result_clean_up(&result);
    assert_same_file(path_of("whole/model.safetensors"), path_of("less/model.safetensors"), true);
    struct nm_training other = training(&corpus, path_of("other"));
    other.recipe.seed = 14;
    train(&other, NM_OK, &result);
    nm_training_result_clean_up(&result);
    assert_same_file(path_of("whole/model.safetensors"), path_of("other/model.safetensors"), false);
    nm_corpus_clean_up(&corpus);
}

/* A training that was begun in the precision that this CPU would not choose goes on in it, asked or not. */
static void test_begun_on_another_machine(void **state)
{
    (void)state;
    struct nm_corpus corpus;
    struct nm_training_result result;
    read_corpus(&corpus);
    struct nm_training t = training(&corpus, path_of("asked"));
    const uint64_t other = nm_bf16_is_native() ? NM_FP32 : NM_BF16;
    t.recipe.precision = other;
    train(&t, NM_OK, &result);
    nm_training_result_clean_up(&result);
    t.out = path_of("begun");
    t.max_steps = 5;
    train(&t, NM_ECANCELED, &result);
    t.max_steps = 0;
    t.recipe.precision = NM_PRECISION_AUTO;
    train(&t, NM_OK, &result);
    nm_training_result_clean_up(&result);
    assert_same_file(path_of("asked/model.safetensors"), path_of("begun/model.safetensors"), true);
    train(&t, NM_OK, &result);
    assert_true(result.already);
    nm_training_result_clean_up(&result);
    t.out = path_of("anew"); /* and here it is the CPU's own */
    train(&t, NM_OK, &result);
    nm_training_result_clean_up(&result);
    assert_same_file(path_of("asked/model.safetensors"), path_of("anew/model.safetensors"), false);
    nm_corpus_clean_up(&corpus);
}

static void resume_over_stages(bool crf)
{
    struct nm_corpus corpus;
    struct nm_training_result result;
    read_corpus(&corpus);
    struct nm_training t[2];
    for (size_t i = 0; i < 2; i++) {
        t[i] = training(&corpus, i == 0 ? path_of("stages-whole") : path_of("stages-parts"));
        t[i].n_gold = 3;
        t[i].recipe.mix = NM_MIX_THEN;
        t[i].recipe.epochs = 2;
        t[i].recipe.gold_epochs = 4;
        t[i].recipe.gold_steps = 0;
        t[i].recipe.dev_share = 0.34;
        t[i].recipe.layer_decay = 0.9;
        t[i].recipe.gce = crf ? 0 : 0.5;
        t[i].recipe.crf = crf;
    }
    train(&t[0], NM_OK, &result);
    const size_t steps = result.steps;
    assert_int_equal(steps, 2 * 1 + 4 * 1);
    assert_in_range(result.best_epoch, 3, 6); /* the first stage's epochs don't compete */
    nm_training_result_clean_up(&result);
    for (size_t i = 1; i < steps; i++) {
        t[1].max_steps = i;
        train(&t[1], NM_ECANCELED, &result);
    }
    t[1].max_steps = 0;
    train(&t[1], NM_OK, &result);
    nm_training_result_clean_up(&result);
    assert_same_file(path_of("stages-whole/model.safetensors"), path_of("stages-parts/model.safetensors"), true);
    assert_int_equal(nm_file_exists(path_of("stages-whole/crf.safetensors")), crf);
    if (crf)
        assert_same_file(path_of("stages-whole/crf.safetensors"), path_of("stages-parts/crf.safetensors"), true);
    assert_false(nm_file_exists(path_of("stages-parts/best")));
    nm_corpus_clean_up(&corpus);
}

/* Two stages with a held-out part, stopped everywhere: the same weights, and those of the best epoch. */
static void test_resume_over_stages(void **state)
{
    (void)state;
    resume_over_stages(true);
    resume_over_stages(false); /* in the same directory: the layer's file goes */
}

static size_t checkpoints(const char *dir)
{
    char command[200];
    size_t n = 0;
    (void)snprintf(command, sizeof(command), "ls -d '%s'/checkpoint-* | wc -l", dir);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    assert_int_equal(fscanf(out, "%zu", &n), 1);
    (void)pclose(out);
    return n;
}

static void test_checkpoints_that_stay(void **state)
{
    (void)state;
    struct nm_corpus corpus;
    struct nm_training_result result;
    read_corpus(&corpus);
    struct nm_training t = training(&corpus, path_of("keep"));
    t.checkpoint_steps = 1;
    t.keep_checkpoints = 3;
    t.max_steps = 12;
    train(&t, NM_ECANCELED, &result);
    assert_int_equal(checkpoints(path_of("keep")), 3);
    assert_true(nm_file_exists(path_of("keep/checkpoint-12/optimizer.safetensors")));
    assert_true(
        nm_file_exists(path_of("keep/checkpoint-10/optimizer.safetensors"))); /* not by name: 9 is not the newest */
    t.recipe.seed++; /* another training begins at step 0: the old one's are gone after its first checkpoint */
    t.max_steps = 1;
    train(&t, NM_ECANCELED, &result);
    assert_int_equal(checkpoints(path_of("keep")), 1);
    nm_corpus_clean_up(&corpus);
}

static void test_patience(void **state)
{
    (void)state;
    struct nm_corpus corpus;
    struct nm_training_result result;
    read_corpus(&corpus);
    struct nm_training t = training(&corpus, path_of("patience"));
    t.dev = &corpus;
    t.recipe.epochs = 60;
    t.recipe.dropout = 0;
    t.recipe.patience = 4;
    train(&t, NM_OK, &result); /* it learns five sentences by heart, and then nothing gets better */
    assert_true(result.best_epoch > 0 && result.steps < 60 * 3);
    assert_int_equal(result.steps, (result.best_epoch + 4) * 3);
    assert_true(result.best_f1 > 0 &&
                result.scores.micro.f1 == result.best_f1); /* gold is dev here: its weights are kept */
    nm_training_result_clean_up(&result);
    nm_corpus_clean_up(&corpus);
}

static void test_damaged_checkpoint(void **state)
{
    (void)state;
    struct nm_corpus corpus;
    struct nm_training_result result;
    struct nm_diag diag = {""};
    read_corpus(&corpus);
    struct nm_training t = training(&corpus, path_of("damaged"));
    t.max_steps = 2;
    train(&t, NM_ECANCELED, &result);
    static const char *const bad[] = {"", "{}", "[1,2",
                                      "{\"version\":2,\"directory\":\"../x\",\"recipe\":\"0\",\"step\":1,"
                                      "\"seconds\":0.0,\"tokens\":1,\"loss_sum\":0.0,\"best_epoch\":0,"
                                      "\"best_f1\":0.0,\"losses\":[]}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_file(path_of("damaged/checkpoint.json"), bad[i]);
        assert_int_equal(nm_trainer_run(&t, &result, &diag), NM_EFORMAT);
        assert_non_null(strstr(diag.text, "checkpoint.json"));
    }
    nm_corpus_clean_up(&corpus);
}

static void test_bad_recipes(void **state)
{
    (void)state;
    struct nm_corpus corpus;
    struct nm_training_result result;
    struct nm_diag diag = {""};
    read_corpus(&corpus);
    struct nm_training t = training(&corpus, path_of("never"));
    const struct nm_recipe good = t.recipe;
    t.recipe.epochs = 0;
    assert_int_equal(nm_trainer_run(&t, &result, &diag), NM_EINVAL);
    t.recipe = good;
    t.recipe.lr = 0;
    assert_int_equal(nm_trainer_run(&t, &result, &diag), NM_EINVAL);
    t.recipe = good;
    t.recipe.dropout = 1;
    assert_int_equal(nm_trainer_run(&t, &result, &diag), NM_EINVAL);
    t.recipe = good;
    t.recipe.patience = 2;
    assert_int_equal(nm_trainer_run(&t, &result, &diag), NM_EINVAL);
    assert_non_null(strstr(diag.text, "dev-share"));
    t.recipe = good;
    t.recipe.smoothing = t.recipe.gce = 0.1;
    assert_int_equal(nm_trainer_run(&t, &result, &diag), NM_EINVAL);
    assert_non_null(strstr(diag.text, "two losses"));
    t.recipe = good;
    t.recipe.gce = 0.5;
    t.recipe.crf = 1;
    assert_int_equal(nm_trainer_run(&t, &result, &diag), NM_EINVAL);
    assert_non_null(strstr(diag.text, "whole sentences"));
    t.recipe = good;
    t.max_memory_mb = 1;
    assert_int_equal(nm_trainer_run(&t, &result, &diag), NM_ELIMIT);
    assert_non_null(strstr(diag.text, "the model alone does not fit"));
    nm_corpus_clean_up(&corpus);
    nm_corpus_init(&corpus);
    assert_int_equal(nm_corpus_parse_conll(&corpus, "t", "a O\n", 4, true, &diag), NM_OK);
    assert_int_equal(nm_trainer_run(&t, &result, &diag), NM_EFORMAT);
    assert_non_null(strstr(diag.text, "no entity"));
    nm_corpus_clean_up(&corpus);
}

/* ---- tagging --------------------------------------------------------------------------------- */

static void test_long_sentences(void **state)
{
    (void)state;
    struct nm_tagger tagger;
    struct nm_diag diag = {""};
    enum { N = 200 }; /* the model has 32 positions */
    struct nm_word words[N];
    int32_t tags[N + 4];
    float scores[N + 4];
    if (nm_tagger_load(&tagger, path_of("learn"), &(struct nm_tagger_options){.n_threads = 1}, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    for (size_t i = 0; i < N; i++)
        words[i] = i % 5 == 3   ? (struct nm_word){"\x01", 1}
                   : i % 7 == 2 ? (struct nm_word){"zinc", 4}
                                : (struct nm_word){"the", 3};
    const struct nm_sentence sentences[] = {
        {.words = words, .n = 3}, {.n = 0}, {.words = words, .n = N}, {.words = words, .n = 1}};
    for (size_t i = 0; i < N + 4; i++)
        tags[i] = -7;
    assert_int_equal(nm_tagger_tag(&tagger, sentences, 4, tags, scores, &diag), NM_OK);
    for (size_t i = 0; i < N + 4; i++) {
        size_t w = i < 3 ? i : i < 3 + N ? i - 3 : 0;
        assert_true(tags[i] >= 0 && tags[i] <= 4);
        assert_true(scores[i] > 0 && scores[i] <= 1.0001f);
        if (w % 5 == 3) { /* no token: outside, surely */
            assert_int_equal(tags[i], NM_TAG_O);
            assert_true(scores[i] == 1);
        }
    }
    nm_tagger_clean_up(&tagger);
    const double sure = 0.75;
    const struct nm_tagger_options strict = {.n_threads = 1, .constrained = true, .min_score = &sure};
    assert_int_equal(nm_tagger_load(&tagger, path_of("learn"), &strict, &diag), NM_OK);
    assert_true(tagger.constrained && tagger.min_score > 0.74 && tagger.min_score < 0.76);
    nm_tagger_clean_up(&tagger);
    assert_int_equal(nm_tagger_load(&tagger, base, &(struct nm_tagger_options){.n_threads = 1}, &diag),
                     NM_EFORMAT); /* no BIO labels */
}

static char *predict(enum nm_predict_format format, bool conll, const char *input, enum nm_err expected)
{
    struct nm_tagger tagger;
    struct nm_diag diag = {""};
    char *out = NULL;
    size_t len = 0;
    if (nm_tagger_load(&tagger, path_of("learn"), &(struct nm_tagger_options){.n_threads = 1}, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    FILE *in = fmemopen((void *)(uintptr_t)input, strlen(input), "r"), *sink = open_memstream(&out, &len);
    const struct nm_predict p = {.tagger = &tagger,
                                 .format = format,
                                 .input = conll ? NM_PREDICT_FROM_CONLL : NM_PREDICT_FROM_TEXT,
                                 .in = in,
                                 .out = sink,
                                 .name = "input"};
    enum nm_err err = nm_predict_run(&p, &diag);
    fclose(in);
    fclose(sink);
    nm_tagger_clean_up(&tagger);
    if (err != expected)
        fail_msg("%s: %s", nm_err_name(err), diag.text);
    if (err != NM_OK)
        assert_non_null(strstr(diag.text, "input:2: not UTF-8"));
    return out;
}

static void check_prediction(enum nm_predict_format format, bool conll, const char *input, const char *expected)
{
    char *out = predict(format, conll, input, NM_OK);
    assert_string_equal(out, expected);
    free(out);
}

static void test_predict(void **state)
{
    (void)state;
    check_prediction(NM_PREDICT_PLAIN, false, "the zinc saw fever.\n\nred\n",
                     "the [zinc|Chemical] saw [fever|Disease].\n\nred\n");
    check_prediction(NM_PREDICT_CONLL, false, "the zinc saw fever.",
                     "the\tO\nzinc\tB-Chemical\nsaw\tO\nfever\tB-Disease\n"
                     ".\tO\n\n");
    check_prediction(NM_PREDICT_CONLL, true, "the\nzinc\nsaw\nfever\n.\n",
                     "the\tO\nzinc\tB-Chemical\nsaw\tO\n"
                     "fever\tB-Disease\n.\tO\n\n");
    char *out = predict(NM_PREDICT_JSONL, false, "the\xe2\x80\x8b zinc saw fever.\n", NM_OK);
    assert_non_null(strstr(out, "\"start\":5,\"end\":9,\"type\":\"Chemical\",\"text\":\"zinc\",\"score\":"));
    free(out);
    out = predict(NM_PREDICT_COLOR, false, "the zinc saw fever.\n", NM_OK);
    assert_non_null(strstr(out, "\033[1;36mzinc\033[0;2m Chemical\033[0m"));
    free(out);
    free(predict(NM_PREDICT_PLAIN, false, "the\n\xff\n", NM_EFORMAT));
}

/* A classifier that was never trained finds I- without a B-; constrained, it doesn't, and predict says other tags. */
static void test_constrained(void **state)
{
    (void)state;
    enum { N = 24 };
    static const char *const labels[] = {"O", "B-X", "I-X"}, *const all[] = {"the",   "zinc", "saw",
                                                                             "fever", "iron", "of"};
    const struct nm_bert_options options = {.labels = labels, .n_labels = 3, .seed = 4, .n_threads = 1};
    struct nm_bert *bert = NULL;
    struct nm_wordpiece *wp = NULL;
    struct nm_tagger tagger;
    struct nm_diag diag = {""};
    struct nm_word words[N];
    char column[N * 8] = "", *printed[2];
    int32_t tags[N];
    if (nm_bert_load(&bert, base, &options, &diag) != NM_OK || nm_wordpiece_load(&wp, base, &diag) != NM_OK ||
        nm_tagger_borrow(&tagger, bert, wp, base, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    for (size_t i = 0; i < N; i++) {
        words[i] = (struct nm_word){all[i * 5 % 6], strlen(all[i * 5 % 6])};
        strcat(strcat(column, words[i].text), "\n");
    }
    const struct nm_sentence sentence = {.words = words, .n = N};
    for (int constrained = 0; constrained < 2; constrained++) {
        size_t orphans = 0, len = 0;
        tagger.constrained = constrained != 0;
        assert_int_equal(nm_tagger_tag(&tagger, &sentence, 1, tags, NULL, &diag), NM_OK);
        for (size_t i = 0; i < N; i++)
            orphans += tags[i] == NM_TAG_I(0) && (i == 0 || tags[i - 1] == NM_TAG_O);
        assert_int_equal(orphans > 0, constrained == 0);
        FILE *in = fmemopen(column, strlen(column), "r"), *out = open_memstream(&printed[constrained], &len);
        const struct nm_predict p = {.tagger = &tagger,
                                     .format = NM_PREDICT_CONLL,
                                     .input = NM_PREDICT_FROM_CONLL,
                                     .in = in,
                                     .out = out,
                                     .name = "input"};
        assert_int_equal(nm_predict_run(&p, &diag), NM_OK);
        fclose(in);
        fclose(out);
    }
    assert_string_not_equal(printed[0], printed[1]);
    free(printed[0]);
    free(printed[1]);
    nm_tagger_clean_up(&tagger);
    nm_wordpiece_destroy(&wp);
    nm_bert_destroy(&bert);
}

/* ---- set up ---------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    struct nm_diag diag = {""};
    struct nm_bert *bert = NULL;
    const struct nm_bert_options options = {.n_threads = 1};
    static char *labels[] = {"LABEL_0", "LABEL_1"};
    const struct nm_model_config cfg = {.vocab_size = 22,
                                        .hidden_size = 16,
                                        .n_layers = 2,
                                        .n_heads = 2,
                                        .intermediate_size = 32,
                                        .max_positions = 32,
                                        .n_types = 2,
                                        .layer_norm_eps = 1e-12f,
                                        .hidden_dropout = 0.1f,
                                        .attention_dropout = 0.1f,
                                        .classifier_dropout = 0.1f,
                                        .initializer_range = 0.2f,
                                        .n_labels = 2,
                                        .labels = labels};
    if (mkdtemp(root) == NULL)
        return -1;
    snprintf(base, sizeof(base), "%s/base", root);
    if (nm_file_make_dirs(base, &diag) != NM_OK || nm_bert_new(&bert, &cfg, &options, &diag) != NM_OK)
        return -1;
    nm_bert_init_weights(bert, 1);
    enum nm_err err = nm_bert_save(bert, base, &diag);
    nm_bert_destroy(&bert);
    write_file(path_of("base/vocab.txt"), vocab);
    return err == NM_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof(command), "rm -r '%s'", root);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_tagset),
        cmocka_unit_test(test_dataset),
        cmocka_unit_test(test_learns_and_knows_it_is_done),
        cmocka_unit_test(test_resume_is_bit_exact),
        cmocka_unit_test(test_begun_on_another_machine),
        cmocka_unit_test(test_resume_over_stages),
        cmocka_unit_test(test_checkpoints_that_stay),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_damaged_checkpoint),
        cmocka_unit_test(test_bad_recipes),
        cmocka_unit_test(test_long_sentences),
        cmocka_unit_test(test_predict),
        cmocka_unit_test(test_constrained),
    };
    return cmocka_run_group_tests_name("unit.trainer", tests, set_up, tear_down);
}
