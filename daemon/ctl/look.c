/* SPDX-License-Identifier: MIT
 *
 * look: see look.h.
 */
#include "look.h"

#include "shm/session.h"
#include "shm/tally.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#define RESETS_MAX 100

struct looking {
    const struct view *view;
    struct look *look;
    uint64_t *slots, *caches; /* by session; NULL where nobody asked */
};

/* The memory is its users' to write: a session that cannot be is nobody's. */
static void count_caches(const struct segment *segment, uint64_t *by_session)
{
    uint32_t c, session;

    for (c = 0; c < segment->geometry.caches; c++) {
        session = cache_session_of(shm_load(&segment->caches[c].holder));
        if (session <= segment->geometry.sessions)
            by_session[session]++;
    }
}

static void look_at_session(const struct looking *looking, uint32_t session,
                            struct attached *attached)
{
    const struct segment *segment = &looking->view->segment;
    const struct shm_session *record = &segment->sessions[session];
    fastalloc_stats stats = {.struct_size = sizeof stats};

    attached->session = session;
    attached->pid = shm_load(&record->pid);
    attached->uid = shm_load(&record->uid);
    attached->started = shm_load(&record->started);
    session_comm(segment, session, attached->comm);
    attached->slots = looking->slots[session];
    attached->caches = looking->caches[session];
    tally_read_session(segment, session, &stats);
    attached->counts = (struct shm_counts){
        .allocations = stats.total_allocations,
        .frees = stats.total_deallocations,
        .failures = stats.allocation_failures,
        .waits = stats.waits,
    };
}

/* What had been counted at the last reset. */
static void read_before(const struct shm_header *header, struct totals *before)
{
    before->counts.allocations = shm_load(&header->before.allocations);
    before->counts.frees = shm_load(&header->before.frees);
    before->counts.failures = shm_load(&header->before.failures);
    before->counts.waits = shm_load(&header->before.waits);
    before->exchanges = shm_load(&header->exchanges_before);
    before->reclaimed = shm_load(&header->reclaimed_before);
    before->deaths = shm_load(&header->deaths_before);
}

/* A total is what it was at the last reset and what came since; read again when there was one
 * in between. */
static void read_stats(const struct segment *segment, struct look *look)
{
    struct totals *totals = &look->totals, before;
    fastalloc_stats *stats = &look->stats;
    int tries = 0;

    do {
        read_before(segment->header, &before);
        tally_read(segment, stats);
        read_before(segment->header, totals);
    } while (memcmp(totals, &before, sizeof before) != 0 && ++tries < RESETS_MAX);
    totals->counts.allocations += stats->total_allocations;
    totals->counts.frees += stats->total_deallocations;
    totals->counts.failures += stats->allocation_failures;
    totals->counts.waits += stats->waits;
    totals->exchanges += stats->exchanges;
    totals->reclaimed += stats->reclaimed;
    totals->deaths += stats->deaths;
    look->reclaim_ns = shm_load(&segment->header->reclaim_all);
}

/* The sessions there are; with what each has and did where there is room for it. */
static void look_at_sessions(const struct looking *looking)
{
    const struct segment *segment = &looking->view->segment;
    struct look *look = looking->look;
    enum session_state state;
    uint32_t session;

    if (look->attached)
        count_caches(segment, looking->caches);
    for (session = 1; session <= segment->geometry.sessions; session++) {
        state = session_state(segment, session);
        if (state != SESSION_LIVE && state != SESSION_DYING)
            continue;
        if (look->attached) {
            look->attached[look->sessions].dying = state == SESSION_DYING;
            look_at_session(looking, session, &look->attached[look->sessions]);
        }
        look->sessions++;
    }
}

static void run(void *argument)
{
    struct looking *looking = argument;
    struct look *look = looking->look;
    const struct segment *segment = &looking->view->segment;

    look->state = segment_state(segment);
    look->heir = shm_load(&segment->header->heir);
    look->growths = shm_load(&segment->header->growths);
    survey_slots(segment, &look->survey, looking->slots);
    read_stats(segment, look);
    strcpy(look->stats.name, look->pool.spec.name); /* what the memory says may be anything */
    look_at_sessions(looking);
}

static void *new_array(size_t count, size_t size)
{
    void *array = calloc(count, size);

    if (!array)
        text_no_memory();
    return array;
}

int look_at(struct look *look, fastalloc_client *client, const char *name, bool each,
            struct reason *why)
{
    struct view view;
    struct looking looking = {&view, look, NULL, NULL};
    size_t most;
    int error = view_open(&view, client, name, why);

    if (error)
        return error;
    memset(look, 0, sizeof *look);
    look->pool = view.pool;
    look->geometry = view.segment.geometry;
    if (each) {
        most = (size_t)look->geometry.sessions + 1;
        looking.slots = new_array(most, sizeof *looking.slots);
        looking.caches = new_array(most, sizeof *looking.caches);
        look->attached = new_array(most, sizeof *look->attached);
    }
    error = view_run(&view, run, &looking, why);
    view_close(&view);
    free(looking.caches);
    free(looking.slots);
    if (error)
        look_end(look);
    return error;
}

void look_end(struct look *look)
{
    free(look->attached);
    look->attached = NULL;
}

const char *const look_states[] = {"live", "sealed", "destroyed", "poisoned", NULL};

const char *look_state(const struct look *look)
{
    if (look->state == POOL_POISONED)
        return "poisoned";
    if (look->state == POOL_DESTROYED || look->pool.destroyed)
        return "destroyed";
    return look->state == POOL_SEALED ? "sealed" : "live";
}
