"""Rows that pass once: accuracy, speed and memory of `partial_fit`, beside scikit-learn's.

The rows are made block by block, so that memory is what learning takes.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import json
import resource
import shlex
import sys
import time

import numpy as np
from common import add_outputs, check_outputs, in_own_process, integer, sizes, write_atomic
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from pybinnet import BinaryConnectClassifier, __version__, cpu_info

N_CLASSES = 5
TEST_ROWS = 20_000
TEST_BLOCK = -1  # the number of the block that nobody learns


class Source:
    """Rows whose classes a small random network knows, but for some noise."""

    def __init__(self, n_columns):
        random = np.random.default_rng(0)
        self.inner = random.normal(size=(n_columns, 30)) / np.sqrt(n_columns)
        self.outer = random.normal(size=(30, N_CLASSES))
        self.scales = 10.0 ** random.integers(-2, 4, n_columns)

    def block(self, number, n_rows):
        random = np.random.default_rng([1, number + 1])
        x = random.normal(size=(n_rows, len(self.scales)))
        scores = np.tanh(3 * x @ self.inner) @ self.outer
        y = (scores + random.gumbel(scale=0.2, size=scores.shape)).argmax(axis=1)
        return x * self.scales, y


class Scaled:
    """A classifier behind a scaler, both of which learn from each block."""

    def __init__(self, classifier):
        self.classifier = classifier
        self.scaler = StandardScaler()

    def partial_fit(self, x, y, classes):
        x = self.scaler.partial_fit(x).transform(x)
        self.classifier.partial_fit(x, y, classes=classes)

    def score(self, x, y):
        return self.classifier.score(self.scaler.transform(x), y)


CONTENDERS = {
    "BinaryConnectClassifier": lambda hidden: BinaryConnectClassifier(hidden, random_state=0),
    "StandardScaler, MLPClassifier": lambda hidden: Scaled(MLPClassifier(hidden, random_state=0)),
    "StandardScaler, SGDClassifier": lambda hidden: Scaled(SGDClassifier(random_state=0)),
}


def learn(name, options):
    """Return what came of a stream: a process of its own, so that memory is its own."""
    source = Source(options.columns)
    x_test, y_test = source.block(TEST_BLOCK, TEST_ROWS)
    classifier = CONTENDERS[name](options.hidden)
    classes = np.arange(N_CLASSES)
    seconds, curve = 0.0, []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with threadpool_limits(1):
        for number in range(options.rows // options.block):
            x, y = source.block(number, options.block)
            start = time.perf_counter()
            classifier.partial_fit(x, y, classes=classes)
            seconds += time.perf_counter() - start
            n_rows = (number + 1) * options.block
            if number == 0:
                after_first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if n_rows % (options.rows // 10) < options.block:
                error = 100 * (1 - classifier.score(x_test, y_test))
                curve.append({"rows": n_rows, "test_error_percent": error})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "name": name,
        "test_error_percent": curve[-1]["test_error_percent"],
        "rows_per_second": n_rows / seconds,
        "peak_growth_mb": (peak - before) / 1024,
        "growth_after_first_block_mb": (peak - after_first) / 1024,
        "curve": curve,
    }


def plot(path, rows):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        points = [(point["rows"], point["test_error_percent"]) for point in row["curve"]]
        axes.plot(*zip(*points, strict=True), marker="o", label=row["name"])
    axes.set(xlabel="rows seen, once each", ylabel="test error, %", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=integer(10_000, 10**9), default=500_000)
    parser.add_argument("--columns", type=integer(2, 1000), default=50)
    parser.add_argument("--block", type=integer(100, 10**6), default=10_000)
    parser.add_argument("--hidden", type=sizes, default=(256, 256))
    add_outputs(parser)
    options = parser.parse_args()
    check_outputs(parser, options)
    print(f"{'':32}{'error %':>9}{'rows/s':>10}{'MB':>6}{'MB later':>10}")
    rows = []
    for name in CONTENDERS:
        row = in_own_process(learn, name, options)
        rows.append(row)
        print(
            f"{name:32}{row['test_error_percent']:9.2f}{row['rows_per_second']:10.0f}"
            f"{row['peak_growth_mb']:6.0f}{row['growth_after_first_block_mb']:10.0f}",
            flush=True,
        )
    report = {
        "command": shlex.join(["python", *sys.argv]),
        "version": __version__,
        "cpu": cpu_info(),
        "rows": rows,
    }
    if options.json:
        write_atomic(options.json, json.dumps(report, indent=1).encode() + b"\n")
    if options.plot:
        plot(options.plot, rows)


if __name__ == "__main__":
    main()
