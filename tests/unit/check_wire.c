/* SPDX-License-Identifier: MIT
 *
 * check_wire: messages to bytes and back, and bytes that are no messages.
 */
#include "wire/wire.h"

#include <check.h>
#include <fastalloc/fastalloc.h>
#include <stdlib.h>
#include <string.h>

#define SOUP_ROUNDS 200000

static const enum wire_op every_op[] = {WIRE_HELLO,   WIRE_CREATE, WIRE_OPEN,    WIRE_CLOSE,
                                        WIRE_DESTROY, WIRE_LIST,   WIRE_STAT,    WIRE_GROW,
                                        WIRE_SHRINK,  WIRE_RESUME, WIRE_RELEASE, WIRE_SHUTDOWN};
#define OPS ((int)(sizeof every_op / sizeof *every_op))

/* --------------------------------------------------------------- what to send */

static struct pool_spec some_spec(char fill)
{
    struct pool_spec spec;

    memset(&spec, 0, sizeof spec);
    memset(spec.name, fill, SPEC_NAME_MAX);
    memset(spec.type_name, fill + 1, SPEC_TYPE_NAME_MAX);
    spec.type_version = UINT32_MAX;
    spec.lifetime = UINT32_MAX - 1;
    spec.mode = UINT32_MAX - 2;
    spec.max_threads = UINT32_MAX - 3;
    spec.max_sessions = UINT32_MAX - 4;
    spec.flags = UINT32_MAX - 5;
    spec.object_size = UINT64_MAX;
    spec.alignment = UINT64_MAX - 1;
    spec.capacity = UINT64_MAX - 2;
    spec.max_capacity = UINT64_MAX - 3;
    spec.on_death = UINT32_MAX - 6;
    spec.quarantine_ms = UINT32_MAX - 7;
    spec.growth = UINT32_MAX - 8;
    spec.growth_amount = UINT64_MAX - 4;
    spec.low_water = UINT64_MAX - 5;
    spec.growth_factor = 1.0 / 3;
    return spec;
}

static struct wire_request some_request(enum wire_op op)
{
    struct wire_request request;

    memset(&request, 0, sizeof request);
    request.id = 0x1122334455667788;
    request.op = op;
    switch (op) {
    case WIRE_HELLO:
        strcpy(request.hello.program, "wordcount");
        break;
    case WIRE_CREATE:
        request.create = some_spec('c');
        break;
    case WIRE_OPEN:
        request.open.expected = some_spec('o');
        break;
    case WIRE_CLOSE:
        request.close.pool_id = UINT64_MAX;
        request.close.session = 60000;
        request.close.nonce = 7;
        break;
    case WIRE_DESTROY:
        strcpy(request.destroy.name, "d\xc3\xa4mon");
        break;
    case WIRE_LIST:
        request.list.after = UINT64_MAX;
        break;
    case WIRE_STAT:
        strcpy(request.stat.name, "orders");
        break;
    case WIRE_GROW:
        request.grow.pool_id = UINT64_MAX;
        request.grow.session = 60000;
        request.grow.nonce = UINT64_MAX - 1;
        request.grow.capacity = UINT64_MAX - 2;
        request.grow.from = UINT64_MAX - 3;
        request.grow.increment = UINT64_MAX - 4;
        request.grow.one_way = true;
        break;
    case WIRE_SHRINK:
        request.shrink.pool_id = 7;
        request.shrink.session = 1;
        request.shrink.nonce = 8;
        request.shrink.target = UINT64_MAX;
        break;
    case WIRE_RESUME:
        request.resume.pool_id = UINT64_MAX - 1;
        request.resume.session = 2;
        request.resume.nonce = UINT64_MAX;
        break;
    case WIRE_RELEASE:
        strcpy(request.release.name, "orders");
        request.release.handle = UINT64_MAX;
        break;
    case WIRE_SHUTDOWN:
        request.shutdown.destroy = true;
        break;
    }
    return request;
}

