/* SPDX-License-Identifier: MIT
 *
 * check_metadata: what a pool costs in memory beyond its objects: at most 14 bytes a slot, 64 KiB
 * a pool and 1.5 KiB a configured thread together, whatever its size.
 */
#include "tests/support/pool.h"

#include "shm/layout.h"

#include <inttypes.h>

#define SLOT_BYTES 14u
#define POOL_BYTES 65536u
#define THREAD_BYTES 1536u
#define PAGE 4096u

static struct geometry plan(const struct pool_spec *asked)
{
    struct pool_spec spec = *asked;
    struct geometry geometry;

    ck_assert_int_eq(spec_complete(&spec, NULL), 0);
    ck_assert_int_eq(geometry_plan(&geometry, &spec, NULL), 0);
    return geometry;
}

static uint64_t metadata(const struct geometry *geometry)
{
    return geometry->total - geometry->max_capacity * geometry->stride;
}

/* Around each size at which magazines or levels of the bitmap change, and far beyond. */
static const uint64_t capacities[] = {
    1,     2,     63,    64,     65,     100,    255,     256,      257,      1000,      1023,
    1024,  1025,  4095,  4096,   4097,   10000,  32767,   32768,    32769,    65535,     65536,
    65537, 99840, 99841, 131071, 131072, 262144, 1000000, 16777216, 16777217, 100000000, 2147483648,
};
#define CAPACITIES (sizeof capacities / sizeof capacities[0])

static const uint32_t threads[] = {
    1, 2, 3, 16, 64, 128, 195, 256, 500, 512, 1953, 4096, SPEC_THREADS_MAX};
#define THREADS (sizeof threads / sizeof threads[0])

/* Also of objects that end within a page. */
START_TEST(it_is_within_its_bound_at_every_size)
{
    static const uint64_t sizes[] = {1, 24, 64, 4095};
    size_t c, t, s;

    for (c = 0; c < CAPACITIES; c++)
        for (t = 0; t < THREADS; t++)
            for (s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
                struct geometry geometry = plan(&(struct pool_spec){
                    .object_size = sizes[s], .capacity = capacities[c], .max_threads = threads[t]});
                uint64_t bound =
                    SLOT_BYTES * capacities[c] + POOL_BYTES + (uint64_t)THREAD_BYTES * threads[t];

                if (metadata(&geometry) > bound)
                    ck_abort_msg("%" PRIu64 " slots of %" PRIu64 " bytes, %u threads: %" PRIu64
                                 " bytes, %" PRIu64 " allowed",
                                 capacities[c], sizes[s], threads[t], metadata(&geometry), bound);
            }
}
END_TEST

START_TEST(sessions_beyond_the_default_add_a_record_each)
{
    struct pool_spec spec = {.object_size = 64, .capacity = 1000};
    struct geometry few = plan(&spec), many;

    spec.max_sessions = SPEC_SESSIONS_MAX;
    many = plan(&spec);
    ck_assert_uint_le(
        metadata(&many) - metadata(&few),
        (uint64_t)(SPEC_SESSIONS_MAX - SPEC_SESSIONS_DEFAULT) * sizeof(struct shm_session) + PAGE);
}
END_TEST

/* Of the slots that may come there is a quarter of a byte each: words of magazines, bits. */
START_TEST(slots_that_are_not_there_yet_have_next_to_nothing)
{
    const uint64_t capacity = 1000, maximum = 100000000;
    struct geometry geometry = plan(&(struct pool_spec){.object_size = 64,
                                                        .capacity = capacity,
                                                        .max_capacity = maximum,
                                                        .growth = FASTALLOC_GROWTH_EXPONENTIAL,
                                                        .growth_factor = 2});
    struct extent extents[EXTENTS_MAX];
    unsigned count = geometry_extents(&geometry, 0, capacity, extents), i;
    uint64_t bytes = 0;

    for (i = 0; i < count; i++)
        bytes += extents[i].length;
    ck_assert_uint_le(bytes - capacity * geometry.stride, SLOT_BYTES * capacity + POOL_BYTES +
                                                              THREAD_BYTES * SPEC_THREADS_DEFAULT +
                                                              maximum / 4);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        it_is_within_its_bound_at_every_size,
        sessions_beyond_the_default_add_a_record_each,
        slots_that_are_not_there_yet_have_next_to_nothing,
    };

    return test_run(TEST_SUITE("metadata", tests, 3));
}
