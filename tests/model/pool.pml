/* SPDX-License-Identifier: MIT
 *
 * pool: caches, depot, fresh and returned slots, revocation, adoption, death and sweep:
 * lib/shm/{slot,magazine,cache,depot,supply,revoke,sweep}.h and include/fastalloc/inline.h.
 *
 * CLIENTS processes of one thread each, SLOTS slots, MAGAZINES magazines of SIZE entries, one depot.
 * Each client does up to WORKS operations, any of: an allocation, a free of a slot it has, an
 * adoption of a slot that another has or had when it died.  A sweeper, who may die and begin again,
 * sweeps the dead.
 *
 * The owner's `busy` goes through a store buffer: others see it at once, or not before its next
 * store, or a membarrier.  That is the one place where the code has a store followed by a load
 * without a fence between.
 *
 * Counters that are only ever compared with what was noted (a gate's epoch, moves, begun, sweeps)
 * are kept as the set of those whose note still holds: which is the same while they do not wrap.
 * Left out: the merging of magazines at a thread's end, several depots, threads of one session.
 *
 * Asserted always: a slot taken by a plain store is idle, one put by a plain store is its owner's;
 * a depot's list names magazines of the depot's; EXHAUSTED only if no slot was idle
 * throughout the call.  At rest: each slot is in exactly one place, and can be had from there.
 */
#include "step.pml"

#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef SIZE
#define SIZE 1
#endif
#ifndef MAGAZINES
#define MAGAZINES 3
#endif
#ifndef WORKS
#define WORKS 2
#endif
#ifndef FIRST_WORKS
#define FIRST_WORKS WORKS /* those of client 1 */
#endif
#ifndef ROUNDS
#define ROUNDS 1 /* of revocation in an allocation; then it is STALLED */
#endif
#ifndef START
#define START WARM
#endif
#define NEW 0  /* no slot was ever used */
#define WARM 1 /* slot 0 in the cache of client 1, the others in the depot */
#define HELD 2 /* slot 0 owned by client 1, the others in its cache, as many as it holds */

#define RETURNED 15
#define DEPOT 14

/* Slot words, magazine words, magazines, links (magazine + 1). */
byte generation[SLOTS], owner[SLOTS];
byte holder[MAGAZINES], turn[MAGAZINES], parked[MAGAZINES]; /* owner, epoch, n */
byte count[MAGAZINES], entry[MAGAZINES * SIZE], link[MAGAZINES];
bool flag[SLOTS];
byte bump;

/* Cache records, by session; magazines there are index + 1. */
bool busy[CLIENTS + 1], buffered[CLIENTS + 1], marked[CLIENTS + 1];
byte loaded[CLIENTS + 1], loaded_turn[CLIENTS + 1];
byte previous[CLIENTS + 1], previous_turn[CLIENTS + 1];
bool working[CLIENTS + 1], dying[CLIENTS + 1]; /* begun != ended; state */

/* Whose notes of these still hold: a bit for each client. */
byte same_gate[CLIENTS + 1], same_moves[CLIENTS + 1], same_begun[CLIENTS + 1], same_sweeps;
#define CHANGE(counter) counter = 0
#define NOTE(counter) counter = counter | (1 << me)
/* Of `begun` and `ended` the thief notes the second, and asks later whether the first equals it. */
#define NOTE_BEGUN(q) same_begun[q] = same_begun[q] | (working[q] -> 0 : 1 << me)
#define SAME(counter) ((counter >> me) & 1)

/* The depot. */
byte lock;
bool dirty;
byte fulls, partials, empties;

/* What is known from outside, for the assertions. */
bool died[CLIENTS + 1], swept[CLIENTS + 1], over[CLIENTS + 1];
byte idle[CLIENTS + 1];                 /* slots idle since its allocation began */
byte has[SLOTS], freeing[SLOTS], told[SLOTS]; /* user, who is in a free of it, generation last given out */

#ifdef ADOPT
#define GIVEN_AWAY(s) (has[s] == 0) /* the handle was, and its receiver died before adopting */
#else
#define GIVEN_AWAY(s) false
#endif
#define TAKEN(i) \
    idle[1] = idle[1] & ~(1 << (i)); \
    idle[CLIENTS - 1] = idle[CLIENTS - 1] & ~(1 << (i)); \
    idle[CLIENTS] = idle[CLIENTS] & ~(1 << (i))

#define DRAIN buffered[me] = false
#define STORE(action) STEP(DRAIN; action)

/* ----------------------------------------------------------------- the gate */

#define BUSY STEP(busy[me] = true; \
    if \
    :: buffered[me] = true \
    :: buffered[me] = false \
    fi)

#ifdef MUTANT_MAGAZINES_WITHOUT_EPOCH
#define NEXT_TURN(m) skip
#else
#define NEXT_TURN(m) turn[m]++
#endif

