#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether a run of the benchmark is what it promises: validate.py [--full] RESULTS [SVG...]

Every implementation and workload that it names is there (--full: also those that a quick
run leaves out), every result is complete and a number that can be, nothing failed or was
left out, and the plots are SVG with something in them.  How fast is not its concern.
"""

import argparse
import json
import math
import sys
import xml.etree.ElementTree as ElementTree

IMPLEMENTATIONS = """fastalloc-inline fastalloc-call malloc mimalloc jemalloc boost-allocate
    boost-node boost-cached-node dpdk-mempool robust-mutex treiber bare-array""".split()
LOOPS = ["pair", "batch100", "churn1024"]
SHARED = """fastalloc-inline fastalloc-call boost-allocate boost-node boost-cached-node dpdk-mempool
    robust-mutex treiber""".split()
PERCENTILES = ["p50", "p99", "p99.9", "p99.99", "max"]

# (implementations, workloads)
QUICK = [
    (IMPLEMENTATIONS, LOOPS),
    (SHARED, ["handover", "larson-processes", "processes-1", "processes-2", "processes-16"]),
    (["ring"], ["handover"]),
    (["fastalloc-call", "dpdk-mempool"], ["batch-1", "batch-32", "batch-256"]),
    (IMPLEMENTATIONS, [f"latency-crowded-{one}" for one in PERCENTILES]),
    (["fastalloc-inline", "robust-mutex"], [f"latency-killed-{one}" for one in PERCENTILES]),
    (["fastalloc"], ["attach", "create", "recover", "reclaim", "exhausted-waiters"]),
]
FULL = [
    (IMPLEMENTATIONS, [f"{loop}-instructions" for loop in LOOPS]),
    (IMPLEMENTATIONS, [f"pair-{size}" for size in (16, 256, 4096)]),
    (["fastalloc-call", "dpdk-mempool"], [f"batch-{2**i}" for i in range(9)]),
    (SHARED, [f"processes-{2**i}" for i in range(5)]),
    (IMPLEMENTATIONS, [f"threads-{2**i}" for i in range(5)]),
    (["malloc", "mimalloc", "jemalloc"] + SHARED, ["larson-threads", "handover-threads"]),
    (SHARED, ["handover-used"]),
    (IMPLEMENTATIONS, [f"latency-alone-{one}" for one in PERCENTILES]),
]

def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def faults_of_result(one):
    name = f"{one.get('impl')} {one.get('workload')}"
    for field in ("impl", "workload", "unit"):
        if not (isinstance(one.get(field), str) and one[field]):
            yield f"{name}: {field} is {one.get(field)!r}"
    for field in ("median", "min", "max"):
        if not (is_number(one.get(field)) and one[field] >= 0):
            yield f"{name}: {field} is {one.get(field)!r}, not a number"
            return
    # The control may cost nothing, and small pools have no bytes for threads.
    if one["median"] == 0 and one["impl"] != "ring" and one["unit"] != "bytes":
        yield f"{name}: the median is 0"
    if not one["min"] <= one["median"] <= one["max"]:
        yield f"{name}: least, median and most are not in that order"
    if not isinstance(one.get("repeats"), int) or one["repeats"] < 1:
        yield f"{name}: repeats is {one.get('repeats')!r}"


def faults_of_run(document, full):
    for field in ("cpu", "cores", "kernel", "compiler", "libc"):
        if not document["machine"].get(field):
            yield f"the machine has no {field}"
    for one in document["results"]:
        yield from faults_of_result(one)
    found = [(one.get("impl"), one.get("workload")) for one in document["results"]]
    for one in {one for one in found if found.count(one) > 1}:
        yield f"twice: {one[0]} {one[1]}"
    for impls, workloads in QUICK + (FULL if full else []):
        for impl in impls:
            for workload in workloads:
                if (impl, workload) not in found:
                    yield f"{impl} has no {workload}"
    for one in document["left_out"] + document["failures"]:
        yield f"{one['impl']}: {one['why']}"


def faults_of_plot(path):
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        yield f"{path}: not well-formed: {error}"
        return
    if root.tag != "{http://www.w3.org/2000/svg}svg" or "viewBox" not in root.attrib:
        yield f"{path}: not an SVG with a viewBox"
    text = "".join(root.itertext())
    for wanted in ("fastalloc-inline", "robust-mutex"):
        if wanted not in text:
            yield f"{path}: does not name {wanted}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("results")
    parser.add_argument("svg", nargs="*")
    arguments = parser.parse_args()
    with open(arguments.results, encoding="utf-8") as file:
        document = json.load(file)
    faults = list(faults_of_run(document, arguments.full))
    for path in arguments.svg:
        faults += faults_of_plot(path)
    for fault in faults:
        print(f"validate.py: {arguments.results}: {fault}", file=sys.stderr)
    if not faults:
        count = len(document["results"])
        print(f"{arguments.results}: results: {count}, plots: {len(arguments.svg)}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
