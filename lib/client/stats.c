/* SPDX-License-Identifier: MIT
 *
 * stats: the public functions about statistics, and their reports.
 *
 * Numbers with a fraction are put together of whole ones: a program's locale does not reach
 * reports.
 */
#include "fault.h"
#include "pool.h"
#include "shm/tally.h"
#include "thread.h"

#include <fastalloc/fastalloc.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ----------------------------------------------------------------- reading */

/* What is wrong with the arguments; NULL: nothing. */
static const char *find_fault(const fastalloc_pool *pool, const fastalloc_stats *stats)
{
    if (!pool)
        return "pool is NULL";
    if (!stats)
        return "stats is NULL";
    if (stats->struct_size != sizeof *stats)
        return "stats->struct_size is not sizeof(fastalloc_stats)";
    return NULL;
}

int fastalloc_pool_stats(fastalloc_pool *pool, fastalloc_stats *stats)
{
    const char *wrong = find_fault(pool, stats);
    struct thread *thread;
    int error;

    if (wrong)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_stats: %s", wrong);
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    tally_read(&pool->segment, stats);
    tally_raise_peak(&pool->segment, stats->current_usage);
    memcpy(stats->name, pool->spec.name, sizeof stats->name);
    thread_end(thread, pool);
    return 0;
}

int fastalloc_session_stats(fastalloc_pool *pool, uint32_t session, fastalloc_stats *stats)
{
    const char *wrong = find_fault(pool, stats);
    struct thread *thread;
    bool found;
    int error;

    if (wrong)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_session_stats: %s", wrong);
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    found = tally_read_session(&pool->segment, session, stats);
    if (found)
        memcpy(stats->name, pool->spec.name, sizeof stats->name);
    thread_end(thread, pool);
    if (!found)
        return fault_set(FASTALLOC_E_SESSION,
                         "session_stats: pool \"%s\" has no live session %u (its numbers go from 1 "
                         "to %u)",
                         pool->spec.name, session, pool->segment.geometry.sessions);
    return 0;
}

int fastalloc_pool_stats_reset(fastalloc_pool *pool)
{
    struct thread *thread;
    int error;

    if (!pool)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_stats_reset: pool is NULL");
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    tally_reset(&pool->segment);
    thread_end(thread, pool);
    return 0;
}

/* ----------------------------------------------------------------- reports */

/* Written as far as there is room. */
struct report {
    char *buffer;
    size_t size, length;
};

__attribute__((format(printf, 2, 3))) static void add(struct report *report, const char *format,
                                                      ...)
{
    size_t room = report->length < report->size ? report->size - report->length : 0;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(room ? report->buffer + report->length : NULL, room, format, arguments);
    va_end(arguments);
    report->length += length > 0 ? (size_t)length : 0;
}

#define DECIMAL_MAX 32

