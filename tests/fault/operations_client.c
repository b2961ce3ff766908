/* SPDX-License-Identifier: MIT
 *
 * operations_client: crash points of the client library.
 */
#include "family.h"

#include "client/pool.h"
#include "shm/wait.h"
#include "tests/support/pool.h"

#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 50 };

static void *exit_at_once(void *argument)
{
    pthread_exit(argument);
}

/* A thread's first exit loads a library, which is to be there when the doomed begins. */
static void prepare_exits(struct family *family)
{
    pthread_t thread;

    TEST_REQUIRE(pthread_create(&thread, NULL, exit_at_once, family) == 0, "no thread");
    pthread_join(thread, NULL);
}

/* ------------------------------------------- of the doomed, before it is watched */

static void enter_with_some(void *argument)
{
    struct family *family = argument;

    family->count = 5;
    TEST_REQUIRE(fastalloc_alloc_batch(family->pool, family->count, family->handles, NULL) == 0,
                 "%s", fastalloc_last_error());
    TEST_REQUIRE(fastalloc_free(family->pool, family->handles[--family->count]) == 0, "%s",
                 fastalloc_last_error());
}

static void enter_with_many(void *argument)
{
    struct family *family = argument;

    family->count = BATCH;
    TEST_REQUIRE(fastalloc_alloc_batch(family->pool, family->count, family->handles, NULL) == 0,
                 "%s", fastalloc_last_error());
}

/* ----------------------------------------------------------------------- acts */

static void act_first_use(void *argument)
{
    struct family *family = argument;

    fastalloc_alloc(family->pool, &family->handles[0], NULL);
}

static void act_alloc_batch(void *argument)
{
    struct family *family = argument;

    fastalloc_alloc_batch(family->pool, BATCH, family->handles + family->count, NULL);
}

static void act_free_batch(void *argument)
{
    struct family *family = argument;

    fastalloc_free_batch(family->pool, family->count, family->handles, NULL);
}

/* More than there are. */
static void act_fail_batch(void *argument)
{
    struct family *family = argument;

    fastalloc_alloc_batch(family->pool, BATCH, family->handles + family->count, NULL);
}

static void act_reset(void *argument)
{
    struct family *family = argument;

    fastalloc_pool_stats_reset(family->pool);
}

/* The main thread's end is the thread's end, and then the process's. */
static void act_thread_exit(void *argument)
{
    (void)argument;
    pthread_exit(NULL);
}

static void act_flush(void *argument)
{
    struct family *family = argument;

    fastalloc_thread_flush(family->pool);
}

static void act_close(void *argument)
{
    struct family *family = argument;

    fastalloc_pool_close(family->pool);
}

/* ------------------------------------------------------- whose a slot is */

static void shape_notes(fastalloc_pool_config *config)
{
    config->features = FASTALLOC_DEADLINES;
}

static void shape_sharing(fastalloc_pool_config *config)
{
    config->features = FASTALLOC_SHARING;
}

/* The parent leaves one more to anyone. */
static void prepare_left(struct family *family)
{
    family_hold(family, 1);
    TEST_REQUIRE(
        fastalloc_leave(family->pool, family->parents[--family->held], FASTALLOC_FOREVER) == 0,
        "%s", fastalloc_last_error());
}

static void prepare_shared(struct family *family)
{
    TEST_REQUIRE(fastalloc_share(family->pool, family->parents[0]) == 0, "%s",
                 fastalloc_last_error());
}

static void enter_sharing(void *argument)
{
    struct family *family = argument;

    enter_with_some(family);
    TEST_REQUIRE(fastalloc_share(family->pool, family->handles[0]) == 0, "%s",
                 fastalloc_last_error());
}

static void enter_holding_too(void *argument)
{
    struct family *family = argument;

    enter_with_some(family);
    TEST_REQUIRE(fastalloc_ref(family->pool, family->parents[0]) == 0, "%s",
                 fastalloc_last_error());
}

static void act_adopt(void *argument)
{
    struct family *family = argument;

    fastalloc_adopt(family->pool, family->parents[family->held]);
}

/* A slot of the parent's that it takes for lost. */
static void prepare_given_up(struct family *family)
{
    family_hold(family, 1);
    family->held--;
}

static void act_free_anothers(void *argument)
{
    struct family *family = argument;

    fastalloc_free(family->pool, family->parents[family->held]);
}

static void act_give(void *argument)
{
    struct family *family = argument;

    fastalloc_give(family->pool, family->handles[0], 1);
}

static void act_leave(void *argument)
{
    struct family *family = argument;

    fastalloc_leave(family->pool, family->handles[0], FASTALLOC_FOREVER);
}

static void act_leave_for_a_time(void *argument)
{
    struct family *family = argument;

    fastalloc_leave(family->pool, family->handles[0], fastalloc_deadline(3600000));
}

static void act_share(void *argument)
{
    struct family *family = argument;

    fastalloc_share(family->pool, family->handles[0]);
}

