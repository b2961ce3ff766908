/* SPDX-License-Identifier: MIT
 *
 * check_daemon: the real fastallocd, spoken to packet by packet.
 */
#include "os/backing.h"
#include "os/packet.h"
#include "tests/support/daemon.h"
#include "tests/support/raw.h"

#include <check.h>
#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct test_daemon daemon_;
static struct wire_reply reply;

static void start(void)
{
    test_daemon_start(&daemon_, NULL);
}

static void stop(void)
{
    test_daemon_stop(&daemon_);
}

static long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Creates a pool and returns its descriptor. */
static int create(int client, const char *name)
{
    struct pool_spec spec = raw_spec(name, 64, 1000);
    int segment = raw_create(client, &spec, &reply);

    ck_assert_msg(segment >= 0, "%d %s", reply.error, reply.message);
    return segment;
}

static int create_persistent(int client, const char *name)
{
    struct pool_spec spec = raw_spec(name, 64, 1000);

    spec.lifetime = FASTALLOC_PERSISTENT;
    return raw_create(client, &spec, &reply);
}

/* How many sessions the daemon counts for the pool, or its error. */
static int sessions_of(int client, const char *name)
{
    struct wire_reply answer;
    int segment = raw_stat(client, name, &answer);

    if (segment < 0)
        return segment;
    close(segment);
    return (int)answer.stat.sessions;
}

struct pool_state {
    int client;
    const char *name;
    int sessions;
};

static bool has_sessions(void *argument)
{
    const struct pool_state *state = argument;

    return sessions_of(state->client, state->name) == state->sessions;
}

static bool sessions_become(int client, const char *name, int sessions)
{
    struct pool_state state = {client, name, sessions};

    return test_eventually(has_sessions, &state);
}

/* ------------------------------------------------------------- one daemon a socket */

/* Runs fastallocd, with so many descriptors where that is not 0, and returns its exit
 * status; what it said on stderr goes to `said`. */
static int run_with(const char *const *arguments, rlim_t files, char *said, size_t size)
{
    struct rlimit limit = {files, files};
    const char *program = getenv("FASTALLOCD");
    int ends[2], status;
    ssize_t length;
    size_t used = 0;
    pid_t child;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dup2(ends[1], 2);
        if (files > 0)
            setrlimit(RLIMIT_NOFILE, &limit);
        execv(program ? program : "daemon/fastallocd", (char *const *)arguments);
        _exit(127);
    }
    close(ends[1]);
    while (used < size - 1 && (length = read(ends[0], said + used, size - 1 - used)) > 0)
        used += (size_t)length;
    said[used] = '\0';
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int run(const char *const *arguments, char *said, size_t size)
{
    return run_with(arguments, 0, said, size);
}

START_TEST(a_second_daemon_is_refused_and_told_who_has_the_socket)
{
    const char *second[] = {"fastallocd", "-f", "-s", daemon_.socket, NULL};
    char said[2000], pid[32];
    int client;

    ck_assert_int_eq(run(second, said, sizeof said), 1);
    snprintf(pid, sizeof pid, "(pid %d)", (int)daemon_.pid);
    ck_assert_msg(strstr(said, pid) && strstr(said, daemon_.socket), "it said: %s", said);
    client = raw_client(daemon_.socket);
    close(client);
}
END_TEST

START_TEST(a_stale_socket_is_replaced)
{
    test_daemon_kill(&daemon_);
    ck_assert_int_eq(access(daemon_.socket, F_OK), 0);
    test_daemon_run(&daemon_);
}
END_TEST

