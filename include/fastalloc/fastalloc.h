/* SPDX-License-Identifier: MIT
 *
 * fastalloc: object pools in shared memory, for groups of processes.
 *
 * A *pool* is a segment of shared memory that holds slots of one size.  A
 * process attaches to a pool, and its threads then allocate and free slots
 * in a few nanoseconds without asking anybody.  A slot is named by a
 * *handle*, a 64-bit number that means the same slot in every process and
 * that goes stale the moment the slot is freed.  When a process dies, in
 * whatever state, what it held goes back to the pool.
 *
 *   fastalloc_client   a connection to fastallocd, the daemon that creates
 *                      pools and looks after them.  Opaque.
 *   fastalloc_pool     this process's attachment to one pool.  Opaque.
 *                      Each attachment is a *session* of the pool: the owner
 *                      of the slots allocated through it.
 *   fastalloc_handle   a slot, by value.  Pass it over a pipe, a ring, or
 *                      keep it inside another object.
 *
 * Errors.  Functions return 0 or a negative FASTALLOC_E_... code; outputs are
 * written only on success.  fastalloc_strerror() says what a code means in
 * general; fastalloc_last_error() tells the calling thread what just failed,
 * on what, with the numbers.
 *
 * Threads.  Everything may be called from any thread, except that a pool must
 * not be closed, nor a client disconnected, while other threads use it.
 *
 * Fork.  A child of fork() does not own its parent's slots.  It may use the
 * parent's pools: the first call attaches the child as a session of its own,
 * at the same addresses.
 *
 * Signals.  Nothing here may be called from a signal handler, nor left by
 * longjmp().  The library installs no handlers and never raises SIGPIPE.
 *
 * The library never prints, never exits, and aborts only on what no caller
 * can cause.
 */
#ifndef FASTALLOC_FASTALLOC_H
#define FASTALLOC_FASTALLOC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FASTALLOC_API __attribute__((visibility("default")))

/* ---------------------------------------------------------------- errors */

enum fastalloc_error {
    FASTALLOC_OK = 0,

    /* What the caller asked for cannot be. */
    FASTALLOC_E_INVALID = -1,       /* an argument is NULL or out of range */
    FASTALLOC_E_NAME = -2,          /* not a name a pool can have */
    FASTALLOC_E_SIZE = -3,          /* object size 0 */
    FASTALLOC_E_CAPACITY = -4,      /* capacity 0 */
    FASTALLOC_E_OVERFLOW = -5,      /* size times count does not fit */
    FASTALLOC_E_LIMIT = -6,         /* beyond what the machine or the format has */
    FASTALLOC_E_ALIGNMENT = -7,     /* not a power of two, or above a page */
    FASTALLOC_E_TYPE = -8,          /* the pool holds objects of another type */
    FASTALLOC_E_TYPE_SIZE = -9,     /* ... of another size or alignment */
    FASTALLOC_E_TYPE_VERSION = -10, /* ... of another version */
    FASTALLOC_E_EXISTS = -11,       /* a pool of that name exists */
    FASTALLOC_E_NOT_FOUND = -12,    /* no pool of that name */
    FASTALLOC_E_PERMISSION = -13,   /* the pool is not yours to use */

    /* The daemon and the way to it. */
    FASTALLOC_E_NO_DAEMON = -14,     /* nobody listens on the socket */
    FASTALLOC_E_NOT_FASTALLOC = -15, /* what answers there is not fastallocd */
    FASTALLOC_E_VERSION = -16,       /* the other side speaks another version */
    FASTALLOC_E_PROTOCOL = -17,      /* the other side sent what it must not */
    FASTALLOC_E_TIMEOUT = -18,       /* no answer in time */
    FASTALLOC_E_TOO_MANY = -19,      /* sessions, connections, threads: at the limit */

    /* The machine. */
    FASTALLOC_E_NO_MEMORY = -20, /* not enough memory, shared or private */
    FASTALLOC_E_SYSTEM = -21,    /* a system call failed unexpectedly */

    /* Allocating. */
    FASTALLOC_E_EXHAUSTED = -22, /* no free slot */
    FASTALLOC_E_STALLED = -23,   /* free slots stand behind a stopped or dying one */

    /* Handles. */
    FASTALLOC_E_STALE = -24,       /* the slot was freed, or its owner died */
    FASTALLOC_E_DOUBLE_FREE = -25, /* freed, and freed again right after */
    FASTALLOC_E_HANDLE = -26,      /* no handle of this pool */
    FASTALLOC_E_SESSION = -27,     /* no live session of that number */

    /* The pool. */
    FASTALLOC_E_DESTROYED = -28, /* destroyed; what you hold stays until you detach */
    FASTALLOC_E_BUSY = -29,      /* in use by another thread, or being made just now */
    FASTALLOC_E_CHANGED = -30,   /* the root was not what you expected; the seal is gone */
    FASTALLOC_E_POISONED = -31,  /* its shared memory is damaged */
    FASTALLOC_E_NAMESPACE = -32, /* it serves another PID namespace */