static void act_ref(void *argument)
{
    struct family *family = argument;

    fastalloc_ref(family->pool, family->parents[0]);
}

static void act_unref(void *argument)
{
    struct family *family = argument;

    fastalloc_unref(family->pool, family->parents[0]);
}

static void act_unref_last(void *argument)
{
    struct family *family = argument;

    fastalloc_unref(family->pool, family->handles[0]);
}

/* What may be left to anyone can be adopted, and then is nobody else's. */
static void survive_left(struct family *family, struct crash_verdict *verdict)
{
    fastalloc_handle handles[] = {family->handles[0], family->parents[family->held]};
    unsigned i;

    for (i = 0; i < 2; i++)
        if (handles[i] && fastalloc_adopt(family->pool, handles[i]) == 0 &&
            fastalloc_free(family->pool, handles[i]))
            crash_find(verdict, "what was adopted is not mine: %s", fastalloc_last_error());
}

/* Adopts what it can of the doomed's, and frees that. */
static void adopt_and_free_all(struct family *family)
{
    size_t i;

    for (i = 0; i < family->count; i++)
        if (fastalloc_adopt(family->pool, family->handles[i]) == 0)
            fastalloc_free(family->pool, family->handles[i]);
}

/* ------------------------------------------------------- others' deaths */

static void shape_quarantine(fastalloc_pool_config *config)
{
    config->on_death = FASTALLOC_QUARANTINE;
    config->features = FASTALLOC_SHARING;
}

static void shape_heir(fastalloc_pool_config *config)
{
    config->on_death = FASTALLOC_HEIR;
}

/* A child has died with slots, and with a hold on one of its parent's where that can be. */
static void prepare_dead(struct family *family)
{
    pid_t child;

    if (family->operation->shape)
        fastalloc_share(family->pool, family->parents[0]);
    if (family->operation->may_keep)
        fastalloc_pool_become_heir(family->pool);
    child = fork();
    TEST_REQUIRE(child >= 0, "fork fails");
    if (child == 0) {
        enter_with_some(family);
        fastalloc_ref(family->pool, family->parents[0]);
        _exit(0);
    }
    TEST_REQUIRE(waitpid(child, NULL, 0) == child, "waitpid fails");
}

/* The parent has left slots to anyone, for a time that is up. */
static void prepare_expired(struct family *family)
{
    unsigned i;

    family_hold(family, 30);
    for (i = 0; i < 30; i++)
        TEST_REQUIRE(fastalloc_leave(family->pool, family->parents[--family->held],
                                     fastalloc_deadline(1)) == 0,
                     "%s", fastalloc_last_error());
    nanosleep(&(struct timespec){.tv_nsec = 250000000}, NULL);
}

/* ---------------------------------------------------------------- waiting */

static void prepare_full(struct family *family)
{
    family_hold(family, FAMILY_SLOTS - FAMILY_HELD);
}

static void prepare_almost_full(struct family *family)
{
    family_hold(family, FAMILY_SLOTS - FAMILY_HELD - 12);
}

static void enter_attached(void *argument)
{
    struct family *family = argument;

    TEST_REQUIRE(fastalloc_pool_session(family->pool), "%s", fastalloc_last_error());
}

static void act_wait(void *argument)
{
    struct family *family = argument;

    fastalloc_alloc_wait(family->pool, &family->handles[0], NULL, fastalloc_deadline(2));
}

/* Frees one of the parent's while another waits: it is woken, though the dead had waited
 * too; and the next free has nobody to wake. */
static void survive_wait(struct family *family, struct crash_verdict *verdict)
{
    pid_t child = fork();
    fastalloc_handle got;
    int status = 0;

    if (child == 0) {
        if (fastalloc_alloc_wait(family->pool, &got, NULL, fastalloc_deadline(5000)))
            _exit(1);
        _exit(fastalloc_free(family->pool, got) ? 2 : 0);
    }
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    if (fastalloc_free(family->pool, family->parents[--family->held]))
        crash_find(verdict, "freeing: %s", fastalloc_last_error());
    if (child < 0 || waitpid(child, &status, 0) != child || status)
        crash_find(verdict, "who waited ended with status 0x%x", status);
    if (wait_anybody(&family->pool->segment))
        crash_find(verdict, "frees go on waking, though nobody waits");
}

/* ---------------------------------------------------------------- capacity */

static void shape_growing(fastalloc_pool_config *config)
{
    config->growth = FASTALLOC_GROWTH_LINEAR;
    config->growth_amount = FAMILY_SLOTS;
    config->max_capacity = 2 * FAMILY_SLOTS;
    config->low_water = FASTALLOC_NO_LOW_WATER;
}

static void prepare_grown(struct family *family)
{
    TEST_REQUIRE(fastalloc_pool_grow(family->pool, 2 * FAMILY_SLOTS) == 0, "%s",
                 fastalloc_last_error());
}

