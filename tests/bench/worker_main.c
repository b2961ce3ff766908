/* SPDX-License-Identifier: MIT
 *
 * bench-worker: the worker of what needs nothing but the C library and fastalloc.
 */
#include "control.h"
#include "implementations.h"
#include "worker.h"

int main(int argc, char **argv)
{
    static const struct bench_implementation *const implementations[] = {
        &bench_fastalloc_inline,
        &bench_fastalloc_call,
        &bench_fastalloc,
        &bench_malloc,
        &bench_mimalloc,
        &bench_jemalloc,
        &bench_bare_array,
        &bench_robust_mutex,
        &bench_treiber,
        &bench_ring_alone,
        NULL,
    };

    return worker_main(implementations, argc, argv);
}
