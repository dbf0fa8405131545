"""The tables and figures of the three papers, from one command that can be stopped.

After every epoch a run's history and checkpoint are written to the --state folder; the same command
goes on from there, after kill -9 too, to the same bits. Commands that run side by side share the
work. Nothing is chosen by test error: the last epoch's is reported.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import fcntl
import hashlib
import json
import os
import platform
import statistics
import sys
import time
from argparse import Namespace
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict, astuple, dataclass, replace
from functools import cache, partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import datasets
import nets
import numpy as np
from common import (
    compared,
    facts,
    integer,
    measure,
    save,
    seeds,
    show_rows,
    write_atomic,
)
from rows import SOURCES, TABLES, ImageRow, Row, slug
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import pybinnet
from pybinnet import BinaryConnectClassifier, _engine, cpu_info, xnor_matmul
from pybinnet._engine import Method
from pybinnet._images import asked_shape
from pybinnet._latent import latent_scores
from pybinnet._parameters import CHOICES, hidden_layers, method_parameters, weight_decay
from pybinnet._rows import Rows
from pybinnet._training import CALIBRATION_ROWS, Configuration, Training

LATENT_EVERY = 10  # epochs: that test is floating-point, and slow; of slow rows there is none,
TEST_EVERY = 5  # and one of the deployed bits
LAYERS = (784, 1024, 1024, 1024, 10)  # of the papers' count of multiplications,
BATCH_SIZE = 200  # and their batch
XNOR_SIZE = 8192
XNOR_HIDDEN = (4096, 4096, 4096)  # BNN's MNIST net
N_XNOR_ROWS = 10000
SECONDS = 1  # rough length of a timing
MOST_LOAD = 1.5  # processes that want to run: one may be this
PARTS = ("operations", "xnor")  # what there is besides the rows


def main():
    sys.stdout.reconfigure(line_buffering=True)  # a line in a log file as soon as it is printed
    parser = make_parser()
    options = parse_options(parser)
    runs = plan(options)
    try:
        if not options.report:
            make_folder(parser, options.state)
            data = load_data(parser, options)
            train_all(runs, data, options)
            if "xnor" in options.only:
                xnor(options.state / "xnor.json")
        report(runs, options)
    except StateError as error:
        raise SystemExit(f"reproduce.py: {error}") from None
    except KeyboardInterrupt:
        print(f"\n{stopped(runs)}", file=sys.stderr)
        raise SystemExit(130) from None


def stopped(runs):
    """Say where Ctrl-C came and how to go on."""
    states = {run: read_state(run) for run in runs}
    done = sum(len(state["history"]) for state in states.values())
    begun = [missing(run, state) for run, state in states.items() if state["history"]]
    return "\n".join(
        [
            f"stopped: {done} of {sum(run.row.epochs for run in runs)} epochs are done",
            *(f"in {text}" for text in begun if text),
            "The same command goes on from there; --report shows what is finished.",
        ]
    )


def make_folder(parser, path):
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--state: {error}")


def load_data(parser, options):
    """Training and test rows; None if nothing is to be trained."""
    if set(options.only) <= set(PARTS):
        return None
    try:
        return Data(*datasets.load(options.dataset))
    except (OSError, ValueError) as error:
        parser.error(str(error))


# ---- Runs and their files ------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One training: a row and a seed, and the file of its state."""

    row: Row
    seed: int
    path: Path

    @property
    def name(self):
        return f"{self.row.name}, seed {self.seed}"


class Data:
    """Training and test rows, and a hash of them."""

    def __init__(self, x_train, y_train, x_test, y_test):
        self.x_train, self.y_train = x_train, y_train.astype(np.uint16)
        self.x_test, self.y_test = x_test, y_test
        digest = hashlib.sha256()
        for array in x_train, self.y_train, x_test, y_test:
            digest.update(np.ascontiguousarray(array))
        self.sha256 = digest.hexdigest()

    def encoded(self, row):
        """The same, as a row of the tables takes it."""
        same = copy(self)
        same.x_train, same.x_test = row.encoded(self.x_train), row.encoded(self.x_test)
        return same


