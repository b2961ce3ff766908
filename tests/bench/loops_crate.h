/* SPDX-License-Identifier: MIT
 *
 * loops_crate: the loops of the benchmarks that the Rust crate's users know (crate.c), made by
 * macro for each implementation, like those of loops.h.
 *
 * Each does `count` allocations (rounded up to whole rounds), writes to each object, and does as
 * many frees; but `sum` reads `count` objects.  A loop over objects finds each by its handle, as
 * a program does that has kept handles.
 */
#ifndef TESTS_BENCH_LOOPS_CRATE_H
#define TESTS_BENCH_LOOPS_CRATE_H

#include "implementation.h"

#include <string.h>

#define CRATE_HELD 1000u /* objects at a time, of most loops; the most of bulk and churn */

/* The objects of the programs, and how many of them they have. */
struct crate_entity {
    double position[3], velocity[3];
    uint64_t health, kind;
};
struct crate_connection {
    uint64_t id, requests;
    unsigned char buffer[496];
};
struct crate_particle {
    float position[3], velocity[3];
    uint32_t age, color;
};
struct crate_message {
    uint64_t number, sum;
    uint32_t values[60];
};
#define CRATE_RAMP 10000u
#define CRATE_ENTITIES CRATE_HELD
#define CRATE_CONNECTIONS CRATE_HELD
#define CRATE_PARTICLES 5000u
#define CRATE_MESSAGES 100u
#define CRATE_SERVED 4u /* requests for each connection opened */
#define CRATE_BORN 50u  /* particles a frame */

typedef void bench_sized_loop(void *state, size_t count, size_t held);

struct bench_crate {
    /* A pool that grows from so many slots to others, for start(); NULL: start() does. */
    void *(*start_growing)(size_t object_size, size_t from, size_t to);
    bench_loop *single;      /* one at a time */
    bench_sized_loop *bulk;  /* `held`, then all of them freed */
    bench_sized_loop *churn; /* `held`, one of them at random replaced by another */
    bench_loop *array;       /* 1,000 in an array, their sum, all freed */
    bench_loop *sum;         /* the sum of 1,000, again and again */
    bench_loop *alternating; /* 1,000; every other is freed, and replaced; all freed */
    bench_loop *fifo;        /* 1,000, the oldest replaced */
    bench_loop *random;      /* each of 1,000 there or not there, by chance */
    bench_loop *ramp;        /* 10,000, then all of them freed */
    bench_loop *entities;    /* 1,000 moved each frame, a tenth of them spawned anew */
    bench_loop *connections; /* accepted, 4 requests served, closed; any of 1,000 */
    bench_loop *particles;   /* 5,000 moved each frame, the oldest 50 born anew */
    bench_loop *pipeline;    /* 100 messages at a time through three stages */
};

/* Makes the compiler believe that somebody reads it, or where it points to. */
BENCH_INLINE void crate_keep(const void *what)
{
    __asm__ volatile("" : : "r"(what) : "memory");
}

/* Objects may be of a single byte. */
BENCH_INLINE void crate_touch(void *object, uint64_t value)
{
    *(unsigned char *)object = (unsigned char)value;
    crate_keep(object);
}

/* Below `limit`, by a linear congruential generator (Knuth's MMIX constants). */
BENCH_INLINE size_t crate_random(uint64_t *state, size_t limit)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)((*state >> 32) * limit >> 32);
}

BENCH_INLINE void crate_spawn(void *object, size_t number)
{
    struct crate_entity *entity = (struct crate_entity *)object;
    size_t axis;

    for (axis = 0; axis < 3; axis++) {
        entity->position[axis] = 0;
        entity->velocity[axis] = (double)(number + axis);
    }
    entity->health = 100;
    entity->kind = number;
}

BENCH_INLINE void crate_move(void *object)
{
    struct crate_entity *entity = (struct crate_entity *)object;
    size_t axis;

    for (axis = 0; axis < 3; axis++)
        entity->position[axis] += entity->velocity[axis] * 0.016;
}

BENCH_INLINE void crate_accept(void *object, size_t number)
{
    struct crate_connection *connection = (struct crate_connection *)object;

    connection->id = number;
    connection->requests = 0;
    memset(connection->buffer, 0, 64);
}

