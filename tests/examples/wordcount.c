/* SPDX-License-Identifier: MIT
 *
 * wordcount: counts the words of text with processes that share a pool, and loses
 * nothing when one of them is killed.  Uses the public API only.
 *
 * A reader (this process) cuts the files into blocks, each in a slot of the pool, and
 * sends their handles to workers (worker.h).  With --kill a worker is killed while blocks
 * are in its hands.  Its slots go back to the pool, the handles turn stale, and the reader
 * fills new blocks for another.
 *
 * All processes are forked before any connects; the one that replaces the killed
 * waits from the beginning and connects when its first batch arrives.
 */
#include "job.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CAPACITY 1024              /* of the pool */
#define VOLUME (UINT64_C(1) << 30) /* bytes to count; where the files have less, again and again */
#define DEADLINE_S 120             /* of the whole job */

struct job job = {.workers = 4, .descriptor = -1};

/* -------------------------------------------------------------------- ending */

static void end_workers(void)
{
    unsigned i;

    for (i = 0; i <= job.workers; i++)
        if (job.worker[i].pid > 0)
            kill(job.worker[i].pid, SIGKILL);
    for (i = 0; i <= job.workers; i++)
        if (job.worker[i].pid > 0)
            waitpid(job.worker[i].pid, NULL, 0);
}

static void clear_progress(void)
{
    if (isatty(1))
        fputs("\r\033[K", stdout);
}