class StateError(Exception):
    """A file of the --state folder cannot be used."""


def plan(options):
    """All runs in the order in which they are trained: a first seed of each row, then the next."""
    rows = [row for row in TABLES[options.dataset].rows if row.slug in options.only]
    if options.epochs:
        rows = [replace(row, epochs=options.epochs) for row in rows]
    if options.rates:
        first, last = options.rates
        rows = [replace(row, first=first, last=last) for row in rows]
    return [
        Run(row, seed, state_path(options.state, options.dataset, row, seed))
        for seed in options.seeds
        for row in rows
    ]


def state_path(folder, dataset, row, seed):
    """The file of a run: other settings, and another learning rule, have another.

    The row's name and the papers' figures may change without training anew.
    """
    of_rule = rule(row.method, row.slow, row.contrasts)
    settings = asdict(row) | {"dataset": dataset, "seed": seed, "rule": of_rule}
    del settings["name"], settings["paper"]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    words = [
        name if choice is True else f"{name}{choice}"
        for name, choice in asdict(row.method).items()
        if choice
    ]
    return folder / f"{'-'.join([dataset, *words, f'seed{seed}', digest[:10]])}.run"


@cache
def rule(method, images, contrasts):
    """A hash of a small training by this method, of images or their contrasts or neither; its test.

    It changes when the learning rule does, or how errors are measured.
    """
    x = (np.arange(64 * 16) * 37 % 256).astype(np.uint8).reshape(64, 16)
    y = (np.arange(64) % 4).astype(np.uint16)
    settings = {"method": method, "epochs": 2, "batch_size": 8}
    if images:
        net = ((4, 4, 1), nets.Conv(8), nets.Conv(8, pool=2), 8, 4)
        net = nets.of_contrasts(net) if contrasts else net
        row = ImageRow("", **settings, net=net, contrasts=contrasts, flip=True, crop=1)
    else:
        row = Row("", **settings, hidden=(16, 8))
    x = row.encoded(x)
    training = new_training(row, 1, x, y, n_jobs=1)
    for _ in range(row.epochs):
        training.epoch()
    checkpoint = training.net.checkpoint()
    parts = [checkpoint, training.deploy(), str(CALIBRATION_ROWS).encode()]
    if not row.slow:
        latent = latent_scores(checkpoint, x, training.calibration_rows()).argmax(axis=1)
        parts.insert(2, latent.tobytes())
    return hashlib.sha256(b"".join(parts)).hexdigest()


def read_state(run):
    """The state of a run: what is known of its epochs. It is empty before the first."""
    return _read(run)[0]


def _read(run):
    """State and checkpoint; the file is a line of JSON and the checkpoint's bytes."""
    try:
        head, _, checkpoint = run.path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return {"history": [], "sessions": []}, None
    try:
        state = json.loads(head)
    except ValueError:
        state = {}
    if state.get("checkpoint_sha256") != hashlib.sha256(checkpoint).hexdigest():
        raise StateError(f"{run.path} is damaged; delete it to train {run.name!r} anew")
    return state, checkpoint


@contextmanager
def claimed(run):
    """Whether the run is this process's; what another one trains is not, until that one ends."""
    with run.path.with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = True
        except BlockingIOError:
            mine = False
        yield mine


def missing(run, state):
    """What is not trained of a run; empty if nothing is."""
    done = len(state["history"])
    return "" if done == run.row.epochs else f"{run.name}: {done} of {run.row.epochs} epochs"


# ---- Training ------------------------------------------------------------------------------


