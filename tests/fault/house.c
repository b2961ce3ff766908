/* SPDX-License-Identifier: MIT
 *
 * house: see house.h.
 */
#include "house.h"
#include "tallied.h"

#include "os/fence.h"
#include "server/guard.h"
#include "server/log.h"
#include "shm/check.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/survey.h"
#include "tests/support/pool.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

/* ------------------------------------------------------------------- requests */

static void answer(struct house *house)
{
    struct reason why = {0, ""};
    int error;

    if (house->result.next == REQUEST_BUILD) {
        error =
            pool_build(house->result.pool, &house->registry.store, house->registry.prefix, &why);
        request_built(&house->registry, &house->client, house->result.pool, error, &why,
                      &house->result);
    }
    if (house->result.next == REQUEST_RELEASE) {
        pool_release(house->result.pool);
        registry_drop(&house->registry, house->result.pool);
    }
}

static int request(struct house *house, const struct wire_request *request)
{
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_request(request, bytes);

    request_handle(&house->registry, &house->client, bytes, length, 0, &house->result);
    answer(house);
    return house->result.reply.error;
}

struct pool_spec house_spec(const char *name)
{
    struct pool_spec spec;

    memset(&spec, 0, sizeof spec);
    strcpy(spec.name, name);
    spec.object_size = 64;
    spec.capacity = HOUSE_SLOTS;
    spec.max_threads = 8;
    spec.max_sessions = 8;
    return spec;
}

int house_create(struct house *house, const struct pool_spec *spec)
{
    struct wire_request asked = {.id = 1, .op = WIRE_CREATE, .create = *spec};

    return request(house, &asked);
}

int house_open(struct house *house, const char *name)
{
    struct wire_request asked = {.id = 2, .op = WIRE_OPEN};

    strcpy(asked.open.expected.name, name);
    return request(house, &asked);
}

int house_close(struct house *house, const struct guest *guest)
{
    struct wire_request asked = {.id = 3, .op = WIRE_CLOSE};

    asked.close.pool_id = guest->attached.attached.pool_id;
    asked.close.session = guest->attached.attached.session;
    asked.close.nonce = guest->attached.attached.nonce;
    return request(house, &asked);
}

int house_destroy(struct house *house, const char *name)
{
    struct wire_request asked = {.id = 4, .op = WIRE_DESTROY};

    strcpy(asked.destroy.name, name);
    return request(house, &asked);
}

static struct actor actor_of(struct segment *segment, uint32_t session)
{
    return (struct actor){
        .session = session,
        .cache = cache_claim(segment, session, session),
        .depot = session % segment->geometry.depots,
        .turn = session,
    };
}

int house_grow(struct house *house, const char *name, uint64_t capacity)
{
    struct pool *pool = registry_find(&house->registry, name);
    struct reason why;
    int error = pool_reserve(pool, capacity, &why);

    if (error)
        return error;
    pool->capacity = capacity;
    if (pool->reserved < capacity)
        pool->reserved = capacity;
    error = pool_save(pool, &house->registry.store, &why);
    return error ? error : pool_publish(pool);
}

int house_shrink(struct house *house, const char *name, uint64_t target)
{
    struct pool *pool = registry_find(&house->registry, name);
    struct reason why;
    int error = pool_retreat(pool, target, &pool->capacity);

    if (!error)
        error = pool_save(pool, &house->registry.store, &why);
    if (!error)
        pool_give_back(pool);
    return error;
}

/* --------------------------------------------------------------------- guests */

struct guest *house_seat(struct house *house, uint64_t slots)
{
    struct guest *guest = &house->guests[house->guest_count++];
    uint64_t bytes = house->result.reply.attached.bytes, index, word;
    struct reason why = {0, ""};
    void *base;

