/* SPDX-License-Identifier: MIT
 *
 * check_resize: the steps by which the daemon changes a pool's capacity, taken one by one,
 * with the daemon's death between any two; whose wish is fulfilled by which step; sessions
 * that come back.  Without the loop.
 */
#include "desk.h"
#include "os/backing.h"
#include "os/fence.h"
#include "os/room.h"
#include "server/memory.h"
#include "server/wishes.h"
#include "shm/bitmap.h"
#include "shm/growth.h"
#include "shm/notes.h"
#include "shm/slot.h"
#include "shm/survey.h"

#include <check.h>
#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

static struct pool *pool;
static struct wire_reply attached;
static int held;

/* A pool of 20,000 slots that may have 100,000, with a session. */
static void make_pool_for(uint32_t on_death)
{
    struct pool_spec spec = desk_spec_of("orders");

    spec.capacity = 20000;
    spec.max_capacity = 100000;
    spec.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    spec.growth_factor = 2;
    spec.on_death = on_death;
    ck_assert_int_eq(desk_create_as(&client, &spec), 0);
    held = desk_descriptor();
    attached = result.reply;
    pool = registry_find(&registry, "orders");
    ck_assert_ptr_nonnull(pool);
}

static void set_up(void)
{
    desk_set_up();
    make_pool_for(FASTALLOC_RECLAIM);
}

static void tear_down(void)
{
    close(held);
    desk_tear_down();
}

static void restart(void)
{
    desk_restart();
    pool = registry_find(&registry, "orders");
    ck_assert_ptr_nonnull(pool);
    ck_assert(pool->settled);
    ck_assert(!pool->damaged);
}

static uint64_t filled(void)
{
    uint64_t bytes;

    ck_assert_int_eq(backing_filled(pool->descriptor, &bytes, NULL), 0);
    return bytes;
}

static void save(uint64_t capacity)
{
    pool->capacity = capacity;
    if (pool->reserved < capacity)
        pool->reserved = capacity;
    ck_assert_int_eq(pool_save(pool, &registry.store, NULL), 0);
}

static void grow(uint64_t capacity)
{
    ck_assert_int_eq(pool_reserve(pool, capacity, NULL), 0);
    save(capacity);
    ck_assert_int_eq(pool_publish(pool), 0);
    pool->published = capacity;
}

static void require_capacity(uint64_t capacity)
{
    ck_assert_uint_eq(pool->capacity, capacity);
    ck_assert_uint_eq(segment_capacity(&pool->segment), capacity);
}

static void withdraw(uint64_t from, uint64_t to)
{
    for (; from < to; from++)
        ck_assert(slot_withdraw(&pool->segment, from, 0));
}

/* Slots of [from, to) that are RETURNED, and flagged so. */
static uint64_t returned(uint64_t from, uint64_t to)
{
    struct survey survey;

    survey_slots(&pool->segment, &survey, NULL);
    for (; from < to; from++)
        ck_assert_uint_eq(slot_owner_of(pool->segment.words[from]), SLOT_RETURNED);
    return survey.returned;
}

/* --------------------------------------------------------- deaths while growing */

START_TEST(death_before_the_manifest_undoes_growth)
{
    uint64_t before = filled();

    ck_assert_int_eq(pool_reserve(pool, 40000, NULL), 0);
    ck_assert_uint_gt(filled(), before + 20000 * 64);
    restart();
    require_capacity(20000);
    ck_assert_uint_eq(filled(), before);
    grow(40000);
    require_capacity(40000);
}
END_TEST

START_TEST(death_after_the_manifest_finishes_growth)
{
    uint64_t full;

    ck_assert_int_eq(pool_reserve(pool, 40000, NULL), 0);
    full = filled();
    save(40000);
    ck_assert_uint_eq(segment_capacity(&pool->segment), 20000);
    restart();
    require_capacity(40000);
    ck_assert_uint_eq(segment_reserved(&pool->segment), 40000);
    ck_assert_uint_eq(filled(), full);
}
END_TEST

START_TEST(death_between_published_and_readmitted_finishes_growth)
{
    grow(40000);
    withdraw(30000, 40000);
    save(30000);
    ck_assert_uint_eq(growth_retreat(&pool->segment, 30000), 30000);
    pool_give_back(pool);
    ck_assert_int_eq(pool_reserve(pool, 40000, NULL), 0);
    save(40000);
    shm_store_ordered(&pool->segment.header->published, UINT64_C(40000));
    restart();
    require_capacity(40000);
    ck_assert_uint_eq(returned(30000, 40000), 10000);
}
END_TEST

