/* SPDX-License-Identifier: MIT
 *
 * particle_system: 5,000 slots, 120 frames, four processes.
 *
 * Each process has a fountain, and the four share one pool of particles: a fountain that
 * rises uses what another, just falling, has given back.  In every frame a process emits
 * particles (a batch: all or none, so that a puff is never torn), moves its own, and frees
 * those whose time is up.  The director, the parent, calls the frames and draws how many
 * particles there were; it does not touch any.
 *
 * At the end each process exits with particles still in the air.  They go back to the pool
 * with it, and the director's account has to come out: emitted = died + in the air.
 */
#define FASTALLOC_INLINE /* the fast path without a call */
#include "example.h"

#include <math.h>
#include <sys/socket.h>
#include <time.h>

#define CAPACITY 5000
#define FRAMES 120
#define FOUNTAINS 4
#define PUFF 20 /* particles emitted at a time */
#define GRAVITY 9.81f
#define FRAME_S (1 / 60.f)

struct particle {
    float x, y, vx, vy;
    float left; /* of its life, in seconds */
};
FASTALLOC_DEFINE_POOL(particles, struct particle);

/* What a fountain reports of a frame. */
struct report {
    uint32_t emitted, died, alive, skipped;
};

static particles_pool pool;

/* ---------------------------------------------------------------- one fountain */

struct fountain {
    int number;
    uint32_t seed, alive;
    particles_handle mine[CAPACITY];
};

/* From 0 to 1. */
static float random_of(struct fountain *fountain)
{
    fountain->seed = fountain->seed * 1664525 + 1013904223;
    return (float)(fountain->seed >> 8) / (float)(1 << 24);
}

/* How many puffs a frame: the fountains rise and fall, one a little after the other. */
static int puffs_in(const struct fountain *fountain, uint32_t frame)
{
    double phase = frame * 2 * M_PI / 60 + fountain->number * M_PI / 8;

    return (int)lround(1.5 + 1.5 * sin(phase));
}

/* Emits a puff, or nothing when the pool has not that many left. */
static void emit(struct fountain *fountain, struct report *report)
{
    fastalloc_handle handles[PUFF];
    void *objects[PUFF];
    int error = fastalloc_alloc_batch(pool.pool, PUFF, handles, objects), i;

    if (error == FASTALLOC_E_EXHAUSTED) {
        report->skipped += PUFF;
        return;
    }
    ok(error);
    for (i = 0; i < PUFF; i++) {
        struct particle *particle = objects[i];

        particle->x = (float)fountain->number;
        particle->y = 0;
        particle->vx = random_of(fountain) - 0.5f;
        particle->vy = 4 + random_of(fountain);
        particle->left = 0.3f + random_of(fountain) * 0.7f;
        fountain->mine[fountain->alive++].value = handles[i];
    }
    report->emitted += PUFF;
}

/* Moves every particle, and frees the old and those that are down again.  The last of the
 * list takes the place of one that goes. */
static void move(struct fountain *fountain, struct report *report)
{
    uint32_t i = 0;

    while (i < fountain->alive) {
        struct particle *particle = particles_get(pool, fountain->mine[i]);

        expect(particle != NULL);
        particle->vy -= GRAVITY * FRAME_S;
        particle->x += particle->vx * FRAME_S;
        particle->y += particle->vy * FRAME_S;
        particle->left -= FRAME_S;
        if (particle->left > 0 && particle->y >= 0) {
            i++;
            continue;
        }
        ok(particles_free(pool, fountain->mine[i]));
        fountain->mine[i] = fountain->mine[--fountain->alive];
        report->died++;
    }
}

/* A fountain's life: a report for each frame that is called, until no more are. */
static int play(int number, int director)
{
    static struct fountain fountain;
    uint32_t frame;

    fountain.number = number;
    fountain.seed = (uint32_t)number + 1;
    while (recv(director, &frame, sizeof frame, 0) == sizeof frame) {
        struct report report = {0};
        int i;

        for (i = puffs_in(&fountain, frame); i > 0; i--)
            emit(&fountain, &report);
        move(&fountain, &report);
        report.alive = fountain.alive;
        expect(send(director, &report, sizeof report, MSG_NOSIGNAL) == sizeof report);
    }
    return 0;
}

/* ----------------------------------------------------------------- the director */

static struct {
    pid_t pid;
    int socket;
} cast[FOUNTAINS];

static void hire(int number)
{
    int ends[2], i;

    expect(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    cast[number].pid = example_fork();
    if (cast[number].pid == 0) {
        for (i = 0; i < number; i++) /* those before are the director's alone */
            close(cast[i].socket);
        close(ends[0]);
        exit(play(number, ends[1]));
    }
    close(ends[1]);
    cast[number].socket = ends[0];
}

/* Calls a frame, and adds up what the fountains report of it. */
static void direct(uint32_t frame, struct report *total)
{
    struct report report;
    int i;

    for (i = 0; i < FOUNTAINS; i++)
        expect(send(cast[i].socket, &frame, sizeof frame, MSG_NOSIGNAL) == sizeof frame);
    total->alive = 0;
    for (i = 0; i < FOUNTAINS; i++) {
        expect(recv(cast[i].socket, &report, sizeof report, 0) == sizeof report);
        total->emitted += report.emitted;
        total->died += report.died;
        total->skipped += report.skipped;
        total->alive += report.alive;
    }
    expect(total->emitted == total->died + total->alive);
    expect(fastalloc_pool_allocated(pool.pool) == total->alive);
}

static void create(void)
{
    fastalloc_pool_config config;

    fastalloc_pool_config_init(&config);
    config.name = "particles";
    config.capacity = CAPACITY;
    ok(particles_create_local(&config, &pool)); /* for this process and its forks */
}

int main(void)
{
    fastalloc_stats stats = {.struct_size = sizeof stats};
    struct timespec from, to;
    struct report total = {0};
    size_t alive[FRAMES / 2];
    uint32_t frame;
    int i;

    create();
    for (i = 0; i < FOUNTAINS; i++)
        hire(i);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (frame = 0; frame < FRAMES; frame++) {
        direct(frame, &total);
        alive[frame / 2] = total.alive;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    for (i = 0; i < FOUNTAINS; i++) {
        close(cast[i].socket);
        example_join(cast[i].pid);
    }

    printf("%d processes, %d frames, %.2f ms a frame\n", FOUNTAINS, FRAMES,
           ((double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6) /
               FRAMES);
    example_draw("alive", alive, FRAMES / 2, CAPACITY);
    ok(fastalloc_pool_stats(pool.pool, &stats));
    printf("emitted %u, died %u, in the air at the end %u; %u skipped in a full pool\n",
           total.emitted, total.died, total.alive, total.skipped);
    /* Batches that failed had some slots for a moment: these count as allocated, and as freed. */
    expect(stats.total_allocations > total.emitted && stats.total_deallocations > total.died);
    expect(stats.total_allocations - total.emitted == stats.total_deallocations - total.died);
    expect(total.skipped > 0 && stats.allocation_failures * PUFF == total.skipped);

    /* What was in the air has gone back with the processes; all of it can be had. */
    for (i = 0; i < CAPACITY; i++)
        ok(fastalloc_alloc(pool.pool, &(fastalloc_handle){0}, NULL));
    expect(fastalloc_pool_is_full(pool.pool));
    printf("all %d slots can be had again\n", CAPACITY);
    ok(particles_close(&pool));
    return 0;
}
