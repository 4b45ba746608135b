#include "workers/trainer/predict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/buf.h"
#include "workers/trainer/tagged.h"

/* Words tagged at once: some forward passes' worth, so that memory stays small whatever the input's size. */
enum { CHUNK_WORDS = 16384, INPUT_MAX = 1 << 30 };

struct chunk {
    struct nm_tagged *items;
    size_t n, cap, words;
};

static void reset(struct chunk *chunk)
{
    for (size_t i = 0; i < chunk->n; i++)
        nm_tagged_clean_up(&chunk->items[i]);
    chunk->n = chunk->words = 0;
}

/* Takes a copy of text and of words, and object for its own; NM_ENOMEM. */
static enum nm_err add_item(struct chunk *chunk, const char *text, size_t len, const struct nm_extent *words,
                            size_t n, json_t *object)
{
    if (chunk->n == chunk->cap) {
        size_t cap = chunk->cap * 2 + 64;
        struct nm_tagged *items = realloc(chunk->items, cap * sizeof(*items));
        if (items == NULL)
            return NM_ENOMEM;
        chunk->items = items;
        chunk->cap = cap;
    }
    enum nm_err err = nm_tagged_init(&chunk->items[chunk->n], text, len, words, n);
    if (err != NM_OK)
        return err;
    chunk->items[chunk->n++].object = json_incref(object);
    chunk->words += n;
    return NM_OK;
}

/* ---- output ---------------------------------------------------------------------------------- */

static void print_marked(const struct nm_predict *p, const struct nm_tagged *item, const struct nm_span *spans,
                         size_t n)
{
    static const int colours[] = {36, 33, 35, 32, 34, 31}; /* cyan, yellow, magenta, green, blue, red */
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        size_t start = item->extents[spans[i].start].start, end = item->extents[spans[i].end - 1].end;
        const char *type = p->tagger->tagset.types[spans[i].type];
        fwrite(item->text + at, 1, start - at, p->out);
        if (p->format == NM_PREDICT_COLOR)
            fprintf(p->out, "\033[1;%dm%.*s\033[0;2m %s\033[0m", colours[spans[i].type % 6], (int)(end - start),
                    item->text + start, type);
        else
            fprintf(p->out, "[%.*s|%s]", (int)(end - start), item->text + start, type);
        at = end;
    }
    fprintf(p->out, "%.*s\n", (int)(item->len - at), item->text + at);
}

static enum nm_err print_json(const struct nm_predict *p, const struct nm_tagged *item, const struct nm_span *spans,
                              size_t n, const float *scores)
{
    json_t *root = nm_tagged_json(item, &p->tagger->tagset, spans, n, scores);
    char *line = root != NULL ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(root);
    if (line == NULL)
        return NM_ENOMEM;
    fprintf(p->out, "%s\n", line);
    free(line);
    return NM_OK;
}

static void print_conll(const struct nm_predict *p, const struct nm_tagged *item, const int32_t *tags,
                        const float *scores)
{
    int32_t before = NM_TAG_O;
    for (size_t i = 0; i < item->sentence.n; i++) {
        const struct nm_word *word = &item->sentence.words[i];
        fprintf(p->out, "%.*s\t", (int)word->len, word->text);
        /* what seqeval would count as a beginning is written as one */
        bool inside = nm_tag_is_entity(tags[i]) && !nm_tag_is_begin(tags[i]) && nm_tag_is_entity(before) &&
                      nm_tag_type(before) == nm_tag_type(tags[i]);
        if (!nm_tag_is_entity(tags[i]))
            fputc(tags[i] == NM_TAG_MASKED ? '-' : 'O', p->out);
        else
            fprintf(p->out, "%c-%s", inside ? 'I' : 'B', p->tagger->tagset.types[nm_tag_type(tags[i])]);
        if (p->scores)
            fprintf(p->out, "\t%.6f", (double)scores[i]);
        fputc('\n', p->out);
        before = tags[i];
    }
    fputc('\n', p->out);
}

