/* SPDX-License-Identifier: MIT
 *
 * cmd_stat: all about one pool: what it is, where its slots are, its statistics, who is
 * attached; or its statistics alone in one of the library's reports.  For OpenMetrics see
 * openmetrics.c.
 */
#include "ctl.h"
#include "look.h"
#include "openmetrics.h"
#include "output.h"
#include "pools.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH(columns) (sizeof(columns) / sizeof *(columns))

static const struct output_column pool_columns[] = {
    {"name", "pool", OUTPUT_TEXT, false},
    {NULL, "type", OUTPUT_TEXT, false},
    {"type_name", NULL, OUTPUT_TEXT, false},
    {"type_version", NULL, OUTPUT_COUNT, false},
    {"object_size", "object size", OUTPUT_BYTES, false},
    {"alignment", "alignment", OUTPUT_BYTES, false},
    {"stride", "stride", OUTPUT_BYTES, false},
    {NULL, "capacity", OUTPUT_TEXT, false},
    {"capacity", NULL, OUTPUT_COUNT, false},
    {"max_capacity", NULL, OUTPUT_COUNT, false},
    {NULL, "growth", OUTPUT_TEXT, false},
    {"growth", NULL, OUTPUT_TEXT, false},
    {"low_water", NULL, OUTPUT_COUNT, false},
    {"growths", "steps so far", OUTPUT_COUNT, true},
    {"on_death", "on death", OUTPUT_TEXT, false},
    {"heir", "heir: session", OUTPUT_COUNT, true},
    {NULL, "features", OUTPUT_TEXT, true},
    {"sharing", NULL, OUTPUT_FLAG, false},
    {"deadlines", NULL, OUTPUT_FLAG, false},
    {"strict", NULL, OUTPUT_FLAG, false},
    {"zero_on_alloc", NULL, OUTPUT_FLAG, false},
    {"zero_on_free", NULL, OUTPUT_FLAG, false},
    {"lifecycle", NULL, OUTPUT_FLAG, false},
    {NULL, "memory", OUTPUT_TEXT, false},
    {"bytes", NULL, OUTPUT_BYTES, false},
    {"metadata_bytes", NULL, OUTPUT_BYTES, false},
    {NULL, "lifetime", OUTPUT_TEXT, false},
    {"persistent", NULL, OUTPUT_FLAG, false},
    {"mode", "mode", OUTPUT_TEXT, false},
    {"uid", "owner", OUTPUT_USER, false},
    {"created", "created", OUTPUT_TIME, false},
    {"state", "state", OUTPUT_TEXT, false},
};

static const struct output_column slot_columns[] = {
    {"in_use", "in use", OUTPUT_COUNT, false},
    {"anyone", "left to anyone", OUTPUT_COUNT, true},
    {"shared", "shared", OUTPUT_COUNT, true},
    {"quarantined", "quarantined", OUTPUT_COUNT, true},
    {"cached", "cached", OUTPUT_COUNT, false},
    {"depots", "in depots", OUTPUT_COUNT, false},
    {"returned", "returned", OUTPUT_COUNT, false},
    {"never_used", "never used", OUTPUT_COUNT, false},
    {"depot_rebuilds", NULL, OUTPUT_COUNT, false},
};