def new_training(row, seed, x, y, n_jobs):
    """What fit of a BinaryConnectClassifier with the row's parameters trains, of rows as they are.

    (fit itself puts them in an order that does not depend on the one they are given in.)
    """
    params = BinaryConnectClassifier(
        row.hidden,
        **row.images(),
        **parameters(row.method),
        batch_size=row.batch_size,
        learning_rate_init=2.0**-row.first,
        learning_rate_final=2.0**-row.last,
        max_iter=row.epochs,
        n_jobs=n_jobs,
        random_state=seed,
    )
    counts = np.bincount(y).astype(np.uint32)
    net_seed = int(np.random.RandomState(seed).randint(np.iinfo(np.int32).max))
    configuration = Configuration(
        net_seed,
        (*hidden_layers(params), *_engine.dense(len(counts))),
        asked_shape(params),
        method_parameters(params),
        row.batch_size,
        counts,
        0,
    )
    return Training(params, configuration, x, y.astype(np.uint16), Rows(np.arange(len(y))))


def parameters(method):
    """A method as parameters of the estimator."""
    choices = zip(CHOICES.items(), astuple(method), strict=False)  # they are the first fields
    return {
        **{name: allowed[chosen] for (name, allowed), chosen in choices},
        "quantized_backprop": not method.exact,
        "dropout": method.dropout / 256,
        "input_dropout": method.input_dropout / 256,
        "weight_decay": weight_decay(method.decay),
    }


def train(run, data, n_jobs, after_epoch=lambda state: None):
    """Train a run from its last whole epoch to its end; call `after_epoch` with each state."""
    state, checkpoint = _read(run)
    if state.setdefault("data_sha256", data.sha256) != data.sha256:
        raise StateError(f"{run.path} was trained on other data; use another --state")
    state.setdefault("n_rows", len(data.y_train))
    done = len(state["history"])
    if done == run.row.epochs:
        return state
    data = data.encoded(run.row)
    training = new_training(run.row, run.seed, data.x_train, data.y_train, n_jobs)
    if checkpoint:
        training.net.restore(checkpoint)
    state["sessions"].append(session(done + 1, n_jobs))
    training.progress.losses = [result["loss"] for result in state["history"]]
    for epoch in range(done, run.row.epochs):
        start = time.perf_counter()
        training.epoch()
        seconds = time.perf_counter() - start
        checkpoint = training.net.checkpoint()
        result = {
            "epoch": epoch + 1,
            "loss": training.progress.losses[-1],
            "seconds": seconds,
        }
        due = tests_due(run.row, epoch + 1)
        state["history"].append(result | test(training, checkpoint, data, n_jobs, *due))
        state["checkpoint_sha256"] = hashlib.sha256(checkpoint).hexdigest()
        write_atomic(run.path, json.dumps(state).encode() + b"\n" + checkpoint)
        after_epoch(state)
    return state


def session(first_epoch, n_jobs):
    """Who trained from this epoch on."""
    info = facts(Namespace(threads=_engine.n_threads(n_jobs)), layers=None)
    del info["layers"]
    return {"first_epoch": first_epoch, **info}


def tests_due(row, epoch):
    """Whether to test the deployed bits, and the latent weights, after an epoch."""
    last = epoch == row.epochs
    if row.slow:
        return last or epoch % TEST_EVERY == 0, False
    return True, last or epoch % LATENT_EVERY == 0


def test(training, checkpoint, data, n_jobs, deployed, latent):
    """Test errors of the deployed bits and of the latent weights, None where there is no test."""
    start = time.perf_counter()
    errors = {"test_error_percent": None, "latent_error_percent": None}
    if deployed:
        scores = _engine.predict_scores(training.deploy(), data.x_test)
        errors["test_error_percent"] = error_percent(scores, data)
    if latent:
        with threadpool_limits(_engine.n_threads(n_jobs), user_api="blas"):
            scores = latent_scores(checkpoint, data.x_test, training.calibration_rows())
        errors["latent_error_percent"] = error_percent(scores, data)
    return errors | {"test_seconds": time.perf_counter() - start}


def error_percent(scores, data):
    return 100 * np.count_nonzero(scores.argmax(axis=1) != data.y_test) / len(data.y_test)


