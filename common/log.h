/* log.h - one line an event: for people on a terminal, one JSON object a line otherwise.
 *
 * Goes to stderr (or the file given).  Any thread.  Never pass a secret.  The level comes from --log-level or
 * NERMILL_LOG (debug, info, warn, error); NERMILL_LOG_FORMAT=json|text overrides the guess by isatty.
 */
#ifndef NM_COMMON_LOG_H
#define NM_COMMON_LOG_H

#include <stdbool.h>
#include <stdio.h>

enum nm_log_level { NM_LOG_DEBUG, NM_LOG_INFO, NM_LOG_WARN, NM_LOG_ERROR };

/* nm_log_init - component is the program's role ("broker") and is kept, not copied. */
void nm_log_init(const char *component);

/* nm_log_set_level - by name; false if there is no such level. */
bool nm_log_set_level(const char *name);

/* nm_log_set_file - write there from now on; the stream stays the caller's.  NULL: stderr. */
void nm_log_set_file(FILE *file);

void nm_log_write(enum nm_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define nm_debug(...) nm_log_write(NM_LOG_DEBUG, __VA_ARGS__)
#define nm_info(...) nm_log_write(NM_LOG_INFO, __VA_ARGS__)
#define nm_warn(...) nm_log_write(NM_LOG_WARN, __VA_ARGS__)
#define nm_error(...) nm_log_write(NM_LOG_ERROR, __VA_ARGS__)

#endif
