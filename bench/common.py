"""What the measurements share: options, interleaved timing, tables, bar charts."""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import json
import multiprocessing
import os
import shlex
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pybinnet import __version__, _engine, cpu_info

PEERS = "numpy scikit-learn torch onnx onnxruntime".split()


def installed(*modules):
    """Whether the packages can be imported; if not, say what is skipped."""
    missing = [module for module in modules if _version(module) is None]
    for module in missing:
        print(f"skipped: {module} is not installed (pip install {module})", file=sys.stderr)
    return not missing


def facts(options, layers):
    """Return what a reader must know about a measurement, as the head of its report."""
    return {
        "command": shlex.join(["python", *sys.argv]),
        "version": __version__,
        "peers": {name: _version(name) for name in PEERS},
        "cpu": cpu_info()["processor"],
        "isa": _engine.isa_name(),
        "threads": options.threads,
        "layers": layers,
    }


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


# ---- Timing --------------------------------------------------------------------------------


def measure(contenders, n_blocks, seconds):
    """Time contenders in turn, so that noise hits all of them.

    Parameters
    ----------
    contenders : dict of str to callable
        Each does n units of work when called with n.
    n_blocks : int
        Timings of each contender.
    seconds : float
        Rough length of a timing.

    Returns
    -------
    dict of str to list of float
        Seconds per unit in each block.
    """
    counts = {name: _count(run, seconds) for name, run in contenders.items()}
    blocks = {name: [] for name in contenders}
    for _ in range(n_blocks):
        for name, run in contenders.items():
            blocks[name].append(timed(run, counts[name]) / counts[name])
    return blocks


def _count(run, seconds):
    """How many units take that long; finding it out is the warm-up."""
    n = 1
    run(n)
    while (elapsed := timed(run, n)) < seconds / 10:
        n *= 2
    return max(1, round(n * seconds / elapsed))


def timed(run, n):
    start = time.perf_counter()
    run(n)
    return time.perf_counter() - start


def compared(blocks, scale=1.0):
    """Return median, extremes and ratio to the first contender of each, as a row of the report."""
    medians = {name: statistics.median(values) for name, values in blocks.items()}
    first = next(iter(medians.values()))
    return [
        {
            "name": name,
            "median": medians[name] * scale,
            "least": min(values) * scale,
            "most": max(values) * scale,
            "ratio": medians[name] / first,
        }
        for name, values in blocks.items()
    ]


# ---- Memory --------------------------------------------------------------------------------


def in_own_process(function, *args):
    """Return what a function returns in a new process, so that memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def memory(name):
    """Return this process's VmRSS (now) or VmHWM (the most so far) in bytes; only on Linux.

    Not `ru_maxrss`: that of a new process begins with its parent's.
    """
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


# ---- Reports -------------------------------------------------------------------------------


def show_facts(report):
    peers = ", ".join(f"{name} {version}" for name, version in report["peers"].items() if version)
    print(f"pybinnet {report['version']} ({report['isa']}), {peers}")
    print(f"{report['cpu']}, threads: {report['threads']}, {'-'.join(map(str, report['layers']))}")


def show_rows(title, rows, unit):
    width = max(len(row["name"]) for row in rows)
    print(f"\n{title}\n{'':<{width}}  {unit:>11}  {'least':>10}  {'most':>10}  {'ratio':>7}")
    for row in rows:
        numbers = "  ".join(f"{row[key]:>{w}.4g}" for key, w in (("median", 11), ("least", 10)))
        print(f"{row['name']:<{width}}  {numbers}  {row['most']:>10.4g}  {row['ratio']:>7.2f}")


def save(options, report, panels, unit):
    """Write what --json and --plot ask for; panels are pairs of a title and rows."""
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.plot:
        _plot(options.plot, report, panels, unit)


def _plot(path, report, panels, unit):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1 + 2.2 * len(panels)), layout="constrained")
    figure.suptitle(
        f"{'-'.join(map(str, report['layers']))}, {report['cpu']} ({report['isa']}), "
        f"threads: {report['threads']}"
    )
    for axes, (title, rows) in zip(
        figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True
    ):
        colors = ["tab:orange" if "pybinnet" in row["name"] else "tab:gray" for row in rows]
        bars = axes.barh(
            [row["name"] for row in rows], [row["median"] for row in rows], color=colors
        )
        axes.bar_label(
            bars, [f"{row['median']:.3g} (×{row['ratio']:.2g})" for row in rows], padding=3
        )
        axes.invert_yaxis()  # the first at the top
        axes.set(title=title, xlabel=unit)
        if max(row["median"] for row in rows) > 50 * min(row["median"] for row in rows):
            axes.set_xscale("log")
        axes.margins(x=0.25)  # room for the labels
    figure.savefig(path, dpi=150)


def write_atomic(path, data):
    """Write a file whole or, if the process is killed meanwhile, not at all."""
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # else the new name may outlive a power cut and the bytes not
    os.replace(temporary, path)


# ---- Options -------------------------------------------------------------------------------


def add_options(parser, seconds):
    """Add what all measurements of time have."""
    add = parser.add_argument
    add("--hidden", type=sizes, default="1024,1024,1024", help="units of each hidden layer")
    add("--threads", type=int, choices=(1, 2), default=1, help="threads of every library")
    add("--isa", help="kernels of pybinnet, such as avx2; by default the best")
    add("--blocks", type=integer(1, 1000), default=5, help="timings; their median counts")
    add("--seconds", type=float, default=seconds, help="rough length of a timing")
    add_outputs(parser)


def add_outputs(parser):
    add = parser.add_argument
    add("--json", type=output, metavar="FILE", help="write all of it there")
    add("--plot", type=output, metavar="FILE.png", help="draw it there; needs matplotlib")


def check_outputs(parser, options):
    """Look for matplotlib before the hours of training, not after them."""
    if options.plot and not _version("matplotlib"):
        parser.error("--plot needs matplotlib; run pip install matplotlib, or leave --plot out")


def parse(parser):
    """Parse options that `add_options` began; force the instruction set."""
    options = parser.parse_args()
    check_outputs(parser, options)
    if options.isa:
        os.environ["BINNET_ISA"] = options.isa
    try:
        _engine.isa_name()
    except ValueError as error:
        parser.error(str(error))
    return options


def integer(low, high):
    """Return an argparse type: an integer from low to high."""

    def parse(text):
        number = int(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text} is outside the range {low} to {high}")
        return number

    parse.__name__ = "integer"  # in argparse's "invalid integer value"
    return parse


def seeds(text):
    values = [integer(0, 2**32 - 1)(part) for part in text.split(",")]
    if len(set(values)) < len(values):
        raise argparse.ArgumentTypeError(f"{text} has a seed twice")
    return values


def sizes(text):
    return tuple(integer(1, 65536)(part) for part in text.split(","))


def output(text):
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"the folder {path.parent} does not exist")
    return path
