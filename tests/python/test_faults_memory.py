"""Memory that runs out, at every allocation in turn, or by a limit: MemoryError, nothing broken."""

import os
import shutil
import subprocess
import sys
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from test_faults_signals import CASES, RaiseAt, expected, results

pytestmark = pytest.mark.untraced  # whose allocations would fail too
TESTS = Path(__file__).parents[1]


def run(code, *arguments, **environment):
    """What a Python process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """A library that makes allocations fail; see its source."""
    cc = os.environ.get("CC", "cc")
    if not sys.platform.startswith("linux") or not shutil.which(cc):
        assert os.environ.get("STRICT") != "1", f"this needs Linux and a C compiler, {cc}"
        pytest.skip(f"this needs Linux and a C compiler, {cc}")
    library = tmp_path_factory.mktemp("shim") / "failing.so"
    source = Path(__file__).with_name("failing_allocations.c")
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-fPIC", "-shared"]
    subprocess.run([cc, *flags, "-o", library, source, "-ldl"], check=True)
    return library


EVERY_ALLOCATION = """if True:
    import ctypes, sys
    from pathlib import Path

    sys.path.insert(0, sys.argv[1])
    import numpy as np
    from golden_data import images, labels
    from pybinnet import BinaryConnectClassifier, _engine, load_model, pack_bits, save_model
    from pybinnet import xnor_matmul

    X = images(60, 5)
    Y = labels(X).astype(np.uint16)
    estimator = BinaryConnectClassifier((8,), max_iter=1, random_state=0).fit(X, Y)
    packed, path = pack_bits(X - 100.0), Path(sys.argv[2]) / "net"

    def net(n_jobs):
        net = _engine.Net(5, _engine.dense(9, 3), 30, 3, np.ones(3, dtype=int), n_jobs=n_jobs)
        net.train_step(X[:30], Y[:30], 3)
        checkpoint = net.checkpoint()
        net.restore(checkpoint)
        net.calibrate(X)
        model = net.model()
        return checkpoint, model, _engine.predict_scores(model, X).tobytes()

    def save():
        save_model(estimator, path)
        assert [file.name for file in path.parent.iterdir()] == ["net"]
        return path.read_bytes()

    calls = {
        "net": lambda: net(1),
        "net of 2 threads": lambda: net(2),
        "product": lambda: xnor_matmul(packed, packed, n_jobs=2).tobytes(),
        "packing": lambda: pack_bits(X - 100.0).words.tobytes(),
        "save": save,
        "load": lambda: load_model(path).model_,
        "predict": lambda: estimator.decision_function(X).tobytes(),
    }
    fail_at = ctypes.CDLL(None).fail_at
    none = ctypes.c_long(0)

    def failing(call, n):
        number = ctypes.c_long(n)
        fail_at(number, number)
        try:
            return call()
        except BaseException as error:
            return type(error)

    for name, call in calls.items():
        whole, n, n_memory_errors = call(), 1, 0
        while True:
            found = failing(call, n)
            while True:  # ctypes allocates, too
                try:
                    n_seen = fail_at(none, none)
                    break
                except ctypes.ArgumentError:
                    n_seen = 0
            if n_seen < n:
                break
            n_memory_errors += found is MemoryError
            assert found == whole or isinstance(found, type), (name, n, found)
            if path.exists():
                load_model(path)
            n += 1
        assert call() == whole
        print(name, n - 1, n_memory_errors, sep=",")
"""


def test_every_allocation(shim, tmp_path):
    """Those of Python, numpy and cffi too, that our calls make: each fails once.

    Some mistake a failed allocation of theirs (SystemError: "returned NULL without setting an
    exception"), so a few errors are of other types. fit as a whole is not here since numpy's
    indexing crashes.
    """
    environment = {"LD_PRELOAD": str(shim), "PYTHONMALLOC": "malloc"}
    out = run(EVERY_ALLOCATION, TESTS, tmp_path, **environment)
    lines = [line.split(",") for line in out.splitlines()]
    assert len(lines) == 7
    for name, n, n_memory_errors in lines:
        assert int(n) > 50 and int(n_memory_errors) > 0.8 * int(n), name


@pytest.mark.parametrize("name", ["fit that may stop early", "partial_fit of a fitted one"])
def test_an_error_wherever_it_comes_changes_nothing(name):
    make, call = case = CASES[name]
    whole = expected(case)
    for at in count(1):
        estimator, y = make()
        before = dict(vars(estimator))
        failing = RaiseAt(at, MemoryError)
        if not failing(partial(call, estimator, y)):
            break
        assert vars(estimator).keys() == before.keys()
        assert all(value is before[name] for name, value in vars(estimator).items())
        call(estimator, y)
        assert results(estimator) == whole
    assert at > 300


LIMITED = """if True:
    import resource, sys
    sys.path.insert(0, sys.argv[1])
    import numpy as np
    from golden_data import images, labels
    from pybinnet import BinaryConnectClassifier, BinaryConnectRegressor, load_model

    X = images(400, 20) / 7.0
    Y = labels(X * 7)
    small = lambda: BinaryConnectClassifier((8,), max_iter=1, random_state=0)
    whole = small().fit(X, Y)

    def limited(call, mebibytes=64):
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (mebibytes << 20), -1))
        try:
            call()
            print("no error")
        except MemoryError as error:
            print(error)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (-1, -1))

    large = BinaryConnectClassifier((30000, 30000), batch_size=20000, random_state=0)
    before = dict(vars(large))
    limited(lambda: large.fit(X, Y))
    assert vars(large) == before
    many = np.zeros((300_000, 20))
    limited(lambda: whole.predict(many))
    with open(sys.argv[2], "wb") as file:
        file.truncate(1 << 30)
    limited(lambda: load_model(sys.argv[2]))
    threaded = small().set_params(n_jobs=2)
    limited(lambda: threaded.fit(X, Y), mebibytes=4)  # a thread's stack is 8
    for estimator in (small(), whole, threaded):
        estimator.fit(X, Y)
        assert estimator.model_ == whole.model_
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as Linux has them")
def test_a_limit(tmp_path):
    """As a batch system sets it for a job. Threads that cannot be had are done without."""
    net, rows, file, threads = run(LIMITED, TESTS, tmp_path / "large").splitlines()
    assert net.startswith("a net of ") and "a smaller batch_size or smaller layers need less" in net
    assert rows.startswith("Unable to allocate ") and "give fewer at a time, to predict" in rows
    assert file == f"{tmp_path / 'large'} has 1024 MiB, for which there is no memory"
    assert threads == "no error"
