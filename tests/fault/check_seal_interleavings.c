/* SPDX-License-Identifier: MIT
 *
 * seal_interleavings: an allocation that is stopped between any two of its instructions while
 * somebody seals and drains the pool; and a sealer who is stopped so while somebody allocates.
 * By the public functions, in processes of their own, on a local pool.
 *
 * In the first kind the walker allocates, single-stepped, and the parent drains while it stands
 * at its step.  If that says that the pool is empty, the allocation must fail; if not,
 * it has the slot or was in the middle of a call.  In the second kind the walker seals, and a
 * third process, the other, allocates while it stands at its step, and again when the seal is made:
 * then nothing succeeds, and what did before has kept the drain from saying empty.
 */
#include "crash.h"

#include "client/pool.h"
#include "shm/check.h"
#include "shm/survey.h"
#include "tests/support/pool.h"

#include <fastalloc/fastalloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LARGE = 300, SMALL = 40, BATCH = 30, LATER = 3 };
enum { NOTED_SOME = 40, OTHERS_SOME = 15, OTHERS_MANY = 1000 };

/* What the processes tell each other. */
struct account {
    fastalloc_handle handles[LARGE];
    unsigned got;     /* slots the allocating one holds */
    unsigned got_now; /* of those, by the latest command */
    unsigned refused; /* by the latest command, because of the seal */
    int sealing;      /* what the walker's seal or drain came to */
};

struct set {
    fastalloc_pool *pool;
    const struct scene *scene;
    struct account *account;
    void *copy; /* of the segment */
    size_t size;
    pid_t other;
    int channel; /* to it */
    unsigned stalled, empty, held;
};

struct scene {
    const char *name;
    size_t slots;
    void (*enter)(void *set);     /* of the allocating one, before it is stopped; or NULL */
    void (*act)(void *set);       /* of the walker */
    void (*meanwhile)(void *set); /* of the other: the walker seals; NULL: the parent does */
    bool drains;                  /* the walker drains, which takes what there is as well */
};

/* --------------------------------------------------------------- allocating */

static void note(struct account *account, int error, fastalloc_handle handle)
{
    if (!error) {
        account->handles[account->got++] = handle;
        account->got_now++;
    }
    account->refused += error == FASTALLOC_E_SEALED;
}

static void alloc(struct set *set, unsigned times)
{
    fastalloc_handle handle = FASTALLOC_NONE;

    while (times--) {
        int error = fastalloc_alloc(set->pool, &handle, NULL);

        note(set->account, error, handle);
    }
}

static void alloc_one(void *set)
{
    alloc(set, 1);
}

static void alloc_some(void *set)
{
    alloc(set, 4);
}

static void alloc_waiting(void *argument)
{
    struct set *set = argument;
    fastalloc_handle handle = FASTALLOC_NONE;
    int error = fastalloc_alloc_wait(set->pool, &handle, NULL, FASTALLOC_FOREVER);

    note(set->account, error, handle);
}

static void alloc_batch(void *argument)
{
    struct set *set = argument;
    int error = fastalloc_alloc_batch(set->pool, BATCH, set->account->handles, NULL);

    set->account->got += error ? 0 : BATCH;
}

/* Its lane is made anew on the way. */
static void flush_and_alloc(void *argument)
{
    struct set *set = argument;

    fastalloc_thread_flush(set->pool);
    alloc(set, 2);
    fastalloc_thread_flush(set->pool);
    alloc(set, 1);
}

static void free_all(void *argument)
{
    struct set *set = argument;

    while (set->account->got > 0)
        if (fastalloc_free(set->pool, set->account->handles[set->account->got - 1]) == 0)
            set->account->got--;
}

/* ---------------------------------------- what the allocating one comes with */

static void attached(void *argument)
{
    struct set *set = argument;

    TEST_REQUIRE(fastalloc_pool_session(set->pool), "%s", fastalloc_last_error());
}

static void use(struct set *set, unsigned count)
{
    fastalloc_handle handles[LARGE];

    TEST_REQUIRE(fastalloc_alloc_batch(set->pool, count, handles, NULL) == 0, "%s",
                 fastalloc_last_error());
    TEST_REQUIRE(fastalloc_free_batch(set->pool, count, handles, NULL) == 0, "%s",
                 fastalloc_last_error());
}

