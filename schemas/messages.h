/* messages.h - every message on the wire and every record on disk, from one field list each.
 *
 * A field list gives the struct, the encoder and the decoder.  A frame is the msgpack array [type, map]; a record
 * on disk is the map alone.  Decoding skips unknown fields, leaves absent ones zero, and refuses whatever is over
 * its declared maximum.  The grammar for other languages is PROTOCOL.md.
 *
 * Strings and lists in a decoded struct live in the caller's arena.  Any thread.
 */
#ifndef NM_SCHEMAS_MESSAGES_H
#define NM_SCHEMAS_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"

enum {
    NM_PROTOCOL_VERSION = 1,
    NM_FRAME_MAX = 16 << 20, /* bytes in one frame */
    NM_TEXT_MAX = 1 << 20,   /* bytes in one text */
    NM_BODY_MAX = 8 << 20,   /* bytes in one raw LLM answer, and in one blob chunk */
    NM_NAME_MAX = 256,
    NM_LINE_MAX = 4096,
    NM_LIST_MAX = 1 << 20, /* items in one list */
    NM_ANSWERS_MAX = 8,    /* earlier answers in one task */
    NM_LINES_MAX = 20,     /* sentences that one call asks for */
    NM_NOTES_MAX = 64,     /* kinds of spans that are counted */
    NM_SPANS_MAX = 4096,   /* mentions in one text */
    NM_FINGERPRINT_MAX = 1024
};

/* A masked token's tag, as spaCy writes a missing one: neither a type nor O, ignored by the loss. */
#define NM_TAG_TEXT_MASKED "-"
/* The index of a mention that is on no list. */
#define NM_NO_INDEX UINT64_MAX

/* The rule of a text that passed and is yet to be verified: no rejection. */
#define NM_UNVERIFIED "unverified"
/* The rule of a request that a replay has no answer to: its task is not asked again. */
#define NM_NOT_RECORDED "not_recorded"

/* What a span is: a mention; or uncertain, and its tokens are left out of the loss. */
enum nm_span_state { NM_SPAN_LABELLED = 0, NM_SPAN_MASKED = 1 };

/* Bytes with a length; after decoding ptr is NUL-terminated behind len and never NULL. */
struct nm_str {
    const char *ptr;
    size_t len;
};

/* nm_str - borrow a C string (NULL: empty). */
struct nm_str nm_str(const char *s);

/* ---- field lists: X(kind, name, maximum) --------------------------------------------------------------------
 * kinds: U64, F64, BOOL, STR (UTF-8), BIN, and LIST_<item> (an array of maps)
 */

/* One field a line: left to itself, the formatter finds a new shape at every turn. */
/* clang-format off */

/* One entity asked for: its text, its type, its index in the concatenated lists. */
#define NM_FIELDS_entity(X) X(STR, text, NM_LINE_MAX) X(STR, type, NM_NAME_MAX) X(U64, index, 0)

/* One attempt that a worker holds, or that is acknowledged.  keep: false tells the worker to drop what it has; place:
 * of the sample among those of that aligner, from 1 (0: none is known). */
#define NM_FIELDS_hold(X) X(U64, task, 0) X(U64, attempt, 0) X(BOOL, keep, 0) X(U64, place, 0)

/* One aligner in the broker's directory; endpoint is where its shards are served; shards: sealed ones, which the broker's
 * blob "index/WORKER" lists. */
#define NM_FIELDS_aligner(X)                                                                                         \
    X(STR, worker, NM_NAME_MAX) X(STR, endpoint, NM_NAME_MAX) X(U64, samples, 0) X(U64, shards, 0)

/* One token of a sample: byte offsets into text, and the tag ("O", "B-Chemical"; "-": masked). */
#define NM_FIELDS_token(X) X(U64, start, 0) X(U64, end, 0) X(STR, tag, NM_NAME_MAX)

/* One span of a sample that is a mention or may be one: byte offsets into text, its type (empty: masked), whether it was
 * asked for, its entity's index (NM_NO_INDEX: not on the lists), and what there is to say about it (see PROTOCOL.md;
 * empty: a listed entity). */
#define NM_FIELDS_mention(X)                                                                                         \
    X(U64, start, 0)                                                                                                 \
    X(U64, end, 0)                                                                                                   \
    X(STR, type, NM_NAME_MAX)                                                                                        \
    X(BOOL, requested, 0)                                                                                            \
    X(U64, index, 0) \
    X(STR, note, NM_NAME_MAX)

