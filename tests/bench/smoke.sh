#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Everything that the benchmark measures in a quick run works, whatever it takes; what is asked
# for wrongly is refused; a worker that dies or hangs is told of; and no process is left behind.
set -eu

build=${FASTALLOC_TEST_BUILDDIR:-.}
bench=$build/tests/bench/bench
worker=$build/tests/bench/bench-worker
FASTALLOC_DAEMON=${FASTALLOCD:-$build/daemon/fastallocd}
export FASTALLOC_DAEMON
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail()
{
    echo "smoke.sh: $*" >&2
    exit 1
}

# Sanitizers want to be the first library, and what is not theirs has nothing for them to find.
only=
[ -z "${FASTALLOC_TEST_SANITIZERS-}" ] || only='fastalloc*,malloc,treiber,robust-mutex,bare-array,ring'

"$bench" --brief --quick ${only:+--impl "$only"} --write "$work/results.json"

# Each implementation that was built has its loops in it.
"$worker" --list >"$work/list"
python3 - "$work/results.json" "$work/list" <<'END'
import json, sys

run = json.load(open(sys.argv[1]))
there = {one["impl"] for one in run["versions"]}
have = {(one["impl"], one["workload"]) for one in run["results"]}
for name in there - {"fastalloc", "ring"}:
    for loop in ("pair", "batch100", "churn1024", "processes-2", "latency-crowded-p50"):
        if (name, loop) not in have:
            sys.exit(f"smoke.sh: {loop} of {name} was not measured")
expected = set(open(sys.argv[2]).read().split()) - {"mimalloc", "jemalloc"}
if expected - there:
    sys.exit(f"smoke.sh: {expected - there} were not measured")
END

# All repeats are measured, also those for which there are new workers.
"$bench" --quick --only pair,crate-allocation --impl malloc --repeats 4 \
    --write "$work/results.json" >"$work/out"
python3 - "$work/results.json" <<'END'
import json, sys

for one in json.load(open(sys.argv[1]))["results"]:
    if one["repeats"] != 4:
        sys.exit(f"smoke.sh: {one} is not of 4 repeats")
END

# Whether that process is there and has not ended.
runs()
{
    grep '^State:' "/proc/$1/status" 2>/dev/null | grep -qv 'zombie'
}

# refused STATUS TEXT COMMAND...: ends with that status, and says that.
refused()
{
    wanted=$1 text=$2
    shift 2
    status=0
    "$@" >"$work/out" 2>&1 || status=$?
    [ $status = "$wanted" ] || fail "$* ended with status $status instead of $wanted"
    grep -q -- "$text" "$work/out" || {
        cat "$work/out" >&2
        fail "$* did not say \"$text\""
    }
}

refused 2 'no workload is called "no-such"' "$bench" --only no-such
refused 2 'no implementation is called "no-such"' "$bench" --impl no-such
refused 2 'a number from 1 to' "$bench" --repeats many
refused 2 'what is "there"' "$bench" there
refused 2 'no implementation is called "nobody"' "$worker" nobody pair 1
refused 0 'error no workload is called "nothing"' "$worker" malloc nothing 1
refused 1 'cannot write' "$bench" --brief --only pair --impl malloc --write "$work/none/there"

# start OPTION...: a run that goes on until something happens to it, and its worker.
start()
{
    "$bench" --only pair --impl malloc --repeats 999 --write "$work/results.json" "$@" \
        >"$work/out" 2>&1 &
    parent=$!
    child=
    # The first worker only says what it can: that one is over when there is another, or, should it
    # have been too quick to be seen, when this one stays.
    first=
    looks=0
    while [ $looks -lt 100 ]; do
        child=$(cat /proc/$parent/task/$parent/children) || child=
        child=${child% }
        first=${first:-$child}
        [ -z "$child" ] || [ "$child" = "$first" ] || break
        looks=$((looks + 1))
        sleep 0.02
    done
    [ -n "$child" ] || fail "no worker was started"
}

# after SIGNAL TEXT OPTION...: the run fails and says why, when its worker is sent that.
after()
{
    signal=$1 text=$2
    shift 2
    start "$@"
    kill -s "$signal" "$child"
    status=0
    wait $parent || status=$?
    [ $status = 1 ] || fail "status $status, not 1, after SIG$signal in a worker"
    grep -q "$text" "$work/out" || {
        cat "$work/out" >&2
        fail "SIG$signal in a worker was not told of"
    }
    ! runs "$child" || fail "a worker is left behind after SIG$signal"
}

after KILL 'malloc: failed: its worker was killed by signal 9'
after STOP 'malloc: failed: its worker did not answer "pair [0-9]*" within 1 s' --timeout 1

# Interrupted, it ends in order, and writes nothing.
start
rm -f "$work/results.json"
kill -s TERM $parent
status=0
wait $parent || status=$?
[ $status = 130 ] || fail "status $status, not 130, when interrupted"
[ ! -e "$work/results.json" ] || fail "results were written when interrupted"
! runs "$child" || fail "a worker is left behind when interrupted"

# Workers end with their parent.
start
kill -s KILL $parent
wait $parent 2>/dev/null || :
for _ in 1 2 3 4 5 6 7 8 9 10; do
    runs "$child" || exit 0
    sleep 0.2
done
fail "a worker is left behind when its parent is killed"
