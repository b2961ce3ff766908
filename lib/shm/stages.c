/* SPDX-License-Identifier: MIT
 *
 * stages: see stages.h.
 */
#include "stages.h"

#include "spec.h"

#include <string.h>

#define STAGE_BITS (STAGE_INITIALISED | STAGE_USED | STAGE_HELD)

uint32_t stages_of(const struct segment *segment, uint64_t index)
{
    return segment->stages ? shm_load(&segment->stages[index]) & STAGE_BITS : STAGE_NEW;
}

/* Released: what was done to the object before is done for whoever sees the stage. */
void stages_set(struct segment *segment, uint64_t index, uint32_t stage)
{
    shm_store_release(&segment->stages[index], (uint8_t)stage);
    shm_step();
}

bool stages_owe_wiping(const struct segment *segment, uint32_t stage)
{
    return (segment->geometry.flags & SPEC_ZERO_FREE) && (stage & STAGE_USED);
}

void stages_wipe(struct segment *segment, uint64_t index)
{
    memset(segment->objects + index * segment->geometry.stride, 0, segment->geometry.object_size);
    if (segment->stages)
        stages_set(segment, index, stages_of(segment, index) & STAGE_HELD);
}

void stages_end_hold(struct segment *segment, uint64_t index)
{
    stages_set(segment, index, stages_of(segment, index) & ~STAGE_HELD);
}

void stages_release(struct segment *segment, uint64_t index)
{
    stages_end_hold(segment, index);
    if (stages_owe_wiping(segment, stages_of(segment, index)))
        stages_wipe(segment, index);
}

/* What was to be wiped may be there still, where giving the memory back failed. */
void stages_renew(struct segment *segment, uint64_t from, uint64_t to)
{
    uint32_t kept = STAGE_HELD;
    uint64_t index;

    if (segment->geometry.flags & SPEC_ZERO_FREE)
        kept |= STAGE_USED;
    for (index = from; segment->stages && index < to; index++) {
        uint32_t stage = stages_of(segment, index);

        if (stage & ~kept)
            stages_set(segment, index, stage & kept);
    }
}
