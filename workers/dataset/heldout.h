/* heldout.h - text that has to stay unseen: the test part, against which every other corpus that is read can be held.
 *
 * A sentence is known by the hash of its words (schemas/folded.h), so neither the form of a file nor the way in which
 * it is tokenised hides it.  Sentences of fewer than five words stand in many texts and are not counted.
 */
#ifndef NM_DATASET_HELDOUT_H
#define NM_DATASET_HELDOUT_H

#include "workers/dataset/import.h"

struct nm_heldout;

/* nm_heldout_new - knows no text.  NULL: out of memory. */
struct nm_heldout *nm_heldout_new(void);
void nm_heldout_destroy(struct nm_heldout **heldout);

/* nm_heldout_add - every sentence of a file, in any form that nm_import_read tells apart; path is borrowed.  Its
 * errors. */
enum nm_err nm_heldout_add(struct nm_heldout *heldout, const char *path, struct nm_diag *diag);

/* nm_heldout_note - one sentence of the corpus that is read.  NM_EFORMAT, NM_ENOMEM. */
enum nm_err nm_heldout_note(struct nm_heldout *heldout, struct nm_str text, struct nm_diag *diag);

/* nm_heldout_check - behind the last sentence.  NM_EINVAL: the corpus named (for the message) is one of the files, or
 * holds a tenth of its sentences, or a tenth of its own stand there.  diag says which. */
enum nm_err nm_heldout_check(const struct nm_heldout *heldout, const char *corpus, struct nm_diag *diag);

/* nm_heldout_content - a hash of all sentences noted so far, in their order: the same for the same text in another
 * form.  nm_heldout_file - the i-th file that was added, and its hash; NULL: there are no more. */
uint64_t nm_heldout_content(const struct nm_heldout *heldout);
const char *nm_heldout_file(const struct nm_heldout *heldout, size_t i, uint64_t *content);

#endif
