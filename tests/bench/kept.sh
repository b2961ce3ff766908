#!/bin/sh
# SPDX-License-Identifier: MIT
#
# README.md says what the run that is kept says, and that run is whole.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
top=${FASTALLOC_TEST_SRCDIR:-.}
kept=$top/tests/bench/results
python3 "$top/tests/bench/validate.py" --full "$kept/bench-results.json" "$kept"/bench-*.svg
python3 "$top/tests/bench/readme.py" --check "$kept/bench-results.json" "$top/README.md"
for plot in "$kept"/bench-*.svg; do
    grep -q "tests/bench/results/$(basename "$plot")" "$top/README.md" || {
        echo "kept.sh: README.md does not show $plot" >&2
        exit 1
    }
done

# A figure that is typed by hand is found.
sed 's/^| ..\{0,2\}.fastalloc-inline.*| [0-9]/&9/' "$top/README.md" >"$work/README.md"
if python3 "$top/tests/bench/readme.py" --check "$kept/bench-results.json" "$work/README.md" \
    2>/dev/null; then
    echo "kept.sh: a changed figure was not noticed" >&2
    exit 1
fi

# What is not whole is found, too: here a peer is missing.
sed 's/"jemalloc"/"somebody"/' "$kept/bench-results.json" >"$work/results.json"
if python3 "$top/tests/bench/validate.py" --full "$work/results.json" 2>/dev/null; then
    echo "kept.sh: a missing peer was not noticed" >&2
    exit 1
fi

# And what is kept can be drawn.
if command -v gnuplot >/dev/null; then
    python3 "$top/tests/bench/plots.py" "$kept/bench-results.json" "$work"
    python3 "$top/tests/bench/validate.py" --full "$kept/bench-results.json" "$work"/bench-*.svg
fi
