/* SPDX-License-Identifier: MIT
 *
 * Every error code there is, provoked for real through the public functions, with the numbers
 * and names that its text has to have.  A code without a provocation here fails the suite.
 */
#include "connected.h"
#include "shm/layout.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS CONNECTED_SLOTS
#define NOBODY 65534
#define UNPROVOKED 1 /* this machine does not let us, and the output says so */

/* What a failing call said, before anything else was called: here also for child processes. */
static struct report {
    int error;
    char text[1024];
} * report;

static int said(int error)
{
    report->error = error;
    snprintf(report->text, sizeof report->text, "%s", fastalloc_last_error());
    return error;
}

static fastalloc_pool_config config_of(const char *name)
{
    fastalloc_pool_config config = api_config(name, 64, SLOTS);

    config.type_name = "struct order";
    config.type_version = 3;
    return config;
}

/* A config that cannot be, of a pool without a daemon. */
static void try_config(const fastalloc_pool_config *config)
{
    fastalloc_pool *pool = untouched;

    said(fastalloc_pool_create_local(config, &pool));
    ck_assert_ptr_eq(pool, untouched);
}

/* Opens a pool as what it is not. */
static void try_expectation(const fastalloc_pool_config *expected)
{
    fastalloc_pool_config config = config_of("theirs");
    fastalloc_pool *pool;

    require_ok(fastalloc_pool_create(connected_client, &config, &pool));
    said(connected_try_open("theirs", expected));
    require_ok(fastalloc_pool_close(pool));
}

static fastalloc_pool_config expectation(void)
{
    fastalloc_pool_config expected;

    fastalloc_pool_config_init(&expected);
    return expected;
}

/* ----------------------------------------------------- what cannot be asked for */

static int provoke_none(void)
{
    fastalloc_pool *pool = api_local(64, 10);

    said(fastalloc_pool_close(pool));
    return 0;
}

static int provoke_invalid(void)
{
    fastalloc_pool_config config = config_of("p");

    config.struct_size = 8;
    try_config(&config);
    return 0;
}

static int provoke_name(void)
{
    fastalloc_pool_config config = config_of("orders/today");

    try_config(&config);
    return 0;
}

static int provoke_size(void)
{
    fastalloc_pool_config config = config_of("p");

    config.object_size = 0;
    try_config(&config);
    return 0;
}

static int provoke_capacity(void)
{
    fastalloc_pool_config config = config_of("p");

    config.capacity = 0;
    try_config(&config);
    return 0;
}

static int provoke_overflow(void)
{
    fastalloc_pool_config config = config_of("p");

    config.capacity = SIZE_MAX;
    try_config(&config);
    return 0;
}

static int provoke_limit(void)
{
    fastalloc_pool_config config = config_of("p");

    config.capacity = (UINT64_C(1) << 31) + 1;
    try_config(&config);
    return 0;
}

static int provoke_alignment(void)
{
    fastalloc_pool_config config = config_of("p");

    config.alignment = 48;
    try_config(&config);
    return 0;
}

static int provoke_type(void)
{
    fastalloc_pool_config expected = expectation();

    expected.type_name = "struct trade";
    try_expectation(&expected);
    return 0;
}

static int provoke_type_size(void)
{
    fastalloc_pool_config expected = expectation();

    expected.object_size = 72;
    try_expectation(&expected);
    return 0;
}

static int provoke_type_version(void)
{
    fastalloc_pool_config expected = expectation();

    expected.type_version = 4;
    try_expectation(&expected);
    return 0;
}

static int provoke_exists(void)
{
    fastalloc_pool_config config = config_of("theirs");
    fastalloc_pool *pool;

    require_ok(fastalloc_pool_create(connected_client, &config, &pool));
    said(connected_try_create(&config));
    require_ok(fastalloc_pool_close(pool));
    return 0;
}

static int provoke_not_found(void)
{
    said(connected_try_open("nobody's", NULL));
    return 0;
}

