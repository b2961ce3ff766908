/* SPDX-License-Identifier: MIT
 *
 * check_readoption: what a daemon makes of what an earlier one left, and of memory that its
 * users damage; without its loop.
 */
#include "desk.h"
#include "os/backing.h"
#include "os/fence.h"
#include "server/guard.h"
#include "server/jobs.h"
#include "shm/session.h"

#include <check.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------- restarting */

START_TEST(a_restarted_daemon_takes_up_its_pools_with_their_sessions)
{
    struct pool_spec spec = desk_spec_of("kept");
    struct wire_reply attached;
    struct pool *pool;
    struct session *session;
    int held;

    spec.lifetime = FASTALLOC_PERSISTENT;
    spec.mode = 0660;
    ck_assert_int_eq(desk_create_as(&client, &spec), 0);
    held = desk_descriptor();
    attached = result.reply;
    desk_restart();
    pool = registry_find(&registry, "kept");
    ck_assert_ptr_nonnull(pool);
    ck_assert_uint_eq(pool->pool_id, attached.attached.pool_id);
    ck_assert_uint_eq(pool->uid, 1000);
    ck_assert_uint_eq(pool->spec.mode, 0660);
    session = pool_find_session(pool, attached.attached.session);
    ck_assert_ptr_nonnull(session);
    ck_assert_uint_eq(session->nonce, attached.attached.nonce);
    ck_assert_ptr_eq(registry.suspects, session);
    ck_assert_int_eq(fence_is_open(pool->descriptor, session->number), 0);
    ck_assert_int_eq(desk_open_as(&client, "kept"), 0);
    ck_assert_uint_ne(result.reply.attached.session, attached.attached.session);
    close(desk_descriptor());
    close(held);
    desk_sweep(pool, attached.attached.session);
    ck_assert_int_eq(desk_create("new"), 0);
    close(desk_descriptor());
    ck_assert_uint_gt(registry_find(&registry, "new")->serial, pool->serial);
}
END_TEST

START_TEST(a_destroyed_pool_stays_destroyed_over_a_restart)
{
    int held;

    ck_assert_int_eq(desk_create("orders"), 0);
    held = desk_descriptor();
    ck_assert_int_eq(desk_destroy_as(&client, "orders"), 0);
    desk_restart();
    ck_assert_ptr_null(registry_find(&registry, "orders"));
    ck_assert_ptr_nonnull(registry.pools);
    ck_assert(registry.pools->destroyed);
    ck_assert_int_eq(desk_create("orders"), 0);
    close(desk_descriptor());
    close(held);
}
END_TEST

/* Each damages the segment of a pool, whose descriptor it gets. */
static void truncate_it(int segment)
{
    ck_assert_int_eq(ftruncate(segment, 4096), 0);
}

static void grow_it(int segment)
{
    struct stat status;

    fstat(segment, &status);
    ck_assert_int_eq(ftruncate(segment, status.st_size + 4096), 0);
}

static void spoil_magic(int segment)
{
    ck_assert_int_eq(pwrite(segment, "nonsense", 8, offsetof(struct shm_header, magic)), 8);
}

static void spoil_id(int segment)
{
    ck_assert_int_eq(pwrite(segment, "nonsense", 8, offsetof(struct shm_header, pool_id)), 8);
}

static void remove_it(int segment)
{
    (void)segment;
    shm_unlink(registry.pools->segment_name);
}

static void (*const damages[])(int segment) = {truncate_it, grow_it, spoil_magic, spoil_id,
                                               remove_it};

START_TEST(a_segment_that_does_not_fit_its_manifest_is_removed)
{
    int held;

    ck_assert_int_eq(desk_create("orders"), 0);
    held = desk_descriptor();
    damages[_i](held);
    desk_restart();
    ck_assert_ptr_null(registry.pools);
    ck_assert_uint_eq(test_daemon_segments(&place), 0);
    ck_assert_int_eq(desk_create("orders"), 0);
    close(desk_descriptor());
    close(held);
}
END_TEST

