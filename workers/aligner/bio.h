/* bio.h - an accepted text becomes a sample: tokens with BIO tags, mentions with character offsets, provenance.
 *
 *     text -> words (tokenize.h) -> listed entities (matcher.h) \
 *          -> what the model told of                             > spans (spans.h) -> abbreviations -> tokens -> tags
 *
 * Offsets into the accepted text are the truth; the project's tokeniser comes last, and a span that cuts one of its
 * tokens is decided by the project's policy.  Entities are always matched on the words of tokenize.h, so that a match
 * never depends on the style of the tokens.  Where an entity is listed under several types, the one that the task
 * asked for is taken, then the one that the model told of, then the first of the project's prior, else it is masked.
 * One thread an object: it keeps work space.
 */
#ifndef NM_ALIGNER_BIO_H
#define NM_ALIGNER_BIO_H

#include "common/arena.h"
#include "common/err.h"
#include "schemas/entities.h"
#include "schemas/messages.h"
#include "schemas/project.h"
#include "workers/aligner/spans.h"
#include "workers/aligner/tokenizer.h"

struct nm_bio;

/* nm_bio_new - entities, alignment and tokenizer are borrowed until nm_bio_destroy.  alignment NULL: the lists as
 * they are and nothing else, a text of several types being of the first; tokenizer NULL: biomedical.  NM_EINVAL,
 * NM_EFORMAT: an entity that can't be matched; NM_ELIMIT, NM_ENOMEM.  diag names the entity. */
enum nm_err nm_bio_new(const struct nm_entities *entities, const struct nm_project_alignment *alignment,
                       const struct nm_tokenizer *tokenizer, struct nm_bio **bio, struct nm_diag *diag);
void nm_bio_destroy(struct nm_bio **bio);

/* nm_bio_align - *sample from *align: its strings are borrowed from align, from bio and from arena.
 * *rule is "" or the short name of why it cannot be used ("empty": no token; a note of spans.h whose policy is drop),
 * *detail then a line for people.  NM_EFORMAT: the text is not UTF-8, or a mention is outside of it; NM_ENOMEM. */
enum nm_err nm_bio_align(struct nm_bio *bio, const struct nm_msg_align *align, struct nm_arena *arena,
                         struct nm_msg_sample *sample, const char **rule, const char **detail);

/* nm_bio_counts - what was decided about the spans of the last text; valid until the next. */
const struct nm_verdict_counts *nm_bio_counts(const struct nm_bio *bio);

#endif
