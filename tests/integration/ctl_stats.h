/* SPDX-License-Identifier: MIT
 *
 * ctl_stats: for tests of the statistics that fastallocctl shows: programs that do what they
 * are told, what is shown as JSON, and as metrics, through openmetrics.py.
 */
#ifndef TESTS_INTEGRATION_CTL_STATS_H
#define TESTS_INTEGRATION_CTL_STATS_H

#include "api.h"
#include "ctl.h"

#include <check.h>
#include <jansson.h>

/* A process that does what it is told to a pool, until it is killed. */
enum order {
    ORDER_ALLOC = 1, /* so many slots */
    ORDER_FREE,      /* so many of them */
    ORDER_FAIL,      /* so many allocations that find no slot */
    ORDER_WAIT,      /* the same, waiting for a moment */
    ORDER_RESET,     /* the pool's statistics */
    ORDER_SEAL       /* the pool */
};
void program_start(struct child *program, const char *pool);
void program_tell(struct child *program, enum order order, uint64_t number);

/* A pool "orders" of 100 slots, too few for caches, so that every figure is exact; the session
 * in which it was made has ended.  The program has made 100 allocations, 3 that failed, and
 * 40 frees. */
void stats_work(struct child *program);

/* Waits until that figure of "orders" becomes the number. */
void stats_await(const char *key, json_int_t number);

/* What stat --json says (the caller's), the statistics in it, a real number in those. */
json_t *stats_stat(const char *pool);
json_t *stats_of(const json_t *stat);
double stats_real(const json_t *object, const char *key);

/* Has openmetrics.py read `text`.  Returns the samples (the caller's), or NULL where it
 * refuses, with what it says in `says`. */
json_t *exposition_read(const char *text, char *says, size_t size);

/* What the last run of fastallocctl wrote, which has to be an exposition. */
json_t *exposition_written(void);

/* What stat --openmetrics, which has to succeed, says of all pools. */
json_t *metrics_now(void);

/* The sample of that name and pool, and of that label where one is named; NULL: there is none.
 * The values of those that have to be there. */
const json_t *metrics_find(const json_t *samples, const char *name, const char *pool,
                           const char *label, const char *value);
double metrics_value(const json_t *samples, const char *name, const char *pool);
double metrics_value_of(const json_t *samples, const char *name, const char *pool,
                        const char *label, const char *value);

#define assert_metric(samples, name, pool, wanted)                                                 \
    ck_assert_msg(metrics_value(samples, name, pool) == (wanted), "%s is %g, not %g", name,        \
                  metrics_value(samples, name, pool), (double)(wanted))

#endif
