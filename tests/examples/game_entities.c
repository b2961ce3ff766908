/* SPDX-License-Identifier: MIT
 *
 * game_entities: a world of entities in a pool, and two processes that make it move.
 *
 * The simulation owns the world: it spawns heroes and orcs, moves arrows, counts hits, and
 * despawns the dead.  The mind, another process with the same pool, looks at the world in each
 * frame, lets everybody choose an enemy, and spawns the arrows that they shoot.  In the middle
 * of the game the mind crashes, with a volley half made; the simulation starts another.
 *
 * - An entity refers to another by its handle.  That is a weak reference: the enemy may be gone
 *   in the next frame, and then the handle leads nowhere, though the slot may have a new tenant.
 * - Hooks: on_acquire gives every newborn a clean start.  An orc carries a sack, an entity as
 *   well; on_release drops it, in the middle of freeing the orc.
 * - The mind gives its arrows to the simulation.  Those it had not yet given when it crashed go
 *   back to the pool with it.
 */
#include "game.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/socket.h>

#define FRAMES 320
#define DRAWN 4 /* every so many of them */
#define HEROES 6
#define ORCS 40 /* in a wave, ... */
#define FEW 10  /* ... which comes when no more are left of the last */
#define RANGE 1.0f

static entities_pool world;

/* ---------------------------------------------------------------------- the world */

static int be_born(fastalloc_pool *pool, fastalloc_handle handle, void *object, uint32_t flags,
                   void *argument)
{
    (void)pool, (void)handle, (void)flags, (void)argument;
    memset(object, 0, sizeof(struct entity)); /* NEWBORN, with NOBODY for an enemy */
    return 0;
}

static void drop_sack(fastalloc_pool *pool, fastalloc_handle handle, void *object, void *argument)
{
    struct entity *entity = object;

    (void)handle, (void)argument;
    if (entity->sack != NOBODY)
        ok(fastalloc_free(pool, entity->sack));
}

void game_config(fastalloc_pool_config *config)
{
    fastalloc_pool_config_init(config);
    config->type_name = "struct entity";
    config->object_size = sizeof(struct entity);
    config->capacity = CAPACITY;
    config->on_acquire = be_born;
    config->on_release = drop_sack;
}

static int add_to_view(const fastalloc_slot *slot, void *argument)
{
    struct view *view = argument;

    if (slot->session == view->simulation && view->count < CAPACITY)
        view->handles[view->count++].value = slot->handle;
    return 0;
}

void game_look(entities_pool pool, struct view *view)
{
    view->count = 0;
    ok(fastalloc_pool_walk(pool.pool, add_to_view, view));
}

float game_distance(const struct entity *one, const struct entity *other)
{
    return hypotf(one->x - other->x, one->y - other->y);
}

/* ----------------------------------------------------------------- the simulation */

static struct {
    char name[64];
    pid_t mind;
    int socket;
    uint32_t seed, session;
    uint32_t orcs, killed, arrows, lost_sight, crashes;
} game;

static float random_to(float most)
{
    game.seed = game.seed * 1664525 + 1013904223;
    return (float)(game.seed >> 8) / (float)(1 << 24) * most;
}

static void spawn(uint32_t kind, int32_t health)
{
    entities_handle handle, sack;
    struct entity *entity, *content;

    if (entities_alloc(world, &handle, &entity)) /* the world is full: next time */
        return;
    entity->kind = kind;
    entity->health = health;
    entity->x = random_to(20);
    entity->y = random_to(20);
    if (kind == ORC && entities_alloc(world, &sack, &content) == 0) {
        content->kind = SACK;
        entity->sack = sack.value;
    }
    game.orcs += kind == ORC;
}

