/* SPDX-License-Identifier: MIT
 *
 * Pools through a daemon, as a client sees them: what cannot be, how they come and go, and
 * whose they are.
 */
#include "connected.h"

#include "shm/layout.h" /* to know where to damage one */
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define daemon_ connected_daemon
#define client connected_client
#define SLOTS CONNECTED_SLOTS
#define NOBODY 65534

struct thing {
    uint64_t number[3];
};
FASTALLOC_DEFINE_POOL(things, struct thing);
FASTALLOC_DEFINE_POOL(numbers, uint64_t);

/* -------------------------------------------------------------- bad input */

START_TEST(bad_creations_are_refused_and_leave_nothing)
{
    fastalloc_pool_config config = api_config("p", 64, 10);
    char name[300] = "";

    config.name = NULL;
    require_failure(connected_try_create(&config), FASTALLOC_E_NAME, "empty");
    config.name = "";
    require_failure(connected_try_create(&config), FASTALLOC_E_NAME, "empty");
    memset(name, 'x', 299);
    config.name = name;
    require_failure(connected_try_create(&config), FASTALLOC_E_NAME, "299 bytes", "255");
    config.name = "a/b";
    require_failure(connected_try_create(&config), FASTALLOC_E_NAME, "\"/\"", "byte 1");
    config.name = "a\x01";
    require_failure(connected_try_create(&config), FASTALLOC_E_NAME, "control", "0x01");
    config.name = "\xf8";
    require_failure(connected_try_create(&config), FASTALLOC_E_NAME, "UTF-8", "0xf8");
    config = api_config("p", 0, 10);
    require_failure(connected_try_create(&config), FASTALLOC_E_SIZE, "object size is 0");
    config = api_config("p", 64, 0);
    require_failure(connected_try_create(&config), FASTALLOC_E_CAPACITY, "capacity is 0");
    config = api_config("p", SIZE_MAX / 4, 16);
    require_failure(connected_try_create(&config), FASTALLOC_E_OVERFLOW, "16 objects");
    config = api_config("p", 1, UINT64_C(1) << 40);
    require_failure(connected_try_create(&config), FASTALLOC_E_LIMIT, "1099511627776",
                    "2147483648");
    config = api_config("p", 64, 10);
    config.alignment = 24;
    require_failure(connected_try_create(&config), FASTALLOC_E_ALIGNMENT, "24");
    config.alignment = 16384;
    require_failure(connected_try_create(&config), FASTALLOC_E_ALIGNMENT, "16384", "4096");
    config = api_config("huge", 1u << 20, 1u << 24);
    require_failure(connected_try_create(&config), FASTALLOC_E_NO_MEMORY, "\"huge\"",
                    "16777216 slots", "16", "TiB", "only");
    require_failure(connected_try_open("huge", NULL), FASTALLOC_E_NOT_FOUND, "huge");
    require_ok(fastalloc_pool_close(connected_create("p"))); /* the name was not used up */
}
END_TEST

