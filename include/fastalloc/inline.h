/* SPDX-License-Identifier: MIT
 *
 * The fast path: alloc, get and free while the calling thread's cache can
 * serve.  No lock, no atomic read-modify-write, no system call, no daemon.  And adopt and
 * receive, which are one compare-and-swap: a sweep or another adopter may be after the word too.
 *
 * The library compiles these functions into fastalloc_alloc() and so on.  With
 * FASTALLOC_INLINE defined before fastalloc.h is included they are also
 * inlined into the caller.  What ends in "_" here is no interface: it may
 * change with the layout's major version, which attaching checks.
 *
 * The slot word.  64 bits for each slot: generation | 0 | owner (16).  The generation stands
 * where it stands in a handle, so that a handle is the idle slot's word with the index added,
 * and freeing compares without shifting.
 *
 *                 alloc: word = g|me                    (here)
 *        +--------------------------------------+
 *        |                                      v
 *   idle g|0                                 live g|me --- adopt, give: g|other
 *        ^                                      |                  (shm/slot.h)
 *        +--------------------------------------+
 *                 free: word = g+1|0                    (here)
 *
 * The other transitions stand in shm/slot.h.  A handle is
 * generation << index_bits | index, so freeing makes every copy of it stale.  Of the last
 * generation there is, freeing goes the slow way: 0 is skipped there.
 *
 * Crash story.  Each line marked with a letter is one store; the compiler may
 * not reorder them.  A slot is lost or doubled by none of the deaths between:
 *
 *   alloc  A word = g|me     died here: the slot is the dead session's and is
 *                            still the magazine's top entry.  The sweep trims
 *                            top entries whose word has an owner, then takes
 *                            the slot back from its owner.
 *          B count - 1       died here: owned by the dead session, swept.
 *   free   C entry           beyond the count: nobody reads it.
 *          D count + 1       died here: as after A.
 *          E word = g+1|0    idle, and the magazine's.  (Released: who sees it idle
 *                            sees the entry; the sweep counts on it.)
 *
 * Concurrency story.  A thread has a gate in the segment: busy and room, how many entries
 * a magazine holds.  While busy is 1 nobody else touches its magazines.  A thief who
 * wants what a sleeping thread has cached sets room to 0, makes every processor pass a
 * barrier (membarrier), and then waits until busy is 0: from then on the owner's next entry
 * sees that there is room for nothing and goes the slow way.  So the owner needs no barrier
 * of its own beyond the compiler's, and one comparison says both, whether the magazine
 * can serve and whether it may.
 */
#ifndef FASTALLOC_INLINE_H
#define FASTALLOC_INLINE_H

#ifndef FASTALLOC_FASTALLOC_H
#error "include <fastalloc/fastalloc.h>, after #define FASTALLOC_INLINE where wanted"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define FASTALLOC_OWNER_MASK_ 0xffffu

/* A thread's gate: the head of its cache record in the segment. */
struct fastalloc_gate_ {
    uint32_t busy; /* 1 while the thread is between entering and leaving */
    uint8_t room;  /* entries a magazine holds; 0, set by a thief: go the slow way */
    uint8_t unused[3];
    /* Of all threads that ever had the cache.  Only the owner writes them. */
    uint64_t allocations, frees;
};

/* A thread's way to one pool's cache, private to the process.  gate is NULL
 * where the thread has no cache (yet), and all is NULL in a forked child. */
struct fastalloc_lane_ {
    struct fastalloc_gate_ *gate;
    uint32_t *loaded; /* magazine in use: [0] its count, [1..count] slot indices */
};

/* What the fast path needs of a pool: the head of struct fastalloc_pool.
 * Constant while attached, but for `slots`, which goes up as the pool grows: who sees
 * it late goes the slow way, and sees it there. */
struct fastalloc_face_ {
    uint64_t *words;     /* the slot table */
    char *objects;       /* the first object */
    uint64_t stride;     /* bytes from one object to the next */
    uint64_t index_mask; /* of a handle: 16 bits or more */
    uint64_t releaser;   /* the owner of a slot that is freed: the session, or one that no
                          * slot has: frees go the slow way */
    uint64_t freeing;    /* from such a word to the next generation's, idle: a difference */
    uint64_t lane_at;    /* where the thread's lane is among its lanes, in bytes */
    uint32_t slots;      /* whose words have memory, as last seen */
    uint32_t session;    /* the owner written into slot words */
    uint32_t sessions;   /* owners from 1 to here are sessions */
    uint32_t lane;       /* the thread's lane, by number */
};

extern FASTALLOC_API __thread struct fastalloc_lane_ *fastalloc_lanes_
    __attribute__((tls_model("initial-exec")));

/* The slow ways on.  They may be entered busy, and leave first. */
FASTALLOC_API int fastalloc_alloc_slow_(fastalloc_pool *, fastalloc_handle *, void **);
FASTALLOC_API int fastalloc_free_slow_(fastalloc_pool *, fastalloc_handle);
FASTALLOC_API void *fastalloc_get_slow_(fastalloc_pool *, fastalloc_handle);
FASTALLOC_API int fastalloc_adopt_slow_(fastalloc_pool *, fastalloc_handle);
FASTALLOC_API int fastalloc_handle_is_mine_slow_(fastalloc_pool *, fastalloc_handle);

