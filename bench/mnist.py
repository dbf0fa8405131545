"""Trains on MNIST or Fashion-MNIST; reports test error with the 1-bit weights, time and memory."""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import hashlib
import json
import resource
import shlex
import statistics
import sys
import time
from itertools import pairwise

import datasets
import numpy as np
from common import add_outputs, check_outputs, integer, seeds, sizes
from tqdm import tqdm

from pybinnet import BinaryConnectClassifier, __version__, _engine, cpu_info

N_CLASSES = 10
MIN_RATE = 2.0**-_engine.MAX_RATE_EXPONENT
HEADER = "seed  epoch       loss  test error %  seconds"


def main():
    sys.stdout.reconfigure(line_buffering=True)  # a line per epoch in a log file, too
    options = parse_options()
    x_train, y_train, x_test, y_test = datasets.load(options.dataset)
    tqdm.write(HEADER)
    runs = [train(options, seed, x_train, y_train, x_test, y_test) for seed in options.seeds]
    report = summary(options, runs, x_train.shape[1])
    print()
    for name, value in report.items():
        if name != "runs":
            print(f"{name:<22} {round(value, 3) if isinstance(value, float) else value}")
    for run in runs:
        print(f"{'checkpoint_sha256':<22} {run['checkpoint_sha256']} (seed {run['seed']})")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.plot:
        plot(report, options.plot)


def train(options, seed, x_train, y_train, x_test, y_test):
    """Train from one seed; after each epoch, test the deployed network."""
    epochs = []
    bar = tqdm(total=options.epochs, unit="epoch", desc=f"seed {seed}", leave=False, disable=None)

    def test(info):
        nonlocal start
        seconds = time.perf_counter() - start
        predicted = _engine.predict_scores(info.deploy(), x_test).argmax(axis=1)
        error = 100 * np.count_nonzero(predicted != y_test) / len(y_test)
        tqdm.write(
            f"{seed:>4}  {info.epoch:>5}  {info.loss:>9.5f}  {error:>12.2f}  {seconds:>7.2f}"
        )
        epochs.append(
            {
                "epoch": info.epoch,
                "loss": info.loss,
                "test_error_percent": error,
                "seconds": seconds,
            }
        )
        bar.update()
        start = time.perf_counter()

    classifier = BinaryConnectClassifier(
        options.hidden,
        batch_size=options.batch_size,
        learning_rate_init=options.learning_rate_init,
        learning_rate_final=options.learning_rate_final,
        max_iter=options.epochs,
        n_jobs=options.n_jobs,
        random_state=seed,
        callbacks=[test],
    )
    with bar:
        start = time.perf_counter()
        classifier.fit(x_train, y_train)
    return {
        "seed": seed,
        "checkpoint_sha256": hashlib.sha256(classifier.checkpoint_).hexdigest(),
        "model_bytes": len(classifier.model_),
        "epochs": epochs,
    }


def summary(options, runs, n_features):
    """Return all there is to report, in the order in which it is printed."""
    layers = [n_features, *options.hidden, N_CLASSES]
    n_weights = sum(fan_in * units for fan_in, units in pairwise(layers))
    units = (*options.hidden, N_CLASSES)
    counts = np.ones(N_CLASSES, dtype=int)
    net = _engine.Net(
        n_features, _engine.dense(*units), options.batch_size, 0, counts, n_jobs=options.n_jobs
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "command": shlex.join(["python", *sys.argv]),
        "version": __version__,
        "dataset": options.dataset,
        "layers": layers,
        "weights": n_weights,
        "cpu": cpu_info()["processor"],
        "isa": _engine.isa_name(),
        "threads": _engine.n_threads(options.n_jobs),
        "test_error_percent": statistics.median(
            run["epochs"][-1]["test_error_percent"] for run in runs
        ),
        "seconds_per_epoch": statistics.median(
            epoch["seconds"] for run in runs for epoch in run["epochs"]
        ),
        "peak_memory_bytes": peak * (1 if sys.platform == "darwin" else 1024),
        "arena_bytes": net.n_bytes,
        "arena_bytes_per_weight": net.n_bytes / n_weights,
        "model_bytes": runs[0]["model_bytes"],
        "runs": runs,
    }


def plot(report, path):
    """Draw test error and training loss over the epochs, a line per seed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(f"{report['dataset']}, {'-'.join(map(str, report['layers']))}")
    panels = figure.subplots(1, 2)
    for axes, key, label in zip(
        panels,
        ("test_error_percent", "loss"),
        ("test error with the deployed 1-bit weights, %", "training loss"),
        strict=True,
    ):
        for run in report["runs"]:
            x, y = zip(*((epoch["epoch"], epoch[key]) for epoch in run["epochs"]), strict=True)
            axes.plot(x, y, marker=".", label=f"seed {run['seed']}")
        axes.set(xlabel="epoch", ylabel=label, yscale="log")
        axes.yaxis.set_major_formatter(LogFormatter())  # 4, not 4 × 10⁰
        axes.yaxis.set_minor_formatter(LogFormatter())
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(which="both", alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=150)


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The data comes from the folder that BINNET_DATA names, else from openml.org.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", choices=datasets.NAMES, default="mnist", help="what to train on")
    add("--hidden", type=sizes, default="1024,1024,1024", help="units of each hidden layer")
    add("--epochs", type=integer(1, 10**6), default=20, help="passes over the training rows")
    add(
        "--batch-size",
        type=integer(2, _engine.MAX_BATCH),
        default=128,
        help="the most rows of a training step",
    )
    add("--seeds", type=seeds, default="0", help="a training for each, as 0,1,2")
    add("--learning-rate-init", type=rate, default=2**-4, help="at the start; rounded to 2**-n")
    add("--learning-rate-final", type=rate, default=2**-10, help="at the end, likewise")
    add("--n-jobs", type=int, default=1, help="threads in training; -1 is all processors")
    add_outputs(parser)
    options = parser.parse_args()
    if options.learning_rate_final > options.learning_rate_init:
        parser.error("--learning-rate-final is above --learning-rate-init; the rate can only decay")
    if options.n_jobs == 0:
        parser.error("--n-jobs 0 has no meaning; use 1 or more, or -1 for all processors")
    check_outputs(parser, options)
    return options


def rate(text):
    number = float(text)
    if not MIN_RATE <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is outside the range {MIN_RATE} to 1")
    return number


if __name__ == "__main__":
    main()
