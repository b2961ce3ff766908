/* SPDX-License-Identifier: MIT
 *
 * weave: see weave.h.
 *
 * A state is gone back to by putting everything back in its place: the memory, and the
 * stacks of the acts, which lie at addresses of their own.
 */
#include "weave.h"

#include "tests/support/pool.h"
#include "woven.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define STACK_BYTES (64u * 1024)
#define BELOW_FRAME 1024u /* what a stack may have below the frame of weave_step() */
#define ORDER_MAX 1024u   /* steps of a play */
#define SEEN_FIRST (1u << 16)

enum life { UNBORN, LIVE, ENDED, DEAD };

struct actor_state {
    ucontext_t context;
    enum life life;
    uint64_t history; /* of what it has read, and how far it has come */
    size_t depth;     /* of its stack in use */
};

struct play {
    struct actor_state actors[WEAVE_ACTORS_MAX];
    unsigned deaths;
    size_t steps;
    char order[ORDER_MAX + 1];
};

static const struct weave *weave;
static struct play play;
static char *stacks[WEAVE_ACTORS_MAX];
static ucontext_t player;
static unsigned acting;
static bool inside; /* an act */

/* States seen: a hash table of hashes, 0 for an empty place. */
static struct {
    uint64_t *places;
    size_t room, count;
} seen;

/* A state with choices that were not made yet. */
struct fork {
    struct fork *below;
    struct play play;
    char choices[2 * WEAVE_ACTORS_MAX + 1];
    size_t left;
    char bytes[]; /* memory, record, stacks in use */
};
static struct fork *forks;

/* --------------------------------------------------------------- in the acts */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash ^= value + UINT64_C(0x9e3779b97f4a7c15) + (hash << 6) + (hash >> 2);
    hash *= UINT64_C(0xff51afd7ed558ccd);
    return hash ^ hash >> 32;
}

void weave_step(const void *place)
{
    struct actor_state *actor = &play.actors[acting];
    uintptr_t offset = (uintptr_t)place - (uintptr_t)(weave ? weave->memory : NULL);

    if (!inside || offset >= weave->size)
        return;
    actor->depth =
        (size_t)(stacks[acting] + STACK_BYTES - (char *)__builtin_frame_address(0)) + BELOW_FRAME;
    swapcontext(&actor->context, &player);
    actor->history = mix(actor->history, 1);
}

uint64_t weave_saw(uint64_t value)
{
    if (inside)
        play.actors[acting].history = mix(play.actors[acting].history, value);
    return value;
}

bool weave_is_dead(unsigned actor)
{
    return play.actors[actor].life == DEAD;
}

bool weave_has_ended(unsigned actor)
{
    return play.actors[actor].life == ENDED;
}

void weave_fail(const char *condition, const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    ck_abort_msg("%s: not (%s): %s; after %s", weave->name, condition, text, play.order);
    abort();
}

/* -------------------------------------------------------------------- states */

static bool put(uint64_t hash)
{
    size_t at = hash & (seen.room - 1);

    while (seen.places[at] && seen.places[at] != hash)
        at = (at + 1) & (seen.room - 1);
    if (seen.places[at])
        return false;
    seen.places[at] = hash;
    seen.count++;
    return true;
}

static void make_room(size_t room)
{
    uint64_t *before = seen.places;
    size_t had = seen.room, i;

    seen.places = calloc(room, sizeof *seen.places);
    TEST_REQUIRE(seen.places, "no memory for states");
    seen.room = room;
    seen.count = 0;
    for (i = 0; i < had; i++)
        if (before[i])
            put(before[i]);
    free(before);
}

/* Whether the state of the play is new. */
static bool is_new(void)
{
    const uint64_t *memory = weave->memory;
    uint64_t hash = play.deaths;
    size_t i;

    for (i = 0; i < weave->size / sizeof *memory; i++)
        hash = mix(hash, memory[i]);
    for (i = 0; i < weave->count; i++)
        hash = mix(mix(hash, play.actors[i].life), play.actors[i].history);
    if (2 * seen.count >= seen.room)
        make_room(2 * seen.room);
    return put(hash ? hash : 1);
}

/* Copies between a fork's bytes and their places. */
static void copy(struct fork *fork, bool back)
{
    char *at = fork->bytes;
    unsigned i;

    for (i = 0; i < weave->count + 2; i++) {
        unsigned actor = i - 2;
        char *place = i == 0   ? weave->memory
                      : i == 1 ? weave->record
                               : stacks[actor] + STACK_BYTES - fork->play.actors[actor].depth;
        size_t size = i == 0   ? weave->size
                      : i == 1 ? weave->record_size
                               : fork->play.actors[actor].depth;

        if (i >= 2 && fork->play.actors[actor].life != LIVE)
            continue;
        memcpy(back ? place : at, back ? at : place, size);
        at += size;
    }
}

