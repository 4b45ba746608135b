/* tfevents.h - scalars as TensorBoard reads them: a file of TFRecords that hold Event messages.
 *
 * Source: tensorflow/core/lib/io/record_writer.cc (length and masked CRC-32C), event.proto and summary.proto.
 * Test: unit.train_log.
 */
#ifndef NM_TRAINER_TFEVENTS_H
#define NM_TRAINER_TFEVENTS_H

#include <stdint.h>
#include <stdio.h>

/* nm_tfevents_begin - the record that names the file's version.  time: seconds since 1970.  false: writing failed. */
_Bool nm_tfevents_begin(FILE *out, double time);

/* nm_tfevents_scalar - one value of a tag (at most 200 bytes) at a step. */
_Bool nm_tfevents_scalar(FILE *out, double time, uint64_t step, const char *tag, float value);

/* nm_crc32c - Castagnoli's polynomial, as the records have it. */
uint32_t nm_crc32c(const void *data, size_t len);

#endif
