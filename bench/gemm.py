"""Measures products of bits, and of numbers and bits, against float32 products of the same shape.

All contenders take turns, so that a busy machine is busy for each. Every figure is a median.
The rooflines are of one thread, on registers: what the processor could do if it never waited.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import ctypes
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from math import nan
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

import pybinnet

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 0.05  # the least that is timed: shorter calls are repeated
TITLES = {"forward": "uint8 × ±1", "backward": "int8 × ±1", "outer": "int8 × {0, 1}"}
SELECTIONS = [  # m rows, n columns, k summands: of a layer, batch 128
    ("forward", 128, 1024, 784),
    *((kind, 128, n, n) for n in (1024, 4096) for kind in ("forward", "backward")),
    *(("outer", n, n, 128) for n in (1024, 4096)),
]
PAUSE = 0.1  # after which no idle thread of another contender's pool still spins


def main():
    options = parse_options()
    info = pybinnet.cpu_info()
    blas = sorted(
        {
            f"{pool['internal_api']} {pool['version']} ({pool.get('architecture', '?')})"
            for pool in threadpool_info()
            if pool["user_api"] == "blas"
        }
    )
    torch = import_torch()
    report = {
        "command": shlex.join(["python", *sys.argv]),
        "version": pybinnet.__version__,
        "cpu": info["processor"],
        "isa": info["isa"],
        "numpy": f"{np.__version__}, {', '.join(blas)}",
        "torch": torch.__version__ if torch else None,
        "repeat": options.repeat,
        "registers": [],
        "selections": [],
        "products": [],
    }
    for name in ("cpu", "isa", "numpy", "torch"):
        print(f"{name:<6} {report[name] or 'not installed'}")

    library = Library()
    print("\nBits and bits: the kernel, one thread, operands in the first-level cache:")
    print("isa        xor+count+add   kernel  Gmac/s   kernel / xor+count+add")
    for isa in info["isas"]:
        row = library.registers(isa, options.repeat)
        report["registers"].append(row)
        limit, kernel = row["roofline"], row["microkernel"]
        print(
            f"{isa:<10} {limit or nan:>13.0f} {kernel:>8.0f}"
            f"  {'':>6} {kernel / limit if limit else nan:>24.2f}",
            flush=True,
        )

    print("\nNumbers and bits, as in training, packing included, one thread, Gmac/s:")
    print(
        f"{'isa':<9} {'product':<15} {'m':>5} {'n':>5} {'k':>5} {'kernels':>8} {'lookup+add':>10}"
        f" {'numpy':>7} {'torch':>7} {'ratio':>6} {'to torch':>8}"
    )
    for isa in info["isas"]:
        for row in library.selections(isa, options.repeat, torch):
            report["selections"].append(row)
            print(
                f"{isa:<9} {row['product']:<15} {row['m']:>5} {row['n']:>5} {row['k']:>5}"
                f" {row['kernels']:>8.1f} {row['lookup+add'] or nan:>10.0f} {row['numpy']:>7.1f}"
                f" {row.get('torch', nan):>7.1f} {row['kernels'] / row['numpy']:>6.2f}"
                f" {row['kernels'] / row.get('torch', nan):>8.2f}",
                flush=True,
            )

    print("\nBits and bits: products of an (m × k) and a (k × n) matrix, Gmac/s:")
    print(
        f"{'m':>6} {'n':>6} {'k':>6} {'threads':>7} {'numpy':>8} {'torch':>8} {'xnor':>8}"
        f" {'with packing':>12} {'xnor/numpy':>10} {'xnor/torch':>10}"
    )
    for shape in options.shapes:
        for row in products(shape, options.threads, options.repeat, torch):
            report["products"].append(row)
            print(
                f"{row['m']:>6} {row['n']:>6} {row['k']:>6} {row['threads']:>7}"
                f" {row['numpy']:>8.1f} {row.get('torch', nan):>8.1f}"
                f" {row['xnor']:>8.1f} {row['xnor_with_packing']:>12.1f}"
                f" {row['xnor_over_numpy']:>10.1f} {row.get('xnor_over_torch', nan):>10.1f}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.plot:
        plot(report, options.plot)


def import_torch():
    try:
        import torch
    except ImportError:
        return None
    return torch


class Library:
    """The functions of roofline.c with the library's files, from the C compiler at hand."""

    def __init__(self):
        lines = (ROOT / "libbinnet/sources.txt").read_text(encoding="utf-8").splitlines()
        sources = [line for line in lines if not line.startswith("#")]
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder, "roofline.so")
            subprocess.run(
                [*shlex.split(os.environ.get("CC", "cc")), "-std=c99", "-O3", "-fPIC", "-shared"]
                + [f"-I{ROOT / 'include'}", "-o", library, ROOT / "bench/roofline.c"]
                + [ROOT / "libbinnet" / name for name in sources],
                check=True,
            )
            self.library = ctypes.CDLL(library)

    def call(self, name, *arguments):
        """The multiply-adds that a function did, 0 if there is none for an instruction set."""
        function = getattr(self.library, name)
        function.restype = ctypes.c_uint64
        *others, n = (a.encode() if isinstance(a, str) else a for a in arguments)
        return function(*others, ctypes.c_uint64(n))

    def registers(self, isa, repeat):
        """Gmac/s of exclusive or, count and add on registers, and of the kernel."""
        names = [name for name in ("roofline", "microkernel") if self.call(name, isa, 1)]
        samples = rates_of({name: partial(self.call, name, isa) for name in names}, repeat)
        medians = {name: statistics.median(values) for name, values in samples.items()}
        return {"isa": isa, "roofline": 0, **medians, "samples": samples}

    def selections(self, isa, repeat, torch):
        """Gmac/s of the three products of a layer, a row for each product and shape."""
        for kind, m, n, k in SELECTIONS:
            contenders = {"kernels": partial(self.call, "product", isa, kind, m, n, k)}
            if self.call("lookup_roofline", isa, 1):
                contenders["lookup+add"] = partial(self.call, "lookup_roofline", isa)
            contenders |= float_products(m, n, k, torch)
            if torch:
                torch.set_num_threads(1)
            with threadpool_limits(1, user_api="blas"):
                samples = rates_of(contenders, repeat)
            medians = {name: statistics.median(values) for name, values in samples.items()}
            row = {"isa": isa, "product": TITLES[kind], "m": m, "n": n, "k": k, "lookup+add": 0}
            yield row | medians | {"samples": samples}