    /* Growing, sharing. */
    FASTALLOC_E_GROWTH = -33,       /* growth by nothing, or by no number */
    FASTALLOC_E_MAX_CAPACITY = -34, /* no free slot, and grown to the maximum */
    FASTALLOC_E_SHARING = -35,      /* shared where it must not be, or not where it must */

    /* Hooks, seals. */
    FASTALLOC_E_HOOK = -36,   /* a function of the program's said no */
    FASTALLOC_E_SEALED = -37, /* no new allocations, until it is unsealed */
    FASTALLOC_E_LAST = -37    /* the lowest code there is */
};

/* What a code means, in general.  Static storage; never NULL. */
FASTALLOC_API const char *fastalloc_strerror(int code);

/* The name of a code: "FASTALLOC_E_STALE".  Static storage; never NULL. */
FASTALLOC_API const char *fastalloc_error_name(int code);

/* The latest failure of the calling thread: what failed, on what, the numbers,
 * what to do.  Valid until the thread's next call of the library; "" before
 * the first failure.  Failures of the inlined fast path count.  After
 * FASTALLOC_E_EXHAUSTED the text names the top holders, counted when this
 * is called: it looks at every slot, once. */
FASTALLOC_API const char *fastalloc_last_error(void);

/* --------------------------------------------------------------- version */

#define FASTALLOC_VERSION_MAJOR 0
#define FASTALLOC_VERSION_MINOR 1
#define FASTALLOC_VERSION_PATCH 0

/* "0.1.0", of the library loaded (the macros tell what was compiled against). */
FASTALLOC_API const char *fastalloc_version(void);

/* ---------------------------------------------------------------- client */

typedef struct fastalloc_client fastalloc_client;
typedef struct fastalloc_pool fastalloc_pool;

/* A slot, by value, the same in every process.  FASTALLOC_NONE is never one. */
typedef uint64_t fastalloc_handle;
#define FASTALLOC_NONE ((fastalloc_handle)0)

/* How to reach the daemon.  Zero everywhere, but struct_size, is the default;
 * fastalloc_connect_options_init() makes it so. */
typedef struct fastalloc_connect_options {
    uint32_t struct_size;  /* sizeof, for growth of this struct */
    uint32_t timeout_ms;   /* for connecting and for each request; 0: 5000 */
    const char *socket;    /* path of the socket; NULL: see fastalloc_connect() */
    int autospawn;         /* 1: start a private daemon when there is none;
                             0: as $FASTALLOC_AUTOSPAWN says; -1: never */
    uint32_t reconnect_ms; /* how long a request tries to reach a daemon that was there
                              before and is not now; 0: 2000.  See fastalloc_connect() */
} fastalloc_connect_options;

FASTALLOC_API void fastalloc_connect_options_init(fastalloc_connect_options *);

/* Connects to the daemon: at options->socket, or else at $FASTALLOC_SOCKET, or
 * else at $XDG_RUNTIME_DIR/fastalloc/fastallocd.sock, or else at
 * /run/fastalloc/fastallocd.sock: the first of these that is set and, for
 * the last two, exists.  With autospawn (or a $FASTALLOC_AUTOSPAWN other than
 * empty and "0") a daemon is started there when none listens; it ends with
 * its last client.
 *
 * A daemon that ends later is no failure: pools stay usable, and the next request looks for
 * its successor on the same socket, with pauses of 1 ms doubling to 100 ms, for
 * options->reconnect_ms.  Who has given up once tries once a request until one succeeds.  The
 * next daemon is told of the client's sessions; requests whose answer was lost are sent again.
 * Of these a fastalloc_pool_create() may find the pool that it made itself: then it says
 * FASTALLOC_E_EXISTS, and why.
 *
 * Returns 0, FASTALLOC_E_NO_DAEMON, FASTALLOC_E_NOT_FASTALLOC,
 * FASTALLOC_E_VERSION, FASTALLOC_E_PERMISSION, FASTALLOC_E_TIMEOUT,
 * FASTALLOC_E_TOO_MANY, FASTALLOC_E_NO_MEMORY or FASTALLOC_E_SYSTEM.  The client is released by
 * fastalloc_disconnect().  Blocks, at most for the time-out. */
FASTALLOC_API int fastalloc_connect(fastalloc_client **, const fastalloc_connect_options *or_null);

/* Closes every pool opened through the client (their pointers become invalid),
 * then the connection, and releases the client.  NULL is fine.  Slots still
 * owned go back to their pools, as at a death. */
FASTALLOC_API void fastalloc_disconnect(fastalloc_client *);

/* ----------------------------------------------------------------- pools */

/* Lifetimes of a pool. */
#define FASTALLOC_UNTIL_LAST_DETACH 0u /* goes with its last session */
#define FASTALLOC_PERSISTENT 1u        /* stays until destroyed */

/* How a pool grows when its slots run out; addresses and handles stay good.  The memory
 * of a step is reserved before its slots can be had. */