/* Keys are what struct fastalloc_stats calls them. */
static const struct output_column stats_columns[] = {
    {"total_allocations", "allocations", OUTPUT_COUNT, false},
    {"total_deallocations", "frees", OUTPUT_COUNT, false},
    {"allocation_failures", "failures", OUTPUT_COUNT, false},
    {"hit_rate", NULL, OUTPUT_REAL, false},
    {"waits", "waits", OUTPUT_COUNT, false},
    {"exchanges", "exchanges", OUTPUT_COUNT, false},
    {"cache_rate", NULL, OUTPUT_REAL, false},
    {"current_usage", "in use", OUTPUT_COUNT, false},
    {"utilization_rate", NULL, OUTPUT_REAL, false},
    {"peak_usage", "peak", OUTPUT_COUNT, false},
    {"peak_utilization_rate", NULL, OUTPUT_REAL, false},
    {"capacity", NULL, OUTPUT_COUNT, false},
    {"max_capacity", NULL, OUTPUT_COUNT, false},
    {"available", NULL, OUTPUT_COUNT, false},
    {"growth_count", "growth steps", OUTPUT_COUNT, false},
    {"deaths", "deaths", OUTPUT_COUNT, false},
    {"reclaimed", "reclaimed", OUTPUT_COUNT, false},
    {"reclaims", NULL, OUTPUT_COUNT, false},
    {"reclaim_last_ns", "time to reclaim", OUTPUT_DURATION, true},
    {"reclaim_mean_ns", "the mean", OUTPUT_DURATION, true},
    {"reclaim_most_ns", "the most", OUTPUT_DURATION, true},
};

static const struct output_column session_columns[] = {
    {"session", "SESSION", OUTPUT_COUNT, false},
    {"pid", "PID", OUTPUT_COUNT, false},
    {"program", "PROGRAM", OUTPUT_TEXT, false},
    {"uid", "USER", OUTPUT_USER, false},
    {"since", "SINCE", OUTPUT_TIME, false},
    {"slots", "SLOTS", OUTPUT_COUNT, false},
    {"total_allocations", "ALLOCATIONS", OUTPUT_COUNT, false},
    {"total_deallocations", "FREES", OUTPUT_COUNT, false},
    {"allocation_failures", "FAILURES", OUTPUT_COUNT, false},
    {"waits", NULL, OUTPUT_COUNT, false},
    {"caches", "CACHES", OUTPUT_COUNT, false},
    {"state", "STATE", OUTPUT_TEXT, false},
};

/* In the order of their columns. */
static const struct feature {
    uint32_t flag;
    const char *name;
} features[] = {
    {SPEC_SHARING, "sharing"},        {SPEC_NOTES, "deadlines"},
    {SPEC_STRICT, "strict"},          {SPEC_ZERO_ALLOC, "zero-on-alloc"},
    {SPEC_ZERO_FREE, "zero-on-free"}, {SPEC_STAGES, "lifecycle"},
};

/* ------------------------------------------------------------------- rows */

/* Appends a text made for the purpose, and frees it. */
static void add_made(struct output_rows *rows, char *text)
{
    output_text(rows, text);
    free(text);
}

static void add_capacity(struct output_rows *rows, uint64_t capacity, uint64_t most)
{
    if (most > capacity)
        add_made(rows, text_format("%llu slots, of at most %llu", (unsigned long long)capacity,
                                   (unsigned long long)most));
    else
        add_made(rows, text_format("%llu slots", (unsigned long long)capacity));
    output_number(rows, capacity);
    output_number(rows, most);
}

static void add_growth(struct output_rows *rows, const struct look *look)
{
    const struct pool_spec *spec = &look->pool.spec;
    uint64_t low = spec_low_water(spec, look->survey.capacity);
    char *growth = pools_growth(spec);

    if (low)
        add_made(rows, text_format("%s, ahead of need below %llu free slots", growth,
                                   (unsigned long long)low));
    else
        output_text(rows, growth);
    add_made(rows, growth);
    output_number(rows, low);
    output_number(rows, look->growths);
}

/* All that the pool has by name, for people; whether it has it, for programs. */
static void add_features(struct output_rows *rows, uint32_t flags)
{
    char *names = text_format("%s", ""), *more;
    size_t i;

    for (i = 0; i < WIDTH(features); i++) {
        if (!(flags & features[i].flag))
            continue;
        more = text_format("%s%s%s", names, *names ? ", " : "", features[i].name);
        free(names);
        names = more;
    }
    add_made(rows, names);
    for (i = 0; i < WIDTH(features); i++)
        output_number(rows, flags & features[i].flag);
}

