/* SPDX-License-Identifier: MIT
 *
 * What anybody expects of a pool, as small programs would find it: counters that follow each
 * step, slots that come back in whatever order they are freed, values that nobody disturbs,
 * threads and processes side by side, and nothing left at the end.  By the public functions, on
 * pools with caches and without.
 */
#include "both.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define pool both_pool

/* Pools below 256 slots have no caches; 5,000 slots have magazines of 63. */
static const size_t capacities[] = {100, 5000};
#define CAPACITIES (sizeof capacities / sizeof *capacities)
#define MOST 5000

static fastalloc_handle handles[MOST + 1];

static void begin(int kind, size_t object_size, size_t capacity)
{
    fastalloc_pool_config config = api_config("pools", object_size, capacity);

    both_begin(kind, &config);
}

static void require_counts(size_t allocated, size_t capacity)
{
    fastalloc_pool_info info = api_info(pool);

    if (info.allocated != allocated || info.available != capacity - allocated ||
        info.capacity != capacity)
        ck_abort_msg("allocated %zu, available %zu of %zu, not %zu of %zu", info.allocated,
                     info.available, info.capacity, allocated, capacity);
}

/* Writes to each byte of the object what only this handle would have there. */
static void mark(fastalloc_handle handle, size_t size)
{
    memset(fastalloc_get(pool, handle), (int)(handle % 251 + 1), size);
}

static void require_mark(fastalloc_handle handle, size_t size)
{
    const unsigned char *object = fastalloc_get(pool, handle);
    size_t i;

    for (i = 0; i < size; i++)
        if (object[i] != handle % 251 + 1)
            ck_abort_msg("byte %zu of the object 0x%jx is not its own", i, (uintmax_t)handle);
}

static void swap(size_t a, size_t b)
{
    fastalloc_handle handle = handles[a];

    handles[a] = handles[b];
    handles[b] = handle;
}

/* ----------------------------------------------------- allocating and freeing */

START_TEST(the_counters_follow_each_step)
{
    size_t c, i;

    for (c = 0; c < CAPACITIES; c++) {
        const size_t capacity = capacities[c];

        begin(_i, 64, capacity);
        require_counts(0, capacity);
        ck_assert(fastalloc_pool_is_empty(pool) && !fastalloc_pool_is_full(pool));
        for (i = 0; i < capacity; i++) {
            handles[i] = api_alloc(pool);
            require_counts(i + 1, capacity);
        }
        ck_assert(fastalloc_pool_is_full(pool) && !fastalloc_pool_is_empty(pool));
        ck_assert(!fastalloc_pool_can_grow(pool));
        ck_assert_uint_eq(fastalloc_pool_allocated(pool), capacity);
        ck_assert_uint_eq(fastalloc_pool_available(pool), 0);
        ck_assert_uint_eq(fastalloc_pool_capacity(pool), capacity);
        for (i = capacity; i-- > 0;) {
            require_ok(fastalloc_free(pool, handles[i]));
            require_counts(i, capacity);
        }
        ck_assert(fastalloc_pool_is_empty(pool));
        both_end(_i);
    }
}
END_TEST

START_TEST(after_exhaustion_one_free_makes_room_for_just_one)
{
    fastalloc_handle freed, other = 99;
    size_t c, i;

    for (c = 0; c < CAPACITIES; c++) {
        begin(_i, 64, capacities[c]);
        ck_assert_uint_eq(api_fill(pool, handles, MOST + 1), capacities[c]);
        for (i = 0; i < 50; i++) {
            freed = handles[i * 2];
            require_ok(fastalloc_free(pool, freed));
            require_ok(fastalloc_alloc(pool, &handles[i * 2], NULL));
            ck_assert_uint_ne(handles[i * 2], freed);
            ck_assert_uint_eq(fastalloc_handle_index(pool, handles[i * 2]),
                              fastalloc_handle_index(pool, freed));
            ck_assert_ptr_null(fastalloc_get(pool, freed));
            require_failure(fastalloc_alloc(pool, &other, NULL), FASTALLOC_E_EXHAUSTED, "pools");
            ck_assert_uint_eq(other, 99);
        }
        api_free_all(pool, handles, capacities[c]);
        api_require_whole(pool);
        both_end(_i);
    }
}
END_TEST

