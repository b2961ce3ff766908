/* SPDX-License-Identifier: MIT
 *
 * bench: measures fastalloc and its peers against each other, prints tables, and writes
 * bench-results.json.
 *
 * Each implementation runs in a worker process of its own (worker.h); what is measured is the
 * suite's (suite.h), how is run's (run.h).
 */
#include "goals.h"
#include "machine.h"
#include "results.h"
#include "roster.h"
#include "run.h"
#include "table.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPEATS 9
#define REPEATS_QUICK 5
#define REPEATS_MAX 999
#define TIMEOUT_S 90
#define INTERRUPTED 130
#define BUSY 0.7 /* a load that is not ours */

struct options {
    struct run_options run;
    const char *path, *counts;
};

static void print_help(FILE *out)
{
    fputs(
        "Usage: bench [OPTION]...\n"
        "Measures fastalloc and its peers, each in turn, prints tables of the medians, and\n"
        "writes them to a file.  What is not installed is left out.\n"
        "\n"
        "  -o, --only PATTERN[,...]   only these workloads, or groups\n"
        "  -i, --impl PATTERN[,...]   only these implementations\n"
        "  -q, --quick                less of everything (also: BENCH_QUICK=1)\n"
        "  -r, --repeats N            how often each is measured (9; quick: 5)\n"
        "  -b, --brief                each once, as short as it goes: only to see that it works\n"
        "  -t, --timeout SECONDS      how long one measurement may take at most (90)\n"
        "  -c, --cpu N                the processor of single threads (the last there is)\n"
        "  -w, --write FILE           instead of bench-results.json (also: BENCH_RESULTS)\n"
        "  -n, --counts FILE          shows these counts of instructions too: see instructions.sh\n"
        "  -l, --list                 shows what can be measured\n"
        "  -h, --help                 shows this\n"
        "\n"
        "Patterns are those of file names: \"pair*\", \"fastalloc-*\".\n"
        "Exits with status 0, or 1 when something that should have been measured failed.\n",
        out);
}

static void print_lists(void)
{
    const struct contender *contender;
    const struct workload *workload;
    size_t i;

    puts("workloads (* in a quick run too):");
    for (i = 0; (workload = suite_at(i)); i++) {
        if (i == 0 || strcmp(suite_at(i - 1)->group, workload->group) != 0)
            printf("\n  %s\n", workload->group);
        printf("  %c %-22s %-9s %s\n", workload->quick ? '*' : ' ', workload->name, workload->unit,
               workload->meaning);
    }
    puts("\nimplementations:\n");
    for (i = 0; (contender = roster_at(i)); i++)
        printf("    %-22s %s%s\n", contender->name, contender->package ? "needs " : "",
               contender->package ? contender->package : "");
}

/* A number of an option; ends the program where it is none. */
static int number_of(const char *option, const char *text, int least, int most)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (end == text || *end || number < least || number > most) {
        fprintf(stderr, "bench: --%s takes a number from %d to %d, not \"%s\"\n", option, least,
                most, text);
        exit(2);
    }
    return (int)number;
}

/* A pattern that nothing answers to is a mistake. */
static void check_selection(const struct options *options)
{
    size_t i;

    for (i = 0; suite_at(i) && !run_wants_workload(&options->run, suite_at(i)); i++)
        ;
    if (!suite_at(i)) {
        fprintf(stderr, "bench: no workload is called \"%s\": see bench --list\n",
                options->run.workloads);
        exit(2);
    }
    for (i = 0; roster_at(i) && !run_wants_implementation(&options->run, roster_at(i)->name); i++)
        ;
    if (!roster_at(i)) {
        fprintf(stderr, "bench: no implementation is called \"%s\": see bench --list\n",
                options->run.implementations);
        exit(2);
    }
}

