/* SPDX-License-Identifier: MIT
 *
 * share: see share.h.  The public functions for slots that several processes hold, that are
 * left to anyone, and that are inherited.
 */
#include "share.h"

#include "fault.h"
#include "local.h"
#include "pool.h"
#include "shm/notes.h"
#include "shm/share.h"
#include "shm/wait.h"
#include "thread.h"

#include <fastalloc/fastalloc.h>
#include <stdlib.h>
#include <unistd.h>

/* Without memory the element is not added, and has no table. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define LOCAL_LOOK_NS UINT64_C(20000000) /* how often an heir of a local pool looks for dead */

struct hold {
    fastalloc_handle handle;
    uint64_t references; /* never 0 */
    UT_hash_handle hh;
};

/* ------------------------------------------------------------------ the table */

void holds_init(struct holds *holds)
{
    pthread_mutex_init(&holds->mutex, NULL);
    holds->table = NULL;
    holds->session = 0;
    holds->told = 0;
}

static void empty_locked(struct holds *holds)
{
    struct hold *hold, *next;

    HASH_ITER (hh, holds->table, hold, next) {
        HASH_DELETE(hh, holds->table, hold);
        free(hold);
    }
    holds->told = 0;
}

void holds_release(struct holds *holds)
{
    empty_locked(holds);
    pthread_mutex_destroy(&holds->mutex);
}

void holds_become_child(struct holds *holds)
{
    if (pthread_mutex_trylock(&holds->mutex))
        holds->table = NULL; /* torn: its memory is not to be found again */
    else
        pthread_mutex_unlock(&holds->mutex);
    pthread_mutex_init(&holds->mutex, NULL);
}

/* The session's holds; those of the parent's, in a child, are none of its. */
static struct holds *lock_holds(fastalloc_pool *pool)
{
    struct holds *holds = &pool->holds;

    pthread_mutex_lock(&holds->mutex);
    if (holds->session != pool->face.session) {
        empty_locked(holds);
        holds->session = pool->face.session;
    }
    return holds;
}

static struct hold *find_locked(const struct holds *holds, fastalloc_handle handle)
{
    struct hold *hold;

    HASH_FIND(hh, holds->table, &handle, sizeof handle, hold);
    return hold;
}

/* One reference to a slot that there was none to.  NULL without memory. */
static struct hold *add_locked(struct holds *holds, fastalloc_handle handle)
{
    struct hold *hold = calloc(1, sizeof *hold);

    if (!hold)
        return NULL;
    hold->handle = handle;
    hold->references = 1;
    HASH_ADD(hh, holds->table, handle, sizeof hold->handle, hold);
    if (!hold->hh.tbl) {
        free(hold);
        return NULL;
    }
    return hold;
}

static void remove_locked(struct holds *holds, struct hold *hold)
{
    HASH_DELETE(hh, holds->table, hold);
    free(hold);
}

/* ----------------------------------------------------------- share, ref, unref */

/* What the table has to have room for comes before what others can see. */
static int hold_locked(struct holds *holds, fastalloc_pool *pool, fastalloc_handle handle,
                       int (*get)(struct segment *, fastalloc_handle, uint32_t, uint64_t *),
                       uint64_t *fallen)
{
    struct hold *hold = add_locked(holds, handle);
    int error;

    if (!hold)
        return FASTALLOC_E_NO_MEMORY;
    error = get(&pool->segment, handle, holds->session, fallen);
    if (error)
        remove_locked(holds, hold);
    return error;
}

static int share_locked(struct holds *holds, fastalloc_pool *pool, fastalloc_handle handle,
                        uint64_t *fallen)
{
    if (find_locked(holds, handle))
        return FASTALLOC_E_SHARING;
    return hold_locked(holds, pool, handle, share_make, fallen);
}

static int ref_locked(struct holds *holds, fastalloc_pool *pool, fastalloc_handle handle,
                      uint64_t *fallen)
{
    struct hold *hold = find_locked(holds, handle);

    if (!hold)
        return hold_locked(holds, pool, handle, share_join, fallen);
    hold->references++;
    return 0;
}

static int unref_locked(struct holds *holds, fastalloc_pool *pool, fastalloc_handle handle,
                        uint64_t *fallen)
{
    struct hold *hold = find_locked(holds, handle);

    if (!hold)
        return share_refuse(&pool->segment, handle);
    if (--hold->references)
        return 0;
    remove_locked(holds, hold);
    share_drop(&pool->segment, slot_index(&pool->segment, handle), holds->session, fallen);
    return 0;
}

/* Begins a call of share, ref or unref, whichever `operation` is. */
static struct thread *begin_sharing(fastalloc_pool *pool, const char *operation, int *error)
{
    if (!pool) {
        *error = fault_set(FASTALLOC_E_INVALID, "fastalloc_%s: pool is NULL", operation);
        return NULL;
    }
    if (!pool->segment.holders) {
        *error = fault_set(FASTALLOC_E_SHARING,
                           "%s: pool \"%s\" does not share: it has to be created with "
                           "FASTALLOC_SHARING among its features",
                           operation, pool->spec.name);
        return NULL;
    }
    return thread_begin(pool, error);
}

/* `fallen`: the word of the handle's slot, if it is to be freed here; else 0.  It may be of a
 * later generation than the handle, if that was stale. */
static struct thread *free_fallen(struct thread *thread, fastalloc_pool *pool,
                                  fastalloc_handle handle, uint64_t fallen)
{
    uint64_t index = slot_index(&pool->segment, handle);

    if (!fallen)
        return thread;
    return lifecycle_free(pool, thread, slot_ended_handle(&pool->segment, fallen, index), index,
                          fallen);
}

