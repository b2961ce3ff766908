#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Puts the tables that bench-scale printed (a file) into ARCHITECTURE.md (another), between the
# marks there.
#
#     scale_publish.sh bench-scale.md ARCHITECTURE.md
set -eu

if [ $# -ne 2 ]; then
    echo "Usage: scale_publish.sh TABLES PAGE" >&2
    exit 2
fi
tables=$1
page=$2
new=$(mktemp "$page.XXXXXX")
trap 'rm -f "$new"' EXIT

awk -v tables="$tables" '
    /^<!-- bench-scale: begin -->$/ {
        print
        print ""
        while ((getline line < tables) > 0)
            print line
        print ""
        within = 1
        marks++
    }
    /^<!-- bench-scale: end -->$/ { within = 0; marks++ }
    !within { if ($0 !~ /^<!-- bench-scale: begin -->$/) print }
    END { exit marks != 2 }
' "$page" >"$new" || {
    echo "scale_publish.sh: $page has not the two marks of bench-scale" >&2
    exit 1
}
grep -q '^| larson |' "$new" || {
    echo "scale_publish.sh: $tables is not what bench-scale prints" >&2
    exit 1
}
cat "$new" >"$page"
