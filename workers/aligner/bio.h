/* bio.h - an accepted text becomes a sample: tokens with BIO tags, mentions with character offsets, provenance.
 *
 * Every listed entity is labelled, asked for or not.  Where twins match the same tokens ("a-b" and "a - b" in the
 * lists) the one that the task asked for is taken, then the first.  One thread an object: it keeps work space.
 */
#ifndef NM_ALIGNER_BIO_H
#define NM_ALIGNER_BIO_H

#include "common/arena.h"
#include "common/err.h"
#include "schemas/entities.h"
#include "schemas/messages.h"

struct nm_bio;

/* nm_bio_new - entities is borrowed until nm_bio_destroy.  NM_EINVAL, NM_EFORMAT: an entity that can't be matched;
 * NM_ELIMIT, NM_ENOMEM.  diag names the entity. */
enum nm_err nm_bio_new(const struct nm_entities *entities, struct nm_bio **bio, struct nm_diag *diag);
void nm_bio_destroy(struct nm_bio **bio);

/* nm_bio_align - *sample from *align: its strings are borrowed from align, from bio and from arena.
 * *rule is "" or the short name of why it cannot be used ("empty": no token), *detail then a line for people.
 * NM_EFORMAT: the text is not UTF-8; NM_ENOMEM. */
enum nm_err nm_bio_align(struct nm_bio *bio, const struct nm_msg_align *align, struct nm_arena *arena,
                         struct nm_msg_sample *sample, const char **rule, const char **detail);

#endif