/* keep(): a magazine noted, if it is still the cache's. */
#define KEEP(place, noted) \
    if \
    :: place[me] -> \
       STORE( \
           if \
           :: holder[place[me] - 1] == me && turn[place[me] - 1] == noted[me] -> \
              NEXT_TURN(place[me] - 1); ok = true \
           :: else -> ok = false \
           fi); \
       if \
       :: ok -> STEP(noted[me] = turn[place[me] - 1]) \
       :: else -> STEP(place[me] = 0; noted[me] = 0) \
       fi \
    :: else \
    fi; \
    ok = false

inline enter()
{
    BUSY;
    STEP(ok = marked[me]);
    if
    :: ok ->
       STORE(marked[me] = false);
#ifdef MUTANT_MAGAZINES_BEFORE_THE_GATE
       KEEP(loaded, loaded_turn);
       KEEP(previous, previous_turn);
       STORE(CHANGE(same_gate[me]))
#else
       STORE(CHANGE(same_gate[me]));
#ifndef MUTANT_READMITS_WITHOUT_NEW_EPOCHS
       KEEP(loaded, loaded_turn);
       KEEP(previous, previous_turn)
#endif
#endif
    :: else
    fi;
    ok = false
}

#define LEAVE STORE(busy[me] = false)
#ifdef MUTANT_MOVES_UNANNOUNCED
#define MOVES skip
#else
#define MOVES STORE(CHANGE(same_moves[me]))
#endif

/* ------------------------------------------------------------ the magazines */

#define TAKE_WORD(s) \
    STORE(assert(owner[s] == 0 && generation[s]); owner[s] = me; TAKEN(s))

#ifdef MUTANT_COUNT_BEFORE_WORD
#define A_B(m, s) STORE(count[m] = n - 1); TAKE_WORD(s)
#else
#define A_B(m, s) TAKE_WORD(s); STORE(count[m] = n - 1)
#endif

/* magazine_pop(): of magazine m into i; ok. */
inline pop(m)
{
    STEP(n = count[m]);
    do
    :: n == 0 -> STORE(count[m] = 0); break
    :: n > 0 ->
       STEP(i = entry[(m) * SIZE + n - 1]; ok = (owner[i] == 0 && generation[i]));
       if
       :: ok -> A_B(m, i); break
       :: else -> n--
       fi
    od;
    n = 0
}

#define PUT_WORD(s, more) \
    STORE(assert(owner[s] == me); owner[s] = 0; generation[s] = generation[s] + more)
#ifdef MUTANT_WORD_BEFORE_ENTRY
#define C_D_E(m, s, more) PUT_WORD(s, more); STORE(entry[(m) * SIZE + n] = s); STORE(count[m] = n + 1)
#else
#define C_D_E(m, s, more) STORE(entry[(m) * SIZE + n] = s); STORE(count[m] = n + 1); PUT_WORD(s, more)
#endif

/* set_loaded(), set_previous(): x is index + 1 or 0. */
#define SET(place, noted, x, t) STORE(noted[me] = t); STORE(place[me] = x)

/* magazine_fresh(): x index + 1, t. */
inline fresh_magazine()
{
    x = 0;
    do
    :: x == MAGAZINES -> x = 0; break
    :: else ->
       x++;
       STORE(
           if
           :: holder[x - 1] == 0 && turn[x - 1] == 0 ->
              holder[x - 1] = me; turn[x - 1] = 1; t = 1; ok = true
           :: else
           fi);
       if
       :: ok -> ok = false; break
       :: else
       fi
    od
}

/* cache_turn(): the two change places if the previous one is `able`. */
inline change_places(able)
{
    if
    :: previous[me] ->
       STEP(ok = (able));
       if
       :: ok ->
          MOVES;
          atomic { x = loaded[me]; t = loaded_turn[me] };
          SET(loaded, loaded_turn, previous[me], previous_turn[me]);
          SET(previous, previous_turn, x, t);
          x = 0; t = 0
       :: else
       fi
    :: else -> ok = false
    fi;
    ok = false
}

/* thread_turn(): in the gate still, and not marked even now. */
inline change_places_at_once(able)
{
    STEP(ok = marked[me]);
    if
    :: !ok -> change_places(able)
    :: else
    fi;
    ok = false
}

#define PREVIOUS_COUNT count[previous[me] - 1]

/* --------------------------------------------------------------- the depot */

#define AVAILABLE (lock == 0 || died[lock])

#define LIST(list, m) link[m] = list; list = m + 1
#define LINK(m, entries) \
    if \
    :: (entries) == 0 -> LIST(empties, m) \
    :: (entries) == SIZE -> LIST(fulls, m) \
    :: (entries) > 0 && (entries) < SIZE -> LIST(partials, m) \
    fi

/* Having got the lock: ok says that its last holder died. */
inline rebuild_if_due()
{
    STEP(ok = ok || dirty);
    if
    :: ok ->
#ifndef MUTANT_DIRTY_CLEARED_LAST
       STORE(dirty = false);
#endif
       STORE(fulls = 0; partials = 0; empties = 0);
       c = 0;
       do
       :: c == MAGAZINES -> break
       :: else ->
          STORE(
              if
              :: holder[c] == DEPOT -> LINK(c, parked[c])
              :: else
              fi;
              c++)
       od;
#ifdef MUTANT_DIRTY_CLEARED_LAST
       STORE(dirty = false);
#endif
       c = 0
    :: else
    fi;
    ok = false
}

