#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Compiles the tests of fastalloc.hpp (cpp_*.cpp) without a warning and runs them beside a daemon
# of their own: with $CXX, and unless a sanitizer is about, with the other of g++ and clang++
# where there is one; as C++17 and as C++20, through the library's functions and inlined, and,
# cpp_values.cpp, without exceptions and run-time type information.
set -eu

build=${FASTALLOC_TEST_BUILDDIR:-.}
src=${FASTALLOC_TEST_SRCDIR:-.}
daemon=${FASTALLOCD:-$build/daemon/fastallocd}
tests=$src/tests/integration
work=$(mktemp -d)
prefix=facpp-$$
pid=
warnings='-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Werror'

# shellcheck disable=SC2317 # the trap calls it
clean_up()
{
    status=$?
    trap - EXIT
    if [ -n "$pid" ]; then
        kill "$pid" 2>/dev/null || :
        wait "$pid" || :
    fi
    rm -f "/dev/shm/$prefix-"*
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

start_daemon()
{
    "$daemon" --foreground --log-level warn --prefix "$prefix" --socket "$work/socket" \
        2>"$work/log" &
    pid=$!
    tries=0
    until [ -S "$work/socket" ]; do
        tries=$((tries + 1))
        if [ $tries -ge 100 ] || ! kill -0 "$pid" 2>/dev/null; then
            echo "the daemon did not start:" >&2
            cat "$work/log" >&2
            exit 1
        fi
        sleep 0.1
    done
    FASTALLOC_SOCKET=$work/socket
    export FASTALLOC_SOCKET
}

# try COMPILER STANDARD FILES [FLAG...]: several words in the compiler and the files are meant.
try()
{
    compiler=$1 standard=$2 files=$3
    shift 3
    echo "$compiler -std=$standard $*:"
    sources=
    for file in main $files; do
        sources="$sources $tests/cpp_$file.cpp"
    done
    # shellcheck disable=SC2086
    $compiler -std="$standard" -O1 $warnings ${FASTALLOC_TEST_CFLAGS-} "$@" -I"$src/include" \
        $sources -o "$work/program" -L"$build/lib/.libs" -lfastalloc \
        -Wl,-rpath,"$build/lib/.libs" -pthread
    timeout 300 "$work/program"
}

everything='handles pools shared pmr values'
first=${CXX:-c++}
case $first in
*clang*) second=g++ ;;
*) second=clang++ ;;
esac
[ -z "${FASTALLOC_TEST_SANITIZERS-}" ] || second=
if [ -n "$second" ] && ! command -v "$second" >/dev/null; then
    echo "there is no $second: only $first is tried"
    second=
fi

start_daemon
try "$first" c++17 "$everything"
[ -n "$second" ] || try "$first" c++17 values -fno-exceptions -fno-rtti
if [ -n "$second" ]; then
    try "$second" c++20 "$everything" -DFASTALLOC_INLINE
    try "$first" c++20 values -fno-exceptions -fno-rtti -DFASTALLOC_INLINE
    try "$second" c++17 values -fno-exceptions -fno-rtti
fi
kill "$pid"
wait "$pid" || { echo "the daemon ended with $?" >&2; exit 1; }
pid=
[ ! -s "$work/log" ] || { cat "$work/log" >&2; exit 1; }
for segment in "/dev/shm/$prefix-"*; do
    [ ! -e "$segment" ] || { echo "left behind: $segment" >&2; exit 1; }
done
