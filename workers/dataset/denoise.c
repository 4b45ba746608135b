#include "workers/dataset/denoise.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "workers/dataset/export.h"
#include "workers/dataset/lines.h"

enum { PATH_BYTES = 4096, FOLDS_MAX = 50 };

/* ---- who judges what ------------------------------------------------------------------------- */

static uint32_t fold_of(const struct nm_denoise *d, uint64_t number)
{
    return (uint32_t)(nm_mix64(nm_mix64(d->seed) + number) % d->how.folds);
}

static bool learns(const struct nm_denoise *d, uint32_t model, uint32_t fold)
{
    return (fold + d->how.folds - model) % d->how.folds < d->how.train_folds;
}

static enum nm_err work_file(const struct nm_denoise *d, uint32_t model, const char *what, char path[PATH_BYTES],
                             struct nm_diag *diag)
{
    int n = snprintf(path, PATH_BYTES, "%s/model-%" PRIu32 ".%s.conll", d->dir, model, what);
    return n > 0 && n < PATH_BYTES ? NM_OK : nm_fail(diag, NM_ELIMIT, "%s: the path is too long", d->dir);
}

/* ---- cutting --------------------------------------------------------------------------------- */

/* Passes on the records of some folds. */
struct cutting {
    const struct nm_denoise *d;
    uint32_t model;
    bool train;
    uint64_t number;
    nm_record_fn fn;
    void *ctx;
};

static enum nm_err pass_on(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    struct cutting *c = ctx;
    bool wanted = learns(c->d, c->model, fold_of(c->d, c->number++)) == c->train;
    return wanted && record->sample.n_tokens > 0 ? c->fn(c->ctx, record, diag) : NM_OK;
}

static enum nm_err read_part(const void *from, nm_record_fn fn, void *ctx, struct nm_diag *diag)
{
    struct cutting c = *(const struct cutting *)from;
    c.number = 0;
    c.fn = fn;
    c.ctx = ctx;
    return nm_source_read(c.d->source, pass_on, &c, NULL, diag);
}

enum nm_err nm_denoise_cut(const struct nm_denoise *d, uint32_t model, uint64_t *train, uint64_t *judged,
                           struct nm_diag *diag)
{
    char path[PATH_BYTES];
    const struct nm_format *conll = nm_format_find("conll");
    struct cutting c = {.d = d, .model = model, .train = true};
    enum nm_err err = work_file(d, model, "train", path, diag);
    if (err == NM_OK)
        err = nm_export_records(read_part, &c, conll, path, train, diag);
    c.train = false;
    if (err == NM_OK)
        err = work_file(d, model, "judge", path, diag);
    return err == NM_OK ? nm_export_records(read_part, &c, conll, path, judged, diag) : err;
}

/* ---- one record ------------------------------------------------------------------------------ */

static bool is(struct nm_str tag, const char *text)
{
    return tag.len == strlen(text) && memcmp(tag.ptr, text, tag.len) == 0;
}

static bool is_label(struct nm_str tag)
{
    return !is(tag, "O") && !is(tag, NM_TAG_TEXT_MASKED);
}

/* How many models a share of them is: at least one. */
static size_t quorum(double share, size_t n)
{
    double least = ceil(share * (double)n - 1e-9);
    return least < 1 ? 1 : (size_t)least;
}

static bool sees_nothing(char **tags, size_t start, size_t end)
{
    for (size_t i = start; i < end; i++)
        if (strcmp(tags[i], "O") != 0)
            return false;
    return true;
}

static void set_tags(struct nm_msg_sample *s, size_t start, size_t end, const char *tag)
{
    for (size_t i = start; i < end; i++)
        s->tokens[i].tag = nm_str(tag);
}

/* The mention of these tokens goes, or is masked. */
static void set_mention(struct nm_msg_sample *s, size_t start, size_t end, bool mask)
{
    for (size_t i = 0; i < s->n_mentions; i++) {
        struct nm_msg_mention *m = &s->mentions[i];
        if (m->start >= s->tokens[end - 1].end || m->end <= s->tokens[start].start || nm_mention_masked(m))
            continue;
        if (mask) {
            m->type = nm_str("");
            m->note = nm_str("doubted");
            continue;
        }
        memmove(m, m + 1, (s->n_mentions - i - 1) * sizeof *m);
        s->n_mentions--;
        i--;
    }
}