static void add_policy(struct output_rows *rows, const struct look *look)
{
    add_made(rows, pools_on_death(&look->pool.spec));
    output_number(rows, look->heir);
    add_features(rows, look->pool.spec.flags);
}

static void add_memory(struct output_rows *rows, uint64_t total, uint64_t metadata)
{
    char *all = text_bytes(total), *beside = text_bytes(metadata);

    add_made(rows, text_format("%s, of which %s metadata", all, beside));
    free(beside);
    free(all);
}

static void add_pool(struct output_rows *rows, const struct look *look)
{
    const struct wire_pool *pool = &look->pool;
    const struct geometry *geometry = &look->geometry;
    uint64_t total, metadata;

    output_text(rows, pool->spec.name);
    if (*pool->spec.type_name || pool->spec.type_version)
        add_made(rows, text_format("%s%sversion %u", pool->spec.type_name,
                                   *pool->spec.type_name ? ", " : "", pool->spec.type_version));
    else
        output_none(rows);
    output_text(rows, pool->spec.type_name);
    output_number(rows, pool->spec.type_version);
    output_number(rows, geometry->object_size);
    output_number(rows, geometry->alignment);
    output_number(rows, geometry->stride);
    add_capacity(rows, look->survey.capacity, geometry->max_capacity);
    add_growth(rows, look);
    add_policy(rows, look);
    total = pools_memory(geometry, look->survey.capacity, &metadata);
    add_memory(rows, total, metadata);
    output_number(rows, total);
    output_number(rows, metadata);
    output_text(rows, pools_lifetime(pool));
    output_number(rows, pool->spec.lifetime == FASTALLOC_PERSISTENT);
    add_made(rows, text_format("%04o", pool->spec.mode));
    output_number(rows, pool->uid);
    output_number(rows, pool->created);
    output_text(rows, look_state(look));
}

static void add_slots(struct output_rows *rows, const struct survey *survey)
{
    output_number(rows, survey->live + survey->anyone + survey->shared + survey->quarantined);
    output_number(rows, survey->anyone);
    output_number(rows, survey->shared);
    output_number(rows, survey->quarantined);
    output_number(rows, survey->cached);
    output_number(rows, survey->stocked);
    output_number(rows, survey->returned);
    output_number(rows, survey->never_used);
    output_number(rows, survey->rebuilds);
}

/* Appends a number with a rate of it, and that rate for programs. */
static void add_rated(struct output_rows *rows, uint64_t number, double rate, double percent,
                      const char *of)
{
    char *amount = text_percent(percent);

    output_number(rows, number);
    output_remark(rows, text_format("%s %s", amount, of));
    output_real(rows, rate);
    free(amount);
}

static void add_stats(struct output_rows *rows, const fastalloc_stats *stats)
{
    output_number(rows, stats->total_allocations);
    output_number(rows, stats->total_deallocations);
    add_rated(rows, stats->allocation_failures, stats->hit_rate, stats->hit_rate * 100,
              "of allocations succeeded");
    output_number(rows, stats->waits);
    add_rated(rows, stats->exchanges, stats->cache_rate, stats->cache_rate * 100,
              "of allocations served by caches");
    add_rated(rows, stats->current_usage, stats->utilization_rate, stats->utilization_rate,
              "of the capacity");
    add_rated(rows, stats->peak_usage, stats->peak_utilization_rate, stats->peak_utilization_rate,
              "of the capacity");
    output_number(rows, stats->capacity);
    output_number(rows, stats->max_capacity);
    output_number(rows, stats->available);
    output_number(rows, stats->growth_count);
    output_number(rows, stats->deaths);
    output_number(rows, stats->reclaimed);
    output_number(rows, stats->reclaims);
    output_number(rows, stats->reclaim_last_ns);
    output_remark(rows, text_format("the last of %llu", (unsigned long long)stats->reclaims));
    output_number(rows, stats->reclaim_mean_ns);
    output_number(rows, stats->reclaim_most_ns);
}

