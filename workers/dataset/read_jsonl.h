/* read_jsonl.h - records from JSON lines: our own (schemas/sample.schema.json), and spans as other tools write them.
 */
#ifndef NM_DATASET_READ_JSONL_H
#define NM_DATASET_READ_JSONL_H

#include "workers/dataset/lines.h"
#include "workers/dataset/record.h"

/* nm_jsonl_record - the present line as a record.  Taken: "text" with its spans under "entities", "spans", "label" or
 * "labels", each an object {start|start_offset|begin, end|end_offset, type|label} or an array [start, end, type],
 * offsets in code points, a type of null masked; or "tokens" with "tags" (or "ner_tags" as text), and "offsets" where
 * the text is there too.  "id", "document", "source" and "provenance" are kept.  counts: added to.
 * NM_EFORMAT: diag has file and line; NM_ENOMEM. */
enum nm_err nm_jsonl_record(const struct nm_lines *lines, struct nm_arena *arena, struct nm_record *record,
                            struct nm_record_counts *counts, struct nm_diag *diag);

#endif
