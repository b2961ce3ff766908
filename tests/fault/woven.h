/* SPDX-License-Identifier: MIT
 *
 * woven: included before a source of lib/shm, by the compiler's command line, so that each
 * of its accesses to shared memory becomes a step that weave.h decides about.
 */
#ifndef FAULT_WOVEN_H
#define FAULT_WOVEN_H

#include "shm/layout.h"

/* A step at `place` is next; and what it has read. */
void weave_step(const void *place);
uint64_t weave_saw(uint64_t value);

#define WOVEN_LOAD(place, order)                                                                   \
    ((__typeof__(*(place)))(weave_step(place),                                                     \
                            weave_saw((uint64_t)__atomic_load_n((place), order))))
#define WOVEN_STORE(place, value, order)                                                           \
    (weave_step(place), __atomic_store_n((place), (value), order))

#undef shm_load
#undef shm_load_acquire
#undef shm_load_ordered
#undef shm_store
#undef shm_store_release
#undef shm_store_ordered
#undef shm_cas
#define shm_load(place) WOVEN_LOAD(place, __ATOMIC_RELAXED)
#define shm_load_acquire(place) WOVEN_LOAD(place, __ATOMIC_ACQUIRE)
#define shm_load_ordered(place) WOVEN_LOAD(place, __ATOMIC_SEQ_CST)
#define shm_store(place, value) WOVEN_STORE(place, value, __ATOMIC_RELAXED)
#define shm_store_release(place, value) WOVEN_STORE(place, value, __ATOMIC_RELEASE)
#define shm_store_ordered(place, value) WOVEN_STORE(place, value, __ATOMIC_SEQ_CST)
#define shm_cas(place, expected, desired)                                                          \
    (weave_step(place),                                                                            \
     (bool)weave_saw(__atomic_compare_exchange_n((place), (expected), (desired), false,            \
                                                 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||            \
                     (weave_saw(*(expected)), false)))

#define __atomic_fetch_or(place, value, order)                                                     \
    (weave_step(place), weave_saw((uint64_t)__atomic_fetch_or((place), (value), (order))))
#define __atomic_fetch_and(place, value, order)                                                    \
    (weave_step(place), weave_saw((uint64_t)__atomic_fetch_and((place), (value), (order))))
#define __atomic_fetch_add(place, value, order)                                                    \
    (weave_step(place), weave_saw((uint64_t)__atomic_fetch_add((place), (value), (order))))

#endif