static void open_as_nobody(int channel, void *argument)
{
    fastalloc_pool *pool = untouched;
    fastalloc_client *own;

    (void)channel;
    (void)argument;
    child_require(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    own = api_connect(connected_daemon.socket);
    said(fastalloc_pool_open(own, "theirs", NULL, &pool));
}

/* Root opens as somebody else; others shut the socket against themselves. */
static int provoke_permission(void)
{
    fastalloc_pool *pool = connected_create("theirs");
    struct child child;

    if (geteuid() == 0) {
        ck_assert_int_eq(chmod(connected_daemon.directory, 0711), 0);
        child_start(&child, open_as_nobody, NULL);
        child_join(&child);
    } else {
        ck_assert_int_eq(chmod(connected_daemon.socket, 0), 0);
        said(connected_try_connect(connected_daemon.socket, 0));
        ck_assert_int_eq(chmod(connected_daemon.socket, 0600), 0);
    }
    require_ok(fastalloc_pool_close(pool));
    return 0;
}

/* ------------------------------------------------------ the way to the daemon */

static int provoke_no_daemon(void)
{
    said(connected_try_connect("/nowhere/fastallocd.sock", 0));
    return 0;
}

static int provoke_not_fastalloc(void)
{
    said(connected_try_connect(connected_daemon.log, 0));
    return 0;
}

/* Something that listens where a daemon might.  It passes `honest` exchanges on to the real one;
 * then it says `answer`, or for NULL nothing more. */
struct impostor {
    int listener;
    char path[128];
    int honest;
    const char *answer;
    size_t length;
};

static void converse(const struct impostor *impostor, int theirs)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int ours = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), i;
    char packet[8192];
    ssize_t length;

    strcpy(address.sun_path, connected_daemon.socket);
    child_require(connect(ours, (struct sockaddr *)&address, sizeof address) == 0);
    for (i = 0; (length = recv(theirs, packet, sizeof packet, 0)) > 0; i++) {
        if (i < impostor->honest) {
            child_require(send(ours, packet, (size_t)length, 0) == length);
            length = recv(ours, packet, sizeof packet, 0);
            child_require(length > 0);
            send(theirs, packet, (size_t)length, MSG_NOSIGNAL);
        } else if (impostor->answer) {
            send(theirs, impostor->answer, impostor->length, MSG_NOSIGNAL);
        }
    }
    close(ours);
    close(theirs);
}

static void answer_calls(int channel, void *argument)
{
    const struct impostor *impostor = argument;

    channel_put(channel, 0);
    for (;;)
        converse(impostor, accept(impostor->listener, NULL, NULL));
}

static void impersonate(struct impostor *impostor, struct child *child)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(impostor->path, sizeof impostor->path, "%s/other", connected_daemon.directory);
    strcpy(address.sun_path, impostor->path);
    impostor->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(impostor->listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(impostor->listener, 8), 0);
    child_start(child, answer_calls, impostor);
    channel_take(child->channel);
}

static void unmask(struct impostor *impostor, struct child *child)
{
    child_kill(child);
    close(impostor->listener);
    unlink(impostor->path);
}

static int provoke_version(void)
{
    struct impostor impostor = {.answer = "\x0d\x63\0\0\0", .length = 5};
    struct child child;

    impersonate(&impostor, &child);
    said(connected_try_connect(impostor.path, 2000));
    unmask(&impostor, &child);
    return 0;
}

static int provoke_protocol(void)
{
    struct impostor impostor = {.honest = 1, .answer = "rubbish", .length = 7};
    fastalloc_pool *pool = untouched;
    fastalloc_client *deceived;
    struct child child;

    impersonate(&impostor, &child);
    deceived = api_connect(impostor.path);
    said(fastalloc_pool_open(deceived, "theirs", NULL, &pool));
    fastalloc_disconnect(deceived);
    unmask(&impostor, &child);
    return 0;
}

static int provoke_timeout(void)
{
    struct impostor impostor = {.answer = NULL};
    struct child child;

    impersonate(&impostor, &child);
    said(connected_try_connect(impostor.path, 250));
    unmask(&impostor, &child);
    return 0;
}

