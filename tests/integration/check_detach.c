/* SPDX-License-Identifier: MIT
 *
 * Forked children that let go of what their parent has attached, and ones that go on as
 * their parent.
 */
#include "both.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define pool both_pool
#define SLOTS 1000
#define HELD 50

static fastalloc_handle held[SLOTS];

static void begin(int kind)
{
    fastalloc_pool_config config = api_config("forked", 64, SLOTS);

    config.max_sessions = 16;
    config.lifetime = FASTALLOC_PERSISTENT;
    both_begin(kind, &config);
}

static void end(int kind)
{
    if (kind == BOTH_DAEMON)
        require_ok(fastalloc_pool_destroy(both_client, "forked"));
    both_end(kind);
}

/* Fills `held` and writes into each object. */
static void hold(void)
{
    size_t i;

    for (i = 0; i < HELD; i++) {
        void *object;

        require_ok(fastalloc_alloc(pool, &held[i], &object));
        memcpy(object, &i, sizeof i);
    }
}

static bool has_them(void)
{
    size_t i;

    for (i = 0; i < HELD; i++) {
        const size_t *object = fastalloc_get(pool, held[i]);

        if (!object || *object != i)
            return false;
    }
    return true;
}

static fastalloc_handle alloc_soon(void)
{
    fastalloc_handle handle = FASTALLOC_NONE;

    require_ok(fastalloc_alloc_wait(pool, &handle, NULL, fastalloc_deadline(5000)));
    return handle;
}

/* ---------------------------------------------------------------- letting go */

/* A parent that holds slots, dies when told, and leaves a child that has let go, or not. */
static void leave_a_child(int channel, void *argument)
{
    bool detaches = *(bool *)argument;
    fastalloc_handle handle;
    int i;

    for (i = 0; i < HELD; i++)
        child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, 0);
        if (detaches)
            child_require(fastalloc_fork_detach() == 0);
        channel_put(channel, (uint64_t)getpid());
        channel_take(channel);
        /* The pool is there for it as for any child. */
        child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
        channel_put(channel, handle);
        channel_take(channel);
        _exit(0);
    }
    pause();
}

START_TEST(a_detached_child_does_not_keep_its_dead_parents_slots)
{
    bool detaches = true;
    struct child child;
    int i;

    begin(_i);
    child_start(&child, leave_a_child, &detaches);
    channel_take(child.channel);
    kill(child.pid, SIGKILL);
    ck_assert_int_eq(waitpid(child.pid, NULL, 0), child.pid);
    for (i = 0; i < SLOTS; i++)
        held[i] = alloc_soon();
    api_free_all(pool, held, SLOTS);
    channel_put(child.channel, 0);
    ck_assert_ptr_nonnull(fastalloc_get(pool, channel_take(child.channel)));
    channel_put(child.channel, 0);
    close(child.channel);
    for (i = 0; i < SLOTS; i++)
        held[i] = alloc_soon();
    end(_i);
}
END_TEST

START_TEST(a_child_that_has_not_detached_keeps_them)
{
    bool detaches = false;
    struct child child;
    pid_t grandchild;

    begin(_i);
    child_start(&child, leave_a_child, &detaches);
    grandchild = (pid_t)channel_take(child.channel);
    kill(child.pid, SIGKILL);
    ck_assert_int_eq(waitpid(child.pid, NULL, 0), child.pid);
    ck_assert_uint_eq(api_fill(pool, held, SLOTS), SLOTS - HELD);
    api_sleep_ms(100);
    require_failure(fastalloc_alloc(pool, held, NULL), FASTALLOC_E_EXHAUSTED, "exhausted");
    kill(grandchild, SIGKILL);
    alloc_soon();
    close(child.channel);
    end(_i);
}
END_TEST