    TEST_REQUIRE(house->guest_count <= GUESTS_MAX && house->result.descriptor >= 0,
                 "nobody attached: %s", house->result.reply.message);
    guest->descriptor = house->result.descriptor;
    guest->attached = house->result.reply;
    guest->here = true;
    base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, guest->descriptor, 0);
    TEST_REQUIRE(base != MAP_FAILED, "no memory");
    TEST_REQUIRE(segment_attach(&guest->segment, base, bytes, NULL, &why) == 0, "%s", why.text);
    guest->actor = actor_of(&guest->segment, guest->attached.attached.session);
    for (guest->held = 0; guest->held < slots; guest->held++)
        TEST_REQUIRE(
            supply_alloc(&guest->segment, &guest->actor, SUPPLY_PATIENCE_US, &index, &word) == 0,
            "a guest gets no slot");
    return guest;
}

void house_unseat(struct house *house, struct guest *guest)
{
    (void)house;
    if (!guest->here)
        return;
    munmap(guest->segment.base, guest->segment.geometry.total);
    close(guest->descriptor);
    guest->here = false;
    guest->held = 0;
}

/* ----------------------------------------------------------- what the loop does */

void house_sweep(struct house *house)
{
    struct registry *registry = &house->registry;
    struct session *session, *next_session;
    struct pool *pool, *next_pool;
    uint64_t expired;
    bool later;

    DL_FOREACH_SAFE(registry->suspects, session, next_session)
    {
        struct death death = {session->number, session->closed, session->noticed};

        pool = session->pool;
        /* Not pool_look(), which takes one who is single-stepped for a crowded pool. */
        if (fence_is_open(pool->descriptor, death.number) == 1 && pool_sweep(pool, &death, 1) == 0)
            registry_forget(registry, pool, &death, 1);
    }
    DL_FOREACH_SAFE(registry->pools, pool, next_pool)
    {
        if (pool_expires(pool, &later))
            pool_expire(pool, &expired);
        if (!registry_is_over(pool))
            continue;
        registry_retire(registry, pool);
        pool_release(pool);
        registry_drop(registry, pool);
    }
}

static bool open_registry(struct house *house, struct reason *why)
{
    memset(&house->client, 0, sizeof house->client);
    house->client.peer.pid = (uint32_t)getpid();
    house->client.peer.uid = 1000;
    house->client.peer.gid = 1000;
    house->client.greeted = true;
    return registry_open(&house->registry, house->place.socket, house->place.prefix, why) == 0;
}

/* As a daemon that is gone without a word. */
static void vanish(struct house *house)
{
    while (house->registry.pools)
        registry_drop(&house->registry, house->registry.pools);
    close(house->registry.store.directory);
    memset(&house->registry, 0, sizeof house->registry);
    memset(&house->client, 0, sizeof house->client);
}

/* --------------------------------------------------------------------- judging */

static unsigned count_files(const char *path, const char *suffix)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    unsigned count = 0;

    while (directory && (entry = readdir(directory))) {
        size_t length = strlen(entry->d_name), rest = strlen(suffix);

        count += entry->d_name[0] != '.' && length >= rest &&
                 strcmp(entry->d_name + length - rest, suffix) == 0;
    }
    if (directory)
        closedir(directory);
    return count;
}

/* Neither more nor less on disk and in /dev/shm than what the registry has. */
static void judge_names(struct house *house, struct crash_verdict *verdict)
{
    unsigned pools = 0, segments = test_daemon_segments(&house->place);
    const struct pool *pool;

    DL_FOREACH(house->registry.pools, pool)
    pools++;
    if (segments != pools)
        crash_find(verdict, "%u segments of %u pools in /dev/shm", segments, pools);
    if (count_files(house->registry.store.path, ".pool") != pools)
        crash_find(verdict, "%u manifests of %u pools",
                   count_files(house->registry.store.path, ".pool"), pools);
    if (count_files(house->registry.store.path, "") != pools)
        crash_find(verdict, "other files among the manifests");
}

static uint64_t pages_of(const struct extent *extents, unsigned count, uint64_t below,
                         uint64_t above, uint8_t *pages)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), added = 0, at;
    unsigned i;

    for (i = 0; i < count; i++)
        for (at = extents[i].from / page; at * page < extents[i].from + extents[i].length; at++)
            if (extents[i].from < below && extents[i].from >= above && !pages[at]) {
                pages[at] = 1;
                added++;
            }
    return added;
}

