/* SPDX-License-Identifier: MIT
 *
 * The public functions with a daemon behind them: finding it, what it refuses, pools'
 * lives and deaths, and what clients notice of the daemon's own.
 */
#include "api.h"
#include "shm/layout.h" /* to know where to damage one */
#include "tests/support/daemon.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 1000
#define NOBODY 65534

struct thing {
    uint64_t number[3];
};
FASTALLOC_DEFINE_POOL(things, struct thing);
FASTALLOC_DEFINE_POOL(numbers, uint64_t);

static struct test_daemon daemon_;
static fastalloc_client *client;
static fastalloc_pool *const untouched = (fastalloc_pool *)(uintptr_t)0x5a;
static fastalloc_client *const untouched_client = (fastalloc_client *)(uintptr_t)0xa5;

static void start(void)
{
    test_daemon_start(&daemon_, NULL);
    client = api_connect(daemon_.socket);
}

static void stop(void)
{
    fastalloc_disconnect(client);
    test_daemon_stop(&daemon_);
}

static fastalloc_pool *create(const char *name)
{
    fastalloc_pool_config config = api_config(name, 64, SLOTS);
    fastalloc_pool *pool = NULL;

    require_ok(fastalloc_pool_create(client, &config, &pool));
    return pool;
}

static fastalloc_pool *open_again(fastalloc_client *through, const char *name)
{
    fastalloc_pool *pool = NULL;

    require_ok(fastalloc_pool_open(through, name, NULL, &pool));
    return pool;
}

static int try_create(const fastalloc_pool_config *config)
{
    fastalloc_pool *pool = untouched;
    unsigned segments = test_daemon_segments(&daemon_);
    int error = fastalloc_pool_create(client, config, &pool);

    ck_assert_ptr_eq(pool, untouched);
    ck_assert_uint_eq(test_daemon_segments(&daemon_), segments);
    return error;
}

static int try_open(const char *name, const fastalloc_pool_config *expected)
{
    fastalloc_pool *pool = untouched;
    int descriptors = test_descriptors(0);
    int error = fastalloc_pool_open(client, name, expected, &pool);

    ck_assert_ptr_eq(pool, untouched);
    ck_assert_int_eq(test_descriptors(0), descriptors);
    return error;
}

static int try_connect(const char *socket, uint32_t timeout_ms)
{
    fastalloc_client *made = untouched_client;
    fastalloc_connect_options options;
    int descriptors = test_descriptors(0), error;

    fastalloc_connect_options_init(&options);
    options.socket = socket;
    options.timeout_ms = timeout_ms;
    options.autospawn = -1;
    error = fastalloc_connect(&made, &options);
    ck_assert_ptr_eq(made, untouched_client);
    ck_assert_int_eq(test_descriptors(0), descriptors);
    return error;
}

/* -------------------------------------------------------------- bad input */

START_TEST(bad_creations_are_refused_and_leave_nothing)
{
    fastalloc_pool_config config = api_config("p", 64, 10);
    char name[300] = "";

    config.name = NULL;
    require_failure(try_create(&config), FASTALLOC_E_NAME, "empty");
    config.name = "";
    require_failure(try_create(&config), FASTALLOC_E_NAME, "empty");
    memset(name, 'x', 299);
    config.name = name;
    require_failure(try_create(&config), FASTALLOC_E_NAME, "299 bytes", "255");
    config.name = "a/b";
    require_failure(try_create(&config), FASTALLOC_E_NAME, "\"/\"", "byte 1");
    config.name = "a\x01";
    require_failure(try_create(&config), FASTALLOC_E_NAME, "control", "0x01");
    config.name = "\xf8";
    require_failure(try_create(&config), FASTALLOC_E_NAME, "UTF-8", "0xf8");
    config = api_config("p", 0, 10);
    require_failure(try_create(&config), FASTALLOC_E_SIZE, "object size is 0");
    config = api_config("p", 64, 0);
    require_failure(try_create(&config), FASTALLOC_E_CAPACITY, "capacity is 0");
    config = api_config("p", SIZE_MAX / 4, 16);
    require_failure(try_create(&config), FASTALLOC_E_OVERFLOW, "16 objects");
    config = api_config("p", 1, UINT64_C(1) << 40);
    require_failure(try_create(&config), FASTALLOC_E_LIMIT, "1099511627776", "2147483648");
    config = api_config("p", 64, 10);
    config.alignment = 24;
    require_failure(try_create(&config), FASTALLOC_E_ALIGNMENT, "24");
    config.alignment = 16384;
    require_failure(try_create(&config), FASTALLOC_E_ALIGNMENT, "16384", "4096");
    config = api_config("huge", 1u << 20, 1u << 24);
    require_failure(try_create(&config), FASTALLOC_E_NO_MEMORY, "\"huge\"", "16777216 slots",
                    "16", "TiB", "only");
    require_failure(try_open("huge", NULL), FASTALLOC_E_NOT_FOUND, "huge");
    require_ok(fastalloc_pool_close(create("p"))); /* the name was not used up */
}
END_TEST

