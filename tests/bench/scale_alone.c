/* SPDX-License-Identifier: MIT
 *
 * scale_alone: the costs that one process can measure, on a segment of its own.
 *
 * Each is repeated; a repeat is short, so that most of them fall between two interruptions.
 * Times are of the thread's processor, so what others do on it is not counted.
 */
#define _GNU_SOURCE
#include "scale_pool.h"

#include "os/backing.h"
#include "os/fence.h"
#include "shm/bitmap.h"
#include "shm/depot.h"
#include "shm/revoke.h"
#include "shm/slot.h"
#include "shm/supply.h"
#include "shm/survey.h"
#include "shm/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define REPEATS 31u
#define SLOTS (UINT64_C(1) << 20)
#define SOME 1000u
#define TAKEN 100000u
#define CACHES 1000u

/* Times `act` REPEATS times; the value is per one of `count`. */
static struct scale_value repeat(void (*act)(void *), void (*before)(void *), void *of,
                                 double count, unsigned repeats)
{
    double values[REPEATS], began;
    unsigned i;

    for (i = 0; i < repeats; i++) {
        if (before)
            before(of);
        began = scale_cpu_ns();
        act(of);
        values[i] = (scale_cpu_ns() - began) / count;
    }
    return scale_value_of(values, repeats);
}

/* What is left of a cost without another. */
static struct scale_value less(struct scale_value all, struct scale_value part, double times)
{
    return (struct scale_value){fmax(all.min - part.min * times, 0),
                                fmax(all.median - part.median * times, 0)};
}

static struct scale_value divided(struct scale_value value, double by)
{
    return (struct scale_value){value.min / by, value.median / by};
}

/* ---------------------------------------------------------------- slots */

struct bench {
    struct scale_pool pool;
    struct actor actor;
    struct revocation revocation;
    uint64_t *by_session;
    uint32_t session;
};

static void exchange(void *of)
{
    struct bench *bench = of;
    struct segment *segment = &bench->pool.segment;
    uint32_t i, magazine;
    uint64_t word;

    for (i = 0; i < SOME; i++) {
        if (depot_lock(segment, bench->actor.depot, NULL) != LOCK_TAKEN)
            continue;
        cache_enter(segment, &bench->actor);
        cache_moves(segment, &bench->actor);
        if (depot_take_stock_locked(segment, bench->actor.depot, bench->actor.session, &magazine,
                                    &word))
            depot_give_locked(segment, bench->actor.depot, magazine, word);
        cache_leave(segment, &bench->actor);
        depot_unlock(segment, bench->actor.depot);
    }
}

static void put_returned(void *of)
{
    struct bench *bench = of;
    struct segment *segment = &bench->pool.segment;
    uint64_t index;

    for (index = SLOTS / 2; index < SLOTS / 2 + SOME; index++)
        bitmap_return(segment, bench->actor.session, index, shm_load(&segment->words[index]));
}

static void take_returned(void *of)
{
    struct bench *bench = of;
    uint32_t i;

    for (i = 0; i < SOME; i++)
        bitmap_take(&bench->pool.segment, bench->actor.session, bench->actor.turn);
}

static void claim_fresh(void *of)
{
    struct bench *bench = of;
    static uint64_t from = SLOTS / 2;

    scale_pool_own(&bench->pool, bench->actor.session, from, from + SOME);
    from += SOME;
}

static void measure_slots(struct scale_costs *costs)
{
    struct bench bench;

    scale_pool_make(&bench.pool, SLOTS, 8, 8, false);
    bench.actor = scale_pool_actor(&bench.pool, 1, true);
    scale_pool_stock(&bench.pool, &bench.actor, 20 * bench.pool.segment.geometry.magazine_size);
    costs->of[SCALE_HOLD] = repeat(exchange, NULL, &bench, SOME, REPEATS);
    costs->of[SCALE_FRESH] = repeat(claim_fresh, NULL, &bench, SOME, REPEATS);
    costs->of[SCALE_RETURNED_PUT] = repeat(put_returned, take_returned, &bench, SOME, REPEATS);
    costs->of[SCALE_RETURNED_TAKE] = repeat(take_returned, put_returned, &bench, SOME, REPEATS);
    scale_pool_end(&bench.pool);
}

/* ---------------------------------------------------------------- deaths */

