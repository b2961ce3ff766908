/* SPDX-License-Identifier: MIT
 *
 * user: see user.h.
 */
#include "user.h"

#include "os/backing.h"

#include <check.h>
#include <fastalloc/fastalloc.h>
#include <unistd.h>

struct test_daemon daemon_;
struct wire_reply reply;

void user_start(void)
{
    test_daemon_start(&daemon_, NULL);
}

void user_stop(void)
{
    test_daemon_stop(&daemon_);
}

void user_map(struct user *user, int descriptor)
{
    ck_assert_msg(descriptor >= 0, "%d %s", reply.error, reply.message);
    user->attached = reply;
    ck_assert_int_eq(
        backing_map(descriptor, reply.attached.bytes, true, NULL, 0, &user->mapped, NULL), 0);
    ck_assert_int_eq(segment_attach(&user->segment, user->mapped, reply.attached.bytes, NULL, NULL),
                     0);
    close(descriptor);
}

void user_attach(struct user *user, const char *name)
{
    user->socket = raw_client(daemon_.socket);
    user_map(user, raw_open(user->socket, name, &reply));
}

void user_create(struct user *user, const struct pool_spec *spec)
{
    user->socket = raw_client(daemon_.socket);
    user_map(user, raw_create(user->socket, spec, &reply));
}

void user_leave(struct user *user)
{
    backing_unmap(user->mapped, user->attached.attached.bytes);
    ck_assert_int_eq(raw_close(user->socket, &user->attached), 0);
    close(user->socket);
}

struct pool_spec user_growing(uint64_t capacity, uint64_t most, double factor)
{
    struct pool_spec spec = raw_spec("orders", 64, capacity);

    spec.max_capacity = most;
    spec.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    spec.growth_factor = factor;
    return spec;
}

int64_t user_step(struct user *user, uint64_t from, uint64_t increment)
{
    return raw_grow(user->socket, &user->attached, 0, from, increment, &reply);
}

uint64_t user_filled(const struct user *user)
{
    struct wire_reply answer;
    int segment = raw_stat(user->socket, "orders", &answer);
    uint64_t bytes;

    ck_assert_int_ge(segment, 0);
    ck_assert_int_eq(backing_filled(segment, &bytes, NULL), 0);
    close(segment);
    return bytes;
}

static bool has_capacity(void *argument)
{
    const struct user_expected *expected = argument;

    return segment_capacity(&expected->user->segment) == (uint64_t)expected->number;
}

bool user_capacity_becomes(const struct user *user, int64_t capacity)
{
    return test_eventually(has_capacity, &(struct user_expected){user, capacity});
}

static bool has_sessions(void *argument)
{
    const struct user_expected *expected = argument;

    return raw_sessions(expected->user->socket, "orders") == expected->number;
}

bool user_sessions_become(const struct user *user, int64_t sessions)
{
    return test_eventually(has_sessions, &(struct user_expected){user, sessions});
}
