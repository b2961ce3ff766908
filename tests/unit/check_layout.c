/* SPDX-License-Identifier: MIT
 *
 * check_layout: the segment's shape, and that nothing but a whole pool of one's own
 * kind is attached.
 */
#include "tests/support/pool.h"

#include "shm/magazine.h"
#include "shm/slot.h"

#include <stdio.h>
#include <string.h>

static struct test_pool pool;
static struct shm_header *header;
static struct reason why;

static void begin(uint64_t capacity)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = capacity});
    header = pool.segment.header;
    why = (struct reason){0, ""};
}

static int attach(struct segment *segment)
{
    return segment_attach(segment, pool.segment.base, pool.bytes, NULL, &why);
}

/* ---------------------------------------------------------------- geometry */

START_TEST(parts_follow_each_other_aligned_and_without_overlap)
{
    static const uint64_t capacities[] = {1, 64, 255, 256, 1000, 4096, 40000, 3000000};
    size_t i;

    for (i = 0; i < sizeof capacities / sizeof capacities[0]; i++) {
        struct pool_spec spec = {
            .object_size = 24, .capacity = capacities[i], .flags = SPEC_SHARING | SPEC_NOTES};
        struct geometry g;
        uint64_t bitmap = 0;
        uint32_t level;

        ck_assert_int_eq(spec_complete(&spec, NULL), 0);
        ck_assert_int_eq(geometry_plan(&g, &spec, NULL), 0);
        for (level = 0; level < g.levels; level++)
            bitmap += 8 * g.level_words[level];
        ck_assert_uint_ge(g.sessions_at, sizeof(struct shm_header));
        ck_assert_uint_ge(g.depots_at,
                          g.sessions_at + (g.sessions + 1) * sizeof(struct shm_session));
        ck_assert_uint_ge(g.caches_at, g.depots_at + g.depots * sizeof(struct shm_depot));
        ck_assert_uint_ge(g.magazine_words_at, g.caches_at + g.caches * sizeof(struct shm_cache));
        ck_assert_uint_ge(g.magazine_links_at, g.magazine_words_at + 8ull * g.magazines);
        ck_assert_uint_ge(g.bitmap_at, g.magazine_links_at + 4ull * g.magazines);
        ck_assert_uint_ge(g.magazines_at, g.bitmap_at + bitmap);
        ck_assert_uint_ge(g.words_at, g.magazines_at + 4ull * g.magazines * (g.magazine_size + 1));
        ck_assert_uint_ge(g.notes_at, g.words_at + 8 * g.max_capacity);
        ck_assert_uint_ge(g.holders_at, g.notes_at + 8 * g.max_capacity);
        ck_assert_uint_eq(g.row_words, 4);
        ck_assert_uint_ge(g.guard_at, g.holders_at + 32 * g.max_capacity);
        ck_assert_uint_eq(g.objects_at % 4096, 0);
        ck_assert_uint_eq(g.objects_at, g.guard_at + 4096);
        ck_assert_uint_ge(g.total, g.objects_at + g.stride * g.max_capacity);
        ck_assert_uint_eq(g.total % 4096, 0);
        ck_assert_uint_eq(g.stride, 24);
        ck_assert_uint_eq((g.sessions_at | g.depots_at | g.caches_at | g.magazine_words_at |
                           g.magazine_links_at | g.magazines_at | g.words_at | g.bitmap_at) %
                              64,
                          0);
        ck_assert_uint_eq(g.depots_at % sizeof(struct shm_depot), 0);
        ck_assert_uint_ge(UINT64_C(1) << g.index_bits, g.max_capacity);
    }
}
END_TEST

START_TEST(there_are_magazines_for_every_slot_and_two_for_every_cache)
{
    begin(1000);
    ck_assert_uint_ge(pool.segment.geometry.magazines,
                      (1000 + 14) / 15 + 2 * pool.segment.geometry.caches);
    test_pool_end(&pool);
}
END_TEST

START_TEST(what_no_process_can_map_is_refused)
{
    struct pool_spec spec = {.object_size = 1 << 20, .capacity = 1 << 30};
    struct geometry g = {.total = 77};

    ck_assert_int_eq(spec_complete(&spec, NULL), 0);
    ck_assert_int_eq(geometry_plan(&g, &spec, &why), FASTALLOC_E_LIMIT);
    ck_assert_ptr_nonnull(strstr(why.text, "1073741824"));
    ck_assert_ptr_nonnull(strstr(why.text, "1048576"));
    ck_assert_uint_eq(g.total, 77);
}
END_TEST

/* --------------------------------------------------------------- attaching */

