/* SPDX-License-Identifier: MIT
 *
 * libc: malloc and free, as a program has them that was linked to nothing else: the C library's,
 * or those of a library that the parent preloads.
 */
#include "implementations.h"

#include "loops.h"
#include "loops_crate.h"
#include "loops_shared.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>

typedef size_t *libc_state; /* the size of an object */
typedef void *libc_handle;

static void *start(size_t object_size, size_t slots)
{
    size_t *size = malloc(sizeof *size);

    (void)slots;
    if (!size)
        bench_give_up("malloc", "no memory");
    *size = object_size;
    return size;
}

BENCH_INLINE void *libc_take(size_t *size, void **handle)
{
    void *object = malloc(*size);

    if (!object)
        bench_give_up("malloc", "no memory");
    *handle = object;
    return object;
}

BENCH_INLINE void libc_give(size_t *size, void *handle)
{
    (void)size;
    free(handle);
}

BENCH_INLINE uint64_t libc_token(size_t *size, void *handle)
{
    (void)size;
    return (uintptr_t)handle;
}

BENCH_INLINE void *libc_accept(size_t *size, uint64_t token, void **object)
{
    (void)size;
    return *object = (void *)(uintptr_t)token;
}

BENCH_INLINE void *libc_at(size_t *size, void *handle)
{
    (void)size;
    return handle;
}

BENCH_DEFINE_LOOPS(libc)
BENCH_DEFINE_LOOPS_SHARED(libc)
BENCH_DEFINE_CRATE(libc, NULL)

static const char *version_of_glibc(void)
{
    static char text[32];

    snprintf(text, sizeof text, "glibc %s", gnu_get_libc_version());
    return text;
}

static const char *version_of_mimalloc(void)
{
    int (*version)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "mi_version");
    static char text[32];

    if (!version)
        bench_absent("mimalloc is not preloaded (LD_PRELOAD=libmimalloc.so.2): not installed?");
    snprintf(text, sizeof text, "%d.%d.%d", version() / 100, version() / 10 % 10, version() % 10);
    return text;
}

static const char *version_of_jemalloc(void)
{
    int (*control)(const char *, void *, size_t *, void *, size_t) =
        (int (*)(const char *, void *, size_t *, void *, size_t))dlsym(RTLD_DEFAULT, "mallctl");
    const char *version;
    size_t size = sizeof version;

    if (!control || control("version", &version, &size, NULL, 0))
        bench_absent("jemalloc is not preloaded (LD_PRELOAD=libjemalloc.so.2): not installed?");
    return version;
}

#define START(which)                                                                               \
    static void *start_##which(size_t object_size, size_t slots)                                   \
    {                                                                                              \
        version_of_##which();                                                                      \
        return start(object_size, slots);                                                          \
    }
START(mimalloc)
START(jemalloc)

const struct bench_implementation bench_malloc = {
    .name = "malloc",
    .reach = BENCH_THREADS,
    .version = version_of_glibc,
    .start = start,
    BENCH_LOOPS(libc),
    .crate = &libc_crate,
};

const struct bench_implementation bench_mimalloc = {
    .name = "mimalloc",
    .reach = BENCH_THREADS,
    .version = version_of_mimalloc,
    .start = start_mimalloc,
    BENCH_LOOPS(libc),
    .crate = &libc_crate,
};

const struct bench_implementation bench_jemalloc = {
    .name = "jemalloc",
    .reach = BENCH_THREADS,
    .version = version_of_jemalloc,
    .start = start_jemalloc,
    BENCH_LOOPS(libc),
    .crate = &libc_crate,
};
