/* scheme.c - learning a scheme from the tokens of a file. */
#include "workers/aligner/scheme.h"

#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/aligner/array.h"
#include "workers/aligner/detokenize.h"
#include "workers/aligner/scheme_parts.h"

enum { FIRST_KEYS = 1 << 12, MOST_TOKENS = 16 };

/* One sentence at a time, as natural text. */
struct learner {
    struct nm_scheme *scheme;
    const struct nm_conll *conll;
    const struct nm_conll_token *tokens; /* of the sentence */
    struct nm_str *texts;
    uint32_t *gaps;
    size_t *starts;
    size_t texts_cap, gaps_cap, starts_cap;
    struct nm_buf text;
    struct nm_tokens cut; /* by the rule */
};

/* ---- natural text ------------------------------------------------------------------------------------------------
 */

void nm_scheme_gaps(const struct nm_conll_token *tokens, const struct nm_str *texts, size_t n, uint32_t *gaps)
{
    nm_detokenize(texts, n, gaps);
    for (size_t i = 1; i < n; i++) {
        const struct nm_conll_token *before = &tokens[i - 1];
        if (before->offset == NM_CONLL_NO_OFFSET || tokens[i].offset == NM_CONLL_NO_OFFSET)
            continue;
        uint64_t end = before->offset + nm_utf8_length(before->text.ptr, before->text.len);
        if (tokens[i].offset >= end) /* an offset that goes back is no offset */
            gaps[i] = tokens[i].offset > end;
    }
}

static enum nm_err load(struct learner *l, const struct nm_conll_sentence *sentence)
{
    size_t n = sentence->n;
    const struct nm_conll_token *tokens = &l->conll->tokens[sentence->first];
    struct nm_str *texts = nm_array_grow(l->texts, &l->texts_cap, n, sizeof *texts);
    l->texts = texts != NULL ? texts : l->texts;
    uint32_t *gaps = nm_array_grow(l->gaps, &l->gaps_cap, n, sizeof *gaps);
    l->gaps = gaps != NULL ? gaps : l->gaps;
    size_t *starts = nm_array_grow(l->starts, &l->starts_cap, n, sizeof *starts);
    l->starts = starts != NULL ? starts : l->starts;
    l->tokens = tokens;
    if (texts == NULL || gaps == NULL || starts == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < n; i++)
        texts[i] = tokens[i].text;
    nm_scheme_gaps(tokens, texts, n, gaps);
    nm_buf_reset(&l->text);
    return nm_detokenize_join(texts, n, gaps, &l->text, starts);
}

/* ---- evidence ----------------------------------------------------------------------------------------------------
 */

static enum nm_err grow(struct nm_scheme *s)
{
    struct nm_scheme larger = {.mask = s->table == NULL ? FIRST_KEYS - 1 : s->mask * 2 + 1};
    larger.table = calloc(larger.mask + 1, sizeof *larger.table);
    if (larger.table == NULL)
        return NM_ENOMEM;
    for (uint64_t i = 0; s->table != NULL && i <= s->mask; i++)
        if (s->table[i].key != 0)
            *scheme_slot(&larger, s->table[i].key) = s->table[i];
    free(s->table);
    s->table = larger.table;
    s->mask = larger.mask;
    return NM_OK;
}

static enum nm_err count(struct nm_scheme *s, const struct place *place, bool cut)
{
    for (enum level level = LEVEL_NEAR; level < LEVELS; level++) {
        uint64_t key = scheme_key(level, place);
        if (key == 0)
            continue;
        if ((s->n_keys + 1) * 2 > s->mask + 1) {
            enum nm_err err = grow(s);
            if (err != NM_OK)
                return err;
        }
        struct evidence *e = scheme_slot(s, key);
        s->n_keys += e->key == 0;
        e->key = key;
        e->joined += !cut;
        e->cut += cut;
    }
    return NM_OK;
}

/* Every place of the sentence between two characters that no blank parts. */
static enum nm_err count_places(struct learner *l, const struct nm_conll_sentence *sentence)
{
    struct place p = {OUTSIDE, OUTSIDE, OUTSIDE, OUTSIDE};
    const char *text = nm_buf_str(&l->text);
    enum nm_err err = NM_OK;
    bool cut = false; /* a token begins at p.right */
    size_t token = 0;
    for (size_t at = 0, next; at <= l->text.len && err == NM_OK; at = next) {
        int n = nm_utf8_next(text + at, l->text.len - at, &p.behind);
        bool blank = n == 0 || p.behind == ' ';
        next = at + (n > 0 ? (size_t)n : 1);
        if (blank)
            p.behind = OUTSIDE;
        if (p.left != OUTSIDE && p.right != OUTSIDE)
            err = count(l->scheme, &p, cut);
        while (token < sentence->n && l->starts[token] < at)
            token++;
        cut = token < sentence->n && l->starts[token] == at;
        p = (struct place){p.right == OUTSIDE ? OUTSIDE : p.left, p.right, p.behind, OUTSIDE};
    }
    return err;
}

