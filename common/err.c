#include "common/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

const char *nm_err_name(enum nm_err err)
{
    switch (err) {
    case NM_OK:
        return "ok";
    case NM_ENOMEM:
        return "out of memory";
    case NM_EINVAL:
        return "bad argument";
    case NM_EIO:
        return "input/output error";
    case NM_ENOENT:
        return "not found";
    case NM_EFORMAT:
        return "malformed";
    case NM_ELIMIT:
        return "over the limit";
    case NM_EVERSION:
        return "unsupported version";
    case NM_EEXIST:
        return "already exists";
    case NM_EFULL:
        return "no space left";
    case NM_ETIMEOUT:
        return "timed out";
    case NM_ENET:
        return "connection failed";
    case NM_EBUSY:
        return "in use";
    case NM_EAUTH:
        return "not permitted";
    case NM_ESTATE:
        return "not possible now";
    case NM_ECANCELED:
        return "stopped";
    }
    return "unknown error";
}

enum nm_err nm_fail(struct nm_diag *diag, enum nm_err err, const char *fmt, ...)
{
    if (diag != NULL) {
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(diag->text, sizeof diag->text, fmt, ap);
        va_end(ap);
    }
    return err;
}

enum nm_err nm_err_from_errno(int errnum)
{
    switch (errnum) {
    case 0:
        return NM_OK;
    case ENOMEM:
        return NM_ENOMEM;
    case ENOENT:
    case ENOTDIR:
        return NM_ENOENT;
    case EINVAL:
        return NM_EINVAL;
    case EEXIST:
        return NM_EEXIST;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return NM_EFULL;
    case EACCES:
    case EPERM:
    case EROFS:
        return NM_EAUTH;
    case EAGAIN:
    case EBUSY:
    case EADDRINUSE:
        return NM_EBUSY;
    case ETIMEDOUT:
        return NM_ETIMEOUT;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return NM_ENET;
    case EINTR:
        return NM_ECANCELED;
    default:
        return NM_EIO;
    }
}

enum nm_exit nm_exit_code(enum nm_err err)
{
    switch (err) {
    case NM_OK:
        return NM_EXIT_OK;
    case NM_EINVAL:
    case NM_ENOENT:
    case NM_EFORMAT:
    case NM_ELIMIT:
        return NM_EXIT_INPUT;
    case NM_ENET:
    case NM_ETIMEOUT:
        return NM_EXIT_ENDPOINT;
    case NM_EFULL:
    case NM_EAUTH:
    case NM_EBUSY:
    case NM_EVERSION:
        return NM_EXIT_STORAGE;
    case NM_ECANCELED:
        return NM_EXIT_SIGNAL;
    default:
        return NM_EXIT_FAILURE;
    }
}
