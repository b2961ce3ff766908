#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Puts the figures of a run of the benchmark into a text: readme.py [--check] RESULTS README

The README has places for them, from "<!-- figures: NAME -->" to "<!-- end of figures -->";
NAME says which (the functions figures_NAME below).  What stands between is replaced; with
--check it is compared, and nothing is written.
"""

import argparse
import difflib
import json
import math
import re
import sys
import textwrap

# In this order in every table, and as readers know them.
NAMES = {
    "fastalloc-inline": "**`fastalloc-inline`**",
    "fastalloc-call": "**`fastalloc-call`**",
    "dpdk-mempool": "DPDK `rte_mempool`, cache of 256",
    "mimalloc": "mimalloc",
    "jemalloc": "jemalloc",
    "malloc": "`malloc` (glibc)",
    "boost-cached-node": "Boost `cached_node_allocator`",
    "boost-node": "Boost `node_allocator`",
    "boost-allocate": "Boost `allocate`",
    "treiber": "a lock-free list, tagged head",
    "robust-mutex": "a robust mutex round a list",
    "bare-array": "a bare array, private, unchecked: the limit",
    "ring": "control: the ring, no allocation",
}
LOOPS = ["pair", "batch100", "churn1024"]


class Run:
    """The results of a run, and how they are written down."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.document = json.load(file)
        self.by = {(one["impl"], one["workload"]): one for one in self.document["results"]}

    def get(self, impl, workload):
        return self.by.get((impl, workload))

    def median(self, impl, workload):
        one = self.get(impl, workload)
        return figure(one["median"]) if one else "-"

    def spread(self, impl, workload):
        one = self.get(impl, workload)
        if not one:
            return "-"
        return f'{figure(one["median"])} ({figure(one["min"])}-{figure(one["max"])})'

    def mean(self, impl):
        """The geometric mean of the loops, or None."""
        found = [self.get(impl, loop) for loop in LOOPS]
        if not all(found):
            return None
        return math.prod(one["median"] for one in found) ** (1 / len(found))

    def who_did(self, workloads):
        return [impl for impl in NAMES if any(self.get(impl, one) for one in workloads)]


def figure(value):
    """Three significant digits, without an exponent."""
    if value >= 1000 or value == 0:
        return f"{value:.0f}"
    return f"{value:#.3g}".rstrip(".") if value >= 0.01 else f"{value:.4f}"


def duration(ns):
    """Nanoseconds in the unit that suits them."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{figure(ns / size)} {unit}"
    return f"{figure(ns)} ns"


def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def figures_machine(run):
    machine = run.document["machine"]
    repeats = max(one["repeats"] for one in run.document["results"])
    versions = [f'{one["impl"]} {one["version"]}' for one in run.document.get("versions", [])]
    lines = [
        f'{"Virtual machine" if machine.get("virtual") else "Machine"}: {machine["cpu"]}, '
        f'{machine["cores"]} processors, Linux {machine["kernel"]}, {machine["libc"]}, '
        f'{machine["compiler"]}. Medians of up to {repeats} repeats, least and most in '
        f"parentheses.",
        *([f'Peers: {", ".join(one_of_each(versions))}.'] if versions else []),
    ]
    return textwrap.wrap(" ".join(lines), 100, break_on_hyphens=False, break_long_words=False)


def one_of_each(versions):
    """Without fastalloc's own, and one of those that say the same: "DPDK 22.11", or a bare number
    behind the implementation's name, without what git adds."""
    told = {}
    for one in versions:
        impl, version = one.split(" ", 1)
        if not impl.startswith("fastalloc") and any(letter.isdigit() for letter in version):
            told[version if " " in version else f'{impl} {version.split("-")[0]}'] = True
    return list(told)


def figures_loops(run):
    inline = run.mean("fastalloc-inline")
    rows = []
    for impl in run.who_did(LOOPS):
        mean = run.mean(impl)
        rows.append(
            [NAMES[impl]]
            + [run.spread(impl, loop) for loop in LOOPS]
            + [figure(mean) if mean else "-", f"{inline / mean:.2f}" if inline and mean else "-"]
        )
    heads = ["ns", "pair", "100, then 100", "random among 1024", "geometric mean", "inline / this"]
    return table(heads, rows)


def figures_instructions(run):
    workloads = [f"{workload}-instructions" for workload in LOOPS + ["batch-32"]]
    rows = []
    for impl in run.who_did(workloads):
        counts = [run.get(impl, workload) for workload in workloads]
        rows.append([NAMES[impl]] + [f'{one["median"]:.1f}' if one else "-" for one in counts])
    return table(
        ["instructions", "pair", "100, then 100", "random among 1024", "calls for 32"], rows
    )