static int provoke_too_many(void)
{
    fastalloc_pool_config config = config_of("narrow");
    fastalloc_pool *one, *two;

    config.max_sessions = 2;
    require_ok(fastalloc_pool_create(connected_client, &config, &one));
    require_ok(fastalloc_pool_open(connected_client, "narrow", NULL, &two));
    said(connected_try_open("narrow", NULL));
    require_ok(fastalloc_pool_close(two));
    require_ok(fastalloc_pool_close(one));
    return 0;
}

/* -------------------------------------------------------------- the machine */

static int provoke_no_memory(void)
{
    fastalloc_pool_config config = config_of("huge");

    config.object_size = 1u << 20;
    config.capacity = 1u << 24; /* 16 TiB */
    try_config(&config);
    return 0;
}

static int provoke_system(void)
{
    fastalloc_pool_config config = config_of("p");
    struct rlimit limit, none;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){3, limit.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    try_config(&config);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return 0;
}

/* --------------------------------------------------------------- allocating */

static int provoke_exhausted(void)
{
    fastalloc_pool *pool = connected_create("full");
    fastalloc_handle handle;

    ck_assert_uint_eq(api_fill(pool, NULL, SLOTS), SLOTS);
    said(fastalloc_alloc(pool, &handle, NULL));
    require_ok(fastalloc_pool_close(pool));
    return 0;
}

struct stopped {
    fastalloc_pool *pool;
    pthread_barrier_t meeting;
};

static void *stand_inside(void *argument)
{
    struct stopped *stopped = argument;

    require_ok(fastalloc_free(stopped->pool, api_alloc(stopped->pool)));
    inlined_stop_inside(stopped->pool);
    pthread_barrier_wait(&stopped->meeting);
    pthread_barrier_wait(&stopped->meeting);
    inlined_go_on(stopped->pool);
    return NULL;
}

static int provoke_stalled(void)
{
    struct stopped stopped = {.pool = connected_create("stalled one")};
    fastalloc_handle handle;
    pthread_t thread;
    int error;

    pthread_barrier_init(&stopped.meeting, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, stand_inside, &stopped), 0);
    pthread_barrier_wait(&stopped.meeting);
    do
        error = fastalloc_alloc(stopped.pool, &handle, NULL);
    while (!error);
    said(error);
    pthread_barrier_wait(&stopped.meeting);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&stopped.meeting);
    require_ok(fastalloc_pool_close(stopped.pool));
    return 0;
}

/* ----------------------------------------------------------------- handles */

static int provoke_stale(void)
{
    fastalloc_pool *pool = connected_create("handled");
    fastalloc_handle handle = api_alloc(pool);

    require_ok(fastalloc_free(pool, handle));
    ck_assert_uint_eq(fastalloc_handle_index(pool, api_alloc(pool)),
                      fastalloc_handle_index(pool, handle));
    said(fastalloc_free(pool, handle));
    require_ok(fastalloc_pool_close(pool));
    return 0;
}

static int provoke_double_free(void)
{
    fastalloc_pool *pool = connected_create("handled");
    fastalloc_handle handle = api_alloc(pool);

    require_ok(fastalloc_free(pool, handle));
    said(fastalloc_free(pool, handle));
    require_ok(fastalloc_pool_close(pool));
    return 0;
}

static int provoke_handle(void)
{
    fastalloc_pool *pool = connected_create("handled");

    said(fastalloc_free(pool, 0xabcdef0000 + 0xfff0)); /* slot 65,520 of 1,000 */
    require_ok(fastalloc_pool_close(pool));
    return 0;
}

static int provoke_session(void)
{
    fastalloc_pool *pool = connected_create("handled");

    said(fastalloc_give(pool, api_alloc(pool), 200));
    require_ok(fastalloc_pool_close(pool));
    return 0;
}

/* ---------------------------------------------------------------- the pool */

static int provoke_destroyed(void)
{
    fastalloc_pool *pool = connected_create("gone");
    fastalloc_handle handle;

    require_ok(fastalloc_pool_destroy(connected_client, "gone"));
    said(fastalloc_alloc(pool, &handle, NULL));
    require_ok(fastalloc_pool_close(pool));
    return 0;
}

