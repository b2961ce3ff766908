/* SPDX-License-Identifier: MIT
 *
 * family: see family.h.
 *
 * The parent attaches, fills its pool, and does nothing more: before each death its segment
 * is put back as it was, byte for byte.  Everything else is done in children, each a session of its
 * own by its first call.
 */
#include "family.h"
#include "tallied.h"

#include "client/pool.h"
#include "shm/check.h"
#include "shm/survey.h"
#include "tests/support/pool.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---------------------------------------------------------------- the survivor */

static void check(const struct family *family, struct crash_verdict *verdict, const char *when)
{
    struct check_report report;
    size_t i;

    TEST_REQUIRE(check_confirm(&family->pool->segment, 1, 0, &report) == 0, "no memory");
    for (i = 0; i < report.count; i++)
        crash_find(verdict, "%s: %s", when, report.findings[i].text);
}

/* The parent's slots are the parent's, with what it wrote into them. */
static void check_parents(const struct family *family, struct crash_verdict *verdict)
{
    const fastalloc_handle *object;
    size_t i;

    for (i = 0; i < family->held; i++) {
        object = fastalloc_get(family->pool, family->parents[i]);
        if (!object || *object != family->parents[i])
            crash_find(verdict, "the parent's slot %zu is not what it was", i);
    }
}

static void count(struct family *family, uint64_t held, struct crash_verdict *verdict)
{
    static fastalloc_handle handles[FAMILY_HANDLES];
    fastalloc_pool_info info = {.struct_size = sizeof info};
    size_t drained = 0, i;
    uint64_t *object;
    int error = 0;

    while (drained < sizeof handles / sizeof *handles) {
        error = fastalloc_alloc(family->pool, &handles[drained], (void **)(void *)&object);
        if (error)
            break;
        *object = ++drained;
    }
    if (error != FASTALLOC_E_EXHAUSTED && error != FASTALLOC_E_MAX_CAPACITY)
        crash_find(verdict, "after %zu slots: %s", drained, fastalloc_last_error());
    fastalloc_pool_get_info(family->pool, &info);
    if (drained + held < info.capacity)
        verdict->lost += info.capacity - drained - held;
    for (i = 0; i < drained; i++) {
        object = fastalloc_get(family->pool, handles[i]);
        verdict->doubled += !object || *object != i + 1;
    }
    check_parents(family, verdict);
    if (fastalloc_free_batch(family->pool, drained, handles, NULL))
        crash_find(verdict, "freeing: %s", fastalloc_last_error());
    check(family, verdict, "with everything freed");
}

static void judge(void *argument, struct crash_verdict *verdict)
{
    struct family *family = argument;
    struct survey survey;
    uint64_t held;

    /* The first call attaches, and that sweeps. */
    if (!fastalloc_pool_session(family->pool)) {
        crash_find(verdict, "the survivor cannot attach: %s", fastalloc_last_error());
        return;
    }
    check(family, verdict, "after the sweep");
    tallied_judge(&family->pool->segment, family->gap, verdict);
    if (family->operation->survive)
        family->operation->survive(family, verdict);
    survey_slots(&family->pool->segment, &survey, NULL);
    held = survey.live + survey.anyone + survey.shared + survey.quarantined;
    if (survey.live + survey.shared < family->held ||
        survey.live + survey.shared > family->held + family->operation->may_keep)
        crash_find(verdict, "%llu slots have an owner, not %zu",
                   (unsigned long long)(survey.live + survey.shared), family->held);
    count(family, held, verdict);
}

/* --------------------------------------------------------------------- playing */

static void set(void *argument, unsigned variant)
{
    struct family *family = argument;

    memcpy(family->pool->segment.base, family->copy, family->size);
    family->variant = variant;
    family->held = family->held_at_first;
}

static void enter(void *argument)
{
    struct family *family = argument;

    if (family->operation->enter)
        family->operation->enter(family);
}

static void act(void *argument)
{
    struct family *family = argument;

    family->operation->act(family);
}

/* The other is gone when the doomed dies, and is swept with it. */
static void meet(void *argument)
{
    struct family *family = argument;
    int status;
    pid_t child;

    if (!family->operation->meet)
        return;
    fflush(NULL);
    child = fork();
    TEST_REQUIRE(child >= 0, "fork fails");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        family->operation->meet(family);
        _exit(0);
    }
    TEST_REQUIRE(waitpid(child, &status, 0) == child && status == 0,
                 "who met the doomed ended with 0x%x", status);
}

/* All of it but the guard page, which is in front of the objects, and nobody reads. */
static const void *memory(void *argument, size_t *size)
{
    struct family *family = argument;

    *size = family->pool->segment.geometry.guard_at;
    return family->pool->segment.base;
}

void family_hold(struct family *family, size_t count)
{
    fastalloc_handle *object;

    while (count--) {
        TEST_REQUIRE(fastalloc_alloc(family->pool, &family->parents[family->held],
                                     (void **)(void *)&object) == 0,
                     "%s", fastalloc_last_error());
        *object = family->parents[family->held++];
    }
}

static struct family *build(const struct family_operation *operation)
{
    struct family *family =
        mmap(NULL, sizeof *family, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fastalloc_pool_config config;

    TEST_REQUIRE(family != MAP_FAILED, "no memory");
    family->operation = operation;
    fastalloc_pool_config_init(&config);
    config.object_size = 8;
    config.capacity = FAMILY_SLOTS;
    config.max_threads = 4;
    config.max_sessions = 6;
    if (operation->shape)
        operation->shape(&config);
    TEST_REQUIRE(fastalloc_pool_create_local(&config, &family->pool) == 0, "%s",
                 fastalloc_last_error());
    family_hold(family, FAMILY_HELD);
    if (operation->prepare)
        operation->prepare(family);
    family->held_at_first = family->held;
    family->gap = tallied_gap(&family->pool->segment);
    family->size = family->pool->segment.geometry.guard_at;
    family->copy = malloc(family->size);
    TEST_REQUIRE(family->copy, "no memory");
    memcpy(family->copy, family->pool->segment.base, family->size);
    return family;
}

void family_play(const struct family_operation *operation)
{
    struct family *family = build(operation);
    const struct crash_scene scene = {
        .name = operation->name,
        .act = {.enter = enter, .run = act, .argument = family, .memory = memory},
        .variants = 1,
        .set = set,
        .meet = meet,
        .judge = judge,
    };
    unsigned broken;

    broken = crash_play(&scene);
    fastalloc_pool_close(family->pool);
    free(family->copy);
    munmap(family, sizeof *family);
    crash_require_none(operation->name, broken);
}