#define LOCK ok = (lock != 0); lock = me
#define UNLOCK STORE(assert(lock == me); lock = 0)

/* take_first_locked(): x index + 1, t; x 0: none. */
#define UNLINK(list) \
    STORE( \
        x = list; \
        if \
        :: x -> assert(holder[x - 1] == DEPOT); list = link[x - 1]; link[x - 1] = 0; TAKE_COUNT \
        :: else \
        fi)
#ifdef MUTANT_OWNER_BEFORE_COUNT
#define TAKE_COUNT n = parked[x - 1]
#define TAKE_MAGAZINE STORE(PASS_FROM_DEPOT); STORE(count[x - 1] = n; n = 0)
#else
#define TAKE_COUNT count[x - 1] = parked[x - 1]
#define TAKE_MAGAZINE STORE(PASS_FROM_DEPOT)
#endif
#define PASS_FROM_DEPOT assert(holder[x - 1] == DEPOT); holder[x - 1] = me; \
    parked[x - 1] = 0; NEXT_TURN(x - 1); t = turn[x - 1]

#define TAKE(first, second) \
    UNLINK(first); \
    if \
    :: !x -> UNLINK(second) \
    :: else \
    fi; \
    if \
    :: x -> TAKE_MAGAZINE \
    :: else \
    fi

/* depot_give_locked(): magazine d (index + 1), whose word is the caller's if it is of turn dt. */
inline give()
{
    STEP(n = count[d - 1]);
    STORE(
        if
        :: holder[d - 1] == me && turn[d - 1] == dt ->
           holder[d - 1] = DEPOT; parked[d - 1] = n; NEXT_TURN(d - 1); ok = true
        :: else -> ok = false
        fi);
    if
    :: ok -> STORE(LINK(d - 1, n))
    :: else
    fi;
    n = 0; d = 0; dt = 0; ok = false
}

/* place_locked(): magazine x of turn t into the cache. */
inline place()
{
    atomic { d = loaded[me]; dt = loaded_turn[me] };
    if
    :: d && !previous[me] -> SET(previous, previous_turn, d, dt); d = 0; dt = 0
    :: else
    fi;
    SET(loaded, loaded_turn, x, t);
    if
    :: d -> give()
    :: else
    fi
}

/* yield_to_thief(): gives the cache to the depot, if that can be had at once. */
inline yield_to_thief()
{
    STEP(ok = marked[me]);
    if
    :: ok ->
       STEP(ok = AVAILABLE);
       if
       :: ok -> STEP(ok = AVAILABLE; if :: ok -> LOCK; d = 1 :: else fi)
       :: else
       fi;
       if
       :: d ->
          d = 0;
          rebuild_if_due();
          enter();
          MOVES;
          atomic { d = loaded[me]; dt = loaded_turn[me] };
          if
          :: d -> give()
          :: else -> dt = 0
          fi;
          atomic { d = previous[me]; dt = previous_turn[me] };
          if
          :: d -> give()
          :: else -> dt = 0
          fi;
          SET(loaded, loaded_turn, 0, 0);
          SET(previous, previous_turn, 0, 0);
          STORE(CHANGE(same_gate[me]));
          LEAVE;
          UNLOCK
       :: else
       fi
    :: else
    fi;
    ok = false
}

/* ------------------------------------------------- the bitmap (one level) */

#define BEGIN STORE(CHANGE(same_begun[me]); working[me] = true)
#define END STORE(working[me] = false)

/* bitmap_take(): into j; ok. */
inline take_returned()
{
    STEP(j = (flag[0] || flag[SLOTS - 1] || flag[SLOTS / 2] -> 1 : 0));
    if
    :: j ->
       BEGIN;
       do
       :: STEP(
              if
              :: flag[0] -> j = 0
              :: flag[SLOTS - 1] -> j = SLOTS - 1
              :: flag[SLOTS / 2] -> j = SLOTS / 2
              :: else -> j = SLOTS
              fi);
          if
          :: j == SLOTS -> break
          :: else
          fi;
          STORE(
              if
              :: owner[j] == RETURNED -> owner[j] = me; ok = true; TAKEN(j)
              :: else
              fi);
          STORE(flag[j] = false);
          STEP(
              if
              :: owner[j] == RETURNED -> n = 1
              :: else
              fi);
          if
          :: n -> n = 0; STORE(flag[j] = true)
          :: else
          fi;
          if
          :: ok -> break
          :: else
          fi
       od;
       END
    :: else -> j = SLOTS
    fi
}

/* claim_fresh(): from x on, into j; ok. */
inline take_fresh()
{
    do
    :: x == SLOTS -> break
    :: else ->
       STORE(
           if
           :: owner[x] == 0 && generation[x] == 0 ->
              owner[x] = me; generation[x] = 1; j = x; ok = true; TAKEN(x)
           :: else
           fi;
           x++);
       if
       :: ok -> break
       :: else
       fi
    od
}