static int end_sharing(struct thread *thread, fastalloc_pool *pool, const char *operation,
                       fastalloc_handle handle, int error, const char *sharing)
{
    if (thread)
        thread_end(thread, pool);
    if (error == FASTALLOC_E_SHARING)
        return fault_set(error, "%s: handle 0x%llx of pool \"%s\": %s", operation,
                         (unsigned long long)handle, pool->spec.name, sharing);
    return error ? fault_note(error, operation, pool, handle) : 0;
}

/* Does one of the three with the session's holds, and frees the slot if that falls to it. */
static int do_sharing(fastalloc_pool *pool, fastalloc_handle handle, const char *operation,
                      int (*locked)(struct holds *, fastalloc_pool *, fastalloc_handle, uint64_t *),
                      const char *sharing)
{
    struct thread *thread;
    struct holds *holds;
    uint64_t fallen = 0;
    int error;

    thread = begin_sharing(pool, operation, &error);
    if (!thread)
        return error;
    holds = lock_holds(pool);
    error = locked(holds, pool, handle, &fallen);
    pthread_mutex_unlock(&holds->mutex);
    thread = free_fallen(thread, pool, handle, fallen);
    return end_sharing(thread, pool, operation, handle, error, sharing);
}

int fastalloc_share(fastalloc_pool *pool, fastalloc_handle handle)
{
    return do_sharing(pool, handle, "share", share_locked,
                      "it is shared already: fastalloc_ref() adds a reference");
}

int fastalloc_ref(fastalloc_pool *pool, fastalloc_handle handle)
{
    return do_sharing(pool, handle, "ref", ref_locked,
                      "the slot is not shared: its owner has to fastalloc_share() it first");
}

int fastalloc_unref(fastalloc_pool *pool, fastalloc_handle handle)
{
    return do_sharing(pool, handle, "unref", unref_locked,
                      "this process has no reference to the slot");
}

/* ----------------------------------------------------------------- leaving */

int fastalloc_leave(fastalloc_pool *pool, fastalloc_handle handle, uint64_t deadline)
{
    struct thread *thread;
    uint32_t time;
    int error;

    if (!pool)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_leave: pool is NULL");
    time = notes_time(deadline);
    if (time != NOTES_NEVER && !pool->segment.notes)
        return fault_set(FASTALLOC_E_INVALID,
                         "leave: pool \"%s\" knows no deadlines: it has to be created with "
                         "FASTALLOC_DEADLINES among its features, or the slot left with "
                         "FASTALLOC_FOREVER",
                         pool->spec.name);
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    error = notes_leave(&pool->segment, handle, pool->face.session, (uint32_t)getpid(), time);
    return end_sharing(thread, pool, "leave", handle, error,
                       "the slot is shared: fastalloc_unref() is the way to let go of it");
}

/* -------------------------------------------------------------- inheriting */

static int refuse_to_inherit(const fastalloc_pool *pool, const char *function)
{
    return fault_set(FASTALLOC_E_INVALID,
                     "%s: pool \"%s\" has no heir: it has to be created with on_death "
                     "FASTALLOC_HEIR",
                     function, pool->spec.name);
}

int fastalloc_pool_become_heir(fastalloc_pool *pool)
{
    struct thread *thread;
    int error;

    if (!pool)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_become_heir: pool is NULL");
    if (pool->spec.on_death != FASTALLOC_HEIR)
        return refuse_to_inherit(pool, "become_heir");
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    shm_store_ordered(&pool->segment.header->heir, pool->face.session);
    thread_end(thread, pool);
    return 0;
}

/* In a local pool nobody else looks for the dead. */
static void sweep_if_local(fastalloc_pool *pool)
{
    if (pool->client)
        return;
    local_sweep(pool);
}

/* What came since the last look.  `came` is what the session's count of it was before. */
static size_t look(fastalloc_pool *pool, fastalloc_inheritance *list, size_t most, uint32_t came)
{
    struct holds *holds = lock_holds(pool);
    size_t count = 0;

    if (came != holds->told)
        count = notes_inherited(&pool->segment, holds->session, list, most);
    if (count < most)
        holds->told = came;
    pthread_mutex_unlock(&holds->mutex);
    return count;
}

/* Waits for more than `came`; in a local pool only until it is time to sweep again. */
static void wait_for_more(fastalloc_pool *pool, uint32_t came, uint64_t deadline)
{
    uint64_t now = wait_now();

    if (!pool->client && deadline > now && deadline - now > LOCAL_LOOK_NS)
        deadline = now + LOCAL_LOOK_NS;
    wait_on(&pool->segment.sessions[pool->face.session].inherited, came, deadline);
}

int fastalloc_inherited(fastalloc_pool *pool, fastalloc_inheritance *list, size_t most,
                        size_t *count, uint64_t deadline)
{
    struct thread *thread;
    size_t found;
    int error;

    if (!pool || !list || !most || !count)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_inherited: %s",
                         !pool    ? "pool is NULL"
                         : !list  ? "list is NULL"
                         : !count ? "count is NULL"
                                  : "there is no room in the list");
    if (pool->spec.on_death != FASTALLOC_HEIR)
        return refuse_to_inherit(pool, "inherited");
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    for (;;) {
        uint32_t came;

        sweep_if_local(pool);
        came = shm_load_ordered(&pool->segment.sessions[pool->face.session].inherited);
        found = look(pool, list, most, came);
        if (found || wait_now() >= deadline)
            break;
        wait_for_more(pool, came, deadline);
    }
    thread_end(thread, pool);
    if (!found)
        return fault_note(FASTALLOC_E_TIMEOUT, "inherited", pool, FASTALLOC_NONE);
    *count = found;
    return 0;
}
