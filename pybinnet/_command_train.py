"""``python -m pybinnet train``."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from pybinnet._classifier import BinaryConnectClassifier
from pybinnet._features import BYTES_REACH, are_bytes
from pybinnet._parameters import CHOICES
from pybinnet._regressor import BinaryConnectRegressor
from pybinnet._saved import save_model
from pybinnet._tables import Table, check_output, read_table, shown

_INTEGER = re.compile("0|-?[1-9][0-9]{0,17}")  # as Python writes it, and within int64


def integers(text: str) -> tuple[int, ...]:
    """Numbers between commas, as an argument."""
    return tuple(int(part) for part in text.split(",")) if text else ()


def add_delimiter(parser: Any) -> None:
    """Add the option of commands that read tables."""
    parser.add_argument(
        "--delimiter",
        type=_delimiter,
        default=",",
        metavar="CHARACTER",
        help="what is between columns, or 'tab' (default ,)",
    )


def add_jobs(parser: Any) -> None:
    """Add the option of commands that train."""
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="threads in training; -1 is all (default 1)"
    )


def _delimiter(text: str) -> str:
    character = "\t" if text == "tab" else text
    if len(character) != 1 or character in '\r\n"':
        raise argparse.ArgumentTypeError(f"{text!r} is not one character that can be between cells")
    return character


def _share(text: str) -> float:
    with suppress(ValueError):
        share = float(text)
        if 0 <= share < 1:
            return share
    raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to below 1")


def _epochs(text: str) -> int | str:
    with suppress(ValueError):
        return text if text == "auto" else int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither an integer nor 'auto'")


def _seed(text: str) -> int:
    with suppress(ValueError):
        seed = int(text)
        if 0 <= seed < 2**32:  # what scikit-learn takes
            return seed
    raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 0 to 2**32 - 1")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "train",
        help="train a network on a table and save it",
        description="Train a BinaryConnectClassifier on a CSV file, whose first line names the "
        "columns; with --regression a BinaryConnectRegressor. All columns but the target are "
        "inputs and must be numbers; they need no scaling. A share of the rows is held out, and "
        "the saved network is the one that was tested on them. The same file and options make "
        "the same model file on every machine.",
        epilog="Ctrl-C ends the training early: the network as far as it was trained is tested and "
        "saved, and the exit code is 130. A second one ends the program.",
    )
    parser.add_argument("data", help="the CSV file; - is the standard input")
    parser.add_argument("--target", required=True, metavar="COLUMN", help="what to predict")
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="the model file to write, such as net.binnet"
    )
    table = parser.add_argument_group("the table")
    table.add_argument(
        "--regression", action="store_true", help="the target is a number, not a class"
    )
    table.add_argument(
        "--drop", action="append", default=[], metavar="COLUMN", help="leave a column out; repeat"
    )
    table.add_argument(
        "--bytes",
        action="store_true",
        help="columns are integers from 0 to 255 that use this range, such as pixels: the network "
        "takes them as they are",
    )
    add_delimiter(table)
    table.add_argument(
        "--test-size",
        type=_share,
        default=0.2,
        metavar="SHARE",
        help="of the rows, held out to test the network, with classes in proportion (default 0.2); "
        "0 trains on all",
    )
    network = parser.add_argument_group("the network and its training")
    network.add_argument(
        "--hidden",
        type=integers,
        default=(256, 256),
        metavar="SIZES",
        help="units of the hidden layers (default 256,256; '' for none)",
    )
    for name, values in CHOICES.items():
        network.add_argument(
            f"--{name}", choices=values, default=values[0], help=f"(default {values[0]})"
        )
    for name in ("dropout", "input-dropout"):
        network.add_argument(
            f"--{name}", type=float, default=0.0, metavar="SHARE", help="(default 0)"
        )
    network.add_argument(
        "--epochs",
        type=_epochs,
        default="auto",
        metavar="N",
        help="(default auto: 20, and more for few rows)",
    )
    network.add_argument(
        "--early-stopping",
        action="store_true",
        help="end when a tenth of the training rows is predicted no better for 10 epochs, and keep "
        "the best network",
    )
    network.add_argument(
        "--balanced", action="store_true", help="give all classes the same weight in training"
    )
    network.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="of all that is random (default 0)"
    )
    add_jobs(network)
    parser.add_argument(
        "--quiet", action="store_true", help="no progress bar; there is one in a terminal only"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    check_output(options.out, options.data)
    estimator = _estimator(options)
    X, y, names = _read(options)
    classes = "" if options.regression else f", {len(np.unique(y))} classes"
    print(f"{shown(options.data)}: {len(X)} rows, {len(names)} columns{classes}", flush=True)
    X_train, X_test, y_train, y_test = _split(X, y, options)
    if options.bytes and not are_bytes(X_train):
        raise ValueError(
            f"{shown(options.data)} does not use the range of a byte: fewer than half of the "
            f"columns that vary come to {BYTES_REACH}; multiply them, or leave out --bytes, and "
            "columns are encoded"
        )
    start = time.perf_counter()
    with _noting_interrupts() as interrupts:
        estimator.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    score = estimator.score(X_test, y_test) if len(X_test) else None
    estimator.feature_names_in_ = np.array(names, dtype=object)
    save_model(estimator, options.out)
    print(f"trained on {len(X_train)} rows: {estimator.n_iter_} epochs, {seconds:.1f} s")
    if score is not None:
        kind = "R2" if options.regression else "accuracy"
        print(f"{kind} on the {len(X_test)} rows held out: {score:.4f}")
    print(f"{options.out}: {len(estimator.model_)} bytes of network")
    if interrupts:
        raise KeyboardInterrupt(
            f" after {estimator.n_iter_} epochs; {options.out} has the network as far as it was "
            "trained"
        )


def _estimator(options: argparse.Namespace) -> Any:
    of_classes: dict[str, Any] = {}
    if options.balanced:
        if options.regression:
            raise ValueError("--balanced is of classes, and --regression has none; leave one out")
        of_classes["class_weight"] = "balanced"
    make: Any = BinaryConnectRegressor if options.regression else BinaryConnectClassifier
    return make(
        options.hidden,
        **{name: getattr(options, name) for name in CHOICES},
        **of_classes,
        dropout=options.dropout,
        input_dropout=options.input_dropout,
        max_iter=options.epochs,
        early_stopping=options.early_stopping,
        n_jobs=options.jobs,
        random_state=options.seed,
        verbose=sys.stderr.isatty() and not options.quiet,
    )


def _read(options: argparse.Namespace) -> tuple[NDArray[Any], NDArray[Any], list[str]]:
    """Columns, target, and the columns' names."""
    if options.target in options.drop:
        raise ValueError(f"--drop {options.target} would leave out the target")
    table = read_table(
        options.data,
        options.delimiter,
        target=options.target,
        text_target=not options.regression,
        drop=options.drop,
    )
    if not table.names:
        raise ValueError(f"{shown(options.data)} has no columns to predict the target from")
    assert table.target is not None
    X = _bytes(table, options) if options.bytes else table.numbers
    return X, table.target if options.regression else _classes(table.target, options), table.names