/* In the place of the C library's: a file system that is full from here on, whatever it said
 * before. */
static off_t full_from = INT64_MAX;

/* And one file that takes its time. */
static int slow = -1;
static sem_t reserved_some, reserve_on;

int posix_fallocate(int descriptor, off_t from, off_t length)
{
    if (descriptor == slow) {
        sem_post(&reserved_some);
        sem_wait(&reserve_on);
    }
    if (from + length > full_from)
        return ENOSPC;
    return fallocate(descriptor, 0, from, length) < 0 ? errno : 0;
}

START_TEST(growth_that_fails_half_way_leaves_nothing)
{
    struct reason why = {0, ""};
    uint64_t bytes = filled();

    full_from = (off_t)(pool->geometry.objects_at + (50000 << 6));
    ck_assert_int_eq(pool_reserve(pool, 100000, &why), FASTALLOC_E_NO_MEMORY);
    ck_assert_msg(strstr(why.text, "pool \"orders\" cannot grow from 20000 to 100000 slots of 64 "
                                   "bytes: needs "),
                  "%s", why.text);
    ck_assert_ptr_nonnull(strstr(why.text, " could be had"));
    ck_assert_uint_eq(filled(), bytes);
    require_capacity(20000);
    grow(25000);
    require_capacity(25000);
    full_from = INT64_MAX;
    grow(100000);
    require_capacity(100000);
}
END_TEST

START_TEST(a_truncated_pool_is_not_made_large_again)
{
    struct reason why;
    uint64_t size;

    ck_assert_int_eq(ftruncate(held, 4096), 0);
    ck_assert_int_eq(pool_reserve(pool, 40000, &why), FASTALLOC_E_POISONED);
    ck_assert_int_eq(backing_size(held, &size, NULL), 0);
    ck_assert_uint_eq(size, 4096);
    ck_assert_int_eq(pool_publish(pool), FASTALLOC_E_POISONED);
    ck_assert_int_eq(pool_retreat(pool, 1, &size), FASTALLOC_E_POISONED);
}
END_TEST

START_TEST(somebody_elses_role_keeps_the_capacity_as_it_is)
{
    uint64_t number;
    int thief;

    fence_drop_role(pool->descriptor);
    pool->has_role = false;
    ck_assert_int_eq(backing_reopen(held, true, &thief, NULL), 0);
    ck_assert_int_eq(fence_take_role(thief), 0);
    ck_assert_int_eq(pool_reserve(pool, 40000, NULL), FASTALLOC_E_BUSY);
    ck_assert_int_eq(pool_publish(pool), FASTALLOC_E_BUSY);
    ck_assert_int_eq(pool_retreat(pool, 1, &number), FASTALLOC_E_BUSY);
    close(thief);
    grow(40000);
}
END_TEST

/* -------------------------------------------------------- deaths while shrinking */

START_TEST(death_before_the_manifest_undoes_shrinking)
{
    uint64_t full, capacity;

    grow(40000);
    full = filled();
    withdraw(30000, 40000);
    ck_assert_int_eq(pool_retreat(pool, 30000, &capacity), 0);
    ck_assert_uint_eq(capacity, 30000);
    ck_assert_uint_eq(segment_capacity(&pool->segment), 30000);
    restart();
    require_capacity(40000);
    ck_assert_uint_eq(returned(30000, 40000), 10000);
    ck_assert_uint_eq(filled(), full);
}
END_TEST

START_TEST(death_after_the_manifest_finishes_shrinking)
{
    uint64_t full, capacity;

    grow(40000);
    full = filled();
    withdraw(30000, 40000);
    ck_assert_int_eq(pool_retreat(pool, 30000, &capacity), 0);
    save(capacity);
    ck_assert_uint_eq(filled(), full);
    restart();
    require_capacity(30000);
    ck_assert_uint_lt(filled(), full - 9900 * 64);
    /* The words stay, for stale handles. */
    ck_assert_uint_eq(pool->reserved, 40000);
    ck_assert_uint_eq(slot_owner_of(pool->segment.words[39999]), SLOT_WITHDRAWN);
}
END_TEST

START_TEST(the_segment_is_not_believed_about_its_capacity)
{
    uint64_t capacity;

    grow(40000);
    shm_store_ordered(&pool->segment.header->published, UINT64_MAX);
    ck_assert_int_eq(pool_retreat(pool, 1000, &capacity), 0);
    ck_assert_uint_le(capacity, 40000);
    shm_store_ordered(&pool->segment.header->published, UINT64_C(0));
    ck_assert_int_eq(pool_retreat(pool, 1000, &capacity), 0);
    ck_assert_uint_ge(capacity, 1000);
}
END_TEST

