#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What README.md, MIGRATION.md and the man pages show as C compiles as it stands, without a
# warning, as C11; what they show as C++ as C++17, with g++ and clang++ where there are both; and
# what is a whole program also runs, with a daemon of its own, and ends with 0.
#
# In README.md and MIGRATION.md a snippet stands between ```c and ```; in the man pages of
# sections 3 and 7 (mdoc) between .Bd -literal and .Ed, unless its first line is a prompt ("$ "
# or "# ").  C++ stands between ```cpp and ```, and in fastalloc.hpp(3).
# Three kinds:
#
#     with main()      a program: compiled, linked, run
#     with #include    a part of a source file: compiled
#     anything else    statements: compiled as the body of a function that has a
#                      client, a pool, a handle, an object and an error (in C++: a client, and
#                      a pool<order> "orders")
set -eu
LC_ALL=C
export LC_ALL

src=${FASTALLOC_TEST_SRCDIR:-$(pwd)}
build=${FASTALLOC_TEST_BUILDDIR:-$src}
daemon=${FASTALLOCD:-$build/daemon/fastallocd}
work=$(mktemp -d)
prefix=fasnippet-$$
failed=0 compiled=0 ran=0 pid=

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

# -------------------------------------------------------------- extracting
# Each snippet goes to $work/snippets/<file>:<line>.c or .cpp.

mkdir "$work/snippets"
for document in README.md MIGRATION.md; do
    awk -v to="$work/snippets/$document" '
        /^```c(pp)?$/ { out = to ":" NR "." substr($0, 4); printf "" >out; next }
        /^```/ && out { close(out); out = ""; next }
        out { print >out }' "$src/$document"
done

for page in "$src"/man/*.[37]; do
    case $page in
    *.hpp.3) language=cpp ;;
    *) language=c ;;
    esac
    awk -v to="$work/snippets/${page##*/}" -v language=$language '
        /^\.Bd .*-literal/ { out = to ":" NR "." language; first = 1; next }
        /^\.Ed/ { if (out) close(out); out = ""; next }
        out && first { first = 0; if ($0 ~ /^[$#] /) { out = ""; next } printf "" >out }
        out {
            gsub(/^\\&|\\&/, ""); gsub(/\\\(aq/, "\047"); gsub(/\\\(dq/, "\"")
            gsub(/\\-/, "-"); gsub(/\\(e|\(rs)/, "\\")
            print >out
        }' "$page"
done

# --------------------------------------------------------------- compiling

warnings='-Wall -Wextra -Wpedantic -Werror'

# The other C++ compiler, unless a sanitizer ties us to one.
case ${CXX:-c++} in
*clang*) second=g++ ;;
*) second=clang++ ;;
esac
if [ -n "${FASTALLOC_TEST_SANITIZERS:-}" ] || ! command -v "$second" >/dev/null; then
    second=
fi

# compile LANGUAGE SOURCE OBJECT; several words in the compilers and the flags are meant.
compile()
{
    case $1 in
    c)
        # shellcheck disable=SC2086
        ${CC:-cc} -std=gnu11 $warnings ${FASTALLOC_TEST_CFLAGS:-} -I"$src/include" \
            -c "$2" -o "$3" ;;
    cpp)
        for compiler in $second "${CXX:-c++}"; do
            # shellcheck disable=SC2086
            $compiler -std=c++17 $warnings ${FASTALLOC_TEST_CFLAGS:-} -I"$src/include" \
                -c "$2" -o "$3" || return
        done ;;
    esac
}

# link LANGUAGE OBJECT PROGRAM
link()
{
    linker=${CC:-cc}
    [ "$1" = c ] || linker=${CXX:-c++}
    # shellcheck disable=SC2086
    "$build/libtool" --silent --tag=CC --mode=link $linker ${FASTALLOC_TEST_CFLAGS:-} -pthread \
        -no-install "$2" "$build/lib/libfastalloc.la" -o "$3"
}

wrap_cpp()
{
    cat <<'END'
#include <fastalloc/fastalloc.hpp>
#include <chrono>
#include <iostream>
#include <string>
#include <utility>
#include <vector>
struct order { int number; double price; };
void snippet(fastalloc::client &client, fastalloc::pool<order> &orders);
void snippet(fastalloc::client &client, fastalloc::pool<order> &orders)
{
    (void)client; (void)orders;
    {
END
    cat "$1"
    printf '    }\n}\n'
}

wrap_c()
{
    cat <<'END'
#include <fastalloc/fastalloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int snippet(fastalloc_client *client, fastalloc_pool *pool, fastalloc_handle handle, void *object);
int snippet(fastalloc_client *client, fastalloc_pool *pool, fastalloc_handle handle, void *object)
{
    int error = 0;
    (void)client; (void)pool; (void)handle; (void)object;
    {
END
    cat "$1"
    printf '    }\n    return error;\n}\n'
}

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

start_daemon
for snippet in "$work"/snippets/*; do
    language=${snippet##*.}
    name=${snippet##*/} name=${name%.*}
    source=$work/source.$language
    if grep -q '#include' "$snippet"; then
        cp "$snippet" "$source"
    else
        "wrap_$language" "$snippet" >"$source"
    fi
    if ! compile "$language" "$source" "$work/source.o" 2>"$work/errors"; then
        echo "$name does not compile:" >&2
        cat "$work/errors" "$source" >&2
        failed=$((failed + 1))
        continue
    fi
    compiled=$((compiled + 1))
    grep -q '^int main(' "$snippet" || continue
    if ! link "$language" "$work/source.o" "$work/program" >"$work/errors" 2>&1 ||
        ! (cd "$work" && timeout 60 ./program) >"$work/output" 2>"$work/errors" </dev/null; then
        echo "$name does not run:" >&2
        cat "$work/errors" >&2
        failed=$((failed + 1))
        continue
    fi
    ran=$((ran + 1))
    sed "s/^/$name: /" "$work/output"
done

kill "$pid"
wait "$pid" || failed=$((failed + 1))
pid=
for segment in "/dev/shm/$prefix-"*; do
    [ ! -e "$segment" ] || { echo "left behind: $segment" >&2; failed=$((failed + 1)); }
done
echo "$compiled snippets compile, $ran programs run, $failed failures"
[ $failed = 0 ] && [ $ran -gt 0 ]
