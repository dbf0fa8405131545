"""The library calls nothing but memory functions and keeps no writable data."""

# SPDX-License-Identifier: BSD-3-Clause

import re

from no_float import CC

from tools import output, planted

WRITABLE = """
int calls(void) { static int n = 1; return n++; }
"""
ZEROED = """
int calls(void) { static int n; return n++; }
"""
LIBM = """
double sqrt(double);
int root(int v) { return (int)sqrt(v); }
"""

# Memory functions, and the compiler's integer helpers (on small targets 64-bit products, shifts and
# quotients, bit counts, switch tables).
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


def writable_sections(binary, objdump="objdump"):
    """Sections with variables in them. Those of constant pointers, .data.rel.ro, may be there."""
    header = r"^ *\d+ (\S+) +([0-9a-f]+) .*\n(.*)$"
    return [
        f"writable section {name}"
        for name, size, flags in re.findall(header, output(objdump, "-h", binary), re.MULTILINE)
        if "ALLOC" in flags
        and "READONLY" not in flags
        and int(size, 16)
        and not name.startswith(".data.rel.ro")
    ]


def check(folder, binaries, compiler=CC, prefix=""):
    nm, objdump = prefix + "nm", prefix + "objdump"
    for program in (WRITABLE, ZEROED):
        assert writable_sections(planted(program, folder, compiler, "-O2"), objdump), program
    assert foreign_calls(planted(LIBM, folder, compiler, "-O2", "-fno-builtin"), nm)
    return [
        f"{binary.name}: {what}"
        for binary in binaries
        for what in foreign_calls(binary, nm) + writable_sections(binary, objdump)
    ]
