/* SPDX-License-Identifier: MIT
 *
 * config.advice: pages that are present from the start, kept in memory, in huge pages; and the
 * alignment of objects.  Each on a local pool and on one of a daemon's.
 */
#include "both.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, SLOTS = 200, MORE = 600 };

static fastalloc_pool_config config_of(uint32_t advice)
{
    fastalloc_pool_config config = api_config("advised", PAGE, SLOTS);

    config.advice = advice;
    config.max_capacity = MORE;
    config.max_sessions = 16;
    return config;
}

/* A figure of /proc/self/status, in KiB. */
static long status_kib(const char *name)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[200];
    long kib = -1;

    ck_assert_ptr_nonnull(file);
    while (kib < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = atol(line + strlen(name) + 1);
    fclose(file);
    ck_assert_int_ge(kib, 0);
    return kib;
}

static long faults(void)
{
    struct rusage usage;

    ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_minflt + usage.ru_majflt;
}

/* Allocates so many slots and writes to each page of theirs; how many page faults that took. */
static long faults_of_use(unsigned slots)
{
    static fastalloc_handle handles[MORE];
    static void *objects[MORE];
    long before;
    unsigned i;

    /* What the library, the test and their stacks need first. */
    memset(handles, 1, sizeof handles);
    memset(objects, 1, sizeof objects);
    before = faults();
    before += faults() - before;
    for (i = 0; i < slots; i++) {
        require_ok(fastalloc_alloc(both_pool, &handles[i], &objects[i]));
        *(volatile char *)objects[i] = 1;
    }
    return faults() - before;
}

START_TEST(prefaulted_pages_are_present)
{
    fastalloc_pool_config config = config_of(0);
    long without, with;

    both_begin(_i, &config);
    without = faults_of_use(SLOTS);
    both_end(_i);
    config.advice = FASTALLOC_PREFAULT;
    both_begin(_i, &config);
    with = faults_of_use(SLOTS);
    both_end(_i);
    ck_assert_msg(without >= SLOTS, "%ld faults without advice", without);
    ck_assert_msg(with < SLOTS / 10, "%ld faults in a prefaulted pool, %ld without", with, without);
}
END_TEST

START_TEST(nothing_beyond_the_capacity_is_asked_for)
{
    fastalloc_pool_config config = config_of(FASTALLOC_PREFAULT);
    long before = status_kib("RssShmem:"), after;

    config.capacity = 10;
    config.max_capacity = 20000;
    both_begin(_i, &config);
    after = status_kib("RssShmem:");
    ck_assert_int_ge(after - before, 40);
    ck_assert_int_lt(after - before, 8000);
    both_end(_i);
}
END_TEST

START_TEST(slots_that_grow_are_prefaulted_too)
{
    fastalloc_pool_config config = config_of(FASTALLOC_PREFAULT);
    size_t now;
    long with;

    both_begin(_i, &config);
    require_ok(fastalloc_pool_grow(both_pool, MORE));
    ck_assert_int_ge(status_kib("RssShmem:"), MORE * PAGE / 1024);
    /* Their memory goes, and comes back. */
    require_ok(fastalloc_pool_shrink(both_pool, SLOTS, &now));
    ck_assert_uint_eq(now, SLOTS);
    ck_assert_int_lt(status_kib("RssShmem:"), MORE * PAGE / 1024);
    require_ok(fastalloc_pool_grow(both_pool, MORE));
    with = faults_of_use(MORE);
    ck_assert_msg(with < MORE / 10, "%ld faults", with);
    both_end(_i);
}
END_TEST

/* ------------------------------------------------------------------ others */

static void use_in_child(int channel, void *argument)
{
    long before, after;

    (void)channel, (void)argument;
    child_require(fastalloc_pool_session(both_pool) != 0);
    before = faults();
    after = faults_of_use(SLOTS);
    child_require(after < SLOTS / 10);
    child_require(before > 0);
}

static void locked_in_child(int channel, void *argument)
{
    (void)channel, (void)argument;
    child_require(status_kib("VmLck:") == 0);
    child_require(fastalloc_pool_session(both_pool) != 0);
    child_require(status_kib("VmLck:") >= SLOTS * PAGE / 1024);
}

START_TEST(a_forked_child_follows_it_too)
{
    fastalloc_pool_config config = config_of(FASTALLOC_PREFAULT);
    struct child child;

    both_begin(_i, &config);
    child_start(&child, use_in_child, NULL);
    child_join(&child);
    both_end(_i);
    config = config_of(FASTALLOC_MLOCK);
    both_begin(_i, &config);
    child_start(&child, locked_in_child, NULL);
    child_join(&child);
    both_end(_i);
}
END_TEST

