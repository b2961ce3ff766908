/* SPDX-License-Identifier: MIT
 *
 * Many processes of two threads each allocate, pass on, adopt and free in one
 * pool, while one process is killed every 100 ms and replaced.  At the end nothing
 * is lost, nothing is doubled, and nothing is left.
 *
 * $FASTALLOC_SOAK_SECONDS (default 5) says how long; $FASTALLOC_TEST_SEED repeats
 * the choices of a run, as far as scheduling lets it.
 */
#include "tests/support/daemon.h"

#include <check.h>
#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES 8
#define THREADS 2
#define SLOTS 10000
#define HELD_MAX 400
#define KILL_EVERY_MS 100
#define CHECK_EVERY_KILLS 30 /* longer than the check looks for */
#define POOL "soak"

/* What a worker writes into each object it gets: a slot that two had at once
 * would show the other's handle. */
struct object {
    fastalloc_handle handle;
    uint64_t copies[3];
};

enum { EXIT_FINE = 0, EXIT_SETUP = 10, EXIT_DOUBLED, EXIT_ALLOC, EXIT_FREE, EXIT_ADOPT };

static int channel[2]; /* handles on their way; written and read whole */
static volatile sig_atomic_t finish;

static void on_finish(int signal)
{
    (void)signal;
    finish = 1;
}

/* --------------------------------------------------------------- a worker */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void stamp(struct object *object, fastalloc_handle handle)
{
    object->handle = handle;
    object->copies[0] = object->copies[1] = object->copies[2] = ~handle;
}

static void verify(const struct object *object, fastalloc_handle handle)
{
    if (!object || object->handle != handle || object->copies[0] != ~handle ||
        object->copies[2] != ~handle)
        _exit(EXIT_DOUBLED);
}

struct hand {
    fastalloc_pool *pool;
    uint64_t random;
    fastalloc_handle held[HELD_MAX];
    size_t count;
};

static void give_back(struct hand *hand)
{
    size_t at = next_random(&hand->random) % hand->count;
    fastalloc_handle handle = hand->held[at];

    verify(fastalloc_get(hand->pool, handle), handle);
    if (fastalloc_free(hand->pool, handle))
        _exit(EXIT_FREE);
    hand->held[at] = hand->held[--hand->count];
}

static void get_one(struct hand *hand)
{
    fastalloc_handle handle;
    void *object;
    int error = fastalloc_alloc(hand->pool, &handle, &object);

    if (error == FASTALLOC_E_EXHAUSTED || error == FASTALLOC_E_STALLED)
        return;
    if (error)
        _exit(EXIT_ALLOC);
    stamp(object, handle);
    hand->held[hand->count++] = handle;
}

static void pass_on(struct hand *hand)
{
    fastalloc_handle handle = hand->held[hand->count - 1];

    if (write(channel[1], &handle, sizeof handle) == sizeof handle)
        hand->count--;
}

static void take_over(struct hand *hand)
{
    fastalloc_handle handle;
    int error;

    if (read(channel[0], &handle, sizeof handle) != sizeof handle)
        return;
    error = fastalloc_adopt(hand->pool, handle);
    if (error == FASTALLOC_E_STALE)
        return; /* its sender was killed meanwhile */
    if (error)
        _exit(EXIT_ADOPT);
    verify(fastalloc_get(hand->pool, handle), handle);
    hand->held[hand->count++] = handle;
}

static void *work(void *argument)
{
    struct hand *hand = argument;

    while (!finish) {
        uint64_t choice = next_random(&hand->random) % 100;

        if (choice < 45 && hand->count < HELD_MAX)
            get_one(hand);
        else if (choice < 75 && hand->count)
            give_back(hand);
        else if (choice < 87 && hand->count)
            pass_on(hand);
        else if (hand->count < HELD_MAX)
            take_over(hand);
    }
    while (hand->count)
        give_back(hand);
    free(hand);
    return NULL;
}

static void worker(const char *socket, uint64_t seed)
{
    fastalloc_connect_options options;
    pthread_t threads[THREADS];
    fastalloc_client *client;
    fastalloc_pool *pool;
    int i;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fastalloc_connect_options_init(&options);
    options.socket = socket;
    if (fastalloc_connect(&client, &options) || fastalloc_pool_open(client, POOL, NULL, &pool)) {
        fprintf(stderr, "worker: %s\n", fastalloc_last_error());
        _exit(EXIT_SETUP);
    }
    for (i = 0; i < THREADS; i++) {
        struct hand *hand = calloc(1, sizeof *hand);

        hand->pool = pool;
        hand->random = seed * THREADS + (uint64_t)i + 1;
        if (pthread_create(&threads[i], NULL, work, hand))
            _exit(EXIT_SETUP);
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    fastalloc_disconnect(client);
    _exit(EXIT_FINE);
}

/* -------------------------------------------------------------- the parent */

static pid_t start_worker(const char *socket, uint64_t seed)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        worker(socket, seed);
    return pid;
}

