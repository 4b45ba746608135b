#include "workers/trainer/tagger.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "workers/trainer/crf.h"

struct run {
    struct nm_tagger *tagger;
    struct nm_pieces pieces; /* of one sentence */
    size_t *firsts;          /* (words + 1) of one sentence: where each word's pieces start */
    size_t cap_firsts;
    /* the batch */
    uint32_t *ids, *seq_start, *wanted;
    size_t n_tokens, n_seqs, n_wanted, cap_tokens, cap_seqs, cap_wanted;
    /* what each word of the batch gets: its token in the batch, or none */
    size_t *word_token; /* (words of all sentences) */
    /* where sentences are decoded as a whole: those of the batch, by the number of the word behind each */
    size_t *ends, n_ends, cap_ends;
    struct decoding {
        const float **rows; /* (longest sentence) */
        size_t *best;
        double *room;
        float *marginals;
        size_t cap_rows, cap_best, cap_room, cap_marginals;
    } decoding;
    size_t done_words; /* before this batch */
    size_t words;      /* up to and with this batch */
    int32_t *tags;
    float *scores;
    struct nm_diag *diag;
};

static const size_t NO_TOKEN = SIZE_MAX;

static enum nm_err set_up(struct nm_tagger *tagger, struct nm_diag *diag)
{
    const struct nm_model_config *cfg = nm_bert_config(tagger->bert);
    enum nm_err err = nm_tagger_check_vocabulary(tagger->bert, tagger->wp, tagger->where, diag);
    if (err != NM_OK)
        return err;
    tagger->min_score = (double)cfg->min_score;
    return nm_tagset_init(&tagger->tagset, (const char *const *)cfg->labels, cfg->n_labels, tagger->where, diag);
}

enum nm_err nm_tagger_check_vocabulary(const struct nm_bert *bert, const struct nm_wordpiece *wp, const char *dir,
                                       struct nm_diag *diag)
{
    size_t has = nm_bert_config(bert)->vocab_size, wants = nm_wordpiece_vocab_size(wp);
    if (wants <= has)
        return NM_OK;
    return nm_fail(diag, NM_EFORMAT, "%s: the tokenizer has ids up to %zu, the model embeddings for %zu only", dir,
                   wants - 1, has);
}

enum nm_err nm_tagger_load(struct nm_tagger *tagger, const char *dir, const struct nm_tagger_options *how,
                           struct nm_diag *diag)
{
    *tagger = (struct nm_tagger){.where = dir};
    const struct nm_bert_options options = {
        .n_threads = how->n_threads, .precision = how->precision, .frozen = true, .lasting = how->lasting};
    enum nm_err err = nm_wordpiece_load(&tagger->wp, dir, diag);
    if (err == NM_OK)
        err = nm_bert_load(&tagger->bert, dir, &options, diag);
    if (err == NM_OK)
        err = set_up(tagger, diag);
    if (err == NM_OK && !nm_bert_head_loaded(tagger->bert))
        err = nm_fail(diag, NM_EFORMAT, "%s: has no classifier: train it first (nermill train --model %s)", dir, dir);
    tagger->constrained = how->constrained;
    if (how->min_score != NULL)
        tagger->min_score = *how->min_score;
    if (err != NM_OK)
        nm_tagger_clean_up(tagger);
    return err;
}

enum nm_err nm_tagger_borrow(struct nm_tagger *tagger, struct nm_bert *bert, struct nm_wordpiece *wp,
                             const char *where, struct nm_diag *diag)
{
    *tagger = (struct nm_tagger){.bert = bert, .wp = wp, .where = where, .borrowed = true};
    enum nm_err err = set_up(tagger, diag);
    if (err != NM_OK)
        nm_tagger_clean_up(tagger);
    return err;
}

void nm_tagger_clean_up(struct nm_tagger *tagger)
{
    nm_tagset_clean_up(&tagger->tagset);
    if (!tagger->borrowed) {
        nm_bert_destroy(&tagger->bert);
        nm_wordpiece_destroy(&tagger->wp);
    }
    *tagger = (struct nm_tagger){0};
}

static enum nm_err grow(void **array, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return NM_OK;
    void *grown = realloc(*array, (need + need / 2 + 64) * size);
    if (grown == NULL)
        return NM_ENOMEM;
    *array = grown;
    *cap = need + need / 2 + 64;
    return NM_OK;
}

static enum nm_err encode(struct run *r, const struct nm_sentence *s)
{
    enum nm_err err = grow((void **)&r->firsts, &r->cap_firsts, s->n + 1, sizeof(*r->firsts));
    r->pieces.count = 0;
    for (size_t i = 0; i < s->n && err == NM_OK; i++) {
        r->firsts[i] = r->pieces.count;
        err = nm_wordpiece_encode(r->tagger->wp, s->words[i].text, s->words[i].len, &r->pieces);
    }
    if (err == NM_OK)
        r->firsts[s->n] = r->pieces.count;
    return err;
}