static void act_shrink(void *argument)
{
    struct family *family = argument;
    size_t now;

    fastalloc_pool_shrink(family->pool, FAMILY_SLOTS, &now);
}

/* ------------------------------------------------------------ small pools */

static void shape_small(fastalloc_pool_config *config)
{
    config->capacity = 100;
}

static void act_alloc(void *argument)
{
    struct family *family = argument;

    fastalloc_alloc(family->pool, &family->handles[family->count], NULL);
}

static void act_free(void *argument)
{
    struct family *family = argument;

    fastalloc_free(family->pool, family->handles[0]);
}

/* ---------------------------------------------------------------- forks */

static void act_fork_detach(void *argument)
{
    (void)argument;
    fastalloc_fork_detach();
}

const struct family_operation client_operations[] = {
    {.name = "client: attach after a fork", .act = act_first_use},
    {.name = "client: detach after a fork", .act = act_fork_detach},
    {.name = "client: alloc of a batch", .enter = enter_with_some, .act = act_alloc_batch},
    {
        .name = "client: alloc of a batch that fails",
        .prepare = prepare_almost_full,
        .enter = enter_with_some,
        .act = act_fail_batch,
    },
    {.name = "client: reset of statistics", .enter = enter_with_some, .act = act_reset},
    {.name = "client: free of a batch", .enter = enter_with_many, .act = act_free_batch},
    {
        .name = "client: free of a batch, adopted meanwhile",
        .enter = enter_with_many,
        .act = act_free_batch,
        .meet = adopt_and_free_all,
    },
    {
        .name = "client: thread exit",
        .prepare = prepare_exits,
        .enter = enter_with_some,
        .act = act_thread_exit,
    },
    {.name = "client: flush of a thread", .enter = enter_with_some, .act = act_flush},
    {.name = "client: close", .enter = enter_with_some, .act = act_close},
    {
        .name = "client: adopt of a left slot",
        .prepare = prepare_left,
        .enter = enter_with_some,
        .act = act_adopt,
        .survive = survive_left,
    },
    {
        .name = "client: adopt of another's slot",
        .prepare = prepare_given_up,
        .enter = enter_with_some,
        .act = act_adopt,
        .may_keep = 1,
    },
    {
        .name = "client: free of another's slot",
        .prepare = prepare_given_up,
        .enter = enter_with_some,
        .act = act_free_anothers,
        .may_keep = 1,
    },
    {
        .name = "client: alloc in a small pool",
        .shape = shape_small,
        .enter = enter_with_some,
        .act = act_alloc,
    },
    {
        .name = "client: free in a small pool",
        .shape = shape_small,
        .enter = enter_with_some,
        .act = act_free,
    },
    {.name = "client: give", .enter = enter_with_some, .act = act_give, .may_keep = 1},
    {
        .name = "client: leave",
        .enter = enter_with_some,
        .act = act_leave,
        .survive = survive_left,
    },
    {
        .name = "client: leave for a time",
        .shape = shape_notes,
        .enter = enter_with_some,
        .act = act_leave_for_a_time,
        .survive = survive_left,
    },
    {
        .name = "client: share",
        .shape = shape_sharing,
        .enter = enter_with_some,
        .act = act_share,
    },
    {
        .name = "client: ref",
        .shape = shape_sharing,
        .prepare = prepare_shared,
        .enter = enter_with_some,
        .act = act_ref,
    },
    {
        .name = "client: unref",
        .shape = shape_sharing,
        .prepare = prepare_shared,
        .enter = enter_holding_too,
        .act = act_unref,
    },
    {
        .name = "client: unref of the last reference",
        .shape = shape_sharing,
        .enter = enter_sharing,
        .act = act_unref_last,
    },
    {.name = "client: sweep of another", .prepare = prepare_dead, .act = act_first_use},
    {
        .name = "client: sweep of another who shared",
        .shape = shape_sharing,
        .prepare = prepare_dead,
        .act = act_first_use,
    },
    {
        .name = "client: sweep of another into quarantine",
        .shape = shape_quarantine,
        .prepare = prepare_dead,
        .act = act_first_use,
    },
    {
        .name = "client: sweep of another for its heir",
        .shape = shape_heir,
        .prepare = prepare_dead,
        .act = act_first_use,
        .may_keep = 8,
    },
    {
        .name = "client: attach when slots have expired",
        .shape = shape_notes,
        .prepare = prepare_expired,
        .act = act_first_use,
    },
    {
        .name = "client: wait for a slot",
        .prepare = prepare_full,
        .enter = enter_attached,
        .act = act_wait,
        .survive = survive_wait,
    },
    {
        .name = "client: alloc that makes the pool grow",
        .shape = shape_growing,
        .prepare = prepare_full,
        .enter = enter_attached,
        .act = act_first_use,
    },
    {
        .name = "client: shrink",
        .shape = shape_growing,
        .prepare = prepare_grown,
        .enter = enter_with_some,
        .act = act_shrink,
    },
    {.name = NULL},
};
