/* SPDX-License-Identifier: MIT
 *
 * Processes that come of fork() and share pools: local ones, and the daemon's.
 */
#include "api.h"
#include "tests/support/daemon.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 1000

/* Each test runs on a local pool and on one of a daemon's: `_i` 0 and 1. */
enum { LOCAL, DAEMON, KINDS };

static struct test_daemon daemon_;
static fastalloc_client *client;
static fastalloc_pool *pool;

static void begin(int kind, size_t slots)
{
    fastalloc_pool_config config = api_config("forked", 64, slots);

    config.max_sessions = 16;
    if (kind == LOCAL) {
        require_ok(fastalloc_pool_create_local(&config, &pool));
        return;
    }
    test_daemon_start(&daemon_, NULL);
    client = api_connect(daemon_.socket);
    require_ok(fastalloc_pool_create(client, &config, &pool));
}

static void end(int kind)
{
    require_ok(fastalloc_pool_close(pool));
    if (kind == LOCAL)
        return;
    fastalloc_disconnect(client);
    test_daemon_stop(&daemon_);
}

/* Requires that so many slots can be allocated, some of them after a death was noticed. */
static void require_allocated_soon(size_t count)
{
    int64_t deadline = api_now_us() + 5000000;
    fastalloc_handle handle;
    size_t done = 0;

    while (done < count && api_now_us() < deadline)
        done += fastalloc_alloc(pool, &handle, NULL) == 0;
    ck_assert_uint_eq(done, count);
}

static fastalloc_handle alloc_soon(void)
{
    int64_t deadline = api_now_us() + 5000000;
    fastalloc_handle handle;
    int error;

    while ((error = fastalloc_alloc(pool, &handle, NULL)) && api_now_us() < deadline)
        ;
    require_ok(error);
    return handle;
}

/* ------------------------------------------------------------- attaching */

static void attach_anew(int channel, void *argument)
{
    fastalloc_handle handle, *shown = argument;
    void *object, *before = fastalloc_get(pool, *shown);

    child_require(before != NULL);
    child_require(strcmp(before, "the parent's") == 0);
    child_require(fastalloc_alloc(pool, &handle, &object) == 0);
    child_require(fastalloc_get(pool, *shown) == before);
    child_require(strcmp(before, "the parent's") == 0);
    strcpy(object, "the child's");
    channel_put(channel, fastalloc_pool_session(pool));
    channel_put(channel, handle);
    channel_put(channel, (uintptr_t)object);
    channel_take(channel);
    child_require(fastalloc_free(pool, handle) == 0);
    child_require(fastalloc_free(pool, handle) == FASTALLOC_E_DOUBLE_FREE);
}

START_TEST(a_forked_child_attaches_anew_at_the_same_addresses)
{
    fastalloc_handle mine, its;
    struct child child;
    void *object;

    begin(_i, SLOTS);
    require_ok(fastalloc_alloc(pool, &mine, &object));
    strcpy(object, "the parent's");
    child_start(&child, attach_anew, &mine);
    ck_assert_uint_ne(channel_take(child.channel), fastalloc_pool_session(pool));
    its = channel_take(child.channel);
    ck_assert_uint_ne(its, mine);
    ck_assert_ptr_eq((void *)(uintptr_t)channel_take(child.channel), fastalloc_get(pool, its));
    ck_assert_str_eq(fastalloc_get(pool, its), "the child's");
    ck_assert_uint_eq(api_info(pool).sessions, 2);
    ck_assert_uint_eq(api_info(pool).allocated, 2);
    channel_put(child.channel, 0);
    child_join(&child);
    require_ok(fastalloc_free(pool, mine));
    api_require_whole(pool);
    end(_i);
}
END_TEST

static void do_nothing(int channel, void *argument)
{
    (void)channel;
    (void)argument;
}

