/* SPDX-License-Identifier: MIT
 *
 * check_registry: pools, sessions and requests of the daemon without its loop.
 */
#include "desk.h"
#include "os/fence.h"
#include "shm/session.h"

#include <check.h>
#include <dirent.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------ create, open, ... */

START_TEST(a_created_pool_is_attached_and_found)
{
    struct pool *pool;
    struct stat status;
    int made;

    ck_assert_int_eq(desk_create("orders"), 0);
    made = desk_descriptor();
    pool = registry_find(&registry, "orders");
    ck_assert_ptr_nonnull(pool);
    ck_assert_ptr_eq(registry_find_id(&registry, result.reply.attached.pool_id), pool);
    ck_assert_int_eq(fstat(made, &status), 0);
    ck_assert_uint_eq((uint64_t)status.st_size, result.reply.attached.bytes);
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
    /* All but the guard page has its memory. */
    ck_assert_uint_eq((uint64_t)status.st_blocks * 512 + (uint64_t)sysconf(_SC_PAGESIZE),
                      result.reply.attached.bytes);
    ck_assert_uint_eq(test_daemon_segments(&place), 1);
    ck_assert_int_eq(fence_is_open(pool->descriptor, result.reply.attached.session), 0);
    ck_assert_int_eq(session_state(&pool->segment, result.reply.attached.session), SESSION_LIVE);
    close(made);
    ck_assert_int_eq(fence_is_open(pool->descriptor, result.reply.attached.session), 1);
}
END_TEST

START_TEST(bad_creations_are_refused_each_with_its_code)
{
    static const struct {
        const char *name;
        uint64_t size, alignment, capacity;
        int code;
    } cases[] = {
        {"", 64, 0, 10, FASTALLOC_E_NAME},
        {"a/b", 64, 0, 10, FASTALLOC_E_NAME},
        {"..", 64, 0, 10, FASTALLOC_E_NAME},
        {"new\nline", 64, 0, 10, FASTALLOC_E_NAME},
        {"\xff\xfe", 64, 0, 10, FASTALLOC_E_NAME},
        {"p", 0, 0, 10, FASTALLOC_E_SIZE},
        {"p", 64, 0, 0, FASTALLOC_E_CAPACITY},
        {"p", UINT64_MAX / 2, 0, 4, FASTALLOC_E_OVERFLOW},
        {"p", UINT64_C(1) << 40, 0, 1000, FASTALLOC_E_LIMIT},
        {"p", 64, 3, 10, FASTALLOC_E_ALIGNMENT},
        {"p", 64, 8192, 10, FASTALLOC_E_ALIGNMENT},
    };
    struct pool_spec spec;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        spec = desk_spec_of(cases[i].name);
        spec.object_size = cases[i].size;
        spec.alignment = cases[i].alignment;
        spec.capacity = cases[i].capacity;
        ck_assert_msg(desk_create_as(&client, &spec) == cases[i].code, "case %zu: %d %s", i,
                      result.reply.error, result.reply.message);
        ck_assert_int_ne(result.reply.message[0], 0);
        ck_assert(!result.hang_up);
        ck_assert_int_eq(result.descriptor, -1);
    }
    spec = desk_spec_of("p");
    spec.flags = ~SPEC_FLAGS;
    ck_assert_int_lt(desk_create_as(&client, &spec), 0);
    spec = desk_spec_of("p");
    spec.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    spec.growth_factor = 1;
    ck_assert_int_eq(desk_create_as(&client, &spec), FASTALLOC_E_GROWTH);
    spec.growth_factor = 1 / 0.0;
    ck_assert_int_eq(desk_create_as(&client, &spec), FASTALLOC_E_GROWTH);
    ck_assert_ptr_null(registry.pools);
    ck_assert_uint_eq(test_daemon_segments(&place), 0);
}
END_TEST

