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
    const char *line[] = {"fastallocd", "--exit-when-idle", "-s", path, "-p", daemon_.prefix,
                          NULL};
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
    ck_assert_uint_eq(pages, 5);
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
        ck_assert_int_eq(
            backing_map(segment, reply.attached.bytes, true, NULL, 0, &mapped, NULL), 0);
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

/* -------------------------------------------------------------------- bad input */

START_TEST(bad_creations_have_each_a_code_and_a_text)
{
    static const struct {
        const char *name;
        uint64_t size, alignment, capacity;
        int code;
    } cases[] = {
        {"", 64, 0, 10, FASTALLOC_E_NAME},
        {"a/b", 64, 0, 10, FASTALLOC_E_NAME},
        {"tab\there", 64, 0, 10, FASTALLOC_E_NAME},
        {"\xc3\x28", 64, 0, 10, FASTALLOC_E_NAME},
        {"p", 0, 0, 10, FASTALLOC_E_SIZE},
        {"p", 64, 0, 0, FASTALLOC_E_CAPACITY},
        {"p", UINT64_MAX - 7, 0, 1 << 20, FASTALLOC_E_OVERFLOW},
        {"p", UINT64_C(1) << 36, 0, 10, FASTALLOC_E_NO_MEMORY},
        {"p", 64, 24, 10, FASTALLOC_E_ALIGNMENT},
    };
    int client = raw_client(daemon_.socket);
    struct pool_spec spec;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        spec = raw_spec(cases[i].name, cases[i].size, cases[i].capacity);
        spec.alignment = cases[i].alignment;
        ck_assert_msg(raw_create(client, &spec, &reply) == cases[i].code, "case %zu: %d %s", i,
                      reply.error, reply.message);
        ck_assert_int_ne(reply.message[0], 0);
    }
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 0);
    close(client);
}
END_TEST

/* A packet that is answered by an error, after which the connection is closed. */
static void require_sent_away(const void *bytes, size_t length, int code)
{
    int client = raw_client(daemon_.socket), descriptor;

    ck_assert_int_eq(send(client, bytes, length, MSG_NOSIGNAL), (int)length);
    ck_assert(raw_receive(client, &reply, &descriptor));
    ck_assert_int_eq(descriptor, -1);
    ck_assert_int_eq(reply.error, code);
    ck_assert_int_ne(reply.message[0], 0);
    ck_assert(raw_is_closed(client));
    close(client);
}

START_TEST(packets_that_are_no_messages_end_the_connection)
{
    struct wire_request request = {.id = 3, .op = WIRE_LIST};
    uint8_t bytes[WIRE_MAX + 100] = "";
    size_t length, i;

    require_sent_away("x", 1, FASTALLOC_E_PROTOCOL);
    memset(bytes, 0xff, sizeof bytes);
    require_sent_away(bytes, WIRE_MAX, FASTALLOC_E_PROTOCOL);
    require_sent_away(bytes, WIRE_MAX + 1, FASTALLOC_E_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(reply.message, "more than 4096"));
    length = wire_pack_request(&request, bytes);
    for (i = 1; i < length; i++)
        require_sent_away(bytes, i, FASTALLOC_E_PROTOCOL);
    memcpy(bytes + length, "\xa0\x06\x01", 3);
    require_sent_away(bytes, length + 3, FASTALLOC_E_PROTOCOL);
    bytes[1] = 2;
    require_sent_away(bytes, length, FASTALLOC_E_VERSION);
    ck_assert_uint_eq(reply.id, 3);
    request.op = WIRE_HELLO;
    length = wire_pack_request(&request, bytes);
    require_sent_away(bytes, length, FASTALLOC_E_PROTOCOL);
}
END_TEST

START_TEST(an_empty_packet_is_the_end_of_the_connection)
{
    int client = raw_client(daemon_.socket);

    ck_assert_int_eq(send(client, "", 0, MSG_NOSIGNAL), 0);
    ck_assert(raw_is_closed(client));
    close(client);
}
END_TEST