/* Two letters or digits that the file always or never parts are told without a look-up. */
static void settle_ascii(struct nm_scheme *s)
{
    for (int32_t left = '0'; left <= 'z'; left++)
        for (int32_t right = '0'; right <= 'z'; right++) {
            bool word = (nm_utf8_is_letter(left) || nm_utf8_is_digit(left)) &&
                        (nm_utf8_is_letter(right) || nm_utf8_is_digit(right));
            struct place place = {OUTSIDE, left, right, OUTSIDE};
            const struct evidence *e = word ? scheme_find(s, scheme_key(LEVEL_PAIR, &place)) : NULL;
            if (e != NULL && (e->cut == 0 || e->joined == 0))
                s->ascii[left][right] = e->cut == 0 ? VERDICT_JOIN : VERDICT_CUT;
        }
}

/* ---- exceptions --------------------------------------------------------------------------------------------------
 */

/* The exception of a text, *e; a new one has no cuts.  *e NULL: it cannot have one. */
static enum nm_err add_exception(struct nm_scheme *s, const char *text, size_t len, struct exception **e)
{
    uint32_t id;
    uint32_t known = s->lexicon.count;
    enum nm_err err = nm_lexicon_add(&s->lexicon, text, len, &id);
    *e = NULL;
    if (err == NM_EEXIST) /* its hash is another's: 2^-32, and it goes without */
        return NM_OK;
    if (err != NM_OK)
        return err;
    struct exception *exceptions = nm_array_grow(s->exceptions, &s->exceptions_cap, id, sizeof *exceptions);
    if (exceptions == NULL)
        return NM_ENOMEM;
    s->exceptions = exceptions;
    *e = &exceptions[id - 1];
    if (id > known)
        **e = (struct exception){.fresh = true};
    size_t bit = scheme_first_bit(text);
    s->firsts[bit / 64] |= 1ULL << bit % 64;
    return NM_OK;
}

static void span_tokens(struct nm_scheme *s, size_t tokens)
{
    s->most_tokens = tokens > s->most_tokens ? (uint32_t)tokens : s->most_tokens;
}

/* Walk rule's tokens and the file's side by side: call fn for each stretch that both begin and end together, with
 * no blank inside; differs: they cut it differently.  Tokens [i, j] are the rule's, [k, m] the file's. */
struct stretch {
    size_t i, j, k, m, from, to;
    bool differs;
};
typedef enum nm_err (*stretch_fn)(struct learner *l, const struct stretch *stretch);

static enum nm_err walk_stretches(struct learner *l, size_t n, stretch_fn fn)
{
    const struct nm_token *cut = l->cut.v;
    enum nm_err err = NM_OK;
    for (size_t i = 0, k = 0; i < l->cut.count && k < n && err == NM_OK;) {
        struct stretch s = {.i = i, .j = i, .k = k, .m = k, .from = cut[i].start};
        if (l->starts[k] != s.from) { /* characters that one of them leaves out */
            if (l->starts[k] < s.from)
                k++;
            else
                i++;
            continue;
        }
        for (;;) {
            size_t mine = cut[s.j].end;
            size_t theirs = l->starts[s.m] + l->texts[s.m].len;
            s.to = mine;
            if (mine == theirs)
                break;
            s.differs = true;
            size_t *behind = mine < theirs ? &s.j : &s.m;
            if (++*behind == (mine < theirs ? l->cut.count : n))
                return NM_OK;
        }
        err = fn(l, &s);
        i = s.j + 1;
        k = s.m + 1;
    }
    return err;
}

static enum nm_err find_exception(struct learner *l, const struct stretch *s)
{
    struct nm_scheme *scheme = l->scheme;
    struct exception *e;
    size_t tokens = s->j - s->i + 1;
    if (!s->differs || s->to - s->from < 2 || tokens > MOST_TOKENS ||
        memchr(l->text.data + s->from, ' ', s->to - s->from) != NULL)
        return NM_OK;
    enum nm_err err = add_exception(scheme, nm_buf_str(&l->text) + s->from, s->to - s->from, &e);
    if (err != NM_OK || e == NULL || !e->fresh)
        return err;
    uint32_t *cuts = nm_array_grow(scheme->cuts, &scheme->cuts_cap, scheme->n_cuts + s->m - s->k + 1, sizeof *cuts);
    if (cuts == NULL)
        return NM_ENOMEM;
    scheme->cuts = cuts;
    *e = (struct exception){.first = (uint32_t)scheme->n_cuts,
                            .count = (uint32_t)(s->m - s->k),
                            .told = l->tokens[s->k].offset != NM_CONLL_NO_OFFSET};
    for (size_t k = s->k + 1; k <= s->m; k++)
        cuts[scheme->n_cuts++] = (uint32_t)(l->starts[k] - s->from);
    span_tokens(scheme, tokens);
    return NM_OK;
}

/* A token stays whole where blanks are around it: by an exception, if the rule cuts it, and before any exception that
 * rests on a guess of what stood together. */