START_TEST(a_pool_that_exists_is_not_created_again)
{
    ck_assert_int_eq(desk_create("orders"), 0);
    close(desk_descriptor());
    ck_assert_int_eq(desk_create("orders"), FASTALLOC_E_EXISTS);
    ck_assert_str_eq(result.reply.message,
                     "pool \"orders\" exists already, created by uid 1000 with 1000 slots of 64 "
                     "bytes: open it, or destroy it first");
    ck_assert_uint_eq(test_daemon_segments(&place), 1);
}
END_TEST

START_TEST(what_does_not_fit_leaves_nothing)
{
    struct pool_spec spec = desk_spec_of("huge");
    DIR *directory;
    struct dirent *entry;

    spec.object_size = UINT64_C(1) << 30;
    spec.capacity = 1000;
    ck_assert_int_eq(desk_create_as(&client, &spec), FASTALLOC_E_NO_MEMORY);
    ck_assert_ptr_nonnull(strstr(result.reply.message, "pool \"huge\""));
    ck_assert_ptr_nonnull(strstr(result.reply.message, "needs "));
    ck_assert_ptr_null(registry.pools);
    ck_assert_uint_eq(test_daemon_segments(&place), 0);
    directory = opendir(registry.store.path);
    while ((entry = readdir(directory)))
        ck_assert_int_eq(entry->d_name[0], '.');
    closedir(directory);
    /* The name is free. */
    ck_assert_int_eq(desk_create("huge"), 0);
    close(desk_descriptor());
}
END_TEST

START_TEST(a_pool_under_construction_has_its_name_but_cannot_be_opened)
{
    struct wire_request request = {.id = 1, .op = WIRE_CREATE, .create = desk_spec_of("slow")};
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_request(&request, bytes);
    struct request_result building;

    request_handle(&registry, &client, bytes, length, 0, &building);
    ck_assert_int_eq(building.next, REQUEST_BUILD);
    ck_assert_int_eq(desk_open_as(&client, "slow"), FASTALLOC_E_BUSY);
    ck_assert_ptr_nonnull(strstr(result.reply.message, "just being created"));
    ck_assert_int_eq(desk_create("slow"), FASTALLOC_E_EXISTS);
    ck_assert_int_eq(desk_destroy_as(&client, "slow"), FASTALLOC_E_BUSY);
    /* Its creator goes away meanwhile: no pool comes of it. */
    result = building;
    desk_build(NULL);
    ck_assert_int_eq(result.next, REQUEST_RELEASE);
    desk_release();
    ck_assert_ptr_null(registry.pools);
    ck_assert_uint_eq(test_daemon_segments(&place), 0);
}
END_TEST

START_TEST(opening_checks_what_the_client_expects)
{
    struct wire_request request = {.id = 7, .op = WIRE_OPEN};
    struct pool_spec spec = desk_spec_of("orders");

    strcpy(spec.type_name, "order");
    spec.type_version = 2;
    ck_assert_int_eq(desk_create_as(&client, &spec), 0);
    close(desk_descriptor());
    request.open.expected = spec;
    request.open.expected.capacity = 0;
    ck_assert_int_eq(desk_handle(&client, &request), 0);
    close(desk_descriptor());
    strcpy(request.open.expected.type_name, "invoice");
    ck_assert_int_eq(desk_handle(&client, &request), FASTALLOC_E_TYPE);
    request.open.expected = spec;
    request.open.expected.object_size = 65;
    ck_assert_int_eq(desk_handle(&client, &request), FASTALLOC_E_TYPE_SIZE);
    request.open.expected = spec;
    request.open.expected.type_version = 3;
    ck_assert_int_eq(desk_handle(&client, &request), FASTALLOC_E_TYPE_VERSION);
    ck_assert_int_eq(desk_open_as(&client, "none"), FASTALLOC_E_NOT_FOUND);
    ck_assert_int_eq(desk_open_as(&client, ""), FASTALLOC_E_NAME);
}
END_TEST

