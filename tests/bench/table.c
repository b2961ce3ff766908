/* SPDX-License-Identifier: MIT
 *
 * table: see table.h.
 *
 * Implementations are the rows and workloads the columns, as many beside each other as the width
 * takes.  A workload with several figures is a block of its own, with these as columns; what has
 * figures of different units, or only one implementation, is a list.
 */
#include "table.h"

#include "roster.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define NAME_WIDTH 18
#define LIST_WIDTH 32
#define NUMBER_WIDTH 9
#define COLUMN_WIDTH (NUMBER_WIDTH + 5) /* " ±99%" */
#define COLUMNS 5
#define MEAN_COLUMNS 3 /* a block of that many shows their geometric mean */

static const char yardstick[] = "fastalloc-inline";

struct column {
    char workload[RESULT_NAME_MAX];
    const char *title, *unit;
    const char *meaning; /* NULL: the title of the block tells */
};

/* Three digits that mean something. */
static void print_number(FILE *out, double number)
{
    int digits = number < 9.995 ? 2 : number < 99.95 ? 1 : 0;

    fprintf(out, "%*.*f", NUMBER_WIDTH, digits, number);
}

static int width_of(const struct column *column)
{
    int length = (int)strlen(column->title) + 2;

    return length > COLUMN_WIDTH ? length : COLUMN_WIDTH;
}

static void print_figure(FILE *out, int width, const struct result *result)
{
    double percent = 0;
    char spread[16];

    if (!result) {
        fprintf(out, "%*s", width, "-");
        return;
    }
    if (result->median > 0)
        percent = fmin(result->spread / result->median * 100, 99);
    snprintf(spread, sizeof spread, "%.0f%%", percent);
    fprintf(out, "%*s", width - COLUMN_WIDTH, "");
    print_number(out, result->median);
    fprintf(out, " ±%*s", COLUMN_WIDTH - NUMBER_WIDTH - 2, spread);
}

/* Of the block's figures; 0 where one is missing. */
static double mean_of(const struct results *results, const char *name, const struct column *columns,
                      size_t count)
{
    double logarithms = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        const struct result *result = results_find(results, name, columns[i].workload);

        if (!result || result->median <= 0)
            return 0;
        logarithms += log(result->median);
    }
    return exp(logarithms / (double)count);
}

static void print_row(const struct results *results, FILE *out, const char *name,
                      const struct column *columns, size_t count, bool with_mean)
{
    double mean, of;
    size_t i;

    fprintf(out, "%-*s", NAME_WIDTH, name);
    for (i = 0; i < count; i++)
        print_figure(out, width_of(&columns[i]), results_find(results, name, columns[i].workload));
    mean = with_mean ? mean_of(results, name, columns, count) : 0;
    of = mean > 0 ? mean_of(results, yardstick, columns, count) : 0;
    if (mean > 0)
        print_number(out, mean);
    if (of > 0)
        fprintf(out, "%7.2f", mean / of);
    fputc('\n', out);
}

/* What stands above a block of few columns. */
static void print_meanings(FILE *out, const struct column *columns, size_t count)
{
    size_t i;

    for (i = 0; i < count && count <= MEAN_COLUMNS; i++)
        if (columns[i].meaning)
            fprintf(out, "  %s: %s\n", columns[i].title, columns[i].meaning);
}

static void print_block(const struct results *results, FILE *out, const char *title,
                        const struct column *columns, size_t count)
{
    bool with_mean = count == MEAN_COLUMNS && !strcmp(columns[0].unit, "ns");
    const struct contender *contender;
    size_t i, j;

    fprintf(out, "\n%s [%s]\n", title, columns[0].unit);
    print_meanings(out, columns, count);
    fprintf(out, "%-*s", NAME_WIDTH, "");
    for (i = 0; i < count; i++)
        fprintf(out, "%*s", width_of(&columns[i]), columns[i].title);
    fprintf(out, "%s\n", with_mean ? "     mean   / fastalloc-inline" : "");
    for (i = 0; (contender = roster_at(i)); i++)
        for (j = 0; j < count; j++)
            if (results_find(results, contender->name, columns[j].workload)) {
                print_row(results, out, contender->name, columns, count, with_mean);
                break;
            }
}

/* How many implementations have a workload. */
static size_t count_measured(const struct results *results, const struct workload *workload)
{
    char name[RESULT_NAME_MAX];
    size_t i, count = 0;

    result_name(workload, 0, name);
    for (i = 0; i < results->count; i++)
        count += !strcmp(results->list[i].workload, name);
    return count;
}

