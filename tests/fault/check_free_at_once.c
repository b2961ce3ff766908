/* SPDX-License-Identifier: MIT
 *
 * A free by the client library, stopped between any two of its instructions while another
 * process does something with the same slot, and then gone on with: in strict pools, and in those
 * with functions, which run once.
 *
 * The walker is a child that is stepped; the other one, and who counts in the end, are children
 * too, since the parent's own caches are not put back with the segment.
 */
#include "crash.h"

#include "client/pool.h"
#include "shm/survey.h"
#include "tests/support/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 300, NOTED_SOME = 40, OTHERS_SOME = 60, OTHERS_MANY = 2000 };

/* Shared by all of them. */
struct stage {
    fastalloc_pool *pool;
    fastalloc_handle handle, sibling; /* the walker's slots */
    int walkers, others;              /* what they were told */
    unsigned released;                /* on_release's calls for the handle */
    unsigned wrong;
    char text[200];
    size_t size; /* of the segment, without the objects */
    void *copy;
};

struct scene {
    const char *name;
    uint32_t features;
    bool hooked;
    void (*other)(struct stage *);
};

static struct stage *stage;

static void wrong(const char *what, int number)
{
    if (!stage->wrong++)
        snprintf(stage->text, sizeof stage->text, "%s (%d)", what, number);
}

/* -------------------------------------------------------------- who does what */

static void count_release(fastalloc_pool *pool, fastalloc_handle handle, void *object,
                          void *argument)
{
    (void)pool, (void)object, (void)argument;
    if (handle == stage->handle)
        stage->released++;
}

static void enter(void *argument)
{
    fastalloc_handle handles[6];

    (void)argument;
    if (fastalloc_alloc_batch(stage->pool, 6, handles, NULL) ||
        fastalloc_free(stage->pool, handles[5]))
        wrong("the walker cannot begin", 0);
    stage->handle = handles[0];
    stage->sibling = handles[1];
}

static void walk(void *argument)
{
    (void)argument;
    stage->walkers = fastalloc_free(stage->pool, stage->handle);
}

static void free_too(struct stage *here)
{
    here->others = fastalloc_free(here->pool, here->handle);
}

static void free_too_and_alloc(struct stage *here)
{
    fastalloc_handle got[20];

    free_too(here);
    fastalloc_alloc_batch(here->pool, 20, got, NULL);
    fastalloc_free_batch(here->pool, 20, got, NULL);
}

static void adopt_it(struct stage *here)
{
    here->others = fastalloc_adopt(here->pool, here->handle);
}

static void adopt_and_share(struct stage *here)
{
    here->others = fastalloc_adopt(here->pool, here->handle);
    if (!here->others)
        here->others = fastalloc_share(here->pool, here->handle);
}

/* ------------------------------------------------------------------- judging */

static bool is_told(int error)
{
    return error == FASTALLOC_E_STALE || error == FASTALLOC_E_DOUBLE_FREE;
}

static void judge_results(const struct scene *scene)
{
    int freed = (stage->walkers == 0) + 0;

    if (scene->other == free_too || scene->other == free_too_and_alloc) {
        freed += stage->others == 0;
        if (freed != 1)
            wrong("so many have freed it", freed);
        if (!is_told(stage->walkers ? stage->walkers : stage->others))
            wrong("the loser was told something else", stage->walkers);
    } else if (scene->other == adopt_it) {
        if (stage->walkers || (stage->others && stage->others != FASTALLOC_E_STALE))
            wrong("the adopter's free, or adoption, failed", stage->walkers);
    } else if (stage->walkers && stage->walkers != FASTALLOC_E_SHARING) {
        wrong("freeing what another has shared says", stage->walkers);
    }
    if (scene->hooked && stage->released != (unsigned)freed)
        wrong("on_release ran so often", (int)stage->released);
}

/* The walker lives, and has its sibling and three more; the other is gone. */
static void count_all(void)
{
    fastalloc_handle handle;
    int drained = 0, error;

    while ((error = fastalloc_alloc(stage->pool, &handle, NULL)) == 0)
        drained++;
    if (error != FASTALLOC_E_EXHAUSTED || drained != SLOTS - 4)
        wrong("so many slots are to be had", drained);
    if (fastalloc_get(stage->pool, stage->handle))
        wrong("the handle is good still", 0);
    if (!fastalloc_get(stage->pool, stage->sibling))
        wrong("another slot of the walker's is gone", 0);
}