static int run_ctl(const struct test_daemon *daemon, const char *arguments)
{
    char command[512];

    snprintf(command, sizeof command, "%s --socket %s %s 1>&2", getenv("FASTALLOCCTL"),
             daemon->socket, arguments);
    return system(command);
}

/* The integrity check of the live pool, beside the killing.  Returns its process. */
static pid_t start_check(const struct test_daemon *daemon)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execl(getenv("FASTALLOCCTL"), "fastallocctl", "--socket", daemon->socket, "check", POOL,
              (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void finish_check(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                  "fastallocctl check of the live pool ended with status 0x%x", status);
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* On the beat: a machine under load catches up. */
static void wait_until_due(struct timespec *due)
{
    due->tv_nsec += KILL_EVERY_MS * 1000000L;
    due->tv_sec += due->tv_nsec / 1000000000L;
    due->tv_nsec %= 1000000000L;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, due, NULL);
}

/* Every slot can be had, once each. */
static void drain(const struct test_daemon *daemon)
{
    static fastalloc_handle handles[SLOTS + 1];
    fastalloc_connect_options options;
    fastalloc_client *client;
    fastalloc_pool *pool;
    size_t count;

    fastalloc_connect_options_init(&options);
    options.socket = daemon->socket;
    ck_assert_int_eq(fastalloc_connect(&client, &options), 0);
    ck_assert_int_eq(fastalloc_pool_open(client, POOL, NULL, &pool), 0);
    for (count = 0; count <= SLOTS; count++)
        if (fastalloc_alloc(pool, &handles[count], NULL))
            break;
    ck_assert_msg(count == SLOTS, "%zu of %d slots could be had: %s", count, SLOTS,
                  fastalloc_last_error());
    ck_assert_int_eq(fastalloc_free_batch(pool, count, handles, NULL), 0);
    ck_assert_int_eq(fastalloc_pool_destroy(client, POOL), 0);
    fastalloc_disconnect(client);
}

START_TEST(no_slot_is_lost_or_doubled_while_processes_are_killed)
{
    const char *length = getenv("FASTALLOC_SOAK_SECONDS");
    const char *seed_text = getenv("FASTALLOC_TEST_SEED");
    double end = seconds_now() + (length ? atof(length) : 5);
    uint64_t random = seed_text ? strtoull(seed_text, NULL, 0) : (uint64_t)time(NULL), seed = 0;
    struct test_daemon daemon;
    pid_t workers[PROCESSES], check = 0;
    unsigned kills = 0, checks = 0;
    struct timespec due;
    int i, status;

    fprintf(stderr, "FASTALLOC_TEST_SEED=%llu\n", (unsigned long long)random);
    random |= 1;
    test_daemon_start(&daemon, NULL);
    ck_assert_int_eq(pipe2(channel, O_NONBLOCK | O_CLOEXEC), 0);
    signal(SIGUSR1, on_finish);
    ck_assert_int_eq(run_ctl(&daemon, "create " POOL " --size 32 --capacity 10000"), 0);
    for (i = 0; i < PROCESSES; i++)
        workers[i] = start_worker(daemon.socket, random + ++seed);

    clock_gettime(CLOCK_MONOTONIC, &due);
    while (seconds_now() < end) {
        wait_until_due(&due);
        i = (int)(next_random(&random) % PROCESSES);
        kill(workers[i], SIGKILL);
        ck_assert_int_eq(waitpid(workers[i], &status, 0), workers[i]);
        ck_assert_msg(WIFSIGNALED(status), "a worker ended by itself with status %d",
                      WEXITSTATUS(status));
        workers[i] = start_worker(daemon.socket, random + ++seed);
        if (++kills % CHECK_EVERY_KILLS == 0) {
            if (checks++)
                finish_check(check);
            check = start_check(&daemon);
        }
    }

    if (checks)
        finish_check(check);
    for (i = 0; i < PROCESSES; i++)
        kill(workers[i], SIGUSR1);
    for (i = 0; i < PROCESSES; i++) {
        ck_assert_int_eq(waitpid(workers[i], &status, 0), workers[i]);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FINE,
                      "a worker ended with status 0x%x", status);
    }
    ck_assert_int_eq(run_ctl(&daemon, "check " POOL), 0);
    ck_assert_int_eq(run_ctl(&daemon, "stat " POOL), 0);
    drain(&daemon);
    close(channel[0]);
    close(channel[1]);
    fprintf(stderr, "%u kills, %u checks in between, all %d slots free at the end\n", kills,
            checks, SLOTS);
    test_daemon_stop(&daemon);
}
END_TEST

int main(void)
{
    const char *length = getenv("FASTALLOC_SOAK_SECONDS");
    Suite *suite = suite_create("soak");
    TCase *tests = tcase_create("soak");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tests, (length ? atof(length) : 5) + 60);
    tcase_add_test(tests, no_slot_is_lost_or_doubled_while_processes_are_killed);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
