/* SPDX-License-Identifier: MIT
 *
 * suite: see suite.h.
 */
#include "suite.h"

#include <string.h>

#define SLOTS 65536u
#define SLOTS_BIG 8192u /* of a page and more */
#define STATES 32

static const struct workload *const parts[] = {
    workloads_single, workloads_crowd, workloads_latency, workloads_costs, workloads_crate,
};

const struct workload *suite_at(size_t i)
{
    size_t part;

    for (part = 0; part < sizeof parts / sizeof *parts; part++) {
        const struct workload *workload;

        for (workload = parts[part]; workload->name; workload++)
            if (i-- == 0)
                return workload;
    }
    return NULL;
}

const struct workload *suite_find(const char *name)
{
    const struct workload *workload;
    size_t i;

    for (i = 0; (workload = suite_at(i)); i++)
        if (!strcmp(workload->name, name))
            break;
    return workload;
}

int suite_figures(const struct workload *workload)
{
    int count;

    for (count = 0; count < SUITE_FIGURES_MAX && workload->figures[count]; count++)
        ;
    return count ? count : 1;
}

void *suite_state(const struct bench_implementation *implementation, size_t object_size,
                  size_t slots)
{
    static struct {
        size_t object_size, slots;
        void *state;
    } states[STATES];
    size_t i;

    if (!slots)
        slots = object_size < 4096 ? SLOTS : SLOTS_BIG;
    for (i = 0; i < STATES && states[i].slots; i++)
        if (states[i].object_size == object_size && states[i].slots == slots)
            return states[i].state;
    if (i == STATES)
        bench_give_up("suite_state", "more kinds of pools than it has room for");
    states[i].state = implementation->start(object_size, slots);
    states[i].object_size = object_size;
    states[i].slots = slots;
    return states[i].state;
}
