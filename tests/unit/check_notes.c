/* SPDX-License-Identifier: MIT
 *
 * notes: slots left to anyone and quarantined, how long, and what an heir is told.
 */
#include "tests/support/pool.h"

#include "shm/notes.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/survey.h"
#include "shm/sweep.h"
#include "shm/wait.h"

#define TENTH UINT64_C(100000000)

static void make(struct test_pool *pool, uint32_t on_death)
{
    test_pool_make(pool,
                   &(struct test_shape){.capacity = 64, .flags = SPEC_NOTES, .on_death = on_death});
}

static fastalloc_handle own(struct test_pool *pool, uint32_t session)
{
    struct actor actor = test_pool_bare_actor(pool, session);

    return test_pool_handle(pool, test_pool_alloc(pool, &actor));
}

static uint32_t owner_of(const struct test_pool *pool, fastalloc_handle handle)
{
    return slot_owner_of(pool->segment.words[slot_index(&pool->segment, handle)]);
}

static uint64_t note_of(const struct test_pool *pool, fastalloc_handle handle)
{
    return pool->segment.notes[slot_index(&pool->segment, handle)];
}

/* ------------------------------------------------------------------- times */

START_TEST(a_time_has_never_come_before_its_deadline)
{
    uint64_t ns;

    ck_assert_uint_eq(notes_time(UINT64_MAX), NOTES_NEVER);
    ck_assert_uint_eq(notes_time(UINT64_MAX - 1), NOTES_NEVER);
    ck_assert_uint_ne(notes_time(0), NOTES_NEVER);
    for (ns = 0; ns < 5 * TENTH; ns += TENTH / 7) {
        ck_assert_uint_gt(notes_time(ns), notes_clock(ns));
        ck_assert_uint_le(notes_time(ns), notes_clock(ns + TENTH));
    }
}
END_TEST

/* ----------------------------------------------------------------- leaving */

START_TEST(a_slot_left_outlives_its_owner_until_it_is_adopted)
{
    struct test_pool pool;
    fastalloc_handle handle;
    struct actor actor;
    uint64_t word;

    make(&pool, FASTALLOC_RECLAIM);
    handle = own(&pool, 1);
    actor = test_pool_bare_actor(&pool, 2);
    ck_assert_int_eq(notes_leave(&pool.segment, handle, 1, 77, NOTES_NEVER), 0);
    sweep_session(&pool.segment, 1, NULL, NULL);
    ck_assert_uint_eq(owner_of(&pool, handle), SLOT_ANYONE);
    ck_assert_uint_eq(notes_pid_of(note_of(&pool, handle)), 77);
    ck_assert_uint_eq(notes_expire(&pool.segment, UINT32_MAX, true), 0);
    test_pool_assert_clean(&pool);
    ck_assert_int_eq(slot_own(&pool.segment, handle, 2, &word), 0);
    supply_free(&pool.segment, &actor, slot_index(&pool.segment, handle), word);
    test_pool_assert_exact(&pool, &actor);
    test_pool_end(&pool);
}
END_TEST

