#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Typed pools: mixing the pools, handles or objects of two faces does not compile, and the
# right uses do, without a warning.  Each wrong use stands beside the right one that it differs from
# in one word, so that it is refused for that word and for nothing else.
set -eu

src=${FASTALLOC_TEST_SRCDIR:-$(pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# Writes a program whose function does what $1 says.
write()
{
    cat >"$work/use.c" <<END
#include <fastalloc/fastalloc.h>
struct order { unsigned long number; };
struct trade { unsigned long number; };
FASTALLOC_DEFINE_POOL(orders, struct order);
FASTALLOC_DEFINE_POOL(trades, struct trade);
int use(orders_pool op, trades_pool tp, orders_handle oh, trades_handle th, fastalloc_pool *plain,
        fastalloc_handle number, struct order *order, struct trade *trade,
        struct order **orders_out, struct trade **trades_out, char *text);
int use(orders_pool op, trades_pool tp, orders_handle oh, trades_handle th, fastalloc_pool *plain,
        fastalloc_handle number, struct order *order, struct trade *trade,
        struct order **orders_out, struct trade **trades_out, char *text)
{
    (void)op, (void)tp, (void)oh, (void)th, (void)plain, (void)number, (void)order, (void)trade;
    (void)orders_out, (void)trades_out, (void)text;
    $1
    return 0;
}
END
}

# compiles COMMAND... : quietly; what it says is in $work/said.
compiles()
{
    # shellcheck disable=SC2068
    $@ -I"$src/include" -c "$work/use.c" -o "$work/use.o" >"$work/said" 2>&1
}

# Of every compiler there is, in C and C++.  In C an object of another type is an
# incompatible pointer, which gcc before 14 and clang before 16 only warn of.
c_flags='-x c -std=c11 -Wall -Wextra -Wpedantic -Werror=incompatible-pointer-types'
cxx_flags='-x c++ -std=c++17 -Wall -Wextra -Wpedantic'

# $1 is right, $2 differs from it and is wrong.
differ()
{
    while read -r compiler; do
        write "$1"
        if ! compiles "$compiler" -Werror; then
            echo "$compiler refuses what is right: $1" >&2
            cat "$work/said" >&2
            failures=$((failures + 1))
        fi
        write "$2"
        if compiles "$compiler"; then
            echo "$compiler takes what is wrong: $2" >&2
            failures=$((failures + 1))
        fi
    done <"$work/compilers"
    echo "refused: $2"
}

add_compiler()
{
    # shellcheck disable=SC2086 # a command may be several words
    if command -v ${1%% *} >/dev/null 2>&1; then
        echo "$1 $2" >>"$work/compilers"
    else
        echo "not installed: $1"
    fi
}

add_compiler "${CC:-cc}" "$c_flags"
add_compiler gcc "$c_flags"
add_compiler clang "$c_flags"
add_compiler "${CXX:-c++}" "$cxx_flags"
add_compiler g++ "$cxx_flags"
add_compiler clang++ "$cxx_flags"
sort -u -o "$work/compilers" "$work/compilers"

# A handle of another face.
differ 'return orders_free(op, oh);' 'return orders_free(op, th);'
differ 'return orders_get(op, oh) == order;' 'return orders_get(op, th) == order;'
differ 'return orders_adopt(op, oh);' 'return orders_adopt(op, th);'
differ 'return orders_give(op, oh, 1);' 'return orders_give(op, th, 1);'
differ 'return orders_leave(op, oh, 0);' 'return orders_leave(op, th, 0);'
differ 'return orders_share(op, oh);' 'return orders_share(op, th);'
differ 'return orders_ref(op, oh);' 'return orders_ref(op, th);'
differ 'return orders_unref(op, oh);' 'return orders_unref(op, th);'
differ 'return orders_equal(oh, oh);' 'return orders_equal(oh, th);'
differ 'return orders_is_none(oh);' 'return orders_is_none(th);'
differ 'return orders_is_mine(op, oh);' 'return orders_is_mine(op, th);'
differ 'return orders_index(op, oh) == 0;' 'return orders_index(op, th) == 0;'
differ 'return orders_text(op, oh, text) == text;' 'return orders_text(op, th, text) == text;'
differ 'return orders_set_root(op, oh, oh);' 'return orders_set_root(op, oh, th);'
differ 'oh = orders_root(op);' 'th = orders_root(op);'
differ 'oh = orders_none();' 'th = orders_none();'
differ 'return orders_alloc(op, &oh, orders_out);' 'return orders_alloc(op, &th, orders_out);'
differ 'return orders_free_batch(op, 1, &oh, (size_t *)0);' \
    'return orders_free_batch(op, 1, &th, (size_t *)0);'

# A pool of another face.
differ 'return orders_free(op, oh);' 'return orders_free(tp, oh);'
differ 'return orders_get(op, oh) == order;' 'return orders_get(tp, oh) == order;'
differ 'return orders_alloc(op, &oh, orders_out);' 'return orders_alloc(tp, &oh, orders_out);'
differ 'return orders_alloc_batch(op, 1, &oh, orders_out);' \
    'return orders_alloc_batch(tp, 1, &oh, orders_out);'
differ 'return orders_close(&op);' 'return orders_close(&tp);'

# An object of another type.
differ 'return orders_alloc(op, &oh, orders_out);' 'return orders_alloc(op, &oh, trades_out);'
differ 'return orders_alloc_wait(op, &oh, orders_out, 0);' \
    'return orders_alloc_wait(op, &oh, trades_out, 0);'
differ 'return orders_alloc_batch(op, 1, &oh, orders_out);' \
    'return orders_alloc_batch(op, 1, &oh, trades_out);'
differ 'return orders_handle_of(op, order, &oh);' 'return orders_handle_of(op, trade, &oh);'
differ 'order = orders_get(op, oh); (void)order;' 'trade = orders_get(op, oh); (void)trade;'

# What has no type.
differ 'return orders_free(op, oh);' 'return orders_free(op, number);'
differ 'return orders_free(op, oh);' 'return orders_free(plain, oh);'
differ 'return fastalloc_free(plain, number);' 'return fastalloc_free(plain, oh);'
differ 'return fastalloc_free(op.pool, oh.value);' 'return fastalloc_free(op, oh.value);'

if [ "$failures" -ne 0 ]; then
    echo "$failures failed" >&2
    exit 1
fi
