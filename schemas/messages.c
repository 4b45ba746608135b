/* messages.c - field tables made from the lists in messages.h, and one encoder and decoder that walk them. */
#include "schemas/messages.h"

#include <assert.h>
#include <msgpack.h>
#include <string.h>

#include "common/utf8.h"
#include "schemas/unpack.h"

enum kind { KIND_U64, KIND_F64, KIND_BOOL, KIND_STR, KIND_BIN, KIND_LIST };

struct table;

struct field {
    const char *name;
    size_t name_len;
    enum kind kind;
    size_t offset;       /* of the member */
    size_t count_offset; /* of n_<member>, lists only */
    size_t max;          /* bytes or items */
    const struct table *item;
};

struct table {
    const char *name;
    size_t size; /* of the struct */
    const struct field *fields;
    size_t n_fields;
};

#define FIELD_U64(owner, member, limit)                                                                              \
    {.name = #member,                                                                                                \
     .name_len = sizeof #member - 1,                                                                                 \
     .kind = KIND_U64,                                                                                               \
     .offset = offsetof(struct nm_msg_##owner, member)},
#define FIELD_F64(owner, member, limit)                                                                              \
    {.name = #member,                                                                                                \
     .name_len = sizeof #member - 1,                                                                                 \
     .kind = KIND_F64,                                                                                               \
     .offset = offsetof(struct nm_msg_##owner, member)},
#define FIELD_BOOL(owner, member, limit)                                                                             \
    {.name = #member,                                                                                                \
     .name_len = sizeof #member - 1,                                                                                 \
     .kind = KIND_BOOL,                                                                                              \
     .offset = offsetof(struct nm_msg_##owner, member)},
#define FIELD_STR(owner, member, limit)                                                                              \
    {.name = #member,                                                                                                \
     .name_len = sizeof #member - 1,                                                                                 \
     .kind = KIND_STR,                                                                                               \
     .offset = offsetof(struct nm_msg_##owner, member),                                                              \
     .max = (limit)},
#define FIELD_BIN(owner, member, limit)                                                                              \
    {.name = #member,                                                                                                \
     .name_len = sizeof #member - 1,                                                                                 \
     .kind = KIND_BIN,                                                                                               \
     .offset = offsetof(struct nm_msg_##owner, member),                                                              \
     .max = (limit)},
#define FIELD_LIST(owner, member, limit, of)                                                                         \
    {.name = #member,                                                                                                \
     .name_len = sizeof #member - 1,                                                                                 \
     .kind = KIND_LIST,                                                                                              \
     .offset = offsetof(struct nm_msg_##owner, member),                                                              \
     .count_offset = offsetof(struct nm_msg_##owner, n_##member),                                                    \
     .max = (limit),                                                                                                 \
     .item = &of##_table},
#define FIELD_LIST_answer(owner, member, limit) FIELD_LIST(owner, member, limit, answer)
#define FIELD_LIST_ask(owner, member, limit) FIELD_LIST(owner, member, limit, ask)
#define FIELD_LIST_entity(owner, member, limit) FIELD_LIST(owner, member, limit, entity)
#define FIELD_LIST_hold(owner, member, limit) FIELD_LIST(owner, member, limit, hold)
#define FIELD_LIST_aligner(owner, member, limit) FIELD_LIST(owner, member, limit, aligner)
#define FIELD_LIST_token(owner, member, limit) FIELD_LIST(owner, member, limit, token)
#define FIELD_LIST_mention(owner, member, limit) FIELD_LIST(owner, member, limit, mention)
#define FIELD_LIST_circuit(owner, member, limit) FIELD_LIST(owner, member, limit, circuit)
#define FIELD_LIST_count(owner, member, limit) FIELD_LIST(owner, member, limit, count)
#define FIELD_LIST_span(owner, member, limit) FIELD_LIST(owner, member, limit, span)

#define TABLE(owner)                                                                                                 \
    static const struct table owner##_table = {                                                                      \
        .name = #owner,                                                                                              \
        .size = sizeof(struct nm_msg_##owner),                                                                       \
        .fields = owner##_fields,                                                                                    \
        .n_fields = sizeof owner##_fields / sizeof *owner##_fields,                                                  \
    };

#define F(kind, member, limit) FIELD_##kind(answer, member, limit)
static const struct field answer_fields[] = {NM_FIELDS_answer(F)};
TABLE(answer)
#undef F
#define F(kind, member, limit) FIELD_##kind(entity, member, limit)
static const struct field entity_fields[] = {NM_FIELDS_entity(F)};
TABLE(entity)
#undef F
#define F(kind, member, limit) FIELD_##kind(ask, member, limit)
static const struct field ask_fields[] = {NM_FIELDS_ask(F)};
TABLE(ask)
#undef F
#define F(kind, member, limit) FIELD_##kind(hold, member, limit)
static const struct field hold_fields[] = {NM_FIELDS_hold(F)};
TABLE(hold)
#undef F
#define F(kind, member, limit) FIELD_##kind(aligner, member, limit)
static const struct field aligner_fields[] = {NM_FIELDS_aligner(F)};
TABLE(aligner)
#undef F
#define F(kind, member, limit) FIELD_##kind(token, member, limit)
static const struct field token_fields[] = {NM_FIELDS_token(F)};
TABLE(token)
#undef F
#define F(kind, member, limit) FIELD_##kind(mention, member, limit)
static const struct field mention_fields[] = {NM_FIELDS_mention(F)};
TABLE(mention)
#undef F
#define F(kind, member, limit) FIELD_##kind(span, member, limit)
static const struct field span_fields[] = {NM_FIELDS_span(F)};
TABLE(span)
#undef F
#define F(kind, member, limit) FIELD_##kind(count, member, limit)
static const struct field count_fields[] = {NM_FIELDS_count(F)};
TABLE(count)
#undef F
#define F(kind, member, limit) FIELD_##kind(circuit, member, limit)
static const struct field circuit_fields[] = {NM_FIELDS_circuit(F)};
TABLE(circuit)
#undef F
#define F(kind, member, limit) FIELD_##kind(hello, member, limit)
static const struct field hello_fields[] = {NM_FIELDS_hello(F)};
TABLE(hello)
#undef F
#define F(kind, member, limit) FIELD_##kind(welcome, member, limit)
static const struct field welcome_fields[] = {NM_FIELDS_welcome(F)};
TABLE(welcome)
#undef F
#define F(kind, member, limit) FIELD_##kind(heartbeat, member, limit)
static const struct field heartbeat_fields[] = {NM_FIELDS_heartbeat(F)};
TABLE(heartbeat)
#undef F
#define F(kind, member, limit) FIELD_##kind(goodbye, member, limit)
static const struct field goodbye_fields[] = {NM_FIELDS_goodbye(F)};
TABLE(goodbye)
#undef F
#define F(kind, member, limit) FIELD_##kind(error, member, limit)
static const struct field error_fields[] = {NM_FIELDS_error(F)};
TABLE(error)
#undef F
#define F(kind, member, limit) FIELD_##kind(task, member, limit)
static const struct field task_fields[] = {NM_FIELDS_task(F)};
TABLE(task)
#undef F
#define F(kind, member, limit) FIELD_##kind(response, member, limit)
static const struct field response_fields[] = {NM_FIELDS_response(F)};
TABLE(response)
#undef F
#define F(kind, member, limit) FIELD_##kind(failure, member, limit)
static const struct field failure_fields[] = {NM_FIELDS_failure(F)};
TABLE(failure)
#undef F
#define F(kind, member, limit) FIELD_##kind(ack, member, limit)
static const struct field ack_fields[] = {NM_FIELDS_ack(F)};
TABLE(ack)
#undef F
#define F(kind, member, limit) FIELD_##kind(align, member, limit)
static const struct field align_fields[] = {NM_FIELDS_align(F)};
TABLE(align)
#undef F
#define F(kind, member, limit) FIELD_##kind(aligned, member, limit)
static const struct field aligned_fields[] = {NM_FIELDS_aligned(F)};
TABLE(aligned)
#undef F
#define F(kind, member, limit) FIELD_##kind(done, member, limit)
static const struct field done_fields[] = {NM_FIELDS_done(F)};
TABLE(done)
#undef F
#define F(kind, member, limit) FIELD_##kind(blob_read, member, limit)
static const struct field blob_read_fields[] = {NM_FIELDS_blob_read(F)};
TABLE(blob_read)
#undef F
#define F(kind, member, limit) FIELD_##kind(blob_data, member, limit)
static const struct field blob_data_fields[] = {NM_FIELDS_blob_data(F)};
TABLE(blob_data)
#undef F
#define F(kind, member, limit) FIELD_##kind(directory_read, member, limit)
static const struct field directory_read_fields[] = {NM_FIELDS_directory_read(F)};
TABLE(directory_read)
#undef F
#define F(kind, member, limit) FIELD_##kind(directory, member, limit)
static const struct field directory_fields[] = {NM_FIELDS_directory(F)};
TABLE(directory)
#undef F
#define F(kind, member, limit) FIELD_##kind(sealed, member, limit)
static const struct field sealed_fields[] = {NM_FIELDS_sealed(F)};
TABLE(sealed)
#undef F
#define F(kind, member, limit) FIELD_##kind(training, member, limit)
static const struct field training_fields[] = {NM_FIELDS_training(F)};
TABLE(training)
#undef F
#define F(kind, member, limit) FIELD_##kind(circuits, member, limit)
static const struct field circuits_fields[] = {NM_FIELDS_circuits(F)};
TABLE(circuits)
#undef F
#define F(kind, member, limit) FIELD_##kind(sample, member, limit)
static const struct field sample_fields[] = {NM_FIELDS_sample(F)};
TABLE(sample)
#undef F

static const struct table *table_of(enum nm_msg_type type)
{
    switch (type) {
#define TABLE_CASE(number, name)                                                                                     \
    case number:                                                                                                     \
        return &name##_table;
        NM_MESSAGES(TABLE_CASE)
    }
    return NULL;
}

struct nm_str nm_str(const char *s)
{
    return (struct nm_str){.ptr = s, .len = s != NULL ? strlen(s) : 0};
}

bool nm_response_rejected(const struct nm_msg_response *response)
{
    const struct nm_str *rule = &response->rule;
    bool looked = rule->len == strlen(NM_UNVERIFIED) && memcmp(rule->ptr, NM_UNVERIFIED, rule->len) == 0;
    return !response->accepted && !looked;
}

const char *nm_msg_type_name(enum nm_msg_type type)
{
    const struct table *table = table_of(type);
    return table != NULL ? table->name : "unknown";
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* Where msgpack-c writes to: the room has been made. */
static int write_to_buf(void *data, const char *bytes, size_t len)
{
    struct nm_buf *out = data;
    memcpy(out->data + out->len, bytes, len);
    out->len += len;
    return 0;
}

static size_t head_bytes(uint64_t n, uint64_t fixed_max, bool has_u8)
{
    return n <= fixed_max ? 1 : has_u8 && n <= UINT8_MAX ? 2 : n <= UINT16_MAX ? 3 : 5;
}

static size_t bin_head_bytes(uint64_t n)
{
    return n <= UINT8_MAX ? 2 : n <= UINT16_MAX ? 3 : 5;
}

static size_t uint_bytes(uint64_t value)
{
    return value > UINT32_MAX ? 9 : head_bytes(value, 0x7f, true);
}

/* Every field within its bounds?  Adds to *bytes what they take on the wire. */
static enum nm_err check_fields(const struct table *table, const char *base, size_t *bytes)
{
    *bytes += head_bytes(table->n_fields, 15, false);
    for (const struct field *f = table->fields; f < table->fields + table->n_fields; f++) {
        *bytes += head_bytes(f->name_len, 31, true) + f->name_len;
        if (f->kind == KIND_STR || f->kind == KIND_BIN) {
            const struct nm_str *s = (const struct nm_str *)(const void *)(base + f->offset);
            if (s->len > f->max)
                return NM_ELIMIT;
            if (f->kind == KIND_STR && !nm_utf8_valid(s->ptr, s->len, NULL))
                return NM_EFORMAT;
            *bytes += (f->kind == KIND_STR ? head_bytes(s->len, 31, true) : bin_head_bytes(s->len)) + s->len;
        } else if (f->kind == KIND_U64) {
            *bytes += uint_bytes(*(const uint64_t *)(const void *)(base + f->offset));
        } else if (f->kind != KIND_LIST) {
            *bytes += f->kind == KIND_BOOL ? 1 : 9;
        } else {
            const char *items = *(char *const *)(const void *)(base + f->offset);
            size_t n = *(const size_t *)(const void *)(base + f->count_offset);
            if (n > f->max)
                return NM_ELIMIT;
            *bytes += head_bytes(n, 15, false);
            for (size_t i = 0; i < n; i++) {
                enum nm_err err = check_fields(f->item, items + i * f->item->size, bytes);
                if (err != NM_OK)
                    return err;
            }
        }
    }
    return NM_OK;
}

static int pack_fields(msgpack_packer *pk, const struct table *table, const char *base);

static int pack_value(msgpack_packer *pk, const struct field *f, const char *base)
{
    const void *at = base + f->offset;
    const struct nm_str *s = at;
    switch (f->kind) {
    case KIND_U64:
        return msgpack_pack_uint64(pk, *(const uint64_t *)at);
    case KIND_F64:
        return msgpack_pack_double(pk, *(const double *)at);
    case KIND_BOOL:
        return *(const bool *)at ? msgpack_pack_true(pk) : msgpack_pack_false(pk);
    case KIND_STR:
        return msgpack_pack_str_with_body(pk, s->ptr != NULL ? s->ptr : "", s->len);
    case KIND_BIN:
        return msgpack_pack_bin_with_body(pk, s->ptr != NULL ? s->ptr : "", s->len);
    case KIND_LIST:
        break;
    }
    const char *items = *(char *const *)at;
    size_t n = *(const size_t *)(const void *)(base + f->count_offset);
    int bad = msgpack_pack_array(pk, n);
    for (size_t i = 0; i < n && bad == 0; i++)
        bad = pack_fields(pk, f->item, items + i * f->item->size);
    return bad;
}

static int pack_fields(msgpack_packer *pk, const struct table *table, const char *base)
{
    int bad = msgpack_pack_map(pk, table->n_fields);
    for (const struct field *f = table->fields; f < table->fields + table->n_fields && bad == 0; f++) {
        bad = msgpack_pack_str_with_body(pk, f->name, f->name_len);
        if (bad == 0)
            bad = pack_value(pk, f, base);
    }
    return bad;
}

/* type 0: a record, the map alone. */
static enum nm_err encode(uint64_t type, const struct table *table, const void *base, struct nm_buf *out)
{
    size_t bytes = type != 0 ? 1 + uint_bytes(type) : 0;
    enum nm_err err = check_fields(table, base, &bytes);
    if (err == NM_OK)
        err = nm_buf_reserve(out, bytes);
    if (err != NM_OK)
        return err;
    size_t end = out->len + bytes;
    msgpack_packer pk;
    msgpack_packer_init(&pk, out, write_to_buf);
    if (type != 0) {
        (void)msgpack_pack_array(&pk, 2);
        (void)msgpack_pack_uint64(&pk, type);
    }
    (void)pack_fields(&pk, table, base);
    assert(out->len == end);
    out->data[end] = '\0';
    return NM_OK;
}

enum nm_err nm_msg_encode(const struct nm_msg *msg, struct nm_buf *out)
{
    const struct table *table = table_of(msg->type);
    if (table == NULL)
        return NM_EINVAL;
    return encode((uint64_t)msg->type, table, &msg->u, out);
}

/* ---- decoding -------------------------------------------------------------------------------- */

static const struct field *find_field(const struct table *table, const struct nm_item *key, size_t hint)
{
    if (key->kind != NM_ITEM_STR)
        return NULL;
    for (size_t i = 0; i < table->n_fields; i++) { /* our own encoder writes them in order: the first try hits */
        const struct field *f = &table->fields[(hint + i) % table->n_fields];
        if (f->name_len == key->len && memcmp(f->name, key->body, key->len) == 0)
            return f;
    }
    return NULL;
}

struct decoder {
    const unsigned char *at;
    struct nm_arena *arena;
    struct nm_diag *diag;
};

static enum nm_err read_fields(struct decoder *d, const struct table *table, char *base);

static enum nm_err read_bytes(struct decoder *d, const struct table *table, const struct field *f,
                              const struct nm_item *value, struct nm_str *out)
{
    if (value->len > f->max)
        return nm_fail(d->diag, NM_ELIMIT, "%s: field %s has %zu bytes, at most %zu are allowed", table->name,
                       f->name, value->len, f->max);
    if (f->kind == KIND_STR && !nm_utf8_valid(value->body, value->len, NULL))
        return nm_fail(d->diag, NM_EFORMAT, "%s: field %s is not UTF-8", table->name, f->name);
    out->len = value->len;
    if (value->len == 0) {
        out->ptr = "";
        return NM_OK;
    }
    out->ptr = nm_arena_strndup(d->arena, value->body, value->len);
    return out->ptr != NULL ? NM_OK : nm_fail(d->diag, NM_ENOMEM, "%s: out of memory", table->name);
}

static enum nm_err read_list(struct decoder *d, const struct table *table, const struct field *f, size_t n,
                             char *base)
{
    if (n > f->max)
        return nm_fail(d->diag, NM_ELIMIT, "%s: field %s has %zu items, at most %zu are allowed", table->name,
                       f->name, n, f->max);
    char *items = nm_arena_alloc(d->arena, n * f->item->size);
    if (items == NULL)
        return nm_fail(d->diag, NM_ENOMEM, "%s: out of memory", table->name);
    for (size_t i = 0; i < n; i++) {
        enum nm_err err = read_fields(d, f->item, items + i * f->item->size);
        if (err != NM_OK)
            return err;
    }
    *(char **)(void *)(base + f->offset) = items;
    *(size_t *)(void *)(base + f->count_offset) = n;
    return NM_OK;
}

static enum nm_err read_value(struct decoder *d, const struct table *table, const struct field *f, char *base)
{
    void *at = base + f->offset;
    struct nm_item value;
    nm_unpack_next(&d->at, &value);
    switch (f->kind) {
    case KIND_U64:
        if (value.kind != NM_ITEM_UINT)
            break;
        *(uint64_t *)at = value.value;
        return NM_OK;
    case KIND_F64:
        if (value.kind == NM_ITEM_UINT)
            *(double *)at = (double)value.value;
        else if (value.kind == NM_ITEM_INT)
            *(double *)at = (double)(int64_t)value.value;
        else if (value.kind == NM_ITEM_FLOAT)
            *(double *)at = value.real;
        else
            break;
        return NM_OK;
    case KIND_BOOL:
        if (value.kind != NM_ITEM_BOOL)
            break;
        *(bool *)at = value.value != 0;
        return NM_OK;
    case KIND_STR:
    case KIND_BIN:
        if (value.kind != (f->kind == KIND_STR ? NM_ITEM_STR : NM_ITEM_BIN))
            break;
        return read_bytes(d, table, f, &value, at);
    case KIND_LIST:
        if (value.kind != NM_ITEM_ARRAY)
            break;
        return read_list(d, table, f, value.len, base);
    }
    return nm_fail(d->diag, NM_EFORMAT, "%s: field %s has the wrong kind", table->name, f->name);
}

static enum nm_err read_fields(struct decoder *d, const struct table *table, char *base)
{
    struct nm_item map;
    nm_unpack_next(&d->at, &map);
    if (map.kind != NM_ITEM_MAP)
        return nm_fail(d->diag, NM_EFORMAT, "%s: not a map", table->name);
    for (size_t i = 0; i < table->n_fields; i++) /* an absent string is "", never NULL */
        if (table->fields[i].kind == KIND_STR || table->fields[i].kind == KIND_BIN)
            ((struct nm_str *)(void *)(base + table->fields[i].offset))->ptr = "";
    for (size_t i = 0; i < map.len; i++) {
        const unsigned char *before = d->at;
        struct nm_item key;
        nm_unpack_next(&d->at, &key);
        const struct field *f = find_field(table, &key, i);
        if (f == NULL) {
            d->at = before; /* a key may be anything, even a map */
            nm_unpack_skip(&d->at);
            nm_unpack_skip(&d->at);
            continue;
        }
        enum nm_err err = read_value(d, table, f, base);
        if (err != NM_OK)
            return err;
    }
    return NM_OK;
}

/* The whole of data must be one item: then it can be read without looking where it ends. */
static enum nm_err check_frame(const void *data, size_t len, struct nm_diag *diag)
{
    size_t used = 0;
    if (len > NM_FRAME_MAX)
        return nm_fail(diag, NM_ELIMIT, "frame of %zu bytes, at most %d are allowed", len, NM_FRAME_MAX);
    if (!nm_unpack_walk(data, len, &used))
        return nm_fail(diag, NM_EFORMAT, "frame is not msgpack, is cut short, or nests deeper than %d",
                       NM_UNPACK_DEPTH);
    if (used != len)
        return nm_fail(diag, NM_EFORMAT, "frame has %zu bytes behind its end", len - used);
    return NM_OK;
}

enum nm_err nm_msg_decode(const void *data, size_t len, struct nm_arena *arena, struct nm_msg *msg,
                          struct nm_diag *diag)
{
    msg->type = (enum nm_msg_type)0;
    struct decoder d = {.at = data, .arena = arena, .diag = diag};
    struct nm_item frame, type;
    enum nm_err err = check_frame(data, len, diag);
    if (err != NM_OK)
        return err;
    nm_unpack_next(&d.at, &frame);
    if (frame.kind != NM_ITEM_ARRAY || frame.len != 2)
        return nm_fail(diag, NM_EFORMAT, "frame is not [type, map]");
    nm_unpack_next(&d.at, &type);
    if (type.kind != NM_ITEM_UINT)
        return nm_fail(diag, NM_EFORMAT, "frame is not [type, map]");
    const struct table *table = type.value <= 0xffff ? table_of((enum nm_msg_type)type.value) : NULL;
    if (table == NULL)
        return nm_fail(diag, NM_EVERSION, "message type %llu is unknown to protocol %d",
                       (unsigned long long)type.value, NM_PROTOCOL_VERSION);
    msg->type = (enum nm_msg_type)type.value;
    memset(&msg->u, 0, table->size);
    return read_fields(&d, table, (char *)&msg->u);
}

struct nm_str nm_msg_map(const void *frame, size_t len)
{
    const unsigned char *at = frame;
    struct nm_item item;
    nm_unpack_next(&at, &item); /* the array */
    nm_unpack_next(&at, &item); /* the type */
    size_t before = (size_t)(at - (const unsigned char *)frame);
    return (struct nm_str){(const char *)at, len - before};
}

static enum nm_err decode_record(const struct table *table, const void *data, size_t len, struct nm_arena *arena,
                                 void *record, struct nm_diag *diag)
{
    memset(record, 0, table->size);
    struct decoder d = {.at = data, .arena = arena, .diag = diag};
    enum nm_err err = check_frame(data, len, diag);
    return err != NM_OK ? err : read_fields(&d, table, record);
}

enum nm_err nm_response_encode(const struct nm_msg_response *response, struct nm_buf *out)
{
    return encode(0, &response_table, response, out);
}

enum nm_err nm_response_decode(const void *data, size_t len, struct nm_arena *arena, struct nm_msg_response *response,
                               struct nm_diag *diag)
{
    return decode_record(&response_table, data, len, arena, response, diag);
}

enum nm_err nm_sample_encode(const struct nm_msg_sample *sample, struct nm_buf *out)
{
    return encode(0, &sample_table, sample, out);
}

enum nm_err nm_sample_decode(const void *data, size_t len, struct nm_arena *arena, struct nm_msg_sample *sample,
                             struct nm_diag *diag)
{
    return decode_record(&sample_table, data, len, arena, sample, diag);
}
