/* SPDX-License-Identifier: MIT
 *
 * basic_usage: the life of a pool, in seven steps.
 *
 * Notes are written on slots of a pool.  A note is known by its handle, which is a number
 * and no pointer: it means the same note in every process, and once the note is freed it
 * means none, however often the slot is used again.
 *
 *     basic_usage
 *
 * The sixth step starts the program again, as `basic_usage second NAME HANDLE`, to be a
 * process that has nothing in common with the first but the pool's name.
 */
#include "example.h"

#include <inttypes.h>
#include <string.h>

#define CAPACITY 8

struct note {
    uint32_t read_by; /* a process, or 0 */
    char text[60];
};
FASTALLOC_DEFINE_POOL(notes, struct note);

static fastalloc_client *client;
static notes_pool pool;

static size_t in_use(void)
{
    return fastalloc_pool_allocated(pool.pool);
}

static void create(void)
{
    fastalloc_pool_config config;
    char name[64];

    client = example_connect();
    snprintf(name, sizeof name, "basic_usage-%d", (int)getpid());
    fastalloc_pool_config_init(&config);
    config.name = name;
    config.capacity = CAPACITY;
    ok(notes_create(client, &config, &pool));
    printf("1. a pool: \"%s\", %zu notes of %zu bytes\n", name, fastalloc_pool_capacity(pool.pool),
           sizeof(struct note));
}

static void use_one(void)
{
    char text[FASTALLOC_HANDLE_TEXT];
    notes_handle handle;
    struct note *note;
    int error;

    ok(notes_alloc(pool, &handle, &note));
    strcpy(note->text, "buy milk");
    printf("2. a note: handle %s, \"%s\"\n", fastalloc_handle_text(pool.pool, handle.value, text),
           notes_get(pool, handle)->text);

    ok(notes_free(pool, handle));
    expect(notes_get(pool, handle) == NULL);
    error = notes_free(pool, handle);
    expect(error == FASTALLOC_E_DOUBLE_FREE);
    printf("3. freed: its handle leads nowhere, and cannot be freed again\n"
           "   %s: %s\n",
           fastalloc_error_name(error), fastalloc_last_error());
}

static void use_all(void)
{
    notes_handle handles[CAPACITY], one_more;
    int error, i;

    for (i = 0; i < CAPACITY; i++)
        ok(notes_alloc(pool, &handles[i], NULL));
    error = notes_alloc(pool, &one_more, NULL);
    expect(error == FASTALLOC_E_EXHAUSTED);
    printf("4. exhausted: all %zu are in use\n   %s: %s\n", in_use(), fastalloc_error_name(error),
           fastalloc_last_error());

    /* Any one that is freed, by whomever, is there for the next. */
    ok(notes_free(pool, handles[3]));
    ok(notes_alloc(pool, &handles[3], NULL));
    for (i = 0; i < CAPACITY; i++)
        ok(notes_free(pool, handles[i]));
    expect(in_use() == 0);
}

static void use_within_a_scope(void)
{
    {
        FASTALLOC_AUTO fastalloc_owned draft = fastalloc_own(pool.pool);

        ok(draft.error);
        printf("5. a draft, as long as its variable: %zu in use, ", in_use());
    }
    printf("then %zu\n", in_use());
    expect(in_use() == 0);
}

/* The second process: opens the pool by its name, and answers the note. */
static int second(const char *name, const char *number)
{
    notes_handle handle = {strtoull(number, NULL, 16)};
    struct note *note;

    client = example_connect();
    ok(notes_open(client, name, &pool)); /* fails if notes were of another size there */
    note = notes_get(pool, handle);
    expect(note != NULL);
    printf("6. another process reads: \"%s\"\n", note->text);

    /* The note is this process's from here on: it would go with it.  It outlives this
     * process because it is left to whoever comes. */
    ok(notes_adopt(pool, handle));
    strcpy(note->text, "it is cold");
    note->read_by = (uint32_t)getpid();
    ok(notes_leave(pool, handle, FASTALLOC_FOREVER));
    fastalloc_disconnect(client);
    return 0;
}

static void pass_on(const char *program)
{
    fastalloc_pool_info info = {.struct_size = sizeof info};
    char number[17];
    notes_handle handle;
    struct note *note;
    pid_t child;

    ok(fastalloc_pool_get_info(pool.pool, &info));
    ok(notes_alloc(pool, &handle, &note));
    strcpy(note->text, "how is the sea?");
    note->read_by = 0;
    snprintf(number, sizeof number, "%" PRIx64, handle.value);
    child = example_fork();
    if (child == 0) {
        execl("/proc/self/exe", program, "second", info.name, number, (char *)NULL);
        _exit(127);
    }
    example_join(child);
    expect(note->read_by == (uint32_t)child);
    printf("   and has answered: \"%s\"\n", note->text);
    ok(notes_adopt(pool, handle));
    ok(notes_free(pool, handle));
}

int main(int argc, char **argv)
{
    if (argc == 4)
        return second(argv[2], argv[3]);
    create();
    use_one();
    use_all();
    use_within_a_scope();
    pass_on(argv[0]);
    printf("7. the end: %zu of %zu in use\n", in_use(), fastalloc_pool_capacity(pool.pool));
    expect(fastalloc_pool_is_empty(pool.pool));
    ok(notes_close(&pool)); /* its last user: the pool goes, too */
    fastalloc_disconnect(client);
    return 0;
}