static void detach_and_look(int channel, void *argument)
{
    fastalloc_handle handle;
    void *before = argument;

    child_require(fastalloc_fork_detach() == 0);
    child_require(fastalloc_fork_detach() == 0);
    /* Looking attaches: at the same address. */
    child_require(fastalloc_get(pool, held[0]) == before);
    child_require(has_them());
    child_require(fastalloc_pool_root(pool) == held[0]);
    child_require(fastalloc_get(pool, 12345) == NULL);
    child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
    /* What is its own by now stays. */
    child_require(fastalloc_fork_detach() == 0);
    child_require(fastalloc_get(pool, handle) != NULL);
    child_require(fastalloc_free(pool, handle) == 0);
    channel_put(channel, fastalloc_pool_session(pool));
    channel_take(channel);
}

START_TEST(a_detached_child_attaches_anew_at_its_first_use)
{
    struct child child;

    begin(_i);
    hold();
    require_ok(fastalloc_pool_set_root(pool, FASTALLOC_NONE, held[0]));
    child_start(&child, detach_and_look, fastalloc_get(pool, held[0]));
    ck_assert_uint_ne(channel_take(child.channel), fastalloc_pool_session(pool));
    ck_assert_uint_eq(api_info(pool).sessions, 2);
    channel_put(child.channel, 0);
    child_join(&child);
    ck_assert(has_them());
    end(_i);
}
END_TEST

static void detach_and_use(int channel, void *argument)
{
    fastalloc_handle handle;

    (void)channel;
    child_require(fastalloc_fork_detach() == 0);
    switch (*(int *)argument) {
    case 0:
        child_require(fastalloc_pool_root(pool) == held[0]);
        break;
    case 1:
        child_require(fastalloc_pool_set_root(pool, held[0], held[1]) == 0);
        break;
    case 2:
        child_require(fastalloc_free(pool, held[0]) == 0);
        break;
    case 3:
        child_require(fastalloc_adopt(pool, held[0]) == 0);
        break;
    case 4:
        child_require(fastalloc_alloc_wait(pool, &handle, NULL, 0) == 0);
        break;
    case 5:
        child_require(api_info(pool).sessions == 2);
        break;
    case 6:
        child_require(inlined_get(pool, held[1]) != NULL);
        break;
    case 7:
        child_require(fastalloc_pool_close(pool) == 0);
        break;
    case 8:
        child_require(fastalloc_get(pool, 12345) == NULL);
        child_require(strstr(fastalloc_last_error(), "12345") || fastalloc_last_error()[0]);
        break;
    default:
        child_require(fastalloc_pool_shrink(pool, SLOTS / 2, NULL) == 0);
    }
}

START_TEST(whatever_a_detached_child_does_first_it_finds_the_pool)
{
    struct child child;
    int first;

    begin(_i);
    for (first = 0; first < 10; first++) {
        hold();
        require_ok(fastalloc_pool_set_root(pool, fastalloc_pool_root(pool), held[0]));
        /* The one before has been swept. */
        ck_assert(_i == BOTH_LOCAL || api_sessions_become(pool, 1));
        child_start(&child, detach_and_use, &first);
        child_join(&child);
    }
    end(_i);
}
END_TEST

START_TEST(detaching_and_keeping_elsewhere_do_nothing)
{
    begin(_i);
    hold();
    require_ok(fastalloc_fork_detach());
    require_ok(fastalloc_fork_keep());
    ck_assert(has_them());
    ck_assert_uint_eq(api_info(pool).allocated, HELD);
    ck_assert_uint_eq(api_info(pool).sessions, 1);
    api_free_all(pool, held, HELD);
    end(_i);
}
END_TEST

/* -------------------------------------------------------------- going on as */

/* daemon(3): a child in a session of its own, its child without a terminal; both parents
 * leave.  The objects go along. */