def figures_ratios(run):
    rows = []
    for one in run.document["ratios"]:
        wanted = met = ""
        if "met" in one:
            wanted = f'{"at least" if "at_least" in one else "at most"} '
            wanted += f'{one.get("at_least", one.get("at_most")):g}'
            met = "yes" if one["met"] else "**no**"
        whose = f'`{one["of"]}`' + (f' / `{one["to"]}`' if "to" in one else "")
        value = f'{one["value"]:.{2 if one["value"] >= 0.1 else 3}f}'
        rows.append([one["what"], whose, value, wanted, met])
    return table(["what", "of", "measured", "wanted", "met"], rows)


def figures_crowd(run):
    columns = [
        ("1 process", "processes-1"),
        ("2 processes", "processes-2"),
        ("16 processes", "processes-16"),
        ("2 threads", "threads-2"),
        ("16 threads", "threads-16"),
        ("processes free each other's", "larson-processes"),
        ("threads free each other's", "larson-threads"),
    ]
    columns = [one for one in columns if run.who_did([one[1]])]
    workloads = [workload for _, workload in columns]
    rows = [
        [NAMES[impl]] + [run.median(impl, one) for one in workloads]
        for impl in run.who_did(workloads)
        if impl != "ring"
    ]
    return table(["million a second"] + [name for name, _ in columns], rows)


def figures_handover(run):
    columns = [
        ("processes", "handover"),
        ("threads", "handover-threads"),
        ("processes, in a pool long used", "handover-used"),
    ]
    columns = [one for one in columns if run.who_did([one[1]])]
    rows = [
        [NAMES[impl]] + [run.spread(impl, one) for _, one in columns]
        for impl in run.who_did([one for _, one in columns])
    ]
    return table(["ns an object"] + [f"between {name}" for name, _ in columns], rows)


def figures_latency(run):
    columns = [
        (f"{title}: {name}", f"latency-{kind}-{name}")
        for kind, title, names in (
            ("alone", "alone", ["p50", "p99.9"]),
            ("crowded", "of 8", ["p50", "p99.9", "max"]),
            ("killed", "others killed", ["p99.9", "max"]),
        )
        for name in names
    ]
    columns = [one for one in columns if run.who_did([one[1]])]
    rows = []
    for impl in run.who_did([workload for _, workload in columns]):
        if impl == "ring":
            continue
        row = [NAMES[impl]]
        for _, workload in columns:
            one = run.get(impl, workload)
            row.append(duration(one["median"]) if one else "-")
        rows.append(row)
    return table(["one operation"] + [name for name, _ in columns], rows)


# What is told of fastalloc alone, as far as it was measured.
COSTS = [
    ("attach", "attaching to a pool of a million slots"),
    ("create", "creating a pool of 524,288 slots of 256 bytes, through the daemon"),
    ("create-ratio", "... as a multiple of `posix_fallocate` of as many bytes"),
    ("reclaim", "from killing a holder of 32,768 slots until another process has the last of them"),
    ("recover", "taking the lock of a depot with a million slots whose holder was killed"),
    ("exhausted-waiters", "8 processes waiting: from a free until the allocation returns"),
    ("metadata-1000000", "metadata for each slot, in a pool of a million"),
]
UNITS = {"ratio": "", "bytes": " bytes", "us": " µs"}


def figures_costs(run):
    rows = []
    for workload, meaning in COSTS:
        one = run.get("fastalloc", workload)
        if one:
            unit = UNITS.get(one["unit"], " " + one["unit"])
            spread = f' ({figure(one["min"])}-{figure(one["max"])})'
            if one["min"] == one["max"]:
                spread = ""
            rows.append([meaning, f'{figure(one["median"])}{unit}{spread}'])
    return table(["what", "median"], rows)


PLACE = re.compile(r"(<!-- figures: (\w+) -->\n)(.*?)(<!-- end of figures -->)", re.DOTALL)


def fill(run, text):
    def one(match):
        lines = globals()[f"figures_{match[2]}"](run)
        return match[1] + "\n" + "\n".join(lines) + "\n\n" + match[4]

    return PLACE.sub(one, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("results")
    parser.add_argument("readme")
    arguments = parser.parse_args()
    with open(arguments.readme, encoding="utf-8") as file:
        text = file.read()
    if not PLACE.search(text):
        sys.exit(f"readme.py: {arguments.readme} has no place for figures")
    filled = fill(Run(arguments.results), text)
    if arguments.check:
        difference = difflib.unified_diff(
            text.splitlines(), filled.splitlines(), arguments.readme, arguments.results, lineterm=""
        )
        sys.exit("\n".join(difference) or 0)
    if filled != text:
        with open(arguments.readme, "w", encoding="utf-8") as file:
            file.write(filled)


if __name__ == "__main__":
    main()
