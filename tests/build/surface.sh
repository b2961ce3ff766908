#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The tables of MIGRATION.md are true: every row of the Rust crate's surface is in them, each
# row names a test, each test named exists and is run by `make check`, and each function,
# constant and field named is in the headers.
#
# A row is "| crate | here | shown by |".  Its first cell has the crate's names in backticks, or
# words; what is to be there is the list below.  A test is `path: test`, or `path` alone for a
# script or an example, without the ending.
set -eu

src=${FASTALLOC_TEST_SRCDIR:-$(pwd)}
guide=$src/MIGRATION.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

complain()
{
    echo "MIGRATION.md: $*" >&2
    failed=$((failed + 1))
}

# What there has to be a row for, one a line.
cat >"$work/required" <<'END'
FixedPool
FixedPool::new
with_config
GrowingPool
ThreadLocalPool
ThreadSafePool
LockFreePool
PoolConfig::builder
build
capacity
max_capacity
GrowthStrategy::None
GrowthStrategy::Linear
GrowthStrategy::Exponential
GrowthStrategy::Custom
alignment
pre_initialize
InitializationStrategy::Lazy
InitializationStrategy::Eager
InitializationStrategy::Custom
thread_local
OwnedHandle
Deref
DerefMut
Drop
mem::forget
index
PartialEq
Debug
SharedHandle
WeakHandle
upgrade
Poolable::on_acquire
Poolable::on_release
allocate
try_allocate
allocate_batch
capacity()
available
allocated
is_full
is_empty
can_grow
waiting (not in the crate)
freeing in batches (not in the crate)
walking the live slots (not in the crate)
sealing and draining (not in the crate)
shrinking (not in the crate)
a name for the pool (not in the crate)
PoolExhausted
InvalidConfiguration
UninitializedPool
InvalidAlignment
MaxCapacityExceeded
InvalidHandle
DoubleFree
AllocationFailed
Custom
Display
statistics()
total_allocations
total_deallocations
current_usage
peak_usage
stats.capacity
growth_count
allocation_failures
utilization_rate
peak_utilization_rate
hit_rate
stats.available
reset
summary
compact_summary
key-value pairs
JSON
log
Prometheus
basic_usage
custom_initialization
game_entities
particle_system
server_connections
the example statistics
the example thread_local
async_usage
allocation
deallocation
comparison
fragmentation
multithreaded
real world
counters after each step
values intact among many
exhaustion and reuse after a free
freeing in the middle
any order of freeing
one slot
a million slots
an empty type
bad alignment
maximum below capacity
capacity equal to maximum
a thousand rapid cycles
objects of 10 KB
linear 5 to 10, 10-15-20
exponential 10-20-40 and 2-4-..-64
custom by half
growth clamped to the maximum
reuse before growing
a hundred cycles without a leak
half freed, then the rest, ten times
ten threads with 50 each
four threads with 100 each
eight threads, 1,000 times
statistics arithmetic
every report format
batches (untested there)
hooks through a pool (untested there)
forgotten handles (untested there)
alignment (untested there)
growth validation (untested there)
failure counts (untested there)
teardown (untested there)
END

# ------------------------------------------------------------------- the rows

# From the first of the two sections to the list after them: crate, here and shown by, each on a
# line of its own.
awk -F ' *[|] *' '
    /^## / { inside = $0 ~ /^## (From the Rust crate|What the crate promises)/ }
    inside && /^\|/ && $2 !~ /^(crate|behaviour|-+)$/ { print $2; print $3; print $4 }' \
    "$guide" >"$work/rows"
rows=$(($(wc -l <"$work/rows") / 3))

# The first cells: whole, and each of the names in backticks.
awk 'NR % 3 == 1 {
    print
    count = split($0, part, "`")
    for (i = 2; i <= count; i += 2) print part[i]
}' "$work/rows" >"$work/crate"
while IFS= read -r wanted; do
    grep -qxF -- "$wanted" "$work/crate" || complain "no row for \"$wanted\""
done <"$work/required"

# --------------------------------------------------------- what there is here

cat "$src"/include/fastalloc/*.h "$src"/include/fastalloc/*.hpp >"$work/headers"
known()
{
    grep -qw -- "$1" "$work/headers"
}

awk 'NR % 3 == 2' "$work/rows" >"$work/here"
grep -Eo '(fastalloc|FASTALLOC)_[A-Za-z_]+' "$work/here" | sort -u >"$work/names"
while IFS= read -r name; do
    known "$name" || complain "$name is in no header"
done <"$work/names"
grep -Eo '`(config|info|stats)\.[a-z_]+' "$work/here" | sort -u | tr -d '`' >"$work/fields"
while IFS=. read -r struct field; do
    sed -n "/^typedef struct fastalloc_\(pool_\)\{0,1\}$struct {/,/^}/p" \
        "$src"/include/fastalloc/*.h | grep -qw -- "$field" ||
        complain "$struct has no field $field"
done <"$work/fields"
grep -Eo 'fastalloc::[a-z_]+' "$work/here" | sort -u >"$work/classes" || :
while IFS= read -r class; do
    known "${class#fastalloc::}" || complain "$class is in no header"
done <"$work/classes"

# ------------------------------------------------------------------ the tests

# Whether `make check` runs it: as a program of check_tests, or as a script of its own.
is_run()
{
    cat "$src"/tests/local.mk "$src"/tests/*/local.mk | grep -v '^ *#' |
        grep -Eq "(^|[[:space:]])$1([[:space:]\\\\]|\$)"
}

look_at_test()
{
    path=${1%%: *} test=
    case $1 in *': '*) test=${1#*: } ;; esac
    if [ -n "$test" ] && [ -f "$src/$path.c" ]; then
        is_run "$path" || complain "$path is in no local.mk"
        if ! grep -q "^START_TEST($test)" "$src/$path.c"; then
            complain "$path has no test $test"
        elif [ "$(grep -cw -- "$test" "$src/$path.c")" -lt 2 ]; then
            complain "$path does not run its test $test"
        fi
        return
    fi
    for ending in sh py cpp c; do
        [ -f "$src/$path.$ending" ] || continue
        case $ending in c | cpp) name=$path ;; *) name=$path.$ending ;; esac
        is_run "$name" || is_run "$path.$ending" || complain "$path.$ending is in no local.mk"
        [ -z "$test" ] || grep -qw -- "$test" "$src/$path.$ending" ||
            complain "$path.$ending has no test $test"
        return
    done
    complain "there is no test $path"
}

count=0
while IFS= read -r crate && IFS= read -r here && IFS= read -r shown; do
    case $shown in
    *'`tests/'*) ;;
    *) complain "no test for \"$crate\"" && continue ;;
    esac
    printf '%s\n' "$shown" | tr '`' '\n' | grep '^tests/' >"$work/shown"
    # shellcheck disable=SC2016 # backticks are meant
    printf '%s\n' "$shown" | grep -Eq '^(`tests/[^`]*` ?)+$' ||
        complain "\"$crate\": what shows it is more than tests: $shown"
    while IFS= read -r test; do
        look_at_test "$test"
        count=$((count + 1))
    done <"$work/shown"
    : "$here"
done <"$work/rows"

[ "$rows" -ge 100 ] || complain "only $rows rows were found"
echo "$rows rows, $count mentions of tests, $failed failures"
[ $failed = 0 ]
