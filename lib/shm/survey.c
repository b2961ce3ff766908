/* SPDX-License-Identifier: MIT
 *
 * survey: see survey.h.
 */
#include "survey.h"

#include "bitmap.h"
#include "magazine.h"
#include "notes.h"
#include "session.h"
#include "share.h"
#include "slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Idle slots a magazine holds, by its word. */
static uint64_t entries_of(const struct segment *segment, uint32_t magazine, bool *in_depot)
{
    uint64_t word = shm_load(&segment->magazine_words[magazine]);
    uint32_t owner = magazine_owner(word), n = magazine_n(word);

    *in_depot = owner >= MAGAZINE_DEPOT_BASE;
    if (owner == 0)
        return 0;
    if (!*in_depot)
        return magazine_count(segment, magazine);
    return n < segment->geometry.magazine_size ? n : segment->geometry.magazine_size;
}

static void count_magazines(const struct segment *segment, struct survey *survey)
{
    uint32_t magazine,
        magazines = geometry_magazines(&segment->geometry, segment_reserved(segment));
    uint64_t used = shm_load(&segment->header->magazine_bump), entries;
    bool in_depot;

    for (magazine = 0; magazine < magazines; magazine++) {
        /* From the first on that was never used, none was: magazine_fresh(). */
        if (magazine >= used && !shm_load(&segment->magazine_words[magazine]))
            break;
        entries = entries_of(segment, magazine, &in_depot);
        if (in_depot)
            survey->stocked += entries;
        else
            survey->cached += entries;
    }
}

/* Counts a shared slot for each that holds it. */
static void count_holders(const struct segment *segment, uint64_t index, uint64_t *by_session)
{
    uint32_t session;

    for (session = 1; session <= segment->geometry.sessions; session++)
        by_session[session] += share_has(segment, index, session);
}

void survey_slots(const struct segment *segment, struct survey *survey, uint64_t *by_session)
{
    uint64_t index;
    uint32_t i;

    memset(survey, 0, sizeof *survey);
    survey->capacity = segment_capacity(segment);
    if (by_session)
        memset(by_session, 0, (segment->geometry.sessions + 1) * sizeof *by_session);
    for (index = 0; index < survey->capacity; index++) {
        uint64_t word = shm_load(&segment->words[index]);
        uint32_t owner = slot_owner_of(word);

        survey->never_used += word == 0;
        survey->returned += owner == SLOT_RETURNED;
        survey->anyone += owner == SLOT_ANYONE || owner == NOTES_EXPIRING;
        survey->quarantined += owner == SLOT_QUARANTINED;
        if (slot_owner_is_session(segment, owner)) {
            survey->live++;
            if (by_session)
                by_session[owner]++;
        } else if (owner == SLOT_SHARED || share_closer(segment, owner)) {
            survey->shared++;
            if (by_session && segment->holders)
                count_holders(segment, index, by_session);
        }
    }
    count_magazines(segment, survey);
    for (i = 0; i < segment->geometry.caches; i++)
        survey->threads += shm_load(&segment->caches[i].holder) != 0;
    for (i = 0; i < segment->geometry.depots; i++)
        survey->rebuilds += shm_load(&segment->depots[i].rebuilds);
}

uint64_t survey_used(const struct segment *segment)
{
    uint64_t capacity = segment_capacity(segment), used = shm_load(&segment->header->bump);

    /* The hint may lag behind the words a dying claimer took. */
    while (used < capacity && shm_load(&segment->words[used]))
        used++;
    return used < capacity ? used : capacity;
}

uint64_t survey_allocated(const struct segment *segment)
{
    struct survey survey = {0};
    uint64_t used, idle;

    if (segment->geometry.magazine_size == 0) {
        survey_slots(segment, &survey, NULL);
        return survey.live + survey.anyone + survey.shared + survey.quarantined;
    }
    used = survey_used(segment);
    count_magazines(segment, &survey);
    idle = survey.cached + survey.stocked + bitmap_count(segment);
    return idle < used ? used - idle : 0;
}

struct holder {
    uint32_t session;
    uint64_t slots;
};

static int by_slots_descending(const void *left, const void *right)
{
    const struct holder *a = left, *b = right;

    if (a->slots != b->slots)
        return a->slots < b->slots ? 1 : -1;
    return a->session < b->session ? -1 : 1;
}

static void write_holders(const struct segment *segment, const struct holder *holders,
                          unsigned most, char *text, size_t size)
{
    size_t used = 0;
    unsigned i;

    for (i = 0; i < most && holders[i].slots && used < size; i++) {
        const struct shm_session *record = &segment->sessions[holders[i].session];
        char comm[SESSION_COMM_MAX];
        int written;

        session_comm(segment, holders[i].session, comm);
        written = snprintf(text + used, size - used, "%s%s[%u] %llu", i ? ", " : "", comm,
                           shm_load(&record->pid), (unsigned long long)holders[i].slots);
        used += written > 0 ? (size_t)written : 0;
    }
}

void survey_holders(const struct segment *segment, unsigned most, char *text, size_t size)
{
    uint32_t sessions = segment->geometry.sessions, session;
    struct holder *holders = calloc(sessions + 1, sizeof *holders);
    uint64_t *counts = calloc(sessions + 1, sizeof *counts);
    struct survey survey;

    if (size)
        text[0] = '\0';
    if (holders && counts && size) {
        survey_slots(segment, &survey, counts);
        for (session = 0; session <= sessions; session++)
            holders[session] = (struct holder){session, counts[session]};
        qsort(holders, sessions + 1, sizeof *holders, by_slots_descending);
        write_holders(segment, holders, most <= sessions ? most : sessions, text, size);
    }
    free(counts);
    free(holders);
}