/* Masks what the model is not sure of: single words, and whole entities. */
static void mask_unsure(const struct nm_predict *p, int32_t *tags, const float *scores, size_t words,
                        struct nm_span *spans)
{
    const size_t n = nm_metrics_spans(tags, words, spans);
    for (size_t i = 0; i < words; i++)
        if (tags[i] == NM_TAG_O && (double)scores[i] < p->sure)
            tags[i] = NM_TAG_MASKED;
    for (size_t i = 0; i < n; i++) {
        bool sure = true;
        for (size_t w = spans[i].start; w < spans[i].end; w++)
            sure = sure && (double)scores[w] >= p->sure;
        for (size_t w = spans[i].start; w < spans[i].end && !sure; w++)
            tags[w] = NM_TAG_MASKED;
    }
}

static enum nm_err print_item(const struct nm_predict *p, const struct nm_tagged *item, int32_t *tags,
                              const float *scores, struct nm_span *spans)
{
    if (p->format == NM_PREDICT_CONLL) {
        mask_unsure(p, tags, scores, item->sentence.n, spans);
        print_conll(p, item, tags, scores);
        return NM_OK;
    }
    size_t n = nm_metrics_spans(tags, item->sentence.n, spans);
    if (p->format == NM_PREDICT_JSONL)
        return print_json(p, item, spans, n, scores);
    print_marked(p, item, spans, n);
    return NM_OK;
}

static enum nm_err flush(const struct nm_predict *p, struct chunk *chunk, struct nm_diag *diag)
{
    size_t words = chunk->words + 1, at = 0;
    int32_t *tags = malloc(words * sizeof(*tags));
    float *scores = malloc(words * sizeof(*scores));
    struct nm_span *spans = malloc(words * sizeof(*spans));
    struct nm_sentence *sentences = malloc((chunk->n + 1) * sizeof(*sentences));
    enum nm_err err = NM_OK;
    if (tags == NULL || scores == NULL || spans == NULL || sentences == NULL) {
        err = NM_ENOMEM;
        (void)nm_fail(diag, err, "%s: out of memory", p->name);
    }
    for (size_t i = 0; i < chunk->n && err == NM_OK; i++)
        sentences[i] = chunk->items[i].sentence;
    if (err == NM_OK)
        err = nm_tagger_tag(p->tagger, sentences, chunk->n, tags, scores, diag);
    for (size_t i = 0; i < chunk->n && err == NM_OK; at += chunk->items[i++].sentence.n)
        if (print_item(p, &chunk->items[i], tags + at, scores + at, spans) != NM_OK)
            err = nm_fail(diag, NM_ENOMEM, "%s: out of memory", p->name);
    if (err == NM_OK && (fflush(p->out) != 0 || ferror(p->out)))
        err = nm_fail(diag, nm_err_from_errno(errno), "writing the output: %s", strerror(errno));
    free(tags);
    free(scores);
    free(spans);
    free(sentences);
    reset(chunk);
    return err;
}

/* ---- input ----------------------------------------------------------------------------------- */

/* Words are found in text (len) and added; object: see add_item. */
static enum nm_err add_text(const struct nm_predict *p, struct chunk *chunk, const char *text, size_t len,
                            json_t *object, struct nm_extents *words, size_t number, struct nm_diag *diag)
{
    enum nm_err err = nm_words_split(text, len, words);
    if (err == NM_EFORMAT)
        return nm_fail(diag, err, "%s:%zu: not UTF-8: convert the file", p->name, number);
    if (err != NM_OK || add_item(chunk, text, len, words->at, words->n, object) != NM_OK)
        return nm_fail(diag, NM_ENOMEM, "%s:%zu: out of memory", p->name, number);
    return NM_OK;
}

static enum nm_err add_object(const struct nm_predict *p, struct chunk *chunk, const char *line, size_t len,
                              struct nm_extents *words, size_t number, struct nm_diag *diag)
{
    json_error_t where;
    json_t *object = json_loadb(line, len, JSON_REJECT_DUPLICATES, &where), *text = json_object_get(object, "text");
    enum nm_err err;
    if (object == NULL)
        err = nm_fail(diag, NM_EFORMAT, "%s:%zu: no JSON: %s", p->name, number, where.text);
    else if (!json_is_string(text))
        err = nm_fail(diag, NM_EFORMAT, "%s:%zu: no object with a \"text\"", p->name, number);
    else
        err = add_text(p, chunk, json_string_value(text), json_string_length(text), object, words, number, diag);
    json_decref(object);
    return err;
}

