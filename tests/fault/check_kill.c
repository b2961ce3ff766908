/* SPDX-License-Identifier: MIT
 *
 * check_kill: processes that work in one pool and are killed at random, on the bare
 * segment: the parent sweeps, as the daemon would, and starts another.  At the end
 * nothing is lost, and no two have ever held one slot.
 *
 * A slot in somebody's hands carries its handle and its holder's session; whoever
 * frees or hands on looks whether it still does.
 */
#include "tallied.h"
#include "tests/support/lane.h"

#include "shm/bitmap.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/survey.h"
#include "shm/sweep.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHILDREN = 4, SESSIONS = 12, KEPT_MAX = 150, DESK = 64, SECONDS = 3 };

/* Shared with the children: handles on their way, and what went wrong. */
struct common {
    fastalloc_handle desk[DESK];
    char wrong[256];
    uint64_t allocs, adopted, given, stalled, exhausted;
};

static struct test_pool pool;
static struct common *common;

struct child {
    pid_t pid;
    uint32_t session;
    bool bare;
};

struct worker {
    struct fastalloc_pool lane;
    struct actor actor;
    uint64_t random;
    fastalloc_handle kept[KEPT_MAX];
    unsigned count;
};

static uint64_t *object_of(fastalloc_handle handle)
{
    return (uint64_t *)(void *)(pool.segment.objects +
                                slot_index(&pool.segment, handle) * pool.segment.geometry.stride);
}

