/* project_check.h - values of a project.yaml, each held against its bounds: what project*.c share.  Internal.
 *
 * section is a top-level key (NULL: none), nth its item (0: it is no list), key the value's: they lead to the line
 * that an error names.  Only the first error is kept.  raw values are NULL where the file does not say.
 */
#ifndef NM_SCHEMAS_PROJECT_CHECK_H
#define NM_SCHEMAS_PROJECT_CHECK_H

#include "common/arena.h"
#include "schemas/project.h"
#include "schemas/project_yaml.h"

/* What a check needs to name its place. */
struct nm_checker {
    const char *name;
    const char *yaml;
    size_t len;
    struct nm_arena *arena;
    struct nm_diag *diag;
    enum nm_err err; /* the first one; later checks are skipped */
};

void nm_value_complain(struct nm_checker *c, const char *section, size_t nth, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* Strings, in the arena: as it is, or NULL; with a fallback; "" as good as absent; a list. */
char *nm_value_copy(struct nm_checker *c, const char *s);
char *nm_value_text(struct nm_checker *c, const char *s, const char *fallback);
char *nm_value_filled(struct nm_checker *c, const char *s);
char **nm_value_list(struct nm_checker *c, char **items, uint32_t n);

uint32_t nm_value_uint(struct nm_checker *c, const char *section, size_t nth, const char *key, const uint32_t *value,
                       uint32_t fallback, uint32_t low, uint32_t high);
double nm_value_float(struct nm_checker *c, const char *section, size_t nth, const char *key, const double *value,
                      double fallback, double low, double high);

/* The index in names. */
int nm_value_one_of(struct nm_checker *c, const char *section, size_t nth, const char *key, const char *value,
                    int fallback, const char *const *names, int n);

/* A {min, max} of the section generation. */
struct nm_range nm_value_range(struct nm_checker *c, const char *key, const struct raw_range *raw,
                               struct nm_range fallback, uint32_t low, uint32_t high);

/* project_generation.c: the sections that say how a text is made and judged. */
void nm_check_generation(struct nm_checker *c, const struct raw_generation *in, struct nm_project_generation *out);
void nm_check_validation(struct nm_checker *c, const struct raw_validation *in, struct nm_project_validation *out);
void nm_check_verification(struct nm_checker *c, const struct raw_verification *in, struct nm_project *p);

/* project_quality.c */
void nm_check_dedup(struct nm_checker *c, const struct raw_dedup *in, struct nm_project_dedup *out);
void nm_check_leakage(struct nm_checker *c, const struct raw_leakage *in, struct nm_project_leakage *out);
void nm_check_denoise(struct nm_checker *c, const struct raw_denoise *in, struct nm_project_denoise *out);

/* project_augmentation.c: project's generation has been read. */
void nm_check_augmentation(struct nm_checker *c, const struct raw_augmentation *in, struct nm_project *project);

/* project_trainer.c */
void nm_check_trainer(struct nm_checker *c, const struct raw_trainer *in, struct nm_project_trainer *out);

/* project_alignment.c: how texts become labelled tokens; project's lists have been read. */
void nm_check_alignment(struct nm_checker *c, const struct raw_alignment *in, struct nm_project *project);

#endif