/* One mention that the model told of: offsets into the text in characters (code points), the place of its type among
 * the project's types, and enum nm_span_state. */
#define NM_FIELDS_span(X) X(U64, start, 0) X(U64, end, 0) X(U64, type, 0) X(U64, state, 0)

/* One answer to an earlier generation's request for the same place of the plan, or of the run that is replayed: it is
 * used again if the request is the same; or to the call that this task shared.  request: as in a response.  Of a replay
 * alone: request is the hash of the request's body with the seed salt (0: a response's body_key); status, rule, detail:
 * of an answer that holds no text to judge.  constraint, prompt_hash, seed: as in a response. */
#define NM_FIELDS_answer(X)                                                                                          \
    X(U64, task, 0) X(U64, request, 0) X(STR, endpoint, NM_NAME_MAX) X(BIN, body, NM_BODY_MAX) \
    X(U64, salt, 0) X(STR, constraint, NM_NAME_MAX) X(U64, status, 0) X(STR, rule, NM_NAME_MAX) \
    X(STR, detail, NM_LINE_MAX) X(STR, prompt_hash, NM_NAME_MAX) X(U64, seed, 0)

/* One more sentence that a call asks for, as a task says it of its own. */
#define NM_FIELDS_ask(X)                                                                                             \
    X(U64, seed, 0)                                                                                                  \
    X(LIST_entity, entities, 256)                                                                                    \
    X(BOOL, negative, 0)                                                                                             \
    X(STR, style, NM_LINE_MAX)                                                                                       \
    X(STR, section, NM_LINE_MAX)                                                                                     \
    X(U64, min_words, 0)                                                                                             \
    X(U64, max_words, 0)                                                                                             \
    X(STR, decoy, NM_LINE_MAX)

/* One endpoint as a generator's circuit breaker has it.  state: "closed", "open", "half-open", "stopped"; of an open one
 * why: "trouble", "busy", "loading", "quota", and wait_ms: so long; failures: calls in a row; detail: the last one's line. */
#define NM_FIELDS_circuit(X)                                                                                         \
    X(STR, endpoint, NM_NAME_MAX)                                                                                    \
    X(STR, state, NM_NAME_MAX)                                                                                       \
    X(STR, why, NM_NAME_MAX)                                                                                         \
    X(U64, wait_ms, 0)                                                                                               \
    X(U64, failures, 0)                                                                                              \
    X(STR, detail, NM_LINE_MAX)

/* How many spans of a text there are of one kind: "masked", or the note of a mention. */
#define NM_FIELDS_count(X) X(STR, name, NM_NAME_MAX) X(U64, n, 0)

/* worker -> broker, first on every connection and whenever the broker does not know the sender.
 * worker: persistent id; credit: how many tasks it takes at once; holding: what it has not had acknowledged;
 * endpoint: where an aligner serves its shards; run: the run it last worked for, empty if none; places: of an
 * aligner, one more than the last that has a sample. */
#define NM_FIELDS_hello(X)                                                                                           \
    X(U64, protocol, 0)                                                                                              \
    X(STR, role, NM_NAME_MAX)                                                                                        \
    X(STR, worker, NM_NAME_MAX)                                                                                      \
    X(STR, software, NM_NAME_MAX)                                                                                    \
    X(STR, host, NM_NAME_MAX)                                                                                        \
    X(U64, pid, 0)                                                                                                   \
    X(STR, run, NM_NAME_MAX)                                                                                         \
    X(U64, credit, 0)                                                                                                \
    X(STR, endpoint, NM_NAME_MAX)                                                                                    \
    X(LIST_hold, holding, NM_LIST_MAX)                                                                               \
    X(U64, places, 0)

/* broker -> worker: the answer to hello.  To an aligner, places: how many it has been given; shards: how many of its
 * sealed shards the broker has on record. */
#define NM_FIELDS_welcome(X)                                                                                         \
    X(U64, protocol, 0)                                                                                              \
    X(STR, software, NM_NAME_MAX)                                                                                    \
    X(STR, run, NM_NAME_MAX)                                                                                         \
    X(STR, project, NM_NAME_MAX)                                                                                     \
    X(U64, heartbeat_ms, 0)                                                                                          \
    X(U64, lease_ms, 0)                                                                                              \
    X(U64, generation, 0)                                                                                            \
    X(U64, places, 0)                                                                                                \
    X(U64, shards, 0)

/* both ways; a worker's keeps its leases. */
#define NM_FIELDS_heartbeat(X) X(U64, holding, 0)