static void in_child(void (*act)(void))
{
    pid_t child = fork();
    int status = 0;

    TEST_REQUIRE(child >= 0, "no child");
    if (child == 0) {
        act();
        _exit(0);
    }
    TEST_REQUIRE(waitpid(child, &status, 0) == child && status == 0, "a child ended with 0x%x",
                 status);
}

/* ------------------------------------------------------------------- playing */

static const struct scene *playing;

static void do_other(void)
{
    playing->other(stage);
}

static const void *memory(void *argument, size_t *size)
{
    (void)argument;
    *size = stage->size;
    return stage->pool->segment.base;
}

static void restore(void)
{
    memcpy(stage->pool->segment.base, stage->copy, stage->size);
    stage->released = stage->wrong = 0;
    stage->walkers = stage->others = 1234;
}

static void play_point(const struct tracer_act *act, const struct trace *trace,
                       const struct trace_point *point)
{
    struct tracee walker;
    char text[200];

    restore();
    tracer_reach(&walker, act, point);
    in_child(do_other);
    tracer_finish(&walker);
    judge_results(playing);
    if (!stage->wrong)
        in_child(count_all);
    tracer_kill(&walker);
    trace_describe(trace, point, text, sizeof text);
    TEST_REQUIRE(!stage->wrong, "%s, stopped at %s: %s", playing->name, text, stage->text);
}

static void build(const struct scene *scene)
{
    fastalloc_pool_config config;

    stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    TEST_REQUIRE(stage != MAP_FAILED, "no memory");
    playing = scene;
    fastalloc_pool_config_init(&config);
    config.object_size = 8;
    config.capacity = SLOTS;
    config.max_threads = 4;
    config.max_sessions = 6;
    config.features = scene->features;
    config.on_release = scene->hooked ? count_release : NULL;
    TEST_REQUIRE(fastalloc_pool_create_local(&config, &stage->pool) == 0, "%s",
                 fastalloc_last_error());
    TEST_REQUIRE(stage->pool->segment.geometry.caches, "a pool without caches");
    stage->size = stage->pool->segment.geometry.guard_at;
    stage->copy = malloc(stage->size);
    TEST_REQUIRE(stage->copy, "no memory");
    memcpy(stage->copy, stage->pool->segment.base, stage->size);
}

static const struct scene scenes[] = {
    {"strict: both free", FASTALLOC_STRICT, false, free_too},
    {"strict: both free, the other allocates", FASTALLOC_STRICT, false, free_too_and_alloc},
    {"strict: the other adopts", FASTALLOC_STRICT, false, adopt_it},
    {"strict: the other adopts and shares", FASTALLOC_STRICT | FASTALLOC_SHARING, false,
     adopt_and_share},
    {"on_release: both free", 0, true, free_too},
    {"on_release: both free, the other allocates", 0, true, free_too_and_alloc},
    {"on_release: the other adopts", 0, true, adopt_it},
    {"zero on free: both free", FASTALLOC_ZERO_ON_FREE, true, free_too},
};

START_TEST(one_frees_wherever_the_other_is_stopped)
{
    const struct tracer_act act = {.enter = enter, .run = walk, .memory = memory};
    bool all = getenv("FASTALLOC_TEST_LONG") != NULL;
    size_t noted, others, i;
    struct trace trace;
    uint64_t random;

    build(&scenes[_i]);
    random = test_seed(playing->name);
    restore();
    tracer_record(&trace, &act);
    noted = trace_draw(trace.points, trace.count, all ? SIZE_MAX : NOTED_SOME, &random);
    others = trace_draw(trace.others, trace.other_count, all ? OTHERS_MANY : OTHERS_SOME, &random);
    for (i = 0; i < noted; i++)
        play_point(&act, &trace, &trace.points[i]);
    for (i = 0; i < others; i++)
        play_point(&act, &trace, &trace.others[i]);
    printf("  %-50s %6u instructions %6zu noted %6zu stops\n", playing->name, trace.steps,
           trace.count, noted + others);
    fflush(stdout);
    trace_free(&trace);
    fastalloc_pool_close(stage->pool);
    free(stage->copy);
    munmap(stage, sizeof *stage);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("free at once");
    TCase *cases = tcase_create("free at once");

    (void)argc;
    crash_bind_now(argv);
    if (!tracer_can())
        return 77;
    tcase_set_timeout(cases, crash_time_limit());
    tcase_add_loop_test(cases, one_frees_wherever_the_other_is_stopped, 0,
                        (int)(sizeof scenes / sizeof scenes[0]));
    suite_add_tcase(suite, cases);
    return test_run(suite);
}
