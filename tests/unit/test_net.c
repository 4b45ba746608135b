/* Net: frames over real TCP between a router and dealers; ports in use; peers that are gone. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/net.h"

static struct nm_diag diag;

static int set_up(void **state)
{
    (void)state;
    nm_net_init();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    nm_net_clean_up();
    return 0;
}

static void wait_for(struct nm_socket *socket)
{
    bool ready = false;
    for (int i = 0; i < 50 && !ready; i++)
        (void)nm_net_wait(&socket, 1, 100, &ready);
    assert_true(ready);
}

static void send_when_connected(struct nm_socket *dealer, const char *text)
{
    enum nm_err err = NM_EBUSY;
    for (int i = 0; i < 200 && err == NM_EBUSY; i++) {
        err = nm_socket_send(dealer, NULL, text, strlen(text));
        if (err == NM_EBUSY)
            usleep(10000);
    }
    assert_int_equal(err, NM_OK);
}

static void two_dealers_talk_to_a_router(void **state)
{
    (void)state;
    struct nm_socket *router, *one, *two;
    struct nm_buf buf;
    struct nm_peer peer;
    nm_buf_init(&buf, 1 << 20);
    assert_int_equal(nm_socket_bind(NM_ROUTER, "tcp://127.0.0.1:*", &router, &diag), NM_OK);
    assert_int_equal(nm_socket_connect(NM_DEALER, nm_socket_endpoint(router), &one, &diag), NM_OK);
    assert_int_equal(nm_socket_connect(NM_DEALER, nm_socket_endpoint(router), &two, &diag), NM_OK);
    send_when_connected(one, "from one");
    send_when_connected(two, "from two");
    for (int i = 0; i < 2; i++) {
        wait_for(router);
        assert_int_equal(nm_socket_recv(router, &peer, &buf), NM_OK);
        assert_int_equal(nm_socket_send(router, &peer, buf.data, buf.len), NM_OK);
    }
    assert_int_equal(nm_socket_recv(router, &peer, &buf), NM_EBUSY);
    wait_for(one);
    assert_int_equal(nm_socket_recv(one, NULL, &buf), NM_OK);
    assert_string_equal(nm_buf_str(&buf), "from one");
    wait_for(two);
    assert_int_equal(nm_socket_recv(two, NULL, &buf), NM_OK);
    assert_string_equal(nm_buf_str(&buf), "from two");
    nm_socket_destroy(&two);
    nm_socket_destroy(&one);
    nm_socket_destroy(&router);
    nm_buf_clean_up(&buf);
}

static void oversized_frame_is_dropped_and_the_next_one_arrives(void **state)
{
    (void)state;
    struct nm_socket *router, *dealer;
    struct nm_buf buf;
    struct nm_peer peer;
    nm_buf_init(&buf, 100);
    assert_int_equal(nm_socket_bind(NM_ROUTER, "tcp://127.0.0.1:*", &router, &diag), NM_OK);
    assert_int_equal(nm_socket_connect(NM_DEALER, nm_socket_endpoint(router), &dealer, &diag), NM_OK);
    char big[200];
    memset(big, 'x', sizeof big);
    send_when_connected(dealer, "small");
    assert_int_equal(nm_socket_send(dealer, NULL, big, sizeof big), NM_OK);
    assert_int_equal(nm_socket_send(dealer, NULL, "last", 4), NM_OK);
    enum nm_err want[] = {NM_OK, NM_ELIMIT, NM_OK};
    for (int i = 0; i < 3; i++) {
        wait_for(router);
        assert_int_equal(nm_socket_recv(router, &peer, &buf), want[i]);
    }
    assert_string_equal(nm_buf_str(&buf), "last");
    nm_socket_destroy(&dealer);
    nm_socket_destroy(&router);
    nm_buf_clean_up(&buf);
}

static void port_in_use_and_bad_endpoints_are_told_in_words(void **state)
{
    (void)state;
    struct nm_socket *router, *other;
    assert_int_equal(nm_socket_bind(NM_ROUTER, "tcp://127.0.0.1:*", &router, &diag), NM_OK);
    assert_int_equal(nm_socket_bind(NM_ROUTER, nm_socket_endpoint(router), &other, &diag), NM_EBUSY);
    assert_non_null(strstr(diag.text, "in use"));
    assert_non_null(strstr(diag.text, nm_socket_endpoint(router)));
    assert_int_equal(nm_socket_bind(NM_ROUTER, "127.0.0.1:80", &other, &diag), NM_EINVAL);
    assert_int_equal(nm_socket_connect(NM_DEALER, "htp://x", &other, &diag), NM_EINVAL);
    assert_null(other);
    nm_socket_destroy(&router);
}

/* Processes of the same second begin with the same numbers of random(), which CZMQ seeds. */
static void any_port_does_not_follow_from_the_clock(void **state)
{
    (void)state;
    enum { PROCESSES = 8, NEAR = 64 };
    long first = 0, farthest = 0;
    for (int i = 0; i < PROCESSES; i++) {
        struct nm_socket *router;
        srandom(1);
        assert_int_equal(nm_socket_bind(NM_ROUTER, "tcp://127.0.0.1:*", &router, &diag), NM_OK);
        long port = strtol(strrchr(nm_socket_endpoint(router), ':') + 1, NULL, 10);
        first = i == 0 ? port : first;
        farthest = labs(port - first) > farthest ? labs(port - first) : farthest;
        nm_socket_destroy(&router);
    }
    assert_true(farthest > NEAR);
}