START_TEST(a_name_that_exists_is_refused_and_told_what_is_there)
{
    fastalloc_pool *pool = connected_create("taken");
    fastalloc_pool_config config = api_config("taken", 32, 5);

    require_failure(connected_try_create(&config), FASTALLOC_E_EXISTS, "\"taken\"", "1000 slots",
                    "64 bytes", "open it");
    ck_assert_uint_eq(api_info(pool).capacity, SLOTS);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(a_name_that_is_not_there_is_refused)
{
    require_failure(connected_try_open("nowhere", NULL), FASTALLOC_E_NOT_FOUND, "\"nowhere\"");
    require_failure(fastalloc_pool_destroy(client, "nowhere"), FASTALLOC_E_NOT_FOUND,
                    "\"nowhere\"");
    require_failure(connected_try_open(NULL, NULL), FASTALLOC_E_NAME, "empty");
    require_failure(connected_try_open("a/b", NULL), FASTALLOC_E_NAME, "\"/\"");
    require_failure(fastalloc_pool_destroy(client, NULL), FASTALLOC_E_NAME, "empty");
    require_failure(fastalloc_pool_destroy(client, "a/b"), FASTALLOC_E_NAME, "\"/\"");
}
END_TEST

START_TEST(a_pool_opened_as_something_else_is_refused)
{
    fastalloc_pool_config config = api_config("orders", 64, SLOTS), expected;
    fastalloc_pool *pool, *same;

    config.type_name = "struct order";
    config.type_version = 3;
    config.alignment = 32;
    require_ok(fastalloc_pool_create(client, &config, &pool));
    fastalloc_pool_config_init(&expected);
    expected.type_name = "struct invoice";
    require_failure(connected_try_open("orders", &expected), FASTALLOC_E_TYPE, "\"orders\"",
                    "\"struct order\"", "\"struct invoice\"");
    expected.type_name = "struct order";
    expected.type_version = 4;
    require_failure(connected_try_open("orders", &expected), FASTALLOC_E_TYPE_VERSION, "version 3",
                    "4");
    expected.type_version = 3;
    expected.object_size = 72;
    require_failure(connected_try_open("orders", &expected), FASTALLOC_E_TYPE_SIZE, "64 bytes",
                    "72");
    expected.object_size = 64;
    expected.alignment = 64;
    require_failure(connected_try_open("orders", &expected), FASTALLOC_E_TYPE_SIZE, "32 bytes",
                    "64");
    ck_assert_uint_eq(api_info(pool).sessions, 1);
    expected.alignment = 16; /* less than there is will do */
    require_ok(fastalloc_pool_open(client, "orders", &expected, &same));
    ck_assert_uint_eq(api_info(pool).sessions, 2);
    ck_assert_str_eq(api_info(same).type_name, "struct order");
    expected.struct_size = 3;
    require_failure(connected_try_open("orders", &expected), FASTALLOC_E_INVALID,
                    "struct_size is 3");
    require_ok(fastalloc_pool_close(same));
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(typed_pools_open_only_as_their_type)
{
    fastalloc_pool_config config = api_config("things", 0, 100);
    things_pool made, found = {untouched};
    numbers_pool wrong = {untouched};
    things_handle handle;
    struct thing *thing = NULL;

    require_ok(things_create(client, &config, &made));
    require_failure(numbers_open(client, "things", &wrong), FASTALLOC_E_TYPE, "struct thing",
                    "uint64_t");
    ck_assert_ptr_eq(wrong.pool, untouched);
    require_ok(things_open(client, "things", &found));
    require_ok(things_alloc(made, &handle, &thing));
    thing->number[2] = 17;
    ck_assert_uint_eq(things_get(found, handle)->number[2], 17);
    require_ok(things_adopt(found, handle));
    require_failure(things_give(made, handle, 1), FASTALLOC_E_STALE, "give");
    require_ok(things_free(found, handle));
    require_ok(things_close(&found));
    require_ok(things_close(&made));
}
END_TEST

/* --------------------------------------------------------- pools' life cycle */

START_TEST(every_open_is_a_session_of_its_own)
{
    fastalloc_pool *first = connected_create("shared"),
                   *second = connected_open_again(client, "shared");
    fastalloc_client *other = api_connect(daemon_.socket);
    fastalloc_pool *third = connected_open_again(other, "shared");
    fastalloc_handle handle;
    void *object;

    ck_assert_uint_ne(fastalloc_pool_session(first), fastalloc_pool_session(second));
    ck_assert_uint_ne(fastalloc_pool_session(second), fastalloc_pool_session(third));
    ck_assert_uint_eq(api_info(first).sessions, 3);
    require_ok(fastalloc_alloc(first, &handle, &object));
    strcpy(object, "seen by all");
    ck_assert_ptr_ne(fastalloc_get(third, handle), object);
    ck_assert_str_eq(fastalloc_get(third, handle), "seen by all");
    require_ok(fastalloc_give(first, handle, fastalloc_pool_session(second)));
    require_failure(fastalloc_give(first, handle, fastalloc_pool_session(third)), FASTALLOC_E_STALE,
                    "give");
    require_ok(fastalloc_adopt(third, handle));
    require_ok(fastalloc_free(second, handle)); /* anybody may */
    require_failure(fastalloc_free(third, handle), FASTALLOC_E_DOUBLE_FREE, "free");
    fastalloc_disconnect(other);
    ck_assert(api_sessions_become(first, 2));
    api_require_whole(first);
    api_require_whole(second);
    require_ok(fastalloc_pool_close(second));
    require_ok(fastalloc_pool_close(first));
}
END_TEST

START_TEST(closing_gives_back_what_was_held)
{
    fastalloc_pool *stays = connected_create("shared"),
                   *goes = connected_open_again(client, "shared");
    fastalloc_handle handles[300];
    void *object = NULL;

    ck_assert_uint_eq(api_fill(goes, handles, 300), 300);
    require_ok(fastalloc_receive(stays, handles[7], &object));
    ck_assert_ptr_eq(object, fastalloc_get(stays, handles[7]));
    require_ok(fastalloc_give(goes, handles[8], fastalloc_pool_session(stays)));
    require_ok(fastalloc_pool_close(goes));
    ck_assert(api_allocated_becomes(stays, 2));
    ck_assert_ptr_nonnull(fastalloc_get(stays, handles[7]));
    ck_assert_ptr_null(fastalloc_get(stays, handles[9]));
    require_failure(fastalloc_free(stays, handles[9]), FASTALLOC_E_DOUBLE_FREE, "free");
    require_ok(fastalloc_free(stays, handles[7]));
    require_ok(fastalloc_free(stays, handles[8]));
    api_require_whole(stays);
    require_ok(fastalloc_pool_close(stays));
}
END_TEST

START_TEST(disconnecting_closes_the_clients_pools_and_no_others)
{
    fastalloc_client *other = api_connect(daemon_.socket);
    fastalloc_pool *mine = connected_create("mine"), *its;
    fastalloc_pool_config config = api_config("its", 64, SLOTS);
    int descriptors;

    require_ok(fastalloc_pool_create(other, &config, &its));
    api_fill(connected_open_again(other, "mine"), NULL, 100);
    connected_open_again(client, "its");
    api_fill(its, NULL, 10);
    ck_assert_uint_eq(api_info(mine).sessions, 2);
    descriptors = test_descriptors(0);
    fastalloc_disconnect(other);
    ck_assert_int_eq(test_descriptors(0), descriptors - 1);
    ck_assert(api_sessions_become(mine, 1));
    ck_assert(api_allocated_becomes(mine, 0));
    require_failure(fastalloc_pool_create(client, &config, &its), FASTALLOC_E_EXISTS, "its");
    api_require_whole(mine);
    require_ok(fastalloc_pool_close(mine));
}
END_TEST

START_TEST(a_pool_goes_with_its_last_detach)
{
    fastalloc_pool *pool = connected_create("passing"),
                   *second = connected_open_again(client, "passing");

    ck_assert_uint_eq(test_daemon_segments(&daemon_), 1);
    require_ok(fastalloc_pool_close(pool));
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 1);
    api_require_whole(second);
    require_ok(fastalloc_pool_close(second));
    ck_assert(test_daemon_segments_become(&daemon_, 0));
    require_failure(connected_try_open("passing", NULL), FASTALLOC_E_NOT_FOUND, "passing");
}
END_TEST

START_TEST(a_name_can_be_used_again_at_once_after_the_last_detach)
{
    int i;

    for (i = 0; i < 30; i++)
        require_ok(fastalloc_pool_close(connected_create("again")));
}
END_TEST

START_TEST(a_persistent_pool_stays_with_its_root_until_destroyed)
{
    fastalloc_pool_config config = api_config("staying", 64, SLOTS);
    fastalloc_handle handle;
    fastalloc_pool *pool;

    config.lifetime = FASTALLOC_PERSISTENT;
    require_ok(fastalloc_pool_create(client, &config, &pool));
    handle = api_alloc(pool);
    require_ok(fastalloc_pool_set_root(pool, FASTALLOC_NONE, handle));
    require_ok(fastalloc_pool_close(pool));
    api_sleep_ms(50);
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 1);
    pool = connected_open_again(client, "staying");
    ck_assert_uint_eq(fastalloc_pool_root(pool), handle);
    ck_assert(api_allocated_becomes(pool, 0)); /* nobody had it any more */
    ck_assert_ptr_null(fastalloc_get(pool, handle));
    require_ok(fastalloc_pool_close(pool));
    require_ok(fastalloc_pool_destroy(client, "staying"));
    ck_assert(test_daemon_segments_become(&daemon_, 0));
    require_failure(connected_try_open("staying", NULL), FASTALLOC_E_NOT_FOUND, "staying");
}
END_TEST

