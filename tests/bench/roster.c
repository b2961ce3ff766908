/* SPDX-License-Identifier: MIT
 *
 * roster: see roster.h.
 *
 * configure tells where mimalloc and jemalloc are; the environment's BENCH_MIMALLOC and
 * BENCH_JEMALLOC have the last word.  Where nobody says, the dynamic linker looks for them.
 */
#include "roster.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifndef BENCH_MIMALLOC
#define BENCH_MIMALLOC ""
#endif
#ifndef BENCH_JEMALLOC
#define BENCH_JEMALLOC ""
#endif

static struct contender contenders[] = {
    {"fastalloc-inline", "bench-worker", NULL, NULL},
    {"fastalloc-call", "bench-worker", NULL, NULL},
    {"dpdk-mempool", "bench-worker-dpdk", NULL, "DPDK (libdpdk-dev)"},
    {"mimalloc", "bench-worker", "libmimalloc.so.2", "mimalloc (libmimalloc-dev)"},
    {"jemalloc", "bench-worker", "libjemalloc.so.2", "jemalloc (libjemalloc-dev)"},
    {"malloc", "bench-worker", NULL, NULL},
    {"boost-cached-node", "bench-worker-boost", NULL, "Boost.Interprocess (libboost-dev)"},
    {"boost-node", "bench-worker-boost", NULL, "Boost.Interprocess (libboost-dev)"},
    {"boost-allocate", "bench-worker-boost", NULL, "Boost.Interprocess (libboost-dev)"},
    {"treiber", "bench-worker", NULL, NULL},
    {"robust-mutex", "bench-worker", NULL, NULL},
    {"bare-array", "bench-worker", NULL, NULL},
    {"fastalloc", "bench-worker", NULL, NULL},
    {"ring", "bench-worker", NULL, NULL},
};

static void take(const char *name, const char *variable, const char *configured)
{
    const char *said = getenv(variable);
    size_t i;

    if (!said || !*said)
        said = configured;
    for (i = 0; *said && i < sizeof contenders / sizeof *contenders; i++)
        if (!strcmp(contenders[i].name, name))
            contenders[i].library = said;
}

const struct contender *roster_at(size_t i)
{
    static bool complete;

    if (!complete) {
        take("mimalloc", "BENCH_MIMALLOC", BENCH_MIMALLOC);
        take("jemalloc", "BENCH_JEMALLOC", BENCH_JEMALLOC);
        complete = true;
    }
    return i < sizeof contenders / sizeof *contenders ? &contenders[i] : NULL;
}

const struct contender *roster_find(const char *name)
{
    const struct contender *contender;
    size_t i;

    for (i = 0; (contender = roster_at(i)); i++)
        if (!strcmp(contender->name, name))
            break;
    return contender;
}
