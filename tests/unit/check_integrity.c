/* SPDX-License-Identifier: MIT
 *
 * check_integrity: the integrity check itself (lib/shm/check.c): each kind of
 * finding, from a corruption made by hand, and none on healthy pools.
 */
#include "tests/support/pool.h"

#include "shm/bitmap.h"
#include "shm/check.h"
#include "shm/depot.h"
#include "shm/magazine.h"
#include "shm/session.h"
#include "shm/share.h"
#include "shm/slot.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ME = 1, OTHER = 2 };

static struct test_pool pool;
static struct segment *segment;
static struct actor me;
static struct check_report report;

/* A healthy pool with something of everything: slots owned, cached, in a depot,
 * returned, never used. */
static void begin(void)
{
    struct actor other, bare;
    uint64_t i;

    test_pool_make(&pool, &(struct test_shape){.capacity = 5000, .flags = SPEC_FLAGS});
    segment = &pool.segment;
    me = test_pool_actor(&pool, ME);
    other = test_pool_actor(&pool, OTHER);
    bare = test_pool_bare_actor(&pool, OTHER);
    for (i = 0; i < 1000; i++)
        test_pool_alloc(&pool, i % 2 ? &me : &other);
    for (i = 0; i < 600; i++)
        test_pool_free(&pool, i % 3 ? &me : &bare, i);
    cache_release(segment, &other);
    ck_assert(depot_has_stock(segment, 0) || depot_has_stock(segment, 1) ||
              depot_has_stock(segment, 2) || depot_has_stock(segment, 3));
}

/* Some slot that is owned, or in the returned state, or idle. */
static uint64_t slot_with(uint32_t owner)
{
    uint64_t index;

    for (index = 0; index < 5000; index++)
        if (segment->words[index] && slot_owner_of(segment->words[index]) == owner)
            return index;
    ck_abort_msg("no slot of owner %u", owner);
    return 0;
}

/* A magazine of a depot, with entries. */
static uint32_t magazine_of_a_depot(void)
{
    uint32_t magazine;

    for (magazine = 0; magazine < segment->geometry.magazines; magazine++)
        if (magazine_owner(segment->magazine_words[magazine]) >= MAGAZINE_DEPOT_BASE &&
            magazine_n(segment->magazine_words[magazine]) > 1)
            return magazine;
    ck_abort_msg("no magazine of a depot");
    return 0;
}

static uint32_t depot_of(uint32_t magazine)
{
    return magazine_owner(segment->magazine_words[magazine]) - MAGAZINE_DEPOT_BASE;
}

static uint32_t *head_of(uint32_t magazine)
{
    struct shm_depot *depot = &segment->depots[depot_of(magazine)];

    return magazine_n(segment->magazine_words[magazine]) < segment->geometry.magazine_size
               ? &depot->partial
               : &depot->full;
}

/* The check finds this kind at this place, and says so; and nothing else but
 * `also` kinds. */
static void expect(enum check_kind kind, uint64_t place)
{
    size_t i;
    bool found = false;

    ck_assert_int_eq(check_confirm(segment, 3, 100, &report), 0);
    for (i = 0; i < report.count; i++)
        if (report.findings[i].kind == kind && report.findings[i].place == place) {
            found = true;
            ck_assert_ptr_nonnull(strstr(report.findings[i].text, check_kind_name(kind)));
        }
    ck_assert_msg(found, "not found; %llu findings, the first: %s",
                  (unsigned long long)report.total, report.findings[0].text);
}

static void expect_only(enum check_kind kind, uint64_t place)
{
    expect(kind, place);
    ck_assert_msg(report.total == 1, "%llu findings, the first: %s",
                  (unsigned long long)report.total, report.findings[0].text);
}

START_TEST(a_healthy_pool_has_no_findings)
{
    begin();
    ck_assert_int_eq(check_confirm(segment, 1, 0, &report), 0);
    ck_assert_uint_eq(report.total, 0);
    ck_assert_uint_eq(report.count, 0);
    test_pool_end(&pool);
}
END_TEST