START_TEST(geometry_comes_from_the_manifest_and_not_from_the_segment)
{
    uint64_t lie = UINT64_MAX;
    uint32_t big = UINT32_MAX;
    struct pool *pool;
    int held;

    ck_assert_int_eq(desk_create("orders"), 0);
    held = desk_descriptor();
    ck_assert_int_eq(pwrite(held, &lie, 8, offsetof(struct shm_header, max_capacity)), 8);
    ck_assert_int_eq(pwrite(held, &lie, 8, offsetof(struct shm_header, total)), 8);
    ck_assert_int_eq(pwrite(held, &big, 4, offsetof(struct shm_header, max_sessions)), 4);
    desk_restart();
    pool = registry_find(&registry, "orders");
    ck_assert_ptr_nonnull(pool);
    ck_assert_uint_eq(pool->geometry.max_capacity, 1000);
    close(held);
    desk_sweep(pool, result.reply.attached.session);
}
END_TEST

/* ------------------------------------------------------------------ under attack */

START_TEST(a_truncated_pool_is_damaged_and_ends_like_others)
{
    struct wire_reply attached;
    struct death death = {0, true, 0};
    struct pool *pool;
    int held;

    ck_assert_int_eq(desk_create("orders"), 0);
    held = desk_descriptor();
    attached = result.reply;
    pool = registry_find(&registry, "orders");
    ck_assert_int_eq(ftruncate(held, _i ? (off_t)attached.attached.bytes / 2 : 0), 0);
    ck_assert_int_eq(desk_open_as(&client, "orders"), FASTALLOC_E_POISONED);
    ck_assert(pool->damaged);
    close(held);
    ck_assert_int_eq(desk_close_as(&client, &attached), 0);
    death.number = attached.attached.session;
    ck_assert_int_eq(pool_sweep(pool, &death, 1), FASTALLOC_E_POISONED);
    registry_forget(&registry, pool, &death, 1);
    ck_assert(registry_is_over(pool));
    desk_leave(pool);
    ck_assert_uint_eq(test_daemon_segments(&place), 0);
}
END_TEST

struct touch {
    volatile char *at;
    bool done;
};

static void touch_it(void *argument)
{
    struct touch *touch = argument;

    *touch->at = 1;
    touch->done = true;
}

START_TEST(touching_what_was_taken_away_ends_the_work_and_not_the_daemon)
{
    struct touch touch = {NULL, false};
    void *mapped;
    int made, i;

    ck_assert_int_eq(backing_create_nameless("guard", 8192, &made, NULL), 0);
    close(made);
    made = memfd_create("guard", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(made, 8192), 0);
    ck_assert_int_eq(backing_map(made, 8192, true, NULL, 0, &mapped, NULL), 0);
    touch.at = (char *)mapped + 5000;
    ck_assert(guard_run(touch_it, &touch, mapped, 8192));
    ck_assert(touch.done);
    ck_assert_int_eq(ftruncate(made, 0), 0);
    for (i = 0; i < 3; i++) {
        touch.done = false;
        ck_assert(!guard_run(touch_it, &touch, mapped, 8192));
        ck_assert(!touch.done);
    }
    backing_unmap(mapped, 8192);
    close(made);
}
END_TEST

START_TEST(a_bus_error_elsewhere_still_ends_the_process)
{
    struct touch touch = {NULL, false};
    void *mapped;
    int made = memfd_create("guard", MFD_CLOEXEC);

    ck_assert_int_eq(ftruncate(made, 8192), 0);
    ck_assert_int_eq(backing_map(made, 8192, true, NULL, 0, &mapped, NULL), 0);
    ck_assert_int_eq(ftruncate(made, 0), 0);
    touch.at = (char *)mapped + 5000;
    guard_run(touch_it, &touch, mapped, 4096);
}
END_TEST

