"""``python -m pybinnet info``."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import argparse
import json
from typing import Any

from pybinnet import _engine
from pybinnet._cpu import cpu_info


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "info",
        help="say version, processor, instruction set and threads",
        description="Say what this package computes with, for reports of errors and measurements. "
        "BINNET_ISA in the environment forces an instruction set.",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    info = {"version": _engine.version(), **cpu_info()}
    if options.json:
        print(json.dumps(info, indent=2))
        return
    print(f"pybinnet         {info['version']}")
    print(f"processor        {info['processor']}")
    print(f"instruction set  {info['isa']} (of {', '.join(info['isas'])})")
    print(f"threads          {info['threads']}")
