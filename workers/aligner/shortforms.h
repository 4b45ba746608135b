/* shortforms.h - abbreviations that a text defines beside its mentions: `naloxone (NLX) ... NLX`. */
#ifndef NM_ALIGNER_SHORTFORMS_H
#define NM_ALIGNER_SHORTFORMS_H

#include "common/err.h"
#include "schemas/messages.h"
#include "workers/aligner/spans.h"
#include "workers/aligner/tokenize.h"

/* nm_shortforms_add - for every labelled span that a short form stands beside (abbreviation.h): the short form, there
 * and wherever the text holds it in the same letters on whole words, is a mention of the same type and entity, or,
 * with NM_ABBREVIATIONS_MASK, masked.  With NM_ABBREVIATIONS_JOINED long form, brackets and short form are one
 * mention. Where the long form is larger than the mention the short form is masked.  Spans that are there stay as
 * they are. NM_ENOMEM. */
enum nm_err nm_shortforms_add(struct nm_str text, const struct nm_tokens *words, enum nm_abbreviations how,
                              struct nm_spans *spans, struct nm_verdict_counts *counts);

#endif
