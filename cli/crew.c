#include "cli/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/process.h"
#include "common/clock.h"
#include "common/log.h"

enum {
    MEMBERS_MAX = 128,
    ARGS_MAX = 48,
    RESTARTS_MAX = 8, /* in a row, each within STEADY_MS of the last */
    STEADY_MS = 60 * 1000,
    SETTLE_MS = 10 * 1000,
    BACKOFF_FIRST_MS = 250,
    BACKOFF_MAX_MS = 15 * 1000,
    TAIL_MAX = 64 << 10,
};

struct member {
    char role[24], name[32];
    unsigned number;
    char *args[ARGS_MAX + 1];
    enum nm_member_state state;
    pid_t pid;
    long log_offset; /* where this start's part of the log begins */
    int64_t started_ms, retry_ms;
    unsigned restarts;
    bool stopping;
};

struct nm_crew {
    char log_dir[NM_PATH_MAX];
    int lock_fd;
    void (*say)(void *ctx, const char *line);
    void *say_ctx;
    struct member *members[MEMBERS_MAX];
    size_t n;
};

struct nm_crew *nm_crew_new(const char *log_dir, int lock_fd)
{
    struct nm_crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL)
        return NULL;
    (void)snprintf(crew->log_dir, sizeof crew->log_dir, "%s", log_dir);
    crew->lock_fd = lock_fd;
    return crew;
}

void nm_crew_on_notice(struct nm_crew *crew, void (*say)(void *ctx, const char *line), void *ctx)
{
    crew->say = say;
    crew->say_ctx = ctx;
}

