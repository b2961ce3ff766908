/* SPDX-License-Identifier: MIT
 *
 * scale_costs: the costs by name, and what has a formula.
 */
#include "scale.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_(id, name, unit, meaning) name,
#define UNIT_(id, name, unit, meaning) unit,
#define MEANING_(id, name, unit, meaning) meaning,

const char *const scale_cost_names[SCALE_COSTS_END] = {SCALE_COSTS(NAME_)};
const char *const scale_cost_units[SCALE_COSTS_END] = {SCALE_COSTS(UNIT_)};
const char *const scale_cost_meanings[SCALE_COSTS_END] = {SCALE_COSTS(MEANING_)};

void scale_costs_round(struct scale_costs *costs)
{
    /* In the order of SCALE_COSTS. */
    static const double round[SCALE_COSTS_END] = {2, 20, 200, 80,   60,  320, 10,   50,  50,   100,
                                                  5, 10, 10,  1000, 3e6, 20,  1000, 3e4, 8e4,  100,
                                                  1, 3,  0.5, 20,   5,   1.5, 0.8,  400, 6000, 250};
    int i;

    for (i = 0; i < SCALE_COSTS_END; i++)
        costs->of[i] = (struct scale_value){round[i], round[i]};
}

int scale_costs_write(const struct scale_costs *costs, const char *path)
{
    FILE *file = fopen(path, "we");
    int i, failed;

    if (!file) {
        fprintf(stderr, "bench-scale: cannot write %s: %s\n", path, strerror(errno));
        return -1;
    }
    fprintf(file, "# costs measured by bench-scale: name, least, median, unit\n");
    for (i = 0; i < SCALE_COSTS_END; i++)
        fprintf(file, "%-16s %12.4f %12.4f %s\n", scale_cost_names[i], costs->of[i].min,
                costs->of[i].median, scale_cost_units[i]);
    failed = ferror(file);
    if (fclose(file) || failed) {
        fprintf(stderr, "bench-scale: cannot write %s\n", path);
        return -1;
    }
    return 0;
}

static int find_cost(const char *name)
{
    int i;

    for (i = 0; i < SCALE_COSTS_END; i++)
        if (!strcmp(name, scale_cost_names[i]))
            return i;
    return -1;
}

/* A line of the file.  0, or -1 where it is none. */
static int read_line(const char *line, struct scale_costs *costs, bool seen[SCALE_COSTS_END])
{
    struct scale_value value;
    char name[32];
    int i;

    if (line[0] == '#' || line[0] == '\n')
        return 0;
    if (sscanf(line, "%31s %lf %lf", name, &value.min, &value.median) != 3)
        return -1;
    i = find_cost(name);
    if (i < 0 || !isfinite(value.median) || value.median < 0)
        return -1;
    costs->of[i] = value;
    seen[i] = true;
    return 0;
}

int scale_costs_read(struct scale_costs *costs, const char *path)
{
    FILE *file = fopen(path, "re");
    bool seen[SCALE_COSTS_END] = {false};
    struct scale_costs read;
    char line[256];
    int i, error = 0;

    if (!file) {
        fprintf(stderr, "bench-scale: cannot read %s: %s\n", path, strerror(errno));
        return -1;
    }
    while (!error && fgets(line, sizeof line, file)) {
        error = read_line(line, &read, seen);
        if (error)
            fprintf(stderr, "bench-scale: %s: not a cost: %s", path, line);
    }
    fclose(file);
    for (i = 0; i < SCALE_COSTS_END && !error; i++)
        if (!seen[i]) {
            fprintf(stderr, "bench-scale: %s does not have \"%s\": measure anew\n", path,
                    scale_cost_names[i]);
            error = -1;
        }
    if (!error)
        *costs = read;
    return error;
}

/* ---------------------------------------------------------------- formulas */

double scale_erlang_loss(unsigned servers, double load)
{
    double loss = 1;
    unsigned n;

    for (n = 1; n <= servers; n++)
        loss = load * loss / (n + load * loss);
    return loss;
}

double scale_erlang_load(unsigned servers, double share)
{
    double low = 0, high = 1;
    int step;

    while (scale_erlang_loss(servers, high) < share)
        high *= 2;
    for (step = 0; step < 60; step++) {
        double middle = (low + high) / 2;

        if (scale_erlang_loss(servers, middle) < share)
            low = middle;
        else
            high = middle;
    }
    return low;
}

double scale_barrier(const struct scale_costs *costs, unsigned processors)
{
    double alone = costs->of[SCALE_BARRIER_0].min;

    return alone + fmax(costs->of[SCALE_BARRIER_2].median - alone, 0) / 2 * processors;
}

double scale_wait_md1(double service, double utilisation)
{
    return utilisation * service / (2 * (1 - utilisation));
}

/* ---------------------------------------------------------------- helpers */

static int compare(const void *left, const void *right)
{
    double l = *(const double *)left, r = *(const double *)right;

    return (l > r) - (l < r);
}

struct scale_value scale_value_of(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return (struct scale_value){values[0], values[count / 2]};
}

void scale_give_up(const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "bench-scale: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    exit(EXIT_FAILURE);
}
