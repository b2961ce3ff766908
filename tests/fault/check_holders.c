/* SPDX-License-Identifier: MIT
 *
 * check_holders: holders of every depot's lock who do not let go: they dump core, are
 * stopped, or have taken the memory from under their own feet.  The others hear STALLED within
 * its bound, or go on with what lies elsewhere, and nothing is taken from anybody.
 */
#include "tests/support/pool.h"

#include "shm/depot.h"
#include "shm/slot.h"
#include "shm/survey.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HOLDER = 1, LIVING = 2, SLOTS = 2000, HOLDS = 20 };

#define BOUND_MS 250                  /* of an allocation, as documented */
#define LOADED_MS 500                 /* more, on a machine that does other things too */
#define BALLAST (UINT64_C(256) << 20) /* that makes a core dump take its time */

static struct test_pool pool;
static struct actor living, holder;

static long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Everything is in the depots but what the holder holds, and what it and the living have
 * cached. */
static void begin(void)
{
    unsigned i;

    test_pool_make(&pool, &(struct test_shape){.capacity = SLOTS});
    living = test_pool_actor(&pool, LIVING);
    holder = test_pool_actor(&pool, HOLDER);
    test_pool_drain(&pool, &living);
    test_pool_refill(&pool, &living);
    cache_flush(&pool.segment, &living);
    for (i = 0; i < HOLDS; i++)
        test_pool_alloc(&pool, &holder);
    cache_flush(&pool.segment, &holder);
    test_pool_forget(&pool);
}

static void lock_all(void)
{
    uint32_t d;

    for (d = 0; d < pool.segment.geometry.depots; d++)
        if (depot_lock(&pool.segment, d, NULL) != LOCK_TAKEN)
            _exit(1);
}

/* Starts a holder that locks every depot, and then does `next`. */
static pid_t start_holder(void (*next)(void))
{
    int ends[2];
    char byte;
    pid_t child;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        lock_all();
        if (write(ends[1], "", 1) != 1)
            _exit(1);
        next();
        _exit(0);
    }
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return child;
}

/* An allocation, which must succeed or hear STALLED in time.  Returns whether it succeeded. */
static bool try_to_allocate(const struct actor *actor)
{
    long begun = now_ms(), took;
    uint64_t index, word;
    int error = supply_alloc(&pool.segment, actor, SUPPLY_PATIENCE_US, &index, &word);

    took = now_ms() - begun;
    TEST_REQUIRE(error == 0 || error == FASTALLOC_E_STALLED, "the error is %d", error);
    TEST_REQUIRE(took <= BOUND_MS + LOADED_MS, "it took %ld ms", took);
    if (error)
        return false;
    supply_free(&pool.segment, actor, index, word);
    return true;
}

static void require_untouched(void)
{
    uint64_t index, held = 0;

    for (index = 0; index < SLOTS; index++)
        held += slot_owner_of(pool.segment.words[index]) == HOLDER;
    ck_assert_uint_eq(held, HOLDS);
}

static void require_whole(void)
{
    test_pool_assert_exact(&pool, &living);
    require_untouched();
    test_pool_end(&pool);
}

/* --------------------------------------------------------------- a core dump */

static char directory[40];