void job_fail(const char *format, ...)
{
    char why[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    end_workers();
    fastalloc_disconnect(job.client);
    clear_progress();
    printf("demo: failed: %s\n", why);
    exit(1);
}

/* The workers see their sockets closed, and have asked to go with their parent. */
static void on_alarm(int number)
{
    static const char text[] = "\ndemo: failed: not done within its deadline\n";

    (void)number;
    if (write(1, text, sizeof text - 1) < 0)
        _exit(2);
    _exit(1);
}

/* ------------------------------------------------------------------ beginning */

static void fork_worker(unsigned number)
{
    struct worker *worker = &job.worker[number];
    pid_t parent = getpid();
    int ends[2];
    unsigned i;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        job_fail("cannot make a socket pair: %s", strerror(errno));
    worker->pid = worker->shown_pid = fork();
    if (worker->pid < 0)
        job_fail("cannot fork: %s", strerror(errno));
    if (worker->pid == 0) {
        alarm(0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        for (i = 0; i < number; i++)
            close(job.worker[i].socket);
        close(ends[0]);
        _exit(worker_live(ends[1], job.socket, job.pool_name));
    }
    close(ends[1]);
    worker->socket = ends[0];
    worker->fate = number < job.workers ? WORKING : WAITING;
}

/* ------------------------------------------------------------------- showing */

static void show_progress(void)
{
    static uint64_t next;
    uint64_t now = job_now_us();

    if (!isatty(1) || now < next)
        return;
    next = now + 100000;
    printf("\r  %3" PRIu64 " %%   %" PRIu64 " words   %" PRIu64 " slots in use \033[K",
           job.read * 100 / (job.text.bytes * job.repeat), job.words, job_in_use());
    fflush(stdout);
}

static void show_beginning(void)
{
    printf("text: %" PRIu64 " bytes in files: %zu, times: %" PRIu64 ", workers: %u\n",
           job.text.bytes, job.text.count, job.repeat, job.workers);
    fflush(stdout);
}

static const char *fate_of(unsigned number, char *text, size_t size)
{
    const struct worker *worker = &job.worker[number];

    if (worker->fate == KILLED)
        snprintf(text, size, "killed with %u blocks in its hands", worker->lost);
    else if (number == job.workers && job.victim)
        snprintf(text, size, "took over from worker %u", job.victim);
    else
        snprintf(text, size, "finished");
    return text;
}

static void show_table(uint64_t left)
{
    uint64_t blocks = 0;
    char fate[64];
    unsigned i;

    clear_progress();
    printf("\n%-8s %8s %9s %12s  %s\n", "worker", "pid", "blocks", "words", "fate");
    for (i = 0; i <= job.workers; i++) {
        const struct worker *worker = &job.worker[i];

        if (worker->fate == WAITING)
            continue;
        blocks += worker->blocks;
        printf("%-8u %8d %9" PRIu64 " %12" PRIu64 "  %s\n", i + 1, (int)worker->shown_pid,
               worker->blocks, worker->words, fate_of(i, fate, sizeof fate));
    }
    printf("%-8s %8s %9" PRIu64 " %12" PRIu64 "\n", "total", "", blocks, job.words);
    printf("%-8s %8s %9s %12" PRIu64 "  %s\n\n", "wc -w", "", "", job.expected,
           job.words == job.expected ? "the same" : "NOT THE SAME");
    if (job.victim)
        printf("reclaimed   %" PRIu64 " slots, %.1f ms after the kill (in use: %" PRIu64
               " before, %" PRIu64 " after)\n",
               job.in_use_before - job.in_use_after, (double)job.reclaim_us / 1000,
               job.in_use_before, job.in_use_after);
    printf("in use      %" PRIu64 " of %d slots\n", left, CAPACITY);
}

/* ---------------------------------------------------------------------- main */

void job_run(const char *command)
{
    int status;

    if (!command)
        return;
    clear_progress();
    fflush(stdout);
    status = system(command);
    if (status != 0)
        job_fail("\"%s\" ended with status 0x%x", command, status);
}

static void create_pool(void)
{
    fastalloc_connect_options options;
    fastalloc_pool_config config;

    fastalloc_connect_options_init(&options);
    options.socket = job.socket;
    fastalloc_pool_config_init(&config);
    config.name = job.pool_name;
    config.capacity = CAPACITY;
    if (fastalloc_connect(&job.client, &options) || blocks_create(job.client, &config, &job.pool))
        job_fail("%s", fastalloc_last_error());
}

/* The workers end when their sockets do. */
static void dismiss(void)
{
    int status;
    unsigned i;

    for (i = 0; i <= job.workers; i++) {
        struct worker *worker = &job.worker[i];

        if (worker->pid == 0)
            continue;
        close(worker->socket);
        if (waitpid(worker->pid, &status, 0) != worker->pid)
            status = -1;
        worker->pid = 0;
        if (status != 0)
            job_fail("worker %d ended with status 0x%x", (int)worker->shown_pid, status);
        if (worker->fate == WORKING)
            worker->fate = FINISHED;
    }
}

static void judge(uint64_t left)
{
    if (job.kill && !job.victim)
        job_fail("no worker was caught with blocks in its hands: give it more text");
    if (job.victim && job.in_use_before - job.in_use_after != job.worker[job.victim - 1].lost)
        job_fail("the killed worker had %u slots, but %" PRIu64 " came back",
                 job.worker[job.victim - 1].lost, job.in_use_before - job.in_use_after);
    if (left != 0)
        job_fail("%" PRIu64 " slots are in use at the end", left);
    if (job.words != job.expected)
        job_fail("%" PRIu64 " words counted, wc -w counts %" PRIu64, job.words, job.expected);
}

static void run(void)
{
    uint64_t left;
    unsigned i;

    if (job.repeat == 0)
        job.repeat = job.text.bytes < VOLUME ? VOLUME / job.text.bytes : 1;
    snprintf(job.pool_name, sizeof job.pool_name, "wordcount-%d", (int)getpid());
    setenv("WORDCOUNT_POOL", job.pool_name, 1);
    for (i = 0; i < job.workers + job.kill; i++)
        fork_worker(i);
    show_beginning();
    create_pool();
    job_count(show_progress);
    job.expected *= job.repeat;
    dismiss();
    left = job_in_use();
    show_table(left);
    judge(left);
    job_run(job.at_end);
}

static const char usage[] =
    "Usage: wordcount [OPTION]... [FILE]...\n"
    "Counts the words of files (default: the licence texts of the system) with processes\n"
    "that pass blocks of text in a pool of shared memory, and compares with wc -w.\n"
    "  --workers N    how many processes count (default: 4)\n"
    "  --kill         kill one of them with blocks in its hands, while they count\n"
    "  --repeat N     go over the text N times (default: enough for 64 MiB)\n"
    "  --socket PATH  of fastallocd\n"
    "  --at-kill, --at-end COMMAND\n"
    "                 run it when the worker about to be killed is stopped, and when all is\n"
    "                 counted; $WORDCOUNT_POOL is the pool\n";

static const struct option known[] = {
    {"workers", required_argument, NULL, 'w'}, {"kill", no_argument, NULL, 'k'},
    {"repeat", required_argument, NULL, 'r'},  {"at-kill", required_argument, NULL, 'K'},
    {"at-end", required_argument, NULL, 'E'},  {"socket", required_argument, NULL, 's'},
    {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
};

/* A number from the command line, or 0 for none between 1 and `most`. */
static unsigned long number_of(const char *text, unsigned long most)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    return *text >= '1' && *text <= '9' && !*end && number <= most ? number : 0;
}

static void parse(int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        bool right = true;

        switch (option) {
        case 'w':
            right = (job.workers = (unsigned)number_of(optarg, WORKERS_MAX)) > 0;
            break;
        case 'r':
            right = (job.repeat = number_of(optarg, 1000000)) > 0;
            break;
        case 'k':
            job.kill = true;
            break;
        case 'K':
            job.at_kill = optarg;
            break;
        case 'E':
            job.at_end = optarg;
            break;
        case 's':
            job.socket = optarg;
            break;
        default:
            right = false;
        }
        if (!right) {
            fputs(usage, option == 'h' ? stdout : stderr);
            exit(option == 'h' ? 0 : 2);
        }
    }
}

int main(int argc, char **argv)
{
    const char *wrong;

    parse(argc, argv);
    signal(SIGALRM, on_alarm);
    alarm(DEADLINE_S);
    wrong = text_gather(&job.text, argv + optind, argc - optind);
    if (!wrong)
        wrong = text_ask_wc(&job.text, &job.expected);
    if (wrong)
        job_fail("%s", wrong);
    run();
    if (job.descriptor >= 0)
        close(job.descriptor);
    text_release(&job.text);
    fastalloc_disconnect(job.client);
    puts("demo: ok");
    return fflush(stdout) ? 1 : 0;
}