/* Each figure in a line. */
static void print_list(const struct results *results, FILE *out, const struct workload *workload)
{
    size_t i;

    fprintf(out, "\n%s: %s\n", workload->name, workload->meaning);
    for (i = 0; i < results->count; i++) {
        const struct result *result = &results->list[i];

        if (result->of != workload)
            continue;
        fprintf(out, "%-*s %-*s", LIST_WIDTH, result->workload, NAME_WIDTH, result->implementation);
        print_figure(out, COLUMN_WIDTH, result);
        fprintf(out, " %s\n", result->unit);
    }
}

static void print_figures(const struct results *results, FILE *out, const struct workload *workload)
{
    struct column columns[SUITE_FIGURES_MAX] = {0};
    char title[256];
    size_t count;

    for (count = 0; count < (size_t)suite_figures(workload); count++) {
        result_name(workload, (int)count, columns[count].workload);
        columns[count].title =
            *workload->figures[count] ? workload->figures[count] : workload->name;
        columns[count].unit = workload->unit;
    }
    snprintf(title, sizeof title, "%s: %s", workload->name, workload->meaning);
    print_block(results, out, title, columns, count);
}

/* Whether all figures have the workload's unit. */
static bool is_uniform(const struct workload *workload)
{
    size_t i;

    for (i = 0; i < SUITE_FIGURES_MAX; i++)
        if (workload->units[i] && strcmp(workload->units[i], workload->unit) != 0)
            return false;
    return true;
}

/* A block that is being gathered. */
struct block {
    struct column columns[COLUMNS];
    size_t count;
    const char *title;
};

static void finish_block(const struct results *results, FILE *out, struct block *block)
{
    if (block->count)
        print_block(results, out, block->title, block->columns, block->count);
    block->count = 0;
}

static void add_column(const struct results *results, FILE *out, struct block *block,
                       const struct workload *workload)
{
    struct column *column;

    if (block->count == COLUMNS ||
        (block->count && (strcmp(block->columns[0].unit, workload->unit) != 0 ||
                          strcmp(block->title, workload->group) != 0)))
        finish_block(results, out, block);
    block->title = workload->group;
    column = &block->columns[block->count++];
    result_name(workload, 0, column->workload);
    column->title = workload->name;
    column->unit = workload->unit;
    column->meaning = workload->meaning;
}

/* What is counted does not spread. */
static void print_instructions(const struct results *results, FILE *out)
{
    static const char *const titles[] = {"pair", "batch100", "churn1024", "batch-32"};
    const struct contender *contender;
    bool begun = false;
    size_t i, j;

    for (i = 0; (contender = roster_at(i)); i++) {
        const struct result *found[4];
        bool any = false;

        for (j = 0; j < 4; j++) {
            char name[RESULT_NAME_MAX];

            snprintf(name, sizeof name, "%s-instructions", titles[j]);
            found[j] = results_find(results, contender->name, name);
            any |= found[j] != NULL;
        }
        if (!any)
            continue;
        if (!begun)
            fprintf(out, "\ninstructions, by callgrind\n%-*s%*s%*s%*s%*s\n", NAME_WIDTH, "",
                    COLUMN_WIDTH, titles[0], COLUMN_WIDTH, titles[1], COLUMN_WIDTH, titles[2],
                    COLUMN_WIDTH, titles[3]);
        begun = true;
        fprintf(out, "%-*s", NAME_WIDTH, contender->name);
        for (j = 0; j < 4; j++)
            if (found[j])
                fprintf(out, "%*.1f", COLUMN_WIDTH, found[j]->median);
            else
                fprintf(out, "%*s", COLUMN_WIDTH, "-");
        fputc('\n', out);
    }
}

void table_print(const struct results *results, FILE *out)
{
    const struct workload *workload;
    struct block block = {.count = 0};
    size_t i;

    fprintf(out, "medians, ± half the distance between the quartiles\n");
    for (i = 0; (workload = suite_at(i)); i++) {
        size_t measured = count_measured(results, workload);
        bool several = workload->figures[0] != NULL;

        if (!measured)
            continue;
        if (!several && measured > 1) {
            add_column(results, out, &block, workload);
            continue;
        }
        finish_block(results, out, &block);
        if (several && is_uniform(workload))
            print_figures(results, out, workload);
        else
            print_list(results, out, workload);
    }
    finish_block(results, out, &block);
    print_instructions(results, out);
}
