"""No floating point in the library: in its source, its x86-64 code, its AArch64 code."""

# SPDX-License-Identifier: BSD-3-Clause

import os
import re

from tools import LIBRARY, compiled, instructions, planted, sources

CC = os.environ.get("CC", "cc")
AARCH64 = "aarch64-linux-gnu-"

OFFENDER = """
float scaled(float x) { return x * 1.5f; }
"""
CONVERSION = """
int rounded(double x) { return (int)x; }
"""

# Source


def source_floats(text):
    """Float types and literals of C text, without its comments and strings."""
    text = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', " ", text, flags=re.DOTALL)
    types = r"\b(?:float|double|_Float\w+|__fp16|__bf16|_Complex)\b"
    literals = r"(?<![\w.])(?:\d+\.\d*|\.\d+|\d+[eE][+-]?\d+)"
    return re.findall(f"{types}|{literals}", text)


def check_source(_folder):
    assert source_floats(OFFENDER) == ["float", "float", "1.5"]
    assert source_floats('/* a float */ int x = 0x1e5; // 0.5\nchar *s = "double";') == []
    return [
        f"{path}: {found}"
        for path in sorted(LIBRARY.glob("*.[ch]"))
        for found in source_floats(path.read_text("utf-8"))
    ]


# x86-64

# Names ending in s(calar) or p(acked) s(ingle), d(ouble) or h(alf) are of the float unit, but these
# move or combine bits only, and compilers and integer SIMD code use them on integers.
X86_MOVES = re.compile(
    r"""v?(mov(a|u|nt|l|h|lh|hl|msk)?(ps|pd)|movs[sd]|movddup|mov[lh]?hlps|movlhps|movs[lh]dup
        |(and|andn|or|xor)(ps|pd)|shuf(ps|pd)|unpck[lh](ps|pd)|blendv?(ps|pd)|insertps|extractps
        |perm(il|[it]2)?(ps|pd)|broadcasts[sd]|maskmov(ps|pd))""",
    re.VERBOSE,
)
# v?p...: packed integers such as vpmaxsd. push. The rest that begins with f is x87.
X86_FLOAT = re.compile(r"(?!v?p(?!erm)|push)\w*[sp][sdh]|v?cvt\w+|f\w+|v?(ld|st)mxcsr")

# AArch64. fmov copies bits, from an integer register or of a constant.
ARM_MOVES = re.compile(r"fmov")
ARM_FLOAT = re.compile(r"f\w+|[su]cvtf|bf(dot|mmla|mlal[bt]|cvt\w*)")


def float_instructions(binary, float_unit, moves, objdump="objdump"):
    """The float instructions in an object or archive, as 'function: mnemonic'."""
    found, count = [], 0
    for function, _, code in instructions(binary, objdump):
        count += 1
        words = re.sub(r"^((rep\w*|lock|bnd|notrack|data16|[c-gs]s|rex\S*)\s+)+", "", code).split()
        name = words[0] if words else "?"
        if float_unit.fullmatch(name) and not moves.fullmatch(name):
            found.append(f"{function}: {name}")
    return found if count else [f"{binary}: nothing to disassemble"]


def check_x86(folder, library):
    for offender in (OFFENDER, CONVERSION):
        binary = planted(offender, folder, CC, "-O2")
        assert float_instructions(binary, X86_FLOAT, X86_MOVES), offender
    return float_instructions(library, X86_FLOAT, X86_MOVES)


def check_aarch64(folder):
    gcc, objdump = AARCH64 + "gcc", AARCH64 + "objdump"
    for offender in (OFFENDER, CONVERSION):
        binary = planted(offender, folder, gcc, "-O2")
        assert float_instructions(binary, ARM_FLOAT, ARM_MOVES, objdump), offender
    return [
        f"{title}, {found}"
        for title, flags in [("neon", []), ("dotprod", ["-march=armv8.2-a+dotprod"])]
        for binary in compiled(sources(), folder / title, gcc, "-std=c99", "-O3", *flags)
        for found in float_instructions(binary, ARM_FLOAT, ARM_MOVES, objdump)
        if "nothing to disassemble" not in found  # other processors' kernels
    ]
