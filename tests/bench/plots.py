#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws bench-results.json: plots.py [--gnuplot PROGRAM] RESULTS [DIRECTORY]

One SVG for each subject, DIRECTORY/bench-SUBJECT.svg, by gnuplot; beside the results
where no directory is named.  What was not
measured is not drawn: an implementation, a panel, a whole plot.
"""

import argparse
import json
import os
import subprocess
import sys

# In this order, and in these colours, in every plot: Okabe and Ito's and Tol's, which
# the colour-blind can tell apart, with fastalloc's the warm ones.
COLOURS = {
    "fastalloc-inline": "#d55e00",
    "fastalloc-call": "#e69f00",
    "fastalloc": "#d55e00",
    "dpdk-mempool": "#0072b2",
    "mimalloc": "#56b4e9",
    "jemalloc": "#009e73",
    "malloc": "#444444",
    "boost-cached-node": "#882255",
    "boost-node": "#aa4499",
    "boost-allocate": "#cc99bb",
    "treiber": "#999933",
    "robust-mutex": "#332288",
    "bare-array": "#999999",
    "ring": "#bbbbbb",
}
POINTS = dict(zip(COLOURS, [7, 5, 7, 9, 11, 13, 6, 8, 4, 10, 12, 15, 2, 1]))
LABELS = {
    "bare-array": "bare array, private (no checks)",
    "ring": "control: no allocation",
    "treiber": "lock-free list (treiber)",
    "malloc": "malloc (glibc)",
}
# Beside panels of lines.
SHORT = {
    "bare-array": "bare array, private",
    "treiber": "lock-free list",
    "ring": "the clock alone",
}

NUMBERS = [1, 2, 4, 8, 16]
PERCENTILES = ["p50", "p99", "p99.9", "p99.99", "max"]
POWERS = ", ".join(str(10**i) if i >= 0 else str(10.0**i) for i in range(-3, 7))
TIMES = ", ".join(
    f'"{10 ** (i % 3)} {unit}" {10**i}'
    for i, unit in enumerate(["ns"] * 3 + ["µs"] * 3 + ["ms"] * 3 + ["s"] * 2)
)

STYLE = """
set terminal svg size {width},{height} dynamic rounded enhanced font "sans-serif,13" \\
    background "#ffffff"
set output "{path}"
set border 3 lc rgb "#666666"
set grid lc rgb "#dddddd" lw 1 lt 1
set tics nomirror textcolor rgb "#222222"
set title font "sans-serif,14" textcolor rgb "#222222"
set key textcolor rgb "#222222"
"""


class Results:
    """What was measured, by implementation and workload."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        self.machine = document["machine"]
        self.by = {(one["impl"], one["workload"]): one for one in document["results"]}

    def get(self, impl, workload):
        return self.by.get((impl, workload))

    def who_did(self, workloads):
        """The implementations that did any of these, in the order of COLOURS."""
        return [name for name in COLOURS if any((name, one) in self.by for one in workloads)]


def label(impl, labels=LABELS):
    text = labels.get(impl, LABELS.get(impl, impl))
    return "{/:Bold " + text + "}" if impl.startswith("fastalloc") else text


def figure(value):
    """Three significant digits, without an exponent."""
    return f"{value:.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")


def lowest(values):
    """The least that a logarithmic axis can show."""
    return min((value for value in values if value > 0), default=0.1)


# ------------------------------------------------------------------- bars


