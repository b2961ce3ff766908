/* SPDX-License-Identifier: MIT
 *
 * check_registry: pools, sessions and requests of the daemon without its loop: requests
 * go in as bytes, what takes long is done at once.
 */
#include "os/fence.h"
#include "server/guard.h"
#include "server/jobs.h"
#include "server/request.h"
#include "shm/session.h"
#include "tests/support/daemon.h"

#include <check.h>
#include <dirent.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct test_daemon place; /* never run: its directory and prefix */
static struct registry registry;
static struct client client, other;
static struct request_result result;

static void greet(struct client *who, uint32_t uid)
{
    memset(who, 0, sizeof *who);
    who->peer.pid = (uint32_t)getpid();
    who->peer.uid = uid;
    who->peer.gid = uid;
    who->greeted = true;
}

static void open_registry(void)
{
    struct reason why = {0, ""};

    ck_assert_msg(registry_open(&registry, place.socket, place.prefix, &why) == 0, "%s", why.text);
}

static void set_up(void)
{
    guard_install();
    test_daemon_prepare(&place, NULL);
    open_registry();
    greet(&client, 1000);
    greet(&other, 2000);
}

static void tear_down(void)
{
    registry_close(&registry, true);
    test_daemon_stop(&place);
}

/* As a daemon that dies and one that starts: nothing is removed on the way. */
static void restart(void)
{
    struct pool *pool;

    while ((pool = registry.pools))
        registry_drop(&registry, pool);
    close(registry.store.directory);
    greet(&client, 1000);
    open_registry();
}

/* ------------------------------------------------------------------- requests */

static void build(struct client *who)
{
    struct reason why = {0, ""};
    int error;

    if (result.next != REQUEST_BUILD)
        return;
    error = pool_build(result.pool, &registry.store, registry.prefix, &why);
    request_built(&registry, who, result.pool, error, &why, &result);
}

static void release(void)
{
    if (result.next != REQUEST_RELEASE)
        return;
    pool_release(result.pool);
    registry_drop(&registry, result.pool);
}

static int handle(struct client *who, const struct wire_request *request)
{
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_request(request, bytes);

    request_handle(&registry, who, bytes, length, 0, &result);
    build(who);
    release();
    ck_assert_uint_eq(result.reply.id, request->id);
    ck_assert_int_eq(result.reply.op, request->op);
    return result.reply.error;
}

static struct pool_spec spec_of(const char *name)
{
    struct pool_spec spec;

    memset(&spec, 0, sizeof spec);
    strcpy(spec.name, name);
    spec.object_size = 64;
    spec.capacity = 1000;
    return spec;
}

static int create_as(struct client *who, const struct pool_spec *spec)
{
    struct wire_request request = {.id = 1, .op = WIRE_CREATE, .create = *spec};

    return handle(who, &request);
}

static int create(const char *name)
{
    struct pool_spec spec = spec_of(name);

    return create_as(&client, &spec);
}

static int open_as(struct client *who, const char *name)
{
    struct wire_request request = {.id = 2, .op = WIRE_OPEN};

    strcpy(request.open.expected.name, name);
    return handle(who, &request);
}

static int close_as(struct client *who, const struct wire_reply *attached)
{
    struct wire_request request = {.id = 3, .op = WIRE_CLOSE};

    request.close.pool_id = attached->attached.pool_id;
    request.close.session = attached->attached.session;
    request.close.nonce = attached->attached.nonce;
    return handle(who, &request);
}

static int destroy_as(struct client *who, const char *name)
{
    struct wire_request request = {.id = 4, .op = WIRE_DESTROY};

    strcpy(request.destroy.name, name);
    return handle(who, &request);
}

/* Takes the result's descriptor. */
static int descriptor(void)
{
    int taken = result.descriptor;

    ck_assert_int_ge(taken, 0);
    result.descriptor = -1;
    return taken;
}

/* What the sweeper does for a suspect whose fence is open. */
static void sweep(struct pool *pool, uint32_t number)
{
    ck_assert_int_eq(fence_is_open(pool->descriptor, number), 1);
    ck_assert_int_eq(pool_sweep(pool, &number, 1), 0);
    registry_forget(&registry, pool, &number, 1);
}

static void leave(struct pool *pool)
{
    registry_retire(&registry, pool);
    pool_release(pool);
    registry_drop(&registry, pool);
}

/* ------------------------------------------------------------ create, open, ... */

START_TEST(a_created_pool_is_attached_and_found)
{
    struct pool *pool;
    struct stat status;
    int made;

    ck_assert_int_eq(create("orders"), 0);
    made = descriptor();
    pool = registry_find(&registry, "orders");
    ck_assert_ptr_nonnull(pool);
    ck_assert_ptr_eq(registry_find_id(&registry, result.reply.attached.pool_id), pool);
    ck_assert_int_eq(fstat(made, &status), 0);
    ck_assert_uint_eq((uint64_t)status.st_size, result.reply.attached.bytes);
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
    ck_assert_uint_ge((uint64_t)status.st_blocks * 512, result.reply.attached.bytes);
    ck_assert_uint_eq(test_daemon_segments(&place), 1);
    ck_assert_int_eq(fence_is_open(pool->descriptor, result.reply.attached.session), 0);
    ck_assert_int_eq(session_state(&pool->segment, result.reply.attached.session), SESSION_LIVE);
    close(made);
    ck_assert_int_eq(fence_is_open(pool->descriptor, result.reply.attached.session), 1);
}
END_TEST

