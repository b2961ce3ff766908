/* SPDX-License-Identifier: MIT
 *
 * check_ctl: fastallocctl against a real daemon and real pools: what it shows, to
 * people and to programs; that check finds damage; and what it makes of wrong command
 * lines.
 */
#include "os/backing.h"
#include "shm/layout.h"
#include "shm/slot.h"
#include "tests/support/daemon.h"
#include "tests/support/pool.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 24

/* ------------------------------------------------------- running fastallocctl */

struct result {
    int status; /* of exit; a signal's number is negative */
    char out[32768], err[4096];
};

static struct test_daemon fastallocd;
static struct result result;

static void read_back(int file, char *text, size_t size)
{
    ssize_t length = pread(file, text, size - 1, 0);

    ck_assert_int_ge(length, 0);
    ck_assert_uint_lt((size_t)length, size - 1);
    text[length] = '\0';
    close(file);
}

/* Runs it with stdout on `out`, or in result.out for -1; result gets the rest. */
static void run_onto(int out, char *const *arguments)
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
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    read_back(kept, result.out, sizeof result.out);
    read_back(err, result.err, sizeof result.err);
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
    run_onto(out, (char *const *)arguments);
}

/* Runs it with these arguments and returns the exit status. */
static int run(const char *first, ...)
{
    va_list more;

    va_start(more, first);
    run_list(-1, first, more);
    va_end(more);
    return result.status;
}

/* As run(), requires the exit status, and returns the JSON (the caller's). */
static json_t *run_json(int status, const char *first, ...)
{
    json_error_t error;
    json_t *value;
    va_list more;

    va_start(more, first);
    run_list(-1, first, more);
    va_end(more);
    ck_assert_msg(result.status == status, "status %d: %s", result.status, result.err);
    value = json_loads(result.out, 0, &error);
    ck_assert_msg(value != NULL, "no JSON: %s\n%s", error.text, result.out);
    return value;
}

static void start(void)
{
    unsetenv("FASTALLOC_AUTOSPAWN");
    unsetenv("NO_COLOR");
    setenv("TERM", "xterm", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    test_daemon_start(&fastallocd, NULL);
    setenv("FASTALLOC_SOCKET", fastallocd.socket, 1);
}

static void create(const char *name, const char *size, const char *capacity)
{
    ck_assert_msg(run("create", name, "--size", size, "--capacity", capacity, NULL) == 0, "%s",
                  result.err);
}

static void stop(void)
{
    json_t *pools = run_json(0, "list", "--json", NULL), *pool;
    size_t i;

    json_array_foreach(pools, i, pool)
    {
        if (json_is_false(json_object_get(pool, "destroyed")))
            run("destroy", "--", json_string_value(json_object_get(pool, "name")), NULL);
    }
    json_decref(pools);
    ck_assert(test_daemon_segments_become(&fastallocd, 0));
    test_daemon_stop(&fastallocd);
}

static json_int_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    ck_assert_msg(json_is_integer(value), "\"%s\" is no number", key);
    return json_integer_value(value);
}

static const char *string(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    ck_assert_msg(json_is_string(value), "\"%s\" is no string", key);
    return json_string_value(value);
}

static void assert_has(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is not in:\n%s", part, text);
}

/* ------------------------------------------------------------- a pool's memory */

/* The only segment of the daemon, open for damaging. */
static int open_segment(void)
{
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    char path[300];
    int file = -1;

    while ((entry = readdir(directory)))
        if (strncmp(entry->d_name, fastallocd.prefix, strlen(fastallocd.prefix)) == 0) {
            ck_assert_int_eq(file, -1);
            snprintf(path, sizeof path, "/dev/shm/%s", entry->d_name);
            file = open(path, O_RDWR | O_CLOEXEC);
        }
    closedir(directory);
    ck_assert_int_ge(file, 0);
    return file;
}

static void map_segment(struct segment *segment, void **mapped, uint64_t *size)
{
    struct reason why;
    int file = open_segment();

    ck_assert_int_eq(backing_size(file, size, &why), 0);
    ck_assert_int_eq(backing_map(file, *size, true, NULL, 0, mapped, &why), 0);
    ck_assert_msg(segment_attach(segment, *mapped, *size, NULL, &why) == 0, "%s", why.text);
    close(file);
}

