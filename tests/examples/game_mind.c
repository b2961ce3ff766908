/* SPDX-License-Identifier: MIT
 *
 * game_mind: lets everybody choose an enemy, and shoots.  See game_entities.c.
 *
 * It opens the pool by its name, as any program does, with hooks of its own.
 */
#include "game.h"

#include <math.h>
#include <sys/socket.h>

static entities_pool world;

static entities_handle nearest(const struct view *view, const struct entity *to, uint32_t kind)
{
    entities_handle best = {NOBODY};
    float least = INFINITY;
    size_t i;

    for (i = 0; i < view->count; i++) {
        const struct entity *other = entities_get(world, view->handles[i]);

        if (other->kind == kind && game_distance(to, other) < least) {
            least = game_distance(to, other);
            best = view->handles[i];
        }
    }
    return best;
}

static void shoot(struct entity *shooter, const struct call *call, int crash)
{
    entities_handle handle;
    struct entity *arrow;

    if (entities_alloc(world, &handle, &arrow)) /* the world is full: no arrow */
        return;
    arrow->kind = ARROW;
    arrow->x = shooter->x;
    arrow->y = shooter->y;
    arrow->enemy = shooter->enemy;
    if (!crash)
        ok(entities_give(world, handle, call->simulation));
}

static struct thoughts think(const struct call *call)
{
    struct view view = {.simulation = call->simulation};
    struct thoughts thoughts = {0};
    size_t i;

    game_look(world, &view);
    for (i = 0; i < view.count; i++) {
        struct entity *entity = entities_get(world, view.handles[i]);

        if (entity->kind != HERO && entity->kind != ORC)
            continue;
        if (!entities_get(world, (entities_handle){entity->enemy})) { /* none, or gone */
            thoughts.lost_sight += entity->enemy != NOBODY;
            entity->enemy = nearest(&view, entity, entity->kind == HERO ? ORC : HERO).value;
        }
        if (entity->enemy != NOBODY && (call->frame + i) % (entity->kind == HERO ? 2 : 16) == 0) {
            shoot(entity, call, call->frame == CRASH_AT);
            thoughts.arrows++;
        }
    }
    if (call->frame == CRASH_AT)
        raise(SIGKILL);
    return thoughts;
}

int mind_live(int simulation, const char *pool_name)
{
    fastalloc_pool_config config;
    struct thoughts thoughts;
    fastalloc_client *client;
    struct call call;

    client = example_connect();
    game_config(&config);
    ok(fastalloc_pool_open(client, pool_name, &config, &world.pool));
    while (recv(simulation, &call, sizeof call, 0) == sizeof call) {
        thoughts = think(&call);
        expect(send(simulation, &thoughts, sizeof thoughts, MSG_NOSIGNAL) == sizeof thoughts);
    }
    fastalloc_disconnect(client);
    return 0;
}
