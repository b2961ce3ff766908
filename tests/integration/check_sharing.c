/* SPDX-License-Identifier: MIT
 *
 * Slots that outlive whoever allocated them: shared among processes, left to anyone,
 * quarantined, inherited.  Each on a local pool and on one of a daemon's.
 */
#include "api.h"
#include "tests/support/daemon.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 1000

enum { LOCAL, DAEMON, KINDS };

static struct test_daemon daemon_;
static fastalloc_client *client;
static fastalloc_pool *pool;
static size_t slots;

static void begin(int kind, fastalloc_pool_config config)
{
    slots = config.capacity;
    config.max_sessions = 100; /* two words of holders a slot */
    if (kind == LOCAL) {
        require_ok(fastalloc_pool_create_local(&config, &pool));
        return;
    }
    test_daemon_start(&daemon_, NULL);
    client = api_connect(daemon_.socket);
    require_ok(fastalloc_pool_create(client, &config, &pool));
}

static void begin_sharing(int kind)
{
    fastalloc_pool_config config = api_config("shared", 64, SLOTS);

    config.features = FASTALLOC_SHARING;
    begin(kind, config);
}

static void begin_with_policy(int kind, uint32_t on_death, uint32_t quarantine_ms)
{
    fastalloc_pool_config config = api_config("mortal", 64, 100);

    config.on_death = on_death;
    config.quarantine_ms = quarantine_ms;
    begin(kind, config);
}

/* Requires that every slot but `held` can be had soon: a death or a deadline may have to be
 * noticed first. */
static void require_free_soon(size_t held)
{
    fastalloc_handle *handles = calloc(slots, sizeof *handles);
    int64_t deadline = api_now_us() + 8000000;
    size_t done = 0;

    while (done < slots - held && api_now_us() < deadline)
        done += fastalloc_alloc(pool, &handles[done], NULL) == 0;
    ck_assert_uint_eq(done, slots - held);
    api_free_all(pool, handles, done);
    ck_assert_uint_eq(api_info(pool).allocated, held);
    free(handles);
}

static void end(int kind)
{
    require_free_soon(0);
    api_require_whole(pool);
    require_ok(fastalloc_pool_close(pool));
    if (kind == LOCAL)
        return;
    fastalloc_disconnect(client);
    test_daemon_stop(&daemon_);
}

static fastalloc_handle alloc_text(const char *text)
{
    fastalloc_handle handle = FASTALLOC_NONE;
    void *object;

    require_ok(fastalloc_alloc(pool, &handle, &object));
    strcpy(object, text);
    return handle;
}

static fastalloc_handle share_text(const char *text)
{
    fastalloc_handle handle = alloc_text(text);

    require_ok(fastalloc_share(pool, handle));
    return handle;
}

static bool has_text(fastalloc_handle handle, const char *text)
{
    const char *object = fastalloc_get(pool, handle);

    return object && strcmp(object, text) == 0;
}

/* ----------------------------------------------------------------- sharing */

/* A holder: takes a reference, says so; when told to, looks, and lets go. */
static void hold_until_told(int channel, void *argument)
{
    fastalloc_handle handle = *(fastalloc_handle *)argument;

    child_require(fastalloc_ref(pool, handle) == 0);
    channel_put(channel, 1);
    channel_take(channel);
    child_require(has_text(handle, "ours"));
    child_require(fastalloc_unref(pool, handle) == 0);
    channel_put(channel, 2);
    channel_take(channel);
}

static void start_holder(struct child *child, fastalloc_handle *handle)
{
    child_start(child, hold_until_told, handle);
    ck_assert_uint_eq(channel_take(child->channel), 1);
}

static void have_it_let_go(struct child *child)
{
    channel_put(child->channel, 0);
    ck_assert_uint_eq(channel_take(child->channel), 2);
}

static void end_holder(struct child *child)
{
    channel_put(child->channel, 0);
    child_join(child);
}

START_TEST(a_shared_slot_goes_back_when_its_last_holder_lets_go)
{
    struct child first, second;
    fastalloc_handle handle;

    begin_sharing(_i);
    handle = share_text("ours");
    start_holder(&first, &handle);
    start_holder(&second, &handle);
    require_ok(fastalloc_unref(pool, handle));
    ck_assert_uint_eq(api_info(pool).allocated, 1);
    ck_assert(has_text(handle, "ours"));
    have_it_let_go(&first);
    ck_assert(has_text(handle, "ours"));
    require_ok(fastalloc_ref(pool, handle)); /* a weak reference becomes a holder's again */
    require_ok(fastalloc_unref(pool, handle));
    have_it_let_go(&second);
    require_failure(fastalloc_ref(pool, handle), FASTALLOC_E_STALE, "ref", "\"shared\"");
    ck_assert_ptr_null(fastalloc_get(pool, handle));
    end_holder(&first);
    end_holder(&second);
    end(_i);
}
END_TEST

