/* SPDX-License-Identifier: MIT
 *
 * daemon: starting, ending and looking behind a test's own fastallocd.
 */
#include "daemon.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define ARGUMENTS_MAX 24

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool test_eventually(bool (*condition)(void *argument), void *argument)
{
    long deadline = now_ms() + PATIENCE_MS;

    while (!condition(argument)) {
        if (now_ms() > deadline)
            return false;
        nap();
    }
    return true;
}

int test_descriptors(pid_t pid)
{
    char path[40];
    DIR *directory;
    int count = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", pid ? (int)pid : (int)getpid());
    directory = opendir(path);
    ck_assert_ptr_nonnull(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    /* "." and "..", and the one that looks, when it is in there. */
    return count - 2 - (pid == 0 || pid == getpid());
}

/* ------------------------------------------------------------------ running */

void test_daemon_prepare(struct test_daemon *daemon, const char *const *more)
{
    memset(daemon, 0, sizeof *daemon);
    daemon->descriptors = test_descriptors(0);
    daemon->more = more;
    strcpy(daemon->directory, "/tmp/fastalloc-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(daemon->directory));
    snprintf(daemon->socket, sizeof daemon->socket, "%s/socket", daemon->directory);
    snprintf(daemon->log, sizeof daemon->log, "%s/log", daemon->directory);
    snprintf(daemon->prefix, sizeof daemon->prefix, "fatest-%s",
             daemon->directory + strlen("/tmp/fastalloc-test-"));
}

static void become_daemon(const struct test_daemon *daemon)
{
    const char *program = getenv("FASTALLOCD");
    const char *arguments[ARGUMENTS_MAX] = {
        "fastallocd", "--foreground", "--socket",    daemon->socket,
        "--prefix",   daemon->prefix, "--log-level", "debug",
    };
    unsigned count = 8, i;
    int log = open(daemon->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

    if (!program)
        program = "daemon/fastallocd";
    for (i = 0; daemon->more && daemon->more[i] && count < ARGUMENTS_MAX - 1; i++)
        arguments[count++] = daemon->more[i];
    /* A test that dies takes its daemon along. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log, 2);
    dup2(open("/dev/null", O_RDWR), 0);
    dup2(0, 1);
    close_range(3, ~0u, 0);
    execv(program, (char *const *)arguments);
    dprintf(2, "cannot run %s: %s\n", program, strerror(errno));
    _exit(127);
}

static bool listens(const struct test_daemon *daemon)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool answer;

    strcpy(address.sun_path, daemon->socket);
    answer = connect(probe, (struct sockaddr *)&address, sizeof address) == 0;
    close(probe);
    return answer;
}

static void show_log(const struct test_daemon *daemon)
{
    char buffer[4096];
    ssize_t length;
    int log = open(daemon->log, O_RDONLY);

    while (log >= 0 && (length = read(log, buffer, sizeof buffer)) > 0)
        if (write(2, buffer, (size_t)length) < 0)
            break;
    if (log >= 0)
        close(log);
}

void test_daemon_run(struct test_daemon *daemon)
{
    long deadline = now_ms() + PATIENCE_MS;
    int status;

    ck_assert_int_eq(daemon->pid, 0);
    daemon->pid = fork();
    ck_assert_int_ge(daemon->pid, 0);
    if (daemon->pid == 0)
        become_daemon(daemon);
    while (!listens(daemon)) {
        if (waitpid(daemon->pid, &status, WNOHANG) == daemon->pid) {
            show_log(daemon);
            ck_abort_msg("the daemon ended with status 0x%x instead of listening", status);
        }
        if (now_ms() > deadline) {
            show_log(daemon);
            ck_abort_msg("the daemon does not listen");
        }
        nap();
    }
}

void test_daemon_start(struct test_daemon *daemon, const char *const *more)
{
    test_daemon_prepare(daemon, more);
    test_daemon_run(daemon);
}

/* ------------------------------------------------------------------- ending */

void test_daemon_kill(struct test_daemon *daemon)
{
    ck_assert_int_gt(daemon->pid, 0);
    kill(daemon->pid, SIGKILL);
    ck_assert_int_eq(waitpid(daemon->pid, NULL, 0), daemon->pid);
    daemon->pid = 0;
}

void test_daemon_wait(struct test_daemon *daemon)
{
    long deadline = now_ms() + PATIENCE_MS;
    pid_t ended;
    int status;

    ck_assert_int_gt(daemon->pid, 0);
    while ((ended = waitpid(daemon->pid, &status, WNOHANG)) == 0) {
        if (now_ms() > deadline) {
            show_log(daemon);
            ck_abort_msg("the daemon does not end");
        }
        nap();
    }
    if (ended != daemon->pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        show_log(daemon);
        ck_abort_msg("the daemon ended with status 0x%x", status);
    }
    daemon->pid = 0;
}

void test_daemon_end(struct test_daemon *daemon)
{
    ck_assert_int_gt(daemon->pid, 0);
    kill(daemon->pid, SIGTERM);
    test_daemon_wait(daemon);
}

/* -------------------------------------------------------------- looking round */

unsigned test_daemon_segments(const struct test_daemon *daemon)
{
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    unsigned count = 0;

    ck_assert_ptr_nonnull(directory);
    while ((entry = readdir(directory)))
        count += strncmp(entry->d_name, daemon->prefix, strlen(daemon->prefix)) == 0;
    closedir(directory);
    return count;
}

struct expected {
    const struct test_daemon *daemon;
    unsigned count;
};

static bool has_segments(void *argument)
{
    const struct expected *expected = argument;

    return test_daemon_segments(expected->daemon) == expected->count;
}

bool test_daemon_segments_become(const struct test_daemon *daemon, unsigned count)
{
    struct expected expected = {daemon, count};

    return test_eventually(has_segments, &expected);
}

bool test_daemon_logged(const struct test_daemon *daemon, const char *text)
{
    FILE *log = fopen(daemon->log, "re");
    char line[2048];
    bool found = false;

    while (log && !found && fgets(line, sizeof line, log))
        found = strstr(line, text) != NULL;
    if (log)
        fclose(log);
    return found;
}

/* The first process that names the daemon's directory in its arguments, or 0. */
static pid_t find_process(const struct test_daemon *daemon)
{
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    char path[300], line[4096];
    pid_t found = 0;
    ssize_t length;
    int file;

    ck_assert_ptr_nonnull(processes);
    while (!found && (entry = readdir(processes))) {
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        file = atoi(entry->d_name) > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (file < 0)
            continue;
        length = read(file, line, sizeof line);
        close(file);
        if (length > 0 &&
            memmem(line, (size_t)length, daemon->directory, strlen(daemon->directory)))
            found = atoi(entry->d_name);
    }
    closedir(processes);
    return found;
}

static void require_clean_directory(const struct test_daemon *daemon)
{
    DIR *directory = opendir(daemon->directory);
    struct dirent *entry;

    ck_assert_ptr_nonnull(directory);
    while ((entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
            strcmp(entry->d_name, "log"))
            ck_abort_msg("the daemon left %s/%s", daemon->directory, entry->d_name);
    closedir(directory);
}

void test_daemon_stop(struct test_daemon *daemon)
{
    if (daemon->pid)
        test_daemon_end(daemon);
    if (test_daemon_segments(daemon) > 0) {
        show_log(daemon);
        ck_abort_msg("%u segments %s-* are left in /dev/shm", test_daemon_segments(daemon),
                     daemon->prefix);
    }
    ck_assert_msg(find_process(daemon) == 0, "process %d is left", find_process(daemon));
    require_clean_directory(daemon);
    ck_assert_int_eq(test_descriptors(0), daemon->descriptors);
    unlink(daemon->log);
    ck_assert_int_eq(rmdir(daemon->directory), 0);
}
