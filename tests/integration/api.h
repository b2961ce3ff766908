/* SPDX-License-Identifier: MIT
 *
 * api: what the tests of the public functions share: requiring a failure with its
 * words, filling a pool, and child processes that are told and tell numbers.
 *
 * For use inside Check tests, through the public functions alone.
 */
#ifndef TESTS_INTEGRATION_API_H
#define TESTS_INTEGRATION_API_H

#include <check.h>
#include <fastalloc/fastalloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Requires that `call` fails with `code`, and that fastalloc_last_error() then has
 * each of the words given. */
#define require_failure(call, code, ...)                                                           \
    api_require_failure((call), (code), #call, (const char *const[]){__VA_ARGS__, NULL})
void api_require_failure(int got, int code, const char *call, const char *const *words);

/* Requires that `call` returns 0, and shows the error if not.  Unlike Check's own it
 * costs nothing when it does, so loops may use it. */
#define require_ok(call) api_require_ok((call), #call)
void api_require_ok(int got, const char *call);

fastalloc_pool_config api_config(const char *name, size_t object_size, size_t capacity);
fastalloc_pool *api_local(size_t object_size, size_t capacity);
fastalloc_client *api_connect(const char *socket);
fastalloc_pool_info api_info(fastalloc_pool *pool);
fastalloc_handle api_alloc(fastalloc_pool *pool);

/* Allocates until the pool refuses with FASTALLOC_E_EXHAUSTED, at most `most` slots, into
 * `handles` (unless NULL).  Returns how many. */
size_t api_fill(fastalloc_pool *pool, fastalloc_handle *handles, size_t most);
void api_free_all(fastalloc_pool *pool, const fastalloc_handle *handles, size_t count);

/* Requires that exactly the pool's capacity can be allocated, no slot twice, and
 * frees it all again: nothing is lost and nothing doubled.  Everything has to be idle. */
void api_require_whole(fastalloc_pool *pool);

/* Waits, at most 10 s, until the pool counts so many allocated slots, or sessions. */
bool api_allocated_becomes(fastalloc_pool *pool, size_t allocated);
bool api_sessions_become(fastalloc_pool *pool, uint32_t sessions);

int64_t api_now_us(void);
void api_sleep_ms(long ms);

/* A child process that runs `run` and exits with 0.  It ends with its parent. */
/* Not where a sanitizer is: the child may find the locks of its allocator held for good (gcc 12's
 * and clang 14's AddressSanitizer), and may start no threads (ThreadSanitizer). */
bool api_may_fork_beside_threads(void);

struct child {
    pid_t pid;
    int channel;
};
void child_start(struct child *child, void (*run)(int channel, void *argument), void *argument);

/* One number over the channel, either way; taking waits at most 10 s. */
void channel_put(int channel, uint64_t value);
uint64_t channel_take(int channel);

/* Requires that the child exits with 0; kills it with SIGKILL and reaps it. */
void child_join(struct child *child);
void child_kill(struct child *child);

/* In a child: shows what failed and exits. */
#define child_require(condition) child_check((condition), #condition, __FILE__, __LINE__)
void child_check(bool condition, const char *what, const char *file, int line);

/* The same calls compiled with FASTALLOC_INLINE (inlined.c). */
int inlined_alloc(fastalloc_pool *pool, fastalloc_handle *handle, void **object);
int inlined_free(fastalloc_pool *pool, fastalloc_handle handle);
void *inlined_get(fastalloc_pool *pool, fastalloc_handle handle);

/* Whether the calling thread has a cache in the pool with a magazine in it. */
bool inlined_has_cache(fastalloc_pool *pool);

/* Makes the calling thread look like one that is stopped inside an operation on the
 * pool, and ends that.  It needs a cache there, and must not call the library between. */
void inlined_stop_inside(fastalloc_pool *pool);
void inlined_go_on(fastalloc_pool *pool);

/* Runs a suite of the tests given, which end with NULL; main()'s result. */
int api_run(const char *suite, const TTest *const *tests, void (*setup)(void),
            void (*teardown)(void), double timeout);

#endif
