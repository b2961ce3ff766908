/* SPDX-License-Identifier: MIT
 *
 * both: see both.h.
 */
#include "both.h"

#include <stdlib.h>

struct test_daemon both_daemon;
fastalloc_client *both_client;
fastalloc_pool *both_pool;

void both_begin(int kind, const fastalloc_pool_config *config)
{
    if (kind == BOTH_LOCAL) {
        require_ok(fastalloc_pool_create_local(config, &both_pool));
        return;
    }
    test_daemon_start(&both_daemon, NULL);
    both_client = api_connect(both_daemon.socket);
    require_ok(fastalloc_pool_create(both_client, config, &both_pool));
}

void both_end(int kind)
{
    require_ok(fastalloc_pool_close(both_pool));
    if (kind == BOTH_LOCAL)
        return;
    fastalloc_disconnect(both_client);
    test_daemon_stop(&both_daemon);
}

int both_run(const char *name, const TTest *const *of_both, const TTest *const *once,
             double seconds)
{
    Suite *suite = suite_create(name);
    TCase *both = tcase_create("both kinds"), *single = tcase_create("one kind");
    SRunner *runner;
    int failed;

    tcase_set_timeout(both, seconds);
    tcase_set_timeout(single, seconds);
    for (; *of_both; of_both++)
        tcase_add_loop_test(both, *of_both, 0, BOTH_KINDS);
    for (; *once; once++)
        tcase_add_test(single, *once);
    suite_add_tcase(suite, both);
    suite_add_tcase(suite, single);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