START_TEST(bad_creations_are_refused_each_with_its_code)
{
    static const struct {
        const char *name;
        uint64_t size, alignment, capacity;
        int code;
    } cases[] = {
        {"", 64, 0, 10, FASTALLOC_E_NAME},
        {"a/b", 64, 0, 10, FASTALLOC_E_NAME},
        {"..", 64, 0, 10, FASTALLOC_E_NAME},
        {"new\nline", 64, 0, 10, FASTALLOC_E_NAME},
        {"\xff\xfe", 64, 0, 10, FASTALLOC_E_NAME},
        {"p", 0, 0, 10, FASTALLOC_E_SIZE},
        {"p", 64, 0, 0, FASTALLOC_E_CAPACITY},
        {"p", UINT64_MAX / 2, 0, 4, FASTALLOC_E_OVERFLOW},
        {"p", UINT64_C(1) << 40, 0, 1000, FASTALLOC_E_LIMIT},
        {"p", 64, 3, 10, FASTALLOC_E_ALIGNMENT},
        {"p", 64, 8192, 10, FASTALLOC_E_ALIGNMENT},
    };
    struct pool_spec spec;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        spec = spec_of(cases[i].name);
        spec.object_size = cases[i].size;
        spec.alignment = cases[i].alignment;
        spec.capacity = cases[i].capacity;
        ck_assert_msg(create_as(&client, &spec) == cases[i].code, "case %zu: %d %s", i,
                      result.reply.error, result.reply.message);
        ck_assert_int_ne(result.reply.message[0], 0);
        ck_assert(!result.hang_up);
        ck_assert_int_eq(result.descriptor, -1);
    }
    spec = spec_of("p");
    spec.flags = 1;
    ck_assert_int_lt(create_as(&client, &spec), 0);
    ck_assert_ptr_null(registry.pools);
    ck_assert_uint_eq(test_daemon_segments(&place), 0);
}
END_TEST

START_TEST(a_pool_that_exists_is_not_created_again)
{
    ck_assert_int_eq(create("orders"), 0);
    close(descriptor());
    ck_assert_int_eq(create("orders"), FASTALLOC_E_EXISTS);
    ck_assert_str_eq(result.reply.message,
                     "pool \"orders\" exists already, created by uid 1000 with 1000 slots of 64 "
                     "bytes: open it, or destroy it first");
    ck_assert_uint_eq(test_daemon_segments(&place), 1);
}
END_TEST

START_TEST(what_does_not_fit_leaves_nothing)
{
    struct pool_spec spec = spec_of("huge");
    DIR *directory;
    struct dirent *entry;

    spec.object_size = UINT64_C(1) << 30;
    spec.capacity = 1000;
    ck_assert_int_eq(create_as(&client, &spec), FASTALLOC_E_NO_MEMORY);
    ck_assert_ptr_nonnull(strstr(result.reply.message, "pool \"huge\""));
    ck_assert_ptr_nonnull(strstr(result.reply.message, "needs "));
    ck_assert_ptr_null(registry.pools);
    ck_assert_uint_eq(test_daemon_segments(&place), 0);
    directory = opendir(registry.store.path);
    while ((entry = readdir(directory)))
        ck_assert_int_eq(entry->d_name[0], '.');
    closedir(directory);
    /* The name is free. */
    ck_assert_int_eq(create("huge"), 0);
    close(descriptor());
}
END_TEST

START_TEST(a_pool_under_construction_has_its_name_but_cannot_be_opened)
{
    struct wire_request request = {.id = 1, .op = WIRE_CREATE, .create = spec_of("slow")};
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_request(&request, bytes);
    struct request_result building;

    request_handle(&registry, &client, bytes, length, 0, &building);
    ck_assert_int_eq(building.next, REQUEST_BUILD);
    ck_assert_int_eq(open_as(&client, "slow"), FASTALLOC_E_BUSY);
    ck_assert_ptr_nonnull(strstr(result.reply.message, "just being created"));
    ck_assert_int_eq(create("slow"), FASTALLOC_E_EXISTS);
    ck_assert_int_eq(destroy_as(&client, "slow"), FASTALLOC_E_BUSY);
    /* Its creator goes away meanwhile: no pool comes of it. */
    result = building;
    build(NULL);
    ck_assert_int_eq(result.next, REQUEST_RELEASE);
    release();
    ck_assert_ptr_null(registry.pools);
    ck_assert_uint_eq(test_daemon_segments(&place), 0);
}
END_TEST

