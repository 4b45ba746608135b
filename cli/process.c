#include "cli/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

enum nm_err nm_program_find(const char *name, char *out, size_t size, struct nm_diag *diag)
{
    char own[NM_PATH_MAX];
    if (name[0] == '/')
        return (size_t)snprintf(out, size, "%s", name) < size && is_program(name)
                   ? NM_OK
                   : nm_fail(diag, NM_ENOENT, "there is no program %s", name);
    ssize_t len = readlink("/proc/self/exe", own, sizeof own - 1);
    if (len > 0) {
        own[len] = '\0';
        char *slash = strrchr(own, '/');
        *slash = '\0';
        if ((size_t)snprintf(out, size, "%s/%s", own, name) < size && is_program(out))
            return NM_OK;
    } else {
        own[0] = '\0';
    }
    for (const char *path = getenv("PATH"); path != NULL && *path != '\0';) {
        int part = (int)strcspn(path, ":");
        if ((size_t)snprintf(out, size, "%.*s/%s", part > 0 ? part : 1, part > 0 ? path : ".", name) < size &&
            is_program(out))
            return NM_OK;
        path += part + (path[part] == ':');
    }
    return nm_fail(diag, NM_ENOENT, "there is no program %s in %s, nor in PATH; install nermill as a whole", name,
                   own);
}

int nm_program_become(const char *name, char **argv)
{
    static char path[NM_PATH_MAX];
    struct nm_diag diag;
    if (nm_program_find(name, path, sizeof path, &diag) != NM_OK) {
        fprintf(stderr, "nermill: %s\n", diag.text);
        return NM_EXIT_FAILURE;
    }
    argv[0] = path;
    fflush(NULL);
    execv(path, argv);
    fprintf(stderr, "nermill: %s: %s\n", path, strerror(errno));
    return NM_EXIT_FAILURE;
}

static bool put_fd(int from, int to, int fallback_flags)
{
    if (from < 0 && fallback_flags < 0)
        return true;
    if (from < 0)
        from = open("/dev/null", fallback_flags | O_CLOEXEC);
    return from >= 0 && dup2(from, to) == to;
}

/* In the child, between fork and exec: only what is async-signal-safe. */
static void become_child(const struct nm_spawn *spawn, const char *path, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent)
        return; /* the parent died before it could be watched */
    if (!put_fd(spawn->in_fd, 0, O_RDONLY) || !put_fd(spawn->out_fd, 1, O_WRONLY) || !put_fd(spawn->err_fd, 2, -1))
        return;
    if (spawn->inherit_fd >= 0)
        fcntl(spawn->inherit_fd, F_SETFD, 0);
    execv(path, (char *const *)(size_t)spawn->argv);
}

enum nm_err nm_process_start(const struct nm_spawn *spawn, pid_t *pid, struct nm_diag *diag)
{
    char path[NM_PATH_MAX];
    enum nm_err err = nm_program_find(spawn->argv[0], path, sizeof path, diag);
    if (err != NM_OK)
        return err;
    int failure[2]; /* carries errno where exec fails, and closes where it succeeds */
    if (pipe2(failure, O_CLOEXEC) != 0)
        return nm_fail(diag, nm_err_from_errno(errno), "%s: no pipe: %s", spawn->argv[0], strerror(errno));
    fflush(NULL);
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        become_child(spawn, path, parent);
        int number = errno;
        ssize_t written = write(failure[1], &number, sizeof number);
        _exit(written > 0 ? 126 : 125);
    }
    int number = errno;
    close(failure[1]);
    if (child > 0 && read(failure[0], &number, sizeof number) == 0) {
        close(failure[0]);
        *pid = child;
        return NM_OK;
    }
    close(failure[0]);
    if (child > 0)
        nm_process_wait(child);
    return nm_fail(diag, nm_err_from_errno(number), "%s can't be started: %s", path, strerror(number));
}

int nm_process_wait(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return NM_EXIT_FAILURE;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

enum nm_err nm_process_capture(const char *const *argv, struct nm_buf *out, int *code, struct nm_diag *diag)
{
    return nm_process_capture_from(-1, argv, out, code, diag);
}

enum nm_err nm_process_capture_from(int in_fd, const char *const *argv, struct nm_buf *out, int *code,
                                    struct nm_diag *diag)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return nm_fail(diag, nm_err_from_errno(errno), "%s: no pipe: %s", argv[0], strerror(errno));
    struct nm_spawn spawn = {.argv = argv, .in_fd = in_fd, .out_fd = fds[1], .err_fd = -1, .inherit_fd = -1};
    pid_t pid = 0;
    enum nm_err err = nm_process_start(&spawn, &pid, diag);
    close(fds[1]);
    if (err != NM_OK) {
        close(fds[0]);
        return err;
    }
    char chunk[16384];
    ssize_t got;
    while ((got = read(fds[0], chunk, sizeof chunk)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        if (err == NM_OK)
            err = nm_buf_add(out, chunk, (size_t)got);
    }
    close(fds[0]);
    *code = nm_process_wait(pid);
    if (err != NM_OK)
        return nm_fail(diag, err, "%s printed too much: %s", argv[0], nm_err_name(err));
    return NM_OK;
}