START_TEST(a_killed_holder_drops_just_its_share)
{
    struct child first, second;
    fastalloc_handle handle;

    begin_sharing(_i);
    handle = share_text("ours");
    start_holder(&first, &handle);
    start_holder(&second, &handle);
    child_kill(&first);
    require_free_soon(1);
    ck_assert(has_text(handle, "ours"));
    require_ok(fastalloc_unref(pool, handle));
    ck_assert(has_text(handle, "ours"));
    have_it_let_go(&second);
    require_free_soon(0);
    require_failure(fastalloc_ref(pool, handle), FASTALLOC_E_STALE, NULL);
    end_holder(&second);
    end(_i);
}
END_TEST

START_TEST(a_slot_whose_last_holder_is_killed_goes_back)
{
    fastalloc_handle handle;
    struct child child;

    begin_sharing(_i);
    handle = share_text("ours");
    start_holder(&child, &handle);
    require_ok(fastalloc_unref(pool, handle));
    require_free_soon(1);
    child_kill(&child);
    require_free_soon(0);
    require_failure(fastalloc_ref(pool, handle), FASTALLOC_E_STALE, NULL);
    end(_i);
}
END_TEST

START_TEST(a_process_counts_its_references_by_itself)
{
    fastalloc_handle handle, weak;
    int i;

    begin_sharing(_i);
    handle = share_text("ours");
    weak = handle;
    for (i = 0; i < 1000; i++)
        require_ok(fastalloc_ref(pool, handle));
    for (i = 0; i < 1000; i++)
        require_ok(fastalloc_unref(pool, handle));
    ck_assert(has_text(weak, "ours"));
    require_ok(fastalloc_unref(pool, handle));
    require_failure(fastalloc_unref(pool, weak), FASTALLOC_E_STALE, NULL);
    require_failure(fastalloc_ref(pool, weak), FASTALLOC_E_STALE, NULL);
    end(_i);
}
END_TEST

static void find_none_of_the_parents(int channel, void *argument)
{
    fastalloc_handle handle = *(fastalloc_handle *)argument;

    child_require(fastalloc_unref(pool, handle) == FASTALLOC_E_SHARING);
    child_require(fastalloc_ref(pool, handle) == 0);
    child_require(fastalloc_unref(pool, handle) == 0);
    child_require(fastalloc_unref(pool, handle) == FASTALLOC_E_SHARING);
    child_require(fastalloc_free(pool, handle) == FASTALLOC_E_SHARING);
    child_require(has_text(handle, "ours"));
    (void)channel;
}

START_TEST(a_child_has_none_of_its_parents_references)
{
    fastalloc_handle handle;
    struct child child;

    begin_sharing(_i);
    handle = share_text("ours");
    require_ok(fastalloc_ref(pool, handle));
    child_start(&child, find_none_of_the_parents, &handle);
    child_join(&child);
    require_ok(fastalloc_unref(pool, handle));
    require_free_soon(1);
    require_ok(fastalloc_unref(pool, handle));
    end(_i);
}
END_TEST

START_TEST(what_is_not_to_be_done_with_shared_slots_is_refused)
{
    fastalloc_handle shared, own;

    begin_sharing(_i);
    shared = share_text("ours");
    own = alloc_text("mine");
    require_failure(fastalloc_free(pool, shared), FASTALLOC_E_SHARING, "free");
    require_failure(fastalloc_adopt(pool, shared), FASTALLOC_E_SHARING, "adopt");
    require_failure(fastalloc_give(pool, shared, fastalloc_pool_session(pool)), FASTALLOC_E_SHARING,
                    "give");
    require_failure(fastalloc_leave(pool, shared, FASTALLOC_FOREVER), FASTALLOC_E_SHARING, "leave",
                    "fastalloc_unref");
    require_failure(fastalloc_share(pool, shared), FASTALLOC_E_SHARING, "share", "already");
    require_failure(fastalloc_ref(pool, own), FASTALLOC_E_SHARING, "ref", "not shared");
    require_failure(fastalloc_unref(pool, own), FASTALLOC_E_SHARING, "unref", "no reference");
    require_failure(fastalloc_share(pool, 12345), FASTALLOC_E_HANDLE, "share", "0x3039");
    require_failure(fastalloc_ref(pool, FASTALLOC_NONE), FASTALLOC_E_HANDLE, "ref");
    require_failure(fastalloc_unref(pool, 12345), FASTALLOC_E_HANDLE, "unref");
    require_failure(fastalloc_share(NULL, own), FASTALLOC_E_INVALID, "share", "NULL");
    ck_assert(has_text(shared, "ours"));
    require_ok(fastalloc_free(pool, own));
    require_failure(fastalloc_share(pool, own), FASTALLOC_E_STALE, NULL);
    require_ok(fastalloc_unref(pool, shared));
    end(_i);
}
END_TEST

