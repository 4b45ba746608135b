/* verify.h - the second look at a text: reading the list that a model gave, and comparing the two looks.
 *
 * Pure functions.  Any thread, one arena each.
 */
#ifndef NM_GENERATOR_VERIFY_H
#define NM_GENERATOR_VERIFY_H

#include <stdbool.h>

#include "schemas/messages.h"
#include "schemas/project.h"
#include "workers/generator/markup.h"

struct nm_verify_input {
    const char *const *types; /* (n_types) of the project */
    size_t n_types;
    const struct nm_entities *lists; /* what is listed counts as seen; NULL: nothing does */
    struct nm_str text;
    const struct nm_msg_span *first; /* (n_first) what the first look saw, by start, none over another */
    size_t n_first;
    struct nm_str answer;
};

struct nm_verify_result {
    bool readable;             /* the answer is a list, or says that there is none */
    struct nm_msg_span *spans; /* (n), by start, none over another: labelled where both agree, else masked */
    size_t n;
    size_t unsure_start, unsure_end; /* characters of the first masked one; equal: none is */
};

/* nm_verify - compare.  A mention counts as seen by both where start, end and type are the same; of the second look,
 * each place of what it lists does; what it lists and the text does not have is left out.  NM_ENOMEM. */
enum nm_err nm_verify(const struct nm_verify_input *in, struct nm_arena *arena, struct nm_verify_result *out);

#endif
