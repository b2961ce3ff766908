/* SPDX-License-Identifier: MIT
 *
 * The soak: eight processes of two threads do everything that can be done (soak.c), while
 * a process is killed every 100 ms, and every so often one is stopped for a while, or the daemon
 * is killed.  fastallocctl checks the pools all along.  At the end nothing is lost, nothing is
 * doubled, and nothing is left.
 *
 * $FASTALLOC_SOAK_SECONDS (default 5) says how long; $FASTALLOC_SOAK_SEED, which is printed,
 * repeats the choices of a run, as far as scheduling lets it.
 */
#include "api.h"
#include "soak.h"
#include "tests/support/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    BEAT_MS = 100,     /* a process is killed */
    STOP_EVERY = 7,    /* beats: one is stopped, until the next */
    DAEMON_EVERY = 13, /* the daemon is killed */
    CHECK_EVERY = 30   /* longer than the check looks for */
};

static struct soak *soak;
static struct test_daemon daemon_;
static pid_t workers[SOAK_PROCESSES];
static uint64_t seeds;

/* What this process did. */
static unsigned kills, stops, restarts, checks;

static uint64_t first_seed(void)
{
    const char *given = getenv("FASTALLOC_SOAK_SEED");

    return given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
}

static double seconds_wanted(void)
{
    const char *given = getenv("FASTALLOC_SOAK_SECONDS");

    return given ? atof(given) : 5;
}

/* ---------------------------------------------------------------- the workers */

static void start_worker(unsigned number)
{
    uint64_t seed = ++seeds * UINT64_C(0x9e3779b97f4a7c15);

    soak->sessions[number] = 0;
    workers[number] = fork();
    ck_assert_int_ge(workers[number], 0);
    if (workers[number] == 0)
        soak_work(soak, number, seed);
}

static void require_nothing_wrong(void)
{
    ck_assert_msg(!soak->wrong[0], "%s", soak->wrong);
}

static void kill_and_replace(unsigned number)
{
    int status;

    kill(workers[number], SIGKILL);
    ck_assert_int_eq(waitpid(workers[number], &status, 0), workers[number]);
    require_nothing_wrong();
    ck_assert_msg(WIFSIGNALED(status), "a worker ended by itself with status 0x%x", status);
    start_worker(number);
    kills++;
}

/* ------------------------------------------------------------------- the checks */

static pid_t check; /* the one under way, or 0 */

/* The integrity check of the live pools, beside everything else. */
static void start_check(void)
{
    check = fork();
    ck_assert_int_ge(check, 0);
    if (check)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execl(getenv("FASTALLOCCTL"), "fastallocctl", "--socket", daemon_.socket, "check", SOAK_FIXED,
          SOAK_GROWING, (char *)NULL);
    _exit(127);
}

static void finish_check(void)
{
    int status;

    if (!check)
        return;
    ck_assert_int_eq(waitpid(check, &status, 0), check);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                  "fastallocctl check of the live pools ended with status 0x%x", status);
    check = 0;
    checks++;
}

/* --------------------------------------------------------------------- the beat */

/* On the beat: a machine under load catches up. */
static void wait_until_due(struct timespec *due)
{
    due->tv_nsec += BEAT_MS * 1000000L;
    due->tv_sec += due->tv_nsec / 1000000000L;
    due->tv_nsec %= 1000000000L;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, due, NULL);
}

/* A tool that asks for a pool finds a daemon: it is left alone while a check begins. */
static void restart_daemon(void)
{
    test_daemon_kill(&daemon_);
    test_daemon_run(&daemon_);
    restarts++;
}

static void show_progress(int64_t begun)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%5.0f s: %u kills, %u stops, %u restarts, %u checks, %llu allocations ",
                (double)(api_now_us() - begun) / 1e6, kills, stops, restarts, checks,
                (unsigned long long)soak->counts[SOAK_ALLOCATED]);
}

static void one_beat(unsigned beat, uint64_t *random)
{
    static pid_t stopped;
    unsigned victim = (unsigned)(soak_random(random) % SOAK_PROCESSES);

    if (stopped)
        kill(stopped, SIGCONT);
    stopped = 0;
    kill_and_replace(victim);
    if (beat % STOP_EVERY == 0) {
        stopped = workers[(victim + 1) % SOAK_PROCESSES];
        kill(stopped, SIGSTOP);
        stops++;
    }
    if (beat % CHECK_EVERY == 0) {
        finish_check();
        start_check();
    } else if (beat % DAEMON_EVERY == 0 && beat % CHECK_EVERY > 5) {
        restart_daemon();
    }
}

/* ------------------------------------------------------------------- begin and end */

