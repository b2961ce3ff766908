/* SPDX-License-Identifier: MIT
 *
 * ctl: see ctl.h.
 */
#include "ctl.h"

#include "os/backing.h"

#include <check.h>
#include <dirent.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 32

/* ------------------------------------------------------- running fastallocctl */

struct test_daemon ctl_daemon;
struct ctl_result ctl_result;

static void read_back(int file, char *text, size_t size)
{
    ssize_t length = pread(file, text, size - 1, 0);

    ck_assert_int_ge(length, 0);
    ck_assert_uint_lt((size_t)length, size - 1);
    text[length] = '\0';
    close(file);
}

/* Runs it with stdout on `out`, or in ctl_result.out for -1; result gets the rest. */
void ctl_run_onto(int out, char *const *arguments)
{
    const char *program = getenv("FASTALLOCCTL");
    int kept = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC), status;
    pid_t pid;

    ck_assert_int_ge(kept, 0);
    ck_assert_int_ge(err, 0);
    pid = fork();
    if (pid == 0) {
        dup2(out < 0 ? kept : out, 1);
        dup2(err, 2);
        execv(program ? program : "daemon/fastallocctl", arguments);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ctl_result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    read_back(kept, ctl_result.out, sizeof ctl_result.out);
    read_back(err, ctl_result.err, sizeof ctl_result.err);
}

/* The arguments end with NULL. */
static void run_list(int out, const char *first, va_list more)
{
    const char *arguments[ARGUMENTS_MAX] = {"fastallocctl"};
    size_t count = 1;

    for (; first; first = va_arg(more, const char *)) {
        ck_assert_uint_lt(count, ARGUMENTS_MAX - 1);
        arguments[count++] = first;
    }
    ctl_run_onto(out, (char *const *)arguments);
}

/* Runs it with these arguments and returns the exit status. */
int ctl_run(const char *first, ...)
{
    va_list more;

    va_start(more, first);
    run_list(-1, first, more);
    va_end(more);
    return ctl_result.status;
}

/* As ctl_run(), requires the exit status, and returns the JSON (the caller's). */
json_t *ctl_json(int status, const char *first, ...)
{
    json_error_t error;
    json_t *value;
    va_list more;

    va_start(more, first);
    run_list(-1, first, more);
    va_end(more);
    ck_assert_msg(ctl_result.status == status, "status %d: %s", ctl_result.status, ctl_result.err);
    value = json_loads(ctl_result.out, 0, &error);
    ck_assert_msg(value != NULL, "no JSON: %s\n%s", error.text, ctl_result.out);
    return value;
}

const char *ctl_on_a_terminal(const char *first, ...)
{
    static char text[4097];
    struct winsize window = {.ws_row = 24, .ws_col = 80};
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), end;
    size_t used = 0;
    ssize_t length;
    va_list more;

    ck_assert_int_ge(terminal, 0);
    ck_assert(grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    end = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(end, 0);
    ck_assert_int_eq(ioctl(end, TIOCSWINSZ, &window), 0);
    va_start(more, first);
    run_list(end, first, more);
    va_end(more);
    ck_assert_msg(ctl_result.status == 0, "%s", ctl_result.err);
    close(end);
    while (used < sizeof text - 1 &&
           (length = read(terminal, text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)length;
    text[used] = '\0';
    close(terminal);
    return text;
}

void ctl_start(void)
{
    unsetenv("FASTALLOC_AUTOSPAWN");
    unsetenv("NO_COLOR");
    setenv("TERM", "xterm", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    test_daemon_start(&ctl_daemon, NULL);
    setenv("FASTALLOC_SOCKET", ctl_daemon.socket, 1);
}

void ctl_create(const char *name, const char *size, const char *capacity)
{
    ck_assert_msg(ctl_run("create", name, "--size", size, "--capacity", capacity, NULL) == 0, "%s",
                  ctl_result.err);
}

void ctl_stop(void)
{
    json_t *pools = ctl_json(0, "list", "--json", NULL), *pool;
    size_t i;

    json_array_foreach(pools, i, pool)
    {
        if (json_is_false(json_object_get(pool, "destroyed")))
            ctl_run("destroy", "--", json_string_value(json_object_get(pool, "name")), NULL);
    }
    json_decref(pools);
    ck_assert(test_daemon_segments_become(&ctl_daemon, 0));
    test_daemon_stop(&ctl_daemon);
}

json_int_t ctl_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    ck_assert_msg(json_is_integer(value), "\"%s\" is no number", key);
    return json_integer_value(value);
}

const char *ctl_string(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    ck_assert_msg(json_is_string(value), "\"%s\" is no string", key);
    return json_string_value(value);
}

void ctl_assert_has(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is not in:\n%s", part, text);
}

/* ------------------------------------------------------------- a pool's memory */

/* The only segment of the daemon, open for damaging. */
int ctl_open_segment(void)
{
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    char path[300];
    int file = -1;

    while ((entry = readdir(directory)))
        if (strncmp(entry->d_name, ctl_daemon.prefix, strlen(ctl_daemon.prefix)) == 0) {
            ck_assert_int_eq(file, -1);
            snprintf(path, sizeof path, "/dev/shm/%s", entry->d_name);
            file = open(path, O_RDWR | O_CLOEXEC);
        }
    closedir(directory);
    ck_assert_int_ge(file, 0);
    return file;
}

void ctl_map_segment(struct segment *segment, void **mapped, uint64_t *size)
{
    struct reason why;
    int file = ctl_open_segment();

    ck_assert_int_eq(backing_size(file, size, &why), 0);
    ck_assert_int_eq(backing_map(file, *size, true, NULL, 0, mapped, &why), 0);
    ck_assert_msg(segment_attach(segment, *mapped, *size, NULL, &why) == 0, "%s", why.text);
    close(file);
}

static void hold(int ready, int until, const char *name, size_t slots)
{
    fastalloc_handle handles[64];
    fastalloc_client *client;
    fastalloc_pool *pool;
    char byte = 0;

    if (fastalloc_connect(&client, NULL) || fastalloc_pool_open(client, name, NULL, &pool) ||
        fastalloc_alloc_batch(pool, slots, handles, NULL) || write(ready, &byte, 1) != 1)
        _exit(1);
    _exit(read(until, &byte, 1) != 1);
}

struct ctl_holder ctl_hold(const char *name, size_t slots)
{
    int ready[2], until[2];
    struct ctl_holder holder;
    char byte;

    ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(until, O_CLOEXEC), 0);
    holder.pid = fork();
    if (holder.pid == 0) {
        close(until[1]);
        hold(ready[1], until[0], name, slots);
    }
    close(ready[1]);
    close(until[0]);
    holder.pipe = until[1];
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return holder;
}

void ctl_let_go(struct ctl_holder *holder)
{
    int status;

    ck_assert_int_eq(write(holder->pipe, "", 1), 1);
    close(holder->pipe);
    ck_assert_int_eq(waitpid(holder->pid, &status, 0), holder->pid);
    ck_assert_int_eq(status, 0);
}
