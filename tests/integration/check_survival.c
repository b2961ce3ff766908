/* SPDX-License-Identifier: MIT
 *
 * Damaged pools, dead clients and dead daemons, as a client sees them.
 */
#include "connected.h"
#include "shm/layout.h" /* to know where to damage one */

#include "shm/layout.h" /* to know where to damage one */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define daemon_ connected_daemon
#define client connected_client
#define SLOTS CONNECTED_SLOTS

/* --------------------------------------------------------- damaged memory */

/* The file of the only segment there is. */
static int open_segment(void)
{
    char command[128], path[300] = "";
    FILE *listing;

    snprintf(command, sizeof command, "ls /dev/shm/%s*", daemon_.prefix);
    listing = popen(command, "re");
    ck_assert_ptr_nonnull(listing);
    ck_assert_ptr_nonnull(fgets(path, sizeof path, listing));
    pclose(listing);
    path[strcspn(path, "\n")] = '\0';
    return open(path, O_RDWR | O_CLOEXEC);
}

static const struct {
    size_t at;
    int code;
    const char *word;
} damages[] = {
    {offsetof(struct shm_header, magic), FASTALLOC_E_VERSION, "published"},
    {offsetof(struct shm_header, major), FASTALLOC_E_VERSION, "version"},
    {offsetof(struct shm_header, fingerprint), FASTALLOC_E_VERSION, "another kind"},
    {offsetof(struct shm_header, object_size), FASTALLOC_E_POISONED, "damaged"},
    {offsetof(struct shm_header, capacity), FASTALLOC_E_POISONED, "damaged"},
    {offsetof(struct shm_header, objects_at), FASTALLOC_E_POISONED, "damaged"},
};