/* worker -> broker: it leaves; what it holds is leased to others at once. */
#define NM_FIELDS_goodbye(X) X(STR, reason, NM_LINE_MAX)

/* broker -> worker: why a frame was refused; code is enum nm_err.  NM_ESTATE asks for a new hello. */
#define NM_FIELDS_error(X) X(U64, code, 0) X(STR, text, NM_LINE_MAX)

/* broker -> generator: make one LLM call.  feedback_*: what was wrong with the last attempt's text; endpoint: where
 * (empty: anywhere); prompt_max: tokens that the prompt may have at most (0: any); answers: what is on record for earlier
 * requests at this place of the plan; decoy: a word that looks like an
 * entity and is to stand there as none; feedback_start, feedback_end: the characters of feedback_text that the rule is
 * about; verify: no new text, but a second look at feedback_text, whose mentions so far are mentions; line, lines: the
 * call asks for so many sentences, of which this task's is the line-th (0, 0: for its alone); asks: the others, with the
 * first; with a later line no call is to be made: the answer to it is the one in answers. */
#define NM_FIELDS_task(X)                                                                                            \
    X(U64, task, 0)                                                                                                  \
    X(U64, attempt, 0)                                                                                               \
    X(U64, seed, 0)                                                                                                  \
    X(LIST_entity, entities, 256)                                                                                    \
    X(BOOL, negative, 0)                                                                                             \
    X(STR, style, NM_LINE_MAX)                                                                                       \
    X(STR, section, NM_LINE_MAX)                                                                                     \
    X(U64, min_words, 0)                                                                                             \
    X(U64, max_words, 0)                                                                                             \
    X(BOOL, last_try, 0)                                                                                             \
    X(STR, feedback_rule, NM_NAME_MAX)                                                                               \
    X(STR, feedback_detail, NM_LINE_MAX)                                                                             \
    X(STR, feedback_text, NM_TEXT_MAX) \
    X(STR, endpoint, NM_NAME_MAX) \
    X(U64, prompt_max, 0) \
    X(LIST_answer, answers, NM_ANSWERS_MAX) \
    X(STR, decoy, NM_LINE_MAX) \
    X(U64, feedback_start, 0) \
    X(U64, feedback_end, 0) \
    X(BOOL, verify, 0) \
    X(LIST_span, mentions, NM_SPANS_MAX) \
    X(U64, line, 0) \
    X(U64, lines, 0) \
    X(LIST_ask, asks, NM_LINES_MAX)

/* generator -> broker: an answered call, accepted or not; also the record in the response log.
 * rule, detail: why it was rejected; body: the raw HTTP body; created_ms: Unix time; cost_micros: millionths of the
 * project's currency; prompt_bound: tokens that the prompt can have had at most; mentions: what the model told of, in
 * the order of their starts, none over another; marked: it was to mark every mention, so that no other one is known;
 * fingerprint: of an accepted text, for the search for duplicates (fingerprint.h); request: XXH3-64 of the endpoint's url
 * and the request's body; reused: no call was made, the body is that of the answer to task reused_from;
 * span_start, span_end: the characters of text that the rule is about; verifies: it is the second look at the text of
 * the attempt before.  The rule NM_UNVERIFIED asks for that look.  prompt: of a last try that was rejected, role by
 * role: the dead letter has it; line, lines: as in the task: with a line after the first no call was made, the body is
 * not repeated, and reused_from is the task whose call it was.  body_key: XXH3-64 of the
 * request's body alone, wherever it was sent (0: not known). */
#define NM_FIELDS_response(X)                                                                                        \
    X(U64, task, 0)                                                                                                  \
    X(U64, attempt, 0)                                                                                               \
    X(BOOL, accepted, 0)                                                                                             \
    X(STR, text, NM_TEXT_MAX)                                                                                        \
    X(STR, rule, NM_NAME_MAX)                                                                                        \
    X(STR, detail, NM_LINE_MAX)                                                                                      \
    X(LIST_entity, entities, 256)                                                                                    \
    X(STR, endpoint, NM_NAME_MAX)                                                                                    \
    X(STR, model, NM_NAME_MAX)                                                                                       \
    X(STR, prompt_hash, NM_NAME_MAX)                                                                                 \
    X(U64, seed, 0)                                                                                                  \
    X(STR, constraint, NM_NAME_MAX)                                                                                  \
    X(U64, status, 0)                                                                                                \
    X(U64, tokens_in, 0)                                                                                             \
    X(U64, tokens_out, 0)                                                                                            \
    X(U64, latency_ms, 0)                                                                                            \
    X(U64, created_ms, 0)                                                                                            \
    X(U64, cost_micros, 0)                                                                                           \
    X(BIN, body, NM_BODY_MAX) \
    X(U64, prompt_bound, 0) \
    X(LIST_span, mentions, NM_SPANS_MAX) \
    X(BOOL, marked, 0) \
    X(BIN, fingerprint, NM_FINGERPRINT_MAX) \
    X(U64, request, 0) \
    X(BOOL, reused, 0) \
    X(U64, reused_from, 0) \
    X(U64, span_start, 0) \
    X(U64, span_end, 0) \
    X(BOOL, verifies, 0) \
    X(STR, prompt, NM_TEXT_MAX) \
    X(U64, body_key, 0) \
    X(U64, line, 0) \
    X(U64, lines, 0)

