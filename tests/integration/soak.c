/* SPDX-License-Identifier: MIT
 *
 * soak: see soak.h.
 *
 * Each slot in somebody's hands carries its handle; a slot that two had at once would show
 * the other's.  What may go wrong is what the documents say: a pool may be exhausted, free slots
 * may stand behind somebody who is stopped, and a handle whose sender has died is stale.
 */
#include "soak.h"

#include "api.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HELD_MAX = 400, SHARED_MAX = 60, BATCH = 30, GROWN_MAX = 2500 };

/* Of the daemon: for an answer, and to come back.  A machine that does other things is slow. */
enum { ANSWER_MS = 20000, RECONNECT_MS = 10000 };

const char *const soak_count_names[SOAK_COUNTS] = {
    "allocated", "batches",       "waited for", "passed",      "adopted",
    "given",     "left",          "shared",     "referred to", "grown",
    "shrunk",    "threads ended", "forks",      "exhausted",   "stalled",
};

struct object {
    fastalloc_handle handle;
    uint64_t copies[3];
};

/* Of this process. */
static struct soak *soak;
static unsigned number;
static fastalloc_client *client;
static fastalloc_pool *fixed, *growing;

/* A thread's. */
struct hand {
    uint64_t random;
    fastalloc_handle held[HELD_MAX];
    size_t count;
    fastalloc_handle shared[SHARED_MAX];
    size_t shared_count;
    fastalloc_handle grown[GROWN_MAX];
    size_t grown_count;
    bool mortal; /* ends now and then, for another to begin */
};

uint64_t soak_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void count_up(enum soak_count what)
{
    __atomic_fetch_add(&soak->counts[what], 1, __ATOMIC_RELAXED);
}

__attribute__((format(printf, 1, 2))) static void go_wrong(const char *format, ...)
{
    char text[sizeof soak->wrong];
    int length = snprintf(text, sizeof text, "worker %u: ", number);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + length, sizeof text - (size_t)length, format, arguments);
    va_end(arguments);
    if (!soak->wrong[0])
        strcpy(soak->wrong, text);
    _exit(1);
}

/* `error` must be 0, or `other` if that is not 0.  Returns whether it was 0. */
static bool require(int error, int other, const char *what)
{
    if (error && error != other)
        go_wrong("%s: %s: %s", what, fastalloc_error_name(error), fastalloc_last_error());
    return error == 0;
}

static void stamp(void *memory, fastalloc_handle handle)
{
    struct object *object = memory;

    object->handle = handle;
    object->copies[0] = object->copies[1] = object->copies[2] = ~handle;
}

static void verify(fastalloc_pool *pool, fastalloc_handle handle)
{
    const struct object *object = fastalloc_get(pool, handle);

    if (!object)
        go_wrong("slot %llx, which is mine, is stale", (unsigned long long)handle);
    if (object->handle != handle || object->copies[0] != ~handle || object->copies[2] != ~handle)
        go_wrong("somebody else has slot %llx too", (unsigned long long)handle);
}

static void keep(struct hand *hand, fastalloc_handle handle)
{
    hand->held[hand->count++] = handle;
}

static fastalloc_handle drop(struct hand *hand)
{
    size_t at = soak_random(&hand->random) % hand->count;
    fastalloc_handle handle = hand->held[at];

    verify(fixed, handle);
    hand->held[at] = hand->held[--hand->count];
    return handle;
}

/* Whether an allocation's result is a slot; the documented reasons for none are. */
static bool came(fastalloc_pool *pool, int error, const char *what)
{
    if (error == FASTALLOC_E_STALLED)
        count_up(SOAK_STALLED);
    else if (error == FASTALLOC_E_EXHAUSTED ||
             (pool == growing && error == FASTALLOC_E_MAX_CAPACITY))
        count_up(SOAK_EXHAUSTED);
    else
        return require(error, 0, what);
    return false;
}

/* ------------------------------------------------------------- what they do */

static void get_one(struct hand *hand)
{
    fastalloc_handle handle;
    void *object;

    if (hand->count == HELD_MAX || !came(fixed, fastalloc_alloc(fixed, &handle, &object), "alloc"))
        return;
    stamp(object, handle);
    keep(hand, handle);
    count_up(SOAK_ALLOCATED);
}

static void free_one(struct hand *hand)
{
    if (hand->count)
        require(fastalloc_free(fixed, drop(hand)), 0, "free");
}

