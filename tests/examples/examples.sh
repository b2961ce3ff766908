#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs the examples, holds what they say against what they have to say and against itself,
# and looks whether anything is left; also when they are killed in the middle.
# The server of server_connections is loaded by ab, the benchmark that comes with Apache's HTTP
# server, and loses a worker meanwhile.
set -eu
LC_ALL=C
export LC_ALL

build=${FASTALLOC_TEST_BUILDDIR-.}
source=${FASTALLOC_TEST_SRCDIR-.}
work=$(mktemp -d)
prefix=faex-$$
name=examples
loader=

die()
{
    for file in out err daemon.log; do
        [ ! -s "$work/$file" ] || sed "s/^/    $file: /" "$work/$file" >&2
    done
    echo "$name: failed: $*" >&2
    exit 1
}

# become NAME: turns this (sub)shell into that example.  Everything that it starts has the path of
# $work in its environment; what this script itself runs has not.
become()
{
    case $1 in
    *_ctypes) set -- python3 -B "$source/tests/examples/$1.py" ;;
    *) set -- "$build/tests/examples/$1" ;;
    esac
    [ -z "${limit-}" ] || set -- timeout "$limit" "$@"
    exec env FASTALLOC_SOCKET="$work/socket" FASTALLOC_DAEMON="$work/fastallocd" \
        FASTALLOC_TEST_BUILDDIR="$build" "$@" >"$work/out" 2>"$work/err" </dev/null
}

their_processes()
{
    for process in /proc/[0-9]*; do
        # shellcheck disable=SC2094 # a process may end while it is looked at
        if tr '\0' '\n' <"$process/environ" 2>/dev/null | grep -Fqx "FASTALLOC_SOCKET=$work/socket"; then
            echo "${process#/proc/}"
        fi
    done 2>/dev/null
}

# shellcheck disable=SC2317 # the trap calls it
clean_up()
{
    status=$?
    trap - EXIT
    # shellcheck disable=SC2046,SC2086 # one word each, or none
    kill -KILL $loader $(their_processes) 2>/dev/null || :
    rm -f "/dev/shm/$prefix-"*
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

all='basic_usage custom_initialization game_entities particle_system statistics thread_local event_loop'
case ${FASTALLOC_TEST_SANITIZERS-} in
*address* | *thread*) echo 'not multiprocessing_ctypes: this Python cannot load a sanitized library' ;;
*) all="$all multiprocessing_ctypes" ;;
esac
command -v ab >/dev/null 2>&1 || {
    echo "ab, the load generator of Apache's HTTP server, is missing.  Install it (Debian, Ubuntu:" \
        "apt-get install apache2-utils), or let ./autogen.sh deps ci do it." >&2
    exit 1
}

cat >"$work/fastallocd" <<END_OF_DAEMON
#!/bin/sh
exec '$build/daemon/fastallocd' --log-level warn --prefix '$prefix' "\$@"
END_OF_DAEMON
chmod +x "$work/fastallocd"

# run NAME: to its end, with its output in $work/out.
run()
{
    status=0
    (limit=120 && become "$1") || status=$?
    [ $status = 0 ] || die "it ended with status $status"
    [ ! -s "$work/err" ] || die "it complains"
    cat "$work/out"
}

# shows PATTERN...: requires a line in $work/out for each (extended, whole).
shows()
{
    for pattern; do
        grep -Eqx -e "$pattern" "$work/out" || die "no line is: $pattern"
    done
}

something_is_left()
{
    left=$(their_processes)
    [ -z "$left" ] || return 0
    for segment in "/dev/shm/$prefix-"*; do
        [ ! -e "$segment" ] || left=$segment
    done
    [ -n "$left" ]
}

# nothing_is_left WHEN: a daemon of an example's own ends a moment after its last client.
nothing_is_left()
{
    tries=0
    while something_is_left; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || die "left behind $1: $left"
        sleep 0.1
    done
}

# ---------------------------------------------------------------- what they have to say

# The number that stands in the output before these words.
number()
{
    sed -n "s/.*\(^\|[^0-9]\)\([0-9][0-9]*\) $1.*/\2/p" "$work/out" | head -n 1
}

# The value of a key in the report for programs.
value()
{
    sed -n "s/^$1=//p" "$work/out"
}

equal()
{
    [ "$2" -eq "$3" ] || die "$1: $2 is not $3"
}

