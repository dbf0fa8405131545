"""Files of all format versions, as they were written then: what is read from them is the same."""

import json

import golden_files
import pytest

EXPECTED = json.loads(golden_files.EXPECTED.read_text("utf-8"))


def test_no_file_is_missing():
    paths = golden_files.FOLDER.glob("*/*")
    assert {path.relative_to(golden_files.FOLDER).as_posix() for path in paths} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_is_read_as_when_it_was_written(name):
    assert golden_files.digest(golden_files.FOLDER / name) == EXPECTED[name]


def test_this_version_writes_the_newest_files(tmp_path):
    """Else a format or a rule changed, and the files of the new one are not there yet."""
    golden_files.write(tmp_path)
    newest = golden_files.FOLDER / f"version-{golden_files.VERSION}"
    for path in newest.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