START_TEST(the_parents_slots_stay_the_parents_when_a_child_ends)
{
    fastalloc_handle handles[50];
    struct child child;

    begin(_i, SLOTS);
    ck_assert_uint_eq(api_fill(pool, handles, 50), 50);
    child_start(&child, do_nothing, NULL);
    child_join(&child);
    child_start(&child, attach_anew, &handles[0]);
    strcpy(fastalloc_get(pool, handles[0]), "the parent's");
    child_kill(&child);
    ck_assert(api_allocated_becomes(pool, 50) || _i == LOCAL);
    api_free_all(pool, handles, 50);
    end(_i);
}
END_TEST

static void close_unused(int channel, void *argument)
{
    (void)channel;
    (void)argument;
    child_require(fastalloc_pool_close(pool) == 0);
    if (client)
        fastalloc_disconnect(client);
}

static void exit_without_close(int channel, void *argument)
{
    fastalloc_handle handle;

    (void)channel;
    (void)argument;
    child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
    exit(0); /* with what runs at exit */
}

START_TEST(a_forked_child_frees_nothing_of_its_parents)
{
    fastalloc_handle handles[50];
    struct child child;

    begin(_i, SLOTS);
    ck_assert_uint_eq(api_fill(pool, handles, 50), 50);
    child_start(&child, close_unused, NULL);
    child_join(&child);
    child_start(&child, exit_without_close, NULL);
    child_join(&child);
    require_allocated_soon(SLOTS - 50);
    api_free_all(pool, handles, 50);
    ck_assert_uint_eq(api_fill(pool, handles, 50), 50);
    end(_i);
}
END_TEST

/* ---------------------------------------------------------------- dying */

static void hold_many(int channel, void *argument)
{
    fastalloc_handle handle;
    size_t i, count = *(size_t *)argument;

    for (i = 0; i < count; i++)
        child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
    channel_put(channel, handle);
    channel_take(channel);
}

START_TEST(a_killed_childs_slots_come_back)
{
    size_t count = 700, mine;
    fastalloc_handle handles[SLOTS], its;
    struct child child;
    int64_t began;

    begin(_i, SLOTS);
    child_start(&child, hold_many, &count);
    its = channel_take(child.channel);
    ck_assert_uint_eq(api_fill(pool, handles, SLOTS), SLOTS - 700);
    child_kill(&child);
    began = api_now_us();
    for (mine = SLOTS - 700; mine < SLOTS;) {
        if (fastalloc_alloc(pool, &handles[mine], NULL) == 0)
            mine++;
        ck_assert_int_lt(api_now_us() - began, 5000000);
    }
    printf("# %s: 700 slots of a killed process are back after %lld us\n",
           _i == LOCAL ? "local" : "daemon", (long long)(api_now_us() - began));
    require_failure(fastalloc_adopt(pool, its), FASTALLOC_E_STALE, "adopt");
    ck_assert_ptr_ne(fastalloc_get(pool, handles[SLOTS - 1]), NULL);
    api_free_all(pool, handles, SLOTS);
    api_require_whole(pool);
    end(_i);
}
END_TEST

static void use_and_exit(int channel, void *argument)
{
    fastalloc_handle handle;
    size_t count;

    (void)argument;
    /* What the last ones had comes back when the daemon gets to it. */
    for (count = 0; count < 200; count++)
        require_ok(fastalloc_alloc_wait(pool, &handle, NULL, fastalloc_deadline(20000)));
    channel_put(channel, count);
}

START_TEST(more_children_one_after_the_other_than_there_are_sessions)
{
    struct child child;
    int i;

    begin(_i, SLOTS);
    for (i = 0; i < 40; i++) {
        child_start(&child, use_and_exit, NULL);
        ck_assert_uint_eq(channel_take(child.channel), 200);
        child_join(&child);
    }
    ck_assert(_i == LOCAL || api_allocated_becomes(pool, 0));
    ck_assert_uint_eq(api_fill(pool, NULL, SLOTS), SLOTS);
    end(_i);
}
END_TEST

static void attach_and_wait(int channel, void *argument)
{
    fastalloc_handle handle = 99;
    int error = fastalloc_alloc(pool, &handle, NULL);

    (void)argument;
    if (error) {
        child_require(error == FASTALLOC_E_TOO_MANY);
        child_require(strstr(fastalloc_last_error(), "16") != NULL);
        child_require(strstr(fastalloc_last_error(), "max_sessions") != NULL);
        child_require(handle == 99);
    }
    channel_put(channel, (uint64_t)-error);
    channel_take(channel);
}