static enum nm_err find_alone(struct learner *l)
{
    struct nm_scheme *s = l->scheme;
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < l->conll->n_tokens && err == NM_OK; i++) {
        struct nm_str text = l->conll->tokens[i].text;
        err = scheme_cut(s, text.ptr, text.len, &l->cut);
        size_t n = l->cut.count;
        struct exception *e = err == NM_OK && n > 0 ? scheme_exception(s, text.ptr, &l->cut, 0, n - 1) : NULL;
        if (err == NM_OK && e == NULL && n > 1 && n <= MOST_TOKENS) {
            err = add_exception(s, text.ptr, text.len, &e);
            span_tokens(s, n);
        }
        if (e != NULL)
            *e = (struct exception){.first = e->first, .count = e->told ? e->count : 0, .told = e->told};
    }
    return err;
}

/* How many of an exception's cuts are cuts of the file's stretch, too. */
static uint32_t shared_cuts(const struct nm_scheme *scheme, const struct exception *e, const struct stretch *s,
                            const size_t *starts)
{
    uint32_t shared = 0;
    size_t k = s->k + 1;
    for (uint32_t i = 0; i < e->count; i++) {
        while (k <= s->m && starts[k] - s->from < scheme->cuts[e->first + i])
            k++;
        shared += k <= s->m && starts[k] - s->from == scheme->cuts[e->first + i];
    }
    return shared;
}

/* Whether the exception of this stretch, if there is one, says what the file says here.  Tokens that only a guess
 * brought together speak against nothing: they can be parted by a blank. */
static enum nm_err judge_exception(struct learner *l, const struct stretch *s)
{
    struct exception *e = scheme_exception(l->scheme, nm_buf_str(&l->text), &l->cut, s->i, s->j);
    if (e == NULL)
        return NM_OK;
    uint32_t shared = shared_cuts(l->scheme, e, s, l->starts);
    if (shared == e->count && shared == s->m - s->k)
        e->right++;
    else if (shared < e->count || l->tokens[s->k].offset != NM_CONLL_NO_OFFSET)
        e->wrong++;
    return NM_OK;
}

/* Those stay that are right more often than wrong, and those that nothing in the file speaks against. */
static void settle_exceptions(struct nm_scheme *s)
{
    for (struct exception *e = s->exceptions; e < s->exceptions + s->lexicon.count; e++)
        e->off = e->wrong > 0 && e->right <= e->wrong;
}

static enum nm_err each_sentence(struct learner *l, stretch_fn fn)
{
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < l->conll->n_sentences && err == NM_OK; i++) {
        const struct nm_conll_sentence *sentence = &l->conll->sentences[i];
        err = load(l, sentence);
        if (err == NM_OK && fn == NULL)
            err = count_places(l, sentence);
        else if (err == NM_OK) {
            err = scheme_cut(l->scheme, nm_buf_str(&l->text), l->text.len, &l->cut);
            if (err == NM_OK)
                err = walk_stretches(l, sentence->n, fn);
        }
    }
    return err;
}

/* A file whose tokens are of nothing that can be seen has them given back, too. */
static bool has_invisible(const struct nm_conll *conll)
{
    for (size_t i = 0; i < conll->n_tokens; i++) {
        struct nm_str text = conll->tokens[i].text;
        int32_t cp;
        size_t at = 0;
        for (int n; at < text.len && (n = nm_utf8_next(text.ptr + at, text.len - at, &cp)) > 0; at += (size_t)n)
            if (!nm_tokens_is_gap(cp))
                break;
        if (at == text.len)
            return true;
    }
    return false;
}

enum nm_err nm_scheme_learn(const struct nm_conll *conll, struct nm_scheme **scheme)
{
    struct nm_scheme *s = calloc(1, sizeof *s);
    struct learner l = {.scheme = s, .conll = conll};
    *scheme = NULL;
    if (s == NULL)
        return NM_ENOMEM;
    nm_buf_init(&l.text, SIZE_MAX / 4);
    nm_tokens_init(&l.cut);
    s->invisible = has_invisible(conll);
    enum nm_err err = nm_lexicon_init(&s->lexicon, 1);
    if (err == NM_OK)
        err = grow(s);
    if (err == NM_OK)
        err = each_sentence(&l, NULL);
    if (err == NM_OK)
        settle_ascii(s);
    if (err == NM_OK)
        err = each_sentence(&l, find_exception);
    if (err == NM_OK)
        err = find_alone(&l);
    if (err == NM_OK)
        err = each_sentence(&l, judge_exception);
    if (err == NM_OK)
        settle_exceptions(s);
    nm_tokens_clean_up(&l.cut);
    nm_buf_clean_up(&l.text);
    free(l.texts);
    free(l.gaps);
    free(l.starts);
    if (err != NM_OK)
        nm_scheme_destroy(&s);
    *scheme = s;
    return err;
}

void nm_scheme_destroy(struct nm_scheme **scheme)
{
    struct nm_scheme *s = *scheme;
    if (s == NULL)
        return;
    nm_lexicon_clean_up(&s->lexicon);
    free(s->table);
    free(s->exceptions);
    free(s->cuts);
    free(s);
    *scheme = NULL;
}