static void notice(const struct nm_crew *crew, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void notice(const struct nm_crew *crew, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    nm_warn("%s", line);
    if (crew->say != NULL)
        crew->say(crew->say_ctx, line);
}

static void free_args(struct member *member)
{
    for (size_t i = 0; member->args[i] != NULL; i++) {
        free(member->args[i]);
        member->args[i] = NULL;
    }
}

static enum nm_err copy_args(struct member *member, const char *const *argv)
{
    free_args(member);
    for (size_t i = 0; argv[i] != NULL; i++) {
        if (i == ARGS_MAX)
            return NM_ELIMIT;
        member->args[i] = strdup(argv[i]);
        if (member->args[i] == NULL)
            return NM_ENOMEM;
    }
    return NM_OK;
}

static struct member *find_member(const struct nm_crew *crew, const char *role, unsigned number)
{
    for (size_t i = 0; i < crew->n; i++)
        if (strcmp(crew->members[i]->role, role) == 0 && crew->members[i]->number == number)
            return crew->members[i];
    return NULL;
}

static void log_path(const struct nm_crew *crew, const struct member *member, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/%s.log", crew->log_dir, member->name);
}

static enum nm_err launch(struct nm_crew *crew, struct member *member, struct nm_diag *diag)
{
    char path[NM_PATH_MAX + 64];
    log_path(crew, member, path, sizeof path);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return nm_fail(diag, nm_err_from_errno(errno), "%s can't be written: %s", path, strerror(errno));
    member->log_offset = (long)lseek(fd, 0, SEEK_END);
    struct nm_spawn spawn = {.argv = (const char *const *)member->args,
                             .in_fd = -1,
                             .out_fd = fd,
                             .err_fd = fd,
                             .inherit_fd = crew->lock_fd};
    enum nm_err err = nm_process_start(&spawn, &member->pid, diag);
    close(fd);
    if (err != NM_OK)
        return err;
    member->state = NM_MEMBER_RUNNING;
    member->started_ms = nm_clock_mono_ms();
    return NM_OK;
}

enum nm_err nm_crew_start(struct nm_crew *crew, const char *role, unsigned number, const char *const *argv,
                          struct nm_diag *diag)
{
    struct member *member = find_member(crew, role, number);
    if (member == NULL) {
        if (crew->n == MEMBERS_MAX)
            return nm_fail(diag, NM_ELIMIT, "a run can have %d processes at most", MEMBERS_MAX);
        member = calloc(1, sizeof *member);
        if (member == NULL)
            return nm_fail(diag, NM_ENOMEM, "out of memory");
        crew->members[crew->n++] = member;
        (void)snprintf(member->role, sizeof member->role, "%s", role);
        if (number > 0)
            (void)snprintf(member->name, sizeof member->name, "%s-%u", role, number);
        else
            (void)snprintf(member->name, sizeof member->name, "%s", role);
        member->number = number;
        member->state = NM_MEMBER_ENDED;
    }
    enum nm_err err = copy_args(member, argv);
    if (err != NM_OK)
        return nm_fail(diag, err, "%s: its command line: %s", member->name, nm_err_name(err));
    return launch(crew, member, diag);
}

enum nm_err nm_crew_set_args(struct nm_crew *crew, const char *role, unsigned number, const char *const *argv)
{
    struct member *member = find_member(crew, role, number);
    return member == NULL ? NM_ENOENT : copy_args(member, argv);
}

/* What a line of a log is, in ascending weight; plain text is what programs say before they log, or as they die. */
enum weight { WEIGHT_ANY, WEIGHT_WARNING, WEIGHT_PLAIN, WEIGHT_ERROR };

/* A log's line as a person reads it: its message, or plain text as it is.  false: nothing to read. */
static bool read_line(const char *line, enum weight *weight, char *out, size_t size)
{
    *weight = WEIGHT_PLAIN;
    if (line[0] != '{') {
        (void)snprintf(out, size, "%.2000s", line);
        return line[0] != '\0';
    }
    json_t *root = json_loads(line, 0, NULL);
    const char *level = json_string_value(json_object_get(root, "level"));
    const char *message = json_string_value(json_object_get(root, "message"));
    bool found = level != NULL && message != NULL;
    if (found) {
        (void)snprintf(out, size, "%s", message);
        *weight = strcmp(level, "error") == 0  ? WEIGHT_ERROR
                  : strcmp(level, "warn") == 0 ? WEIGHT_WARNING
                                               : WEIGHT_ANY;
    }
    json_decref(root);
    return found;
}

/* The last line behind offset that weighs at least `least`; with heaviest, the last of the heaviest ones. */
static bool last_line(const char *path, long offset, enum weight least, bool heaviest, char *out, size_t size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    static char line[8192], text[2048];
    bool found = false;
    enum weight weight = WEIGHT_ANY;
    if (fseek(file, 0, SEEK_END) == 0 && ftell(file) - offset > TAIL_MAX)
        offset = ftell(file) - TAIL_MAX;
    if (fseek(file, offset, SEEK_SET) == 0)
        while (fgets(line, sizeof line, file) != NULL) {
            line[strcspn(line, "\r\n")] = '\0';
            if (!read_line(line, &weight, text, sizeof text) || weight < least)
                continue;
            (void)snprintf(out, size, "%s", text);
            found = true;
            least = heaviest ? weight : least;
        }
    fclose(file);
    return found;
}

bool nm_last_words(const char *path, long offset, char *out, size_t size)
{
    return last_line(path, offset, WEIGHT_PLAIN, true, out, size);
}

bool nm_crew_last_message(const struct nm_crew *crew, const char *role, unsigned number, bool warnings, char *out,
                          size_t size)
{
    const struct member *member = find_member(crew, role, number);
    char path[NM_PATH_MAX + 64];
    if (member == NULL)
        return false;
    log_path(crew, member, path, sizeof path);
    return last_line(path, member->log_offset, warnings ? WEIGHT_WARNING : WEIGHT_ANY, false, out, size);
}

static enum nm_err failed(const struct nm_crew *crew, const struct member *member, const char *how,
                          struct nm_diag *diag)
{
    char path[NM_PATH_MAX + 64], words[600];
    log_path(crew, member, path, sizeof path);
    if (nm_last_words(path, member->log_offset, words, sizeof words))
        return nm_fail(diag, NM_ESTATE, "%s: %s", member->name, words);
    return nm_fail(diag, NM_ESTATE, "%s %s without a word; its log is %s", member->name, how, path);
}

/* A process was killed by a signal that was not ours: again, a little later each time, and not for ever. */
static enum nm_err schedule_restart(const struct nm_crew *crew, struct member *member, int64_t now_ms,
                                    const char *how, struct nm_diag *diag)
{
    if (now_ms - member->started_ms > STEADY_MS)
        member->restarts = 0;
    if (member->restarts == RESTARTS_MAX)
        return failed(crew, member, how, diag);
    int64_t delay = BACKOFF_FIRST_MS << member->restarts;
    member->restarts++;
    member->state = NM_MEMBER_WAITING;
    member->retry_ms = now_ms + (delay < BACKOFF_MAX_MS ? delay : BACKOFF_MAX_MS);
    notice(crew, "%s %s and is started again (%u of %d)", member->name, how, member->restarts, RESTARTS_MAX);
    return NM_OK;
}

static enum nm_err has_ended(const struct nm_crew *crew, struct member *member, int status, int64_t now_ms, int *code,
                             struct nm_diag *diag)
{
    member->state = NM_MEMBER_ENDED;
    member->pid = 0;
    if (member->stopping)
        return NM_OK;
    char how[64];
    /* 130: someone else asked it to stop; for us that is the same as a kill. */
    if (WIFSIGNALED(status) || WEXITSTATUS(status) == NM_EXIT_SIGNAL) {
        if (WIFSIGNALED(status))
            (void)snprintf(how, sizeof how, "was killed by signal %d (%s)", WTERMSIG(status),
                           strsignal(WTERMSIG(status)));
        else
            (void)snprintf(how, sizeof how, "was told to stop");
        *code = NM_EXIT_FAILURE;
        return schedule_restart(crew, member, now_ms, how, diag);
    }
    if (WEXITSTATUS(status) == 0)
        return NM_OK;
    *code = WEXITSTATUS(status);
    /* What the killed one held, a port or a lock, may need a moment to be free again. */
    if (*code == NM_EXIT_STORAGE && member->restarts > 0 && now_ms - member->started_ms < SETTLE_MS) {
        (void)snprintf(how, sizeof how, "could not start yet");
        return schedule_restart(crew, member, now_ms, how, diag);
    }
    (void)snprintf(how, sizeof how, "ended with exit code %d", *code);
    return failed(crew, member, how, diag);
}

enum nm_err nm_crew_watch(struct nm_crew *crew, int64_t now_ms, int *code, struct nm_diag *diag)
{
    for (size_t i = 0; i < crew->n; i++) {
        struct member *member = crew->members[i];
        int status = 0;
        if (member->state == NM_MEMBER_RUNNING && waitpid(member->pid, &status, WNOHANG) == member->pid) {
            enum nm_err err = has_ended(crew, member, status, now_ms, code, diag);
            if (err != NM_OK)
                return err;
        }
        if (member->state == NM_MEMBER_WAITING && now_ms >= member->retry_ms) {
            enum nm_err err = launch(crew, member, diag);
            if (err != NM_OK) {
                *code = (int)nm_exit_code(err);
                return err;
            }
        }
    }
    return NM_OK;
}

enum nm_member_state nm_crew_state(const struct nm_crew *crew, const char *role, unsigned number)
{
    const struct member *member = find_member(crew, role, number);
    return member == NULL ? NM_MEMBER_ENDED : member->state;
}

int nm_crew_pid(const struct nm_crew *crew, const char *role, unsigned number)
{
    const struct member *member = find_member(crew, role, number);
    return member == NULL ? 0 : (int)member->pid;
}

static bool is_of(const struct member *member, const char *role)
{
    return role == NULL || strcmp(member->role, role) == 0;
}

bool nm_crew_all_ended(const struct nm_crew *crew, const char *role)
{
    for (size_t i = 0; i < crew->n; i++)
        if (is_of(crew->members[i], role) && crew->members[i]->state != NM_MEMBER_ENDED)
            return false;
    return true;
}

/* Reap what has ended of role; true while some still run. */
static bool still_running(struct nm_crew *crew, const char *role)
{
    bool running = false;
    for (size_t i = 0; i < crew->n; i++) {
        struct member *member = crew->members[i];
        if (!is_of(member, role) || member->state != NM_MEMBER_RUNNING)
            continue;
        if (waitpid(member->pid, NULL, WNOHANG) == member->pid) {
            member->state = NM_MEMBER_ENDED;
            member->pid = 0;
        } else {
            running = true;
        }
    }
    return running;
}

static void signal_all(struct nm_crew *crew, const char *role, int number)
{
    for (size_t i = 0; i < crew->n; i++) {
        struct member *member = crew->members[i];
        if (!is_of(member, role))
            continue;
        member->stopping = true;
        if (member->state == NM_MEMBER_WAITING)
            member->state = NM_MEMBER_ENDED;
        if (member->state == NM_MEMBER_RUNNING)
            kill(member->pid, number);
    }
}

void nm_crew_stop(struct nm_crew *crew, const char *role, int64_t limit_ms, bool (*hurry)(void))
{
    signal_all(crew, role, SIGTERM);
    int64_t end_ms = nm_clock_mono_ms() + limit_ms;
    while (still_running(crew, role)) {
        if (nm_clock_mono_ms() > end_ms || (hurry != NULL && hurry())) {
            notice(crew, "%s did not stop within its time and is killed", role != NULL ? role : "a process");
            signal_all(crew, role, SIGKILL);
            while (still_running(crew, role))
                nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    }
}

void nm_crew_destroy(struct nm_crew **crew)
{
    if (*crew == NULL)
        return;
    signal_all(*crew, NULL, SIGKILL);
    while (still_running(*crew, NULL))
        nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
    for (size_t i = 0; i < (*crew)->n; i++) {
        free_args((*crew)->members[i]);
        free((*crew)->members[i]);
    }
    free(*crew);
    *crew = NULL;
}
