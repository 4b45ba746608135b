/* bench_aligner - how fast texts are tokenised and matched, and how fast samples become durable.
 *
 * usage: bench_aligner TEXTS ENTITIES SECONDS [STATE_DIR]
 *        bench_aligner --spans TEXTS ENTITIES
 * TEXTS and ENTITIES hold one a line.  Prints one JSON object; with STATE_DIR it aligns and commits every text there,
 * acknowledged, COMMIT_GROUP samples a commit.  With --spans it prints what is found, to be held against another
 * matcher: the text's number and the span's first byte and end, a line each.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/file.h"
#include "workers/aligner/bio.h"
#include "workers/aligner/matcher.h"
#include "workers/aligner/samples.h"

enum { FILE_MAX = 1 << 30, COMMIT_GROUP = 512 };

struct lines {
    struct nm_buf file;
    struct nm_pattern *v;
    size_t n, bytes;
};

static void die(const char *what, enum nm_err err, const struct nm_diag *diag)
{
    (void)fprintf(stderr, "bench_aligner: %s: %s %s\n", what, nm_err_name(err), diag != NULL ? diag->text : "");
    exit(1);
}

static void read_lines(const char *path, struct lines *lines)
{
    struct nm_diag diag;
    nm_buf_init(&lines->file, FILE_MAX);
    enum nm_err err = nm_file_read(path, &lines->file, &diag);
    if (err != NM_OK)
        die(path, err, &diag);
    size_t cap = 1;
    for (size_t i = 0; i < lines->file.len; i++)
        cap += lines->file.data[i] == '\n';
    lines->v = calloc(cap, sizeof *lines->v);
    if (lines->v == NULL)
        die(path, NM_ENOMEM, NULL);
    for (char *at = lines->file.data, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        lines->v[lines->n++] = (struct nm_pattern){.text = at, .len = (size_t)(end - at)};
        lines->bytes += (size_t)(end - at);
    }
}

/* CPU seconds of this one thread: on a machine that does other work, too, a figure per core is one of CPU time. */
static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Seconds for one pass over all texts. */
static double pass(const struct nm_matcher *matcher, const struct lines *texts, struct nm_tokens *tokens,
                   struct nm_matches *matches, size_t *n_tokens, size_t *n_matches)
{
    double start = cpu_seconds();
    *n_tokens = *n_matches = 0;
    for (size_t i = 0; i < texts->n; i++) {
        enum nm_err err = nm_tokenize(texts->v[i].text, texts->v[i].len, tokens);
        if (err == NM_OK)
            err = nm_matcher_run(matcher, texts->v[i].text, tokens, matches);
        if (err != NM_OK)
            die("a text", err, NULL);
        *n_tokens += tokens->count;
        *n_matches += matches->count;
    }
    return cpu_seconds() - start;
}

static void bench_matching(const struct lines *texts, const struct lines *entities, double seconds)
{
    struct nm_diag diag;
    struct nm_matcher *matcher;
    struct nm_tokens tokens;
    struct nm_matches matches;
    size_t n_tokens = 0;
    size_t n_matches = 0;
    double start = cpu_seconds();
    enum nm_err err = nm_matcher_new(entities->v, entities->n, &matcher, &diag);
    if (err != NM_OK)
        die("the entities", err, &diag);
    double build = cpu_seconds() - start;
    nm_tokens_init(&tokens);
    nm_matches_init(&matches);
    double total = 0;
    double best = 1e9;
    size_t passes = 0;
    for (; total < seconds || passes < 3; passes++) {
        double took = pass(matcher, texts, &tokens, &matches, &n_tokens, &n_matches);
        total += took;
        best = took < best ? took : best;
    }
    (void)printf("\"entities\":%zu,\"texts\":%zu,\"bytes\":%zu,\"tokens\":%zu,\"matches\":%zu,\"passes\":%zu,"
                 "\"mb_per_s\":%.2f,\"mb_per_s_best\":%.2f,\"build_s\":%.3f,\"matcher_bytes\":%zu",
                 entities->n, texts->n, texts->bytes, n_tokens, n_matches, passes,
                 (double)texts->bytes * (double)passes / total / 1e6, (double)texts->bytes / best / 1e6, build,
                 nm_matcher_bytes(matcher));
    nm_matches_clean_up(&matches);
    nm_tokens_clean_up(&tokens);
    nm_matcher_destroy(&matcher);
}