START_TEST(somebody_elses_role_postpones_the_sweep)
{
    struct wire_reply attached;
    struct death death = {0, false, 0};
    struct pool *pool;
    int thief;

    ck_assert_int_eq(desk_create("orders"), 0);
    close(desk_descriptor());
    attached = result.reply;
    death.number = attached.attached.session;
    pool = registry_find(&registry, "orders");
    ck_assert(pool->has_role);
    fence_drop_role(pool->descriptor);
    pool->has_role = false;
    ck_assert_int_eq(backing_reopen(pool->descriptor, true, &thief, NULL), 0);
    ck_assert_int_eq(fence_take_role(thief), 0);
    ck_assert_int_eq(pool_sweep(pool, &death, 1), FASTALLOC_E_BUSY);
    ck_assert_int_eq(session_state(&pool->segment, death.number), SESSION_LIVE);
    close(thief);
    ck_assert_int_eq(pool_sweep(pool, &death, 1), 0);
}
END_TEST

START_TEST(a_pool_with_too_many_locks_is_damaged)
{
    struct flock lock = {.l_type = F_RDLCK, .l_start = 1 << 20, .l_len = (off_t)1 << 40};
    struct pool *pool;
    uint32_t second;
    int held, other_one, i;

    ck_assert_int_eq(desk_create("orders"), 0);
    held = desk_descriptor();
    ck_assert_int_eq(desk_open_as(&client, "orders"), 0);
    second = result.reply.attached.session;
    other_one = desk_descriptor();
    pool = registry_find(&registry, "orders");
    ck_assert_int_eq(fcntl(held, F_OFD_SETLK, &lock), 0);
    lock.l_type = F_UNLCK;
    lock.l_start = lock.l_len;
    lock.l_len = 1;
    ck_assert_int_eq(pool_look(pool, second), 0);
    ck_assert(!pool->crowded && !pool->damaged);
    /* Each of these leaves one lock more; how many are too many is up to the machine. */
    for (i = 1; i <= 1000000 && !pool->damaged; i++, lock.l_start -= 2) {
        ck_assert_int_eq(fcntl(held, F_OFD_SETLK, &lock), 0);
        if (i % 50000 == 0)
            ck_assert_int_eq(pool_look(pool, second), 0);
    }
    ck_assert(pool->crowded && pool->damaged);
    ck_assert_uint_eq(segment_state(&pool->segment), POOL_POISONED);
    ck_assert_int_eq(desk_open_as(&client, "orders"), FASTALLOC_E_POISONED);
    close(held);
    ck_assert_int_eq(pool_look(pool, second), 0);
    ck_assert(!pool->crowded);
    close(other_one);
}
END_TEST

/* Workers that touch memory taken from them wait in here until it is back. */
static sem_t memory_is_back;

static void wait_for_memory(int number)
{
    (void)number;
    while (sem_wait(&memory_is_back) < 0)
        ;
    sem_post(&memory_is_back);
}

