/* rules.h - the single looks that validate.c puts in order.  Internal to the generator. */
#ifndef NM_GENERATOR_RULES_H
#define NM_GENERATOR_RULES_H

#include "workers/generator/text.h"
#include "workers/generator/validate.h"

/* A place in the text taken by a requested entity, in glyphs. */
struct nm_taken {
    size_t start, end;
    size_t entity;
};

struct nm_check {
    const struct nm_validate_input *in;
    struct nm_text text;
    struct nm_wording prompt; /* empty where there is none */
    struct nm_taken taken[NM_VALIDATE_MAX_ENTITIES];
    size_t ntaken;
    enum nm_rule missing; /* of a requested entity that has no place */
    const char *missing_entity;
    const struct nm_project_validation *limits;
    uint64_t off; /* rules that reject nothing */
    struct nm_verdict *out;
};

/* nm_check_fail - the verdict, if it is the first: rule, glyphs [start,end), and the line said to the model.  Returns
 * false; true where the project has put that rule off. */
bool nm_check_fail(struct nm_check *check, enum nm_rule rule, size_t start, size_t end, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* nm_check_in_entity - true if the glyph belongs to a requested entity's mention. */
bool nm_check_in_entity(const struct nm_check *check, size_t glyph);

/* nm_check_take - a place for each requested entity.  NM_ENOMEM, NM_EFORMAT.  nm_check_keep_places - into the
 * verdict. */
enum nm_err nm_check_take(struct nm_check *check, struct nm_arena *arena);
enum nm_err nm_check_keep_places(const struct nm_check *check, struct nm_arena *arena);

/* Each: true if the text passes; otherwise the verdict is filled in. */
bool nm_check_code_fence(struct nm_check *check);
bool nm_check_refusal(struct nm_check *check);
bool nm_check_slot(struct nm_check *check);
bool nm_check_meta(struct nm_check *check);
bool nm_check_list(struct nm_check *check);
bool nm_check_markdown(struct nm_check *check);
bool nm_check_quotes(struct nm_check *check);
bool nm_check_paragraphs(struct nm_check *check);
bool nm_check_script(struct nm_check *check);
bool nm_check_repetition(struct nm_check *check);
bool nm_check_echo(struct nm_check *check);
bool nm_check_entities(struct nm_check *check);
bool nm_check_marks(struct nm_check *check);
bool nm_check_marked(struct nm_check *check);
bool nm_check_decoys(struct nm_check *check);
bool nm_check_words(struct nm_check *check);
bool nm_check_sentences(struct nm_check *check);
bool nm_check_truncated(struct nm_check *check);

#endif
