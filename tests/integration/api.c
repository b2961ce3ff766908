/* SPDX-License-Identifier: MIT
 *
 * api: see api.h.
 */
#include "api.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000

/* --------------------------------------------------------------- requiring */

void api_require_failure(int got, int code, const char *call, const char *const *words)
{
    char text[1024];

    snprintf(text, sizeof text, "%s", fastalloc_last_error());
    ck_assert_msg(got == code, "%s returned %s, not %s; last error: \"%s\"", call,
                  fastalloc_error_name(got), fastalloc_error_name(code), text);
    for (; *words; words++)
        ck_assert_msg(strstr(text, *words), "%s: \"%s\" is not in \"%s\"", call, *words, text);
}

void api_require_ok(int got, const char *call)
{
    if (got != 0)
        ck_abort_msg("%s returned %s: %s", call, fastalloc_error_name(got), fastalloc_last_error());
}

/* ------------------------------------------------------------------- pools */

fastalloc_pool_config api_config(const char *name, size_t object_size, size_t capacity)
{
    fastalloc_pool_config config;

    fastalloc_pool_config_init(&config);
    config.name = name;
    config.object_size = object_size;
    config.capacity = capacity;
    return config;
}

fastalloc_pool *api_local(size_t object_size, size_t capacity)
{
    fastalloc_pool_config config = api_config(NULL, object_size, capacity);
    fastalloc_pool *pool = NULL;

    require_ok(fastalloc_pool_create_local(&config, &pool));
    return pool;
}

fastalloc_client *api_connect(const char *socket)
{
    fastalloc_connect_options options;
    fastalloc_client *client = NULL;

    fastalloc_connect_options_init(&options);
    options.socket = socket;
    options.autospawn = -1;
    require_ok(fastalloc_connect(&client, &options));
    return client;
}

fastalloc_pool_info api_info(fastalloc_pool *pool)
{
    fastalloc_pool_info info = {.struct_size = sizeof info};

    require_ok(fastalloc_pool_get_info(pool, &info));
    return info;
}

fastalloc_handle api_alloc(fastalloc_pool *pool)
{
    fastalloc_handle handle = FASTALLOC_NONE;

    require_ok(fastalloc_alloc(pool, &handle, NULL));
    return handle;
}

size_t api_fill(fastalloc_pool *pool, fastalloc_handle *handles, size_t most)
{
    fastalloc_handle handle;
    size_t count = 0;
    int error = 0;

    while (count < most && (error = fastalloc_alloc(pool, &handle, NULL)) == 0) {
        if (handles)
            handles[count] = handle;
        count++;
    }
    if (count < most)
        require_failure(error, FASTALLOC_E_EXHAUSTED, "exhausted");
    return count;
}

void api_free_all(fastalloc_pool *pool, const fastalloc_handle *handles, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        require_ok(fastalloc_free(pool, handles[i]));
}

void api_require_whole(fastalloc_pool *pool)
{
    fastalloc_pool_info info = api_info(pool);
    fastalloc_handle *handles = malloc((info.capacity + 1) * sizeof *handles);
    char *first = NULL;
    bool *seen = calloc(info.capacity, sizeof *seen);
    size_t count, i;

    ck_assert_uint_eq(info.allocated, 0);
    count = api_fill(pool, handles, info.capacity + 1);
    ck_assert_uint_eq(count, info.capacity);
    for (i = 0; i < count; i++) {
        char *object = fastalloc_get(pool, handles[i]);

        if (!first || object < first)
            first = object;
    }
    for (i = 0; i < count; i++) {
        size_t at = (size_t)((char *)fastalloc_get(pool, handles[i]) - first) / info.stride;

        if (at >= info.capacity || seen[at])
            ck_abort_msg("slot %zu of %zu was given out twice", at, info.capacity);
        seen[at] = true;
    }
    api_free_all(pool, handles, count);
    ck_assert_uint_eq(api_info(pool).allocated, 0);
    free(seen);
    free(handles);
}

static bool info_becomes(fastalloc_pool *pool, bool (*holds)(const fastalloc_pool_info *, size_t),
                         size_t wanted)
{
    int64_t deadline = api_now_us() + PATIENCE_MS * 1000;
    fastalloc_pool_info info = api_info(pool);

    while (!holds(&info, wanted)) {
        if (api_now_us() > deadline)
            return false;
        api_sleep_ms(1);
        info = api_info(pool);
    }
    return true;
}

static bool has_allocated(const fastalloc_pool_info *info, size_t wanted)
{
    return info->allocated == wanted;
}

static bool has_sessions(const fastalloc_pool_info *info, size_t wanted)
{
    return info->sessions == wanted;
}

bool api_allocated_becomes(fastalloc_pool *pool, size_t allocated)
{
    return info_becomes(pool, has_allocated, allocated);
}

bool api_sessions_become(fastalloc_pool *pool, uint32_t sessions)
{
    return info_becomes(pool, has_sessions, sessions);
}

/* -------------------------------------------------------------------- time */

int64_t api_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

void api_sleep_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

/* ---------------------------------------------------------------- children */

bool api_may_fork_beside_threads(void)
{
    const char *sanitizers = getenv("FASTALLOC_TEST_SANITIZERS");

    return !sanitizers || !*sanitizers;
}

void child_start(struct child *child, void (*run)(int channel, void *argument), void *argument)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    fflush(NULL);
    child->pid = fork();
    ck_assert_int_ge(child->pid, 0);
    if (child->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        run(ends[1], argument);
        _exit(0);
    }
    close(ends[1]);
    child->channel = ends[0];
}

void channel_put(int channel, uint64_t value)
{
    ssize_t sent = send(channel, &value, sizeof value, MSG_NOSIGNAL);

    ck_assert_int_eq(sent, sizeof value);
}

uint64_t channel_take(int channel)
{
    struct pollfd wait = {channel, POLLIN, 0};
    uint64_t value = 0;

    ck_assert_msg(poll(&wait, 1, PATIENCE_MS) == 1, "nothing comes over the channel");
    ck_assert_msg(recv(channel, &value, sizeof value, 0) == sizeof value,
                  "the other end of the channel is gone");
    return value;
}

void child_join(struct child *child)
{
    int64_t deadline = api_now_us() + PATIENCE_MS * 1000;
    int status;
    pid_t ended;

    while ((ended = waitpid(child->pid, &status, WNOHANG)) == 0 && api_now_us() < deadline)
        api_sleep_ms(1);
    ck_assert_msg(ended == child->pid, "child %d does not end", child->pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child ended with status 0x%x",
                  status);
    close(child->channel);
}

void child_kill(struct child *child)
{
    kill(child->pid, SIGKILL);
    ck_assert_int_eq(waitpid(child->pid, NULL, 0), child->pid);
    close(child->channel);
}

void child_check(bool condition, const char *what, const char *file, int line)
{
    if (condition)
        return;
    fprintf(stderr, "%s:%d: in the child: %s does not hold; last error: %s\n", file, line, what,
            fastalloc_last_error());
    _exit(1);
}

/* ----------------------------------------------------------------- running */

int api_run(const char *suite, const TTest *const *tests, void (*setup)(void),
            void (*teardown)(void), double timeout)
{
    Suite *made = suite_create(suite);
    TCase *all = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(all, setup, teardown);
    tcase_set_timeout(all, timeout);
    for (; *tests; tests++)
        tcase_add_test(all, *tests);
    suite_add_tcase(made, all);
    runner = srunner_create(made);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