#define FASTALLOC_LIKELY_(x) __builtin_expect(!!(x), 1)
#define FASTALLOC_UNLIKELY_(x) __builtin_expect(!!(x), 0)

/* Shared words are read and written whole, in program order as far as the
 * compiler is concerned.  What orders them between processors is said where
 * it matters. */
#define FASTALLOC_LOAD_(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)
#define FASTALLOC_STORE_(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELAXED)
#define FASTALLOC_STEP_() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* Counts up a word that nobody else writes: one instruction.  gcc makes three of an atomic
 * load and store; the plain form may not be seen by readers at once, and need not be. */
#if defined(__clang__) || defined(__SANITIZE_THREAD__)
#define FASTALLOC_COUNT_(place) FASTALLOC_STORE_(place, FASTALLOC_LOAD_(place) + 1)
#else
#define FASTALLOC_COUNT_(place) ((void)++(place))
#endif

__attribute__((always_inline)) static inline struct fastalloc_lane_ *
fastalloc_lane_of_(const struct fastalloc_face_ *face_)
{
    return (struct fastalloc_lane_ *)(void *)((char *)fastalloc_lanes_ + face_->lane_at);
}

/* The fast path itself: 1, or 0 where the slow way it is.  Free has the like. */
__attribute__((always_inline)) static inline int
fastalloc_alloc_fast_(fastalloc_pool *pool_, fastalloc_handle *handle_, void **object_)
{
    const struct fastalloc_face_ *face_ = (const struct fastalloc_face_ *)pool_;
    const struct fastalloc_lane_ *lane_ = fastalloc_lane_of_(face_);
    struct fastalloc_gate_ *gate_ = lane_->gate;
    uint32_t *loaded_, count_, index_;
    uint64_t word_;

    if (FASTALLOC_UNLIKELY_(!gate_))
        return 0;
    FASTALLOC_STORE_(gate_->busy, 1u);
    FASTALLOC_STEP_();
    loaded_ = lane_->loaded;
    count_ = FASTALLOC_LOAD_(loaded_[0]);
    if (FASTALLOC_UNLIKELY_(count_ - 1 >= FASTALLOC_LOAD_(gate_->room)))
        return 0;
    index_ = FASTALLOC_LOAD_(loaded_[count_]);
    if (FASTALLOC_UNLIKELY_(index_ >= face_->slots))
        return 0;
    word_ = FASTALLOC_LOAD_(face_->words[index_]);
    if (FASTALLOC_UNLIKELY_(word_ & FASTALLOC_OWNER_MASK_))
        return 0;
    FASTALLOC_STORE_(face_->words[index_], word_ | face_->session); /* A */
    FASTALLOC_STEP_();
    FASTALLOC_STORE_(loaded_[0], count_ - 1); /* B */
    FASTALLOC_COUNT_(gate_->allocations);
    __atomic_store_n(&gate_->busy, 0u, __ATOMIC_RELEASE);
    *handle_ = word_ + index_;
    if (object_)
        *object_ = face_->objects + index_ * face_->stride;
    return 1;
}

/* The slow way has outputs of its own, so that the caller's need no address, and stay in
 * registers. */
__attribute__((always_inline)) static inline int
fastalloc_alloc_on_(fastalloc_pool *pool_, fastalloc_handle *handle_, void **object_)
{
    fastalloc_handle got_ = FASTALLOC_NONE;
    void *address_ = NULL;
    int error_ = fastalloc_alloc_slow_(pool_, &got_, &address_);

    if (error_)
        return error_;
    *handle_ = got_;
    if (object_)
        *object_ = address_;
    return 0;
}

__attribute__((always_inline)) static inline int
fastalloc_alloc_inline_(fastalloc_pool *pool_, fastalloc_handle *handle_, void **object_)
{
    if (FASTALLOC_LIKELY_(fastalloc_alloc_fast_(pool_, handle_, object_)))
        return 0;
    return fastalloc_alloc_on_(pool_, handle_, object_);
}

