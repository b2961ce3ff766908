/* SPDX-License-Identifier: MIT
 *
 * openmetrics: see openmetrics.h.
 */
#include "openmetrics.h"

#include "look.h"
#include "pools.h"
#include "text.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ pools */

/* A pool's figures, gathered from all pools before the first is written: the samples of a
 * family stand together. */
struct figures {
    char *pool, *type; /* as values of labels */
    const char *state;
    uint64_t created;
    struct pool_spec spec;
    struct survey survey;
    struct totals totals;
    uint64_t capacity, max_capacity, in_use, peak, sessions, caches, bytes, metadata_bytes;
    uint64_t growths, reclaims, reclaim_ns, reclaim_last_ns, reclaim_most_ns;
};

/* What stands between the quotes of a label's value. */
static char *escaped(const char *text)
{
    char *utf8 = text_utf8(text), *value = malloc(2 * strlen(utf8) + 1), *end = value;
    const char *next;

    if (!value)
        text_no_memory();
    for (next = utf8; *next; next++) {
        if (*next == '\\' || *next == '"' || *next == '\n')
            *end++ = '\\';
        *end++ = *next;
        if (*next == '\n')
            end[-1] = 'n';
    }
    *end = '\0';
    free(utf8);
    return value;
}

static void gather(struct figures *figures, const struct look *look)
{
    *figures = (struct figures){
        .pool = escaped(look->pool.spec.name),
        .type = escaped(look->pool.spec.type_name),
        .state = look_state(look),
        .created = look->pool.created,
        .spec = look->pool.spec,
        .survey = look->survey,
        .totals = look->totals,
        .capacity = look->survey.capacity,
        .max_capacity = look->geometry.max_capacity,
        .in_use = look->survey.live + look->survey.anyone + look->survey.shared +
                  look->survey.quarantined,
        .peak = look->stats.peak_usage,
        .sessions = look->sessions,
        .caches = look->survey.threads,
        .growths = look->growths,
        .reclaims = look->stats.reclaims,
        .reclaim_ns = look->reclaim_ns,
        .reclaim_last_ns = look->stats.reclaim_last_ns,
        .reclaim_most_ns = look->stats.reclaim_most_ns,
    };
    figures->bytes = pools_memory(&look->geometry, look->survey.capacity, &figures->metadata_bytes);
}

/* --------------------------------------------------------------- families */

struct set {
    struct figures *pools;
    size_t count;
};

static void describe(const char *name, const char *type, const char *unit, const char *help)
{
    printf("# TYPE fastalloc_%s %s\n", name, type);
    if (unit)
        printf("# UNIT fastalloc_%s %s\n", name, unit);
    printf("# HELP fastalloc_%s %s\n", name, help);
}

/* Families of one number a pool. */
static const struct family {
    const char *name; /* ends with the unit */
    const char *unit; /* NULL: none */
    const char *help;
    bool counter; /* or a gauge */
    size_t at;    /* in struct figures */
} families[] = {
    {"capacity_slots", "slots", "Slots there are.", false, offsetof(struct figures, capacity)},
    {"max_capacity_slots", "slots", "Slots there can be.", false,
     offsetof(struct figures, max_capacity)},
    {"in_use_slots", "slots", "Slots in somebody's hands, left to anyone or quarantined.", false,
     offsetof(struct figures, in_use)},
    {"peak_slots", "slots",
     "The most slots that were in use since the statistics were reset, as sampled.", false,
     offsetof(struct figures, peak)},
    {"sessions", NULL, "Sessions attached.", false, offsetof(struct figures, sessions)},
    {"caches", NULL, "Threads that have a cache.", false, offsetof(struct figures, caches)},
    {"memory_bytes", "bytes", "Shared memory of the slots there are.", false,
     offsetof(struct figures, bytes)},
    {"metadata_bytes", "bytes", "Of the shared memory, all but the objects.", false,
     offsetof(struct figures, metadata_bytes)},
    {"allocations", NULL, "Slots allocated.", true,
     offsetof(struct figures, totals.counts.allocations)},
    {"frees", NULL, "Slots freed by their users.", true,
     offsetof(struct figures, totals.counts.frees)},
    {"failures", NULL, "Allocations that returned an error.", true,
     offsetof(struct figures, totals.counts.failures)},
    {"waits", NULL, "Allocations that slept for a slot.", true,
     offsetof(struct figures, totals.counts.waits)},
    {"exchanges", NULL, "Allocations that went past the thread's cache.", true,
     offsetof(struct figures, totals.exchanges)},
    {"growths", NULL, "Steps of growth.", true, offsetof(struct figures, growths)},
    {"deaths", NULL, "Sessions that ended, in due form or not.", true,
     offsetof(struct figures, totals.deaths)},
    {"reclaimed_slots", "slots", "Slots that came back from the dead, and by deadlines.", true,
     offsetof(struct figures, totals.reclaimed)},
};

