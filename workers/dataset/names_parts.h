/* names_parts.h - what the files of names.h share; for nobody else. */
#ifndef NM_DATASET_NAMES_PARTS_H
#define NM_DATASET_NAMES_PARTS_H

#include "common/arena.h"
#include "workers/dataset/heldout.h"
#include "workers/dataset/names.h"
#include "workers/dataset/tally.h"

/* A spelling of one type, as often as it is mentioned. */
struct name_form {
    const char *text, *key; /* key: the folded forms of its words, by which spellings are of one name */
    size_t len;
    size_t type;
    uint64_t count;
    bool cased; /* by the matcher's rule */
    bool brief; /* three characters at most: each spelling is a name */
};

/* A name of several types, and what became of it. */
struct name_clash {
    const char *text;       /* its most frequent spelling */
    const uint64_t *counts; /* (types) */
    size_t type;            /* n_types: left out */
};

struct name_type {
    const char *name;
    uint64_t mentions;
    bool listed;
};

struct nm_names {
    const struct nm_names_options *options; /* while it is made */
    struct nm_arena arena;
    struct nm_heldout *heldout;
    struct nm_record_counts counts;
    struct name_type *types;
    size_t n_types, types_cap;
    struct nm_tally known; /* hash of type and text: the form's number, from 1 */
    struct name_form *forms;
    size_t n_forms, forms_cap;
    uint64_t unlistable; /* mentions that no list can hold: over 512 bytes, with '#' in front, of no word */
    uint64_t folded;     /* spellings that went into another one's name */
    struct name_clash *clashes;
    size_t n_clashes, clashes_cap;
    struct nm_name *v;
    size_t n, cap;
    /* copies of options, for the report */
    const char *source;
    uint64_t budget, seed;
    bool hygiene;
};

enum { NAME_BANDS = 5 };
/* name_band - by how often a name is mentioned: 1, 2-3, 4-7, 8-15, more. */
size_t name_band(uint64_t mentions);

enum nm_err names_fold(struct nm_names *names);                        /* forms into names; NM_ENOMEM */
enum nm_err names_check(struct nm_names *names, struct nm_diag *diag); /* reads the corpus again, for faults */
enum nm_err names_draw(struct nm_names *names);                        /* NM_ENOMEM */

#endif
