/* SPDX-License-Identifier: MIT
 *
 * check_daemon_attack: bad input, slow clients and too many of them: the real fastallocd stays,
 * and serves the others.
 */
#include "os/backing.h"
#include "os/packet.h"
#include "tests/support/daemon.h"
#include "tests/support/raw.h"

#include <check.h>
#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct test_daemon daemon_;
static struct wire_reply reply;

static void start(void)
{
    test_daemon_start(&daemon_, NULL);
}

static void stop(void)
{
    test_daemon_stop(&daemon_);
}

static long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Creates a pool and returns its descriptor. */
static int create(int client, const char *name)
{
    struct pool_spec spec = raw_spec(name, 64, 1000);
    int segment = raw_create(client, &spec, &reply);

    ck_assert_msg(segment >= 0, "%d %s", reply.error, reply.message);
    return segment;
}

/* -------------------------------------------------------------------- bad input */

START_TEST(bad_creations_have_each_a_code_and_a_text)
{
    static const struct {
        const char *name;
        uint64_t size, alignment, capacity;
        int code;
    } cases[] = {
        {"", 64, 0, 10, FASTALLOC_E_NAME},
        {"a/b", 64, 0, 10, FASTALLOC_E_NAME},
        {"tab\there", 64, 0, 10, FASTALLOC_E_NAME},
        {"\xc3\x28", 64, 0, 10, FASTALLOC_E_NAME},
        {"p", 0, 0, 10, FASTALLOC_E_SIZE},
        {"p", 64, 0, 0, FASTALLOC_E_CAPACITY},
        {"p", UINT64_MAX - 7, 0, 1 << 20, FASTALLOC_E_OVERFLOW},
        {"p", UINT64_C(1) << 36, 0, 10, FASTALLOC_E_NO_MEMORY},
        {"p", 64, 24, 10, FASTALLOC_E_ALIGNMENT},
    };
    int client = raw_client(daemon_.socket);
    struct pool_spec spec;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        spec = raw_spec(cases[i].name, cases[i].size, cases[i].capacity);
        spec.alignment = cases[i].alignment;
        ck_assert_msg(raw_create(client, &spec, &reply) == cases[i].code, "case %zu: %d %s", i,
                      reply.error, reply.message);
        ck_assert_int_ne(reply.message[0], 0);
    }
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 0);
    close(client);
}
END_TEST

/* A packet that is answered by an error, after which the connection is closed. */
static void require_sent_away(const void *bytes, size_t length, int code)
{
    int client = raw_client(daemon_.socket), descriptor;

    ck_assert_int_eq(send(client, bytes, length, MSG_NOSIGNAL), (int)length);
    ck_assert(raw_receive(client, &reply, &descriptor));
    ck_assert_int_eq(descriptor, -1);
    ck_assert_int_eq(reply.error, code);
    ck_assert_int_ne(reply.message[0], 0);
    ck_assert(raw_is_closed(client));
    close(client);
}

START_TEST(packets_that_are_no_messages_end_the_connection)
{
    struct wire_request request = {.id = 3, .op = WIRE_LIST};
    uint8_t bytes[WIRE_MAX + 100] = "";
    size_t length, i;

    require_sent_away("x", 1, FASTALLOC_E_PROTOCOL);
    memset(bytes, 0xff, sizeof bytes);
    require_sent_away(bytes, WIRE_MAX, FASTALLOC_E_PROTOCOL);
    require_sent_away(bytes, WIRE_MAX + 1, FASTALLOC_E_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(reply.message, "more than 4096"));
    length = wire_pack_request(&request, bytes);
    for (i = 1; i < length; i++)
        require_sent_away(bytes, i, FASTALLOC_E_PROTOCOL);
    memcpy(bytes + length, "\xa0\x06\x01", 3);
    require_sent_away(bytes, length + 3, FASTALLOC_E_PROTOCOL);
    bytes[1] = WIRE_VERSION + 1;
    require_sent_away(bytes, length, FASTALLOC_E_VERSION);
    ck_assert_uint_eq(reply.id, 3);
    request.op = WIRE_HELLO;
    length = wire_pack_request(&request, bytes);
    require_sent_away(bytes, length, FASTALLOC_E_PROTOCOL);
}
END_TEST

START_TEST(an_empty_packet_is_the_end_of_the_connection)
{
    int client = raw_client(daemon_.socket);

    ck_assert_int_eq(send(client, "", 0, MSG_NOSIGNAL), 0);
    ck_assert(raw_is_closed(client));
    close(client);
}
END_TEST