/* ensure_loaded(), then makes ready to push further slots. */
inline ready_to_push()
{
    enter();
    if
    :: !loaded[me] ->
       fresh_magazine();
       if
       :: x -> SET(loaded, loaded_turn, x, t); x = 0; t = 0
       :: else
       fi
    :: else
    fi;
    LEAVE;
    enter();
    MOVES
}

#define ROOM (loaded[me] && count[loaded[me] - 1] < SIZE)

/* ------------------------------------------------------------- a client */

#define FORGET_NOTES \
    same_gate[1] = same_gate[1] & ~(1 << me); same_gate[CLIENTS] = same_gate[CLIENTS] & ~(1 << me); \
    same_moves[1] = same_moves[1] & ~(1 << me); \
    same_moves[CLIENTS] = same_moves[CLIENTS] & ~(1 << me); \
    same_begun[1] = same_begun[1] & ~(1 << me); \
    same_begun[CLIENTS] = same_begun[CLIENTS] & ~(1 << me); \
    same_sweeps = same_sweeps & ~(1 << me); \
    if \
    :: CLIENTS > 2 -> \
       same_gate[CLIENTS - 1] = same_gate[CLIENTS - 1] & ~(1 << me); \
       same_moves[CLIENTS - 1] = same_moves[CLIENTS - 1] & ~(1 << me); \
       same_begun[CLIENTS - 1] = same_begun[CLIENTS - 1] & ~(1 << me) \
    :: else \
    fi
#define FORGET i = 0; j = 0; n = 0; x = 0; t = 0; d = 0; dt = 0; c = 0; k = 0; round = 0; \
    ok = false; insisting = false; again = false; unsure = false; idle[me] = 0; FORGET_NOTES

#define IS_IDLE(s) (owner[s] == 0 || owner[s] == RETURNED)
#define NOTE_IDLE idle[me] = (IS_IDLE(0) -> 1 : 0); \
    idle[me] = idle[me] + (SLOTS > 1 && IS_IDLE(SLOTS / 2) -> 1 << (SLOTS / 2) : 0); \
    idle[me] = idle[me] + (SLOTS > 2 && IS_IDLE(SLOTS - 1) -> 1 << (SLOTS - 1) : 0)

/* Whether client q, if alive, has nothing to do with slot s at the moment. */
#define ADOPTABLE(s) (told[s] && has[s] != me && (freeing[s] == 0 || died[freeing[s]]))

/* The program hands slot i to a free: it is not its own any more. */
#define SET_OUT has[i] = 0; freeing[i] = me

/* some_changed(). */
#ifdef MUTANT_SWEEPS_NOT_NOTED
#define SWEEPS_CHANGED skip
#else
#define SWEEPS_CHANGED STEP(again = again || !SAME(same_sweeps))
#endif
#define LOOK_FOR_CHANGES \
    c = 1; \
    do \
    :: c > CLIENTS -> break \
    :: c == me -> c++ \
    :: else -> STEP(again = again || !SAME(same_moves[c]); c++) \
    od; \
    c = 1; \
    do \
    :: c > CLIENTS -> break \
    :: else -> STEP(again = again || !SAME(same_begun[c]); c++) \
    od; \
    SWEEPS_CHANGED; \
    c = 0