static void add_session(struct output_rows *rows, const struct attached *attached)
{
    output_number(rows, attached->session);
    output_number(rows, attached->pid);
    output_text(rows, attached->comm);
    output_number(rows, attached->uid);
    output_number(rows, attached->started);
    output_number(rows, attached->slots);
    output_number(rows, attached->counts.allocations);
    output_number(rows, attached->counts.frees);
    output_number(rows, attached->counts.failures);
    output_number(rows, attached->counts.waits);
    output_number(rows, attached->caches);
    output_text(rows, attached->dying ? "dying" : "live");
}

/* ---------------------------------------------------------------- showing */

static int by_slots(const void *left, const void *right)
{
    const struct attached *a = left, *b = right;

    if (a->slots != b->slots)
        return a->slots < b->slots ? 1 : -1;
    return a->session < b->session ? -1 : 1;
}

static void heading(const char *title)
{
    printf("\n%s%s%s\n", output_colour(OUTPUT_BOLD), title, output_colour(OUTPUT_PLAIN));
}

/* The parts of what is shown. */
struct parts {
    struct output_rows pool, slots, stats, sessions;
};

static void show_json(const struct parts *parts)
{
    json_t *object = output_object(&parts->pool);

    output_put(object, "slots", output_object(&parts->slots));
    output_put(object, "statistics", output_object(&parts->stats));
    output_put(object, "sessions", output_array(&parts->sessions));
    output_json(object);
}

static void show_text(const struct parts *parts)
{
    output_fields(&parts->pool);
    heading("slots");
    output_fields(&parts->slots);
    heading("statistics");
    output_fields(&parts->stats);
    heading("sessions");
    if (parts->sessions.count)
        output_table(&parts->sessions);
    else
        puts("none");
}

static void show_all(const struct ctl *ctl, const struct look *look)
{
    struct parts parts;
    size_t i;

    output_begin(&parts.pool, pool_columns, WIDTH(pool_columns));
    output_begin(&parts.slots, slot_columns, WIDTH(slot_columns));
    output_begin(&parts.stats, stats_columns, WIDTH(stats_columns));
    output_begin(&parts.sessions, session_columns, WIDTH(session_columns));
    add_pool(&parts.pool, look);
    add_slots(&parts.slots, &look->survey);
    add_stats(&parts.stats, &look->stats);
    qsort(look->attached, look->sessions, sizeof *look->attached, by_slots);
    for (i = 0; i < look->sessions; i++)
        add_session(&parts.sessions, &look->attached[i]);
    if (ctl->json)
        show_json(&parts);
    else
        show_text(&parts);
    output_end(&parts.sessions);
    output_end(&parts.stats);
    output_end(&parts.slots);
    output_end(&parts.pool);
}

/* A report of the library's, each line made safe: the pool's name is in some. */
static int show_report(const struct look *look, uint32_t form)
{
    int length = fastalloc_stats_report(&look->stats, form, NULL, 0);
    char *report, *line, *end, *safe;

    if (length < 0)
        return ctl_fail("%s", fastalloc_last_error());
    report = malloc((size_t)length + 1);
    if (!report)
        text_no_memory();
    fastalloc_stats_report(&look->stats, form, report, (size_t)length + 1);
    for (line = report; *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end)
            *end++ = '\0';
        safe = text_safe(line);
        puts(safe);
        free(safe);
    }
    free(report);
    return CTL_OK;
}

int cmd_stat(struct ctl *ctl)
{
    int result = CTL_OK;
    struct reason why;
    struct look look;

    if (ctl->form == FORM_OPENMETRICS)
        return openmetrics(ctl);
    if (look_at(&look, ctl->client, ctl->names[0], ctl->form == FORM_ALL, &why))
        return ctl_fail("%s", why.text);
    if (ctl->form == FORM_REPORT)
        result = show_report(&look, ctl->report);
    else
        show_all(ctl, &look);
    look_end(&look);
    return result;
}
