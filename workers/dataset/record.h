/* record.h - one sentence of a data set, wherever it came from: a run's store, our JSON lines, a corpus.
 *
 * The sample is what the aligners make too: text, tokens with BIO tags, mentions; byte offsets.  A masked token's
 * tag is "-", a masked mention's type is empty.  Everything lives in the arena of whoever made the record.
 */
#ifndef NM_DATASET_RECORD_H
#define NM_DATASET_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"
#include "schemas/messages.h"

struct nm_record {
    struct nm_msg_sample sample; /* task: its number in the data set */
    struct nm_str document;      /* what it is a part of; empty: of nothing */
    struct nm_str source;        /* "file:line" of an imported one */
};

/* What becomes of a record: fn is called for each, in order; record lasts until it returns. */
typedef enum nm_err (*nm_record_fn)(void *ctx, const struct nm_record *record, struct nm_diag *diag);

/* What had to be decided while spans became tags. */
struct nm_record_counts {
    uint64_t records, mentions, masked;
    uint64_t cut;         /* spans that begin or end inside a token: masked */
    uint64_t overlapping; /* spans over a longer or an earlier one: left out */
};

bool nm_mention_masked(const struct nm_msg_mention *mention);

struct nm_tagged_word {
    struct nm_str text, tag;
};

/* nm_record_from_words - one record of n words and their tags, in any of the schemes BIO (IOB2), IOB1, IOBES and
 * BILOU: a mention begins at B, S or U, and at any other letter that no open mention of its type stands before; it
 * ends behind E, L, S and U.  gaps: how many blanks stand before each word (NULL: one).  *bad: the word that an
 * error is about.  NM_EFORMAT: a tag of no such scheme; NM_ENOMEM. */
enum nm_err nm_record_from_words(struct nm_arena *arena, const struct nm_tagged_word *words, size_t n,
                                 const uint32_t *gaps, struct nm_record *record, size_t *bad);

/* A span of text, in bytes; an empty type: masked. */
struct nm_text_span {
    uint64_t start, end;
    struct nm_str type;
    bool requested;
    uint64_t index;     /* NM_NO_INDEX: on no list */
    struct nm_str note; /* as in a sample's mention */
};

/* nm_record_from_spans - the text tokenised, the spans (which are sorted) as mentions and tags.  Of two that overlap
 * the longer one is taken, then the first; one that cuts a token is masked.  counts: added to.  NM_EFORMAT: a span
 * outside of the text or empty, or text that is not UTF-8; NM_ENOMEM. */
enum nm_err nm_record_from_spans(struct nm_arena *arena, struct nm_str text, struct nm_text_span *spans, size_t n,
                                 struct nm_record *record, struct nm_record_counts *counts);

/* nm_record_mark - the mentions that the record's tags tell of.  NM_EFORMAT: a tag that is none; NM_ENOMEM. */
enum nm_err nm_record_mark(struct nm_arena *arena, struct nm_record *record, size_t *bad);

/* nm_record_tag - the tokens' tags anew, as BIO, from the mentions: both in order, mentions on token boundaries.
 * NM_ENOMEM. */
enum nm_err nm_record_tag(struct nm_arena *arena, struct nm_msg_sample *sample);

/* nm_record_copy - all of it, into the arena.  NM_ENOMEM. */
enum nm_err nm_record_copy(struct nm_arena *arena, const struct nm_record *from, struct nm_record *to);

/* nm_points_to_bytes - a table of n_points + 1 byte offsets of text's code points.  NULL: out of memory. */
uint64_t *nm_points_to_bytes(struct nm_arena *arena, struct nm_str text, size_t *n_points);

#endif
