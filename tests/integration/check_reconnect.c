/* SPDX-License-Identifier: MIT
 *
 * Clients whose daemon ends and comes back: what they notice of it.
 */
#include "both.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 1000

static struct test_daemon daemon_;
static fastalloc_client *client;

static void setup(void)
{
    test_daemon_start(&daemon_, NULL);
    client = api_connect(daemon_.socket);
}

static void teardown(void)
{
    fastalloc_disconnect(client);
    test_daemon_stop(&daemon_);
}

static fastalloc_client *connect_for(const char *socket, uint32_t reconnect_ms)
{
    fastalloc_connect_options options;
    fastalloc_client *made = NULL;

    fastalloc_connect_options_init(&options);
    options.socket = socket;
    options.autospawn = -1;
    options.reconnect_ms = reconnect_ms;
    require_ok(fastalloc_connect(&made, &options));
    return made;
}

static fastalloc_pool *create(fastalloc_client *through, const char *name, uint32_t lifetime)
{
    fastalloc_pool_config config = api_config(name, 64, SLOTS);
    fastalloc_pool *pool = NULL;

    config.lifetime = lifetime;
    require_ok(fastalloc_pool_create(through, &config, &pool));
    return pool;
}

/* ---------------------------------------------------------------- back-off */

/* In a thread of its own: the daemon ends with the thread that starts it. */
static void *create_later(void *argument)
{
    int64_t began = api_now_us();
    fastalloc_pool *pool = create(client, "later", FASTALLOC_UNTIL_LAST_DETACH);

    *(int64_t *)argument = api_now_us() - began;
    require_ok(fastalloc_pool_close(pool));
    return NULL;
}

START_TEST(a_request_waits_for_the_next_daemon)
{
    int64_t took = 0;
    pthread_t thread;

    test_daemon_kill(&daemon_);
    ck_assert_int_eq(pthread_create(&thread, NULL, create_later, &took), 0);
    api_sleep_ms(400);
    test_daemon_run(&daemon_);
    pthread_join(thread, NULL);
    ck_assert_int_ge(took, 390000);
    ck_assert_int_lt(took, 1500000);
}
END_TEST

START_TEST(who_has_given_up_once_tries_once_until_it_succeeds)
{
    fastalloc_client *hasty = connect_for(daemon_.socket, 300);
    fastalloc_pool *pool = NULL;
    int64_t began;
    int i;

    test_daemon_kill(&daemon_);
    began = api_now_us();
    require_failure(fastalloc_pool_destroy(hasty, "none"), FASTALLOC_E_NO_DAEMON, daemon_.socket);
    ck_assert_int_ge(api_now_us() - began, 300000);
    ck_assert_int_lt(api_now_us() - began, 600000);
    began = api_now_us();
    for (i = 0; i < 20; i++)
        require_failure(fastalloc_pool_open(hasty, "none", NULL, &pool), FASTALLOC_E_NO_DAEMON,
                        daemon_.socket);
    ck_assert_int_lt(api_now_us() - began, 200000);
    test_daemon_run(&daemon_);
    require_failure(fastalloc_pool_open(hasty, "none", NULL, &pool), FASTALLOC_E_NOT_FOUND, "none");
    /* And then it is patient again. */
    test_daemon_kill(&daemon_);
    began = api_now_us();
    require_failure(fastalloc_pool_destroy(hasty, "none"), FASTALLOC_E_NO_DAEMON, daemon_.socket);
    ck_assert_int_ge(api_now_us() - began, 300000);
    test_daemon_run(&daemon_);
    fastalloc_disconnect(hasty);
}
END_TEST

START_TEST(connecting_at_first_does_not_wait)
{
    fastalloc_connect_options options;
    fastalloc_client *made = NULL;
    int64_t began;

    test_daemon_kill(&daemon_);
    fastalloc_connect_options_init(&options);
    options.socket = daemon_.socket;
    options.autospawn = -1;
    began = api_now_us();
    require_failure(fastalloc_connect(&made, &options), FASTALLOC_E_NO_DAEMON, daemon_.socket);
    ck_assert_int_lt(api_now_us() - began, 200000);
    test_daemon_run(&daemon_);
}
END_TEST

