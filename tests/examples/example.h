/* SPDX-License-Identifier: MIT
 *
 * example: what the examples have in common and none is about: ending at the first thing
 * that is not as it should be, child processes that do not outlive their parent, a line of
 * bars.
 */
#ifndef EXAMPLES_EXAMPLE_H
#define EXAMPLES_EXAMPLE_H

#include <fastalloc/fastalloc.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A call of the library's that has to succeed. */
#define ok(call) example_ok((call), #call)

/* What has to hold at this point. */
#define expect(condition) ((condition) ? (void)0 : example_fail(#condition, __FILE__, __LINE__))

static inline void example_ok(int error, const char *call)
{
    if (!error)
        return;
    fprintf(stderr, "%s: %s: %s\n", call, fastalloc_error_name(error), fastalloc_last_error());
    exit(1);
}

__attribute__((noreturn)) static inline void example_fail(const char *condition, const char *file,
                                                          int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
    exit(1);
}

/* fork(), for a child that is killed when its parent ends. */
static inline pid_t example_fork(void)
{
    pid_t parent = getpid(), child;

    fflush(stdout); /* or both would write it */
    child = fork();
    if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent))
        _exit(1); /* the parent ended before the line above */
    expect(child >= 0);
    return child;
}

/* Waits for a child that has to end well. */
static inline void example_join(pid_t child)
{
    int status = -1;

    expect(waitpid(child, &status, 0) == child);
    expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Kills a child as the system's out-of-memory killer would: it can do nothing about it. */
static inline void example_kill(pid_t child)
{
    int status = -1;

    expect(kill(child, SIGKILL) == 0);
    expect(waitpid(child, &status, 0) == child);
    expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Draws numbers from 0 to `most` as a line of bars. */
static inline void example_draw(const char *title, const size_t *numbers, size_t count, size_t most)
{
    static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    size_t i;

    printf("%s |", title);
    for (i = 0; i < count; i++)
        fputs(bars[(numbers[i] * 8 + most - 1) / most], stdout);
    printf("| of %zu\n", most);
}

/* A client of the daemon; of one of its own, which ends with its last client, where none
 * listens yet. */
static inline fastalloc_client *example_connect(void)
{
    fastalloc_connect_options options;
    fastalloc_client *client;

    fastalloc_connect_options_init(&options);
    options.autospawn = 1;
    ok(fastalloc_connect(&client, &options));
    return client;
}

#endif