def float_products(m, n, k, torch):
    """What does such a product of float32 numbers n times and returns the multiply-adds."""
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(size, dtype=np.float32) for size in ((m, k), (n, k)))
    out = np.empty((m, n), np.float32)
    calls = {"numpy": lambda: np.matmul(a, b.T, out=out)}
    if torch:
        tensors = [torch.from_numpy(array) for array in (a, b.T, out)]
        calls["torch"] = lambda: torch.matmul(tensors[0], tensors[1], out=tensors[2])

    def repeated(call, times):
        for _ in range(times):
            call()
        return times * m * n * k

    return {name: partial(repeated, call) for name, call in calls.items()}


def rates_of(contenders, repeat):
    """Gmac/s of contenders in turn; each does n units when called with n, and returns the work."""
    counts = dict.fromkeys(contenders, 1)
    for name, run in contenders.items():  # also warms up
        while clock(lambda run=run, n=counts[name]: run(n)) < SECONDS:
            counts[name] *= 2
    rates = {name: [] for name in contenders}
    for _ in range(repeat):
        for name, run in contenders.items():
            start = time.perf_counter()
            macs = run(counts[name])
            rates[name].append(macs / (time.perf_counter() - start) / 1e9)
    return rates


def products(shape, threads, repeat, torch):
    """Gmac/s of each contender on one shape, a row for each number of threads."""
    m, n, k = shape
    random = np.random.default_rng(0)
    a, b = (2.0 * random.integers(0, 2, size) - 1 for size in ((m, k), (n, k)))
    a, b = a.astype(np.float32), b.astype(np.float32)
    floats, integers = np.empty((m, n), np.float32), np.empty((m, n), np.int32)
    packed_a, packed_b = pybinnet.pack_bits(a), pybinnet.pack_bits(b)
    for n_threads in threads:
        contenders = {
            "numpy": lambda: np.matmul(a, b.T, out=floats),
            "xnor": lambda n=n_threads: pybinnet.xnor_matmul(
                packed_a, packed_b, out=integers, n_jobs=n
            ),
            "xnor_with_packing": lambda n=n_threads: pybinnet.xnor_matmul(
                a, b, out=integers, n_jobs=n
            ),
        }
        if torch:
            torch.set_num_threads(n_threads)
            tensors = [torch.from_numpy(array) for array in (a, b.T, floats)]
            contenders["torch"] = lambda t=tensors: torch.matmul(t[0], t[1], out=t[2])
        with threadpool_limits(n_threads, user_api="blas"):
            if not np.array_equal(contenders["xnor"](), contenders["numpy"]()):  # exact: k < 2**24
                raise AssertionError(f"wrong product of shape {shape}")
            calls = {name: int(SECONDS / clock(call)) + 1 for name, call in contenders.items()}
            seconds = {name: [] for name in contenders}
            for _ in range(repeat):
                for name, call in contenders.items():
                    time.sleep(PAUSE)
                    start = time.perf_counter()
                    for _ in range(calls[name]):
                        call()
                    seconds[name].append((time.perf_counter() - start) / calls[name])
        rates = {name: m * n * k / statistics.median(s) / 1e9 for name, s in seconds.items()}
        row = {"m": m, "n": n, "k": k, "threads": n_threads, **rates}
        row["xnor_over_numpy"] = rates["xnor"] / rates["numpy"]
        if torch:
            row["xnor_over_torch"] = rates["xnor"] / rates["torch"]
        row["seconds"] = seconds
        yield row