START_TEST(opening_checks_what_the_client_expects)
{
    struct wire_request request = {.id = 7, .op = WIRE_OPEN};
    struct pool_spec spec = spec_of("orders");

    strcpy(spec.type_name, "order");
    spec.type_version = 2;
    ck_assert_int_eq(create_as(&client, &spec), 0);
    close(descriptor());
    request.open.expected = spec;
    request.open.expected.capacity = 0;
    ck_assert_int_eq(handle(&client, &request), 0);
    close(descriptor());
    strcpy(request.open.expected.type_name, "invoice");
    ck_assert_int_eq(handle(&client, &request), FASTALLOC_E_TYPE);
    request.open.expected = spec;
    request.open.expected.object_size = 65;
    ck_assert_int_eq(handle(&client, &request), FASTALLOC_E_TYPE_SIZE);
    request.open.expected = spec;
    request.open.expected.type_version = 3;
    ck_assert_int_eq(handle(&client, &request), FASTALLOC_E_TYPE_VERSION);
    ck_assert_int_eq(open_as(&client, "none"), FASTALLOC_E_NOT_FOUND);
    ck_assert_int_eq(open_as(&client, ""), FASTALLOC_E_NAME);
}
END_TEST

START_TEST(the_mode_decides_who_may_open)
{
    struct pool_spec spec = spec_of("orders");
    gid_t groups[] = {5, 1000};
    struct client root;

    ck_assert_int_eq(create_as(&client, &spec), 0);
    close(descriptor());
    ck_assert_int_eq(open_as(&other, "orders"), FASTALLOC_E_PERMISSION);
    greet(&root, 0);
    ck_assert_int_eq(open_as(&root, "orders"), 0);
    close(descriptor());
    strcpy(spec.name, "group");
    spec.mode = 0660;
    ck_assert_int_eq(create_as(&client, &spec), 0);
    close(descriptor());
    ck_assert_int_eq(open_as(&other, "group"), FASTALLOC_E_PERMISSION);
    other.peer.groups = groups;
    other.peer.group_count = 2;
    ck_assert_int_eq(open_as(&other, "group"), 0);
    close(descriptor());
    strcpy(spec.name, "group readers");
    spec.mode = 0640;
    ck_assert_int_eq(create_as(&client, &spec), 0);
    close(descriptor());
    ck_assert_int_eq(open_as(&other, "group readers"), FASTALLOC_E_PERMISSION);
    /* Who is in the group has the group's bits, not the others'. */
    strcpy(spec.name, "others");
    spec.mode = 0606;
    ck_assert_int_eq(create_as(&client, &spec), 0);
    close(descriptor());
    ck_assert_int_eq(open_as(&other, "others"), FASTALLOC_E_PERMISSION);
    other.peer.group_count = 0;
    ck_assert_int_eq(open_as(&other, "others"), 0);
    close(descriptor());
    strcpy(spec.name, "readers");
    spec.mode = 0644;
    ck_assert_int_eq(create_as(&client, &spec), 0);
    close(descriptor());
    ck_assert_int_eq(open_as(&other, "readers"), FASTALLOC_E_PERMISSION);
    ck_assert_int_eq(destroy_as(&other, "others"), FASTALLOC_E_PERMISSION);
    registry_suspect_client(&registry, &root, 0);
}
END_TEST

/* -------------------------------------------------------------------- sessions */

START_TEST(the_last_close_ends_a_pool_that_is_not_persistent)
{
    struct wire_reply first, second;
    struct pool *pool;

    ck_assert_int_eq(create("orders"), 0);
    close(descriptor());
    first = result.reply;
    ck_assert_int_eq(open_as(&client, "orders"), 0);
    close(descriptor());
    second = result.reply;
    ck_assert_uint_ne(first.attached.session, second.attached.session);
    pool = registry_find(&registry, "orders");

    ck_assert_int_eq(close_as(&client, &first), 0);
    ck_assert_int_eq(result.next, REQUEST_SWEEP);
    ck_assert_ptr_eq(registry.suspects, result.session);
    sweep(pool, first.attached.session);
    ck_assert_int_eq(session_state(&pool->segment, first.attached.session), SESSION_FREE);
    ck_assert(!registry_is_over(pool));
    ck_assert_int_eq(close_as(&client, &second), 0);
    ck_assert(!registry_is_over(pool));
    sweep(pool, second.attached.session);
    ck_assert_ptr_null(registry.suspects);
    ck_assert(registry_is_over(pool));
    leave(pool);
    ck_assert_uint_eq(test_daemon_segments(&place), 0);
}
END_TEST

START_TEST(only_ones_own_session_can_be_closed)
{
    struct wire_reply attached;

    ck_assert_int_eq(create("orders"), 0);
    close(descriptor());
    attached = result.reply;
    ck_assert_int_eq(close_as(&other, &attached), FASTALLOC_E_SESSION);
    attached.attached.nonce++;
    ck_assert_int_eq(close_as(&client, &attached), FASTALLOC_E_SESSION);
    attached.attached.nonce--;
    attached.attached.session++;
    ck_assert_int_eq(close_as(&client, &attached), FASTALLOC_E_SESSION);
    attached.attached.session--;
    attached.attached.pool_id++;
    ck_assert_int_eq(close_as(&client, &attached), FASTALLOC_E_SESSION);
    attached.attached.pool_id--;
    ck_assert_int_eq(close_as(&client, &attached), 0);
    ck_assert_int_eq(close_as(&client, &attached), FASTALLOC_E_SESSION);
}
END_TEST