static void start_mind(void)
{
    int ends[2];

    expect(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    game.mind = example_fork();
    if (game.mind == 0) {
        close(ends[0]);
        ok(fastalloc_fork_detach()); /* it has nothing of its parent's */
        exit(mind_live(ends[1], game.name));
    }
    close(ends[1]);
    game.socket = ends[0];
}

/* Has the mind think of this frame; or finds that there is none any more. */
static void ask_mind(uint32_t frame)
{
    struct call call = {frame, game.session};
    struct thoughts thoughts;
    int status;

    expect(send(game.socket, &call, sizeof call, MSG_NOSIGNAL) == sizeof call);
    if (recv(game.socket, &thoughts, sizeof thoughts, 0) == sizeof thoughts) {
        game.lost_sight += thoughts.lost_sight;
        game.arrows += thoughts.arrows;
        return;
    }
    expect(waitpid(game.mind, &status, 0) == game.mind && WIFSIGNALED(status));
    printf("frame %3u: the mind crashed; another takes over\n", frame);
    game.crashes++;
    close(game.socket);
    start_mind();
}

/* An arrow flies to its enemy.  True when its flight is over. */
static int fly(struct entity *arrow)
{
    struct entity *enemy = entities_get(world, (entities_handle){arrow->enemy});
    float far;

    if (!enemy) /* somebody else has hit it: the arrow falls */
        return 1;
    far = game_distance(arrow, enemy);
    if (far < RANGE) {
        enemy->health--;
        return 1;
    }
    arrow->x += (enemy->x - arrow->x) / far * RANGE;
    arrow->y += (enemy->y - arrow->y) / far * RANGE;
    return 0;
}

/* Moves the world by a frame.  Returns how many orcs there are. */
static uint32_t simulate(void)
{
    struct view view = {.simulation = game.session};
    uint32_t orcs = 0;
    size_t i;

    game_look(world, &view);
    for (i = 0; i < view.count; i++) {
        struct entity *entity = entities_get(world, view.handles[i]);
        int over = 0;

        if (!entity) /* a sack that fell with its orc, in this frame */
            continue;
        if (entity->kind == ARROW)
            over = fly(entity);
        else if (entity->kind == HERO && entity->health <= 0)
            entity->health = 50; /* heroes rest, and come again */
        else if (entity->kind == ORC) {
            over = entity->health <= 0;
            game.killed += over != 0;
            orcs += !over;
        }
        if (over)
            ok(entities_free(world, view.handles[i]));
    }
    return orcs;
}

static int despawn(const fastalloc_slot *slot, void *session)
{
    const struct entity *entity = slot->object;

    /* Sacks go with their orcs; and what the crash has left is no business of this process's. */
    if (slot->session == *(uint32_t *)session && entity->kind != SACK)
        ok(fastalloc_free(world.pool, slot->handle));
    return 0;
}

/* The end of the world: where has everybody gone? */
static void account(void)
{
    fastalloc_stats stats = {.struct_size = sizeof stats};

    ok(fastalloc_pool_walk(world.pool, despawn, &game.session));
    ok(fastalloc_pool_drain(world.pool, fastalloc_deadline(5000)));
    ok(fastalloc_pool_stats(world.pool, &stats));
    printf("%" PRIu64 " spawned, %" PRIu64 " despawned, %" PRIu64 " reclaimed from the crash; "
           "at most %" PRIu64 " at a time\n",
           stats.total_allocations, stats.total_deallocations, stats.reclaimed, stats.peak_usage);
    expect(stats.total_allocations == stats.total_deallocations + stats.reclaimed);
    expect(stats.reclaimed > 0 && fastalloc_pool_is_empty(world.pool));
}

int main(void)
{
    fastalloc_client *client = example_connect();
    fastalloc_pool_config config;
    uint32_t frame, orcs = 0;
    size_t living[FRAMES / DRAWN];
    int i;

    game_config(&config);
    snprintf(game.name, sizeof game.name, "game_entities-%d", (int)getpid());
    config.name = game.name;
    ok(fastalloc_pool_create(client, &config, &world.pool));
    game.session = fastalloc_pool_session(world.pool);
    start_mind();
    for (i = 0; i < HEROES; i++)
        spawn(HERO, 50);
    for (frame = 0; frame < FRAMES; frame++) {
        for (i = orcs > FEW ? ORCS : 0; i < ORCS; i++)
            spawn(ORC, 3);
        ask_mind(frame);
        orcs = simulate();
        living[frame / DRAWN] = fastalloc_pool_allocated(world.pool);
    }
    close(game.socket);
    example_join(game.mind);

    example_draw("live", living, FRAMES / DRAWN, CAPACITY);
    printf("%u orcs came, %u were slain; %u arrows; %u times an enemy had gone\n", game.orcs,
           game.killed, game.arrows, game.lost_sight);
    expect(game.crashes == 1 && game.killed > 0 && game.lost_sight > 0);
    account();
    ok(entities_close(&world));
    fastalloc_disconnect(client);
    return 0;
}