#define FASTALLOC_GROWTH_NONE 0u        /* by fastalloc_pool_grow() at most */
#define FASTALLOC_GROWTH_LINEAR 1u      /* by growth_amount slots */
#define FASTALLOC_GROWTH_EXPONENTIAL 2u /* to growth_factor times the capacity */
#define FASTALLOC_GROWTH_CUSTOM                                                                    \
    3u /* as growth_function says; for processes that open the
                                           pool without one: LINEAR where growth_amount is set,
                                           else EXPONENTIAL by growth_factor, or by 2 */

/* Answers, given the capacity now, by how many slots to grow; 0: the pool's declared
 * strategy.  Called in the thread whose allocation asks, in the middle of it: it must use
 * neither the pool nor its client. */
typedef size_t fastalloc_growth_function(size_t capacity, void *argument);

/* An idle-slot mark for low_water: never grow ahead of need. */
#define FASTALLOC_NO_LOW_WATER ((size_t)-1)

/* What becomes of the slots that a dead session owned. */
#define FASTALLOC_RECLAIM 0u    /* free again at once */
#define FASTALLOC_QUARANTINE 1u /* kept as they are, for a post-mortem: see fastallocctl(1) */
#define FASTALLOC_HEIR                                                                             \
    2u /* the heir's (fastalloc_pool_become_heir()); reclaimed while there
                                   is none */

/* Features, asked for at creation.  They hold for everybody who attaches. */
#define FASTALLOC_SHARING                                                                          \
    1u                         /* fastalloc_share(): a bit a slot and session that can
                                       attach */
#define FASTALLOC_DEADLINES 2u /* fastalloc_leave() with a deadline: 8 bytes a slot */
#define FASTALLOC_STRICT                                                                           \
    4u                             /* of two threads that free one handle at the same instant one
                                       is told that it is stale: frees decide by compare-and-swap */
#define FASTALLOC_ZERO_ON_ALLOC 8u /* an object is zero when it is allocated */
#define FASTALLOC_ZERO_ON_FREE                                                                     \
    16u /* what an object held is gone when it is freed, and what a dead
                                       process held before the slot is given out again: a byte
                                       a slot */
#define FASTALLOC_LIFECYCLE                                                                        \
    32u /* initialize, reset and hooks, below: a byte a slot.  Implied
                                       by asking for one of them at creation */

/* When slots are initialised by config.initialize. */
#define FASTALLOC_INIT_LAZY 0u /* each before it is first allocated */
#define FASTALLOC_INIT_EAGER                                                                       \
    1u /* all of the first capacity before fastalloc_pool_create()
                                   returns; those that come by growth as with _LAZY */

/* What this process would like its mapping to be: of the capacity there is when it attaches, in
 * each forked child too, and of what its own calls of fastalloc_pool_grow() add.  Slots that come
 * by growth on demand are not asked for.  Where it cannot be had, creating or opening fails with
 * FASTALLOC_E_LIMIT or _NO_MEMORY (a first call in a forked child likewise); a
 * fastalloc_pool_grow() that says so has grown the pool. */
#define FASTALLOC_PREFAULT 1u /* every page present from the start: no faults later */
#define FASTALLOC_MLOCK 2u    /* kept out of swap; needs the right, see RLIMIT_MEMLOCK */
#define FASTALLOC_HUGE_PAGES                                                                       \
    4u /* huge pages where the kernel has them for shared memory; no
                                   error where it has not */

/* What a pool's slots go through, in a pool with FASTALLOC_LIFECYCLE.  Of one slot, in this
 * order:
 *
 *   initialize   once, before it is first allocated (also after growth gave it back its memory,
 *                and after FASTALLOC_ZERO_ON_FREE or _ZERO_ON_ALLOC wiped it)
 *   reset        before it is allocated again, once it was used
 *   on_acquire   in each allocation, after these
 *   on_release   in each free, before the slot goes back
 *
 * The functions are this process's own, and run in the thread that allocates or frees, which
 * cannot be cancelled meanwhile.  They may use the pool, also to allocate and free (what they
 * allocate runs them in turn), but not close it.  They must not longjmp out nor end their thread,
 * nor may a child that they fork return from them.  Who dies in one dies with the slot in its
 * hands.  A slot that a process without `initialize` used is initialised by the first that has it.
 *
 * In on_release the handle names the use that ends, and is stale already: so of two threads that
 * free it at the same instant one runs on_release, and the other is told that it is stale, as
 * with FASTALLOC_STRICT.
 *
 * FASTALLOC_RECLAIMED among the flags of reset and on_acquire: whoever had the slot last never
 * freed it (it died, or closed the pool, or left it for a time that is up), so no on_release has
 * run.
 *
 * initialize, reset and on_acquire answer 0, or anything else to refuse: then the slot goes back
 * and the allocation fails with FASTALLOC_E_HOOK.  The handle is FASTALLOC_NONE where slots are
 * initialised eagerly. */
