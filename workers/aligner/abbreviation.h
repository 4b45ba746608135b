/* abbreviation.h - `naloxone (NLX)`: the short form that stands beside a long one.
 *
 * Source: A. S. Schwartz and M. A. Hearst, A simple algorithm for identifying abbreviation definitions in biomedical
 * text, PSB 2003.  Here the long form is known, a labelled mention, so all that is asked is whether what stands in
 * the brackets behind it (or before the brackets that hold it) abbreviates it.
 */
#ifndef NM_ALIGNER_ABBREVIATION_H
#define NM_ALIGNER_ABBREVIATION_H

#include <stdbool.h>
#include <stddef.h>

/* nm_abbreviation_is_short - two to ten characters, two words at most, begins with a letter or digit, holds a letter.
 */
bool nm_abbreviation_is_short(const char *s, size_t len);

/* nm_abbreviation_begin - where in text[0..len) the long form begins that ends at its end and that short_form
 * abbreviates; SIZE_MAX: there is none. */
size_t nm_abbreviation_begin(const char *text, size_t len, const char *short_form, size_t short_len);

/* A definition beside a mention: the short form's bytes, and where the whole (long form, brackets, short form) ends
 * and begins. */
struct nm_definition {
    size_t short_start, short_end;
    size_t start, end;
    bool partial; /* the long form is larger than the mention: `systemic [lupus] (SL)` */
};

/* nm_abbreviation_find - the definition that the mention text[start..end) is the long form of.  False: there is none.
 */
bool nm_abbreviation_find(const char *text, size_t len, size_t start, size_t end, struct nm_definition *definition);

#endif