static void judge_label(const struct nm_project_denoise *how, struct nm_msg_sample *s, size_t start, size_t end,
                        char ***judges, size_t n, struct nm_denoise_counts *counts)
{
    size_t against = 0;
    for (size_t j = 0; j < n; j++)
        against += sees_nothing(judges[j], start, end);
    counts->labels++;
    if (n == 0 || against < quorum(how->reject, n))
        return;
    counts->rejected++;
    if (how->rejected == NM_REJECTED_KEEP)
        return;
    bool mask = how->rejected == NM_REJECTED_MASK;
    set_tags(s, start, end, mask ? NM_TAG_TEXT_MASKED : "O");
    set_mention(s, start, end, mask);
}

static bool is_seen(size_t word, char ***judges, size_t n, size_t least)
{
    size_t seen = 0;
    for (size_t j = 0; j < n; j++)
        seen += strcmp(judges[j][word], "O") != 0;
    return seen >= least;
}

static void mask_run(struct nm_msg_sample *s, size_t start, size_t end, struct nm_denoise_counts *counts)
{
    const struct nm_msg_mention mention = {.start = s->tokens[start].start,
                                           .end = s->tokens[end - 1].end,
                                           .type = nm_str(""),
                                           .index = NM_NO_INDEX,
                                           .note = nm_str("doubted")};
    size_t at = s->n_mentions++;
    for (; at > 0 && s->mentions[at - 1].start > mention.start; at--)
        s->mentions[at] = s->mentions[at - 1];
    s->mentions[at] = mention;
    set_tags(s, start, end, NM_TAG_TEXT_MASKED);
    counts->masked++;
    counts->masked_words += end - start;
}

enum nm_err nm_denoise_record(const struct nm_project_denoise *how, struct nm_record *record, char ***judges,
                              size_t n_judges, struct nm_arena *arena, struct nm_denoise_counts *counts)
{
    struct nm_msg_sample *s = &record->sample;
    size_t n = s->n_tokens;
    struct nm_msg_token *tokens = nm_arena_alloc(arena, n * sizeof *tokens + 1);
    struct nm_msg_mention *mentions = nm_arena_alloc(arena, (s->n_mentions + n) * sizeof *mentions + 1);
    bool *unlabelled = nm_arena_alloc(arena, n + 1);
    if (tokens == NULL || mentions == NULL || unlabelled == NULL)
        return NM_ENOMEM;
    if (n > 0)
        memcpy(tokens, s->tokens, n * sizeof *tokens);
    if (s->n_mentions > 0)
        memcpy(mentions, s->mentions, s->n_mentions * sizeof *mentions);
    s->tokens = tokens;
    s->mentions = mentions;
    counts->records++;
    for (size_t i = 0; i < n; i++)
        counts->unlabelled += unlabelled[i] = is(tokens[i].tag, "O");
    for (size_t i = 0, end; i < n; i = end) {
        end = i + 1;
        if (!is_label(tokens[i].tag))
            continue;
        while (end < n && tokens[end].tag.len > 0 && tokens[end].tag.ptr[0] == 'I')
            end++;
        judge_label(how, s, i, end, judges, n_judges, counts);
    }
    size_t least = quorum(how->agree, n_judges);
    for (size_t i = 0, end; n_judges > 0 && i < n; i = end) {
        for (end = i; end < n && unlabelled[end] && is_seen(end, judges, n_judges, least);)
            end++;
        if (end > i)
            mask_run(s, i, end, counts);
        else
            end++;
    }
    return NM_OK;
}

/* ---- joining --------------------------------------------------------------------------------- */

struct joining {
    const struct nm_denoise *d;
    struct nm_lines judged[FOLDS_MAX];
    struct nm_denoise_counts *counts;
    uint64_t number;
    struct nm_arena arena;
    nm_record_fn fn;
    void *ctx;
};