/* A process that opens the pool and has `slots` of it until let go. */
struct holder {
    pid_t pid;
    int pipe;
};

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

static struct holder hold_slots(const char *name, size_t slots)
{
    int ready[2], until[2];
    struct holder holder;
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

static void let_go(struct holder *holder)
{
    int status;

    ck_assert_int_eq(write(holder->pipe, "", 1), 1);
    close(holder->pipe);
    ck_assert_int_eq(waitpid(holder->pid, &status, 0), holder->pid);
    ck_assert_int_eq(status, 0);
}

/* ------------------------------------------------------------------ list, create */

START_TEST(no_pools_is_a_friendly_line_and_an_empty_array)
{
    json_t *pools;

    start();
    ck_assert_int_eq(run("list", NULL), 0);
    ck_assert_str_eq(result.out, "no pools\n");
    ck_assert_int_eq(run("check", NULL), 0);
    ck_assert_str_eq(result.out, "no pools\n");
    pools = run_json(0, "check", "--json", NULL);
    ck_assert(json_is_array(pools) && json_array_size(pools) == 0);
    json_decref(pools);
    pools = run_json(0, "--json", "list", NULL);
    ck_assert(json_is_array(pools) && json_array_size(pools) == 0);
    json_decref(pools);
    stop();
}
END_TEST

START_TEST(a_created_pool_is_listed_for_people_and_for_programs)
{
    json_t *made, *pools, *pool;

    start();
    made = run_json(0, "create", "orders", "--size", "3K", "--capacity", "1000", "--alignment",
                    "64", "--type-name", "struct order", "--type-version", "7", "--mode", "0660",
                    "--max-threads", "9", "--max-sessions", "11", "--json", NULL);
    ck_assert_int_eq(number(made, "object_size"), 3072);
    ck_assert_int_eq(number(made, "alignment"), 64);
    ck_assert(json_is_true(json_object_get(made, "persistent")));
    json_decref(made);

    pools = run_json(0, "list", "--json", NULL);
    ck_assert_uint_eq(json_array_size(pools), 1);
    pool = json_array_get(pools, 0);
    ck_assert_str_eq(string(pool, "name"), "orders");
    ck_assert_str_eq(string(pool, "type_name"), "struct order");
    ck_assert_int_eq(number(pool, "type_version"), 7);
    ck_assert_int_eq(number(pool, "capacity"), 1000);
    ck_assert_int_eq(number(pool, "in_use"), 0);
    ck_assert_int_gt(number(pool, "bytes"), 3072 * 1000);
    json_decref(pools);

    ck_assert_int_eq(run("list", NULL), 0);
    assert_has(result.out, "NAME    TYPE           SIZE  CAPACITY  IN USE  SESSIONS   MEMORY  "
                           "LIFETIME\n"
                           "orders  struct order  3 KiB      1000       0         0  ");
    assert_has(result.out, " MiB  persistent\n");
    ck_assert_ptr_null(strchr(result.out, '\033'));

    ck_assert_int_eq(run("create", "orders", "--size", "8", "--capacity", "8", NULL), 1);
    assert_has(result.err, "orders");
    stop();
}
END_TEST

START_TEST(more_pools_than_a_page_holds_are_all_listed_by_name)
{
    char name[16];
    json_t *pools;
    int i;

    start();
    for (i = 29; i >= 0; i--) {
        snprintf(name, sizeof name, "pool-%02d", i);
        create(name, "8", "8");
    }
    pools = run_json(0, "list", "--json", NULL);
    ck_assert_uint_eq(json_array_size(pools), 30);
    for (i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "pool-%02d", i);
        ck_assert_str_eq(string(json_array_get(pools, (size_t)i), "name"), name);
    }
    json_decref(pools);
    stop();
}
END_TEST

START_TEST(a_pool_until_last_detach_goes_with_fastallocctl)
{
    start();
    ck_assert_int_eq(
        run("create", "short", "--size", "8", "--capacity", "8", "--until-last-detach", NULL), 0);
    assert_has(result.out, "it goes again now");
    ck_assert(test_daemon_segments_become(&fastallocd, 0));
    stop();
}
END_TEST