START_TEST(one_session_more_than_the_pool_has_is_refused)
{
    struct child children[16];
    int i;

    begin(_i, SLOTS);
    for (i = 0; i < 16; i++) {
        child_start(&children[i], attach_and_wait, NULL);
        ck_assert_int_eq(-(int)channel_take(children[i].channel),
                         i < 15 ? 0 : FASTALLOC_E_TOO_MANY);
    }
    for (i = 0; i < 16; i++) {
        channel_put(children[i].channel, 0);
        child_join(&children[i]);
    }
    end(_i);
}
END_TEST

/* ------------------------------------------------- asleep with a full cache */

static void cache_and_sleep(int channel, void *argument)
{
    fastalloc_handle handles[SLOTS];
    size_t count = api_fill(pool, handles, SLOTS);

    (void)argument;
    child_require(count == SLOTS);
    api_free_all(pool, handles, count);
    channel_put(channel, 0);
    channel_take(channel);
    child_require(fastalloc_alloc(pool, handles, NULL) == 0);
    child_require(fastalloc_free(pool, handles[0]) == 0);
}

START_TEST(slots_in_a_sleeping_processs_cache_are_found)
{
    struct child child;

    begin(_i, SLOTS);
    child_start(&child, cache_and_sleep, NULL);
    channel_take(child.channel);
    api_require_whole(pool);
    channel_put(child.channel, 0);
    child_join(&child);
    end(_i);
}
END_TEST

START_TEST(slots_in_a_stopped_processs_cache_are_found)
{
    struct child child;

    begin(_i, SLOTS);
    child_start(&child, cache_and_sleep, NULL);
    channel_take(child.channel);
    kill(child.pid, SIGSTOP);
    api_require_whole(pool);
    kill(child.pid, SIGCONT);
    channel_put(child.channel, 0);
    child_join(&child);
    end(_i);
}
END_TEST

static void hold_and_be_stopped(int channel, void *argument)
{
    fastalloc_handle handles[100];
    size_t i;

    (void)argument;
    for (i = 0; i < 100; i++) {
        void *object;

        child_require(fastalloc_alloc(pool, &handles[i], &object) == 0);
        memset(object, (int)i, 64);
    }
    channel_put(channel, 0);
    channel_take(channel);
    for (i = 0; i < 100; i++) {
        const unsigned char *object = fastalloc_get(pool, handles[i]);

        child_require(object && object[0] == i && object[63] == i);
        child_require(fastalloc_free(pool, handles[i]) == 0);
    }
}

START_TEST(nothing_is_taken_from_a_stopped_holder)
{
    fastalloc_handle handles[SLOTS];
    struct child child;
    size_t count;

    begin(_i, SLOTS);
    child_start(&child, hold_and_be_stopped, NULL);
    channel_take(child.channel);
    kill(child.pid, SIGSTOP);
    count = api_fill(pool, handles, SLOTS);
    ck_assert_uint_eq(count, SLOTS - 100);
    api_sleep_ms(300);
    require_failure(fastalloc_alloc(pool, handles + count, NULL), FASTALLOC_E_EXHAUSTED,
                    "1000/1000", "top holders", " 900", " 100");
    api_free_all(pool, handles, count);
    kill(child.pid, SIGCONT);
    channel_put(child.channel, 0);
    child_join(&child);
    api_require_whole(pool);
    end(_i);
}
END_TEST

/* ------------------------------------------------------------ passing on */

static void adopt_what_comes(int channel, void *argument)
{
    fastalloc_handle handle;

    (void)argument;
    child_require(fastalloc_pool_session(pool) != 0);
    channel_put(channel, fastalloc_pool_session(pool));
    while ((handle = channel_take(channel)) != FASTALLOC_NONE) {
        child_require(fastalloc_adopt(pool, handle) == 0);
        child_require(strcmp(fastalloc_get(pool, handle), "a letter") == 0);
        strcpy(fastalloc_get(pool, handle), "an answer");
        channel_put(channel, 1);
    }
    channel_take(channel);
}

