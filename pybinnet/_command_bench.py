"""``python -m pybinnet bench``."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pybinnet import _engine
from pybinnet._command_train import add_jobs, integers
from pybinnet._cpu import cpu_info

_SECONDS = 1.0  # for each rate
_ROWS = 1024  # of a prediction
_EXPONENT = 10  # of the learning rate: of no matter


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "bench",
        help="measure training and prediction on this machine",
        description="Measure the rows a second of training and of prediction, on random data, with "
        "every instruction set that this processor has: medians of a second each. A prediction "
        f"is of {_ROWS} rows at a time, on one thread. Other work on the machine shows.",
    )
    parser.add_argument(
        "--layers",
        type=integers,
        default=(784, 1024, 1024, 1024, 10),
        metavar="SIZES",
        help="features, hidden units, classes (default 784,1024,1024,1024,10)",
    )
    parser.add_argument("--batch-size", type=int, default=128, help="rows of a step (default 128)")
    add_jobs(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if len(options.layers) < 2 or min(options.layers) < 1 or options.batch_size < 2:
        raise ValueError(
            "--layers are two or more numbers from 1, of features, hidden units and classes; "
            "--batch-size is 2 or more"
        )
    info = cpu_info()
    report: dict[str, Any] = {
        "version": _engine.version(),
        "processor": info["processor"],
        "layers": options.layers,
        "batch_size": options.batch_size,
        "threads": _engine.n_threads(options.jobs),
        "rows_per_second": {},
    }
    if not options.json:
        print(f"{info['processor']}, pybinnet {report['version']}")
        sizes = "-".join(map(str, options.layers))
        print(f"{sizes}, steps of {options.batch_size} rows, threads: {report['threads']}")
        print(f"\n{'rows a second':14}{'training':>12}{'prediction':>12}")
    for isa in info["isas"]:
        with _instruction_set(isa):
            rates = _rates(options.layers, options.batch_size, options.jobs)
        report["rows_per_second"][isa] = rates
        if not options.json:
            print(f"{isa:14}{rates['training']:12,}{rates['prediction']:12,}", flush=True)
    if options.json:
        print(json.dumps(report, indent=2))


@contextmanager
def _instruction_set(name: str) -> Iterator[None]:
    before = os.environ.get("BINNET_ISA")
    os.environ["BINNET_ISA"] = name
    try:
        yield
    finally:
        os.environ.pop("BINNET_ISA")
        if before is not None:
            os.environ["BINNET_ISA"] = before


def _rates(layers: tuple[int, ...], batch_size: int, n_jobs: int | None) -> dict[str, int]:
    """Rows a second."""
    random = np.random.default_rng(0)
    n_features, *units = layers
    counts = np.full(units[-1], batch_size)
    net = _engine.Net(n_features, _engine.dense(*units), batch_size, 0, counts, n_jobs=n_jobs)
    x = random.integers(0, 256, (batch_size, n_features), dtype=np.uint8)
    labels = random.integers(0, units[-1], batch_size).astype(np.uint16)
    training = _seconds(lambda: net.train_step(x, labels, _EXPONENT))
    net.calibrate(x)
    model = net.model()
    rows = random.integers(0, 256, (_ROWS, n_features), dtype=np.uint8)
    prediction = _seconds(lambda: _engine.predict_scores(model, rows))
    return {"training": round(batch_size / training), "prediction": round(_ROWS / prediction)}


def _seconds(work: Callable[[], Any]) -> float:
    """The median time of a call, after one that is not timed."""
    work()
    times: list[float] = []
    start = end = time.perf_counter()
    while end - start < _SECONDS:
        before = end
        work()
        end = time.perf_counter()
        times.append(end - before)
    return statistics.median(times)
