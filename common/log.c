#include "common/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static struct {
    pthread_mutex_t lock;
    const char *component;
    FILE *file;
    enum nm_log_level level;
    bool json;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .component = "nermill", .level = NM_LOG_INFO};

static bool wants_json(FILE *file)
{
    const char *format = getenv("NERMILL_LOG_FORMAT");
    if (format != NULL && strcmp(format, "json") == 0)
        return true;
    if (format != NULL && strcmp(format, "text") == 0)
        return false;
    return !isatty(fileno(file));
}

bool nm_log_set_level(const char *name)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (strcasecmp(name, level_names[i]) == 0) {
            state.level = (enum nm_log_level)i;
            return true;
        }
    return false;
}

void nm_log_set_file(FILE *file)
{
    pthread_mutex_lock(&state.lock);
    state.file = file;
    state.json = wants_json(file != NULL ? file : stderr);
    pthread_mutex_unlock(&state.lock);
}

void nm_log_init(const char *component)
{
    state.component = component;
    const char *level = getenv("NERMILL_LOG");
    if (level != NULL)
        (void)nm_log_set_level(level);
    nm_log_set_file(NULL);
}

static void put_json_string(FILE *out, const char *s)
{
    (void)fputc('"', out);
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            (void)fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            (void)fprintf(out, "\\u%04x", c);
        else
            (void)fputc(c, out);
    }
    (void)fputc('"', out);
}

void nm_log_write(enum nm_log_level level, const char *fmt, ...)
{
    if (level < state.level)
        return;
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);

    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);

    pthread_mutex_lock(&state.lock);
    FILE *out = state.file != NULL ? state.file : stderr;
    if (state.json) {
        (void)fprintf(out, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"component\":\"%s\",\"message\":", stamp,
                      now.tv_nsec / 1000000, level_names[level], state.component);
        put_json_string(out, text);
        (void)fputs("}\n", out);
    } else {
        (void)fprintf(out, "%s %-5s %s: %s\n", stamp + 11, level_names[level], state.component, text);
    }
    (void)fflush(out);
    pthread_mutex_unlock(&state.lock);
}
