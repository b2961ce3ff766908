#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Compiles check_api.cpp as a C++17 program against the built library, without a warning,
# and runs it.
set -eu

build=${FASTALLOC_TEST_BUILDDIR:-.}
src=${FASTALLOC_TEST_SRCDIR:-.}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# shellcheck disable=SC2086 # the flags are several words
"${CXX:-c++}" -std=c++17 -O2 -Wall -Wextra -Wpedantic -Wshadow -Werror \
    ${FASTALLOC_TEST_CFLAGS-} -I"$src/include" "$src/tests/unit/check_api.cpp" \
    -o "$work/check_api" -L"$build/lib/.libs" -lfastalloc -Wl,-rpath,"$build/lib/.libs" -pthread
"$work/check_api"
