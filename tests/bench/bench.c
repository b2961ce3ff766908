/* SPDX-License-Identifier: MIT
 *
 * bench: measures the implementations against each other, prints a table, and writes
 * bench-results.json ($BENCH_RESULTS names another file).
 *
 *     bench                       measures; quicker with BENCH_QUICK=1
 *     bench deaths                only what a death costs
 *     bench IMPL WORKLOAD COUNT   runs one loop, untimed (for instructions.sh)
 *
 * Then what a death costs (deaths.h), not pinned.
 *
 * One thread on one processor.  Each repeat measures everything once, in turn, so that
 * a change of the clock or of the neighbours meets all alike; medians are compared.
 */
#include "deaths.h"
#include "implementations.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define REPEATS 9
#define REPEATS_QUICK 5
#define RUN_NS 150e6 /* of one loop */
#define RUN_QUICK_NS 50e6
#define COUNT_FIRST 10000u
#define DEATH_REPEATS 21

struct result {
    double ns[REPEATS]; /* per alloc and free, sorted in the end */
    double median;
    size_t count; /* of one loop */
};

static struct result results[IMPLEMENTATIONS][WORKLOADS];
static void *states[IMPLEMENTATIONS];
static double deaths[DEATHS][DEATH_REPEATS]; /* ms, sorted in the end */

/* --------------------------------------------------------------- measuring */

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double measure(int impl, int workload, size_t count)
{
    double began = now_ns();

    implementations[impl].run[workload](states[impl], count);
    return (now_ns() - began) / (double)count;
}

static cpu_set_t every;

/* Keeps to the processor it runs on, until unpin().  -1 where that is not allowed. */
static int pin(void)
{
    int cpu = sched_getcpu();
    cpu_set_t one;

    if (cpu < 0 || sched_getaffinity(0, sizeof every, &every))
        return -1;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof one, &one) ? -1 : cpu;
}

static void unpin(void)
{
    if (CPU_COUNT(&every))
        sched_setaffinity(0, sizeof every, &every);
}

static void show_progress(int done, int all)
{
    if (!isatty(2))
        return;
    if (done < all)
        fprintf(stderr, "\rbench: %d of %d", done, all);
    else
        fprintf(stderr, "\r%20s\r", "");
}

/* Warms everything up, and finds loops of about `run_ns`, of whole batches. */
static void calibrate(double run_ns)
{
    int impl, workload;

    for (impl = 0; impl < IMPLEMENTATIONS; impl++)
        for (workload = 0; workload < WORKLOADS; workload++) {
            struct result *result = &results[impl][workload];
            double ns = measure(impl, workload, COUNT_FIRST);

            ns = measure(impl, workload, (size_t)(run_ns / 4 / ns) / 100 * 100 + 100);
            result->count = (size_t)(run_ns / ns) / 100 * 100 + 100;
        }
}

static int compare(const void *left, const void *right)
{
    double l = *(const double *)left, r = *(const double *)right;

    return (l > r) - (l < r);
}

static void measure_all(int repeats)
{
    int repeat, impl, workload, done = 0, all = repeats * IMPLEMENTATIONS * WORKLOADS;

    for (repeat = 0; repeat < repeats; repeat++)
        for (workload = 0; workload < WORKLOADS; workload++)
            for (impl = 0; impl < IMPLEMENTATIONS; impl++) {
                struct result *result = &results[impl][workload];

                show_progress(done++, all);
                result->ns[repeat] = measure(impl, workload, result->count);
            }
    show_progress(all, all);
    for (impl = 0; impl < IMPLEMENTATIONS; impl++)
        for (workload = 0; workload < WORKLOADS; workload++) {
            struct result *result = &results[impl][workload];

            qsort(result->ns, (size_t)repeats, sizeof *result->ns, compare);
            result->median = result->ns[repeats / 2];
        }
}

static void measure_deaths(void)
{
    int death, repeat, done = 0;

    for (repeat = 0; repeat < DEATH_REPEATS; repeat++)
        for (death = 0; death < DEATHS; death++) {
            show_progress(done++, DEATHS * DEATH_REPEATS);
            deaths[death][repeat] = death_measure((enum death)death);
        }
    show_progress(done, done);
    for (death = 0; death < DEATHS; death++)
        qsort(deaths[death], DEATH_REPEATS, sizeof *deaths[death], compare);
    death_end();
}

/* --------------------------------------------------------------- reporting */

static double ratio(int impl, int workload)
{
    return results[impl][workload].median / results[IMPLEMENTATION_MALLOC][workload].median;
}

static void print_table(int repeats)
{
    int impl, workload;

    printf("%u-byte objects, one thread; ns per alloc and free: median (min-max), and its ratio "
           "to malloc's\n\n%-18s",
           BENCH_OBJECT_SIZE, "");
    for (workload = 0; workload < WORKLOADS; workload++)
        printf("  %-26s", workload_names[workload]);
    printf("  %s\n", "geometric mean");
    for (impl = 0; impl < IMPLEMENTATIONS; impl++) {
        double product = 1;

        printf("%-18s", implementations[impl].name);
        for (workload = 0; workload < WORKLOADS; workload++) {
            const struct result *result = &results[impl][workload];
            char range[32];

            snprintf(range, sizeof range, "(%.2f-%.2f)", result->ns[0], result->ns[repeats - 1]);
            printf("  %6.2f %-14s %4.2f", result->median, range, ratio(impl, workload));
            product *= ratio(impl, workload);
        }
        printf("   %14.2f\n", cbrt(product));
    }
}

