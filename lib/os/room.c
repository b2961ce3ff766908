/* SPDX-License-Identifier: MIT
 *
 * room: reading the file system's, the kernel's and the cgroup's books.
 */
#include "room.h"

#include "backing.h"

#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Left to the rest of a cgroup: its own next allocation must not kill it. */
#define CGROUP_MARGIN (UINT64_C(4) << 20)
#define PLACE_MAX 4096
#define TEXT_MAX 8192 /* what these files have, all in all */

/* The beginning of a file of the kernel's, as text; "" where there is none.  Without a stream: it
 * is looked at before each bit of memory that a small pool grows by. */
static void read_text(const char *path, char text[TEXT_MAX])
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got = 0;

    if (file >= 0) {
        while (length < TEXT_MAX - 1 &&
               (got = read(file, text + length, TEXT_MAX - 1 - length)) > 0)
            length += (size_t)got;
        close(file);
    }
    text[got < 0 ? 0 : length] = '\0';
}

/* The number behind `key` at the start of a line, or `otherwise` where there is none ("max" is
 * none). */
static uint64_t number_in(const char *text, const char *key, uint64_t otherwise)
{
    size_t skip = strlen(key);
    unsigned long long number;

    while (text) {
        if (strncmp(text, key, skip) == 0 && sscanf(text + skip, "%llu", &number) == 1)
            return number;
        text = strchr(text, '\n');
        if (text)
            text++;
    }
    return otherwise;
}

static void read_in(const char *directory, const char *file, char text[TEXT_MAX])
{
    char path[PLACE_MAX + 64];

    snprintf(path, sizeof path, "%s/%s", directory, file);
    read_text(path, text);
}

uint64_t room_in_cgroup(const char *directory, int unified)
{
    const char *cache_in = unified ? "inactive_file " : "total_inactive_file ";
    const char *cache_on = unified ? "active_file " : "total_active_file ";
    uint64_t limit, used, cache, room;
    char text[TEXT_MAX];

    read_in(directory, unified ? "memory.max" : "memory.limit_in_bytes", text);
    limit = number_in(text, "", UINT64_MAX);
    /* v1 says "no limit" by a number that no machine has. */
    if (limit >= UINT64_C(1) << 62)
        return UINT64_MAX;
    read_in(directory, unified ? "memory.current" : "memory.usage_in_bytes", text);
    used = number_in(text, "", 0);
    read_in(directory, "memory.stat", text);
    cache = number_in(text, cache_in, 0) + number_in(text, cache_on, 0);
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
    char text[TEXT_MAX];

    read_text("/proc/meminfo", text);
    return (number_in(text, "MemAvailable:", UINT64_MAX >> 11) + number_in(text, "SwapFree:", 0)) *
           1024;
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