BENCH_INLINE void crate_serve(void *object, size_t number)
{
    struct crate_connection *connection = (struct crate_connection *)object;

    connection->requests++;
    memset(connection->buffer, (int)(number & 0xff), 64);
    crate_keep(connection);
}

BENCH_INLINE void crate_emit(void *object, size_t number)
{
    struct crate_particle *particle = (struct crate_particle *)object;
    size_t axis;

    for (axis = 0; axis < 3; axis++) {
        particle->position[axis] = 0;
        particle->velocity[axis] = (float)(number & 0xff);
    }
    particle->age = 0;
    particle->color = (uint32_t)number;
}

BENCH_INLINE void crate_drift(void *object)
{
    struct crate_particle *particle = (struct crate_particle *)object;
    size_t axis;

    for (axis = 0; axis < 3; axis++)
        particle->position[axis] += particle->velocity[axis] * 0.016f;
    particle->age++;
}

BENCH_INLINE void crate_fill(void *object, size_t number)
{
    struct crate_message *message = (struct crate_message *)object;
    size_t i;

    message->number = number;
    for (i = 0; i < 60; i++)
        message->values[i] = (uint32_t)(number + i);
}

BENCH_INLINE void crate_transform(void *object)
{
    struct crate_message *message = (struct crate_message *)object;
    uint64_t sum = 0;
    size_t i;

    for (i = 0; i < 60; i++)
        sum += message->values[i];
    message->sum = sum;
}