#define FASTALLOC_RECLAIMED 1u
typedef int fastalloc_prepare_function(fastalloc_pool *, fastalloc_handle, void *object,
                                       uint32_t flags, void *argument);
typedef void fastalloc_release_function(fastalloc_pool *, fastalloc_handle, void *object,
                                        void *argument);

/* What a pool is to be.  fastalloc_pool_config_init() sets the defaults. */
typedef struct fastalloc_pool_config {
    uint32_t struct_size;  /* sizeof, for growth of this struct */
    uint32_t type_version; /* of the objects' layout, yours to count; 0 */
    const char *name;      /* 1 to 255 bytes of UTF-8 without "/" or controls */
    const char *type_name; /* of the objects, up to 63 bytes; NULL: "" */
    size_t object_size;    /* bytes; required */
    size_t alignment;      /* power of two up to 4096; 0: natural, the largest
                              power of two up to 16 that divides the size */
    size_t capacity;       /* slots; required; at most 2^31 */
    uint32_t max_threads;  /* that have a cache, over all processes; 0: 128 */
    uint32_t max_sessions; /* attached at a time; 0: 256; at most 60,000 */
    uint32_t lifetime;     /* FASTALLOC_UNTIL_LAST_DETACH (default), _PERSISTENT */
    uint32_t mode;         /* who may open, as of a file: of 0666; 0: 0600 */

    size_t max_capacity;    /* slots it can grow to, and grows to exactly; 0: capacity; with
                               growth 1,024 times that, at least 65,536, as far as half of the
                               machine's memory holds them */
    uint32_t growth;        /* FASTALLOC_GROWTH_NONE (default), ... */
    uint32_t on_death;      /* FASTALLOC_RECLAIM (default), _QUARANTINE, _HEIR */
    size_t growth_amount;   /* slots; for _LINEAR */
    double growth_factor;   /* above 1 and finite; for _EXPONENTIAL */
    size_t low_water;       /* idle slots below which it grows ahead of need, without any
                               allocation waiting for it (through the daemon: a local pool
                               grows in the thread that needs it); 0: an eighth of the capacity from
                               1,024 slots on; FASTALLOC_NO_LOW_WATER */
    uint32_t quarantine_ms; /* until quarantined slots are reclaimed; 0: by hand alone */
    uint32_t features;      /* FASTALLOC_SHARING | FASTALLOC_DEADLINES | ... */

    /* This process's own; also for fastalloc_pool_open(). */
    fastalloc_growth_function *growth_function;
    void *growth_argument;
    fastalloc_prepare_function *initialize, *reset, *on_acquire; /* NULL: nothing */
    fastalloc_release_function *on_release;
    void *hook_argument;     /* of these four */
    uint32_t initialization; /* FASTALLOC_INIT_LAZY (default), _EAGER: needs initialize */
    uint32_t advice;         /* FASTALLOC_PREFAULT | _MLOCK | _HUGE_PAGES */
} fastalloc_pool_config;

FASTALLOC_API void fastalloc_pool_config_init(fastalloc_pool_config *);

/* Creates a pool and attaches to it.  The memory is reserved before this
 * returns.  Returns 0; or FASTALLOC_E_NAME, _SIZE, _CAPACITY, _OVERFLOW,
 * _LIMIT, _ALIGNMENT, _EXISTS, _NO_MEMORY, _TOO_MANY; or what the way to the
 * daemon gave: _NO_DAEMON, _PROTOCOL, _TIMEOUT, _SYSTEM.  On failure nothing
 * has changed.  The pool is released by fastalloc_pool_close() or
 * fastalloc_disconnect().  Blocks. */
FASTALLOC_API int fastalloc_pool_create(fastalloc_client *, const fastalloc_pool_config *,
                                        fastalloc_pool **);

/* Attaches to a pool that exists.  `expected`, where given, names what the
 * caller takes it to hold: each of type_name, type_version, object_size and
 * alignment that is not NULL or 0 has to match.  Returns 0; or
 * FASTALLOC_E_NOT_FOUND, _TYPE, _TYPE_SIZE, _TYPE_VERSION, _PERMISSION,
 * _NAMESPACE, _VERSION, _TOO_MANY, _POISONED; or as fastalloc_pool_create().
 * Every open is a session of its own, also within one process.  Blocks; a pool
 * that somebody is just creating is waited for. */
FASTALLOC_API int fastalloc_pool_open(fastalloc_client *, const char *name,
                                      const fastalloc_pool_config *expected_or_null,
                                      fastalloc_pool **);

/* Creates a pool without a daemon, for this process and its forks; nothing of
 * it has a name in the file system.  Its memory goes with the last process
 * that has it.  The name may be NULL.  Returns as fastalloc_pool_create(). */
FASTALLOC_API int fastalloc_pool_create_local(const fastalloc_pool_config *, fastalloc_pool **);

/* Detaches.  Slots still owned through it go back to the pool; its pointers
 * become invalid.  Returns 0, or FASTALLOC_E_BUSY, with nothing changed, while
 * another thread is inside a call on this pool. */
