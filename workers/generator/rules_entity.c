/* rules_entity.c - looks at what was asked for: entities, their marks, and the words that are none. */
#include <string.h>

#include "workers/generator/clean.h"
#include "workers/generator/rules.h"

static bool overlaps(const struct nm_check *check, size_t start, size_t end)
{
    for (size_t i = 0; i < check->ntaken; i++)
        if (start < check->taken[i].end && check->taken[i].start < end)
            return true;
    return false;
}

/* Take the first free place of the entity; false with the rule that says how near it came. */
static bool take(struct nm_check *check, const struct nm_text *entity, size_t index, enum nm_rule *rule)
{
    bool fold = !nm_text_case_matters(entity);
    *rule = NM_RULE_ENTITY_MISSING;
    for (size_t at = nm_text_find(&check->text, 0, entity, true); at != NM_TEXT_NONE;
         at = nm_text_find(&check->text, at + 1, entity, true)) {
        size_t end = at + entity->n;
        if (overlaps(check, at, end))
            continue;
        bool bounded = nm_text_bounded(&check->text, at, end);
        bool cased = fold || memcmp(check->text.cp + at, entity->cp, entity->n * sizeof *entity->cp) == 0;
        if (bounded && cased) {
            check->taken[check->ntaken++] = (struct nm_taken){at, end, index};
            return true;
        }
        if (bounded)
            *rule = NM_RULE_ENTITY_CASE;
        else if (cased && *rule == NM_RULE_ENTITY_MISSING)
            *rule = NM_RULE_ENTITY_BOUNDARY;
    }
    return false;
}

/* Longest first, each its own place: "pain" is not found inside a requested "abdominal pain". */
enum nm_err nm_check_take(struct nm_check *check, struct nm_arena *arena)
{
    struct nm_text entity[NM_VALIDATE_MAX_ENTITIES];
    size_t order[NM_VALIDATE_MAX_ENTITIES];
    const struct nm_validate_input *in = check->in;
    for (size_t i = 0; i < in->count; i++) {
        const char *s;
        size_t len;
        enum nm_err err = nm_text_nfc(in->entities[i], strlen(in->entities[i]), arena, &s, &len);
        if (err == NM_OK)
            err = nm_text_decode(s, len, arena, &entity[i]);
        if (err != NM_OK)
            return err;
        size_t k = i;
        for (; k > 0 && entity[order[k - 1]].n < entity[i].n; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    for (size_t k = 0; k < in->count; k++) {
        enum nm_rule rule;
        bool known = check->missing != NM_RULE_NONE;
        if (take(check, &entity[order[k]], order[k], &rule) || known || (check->off & nm_rule_bit(rule)) != 0)
            continue;
        check->missing = rule;
        check->missing_entity = in->entities[order[k]];
    }
    return NM_OK;
}

bool nm_check_entities(struct nm_check *check)
{
    const char *entity = check->missing_entity;
    switch (check->missing) {
    case NM_RULE_NONE:
        return true;
    case NM_RULE_ENTITY_CASE:
        return nm_check_fail(check, check->missing, 0, 0, "the term \"%.150s\" has to keep its capital letters",
                             entity);
    case NM_RULE_ENTITY_BOUNDARY:
        return nm_check_fail(check, check->missing, 0, 0,
                             "the term \"%.150s\" has to stand as a word of its own, not inside a longer word",
                             entity);
    default:
        return nm_check_fail(check, NM_RULE_ENTITY_MISSING, 0, 0, "the term \"%.150s\" is missing: use it exactly",
                             entity);
    }
}

/* The mark that covers glyphs [start,end); NULL: none does. */
static const struct nm_mark *mark_over(const struct nm_check *check, size_t start, size_t end)
{
    const size_t *off = check->text.off;
    for (size_t i = 0; i < check->out->n_marks; i++) {
        const struct nm_mark *mark = &check->out->marks[i];
        if (mark->start <= off[start] && mark->end >= off[end])
            return mark;
    }
    return NULL;
}

/* Marks begin and end where tokens do. */
bool nm_check_marks(struct nm_check *check)
{
    for (size_t i = 0; i < check->out->n_marks; i++) {
        const struct nm_mark *mark = &check->out->marks[i];
        size_t start = nm_text_glyph(&check->text, mark->start), end = nm_text_glyph(&check->text, mark->end);
        if (!nm_text_bounded(&check->text, start, end))
            return nm_check_fail(check, NM_RULE_MARKUP, start, end, "the mark around \"%.*s\" cuts a word in two",
                                 (int)(mark->end - mark->start), check->text.s + mark->start);
    }
    return true;
}

/* Every requested entity is marked, as what it is; a longer mention around it may be of any type. */
bool nm_check_marked(struct nm_check *check)
{
    const struct nm_validate_input *in = check->in;
    for (size_t i = 0; i < check->ntaken && in->n_types > 0; i++) {
        const struct nm_taken *taken = &check->taken[i];
        const struct nm_mark *mark = mark_over(check, taken->start, taken->end);
        const char *entity = in->entities[taken->entity], *type = in->types[in->entity_types[taken->entity]];
        bool same =
            mark != NULL && mark->end - mark->start == check->text.off[taken->end] - check->text.off[taken->start];
        bool ok =
            mark == NULL
                ? nm_check_fail(check, NM_RULE_MARKUP_MISSING, taken->start, taken->end,
                                "the term \"%.100s\" is not marked: write [[%.100s|%.60s]]", entity, entity, type)
            : same && mark->type != in->entity_types[taken->entity]
                ? nm_check_fail(check, NM_RULE_MARKUP_TYPE, taken->start, taken->end,
                                "the term \"%.100s\" is a %.60s, not a %.60s", entity, type, in->types[mark->type])
                : true;
        if (!ok)
            return false;
    }
    return true;
}

/* The words that look like entities stand as words of their own, outside of any mark. */
bool nm_check_decoys(struct nm_check *check)
{
    for (size_t i = 0; i < check->in->n_decoys; i++) {
        const char *decoy = check->in->decoys[i];
        size_t len = strlen(decoy), at = nm_text_find_ascii(&check->text, 0, decoy);
        while (at != NM_TEXT_NONE &&
               (!nm_text_bounded(&check->text, at, at + len) || mark_over(check, at, at + len) != NULL))
            at = nm_text_find_ascii(&check->text, at + 1, decoy);
        if (at == NM_TEXT_NONE)
            return nm_check_fail(check, NM_RULE_DECOY_MISSING, 0, 0,
                                 "the word \"%.150s\" is missing, in its everyday sense", decoy);
    }
    return true;
}

enum nm_err nm_check_keep_places(const struct nm_check *check, struct nm_arena *arena)
{
    struct nm_place *places = nm_arena_alloc(arena, (check->ntaken + 1) * sizeof *places);
    if (places == NULL)
        return NM_ENOMEM;
    const size_t *off = check->text.off;
    for (size_t i = 0; i < check->ntaken; i++) {
        const struct nm_taken *taken = &check->taken[i];
        places[i] = (struct nm_place){taken->entity, off[taken->start], off[taken->end] - off[taken->start]};
    }
    check->out->places = places;
    check->out->n_places = check->ntaken;
    return NM_OK;
}