START_TEST(an_adopted_slot_belongs_to_the_adopter)
{
    fastalloc_handle handles[60];
    struct child child;
    int i;

    begin(_i, SLOTS);
    ck_assert_uint_eq(api_fill(pool, handles, 60), 60);
    child_start(&child, adopt_what_comes, NULL);
    channel_take(child.channel);
    for (i = 0; i < 60; i++) {
        strcpy(fastalloc_get(pool, handles[i]), "a letter");
        channel_put(child.channel, handles[i]);
        channel_take(child.channel);
    }
    /* No longer ours to give, but there to be read, taken back, and freed. */
    require_failure(fastalloc_give(pool, handles[0], fastalloc_pool_session(pool)),
                    FASTALLOC_E_STALE, "give");
    ck_assert_str_eq(fastalloc_get(pool, handles[0]), "an answer");
    for (i = 0; i < 20; i++)
        require_ok(fastalloc_free(pool, handles[i]));
    for (; i < 40; i++)
        require_ok(fastalloc_adopt(pool, handles[i]));
    child_kill(&child);
    /* All but the 20 that we took back: the last 20 go with the adopter. */
    require_allocated_soon(SLOTS - 20);
    for (i = 0; i < 60; i++)
        ck_assert_int_eq(fastalloc_adopt(pool, handles[i]),
                         i < 20 || i >= 40 ? FASTALLOC_E_STALE : 0);
    end(_i);
}
END_TEST

static void be_given(int channel, void *argument)
{
    fastalloc_handle handle;

    (void)argument;
    channel_put(channel, fastalloc_pool_session(pool));
    handle = channel_take(channel);
    child_require(strcmp(fastalloc_get(pool, handle), "a gift") == 0);
    child_require(fastalloc_give(pool, handle, fastalloc_pool_session(pool)) == 0); /* it is mine */
    channel_put(channel, 1);
    channel_take(channel);
}

START_TEST(a_given_slot_belongs_to_the_receiver_and_dies_with_it)
{
    fastalloc_handle handle;
    uint32_t receiver;
    struct child child;
    void *object;

    begin(_i, 300);
    require_ok(fastalloc_alloc(pool, &handle, &object));
    strcpy(object, "a gift");
    child_start(&child, be_given, NULL);
    receiver = (uint32_t)channel_take(child.channel);
    require_ok(fastalloc_give(pool, handle, receiver));
    require_failure(fastalloc_give(pool, handle, receiver), FASTALLOC_E_STALE, "give");
    channel_put(child.channel, handle);
    channel_take(child.channel);
    child_kill(&child);
    require_allocated_soon(299);
    handle = alloc_soon();
    /* And the dead one is given nothing more. */
    require_failure(fastalloc_give(pool, handle, receiver), FASTALLOC_E_SESSION, "give", "forked");
    ck_assert_ptr_nonnull(fastalloc_get(pool, handle));
    require_ok(fastalloc_free(pool, handle));
    end(_i);
}
END_TEST

/* One sibling allocates, and the handle reaches the other by way of the parent. */
static void allocate_and_send(int channel, void *argument)
{
    fastalloc_handle handle;
    void *object;
    int i;

    (void)argument;
    for (i = 0; i < 30; i++) {
        child_require(fastalloc_alloc(pool, &handle, &object) == 0);
        strcpy(object, "a letter");
        channel_put(channel, handle);
        channel_take(channel);
        child_require(strcmp(object, "an answer") == 0);
    }
    channel_take(channel);
}

