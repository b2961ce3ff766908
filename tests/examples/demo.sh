#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The demonstration, and a test: a daemon of its own, the word count with a worker
# killed in mid-work, what fastallocctl says of the pool meanwhile and afterwards, and a look at
# whether anything is left.  `make demo` runs it, and so does `make check`.
set -eu

build=${abs_top_builddir-${FASTALLOC_TEST_BUILDDIR-.}}
source=${abs_top_srcdir-${FASTALLOC_TEST_SRCDIR-.}}
wordcount=$build/tests/examples/wordcount
work=$(mktemp -d)
prefix=fademo-$$
daemon=

die()
{
    [ ! -s "$work/log" ] || sed 's/^/    /' "$work/log" >&2
    echo "demo: failed: $*"
    exit 1
}

# shellcheck disable=SC2317 # the trap calls it
clean_up()
{
    status=$?
    trap - EXIT
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null || :
        wait "$daemon" || :
    fi
    rm -f "/dev/shm/$prefix-"*
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# Fails if a segment or a process of ours still exists.
nothing_is_left()
{
    for segment in "/dev/shm/$prefix-"*; do
        [ ! -e "$segment" ] || die "$segment is left"
    done
    for process in /proc/[0-9]*; do
        # shellcheck disable=SC2094 # a process may end while it is looked at
        if tr '\0' ' ' <"$process/cmdline" 2>/dev/null | grep -Fq "$work/"; then
            die "process ${process#/proc/} is left: $(tr '\0' ' ' <"$process/cmdline")"
        fi
    done 2>/dev/null
}

# The texts to count: the system's licences (wordcount's own choice) or, where it ships
# none, the sources of the project.
set --
for directory in /usr/share/common-licenses /usr/share/licenses; do
    [ -z "$(find -L "$directory" -type f -size +0 2>/dev/null | head -n 1)" ] || found=yes
done
[ -n "${found-}" ] || set -- "$source"/LICENSE "$source"/lib/*/*.c "$source"/daemon/*/*.c
# Sanitizers cost their time; the crash is the same.
[ -z "${FASTALLOC_TEST_SANITIZERS-}" ] || set -- --repeat 50 "$@"

"$build/daemon/fastallocd" --foreground --log-level warn --prefix "$prefix" \
    --socket "$work/socket" 2>"$work/log" &
daemon=$!
tries=0
until "$build/daemon/fastallocctl" --socket "$work/socket" list >/dev/null 2>&1; do
    kill -0 "$daemon" 2>/dev/null || die "the daemon did not start"
    tries=$((tries + 1))
    [ $tries -lt 100 ] || die "the daemon does not answer"
    sleep 0.1
done

# What fastallocctl shows on the way.
ctl="'$build/daemon/fastallocctl' --socket '$work/socket'"
at_kill="echo; echo \"\\$ fastallocctl stat \$WORDCOUNT_POOL    (a worker is stopped, with blocks in its hands)\"
    $ctl stat \"\$WORDCOUNT_POOL\" | sed -n '/^.*sessions/,\$p'"
at_end="echo; echo '\$ fastallocctl check'; $ctl check; echo"

"$wordcount" --kill --at-kill "$at_kill" --at-end "$at_end" --socket "$work/socket" "$@"

# Behind "demo: ok" there is nothing to be said unless something is left.
kill "$daemon" || die "the daemon has ended by itself"
status=0
wait "$daemon" || status=$?
daemon=
[ "$status" = 0 ] || die "the daemon ended with status $status"
nothing_is_left