START_TEST(closing_does_not_wait_for_a_daemon)
{
    fastalloc_pool *pool = create(client, "closed", FASTALLOC_UNTIL_LAST_DETACH);
    int64_t began;

    test_daemon_kill(&daemon_);
    began = api_now_us();
    require_ok(fastalloc_pool_close(pool));
    ck_assert_int_lt(api_now_us() - began, 200000);
    test_daemon_run(&daemon_);
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

/* ---------------------------------------------------------------- sessions */

/* A process of its own, so that its death is one. */
static void live_through_a_restart(int channel, void *argument)
{
    fastalloc_client *own = api_connect(argument);
    fastalloc_handle handle;
    fastalloc_pool *pool;
    size_t i;

    child_require(fastalloc_pool_open(own, "kept", NULL, &pool) == 0);
    for (i = 0; i < 100; i++)
        child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
    channel_put(channel, handle);
    channel_take(channel); /* the daemon is another now */
    child_require(fastalloc_pool_destroy(own, "none") == FASTALLOC_E_NOT_FOUND);
    channel_put(channel, 0);
    channel_take(channel);
}

static bool logs_end_of_session(void *argument)
{
    return api_info(argument).allocated == 0;
}

START_TEST(the_next_daemon_is_told_of_sessions_and_hears_of_their_end_at_once)
{
    fastalloc_pool *pool = create(client, "kept", FASTALLOC_PERSISTENT);
    struct child child;
    int64_t began;

    child_start(&child, live_through_a_restart, daemon_.socket);
    channel_take(child.channel);
    test_daemon_kill(&daemon_);
    test_daemon_run(&daemon_);
    channel_put(child.channel, 0);
    channel_take(child.channel);
    /* Untold it would look once in a while. */
    api_sleep_ms(100);
    ck_assert_uint_eq(api_info(pool).allocated, 100);
    began = api_now_us();
    child_kill(&child);
    ck_assert(test_eventually(logs_end_of_session, pool));
    ck_assert_int_lt(api_now_us() - began, 500000);
    require_ok(fastalloc_pool_destroy(client, "kept"));
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(a_pool_grows_over_a_connection_made_anew)
{
    fastalloc_pool_config config = api_config("grows", 64, 300);
    fastalloc_pool *pool;
    int i;

    config.growth = FASTALLOC_GROWTH_LINEAR;
    config.growth_amount = 1;
    config.max_capacity = 400;
    require_ok(fastalloc_pool_create(client, &config, &pool));
    for (i = 0; i < 300; i++)
        api_alloc(pool);
    for (i = 1; i <= 5; i++) {
        test_daemon_kill(&daemon_);
        test_daemon_run(&daemon_);
        api_alloc(pool);
        ck_assert_uint_eq(api_info(pool).capacity, 300 + (size_t)i);
    }
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

/* --------------------------------------------------- answers that are lost */

/* A socket between: passes packets (but no descriptors) to the daemon, and its answers back,
 * until one to a request of `lose_bytes`' first byte is due: then it hangs up on its client,
 * once, the request being done. */
struct between {
    char path[128];
    int listener;
    int lose_after; /* answers */
};

static void pass(int from, int to, int *left, bool answers)
{
    struct iovec part;
    char bytes[4096];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t length;

    part = (struct iovec){bytes, sizeof bytes};
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    length = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
    if (length <= 0 || (answers && --*left == 0))
        _exit(length <= 0 ? 0 : 1);
    part.iov_len = (size_t)length;
    if (sendmsg(to, &message, MSG_NOSIGNAL) < 0)
        _exit(0);
    if (message.msg_controllen)
        close(*(int *)(void *)CMSG_DATA(&control.header));
}

/* One client's way; exits with 1 when it has lost an answer. */
static void serve_one(const struct between *between, int accepted)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int onward = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), left = between->lose_after;
    struct pollfd ready[2];

    strcpy(address.sun_path, daemon_.socket);
    if (connect(onward, (struct sockaddr *)&address, sizeof address))
        _exit(2);
    for (;;) {
        ready[0] = (struct pollfd){.fd = accepted, .events = POLLIN};
        ready[1] = (struct pollfd){.fd = onward, .events = POLLIN};
        poll(ready, 2, -1);
        if (ready[0].revents)
            pass(accepted, onward, &left, false);
        else if (ready[1].revents)
            pass(onward, accepted, &left, true);
    }
}

static void serve_all(int channel, void *argument)
{
    struct between *between = argument;

    for (;;) {
        int accepted, status = 0;
        pid_t one;

        channel_put(channel, 0);
        accepted = accept(between->listener, NULL, NULL);
        one = fork();
        if (one == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            serve_one(between, accepted);
        }
        close(accepted);
        waitpid(one, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
            between->lose_after = 0; /* once */
    }
}

static void put_between(struct between *between, struct child *child, int lose_after)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(between->path, sizeof between->path, "%s/between", daemon_.directory);
    strcpy(address.sun_path, between->path);
    between->lose_after = lose_after;
    between->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(between->listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(between->listener, 8), 0);
    child_start(child, serve_all, between);
    channel_take(child->channel);
}

static void take_away(struct between *between, struct child *child)
{
    child_kill(child);
    close(between->listener);
    unlink(between->path);
}

/* The first answer is hello's, the second the request's: lost. */
#define LOSE_REQUESTS 2

START_TEST(a_create_whose_answer_was_lost_is_made_again)
{
    struct between between;
    fastalloc_client *through;
    struct child child;
    fastalloc_pool *pool;

    put_between(&between, &child, LOSE_REQUESTS);
    through = connect_for(between.path, 2000);
    pool = create(through, "made twice", FASTALLOC_UNTIL_LAST_DETACH);
    api_require_whole(pool);
    ck_assert_uint_eq(api_info(pool).sessions, 1);
    fastalloc_disconnect(through);
    take_away(&between, &child);
}
END_TEST

START_TEST(a_persistent_create_whose_answer_was_lost_is_one_clear_error)
{
    fastalloc_pool_config config = api_config("stays", 64, SLOTS);
    struct between between;
    fastalloc_client *through;
    struct child child;
    fastalloc_pool *pool = NULL;

    config.lifetime = FASTALLOC_PERSISTENT;
    put_between(&between, &child, LOSE_REQUESTS);
    through = connect_for(between.path, 300);
    require_failure(fastalloc_pool_create(through, &config, &pool), FASTALLOC_E_EXISTS,
                    "before it answered", "stays", "open it");
    require_ok(fastalloc_pool_open(through, "stays", NULL, &pool));
    api_require_whole(pool);
    require_ok(fastalloc_pool_destroy(through, "stays"));
    fastalloc_disconnect(through);
    take_away(&between, &child);
}
END_TEST

START_TEST(an_open_whose_answer_was_lost_is_a_session_once)
{
    fastalloc_pool *pool = create(client, "opened", FASTALLOC_UNTIL_LAST_DETACH), *opened;
    struct between between;
    fastalloc_client *through;
    struct child child;

    put_between(&between, &child, LOSE_REQUESTS);
    through = connect_for(between.path, 2000);
    require_ok(fastalloc_pool_open(through, "opened", NULL, &opened));
    ck_assert(api_sessions_become(pool, 2));
    fastalloc_disconnect(through);
    take_away(&between, &child);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(a_destroy_whose_answer_was_lost_is_done)
{
    fastalloc_pool *pool = create(client, "destroyed", FASTALLOC_PERSISTENT);
    struct between between;
    fastalloc_client *through;
    struct child child;

    put_between(&between, &child, LOSE_REQUESTS);
    through = connect_for(between.path, 2000);
    require_ok(fastalloc_pool_destroy(through, "destroyed"));
    require_failure(fastalloc_pool_destroy(through, "destroyed"), FASTALLOC_E_NOT_FOUND,
                    "destroyed");
    fastalloc_disconnect(through);
    take_away(&between, &child);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

/* -------------------------------------------------------------- under load */

#define RESTARTS 20
#define WORKERS 4

/* Everything but creating and destroying, all the time; any error at all ends it. */
static void work_on(int channel, void *argument)
{
    fastalloc_client *own = api_connect(argument);
    fastalloc_handle handles[20];
    fastalloc_pool *pool, *again;
    uint64_t rounds = 0;
    void *object;
    int i;

    child_require(fastalloc_pool_open(own, "worked on", NULL, &pool) == 0);
    channel_put(channel, 0);
    for (;; rounds++) {
        struct pollfd told = {.fd = channel, .events = POLLIN};

        for (i = 0; i < 20; i++) {
            child_require(fastalloc_alloc(pool, &handles[i], &object) == 0);
            memset(object, i, 64);
        }
        for (i = 0; i < 20; i++) {
            const char *seen = fastalloc_get(pool, handles[i]);

            child_require(seen && seen[0] == i && seen[63] == i);
            child_require(fastalloc_free(pool, handles[i]) == 0);
        }
        if (rounds % 50 == 0) {
            child_require(fastalloc_pool_open(own, "worked on", NULL, &again) == 0);
            child_require(fastalloc_pool_close(again) == 0);
        }
        if (rounds % 10 == 0 && poll(&told, 1, 0) == 1)
            break;
    }
    channel_take(channel);
    channel_put(channel, rounds);
    fastalloc_disconnect(own);
}

START_TEST(a_daemon_killed_and_restarted_under_load_gives_no_client_an_error)
{
    fastalloc_pool *pool = create(client, "worked on", FASTALLOC_UNTIL_LAST_DETACH);
    struct child workers[WORKERS];
    int i;

    for (i = 0; i < WORKERS; i++) {
        child_start(&workers[i], work_on, daemon_.socket);
        channel_take(workers[i].channel);
    }
    for (i = 0; i < RESTARTS; i++) {
        api_sleep_ms(20 + i * 7 % 40);
        test_daemon_kill(&daemon_);
        api_sleep_ms(i * 13 % 50);
        test_daemon_run(&daemon_);
    }
    for (i = 0; i < WORKERS; i++) {
        channel_put(workers[i].channel, 0);
        ck_assert_uint_ge(channel_take(workers[i].channel), 100);
        child_join(&workers[i]);
    }
    ck_assert(api_sessions_become(pool, 1));
    ck_assert(api_allocated_becomes(pool, 0));
    api_require_whole(pool);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_request_waits_for_the_next_daemon,
        who_has_given_up_once_tries_once_until_it_succeeds,
        connecting_at_first_does_not_wait,
        closing_does_not_wait_for_a_daemon,
        the_next_daemon_is_told_of_sessions_and_hears_of_their_end_at_once,
        a_pool_grows_over_a_connection_made_anew,
        a_create_whose_answer_was_lost_is_made_again,
        a_persistent_create_whose_answer_was_lost_is_one_clear_error,
        an_open_whose_answer_was_lost_is_a_session_once,
        a_destroy_whose_answer_was_lost_is_done,
        a_daemon_killed_and_restarted_under_load_gives_no_client_an_error,
        NULL,
    };

    return api_run("reconnect", tests, setup, teardown, 40);
}
