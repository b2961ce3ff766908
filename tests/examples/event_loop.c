/* SPDX-License-Identifier: MIT
 *
 * event_loop: a pool in a libuv loop, which never waits for a slot.
 *
 * The loop produces work: it fills slots and sends their handles to consumers, which are
 * other processes.  They are slower, so the pool is soon exhausted.  The loop does not sleep
 * then, and does not try again and again either: it watches the descriptor of
 * fastalloc_pool_event(), which becomes readable when a consumer, in its own process, has
 * freed a slot.  A timer beats all the while to show that the loop goes on.
 *
 *     loop     alloc, fill   --- handle over a socket --->   adopt, compute, free   consumer
 *     uv_poll  <------ the pool's event: try again -----------------'
 */
#include "example.h"

#include <inttypes.h>
#include <sys/socket.h>
#include <time.h>
#include <uv.h>

#define SLOTS 16
#define JOBS 600
#define CONSUMERS 3
#define BEAT_MS 5

struct job {
    uint64_t number;
    uint32_t words[250];
};
FASTALLOC_DEFINE_POOL(jobs, struct job);

static jobs_pool pool;

/* --------------------------------------------------------------------- consumers */

struct answer {
    uint64_t jobs, sum;
};

static struct {
    pid_t pid;
    int socket;
    uv_poll_t poll;
    struct answer answer;
} consumers[CONSUMERS];

/* Works off what comes, and at the end of it tells what came out. */
static int consume(int socket)
{
    const struct timespec hard_work = {.tv_nsec = 1000000};
    struct answer answer = {0};
    jobs_handle handle;
    struct job *job;
    size_t i;

    while (recv(socket, &handle, sizeof handle, 0) == sizeof handle) {
        ok(jobs_adopt(pool, handle));
        job = jobs_get(pool, handle);
        for (i = 0; i < sizeof job->words / sizeof job->words[0]; i++)
            answer.sum += job->words[i];
        answer.jobs++;
        nanosleep(&hard_work, NULL);
        ok(jobs_free(pool, handle));
    }
    expect(send(socket, &answer, sizeof answer, MSG_NOSIGNAL) == sizeof answer);
    return 0;
}

