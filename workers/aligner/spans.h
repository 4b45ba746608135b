/* spans.h - what may be mentions of a text: those of the lists, those that the model told of, and what becomes of
 * both.
 *
 * The lists and the model are two witnesses.  Where both name the same characters and the same type there is a label;
 * where only one speaks, or they contradict each other, the project's policy decides (schemas/project.h, alignment),
 * and every such span is counted by its note.  Offsets are bytes of the accepted text.
 */
#ifndef NM_ALIGNER_SPANS_H
#define NM_ALIGNER_SPANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "schemas/messages.h"
#include "schemas/project.h"

/* How a span came about, or why it is not trusted: PROTOCOL.md, "sample". */
enum nm_note {
    NM_NOTE_LISTED,
    NM_NOTE_ABBREVIATION,
    NM_NOTE_UNLISTED,
    NM_NOTE_UNMARKED,
    NM_NOTE_DOUBTED,
    NM_NOTE_TYPE,
    NM_NOTE_OVERLAP,
    NM_NOTE_CUT,
    NM_NOTE_AMBIGUOUS,
    NM_NOTES
};

/* nm_note_name - as in a sample's record; "" for NM_NOTE_LISTED.  nm_note_detail - for a text that is dropped for it.
 */
const char *nm_note_name(enum nm_note note);
const char *nm_note_detail(enum nm_note note);

#define NM_NO_TYPE UINT32_MAX

struct nm_span {
    size_t start, end;
    uint32_t type; /* NM_NO_TYPE: masked */
    bool requested;
    uint64_t index; /* of its entity; NM_NO_INDEX: on no list */
    enum nm_note note;
};

struct nm_spans {
    struct nm_span *v;
    size_t n, cap;
};

void nm_spans_clean_up(struct nm_spans *spans);

/* nm_spans_add - one behind the last.  nm_spans_sort - by start, the longer first.  NM_ENOMEM. */
enum nm_err nm_spans_add(struct nm_spans *spans, struct nm_span span);
void nm_spans_sort(struct nm_spans *spans);

/* What was decided about one text. */
struct nm_verdict_counts {
    uint32_t notes[NM_NOTES]; /* spans with each note, whatever became of them */
    uint32_t masked;          /* spans of the sample that are */
    enum nm_note dropped;     /* why the text is not used; NM_NOTE_LISTED: it is */
};

/* nm_verdict_list - the counts that are not 0, with their names, into out; how many.  nm_verdict_of_sample - the
 * counts again from a finished sample: all but those of spans that were ignored. */
size_t nm_verdict_list(const struct nm_verdict_counts *counts, struct nm_msg_count out[NM_NOTES]);
struct nm_verdict_counts nm_verdict_of_sample(const struct nm_msg_sample *sample);

/* nm_spans_decide - one span that cannot be trusted: append what becomes of it to out, and count it. */
enum nm_err nm_spans_decide(struct nm_span span, enum nm_note note, enum nm_policy policy, struct nm_spans *out,
                            struct nm_verdict_counts *counts);

/* nm_spans_combine - listed and told (both sorted; told spans without a type are uncertain) into out, in order, none
 * over another.  marked: the model was to mark every mention.  NM_ENOMEM. */
enum nm_err nm_spans_combine(const struct nm_spans *listed, const struct nm_spans *told, bool marked,
                             const struct nm_project_alignment *policies, struct nm_spans *out,
                             struct nm_verdict_counts *counts);

#endif
