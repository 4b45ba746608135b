#include "workers/dataset/measure.h"

#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/aligner/write_sample.h"
#include "workers/dataset/format.h"
#include "workers/dataset/measure_parts.h"

enum { CONTEXT_WORDS = 2 /* on each side of a mention */ };

struct nm_measure *nm_measure_new(uint64_t seed, const struct nm_entities *lists, uint32_t leak_words)
{
    struct nm_measure *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    nm_arena_init(&m->arena, 0);
    nm_buf_init(&m->buf, SIZE_MAX / 4);
    nm_rng_init(&m->rng, seed);
    nm_leakage_init(&m->leakage, leak_words);
    m->lists = lists;
    m->likeness = nm_likeness_new();
    m->listed_seen = calloc((lists != NULL ? nm_entities_count(lists) : 0) + 1, sizeof *m->listed_seen);
    if (m->likeness == NULL || m->listed_seen == NULL)
        nm_measure_destroy(&m);
    return m;
}

void nm_measure_destroy(struct nm_measure **measure)
{
    struct nm_measure *m = *measure;
    *measure = NULL;
    if (m == NULL)
        return;
    nm_tally_clean_up(&m->known);
    nm_tally_clean_up(&m->contexts);
    nm_tally_clean_up(&m->texts);
    nm_tally_clean_up(&m->templates);
    nm_tally_clean_up(&m->seen_documents);
    nm_leakage_clean_up(&m->leakage);
    for (size_t i = 0; i < NM_MEASURE_TEXTS; i++) {
        free(m->kept[i].words);
        free(m->kept[i].text);
    }
    for (size_t i = 0; i < NM_MEASURE_SHOWN; i++)
        free(m->shown[i].line);
    nm_likeness_destroy(&m->likeness);
    nm_arena_clean_up(&m->arena);
    nm_buf_clean_up(&m->buf);
    free(m->listed_seen);
    free(m->types);
    free(m->entities);
    free(m->words);
    free(m->plain);
    free(m);
}

static void count(struct histogram *h, uint64_t value)
{
    h->counts[value < HISTOGRAM_MAX ? value : HISTOGRAM_MAX]++;
    h->n++;
    h->sum += value;
    h->max = value > h->max ? value : h->max;
}

/* ---- words ------------------------------------------------------------------------------------------------------
 */

static enum nm_err hash_folded(struct nm_measure *m, const char *s, size_t len, uint64_t *hash)
{
    nm_buf_reset(&m->buf);
    enum nm_err err = nm_utf8_casefold(s, len, &m->buf);
    *hash = nm_hash64(nm_buf_str(&m->buf), m->buf.len, 0);
    return err;
}

static bool is_word(const char *s, size_t len)
{
    int32_t cp = 0;
    return nm_utf8_next(s, len, &cp) > 0 && (nm_utf8_is_letter(cp) || nm_utf8_is_digit(cp));
}

/* The sample's tokens as hashes, in lower case; and those of them that are words. */
static enum nm_err find_words(struct nm_measure *m, const struct nm_msg_sample *sample)
{
    size_t n = sample->n_tokens;
    if (n > m->words_cap) {
        uint64_t *words = realloc(m->words, n * sizeof *words);
        m->words = words != NULL ? words : m->words;
        uint64_t *plain = realloc(m->plain, n * sizeof *plain);
        m->plain = plain != NULL ? plain : m->plain;
        if (words == NULL || plain == NULL)
            return NM_ENOMEM;
        m->words_cap = n;
    }
    m->n_plain = 0;
    for (size_t i = 0; i < n; i++) {
        const struct nm_msg_token *token = &sample->tokens[i];
        if (token->start >= token->end || token->end > sample->text.len)
            return NM_EFORMAT;
        const char *s = sample->text.ptr + token->start;
        enum nm_err err = hash_folded(m, s, token->end - token->start, &m->words[i]);
        if (err != NM_OK)
            return err;
        if (is_word(s, token->end - token->start))
            m->plain[m->n_plain++] = m->words[i];
    }
    return NM_OK;
}

static uint64_t hash_words(const uint64_t *words, size_t n)
{
    return nm_hash64(words, n * sizeof *words, n);
}

static enum nm_err bump(struct nm_tally *tally, uint64_t key)
{
    uint64_t *value = nm_tally_at(tally, key);
    if (value != NULL)
        ++*value;
    return value != NULL ? NM_OK : NM_ENOMEM;
}

/* ---- entities ---------------------------------------------------------------------------------------------------
 */