START_TEST(nothing_goes_before_the_hello)
{
    struct wire_request request = {.id = 3, .op = WIRE_LIST};
    int client = raw_connect(daemon_.socket);

    ck_assert_int_eq(raw_call(client, &request, &reply, NULL), FASTALLOC_E_PROTOCOL);
    ck_assert(raw_is_closed(client));
    close(client);
}
END_TEST

START_TEST(a_name_with_a_nul_is_refused_and_the_connection_stays)
{
    struct wire_request request = {.id = 3, .op = WIRE_STAT};
    int client = raw_client(daemon_.socket);
    uint8_t bytes[WIRE_MAX];
    size_t length;

    strcpy(request.stat.name, "ab");
    length = wire_pack_request(&request, bytes);
    bytes[length - 1] = 0;
    raw_send(client, bytes, length);
    ck_assert(raw_receive(client, &reply, NULL));
    ck_assert_int_eq(reply.error, FASTALLOC_E_NAME);
    ck_assert_int_eq(raw_stat(client, "ab", &reply), FASTALLOC_E_NOT_FOUND);
    close(client);
}
END_TEST

START_TEST(soup_does_not_hurt)
{
    static const uint8_t start[] = {0x0d, WIRE_VERSION, 0, 0, 0};
    uint8_t bytes[WIRE_MAX];
    uint64_t state = 7;
    size_t length, i;
    int round, client;

    for (round = 0; round < 500; round++) {
        client = raw_connect(daemon_.socket);
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        length = 1 + (state >> 40) % WIRE_MAX;
        for (i = 0; i < length; i++) {
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
            bytes[i] = (uint8_t)(state >> 56);
        }
        memcpy(bytes, start, length < sizeof start ? length : sizeof start);
        ck_assert_int_eq(send(client, bytes, length, MSG_NOSIGNAL), (int)length);
        close(client);
    }
    close(raw_client(daemon_.socket));
}
END_TEST

struct descriptor_count {
    int count;
};

static bool daemon_has_descriptors(void *argument)
{
    const struct descriptor_count *expected = argument;

    return test_descriptors(daemon_.pid) == expected->count;
}

/* The daemon's descriptors, once it has seen that the connection which found out whether
 * it listens is gone. */
static int settled_descriptors(void)
{
    struct descriptor_count last;
    int calm;

    last.count = test_descriptors(daemon_.pid);
    for (calm = 0; calm < 10; calm++) {
        usleep(5000);
        if (!daemon_has_descriptors(&last)) {
            last.count = test_descriptors(daemon_.pid);
            calm = 0;
        }
    }
    return last.count;
}

/* All that this test holds closed, the daemon's count comes back to what it was. */
static void require_descriptors(int count)
{
    struct descriptor_count expected = {count};

    ck_assert_msg(test_eventually(daemon_has_descriptors, &expected), "%d descriptors, not %d",
                  test_descriptors(daemon_.pid), count);
}

START_TEST(unsolicited_descriptors_do_not_stay)
{
    struct wire_request request = {.id = 1, .op = WIRE_LIST};
    int client = raw_client(daemon_.socket), null = open("/dev/null", O_RDONLY | O_CLOEXEC), i;
    int before = settled_descriptors();
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_request(&request, bytes);

    for (i = 0; i < 100; i++) {
        ck_assert_int_eq(packet_send(client, bytes, length, null), 0);
        ck_assert(raw_receive(client, &reply, NULL));
        ck_assert_int_eq(reply.error, 0);
        ck_assert_int_eq(test_descriptors(daemon_.pid), before);
    }
    close(null);
    close(client);
    require_descriptors(before - 1);
}
END_TEST

START_TEST(attaching_and_leaving_a_thousand_times_leaks_nothing)
{
    int client = raw_client(daemon_.socket), other, segment = create(client, "orders"), i, before;

    before = settled_descriptors();
    for (i = 0; i < 1000; i++) {
        other = raw_open(client, "orders", &reply);
        ck_assert_msg(other >= 0, "round %d: %s", i, reply.message);
        close(other);
        ck_assert_int_eq(raw_close(client, &reply), 0);
    }
    require_descriptors(before);
    close(segment);
    close(client);
}
END_TEST

/* ------------------------------------------------------------- slow and many */

START_TEST(a_client_without_a_hello_is_closed_after_five_seconds)
{
    int client = raw_connect(daemon_.socket);
    long before = now_ms();

    ck_assert(raw_is_closed(client));
    ck_assert_int_ge(now_ms() - before, 4500);
    ck_assert_int_lt(now_ms() - before, 9000);
    close(client);
}
END_TEST

