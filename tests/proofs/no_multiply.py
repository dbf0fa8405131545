"""No multiplication of data, in training or in prediction.

On a processor without a multiply instruction every multiplication is a call of __mulsi3 or
__muldi3. no_multiply.c supplies these two: it notes from where they are called and with what. It
trains and predicts with every method, on two sets of data: of the same shapes, but with other
seeds, hence other weights, and other features and labels. Where all operands are the same for both
sets, as often, they are no data: what is multiplied there are sizes, strides and indices. Every
call site in the kernels must have been reached.

This judges the machine code of the portable kernels and of all that is above them, as the compiler
made it. Divisions, done once for a unit, are supplied too: libgcc's multiply.
"""

# SPDX-License-Identifier: BSD-3-Clause

import re
from collections import defaultdict

from tools import HERE, ROOT, compiled, instructions, output, sources

PREFIX = "riscv64-unknown-elf-"
GCC, QEMU = PREFIX + "gcc", "qemu-system-riscv32"
# Without tail calls: a call returns to where it was made.
FLAGS = "-march=rv32i -mabi=ilp32 -std=c99 -ffunction-sections".split()
FLAGS += ["-fno-optimize-sibling-calls", "--specs=picolibc.specs"]
BOARD = {"flash": 0x80000000, "flash_size": 0x400000, "ram": 0x80400000, "ram_size": 0x4000000}
LINK = ["--oslib=semihost", "--crt0=hosted", "-Wl,--gc-sections"]
LINK += [f"-Wl,--defsym=__{name}={value:#x}" for name, value in BOARD.items()]
RUN = "-M virt -bios none -display none -monitor none -serial none -chardev stdio,id=c0".split()
RUN += ["-semihosting-config", "enable=on,target=native,chardev=c0", "-kernel"]

# A product skips groups of values that are all 0: data say how often it goes on, but not with what.
# What multiplied values there would have features to multiply, and the two sets share none.
SKIPS = "binnet_plain"


def call_sites(binary):
    """The function of every address that a multiplication returns to; not the C library's, __..."""
    sites, after_call = {}, False
    for function, address, code in instructions(binary, PREFIX + "objdump"):
        if after_call and not function.startswith("__"):
            sites[address] = function.split(".")[0]  # foo.constprop.0
        after_call = re.search(r"<__mul[sd]i3>$", code) is not None
    return sites


def functions(objects):
    return set(re.findall(r" [Tt] (\w+)", output(PREFIX + "nm", *objects)))


def depends_on_data(function, notes):
    """Whether a call site's notes differ between the two sets."""
    if function == SKIPS:
        return not all(first and second for first, second, *_ in notes)
    return any(first != second for first, second, *_ in notes)


def multiplications(objects, binary, *flags):
    """Functions that multiply data, functions with multiplications that were not reached, and the
    number of call sites."""
    output(GCC, *FLAGS, *flags, f"-I{ROOT}/include", HERE / "no_multiply.c", *objects, *LINK,
           "-o", binary)  # fmt: skip
    seen = defaultdict(list)
    for line in output(QEMU, *RUN, binary, program="").splitlines():
        site, *note = (int(word, 16) for word in line.split())
        seen[site].append(note)
    sites = call_sites(binary)
    unreached = {name for site, name in sites.items() if site not in seen}
    data = {name for site, name in sites.items() if depends_on_data(name, seen.get(site, []))}
    return data, unreached, len(sites)


def check(folder):
    found = []
    for level in ("-Os", "-O2"):
        objects = compiled(sources(), folder / f"rv32i{level}", GCC, *FLAGS, level)
        caught = multiplications(objects, folder / "planted.elf", level, "-DPLANTED")
        assert {"scalar_product", "scaled", "selected"} <= caught[0], caught
        assert "asleep" in caught[1], caught
        data, unreached, n_sites = multiplications(objects, folder / "multiply.elf", level)
        kernels = functions(path for path in objects if path.stem.endswith("_portable"))
        print(f"    rv32i {level}: {n_sites} multiplications in the code, outside the kernels not")
        print("    all reached in", *sorted(unreached - kernels))
        found += [f"{level}: {name} multiplies data" for name in sorted(data)]
        found += [f"{level}: not reached: {name}" for name in sorted(unreached & kernels)]
    return found