START_TEST(nothing_goes_before_the_hello)
{
    struct wire_request request = {.id = 3, .op = WIRE_LIST};
    int client = raw_connect(daemon_.socket);

    ck_assert_int_eq(raw_call(client, &request, &reply, NULL), FASTALLOC_E_PROTOCOL);
    ck_assert(raw_is_closed(client));
    close(client);
}
END_TEST

START_TEST(a_name_with_a_nul_is_refused_and_the_connection_stays)
{
    struct wire_request request = {.id = 3, .op = WIRE_STAT};
    int client = raw_client(daemon_.socket);
    uint8_t bytes[WIRE_MAX];
    size_t length;

    strcpy(request.stat.name, "ab");
    length = wire_pack_request(&request, bytes);
    bytes[length - 1] = 0;
    raw_send(client, bytes, length);
    ck_assert(raw_receive(client, &reply, NULL));
    ck_assert_int_eq(reply.error, FASTALLOC_E_NAME);
    ck_assert_int_eq(raw_stat(client, "ab", &reply), FASTALLOC_E_NOT_FOUND);
    close(client);
}
END_TEST

START_TEST(soup_does_not_hurt)
{
    uint8_t bytes[WIRE_MAX];
    uint64_t state = 7;
    size_t length, i;
    int round, client;

    for (round = 0; round < 500; round++) {
        client = raw_connect(daemon_.socket);
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        length = 1 + (state >> 40) % WIRE_MAX;
        for (i = 0; i < length; i++) {
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
            bytes[i] = (uint8_t)(state >> 56);
        }
        memcpy(bytes, "\x0d\1\0\0\0", length < 5 ? length : 5);
        ck_assert_int_eq(send(client, bytes, length, MSG_NOSIGNAL), (int)length);
        close(client);
    }
    close(raw_client(daemon_.socket));
}
END_TEST

struct descriptor_count {
    int count;
};

static bool daemon_has_descriptors(void *argument)
{
    const struct descriptor_count *expected = argument;

    return test_descriptors(daemon_.pid) == expected->count;
}

/* The daemon's descriptors, once it has seen that the connection which found out whether
 * it listens is gone. */
static int settled_descriptors(void)
{
    struct descriptor_count last;
    int calm;

    last.count = test_descriptors(daemon_.pid);
    for (calm = 0; calm < 10; calm++) {
        usleep(5000);
        if (!daemon_has_descriptors(&last)) {
            last.count = test_descriptors(daemon_.pid);
            calm = 0;
        }
    }
    return last.count;
}

/* All that this test holds closed, the daemon's count comes back to what it was. */
static void require_descriptors(int count)
{
    struct descriptor_count expected = {count};

    ck_assert_msg(test_eventually(daemon_has_descriptors, &expected), "%d descriptors, not %d",
                  test_descriptors(daemon_.pid), count);
}

START_TEST(unsolicited_descriptors_do_not_stay)
{
    struct wire_request request = {.id = 1, .op = WIRE_LIST};
    int client = raw_client(daemon_.socket), null = open("/dev/null", O_RDONLY | O_CLOEXEC), i;
    int before = settled_descriptors();
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_request(&request, bytes);

    for (i = 0; i < 100; i++) {
        ck_assert_int_eq(packet_send(client, bytes, length, null), 0);
        ck_assert(raw_receive(client, &reply, NULL));
        ck_assert_int_eq(reply.error, 0);
        ck_assert_int_eq(test_descriptors(daemon_.pid), before);
    }
    close(null);
    close(client);
    require_descriptors(before - 1);
}
END_TEST

START_TEST(attaching_and_leaving_a_thousand_times_leaks_nothing)
{
    int client = raw_client(daemon_.socket), other, segment = create(client, "orders"), i, before;

    before = settled_descriptors();
    for (i = 0; i < 1000; i++) {
        other = raw_open(client, "orders", &reply);
        ck_assert_msg(other >= 0, "round %d: %s", i, reply.message);
        close(other);
        ck_assert_int_eq(raw_close(client, &reply), 0);
    }
    require_descriptors(before);
    close(segment);
    close(client);
}
END_TEST

/* ------------------------------------------------------------- slow and many */

START_TEST(a_client_without_a_hello_is_closed_after_five_seconds)
{
    int client = raw_connect(daemon_.socket);
    long before = now_ms();

    ck_assert(raw_is_closed(client));
    ck_assert_int_ge(now_ms() - before, 4500);
    ck_assert_int_lt(now_ms() - before, 9000);
    close(client);
}
END_TEST

