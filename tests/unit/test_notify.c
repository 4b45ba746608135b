#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/notify.h"

static char dir[] = "/tmp/nermill-notify-XXXXXX";

/* systemd's side: a datagram socket under that name ("@": abstract). */
static int listen_on(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    memcpy(at.sun_path, name, len);
    if (name[0] == '@')
        at.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&at, size), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

static void expect(int fd, const char *text)
{
    char got[2048];
    ssize_t n = recv(fd, got, sizeof got - 1, 0);
    assert_true(n >= 0);
    got[n] = '\0';
    assert_string_equal(got, text);
}

static void test_a_socket_in_the_file_system(void **state)
{
    (void)state;
    char name[64], long_text[3000];
    snprintf(name, sizeof name, "%s/notify", dir);
    int fd = listen_on(name);
    assert_true(nm_notify("READY=1\nSTATUS=%d samples", 7));
    expect(fd, "READY=1\nSTATUS=7 samples");
    nm_notify_alive("so far");
    expect(fd, "WATCHDOG=1\nSTATUS=so far");
    nm_notify_alive(NULL);
    expect(fd, "WATCHDOG=1");
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    assert_true(nm_notify("%s", long_text)); /* cut */
    long_text[1023] = '\0';
    expect(fd, long_text);
    for (int i = 0; i < 100000 && nm_notify("STATUS=%d", i); i++) { /* nobody reads: lost, not waited for */
    }
    close(fd);
    assert_false(nm_notify("READY=1")); /* nobody listens */
    unlink(name);
}

static void test_an_abstract_socket(void **state)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "@nermill-notify-%d", (int)getpid());
    int fd = listen_on(name);
    assert_true(nm_notify("STOPPING=1"));
    expect(fd, "STOPPING=1");
    close(fd);
}

static void test_no_systemd(void **state)
{
    (void)state;
    const char *const none[] = {"", "/", "relative", "vsock:2:1"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        setenv("NOTIFY_SOCKET", none[i], 1);
        assert_false(nm_notify("READY=1"));
    }
    char endless[300];
    memset(endless, '/', sizeof endless);
    endless[sizeof endless - 1] = '\0';
    setenv("NOTIFY_SOCKET", endless, 1);
    assert_false(nm_notify("READY=1"));
    unsetenv("NOTIFY_SOCKET");
    assert_false(nm_notify("READY=1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_socket_in_the_file_system),
        cmocka_unit_test(test_an_abstract_socket),
        cmocka_unit_test(test_no_systemd),
    };
    if (!mkdtemp(dir))
        return 1;
    int failed = cmocka_run_group_tests_name("notify", tests, NULL, NULL);
    return rmdir(dir) != 0 || failed;
}