/* ------------------------------------------------------------------------ holes */

START_TEST(holes_that_a_user_punched_are_filled_again)
{
    uint64_t full = filled();

    ck_assert_int_eq(backing_punch(held, pool->geometry.objects_at, 1000 * 64, NULL), 0);
    ck_assert_uint_lt(filled(), full);
    restart();
    ck_assert_uint_eq(filled(), full);
}
END_TEST

/* In the place of lib/os's: a machine with so much room, whatever has been taken of it. */
static uint64_t room = UINT64_MAX;

int room_check(int descriptor, uint64_t length, struct reason *why)
{
    (void)descriptor;
    return length <= room ? 0 : reason_set(why, FASTALLOC_E_NO_MEMORY, "needs too much");
}

struct reserving {
    int descriptor, error;
    uint64_t bytes;
    struct reason why;
};

static void *reserve(void *argument)
{
    struct reserving *reserving = argument;
    struct extent extent = {0, reserving->bytes};

    reserving->error = memory_reserve(reserving->descriptor, &extent, 1, 0, &reserving->why);
    return NULL;
}

static void prepare(struct reserving *reserving, uint64_t bytes)
{
    reserving->bytes = bytes;
    ck_assert_int_eq(backing_create_nameless("reserving", bytes, &reserving->descriptor, NULL), 0);
}

START_TEST(what_one_was_promised_is_not_promised_to_another)
{
    struct reserving first, second;
    pthread_t thread;

    room = UINT64_C(40) << 20;
    sem_init(&reserved_some, 0, 0);
    sem_init(&reserve_on, 0, 0);
    prepare(&first, UINT64_C(24) << 20);
    prepare(&second, UINT64_C(24) << 20);
    slow = first.descriptor;
    ck_assert_int_eq(pthread_create(&thread, NULL, reserve, &first), 0);
    sem_wait(&reserved_some);
    reserve(&second);
    ck_assert_int_eq(second.error, FASTALLOC_E_NO_MEMORY);
    ck_assert_msg(strstr(second.why.text, "(24 MiB of that is for other pools, being made or grown "
                                          "just now)"),
                  "%s", second.why.text);
    slow = -1;
    sem_post(&reserve_on);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(first.error, 0);
    /* What was spoken for has been had, or was given up. */
    reserve(&second);
    ck_assert_int_eq(second.error, 0);
    room = UINT64_MAX;
    close(first.descriptor);
    close(second.descriptor);
}
END_TEST

/* ----------------------------------------------------------------------- wishes */

static int ask(struct client *who, uint64_t capacity, uint64_t from)
{
    struct wire_request request = {.id = 9, .op = WIRE_GROW};

    request.grow.pool_id = attached.attached.pool_id;
    request.grow.session = attached.attached.session;
    request.grow.nonce = attached.attached.nonce;
    request.grow.capacity = capacity;
    request.grow.from = from;
    return desk_handle(who, &request);
}

static void await(struct client *who, uint64_t number, uint64_t from)
{
    who->wish = (struct wish){.kind = WISH_GROWTH, .number = number, .from = from};
    who->awaits_pool = pool;
    DL_APPEND2(pool->waiters, who, waiter_prev, waiter_next);
}

START_TEST(a_step_answers_all_who_saw_no_more)
{
    struct client asked[5];
    unsigned i;

    memset(asked, 0, sizeof asked);
    ck_assert_int_eq(ask(&client, 0, 20000), 0);
    ck_assert_int_eq(result.next, REQUEST_WISH);
    ck_assert_int_eq(result.wish.kind, WISH_GROWTH);
    ck_assert_uint_eq(wish_target(pool, &result.wish), 40000);
    await(&asked[0], 0, 20000);
    await(&asked[1], 0, 20000);
    await(&asked[2], 45000, 0);
    await(&asked[3], 40000, 0);
    asked[4].wish.kind = WISH_RELEASE;
    asked[4].awaits_pool = pool;
    DL_APPEND2(pool->waiters, &asked[4], waiter_prev, waiter_next);
    ck_assert_ptr_eq(wish_first(pool), &asked[0]);
    ck_assert_ptr_null(wish_next_grown(pool, 0));
    grow(40000);
    ck_assert_ptr_eq(wish_next_grown(pool, 0), &asked[0]);
    ck_assert_ptr_eq(wish_next_grown(pool, 0), &asked[1]);
    ck_assert_ptr_eq(wish_next_grown(pool, 0), &asked[3]);
    ck_assert_ptr_null(wish_next_grown(pool, 0));

    /* What has failed for some is refused to those who want as much, and to no others. */
    ck_assert_ptr_null(wish_next_grown(pool, 45001));
    ck_assert_ptr_eq(wish_next_grown(pool, 45000), &asked[2]);
    ck_assert_ptr_eq(wish_first(pool), &asked[4]);
    ck_assert_ptr_null(wish_next_served(pool, WISH_RELEASE));
    asked[4].wish.served = true;
    ck_assert_ptr_null(wish_next_served(pool, WISH_SHRINK));
    ck_assert_ptr_eq(wish_next_served(pool, WISH_RELEASE), &asked[4]);
    ck_assert_ptr_null(pool->waiters);
    for (i = 0; i < 5; i++)
        ck_assert_ptr_null(asked[i].awaits_pool);

    /* Who asks from below hears at once. */
    ck_assert_int_eq(ask(&client, 0, 20000), 0);
    ck_assert_int_eq(result.next, REQUEST_ANSWER);
    ck_assert_uint_eq(result.reply.capacity, 40000);
}
END_TEST

