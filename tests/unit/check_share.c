/* SPDX-License-Identifier: MIT
 *
 * share: holders of a slot, one act after another; what they are told; and what the sweep makes of
 * each state that a death can leave.  All orders of acts at once: fault/check_share_interleavings.
 */
#include "tests/support/pool.h"

#include "shm/notes.h"
#include "shm/session.h"
#include "shm/share.h"
#include "shm/slot.h"
#include "shm/survey.h"
#include "shm/sweep.h"

#define MANY 130u /* sessions: three words a row */

static const uint32_t far_apart[] = {1, 64, 65, MANY};

static void make(struct test_pool *pool, uint32_t sessions)
{
    test_pool_make(
        pool, &(struct test_shape){.capacity = 64, .sessions = sessions, .flags = SPEC_SHARING});
}

/* A shared slot, held by session 1; its handle in *handle. */
static uint64_t make_shared(struct test_pool *pool, fastalloc_handle *handle)
{
    struct actor actor = test_pool_bare_actor(pool, 1);
    uint64_t index = test_pool_alloc(pool, &actor);

    *handle = test_pool_handle(pool, index);
    ck_assert_int_eq(share_make(&pool->segment, *handle, 1, NULL), 0);
    return index;
}

static uint32_t owner_of(const struct test_pool *pool, uint64_t index)
{
    return slot_owner_of(pool->segment.words[index]);
}

static void drop_last(struct test_pool *pool, uint64_t index, uint32_t session)
{
    struct actor actor = test_pool_bare_actor(pool, session);
    uint64_t word;

    ck_assert(share_drop(&pool->segment, index, session, &word));
    ck_assert_uint_eq(word, pool->segment.words[index]);
    ck_assert_uint_eq(slot_owner_of(word), session);
    supply_free(&pool->segment, &actor, index, word);
}

/* Everybody but session 1 ended well; then nothing may be missing. */
static void end(struct test_pool *pool)
{
    struct actor actor = test_pool_bare_actor(pool, 1);

    test_pool_assert_exact(pool, &actor);
    test_pool_end(pool);
}

START_TEST(a_shared_slot_stays_until_its_last_holder_lets_go)
{
    struct test_pool pool;
    fastalloc_handle handle;
    uint64_t index, word;
    unsigned i;

    make(&pool, MANY);
    index = make_shared(&pool, &handle);
    for (i = 1; i < 4; i++) {
        test_pool_bare_actor(&pool, far_apart[i]);
        ck_assert_int_eq(share_join(&pool.segment, handle, far_apart[i], NULL), 0);
    }
    ck_assert_uint_eq(share_count(&pool.segment, index), 4);
    for (i = 0; i < 3; i++) {
        ck_assert(!share_drop(&pool.segment, index, far_apart[i], &word));
        ck_assert_uint_eq(pool.segment.words[index],
                          slot_word_for(&pool.segment, handle, SLOT_SHARED));
        test_pool_assert_clean(&pool);
    }
    drop_last(&pool, index, MANY);
    ck_assert_int_eq(share_join(&pool.segment, handle, 1, NULL), FASTALLOC_E_STALE);
    ck_assert(share_is_empty(&pool.segment, index));
    end(&pool);
}
END_TEST

