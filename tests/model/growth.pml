/* SPDX-License-Identifier: MIT
 *
 * growth: capacity up and down: lib/shm/growth.h, the slots that are never used, returned and
 * withdrawn, the daemon's part (memory, manifest), its death and re-adoption.
 *
 * SLOTS slots at most, one at first.  CLIENTS clients allocate, ask for growth when there is nothing,
 * free, and shrink the pool to one slot.  The daemon holds the sweeper's role: it grows by
 * one, retreats, and sweeps the dead, one job at a time.  It may die and start again: requests
 * that had no answer are sent again.
 *
 * Asserted: who owns a slot finds memory there, below the capacity; a request is answered and its
 * asker finds more capacity than before; at rest each slot below the capacity is never used (and
 * above the hint), returned and flagged, or somebody's who is alive; each slot above is never
 * used or withdrawn; memory, manifest and capacity agree.
 */
#include "step.pml"

#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef WORKS
#define WORKS 2
#endif

#define WITHDRAWN 14
#define RETURNED 15

byte owner[SLOTS];
bool used[SLOTS];            /* the generation is not 0 */
bool flag[SLOTS];            /* the bitmap */
byte bump, published = 1, reserved = 1;
byte filled[SLOTS];          /* there is memory for the object */
byte manifest = 1;
byte grow[4], shrink[4];     /* requests: from + 1, target + 1; 0: none, or answered */
bool died[4], swept[4], over[4];
byte has[4];                 /* slot + 1 that the client's program has */

#define OWN(s) assert(filled[s] && (s) < published && (s) < reserved); owner[s] = me; \
    has[me] = (s) + 1

proctype client(byte me)
{
    byte s, most, works;
    bool won, mark;

next:
    atomic { s = 0; most = 0; won = false; mark = false };
    do
    :: works == WORKS -> goto finished
    :: atomic { works < WORKS && !has[me] -> works++ }; goto alloc
    :: atomic { works < WORKS && has[me] -> works++; s = has[me] - 1; has[me] = 0 }; goto free
    :: atomic { works < WORKS && me == CLIENTS -> works++ }; goto withdraw
    od;

alloc:
    /* take_fresh(): word, then hint. */
    STEP(s = bump; most = published);
    do
    :: s >= most -> break
    :: else ->
       STEP(
           if
           :: owner[s] == 0 && !used[s] -> OWN(s); used[s] = true; won = true
           :: else
           fi;
           s++);
       if
       :: won -> break
       :: else
       fi
    od;
    STEP(if :: bump < s -> bump = s :: else fi);
    if
    :: won -> goto next
    :: else
    fi;
    /* bitmap_take(). */
    do
    :: STEP(
           if
           :: flag[0] -> s = 0
           :: flag[SLOTS - 1] -> s = SLOTS - 1
           :: flag[SLOTS / 2] -> s = SLOTS / 2
           :: else -> s = SLOTS
           fi);
       if
       :: s == SLOTS -> break
       :: else
       fi;
       STEP(if :: owner[s] == RETURNED -> OWN(s); won = true :: else fi);
       STEP(flag[s] = false);
       STEP(mark = (owner[s] == RETURNED));
       if
       :: mark -> mark = false; STEP(flag[s] = true)
       :: else
       fi;
       if
       :: won -> goto next
       :: else
       fi
    od;
    /* At need: asks, waits for the answer. */
    STEP(most = published);
    if
    :: most < SLOTS ->
       STEP(grow[me] = most + 1);
       STEP(grow[me] == 0);
       goto next
    :: else -> goto next
    fi;

free: /* bitmap_return() */
    STEP(assert(owner[s] == me); owner[s] = RETURNED);
    STEP(flag[s] = true);
    goto next;

withdraw: /* growth_withdraw(), to one slot */
    STEP(s = published);
    do
    :: s <= 1 -> break
    :: else ->
       s--;
       STEP(most = owner[s]; mark = used[s]);
       if
       :: (most == 0 && !mark) || most == RETURNED ->
#ifdef MUTANT_WITHDRAWS_BY_A_STORE
          STEP(owner[s] = WITHDRAWN; used[s] = true; won = true);
#else
          STEP(
              if
              :: owner[s] == most && used[s] == mark ->
                 owner[s] = WITHDRAWN; used[s] = true; won = true
              :: else
              fi);
#endif
          if
          :: won && mark -> /* bitmap_clear() */
             STEP(flag[s] = false);
             STEP(mark = (owner[s] == RETURNED));
             if
             :: mark -> STEP(flag[s] = true)
             :: else
             fi
          :: else
          fi
       :: else
       fi;
       won = false; mark = false
    od;
    STEP(shrink[me] = 2);
    STEP(shrink[me] == 0);
    goto next;

finished:
    atomic { over[me] = true; works = 0; goto gone };
dead:
    atomic {
        died[me] = true; over[me] = true; has[me] = 0; grow[me] = 0; shrink[me] = 0;
        s = 0; most = 0; works = 0; won = false; mark = false
    };
gone:
    skip
}

/* WITHDRAWN slots of [s, most) become RETURNED: word, then bit.  Those met RETURNED get their bit,
 * as whoever made them so may have died before. */
