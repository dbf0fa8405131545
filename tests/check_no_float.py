"""Proves that libbinnet has no floating point: in its source, its x86-64 code, its Cortex-M0 code.

Usage: check_no_float.py LIBRARY.a

Also that the library calls nothing but memory functions and keeps no writable data. Each check is
first shown an offender that it must catch. A check whose tool is missing says SKIP; with STRICT=1
in the environment it fails.
"""

# SPDX-License-Identifier: BSD-3-Clause

import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CC = os.environ.get("CC", "cc")
ARM_CC = "arm-none-eabi-gcc"
ARM_NM = "arm-none-eabi-nm"
ARM_FLAGS = "-mcpu=cortex-m0 -mthumb -mfloat-abi=soft -Os -std=c99 -ffreestanding -DNDEBUG".split()

OFFENDER = """
float scaled(float x) { return x * 1.5f; }
"""
WRITABLE = """
int calls(void) { static int n = 1; return n++; }
"""
LIBM = """
double sqrt(double);
int root(int v) { return (int)sqrt(v); }
"""


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


# Source


def source_floats(text):
    """Float types and literals of C text, without its comments and strings."""
    text = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', " ", text, flags=re.DOTALL)
    types = r"\b(?:float|double|_Float\w+|__fp16|__bf16|_Complex)\b"
    literals = r"(?<![\w.])(?:\d+\.\d*|\.\d+|\d+[eE][+-]?\d+)"
    return re.findall(f"{types}|{literals}", text)


def check_source(paths):
    assert source_floats(OFFENDER) == ["float", "float", "1.5"]
    assert source_floats('/* a float */ int x = 0x1e5; // 0.5\nchar *s = "double";') == []
    return [
        f"{path}: {found}" for path in paths for found in source_floats(path.read_text("utf-8"))
    ]


# x86-64 code

# Names ending in s(calar) or p(acked) s(ingle), d(ouble) or h(alf) are of the float unit, but these
# move or combine bits only, and compilers and integer SIMD code use them on integers.
MOVES = re.compile(
    r"""v?(mov(a|u|nt|l|h|lh|hl|msk)?(ps|pd)|movs[sd]|movddup|mov[lh]?hlps|movlhps|movs[lh]dup
        |(and|andn|or|xor)(ps|pd)|shuf(ps|pd)|unpck[lh](ps|pd)|blendv?(ps|pd)|insertps|extractps
        |perm(il|[it]2)?(ps|pd)|broadcasts[sd]|maskmov(ps|pd))""",
    re.VERBOSE,
)
# v?p...: packed integers such as vpmaxsd. push. The rest that begins with f is x87.
FLOAT_UNIT = re.compile(r"(?!v?p(?!erm)|push)\w*[sp][sdh]|v?cvt\w+|f\w+|v?(ld|st)mxcsr")


def float_instructions(binary):
    """The float instructions in an object or archive, as 'function: mnemonic'."""
    found, function, instructions = [], "?", 0
    for line in output("objdump", "-d", "--no-show-raw-insn", binary).splitlines():
        if label := re.fullmatch(r"[0-9a-f]+ <(.+)>:", line):
            function = label[1]
        elif code := re.match(r"\s+[0-9a-f]+:\s+(.*)", line):
            instructions += 1
            words = re.sub(r"^((rep\w*|lock|bnd|notrack|data16|[c-gs]s|rex\S*)\s+)+", "", code[1])
            name = words.split()[0] if words else "?"
            if FLOAT_UNIT.fullmatch(name) and not MOVES.fullmatch(name):
                found.append(f"{function}: {name}")
    if not instructions:
        found.append(f"{binary}: nothing to disassemble")
    return found


# What the library may call: memory functions, and the compiler's integer helpers (on small targets
# 64-bit products, shifts and quotients, bit counts, switch tables).
CALLS = re.compile(
    r"""binnet_\w+|mem(cpy|move|set|cmp)|bcmp|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail
        |__aeabi_(mem\w+|u?idiv(mod)?|u?ldivmod|lmul|llsl|llsr|lasr)
        |__(clz|ctz|ffs|parity|popcount)[sd]i2|__gnu_thumb1_case_\w+""",
    re.VERBOSE,
)


def foreign_calls(binary, nm="nm"):
    """Undefined symbols of an object or archive that are not CALLS."""
    symbols = sorted(set(re.findall(r" [Uw] (\S+)", output(nm, binary))))
    return [f"call of {name}" for name in symbols if not CALLS.fullmatch(name)]


def writable_sections(binary):
    """Sections with variables in them. Those of constant pointers, .data.rel.ro, may be there."""
    header = r"^ *\d+ (\S+) +([0-9a-f]+) .*\n(.*)$"
    return [
        f"writable section {name}"
        for name, size, flags in re.findall(header, output("objdump", "-h", binary), re.MULTILINE)
        if "ALLOC" in flags
        and "READONLY" not in flags
        and int(size, 16)
        and not name.startswith(".data.rel.ro")
    ]


def check_library(library):
    with tempfile.TemporaryDirectory() as folder:
        for program, check in [
            (OFFENDER, float_instructions),
            (LIBM, foreign_calls),
            (WRITABLE, writable_sections),
        ]:
            assert check(compiled(program, folder, CC, "-O2", "-fno-builtin")), check.__name__
    return float_instructions(library) + foreign_calls(library) + writable_sections(library)


# Cortex-M0 code, which has no float unit: float arithmetic is a call into libgcc


def has_arm_compiler():
    program = "#include <assert.h>\n#include <string.h>\n"  # from newlib
    try:
        run = subprocess.run([ARM_CC, "-E", "-"], input=program, text=True, capture_output=True)
    except FileNotFoundError:
        return False
    return run.returncode == 0


def check_cortex_m0(sources):
    with tempfile.TemporaryDirectory() as folder:
        planted = foreign_calls(compiled(OFFENDER, folder, ARM_CC, *ARM_FLAGS), ARM_NM)
        assert planted == ["call of __aeabi_fmul"]
        found = []
        for source in sources:
            binary = Path(folder, source.stem + ".o")
            output(ARM_CC, *ARM_FLAGS, f"-I{ROOT}/include", "-c", str(source), "-o", str(binary))
            found += [f"{source.name}: {call}" for call in foreign_calls(binary, ARM_NM)]
    return found


def compiled(program, folder, *command):
    binary = Path(folder, "offender.o")
    subprocess.run([*command, "-xc", "-c", "-", "-o", binary], input=program, text=True, check=True)
    return binary


def main():
    library = sys.argv[1]
    folder = ROOT / "libbinnet"
    lines = (folder / "sources.txt").read_text("ascii").splitlines()
    sources = [folder / line for line in lines if not line.startswith("#")]
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    failed = False
    for title, possible, needs, check, subject in [
        ("source", True, "", check_source, sorted(folder.glob("*.[ch]"))),
        ("x86-64 library", x86, "an x86-64 machine", check_library, library),
        ("Cortex-M0 code", has_arm_compiler(), f"{ARM_CC} with newlib", check_cortex_m0, sources),
    ]:
        if not possible:
            print(f"no float in {title}: SKIP, this needs {needs}")
            failed |= os.environ.get("STRICT") == "1"
            continue
        found = check(subject)
        print(f"no float in {title}:", "FAILED" if found else "ok", *(f"\n    {f}" for f in found))
        failed |= bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