static void print_spans(const struct lines *texts, const struct lines *entities)
{
    struct nm_diag diag;
    struct nm_matcher *matcher;
    struct nm_tokens tokens;
    struct nm_matches matches;
    enum nm_err err = nm_matcher_new(entities->v, entities->n, &matcher, &diag);
    if (err != NM_OK)
        die("the entities", err, &diag);
    nm_tokens_init(&tokens);
    nm_matches_init(&matches);
    for (size_t i = 0; i < texts->n; i++) {
        err = nm_tokenize(texts->v[i].text, texts->v[i].len, &tokens);
        if (err == NM_OK)
            err = nm_matcher_run(matcher, texts->v[i].text, &tokens, &matches);
        if (err != NM_OK)
            die("a text", err, NULL);
        for (size_t k = 0; k < matches.count; k++) {
            const struct nm_match *match = &matches.v[k];
            (void)printf("%zu %" PRIu32 " %" PRIu32 "\n", i, tokens.v[match->first].start,
                         tokens.v[match->first + match->count - 1].end);
        }
    }
    nm_matches_clean_up(&matches);
    nm_tokens_clean_up(&tokens);
    nm_matcher_destroy(&matcher);
}

static struct nm_entities *as_set(const struct lines *entities)
{
    struct nm_entities *set = nm_entities_new();
    struct nm_buf blob;
    struct nm_diag diag;
    nm_buf_init(&blob, FILE_MAX);
    for (size_t i = 0; i < entities->n; i++)
        if (nm_buf_addf(&blob, "Entity\t%.*s\n", (int)entities->v[i].len, entities->v[i].text) != NM_OK)
            die("the entities", NM_ENOMEM, NULL);
    enum nm_err err = set != NULL ? nm_entities_from_blob(set, nm_buf_str(&blob), blob.len, &diag) : NM_ENOMEM;
    if (err != NM_OK)
        die("the entities", err, &diag);
    nm_buf_clean_up(&blob);
    return set;
}

/* Text in, acknowledged samples on disk out. */
static void bench_commits(const struct lines *texts, const struct lines *entities, const char *state_dir)
{
    struct nm_diag diag;
    struct nm_bio *bio;
    struct nm_samples *samples;
    struct nm_arena arena;
    struct nm_entities *set = as_set(entities);
    enum nm_err err = nm_bio_new(set, NULL, NULL, &bio, &diag);
    if (err == NM_OK)
        err = nm_samples_open(state_dir, "bench", 1000, &samples, &diag);
    if (err != NM_OK)
        die(state_dir, err, &diag);
    nm_arena_init(&arena, 0);
    int64_t start = nm_clock_mono_us();
    for (size_t i = 0; i < texts->n && err == NM_OK; i++) {
        struct nm_msg_align align = {.task = i, .attempt = 1, .text = {texts->v[i].text, texts->v[i].len}};
        struct nm_msg_hold hold = {.task = i, .attempt = 1, .keep = true};
        struct nm_msg_sample sample;
        const char *rule;
        const char *detail;
        nm_arena_reset(&arena);
        err = nm_bio_align(bio, &align, &arena, &sample, &rule, &detail);
        if (err == NM_OK)
            err = nm_samples_put(samples, &sample);
        if (err == NM_OK)
            err = nm_samples_settle(samples, &hold);
        if (err == NM_OK && (i % COMMIT_GROUP == COMMIT_GROUP - 1 || i + 1 == texts->n))
            err = nm_samples_commit(samples, &diag);
    }
    if (err != NM_OK)
        die("committing", err, &diag);
    double took = (double)(nm_clock_mono_us() - start) / 1e6;
    (void)printf(",\"committed\":%" PRIu64 ",\"commit_group\":%d,\"committed_per_s\":%.0f", nm_samples_count(samples),
                 COMMIT_GROUP, (double)texts->n / took);
    nm_samples_close(&samples);
    nm_bio_destroy(&bio);
    nm_entities_destroy(&set);
    nm_arena_clean_up(&arena);
}

int main(int argc, char **argv)
{
    struct lines texts = {0};
    struct lines entities = {0};
    if (argc < 4 || argc > 5) {
        (void)fprintf(stderr, "usage: bench_aligner TEXTS ENTITIES SECONDS [STATE_DIR]\n");
        return 2;
    }
    bool spans = strcmp(argv[1], "--spans") == 0;
    read_lines(argv[1 + spans], &texts);
    read_lines(argv[2 + spans], &entities);
    if (spans) {
        print_spans(&texts, &entities);
    } else {
        (void)putchar('{');
        bench_matching(&texts, &entities, strtod(argv[3], NULL));
        if (argc == 5)
            bench_commits(&texts, &entities, argv[4]);
        (void)puts("}");
    }
    free(texts.v);
    free(entities.v);
    nm_buf_clean_up(&texts.file);
    nm_buf_clean_up(&entities.file);
    return 0;
}
