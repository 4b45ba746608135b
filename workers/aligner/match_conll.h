/* match_conll.h - what the entity lists alone would tag: the yardstick beside a trained model. */
#ifndef NM_ALIGNER_MATCH_CONLL_H
#define NM_ALIGNER_MATCH_CONLL_H

#include <stdio.h>

#include "common/err.h"

/* nm_match_conll - read the CoNLL file at path (conll.h) and write "token TAB tag TAB dictionary tag" to out, a blank
 * line behind each sentence; the entities are those of the blob file (type TAB text a line).  A sentence's tokens are
 * joined by spaces and aligned like a generated text.  NM_ENOENT, NM_EAUTH, NM_EIO, NM_EFORMAT (file and line),
 * NM_ENOMEM. */
enum nm_err nm_match_conll(const char *blob, const char *path, FILE *out, struct nm_diag *diag);

#endif
