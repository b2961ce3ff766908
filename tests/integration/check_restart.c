/* SPDX-License-Identifier: MIT
 *
 * A daemon that is killed again and again while eight processes work: they allocate, free,
 * hand slots over, open, close, create, make a pool grow and shrink.  None of them hears of
 * it, but by what is documented: a name that is taken by what a lost answer was about, and
 * nobody on the socket for who connects for the first time.
 *
 * $FASTALLOC_RESTART_KILLS says how often (default 100; `make check-soak`: 1,000);
 * $FASTALLOC_TEST_SEED repeats the choices of a run.
 */
#include "api.h"
#include "tests/support/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PROCESSES = 8,
    GROWERS = 3, /* of them: they work in the growing pool too */
    SLOTS = 4000,
    GROWN_FROM = 100,
    GROWN_TO = 20000,
    HELD_MAX = 300,
    HELD_GROWN = 3000,
    ANSWER_MS = 20000, /* a machine that does other things is slow */
    RECONNECT_MS = 8000
};

struct object {
    fastalloc_handle handle;
    uint64_t copies[3];
};

/* Shared with the workers. */
struct common {
    volatile int finish;
    uint64_t attached; /* workers, so far */
    char wrong[1024];
    uint64_t operations, adopted, opened, created, lost, grown, shrunk, nobody;
};

static struct common *common;
static struct test_daemon daemon_;
static int channel[2]; /* handles on their way; written and read whole */

/* ------------------------------------------------------------------ a worker */

struct worker {
    unsigned number;
    uint64_t random;
    fastalloc_client *client;
    fastalloc_pool *fixed, *growing;
    fastalloc_handle held[HELD_MAX];
    size_t count;
    fastalloc_handle grown[HELD_GROWN];
    size_t grown_count;
};