static void read_options(struct options *options, int argc, char **argv)
{
    static const struct option longs[] = {
        {"only", required_argument, NULL, 'o'},   {"impl", required_argument, NULL, 'i'},
        {"quick", no_argument, NULL, 'q'},        {"repeats", required_argument, NULL, 'r'},
        {"brief", no_argument, NULL, 'b'},        {"timeout", required_argument, NULL, 't'},
        {"cpu", required_argument, NULL, 'c'},    {"write", required_argument, NULL, 'w'},
        {"counts", required_argument, NULL, 'n'}, {"list", no_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    const char *quick = getenv("BENCH_QUICK"), *path = getenv("BENCH_RESULTS");
    int option;

    *options = (struct options){.path = path && *path ? path : "bench-results.json"};
    options->run.quick = quick && *quick && strcmp(quick, "0") != 0;
    options->run.cpu = machine_processor();
    options->run.timeout_s = TIMEOUT_S;
    while ((option = getopt_long(argc, argv, "o:i:qr:bt:c:w:n:lh", longs, NULL)) != -1)
        switch (option) {
        case 'o':
            options->run.workloads = optarg;
            break;
        case 'i':
            options->run.implementations = optarg;
            break;
        case 'q':
            options->run.quick = true;
            break;
        case 'r':
            options->run.repeats = number_of("repeats", optarg, 1, REPEATS_MAX);
            break;
        case 'b':
            options->run.brief = true;
            break;
        case 't':
            options->run.timeout_s = number_of("timeout", optarg, 1, 3600);
            break;
        case 'c':
            options->run.cpu = number_of("cpu", optarg, 0, 4095);
            break;
        case 'w':
            options->path = optarg;
            break;
        case 'n':
            options->counts = optarg;
            break;
        case 'l':
            print_lists();
            exit(EXIT_SUCCESS);
        case 'h':
            print_help(stdout);
            exit(EXIT_SUCCESS);
        default:
            print_help(stderr);
            exit(2);
        }
    if (optind < argc) {
        fprintf(stderr, "bench: what is \"%s\"?  See bench --help\n", argv[optind]);
        exit(2);
    }
    if (options->run.brief)
        options->run.repeats = 1;
    if (!options->run.repeats)
        options->run.repeats = options->run.quick ? REPEATS_QUICK : REPEATS;
    check_selection(options);
}

/* "IMPLEMENTATION WORKLOAD COUNT" a line. */
static void read_counts(struct results *results, const char *path)
{
    FILE *file = fopen(path, "re");
    char name[64], workload[48];
    double count;

    if (!file) {
        fprintf(stderr, "bench: cannot read %s: %s\n", path, strerror(errno));
        exit(2);
    }
    while (fscanf(file, "%63s %47s %lf", name, workload, &count) == 3)
        if (roster_find(name))
            results_add_instructions(results, roster_find(name)->name, workload, count);
    fclose(file);
}

static json_t *options_json(const struct run_options *options)
{
    json_t *object = json_pack("{s:b, s:b, s:i}", "quick", options->quick, "brief", options->brief,
                               "repeats", options->repeats);

    if (options->workloads)
        json_object_set_new(object, "only", json_string(options->workloads));
    if (options->implementations)
        json_object_set_new(object, "impl", json_string(options->implementations));
    return object;
}

static void print_machine(json_t *machine, const struct run_options *options)
{
    double load = json_real_value(json_object_get(machine, "load_before"));

    printf("%s, %d cores, Linux %s, %s; single threads on processor %d; %d repeats\n",
           json_string_value(json_object_get(machine, "cpu")),
           (int)json_integer_value(json_object_get(machine, "cores")),
           json_string_value(json_object_get(machine, "kernel")),
           json_string_value(json_object_get(machine, "compiler")), options->cpu, options->repeats);
    fflush(stdout);
    if (load > BUSY && !options->brief)
        fprintf(stderr, "bench: the machine is busy (load %.1f): do not believe these times\n",
                load);
}

/* Prints and writes what was measured.  Returns whether that went well. */
static bool report(const struct options *options, json_t *root, struct results *results)
{
    if (!results->count) {
        fprintf(stderr, "bench: nothing was measured\n");
        return false;
    }
    if (options->run.brief)
        printf("%zu figures\n", results->count);
    else {
        table_print(results, stdout);
        json_object_set_new(root, "ratios", goals_report(results, stdout));
    }
    json_object_set_new(root, "results", results_json(results));
    if (json_dump_file(root, options->path, JSON_INDENT(2) | JSON_REAL_PRECISION(6))) {
        fprintf(stderr, "bench: cannot write %s: %s\n", options->path, strerror(errno));
        return false;
    }
    printf("\nwritten to %s\n", options->path);
    return true;
}

int main(int argc, char **argv)
{
    json_t *versions = json_array(), *left_out = json_array(), *failures = json_array(), *root;
    struct results results = {0};
    struct options options;
    int status;

    read_options(&options, argc, argv);
    /* A worker that has died is seen when its answer is read. */
    signal(SIGPIPE, SIG_IGN);
    root = json_pack("{s:o, s:o, s:o, s:o, s:o}", "machine", machine_json(options.run.cpu),
                     "options", options_json(&options.run), "versions", versions, "left_out",
                     left_out, "failures", failures);
    print_machine(json_object_get(root, "machine"), &options.run);
    if (options.counts)
        read_counts(&results, options.counts);
    if (!run_all(&options.run, &results, versions, left_out, failures)) {
        fprintf(stderr, "bench: interrupted: nothing was written\n");
        status = INTERRUPTED;
    } else if (report(&options, root, &results) && !json_array_size(failures))
        status = EXIT_SUCCESS;
    else
        status = EXIT_FAILURE;
    json_decref(root);
    results_free(&results);
    return status;
}
