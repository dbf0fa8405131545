"""docs/firmware.md has the library's sizes and its report's figures; the reference, all names; the
promises of docs/reliability.md, tests.

Links of the Markdown pages lead to files, and the commands of the guide work.
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import golden
import numpy as np
import pytest
from sklearn.datasets import load_iris

import pybinnet
from pybinnet import _engine

ROOT = Path(golden.__file__).parents[1]
TEXT = (ROOT / "docs" / "firmware.md").read_text("utf-8")
METHODS = {
    "stochastic": _engine.Method(stochastic=True),
    "ternary": _engine.Method(ternary=True),
    "sign": _engine.Method(sign=True),
    "AdaMax": _engine.Method(adamax=True),
}


def table(heading):
    """The rows of the first table that begins with a heading, as lists of cells."""
    lines = TEXT[TEXT.index(f"| {heading} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def sizes():
    """A row of the table of sizes each: layers, method, batch size, and the sizes that are said."""
    layers = ()
    for name, batch, *said in table("network"):
        if name.startswith("…"):
            method = METHODS[name.removeprefix("… ")]
        else:
            method = _engine.Method()
            layers = tuple(map(int, name.split("-"))) if name else layers
        yield layers, method, int(batch), [int(n.replace(",", "")) if n else None for n in said]


@pytest.mark.parametrize(("layers", "method", "batch", "said"), list(sizes()))
def test_sizes_are_the_librarys(layers, method, batch, said):
    units = layers[1:]
    # As BINNET_NET_SIZE counts them, with what aligns them: 8 bytes here, 4 there.
    pointers = 18 + 24 * len(units)
    net_layers = _engine.dense(*units)
    arena = _engine.portable_net_size(layers[0], net_layers, batch, method) - 4 * pointers
    net = _engine.Net(layers[0], net_layers, batch, 0, np.ones(units[-1]), method)
    net.calibrate(np.zeros((2, layers[0]), dtype=np.uint8))
    model = net.model()
    found = [arena, len(net.checkpoint()), len(model), _engine.portable_scratch_size(model)]
    assert [n for n in said if n] == [n for n, told in zip(found, said, strict=True) if told]


def test_instructions_are_the_reports():
    report = json.loads((ROOT / "bench" / "results" / "firmware.json").read_text("utf-8"))
    columns = "M0 -Os", "M0 -O2", "M4 -O2", "M4F -O2"
    for heading, rows in [
        ("inference of one row", report["inference"]),
        ("a training step", report["training"]),
    ]:
        for said, row in zip(table(heading), rows, strict=True):
            counts = [row["counts"][column]["instructions"] for column in columns]
            cells = [int(re.match("[0-9,]+", cell)[0].replace(",", "")) for cell in said[1:5]]
            assert cells == counts[: len(cells)]


def test_reference_has_all_public_names():
    text = (ROOT / "docs" / "reference.rst").read_text("utf-8")
    assert sorted(re.findall(r"^   (\w+)$", text, re.MULTILINE)) == sorted(pybinnet.__all__)


@pytest.mark.parametrize(
    "pages", ["*.md", "docs/*.md", "*/README.md", "*/*/README.md", "*/FORMAT.md"]
)
def test_links_lead_to_files(pages):
    found = list(ROOT.glob(pages))
    assert found
    for page in found:
        links = re.findall(r"\]\(([^):#]+)[^):]*\)", page.read_text("utf-8"))
        assert [link for link in links if not (page.parent / link).exists()] == []


def test_reliability_names_tests_and_files_that_exist():
    text = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    programs = {path.name: path for path in (ROOT / "tests").glob("*/*.*")}
    named = re.findall(r"`(?:tests/\w+/)?(test_\w+\.py)::(\w+)`", text)
    named += [("test_api.c", name) for name in re.findall(r"`(test_\w+)`", text)]
    assert len(named) > 40
    for file, name in named:
        assert re.search(rf"\b{name}\(", programs[file].read_text("utf-8")), f"{file}::{name}"
    for path in re.findall(r"`(tests/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
    targets = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"`make (\w+)`", text):
        assert f"\n{target}:" in targets, target


def test_commands_of_the_guide(tmp_path):
    flowers = load_iris(as_frame=True)
    flowers.frame.rename(columns={"target": "species"}).to_csv(
        tmp_path / "flowers.csv", index=False
    )
    text = (ROOT / "docs" / "guide" / "commands.rst").read_text("utf-8")
    commands = re.findall("^    python (-m pybinnet .*)$", text, re.MULTILINE)
    assert len(commands) == 6
    for command in commands:
        subprocess.run([sys.executable, *shlex.split(command)], cwd=tmp_path, check=True)