static void open_session(void *of)
{
    struct bench *bench = of;

    scale_pool_actor(&bench->pool, bench->session, false);
}

static void open_owner(void *of)
{
    struct bench *bench = of;

    open_session(of);
    scale_pool_own(&bench->pool, bench->session, 0, TAKEN);
}

/* Died inside an operation, with a full magazine loaded. */
static void open_suspect(void *of)
{
    struct bench *bench = of;
    struct actor actor = scale_pool_actor(&bench->pool, bench->session, true);
    uint64_t index, word;

    if (supply_alloc(&bench->pool.segment, &actor, SUPPLY_PATIENCE_US, &index, &word))
        scale_give_up("no slot for a suspect");
    supply_free(&bench->pool.segment, &actor, index, word);
    shm_store(&bench->pool.segment.caches[actor.cache].gate.busy, 1u);
}

static void sweep(void *of)
{
    struct bench *bench = of;

    sweep_session(&bench->pool.segment, bench->session, NULL, NULL);
}

static void soil(void *of)
{
    struct bench *bench = of;

    shm_store_ordered(&bench->pool.segment.depots[bench->actor.depot].dirty, 1u);
}

static void rebuild(void *of)
{
    struct bench *bench = of;

    if (depot_lock(&bench->pool.segment, bench->actor.depot, NULL) == LOCK_TAKEN)
        depot_unlock(&bench->pool.segment, bench->actor.depot);
}

static void survey(void *of)
{
    struct bench *bench = of;
    struct survey seen;

    survey_slots(&bench->pool.segment, &seen, bench->by_session);
}

static void measure_deaths(struct scale_costs *costs)
{
    struct scale_value empty, taking, again, busy;
    struct bench bench = {.session = 3};

    scale_pool_make(&bench.pool, SLOTS, 8, 1000, false);
    bench.by_session = calloc(1001, sizeof *bench.by_session);
    if (!bench.by_session)
        scale_give_up("no memory for a survey");
    bench.actor = scale_pool_actor(&bench.pool, 1, true);
    open_session(&bench);
    sweep(&bench); /* touches every word */
    empty = repeat(sweep, open_session, &bench, 1, REPEATS);
    taking = repeat(sweep, open_owner, &bench, 1, REPEATS / 3);
    again = repeat(sweep, open_session, &bench, 1, REPEATS / 3);
    costs->of[SCALE_SWEEP_SLOT] = divided(empty, (double)SLOTS);
    costs->of[SCALE_SWEEP_TAKEN] = divided(less(taking, empty, 1), TAKEN);
    costs->of[SCALE_SWEEP_RETURNED] = divided(less(again, empty, 1), TAKEN);
    costs->of[SCALE_SURVEY_SLOT] = repeat(survey, NULL, &bench, (double)SLOTS, REPEATS / 3);

    scale_pool_own(&bench.pool, 1, 0, TAKEN);
    scale_pool_stock(&bench.pool, &bench.actor, SLOTS - TAKEN - 1);
    empty = repeat(sweep, open_session, &bench, 1, REPEATS / 3);
    busy = repeat(sweep, open_suspect, &bench, 1, REPEATS / 3);
    costs->of[SCALE_SWEEP_ENTRY] = divided(less(busy, empty, 1), (double)(SLOTS - TAKEN));
    costs->of[SCALE_REBUILD] =
        repeat(rebuild, soil, &bench, bench.pool.segment.geometry.magazines, REPEATS);
    free(bench.by_session);
    scale_pool_end(&bench.pool);
}

/* ---------------------------------------------------------------- revocation */

/* A round that ends in proof: every cache is looked at, every magazine word. */
static void prove(void *of)
{
    struct bench *bench = of;
    uint32_t magazine;
    uint64_t word;

    if (!revoke_begin(&bench->pool.segment, &bench->actor, &bench->revocation))
        scale_give_up("a round of revocation fails");
    if (revoke_take(&bench->pool.segment, &bench->actor, &bench->revocation, &magazine, &word) !=
        REVOKE_NONE)
        scale_give_up("a round of revocation proves nothing");
    revoke_end(&bench->revocation);
}

static void pass_barrier(void *of)
{
    (void)of;
    if (!revoke_barrier())
        scale_give_up("membarrier is refused here");
}