START_TEST(what_is_no_socket_is_not_touched)
{
    const char *wrong[] = {"fastallocd", "-f", "-s", NULL, NULL};
    char path[120], said[2000], content[8] = "";
    int file;

    snprintf(path, sizeof path, "%s/file", daemon_.directory);
    wrong[3] = path;
    file = open(path, O_CREAT | O_RDWR, 0600);
    ck_assert_int_eq(write(file, "mine", 4), 4);
    ck_assert_int_eq(run(wrong, said, sizeof said), 1);
    ck_assert_ptr_nonnull(strstr(said, "is no socket"));
    ck_assert_int_eq(pread(file, content, 4, 0), 4);
    ck_assert_str_eq(content, "mine");
    close(file);
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(a_socket_of_another_program_is_not_replaced)
{
    const char *wrong[] = {"fastallocd", "-f", "-s", NULL, NULL};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char said[2000];

    snprintf(address.sun_path, sizeof address.sun_path, "%s/other", daemon_.directory);
    ck_assert_int_eq(bind(other, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(other, 5), 0);
    wrong[3] = address.sun_path;
    ck_assert_int_eq(run(wrong, said, sizeof said), 1);
    ck_assert_ptr_nonnull(strstr(said, "some other program"));
    ck_assert_int_eq(access(address.sun_path, F_OK), 0);
    close(other);
    unlink(address.sun_path);
}
END_TEST

START_TEST(a_wrong_command_line_is_exit_status_2)
{
    static const char *const lines[][4] = {
        {"fastallocd", "--nonsense"},      {"fastallocd", "--log-level", "loud"},
        {"fastallocd", "--prefix", "a/b"}, {"fastallocd", "superfluous"},
        {"fastallocd", "--socket"},        {"fastallocd", "--socket", ""},
    };
    char said[2000];

    ck_assert_int_eq(run(lines[_i], said, sizeof said), 2);
    ck_assert_ptr_nonnull(strstr(said, "fastallocd"));
}
END_TEST

START_TEST(in_the_background_it_returns_when_it_listens)
{
    char path[120], lock[130], said[2000], text[32] = "";
    /* It ends with the test, also when that fails. */
    const char *line[] = {"fastallocd", "--exit-when-idle", "-s", path, "-p", daemon_.prefix, NULL};
    int client, file;
    long deadline;
    pid_t pid;

    snprintf(path, sizeof path, "%s/background", daemon_.directory);
    snprintf(lock, sizeof lock, "%s.lock", path);
    ck_assert_int_eq(run(line, said, sizeof said), 0);
    ck_assert_str_eq(said, "");
    client = raw_client(path);
    file = open(lock, O_RDONLY | O_CLOEXEC);
    ck_assert_int_gt(read(file, text, sizeof text - 1), 0);
    close(file);
    pid = atoi(text);
    ck_assert_int_gt(pid, 1);
    snprintf(text, sizeof text, "(pid %d)", (int)pid);
    ck_assert_int_eq(getsid(pid), pid);
    /* A second one fails in front of the user. */
    ck_assert_int_eq(run(line, said, sizeof said), 1);
    ck_assert_ptr_nonnull(strstr(said, text));
    kill(pid, SIGTERM);
    ck_assert(raw_is_closed(client));
    close(client);
    for (deadline = now_ms() + 10000; kill(pid, 0) == 0 && now_ms() < deadline;)
        usleep(2000);
}
END_TEST

/* --------------------------------------------------------------- life of a pool */

START_TEST(create_open_close_and_all_is_gone)
{
    int client = raw_client(daemon_.socket), other = raw_client(daemon_.socket);
    struct wire_reply first;
    int one = create(client, "orders"), two;

    first = reply;
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 1);
    two = raw_open(other, "orders", &reply);
    ck_assert_int_ge(two, 0);
    ck_assert_uint_eq(reply.attached.pool_id, first.attached.pool_id);
    close(one);
    ck_assert_int_eq(raw_close(client, &first), 0);
    ck_assert_int_eq(sessions_of(client, "orders"), 1);
    close(two);
    /* The answer comes when the memory is back. */
    ck_assert_int_eq(raw_close(other, &reply), 0);
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 0);
    ck_assert_int_eq(sessions_of(client, "orders"), FASTALLOC_E_NOT_FOUND);
    close(client);
    close(other);
}
END_TEST

START_TEST(a_close_with_the_fence_still_closed_is_answered_soon)
{
    int client = raw_client(daemon_.socket), segment = create(client, "orders");
    struct wire_reply attached = reply;
    long before = now_ms(), took;

    ck_assert_int_eq(raw_close(client, &attached), 0);
    took = now_ms() - before;
    ck_assert_int_ge(took, 40);
    ck_assert_int_lt(took, 2000);
    ck_assert_int_eq(sessions_of(client, "orders"), 1);
    ck_assert_int_eq(raw_close(client, &attached), FASTALLOC_E_SESSION);
    close(segment);
    ck_assert(test_daemon_segments_become(&daemon_, 0));
    close(client);
}
END_TEST

START_TEST(destroying_an_unused_pool_gives_its_memory_back_at_once)
{
    int client = raw_client(daemon_.socket), segment = create_persistent(client, "kept");

    ck_assert_int_ge(segment, 0);
    close(segment);
    ck_assert_int_eq(raw_close(client, &reply), 0);
    ck_assert_int_eq(sessions_of(client, "kept"), 0);
    ck_assert_int_eq(raw_destroy(client, "kept"), 0);
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 0);
    close(client);
}
END_TEST

