#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every loop of the benchmark runs; how fast is not this test's concern.
set -eu

build=${FASTALLOC_TEST_BUILDDIR:-.}
bench=$build/tests/bench/bench
FASTALLOC_DAEMON=${FASTALLOCD:-$build/daemon/fastallocd}
export FASTALLOC_DAEMON
for implementation in fastalloc-inline fastalloc-call malloc bare-array robust-mutex; do
    for workload in pair batch100 churn1024; do
        "$bench" $implementation $workload 5000
    done
done
"$bench" deaths
if "$bench" malloc no-such-workload 1 2>/dev/null; then
    echo "smoke.sh: an unknown workload ran" >&2
    exit 1
fi