/* The manifest is ahead of the segment for a moment, and the segment of us. */
START_TEST(nobody_is_told_of_slots_that_are_not_there_yet)
{
    pool->busy = true;
    save(100000);
    ck_assert_int_eq(ask(&client, 0, 20000), 0);
    ck_assert_int_eq(result.next, REQUEST_WISH);
    ck_assert_int_eq(ask(&client, 100000, 0), 0);
    ck_assert_int_eq(result.next, REQUEST_WISH);
    pool->published = 100000;
    ck_assert_int_eq(ask(&client, 0, 20000), 0);
    ck_assert_int_eq(result.next, REQUEST_ANSWER);
    ck_assert_uint_eq(result.reply.capacity, 100000);
    ck_assert_int_eq(ask(&client, 0, 100000), FASTALLOC_E_MAX_CAPACITY);
    /* About to go down. */
    pool->published = 0;
    ck_assert_int_eq(ask(&client, 0, 20000), 0);
    ck_assert_int_eq(result.next, REQUEST_WISH);
    pool->busy = false;
}
END_TEST

START_TEST(what_cannot_be_is_refused_without_a_job)
{
    ck_assert_int_eq(ask(&client, 100001, 0), FASTALLOC_E_MAX_CAPACITY);
    grow(100000);
    ck_assert_int_eq(ask(&client, 0, 100000), FASTALLOC_E_MAX_CAPACITY);
    ck_assert_int_eq(ask(&client, 100000, 0), 0);
    ck_assert_int_eq(ask(&other, 0, 100000), FASTALLOC_E_SESSION);
    pool->damaged = true;
    ck_assert_int_eq(ask(&client, 0, 100000), FASTALLOC_E_POISONED);
    pool->damaged = false;
    pool->destroyed = true;
    ck_assert_int_eq(ask(&client, 0, 100000), FASTALLOC_E_DESTROYED);
    pool->destroyed = false;
}
END_TEST

/* --------------------------------------------------------------- coming back */

static int resume_as(struct client *who)
{
    struct wire_request request = {.id = 10, .op = WIRE_RESUME};

    request.resume.pool_id = attached.attached.pool_id;
    request.resume.session = attached.attached.session;
    request.resume.nonce = attached.attached.nonce;
    return desk_handle(who, &request);
}

START_TEST(a_session_is_resumed_by_its_user_alone)
{
    struct client root;

    ck_assert_int_eq(resume_as(&other), FASTALLOC_E_PERMISSION);
    ck_assert_ptr_nonnull(strstr(result.reply.message, "of uid 1000, not of uid 2000"));
    restart();
    ck_assert_ptr_nonnull(registry.suspects);
    ck_assert_int_eq(resume_as(&other), FASTALLOC_E_PERMISSION);
    ck_assert_int_eq(resume_as(&client), 0);
    ck_assert_ptr_null(registry.suspects);
    ck_assert_uint_eq(client.session_count, 1);
    ck_assert_ptr_eq(client.sessions->client, &client);
    desk_greet(&root, 0);
    ck_assert_int_eq(resume_as(&root), 0);
    ck_assert_uint_eq(client.session_count, 0);
    ck_assert_uint_eq(root.session_count, 1);
    registry_suspect_client(&registry, &root, 0);
    ck_assert_ptr_nonnull(registry.suspects);
}
END_TEST

