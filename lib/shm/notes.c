/* SPDX-License-Identifier: MIT
 *
 * notes: see notes.h.
 */
#include "notes.h"

#include "bitmap.h"
#include "share.h"
#include "slot.h"
#include "tally.h"
#include "wait.h"

#define NS_PER_TENTH UINT64_C(100000000)
#define TURN (UINT64_C(1) << 55)
#define INHERITED (UINT64_C(1) << 54)
#define PID_MASK UINT64_C(0x3fffff)  /* Linux has no larger pids */
#define SCANNING (UINT64_C(1) << 63) /* in next_deadline */

/* ------------------------------------------------------------------- times */

uint32_t notes_time(uint64_t ns)
{
    uint64_t tenths = ns / NS_PER_TENTH + 1;

    return tenths <= UINT32_MAX ? (uint32_t)tenths : NOTES_NEVER;
}

uint32_t notes_clock(uint64_t ns)
{
    uint64_t tenths = ns / NS_PER_TENTH;

    return tenths < UINT32_MAX ? (uint32_t)tenths : UINT32_MAX;
}

uint32_t notes_next(const struct segment *segment)
{
    uint64_t next = shm_load_ordered(&segment->header->next_deadline);

    return next & SCANNING ? 1 : (uint32_t)next; /* a scan that was broken off is due */
}

static void lower_deadline(struct segment *segment, uint32_t time)
{
    uint64_t *place = &segment->header->next_deadline;
    uint64_t next = shm_load_ordered(place);

    while (time != NOTES_NEVER && ((uint32_t)next == NOTES_NEVER || time < (uint32_t)next) &&
           !shm_cas(place, &next, (next & SCANNING) | time))
        ;
}

/* ----------------------------------------------------------------- marking */

/* The note that follows `before`. */
static uint64_t next_note(uint64_t before, uint32_t pid, uint32_t low, bool inherited)
{
    return ((before & ~(TURN - 1)) + TURN) | (inherited ? INHERITED : 0) | (pid & PID_MASK) << 32 |
           low;
}

/* Steps 1 to 3. */
static bool write_note(struct segment *segment, uint64_t index, uint64_t word, uint32_t pid,
                       uint32_t low, bool inherited)
{
    uint64_t note = shm_load_ordered(&segment->notes[index]);

    do {
        if (shm_load_ordered(&segment->words[index]) != word)
            return false;
    } while (!shm_cas(&segment->notes[index], &note, next_note(note, pid, low, inherited)));
    return true;
}

bool notes_mark(struct segment *segment, uint64_t index, uint64_t word, uint32_t owner,
                uint32_t pid, uint32_t time)
{
    bool inherited = slot_owner_is_session(segment, owner);
    uint32_t low = inherited ? (uint32_t)slot_generation_of(segment, word) : time;

    if (!write_note(segment, index, word, pid, low, inherited))
        return false;
    if (!inherited)
        lower_deadline(segment, time);
    if (!slot_mark(segment, index, word, owner))
        return false;
    if (!inherited)
        lower_deadline(segment, time);
    return true;
}

void notes_remind(struct segment *segment, uint64_t index)
{
    if (segment->notes)
        lower_deadline(segment, notes_time_of(shm_load_ordered(&segment->notes[index])));
}

int notes_leave(struct segment *segment, fastalloc_handle handle, uint32_t me, uint32_t pid,
                uint32_t time)
{
    uint64_t index = slot_index(segment, handle);
    uint64_t mine = slot_word_for(segment, handle, me);
    int error;

    if (index >= segment_reserved(segment))
        return FASTALLOC_E_HANDLE;
    if (segment->notes ? notes_mark(segment, index, mine, SLOT_ANYONE, pid, time)
                       : slot_mark(segment, index, mine, SLOT_ANYONE))
        return 0;
    error = slot_diagnose(segment, handle);
    return error == FASTALLOC_E_DOUBLE_FREE ? FASTALLOC_E_STALE : error;
}

/* ---------------------------------------------------------------- expiring */

static bool give_back(struct segment *segment, uint64_t index, uint64_t word)
{
    if (!slot_return(segment, index, word))
        return false;
    tally_reclaim(segment);
    bitmap_set(segment, index);
    return true;
}

