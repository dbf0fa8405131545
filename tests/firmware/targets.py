"""The machines that the test programs run on: how to compile for them and start them."""

# SPDX-License-Identifier: BSD-3-Clause

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TIMEOUT = 120  # seconds of a run, which takes a few

# Own mem* functions, which must not be compiled to calls of themselves, and no C library.
BARE = "-ffreestanding -ffunction-sections -fdata-sections -fno-tree-loop-distribute-patterns"
HOSTED = "-O2 -static -DARENA_BYTES=98304"  # fast kernels want more than the portable ones
WARNINGS = "-Wall -Wextra -Wconversion -Wvla -pedantic -Wno-missing-field-initializers"
BARE_QEMU = (
    "-display none -monitor none -serial none -chardev stdio,id=c0 "
    "-semihosting-config enable=on,target=native,chardev=c0"
)
KB = 1024


class MissingTool(Exception):
    """A target that cannot be tried here; says what is missing."""


@dataclass(frozen=True)
class Memory:
    """Of a bare machine: origins and lengths."""

    flash: int
    flash_bytes: int
    ram: int
    ram_bytes: int


@dataclass(frozen=True)
class Target:
    """A processor, its compiler, and its emulator; under an operating system without `memory`."""

    name: str
    processor: str
    compiler: str
    flags: str
    emulator: str
    memory: Memory | None = None
    start: str = ""

    def check_tools(self):
        """Raise MissingTool unless programs can be compiled and run."""
        for tool in (self.compiler, self.emulator.split()[0]):
            if not shutil.which(tool):
                raise MissingTool(tool)
        probe = "#include <assert.h>\n#include <string.h>\n"
        command = [self.compiler, *self.flags.split(), "-E", "-"]
        if subprocess.run(command, input=probe, text=True, capture_output=True).returncode:
            raise MissingTool(f"{self.compiler} with the headers of a C library")


def cortex_m(board, processor, flags, ram_bytes, flash_bytes):
    return Target(
        board,
        processor,
        "arm-none-eabi-gcc",
        f"-mthumb {flags} {BARE}",
        f"qemu-system-arm -M {board} {BARE_QEMU} -kernel",
        Memory(0, flash_bytes, 0x20000000, ram_bytes),
        "start_arm.c",
    )


def risc_v(bits, flags):
    return Target(
        f"riscv{bits}",
        f"RV{bits}IMAC",
        "riscv64-unknown-elf-gcc",
        f"--specs=picolibc.specs {flags} -mcmodel=medany {BARE}",
        f"qemu-system-riscv{bits} -M virt -bios none {BARE_QEMU} -kernel",
        Memory(0x80000000, 4 * KB * KB, 0x80400000, 256 * KB),
        "start_riscv.c",
    )


# Compilers optimize for size and for speed: the bits must not depend on that either.
TARGETS = [
    cortex_m("microbit", "Cortex-M0", "-mcpu=cortex-m0 -Os", 16 * KB, 256 * KB),
    cortex_m("mps2-an386", "Cortex-M4", "-mcpu=cortex-m4 -O2", 4096 * KB, 4096 * KB),
    cortex_m(
        "mps3-an547",
        "Cortex-M55 with Helium",
        "-mcpu=cortex-m55 -mfloat-abi=hard -O3",
        512 * KB,
        512 * KB,
    ),
    risc_v(32, "-march=rv32imac -mabi=ilp32 -Os"),
    risc_v(64, "-march=rv64imac -mabi=lp64 -O2"),
    Target("aarch64", "AArch64", "aarch64-linux-gnu-gcc", HOSTED, "qemu-aarch64"),
    Target("s390x", "s390x, big-endian", "s390x-linux-gnu-gcc", HOSTED, "qemu-s390x"),
]


def library_sources():
    """Return the library's C files, and the first of them, which are all that inference needs."""
    text = (ROOT / "libbinnet" / "sources.txt").read_text("ascii")
    return [
        [ROOT / "libbinnet" / line for line in part.splitlines() if line and line[0] != "#"]
        for part in (text, text.partition("# training")[0])
    ]


class Workshop:
    """Compiles for one target in a folder of its own; the library only once.

    Parameters
    ----------
    target : Target
    folder : Path
        Made here; programs and their outputs are put in it.
    headers : Path
        Folder with the generated headers.
    """

    def __init__(self, target, folder, headers):
        target.check_tools()
        self.target = target
        self.folder = folder
        self.objects = folder / "objects"
        self.objects.mkdir(parents=True)
        self.compile = [target.compiler, "-std=c99", *target.flags.split(), *WARNINGS.split()]
        if os.environ.get("STRICT") == "1":
            self.compile.append("-Werror")
        self.compile += [f"-I{path}" for path in (ROOT / "include", HERE, headers)]
        self.everything, self.inference = library_sources()
        self.run_tool(*self.compile, "-c", *self.everything, cwd=self.objects)

    def run_tool(self, *command, cwd=None):
        try:
            return subprocess.run(
                command, cwd=cwd, check=True, text=True, stdout=-1, stderr=subprocess.STDOUT
            ).stdout
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"{command[0]}: {error.stdout.strip()}") from None

    def build(self, name, sources, flags=(), library=None, c_library=False):
        """Link a program and return its path.

        `library` are the files of the library to link, by default all. On a bare machine memory.c
        takes the place of a C library, unless `c_library`.
        """
        program = self.folder / name
        if library is None:
            library = self.everything
        objects = [self.objects / f"{source.stem}.o" for source in library]
        command = [*self.compile, *flags, *sources, *objects, "-o", program]
        if memory := self.target.memory:
            own = ["boot.c", "semihosting.c", self.target.start, *["memory.c"] * (not c_library)]
            places = {
                "FLASH_ORIGIN": memory.flash,
                "FLASH_LENGTH": memory.flash_bytes,
                "RAM_ORIGIN": memory.ram,
                "RAM_LENGTH": memory.ram_bytes,
            }
            command += [HERE / file for file in own]
            command += ["-nostdlib", "-T", HERE / "mcu.ld", "-Wl,--gc-sections"]
            command += [f"-Wl,--defsym={symbol}={place}" for symbol, place in places.items()]
            command += [*["-lm", "-lc"] * c_library, "-lgcc"]
        else:
            command += [HERE / "hosted.c"]
        self.run_tool(*command)
        return program

    def run(self, program, options=()):
        """Return the exit code and what was printed. The program's files are saved beside it."""
        folder = self.folder / f"{program.name}.files"
        folder.mkdir(exist_ok=True)
        emulator = self.target.emulator.split()
        try:
            run = subprocess.run(
                [emulator[0], *options, *emulator[1:], program],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            return None, f"no end after {TIMEOUT} seconds"
        return run.returncode, run.stdout.strip()

    def saved(self, program, file):
        """Return the bytes of a file that a program saved."""
        return (self.folder / f"{program.name}.files" / file).read_bytes()

    def sizes(self, program):
        """Return bytes of code, of flash, and of RAM without the stack, by name."""
        if not self.target.memory:
            return {}
        prefix = self.target.compiler.removesuffix("gcc")
        symbols = self.run_tool(f"{prefix}nm", "--print-size", program)
        code = sum(int(size, 16) for size in re.findall(r"^\S+ (\S+) [tT] ", symbols, re.MULTILINE))
        total = self.run_tool(f"{prefix}size", program).splitlines()[1]
        text, data, bss = map(int, total.split()[:3])
        return {"code": code, "flash": text + data, "RAM": data + bss}
