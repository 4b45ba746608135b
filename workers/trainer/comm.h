/* comm.h - the processes that train one model together: MPI where it was built in, one process where not.
 *
 * Every call but rank and size is collective: all processes make it, in the same order, from the thread that called
 * nm_comm_init.  An error of MPI ends the job (MPI's own default), so nothing here returns one.
 * Source: MPI 3.1, MPI_Iallreduce.
 */
#ifndef NM_TRAINER_COMM_H
#define NM_TRAINER_COMM_H

#include <stddef.h>
#include <stdint.h>

struct nm_comm;

/* nm_comm_init - join the job that mpirun or srun started; one process alone where none did.  NULL: out of memory. */
struct nm_comm *nm_comm_init(void);
void nm_comm_destroy(struct nm_comm **comm);

/* nm_comm_abort - end the whole job: what a process does that can't go on while the others wait for it. */
void nm_comm_abort(struct nm_comm *comm, int code);

/* 0, 1 and 1 also for comm NULL. */
size_t nm_comm_rank(const struct nm_comm *comm);
size_t nm_comm_size(const struct nm_comm *comm);
size_t nm_comm_here(const struct nm_comm *comm); /* how many of them are on this machine */

/* nm_comm_part - which of n things are this process's: whole ones, in the order of the ranks. */
struct nm_comm_part {
    size_t lo, n;
};
static inline struct nm_comm_part nm_comm_part(const struct nm_comm *comm, size_t n)
{
    const size_t rank = nm_comm_rank(comm), size = nm_comm_size(comm), lo = n * rank / size;
    return (struct nm_comm_part){lo, n * (rank + 1) / size - lo};
}

/* nm_comm_bcast - data (bytes) of rank 0 to all. */
void nm_comm_bcast(struct nm_comm *comm, void *data, size_t bytes);

/* nm_comm_sum - element-wise, in place, the same bits everywhere. */
void nm_comm_sum(struct nm_comm *comm, double *values, size_t n);

/* nm_comm_any - element-wise or of bytes that are 0 or 1, in place. */
void nm_comm_any(struct nm_comm *comm, uint8_t *flags, size_t n);

/* nm_comm_begin_sum - sum values (n) over all processes, in place, while this one computes on: they may not be
 * touched until nm_comm_wait.  nm_comm_progress - let what has begun go on; cheap. */
void nm_comm_begin_sum(struct nm_comm *comm, float *values, size_t n);
void nm_comm_progress(struct nm_comm *comm);
void nm_comm_wait(struct nm_comm *comm);

#endif