START_TEST(a_client_that_never_reads_is_closed_and_others_are_served)
{
    struct wire_request request = {.id = 1, .op = WIRE_LIST};
    int client = raw_client(daemon_.socket), other = raw_client(daemon_.socket), i, segments[8];
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_request(&request, bytes);
    char name[2] = "a";

    for (i = 0; i < 8; i++, name[0]++)
        segments[i] = create(other, name);
    fcntl(client, F_SETFL, O_NONBLOCK);
    /* Until its queue towards the daemon is full, as the daemon has stopped reading. */
    for (i = 0; i < 100; i++) {
        while (packet_send(client, bytes, length, -1) == 0)
            ;
        usleep(1000);
    }
    ck_assert_int_eq(raw_sessions(other, "a"), 1);
    for (i = 0; i < 9000 && packet_send(client, bytes, length, -1) == EAGAIN; i++)
        usleep(1000);
    ck_assert_int_eq(packet_send(client, bytes, length, -1), EPIPE);
    ck_assert(test_daemon_logged(&daemon_, "did not read its reply"));
    for (i = 0; i < 8; i++)
        close(segments[i]);
    close(client);
    close(other);
}
END_TEST

/* Whoever asks for what nobody answers keeps neither the others waiting nor the log. */
START_TEST(a_flood_of_one_way_requests_drowns_nobody)
{
    int client = raw_client(daemon_.socket), other = raw_client(daemon_.socket);
    int segment = create(client, "orders");
    struct wire_reply attached = reply, wrong = reply;
    unsigned i, lines = 0;
    char line[512];
    FILE *log;

    wrong.attached.nonce++;
    for (i = 0; i < 5000; i++) {
        raw_grow_ahead(client, i % 2 ? &attached : &wrong, 1000, i);
        if (i % 500 == 0)
            ck_assert_int_eq(raw_sessions(other, "orders"), 1);
    }
    ck_assert_int_eq(raw_sessions(client, "orders"), 1);
    ck_assert_int_eq(raw_capacity(client, "orders"), 1000);
    close(segment);
    ck_assert_int_eq(raw_close(client, &attached), 0);
    close(client);
    close(other);
    log = fopen(daemon_.log, "re");
    ck_assert_ptr_nonnull(log);
    while (fgets(line, sizeof line, log))
        lines += strstr(line, " debug ") == NULL;
    fclose(log);
    ck_assert_uint_lt(lines, 20);
}
END_TEST

START_TEST(connections_of_one_uid_are_limited)
{
    struct wire_request hello = {.op = WIRE_HELLO};
    int clients[256], extras[17], i, before = settled_descriptors();

    for (i = 0; i < 256; i++)
        clients[i] = raw_client(daemon_.socket);
    /* Some more are told so, as the answer to what they say; then none. */
    for (i = 0; i < 17; i++)
        extras[i] = raw_connect(daemon_.socket);
    ck_assert(raw_is_closed(extras[16]));
    for (i = 0; i < 16; i++) {
        ck_assert_int_eq(raw_call(extras[i], &hello, &reply, NULL), FASTALLOC_E_TOO_MANY);
        ck_assert_ptr_nonnull(strstr(reply.message, "256 connections"));
        ck_assert(raw_is_closed(extras[i]));
    }
    for (i = 0; i < 17; i++)
        close(extras[i]);
    for (i = 0; i < 256; i++)
        close(clients[i]);
    require_descriptors(before);
    close(raw_client(daemon_.socket));
}
END_TEST

START_TEST(out_of_descriptors_only_the_newcomer_is_dropped)
{
    struct rlimit few;
    int clients[64], i, last;

    clients[0] = raw_client(daemon_.socket);
    few.rlim_cur = few.rlim_max = (rlim_t)settled_descriptors() + 5;
    ck_assert_int_eq(prlimit(daemon_.pid, RLIMIT_NOFILE, &few, NULL), 0);
    for (i = 1; i < 20; i++) {
        clients[i] = raw_connect(daemon_.socket);
        ck_assert_int_ge(clients[i], 0);
    }
    /* The last ones were closed, the first is served. */
    ck_assert(raw_is_closed(clients[19]));
    ck_assert_int_eq(raw_sessions(clients[0], "none"), FASTALLOC_E_NOT_FOUND);
    for (i = 1; i < 20; i++)
        close(clients[i]);
    /* And with descriptors to be had again, newcomers are. */
    usleep(100000);
    last = raw_client(daemon_.socket);
    close(last);
    close(clients[0]);
}
END_TEST