/* A number as text with so many digits after the point; 0 for what is none, or below 0. */
static const char *decimal(char text[DECIMAL_MAX], double number, unsigned digits)
{
    uint64_t unit = 1, units;
    unsigned i;

    for (i = 0; i < digits; i++)
        unit *= 10;
    if (!(number > 0))
        number = 0;
    if (number > 1e9)
        number = 1e9;
    units = (uint64_t)(number * (double)unit + 0.5);
    snprintf(text, DECIMAL_MAX, "%" PRIu64 ".%0*" PRIu64, units / unit, (int)digits, units % unit);
    return text;
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

static void write_line(struct report *report, const fastalloc_stats *stats)
{
    char rate[DECIMAL_MAX];

    if (stats->session)
        add(report, "Session %" PRIu32 ": ", stats->session);
    else
        add(report, "Pool: ");
    add(report,
        "%" PRIu64 "/%" PRIu64 " (%s%%) | Allocs: %" PRIu64 " | Deallocs: %" PRIu64
        " | Failures: %" PRIu64,
        stats->current_usage, stats->capacity,
        decimal(rate, percent(stats->current_usage, stats->capacity), 1), stats->total_allocations,
        stats->total_deallocations, stats->allocation_failures);
}

static void add_number(struct report *report, const char *label, uint64_t number)
{
    add(report, "  %-16s%20" PRIu64 "\n", label, number);
}

static void add_slots(struct report *report, const char *label, uint64_t slots, double rate)
{
    char text[DECIMAL_MAX];

    add(report, "  %-16s%20" PRIu64 "   %5s %% of capacity\n", label, slots,
        decimal(text, rate, 1));
}

static void add_rate(struct report *report, const char *label, double rate)
{
    char text[DECIMAL_MAX];

    add(report, "  %-16s%20s %%\n", label, decimal(text, 100.0 * rate, 2));
}

static void add_time(struct report *report, const char *label, uint64_t ns)
{
    char text[DECIMAL_MAX];

    add(report, "  %-16s%20s ms\n", label, decimal(text, (double)ns / 1e6, 3));
}

static void add_counts(struct report *report, const fastalloc_stats *stats)
{
    add_number(report, "Allocations", stats->total_allocations);
    add_number(report, "Deallocations", stats->total_deallocations);
    add_number(report, "Failures", stats->allocation_failures);
    add_number(report, "Waits", stats->waits);
}

static void write_text(struct report *report, const fastalloc_stats *stats)
{
    if (stats->session) {
        add(report, "Session %" PRIu32 " of pool \"%.255s\"\n", stats->session, stats->name);
        add_slots(report, "In use", stats->current_usage,
                  percent(stats->current_usage, stats->capacity));
        add_number(report, "Capacity", stats->capacity);
        add_counts(report, stats);
        return;
    }
    add(report, "Pool \"%.255s\"\n", stats->name);
    add_slots(report, "In use", stats->current_usage, stats->utilization_rate);
    add_slots(report, "Peak", stats->peak_usage, stats->peak_utilization_rate);
    add_number(report, "Available", stats->available);
    add_number(report, "Capacity", stats->capacity);
    add_number(report, "Max capacity", stats->max_capacity);
    add_number(report, "Growths", stats->growth_count);
    add_counts(report, stats);
    add_number(report, "Exchanges", stats->exchanges);
    add_rate(report, "Hit rate", stats->hit_rate);
    add_rate(report, "Cache rate", stats->cache_rate);
    add_number(report, "Deaths", stats->deaths);
    add_number(report, "Reclaimed", stats->reclaimed);
    add_number(report, "Reclaims", stats->reclaims);
    add_time(report, "Last reclaim", stats->reclaim_last_ns);
    add_time(report, "Longest reclaim", stats->reclaim_most_ns);
    add_time(report, "Mean reclaim", stats->reclaim_mean_ns);
}

static void add_pair(struct report *report, const char *key, uint64_t number)
{
    add(report, "%s=%" PRIu64 "\n", key, number);
}

static void add_rate_pair(struct report *report, const char *key, double rate, unsigned digits)
{
    char text[DECIMAL_MAX];

    add(report, "%s=%s\n", key, decimal(text, rate, digits));
}

static void write_pairs(struct report *report, const fastalloc_stats *stats)
{
    add(report, "name=%.255s\n", stats->name);
    add_pair(report, "session", stats->session);
#define PAIR(field) add_pair(report, #field, stats->field)
    PAIR(total_allocations);
    PAIR(total_deallocations);
    PAIR(allocation_failures);
    PAIR(waits);
    PAIR(current_usage);
    PAIR(peak_usage);
    PAIR(capacity);
    PAIR(max_capacity);
    PAIR(available);
    PAIR(growth_count);
    PAIR(exchanges);
    PAIR(reclaimed);
    PAIR(deaths);
    PAIR(reclaims);
    PAIR(reclaim_last_ns);
    PAIR(reclaim_most_ns);
    PAIR(reclaim_mean_ns);
#undef PAIR
    add_rate_pair(report, "utilization_rate", stats->utilization_rate, 4);
    add_rate_pair(report, "peak_utilization_rate", stats->peak_utilization_rate, 4);
    add_rate_pair(report, "hit_rate", stats->hit_rate, 6);
    add_rate_pair(report, "cache_rate", stats->cache_rate, 6);
}

int fastalloc_stats_report(const fastalloc_stats *stats, uint32_t form, char *buffer, size_t size)
{
    struct report report = {buffer, size, 0};

    if (!stats || stats->struct_size != sizeof *stats || (!buffer && size))
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_stats_report: %s",
                         !stats            ? "stats is NULL"
                         : !buffer && size ? "buffer is NULL"
                                           : "stats->struct_size is not sizeof(fastalloc_stats)");
    switch (form) {
    case FASTALLOC_REPORT_TEXT:
        write_text(&report, stats);
        break;
    case FASTALLOC_REPORT_LINE:
        write_line(&report, stats);
        break;
    case FASTALLOC_REPORT_PAIRS:
        write_pairs(&report, stats);
        break;
    default:
        return fault_set(FASTALLOC_E_INVALID,
                         "fastalloc_stats_report: form %u is neither FASTALLOC_REPORT_TEXT, _LINE "
                         "nor _PAIRS",
                         form);
    }
    return (int)report.length;
}
