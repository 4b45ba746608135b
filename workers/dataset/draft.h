/* draft.h - a labelled sentence that is put together: pieces of another one, and pieces that are new.
 *
 * Pieces are put one behind the other.  Those of the source keep its tokens; new ones are cut by the tokenizer, each
 * by itself, and bring their own blanks.  The first error stays in err, and all that comes behind it does nothing.
 */
#ifndef NM_DATASET_DRAFT_H
#define NM_DATASET_DRAFT_H

#include "workers/aligner/tokenizer.h"
#include "workers/dataset/record.h"

struct nm_draft {
    const struct nm_tokenizer *tokenizer;
    struct nm_buf text;
    struct nm_tokens cut, tokens;    /* of a piece; of all */
    struct nm_msg_mention *mentions; /* (n_mentions) */
    size_t n_mentions, mentions_cap;
    const struct nm_msg_sample *source;
    size_t at;     /* its first token that is not there yet */
    uint64_t byte; /* and the byte */
    enum nm_err err;
};

/* nm_draft_init - tokenizer is borrowed. */
void nm_draft_init(struct nm_draft *draft, const struct nm_tokenizer *tokenizer);
void nm_draft_clean_up(struct nm_draft *draft);

/* nm_draft_begin - empty again, of that source, which stays until nm_draft_end. */
void nm_draft_begin(struct nm_draft *draft, const struct nm_msg_sample *source);

/* nm_draft_copy - the source's text and tokens up to byte end, unlabelled.  nm_draft_skip - leave them out.
 * nm_draft_keep - the source's text up to the mention, and the mention as it is. */
void nm_draft_copy(struct nm_draft *draft, uint64_t end);
void nm_draft_skip(struct nm_draft *draft, uint64_t end);
void nm_draft_keep(struct nm_draft *draft, const struct nm_msg_mention *mention);

/* nm_draft_add - new text, unlabelled.  nm_draft_name - new text that is a mention, of a type that stays until
 * nm_draft_end: no blanks at its ends. */
void nm_draft_add(struct nm_draft *draft, const char *text, size_t len);
void nm_draft_name(struct nm_draft *draft, const char *text, size_t len, struct nm_str type);

/* nm_draft_end - what is left of the source, and all of it with tags, into out: its text and mentions are the draft's
 * until the next begin, its tokens the arena's.  The draft's error, or NM_ENOMEM. */
enum nm_err nm_draft_end(struct nm_draft *draft, struct nm_arena *arena, struct nm_msg_sample *out);

#endif