def clock(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def plot(report, path):
    """Draw the rates of all products as bars, the roofline as a line."""
    from matplotlib.figure import Figure

    threads = sorted({row["threads"] for row in report["products"]})
    figure = Figure(figsize=(5 * len(threads), 4), layout="constrained")
    figure.suptitle(f"±1 matrix products, {report['cpu']}, {report['isa']}")
    limit = next((row["roofline"] for row in report["registers"] if row["isa"] == report["isa"]), 0)
    names = {"numpy": "numpy float32", "torch": "torch float32", "xnor": "xnor_matmul (× numpy)"}
    for axes, n_threads in zip(
        figure.subplots(1, len(threads), sharey=True, squeeze=False)[0], threads, strict=True
    ):
        rows = [row for row in report["products"] if row["threads"] == n_threads]
        present = [name for name in names if name in rows[0]]
        x, width = np.arange(len(rows)), 0.8 / len(present)
        for i, name in enumerate(present):
            bars = axes.bar(x + i * width, [r[name] for r in rows], width, label=names[name])
            if name == "xnor":
                axes.bar_label(bars, [f"{r['xnor_over_numpy']:.1f}×" for r in rows])
        if limit:
            axes.axhline(
                limit * n_threads,
                color="black",
                linestyle="--",
                label="xor + count + add",
            )
        labels = [
            f"{r['m']}³" if r["m"] == r["n"] == r["k"] else f"{r['m']}×{r['n']}×{r['k']}"
            for r in rows
        ]
        axes.set_xticks(x + (len(present) - 1) * width / 2, labels)
        axes.set(
            title=f"{n_threads} thread{'s' * (n_threads > 1)}",
            xlabel="m × n × k",
            ylabel="Gmac/s",
            yscale="log",
        )
        axes.grid(axis="y", alpha=0.3)
    handles, texts = axes.get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=len(texts))
    figure.savefig(path, dpi=150)


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--shapes",
        type=lambda text: [shape(part) for part in text.split(",")],
        default="1024,2048,4096,8192,128x1024x784",
        help="m × n × k as 128x1024x784, or one number for all three",
    )
    add("--threads", type=counts, default="1,2", help="a row of the table for each")
    add("--repeat", type=int, default=5, help="timings of each, of which the median is reported")
    add("--json", type=Path, metavar="FILE", help="write all of it there")
    add("--plot", type=Path, metavar="FILE.png", help="draw the rates there; needs matplotlib")
    return parser.parse_args()


def shape(text):
    sizes = [int(part) for part in text.split("x")]
    if len(sizes) not in (1, 3) or min(sizes) < 1 or max(sizes) >= 2**24:
        raise argparse.ArgumentTypeError(f"{text} is not a size or three as 128x1024x784")
    return tuple(sizes * 3 if len(sizes) == 1 else sizes)


def counts(text):
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
