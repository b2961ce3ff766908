/* SPDX-License-Identifier: MIT
 *
 * FASTALLOC_STRICT: of two threads that free one handle at the same instant, one does; and frees
 * at the same instant as whatever else a slot's owner can do with it.  Each on a local pool and
 * on one of a daemon's.
 */
#include "both.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

/* With caches, and without. */
enum { SLOTS = 1000, FEW = 200 };
enum { ROUNDS = 30000, PARTIES_MAX = 3 };

/* Threads that act at the same instant, round after round. */
struct race {
    int (*act[PARTIES_MAX])(void);
    unsigned parties;
    unsigned arrived, round; /* a barrier that nobody sleeps in */
    unsigned rounds;
    fastalloc_handle handle;
    int results[PARTIES_MAX];
    void (*begin)(struct race *); /* by the first, before each round */
    void (*judge)(struct race *); /* ... and after */
};

static struct race *race;
static fastalloc_pool *other; /* another session's attachment; both_pool in local pools */

static void meet(void)
{
    unsigned round = __atomic_load_n(&race->round, __ATOMIC_ACQUIRE), spins = 0;

    if (__atomic_add_fetch(&race->arrived, 1, __ATOMIC_ACQ_REL) == race->parties) {
        race->arrived = 0;
        __atomic_add_fetch(&race->round, 1, __ATOMIC_RELEASE);
        return;
    }
    while (__atomic_load_n(&race->round, __ATOMIC_ACQUIRE) == round)
        if (++spins % 512 == 0)
            sched_yield();
}

static void *take_part(void *argument)
{
    unsigned me = (unsigned)(uintptr_t)argument, round;
    volatile unsigned delay;

    for (round = 0; round < race->rounds; round++) {
        if (me == 0)
            race->begin(race);
        meet();
        /* Now one is first, now the other. */
        for (delay = (round >> me * 3) % 8 * 4; delay; delay--)
            ;
        race->results[me] = race->act[me]();
        meet();
        if (me == 0)
            race->judge(race);
        meet();
    }
    return NULL;
}

static void run(struct race *about)
{
    pthread_t threads[PARTIES_MAX];
    unsigned i;

    race = about;
    for (i = 1; i < race->parties; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_part, (void *)(uintptr_t)i), 0);
    take_part(NULL);
    for (i = 1; i < race->parties; i++)
        pthread_join(threads[i], NULL);
    api_require_whole(both_pool);
}

static void begin(int kind, size_t slots, uint32_t features)
{
    fastalloc_pool_config config = api_config("strict", 64, slots);

    config.features = FASTALLOC_STRICT | features;
    config.max_sessions = 16;
    both_begin(kind, &config);
    ck_assert_uint_eq(api_info(both_pool).features, config.features);
    other = both_pool;
    if (kind == BOTH_DAEMON)
        require_ok(fastalloc_pool_open(both_client, "strict", NULL, &other));
}

static void end(int kind)
{
    if (other != both_pool)
        require_ok(fastalloc_pool_close(other));
    both_end(kind);
}

/* ------------------------------------------------------------------ the parts */

static int free_it(void)
{
    return fastalloc_free(both_pool, race->handle);
}

static int free_inline(void)
{
    return inlined_free(both_pool, race->handle);
}

static int free_there(void)
{
    return fastalloc_free(other, race->handle);
}

static int free_in_a_batch(void)
{
    return fastalloc_free_batch(both_pool, 1, &race->handle, NULL);
}

static int adopt_it(void)
{
    return fastalloc_adopt(other, race->handle);
}

static int give_it(void)
{
    return fastalloc_give(both_pool, race->handle, fastalloc_pool_session(other));
}

static int share_it(void)
{
    return fastalloc_share(both_pool, race->handle);
}

static int leave_it(void)
{
    return fastalloc_leave(both_pool, race->handle, FASTALLOC_FOREVER);
}

static void alloc_one(struct race *about)
{
    about->handle = FASTALLOC_NONE;
    require_ok(fastalloc_alloc(both_pool, &about->handle, NULL));
}

static void require_gone(const struct race *about)
{
    if (fastalloc_get(both_pool, about->handle))
        ck_abort_msg("the handle is good after it was freed");
}

static bool is_stale(int error)
{
    return error == FASTALLOC_E_STALE || error == FASTALLOC_E_DOUBLE_FREE;
}