static struct scale_value measure_round(uint64_t slots, uint32_t caches, double *magazines)
{
    struct bench bench = {.revocation = {.notes = NULL}};
    struct scale_value value;
    uint32_t session;

    scale_pool_make(&bench.pool, slots, CACHES, CACHES, false);
    bench.actor = scale_pool_actor(&bench.pool, 1, true);
    for (session = 2; session <= caches; session++)
        scale_pool_actor(&bench.pool, session, true);
    *magazines = bench.pool.segment.geometry.magazines;
    prove(&bench);
    value = repeat(prove, NULL, &bench, 1, REPEATS);
    scale_pool_end(&bench.pool);
    return value;
}

static void measure_rounds(struct scale_costs *costs)
{
    double magazines_few, magazines_many;
    struct scale_value few, many, empty;

    costs->of[SCALE_BARRIER_0] = repeat(pass_barrier, NULL, NULL, 1, REPEATS);
    empty = measure_round(32768, 1, &magazines_few);
    few = measure_round(32768, CACHES, &magazines_few);
    many = measure_round(SLOTS * 8, CACHES, &magazines_many);
    costs->of[SCALE_ROUND_CACHE] = divided(less(few, empty, 1), CACHES);
    costs->of[SCALE_ROUND_MAGAZINE] = divided(less(many, few, 1), magazines_many - magazines_few);
}

/* ---------------------------------------------------------------- the kernel's */

struct fences {
    int *descriptors;
    uint32_t count;
    int look;
};

static void look_at_fences(void *of)
{
    struct fences *fences = of;
    uint32_t s;

    for (s = 1; s <= fences->count; s++)
        if (fence_is_open(fences->look, s) != 0)
            scale_give_up("fence %u is not closed", s);
}

static struct scale_value measure_fences(uint32_t count)
{
    struct rlimit limit;
    struct fences fences = {calloc(count, sizeof(int)), count, -1};
    struct scale_value value;
    struct reason why = {0, ""};
    uint32_t s;

    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < count + 64) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (!fences.descriptors ||
        backing_create_nameless("bench-scale", 4096 + count, &fences.look, &why))
        scale_give_up("no fences: %s", why.text);
    for (s = 1; s <= count; s++)
        if (backing_reopen(fences.look, true, &fences.descriptors[s - 1], &why) ||
            fence_close(fences.descriptors[s - 1], s))
            scale_give_up("no fence %u: %s", s, why.text);
    value = repeat(look_at_fences, NULL, &fences, count, REPEATS / 3);
    while (s-- > 1)
        close(fences.descriptors[s - 1]);
    close(fences.look);
    free(fences.descriptors);
    return value;
}

#define TOUCHED (UINT64_C(4096) << 12)

struct pages {
    int descriptor;
    volatile char *mapped;
};

static void map_anew(void *of)
{
    struct pages *pages = of;
    struct reason why;
    void *mapped;

    if (pages->mapped)
        munmap((void *)(uintptr_t)pages->mapped, TOUCHED);
    if (backing_map(pages->descriptor, TOUCHED, true, NULL, 0, &mapped, &why))
        scale_give_up("%s", why.text);
    pages->mapped = mapped;
}

static void touch(void *of)
{
    struct pages *pages = of;
    uint64_t at;

    for (at = 0; at < TOUCHED; at += 4096)
        pages->mapped[at] = 1;
}

static void measure_kernel(struct scale_costs *costs)
{
    struct pages pages = {-1, NULL};
    struct reason why = {0, ""};

    costs->of[SCALE_FENCE_100] = measure_fences(100);
    costs->of[SCALE_FENCE_1000] = measure_fences(1000);
    if (backing_create_nameless("bench-scale", TOUCHED, &pages.descriptor, &why) ||
        backing_reserve(pages.descriptor, 0, TOUCHED, &why))
        scale_give_up("%s", why.text);
    costs->of[SCALE_FAULT] = repeat(touch, map_anew, &pages, TOUCHED >> 12, REPEATS / 3);
    munmap((void *)(uintptr_t)pages.mapped, TOUCHED);
    close(pages.descriptor);
}

void scale_measure_alone(struct scale_costs *costs)
{
    measure_slots(costs);
    measure_deaths(costs);
    measure_rounds(costs);
    measure_kernel(costs);
}