static enum nm_err find_type(struct nm_measure *m, struct nm_str name, uint32_t *type)
{
    for (*type = 0; *type < m->n_types; ++*type)
        if (strlen(m->types[*type].name) == name.len && memcmp(m->types[*type].name, name.ptr, name.len) == 0)
            return NM_OK;
    struct measured_type *types = realloc(m->types, (m->n_types + 1) * sizeof *types);
    if (types == NULL)
        return NM_ENOMEM;
    m->types = types;
    types[m->n_types] = (struct measured_type){.name = nm_arena_strndup(&m->arena, name.ptr, name.len)};
    return types[m->n_types++].name != NULL ? NM_OK : NM_ENOMEM;
}

static enum nm_err find_entity(struct nm_measure *m, uint32_t type, const char *s, size_t len, size_t *entity)
{
    uint64_t hash;
    enum nm_err err = hash_folded(m, s, len, &hash);
    uint64_t *known = err == NM_OK ? nm_tally_at(&m->known, nm_mix64(hash + type)) : NULL;
    if (known == NULL)
        return err != NM_OK ? err : NM_ENOMEM;
    if (*known == 0) {
        if (m->n_entities == m->entities_cap) {
            size_t cap = m->entities_cap * 2 + 256;
            struct measured_entity *larger = realloc(m->entities, cap * sizeof *larger);
            if (larger == NULL)
                return NM_ENOMEM;
            m->entities = larger;
            m->entities_cap = cap;
        }
        struct measured_entity *e = &m->entities[m->n_entities];
        *e = (struct measured_entity){.text = nm_arena_strndup(&m->arena, s, len), .type = type};
        if (e->text == NULL)
            return NM_ENOMEM;
        *known = ++m->n_entities;
        m->types[type].entities++;
    }
    *entity = *known - 1;
    return NM_OK;
}

/* The words on both sides of tokens [first, last). */
static uint64_t hash_context(const struct nm_measure *m, size_t n, size_t first, size_t last, size_t entity)
{
    uint64_t around[2 * CONTEXT_WORDS + 1] = {entity};
    for (size_t i = 1; i <= CONTEXT_WORDS; i++) {
        around[i] = first >= i ? m->words[first - i] : 1;
        around[CONTEXT_WORDS + i] = last + i <= n ? m->words[last + i - 1] : 2;
    }
    return hash_words(around, 2 * CONTEXT_WORDS + 1);
}

static enum nm_err take_mention(struct nm_measure *m, const struct nm_msg_sample *sample,
                                const struct nm_msg_mention *mention, size_t first, size_t last)
{
    uint32_t type;
    size_t entity;
    enum nm_err err = find_type(m, mention->type, &type);
    if (err == NM_OK)
        err = find_entity(m, type, sample->text.ptr + mention->start, mention->end - mention->start, &entity);
    if (err != NM_OK)
        return err;
    uint64_t *context = nm_tally_at(&m->contexts, hash_context(m, sample->n_tokens, first, last, entity));
    if (context == NULL)
        return NM_ENOMEM;
    m->entities[entity].contexts += ++*context == 1;
    m->entities[entity].mentions++;
    m->types[type].mentions++;
    m->mentions++;
    m->unlisted += mention->index == NM_NO_INDEX;
    m->with_index += mention->index != NM_NO_INDEX;
    if (m->lists != NULL && mention->index < nm_entities_count(m->lists))
        m->listed_seen[mention->index] = true;
    return NM_OK;
}

/* Mentions one by one; the sample's template is its words with each mention as one blank. */
static enum nm_err take_mentions(struct nm_measure *m, const struct nm_msg_sample *sample)
{
    uint64_t own = 0, hash = 0;
    size_t at = 0;
    for (size_t i = 0; i < sample->n_mentions; i++) {
        const struct nm_msg_mention *mention = &sample->mentions[i];
        if (mention->start >= mention->end || mention->end > sample->text.len)
            return NM_EFORMAT;
        for (; at < sample->n_tokens && sample->tokens[at].end <= mention->start; at++)
            hash = nm_mix64(hash ^ m->words[at]);
        size_t first = at;
        while (at < sample->n_tokens && sample->tokens[at].start < mention->end)
            at++;
        hash = nm_mix64(hash + 1);
        if (nm_mention_masked(mention)) {
            m->masked_spans++;
            continue;
        }
        own++;
        enum nm_err err = take_mention(m, sample, mention, first, at);
        if (err != NM_OK)
            return err;
    }
    for (; at < sample->n_tokens; at++)
        hash = nm_mix64(hash ^ m->words[at]);
    count(&m->per_sample, own);
    m->samples_without += own == 0;
    m->template_samples += sample->n_mentions > 0;
    return sample->n_mentions > 0 ? bump(&m->templates, hash) : NM_OK;
}

/* ---- leakage ----------------------------------------------------------------------------------------------------
 */

