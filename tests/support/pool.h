/* SPDX-License-Identifier: MIT
 *
 * pool: for tests of lib/shm: a pool in anonymous shared memory, that forked
 * children see at the same address, with its sessions and actors, and an
 * account of which slots the test holds.
 *
 * Everything here fails the running test (Check) rather than return an error.
 */
#ifndef SUPPORT_POOL_H
#define SUPPORT_POOL_H

#include "shm/cache.h"
#include "shm/layout.h"
#include "shm/supply.h"

#include <check.h>

/* As ck_assert_msg(), for loops: Check's own writes to a pipe each time. */
#define TEST_REQUIRE(condition, ...)                                                               \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg(__VA_ARGS__);                                                             \
    } while (0)

/* What pool to make; 0 where the default will do. */
struct test_shape {
    uint64_t capacity;
    uint64_t max_capacity;
    uint64_t object_size;      /* 0: 64 */
    uint64_t first_generation; /* 0: 1000 */
    uint32_t threads;          /* 0: 8 */
    uint32_t sessions;         /* 0: 8 */
    uint32_t flags;            /* SPEC_... */
    uint32_t on_death;
};

struct test_pool {
    struct segment segment;
    struct pool_spec spec;
    uint64_t bytes;   /* mapped */
    uint8_t *held;    /* for each slot: 1 while the test holds it */
    uint64_t holding; /* how many */
};

void test_pool_make(struct test_pool *pool, const struct test_shape *shape);

/* Asserts that the integrity check finds nothing, then unmaps. */
void test_pool_end(struct test_pool *pool);

/* Unmaps without a look, for pools that a test has damaged. */
void test_pool_discard(struct test_pool *pool);

/* One look of the integrity check must find nothing; the findings are printed. */
void test_pool_assert_clean(const struct test_pool *pool);

/* An actor of the session, which is opened unless it is live; with a cache
 * where one can be had, or without. */
struct actor test_pool_actor(struct test_pool *pool, uint32_t session);
struct actor test_pool_bare_actor(struct test_pool *pool, uint32_t session);

/* Allocates a slot that must not be held yet, and holds it. */
uint64_t test_pool_alloc(struct test_pool *pool, const struct actor *actor);

/* As the library frees: makes the slot the actor's session's, then frees it. */
void test_pool_free(struct test_pool *pool, const struct actor *actor, uint64_t index);

/* Allocates until an error, which must be FASTALLOC_E_EXHAUSTED.  Returns how
 * many there were, each of them once. */
uint64_t test_pool_drain(struct test_pool *pool, const struct actor *actor);

/* Frees all that is held. */
void test_pool_refill(struct test_pool *pool, const struct actor *actor);

/* Forgets what is held, after whoever held it died. */
void test_pool_forget(struct test_pool *pool);

/* Drains, by one actor; together with the slots that live sessions own this must be
 * the whole capacity.  Refills, and the check must be clean, before and after. */
void test_pool_assert_exact(struct test_pool *pool, const struct actor *actor);

/* The handle of a slot as its word stands. */
fastalloc_handle test_pool_handle(const struct test_pool *pool, uint64_t index);

/* Locks every depot in a forked child that then stops; returns it.  Release
 * kills it, so that every lock is found with a dead holder. */
pid_t test_pool_lock_all(struct test_pool *pool);
void test_pool_release(pid_t holder);

/* A random number generator, and its seed: $FASTALLOC_TEST_SEED or the clock's;
 * printed, so that a failure can be repeated. */
uint64_t test_seed(const char *what);
uint64_t test_random(uint64_t *state);

/* Runs the suite; what main() returns. */
int test_run(Suite *suite);

/* A suite of one case.  `seconds` is the time limit of each test. */
Suite *test_suite(const char *name, const TTest *const *tests, size_t count, double seconds);
#define TEST_SUITE(name, tests, seconds)                                                           \
    test_suite(name, tests, sizeof(tests) / sizeof(tests)[0], seconds)

#endif
