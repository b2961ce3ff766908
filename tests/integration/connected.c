/* SPDX-License-Identifier: MIT
 *
 * connected: see connected.h.
 */
#include "connected.h"

#include <stdlib.h>

struct test_daemon connected_daemon;
fastalloc_client *connected_client;
fastalloc_pool *const untouched = (fastalloc_pool *)(uintptr_t)0x5a;
fastalloc_client *const untouched_client = (fastalloc_client *)(uintptr_t)0xa5;

static void start(void)
{
    test_daemon_start(&connected_daemon, NULL);
    connected_client = api_connect(connected_daemon.socket);
}

static void stop(void)
{
    fastalloc_disconnect(connected_client);
    test_daemon_stop(&connected_daemon);
}

fastalloc_pool *connected_create(const char *name)
{
    fastalloc_pool_config config = api_config(name, 64, CONNECTED_SLOTS);
    fastalloc_pool *pool = NULL;

    require_ok(fastalloc_pool_create(connected_client, &config, &pool));
    return pool;
}

fastalloc_pool *connected_open_again(fastalloc_client *through, const char *name)
{
    fastalloc_pool *pool = NULL;

    require_ok(fastalloc_pool_open(through, name, NULL, &pool));
    return pool;
}

int connected_try_create(const fastalloc_pool_config *config)
{
    fastalloc_pool *pool = untouched;
    unsigned segments = test_daemon_segments(&connected_daemon);
    int error = fastalloc_pool_create(connected_client, config, &pool);

    ck_assert_ptr_eq(pool, untouched);
    ck_assert_uint_eq(test_daemon_segments(&connected_daemon), segments);
    return error;
}

int connected_try_open(const char *name, const fastalloc_pool_config *expected)
{
    fastalloc_pool *pool = untouched;
    int descriptors = test_descriptors(0);
    int error = fastalloc_pool_open(connected_client, name, expected, &pool);

    ck_assert_ptr_eq(pool, untouched);
    ck_assert_int_eq(test_descriptors(0), descriptors);
    return error;
}

int connected_try_connect(const char *socket, uint32_t timeout_ms)
{
    fastalloc_client *made = untouched_client;
    fastalloc_connect_options options;
    int descriptors = test_descriptors(0), error;

    fastalloc_connect_options_init(&options);
    options.socket = socket;
    options.timeout_ms = timeout_ms;
    options.autospawn = -1;
    error = fastalloc_connect(&made, &options);
    ck_assert_ptr_eq(made, untouched_client);
    ck_assert_int_eq(test_descriptors(0), descriptors);
    return error;
}

int connected_run(const char *name, const TTest *const *tests, const struct connected_loop *loops)
{
    Suite *suite = suite_create(name);
    TCase *one = tcase_create("one");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(one, start, stop);
    tcase_set_timeout(one, 20);
    for (; *tests; tests++)
        tcase_add_test(one, *tests);
    for (; loops && loops->test; loops++)
        tcase_add_loop_test(one, loops->test, 0, loops->times);
    suite_add_tcase(suite, one);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