check_basic_usage()
{
    shows '1\. a pool: "basic_usage-[0-9]+", 8 notes of 64 bytes' \
        '2\. a note: handle 0@[0-9a-f]+, "buy milk"' \
        '   FASTALLOC_E_DOUBLE_FREE: .+' \
        '4\. exhausted: all 8 are in use' \
        '   FASTALLOC_E_EXHAUSTED: .*8/8.*' \
        '5\. a draft, as long as its variable: 1 in use, then 0' \
        '6\. another process reads: "how is the sea\?"' \
        '   and has answered: "it is cold"' \
        '7\. the end: 0 of 8 in use'
}

check_custom_initialization()
{
    shows 'lazy: the pool is there +initialize  0 +reset  0 +on_acquire  0 +on_release  0' \
        '  all taken at once +initialize 16 +reset +[0-9]+ +on_acquire 26 +on_release 10' \
        'eager: the pool is there +initialize 16 +reset  0 +on_acquire  0 +on_release  0' \
        '  after one use +initialize 16 +reset  0 +on_acquire  1 +on_release  1' \
        'killed with three in its hands +initialize 13 +reset  3 +on_acquire 16 +on_release  0' \
        '  3 of 16 came from one who never released them, and were mended' \
        'refused: FASTALLOC_E_HOOK: .*42.*'
}

check_game_entities()
{
    shows 'frame  90: the mind crashed; another takes over' 'live \|.{80,}\| of 200'
    equal 'spawned entities' "$(number spawned)" \
        $(($(number despawned) + $(number 'reclaimed from the crash')))
    [ "$(number 'were slain')" -gt 0 ] || die "nobody was slain"
}

check_particle_system()
{
    shows '4 processes, 120 frames, .*' 'alive \|.{60,}\| of 5000' 'all 5000 slots can be had again'
    emitted=$(sed -n 's/^emitted \([0-9]*\), died.*/\1/p' "$work/out")
    died=$(sed -n 's/.*, died \([0-9]*\),.*/\1/p' "$work/out")
    alive=$(sed -n 's/.*at the end \([0-9]*\);.*/\1/p' "$work/out")
    equal 'emitted particles' "$emitted" $((died + alive))
    [ "$emitted" -gt 5000 ] || die "no slot was used twice"
}

check_statistics()
{
    shows 'in use \|.{60,}\| of 1000' \
        'the other one: allocated 100, freed 40, has 60' \
        'full: 2 failures, one of them after waiting \(1\)' \
        'a process was killed: 60 slots reclaimed from it' \
        'Pool: 300/1000 \(30\.0%\) \| Allocs: 0 \| Deallocs: 0 \| Failures: 0'
    equal 'allocations' "$(value total_allocations)" \
        $(($(value total_deallocations) + $(value reclaimed) + $(value current_usage)))
    equal 'available slots' "$(value available)" $(($(value capacity) - $(value current_usage)))
    shows "Pool: 300/1000 \\(30\\.0%\\) \\| Allocs: $(value total_allocations) \\| \
Deallocs: $(value total_deallocations) \\| Failures: 2"
}

check_thread_local()
{
    shows 'moved +20 items made by one thread, read and freed by another' \
        'private +4 threads, .* (99\.[0-9]+|100\.00) % from the thread.s own cache' \
        'shared +4 threads, .* (99\.[0-9]+|100\.00) % from the thread.s own cache' \
        'unused +all 4096 slots are one thread.s, though 4 sleeping ones had some cached'
}

check_event_loop()
{
    shows '600 jobs through 16 slots, every one computed: yes'
    equal jobs "$(awk '/^consumer/ { sum += $3 } END { print sum }' "$work/out")" 600
    [ "$(number 'times meanwhile')" -gt 0 ] || die "the loop stood still"
}

check_multiprocessing_ctypes()
{
    shows 'worker [0-9]+ was killed with samples \[[0-9]+, [0-9]+, [0-9]+\]: reclaimed after [0-9]+ ms' \
        '400 samples of 3 workers, every one computed once; 0 of 64 slots in use at the end'
}

# ------------------------------------------------------------------------- the server

# The page of that path, in $work/page.
fetch()
{
    python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=10).read().decode(), end="")' \
        "$url$1" >"$work/page" || die "$url$1 cannot be fetched"
}

# How many connections of which worker there are, the most first.
connections()
{
    fetch status
    awk 'NF == 3 && $1 ~ /^[0-9]+$/ { count[$1]++ }
        END { for (worker in count) print count[worker], worker }' "$work/page" | sort -rn
}

# load OPTION...: 40 clients, each with a connection that it keeps; what ab says of it
# at the end is in $work/ab.  To be run in the background: it turns this shell into ab.
load()
{
    exec ab -q -r -k -c 40 "$@" "$url" >"$work/ab" 2>&1
}

# What ab says behind these words.
of_ab()
{
    sed -n "s/^$1: *\([0-9][0-9]*\).*/\1/p" "$work/ab"
}

