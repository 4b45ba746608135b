/* validate.h - is this model output a sentence we can label?  A pure function.
 *
 * The output is first cleaned (NFC, zero-width characters dropped, white space collapsed, typographic hyphens
 * and apostrophes inside words made plain, quotes around the whole taken off); everything else stays as the
 * model wrote it.  Then the rules below run in the order of the enum and the first that fails is the verdict.
 */
#ifndef NM_GENERATOR_VALIDATE_H
#define NM_GENERATOR_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"
#include "schemas/leakage.h"
#include "schemas/project.h"
#include "workers/generator/markup.h"
#include "workers/generator/wording.h"

/* In the order of checking; names (nm_rule_name) are stored in ledgers and never change. */
enum nm_rule {
    NM_RULE_NONE = 0,        /* accepted */
    NM_RULE_UTF8,            /* not UTF-8 */
    NM_RULE_FINISH,          /* stopped by the token limit or a content filter */
    NM_RULE_JSON,            /* not the JSON object that a constraint asked for */
    NM_RULE_LINE,            /* of several sentences in one answer, this one is not there */
    NM_RULE_CONTROL,         /* control characters */
    NM_RULE_EMPTY,           /* nothing there */
    NM_RULE_CODE_FENCE,      /* ``` */
    NM_RULE_REFUSAL,         /* "I'm sorry, but I cannot ..." */
    NM_RULE_SLOT,            /* a template slot or chat token left in: [entity], {{x}}, <|im_end|> */
    NM_RULE_META,            /* talk about the sentence instead of the sentence */
    NM_RULE_LIST,            /* numbering or bullet */
    NM_RULE_MARKDOWN,        /* emphasis, headings, links, HTML tags */
    NM_RULE_QUOTES,          /* opens or ends with a quote that has no partner */
    NM_RULE_PARAGRAPHS,      /* more than one line */
    NM_RULE_SCRIPT,          /* letters of a script that the prompt does not use */
    NM_RULE_REPETITION,      /* loops */
    NM_RULE_ECHO,            /* a run of the prompt's own words */
    NM_RULE_ENTITY_MISSING,  /* a requested entity is not there */
    NM_RULE_ENTITY_CASE,     /* ... is there in another case, and case matters */
    NM_RULE_ENTITY_BOUNDARY, /* ... is there only as a part of a longer word */
    NM_RULE_MARKUP,          /* marks that are open, nested, empty, or cut a word */
    NM_RULE_MARKUP_TYPE,     /* ... of a type that there is not, or that the entity is not */
    NM_RULE_MARKUP_MISSING,  /* a requested entity is not marked */
    NM_RULE_DECOY_MISSING,   /* a word that only looks like an entity is not there */
    NM_RULE_TOO_SHORT,       /* fewer words than the minimum */
    NM_RULE_TOO_LONG,        /* more words than the maximum, or more bytes than we read */
    NM_RULE_SENTENCES,       /* more sentences than allowed */
    NM_RULE_TRUNCATED,       /* no final punctuation, or begins in mid-sentence */
    NM_RULE_LEAKAGE,         /* repeats a test sentence; can't be switched off but by naming no test set */
    NM_RULE_COUNT
};

#define NM_VALIDATE_MAX_BYTES 16384 /* longer output is NM_RULE_TOO_LONG unseen */
#define NM_VALIDATE_MAX_ENTITIES 64

struct nm_validate_input {
    const char *const *entities; /* (count) as listed, UTF-8; none for a sentence without entities */
    size_t count;
    const char *const *types; /* (n_types) of the project, in markup mode; else none */
    size_t n_types;
    const size_t *entity_types; /* (count) in markup mode: the types of the entities */
    const char *const *decoys;  /* (n_decoys) lower-case ASCII words that are to stand there, as no entity */
    size_t n_decoys;
    size_t min_words, max_words;                /* 0: no limit */
    const struct nm_project_validation *limits; /* NULL: the defaults */
    bool every;                                 /* look on after the first rule that fails */
    const struct nm_wording *prompt;            /* what must not be echoed: without the corrective part; or NULL */
    const char *raw;                            /* the model's output */
    size_t raw_len;
    bool malformed;                   /* it was to be a JSON object around the sentence, and is none */
    bool missing;                     /* it was to be one line of several, and is not there */
    const char *finish_reason;        /* as the endpoint said it; or NULL */
    const struct nm_leakage *leakage; /* test sentences that must not be repeated; NULL: none */
};

/* Where a requested entity stands in the cleaned text, in bytes. */
struct nm_place {
    size_t entity, start, len;
};

struct nm_verdict {
    bool accepted;
    enum nm_rule rule;
    uint64_t failed;             /* nm_rule_bit of each rule that failed: the first one, or with every all of them */
    size_t span_start, span_len; /* bytes of text (of raw for NM_RULE_UTF8) that the rule is about; may be 0 */
    const char *text; /* cleaned, without marks (where those can be read), NUL-terminated, in the arena; "" where it
                         could not be cleaned */
    size_t text_len;
    const struct nm_place *places; /* (n_places), in the arena: the requested entities that were found */
    size_t n_places;
    const struct nm_mark *marks; /* (n_marks), in the arena, in markup mode */
    size_t n_marks;
    char detail[256]; /* what was wrong, said to the model: "the term \"x\" is missing" */
};

/* nm_validate - fill *out.  A rejected output is NM_OK with accepted == false.
 * NM_ENOMEM: the arena is full.  NM_ELIMIT: more than NM_VALIDATE_MAX_ENTITIES.  NM_EFORMAT: an entity
 * is not UTF-8.  Threads: any, one arena each.
 */
enum nm_err nm_validate(const struct nm_validate_input *in, struct nm_arena *arena, struct nm_verdict *out);

static inline uint64_t nm_rule_bit(enum nm_rule rule)
{
    return (uint64_t)1 << rule;
}

/* nm_rule_name - "entity_missing"; "none" for NM_RULE_NONE; never NULL. */
const char *nm_rule_name(enum nm_rule rule);

#endif
