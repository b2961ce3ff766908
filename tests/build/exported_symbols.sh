#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The library exports what the installed headers declare as FASTALLOC_API, and
# nothing more.
set -eu

src=${FASTALLOC_TEST_SRCDIR:-$(pwd)}
build=${FASTALLOC_TEST_BUILDDIR:-$src}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Each declaration up to its ";", comments and directives taken out: the name is
# what stands before the first parenthesis, or last in a variable's declaration.
cat "$src"/include/fastalloc/*.h | awk '
    {
        line = $0
        text = ""
        while (line != "") {
            if (inside) {
                at = index(line, "*/")
                if (!at) break
                line = substr(line, at + 2)
                inside = 0
            } else {
                at = index(line, "/*")
                if (!at) { text = text line; break }
                text = text substr(line, 1, at - 1)
                line = substr(line, at + 2)
                inside = 1
            }
        }
        if (directive || text ~ /^[ \t]*#/) {
            directive = (text ~ /\\$/)
            next
        }
        print text
    }' | tr '\n' ' ' | sed 's/[;{}]/\n/g' | sed -n '/FASTALLOC_API/{
        s/__attribute__.*//
        /(/s/^[^(]*[^a-z0-9_]\(fastalloc_[a-z0-9_]*\)(.*/\1/p
        /(/!s/.*[^a-z0-9_]\(fastalloc_[a-z0-9_]*\)[ 	]*$/\1/p
    }' | sort -u >"$work/declared"

if [ ! -e "$build/lib/.libs/libfastalloc.so" ]; then
    echo "skipped: built with --disable-shared"
    exit 77
fi
nm -D --defined-only "$build/lib/.libs/libfastalloc.so" |
    awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u >"$work/exported"

[ -s "$work/declared" ] || { echo "no declaration found in the headers" >&2; exit 1; }
if ! diff "$work/declared" "$work/exported" >"$work/difference"; then
    echo "declared in the headers but not exported (<), or exported but not declared (>):" >&2
    grep '^[<>]' "$work/difference" >&2
    exit 1
fi
echo "$(wc -l <"$work/exported") symbols, as declared"
