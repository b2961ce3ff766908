/* SPDX-License-Identifier: MIT
 *
 * scale_large: a pool of many slots, made for real: what the costs of small pools say of it, and
 * what it does.
 */
#define _GNU_SOURCE
#include "scale_pool.h"

#include "os/backing.h"
#include "shm/revoke.h"
#include "shm/supply.h"
#include "shm/survey.h"
#include "shm/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HELD 1000000u /* by the one that dies */

struct large {
    const struct scale_costs *costs;
    struct scale_pool pool;
    struct actor actor;
    double slots, magazines, tables; /* MiB of page tables for all of it */
};

static double of(const struct large *large, enum scale_cost cost)
{
    return large->costs->of[cost].median;
}

/* A line of the table: milliseconds of processor time. */
static void tell(const char *what, double predicted, double began)
{
    double ms = (scale_cpu_ns() - began) / 1e6;

    if (predicted > 0)
        printf("| %s | %.2f | %.2f | %+.0f %% |\n", what, predicted / 1e6, ms,
               (predicted / 1e6 / ms - 1) * 100);
    else
        printf("| %s | | %.2f | |\n", what, ms);
    fflush(stdout);
}

/* KiB of page tables of this process. */
static double page_tables(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[128];
    double kib = 0;

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmPTE: %lf", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib;
}

static void attach(struct large *large, const char *what)
{
    uint64_t bytes = large->pool.bytes, at;
    volatile char *touched;
    struct segment segment;
    struct reason why = {0, ""};
    double began, before;
    void *mapped;

    before = page_tables();
    began = scale_cpu_ns();
    if (backing_map(large->pool.descriptor, bytes, true, NULL, 0, &mapped, &why) ||
        segment_attach(&segment, mapped, bytes, NULL, &why))
        scale_give_up("%s", why.text);
    began = scale_cpu_ns();
    for (touched = mapped, at = 0; at < bytes; at += 4096)
        touched[at] = touched[at];
    tell(what, of(large, SCALE_FAULT) * (double)(bytes >> 12), began);
    large->tables = (page_tables() - before) / 1024;
    backing_unmap(mapped, bytes);
}

static void sweep(struct large *large, uint32_t session, const char *what, double predicted)
{
    double began = scale_cpu_ns();

    sweep_session(&large->pool.segment, session, NULL, NULL);
    tell(what, predicted, began);
}

static void die(struct large *large, uint32_t sessions)
{
    double pass = of(large, SCALE_SWEEP_SLOT) * large->slots, began;
    uint32_t s;

    scale_pool_actor(&large->pool, 3, false);
    sweep(large, 3, "sweep of a session that held nothing", pass);
    scale_pool_actor(&large->pool, 3, false);
    scale_pool_own(&large->pool, 3, 0, HELD);
    sweep(large, 3, "... that held 1,000,000 slots", pass + of(large, SCALE_SWEEP_TAKEN) * HELD);
    for (s = 3; s < 3 + 20; s++)
        scale_pool_actor(&large->pool, s, false);
    began = scale_cpu_ns();
    for (s = 3; s < 3 + 20; s++)
        sweep_session(&large->pool.segment, s, NULL, NULL);
    tell("... 20 more deaths, those slots being in the bitmap",
         20 * (pass + of(large, SCALE_SWEEP_RETURNED) * HELD), began);
    printf("| ... so %u deaths, s, not ms | %.1f | %.1f | |\n", sessions,
           sessions * (pass + of(large, SCALE_SWEEP_RETURNED) * HELD) / 1e9,
           (scale_cpu_ns() - began) / 20 * sessions / 1e9);
}

static void search(struct large *large)
{
    struct revocation revocation = {.notes = NULL};
    uint32_t magazine, session, caches = large->pool.segment.geometry.caches;
    double began;
    uint64_t word;

    for (session = 30; session < 30 + caches - 1; session++)
        scale_pool_actor(&large->pool, session, true);
    began = scale_cpu_ns();
    if (!revoke_begin(&large->pool.segment, &large->actor, &revocation))
        scale_give_up("membarrier is refused here");
    revoke_take(&large->pool.segment, &large->actor, &revocation, &magazine, &word);
    tell("a round of revocation, 1,000 caches",
         of(large, SCALE_BARRIER_0) + of(large, SCALE_ROUND_CACHE) * caches +
             of(large, SCALE_ROUND_MAGAZINE) * large->magazines,
         began);
    revoke_end(&revocation);
}

static void look(struct large *large)
{
    uint64_t *by_session = calloc(large->pool.segment.geometry.sessions + 1, sizeof *by_session);
    struct survey seen;
    double began;

    if (!by_session)
        scale_give_up("no memory for a survey");
    began = scale_cpu_ns();
    survey_slots(&large->pool.segment, &seen, by_session);
    tell("fastallocctl stat, its look at the slots", of(large, SCALE_SURVEY_SLOT) * large->slots,
         began);
    free(by_session);
}

int scale_large(const struct scale_costs *costs, uint64_t slots, uint32_t sessions, uint64_t most)
{
    static const struct scale_costs none;
    struct large large = {.costs = costs, .slots = (double)slots};
    struct geometry geometry;
    double began;

    if (scale_plan(slots, 8, sessions, sessions + 64, 0, &geometry))
        return -1;
    if (geometry.total > most) {
        fprintf(stderr, "bench-scale: %llu slots take %llu bytes, more than %llu\n",
                (unsigned long long)slots, (unsigned long long)geometry.total,
                (unsigned long long)most);
        return -1;
    }
    printf("\nA pool of %llu slots of 8 bytes, %u sessions, %.2f GiB in all, for real.\n\n"
           "| ms of processor time | by the costs | measured | error |\n|---|---|---|---|\n",
           (unsigned long long)slots, sessions, (double)geometry.total / 0x1p30);
    began = scale_cpu_ns();
    scale_pool_make(&large.pool, slots, sessions, sessions + 64, true);
    tell("making it: reserving, mapping, formatting", 0, began);
    large.actor = scale_pool_actor(&large.pool, 1, true);
    large.magazines = large.pool.segment.geometry.magazines;
    /* Reserving does not clear: the first to touch a page does. */
    large.costs = &none;
    attach(&large, "a first process touches every page, which clears it");
    large.costs = costs;
    attach(&large, "another process maps and touches every page");
    printf("| ... its page tables, MiB, not ms | %.2f | %.2f | |\n",
           (double)(large.pool.bytes >> 12) * 8 / 0x1p20, large.tables);
    began = scale_cpu_ns();
    sweep_session(&large.pool.segment, 2, NULL, NULL);
    tell("a first sweep: every page of the words is new to the sweeper", 0, began);
    die(&large, sessions);
    look(&large);
    search(&large);
    scale_pool_end(&large.pool);
    return 0;
}
