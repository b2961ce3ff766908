/* SPDX-License-Identifier: MIT
 *
 * bitmap: the return bitmap as a tree of two levels: lib/shm/bitmap.h, and the part of the sweep
 * that concerns it.
 *
 * SLOTS slots (2 or 3), two to a leaf word; one top word.  CLIENTS clients return slots and take some,
 * and look for proof that nothing is there, as a thief does (revoke.h).  A sweeper, who may die,
 * sweeps the dead.
 *
 * Asserted: none is taken by two; proof that none is there is given only if no slot was returned
 * throughout the look; at rest each returned slot can be found from the top.
 */
#include "step.pml"

#ifndef CLIENTS
#define CLIENTS 3
#endif
#ifndef SLOTS
#define SLOTS 3
#endif
#ifndef WORKS
#define WORKS 2
#endif

#define RETURNED 15

byte owner[SLOTS];
bool leaf[4], top[2];
bool working[4], dying[4], died[4], swept[4], over[4];
byte same_begun[4], same_sweeps; /* whose notes of these counters still hold */
byte there[4];                   /* slots returned since a client's look began */

#define WORD(s) ((s) / 2)
#define LEAF(w) (leaf[2 * (w)] || leaf[2 * (w) + 1])
#define GONE(s) there[1] = there[1] & ~(1 << (s)); there[2] = there[2] & ~(1 << (s)); \
    there[3] = there[3] & ~(1 << (s))

/* set_from() level 1. */
#define SET_TOP(s) \
    STEP(mark = top[WORD(s)]); \
    if \
    :: !mark -> STEP(top[WORD(s)] = true) \
    :: else \
    fi

/* bitmap_set(). */
#ifdef MUTANT_PARENT_BEFORE_CHILD
#define SET(s) SET_TOP(s); STEP(leaf[s] = true)
#else
#define SET(s) STEP(leaf[s] = true); SET_TOP(s)
#endif

/* clear_from() level 1. */
#ifdef MUTANT_CLEARS_PARENT_WITHOUT_SECOND_LOOK
#define CLEAR_TOP(s) STEP(top[WORD(s)] = false)
#else
#define CLEAR_TOP(s) \
    STEP(top[WORD(s)] = false); \
    STEP(mark = LEAF(WORD(s))); \
    if \
    :: mark -> SET_TOP(s) \
    :: else \
    fi
#endif

/* bitmap_clear(). */
inline clear(s)
{
    STEP(leaf[s] = false; last = !LEAF(WORD(s)));
#ifndef MUTANT_CLEARS_WITHOUT_SECOND_LOOK
    STEP(mark = (owner[s] == RETURNED));
#else
    mark = false;
#endif
    if
    :: mark -> SET(s)
    :: !mark && last -> CLEAR_TOP(s)
    :: !mark && !last
    fi;
    last = false; mark = false
}

/* The thief notes `ended`, and asks later whether `begun` equals it. */
#ifdef MUTANT_BEGUN_NOTED
#define NOTE_BEGUN(q) same_begun[q] = same_begun[q] | (1 << me)
#else
#define NOTE_BEGUN(q) same_begun[q] = same_begun[q] | (working[q] -> 0 : 1 << me)
#endif
#ifdef MUTANT_BEGUN_NOTED
#define BEGUN_UNSEEN(q) working[q]
#else
#define BEGUN_UNSEEN(q) false
#endif
#define BEGIN STEP(same_begun[me] = 0; working[me] = true)
#define END STEP(working[me] = false)

/* bitmap_take(): s, or SLOTS; it chooses where it begins to look. */
inline take()
{
    STEP(s = (top[0] || top[1] -> 0 : SLOTS));
    if
    :: s != SLOTS ->
#ifndef MUTANT_WORKS_UNANNOUNCED
       BEGIN;
#endif
       do
       :: STEP(
              if
              :: top[0] -> s = 0
              :: top[1] -> s = 2
              :: !top[0] && !top[1] -> s = SLOTS
              fi);
          if
          :: s == SLOTS -> break
          :: else
          fi;
          STEP(mark = true;
              if
              :: leaf[s]
              :: leaf[s + 1] -> s++
              :: !leaf[s] && !leaf[s + 1] -> mark = false
              fi);
          if
          :: !mark -> CLEAR_TOP(s)
          :: else ->
             mark = false;
             STEP(
                 if
                 :: owner[s] == RETURNED -> owner[s] = me; won = true; GONE(s)
                 :: else
                 fi);
             clear(s);
             if
             :: won -> break
             :: else
             fi
          fi;
          mark = false
       od;
       won = false;
       END
    :: else
    fi
}