START_TEST(pools_share_and_know_deadlines_only_where_they_were_asked_to)
{
    fastalloc_handle handle;

    begin(_i, api_config("plain", 64, 10));
    handle = alloc_text("mine");
    require_failure(fastalloc_share(pool, handle), FASTALLOC_E_SHARING, "\"plain\"",
                    "FASTALLOC_SHARING");
    require_failure(fastalloc_ref(pool, handle), FASTALLOC_E_SHARING, "FASTALLOC_SHARING");
    require_failure(fastalloc_unref(pool, handle), FASTALLOC_E_SHARING, "FASTALLOC_SHARING");
    require_failure(fastalloc_leave(pool, handle, 0), FASTALLOC_E_INVALID, "\"plain\"",
                    "FASTALLOC_DEADLINES", "FASTALLOC_FOREVER");
    require_failure(fastalloc_pool_become_heir(pool), FASTALLOC_E_INVALID, "\"plain\"",
                    "FASTALLOC_HEIR");
    require_ok(fastalloc_leave(pool, handle, FASTALLOC_FOREVER));
    require_failure(fastalloc_leave(pool, handle, FASTALLOC_FOREVER), FASTALLOC_E_STALE, "leave");
    require_ok(fastalloc_free(pool, handle));
    end(_i);
}
END_TEST

/* All threads and processes take and let go of a few slots as they like; now and then a slot
 * dies and another takes its place in the list. */
enum { LISTED = 4, WORKERS = 4, THREADS = 2, ROUNDS = 3 };

static fastalloc_handle *listed; /* in memory that all share */

static void *use_what_is_listed(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument, turn;

    for (turn = 0; turn < 3000; turn++) {
        fastalloc_handle *place, handle;
        int error;

        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        place = &listed[random >> 33 & (LISTED - 1)];
        handle = __atomic_load_n(place, __ATOMIC_ACQUIRE);
        error = handle ? fastalloc_ref(pool, handle) : FASTALLOC_E_STALE;
        if (error == 0) {
            child_require(fastalloc_get(pool, handle) != NULL);
            child_require(fastalloc_unref(pool, handle) == 0);
        } else {
            fastalloc_handle made;

            child_require(error == FASTALLOC_E_STALE);
            child_require(fastalloc_alloc(pool, &made, NULL) == 0);
            child_require(fastalloc_share(pool, made) == 0);
            if (__atomic_compare_exchange_n(place, &handle, made, 0, __ATOMIC_SEQ_CST,
                                            __ATOMIC_SEQ_CST))
                usleep(turn % 50);
            child_require(fastalloc_unref(pool, made) == 0);
        }
    }
    return NULL;
}

static void work_on_the_list(int channel, void *argument)
{
    uintptr_t number = (uintptr_t)argument;
    pthread_t threads[THREADS];
    int i;

    for (i = 0; i < THREADS; i++)
        child_require(pthread_create(&threads[i], NULL, use_what_is_listed,
                                     (void *)(number * THREADS + (uintptr_t)i + 1)) == 0);
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    (void)channel;
}

START_TEST(nothing_is_lost_when_holders_are_killed_at_work)
{
    struct child children[WORKERS];
    int round, i;

    begin_sharing(_i);
    listed = fastalloc_get(pool, alloc_text(""));
    memset(listed, 0, LISTED * sizeof *listed);
    for (round = 0; round < ROUNDS; round++) {
        for (i = 0; i < WORKERS; i++)
            child_start(&children[i], work_on_the_list, (void *)(uintptr_t)(round * WORKERS + i));
        api_sleep_ms(20);
        child_kill(&children[0]);
        api_sleep_ms(5);
        child_kill(&children[1]);
        child_join(&children[2]);
        child_join(&children[3]);
        require_free_soon(1);
    }
    require_ok(fastalloc_pool_close(pool));
    if (_i == DAEMON) {
        fastalloc_disconnect(client);
        test_daemon_stop(&daemon_);
    }
}
END_TEST

