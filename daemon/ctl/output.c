/* SPDX-License-Identifier: MIT
 *
 * output: see output.h.
 */
#include "output.h"

#include "text.h"

#include <inttypes.h>
#include <libsmartcols.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -------------------------------------------------------------------- rows */

void output_begin(struct output_rows *rows, const struct output_column *columns, size_t width)
{
    *rows = (struct output_rows){.columns = columns, .width = width};
}

void output_end(struct output_rows *rows)
{
    size_t i;

    for (i = 0; i < rows->count; i++) {
        free(rows->cells[i].text);
        free(rows->cells[i].remark);
    }
    free(rows->cells);
    memset(rows, 0, sizeof *rows);
}

static struct output_cell *append(struct output_rows *rows)
{
    if (rows->count == rows->room) {
        size_t room = rows->room ? 2 * rows->room : 32;
        struct output_cell *cells = realloc(rows->cells, room * sizeof *cells);

        if (!cells)
            text_no_memory();
        rows->cells = cells;
        rows->room = room;
    }
    rows->cells[rows->count] = (struct output_cell){0};
    return &rows->cells[rows->count++];
}

void output_text(struct output_rows *rows, const char *text)
{
    append(rows)->text = text_format("%s", text);
}

void output_number(struct output_rows *rows, uint64_t number)
{
    append(rows)->number = number;
}

/* What is no number, or no finite one, is not known. */
void output_real(struct output_rows *rows, double real)
{
    struct output_cell *cell = append(rows);

    cell->none = !isfinite(real);
    cell->real = real;
}

void output_none(struct output_rows *rows)
{
    append(rows)->none = true;
}

void output_remark(struct output_rows *rows, char *remark)
{
    rows->cells[rows->count - 1].remark = remark;
}

/* -------------------------------------------------------------- for people */

static char *shown(const struct output_column *column, const struct output_cell *cell)
{
    if (cell->none)
        return text_format("-");
    switch (column->kind) {
    case OUTPUT_TEXT:
        return text_safe(*cell->text ? cell->text : "-");
    case OUTPUT_COUNT:
        return text_format("%" PRIu64, cell->number);
    case OUTPUT_BYTES:
        return text_bytes(cell->number);
    case OUTPUT_DURATION:
        return text_duration(cell->number);
    case OUTPUT_REAL:
        return text_format("%g", cell->real);
    case OUTPUT_TIME:
        return text_time(cell->number);
    case OUTPUT_USER:
        return text_user(cell->number);
    case OUTPUT_FLAG:
        return text_format(cell->number ? "yes" : "no");
    }
    return text_format("?");
}

static bool is_number(const struct output_column *column)
{
    return column->kind == OUTPUT_COUNT || column->kind == OUTPUT_BYTES ||
           column->kind == OUTPUT_DURATION || column->kind == OUTPUT_REAL;
}

/* An empty table.  The library would cut to what it takes for the width of the
 * terminal, and escape what is escaped already. */
static struct libscols_table *table_new(void)
{
    struct libscols_table *table = scols_new_table();

    if (!table)
        text_no_memory();
    scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
    scols_table_enable_noencoding(table, 1);
    scols_table_set_column_separator(table, "  ");
    return table;
}

static void table_add_column(struct libscols_table *table, const char *title, bool right)
{
    if (!scols_table_new_column(table, title, 0, right ? SCOLS_FL_RIGHT : 0))
        text_no_memory();
}

/* Takes `data` over. */
static void table_set(struct libscols_line *line, size_t column, char *data)
{
    if (scols_line_refer_data(line, column, data))
        text_no_memory();
}

static struct libscols_line *table_add_line(struct libscols_table *table)
{
    struct libscols_line *line = scols_table_new_line(table, NULL);

    if (!line)
        text_no_memory();
    return line;
}

/* Writes the table, its first line (where it has titles) in bold, blanks at the
 * ends of lines left out. */
static void table_print(struct libscols_table *table, bool titles)
{
    char *text = NULL, *line, *next;
    bool first = true;

    if (scols_print_table_to_string(table, &text) || !text)
        text_no_memory();
    for (line = text; *line; line = next, first = false) {
        size_t length = strcspn(line, "\n");

        next = line + length + (line[length] == '\n');
        while (length > 0 && line[length - 1] == ' ')
            length--;
        printf("%s%.*s%s\n", first && titles ? output_colour(OUTPUT_BOLD) : "", (int)length, line,
               first && titles ? output_colour(OUTPUT_PLAIN) : "");
    }
    free(text);
    scols_unref_table(table);
}

