/* SPDX-License-Identifier: MIT
 *
 * scale_tables: what bench-scale prints, in Markdown: the tables of ARCHITECTURE.md's "At scale".
 */
#include "scale.h"

#include <math.h>
#include <stdio.h>

#define BURST 1000u
#define SESSIONS 1000u
#define LARGE UINT64_C(100000000)
#define SHORT_NS 4e6
#define LONG_NS 40e6 /* several slices of all */

static const enum scale_workload real[] = {SCALE_PAIR, SCALE_WALK, SCALE_BURST, SCALE_HANDOVER,
                                           SCALE_LARSON};
#define REAL (sizeof real / sizeof real[0])

static struct scale_setting setting(enum scale_workload workload, uint32_t threads, uint32_t cores)
{
    struct scale_setting set = {.workload = workload,
                                .threads = threads,
                                .cores = cores,
                                .burst = BURST,
                                .spare = 2000,
                                .run_ns = threads > cores ? LONG_NS : SHORT_NS,
                                .patient = true,
                                .seed = 1};

    scale_run_shape(threads, &set.magazine, &set.depots);
    return set;
}

/* ---------------------------------------------------------------- memory */

static void print_pool(const char *what, uint64_t slots, uint32_t flags)
{
    double mib = 0x1p20, tables;
    struct geometry g;

    if (scale_plan(slots, 64, 1024, SESSIONS, flags, &g))
        return;
    tables = (double)g.total / 4096 * 8;
    printf("| %s | %.2f | %.1f | %.0f | %.0f | %.1f | %.2f | %.1f | %.1f |\n", what,
           (double)g.magazine_words_at / mib, (double)(g.magazines_at - g.magazine_words_at) / mib,
           (double)(g.words_at - g.magazines_at) / mib, (double)(g.guard_at - g.words_at) / mib,
           (double)g.guard_at / (double)slots, (double)g.total / 0x1p30, tables / mib,
           tables * SESSIONS / 0x1p30);
}

void scale_print_memory(void)
{
    struct geometry g;

    printf("\nMemory: objects of 64 bytes, 1,000 sessions, 1,024 caches.\n\n"
           "| slots | fixed MiB | magazine words, bitmap MiB | magazines MiB | slot words and "
           "features MiB | metadata bytes a slot | all GiB | page tables of one process that "
           "touches all, MiB | of 1,000, GiB |\n|---|---|---|---|---|---|---|---|---|\n");
    print_pool("1 million", 1000000, 0);
    print_pool("10 million", 10000000, 0);
    print_pool("100 million", LARGE, 0);
    print_pool("... notes, stages", LARGE, SPEC_NOTES | SPEC_STAGES);
    print_pool("... sharing", LARGE, SPEC_SHARING);
    if (scale_plan(LARGE, 64, 1024, SESSIONS, 0, &g))
        return;
    printf("\n100 million slots have handles of %u bits of index and %u of generation: a slot "
           "freed every 5 ns comes round after %.0f minutes.\n",
           g.index_bits, 64 - g.index_bits, ldexp(5e-9, (int)(64 - g.index_bits)) / 60);
}

/* ---------------------------------------------------------------- predicted and measured */

static void print_run(const struct scale_costs *costs, struct scale_setting *set, double seconds)
{
    struct scale_outcome predicted;
    struct scale_run measured;

    if (!scale_run(set, seconds, &measured)) {
        printf(" |");
        return;
    }
    set->foreign = measured.foreign;
    set->line_ns = scale_measure_line();
    /* What the pool of a real run has never used: its capacity is made for that. */
    set->fresh = 65536;
    scale_simulate(costs, set, &predicted);
    printf(" %.0f / %.0f (%+.0f %%) |", predicted.mops, measured.mops,
           (predicted.mops / measured.mops - 1) * 100);
    fflush(stdout);
}

void scale_print_check(const struct scale_costs *costs, double seconds)
{
    uint32_t processes;
    size_t w;

    printf("\nSimulated / measured, in million operations a second (an allocation and a free are "
           "two), and the simulation's error; %u processors, lines as they were at the time.\n\n"
           "| processes | 1 | 2 | 4 | 8 | 16 |\n|---|---|---|---|---|---|\n",
           scale_processors());
    for (w = 0; w < REAL; w++) {
        printf("| %s |", scale_workload_names[real[w]]);
        for (processes = 1; processes <= 16; processes *= 2) {
            struct scale_setting set = setting(real[w], processes, scale_processors());

            print_run(costs, &set, seconds);
        }
        printf("\n");
    }
}

/* ---------------------------------------------------------------- depots */

void scale_print_rates(const struct scale_costs *costs)
{
    static const double lines[] = {0, 25, 50, 100, 200}; /* 0: as measured */
    double hold = costs->of[SCALE_HOLD].median, transfer = costs->of[SCALE_TRANSFER].median;
    double count = transfer > 0 ? (costs->of[SCALE_HOLD_AFAR].median - hold) / transfer : 0;
    unsigned depots;
    size_t i;

    printf("\nMillion exchanges a second at which one in a hundred finds every depot locked (a "
           "line's ns: %.0f measured here, the rest assumed).\n\n"
           "| line ns | lock held ns | 4 depots | 8 | 16 | 32 | 64 |\n"
           "|---|---|---|---|---|---|---|\n",
           transfer);
    for (i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        double line = lines[i] > 0 ? lines[i] : transfer, held = hold + count * line;

        printf("| %.0f | %.0f |", line, held);
        for (depots = 4; depots <= 64; depots *= 2)
            printf(" %.1f |", scale_erlang_load(depots, 0.01) / held * 1e3);
        printf("\n");
    }
}

/* ---------------------------------------------------------------- extrapolated */