START_TEST(session_numbers_go_round_and_are_limited)
{
    struct pool_spec spec = spec_of("small");
    struct wire_reply first;
    struct pool *pool;
    uint32_t i;

    spec.max_sessions = 4;
    ck_assert_int_eq(create_as(&client, &spec), 0);
    close(descriptor());
    first = result.reply;
    pool = registry_find(&registry, "small");
    for (i = 1; i < 4; i++) {
        ck_assert_int_eq(open_as(&client, "small"), 0);
        ck_assert_uint_eq(result.reply.attached.session, first.attached.session + i);
        close(descriptor());
        if (i == 1) {
            ck_assert_int_eq(close_as(&client, &first), 0);
            sweep(pool, first.attached.session);
        }
    }
    /* Only now the one that was swept first is given out again. */
    ck_assert_int_eq(open_as(&client, "small"), 0);
    ck_assert_uint_eq(result.reply.attached.session, first.attached.session);
    ck_assert_uint_ne(result.reply.attached.nonce, first.attached.nonce);
    close(descriptor());
    ck_assert_int_eq(open_as(&client, "small"), FASTALLOC_E_TOO_MANY);
    ck_assert_ptr_nonnull(strstr(result.reply.message, "4 of 4 sessions"));
    ck_assert_uint_eq(pool_session_count(pool), 4);
}
END_TEST

START_TEST(a_number_is_not_reused_while_a_gift_to_it_is_under_way)
{
    struct pool_spec spec = spec_of("gift");
    struct wire_reply first;
    struct pool *pool;

    spec.max_sessions = 2;
    ck_assert_int_eq(create_as(&client, &spec), 0);
    close(descriptor());
    first = result.reply;
    pool = registry_find(&registry, "gift");
    ck_assert_int_eq(open_as(&client, "gift"), 0);
    close(descriptor());
    pool->segment.sessions[result.reply.attached.session].intents[0] = first.attached.session;
    ck_assert_int_eq(close_as(&client, &first), 0);
    sweep(pool, first.attached.session);
    ck_assert_int_eq(open_as(&client, "gift"), FASTALLOC_E_TOO_MANY);
    pool->segment.sessions[result.reply.attached.session].intents[0] = 0;
    memset(pool->segment.sessions[2].intents, 0, sizeof pool->segment.sessions[2].intents);
    memset(pool->segment.sessions[1].intents, 0, sizeof pool->segment.sessions[1].intents);
    ck_assert_int_eq(open_as(&client, "gift"), 0);
    ck_assert_uint_eq(result.reply.attached.session, first.attached.session);
    close(descriptor());
}
END_TEST

/* ----------------------------------------------------------- destroy, list, stat */

START_TEST(destroying_frees_the_name_at_once_and_the_memory_later)
{
    struct wire_reply attached;
    struct pool *old;

    ck_assert_int_eq(create("orders"), 0);
    close(descriptor());
    attached = result.reply;
    old = registry_find(&registry, "orders");
    ck_assert_int_eq(destroy_as(&client, "orders"), 0);
    ck_assert_int_eq(result.next, REQUEST_ANSWER);
    ck_assert_uint_eq(segment_state(&old->segment), POOL_DESTROYED);
    ck_assert_int_eq(open_as(&client, "orders"), FASTALLOC_E_NOT_FOUND);
    ck_assert_int_eq(destroy_as(&client, "orders"), FASTALLOC_E_NOT_FOUND);
    ck_assert_int_eq(create("orders"), 0);
    close(descriptor());
    ck_assert_ptr_ne(registry_find(&registry, "orders"), old);
    ck_assert_uint_eq(test_daemon_segments(&place), 2);
    ck_assert_int_eq(close_as(&client, &attached), 0);
    sweep(old, attached.attached.session);
    ck_assert(registry_is_over(old));
    leave(old);
    ck_assert_ptr_nonnull(registry_find(&registry, "orders"));
    ck_assert_uint_eq(test_daemon_segments(&place), 1);
}
END_TEST

START_TEST(a_persistent_pool_stays_until_destroyed)
{
    struct pool_spec spec = spec_of("kept");
    struct wire_reply attached;
    struct pool *pool;

    spec.lifetime = FASTALLOC_PERSISTENT;
    ck_assert_int_eq(create_as(&client, &spec), 0);
    close(descriptor());
    attached = result.reply;
    pool = registry_find(&registry, "kept");
    ck_assert_int_eq(close_as(&client, &attached), 0);
    sweep(pool, attached.attached.session);
    ck_assert(!registry_is_over(pool));
    ck_assert_int_eq(destroy_as(&client, "kept"), 0);
    ck_assert_int_eq(result.next, REQUEST_RELEASE);
    ck_assert_ptr_null(registry.pools);
    ck_assert_uint_eq(test_daemon_segments(&place), 0);
}
END_TEST