/* Idle slots in its cache. */
static void warm(void *set)
{
    use(set, 5);
}

/* Idle slots, all used, in the depots, and a cache without. */
static void flushed(void *argument)
{
    struct set *set = argument;

    use(set, LARGE);
    fastalloc_thread_flush(set->pool);
}

/* In a pool without caches: all returned. */
static void returned(void *set)
{
    use(set, SMALL);
}

static void holding(void *argument)
{
    struct set *set = argument;

    alloc(set, 2);
}

/* ------------------------------------------------------------------ sealing */

static void act_seal(void *argument)
{
    struct set *set = argument;

    set->account->sealing = fastalloc_pool_seal(set->pool);
}

static void act_drain(void *argument)
{
    struct set *set = argument;

    set->account->sealing = fastalloc_pool_drain(set->pool, 0);
}

static const struct scene scenes[] = {
    {.name = "alloc from the cache", .slots = LARGE, .enter = warm, .act = alloc_one},
    {.name = "allocs from the cache, and beyond",
     .slots = LARGE,
     .enter = warm,
     .act = alloc_batch},
    {.name = "alloc by a new thread", .slots = LARGE, .enter = attached, .act = alloc_one},
    {.name = "alloc from a depot", .slots = LARGE, .enter = flushed, .act = alloc_one},
    {.name = "alloc that waits", .slots = LARGE, .enter = warm, .act = alloc_waiting},
    {.name = "alloc of a fresh slot, no caches",
     .slots = SMALL,
     .enter = attached,
     .act = alloc_one},
    {.name = "alloc of a returned slot, no caches",
     .slots = SMALL,
     .enter = returned,
     .act = alloc_one},
    {.name = "flush and alloc", .slots = LARGE, .enter = warm, .act = flush_and_alloc},
    {.name = "free", .slots = LARGE, .enter = holding, .act = free_all},
    {.name = "free, no caches", .slots = SMALL, .enter = holding, .act = free_all},
    {.name = "seal, another allocates",
     .slots = LARGE,
     .enter = warm,
     .act = act_seal,
     .meanwhile = alloc_some},
    {.name = "seal, another flushes and allocates",
     .slots = LARGE,
     .enter = warm,
     .act = act_seal,
     .meanwhile = flush_and_alloc},
    {.name = "seal, a new thread allocates",
     .slots = LARGE,
     .enter = attached,
     .act = act_seal,
     .meanwhile = alloc_some},
    {.name = "seal, another allocates, no caches",
     .slots = SMALL,
     .enter = attached,
     .act = act_seal,
     .meanwhile = alloc_some},
    {.name = "drain, another allocates",
     .slots = LARGE,
     .enter = warm,
     .act = act_drain,
     .meanwhile = alloc_some,
     .drains = true},
    {.name = "drain, another flushes and allocates",
     .slots = LARGE,
     .enter = warm,
     .act = act_drain,
     .meanwhile = flush_and_alloc,
     .drains = true},
    {.name = "drain, another allocates, no caches",
     .slots = SMALL,
     .enter = attached,
     .act = act_drain,
     .meanwhile = alloc_some,
     .drains = true},
    {.name = "drain, another frees",
     .slots = LARGE,
     .enter = holding,
     .act = act_drain,
     .meanwhile = free_all,
     .drains = true},
};

/* ------------------------------------------------------------------ the other */

enum { ACT = 'a', ALLOC_LATER = 'l' };

/* Does `meanwhile`, and then allocates again, when it is told to. */
static void be_the_other(struct set *set, int channel)
{
    char command = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    set->scene->enter(set);
    TEST_REQUIRE(write(channel, &command, 1) == 1, "the parent is gone");
    while (read(channel, &command, 1) == 1) {
        set->account->got_now = set->account->refused = 0;
        if (command == ACT)
            set->scene->meanwhile(set);
        else
            alloc(set, LATER);
        TEST_REQUIRE(write(channel, &command, 1) == 1, "the parent is gone");
    }
    _exit(0);
}

static void await_other(struct set *set)
{
    char answer;

    TEST_REQUIRE(read(set->channel, &answer, 1) == 1, "the other is gone");
}

static void tell_other(struct set *set, char command)
{
    TEST_REQUIRE(write(set->channel, &command, 1) == 1, "the other is gone");
    await_other(set);
}