START_TEST(freeing_in_the_middle_leaves_neighbours_alone)
{
    const size_t count = 300, size = 40;
    size_t i, round;

    begin(_i, size, 1000);
    for (i = 0; i < count; i++) {
        handles[i] = api_alloc(pool);
        mark(handles[i], size);
    }
    for (round = 0; round < 10; round++) {
        for (i = round % 3; i < count; i += 3) {
            require_ok(fastalloc_free(pool, handles[i]));
            ck_assert_ptr_null(fastalloc_get(pool, handles[i]));
        }
        for (i = 0; i < count; i++)
            if (i % 3 != round % 3)
                require_mark(handles[i], size);
        for (i = round % 3; i < count; i += 3) {
            handles[i] = api_alloc(pool);
            mark(handles[i], size);
        }
        for (i = 0; i < count; i++)
            require_mark(handles[i], size);
    }
    api_free_all(pool, handles, count);
    both_end(_i);
}
END_TEST

enum order { AS_ALLOCATED, BACKWARDS, EVEN_THEN_ODD, FROM_THE_MIDDLE, SHUFFLED, ORDERS };

/* Brings what was allocated in this order into the one to free it in. */
static void arrange(enum order order, size_t count)
{
    fastalloc_handle *as_allocated = malloc(count * sizeof *as_allocated);
    uint64_t state = 12345;
    size_t i;

    memcpy(as_allocated, handles, count * sizeof *as_allocated);
    for (i = 0; i < count; i++) {
        const size_t half = (count + 1) / 2;

        switch (order) {
        case AS_ALLOCATED:
            break;
        case BACKWARDS:
            handles[i] = as_allocated[count - 1 - i];
            break;
        case EVEN_THEN_ODD:
            handles[i] = as_allocated[i < half ? 2 * i : 2 * (i - half) + 1];
            break;
        case FROM_THE_MIDDLE:
            handles[i] = as_allocated[(i + count / 2) % count];
            break;
        case SHUFFLED:
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
            swap(i, (size_t)(state >> 33) % (i + 1));
            break;
        case ORDERS:
            ck_abort();
        }
    }
    free(as_allocated);
}

START_TEST(in_whatever_order_slots_are_freed_all_are_there_again)
{
    size_t c, order;

    for (c = 0; c < CAPACITIES; c++) {
        begin(_i, 16, capacities[c]);
        for (order = 0; order < ORDERS; order++) {
            ck_assert_uint_eq(api_fill(pool, handles, MOST + 1), capacities[c]);
            arrange(order, capacities[c]);
            api_free_all(pool, handles, capacities[c]);
            api_require_whole(pool);
        }
        both_end(_i);
    }
}
END_TEST

START_TEST(a_thousand_rapid_cycles_use_one_slot)
{
    fastalloc_handle first, handle;
    size_t i, *object;
    void *address;

    begin(_i, sizeof *object, 1000);
    require_ok(fastalloc_alloc(pool, &first, NULL));
    require_ok(fastalloc_free(pool, first));
    for (i = 0; i < 1000; i++) {
        require_ok(fastalloc_alloc(pool, &handle, &address));
        object = address;
        *object = i;
        ck_assert_uint_eq(*(size_t *)fastalloc_get(pool, handle), i);
        /* Last in, first out: the slot that is still in the processor's cache. */
        ck_assert_uint_eq(fastalloc_handle_index(pool, handle),
                          fastalloc_handle_index(pool, first));
        require_ok(fastalloc_free(pool, handle));
    }
    require_counts(0, 1000);
    both_end(_i);
}
END_TEST

START_TEST(a_hundred_cycles_of_everything_leak_nothing)
{
    size_t i, capacity = 0;

    begin(_i, 64, 1000);
    for (i = 0; i < 100; i++) {
        capacity = api_fill(pool, handles, MOST);
        ck_assert_uint_eq(capacity, 1000);
        api_free_all(pool, handles, capacity);
        require_counts(0, 1000);
    }
    api_require_whole(pool);
    both_end(_i);
}
END_TEST

START_TEST(half_freed_and_then_the_rest_ten_times)
{
    const size_t capacity = 1000;
    size_t i, round;

    begin(_i, 64, capacity);
    for (round = 0; round < 10; round++) {
        ck_assert_uint_eq(api_fill(pool, handles, MOST), capacity);
        for (i = 0; i < capacity; i += 2)
            require_ok(fastalloc_free(pool, handles[i]));
        require_counts(capacity / 2, capacity);
        for (i = 1; i < capacity; i += 2)
            require_ok(fastalloc_free(pool, handles[i]));
        require_counts(0, capacity);
    }
    api_require_whole(pool);
    both_end(_i);
}
END_TEST