static void dump_core(void)
{
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    char *ballast = mmap(NULL, BALLAST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (ballast == MAP_FAILED || setrlimit(RLIMIT_CORE, &all) || chdir(directory))
        _exit(1);
    memset(ballast, 1, BALLAST);
    signal(SIGABRT, SIG_DFL);
    abort();
}

START_TEST(a_holder_that_dumps_core_holds_others_up_no_longer_than_their_bound)
{
    unsigned tries = 0, stalled = 0;
    long begun;
    pid_t child;
    int status;
    char command[80];

    begin();
    strcpy(directory, "/tmp/fastalloc-core-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    child = start_holder(dump_core);
    begun = now_ms();
    while (waitpid(child, &status, WNOHANG) == 0) {
        stalled += !try_to_allocate(&living);
        tries++;
    }
    printf("  the holder was gone after %ld ms: %u tries, %u stalled\n", now_ms() - begun, tries,
           stalled);
    snprintf(command, sizeof command, "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status 0x%x", status);
    if (!WCOREDUMP(status))
        fprintf(stderr, "NOT TESTED: no core was written here (core_pattern, limits)\n");
    ck_assert(try_to_allocate(&living));
    require_whole();
}
END_TEST

/* ------------------------------------------------------------------- stopped */

static void stop_then_let_go(void)
{
    uint32_t d;

    raise(SIGSTOP);
    for (d = 0; d < pool.segment.geometry.depots; d++)
        depot_unlock(&pool.segment, d);
    raise(SIGSTOP);
}

static void wait_for_stop(pid_t child)
{
    int status;

    ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
    ck_assert_msg(WIFSTOPPED(status), "the holder ended with status 0x%x", status);
}

/* A minute in `make check-soak`. */
static long stopped_for_ms(void)
{
    const char *given = getenv("FASTALLOC_STOPPED_SECONDS");

    return given ? atol(given) * 1000 : 2000;
}

START_TEST(a_stopped_holder_holds_others_up_no_longer_than_their_bound)
{
    struct actor bare;
    unsigned stalled = 0, i;
    uint64_t index;
    pid_t child;
    long end;

    begin();
    child = start_holder(stop_then_let_go);
    wait_for_stop(child);
    bare = test_pool_bare_actor(&pool, LIVING);
    for (end = now_ms() + stopped_for_ms(); now_ms() < end;) {
        stalled += !try_to_allocate(&living);
        stalled += !try_to_allocate(&bare);
        require_untouched();
    }
    ck_assert_uint_gt(stalled, 0);
    kill(child, SIGCONT);
    wait_for_stop(child);
    for (i = 0; i < 100; i++) {
        index = test_pool_alloc(&pool, &living);
        test_pool_free(&pool, &living, index);
    }
    test_pool_release(child);
    require_whole();
}
END_TEST

/* Those who have something in their hands or their caches go on with it. */
START_TEST(a_stopped_holder_does_not_keep_others_from_freeing_and_using_that_again)
{
    uint64_t indices[200];
    unsigned i, round;
    pid_t child;

    begin();
    for (i = 0; i < 200; i++)
        indices[i] = test_pool_alloc(&pool, &living);
    child = start_holder(stop_then_let_go);
    wait_for_stop(child);
    for (round = 0; round < 20; round++) {
        for (i = 0; i < 200; i++)
            test_pool_free(&pool, &living, indices[i]);
        for (i = 0; i < 200; i++)
            indices[i] = test_pool_alloc(&pool, &living);
    }
    require_untouched();
    test_pool_release(child);
    for (i = 0; i < 200; i++)
        test_pool_free(&pool, &living, indices[i]);
    require_whole();
}
END_TEST

/* --------------------------------------------------------------- raw munmap */

static void unmap(void)
{
    munmap(pool.segment.base, pool.segment.geometry.total);
}

/* The kernel cannot say in the lock that its holder has died: it stays taken for ever. */
START_TEST(raw_munmap_while_holding_is_a_bounded_error_for_others)
{
    uint64_t indices[200];
    pid_t child;
    unsigned i;
    int status;

    begin();
    for (i = 0; i < 200; i++)
        indices[i] = test_pool_alloc(&pool, &living);
    cache_flush(&pool.segment, &living);
    child = start_holder(unmap);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    for (i = 0; i < 5; i++)
        ck_assert(!try_to_allocate(&living));
    require_untouched();
    /* What comes free is there for everybody all the same. */
    for (i = 0; i < 200; i++)
        test_pool_free(&pool, &living, indices[i]);
    for (i = 0; i < 200; i++)
        test_pool_alloc(&pool, &living);
    ck_assert(!try_to_allocate(&living));
    test_pool_assert_clean(&pool);
    test_pool_discard(&pool);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_holder_that_dumps_core_holds_others_up_no_longer_than_their_bound,
        a_stopped_holder_holds_others_up_no_longer_than_their_bound,
        a_stopped_holder_does_not_keep_others_from_freeing_and_using_that_again,
        raw_munmap_while_holding_is_a_bounded_error_for_others,
    };

    return test_run(TEST_SUITE("holders", tests, 60 + (double)stopped_for_ms() / 1000));
}
