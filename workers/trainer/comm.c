#include "workers/trainer/comm.h"

#include <limits.h>
#include <stdlib.h>

#ifdef NM_MPI
#include <mpi.h>

/* A message: MPI counts in int, and so many floats at once keep every algorithm of it efficient. */
enum { PIECE = 1 << 24 };

struct nm_comm {
    int rank, size, here, joined;
    MPI_Request *open; /* (n_open) sums that have begun */
    int n_open, cap;
};

/* MPI_Init of a process that nobody launched would start a daemon of its own; the launchers say that they were there.
 */
static int was_launched(void)
{
    static const char *const signs[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK",
                                        "MPI_LOCALNRANKS"};
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
        if (getenv(signs[i]) != NULL)
            return 1;
    return 0;
}

struct nm_comm *nm_comm_init(void)
{
    struct nm_comm *c = calloc(1, sizeof(*c));
    int given;
    if (c == NULL)
        return NULL;
    c->size = c->here = 1;
    if (was_launched() && MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &given) == MPI_SUCCESS) {
        c->joined = 1;
        MPI_Comm_rank(MPI_COMM_WORLD, &c->rank);
        MPI_Comm_size(MPI_COMM_WORLD, &c->size);
        MPI_Comm machine;
        MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
        MPI_Comm_size(machine, &c->here);
        MPI_Comm_free(&machine);
    }
    return c;
}

void nm_comm_destroy(struct nm_comm **comm)
{
    if (*comm == NULL)
        return;
    if ((*comm)->joined)
        MPI_Finalize();
    free((*comm)->open);
    free(*comm);
    *comm = NULL;
}

void nm_comm_abort(struct nm_comm *comm, int code)
{
    if (comm != NULL && comm->size > 1)
        MPI_Abort(MPI_COMM_WORLD, code);
}

size_t nm_comm_rank(const struct nm_comm *comm)
{
    return comm != NULL ? (size_t)comm->rank : 0;
}

size_t nm_comm_size(const struct nm_comm *comm)
{
    return comm != NULL ? (size_t)comm->size : 1;
}

size_t nm_comm_here(const struct nm_comm *comm)
{
    return comm != NULL ? (size_t)comm->here : 1;
}

void nm_comm_bcast(struct nm_comm *comm, void *data, size_t bytes)
{
    char *at = data;
    for (size_t left = bytes; nm_comm_size(comm) > 1 && left > 0;) {
        size_t n = left < PIECE ? left : PIECE;
        MPI_Bcast(at, (int)n, MPI_BYTE, 0, MPI_COMM_WORLD);
        at += n;
        left -= n;
    }
}

void nm_comm_sum(struct nm_comm *comm, double *values, size_t n)
{
    if (nm_comm_size(comm) > 1)
        MPI_Allreduce(MPI_IN_PLACE, values, (int)n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
}

void nm_comm_any(struct nm_comm *comm, uint8_t *flags, size_t n)
{
    if (nm_comm_size(comm) > 1)
        MPI_Allreduce(MPI_IN_PLACE, flags, (int)n, MPI_UINT8_T, MPI_MAX, MPI_COMM_WORLD);
}

static void begin_piece(struct nm_comm *c, float *values, size_t n)
{
    if (c->n_open == c->cap) {
        int cap = c->cap * 2 + 64;
        MPI_Request *open = realloc(c->open, (size_t)cap * sizeof(MPI_Request));
        if (open == NULL) { /* then not overlapped */
            MPI_Allreduce(MPI_IN_PLACE, values, (int)n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
            return;
        }
        c->open = open;
        c->cap = cap;
    }
    MPI_Iallreduce(MPI_IN_PLACE, values, (int)n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &c->open[c->n_open++]);
}

void nm_comm_begin_sum(struct nm_comm *comm, float *values, size_t n)
{
    if (nm_comm_size(comm) == 1)
        return;
    for (size_t at = 0; at < n; at += PIECE)
        begin_piece(comm, values + at, n - at < PIECE ? n - at : PIECE);
}

void nm_comm_progress(struct nm_comm *comm)
{
    int done;
    if (comm != NULL && comm->n_open > 0)
        MPI_Testall(comm->n_open, comm->open, &done, MPI_STATUSES_IGNORE);
}

void nm_comm_wait(struct nm_comm *comm)
{
    if (comm == NULL || comm->n_open == 0)
        return;
    MPI_Waitall(comm->n_open, comm->open, MPI_STATUSES_IGNORE);
    comm->n_open = 0;
}

#else /* built without MPI: one process */

struct nm_comm {
    char none;
};

struct nm_comm *nm_comm_init(void)
{
    return calloc(1, sizeof(struct nm_comm));
}

void nm_comm_destroy(struct nm_comm **comm)
{
    free(*comm);
    *comm = NULL;
}

void nm_comm_abort(struct nm_comm *comm, int code)
{
    (void)comm, (void)code;
}

size_t nm_comm_rank(const struct nm_comm *comm)
{
    (void)comm;
    return 0;
}

size_t nm_comm_size(const struct nm_comm *comm)
{
    (void)comm;
    return 1;
}

size_t nm_comm_here(const struct nm_comm *comm)
{
    (void)comm;
    return 1;
}

void nm_comm_bcast(struct nm_comm *comm, void *data, size_t bytes)
{
    (void)comm, (void)data, (void)bytes;
}

void nm_comm_sum(struct nm_comm *comm, double *values, size_t n)
{
    (void)comm, (void)values, (void)n;
}

void nm_comm_any(struct nm_comm *comm, uint8_t *flags, size_t n)
{
    (void)comm, (void)flags, (void)n;
}

void nm_comm_begin_sum(struct nm_comm *comm, float *values, size_t n)
{
    (void)comm, (void)values, (void)n;
}

void nm_comm_progress(struct nm_comm *comm)
{
    (void)comm;
}

void nm_comm_wait(struct nm_comm *comm)
{
    (void)comm;
}

#endif