static int provoke_busy(void)
{
    struct stopped stopped = {.pool = connected_create("used")};
    pthread_t thread;

    pthread_barrier_init(&stopped.meeting, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, stand_inside, &stopped), 0);
    pthread_barrier_wait(&stopped.meeting);
    said(fastalloc_pool_close(stopped.pool));
    pthread_barrier_wait(&stopped.meeting);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&stopped.meeting);
    require_ok(fastalloc_pool_close(stopped.pool));
    return 0;
}

static int provoke_changed(void)
{
    fastalloc_pool *pool = connected_create("rooted");

    require_ok(fastalloc_pool_set_root(pool, FASTALLOC_NONE, 0x1234));
    said(fastalloc_pool_set_root(pool, 0x99, 0x5678));
    require_ok(fastalloc_pool_close(pool));
    return 0;
}

/* The segment of the only pool, as its owner may open it. */
static int open_segment(void)
{
    char command[128], path[300] = "";
    FILE *listing;

    snprintf(command, sizeof command, "ls /dev/shm/%s*", connected_daemon.prefix);
    listing = popen(command, "re");
    ck_assert_ptr_nonnull(listing);
    ck_assert_ptr_nonnull(fgets(path, sizeof path, listing));
    pclose(listing);
    path[strcspn(path, "\n")] = '\0';
    return open(path, O_RDWR | O_CLOEXEC);
}

static int provoke_poisoned(void)
{
    fastalloc_pool *pool = connected_create("broken");
    uint64_t size = 0x7f7f7f;
    int segment = open_segment();

    ck_assert_int_eq(pwrite(segment, &size, sizeof size, offsetof(struct shm_header, object_size)),
                     sizeof size);
    close(segment);
    said(connected_try_open("broken", NULL));
    require_ok(fastalloc_pool_close(pool));
    fastalloc_pool_destroy(connected_client, "broken"); /* gone with its last detach, or not */
    ck_assert(test_daemon_segments_become(&connected_daemon, 0));
    return 0;
}

static void open_in_another_namespace(int channel, void *argument)
{
    fastalloc_pool *pool = untouched;
    fastalloc_client *own;
    int status;
    pid_t inner;

    (void)argument;
    /* Whoever is not root may do it with a user namespace of his own, where that is allowed. */
    if (unshare(CLONE_NEWPID) && unshare(CLONE_NEWUSER | CLONE_NEWPID)) {
        channel_put(channel, UNPROVOKED);
        return;
    }
    inner = fork();
    if (inner == 0) {
        own = api_connect(connected_daemon.socket);
        said(fastalloc_pool_open(own, "here", NULL, &pool));
        fastalloc_disconnect(own);
        _exit(0);
    }
    child_require(waitpid(inner, &status, 0) == inner && WIFEXITED(status));
    channel_put(channel, 0);
}

static int provoke_namespace(void)
{
    fastalloc_pool *pool = connected_create("here");
    struct child child;
    int result;

    child_start(&child, open_in_another_namespace, NULL);
    result = (int)channel_take(child.channel);
    child_join(&child);
    require_ok(fastalloc_pool_close(pool));
    return result;
}

/* -------------------------------------------------------- growing, sharing */

static int provoke_growth(void)
{
    fastalloc_pool_config config = config_of("p");

    config.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    config.growth_factor = 0.5;
    try_config(&config);
    return 0;
}

static int provoke_max_capacity(void)
{
    fastalloc_pool_config config = config_of("grown");
    fastalloc_handle handle;
    fastalloc_pool *pool;
    int error;

    config.growth = FASTALLOC_GROWTH_LINEAR;
    config.growth_amount = 100;
    config.max_capacity = 1200;
    require_ok(fastalloc_pool_create(connected_client, &config, &pool));
    do
        error = fastalloc_alloc(pool, &handle, NULL);
    while (!error);
    said(error);
    require_ok(fastalloc_pool_close(pool));
    return 0;
}