static void count_up(uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static void report_wrong(const char *what, fastalloc_handle handle, uint64_t number)
{
    snprintf(common->wrong, sizeof common->wrong, "%s: handle %llx, %llx", what,
             (unsigned long long)handle, (unsigned long long)number);
    _exit(1);
}

static void stamp(struct worker *worker, fastalloc_handle handle)
{
    uint64_t *object = object_of(handle);

    __atomic_store_n(&object[0], handle, __ATOMIC_RELAXED);
    __atomic_store_n(&object[1], worker->actor.session, __ATOMIC_RELAXED);
}

static void check_stamp(struct worker *worker, fastalloc_handle handle)
{
    uint64_t *object = object_of(handle);

    if (__atomic_load_n(&object[0], __ATOMIC_RELAXED) != handle)
        report_wrong("another's stamp", handle, object[0]);
    if (__atomic_load_n(&object[1], __ATOMIC_RELAXED) != worker->actor.session)
        report_wrong("another's session in the stamp", handle, object[1]);
}

static void keep(struct worker *worker, fastalloc_handle handle)
{
    stamp(worker, handle);
    worker->kept[worker->count++] = handle;
}

static fastalloc_handle drop(struct worker *worker)
{
    unsigned which = (unsigned)(test_random(&worker->random) % worker->count);
    fastalloc_handle handle = worker->kept[which];

    check_stamp(worker, handle);
    worker->kept[which] = worker->kept[--worker->count];
    return handle;
}

static void allocate(struct worker *worker)
{
    fastalloc_handle handle = FASTALLOC_NONE;

    switch (fastalloc_alloc_inline_(&worker->lane, &handle, NULL)) {
    case 0:
        count_up(&common->allocs);
        keep(worker, handle);
        break;
    case FASTALLOC_E_EXHAUSTED:
        count_up(&common->exhausted);
        break;
    case FASTALLOC_E_STALLED:
        count_up(&common->stalled);
        break;
    default:
        report_wrong("allocating fails", 0, 0);
    }
}

static void free_one(struct worker *worker)
{
    fastalloc_handle handle = drop(worker);

    if (fastalloc_free_inline_(&worker->lane, handle))
        report_wrong("freeing what is mine fails", handle,
                     pool.segment.words[slot_index(&pool.segment, handle)]);
}

/* Through the desk: whoever takes the handle adopts the slot, or frees it for its
 * owner.  The owner may be dead by then, swept or not. */
static void use_desk(struct worker *worker)
{
    fastalloc_handle *place = &common->desk[test_random(&worker->random) % DESK];
    fastalloc_handle mine = worker->count && test_random(&worker->random) % 2 ? drop(worker) : 0;
    fastalloc_handle theirs = __atomic_exchange_n(place, mine, __ATOMIC_SEQ_CST);
    uint64_t word;

    if (!theirs)
        return;
    if (worker->count == KEPT_MAX || test_random(&worker->random) % 2) {
        fastalloc_free_inline_(&worker->lane, theirs);
    } else if (slot_own(&pool.segment, theirs, worker->actor.session, &word) == 0) {
        count_up(&common->adopted);
        keep(worker, theirs);
    }
}

/* Gives a slot to whichever session; nobody there will know of it. */
static void give_one(struct worker *worker)
{
    uint32_t to = (uint32_t)(test_random(&worker->random) % SESSIONS) + 1;
    fastalloc_handle handle = drop(worker);
    int error = session_give(&pool.segment, worker->actor.session, to, handle);

    if (error && error != FASTALLOC_E_SESSION)
        report_wrong("giving what is mine fails", handle, (uint64_t)-error);
    if (error)
        worker->kept[worker->count++] = handle;
    else
        count_up(&common->given);
}

static void renew_cache(struct worker *worker)
{
    if (worker->actor.cache == CACHE_NONE)
        return;
    cache_release(&pool.segment, &worker->actor);
    worker->actor.cache = cache_claim(&pool.segment, worker->actor.session, 1);
    lane_open(&worker->lane, &pool, &worker->actor);
}

static void work(uint32_t session, bool bare, uint64_t seed)
{
    static struct worker worker;
    unsigned want = KEPT_MAX;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    worker.actor = bare ? test_pool_bare_actor(&pool, session) : test_pool_actor(&pool, session);
    worker.random = seed;
    lane_open(&worker.lane, &pool, &worker.actor);
    for (;;) {
        uint64_t dice = test_random(&worker.random) % 1000;

        if (dice < 10)
            want = (unsigned)(test_random(&worker.random) % KEPT_MAX);
        else if (dice < 120)
            use_desk(&worker);
        else if (dice < 124 && worker.count)
            give_one(&worker);
        else if (dice < 127)
            renew_cache(&worker);
        else if (worker.count < want)
            allocate(&worker);
        else if (worker.count)
            free_one(&worker);
    }
}

/* ------------------------------------------------------------- the parent */

static uint32_t free_session(uint64_t *random)
{
    uint32_t turn = (uint32_t)(test_random(random) % SESSIONS), i;

    for (i = 0; i < SESSIONS; i++) {
        uint32_t session = (turn + i) % SESSIONS + 1;

        if (session_state(&pool.segment, session) != SESSION_LIVE &&
            session_reuse(&pool.segment, session))
            return session;
    }
    ck_abort_msg("no session is free");
    return 0;
}

static void start(struct child *child, uint64_t *random)
{
    uint64_t seed = test_random(random);

    child->session = free_session(random);
    child->bare = test_random(random) % 5 == 0;
    session_open(&pool.segment, child->session, 0, 0, "child");
    child->pid = fork();
    ck_assert_int_ge(child->pid, 0);
    if (child->pid == 0)
        work(child->session, child->bare, seed);
}

static void stop(struct child *child)
{
    kill(child->pid, SIGKILL);
    TEST_REQUIRE(waitpid(child->pid, NULL, 0) == child->pid, "waitpid fails");
}

static void run(uint64_t slots)
{
    uint64_t random = test_seed("kill"), kills = 0, until;
    struct child children[CHILDREN];
    struct actor last;
    struct timespec time;
    unsigned i;

    common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(common, MAP_FAILED);
    test_pool_make(&pool,
                   &(struct test_shape){.capacity = slots, .threads = 6, .sessions = SESSIONS + 1});
    for (i = 0; i < CHILDREN; i++)
        start(&children[i], &random);
    clock_gettime(CLOCK_MONOTONIC, &time);
    for (until = (uint64_t)time.tv_sec + SECONDS; (uint64_t)time.tv_sec < until; kills++) {
        struct timespec pause = {0, (long)(test_random(&random) % 4000 + 500) * 1000};

        nanosleep(&pause, NULL);
        i = (unsigned)(test_random(&random) % CHILDREN);
        stop(&children[i]);
        /* Sometimes the daemon is slow, or dies over it. */
        if (test_random(&random) % 4 == 0)
            nanosleep(&pause, NULL);
        sweep_session(&pool.segment, children[i].session, NULL, NULL);
        ck_assert_msg(!common->wrong[0], "%s", common->wrong);
        start(&children[i], &random);
        clock_gettime(CLOCK_MONOTONIC, &time);
    }
    for (i = 0; i < CHILDREN; i++)
        stop(&children[i]);
    for (i = 0; i < CHILDREN; i++)
        sweep_session(&pool.segment, children[i].session, NULL, NULL);
    printf(
        "  %llu kills, %llu allocations, %llu adopted, %llu given, %llu exhausted, %llu stalled\n",
        (unsigned long long)kills, (unsigned long long)common->allocs,
        (unsigned long long)common->adopted, (unsigned long long)common->given,
        (unsigned long long)common->exhausted, (unsigned long long)common->stalled);
    ck_assert_msg(!common->wrong[0], "%s", common->wrong);
    /* Each of the dead may have left one of its counts short. */
    ck_assert_int_le(llabs(tallied_gap(&pool.segment)), (int64_t)kills + CHILDREN);
    last = test_pool_actor(&pool, SESSIONS + 1);
    test_pool_assert_exact(&pool, &last);
    ck_assert_uint_eq(survey_allocated(&pool.segment), 0);
    test_pool_end(&pool);
    munmap(common, sizeof *common);
}

START_TEST(processes_killed_at_random_leave_a_whole_pool)
{
    static const uint64_t slots[] = {200, 400, 5000};

    run(slots[_i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kill");
    TCase *cases = tcase_create("kill");

    tcase_set_timeout(cases, 30);
    tcase_add_loop_test(cases, processes_killed_at_random_leave_a_whole_pool, 0, 3);
    suite_add_tcase(suite, cases);
    return test_run(suite);
}