static void become_a_daemon(int channel, void *argument)
{
    uint32_t session = fastalloc_pool_session(pool);

    (void)argument;
    hold();
    require_ok(fastalloc_pool_set_root(pool, FASTALLOC_NONE, held[0]));
    fastalloc_thread_flush(pool);
    if (fork() > 0)
        _exit(0);
    setsid();
    if (fork() > 0)
        _exit(0);
    prctl(PR_SET_PDEATHSIG, 0);
    child_require(fastalloc_fork_keep() == 0);
    child_require(fastalloc_fork_keep() == 0);
    child_require(fastalloc_pool_session(pool) == session);
    child_require(has_them());
    channel_put(channel, (uint64_t)getpid());
    channel_take(channel);
    /* It owns them still, and allocates and frees as before. */
    child_require(has_them());
    child_require(fastalloc_give(pool, held[0], session) == 0);
    child_require(fastalloc_free(pool, held[1]) == 0);
    child_require(fastalloc_alloc(pool, &held[1], NULL) == 0);
    channel_put(channel, held[1]);
    channel_take(channel);
}

START_TEST(a_double_fork_takes_the_objects_along)
{
    struct child child;
    pid_t grandchild;
    int i;

    begin(_i);
    child_start(&child, become_a_daemon, NULL);
    child.pid = waitpid(child.pid, NULL, 0);
    grandchild = (pid_t)channel_take(child.channel);
    /* Long enough for a sweep, if there were one. */
    api_sleep_ms(200);
    channel_put(child.channel, 0);
    ck_assert_ptr_nonnull(fastalloc_get(pool, channel_take(child.channel)));
    ck_assert_uint_eq(api_fill(pool, held, SLOTS), SLOTS - HELD);
    /* And with its death they go. */
    kill(grandchild, SIGKILL);
    for (i = 0; i < HELD; i++)
        alloc_soon();
    close(child.channel);
    end(_i);
}
END_TEST

START_TEST(who_went_on_as_its_parent_is_known_to_the_next_daemon)
{
    struct child child;
    pid_t grandchild;
    int i;

    begin(BOTH_DAEMON);
    child_start(&child, become_a_daemon, NULL);
    child.pid = waitpid(child.pid, NULL, 0);
    grandchild = (pid_t)channel_take(child.channel);
    test_daemon_kill(&both_daemon);
    test_daemon_run(&both_daemon);
    api_sleep_ms(200);
    ck_assert_uint_eq(api_info(pool).allocated, HELD);
    channel_put(child.channel, 0);
    channel_take(child.channel);
    kill(grandchild, SIGKILL);
    for (i = 0; i < SLOTS; i++)
        held[i] = alloc_soon();
    close(child.channel);
    end(BOTH_DAEMON);
}
END_TEST

/* Without a flush before the fork: what lies in the caches of threads that are not there. */
static void keep_with_warm_caches(int channel, void *argument)
{
    fastalloc_handle handle;
    int i;

    (void)argument;
    for (i = 0; i < 200; i++)
        held[i] = api_alloc(pool);
    api_free_all(pool, held, 200);
    if (fork() > 0)
        _exit(0);
    prctl(PR_SET_PDEATHSIG, 0);
    child_require(fastalloc_fork_keep() == 0);
    for (i = 0; i < SLOTS; i++)
        child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
    child_require(fastalloc_alloc(pool, &handle, NULL) == FASTALLOC_E_EXHAUSTED);
    channel_put(channel, 0);
    channel_take(channel);
}

START_TEST(what_the_parents_threads_had_cached_is_not_lost)
{
    struct child child;

    begin(_i);
    child_start(&child, keep_with_warm_caches, NULL);
    child.pid = waitpid(child.pid, NULL, 0);
    channel_take(child.channel);
    channel_put(child.channel, 0);
    close(child.channel);
    alloc_soon();
    end(_i);
}
END_TEST

