"""The firmware example prints what its README says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import golden
import pytest
from firmware.targets import TARGETS, MissingTool

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


def test_firmware(tmp_path):
    try:
        next(target for target in TARGETS if target.name == "microbit").check_tools()
    except MissingTool as tool:
        assert os.environ.get("STRICT") != "1", f"this needs {tool}"
        pytest.skip(f"LOUD: this needs {tool}")
    readme = (EXAMPLE / "README.md").read_text("utf-8")
    expected = re.search(r"```text\n(.*?)\n```", readme, re.S)[1].splitlines()
    built = make("all", tmp_path)
    assert expected[1] in built  # Python's own count of what is right
    assert make("run", tmp_path) == expected
    assert make("run-inference", tmp_path) == expected[:4]