START_TEST(siblings_hand_slots_over)
{
    fastalloc_handle handles[30];
    struct child sender, receiver;
    int i;

    begin(_i, SLOTS);
    child_start(&receiver, adopt_what_comes, NULL);
    channel_take(receiver.channel);
    child_start(&sender, allocate_and_send, NULL);
    for (i = 0; i < 30; i++) {
        handles[i] = channel_take(sender.channel);
        channel_put(receiver.channel, handles[i]);
        channel_take(receiver.channel);
        channel_put(sender.channel, 1);
    }
    /* The sender's death takes nothing of what was adopted along. */
    child_kill(&sender);
    ck_assert_uint_eq(api_fill(pool, NULL, SLOTS - 30), SLOTS - 30);
    for (i = 0; i < 30; i++)
        ck_assert_str_eq(fastalloc_get(pool, handles[i]), "an answer");
    api_free_all(pool, handles, 30);
    channel_put(receiver.channel, FASTALLOC_NONE);
    channel_put(receiver.channel, 0);
    child_join(&receiver);
    end(_i);
}
END_TEST

/* ------------------------------------------------------------ generations */

static void go_deeper(int channel, void *argument)
{
    int depth = *(int *)argument;
    fastalloc_handle handles[100];
    struct child child;
    char text[64];
    size_t i;

    for (i = 0; i < 100; i++) {
        void *object;

        child_require(fastalloc_alloc(pool, &handles[i], &object) == 0);
        snprintf(object, 64, "depth %d", depth);
    }
    if (depth < 3) {
        depth++;
        child_start(&child, go_deeper, &depth);
        child_require(channel_take(child.channel) == fastalloc_pool_session(pool) + 1);
        depth--;
        child_join(&child);
    }
    snprintf(text, sizeof text, "depth %d", depth);
    for (i = 0; i < 100; i++)
        child_require(strcmp(fastalloc_get(pool, handles[i]), text) == 0);
    for (i = 0; i < 50; i++)
        child_require(fastalloc_free(pool, handles[i]) == 0);
    channel_put(channel, fastalloc_pool_session(pool));
}

START_TEST(three_generations_share_a_pool)
{
    struct child child;
    int depth = 1;

    begin(_i, SLOTS);
    ck_assert_uint_eq(fastalloc_pool_session(pool), 1);
    child_start(&child, go_deeper, &depth);
    ck_assert_uint_eq(channel_take(child.channel), 2);
    child_join(&child);
    ck_assert(_i == LOCAL || api_allocated_becomes(pool, 0));
    ck_assert_uint_eq(api_fill(pool, NULL, SLOTS), SLOTS);
    end(_i);
}
END_TEST

static void outlive(int channel, void *argument)
{
    fastalloc_handle handles[SLOTS];
    size_t count;

    (void)argument;
    prctl(PR_SET_PDEATHSIG, 0);
    child_require(fastalloc_pool_session(pool) != 0);
    channel_put(channel, (uint64_t)getpid());
    channel_take(channel); /* the one in between is gone */
    for (count = 0; count < SLOTS; count++) {
        int64_t deadline = api_now_us() + 5000000;

        while (fastalloc_alloc(pool, &handles[count], NULL) && api_now_us() < deadline)
            ;
        child_require(api_now_us() < deadline);
    }
    channel_put(channel, count);
}

static int through[2]; /* from the test to the grandchild */

static void die_before_the_child(int channel, void *argument)
{
    fastalloc_handle handle;
    pid_t child;
    int i;

    (void)argument;
    for (i = 0; i < 300; i++)
        child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
    child = fork();
    if (child == 0) {
        outlive(through[1], NULL);
        _exit(0);
    }
    channel_take(channel);
}

START_TEST(a_child_goes_on_when_its_parent_dies)
{
    struct child child;

    begin(_i, SLOTS);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, through), 0);
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    child_start(&child, die_before_the_child, NULL);
    channel_take(through[0]);
    child_kill(&child);
    channel_put(through[0], 0);
    ck_assert_uint_eq(channel_take(through[0]), SLOTS);
    close(through[0]);
    close(through[1]);
    ck_assert_int_gt(wait(NULL), 0);
    end(_i);
}
END_TEST

/* A child that never calls the library still has its parent's mapping: what the parent
 * held is not given to others while the child can write to it. */
static void keep_the_mapping(int channel, void *argument)
{
    (void)argument;
    channel_take(channel);
}