static struct wire_pool some_pool(char fill)
{
    struct wire_pool pool;

    memset(&pool, 0, sizeof pool);
    pool.spec = some_spec(fill);
    pool.serial = UINT64_MAX;
    pool.pool_id = UINT64_MAX - 1;
    pool.bytes = UINT64_MAX - 2;
    pool.created = UINT64_MAX - 3;
    pool.uid = UINT32_MAX;
    pool.sessions = UINT32_MAX - 1;
    pool.destroyed = true;
    pool.capacity = UINT64_MAX - 4;
    return pool;
}

static struct wire_reply some_reply(enum wire_op op)
{
    struct wire_reply reply;
    uint32_t i;

    memset(&reply, 0, sizeof reply);
    reply.id = UINT64_MAX;
    reply.op = op;
    switch (op) {
    case WIRE_HELLO:
        strcpy(reply.hello.daemon, "0.1.0");
        reply.hello.pid = 4121;
        break;
    case WIRE_CREATE:
    case WIRE_OPEN:
        reply.attached.pool_id = UINT64_MAX;
        reply.attached.session = 1;
        reply.attached.nonce = UINT64_MAX - 1;
        reply.attached.bytes = UINT64_MAX - 2;
        break;
    case WIRE_CLOSE:
    case WIRE_DESTROY:
    case WIRE_RESUME:
    case WIRE_SHUTDOWN:
        break;
    case WIRE_GROW:
    case WIRE_SHRINK:
        reply.capacity = UINT64_MAX;
        break;
    case WIRE_RELEASE:
        reply.released = UINT64_MAX;
        break;
    case WIRE_LIST:
        reply.list.count = WIRE_LIST_MAX;
        reply.list.more = true;
        for (i = 0; i < WIRE_LIST_MAX; i++)
            reply.list.pools[i] = some_pool((char)('a' + i));
        break;
    case WIRE_STAT:
        reply.stat = some_pool('s');
        break;
    }
    return reply;
}

/* ---------------------------------------------------------------- round trips */

START_TEST(every_request_comes_back_as_it_was)
{
    struct wire_request sent = some_request(every_op[_i]), got;
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_request(&sent, bytes);

    ck_assert_uint_gt(length, 0);
    memset(&got, 0x55, sizeof got);
    ck_assert_int_eq(wire_unpack_request(bytes, length, &got, NULL), 0);
    ck_assert_mem_eq(&got, &sent, sizeof got);
}
END_TEST

START_TEST(every_reply_comes_back_as_it_was)
{
    struct wire_reply sent = some_reply(every_op[_i]), got;
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_reply(&sent, bytes);

    ck_assert_uint_gt(length, 0);
    memset(&got, 0x55, sizeof got);
    ck_assert_int_eq(wire_unpack_reply(bytes, length, &got, NULL), 0);
    ck_assert_mem_eq(&got, &sent, sizeof got);
}
END_TEST

START_TEST(a_failure_comes_back_with_its_words)
{
    struct wire_reply sent, got;
    uint8_t bytes[WIRE_MAX];
    size_t length;

    memset(&sent, 0, sizeof sent);
    sent.id = 3;
    sent.op = WIRE_OPEN;
    sent.error = FASTALLOC_E_NOT_FOUND;
    memset(sent.message, 'x', REASON_MAX - 1);
    length = wire_pack_reply(&sent, bytes);
    ck_assert_int_eq(wire_unpack_reply(bytes, length, &got, NULL), 0);
    ck_assert_mem_eq(&got, &sent, sizeof got);
}
END_TEST

START_TEST(a_page_of_the_largest_pools_fits_a_packet)
{
    struct wire_reply reply = some_reply(WIRE_LIST);
    uint8_t bytes[WIRE_MAX];

    ck_assert_uint_le(wire_pack_reply(&reply, bytes), WIRE_MAX);
    ck_assert_uint_gt(wire_pack_reply(&reply, bytes), WIRE_MAX * 3 / 4);
}
END_TEST