#ifdef MUTANT_READMITS_WITHOUT_THE_BITS_OF_OTHERS
#define CUT_OFF(s) false
#else
#define CUT_OFF(s) (owner[s] == RETURNED)
#endif
#define READMIT \
    do \
    :: s >= most -> break \
    :: else -> \
       STEP(mark = (owner[s] == WITHDRAWN || CUT_OFF(s)); \
           if \
           :: owner[s] == WITHDRAWN -> owner[s] = RETURNED \
           :: else \
           fi); \
       if \
       :: mark -> mark = false; STEP(flag[s] = true) \
       :: else \
       fi; \
       s++ \
    od

#define RESERVE s = 0; \
    do \
    :: s >= to -> break \
    :: else -> STEP(filled[s] = true); s++ \
    od

#ifdef MUTANT_PUBLISHED_WITHOUT_READMITTING
#define PUBLISH_AND_READMIT STEP(published = to)
#else
#ifdef MUTANT_READMITS_BEFORE_PUBLISHING
#define PUBLISH_AND_READMIT READMIT; STEP(published = to)
#else
#define PUBLISH_AND_READMIT STEP(published = to); READMIT
#endif
#endif

/* growth_publish(to). */
inline publish()
{
    STEP(s = published; if :: reserved < to -> reserved = to :: else fi);
    most = to;
    if
    :: to > s -> PUBLISH_AND_READMIT
    :: else -> most = s; s = 0; READMIT
    fi
}

#define DUE(q) (died[q] && !swept[q])

proctype daemon()
{
    byte c, s, to, most;
    bool mark;

    goto idle;

dead: /* and started again: re-adoption, what the manifest says is the capacity */
    atomic { c = 0; s = 0; most = 0; mark = false; to = manifest };
    RESERVE;
    publish();
#ifndef MUTANT_READOPTS_BEFORE_PUNCHING
    s = to;
    do
    :: s >= SLOTS -> break
    :: else -> STEP(assert(owner[s] == 0 || owner[s] == WITHDRAWN); filled[s] = false); s++
    od;
#endif

idle:
    atomic { c = 0; s = 0; to = 0; most = 0; mark = false };
    if
    :: atomic { grow[1] -> c = 1 }
    :: atomic { grow[CLIENTS] -> c = CLIENTS }
    :: atomic { shrink[CLIENTS] -> c = CLIENTS; mark = true }
    :: atomic { DUE(1) -> c = 1 }; goto sweep
    :: atomic { DUE(CLIENTS) -> c = CLIENTS }; goto sweep
    :: over[1] && over[CLIENTS] && !DUE(1) && !DUE(CLIENTS) -> goto rest
    fi;
    if
    :: mark -> mark = false; goto retreat
    :: else
    fi;

    /* Growing by one, unless there is more than the asker had seen.  (It may have seen more than
     * there is by now.) */
    if
    :: grow[c] && published < grow[c] ->
       to = published + 1;
#ifdef MUTANT_PUBLISHED_BEFORE_MEMORY
       STEP(manifest = to);
       publish();
       RESERVE;
#else
       RESERVE; /* 1 */
#ifndef MUTANT_MANIFEST_AFTER_PUBLISHING
       STEP(manifest = to); /* 2 */
#endif
       publish(); /* 3, 4 */
#ifdef MUTANT_MANIFEST_AFTER_PUBLISHING
       STEP(manifest = to);
#endif
#endif
    :: else
    fi;
    STEP(assert(published >= grow[c] || published == to); grow[c] = 0);
    goto idle;

retreat: /* growth_retreat() */
    STEP(to = published);
    most = to;
    do
    :: to <= 1 -> break
    :: else ->
       STEP(mark = (owner[to - 1] == WITHDRAWN));
#ifdef MUTANT_RETREATS_UNSEEING
       mark = true;
#endif
       if
       :: mark -> mark = false; to--
       :: else -> break
       fi
    od;
    if
    :: to < most -> STEP(published = to) /* 1 */
    :: else
    fi;
    atomic { s = 1; most = to };
#ifndef MUTANT_RETREATS_WITHOUT_READMITTING
    READMIT; /* 2 */
#endif
    STEP(manifest = to); /* 3 */
    s = to;
    do
    :: s >= SLOTS -> break
    :: else -> STEP(filled[s] = false); s++
    od;
    STEP(shrink[c] = 0);
    goto idle;

sweep:
    STEP(most = published);
    do
    :: s >= most -> break
    :: else ->
       STEP(to = owner[s]);
       if
#ifndef MUTANT_SWEEP_LEAVES_WITHDRAWN
       :: to == c || to == WITHDRAWN ->
#else
       :: to == c ->
#endif
          STEP(if :: owner[s] == to -> owner[s] = RETURNED; mark = true :: else fi)
       :: to == RETURNED -> mark = true
       :: else
       fi;
       if
       :: mark -> STEP(flag[s] = true)
       :: else
       fi;
       mark = false; s++
    od;
    STEP(swept[c] = true);
    goto idle;

rest:
    atomic {
        assert(published == manifest && reserved >= published);
        do
        :: s == SLOTS -> break
        :: else ->
           assert(filled[s] == (s < published));
           if
           :: s < published ->
              assert((owner[s] == 0 && !used[s] && s >= bump) || (owner[s] == RETURNED && flag[s]) ||
                     (owner[s] && owner[s] <= CLIENTS && has[owner[s]] == s + 1))
           :: else -> assert(owner[s] == 0 || owner[s] == WITHDRAWN)
           fi;
           s++
        od
    }
}

init
{
    atomic {
        filled[0] = true;
        run client(1);
        run client(2);
        run daemon()
    }
}