/* Bytes that a pool is to have: whole pages of the metadata for as many slots as it ever had,
 * and of objects for as many as it has now. */
static uint64_t wanted_bytes(const struct pool *pool)
{
    const struct geometry *geometry = &pool->geometry;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), wanted;
    uint8_t *pages = calloc(geometry->total / page + 1, 1);
    struct extent extents[EXTENTS_MAX];
    unsigned count;

    TEST_REQUIRE(pages, "no memory");
    count = geometry_extents(geometry, 0, pool->reserved, extents);
    wanted = pages_of(extents, count, geometry->guard_at, 0, pages);
    count = geometry_extents(geometry, 0, pool->capacity, extents);
    wanted += pages_of(extents, count, UINT64_MAX, geometry->guard_at, pages);
    free(pages);
    return wanted * page;
}

static void judge_memory(struct pool *pool, struct crash_verdict *verdict)
{
    uint64_t wanted = wanted_bytes(pool), has;
    struct stat status;

    TEST_REQUIRE(fstat(pool->descriptor, &status) == 0, "fstat fails");
    has = (uint64_t)status.st_blocks * 512;
    if (has != wanted)
        crash_find(verdict, "pool \"%s\" has %llu bytes of memory, not %llu", pool->spec.name,
                   (unsigned long long)has, (unsigned long long)wanted);
    if (segment_capacity(&pool->segment) != pool->capacity)
        crash_find(verdict, "pool \"%s\" has %llu slots, its manifest %llu", pool->spec.name,
                   (unsigned long long)segment_capacity(&pool->segment),
                   (unsigned long long)pool->capacity);
}

static void judge_slots(struct house *house, struct pool *pool, struct crash_verdict *verdict)
{
    uint64_t held = 0, has, drained = 0, index, word, capacity = segment_capacity(&pool->segment);
    struct check_report report;
    struct survey survey;
    struct actor actor;
    unsigned g;
    size_t i;

    for (g = 0; g < house->guest_count; g++)
        held +=
            house->guests[g].attached.attached.pool_id == pool->pool_id ? house->guests[g].held : 0;
    TEST_REQUIRE(check_confirm(&pool->segment, 1, 0, &report) == 0, "no memory");
    for (i = 0; i < report.count; i++)
        crash_find(verdict, "pool \"%s\": %s", pool->spec.name, report.findings[i].text);
    tallied_judge(&pool->segment, 0, verdict);
    survey_slots(&pool->segment, &survey, NULL);
    has = survey.live + survey.anyone + survey.shared + survey.quarantined;
    if (has < held || has > held + house->operation->may_keep)
        crash_find(verdict, "%llu slots are in somebody's hands, not %llu", (unsigned long long)has,
                   (unsigned long long)held);
    held = has;
    if (pool->destroyed)
        return;
    if (house_open(house, pool->spec.name)) {
        crash_find(verdict, "nobody can attach: %s", house->result.reply.message);
        return;
    }
    actor = actor_of(&pool->segment, house->result.reply.attached.session);
    while (supply_alloc(&pool->segment, &actor, SUPPLY_PATIENCE_US, &index, &word) == 0)
        drained++;
    if (drained + held < capacity)
        verdict->lost += capacity - drained - held;
    if (drained + held > capacity)
        verdict->doubled += drained + held - capacity;
    for (index = 0; index < pool->geometry.max_capacity; index++)
        if (slot_owner_of(pool->segment.words[index]) == actor.session)
            supply_free(&pool->segment, &actor, index, pool->segment.words[index]);
    TEST_REQUIRE(check_confirm(&pool->segment, 1, 0, &report) == 0, "no memory");
    for (i = 0; i < report.count; i++)
        crash_find(verdict, "pool \"%s\", used: %s", pool->spec.name, report.findings[i].text);
}