static float probability(const float *logits, size_t n, size_t best)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)(logits[i] - logits[best]));
    return (float)(1 / sum);
}

/* Logits of the batch's word w; NULL where it has no token. */
static const float *row_of(const struct run *r, const float *logits, size_t w)
{
    if (r->word_token[w] == NO_TOKEN || logits == NULL) /* no token at all: no word has one */
        return NULL;
    return logits + r->word_token[w] * r->tagger->tagset.n_labels;
}

static void set_tag(struct run *r, size_t w, const float *row, size_t label, float score)
{
    r->tags[w] = row != NULL ? r->tagger->tagset.tags[label] : NM_TAG_O;
    if (r->scores != NULL)
        r->scores[w] = row != NULL ? score : 1;
}

/* Each word by itself, as transformers does. */
static void decode_words(struct run *r, const float *logits)
{
    for (size_t w = r->done_words; w < r->words; w++) {
        const float *row = row_of(r, logits, w);
        size_t best = 0;
        for (size_t i = 1; row != NULL && i < r->tagger->tagset.n_labels; i++)
            best = row[i] > row[best] ? i : best;
        set_tag(r, w, row, best, row != NULL ? probability(row, r->tagger->tagset.n_labels, best) : 1);
    }
}

static enum nm_err reserve_decoding(struct decoding *d, size_t n, size_t k)
{
    enum nm_err err = grow((void **)&d->rows, &d->cap_rows, n, sizeof(*d->rows));
    if (err == NM_OK)
        err = grow((void **)&d->best, &d->cap_best, n, sizeof(*d->best));
    if (err == NM_OK)
        err = grow((void **)&d->marginals, &d->cap_marginals, n * k, sizeof(*d->marginals));
    return err == NM_OK ? grow((void **)&d->room, &d->cap_room, nm_crf_room(n, k), sizeof(*d->room)) : err;
}

static void free_decoding(struct decoding *d)
{
    free(d->rows);
    free(d->best);
    free(d->room);
    free(d->marginals);
}

/* The best labels of whole sentences.  A score is the probability of the word's label: in a CRF among all sequences
 * of the sentence, otherwise by the word's logits. */
static enum nm_err decode_sentences(struct run *r, const float *logits)
{
    const struct nm_crf *crf = nm_bert_crf(r->tagger->bert);
    struct decoding *d = &r->decoding;
    size_t from = r->done_words;
    for (size_t s = 0; s < r->n_ends; from = r->ends[s++]) {
        const size_t n = r->ends[s] - from, k = crf->k;
        enum nm_err err = reserve_decoding(d, n, k);
        if (err != NM_OK)
            return err;
        for (size_t i = 0; i < n; i++)
            d->rows[i] = row_of(r, logits, from + i);
        nm_crf_decode(crf, d->room, d->rows, n, d->best);
        if (crf->transitions != NULL && r->scores != NULL)
            nm_crf_marginals(crf, d->room, d->rows, n, d->marginals);
        for (size_t i = 0; i < n; i++) {
            const float *row = d->rows[i];
            float score = 1;
            if (row != NULL)
                score = crf->transitions != NULL ? d->marginals[i * k + d->best[i]] : probability(row, k, d->best[i]);
            set_tag(r, from + i, row, d->best[i], score);
        }
    }
    r->n_ends = 0;
    return NM_OK;
}

/* Not each word by itself, but a sentence as a whole? */
static bool by_sentence(const struct nm_tagger *tagger)
{
    return tagger->constrained || nm_bert_crf(tagger->bert)->transitions != NULL;
}

static enum nm_err flush(struct run *r)
{
    const float *logits = NULL;
    enum nm_err err = NM_OK;
    if (r->n_seqs > 0) {
        const struct nm_batch batch = {.n_seqs = r->n_seqs,
                                       .n_tokens = r->n_tokens,
                                       .ids = r->ids,
                                       .seq_start = r->seq_start,
                                       .wanted = r->wanted,
                                       .n_wanted = r->n_wanted};
        err = nm_bert_forward(r->tagger->bert, &batch, &logits, r->diag);
        r->tagger->done.tokens += r->n_tokens;
    }
    if (err == NM_OK && by_sentence(r->tagger))
        err = decode_sentences(r, logits);
    else if (err == NM_OK)
        decode_words(r, logits);
    r->done_words = r->words;
    r->n_seqs = r->n_tokens = r->n_wanted = 0;
    return err;
}

