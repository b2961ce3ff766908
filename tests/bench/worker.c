/* SPDX-License-Identifier: MIT
 *
 * worker: see worker.h.
 */
#include "worker.h"

#include "suite.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static cpu_set_t everywhere;
static int processor = -1; /* of pinned workloads; -1: none in particular */

void bench_give_up(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

void bench_absent(const char *why)
{
    fprintf(stderr, "bench: %s\n", why);
    exit(WORKER_ABSENT);
}

double worker_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

pid_t worker_fork(void)
{
    pid_t parent = getpid(), child = fork();

    if (child < 0)
        bench_give_up("fork", strerror(errno));
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* It may have died before that. */
        if (getppid() != parent)
            _exit(EXIT_FAILURE);
    }
    return child;
}

/* To the one processor, or to all there were at the start. */
static void place(bool pinned)
{
    cpu_set_t set = everywhere;

    if (processor < 0)
        return;
    if (pinned) {
        CPU_ZERO(&set);
        CPU_SET(processor, &set);
    }
    if (sched_setaffinity(0, sizeof set, &set))
        bench_give_up("sched_setaffinity", strerror(errno));
}

static void answer(const struct bench_implementation *implementation, const char *name,
                   const char *number, FILE *answers)
{
    const struct workload *workload = suite_find(name);
    double figures[SUITE_FIGURES_MAX];
    char *end;
    unsigned long count = strtoul(number, &end, 10);
    int stored, i;

    if (!workload) {
        fprintf(answers, "error no workload is called \"%s\"\n", name);
        return;
    }
    if (end == number || *end) {
        fprintf(answers, "error no count: \"%s\"\n", number);
        return;
    }
    place(workload->pinned);
    stored = workload->measure(implementation, workload, count, figures);
    if (!stored || !count)
        fputs(stored ? "ok" : "none", answers);
    else
        for (i = 0; i < stored; i++)
            fprintf(answers, "%s%.9g", i ? " " : "", figures[i]);
    fputc('\n', answers);
}

/* What counts of instructions depend on; instructions.sh asks. */
static void print_build(void)
{
#if defined(__x86_64__)
    fputs("x86_64", stdout);
#elif defined(__aarch64__)
    fputs("aarch64", stdout);
#else
    fputs("other", stdout);
#endif
#ifdef __clang__
    printf("-clang-%d", __clang_major__);
#else
    printf("-gcc-%d", __GNUC__);
#endif
#ifdef __CET__
    fputs("-cet", stdout);
#endif
#if defined(__SSP__) || defined(__SSP_STRONG__) || defined(__SSP_ALL__)
    fputs("-ssp", stdout);
#endif
#ifndef __OPTIMIZE__
    fputs("-unoptimised", stdout);
#endif
    putchar('\n');
}

static void serve(const struct bench_implementation *implementation, FILE *answers)
{
    char line[128], name[64], number[32];

    while (fgets(line, sizeof line, stdin)) {
        if (!strcmp(line, "version\n"))
            fprintf(answers, "version %s\n", implementation->version());
        else if (sscanf(line, "%63s %31s", name, number) == 2)
            answer(implementation, name, number, answers);
        else
            fputs("error not understood\n", answers);
        fflush(answers);
    }
}

/* Answers have a descriptor of their own; whoever else writes to standard output writes to
 * standard error. */
static FILE *open_answers(void)
{
    int descriptor = dup(STDOUT_FILENO);
    FILE *answers = descriptor < 0 ? NULL : fdopen(descriptor, "w");

    if (!answers || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        bench_give_up("standard output", strerror(errno));
    return answers;
}

int worker_main(const struct bench_implementation *const implementations[], int argc, char **argv)
{
    const struct bench_implementation *const *one;
    int at = 1;

    if (argc > 2 && !strcmp(argv[1], "--cpu")) {
        processor = atoi(argv[2]);
        at = 3;
    }
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (one = implementations; *one; one++)
            puts((*one)->name);
        return EXIT_SUCCESS;
    }
    if (argc == 2 && !strcmp(argv[1], "--build")) {
        print_build();
        return EXIT_SUCCESS;
    }
    if (argc != at + 1 && argc != at + 3) {
        fprintf(stderr,
                "Usage: %s [--cpu N] IMPLEMENTATION [WORKLOAD COUNT]\n"
                "       %s --list | --build\n",
                argv[0], argv[0]);
        return 2;
    }
    for (one = implementations; *one && strcmp((*one)->name, argv[at]); one++)
        ;
    if (!*one) {
        fprintf(stderr, "%s: no implementation is called \"%s\"\n", argv[0], argv[at]);
        return 2;
    }
    if (sched_getaffinity(0, sizeof everywhere, &everywhere))
        processor = -1;
    if (argc == at + 1)
        serve(*one, open_answers());
    else
        answer(*one, argv[at + 1], argv[at + 2], stdout);
    return EXIT_SUCCESS;
}
