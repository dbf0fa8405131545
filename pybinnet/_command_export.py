"""``python -m pybinnet export``."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import joblib

from pybinnet._export import export_c
from pybinnet._onnx import export_onnx
from pybinnet._saved import load_model
from pybinnet._tables import check_output

_MODEL, _CHECKPOINT = b"BINNETMD", b"BINNETCK"  # what the files begin with


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "export",
        help="write a classifier as a C header for firmware, or as an ONNX model",
        description="Write a fitted BinaryConnectClassifier for other programs. OUT.h is a C "
        "header with model, sizes, integer encoding of the inputs, and a self-test; it says how "
        "to use it. OUT.onnx is an ONNX model, and needs the package onnx.",
        epilog="Loading a joblib or pickle file runs code that it may hold: load only what you "
        "trust. A model file is safe to load.",
    )
    parser.add_argument(
        "model", help="what train or save_model wrote, or joblib.dump or pickle.dump"
    )
    parser.add_argument("out", help="the .h or .onnx file to write; an old one is replaced")
    header = parser.add_argument_group("of a C header")
    header.add_argument(
        "--name", help="what its names begin with; by default the header's name without suffix"
    )
    header.add_argument(
        "--fraction-bits",
        type=int,
        metavar="BITS",
        help="an input of the firmware is 2^BITS times the number in training (default 0)",
    )
    header.add_argument(
        "--checkpoint",
        action="store_true",
        default=None,
        help="add the state of training, for a device that goes on learning; it is in joblib and "
        "pickle files only",
    )
    onnx = parser.add_argument_group("of an ONNX model")
    onnx.add_argument(
        "--form",
        choices=("standard", "qonnx"),
        help="ONNX's own operators (the default), or QONNX, which says what is quantized",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    of_header = {name: getattr(options, name) for name in ("name", "fraction_bits", "checkpoint")}
    of_onnx = {"form": options.form}
    suffix = Path(options.out).suffix
    if suffix not in (".h", ".onnx"):
        raise ValueError(f"the file to write is to be named ….h or ….onnx, not {options.out}")
    given, others = (of_header, of_onnx) if suffix == ".h" else (of_onnx, of_header)
    for name, value in others.items():
        if value is not None:
            raise ValueError(f"--{name.replace('_', '-')} has no meaning for a {suffix} file")
    check_output(options.out, options.model)
    write: Any = export_c if suffix == ".h" else export_onnx
    write(_load(options.model), options.out, **{k: v for k, v in given.items() if v is not None})


def _load(path: str) -> Any:
    with open(path, "rb") as file:
        magic = file.read(len(_MODEL))
    if magic == _MODEL:
        return load_model(path)
    if magic == _CHECKPOINT:
        raise ValueError(
            f"{path} is a checkpoint, which has no classes and no deployed network; restore it "
            "in Python, and export the classifier"
        )
    try:
        return joblib.load(path)
    except Exception as error:  # a pickle can raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"cannot load {path}: it is no model file, and no joblib or pickle file of this "
            f"version ({reason})"
        ) from None