/* Of one left to anyone, whose time has passed by its note. */
static bool expire_left(struct segment *segment, uint64_t index, uint64_t word, uint64_t note)
{
    uint64_t expiring = slot_word_with(segment, word, NOTES_EXPIRING);

    if (!slot_mark(segment, index, word, NOTES_EXPIRING))
        return false;
    if (shm_load_ordered(&segment->notes[index]) == note)
        return give_back(segment, index, expiring);
    slot_mark(segment, index, expiring, SLOT_ANYONE);
    lower_deadline(segment, notes_time_of(shm_load_ordered(&segment->notes[index])));
    return false;
}

/* What another who held the role left of a slot when he died. */
static void make_up(struct segment *segment, uint64_t index)
{
    uint64_t word = shm_load_ordered(&segment->words[index]);

    if (slot_owner_of(word) == NOTES_EXPIRING)
        slot_mark(segment, index, word, SLOT_ANYONE);
    else if (slot_owner_of(word) == SLOT_RETURNED && !bitmap_has(segment, index))
        bitmap_set(segment, index);
}

/* Step b for one slot.  True when it went back. */
static bool expire(struct segment *segment, uint64_t index, uint32_t now)
{
    uint64_t word = shm_load_ordered(&segment->words[index]), note;
    uint32_t owner = slot_owner_of(word), time;

    if (owner != SLOT_ANYONE && owner != SLOT_QUARANTINED)
        return false;
    note = shm_load_ordered(&segment->notes[index]);
    time = notes_time_of(note);
    if (time == NOTES_NEVER || time > now) {
        lower_deadline(segment, time);
        return false;
    }
    return owner == SLOT_QUARANTINED ? give_back(segment, index, word)
                                     : expire_left(segment, index, word, note);
}

uint64_t notes_expire(struct segment *segment, uint32_t now, bool look)
{
    uint64_t *deadline = &segment->header->next_deadline, count = 0, index, next;
    uint64_t slots = segment_reserved(segment);

    next = shm_load_ordered(deadline);
    look |= (next & SCANNING) != 0;
    if (!segment->notes || (!look && (next == NOTES_NEVER || next > now)))
        return 0;
    bitmap_begin_role(segment);
    shm_store_ordered(deadline, SCANNING | NOTES_NEVER);
    for (index = 0; index < slots; index++) {
        if (look)
            make_up(segment, index);
        count += expire(segment, index, now);
    }
    __atomic_fetch_and(deadline, ~SCANNING, __ATOMIC_SEQ_CST);
    bitmap_end_role(segment);
    if (count)
        wait_wake(segment);
    return count;
}

uint64_t notes_release(struct segment *segment, fastalloc_handle handle)
{
    uint64_t slots = segment_reserved(segment), index = 0, count = 0;

    if (handle != FASTALLOC_NONE) {
        index = slot_index(segment, handle);
        slots = index < slots ? index + 1 : 0;
    }
    bitmap_begin_role(segment);
    for (; index < slots; index++) {
        uint64_t word = shm_load_ordered(&segment->words[index]);

        if (slot_owner_of(word) == SLOT_QUARANTINED &&
            (handle == FASTALLOC_NONE || slot_handle(segment, word, index) == handle))
            count += give_back(segment, index, word);
    }
    bitmap_end_role(segment);
    if (count)
        wait_wake(segment);
    return count;
}

/* ------------------------------------------------------------- inheritances */

/* Whether a slot of the heir's is an inheritance that it has not been told of; then it has. */
static bool tell(struct segment *segment, uint64_t index, uint64_t word, uint64_t *note)
{
    *note = shm_load_ordered(&segment->notes[index]);
    return *note & INHERITED && (uint32_t)*note == (uint32_t)slot_generation_of(segment, word) &&
           shm_cas(&segment->notes[index], note, next_note(*note, 0, NOTES_NEVER, false));
}

size_t notes_inherited(struct segment *segment, uint32_t heir, fastalloc_inheritance *list,
                       size_t most)
{
    uint64_t slots = segment->notes ? segment_reserved(segment) : 0, index;
    size_t count = 0;

    for (index = 0; index < slots && count < most; index++) {
        uint64_t word = shm_load_ordered(&segment->words[index]), note;

        if (slot_owner_of(word) == heir && tell(segment, index, word, &note))
            list[count++] = (fastalloc_inheritance){.handle = slot_handle(segment, word, index),
                                                    .pid = notes_pid_of(note)};
    }
    return count;
}
