/* project_form.h - the form of project.yaml for those who read a project as a part of another file, or change one.
 * Internal to the modules that own libcyaml.
 */
#ifndef NM_SCHEMAS_PROJECT_FORM_H
#define NM_SCHEMAS_PROJECT_FORM_H

#include "common/buf.h"
#include "schemas/project_yaml.h"
#include "schemas/yaml_load.h"

/* Of a pointer to struct raw_project; entities and endpoints, which a whole project must have, may lack. */
extern const cyaml_schema_value_t nm_project_form;
extern const cyaml_schema_field_t nm_project_fields[];

/* raw_project_write - append it as YAML: the same text for the same values.  NM_ENOMEM, NM_ELIMIT. */
enum nm_err raw_project_write(const struct raw_project *raw, struct nm_buf *out);

/* raw_project_copy - a deep one.  NM_ENOMEM. */
enum nm_err raw_project_copy(const struct raw_project *raw, struct raw_project **copy);

/* raw_project_merge - every value that patch has takes the place of project's, key by key; a list as a whole.  What
 * was there before is patch's afterwards. */
void raw_project_merge(struct raw_project *project, struct raw_project *patch);

/* raw_project_remove - the key at path ("denoise", "generation.words") as if the file did not say it.  false: a
 * project has no such key. */
bool raw_project_remove(struct raw_project *project, const char *path);

/* raw_project_each_text - fn for every text that the project says, with its key ("generation.exemplars.file"), until
 * it fails. */
typedef enum nm_err (*raw_text_fn)(void *ctx, const char *key, const char *text);
enum nm_err raw_project_each_text(const struct raw_project *project, raw_text_fn fn, void *ctx);

#endif
