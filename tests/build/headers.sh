#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each installed header compiles by itself, as C11 and as C++17, with and without
# the inlined fast path, without a warning; and the version in it is the build's.
set -eu

src=${FASTALLOC_TEST_SRCDIR:-$(pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
warnings='-Wall -Wextra -Wpedantic -Werror'

# compile COMMAND LANGUAGE STANDARD [FLAG...]; $CC may be several words.
compile()
{
    command=$1 language=$2 standard=$3
    shift 3
    # shellcheck disable=SC2086
    $command -x "$language" -std="$standard" $warnings "$@" -I"$src/include" \
        -c "$work/header.c" -o "$work/header.o" || {
        echo "failed: $header as $standard $*" >&2
        exit 1
    }
}

for path in "$src"/include/fastalloc/*; do
    header=fastalloc/${path##*/}
    case $header in
    fastalloc/inline.h | fastalloc/stats.h | fastalloc/typed.h) # come with fastalloc.h
        printf '#include <fastalloc/fastalloc.h>\n#include <%s>\n' "$header" >"$work/header.c" ;;
    *)
        printf '#include <%s>\n#include <%s>\n' "$header" "$header" >"$work/header.c" ;;
    esac
    cat >>"$work/header.c" <<'END'
#ifdef FASTALLOC_DEFINE_POOL
struct thing { int number; };
FASTALLOC_DEFINE_POOL(things, struct thing);
#endif
int main(void) { return 0; }
END
    case $header in
    *.h)
        compile "${CC:-cc}" c c11
        compile "${CC:-cc}" c c11 -DFASTALLOC_INLINE -O2 ;;
    esac
    compile "${CXX:-c++}" c++ c++17
    compile "${CXX:-c++}" c++ c++17 -DFASTALLOC_INLINE -O2
    echo "ok: $header"
done

version=$(sed -n 's/^#define FASTALLOC_VERSION_[MP][A-Z]* \([0-9]*\)$/\1/p' \
    "$src/include/fastalloc/fastalloc.h" | paste -sd. -)
if [ "$version" != "${FASTALLOC_TEST_VERSION:-$version}" ]; then
    echo "fastalloc.h says version $version, configure.ac $FASTALLOC_TEST_VERSION" >&2
    exit 1
fi