/* One sequence of the sentence's pieces [from, to) into the batch; returns where it starts by *start. */
static enum nm_err add_sequence(struct run *r, size_t from, size_t to, size_t *start)
{
    size_t n = to - from;
    enum nm_err err = grow((void **)&r->ids, &r->cap_tokens, r->n_tokens + n + 2, sizeof(*r->ids));
    if (err == NM_OK)
        err = grow((void **)&r->seq_start, &r->cap_seqs, r->n_seqs + 2, sizeof(*r->seq_start));
    if (err != NM_OK)
        return err;
    *start = r->n_tokens;
    r->seq_start[r->n_seqs++] = (uint32_t)r->n_tokens;
    r->ids[r->n_tokens++] = nm_wordpiece_cls(r->tagger->wp);
    memcpy(r->ids + r->n_tokens, r->pieces.ids + from, n * sizeof(*r->ids));
    r->n_tokens += n;
    r->ids[r->n_tokens++] = nm_wordpiece_sep(r->tagger->wp);
    r->seq_start[r->n_seqs] = (uint32_t)r->n_tokens;
    return NM_OK;
}

/* The sentence as one sequence, or as windows that overlap by half where it is longer than the model: of two
 * windows a piece comes from the one where it has more context, so the border is in the middle of the overlap. */
static enum nm_err add_windows(struct run *r, const struct nm_sentence *s, size_t room)
{
    size_t n = r->pieces.count, word = 0;
    for (size_t from = 0;; from += room / 2) {
        size_t to = n - from <= room ? n : from + room, start;
        size_t border = to == n ? n : to - room / 4; /* pieces up to here are this window's */
        enum nm_err err = add_sequence(r, from, to, &start);
        if (err == NM_OK)
            err = grow((void **)&r->wanted, &r->cap_wanted, r->n_wanted + to - from + 1, sizeof(*r->wanted));
        if (err != NM_OK)
            return err;
        for (; word < s->n && (r->firsts[word] < border || to == n); word++) {
            const bool has_token = r->firsts[word] != r->firsts[word + 1];
            const size_t token = start + 1 + r->firsts[word] - from;
            r->word_token[r->words + word] = has_token ? token : NO_TOKEN;
            if (has_token)
                r->wanted[r->n_wanted++] = (uint32_t)token;
        }
        if (to == n)
            return NM_OK;
    }
}

static enum nm_err add_sentence(struct run *r, const struct nm_sentence *s, size_t room)
{
    enum nm_err err = encode(r, s);
    if (err == NM_OK && r->n_tokens > 0 && r->n_tokens + r->pieces.count + 2 > nm_bert_batch(r->tagger->bert))
        err = flush(r);
    if (err == NM_OK)
        err = add_windows(r, s, room);
    r->words += s->n;
    if (err == NM_OK && by_sentence(r->tagger)) {
        err = grow((void **)&r->ends, &r->cap_ends, r->n_ends + 1, sizeof(*r->ends));
        if (err == NM_OK)
            r->ends[r->n_ends++] = r->words;
    }
    return err;
}

/* Entities below min_score: their words are outside of any. */
static enum nm_err drop_unsure(const struct nm_tagger *tagger, const struct nm_sentence *sentences, size_t n,
                               int32_t *tags, float *scores)
{
    size_t longest = 0;
    for (size_t i = 0; i < n; i++)
        longest = sentences[i].n > longest ? sentences[i].n : longest;
    struct nm_span *spans = malloc((longest + 1) * sizeof(*spans));
    for (size_t s = 0, at = 0; s < n && spans != NULL; at += sentences[s++].n) {
        const size_t found = nm_metrics_spans(tags + at, sentences[s].n, spans);
        for (size_t i = 0; i < found; i++) {
            const bool counts = (double)nm_metrics_span_score(scores + at, &spans[i]) >= tagger->min_score;
            for (size_t w = at + spans[i].start; w < at + spans[i].end && !counts; w++) {
                tags[w] = NM_TAG_O;
                scores[w] = 1 - scores[w];
            }
        }
    }
    free(spans);
    return spans != NULL ? NM_OK : NM_ENOMEM;
}