START_TEST(a_pool_whose_header_is_damaged_is_not_opened)
{
    fastalloc_pool *pool = connected_create("broken");
    int segment = open_segment();
    uint32_t garbage = 0x7f7f7f7f;

    ck_assert_int_eq(pwrite(segment, &garbage, sizeof garbage, (off_t)damages[_i].at),
                     sizeof garbage);
    require_failure(connected_try_open("broken", NULL), damages[_i].code, damages[_i].word,
                    "broken");
    ck_assert(api_sessions_become(pool, 1));
    close(segment);
    require_ok(fastalloc_pool_close(pool));
    require_ok(fastalloc_pool_close(connected_create("sound")));
    fastalloc_pool_destroy(client, "broken"); /* gone with its last detach, or not */
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

START_TEST(a_pool_marked_poisoned_allocates_no_more)
{
    fastalloc_pool *pool = connected_create("broken");
    fastalloc_handle handle = api_alloc(pool), other = 99;
    int segment = open_segment();
    uint32_t state = POOL_POISONED;

    ck_assert_int_eq(pwrite(segment, &state, sizeof state, offsetof(struct shm_header, state)),
                     sizeof state);
    close(segment);
    fastalloc_thread_flush(pool);
    require_failure(fastalloc_alloc(pool, &other, NULL), FASTALLOC_E_POISONED, "broken", "damaged");
    ck_assert_uint_eq(other, 99);
    ck_assert_ptr_nonnull(fastalloc_get(pool, handle));
    require_ok(fastalloc_pool_close(pool));
    fastalloc_pool_destroy(client, "broken");
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

START_TEST(a_truncated_pool_is_not_opened)
{
    fastalloc_pool *pool = connected_create("broken");
    int segment = open_segment();

    ck_assert_int_eq(ftruncate(segment, _i ? 8192 : 0), 0);
    close(segment);
    require_failure(connected_try_open("broken", NULL), FASTALLOC_E_POISONED, "damaged", "broken");
    require_ok(fastalloc_pool_close(pool));
    require_ok(fastalloc_pool_close(connected_create("sound")));
    fastalloc_pool_destroy(client, "broken");
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

/* --------------------------------------------------- client and daemon die */

static void hold_many(int channel, void *argument)
{
    fastalloc_client *own = api_connect(daemon_.socket);
    fastalloc_pool *pool = connected_open_again(own, argument);

    child_require(api_fill(pool, NULL, 600) == 600);
    channel_put(channel, fastalloc_pool_session(pool));
    channel_take(channel);
}

START_TEST(a_killed_clients_slots_come_back_soon)
{
    fastalloc_pool *pool = connected_create("shared");
    struct child child;
    int64_t began;
    int i;

    for (i = 0; i < 10; i++) {
        child_start(&child, hold_many, (void *)(uintptr_t) "shared");
        channel_take(child.channel);
        ck_assert_uint_eq(api_info(pool).allocated, 600);
        began = api_now_us();
        child_kill(&child);
        ck_assert(api_allocated_becomes(pool, 0));
        ck_assert(api_sessions_become(pool, 1));
        ck_assert_int_lt(api_now_us() - began, 3000000);
        if (i == 9)
            printf("# 600 slots of a killed client are back after %lld us\n",
                   (long long)(api_now_us() - began));
    }
    api_require_whole(pool);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(exhausted_names_the_largest_holders)
{
    fastalloc_pool *pool = connected_create("shared");
    struct child child;
    fastalloc_handle handle;
    char mine[64], its[64];

    child_start(&child, hold_many, (void *)(uintptr_t) "shared");
    channel_take(child.channel);
    ck_assert_uint_eq(api_fill(pool, NULL, SLOTS), 400);
    snprintf(its, sizeof its, "top holders: check_survival[%d] 600, ", child.pid);
    snprintf(mine, sizeof mine, ", check_survival[%d] 400", getpid());
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_EXHAUSTED,
                    "\"shared\" 1000/1000 in use", its, mine);
    child_kill(&child);
    ck_assert(api_allocated_becomes(pool, 400));
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(attached_clients_go_on_without_the_daemon_and_with_the_next)
{
    fastalloc_pool *pool = connected_create("surviving"), *new;
    fastalloc_pool_config config = api_config("more", 32, 100);
    fastalloc_handle handles[SLOTS], kept = api_alloc(pool);

    strcpy(fastalloc_get(pool, kept), "kept");
    test_daemon_kill(&daemon_);
    ck_assert_uint_eq(api_fill(pool, handles, SLOTS), SLOTS - 1);
    api_free_all(pool, handles, SLOTS - 1);
    require_failure(connected_try_create(&config), FASTALLOC_E_NO_DAEMON, daemon_.socket);
    require_failure(connected_try_open("surviving", NULL), FASTALLOC_E_NO_DAEMON, daemon_.socket);
    test_daemon_run(&daemon_);
    /* The next request connects again; the old session is still good. */
    require_ok(fastalloc_pool_create(client, &config, &new));
    api_require_whole(new);
    require_ok(fastalloc_pool_close(new));
    new = connected_open_again(client, "surviving");
    ck_assert_str_eq(fastalloc_get(new, kept), "kept");
    ck_assert_uint_eq(api_info(new).sessions, 2);
    ck_assert_uint_eq(api_info(new).allocated, 1);
    require_ok(fastalloc_adopt(new, kept));
    require_ok(fastalloc_pool_close(pool));
    ck_assert(api_sessions_become(new, 1));
    require_ok(fastalloc_free(new, kept));
    api_require_whole(new);
    require_ok(fastalloc_pool_close(new));
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

START_TEST(who_died_without_a_daemon_is_swept_by_the_next)
{
    fastalloc_pool *pool = connected_create("surviving");
    struct child child;

    child_start(&child, hold_many, (void *)(uintptr_t) "surviving");
    channel_take(child.channel);
    test_daemon_kill(&daemon_);
    child_kill(&child);
    ck_assert_uint_eq(api_fill(pool, NULL, SLOTS), SLOTS - 600);
    test_daemon_run(&daemon_);
    ck_assert(api_allocated_becomes(pool, SLOTS - 600));
    ck_assert_uint_eq(api_fill(pool, NULL, 600), 600);
    require_ok(fastalloc_pool_close(pool));
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

START_TEST(a_daemon_that_ends_keeps_the_pools_in_use)
{
    fastalloc_pool *pool = connected_create("surviving"), *same;

    test_daemon_end(&daemon_);
    api_require_whole(pool);
    test_daemon_run(&daemon_);
    same = connected_open_again(client, "surviving");
    require_ok(fastalloc_pool_close(pool));
    require_ok(fastalloc_pool_close(same));
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

START_TEST(closing_and_disconnecting_need_no_daemon)
{
    fastalloc_client *other = api_connect(daemon_.socket);
    fastalloc_pool *pool = connected_create("one"), *same = connected_open_again(other, "one");
    int64_t began;

    ck_assert_ptr_nonnull(same);
    test_daemon_kill(&daemon_);
    began = api_now_us();
    require_ok(fastalloc_pool_close(pool));
    fastalloc_disconnect(other);
    ck_assert_int_lt(api_now_us() - began, 1000000);
    test_daemon_run(&daemon_);
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_pool_marked_poisoned_allocates_no_more,
        a_killed_clients_slots_come_back_soon,
        exhausted_names_the_largest_holders,
        attached_clients_go_on_without_the_daemon_and_with_the_next,
        who_died_without_a_daemon_is_swept_by_the_next,
        a_daemon_that_ends_keeps_the_pools_in_use,
        closing_and_disconnecting_need_no_daemon,
        NULL,
    };
    const struct connected_loop loops[] = {
        {a_pool_whose_header_is_damaged_is_not_opened, (int)(sizeof damages / sizeof *damages)},
        {a_truncated_pool_is_not_opened, 2},
        {NULL, 0},
    };

    return connected_run("survival", tests, loops);
}