static enum nm_err run_lines(const struct nm_predict *p, struct chunk *chunk, struct nm_diag *diag)
{
    char *line = NULL;
    size_t cap = 0, number = 0;
    struct nm_extents words = {0};
    enum nm_err err = NM_OK;
    for (ssize_t len; err == NM_OK && (len = getline(&line, &cap, p->in)) >= 0;) {
        number++;
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        if (p->input == NM_PREDICT_FROM_TEXT)
            err = add_text(p, chunk, line, (size_t)len, NULL, &words, number, diag);
        else if (len > 0)
            err = add_object(p, chunk, line, (size_t)len, &words, number, diag);
        if (err == NM_OK && (p->unbuffered || chunk->words >= CHUNK_WORDS || chunk->n >= CHUNK_WORDS))
            err = flush(p, chunk, diag);
    }
    if (err == NM_OK && ferror(p->in))
        err = nm_fail(diag, NM_EIO, "%s: %s", p->name, strerror(errno));
    free(line);
    free(words.at);
    return err;
}

/* The words joined by spaces, as text for the formats that show one. */
static enum nm_err add_sentence(struct chunk *chunk, const struct nm_sentence *s, struct nm_buf *text,
                                struct nm_extents *extents)
{
    nm_buf_reset(text);
    if (extents->cap < s->n) {
        struct nm_extent *at = realloc(extents->at, s->n * sizeof(*at));
        if (at == NULL)
            return NM_ENOMEM;
        extents->at = at;
        extents->cap = s->n;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (i > 0 && nm_buf_addc(text, ' ') != NM_OK)
            return NM_ENOMEM;
        extents->at[i].start = text->len;
        if (nm_buf_add(text, s->words[i].text, s->words[i].len) != NM_OK)
            return NM_ENOMEM;
        extents->at[i].end = text->len;
    }
    return add_item(chunk, nm_buf_str(text), text->len, extents->at, s->n, NULL);
}

static enum nm_err run_conll(const struct nm_predict *p, struct chunk *chunk, struct nm_diag *diag)
{
    struct nm_corpus corpus;
    struct nm_buf input, text;
    struct nm_extents extents = {0};
    nm_corpus_init(&corpus);
    nm_buf_init(&input, INPUT_MAX);
    nm_buf_init(&text, INPUT_MAX);
    char bytes[65536];
    enum nm_err err = NM_OK;
    for (size_t n; err == NM_OK && (n = fread(bytes, 1, sizeof(bytes), p->in)) > 0;)
        if (nm_buf_add(&input, bytes, n) != NM_OK)
            err = nm_fail(diag, NM_ELIMIT, "%s: more than 1 GiB: split it", p->name);
    if (err == NM_OK && ferror(p->in))
        err = nm_fail(diag, NM_EIO, "%s: %s", p->name, strerror(errno));
    if (err == NM_OK)
        err = nm_corpus_parse_conll(&corpus, p->name, nm_buf_str(&input), input.len, false, diag);
    for (size_t i = 0; i < corpus.n && err == NM_OK; i++) {
        if (add_sentence(chunk, &corpus.sentences[i], &text, &extents) != NM_OK)
            err = nm_fail(diag, NM_ENOMEM, "%s: out of memory", p->name);
        else if (chunk->words >= CHUNK_WORDS)
            err = flush(p, chunk, diag);
    }
    free(extents.at);
    nm_buf_clean_up(&text);
    nm_buf_clean_up(&input);
    nm_corpus_clean_up(&corpus);
    return err;
}

enum nm_err nm_predict_run(const struct nm_predict *predict, struct nm_diag *diag)
{
    struct chunk chunk = {0};
    enum nm_err err =
        predict->input == NM_PREDICT_FROM_CONLL ? run_conll(predict, &chunk, diag) : run_lines(predict, &chunk, diag);
    if (err == NM_OK)
        err = flush(predict, &chunk, diag);
    reset(&chunk);
    free(chunk.items);
    return err;
}
