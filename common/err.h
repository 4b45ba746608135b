/* err.h - the one error vocabulary, and the line that tells a person what happened.
 *
 * Every fallible function returns enum nm_err; NM_OK is 0.  Codes of foreign libraries are translated once,
 * in the module that owns the library.  Where a person has to act, the function also takes a struct nm_diag
 * and puts one line there: what happened, where (file:line, task, endpoint), and what to do next.
 */
#ifndef NM_COMMON_ERR_H
#define NM_COMMON_ERR_H

/* Numbers are part of the wire protocol and are never reused. */
enum nm_err {
    NM_OK = 0,
    NM_ENOMEM = 1,    /* out of memory */
    NM_EINVAL = 2,    /* bad argument or option */
    NM_EIO = 3,       /* reading or writing failed */
    NM_ENOENT = 4,    /* no such file, key, task */
    NM_EFORMAT = 5,   /* malformed bytes: file, frame, LLM body */
    NM_ELIMIT = 6,    /* over a declared maximum */
    NM_EVERSION = 7,  /* a protocol or store version we do not speak */
    NM_EEXIST = 8,    /* already there */
    NM_EFULL = 9,     /* the disk (or the map) is full */
    NM_ETIMEOUT = 10, /* no answer in time */
    NM_ENET = 11,     /* connection refused, cut, or unresolvable */
    NM_EBUSY = 12,    /* port or store in use by another process */
    NM_EAUTH = 13,    /* refused credentials or permissions */
    NM_ESTATE = 14,   /* not allowed in the present state */
    NM_ECANCELED = 15 /* stopped on request (signal, drain) */
};

/* One line for a person; always NUL-terminated; longer text is cut. */
struct nm_diag {
    char text[1024];
};

/* nm_err_name - the short, stable name ("no memory", "malformed").  Any thread; never NULL. */
const char *nm_err_name(enum nm_err err);

/* nm_fail - write the line into diag (which may be NULL) and hand err back, so that a check is one statement:
 *     return nm_fail(diag, NM_EFORMAT, "%s:%zu: no tag in this line", path, line);
 */
enum nm_err nm_fail(struct nm_diag *diag, enum nm_err err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* nm_err_from_errno - translate errno; unknown numbers are NM_EIO. */
enum nm_err nm_err_from_errno(int errnum);

/* Exit codes of every program, documented in README.md. */
enum nm_exit {
    NM_EXIT_OK = 0,
    NM_EXIT_FAILURE = 1,  /* something failed that is none of the below */
    NM_EXIT_USAGE = 2,    /* the command line */
    NM_EXIT_INPUT = 3,    /* a project, list, corpus or model that can't be used */
    NM_EXIT_ENDPOINT = 4, /* a broker or LLM endpoint that can't be reached or refuses us */
    NM_EXIT_STORAGE = 5,  /* disk full, no permission, store in use or of another version */
    NM_EXIT_SIGNAL = 130  /* stopped by Ctrl-C or SIGTERM; run again to go on */
};

/* nm_exit_code - the exit code that belongs to an error. */
enum nm_exit nm_exit_code(enum nm_err err);

#endif