START_TEST(the_mode_decides_who_may_open)
{
    struct pool_spec spec = desk_spec_of("orders");
    gid_t groups[] = {5, 1000};
    struct client root;

    ck_assert_int_eq(desk_create_as(&client, &spec), 0);
    close(desk_descriptor());
    ck_assert_int_eq(desk_open_as(&other, "orders"), FASTALLOC_E_PERMISSION);
    desk_greet(&root, 0);
    ck_assert_int_eq(desk_open_as(&root, "orders"), 0);
    close(desk_descriptor());
    strcpy(spec.name, "group");
    spec.mode = 0660;
    ck_assert_int_eq(desk_create_as(&client, &spec), 0);
    close(desk_descriptor());
    ck_assert_int_eq(desk_open_as(&other, "group"), FASTALLOC_E_PERMISSION);
    other.peer.groups = groups;
    other.peer.group_count = 2;
    ck_assert_int_eq(desk_open_as(&other, "group"), 0);
    close(desk_descriptor());
    strcpy(spec.name, "group readers");
    spec.mode = 0640;
    ck_assert_int_eq(desk_create_as(&client, &spec), 0);
    close(desk_descriptor());
    ck_assert_int_eq(desk_open_as(&other, "group readers"), FASTALLOC_E_PERMISSION);
    /* Who is in the group has the group's bits, not the others'. */
    strcpy(spec.name, "others");
    spec.mode = 0606;
    ck_assert_int_eq(desk_create_as(&client, &spec), 0);
    close(desk_descriptor());
    ck_assert_int_eq(desk_open_as(&other, "others"), FASTALLOC_E_PERMISSION);
    other.peer.group_count = 0;
    ck_assert_int_eq(desk_open_as(&other, "others"), 0);
    close(desk_descriptor());
    strcpy(spec.name, "readers");
    spec.mode = 0644;
    ck_assert_int_eq(desk_create_as(&client, &spec), 0);
    close(desk_descriptor());
    ck_assert_int_eq(desk_open_as(&other, "readers"), FASTALLOC_E_PERMISSION);
    ck_assert_int_eq(desk_destroy_as(&other, "others"), FASTALLOC_E_PERMISSION);
    registry_suspect_client(&registry, &root, 0);
}
END_TEST

/* -------------------------------------------------------------------- sessions */

START_TEST(the_last_close_ends_a_pool_that_is_not_persistent)
{
    struct wire_reply first, second;
    struct pool *pool;

    ck_assert_int_eq(desk_create("orders"), 0);
    close(desk_descriptor());
    first = result.reply;
    ck_assert_int_eq(desk_open_as(&client, "orders"), 0);
    close(desk_descriptor());
    second = result.reply;
    ck_assert_uint_ne(first.attached.session, second.attached.session);
    pool = registry_find(&registry, "orders");

    ck_assert_int_eq(desk_close_as(&client, &first), 0);
    ck_assert_int_eq(result.next, REQUEST_SWEEP);
    ck_assert_ptr_eq(registry.suspects, result.session);
    desk_sweep(pool, first.attached.session);
    ck_assert_int_eq(session_state(&pool->segment, first.attached.session), SESSION_FREE);
    ck_assert(!registry_is_over(pool));
    ck_assert_int_eq(desk_close_as(&client, &second), 0);
    ck_assert(!registry_is_over(pool));
    desk_sweep(pool, second.attached.session);
    ck_assert_ptr_null(registry.suspects);
    ck_assert(registry_is_over(pool));
    desk_leave(pool);
    ck_assert_uint_eq(test_daemon_segments(&place), 0);
}
END_TEST

START_TEST(only_ones_own_session_can_be_closed)
{
    struct wire_reply attached;

    ck_assert_int_eq(desk_create("orders"), 0);
    close(desk_descriptor());
    attached = result.reply;
    ck_assert_int_eq(desk_close_as(&other, &attached), FASTALLOC_E_SESSION);
    attached.attached.nonce++;
    ck_assert_int_eq(desk_close_as(&client, &attached), FASTALLOC_E_SESSION);
    attached.attached.nonce--;
    attached.attached.session++;
    ck_assert_int_eq(desk_close_as(&client, &attached), FASTALLOC_E_SESSION);
    attached.attached.session--;
    attached.attached.pool_id++;
    ck_assert_int_eq(desk_close_as(&client, &attached), FASTALLOC_E_SESSION);
    attached.attached.pool_id--;
    ck_assert_int_eq(desk_close_as(&client, &attached), 0);
    ck_assert_int_eq(desk_close_as(&client, &attached), FASTALLOC_E_SESSION);
}
END_TEST