/* generator -> broker: a call that brought no answer; burns no attempt.
 * kind: "connect", "timeout", "cut", "http", "garbage", "quota", "shutdown", "unsent", "canary"; fatal: this endpoint
 * is of no use; tokens_in, tokens_out: what it used all the same; prompt_bound: as in a response. */
#define NM_FIELDS_failure(X)                                                                                         \
    X(U64, task, 0)                                                                                                  \
    X(U64, attempt, 0)                                                                                               \
    X(STR, kind, NM_NAME_MAX)                                                                                        \
    X(STR, endpoint, NM_NAME_MAX)                                                                                    \
    X(STR, detail, NM_LINE_MAX)                                                                                      \
    X(U64, status, 0)                                                                                                \
    X(U64, retry_after_ms, 0)                                                                                        \
    X(BOOL, fatal, 0) \
    X(U64, tokens_in, 0) \
    X(U64, tokens_out, 0) \
    X(U64, prompt_bound, 0)

/* broker -> worker: these are durable at the broker. */
#define NM_FIELDS_ack(X) X(LIST_hold, items, NM_LIST_MAX)

/* broker -> aligner: align and keep one accepted text. */
#define NM_FIELDS_align(X)                                                                                           \
    X(U64, task, 0)                                                                                                  \
    X(U64, attempt, 0)                                                                                               \
    X(STR, text, NM_TEXT_MAX)                                                                                        \
    X(LIST_entity, entities, 256)                                                                                    \
    X(STR, prompt_hash, NM_NAME_MAX)                                                                                 \
    X(STR, model, NM_NAME_MAX)                                                                                       \
    X(U64, seed, 0)                                                                                                  \
    X(STR, constraint, NM_NAME_MAX) \
    X(LIST_span, mentions, NM_SPANS_MAX) \
    X(BOOL, marked, 0)

/* aligner -> broker: committed on the aligner's disk; kept until acknowledged, then served or dropped.
 * rule: empty, or why the sample cannot be used; notes: spans that there is something to say about. */
#define NM_FIELDS_aligned(X)                                                                                         \
    X(U64, task, 0)                                                                                                  \
    X(U64, attempt, 0)                                                                                               \
    X(U64, tokens, 0)                                                                                                \
    X(U64, mentions, 0)                                                                                              \
    X(STR, rule, NM_NAME_MAX)                                                                                        \
    X(STR, detail, NM_LINE_MAX)                                                                                      \
    X(LIST_count, notes, NM_NOTES_MAX)

/* broker -> generator: the goal is reached; a generator started with --exit-when-done leaves. */
#define NM_FIELDS_done(X) X(U64, accepted, 0) X(U64, aligned, 0)

/* any -> broker, trainer -> aligner: part of a named blob. */
#define NM_FIELDS_blob_read(X) X(STR, name, NM_NAME_MAX) X(U64, offset, 0) X(U64, length, 0)

/* the answer: data at offset of total bytes; checksum: XXH3-64 of data; digest: XXH3-64 of the whole blob;
 * error: empty, or why there is none; retry_ms: there will be, if asked again after that time. */
#define NM_FIELDS_blob_data(X)                                                                                       \
    X(STR, name, NM_NAME_MAX)                                                                                        \
    X(U64, offset, 0)                                                                                                \
    X(U64, total, 0)                                                                                                 \
    X(U64, checksum, 0)                                                                                              \
    X(U64, digest, 0)                                                                                                \
    X(STR, error, NM_LINE_MAX)                                                                                       \
    X(BIN, data, NM_BODY_MAX)                                                                                        \
    X(U64, retry_ms, 0)

