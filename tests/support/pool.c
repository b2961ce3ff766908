/* SPDX-License-Identifier: MIT
 *
 * pool: see pool.h.
 */
#include "pool.h"

#include "shm/check.h"
#include "shm/depot.h"
#include "shm/revoke.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/survey.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void test_pool_make(struct test_pool *pool, const struct test_shape *shape)
{
    struct geometry geometry;
    struct reason why = {0, ""};
    void *base;

    memset(pool, 0, sizeof *pool);
    strcpy(pool->spec.name, "test");
    pool->spec.object_size = shape->object_size ? shape->object_size : 64;
    pool->spec.capacity = shape->capacity;
    pool->spec.max_capacity = shape->max_capacity;
    pool->spec.max_threads = shape->threads ? shape->threads : 8;
    pool->spec.max_sessions = shape->sessions ? shape->sessions : 8;
    pool->spec.flags = shape->flags;
    pool->spec.on_death = shape->on_death;
    ck_assert_msg(spec_complete(&pool->spec, &why) == 0, "%s", why.text);
    ck_assert_msg(geometry_plan(&geometry, &pool->spec, &why) == 0, "%s", why.text);
    pool->bytes = geometry.total;
    base = mmap(NULL, pool->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(base, MAP_FAILED);
    ck_assert_msg(segment_format(&pool->segment, base, &pool->spec, &geometry, 7,
                                 shape->first_generation ? shape->first_generation : 1000,
                                 &why) == 0,
                  "%s", why.text);
    pool->held = calloc(geometry.max_capacity, 1);
    ck_assert_ptr_nonnull(pool->held);
    ck_assert(revoke_register());
}

void test_pool_discard(struct test_pool *pool)
{
    munmap(pool->segment.base, pool->bytes);
    free(pool->held);
    memset(pool, 0, sizeof *pool);
}

void test_pool_end(struct test_pool *pool)
{
    test_pool_assert_clean(pool);
    test_pool_discard(pool);
}

void test_pool_assert_clean(const struct test_pool *pool)
{
    struct check_report report;
    size_t i;

    TEST_REQUIRE(check_confirm(&pool->segment, 1, 0, &report) == 0, "no memory for the check");
    for (i = 0; i < report.count && i < 8; i++)
        fprintf(stderr, "  %s\n", report.findings[i].text);
    TEST_REQUIRE(report.total == 0, "%llu findings, the first: %s",
                 (unsigned long long)report.total, report.findings[0].text);
}

struct actor test_pool_bare_actor(struct test_pool *pool, uint32_t session)
{
    if (session_state(&pool->segment, session) != SESSION_LIVE)
        session_open(&pool->segment, session, (uint32_t)getpid(), 0, "test");
    return (struct actor){
        .session = session,
        .cache = CACHE_NONE,
        .depot = session % pool->segment.geometry.depots,
        .turn = session * UINT64_C(0x9e3779b97f4a7c15),
    };
}

struct actor test_pool_actor(struct test_pool *pool, uint32_t session)
{
    struct actor actor = test_pool_bare_actor(pool, session);

    actor.cache = cache_claim(&pool->segment, session, (uint32_t)getpid());
    return actor;
}

static void hold(struct test_pool *pool, uint64_t index)
{
    TEST_REQUIRE(index < pool->segment.geometry.max_capacity, "slot %llu is outside the table",
                 (unsigned long long)index);
    TEST_REQUIRE(!pool->held[index], "slot %llu was given out twice", (unsigned long long)index);
    pool->held[index] = 1;
    pool->holding++;
}

uint64_t test_pool_alloc(struct test_pool *pool, const struct actor *actor)
{
    uint64_t index, word;
    int error = supply_alloc(&pool->segment, actor, SUPPLY_PATIENCE_US, &index, &word);

    TEST_REQUIRE(!error, "allocating fails with %d", error);
    TEST_REQUIRE(slot_owner_of(word) == actor->session, "the slot is session %u's",
                 slot_owner_of(word));
    hold(pool, index);
    return index;
}

fastalloc_handle test_pool_handle(const struct test_pool *pool, uint64_t index)
{
    return slot_handle(&pool->segment, pool->segment.words[index], index);
}

void test_pool_free(struct test_pool *pool, const struct actor *actor, uint64_t index)
{
    uint64_t word;
    int error;

    TEST_REQUIRE(pool->held[index], "slot %llu is not held", (unsigned long long)index);
    pool->held[index] = 0;
    pool->holding--;
    error = slot_own(&pool->segment, test_pool_handle(pool, index), actor->session, &word);
    TEST_REQUIRE(!error, "owning slot %llu fails with %d", (unsigned long long)index, error);
    supply_free(&pool->segment, actor, index, word);
}

uint64_t test_pool_drain(struct test_pool *pool, const struct actor *actor)
{
    uint64_t index, word, count = 0;
    int error;

    while ((error = supply_alloc(&pool->segment, actor, SUPPLY_PATIENCE_US, &index, &word)) == 0) {
        hold(pool, index);
        count++;
    }
    TEST_REQUIRE(error == FASTALLOC_E_EXHAUSTED, "after %llu slots the error is %d, not EXHAUSTED",
                 (unsigned long long)count, error);
    return count;
}

void test_pool_refill(struct test_pool *pool, const struct actor *actor)
{
    uint64_t index;

    for (index = 0; index < pool->segment.geometry.max_capacity; index++)
        if (pool->held[index])
            test_pool_free(pool, actor, index);
}

void test_pool_forget(struct test_pool *pool)
{
    memset(pool->held, 0, pool->segment.geometry.max_capacity);
    pool->holding = 0;
}

void test_pool_assert_exact(struct test_pool *pool, const struct actor *actor)
{
    struct survey survey;
    uint64_t drained;

    test_pool_assert_clean(pool);
    test_pool_forget(pool);
    survey_slots(&pool->segment, &survey, NULL);
    drained = test_pool_drain(pool, actor);
    TEST_REQUIRE(drained + survey.live == segment_capacity(&pool->segment),
                 "%llu drained and %llu live are not the %llu of the pool",
                 (unsigned long long)drained, (unsigned long long)survey.live,
                 (unsigned long long)segment_capacity(&pool->segment));
    test_pool_assert_clean(pool);
    test_pool_refill(pool, actor);
    test_pool_assert_clean(pool);
    TEST_REQUIRE(survey_allocated(&pool->segment) == survey.live, "%llu allocated, not %llu",
                 (unsigned long long)survey_allocated(&pool->segment),
                 (unsigned long long)survey.live);
}

pid_t test_pool_lock_all(struct test_pool *pool)
{
    int status;
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        uint32_t d;

        for (d = 0; d < pool->segment.geometry.depots; d++)
            if (depot_lock(&pool->segment, d, NULL) != LOCK_TAKEN)
                _exit(1);
        raise(SIGSTOP);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
    ck_assert(WIFSTOPPED(status));
    return child;
}

void test_pool_release(pid_t holder)
{
    kill(holder, SIGKILL);
    ck_assert_int_eq(waitpid(holder, NULL, 0), holder);
}

uint64_t test_seed(const char *what)
{
    const char *given = getenv("FASTALLOC_TEST_SEED");
    struct timespec now;
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &now);
    seed = given ? strtoull(given, NULL, 0)
                 : (uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec;
    printf("%s: FASTALLOC_TEST_SEED=%llu\n", what, (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

uint64_t test_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

Suite *test_suite(const char *name, const TTest *const *tests, size_t count, double seconds)
{
    Suite *suite = suite_create(name);
    TCase *cases = tcase_create(name);
    size_t i;

    tcase_set_timeout(cases, seconds);
    for (i = 0; i < count; i++)
        tcase_add_test(cases, tests[i]);
    suite_add_tcase(suite, cases);
    return suite;
}

int test_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