enum nm_err nm_measure_leaks(void *measure, const struct nm_record *record, struct nm_diag *diag)
{
    struct nm_measure *m = measure;
    nm_buf_reset(&m->buf);
    enum nm_err err = nm_write_conll(&record->sample, &m->buf);
    if (err != NM_OK)
        return nm_fail(diag, err, "report: %s", nm_err_name(err));
    m->gold_sentences++;
    return nm_leakage_add_conll(&m->leakage, "gold", nm_buf_str(&m->buf), m->buf.len, diag);
}

static enum nm_err look_for_leaks(struct nm_measure *m, struct nm_str text)
{
    struct nm_arena work;
    size_t words = 0;
    if (m->gold_sentences == 0)
        return NM_OK;
    if (!m->leakage_closed)
        nm_leakage_close(&m->leakage);
    m->leakage_closed = true;
    nm_arena_init(&work, 0);
    enum nm_err err = nm_leakage_finds(&m->leakage, text, &work, &words);
    m->leaked += words > 0;
    nm_arena_clean_up(&work);
    return err;
}

/* ---- the random samples -----------------------------------------------------------------------------------------
 */

/* Vitter's algorithm R: the place in a reservoir of size for the n-th item (from 0), or size: none. */
static size_t place_in(struct nm_measure *m, uint64_t n, size_t size)
{
    if (n < size)
        return (size_t)n;
    uint64_t at = nm_rng_below(&m->rng, n + 1);
    return at < size ? (size_t)at : size;
}

static enum nm_err keep_text(struct nm_measure *m, const struct nm_msg_sample *sample)
{
    size_t at = place_in(m, m->samples, NM_MEASURE_TEXTS);
    if (at == NM_MEASURE_TEXTS)
        return NM_OK;
    struct measured_text text = {.n = sample->n_tokens, .len = sample->text.len};
    text.words = malloc((text.n + 1) * sizeof *text.words);
    text.text = malloc(text.len + 1);
    if (text.words == NULL || text.text == NULL) {
        free(text.words);
        free(text.text);
        return NM_ENOMEM;
    }
    if (text.n > 0)
        memcpy(text.words, m->words, text.n * sizeof *text.words);
    memcpy(text.text, sample->text.ptr, text.len);
    free(m->kept[at].words);
    free(m->kept[at].text);
    m->kept[at] = text;
    return NM_OK;
}

static enum nm_err keep_sample(struct nm_measure *m, const struct nm_record *record)
{
    size_t at = place_in(m, m->samples, NM_MEASURE_SHOWN);
    if (at == NM_MEASURE_SHOWN)
        return NM_OK;
    nm_buf_reset(&m->buf);
    enum nm_err err = nm_record_write_json(record, &m->buf);
    char *line = err == NM_OK ? strndup(nm_buf_str(&m->buf), m->buf.len) : NULL;
    if (line == NULL)
        return err != NM_OK ? err : NM_ENOMEM;
    free(m->shown[at].line);
    m->shown[at] = (struct measured_sample){line, m->samples};
    return NM_OK;
}

static enum nm_err add(struct nm_measure *m, const struct nm_record *record)
{
    const struct nm_msg_sample *sample = &record->sample;
    enum nm_err err = find_words(m, sample);
    if (err == NM_OK)
        err = take_mentions(m, sample);
    if (err == NM_OK)
        err = bump(&m->texts, hash_words(m->plain, m->n_plain));
    if (err == NM_OK && m->samples < LIKENESS_MAX)
        err = nm_likeness_add(m->likeness, m->plain, m->n_plain);
    if (err == NM_OK)
        err = keep_text(m, sample);
    if (err == NM_OK)
        err = keep_sample(m, record);
    if (err == NM_OK)
        err = look_for_leaks(m, sample->text);
    if (err == NM_OK && record->document.len > 0)
        err = bump(&m->seen_documents, nm_hash64(record->document.ptr, record->document.len, 0));
    if (err != NM_OK)
        return err;
    for (size_t i = 0; i < sample->n_tokens; i++)
        m->masked_tokens += sample->tokens[i].tag.len == 1 && sample->tokens[i].tag.ptr[0] == NM_TAG_TEXT_MASKED[0];
    count(&m->length, sample->n_tokens);
    m->tokens += sample->n_tokens;
    m->characters += nm_utf8_length(sample->text.ptr, sample->text.len);
    m->samples++;
    return NM_OK;
}

enum nm_err nm_measure_add(void *measure, const struct nm_record *record, struct nm_diag *diag)
{
    enum nm_err err = add(measure, record);
    return err == NM_OK ? NM_OK : nm_fail(diag, err, "report: %s", nm_err_name(err));
}