static void print_family(const struct family *family, const struct set *set)
{
    const char *name = family->name, *ending = family->counter ? "_total" : "";
    size_t i;

    describe(name, family->counter ? "counter" : "gauge", family->unit, family->help);
    for (i = 0; i < set->count; i++) {
        const struct figures *pool = &set->pools[i];
        const uint64_t *value = (const void *)((const char *)pool + family->at);

        printf("fastalloc_%s%s{pool=\"%s\"} %" PRIu64 "\n", name, ending, pool->pool, *value);
        if (family->counter)
            printf("fastalloc_%s_created{pool=\"%s\"} %" PRIu64 "\n", name, pool->pool,
                   pool->created);
    }
}

static void print_info(const struct set *set)
{
    size_t i;

    describe("pool", "info", NULL, "What a pool is.");
    for (i = 0; i < set->count; i++) {
        const struct figures *pool = &set->pools[i];
        char *growth = pools_growth(&pool->spec), *on_death = pools_on_death(&pool->spec);

        printf("fastalloc_pool_info{pool=\"%s\",type=\"%s\",type_version=\"%u\","
               "object_size=\"%" PRIu64 "\",growth=\"%s\",on_death=\"%s\",lifetime=\"%s\"} 1\n",
               pool->pool, pool->type, pool->spec.type_version, pool->spec.object_size, growth,
               on_death,
               pool->spec.lifetime == FASTALLOC_PERSISTENT ? "persistent" : "until last detach");
        free(on_death);
        free(growth);
    }
}

static void print_states(const struct set *set)
{
    const char *const *state;
    size_t i;

    describe("state", "stateset", NULL, "Whether a pool can be used.");
    for (i = 0; i < set->count; i++)
        for (state = look_states; *state; state++)
            printf("fastalloc_state{pool=\"%s\",fastalloc_state=\"%s\"} %d\n", set->pools[i].pool,
                   *state, strcmp(*state, set->pools[i].state) == 0);
}

/* Each slot is in one of these places. */
static const struct place {
    const char *name;
    size_t at; /* in struct survey */
} places[] = {
    {"owned", offsetof(struct survey, live)},
    {"left", offsetof(struct survey, anyone)},
    {"shared", offsetof(struct survey, shared)},
    {"quarantined", offsetof(struct survey, quarantined)},
    {"cached", offsetof(struct survey, cached)},
    {"depot", offsetof(struct survey, stocked)},
    {"returned", offsetof(struct survey, returned)},
    {"never_used", offsetof(struct survey, never_used)},
};

static void print_places(const struct set *set)
{
    size_t i, p;

    describe("slots", "gauge", "slots", "Where slots are.");
    for (i = 0; i < set->count; i++)
        for (p = 0; p < sizeof places / sizeof *places; p++) {
            const struct figures *pool = &set->pools[i];
            const uint64_t *value = (const void *)((const char *)&pool->survey + places[p].at);

            printf("fastalloc_slots{pool=\"%s\",state=\"%s\"} %" PRIu64 "\n", pool->pool,
                   places[p].name, *value);
        }
}

