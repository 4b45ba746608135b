/* names_check.c - how often each name stands in its own corpus without a label.
 *
 * The matcher is run twice.  Once as lists are matched.  Once over lower-cased names and text: three characters or
 * fewer are compared exactly, all else without case, so in lower case nothing is told apart by its case, and "ALL" is
 * found wherever the corpus says "all".
 */
#include <stdlib.h>

#include "common/utf8.h"
#include "workers/aligner/matcher.h"
#include "workers/dataset/names_parts.h"

struct matching {
    struct nm_names *names;
    bool folded;
    struct nm_matcher *matcher;
    struct nm_matches matches;
    struct nm_tokens words, folded_words;
    struct nm_buf text;
};

static bool unlabelled(const struct nm_msg_sample *sample, const struct nm_token *first, const struct nm_token *last)
{
    for (size_t i = 0; i < sample->n_mentions; i++)
        if (sample->mentions[i].start < last->end && sample->mentions[i].end > first->start)
            return false;
    return true;
}

static enum nm_err match_record(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    struct matching *m = ctx;
    const struct nm_msg_sample *sample = &record->sample;
    const struct nm_tokens *words = &m->words;
    const char *text = sample->text.ptr;
    enum nm_err err = nm_tokenize(text, sample->text.len, &m->words);
    if (err == NM_OK && m->folded) {
        nm_buf_reset(&m->text);
        err = nm_utf8_casefold(text, sample->text.len, &m->text);
        if (err == NM_OK)
            err = nm_tokenize(nm_buf_str(&m->text), m->text.len, &m->folded_words);
        text = nm_buf_str(&m->text);
        words = &m->folded_words;
    }
    if (err == NM_OK)
        err = nm_matcher_run(m->matcher, text, words, &m->matches);
    if (err != NM_OK)
        return nm_fail(diag, err, "%s: the names cannot be matched: %s", record->source.ptr, nm_err_name(err));
    if (words->count != m->words.count)
        return NM_OK; /* lower-casing has moved a word's end: no word of one is one of the other */
    for (size_t i = 0; i < m->matches.count; i++) {
        const struct nm_match *match = &m->matches.v[i];
        if (!unlabelled(sample, &m->words.v[match->first], &m->words.v[match->first + match->count - 1]))
            continue;
        for (uint32_t k = match->entity; k != NM_NO_ENTITY; k = nm_matcher_twin(m->matcher, k))
            if (m->folded)
                m->names->v[k].unlabelled_any_case++;
            else
                m->names->v[k].unlabelled++;
    }
    return NM_OK;
}

/* The names, or what they are in lower case, which lies in folded. */
static enum nm_err make_matcher(struct matching *m, struct nm_arena *folded, struct nm_diag *diag)
{
    size_t n = m->names->n;
    struct nm_pattern *patterns = calloc(n > 0 ? n : 1, sizeof *patterns);
    enum nm_err err = patterns != NULL ? NM_OK : NM_ENOMEM;
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        const struct nm_name *name = &m->names->v[i];
        patterns[i] = (struct nm_pattern){.text = name->text, .len = name->len};
        if (!m->folded)
            continue;
        nm_buf_reset(&m->text);
        err = nm_utf8_casefold(name->text, name->len, &m->text);
        patterns[i].text = err == NM_OK ? nm_arena_strndup(folded, m->text.data, m->text.len) : NULL;
        patterns[i].len = m->text.len;
        if (err == NM_OK && patterns[i].text == NULL)
            err = NM_ENOMEM;
    }
    err = err == NM_OK ? nm_matcher_new(patterns, n, &m->matcher, diag) : nm_fail(diag, err, "out of memory");
    free(patterns);
    return err;
}

static enum nm_err count(struct nm_names *names, bool folded, struct nm_diag *diag)
{
    struct matching m = {.names = names, .folded = folded};
    struct nm_record_counts counts;
    struct nm_arena arena;
    nm_arena_init(&arena, 0);
    nm_matches_init(&m.matches);
    nm_tokens_init(&m.words);
    nm_tokens_init(&m.folded_words);
    nm_buf_init(&m.text, SIZE_MAX / 4);
    enum nm_err err = make_matcher(&m, &arena, diag);
    if (err == NM_OK)
        err = nm_import_read(&names->options->from, match_record, &m, &counts, diag);
    nm_matcher_destroy(&m.matcher);
    nm_matches_clean_up(&m.matches);
    nm_tokens_clean_up(&m.words);
    nm_tokens_clean_up(&m.folded_words);
    nm_buf_clean_up(&m.text);
    nm_arena_clean_up(&arena);
    return err;
}

static enum nm_name_fault fault_of(const struct nm_name *name)
{
    if (!nm_utf8_has(name->text, name->len, nm_utf8_is_letter))
        return NM_NAME_NO_LETTER;
    if (name->unlabelled > name->labelled)
        return NM_NAME_UNLABELLED;
    return name->unlabelled_any_case > name->labelled ? NM_NAME_WORD : NM_NAME_GOOD;
}

enum nm_err names_check(struct nm_names *names, struct nm_diag *diag)
{
    enum nm_err err = count(names, false, diag);
    if (err == NM_OK)
        err = count(names, true, diag);
    for (size_t i = 0; i < names->n && err == NM_OK; i++) {
        struct nm_name *name = &names->v[i];
        name->fault = fault_of(name);
        name->wanted = names->types[name->type].listed && !(names->hygiene && name->fault != NM_NAME_GOOD);
    }
    return err;
}