def _bytes(table: Table, options: argparse.Namespace) -> NDArray[np.uint8]:
    X = table.numbers
    bad = (X < 0) | (X > 255) | (np.floor(X) != X)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{shown(options.data)}, row {row + 1}, column {table.names[column]!r} has "
            f"{X[row, column]}, which is no byte; leave out --bytes, and columns are encoded"
        )
    return X.astype(np.uint8)


def _classes(target: NDArray[Any], options: argparse.Namespace) -> NDArray[Any]:
    """Classes as text, or as integers if all are written so."""
    labels, counts = np.unique(target, return_counts=True)
    if options.test_size > 0 and counts.min() == 1:
        raise ValueError(
            f"{(counts == 1).sum()} of {len(labels)} classes in column {options.target!r} of "
            f"{shown(options.data)} have one row only, such as {labels[counts.argmin()]!r}: too "
            "few to train and test on. Use --regression if the column is a number; otherwise give "
            "more rows, or train on all by --test-size 0"
        )
    return target.astype(np.int64) if all(map(_INTEGER.fullmatch, labels)) else target


def _split(X: NDArray[Any], y: NDArray[Any], options: argparse.Namespace) -> list[NDArray[Any]]:
    """Rows to train on, rows to test on, and the targets of both."""
    if options.test_size == 0:
        return [X, X[:0], y, y[:0]]
    try:
        parts: list[NDArray[Any]] = train_test_split(
            X,
            y,
            test_size=options.test_size,
            random_state=options.seed,
            stratify=None if options.regression else y,
        )
    except ValueError as error:
        raise ValueError(
            f"{len(X)} rows cannot be divided with --test-size {options.test_size} ({error}); "
            "give another share, or 0 to train on all"
        ) from None
    return parts


@contextmanager
def _noting_interrupts() -> Iterator[list[int]]:
    """Yield a list that gets an item for each Ctrl-C, on which fit ends with what it has."""
    interrupts: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, note)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Training interrupted")  # we say it in our words
            yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)
