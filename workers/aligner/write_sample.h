/* write_sample.h - one sample as text, in the forms that the data set is taken away in. */
#ifndef NM_ALIGNER_WRITE_SAMPLE_H
#define NM_ALIGNER_WRITE_SAMPLE_H

#include "common/buf.h"
#include "common/err.h"
#include "schemas/messages.h"

/* nm_write_conll - append "token TAB tag" lines and a blank one; a masked token's tag is "-".  nm_write_json - append
 * one line, an object as schemas/sample.schema.json says: offsets count code points, a masked span's type is null.
 * NM_EFORMAT: offsets that are not the text's; NM_ENOMEM, NM_ELIMIT. */
enum nm_err nm_write_conll(const struct nm_msg_sample *sample, struct nm_buf *out);
enum nm_err nm_write_json(const struct nm_msg_sample *sample, struct nm_buf *out);

#endif
