/* SPDX-License-Identifier: MIT
 *
 * remote: see remote.h.
 */
#include "remote.h"

#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define END_MS 5000    /* for a worker to end by itself */
#define NOISE_MAX 2048 /* of what it wrote to standard error is looked at */

__attribute__((format(printf, 2, 3))) static void say(struct remote *remote, const char *format,
                                                      ...)
{
    va_list arguments;
    char *at;

    va_start(arguments, format);
    vsnprintf(remote->why, sizeof remote->why, format, arguments);
    va_end(arguments);
    /* Somebody else's words, which JSON has to hold. */
    for (at = remote->why; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
}

/* The file beside our own program; "" where that cannot be told. */
static void find_program(const char *name, char path[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    char *slash;

    path[length > 0 ? length : 0] = '\0';
    slash = strrchr(path, '/');
    if (!slash || (size_t)(slash + 1 - path) + strlen(name) >= PATH_MAX)
        *path = '\0';
    else
        strcpy(slash + 1, name);
}

/* In the child. */
__attribute__((noreturn)) static void become(const struct remote *remote, const char *path,
                                             int questions, int answers, pid_t parent, int cpu)
{
    char number[16], daemon_path[PATH_MAX];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    signal(SIGPIPE, SIG_DFL);
    /* What a terminal sends to all of us is answered by the parent, which lets us end in order. */
    signal(SIGINT, SIG_IGN);
    find_program("../../daemon/fastallocd", daemon_path);
    if (!access(daemon_path, X_OK))
        setenv("FASTALLOC_DAEMON", daemon_path, 0);
    if (remote->contender->library)
        setenv("LD_PRELOAD", remote->contender->library, 1);
    snprintf(number, sizeof number, "%d", cpu);
    if (dup2(remote->noise, STDERR_FILENO) >= 0 && dup2(questions, STDIN_FILENO) >= 0 &&
        dup2(answers, STDOUT_FILENO) >= 0) {
        if (cpu < 0)
            execl(path, path, remote->contender->name, (char *)NULL);
        else
            execl(path, path, "--cpu", number, remote->contender->name, (char *)NULL);
    }
    dprintf(STDERR_FILENO, "%s: %s", path, strerror(errno));
    _exit(EXIT_FAILURE);
}

enum remote_answer remote_start(struct remote *remote, const struct contender *contender, int cpu)
{
    int questions[2], answers[2];
    pid_t parent = getpid();
    char path[PATH_MAX];

    *remote = (struct remote){.contender = contender};
    find_program(contender->worker, path);
    if (access(path, X_OK)) {
        say(remote, "%s was not built: %s was not found by configure", contender->worker,
            contender->package ? contender->package : "what it needs");
        return contender->package ? REMOTE_ABSENT : REMOTE_FAILED;
    }
    if (pipe2(questions, O_CLOEXEC))
        goto failed;
    if (pipe2(answers, O_CLOEXEC))
        goto failed_answers;
    remote->noise = memfd_create("bench-noise", MFD_CLOEXEC);
    if (remote->noise < 0)
        goto failed_noise;
    remote->pid = fork();
    if (remote->pid < 0)
        goto failed_fork;
    if (remote->pid == 0)
        become(remote, path, questions[0], answers[1], parent, cpu);
    close(questions[0]);
    close(answers[1]);
    remote->to = questions[1];
    remote->from = answers[0];
    return REMOTE_TEXT;

failed_fork:
    close(remote->noise);
failed_noise:
    close(answers[0]);
    close(answers[1]);
failed_answers:
    close(questions[0]);
    close(questions[1]);
failed:
    say(remote, "its worker cannot be started: %s", strerror(errno));
    remote->pid = 0;
    return REMOTE_FAILED;
}

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void close_all(struct remote *remote)
{
    close(remote->to);
    close(remote->from);
    close(remote->noise);
    remote->pid = 0;
}

/* The last line that it wrote to standard error, or "". */
static void last_words(const struct remote *remote, char *text, size_t size)
{
    off_t end = lseek(remote->noise, 0, SEEK_END);
    char tail[NOISE_MAX], *line;
    ssize_t length =
        pread(remote->noise, tail, sizeof tail - 1, end < NOISE_MAX ? 0 : end - NOISE_MAX + 1);

    while (length > 0 && tail[length - 1] == '\n')
        length--;
    tail[length > 0 ? length : 0] = '\0';
    line = strrchr(tail, '\n');
    line = line ? line + 1 : tail;
    if (!strncmp(line, "bench: ", 7))
        line += 7;
    snprintf(text, size, "%.*s", (int)size - 1, line);
}

/* It has closed its end: how did it go? */
static enum remote_answer bury(struct remote *remote, const char *question)
{
    enum remote_answer answer = REMOTE_FAILED;
    char words[REMOTE_TEXT_MAX - 96];
    int status;

    while (waitpid(remote->pid, &status, 0) < 0 && errno == EINTR)
        ;
    last_words(remote, words, sizeof words);
    if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_ABSENT) {
        answer = REMOTE_ABSENT;
        say(remote, "%s", words);
    } else if (WIFEXITED(status))
        say(remote, "its worker ended with status %d when asked for \"%s\"%s%s",
            WEXITSTATUS(status), question, *words ? ": " : "", words);
    else
        say(remote, "its worker was killed by signal %d (%s) when asked for \"%s\"%s%s",
            WTERMSIG(status), strsignal(WTERMSIG(status)), question, *words ? ": " : "", words);
    close_all(remote);
    return answer;
}

enum remote_answer remote_ask(struct remote *remote, const char *question, int timeout_ms,
                              char answer[REMOTE_TEXT_MAX])
{
    double deadline = now_ms() + timeout_ms;
    size_t length = 0;

    if (dprintf(remote->to, "%s\n", question) < 0)
        return bury(remote, question);
    for (;;) {
        struct pollfd wait = {.fd = remote->from, .events = POLLIN};
        double left = deadline - now_ms();
        ssize_t got;

        if (left <= 0 || length == REMOTE_TEXT_MAX - 1) {
            remote_stop(remote);
            say(remote, "its worker did not answer \"%s\" within %d s and was killed", question,
                timeout_ms / 1000);
            return REMOTE_FAILED;
        }
        if (poll(&wait, 1, (int)left + 1) <= 0)
            continue;
        got = read(remote->from, answer + length, REMOTE_TEXT_MAX - 1 - length);
        if (got <= 0)
            return bury(remote, question);
        length += (size_t)got;
        if (answer[length - 1] == '\n')
            break;
    }
    answer[length - 1] = '\0';
    if (!strcmp(answer, "none"))
        return REMOTE_NONE;
    if (strncmp(answer, "error ", 6) != 0)
        return REMOTE_TEXT;
    say(remote, "%s", answer + 6);
    return REMOTE_FAILED;
}

void remote_stop(struct remote *remote)
{
    const struct timespec pause = {0, 2000000};
    double deadline = now_ms() + END_MS;

    if (!remote->pid)
        return;
    /* It reads the end of its standard input. */
    close(remote->to);
    remote->to = -1;
    while (waitpid(remote->pid, NULL, WNOHANG) == 0) {
        if (now_ms() > deadline) {
            kill(remote->pid, SIGKILL);
            waitpid(remote->pid, NULL, 0);
            break;
        }
        nanosleep(&pause, NULL);
    }
    close_all(remote);
}