START_TEST(a_peer_that_leaves_in_the_middle_is_swept)
{
    struct wire_request request = {.id = 1, .op = WIRE_CREATE};
    uint8_t bytes[WIRE_MAX];
    int i, client, before = settled_descriptors();
    size_t length;

    request.create = raw_spec("gone", 4096, 2000);
    length = wire_pack_request(&request, bytes);
    for (i = 0; i < 50; i++) {
        client = raw_client(daemon_.socket);
        raw_send(client, bytes, length);
        if (i % 2)
            usleep((unsigned)i * 100);
        close(client);
    }
    ck_assert(test_daemon_segments_become(&daemon_, 0));
    require_descriptors(before);
}
END_TEST

START_TEST(a_truncated_pool_does_not_hurt_the_daemon_nor_other_pools)
{
    int client = raw_client(daemon_.socket), bad = create(client, "bad"), good, again;
    struct wire_reply attached = reply;

    good = create(client, "good");
    ck_assert_int_eq(ftruncate(bad, 0), 0);
    ck_assert_int_eq(raw_open(client, "bad", &reply), FASTALLOC_E_POISONED);
    close(bad);
    ck_assert_int_eq(raw_close(client, &attached), 0);
    ck_assert(test_daemon_segments_become(&daemon_, 1));
    again = raw_open(client, "good", &reply);
    ck_assert_int_ge(again, 0);
    close(again);
    close(good);
    close(client);
}
END_TEST

/* Locks all and unlocks every other byte from the top: each makes one lock of one. */
static void set_locks(int segment, int count)
{
    struct flock lock = {.l_type = F_RDLCK, .l_start = 1 << 20, .l_len = (off_t)1 << 40};
    int i;

    ck_assert_int_eq(fcntl(segment, F_OFD_SETLK, &lock), 0);
    lock.l_type = F_UNLCK;
    lock.l_start = lock.l_len;
    lock.l_len = 1;
    for (i = 0; i < count; i++, lock.l_start -= 2)
        ck_assert_int_eq(fcntl(segment, F_OFD_SETLK, &lock), 0);
}

START_TEST(a_pool_with_many_locks_does_not_hold_up_others)
{
    int attacker = raw_client(daemon_.socket), client, segment = create(attacker, "bad"), i;
    int kept[200], other;
    long before;

    for (i = 0; i < 200; i++) {
        kept[i] = raw_open(attacker, "bad", &reply);
        ck_assert_int_ge(kept[i], 0);
    }
    client = raw_client(daemon_.socket);
    set_locks(segment, 100000);
    close(attacker);
    for (i = 0; i < 10; i++) {
        before = now_ms();
        other = create(client, "good");
        ck_assert_int_lt(now_ms() - before, 500);
        close(other);
        ck_assert_int_eq(raw_close(client, &reply), 0);
    }
    for (i = 0; i < 200; i++)
        close(kept[i]);
    close(segment);
    close(client);
    /* Its end is still found: the last look is taken before the daemon goes. */
    before = now_ms();
    test_daemon_end(&daemon_);
    ck_assert_int_lt(now_ms() - before, 1500);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("daemon under attack");
    TCase *input = tcase_create("bad input"), *load = tcase_create("load");

    tcase_add_checked_fixture(input, start, stop);
    tcase_set_timeout(input, 20);
    tcase_add_test(input, bad_creations_have_each_a_code_and_a_text);
    tcase_add_test(input, packets_that_are_no_messages_end_the_connection);
    tcase_add_test(input, an_empty_packet_is_the_end_of_the_connection);
    tcase_add_test(input, nothing_goes_before_the_hello);
    tcase_add_test(input, a_name_with_a_nul_is_refused_and_the_connection_stays);
    tcase_add_test(input, soup_does_not_hurt);
    tcase_add_test(input, unsolicited_descriptors_do_not_stay);
    tcase_add_test(input, a_truncated_pool_does_not_hurt_the_daemon_nor_other_pools);
    suite_add_tcase(suite, input);

    tcase_add_checked_fixture(load, start, stop);
    tcase_set_timeout(load, 40);
    tcase_add_test(load, a_client_without_a_hello_is_closed_after_five_seconds);
    tcase_add_test(load, a_client_that_never_reads_is_closed_and_others_are_served);
    tcase_add_test(load, a_flood_of_one_way_requests_drowns_nobody);
    tcase_add_test(load, connections_of_one_uid_are_limited);
    tcase_add_test(load, out_of_descriptors_only_the_newcomer_is_dropped);
    tcase_add_test(load, a_peer_that_leaves_in_the_middle_is_swept);
    tcase_add_test(load, a_pool_with_many_locks_does_not_hold_up_others);
    tcase_add_test(load, attaching_and_leaving_a_thousand_times_leaks_nothing);
    suite_add_tcase(suite, load);
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