def train_all(runs, data, options):
    """Train what is not finished, with a bar over all epochs of all runs."""
    states = {run: read_state(run) for run in runs}
    bar = tqdm(
        total=sum(run.row.epochs for run in runs),
        initial=sum(len(state["history"]) for state in states.values()),
        disable=None if runs else True,
        bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} epochs, {elapsed}{postfix}",
    )

    def show(run, state):
        states[run] = state
        bar.n = sum(len(state["history"]) for state in states.values())
        left = tqdm.format_interval(seconds_left(states))
        last = state["history"][-1]
        bar.set_postfix_str(f"{left} left, {run.name}: loss {last['loss']:.3f}")  # also draws it
        if run.row.slow or last["latent_error_percent"] is not None:
            tqdm.write(f"{progress(run, state)}; {left} left")

    with bar:
        for run in runs:
            with claimed(run) as mine:
                if mine:
                    states[run] = train(run, data, options.n_jobs, partial(show, run))
                else:
                    tqdm.write(f"{run.name}: another process trains it")


def progress(run, state):
    """Say how far a run is."""
    last = state["history"][-1]
    text = f"{run.name}: epoch {last['epoch']} of {run.row.epochs}, loss {last['loss']:.4f}"
    for name, key in ("test error", "test_error_percent"), ("latent", "latent_error_percent"):
        if last[key] is not None:
            text += f", {name} {last[key]:.2f} %"
    return f"{text}; {tqdm.format_interval(seconds_so_far(state))} so far"


def seconds_so_far(state):
    """Seconds of training and tests."""
    return sum(epoch["seconds"] + epoch["test_seconds"] for epoch in state["history"])


def seconds_left(states):
    """Estimate the time left; a row not trained yet takes as long per product as others."""
    totals, seconds_all, work_all = {}, 0, 0
    for run, state in states.items():
        seconds = seconds_so_far(state)
        before = totals.get(run.row, (0, 0))
        totals[run.row] = before[0] + seconds, before[1] + len(state["history"])
        seconds_all += seconds
        work_all += nets.n_products(run.row.net) * len(state["history"])
    left = 0
    for run, state in states.items():
        seconds, epochs = totals[run.row]
        pace = seconds / epochs if epochs else 0
        if not epochs:
            pace = nets.n_products(run.row.net) * seconds_all / max(1, work_all)
        left += pace * (run.row.epochs - len(state["history"]))
    return left


# ---- Report --------------------------------------------------------------------------------


def report(runs, options):
    """Print all tables; write what --results and --plots ask for."""
    states = {run: read_state(run) for run in runs}
    lines = summary(states)
    operations = count_operations() if "operations" in options.only else None
    if lines:
        print(f"\n{table(lines, options.dataset)}")
    for run, state in states.items():
        if text := missing(run, state):
            print(f"missing: {text}")
    if operations:
        print(f"\nTernary stochastic weights, quantized backprop. {operations['table']}")
    xnor_report = read_xnor(options.state / "xnor.json") if "xnor" in options.only else None
    suffix = "" if options.dataset == "mnist" else f"-{options.dataset}"
    if options.results and (lines or operations):
        path = options.results / f"reproduce{suffix}.json"
        before = (
            json.loads(path.read_bytes()) if path.exists() else {"rows": [], "operations": None}
        )
        selected = {line["name"] for line in lines}
        others = [line for line in before["rows"] if line["name"] not in selected]
        threads = Namespace(threads=_engine.n_threads(options.n_jobs))
        of_papers = list(LAYERS) if options.dataset in datasets.NAMES else None
        everything = facts(threads, of_papers) | {
            "python": platform.python_version(),
            "cpu_info": cpu_info(),
            "dataset": options.dataset,
            "seeds": options.seeds,
            "sources": SOURCES,
            "rows": others + lines,
            "papers_only": [
                {"name": name, "paper": paper}
                for name, paper in TABLES[options.dataset].papers_only
            ],
            "operations": operations or before["operations"],
        }
        write_json(path, everything)
    if options.results and xnor_report:
        write_json(options.results / "xnor.json", xnor_report)
    if options.plots:
        plot_convergence(lines, options.dataset, options.plots / f"convergence{suffix}.png")
    if options.plots and xnor_report:
        plot = Namespace(json=None, plot=options.plots / "xnor.png")
        save(plot, xnor_report, xnor_report["panels"], "seconds")


