/* SPDX-License-Identifier: MIT
 *
 * wait: sleeping for a slot and waking who sleeps: lib/shm/wait.h, the marks on gates (revoke.h)
 * and the lanes that stay shut while somebody waits (supply.h).
 *
 * SLOTS slots, USERS threads of processes of their own, that have them at first and free and
 * allocate, through a cache if they have one; WAITERS that wait for one each, then free it.
 * A sweeper sweeps the dead, and may die.  Where slots are when nobody has them is told in
 * numbers: in the common stock (depot and bitmap), or in a user's cache.
 *
 * `busy` goes through a store buffer: the gate shows it at once, or not before the
 * owner's next store, or a membarrier.
 *
 * Asserted: at rest every waiter has had his slot (all are idle by then), and nobody's count is
 * left, so that frees make no system calls.
 */
#include "step.pml"

#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef USERS
#define USERS 2
#endif
#ifndef WAITERS
#define WAITERS 2
#endif
#ifndef WORKS
#define WORKS 1 /* operations of each user, beyond freeing what it has left */
#endif

#define ACTORS (USERS + WAITERS)

byte common;                /* idle slots in depot and bitmap */
byte cached[ACTORS];        /* ... in a user's cache */
byte owns[ACTORS];          /* slots that a session owns */
bool held[ACTORS];          /* the user has claimed a cache record */
bool busy[ACTORS], buffered[ACTORS], marked[ACTORS], lane[ACTORS];
bool moved[2 * ACTORS];      /* a user's `moves`: changed since a waiter noted it */
byte waiting;               /* the word `waiters` */
bool turned[ACTORS];        /* the futex word: changed since a waiter noted it */
bool asleep[ACTORS];
bool died[ACTORS], swept[ACTORS], ended[ACTORS];


#define MOVE(c) moved[((c) % USERS) * ACTORS + USERS] = true; \
    moved[((c) % USERS) * ACTORS + ACTORS - 1] = true
#define TURN turned[USERS] = true; turned[ACTORS - 1] = true
#define FORGET turned[me] = true; moved[me] = true; moved[ACTORS + me] = true
#define DRAIN buffered[me] = false

#ifdef MUTANT_CLEARS_FIRST
#define WAIT_WAKE \
    STEP(seen = waiting; waiting = 0); \
    if \
    :: seen -> STEP(TURN); STEP(WAKE_ALL) \
    :: else \
    fi
#else
#ifdef MUTANT_WAKES_BEFORE_EPOCH
#define EPOCH_AND_WAKE STEP(WAKE_ALL); STEP(TURN)
#else
#define EPOCH_AND_WAKE STEP(TURN); STEP(WAKE_ALL)
#endif
#ifdef MUTANT_DOES_NOT_CLEAR
#define CLEAR skip
#else
#ifdef MUTANT_CLEARS_WHATEVER_IS_THERE
#define CLEAR STEP(waiting = 0)
#else
#ifdef MUTANT_COUNTS_FROM_ZERO
#define CLEAR STEP(if :: waiting == seen -> waiting = 0 :: else fi)
#else
#define CLEAR STEP(if :: waiting == seen -> waiting = seen - 1 :: else fi)
#endif
#endif
#endif
#define WAIT_WAKE \
    STEP(seen = waiting); \
    if \
    :: ANYBODY(seen) -> EPOCH_AND_WAKE; CLEAR \
    :: else \
    fi; \
    seen = 0
#endif

#ifdef MUTANT_COUNTS_FROM_ZERO
#define ANYBODY(word) ((word) != 0)
#define COUNT_UP waiting++
#else
#define ANYBODY(word) ((word) & 1)
#define COUNT_UP waiting = (waiting + 2) | 1
#endif

#define WAKE_ALL asleep[USERS] = false; asleep[ACTORS - 1] = false

inline enter(me)
{
    STEP(busy[me] = true;
        if
        :: buffered[me] = true
        :: buffered[me] = false
        fi)
}

