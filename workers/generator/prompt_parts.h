/* prompt_parts.h - a compiled template, as prompt_parse.c makes and prompt.c renders it.  Internal. */
#ifndef NM_GENERATOR_PROMPT_PARTS_H
#define NM_GENERATOR_PROMPT_PARTS_H

#include "workers/generator/prompt.h"

enum value {
    V_TERMS,
    V_ENTITIES,
    V_NEGATIVE,
    V_TYPES,
    V_DEFINITIONS,
    V_DOMAIN,
    V_STYLE,
    V_SECTION,
    V_WORDS,
    V_MIN_WORDS,
    V_MAX_WORDS,
    V_FEEDBACK,
    V_RULE,
    V_DETAIL,
    V_PREVIOUS,
    V_QUOTE,
    V_GUIDELINES,
    V_MARKUP,
    V_DECOY,
    V_EXEMPLARS,
    V_SENTENCES,
    V_TEXT,
    V_COUNT
};

enum op_kind { OP_TEXT, OP_VALUE, OP_IF, OP_UNLESS, OP_END };

struct op {
    enum op_kind kind;
    enum value value;
    const char *text; /* OP_TEXT: points into the prompt's copy of the template */
    size_t len;
    size_t jump; /* OP_IF, OP_UNLESS: index of its OP_END */
    size_t line;
};

enum { PARTS_MAX = 64 };

/* A part that needs not be rendered for each call: one text for each answer to what it asks of the call's values. */
enum { ASKED_MAX = 4 };

struct settled {
    const struct nm_passage *texts; /* (1 << n_asked); NULL: it is rendered.  Bit i of the index: asked[i] is there */
    enum value asked[ASKED_MAX];
    size_t n_asked;
};

struct part {
    enum nm_prompt_role role;
    bool exemplars; /* the place of the user's own, and nothing else */
    struct op *ops;
    size_t n, cap;
    struct settled settled;
};

struct nm_prompt {
    char *copy;
    struct nm_arena arena; /* of what is settled */
    struct part parts[PARTS_MAX];
    size_t n_parts;
};

/* prompt.c: nm_prompt_name - set its hash, of all that it says. */
enum nm_err nm_prompt_name(struct nm_prompt_text *text);

#endif