START_TEST(a_name_that_exists_is_refused_and_told_what_is_there)
{
    fastalloc_pool *pool = create("taken");
    fastalloc_pool_config config = api_config("taken", 32, 5);

    require_failure(try_create(&config), FASTALLOC_E_EXISTS, "\"taken\"", "1000 slots",
                    "64 bytes", "open it");
    ck_assert_uint_eq(api_info(pool).capacity, SLOTS);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(a_name_that_is_not_there_is_refused)
{
    require_failure(try_open("nowhere", NULL), FASTALLOC_E_NOT_FOUND, "\"nowhere\"");
    require_failure(fastalloc_pool_destroy(client, "nowhere"), FASTALLOC_E_NOT_FOUND,
                    "\"nowhere\"");
    require_failure(try_open(NULL, NULL), FASTALLOC_E_NAME, "empty");
    require_failure(try_open("a/b", NULL), FASTALLOC_E_NAME, "\"/\"");
    require_failure(fastalloc_pool_destroy(client, NULL), FASTALLOC_E_NAME, "empty");
    require_failure(fastalloc_pool_destroy(client, "a/b"), FASTALLOC_E_NAME, "\"/\"");
}
END_TEST

START_TEST(a_pool_opened_as_something_else_is_refused)
{
    fastalloc_pool_config config = api_config("orders", 64, SLOTS), expected;
    fastalloc_pool *pool, *same;

    config.type_name = "struct order";
    config.type_version = 3;
    config.alignment = 32;
    require_ok(fastalloc_pool_create(client, &config, &pool));
    fastalloc_pool_config_init(&expected);
    expected.type_name = "struct invoice";
    require_failure(try_open("orders", &expected), FASTALLOC_E_TYPE, "\"orders\"",
                    "\"struct order\"", "\"struct invoice\"");
    expected.type_name = "struct order";
    expected.type_version = 4;
    require_failure(try_open("orders", &expected), FASTALLOC_E_TYPE_VERSION, "version 3", "4");
    expected.type_version = 3;
    expected.object_size = 72;
    require_failure(try_open("orders", &expected), FASTALLOC_E_TYPE_SIZE, "64 bytes", "72");
    expected.object_size = 64;
    expected.alignment = 64;
    require_failure(try_open("orders", &expected), FASTALLOC_E_TYPE_SIZE, "32 bytes", "64");
    ck_assert_uint_eq(api_info(pool).sessions, 1);
    expected.alignment = 16; /* less than there is will do */
    require_ok(fastalloc_pool_open(client, "orders", &expected, &same));
    ck_assert_uint_eq(api_info(pool).sessions, 2);
    ck_assert_str_eq(api_info(same).type_name, "struct order");
    expected.struct_size = 3;
    require_failure(try_open("orders", &expected), FASTALLOC_E_INVALID, "struct_size is 3");
    require_ok(fastalloc_pool_close(same));
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(typed_pools_open_only_as_their_type)
{
    fastalloc_pool_config config = api_config("things", 0, 100);
    things_pool made, found = {untouched};
    numbers_pool wrong = {untouched};
    things_handle handle;
    struct thing *thing = NULL;

    require_ok(things_create(client, &config, &made));
    require_failure(numbers_open(client, "things", &wrong), FASTALLOC_E_TYPE, "struct thing",
                    "uint64_t");
    ck_assert_ptr_eq(wrong.pool, untouched);
    require_ok(things_open(client, "things", &found));
    require_ok(things_alloc(made, &handle, &thing));
    thing->number[2] = 17;
    ck_assert_uint_eq(things_get(found, handle)->number[2], 17);
    require_ok(things_adopt(found, handle));
    require_failure(things_give(made, handle, 1), FASTALLOC_E_STALE, "give");
    require_ok(things_free(found, handle));
    require_ok(things_close(&found));
    require_ok(things_close(&made));
}
END_TEST

/* ------------------------------------------------------ finding the daemon */

START_TEST(nobody_on_the_socket)
{
    char path[128];
    int listener;
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(path, sizeof path, "%s/none", daemon_.directory);
    require_failure(try_connect(path, 0), FASTALLOC_E_NO_DAEMON, path, "FASTALLOC_SOCKET");
    snprintf(path, sizeof path, "%s/no/such/directory", daemon_.directory);
    require_failure(try_connect(path, 0), FASTALLOC_E_NO_DAEMON, path);
    /* A socket that its listener left behind. */
    snprintf(path, sizeof path, "%s/left", daemon_.directory);
    strcpy(address.sun_path, path);
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    close(listener);
    require_failure(try_connect(path, 0), FASTALLOC_E_NO_DAEMON, path, "Connection refused");
    unlink(path);
}
END_TEST

START_TEST(a_path_that_cannot_be_a_sockets)
{
    char path[200];

    memset(path, 'p', 199);
    path[0] = '/';
    path[199] = '\0';
    require_failure(try_connect(path, 0), FASTALLOC_E_INVALID, "199 bytes", "107");
    path[107] = '\0';
    require_failure(try_connect(path, 0), FASTALLOC_E_NO_DAEMON, "/ppp");
    require_failure(try_connect("", 0), FASTALLOC_E_INVALID, "empty");
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
    {SOCK_SEQPACKET, "\x0d\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 13,
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
        require_failure(try_connect(impostor.path, 2000), FASTALLOC_E_VERSION, "99");
    else
        require_failure(try_connect(impostor.path, 2000), FASTALLOC_E_NOT_FASTALLOC,
                        impostor.path, "right path");
    unmask(&impostor, &child);
}
END_TEST

START_TEST(a_file_or_a_directory_is_no_socket)
{
    require_failure(try_connect(daemon_.log, 0), FASTALLOC_E_NOT_FASTALLOC, daemon_.log);
    require_failure(try_connect(daemon_.directory, 0), FASTALLOC_E_NOT_FASTALLOC,
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
    require_failure(try_connect(impostor.path, 250), FASTALLOC_E_TIMEOUT, impostor.path,
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
    require_failure(fastalloc_connect(&found, NULL), FASTALLOC_E_NO_DAEMON,
                    "/nonexistent/socket");
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
    fastalloc_pool *pool = create("here"), *other = untouched;
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
    require_failure(try_connect(daemon_.socket, 200), FASTALLOC_E_TIMEOUT, daemon_.socket);
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
    fastalloc_pool *pool = create("here"), *same = NULL;
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
    {1, "\x0d\x01\0\0\0\xff\xff", 7, FASTALLOC_E_PROTOCOL},
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
    fastalloc_pool *pool = create("here"), *other = untouched;
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

/* --------------------------------------------------------- pools' life cycle */

START_TEST(every_open_is_a_session_of_its_own)
{
    fastalloc_pool *first = create("shared"), *second = open_again(client, "shared");
    fastalloc_client *other = api_connect(daemon_.socket);
    fastalloc_pool *third = open_again(other, "shared");
    fastalloc_handle handle;
    void *object;

    ck_assert_uint_ne(fastalloc_pool_session(first), fastalloc_pool_session(second));
    ck_assert_uint_ne(fastalloc_pool_session(second), fastalloc_pool_session(third));
    ck_assert_uint_eq(api_info(first).sessions, 3);
    require_ok(fastalloc_alloc(first, &handle, &object));
    strcpy(object, "seen by all");
    ck_assert_ptr_ne(fastalloc_get(third, handle), object);
    ck_assert_str_eq(fastalloc_get(third, handle), "seen by all");
    require_ok(fastalloc_give(first, handle, fastalloc_pool_session(second)));
    require_failure(fastalloc_give(first, handle, fastalloc_pool_session(third)),
                    FASTALLOC_E_STALE, "give");
    require_ok(fastalloc_adopt(third, handle));
    require_ok(fastalloc_free(second, handle)); /* anybody may */
    require_failure(fastalloc_free(third, handle), FASTALLOC_E_DOUBLE_FREE, "free");
    fastalloc_disconnect(other);
    ck_assert(api_sessions_become(first, 2));
    api_require_whole(first);
    api_require_whole(second);
    require_ok(fastalloc_pool_close(second));
    require_ok(fastalloc_pool_close(first));
}
END_TEST

START_TEST(closing_gives_back_what_was_held)
{
    fastalloc_pool *stays = create("shared"), *goes = open_again(client, "shared");
    fastalloc_handle handles[300];

    ck_assert_uint_eq(api_fill(goes, handles, 300), 300);
    require_ok(fastalloc_adopt(stays, handles[7]));
    require_ok(fastalloc_give(goes, handles[8], fastalloc_pool_session(stays)));
    require_ok(fastalloc_pool_close(goes));
    ck_assert(api_allocated_becomes(stays, 2));
    ck_assert_ptr_nonnull(fastalloc_get(stays, handles[7]));
    ck_assert_ptr_null(fastalloc_get(stays, handles[9]));
    require_failure(fastalloc_free(stays, handles[9]), FASTALLOC_E_DOUBLE_FREE, "free");
    require_ok(fastalloc_free(stays, handles[7]));
    require_ok(fastalloc_free(stays, handles[8]));
    api_require_whole(stays);
    require_ok(fastalloc_pool_close(stays));
}
END_TEST

START_TEST(disconnecting_closes_the_clients_pools_and_no_others)
{
    fastalloc_client *other = api_connect(daemon_.socket);
    fastalloc_pool *mine = create("mine"), *its;
    fastalloc_pool_config config = api_config("its", 64, SLOTS);
    int descriptors;

    require_ok(fastalloc_pool_create(other, &config, &its));
    api_fill(open_again(other, "mine"), NULL, 100);
    open_again(client, "its");
    api_fill(its, NULL, 10);
    ck_assert_uint_eq(api_info(mine).sessions, 2);
    descriptors = test_descriptors(0);
    fastalloc_disconnect(other);
    ck_assert_int_eq(test_descriptors(0), descriptors - 1);
    ck_assert(api_sessions_become(mine, 1));
    ck_assert(api_allocated_becomes(mine, 0));
    require_failure(fastalloc_pool_create(client, &config, &its), FASTALLOC_E_EXISTS, "its");
    api_require_whole(mine);
    require_ok(fastalloc_pool_close(mine));
}
END_TEST

START_TEST(a_pool_goes_with_its_last_detach)
{
    fastalloc_pool *pool = create("passing"), *second = open_again(client, "passing");

    ck_assert_uint_eq(test_daemon_segments(&daemon_), 1);
    require_ok(fastalloc_pool_close(pool));
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 1);
    api_require_whole(second);
    require_ok(fastalloc_pool_close(second));
    ck_assert(test_daemon_segments_become(&daemon_, 0));
    require_failure(try_open("passing", NULL), FASTALLOC_E_NOT_FOUND, "passing");
}
END_TEST

START_TEST(a_name_can_be_used_again_at_once_after_the_last_detach)
{
    int i;

    for (i = 0; i < 30; i++)
        require_ok(fastalloc_pool_close(create("again")));
}
END_TEST

START_TEST(a_persistent_pool_stays_with_its_root_until_destroyed)
{
    fastalloc_pool_config config = api_config("staying", 64, SLOTS);
    fastalloc_handle handle;
    fastalloc_pool *pool;

    config.lifetime = FASTALLOC_PERSISTENT;
    require_ok(fastalloc_pool_create(client, &config, &pool));
    handle = api_alloc(pool);
    require_ok(fastalloc_pool_set_root(pool, FASTALLOC_NONE, handle));
    require_ok(fastalloc_pool_close(pool));
    api_sleep_ms(50);
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 1);
    pool = open_again(client, "staying");
    ck_assert_uint_eq(fastalloc_pool_root(pool), handle);
    ck_assert(api_allocated_becomes(pool, 0)); /* nobody had it any more */
    ck_assert_ptr_null(fastalloc_get(pool, handle));
    require_ok(fastalloc_pool_close(pool));
    require_ok(fastalloc_pool_destroy(client, "staying"));
    ck_assert(test_daemon_segments_become(&daemon_, 0));
    require_failure(try_open("staying", NULL), FASTALLOC_E_NOT_FOUND, "staying");
}
END_TEST

static pthread_barrier_t meeting;
static bool by_inlined;

static void *meet_destruction(void *argument)
{
    fastalloc_pool *pool = argument;
    fastalloc_handle handle = api_alloc(pool), other = 99;
    void *object = fastalloc_get(pool, handle);

    strcpy(object, "still here");
    require_ok(fastalloc_free(pool, api_alloc(pool)));
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting); /* destroyed */
    require_failure(by_inlined ? inlined_alloc(pool, &other, NULL)
                               : fastalloc_alloc(pool, &other, NULL),
                    FASTALLOC_E_DESTROYED, "alloc", "doomed", "destroyed");
    ck_assert_uint_eq(other, 99);
    ck_assert_ptr_eq(fastalloc_get(pool, handle), object);
    ck_assert_str_eq(object, "still here");
    require_ok(fastalloc_free(pool, handle));
    require_failure(fastalloc_free(pool, handle), FASTALLOC_E_DOUBLE_FREE, "free");
    require_failure(fastalloc_alloc(pool, &other, NULL), FASTALLOC_E_DESTROYED, "doomed");
    return NULL;
}

START_TEST(a_destroyed_pool_is_readable_and_allocates_no_more_in_any_thread)
{
    fastalloc_pool *pool = create("doomed"), *same = open_again(client, "doomed"), *new;
    fastalloc_handle handle = api_alloc(same);
    pthread_t threads[4];
    int i;

    by_inlined = _i;
    pthread_barrier_init(&meeting, NULL, 5);
    for (i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, meet_destruction, i % 2 ? pool : same),
                         0);
    pthread_barrier_wait(&meeting);
    require_ok(fastalloc_pool_destroy(client, "doomed"));
    pthread_barrier_wait(&meeting);
    for (i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    require_failure(fastalloc_alloc_batch(pool, 2, &handle, NULL), FASTALLOC_E_DESTROYED,
                    "doomed");
    ck_assert_uint_eq(api_info(pool).allocated, 1);

    /* The name is free at once, and leads to the new one only. */
    require_failure(try_open("doomed", NULL), FASTALLOC_E_NOT_FOUND, "doomed");
    require_failure(fastalloc_pool_destroy(client, "doomed"), FASTALLOC_E_NOT_FOUND, "doomed");
    new = create("doomed");
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 2);
    api_require_whole(new);
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_DESTROYED, "doomed");

    /* The memory goes with the last detach. */
    require_ok(fastalloc_pool_close(pool));
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 2);
    require_ok(fastalloc_pool_close(same));
    ck_assert(test_daemon_segments_become(&daemon_, 1));
    require_ok(fastalloc_pool_close(new));
}
END_TEST