START_TEST(who_does_not_own_a_slot_cannot_leave_it)
{
    struct test_pool pool;
    fastalloc_handle handle;
    uint64_t before;

    make(&pool, FASTALLOC_RECLAIM);
    handle = own(&pool, 1);
    before = note_of(&pool, handle);
    ck_assert_int_eq(notes_leave(&pool.segment, handle, 2, 77, 5), FASTALLOC_E_STALE);
    ck_assert_uint_eq(note_of(&pool, handle), before);
    ck_assert_int_eq(notes_leave(&pool.segment, 60000, 1, 77, 5), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(notes_leave(&pool.segment, 12345, 1, 77, 5), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(notes_leave(&pool.segment, handle, 1, 77, 5), 0);
    ck_assert_int_eq(notes_leave(&pool.segment, handle, 1, 78, 9), FASTALLOC_E_STALE);
    ck_assert_uint_eq(notes_time_of(note_of(&pool, handle)), 5);
    ck_assert_uint_eq(notes_next(&pool.segment), 5);
    test_pool_end(&pool);
}
END_TEST

START_TEST(leaving_for_ever_needs_no_notes)
{
    struct test_pool pool;
    fastalloc_handle handle;

    test_pool_make(&pool, &(struct test_shape){.capacity = 64});
    handle = own(&pool, 1);
    ck_assert_int_eq(notes_leave(&pool.segment, handle, 1, 77, NOTES_NEVER), 0);
    ck_assert_uint_eq(owner_of(&pool, handle), SLOT_ANYONE);
    ck_assert_uint_eq(notes_expire(&pool.segment, UINT32_MAX, true), 0);
    test_pool_end(&pool);
}
END_TEST

/* ---------------------------------------------------------------- expiring */

START_TEST(slots_expire_in_their_time_and_not_before)
{
    fastalloc_handle handles[3];
    struct survey survey;
    struct test_pool pool;
    struct actor actor;
    uint32_t time, i;

    make(&pool, FASTALLOC_RECLAIM);
    for (i = 0; i < 3; i++) {
        handles[i] = own(&pool, 1);
        ck_assert_int_eq(notes_leave(&pool.segment, handles[i], 1, 77, 30 - 10 * i), 0);
    }
    for (time = 1; time <= 30; time++) {
        uint32_t left = 3 - time / 10;

        ck_assert_uint_eq(notes_next(&pool.segment), (time + 9) / 10 * 10);
        ck_assert_uint_eq(notes_expire(&pool.segment, time, false), time % 10 == 0);
        survey_slots(&pool.segment, &survey, NULL);
        ck_assert_uint_eq(survey.anyone, left);
        test_pool_assert_clean(&pool);
    }
    ck_assert_uint_eq(notes_next(&pool.segment), NOTES_NEVER);
    actor = test_pool_bare_actor(&pool, 1);
    for (i = 0; i < 3; i++)
        ck_assert_uint_eq(owner_of(&pool, handles[i]), SLOT_RETURNED);
    test_pool_assert_exact(&pool, &actor);
    test_pool_end(&pool);
}
END_TEST

START_TEST(an_adopted_slot_does_not_expire)
{
    struct test_pool pool;
    fastalloc_handle handle;
    uint64_t word;

    make(&pool, FASTALLOC_RECLAIM);
    handle = own(&pool, 1);
    ck_assert_int_eq(notes_leave(&pool.segment, handle, 1, 77, 5), 0);
    test_pool_bare_actor(&pool, 2);
    ck_assert_int_eq(slot_own(&pool.segment, handle, 2, &word), 0);
    ck_assert_uint_eq(notes_expire(&pool.segment, 1000, false), 0);
    ck_assert_uint_eq(owner_of(&pool, handle), 2);
    ck_assert_uint_eq(notes_next(&pool.segment), NOTES_NEVER);
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_scan_broken_off_is_made_up_for)
{
    struct test_pool pool;
    fastalloc_handle handle;

    make(&pool, FASTALLOC_RECLAIM);
    handle = own(&pool, 1);
    ck_assert_int_eq(notes_leave(&pool.segment, handle, 1, 77, 50), 0);
    pool.segment.header->next_deadline = UINT64_C(1) << 63; /* died right after step a */
    ck_assert_uint_eq(notes_next(&pool.segment), 1);
    ck_assert_uint_eq(notes_expire(&pool.segment, 20, false), 0);
    ck_assert_uint_eq(notes_next(&pool.segment), 50);
    /* Or between taking a slot from anyone and giving it back: its time may be another by now. */
    pool.segment.header->next_deadline |= UINT64_C(1) << 63;
    ck_assert(slot_mark(&pool.segment, slot_index(&pool.segment, handle),
                        pool.segment.words[slot_index(&pool.segment, handle)], NOTES_EXPIRING));
    test_pool_assert_clean(&pool);
    ck_assert_uint_eq(notes_expire(&pool.segment, 20, false), 0);
    ck_assert_uint_eq(owner_of(&pool, handle), SLOT_ANYONE);
    ck_assert_uint_eq(notes_expire(&pool.segment, 50, false), 1);
    test_pool_end(&pool);
}
END_TEST

START_TEST(the_sweep_of_a_leaver_sees_to_its_deadline)
{
    struct test_pool pool;
    fastalloc_handle handle;

    make(&pool, FASTALLOC_RECLAIM);
    handle = own(&pool, 1);
    ck_assert_int_eq(notes_leave(&pool.segment, handle, 1, 77, 50), 0);
    pool.segment.header->next_deadline = NOTES_NEVER; /* died before it was lowered */
    sweep_session(&pool.segment, 1, NULL, NULL);
    ck_assert_uint_eq(notes_next(&pool.segment), 50);
    test_pool_end(&pool);
}
END_TEST

/* Leaves with times of his own, while others adopt and leave. */
START_TEST(a_note_of_who_came_late_changes_nothing)
{
    struct test_pool pool;
    fastalloc_handle handle;
    uint64_t index, word, old;

    make(&pool, FASTALLOC_RECLAIM);
    handle = own(&pool, 1);
    index = slot_index(&pool.segment, handle);
    old = pool.segment.words[index];
    test_pool_bare_actor(&pool, 2);
    ck_assert_int_eq(slot_own(&pool.segment, handle, 2, &word), 0);
    ck_assert_int_eq(notes_leave(&pool.segment, handle, 2, 78, 500), 0);
    ck_assert(!notes_mark(&pool.segment, index, old, SLOT_ANYONE, 77, 5));
    ck_assert(!notes_mark(&pool.segment, index, old, SLOT_QUARANTINED, 77, 5));
    ck_assert_uint_eq(notes_time_of(note_of(&pool, handle)), 500);
    ck_assert_uint_eq(notes_pid_of(note_of(&pool, handle)), 78);
    test_pool_end(&pool);
}
END_TEST

START_TEST(each_write_of_a_note_changes_it)
{
    struct test_pool pool;
    fastalloc_handle handle;
    uint64_t before, word;
    int i;

    make(&pool, FASTALLOC_RECLAIM);
    handle = own(&pool, 1);
    for (i = 0; i < 600; i++) {
        before = note_of(&pool, handle);
        ck_assert_int_eq(notes_leave(&pool.segment, handle, 1, 77, 500), 0);
        TEST_REQUIRE(note_of(&pool, handle) != before, "the note stays the same");
        TEST_REQUIRE(notes_pid_of(note_of(&pool, handle)) == 77, "the pid is lost");
        ck_assert_int_eq(slot_own(&pool.segment, handle, 1, &word), 0);
    }
    test_pool_end(&pool);
}
END_TEST

/* -------------------------------------------------------------- quarantine */

START_TEST(slots_of_the_dead_are_quarantined_for_their_time)
{
    struct sweep_policy policy = {.on_death = FASTALLOC_QUARANTINE, .quarantine_ms = 1000};
    uint32_t now = notes_clock(wait_now());
    struct sweep_result result;
    struct test_pool pool;
    fastalloc_handle handle;
    struct actor actor;
    uint64_t word;

    make(&pool, FASTALLOC_QUARANTINE);
    handle = own(&pool, 1);
    pool.segment.sessions[1].pid = 4711;
    sweep_session(&pool.segment, 1, &policy, &result);
    ck_assert_uint_eq(result.kept, 1);
    ck_assert_uint_eq(owner_of(&pool, handle), SLOT_QUARANTINED);
    ck_assert_uint_eq(notes_pid_of(note_of(&pool, handle)), 4711);
    ck_assert_int_eq(slot_own(&pool.segment, handle, 2, &word), FASTALLOC_E_STALE);
    test_pool_assert_clean(&pool);
    ck_assert_uint_eq(notes_expire(&pool.segment, now + 9, true), 0);
    ck_assert_uint_eq(notes_expire(&pool.segment, now + 13, false), 1);
    actor = test_pool_bare_actor(&pool, 2);
    test_pool_assert_exact(&pool, &actor);
    test_pool_end(&pool);
}
END_TEST

START_TEST(quarantined_slots_are_released_one_or_all)
{
    struct sweep_policy policy = {.on_death = FASTALLOC_QUARANTINE};
    fastalloc_handle handles[3], left;
    struct test_pool pool;
    struct actor actor;
    int i;

    make(&pool, FASTALLOC_QUARANTINE);
    for (i = 0; i < 3; i++)
        handles[i] = own(&pool, 1);
    left = own(&pool, 2);
    ck_assert_int_eq(notes_leave(&pool.segment, left, 2, 78, NOTES_NEVER), 0);
    sweep_session(&pool.segment, 1, &policy, NULL);
    ck_assert_uint_eq(notes_next(&pool.segment), NOTES_NEVER);
    ck_assert_uint_eq(notes_expire(&pool.segment, UINT32_MAX, true), 0);
    ck_assert_uint_eq(notes_release(&pool.segment, handles[1]), 1);
    ck_assert_uint_eq(notes_release(&pool.segment, handles[1]), 0);
    ck_assert_uint_eq(notes_release(&pool.segment, left), 0);
    ck_assert_uint_eq(notes_release(&pool.segment, 60000), 0);
    ck_assert_uint_eq(notes_release(&pool.segment, FASTALLOC_NONE), 2);
    ck_assert_uint_eq(owner_of(&pool, left), SLOT_ANYONE);
    test_pool_assert_clean(&pool);
    actor = test_pool_bare_actor(&pool, 2);
    test_pool_forget(&pool);
    ck_assert_uint_eq(test_pool_drain(&pool, &actor), 63);
    test_pool_end(&pool);
}
END_TEST

/* -------------------------------------------------------------- inheriting */

static const struct sweep_policy to_heir = {.on_death = FASTALLOC_HEIR};

START_TEST(the_heir_is_told_of_each_slot_once)
{
    fastalloc_handle handles[3], own_one;
    fastalloc_inheritance list[4];
    struct test_pool pool;
    int i;

    make(&pool, FASTALLOC_HEIR);
    own_one = own(&pool, 2);
    for (i = 0; i < 3; i++)
        handles[i] = own(&pool, 1);
    pool.segment.sessions[1].pid = 4711;
    pool.segment.header->heir = 2;
    ck_assert_uint_eq(notes_inherited(&pool.segment, 2, list, 4), 0);
    sweep_session(&pool.segment, 1, &to_heir, NULL);
    ck_assert_uint_eq(pool.segment.sessions[2].inherited, 1);
    ck_assert_uint_eq(notes_inherited(&pool.segment, 2, list, 2), 2);
    ck_assert_uint_eq(notes_inherited(&pool.segment, 2, &list[2], 2), 1);
    ck_assert_uint_eq(notes_inherited(&pool.segment, 2, &list[3], 1), 0);
    for (i = 0; i < 3; i++) {
        ck_assert_uint_eq(list[i].handle, handles[i]);
        ck_assert_uint_eq(list[i].pid, 4711);
        ck_assert_uint_eq(owner_of(&pool, handles[i]), 2);
    }
    ck_assert_uint_eq(owner_of(&pool, own_one), 2);
    ck_assert_uint_eq(notes_next(&pool.segment), NOTES_NEVER);
    test_pool_end(&pool);
}
END_TEST

START_TEST(what_the_heir_allocates_later_is_no_inheritance)
{
    fastalloc_inheritance list[64];
    struct test_pool pool;
    fastalloc_handle handle;
    struct actor heir;
    uint64_t word;

    make(&pool, FASTALLOC_HEIR);
    handle = own(&pool, 1);
    heir = test_pool_bare_actor(&pool, 2);
    pool.segment.header->heir = 2;
    sweep_session(&pool.segment, 1, &to_heir, NULL);
    /* Another takes it over before the heir has been told, and frees it. */
    test_pool_bare_actor(&pool, 3);
    ck_assert_int_eq(slot_own(&pool.segment, handle, 3, &word), 0);
    supply_free(&pool.segment, &heir, slot_index(&pool.segment, handle), word);
    test_pool_forget(&pool);
    ck_assert_uint_eq(test_pool_drain(&pool, &heir), 64);
    ck_assert_uint_eq(notes_inherited(&pool.segment, 2, list, 64), 0);
    test_pool_refill(&pool, &heir);
    test_pool_end(&pool);
}
END_TEST

START_TEST(without_a_living_heir_slots_are_reclaimed)
{
    struct test_pool pool;
    fastalloc_handle handle, second;

    make(&pool, FASTALLOC_HEIR);
    handle = own(&pool, 1);
    second = own(&pool, 3);
    test_pool_bare_actor(&pool, 2);
    pool.segment.header->heir = 2;
    sweep_session(&pool.segment, 2, &to_heir, NULL);
    ck_assert_uint_eq(pool.segment.header->heir, 0);
    sweep_session(&pool.segment, 1, &to_heir, NULL);
    ck_assert_uint_eq(owner_of(&pool, handle), SLOT_RETURNED);
    pool.segment.header->heir = 3; /* its own heir is nobody */
    sweep_session(&pool.segment, 3, &to_heir, NULL);
    ck_assert_uint_eq(owner_of(&pool, second), SLOT_RETURNED);
    test_pool_end(&pool);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_time_has_never_come_before_its_deadline,
        a_slot_left_outlives_its_owner_until_it_is_adopted,
        who_does_not_own_a_slot_cannot_leave_it,
        leaving_for_ever_needs_no_notes,
        slots_expire_in_their_time_and_not_before,
        an_adopted_slot_does_not_expire,
        a_scan_broken_off_is_made_up_for,
        the_sweep_of_a_leaver_sees_to_its_deadline,
        a_note_of_who_came_late_changes_nothing,
        each_write_of_a_note_changes_it,
        slots_of_the_dead_are_quarantined_for_their_time,
        quarantined_slots_are_released_one_or_all,
        the_heir_is_told_of_each_slot_once,
        what_the_heir_allocates_later_is_no_inheritance,
        without_a_living_heir_slots_are_reclaimed,
    };

    return test_run(TEST_SUITE("notes", tests, 20));
}