START_TEST(a_request_of_zeros_is_valid)
{
    struct wire_request sent, got;
    uint8_t bytes[WIRE_MAX];
    size_t length;

    memset(&sent, 0, sizeof sent);
    sent.op = every_op[_i];
    length = wire_pack_request(&sent, bytes);
    ck_assert_int_eq(wire_unpack_request(bytes, length, &got, NULL), 0);
    ck_assert_mem_eq(&got, &sent, sizeof got);
}
END_TEST

/* -------------------------------------------------------------------- damage */

/* On failure the outputs are zero but for the id. */
static void require_refused(const uint8_t *bytes, size_t length)
{
    struct wire_request request;
    struct reason why = {0, ""};
    int error = wire_unpack_request(bytes, length, &request, &why);

    ck_assert_int_lt(error, 0);
    ck_assert_int_eq(why.code, error);
    ck_assert_int_ne(why.text[0], 0);
}

START_TEST(a_request_cut_at_any_length_is_refused)
{
    struct wire_request request = some_request(every_op[_i]);
    uint8_t bytes[WIRE_MAX], *cut;
    size_t length = wire_pack_request(&request, bytes), i;

    for (i = 0; i < length; i++) {
        /* In memory of its own, so that a sanitizer sees a read beyond. */
        cut = malloc(i ? i : 1);
        memcpy(cut, bytes, i);
        require_refused(cut, i);
        free(cut);
    }
}
END_TEST

START_TEST(a_reply_cut_at_any_length_is_refused)
{
    struct wire_reply reply = some_reply(every_op[_i]), got;
    uint8_t bytes[WIRE_MAX], *cut;
    size_t length = wire_pack_reply(&reply, bytes), i;

    for (i = 0; i < length; i++) {
        cut = malloc(i ? i : 1);
        memcpy(cut, bytes, i);
        ck_assert_int_lt(wire_unpack_reply(cut, i, &got, NULL), 0);
        free(cut);
    }
}
END_TEST

/* Reproducible: the same soup at each run. */
static uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static void stir(uint8_t *bytes, size_t *length, uint64_t *state)
{
    uint32_t strokes = 1 + next_random(state) % 8;

    while (strokes-- > 0) {
        if (next_random(state) % 4 == 0)
            *length = next_random(state) % (WIRE_MAX + 1);
        else
            bytes[next_random(state) % WIRE_MAX] = (uint8_t)next_random(state);
    }
}

START_TEST(byte_soup_is_refused_or_understood_and_never_more)
{
    uint64_t state = 20240229 + (uint64_t)_i;
    uint8_t bytes[WIRE_MAX], again[WIRE_MAX];
    struct wire_request request;
    struct wire_reply reply;
    size_t length, i;
    int round;

    for (round = 0; round < SOUP_ROUNDS / OPS; round++) {
        if (round % 4 == 0) {
            length = next_random(&state) % (WIRE_MAX + 1);
            for (i = 0; i < length; i++)
                bytes[i] = (uint8_t)next_random(&state);
            if (round % 8 == 0) {
                bytes[0] = 0x0d;
                memcpy(bytes + 1, "\1\0\0\0", 4);
            }
        } else if (round % 4 == 1) {
            reply = some_reply(every_op[_i]);
            length = wire_pack_reply(&reply, bytes);
            stir(bytes, &length, &state);
        } else {
            request = some_request(every_op[_i]);
            length = wire_pack_request(&request, bytes);
            stir(bytes, &length, &state);
        }
        if (wire_unpack_request(bytes, length, &request, NULL) == 0)
            ck_assert_uint_gt(wire_pack_request(&request, again), 0);
        if (wire_unpack_reply(bytes, length, &reply, NULL) == 0)
            ck_assert_uint_gt(wire_pack_reply(&reply, again), 0);
    }
}
END_TEST