START_TEST(a_listing_shows_what_the_caller_may_use)
{
    struct wire_request request = {.id = 1, .op = WIRE_LIST};
    struct client root;
    char name[20];
    unsigned i, seen = 0;

    for (i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "pool %u", i);
        ck_assert_int_eq(create_as(i % 2 ? &other : &client, &(struct pool_spec){0}),
                         FASTALLOC_E_NAME);
        struct pool_spec spec = spec_of(name);

        ck_assert_int_eq(create_as(i % 2 ? &other : &client, &spec), 0);
        close(descriptor());
    }
    greet(&root, 0);
    do {
        ck_assert_int_eq(handle(&root, &request), 0);
        for (i = 0; i < result.reply.list.count; i++) {
            snprintf(name, sizeof name, "pool %u", seen++);
            ck_assert_str_eq(result.reply.list.pools[i].spec.name, name);
            ck_assert_uint_eq(result.reply.list.pools[i].sessions, 1);
            request.list.after = result.reply.list.pools[i].serial;
        }
    } while (result.reply.list.more);
    ck_assert_uint_eq(seen, 20);
    request.list.after = 0;
    ck_assert_int_eq(handle(&client, &request), 0);
    ck_assert_uint_eq(result.reply.list.count, WIRE_LIST_MAX);
    ck_assert(result.reply.list.more);
    for (i = 0; i < result.reply.list.count; i++)
        ck_assert_uint_eq(result.reply.list.pools[i].uid, 1000);
    request.list.after = result.reply.list.pools[7].serial;
    ck_assert_int_eq(handle(&client, &request), 0);
    ck_assert_uint_eq(result.reply.list.count, 2);
    ck_assert(!result.reply.list.more);
}
END_TEST

START_TEST(stat_gives_a_read_only_descriptor)
{
    struct wire_request request = {.id = 1, .op = WIRE_STAT};
    int got;

    ck_assert_int_eq(create("orders"), 0);
    close(descriptor());
    strcpy(request.stat.name, "orders");
    ck_assert_int_eq(handle(&client, &request), 0);
    got = descriptor();
    ck_assert_int_eq(fcntl(got, F_GETFL) & O_ACCMODE, O_RDONLY);
    close(got);
    ck_assert_uint_eq(result.reply.stat.spec.max_threads, SPEC_THREADS_DEFAULT);
    ck_assert_uint_eq(result.reply.stat.sessions, 1);
    ck_assert_int_eq(handle(&other, &request), FASTALLOC_E_PERMISSION);
    ck_assert_int_eq(result.descriptor, -1);
}
END_TEST

START_TEST(one_uid_cannot_take_everything)
{
    char name[20];
    unsigned i;

    for (i = 0; i < LIMIT_POOLS_PER_UID; i++) {
        snprintf(name, sizeof name, "pool %u", i);
        ck_assert_int_eq(create(name), 0);
        close(descriptor());
    }
    ck_assert_int_eq(create("one more"), FASTALLOC_E_TOO_MANY);
    ck_assert_ptr_nonnull(strstr(result.reply.message, "256 pools"));
    ck_assert_int_eq(create_as(&other, &(struct pool_spec){.name = "theirs",
                                                           .object_size = 8,
                                                           .capacity = 8}),
                     0);
    close(descriptor());
}
END_TEST

/* -------------------------------------------------------------------- protocol */

START_TEST(violations_of_the_protocol_end_the_connection)
{
    struct wire_request hello = {.id = 5, .op = WIRE_HELLO}, list = {.id = 6, .op = WIRE_LIST};
    struct client fresh;
    uint8_t bytes[WIRE_MAX];
    size_t length;

    greet(&fresh, 1);
    fresh.greeted = false;
    ck_assert_int_eq(handle(&fresh, &list), FASTALLOC_E_PROTOCOL);
    ck_assert(result.hang_up);
    ck_assert_int_eq(handle(&fresh, &hello), 0);
    ck_assert(!result.hang_up);
    ck_assert_int_eq(handle(&fresh, &list), 0);
    ck_assert_int_eq(handle(&fresh, &hello), FASTALLOC_E_PROTOCOL);
    ck_assert(result.hang_up);

    length = wire_pack_request(&list, bytes);
    bytes[1] = 9;
    request_handle(&registry, &fresh, bytes, length, 0, &result);
    ck_assert_int_eq(result.reply.error, FASTALLOC_E_VERSION);
    ck_assert_uint_eq(result.reply.id, 6);
    ck_assert(result.hang_up);
    request_handle(&registry, &fresh, (const uint8_t *)"hello", 5, 0, &result);
    ck_assert_int_eq(result.reply.error, FASTALLOC_E_PROTOCOL);
    ck_assert(result.hang_up);
}
END_TEST

/* ------------------------------------------------------------------- restarting */

START_TEST(a_restarted_daemon_takes_up_its_pools_with_their_sessions)
{
    struct pool_spec spec = spec_of("kept");
    struct wire_reply attached;
    struct pool *pool;
    struct session *session;
    int held;

    spec.lifetime = FASTALLOC_PERSISTENT;
    spec.mode = 0660;
    ck_assert_int_eq(create_as(&client, &spec), 0);
    held = descriptor();
    attached = result.reply;
    restart();
    pool = registry_find(&registry, "kept");
    ck_assert_ptr_nonnull(pool);
    ck_assert_uint_eq(pool->pool_id, attached.attached.pool_id);
    ck_assert_uint_eq(pool->uid, 1000);
    ck_assert_uint_eq(pool->spec.mode, 0660);
    session = pool_find_session(pool, attached.attached.session);
    ck_assert_ptr_nonnull(session);
    ck_assert_uint_eq(session->nonce, attached.attached.nonce);
    ck_assert_ptr_eq(registry.suspects, session);
    ck_assert_int_eq(fence_is_open(pool->descriptor, session->number), 0);
    ck_assert_int_eq(open_as(&client, "kept"), 0);
    ck_assert_uint_ne(result.reply.attached.session, attached.attached.session);
    close(descriptor());
    close(held);
    sweep(pool, attached.attached.session);
    ck_assert_int_eq(create("new"), 0);
    close(descriptor());
    ck_assert_uint_gt(registry_find(&registry, "new")->serial, pool->serial);
}
END_TEST