def write_json(path, value):
    write_atomic(path, (json.dumps(value, indent=1) + "\n").encode())


def summary(states):
    """A dict for each row: its settings, and the runs of it that are finished."""
    lines = []
    for row in dict.fromkeys(run.row for run in states):
        of_row = {run: state for run, state in states.items() if run.row == row}
        finished = {run: state for run, state in of_row.items() if not missing(run, state)}
        last = [state["history"][-1] for state in finished.values()]
        minutes = [
            sum(epoch["seconds"] for epoch in state["history"]) / 60 for state in finished.values()
        ]
        lines.append(
            {
                "name": row.name,
                "paper": row.paper,
                "hidden": row.hidden,
                "layers": nets.described(row.net),
                "epochs": row.epochs,
                "batch_size": row.batch_size,
                "rate_exponents": [row.first, row.last],
                "method": asdict(row.method),
                "seeds_asked_for": len(of_row),
                "test_error_percent": spread([epoch["test_error_percent"] for epoch in last]),
                "latent_error_percent": spread([epoch["latent_error_percent"] for epoch in last]),
                "minutes": statistics.mean(minutes) if minutes else None,
                "images_per_second": images_per_second(finished.values()),
                "runs": [run_report(run, state) for run, state in finished.items()],
            }
        )
    return lines


def images_per_second(states):
    """Training rows a second, mean of the runs that know how many rows they have; else None."""
    rates = [
        state["n_rows"] * len(state["history"]) / sum(e["seconds"] for e in state["history"])
        for state in states
        if "n_rows" in state
    ]
    return statistics.mean(rates) if rates else None


def spread(values):
    """Mean and standard deviation over the seeds, which takes two; None of none."""
    if not values or None in values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.mean(values), "std": std, "values": values}


def run_report(run, state):
    """A run with its history as columns."""
    columns = {key: [epoch[key] for epoch in state["history"]] for key in state["history"][0]}
    return {
        "seed": run.seed,
        "checkpoint_sha256": state["checkpoint_sha256"],
        "data_sha256": state["data_sha256"],
        "sessions": state["sessions"],
        "history": columns,
    }


