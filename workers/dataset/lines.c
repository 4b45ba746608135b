#include "workers/dataset/lines.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/utf8.h"

enum { LINE_MAX_BYTES = 64 << 20 };

enum nm_err nm_lines_open(struct nm_lines *lines, const char *path, struct nm_diag *diag)
{
    bool standard = strcmp(path, "-") == 0;
    struct stat st;
    *lines = (struct nm_lines){.name = standard ? "standard input" : path};
    lines->file = standard ? stdin : fopen(path, "re");
    if (lines->file == NULL)
        return nm_fail(diag, nm_err_from_errno(errno), "cannot read %s: %s", path, strerror(errno));
    if (fstat(fileno(lines->file), &st) == 0 && S_ISDIR(st.st_mode)) {
        nm_lines_close(lines);
        return nm_fail(diag, NM_EINVAL, "%s is a directory; name a file", path);
    }
    return NM_OK;
}

void nm_lines_close(struct nm_lines *lines)
{
    if (lines->file != NULL && lines->file != stdin)
        (void)fclose(lines->file);
    free(lines->data);
    *lines = (struct nm_lines){0};
}

enum nm_err nm_lines_next(struct nm_lines *lines, struct nm_diag *diag)
{
    errno = 0;
    ssize_t n = getline(&lines->data, &lines->cap, lines->file);
    if (n < 0 && ferror(lines->file))
        return nm_fail(diag, nm_err_from_errno(errno), "cannot read %s: %s", lines->name, strerror(errno));
    if (n < 0)
        return feof(lines->file) ? NM_ENOENT : nm_fail(diag, NM_ENOMEM, "%s: out of memory", lines->name);
    size_t len = (size_t)n, bad;
    lines->number++;
    if (len > LINE_MAX_BYTES)
        return nm_fail(diag, NM_ELIMIT, "%s:%" PRIu64 ": a line of more than %d MiB", lines->name, lines->number,
                       LINE_MAX_BYTES >> 20);
    if (len > 0 && lines->data[len - 1] == '\n')
        len--;
    if (len > 0 && lines->data[len - 1] == '\r')
        len--;
    if (lines->number == 1 && len >= 3 && memcmp(lines->data, "\xef\xbb\xbf", 3) == 0) {
        len -= 3;
        memmove(lines->data, lines->data + 3, len);
    }
    lines->data[len] = '\0';
    lines->len = len;
    if (!nm_utf8_valid(lines->data, len, &bad))
        return nm_fail(diag, NM_EFORMAT, "%s:%" PRIu64 ": not UTF-8 at byte %zu of the line: convert the file",
                       lines->name, lines->number, bad + 1);
    if (memchr(lines->data, '\0', len) != NULL)
        return nm_fail(diag, NM_EFORMAT, "%s:%" PRIu64 ": a NUL byte: this is no text file", lines->name,
                       lines->number);
    return NM_OK;
}

size_t nm_lines_split(const struct nm_lines *lines, char separator, struct nm_str *fields, size_t max)
{
    const char *at = lines->data, *end = lines->data + lines->len;
    size_t n = 0;
    for (;;) {
        const char *cut = memchr(at, separator, (size_t)(end - at));
        if (n < max)
            fields[n] = (struct nm_str){at, (size_t)((cut != NULL ? cut : end) - at)};
        n++;
        if (cut == NULL)
            return n;
        at = cut + 1;
    }
}