static void hire(int number)
{
    int ends[2], i;

    expect(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    consumers[number].pid = example_fork();
    if (consumers[number].pid == 0) {
        for (i = 0; i < number; i++) /* those before are the loop's alone */
            close(consumers[i].socket);
        close(ends[0]);
        exit(consume(ends[1]));
    }
    close(ends[1]);
    consumers[number].socket = ends[0];
}

/* ---------------------------------------------------------------------- the loop */

static struct {
    uv_loop_t loop;
    uv_poll_t space;
    uv_timer_t heart;
    uint64_t produced, sum;
    uint64_t missed, events; /* allocations for which there was no slot; and what came of it */
    uint64_t beats, beats_while_full, latest; /* ms that a beat came late, at most */
    uint64_t last_beat;
    int full, answers;
} it;

static void on_answer(uv_poll_t *poll, int status, int events)
{
    long number = (long)(intptr_t)poll->data;
    struct answer *answer = &consumers[number].answer;

    (void)events;
    expect(status == 0);
    expect(recv(consumers[number].socket, answer, sizeof *answer, 0) == sizeof *answer);
    uv_close((uv_handle_t *)poll, NULL);
    if (++it.answers == CONSUMERS)
        uv_close((uv_handle_t *)&it.heart, NULL); /* nothing is left to watch: the loop ends */
}

/* There is no more: the consumers see the end of their sockets, and answer. */
static void finish(void)
{
    long i;

    uv_close((uv_handle_t *)&it.space, NULL);
    for (i = 0; i < CONSUMERS; i++) {
        shutdown(consumers[i].socket, SHUT_WR);
        consumers[i].poll.data = (void *)(intptr_t)i;
        expect(uv_poll_init(&it.loop, &consumers[i].poll, consumers[i].socket) == 0);
        expect(uv_poll_start(&consumers[i].poll, UV_READABLE, on_answer) == 0);
    }
}

/* Produces as much as there are slots for. */
static void produce(void)
{
    jobs_handle handle;
    struct job *job;
    int error;
    size_t i;

    while (it.produced < JOBS) {
        error = jobs_alloc(pool, &handle, &job);
        it.full = error == FASTALLOC_E_EXHAUSTED;
        it.missed += it.full != 0;
        if (it.full)
            return; /* the descriptor will say when to come back */
        ok(error);
        job->number = it.produced;
        for (i = 0; i < sizeof job->words / sizeof job->words[0]; i++)
            it.sum += job->words[i] = (uint32_t)(it.produced * 2654435761 + i);
        /* A socket holds many more handles than there are slots: it never blocks. */
        expect(send(consumers[it.produced % CONSUMERS].socket, &handle, sizeof handle,
                    MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof handle);
        it.produced++;
    }
    finish();
}

static void on_space(uv_poll_t *poll, int status, int events)
{
    uint64_t times;
    int descriptor;

    (void)events;
    expect(status == 0 && uv_fileno((uv_handle_t *)poll, &descriptor) == 0);
    if (read(descriptor, &times, sizeof times) == sizeof times)
        it.events++;
    produce();
}

static void on_beat(uv_timer_t *heart)
{
    uint64_t now = uv_hrtime() / 1000000, pause = now - it.last_beat;

    (void)heart;
    if (pause > BEAT_MS && pause - BEAT_MS > it.latest)
        it.latest = pause - BEAT_MS;
    it.last_beat = now;
    it.beats++;
    it.beats_while_full += it.full != 0;
}

int main(void)
{
    fastalloc_pool_config config;
    uint64_t jobs = 0, sum = 0;
    int descriptor, i;

    fastalloc_pool_config_init(&config);
    config.name = "jobs";
    config.capacity = SLOTS;
    ok(jobs_create_local(&config, &pool));
    for (i = 0; i < CONSUMERS; i++)
        hire(i);

    ok(fastalloc_pool_event(pool.pool, &descriptor));
    expect(uv_loop_init(&it.loop) == 0);
    expect(uv_poll_init(&it.loop, &it.space, descriptor) == 0);
    expect(uv_poll_start(&it.space, UV_READABLE, on_space) == 0);
    expect(uv_timer_init(&it.loop, &it.heart) == 0);
    it.last_beat = uv_hrtime() / 1000000;
    expect(uv_timer_start(&it.heart, on_beat, BEAT_MS, BEAT_MS) == 0);
    produce();
    expect(uv_run(&it.loop, UV_RUN_DEFAULT) == 0);
    expect(uv_loop_close(&it.loop) == 0);

    for (i = 0; i < CONSUMERS; i++) {
        example_join(consumers[i].pid);
        close(consumers[i].socket);
        printf("consumer %d: %3" PRIu64 " jobs\n", i + 1, consumers[i].answer.jobs);
        jobs += consumers[i].answer.jobs;
        sum += consumers[i].answer.sum;
    }
    printf("%" PRIu64 " jobs through %d slots, every one computed: %s\n", jobs, SLOTS,
           sum == it.sum ? "yes" : "no");
    printf("no slot %" PRIu64 " times, told of a new one %" PRIu64 " times\n", it.missed,
           it.events);
    printf("the loop's heart beat %" PRIu64 " times meanwhile, at most %" PRIu64 " ms late\n",
           it.beats_while_full, it.latest);
    expect(jobs == JOBS && sum == it.sum);
    expect(it.missed > 0 && it.events > 0 && it.events <= it.missed && it.beats_while_full > 0);
    expect(fastalloc_pool_is_empty(pool.pool));
    ok(jobs_close(&pool));
    return 0;
}
