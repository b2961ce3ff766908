#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Counts the machine instructions of an alloc and free, by callgrind: of two loops of
# different lengths the difference, divided by the difference of the lengths.  Unlike
# times, these numbers are the same in every run.
set -eu

build=${FASTALLOC_TEST_BUILDDIR:-.}
short=20000
long=60000
command -v valgrind >/dev/null || {
    echo "instructions.sh: valgrind is not installed" >&2
    exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# count IMPLEMENTATION WORKLOAD COUNT: all instructions of the program.
count()
{
    "$build/libtool" --mode=execute valgrind --tool=callgrind \
        --callgrind-out-file="$work/out" "$build/tests/bench/bench" "$@" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        exit 1
    }
    sed -n 's/^\(summary\|totals\): //p' "$work/out" | head -n 1
}

printf '%-18s %10s %10s %10s\n' 'instructions' pair batch100 churn1024
for implementation in fastalloc-inline fastalloc-call malloc bare-array; do
    printf '%-18s' "$implementation"
    for workload in pair batch100 churn1024; do
        few=$(count "$implementation" "$workload" $short)
        many=$(count "$implementation" "$workload" $long)
        awk "BEGIN { printf \" %10.1f\", ($many - $few) / ($long - $short) }"
    done
    echo
done
