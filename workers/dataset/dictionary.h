/* dictionary.h - text tagged by entity lists, alone or together with what a tagger found in it.
 *
 * The matcher is the aligner's (matcher.h, with its case rule); of a name that stands in several lists the first one
 * counts.  It works on natural text, as far as blanks can be guessed where the corpus does not say where they were,
 * so lists in natural spelling match whatever the corpus's tokens are; a match that begins or ends inside a token is
 * that token's if the rest of it is punctuation ("(heart failure)," by blanks), else left out and counted.
 *
 * The union takes the spans of both.  Of spans that overlap, one stays: by NM_PREFER_LISTS and NM_PREFER_TAGGER what
 * that side says, then the longest; by NM_PREFER_LONGEST the longest, of equal ones the lists'.
 * Test: unit names, integration entities, fuzz dictionary.
 */
#ifndef NM_DATASET_DICTIONARY_H
#define NM_DATASET_DICTIONARY_H

#include "schemas/entities.h"
#include "workers/dataset/import.h"

enum nm_prefer { NM_PREFER_LONGEST, NM_PREFER_LISTS, NM_PREFER_TAGGER };

struct nm_dictionary_counts {
    uint64_t sentences;
    uint64_t listed; /* spans that the lists gave; cut: that they would have given, but inside a token */
    uint64_t cut;
    uint64_t tagged; /* spans that the tagger gave; unsure: not counting those below the score asked for */
    uint64_t unsure;
    uint64_t both;    /* spans that both gave, with the same type */
    uint64_t dropped; /* spans that overlapped a better one */
    uint64_t written;
};

/* Zero what is not used; counts is filled by nm_dictionary_read. */
struct nm_dictionary {
    const struct nm_entities *entities;
    struct nm_import from; /* its labels are not looked at */
    bool text;             /* from is text, one a line, and no import form */
    const char *with;      /* the tagger's: word, tag and probability a line ('nermill predict'); NULL: none */
    double sure;           /* the least probability of a tagger's span's words; 0: no matter */
    enum nm_prefer prefer;
    struct nm_dictionary_counts counts;
};

/* nm_dictionary_read - every sentence of dictionary->from with the labels found, to fn, as nm_export_read does it:
 * from points to a pointer to a struct nm_dictionary.  NM_EINVAL: an option; NM_EFORMAT: with does not hold the words
 * of from, or no probabilities where sure asks for them; the files' errors. */
enum nm_err nm_dictionary_read(const void *from, nm_record_fn fn, void *ctx, struct nm_diag *diag);

#endif