START_TEST(session_numbers_go_round_and_are_limited)
{
    struct pool_spec spec = desk_spec_of("small");
    struct wire_reply first;
    struct pool *pool;
    uint32_t i;

    spec.max_sessions = 4;
    ck_assert_int_eq(desk_create_as(&client, &spec), 0);
    close(desk_descriptor());
    first = result.reply;
    pool = registry_find(&registry, "small");
    for (i = 1; i < 4; i++) {
        ck_assert_int_eq(desk_open_as(&client, "small"), 0);
        ck_assert_uint_eq(result.reply.attached.session, first.attached.session + i);
        close(desk_descriptor());
        if (i == 1) {
            ck_assert_int_eq(desk_close_as(&client, &first), 0);
            desk_sweep(pool, first.attached.session);
        }
    }
    /* Only now the one that was swept first is given out again. */
    ck_assert_int_eq(desk_open_as(&client, "small"), 0);
    ck_assert_uint_eq(result.reply.attached.session, first.attached.session);
    ck_assert_uint_ne(result.reply.attached.nonce, first.attached.nonce);
    close(desk_descriptor());
    ck_assert_int_eq(desk_open_as(&client, "small"), FASTALLOC_E_TOO_MANY);
    ck_assert_ptr_nonnull(strstr(result.reply.message, "4 of 4 sessions"));
    ck_assert_uint_eq(pool_session_count(pool), 4);
}
END_TEST

START_TEST(a_number_is_not_reused_while_a_gift_to_it_is_under_way)
{
    struct pool_spec spec = desk_spec_of("gift");
    struct wire_reply first;
    struct pool *pool;

    spec.max_sessions = 2;
    ck_assert_int_eq(desk_create_as(&client, &spec), 0);
    close(desk_descriptor());
    first = result.reply;
    pool = registry_find(&registry, "gift");
    ck_assert_int_eq(desk_open_as(&client, "gift"), 0);
    close(desk_descriptor());
    pool->segment.sessions[result.reply.attached.session].intents[0] = first.attached.session;
    ck_assert_int_eq(desk_close_as(&client, &first), 0);
    desk_sweep(pool, first.attached.session);
    ck_assert_int_eq(desk_open_as(&client, "gift"), FASTALLOC_E_TOO_MANY);
    pool->segment.sessions[result.reply.attached.session].intents[0] = 0;
    memset(pool->segment.sessions[2].intents, 0, sizeof pool->segment.sessions[2].intents);
    memset(pool->segment.sessions[1].intents, 0, sizeof pool->segment.sessions[1].intents);
    ck_assert_int_eq(desk_open_as(&client, "gift"), 0);
    ck_assert_uint_eq(result.reply.attached.session, first.attached.session);
    close(desk_descriptor());
}
END_TEST

/* ----------------------------------------------------------- destroy, list, stat */

START_TEST(destroying_frees_the_name_at_once_and_the_memory_later)
{
    struct wire_reply attached;
    struct pool *old;

    ck_assert_int_eq(desk_create("orders"), 0);
    close(desk_descriptor());
    attached = result.reply;
    old = registry_find(&registry, "orders");
    ck_assert_int_eq(desk_destroy_as(&client, "orders"), 0);
    ck_assert_int_eq(result.next, REQUEST_ANSWER);
    ck_assert_uint_eq(segment_state(&old->segment), POOL_DESTROYED);
    ck_assert_int_eq(desk_open_as(&client, "orders"), FASTALLOC_E_NOT_FOUND);
    ck_assert_int_eq(desk_destroy_as(&client, "orders"), FASTALLOC_E_NOT_FOUND);
    ck_assert_int_eq(desk_create("orders"), 0);
    close(desk_descriptor());
    ck_assert_ptr_ne(registry_find(&registry, "orders"), old);
    ck_assert_uint_eq(test_daemon_segments(&place), 2);
    ck_assert_int_eq(desk_close_as(&client, &attached), 0);
    desk_sweep(old, attached.attached.session);
    ck_assert(registry_is_over(old));
    desk_leave(old);
    ck_assert_ptr_nonnull(registry_find(&registry, "orders"));
    ck_assert_uint_eq(test_daemon_segments(&place), 1);
}
END_TEST