def table(lines, dataset):
    """The table in Markdown: test errors in percent."""
    text = [
        f"{dataset}, test error in percent after the last epoch, mean ± standard deviation of the "
        "seeds; minutes are of training one",
        "",
        f"| row | papers, on {TABLES[dataset].papers_on} | deployed | latent | seeds | epochs "
        "| minutes | images/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        minutes = "–" if line["minutes"] is None else f"{line['minutes']:.1f}"
        speed = "–" if line["images_per_second"] is None else f"{line['images_per_second']:.0f}"
        seeds = f"{len(line['runs'])} of {line['seeds_asked_for']}"
        text.append(
            f"| {line['name']} | {papers(line['paper'])} | {shown(line['test_error_percent'])} "
            f"| {shown(line['latent_error_percent'])} | {seeds} | {line['epochs']} | {minutes} "
            f"| {speed} |"
        )
    text += [
        f"| {name} | {papers(paper)} | | | | | | |" for name, paper in TABLES[dataset].papers_only
    ]
    text += ["", *(f"{short}: {source}" for short, source in SOURCES.items())]
    return "\n".join(text)


def papers(figures):
    return "; ".join(f"{figure:.2f} ({source})" for figure, source in figures)


def shown(spread):
    if spread is None:
        return "–"
    return f"{spread['mean']:.2f}" + ("" if spread["std"] is None else f" ± {spread['std']:.2f}")


def plot_convergence(lines, dataset, path):
    """Draw the test error after each epoch that has one, mean of the seeds, a line for each row."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    lines = [line for line in lines if line["runs"]]
    if not lines:
        return
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    for i, line in enumerate(lines):
        of_runs = [run["history"]["test_error_percent"] for run in line["runs"]]
        of_epochs = enumerate(zip(*of_runs, strict=True), start=1)
        means = {epoch: np.mean(errors) for epoch, errors in of_epochs if None not in errors}
        style = "-" if i < 10 else "--"  # there are ten colours
        name = f"{line['name']}: {line['test_error_percent']['mean']:.2f} %"
        axes.plot(list(means), list(means.values()), style, linewidth=1, label=name)
    axes.set(
        title=f"{dataset}, mean of the seeds",
        xlabel="epoch",
        ylabel="test error with the deployed weights, %",
        yscale="log",
    )
    axes.yaxis.set_major_formatter(LogFormatter())  # 4, not 4 × 10⁰
    axes.yaxis.set_minor_formatter(LogFormatter())
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(which="both", alpha=0.3)
    figure.legend(loc="outside right upper")
    figure.savefig(path, dpi=150)


# ---- Multiplications -----------------------------------------------------------------------


def count_operations():
    """What one update of the papers' net takes with their method, as a dict with its table."""
    method = parameters(Method(ternary=True, stochastic=True))
    counts = pybinnet.count_operations(LAYERS, BATCH_SIZE, **method)
    return {"method": method, "table": str(counts), **asdict(counts)}


# ---- XNOR ----------------------------------------------------------------------------------


def xnor(path):
    """Measure bits against float32 as BNN did, one thread each; keep it in a file."""
    if path.exists():
        print(f"xnor is measured; delete {path} to do it again")
        return
    load = os.getloadavg()[0]
    if load > MOST_LOAD:
        print(f"xnor is not measured: the load is {load:.1f}; later, --only xnor measures it alone")
        return
    options = Namespace(threads=1)
    result = facts(options, [LAYERS[0], *XNOR_HIDDEN, LAYERS[-1]]) | {"load_average": load}
    with threadpool_limits(1):
        result["panels"] = [
            xnor_panel(
                f"±1 product, {XNOR_SIZE}³ (BNN on a GTX 750: XNOR 23 × naive, 3.4 × cuBLAS)",
                product_contenders(XNOR_SIZE),
            ),
            xnor_panel(
                f"MNIST net of sign activations, {N_XNOR_ROWS} rows (BNN: XNOR 7 × naive)",
                net_contenders(XNOR_HIDDEN, N_XNOR_ROWS),
            ),
        ]
    write_json(path, result)


def xnor_panel(title, contenders, n_blocks=3):
    print(f"measuring: {title}")
    return title, compared(measure(contenders, n_blocks, SECONDS))


def read_xnor(path):
    """Print what was measured, and return it; None if nothing was."""
    try:
        result = json.loads(path.read_bytes())
    except FileNotFoundError:
        print("missing: xnor")
        return None
    for title, rows in result["panels"]:
        show_rows(title, rows, "seconds")
    return result


def product_contenders(size):
    """What multiplies two ±1 matrices n times. Packing both is included."""
    random = np.random.default_rng(0)
    a, b = (2 * random.integers(0, 2, (size, size), np.int8) - 1 for _ in range(2))
    a, b = a.astype(np.float32), b.astype(np.float32)
    floats, integers = np.empty((size, size), np.float32), np.empty((size, size), np.int32)
    return with_portable(
        lambda: xnor_matmul(a, b, out=integers, n_jobs=1),
        lambda: np.matmul(a, b.T, out=floats),
        lambda: np.array_equal(integers, floats),  # exact: the size is below 2**24
    )


def net_contenders(hidden, n_rows):
    """What runs a net of sign activations n times. New weights take as long as trained ones."""
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (n_rows, LAYERS[0]), np.uint8)
    units = (*hidden, LAYERS[-1])
    net = _engine.Net(
        x.shape[1], _engine.dense(*units), 128, 0, np.ones(units[-1]), Method(sign=True), n_jobs=1
    )
    net.calibrate(x[:128])
    model = net.model()
    rows = x.astype(np.float32)
    weights = [
        2 * random.integers(0, 2, shape, np.int8).astype(np.float32) - 1
        for shape in pairwise((x.shape[1], *units))
    ]

    def floats():
        for block in np.split(rows, range(1000, n_rows, 1000)):
            for matrix in weights[:-1]:
                block = block @ matrix
                np.copysign(1, block, out=block)
            block @ weights[-1]

    return with_portable(lambda: _engine.predict_scores(model, x), floats)


