/* SPDX-License-Identifier: MIT
 *
 * The way to the daemon: finding it, telling it from others, starting it.
 */
#include "connected.h"

#include "shm/layout.h" /* to know where to damage one */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define daemon_ connected_daemon
#define client connected_client
#define SLOTS CONNECTED_SLOTS

/* ------------------------------------------------------ finding the daemon */

START_TEST(nobody_on_the_socket)
{
    char path[128];
    int listener;
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(path, sizeof path, "%s/none", daemon_.directory);
    require_failure(connected_try_connect(path, 0), FASTALLOC_E_NO_DAEMON, path,
                    "FASTALLOC_SOCKET");
    snprintf(path, sizeof path, "%s/no/such/directory", daemon_.directory);
    require_failure(connected_try_connect(path, 0), FASTALLOC_E_NO_DAEMON, path);
    /* A socket that its listener left behind. */
    snprintf(path, sizeof path, "%s/left", daemon_.directory);
    strcpy(address.sun_path, path);
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    close(listener);
    require_failure(connected_try_connect(path, 0), FASTALLOC_E_NO_DAEMON, path,
                    "Connection refused");
    unlink(path);
}
END_TEST

START_TEST(a_path_that_cannot_be_a_sockets)
{
    char path[200];

    memset(path, 'p', 199);
    path[0] = '/';
    path[199] = '\0';
    require_failure(connected_try_connect(path, 0), FASTALLOC_E_INVALID, "199 bytes", "107");
    path[107] = '\0';
    require_failure(connected_try_connect(path, 0), FASTALLOC_E_NO_DAEMON, "/ppp");
    require_failure(connected_try_connect("", 0), FASTALLOC_E_INVALID, "empty");
}
END_TEST

/* Listens in the daemon's directory as something else, and answers a connection in a
 * child process. */
struct impostor {
    int listener;
    char path[128];
    const char *answer; /* NULL: hangs up at once; "": never answers */
    size_t length;
};

static void answer_others(int channel, void *argument)
{
    struct impostor *impostor = argument;
    char request[4096];

    channel_put(channel, 0);
    for (;;) {
        int connection = accept(impostor->listener, NULL, NULL);

        child_require(connection >= 0);
        if (!impostor->answer) {
            close(connection);
            continue;
        }
        if (recv(connection, request, sizeof request, 0) <= 0)
            continue;
        if (*impostor->answer)
            send(connection, impostor->answer, impostor->length, MSG_NOSIGNAL);
        else
            api_sleep_ms(60000);
        recv(connection, request, sizeof request, 0);
        close(connection);
    }
}

static void impersonate(struct impostor *impostor, int type, struct child *child)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(impostor->path, sizeof impostor->path, "%s/other", daemon_.directory);
    strcpy(address.sun_path, impostor->path);
    impostor->listener = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(impostor->listener, (struct sockaddr *)&address, sizeof address), 0);
    if (type != SOCK_DGRAM)
        ck_assert_int_eq(listen(impostor->listener, 8), 0);
    child_start(child, answer_others, impostor);
    if (type != SOCK_DGRAM)
        channel_take(child->channel);
}

static void unmask(struct impostor *impostor, struct child *child)
{
    child_kill(child);
    close(impostor->listener);
    unlink(impostor->path);
}

/* Answers to a hello that are not our daemon's; the last two are of one that speaks another
 * version. */
static const struct {
    int type;
    const char *answer;
    size_t length;
    int code;
} impostors[] = {
    {SOCK_STREAM, "hello", 5, FASTALLOC_E_NOT_FASTALLOC},
    {SOCK_SEQPACKET, NULL, 0, FASTALLOC_E_NOT_FASTALLOC},
    {SOCK_SEQPACKET, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, FASTALLOC_E_NOT_FASTALLOC},
    {SOCK_SEQPACKET, "\xff", 1, FASTALLOC_E_NOT_FASTALLOC},
    {SOCK_SEQPACKET, "\x0d\x02\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 13,
     FASTALLOC_E_NOT_FASTALLOC},
    {SOCK_SEQPACKET, "\x0d\x63\0\0\0", 5, FASTALLOC_E_VERSION},
    {SOCK_SEQPACKET, "\x0d\x63\0\0\0\x12\x34", 7, FASTALLOC_E_VERSION},
};