#define FORGET s = 0; w = 0; mark = false; last = false; won = false; there[me] = 0; \
    same_begun[1] = same_begun[1] & ~(1 << me); same_begun[2] = same_begun[2] & ~(1 << me); \
    same_begun[3] = same_begun[3] & ~(1 << me); same_sweeps = same_sweeps & ~(1 << me)
#define IS_THERE(s) ((s) < SLOTS && owner[(s) % SLOTS] == RETURNED -> 1 << (s) : 0)

proctype client(byte me)
{
    byte s, w, works;
    bool mark, last, won;

next:
    atomic { FORGET };
    do
    :: works == WORKS -> goto finished
    :: atomic { works < WORKS && owner[0] == me -> works++; s = 0 }; goto return_it
    :: atomic { works < WORKS && owner[1] == me -> works++; s = 1 }; goto return_it
    :: atomic { works < WORKS && owner[SLOTS - 1] == me -> works++; s = SLOTS - 1 }; goto return_it
    :: atomic { works < WORKS -> works++ }; goto look
    od;

return_it: /* bitmap_return() */
#ifndef MUTANT_WORKS_UNANNOUNCED
    BEGIN;
#endif
#ifdef MUTANT_BIT_BEFORE_WORD
    SET(s);
#endif
    STEP(assert(owner[s] == me); owner[s] = RETURNED);
#ifndef MUTANT_BIT_BEFORE_WORD
    SET(s);
#endif
    END;
    goto next;

look: /* as in a round of revocation */
    atomic { there[me] = IS_THERE(0) + IS_THERE(1) + IS_THERE(2) };
    STEP(same_sweeps = same_sweeps | (1 << me));
    w = 1;
    do
    :: w > CLIENTS -> break
    :: else -> STEP(NOTE_BEGUN(w); w++)
    od;
    take();
    if
    :: s != SLOTS -> goto next
    :: else
    fi;
    w = 1;
    do
    :: w > CLIENTS -> break
    :: else -> STEP(won = won || dying[w]); w++
    od;
    w = 1;
    do
    :: w > CLIENTS -> break
    :: else -> STEP(won = won || !((same_begun[w] >> me) & 1) || BEGUN_UNSEEN(w)); w++
    od;
    STEP(won = won || !((same_sweeps >> me) & 1));
    if
    :: !won -> assert(there[me] == 0)
    :: else
    fi;
    goto next;

finished:
    atomic { over[me] = true; works = 0; goto gone };
dead:
    atomic { died[me] = true; over[me] = true; works = 0; FORGET };
gone:
    skip
}

#define DUE(q) (died[q] && !swept[q])

proctype sweeper()
{
    byte q, s;
    bool mark, was;

again:
    if
    :: atomic { DUE(1) -> q = 1 }
    :: atomic { DUE(2) -> q = 2 }
    :: atomic { DUE(3) -> q = 3 }
    :: over[1] && over[2] && (CLIENTS < 3 || over[3]) && !DUE(1) && !DUE(2) && !DUE(3) -> goto rest
    fi;
    STEP(dying[q] = true);
    STEP(same_sweeps = 0);
    do
    :: s == SLOTS -> break
    :: else ->
       STEP(mark = (owner[s] == RETURNED); was = (owner[s] == q));
       if
       :: was ->
#ifdef MUTANT_SWEEP_BIT_BEFORE_WORD
          SET(s);
#endif
          STEP(owner[s] = RETURNED); /* CAS: nobody adopts here */
#ifndef MUTANT_SWEEP_BIT_BEFORE_WORD
          SET(s);
#endif
          skip
       :: mark ->
#ifndef MUTANT_SWEEP_PASSES_RETURNED_SLOTS
          SET(s);
#endif
          skip
       :: !mark && !was
       fi;
       mark = false; was = false; s++
    od;
    s = 0;
    STEP(working[q] = false);
#ifndef MUTANT_SWEEP_COUNTED_ONCE
    STEP(same_sweeps = 0);
#endif
    STEP(dying[q] = false; swept[q] = true);
    q = 0;
    goto again;
dead:
    atomic { q = 0; s = 0; mark = false; was = false };
    goto again;

rest:
    atomic {
        do
        :: s == SLOTS -> break
        :: else ->
           assert((owner[s] == RETURNED && leaf[s] && top[WORD(s)]) || !died[owner[s]]);
           s++
        od
    }
}

init
{
    atomic {
        owner[0] = 1;
        owner[1] = 2;
        owner[SLOTS - 1] = RETURNED; leaf[SLOTS - 1] = true; top[WORD(SLOTS - 1)] = true;
        run client(1);
        run client(2);
        if
        :: CLIENTS > 2 -> run client(3)
        :: else
        fi;
        run sweeper()
    }
}