static void on_patience(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void protect_all(struct pool *const *pools, unsigned count, int protection)
{
    unsigned i;

    for (i = 0; i < count; i++)
        mprotect(pools[i]->mapped, pools[i]->geometry.guard_at, protection);
}

START_TEST(sweeps_that_take_long_leave_a_worker_for_builds)
{
    enum { SWEPT = 6 };
    static const struct options options; /* all off */
    struct wire_request request = {.id = 1, .op = WIRE_CREATE, .create = desk_spec_of("new")};
    struct pool *pools[SWEPT];
    struct server server = {.options = &options};
    struct pool_spec spec = desk_spec_of("swept 0");
    uint8_t bytes[WIRE_MAX];
    uv_timer_t patience;
    unsigned i;

    spec.lifetime = FASTALLOC_PERSISTENT;
    for (i = 0; i < SWEPT; i++, spec.name[6]++) {
        ck_assert_int_eq(desk_create_as(&client, &spec), 0);
        close(desk_descriptor());
        pools[i] = registry_find(&registry, spec.name);
    }
    registry_suspect_client(&registry, &client, 0);
    request_handle(&registry, &client, bytes, wire_pack_request(&request, bytes), 0, &result);
    ck_assert_int_eq(result.next, REQUEST_BUILD);

    uv_loop_init(&server.loop);
    uv_timer_init(&server.loop, &patience);
    server.registry = registry;
    sem_init(&memory_is_back, 0, 0);
    signal(SIGSEGV, wait_for_memory);
    protect_all(pools, SWEPT, PROT_NONE);
    for (i = 0; i < SWEPT; i++)
        jobs_sweep(&server, pools[i], &(struct death){pools[i]->sessions->number, false, 0}, 1);
    jobs_build(&server, result.pool);
    /* Nobody waits for the new pool, so that it is built and, behind the sweeps, released. */
    uv_timer_start(&patience, on_patience, 500, 0);
    uv_run(&server.loop, UV_RUN_DEFAULT);
    i = result.pool->phase == PHASE_LEAVING;

    protect_all(pools, SWEPT, PROT_READ | PROT_WRITE);
    sem_post(&memory_is_back);
    uv_close((uv_handle_t *)&patience, NULL);
    uv_run(&server.loop, UV_RUN_DEFAULT);
    signal(SIGSEGV, SIG_DFL);
    registry = server.registry;
    ck_assert_msg(i, "the pool was not built while others were swept");
    ck_assert_uint_eq(server.jobs, 0);
    ck_assert_ptr_null(registry.suspects);
    for (i = 0; i < SWEPT; i++)
        ck_assert_uint_eq(pool_session_count(pools[i]), 0);
    ck_assert_ptr_null(registry_find(&registry, "new"));
    uv_loop_close(&server.loop);
    uv_library_shutdown();
}
END_TEST

START_TEST(what_is_no_manifest_is_put_aside_and_the_start_goes_on)
{
    int held;

    ck_assert_int_eq(desk_create("orders"), 0);
    held = desk_descriptor();
    ck_assert_int_eq(mkfifoat(registry.store.directory, "0123456789abcdef.pool", 0600), 0);
    desk_restart();
    ck_assert_int_eq(unlinkat(registry.store.directory, "0123456789abcdef.pool.bad", 0), 0);
    ck_assert_ptr_nonnull(registry_find(&registry, "orders"));
    close(held);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("readoption");
    TCase *restarts = tcase_create("restart"), *attacks = tcase_create("attacks");
    TCase *deadly = tcase_create("deadly");

    tcase_add_checked_fixture(restarts, desk_set_up, desk_tear_down);
    tcase_add_test(restarts, a_restarted_daemon_takes_up_its_pools_with_their_sessions);
    tcase_add_test(restarts, a_destroyed_pool_stays_destroyed_over_a_restart);
    tcase_add_test(restarts, what_is_no_manifest_is_put_aside_and_the_start_goes_on);
    tcase_add_loop_test(restarts, a_segment_that_does_not_fit_its_manifest_is_removed, 0, 5);
    tcase_add_test(restarts, geometry_comes_from_the_manifest_and_not_from_the_segment);
    suite_add_tcase(suite, restarts);

    tcase_add_checked_fixture(attacks, desk_set_up, desk_tear_down);
    tcase_set_timeout(attacks, 20);
    tcase_add_loop_test(attacks, a_truncated_pool_is_damaged_and_ends_like_others, 0, 2);
    tcase_add_test(attacks, touching_what_was_taken_away_ends_the_work_and_not_the_daemon);
    tcase_add_test(attacks, somebody_elses_role_postpones_the_sweep);
    tcase_add_test(attacks, a_pool_with_too_many_locks_is_damaged);
    tcase_add_test(attacks, sweeps_that_take_long_leave_a_worker_for_builds);
    suite_add_tcase(suite, attacks);

    tcase_add_checked_fixture(deadly, guard_install, NULL);
    tcase_add_test_raise_signal(deadly, a_bus_error_elsewhere_still_ends_the_process, SIGBUS);
    suite_add_tcase(suite, deadly);
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
