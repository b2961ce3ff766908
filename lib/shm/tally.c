/* SPDX-License-Identifier: MIT
 *
 * tally: see tally.h.
 */
#include "tally.h"

#include "bitmap.h"
#include "depot.h"
#include "magazine.h"
#include "session.h"
#include "share.h"
#include "slot.h"
#include "survey.h"

#include <string.h>

/* A new peak is counted exactly, which looks at all magazines and at the bitmap: only when it is
 * higher than the last one by more than such a part of the slots. */
#define PART 512u

/* A word that nobody else writes. */
static void add_own(uint64_t *count, uint64_t number)
{
    shm_store(count, shm_load(count) + number);
}

static void add_shared(uint64_t *count, uint64_t number)
{
    __atomic_fetch_add(count, number, __ATOMIC_RELAXED);
}

static struct fastalloc_gate_ *gate_of(struct segment *segment, const struct actor *actor)
{
    return &segment->caches[actor->cache].gate;
}

static struct shm_counts *counts_of(struct segment *segment, uint32_t session)
{
    return &segment->sessions[session].counts;
}

/* ---------------------------------------------------------------- counting */

void tally_alloc(struct segment *segment, const struct actor *actor)
{
    if (actor->cache != CACHE_NONE)
        add_own(&gate_of(segment, actor)->allocations, 1);
    else
        add_shared(&counts_of(segment, actor->session)->allocations, 1);
}

void tally_free(struct segment *segment, const struct actor *actor)
{
    if (actor->cache != CACHE_NONE)
        add_own(&gate_of(segment, actor)->frees, 1);
    else
        add_shared(&counts_of(segment, actor->session)->frees, 1);
}

void tally_exchange(struct segment *segment, const struct actor *actor)
{
    if (actor->cache != CACHE_NONE)
        add_own(&segment->caches[actor->cache].exchanges, 1);
}

void tally_failure(struct segment *segment, uint32_t session)
{
    add_shared(&counts_of(segment, session)->failures, 1);
}

void tally_wait(struct segment *segment, uint32_t session)
{
    add_shared(&counts_of(segment, session)->waits, 1);
}

void tally_reclaim(struct segment *segment)
{
    add_own(&segment->header->reclaimed, 1);
}

void tally_death(struct segment *segment)
{
    add_own(&segment->header->deaths, 1);
}

void tally_reclaim_time(struct segment *segment, uint64_t ns)
{
    struct shm_header *header = segment->header;

    shm_store(&header->reclaim_last, ns);
    if (ns > shm_load(&header->reclaim_most))
        shm_store(&header->reclaim_most, ns);
    add_own(&header->reclaim_all, ns);
    add_own(&header->reclaims, 1);
}

void tally_begin_session(struct segment *segment, uint32_t session)
{
    struct shm_session *record = &segment->sessions[session];

    shm_store(&record->ended_allocations, UINT64_C(0));
    shm_store(&record->ended_frees, UINT64_C(0));
    shm_store(&record->before.allocations, shm_load(&record->counts.allocations));
    shm_store(&record->before.frees, shm_load(&record->counts.frees));
    shm_store(&record->before.failures, shm_load(&record->counts.failures));
    shm_store(&record->before.waits, shm_load(&record->counts.waits));
}

/* A free record's counts are those before its next holder. */
void tally_end_cache(struct segment *segment, uint32_t session, uint32_t cache)
{
    struct shm_cache *record = &segment->caches[cache];
    struct shm_session *owner = &segment->sessions[session];
    uint64_t allocations = shm_load(&record->gate.allocations);
    uint64_t frees = shm_load(&record->gate.frees);

    add_shared(&owner->ended_allocations, allocations - shm_load(&record->allocations_before));
    add_shared(&owner->ended_frees, frees - shm_load(&record->frees_before));
    shm_store(&record->allocations_before, allocations);
    shm_store(&record->frees_before, frees);
}

/* -------------------------------------------------------------------- peak */

static uint32_t caches_used(const struct segment *segment)
{
    uint64_t used = shm_load(&segment->header->cache_bump);

    return used < segment->geometry.caches ? (uint32_t)used : segment->geometry.caches;
}

/* What a cache holds; while its owner works, about. */
static uint64_t cached_in(const struct segment *segment, uint32_t cache)
{
    struct cache_notes notes;
    uint64_t slots = 0;
    int i;

    if (!shm_load(&segment->caches[cache].holder))
        return 0;
    cache_read_notes(segment, cache, &notes);
    for (i = 0; i < 2; i++)
        if (notes.magazine[i] != CACHE_NONE)
            slots += magazine_count(segment, notes.magazine[i]);
    return slots;
}