#define BENCH_DEFINE_CRATE_LOOPS(name)                                                             \
    BENCH_INLINE void name##_touch(name##_state state, name##_handle *handle, uint64_t value)      \
    {                                                                                              \
        crate_touch(name##_take(state, handle), value);                                            \
    }                                                                                              \
    static void name##_single(void *of, size_t count)                                              \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handle;                                                                      \
        size_t i;                                                                                  \
                                                                                                   \
        for (i = 0; i < count; i++) {                                                              \
            name##_touch(state, &handle, i);                                                       \
            name##_give(state, handle);                                                            \
        }                                                                                          \
    }                                                                                              \
    static void name##_bulk(void *of, size_t count, size_t held)                                   \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handles[CRATE_HELD];                                                         \
        size_t done, i;                                                                            \
                                                                                                   \
        for (done = 0; done < count; done += held) {                                               \
            for (i = 0; i < held; i++)                                                             \
                name##_touch(state, &handles[i], i);                                               \
            for (i = 0; i < held; i++)                                                             \
                name##_give(state, handles[i]);                                                    \
        }                                                                                          \
    }                                                                                              \
    static void name##_churn(void *of, size_t count, size_t held)                                  \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handles[CRATE_HELD];                                                         \
        uint64_t random = 1;                                                                       \
        size_t i, at;                                                                              \
                                                                                                   \
        for (i = 0; i < held; i++)                                                                 \
            name##_touch(state, &handles[i], i);                                                   \
        for (i = held; i < count; i++) {                                                           \
            at = crate_random(&random, held);                                                      \
            name##_give(state, handles[at]);                                                       \
            name##_touch(state, &handles[at], i);                                                  \
        }                                                                                          \
        for (i = 0; i < held; i++)                                                                 \
            name##_give(state, handles[i]);                                                        \
    }                                                                                              \
    BENCH_INLINE void name##_fill(name##_state state, name##_handle *handles)                      \
    {                                                                                              \
        size_t i;                                                                                  \
                                                                                                   \
        for (i = 0; i < CRATE_HELD; i++)                                                           \
            *(uint64_t *)name##_take(state, &handles[i]) = i;                                      \
    }                                                                                              \
    BENCH_INLINE void name##_add(name##_state state, const name##_handle *handles)                 \
    {                                                                                              \
        uint64_t sum = 0;                                                                          \
        size_t i;                                                                                  \
                                                                                                   \
        for (i = 0; i < CRATE_HELD; i++)                                                           \
            sum += *(const uint64_t *)name##_at(state, handles[i]);                                \
        crate_keep(&sum);                                                                          \
    }                                                                                              \
    BENCH_INLINE void name##_give_all(name##_state state, const name##_handle *handles,            \
                                      size_t held)                                                 \
    {                                                                                              \
        size_t i;                                                                                  \
                                                                                                   \
        for (i = 0; i < held; i++)                                                                 \
            name##_give(state, handles[i]);                                                        \
    }                                                                                              \
    static void name##_array(void *of, size_t count)                                               \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handles[CRATE_HELD];                                                         \
        size_t done;                                                                               \
                                                                                                   \
        for (done = 0; done < count; done += CRATE_HELD) {                                         \
            name##_fill(state, handles);                                                           \
            name##_add(state, handles);                                                            \
            name##_give_all(state, handles, CRATE_HELD);                                           \
        }                                                                                          \
    }                                                                                              \
    static void name##_sum(void *of, size_t count)                                                 \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handles[CRATE_HELD];                                                         \
        size_t done;                                                                               \
                                                                                                   \
        name##_fill(state, handles);                                                               \
        for (done = 0; done < count; done += CRATE_HELD)                                           \
            name##_add(state, handles);                                                            \
        name##_give_all(state, handles, CRATE_HELD);                                               \
    }                                                                                              \
    static void name##_alternating(void *of, size_t count)                                         \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handles[CRATE_HELD];                                                         \
        size_t done, i;                                                                            \
                                                                                                   \
        for (done = 0; done < count; done += CRATE_HELD + CRATE_HELD / 2) {                        \
            for (i = 0; i < CRATE_HELD; i++)                                                       \
                name##_touch(state, &handles[i], i);                                               \
            for (i = 0; i < CRATE_HELD; i += 2)                                                    \
                name##_give(state, handles[i]);                                                    \
            for (i = 0; i < CRATE_HELD; i += 2)                                                    \
                name##_touch(state, &handles[i], i);                                               \
            name##_give_all(state, handles, CRATE_HELD);                                           \
        }                                                                                          \
    }                                                                                              \
    static void name##_fifo(void *of, size_t count)                                                \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handles[CRATE_HELD];                                                         \
        size_t i, oldest = 0;                                                                      \
                                                                                                   \
        for (i = 0; i < CRATE_HELD; i++)                                                           \
            name##_touch(state, &handles[i], i);                                                   \
        for (; i < count; i++) {                                                                   \
            name##_give(state, handles[oldest]);                                                   \
            name##_touch(state, &handles[oldest], i);                                              \
            oldest = oldest + 1 < CRATE_HELD ? oldest + 1 : 0;                                     \
        }                                                                                          \
        name##_give_all(state, handles, CRATE_HELD);                                               \
    }                                                                                              \
    static void name##_random(void *of, size_t count)                                              \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handles[CRATE_HELD];                                                         \
        unsigned char there[CRATE_HELD] = {0};                                                     \
        uint64_t random = 1;                                                                       \
        size_t done = 0, at;                                                                       \
                                                                                                   \
        while (done < count) {                                                                     \
            at = crate_random(&random, CRATE_HELD);                                                \
            if (there[at])                                                                         \
                name##_give(state, handles[at]);                                                   \
            else                                                                                   \
                name##_touch(state, &handles[at], done++);                                         \
            there[at] = !there[at];                                                                \
        }                                                                                          \
        for (at = 0; at < CRATE_HELD; at++)                                                        \
            if (there[at])                                                                         \
                name##_give(state, handles[at]);                                                   \
    }                                                                                              \
    static void name##_ramp(void *of, size_t count)                                                \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handles[CRATE_RAMP];                                                         \
        size_t done, i;                                                                            \
                                                                                                   \
        for (done = 0; done < count; done += CRATE_RAMP) {                                         \
            for (i = 0; i < CRATE_RAMP; i++)                                                       \
                name##_touch(state, &handles[i], i);                                               \
            name##_give_all(state, handles, CRATE_RAMP);                                           \
        }                                                                                          \
    }                                                                                              \
    static void name##_entities(void *of, size_t count)                                            \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handles[CRATE_ENTITIES];                                                     \
        size_t done, i, frame = 0;                                                                 \
                                                                                                   \
        for (i = 0; i < CRATE_ENTITIES; i++)                                                       \
            crate_spawn(name##_take(state, &handles[i]), i);                                       \
        for (done = i; done < count; frame++) {                                                    \
            for (i = 0; i < CRATE_ENTITIES; i++)                                                   \
                crate_move(name##_at(state, handles[i]));                                          \
            for (i = frame % 10; i < CRATE_ENTITIES; i += 10) {                                    \
                name##_give(state, handles[i]);                                                    \
                crate_spawn(name##_take(state, &handles[i]), done++);                              \
            }                                                                                      \
        }                                                                                          \
        name##_give_all(state, handles, CRATE_ENTITIES);                                           \
    }                                                                                              \
    static void name##_connections(void *of, size_t count)                                         \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handles[CRATE_CONNECTIONS];                                                  \
        uint64_t random = 1;                                                                       \
        size_t done, i;                                                                            \
                                                                                                   \
        for (i = 0; i < CRATE_CONNECTIONS; i++)                                                    \
            crate_accept(name##_take(state, &handles[i]), i);                                      \
        for (done = i; done < count; done++) {                                                     \
            for (i = 0; i < CRATE_SERVED; i++)                                                     \
                crate_serve(name##_at(state, handles[crate_random(&random, CRATE_CONNECTIONS)]),   \
                            i);                                                                    \
            i = crate_random(&random, CRATE_CONNECTIONS);                                          \
            name##_give(state, handles[i]);                                                        \
            crate_accept(name##_take(state, &handles[i]), done);                                   \
        }                                                                                          \
        name##_give_all(state, handles, CRATE_CONNECTIONS);                                        \
    }                                                                                              \
    static void name##_particles(void *of, size_t count)                                           \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handles[CRATE_PARTICLES];                                                    \
        size_t done, i, oldest = 0;                                                                \
                                                                                                   \
        for (i = 0; i < CRATE_PARTICLES; i++)                                                      \
            crate_emit(name##_take(state, &handles[i]), i);                                        \
        for (done = i; done < count; done += CRATE_BORN) {                                         \
            for (i = 0; i < CRATE_PARTICLES; i++)                                                  \
                crate_drift(name##_at(state, handles[i]));                                         \
            for (i = 0; i < CRATE_BORN; i++, oldest = (oldest + 1) % CRATE_PARTICLES) {            \
                name##_give(state, handles[oldest]);                                               \
                crate_emit(name##_take(state, &handles[oldest]), i);                               \
            }                                                                                      \
        }                                                                                          \
        name##_give_all(state, handles, CRATE_PARTICLES);                                          \
    }                                                                                              \
    static void name##_pipeline(void *of, size_t count)                                            \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handles[CRATE_MESSAGES];                                                     \
        size_t done, i;                                                                            \
        uint64_t sum;                                                                              \
                                                                                                   \
        for (done = 0; done < count; done += CRATE_MESSAGES) {                                     \
            for (i = 0; i < CRATE_MESSAGES; i++)                                                   \
                crate_fill(name##_take(state, &handles[i]), done + i);                             \
            for (i = 0; i < CRATE_MESSAGES; i++)                                                   \
                crate_transform(name##_at(state, handles[i]));                                     \
            for (i = 0, sum = 0; i < CRATE_MESSAGES; i++) {                                        \
                sum += ((struct crate_message *)name##_at(state, handles[i]))->sum;                \
                name##_give(state, handles[i]);                                                    \
            }                                                                                      \
            crate_keep(&sum);                                                                      \
        }                                                                                          \
    }

/* All of it, in C; `growing` is its start_growing(), or NULL. */
#define BENCH_DEFINE_CRATE(name, growing)                                                          \
    BENCH_DEFINE_CRATE_LOOPS(name)                                                                 \
    static const struct bench_crate name##_crate = {                                               \
        .start_growing = growing,                                                                  \
        .single = name##_single,                                                                   \
        .bulk = name##_bulk,                                                                       \
        .churn = name##_churn,                                                                     \
        .array = name##_array,                                                                     \
        .sum = name##_sum,                                                                         \
        .alternating = name##_alternating,                                                         \
        .fifo = name##_fifo,                                                                       \
        .random = name##_random,                                                                   \
        .ramp = name##_ramp,                                                                       \
        .entities = name##_entities,                                                               \
        .connections = name##_connections,                                                         \
        .particles = name##_particles,                                                             \
        .pipeline = name##_pipeline,                                                               \
    };

#endif