START_TEST(what_was_closed_or_is_dead_is_not_resumed)
{
    ck_assert_int_eq(desk_close_as(&client, &attached), 0);
    ck_assert_int_eq(resume_as(&client), FASTALLOC_E_SESSION);
    ck_assert_ptr_nonnull(strstr(result.reply.message, "has been closed"));
    ck_assert_int_eq(desk_open_as(&client, "orders"), 0);
    attached = result.reply;
    close(desk_descriptor());
    registry_suspect_client(&registry, &client, 0);
    ck_assert_int_eq(resume_as(&client), FASTALLOC_E_SESSION);
    ck_assert_ptr_nonnull(strstr(result.reply.message, "has died"));
}
END_TEST

/* ------------------------------------------------------------ kept for a time */

static void set_up_keeping(void)
{
    desk_set_up();
    make_pool_for(FASTALLOC_QUARANTINE);
}

START_TEST(a_close_is_no_death_and_a_death_is_none_by_request)
{
    uint32_t number = attached.attached.session;
    struct survey survey;
    uint64_t count;

    ck_assert(slot_claim_fresh(&pool->segment, 5, number));
    ck_assert_int_eq(desk_close_as(&client, &attached), 0);
    restart();
    ck_assert(pool_find_session(pool, number)->closed);
    close(held);
    ck_assert_int_eq(pool_sweep(pool, &(struct death){number, true, 0}, 1), 0);
    survey_slots(&pool->segment, &survey, NULL);
    ck_assert_uint_eq(survey.quarantined, 0);
    ck_assert_uint_eq(survey.returned, 1);

    registry_forget(&registry, pool, &(struct death){number, true, 0}, 1);
    ck_assert_int_eq(desk_open_as(&client, "orders"), 0);
    held = desk_descriptor();
    number = result.reply.attached.session;
    ck_assert(slot_claim_fresh(&pool->segment, 6, number));
    ck_assert_int_eq(pool_sweep(pool, &(struct death){number, false, 0}, 1), 0);
    survey_slots(&pool->segment, &survey, NULL);
    ck_assert_uint_eq(survey.quarantined, 1);
    ck_assert_int_eq(pool_release_slots(pool, 0, &count), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(pool_release_slots(pool, 0, &count), 0);
    ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(what_expired_while_no_daemon_ran_comes_back_at_the_start)
{
    uint32_t number = attached.attached.session;
    bool later;

    ck_assert(slot_claim_fresh(&pool->segment, 5, number));
    ck_assert(!pool_expires(pool, &later));
    ck_assert_int_eq(notes_leave(&pool->segment,
                                 slot_handle(&pool->segment, pool->segment.words[5], 5), number, 1,
                                 1),
                     0);
    ck_assert(pool_expires(pool, &later));
    restart();
    ck_assert_uint_eq(slot_owner_of(pool->segment.words[5]), SLOT_RETURNED);
    ck_assert(!pool_expires(pool, &later));
    ck_assert(later); /* somebody is attached */
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("resize");
    TCase *steps = tcase_create("steps"), *kept = tcase_create("kept");

    tcase_add_checked_fixture(steps, set_up, tear_down);
    tcase_set_timeout(steps, 30);
    tcase_add_test(steps, death_before_the_manifest_undoes_growth);
    tcase_add_test(steps, death_after_the_manifest_finishes_growth);
    tcase_add_test(steps, death_between_published_and_readmitted_finishes_growth);
    tcase_add_test(steps, growth_that_fails_half_way_leaves_nothing);
    tcase_add_test(steps, a_truncated_pool_is_not_made_large_again);
    tcase_add_test(steps, somebody_elses_role_keeps_the_capacity_as_it_is);
    tcase_add_test(steps, death_before_the_manifest_undoes_shrinking);
    tcase_add_test(steps, death_after_the_manifest_finishes_shrinking);
    tcase_add_test(steps, the_segment_is_not_believed_about_its_capacity);
    tcase_add_test(steps, holes_that_a_user_punched_are_filled_again);
    tcase_add_test(steps, what_one_was_promised_is_not_promised_to_another);
    tcase_add_test(steps, a_step_answers_all_who_saw_no_more);
    tcase_add_test(steps, nobody_is_told_of_slots_that_are_not_there_yet);
    tcase_add_test(steps, what_cannot_be_is_refused_without_a_job);
    tcase_add_test(steps, a_session_is_resumed_by_its_user_alone);
    tcase_add_test(steps, what_was_closed_or_is_dead_is_not_resumed);
    suite_add_tcase(suite, steps);

    tcase_add_checked_fixture(kept, set_up_keeping, tear_down);
    tcase_set_timeout(kept, 30);
    tcase_add_test(kept, a_close_is_no_death_and_a_death_is_none_by_request);
    tcase_add_test(kept, what_expired_while_no_daemon_ran_comes_back_at_the_start);
    suite_add_tcase(suite, kept);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(make_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