static void start_other(struct set *set)
{
    int ends[2];

    if (!set->scene->meanwhile)
        return;
    TEST_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "no channel");
    fflush(NULL);
    set->other = fork();
    TEST_REQUIRE(set->other >= 0, "fork fails");
    if (set->other == 0) {
        close(ends[0]);
        be_the_other(set, ends[1]);
    }
    close(ends[1]);
    set->channel = ends[0];
    await_other(set);
}

static void end_other(struct set *set)
{
    if (!set->scene->meanwhile)
        return;
    kill(set->other, SIGKILL);
    waitpid(set->other, NULL, 0);
    close(set->channel);
}

/* -------------------------------------------------------------------- playing */

static void *share(size_t size)
{
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    TEST_REQUIRE(shared != MAP_FAILED, "no memory");
    return shared;
}

/* The parent attaches, and never allocates: so nothing of its own has to be put back. */
static void build(struct set *set, const struct scene *scene)
{
    fastalloc_pool_config config;

    memset(set, 0, sizeof *set);
    set->scene = scene;
    set->account = share(sizeof *set->account);
    fastalloc_pool_config_init(&config);
    config.object_size = 8;
    config.capacity = scene->slots;
    config.max_threads = 4;
    config.max_sessions = 6;
    TEST_REQUIRE(fastalloc_pool_create_local(&config, &set->pool) == 0, "%s",
                 fastalloc_last_error());
    set->size = set->pool->segment.geometry.guard_at;
    set->copy = malloc(set->size);
    TEST_REQUIRE(set->copy, "no memory");
    memcpy(set->copy, set->pool->segment.base, set->size);
}

static void restore(struct set *set)
{
    memcpy(set->pool->segment.base, set->copy, set->size);
    memset(set->account, 0, sizeof *set->account);
}

static void tear_down(struct set *set)
{
    TEST_REQUIRE(fastalloc_pool_close(set->pool) == 0, "%s", fastalloc_last_error());
    munmap(set->account, sizeof *set->account);
    free(set->copy);
}

static void enter(void *argument)
{
    struct set *set = argument;

    if (set->scene->meanwhile)
        attached(set);
    else
        set->scene->enter(set);
}

/* When the parent lets it: what it gets now it gets after the seal. */
static void walk_on(void *argument)
{
    struct set *set = argument;

    if (set->scene->meanwhile)
        return;
    set->account->got_now = set->account->refused = 0;
    alloc(set, LATER);
}

static const void *memory(void *argument, size_t *size)
{
    struct set *set = argument;

    *size = set->size;
    return set->pool->segment.base;
}

static const char *name_of(int error)
{
    return fastalloc_error_name(error);
}

/* All are dead or through: nothing is allocated, and the pool is whole. */
static void require_whole(struct set *set)
{
    struct check_report report;
    int error = fastalloc_pool_drain(set->pool, fastalloc_deadline(10000));

    TEST_REQUIRE(error == 0, "in the end: %s", fastalloc_last_error());
    TEST_REQUIRE(fastalloc_pool_unseal(set->pool) == 0, "%s", fastalloc_last_error());
    TEST_REQUIRE(check_confirm(&set->pool->segment, 1, 0, &report) == 0, "no memory");
    TEST_REQUIRE(report.count == 0, "%s", report.findings[0].text);
    TEST_REQUIRE(survey_allocated(&set->pool->segment) == 0, "slots are missing");
}

static void require_all_refused(const struct set *set, unsigned times)
{
    TEST_REQUIRE(set->account->got_now == 0, "an allocation that began after the seal succeeded");
    TEST_REQUIRE(set->account->refused == times, "%u of %u were refused", set->account->refused,
                 times);
}

/* One who stands stopped in the middle of a call is told of in time, and when he has gone on
 * there is nothing to tell. */
static void seal_beside_one_stopped(struct set *set)
{
    struct timespec before, after;
    int error;

    clock_gettime(CLOCK_MONOTONIC, &before);
    error = fastalloc_pool_seal(set->pool);
    clock_gettime(CLOCK_MONOTONIC, &after);
    TEST_REQUIRE(error == FASTALLOC_E_STALLED, "seal: %s", name_of(error));
    TEST_REQUIRE(after.tv_sec - before.tv_sec < 5, "it took %ld s",
                 (long)(after.tv_sec - before.tv_sec));
}

