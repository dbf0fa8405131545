"""Files that are written: replaced as a whole, unless they are none."""

import os
import stat
import sys
import threading

import pytest

from pybinnet._files import replace
from pybinnet._tables import check_output

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs pipes with names, and links")


@posix
def test_a_pipe_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    check_output(str(pipe))
    replace(pipe, b"content")
    reader.join(20)
    assert read == [b"content"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@posix
def test_a_link_stays_a_link(tmp_path):
    file, link = tmp_path / "of today", tmp_path / "latest"
    link.symlink_to(file.name)
    for content in (b"new", b"newer"):
        replace(link, content)
        assert link.is_symlink() and file.read_bytes() == content


def test_threads_that_write_one_file(tmp_path):
    """Its readers see what one of them wrote, never a part or a mixture."""
    path = tmp_path / "file"
    contents = [bytes([i]) * 1_000_000 * i for i in (1, 2, 3)]
    replace(path, contents[0])
    errors = []

    def write(content):
        try:
            for _ in range(30):
                replace(path, content)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert path.read_bytes() in contents
    assert errors == []
    assert list(tmp_path.iterdir()) == [path]