START_TEST(a_listing_of_forty_pools_comes_in_pages)
{
    struct wire_request request = {.op = WIRE_LIST};
    int client = raw_client(daemon_.socket), segments[40];
    unsigned i, seen = 0, pages = 0;
    char name[256];

    memset(name, 'n', sizeof name);
    name[255] = '\0';
    for (i = 0; i < 40; i++) {
        name[0] = (char)('0' + i / 10);
        name[1] = (char)('0' + i % 10);
        segments[i] = create(client, name);
    }
    do {
        ck_assert_int_eq(raw_call(client, &request, &reply, NULL), 0);
        pages++;
        for (i = 0; i < reply.list.count; i++, seen++) {
            name[0] = (char)('0' + seen / 10);
            name[1] = (char)('0' + seen % 10);
            ck_assert_str_eq(reply.list.pools[i].spec.name, name);
            request.list.after = reply.list.pools[i].serial;
        }
    } while (reply.list.more);
    ck_assert_uint_eq(seen, 40);
    ck_assert_uint_eq(pages, (40 + WIRE_LIST_MAX - 1) / WIRE_LIST_MAX);
    for (i = 0; i < 40; i++)
        close(segments[i]);
    close(client);
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

/* ------------------------------------------------------------------------ death */

/* A process that attaches to (or creates) the pool, maps it, and waits to be killed. */
static pid_t start_victim(const char *name, bool creates)
{
    int ends[2];
    pid_t child;
    char byte;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        int client = raw_client(daemon_.socket), segment;
        void *mapped;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        segment = creates ? create(client, name) : raw_open(client, name, &reply);
        ck_assert_int_ge(segment, 0);
        ck_assert_int_eq(backing_map(segment, reply.attached.bytes, true, NULL, 0, &mapped, NULL),
                         0);
        close(segment);
        if (write(ends[1], "x", 1) == 1)
            for (;;)
                pause();
    }
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return child;
}

static void kill_victim(pid_t victim)
{
    kill(victim, SIGKILL);
    ck_assert_int_eq(waitpid(victim, NULL, 0), victim);
}

START_TEST(killed_clients_are_swept_and_the_last_takes_the_pool_along)
{
    pid_t one = start_victim("orders", true), two = start_victim("orders", false);
    int client = raw_client(daemon_.socket);

    ck_assert_int_eq(sessions_of(client, "orders"), 2);
    kill_victim(one);
    ck_assert(sessions_become(client, "orders", 1));
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 1);
    kill_victim(two);
    ck_assert(test_daemon_segments_become(&daemon_, 0));
    ck_assert_int_eq(sessions_of(client, "orders"), FASTALLOC_E_NOT_FOUND);
    close(client);
}
END_TEST

START_TEST(a_closed_connection_alone_is_no_death)
{
    int client = raw_client(daemon_.socket), other = raw_client(daemon_.socket);
    int segment = create(client, "orders");

    close(client);
    usleep(100000);
    ck_assert_int_eq(sessions_of(other, "orders"), 1);
    close(segment);
    ck_assert(test_daemon_segments_become(&daemon_, 0));
    close(other);
}
END_TEST

START_TEST(a_killed_daemon_is_followed_by_one_that_takes_its_pools_up)
{
    pid_t dies = start_victim("orders", true), lives = start_victim("orders", false);
    int client, segment;

    test_daemon_kill(&daemon_);
    kill_victim(dies);
    test_daemon_run(&daemon_);
    client = raw_client(daemon_.socket);
    ck_assert(sessions_become(client, "orders", 1));
    segment = raw_open(client, "orders", &reply);
    ck_assert_int_ge(segment, 0);
    close(segment);
    ck_assert_int_eq(raw_close(client, &reply), 0);
    ck_assert_int_eq(sessions_of(client, "orders"), 1);
    kill_victim(lives);
    ck_assert(test_daemon_segments_become(&daemon_, 0));
    close(client);
}
END_TEST

START_TEST(a_daemon_killed_with_everybody_leaves_nothing_for_the_next)
{
    pid_t victim = start_victim("orders", true);

    test_daemon_kill(&daemon_);
    kill_victim(victim);
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 1);
    test_daemon_run(&daemon_);
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

START_TEST(sigterm_keeps_what_lives_and_nothing_else)
{
    pid_t victim = start_victim("orders", true);
    int client = raw_client(daemon_.socket), segment;

    close(create(client, "mine"));
    segment = create_persistent(client, "kept");
    ck_assert_int_ge(segment, 0);
    close(segment);
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 3);
    test_daemon_end(&daemon_);
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 2);
    ck_assert_int_ne(access(daemon_.socket, F_OK), 0);
    ck_assert(raw_is_closed(client));
    close(client);

    test_daemon_run(&daemon_);
    client = raw_client(daemon_.socket);
    ck_assert_int_eq(sessions_of(client, "orders"), 1);
    ck_assert_int_eq(sessions_of(client, "kept"), 0);
    ck_assert_int_eq(sessions_of(client, "mine"), FASTALLOC_E_NOT_FOUND);
    kill_victim(victim);
    ck_assert_int_eq(raw_destroy(client, "kept"), 0);
    ck_assert(test_daemon_segments_become(&daemon_, 0));
    close(client);
}
END_TEST