proctype client(byte me)
{
    byte i, j, n, x, t, d, dt, c, k, round, works;
    bool ok, insisting, again, unsure;

    if
    :: me == 1 -> works = WORKS - FIRST_WORKS
    :: else
    fi;
next:
    atomic { FORGET };
    do
    :: works == WORKS -> goto finished
    :: atomic { works < WORKS -> works++; NOTE_IDLE }; goto alloc
    :: atomic { works < WORKS && has[0] == me -> i = 0; works++; SET_OUT }; goto free
    :: atomic { works < WORKS && SLOTS > 1 && has[SLOTS - 1] == me -> i = SLOTS - 1; works++; SET_OUT };
       goto free
#ifdef ADOPT
    :: atomic { works < WORKS && me == CLIENTS && ADOPTABLE(0) -> i = 0; works++;
           n = told[i];
           if
           :: has[i] && !died[has[i]] -> has[i] = 0 /* its user gave us the handle */
           :: else
           fi
       };
       goto adopt
#endif
    od;

    /* ------------------------------------------------------------- free */
free:
    if
    :: loaded[me] ->
       BUSY;
       STEP(ok = marked[me]);
       if
       :: !ok ->
          STEP(n = count[loaded[me] - 1]);
          if
          :: n == SIZE ->
             change_places_at_once(PREVIOUS_COUNT < SIZE);
             STEP(n = count[loaded[me] - 1])
          :: else
          fi;
          if
          :: n < SIZE -> STEP(ok = (owner[i] == me && generation[i] == told[i]))
          :: else
          fi;
          if
          :: ok ->
             C_D_E((loaded[me] - 1), i, 1);
             LEAVE;
             goto freed
          :: else
          fi
       :: else
       fi;
       LEAVE;
       n = 0
    :: else
    fi;
    STEP(ok = (owner[i] == me && generation[i] == told[i]));
    assert(ok);
    yield_to_thief();
push:
    enter();
    if
    :: !ROOM -> change_places(PREVIOUS_COUNT < SIZE)
    :: else
    fi;
    if
    :: ROOM -> n = count[loaded[me] - 1]; C_D_E((loaded[me] - 1), i, 1); LEAVE; goto freed
    :: else
    fi;
    LEAVE;
    if
    :: !again -> /* make_room() */
       again = true;
       ready_to_push();
       LEAVE;
       STEP(
           if
           :: AVAILABLE -> LOCK; d = 1
           :: else
           fi);
       if
       :: d ->
          d = 0;
          rebuild_if_due();
          enter();
          MOVES;
          TAKE(empties, partials);
          if
          :: !x -> fresh_magazine()
          :: else
          fi;
          if
          :: x -> /* cache_rotate() */
             atomic { d = previous[me]; dt = previous_turn[me] };
             SET(previous, previous_turn, loaded[me], loaded_turn[me]);
             SET(loaded, loaded_turn, x, t);
             if
             :: d -> give()
             :: else -> dt = 0
             fi
          :: else
          fi;
          x = 0; t = 0;
          LEAVE;
          UNLOCK;
          goto push
       :: else
       fi
    :: else
    fi;
    /* bitmap_return() */
    BEGIN;
    STORE(assert(owner[i] == me); owner[i] = RETURNED; generation[i]++);
    STORE(flag[i] = true);
    END;
freed:
    atomic { freeing[i] = 0 };
    goto next;

#ifdef ADOPT
    /* ------------------------------------------------------------- adopt */
adopt:
    do
    :: STEP(k = owner[i]; t = generation[i]);
       if
       :: t != n || k > CLIENTS || k == 0 -> break /* STALE */
       :: else
       fi;
#ifdef MUTANT_ADOPTS_BY_A_STORE
       STORE(assert(owner[i] == k && generation[i] == t); owner[i] = me; has[i] = me);
       break
#else
       STORE(
           if
           :: owner[i] == k && generation[i] == t -> owner[i] = me; has[i] = me; ok = true
           :: else
           fi);
       if
       :: ok -> break
       :: else
       fi
#endif
    od;
    goto next;
#endif

    /* ------------------------------------------------------------- alloc */
#define LOOK_AT_TOP \
    STEP(n = count[loaded[me] - 1]; \
        if \
        :: n -> i = entry[(loaded[me] - 1) * SIZE + n - 1] \
        :: else \
        fi)
alloc:
    if
    :: loaded[me] ->
       BUSY;
       STEP(ok = marked[me]);
       if
       :: !ok ->
          LOOK_AT_TOP;
          if
          :: !n -> change_places_at_once(PREVIOUS_COUNT); LOOK_AT_TOP
          :: else
          fi;
          if
          :: n -> STEP(ok = (owner[i] == 0 && generation[i]))
          :: else
          fi;
          if
          :: ok -> A_B(loaded[me] - 1, i); LEAVE; goto got
          :: else
          fi
       :: else
       fi;
       LEAVE;
       n = 0; ok = false
    :: else
    fi;
    yield_to_thief();

ordinary: /* take_ordinary() */
    enter();
    if
    :: loaded[me] -> pop(loaded[me] - 1)
    :: else
    fi;
    if
    :: !ok ->
       change_places(PREVIOUS_COUNT);
       if
       :: loaded[me] -> pop(loaded[me] - 1)
       :: else
       fi
    :: else
    fi;
    LEAVE;
    if
    :: ok -> goto got
    :: else
    fi;

    /* The depot: waited for only when insisting. */
    if
    :: !insisting ->
       STEP(ok = (partials || fulls || dirty));
       if
       :: ok ->
          ok = false;
          STEP(
              if
              :: AVAILABLE -> LOCK; d = 1
              :: else
              fi)
       :: else
       fi
    :: insisting -> STEP(AVAILABLE -> LOCK; d = 1)
    fi;
    if
    :: d ->
       d = 0;
       rebuild_if_due();
       STEP(n = (partials || fulls -> 1 : 0));
       if
       :: n ->
          n = 0;
          enter();
          MOVES;
          do
          :: ok -> break
          :: else ->
             TAKE(partials, fulls);
             if
             :: !x -> break
             :: else -> place(); pop(x - 1); x = 0; t = 0
             fi
          od;
          LEAVE
       :: else
       fi;
       UNLOCK;
       if
       :: ok -> goto got
       :: else
       fi
    :: else
    fi;

    /* Slots never used. */
    STEP(x = bump);
    if
    :: x < SLOTS ->
#ifdef MUTANT_BUMP_BEFORE_WORD
       STORE(bump = x + 1);
#endif
       take_fresh();
       if
       :: ok ->
          ok = false; i = j; c = x; x = 0;
          ready_to_push();
          x = c; c = 0;
          do
          :: ROOM && x < SLOTS ->
             take_fresh();
             if
             :: ok -> ok = false; n = count[loaded[me] - 1]; C_D_E((loaded[me] - 1), j, 0); n = 0
             :: else -> break
             fi
          :: else -> break
          od;
          LEAVE;
          ok = true
       :: else
       fi;
       STORE(
           if
           :: bump < x -> bump = x
           :: else
           fi);
       x = 0; j = 0;
       if
       :: ok -> goto got
       :: else
       fi
    :: else -> x = 0
    fi;

    /* Returned slots. */
    take_returned();
    if
    :: ok ->
       ok = false; i = j;
       ready_to_push();
       do
       :: ROOM ->
          take_returned();
          if
          :: ok -> ok = false; n = count[loaded[me] - 1]; C_D_E((loaded[me] - 1), j, 0); n = 0
          :: else -> break
          fi
       :: else -> break
       od;
       LEAVE;
       goto got
    :: else -> j = 0
    fi;
    if
    :: insisting -> goto steal
    :: else -> insisting = true; again = true
    fi;

insist:
    if
    :: round == ROUNDS -> goto next /* STALLED */
    :: else -> round++
    fi;
    if
    :: again -> /* revoke_begin() */
       again = false;
       STEP(NOTE(same_sweeps));
       c = 1;
       do
       :: c > CLIENTS -> break
       :: else -> STEP(NOTE_BEGUN(c); c++)
       od;
       c = 1;
       do
       :: c > CLIENTS -> break
       :: c == me -> c++
       :: else ->
          STEP(NOTE(same_gate[c]));
          STEP(NOTE(same_moves[c]));
          STEP(if :: !swept[c] -> marked[c] = true :: else fi);
          c++
       od;
       c = 0;
#ifndef MUTANT_NO_MEMBARRIER
       STEP(buffered[1] = false; buffered[CLIENTS - 1] = false; buffered[CLIENTS] = false)
#endif
    :: else
    fi;
    goto ordinary;

steal:
    STEP(
        if
        :: AVAILABLE -> LOCK; d = 1
        :: else
        fi);
    if
    :: !d -> goto insist /* busy */
    :: else -> d = 0
    fi;
    rebuild_if_due();
    enter();
    /* Step 4. */
    c = 1;
    do
    :: c > CLIENTS -> break
    :: c == me -> c++
    :: else ->
#ifndef MUTANT_STEALS_FROM_THE_BUSY
       STEP(ok = (busy[c] && !buffered[c]));
#endif
       if
       :: ok -> unsure = true; ok = false
       :: else ->
          STEP(x = loaded[c]);
          STEP(t = loaded_turn[c]);
          STEP(d = previous[c]);
          STEP(dt = previous_turn[c]);
          k = 0;
          do
          :: k == 2 -> break
          :: k < 2 ->
             k++;
             if
             :: k == 2 -> x = d; t = dt
             :: else
             fi;
             if
             :: x ->
                STEP(ok = (holder[x - 1] == c && turn[x - 1] == t));
                if
                :: !ok -> STEP(ok = !SAME(same_gate[c]))
                :: else
                fi;
                if
                :: ok -> ok = false; STEP(n = count[x - 1])
                :: else
                fi;
                if
                :: n ->
                   n = 0; again = true;
#ifndef MUTANT_STEALS_WITHOUT_A_LOOK_AT_THE_GATE
                   STEP(ok = SAME(same_gate[c]));
                   if
                   :: !ok -> break
                   :: else -> ok = false
                   fi;
#endif
                   STORE(CHANGE(same_moves[c]));
                   STORE(
                       if
                       :: holder[x - 1] == c && turn[x - 1] == t ->
                          holder[x - 1] = me; NEXT_TURN(x - 1); t = turn[x - 1]; ok = true
                       :: else
                       fi);
                   if
                   :: ok -> break
                   :: else
                   fi
                :: else
                fi
             :: else
             fi
          od;
          k = 0; d = 0; dt = 0;
          if
          :: ok -> break
          :: else
          fi
       fi;
       c++
    od;
    c = 0;
    if
    :: ok ->
       ok = false;
       k = x;
       pop(x - 1);
       x = k; k = 0;
       again = !ok;
       c = ok;
       place();
       ok = c; c = 0; x = 0; t = 0;
       LEAVE;
       UNLOCK;
       if
       :: ok -> goto got
       :: else -> goto insist
       fi
    :: else
    fi;
    x = 0; t = 0;
    /* Step 5: what is in transit, k being those in no cache. */
    k = 10; c = 0;
    do
    :: c == MAGAZINES -> break
    :: else -> STEP(if :: holder[c] && holder[c] <= CLIENTS -> k++ :: else fi; c++)
    od;
    c = 1;
    do
    :: c > CLIENTS -> break
    :: else ->
       STEP(x = loaded[c]);
       STEP(t = loaded_turn[c]);
       STEP(d = previous[c]);
       STEP(dt = previous_turn[c]);
       if
       :: x -> STEP(if :: holder[x - 1] == c && turn[x - 1] == t -> k-- :: else fi)
       :: else
       fi;
       if
       :: d -> STEP(if :: holder[d - 1] == c && turn[d - 1] == dt -> k-- :: else fi)
       :: else
       fi;
       x = 0; t = 0; d = 0; dt = 0; c++
    od;
    unsure = unsure || k > 10;
    k = 0;
    c = 1;
    do
    :: c > CLIENTS -> break
    :: else -> STEP(unsure = unsure || dying[c]); c++
    od;
    LOOK_FOR_CHANGES;
    LEAVE;
    UNLOCK;
    if
    :: again || unsure -> unsure = false; goto insist
    :: else -> atomic { assert(idle[me] == 0); goto next } /* EXHAUSTED */
    fi;

got:
    atomic { assert(owner[i] == me && has[i] == 0); has[i] = me; told[i] = generation[i] };
    goto next;

finished:
    atomic { over[me] = true; works = 0; goto gone };
dead:
    atomic {
        died[me] = true; over[me] = true; DRAIN; works = 0;
        FORGET;
        if :: has[0] == me -> has[0] = 0 :: else fi;
        if :: has[SLOTS - 1] == me -> has[SLOTS - 1] = 0 :: else fi;
        if :: has[SLOTS / 2] == me -> has[SLOTS / 2] = 0 :: else fi
    };
gone:
    skip
}