START_TEST(a_client_that_never_reads_is_closed_and_others_are_served)
{
    struct wire_request request = {.id = 1, .op = WIRE_LIST};
    int client = raw_client(daemon_.socket), other = raw_client(daemon_.socket), i, segments[8];
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_request(&request, bytes);
    char name[2] = "a";

    for (i = 0; i < 8; i++, name[0]++)
        segments[i] = create(other, name);
    fcntl(client, F_SETFL, O_NONBLOCK);
    /* Until its queue towards the daemon is full, as the daemon has stopped reading. */
    for (i = 0; i < 100; i++) {
        while (packet_send(client, bytes, length, -1) == 0)
            ;
        usleep(1000);
    }
    ck_assert_int_eq(sessions_of(other, "a"), 1);
    for (i = 0; i < 9000 && packet_send(client, bytes, length, -1) == EAGAIN; i++)
        usleep(1000);
    ck_assert_int_eq(packet_send(client, bytes, length, -1), EPIPE);
    ck_assert(test_daemon_logged(&daemon_, "did not read its reply"));
    for (i = 0; i < 8; i++)
        close(segments[i]);
    close(client);
    close(other);
}
END_TEST

START_TEST(connections_of_one_uid_are_limited)
{
    struct wire_request hello = {.op = WIRE_HELLO};
    int clients[256], extras[17], i, before = settled_descriptors();

    for (i = 0; i < 256; i++)
        clients[i] = raw_client(daemon_.socket);
    /* Some more are told so, as the answer to what they say; then none. */
    for (i = 0; i < 17; i++)
        extras[i] = raw_connect(daemon_.socket);
    ck_assert(raw_is_closed(extras[16]));
    for (i = 0; i < 16; i++) {
        ck_assert_int_eq(raw_call(extras[i], &hello, &reply, NULL), FASTALLOC_E_TOO_MANY);
        ck_assert_ptr_nonnull(strstr(reply.message, "256 connections"));
        ck_assert(raw_is_closed(extras[i]));
    }
    for (i = 0; i < 17; i++)
        close(extras[i]);
    for (i = 0; i < 256; i++)
        close(clients[i]);
    require_descriptors(before);
    close(raw_client(daemon_.socket));
}
END_TEST

START_TEST(out_of_descriptors_only_the_newcomer_is_dropped)
{
    struct rlimit few;
    int clients[64], i, last;

    clients[0] = raw_client(daemon_.socket);
    few.rlim_cur = few.rlim_max = (rlim_t)settled_descriptors() + 5;
    ck_assert_int_eq(prlimit(daemon_.pid, RLIMIT_NOFILE, &few, NULL), 0);
    for (i = 1; i < 20; i++) {
        clients[i] = raw_connect(daemon_.socket);
        ck_assert_int_ge(clients[i], 0);
    }
    /* The last ones were closed, the first is served. */
    ck_assert(raw_is_closed(clients[19]));
    ck_assert_int_eq(sessions_of(clients[0], "none"), FASTALLOC_E_NOT_FOUND);
    for (i = 1; i < 20; i++)
        close(clients[i]);
    /* And with descriptors to be had again, newcomers are. */
    usleep(100000);
    last = raw_client(daemon_.socket);
    close(last);
    close(clients[0]);
}
END_TEST

START_TEST(a_peer_that_leaves_in_the_middle_is_swept)
{
    struct wire_request request = {.id = 1, .op = WIRE_CREATE};
    uint8_t bytes[WIRE_MAX];
    int i, client, before = settled_descriptors();
    size_t length;

    request.create = raw_spec("gone", 4096, 2000);
    length = wire_pack_request(&request, bytes);
    for (i = 0; i < 50; i++) {
        client = raw_client(daemon_.socket);
        raw_send(client, bytes, length);
        if (i % 2)
            usleep((unsigned)i * 100);
        close(client);
    }
    ck_assert(test_daemon_segments_become(&daemon_, 0));
    require_descriptors(before);
}
END_TEST

