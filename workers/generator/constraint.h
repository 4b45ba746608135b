/* constraint.h - what forces an answer into its form: which kind an endpoint honours, how it is asked for, and how
 * the sentence comes out of the answer again. */
#ifndef NM_GENERATOR_CONSTRAINT_H
#define NM_GENERATOR_CONSTRAINT_H

#include <stdbool.h>

#include "common/arena.h"
#include "schemas/project.h"
#include "workers/generator/grammar.h"
#include "workers/generator/pool.h"

/* nm_constraint_form - append the form of n sentences, as this kind writes it (response_format: one of each, on lines
 * of their own).  NM_EINVAL: this kind can't spell one of the terms (a quotation mark or a backslash inside a JSON
 * string), or is none. */
enum nm_err nm_constraint_form(enum nm_constraint kind, const struct nm_grammar_sentence *sentences, size_t n,
                               struct nm_buf *out);

/* nm_constraint_unwrap - the text in an answer of this kind, the line-th of lines sentences (0 of 0: the one):
 * response_format's is a JSON object with the one member "sentence", or with "sentence_1" and so on; all others are
 * the text themselves.  NM_EFORMAT: not such an object.  NM_ENOMEM. */
enum nm_err nm_constraint_unwrap(enum nm_constraint kind, uint64_t line, uint64_t lines, const char **text,
                                 size_t *len, struct nm_arena *arena);

/* nm_constraint_due - the kind to ask this task with: the endpoint's where the project wants it for this attempt. */
enum nm_constraint nm_constraint_due(const struct nm_project *project, const struct nm_endpoint *endpoint,
                                     bool last_try);

/* The canary: a form that permits one odd word finds out, kind after kind, which the endpoint honours; a server that
 * ignores what it does not know answers with other words.
 * nm_canary_body - append the request for the kind under trial.
 * nm_canary_read - take the answer (any body of status 200): canary is DONE, or DUE again with the next kind.
 * nm_canary_refused - the endpoint refuses this kind: on to the next. */
enum nm_err nm_canary_body(const struct nm_endpoint *endpoint, struct nm_buf *out);
enum nm_err nm_canary_read(struct nm_endpoint *endpoint, const char *body, size_t len, struct nm_diag *diag);
void nm_canary_refused(struct nm_endpoint *endpoint);

#endif
