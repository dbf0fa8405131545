"""Describes the compiled module pybinnet._core to cffi. setup.py runs it in the project root."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

from pathlib import Path

from cffi import FFI

HEADERS = ["include/binnet.h", "pybinnet/_parallel.h"]


def declarations(header: str) -> str:
    """Return what stands between the two marker comments of a header."""
    body = header.split("\n/* cffi: begin", 1)[1].split("\n/* cffi: end", 1)[0]
    return body.split("*/", 1)[1]  # the rest of the marker itself


def make_ffi() -> FFI:
    """Return the builder that setup.py asks for."""
    lines = Path("libbinnet/sources.txt").read_text(encoding="utf-8").splitlines()
    sources = [line for line in lines if not line.startswith("#")]
    ffi = FFI()
    ffi.cdef("".join(declarations(Path(name).read_text(encoding="utf-8")) for name in HEADERS))
    ffi.set_source(
        "pybinnet._core",
        '#include "_parallel.h"\n',
        sources=["pybinnet/_parallel.c"] + [f"libbinnet/{name}" for name in sources],
        include_dirs=["include", "pybinnet"],
        depends=[
            *HEADERS,
            "pybinnet/_threads.h",
            "libbinnet/internal.h",
            "libbinnet/avx512_inline.h",
            "libbinnet/norm_inline.h",
            "libbinnet/select_inline.h",
            "libbinnet/training_inline.h",
        ],
        py_limited_api=True,  # cffi itself drops it on a free-threaded interpreter
    )
    return ffi