static void get_many(struct hand *hand)
{
    fastalloc_handle *handles = hand->held + hand->count;
    size_t i;

    if (hand->count + BATCH > HELD_MAX ||
        !came(fixed, fastalloc_alloc_batch(fixed, BATCH, handles, NULL), "alloc_batch"))
        return;
    for (i = 0; i < BATCH; i++)
        stamp(fastalloc_get(fixed, handles[i]), handles[i]);
    hand->count += BATCH;
    count_up(SOAK_BATCHES);
}

static void free_many(struct hand *hand)
{
    size_t i, count = hand->count < BATCH ? hand->count : BATCH;

    hand->count -= count;
    for (i = 0; i < count; i++)
        verify(fixed, hand->held[hand->count + i]);
    require(fastalloc_free_batch(fixed, count, hand->held + hand->count, NULL), 0, "free_batch");
}

static void wait_for_one(struct hand *hand)
{
    fastalloc_handle handle;
    void *object;

    if (hand->count == HELD_MAX ||
        !require(fastalloc_alloc_wait(fixed, &handle, &object, fastalloc_deadline(5)),
                 FASTALLOC_E_TIMEOUT, "alloc_wait"))
        return;
    stamp(object, handle);
    keep(hand, handle);
    count_up(SOAK_WAITED);
}

/* Into the channel: owned still, or left to anyone. */
static void pass_on(struct hand *hand, bool leave)
{
    fastalloc_handle handle;

    if (!hand->count)
        return;
    handle = drop(hand);
    if (leave)
        require(fastalloc_leave(fixed, handle, fastalloc_deadline(SOAK_LEFT_MS)), 0, "leave");
    if (write(soak->channel[1], &handle, sizeof handle) == sizeof handle)
        count_up(leave ? SOAK_LEFT : SOAK_PASSED);
    else if (!leave)
        keep(hand, handle);
}

/* Out of it: the sender may be dead, or the time up. */
static void take_over(struct hand *hand)
{
    fastalloc_handle handle;

    if (hand->count == HELD_MAX ||
        read(soak->channel[0], &handle, sizeof handle) != sizeof handle ||
        !require(fastalloc_adopt(fixed, handle), FASTALLOC_E_STALE, "adopt"))
        return;
    verify(fixed, handle);
    keep(hand, handle);
    count_up(SOAK_ADOPTED);
}

/* To a session that knows nothing of it: its end takes the slot along. */
static void give_one(struct hand *hand)
{
    uint32_t to = soak->sessions[soak_random(&hand->random) % SOAK_PROCESSES];
    fastalloc_handle handle;
    int error;

    if (!hand->count || !to)
        return;
    handle = drop(hand);
    error = fastalloc_give(fixed, handle, to);
    if (error == FASTALLOC_E_STALLED || !require(error, FASTALLOC_E_SESSION, "give"))
        keep(hand, handle);
    else
        count_up(SOAK_GIVEN);
}

static void share_one(struct hand *hand)
{
    fastalloc_handle handle;

    if (!hand->count || hand->shared_count == SHARED_MAX)
        return;
    handle = drop(hand);
    require(fastalloc_share(fixed, handle), 0, "share");
    hand->shared[hand->shared_count++] = handle;
    if (write(soak->shared[1], &handle, sizeof handle) == sizeof handle)
        count_up(SOAK_SHARED);
}

/* A weak handle becomes a reference, unless all who held it are gone. */
static void refer_to_one(struct hand *hand)
{
    fastalloc_handle handle;
    int error;

    if (hand->shared_count == SHARED_MAX ||
        read(soak->shared[0], &handle, sizeof handle) != sizeof handle)
        return;
    error = fastalloc_ref(fixed, handle);
    if (error == FASTALLOC_E_STALLED || !require(error, FASTALLOC_E_STALE, "ref"))
        return;
    verify(fixed, handle);
    hand->shared[hand->shared_count++] = handle;
    count_up(SOAK_REFERRED);
}

static void unref_one(struct hand *hand)
{
    size_t at;

    if (!hand->shared_count)
        return;
    at = soak_random(&hand->random) % hand->shared_count;
    verify(fixed, hand->shared[at]);
    require(fastalloc_unref(fixed, hand->shared[at]), 0, "unref");
    hand->shared[at] = hand->shared[--hand->shared_count];
}

static void free_grown(struct hand *hand)
{
    while (hand->grown_count) {
        verify(growing, hand->grown[--hand->grown_count]);
        require(fastalloc_free(growing, hand->grown[hand->grown_count]), 0, "free of a grown slot");
    }
}