/* Whether more than `most` slots seem to be in use.  Each part that is idle is subtracted only
 * while it could change the answer.  True also where the depots' stocks are out of date. */
static bool seem_in_use(const struct segment *segment, uint64_t most)
{
    uint64_t used = survey_used(segment);
    uint32_t i, caches = caches_used(segment);

    for (i = 0; i < segment->geometry.depots; i++) {
        uint64_t stock = depot_stock(segment, i);

        if (used <= most + stock)
            return false;
        used -= stock;
    }
    for (i = 0; i < caches; i++) {
        uint64_t cached = cached_in(segment, i);

        if (used <= most + cached)
            return false;
        used -= cached;
    }
    return bitmap_is_empty(segment) || used > most + bitmap_count(segment);
}

void tally_raise_peak(struct segment *segment, uint64_t usage)
{
    uint64_t *place = &segment->header->peak, peak = shm_load(place);

    while (usage > peak && !shm_cas(place, &peak, usage))
        ;
}

void tally_peak(struct segment *segment, bool exactly)
{
    const struct geometry *geometry = &segment->geometry;
    uint64_t peak = shm_load(&segment->header->peak), used, idle;

    if (!geometry->magazine_size) {
        used = survey_used(segment);
        if (used <= peak)
            return;
        idle = bitmap_count(segment);
        tally_raise_peak(segment, used > idle ? used - idle : 0);
        return;
    }
    if (!exactly)
        peak += geometry->max_capacity / PART;
    if (peak < geometry->max_capacity && seem_in_use(segment, peak))
        tally_raise_peak(segment, survey_allocated(segment));
}

/* ----------------------------------------------------------------- reading */

/* What has been counted since; 0 where memory, or a reset in between, says less than none. */
static uint64_t since(uint64_t now, uint64_t before)
{
    uint64_t count = now - before;

    return count <= INT64_MAX ? count : 0;
}

/* Sums since the segment was made. */
struct sums {
    struct shm_counts counts;
    uint64_t exchanges;
};

static void sum_up(const struct segment *segment, struct sums *sums)
{
    uint32_t i;

    memset(sums, 0, sizeof *sums);
    /* Frees first: what is freed meanwhile has been allocated. */
    for (i = 0; i < segment->geometry.caches; i++)
        sums->counts.frees += shm_load(&segment->caches[i].gate.frees);
    for (i = 1; i <= segment->geometry.sessions; i++) {
        const struct shm_counts *counts = &segment->sessions[i].counts;

        sums->counts.frees += shm_load(&counts->frees);
        sums->counts.failures += shm_load(&counts->failures);
        sums->counts.waits += shm_load(&counts->waits);
    }
    for (i = 0; i < segment->geometry.caches; i++) {
        sums->counts.allocations += shm_load(&segment->caches[i].gate.allocations);
        sums->exchanges += shm_load(&segment->caches[i].exchanges);
    }
    for (i = 1; i <= segment->geometry.sessions; i++) {
        uint64_t uncached = shm_load(&segment->sessions[i].counts.allocations);

        sums->counts.allocations += uncached;
        sums->exchanges += uncached;
    }
}

static double share_of(uint64_t part, uint64_t whole)
{
    return part < whole ? (double)part / (double)whole : 1.0;
}

static void rate(fastalloc_stats *stats)
{
    uint64_t served = stats->total_allocations, failures = stats->allocation_failures;

    if (stats->capacity) {
        stats->utilization_rate = 100.0 * share_of(stats->current_usage, stats->capacity);
        stats->peak_utilization_rate = 100.0 * share_of(stats->peak_usage, stats->capacity);
    }
    stats->hit_rate = failures ? share_of(served, served + failures) : 1.0;
    stats->cache_rate =
        served ? 1.0 - (stats->exchanges ? share_of(stats->exchanges, served) : 0.0) : 1.0;
}

static void begin(const struct segment *segment, fastalloc_stats *stats)
{
    memset(stats, 0, sizeof *stats);
    stats->struct_size = sizeof *stats;
    memcpy(stats->name, segment->header->name,
           strnlen(segment->header->name, sizeof stats->name - 1));
    stats->capacity = segment_capacity(segment);
}

static void read_reclaims(const struct shm_header *header, fastalloc_stats *stats)
{
    stats->reclaimed = since(shm_load(&header->reclaimed), shm_load(&header->reclaimed_before));
    stats->deaths = since(shm_load(&header->deaths), shm_load(&header->deaths_before));
    stats->reclaims = shm_load(&header->reclaims);
    stats->reclaim_last_ns = shm_load(&header->reclaim_last);
    stats->reclaim_most_ns = shm_load(&header->reclaim_most);
    if (stats->reclaims)
        stats->reclaim_mean_ns = shm_load(&header->reclaim_all) / stats->reclaims;
}

