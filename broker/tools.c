#include "broker/tools.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/ledger.h"
#include "broker/ledger_check.h"
#include "common/file.h"
#include "common/log.h"
#include "common/store.h"

enum { PATH_BYTES = 4096 };

static const char check_usage[] =
    "usage: nermill-broker check STATE_DIR\n"
    "\n"
    "Holds every invariant of the ledger in STATE_DIR against its databases, beside a\n"
    "running broker too, and prints a summary, or one line for each that is broken.\n"
    "\n"
    "Exit codes: 0 the ledger is whole; 2 command line; 5 it is not, or can't be read.\n";

static const char backup_usage[] =
    "usage: nermill-broker backup STATE_DIR DEST\n"
    "\n"
    "Copies the ledger in STATE_DIR as of one moment, beside a running broker too, to DEST/ledger;\n"
    "then nermill-broker PROJECT --state DEST would go on from there.  The copy is there whole, or\n"
    "not at all.  DEST/ledger must not exist.\n"
    "\n"
    "Exit codes: 0 the copy is on the disk; 2 command line; 5 disk full, no such ledger, DEST taken.\n";

static int bad_usage(const char *tool, const char *what)
{
    fprintf(stderr, "nermill-broker %s: %s (see nermill-broker %s --help)\n", tool, what, tool);
    return NM_EXIT_USAGE;
}

static int fails(const struct nm_diag *diag)
{
    nm_error("%s", diag->text);
    return NM_EXIT_STORAGE;
}

/* -1: go on with n arguments. */
static int take_arguments(int argc, char **argv, int n, const char *usage, const char *wanted)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return NM_EXIT_OK;
        }
        if (argv[i][0] == '-')
            return bad_usage(argv[0], "there are no options but --help");
    }
    return argc == n + 1 ? -1 : bad_usage(argv[0], wanted);
}

static enum nm_err ledger_of(const char *state, char *out, struct nm_diag *diag)
{
    if (nm_file_join(state, "ledger", out, PATH_BYTES))
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", state);
    return NM_OK;
}

/* ---- check -------------------------------------------------------------------------------------------------------
 */

static void print_violation(void *ctx, const char *line)
{
    printf("%s: %s\n", (const char *)ctx, line);
}

static void print_findings(const struct nm_ledger_findings *f, char *path)
{
    if (f->violations) {
        printf("%s: %llu violations\n", path, (unsigned long long)f->violations);
        return;
    }
    printf("%s: whole; run %s, %llu open tasks, %llu done, %llu dead, %llu dropped, %llu answers, %llu of them "
           "accepted, %llu workers, %llu entities\n",
           path, f->run, (unsigned long long)f->open, (unsigned long long)f->done, (unsigned long long)f->dead,
           (unsigned long long)f->dropped, (unsigned long long)f->answers, (unsigned long long)f->accepted,
           (unsigned long long)f->workers, (unsigned long long)f->entities);
}

static int check(char *path)
{
    struct nm_ledger_findings findings;
    struct nm_diag diag = {""};
    if (nm_ledger_check(path, print_violation, path, &findings, &diag))
        return fails(&diag);
    print_findings(&findings, path);
    return findings.violations ? NM_EXIT_STORAGE : NM_EXIT_OK;
}

/* In a process of its own: LMDB trusts its pages, and one that is torn may end the process that reads it. */
static int check_apart(char *path)
{
    int status = 0;
    struct nm_diag diag = {""};
    pid_t child = fork();
    if (child == 0) {
        int code = check(path);
        _exit(fflush(stdout) ? NM_EXIT_STORAGE : code);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (child > 0 && WIFEXITED(status))
        return WEXITSTATUS(status);
    nm_fail(&diag, NM_EFORMAT, "ledger %s is damaged: its pages can't be read (%s); restore a backup of it", path,
            child > 0 ? strsignal(WTERMSIG(status)) : strerror(errno));
    return fails(&diag);
}

int nm_tool_check(int argc, char **argv)
{
    char path[PATH_BYTES];
    struct nm_diag diag = {""};
    int code = take_arguments(argc, argv, 1, check_usage, "one STATE_DIR is needed");
    if (code >= 0)
        return code;
    return ledger_of(argv[1], path, &diag) ? fails(&diag) : check_apart(path);
}

/* ---- backup ------------------------------------------------------------------------------------------------------
 */

static enum nm_err copy_ledger(const char *from, const char *to, struct nm_diag *diag)
{
    struct nm_store_options options = {.path = from, .kind = "ledger", .schema = NM_LEDGER_SCHEMA, .read_only = true};
    struct nm_store *store = NULL;
    enum nm_err err = nm_store_open(&options, &store, NULL, diag);
    if (!err)
        err = nm_store_copy(store, to, diag);
    nm_store_close(&store);
    return err;
}

int nm_tool_backup(int argc, char **argv)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    struct nm_diag diag = {""};
    int code = take_arguments(argc, argv, 2, backup_usage, "STATE_DIR and DEST are needed");
    if (code >= 0)
        return code;
    enum nm_err err = ledger_of(argv[1], from, &diag);
    if (!err)
        err = ledger_of(argv[2], to, &diag);
    if (!err)
        err = nm_file_make_dirs(argv[2], &diag);
    if (!err)
        err = copy_ledger(from, to, &diag);
    if (err)
        return fails(&diag);
    printf("%s: a copy of %s\n", to, from);
    return NM_EXIT_OK;
}
