#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The man pages are well-formed (mandoc -T lint, or man --warnings), and every function that
# fastalloc.h declares has its entry in fastalloc(3).
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

sed -n 's/^FASTALLOC_API .*[ *]\(fastalloc_[a-z_]*\)(.*/\1/p' \
    "$src/include/fastalloc/fastalloc.h" >"$work/functions"
[ -s "$work/functions" ] || {
    echo "no functions were found in fastalloc.h" >&2
    failed=1
}
while read -r function; do
    grep -q "^\.Fo $function\$" "$src/man/fastalloc.3" || {
        echo "fastalloc(3) has no .Fo $function" >&2
        failed=1
    }
done <"$work/functions"
exit $failed
