#include "broker/coverage.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

struct nm_coverage {
    struct nm_coverage_goal goal;
    uint16_t *pending;                             /* (entities) open tasks that ask for it again */
    uint64_t *needy, *suspect, *short_, *given_up; /* (words) a bit an entity */
    uint64_t words;
    uint64_t n_needy, n_short, n_given_up;
    uint64_t cursor; /* where the next round goes on */
};

static bool get(const uint64_t *bits, uint64_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

/* Set a bit to value, and keep count. */
static void set(uint64_t *bits, uint64_t i, bool value, uint64_t *count)
{
    if (get(bits, i) == value)
        return;
    bits[i / 64] ^= (uint64_t)1 << (i % 64);
    *count += value ? 1 : (uint64_t)-1;
}

struct nm_coverage *nm_coverage_new(const struct nm_coverage_goal *goal)
{
    struct nm_coverage *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->goal = *goal;
    c->words = goal->entities / 64 + 1;
    c->pending = calloc(goal->entities + 1, sizeof *c->pending);
    c->needy = calloc(c->words, sizeof *c->needy);
    c->suspect = calloc(c->words, sizeof *c->suspect);
    c->short_ = calloc(c->words, sizeof *c->short_);
    c->given_up = calloc(c->words, sizeof *c->given_up);
    if (!c->pending || !c->needy || !c->suspect || !c->short_ || !c->given_up) {
        nm_coverage_destroy(&c);
        return NULL;
    }
    static const struct nm_coverage_facts nothing = {0};
    for (uint64_t i = 0; i < goal->entities; i++)
        nm_coverage_note(c, i, &nothing, 0);
    return c;
}

void nm_coverage_destroy(struct nm_coverage **coverage)
{
    struct nm_coverage *c = *coverage;
    *coverage = NULL;
    if (!c)
        return;
    free(c->pending);
    free(c->needy);
    free(c->suspect);
    free(c->short_);
    free(c->given_up);
    free(c);
}

void nm_coverage_note(struct nm_coverage *c, uint64_t entity, const struct nm_coverage_facts *facts, int pending)
{
    assert(entity < c->goal.entities);
    uint16_t *asked = &c->pending[entity];
    if (pending > 0)
        *asked = (uint16_t)(*asked + (*asked < UINT16_MAX));
    else if (pending < 0)
        *asked = (uint16_t)(*asked - (*asked > 0));
    uint64_t ignored = 0;
    bool lacks = facts->accepted<c->goal.min_per_entity, suspect = facts->in_a_row> 0;
    bool given_up = lacks && facts->alone >= c->goal.give_up;
    bool enough = suspect ? *asked > 0 : facts->accepted + (uint64_t)*asked >= c->goal.min_per_entity;
    set(c->suspect, entity, suspect, &ignored);
    set(c->given_up, entity, given_up, &c->n_given_up);
    set(c->short_, entity, lacks && !given_up, &c->n_short);
    set(c->needy, entity, lacks && !given_up && !enough, &c->n_needy);
}

/* The first needy entity at or behind from and before end (with only_clean: that is not suspect); end: none. */
static uint64_t find(const struct nm_coverage *c, uint64_t from, uint64_t end, bool only_clean)
{
    for (uint64_t word = from / 64; word * 64 < end; word++) {
        uint64_t bits = c->needy[word] & (only_clean ? ~c->suspect[word] : UINT64_MAX);
        if (word == from / 64)
            bits &= UINT64_MAX << (from % 64);
        if (bits) {
            uint64_t found = word * 64 + (uint64_t)__builtin_ctzll(bits);
            return found < end ? found : end;
        }
    }
    return end;
}

uint32_t nm_coverage_next(struct nm_coverage *c, uint32_t max, uint64_t *out)
{
    uint64_t n = c->goal.entities;
    if (c->n_needy == 0 || max == 0)
        return 0;
    uint64_t first = find(c, c->cursor, n, false);
    if (first == n)
        first = find(c, 0, n, false);
    out[0] = first;
    c->cursor = first + 1 < n ? first + 1 : 0;
    if (get(c->suspect, first))
        return 1;
    uint32_t count = 1;
    uint64_t at = first + 1, end = n;
    while (count < max) {
        uint64_t next = at < end ? find(c, at, end, true) : end;
        if (next == end) {
            if (end != n || first == 0)
                break;
            at = 0; /* round to where it began */
            end = first;
            continue;
        }
        out[count++] = next;
        at = next + 1;
        c->cursor = at < n ? at : 0;
    }
    return count;
}

uint64_t nm_coverage_short(const struct nm_coverage *c)
{
    return c->n_short;
}

uint64_t nm_coverage_given_up(const struct nm_coverage *c)
{
    return c->n_given_up;
}

size_t nm_coverage_list_given_up(const struct nm_coverage *c, uint64_t *out, size_t max)
{
    size_t n = 0;
    for (uint64_t word = 0; word < c->words && n < max; word++)
        for (uint64_t bits = c->given_up[word]; bits && n < max; bits &= bits - 1)
            out[n++] = word * 64 + (uint64_t)__builtin_ctzll(bits);
    return n;
}