static void keep_in_child(int channel, void *argument)
{
    (void)channel, (void)argument;
    child_require(status_kib("VmLck:") == 0);
    child_require(fastalloc_fork_keep() == 0);
    child_require(status_kib("VmLck:") >= SLOTS * PAGE / 1024);
}

START_TEST(a_child_that_goes_on_as_its_parent_follows_it_too)
{
    fastalloc_pool_config config = config_of(FASTALLOC_MLOCK);
    struct child child;

    require_ok(fastalloc_pool_create_local(&config, &both_pool));
    child_start(&child, keep_in_child, NULL);
    child_join(&child);
    require_ok(fastalloc_pool_close(both_pool));
}
END_TEST

START_TEST(who_opens_a_pool_has_advice_of_its_own)
{
    fastalloc_pool_config config = config_of(0), expected;
    long before = status_kib("VmLck:");
    fastalloc_pool *opened;

    both_begin(BOTH_DAEMON, &config);
    ck_assert_int_eq(status_kib("VmLck:"), before);
    fastalloc_pool_config_init(&expected);
    expected.advice = FASTALLOC_MLOCK | FASTALLOC_PREFAULT;
    require_ok(fastalloc_pool_open(both_client, "advised", &expected, &opened));
    ck_assert_int_ge(status_kib("VmLck:") - before, SLOTS * PAGE / 1024);
    require_ok(fastalloc_pool_close(opened));
    ck_assert_int_eq(status_kib("VmLck:"), before);
    both_end(BOTH_DAEMON);
}
END_TEST

/* ------------------------------------------------------------------ locking */

START_TEST(locked_pages_are_locked_and_those_that_grow_too)
{
    fastalloc_pool_config config = config_of(FASTALLOC_MLOCK);
    long before = status_kib("VmLck:");

    both_begin(_i, &config);
    ck_assert_int_ge(status_kib("VmLck:") - before, SLOTS * PAGE / 1024);
    ck_assert_int_lt(status_kib("VmLck:") - before, MORE * PAGE / 1024);
    require_ok(fastalloc_pool_grow(both_pool, MORE));
    ck_assert_int_ge(status_kib("VmLck:") - before, MORE * PAGE / 1024);
    both_end(_i);
    ck_assert_int_eq(status_kib("VmLck:"), before);
}
END_TEST

/* What a user without rights has, of the superuser's. */
static void limit_locking(rlim_t bytes)
{
    const struct rlimit limit = {bytes, bytes};

    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (geteuid() == 0)
        ck_assert_int_eq((int)syscall(SYS_setresuid, 65534, 65534, 65534), 0);
}