/* trainer, cli -> broker: who has the data set. */
#define NM_FIELDS_directory_read(X) X(STR, run, NM_NAME_MAX)
#define NM_FIELDS_directory(X)                                                                                       \
    X(STR, run, NM_NAME_MAX)                                                                                         \
    X(BOOL, complete, 0)                                                                                             \
    X(U64, aligned, 0)                                                                                               \
    X(LIST_aligner, aligners, 4096)

/* aligner -> broker: a shard of its is full and will not change again, for the directory; not acknowledged: what the
 * broker does not know is told again after the next welcome. */
#define NM_FIELDS_sealed(X) X(U64, shard, 0) X(U64, count, 0) X(U64, bytes, 0) X(U64, digest, 0)

/* trainer -> broker: how a training on this run's samples goes, for the statistics; no hello, not acknowledged.
 * state: "running", "done", "stopped" or "failed"; epoch: done so far; loss: mean since the last such message; scored:
 * what precision, recall and f1 are of, "dev" or "gold" (empty: nothing yet), after scored_step steps. */
#define NM_FIELDS_training(X)                                                                                        \
    X(STR, run, NM_NAME_MAX)                                                                                         \
    X(STR, host, NM_NAME_MAX)                                                                                        \
    X(U64, pid, 0)                                                                                                   \
    X(STR, state, NM_NAME_MAX)                                                                                       \
    X(U64, step, 0)                                                                                                  \
    X(U64, steps, 0)                                                                                                 \
    X(F64, epoch, 0)                                                                                                 \
    X(U64, epochs, 0)                                                                                                \
    X(F64, loss, 0)                                                                                                  \
    X(F64, learning_rate, 0)                                                                                         \
    X(F64, grad_norm, 0)                                                                                             \
    X(F64, tokens_per_s, 0)                                                                                          \
    X(STR, scored, NM_NAME_MAX)                                                                                      \
    X(U64, scored_step, 0)                                                                                           \
    X(F64, precision, 0)                                                                                             \
    X(F64, recall, 0)                                                                                                \
    X(F64, f1, 0)

/* generator -> broker: all of its circuit breakers, when one has changed and after a welcome; not acknowledged. */
#define NM_FIELDS_circuits(X) X(LIST_circuit, list, 1000)

/* A finished BIO sample: the record in an aligner's store and in a shard. */
#define NM_FIELDS_sample(X)                                                                                          \
    X(U64, task, 0)                                                                                                  \
    X(U64, attempt, 0)                                                                                               \
    X(STR, text, NM_TEXT_MAX)                                                                                        \
    X(LIST_token, tokens, NM_LIST_MAX)                                                                               \
    X(LIST_mention, mentions, NM_LIST_MAX)                                                                           \
    X(STR, prompt_hash, NM_NAME_MAX)                                                                                 \
    X(STR, model, NM_NAME_MAX)                                                                                       \
    X(U64, seed, 0)                                                                                                  \
    X(STR, constraint, NM_NAME_MAX)

/* Every frame type: X(NUMBER, name).  Numbers are never reused. */
#define NM_MESSAGES(X)                                                                                               \
    X(1, hello)                                                                                                      \
    X(2, welcome)                                                                                                    \
    X(3, heartbeat)                                                                                                  \
    X(4, goodbye)                                                                                                    \
    X(5, error)                                                                                                      \
    X(6, task)                                                                                                       \
    X(7, response)                                                                                                   \
    X(8, failure)                                                                                                    \
    X(9, ack)                                                                                                        \
    X(10, align)                                                                                                     \
    X(11, aligned)                                                                                                   \
    X(12, done)                                                                                                      \
    X(13, blob_read)                                                                                                 \
    X(14, blob_data)                                                                                                 \
    X(15, directory_read)                                                                                            \
    X(16, directory)                                                                                                 \
    X(17, sealed)                                                                                                    \
    X(18, training)                                                                                                  \
    X(19, circuits)
/* clang-format on */

/* ---- the structs ----------------------------------------------------------------------------- */

#define NM_MEMBER_U64(name) uint64_t name;
#define NM_MEMBER_F64(name) double name;
#define NM_MEMBER_BOOL(name) bool name;
#define NM_MEMBER_STR(name) struct nm_str name;
#define NM_MEMBER_BIN(name) struct nm_str name;
#define NM_MEMBER_LIST_answer(name)                                                                                  \
    struct nm_msg_answer *name;                                                                                      \
    size_t n_##name;