START_TEST(a_persistent_pool_stays_until_destroyed)
{
    struct pool_spec spec = desk_spec_of("kept");
    struct wire_reply attached;
    struct pool *pool;

    spec.lifetime = FASTALLOC_PERSISTENT;
    ck_assert_int_eq(desk_create_as(&client, &spec), 0);
    close(desk_descriptor());
    attached = result.reply;
    pool = registry_find(&registry, "kept");
    ck_assert_int_eq(desk_close_as(&client, &attached), 0);
    desk_sweep(pool, attached.attached.session);
    ck_assert(!registry_is_over(pool));
    ck_assert_int_eq(desk_destroy_as(&client, "kept"), 0);
    ck_assert_int_eq(result.next, REQUEST_RELEASE);
    ck_assert_ptr_null(registry.pools);
    ck_assert_uint_eq(test_daemon_segments(&place), 0);
}
END_TEST

START_TEST(a_listing_shows_what_the_caller_may_use)
{
    struct wire_request request = {.id = 1, .op = WIRE_LIST};
    struct client root;
    char name[20];
    unsigned i, seen = 0;

    for (i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "pool %u", i);
        ck_assert_int_eq(desk_create_as(i % 2 ? &other : &client, &(struct pool_spec){0}),
                         FASTALLOC_E_NAME);
        struct pool_spec spec = desk_spec_of(name);

        ck_assert_int_eq(desk_create_as(i % 2 ? &other : &client, &spec), 0);
        close(desk_descriptor());
    }
    desk_greet(&root, 0);
    do {
        ck_assert_int_eq(desk_handle(&root, &request), 0);
        for (i = 0; i < result.reply.list.count; i++) {
            snprintf(name, sizeof name, "pool %u", seen++);
            ck_assert_str_eq(result.reply.list.pools[i].spec.name, name);
            ck_assert_uint_eq(result.reply.list.pools[i].sessions, 1);
            request.list.after = result.reply.list.pools[i].serial;
        }
    } while (result.reply.list.more);
    ck_assert_uint_eq(seen, 20);
    request.list.after = 0;
    ck_assert_int_eq(desk_handle(&client, &request), 0);
    ck_assert_uint_eq(result.reply.list.count, WIRE_LIST_MAX);
    ck_assert(result.reply.list.more);
    for (i = 0; i < result.reply.list.count; i++)
        ck_assert_uint_eq(result.reply.list.pools[i].uid, 1000);
    request.list.after = result.reply.list.pools[WIRE_LIST_MAX - 1].serial;
    ck_assert_int_eq(desk_handle(&client, &request), 0);
    ck_assert_uint_eq(result.reply.list.count, 10 - WIRE_LIST_MAX);
    ck_assert(!result.reply.list.more);
}
END_TEST

START_TEST(stat_gives_a_read_only_descriptor)
{
    struct wire_request request = {.id = 1, .op = WIRE_STAT};
    int got;

    ck_assert_int_eq(desk_create("orders"), 0);
    close(desk_descriptor());
    strcpy(request.stat.name, "orders");
    ck_assert_int_eq(desk_handle(&client, &request), 0);
    got = desk_descriptor();
    ck_assert_int_eq(fcntl(got, F_GETFL) & O_ACCMODE, O_RDONLY);
    close(got);
    ck_assert_uint_eq(result.reply.stat.spec.max_threads, SPEC_THREADS_DEFAULT);
    ck_assert_uint_eq(result.reply.stat.sessions, 1);
    ck_assert_int_eq(desk_handle(&other, &request), FASTALLOC_E_PERMISSION);
    ck_assert_int_eq(result.descriptor, -1);
}
END_TEST