START_TEST(locking_more_than_is_allowed_is_refused_with_the_numbers)
{
    fastalloc_pool_config config = config_of(FASTALLOC_MLOCK);
    fastalloc_pool *pool = NULL;

    config.max_capacity = 0;
    limit_locking(65536);
    require_failure(fastalloc_pool_create_local(&config, &pool), FASTALLOC_E_LIMIT, "800", "64",
                    "RLIMIT_MEMLOCK", "ulimit -l");
    ck_assert_ptr_null(pool);
    config.advice = FASTALLOC_PREFAULT;
    require_ok(fastalloc_pool_create_local(&config, &pool));
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(locking_is_refused_to_who_may_not_at_all)
{
    fastalloc_pool_config config = config_of(FASTALLOC_MLOCK);
    fastalloc_pool *pool = NULL;

    limit_locking(0);
    require_failure(fastalloc_pool_create_local(&config, &pool), FASTALLOC_E_LIMIT,
                    "RLIMIT_MEMLOCK is 0 bytes");
    ck_assert_ptr_null(pool);
}
END_TEST

/* There is enough for the pool, and not for what it grows to: it grows, and says so. */
START_TEST(growing_beyond_what_may_be_locked_says_so)
{
    fastalloc_pool_config config = config_of(FASTALLOC_MLOCK);
    fastalloc_pool *pool;

    limit_locking((SLOTS + 200) * PAGE);
    require_ok(fastalloc_pool_create_local(&config, &pool));
    require_failure(fastalloc_pool_grow(pool, MORE), FASTALLOC_E_LIMIT, "slots 200 to 600",
                    "RLIMIT_MEMLOCK");
    ck_assert_uint_eq(api_info(pool).capacity, MORE);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

/* Of a pool that is not opened nothing stays behind. */
START_TEST(who_may_not_lock_does_not_attach)
{
    fastalloc_pool_config config = config_of(0), expected;
    fastalloc_pool *opened = NULL;
    const struct rlimit none = {0, 0};

    both_begin(BOTH_DAEMON, &config);
    fastalloc_pool_config_init(&expected);
    expected.advice = FASTALLOC_MLOCK;
    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    if (geteuid() == 0) /* CAP_IPC_LOCK goes with the effective user, who comes back */
        ck_assert_int_eq((int)syscall(SYS_setresuid, -1, 65534, 0), 0);
    require_failure(fastalloc_pool_open(both_client, "advised", &expected, &opened),
                    FASTALLOC_E_LIMIT, "\"advised\"", "RLIMIT_MEMLOCK");
    ck_assert_int_eq((int)syscall(SYS_setresuid, -1, getuid(), -1), 0);
    ck_assert_ptr_null(opened);
    ck_assert(api_sessions_become(both_pool, 1));
    both_end(BOTH_DAEMON);
}
END_TEST

START_TEST(huge_pages_are_had_or_not)
{
    fastalloc_pool_config config = config_of(FASTALLOC_HUGE_PAGES | FASTALLOC_PREFAULT);
    fastalloc_handle handle;

    config.capacity = 2000;
    config.max_capacity = 4000;
    both_begin(_i, &config);
    handle = api_alloc(both_pool);
    require_ok(fastalloc_pool_grow(both_pool, 4000));
    require_ok(fastalloc_free(both_pool, handle));
    api_require_whole(both_pool);
    both_end(_i);
}
END_TEST

/* Whether the kernel takes the request, of shared memory. */
static bool kernel_takes_huge_pages(void)
{
    size_t bytes = 4 << 20;
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool takes;

    ck_assert_ptr_ne(mapped, MAP_FAILED);
    takes = madvise(mapped, bytes, MADV_HUGEPAGE) == 0;
    munmap(mapped, bytes);
    return takes;
}

/* Where it does, the mapping is marked with it. */
START_TEST(huge_pages_are_asked_for)
{
    fastalloc_pool_config config = config_of(FASTALLOC_HUGE_PAGES);
    FILE *file;
    char line[400];
    bool takes = kernel_takes_huge_pages(), marked = false;

    require_ok(fastalloc_pool_create_local(&config, &both_pool));
    file = fopen("/proc/self/smaps", "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file))
        marked |= strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " hg");
    fclose(file);
    ck_assert_int_eq(marked, takes);
    require_ok(fastalloc_pool_close(both_pool));
}
END_TEST

/* ---------------------------------------------------------------- alignment */

START_TEST(each_slot_is_aligned_as_asked)
{
    static const size_t sizes[] = {1, 24, 65, 4095, 4097};
    size_t alignment;
    unsigned s, i;

    for (s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (alignment = 1; alignment <= PAGE; alignment *= 2) {
            fastalloc_pool_config config = api_config("aligned", sizes[s], 50);
            fastalloc_pool *pool;
            void *object;

            config.alignment = alignment;
            require_ok(fastalloc_pool_create_local(&config, &pool));
            ck_assert_uint_eq(api_info(pool).alignment, alignment);
            ck_assert_uint_eq(api_info(pool).stride % alignment, 0);
            ck_assert_uint_ge(api_info(pool).stride, sizes[s]);
            for (i = 0; i < 50; i++) {
                fastalloc_handle handle;

                require_ok(fastalloc_alloc(pool, &handle, &object));
                ck_assert_uint_eq((uintptr_t)object % alignment, 0);
            }
            require_ok(fastalloc_pool_close(pool));
        }
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {prefaulted_pages_are_present,
                                    nothing_beyond_the_capacity_is_asked_for,
                                    slots_that_grow_are_prefaulted_too,
                                    a_forked_child_follows_it_too,
                                    locked_pages_are_locked_and_those_that_grow_too,
                                    huge_pages_are_had_or_not,
                                    NULL};
    const TTest *const once[] = {a_child_that_goes_on_as_its_parent_follows_it_too,
                                 who_opens_a_pool_has_advice_of_its_own,
                                 locking_more_than_is_allowed_is_refused_with_the_numbers,
                                 locking_is_refused_to_who_may_not_at_all,
                                 growing_beyond_what_may_be_locked_says_so,
                                 who_may_not_lock_does_not_attach,
                                 huge_pages_are_asked_for,
                                 each_slot_is_aligned_as_asked,
                                 NULL};
    const char *sanitizers = getenv("FASTALLOC_TEST_SANITIZERS");

    if (sanitizers && *sanitizers) {
        fputs("sanitizers make nothing of mlock(), and page faults of their own\n", stderr);
        return 77;
    }

    return both_run("advice", of_both, once, 60);
}