def with_portable(run, floats, is_right=lambda: True):
    """The contenders: our kernels, numpy, and our plain C without SIMD."""

    def portable():
        before = os.environ.get("BINNET_ISA")
        os.environ["BINNET_ISA"] = "portable"
        try:
            run()
        finally:
            del os.environ["BINNET_ISA"]
            if before is not None:
                os.environ["BINNET_ISA"] = before

    runs = {
        f"pybinnet, {_engine.isa_name()}": run,
        "numpy float32": floats,
        "pybinnet, portable C": portable,
    }
    for call in (floats, run):
        call()
    if not is_right():
        raise AssertionError("XNOR and float32 differ")

    def repeated(call, n):
        for _ in range(n):
            call()

    return {name: partial(repeated, call) for name, call in runs.items()}


# ---- Options -------------------------------------------------------------------------------


def make_parser():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="The data comes from the folder that BINNET_DATA names, else from openml.org. "
        "Names of --only: "
        + "; ".join(f"of {of}: {', '.join(names(of))}" for of in TABLES if of != "fashion-mnist")
        + "; of fashion-mnist those of mnist.",
    )
    add = parser.add_argument
    add("--only", nargs="+", type=slug, metavar="NAME", help="these, not all of the data set")
    add(
        "--seeds", type=seeds, default="0,1,2", help="a training of each row for each (%(default)s)"
    )
    add("--epochs", type=integer(1, 10**6), help="of every row, for a quick look; else the row's")
    add(
        "--rates",
        nargs=2,
        type=integer(0, _engine.MAX_RATE_EXPONENT),
        metavar="N",
        help="4 10: learning rates from 2**-4 to 2**-10, of every row; else the row's",
    )
    add("--dataset", choices=tuple(TABLES), default="mnist", help="what to train on (%(default)s)")
    add("--n-jobs", type=int, default=1, help="threads in training (%(default)s); -1: all")
    add(
        "--state",
        type=Path,
        default="build/reproduce",
        metavar="DIR",
        help="has what is done so far (%(default)s)",
    )
    add(
        "--results",
        type=folder,
        metavar="DIR",
        help="write or renew reproduce.json, xnor.json there",
    )
    add("--plots", type=folder, metavar="DIR", help="draw convergence.png, xnor.png there")
    add("--report", action="store_true", help="train and measure nothing, report what is finished")
    return parser


def parse_options(parser):
    options = parser.parse_args()
    known = names(options.dataset)
    for name in options.only or ():
        if name not in known:
            parser.error(
                f"--only: {name!r} is unknown; use one of {', '.join(known)}, or another --dataset"
            )
    options.only = options.only or known
    if options.rates and options.rates[1] < options.rates[0]:
        parser.error("--rates: the second is the last rate's exponent, and rates can only decay")
    if options.results and (options.epochs or options.rates):
        parser.error(
            "--epochs and --rates are for a look, --results for what is kept; write them into the "
            "rows of bench/rows.py, for which what is trained counts, or leave --results out"
        )
    if options.n_jobs == 0:
        parser.error("--n-jobs 0 has no meaning; use 1 or more, or -1 for all processors")
    if options.plots and not find_spec("matplotlib"):  # before the hours of training, not after
        parser.error("--plots needs matplotlib; run pip install matplotlib, or leave --plots out")
    try:
        _engine.isa_name()
    except ValueError as error:
        parser.error(str(error))
    return options


def names(dataset):
    """What --only may name: rows, and beside those of 28 x 28 pixels what else there is."""
    parts = PARTS if dataset in datasets.NAMES else ()
    return [row.slug for row in TABLES[dataset].rows] + list(parts)


def folder(text):
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"the folder {path} does not exist")
    return path


if __name__ == "__main__":
    main()