/* ----------------------------------------------------------------- leaving */

static void leave_one(int channel, void *argument)
{
    const uint64_t *deadline = argument;
    fastalloc_handle handle = FASTALLOC_NONE;
    void *object;

    child_require(fastalloc_alloc(pool, &handle, &object) == 0);
    strcpy(object, "whose?");
    child_require(fastalloc_leave(pool, handle, *deadline) == 0);
    channel_put(channel, handle);
    channel_take(channel);
}

static fastalloc_handle have_one_left_by_the_dead(uint64_t deadline)
{
    fastalloc_handle handle;
    struct child child;

    child_start(&child, leave_one, &deadline);
    handle = channel_take(child.channel);
    child_kill(&child);
    return handle;
}

START_TEST(a_slot_left_outlives_its_owner_until_it_is_adopted)
{
    fastalloc_pool_config config = api_config("left", 64, 100);
    fastalloc_handle handle;

    begin(_i, config);
    handle = have_one_left_by_the_dead(FASTALLOC_FOREVER);
    require_free_soon(1);
    ck_assert(has_text(handle, "whose?"));
    require_ok(fastalloc_adopt(pool, handle));
    require_ok(fastalloc_free(pool, handle));
    require_ok(fastalloc_free(pool, have_one_left_by_the_dead(FASTALLOC_FOREVER)));
    end(_i);
}
END_TEST

START_TEST(a_slot_left_goes_back_at_its_deadline_and_not_before)
{
    fastalloc_pool_config config = api_config("left", 64, 100);
    uint64_t deadline = fastalloc_deadline(600);
    fastalloc_handle handle, adopted;

    config.features = FASTALLOC_DEADLINES;
    begin(_i, config);
    handle = have_one_left_by_the_dead(deadline);
    adopted = have_one_left_by_the_dead(deadline);
    require_ok(fastalloc_adopt(pool, adopted));
    while (api_allocated_becomes(pool, 2) && fastalloc_get(pool, handle) &&
           fastalloc_deadline(0) < deadline)
        api_sleep_ms(10);
    ck_assert_uint_ge(fastalloc_deadline(0), deadline);
    require_free_soon(1);
    ck_assert_ptr_null(fastalloc_get(pool, handle));
    require_failure(fastalloc_adopt(pool, handle), FASTALLOC_E_STALE, NULL);
    ck_assert(has_text(adopted, "whose?"));
    require_ok(fastalloc_free(pool, adopted));
    end(_i);
}
END_TEST

/* ------------------------------------------------------------- after a death */

static void allocate_three(int channel, void *argument)
{
    fastalloc_handle handle = FASTALLOC_NONE;
    void *object;
    int i;

    for (i = 0; i < 3; i++) {
        child_require(fastalloc_alloc(pool, &handle, &object) == 0);
        strcpy(object, "evidence");
        channel_put(channel, handle);
    }
    channel_take(channel);
    (void)argument;
}

static void have_three_of_the_dead(fastalloc_handle handles[3], pid_t *pid)
{
    struct child child;
    int i;

    child_start(&child, allocate_three, NULL);
    for (i = 0; i < 3; i++)
        handles[i] = channel_take(child.channel);
    *pid = child.pid;
    child_kill(&child);
}

/* Fills the pool, so that in a local one somebody looks for the dead. */
static void have_them_swept(void)
{
    fastalloc_handle handles[100];

    api_free_all(pool, handles, api_fill(pool, handles, 100));
}

static bool is_quarantined(void *argument)
{
    fastalloc_handle handle = *(fastalloc_handle *)argument;

    ck_assert_int_eq(fastalloc_leave(pool, handle, FASTALLOC_FOREVER), FASTALLOC_E_STALE);
    return strstr(fastalloc_last_error(), "owner 65532");
}

