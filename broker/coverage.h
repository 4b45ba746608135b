/* coverage.h - which entities have too few accepted texts, and which are asked for next.
 *
 * Pure: no disk, no clock; what each entity has had comes in with nm_coverage_note.  An entity is
 *
 *     short      it has fewer accepted texts than the goal, and is not given up
 *     suspect    its last answer was rejected: it is asked for alone, so that no other entity is blamed for it
 *     given up   as many answers in a row were rejected as the limit says, that were asked for with it alone
 *     needy      short, and not all that it lacks is asked for already (a suspect one: nothing is)
 *
 * The needy ones are taken in the order of their index, round after round: the same notes give the same order.
 * 2 bytes and 4 bits an entity.  One thread.
 */
#ifndef NM_BROKER_COVERAGE_H
#define NM_BROKER_COVERAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct nm_coverage_goal {
    uint64_t entities;
    uint32_t min_per_entity; /* accepted texts */
    uint32_t give_up;        /* rejected answers in a row, alone */
};

/* What an entity has had so far. */
struct nm_coverage_facts {
    uint32_t accepted;
    uint32_t in_a_row; /* answers rejected since the last accepted one */
    uint32_t alone;    /* of those, answers to tasks that asked for nothing else */
};

struct nm_coverage;

/* nm_coverage_new - every entity with nothing so far.  NULL: out of memory. */
struct nm_coverage *nm_coverage_new(const struct nm_coverage_goal *goal);
void nm_coverage_destroy(struct nm_coverage **coverage);

/* nm_coverage_note - what an entity has had changed, or the open tasks that ask for it again did, by pending. */
void nm_coverage_note(struct nm_coverage *coverage, uint64_t entity, const struct nm_coverage_facts *facts,
                      int pending);

/* nm_coverage_next - up to max distinct entities to ask for next, into out; returns how many, 0: none is needy.
 * They stay needy until they are noted as pending. */
uint32_t nm_coverage_next(struct nm_coverage *coverage, uint32_t max, uint64_t *out);

uint64_t nm_coverage_short(const struct nm_coverage *coverage);
uint64_t nm_coverage_given_up(const struct nm_coverage *coverage);

/* nm_coverage_list_given_up - the first max of them, by index; returns how many. */
size_t nm_coverage_list_given_up(const struct nm_coverage *coverage, uint64_t *out, size_t max);

#endif