/* ------------------------------------------------------------- the sweeper */

#define DUE(q) (died[q] && !swept[q])
#define NONE 255

/* magazine_trimmed(): n of magazine c. */
#define TRIM \
    do \
    :: n == 0 -> break \
    :: n > 0 -> \
       STEP(ok = (owner[entry[c * SIZE + n - 1]] == 0)); \
       if \
       :: ok -> break \
       :: else -> n-- \
       fi \
    od; \
    ok = false

inline sweep_magazines()
{
    /* The suspect: slot at, generation was, in magazine m, n entries left. */
    at = NONE; m = NONE;
#ifndef MUTANT_NO_SUSPECT
    STEP(ok = busy[s] && loaded[s] && holder[loaded[s] - 1] == s; c = loaded[s]);
    if
    :: ok ->
       c--; m = c;
       STEP(n = count[c]);
       TRIM;
       left = n;
       if
       :: n -> STEP(at = entry[c * SIZE + n - 1]; was = generation[at];
                   if
                   :: owner[at] != 0 -> at = NONE; elsewhere = true
                   :: else
                   fi)
       :: else
       fi;
       c = 0;
       do
       :: c == MAGAZINES || at == NONE -> break
       :: else ->
          STEP(
              if
              :: holder[c] && holder[c] <= CLIENTS -> n = count[c]
              :: else -> n = parked[c]
              fi);
          if
          :: c != m ->
             do
             :: n == 0 -> break
             :: else -> STEP(elsewhere = elsewhere || entry[c * SIZE + n - 1] == at; n--)
             od
          :: else -> n = 0
          fi;
          c++
       od;
       if
       :: at != NONE ->
          STEP(elsewhere = elsewhere || !(owner[at] == 0 && generation[at] == was))
       :: else
       fi
    :: else
    fi;
    at = 0; was = 0; ok = false;
#endif
    c = 0;
    do
    :: c == MAGAZINES -> break
    :: else ->
       STEP(ok = (holder[c] == s); t = turn[c]);
       if
       :: ok ->
          ok = false;
          if
          :: c == m && !elsewhere -> n = left
          :: c == m && elsewhere && left -> n = left - 1; TRIM
          :: c == m && elsewhere && !left -> n = 0
          :: c != m -> STEP(n = count[c]); TRIM
          fi;
#ifdef MUTANT_TRIMS_BEFORE_OWNING
          STEP(count[c] = n);
#endif
          STEP(
              if
              :: holder[c] == s && turn[c] == t ->
                 holder[c] = DEPOT; parked[c] = n; NEXT_TURN(c)
              :: else
              fi)
       :: else
       fi;
       c++
    od;
    c = 0; n = 0; t = 0; m = 0; left = 0; elsewhere = false
}

