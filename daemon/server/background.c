/* SPDX-License-Identifier: MIT
 *
 * background: fork, setsid, and a pipe that says when.
 */
#include "background.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Never returns. */
static void await_child(pid_t child, int pipe)
{
    ssize_t got;
    int status;
    char byte;

    while ((got = read(pipe, &byte, 1)) < 0 && errno == EINTR)
        ;
    if (got == 1)
        _exit(EXIT_SUCCESS);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    _exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

int background_begin(void)
{
    int ends[2];
    pid_t child;

    /* A daemon started by a library must not hold what its starter had open. */
    close_range(3, ~0u, 0);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    child = fork();
    if (child < 0) {
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    if (child > 0) {
        close(ends[1]);
        await_child(child, ends[0]);
    }
    close(ends[0]);
    setsid();
    return ends[1];
}

void background_ready(int descriptor, const char *socket)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), i;
    char byte = 0;

    log_use_syslog();
    if (*socket == '/' && chdir("/") < 0)
        log_warn("cannot leave the directory it was started in");
    if (null >= 0) {
        for (i = 0; i <= 2; i++)
            dup2(null, i);
        close(null);
    }
    while (write(descriptor, &byte, 1) < 0 && errno == EINTR)
        ;
    close(descriptor);
}
