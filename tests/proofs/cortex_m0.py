"""The library on a Cortex-M0, -Os: what it links with, how large it is, how much stack it takes."""

# SPDX-License-Identifier: BSD-3-Clause

import re
from functools import cache

import stack
import symbols

from tools import HERE, ROOT, compiled, output, planted, sources

PREFIX = "arm-none-eabi-"
GCC = PREFIX + "gcc"
FLAGS = "-mcpu=cortex-m0 -mthumb -mfloat-abi=soft -Os -std=c99 -ffreestanding".split()
FLAGS += ["-ffunction-sections", "-fdata-sections"]
LINK = ["--specs=nano.specs", "-nostartfiles", "-Wl,--gc-sections,-e,main"]

# Programs: most bytes of code and constants, with what is linked of libgcc, as gcc 12 makes them;
# of a library without convolutions, and of the whole one.
LIMITS = {
    "inference": (6144, 11264),
    "contrasts": (1536, 1536),
    "training": (16384, 26112),
    "training -DTARGETS": (16640, 26112),
    "training -DCHECKPOINTS": (17664, 27136),
}
DENSE_ONLY = "-DBINNET_DENSE_ONLY"

# Has these sizes too, and the stack's, as gcc 12 makes them.
DOCS = (ROOT / "docs" / "firmware.md").read_text("utf-8")

# Whose stack is asked for.
ROOTS = ["binnet_model_open", "binnet_model_predict", "binnet_net_init", "binnet_net_train_step"]
ROOTS += ["binnet_net_train_step_targets", "binnet_net_calibrate", "binnet_model_write"]
ROOTS += ["binnet_checkpoint_read", "binnet_contrasts"]

# libgcc's float arithmetic and conversions, of soft-float ARM and in general.
SOFT_FLOAT = re.compile(r"__aeabi_([cdf]\w*|u?[il]2[df])|__\w+[sd]f[0-9]?\w*|__float\w+")

FLOATS = """
int volatile i;
float volatile f;
int main(void) { f *= f; i = (int)f; return (int)(1.5 / i); }
"""
BIG = """
const char big[9999] = {1};
int main(void) { return *(const volatile char *)big; }
"""
DEEP = """
static int wide(int n) { volatile char room[500]; room[n] = 1; return room[n]; }
int (*const table[])(int) = {wide};
int through_a_table(int n) { return table[n](n); }
static long back(long n);
long (*const loop[])(long) = {back};
long round_and_round(long n) { return loop[n](n); }
static long back(long n) { return round_and_round(n); }
"""


@cache
def objects(folder, *flags):
    return compiled(
        sources(), folder / "-".join(["m0", *flags]), GCC, *FLAGS, "-fstack-usage", *flags
    )


def linked(folder, name, *flags, library=()):
    """A program of the public interface with the library, or with what prediction needs of it."""
    binary = folder / f"{name}.elf"
    wanted = {file.stem for file in sources(inference_only=not name.startswith("training"))}
    parts = [part for part in objects(folder, *library) if part.stem in wanted]
    program = HERE / f"{name}.c"
    output(GCC, *FLAGS, *flags, f"-I{ROOT}/include", program, *parts, *LINK, "-o", binary)
    return binary


def soft_float(binary):
    names = re.findall(r"^\w* +[TtUWw] (\S+)$", output(PREFIX + "nm", binary), re.MULTILINE)
    return [f"{binary.stem}: {name}" for name in names if SOFT_FLOAT.fullmatch(name)]


def check_symbols(folder):
    binaries = [*objects(folder), *objects(folder, DENSE_ONLY)]
    return symbols.check(folder, binaries, GCC, PREFIX)


def check_link(folder):
    binary = folder / "floats.elf"
    output(GCC, *FLAGS, planted(FLOATS, folder, GCC, *FLAGS), *LINK, "-o", binary)
    caught = {name.split()[1] for name in soft_float(binary)}
    assert {f"__aeabi_{name}" for name in ("fmul", "f2iz", "i2d", "ddiv", "d2iz")} <= caught, caught
    return soft_float(linked(folder, "training"))


def section_bytes(binary):
    """Bytes in flash: code, constants, and the initial values of variables."""
    sizes = dict(
        re.findall(r"^(\.\S+) +(\d+)", output(PREFIX + "size", "-A", binary), re.MULTILINE)
    )
    kept = (".text", ".rodata", ".data", ".init", ".fini", ".ARM.exidx")
    return sum(int(sizes.get(name, 0)) for name in kept)


def not_ours(binary):
    """Bytes of the program's own function and of the C library's."""
    symbols_of = output(PREFIX + "nm", "-S", "-t", "d", binary)
    return sum(map(int, re.findall(r"^\d+ (\d+) T (?:main|mem\w+)$", symbols_of, re.MULTILINE)))


@cache
def is_gcc_12():
    return output(GCC, "-dumpversion").startswith("12.")


def check_size(folder):
    found = []
    binary = folder / "big.elf"
    output(GCC, *FLAGS, planted(BIG, folder, GCC, *FLAGS), *LINK, "-o", binary)
    assert section_bytes(binary) > 9999
    for program, limits in LIMITS.items():
        sizes = []
        for library, limit in zip([(DENSE_ONLY,), ()], limits, strict=True):
            binary = linked(folder, *program.split(), library=library)
            size = section_bytes(binary) - not_ours(binary)
            title = " ".join([program, *library])
            print(f"    {title}: {size} bytes of at most {limit}")
            if is_gcc_12() and size > limit:
                found.append(f"{title} takes {size - limit} bytes too many")
            sizes.append(f"| {size:,} ")
        if is_gcc_12() and "".join(sizes) not in DOCS:
            found.append(f"docs/firmware.md has not the {''.join(sizes)} bytes of {program}")
    return found


def check_stack(folder):
    """Prints the largest frames and the heaviest chains of calls."""
    found = []
    file = folder / "deep.c"
    file.write_text(DEEP)
    sizes = stack.frames(folder / f"{part.stem}.su" for part in
                         compiled([file], folder, GCC, *FLAGS, "-fstack-usage"))  # fmt: skip
    calls = stack.Calls([file])
    assert stack.deepest(calls, sizes, "through_a_table")[0] > 500
    try:
        stack.deepest(calls, sizes, "round_and_round")
    except RecursionError:
        pass
    else:
        raise AssertionError("a recursion was not found")
    said = dict.fromkeys(ROOTS, "")
    for flags in [DENSE_ONLY], []:
        sizes = stack.frames(part.with_suffix(".su") for part in objects(folder, *flags))
        calls = stack.Calls(sources(), *flags)
        frames = ", ".join(f"{name} {size}" for name, size in sizes.most_common(10))
        print("    frames:", *flags, frames)
        for root in ROOTS:
            size, chain = stack.deepest(calls, sizes, root)
            print(f"    {root}: {size} bytes:", ", ".join(f"{name} {own}" for name, own in chain))
            said[root] += f"| {size:,} "
    if is_gcc_12():
        found += [
            f"docs/firmware.md has not the {cells} bytes of {root}"
            for root, cells in said.items()
            if cells not in DOCS
        ]
    return found
