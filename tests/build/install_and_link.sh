#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What `make install` puts down is enough for a stranger: a small program finds
# header and library through pkg-config, compiles as C11 and as C++17 without a
# warning, creates a pool and allocates; and so does one that includes fastalloc.hpp.
set -eu

build=${FASTALLOC_TEST_BUILDDIR:-$(pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

(unset MAKEFLAGS MFLAGS && cd "$build" && "${MAKE:-make}" -s install DESTDIR="$root") >"$work/install.log" 2>&1 || {
    cat "$work/install.log" >&2
    exit 1
}

pc=$(find "$root" -name fastalloc.pc)
libdir=$(dirname "$(find "$root" -name libfastalloc.so)")
[ -n "$pc" ] || { echo "fastalloc.pc was not installed" >&2; exit 1; }
for file in bin/fastallocd bin/fastallocctl include/fastalloc/fastalloc.h; do
    find "$root" -path "*/$file" | grep -q . || { echo "$file was not installed" >&2; exit 1; }
done
extra=$(find "$root" \( -name '*.la' -o -name 'lib*.a' -o -name 'lib*.so' \) |
    grep -v '/libfastalloc\.' || true)
[ -z "$extra" ] || { echo "installed, and should not be: $extra" >&2; exit 1; }

cat >"$work/program.c" <<'END'
#include <fastalloc/fastalloc.h>
int main(void) {
    fastalloc_pool *pool; fastalloc_handle handle; fastalloc_pool_config config;
    fastalloc_pool_config_init(&config); config.object_size = 64; config.capacity = 100;
    return fastalloc_pool_create_local(&config, &pool) || fastalloc_alloc(pool, &handle, NULL);
}
END

PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
flags=$("${PKG_CONFIG:-pkg-config}" --cflags --libs fastalloc)
echo "pkg-config: $flags"

# try LANGUAGE STANDARD COMMAND; several words in the command and the flags are meant.
try()
{
    # shellcheck disable=SC2086
    $3 -x "$1" -std="$2" -Wall -Wextra -Wpedantic -Werror ${FASTALLOC_TEST_CFLAGS:-} \
        "$work/program.c" -x none $flags -o "$work/program"
    LD_LIBRARY_PATH=$libdir "$work/program" || {
        echo "the program, compiled as $2, ended with $?" >&2
        exit 1
    }
    echo "ok: $2"
}
try c c11 "${CC:-cc}"
try c++ c++17 "${CXX:-c++}"

cat >"$work/program.c" <<'END'
#include <fastalloc/fastalloc.hpp>
int main() { return fastalloc::pool<int>::create_local(100).make(7).get() == nullptr; }
END
try c++ c++17 "${CXX:-c++}"
