/* passage.h - a text that stands in many prompts, with what every call wants of it: made once.
 *
 * Internal to the generator.  Threads: any may read.
 */
#ifndef NM_GENERATOR_PASSAGE_H
#define NM_GENERATOR_PASSAGE_H

#include "workers/generator/wording.h"

struct nm_passage {
    const char *text, *json; /* as it is; as a JSON string, quotes included */
    size_t json_len;
    struct nm_wording wording;
};

/* nm_passage_make - all of it in arena, but text, which is borrowed.  NM_EFORMAT: not UTF-8.  NM_ENOMEM. */
enum nm_err nm_passage_make(const char *text, struct nm_arena *arena, struct nm_passage *out);

#endif
