"""python -m pybinnet in a terminal, and Ctrl-C."""

import os
import re
import select
import signal
import struct
import subprocess
import sys

import pytest
from sklearn.datasets import load_iris

from pybinnet import load_model

fcntl = pytest.importorskip("fcntl", reason="no terminals of Unix on this system")
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

# Coverage's lock would stay taken by an interrupt of its own Python code.
pytestmark = pytest.mark.untraced

COMMAND = [sys.executable, "-m", "pybinnet"]


@pytest.fixture
def iris(tmp_path):
    X, y = load_iris(return_X_y=True)
    rows = [",".join(map(str, [*x, label])) for x, label in zip(X, y, strict=True)]
    (tmp_path / "iris.csv").write_text("\n".join(["a,b,c,d,species", *rows]))


class Terminal:
    """A command whose standard error is a terminal."""

    def __init__(self, folder, *arguments):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=theirs, text=True
        )
        os.close(theirs)
        self.seen = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)

    def read(self, until=None):
        """All that is shown, or what is until a pattern matches."""
        while until is None or not re.search(until, self.seen):
            assert select.select([self.ours], [], [], 60)[0], f"no more than {self.seen!r}"
            try:
                self.seen += os.read(self.ours, 4096).decode()
            except OSError:  # the other end was closed
                break
        return self.seen


def test_progress_in_a_terminal_only(tmp_path, iris):
    train = ["train", "iris.csv", "--target", "species", "--out", "net", "--epochs", "2"]
    with Terminal(tmp_path, *train) as terminal:
        assert re.search(r"2/2 .*epoch.*loss=", terminal.read())
        assert "accuracy" in terminal.process.communicate()[0]
        assert terminal.process.returncode == 0
    with Terminal(tmp_path, *train, "--quiet") as terminal:
        assert terminal.read() == ""
        assert "accuracy" in terminal.process.communicate()[0]


def test_interrupt_keeps_what_was_trained(tmp_path, iris):
    train = ["train", "iris.csv", "--target", "species", "--out", "net", "--epochs", "1000000"]
    with Terminal(tmp_path, *train) as terminal:
        terminal.read(r" [1-9]\d*/1000000 ")
        terminal.process.send_signal(signal.SIGINT)
        out = terminal.process.communicate(timeout=60)[0]
        err = terminal.read()
        assert terminal.process.returncode == 130
    n_epochs = re.search(r"trained on 120 rows: (\d+) epochs", out)[1]
    assert 0 < int(n_epochs) < 1000000
    said = f"python -m pybinnet: interrupted after {n_epochs} epochs; net has the network as far"
    assert said in err and "warning" not in err
    assert load_model(tmp_path / "net").n_features_in_ == 4


def test_interrupt_before_there_is_anything(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    train = [*COMMAND, "train", "pipe", "--target", "y", "--out", "net"]
    with subprocess.Popen(train, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        with (tmp_path / "pipe").open("w"):  # returns when the command has opened it too
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == b"python -m pybinnet: interrupted\n"
        assert process.wait(timeout=60) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
