"""The command line: ``python -m pybinnet``."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import argparse
import sys
import warnings
from typing import Any

import joblib

from pybinnet import __version__, export_c


class _Failure(Exception):
    """What went wrong, in words for the user."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0, or 1 for an error. argparse exits with 2."""
    parser = argparse.ArgumentParser(prog="python -m pybinnet", description=__doc__)
    parser.add_argument("--version", action="version", version=f"pybinnet {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_export(commands)
    options = parser.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            options.run(options)
        except _Failure as failure:
            print(f"{parser.prog}: error: {failure}", file=sys.stderr)
            return 1
    return 0


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"python -m pybinnet: warning: {message}", file=sys.stderr)


def _load(path: str) -> Any:
    try:
        return joblib.load(path)
    except Exception as error:  # a pickle can raise anything
        reason = f"{type(error).__name__}: {error}"
        if not isinstance(error, OSError):
            reason = f"it is no joblib or pickle file of this version ({reason})"
        raise _Failure(f"cannot load {path}: {reason}") from None


def _add_export(commands: Any) -> None:
    parser = commands.add_parser(
        "export",
        help="write a C header with a classifier, for firmware",
        description="Write a C header with a fitted BinaryConnectClassifier: model, sizes, integer "
        "encoding of the inputs, and a self-test. The header says how to use it.",
        epilog="Loading a classifier runs code that its file may hold: load only what you trust.",
    )
    parser.add_argument("classifier", help="the file that joblib.dump or pickle.dump wrote")
    parser.add_argument("header", help="the header to write; an old one is replaced")
    parser.add_argument(
        "--name", help="what its names begin with; by default the header's name without suffix"
    )
    parser.add_argument(
        "--fraction-bits",
        type=int,
        default=0,
        metavar="BITS",
        help="an input of the firmware is 2^BITS times the number in training (default 0)",
    )
    parser.add_argument(
        "--checkpoint",
        action="store_true",
        help="add the state of training, for a device that goes on learning",
    )
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    if not options.header.endswith(".h"):
        raise _Failure(f"the header is to be named ….h, not {options.header}")
    classifier = _load(options.classifier)
    try:
        export_c(
            classifier,
            options.header,
            options.name,
            fraction_bits=options.fraction_bits,
            checkpoint=options.checkpoint,
        )
    except (OSError, TypeError, ValueError) as error:
        raise _Failure(error) from None


if __name__ == "__main__":
    sys.exit(main())