FASTALLOC_API int fastalloc_pool_close(fastalloc_pool *);

/* Destroys the pool of that name: the name is free at once, the memory goes
 * with the last detach, and until then allocations fail with
 * FASTALLOC_E_DESTROYED while objects stay readable and can be freed.
 * Returns 0, FASTALLOC_E_NOT_FOUND, _PERMISSION, or as fastalloc_pool_create(). */
FASTALLOC_API int fastalloc_pool_destroy(fastalloc_client *, const char *name);

/* Grows the pool to at least `capacity` slots now, whatever its strategy; 0: by one step of
 * it.  Returns 0 (also when it has as many already), FASTALLOC_E_MAX_CAPACITY when that is
 * above its maximum, FASTALLOC_E_GROWTH for a step of a pool that has no strategy,
 * FASTALLOC_E_NO_MEMORY with what is needed and what is there, _NO_DAEMON, _DESTROYED,
 * _POISONED, _STALLED (a local pool, where another process is stopped in the middle of growing), or
 * as fastalloc_pool_create().  On failure the pool is as it was.  Blocks. */
FASTALLOC_API int fastalloc_pool_grow(fastalloc_pool *, size_t capacity);

/* Gives memory back: takes free slots off the top, down to `capacity` slots if that many
 * are free, else as far as they are; *now (unless NULL) is the capacity after that.  Slots
 * in use stay; the address range stays reserved, and the pool may grow again.  Returns 0 or
 * as fastalloc_pool_grow().  Blocks. */
FASTALLOC_API int fastalloc_pool_shrink(fastalloc_pool *, size_t capacity, size_t *now);

/* What a pool is and how full it is. */
typedef struct fastalloc_pool_info {
    uint32_t struct_size; /* set by the caller, sizeof */
    uint32_t type_version;
    char name[256];
    char type_name[64];
    size_t object_size;
    size_t alignment;
    size_t stride;     /* bytes from one object to the next */
    size_t capacity;   /* slots */
    size_t allocated;  /* slots in somebody's hands: a snapshot */
    size_t available;  /* capacity - allocated */
    uint32_t session;  /* of this attachment; see fastalloc_give() */
    uint32_t sessions; /* attached now */
    size_t max_capacity;
    uint32_t growth; /* FASTALLOC_GROWTH_NONE, _LINEAR, _EXPONENTIAL */
    uint32_t on_death;
    uint32_t features;
    uint32_t heir; /* session; 0: none */
} fastalloc_pool_info;

/* Fills in `info`.  The counts are a snapshot: exact when nobody allocates or
 * frees meanwhile.  Looks at magazines, not at slots: microseconds.
 * Returns 0 or FASTALLOC_E_INVALID. */
FASTALLOC_API int fastalloc_pool_get_info(fastalloc_pool *, fastalloc_pool_info *info);

/* Single figures of it, to ask in passing: snapshots, exact while nobody allocates or frees.
 * Full: no slot is free now.  Empty: none is allocated.  Can grow: the capacity is below the
 * maximum, and the pool has a strategy.  0 for a NULL pool, or one that cannot be reached. */
FASTALLOC_API size_t fastalloc_pool_capacity(fastalloc_pool *);
FASTALLOC_API size_t fastalloc_pool_allocated(fastalloc_pool *);
FASTALLOC_API size_t fastalloc_pool_available(fastalloc_pool *);
FASTALLOC_API int fastalloc_pool_is_full(fastalloc_pool *);
FASTALLOC_API int fastalloc_pool_is_empty(fastalloc_pool *);
FASTALLOC_API int fastalloc_pool_can_grow(fastalloc_pool *);

/* In whose hands a slot is. */
#define FASTALLOC_OWNED 0u       /* one session's */
#define FASTALLOC_LEFT 1u        /* anyone's: fastalloc_leave() */
#define FASTALLOC_SHARED 2u      /* several sessions' */
#define FASTALLOC_QUARANTINED 3u /* a dead session's, kept */

typedef struct fastalloc_slot {
    fastalloc_handle handle;
    void *object; /* its address in this process */
    uint32_t state;
    uint32_t session; /* the owner's; 0 where state is not FASTALLOC_OWNED */
    uint32_t pid;     /* the owner's, to show; 0 likewise */
    uint32_t reserved;
} fastalloc_slot;

/* Calls `visit` for every slot in somebody's hands, by index, until it answers other than 0.
 * A slot that is allocated before the walk and freed after it is visited, once; one that comes
 * or goes meanwhile perhaps.  So may be a free one on its way from one cache to another, or back
 * to one: adopt or free what is visited only where the program knows that it was allocated, as by
 * what the object says, and whose it is is settled by adopting.  `visit` may use the pool.
 * Returns 0, what `visit` answered, FASTALLOC_E_INVALID or FASTALLOC_E_POISONED.  Looks at every
 * slot word. */
