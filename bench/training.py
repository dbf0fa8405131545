"""Seconds per epoch: pybinnet against PyTorch's BinaryConnect and MLPClassifier."""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

import datasets
import nets
import numpy as np
from common import (
    add_options,
    compared,
    facts,
    in_own_process,
    installed,
    integer,
    measure,
    memory,
    parse,
    save,
    show_facts,
    show_rows,
    timed,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from pybinnet import _engine
from pybinnet._training import CALIBRATION_ROWS

N_CLASSES = 10
CHECKS = 4  # tests an epoch on the way to an accuracy
MEMORY_STEPS, MEMORY_ROWS = 3, 1000  # of the trainers whose memory is measured
GROUPS = {  # functions of the core; all others are element-wise
    "products (with packing and tables)": (
        "select_packed plain binnet_plain pack pack_by_column pack_by_summand pack_task "
        "select_task binnet_gemm_run"
    ).split(),
    "weight update (with its random bytes)": ["update", "update_rows"],
}


def main():
    options = parse_options()
    data = datasets.load(options.net)
    layers = nets.chosen(options)
    report = facts(options, nets.described(layers)) | {"batch_size": options.batch_size}
    show_facts(report)
    print(f"batch size: {options.batch_size}")
    with threadpool_limits(options.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # one epoch at a time is meant
        makers = contenders(options, layers)
        if options.busy:
            panels = [beside_busy(options, makers["pybinnet"](*data[:2]))]
        elif options.breakdown:
            report["breakdown"] = breakdown(makers["pybinnet"](*data[:2]), options)
            panels = []
        elif options.to_accuracy:
            report["to_accuracy"] = options.to_accuracy
            panels = [to_accuracy(options, makers, *data)]
        else:
            panels = [per_epoch(options, makers, *data[:2])]
    report["results"] = [row for _, rows in panels for row in rows]
    save(options, report, panels, "seconds")


def contenders(options, layers):
    """Return what makes each trainer from rows and labels."""
    makers = {"pybinnet": partial(Binnet, options, layers)}
    for isa in _engine.supported_isas():
        if isa not in ("portable", _engine.isa_name()):
            makers[f"pybinnet, {isa}"] = partial(with_isa, isa, makers["pybinnet"])
    images = isinstance(layers[0], tuple)
    if installed("torch"):
        import torch_binaryconnect

        for optimizer in ("Adam",) if images else ("Adam", "SGD"):
            name = f"torch BinaryConnect, {optimizer}"
            makers[name] = partial(torch_binaryconnect.Trainer, options, layers, optimizer)
    if not images:
        makers["MLPClassifier, adam"] = partial(Mlp, options)
    return makers


def with_isa(isa, make, *data):
    """Return what `make` makes with other kernels."""
    before = os.environ.get("BINNET_ISA", "")
    os.environ["BINNET_ISA"] = isa
    try:
        return make(*data)
    finally:
        os.environ["BINNET_ISA"] = before


class Binnet:
    """The steps of `BinaryConnectClassifier.fit`, one by one."""

    def __init__(self, options, layers, x, y):
        self.x, self.y = x, y.astype(np.uint16)
        self.n_steps = -(-len(x) // options.batch_size)  # of an epoch
        self.total = self.n_steps * options.epochs
        counts = np.bincount(y)
        self.net = _engine.Net(
            nets.n_features(layers),
            tuple(map(engine_layer, layers[1:])),
            options.batch_size,
            options.seed,
            counts,
            n_jobs=options.threads,
            image=layers[0][:2] if isinstance(layers[0], tuple) else None,
        )
        self.seed = options.seed

    def train(self, n_steps):
        n_rows = len(self.x)
        for step in range(self.net.step, self.net.step + n_steps):
            epoch, i = divmod(step, self.n_steps)
            if i == 0:
                self.order = _engine.row_order(self.seed, epoch, n_rows)
            rows = self.order[i * n_rows // self.n_steps : (i + 1) * n_rows // self.n_steps]
            rate = _engine.rate_exponent(4, 10, min(step, self.total - 1), self.total)
            self.net.train_step(self.x[rows], self.y[rows], rate)

    def finish(self):
        """Make what predicts; this counts as training."""
        self.net.calibrate(self.x[np.linspace(0, len(self.x) - 1, CALIBRATION_ROWS, dtype=int)])
        self.model = self.net.model()

    def predict(self, x):
        return _engine.predict_scores(self.model, x).argmax(axis=1)


def engine_layer(layer):
    if isinstance(layer, nets.Conv):
        return _engine.Layer(layer.filters, kernel_size=layer.kernel_size, pool=layer.pool)
    return _engine.Layer(layer)


class Mlp:
    """scikit-learn's own, on float32 rows of 0 to 1; contiguous rows, which it shuffles itself."""

    def __init__(self, options, x, y):
        self.x, self.y = x.astype(np.float32) / 255, y
        self.batch_size = options.batch_size
        self.start = 0
        self.mlp = MLPClassifier(
            options.hidden, batch_size=options.batch_size, random_state=options.seed
        )

    def train(self, n_steps):
        while n_steps > 0:
            end = min(self.start + n_steps * self.batch_size, len(self.x))
            rows = slice(self.start, end)
            self.mlp.partial_fit(self.x[rows], self.y[rows], classes=np.arange(N_CLASSES))
            n_steps -= -(-(end - self.start) // self.batch_size)
            self.start = end % len(self.x)

    def finish(self):
        pass

    def predict(self, x):
        return self.mlp.predict(x.astype(np.float32) / 255)


def per_epoch(options, makers, x, y):
    blocks = measure(
        {name: make(x, y).train for name, make in makers.items()}, options.blocks, options.seconds
    )
    rows = compared(blocks, scale=-(-len(x) // options.batch_size))
    title = f"Seconds per epoch of {len(x)} rows, from the median of {options.blocks} blocks"
    show_rows(title, rows, "seconds")
    for row in rows:
        row["rows_per_second"] = len(x) / row["median"]
    if sys.platform == "linux":
        few = slice(max(MEMORY_ROWS, MEMORY_STEPS * options.batch_size))
        for row in rows:
            row |= in_own_process(memory_of_training, makers[row["name"]], x[few], y[few])
    show_rates(rows)
    return title, rows


def memory_of_training(make, x, y):
    """Train a little in a process that has done nothing else but import its libraries."""
    before = memory("VmRSS")
    make(x, y).train(MEMORY_STEPS)
    return {"memory_before_bytes": before, "peak_memory_bytes": memory("VmHWM")}


def show_rates(rows):
    width = max(len(row["name"]) for row in rows)
    print(f"\n{'':<{width}}  {'rows/s':>9}  {'peak MB':>9}  {'to train':>9}")
    for row in rows:
        line = f"{row['name']:<{width}}  {row['rows_per_second']:>9.4g}"
        if "peak_memory_bytes" in row:
            peak, before = row["peak_memory_bytes"], row["memory_before_bytes"]
            line += f"  {peak / 1e6:>9.0f}  {(peak - before) / 1e6:>9.0f}"
        print(line)


def to_accuracy(options, makers, x_train, y_train, x_test, y_test):
    """Train each until it is that good on the test rows; tests are not counted in."""
    blocks = {}
    n_steps = -(-len(x_train) // options.batch_size)
    for name, make in makers.items():
        trainer = make(x_train, y_train)
        seconds = 0.0
        for check in range(1, CHECKS * options.epochs + 1):
            n = check * n_steps // CHECKS - (check - 1) * n_steps // CHECKS
            seconds += timed(trainer.train, n)
            start = time.perf_counter()
            trainer.finish()
            seconds += time.perf_counter() - start
            accuracy = 100 * np.mean(trainer.predict(x_test) == y_test)
            print(f"{name}: {accuracy:.2f} % after {check / CHECKS} epochs, {seconds:.1f} s")
            if accuracy >= options.to_accuracy:
                blocks[name] = [seconds]
                break
        else:
            print(f"{name}: did not reach {options.to_accuracy} % in {options.epochs} epochs")
        if "pybinnet" not in blocks:
            raise SystemExit("no ratios without pybinnet, the first; raise --epochs")
    title = f"Seconds to {options.to_accuracy} % of the test rows, one run"
    rows = compared(blocks)
    show_rows(title, rows, "seconds")
    return title, rows


def beside_busy(options, trainer):
    """Compare a quiet machine with one where other processes compute without end."""

    def run_beside(n_steps):
        loop = [sys.executable, "-c", "while True: pass"]
        others = [subprocess.Popen(loop) for _ in range(options.busy)]
        try:
            trainer.train(n_steps)
        finally:
            for other in others:
                other.kill()
                other.wait()

    runs = {"pybinnet alone": trainer.train, f"beside {options.busy} busy loops": run_beside}
    blocks = measure(runs, options.blocks, options.seconds)
    title = "Seconds per epoch beside other processes"
    rows = compared(blocks, scale=trainer.n_steps)
    show_rows(title, rows, "seconds")
    return title, rows


def breakdown(trainer, options):
    """Sample this process while it trains; return the share of each function, in percent."""
    trainer.train(10)
    if not shutil.which("perf"):
        print("skipped: perf is not installed (apt install linux-perf)", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "perf.data"))
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "999", "-o", path]
        with subprocess.Popen([*command, "-p", str(os.getpid())]) as perf:
            time.sleep(1)  # until it has attached
            trainer.train(round(options.blocks * options.seconds / (timed(trainer.train, 10) / 10)))
            perf.send_signal(signal.SIGINT)
        command = ["perf", "script", "-i", path, "-F", "ip,sym,dso"]
        script = subprocess.run(command, capture_output=True, text=True)
    samples = Counter(_function(line) for line in script.stdout.splitlines())
    if not samples:
        print(f"skipped: perf took no samples: {script.stderr.strip()}", file=sys.stderr)
        return None
    shares = {name: 100 * n / samples.total() for name, n in samples.most_common()}
    groups = Counter()
    for (place, name), share in shares.items():
        groups[_group(place, name)] += share
    print(f"\nShare of a step, of {samples.total()} samples")
    for group, share in groups.most_common():
        print(f"{share:>6.1f} %  {group}")
    print("\nFunctions")
    for (place, name), share in list(shares.items())[:16]:
        print(f"{share:>6.1f} %  {name}{'' if place == 'core' else f' ({place})'}")
    return {
        "groups": dict(groups),
        "functions": {f"{place}: {name}": share for (place, name), share in shares.items()},
    }


def _group(place, name):
    if place != "core":
        return "other code (Python, numpy, kernel)"
    return next((group for group, names in GROUPS.items() if name in names), "other element-wise")


def _function(line):
    """The library ("core" is ours) and the function of a line: address, function, (library)."""
    name, _, library = line.split(maxsplit=1)[1].rpartition(" (")
    place = "core" if "pybinnet/_core" in library else Path(library.rstrip(")")).name
    return place, name.partition(".")[0]  # without .constprop and the like


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The data comes from the folder that BINNET_DATA names, else from openml.org.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_options(parser, seconds=2.5)
    nets.add_option(parser)
    add = parser.add_argument
    add("--batch-size", type=integer(2, _engine.MAX_BATCH), default=128, help="rows of a step")
    add("--seed", type=integer(0, 2**31 - 1), default=0, help="of weights and row order")
    add(
        "--to-accuracy",
        type=float,
        metavar="PERCENT",
        help="measure the time until that many test rows are right instead",
    )
    add("--epochs", type=integer(1, 10**6), default=5, help="with --to-accuracy: the rates' plan")
    add("--busy", type=integer(1, 64), help="measure pybinnet beside so many busy loops instead")
    add("--breakdown", action="store_true", help="profile pybinnet alone with perf instead")
    options = parse(parser)
    if options.breakdown and options.plot:
        parser.error("--breakdown has no plot; leave --plot out")
    return options


if __name__ == "__main__":
    main()