static void make_pools(void)
{
    fastalloc_pool_config config = api_config(SOAK_FIXED, 32, SOAK_SLOTS);
    fastalloc_client *client = api_connect(daemon_.socket);
    fastalloc_pool *pool;

    config.lifetime = FASTALLOC_PERSISTENT;
    config.features = FASTALLOC_SHARING | FASTALLOC_DEADLINES;
    config.max_sessions = 64;
    require_ok(fastalloc_pool_create(client, &config, &pool));
    config.name = SOAK_GROWING;
    config.features = 0;
    config.capacity = SOAK_GROWN_FROM;
    config.max_capacity = SOAK_GROWN_TO;
    config.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    config.growth_factor = 2;
    require_ok(fastalloc_pool_create(client, &config, &pool));
    fastalloc_disconnect(client);
}

/* Every slot can be had, once each; a pool that grows has its maximum in the end. */
static void drain(fastalloc_client *client, const char *name, size_t slots)
{
    fastalloc_handle *handles = calloc(slots + 1, sizeof *handles);
    fastalloc_pool *pool;
    size_t count = 0;

    ck_assert_ptr_nonnull(handles);
    require_ok(fastalloc_pool_open(client, name, NULL, &pool));
    ck_assert_msg(api_allocated_becomes(pool, 0), "%zu slots of \"%s\" stay allocated",
                  api_info(pool).allocated, name);
    while (count <= slots && fastalloc_alloc(pool, &handles[count], NULL) == 0)
        count++;
    ck_assert_msg(count == slots, "%zu of %zu slots of \"%s\" could be had: %s", count, slots, name,
                  fastalloc_last_error());
    require_ok(fastalloc_free_batch(pool, count, handles, NULL));
    require_ok(fastalloc_pool_close(pool));
    free(handles);
}

static void require_whole(void)
{
    fastalloc_client *client = api_connect(daemon_.socket);

    drain(client, SOAK_FIXED, SOAK_SLOTS);
    drain(client, SOAK_GROWING, SOAK_GROWN_TO);
    start_check();
    finish_check();
    require_ok(fastalloc_pool_destroy(client, SOAK_FIXED));
    require_ok(fastalloc_pool_destroy(client, SOAK_GROWING));
    fastalloc_disconnect(client);
}

static void begin(void)
{
    unsigned i;

    soak = mmap(NULL, sizeof *soak, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(soak, MAP_FAILED);
    test_daemon_start(&daemon_, NULL);
    strcpy(soak->socket, daemon_.socket);
    ck_assert_int_eq(pipe2(soak->channel, O_NONBLOCK | O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(soak->shared, O_NONBLOCK | O_CLOEXEC), 0);
    make_pools();
    for (i = 0; i < SOAK_PROCESSES; i++)
        start_worker(i);
}

static void finish(void)
{
    unsigned i;
    int status;

    soak->finish = 1;
    for (i = 0; i < SOAK_PROCESSES; i++)
        kill(workers[i], SIGCONT);
    for (i = 0; i < SOAK_PROCESSES; i++) {
        ck_assert_int_eq(waitpid(workers[i], &status, 0), workers[i]);
        require_nothing_wrong();
        ck_assert_msg(status == 0, "a worker ended with status 0x%x", status);
    }
    finish_check();
}

static void report(void)
{
    unsigned i;

    fprintf(stderr, "%s%u kills, %u stops, %u restarts of the daemon, %u checks in between\n",
            isatty(STDERR_FILENO) ? "\n" : "", kills, stops, restarts, checks);
    for (i = 0; i < SOAK_COUNTS; i++)
        fprintf(stderr, "%s%llu %s", i ? ", " : "  ", (unsigned long long)soak->counts[i],
                soak_count_names[i]);
    fprintf(stderr, "\n");
    /* All of it has been done. */
    for (i = 0; i < SOAK_COUNTS; i++)
        if (i != SOAK_EXHAUSTED && i != SOAK_STALLED && seconds_wanted() >= 5)
            ck_assert_msg(soak->counts[i] > 0, "nothing was %s", soak_count_names[i]);
}

START_TEST(no_slot_is_lost_or_doubled_while_processes_are_killed)
{
    uint64_t random = first_seed();
    int64_t begun = api_now_us(), end = begun + (int64_t)(seconds_wanted() * 1e6);
    struct timespec due;
    unsigned beat;

    fprintf(stderr, "FASTALLOC_SOAK_SEED=%llu\n", (unsigned long long)random);
    seeds = random |= 1;
    begin();
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (beat = 1; api_now_us() < end; beat++) {
        wait_until_due(&due);
        one_beat(beat, &random);
        show_progress(begun);
    }
    finish();
    report();
    require_whole();
    close(soak->channel[0]);
    close(soak->channel[1]);
    close(soak->shared[0]);
    close(soak->shared[1]);
    munmap(soak, sizeof *soak);
    ck_assert(test_daemon_segments_become(&daemon_, 0));
    test_daemon_stop(&daemon_);
}
END_TEST

static void nothing(void)
{
}

int main(void)
{
    const TTest *const tests[] = {
        no_slot_is_lost_or_doubled_while_processes_are_killed,
        NULL,
    };

    return api_run("soak", tests, nothing, nothing, seconds_wanted() + 60);
}