/* The slow way's entry: with readmission. */
inline enter_slowly(me)
{
    enter(me);
    STEP(mark = marked[me]);
    if
    :: mark -> STEP(DRAIN; marked[me] = false); STEP(MOVE(me))
    :: else
    fi;
    mark = false
}

inline leave(me)
{
    STEP(DRAIN; busy[me] = false)
}

inline free_slowly(me)
{
    STEP(mark = marked[me]);
    if
    :: mark && held[me] -> /* yield_to_thief() */
       enter_slowly(me);
       STEP(DRAIN; MOVE(me));
       STEP(common = common + cached[me]; cached[me] = 0);
       leave(me)
    :: else
    fi;
    STEP(mark = !ANYBODY(waiting) && held[me]);
    if
    :: mark ->
       enter_slowly(me);
       STEP(DRAIN; owns[me]--; cached[me]++);
       leave(me);
#ifdef MUTANT_WAKES_ONLY_IF_FOUND_WAITING_BEFORE
       mark = true;
#endif
       skip
    :: else -> mark = false; STEP(owns[me]--; common++) /* a: bitmap_return() */
    fi;
#ifdef MUTANT_WAKES_ONLY_IF_FOUND_WAITING_BEFORE
    if
    :: !mark -> WAIT_WAKE
    :: else -> mark = false
    fi
#else
    WAIT_WAKE
#endif
}

inline shut_lane(me)
{
#ifndef MUTANT_LANE_STAYS_OPEN
    STEP(lane[me] = held[me] && !ANYBODY(waiting))
#else
    lane[me] = held[me]
#endif
}

proctype user(byte me)
{
    byte seen, works;
    bool mark;

next:
    do
    :: works == WORKS && !owns[me] -> break
    :: owns[me] -> /* free */
       works = (works < WORKS -> works + 1 : WORKS);
       if
       :: lane[me] ->
          enter(me);
          STEP(mark = marked[me]);
          if
          :: !mark -> STEP(DRAIN; cached[me]++; owns[me]--); leave(me); goto next
          :: else -> mark = false; leave(me)
          fi
       :: else
       fi;
       free_slowly(me);
       shut_lane(me)
    :: works < WORKS && !owns[me] -> /* alloc */
       works++;
       if
       :: lane[me] ->
          enter(me);
          STEP(mark = marked[me] || !cached[me]);
          if
          :: !mark -> STEP(DRAIN; owns[me]++; cached[me]--); leave(me); goto next
          :: else -> mark = false; leave(me)
          fi
       :: else
       fi;
       if
       :: !held[me] -> STEP(held[me] = true)
       :: else
       fi;
       enter_slowly(me);
       STEP(DRAIN;
           if
           :: cached[me] -> cached[me]--; owns[me]++; mark = true
           :: else
           fi);
       leave(me);
       if
       :: !mark ->
          STEP(
              if
              :: common -> common--; owns[me]++
              :: else
              fi)
       :: else -> mark = false
       fi;
       shut_lane(me)
    od;
    goto over;
dead:
    atomic { died[me] = true; DRAIN; seen = 0; works = 0; mark = false }
over:
    ended[me] = true
}

#define QUIET(c) (!busy[c] || buffered[c])

#ifdef MUTANT_DOES_NOT_MARK
#define SET_MARK(c) skip
#else
#define SET_MARK(c) STEP(marked[c] = true)
#endif
#define MARK(c) \
    STEP(moved[c * ACTORS + me] = false); \
    STEP(mark = held[c]); \
    if \
    :: mark -> SET_MARK(c) \
    :: else \
    fi; \
    mark = false

#define LOOK_AT(c) \
    STEP(QUIET(c)); /* as often as it takes */ \
    STEP( \
        if \
        :: cached[c] && !moved[c * ACTORS + me] -> cached[c]--; MOVE(c); owns[me]++ \
        :: cached[c] && moved[c * ACTORS + me] -> unsure = true \
        :: else \
        fi)