/* The next sentence's tags as a model gave them: as many as the record has words, which must be the same. */
static enum nm_err read_tags(struct joining *j, struct nm_lines *lines, const struct nm_msg_sample *s, char ***tags,
                             struct nm_diag *diag)
{
    size_t n = 0;
    enum nm_err err = NM_OK;
    *tags = nm_arena_alloc(&j->arena, s->n_tokens * sizeof **tags + 1);
    if (*tags == NULL)
        return NM_ENOMEM;
    while ((err = nm_lines_next(lines, diag)) == NM_OK && (lines->len > 0 || n == 0)) {
        struct nm_str fields[2];
        if (lines->len == 0)
            continue;
        const struct nm_msg_token *token = &s->tokens[n];
        if (n == s->n_tokens || nm_lines_split(lines, '\t', fields, 2) != 2 ||
            fields[0].len != token->end - token->start ||
            memcmp(fields[0].ptr, s->text.ptr + token->start, fields[0].len) != 0)
            return nm_fail(diag, NM_EFORMAT, "%s:%" PRIu64 ": not the words that were to be tagged", lines->name,
                           lines->number);
        (*tags)[n] = nm_arena_strndup(&j->arena, fields[1].ptr, fields[1].len);
        if ((*tags)[n++] == NULL)
            return NM_ENOMEM;
    }
    if (err == NM_OK || err == NM_ENOENT)
        err = n == s->n_tokens
                  ? NM_OK
                  : nm_fail(diag, NM_EFORMAT, "%s:%" PRIu64 ": a sentence is cut off", lines->name, lines->number);
    return err;
}

static enum nm_err judge(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    struct joining *j = ctx;
    struct nm_record changed = *record;
    char **judges[FOLDS_MAX];
    size_t n = 0;
    enum nm_err err = NM_OK;
    uint32_t fold = fold_of(j->d, j->number++);
    nm_arena_reset(&j->arena);
    for (uint32_t model = 0; err == NM_OK && model < j->d->how.folds && record->sample.n_tokens > 0; model++)
        if (!learns(j->d, model, fold))
            err = read_tags(j, &j->judged[model], &record->sample, &judges[n++], diag);
    if (err == NM_OK)
        err = nm_denoise_record(&j->d->how, &changed, judges, n, &j->arena, j->counts);
    if (err == NM_ENOMEM)
        return nm_fail(diag, err, "out of memory");
    return err == NM_OK ? j->fn(j->ctx, &changed, diag) : err;
}

static enum nm_err read_judged(const void *from, nm_record_fn fn, void *ctx, struct nm_diag *diag)
{
    const struct nm_denoise *d = ((const struct joining *)from)->d;
    struct joining j = {.d = d, .counts = ((const struct joining *)from)->counts, .fn = fn, .ctx = ctx};
    char path[PATH_BYTES];
    enum nm_err err = NM_OK;
    *j.counts = (struct nm_denoise_counts){0};
    nm_arena_init(&j.arena, 0);
    for (uint32_t model = 0; err == NM_OK && model < d->how.folds; model++) {
        err = work_file(d, model, "judged", path, diag);
        if (err == NM_OK)
            err = nm_lines_open(&j.judged[model], path, diag);
    }
    if (err == NM_OK)
        err = nm_source_read(d->source, judge, &j, NULL, diag);
    const struct nm_denoise_counts *c = j.counts;
    if (err == NM_OK && (c->rejected * 2 > c->labels || c->masked_words * 2 > c->unlabelled))
        err =
            nm_fail(diag, NM_ESTATE,
                    "the models reject %" PRIu64 " of %" PRIu64 " labels and see mentions in %" PRIu64 " of %" PRIu64
                    " other words: they have learnt too little to judge; more epochs, a higher learning rate or more "
                    "sentences for each are needed",
                    c->rejected, c->labels, c->masked_words, c->unlabelled);
    for (uint32_t model = 0; model < d->how.folds; model++)
        if (j.judged[model].file != NULL)
            nm_lines_close(&j.judged[model]);
    nm_arena_clean_up(&j.arena);
    return err;
}

enum nm_err nm_denoise_join(const struct nm_denoise *d, const struct nm_format *format, const char *path,
                            struct nm_denoise_counts *counts, struct nm_diag *diag)
{
    struct joining from = {.d = d, .counts = counts};
    uint64_t written;
    return nm_export_records(read_judged, &from, format, path, &written, diag);
}
