"""Describes the compiled module pybinnet._core to cffi. setup.py runs it in the project root."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

from pathlib import Path

from cffi import FFI

HEADER = "include/binnet.h"

# pybinnet/_parallel.c
PARALLEL = """
void pybinnet_parallel_run(void *pool, uint32_t n_workers, uint32_t n_tasks, binnet_task task,
                           void *context);
int pybinnet_has_openmp(void);
"""


def public_api(header: str) -> str:
    """Return what stands between the two marker comments of the public header."""
    body = header.split("\n/* cffi: begin", 1)[1].split("\n/* cffi: end", 1)[0]
    return body.split("*/", 1)[1]  # the rest of the marker itself


def make_ffi() -> FFI:
    """Return the builder that setup.py asks for."""
    sources = Path("libbinnet/sources.txt").read_text(encoding="utf-8").split()
    ffi = FFI()
    ffi.cdef(public_api(Path(HEADER).read_text(encoding="utf-8")) + PARALLEL)
    ffi.set_source(
        "pybinnet._core",
        '#include "binnet.h"\n' + PARALLEL,
        sources=["pybinnet/_parallel.c"] + [f"libbinnet/{name}" for name in sources],
        include_dirs=["include"],
        depends=[HEADER] + [path.as_posix() for path in Path("libbinnet").glob("*.h")],
        py_limited_api=True,  # cffi itself drops it on a free-threaded interpreter
    )
    return ffi