/* "Mops/s; exchanges M/s; use of the most used depot; share that found all locked". */
static void print_cell(const struct scale_costs *costs, const struct scale_setting *set)
{
    struct scale_outcome o;

    scale_simulate(costs, set, &o);
    printf(" %.0f; %.1f; %.0f %%; %.1f %% |", o.mops, o.exchanges, o.use_most * 100, o.shut * 100);
    fflush(stdout);
}

void scale_print_cores(const struct scale_costs *costs)
{
    static const uint32_t sizes[][2] = {{16, 16}, {32, 32}, {64, 64}, {128, 128}, {128, 1000}};
    size_t w, i;

    printf("\nSimulated, a line at 100 ns: million operations a second; million exchanges a "
           "second; how much of the time the busiest depot is locked; share of exchanges that "
           "find all depots locked.\n\n"
           "| cores, processes | 16, 16 | 32, 32 | 64, 64 | 128, 128 | 128, 1,000 |\n"
           "|---|---|---|---|---|---|\n");
    for (w = 0; w < REAL; w++) {
        printf("| %s |", scale_workload_names[real[w]]);
        for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct scale_setting set = setting(real[w], sizes[i][1], sizes[i][0]);

            set.line_ns = 100;
            print_cell(costs, &set);
        }
        printf("\n");
    }
}

struct choice {
    const char *what;
    uint32_t magazine, depots; /* 0: as it is */
    double line_ns, work_ns;
    bool waits, patient, looks;
};

void scale_print_choices(const struct scale_costs *costs)
{
    static const struct choice choices[] = {
        {"as it is", 0, 0, 100, 0, false, true, false},
        {"line 25 ns", 0, 0, 25, 0, false, true, false},
        {"line 200 ns", 0, 0, 200, 0, false, true, false},
        {"20 ns of work an operation", 0, 0, 100, 20, false, true, false},
        {"50 ns", 0, 0, 100, 50, false, true, false},
        {"200 ns", 0, 0, 100, 200, false, true, false},
        {"magazines of 63", 63, 0, 100, 0, false, true, false},
        {"... 127", 127, 0, 100, 0, false, true, false},
        {"... 255", 255, 0, 100, 0, false, true, false},
        {"... 511", 511, 0, 100, 0, false, true, false},
        {"4 depots", 0, 4, 100, 0, false, true, false},
        {"16 depots", 0, 16, 100, 0, false, true, false},
        {"32 depots", 0, 32, 100, 0, false, true, false},
        {"64 depots", 0, 64, 100, 0, false, true, false},
        {"revoking at once", 0, 0, 100, 0, false, false, false},
        {"looking before trying", 0, 0, 100, 0, false, true, true},
        {"waiting in line", 0, 0, 100, 0, true, true, false},
    };
    static const enum scale_workload some[] = {SCALE_BURST, SCALE_HANDOVER};
    struct scale_setting as_is = setting(some[0], 128, 128);
    size_t i, w;

    printf("\nThe same at 128 cores and processes (magazines of %u, %u depots), with one thing "
           "changed.\n\n| 128, 128 | %s | %s |\n|---|---|---|\n",
           as_is.magazine, as_is.depots, scale_workload_names[some[0]],
           scale_workload_names[some[1]]);
    for (i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        const struct choice *choice = &choices[i];

        printf("| %s |", choice->what);
        for (w = 0; w < 2; w++) {
            struct scale_setting set = setting(some[w], 128, 128);

            set.line_ns = choice->line_ns;
            set.work_ns = choice->work_ns;
            set.waits = choice->waits;
            set.patient = choice->patient;
            set.looks = choice->looks;
            set.magazine = choice->magazine ? choice->magazine : set.magazine;
            set.depots = choice->depots ? choice->depots : set.depots;
            print_cell(costs, &set);
        }
        printf("\n");
    }
}

/* ---------------------------------------------------------------- deaths */

void scale_print_deaths(const struct scale_costs *costs)
{
    static const uint64_t slots[] = {1000000, 10000000, LARGE};
    const struct scale_value *of = costs->of;
    struct geometry g;
    size_t i;

    printf("\nDeaths and searches, in ms, by the costs; who dies held a hundredth of the slots, "
           "1,000 who die at once all of that together.\n\n"
           "| slots | a sweep | ... died inside an operation | 1,000 deaths | ... in passes of 64 "
           "| a depot built anew | a round of revocation, 1,000 caches | `fastallocctl stat` |\n"
           "|---|---|---|---|---|---|---|---|\n");
    for (i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        double n = (double)slots[i], held = n / 100, pass = of[SCALE_SWEEP_SLOT].median * n;
        double taken = of[SCALE_SWEEP_TAKEN].median * held;
        double again = of[SCALE_SWEEP_RETURNED].median * held / 2;

        if (scale_plan(slots[i], 64, 1024, SESSIONS, 0, &g))
            continue;
        printf("| %.0f million | %.1f | %.1f | %.0f | %.0f | %.2f | %.2f | %.1f |\n", n / 1e6,
               (pass + taken) / 1e6, (pass + taken + of[SCALE_SWEEP_ENTRY].median * n) / 1e6,
               (SESSIONS * (pass + again) + taken) / 1e6,
               (ceil(SESSIONS / 64.) * (pass + again) + taken) / 1e6,
               of[SCALE_REBUILD].median * g.magazines / 1e6,
               (scale_barrier(costs, 128) + of[SCALE_ROUND_CACHE].median * SESSIONS +
                of[SCALE_ROUND_MAGAZINE].median * g.magazines) /
                   1e6,
               of[SCALE_SURVEY_SLOT].median * n / 1e6);
    }
    printf("\nA look at the fences of 1,000 sessions takes %.1f ms.\n",
           of[SCALE_FENCE_1000].median * SESSIONS / 1e6);
}
