/* unpack: read in place what msgpack-c has written, and compare with what msgpack-c reads. */
#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/hash.h"
#include "schemas/unpack.h"

enum { TREES = 20000, NOISE = 200000 };

static struct nm_rng rng;

static uint64_t below(uint64_t n)
{
    return nm_rng_below(&rng, n);
}

/* ---- random trees -----------------------------------------------------------------------------------------------
 */

static uint64_t any_number(void)
{
    return nm_rng_next(&rng) >> below(64);
}

static void pack_bytes(msgpack_packer *pk, int kind)
{
    static const char bytes[70000];
    static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 69999};
    size_t len = below(20) ? below(40) : lengths[below(9)];
    if (kind == 0)
        msgpack_pack_str_with_body(pk, bytes, len);
    else if (kind == 1)
        msgpack_pack_bin_with_body(pk, bytes, len);
    else
        msgpack_pack_ext_with_body(pk, bytes, len, 5);
}

static void pack_any(msgpack_packer *pk, int depth)
{
    size_t n = below(50) ? below(4) : 15 + below(3);
    switch (below(depth > 0 ? 12 : 9)) {
    case 0:
        msgpack_pack_nil(pk);
        break;
    case 1:
        (void)(below(2) ? msgpack_pack_true(pk) : msgpack_pack_false(pk));
        break;
    case 2:
        msgpack_pack_uint64(pk, any_number());
        break;
    case 3:
        msgpack_pack_int64(pk, -(int64_t)(any_number() >> 1) - 1);
        break;
    case 4: /* a number that is not negative in a signed form */
        (void)(below(2) ? msgpack_pack_fix_int64(pk, (int64_t)(any_number() >> 1))
                        : msgpack_pack_fix_int16(pk, (int16_t)below(32768)));
        break;
    case 5:
        (void)(below(2) ? msgpack_pack_double(pk, (double)any_number() / 3)
                        : msgpack_pack_float(pk, (float)below(100) / 7));
        break;
    case 6:
    case 7:
    case 8:
        pack_bytes(pk, (int)below(3));
        break;
    case 9:
        msgpack_pack_map(pk, n);
        for (size_t i = 0; i < 2 * n; i++)
            pack_any(pk, depth - 1);
        break;
    default:
        msgpack_pack_array(pk, n);
        for (size_t i = 0; i < n; i++)
            pack_any(pk, depth - 1);
    }
}

/* ---- both readers side by side --------------------------------------------------------------- */

static void compare_scalar(const struct nm_item *item, const msgpack_object *o)
{
    switch (o->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        assert_int_equal(item->kind, NM_ITEM_BOOL);
        assert_int_equal(item->value, o->via.boolean);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        assert_int_equal(item->kind, NM_ITEM_UINT);
        assert_true(item->value == o->via.u64);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        assert_int_equal(item->kind, NM_ITEM_INT);
        assert_true((int64_t)item->value == o->via.i64);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        assert_int_equal(item->kind, NM_ITEM_FLOAT);
        assert_memory_equal(&item->real, &o->via.f64, sizeof item->real);
        break;
    case MSGPACK_OBJECT_STR:
        assert_int_equal(item->kind, NM_ITEM_STR);
        assert_int_equal(item->len, o->via.str.size);
        if (item->len)
            assert_ptr_equal(item->body, o->via.str.ptr);
        break;
    case MSGPACK_OBJECT_BIN:
        assert_int_equal(item->kind, NM_ITEM_BIN);
        assert_int_equal(item->len, o->via.bin.size);
        if (item->len)
            assert_ptr_equal(item->body, o->via.bin.ptr);
        break;
    default:
        assert_int_equal(item->kind, o->type == MSGPACK_OBJECT_NIL ? NM_ITEM_NIL : NM_ITEM_EXT);
    }
}

static void compare(const unsigned char **at, const msgpack_object *o)
{
    struct nm_item item;
    nm_unpack_next(at, &item);
    if (o->type == MSGPACK_OBJECT_ARRAY) {
        assert_int_equal(item.kind, NM_ITEM_ARRAY);
        assert_int_equal(item.len, o->via.array.size);
        for (uint32_t i = 0; i < o->via.array.size; i++)
            compare(at, &o->via.array.ptr[i]);
    } else if (o->type == MSGPACK_OBJECT_MAP) {
        assert_int_equal(item.kind, NM_ITEM_MAP);
        assert_int_equal(item.len, o->via.map.size);
        for (uint32_t i = 0; i < o->via.map.size; i++) {
            compare(at, &o->via.map.ptr[i].key);
            compare(at, &o->via.map.ptr[i].val);
        }
    } else {
        compare_scalar(&item, o);
    }
}

static void trees_read_as_msgpack_c_reads_them(void **state)
{
    (void)state;
    msgpack_sbuffer out;
    msgpack_packer pk;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&pk, &out, msgpack_sbuffer_write);
    for (int i = 0; i < TREES; i++) {
        msgpack_unpacked u;
        size_t used = 0;
        msgpack_sbuffer_clear(&out);
        pack_any(&pk, 4);
        msgpack_unpacked_init(&u);
        const unsigned char *data = (const unsigned char *)out.data, *at = data;
        assert_int_equal(msgpack_unpack_next(&u, out.data, out.size, NULL), MSGPACK_UNPACK_SUCCESS);
        assert_true(nm_unpack_walk(data, out.size, &used));
        assert_int_equal(used, out.size);
        compare(&at, &u.data);
        assert_ptr_equal(at, data + out.size);
        at = data;
        nm_unpack_skip(&at);
        assert_ptr_equal(at, data + out.size);
        size_t cut = (size_t)below(out.size);
        assert_false(nm_unpack_walk(data, cut, &used) && used == out.size);
        msgpack_unpacked_destroy(&u);
    }
    msgpack_sbuffer_destroy(&out);
}

/* Short noise: what the walk calls whole, msgpack-c reads with the same length. */
static void noise_is_judged_as_by_msgpack_c(void **state)
{
    (void)state;
    unsigned char bytes[24] = {0};
    int whole = 0;
    for (int i = 0; i < NOISE; i++) {
        size_t len = 1 + (size_t)below(sizeof bytes), used = 0, offset = 0;
        msgpack_unpacked u;
        for (size_t k = 0; k < len; k++)
            bytes[k] = (unsigned char)(below(3) ? 0x80 + below(0x60) : nm_rng_next(&rng));
        if (bytes[0] == 0xdd || bytes[0] == 0xdf)
            bytes[0] = 0x92; /* a count of billions: msgpack-c would allocate first */
        for (size_t k = 1; k < len; k++)
            if (bytes[k] == 0xdd || bytes[k] == 0xdf)
                bytes[k] = 1;
        msgpack_unpacked_init(&u);
        bool read = msgpack_unpack_next(&u, (const char *)bytes, len, &offset) == MSGPACK_UNPACK_SUCCESS;
        bool walked = nm_unpack_walk(bytes, len, &used);
        if (walked) {
            whole++;
            assert_true(read);
            assert_int_equal(used, offset);
        }
        msgpack_unpacked_destroy(&u);
    }
    assert_true(whole > NOISE / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_read_as_msgpack_c_reads_them),
        cmocka_unit_test(noise_is_judged_as_by_msgpack_c),
    };
    nm_rng_init(&rng, 4);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
