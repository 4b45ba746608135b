/* score.h - strict entity-level F1 of a model, of plain dictionary matching and of any tagged file.
 *
 * The dictionary's tags come from workers/dataset/dictionary.h, the figures from nermill-trainer: one matcher and one
 * metric for everything.
 */
#ifndef NM_CLI_SCORE_H
#define NM_CLI_SCORE_H

#include "cli/process.h"
#include "common/buf.h"
#include "common/err.h"

struct nm_score {
    double precision, recall, f1;
};

/* nm_score_dictionary - match the entity lists of the project at PATH against the gold file; the trainer's JSON is
 * appended to json, its sums go to *score.  *code: exit code of what failed; 0 with an error: see diag. */
enum nm_err nm_score_dictionary(const char *project, const char *gold, struct nm_buf *json, struct nm_score *score,
                                int *code, struct nm_diag *diag);

/* nm_score_tagged - the same for a CoNLL file of gold's words with predicted tags. */
enum nm_err nm_score_tagged(const char *tagged, const char *gold, struct nm_buf *json, struct nm_score *score,
                            int *code, struct nm_diag *diag);

/* nm_score_model - the same for the model directory. */
enum nm_err nm_score_model(const char *model, const char *gold, struct nm_buf *json, struct nm_score *score,
                           int *code, struct nm_diag *diag);

#endif
