/* names.h - the names that a labelled corpus has for things: entity lists as a person would write them.
 *
 * A name is a mention's text in natural spelling, white space single, NFC.  Spellings that the matcher takes for the
 * same words but for their case are one name:
 *   - spellings for which case does not count, by the most frequent of them;
 *   - those all in capitals (over three characters) with them: the more frequent kind is the name ("lithium" has
 *     "LITHIUM", a heading's, "AIDS" has "Aids");
 *   - up to three characters each spelling is a name of its own ("Pb" and "PB" are two things).
 * Where all spellings together are of several types, the type of at least two thirds of the mentions is the name's;
 * if there is none, the name is left out.
 *
 * What is wrong with a name (enum nm_name_fault) is found in the corpus itself, by matching all names against it.
 *
 * A budget of K names is drawn by strata: of the types in proportion to their names, at least one each; of a type's
 * bands of frequency (mentioned once, 2-3, 4-7, 8-15, 16 times and more) as many of each while it lasts.  The K of a
 * seed are among the K + 1 of it.
 * Test: unit names.
 */
#ifndef NM_DATASET_NAMES_H
#define NM_DATASET_NAMES_H

#include "workers/dataset/import.h"

/* Why a name is no good example, or better not looked for. */
enum nm_name_fault {
    NM_NAME_GOOD,
    NM_NAME_NO_LETTER,  /* a number, a sign */
    NM_NAME_UNLABELLED, /* stands in the corpus more often without a label than with it */
    NM_NAME_WORD        /* its case counts, and in other case it is a word that does: "ALL", "NO", "CAN" */
};
const char *nm_name_fault_text(enum nm_name_fault fault); /* as in entities.json; "" for a good one */

struct nm_names_options {
    struct nm_import from; /* read twice, so "-" is refused */
    const char *const *unseen;
    size_t n_unseen; /* files that from must not be (heldout.h) */
    const char *const *types;
    size_t n_types;  /* to be listed; none: all */
    uint64_t budget; /* 0: all names */
    uint64_t seed;   /* of what is drawn */
    bool hygiene;    /* leave names with a fault out */
};

struct nm_name {
    const char *text; /* (len), NUL-terminated */
    size_t len;
    size_t type;
    uint64_t labelled;            /* mentions */
    uint64_t unlabelled;          /* matched where nothing has a label */
    uint64_t unlabelled_any_case; /* the same whatever its case */
    enum nm_name_fault fault;
    bool wanted; /* of a type that is listed, and without a fault if that counts */
    bool drawn;
};

struct nm_names;

/* nm_names_make - NM_EINVAL: from is one of the unseen files, or an option of it is wrong; NM_ENOENT: a type that it
 * does not have; NM_EFORMAT: nothing labelled in it; nm_import_read's errors. */
enum nm_err nm_names_make(const struct nm_names_options *options, struct nm_names **names, struct nm_diag *diag);
void nm_names_destroy(struct nm_names **names);

/* nm_names_write - dir/TYPE.txt, a drawn name a line, the most frequent first, and dir/entities.json, which says what
 * became of the others.  dir is made.  NM_EINVAL: two types would have one file. */
enum nm_err nm_names_write(const struct nm_names *names, const char *dir, struct nm_diag *diag);

/* nm_names_list - the names, by type and then by how often they are mentioned.  nm_names_type - a type's name. */
const struct nm_name *nm_names_list(const struct nm_names *names, size_t *n);
const char *nm_names_type(const struct nm_names *names, size_t type);

#endif