START_TEST(what_was_made_is_attached_and_described)
{
    struct segment segment;
    struct pool_spec spec;

    begin(5000);
    ck_assert_int_eq(segment_attach(&segment, pool.segment.base, pool.bytes, &spec, &why), 0);
    ck_assert_mem_eq(&segment.geometry, &pool.segment.geometry, sizeof segment.geometry);
    ck_assert_ptr_eq(segment.words, pool.segment.words);
    ck_assert_str_eq(spec.name, "test");
    ck_assert_uint_eq(spec.capacity, 5000);
    ck_assert_uint_eq(spec.max_capacity, 5000);
    ck_assert_uint_eq(spec.object_size, 64);
    ck_assert_uint_eq(segment_capacity(&segment), 5000);
    ck_assert_uint_eq(segment_state(&segment), POOL_LIVE);
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_segment_not_yet_published_is_a_version_error)
{
    struct segment segment;

    begin(300);
    header->magic = 0;
    ck_assert_int_eq(attach(&segment), FASTALLOC_E_VERSION);
    ck_assert_ptr_nonnull(strstr(why.text, "published"));
    header->magic = LAYOUT_MAGIC ^ 1;
    ck_assert_int_eq(attach(&segment), FASTALLOC_E_VERSION);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(another_major_version_or_feature_is_a_version_error)
{
    struct segment segment;
    char version[32];

    begin(300);
    header->major = LAYOUT_MAJOR + 1;
    ck_assert_int_eq(attach(&segment), FASTALLOC_E_VERSION);
    snprintf(version, sizeof version, "layout %u.%u", LAYOUT_MAJOR, LAYOUT_MINOR);
    ck_assert_ptr_nonnull(strstr(why.text, version));
    header->major = LAYOUT_MAJOR;
    header->flags = 0x40;
    ck_assert_int_eq(attach(&segment), FASTALLOC_E_VERSION);
    ck_assert_ptr_nonnull(strstr(why.text, "0x40"));
    header->flags = 0;
    ck_assert_int_eq(attach(&segment), 0);
    test_pool_end(&pool);
}
END_TEST

START_TEST(each_part_of_the_fingerprint_is_a_version_error)
{
    struct segment segment;
    uint32_t *parts, i;

    begin(300);
    parts = (uint32_t *)&header->fingerprint;
    for (i = 0; i < sizeof header->fingerprint / sizeof *parts; i++) {
        parts[i] ^= 4;
        ck_assert_int_eq(attach(&segment), FASTALLOC_E_VERSION);
        parts[i] ^= 4;
    }
    header->fingerprint.word_size = 4;
    attach(&segment);
    ck_assert_ptr_nonnull(strstr(why.text, "4-byte words"));
    test_pool_discard(&pool);
}
END_TEST

START_TEST(truncated_segments_are_refused)
{
    struct segment segment;
    uint64_t size,
        sizes[] = {0, 8, 100, sizeof(struct shm_header) - 1, sizeof(struct shm_header), 4096, 0, 0};
    size_t i;

    begin(300);
    sizes[6] = pool.bytes / 2;
    sizes[7] = pool.bytes - 1;
    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size = sizes[i];
        ck_assert_int_eq(segment_attach(&segment, pool.segment.base, size, NULL, &why),
                         FASTALLOC_E_POISONED);
        ck_assert_ptr_nonnull(strstr(why.text, "bytes"));
    }
    /* A mapping may be longer. */
    ck_assert_int_eq(segment_attach(&segment, pool.segment.base, pool.bytes + 4096, NULL, &why), 0);
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_refused_header_leaves_the_outputs_alone)
{
    struct segment segment;
    struct pool_spec spec;

    begin(300);
    memset(&segment, 0x5a, sizeof segment);
    memset(&spec, 0x5a, sizeof spec);
    header->total += 4096;
    ck_assert_int_eq(segment_attach(&segment, pool.segment.base, pool.bytes, &spec, &why),
                     FASTALLOC_E_POISONED);
    ck_assert_uint_eq(segment.geometry.total, UINT64_C(0x5a5a5a5a5a5a5a5a));
    ck_assert_uint_eq(spec.capacity, UINT64_C(0x5a5a5a5a5a5a5a5a));
    test_pool_discard(&pool);
}
END_TEST

/* Whether a header that was accepted with a byte changed means the same memory:
 * every part where its maker has it. */
static bool is_harmless(const struct segment *segment)
{
    struct geometry seen = segment->geometry, made = pool.segment.geometry;

    /* The objects' size may differ within the stride, and slots may be fewer. */
    seen.object_size = made.object_size = 0;
    seen.capacity = made.capacity = 0;
    return !memcmp(&seen, &made, sizeof seen);
}

START_TEST(a_flipped_byte_of_the_header_is_refused_or_harmless)
{
    static const uint64_t capacities[] = {40, 300, 5000};
    static const uint8_t flips[] = {0x01, 0x02, 0x10, 0x80, 0xff};
    unsigned accepted = 0, harmful = 0;
    size_t at, flip;

    begin(capacities[_i]);
    for (at = 0; at < offsetof(struct shm_header, state); at++)
        for (flip = 0; flip < sizeof flips; flip++) {
            uint8_t *byte = (uint8_t *)pool.segment.base + at;
            struct segment segment;

            *byte ^= flips[flip];
            if (attach(&segment) == 0) {
                accepted++;
                if (!is_harmless(&segment)) {
                    harmful++;
                    fprintf(stderr, "  byte %zu ^ 0x%02x is accepted, with another shape\n", at,
                            flips[flip]);
                }
            }
            *byte ^= flips[flip];
        }
    ck_assert_uint_gt(accepted, 0); /* the name's bytes, say */
    ck_assert_msg(harmful == 0, "%u changes are accepted that move the parts", harmful);
    test_pool_end(&pool);
}
END_TEST

