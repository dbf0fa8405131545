"""``python -m pybinnet info``."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pybinnet import _engine
from pybinnet._cpu import cpu_info
from pybinnet._layers import has_convolutions, notation
from pybinnet._model_file import read_model
from pybinnet._saved import load_model

_SHOWN = 20  # columns and classes
_TITLES = {"version": "pybinnet", "isa": "instruction set", "isas": "supported"}


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "info",
        help="say version, processor, instruction set and threads; or what a model file holds",
        description="Say what this package computes with, for reports of errors and measurements; "
        "or what a model file holds. BINNET_ISA in the environment forces an instruction set.",
    )
    parser.add_argument("model", nargs="?", help="a file of train or save_model")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    info = _of_machine() if options.model is None else _of_model(options.model)
    if options.json:
        print(json.dumps(info, indent=2))
        return
    for name, value in info.items():
        print(f"{_TITLES.get(name, name.replace('_', ' ')):16} {_shown(value)}")


def _of_machine() -> dict[str, Any]:
    return {"version": _engine.version(), **cpu_info()}


def _of_model(path: str) -> dict[str, Any]:
    estimator = load_model(path)
    layers = read_model(estimator.model_)
    forms = tuple(layer.form for layer in layers)
    names = notation(layers[0].input_shape, forms).split("-")
    info = {
        "estimator": type(estimator).__name__,
        "layers": names if has_convolutions(forms) else list(map(int, names)),
        "weights": estimator.weights,
        "activation": estimator.activation,
        "network_bytes": len(estimator.model_),
        "file_bytes": Path(path).stat().st_size,
        "inputs": "bytes" if estimator.encoder_.identity_ else "numbers",
        "columns": list(getattr(estimator, "feature_names_in_", [])) or estimator.n_features_in_,
    }
    classes = getattr(estimator, "classes_", None)
    return info if classes is None else info | {"classes": classes.tolist()}


def _shown(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    more = f" and {len(value) - _SHOWN} more" if len(value) > _SHOWN else ""
    return _printable(", ".join(map(str, value[:_SHOWN]))) + more


def _printable(names: str) -> str:
    """Names of a file, from which no sequence may come that a terminal obeys."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in names)