static void a_peer_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    struct nm_socket *router, *dealer;
    struct nm_peer nobody = {.id = "abcd", .len = 5};
    assert_int_equal(nm_socket_bind(NM_ROUTER, "tcp://127.0.0.1:*", &router, &diag), NM_OK);
    assert_int_equal(nm_socket_send(router, &nobody, "x", 1), NM_ENOENT);
    assert_int_equal(nm_socket_connect(NM_DEALER, "tcp://127.0.0.1:9", &dealer, &diag), NM_OK);
    assert_int_equal(nm_socket_send(dealer, NULL, "x", 1), NM_EBUSY); /* nothing is queued for nobody */
    nm_socket_destroy(&dealer);
    nm_socket_destroy(&router);
}

static void published_frames_reach_subscribers(void **state)
{
    (void)state;
    struct nm_socket *pub, *sub;
    struct nm_buf buf;
    nm_buf_init(&buf, 1000);
    assert_int_equal(nm_socket_bind(NM_PUB, "tcp://127.0.0.1:*", &pub, &diag), NM_OK);
    assert_int_equal(nm_socket_connect(NM_SUB, nm_socket_endpoint(pub), &sub, &diag), NM_OK);
    enum nm_err err = NM_EBUSY;
    for (int i = 0; i < 100 && err == NM_EBUSY; i++) {
        assert_int_equal(nm_socket_send(pub, NULL, "tick", 4), NM_OK);
        usleep(20000);
        err = nm_socket_recv(sub, NULL, &buf);
    }
    assert_int_equal(err, NM_OK);
    assert_string_equal(nm_buf_str(&buf), "tick");
    nm_socket_destroy(&sub);
    nm_socket_destroy(&pub);
    nm_buf_clean_up(&buf);
}

/* Wait on the descriptor alone until linked is so: a change that did not wake it would be missed. */
static void wait_for_link(struct nm_socket *dealer, bool linked)
{
    struct pollfd fd = {.fd = nm_socket_fd(dealer), .events = POLLIN};
    while (nm_socket_linked(dealer) != linked)
        assert_int_equal(poll(&fd, 1, 20000), 1);
}

static void a_connection_that_breaks_and_comes_back_is_noticed(void **state)
{
    (void)state;
    struct nm_socket *router, *dealer;
    char endpoint[100];
    assert_int_equal(nm_socket_bind(NM_ROUTER, "tcp://127.0.0.1:*", &router, &diag), NM_OK);
    (void)snprintf(endpoint, sizeof endpoint, "%s", nm_socket_endpoint(router));
    assert_int_equal(nm_socket_connect(NM_DEALER, endpoint, &dealer, &diag), NM_OK);
    for (int i = 0; i < 3; i++) {
        wait_for_link(dealer, true);
        nm_socket_destroy(&router);
        wait_for_link(dealer, false);
        assert_int_equal(nm_socket_bind(NM_ROUTER, endpoint, &router, &diag), NM_OK);
    }
    nm_socket_destroy(&dealer);
    nm_socket_destroy(&router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_dealers_talk_to_a_router),
        cmocka_unit_test(oversized_frame_is_dropped_and_the_next_one_arrives),
        cmocka_unit_test(port_in_use_and_bad_endpoints_are_told_in_words),
        cmocka_unit_test(any_port_does_not_follow_from_the_clock),
        cmocka_unit_test(a_peer_that_is_not_there_is_an_error),
        cmocka_unit_test(a_connection_that_breaks_and_comes_back_is_noticed),
        cmocka_unit_test(published_frames_reach_subscribers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