#define NM_MEMBER_LIST_ask(name)                                                                                     \
    struct nm_msg_ask *name;                                                                                         \
    size_t n_##name;
#define NM_MEMBER_LIST_entity(name)                                                                                  \
    struct nm_msg_entity *name;                                                                                      \
    size_t n_##name;
#define NM_MEMBER_LIST_hold(name)                                                                                    \
    struct nm_msg_hold *name;                                                                                        \
    size_t n_##name;
#define NM_MEMBER_LIST_aligner(name)                                                                                 \
    struct nm_msg_aligner *name;                                                                                     \
    size_t n_##name;
#define NM_MEMBER_LIST_token(name)                                                                                   \
    struct nm_msg_token *name;                                                                                       \
    size_t n_##name;
#define NM_MEMBER_LIST_mention(name)                                                                                 \
    struct nm_msg_mention *name;                                                                                     \
    size_t n_##name;
#define NM_MEMBER_LIST_circuit(name)                                                                                 \
    struct nm_msg_circuit *name;                                                                                     \
    size_t n_##name;
#define NM_MEMBER_LIST_count(name)                                                                                   \
    struct nm_msg_count *name;                                                                                       \
    size_t n_##name;
#define NM_MEMBER_LIST_span(name)                                                                                    \
    struct nm_msg_span *name;                                                                                        \
    size_t n_##name;
#define NM_MEMBER(kind, name, max) NM_MEMBER_##kind(name)
#define NM_STRUCT(name)                                                                                              \
    struct nm_msg_##name {                                                                                           \
        NM_FIELDS_##name(NM_MEMBER)                                                                                  \
    }

NM_STRUCT(answer);
NM_STRUCT(entity);
NM_STRUCT(ask);
NM_STRUCT(hold);
NM_STRUCT(aligner);
NM_STRUCT(token);
NM_STRUCT(mention);
NM_STRUCT(span);
NM_STRUCT(count);
NM_STRUCT(circuit);
#define NM_MESSAGE_STRUCT(number, name) NM_STRUCT(name);
NM_MESSAGES(NM_MESSAGE_STRUCT)
NM_STRUCT(sample);

enum nm_msg_type {
#define NM_MESSAGE_ENUM(number, name) NM_MSG_##name = (number),
    NM_MESSAGES(NM_MESSAGE_ENUM)
};

/* A frame in memory: msg.type says which member of msg.u is meant, e.g. NM_MSG_task and msg.u.task. */
struct nm_msg {
    enum nm_msg_type type;
    union {
#define NM_MESSAGE_MEMBER(number, name) struct nm_msg_##name name;
        NM_MESSAGES(NM_MESSAGE_MEMBER)
    } u;
};

/* nm_response_rejected - it is neither accepted, nor one that is yet to be verified. */
bool nm_response_rejected(const struct nm_msg_response *response);

/* nm_msg_type_name - "task"; "unknown" for a number that is none. */
const char *nm_msg_type_name(enum nm_msg_type type);

/* nm_msg_encode - append the frame to out.  NM_ELIMIT: a field over its maximum, or out full.  NM_ENOMEM.
 * NM_EFORMAT: a STR field that is not UTF-8. */
enum nm_err nm_msg_encode(const struct nm_msg *msg, struct nm_buf *out);

/* nm_msg_decode - read one frame into *msg, its strings and lists into arena.
 * NM_EFORMAT: not msgpack, wrong shape or kind, not UTF-8, trailing bytes; NM_ELIMIT: over a maximum;
 * NM_EVERSION: a type this build does not know; NM_ENOMEM.  diag names the message and the field. */
enum nm_err nm_msg_decode(const void *data, size_t len, struct nm_arena *arena, struct nm_msg *msg,
                          struct nm_diag *diag);

/* nm_msg_map - the bytes of the map in a frame that nm_msg_decode has read: the form of a record on disk. */
struct nm_str nm_msg_map(const void *frame, size_t len);

/* Records on disk: the same encoding without the type.  Errors as above. */
enum nm_err nm_response_encode(const struct nm_msg_response *response, struct nm_buf *out);
enum nm_err nm_response_decode(const void *data, size_t len, struct nm_arena *arena, struct nm_msg_response *response,
                               struct nm_diag *diag);
enum nm_err nm_sample_encode(const struct nm_msg_sample *sample, struct nm_buf *out);
enum nm_err nm_sample_decode(const void *data, size_t len, struct nm_arena *arena, struct nm_msg_sample *sample,
                             struct nm_diag *diag);

#endif
