/* SPDX-License-Identifier: MIT
 *
 * woven: included before a source of lib/shm, or before one that inlines the fast path, by the
 * compiler's command line, so that each of its accesses to shared memory becomes a step that
 * weave.h decides about.  What an owner counts by a plain addition goes with the step after it.
 */
#ifndef FAULT_WOVEN_H
#define FAULT_WOVEN_H

#include <stdbool.h>
#include <stdint.h>

/* A step at `place` is next; and what it has read. */
void weave_step(const void *place);
uint64_t weave_saw(uint64_t value);

#define __atomic_load_n(place, order)                                                              \
    ((__typeof__(*(place)))(weave_step(place),                                                     \
                            weave_saw((uint64_t)__atomic_load_n((place), (order)))))
#define __atomic_store_n(place, value, order)                                                      \
    (weave_step(place), __atomic_store_n((place), (value), (order)))
#define __atomic_compare_exchange_n(place, expected, desired, weak, success, failure)              \
    (weave_step(place),                                                                            \
     (bool)weave_saw(__atomic_compare_exchange_n((place), (expected), (desired), (weak),           \
                                                 (success), (failure)) ||                          \
                     (weave_saw(*(expected)), false)))
#define __atomic_fetch_or(place, value, order)                                                     \
    (weave_step(place), weave_saw((uint64_t)__atomic_fetch_or((place), (value), (order))))
#define __atomic_fetch_and(place, value, order)                                                    \
    (weave_step(place), weave_saw((uint64_t)__atomic_fetch_and((place), (value), (order))))
#define __atomic_fetch_add(place, value, order)                                                    \
    (weave_step(place), weave_saw((uint64_t)__atomic_fetch_add((place), (value), (order))))

#endif