static int provoke_sharing(void)
{
    fastalloc_pool *pool = connected_create("not shared");

    said(fastalloc_share(pool, api_alloc(pool)));
    require_ok(fastalloc_pool_close(pool));
    return 0;
}

/* ------------------------------------------------------------- hooks, seals */

static int refuse(fastalloc_pool *pool, fastalloc_handle handle, void *object, uint32_t flags,
                  void *argument)
{
    (void)pool;
    (void)handle;
    (void)object;
    (void)flags;
    (void)argument;
    return 4711;
}

static int provoke_hook(void)
{
    fastalloc_pool_config config = config_of("hooked");
    fastalloc_handle handle;
    fastalloc_pool *pool;

    config.on_acquire = refuse;
    require_ok(fastalloc_pool_create(connected_client, &config, &pool));
    said(fastalloc_alloc(pool, &handle, NULL));
    require_ok(fastalloc_pool_close(pool));
    return 0;
}

static int provoke_sealed(void)
{
    fastalloc_pool *pool = connected_create("shut");
    fastalloc_handle handle;

    api_fill(pool, NULL, 3);
    require_ok(fastalloc_pool_seal(pool));
    said(fastalloc_alloc(pool, &handle, NULL));
    require_ok(fastalloc_pool_close(pool));
    return 0;
}

/* ------------------------------------------------------------------- the table */

static const struct provocation {
    int code;
    int (*provoke)(void); /* 0, or UNPROVOKED */
    const char *words[4]; /* that its text has */
} provocations[] = {
    {FASTALLOC_OK, provoke_none, {NULL}},
    {FASTALLOC_E_INVALID, provoke_invalid, {"struct_size is 8", "fastalloc_pool_config_init()"}},
    {FASTALLOC_E_NAME, provoke_name, {"\"/\"", "byte 6"}},
    {FASTALLOC_E_SIZE, provoke_size, {"object size is 0"}},
    {FASTALLOC_E_CAPACITY, provoke_capacity, {"capacity is 0"}},
    {FASTALLOC_E_OVERFLOW, provoke_overflow, {"18446744073709551615", "64", "lower"}},
    {FASTALLOC_E_LIMIT, provoke_limit, {"2147483649", "2147483648"}},
    {FASTALLOC_E_ALIGNMENT, provoke_alignment, {"48", "power of two", "4096"}},
    {FASTALLOC_E_TYPE, provoke_type, {"theirs", "struct order", "struct trade"}},
    {FASTALLOC_E_TYPE_SIZE, provoke_type_size, {"theirs", "64", "72"}},
    {FASTALLOC_E_TYPE_VERSION, provoke_type_version, {"theirs", "version 3", "4"}},
    {FASTALLOC_E_EXISTS, provoke_exists, {"theirs"}},
    {FASTALLOC_E_NOT_FOUND, provoke_not_found, {"nobody's"}},
    {FASTALLOC_E_PERMISSION, provoke_permission, {NULL}}, /* see below */
    {FASTALLOC_E_NO_DAEMON, provoke_no_daemon, {"/nowhere/fastallocd.sock", "No such file"}},
    {FASTALLOC_E_NOT_FASTALLOC, provoke_not_fastalloc, {"log"}},
    {FASTALLOC_E_VERSION, provoke_version, {"99"}},
    {FASTALLOC_E_PROTOCOL, provoke_protocol, {"/other"}},
    {FASTALLOC_E_TIMEOUT, provoke_timeout, {"250 ms", "/other"}},
    {FASTALLOC_E_TOO_MANY, provoke_too_many, {"narrow", "2"}},
    {FASTALLOC_E_NO_MEMORY, provoke_no_memory, {"16", "TiB", "only"}},
    {FASTALLOC_E_SYSTEM, provoke_system, {"open files"}},
    {FASTALLOC_E_EXHAUSTED, provoke_exhausted, {"full", "1000/1000", "check_errors[", " 1000"}},
    {FASTALLOC_E_STALLED, provoke_stalled, {"stalled one", "/1000", "200 ms", "in caches"}},
    {FASTALLOC_E_STALE, provoke_stale, {"free", "handled", "slot ", "has generation"}},
    {FASTALLOC_E_DOUBLE_FREE, provoke_double_free, {"free", "handled", "slot ", "has generation"}},
    {FASTALLOC_E_HANDLE, provoke_handle, {"0xabcdeffff0", "handled", "65520", "1000"}},
    {FASTALLOC_E_SESSION, provoke_session, {"give", "handled", "200"}},
    {FASTALLOC_E_DESTROYED, provoke_destroyed, {"alloc", "gone"}},
    {FASTALLOC_E_BUSY, provoke_busy, {"close", "used"}},
    {FASTALLOC_E_CHANGED, provoke_changed, {"rooted", "0x1234", "0x99"}},
    {FASTALLOC_E_POISONED, provoke_poisoned, {"broken", "damaged"}},
    {FASTALLOC_E_NAMESPACE, provoke_namespace, {"here", "PID namespace"}},
    {FASTALLOC_E_GROWTH, provoke_growth, {"0.5"}},
    {FASTALLOC_E_MAX_CAPACITY, provoke_max_capacity, {"grown", "1200/1200", "maximum"}},
    {FASTALLOC_E_SHARING, provoke_sharing, {"not shared", "FASTALLOC_SHARING"}},
    {FASTALLOC_E_HOOK, provoke_hook, {"hooked", "on_acquire", "4711"}},
    {FASTALLOC_E_SEALED, provoke_sealed, {"shut", "3/1000", "fastalloc_pool_unseal()"}},
};

