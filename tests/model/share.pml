/* SPDX-License-Identifier: MIT
 *
 * share: a slot that several sessions hold: lib/shm/share.h, the sweep of a holder, and the same
 * slot allocated again while late joiners are still about.
 *
 * One slot, ACTORS sessions; the row has two words (session 1's, and the others'), looked at
 * one after the other.  Session 1 owns the slot, and all have heard its handle (a weak reference).
 * Each may join by the handle it has, allocate the slot when it is returned (and share it), and
 * let go.  A sweeper, who may die and begin again, sweeps the dead.
 *
 * Asserted: nobody frees what somebody living holds; who holds can rely on the word; at rest the
 * slot is in one place: returned, owned by a live session, or shared by exactly those who think
 * that they hold it.
 */
#include "step.pml"

#ifndef ACTORS
#define ACTORS 3
#endif
#ifndef WORKS
#define WORKS 2 /* operations of each session */
#endif

#define CLOSING 4 /* + session */
#define SHARED 14
#define RETURNED 15

byte generation = 1, owner = 1; /* the slot's word */
bool row[4];                    /* the row of holders; row[0] unused */
bool holds[4];                  /* what the program of each session believes */
byte heard[4];                  /* the generation of the handle it has */
bool died[4], swept[4], ended[4];

#define HELD (holds[1] || holds[2] || holds[3]) /* by the living */
#define IS(o, g) (owner == (o) && generation == (g))
#define IS_CLOSING(o) ((o) > CLOSING && (o) <= CLOSING + 3)
#define CAS(from, to) \
    if \
    :: IS(from, seen) -> owner = to; won = true \
    :: else -> won = false \
    fi

/* Is the row empty?  A step for each of its words. */
#define LOOK_AT_ROW STEP(bare = !row[1]); STEP(bare = bare && !row[2] && !row[3])

/* Of letting go, 2 to 5. */
inline close_if_last(me)
{
    do
    :: STEP(seen = generation; was = owner); /* 2 */
       if
       :: was == SHARED || was == CLOSING + me
       :: else -> break
       fi;
#ifdef MUTANT_CLOSES_WITHOUT_SECOND_LOOK
       if
       :: was == SHARED -> LOOK_AT_ROW
       :: else -> bare = true
       fi;
#else
       LOOK_AT_ROW; /* 2, 4 */
#endif
       if
       :: bare && was == SHARED -> STEP(CAS(SHARED, CLOSING + me)) /* 3 */
       :: bare && was != SHARED -> /* 5 */
          STEP(
              if
              :: IS(CLOSING + me, seen) -> assert(!HELD); owner = me; won = true; generation++
              :: else -> won = false
              fi);
          if
          :: won -> break
          :: else
          fi
       :: !bare && was == SHARED -> break
       :: !bare && was != SHARED -> STEP(CAS(CLOSING + me, SHARED))
#ifdef MUTANT_DOES_NOT_LOOK_AFTER_OPENING_AGAIN
          ;
          break
#endif
       fi
    od;
    seen = 0; was = 0; bare = false
}

inline let_go(me)
{
    won = false;
    STEP(row[me] = false); /* 1 */
    close_if_last(me);
    if
    :: won && owner == me -> STEP(assert(owner == me); owner = RETURNED)
    :: else
    fi;
    won = false
}

inline join(me)
{
    STEP(won = (generation == heard[me] && (owner == SHARED || IS_CLOSING(owner)))); /* 1 */
    if
    :: won ->
#ifndef MUTANT_JOINS_BEFORE_ITS_BIT
       STEP(row[me] = true); /* 2 */
#endif
       do
       :: STEP(seen = generation; was = owner); /* 3 */
#ifdef MUTANT_JOINS_WITHOUT_SECOND_LOOK
          holds[me] = true; break;
#endif
          if
          :: seen == heard[me] && was == SHARED -> holds[me] = true; break
#ifdef MUTANT_JOINS_WHAT_IS_CLOSING
          :: seen == heard[me] && IS_CLOSING(was) -> holds[me] = true; break
#else
          :: seen == heard[me] && IS_CLOSING(was) ->
             STEP(CAS(was, SHARED); holds[me] = won);
             if
             :: won -> break
             :: else
             fi
#endif
          :: seen != heard[me] || (was != SHARED && !IS_CLOSING(was)) -> let_go(me); break
          fi
       od;
#ifdef MUTANT_JOINS_BEFORE_ITS_BIT
       STEP(row[me] = holds[me])
#endif
    :: else
    fi;
    seen = 0; was = 0; won = false
}

inline share(me)
{
    STEP(row[me] = true);
    STEP(assert(IS(me, heard[me])); owner = SHARED)
}

proctype session(byte me)
{
    byte seen, was, works;
    bool bare, won;

    if
    :: owner == me -> holds[me] = true; share(me)
    :: else
    fi;
    do
    :: works == WORKS -> break
    :: works < WORKS ->
       works++;
       if
       :: !holds[me] && owner == RETURNED -> /* an allocation: slot_claim_returned() */
          STEP(
              if
              :: owner == RETURNED -> owner = me; heard[me] = generation; holds[me] = true
              :: else
              fi);
          if
          :: holds[me] -> share(me)
          :: else
          fi
       :: !holds[me] -> join(me)
       :: holds[me] -> holds[me] = false; let_go(me)
       fi
    od;
    goto over;
dead:
    atomic {
        died[me] = true; holds[me] = false;
        seen = 0; was = 0; works = 0; bare = false; won = false
    }
over:
    ended[me] = true
}

/* The sweep of the slot for session `s`: share_sweep(), then as any slot of the dead. */
inline sweep(s)
{
    won = false;
    STEP(row[s] = false);
#ifdef MUTANT_SWEEP_TAKES_SHARED_SLOTS
    STEP(
        if
        :: owner == SHARED -> assert(!HELD); owner = s
        :: else
        fi);
#endif
#ifndef MUTANT_SWEEP_LEAVES_THE_ROW
    close_if_last(s);
#endif
    STEP(
        if
        :: owner == s -> owner = RETURNED
        :: else
        fi);
    won = false
}

#define DUE(s) (died[s] && !swept[s])

proctype sweeper()
{
    byte seen, was, s;
    bool bare, won;

again:
    if
    :: atomic { DUE(1) -> s = 1 }
    :: atomic { DUE(2) -> s = 2 }
    :: atomic { DUE(3) -> s = 3 }
    :: ended[1] && ended[2] && ended[3] && !DUE(1) && !DUE(2) && !DUE(3) -> goto over
    fi;
    sweep(s);
    atomic { swept[s] = true; s = 0 };
    goto again;
dead:
    atomic { seen = 0; was = 0; s = 0; bare = false; won = false };
    goto again;
over:
    /* At rest. */
    assert(owner == RETURNED || (owner == SHARED && HELD) || (owner <= ACTORS && !died[owner]));
    assert(owner != SHARED || (row[1] == holds[1] && row[2] == holds[2] && row[3] == holds[3]))
}

init
{
    atomic {
        heard[1] = 1; heard[2] = 1; heard[3] = 1;
        run session(1);
        run session(2);
        if
        :: ACTORS > 2 -> run session(3)
        :: else -> ended[3] = true
        fi;
        run sweeper()
    }
}
