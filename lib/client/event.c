/* SPDX-License-Identifier: MIT
 *
 * event: see event.h.
 *
 * armed is cleared while the helper has the slot in its hands: an allocation that failed before
 * that is answered by the slot's being freed, one that fails later arms anew.
 */
#include "event.h"

#include "fault.h"
#include "pool.h"
#include "shm/supply.h"
#include "shm/wait.h"
#include "thread.h"
#include "wait.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_BYTES (256u * 1024u)

static void tell(const struct event *event)
{
    uint64_t one = 1;

    /* Full after 2^64 - 1 unread writes, and readable then. */
    (void)!write(event->descriptor, &one, sizeof one);
}

/* One slot that was waited for, and freed; or why trying again will tell something new. */
static void watch(fastalloc_pool *pool)
{
    struct actor actor = {pool->face.session, CACHE_NONE, 0, 0};
    struct event *event = &pool->event;
    struct waiting waiting = {FASTALLOC_FOREVER, &event->stop};
    uint64_t index, word;
    int error;

    error = wait_for_slot(pool, &actor, &waiting, &index, &word);
    if (error == FASTALLOC_E_BUSY)
        return; /* to stop, or another thread's closing that came to nothing */
    shm_store_ordered(&event->armed, 0u);
    if (!error)
        supply_free(&pool->segment, &actor, index, word);
    tell(event);
}

static void *help(void *argument)
{
    fastalloc_pool *pool = argument;
    struct event *event = &pool->event;

    while (!shm_load_ordered(&event->stop))
        if (shm_load_ordered(&event->armed))
            watch(pool);
        else
            wait_on(&event->armed, 0, FASTALLOC_FOREVER);
    return NULL;
}

static int start_thread(fastalloc_pool *pool)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);

    if (error)
        return error;
    /* No handler of the program's runs on its small stack. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_setstacksize(&attributes, STACK_BYTES + PTHREAD_STACK_MIN);
    error = pthread_create(&pool->event.thread, &attributes, help, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

static int start_locked(fastalloc_pool *pool, struct reason *why)
{
    struct event *event = &pool->event;
    int made, error;

    if (event->running)
        return 0;
    made = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot make an event for pool \"%s\"",
                             pool->spec.name);
    event->descriptor = made;
    event->armed = event->stop = 0;
    error = start_thread(pool);
    if (error) {
        close(made);
        return reason_system(why, error == EAGAIN ? FASTALLOC_E_NO_MEMORY : FASTALLOC_E_SYSTEM,
                             error, "cannot start the thread of the event of pool \"%s\"",
                             pool->spec.name);
    }
    shm_store_ordered(&event->running, 1u);
    return 0;
}

int fastalloc_pool_event(fastalloc_pool *pool, int *descriptor)
{
    struct thread *thread;
    struct reason why;
    int error;

    if (!pool || !descriptor)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_event: %s is NULL",
                         !pool ? "pool" : "the output");
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    pthread_mutex_lock(&pool->mutex);
    error = start_locked(pool, &why);
    if (!error)
        *descriptor = pool->event.descriptor;
    pthread_mutex_unlock(&pool->mutex);
    thread_end(thread, pool);
    return error ? fault_say(&why) : 0;
}

void event_arm(fastalloc_pool *pool)
{
    struct event *event = &pool->event;

    if (shm_load_ordered(&event->running) &&
        !__atomic_exchange_n(&event->armed, 1u, __ATOMIC_SEQ_CST))
        wait_wake_all(&event->armed);
}

void event_stop(fastalloc_pool *pool)
{
    struct event *event = &pool->event;

    if (!shm_load_ordered(&event->running))
        return;
    shm_store_ordered(&event->stop, 1u);
    event_arm(pool);
    wait_wake(&pool->segment);
    pthread_join(event->thread, NULL);
    close(event->descriptor);
    shm_store_ordered(&event->running, 0u);
}

void event_become_child(fastalloc_pool *pool)
{
    if (pool->event.running)
        close(pool->event.descriptor);
    pool->event.running = 0;
}
