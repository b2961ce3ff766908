/* SPDX-License-Identifier: MIT
 *
 * desk: see desk.h.
 */
#include "desk.h"

#include "os/fence.h"
#include "server/guard.h"

#include <check.h>
#include <fastalloc/fastalloc.h>
#include <string.h>
#include <unistd.h>

struct test_daemon place;
struct registry registry;
struct client client, other;
struct request_result result;

void desk_greet(struct client *who, uint32_t uid)
{
    memset(who, 0, sizeof *who);
    who->peer.pid = (uint32_t)getpid();
    who->peer.uid = uid;
    who->peer.gid = uid;
    who->greeted = true;
}

static void desk_open_registry(void)
{
    struct reason why = {0, ""};

    ck_assert_msg(registry_open(&registry, place.socket, place.prefix, &why) == 0, "%s", why.text);
}

void desk_set_up(void)
{
    guard_install();
    test_daemon_prepare(&place, NULL);
    desk_open_registry();
    desk_greet(&client, 1000);
    desk_greet(&other, 2000);
}

void desk_tear_down(void)
{
    registry_close(&registry, true);
    test_daemon_stop(&place);
}

void desk_restart(void)
{
    struct pool *pool;

    while ((pool = registry.pools))
        registry_drop(&registry, pool);
    close(registry.store.directory);
    desk_greet(&client, 1000);
    desk_open_registry();
}

/* ------------------------------------------------------------------- requests */

void desk_build(struct client *who)
{
    struct reason why = {0, ""};
    int error;

    if (result.next != REQUEST_BUILD)
        return;
    error = pool_build(result.pool, &registry.store, registry.prefix, &why);
    request_built(&registry, who, result.pool, error, &why, &result);
}

void desk_release(void)
{
    if (result.next != REQUEST_RELEASE)
        return;
    pool_release(result.pool);
    registry_drop(&registry, result.pool);
}

int desk_handle(struct client *who, const struct wire_request *request)
{
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_request(request, bytes);

    request_handle(&registry, who, bytes, length, 0, &result);
    desk_build(who);
    desk_release();
    ck_assert_uint_eq(result.reply.id, request->id);
    ck_assert_int_eq(result.reply.op, request->op);
    return result.reply.error;
}

struct pool_spec desk_spec_of(const char *name)
{
    struct pool_spec spec;

    memset(&spec, 0, sizeof spec);
    strcpy(spec.name, name);
    spec.object_size = 64;
    spec.capacity = 1000;
    return spec;
}

int desk_create_as(struct client *who, const struct pool_spec *spec)
{
    struct wire_request request = {.id = 1, .op = WIRE_CREATE, .create = *spec};

    return desk_handle(who, &request);
}

int desk_create(const char *name)
{
    struct pool_spec spec = desk_spec_of(name);

    return desk_create_as(&client, &spec);
}

int desk_open_as(struct client *who, const char *name)
{
    struct wire_request request = {.id = 2, .op = WIRE_OPEN};

    strcpy(request.open.expected.name, name);
    return desk_handle(who, &request);
}

int desk_close_as(struct client *who, const struct wire_reply *attached)
{
    struct wire_request request = {.id = 3, .op = WIRE_CLOSE};

    request.close.pool_id = attached->attached.pool_id;
    request.close.session = attached->attached.session;
    request.close.nonce = attached->attached.nonce;
    return desk_handle(who, &request);
}

int desk_destroy_as(struct client *who, const char *name)
{
    struct wire_request request = {.id = 4, .op = WIRE_DESTROY};

    strcpy(request.destroy.name, name);
    return desk_handle(who, &request);
}

int desk_descriptor(void)
{
    int taken = result.descriptor;

    ck_assert_int_ge(taken, 0);
    result.descriptor = -1;
    return taken;
}

void desk_sweep(struct pool *pool, uint32_t number)
{
    struct death death = {number, false, 0};

    ck_assert_int_eq(fence_is_open(pool->descriptor, number), 1);
    ck_assert_int_eq(pool_sweep(pool, &death, 1), 0);
    registry_forget(&registry, pool, &death, 1);
}

void desk_leave(struct pool *pool)
{
    registry_retire(&registry, pool);
    pool_release(pool);
    registry_drop(&registry, pool);
}