/* Of so many who free, one does. */
static void one_of_the_first_frees(const struct race *about, unsigned parties)
{
    unsigned i, freed = 0;

    for (i = 0; i < parties; i++) {
        freed += about->results[i] == 0;
        if (about->results[i] && !is_stale(about->results[i]))
            ck_abort_msg("a free says %s", fastalloc_error_name(about->results[i]));
    }
    if (freed != 1)
        ck_abort_msg("%u of %u freed the slot", freed, parties);
    require_gone(about);
}

static void one_frees(struct race *about)
{
    one_of_the_first_frees(about, about->parties);
}

/* The last does something else, that may come first, or too late. */
static void one_frees_whatever_the_last_does(struct race *about)
{
    int result = about->results[about->parties - 1];

    one_of_the_first_frees(about, about->parties - 1);
    if (result && result != FASTALLOC_E_STALE)
        ck_abort_msg("the last says %s", fastalloc_error_name(result));
}

/* Shared or freed, one of the two. */
static void freed_or_shared(struct race *about)
{
    int freed = about->results[0], shared = about->results[1];

    if (freed == 0 ? shared != FASTALLOC_E_STALE : shared != 0 || freed != FASTALLOC_E_SHARING)
        ck_abort_msg("free says %s, share %s", fastalloc_error_name(freed),
                     fastalloc_error_name(shared));
    if (shared == 0)
        require_ok(fastalloc_unref(both_pool, about->handle));
    require_gone(about);
}

/* ---------------------------------------------------------------------- tests */

START_TEST(of_two_frees_at_once_one_does)
{
    struct race two = {.act = {free_it, free_inline},
                       .parties = 2,
                       .rounds = ROUNDS,
                       .begin = alloc_one,
                       .judge = one_frees};

    begin(_i, SLOTS, 0);
    run(&two);
    end(_i);
}
END_TEST

START_TEST(of_three_frees_of_two_sessions_one_does)
{
    struct race three = {.act = {free_it, free_there, free_in_a_batch},
                         .parties = 3,
                         .rounds = ROUNDS / 10,
                         .begin = alloc_one,
                         .judge = one_frees};

    begin(_i, SLOTS, 0);
    run(&three);
    end(_i);
    begin(_i, FEW, 0);
    run(&three);
    end(_i);
}
END_TEST

START_TEST(frees_and_another_who_adopts)
{
    struct race with = {.act = {free_inline, adopt_it},
                        .parties = 2,
                        .rounds = ROUNDS,
                        .begin = alloc_one,
                        .judge = one_frees_whatever_the_last_does};

    begin(_i, SLOTS, 0);
    run(&with);
    end(_i);
}
END_TEST

START_TEST(frees_and_a_gift)
{
    struct race with = {.act = {free_inline, give_it},
                        .parties = 2,
                        .rounds = ROUNDS,
                        .begin = alloc_one,
                        .judge = one_frees_whatever_the_last_does};

    begin(_i, SLOTS, 0);
    run(&with);
    end(_i);
}
END_TEST

START_TEST(frees_and_a_leave)
{
    struct race with = {.act = {free_inline, free_it, leave_it},
                        .parties = 3,
                        .rounds = ROUNDS / 10,
                        .begin = alloc_one,
                        .judge = one_frees_whatever_the_last_does};

    begin(_i, SLOTS, 0);
    run(&with);
    end(_i);
}
END_TEST

START_TEST(frees_and_a_share)
{
    struct race with = {.act = {free_inline, share_it},
                        .parties = 2,
                        .rounds = ROUNDS,
                        .begin = alloc_one,
                        .judge = freed_or_shared};

    begin(_i, SLOTS, FASTALLOC_SHARING);
    run(&with);
    end(_i);
}
END_TEST

/* Where frees run a function, it runs once for each slot. */
static unsigned released;

static void count_release(fastalloc_pool *pool, fastalloc_handle handle, void *object,
                          void *argument)
{
    (void)pool, (void)handle, (void)object, (void)argument;
    __atomic_add_fetch(&released, 1, __ATOMIC_RELAXED);
    sched_yield();
}

START_TEST(of_two_frees_at_once_one_releases)
{
    fastalloc_pool_config config = api_config("strict", 64, SLOTS);
    struct race two = {.act = {free_it, free_inline},
                       .parties = 2,
                       .rounds = ROUNDS,
                       .begin = alloc_one,
                       .judge = one_frees};

    config.on_release = count_release;
    both_begin(_i, &config);
    released = 0;
    run(&two);
    ck_assert_uint_eq(released, ROUNDS + SLOTS);
    both_end(_i);
}
END_TEST