START_TEST(slots_of_the_dead_are_quarantined_for_their_time)
{
    fastalloc_handle handles[3];
    uint64_t from;
    pid_t pid;

    begin_with_policy(_i, FASTALLOC_QUARANTINE, 1500);
    from = fastalloc_deadline(1500);
    have_three_of_the_dead(handles, &pid);
    have_them_swept();
    ck_assert(test_eventually(is_quarantined, &handles[1]));
    require_failure(fastalloc_adopt(pool, handles[1]), FASTALLOC_E_STALE, NULL);
    ck_assert(has_text(handles[1], "evidence"));
    require_free_soon(0);
    ck_assert_uint_ge(fastalloc_deadline(0), from);
    ck_assert_ptr_null(fastalloc_get(pool, handles[1]));
    end(_i);
}
END_TEST

START_TEST(the_heir_is_told_what_it_inherits)
{
    fastalloc_inheritance list[8];
    fastalloc_handle handles[3];
    size_t count = 77, told = 0, i;
    pid_t pid;

    begin_with_policy(_i, FASTALLOC_HEIR, 0);
    require_failure(fastalloc_inherited(pool, list, 8, &count, 0), FASTALLOC_E_TIMEOUT, NULL);
    require_ok(fastalloc_pool_become_heir(pool));
    ck_assert_uint_eq(api_info(pool).heir, fastalloc_pool_session(pool));
    have_three_of_the_dead(handles, &pid);
    ck_assert_uint_eq(count, 77);
    while (told < 3) {
        require_ok(fastalloc_inherited(pool, &list[told], 2, &count, fastalloc_deadline(8000)));
        ck_assert_uint_le(count, 2);
        told += count;
    }
    for (i = 0; i < 3; i++) {
        size_t at;

        for (at = 0; at < 3 && list[at].handle != handles[i]; at++)
            ;
        ck_assert_uint_lt(at, 3);
        ck_assert_int_eq((pid_t)list[at].pid, pid);
        ck_assert(has_text(handles[i], "evidence"));
    }
    require_failure(fastalloc_inherited(pool, list, 8, &count, fastalloc_deadline(50)),
                    FASTALLOC_E_TIMEOUT, NULL);
    ck_assert_uint_eq(api_info(pool).allocated, 3);
    api_free_all(pool, handles, 3);
    end(_i);
}
END_TEST

/* It dies only after it has been told to. */
static void allocate_and_wait(int channel, void *argument)
{
    fastalloc_handle handle = FASTALLOC_NONE;

    child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
    channel_put(channel, handle);
    channel_take(channel);
    api_sleep_ms(100);
    raise(SIGKILL);
    (void)argument;
}

START_TEST(an_heir_that_waits_is_woken)
{
    fastalloc_inheritance one;
    fastalloc_handle handle;
    struct child child;
    size_t count;

    begin_with_policy(_i, FASTALLOC_HEIR, 0);
    require_ok(fastalloc_pool_become_heir(pool));
    child_start(&child, allocate_and_wait, NULL);
    handle = channel_take(child.channel);
    channel_put(child.channel, 0);
    require_ok(fastalloc_inherited(pool, &one, 1, &count, FASTALLOC_FOREVER));
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(one.handle, handle);
    child_kill(&child);
    require_ok(fastalloc_free(pool, handle));
    end(_i);
}
END_TEST

START_TEST(without_an_heir_slots_are_reclaimed)
{
    fastalloc_handle handles[3];
    pid_t pid;

    begin_with_policy(_i, FASTALLOC_HEIR, 0);
    have_three_of_the_dead(handles, &pid);
    require_free_soon(0);
    end(_i);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_shared_slot_goes_back_when_its_last_holder_lets_go,
        a_killed_holder_drops_just_its_share,
        a_slot_whose_last_holder_is_killed_goes_back,
        a_process_counts_its_references_by_itself,
        a_child_has_none_of_its_parents_references,
        what_is_not_to_be_done_with_shared_slots_is_refused,
        pools_share_and_know_deadlines_only_where_they_were_asked_to,
        nothing_is_lost_when_holders_are_killed_at_work,
        a_slot_left_outlives_its_owner_until_it_is_adopted,
        a_slot_left_goes_back_at_its_deadline_and_not_before,
        slots_of_the_dead_are_quarantined_for_their_time,
        the_heir_is_told_what_it_inherits,
        an_heir_that_waits_is_woken,
        without_an_heir_slots_are_reclaimed,
    };
    Suite *suite = suite_create("sharing");
    TCase *cases = tcase_create("local and daemon's");
    SRunner *runner;
    int failed;
    size_t i;

    tcase_set_timeout(cases, 60);
    for (i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_loop_test(cases, tests[i], LOCAL, KINDS);
    suite_add_tcase(suite, cases);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
