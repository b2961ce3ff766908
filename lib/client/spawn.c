/* SPDX-License-Identifier: MIT
 *
 * spawn: see spawn.h.
 */
#include "spawn.h"

#include <fastalloc/fastalloc.h>

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAEMON_EXIT_FAILURE 1 /* fastallocd(8): also when another listens already */

extern char **environ;

static int run(const char *program, const char *socket_path, pid_t *child)
{
    const char *arguments[] = {program, "--exit-when-idle", "--socket", socket_path, NULL};
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions), descriptor;

    if (error)
        return error;
    for (descriptor = 0; descriptor < 3 && !error; descriptor++)
        error = posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0);
    if (!error)
        error = posix_spawn(child, program, &actions, NULL, (char *const *)(uintptr_t)arguments,
                            environ);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

int spawn_daemon(const char *socket_path, struct reason *why)
{
    const char *program = secure_getenv("FASTALLOC_DAEMON");
    int error, status = 0;
    pid_t child, ended;

    if (!program || !program[0])
        program = FASTALLOC_BINDIR "/fastallocd";
    error = run(program, socket_path, &child);
    if (error)
        return reason_system(why, FASTALLOC_E_NO_DAEMON, error,
                             "no fastallocd listens on %s, and %s cannot be started (is it "
                             "installed? $FASTALLOC_DAEMON can name it)",
                             socket_path, program);
    /* It goes to the background by itself once it listens.  A program that
     * ignores SIGCHLD has no status to read; connecting will tell. */
    do
        ended = waitpid(child, &status, 0);
    while (ended < 0 && errno == EINTR);
    if (ended < 0 || (WIFEXITED(status) && WEXITSTATUS(status) <= DAEMON_EXIT_FAILURE))
        return 0;
    return reason_set(why, FASTALLOC_E_NO_DAEMON,
                      "%s did not start (status 0x%x): run it by hand with --foreground "
                      "--socket %s to see why",
                      program, status, socket_path);
}
