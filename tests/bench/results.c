/* SPDX-License-Identifier: MIT
 *
 * results: see results.h.
 */
#include "results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void result_name(const struct workload *workload, int figure, char name[RESULT_NAME_MAX])
{
    const char *of = workload->figures[figure];

    snprintf(name, RESULT_NAME_MAX, "%s%s%s", workload->name, of && *of ? "-" : "", of ? of : "");
}

static void *grown(void *list, size_t bytes)
{
    void *larger = realloc(list, bytes);

    if (!larger)
        bench_give_up("results", "no memory");
    return larger;
}

static struct result *find(const struct results *results, const char *implementation,
                           const char *workload)
{
    size_t i;

    for (i = 0; i < results->count; i++)
        if (!strcmp(results->list[i].implementation, implementation) &&
            !strcmp(results->list[i].workload, workload))
            return &results->list[i];
    return NULL;
}

const struct result *results_find(const struct results *results, const char *implementation,
                                  const char *workload)
{
    return find(results, implementation, workload);
}

static void add(struct results *results, const char *implementation, const struct workload *of,
                const char name[RESULT_NAME_MAX], const char *unit, double value)
{
    struct result *result = find(results, implementation, name);

    if (!result) {
        results->list = grown(results->list, (results->count + 1) * sizeof *results->list);
        result = &results->list[results->count++];
        *result = (struct result){.implementation = implementation, .of = of, .unit = unit};
        snprintf(result->workload, sizeof result->workload, "%s", name);
    }
    result->values = grown(result->values, (result->count + 1) * sizeof *result->values);
    result->values[result->count++] = value;
}

void results_add(struct results *results, const char *implementation,
                 const struct workload *workload, int figure, double value)
{
    char name[RESULT_NAME_MAX];

    result_name(workload, figure, name);
    add(results, implementation, workload, name,
        workload->units[figure] ? workload->units[figure] : workload->unit, value);
}

void results_add_instructions(struct results *results, const char *implementation,
                              const char *workload, double count)
{
    char name[RESULT_NAME_MAX];

    snprintf(name, sizeof name, "%s-instructions", workload);
    add(results, implementation, NULL, name, "instructions", count);
}

static int compare(const void *left, const void *right)
{
    double l = *(const double *)left, r = *(const double *)right;

    return (l > r) - (l < r);
}

/* Of sorted values, between two where it falls between them. */
static double quantile(const double *sorted, size_t count, double q)
{
    double at = q * (double)(count - 1);
    size_t below = (size_t)at;

    if (below + 1 >= count)
        return sorted[count - 1];
    return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

void results_settle(struct results *results)
{
    size_t i;

    for (i = 0; i < results->count; i++) {
        struct result *result = &results->list[i];
        double *sorted = grown(NULL, result->count * sizeof *sorted);

        memcpy(sorted, result->values, result->count * sizeof *sorted);
        qsort(sorted, result->count, sizeof *sorted, compare);
        result->median = quantile(sorted, result->count, 0.5);
        result->min = sorted[0];
        result->max = sorted[result->count - 1];
        result->spread =
            (quantile(sorted, result->count, 0.75) - quantile(sorted, result->count, 0.25)) / 2;
        free(sorted);
    }
}

json_t *results_json(const struct results *results)
{
    json_t *list = json_array();
    size_t i;

    for (i = 0; i < results->count; i++) {
        const struct result *result = &results->list[i];

        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:I}", "impl",
                                              result->implementation, "workload", result->workload,
                                              "unit", result->unit, "median", result->median, "min",
                                              result->min, "max", result->max, "repeats",
                                              (json_int_t)result->count));
    }
    return list;
}

void results_free(struct results *results)
{
    size_t i;

    for (i = 0; i < results->count; i++)
        free(results->list[i].values);
    free(results->list);
    *results = (struct results){0};
}
