"""``python -m pybinnet predict``."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import argparse
from typing import Any

from pybinnet._command_train import add_delimiter
from pybinnet._regressor import BinaryConnectRegressor
from pybinnet._saved import load_model
from pybinnet._tables import check_output, read_table, shown, write_table


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "predict",
        help="predict the rows of a table by a saved network",
        description="Predict the rows of a CSV file by a network that train or save_model wrote. "
        "Columns are found by their names, and others ignored; if the network has no names for "
        "them, all columns are taken in their order. The predictions are a table with the column "
        "'prediction'.",
        epilog="A model file from a stranger is safe to use: it is checked, and nothing in it run.",
    )
    parser.add_argument("model", help="the model file")
    parser.add_argument(
        "data", help="the CSV file, whose first line names the columns; - is the standard input"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="where to write; by default the standard output"
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="add a column 'probability_CLASS' for each class; they are roughly calibrated",
    )
    add_delimiter(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if options.out is not None:
        check_output(options.out, options.model, options.data)
    estimator = load_model(options.model)
    if options.probabilities and isinstance(estimator, BinaryConnectRegressor):
        raise ValueError(
            f"{options.model} predicts numbers, which have no probabilities; leave out "
            "--probabilities"
        )
    names = None
    if hasattr(estimator, "feature_names_in_"):
        names = estimator.feature_names_in_.tolist()
        del estimator.feature_names_in_  # columns are found here: an array has no names
    table = read_table(options.data, options.delimiter, names=names)
    if len(table.names) != estimator.n_features_in_:
        raise ValueError(
            f"{shown(options.data)} has {len(table.names)} columns, and {options.model} takes "
            f"{estimator.n_features_in_}, whose names it does not know; give those alone"
        )
    predicted = estimator.predict(table.numbers)
    columns = {"prediction": predicted}
    if predicted.ndim == 2:
        columns = {f"prediction_{i}": column for i, column in enumerate(predicted.T)}
    if options.probabilities:
        shares = estimator.predict_proba(table.numbers).T
        of_classes = zip(estimator.classes_, shares, strict=True)
        columns |= {f"probability_{label}": share for label, share in of_classes}
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    write_table(options.out, options.delimiter, list(columns), rows)
