/* SPDX-License-Identifier: MIT
 *
 * pools: see pools.h.
 */
#include "pools.h"

#include "client/client.h"
#include "os/backing.h"
#include "text.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ----------------------------------------------------------------- listing */

static int by_name(const void *left, const void *right)
{
    const struct wire_pool *a = left, *b = right;
    int order = strcmp(a->spec.name, b->spec.name);

    return order ? order : a->serial < b->serial ? -1 : a->serial > b->serial;
}

/* Appends a page.  A daemon that sends what was asked not to be sent again would
 * keep us here for ever: serials have to rise. */
static int append_page(struct wire_pool **pools, size_t *count, const struct wire_reply *reply,
                       struct reason *why)
{
    size_t size = *count + reply->list.count, i;
    struct wire_pool *more = realloc(*pools, (size + 1) * sizeof *more);

    if (!more)
        return reason_set(why, FASTALLOC_E_NO_MEMORY, "no memory for a list of %zu pools", size);
    *pools = more;
    for (i = 0; i < reply->list.count; i++) {
        if (*count && reply->list.pools[i].serial <= more[*count - 1].serial)
            return reason_set(why, FASTALLOC_E_PROTOCOL,
                              "the daemon's list of pools is not in order");
        more[(*count)++] = reply->list.pools[i];
    }
    return 0;
}

int pools_list(fastalloc_client *client, struct wire_pool **pools, size_t *count,
               struct reason *why)
{
    struct wire_pool *all = NULL;
    struct wire_reply reply;
    size_t number = 0;
    int error;

    do {
        struct wire_request request = {.op = WIRE_LIST};

        request.list.after = number ? all[number - 1].serial : 0;
        error = client_request(client, &request, &reply, NULL, why);
        if (!error)
            error = append_page(&all, &number, &reply, why);
    } while (!error && reply.list.more && reply.list.count);
    if (error) {
        free(all);
        return error;
    }
    qsort(all, number, sizeof *all, by_name);
    *pools = all;
    *count = number;
    return 0;
}

const char *pools_lifetime(const struct wire_pool *pool)
{
    if (pool->destroyed)
        return "destroyed";
    return pool->spec.lifetime == FASTALLOC_PERSISTENT ? "persistent" : "until last detach";
}

char *pools_growth(const struct pool_spec *spec)
{
    if (spec->growth == FASTALLOC_GROWTH_LINEAR)
        return text_format("linear:%llu", (unsigned long long)spec->growth_amount);
    if (spec->growth == FASTALLOC_GROWTH_EXPONENTIAL)
        return text_format("exponential:%.15g", spec->growth_factor);
    return text_format("none");
}

char *pools_on_death(const struct pool_spec *spec)
{
    if (spec->on_death == FASTALLOC_QUARANTINE && spec->quarantine_ms)
        return text_format("quarantine:%u", spec->quarantine_ms);
    return text_format(spec->on_death == FASTALLOC_QUARANTINE ? "quarantine"
                       : spec->on_death == FASTALLOC_HEIR     ? "heir"
                                                              : "reclaim");
}

uint64_t pools_memory(const struct geometry *geometry, uint64_t capacity, uint64_t *metadata)
{
    struct extent extents[EXTENTS_MAX];
    uint64_t all = 0, beside = 0;
    unsigned i, count = geometry_extents(geometry, 0, capacity, extents);

    for (i = 0; i < count; i++) {
        all += extents[i].length;
        beside += extents[i].from < geometry->guard_at ? extents[i].length : 0;
    }
    if (metadata)
        *metadata = beside;
    return all;
}

/* ----------------------------------------------------------------- looking */

/* Memory that is looked at and was taken away reads as zero from then on, so that
 * whoever looks comes to his end; view_run() tells. */
static const char *volatile guard_from;
static volatile size_t guard_size;
static volatile sig_atomic_t guard_hit;

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t offset = (size_t)((uintptr_t)info->si_addr - (uintptr_t)guard_from);
    char *at = (char *)(uintptr_t)guard_from + offset / page * page;

    (void)context;
    guard_hit = 1;
    if (offset >= guard_size ||
        mmap(at, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
        signal(number, SIG_DFL);
}

int view_run(const struct view *view, void (*work)(void *argument), void *argument,
             struct reason *why)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO}, before;

    guard_hit = 0;
    guard_from = view->mapped;
    guard_size = view->size;
    sigaction(SIGBUS, &action, &before);
    work(argument);
    sigaction(SIGBUS, &before, NULL);
    guard_size = 0;
    return guard_hit ? reason_set(why, FASTALLOC_E_POISONED,
                                  "pool \"%s\": its shared memory was truncated by one of its "
                                  "users; destroy the pool and make it again",
                                  view->pool.spec.name)
                     : 0;
}

struct attaching {
    struct view *view;
    struct reason *why;
    int error;
};

static void attach(void *argument)
{
    struct attaching *attaching = argument;
    struct view *view = attaching->view;

    attaching->error =
        segment_attach(&view->segment, view->mapped, view->size, NULL, attaching->why);
    if (!attaching->error && shm_load(&view->segment.header->pool_id) != view->pool.pool_id)
        attaching->error = reason_set(attaching->why, FASTALLOC_E_POISONED,
                                      "pool \"%s\": its shared memory says it is another pool",
                                      view->pool.spec.name);
}

static int map(struct view *view, int descriptor, struct reason *why)
{
    struct attaching attaching = {view, why, 0};
    int error = backing_size(descriptor, &view->size, why);

    if (error)
        return error;
    if (view->size < sizeof(struct shm_header))
        return reason_set(why, FASTALLOC_E_POISONED,
                          "pool \"%s\": its shared memory was truncated to %llu bytes of %llu by "
                          "one of its users; destroy the pool and make it again",
                          view->pool.spec.name, (unsigned long long)view->size,
                          (unsigned long long)view->pool.bytes);
    error = backing_map(descriptor, view->size, false, NULL, 0, &view->mapped, why);
    if (error)
        return error;
    error = view_run(view, attach, &attaching, why);
    if (!error)
        error = attaching.error;
    if (error)
        backing_unmap(view->mapped, view->size);
    return error;
}

int view_open(struct view *view, fastalloc_client *client, const char *name, struct reason *why)
{
    struct wire_request request = {.op = WIRE_STAT};
    struct wire_reply reply;
    int descriptor = -1, error;

    strcpy(request.stat.name, name);
    error = client_request(client, &request, &reply, &descriptor, why);
    if (error)
        return error;
    if (descriptor < 0)
        return reason_set(why, FASTALLOC_E_PROTOCOL, "the daemon sent no descriptor of pool \"%s\"",
                          name);
    memset(view, 0, sizeof *view);
    view->pool = reply.stat;
    error = map(view, descriptor, why);
    close(descriptor);
    return error;
}

void view_close(struct view *view)
{
    backing_unmap(view->mapped, view->size);
}
