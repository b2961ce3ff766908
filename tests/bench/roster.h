/* SPDX-License-Identifier: MIT
 *
 * roster: the implementations that are measured, as the parent knows them: by name, and how
 * their workers are started.
 */
#ifndef TESTS_BENCH_ROSTER_H
#define TESTS_BENCH_ROSTER_H

#include <stddef.h>

struct contender {
    const char *name;    /* as in bench-results.json */
    const char *worker;  /* its program, beside ours */
    const char *library; /* to preload; NULL: none */
    const char *package; /* what has to be installed for it; NULL: it is always there */
};

/* The i-th of all, in the order of the tables; NULL behind the last. */
const struct contender *roster_at(size_t i);
const struct contender *roster_find(const char *name);

#endif