void tally_read(const struct segment *segment, fastalloc_stats *stats)
{
    const struct shm_header *header = segment->header;
    const struct shm_counts *before = &header->before;
    uint64_t most = segment->geometry.max_capacity;
    struct sums sums;

    begin(segment, stats);
    sum_up(segment, &sums);
    stats->total_allocations = since(sums.counts.allocations, shm_load(&before->allocations));
    stats->total_deallocations = since(sums.counts.frees, shm_load(&before->frees));
    stats->allocation_failures = since(sums.counts.failures, shm_load(&before->failures));
    stats->waits = since(sums.counts.waits, shm_load(&before->waits));
    stats->exchanges = since(sums.exchanges, shm_load(&header->exchanges_before));
    stats->growth_count =
        (uint32_t)(shm_load(&header->growths) - shm_load(&header->growths_before));
    read_reclaims(header, stats);
    stats->current_usage = survey_allocated(segment);
    if (stats->current_usage > most)
        stats->current_usage = most;
    stats->peak_usage = shm_load(&header->peak);
    if (stats->peak_usage > most)
        stats->peak_usage = most;
    if (stats->peak_usage < stats->current_usage)
        stats->peak_usage = stats->current_usage;
    stats->max_capacity = most;
    if (stats->capacity > stats->current_usage)
        stats->available = stats->capacity - stats->current_usage;
    rate(stats);
}

/* Slots that a session owns or holds. */
static uint64_t usage_of(const struct segment *segment, uint32_t session)
{
    uint64_t index, capacity = segment_capacity(segment), usage = 0;

    for (index = 0; index < capacity; index++) {
        uint32_t owner = slot_owner_of(shm_load(&segment->words[index]));

        if (owner == session)
            usage++;
        else if (segment->holders && (owner == SLOT_SHARED || share_closer(segment, owner)))
            usage += share_has(segment, index, session);
    }
    return usage;
}

bool tally_read_session(const struct segment *segment, uint32_t session, fastalloc_stats *stats)
{
    enum session_state state = session_state(segment, session);
    const struct shm_session *record;
    uint64_t allocations, frees;
    uint32_t c;

    if (state != SESSION_LIVE && state != SESSION_DYING)
        return false;
    begin(segment, stats);
    record = &segment->sessions[session];
    allocations = shm_load(&record->ended_allocations) + shm_load(&record->counts.allocations) -
                  shm_load(&record->before.allocations);
    frees = shm_load(&record->ended_frees) + shm_load(&record->counts.frees) -
            shm_load(&record->before.frees);
    for (c = 0; c < segment->geometry.caches; c++) {
        const struct shm_cache *cache = &segment->caches[c];

        if (cache_session_of(shm_load(&cache->holder)) != session)
            continue;
        allocations += shm_load(&cache->gate.allocations) - shm_load(&cache->allocations_before);
        frees += shm_load(&cache->gate.frees) - shm_load(&cache->frees_before);
    }
    stats->session = session;
    stats->total_allocations = since(allocations, 0);
    stats->total_deallocations = since(frees, 0);
    stats->allocation_failures =
        since(shm_load(&record->counts.failures), shm_load(&record->before.failures));
    stats->waits = since(shm_load(&record->counts.waits), shm_load(&record->before.waits));
    stats->current_usage = usage_of(segment, session);
    return true;
}

/* ---------------------------------------------------------------- resetting */

void tally_reset(struct segment *segment)
{
    struct shm_header *header = segment->header;
    struct sums sums;

    sum_up(segment, &sums);
    shm_store(&header->before.allocations, sums.counts.allocations);
    shm_store(&header->before.frees, sums.counts.frees);
    shm_store(&header->before.failures, sums.counts.failures);
    shm_store(&header->before.waits, sums.counts.waits);
    shm_store(&header->exchanges_before, sums.exchanges);
    shm_store(&header->reclaimed_before, shm_load(&header->reclaimed));
    shm_store(&header->deaths_before, shm_load(&header->deaths));
    shm_store(&header->growths_before, (uint64_t)shm_load(&header->growths));
    shm_store(&header->reclaims, UINT64_C(0));
    shm_store(&header->reclaim_all, UINT64_C(0));
    shm_store(&header->reclaim_last, UINT64_C(0));
    shm_store(&header->reclaim_most, UINT64_C(0));
    shm_store(&header->peak, survey_allocated(segment));
    tally_raise_peak(segment, survey_allocated(segment));
}
