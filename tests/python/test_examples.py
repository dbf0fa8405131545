"""The firmware example prints what its README says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import golden
import pytest

ROOT = Path(golden.__file__).parents[1]
EXAMPLE = ROOT / "examples" / "firmware"
CC = "arm-none-eabi-gcc -Werror" if os.environ.get("STRICT") == "1" else "arm-none-eabi-gcc"


def make(target, folder):
    """Return what was printed, without spaces at the ends of lines."""
    command = ["make", "-s", "-C", EXAMPLE, target, f"OUT={folder}", f"PYTHON={sys.executable}"]
    run = subprocess.run(
        [*command, f"CC={CC}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return [line.rstrip() for line in run.stdout.splitlines()]


def has_newlib():
    command = ["arm-none-eabi-gcc", "-E", "-"]
    run = subprocess.run(command, input="#include <string.h>", text=True, capture_output=True)
    return run.returncode == 0


def has_gcc_12():
    command = ["arm-none-eabi-gcc", "-dumpversion"]
    return subprocess.run(command, text=True, capture_output=True).stdout.startswith("12.")


def test_firmware(tmp_path):
    tools = ["make", "arm-none-eabi-gcc", "qemu-system-arm"]
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing or not has_newlib():
        needed = ", ".join(missing or ["newlib"])
        assert os.environ.get("STRICT") != "1", f"this needs {needed}"
        pytest.skip(f"LOUD: this needs {needed}")
    readme = (EXAMPLE / "README.md").read_text("utf-8")
    expected = re.search(r"```text\n(.*?)\n```", readme, re.S)[1].splitlines()
    built = make("all", tmp_path)
    assert expected[1] in built  # Python's own count of what is right
    if has_gcc_12():  # flash without the rows: features and a label each
        for line in built[-2:]:
            text, data = map(int, line.split()[:2])
            assert f"{text + data - 912 * 65:,}" in readme
    assert make("run", tmp_path) == expected
    assert make("run-inference", tmp_path) == expected[:4]