START_TEST(one_uid_cannot_take_everything)
{
    char name[20];
    unsigned i;

    for (i = 0; i < LIMIT_POOLS_PER_UID; i++) {
        snprintf(name, sizeof name, "pool %u", i);
        ck_assert_int_eq(desk_create(name), 0);
        close(desk_descriptor());
    }
    ck_assert_int_eq(desk_create("one more"), FASTALLOC_E_TOO_MANY);
    ck_assert_ptr_nonnull(strstr(result.reply.message, "256 pools"));
    ck_assert_int_eq(
        desk_create_as(&other,
                       &(struct pool_spec){.name = "theirs", .object_size = 8, .capacity = 8}),
        0);
    close(desk_descriptor());
}
END_TEST

/* -------------------------------------------------------------------- protocol */

START_TEST(violations_of_the_protocol_end_the_connection)
{
    struct wire_request hello = {.id = 5, .op = WIRE_HELLO}, list = {.id = 6, .op = WIRE_LIST};
    struct client fresh;
    uint8_t bytes[WIRE_MAX];
    size_t length;

    desk_greet(&fresh, 1);
    fresh.greeted = false;
    ck_assert_int_eq(desk_handle(&fresh, &list), FASTALLOC_E_PROTOCOL);
    ck_assert(result.hang_up);
    ck_assert_int_eq(desk_handle(&fresh, &hello), 0);
    ck_assert(!result.hang_up);
    ck_assert_int_eq(desk_handle(&fresh, &list), 0);
    ck_assert_int_eq(desk_handle(&fresh, &hello), FASTALLOC_E_PROTOCOL);
    ck_assert(result.hang_up);

    length = wire_pack_request(&list, bytes);
    bytes[1] = 9;
    request_handle(&registry, &fresh, bytes, length, 0, &result);
    ck_assert_int_eq(result.reply.error, FASTALLOC_E_VERSION);
    ck_assert_uint_eq(result.reply.id, 6);
    ck_assert(result.hang_up);
    request_handle(&registry, &fresh, (const uint8_t *)"hello", 5, 0, &result);
    ck_assert_int_eq(result.reply.error, FASTALLOC_E_PROTOCOL);
    ck_assert(result.hang_up);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("registry");
    TCase *pools = tcase_create("pools");

    tcase_add_checked_fixture(pools, desk_set_up, desk_tear_down);
    tcase_set_timeout(pools, 30);
    tcase_add_test(pools, a_created_pool_is_attached_and_found);
    tcase_add_test(pools, bad_creations_are_refused_each_with_its_code);
    tcase_add_test(pools, a_pool_that_exists_is_not_created_again);
    tcase_add_test(pools, what_does_not_fit_leaves_nothing);
    tcase_add_test(pools, a_pool_under_construction_has_its_name_but_cannot_be_opened);
    tcase_add_test(pools, opening_checks_what_the_client_expects);
    tcase_add_test(pools, the_mode_decides_who_may_open);
    tcase_add_test(pools, the_last_close_ends_a_pool_that_is_not_persistent);
    tcase_add_test(pools, only_ones_own_session_can_be_closed);
    tcase_add_test(pools, session_numbers_go_round_and_are_limited);
    tcase_add_test(pools, a_number_is_not_reused_while_a_gift_to_it_is_under_way);
    tcase_add_test(pools, destroying_frees_the_name_at_once_and_the_memory_later);
    tcase_add_test(pools, a_persistent_pool_stays_until_destroyed);
    tcase_add_test(pools, a_listing_shows_what_the_caller_may_use);
    tcase_add_test(pools, stat_gives_a_read_only_descriptor);
    tcase_add_test(pools, one_uid_cannot_take_everything);
    tcase_add_test(pools, violations_of_the_protocol_end_the_connection);
    suite_add_tcase(suite, pools);

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
