/* import_conll.c - a word and its tag a line: CoNLL in its dialects, and TDMSci, which has offsets in the middle.
 *
 * Columns are parted by tabs, or by blanks in a line without a tab; the first is the word, the last the tag.  An
 * empty line ends a sentence; -DOCSTART- (with an id behind it, or in brackets) begins a document, as does
 * "# newdoc id = ID" of CoNLL-U, whose other "# key = value" lines are skipped.  Where there are three columns and
 * the middle one is a number in every line of a sentence, it is the word's offset, as in TDMSci.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/aligner/detokenize.h"
#include "workers/dataset/import_parts.h"

enum { COLUMNS_MAX = 64, GAP_MAX = 8 };

struct word {
    char *text, *tag; /* owned */
    uint64_t offset, line;
};

struct reading {
    const struct nm_import *import;
    struct nm_import_sink sink;
    struct nm_lines lines;
    bool offsets; /* TDMSci: every line has to have one */
    bool unknown; /* a word of the sentence has no offset */
    struct word *words;
    size_t n, cap;
    char document[NM_NAME_MAX];
    uint64_t documents;
    struct nm_tokenizer *tokenizer;
    struct nm_tokens tokens; /* work space */
    struct nm_arena arena;
};

static enum nm_err fail(const struct reading *r, uint64_t line, const char *what, const char *word)
{
    return nm_fail(r->sink.diag, NM_EFORMAT, "%s:%" PRIu64 ": \"%.60s\" %s", r->lines.name, line, word, what);
}

static enum nm_err no_memory(const struct reading *r)
{
    return nm_fail(r->sink.diag, NM_ENOMEM, "%s: out of memory", r->lines.name);
}

/* How many blanks stood before each word, by TDMSci's offsets (in code points); one where they tell nothing. */
static void gaps_by_offsets(const struct reading *r, uint32_t *gaps)
{
    for (size_t i = 1; i < r->n; i++) {
        uint64_t end = r->words[i - 1].offset + nm_utf8_length(r->words[i - 1].text, strlen(r->words[i - 1].text));
        uint64_t gap = r->words[i].offset - end;
        gaps[i] = r->words[i].offset >= end && gap <= GAP_MAX ? (uint32_t)gap : 1;
    }
}

/* Natural text again, as far as it can be guessed, that our own tokeniser cuts into the same words (if that counts).
 */
static enum nm_err gaps_by_guess(struct reading *r, const struct nm_tagged_word *words, uint32_t *gaps)
{
    bool exact;
    struct nm_str *texts = nm_arena_alloc(&r->arena, r->n * sizeof *texts);
    if (texts == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < r->n; i++)
        texts[i] = words[i].text;
    nm_detokenize(texts, r->n, gaps);
    return r->import->natural ? NM_OK : nm_detokenize_fit(texts, r->n, r->tokenizer, gaps, &r->tokens, &exact);
}

static enum nm_err end_sentence(struct reading *r)
{
    struct nm_record record = {.document = nm_str(r->document)};
    size_t bad = 0;
    if (r->n == 0)
        return NM_OK;
    nm_arena_reset(&r->arena);
    struct nm_tagged_word *words = nm_arena_alloc(&r->arena, r->n * sizeof *words);
    uint32_t *gaps = nm_arena_alloc(&r->arena, r->n * sizeof *gaps);
    record.source = nm_str(nm_arena_sprintf(&r->arena, "%s:%" PRIu64, r->lines.name, r->words[0].line));
    if (words == NULL || gaps == NULL || record.source.len == 0)
        return no_memory(r);
    for (size_t i = 0; i < r->n; i++)
        words[i] = (struct nm_tagged_word){nm_str(r->words[i].text), nm_str(r->words[i].tag)};
    enum nm_err err = NM_OK;
    if (!r->unknown)
        gaps_by_offsets(r, gaps);
    else
        err = gaps_by_guess(r, words, gaps);
    if (err == NM_OK)
        err = nm_record_from_words(&r->arena, words, r->n, gaps, &record, &bad);
    if (err == NM_EFORMAT)
        return fail(r, r->words[bad].line, "is no tag: write O, - (masked), or TYPE behind B-, I-, E-, S-, L- or U-",
                    r->words[bad].tag);
    if (err == NM_OK)
        err = nm_import_give(&r->sink, &record);
    else
        err = no_memory(r);
    for (size_t i = 0; i < r->n; i++) {
        free(r->words[i].text);
        free(r->words[i].tag);
    }
    r->n = 0;
    r->unknown = false;
    return err;
}

static enum nm_err add_word(struct reading *r, struct nm_str text, struct nm_str tag, uint64_t offset)
{
    if (r->n == r->cap) {
        size_t cap = r->cap * 2 + 64;
        struct word *words = realloc(r->words, cap * sizeof *words);
        if (words == NULL)
            return no_memory(r);
        r->words = words;
        r->cap = cap;
    }
    struct word *word = &r->words[r->n];
    *word = (struct word){strndup(text.ptr, text.len), strndup(tag.ptr, tag.len), offset, r->lines.number};
    if (word->text == NULL || word->tag == NULL) {
        free(word->text);
        free(word->tag);
        return no_memory(r);
    }
    r->n++;
    return NM_OK;
}