enum nm_err nm_tagger_tag(struct nm_tagger *tagger, const struct nm_sentence *sentences, size_t n, int32_t *tags,
                          float *scores, struct nm_diag *diag)
{
    const int64_t started = nm_clock_mono_us();
    struct run r = {.tagger = tagger, .tags = tags, .diag = diag};
    size_t words = 0, room = nm_bert_config(tagger->bert)->max_positions;
    if (room < 8)
        return nm_fail(diag, NM_EINVAL, "%s: %zu positions are too few to tag with", tagger->where, room);
    room -= 2;
    for (size_t i = 0; i < n; i++)
        words += sentences[i].n;
    float *own = scores == NULL && tagger->min_score > 0 ? malloc((words + 1) * sizeof(*own)) : NULL;
    r.scores = scores != NULL ? scores : own;
    r.word_token = malloc((words + 1) * sizeof(*r.word_token));
    enum nm_err err = r.word_token != NULL && (r.scores != NULL || tagger->min_score <= 0) ? NM_OK : NM_ENOMEM;
    if (diag != NULL)
        diag->text[0] = '\0';
    for (size_t i = 0; i < n && err == NM_OK; i++)
        err = add_sentence(&r, &sentences[i], room);
    if (err == NM_OK)
        err = flush(&r);
    if (err == NM_OK && tagger->min_score > 0)
        err = drop_unsure(tagger, sentences, n, tags, r.scores);
    nm_pieces_clean_up(&r.pieces);
    free(own);
    free(r.firsts);
    free(r.ids);
    free(r.seq_start);
    free(r.wanted);
    free(r.word_token);
    free(r.ends);
    free_decoding(&r.decoding);
    tagger->done.seconds += (double)(nm_clock_mono_us() - started) / 1e6;
    if (err != NM_OK && diag != NULL && diag->text[0] == '\0')
        nm_fail(diag, err, "%s: tagging: %s", tagger->where, nm_err_name(err));
    return err;
}

enum nm_err nm_tagger_extent(const struct nm_wordpiece *wp, const struct nm_corpus *corpus, size_t positions,
                             struct nm_bert_extent *extent)
{
    struct nm_pieces pieces = {0};
    const size_t room = positions > 8 ? positions - 2 : 6;
    size_t all = 0, longest = 0, most = NM_BATCH_TOKENS;
    enum nm_err err = NM_OK;
    for (size_t s = 0; s < corpus->n && err == NM_OK; s++) {
        const struct nm_sentence *sentence = &corpus->sentences[s];
        pieces.count = 0;
        for (size_t i = 0; i < sentence->n && err == NM_OK; i++)
            err = nm_wordpiece_encode(wp, sentence->words[i].text, sentence->words[i].len, &pieces);
        const size_t n = pieces.count, windows = n <= room ? 1 : 1 + (n - room + room / 2 - 1) / (room / 2);
        const size_t tokens = windows == 1 ? n + 2 : windows * (room + 2);
        all += tokens;
        most = tokens > most ? tokens : most;
        longest = n + 2 > longest ? n + 2 : longest;
    }
    nm_pieces_clean_up(&pieces);
    extent->scored_tokens = all < most ? all : most;
    extent->scored_len = longest < room + 2 ? longest : room + 2;
    return err;
}

/* The gold tags by the tagset's types. */
static enum nm_err translate(struct nm_tagger *tagger, const struct nm_corpus *gold, int32_t *tags)
{
    size_t *types = malloc((gold->n_types + 1) * sizeof(*types)), at = 0;
    enum nm_err err = types != NULL ? NM_OK : NM_ENOMEM;
    for (size_t i = 0; i < gold->n_types && err == NM_OK; i++)
        err = nm_tagset_type(&tagger->tagset, gold->types[i], &types[i]);
    for (size_t s = 0; s < gold->n && err == NM_OK; s++)
        for (size_t i = 0; i < gold->sentences[s].n; i++) {
            int32_t tag = gold->sentences[s].tags[i];
            if (nm_tag_is_entity(tag))
                tag = nm_tag_with_type(tag, types[nm_tag_type(tag)]);
            tags[at++] = tag;
        }
    free(types);
    return err;
}

enum nm_err nm_tagger_evaluate(struct nm_tagger *tagger, const struct nm_corpus *gold, struct nm_evaluation *e,
                               struct nm_diag *diag)
{
    int32_t *right = malloc((2 * gold->n_words + 1) * sizeof(*right)), *found = right + gold->n_words;
    float *scores = malloc((gold->n_words + 1) * sizeof(*scores));
    const struct nm_evaluation wanted = *e;
    enum nm_err err = right != NULL && scores != NULL ? translate(tagger, gold, right) : NM_ENOMEM;
    if (err == NM_OK)
        err = nm_evaluation_init(e, tagger->tagset.n_types);
    if (err != NM_OK)
        nm_fail(diag, err, "%s: evaluating: %s", tagger->where, nm_err_name(err));
    else {
        e->known = wanted.known;
        e->mistake = wanted.mistake;
        e->arg = wanted.arg;
        err = nm_tagger_tag(tagger, gold->sentences, gold->n, found, scores, diag);
        for (size_t s = 0, at = 0; s < gold->n && err == NM_OK; at += gold->sentences[s++].n)
            err = nm_evaluation_add(e, &gold->sentences[s], right + at, found + at, scores + at);
        if (err == NM_OK)
            nm_evaluation_finish(e);
        else
            nm_evaluation_clean_up(e);
    }
    free(right);
    free(scores);
    return err;
}