static void push_fork(const char *choices, size_t count)
{
    size_t size = weave->size + weave->record_size;
    struct fork *fork;
    unsigned i;

    for (i = 0; i < weave->count; i++)
        size += play.actors[i].depth;
    fork = malloc(sizeof *fork + size);
    TEST_REQUIRE(fork, "no memory for a state");
    fork->below = forks;
    fork->play = play;
    fork->left = count;
    memcpy(fork->choices, choices, count);
    copy(fork, false);
    forks = fork;
}

/* Goes back to the latest state with a choice left, and returns that; 0: there is none. */
static char pop_choice(void)
{
    struct fork *fork = forks;
    char choice;

    if (!fork)
        return 0;
    play = fork->play;
    copy(fork, true);
    choice = fork->choices[--fork->left];
    if (!fork->left) {
        forks = fork->below;
        free(fork);
    }
    return choice;
}

/* ------------------------------------------------------------------- playing */

static void act(void)
{
    unsigned me = acting;

    weave->actors[me].run(weave->stage, me);
    play.actors[me].life = ENDED;
    inside = false;
    setcontext(&player);
}

static void resume(unsigned me)
{
    acting = me;
    inside = true;
    swapcontext(&player, &play.actors[me].context);
    inside = false;
}

static bool may_step(unsigned me)
{
    const struct weave_actor *actor = &weave->actors[me];

    return play.actors[me].life == LIVE ||
           (play.actors[me].life == UNBORN && (!actor->ready || actor->ready(weave->stage)));
}

static bool may_die(unsigned me)
{
    return weave->actors[me].mortal && play.actors[me].life == LIVE && play.deaths < weave->deaths;
}

static void step(unsigned me)
{
    struct actor_state *actor = &play.actors[me];

    if (actor->life == UNBORN) {
        getcontext(&actor->context);
        actor->context.uc_stack.ss_sp = stacks[me];
        actor->context.uc_stack.ss_size = STACK_BYTES;
        actor->context.uc_link = NULL;
        makecontext(&actor->context, act, 0);
        actor->life = LIVE;
        resume(me); /* to the first access */
    }
    if (actor->life == LIVE)
        resume(me);
}

static void choose(char choice)
{
    TEST_REQUIRE(play.steps < ORDER_MAX, "%s: an act without an end? %s", weave->name, play.order);
    play.order[play.steps++] = choice;
    play.order[play.steps] = '\0';
    if (choice >= 'a') {
        step((unsigned)(choice - 'a'));
    } else {
        play.actors[choice - 'A'].life = DEAD;
        play.deaths++;
    }
}

/* The first choice there is, the others being put off; 0: all have ended or died. */
static char next_choice(void)
{
    char choices[2 * WEAVE_ACTORS_MAX];
    size_t count = 0;
    unsigned i;

    for (i = 0; i < weave->count; i++) {
        if (may_step(i))
            choices[count++] = (char)('a' + i);
        if (may_die(i))
            choices[count++] = (char)('A' + i);
    }
    if (count > 1)
        push_fork(&choices[1], count - 1);
    return count ? choices[0] : 0;
}

/* To the end, or to a state that was met before.  Returns whether it was the end. */
static bool play_on(char choice)
{
    for (;;) {
        choose(choice);
        if (!is_new())
            return false;
        choice = next_choice();
        if (!choice) {
            weave->verify(weave->stage);
            return true;
        }
    }
}

uint64_t weave_play(const struct weave *given)
{
    uint64_t states, ends = 0;
    unsigned i;
    char choice;

    weave = given;
    memset(&play, 0, sizeof play);
    for (i = 0; i < weave->count; i++) {
        stacks[i] = calloc(1, STACK_BYTES);
        TEST_REQUIRE(stacks[i], "no memory for a stack");
    }
    make_room(SEEN_FIRST);
    for (choice = next_choice(); choice; choice = pop_choice())
        ends += play_on(choice);
    states = seen.count;
    printf("  %-58s %8llu states, %6llu ends\n", weave->name, (unsigned long long)states,
           (unsigned long long)ends);
    fflush(stdout);
    for (i = 0; i < weave->count; i++)
        free(stacks[i]);
    free(seen.places);
    memset(&seen, 0, sizeof seen);
    weave = NULL;
    return states;
}