typedef int fastalloc_visitor(const fastalloc_slot *, void *argument);
FASTALLOC_API int fastalloc_pool_walk(fastalloc_pool *, fastalloc_visitor *visit, void *argument);

/* Seals the pool: allocations fail with FASTALLOC_E_SEALED, in every process, until it is
 * unsealed; who waits in one is told so.  Freeing and all else goes on, also growing.  The seal
 * is the pool's: it outlives who made it, and the daemon; sealing a sealed pool and unsealing an
 * open one is fine, and one unseal opens what many have sealed.
 *
 * When seal returns 0, no allocation succeeds that begins then; one that is about to return
 * has its slot already, as fastalloc_pool_walk() and drain see.
 *
 * Return 0; FASTALLOC_E_STALLED when for a second a thread was stopped in the middle of a call (the
 * pool is sealed; if that call is an allocation it may still succeed; seal again to be
 * sure); FASTALLOC_E_BUSY (sealed) when another thread wants to close the pool;
 * FASTALLOC_E_DESTROYED, _POISONED; FASTALLOC_E_SYSTEM (sealed) where the kernel refuses
 * membarrier().  Seal blocks for that second at most. */
FASTALLOC_API int fastalloc_pool_seal(fastalloc_pool *);
FASTALLOC_API int fastalloc_pool_unseal(fastalloc_pool *);

/* Seals the pool, and waits until no slot is allocated or `deadline` has passed: slots that are
 * left to anyone, shared or quarantined count as well.  Returns 0: the pool is empty, and stays so
 * until it is unsealed (but that who is killed in the middle of an allocation may yet leave
 * a slot to the pool's quarantine or heir); FASTALLOC_E_TIMEOUT: it is sealed, and the text says
 * who holds how much; FASTALLOC_E_CHANGED: somebody has unsealed it meanwhile; or as
 * fastalloc_pool_seal(), FASTALLOC_E_STALLED at the deadline. */
FASTALLOC_API int fastalloc_pool_drain(fastalloc_pool *, uint64_t deadline);

/* This attachment's session: the number to give slots to (fastalloc_give()). */
FASTALLOC_API uint32_t fastalloc_pool_session(fastalloc_pool *);

/* The pool's root: one handle that all its users see, FASTALLOC_NONE at first;
 * the way to find the first object.  Setting is a compare-and-swap: returns
 * FASTALLOC_E_CHANGED, with nothing changed, when the root is not `expected`.
 * Reading acquires and setting releases: what was written to the object before
 * set_root() is there after root(). */
FASTALLOC_API fastalloc_handle fastalloc_pool_root(fastalloc_pool *);
FASTALLOC_API int fastalloc_pool_set_root(fastalloc_pool *, fastalloc_handle expected,
                                          fastalloc_handle root);

/* Hands the calling thread's cached free slots of the pool back.  Threads do
 * this by themselves when they end; call it before a long sleep. */
FASTALLOC_API void fastalloc_thread_flush(fastalloc_pool *);

/* --------------------------------------------------------------- objects */

/* Allocates a slot: *handle names it everywhere, *object (unless `object` is
 * NULL) is its address in this process.  The bytes are whatever they were; a
 * slot never used before is zero.  Does not wait for a slot; a pool that can still grow is
 * grown, if need be, and that is waited for.
 *
 * Returns 0, FASTALLOC_E_EXHAUSTED (in a pool that grows FASTALLOC_E_MAX_CAPACITY: it has
 * grown as far as it can), FASTALLOC_E_STALLED (at most 250 ms later; twice that in a local
 * pool that had dead sessions to sweep), FASTALLOC_E_DESTROYED or FASTALLOC_E_POISONED; or why
 * it could not grow: FASTALLOC_E_NO_MEMORY, FASTALLOC_E_NO_DAEMON (after
 * options->reconnect_ms the first time, at once from then on), FASTALLOC_E_TIMEOUT. */
FASTALLOC_API int fastalloc_alloc(fastalloc_pool *, fastalloc_handle *handle, void **object);

/* As fastalloc_alloc(), but waits while there is no slot: until one is freed in whichever
 * process, a dead one's are swept, the pool grows, or `deadline` has passed, in nanoseconds
 * of CLOCK_MONOTONIC (fastalloc_deadline(); FASTALLOC_FOREVER).  Waiters are not served in
 * any order.  Returns as fastalloc_alloc(), with FASTALLOC_E_TIMEOUT for what an
 * allocation that does not wait would have said; FASTALLOC_E_BUSY when another thread wants to
 * close the pool.  Not a cancellation point. */
#define FASTALLOC_FOREVER UINT64_MAX
FASTALLOC_API int fastalloc_alloc_wait(fastalloc_pool *, fastalloc_handle *handle, void **object,
                                       uint64_t deadline);

/* The deadline so many milliseconds from now. */
FASTALLOC_API uint64_t fastalloc_deadline(uint64_t milliseconds);

