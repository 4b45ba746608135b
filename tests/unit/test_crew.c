/* crew.h and lock.h with real processes (sh): restarts, exit codes, last words, stopping, what a dead parent leaves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/crew.h"
#include "cli/lock.h"
#include "cli/process.h"
#include "common/clock.h"
#include "common/file.h"

static char dir[256];

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/nermill-crew-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[300];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static struct nm_crew *start(const char *role, const char *script, int lock_fd)
{
    struct nm_diag diag = {""};
    struct nm_crew *crew = nm_crew_new(dir, lock_fd);
    assert_non_null(crew);
    const char *const argv[] = {"sh", "-c", script, NULL};
    if (nm_crew_start(crew, role, 0, argv, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    return crew;
}

/* Watch until everyone has ended or one has failed; at most ten seconds. */
static enum nm_err watch(struct nm_crew *crew, int *code, struct nm_diag *diag)
{
    int64_t end_ms = nm_clock_mono_ms() + 10000;
    enum nm_err err = NM_OK;
    while (err == NM_OK && !nm_crew_all_ended(crew, NULL)) {
        assert_true(nm_clock_mono_ms() < end_ms);
        err = nm_crew_watch(crew, nm_clock_mono_ms(), code, diag);
        pause_ms(5);
    }
    return err;
}

static void wait_for_file(const char *name)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    for (int i = 0; i < 1000 && !nm_file_exists(path); i++)
        pause_ms(5);
    assert_true(nm_file_exists(path));
}

static void test_success_is_no_failure(void **state)
{
    (void)state;
    struct nm_diag diag = {""};
    int code = 0;
    struct nm_crew *crew = start("worker", "exit 0", -1);
    assert_int_equal(watch(crew, &code, &diag), NM_OK);
    assert_int_equal(code, 0);
    assert_int_equal(nm_crew_state(crew, "worker", 0), NM_MEMBER_ENDED);
    nm_crew_destroy(&crew);
    assert_null(crew);
}

static void test_error_code_ends_with_last_words(void **state)
{
    (void)state;
    struct nm_diag diag = {""};
    int code = 0;
    struct nm_crew *crew = start("broker",
                                 "echo '{\"level\":\"info\",\"message\":\"hello\"}' >&2;"
                                 "echo '{\"level\":\"error\",\"message\":\"port 7711 is in use\"}' >&2;"
                                 "echo '{\"level\":\"info\",\"message\":\"leaving\"}' >&2; echo plain >&2; exit 5",
                                 -1);
    assert_int_not_equal(watch(crew, &code, &diag), NM_OK);
    assert_int_equal(code, 5);
    assert_string_equal(diag.text, "broker: port 7711 is in use");
    nm_crew_destroy(&crew);
}

static void test_last_words_are_of_this_start(void **state)
{
    (void)state;
    struct nm_diag diag = {""};
    int code = 0;
    struct nm_crew *crew = start("old", "echo 'the old error'; exit 1", -1);
    assert_int_not_equal(watch(crew, &code, &diag), NM_OK);
    assert_string_equal(diag.text, "old: the old error");
    nm_crew_destroy(&crew);
    crew = start("old", "exit 4", -1);
    assert_int_not_equal(watch(crew, &code, &diag), NM_OK);
    assert_int_equal(code, 4);
    assert_non_null(strstr(diag.text, "ended with exit code 4"));
    nm_crew_destroy(&crew);
}

