"""bench/tables.py: the tables it makes and reads."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import tables


@pytest.mark.parametrize("name", tables.tables())
def test_made_tables_are_the_same_each_time(name):
    x, y = tables.tables()[name]()
    again, y_again = tables.tables()[name]()
    assert len(x) == len(y) and np.isfinite(x).all()
    assert np.unique(y, return_counts=True)[1].min() >= 20  # in the test rows too
    np.testing.assert_array_equal(again, x)
    np.testing.assert_array_equal(y_again, y)


def test_files_of_a_folder(tmp_path, monkeypatch):
    (tmp_path / "shop.csv").write_text(
        'size,color,sold\n1.5,"red, dark",no\n2,blue,yes\n3,blue,no\n'
    )
    np.savez(tmp_path / "other.npz", X=np.eye(3), y=np.arange(3))
    monkeypatch.setenv("BINNET_TABLES", str(tmp_path))
    x, y = tables.tables()["shop"]()
    assert x.tolist() == [[1.5, 1], [2, 0], [3, 0]] and y.tolist() == ["no", "yes", "no"]
    x, y = tables.tables()["other"]()
    assert x.tolist() == np.eye(3).tolist() and y.tolist() == [0, 1, 2]


def test_a_folder_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("BINNET_TABLES", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit, match=r"nowhere is no folder"):
        tables.tables()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_comparison_has_all_contenders():
    x, y = tables.tables()["iris"]()
    row = tables.compare("iris", x, y, 1)
    assert (row["rows"], row["columns"], row["classes"]) == (150, 4, 3)
    assert all(row[name]["accuracy_percent"] > 80 for name in tables.CONTENDERS)