START_TEST(a_destroyed_pool_stays_destroyed_over_a_restart)
{
    int held;

    ck_assert_int_eq(create("orders"), 0);
    held = descriptor();
    ck_assert_int_eq(destroy_as(&client, "orders"), 0);
    restart();
    ck_assert_ptr_null(registry_find(&registry, "orders"));
    ck_assert_ptr_nonnull(registry.pools);
    ck_assert(registry.pools->destroyed);
    ck_assert_int_eq(create("orders"), 0);
    close(descriptor());
    close(held);
}
END_TEST

/* Each damages the segment of a pool, whose descriptor it gets. */
static void truncate_it(int segment)
{
    ck_assert_int_eq(ftruncate(segment, 4096), 0);
}

static void grow_it(int segment)
{
    struct stat status;

    fstat(segment, &status);
    ck_assert_int_eq(ftruncate(segment, status.st_size + 4096), 0);
}

static void spoil_magic(int segment)
{
    ck_assert_int_eq(pwrite(segment, "nonsense", 8, offsetof(struct shm_header, magic)), 8);
}

static void spoil_id(int segment)
{
    ck_assert_int_eq(pwrite(segment, "nonsense", 8, offsetof(struct shm_header, pool_id)), 8);
}

static void remove_it(int segment)
{
    (void)segment;
    shm_unlink(registry.pools->segment_name);
}

static void (*const damages[])(int segment) = {truncate_it, grow_it, spoil_magic, spoil_id,
                                               remove_it};

START_TEST(a_segment_that_does_not_fit_its_manifest_is_removed)
{
    int held;

    ck_assert_int_eq(create("orders"), 0);
    held = descriptor();
    damages[_i](held);
    restart();
    ck_assert_ptr_null(registry.pools);
    ck_assert_uint_eq(test_daemon_segments(&place), 0);
    ck_assert_int_eq(create("orders"), 0);
    close(descriptor());
    close(held);
}
END_TEST

START_TEST(geometry_comes_from_the_manifest_and_not_from_the_segment)
{
    uint64_t lie = UINT64_MAX;
    uint32_t big = UINT32_MAX;
    struct pool *pool;
    int held;

    ck_assert_int_eq(create("orders"), 0);
    held = descriptor();
    ck_assert_int_eq(pwrite(held, &lie, 8, offsetof(struct shm_header, max_capacity)), 8);
    ck_assert_int_eq(pwrite(held, &lie, 8, offsetof(struct shm_header, total)), 8);
    ck_assert_int_eq(pwrite(held, &big, 4, offsetof(struct shm_header, max_sessions)), 4);
    restart();
    pool = registry_find(&registry, "orders");
    ck_assert_ptr_nonnull(pool);
    ck_assert_uint_eq(pool->geometry.max_capacity, 1000);
    close(held);
    sweep(pool, result.reply.attached.session);
}
END_TEST

/* ------------------------------------------------------------------ under attack */

START_TEST(a_truncated_pool_is_damaged_and_ends_like_others)
{
    struct wire_reply attached;
    struct pool *pool;
    uint32_t number;
    int held;

    ck_assert_int_eq(create("orders"), 0);
    held = descriptor();
    attached = result.reply;
    pool = registry_find(&registry, "orders");
    ck_assert_int_eq(ftruncate(held, _i ? (off_t)attached.attached.bytes / 2 : 0), 0);
    ck_assert_int_eq(open_as(&client, "orders"), FASTALLOC_E_POISONED);
    ck_assert(pool->damaged);
    close(held);
    ck_assert_int_eq(close_as(&client, &attached), 0);
    number = attached.attached.session;
    ck_assert_int_eq(pool_sweep(pool, &number, 1), FASTALLOC_E_POISONED);
    registry_forget(&registry, pool, &number, 1);
    ck_assert(registry_is_over(pool));
    leave(pool);
    ck_assert_uint_eq(test_daemon_segments(&place), 0);
}
END_TEST

struct touch {
    volatile char *at;
    bool done;
};

static void touch_it(void *argument)
{
    struct touch *touch = argument;

    *touch->at = 1;
    touch->done = true;
}

START_TEST(touching_what_was_taken_away_ends_the_work_and_not_the_daemon)
{
    struct touch touch = {NULL, false};
    void *mapped;
    int made, i;

    ck_assert_int_eq(backing_create_nameless("guard", 8192, &made, NULL), 0);
    close(made);
    made = memfd_create("guard", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(made, 8192), 0);
    ck_assert_int_eq(backing_map(made, 8192, true, NULL, 0, &mapped, NULL), 0);
    touch.at = (char *)mapped + 5000;
    ck_assert(guard_run(touch_it, &touch, mapped, 8192));
    ck_assert(touch.done);
    ck_assert_int_eq(ftruncate(made, 0), 0);
    for (i = 0; i < 3; i++) {
        touch.done = false;
        ck_assert(!guard_run(touch_it, &touch, mapped, 8192));
        ck_assert(!touch.done);
    }
    backing_unmap(mapped, 8192);
    close(made);
}
END_TEST

