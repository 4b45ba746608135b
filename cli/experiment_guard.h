/* experiment_guard.h - no sentence of the test part comes into anything before the final evaluation.
 *
 * The test file is read once, for hashes of its sentences; what is kept of it are those alone.  A file counts as the
 * test part if it is the same file, has the same bytes, or holds one of its sentences of guard_words words and more,
 * compared by letters and digits alone, lower-cased: shorter ones ("METHODS :") are everybody's.
 */
#ifndef NM_CLI_EXPERIMENT_GUARD_H
#define NM_CLI_EXPERIMENT_GUARD_H

#include <stdbool.h>

#include "cli/experiment_corpus.h"

struct nm_guard;

/* nm_guard_new - of the test file; NULL: there is none, and nothing is refused.  File errors. */
enum nm_err nm_guard_new(const char *test, uint32_t words, struct nm_guard **guard, struct nm_diag *diag);
void nm_guard_destroy(struct nm_guard **guard);

/* nm_guard_hash - of the test file's bytes. */
const char *nm_guard_hash(const struct nm_guard *guard);

/* nm_guard_is_test - the same file or the same bytes.  A path that is not there is not. */
bool nm_guard_is_test(const struct nm_guard *guard, const char *path);

/* nm_guard_check_file - a file of any form.  NM_EAUTH: it is the test part, or holds a sentence of it; diag says as
 * what it was named, and that sentence's place.  A directory is an encoder: NM_EAUTH where nermill has trained it. */
enum nm_err nm_guard_check_file(const struct nm_guard *guard, const char *what, const char *path,
                                struct nm_diag *diag);

/* nm_guard_clean - take the test part's sentences out of the corpus at path; *dropped: how many.  NM_EAUTH: it is the
 * test file, or more than one in twenty of the test's sentences stand in it: that is no accident. */
enum nm_err nm_guard_clean(const struct nm_guard *guard, const char *what, const char *path,
                           struct nm_exp_corpus *corpus, size_t *dropped, struct nm_diag *diag);

#endif
