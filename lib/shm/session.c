/* SPDX-License-Identifier: MIT
 *
 * session: see session.h.
 *
 * Gifts.  `from` gives a slot to `to` by CAS of the slot's word.  The danger is
 * a receiver that dies: its sweep may have passed the slot before the gift lands there, and
 * the slot would belong to nobody for ever, or to whoever gets the number next.
 *
 *   giver                                sweeper of `to`
 *   1 intent = to                        a state = DYING
 *   2 state of `to` LIVE? else give up   b magazines, slots (sweep.c)
 *   3 CAS word g|from -> g|to            c state = RETIRED
 *   4 state still LIVE? else CAS back    d no intent for `to`: state = FREE
 *   5 intent = 0
 *
 * 3 and 4 against a and b: each side writes, then reads what the other wrote, all
 * sequentially consistent, so either the sweep finds the gift or the giver
 * finds the death and takes it back (unless the sweep has it already: then the gift was
 * made, and died with its receiver).  While the intent stands the number is not
 * given out again.  A giver who dies between 3 and 5 leaves a slot with a
 * retired owner: the giver's own sweep takes slots of retired and free sessions
 * too, and then clears its intents.
 */
#include "session.h"

#include "slot.h"
#include "tally.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#define ANNOUNCE_TRIES 10000

void session_open(struct segment *segment, uint32_t session, uint32_t pid, uint32_t uid,
                  const char *comm)
{
    struct shm_session *record = &segment->sessions[session];
    size_t i;

    shm_store(&record->pid, pid);
    shm_store(&record->uid, uid);
    for (i = 0; i < SESSION_INTENTS; i++)
        shm_store(&record->intents[i], 0u);
    shm_store(&record->begun, 0u);
    shm_store(&record->ended, 0u);
    record->started = (uint64_t)time(NULL);
    tally_begin_session(segment, session);
    memset(record->comm, 0, sizeof record->comm);
    memcpy(record->comm, comm, strnlen(comm, sizeof record->comm - 1));
    shm_store_ordered(&record->state, (uint32_t)SESSION_LIVE);
}

void session_begin_death(struct segment *segment, uint32_t session)
{
    shm_store_ordered(&segment->sessions[session].state, (uint32_t)SESSION_DYING);
}

static bool intended(const struct segment *segment, uint32_t session)
{
    uint32_t other, i;

    for (other = 1; other <= segment->geometry.sessions; other++)
        for (i = 0; i < SESSION_INTENTS; i++)
            if (shm_load_ordered(&segment->sessions[other].intents[i]) == session)
                return true;
    return false;
}

bool session_reuse(struct segment *segment, uint32_t session)
{
    switch (session_state(segment, session)) {
    case SESSION_FREE:
        return true;
    case SESSION_LIVE:
    case SESSION_DYING:
        return false;
    case SESSION_RETIRED:
        break;
    }
    if (intended(segment, session))
        return false;
    shm_store_ordered(&segment->sessions[session].state, (uint32_t)SESSION_FREE);
    return true;
}

enum session_state session_state(const struct segment *segment, uint32_t session)
{
    uint32_t state;

    if (session == 0 || session > segment->geometry.sessions)
        return SESSION_FREE;
    state = shm_load_ordered(&segment->sessions[session].state);
    return state <= SESSION_RETIRED ? (enum session_state)state : SESSION_FREE;
}

void session_comm(const struct segment *segment, uint32_t session, char comm[SESSION_COMM_MAX])
{
    const char *stored = segment->sessions[session].comm;
    size_t i;

    for (i = 0; i < SESSION_COMM_MAX - 1; i++) {
        char c = shm_load(&stored[i]);

        if (!c)
            break;
        comm[i] = c >= 0x20 && c < 0x7f ? c : '?';
    }
    comm[i] = '\0';
}

uint32_t session_count(const struct segment *segment)
{
    uint32_t session, count = 0;

    for (session = 1; session <= segment->geometry.sessions; session++)
        count += session_state(segment, session) == SESSION_LIVE;
    return count;
}

/* Claims one of the session's places for an intent; its threads share them.
 * NULL when all stay taken, by threads that are stopped or gone. */
static uint32_t *announce(struct segment *segment, uint32_t from, uint32_t to)
{
    uint32_t *intents = segment->sessions[from].intents;
    int tries;

    for (tries = 0; tries < ANNOUNCE_TRIES; tries++) {
        size_t i;

        for (i = 0; i < SESSION_INTENTS; i++) {
            uint32_t nobody = 0;

            if (shm_cas(&intents[i], &nobody, to))
                return &intents[i];
        }
        sched_yield();
    }
    return NULL;
}

int session_give(struct segment *segment, uint32_t from, uint32_t to, fastalloc_handle handle)
{
    uint32_t *intent;
    int error;

    if (session_state(segment, to) != SESSION_LIVE)
        return FASTALLOC_E_SESSION;
    intent = announce(segment, from, to);
    if (!intent)
        return FASTALLOC_E_STALLED;
    error = session_state(segment, to) != SESSION_LIVE ? FASTALLOC_E_SESSION
                                                       : slot_give(segment, handle, from, to);
    if (!error && session_state(segment, to) != SESSION_LIVE &&
        slot_give(segment, handle, to, from) == 0)
        error = FASTALLOC_E_SESSION;
    shm_store_ordered(intent, 0u);
    return error;
}
