"""Compares the floors of pyproject.toml with tests/oldest-constraints.txt."""

import re
import sys
from pathlib import Path

root = Path(__file__).resolve().parents[1]
project = (root / "pyproject.toml").read_text()
constraints = (root / "tests/oldest-constraints.txt").read_text()
(listed,) = re.findall(r"^dependencies = \[(.*?)\]", project, re.M | re.S)
dependencies = re.findall(r'"([\w-]+)>=([\d.]+)', listed)
if len(dependencies) != listed.count('"') // 2:
    sys.exit("pyproject.toml: each of the dependencies needs a floor, as name>=version")
for name, floor in dependencies:
    oldest = re.findall(rf"^{name}==([\d.]+)", constraints, re.M)
    if not oldest or not f"{oldest[0]}.".startswith(f"{floor}."):
        sys.exit(f"pyproject.toml has {name}>={floor}, tests/oldest-constraints.txt {oldest}")