START_TEST(objects_of_ten_thousand_bytes_keep_every_one_of_them)
{
    const size_t size = 10240, count = 500;
    size_t i;

    begin(_i, size, count);
    for (i = 0; i < count; i++) {
        handles[i] = api_alloc(pool);
        mark(handles[i], size);
    }
    for (i = 0; i < count; i++)
        require_mark(handles[i], size);
    api_free_all(pool, handles, count);
    api_require_whole(pool);
    both_end(_i);
}
END_TEST

/* ------------------------------------------------------ threads and processes */

struct crew {
    size_t slots, rounds; /* each holds so many at once, so many times */
    pthread_barrier_t full;
};

/* What one thread, or one process, does with its share. */
static const char *work(const struct crew *crew, uint64_t who)
{
    fastalloc_handle *own = malloc(crew->slots * sizeof *own);
    const char *trouble = NULL;
    size_t round, i;

    for (round = 0; round < crew->rounds && !trouble; round++) {
        for (i = 0; i < crew->slots && !trouble; i++) {
            void *object;

            if (fastalloc_alloc(pool, &own[i], &object))
                trouble = "an allocation failed";
            else
                *(uint64_t *)object = who << 32 | i;
        }
        for (i = 0; i < crew->slots && !trouble; i++) {
            const uint64_t *object = fastalloc_get(pool, own[i]);

            if (!object || *object != (who << 32 | i))
                trouble = "an object is not its own";
            else if (fastalloc_free(pool, own[i]))
                trouble = "a free failed";
        }
    }
    free(own);
    return trouble;
}

struct worker {
    pthread_t thread;
    struct crew *crew;
    uint64_t who;
    const char *trouble;
};

static void *run_worker(void *argument)
{
    struct worker *worker = argument;

    pthread_barrier_wait(&worker->crew->full);
    worker->trouble = work(worker->crew, worker->who);
    return NULL;
}

static void require_threads(int kind, unsigned count, size_t slots, size_t rounds, size_t capacity)
{
    struct crew crew = {.slots = slots, .rounds = rounds};
    struct worker workers[16];
    unsigned i;

    begin(kind, 64, capacity);
    pthread_barrier_init(&crew.full, NULL, count);
    for (i = 0; i < count; i++) {
        workers[i] = (struct worker){.crew = &crew, .who = i + 1};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]), 0);
    }
    for (i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        ck_assert_msg(!workers[i].trouble, "thread %u: %s", i, workers[i].trouble);
    }
    pthread_barrier_destroy(&crew.full);
    require_counts(0, capacity);
    api_require_whole(pool);
    both_end(kind);
}

START_TEST(ten_threads_with_fifty_slots_each_of_just_enough)
{
    require_threads(_i, 10, 50, 1, 500);
}
END_TEST

START_TEST(four_threads_with_a_hundred_slots_each_of_just_enough)
{
    require_threads(_i, 4, 100, 10, 400);
}
END_TEST

START_TEST(eight_threads_a_thousand_times_each)
{
    require_threads(_i, 8, 1, 1000, 100);
    require_threads(_i, 8, 50, 20, 1000);
}
END_TEST

static void run_process(int channel, void *argument)
{
    const struct crew *crew = argument;
    const char *trouble;

    trouble = work(crew, (uint64_t)fastalloc_pool_session(pool));
    if (trouble)
        fprintf(stderr, "%s: %s\n", trouble, fastalloc_last_error());
    child_require(trouble == NULL);
    channel_put(channel, 0);
}

START_TEST(four_processes_with_a_hundred_slots_each_of_just_enough)
{
    struct crew crew = {.slots = 100, .rounds = 20};
    struct child children[4];
    unsigned i;

    begin(_i, 64, 400);
    for (i = 0; i < 4; i++)
        child_start(&children[i], run_process, &crew);
    for (i = 0; i < 4; i++) {
        channel_take(children[i].channel);
        child_join(&children[i]);
    }
    ck_assert(_i == BOTH_LOCAL || api_sessions_become(pool, 1));
    require_counts(0, 400);
    api_require_whole(pool);
    both_end(_i);
}
END_TEST

/* ------------------------------------------------------------------- the end */