static void keep_too_late(int channel, void *argument)
{
    (void)channel;
    if (*(bool *)argument)
        child_require(fastalloc_fork_detach() == 0);
    else
        child_require(fastalloc_pool_session(pool) != 0);
    child_require(fastalloc_fork_keep() == FASTALLOC_E_BUSY);
    child_require(strstr(fastalloc_last_error(), "before anything else") != NULL);
    child_require(fastalloc_get(pool, held[0]) != NULL);
}

START_TEST(a_child_that_has_begun_anew_cannot_go_on_as_its_parent)
{
    struct child child;
    bool detaches;

    begin(_i);
    hold();
    detaches = true;
    child_start(&child, keep_too_late, &detaches);
    child_join(&child);
    detaches = false;
    child_start(&child, keep_too_late, &detaches);
    child_join(&child);
    ck_assert(has_them());
    end(_i);
}
END_TEST

/* ------------------------------------------- forks in the middle of attaching */

static bool forking;

/* In place of the C library's, for the library under test too: makes the middle of an attach,
 * where it marks what it has mapped, last. */
FASTALLOC_API int madvise(void *address, size_t length, int advice)
{
    if (advice == MADV_DONTDUMP && __atomic_load_n(&forking, __ATOMIC_RELAXED))
        api_sleep_ms(5);
    return (int)syscall(SYS_madvise, address, length, advice);
}

static void *open_and_close(void *argument)
{
    fastalloc_pool_config config = api_config("another", 64, 300);
    fastalloc_pool *another;

    while (__atomic_load_n(&forking, __ATOMIC_RELAXED)) {
        int error = both_client ? fastalloc_pool_create(both_client, &config, &another)
                                : fastalloc_pool_create_local(&config, &another);

        if (error || (error = fastalloc_pool_close(another)))
            return argument;
    }
    return NULL;
}

/* Descriptors and mappings of segments that this process has. */
static unsigned shares(void)
{
    char line[512], path[64];
    unsigned count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    ssize_t length;
    int i;

    while (fgets(line, sizeof line, maps))
        count += strstr(line, both_daemon.prefix) != NULL;
    fclose(maps);
    for (i = 0; i < 64; i++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", i);
        length = readlink(path, line, sizeof line - 1);
        line[length > 0 ? length : 0] = '\0';
        count += strstr(line, both_daemon.prefix) != NULL;
    }
    return count;
}

#define CHILDREN 60

START_TEST(a_fork_in_the_middle_of_an_attach_keeps_no_fence_shut)
{
    pthread_t thread;
    void *failed;
    int i, status;

    if (!api_may_fork_beside_threads())
        return;
    begin(BOTH_DAEMON);
    forking = true;
    ck_assert_int_eq(pthread_create(&thread, NULL, open_and_close, &forking), 0);
    for (i = 0; i < CHILDREN; i++) {
        pid_t child = fork();

        if (child == 0)
            _exit(fastalloc_fork_detach() ? 99 : (int)shares());
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(status == 0, "a detached child has %d shares in its parent's sessions",
                      WEXITSTATUS(status));
        api_sleep_ms(i % 7);
    }
    __atomic_store_n(&forking, false, __ATOMIC_RELAXED);
    pthread_join(thread, &failed);
    ck_assert_ptr_null(failed);
    end(BOTH_DAEMON);
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {
        a_detached_child_does_not_keep_its_dead_parents_slots,
        a_child_that_has_not_detached_keeps_them,
        a_detached_child_attaches_anew_at_its_first_use,
        whatever_a_detached_child_does_first_it_finds_the_pool,
        detaching_and_keeping_elsewhere_do_nothing,
        a_double_fork_takes_the_objects_along,
        what_the_parents_threads_had_cached_is_not_lost,
        a_child_that_has_begun_anew_cannot_go_on_as_its_parent,
        NULL,
    };
    const TTest *const once[] = {
        who_went_on_as_its_parent_is_known_to_the_next_daemon,
        a_fork_in_the_middle_of_an_attach_keeps_no_fence_shut,
        NULL,
    };

    return both_run("detach", of_both, once, 30);
}