def bars(results, panels, title):
    """Panels of horizontal bars, one for each implementation, with least to most as a line on
    it.  `panels`: (workload, title, axis); those with the same axis have the same range."""
    panels = [one for one in panels if results.who_did([one[0]])]
    if not panels:
        return None
    impls = results.who_did([workload for workload, _, _ in panels])
    rows = 1 if len(panels) < 4 else 2
    columns = -(-len(panels) // rows)
    tall = 26 * len(impls)
    height = 136 + tall * rows + 110 * (rows - 1)
    text = [
        f"set multiplot layout {rows},{columns} margins screen 0.25,0.985,{64 / height:.3f},"
        f"{1 - 72 / height:.3f} spacing screen 0.025,{110 / height:.3f} "
        f'title "{title}" font "sans-serif,15"',
        "set style fill solid 1.0 noborder",
        "set logscale x",
        f"set yrange [{len(impls) - 0.4}:-0.6]",
        f"set xtics ({POWERS}) scale 0.5",
        "unset key",
        "set grid noytics",
    ]
    for number, (workload, name, axis) in enumerate(panels):
        alike = [results.get(impl, one) for impl in impls for one, _, of in panels if of == axis]
        low = lowest(one["min"] for one in alike if one) / 2
        # Room for the figure at the end of the longest.
        high = max(one["max"] for one in alike if one) * 5
        text.append(f"$panel{number} << EOD")
        for row, impl in enumerate(impls):
            one = results.get(impl, workload)
            if one:
                text.append(
                    f'{row} {max(low, one["median"])} {max(low, one["min"])} {one["max"]} '
                    f'{int(COLOURS[impl][1:], 16)} "{figure(one["median"])}"'
                )
        text.append("EOD")
        names = impls if number % columns == 0 else [""] * len(impls)
        tics = ", ".join(f'"{label(impl) if impl else ""}" {i}' for i, impl in enumerate(names))
        text += [
            f"set xrange [{low}:{high}]",
            f"set ytics ({tics}) scale 0",
            f'set title "{name}" offset 0,-0.4',
            f'set xlabel "{axis}" font "sans-serif,12" textcolor rgb "#222222"',
            f"plot $panel{number} using 2:1:({low}):2:($1-0.36):($1+0.36):5 with boxxyerror "
            f"lc rgb variable, "
            f'"" using 2:1:3:4 with xerrorbars pt 0 lw 1.5 lc rgb "#000000", '
            f'"" using 4:1:6 with labels left offset 0.6,0 font "sans-serif,11" '
            f'textcolor rgb "#222222"',
        ]
    text.append("unset multiplot")
    return 1000, height, text


# ------------------------------------------------------------------- lines


def lines(results, panels, title):
    """Panels of lines, the key at the right.  A panel is a dictionary: title, xlabel, ylabel,
    points: [(x, workload)], tics (gnuplot's), and optionally ytics, logx, logy, relative (to the
    first point), extra (gnuplot's, further things to plot).  Panels whose vertical axis means the
    same have the same."""
    impls = results.who_did([workload for panel in panels for _, workload in panel["points"]])
    drawn = [(panel, curves_of(results, impls, panel)) for panel in panels]
    drawn = [(panel, curves) for panel, curves in drawn if curves]
    if not drawn:
        return None
    panels = [panel for panel, _ in drawn]
    rows = 1 if len(panels) < 4 else 2
    columns = -(-len(panels) // rows)
    width, height = 1000, 120 + 300 * rows
    right = 1 - 190 / width
    text = [
        f"set multiplot layout {rows},{columns} margins screen 0.08,{right:.3f},"
        f"{64 / height:.3f},{1 - 76 / height:.3f} spacing screen 0.065,{110 / height:.3f} "
        f'title "{title}" font "sans-serif,15"'
    ]
    ranges = {}
    for panel, curves in drawn:
        heights = [y for curve in curves.values() for _, *ys in curve for y in ys]
        before = ranges.get(panel["ylabel"], (heights[0], heights[0]))
        ranges[panel["ylabel"]] = lowest([before[0], *heights]), max(before[1], *heights)
    for number, (panel, curves) in enumerate(drawn):
        xs = [x for x, _ in panel["points"]]
        low, high = ranges[panel["ylabel"]]
        low = low / 1.6 if panel.get("logy") else 0
        plots = []
        for impl, curve in curves.items():
            block = f"$curve{number}_{len(plots)}"
            text.append(f"{block} << EOD")
            text += [f"{x} " + " ".join(str(max(low, y)) for y in ys) for x, *ys in curve]
            text.append("EOD")
            plots.append(
                f"{block} using 1:2 with linespoints {look(impl)} pt {POINTS[impl]} ps 0.7 notitle"
            )
            plots.append(f"{block} with yerrorbars lw 1 lc rgb \"{COLOURS[impl]}\" pt 0 notitle")
        # fastalloc's on top.
        plots.reverse()
        text += [
            "unset logscale",
            "set logscale x 2" if panel.get("logx") else "",
            "set logscale y 10" if panel.get("logy") else "",
            f"set yrange [{low}:{high * (1.6 if panel.get('logy') else 1.1)}]",
            f"set xrange [{min(xs) / 1.25}:{max(xs) * 1.25}]"
            if panel.get("logx")
            else f"set xrange [{min(xs) - 0.3}:{max(xs) + 0.3}]",
            f'set xtics ({panel["tics"]})',
            f'set ytics ({panel["ytics"]})' if "ytics" in panel else "set ytics autofreq",
            f'set title "{panel["title"]}" offset 0,-0.4',
            f'set xlabel "{panel["xlabel"]}" font "sans-serif,12" textcolor rgb "#222222"',
            # Once in a row.
            f'set ylabel "{"" if number % columns else panel["ylabel"]}" font "sans-serif,12" '
            f'textcolor rgb "#222222"',
        ]
        if number == 0:
            text += key(impls, right, height)
        text.append("plot " + ", ".join(panel.get("extra", []) + plots))
        if number == 0:
            text += ["unset label", "unset arrow"]
    text.append("unset multiplot")
    return width, height, text


def curves_of(results, impls, panel):
    """[(x, median, min, max)] for each implementation that has any; relative to its first where
    the panel is, and then only if that was measured (and did anything)."""
    curves = {}
    for impl in impls:
        found = [(x, results.get(impl, workload)) for x, workload in panel["points"]]
        found = [(x, one) for x, one in found if one]
        scale = 1
        if panel.get("relative") and found:
            scale = found[0][1]["median"]
            if found[0][0] != panel["points"][0][0] or not scale:
                continue
        if found:
            curves[impl] = [
                (x, one["median"] / scale, one["min"] / scale, one["max"] / scale)
                for x, one in found
            ]
    return curves


def look(impl):
    """The line of an implementation: fastalloc's thick, what is no peer dashed."""
    width = 3 if impl.startswith("fastalloc") else 1.5
    dashes = " dt 2" if impl in ("bare-array", "ring") else ""
    return f'lw {width} lc rgb "{COLOURS[impl]}"{dashes}'


def key(impls, left, height):
    """A key beside the panels, drawn by hand: gnuplot's belongs to one panel."""
    text = ["unset key"]
    for row, impl in enumerate(impls):
        y = 1 - (94 + 24 * row) / height
        text.append(
            f"set arrow from screen {left + 0.015:.4f},{y:.4f} "
            f"to screen {left + 0.045:.4f},{y:.4f} nohead {look(impl)}"
        )
        text.append(
            f'set label "{label(impl, SHORT)}" at screen {left + 0.052:.4f},{y:.4f} left point '
            f'pt {POINTS[impl]} ps 0.7 lc rgb "{COLOURS[impl]}" offset 0.5,-0.25 '
            f'font "sans-serif,12" textcolor rgb "#222222"'
        )
    return text


# ---------------------------------------------------------------- subjects

def plot_pairs(results):
    axis = "ns per allocation and free"
    return bars(
        results,
        [
            ("pair", "allocate, free", axis),
            ("batch100", "allocate 100, free 100", axis),
            ("churn1024", "replace one of 1,024 at random", axis),
        ],
        "One thread, objects of 64 bytes (shorter is better; logarithmic)",
    )


def plot_scaling(results):
    cores = results.machine.get("cores")
    ideal = []
    if cores:
        ideal = [
            f"(x < 1 ? 1/0 : x < {cores} ? x : {cores}) with lines lw 1 dt 3 "
            f'lc rgb "#000000" notitle'
        ]
    panels = []
    for relative in (False, True):
        for kind in ("processes", "threads"):
            panels.append(
                {
                    "title": f"{kind}: {'times what one does' if relative else 'all together'}",
                    "xlabel": f"{kind}" + (f" on {cores} processors" if cores else ""),
                    "ylabel": "throughput, relative to one"
                    if relative
                    else "million pairs per second (logarithmic)",
                    "points": [(n, f"{kind}-{n}") for n in NUMBERS],
                    "tics": ", ".join(map(str, NUMBERS)),
                    "logx": True,
                    "logy": not relative,
                    **({} if relative else {"ytics": POWERS}),
                    "relative": relative,
                    "extra": ideal if relative else [],
                }
            )
    return lines(results, panels, "Independent allocations and frees in one pool (dotted: ideal)")


def plot_latency(results):
    panels = []
    for kind, title in (
        ("alone", "one process"),
        ("crowded", "eight processes"),
        ("killed", "eight, others being killed"),
    ):
        panels.append(
            {
                "title": title,
                "xlabel": "percentile of single operations",
                "ylabel": "time (logarithmic)",
                "points": [(i, f"latency-{kind}-{name}") for i, name in enumerate(PERCENTILES)],
                "tics": ", ".join(
                    f'"{name.lstrip("p")}" {i}' for i, name in enumerate(PERCENTILES)
                ),
                "ytics": TIMES,
                "logy": True,
            }
        )
    return lines(results, panels, "How long one operation takes (lower is better)")


def plot_sizes(results):
    sizes = [(16, "pair-16"), (64, "pair"), (256, "pair-256"), (4096, "pair-4096")]
    calls = [(2**i, f"batch-{2**i}") for i in range(9)]
    panels = [
        {
            "title": "one by one",
            "xlabel": "bytes of an object",
            "ylabel": "ns per object (logarithmic)",
            "points": sizes,
            "tics": ", ".join(str(x) for x, _ in sizes),
            "logx": True,
            "logy": True,
            "ytics": POWERS,
        },
        {
            "title": "calls for several objects of 64 bytes",
            "xlabel": "objects in a call",
            "ylabel": "ns per object (logarithmic)",
            "points": calls,
            "tics": ", ".join(str(x) for x, _ in calls),
            "logx": True,
            "logy": True,
            "ytics": POWERS,
        },
    ]
    return lines(results, panels, "Object sizes and batches, one thread (lower is better)")


def plot_handover(results):
    time = "ns per object: shorter is better (logarithmic)"
    rate = "million objects per second: longer is better (logarithmic)"
    return bars(
        results,
        [
            ("handover", "a process allocates, another frees", time),
            ("handover-threads", "the same with two threads", time),
            ("larson-processes", "processes free each other's", rate),
            ("larson-threads", "threads free each other's", rate),
        ],
        "Objects that change hands",
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gnuplot", default="gnuplot")
    parser.add_argument("results")
    parser.add_argument("directory", nargs="?")
    arguments = parser.parse_args()
    results = Results(arguments.results)
    directory = arguments.directory or os.path.dirname(arguments.results)
    drawn = []
    for subject in ("pairs", "scaling", "latency", "sizes", "handover"):
        path = os.path.join(directory, f"bench-{subject}.svg")
        plot = globals()[f"plot_{subject}"](results)
        if not plot:
            # Not one of an earlier run, which would look as if it were of this.
            if os.path.exists(path):
                os.remove(path)
            continue
        width, height, text = plot
        script = STYLE.format(width=width, height=height, path=path) + "\n".join(text) + "\n"
        done = subprocess.run(
            [arguments.gnuplot, "-"], input=script, text=True, capture_output=True, check=False
        )
        if done.returncode or done.stderr.strip():
            sys.exit(f"plots.py: gnuplot on {path}: {done.stderr.strip() or done.returncode}")
        drawn.append(path)
    print("drawn:", *drawn)


if __name__ == "__main__":
    main()
