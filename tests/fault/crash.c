/* SPDX-License-Identifier: MIT
 *
 * crash: see crash.h.
 */
#include "crash.h"

#include "tests/support/pool.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Of each scene: points that were noted, and others. */
#define NOTED_SOME 40u
#define OTHERS_SOME 10u
#define OTHERS_MANY 1000u
#define FAILURES_MAX 3u

struct play {
    const struct crash_scene *scene;
    struct trace trace;
    struct crash_verdict *verdict; /* shared */
    uint64_t lost, doubled;
    unsigned killed, missed, failed;
    uint64_t seed;
};

/* ------------------------------------------ an act that is the same each time */

/* Names and nonces come from here, and what is done with them is as long as they are: so
 * they are the same in each run of an act, and others in the judge's. */
#define OF_THE_ACT UINT64_C(1)
#define OF_THE_JUDGE UINT64_C(2)

static uint64_t numbers;

ssize_t getrandom(void *bytes, size_t size, unsigned flags)
{
    unsigned char *next = bytes;
    size_t i;

    (void)flags;
    for (i = 0; i < size; i++) {
        numbers = numbers * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        next[i] = (unsigned char)(numbers >> 56);
    }
    return (ssize_t)size;
}

/* Traced, each instruction costs much: who measures how long something took is not to find
 * it too long at one time and not at another. */
int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock != CLOCK_THREAD_CPUTIME_ID)
        return (int)syscall(SYS_clock_gettime, clock, time);
    memset(time, 0, sizeof *time);
    return 0;
}

static void set_scene(const struct crash_scene *scene, unsigned variant)
{
    numbers = OF_THE_ACT;
    scene->set(scene->act.argument, variant);
}

/* ------------------------------------------------------------------- deaths */

static bool is_long(void)
{
    return getenv("FASTALLOC_TEST_LONG") != NULL;
}

double crash_time_limit(void)
{
    return is_long() ? 1200 : 60;
}

void crash_find(struct crash_verdict *verdict, const char *format, ...)
{
    va_list arguments;

    if (verdict->findings++)
        return;
    va_start(arguments, format);
    vsnprintf(verdict->text, sizeof verdict->text, format, arguments);
    va_end(arguments);
}

/* The survivors, in a process of their own: the next death finds this one as it was. */
static void judge(struct play *play)
{
    struct crash_verdict *verdict = play->verdict;
    int status;
    pid_t child;

    memset(verdict, 0, sizeof *verdict);
    fflush(NULL);
    child = fork();
    TEST_REQUIRE(child >= 0, "fork fails");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        numbers = OF_THE_JUDGE;
        play->scene->judge(play->scene->act.argument, verdict);
        _exit(0);
    }
    TEST_REQUIRE(waitpid(child, &status, 0) == child, "waitpid fails");
    if (status)
        crash_find(verdict, "the survivors ended with status 0x%x", status);
}

static void report(struct play *play, const struct trace_point *point, unsigned variant)
{
    char place[200];

    trace_describe(&play->trace, point, place, sizeof place);
    fprintf(stderr,
            "  %s, variant %u, killed at %s:\n    %llu lost, %llu doubled, %llu findings: %s\n"
            "    again: FASTALLOC_TEST_SEED=%llu\n",
            play->scene->name, variant, place, (unsigned long long)play->verdict->lost,
            (unsigned long long)play->verdict->doubled, (unsigned long long)play->verdict->findings,
            play->verdict->text, (unsigned long long)play->seed);
}

static void die_once(struct play *play, const struct trace_point *point, unsigned variant)
{
    const struct crash_scene *scene = play->scene;
    struct tracee tracee;

    set_scene(scene, variant);
    play->missed += !tracer_reach(&tracee, &scene->act, point);
    if (scene->meet)
        scene->meet(scene->act.argument);
    tracer_kill(&tracee);
    play->killed++;
    judge(play);
    play->lost += play->verdict->lost;
    play->doubled += play->verdict->doubled;
    if (!play->verdict->lost && !play->verdict->doubled && !play->verdict->findings)
        return;
    report(play, point, variant);
    play->failed++;
}

static void die_at(struct play *play, const struct trace_point *points, size_t count)
{
    unsigned variant;
    size_t i;

    for (i = 0; i < count; i++)
        for (variant = 0; variant < play->scene->variants; variant++)
            if (play->failed < FAILURES_MAX)
                die_once(play, &points[i], variant);
}

void crash_bind_now(char **argv)
{
    if (getenv("LD_BIND_NOW"))
        return;
    setenv("LD_BIND_NOW", "1", 1);
    execv("/proc/self/exe", argv);
}

void crash_print_head(const char *what)
{
    printf("%-48s %12s %8s %8s %8s %8s %6s %8s %8s\n", what, "instructions", "noted", "sampled",
           "killed", "missed", "lost", "doubled", "seconds");
    fflush(stdout);
}

void crash_require_none(const char *name, unsigned broken)
{
    TEST_REQUIRE(!broken, "%s: %u deaths left something broken, see above", name, broken);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

unsigned crash_play(const struct crash_scene *scene)
{
    struct play play = {.scene = scene, .seed = test_seed(scene->name)};
    uint64_t random = play.seed;
    size_t noted, others;
    double begun = now();

    play.verdict =
        mmap(NULL, sizeof *play.verdict, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    TEST_REQUIRE(play.verdict != MAP_FAILED, "no memory");
    set_scene(scene, 0);
    tracer_record(&play.trace, &scene->act);
    noted = is_long() ? play.trace.count
                      : trace_draw(play.trace.points, play.trace.count, NOTED_SOME, &random);
    others = trace_draw(play.trace.others, play.trace.other_count,
                        is_long() ? OTHERS_MANY : OTHERS_SOME, &random);
    die_at(&play, play.trace.points, noted);
    die_at(&play, play.trace.others, others);
    printf("  %-46s %12u %8zu %8zu %8u %8u %6llu %8llu %8.1f\n", scene->name, play.trace.steps,
           play.trace.count, others, play.killed, play.missed, (unsigned long long)play.lost,
           (unsigned long long)play.doubled, now() - begun);
    fflush(stdout);
    trace_free(&play.trace);
    munmap(play.verdict, sizeof *play.verdict);
    /* The clock can make the way a little different. */
    if (play.missed * 10 > play.killed) {
        fprintf(stderr, "  %s: %u of %u points were not found again\n", scene->name, play.missed,
                play.killed);
        play.failed++;
    }
    return play.failed;
}
