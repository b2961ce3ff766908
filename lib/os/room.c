/* SPDX-License-Identifier: MIT
 *
 * room: reading the file system's, the kernel's and the cgroup's books.
 */
#include "room.h"

#include "backing.h"

#include <fastalloc/fastalloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

/* Left to the rest of a cgroup: its own next allocation must not kill it. */
#define CGROUP_MARGIN (UINT64_C(4) << 20)
#define PLACE_MAX 4096

/* The number a file holds, alone in it or behind `key` at the start of a line;
 * `otherwise` when there is none ("max" is none). */
static uint64_t read_number(const char *path, const char *key, uint64_t otherwise)
{
    FILE *file = fopen(path, "re");
    size_t skip = strlen(key);
    unsigned long long number;
    uint64_t result = otherwise;
    char line[256];

    if (!file)
        return otherwise;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, key, skip) == 0 && sscanf(line + skip, "%llu", &number) == 1) {
            result = number;
            break;
        }
    }
    fclose(file);
    return result;
}

static uint64_t read_in(const char *directory, const char *file, const char *key,
                        uint64_t otherwise)
{
    char path[PLACE_MAX + 64];

    snprintf(path, sizeof path, "%s/%s", directory, file);
    return read_number(path, key, otherwise);
}

uint64_t room_in_cgroup(const char *directory, int unified)
{
    const char *cache_in = unified ? "inactive_file " : "total_inactive_file ";
    const char *cache_on = unified ? "active_file " : "total_active_file ";
    uint64_t limit, used, cache, room;

    limit = read_in(directory, unified ? "memory.max" : "memory.limit_in_bytes", "", UINT64_MAX);
    used = read_in(directory, unified ? "memory.current" : "memory.usage_in_bytes", "", 0);
    /* v1 says "no limit" by a number that no machine has. */
    if (limit >= UINT64_C(1) << 62)
        return UINT64_MAX;
    cache = read_in(directory, "memory.stat", cache_in, 0) +
            read_in(directory, "memory.stat", cache_on, 0);
    if (cache > used)
        cache = used;
    room = used - cache < limit ? limit - (used - cache) : 0;
    return room > CGROUP_MARGIN ? room - CGROUP_MARGIN : 0;
}

/* The least room in the cgroup `path` below `mount` and in all above it.  Stores the
 * directory that has the least. */
static uint64_t room_upwards(const char *mount, const char *path, int unified,
                             char tightest[PLACE_MAX])
{
    uint64_t least = UINT64_MAX, room;
    char directory[PLACE_MAX];
    size_t root = strlen(mount);
    char *cut;

    if (snprintf(directory, sizeof directory, "%s%s", mount, path) >= (int)sizeof directory)
        return least;
    for (;;) {
        room = room_in_cgroup(directory, unified);
        if (room < least) {
            least = room;
            strcpy(tightest, directory);
        }
        cut = strrchr(directory, '/');
        if (!cut || (size_t)(cut - directory) < root)
            return least;
        *cut = '\0';
    }
}

/* A line of /proc/self/cgroup: "0::/path" (v2) or "4:memory:/path" (v1). */
static uint64_t room_of_line(char *line, char tightest[PLACE_MAX])
{
    char *controllers = strchr(line, ':'), *path = NULL;

    line[strcspn(line, "\n")] = '\0';
    if (controllers)
        path = strchr(++controllers, ':');
    if (!path)
        return UINT64_MAX;
    *path++ = '\0';
    if (*controllers == '\0')
        return room_upwards("/sys/fs/cgroup", path, 1, tightest);
    if (strcmp(controllers, "memory") == 0)
        return room_upwards("/sys/fs/cgroup/memory", path, 0, tightest);
    return UINT64_MAX;
}

static uint64_t room_in_cgroups(char tightest[PLACE_MAX])
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[PLACE_MAX], place[PLACE_MAX];
    uint64_t least = UINT64_MAX, room;

    if (!file)
        return least;
    while (fgets(line, sizeof line, file)) {
        room = room_of_line(line, place);
        if (room < least) {
            least = room;
            strcpy(tightest, place);
        }
    }
    fclose(file);
    return least;
}

/* UINT64_MAX where the file system has no limit of its own (memfd). */
static uint64_t room_in_file_system(int descriptor)
{
    struct statfs status;

    if (fstatfs(descriptor, &status) < 0 || status.f_blocks == 0)
        return UINT64_MAX;
    return (uint64_t)status.f_bavail * (uint64_t)status.f_bsize;
}

static uint64_t room_in_machine(void)
{
    uint64_t available = read_number("/proc/meminfo", "MemAvailable:", UINT64_MAX >> 11);
    uint64_t swap = read_number("/proc/meminfo", "SwapFree:", 0);

    return (available + swap) * 1024;
}

int room_check(int descriptor, uint64_t length, struct reason *why)
{
    char needed[32], there[32], tightest[PLACE_MAX];
    uint64_t room;

    backing_amount(needed, sizeof needed, length);
    room = room_in_file_system(descriptor);
    if (length > room) {
        backing_amount(there, sizeof there, room);
        return reason_set(why, FASTALLOC_E_NO_MEMORY,
                          "needs %s of shared memory, but its file system (/dev/shm) has only %s "
                          "left: ask for less, remove what lies there, or make it larger (mount -o "
                          "remount,size=... /dev/shm; docker run --shm-size=...)",
                          needed, there);
    }
    room = room_in_machine();
    if (length > room) {
        backing_amount(there, sizeof there, room);
        return reason_set(why, FASTALLOC_E_NO_MEMORY,
                          "needs %s of shared memory, but the machine has only %s of memory and "
                          "swap to spare: ask for less",
                          needed, there);
    }
    room = room_in_cgroups(tightest);
    if (length > room) {
        backing_amount(there, sizeof there, room);
        return reason_set(why, FASTALLOC_E_NO_MEMORY,
                          "needs %s of shared memory, but the memory cgroup %.200s has only %s "
                          "left: ask for less, or raise its limit",
                          needed, tightest, there);
    }
    return 0;
}
