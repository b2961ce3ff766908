/* SPDX-License-Identifier: MIT
 *
 * custom_initialization: objects that are made once and used many times.
 *
 * A scanner finds any of a set of characters; for that it has a table, which takes a while
 * to make and is the same for ever.  So `initialize` makes it once for each slot, `reset`
 * clears only what one user leaves behind, and the two hooks keep count.
 *
 * 1. lazy: a slot is initialised before it is first allocated
 * 2. eager: all are, before the pool is there
 * 3. a user who is killed releases nothing: the next one is told, and can mend
 * 4. a function that refuses
 */
#include "example.h"

#include <string.h>

#define CAPACITY 16

struct scanner {
    unsigned char is_space[256]; /* made by initialize, never changed */
    uint32_t words;              /* of this use: cleared by reset */
    uint32_t journal_open;       /* between acquire and release */
};
FASTALLOC_DEFINE_POOL(scanners, struct scanner);

/* How often each function has run in this process. */
static struct calls {
    int initialize, reset, acquire, release, mended;
    int refuse; /* the next `initialize` is to say no, with this number */
} calls;

static int make_table(fastalloc_pool *pool, fastalloc_handle handle, void *object, uint32_t flags,
                      void *argument)
{
    struct scanner *scanner = object;
    struct calls *counts = argument;
    const char *c;

    (void)pool, (void)handle, (void)flags;
    if (counts->refuse)
        return counts->refuse;
    memset(scanner, 0, sizeof *scanner);
    for (c = " \t\n\v\f\r"; *c; c++)
        scanner->is_space[(unsigned char)*c] = 1;
    counts->initialize++;
    return 0;
}

static int clear(fastalloc_pool *pool, fastalloc_handle handle, void *object, uint32_t flags,
                 void *argument)
{
    (void)pool, (void)handle, (void)flags;
    ((struct scanner *)object)->words = 0;
    ((struct calls *)argument)->reset++;
    return 0;
}

static int open_journal(fastalloc_pool *pool, fastalloc_handle handle, void *object, uint32_t flags,
                        void *argument)
{
    struct scanner *scanner = object;
    struct calls *counts = argument;

    (void)pool, (void)handle;
    /* No close_journal() has run if, and only if, the last user never freed it. */
    expect(scanner->journal_open == ((flags & FASTALLOC_RECLAIMED) != 0));
    counts->mended += (flags & FASTALLOC_RECLAIMED) != 0;
    scanner->journal_open = 1;
    counts->acquire++;
    return 0;
}

static void close_journal(fastalloc_pool *pool, fastalloc_handle handle, void *object,
                          void *argument)
{
    (void)pool, (void)handle;
    ((struct scanner *)object)->journal_open = 0;
    ((struct calls *)argument)->release++;
}

static int create(scanners_pool *pool, uint32_t initialization)
{
    fastalloc_pool_config config;

    calls = (struct calls){0};
    fastalloc_pool_config_init(&config);
    config.name = "scanners";
    config.capacity = CAPACITY;
    config.initialization = initialization;
    config.initialize = make_table;
    config.reset = clear;
    config.on_acquire = open_journal;
    config.on_release = close_journal;
    config.hook_argument = &calls;
    return scanners_create_local(&config, pool);
}

/* Counts the words of a text, with a scanner of the pool's. */
static uint32_t words_in(scanners_pool pool, const char *text)
{
    scanners_handle handle;
    struct scanner *scanner;
    uint32_t words;
    int inside = 0;

    ok(scanners_alloc(pool, &handle, &scanner));
    expect(scanner->words == 0);
    for (; *text; text++) {
        int space = scanner->is_space[(unsigned char)*text];

        scanner->words += !space && !inside;
        inside = !space;
    }
    words = scanner->words;
    ok(scanners_free(pool, handle));
    return words;
}

static void show(const char *when)
{
    printf("%-34s initialize %2d  reset %2d  on_acquire %2d  on_release %2d\n", when,
           calls.initialize, calls.reset, calls.acquire, calls.release);
}

static void take_all(scanners_pool pool, scanners_handle *handles)
{
    int i;

    for (i = 0; i < CAPACITY; i++)
        ok(scanners_alloc(pool, &handles[i], NULL));
}

static void give_all(scanners_pool pool, const scanners_handle *handles)
{
    int i;

    for (i = 0; i < CAPACITY; i++)
        ok(scanners_free(pool, handles[i]));
}

static void be_lazy(void)
{
    scanners_handle handles[CAPACITY];
    scanners_pool pool;
    int i;

    ok(create(&pool, FASTALLOC_INIT_LAZY));
    show("lazy: the pool is there");
    expect(calls.initialize == 0);
    for (i = 0; i < 10; i++)
        expect(words_in(pool, "one table\tserves\nfor ever") == 5);
    show("  after ten uses, one by one");
    expect(calls.initialize + calls.reset == 10 && calls.acquire == 10 && calls.release == 10);
    take_all(pool, handles);
    show("  all taken at once");
    expect(calls.initialize == CAPACITY);
    give_all(pool, handles);
    expect(calls.acquire == 10 + CAPACITY && calls.release == calls.acquire);
    ok(scanners_close(&pool));
}

static void be_eager(void)
{
    scanners_pool pool;

    ok(create(&pool, FASTALLOC_INIT_EAGER));
    show("eager: the pool is there");
    expect(calls.initialize == CAPACITY && calls.acquire == 0 && calls.release == 0);
    expect(words_in(pool, "no wait") == 2);
    show("  after one use");
    expect(calls.initialize == CAPACITY && calls.reset == 0 && calls.acquire == 1);
    ok(scanners_close(&pool));
}

/* A child takes three scanners, and is killed in the middle of using them. */
static void die_in_use(void)
{
    scanners_handle handles[CAPACITY];
    scanners_pool pool;
    int ends[2], i;
    char ready;
    pid_t child;

    ok(create(&pool, FASTALLOC_INIT_LAZY));
    expect(pipe(ends) == 0);
    child = example_fork();
    if (child == 0) {
        for (i = 0; i < 3; i++)
            ok(scanners_alloc(pool, &handles[i], NULL));
        expect(write(ends[1], "!", 1) == 1);
        for (;;)
            pause();
    }
    expect(read(ends[0], &ready, 1) == 1);
    example_kill(child);
    close(ends[0]);
    close(ends[1]);
    take_all(pool, handles);
    show("killed with three in its hands");
    printf("  %d of %d came from one who never released them, and were mended\n", calls.mended,
           CAPACITY);
    expect(calls.mended == 3 && calls.initialize == CAPACITY - 3 && calls.reset == 3);
    give_all(pool, handles);
    ok(scanners_close(&pool));
}

static void refuse(void)
{
    scanners_pool pool;
    scanners_handle handle;
    int error;

    ok(create(&pool, FASTALLOC_INIT_LAZY));
    calls.refuse = 42;
    error = scanners_alloc(pool, &handle, NULL);
    printf("refused: %s: %s\n", fastalloc_error_name(error), fastalloc_last_error());
    expect(error == FASTALLOC_E_HOOK && fastalloc_pool_is_empty(pool.pool));
    calls.refuse = 0;
    expect(words_in(pool, "it works again") == 3);
    ok(scanners_close(&pool));
}

int main(void)
{
    be_lazy();
    be_eager();
    die_in_use();
    refuse();
    return 0;
}
