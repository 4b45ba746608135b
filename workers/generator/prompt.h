/* prompt.h - the messages sent to the model, made from a template.
 *
 * A template is UTF-8 text in parts, one a message, each begun by a line of its own: "%system" (at most once, first),
 * "%user" and "%assistant".  The last part is a %user; %user and %assistant pairs before it are examples, which
 * small models follow better than rules.  Inside a part:
 *
 *     {{name}}            the value
 *     {{#name}}...{{/name}}  only where the value is not empty
 *     {{^name}}...{{/name}}  only where it is empty
 *     {{! text }}         a comment
 *
 * Names:  terms       "aspirin" and "stroke"
 *         entities    "aspirin" (Chemical), "stroke" (Disease)
 *         negative    "yes" for a sentence that is to hold no entity, else empty
 *         types       the project's types: Chemical, Disease
 *         definitions one line a type that has a definition: "Chemical: drugs and other substances."
 *         domain style section   as the project and the task say
 *         words min_words max_words   "8 to 30", "8", "30"
 *         guidelines  as the project says
 *         markup      "yes" where the model is to mark its mentions
 *         decoy       a word that looks like an entity and is to stand there as none
 *         exemplars   "yes" where there are examples of the user's own
 *         count       how many sentences the call asks for, each in a request of its own; empty for one
 *         text        of a verification: the text to be looked at
 *         feedback    "yes" after a rejected attempt, else empty
 *         rule detail previous quote   of the rejected attempt: the rule's name, what was wrong, the text, the part
 * of it that the rule is about
 *
 * A line "%exemplars" stands for the user's own examples: for each of them the last %user part, filled in with what
 * the example holds, and its answer.
 *
 * White space at the ends of a part is cut, and three or more line ends become two.
 */
#ifndef NM_GENERATOR_PROMPT_H
#define NM_GENERATOR_PROMPT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/arena.h"
#include "common/err.h"
#include "common/hash.h"
#include "schemas/project.h"
#include "workers/generator/passage.h"

struct nm_prompt;

#define NM_PROMPT_MAX_BYTES (256 * 1024) /* of a template, and of a rendered part */

/* One entity to be asked for, or one type of the project with its definition (NULL: none). */
struct nm_prompt_pair {
    const char *text; /* entity, or type name */
    const char *note; /* type, or definition */
};

/* One example of the user's own, as if it had been asked for. */
struct nm_prompt_exemplar {
    const struct nm_prompt_pair *entities; /* (n) */
    size_t n;
    const char *text, *answer; /* the bare text; what the model is to write */
};

/* What a template can speak of; NULL strings are empty.  All borrowed for the call. */
struct nm_prompt_vars {
    const struct nm_prompt_pair *entities; /* (n_entities) */
    size_t n_entities;
    const struct nm_prompt_pair *types; /* (n_types) */
    size_t n_types;
    bool negative;
    const char *domain, *style, *section;
    size_t min_words, max_words;
    const char *guidelines, *decoy, *text;
    bool markup;
    size_t count;                               /* sentences of the call; 0, 1: one */
    const struct nm_prompt_exemplar *exemplars; /* (n_exemplars) */
    size_t n_exemplars;
    const char *rule, *detail, *previous, *quote; /* rule NULL or "": no feedback */
};

enum nm_prompt_role { NM_PROMPT_SYSTEM, NM_PROMPT_USER, NM_PROMPT_ASSISTANT };

struct nm_prompt_message {
    enum nm_prompt_role role;
    const char *text;                 /* in the arena, or the prompt's */
    const struct nm_passage *passage; /* the same where it is the prompt's, with what is known of it; else NULL */
};

struct nm_prompt_text {
    const struct nm_prompt_message
        *messages; /* (n), the last one is the user's; those that came out empty left out */
    size_t n;
    struct nm_hash128 hash; /* of every role and text: names the prompt in every record */
};

/* nm_prompt_role_name - "system", "user", "assistant". */
const char *nm_prompt_role_name(enum nm_prompt_role role);

/* nm_prompt_parse - compile a template; name stands for the file in messages.
 * NM_EFORMAT: an unknown name, an unclosed section, no %user part at the end, not UTF-8: diag has "name:line: ...".
 * NM_ELIMIT: too long.  NM_ENOMEM.
 */
enum nm_err nm_prompt_parse(const char *name, const char *text, size_t len, struct nm_prompt **prompt,
                            struct nm_diag *diag);

/* nm_prompt_load - the same from a file; NULL: the built-in template of that name. */
enum nm_err nm_prompt_load(const char *path, enum nm_builtin builtin, struct nm_prompt **prompt,
                           struct nm_diag *diag);
void nm_prompt_destroy(struct nm_prompt **prompt);

/* nm_prompt_settle - render once what is the same in many calls: the parts that name nothing but what a project says
 * (types, definitions, domain, guidelines, markup) and ask of few other values whether they are there.  project:
 * those values, which every later rendering has to have; the others in it don't count.  NM_ENOMEM. */
enum nm_err nm_prompt_settle(struct nm_prompt *prompt, const struct nm_prompt_vars *project);

/* nm_prompt_render - all messages of one call.  NM_ENOMEM, NM_ELIMIT.  Threads: any, one arena each. */
enum nm_err nm_prompt_render(const struct nm_prompt *prompt, const struct nm_prompt_vars *vars,
                             struct nm_arena *arena, struct nm_prompt_text *out);

/* nm_prompt_merge - the messages of one call for n sentences, out of those for each: what they ask is numbered, and
 * so are the examples (the first one's) with their answers; each answer is a line.  NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_prompt_merge(const struct nm_prompt_text *texts, size_t n, struct nm_arena *arena,
                            struct nm_prompt_text *out);

/* nm_prompt_shorten - leave the system message and the last one: the examples between them may be done without.
 * NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_prompt_shorten(struct nm_prompt_text *text, struct nm_arena *arena);

/* nm_prompt_builtin - the template used where the project names none; nm_prompt_verification - of the second look. */
const char *nm_prompt_builtin(enum nm_builtin builtin);
const char *nm_prompt_verification(void);

#endif