/* The waiter's rounds of revocation, each begun anew when one was unsure. */
proctype waiter(byte me)
{
    byte seen;
    bool mark, unsure;

    do
    :: owns[me] -> break
    :: else ->
#ifdef MUTANT_COUNTS_BEFORE_EPOCH
       STEP(COUNT_UP);
#endif
#ifndef MUTANT_EPOCH_AFTER_THE_LOOK
       STEP(turned[me] = false);
#endif
#if !defined(MUTANT_COUNTS_BEFORE_EPOCH) && !defined(MUTANT_COUNTS_AFTER_THE_LOOK)
       STEP(COUNT_UP); /* 1 */
#endif
       MARK(0);
       MARK(1);
#ifndef MUTANT_NO_BARRIER
       STEP(buffered[0] = false; buffered[1] = false);
#endif
       STEP(
           if
           :: common -> common--; owns[me]++
           :: else
           fi);
       if
       :: !owns[me] -> LOOK_AT(0)
       :: else
       fi;
       if
       :: !owns[me] -> LOOK_AT(1)
       :: else
       fi;
       if
       :: !owns[me] ->
          STEP((!died[0] || swept[0]) && (!died[1] || swept[1]); /* else stalled */
              unsure = unsure || moved[me] || moved[ACTORS + me])
       :: else
       fi;
#ifdef MUTANT_EPOCH_AFTER_THE_LOOK
       STEP(turned[me] = false);
#endif
#ifdef MUTANT_COUNTS_AFTER_THE_LOOK
       STEP(COUNT_UP);
#endif
       if
       :: !owns[me] && !unsure -> /* 3: the kernel compares and sleeps at once */
          STEP(
              if
              :: !turned[me] -> asleep[me] = true
              :: else
              fi);
          STEP(!asleep[me])
       :: else
       fi;
       unsure = false; FORGET
    od;
    free_slowly(me);
    goto over;
dead:
    atomic {
        died[me] = true; asleep[me] = false;
        seen = 0; FORGET; mark = false; unsure = false
    }
over:
    ended[me] = true
}

#define DUE(s) (died[s] && !swept[s])

proctype sweeper()
{
    byte seen, s, a;

again:
    if
    :: atomic { DUE(0) -> s = 0 }
    :: atomic { DUE(1) -> s = 1 }
    :: atomic { DUE(2) -> s = 2 }
    :: atomic { DUE(ACTORS - 1) -> s = ACTORS - 1 }
    :: ended[0] && ended[1] && ended[2] && ended[ACTORS - 1] && !DUE(0) && !DUE(1) && !DUE(2) &&
       !DUE(ACTORS - 1) -> goto over
    fi;
    STEP(MOVE(s));
    STEP(common = common + cached[s]; cached[s] = 0);
    STEP(common = common + owns[s]; owns[s] = 0);
    STEP(held[s] = false; busy[s] = false; marked[s] = false);
#ifdef MUTANT_SWEEP_WAKES_LAST
    STEP(swept[s] = true);
    WAIT_WAKE;
#else
#ifndef MUTANT_SWEEP_DOES_NOT_WAKE
    WAIT_WAKE;
#endif
    STEP(swept[s] = true);
#endif
    s = 0;
    goto again;
dead:
    atomic { seen = 0; s = 0 };
    goto again;
over:
    skip
}

init
{
    atomic {
        owns[0] = 1;
        held[0] = true;
        lane[0] = true;
        owns[1] = SLOTS - 1;
        run user(0);
        run user(1);
        run waiter(2);
        if
        :: WAITERS > 1 -> run waiter(3)
        :: else
        fi;
        run sweeper()
    };
    timeout;
    assert(common + cached[0] + cached[1] == SLOTS);
    assert(!asleep[USERS] && !asleep[ACTORS - 1]);
    assert(!ANYBODY(waiting))
}