#define PROVOCATIONS ((int)(sizeof provocations / sizeof provocations[0]))

START_TEST(every_code_is_provoked_with_its_numbers)
{
    const struct provocation *provocation = &provocations[_i];
    size_t word;

    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(report, MAP_FAILED);
    report->error = 1;
    if (provocation->provoke() == UNPROVOKED) {
        fprintf(stderr, "NOT PROVOKED: %s: unshare() is not permitted here\n",
                fastalloc_error_name(provocation->code));
        return;
    }
    ck_assert_msg(report->error == provocation->code, "%s instead of %s: \"%s\"",
                  fastalloc_error_name(report->error), fastalloc_error_name(provocation->code),
                  report->text);
    for (word = 0; word < 4 && provocation->words[word]; word++)
        ck_assert_msg(strstr(report->text, provocation->words[word]), "%s: no \"%s\" in \"%s\"",
                      fastalloc_error_name(provocation->code), provocation->words[word],
                      report->text);
    if (provocation->code == FASTALLOC_E_PERMISSION)
        ck_assert_msg(strstr(report->text, geteuid() == 0 ? "65534" : connected_daemon.socket),
                      "\"%s\"", report->text);
    munmap(report, sizeof *report);
}
END_TEST

START_TEST(no_code_is_without_a_provocation_a_name_and_a_text)
{
    int code, i, times;

    for (code = 0; code >= FASTALLOC_E_LAST; code--) {
        for (times = i = 0; i < PROVOCATIONS; i++)
            times += provocations[i].code == code;
        ck_assert_msg(times == 1, "%s is provoked %d times", fastalloc_error_name(code), times);
        ck_assert_int_eq(strncmp(fastalloc_error_name(code), "FASTALLOC_", 10), 0);
        ck_assert_str_ne(fastalloc_strerror(code), fastalloc_strerror(1));
        for (i = 0; i > code; i--) {
            ck_assert_str_ne(fastalloc_strerror(i), fastalloc_strerror(code));
            ck_assert_str_ne(fastalloc_error_name(i), fastalloc_error_name(code));
        }
    }
    ck_assert_str_eq(fastalloc_error_name(FASTALLOC_E_LAST - 1), fastalloc_error_name(1));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {no_code_is_without_a_provocation_a_name_and_a_text, NULL};
    const struct connected_loop loops[] = {
        {every_code_is_provoked_with_its_numbers, PROVOCATIONS},
        {NULL, 0},
    };

    return connected_run("errors", tests, loops);
}
