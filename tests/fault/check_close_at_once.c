/* SPDX-License-Identifier: MIT
 *
 * Closing at once: a thread that has begun a slow call is never taken for one outside the pool,
 * also not while it goes from the gate, where the fast path has left it, on to being inside.
 *
 * One thread goes to and fro, and says for what time it is in there beyond doubt; the other asks,
 * as closing does.  The answer has to be yes whenever all of the question lay in such a time.
 */
#include "client/pool.h"
#include "client/process.h"
#include "client/thread.h"
#include "shm/wait.h"
#include "tests/support/pool.h"

#include <pthread.h>
#include <stdio.h>

enum { SLOTS = 300, ROUND_MS = 400 };

struct stage {
    fastalloc_pool *pool;
    uint64_t turns; /* odd while the thread is in there beyond doubt */
    bool over;
};

static bool is_over(struct stage *stage)
{
    return __atomic_load_n(&stage->over, __ATOMIC_SEQ_CST);
}

static void turn(struct stage *stage)
{
    __atomic_add_fetch(&stage->turns, 1, __ATOMIC_SEQ_CST);
}

/* So that its cache is there, and empty. */
static void take_all(fastalloc_pool *pool)
{
    fastalloc_handle handle;
    unsigned i;

    for (i = 0; i < SLOTS; i++)
        TEST_REQUIRE(fastalloc_alloc(pool, &handle, NULL) == 0, "%s", fastalloc_last_error());
}

static void *exchange(void *argument)
{
    struct stage *stage = argument;
    struct thread *thread;
    struct actor actor;

    take_all(stage->pool);
    while (!is_over(stage)) {
        TEST_REQUIRE(thread_turn(stage->pool, CACHE_ENTRIES) == THREAD_WANTS, "it is served");
        turn(stage);
        thread = thread_begin_exchange(stage->pool, &actor);
        turn(stage);
        thread_end_exchange(thread, stage->pool);
    }
    return NULL;
}

static void *begin(void *argument)
{
    struct stage *stage = argument;
    struct thread *thread;
    int error;

    take_all(stage->pool);
    while (!is_over(stage)) {
        TEST_REQUIRE(thread_turn(stage->pool, CACHE_ENTRIES) == THREAD_WANTS, "it is served");
        turn(stage);
        thread = thread_begin(stage->pool, &error);
        TEST_REQUIRE(thread, "%s", fastalloc_last_error());
        turn(stage);
        thread_end(thread, stage->pool);
    }
    return NULL;
}

/* Returns how many questions lay in such a time. */
static unsigned ask(struct stage *stage)
{
    uint64_t until = wait_now() + ROUND_MS * UINT64_C(1000000);
    unsigned asked = 0;

    while (wait_now() < until) {
        uint64_t before = __atomic_load_n(&stage->turns, __ATOMIC_SEQ_CST);
        struct process *process = process_lock();
        bool inside = thread_others_inside_locked(process, stage->pool);

        process_unlock(process);
        if (!(before & 1) || __atomic_load_n(&stage->turns, __ATOMIC_SEQ_CST) != before)
            continue;
        asked++;
        TEST_REQUIRE(inside, "a thread inside was missed, at question %u", asked);
    }
    return asked;
}

static void play(void *(*run)(void *))
{
    struct stage stage = {.turns = 0};
    fastalloc_pool_config config;
    pthread_t thread;

    fastalloc_pool_config_init(&config);
    config.object_size = 8;
    config.capacity = SLOTS;
    config.max_threads = 4;
    config.max_sessions = 4;
    TEST_REQUIRE(fastalloc_pool_create_local(&config, &stage.pool) == 0, "%s",
                 fastalloc_last_error());
    TEST_REQUIRE(pthread_create(&thread, NULL, run, &stage) == 0, "no thread");
    printf("  %u questions\n", ask(&stage));
    __atomic_store_n(&stage.over, true, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    ck_assert_int_eq(fastalloc_pool_close(stage.pool), 0);
}

START_TEST(who_exchanges_with_a_depot_is_inside_all_the_while)
{
    play(exchange);
}
END_TEST

START_TEST(who_begins_any_other_slow_call_is_inside_all_the_while)
{
    play(begin);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        who_exchanges_with_a_depot_is_inside_all_the_while,
        who_begins_any_other_slow_call_is_inside_all_the_while,
    };

    return test_run(TEST_SUITE("close_at_once", tests, 30));
}