/* Runs `list` on a terminal 80 columns wide, and returns what that shows: static. */
static const char *list_on_a_terminal(void)
{
    static char text[4096];
    char *const arguments[] = {(char *)"fastallocctl", (char *)"list", NULL};
    struct winsize window = {.ws_row = 24, .ws_col = 80};
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), end;
    size_t used = 0;
    ssize_t length;

    ck_assert_int_ge(terminal, 0);
    ck_assert(grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    end = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(end, 0);
    ck_assert_int_eq(ioctl(end, TIOCSWINSZ, &window), 0);
    run_onto(end, arguments);
    ck_assert_int_eq(result.status, 0);
    close(end);
    while ((length = read(terminal, text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)length;
    text[used] = '\0';
    close(terminal);
    return text;
}

START_TEST(nothing_is_cut)
{
    char name[256];

    start();
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    create(name, "8", "8");
    setenv("COLUMNS", "40", 1);
    ck_assert_int_eq(run("list", NULL), 0);
    assert_has(result.out, name);
    ck_assert_int_eq(run("stat", name, NULL), 0);
    assert_has(result.out, name);
    assert_has(list_on_a_terminal(), name);
    stop();
}
END_TEST

START_TEST(names_reach_a_terminal_only_as_what_prints)
{
    static const char odd[] = "caf\xc3\xa9\xe2\x80\xae\\x";

    start();
    create(odd, "8", "8");
    ck_assert_int_eq(run("list", NULL), 0);
    assert_has(result.out, "caf\xc3\xa9\\xe2\\x80\\xae\\\\x ");
    setenv("LC_ALL", "C", 1);
    ck_assert_int_eq(run("list", NULL), 0);
    assert_has(result.out, "caf\\xc3\\xa9\\xe2\\x80\\xae\\\\x ");
    ck_assert_int_eq(run("list", "--json", NULL), 0);
    assert_has(result.out, "\"caf\\u00E9\\u202E\\\\x\"");
    ck_assert_int_eq(run("stat", "no\033such", NULL), 2);
    ck_assert_ptr_null(strchr(result.err, '\033'));
    stop();
}
END_TEST

START_TEST(only_terminals_that_want_it_get_colour)
{
    start();
    create("orders", "8", "8");
    ck_assert_ptr_nonnull(strchr(list_on_a_terminal(), '\033'));
    setenv("NO_COLOR", "1", 1);
    ck_assert_ptr_null(strchr(list_on_a_terminal(), '\033'));
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    ck_assert_ptr_null(strchr(list_on_a_terminal(), '\033'));
    stop();
}
END_TEST

/* -------------------------------------------------------------------------- stat */

START_TEST(stat_tells_the_slots_and_who_holds_most)
{
    struct holder few, many;
    json_t *stat, *slots, *sessions;

    start();
    create("orders", "64", "1000");
    few = hold_slots("orders", 3);
    many = hold_slots("orders", 50);

    stat = run_json(0, "stat", "orders", "--json", NULL);
    ck_assert_str_eq(string(stat, "state"), "live");
    ck_assert_str_eq(string(stat, "mode"), "0600");
    ck_assert_int_eq(number(stat, "capacity"), 1000);
    ck_assert_int_lt(number(stat, "metadata_bytes"), number(stat, "bytes"));
    slots = json_object_get(stat, "slots");
    ck_assert_int_eq(number(slots, "in_use"), 53);
    ck_assert_int_eq(number(slots, "in_use") + number(slots, "cached") + number(slots, "depots") +
                         number(slots, "returned") + number(slots, "never_used"),
                     1000);
    sessions = json_object_get(stat, "sessions");
    ck_assert_uint_eq(json_array_size(sessions), 2);
    ck_assert_int_eq(number(json_array_get(sessions, 0), "slots"), 50);
    ck_assert_int_eq(number(json_array_get(sessions, 0), "pid"), many.pid);
    ck_assert_int_eq(number(json_array_get(sessions, 0), "uid"), geteuid());
    ck_assert_int_eq(number(json_array_get(sessions, 1), "slots"), 3);
    ck_assert_int_eq(number(json_array_get(sessions, 1), "pid"), few.pid);
    json_decref(stat);

    ck_assert_int_eq(run("stat", "orders", NULL), 0);
    assert_has(result.out, "in use       53\n");
    ck_assert_int_eq(run("list", NULL), 0);
    assert_has(result.out, "      1000      53         2 ");
    let_go(&few);
    let_go(&many);
    stop();
}
END_TEST

START_TEST(stat_of_no_pool_fails)
{
    start();
    ck_assert_int_eq(run("stat", "orders", NULL), 1);
    assert_has(result.err, "orders");
    ck_assert_str_eq(result.out, "");
    stop();
}
END_TEST

/* ------------------------------------------------------------------------- check */

START_TEST(a_pool_at_work_is_clean)
{
    struct holder holder;
    json_t *pools, *pool;

    start();
    create("orders", "64", "1000");
    holder = hold_slots("orders", 12);
    ck_assert_int_eq(run("check", "orders", NULL), 0);
    ck_assert_str_eq(result.out, "orders: clean (1000 slots, 12 in use)\n");
    pools = run_json(0, "check", "--json", NULL);
    pool = json_array_get(pools, 0);
    ck_assert_str_eq(string(pool, "result"), "clean");
    ck_assert_int_eq(number(pool, "in_use"), 12);
    json_decref(pools);
    let_go(&holder);
    stop();
}
END_TEST

START_TEST(a_slot_of_nobody_is_found)
{
    struct segment segment;
    json_t *pools, *pool, *finding;
    uint64_t size;
    void *mapped;

    start();
    create("orders", "64", "1000");
    map_segment(&segment, &mapped, &size);
    /* In the hands of a session that never was. */
    segment.words[17] = slot_word(5, 9);
    backing_unmap(mapped, size);
    create("sound", "64", "1000");

    ck_assert_int_eq(run("check", NULL), 1);
    assert_has(result.out, "orders: slot of a dead owner: slot 17, ");
    assert_has(result.out, "sound: clean (1000 slots, 0 in use)\n");
    pools = run_json(1, "check", "--json", "orders", NULL);
    ck_assert_uint_eq(json_array_size(pools), 1);
    pool = json_array_get(pools, 0);
    ck_assert_str_eq(string(pool, "result"), "damaged");
    ck_assert_int_eq(number(pool, "anomalies"), 1);
    finding = json_array_get(json_object_get(pool, "findings"), 0);
    ck_assert_str_eq(string(finding, "kind"), "slot of a dead owner");
    ck_assert_int_eq(number(finding, "place"), 17);
    ck_assert_int_eq(run("check", "sound", NULL), 0);
    json_decref(pools);
    stop();
}
END_TEST

START_TEST(a_poisoned_pool_is_not_clean)
{
    struct segment segment;
    uint64_t size;
    void *mapped;

    start();
    create("orders", "64", "1000");
    map_segment(&segment, &mapped, &size);
    segment_set_state(&segment, POOL_POISONED);
    backing_unmap(mapped, size);
    ck_assert_int_eq(run("check", NULL), 1);
    assert_has(result.out, "orders: poisoned: ");
    stop();
}
END_TEST

/* Cut in the middle of what is looked at, and to nothing: a report, no SIGBUS. */
START_TEST(a_truncated_pool_is_reported)
{
    static const off_t left[] = {8192, 64, 0};
    int file;

    start();
    create("orders", "64", "100000");
    file = open_segment();
    ck_assert_int_eq(ftruncate(file, left[_i]), 0);
    ck_assert_int_eq(run("check", NULL), 1);
    assert_has(result.out, "orders: ");
    ck_assert_int_eq(run("stat", "orders", NULL), 1);
    assert_has(result.err, "orders");
    ck_assert_int_eq(run("list", NULL), 0);
    assert_has(result.out, "100000       -  ");
    close(file);
    stop();
}
END_TEST

/* Cut while check looks again and again at an anomaly: still a report. */
START_TEST(a_pool_truncated_while_it_is_checked_is_reported)
{
    struct segment segment;
    uint64_t size;
    void *mapped;
    pid_t cutter;
    int file;

    start();
    create("orders", "64", "100000");
    map_segment(&segment, &mapped, &size);
    segment.words[17] = slot_word(5, 9);
    backing_unmap(mapped, size);
    file = open_segment();
    cutter = fork();
    if (cutter == 0) {
        usleep(500000);
        _exit(ftruncate(file, 8192) != 0);
    }
    ck_assert_int_eq(run("check", NULL), 1);
    assert_has(result.out, "was truncated by one of its users");
    ck_assert_int_eq(waitpid(cutter, NULL, 0), cutter);
    close(file);
    stop();
}
END_TEST

START_TEST(the_memory_of_another_pool_is_refused)
{
    struct segment segment;
    uint64_t size;
    void *mapped;

    start();
    create("orders", "64", "100");
    map_segment(&segment, &mapped, &size);
    segment.header->pool_id++;
    ck_assert_int_eq(run("stat", "orders", NULL), 1);
    ck_assert_int_eq(run("check", NULL), 1);
    segment.header->pool_id--;
    ck_assert_int_eq(run("check", NULL), 0);
    backing_unmap(mapped, size);
    stop();
}
END_TEST

/* Each header byte overwritten: an answer, whatever it is. */
START_TEST(a_garbled_header_ends_in_an_answer)
{
    struct segment segment;
    uint64_t size, at;
    void *mapped;

    start();
    create("orders", "64", "100");
    map_segment(&segment, &mapped, &size);
    for (at = 0; at < 256; at += 8) {
        unsigned char before = ((unsigned char *)mapped)[at];

        ((unsigned char *)mapped)[at] = (unsigned char)~before;
        run("stat", "orders", NULL);
        ck_assert_msg(result.status == 0 || result.status == 1, "byte %d: %d", (int)at,
                      result.status);
        ((unsigned char *)mapped)[at] = before;
    }
    backing_unmap(mapped, size);
    stop();
}
END_TEST

/* ----------------------------------------------------------------------- destroy */

START_TEST(destroy_goes_on_after_a_failure)
{
    json_t *pools;

    start();
    create("a", "8", "8");
    create("b", "8", "8");
    pools = run_json(1, "destroy", "a", "missing", "b", "--json", NULL);
    ck_assert(json_is_true(json_object_get(json_array_get(pools, 0), "destroyed")));
    ck_assert(json_is_false(json_object_get(json_array_get(pools, 1), "destroyed")));
    ck_assert(json_is_true(json_object_get(json_array_get(pools, 2), "destroyed")));
    assert_has(result.err, "missing");
    json_decref(pools);
    ck_assert(test_daemon_segments_become(&fastallocd, 0));
    stop();
}
END_TEST

START_TEST(a_destroyed_pool_in_use_is_listed_and_not_checked)
{
    struct holder holder;

    start();
    create("orders", "64", "1000");
    holder = hold_slots("orders", 5);
    ck_assert_int_eq(run("destroy", "orders", NULL), 0);
    ck_assert_str_eq(result.out, "orders: destroyed\n");
    ck_assert_int_eq(run("list", NULL), 0);
    assert_has(result.out, "destroyed\n");
    ck_assert_int_eq(run("check", NULL), 0);
    create("orders", "128", "10");
    let_go(&holder);
    stop();
}
END_TEST

/* ------------------------------------------------------------------ command lines */

struct line {
    const char *arguments[6];
    const char *says;
};

static const struct line wrong_lines[] = {
    {{NULL}, "a command is missing"},
    {{"explode"}, "there is no command \"explode\""},
    {{"list", "--explode"}, "--explode"},
    {{"list", "orders"}, "\"orders\" is one argument too many"},
    {{"list", "--size", "4"}, "--size is an option of create, not of list"},
    {{"stat"}, "which pool?"},
    {{"stat", "a", "b"}, "\"b\" is one argument too many"},
    {{"stat", "a/b"}, "\"/\" at byte 1"},
    {{"stat", ""}, "name"},
    {{"destroy"}, "which pool?"},
    {{"create", "a"}, "--size is missing"},
    {{"create", "a", "--size", "8"}, "--capacity is missing"},
    {{"create", "a", "--size", "eight"}, "--size \"eight\""},
    {{"create", "a", "--size", "-8"}, "--size \"-8\""},
    {{"create", "a", "--size", "99999999999999999999"}, "--size \"99999999999999999999\""},
    {{"create", "a", "--capacity", "1M"}, "--capacity \"1M\""},
    {{"create", "a", "--mode", "0899"}, "--mode \"0899\""},
    {{"--socket"}, "socket"},
};

START_TEST(a_wrong_command_line_says_what_is_wrong)
{
    const struct line *line = &wrong_lines[_i];
    const char *arguments[8] = {"fastallocctl"};

    memcpy(arguments + 1, line->arguments, sizeof line->arguments);
    setenv("FASTALLOC_SOCKET", "/nowhere", 1);
    run_onto(-1, (char *const *)arguments);
    ck_assert_msg(result.status == 2, "status %d: %s", result.status, result.err);
    assert_has(result.err, line->says);
    ck_assert_str_eq(result.out, "");
}
END_TEST

START_TEST(options_may_stand_before_and_after_the_command)
{
    start();
    setenv("FASTALLOC_SOCKET", "/nowhere", 1);
    ck_assert_int_eq(run("--socket", fastallocd.socket, "--json", "list", NULL), 0);
    ck_assert_int_eq(run("list", "-j", "-s", fastallocd.socket, NULL), 0);
    ck_assert_str_eq(result.out, "[]\n");
    setenv("FASTALLOC_SOCKET", fastallocd.socket, 1);
    stop();
}
END_TEST

START_TEST(help_and_version_need_no_daemon)
{
    setenv("FASTALLOC_SOCKET", "/nowhere", 1);
    ck_assert_int_eq(run("--help", NULL), 0);
    assert_has(result.out, "Usage: fastallocctl");
    ck_assert_int_eq(run("create", "--help", NULL), 0);
    ck_assert_int_eq(run("--version", NULL), 0);
    assert_has(result.out, "fastallocctl ");
}
END_TEST

START_TEST(without_a_daemon_it_says_so_and_starts_none)
{
    char path[] = "/tmp/fastalloc-ctl-XXXXXX", socket[64];

    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(socket, sizeof socket, "%s/socket", path);
    setenv("FASTALLOC_AUTOSPAWN", "1", 1);
    if (getenv("FASTALLOCD"))
        setenv("FASTALLOC_DAEMON", getenv("FASTALLOCD"), 1);
    ck_assert_int_eq(run("--socket", socket, "list", NULL), 1);
    unsetenv("FASTALLOC_AUTOSPAWN");
    assert_has(result.err, socket);
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

START_TEST(output_that_cannot_be_written_is_a_failure)
{
    char *const arguments[] = {(char *)"fastallocctl", (char *)"list", NULL};
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    start();
    run_onto(full, arguments);
    ck_assert_int_eq(result.status, 1);
    assert_has(result.err, "cannot write");
    stop();
    close(full);
}
END_TEST

/* -------------------------------------------------------------------------- main */

int main(void)
{
    const TTest *const tests[] = {
        no_pools_is_a_friendly_line_and_an_empty_array,
        a_created_pool_is_listed_for_people_and_for_programs,
        more_pools_than_a_page_holds_are_all_listed_by_name,
        a_pool_until_last_detach_goes_with_fastallocctl,
        nothing_is_cut,
        names_reach_a_terminal_only_as_what_prints,
        only_terminals_that_want_it_get_colour,
        stat_tells_the_slots_and_who_holds_most,
        stat_of_no_pool_fails,
        a_pool_at_work_is_clean,
        a_slot_of_nobody_is_found,
        a_poisoned_pool_is_not_clean,
        a_pool_truncated_while_it_is_checked_is_reported,
        the_memory_of_another_pool_is_refused,
        a_garbled_header_ends_in_an_answer,
        destroy_goes_on_after_a_failure,
        a_destroyed_pool_in_use_is_listed_and_not_checked,
        options_may_stand_before_and_after_the_command,
        help_and_version_need_no_daemon,
        without_a_daemon_it_says_so_and_starts_none,
        output_that_cannot_be_written_is_a_failure,
    };
    Suite *suite = TEST_SUITE("ctl", tests, 30);
    TCase *loops = tcase_create("each of");

    tcase_set_timeout(loops, 30);
    tcase_add_loop_test(loops, a_truncated_pool_is_reported, 0, 3);
    tcase_add_loop_test(loops, a_wrong_command_line_says_what_is_wrong, 0,
                        (int)(sizeof wrong_lines / sizeof *wrong_lines));
    suite_add_tcase(suite, loops);
    return test_run(suite);
}
