/* entities.h - the example entities of a project: read from lists, checked, and sent to workers as one blob.
 *
 * A list is UTF-8 text, one entity a line; blank lines and lines that begin with '#' are skipped; white space around
 * an entity is cut and runs of it inside become one space.  The text is NFC.  An entity that stands twice in a type
 * counts once; one that stands in two types (compared by lower case) is an error that names both places, unless the
 * set takes such.
 */
#ifndef NM_SCHEMAS_ENTITIES_H
#define NM_SCHEMAS_ENTITIES_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct nm_entities;

struct nm_entity {
    const char *text; /* NUL-terminated, owned by the set */
    uint32_t len;
    uint32_t type; /* index into the types */
};

/* nm_entities_new - an empty set.  NULL: out of memory. */
struct nm_entities *nm_entities_new(void);
void nm_entities_destroy(struct nm_entities **entities);

/* nm_entities_take_two_types - from now on an entity may stand in several types: it is one entity in each. */
void nm_entities_take_two_types(struct nm_entities *entities);

/* nm_entities_load - add the list at path as the given type.
 * NM_ENOENT, NM_EAUTH, NM_EIO: the file; NM_EFORMAT: not UTF-8, an entity too long, an empty list, an entity of
 * two types; every message names path and line. */
enum nm_err nm_entities_load(struct nm_entities *entities, const char *type, const char *path, struct nm_diag *diag);

/* The blob form: one line "type TAB text" an entity, in index order. */
enum nm_err nm_entities_to_blob(const struct nm_entities *entities, struct nm_buf *out);
enum nm_err nm_entities_from_blob(struct nm_entities *entities, const char *data, size_t len, struct nm_diag *diag);

/* nm_entities_normal - the text of an entity as a set keeps it, in place of what out held: white space cut at both
 * ends and single inside, NFC.  NM_EFORMAT: not UTF-8; NM_ELIMIT: too long for an entity; NM_ENOMEM. */
enum nm_err nm_entities_normal(const char *text, size_t len, struct nm_buf *out);

size_t nm_entities_count(const struct nm_entities *entities);
const struct nm_entity *nm_entities_get(const struct nm_entities *entities, size_t index);
/* nm_entities_find - the entity of that type (NM_ENTITIES_ANY: of any) whose text is the same but for its case;
 * NM_ENTITIES_NONE: there is none.  Any thread, once the set is full. */
#define NM_ENTITIES_NONE ((size_t)-1)
#define NM_ENTITIES_ANY ((size_t)-1)
size_t nm_entities_find(const struct nm_entities *entities, size_t type, const char *text, size_t len);

size_t nm_entities_type_count(const struct nm_entities *entities);
const char *nm_entities_type_name(const struct nm_entities *entities, size_t type);
/* nm_entities_type_find - the index of the type of that name; NM_ENTITIES_NONE: there is none. */
size_t nm_entities_type_find(const struct nm_entities *entities, const char *name, size_t len);
size_t nm_entities_duplicates(const struct nm_entities *entities); /* lines that repeated an entity of their type */

#endif
