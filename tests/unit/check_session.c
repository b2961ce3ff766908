/* SPDX-License-Identifier: MIT
 *
 * check_session: who is attached, and gifts between sessions: with the receiver dead
 * at each step of the giver's (called one by one), and with real threads against
 * real sweeps.
 */
#include "tests/support/pool.h"

#include "shm/session.h"
#include "shm/slot.h"
#include "shm/sweep.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { GIVER = 1, RECEIVER = 2, OTHER = 3 };

static struct test_pool pool;
static struct segment *segment;
static struct actor giver, other;
static uint64_t slot;
static fastalloc_handle handle;

static void begin(void)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = 300});
    segment = &pool.segment;
    giver = test_pool_actor(&pool, GIVER);
    other = test_pool_actor(&pool, OTHER);
    session_open(segment, RECEIVER, 4711, 1000, "receiver");
    slot = test_pool_alloc(&pool, &giver);
    handle = test_pool_handle(&pool, slot);
}

static void end(void)
{
    sweep_session(segment, GIVER, NULL, NULL);
    sweep_session(segment, RECEIVER, NULL, NULL);
    test_pool_assert_exact(&pool, &other);
    test_pool_end(&pool);
}

START_TEST(states_follow_each_other)
{
    begin();
    ck_assert_int_eq(session_state(segment, 4), SESSION_FREE);
    ck_assert(session_reuse(segment, 4));
    ck_assert_int_eq(session_state(segment, RECEIVER), SESSION_LIVE);
    ck_assert(!session_reuse(segment, RECEIVER));
    session_begin_death(segment, RECEIVER);
    session_begin_death(segment, RECEIVER);
    ck_assert_int_eq(session_state(segment, RECEIVER), SESSION_DYING);
    ck_assert(!session_reuse(segment, RECEIVER));
    sweep_session(segment, RECEIVER, NULL, NULL);
    ck_assert_int_eq(session_state(segment, RECEIVER), SESSION_RETIRED);
    ck_assert(session_reuse(segment, RECEIVER));
    ck_assert_int_eq(session_state(segment, RECEIVER), SESSION_FREE);
    end();
}
END_TEST

START_TEST(numbers_out_of_range_are_free)
{
    begin();
    ck_assert_int_eq(session_state(segment, 0), SESSION_FREE);
    ck_assert_int_eq(session_state(segment, 9), SESSION_FREE);
    ck_assert_int_eq(session_state(segment, UINT32_MAX), SESSION_FREE);
    segment->sessions[5].state = 99;
    ck_assert_int_eq(session_state(segment, 5), SESSION_FREE);
    segment->sessions[5].state = 0;
    end();
}
END_TEST

START_TEST(the_record_says_who_it_is)
{
    char comm[SESSION_COMM_MAX];

    begin();
    ck_assert_uint_eq(segment->sessions[RECEIVER].pid, 4711);
    ck_assert_uint_eq(segment->sessions[RECEIVER].uid, 1000);
    session_comm(segment, RECEIVER, comm);
    ck_assert_str_eq(comm, "receiver");
    ck_assert_uint_eq(session_count(segment), 3);
    session_open(segment, 4, 1, 1, "a name that is much too long for it");
    session_comm(segment, 4, comm);
    ck_assert_str_eq(comm, "a name that is ");
    memset(segment->sessions[4].comm, '\n', SESSION_COMM_MAX);
    session_comm(segment, 4, comm);
    ck_assert_str_eq(comm, "???????????????");
    end();
}
END_TEST

START_TEST(a_gift_changes_the_owner_and_leaves_no_intent)
{
    begin();
    ck_assert_int_eq(session_give(segment, GIVER, RECEIVER, handle), 0);
    ck_assert_uint_eq(slot_owner_of(segment->words[slot]), RECEIVER);
    ck_assert_uint_eq(segment->sessions[GIVER].intents[0], 0);
    end();
}
END_TEST

