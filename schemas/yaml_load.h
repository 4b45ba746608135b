/* yaml_load.h - a YAML file into C structs by a libcyaml schema, its errors as one line with file and line number.
 * Internal to the modules that own libcyaml.
 */
#ifndef NM_SCHEMAS_YAML_LOAD_H
#define NM_SCHEMAS_YAML_LOAD_H

#include <cyaml/cyaml.h>
#include <stddef.h>

#include "common/err.h"

/* What fields of schemas are made of.  Every optional scalar is a pointer, NULL where the file does not say. */
#define REQUIRED CYAML_FLAG_POINTER
#define OPTIONAL (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define STRING(owner, member, flags) CYAML_FIELD_STRING_PTR(#member, flags, struct owner, member, 0, 4096)
#define UINT(owner, member) CYAML_FIELD_UINT_PTR(#member, OPTIONAL, struct owner, member)
#define BOOL(owner, member) CYAML_FIELD_BOOL_PTR(#member, OPTIONAL, struct owner, member)
#define FLOAT(owner, member) CYAML_FIELD_FLOAT_PTR(#member, OPTIONAL, struct owner, member)
#define MAPPING(owner, member, fields) CYAML_FIELD_MAPPING_PTR(#member, OPTIONAL, struct owner, member, fields)
#define LIST(owner, member, item, flags) CYAML_FIELD_SEQUENCE(#member, flags, struct owner, member, &(item), 1, 1000)

/* nm_yaml_load - *out: what form, a pointer to a mapping, describes; NULL: the file is empty.  NM_EFORMAT: bad YAML,
 * an unknown key (the nearest valid one is named), a missing key, a value of the wrong kind; diag begins with
 * "name:line:".  NM_ENOMEM. */
enum nm_err nm_yaml_load(const char *yaml, size_t len, const char *name, const cyaml_schema_value_t *form, void **out,
                         struct nm_diag *diag);
void nm_yaml_free(const cyaml_schema_value_t *form, void **data);

#endif