START_TEST(a_bus_error_elsewhere_still_ends_the_process)
{
    struct touch touch = {NULL, false};
    void *mapped;
    int made = memfd_create("guard", MFD_CLOEXEC);

    ck_assert_int_eq(ftruncate(made, 8192), 0);
    ck_assert_int_eq(backing_map(made, 8192, true, NULL, 0, &mapped, NULL), 0);
    ck_assert_int_eq(ftruncate(made, 0), 0);
    touch.at = (char *)mapped + 5000;
    guard_run(touch_it, &touch, mapped, 4096);
}
END_TEST

START_TEST(somebody_elses_role_postpones_the_sweep)
{
    struct wire_reply attached;
    struct pool *pool;
    uint32_t number;
    int thief;

    ck_assert_int_eq(create("orders"), 0);
    close(descriptor());
    attached = result.reply;
    number = attached.attached.session;
    pool = registry_find(&registry, "orders");
    ck_assert(pool->has_role);
    fence_drop_role(pool->descriptor);
    pool->has_role = false;
    ck_assert_int_eq(backing_reopen(pool->descriptor, true, &thief, NULL), 0);
    ck_assert_int_eq(fence_take_role(thief), 0);
    ck_assert_int_eq(pool_sweep(pool, &number, 1), FASTALLOC_E_BUSY);
    ck_assert_int_eq(session_state(&pool->segment, number), SESSION_LIVE);
    close(thief);
    ck_assert_int_eq(pool_sweep(pool, &number, 1), 0);
}
END_TEST

START_TEST(a_pool_with_too_many_locks_is_damaged)
{
    struct flock lock = {.l_type = F_RDLCK, .l_start = 1 << 20, .l_len = (off_t)1 << 40};
    struct pool *pool;
    uint32_t second;
    int held, other_one, i;

    ck_assert_int_eq(create("orders"), 0);
    held = descriptor();
    ck_assert_int_eq(open_as(&client, "orders"), 0);
    second = result.reply.attached.session;
    other_one = descriptor();
    pool = registry_find(&registry, "orders");
    ck_assert_int_eq(fcntl(held, F_OFD_SETLK, &lock), 0);
    lock.l_type = F_UNLCK;
    lock.l_start = lock.l_len;
    lock.l_len = 1;
    ck_assert_int_eq(pool_look(pool, second), 0);
    ck_assert(!pool->crowded && !pool->damaged);
    /* Each of these leaves one lock more; how many are too many is up to the machine. */
    for (i = 1; i <= 1000000 && !pool->damaged; i++, lock.l_start -= 2) {
        ck_assert_int_eq(fcntl(held, F_OFD_SETLK, &lock), 0);
        if (i % 50000 == 0)
            ck_assert_int_eq(pool_look(pool, second), 0);
    }
    ck_assert(pool->crowded && pool->damaged);
    ck_assert_uint_eq(segment_state(&pool->segment), POOL_POISONED);
    ck_assert_int_eq(open_as(&client, "orders"), FASTALLOC_E_POISONED);
    close(held);
    ck_assert_int_eq(pool_look(pool, second), 0);
    ck_assert(!pool->crowded);
    close(other_one);
}
END_TEST

/* Workers that touch memory taken from them wait in here until it is back. */
static sem_t memory_is_back;

static void wait_for_memory(int number)
{
    (void)number;
    while (sem_wait(&memory_is_back) < 0)
        ;
    sem_post(&memory_is_back);
}

