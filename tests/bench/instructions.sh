#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Counts the machine instructions of an alloc and its free, by callgrind.  Unlike times, these
# numbers are the same in every run.
#
#     instructions.sh          fails when one is higher than instructions.txt says
#     instructions.sh renew    writes those of this compiler into instructions.txt
#     instructions.sh show     prints them, and those of the peers
#     instructions.sh list     the same, "IMPLEMENTATION WORKLOAD COUNT" a line, for bench --counts
#
# A count is the difference between a long loop and a short one, by the difference of their
# lengths.  A compiler (or flags) that instructions.txt does not know is compared with gcc's
# numbers, with a tolerance.
set -eu

build=${FASTALLOC_TEST_BUILDDIR:-.}
file=${FASTALLOC_TEST_SRCDIR:-.}/tests/bench/instructions.txt
workloads="pair batch100 churn1024 batch-32"
peers="dpdk-mempool mimalloc jemalloc malloc boost-cached-node boost-node boost-allocate treiber
    robust-mutex bare-array"
short=19200
long=57600
rounding=0.5 # of an instruction: what a count may rise by
tolerance=15 # percent, of compilers that are not known

skip()
{
    echo "instructions.sh: not counted: $*"
    exit 77
}

# What the numbers depend on: "x86_64-gcc-12", and the flags where they are not the usual ones.
key()
{
    flags=$(sed -n 's/^CFLAGS = *//p' "$build/Makefile")
    case $flags in
    '-g -O2' | '-O2 -g' | -O2) flags= ;;
    esac
    echo "$("$build/tests/bench/bench-worker" --build)${flags:+ $flags}" | tr ' ' '_'
}

# Copies without what debuggers read: valgrind does not understand all that compilers write there.
copy_programs()
{
    for program in "$build"/tests/bench/bench-worker* "$build"/lib/.libs/libfastalloc.so.*; do
        case $program in
        *.o | *.T | *'*'*) continue ;;
        esac
        [ -h "$program" ] || strip -g -o "$work/programs/${program##*/}" "$program"
    done
    for link in "$build"/lib/.libs/libfastalloc.so.*; do
        [ ! -h "$link" ] || cp -P "$link" "$work/programs/"
    done
}

# count IMPLEMENTATION: a line for each workload that it has, of its name and its count.
# callgrind writes a file whenever the clock is read, which is right before each loop and right
# after it.
count()
{
    program=bench-worker preload=
    case $1 in
    dpdk-*) program=bench-worker-dpdk ;;
    boost-*) program=bench-worker-boost ;;
    mimalloc) preload=${BENCH_MIMALLOC:-libmimalloc.so.2} ;;
    jemalloc) preload=${BENCH_JEMALLOC:-libjemalloc.so.2} ;;
    esac
    rm -f "$work"/out*
    for workload in $workloads; do
        for pairs in $short $short $long; do
            echo "$workload $pairs"
        done
    done | env LD_BIND_NOW=1 LD_LIBRARY_PATH="$work/programs" ${preload:+LD_PRELOAD="$preload"} \
        valgrind --quiet --tool=callgrind --dump-before=worker_now \
        --callgrind-out-file="$work/out" "$work/programs/$program" "$1" \
        >"$work/answers" 2>"$work/log" || {
        sed "s/^/instructions.sh: $1: /" "$work/log" >&2
        return 1
    }
    # What was not measured has written nothing.
    dump=0
    for workload in $workloads; do
        for pairs in $short $short $long; do
            read -r answer <&3
            [ "$answer" != none ] || continue
            dump=$((dump + 2))
            before=${now-} now=$(sed -n 's/^\(summary\|totals\): //p' "$work/out.$dump" | head -n 1)
        done
        [ "$answer" = none ] ||
            awk "BEGIN { printf \"%s %.2f\n\", \"$workload\", ($now - $before) / ($long - $short) }"
    done 3<"$work/answers"
}

# Those of fastalloc, as lines of the file.
count_ours()
{
    for implementation in fastalloc-inline fastalloc-call; do
        count $implementation >"$work/counts" || return 1
        sed "s/^/$1 $implementation /" "$work/counts"
    done
}

show()
{
    printf '%-18s' ''
    # shellcheck disable=SC2086
    printf ' %10s' $workloads
    echo
    for implementation in fastalloc-inline fastalloc-call $peers; do
        count "$implementation" >"$work/counts" 2>/dev/null || continue
        printf '%-18s' "$implementation"
        for workload in $workloads; do
            printf ' %10s' "$(sed -n "s/^$workload //p" "$work/counts" | grep . || echo -)"
        done
        echo
    done
}

list()
{
    for implementation in fastalloc-inline fastalloc-call $peers; do
        if count "$implementation" >"$work/counts" 2>/dev/null; then
            sed "s/^/$implementation /" "$work/counts"
        fi
    done
}

renew()
{
    count_ours "$key" >"$work/new"
    {
        sed -n '/^#/p' "$file"
        { grep -v -e '^#' -e "^$key " "$file" || :; cat "$work/new"; } | sort -s -k 1,1
    } >"$work/file"
    cat "$work/file" >"$file"
    echo "instructions.sh: $file has the counts of $key:"
    cat "$work/new"
}

# compare MARK PERCENT: our counts with the lines that begin with MARK.
compare()
{
    count_ours "$key" >"$work/new"
    sed -n "s/^$1 //p" "$file" >"$work/known"
    awk -v percent="$2" -v rounding=$rounding '
        NR == FNR { known[$1 " " $2] = $3; next }
        {
            name = $2 " " $3
            if (!(name in known)) {
                printf "%-28s %8.2f, and instructions.txt does not know it\n", name, $4
                failed = 1
                next
            }
            most = known[name] * (1 + percent / 100) + rounding
            verdict = $4 > most ? "MORE THAN " most : \
                $4 > known[name] + rounding ? "more, but tolerated" : \
                $4 < known[name] - rounding ? "less: renew, to keep it" : "as it was"
            printf "%-28s %8.2f, known %8.2f: %s\n", name, $4, known[name], verdict
            failed = failed || $4 > most
            seen++
        }
        END { exit failed || !seen }
    ' "$work/known" "$work/new" || {
        cat <<'END'
An alloc and free takes more instructions than it did, or something is counted that was not.
Where that is meant: make bench-instructions-renew, and say in the commit why.
END
        exit 1
    }
}

[ -z "${FASTALLOC_TEST_CFLAGS-}" ] || case $FASTALLOC_TEST_CFLAGS in
*[!\ ]*) skip "built with $FASTALLOC_TEST_CFLAGS" ;;
esac
key=$(key)
case $key in
*unoptimised*) skip "built without optimisation" ;;
esac
command -v valgrind >/dev/null || skip "valgrind is not installed"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/programs"
copy_programs

case ${1-} in
show) show ;;
list) list ;;
renew) renew ;;
'')
    machine=${key%%-*}
    if grep -q "^$key " "$file"; then
        compare "$key" 0
    elif known=$(grep -o "^$machine-gcc-[0-9]* " "$file" | sort -t- -k 3n | tail -n 1) &&
        [ -n "$known" ]; then
        echo "$key is not known: compared with ${known% }, $tolerance % are tolerated"
        compare "${known% }" $tolerance
    else
        skip "instructions.txt knows nothing of $machine: make bench-instructions-renew"
    fi
    ;;
*)
    echo "usage: instructions.sh [renew | show | list]" >&2
    exit 2
    ;;
esac