static void work_until_destroyed(int channel, void *argument)
{
    fastalloc_client *own = api_connect(daemon_.socket);
    fastalloc_pool *pool = open_again(own, argument);
    fastalloc_handle handles[300];
    size_t count, i;
    int error = 0;

    channel_put(channel, 0);
    while (!error) {
        for (count = 0; count < 300 && !error; count++)
            error = fastalloc_alloc(pool, &handles[count], NULL);
        count -= error != 0;
        for (i = 0; i < count; i++)
            child_require(fastalloc_free(pool, handles[i]) == 0);
    }
    child_require(error == FASTALLOC_E_DESTROYED);
    child_require(fastalloc_pool_close(pool) == 0);
}

START_TEST(destroying_a_pool_that_others_work_in_hurts_nobody)
{
    struct child children[3];
    fastalloc_pool *pool;
    int turn, i;

    for (turn = 0; turn < 10; turn++) {
        pool = create("doomed");
        for (i = 0; i < 3; i++)
            child_start(&children[i], work_until_destroyed, (void *)(uintptr_t) "doomed");
        for (i = 0; i < 3; i++)
            channel_take(children[i].channel);
        api_sleep_ms(turn);
        require_ok(fastalloc_pool_destroy(client, "doomed"));
        for (i = 0; i < 3; i++)
            child_join(&children[i]);
        ck_assert(api_allocated_becomes(pool, 0));
        require_ok(fastalloc_pool_close(pool));
    }
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

START_TEST(two_clients_in_one_process_see_one_pool)
{
    fastalloc_client *other = api_connect(daemon_.socket);
    fastalloc_pool *pool = create("one"), *same = open_again(other, "one");
    fastalloc_handle handle;

    handle = api_alloc(pool);
    require_ok(fastalloc_pool_set_root(pool, FASTALLOC_NONE, handle));
    ck_assert_uint_eq(fastalloc_pool_root(same), handle);
    require_failure(fastalloc_pool_set_root(same, FASTALLOC_NONE, 1), FASTALLOC_E_CHANGED, "one");
    require_ok(fastalloc_pool_destroy(other, "one"));
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_DESTROYED, "one");
    fastalloc_disconnect(other);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

static void *create_and_close(void *argument)
{
    char name[16];
    int i;

    snprintf(name, sizeof name, "pool %d", (int)(intptr_t)argument);
    for (i = 0; i < 15; i++) {
        fastalloc_pool *pool = create(name), *same = open_again(client, name);

        require_ok(fastalloc_free(same, api_alloc(pool)));
        if (i % 2)
            require_ok(fastalloc_pool_destroy(client, name));
        require_ok(fastalloc_pool_close(pool));
        require_ok(fastalloc_pool_close(same));
    }
    return NULL;
}

START_TEST(threads_share_a_client)
{
    pthread_t threads[4];
    int i;

    for (i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, create_and_close,
                                        (void *)(intptr_t)i), 0);
    for (i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

/* ------------------------------------------------------------ whose it is */

static void become_nobody(void)
{
    child_require(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

static void try_as_nobody(int channel, void *argument)
{
    fastalloc_client *own;
    fastalloc_pool *pool = untouched;
    fastalloc_handle handle;

    (void)argument;
    become_nobody();
    own = api_connect(daemon_.socket);
    child_require(fastalloc_pool_open(own, "private", NULL, &pool) == FASTALLOC_E_PERMISSION);
    child_require(strstr(fastalloc_last_error(), "private") != NULL);
    child_require(strstr(fastalloc_last_error(), "65534") != NULL);
    child_require(pool == untouched);
    child_require(fastalloc_pool_destroy(own, "private") == FASTALLOC_E_PERMISSION);
    child_require(fastalloc_pool_open(own, "public", NULL, &pool) == 0);
    child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
    child_require(fastalloc_pool_destroy(own, "public") == FASTALLOC_E_PERMISSION);
    channel_put(channel, handle);
    channel_take(channel);
}

START_TEST(anothers_pool_opens_only_by_its_mode_and_is_never_destroyed)
{
    fastalloc_pool_config config = api_config("public", 64, SLOTS);
    fastalloc_pool *private, *public;
    struct child child;

    if (geteuid() != 0)
        return; /* nobody else to be */
    ck_assert_int_eq(chmod(daemon_.directory, 0711), 0);
    private = create("private");
    config.mode = 0666;
    require_ok(fastalloc_pool_create(client, &config, &public));
    child_start(&child, try_as_nobody, NULL);
    ck_assert_ptr_nonnull(fastalloc_get(public, channel_take(child.channel)));
    ck_assert_uint_eq(api_info(private).sessions, 1);
    child_kill(&child);
    ck_assert(api_allocated_becomes(public, 0));
    require_ok(fastalloc_pool_close(private));
    require_ok(fastalloc_pool_close(public));
}
END_TEST

static void open_elsewhere(int channel, void *argument)
{
    fastalloc_client *own;
    fastalloc_pool *pool = untouched;
    pid_t inner;
    int status;

    (void)argument;
    if (unshare(CLONE_NEWPID)) {
        channel_put(channel, 0); /* not allowed to */
        return;
    }
    inner = fork();
    if (inner == 0) {
        own = api_connect(daemon_.socket);
        child_require(fastalloc_pool_open(own, "here", NULL, &pool) == FASTALLOC_E_NAMESPACE);
        child_require(strstr(fastalloc_last_error(), "PID namespace") != NULL);
        child_require(pool == untouched);
        fastalloc_disconnect(own);
        _exit(0);
    }
    child_require(waitpid(inner, &status, 0) == inner);
    child_require(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    channel_put(channel, 1);
}

START_TEST(another_pid_namespace_is_refused)
{
    fastalloc_pool *pool = create("here");
    struct child child;

    child_start(&child, open_elsewhere, NULL);
    channel_take(child.channel);
    child_join(&child);
    ck_assert(api_sessions_become(pool, 1));
    api_require_whole(pool);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(one_session_more_than_the_pool_has)
{
    fastalloc_pool_config config = api_config("narrow", 64, SLOTS);
    fastalloc_pool *pools[3];
    int i;

    config.max_sessions = 3;
    require_ok(fastalloc_pool_create(client, &config, &pools[0]));
    pools[1] = open_again(client, "narrow");
    pools[2] = open_again(client, "narrow");
    require_failure(try_open("narrow", NULL), FASTALLOC_E_TOO_MANY, "narrow", "3");
    for (i = 0; i < 50; i++) { /* a closed one's place is there at once */
        require_ok(fastalloc_pool_close(pools[2]));
        pools[2] = open_again(client, "narrow");
    }
    for (i = 0; i < 3; i++)
        require_ok(fastalloc_pool_close(pools[i]));
}
END_TEST

/* --------------------------------------------------------- damaged memory */

/* The file of the only segment there is. */
static int open_segment(void)
{
    char command[128], path[300] = "";
    FILE *listing;

    snprintf(command, sizeof command, "ls /dev/shm/%s*", daemon_.prefix);
    listing = popen(command, "re");
    ck_assert_ptr_nonnull(listing);
    ck_assert_ptr_nonnull(fgets(path, sizeof path, listing));
    pclose(listing);
    path[strcspn(path, "\n")] = '\0';
    return open(path, O_RDWR | O_CLOEXEC);
}

static const struct {
    size_t at;
    int code;
    const char *word;
} damages[] = {
    {offsetof(struct shm_header, magic), FASTALLOC_E_VERSION, "published"},
    {offsetof(struct shm_header, major), FASTALLOC_E_VERSION, "version"},
    {offsetof(struct shm_header, fingerprint), FASTALLOC_E_VERSION, "another kind"},
    {offsetof(struct shm_header, object_size), FASTALLOC_E_POISONED, "damaged"},
    {offsetof(struct shm_header, capacity), FASTALLOC_E_POISONED, "damaged"},
    {offsetof(struct shm_header, objects_at), FASTALLOC_E_POISONED, "damaged"},
};

START_TEST(a_pool_whose_header_is_damaged_is_not_opened)
{
    fastalloc_pool *pool = create("broken");
    int segment = open_segment();
    uint32_t garbage = 0x7f7f7f7f;

    ck_assert_int_eq(pwrite(segment, &garbage, sizeof garbage, (off_t)damages[_i].at),
                     sizeof garbage);
    require_failure(try_open("broken", NULL), damages[_i].code, damages[_i].word, "broken");
    ck_assert(api_sessions_become(pool, 1));
    close(segment);
    require_ok(fastalloc_pool_close(pool));
    require_ok(fastalloc_pool_close(create("sound")));
    fastalloc_pool_destroy(client, "broken"); /* gone with its last detach, or not */
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

START_TEST(a_pool_marked_poisoned_allocates_no_more)
{
    fastalloc_pool *pool = create("broken");
    fastalloc_handle handle = api_alloc(pool), other = 99;
    int segment = open_segment();
    uint32_t state = POOL_POISONED;

    ck_assert_int_eq(pwrite(segment, &state, sizeof state, offsetof(struct shm_header, state)),
                     sizeof state);
    close(segment);
    fastalloc_thread_flush(pool);
    require_failure(fastalloc_alloc(pool, &other, NULL), FASTALLOC_E_POISONED, "broken",
                    "damaged");
    ck_assert_uint_eq(other, 99);
    ck_assert_ptr_nonnull(fastalloc_get(pool, handle));
    require_ok(fastalloc_pool_close(pool));
    fastalloc_pool_destroy(client, "broken");
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

START_TEST(a_truncated_pool_is_not_opened)
{
    fastalloc_pool *pool = create("broken");
    int segment = open_segment();

    ck_assert_int_eq(ftruncate(segment, _i ? 8192 : 0), 0);
    close(segment);
    require_failure(try_open("broken", NULL), FASTALLOC_E_POISONED, "damaged", "broken");
    require_ok(fastalloc_pool_close(pool));
    require_ok(fastalloc_pool_close(create("sound")));
    fastalloc_pool_destroy(client, "broken");
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

/* --------------------------------------------------- client and daemon die */

static void hold_many(int channel, void *argument)
{
    fastalloc_client *own = api_connect(daemon_.socket);
    fastalloc_pool *pool = open_again(own, argument);

    child_require(api_fill(pool, NULL, 600) == 600);
    channel_put(channel, fastalloc_pool_session(pool));
    channel_take(channel);
}

START_TEST(a_killed_clients_slots_come_back_soon)
{
    fastalloc_pool *pool = create("shared");
    struct child child;
    int64_t began;
    int i;

    for (i = 0; i < 10; i++) {
        child_start(&child, hold_many, (void *)(uintptr_t) "shared");
        channel_take(child.channel);
        ck_assert_uint_eq(api_info(pool).allocated, 600);
        began = api_now_us();
        child_kill(&child);
        ck_assert(api_allocated_becomes(pool, 0));
        ck_assert(api_sessions_become(pool, 1));
        ck_assert_int_lt(api_now_us() - began, 3000000);
        if (i == 9)
            printf("# 600 slots of a killed client are back after %lld us\n",
                   (long long)(api_now_us() - began));
    }
    api_require_whole(pool);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(exhausted_names_the_largest_holders)
{
    fastalloc_pool *pool = create("shared");
    struct child child;
    fastalloc_handle handle;
    char mine[64], its[64];

    child_start(&child, hold_many, (void *)(uintptr_t) "shared");
    channel_take(child.channel);
    ck_assert_uint_eq(api_fill(pool, NULL, SLOTS), 400);
    snprintf(its, sizeof its, "top holders: check_client[%d] 600, ", child.pid);
    snprintf(mine, sizeof mine, ", check_client[%d] 400", getpid());
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_EXHAUSTED,
                    "\"shared\" 1000/1000 in use", its, mine);
    child_kill(&child);
    ck_assert(api_allocated_becomes(pool, 400));
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(attached_clients_go_on_without_the_daemon_and_with_the_next)
{
    fastalloc_pool *pool = create("surviving"), *new;
    fastalloc_pool_config config = api_config("more", 32, 100);
    fastalloc_handle handles[SLOTS], kept = api_alloc(pool);

    strcpy(fastalloc_get(pool, kept), "kept");
    test_daemon_kill(&daemon_);
    ck_assert_uint_eq(api_fill(pool, handles, SLOTS), SLOTS - 1);
    api_free_all(pool, handles, SLOTS - 1);
    require_failure(try_create(&config), FASTALLOC_E_NO_DAEMON, daemon_.socket);
    require_failure(try_open("surviving", NULL), FASTALLOC_E_NO_DAEMON, daemon_.socket);
    test_daemon_run(&daemon_);
    /* The next request connects again; the old session is still good. */
    require_ok(fastalloc_pool_create(client, &config, &new));
    api_require_whole(new);
    require_ok(fastalloc_pool_close(new));
    new = open_again(client, "surviving");
    ck_assert_str_eq(fastalloc_get(new, kept), "kept");
    ck_assert_uint_eq(api_info(new).sessions, 2);
    ck_assert_uint_eq(api_info(new).allocated, 1);
    require_ok(fastalloc_adopt(new, kept));
    require_ok(fastalloc_pool_close(pool));
    ck_assert(api_sessions_become(new, 1));
    require_ok(fastalloc_free(new, kept));
    api_require_whole(new);
    require_ok(fastalloc_pool_close(new));
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

START_TEST(who_died_without_a_daemon_is_swept_by_the_next)
{
    fastalloc_pool *pool = create("surviving");
    struct child child;

    child_start(&child, hold_many, (void *)(uintptr_t) "surviving");
    channel_take(child.channel);
    test_daemon_kill(&daemon_);
    child_kill(&child);
    ck_assert_uint_eq(api_fill(pool, NULL, SLOTS), SLOTS - 600);
    test_daemon_run(&daemon_);
    ck_assert(api_allocated_becomes(pool, SLOTS - 600));
    ck_assert_uint_eq(api_fill(pool, NULL, 600), 600);
    require_ok(fastalloc_pool_close(pool));
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

START_TEST(a_daemon_that_ends_keeps_the_pools_in_use)
{
    fastalloc_pool *pool = create("surviving"), *same;

    test_daemon_end(&daemon_);
    api_require_whole(pool);
    test_daemon_run(&daemon_);
    same = open_again(client, "surviving");
    require_ok(fastalloc_pool_close(pool));
    require_ok(fastalloc_pool_close(same));
    ck_assert(test_daemon_segments_become(&daemon_, 0));
}
END_TEST

START_TEST(closing_and_disconnecting_need_no_daemon)
{
    fastalloc_client *other = api_connect(daemon_.socket);
    fastalloc_pool *pool = create("one"), *same = open_again(other, "one");
    int64_t began;

    ck_assert_ptr_nonnull(same);
    test_daemon_kill(&daemon_);
    began = api_now_us();
    require_ok(fastalloc_pool_close(pool));
    fastalloc_disconnect(other);
    ck_assert_int_lt(api_now_us() - began, 1000000);
    test_daemon_run(&daemon_);
    ck_assert(test_daemon_segments_become(&daemon_, 0));
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
    require_failure(try_connect(path, 0), FASTALLOC_E_NO_DAEMON, path); /* "never" wins */
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
    Suite *suite = suite_create("client");
    TCase *one = tcase_create("one");
    const TTest *const tests[] = {
        bad_creations_are_refused_and_leave_nothing,
        a_name_that_exists_is_refused_and_told_what_is_there,
        a_name_that_is_not_there_is_refused,
        a_pool_opened_as_something_else_is_refused,
        typed_pools_open_only_as_their_type,
        nobody_on_the_socket,
        a_path_that_cannot_be_a_sockets,
        a_file_or_a_directory_is_no_socket,
        one_that_never_answers_times_out,
        the_environment_names_the_socket,
        options_that_were_not_initialized_are_refused,
        a_stopped_daemon_times_out_and_serves_later,
        a_cancelled_thread_ends_its_request_first,
        every_open_is_a_session_of_its_own,
        closing_gives_back_what_was_held,
        disconnecting_closes_the_clients_pools_and_no_others,
        a_pool_goes_with_its_last_detach,
        a_name_can_be_used_again_at_once_after_the_last_detach,
        a_persistent_pool_stays_with_its_root_until_destroyed,
        destroying_a_pool_that_others_work_in_hurts_nobody,
        two_clients_in_one_process_see_one_pool,
        threads_share_a_client,
        anothers_pool_opens_only_by_its_mode_and_is_never_destroyed,
        another_pid_namespace_is_refused,
        one_session_more_than_the_pool_has,
        a_pool_marked_poisoned_allocates_no_more,
        a_killed_clients_slots_come_back_soon,
        exhausted_names_the_largest_holders,
        attached_clients_go_on_without_the_daemon_and_with_the_next,
        who_died_without_a_daemon_is_swept_by_the_next,
        a_daemon_that_ends_keeps_the_pools_in_use,
        closing_and_disconnecting_need_no_daemon,
        autospawn_starts_one_daemon_that_ends_with_its_last_client,
        autospawn_by_the_environment,
        a_daemon_that_cannot_be_started_is_told,
        a_spawned_daemon_holds_nothing_that_its_starter_had_open,
    };
    SRunner *runner;
    size_t i;
    int failed;

    tcase_add_checked_fixture(one, start, stop);
    tcase_set_timeout(one, 20);
    for (i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(one, tests[i]);
    tcase_add_loop_test(one, a_socket_that_is_not_ours, 0,
                        (int)(sizeof impostors / sizeof *impostors));
    tcase_add_loop_test(one, an_answer_that_is_no_answer, 0,
                        (int)(sizeof go_betweens / sizeof *go_betweens));
    tcase_add_loop_test(one, a_pool_whose_header_is_damaged_is_not_opened, 0,
                        (int)(sizeof damages / sizeof *damages));
    tcase_add_loop_test(one, a_truncated_pool_is_not_opened, 0, 2);
    tcase_add_loop_test(one, a_destroyed_pool_is_readable_and_allocates_no_more_in_any_thread, 0,
                        2);
    suite_add_tcase(suite, one);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