static void test_killed_is_started_again(void **state)
{
    (void)state;
    struct nm_diag diag = {""};
    int code = 0;
    char script[900];
    (void)snprintf(script, sizeof script, "if [ -e %s/second ]; then exit 0; fi; touch %s/second; kill -9 $$", dir,
                   dir);
    struct nm_crew *crew = start("worker", script, -1);
    if (watch(crew, &code, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    wait_for_file("second");
    nm_crew_destroy(&crew);
}

/* Killed, then not able to start at once (its port is still taken), then well. */
static void test_restart_waits_for_what_is_taken(void **state)
{
    (void)state;
    struct nm_diag diag = {""};
    int code = 0;
    char script[1200];
    (void)snprintf(script, sizeof script,
                   "if [ -e %s/third ]; then exit 0; fi; if [ -e %s/second ]; then touch %s/third; exit 5; fi;"
                   "touch %s/second; kill -9 $$",
                   dir, dir, dir, dir);
    struct nm_crew *crew = start("worker", script, -1);
    if (watch(crew, &code, &diag) != NM_OK)
        fail_msg("%s", diag.text);
    wait_for_file("third");
    nm_crew_destroy(&crew);
}

static void test_killed_too_often_fails(void **state)
{
    (void)state;
    struct nm_diag diag = {""};
    int code = 0;
    int64_t now_ms = nm_clock_mono_ms();
    unsigned starts = 0;
    struct nm_crew *crew = start("worker", "echo a last word; kill -9 $$", -1);
    enum nm_err err = NM_OK;
    for (int last = 0; err == NM_OK && starts < 100;) {
        int pid = nm_crew_pid(crew, "worker", 0);
        starts += pid != 0 && pid != last;
        last = pid;
        now_ms += 1000; /* the clock is ours: back-off passes, a steady minute does not */
        err = nm_crew_watch(crew, now_ms - (int64_t)starts * 900, &code, &diag);
        pause_ms(2);
    }
    assert_int_not_equal(err, NM_OK);
    assert_int_equal(code, NM_EXIT_FAILURE);
    assert_in_range(starts, 2, 20);
    assert_string_equal(diag.text, "worker: a last word");
    nm_crew_destroy(&crew);
}

static void test_stop_is_gentle_first(void **state)
{
    (void)state;
    char script[900];
    (void)snprintf(script, sizeof script,
                   "trap 'touch %s/gentle; exit 130' TERM; touch %s/ready; while :; do sleep 0.02; done", dir, dir);
    struct nm_crew *crew = start("worker", script, -1);
    wait_for_file("ready");
    nm_crew_stop(crew, NULL, 5000, NULL);
    assert_true(nm_crew_all_ended(crew, NULL));
    wait_for_file("gentle");
    nm_crew_destroy(&crew);
}

static void test_stop_kills_the_deaf(void **state)
{
    (void)state;
    char script[900];
    (void)snprintf(script, sizeof script, "trap '' TERM; touch %s/deaf; while :; do sleep 0.02; done", dir);
    struct nm_crew *crew = start("worker", script, -1);
    wait_for_file("deaf");
    int pid = nm_crew_pid(crew, "worker", 0);
    nm_crew_stop(crew, "worker", 200, NULL);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH); /* reaped too: no zombie */
    nm_crew_destroy(&crew);
}

static void test_unknown_program(void **state)
{
    (void)state;
    struct nm_diag diag = {""};
    struct nm_crew *crew = nm_crew_new(dir, -1);
    const char *const argv[] = {"nermill-nowhere", NULL};
    assert_int_equal(nm_crew_start(crew, "nowhere", 0, argv, &diag), NM_ENOENT);
    assert_non_null(strstr(diag.text, "nermill-nowhere"));
    nm_crew_destroy(&crew);
}

static void test_second_run_is_refused(void **state)
{
    (void)state;
    struct nm_diag diag = {""};
    struct nm_run_lock one, two;
    assert_int_equal(nm_run_lock_take(dir, 1000, NULL, &one, &diag), NM_OK);
    assert_int_equal(nm_run_lock_take(dir, 1000, NULL, &two, &diag), NM_EBUSY);
    char pid[40];
    (void)snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_non_null(strstr(diag.text, pid));
    nm_run_lock_release(&one);
    assert_int_equal(nm_run_lock_take(dir, 1000, NULL, &two, &diag), NM_OK);
    nm_run_lock_release(&two);
}

/* A parent that is killed with -9: its process gets SIGTERM from the kernel, and the next run waits for its end. */
static void test_nothing_outlives_a_killed_parent(void **state)
{
    (void)state;
    char script[1200], path[300];
    (void)snprintf(script, sizeof script,
                   "trap 'sleep 0.4; touch %s/ended; exit 0' TERM; echo $$ > %s/pid; touch %s/up;"
                   "while :; do sleep 0.02; done",
                   dir, dir, dir);
    pid_t parent = fork();
    if (parent == 0) {
        struct nm_run_lock lock;
        struct nm_diag diag = {""};
        if (nm_run_lock_take(dir, 1000, NULL, &lock, &diag) != NM_OK)
            _exit(1);
        (void)start("worker", script, lock.crew_fd);
        for (;;)
            pause();
    }
    wait_for_file("up");
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    struct nm_diag diag = {""};
    struct nm_run_lock lock;
    assert_int_equal(nm_run_lock_take(dir, 10000, NULL, &lock, &diag), NM_OK);
    (void)snprintf(path, sizeof path, "%s/ended", dir);
    assert_true(nm_file_exists(path)); /* the lock came only after the process had ended in its own time */
    nm_run_lock_release(&lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_success_is_no_failure, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_error_code_ends_with_last_words, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_last_words_are_of_this_start, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_killed_is_started_again, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_restart_waits_for_what_is_taken, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_killed_too_often_fails, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_stop_is_gentle_first, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_stop_kills_the_deaf, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_unknown_program, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_second_run_is_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_nothing_outlives_a_killed_parent, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
