/* shapes.h - JSON shapes that the statistics and the desk's answers have in common. */
#ifndef NM_BROKER_SHAPES_H
#define NM_BROKER_SHAPES_H

#include <jansson.h>

#include "broker/broker_parts.h"

/* nm_shape_number - JSON's integers are signed: what is larger is the largest.  nm_shape_set - as a member. */
json_t *nm_shape_number(uint64_t n);
void nm_shape_set(json_t *object, const char *key, uint64_t n);

/* nm_shape_text - at most max bytes of text, cut between characters; bytes that are no UTF-8 become "". */
json_t *nm_shape_text(const char *text, size_t len, size_t max);

/* nm_shape_entity - its text and type. */
json_t *nm_shape_entity(const struct nm_broker *b, uint64_t entity);

/* nm_shape_failure - a call without an answer. */
json_t *nm_shape_failure(const char *kind, uint64_t status, const char *endpoint, const char *detail, int64_t at_ms);

#endif
