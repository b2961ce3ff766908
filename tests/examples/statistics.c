/* SPDX-License-Identifier: MIT
 *
 * statistics: what a pool counts, always, and how to read it.
 *
 * 1. A load that rises and falls, sampled and drawn; its peak.
 * 2. Two processes at work, told apart by their sessions.
 * 3. Allocations that fail or wait, and slots that come back from a killed process.
 * 4. The three forms of a report, for people, for a log, and for programs.
 * 5. A reset, which begins the counts anew and leaves the slots alone.
 */
#include "example.h"

#include <inttypes.h>
#include <math.h>

#define CAPACITY 1000
#define STEPS 60
#define CHILD_ALLOCATES 100
#define CHILD_FREES 40

static fastalloc_pool *pool;
static fastalloc_handle held[CAPACITY];
static size_t count;

static fastalloc_stats stats_of_pool(void)
{
    fastalloc_stats stats = {.struct_size = sizeof stats};

    ok(fastalloc_pool_stats(pool, &stats));
    return stats;
}

static void hold(size_t wanted)
{
    while (count < wanted) {
        ok(fastalloc_alloc(pool, &held[count], NULL));
        count++;
    }
    while (count > wanted)
        ok(fastalloc_free(pool, held[--count]));
}

static void rise_and_fall(void)
{
    fastalloc_stats stats;
    size_t usage[STEPS];
    int step;

    for (step = 0; step < STEPS; step++) {
        double tide = sin(step * 2 * M_PI / 20) * (step + 1) / STEPS;

        hold((size_t)lround(CAPACITY / 2.0 * (1 + 0.9 * tide)));
        stats = stats_of_pool();
        expect(stats.current_usage == count);
        usage[step] = stats.current_usage;
    }
    hold(300);
    stats = stats_of_pool();
    example_draw("in use", usage, STEPS, CAPACITY);
    printf("peak %" PRIu64 " (%.1f %%), now %" PRIu64 "; %.1f %% from the thread's cache\n\n",
           stats.peak_usage, stats.peak_utilization_rate, stats.current_usage,
           stats.cache_rate * 100);
    expect(stats.total_allocations == stats.total_deallocations + 300);
    expect(stats.peak_usage > 800 && stats.peak_usage <= CAPACITY);
}

/* -------------------------------------------------------------------- two processes */

/* Allocates, frees some, says who it is, and waits for its end. */
static _Noreturn void child(int tell)
{
    fastalloc_handle handles[CHILD_ALLOCATES];
    uint32_t session;
    int i;

    for (i = 0; i < CHILD_ALLOCATES; i++)
        ok(fastalloc_alloc(pool, &handles[i], NULL));
    for (i = 0; i < CHILD_FREES; i++)
        ok(fastalloc_free(pool, handles[i]));
    session = fastalloc_pool_session(pool);
    expect(write(tell, &session, sizeof session) == sizeof session);
    for (;;)
        pause();
}

static void show_session(const char *whose, uint32_t session, uint64_t allocations, uint64_t frees)
{
    fastalloc_stats stats = {.struct_size = sizeof stats};

    ok(fastalloc_session_stats(pool, session, &stats));
    printf("%s: allocated %" PRIu64 ", freed %" PRIu64 ", has %" PRIu64 "\n", whose,
           stats.total_allocations, stats.total_deallocations, stats.current_usage);
    expect(stats.session == session && stats.total_allocations == allocations);
    expect(stats.total_deallocations == frees && stats.current_usage == allocations - frees);
}

static pid_t show_two_processes(void)
{
    fastalloc_stats before = stats_of_pool(), after;
    uint32_t session;
    int ends[2];
    pid_t other;

    expect(pipe(ends) == 0);
    other = example_fork();
    if (other == 0)
        child(ends[1]);
    close(ends[1]);
    expect(read(ends[0], &session, sizeof session) == sizeof session);
    close(ends[0]);
    show_session("this process ", fastalloc_pool_session(pool), before.total_allocations,
                 before.total_deallocations);
    show_session("the other one", session, CHILD_ALLOCATES, CHILD_FREES);
    after = stats_of_pool();
    expect(after.total_allocations == before.total_allocations + CHILD_ALLOCATES);
    expect(after.current_usage == before.current_usage + CHILD_ALLOCATES - CHILD_FREES);
    return other;
}

/* ------------------------------------------------------------------ failures, deaths */

static void fail_and_wait(pid_t other)
{
    fastalloc_handle handle;
    fastalloc_stats stats;

    hold(CAPACITY - (CHILD_ALLOCATES - CHILD_FREES));
    expect(fastalloc_alloc(pool, &handle, NULL) == FASTALLOC_E_EXHAUSTED);
    expect(fastalloc_alloc_wait(pool, &handle, NULL, fastalloc_deadline(20)) ==
           FASTALLOC_E_TIMEOUT);
    stats = stats_of_pool();
    printf("\nfull: %" PRIu64 " failures, one of them after waiting (%" PRIu64 ")\n",
           stats.allocation_failures, stats.waits);
    expect(stats.allocation_failures == 2 && stats.waits == 1 && stats.hit_rate < 1);
    expect(stats.peak_usage == CAPACITY && stats.available == 0);

    example_kill(other); /* with what it has */
    hold(CAPACITY);      /* and here it is */
    stats = stats_of_pool();
    printf("a process was killed: %" PRIu64 " slots reclaimed from it\n", stats.reclaimed);
    expect(stats.reclaimed == CHILD_ALLOCATES - CHILD_FREES);
    expect(stats.total_allocations - stats.total_deallocations - stats.reclaimed == CAPACITY);
    hold(300);
}

/* ---------------------------------------------------------------------------- reports */

static void report(const char *title, uint32_t form)
{
    fastalloc_stats stats = stats_of_pool();
    char text[4096];
    int length = fastalloc_stats_report(&stats, form, text, sizeof text);

    expect(length > 0 && (size_t)length < sizeof text);
    printf("\n%s:\n%s%s", title, text, text[length - 1] == '\n' ? "" : "\n");
}

int main(void)
{
    fastalloc_pool_config config;
    fastalloc_stats stats;

    fastalloc_pool_config_init(&config);
    config.name = "measured";
    config.object_size = 256;
    config.capacity = CAPACITY;
    ok(fastalloc_pool_create_local(&config, &pool));

    rise_and_fall();
    fail_and_wait(show_two_processes());
    report("for people", FASTALLOC_REPORT_TEXT);
    report("for a log", FASTALLOC_REPORT_LINE);
    report("for programs", FASTALLOC_REPORT_PAIRS);

    ok(fastalloc_pool_stats_reset(pool));
    report("after a reset", FASTALLOC_REPORT_LINE);
    stats = stats_of_pool();
    expect(stats.total_allocations == 0 && stats.total_deallocations == 0);
    expect(stats.allocation_failures == 0 && stats.hit_rate == 1);
    expect(stats.current_usage == 300 && stats.peak_usage == 300);
    hold(0);
    ok(fastalloc_pool_close(pool));
    return 0;
}
