/* SPDX-License-Identifier: MIT
 *
 * output: a set of rows, shown to people as a table (or, a single one, as a list
 * of its fields) or given to programs as JSON.  The one home of both: a command says
 * what its columns are and fills in rows.
 *
 * People get sizes as "1.5 MiB", times, durations and users in words, numbers to the right,
 * and text made safe for a terminal; programs get bytes, seconds since 1970, nanoseconds,
 * user ids.
 * Nothing is ever cut to the width of a terminal.  Without memory the program ends.
 */
#ifndef CTL_OUTPUT_H
#define CTL_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum output_kind {
    OUTPUT_TEXT,
    OUTPUT_COUNT,
    OUTPUT_BYTES,
    OUTPUT_DURATION, /* nanoseconds */
    OUTPUT_REAL,
    OUTPUT_TIME,
    OUTPUT_USER,
    OUTPUT_FLAG
};

struct output_column {
    const char *key;   /* in JSON; NULL: only for people */
    const char *title; /* for people; NULL: only in JSON */
    enum output_kind kind;
    bool if_any; /* in a list of fields: only when it is not 0 or "" */
};

struct output_cell {
    bool none; /* not known: "-", null */
    char *text;
    char *remark; /* behind it in a list of fields; NULL: none */
    uint64_t number;
    double real;
};

struct output_rows {
    const struct output_column *columns;
    size_t width; /* columns */
    struct output_cell *cells;
    size_t count, room; /* cells */
};

/* Begins an empty set; `columns` has to outlive it. */
void output_begin(struct output_rows *rows, const struct output_column *columns, size_t width);
void output_end(struct output_rows *rows);

/* Appends the next cell; a row is complete when every column has its own. */
void output_text(struct output_rows *rows, const char *text);
void output_number(struct output_rows *rows, uint64_t number);
void output_real(struct output_rows *rows, double real);
void output_none(struct output_rows *rows);

/* Puts a remark, for people, behind the cell appended last.  Takes the text over. */
void output_remark(struct output_rows *rows, char *remark);

/* To stdout: all rows under their titles; or the only row, a line a field. */
void output_table(const struct output_rows *rows);
void output_fields(const struct output_rows *rows);

/* The caller's: an array of objects; or the only row as an object. */
json_t *output_array(const struct output_rows *rows);
json_t *output_object(const struct output_rows *rows);

/* Puts `value` into `object`.  Takes the value over. */
void output_put(json_t *object, const char *key, json_t *value);

/* Writes `value` to stdout, and releases it. */
void output_json(json_t *value);

/* Escape sequences, or "" where stdout is no terminal that wants any. */
enum output_colour { OUTPUT_PLAIN, OUTPUT_BOLD, OUTPUT_GOOD, OUTPUT_BAD };
const char *output_colour(enum output_colour colour);

#endif
