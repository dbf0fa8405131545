"""The command line: ``python -m pybinnet``."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import argparse
import os
import sys
import warnings
from typing import Any

from pybinnet import (
    __version__,
    _command_bench,
    _command_export,
    _command_info,
    _command_predict,
    _command_train,
)

_PROG = "python -m pybinnet"
_COMMANDS = (_command_info, _command_train, _command_predict, _command_export, _command_bench)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0; 1 for an error; 130 for Ctrl-C.

    argparse exits with 2.
    """
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            options.run(options)
            print(end="", flush=True)
        except KeyboardInterrupt as interrupt:
            return _say(f"interrupted{interrupt}", 130)
        except BrokenPipeError:  # whom it was for, like head, has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush
            return 1
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename else error
            return _say(f"error: {what}", 1)
        except MemoryError as error:
            return _say(f"error: out of memory {error}", 1)
        except (ImportError, TypeError, ValueError) as error:
            return _say(f"error: {error}", 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROG,
        description="Train, use and export neural networks that learn with integers, bits and "
        "shifts only.",
        epilog="Exit codes: 0 all is well, 1 an error, 2 wrong arguments, 130 Ctrl-C. Results are "
        "on the standard output, all else on standard error.",
    )
    parser.add_argument("--version", action="version", version=f"pybinnet {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser


def _say(message: str, code: int) -> int:
    print(f"{_PROG}: {message}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _say(f"warning: {message}", 0)


if __name__ == "__main__":
    sys.exit(main())