START_TEST(a_slot_let_go_of_is_stale_before_it_is_free)
{
    struct test_pool pool;
    fastalloc_handle handle;
    uint64_t index, word;

    make(&pool, 8);
    index = make_shared(&pool, &handle);
    ck_assert(share_drop(&pool.segment, index, 1, &word));
    ck_assert_int_eq(slot_own(&pool.segment, handle, 2, &word), FASTALLOC_E_STALE);
    ck_assert_int_eq(share_join(&pool.segment, handle, 2, NULL), FASTALLOC_E_STALE);
    ck_assert_uint_eq(owner_of(&pool, index), 1);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(what_cannot_be_shared_or_joined_is_told)
{
    struct test_pool pool;
    fastalloc_handle handle, own;
    struct actor actor;
    uint64_t index, word;

    make(&pool, 8);
    index = make_shared(&pool, &handle);
    actor = test_pool_bare_actor(&pool, 1);
    own = test_pool_handle(&pool, test_pool_alloc(&pool, &actor));
    ck_assert_int_eq(share_make(&pool.segment, handle, 1, NULL), FASTALLOC_E_SHARING);
    ck_assert_int_eq(share_make(&pool.segment, handle, 2, NULL), FASTALLOC_E_SHARING);
    ck_assert_int_eq(share_make(&pool.segment, own, 2, NULL), FASTALLOC_E_STALE);
    ck_assert_int_eq(share_join(&pool.segment, own, 2, NULL), FASTALLOC_E_SHARING);
    ck_assert_int_eq(share_refuse(&pool.segment, handle), FASTALLOC_E_SHARING);
    ck_assert_int_eq(share_make(&pool.segment, 12345, 1, NULL), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(share_join(&pool.segment, 12345, 1, NULL), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(share_join(&pool.segment, 60000, 1, NULL), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(share_refuse(&pool.segment, 60000), FASTALLOC_E_HANDLE);
    ck_assert(!share_has(&pool.segment, slot_index(&pool.segment, own), 2));

    ck_assert_int_eq(slot_own(&pool.segment, own, 1, &word), 0);
    supply_free(&pool.segment, &actor, slot_index(&pool.segment, own), word);
    ck_assert_int_eq(share_make(&pool.segment, own, 1, NULL), FASTALLOC_E_STALE);
    ck_assert_int_eq(share_join(&pool.segment, own, 1, NULL), FASTALLOC_E_STALE);
    ck_assert_int_eq(share_refuse(&pool.segment, own), FASTALLOC_E_STALE);
    drop_last(&pool, index, 1);
    end(&pool);
}
END_TEST

START_TEST(nothing_else_takes_a_shared_slot)
{
    struct test_pool pool;
    fastalloc_handle handle;
    uint64_t index, before, word;
    int closing;

    make(&pool, 8);
    index = make_shared(&pool, &handle);
    test_pool_bare_actor(&pool, 2);
    for (closing = 0; closing < 2; closing++) {
        if (closing)
            ck_assert(
                slot_mark(&pool.segment, index, pool.segment.words[index], SHARE_CLOSING + 2));
        before = pool.segment.words[index];
        ck_assert_int_eq(slot_own(&pool.segment, handle, 2, &word), FASTALLOC_E_SHARING);
        ck_assert_int_eq(slot_give(&pool.segment, handle, 1, 2), FASTALLOC_E_SHARING);
        ck_assert_int_eq(session_give(&pool.segment, 1, 2, handle), FASTALLOC_E_SHARING);
        ck_assert_int_eq(notes_leave(&pool.segment, handle, 1, 0, NOTES_NEVER),
                         FASTALLOC_E_SHARING);
        ck_assert_int_eq(share_make(&pool.segment, handle, 1, NULL), FASTALLOC_E_SHARING);
        ck_assert_uint_eq(pool.segment.words[index], before);
        test_pool_assert_clean(&pool);
    }
    test_pool_discard(&pool);
}
END_TEST

START_TEST(who_joins_a_closing_slot_opens_it_again)
{
    struct test_pool pool;
    fastalloc_handle handle;
    uint64_t index;

    make(&pool, 8);
    index = make_shared(&pool, &handle);
    test_pool_bare_actor(&pool, 2);
    ck_assert(slot_mark(&pool.segment, index, pool.segment.words[index], SHARE_CLOSING + 1));
    ck_assert_int_eq(share_join(&pool.segment, handle, 2, NULL), 0);
    ck_assert_uint_eq(owner_of(&pool, index), SLOT_SHARED);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(the_duty_of_the_last_falls_to_a_joiner_who_came_too_late)
{
    struct test_pool pool;
    fastalloc_handle handle, later;
    struct actor first, late;
    uint64_t index, word;

    make(&pool, 8);
    index = make_shared(&pool, &handle);
    first = test_pool_bare_actor(&pool, 1);
    late = test_pool_bare_actor(&pool, 2);
    drop_last(&pool, index, 1);
    test_pool_forget(&pool);
    while (test_pool_alloc(&pool, &first) != index)
        ;
    later = test_pool_handle(&pool, index);
    ck_assert_int_eq(share_make(&pool.segment, later, 1, NULL), 0);
    pool.segment.holders[index] |= 2; /* set by 2 for `handle`, which is stale by now */
    ck_assert(!share_drop(&pool.segment, index, 1, &word));
    ck_assert(share_drop(&pool.segment, index, 2, &word));
    supply_free(&pool.segment, &late, index, word);
    ck_assert_int_eq(share_join(&pool.segment, later, 1, NULL), FASTALLOC_E_STALE);
    test_pool_end(&pool);
}
END_TEST

/* ------------------------------------------------------------------- deaths */

static void sweep(struct test_pool *pool, uint32_t session)
{
    sweep_session(&pool->segment, session, NULL, NULL);
    test_pool_assert_clean(pool);
}

START_TEST(a_dead_holder_drops_just_its_share)
{
    struct test_pool pool;
    fastalloc_handle handle;
    uint64_t index;

    make(&pool, MANY);
    index = make_shared(&pool, &handle);
    test_pool_bare_actor(&pool, MANY);
    ck_assert_int_eq(share_join(&pool.segment, handle, MANY, NULL), 0);
    sweep(&pool, MANY);
    ck_assert_uint_eq(owner_of(&pool, index), SLOT_SHARED);
    ck_assert_uint_eq(share_count(&pool.segment, index), 1);
    drop_last(&pool, index, 1);
    end(&pool);
}
END_TEST

START_TEST(a_slot_whose_last_holder_dies_goes_back)
{
    struct test_pool pool;
    fastalloc_handle handle;
    uint64_t index;

    make(&pool, MANY);
    index = make_shared(&pool, &handle);
    sweep(&pool, 1);
    ck_assert_uint_eq(owner_of(&pool, index), SLOT_RETURNED);
    ck_assert_int_eq(share_join(&pool.segment, handle, 2, NULL), FASTALLOC_E_STALE);
    end(&pool);
}
END_TEST

/* What a death of session 2 leaves, at each step; session 1 holds it or does not. */
enum death { SHARING, JOINED, JOINED_LATE, LET_GO, CLOSING, RENEWED, DEATHS };

static void die(struct test_pool *pool, uint64_t index, enum death death)
{
    uint64_t *word = &pool->segment.words[index], *row = &pool->segment.holders[index];
    uint64_t generation = slot_generation_of(&pool->segment, *word);

    switch (death) {
    case SHARING:
        *word = slot_word(&pool->segment, generation, 2);
        *row = 2;
        break;
    case JOINED:
        *row |= 2;
        break;
    case JOINED_LATE: /* into the row of a slot that is idle by now */
        *word = slot_word(&pool->segment, generation + 1, SLOT_RETURNED);
        *row = 2;
        break;
    case LET_GO:
        break;
    case CLOSING:
        *word = slot_word(&pool->segment, generation, SHARE_CLOSING + 2);
        break;
    case RENEWED:
        *word = slot_word(&pool->segment, generation + 1, 2);
        *row = 0;
        break;
    case DEATHS:
        break;
    }
}

START_TEST(the_sweep_mends_what_a_death_at_any_step_leaves)
{
    enum death death = (enum death)(_i / 2);
    bool others = _i % 2, gone = death == SHARING || death == RENEWED || death == JOINED_LATE;
    struct test_pool pool;
    fastalloc_handle handle;
    uint64_t index;

    make(&pool, 8);
    index = make_shared(&pool, &handle);
    test_pool_bare_actor(&pool, 2);
    if (!others)
        pool.segment.holders[index] = 0;
    die(&pool, index, death);
    sweep(&pool, 2);
    sweep(&pool, 2); /* the sweeper died too */
    ck_assert(!share_has(&pool.segment, index, 2));
    if (others && !gone) {
        ck_assert_uint_eq(owner_of(&pool, index), SLOT_SHARED);
        drop_last(&pool, index, 1);
    } else {
        ck_assert_uint_eq(owner_of(&pool, index), SLOT_RETURNED);
        pool.segment.holders[index] = 0;
    }
    end(&pool);
}
END_TEST

START_TEST(the_sweep_leaves_a_slot_that_a_living_session_is_closing)
{
    struct test_pool pool;
    fastalloc_handle handle;
    uint64_t index, before;

    make(&pool, 8);
    index = make_shared(&pool, &handle);
    test_pool_bare_actor(&pool, 2);
    ck_assert(slot_mark(&pool.segment, index, pool.segment.words[index], SHARE_CLOSING + 1));
    before = pool.segment.words[index];
    sweep(&pool, 2);
    ck_assert_uint_eq(pool.segment.words[index], before);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_slot_whose_last_holder_dies_can_be_quarantined)
{
    struct sweep_policy policy = {.on_death = FASTALLOC_QUARANTINE};
    struct test_pool pool;
    fastalloc_handle handle;
    uint64_t index;

    test_pool_make(&pool, &(struct test_shape){.capacity = 64,
                                               .flags = SPEC_SHARING | SPEC_NOTES,
                                               .on_death = FASTALLOC_QUARANTINE});
    index = make_shared(&pool, &handle);
    sweep_session(&pool.segment, 1, &policy, NULL);
    ck_assert_uint_eq(owner_of(&pool, index), SLOT_QUARANTINED);
    ck_assert_int_eq(share_join(&pool.segment, handle, 2, NULL), FASTALLOC_E_STALE);
    ck_assert_uint_eq(notes_release(&pool.segment, handle), 1);
    end(&pool);
}
END_TEST

/* ------------------------------------------------------------------- counting */

START_TEST(the_survey_counts_shared_slots_and_their_holders)
{
    uint64_t by_session[9];
    struct survey survey;
    struct test_pool pool;
    fastalloc_handle handle;

    make(&pool, 8);
    make_shared(&pool, &handle);
    test_pool_bare_actor(&pool, 8);
    ck_assert_int_eq(share_join(&pool.segment, handle, 8, NULL), 0);
    survey_slots(&pool.segment, &survey, by_session);
    ck_assert_uint_eq(survey.shared, 1);
    ck_assert_uint_eq(survey.live, 0);
    ck_assert_uint_eq(by_session[1], 1);
    ck_assert_uint_eq(by_session[2], 0);
    ck_assert_uint_eq(by_session[8], 1);
    ck_assert_uint_eq(survey_allocated(&pool.segment), 1);
    test_pool_end(&pool);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_shared_slot_stays_until_its_last_holder_lets_go,
        a_slot_let_go_of_is_stale_before_it_is_free,
        what_cannot_be_shared_or_joined_is_told,
        nothing_else_takes_a_shared_slot,
        who_joins_a_closing_slot_opens_it_again,
        the_duty_of_the_last_falls_to_a_joiner_who_came_too_late,
        a_dead_holder_drops_just_its_share,
        a_slot_whose_last_holder_dies_goes_back,
        the_sweep_leaves_a_slot_that_a_living_session_is_closing,
        a_slot_whose_last_holder_dies_can_be_quarantined,
        the_survey_counts_shared_slots_and_their_holders,
    };
    Suite *suite = TEST_SUITE("share", tests, 20);
    TCase *deaths = tcase_create("deaths");

    tcase_add_loop_test(deaths, the_sweep_mends_what_a_death_at_any_step_leaves, 0, 2 * DEATHS);
    suite_add_tcase(suite, deaths);
    return test_run(suite);
}