static void print_seconds(const char *name, const char *pool, uint64_t ns)
{
    printf("fastalloc_%s{pool=\"%s\"} %" PRIu64 ".%09" PRIu64 "\n", name, pool, ns / 1000000000,
           ns % 1000000000);
}

static void print_reclaims(const struct set *set)
{
    const struct figures *pool, *end = set->pools + set->count;

    /* These begin anew at a reset; nobody knows when that was, so there is no "_created". */
    describe("reclaim_seconds", "summary", "seconds",
             "From noticing a death to its slots' being free, since the statistics were reset.");
    for (pool = set->pools; pool < end; pool++) {
        printf("fastalloc_reclaim_seconds_count{pool=\"%s\"} %" PRIu64 "\n", pool->pool,
               pool->reclaims);
        print_seconds("reclaim_seconds_sum", pool->pool, pool->reclaim_ns);
    }
    describe("reclaim_last_seconds", "gauge", "seconds", "The latest of these.");
    for (pool = set->pools; pool < end; pool++)
        print_seconds("reclaim_last_seconds", pool->pool, pool->reclaim_last_ns);
    describe("reclaim_most_seconds", "gauge", "seconds",
             "The most of these since the statistics were reset.");
    for (pool = set->pools; pool < end; pool++)
        print_seconds("reclaim_most_seconds", pool->pool, pool->reclaim_most_ns);
}

static void print_set(const struct set *set)
{
    size_t i;

    print_info(set);
    print_states(set);
    print_places(set);
    for (i = 0; i < sizeof families / sizeof *families; i++)
        print_family(&families[i], set);
    print_reclaims(set);
    puts("# EOF");
}

/* ------------------------------------------------------------ all of them */

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Whether a pool that nobody named may be left out without a word: it has gone meanwhile, or
 * is not this user's. */
static bool is_nothing(int error)
{
    return error == FASTALLOC_E_NOT_FOUND || error == FASTALLOC_E_DESTROYED ||
           error == FASTALLOC_E_PERMISSION;
}

/* Gathers from the pools of these names, sorted, each once. */
static int gather_all(struct ctl *ctl, char **names, size_t count, bool named, struct set *set)
{
    int result = CTL_OK, error;
    struct reason why;
    struct look look;
    size_t i;

    qsort(names, count, sizeof *names, by_text);
    set->count = 0;
    set->pools = calloc(count + 1, sizeof *set->pools);
    if (!set->pools)
        text_no_memory();
    for (i = 0; i < count; i++) {
        if (i && strcmp(names[i], names[i - 1]) == 0)
            continue;
        error = look_at(&look, ctl->client, names[i], false, &why);
        if (!error) {
            gather(&set->pools[set->count++], &look);
            look_end(&look);
        } else if (named || !is_nothing(error)) {
            result = ctl_fail("%s", why.text);
        }
    }
    return result;
}

/* The names of all pools that have theirs still. */
static int find_all(struct ctl *ctl, char ***names, size_t *count)
{
    struct wire_pool *pools;
    struct reason why;
    size_t number, i;

    if (pools_list(ctl->client, &pools, &number, &why))
        return ctl_fail("%s", why.text);
    *count = 0;
    *names = calloc(number + 1, sizeof **names);
    if (!*names)
        text_no_memory();
    for (i = 0; i < number; i++)
        if (!pools[i].destroyed)
            (*names)[(*count)++] = text_format("%s", pools[i].spec.name);
    free(pools);
    return CTL_OK;
}

int openmetrics(struct ctl *ctl)
{
    size_t count = (size_t)ctl->name_count, i;
    char **names = ctl->names;
    struct set set;
    int result;

    if (!ctl->name_count && find_all(ctl, &names, &count))
        return CTL_FAILED;
    result = gather_all(ctl, names, count, ctl->name_count > 0, &set);
    print_set(&set);
    for (i = 0; i < set.count; i++) {
        free(set.pools[i].pool);
        free(set.pools[i].type);
    }
    free(set.pools);
    if (!ctl->name_count) {
        for (i = 0; i < count; i++)
            free(names[i]);
        free(names);
    }
    return result;
}
