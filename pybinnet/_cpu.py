"""What this package computes with."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from pybinnet import _engine


def cpu_info() -> dict[str, Any]:
    """Return what this package computes with, for reports of errors and measurements.

    Returns
    -------
    dict
        ``processor``: its name as the system knows it; ``isa``: the instruction set in use, the
        best one or the one that the environment variable ``BINNET_ISA`` names; ``isas``: all that
        it can run; ``threads``: how many ``n_jobs=-1`` means.

    Examples
    --------
    >>> from pybinnet import cpu_info
    >>> info = cpu_info()
    >>> sorted(info)
    ['isa', 'isas', 'processor', 'threads']
    >>> info["isa"] in info["isas"]
    True
    """
    return {
        "processor": _processor(),
        "isa": _engine.isa_name(),
        "isas": _engine.supported_isas(),
        "threads": _engine.n_threads(-1),
    }


def _processor() -> str:
    """The processor's name as Linux knows it, else as Python does."""
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