/* For event loops: *descriptor becomes readable when, after an allocation of this process
 * failed for want of a slot, trying again makes sense.  Read its 8 bytes (an eventfd, not
 * blocking), then try; another may have been quicker, and then it will become readable
 * again.  One a pool and process, the same at each call; the library's, until the pool is
 * closed: do not close it.  The first call starts a thread.  A forked child asks for its
 * own.  It tells that the pool was sealed, not that it was unsealed.  Returns 0,
 * FASTALLOC_E_NO_MEMORY or FASTALLOC_E_SYSTEM. */
FASTALLOC_API int fastalloc_pool_event(fastalloc_pool *, int *descriptor);

/* Frees a slot, also one that another live session owns.  Never blocks.
 * Returns 0, or with nothing changed FASTALLOC_E_STALE, _DOUBLE_FREE, _HANDLE.
 * The check is for calls that are ordered with respect to each other: two
 * threads that free one handle at the same instant may both be told 0, and the
 * slot may then be given out twice.  That is an error of the program, as with
 * free(); whose slot it is has to be settled before, by adopting. */
FASTALLOC_API int fastalloc_free(fastalloc_pool *, fastalloc_handle);

/* The object's address in this process, or NULL when the handle is stale or
 * none of this pool.  Whoever owns it. */
FASTALLOC_API void *fastalloc_get(fastalloc_pool *, fastalloc_handle);

/* Makes the caller's session the slot's owner: the receiving half of passing a
 * handle on.  Until then the slot goes when its owner dies.  Orders nothing
 * about the object's bytes; the channel that brought the handle has to (pipes,
 * sockets and mutexes do).  Returns 0 (also when it is the caller's already),
 * FASTALLOC_E_STALE or FASTALLOC_E_HANDLE. */
FASTALLOC_API int fastalloc_adopt(fastalloc_pool *, fastalloc_handle);

/* Adopts the slot and finds its object, in one: the usual way to receive a handle, and
 * cheaper than fastalloc_adopt() and fastalloc_get().  *object is its address in this process;
 * NULL for `object` is fine.  Returns as fastalloc_adopt(). */
FASTALLOC_API int fastalloc_receive(fastalloc_pool *, fastalloc_handle, void **object);

/* Makes another live session the slot's owner: the sending half, where the
 * sender knows the receiver.  Returns 0, FASTALLOC_E_SESSION when no such
 * session is attached, FASTALLOC_E_STALE when the caller's session does not
 * own the slot, FASTALLOC_E_HANDLE, or FASTALLOC_E_STALLED when other threads of
 * this process are stopped in the middle of giving. */
FASTALLOC_API int fastalloc_give(fastalloc_pool *, fastalloc_handle, uint32_t session);

/* Leaves a slot of the caller's to anyone: it outlives its owner, until somebody adopts or
 * frees it, or `deadline` passes (FASTALLOC_FOREVER: never; any other in pools with
 * FASTALLOC_DEADLINES; never early, and within half a second) and it goes back to the
 * pool.  Returns 0, FASTALLOC_E_STALE when the caller's session does not own the slot,
 * FASTALLOC_E_SHARING, FASTALLOC_E_HANDLE, FASTALLOC_E_INVALID. */
FASTALLOC_API int fastalloc_leave(fastalloc_pool *, fastalloc_handle, uint64_t deadline);

/* Sharing, in pools with FASTALLOC_SHARING.  A shared slot goes back to the pool when its
 * last holder has let go of it.  Holders are sessions: each process counts its own
 * references by itself, and a dead one's all go at once.  A handle alone is a weak
 * reference: fastalloc_ref() makes it a holder's, or says FASTALLOC_E_STALE.
 *
 * share: the caller's own slot becomes shared, with one reference of the caller's.
 * ref:   one reference more of the caller's; somebody has to hold the slot until then.
 * unref: one less.  The last one frees the slot.
 *
 * Return 0; FASTALLOC_E_STALE, _HANDLE; FASTALLOC_E_SHARING: the pool does not share, or
 * the slot is not shared (ref, unref), is shared already (share), or this session holds no
 * reference (unref); FASTALLOC_E_NO_MEMORY. */
FASTALLOC_API int fastalloc_share(fastalloc_pool *, fastalloc_handle);
FASTALLOC_API int fastalloc_ref(fastalloc_pool *, fastalloc_handle);
FASTALLOC_API int fastalloc_unref(fastalloc_pool *, fastalloc_handle);

/* Makes the caller's session the pool's heir: from here on it gets the slots of sessions
 * that die, in a pool with on_death FASTALLOC_HEIR.  Returns 0, or FASTALLOC_E_INVALID in
 * others. */
FASTALLOC_API int fastalloc_pool_become_heir(fastalloc_pool *);

/* One slot that came as an inheritance: the caller's own from then on. */
typedef struct fastalloc_inheritance {
    fastalloc_handle handle;
    uint32_t pid; /* of the process that died */
    uint32_t reserved;
} fastalloc_inheritance;

/* Tells the heir which slots it has inherited since it last asked: up to `most`, each once.
 * While there are none waits until `deadline` (0: does not wait).  Returns 0 with *count
 * set, FASTALLOC_E_TIMEOUT when there were none until then, FASTALLOC_E_INVALID. */
