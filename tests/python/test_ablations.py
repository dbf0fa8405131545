"""bench/ablations.py: its replacements still fit the C sources."""

import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench"))
import ablations  # noqa: E402


@pytest.mark.parametrize("variant", ablations.VARIANTS, ids=lambda variant: variant.name)
def test_replacements_fit(variant):
    for name, old, new in variant.changes:
        text = (TOP / "libbinnet" / name).read_text("utf-8")
        assert ablations.replaced(text, old, new, name) != text


def test_a_replacement_that_does_not_fit_is_refused():
    for text in ("", "old old"):
        with pytest.raises(SystemExit, match=r"here has changed; mend bench/ablations.py"):
            ablations.replaced(text, "old", "new", "here")
