/* SPDX-License-Identifier: MIT
 *
 * bench-scale: what the design does at 128 cores, 1,000 processes and 100 million slots, on paper
 * and by simulation, and how far the simulation is right here.  Prints Markdown.
 *
 *     bench-scale                everything but the large pool: under two minutes
 *     bench-scale --measure      the costs alone
 *     bench-scale --large        also 1,000 processes killed at once, and a pool of 100 million
 *                                slots (2 GiB), for real
 *     bench-scale --save FILE    writes the costs; --costs FILE takes them from there
 *     bench-scale --quick        shorter real runs
 *
 * `make bench-scale` runs it.
 */
#include "scale.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#define LARGE_SLOTS UINT64_C(100000000)
#define LARGE_MOST (UINT64_C(6) << 30)
#define SESSIONS 1000u
#define TRIES 5

/* ---------------------------------------------------------------- the machine */

static void describe_machine(void)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256], *model = NULL, day[32];
    time_t now = time(NULL);
    struct utsname name;

    while (file && !model && fgets(line, sizeof line, file))
        if (!strncmp(line, "model name", 10))
            model = strchr(line, ':');
    if (file)
        fclose(file);
    if (model)
        model[strcspn(model, "\n")] = '\0';
    uname(&name);
    strftime(day, sizeof day, "%Y-%m-%d", gmtime(&now));
    printf("%s, %u processors%s, Linux %s; `make bench-scale`.\n", day, scale_processors(),
           model ? model : "", name.release);
}

static void list_costs(const struct scale_costs *costs)
{
    int i;

    printf("\nCosts, median ns (what they are of: `tests/bench/scale.h`):");
    for (i = 0; i < SCALE_COSTS_END; i++)
        printf("%s %s %.4g", i ? "," : "", scale_cost_names[i], costs->of[i].median);
    printf(".\n");
}

static void print_costs(const struct scale_costs *costs)
{
    int i;

    printf("\n| cost | least | median | |\n|---|---|---|---|\n");
    for (i = 0; i < SCALE_COSTS_END; i++)
        printf("| %s | %.4g | %.4g %s | %s |\n", scale_cost_names[i], costs->of[i].min,
               costs->of[i].median, scale_cost_units[i], scale_cost_meanings[i]);
}

static void print_crowds(void)
{
    unsigned processes;

    printf("\nOne depot, processes that do nothing but exchange there and wait for its lock\n\n"
           "| processes | ns from one exchange to the next: least | median |\n|---|---|---|\n");
    for (processes = 1; processes <= 16; processes *= 2) {
        struct scale_value value = scale_measure_crowd(processes);

        printf("| %u | %.0f | %.0f |\n", processes, value.min, value.median);
    }
}

/* ---------------------------------------------------------------- together */

/* Whether a line takes about as long as it did. */
static bool is_steady(double before, double now)
{
    return fabs(now - before) <= 0.25 * before;
}

/* All costs, with lines that took as long in the end as in the beginning. */
static void measure(struct scale_costs *costs)
{
    double before;
    int tries = 0;

    do {
        before = scale_measure_line();
        scale_measure_calls(costs);
        scale_measure_together(costs);
    } while (!(is_steady(before, costs->of[SCALE_TRANSFER].median) &&
               is_steady(before, scale_measure_line())) &&
             ++tries < TRIES);
    scale_measure_alone(costs);
}

static void usage(void)
{
    fprintf(stderr, "Usage: bench-scale [--measure] [--large] [--quick] [--save FILE] "
                    "[--costs FILE]\n");
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"measure", no_argument, NULL, 'm'},     {"large", no_argument, NULL, 'l'},
        {"quick", no_argument, NULL, 'q'},       {"save", required_argument, NULL, 's'},
        {"costs", required_argument, NULL, 'c'}, {NULL, 0, NULL, 0}};
    const char *save = NULL, *from = NULL;
    bool only_measure = false, large = false, quick = false;
    struct scale_costs costs;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'm':
            only_measure = true;
            break;
        case 'l':
            large = true;
            break;
        case 'q':
            quick = true;
            break;
        case 's':
            save = optarg;
            break;
        case 'c':
            from = optarg;
            break;
        default:
            usage();
        }
    if (optind < argc)
        usage();
    describe_machine();
    if (from) {
        if (scale_costs_read(&costs, from))
            return EXIT_FAILURE;
    } else {
        measure(&costs);
    }
    if (save && scale_costs_write(&costs, save))
        return EXIT_FAILURE;
    if (only_measure) {
        print_costs(&costs);
        print_crowds();
        return EXIT_SUCCESS;
    }
    list_costs(&costs);
    scale_print_memory();
    scale_print_check(&costs, quick ? 0.05 : 0.3);
    scale_print_rates(&costs);
    scale_print_cores(&costs);
    scale_print_choices(&costs);
    scale_print_deaths(&costs);
    if (large) {
        scale_kill_many(&costs, SESSIONS, 1000000);
        if (scale_large(&costs, LARGE_SLOTS, SESSIONS, LARGE_MOST))
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