START_TEST(gifts_that_cannot_be_are_refused_and_change_nothing)
{
    uint64_t word;

    begin();
    word = segment->words[slot];
    ck_assert_int_eq(session_give(segment, GIVER, 4, handle), FASTALLOC_E_SESSION);
    ck_assert_int_eq(session_give(segment, GIVER, 0, handle), FASTALLOC_E_SESSION);
    ck_assert_int_eq(session_give(segment, GIVER, 99, handle), FASTALLOC_E_SESSION);
    ck_assert_int_eq(session_give(segment, OTHER, RECEIVER, handle), FASTALLOC_E_STALE);
    ck_assert_int_eq(session_give(segment, GIVER, RECEIVER, FASTALLOC_NONE), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(session_give(segment, GIVER, RECEIVER, UINT64_MAX), FASTALLOC_E_HANDLE);
    session_begin_death(segment, RECEIVER);
    ck_assert_int_eq(session_give(segment, GIVER, RECEIVER, handle), FASTALLOC_E_SESSION);
    ck_assert_uint_eq(segment->words[slot], word);
    ck_assert_uint_eq(segment->sessions[GIVER].intents[0], 0);
    end();
}
END_TEST

START_TEST(no_place_for_an_intent_is_stalled_and_changes_nothing)
{
    uint64_t word;
    size_t i;

    begin();
    word = segment->words[slot];
    for (i = 0; i < SESSION_INTENTS; i++)
        segment->sessions[GIVER].intents[i] = OTHER;
    ck_assert_int_eq(session_give(segment, GIVER, RECEIVER, handle), FASTALLOC_E_STALLED);
    ck_assert_uint_eq(segment->words[slot], word);
    for (i = 0; i < SESSION_INTENTS; i++)
        ck_assert_uint_eq(segment->sessions[GIVER].intents[i], OTHER);
    end();
}
END_TEST

START_TEST(a_receiver_dead_before_the_word_gets_nothing)
{
    begin();
    segment->sessions[GIVER].intents[0] = RECEIVER; /* step 1 of the gift */
    sweep_session(segment, RECEIVER, NULL, NULL);
    ck_assert(!session_reuse(segment, RECEIVER));                     /* while the intent stands */
    ck_assert_int_ne(session_state(segment, RECEIVER), SESSION_LIVE); /* step 2: give up */
    segment->sessions[GIVER].intents[0] = 0;
    ck_assert(session_reuse(segment, RECEIVER));
    end();
}
END_TEST

START_TEST(a_receiver_dead_after_the_word_and_swept_had_the_gift)
{
    begin();
    segment->sessions[GIVER].intents[0] = RECEIVER;
    ck_assert_int_eq(slot_give(segment, handle, GIVER, RECEIVER), 0); /* step 3 */
    sweep_session(segment, RECEIVER, NULL, NULL);
    ck_assert_uint_eq(slot_owner_of(segment->words[slot]), SLOT_RETURNED);
    /* Step 4 finds it gone. */
    ck_assert_int_ne(slot_give(segment, handle, RECEIVER, GIVER), 0);
    ck_assert(!session_reuse(segment, RECEIVER));
    segment->sessions[GIVER].intents[0] = 0;
    ck_assert(session_reuse(segment, RECEIVER));
    end();
}
END_TEST

START_TEST(a_gift_that_lands_behind_the_sweep_is_taken_back)
{
    begin();
    segment->sessions[GIVER].intents[0] = RECEIVER;
    sweep_session(segment, RECEIVER, NULL, NULL);
    ck_assert_int_eq(slot_give(segment, handle, GIVER, RECEIVER), 0);
    ck_assert_int_ne(session_state(segment, RECEIVER), SESSION_LIVE);
    ck_assert_int_eq(slot_give(segment, handle, RECEIVER, GIVER), 0); /* step 4 */
    ck_assert_uint_eq(slot_owner_of(segment->words[slot]), GIVER);
    end();
}
END_TEST

START_TEST(a_gift_that_lands_behind_the_sweep_of_a_giver_who_dies_is_swept)
{
    begin();
    segment->sessions[GIVER].intents[0] = RECEIVER;
    sweep_session(segment, RECEIVER, NULL, NULL);
    ck_assert_int_eq(slot_give(segment, handle, GIVER, RECEIVER), 0);
    sweep_session(segment, GIVER, NULL, NULL);
    ck_assert_uint_eq(slot_owner_of(segment->words[slot]), SLOT_RETURNED);
    ck_assert(session_reuse(segment, RECEIVER));
    end();
}
END_TEST

START_TEST(an_intent_of_anybody_blocks_reuse)
{
    size_t i;

    begin();
    sweep_session(segment, RECEIVER, NULL, NULL);
    for (i = 0; i < SESSION_INTENTS; i++) {
        segment->sessions[OTHER].intents[i] = RECEIVER;
        ck_assert(!session_reuse(segment, RECEIVER));
        segment->sessions[OTHER].intents[i] = 0;
    }
    ck_assert(session_reuse(segment, RECEIVER));
    end();
}
END_TEST

/* --------------------------------------------------------------- threads */

static bool stop;
static uint64_t gifts, refusals;

/* Gives and gets without end; what the receiver's sweep takes is allocated anew. */
static void *give_on(void *argument)
{
    uint64_t index, word;

    (void)argument;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        fastalloc_handle gift;
        int error;

        if (supply_alloc(segment, &giver, SUPPLY_PATIENCE_US, &index, &word))
            continue;
        gift = slot_handle(segment, word, index);
        error = session_give(segment, GIVER, RECEIVER, gift);
        if (!error)
            gifts++;
        else if (error == FASTALLOC_E_SESSION && slot_own(segment, gift, GIVER, &word) == 0)
            supply_free(segment, &giver, index, word), refusals++;
        else
            return &gifts;
    }
    return NULL;
}

START_TEST(gifts_against_sweeps_lose_nothing)
{
    struct timespec pause = {0, 300000};
    pthread_t thread;
    void *wrong;
    int round;

    begin();
    ck_assert_int_eq(pthread_create(&thread, NULL, give_on, NULL), 0);
    for (round = 0; round < 1000; round++) {
        nanosleep(&pause, NULL);
        sweep_session(segment, RECEIVER, NULL, NULL);
        while (!session_reuse(segment, RECEIVER))
            sched_yield();
        session_open(segment, RECEIVER, 1, 1, "again");
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    ck_assert_int_eq(pthread_join(thread, &wrong), 0);
    ck_assert_ptr_null(wrong);
    printf("  %llu gifts, %llu refused\n", (unsigned long long)gifts, (unsigned long long)refusals);
    ck_assert_uint_gt(gifts, 0);
    end();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        states_follow_each_other,
        numbers_out_of_range_are_free,
        the_record_says_who_it_is,
        a_gift_changes_the_owner_and_leaves_no_intent,
        gifts_that_cannot_be_are_refused_and_change_nothing,
        no_place_for_an_intent_is_stalled_and_changes_nothing,
        a_receiver_dead_before_the_word_gets_nothing,
        a_receiver_dead_after_the_word_and_swept_had_the_gift,
        a_gift_that_lands_behind_the_sweep_is_taken_back,
        a_gift_that_lands_behind_the_sweep_of_a_giver_who_dies_is_swept,
        an_intent_of_anybody_blocks_reuse,
        gifts_against_sweeps_lose_nothing,
    };

    return test_run(TEST_SUITE("session", tests, 15));
}