/* The walker allocates, or frees; the parent drains. */
static void play_allocating(struct set *set, struct tracee *walker)
{
    struct account *account = set->account;
    int first = fastalloc_pool_drain(set->pool, 0), last;

    TEST_REQUIRE(first == 0 || first == FASTALLOC_E_STALLED || first == FASTALLOC_E_TIMEOUT,
                 "drain: %s", fastalloc_last_error());
    if (first == FASTALLOC_E_STALLED && set->stalled++ == 0)
        seal_beside_one_stopped(set);
    set->empty += first == 0;
    set->held += first == FASTALLOC_E_TIMEOUT;
    tracer_finish(walker);
    TEST_REQUIRE(first != 0 || account->got == 0,
                 "the pool was said to be empty, and %u slots were allocated", account->got);
    last = fastalloc_pool_drain(set->pool, 0);
    TEST_REQUIRE(last == (account->got ? FASTALLOC_E_TIMEOUT : 0), "%u are allocated; drain: %s",
                 account->got, name_of(last));
    tracer_go_on(walker);
    require_all_refused(set, LATER);
}

/* The walker seals or drains; the other allocates. */
static void play_sealing(struct set *set, struct tracee *walker)
{
    struct account *account = set->account;
    int expected;

    tell_other(set, ACT);
    tracer_finish(walker);
    expected = set->scene->drains && account->got ? FASTALLOC_E_TIMEOUT : 0;
    /* What was freed while it looked it may have met before. */
    TEST_REQUIRE(account->sealing == expected ||
                     (set->scene->meanwhile == free_all && account->sealing == FASTALLOC_E_TIMEOUT),
                 "%u are allocated; the walker's: %s", account->got, name_of(account->sealing));
    set->empty += account->sealing == 0;
    set->held += account->sealing != 0;
    tell_other(set, ALLOC_LATER);
    require_all_refused(set, LATER);
    tracer_go_on(walker);
}

static void play_point(struct set *set, const struct tracer_act *act,
                       const struct trace_point *point)
{
    struct tracee walker;

    restore(set);
    start_other(set);
    tracer_reach(&walker, act, point);
    if (set->scene->meanwhile)
        play_sealing(set, &walker);
    else
        play_allocating(set, &walker);
    tracer_kill(&walker);
    end_other(set);
    require_whole(set);
}

static void record(struct set *set, struct trace *trace, const struct tracer_act *act)
{
    restore(set);
    start_other(set);
    tracer_record(trace, act);
    end_other(set);
}

START_TEST(no_allocation_is_missed_by_a_seal_wherever_one_is_stopped)
{
    const struct scene *scene = &scenes[_i];
    uint64_t random = test_seed(scene->name);
    bool all = getenv("FASTALLOC_TEST_LONG") != NULL;
    struct trace trace;
    struct set set;
    const struct tracer_act act = {
        .enter = enter, .run = scene->act, .then = walk_on, .argument = &set, .memory = memory};
    size_t noted, others, i;

    build(&set, scene);
    record(&set, &trace, &act);
    noted = trace_draw(trace.points, trace.count, all ? SIZE_MAX : NOTED_SOME, &random);
    others = trace_draw(trace.others, trace.other_count, all ? OTHERS_MANY : OTHERS_SOME, &random);
    for (i = 0; i < noted; i++)
        play_point(&set, &act, &trace.points[i]);
    for (i = 0; i < others; i++)
        play_point(&set, &act, &trace.others[i]);
    printf("  %-40s %6u instructions %5zu stops: %4u empty %4u not %4u stalled\n", scene->name,
           trace.steps, noted + others, set.empty, set.held, set.stalled);
    fflush(stdout);
    trace_free(&trace);
    tear_down(&set);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("interleavings with a seal");
    TCase *cases = tcase_create("interleavings with a seal");

    (void)argc;
    crash_bind_now(argv);
    if (!tracer_can())
        return 77;
    tcase_set_timeout(cases, crash_time_limit());
    tcase_add_loop_test(cases, no_allocation_is_missed_by_a_seal_wherever_one_is_stopped, 0,
                        (int)(sizeof scenes / sizeof scenes[0]));
    suite_add_tcase(suite, cases);
    return test_run(suite);
}
