/* SPDX-License-Identifier: MIT
 *
 * gift: one session gives another a slot, while either may die, be swept, and have its number given
 * out again: lib/shm/session.c, steps 1 to 5 and a to d, and the sweep.
 *
 * Sessions 1 to 3.  Session 1 has the slot; whoever has it may give it to another, up to GIFTS
 * times in all.  A session that has died and been swept may be opened again, once each.
 *
 * Asserted: a slot comes to no process that was not meant; at rest it is returned or somebody's
 * who is alive.
 */
#include "step.pml"

#ifndef GIFTS
#define GIFTS 2
#endif

#define FREE 0
#define LIVE 1
#define DYING 2
#define RETIRED 3
#define RETURNED 15

byte owner = 1;   /* the slot's word; */
byte generation;  /* a gift keeps the generation, a sweep does not */
byte state[4];
byte intent[4];   /* one for each session */
bool dead_[4];    /* the process of the session is gone */
byte life[4];     /* which process has the number: known to nobody */
byte meant[4];    /* of the giver: the life that the gift is for */
bool over[4];
byte gifts;

inline give()
{
    STEP(won = (state[to] == LIVE));
    if
    :: won ->
#ifndef MUTANT_NO_INTENT
       STEP(intent[me] = to); /* 1 */
#endif
       STEP(won = (state[to] == LIVE); was = life[to]); /* 2: to whoever has the number now */
       if
       :: won ->
          STEP( /* 3 */
              if
              :: owner == me && generation == g -> owner = to; meant[to] = was
              :: else -> won = false
              fi);
          if
          :: won ->
#ifndef MUTANT_GIVES_WITHOUT_SECOND_LOOK
             STEP(won = (state[to] == LIVE)); /* 4 */
             if
             :: !won ->
                STEP(
                    if
                    :: owner == to && generation == g -> owner = me; meant[me] = life[me]
                    :: else
                    fi)
             :: else
             fi;
#endif
             skip
          :: else
          fi
       :: else
       fi;
       STEP(intent[me] = 0) /* 5 */
    :: else
    fi;
    won = false; was = 0; g = 0
}

proctype session(byte me)
{
    byte to, was, g;
    bool won;

    do
    :: atomic { gifts < GIFTS && owner == me && meant[me] == life[me] ->
          gifts++; g = generation;
          if
          :: me != 1 -> to = 1
          :: me != 2 -> to = 2
          :: me != 3 -> to = 3
          fi
       };
       give()
    :: break
    od;
    if /* it may live on, or die in the end */
    :: atomic { over[me] = true; goto gone }
    :: atomic { deaths < DEATHS -> deaths++; goto dead }
    fi;
dead:
    atomic { dead_[me] = true; over[me] = true; to = 0; was = 0; g = 0; won = false };
gone:
    skip
}

#define DUE(s) (dead_[s] && state[s] != RETIRED && state[s] != FREE)

inline sweep()
{
#ifndef MUTANT_DYING_AFTER_THE_SLOTS
    STEP(state[s] = DYING); /* a */
#endif
    STEP(was = owner; g = generation); /* b */
    if
    :: was == s -> won = true
    :: was != s && was <= 3 ->
#ifndef MUTANT_SWEEP_LEAVES_ORPHANS
       STEP(won = (state[was] == RETIRED || state[was] == FREE));
#endif
       skip
    :: was > 3
    fi;
    if
    :: won ->
       STEP(
           if
           :: owner == was && generation == g -> owner = RETURNED; generation++
           :: else
           fi)
    :: else
    fi;
    won = false; was = 0; g = 0;
#ifdef MUTANT_DYING_AFTER_THE_SLOTS
    STEP(state[s] = DYING);
#endif
    STEP(intent[s] = 0);
    STEP(state[s] = RETIRED) /* c */
}

#ifdef MUTANT_REUSED_DESPITE_INTENTS
#define INTENDED won = false
#else
#define INTENDED STEP(won = (intent[1] == s)); STEP(won = won || intent[2] == s); \
    STEP(won = won || intent[3] == s)
#endif

proctype sweeper()
{
    byte s, was, g;
    bool won;

again:
    if
    :: atomic { DUE(1) -> s = 1 }; sweep()
    :: atomic { DUE(2) -> s = 2 }; sweep()
    :: atomic { DUE(3) -> s = 3 }; sweep()
    :: atomic {
           if
           :: state[1] == RETIRED && life[1] < 2 -> s = 1
           :: state[2] == RETIRED && life[2] < 2 -> s = 2
           :: state[3] == RETIRED && life[3] < 2 -> s = 3
           fi
       };
       INTENDED; /* d */
       if
       :: !won ->
          STEP(state[s] = FREE);
          STEP(state[s] = LIVE; life[s]++; dead_[s] = false; over[s] = false;
              run session(s))
       :: else -> won = false
       fi
    :: over[1] && over[2] && over[3] && !DUE(1) && !DUE(2) && !DUE(3) -> goto rest
    fi;
    s = 0;
    goto again;
dead:
    atomic { s = 0; was = 0; g = 0; won = false };
    goto again;
rest:
    atomic {
        if
        :: over[1] && over[2] && over[3] && !DUE(1) && !DUE(2) && !DUE(3) ->
           assert(owner == RETURNED ||
                  (owner <= 3 && state[owner] == LIVE && !dead_[owner] &&
                   meant[owner] == life[owner]))
        :: else -> goto again
        fi
    }
}

init
{
    atomic {
        state[1] = LIVE; state[2] = LIVE; state[3] = LIVE;
        run session(1);
        run session(2);
        run session(3);
        run sweeper()
    }
}
