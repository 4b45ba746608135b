/* wire.h - a broker's wire spoken by hand: one connection to a real broker, and what to expect on it. */
#ifndef NM_TESTS_CHAOS_WIRE_H
#define NM_TESTS_CHAOS_WIRE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/net.h"
#include "schemas/messages.h"
#include "tests/chaos/server.h"

extern struct server wire_server;
extern struct nm_socket *wire_socket;   /* the connection that all of this speaks on */
extern struct nm_arena wire_arena;      /* of the message that came last */
extern struct nm_buf wire_in, wire_out; /* the last frame that came, and that went */

/* wire_set_up, wire_clean_up - once a program; argv[1] is the broker's.  false: it is not there. */
bool wire_set_up(int argc, char **argv);
void wire_clean_up(void);

/* wire_start - a broker with that goal, and a connection; wire_stop - a test's tear-down. */
void wire_start(uint64_t samples);
int wire_stop(void **state);

/* wire_connect - again; wire_second - another connection takes the place of wire_socket, which is returned;
 * wire_swap - the other takes it. */
void wire_connect(void);
struct nm_socket *wire_second(void);
struct nm_socket *wire_swap(struct nm_socket *other);

void wire_send_bytes(const void *data, size_t len);
void wire_send(const struct nm_msg *msg);

/* wire_expect - the next message of that type; others are passed over.  It lives until the next call. */
const struct nm_msg *wire_expect(enum nm_msg_type type);
void wire_expect_error(enum nm_err code, const char *words);

/* wire_hello - of a worker with four credits; wire_join - said, and welcomed. */
struct nm_msg wire_hello(const char *role, const char *worker);
void wire_join(const char *role, const char *worker);

/* wire_response - accepted with text, or (NULL) rejected; borrows text.  wire_answer - hand it in; acknowledged. */
struct nm_msg wire_response(uint64_t task, uint64_t attempt, const char *text);
void wire_answer(uint64_t task, uint64_t attempt, const char *text);

/* wire_ask - the stats socket; wire_count - a number of the statistics; wire_in_flight - of the first worker;
 * wire_expect_state - wait for the broker to be in it. */
json_t *wire_ask(const char *question);
int64_t wire_count(const char *key);
int64_t wire_in_flight(void);
void wire_expect_state(const char *wanted);

/* wire_logged - the broker's log has that by now. */
bool wire_logged(const char *words);

#endif