/* Columns by tabs, or by runs of blanks. */
static size_t split(const struct reading *r, struct nm_str *columns)
{
    const struct nm_lines *lines = &r->lines;
    if (memchr(lines->data, '\t', lines->len) != NULL)
        return nm_lines_split(lines, '\t', columns, COLUMNS_MAX);
    size_t n = 0;
    for (const char *at = lines->data, *end = at + lines->len; at < end && n < COLUMNS_MAX;) {
        size_t len = strcspn(at, " ");
        if (len > 0)
            columns[n++] = (struct nm_str){at, len};
        at += len + strspn(at + len, " ");
    }
    return n;
}

/* The document's id is the first column behind the mark that is no "-X-", "_" or "O", without brackets. */
static enum nm_err begin_document(struct reading *r, const char *columns)
{
    static const char blanks[] = " \t()";
    enum nm_err err = end_sentence(r);
    r->documents++;
    (void)snprintf(r->document, sizeof r->document, "document-%" PRIu64, r->documents);
    for (size_t len; columns += strspn(columns, blanks), (len = strcspn(columns, blanks)) > 0; columns += len) {
        if ((len == 1 && strchr("O_-", *columns) != NULL) || strncmp(columns, "-X-", len) == 0)
            continue;
        if (len < sizeof r->document)
            (void)snprintf(r->document, sizeof r->document, "%.*s", (int)len, columns);
        break;
    }
    return err;
}

static bool begins(const struct nm_lines *lines, const char *with)
{
    return strncmp(lines->data, with, strlen(with)) == 0;
}

static enum nm_err take_line(struct reading *r)
{
    static const char docstart[] = "-DOCSTART-", newdoc[] = "# newdoc id = ";
    const struct nm_lines *lines = &r->lines;
    struct nm_str columns[COLUMNS_MAX];
    if (strspn(lines->data, " \t") == lines->len)
        return end_sentence(r);
    if (begins(lines, docstart))
        return begin_document(r, lines->data + sizeof docstart - 1);
    if (begins(lines, newdoc))
        return begin_document(r, lines->data + sizeof newdoc - 1);
    if (begins(lines, "# ") && strstr(lines->data, " = ") != NULL && strchr(lines->data, '\t') == NULL)
        return NM_OK;
    size_t n = split(r, columns);
    uint64_t offset = 0;
    if (n > COLUMNS_MAX)
        return fail(r, lines->number, "begins a line of more than 64 columns", lines->data);
    while (n > 2 && columns[n - 1].len == 0) /* a tab too many at the end */
        n--;
    if (n < 2 || columns[n - 1].len == 0)
        return fail(r, lines->number, "has no tag behind it: a line needs a word and its tag", lines->data);
    if (columns[0].len == 0)
        return fail(r, lines->number, "begins with a tab: the word is missing", lines->data);
    bool known = n == 3 && nm_import_number(columns[1], &offset);
    if (r->offsets && !known)
        return fail(r, lines->number, "is no line of TDMSci: word, offset and tag, parted by tabs", lines->data);
    r->unknown = r->unknown || !known;
    return add_word(r, columns[0], columns[n - 1], offset);
}

static enum nm_err read_words(const struct nm_import *import, bool offsets, const struct nm_import_sink *sink)
{
    struct reading r = {.import = import, .sink = *sink, .offsets = offsets};
    nm_arena_init(&r.arena, 0);
    nm_tokens_init(&r.tokens);
    r.tokenizer = nm_tokenizer_new(NM_TOKENIZER_BIOMEDICAL);
    enum nm_err err = nm_lines_open(&r.lines, import->path, sink->diag);
    if (err == NM_OK && r.tokenizer == NULL)
        err = no_memory(&r);
    while (err == NM_OK && (err = nm_lines_next(&r.lines, sink->diag)) == NM_OK)
        err = take_line(&r);
    if (err == NM_ENOENT && r.lines.file != NULL)
        err = end_sentence(&r);
    for (size_t i = 0; i < r.n; i++) {
        free(r.words[i].text);
        free(r.words[i].tag);
    }
    free(r.words);
    nm_tokenizer_destroy(&r.tokenizer);
    nm_tokens_clean_up(&r.tokens);
    nm_lines_close(&r.lines);
    nm_arena_clean_up(&r.arena);
    return err;
}

enum nm_err nm_import_conll(const struct nm_import *import, nm_record_fn fn, void *ctx,
                            struct nm_record_counts *counts, struct nm_diag *diag)
{
    return read_words(import, false, &(struct nm_import_sink){fn, ctx, counts, diag});
}

enum nm_err nm_import_tdmsci(const struct nm_import *import, nm_record_fn fn, void *ctx,
                             struct nm_record_counts *counts, struct nm_diag *diag)
{
    return read_words(import, true, &(struct nm_import_sink){fn, ctx, counts, diag});
}