static void count_up(uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* The first that goes wrong is kept; the worker ends. */
__attribute__((format(printf, 2, 3))) static void go_wrong(const struct worker *worker,
                                                           const char *format, ...)
{
    char text[1024];
    va_list arguments;
    int length = snprintf(text, sizeof text, "worker %u: ", worker->number);

    va_start(arguments, format);
    vsnprintf(text + length, sizeof text - (size_t)length, format, arguments);
    va_end(arguments);
    if (!common->wrong[0])
        strcpy(common->wrong, text);
    _exit(1);
}

static void require(const struct worker *worker, int error, const char *what)
{
    if (error)
        go_wrong(worker, "%s: %s: %s", what, fastalloc_error_name(error), fastalloc_last_error());
}

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

static void verify(struct worker *worker, fastalloc_pool *pool, fastalloc_handle handle)
{
    const struct object *object = fastalloc_get(pool, handle);

    if (!object || object->handle != handle || object->copies[0] != ~handle ||
        object->copies[2] != ~handle)
        go_wrong(worker, "somebody else has slot %llx too", (unsigned long long)handle);
}

/* The documented ways for a slot not to be had.  Returns whether there is one. */
static bool allocate(struct worker *worker, fastalloc_pool *pool, fastalloc_handle *handle)
{
    void *object;
    int error = fastalloc_alloc(pool, handle, &object);

    switch (error) {
    case 0:
        stamp(object, *handle);
        return true;
    case FASTALLOC_E_EXHAUSTED:
    case FASTALLOC_E_STALLED:
        return false;
    case FASTALLOC_E_MAX_CAPACITY:
        if (pool == worker->growing)
            return false;
        break;
    default:
        break;
    }
    require(worker, error, "allocating");
    return false;
}

static void give_back(struct worker *worker)
{
    size_t at = next_random(&worker->random) % worker->count;

    verify(worker, worker->fixed, worker->held[at]);
    require(worker, fastalloc_free(worker->fixed, worker->held[at]), "freeing");
    worker->held[at] = worker->held[--worker->count];
}

static void pass_on(struct worker *worker)
{
    fastalloc_handle handle = worker->held[worker->count - 1];

    if (write(channel[1], &handle, sizeof handle) == sizeof handle)
        worker->count--;
}

static void take_over(struct worker *worker)
{
    fastalloc_handle handle;

    if (read(channel[0], &handle, sizeof handle) != sizeof handle)
        return;
    /* Who passed it on lives. */
    require(worker, fastalloc_adopt(worker->fixed, handle), "adopting");
    verify(worker, worker->fixed, handle);
    worker->held[worker->count++] = handle;
    count_up(&common->adopted);
}

/* A second attachment, closed with slots in its hands. */
static void open_and_close(struct worker *worker)
{
    fastalloc_handle handles[3];
    fastalloc_pool *pool;
    int i;

    require(worker, fastalloc_pool_open(worker->client, "fixed", NULL, &pool), "opening");
    for (i = 0; i < 3; i++)
        if (!allocate(worker, pool, &handles[i]))
            break;
    if (i > 0)
        require(worker, fastalloc_free(pool, handles[0]), "freeing");
    require(worker, fastalloc_pool_close(pool), "closing");
    count_up(&common->opened);
}

static void create_and_destroy(struct worker *worker)
{
    fastalloc_pool_config config;
    fastalloc_pool *pool;
    char name[32];
    int error;

    snprintf(name, sizeof name, "own-%u-%llu", worker->number,
             (unsigned long long)next_random(&worker->random) % 1000000);
    config = api_config(name, 64, 500);
    error = fastalloc_pool_create(worker->client, &config, &pool);
    if (error == FASTALLOC_E_EXISTS) {
        /* Made by a daemon that could not say so any more. */
        count_up(&common->lost);
        return;
    }
    require(worker, error, "creating");
    require(worker, fastalloc_pool_destroy(worker->client, name), "destroying");
    require(worker, fastalloc_pool_close(pool), "closing what was destroyed");
    count_up(&common->created);
}

static void connect_anew(struct worker *worker)
{
    fastalloc_connect_options options;
    fastalloc_client *client;
    int error;

    fastalloc_connect_options_init(&options);
    options.socket = daemon_.socket;
    options.timeout_ms = ANSWER_MS;
    options.reconnect_ms = RECONNECT_MS;
    error = fastalloc_connect(&client, &options);
    if (error == FASTALLOC_E_NO_DAEMON) {
        count_up(&common->nobody);
        return;
    }
    require(worker, error, "connecting");
    fastalloc_disconnect(client);
}

/* Up by a hundred, which makes the pool grow; and all the way down. */
static void use_growing(struct worker *worker)
{
    size_t now, i;

    for (i = 0; i < 100 && worker->grown_count < HELD_GROWN; i++) {
        if (!allocate(worker, worker->growing, &worker->grown[worker->grown_count]))
            break;
        worker->grown_count++;
        count_up(&common->grown);
    }
    if (worker->grown_count < HELD_GROWN && next_random(&worker->random) % 20)
        return;
    while (worker->grown_count) {
        verify(worker, worker->growing, worker->grown[--worker->grown_count]);
        require(worker, fastalloc_free(worker->growing, worker->grown[worker->grown_count]),
                "freeing what was grown");
    }
    if (next_random(&worker->random) % 2) {
        require(worker, fastalloc_pool_shrink(worker->growing, GROWN_FROM, &now), "shrinking");
        count_up(&common->shrunk);
    }
}

static void work(struct worker *worker)
{
    uint64_t choice = next_random(&worker->random) % 10000;

    count_up(&common->operations);
    if (choice < 20)
        open_and_close(worker);
    else if (choice < 30)
        create_and_destroy(worker);
    else if (choice < 36)
        connect_anew(worker);
    else if (choice < 70 && worker->growing)
        use_growing(worker);
    else if (choice < 4500 && worker->count < HELD_MAX)
        worker->count += allocate(worker, worker->fixed, &worker->held[worker->count]);
    else if (choice < 7500 && worker->count)
        give_back(worker);
    else if (choice < 8700 && worker->count)
        pass_on(worker);
    else if (worker->count < HELD_MAX)
        take_over(worker);
}

static void be_worker(unsigned number, uint64_t seed)
{
    static struct worker worker;
    fastalloc_connect_options options;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    worker.number = number;
    worker.random = seed;
    fastalloc_connect_options_init(&options);
    options.socket = daemon_.socket;
    options.timeout_ms = ANSWER_MS;
    options.reconnect_ms = RECONNECT_MS;
    require(&worker, fastalloc_connect(&worker.client, &options), "connecting");
    require(&worker, fastalloc_pool_open(worker.client, "fixed", NULL, &worker.fixed), "opening");
    if (number < GROWERS)
        require(&worker, fastalloc_pool_open(worker.client, "growing", NULL, &worker.growing),
                "opening");
    count_up(&common->attached);
    while (!common->finish)
        work(&worker);
    fastalloc_disconnect(worker.client);
    _exit(0);
}

/* ------------------------------------------------------------------ the parent */

static void require_nothing_wrong(void)
{
    ck_assert_msg(!common->wrong[0], "%s", common->wrong);
}

static void make_pools(void)
{
    fastalloc_client *client = api_connect(daemon_.socket);
    fastalloc_pool_config config = api_config("fixed", sizeof(struct object), SLOTS);
    fastalloc_pool *pool;

    config.lifetime = FASTALLOC_PERSISTENT;
    config.max_sessions = 64;
    require_ok(fastalloc_pool_create(client, &config, &pool));
    require_ok(fastalloc_pool_close(pool));
    config.name = "growing";
    config.capacity = GROWN_FROM;
    config.max_capacity = GROWN_TO;
    config.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    config.growth_factor = 2;
    require_ok(fastalloc_pool_create(client, &config, &pool));
    require_ok(fastalloc_pool_close(pool));
    fastalloc_disconnect(client);
}

/* Nothing is lost, nothing doubled, and a pool that grows has its maximum in the end. */
static void require_whole(const char *name, size_t slots)
{
    fastalloc_client *client = api_connect(daemon_.socket);
    fastalloc_handle *handles = calloc(slots + 1, sizeof *handles);
    fastalloc_pool *pool;
    size_t count = 0;
    char command[300];
    int error = 0;

    ck_assert_ptr_nonnull(handles);
    require_ok(fastalloc_pool_open(client, name, NULL, &pool));
    ck_assert(api_allocated_becomes(pool, 0));
    ck_assert(api_sessions_become(pool, 1));
    snprintf(command, sizeof command, "%s --socket %s check %s >&2", getenv("FASTALLOCCTL"),
             daemon_.socket, name);
    ck_assert_int_eq(system(command), 0);
    while (count <= slots && (error = fastalloc_alloc(pool, &handles[count], NULL)) == 0)
        count++;
    ck_assert_msg(count == slots, "%zu of %zu slots of \"%s\" could be had: %s", count, slots, name,
                  fastalloc_last_error());
    require_ok(fastalloc_free_batch(pool, count, handles, NULL));
    require_ok(fastalloc_pool_close(pool));
    require_ok(fastalloc_pool_destroy(client, name));
    fastalloc_disconnect(client);
    free(handles);
}

static bool all_attached(void *argument)
{
    (void)argument;
    require_nothing_wrong();
    return __atomic_load_n(&common->attached, __ATOMIC_ACQUIRE) == PROCESSES;
}

/* Not before all are there: who connects for the first time finds a daemon or is told. */
static void kill_and_start_again(unsigned kills, uint64_t *random)
{
    int64_t begun;

    ck_assert(test_eventually(all_attached, NULL));
    begun = api_now_us();
    for (unsigned done = 0; done < kills; done++) {
        api_sleep_ms((long)(next_random(random) % 120));
        test_daemon_kill(&daemon_);
        if (next_random(random) % 3 == 0)
            api_sleep_ms((long)(next_random(random) % 60));
        test_daemon_run(&daemon_);
        require_nothing_wrong();
    }
    fprintf(stderr, "%u kills in %.1f s: %llu operations, %llu adopted, %llu opened, %llu created ",
            kills, (double)(api_now_us() - begun) / 1e6, (unsigned long long)common->operations,
            (unsigned long long)common->adopted, (unsigned long long)common->opened,
            (unsigned long long)common->created);
    fprintf(stderr, "(%llu answers lost), %llu grown, %llu times shrunk, %llu times nobody there\n",
            (unsigned long long)common->lost, (unsigned long long)common->grown,
            (unsigned long long)common->shrunk, (unsigned long long)common->nobody);
}

static unsigned kills_wanted(void)
{
    const char *given = getenv("FASTALLOC_RESTART_KILLS");

    return given ? (unsigned)atoi(given) : 100;
}

START_TEST(a_daemon_killed_a_hundred_times_under_load_is_an_error_to_nobody)
{
    const char *given = getenv("FASTALLOC_TEST_SEED");
    uint64_t random = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    pid_t workers[PROCESSES];
    unsigned i;
    int status;

    fprintf(stderr, "FASTALLOC_TEST_SEED=%llu\n", (unsigned long long)random);
    random |= 1;
    common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(common, MAP_FAILED);
    test_daemon_start(&daemon_, NULL);
    make_pools();
    ck_assert_int_eq(pipe2(channel, O_NONBLOCK | O_CLOEXEC), 0);
    for (i = 0; i < PROCESSES; i++) {
        workers[i] = fork();
        ck_assert_int_ge(workers[i], 0);
        if (workers[i] == 0)
            be_worker(i, random + 2 * i + 2);
    }
    kill_and_start_again(kills_wanted(), &random);
    common->finish = 1;
    for (i = 0; i < PROCESSES; i++) {
        ck_assert_int_eq(waitpid(workers[i], &status, 0), workers[i]);
        require_nothing_wrong();
        ck_assert_msg(status == 0, "a worker ended with status 0x%x", status);
    }
    close(channel[0]);
    close(channel[1]);
    ck_assert_uint_gt(common->adopted, 0);
    ck_assert_uint_gt(common->opened, 0);
    ck_assert_uint_gt(common->created, 0);
    ck_assert_uint_gt(common->grown, GROWN_FROM);
    ck_assert_uint_gt(common->shrunk, 0);
    require_whole("fixed", SLOTS);
    require_whole("growing", GROWN_TO);
    munmap(common, sizeof *common);
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
        a_daemon_killed_a_hundred_times_under_load_is_an_error_to_nobody,
        NULL,
    };

    return api_run("restart", tests, nothing, nothing, 60 + kills_wanted());
}