static int find_other(const fastalloc_slot *slot, void *argument)
{
    fastalloc_handle *seen = argument;

    if (slot->handle == seen[0])
        return 0;
    seen[1] = slot->handle;
    return 1;
}

START_TEST(a_forgotten_handle_keeps_its_slot_and_can_be_found_by_walking)
{
    fastalloc_handle seen[2] = {FASTALLOC_NONE, FASTALLOC_NONE}, forgotten;

    begin(_i, 64, 300);
    seen[0] = api_alloc(pool);
    {
        FASTALLOC_AUTO fastalloc_owned box = fastalloc_own(pool);

        ck_assert_ptr_nonnull(box.object);
        forgotten = fastalloc_disown(&box);
    }
    require_counts(2, 300);
    ck_assert_int_eq(fastalloc_pool_walk(pool, find_other, seen), 1);
    ck_assert_uint_eq(seen[1], forgotten);
    require_ok(fastalloc_free(pool, seen[1]));
    require_ok(fastalloc_free(pool, seen[0]));
    api_require_whole(pool);
    both_end(_i);
}
END_TEST

START_TEST(handles_that_are_forgotten_go_back_when_their_session_ends)
{
    fastalloc_handle *lost;
    fastalloc_pool *other;

    begin(BOTH_DAEMON, 64, 300);
    require_ok(fastalloc_pool_open(both_client, "pools", NULL, &other));
    lost = malloc(200 * sizeof *lost);
    ck_assert_uint_eq(api_fill(other, lost, 200), 200);
    ck_assert_ptr_nonnull(fastalloc_get(pool, lost[0]));
    handles[0] = lost[0];
    free(lost);
    require_counts(200, 300);
    require_ok(fastalloc_pool_close(other));
    ck_assert(api_allocated_becomes(pool, 0));
    ck_assert_ptr_null(fastalloc_get(pool, handles[0]));
    api_require_whole(pool);
    both_end(BOTH_DAEMON);
}
END_TEST

static unsigned mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    unsigned count = 0;
    char line[512];

    while (fgets(line, sizeof line, file))
        count += strstr(line, "/dev/shm/") || strstr(line, "/memfd:");
    fclose(file);
    return count;
}

START_TEST(closing_a_full_pool_leaves_no_memory_and_no_descriptor)
{
    fastalloc_pool_config config = api_config("teardown", 64, 1000);
    fastalloc_pool *full;
    unsigned before_mappings, i;
    int before_descriptors;

    /* With one pool made before, the thread has all that it keeps for the next. */
    begin(_i, 64, 1000);
    api_fill(pool, NULL, 500);
    before_mappings = mappings();
    before_descriptors = test_descriptors(0);
    for (i = 0; i < 20; i++) {
        if (_i == BOTH_LOCAL)
            require_ok(fastalloc_pool_create_local(&config, &full));
        else
            require_ok(fastalloc_pool_create(both_client, &config, &full));
        ck_assert_uint_eq(api_fill(full, handles, MOST), 1000);
        ck_assert_uint_gt(mappings(), before_mappings);
        require_ok(fastalloc_pool_close(full));
        ck_assert_uint_eq(mappings(), before_mappings);
        ck_assert_int_eq(test_descriptors(0), before_descriptors);
    }
    ck_assert(_i == BOTH_LOCAL || test_daemon_segments_become(&both_daemon, 1));
    both_end(_i);
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {
        the_counters_follow_each_step,
        after_exhaustion_one_free_makes_room_for_just_one,
        freeing_in_the_middle_leaves_neighbours_alone,
        in_whatever_order_slots_are_freed_all_are_there_again,
        a_thousand_rapid_cycles_use_one_slot,
        a_hundred_cycles_of_everything_leak_nothing,
        half_freed_and_then_the_rest_ten_times,
        objects_of_ten_thousand_bytes_keep_every_one_of_them,
        ten_threads_with_fifty_slots_each_of_just_enough,
        four_threads_with_a_hundred_slots_each_of_just_enough,
        eight_threads_a_thousand_times_each,
        four_processes_with_a_hundred_slots_each_of_just_enough,
        a_forgotten_handle_keeps_its_slot_and_can_be_found_by_walking,
        closing_a_full_pool_leaves_no_memory_and_no_descriptor,
        NULL,
    };
    const TTest *const once[] = {
        handles_that_are_forgotten_go_back_when_their_session_ends,
        NULL,
    };

    return both_run("pools", of_both, once, 30);
}