static void judge(void *argument, struct crash_verdict *verdict)
{
    struct house *house = argument;
    struct reason why = {0, ""};
    struct pool *pool;

    if (!open_registry(house, &why)) {
        crash_find(verdict, "the next daemon does not start: %s", why.text);
        return;
    }
    house_sweep(house);
    judge_names(house, verdict);
    house->operation->expect(house, verdict);
    DL_FOREACH(house->registry.pools, pool)
    {
        judge_memory(pool, verdict);
        judge_slots(house, pool, verdict);
    }
}

/* --------------------------------------------------------------------- playing */

static void clear_directory(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    char file[700];

    while (directory && (entry = readdir(directory))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (unlink(file))
            rmdir(file);
    }
    if (directory)
        closedir(directory);
}

/* The path of a segment of this house, the one after `not` if given; "" if there is none. */
static void find_segment(const struct house *house, const char * not, char path[300])
{
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;

    path[0] = '\0';
    while (directory && (entry = readdir(directory))) {
        if (strncmp(entry->d_name, house->place.prefix, strlen(house->place.prefix)))
            continue;
        snprintf(path, 300, "/dev/shm/%s", entry->d_name);
        if (!not || strcmp(path, not ))
            break;
        path[0] = '\0';
    }
    if (directory)
        closedir(directory);
}

static void clear(struct house *house)
{
    char path[300];

    while (house->guest_count)
        house_unseat(house, &house->guests[--house->guest_count]);
    if (house->memory)
        munmap((void *)(uintptr_t)house->memory, house->memory_size);
    house->memory = NULL;
    for (find_segment(house, NULL, path); path[0]; find_segment(house, NULL, path))
        unlink(path);
    snprintf(path, sizeof path, "%s.d", house->place.socket);
    clear_directory(path);
}

static void set(void *argument, unsigned variant)
{
    struct house *house = argument;
    struct reason why = {0, ""};

    clear(house);
    house->variant = variant;
    TEST_REQUIRE(open_registry(house, &why), "%s", why.text);
    house->operation->prepare(house);
    vanish(house);
    find_segment(house, NULL, house->watched);
}

static void enter(void *argument)
{
    struct house *house = argument;
    struct reason why = {0, ""};

    if (house->operation->opened)
        TEST_REQUIRE(open_registry(house, &why), "%s", why.text);
    if (house->operation->enter)
        house->operation->enter(house);
}

static void act(void *argument)
{
    struct house *house = argument;

    house->operation->act(house);
}

#define WATCHED_MAX 65536u /* the metadata lies within; objects nobody touches */

/* The segment, seen from here: as soon as it is there and has its size. */
static const void *memory(void *argument, size_t *size)
{
    struct house *house = argument;
    struct stat status;
    char path[300];
    int file;
    void *mapped;

    if (!house->memory) {
        if (house->operation->watch_new)
            find_segment(house, house->watched, path);
        else
            strcpy(path, house->watched);
        file = path[0] ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (file < 0)
            return NULL;
        if (fstat(file, &status) == 0 && status.st_size) {
            house->memory_size =
                status.st_size < WATCHED_MAX ? (size_t)status.st_size : WATCHED_MAX;
            mapped = mmap(NULL, house->memory_size, PROT_READ, MAP_SHARED, file, 0);
            house->memory = mapped == MAP_FAILED ? NULL : mapped;
        }
        close(file);
    }
    *size = house->memory ? house->memory_size : 0;
    return house->memory;
}

void house_play(const struct house_operation *operation)
{
    static struct house house;
    const struct crash_scene scene = {
        .name = operation->name,
        .act = {.enter = enter, .run = act, .argument = &house, .memory = memory},
        .variants = 1,
        .set = set,
        .judge = judge,
    };
    unsigned broken;
    char path[300];

    guard_install();
    log_set_level(LOG_LEVEL_ERROR);
    memset(&house, 0, sizeof house);
    test_daemon_prepare(&house.place, NULL);
    house.operation = operation;
    broken = crash_play(&scene);
    clear(&house);
    snprintf(path, sizeof path, "%s.d", house.place.socket);
    rmdir(path);
    test_daemon_stop(&house.place);
    crash_require_none(operation->name, broken);
}
