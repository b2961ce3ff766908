#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# openmetrics: a strict reader of the OpenMetrics text format 1.0, for tests of what writes it.
# It knows the format's specification and nothing of fastalloc: it refuses what the
# specification forbids, and of what it leaves open ("SHOULD") asks for the better half.
#
#     openmetrics.py <exposition >samples.json
#
# Writes an array of {"family", "type", "unit", "name", "labels", "value"}, a sample each; exits
# with 1 and says the line and what is wrong with it.

import json
import re
import sys

# Endings of samples' names, by the type of their family.
ENDINGS = {
    "counter": ["_total", "_created"],
    "gauge": [""],
    "summary": ["_count", "_sum", "_created", ""],
    "info": ["_info"],
    "stateset": [""],
    "unknown": [""],
    "histogram": ["_count", "_sum", "_bucket", "_created"],
    "gaugehistogram": ["_gcount", "_gsum", "_bucket"],
}
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? ([^ {}]+)\Z")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,(?=.)|\Z)')
INTEGER = re.compile(r"[+-]?[0-9]+\Z")
REAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")


class Wrong(Exception):
    pass


def require(truth, what):
    if not truth:
        raise Wrong(what)


class Family:
    def __init__(self, name):
        self.name = name
        self.metadata = {}
        self.metrics = []  # labels of each metric, in order
        self.samples = []

    def type(self):
        return self.metadata.get("TYPE", "unknown")

    def names(self):
        return [self.name + ending for ending in ENDINGS[self.type()]]

    def end(self):
        """What can be said only when all samples are there."""
        if self.type() == "stateset":
            for labels in self.metrics:
                values = [s["value"] for s in self.samples if self.metric_of(s["labels"]) == labels]
                require(sum(values) == 1, "%s: %d states at a time" % (self.name, sum(values)))
        if self.type() in ("counter", "summary"):
            endings = [e for e in self.needed() if e]
            for labels in self.metrics:
                names = [s["name"] for s in self.samples if self.metric_of(s["labels"]) == labels]
                for ending in endings:
                    require(self.name + ending in names, "%s has no %s" % (self.name, ending))

    def needed(self):
        return ["_total"] if self.type() == "counter" else ["_count", "_sum"]

    def metric_of(self, labels):
        """The labels that tell metrics of the family apart."""
        own = {"stateset": self.name, "summary": "quantile"}.get(self.type())
        return sorted((k, v) for k, v in labels.items() if k != own)

    def add(self, name, labels, value):
        ending = name[len(self.name):]
        require(ending in ENDINGS[self.type()], "%s in a %s" % (name, self.type()))
        metric = self.metric_of(labels)
        if metric not in self.metrics:
            self.metrics.append(metric)
        require(self.metrics[-1] == metric, "%s: metrics are interleaved" % name)
        for sample in self.samples:
            require((sample["name"], sample["labels"]) != (name, labels), "%s twice" % name)
        if self.type() in ("counter", "summary"):
            require(value >= 0, "%s is negative, or no number" % name)
        if ending in ("_count", "_bucket"):
            require(isinstance(value, int), "%s is no integer" % name)
        if self.type() == "info":
            require(value == 1, "%s is not 1" % name)
        if self.type() == "stateset":
            require(value in (0, 1), "%s is neither 0 nor 1" % name)
            require(self.name in labels, "%s has no state" % name)
        self.samples.append({
            "family": self.name,
            "type": self.type(),
            "unit": self.metadata.get("UNIT", ""),
            "name": name,
            "labels": labels,
            "value": value,
        })


def read_labels(text):
    labels = {}
    while text:
        match = LABEL.match(text)
        require(match, "these are no labels: %s" % text)
        name, value = match.group(1), match.group(2)
        require(name not in labels, "label %s twice" % name)
        require(not name.startswith("_"), "label %s is reserved" % name)
        labels[name] = re.sub(r"\\(.)", lambda m: "\n" if m.group(1) == "n" else m.group(1), value)
        text = text[match.end():]
    return labels


def read_value(text):
    if INTEGER.match(text):
        return int(text)
    require(REAL.match(text), "%s is no finite number" % text)
    return float(text)


class Reader:
    def __init__(self):
        self.families = []

    def begin(self, name):
        """The family that metadata or a sample of that name begins."""
        require(NAME.match(name) and ":" not in name, "%s is no name" % name)
        if self.families:
            self.families[-1].end()
        for family in self.families:
            require(family.name != name, "%s is interleaved, or there twice" % name)
        self.families.append(Family(name))
        return self.families[-1]

    def metadata(self, line):
        match = re.match(r"# (TYPE|UNIT|HELP) ([^ ]+) (.+)\Z", line)
        require(match, "this is no metadata")
        kind, name, text = match.groups()
        family = self.families[-1] if self.families else None
        if not family or family.name != name:
            family = self.begin(name)
        require(not family.samples, "%s after samples" % kind)
        require(kind not in family.metadata, "%s twice" % kind)
        require(not [k for k in family.metadata if ["TYPE", "UNIT", "HELP"].index(k) >
                     ["TYPE", "UNIT", "HELP"].index(kind)], "%s is late" % kind)
        if kind == "TYPE":
            require(text in ENDINGS, "there is no type %s" % text)
        if kind == "UNIT":
            require(NAME.match(text) and name.endswith("_" + text), "%s has another unit" % name)
            require(family.type() not in ("info", "stateset"), "%s has a unit" % name)
        if kind == "HELP":
            require(re.match(r'(?:[^"\\]|\\["\\n])*\Z', text), "the help is not escaped")
        family.metadata[kind] = text

    def sample(self, line):
        match = SAMPLE.match(line)
        require(match, "this is no sample")
        name, labels, value = match.groups()
        require(labels is None or labels[-1] == "}", "these are no labels")
        family = self.families[-1] if self.families else None
        if not family or name not in family.names():
            family = self.begin(name)
        family.add(name, read_labels(labels[1:-1]) if labels else {}, read_value(value))

    def end(self):
        if self.families:
            self.families[-1].end()
        owners = {}
        for family in self.families:
            for name in set(family.names() + [family.name]):
                require(owners.setdefault(name, family.name) == family.name,
                        "%s is of two families" % name)
            require("HELP" in family.metadata, "%s has no help" % family.name)
            require("TYPE" in family.metadata, "%s has no type" % family.name)


def read(exposition):
    """The samples of an exposition, as bytes."""
    reader, lines = Reader(), []
    number = 0
    try:
        text = exposition.decode("utf-8")
        require(not text.startswith("\ufeff"), "there is a byte order mark")
        require("\r" not in text, "there is a carriage return")
        require(text.endswith("# EOF\n"), "the end is missing")
        lines = text.split("\n")[:-2]
        for number, line in enumerate(lines, 1):
            require(line, "an empty line")
            if line.startswith("#"):
                reader.metadata(line)
            else:
                reader.sample(line)
        reader.end()
    except (Wrong, UnicodeDecodeError) as wrong:
        where = lines[number - 1] if 0 < number <= len(lines) else ""
        sys.exit("line %d: %s: %s" % (number, wrong, where))
    return [sample for family in reader.families for sample in family.samples]


if __name__ == "__main__":
    json.dump(read(sys.stdin.buffer.read()), sys.stdout, indent=1)
