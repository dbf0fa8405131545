"""What the proofs share: running tools, compiling the library, looking into binaries."""

# SPDX-License-Identifier: BSD-3-Clause

import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "libbinnet"
HERE = Path(__file__).resolve().parent


def output(*command, program=None):
    """What a command prints; `program` is its standard input. Five minutes are too long for any."""
    words = [str(word) for word in command]
    pipe = subprocess.PIPE
    run = subprocess.run(words, check=True, input=program, stdout=pipe, text=True, timeout=300)
    return run.stdout


def sources(inference_only=False):
    """The library's C files; sources.txt has those that prediction needs before '# training'."""
    text = (LIBRARY / "sources.txt").read_text("ascii")
    if inference_only:
        text = re.split(r"(?m)^# training$", text)[0]
    lines = [line.strip() for line in text.splitlines()]
    return [LIBRARY / line for line in lines if line and not line.startswith("#")]


def compiled(files, folder, compiler, *flags):
    """Objects of C files, in a folder that is made."""
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    objects = [folder / (file.stem + ".o") for file in files]
    for file, binary in zip(files, objects, strict=True):
        output(compiler, *flags, f"-I{ROOT}/include", "-c", file, "-o", binary)
    return objects


def planted(program, folder, compiler, *flags):
    """The object of a program that a proof must refuse."""
    binary = Path(folder, "planted.o")
    output(compiler, *flags, "-xc", "-c", "-", "-o", binary, program=program)
    return binary


def missing(*tools, header=None, flags=()):
    """What is not installed of `tools`, or, with the first being a compiler, of its C library."""
    absent = [tool for tool in tools if not shutil.which(tool)]
    if not absent and header:
        command = [tools[0], *flags, "-E", "-"]
        run = subprocess.run(command, input=f"#include <{header}>", text=True, capture_output=True)
        absent = [] if run.returncode == 0 else [f"a C library for {tools[0]}"]
    return absent


def instructions(binary, objdump="objdump"):
    """(function, address, code) of every instruction of a binary or archive."""
    function = "?"
    for line in output(objdump, "-d", "--no-show-raw-insn", binary).splitlines():
        if label := re.fullmatch(r"[0-9a-f]+ <(.+)>:", line):
            function = label[1]
        elif code := re.match(r"\s*([0-9a-f]+):\s+(.*)", line):
            yield function, int(code[1], 16), code[2]