START_TEST(too_few_descriptors_for_its_pools_lose_none_of_them)
{
    const char *line[] = {"fastallocd", "-f", "-s", daemon_.socket, "-p", daemon_.prefix, NULL};
    int client = raw_client(daemon_.socket), segment, i;
    char name[20], said[4000];

    for (i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "pool %d", i);
        segment = create_persistent(client, name);
        ck_assert_int_ge(segment, 0);
        close(segment);
    }
    close(client);
    test_daemon_kill(&daemon_);
    ck_assert_int_eq(run_with(line, 40, said, sizeof said), 1);
    ck_assert_msg(strstr(said, "Too many open files") && strstr(said, "ulimit -n"), "it said: %s",
                  said);
    test_daemon_run(&daemon_);
    client = raw_client(daemon_.socket);
    for (i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "pool %d", i);
        ck_assert_msg(sessions_become(client, name, 0), "%s", name);
        ck_assert_int_eq(raw_destroy(client, name), 0);
    }
    close(client);
}
END_TEST

static const char *const until_idle[] = {"--exit-when-idle", NULL};

static void start_private(void)
{
    test_daemon_start(&daemon_, until_idle);
}

START_TEST(a_private_daemon_ends_with_its_last_client)
{
    int one = raw_client(daemon_.socket), two = raw_client(daemon_.socket), segment;

    segment = create_persistent(one, "kept");
    ck_assert_int_ge(segment, 0);
    close(one);
    usleep(50000);
    ck_assert_int_eq(waitpid(daemon_.pid, NULL, WNOHANG), 0);
    close(two);
    usleep(50000);
    /* The session lives on. */
    ck_assert_int_eq(waitpid(daemon_.pid, NULL, WNOHANG), 0);
    close(segment);
    test_daemon_wait(&daemon_);
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 0);
}
END_TEST

START_TEST(a_private_daemon_on_sigterm_takes_everything_along)
{
    pid_t victim = start_victim("orders", true);

    test_daemon_end(&daemon_);
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 0);
    kill_victim(victim);
}
END_TEST

START_TEST(a_private_daemon_without_clients_ends_after_five_seconds)
{
    long before = now_ms();

    test_daemon_wait(&daemon_);
    ck_assert_int_ge(now_ms() - before, 4000);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("daemon");
    TCase *single = tcase_create("one a socket"), *life = tcase_create("life");
    TCase *death = tcase_create("death"), *idle = tcase_create("exit when idle");

    tcase_add_checked_fixture(single, start, stop);
    tcase_set_timeout(single, 20);
    tcase_add_test(single, a_second_daemon_is_refused_and_told_who_has_the_socket);
    tcase_add_test(single, a_stale_socket_is_replaced);
    tcase_add_test(single, what_is_no_socket_is_not_touched);
    tcase_add_test(single, a_socket_of_another_program_is_not_replaced);
    tcase_add_loop_test(single, a_wrong_command_line_is_exit_status_2, 0, 6);
    tcase_add_test(single, in_the_background_it_returns_when_it_listens);
    suite_add_tcase(suite, single);

    tcase_add_checked_fixture(life, start, stop);
    tcase_set_timeout(life, 20);
    tcase_add_test(life, create_open_close_and_all_is_gone);
    tcase_add_test(life, a_close_with_the_fence_still_closed_is_answered_soon);
    tcase_add_test(life, destroying_an_unused_pool_gives_its_memory_back_at_once);
    tcase_add_test(life, a_listing_of_forty_pools_comes_in_pages);
    suite_add_tcase(suite, life);

    tcase_add_checked_fixture(death, start, stop);
    tcase_set_timeout(death, 30);
    tcase_add_test(death, killed_clients_are_swept_and_the_last_takes_the_pool_along);
    tcase_add_test(death, a_closed_connection_alone_is_no_death);
    tcase_add_test(death, a_killed_daemon_is_followed_by_one_that_takes_its_pools_up);
    tcase_add_test(death, a_daemon_killed_with_everybody_leaves_nothing_for_the_next);
    tcase_add_test(death, sigterm_keeps_what_lives_and_nothing_else);
    tcase_add_test(death, too_few_descriptors_for_its_pools_lose_none_of_them);
    suite_add_tcase(suite, death);

    tcase_add_checked_fixture(idle, start_private, stop);
    tcase_set_timeout(idle, 20);
    tcase_add_test(idle, a_private_daemon_ends_with_its_last_client);
    tcase_add_test(idle, a_private_daemon_on_sigterm_takes_everything_along);
    tcase_add_test(idle, a_private_daemon_without_clients_ends_after_five_seconds);
    suite_add_tcase(suite, idle);

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