START_TEST(a_socket_that_is_not_ours)
{
    struct impostor impostor = {.answer = impostors[_i].answer, .length = impostors[_i].length};
    struct child child;

    impersonate(&impostor, impostors[_i].type, &child);
    if (impostors[_i].code == FASTALLOC_E_VERSION)
        require_failure(connected_try_connect(impostor.path, 2000), FASTALLOC_E_VERSION, "99");
    else
        require_failure(connected_try_connect(impostor.path, 2000), FASTALLOC_E_NOT_FASTALLOC,
                        impostor.path, "right path");
    unmask(&impostor, &child);
}
END_TEST

START_TEST(a_file_or_a_directory_is_no_socket)
{
    require_failure(connected_try_connect(daemon_.log, 0), FASTALLOC_E_NOT_FASTALLOC, daemon_.log);
    require_failure(connected_try_connect(daemon_.directory, 0), FASTALLOC_E_NOT_FASTALLOC,
                    daemon_.directory);
}
END_TEST

START_TEST(one_that_never_answers_times_out)
{
    struct impostor impostor = {.answer = "", .length = 0};
    struct child child;
    int64_t began;

    impersonate(&impostor, SOCK_SEQPACKET, &child);
    began = api_now_us();
    require_failure(connected_try_connect(impostor.path, 250), FASTALLOC_E_TIMEOUT, impostor.path,
                    "250 ms");
    ck_assert_int_ge(api_now_us() - began, 240000);
    ck_assert_int_lt(api_now_us() - began, 2000000);
    unmask(&impostor, &child);
}
END_TEST

START_TEST(the_environment_names_the_socket)
{
    fastalloc_client *found;
    char runtime[128];

    ck_assert_int_eq(setenv("FASTALLOC_SOCKET", daemon_.socket, 1), 0);
    require_ok(fastalloc_connect(&found, NULL));
    fastalloc_disconnect(found);
    ck_assert_int_eq(setenv("FASTALLOC_SOCKET", "/nonexistent/socket", 1), 0);
    require_failure(fastalloc_connect(&found, NULL), FASTALLOC_E_NO_DAEMON, "/nonexistent/socket");
    ck_assert_int_eq(unsetenv("FASTALLOC_SOCKET"), 0);
    /* $XDG_RUNTIME_DIR/fastalloc/fastallocd.sock, here a link to the real one. */
    snprintf(runtime, sizeof runtime, "%s/fastalloc", daemon_.directory);
    ck_assert_int_eq(mkdir(runtime, 0700), 0);
    snprintf(runtime, sizeof runtime, "%s/fastalloc/fastallocd.sock", daemon_.directory);
    ck_assert_int_eq(symlink(daemon_.socket, runtime), 0);
    ck_assert_int_eq(setenv("XDG_RUNTIME_DIR", daemon_.directory, 1), 0);
    require_ok(fastalloc_connect(&found, NULL));
    fastalloc_disconnect(found);
    unlink(runtime);
    snprintf(runtime, sizeof runtime, "%s/fastalloc", daemon_.directory);
    rmdir(runtime);
}
END_TEST

START_TEST(options_that_were_not_initialized_are_refused)
{
    fastalloc_connect_options options;
    fastalloc_client *made = untouched_client;

    memset(&options, 0, sizeof options);
    require_failure(fastalloc_connect(&made, &options), FASTALLOC_E_INVALID,
                    "fastalloc_connect_options_init()");
    ck_assert_ptr_eq(made, untouched_client);
}
END_TEST