static void fork_and_die(int channel, void *argument)
{
    fastalloc_handle handle;
    int i;

    (void)argument;
    for (i = 0; i < 300; i++)
        child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, 0);
        keep_the_mapping(through[1], NULL);
        _exit(0);
    }
    channel_put(channel, handle);
    channel_take(channel);
}

START_TEST(slots_of_a_dead_parent_are_kept_while_a_child_has_the_mapping)
{
    fastalloc_handle handles[SLOTS], its;
    struct child child;

    begin(_i, SLOTS);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, through), 0);
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    child_start(&child, fork_and_die, NULL);
    its = channel_take(child.channel);
    child_kill(&child);
    api_sleep_ms(150);
    ck_assert_uint_eq(api_fill(pool, handles, SLOTS), SLOTS - 300);
    ck_assert_ptr_nonnull(fastalloc_get(pool, its));
    channel_put(through[0], 0);
    ck_assert_int_gt(wait(NULL), 0);
    close(through[0]);
    close(through[1]);
    require_allocated_soon(300);
    require_failure(fastalloc_adopt(pool, its), FASTALLOC_E_STALE, "adopt");
    end(_i);
}
END_TEST

/* ---------------------------------------------------- threads and forking */

static volatile bool churning_ends;

static void *churn(void *argument)
{
    fastalloc_handle handles[40];
    int i;

    while (!churning_ends) {
        for (i = 0; i < 40; i++)
            handles[i] = api_alloc(pool);
        api_free_all(pool, handles, 40);
        fastalloc_thread_flush(pool);
    }
    return argument;
}

/* Calls that take the process's, a pool's and a client's mutex. */
static void *open_and_close(void *argument)
{
    while (!churning_ends) {
        fastalloc_pool *other;

        if (client)
            require_ok(fastalloc_pool_open(client, "forked", NULL, &other));
        else
            other = api_local(64, 300);
        if (fastalloc_free(other, 1) == 0 || !*fastalloc_last_error())
            ck_abort_msg("no error");
        require_ok(fastalloc_pool_close(other));
    }
    return argument;
}

/* Wording an error looks at every slot, and holds the process's mutex while it does. */
static void *ask_why(void *argument)
{
    fastalloc_pool *large = api_local(8, 50000);
    fastalloc_handle handle;

    api_fill(large, NULL, 50000);
    while (!churning_ends)
        if (fastalloc_alloc(large, &handle, NULL) == 0 || !*fastalloc_last_error())
            ck_abort_msg("no error");
    require_ok(fastalloc_pool_close(large));
    return argument;
}

static void use_some(int channel, void *argument)
{
    fastalloc_handle handles[100];

    (void)argument;
    child_require(fastalloc_alloc_batch(pool, 100, handles, NULL) == 0);
    child_require(fastalloc_free_batch(pool, 100, handles, NULL) == 0);
    child_require(fastalloc_free(pool, 1) != 0 && *fastalloc_last_error());
    channel_put(channel, 1);
}

START_TEST(a_child_forked_while_another_thread_holds_the_lock_does_not_hang)
{
    void *(*const work[4])(void *) = {churn, churn, open_and_close, ask_why};
    pthread_t threads[4];
    struct child child;
    int i;

    if (!api_may_fork_beside_threads())
        return;
    begin(_i, SLOTS);
    for (i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work[i], NULL), 0);
    for (i = 0; i < 50; i++) {
        child_start(&child, use_some, NULL);
        ck_assert_uint_eq(channel_take(child.channel), 1);
        child_join(&child);
    }
    churning_ends = true;
    for (i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    require_allocated_soon(SLOTS);
    end(_i);
}
END_TEST

static void *use_in_thread(void *argument)
{
    channel_put((int)(intptr_t)argument, api_fill(pool, NULL, 100));
    channel_take((int)(intptr_t)argument);
    _exit(0);
}

static void leave_the_main_thread(int channel, void *argument)
{
    fastalloc_handle handles[SLOTS];
    pthread_t thread;
    size_t count = api_fill(pool, handles, SLOTS);

    (void)argument;
    api_free_all(pool, handles, count);
    child_require(pthread_create(&thread, NULL, use_in_thread, (void *)(intptr_t)channel) == 0);
    pthread_exit(NULL);
}

