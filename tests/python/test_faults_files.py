"""Writing that fails or is killed: a file is the old one or the new one, never a torn one."""

import errno
import importlib.util
import os
import random
import signal
import time
from types import SimpleNamespace

import pytest
from golden_data import images, labels

from pybinnet import BinaryConnectClassifier, SaveCheckpoint, export_c, export_onnx, save_model
from pybinnet.__main__ import main
from pybinnet._tables import write_table

resource = pytest.importorskip("resource", reason="no limits of Unix on this system")

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "30"))
X = images(200, 6)


def save_checkpoint(estimator, path):
    SaveCheckpoint(path)(SimpleNamespace(checkpoint=lambda: estimator.checkpoint_))


def save_scores(estimator, path):
    write_table(str(path), ",", "abc", estimator.decision_function(X))


# By a name of the file. Each writes more than a page, so that no system call has all of it at once.
WRITERS = {
    "net": save_model,
    "state": save_checkpoint,
    "net.h": export_c,
    "scores.csv": save_scores,
}
if importlib.util.find_spec("onnx"):
    WRITERS["net.onnx"] = export_onnx


@pytest.fixture(params=WRITERS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def estimators():
    return [
        BinaryConnectClassifier((200, 200), max_iter=1, random_state=seed).fit(X, labels(X))
        for seed in (0, 1)
    ]


@pytest.fixture
def full_disk():
    """What a full disk is to a writer: files take no more than a page, then there is an error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("before", [None, b"of before"])
def test_a_full_disk_changes_nothing(estimators, name, before, tmp_path, full_disk):
    path = tmp_path / name
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(OSError) as raised:
        WRITERS[name](estimators[0], path)
    assert raised.value.errno == errno.EFBIG and raised.value.filename == str(path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [before] * (before is not None)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_is_full_in_the_end_changes_nothing(
    estimators, name, step, tmp_path, monkeypatch
):
    """Where data are kept in memory, as over a network, only then is it known."""

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / name
    path.write_bytes(b"of before")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left on device") as raised:
        WRITERS[name](estimators[0], path)
    assert raised.value.filename == str(path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"of before"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device on this system")
def test_a_full_device(estimators):
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        save_model(estimators[0], "/dev/full")


def test_a_full_disk_in_the_command_line(tmp_path, capsys, full_disk):
    (tmp_path / "data.csv").write_text("a,y\n" + "1,2\n3,4\n" * 20)
    command = f"train {tmp_path}/data.csv --target y --out {tmp_path}/net --hidden 200,200"
    assert main([*command.split(), "--epochs", "1"]) == 1
    said = f"error: {tmp_path}/net: File too large\n"
    assert capsys.readouterr().err.endswith(said)
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_kill_at_any_moment(estimators, name, tmp_path):
    """A process writes two files in turn, one in the place of the other, until it is killed."""
    write, path, rng = WRITERS[name], tmp_path / name, random.Random(0)
    contents = []
    for estimator in estimators:
        start = time.perf_counter()
        write(estimator, path)
        seconds = time.perf_counter() - start
        contents.append(path.read_bytes())
    assert contents[0] != contents[1] and len(contents[0]) > 4096
    seen = set()
    for _ in range(ROUNDS):
        child = os.fork()
        if child == 0:
            try:
                while True:
                    for estimator in estimators:
                        write(estimator, path)
            finally:
                os._exit(1)
        time.sleep(rng.uniform(0, 3 * seconds))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        assert path.read_bytes() in contents
        left = [file for file in tmp_path.iterdir() if file != path]
        assert len(left) <= 1
        for file in left:
            assert file.match(f".{name}.*.tmp")
            file.unlink()
        seen.add((path.read_bytes() == contents[0], bool(left)))
    assert len(seen) > 1  # it was killed at more than one point
