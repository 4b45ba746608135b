#include "common/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void nm_buf_init(struct nm_buf *buf, size_t max)
{
    *buf = (struct nm_buf){.max = max};
}

void nm_buf_clean_up(struct nm_buf *buf)
{
    free(buf->data);
    *buf = (struct nm_buf){.max = buf->max};
}

void nm_buf_reset(struct nm_buf *buf)
{
    buf->len = 0;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

enum nm_err nm_buf_reserve(struct nm_buf *buf, size_t more)
{
    if (more > buf->max - buf->len)
        return NM_ELIMIT;
    size_t need = buf->len + more + 1;
    if (need <= buf->cap)
        return NM_OK;
    size_t cap = buf->cap != 0 ? buf->cap : 256;
    while (cap < need)
        cap *= 2;
    if (cap > buf->max + 1)
        cap = buf->max + 1;
    char *data = realloc(buf->data, cap);
    if (data == NULL)
        return NM_ENOMEM;
    data[buf->len] = '\0';
    buf->data = data;
    buf->cap = cap;
    return NM_OK;
}

enum nm_err nm_buf_add(struct nm_buf *buf, const void *data, size_t len)
{
    enum nm_err err = nm_buf_reserve(buf, len);
    if (err != NM_OK)
        return err;
    if (len > 0)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return NM_OK;
}

enum nm_err nm_buf_adds(struct nm_buf *buf, const char *s)
{
    return nm_buf_add(buf, s, strlen(s));
}

enum nm_err nm_buf_addc(struct nm_buf *buf, char c)
{
    return nm_buf_add(buf, &c, 1);
}

enum nm_err nm_buf_addf(struct nm_buf *buf, const char *fmt, ...)
{
    va_list ap;
    va_list again;
    va_start(ap, fmt);
    va_copy(again, ap);
    size_t room = buf->data != NULL ? buf->cap - buf->len : 0;
    int len = vsnprintf(room > 0 ? buf->data + buf->len : NULL, room, fmt, ap); /* mostly there is room */
    va_end(ap);
    enum nm_err err = len < 0 ? NM_EFORMAT : nm_buf_reserve(buf, (size_t)len);
    if (err == NM_OK && (size_t)len >= room)
        (void)vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, again);
    if (err == NM_OK)
        buf->len += (size_t)len;
    else if (room > 0)
        buf->data[buf->len] = '\0';
    va_end(again);
    return err;
}

const char *nm_buf_str(const struct nm_buf *buf)
{
    return buf->data != NULL ? buf->data : "";
}