START_TEST(main_thread_exits_workers_run)
{
    struct child child;

    begin(_i, SLOTS);
    child_start(&child, leave_the_main_thread, NULL);
    ck_assert_uint_eq(channel_take(child.channel), 100);
    api_sleep_ms(50);
    ck_assert_uint_eq(api_fill(pool, NULL, SLOTS), SLOTS - 100);
    channel_put(child.channel, 0);
    child_join(&child);
    ck_assert(_i == LOCAL || api_allocated_becomes(pool, SLOTS - 100));
    ck_assert_uint_eq(api_fill(pool, NULL, 100), 100);
    end(_i);
}
END_TEST

/* --------------------------------------------------------------------- exec */

START_TEST(a_program_that_was_exec_d_has_no_descriptors_of_ours)
{
    char line[4096];
    FILE *listing;

    begin(_i, SLOTS);
    api_alloc(pool);
    listing = popen("ls -l /proc/self/fd </dev/null 2>&1", "re");
    ck_assert_ptr_nonnull(listing);
    while (fgets(line, sizeof line, listing))
        ck_assert_msg(!strstr(line, "memfd:fastalloc") && !strstr(line, "/dev/shm/") &&
                          !strstr(line, "socket:"),
                      "the program got: %s", line);
    ck_assert_int_eq(pclose(listing), 0);
    end(_i);
}
END_TEST

static void hold_and_exec(int channel, void *argument)
{
    char descriptor[16];

    (void)argument;
    child_require(api_fill(pool, NULL, 400) == 400);
    snprintf(descriptor, sizeof descriptor, "%d", channel);
    channel_put(channel, 0);
    channel_take(channel);
    execlp("sleep", "sleep", "60", (char *)NULL);
}

START_TEST(exec_while_holding_slots_gives_them_back_though_the_pid_lives)
{
    struct child child;

    begin(_i, SLOTS);
    child_start(&child, hold_and_exec, NULL);
    channel_take(child.channel);
    ck_assert_uint_eq(api_fill(pool, NULL, SLOTS), SLOTS - 400);
    channel_put(child.channel, 0);
    require_allocated_soon(400);
    ck_assert_int_eq(waitpid(child.pid, NULL, WNOHANG), 0);
    child_kill(&child);
    end(_i);
}
END_TEST

/* ------------------------------------------------- only of the daemon's pools */

static void meet_the_destroyed(int channel, void *argument)
{
    fastalloc_handle handle = 99, shown = *(fastalloc_handle *)argument;

    channel_take(channel);
    child_require(strcmp(fastalloc_get(pool, shown), "readable") == 0);
    child_require(fastalloc_alloc(pool, &handle, NULL) != 0);
    child_require(fastalloc_last_error()[0] != '\0');
    child_require(handle == 99);
    child_require(strcmp(fastalloc_get(pool, shown), "readable") == 0);
    child_require(fastalloc_pool_close(pool) == 0);
}

START_TEST(a_child_cannot_attach_to_a_pool_destroyed_meanwhile)
{
    struct child child;
    fastalloc_handle handle;

    begin(DAEMON, SLOTS);
    handle = api_alloc(pool);
    strcpy(fastalloc_get(pool, handle), "readable");
    child_start(&child, meet_the_destroyed, &handle);
    require_ok(fastalloc_pool_destroy(client, "forked"));
    channel_put(child.channel, 0);
    child_join(&child);
    end(DAEMON);
}
END_TEST

static void *allocate_in_thread(void *argument)
{
    fastalloc_handle handle;

    *(int *)argument = fastalloc_alloc(pool, &handle, NULL);
    return NULL;
}

static void close_while_attaching(int channel, void *argument)
{
    pthread_t thread;
    int error = 1;

    (void)argument;
    channel_take(channel); /* the daemon is stopped: attaching takes long */
    child_require(pthread_create(&thread, NULL, allocate_in_thread, &error) == 0);
    api_sleep_ms(200);
    child_require(fastalloc_pool_close(pool) == FASTALLOC_E_BUSY);
    child_require(strstr(fastalloc_last_error(), "forked") != NULL);
    channel_put(channel, 1);
    pthread_join(thread, NULL);
    child_require(error == 0);
    child_require(fastalloc_pool_close(pool) == 0);
}