FASTALLOC_API int fastalloc_inherited(fastalloc_pool *, fastalloc_inheritance *list, size_t most,
                                      size_t *count, uint64_t deadline);

/* Allocates `count` slots or none.  `objects` may be NULL.  Zero is fine.  On
 * failure nothing is allocated, and what the arrays hold is undefined. */
FASTALLOC_API int fastalloc_alloc_batch(fastalloc_pool *, size_t count, fastalloc_handle *handles,
                                        void **objects);

/* Frees `count` slots.  Goes on after a bad handle; returns the first error,
 * and in *freed (unless NULL), also then, how many were freed. */
FASTALLOC_API int fastalloc_free_batch(fastalloc_pool *, size_t count,
                                       const fastalloc_handle *handles, size_t *freed);

/* ----------------------------------------------------------------- handles */

/* Handles of one pool are equal when they are the same number.  A handle's slot: its index,
 * from 0; the same handle or another in the course of time.  No check whether it is live. */
FASTALLOC_API size_t fastalloc_handle_index(fastalloc_pool *, fastalloc_handle);

/* A handle as text, for people: "12@9f03c2" is slot 12 in its generation 0x9f03c2, "none" is
 * FASTALLOC_NONE.  Returns `text`. */
#define FASTALLOC_HANDLE_TEXT 48
FASTALLOC_API char *fastalloc_handle_text(fastalloc_pool *, fastalloc_handle,
                                          char text[FASTALLOC_HANDLE_TEXT]);

/* The live handle of the slot in which `address` lies: of an object, or of something in it.
 * Meant for whoever knows that the slot is allocated and stays so, as its owner does.  Returns 0;
 * FASTALLOC_E_HANDLE: the address is none of this pool's objects; FASTALLOC_E_STALE: it is, and the
 * slot is not allocated; FASTALLOC_E_INVALID. */
FASTALLOC_API int fastalloc_handle_of(fastalloc_pool *, const void *address,
                                      fastalloc_handle *handle);

/* 1 when the slot is allocated and this attachment's session owns it, else 0: freed, passed on,
 * shared, none of this pool; and for what a forked child has inherited, which is its parent's.
 * Never fails, and attaches no child. */
FASTALLOC_API int fastalloc_handle_is_mine(fastalloc_pool *, fastalloc_handle);

/* ------------------------------------------------------------------- forks */

/* In a forked child: lets go of everything that the parent has attached, at once, instead
 * of at the first use of each pool.  Until then the child keeps its parent's slots
 * from being reclaimed when the parent dies.  Each pool is attached anew when the child
 * first uses it, at the same addresses; until then what lies there reads as zero.  Elsewhere it
 * does nothing.  Returns 0, or FASTALLOC_E_SYSTEM. */
FASTALLOC_API int fastalloc_fork_detach(void);

/* In a forked child whose parent is about to exit, as by daemon(3): the child goes on as
 * its parent, with the same sessions, and with the objects.  To be called before anything
 * else of the library in the child, and by one child at most; the parent must not use the
 * library any more, and none of its threads may be inside a call at the fork: what such a
 * one was about would stay so until the child ends.  Start threads after it.  What the
 * parent's threads had cached goes back to the pools.  Returns 0; as fastalloc_pool_open() where
 * config.advice cannot be followed in the child (it goes on as its parent all the same); or
 * FASTALLOC_E_BUSY when the child has attached anew already, or has let go
 * (fastalloc_fork_detach()). */
FASTALLOC_API int fastalloc_fork_keep(void);

/* ----------------------------------------------------- scope-bound handles */

/* A slot that goes back when the variable leaves its scope:
 *
 *     FASTALLOC_AUTO fastalloc_owned box = fastalloc_own(pool);
 *     if (!box.object) return box.error;
 *
 * fastalloc_disown() takes the handle out, so that it outlives the scope. */
typedef struct fastalloc_owned {
    fastalloc_pool *pool;
    fastalloc_handle handle; /* FASTALLOC_NONE when allocating failed */
    void *object;            /* NULL when allocating failed */
    int error;               /* 0, or why allocating failed */
} fastalloc_owned;

#define FASTALLOC_AUTO __attribute__((cleanup(fastalloc_owned_release), unused))

FASTALLOC_API fastalloc_owned fastalloc_own(fastalloc_pool *);
FASTALLOC_API fastalloc_handle fastalloc_disown(fastalloc_owned *);
FASTALLOC_API void fastalloc_owned_release(fastalloc_owned *);

#ifdef __cplusplus
}
#endif

/* The fast path, inlined where FASTALLOC_INLINE is defined. */
#include <fastalloc/inline.h>

/* Statistics. */
#include <fastalloc/stats.h>

/* Typed pools: FASTALLOC_DEFINE_POOL(). */
#include <fastalloc/typed.h>

#endif /* FASTALLOC_FASTALLOC_H */