/* Something to find in a packed request and to overwrite in place. */
static uint8_t *find(uint8_t *bytes, size_t length, const char *text)
{
    uint8_t *found = memmem(bytes, length, text, strlen(text));

    ck_assert_ptr_nonnull(found);
    return found;
}

START_TEST(a_name_with_a_nul_inside_is_refused)
{
    struct wire_request request, got;
    struct reason why = {0, ""};
    uint8_t bytes[WIRE_MAX];
    size_t length;

    memset(&request, 0, sizeof request);
    request.id = 99;
    request.op = every_op[_i];
    if (request.op == WIRE_CREATE)
        strcpy(request.create.name, "orders");
    else if (request.op == WIRE_OPEN)
        strcpy(request.open.expected.name, "orders");
    else if (request.op == WIRE_DESTROY)
        strcpy(request.destroy.name, "orders");
    else if (request.op == WIRE_STAT)
        strcpy(request.stat.name, "orders");
    else if (request.op == WIRE_RELEASE)
        strcpy(request.release.name, "orders");
    else
        return;
    length = wire_pack_request(&request, bytes);
    find(bytes, length, "orders")[3] = 0;
    ck_assert_int_eq(wire_unpack_request(bytes, length, &got, &why), FASTALLOC_E_NAME);
    ck_assert_ptr_nonnull(strstr(why.text, "NUL"));
    ck_assert_uint_eq(got.id, 99);
    ck_assert_int_eq(got.op, request.op);
}
END_TEST

START_TEST(a_name_too_long_for_a_struct_is_refused)
{
    /* version, id 5, stat { name: 256 bytes } */
    uint8_t bytes[14 + 3 + 3 + 256] = {0x0d, WIRE_VERSION, 0, 0, 0, 0x11, 5};
    struct wire_request got;

    bytes[14] = 9 << 3 | 2;
    bytes[15] = 0x83;
    bytes[16] = 0x02;
    bytes[17] = 1 << 3 | 2;
    bytes[18] = 0x80;
    bytes[19] = 0x02;
    memset(bytes + 20, 'n', 256);
    ck_assert_int_eq(wire_unpack_request(bytes, sizeof bytes, &got, NULL), FASTALLOC_E_NAME);
    /* One byte less is a valid name. */
    bytes[15] = 0x82;
    bytes[18] = 0xff;
    bytes[19] = 0x01;
    ck_assert_int_eq(wire_unpack_request(bytes, sizeof bytes - 1, &got, NULL), 0);
    ck_assert_uint_eq(strlen(got.stat.name), 255);
}
END_TEST

START_TEST(an_unknown_field_is_refused_at_each_level)
{
    struct wire_request request = some_request(WIRE_DESTROY), got;
    struct reason why;
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_request(&request, bytes);

    /* Field 100, a varint, behind the message. */
    memcpy(bytes + length, "\xa0\x06\x01", 3);
    ck_assert_int_eq(wire_unpack_request(bytes, length + 3, &got, &why), FASTALLOC_E_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(why.text, "fields"));

    /* The same inside destroy: its length is the byte behind its tag. */
    bytes[15] += 3;
    ck_assert_int_eq(wire_unpack_request(bytes, length + 3, &got, &why), FASTALLOC_E_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(why.text, "fields"));
}
END_TEST