inline sweep_slots()
{
    c = 0;
    do
    :: c == SLOTS -> break
    :: else ->
       STEP(n = owner[c]; t = generation[c]);
#ifdef MUTANT_BIT_BEFORE_WORD
       if
       :: n == s || n == RETURNED -> STEP(flag[c] = true)
       :: else
       fi;
#endif
       if
       :: n == s ->
          STEP(
              if
              :: owner[c] == s && generation[c] == t ->
                 owner[c] = RETURNED; generation[c]++; ok = true
              :: else
              fi)
       :: n == RETURNED -> ok = true
       :: else
       fi;
#ifndef MUTANT_BIT_BEFORE_WORD
       if
       :: ok -> STEP(flag[c] = true)
       :: else
       fi;
#endif
       ok = false;
       c++
    od;
    c = 0; n = 0; t = 0
}

proctype sweeper()
{
    byte s, c, n, t, at, m, was, left;
    bool ok, elsewhere;

again:
    if
    :: atomic { DUE(1) -> s = 1 }
    :: atomic { DUE(CLIENTS) -> s = CLIENTS }
    :: atomic { CLIENTS > 2 && DUE(2) -> s = 2 }
    :: over[1] && over[2] && over[CLIENTS] && !DUE(1) && !DUE(2) && !DUE(CLIENTS) -> goto rest
    fi;
    STEP(dying[s] = true); /* 1 */
    STEP(CHANGE(same_sweeps));
    STEP(CHANGE(same_moves[s])); /* 2 */
    STEP(CHANGE(same_gate[s]));
#ifdef MUTANT_DIRTY_BEFORE_THE_WORK
    STEP(dirty = true);
#endif
#ifdef MUTANT_SLOTS_BEFORE_MAGAZINES
    sweep_slots();
    sweep_magazines();
#else
    sweep_magazines(); /* 3 */
    sweep_slots();     /* 4 */
#endif
#ifndef MUTANT_DIRTY_BEFORE_THE_WORK
    STEP(dirty = true); /* 5 */
#endif
    STEP(loaded[s] = 0); /* 6 */
    STEP(previous[s] = 0);
    STEP(loaded_turn[s] = 0; previous_turn[s] = 0);
    STEP(marked[s] = false);
    STEP(busy[s] = false);
    STEP(working[s] = false); /* 7 */
#ifndef MUTANT_SWEEP_COUNTED_ONCE
    STEP(CHANGE(same_sweeps));
#endif
    STEP(dying[s] = false; swept[s] = true);
    s = 0;
    goto again;
dead:
    atomic { s = 0; c = 0; n = 0; t = 0; at = 0; m = 0; was = 0; left = 0; ok = false;
             elsewhere = false };
    goto again;

rest:
    atomic {
        assert(AVAILABLE);
        do
        :: c == SLOTS -> break
        :: else ->
           n = 0; m = 0;
           do
           :: m == MAGAZINES -> break
           :: else ->
              t = 0;
              do
              :: t == SIZE -> break
              :: else ->
                 if
                 :: entry[m * SIZE + t] == c &&
                    t < (holder[m] == DEPOT -> parked[m] : (holder[m] -> count[m] : 0)) ->
                    n++; assert(holder[m] == DEPOT || !died[holder[m]])
                 :: else
                 fi;
                 t++
              od;
              m++
           od;
           if
           :: owner[c] == 0 && generation[c] == 0 -> assert(n == 0 && c >= bump)
           :: owner[c] == 0 && generation[c] -> assert(n == 1)
           :: owner[c] == RETURNED -> assert(n == 0 && flag[c])
           :: owner[c] && owner[c] <= CLIENTS ->
              assert(n == 0 && !died[owner[c]] && (has[c] == owner[c] || GIVEN_AWAY(c)))
           fi;
           c++
        od;
        /* Every magazine of the depot's is in a list, or will be by the next to lock. */
        if
        :: lock || dirty
        :: else ->
           m = 0; n = 0;
           do
           :: m == MAGAZINES -> break
           :: else -> n = n + (holder[m] == DEPOT -> 1 : 0); m++
           od;
           t = fulls;
           do
           :: t == 0 -> break
           :: else -> n--; t = link[t - 1]
           od;
           t = partials;
           do
           :: t == 0 -> break
           :: else -> n--; t = link[t - 1]
           od;
           t = empties;
           do
           :: t == 0 -> break
           :: else -> n--; t = link[t - 1]
           od;
           assert(n == 0)
        fi
    }
}

init
{
    byte c;

    atomic {
        if
        :: START == WARM ->
           holder[0] = 1; turn[0] = 1; count[0] = 1; entry[0] = 0; loaded[1] = 1; loaded_turn[1] = 1;
           c = 1;
           do
           :: c >= SLOTS || c >= MAGAZINES -> break
           :: else ->
              holder[c] = DEPOT; turn[c] = 1; parked[c] = 1; entry[c * SIZE] = c;
              LINK(c, 1); c++
           od
        :: START == HELD ->
           owner[0] = 1; has[0] = 1; told[0] = 1;
           holder[0] = 1; turn[0] = 1; loaded[1] = 1; loaded_turn[1] = 1;
           c = 1;
           do
           :: c >= SLOTS || c > SIZE -> break
           :: else -> entry[c - 1] = c; count[0] = count[0] + 1; c++
           od
        :: START == NEW
        fi;
        if
        :: START != NEW ->
           c = 0;
           do
           :: c == SLOTS -> break
           :: else -> generation[c] = 1; c++
           od;
           bump = SLOTS
        :: else
        fi;
        c = 0;
        run client(1);
        run client(2);
        if
        :: CLIENTS > 2 -> run client(3)
        :: else
        fi;
        run sweeper()
    }
}
