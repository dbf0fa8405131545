"""Proves what README.md says of the code: no float, no multiplication of data, nothing but memory
functions called, no writable data, and how small it is on a Cortex-M0.

Usage: python tests/proofs LIBRARY.a

Each proof is first shown offenders that it must catch. One whose tools are missing says SKIP; with
STRICT=1 in the environment that is a failure.
"""

# SPDX-License-Identifier: BSD-3-Clause

import os
import platform
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import cortex_m0
import no_float
import no_multiply
import stack
import symbols

from tools import missing

NOT_X86 = [] if platform.machine().lower() in ("x86_64", "amd64") else ["an x86-64 machine"]


def proofs(library):
    """Title, what is missing for it, and the proof: a folder to a list of failures."""
    arm = missing(cortex_m0.GCC, header="string.h")
    aarch64 = missing(no_float.AARCH64 + "gcc", header="string.h")
    rv32 = missing(no_multiply.GCC, no_multiply.QEMU, header="string.h", flags=no_multiply.FLAGS)
    return [
        ("no float in the source", [], no_float.check_source),
        ("no float in x86-64 code", NOT_X86, partial(no_float.check_x86, library=library)),
        ("no float in AArch64 code", aarch64, no_float.check_aarch64),
        ("no float in a Cortex-M0 program", arm, cortex_m0.check_link),
        ("only memory functions, no data", [], partial(symbols.check, binaries=[library])),
        ("the same on a Cortex-M0", arm, cortex_m0.check_symbols),
        ("no multiplication of data", rv32, no_multiply.check),
        ("size on a Cortex-M0", arm, cortex_m0.check_size),
        ("stack on a Cortex-M0", arm + missing(stack.CLANG), cortex_m0.check_stack),
    ]


def main():
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for title, absent, proof in proofs(Path(sys.argv[1])):
            if absent:
                print(f"{title}: SKIP, this needs {', '.join(absent)}")
                failed |= os.environ.get("STRICT") == "1"
                continue
            try:
                found = proof(Path(folder))
            except subprocess.SubprocessError as error:  # which has said why
                found = [f"{error.cmd[0]} failed"]
            print("\n    ".join([f"{title}: {'FAILED' if found else 'ok'}", *found]))
            failed |= bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