START_TEST(closing_says_busy_while_another_thread_is_inside)
{
    struct child child;

    begin(DAEMON, SLOTS);
    child_start(&child, close_while_attaching, NULL);
    kill(daemon_.pid, SIGSTOP);
    channel_put(child.channel, 0);
    channel_take(child.channel);
    kill(daemon_.pid, SIGCONT);
    child_join(&child);
    end(DAEMON);
}
END_TEST

static void attach_to_several(int channel, void *argument)
{
    fastalloc_pool **pools = argument;
    fastalloc_handle handle;
    int i;

    for (i = 0; i < 3; i++) {
        child_require(fastalloc_alloc(pools[i], &handle, NULL) == 0);
        child_require(fastalloc_pool_set_root(pools[i], FASTALLOC_NONE, handle) == 0);
    }
    channel_put(channel, 1);
    channel_take(channel);
}

START_TEST(a_child_uses_several_pools_of_several_clients)
{
    fastalloc_pool_config config = api_config("second", 100, 500);
    fastalloc_client *other;
    fastalloc_pool *pools[3];
    struct child child;
    int i;

    begin(DAEMON, SLOTS);
    other = api_connect(daemon_.socket);
    pools[0] = pool;
    require_ok(fastalloc_pool_create(other, &config, &pools[1]));
    pools[2] = api_local(64, 300);
    child_start(&child, attach_to_several, pools);
    channel_take(child.channel);
    for (i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(fastalloc_get(pools[i], fastalloc_pool_root(pools[i])));
    child_kill(&child);
    for (i = 0; i < 3; i++)
        ck_assert_uint_eq(api_fill(pools[i], NULL, 200), 200);
    require_ok(fastalloc_pool_close(pools[2]));
    fastalloc_disconnect(other);
    end(DAEMON);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork");
    TCase *both = tcase_create("both kinds"), *daemons = tcase_create("daemon's");
    const TTest *const of_both[] = {
        a_forked_child_attaches_anew_at_the_same_addresses,
        the_parents_slots_stay_the_parents_when_a_child_ends,
        a_forked_child_frees_nothing_of_its_parents,
        a_killed_childs_slots_come_back,
        more_children_one_after_the_other_than_there_are_sessions,
        one_session_more_than_the_pool_has_is_refused,
        slots_in_a_sleeping_processs_cache_are_found,
        slots_in_a_stopped_processs_cache_are_found,
        nothing_is_taken_from_a_stopped_holder,
        an_adopted_slot_belongs_to_the_adopter,
        a_given_slot_belongs_to_the_receiver_and_dies_with_it,
        siblings_hand_slots_over,
        three_generations_share_a_pool,
        a_child_goes_on_when_its_parent_dies,
        slots_of_a_dead_parent_are_kept_while_a_child_has_the_mapping,
        a_child_forked_while_another_thread_holds_the_lock_does_not_hang,
        main_thread_exits_workers_run,
        a_program_that_was_exec_d_has_no_descriptors_of_ours,
        exec_while_holding_slots_gives_them_back_though_the_pid_lives,
    };
    const TTest *const of_daemons[] = {
        a_child_cannot_attach_to_a_pool_destroyed_meanwhile,
        closing_says_busy_while_another_thread_is_inside,
        a_child_uses_several_pools_of_several_clients,
    };
    SRunner *runner;
    size_t i;
    int failed;

    tcase_set_timeout(both, 20);
    tcase_set_timeout(daemons, 20);
    for (i = 0; i < sizeof of_both / sizeof *of_both; i++)
        tcase_add_loop_test(both, of_both[i], 0, KINDS);
    for (i = 0; i < sizeof of_daemons / sizeof *of_daemons; i++)
        tcase_add_test(daemons, of_daemons[i]);
    suite_add_tcase(suite, both);
    suite_add_tcase(suite, daemons);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