static void on_patience(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void protect_all(struct pool *const *pools, unsigned count, int protection)
{
    unsigned i;

    for (i = 0; i < count; i++)
        mprotect(pools[i]->mapped, pools[i]->geometry.guard_at, protection);
}

START_TEST(sweeps_that_take_long_leave_a_worker_for_builds)
{
    enum { SWEPT = 6 };
    static const struct options options; /* all off */
    struct wire_request request = {.id = 1, .op = WIRE_CREATE, .create = spec_of("new")};
    struct pool *pools[SWEPT];
    struct server server = {.options = &options};
    struct pool_spec spec = spec_of("swept 0");
    uint8_t bytes[WIRE_MAX];
    uv_timer_t patience;
    unsigned i;

    spec.lifetime = FASTALLOC_PERSISTENT;
    for (i = 0; i < SWEPT; i++, spec.name[6]++) {
        ck_assert_int_eq(create_as(&client, &spec), 0);
        close(descriptor());
        pools[i] = registry_find(&registry, spec.name);
    }
    registry_suspect_client(&registry, &client, 0);
    request_handle(&registry, &client, bytes, wire_pack_request(&request, bytes), 0, &result);
    ck_assert_int_eq(result.next, REQUEST_BUILD);

    uv_loop_init(&server.loop);
    uv_timer_init(&server.loop, &patience);
    server.registry = registry;
    sem_init(&memory_is_back, 0, 0);
    signal(SIGSEGV, wait_for_memory);
    protect_all(pools, SWEPT, PROT_NONE);
    for (i = 0; i < SWEPT; i++)
        jobs_sweep(&server, pools[i], &pools[i]->sessions->number, 1);
    jobs_build(&server, result.pool);
    /* Nobody waits for the new pool, so that it is built and, behind the sweeps, released. */
    uv_timer_start(&patience, on_patience, 500, 0);
    uv_run(&server.loop, UV_RUN_DEFAULT);
    i = result.pool->phase == PHASE_LEAVING;

    protect_all(pools, SWEPT, PROT_READ | PROT_WRITE);
    sem_post(&memory_is_back);
    uv_close((uv_handle_t *)&patience, NULL);
    uv_run(&server.loop, UV_RUN_DEFAULT);
    signal(SIGSEGV, SIG_DFL);
    registry = server.registry;
    ck_assert_msg(i, "the pool was not built while others were swept");
    ck_assert_uint_eq(server.jobs, 0);
    ck_assert_ptr_null(registry.suspects);
    for (i = 0; i < SWEPT; i++)
        ck_assert_uint_eq(pool_session_count(pools[i]), 0);
    ck_assert_ptr_null(registry_find(&registry, "new"));
    uv_loop_close(&server.loop);
    uv_library_shutdown();
}
END_TEST

START_TEST(what_is_no_manifest_is_put_aside_and_the_start_goes_on)
{
    int held;

    ck_assert_int_eq(create("orders"), 0);
    held = descriptor();
    ck_assert_int_eq(mkfifoat(registry.store.directory, "0123456789abcdef.pool", 0600), 0);
    restart();
    ck_assert_int_eq(unlinkat(registry.store.directory, "0123456789abcdef.pool.bad", 0), 0);
    ck_assert_ptr_nonnull(registry_find(&registry, "orders"));
    close(held);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("registry");
    TCase *pools = tcase_create("pools"), *restarts = tcase_create("restart");
    TCase *attacks = tcase_create("attacks"), *deadly = tcase_create("deadly");

    tcase_add_checked_fixture(pools, set_up, tear_down);
    tcase_set_timeout(pools, 30);
    tcase_add_test(pools, a_created_pool_is_attached_and_found);
    tcase_add_test(pools, bad_creations_are_refused_each_with_its_code);
    tcase_add_test(pools, a_pool_that_exists_is_not_created_again);
    tcase_add_test(pools, what_does_not_fit_leaves_nothing);
    tcase_add_test(pools, a_pool_under_construction_has_its_name_but_cannot_be_opened);
    tcase_add_test(pools, opening_checks_what_the_client_expects);
    tcase_add_test(pools, the_mode_decides_who_may_open);
    tcase_add_test(pools, the_last_close_ends_a_pool_that_is_not_persistent);
    tcase_add_test(pools, only_ones_own_session_can_be_closed);
    tcase_add_test(pools, session_numbers_go_round_and_are_limited);
    tcase_add_test(pools, a_number_is_not_reused_while_a_gift_to_it_is_under_way);
    tcase_add_test(pools, destroying_frees_the_name_at_once_and_the_memory_later);
    tcase_add_test(pools, a_persistent_pool_stays_until_destroyed);
    tcase_add_test(pools, a_listing_shows_what_the_caller_may_use);
    tcase_add_test(pools, stat_gives_a_read_only_descriptor);
    tcase_add_test(pools, one_uid_cannot_take_everything);
    tcase_add_test(pools, violations_of_the_protocol_end_the_connection);
    suite_add_tcase(suite, pools);

    tcase_add_checked_fixture(restarts, set_up, tear_down);
    tcase_add_test(restarts, a_restarted_daemon_takes_up_its_pools_with_their_sessions);
    tcase_add_test(restarts, a_destroyed_pool_stays_destroyed_over_a_restart);
    tcase_add_test(restarts, what_is_no_manifest_is_put_aside_and_the_start_goes_on);
    tcase_add_loop_test(restarts, a_segment_that_does_not_fit_its_manifest_is_removed, 0, 5);
    tcase_add_test(restarts, geometry_comes_from_the_manifest_and_not_from_the_segment);
    suite_add_tcase(suite, restarts);

    tcase_add_checked_fixture(attacks, set_up, tear_down);
    tcase_set_timeout(attacks, 20);
    tcase_add_loop_test(attacks, a_truncated_pool_is_damaged_and_ends_like_others, 0, 2);
    tcase_add_test(attacks, touching_what_was_taken_away_ends_the_work_and_not_the_daemon);
    tcase_add_test(attacks, somebody_elses_role_postpones_the_sweep);
    tcase_add_test(attacks, a_pool_with_too_many_locks_is_damaged);
    tcase_add_test(attacks, sweeps_that_take_long_leave_a_worker_for_builds);
    suite_add_tcase(suite, attacks);

    tcase_add_checked_fixture(deadly, guard_install, NULL);
    tcase_add_test_raise_signal(deadly, a_bus_error_elsewhere_still_ends_the_process, SIGBUS);
    suite_add_tcase(suite, deadly);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(make_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