START_TEST(an_unknown_field_in_a_pool_of_a_listing_is_refused)
{
    /* version, list { pools { spec { field 100 = 1 } } } */
    static const uint8_t bytes[] = {0x0d, WIRE_VERSION, 0, 0,    0,    0x42, 7, 0x0a,
                                    5,    0x0a,         3, 0xa0, 0x06, 0x01};
    static const uint8_t known[] = {0x0d, WIRE_VERSION, 0, 0,    0,    0x42, 7, 0x0a,
                                    5,    0x0a,         3, 0xa0, 0x06, 0x01};
    struct wire_reply reply;
    uint8_t valid[sizeof known];

    ck_assert_int_eq(wire_unpack_reply(bytes, sizeof bytes, &reply, NULL), FASTALLOC_E_PROTOCOL);
    /* With a field the spec has in its place (alignment, a two-byte varint) it is fine. */
    memcpy(valid, known, sizeof known);
    valid[11] = 9 << 3;
    valid[12] = 0x81;
    ck_assert_int_eq(wire_unpack_reply(valid, sizeof valid, &reply, NULL), 0);
    ck_assert_uint_eq(reply.list.count, 1);
    ck_assert_uint_eq(reply.list.pools[0].spec.alignment, 129);
}
END_TEST

START_TEST(another_version_is_told_so_and_not_looked_at)
{
    struct wire_request request = some_request(WIRE_STAT), got;
    struct wire_reply reply = some_reply(WIRE_STAT), answer;
    struct reason why;
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_request(&request, bytes);

    bytes[1]++;
    memset(bytes + 14, 0xff, length - 14);
    ck_assert_int_eq(wire_unpack_request(bytes, length, &got, &why), FASTALLOC_E_VERSION);
    ck_assert_uint_eq(got.id, request.id);
    ck_assert_ptr_nonnull(strstr(why.text, "version 3 of"));
    length = wire_pack_reply(&reply, bytes);
    bytes[1] = 0;
    ck_assert_int_eq(wire_unpack_reply(bytes, length, &answer, NULL), FASTALLOC_E_VERSION);
    ck_assert_uint_eq(answer.id, reply.id);
}
END_TEST

START_TEST(a_version_said_twice_is_refused)
{
    struct wire_request request = some_request(WIRE_LIST), got;
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_request(&request, bytes);

    memcpy(bytes + length, "\x0d\3\0\0\0", 5);
    ck_assert_int_eq(wire_unpack_request(bytes, length + 5, &got, NULL), FASTALLOC_E_PROTOCOL);
}
END_TEST

START_TEST(a_request_for_nothing_is_refused_with_its_id)
{
    static const uint8_t bytes[] = {0x0d, WIRE_VERSION, 0, 0, 0, 0x11, 7, 0, 0, 0, 0, 0, 0, 0};
    struct wire_request got;

    ck_assert_int_eq(wire_unpack_request(bytes, sizeof bytes, &got, NULL), FASTALLOC_E_PROTOCOL);
    ck_assert_uint_eq(got.id, 7);
}
END_TEST

START_TEST(a_change_of_capacity_without_a_session_is_refused)
{
    /* grow { capacity = 1 }, then shrink { target = 1 } */
    uint8_t bytes[] = {0x0d, WIRE_VERSION, 0, 0, 0, 10 << 3 | 2, 2, 2 << 3, 1};
    struct wire_request got;
    struct reason why;

    ck_assert_int_eq(wire_unpack_request(bytes, sizeof bytes, &got, &why), FASTALLOC_E_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(why.text, "without a session"));
    bytes[5] = 11 << 3 | 2;
    ck_assert_int_eq(wire_unpack_request(bytes, sizeof bytes, &got, &why), FASTALLOC_E_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(why.text, "without a session"));
}
END_TEST

START_TEST(a_failure_without_an_error_is_refused)
{
    /* failure { op: 1 }, then { op: 1, error: -1 } (zigzag), then { op: 9, error: -1 } */
    uint8_t bytes[] = {0x0d, WIRE_VERSION, 0, 0, 0, 10 << 3 | 2, 2, 1 << 3, 1, 2 << 3, 1};
    struct wire_reply reply;

    ck_assert_int_eq(wire_unpack_reply(bytes, 9, &reply, NULL), FASTALLOC_E_PROTOCOL);
    bytes[6] = 4;
    ck_assert_int_eq(wire_unpack_reply(bytes, 11, &reply, NULL), 0);
    ck_assert_int_eq(reply.error, -1);
    bytes[8] = WIRE_SHUTDOWN + 1;
    ck_assert_int_eq(wire_unpack_reply(bytes, 11, &reply, NULL), FASTALLOC_E_PROTOCOL);
}
END_TEST

