"""Lets tests import tests/reference.py and tests/golden.py; lets scikit-learn check all it can."""

import os
import sys
from pathlib import Path

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # before scipy is imported, else checks are skipped
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
