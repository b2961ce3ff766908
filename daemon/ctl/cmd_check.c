/* SPDX-License-Identifier: MIT
 *
 * cmd_check: the integrity of a pool, or of all that this user may open.
 *
 * The pool may be at work: what is found once may be an operation under way, so
 * that only what stays through many looks counts.  A pool that is clean at the
 * first look is done with at once.
 */
#include "ctl.h"
#include "output.h"
#include "pools.h"
#include "shm/check.h"
#include "shm/survey.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOKS 20
#define PAUSE_US 100000

static const struct output_column finding_columns[] = {
    {"kind", NULL, OUTPUT_TEXT, false},
    {"place", NULL, OUTPUT_COUNT, false},
    {"word", NULL, OUTPUT_TEXT, false},
    {"text", NULL, OUTPUT_TEXT, false},
};

struct checking {
    const struct view *view;
    struct check_report report;
    struct survey survey;
    uint32_t state;
    int error;
};

static void look(void *argument)
{
    struct checking *checking = argument;
    const struct segment *segment = &checking->view->segment;

    checking->error = check_confirm(segment, LOOKS, PAUSE_US, &checking->report);
    survey_slots(segment, &checking->survey, NULL);
    checking->state = segment_state(segment);
}

static uint64_t in_use(const struct survey *survey)
{
    return survey->live + survey->anyone + survey->shared + survey->quarantined;
}

/* ------------------------------------------------------------------ showing */

/* What came of a pool, for people and for programs. */
struct verdict {
    const char *word;   /* in JSON: "clean", "damaged", "failed", "skipped" */
    const char *reason; /* where it could not be checked */
};

static void show_line(const char *name, enum output_colour colour, const char *text)
{
    char *safe_name = text_safe(name), *safe = text_safe(text);

    printf("%s: %s%s%s\n", safe_name, output_colour(colour), safe, output_colour(OUTPUT_PLAIN));
    free(safe);
    free(safe_name);
}

static void show_report(const char *name, const struct checking *checking)
{
    const struct check_report *report = &checking->report;
    char *text;
    size_t i;

    if (checking->state == POOL_POISONED)
        show_line(name, OUTPUT_BAD, "poisoned: its shared memory was found damaged while in use");
    for (i = 0; i < report->count; i++)
        show_line(name, OUTPUT_BAD, report->findings[i].text);
    if (report->total > report->count) {
        text = text_format("and %" PRIu64 " more", report->total - report->count);
        show_line(name, OUTPUT_BAD, text);
        free(text);
    }
    if (report->total || checking->state == POOL_POISONED)
        return;
    text = text_safe(name);
    printf("%s: %sclean%s (%" PRIu64 " slots, %" PRIu64 " in use)\n", text,
           output_colour(OUTPUT_GOOD), output_colour(OUTPUT_PLAIN), checking->survey.capacity,
           in_use(&checking->survey));
    free(text);
}

static json_t *findings_of(const struct check_report *report)
{
    struct output_rows rows;
    json_t *array;
    size_t i;

    output_begin(&rows, finding_columns, sizeof finding_columns / sizeof *finding_columns);
    for (i = 0; i < report->count; i++) {
        const struct check_finding *finding = &report->findings[i];
        char *word = text_format("0x%016" PRIx64, finding->seen);

        output_text(&rows, check_kind_name(finding->kind));
        output_number(&rows, finding->place);
        output_text(&rows, word);
        output_text(&rows, finding->text);
        free(word);
    }
    array = output_array(&rows);
    output_end(&rows);
    return array;
}

static json_t *string(const char *text)
{
    char *utf8 = text_utf8(text);
    json_t *value = json_string(utf8);

    free(utf8);
    return value;
}

static void add_json(json_t *array, const char *name, const struct verdict *verdict,
                     const struct checking *checking)
{
    json_t *object = json_object();

    output_put(object, "name", string(name));
    output_put(object, "result", string(verdict->word));
    if (verdict->reason) {
        output_put(object, "reason", string(verdict->reason));
    } else {
        output_put(object, "capacity", json_integer((json_int_t)checking->survey.capacity));
        output_put(object, "in_use", json_integer((json_int_t)in_use(&checking->survey)));
        output_put(object, "poisoned", json_boolean(checking->state == POOL_POISONED));
        output_put(object, "anomalies", json_integer((json_int_t)checking->report.total));
        output_put(object, "findings", findings_of(&checking->report));
    }
    if (json_array_append_new(array, object))
        text_no_memory();
}

/* ----------------------------------------------------------------- checking */

/* Checks the pool of that name; `array` gets the result when JSON is wanted.  Of `all`
 * pools one that has gone meanwhile is no failure, nor is one that is not ours. */
static int check_pool(struct ctl *ctl, const char *name, bool all, json_t *array)
{
    struct checking checking = {0};
    struct verdict verdict = {0};
    struct reason why;
    struct view view;
    int error = view_open(&view, ctl->client, name, &why);

    if (!error) {
        checking.view = &view;
        error = view_run(&view, look, &checking, &why);
        if (!error && checking.error)
            error = reason_set(&why, checking.error, "no memory to check %" PRIu64 " slots",
                               view.segment.geometry.max_capacity);
        view_close(&view);
    }
    if (all && error == FASTALLOC_E_NOT_FOUND)
        return CTL_OK;
    if (error) {
        verdict.reason = why.text;
        verdict.word = all && error == FASTALLOC_E_PERMISSION ? "skipped"
                       : error == FASTALLOC_E_POISONED        ? "damaged"
                                                              : "failed";
    } else {
        verdict.word =
            checking.report.total || checking.state == POOL_POISONED ? "damaged" : "clean";
    }
    if (array)
        add_json(array, name, &verdict, &checking);
    else if (!error)
        show_report(name, &checking);
    else
        show_line(name, *verdict.word == 's' ? OUTPUT_PLAIN : OUTPUT_BAD, why.text);
    return *verdict.word == 'c' || *verdict.word == 's' ? CTL_OK : CTL_FAILED;
}

static int check_all(struct ctl *ctl, json_t *array)
{
    struct wire_pool *pools;
    struct reason why;
    size_t count, i;
    int result = CTL_OK;

    if (pools_list(ctl->client, &pools, &count, &why))
        return ctl_fail("%s", why.text);
    for (i = 0; i < count; i++)
        if (!pools[i].destroyed && check_pool(ctl, pools[i].spec.name, true, array))
            result = CTL_FAILED;
    if (!count && !array)
        puts("no pools");
    free(pools);
    return result;
}

int cmd_check(struct ctl *ctl)
{
    json_t *array = ctl->json ? json_array() : NULL;
    int result = CTL_OK, i;

    if (ctl->name_count == 0)
        result = check_all(ctl, array);
    for (i = 0; i < ctl->name_count; i++)
        if (check_pool(ctl, ctl->names[i], false, array))
            result = CTL_FAILED;
    if (array)
        output_json(array);
    return result;
}