static pthread_barrier_t meeting;
static bool by_inlined;

static void *meet_destruction(void *argument)
{
    fastalloc_pool *pool = argument;
    fastalloc_handle handle = api_alloc(pool), other = 99;
    void *object = fastalloc_get(pool, handle);

    strcpy(object, "still here");
    require_ok(fastalloc_free(pool, api_alloc(pool)));
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting); /* destroyed */
    require_failure(by_inlined ? inlined_alloc(pool, &other, NULL)
                               : fastalloc_alloc(pool, &other, NULL),
                    FASTALLOC_E_DESTROYED, "alloc", "doomed", "destroyed");
    ck_assert_uint_eq(other, 99);
    ck_assert_ptr_eq(fastalloc_get(pool, handle), object);
    ck_assert_str_eq(object, "still here");
    require_ok(fastalloc_free(pool, handle));
    require_failure(fastalloc_free(pool, handle), FASTALLOC_E_DOUBLE_FREE, "free");
    require_failure(fastalloc_alloc(pool, &other, NULL), FASTALLOC_E_DESTROYED, "doomed");
    return NULL;
}

START_TEST(a_destroyed_pool_is_readable_and_allocates_no_more_in_any_thread)
{
    fastalloc_pool *pool = connected_create("doomed"),
                   *same = connected_open_again(client, "doomed"), *new;
    fastalloc_handle handle = api_alloc(same);
    pthread_t threads[4];
    int i;

    by_inlined = _i;
    pthread_barrier_init(&meeting, NULL, 5);
    for (i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, meet_destruction, i % 2 ? pool : same),
                         0);
    pthread_barrier_wait(&meeting);
    require_ok(fastalloc_pool_destroy(client, "doomed"));
    pthread_barrier_wait(&meeting);
    for (i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    require_failure(fastalloc_alloc_batch(pool, 2, &handle, NULL), FASTALLOC_E_DESTROYED, "doomed");
    ck_assert_uint_eq(api_info(pool).allocated, 1);

    /* The name is free at once, and leads to the new one only. */
    require_failure(connected_try_open("doomed", NULL), FASTALLOC_E_NOT_FOUND, "doomed");
    require_failure(fastalloc_pool_destroy(client, "doomed"), FASTALLOC_E_NOT_FOUND, "doomed");
    new = connected_create("doomed");
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 2);
    api_require_whole(new);
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_DESTROYED, "doomed");

    /* The memory goes with the last detach. */
    require_ok(fastalloc_pool_close(pool));
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 2);
    require_ok(fastalloc_pool_close(same));
    ck_assert(test_daemon_segments_become(&daemon_, 1));
    require_ok(fastalloc_pool_close(new));
}
END_TEST

