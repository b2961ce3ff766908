/* SPDX-License-Identifier: MIT
 *
 * goals: see goals.h.
 */
#include "goals.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define INLINE "fastalloc-inline"
#define CALL "fastalloc-call"

/* What is compared.  Each function returns a number, or NAN where the run does not tell. */
struct goal {
    const char *what, *of, *to;
    double (*value)(const struct results *, const struct goal *);
    const char *workload; /* of functions that take one */
    double bound;         /* NAN: none, just to know */
    bool at_least;        /* the bound is a lower one */
};

static double median_of(const struct results *results, const char *implementation,
                        const char *workload)
{
    const struct result *result = results_find(results, implementation, workload);

    return result ? result->median : NAN;
}

/* The geometric mean over the three loops at 64 bytes. */
static double of_loops(const struct results *results, const struct goal *goal)
{
    static const char *const loops[] = {"pair", "batch100", "churn1024"};
    double product = 1;
    size_t i;

    for (i = 0; i < 3; i++)
        product *= median_of(results, goal->of, loops[i]) / median_of(results, goal->to, loops[i]);
    return cbrt(product);
}

static double of_medians(const struct results *results, const struct goal *goal)
{
    return median_of(results, goal->of, goal->workload) /
           median_of(results, goal->to, goal->workload);
}

static double only_median(const struct results *results, const struct goal *goal)
{
    return median_of(results, goal->of, goal->workload);
}

/* How much slower `to` is once the ring's own cost is taken from both. */
static double of_handover(const struct results *results, const struct goal *goal)
{
    double ring = median_of(results, "ring", goal->workload);

    return (median_of(results, goal->to, goal->workload) - ring) /
           (median_of(results, goal->of, goal->workload) - ring);
}

static int compare(const void *left, const void *right)
{
    double l = *(const double *)left, r = *(const double *)right;

    return (l > r) - (l < r);
}

/* The median over the repeats of (of's `many` / of's `few`) / (to's `many` / to's `few`); of
 * `of` alone where there is no `to`. */
static double scaling(const struct results *results, const char *of, const char *to,
                      const char *many, const char *few)
{
    const struct result *parts[4] = {results_find(results, of, many),
                                     results_find(results, of, few), NULL, NULL};
    double *ratios, median;
    size_t i, count;

    if (to) {
        parts[2] = results_find(results, to, few);
        parts[3] = results_find(results, to, many);
    }
    if (!parts[0] || !parts[1] || (to && (!parts[2] || !parts[3])))
        return NAN;
    count = parts[0]->count;
    for (i = 1; i < (to ? 4u : 2u); i++)
        if (parts[i]->count < count)
            count = parts[i]->count;
    ratios = malloc(count * sizeof *ratios);
    if (!ratios)
        return NAN;
    for (i = 0; i < count; i++) {
        ratios[i] = parts[0]->values[i] / parts[1]->values[i];
        if (to)
            ratios[i] *= parts[2]->values[i] / parts[3]->values[i];
    }
    qsort(ratios, count, sizeof *ratios, compare);
    median = (ratios[count / 2] + ratios[(count - 1) / 2]) / 2;
    free(ratios);
    return median;
}

static double of_two_processes(const struct results *results, const struct goal *goal)
{
    return scaling(results, goal->of, goal->to, "processes-2", "processes-1");
}

static double of_sixteen_processes(const struct results *results, const struct goal *goal)
{
    return scaling(results, goal->of, NULL, "processes-16", "processes-2");
}

static const struct goal goals[] = {
    {"ns, pair batch100 churn1024", INLINE, "dpdk-mempool", of_loops, NULL, 1.05, false},
    {"ns, pair batch100 churn1024", CALL, "dpdk-mempool", of_loops, NULL, 1.40, false},
    {"ns, pair batch100 churn1024", INLINE, "malloc", of_loops, NULL, 0.60, false},
    {"ns, pair batch100 churn1024", INLINE, "mimalloc", of_loops, NULL, 1.00, false},
    {"ns, pair batch100 churn1024", INLINE, "jemalloc", of_loops, NULL, 1.20, false},
    {"ns, pair batch100 churn1024", INLINE, "boost-cached-node", of_loops, NULL, 0.30, false},
    {"ns, pair batch100 churn1024", INLINE, "robust-mutex", of_loops, NULL, 0.14, false},
    {"ns, pair batch100 churn1024", INLINE, "bare-array", of_loops, NULL, NAN, false},
    {"ns, pair batch100 churn1024", "bare-array", "dpdk-mempool", of_loops, NULL, NAN, false},
    {"speed of handover less the ring's", INLINE, "boost-node", of_handover, "handover", 3, true},
    {"speed of handover less the ring's", INLINE, "dpdk-mempool", of_handover, "handover", 1, true},
    {"the same in a pool long used", INLINE, "dpdk-mempool", of_handover, "handover-used", NAN,
     true},
    {"2 processes / 1, to private lists'", INLINE, "bare-array", of_two_processes, NULL, 0.95,
     true},
    {"16 processes / 2", INLINE, NULL, of_sixteen_processes, NULL, 0.90, true},
    {"p99.9 of 8 processes", INLINE, "robust-mutex", of_medians, "latency-crowded-p99.9", 0.20,
     false},
    {"ms to attach", "fastalloc", NULL, only_median, "attach", 1, false},
    {"ms, create / posix_fallocate", "fastalloc", NULL, only_median, "create-ratio", 1.2, false},
    {"ms, create local / posix_fallocate", "fastalloc", NULL, only_median, "create-local-ratio",
     1.2, false},
    {"bytes of metadata / bound", "fastalloc", NULL, only_median, "metadata-ratio", 1, false},
};

static void print_goal(FILE *out, const struct goal *goal, double value, bool met)
{
    char pair[64];

    snprintf(pair, sizeof pair, "%s%s%s", goal->of, goal->to ? " / " : "",
             goal->to ? goal->to : "");
    fprintf(out, "%-36s  %-36s %7.2f", pair, goal->what, value);
    if (!isnan(goal->bound))
        fprintf(out, "  %s %.2f  %s", goal->at_least ? ">=" : "<=", goal->bound,
                met ? "met" : "NOT MET");
    fputc('\n', out);
}

static json_t *goal_json(const struct goal *goal, double value, bool met)
{
    json_t *one = json_pack("{s:s, s:s, s:f}", "what", goal->what, "of", goal->of, "value", value);

    if (goal->to)
        json_object_set_new(one, "to", json_string(goal->to));
    if (!isnan(goal->bound)) {
        json_object_set_new(one, goal->at_least ? "at_least" : "at_most", json_real(goal->bound));
        json_object_set_new(one, "met", json_boolean(met));
    }
    return one;
}

json_t *goals_report(const struct results *results, FILE *out)
{
    json_t *list = json_array();
    size_t i;

    for (i = 0; i < sizeof goals / sizeof *goals; i++) {
        double value = goals[i].value(results, &goals[i]);
        bool met = goals[i].at_least ? value >= goals[i].bound : value <= goals[i].bound;

        if (isnan(value) || isinf(value))
            continue;
        if (json_array_size(list) == 0)
            fprintf(out, "\nratios, and what they should be\n");
        print_goal(out, &goals[i], value, met);
        json_array_append_new(list, goal_json(&goals[i], value, met));
    }
    return list;
}
