/* SPDX-License-Identifier: MIT
 *
 * game: the world of game_entities, as its two processes see it.
 */
#ifndef EXAMPLES_GAME_H
#define EXAMPLES_GAME_H

#include "example.h"

#define CAPACITY 200
#define CRASH_AT 90 /* the frame in which the mind does */
#define NOBODY FASTALLOC_NONE

enum kind { NEWBORN, HERO, ORC, SACK, ARROW };

struct entity {
    uint32_t kind;
    int32_t health;
    float x, y;
    fastalloc_handle enemy; /* whom it shoots at; of an arrow: where it goes */
    fastalloc_handle sack;  /* what it carries */
};
FASTALLOC_DEFINE_POOL(entities, struct entity);

/* What the simulation calls, and what the mind answers. */
struct call {
    uint32_t frame, simulation; /* the session that owns the world */
};
struct thoughts {
    uint32_t lost_sight, arrows;
};

/* All entities of one look at the world.  Those that their maker has not given to the simulation
 * yet are not in it. */
struct view {
    uint32_t simulation;
    size_t count;
    entities_handle handles[CAPACITY];
};
void game_look(entities_pool world, struct view *view);

/* What a pool of entities is, with the hooks that everybody who spawns one has. */
void game_config(fastalloc_pool_config *config);

float game_distance(const struct entity *one, const struct entity *other);

/* The mind's life: thinks when the simulation, at the other end of the socket, calls it.
 * Returns its exit status. */
int mind_live(int simulation, const char *pool_name);

#endif