static void print_deaths(void)
{
    int death;

    printf("\nms after a death: median (min-max)\n\n");
    for (death = 0; death < DEATHS; death++)
        printf("%-18s  %6.3f (%.3f-%.3f)  %s\n", death_names[death],
               deaths[death][DEATH_REPEATS / 2], deaths[death][0], deaths[death][DEATH_REPEATS - 1],
               death_texts[death]);
}

/* The rest of the first line of a file that begins with `key`, or "". */
static void read_line(const char *path, const char *key, char *value, size_t size)
{
    FILE *file = fopen(path, "re");
    char line[512];

    *value = '\0';
    while (file && !*value && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)))
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(value, size, "%s", line + strlen(key) + strspn(line + strlen(key), " \t:"));
    }
    if (file)
        fclose(file);
}

static json_t *describe_machine(int cpu)
{
    char model[256], governor[64], path[96];
    json_t *machine;
    struct utsname name;

    uname(&name);
    read_line("/proc/cpuinfo", "model name", model, sizeof model);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor",
             cpu < 0 ? 0 : cpu);
    read_line(path, "", governor, sizeof governor);
    machine = json_pack("{s:s, s:i, s:s, s:s, s:i}", "cpu", *model ? model : name.machine, "cores",
                        (int)sysconf(_SC_NPROCESSORS_ONLN), "kernel", name.release, "compiler",
#ifdef __clang__
                        __VERSION__,
#else
                        "gcc " __VERSION__,
#endif
                        "pinned_to", cpu);
    if (machine && *governor)
        json_object_set_new(machine, "governor", json_string(governor));
    return machine;
}

static void add_result(json_t *list, const char *impl, const char *workload, const char *unit,
                       double median, double min, double max, int repeats)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:i}", "impl", impl,
                                          "workload", workload, "unit", unit, "median", median,
                                          "min", min, "max", max, "repeats", repeats));
}

static int write_results(const char *path, int cpu, int repeats)
{
    json_t *root = json_object(), *list = json_array();
    int impl, workload, death, failed;

    for (impl = 0; impl < IMPLEMENTATIONS; impl++)
        for (workload = 0; workload < WORKLOADS; workload++) {
            const struct result *result = &results[impl][workload];

            add_result(list, implementations[impl].name, workload_names[workload], "ns",
                       result->median, result->ns[0], result->ns[repeats - 1], repeats);
        }
    for (death = 0; death < DEATHS; death++)
        add_result(list, "fastalloc", death_names[death], "ms", deaths[death][DEATH_REPEATS / 2],
                   deaths[death][0], deaths[death][DEATH_REPEATS - 1], DEATH_REPEATS);
    json_object_set_new(root, "machine", describe_machine(cpu));
    json_object_set_new(root, "results", list);
    failed = json_dump_file(root, path, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    json_decref(root);
    if (failed)
        fprintf(stderr, "bench: cannot write %s: %s\n", path, strerror(errno));
    return failed;
}

/* --------------------------------------------------------------- together */

static int run_one(char **arguments)
{
    char *end;
    unsigned long count = strtoul(arguments[2], &end, 10);
    int impl, workload;

    for (impl = 0; impl < IMPLEMENTATIONS; impl++)
        for (workload = 0; workload < WORKLOADS; workload++)
            if (!strcmp(arguments[0], implementations[impl].name) &&
                !strcmp(arguments[1], workload_names[workload]) && *end == '\0') {
                states[impl] = implementations[impl].start();
                implementations[impl].run[workload](states[impl], count);
                return EXIT_SUCCESS;
            }
    fprintf(stderr, "bench: no such implementation, workload or count: %s %s %s\n", arguments[0],
            arguments[1], arguments[2]);
    return 2;
}

int main(int argc, char **argv)
{
    const char *quick = getenv("BENCH_QUICK"), *path = getenv("BENCH_RESULTS");
    bool hurry = quick && *quick && strcmp(quick, "0") != 0;
    int repeats = hurry ? REPEATS_QUICK : REPEATS, cpu, impl;

    if (argc == 4)
        return run_one(argv + 1);
    if (argc == 2 && !strcmp(argv[1], "deaths")) {
        measure_deaths();
        print_deaths();
        return EXIT_SUCCESS;
    }
    if (argc != 1) {
        fprintf(stderr, "Usage: bench [deaths | IMPLEMENTATION WORKLOAD COUNT]\n");
        return 2;
    }
    cpu = pin();
    for (impl = 0; impl < IMPLEMENTATIONS; impl++)
        states[impl] = implementations[impl].start();
    calibrate(hurry ? RUN_QUICK_NS : RUN_NS);
    measure_all(repeats);
    print_table(repeats);
    unpin();
    measure_deaths();
    print_deaths();
    return write_results(path ? path : "bench-results.json", cpu, repeats) ? EXIT_FAILURE
                                                                           : EXIT_SUCCESS;
}
