/* floats.h - large vectors of float: zeroed on first touch, on huge pages where the system has them. */
#ifndef NM_TRAINER_FLOATS_H
#define NM_TRAINER_FLOATS_H

#include <stddef.h>

/* nm_floats_new - n zeros, aligned to a page; NULL: out of memory.  Memory that is never touched is never used. */
float *nm_floats_new(size_t n);

/* nm_floats_new_sparse - the same on small pages: for a vector of which only a part is ever touched. */
float *nm_floats_new_sparse(size_t n);

/* nm_floats_touch - have the memory now, zeroed, and not page by page while something waits for it.  p may be NULL.
 */
void nm_floats_touch(float *p, size_t n);

/* nm_floats_free - with the n it was made with; NULL is allowed. */
void nm_floats_free(float *p, size_t n);

#endif