void output_table(const struct output_rows *rows)
{
    struct libscols_table *table = table_new();
    size_t column, cell, place;

    for (column = 0; column < rows->width; column++)
        if (rows->columns[column].title)
            table_add_column(table, rows->columns[column].title, is_number(&rows->columns[column]));
    for (cell = 0; cell + rows->width <= rows->count; cell += rows->width) {
        struct libscols_line *line = table_add_line(table);

        for (column = place = 0; column < rows->width; column++)
            if (rows->columns[column].title)
                table_set(line, place++,
                          shown(&rows->columns[column], &rows->cells[cell + column]));
    }
    table_print(table, true);
}

static bool is_any(const struct output_cell *cell)
{
    return !cell->none && (cell->number || (cell->text && *cell->text));
}

void output_fields(const struct output_rows *rows)
{
    struct libscols_table *table = table_new();
    bool numbers = true;
    size_t column;

    for (column = 0; column < rows->width; column++)
        numbers = numbers && (!rows->columns[column].title || is_number(&rows->columns[column]));
    scols_table_enable_noheadings(table, 1);
    table_add_column(table, "", false);
    table_add_column(table, "", numbers);
    table_add_column(table, "", false);
    for (column = 0; column < rows->width; column++) {
        struct libscols_line *line;

        if (!rows->columns[column].title ||
            (rows->columns[column].if_any && !is_any(&rows->cells[column])))
            continue;
        line = table_add_line(table);
        table_set(line, 0, text_format("%s", rows->columns[column].title));
        table_set(line, 1, shown(&rows->columns[column], &rows->cells[column]));
        if (rows->cells[column].remark)
            table_set(line, 2, text_safe(rows->cells[column].remark));
    }
    table_print(table, false);
}

const char *output_colour(enum output_colour colour)
{
    static int wanted = -1;

    if (wanted < 0) {
        const char *never = getenv("NO_COLOR"), *terminal = getenv("TERM");

        wanted = isatty(STDOUT_FILENO) && !(never && *never) && terminal && *terminal &&
                 strcmp(terminal, "dumb") != 0;
    }
    if (!wanted)
        return "";
    switch (colour) {
    case OUTPUT_PLAIN:
        return "\033[0m";
    case OUTPUT_BOLD:
        return "\033[1m";
    case OUTPUT_GOOD:
        return "\033[32m";
    case OUTPUT_BAD:
        return "\033[31m";
    }
    return "";
}

/* ------------------------------------------------------------ for programs */

static json_t *value_of(const struct output_column *column, const struct output_cell *cell)
{
    json_t *value;
    char *utf8;

    if (cell->none)
        return json_null();
    if (column->kind == OUTPUT_FLAG)
        return json_boolean(cell->number != 0);
    if (column->kind == OUTPUT_REAL)
        return json_real(cell->real);
    if (column->kind != OUTPUT_TEXT) /* no sound count is too large for the library's integers */
        return cell->number > INT64_MAX ? json_real((double)cell->number)
                                        : json_integer((json_int_t)cell->number);
    utf8 = text_utf8(cell->text);
    value = json_string(utf8);
    free(utf8);
    return value;
}

void output_put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value))
        text_no_memory();
}

static json_t *object_of(const struct output_rows *rows, const struct output_cell *cells)
{
    json_t *object = json_object();
    size_t column;

    for (column = 0; column < rows->width; column++)
        if (rows->columns[column].key)
            output_put(object, rows->columns[column].key,
                       value_of(&rows->columns[column], &cells[column]));
    return object;
}

json_t *output_object(const struct output_rows *rows)
{
    return object_of(rows, rows->cells);
}

json_t *output_array(const struct output_rows *rows)
{
    json_t *array = json_array();
    size_t cell;

    for (cell = 0; cell + rows->width <= rows->count; cell += rows->width)
        if (json_array_append_new(array, object_of(rows, rows->cells + cell)))
            text_no_memory();
    return array;
}

/* ASCII only: no name reaches a terminal as it is here either. */
void output_json(json_t *value)
{
    if (!value || json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII))
        text_no_memory();
    putchar('\n');
    json_decref(value);
}