/* Up by some, which makes the pool grow, or all the way down. */
static void use_growing(struct hand *hand)
{
    fastalloc_handle handle;
    void *object;
    size_t now;
    int i;

    if (hand->grown_count + 100 > GROWN_MAX || soak_random(&hand->random) % 15 == 0) {
        free_grown(hand);
        if (soak_random(&hand->random) % 4 == 0) {
            require(fastalloc_pool_shrink(growing, SOAK_GROWN_FROM, &now), 0, "shrink");
            count_up(SOAK_SHRUNK);
        }
        return;
    }
    for (i = 0; i < 100; i++) {
        if (!came(growing, fastalloc_alloc(growing, &handle, &object), "alloc that grows"))
            return;
        stamp(object, handle);
        hand->grown[hand->grown_count++] = handle;
        count_up(SOAK_GROWN);
    }
}

/* ------------------------------------------------------------------ the threads */

static void let_go(struct hand *hand)
{
    while (hand->count)
        free_one(hand);
    while (hand->shared_count)
        unref_one(hand);
    free_grown(hand);
}

static void step(struct hand *hand)
{
    uint64_t choice = soak_random(&hand->random) % 1000;

    if (choice < 380)
        get_one(hand);
    else if (choice < 640)
        free_one(hand);
    else if (choice < 650)
        get_many(hand);
    else if (choice < 660)
        free_many(hand);
    else if (choice < 665)
        wait_for_one(hand);
    else if (choice < 740)
        pass_on(hand, false);
    else if (choice < 760)
        pass_on(hand, true);
    else if (choice < 860)
        take_over(hand);
    else if (choice < 862)
        give_one(hand);
    else if (choice < 890)
        share_one(hand);
    else if (choice < 930)
        refer_to_one(hand);
    else if (choice < 985)
        unref_one(hand);
    else if (choice < 988)
        use_growing(hand);
    else if (choice < 989)
        fastalloc_thread_flush(fixed);
}

static void *live(void *argument)
{
    struct hand *hand = argument;

    while (!soak->finish && !(hand->mortal && soak_random(&hand->random) % 20000 == 0))
        step(hand);
    let_go(hand);
    free(hand);
    return NULL;
}

static pthread_t begin_thread(uint64_t *random, bool mortal)
{
    struct hand *hand = calloc(1, sizeof *hand);
    pthread_t thread;

    if (!hand)
        go_wrong("no memory");
    hand->random = soak_random(random) | 1;
    hand->mortal = mortal;
    if (pthread_create(&thread, NULL, live, hand))
        go_wrong("no thread");
    return thread;
}

/* A child works for a while, as a session of its own, and ends one way or the other. */
static void fork_one(uint64_t *random)
{
    uint64_t seed = soak_random(random) | 1;
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        static struct hand hand;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        hand.random = seed;
        for (unsigned i = 0; i < 2000 && !soak->finish; i++)
            step(&hand);
        if (seed & 2)
            raise(SIGKILL);
        let_go(&hand);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child ||
        (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)))
        go_wrong("a forked child ended with status 0x%x", status);
    count_up(SOAK_FORKED);
}

static void connect_and_open(void)
{
    fastalloc_connect_options options;

    fastalloc_connect_options_init(&options);
    options.socket = soak->socket;
    options.timeout_ms = ANSWER_MS;
    options.reconnect_ms = RECONNECT_MS;
    /* A first connection is not tried again by itself, and the daemon may be away. */
    for (int tries = 0;; tries++) {
        int error = fastalloc_connect(&client, &options);

        if (!error)
            break;
        if (tries == 1000)
            require(error, 0, "connect");
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    require(fastalloc_pool_open(client, SOAK_FIXED, NULL, &fixed), 0, "open");
    require(fastalloc_pool_open(client, SOAK_GROWING, NULL, &growing), 0, "open");
    soak->sessions[number] = fastalloc_pool_session(fixed);
}

void soak_work(struct soak *shared, unsigned which, uint64_t seed)
{
    pthread_t threads[SOAK_THREADS];
    uint64_t random = seed | 1;
    unsigned i;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    soak = shared;
    number = which;
    connect_and_open();
    if (!api_may_fork_beside_threads())
        fork_one(&random);
    for (i = 0; i < SOAK_THREADS; i++)
        threads[i] = begin_thread(&random, i == 0);
    while (!soak->finish) {
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        if (soak_random(&random) % 8 == 0 && api_may_fork_beside_threads())
            fork_one(&random);
        if (pthread_tryjoin_np(threads[0], NULL) == 0) {
            count_up(SOAK_THREADS_ENDED);
            threads[0] = begin_thread(&random, true);
        }
    }
    for (i = 0; i < SOAK_THREADS; i++)
        pthread_join(threads[i], NULL);
    fastalloc_disconnect(client);
    _exit(0);
}
