/* exemplars.h - few-shot examples out of a small gold CoNLL file: natural text again, with its mentions.
 *
 * Read-only after loading, so any thread.
 */
#ifndef NM_GENERATOR_EXEMPLARS_H
#define NM_GENERATOR_EXEMPLARS_H

#include "common/arena.h"
#include "schemas/project.h"
#include "workers/generator/prompt.h"

struct nm_exemplars;

/* What an example answers. */
enum nm_exemplar_form {
    NM_EXEMPLAR_PLAIN,  /* the text */
    NM_EXEMPLAR_MARKED, /* the text, [[mention|TYPE]] in it */
    NM_EXEMPLAR_LISTED  /* a line "TYPE: mention" for each; or "none" */
};

/* nm_exemplars_parse - sentences of 4 to 60 tokens; name stands for the file in messages.  NM_EFORMAT: not CoNLL, a
 * type that is not the project's, or no such sentence: file and line in diag.  NM_ENOMEM. */
enum nm_err nm_exemplars_parse(const struct nm_project *project, const char *name, const char *data, size_t len,
                               struct nm_exemplars **exemplars, struct nm_diag *diag);
void nm_exemplars_destroy(struct nm_exemplars **exemplars);

/* nm_exemplars_draw - count of them, or all there are, by the seed alone.  NM_ENOMEM. */
enum nm_err nm_exemplars_draw(const struct nm_exemplars *exemplars, uint64_t seed, size_t count,
                              enum nm_exemplar_form form, struct nm_arena *arena,
                              const struct nm_prompt_exemplar **drawn, size_t *n);

#endif
