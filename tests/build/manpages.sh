#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The man pages are well-formed (mandoc -T lint, or man --warnings), and every function and every
# constant that the headers declare has its entry in a page of section 3.
set -eu

src=${FASTALLOC_TEST_SRCDIR:-$(pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

for page in "$src"/man/*.[1-9]; do
    if command -v mandoc >/dev/null 2>&1; then
        # Style is a matter of taste; and pages that are not installed here are not missing.
        complaints=$(mandoc -T lint -W warning "$page" | grep -v 'STYLE:' || :)
    elif man --version 2>/dev/null | grep -q 'man 2\.'; then
        complaints=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=100 \
            man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null || :)
    else
        echo "neither mandoc nor man-db is installed: only the entries are looked at"
        complaints=
    fi
    [ -z "$complaints" ] || {
        echo "$complaints" >&2
        failed=1
    }
done

# What ends in "_" is no interface.
cat "$src"/include/fastalloc/*.h >"$work/headers"
cat "$src"/man/*.3 >"$work/pages"
sed -n 's/^FASTALLOC_API .*[ *]\(fastalloc_[a-z_]*[a-z]\)(.*/\1/p' "$work/headers" >"$work/functions"
sed -n 's/^#define \(FASTALLOC_[A-Z_]*[A-Z]\)\([ (].*\)*$/\1/p' "$work/headers" |
    grep -Ev '_(H|API)$' >"$work/constants"
sed -n 's/^    \(FASTALLOC_E_[A-Z_]*[A-Z]\) = .*/\1/p' "$work/headers" |
    grep -v '_LAST$' >>"$work/constants"
for list in functions constants; do
    [ "$(wc -l <"$work/$list")" -ge 50 ] || {
        echo "too few $list were found in the headers" >&2
        failed=1
    }
done
while read -r function; do
    grep -q "^\.Fo $function\$" "$work/pages" || {
        echo "no page of section 3 has .Fo $function" >&2
        failed=1
    }
done <"$work/functions"
while read -r constant; do
    grep -qw "$constant" "$work/pages" || {
        echo "no page of section 3 has $constant" >&2
        failed=1
    }
done <"$work/constants"
exit $failed