START_TEST(headers_of_garbage_are_refused)
{
    uint64_t random = test_seed("garbage"), changes[4];
    struct segment segment;
    unsigned round, i;
    uint8_t saved[sizeof(struct shm_header)];

    begin(300);
    memcpy(saved, header, sizeof saved);
    for (round = 0; round < 20000; round++) {
        /* Some numbers of the header, each now and then extreme. */
        uint64_t *fields[] = {&header->total,    &header->object_size,  &header->alignment,
                              &header->capacity, &header->max_capacity, &header->objects_at};

        for (i = 0; i < 4; i++) {
            changes[i] = test_random(&random);
            *fields[changes[i] % 6] =
                changes[i] % 3 ? changes[i] >> changes[i] % 64 : UINT64_MAX - changes[i] % 16;
        }
        header->max_threads = (uint32_t)test_random(&random) >> test_random(&random) % 32;
        header->max_sessions = (uint32_t)test_random(&random) >> test_random(&random) % 32;
        if (attach(&segment) == 0)
            TEST_REQUIRE(segment.geometry.total <= pool.bytes, "%llu bytes of %llu",
                         (unsigned long long)segment.geometry.total,
                         (unsigned long long)pool.bytes);
        memcpy(header, saved, sizeof saved);
    }
    test_pool_end(&pool);
}
END_TEST

START_TEST(names_without_an_end_are_cut_or_refused)
{
    struct pool_spec spec;
    struct segment segment;

    begin(300);
    memset(header->name, 'n', sizeof header->name);
    memset(header->type_name, 't', sizeof header->type_name);
    if (segment_attach(&segment, pool.segment.base, pool.bytes, &spec, &why) == 0) {
        ck_assert_uint_eq(strlen(spec.name), SPEC_NAME_MAX);
        ck_assert_uint_eq(strlen(spec.type_name), SPEC_TYPE_NAME_MAX);
    }
    test_pool_discard(&pool);
}
END_TEST

/* ---------------------------------------------------------------- the pool */

START_TEST(capacity_is_bounded_by_the_table)
{
    begin(300);
    header->published = UINT64_MAX;
    ck_assert_uint_eq(segment_capacity(&pool.segment), 300);
    header->published = 5;
    ck_assert_uint_eq(segment_capacity(&pool.segment), 5);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_state_unknown_is_poisoned)
{
    begin(300);
    header->state = POOL_DESTROYED;
    ck_assert_uint_eq(segment_state(&pool.segment), POOL_DESTROYED);
    header->state = 77;
    ck_assert_uint_eq(segment_state(&pool.segment), POOL_POISONED);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(setting_the_state_makes_every_thread_notice)
{
    struct actor actors[3];
    int i;

    begin(300);
    for (i = 0; i < 3; i++) {
        actors[i] = test_pool_actor(&pool, (uint32_t)i + 1);
        cache_enter(&pool.segment, &actors[i]); /* new ones are marked */
        cache_leave(&pool.segment, &actors[i]);
        ck_assert(!cache_revoked(&pool.segment, &actors[i]));
    }
    segment_set_state(&pool.segment, POOL_DESTROYED);
    ck_assert_uint_eq(segment_state(&pool.segment), POOL_DESTROYED);
    for (i = 0; i < 3; i++)
        ck_assert(cache_revoked(&pool.segment, &actors[i]));
    test_pool_end(&pool);
}
END_TEST

START_TEST(formatting_keeps_generations_within_their_bits)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = 300, .first_generation = UINT64_MAX});
    ck_assert_uint_eq(pool.segment.header->first_generation, slot_generation_last(16));
    test_pool_end(&pool);
    test_pool_make(&pool,
                   &(struct test_shape){.capacity = 300, .first_generation = UINT64_C(1) << 48});
    ck_assert_uint_eq(pool.segment.header->first_generation, 1);
    test_pool_end(&pool);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        parts_follow_each_other_aligned_and_without_overlap,
        there_are_magazines_for_every_slot_and_two_for_every_cache,
        what_no_process_can_map_is_refused,
        what_was_made_is_attached_and_described,
        a_segment_not_yet_published_is_a_version_error,
        another_major_version_or_feature_is_a_version_error,
        each_part_of_the_fingerprint_is_a_version_error,
        truncated_segments_are_refused,
        a_refused_header_leaves_the_outputs_alone,
        headers_of_garbage_are_refused,
        names_without_an_end_are_cut_or_refused,
        capacity_is_bounded_by_the_table,
        a_state_unknown_is_poisoned,
        setting_the_state_makes_every_thread_notice,
        formatting_keeps_generations_within_their_bits,
    };
    Suite *suite = TEST_SUITE("layout", tests, 15);
    TCase *flips = tcase_create("flips");

    tcase_set_timeout(flips, 15);
    tcase_add_loop_test(flips, a_flipped_byte_of_the_header_is_refused_or_harmless, 0, 3);
    suite_add_tcase(suite, flips);
    return test_run(suite);
}
