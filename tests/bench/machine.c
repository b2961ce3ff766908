/* SPDX-License-Identifier: MIT
 *
 * machine: see machine.h.
 */
#include "machine.h"

#include <gnu/libc-version.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The rest of the first line of a file that begins with `key`, or "". */
static void read_line(const char *path, const char *key, char *value, size_t size)
{
    FILE *file = fopen(path, "re");
    char line[4096];

    *value = '\0';
    while (file && !*value && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)))
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(value, size, "%.*s", (int)size - 1,
                 line + strlen(key) + strspn(line + strlen(key), " \t:"));
    }
    if (file)
        fclose(file);
}

static void add_text(json_t *machine, const char *key, const char *text)
{
    if (*text)
        json_object_set_new(machine, key, json_string(text));
}

static void add_caches(json_t *machine)
{
    static const struct {
        const char *key;
        int name;
    } caches[] = {
        {"l1d_bytes", _SC_LEVEL1_DCACHE_SIZE},
        {"l2_bytes", _SC_LEVEL2_CACHE_SIZE},
        {"l3_bytes", _SC_LEVEL3_CACHE_SIZE},
    };
    size_t i;

    for (i = 0; i < sizeof caches / sizeof *caches; i++) {
        long bytes = sysconf(caches[i].name);

        if (bytes > 0)
            json_object_set_new(machine, caches[i].key, json_integer(bytes));
    }
}

/* Virtual machines say so among the processor's flags. */
static int is_virtual(void)
{
    char flags[4096];

    read_line("/proc/cpuinfo", "flags", flags, sizeof flags);
    return strstr(flags, " hypervisor") != NULL;
}

json_t *machine_json(int pinned_to)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    char model[256], governor[64], path[96], libc[64];
    json_t *machine = json_object();
    struct utsname name;
    double load;

    uname(&name);
    read_line("/proc/cpuinfo", "model name", model, sizeof model);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor",
             pinned_to < 0 ? 0 : pinned_to);
    read_line(path, "", governor, sizeof governor);
    snprintf(libc, sizeof libc, "glibc %s", gnu_get_libc_version());
    add_text(machine, "cpu", *model ? model : name.machine);
    json_object_set_new(machine, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    json_object_set_new(machine, "virtual", json_boolean(is_virtual()));
    add_caches(machine);
    json_object_set_new(machine, "memory_bytes", json_integer((json_int_t)pages * page));
    add_text(machine, "kernel", name.release);
#ifdef __clang__
    add_text(machine, "compiler", __VERSION__);
#else
    add_text(machine, "compiler", "gcc " __VERSION__);
#endif
    add_text(machine, "libc", libc);
    add_text(machine, "governor", governor);
    json_object_set_new(machine, "pinned_to", json_integer(pinned_to));
    if (getloadavg(&load, 1) == 1)
        json_object_set_new(machine, "load_before", json_real(load));
    return machine;
}

int machine_processor(void)
{
    cpu_set_t all;
    int cpu;

    if (sched_getaffinity(0, sizeof all, &all))
        return -1;
    for (cpu = CPU_SETSIZE - 1; cpu >= 0 && !CPU_ISSET(cpu, &all); cpu--)
        ;
    return cpu;
}