start_server()
{
    : >"$work/out" # or the address of the last one could be read
    become server_connections &
    server=$!
    tries=0
    until url=$(sed -n 's|^serving \(http://[0-9.:]*/\) with.*|\1|p' "$work/out") && [ -n "$url" ]; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || die "it does not serve"
        kill -0 $server 2>/dev/null || die "it has ended"
        sleep 0.1
    done
}

# The worker with the most connections, once there are ten: "CONNECTIONS PID".  Fails when
# the load ends before.
busiest()
{
    until most=$(connections | head -n 1) && [ "${most:-0 0}" != "${most#[1-9][0-9]}" ]; do
        [ -z "$(of_ab 'Complete requests')" ] || return 1
        sleep 0.1
    done
    echo "$most"
}

# Kills the worker with the most connections under load; tries with a longer one where this
# machine is too slow to get that done before the load ends.
kill_worker()
{
    for seconds in 2 5 20; do
        load -t $seconds -n 10000000 &
        loader=$!
        killed=
        if victim=$(busiest) && kill -KILL "${victim#* }"; then
            [ -n "$(of_ab 'Complete requests')" ] || killed=yes
        fi
        wait $loader || die "ab ended with status $?: $(cat "$work/ab")"
        loader=
        [ -z "$killed" ] || return 0
    done
    die "no worker could be killed under load"
}

# Until the connection that asks is the only one; then its page is in $work/page.
until_alone()
{
    tries=0
    until fetch status && grep -q '^Pool: 1/128 ' "$work/page"; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || die "connections are left: $(cat "$work/page")"
        sleep 0.1
    done
}

# Under load a worker is killed.  Its clients, and no others, notice; its connections go back
# to the pool; another takes its place, and nothing fails any more.
check_server()
{
    start_server
    kill_worker
    until_alone
    shows "worker ${victim#* } was killed by signal 9, worker [0-9]+ takes its place"
    reclaimed=$(sed -n 's/^reclaimed from dead workers: //p' "$work/page")
    [ "$reclaimed" -gt 0 ] || die "nothing was reclaimed from the dead worker"
    counts=$(sed -n 's/.* Allocs: \([0-9]*\) | Deallocs: \([0-9]*\) .*/\1 \2/p' "$work/page")
    equal connections "${counts% *}" $((${counts#* } + reclaimed + 1))
    failed=$(sed -n 's/.*(Connect: \([0-9]*\), Receive: \([0-9]*\),.*/\1 \2/p' "$work/ab")
    failed=${failed:-0 0}
    equal 'connections refused' "${failed% *}" 0
    [ "${failed#* }" -le "$reclaimed" ] ||
        die "${failed#* } clients lost a request, but the dead worker had $reclaimed"
    echo "$(of_ab 'Complete requests') requests; a worker with ${victim% *} connections was killed:" \
        "$reclaimed connections reclaimed, ${failed#* } requests lost"

    (load -n 3000) || die "ab ended with status $?: $(cat "$work/ab")"
    equal 'requests answered afterwards' "$(of_ab 'Complete requests')" 3000
    equal 'requests failed afterwards' "$(of_ab 'Failed requests')" 0
    until_alone
    connections >/dev/null
    kill -TERM "$server"
    status=0
    wait "$server" || status=$?
    [ $status = 0 ] || die "the server ended with status $status"
    [ ! -s "$work/err" ] || die "the server complains"
    tail -n 1 "$work/out"
    shows '[0-9]+ connections: [0-9]+ closed, [0-9]+ reclaimed from dead workers, 0 left; .*'
    nothing_is_left "by the server"
}

# The master is killed under load.
kill_server()
{
    start_server
    load -t 20 -n 10000000 &
    loader=$!
    busiest >/dev/null || die "no worker had ten connections"
    kill -KILL "$server"
    wait "$server" 2>/dev/null || :
    kill $loader 2>/dev/null || :
    wait $loader 2>/dev/null || : # nobody serves it any more
    loader=
    nothing_is_left "by the server, killed"
}

# -------------------------------------------------------------------------------- all

for one in $all; do
    name=$one
    echo "--- $one"
    run "$one"
    "check_$one"
    nothing_is_left "by $one"
done

name=server_connections
echo "--- $name"
check_server
kill_server

# Wherever they are then.
for delay in 0.02 0.2; do
    for one in $all; do
        name=$one
        become "$one" &
        pid=$!
        sleep $delay
        kill -KILL $pid 2>/dev/null || :
        wait $pid 2>/dev/null || :
        nothing_is_left "by $one, killed after $delay s"
    done
done
echo "--- killed: nothing is left"
