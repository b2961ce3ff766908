/* SPDX-License-Identifier: MIT
 *
 * stage: for crash points of lib/shm: a pool with an actor who is to die, one who lives
 * on, and one who died before; and what a scene's table needs to say about them.
 *
 * To add an operation, write its act (and, where none of those in the tables fits, how
 * the pool is prepared for it), and put a line into the table of its file.
 */
#ifndef FAULT_STAGE_H
#define FAULT_STAGE_H

#include "crash.h"
#include "tests/support/lane.h"

#include "shm/revoke.h"

#define STAGE_SLOTS 300u

/* The sessions. */
enum { DOOMED = 1, LIVING = 2, DEAD = 3, LATER = 4 };

struct stage {
    struct test_pool pool;
    struct actor doomed, doomed_bare, living;
    struct fastalloc_pool lane; /* the doomed's fast path */
    fastalloc_handle handle;    /* of the slot that it is about */
    uint64_t word;
    struct revocation round; /* the living's, between marking and taking */
    const struct operation *operation;
    void *copy; /* of the segment as prepared */
    unsigned variant;
    int64_t gap; /* of the statistics, as prepared: tallied.h */
};

struct operation {
    const char *name;
    void (*prepare)(struct stage *); /* once */
    void (*act)(void *stage);        /* of the doomed */
    void (*meet)(struct stage *);    /* of the living, while the doomed stands at its point */
    /* Of the living, between death and sweep.  Each operation is played without and with
     * this (and what every operation has there). */
    void (*interlude)(struct stage *);
    struct test_shape shape; /* where it is not the usual */
    /* What the segment's bytes do not hold: before each act (and after it, with `false`). */
    void (*again)(struct stage *, bool begins);
    /* Of the survivors, first of all, and last, when everything else has been counted. */
    void (*survive)(struct stage *, struct crash_verdict *);
    void (*verify)(struct stage *, struct crash_verdict *);
};

/* The tables, each in a file of its own, ended by one without a name. */
extern const struct operation alloc_operations[], free_operations[], theft_operations[],
    death_operations[], owner_operations[], wait_operations[], capacity_operations[],
    seal_operations[];

/* Plays an operation; makes and discards the stage. */
void stage_play(const struct operation *operation);

/* ------------------------------------------------- for prepare, meet, interlude */

void stage_choose(struct stage *stage, uint64_t index);
uint64_t stage_index(const struct stage *stage);

/* The actor owns `count` more slots; the last is the chosen one. */
void stage_own(struct stage *stage, const struct actor *actor, unsigned count);

void prepare_nothing(struct stage *stage);
void prepare_stocked(struct stage *stage);  /* every slot was used, and is in the depots */
void prepare_returned(struct stage *stage); /* every slot was used, and is returned */
void prepare_owning(struct stage *stage);   /* the doomed owns three, and has more loaded */
void prepare_previous(struct stage *stage); /* the doomed has slots in `previous` only */
void prepare_robbable(struct stage *stage); /* the only idle ones are in the living's cache */

/* The living adopts the chosen slot, or adopts and frees it. */
void adopt(struct stage *stage);
void adopt_and_free(struct stage *stage);

/* The living's revocation in its halves: marking and noting; taking by those notes. */
void mark(struct stage *stage);
void take(struct stage *stage);

#endif