static void work_until_destroyed(int channel, void *argument)
{
    fastalloc_client *own = api_connect(daemon_.socket);
    fastalloc_pool *pool = connected_open_again(own, argument);
    fastalloc_handle handles[300];
    size_t count, i;
    int error = 0;

    channel_put(channel, 0);
    while (!error) {
        for (count = 0; count < 300 && !error; count++)
            error = fastalloc_alloc(pool, &handles[count], NULL);
        count -= error != 0;
        for (i = 0; i < count; i++)
            child_require(fastalloc_free(pool, handles[i]) == 0);
    }
    child_require(error == FASTALLOC_E_DESTROYED);
    child_require(fastalloc_pool_close(pool) == 0);
}

START_TEST(destroying_a_pool_that_others_work_in_hurts_nobody)
{
    struct child children[3];
    fastalloc_pool *pool;
    int turn, i;

    for (turn = 0; turn < 10; turn++) {
        pool = connected_create("doomed");
        for (i = 0; i < 3; i++)
            child_start(&children[i], work_until_destroyed, (void *)(uintptr_t) "doomed");
        for (i = 0; i < 3; i++)
            channel_take(children[i].channel);
        api_sleep_ms(turn);
        require_ok(fastalloc_pool_destroy(client, "doomed"));
        for (i = 0; i < 3; i++)
            child_join(&children[i]);
        ck_assert(api_allocated_becomes(pool, 0));
        require_ok(fastalloc_pool_close(pool));
    }
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

START_TEST(two_clients_in_one_process_see_one_pool)
{
    fastalloc_client *other = api_connect(daemon_.socket);
    fastalloc_pool *pool = connected_create("one"), *same = connected_open_again(other, "one");
    fastalloc_handle handle;

    handle = api_alloc(pool);
    require_ok(fastalloc_pool_set_root(pool, FASTALLOC_NONE, handle));
    ck_assert_uint_eq(fastalloc_pool_root(same), handle);
    require_failure(fastalloc_pool_set_root(same, FASTALLOC_NONE, 1), FASTALLOC_E_CHANGED, "one");
    require_ok(fastalloc_pool_destroy(other, "one"));
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_DESTROYED, "one");
    fastalloc_disconnect(other);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

static void *create_and_close(void *argument)
{
    char name[16];
    int i;

    snprintf(name, sizeof name, "pool %d", (int)(intptr_t)argument);
    for (i = 0; i < 15; i++) {
        fastalloc_pool *pool = connected_create(name), *same = connected_open_again(client, name);

        require_ok(fastalloc_free(same, api_alloc(pool)));
        if (i % 2)
            require_ok(fastalloc_pool_destroy(client, name));
        require_ok(fastalloc_pool_close(pool));
        require_ok(fastalloc_pool_close(same));
    }
    return NULL;
}

START_TEST(threads_share_a_client)
{
    pthread_t threads[4];
    int i;

    for (i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, create_and_close, (void *)(intptr_t)i),
                         0);
    for (i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

/* ------------------------------------------------------------ whose it is */

static void become_nobody(void)
{
    child_require(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

static void try_as_nobody(int channel, void *argument)
{
    fastalloc_client *own;
    fastalloc_pool *pool = untouched;
    fastalloc_handle handle;

    (void)argument;
    become_nobody();
    own = api_connect(daemon_.socket);
    child_require(fastalloc_pool_open(own, "private", NULL, &pool) == FASTALLOC_E_PERMISSION);
    child_require(strstr(fastalloc_last_error(), "private") != NULL);
    child_require(strstr(fastalloc_last_error(), "65534") != NULL);
    child_require(pool == untouched);
    child_require(fastalloc_pool_destroy(own, "private") == FASTALLOC_E_PERMISSION);
    child_require(fastalloc_pool_open(own, "public", NULL, &pool) == 0);
    child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
    child_require(fastalloc_pool_destroy(own, "public") == FASTALLOC_E_PERMISSION);
    channel_put(channel, handle);
    channel_take(channel);
}

START_TEST(anothers_pool_opens_only_by_its_mode_and_is_never_destroyed)
{
    fastalloc_pool_config config = api_config("public", 64, SLOTS);
    fastalloc_pool *private, *public;
    struct child child;

    if (geteuid() != 0)
        return; /* nobody else to be */
    ck_assert_int_eq(chmod(daemon_.directory, 0711), 0);
    private = connected_create("private");
    config.mode = 0666;
    require_ok(fastalloc_pool_create(client, &config, &public));
    child_start(&child, try_as_nobody, NULL);
    ck_assert_ptr_nonnull(fastalloc_get(public, channel_take(child.channel)));
    ck_assert_uint_eq(api_info(private).sessions, 1);
    child_kill(&child);
    ck_assert(api_allocated_becomes(public, 0));
    require_ok(fastalloc_pool_close(private));
    require_ok(fastalloc_pool_close(public));
}
END_TEST

static void open_elsewhere(int channel, void *argument)
{
    fastalloc_client *own;
    fastalloc_pool *pool = untouched;
    pid_t inner;
    int status;

    (void)argument;
    if (unshare(CLONE_NEWPID)) {
        channel_put(channel, 0); /* not allowed to */
        return;
    }
    inner = fork();
    if (inner == 0) {
        own = api_connect(daemon_.socket);
        child_require(fastalloc_pool_open(own, "here", NULL, &pool) == FASTALLOC_E_NAMESPACE);
        child_require(strstr(fastalloc_last_error(), "PID namespace") != NULL);
        child_require(pool == untouched);
        fastalloc_disconnect(own);
        _exit(0);
    }
    child_require(waitpid(inner, &status, 0) == inner);
    child_require(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    channel_put(channel, 1);
}

START_TEST(two_pid_namespaces_are_refused)
{
    fastalloc_pool *pool = connected_create("here");
    struct child child;

    child_start(&child, open_elsewhere, NULL);
    if (!channel_take(child.channel))
        fprintf(stderr, "NOT TESTED: a second PID namespace (unshare is not permitted)\n");
    child_join(&child);
    ck_assert(api_sessions_become(pool, 1));
    api_require_whole(pool);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(one_session_more_than_the_pool_has)
{
    fastalloc_pool_config config = api_config("narrow", 64, SLOTS);
    fastalloc_pool *pools[3];
    int i;

    config.max_sessions = 3;
    require_ok(fastalloc_pool_create(client, &config, &pools[0]));
    pools[1] = connected_open_again(client, "narrow");
    pools[2] = connected_open_again(client, "narrow");
    require_failure(connected_try_open("narrow", NULL), FASTALLOC_E_TOO_MANY, "narrow", "3");
    for (i = 0; i < 50; i++) { /* a closed one's place is there at once */
        require_ok(fastalloc_pool_close(pools[2]));
        pools[2] = connected_open_again(client, "narrow");
    }
    for (i = 0; i < 3; i++)
        require_ok(fastalloc_pool_close(pools[i]));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        bad_creations_are_refused_and_leave_nothing,
        a_name_that_exists_is_refused_and_told_what_is_there,
        a_name_that_is_not_there_is_refused,
        a_pool_opened_as_something_else_is_refused,
        typed_pools_open_only_as_their_type,
        every_open_is_a_session_of_its_own,
        closing_gives_back_what_was_held,
        disconnecting_closes_the_clients_pools_and_no_others,
        a_pool_goes_with_its_last_detach,
        a_name_can_be_used_again_at_once_after_the_last_detach,
        a_persistent_pool_stays_with_its_root_until_destroyed,
        destroying_a_pool_that_others_work_in_hurts_nobody,
        two_clients_in_one_process_see_one_pool,
        threads_share_a_client,
        anothers_pool_opens_only_by_its_mode_and_is_never_destroyed,
        two_pid_namespaces_are_refused,
        one_session_more_than_the_pool_has,
        NULL,
    };
    const struct connected_loop loops[] = {
        {a_destroyed_pool_is_readable_and_allocates_no_more_in_any_thread, 2},
        {NULL, 0},
    };

    return connected_run("client", tests, loops);
}