START_TEST(more_pools_than_a_page_holds_are_refused)
{
    uint8_t bytes[7 + 2 * (WIRE_LIST_MAX + 1)] = {0x0d, WIRE_VERSION, 0, 0, 0, 0x42};
    struct wire_reply reply;
    unsigned i;

    for (i = 0; i <= WIRE_LIST_MAX; i++)
        bytes[7 + 2 * i] = 0x0a;
    bytes[6] = 2 * WIRE_LIST_MAX;
    ck_assert_int_eq(wire_unpack_reply(bytes, sizeof bytes - 2, &reply, NULL), 0);
    bytes[6] += 2;
    ck_assert_int_eq(wire_unpack_reply(bytes, sizeof bytes, &reply, NULL), FASTALLOC_E_PROTOCOL);
}
END_TEST

START_TEST(what_would_need_much_memory_is_refused)
{
    /* 2,040 empty pools in 4,087 bytes ask for a few hundred thousand bytes of heap. */
    uint8_t bytes[WIRE_MAX] = {0x0d, WIRE_VERSION, 0, 0, 0, 0x42, 0xf0, 0x1f};
    struct wire_reply reply;
    unsigned i;

    for (i = 0; i < 2040; i++)
        bytes[8 + 2 * i] = 0x0a;
    ck_assert_int_eq(wire_unpack_reply(bytes, 8 + 4080, &reply, NULL), FASTALLOC_E_PROTOCOL);

    /* A bomb of unknown fields. */
    memset(bytes + 5, 0, sizeof bytes - 5);
    for (i = 5; i + 3 < sizeof bytes; i += 3)
        memcpy(bytes + i, "\xa0\x06\x01", 3);
    require_refused(bytes, i);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("wire");
    TCase *trips = tcase_create("round trips"), *damage = tcase_create("damage");

    tcase_add_loop_test(trips, every_request_comes_back_as_it_was, 0, OPS);
    tcase_add_loop_test(trips, every_reply_comes_back_as_it_was, 0, OPS);
    tcase_add_loop_test(trips, a_request_of_zeros_is_valid, 0, OPS);
    tcase_add_test(trips, a_failure_comes_back_with_its_words);
    tcase_add_test(trips, a_page_of_the_largest_pools_fits_a_packet);
    suite_add_tcase(suite, trips);

    tcase_set_timeout(damage, 30);
    tcase_add_loop_test(damage, a_request_cut_at_any_length_is_refused, 0, OPS);
    tcase_add_loop_test(damage, a_reply_cut_at_any_length_is_refused, 0, OPS);
    tcase_add_loop_test(damage, byte_soup_is_refused_or_understood_and_never_more, 0, OPS);
    tcase_add_loop_test(damage, a_name_with_a_nul_inside_is_refused, 0, OPS);
    tcase_add_test(damage, a_name_too_long_for_a_struct_is_refused);
    tcase_add_test(damage, an_unknown_field_is_refused_at_each_level);
    tcase_add_test(damage, an_unknown_field_in_a_pool_of_a_listing_is_refused);
    tcase_add_test(damage, another_version_is_told_so_and_not_looked_at);
    tcase_add_test(damage, a_version_said_twice_is_refused);
    tcase_add_test(damage, a_request_for_nothing_is_refused_with_its_id);
    tcase_add_test(damage, a_change_of_capacity_without_a_session_is_refused);
    tcase_add_test(damage, a_failure_without_an_error_is_refused);
    tcase_add_test(damage, more_pools_than_a_page_holds_are_refused);
    tcase_add_test(damage, what_would_need_much_memory_is_refused);
    suite_add_tcase(suite, damage);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(make_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