START_TEST(a_truncated_pool_does_not_hurt_the_daemon_nor_other_pools)
{
    int client = raw_client(daemon_.socket), bad = create(client, "bad"), good, again;
    struct wire_reply attached = reply;

    good = create(client, "good");
    ck_assert_int_eq(ftruncate(bad, 0), 0);
    ck_assert_int_eq(raw_open(client, "bad", &reply), FASTALLOC_E_POISONED);
    close(bad);
    ck_assert_int_eq(raw_close(client, &attached), 0);
    ck_assert(test_daemon_segments_become(&daemon_, 1));
    again = raw_open(client, "good", &reply);
    ck_assert_int_ge(again, 0);
    close(again);
    close(good);
    close(client);
}
END_TEST

/* Locks all and unlocks every other byte from the top: each makes one lock of one. */
static void set_locks(int segment, int count)
{
    struct flock lock = {.l_type = F_RDLCK, .l_start = 1 << 20, .l_len = (off_t)1 << 40};
    int i;

    ck_assert_int_eq(fcntl(segment, F_OFD_SETLK, &lock), 0);
    lock.l_type = F_UNLCK;
    lock.l_start = lock.l_len;
    lock.l_len = 1;
    for (i = 0; i < count; i++, lock.l_start -= 2)
        ck_assert_int_eq(fcntl(segment, F_OFD_SETLK, &lock), 0);
}

START_TEST(a_pool_with_many_locks_does_not_hold_up_others)
{
    int attacker = raw_client(daemon_.socket), client, segment = create(attacker, "bad"), i;
    int kept[200], other;
    long before;

    for (i = 0; i < 200; i++) {
        kept[i] = raw_open(attacker, "bad", &reply);
        ck_assert_int_ge(kept[i], 0);
    }
    client = raw_client(daemon_.socket);
    set_locks(segment, 100000);
    close(attacker);
    for (i = 0; i < 10; i++) {
        before = now_ms();
        other = create(client, "good");
        ck_assert_int_lt(now_ms() - before, 500);
        close(other);
        ck_assert_int_eq(raw_close(client, &reply), 0);
    }
    for (i = 0; i < 200; i++)
        close(kept[i]);
    close(segment);
    close(client);
    /* Its end is still found: the last look is taken before the daemon goes. */
    before = now_ms();
    test_daemon_end(&daemon_);
    ck_assert_int_lt(now_ms() - before, 1500);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("daemon");
    TCase *single = tcase_create("one a socket"), *life = tcase_create("life");
    TCase *death = tcase_create("death"), *idle = tcase_create("exit when idle");
    TCase *input = tcase_create("bad input"), *load = tcase_create("slow and many");

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
    tcase_add_test(life, attaching_and_leaving_a_thousand_times_leaks_nothing);
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

    tcase_add_checked_fixture(input, start, stop);
    tcase_set_timeout(input, 20);
    tcase_add_test(input, bad_creations_have_each_a_code_and_a_text);
    tcase_add_test(input, packets_that_are_no_messages_end_the_connection);
    tcase_add_test(input, an_empty_packet_is_the_end_of_the_connection);
    tcase_add_test(input, nothing_goes_before_the_hello);
    tcase_add_test(input, a_name_with_a_nul_is_refused_and_the_connection_stays);
    tcase_add_test(input, soup_does_not_hurt);
    tcase_add_test(input, unsolicited_descriptors_do_not_stay);
    tcase_add_test(input, a_truncated_pool_does_not_hurt_the_daemon_nor_other_pools);
    suite_add_tcase(suite, input);

    tcase_add_checked_fixture(load, start, stop);
    tcase_set_timeout(load, 40);
    tcase_add_test(load, a_client_without_a_hello_is_closed_after_five_seconds);
    tcase_add_test(load, a_client_that_never_reads_is_closed_and_others_are_served);
    tcase_add_test(load, connections_of_one_uid_are_limited);
    tcase_add_test(load, out_of_descriptors_only_the_newcomer_is_dropped);
    tcase_add_test(load, a_peer_that_leaves_in_the_middle_is_swept);
    tcase_add_test(load, a_pool_with_many_locks_does_not_hold_up_others);
    suite_add_tcase(suite, load);
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