START_TEST(a_stopped_daemon_times_out_and_serves_later)
{
    fastalloc_connect_options options;
    fastalloc_client *hasty;
    fastalloc_pool *pool = connected_create("here"), *other = untouched;
    fastalloc_pool_config config = api_config("late", 64, 10);
    fastalloc_handle handles[SLOTS];
    int64_t began;

    fastalloc_connect_options_init(&options);
    options.socket = daemon_.socket;
    options.timeout_ms = 200;
    require_ok(fastalloc_connect(&hasty, &options));
    kill(daemon_.pid, SIGSTOP);
    began = api_now_us();
    require_failure(fastalloc_pool_open(hasty, "here", NULL, &other), FASTALLOC_E_TIMEOUT,
                    daemon_.socket, "200 ms");
    require_failure(fastalloc_pool_create(hasty, &config, &other), FASTALLOC_E_TIMEOUT, "200 ms");
    require_failure(fastalloc_pool_destroy(hasty, "here"), FASTALLOC_E_TIMEOUT, "200 ms");
    require_failure(connected_try_connect(daemon_.socket, 200), FASTALLOC_E_TIMEOUT,
                    daemon_.socket);
    ck_assert_int_lt(api_now_us() - began, 3000000);
    ck_assert_ptr_eq(other, untouched);
    /* Those attached need no daemon. */
    ck_assert_uint_eq(api_fill(pool, handles, SLOTS), SLOTS);
    api_free_all(pool, handles, SLOTS);
    kill(daemon_.pid, SIGCONT);
    require_ok(fastalloc_pool_open(hasty, "here", NULL, &other));
    fastalloc_disconnect(hasty);
    /* What was asked for and not waited for is not attached. */
    ck_assert(api_sessions_become(pool, 1));
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

static void *open_and_be_cancelled(void *argument)
{
    fastalloc_pool **pool = argument;

    if (fastalloc_pool_open(client, "here", NULL, pool) == 0)
        pthread_testcancel();
    return NULL;
}

START_TEST(a_cancelled_thread_ends_its_request_first)
{
    fastalloc_pool *pool = connected_create("here"), *same = NULL;
    pthread_t thread;
    void *result;

    kill(daemon_.pid, SIGSTOP);
    ck_assert_int_eq(pthread_create(&thread, NULL, open_and_be_cancelled, &same), 0);
    api_sleep_ms(50);
    pthread_cancel(thread);
    api_sleep_ms(50);
    kill(daemon_.pid, SIGCONT);
    pthread_join(thread, &result);
    ck_assert_ptr_eq(result, PTHREAD_CANCELED);
    ck_assert_ptr_nonnull(same);
    ck_assert_uint_eq(api_info(pool).sessions, 2);
    api_require_whole(same);
    require_ok(fastalloc_pool_close(same)); /* nobody left the client locked */
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

/* ------------------------------------------------------ between us and it */

/* Passes packets and descriptors on between a client and the daemon, until it has passed
 * `honest` replies; then answers with rubbish (or hangs up). */
struct go_between {
    int listener;
    char path[128];
    int honest;
    const char *answer;
    size_t length;
};

static void stand_between(int channel, void *argument)
{
    struct go_between *between = argument;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char packet[8192];
    ssize_t length;
    int theirs, ours, i;

    channel_put(channel, 0);
    strcpy(address.sun_path, daemon_.socket);
    for (;;) {
        theirs = accept(between->listener, NULL, NULL);
        ours = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        child_require(connect(ours, (struct sockaddr *)&address, sizeof address) == 0);
        for (i = 0; (length = recv(theirs, packet, sizeof packet, 0)) > 0; i++) {
            if (i >= between->honest) {
                if (between->answer)
                    send(theirs, between->answer, between->length, MSG_NOSIGNAL);
                break;
            }
            child_require(send(ours, packet, (size_t)length, 0) == length);
            /* Without room for descriptors: they are not passed on. */
            length = recv(ours, packet, sizeof packet, 0);
            child_require(length > 0);
            send(theirs, packet, (size_t)length, MSG_NOSIGNAL);
        }
        close(ours);
        close(theirs);
    }
}

static const struct {
    int honest;
    const char *answer;
    size_t length;
    int code;
} go_betweens[] = {
    {1, "rubbish", 7, FASTALLOC_E_PROTOCOL},
    {1, "\x0d\x02\0\0\0\xff\xff", 7, FASTALLOC_E_PROTOCOL},
    {1, "\x0d\x63\0\0\0", 5, FASTALLOC_E_VERSION},
    {1, NULL, 0, FASTALLOC_E_NO_DAEMON},
    {2, NULL, 0, FASTALLOC_E_PROTOCOL}, /* an answer without its descriptor */
};

START_TEST(an_answer_that_is_no_answer)
{
    struct go_between between = {.honest = go_betweens[_i].honest,
                                 .answer = go_betweens[_i].answer,
                                 .length = go_betweens[_i].length};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    fastalloc_pool *pool = connected_create("here"), *other = untouched;
    fastalloc_client *deceived;
    struct child child;
    int descriptors;

    snprintf(between.path, sizeof between.path, "%s/between", daemon_.directory);
    strcpy(address.sun_path, between.path);
    between.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(between.listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(between.listener, 8), 0);
    child_start(&child, stand_between, &between);
    channel_take(child.channel);

    deceived = api_connect(between.path);
    descriptors = test_descriptors(0);
    require_failure(fastalloc_pool_open(deceived, "here", NULL, &other), go_betweens[_i].code,
                    go_betweens[_i].code == FASTALLOC_E_VERSION ? "99" : between.path);
    ck_assert_ptr_eq(other, untouched);
    ck_assert_int_le(test_descriptors(0), descriptors);
    fastalloc_disconnect(deceived);
    child_kill(&child);
    close(between.listener);
    unlink(between.path);
    ck_assert(api_sessions_become(pool, 1));
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

/* --------------------------------------------------------------- autospawn */

/* A script that starts fastallocd with the test's prefix: the library passes none. */
static void write_starter(char path[128], const char *line)
{
    FILE *script;

    snprintf(path, 128, "%s/starter", daemon_.directory);
    script = fopen(path, "we");
    ck_assert_ptr_nonnull(script);
    fprintf(script, "#!/bin/sh\n%s\n", line);
    fclose(script);
    ck_assert_int_eq(chmod(path, 0700), 0);
    ck_assert_int_eq(setenv("FASTALLOC_DAEMON", path, 1), 0);
}

/* How many processes have `text` among their arguments. */
static int count_processes(const char *text)
{
    DIR *processes = opendir("/proc");
    const struct dirent *entry;
    char path[300], line[4096];
    int count = 0;

    ck_assert_ptr_nonnull(processes);
    while ((entry = readdir(processes))) {
        ssize_t length;
        int file;

        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        file = atoi(entry->d_name) > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (file < 0)
            continue;
        length = read(file, line, sizeof line);
        close(file);
        count += length > 0 && memmem(line, (size_t)length, text, strlen(text) + 1);
    }
    closedir(processes);
    return count;
}

/* Whether the daemon of that socket has ended, and taken the socket along. */
static bool has_ended(void *socket)
{
    return access(socket, F_OK) != 0 && count_processes(socket) == 0;
}

static void use_private_daemon(int channel, void *argument)
{
    fastalloc_connect_options options;
    fastalloc_client *own;
    fastalloc_pool_config config = api_config("private", 64, SLOTS);
    fastalloc_pool *pool = NULL;

    fastalloc_connect_options_init(&options);
    options.socket = argument;
    options.autospawn = 1;
    child_require(fastalloc_connect(&own, &options) == 0);
    if (fastalloc_pool_create(own, &config, &pool) == FASTALLOC_E_EXISTS)
        child_require(fastalloc_pool_open(own, "private", NULL, &pool) == 0);
    child_require(pool && api_fill(pool, NULL, 50) == 50);
    channel_put(channel, 0);
    channel_take(channel);
}

START_TEST(autospawn_starts_one_daemon_that_ends_with_its_last_client)
{
    struct child children[3];
    char path[128], line[256], starter[128];
    int i;

    snprintf(path, sizeof path, "%s/private", daemon_.directory);
    snprintf(line, sizeof line, "exec \"${FASTALLOCD-daemon/fastallocd}\" \"$@\" --prefix %s",
             daemon_.prefix);
    write_starter(starter, line);
    for (i = 0; i < 3; i++)
        child_start(&children[i], use_private_daemon, path);
    for (i = 0; i < 3; i++)
        channel_take(children[i].channel);
    ck_assert_int_eq(count_processes(path), 1);
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 1);
    for (i = 0; i < 3; i++)
        child_kill(&children[i]);
    ck_assert(test_eventually(has_ended, path));
    ck_assert(test_daemon_segments_become(&daemon_, 0));
    unlink(starter);
}
END_TEST

START_TEST(autospawn_by_the_environment)
{
    fastalloc_client *own;
    char path[128], line[256], starter[128];

    snprintf(path, sizeof path, "%s/private", daemon_.directory);
    ck_assert_int_eq(setenv("FASTALLOC_SOCKET", path, 1), 0);
    ck_assert_int_eq(setenv("FASTALLOC_AUTOSPAWN", "0", 1), 0);
    require_failure(fastalloc_connect(&own, NULL), FASTALLOC_E_NO_DAEMON, path, "AUTOSPAWN");
    snprintf(line, sizeof line, "exec \"${FASTALLOCD-daemon/fastallocd}\" \"$@\" --prefix %s",
             daemon_.prefix);
    write_starter(starter, line);
    ck_assert_int_eq(setenv("FASTALLOC_AUTOSPAWN", "1", 1), 0);
    require_failure(connected_try_connect(path, 0), FASTALLOC_E_NO_DAEMON, path); /* "never" wins */
    require_ok(fastalloc_connect(&own, NULL));
    fastalloc_disconnect(own);
    ck_assert(test_eventually(has_ended, path));
    unlink(starter);
}
END_TEST

START_TEST(a_daemon_that_cannot_be_started_is_told)
{
    fastalloc_connect_options options;
    fastalloc_client *own = untouched_client;
    char path[128], starter[128];

    snprintf(path, sizeof path, "%s/private", daemon_.directory);
    fastalloc_connect_options_init(&options);
    options.socket = path;
    options.autospawn = 1;
    setenv("FASTALLOC_DAEMON", "/nonexistent/fastallocd", 1);
    require_failure(fastalloc_connect(&own, &options), FASTALLOC_E_NO_DAEMON,
                    "/nonexistent/fastallocd", "FASTALLOC_DAEMON", "No such file");
    write_starter(starter, "exit 3");
    require_failure(fastalloc_connect(&own, &options), FASTALLOC_E_NO_DAEMON, starter, "0x300",
                    "--foreground");
    ck_assert_ptr_eq(own, untouched_client);
    unlink(starter);
}
END_TEST

START_TEST(a_spawned_daemon_holds_nothing_that_its_starter_had_open)
{
    fastalloc_connect_options options;
    fastalloc_client *own;
    char path[128], line[256], starter[128], byte;
    int ends[2];

    snprintf(path, sizeof path, "%s/private", daemon_.directory);
    snprintf(line, sizeof line, "exec \"${FASTALLOCD-daemon/fastallocd}\" \"$@\" --prefix %s",
             daemon_.prefix);
    write_starter(starter, line);
    ck_assert_int_eq(pipe(ends), 0); /* inherited by whatever is exec'd */
    fastalloc_connect_options_init(&options);
    options.socket = path;
    options.autospawn = 1;
    require_ok(fastalloc_connect(&own, &options));
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    ck_assert_int_eq(read(ends[0], &byte, 1), 0); /* the end: nobody else can write */
    close(ends[0]);
    fastalloc_disconnect(own);
    ck_assert(test_eventually(has_ended, path));
    unlink(starter);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        nobody_on_the_socket,
        a_path_that_cannot_be_a_sockets,
        a_file_or_a_directory_is_no_socket,
        one_that_never_answers_times_out,
        the_environment_names_the_socket,
        options_that_were_not_initialized_are_refused,
        a_stopped_daemon_times_out_and_serves_later,
        a_cancelled_thread_ends_its_request_first,
        autospawn_starts_one_daemon_that_ends_with_its_last_client,
        autospawn_by_the_environment,
        a_daemon_that_cannot_be_started_is_told,
        a_spawned_daemon_holds_nothing_that_its_starter_had_open,
        NULL,
    };
    const struct connected_loop loops[] = {
        {a_socket_that_is_not_ours, (int)(sizeof impostors / sizeof *impostors)},
        {an_answer_that_is_no_answer, (int)(sizeof go_betweens / sizeof *go_betweens)},
        {NULL, 0},
    };

    return connected_run("connect", tests, loops);
}