__attribute__((always_inline)) static inline int fastalloc_free_inline_(fastalloc_pool *pool_,
                                                                        fastalloc_handle handle_)
{
    const struct fastalloc_face_ *face_ = (const struct fastalloc_face_ *)pool_;
    const struct fastalloc_lane_ *lane_ = fastalloc_lane_of_(face_);
    struct fastalloc_gate_ *gate_ = lane_->gate;
    uint64_t *words_ = face_->words;
    uint64_t index_ = handle_ & face_->index_mask, mine_ = handle_ - index_ + face_->releaser,
             next_;
    uint32_t *loaded_, count_;

    if (FASTALLOC_UNLIKELY_(!gate_) || FASTALLOC_UNLIKELY_((uint32_t)index_ >= face_->slots))
        return fastalloc_free_slow_(pool_, handle_);
    FASTALLOC_STORE_(gate_->busy, 1u);
    FASTALLOC_STEP_();
    loaded_ = lane_->loaded;
    count_ = FASTALLOC_LOAD_(loaded_[0]);
    if (FASTALLOC_UNLIKELY_(count_ >= FASTALLOC_LOAD_(gate_->room)) ||
        FASTALLOC_UNLIKELY_(FASTALLOC_LOAD_(words_[index_]) != mine_) ||
        FASTALLOC_UNLIKELY_(__builtin_add_overflow(mine_, face_->freeing, &next_)))
        return fastalloc_free_slow_(pool_, handle_);
    FASTALLOC_STORE_(loaded_[count_ + 1], (uint32_t)index_); /* C */
    FASTALLOC_STEP_();
    FASTALLOC_STORE_(loaded_[0], count_ + 1); /* D */
    FASTALLOC_STEP_();
    __atomic_store_n(&words_[index_], next_, __ATOMIC_RELEASE); /* E */
    FASTALLOC_COUNT_(gate_->frees);
    __atomic_store_n(&gate_->busy, 0u, __ATOMIC_RELEASE);
    return 0;
}

__attribute__((always_inline)) static inline void *fastalloc_get_inline_(fastalloc_pool *pool_,
                                                                         fastalloc_handle handle_)
{
    const struct fastalloc_face_ *face_ = (const struct fastalloc_face_ *)pool_;
    uint64_t index_ = handle_ & face_->index_mask;
    uint64_t word_;

    if (FASTALLOC_UNLIKELY_(index_ >= face_->slots))
        return fastalloc_get_slow_(pool_, handle_);
    word_ = FASTALLOC_LOAD_(face_->words[index_]);
    /* Of this generation, and neither idle (0) nor returned (all ones). */
    if (FASTALLOC_UNLIKELY_(word_ - (handle_ - index_) - 1 >= FASTALLOC_OWNER_MASK_ - 1))
        return fastalloc_get_slow_(pool_, handle_);
    return face_->objects + index_ * face_->stride;
}

/* A thread that has a gate is of a process that is attached: a forked child's are gone.
 * Whatever is not simply another live session's goes the slow way. */
__attribute__((always_inline)) static inline int
fastalloc_receive_inline_(fastalloc_pool *pool_, fastalloc_handle handle_, void **object_)
{
    const struct fastalloc_face_ *face_ = (const struct fastalloc_face_ *)pool_;
    uint64_t index_ = handle_ & face_->index_mask, idle_ = handle_ - index_;
    char *found_ = face_->objects + index_ * face_->stride;
    uint64_t *place_ = &face_->words[index_], word_;
    int error_;

    if (FASTALLOC_LIKELY_(fastalloc_lane_of_(face_)->gate != NULL) &&
        FASTALLOC_LIKELY_(index_ < face_->slots)) {
        word_ = FASTALLOC_LOAD_(*place_);
        if (FASTALLOC_LIKELY_(word_ - idle_ - 1 < face_->sessions) &&
            FASTALLOC_LIKELY_(__atomic_compare_exchange_n(place_, &word_, idle_ + face_->session, 0,
                                                          __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))) {
            if (object_)
                *object_ = found_;
            return 0;
        }
    }
    error_ = fastalloc_adopt_slow_(pool_, handle_);
    if (!error_ && object_)
        *object_ = found_;
    return error_;
}

__attribute__((always_inline)) static inline int fastalloc_adopt_inline_(fastalloc_pool *pool_,
                                                                         fastalloc_handle handle_)
{
    return fastalloc_receive_inline_(pool_, handle_, NULL);
}

/* As there, of a gate. */
__attribute__((always_inline)) static inline int
fastalloc_handle_is_mine_inline_(fastalloc_pool *pool_, fastalloc_handle handle_)
{
    const struct fastalloc_face_ *face_ = (const struct fastalloc_face_ *)pool_;
    uint64_t index_ = handle_ & face_->index_mask;

    if (FASTALLOC_UNLIKELY_(!fastalloc_lane_of_(face_)->gate) ||
        FASTALLOC_UNLIKELY_(index_ >= face_->slots))
        return fastalloc_handle_is_mine_slow_(pool_, handle_);
    return FASTALLOC_LOAD_(face_->words[index_]) == handle_ - index_ + face_->session;
}

#ifdef __cplusplus
}
#endif

#ifdef FASTALLOC_INLINE
#define fastalloc_alloc(pool, handle, object) fastalloc_alloc_inline_(pool, handle, object)
#define fastalloc_free(pool, handle) fastalloc_free_inline_(pool, handle)
#define fastalloc_get(pool, handle) fastalloc_get_inline_(pool, handle)
#define fastalloc_adopt(pool, handle) fastalloc_adopt_inline_(pool, handle)
#define fastalloc_receive(pool, handle, object) fastalloc_receive_inline_(pool, handle, object)
#define fastalloc_handle_is_mine(pool, handle) fastalloc_handle_is_mine_inline_(pool, handle)
#endif

#endif /* FASTALLOC_INLINE_H */