START_TEST(new_pools_of_all_sizes_have_no_findings)
{
    static const uint64_t capacities[] = {1, 64, 255, 256, 1024, 4096, 40000};
    size_t i;

    for (i = 0; i < sizeof capacities / sizeof capacities[0]; i++) {
        test_pool_make(&pool, &(struct test_shape){.capacity = capacities[i]});
        test_pool_end(&pool);
    }
}
END_TEST

/* Gives some slot of `me`'s to another owner. */
static uint64_t hand_over(uint32_t owner)
{
    uint64_t index = slot_with(ME);

    segment->words[index] = segment->words[index] - ME + owner;
    return index;
}

START_TEST(slots_left_to_anyone_shared_and_quarantined_are_in_order)
{
    begin();
    hand_over(SLOT_ANYONE);
    segment->holders[hand_over(SLOT_SHARED)] = 3;
    segment->holders[slot_with(OTHER)] = 1; /* a joiner who came too late, and is stopped */
    hand_over(SLOT_QUARANTINED);
    hand_over(SHARE_CLOSING + OTHER);
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_shared_slot_that_nobody_holds_is_lost)
{
    begin();
    expect_only(CHECK_SLOT_LOST, hand_over(SLOT_SHARED));
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_slot_that_a_dead_session_is_closing)
{
    begin();
    expect_only(CHECK_SLOT_DEAD_OWNER, hand_over(SHARE_CLOSING + 5));
    expect(CHECK_SLOT_WORD, hand_over(SHARE_CLOSING + segment->geometry.sessions + 1));
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_dead_session_in_a_row_of_holders)
{
    uint64_t index;

    begin();
    index = hand_over(SLOT_SHARED);
    segment->holders[index] = 1 | 1 << 4;
    expect_only(CHECK_HOLDER, index);
    segment->holders[index] = 1;
    segment->holders[4999] = UINT64_C(1) << 63; /* never used, and no such session */
    expect_only(CHECK_HOLDER, 4999);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(shared_and_quarantined_slots_in_pools_that_know_no_such_thing)
{
    uint64_t first, second, third;

    test_pool_make(&pool, &(struct test_shape){.capacity = 64});
    segment = &pool.segment;
    me = test_pool_bare_actor(&pool, ME);
    test_pool_drain(&pool, &me);
    first = hand_over(SLOT_SHARED);
    second = hand_over(SLOT_QUARANTINED);
    third = hand_over(SHARE_CLOSING + ME);
    expect(CHECK_SLOT_WORD, first);
    expect(CHECK_SLOT_WORD, second);
    expect(CHECK_SLOT_WORD, third);
    ck_assert_uint_eq(report.total, 3);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(withdrawn_slots_are_lost_below_the_capacity_and_in_order_above)
{
    uint64_t index;

    begin();
    segment->header->published = 4000;
    for (index = 4000; index < 4500; index++)
        segment->words[index] = slot_word(segment, 1000, SLOT_WITHDRAWN);
    test_pool_assert_clean(&pool);
    expect_only(CHECK_SLOT_LOST, hand_over(SLOT_WITHDRAWN));
    test_pool_discard(&pool);
}
END_TEST

/* What lies beyond has no memory: here it is not to be touched, on pain of a SIGSEGV. */
START_TEST(nothing_is_looked_at_beyond_what_is_reserved)
{
    struct extent extents[EXTENTS_MAX];
    uint64_t from, page = (uint64_t)sysconf(_SC_PAGESIZE);
    unsigned count, i;

    test_pool_make(&pool, &(struct test_shape){
                              .capacity = 20000, .max_capacity = 400000, .flags = SPEC_FLAGS});
    segment = &pool.segment;
    me = test_pool_actor(&pool, ME);
    ck_assert_uint_eq(test_pool_drain(&pool, &me), 20000);
    test_pool_refill(&pool, &me);
    count = geometry_extents(&segment->geometry, 20000, 400000, extents);
    for (i = 0; i < count; i++) {
        from = (extents[i].from + page - 1) / page * page;
        ck_assert_int_eq(mprotect(segment->base + from,
                                  (extents[i].from + extents[i].length - from) / page * page,
                                  PROT_NONE),
                         0);
    }
    test_pool_assert_clean(&pool);
    segment->magazine_words[segment->geometry.magazines - 1] = ME;
    expect_only(CHECK_MAGAZINE_OWNER, segment->geometry.magazines - 1);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(header_fields_that_contradict_the_geometry)
{
    struct shm_header *header;

    begin();
    header = segment->header;
    header->published = 5001;
    expect_only(CHECK_HEADER, offsetof(struct shm_header, published));
    header->published = 5000;
    header->bump = 5001;
    expect(CHECK_HEADER, offsetof(struct shm_header, bump));
    header->bump = 1000;
    header->magazine_bump = segment->geometry.magazines + 1;
    expect(CHECK_HEADER, offsetof(struct shm_header, magazine_bump));
    header->magazine_bump = 0;
    header->state = 3;
    expect_only(CHECK_HEADER, offsetof(struct shm_header, state));
    test_pool_discard(&pool);
}
END_TEST

START_TEST(an_idle_slot_in_no_magazine_is_lost)
{
    uint64_t index;

    begin();
    index = slot_with(ME);
    segment->words[index] -= ME;
    expect_only(CHECK_SLOT_LOST, index);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_returned_slot_without_its_flag_is_lost)
{
    uint64_t index;

    begin();
    index = slot_with(ME);
    segment->words[index] = segment->words[index] - ME + SLOT_RETURNED;
    expect_only(CHECK_SLOT_LOST, index);
    bitmap_set(segment, index);
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_word_never_used_below_the_hint_is_lost)
{
    begin();
    segment->words[slot_with(ME)] = 0;
    ck_assert_int_eq(check_confirm(segment, 1, 0, &report), 0);
    ck_assert_uint_eq(report.total, 1);
    ck_assert_int_eq(report.findings[0].kind, CHECK_SLOT_LOST);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_slot_in_two_magazines_or_twice_in_one)
{
    uint32_t magazine, *words;
    uint64_t lost, twice;

    begin();
    magazine = magazine_of_a_depot();
    words = magazine_at(segment, magazine);
    lost = words[1];
    twice = words[1] = words[2];
    expect(CHECK_SLOT_TWICE, twice);
    expect(CHECK_SLOT_LOST, lost);
    ck_assert_uint_eq(report.total, 2);
    words[1] = (uint32_t)lost;
    test_pool_assert_clean(&pool);
    words[1] = magazine_at(segment, cache_loaded(segment, &me))[1];
    expect(CHECK_SLOT_TWICE, words[1]);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_slot_with_an_owner_in_a_magazine)
{
    uint64_t index;

    begin();
    index = magazine_at(segment, magazine_of_a_depot())[1];
    segment->words[index] |= OTHER;
    expect_only(CHECK_SLOT_OWNED_IDLE, index);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_slot_of_a_dead_session)
{
    uint64_t index;

    begin();
    index = slot_with(ME);
    segment->words[index] = segment->words[index] - ME + 7;
    expect_only(CHECK_SLOT_DEAD_OWNER, index);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(words_no_protocol_writes)
{
    uint64_t index, word;

    begin();
    index = slot_with(ME);
    word = segment->words[index];
    segment->words[index] = word - ME + 0x8000; /* neither session nor reserved */
    expect_only(CHECK_SLOT_WORD, index);
    segment->words[index] = ME; /* generation 0 */
    expect_only(CHECK_SLOT_WORD, index);
    segment->words[index] = word;
    test_pool_assert_clean(&pool);
    /* A slot that was never used, in a magazine. */
    magazine_at(segment, magazine_of_a_depot())[1] = 4999;
    expect(CHECK_SLOT_WORD, 4999);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_generation_beyond_the_last_is_a_bad_word)
{
    struct actor actor;
    uint64_t index;

    test_pool_make(&pool, &(struct test_shape){.capacity = 70000, .object_size = 1});
    segment = &pool.segment;
    actor = test_pool_actor(&pool, ME);
    index = test_pool_alloc(&pool, &actor);
    segment->words[index] =
        slot_word(segment, slot_generation_last(segment->geometry.index_bits) + 1, ME);
    expect_only(CHECK_SLOT_WORD, index);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_slot_used_above_the_published_capacity)
{
    begin();
    segment->header->published = 900;
    ck_assert_int_eq(check_confirm(segment, 1, 0, &report), 0);
    ck_assert_uint_gt(report.total, 0);
    ck_assert_int_eq(report.findings[0].kind, CHECK_SLOT_WORD);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_count_above_the_magazines_size)
{
    uint32_t magazine, *words, count;

    begin();
    magazine = cache_loaded(segment, &me);
    words = magazine_at(segment, magazine);
    count = words[0];
    words[0] = segment->geometry.magazine_size + 1;
    expect(CHECK_MAGAZINE_COUNT, magazine);
    words[0] = count;
    test_pool_assert_clean(&pool);
    magazine = magazine_of_a_depot();
    segment->magazine_words[magazine] |= UINT64_C(0xffff) << 16;
    expect(CHECK_MAGAZINE_COUNT, magazine);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(an_entry_outside_the_table)
{
    uint32_t magazine;

    begin();
    magazine = magazine_of_a_depot();
    magazine_at(segment, magazine)[2] = 5000;
    expect(CHECK_MAGAZINE_ENTRY, magazine);
    magazine_at(segment, magazine)[2] = UINT32_MAX;
    expect(CHECK_MAGAZINE_ENTRY, magazine);
    ck_assert_uint_eq(report.total, 2); /* and the slot that was there */
    test_pool_discard(&pool);
}
END_TEST

START_TEST(magazines_of_nobody)
{
    uint32_t magazine = 0;
    uint64_t word;

    begin();
    magazine = cache_loaded(segment, &me);
    word = segment->magazine_words[magazine];
    segment->magazine_words[magazine] = word - ME + 7; /* no such session */
    expect(CHECK_MAGAZINE_OWNER, magazine);
    segment->magazine_words[magazine] = word - ME + OTHER; /* in none of its caches */
    expect(CHECK_MAGAZINE_OWNER, magazine);
    segment->magazine_words[magazine] = word + (UINT64_C(1) << 32); /* not as noted */
    expect(CHECK_MAGAZINE_OWNER, magazine);
    segment->magazine_words[magazine] = word - ME + MAGAZINE_DEPOT_BASE + 4; /* no such depot */
    expect(CHECK_MAGAZINE_OWNER, magazine);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(cache_records_that_cannot_be)
{
    struct shm_cache *record;

    begin();
    record = &segment->caches[5];
    record->holder = UINT64_C(7) << 32 | 1; /* no such session */
    expect_only(CHECK_CACHE, 5);
    record->holder = UINT64_C(1) << 32 | 1;
    record->loaded = segment->geometry.magazines + 1;
    expect_only(CHECK_CACHE, 5);
    record->loaded = 0;
    record->previous = UINT32_MAX;
    expect_only(CHECK_CACHE, 5);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(depot_lists_that_lead_astray)
{
    uint32_t magazine, *head, first, link, d;

    begin();
    magazine = magazine_of_a_depot();
    d = depot_of(magazine);
    head = head_of(magazine);
    first = *head;
    link = segment->magazine_links[first - 1];
    *head = segment->geometry.magazines + 1; /* no such magazine */
    expect_only(CHECK_DEPOT_LIST, d);
    *head = cache_loaded(segment, &me) + 1; /* a stranger */
    expect_only(CHECK_DEPOT_LIST, d);
    *head = first;
    segment->magazine_links[first - 1] = first; /* a cycle */
    expect_only(CHECK_DEPOT_LIST, d);
    segment->magazine_links[first - 1] = link;
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_magazine_in_no_list_of_its_depot_is_lost)
{
    uint32_t magazine, *head, first;

    begin();
    magazine = magazine_of_a_depot();
    head = head_of(magazine);
    first = *head;
    *head = segment->magazine_links[first - 1]; /* unlinked, and nobody holds the lock */
    ck_assert_int_eq(check_confirm(segment, 3, 100, &report), 0);
    ck_assert_msg(report.total > 0, "%u entries that nobody finds are no finding",
                  magazine_n(segment->magazine_words[first - 1]));
    *head = first;
    segment->depots[depot_of(magazine)].dirty = 1; /* until it is rebuilt lists may lack */
    *head = 0;
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_magazine_twice_in_the_lists_is_found)
{
    uint32_t magazine, *head;

    begin();
    magazine = magazine_of_a_depot();
    head = head_of(magazine);
    segment->depots[depot_of(magazine)].empty = *head; /* which is not empty, and listed */
    ck_assert_int_eq(check_confirm(segment, 3, 100, &report), 0);
    ck_assert_uint_gt(report.total, 0);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_flag_whose_parent_is_clear)
{
    begin();
    bitmap_set(segment, 4700);
    segment->bitmap[segment->geometry.level_words[0] + 1] = 0; /* parents from 4096 on */
    expect_only(CHECK_BITMAP, 4700 / 64);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(more_findings_than_there_is_room_for_are_counted)
{
    uint64_t index, changed = 0;

    begin();
    for (index = 0; index < 1000; index++)
        if (slot_owner_of(segment->words[index]) == ME) {
            segment->words[index] -= ME;
            changed++;
        }
    ck_assert_uint_gt(changed, CHECK_FINDINGS_MAX);
    ck_assert_int_eq(check_confirm(segment, 2, 0, &report), 0);
    ck_assert_uint_eq(report.total, changed);
    ck_assert_uint_eq(report.count, CHECK_FINDINGS_MAX);
    test_pool_discard(&pool);
}
END_TEST

/* ------------------------------------------------------------ a live pool */

static bool stop;

static void *keep_busy(void *argument)
{
    struct actor *actor = argument;
    uint64_t random = actor->session, index[200], word[200];
    unsigned count = 0;

    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        if (count < 200 && test_random(&random) % 2) {
            if (supply_alloc(segment, actor, SUPPLY_PATIENCE_US, &index[count], &word[count]) == 0)
                count++;
        } else if (count) {
            count--;
            supply_free(segment, actor, index[count], word[count]);
        }
    }
    while (count--)
        supply_free(segment, actor, index[count], word[count]);
    return NULL;
}

START_TEST(operations_under_way_are_no_findings)
{
    struct actor actors[2];
    pthread_t threads[2];
    int i;

    begin();
    for (i = 0; i < 2; i++) {
        actors[i] = test_pool_actor(&pool, (uint32_t)i + 3);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, keep_busy, &actors[i]), 0);
    }
    for (i = 0; i < 30; i++) {
        ck_assert_int_eq(check_confirm(segment, 20, 500, &report), 0);
        TEST_REQUIRE(report.total == 0, "%s", report.findings[0].text);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    test_pool_end(&pool);
}
END_TEST

START_TEST(every_kind_has_a_name_of_its_own)
{
    enum check_kind kind, other;

    for (kind = CHECK_HEADER; kind <= CHECK_HOLDER; kind++) {
        ck_assert_str_ne(check_kind_name(kind), "unknown");
        for (other = CHECK_HEADER; other < kind; other++)
            ck_assert_str_ne(check_kind_name(kind), check_kind_name(other));
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_healthy_pool_has_no_findings,
        new_pools_of_all_sizes_have_no_findings,
        slots_left_to_anyone_shared_and_quarantined_are_in_order,
        a_shared_slot_that_nobody_holds_is_lost,
        a_slot_that_a_dead_session_is_closing,
        a_dead_session_in_a_row_of_holders,
        shared_and_quarantined_slots_in_pools_that_know_no_such_thing,
        withdrawn_slots_are_lost_below_the_capacity_and_in_order_above,
        nothing_is_looked_at_beyond_what_is_reserved,
        header_fields_that_contradict_the_geometry,
        an_idle_slot_in_no_magazine_is_lost,
        a_returned_slot_without_its_flag_is_lost,
        a_word_never_used_below_the_hint_is_lost,
        a_slot_in_two_magazines_or_twice_in_one,
        a_slot_with_an_owner_in_a_magazine,
        a_slot_of_a_dead_session,
        words_no_protocol_writes,
        a_generation_beyond_the_last_is_a_bad_word,
        a_slot_used_above_the_published_capacity,
        a_count_above_the_magazines_size,
        an_entry_outside_the_table,
        magazines_of_nobody,
        cache_records_that_cannot_be,
        depot_lists_that_lead_astray,
        a_magazine_in_no_list_of_its_depot_is_lost,
        a_magazine_twice_in_the_lists_is_found,
        a_flag_whose_parent_is_clear,
        more_findings_than_there_is_room_for_are_counted,
        operations_under_way_are_no_findings,
        every_kind_has_a_name_of_its_own,
    };

    return test_run(TEST_SUITE("integrity", tests, 15));
}
