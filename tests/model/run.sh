#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs the models.  Each of them must hold in every state it can reach, and each mutant of it
# (two steps swapped, or one left out) must be found out by an assertion.  A search that did not come to
# its end is a failure, and so is a mutant that survives.
#
#     run.sh quick    a small size of each model, and of each mutant one that is found
#                     in a moment: what `make check` runs
#     run.sh full     the large sizes and all mutants: `make check-model`
#     run.sh only MODEL [-DNAME=VALUE...]   one run, with the trail of an error in words
#
# The list of runs is at the end.  pan is compiled without optimisation: for the size
# of the program that spin writes, gcc takes a minute with it, and gains seconds.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
SPIN=${SPIN-spin}
CC=${CC-cc}
MEGABYTES=${MODEL_MEGABYTES-12000}
failed=0

command -v "$SPIN" >/dev/null 2>&1 || {
    echo "spin, the model checker, is missing (SPIN=$SPIN)." \
        "Install it (Debian, Ubuntu: apt-get install spin), or let ./autogen.sh deps ci do it." >&2
    exit 1
}

work=$(mktemp -d "${TMPDIR-/tmp}/fastalloc-model.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# search MODEL DEFINES...: leaves pan's report in $work/report.
search()
{
    name=$1
    shift
    rm -rf "$work/run"
    mkdir "$work/run"
    cp "$here"/*.pml "$work/run"
    (
        cd "$work/run"
        "$SPIN" -a "$@" "$name.pml" >spin.log 2>&1 || { cat spin.log; exit 1; }
        $CC -O0 -w -DSAFETY -DCOLLAPSE -DMEMLIM="$MEGABYTES" -o pan pan.c
        ./pan -m1000000 -c1
    ) >"$work/report" 2>&1 || :
}

states()
{
    sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$work/report"
}

# Whether the search saw every state there is.
is_complete()
{
    [ -n "$(states)" ] && ! grep -Eq 'Search not completed|max search depth|out of memory|^error:' "$work/report"
}

complain()
{
    echo "FAIL  $*"
    sed 's/^/      /' "$work/report" | head -n 30
    failed=1
}

# holds MODEL DEFINES...
holds()
{
    search "$@"
    if grep -q 'errors: 0' "$work/report" && is_complete; then
        printf 'holds %12s states  %s\n' "$(states)" "$*"
    else
        complain "$*"
    fi
}

# found MODEL MUTANT DEFINES...: an assertion says so, and nothing else does.
found()
{
    model=$1 mutant=$2
    shift 2
    search "$model" "-DMUTANT_$mutant" "$@"
    if grep -q 'assertion violated' "$work/report"; then
        printf 'found %12s states  %s %s\n' "$(states)" "$model" "$mutant"
    else
        complain "$model: the mutant $mutant was not found ($*)"
    fi
}

only()
{
    search "$@"
    cat "$work/report"
    if [ -f "$work/run/$1.pml.trail" ]; then
        model=$1
        shift
        cd "$work/run" && "$SPIN" -t -p "$@" "$model.pml"
        exit 1
    fi
}

# What `make check` runs: sizes that take seconds, and some mutants of each.
quick()
{
    holds pool -DWORKS=1 -DSTART=NEW
    found pool COUNT_BEFORE_WORD -DWORKS=1 -DSTART=HELD
    found pool BIT_BEFORE_WORD -DWORKS=1 -DSTART=HELD
    found pool SWEEP_COUNTED_ONCE -DWORKS=1 -DSTART=HELD
    holds bitmap -DCLIENTS=2
    found bitmap CLEARS_WITHOUT_SECOND_LOOK -DCLIENTS=2
    found bitmap BEGUN_NOTED -DWORKS=1
    holds share -DACTORS=2 -DWORKS=3
    found share CLOSES_WITHOUT_SECOND_LOOK
    found share JOINS_WITHOUT_SECOND_LOOK
    found share SWEEP_TAKES_SHARED_SLOTS
    holds gift -DDEATHS=2
    found gift GIVES_WITHOUT_SECOND_LOOK -DDEATHS=2
    holds growth -DSLOTS=3 -DDEATHS=2
    found growth PUBLISHED_BEFORE_MEMORY -DWORKS=3
    found growth READMITS_BEFORE_PUBLISHING -DSLOTS=3
    holds wait -DWAITERS=1 -DDEATHS=0
    found wait COUNTS_AFTER_THE_LOOK -DWAITERS=1
    found wait CLEARS_FIRST -DWAITERS=1
}

# What `make check-model` runs.
full()
{
    full_pool
    full_bitmap
    full_share
    full_gift
    full_growth
    full_wait
}

full_bitmap()
{
    holds bitmap -DCLIENTS=2
    holds bitmap -DWORKS=1
    holds bitmap -DCLIENTS=2 -DDEATHS=2
    for mutant in CLEARS_WITHOUT_SECOND_LOOK CLEARS_PARENT_WITHOUT_SECOND_LOOK \
        PARENT_BEFORE_CHILD BIT_BEFORE_WORD SWEEP_BIT_BEFORE_WORD SWEEP_PASSES_RETURNED_SLOTS \
        WORKS_UNANNOUNCED BEGUN_NOTED SWEEP_COUNTED_ONCE; do
        found bitmap $mutant -DCLIENTS=2
    done
}

full_share()
{
    holds share -DACTORS=2 -DWORKS=3 -DDEATHS=2
    holds share -DDEATHS=2
    for mutant in CLOSES_WITHOUT_SECOND_LOOK DOES_NOT_LOOK_AFTER_OPENING_AGAIN \
        JOINS_BEFORE_ITS_BIT JOINS_WHAT_IS_CLOSING JOINS_WITHOUT_SECOND_LOOK \
        SWEEP_LEAVES_THE_ROW SWEEP_TAKES_SHARED_SLOTS; do
        found share $mutant
    done
}

full_gift()
{
    holds gift -DDEATHS=2
    holds gift -DDEATHS=3 -DGIFTS=3
    for mutant in DYING_AFTER_THE_SLOTS GIVES_WITHOUT_SECOND_LOOK NO_INTENT \
        REUSED_DESPITE_INTENTS SWEEP_LEAVES_ORPHANS; do
        found gift $mutant -DDEATHS=2
    done
}

full_growth()
{
    holds growth -DSLOTS=3 -DDEATHS=2
    holds growth -DSLOTS=3 -DDEATHS=3 -DWORKS=3
    for mutant in PUBLISHED_BEFORE_MEMORY MANIFEST_AFTER_PUBLISHING \
        PUBLISHED_WITHOUT_READMITTING READMITS_BEFORE_PUBLISHING \
        READMITS_WITHOUT_THE_BITS_OF_OTHERS READOPTS_BEFORE_PUNCHING RETREATS_UNSEEING \
        RETREATS_WITHOUT_READMITTING SWEEP_LEAVES_WITHDRAWN WITHDRAWS_BY_A_STORE; do
        found growth $mutant -DSLOTS=3 -DWORKS=3 -DDEATHS=2
    done
}

full_wait()
{
    holds wait -DWAITERS=1
    for mutant in CLEARS_FIRST CLEARS_WHATEVER_IS_THERE COUNTS_AFTER_THE_LOOK \
        COUNTS_BEFORE_EPOCH DOES_NOT_CLEAR DOES_NOT_MARK EPOCH_AFTER_THE_LOOK LANE_STAYS_OPEN \
        NO_BARRIER SWEEP_DOES_NOT_WAKE WAKES_BEFORE_EPOCH WAKES_ONLY_IF_FOUND_WAITING_BEFORE; do
        found wait $mutant -DWAITERS=1
    done
    found wait COUNTS_FROM_ZERO -DDEATHS=0
    found wait SWEEP_WAKES_LAST -DWAITERS=1 -DWORKS=0 -DDEATHS=2
}

full_pool()
{
    adopting='-DADOPT -DSLOTS=1 -DMAGAZINES=2 -DSTART=HELD -DFIRST_WORKS=1 -DWORKS=2'
    holds pool -DWORKS=1 -DSTART=NEW
    holds pool -DWORKS=1 -DSTART=HELD
    holds pool -DWORKS=1 -DSTART=WARM -DDEATHS=2
    holds pool -DWORKS=2 -DSTART=WARM -DDEATHS=0
    holds pool -DWORKS=1 -DSTART=HELD -DSIZE=2 -DSLOTS=3
    # shellcheck disable=SC2086
    holds pool $adopting
    for mutant in BIT_BEFORE_WORD COUNT_BEFORE_WORD DIRTY_BEFORE_THE_WORK DIRTY_CLEARED_LAST \
        MAGAZINES_BEFORE_THE_GATE MAGAZINES_WITHOUT_EPOCH MOVES_UNANNOUNCED NO_MEMBARRIER \
        READMITS_WITHOUT_NEW_EPOCHS STEALS_FROM_THE_BUSY STEALS_WITHOUT_A_LOOK_AT_THE_GATE \
        SWEEP_COUNTED_ONCE SWEEPS_NOT_NOTED TRIMS_BEFORE_OWNING WORD_BEFORE_ENTRY; do
        found pool $mutant -DWORKS=1 -DSTART=HELD
    done
    found pool BUMP_BEFORE_WORD -DWORKS=1 -DSTART=NEW
    found pool OWNER_BEFORE_COUNT -DWORKS=1 -DSTART=WARM
    # What the search for the suspect would hide.
    found pool SLOTS_BEFORE_MAGAZINES -DMUTANT_NO_SUSPECT -DSLOTS=1 -DMAGAZINES=2 \
        -DFIRST_WORKS=1 -DWORKS=2
    for mutant in NO_SUSPECT ADOPTS_BY_A_STORE; do
        # shellcheck disable=SC2086
        found pool $mutant $adopting
    done
}

case ${1-quick} in
quick) quick ;;
full) full ;;
only)
    shift
    only "$@"
    ;;
*)
    sed -n 's/^#     run/run/p' "$0" >&2
    exit 2
    ;;
esac
[ $failed = 0 ] && echo "all models hold, all mutants were found"
exit $failed