START_TEST(a_free_too_many_is_told_as_what_it_is)
{
    fastalloc_handle handle, next;
    void *object, *again;

    begin(_i, SLOTS, 0);
    require_ok(fastalloc_alloc(both_pool, &handle, &object));
    require_ok(fastalloc_free(both_pool, handle));
    require_failure(fastalloc_free(both_pool, handle), FASTALLOC_E_DOUBLE_FREE, "free",
                    "freed already");
    require_failure(inlined_free(both_pool, handle), FASTALLOC_E_DOUBLE_FREE, "freed already");
    require_failure(fastalloc_adopt(both_pool, handle), FASTALLOC_E_STALE, "adopt");
    ck_assert_ptr_null(fastalloc_get(both_pool, handle));
    require_ok(fastalloc_alloc(both_pool, &next, &again));
    ck_assert_ptr_eq(again, object);
    require_failure(fastalloc_free(both_pool, handle), FASTALLOC_E_STALE, "stale");
    ck_assert_ptr_eq(fastalloc_get(both_pool, next), again);
    require_ok(fastalloc_free(both_pool, next));
    require_failure(fastalloc_free(both_pool, next), FASTALLOC_E_DOUBLE_FREE, "freed already");
    require_failure(fastalloc_free(both_pool, handle), FASTALLOC_E_STALE, "stale");
    require_failure(fastalloc_free(both_pool, handle + (UINT64_C(5) << 40)), FASTALLOC_E_HANDLE,
                    "not a handle");
    api_require_whole(both_pool);
    end(_i);
}
END_TEST

/* The generation that an idle slot has now is nobody's yet. */
START_TEST(a_handle_that_is_yet_to_come_frees_nothing)
{
    fastalloc_handle first, second, third;
    uint64_t word;

    begin(_i, SLOTS, 0);
    first = api_alloc(both_pool);
    require_ok(fastalloc_free(both_pool, first));
    second = api_alloc(both_pool);
    ck_assert_uint_eq(fastalloc_handle_index(both_pool, first),
                      fastalloc_handle_index(both_pool, second));
    require_ok(fastalloc_free(both_pool, second));
    ck_assert(inlined_has_cache(both_pool));
    third = second + (second - first);
    for (word = third - 2 * (second - first); word < third + 2 * (second - first);
         word += (second - first) / 2) {
        int error = inlined_free(both_pool, word);

        ck_assert(is_stale(error) || error == FASTALLOC_E_HANDLE);
        ck_assert_int_eq((fastalloc_free)(both_pool, word), error);
    }
    require_failure(inlined_free(both_pool, third), FASTALLOC_E_HANDLE, "not a handle");
    ck_assert_uint_eq(api_alloc(both_pool), third);
    require_ok(inlined_free(both_pool, third));
    api_require_whole(both_pool);
    end(_i);
}
END_TEST

/* Frees of a strict pool go on by the cache: nothing is taken from the depots between. */
START_TEST(strict_frees_stay_in_the_threads_cache)
{
    fastalloc_handle handle;
    void *first, *object;
    unsigned i;

    begin(_i, SLOTS, 0);
    require_ok(fastalloc_alloc(both_pool, &handle, &first));
    ck_assert(inlined_has_cache(both_pool));
    for (i = 0; i < 1000; i++) {
        require_ok(inlined_free(both_pool, handle));
        require_ok(inlined_alloc(both_pool, &handle, &object));
        if (object != first)
            ck_abort_msg("another slot came back");
    }
    require_ok(fastalloc_free(both_pool, handle));
    end(_i);
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {of_two_frees_at_once_one_does,
                                    of_three_frees_of_two_sessions_one_does,
                                    frees_and_another_who_adopts,
                                    frees_and_a_gift,
                                    frees_and_a_leave,
                                    frees_and_a_share,
                                    of_two_frees_at_once_one_releases,
                                    a_free_too_many_is_told_as_what_it_is,
                                    a_handle_that_is_yet_to_come_frees_nothing,
                                    strict_frees_stay_in_the_threads_cache,
                                    NULL};
    const TTest *const once[] = {NULL};

    return both_run("strict", of_both, once, 60);
}
