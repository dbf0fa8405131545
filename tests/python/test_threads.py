"""Several Python threads at once: the bytes of one after the other, and no lock held meanwhile."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.datasets import load_digits
from tqdm.auto import tqdm

from pybinnet import BinaryConnectClassifier, _engine, pack_bits, xnor_matmul

N_THREADS = 6
HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X[:600] * 15).astype(np.uint8), y[:600]


def fitted(digits, seed):
    """A small classifier; every other one has two threads of its own."""
    return BinaryConnectClassifier(
        (48, 32), max_iter=4, random_state=seed, n_jobs=1 + seed % 2
    ).fit(*digits)


def at_once(function, items):
    """The results of a thread for each item, all of which begin together."""
    barrier = threading.Barrier(len(items))

    def run(item):
        barrier.wait()
        return function(item)

    with ThreadPoolExecutor(len(items)) as executor:
        return list(executor.map(run, items))


def test_fit_at_once(digits):
    seeds = range(N_THREADS)
    alone = [fitted(digits, seed) for seed in seeds]
    together = at_once(lambda seed: fitted(digits, seed), seeds)
    assert [c.checkpoint_ for c in together] == [c.checkpoint_ for c in alone]
    assert [c.model_ for c in together] == [c.model_ for c in alone]
    assert len({c.model_ for c in alone}) == N_THREADS  # else a mix-up would go unnoticed


def test_fit_while_the_lock_of_bars_is_taken(digits):
    """As an interrupt within tqdm leaves it to the thread that was interrupted."""
    thread = threading.Thread(target=fitted, args=[digits, 0], daemon=True)
    with tqdm.get_lock():
        thread.start()
        thread.join(60)
        assert not thread.is_alive()


def test_predict_at_once(digits):
    """More models than are kept open, so that threads open and drop them under each other."""
    X = digits[0]
    classifiers = [fitted(digits, seed) for seed in range(N_THREADS)]
    expected = [c.decision_function(X) for c in classifiers]

    def scores(first):
        order = [(first + i) % N_THREADS for i in range(30)]
        return [(i, classifiers[i].decision_function(X)) for i in order]

    for results in at_once(scores, range(N_THREADS)):
        assert all(np.array_equal(found, expected[i]) for i, found in results)


def test_one_classifier_predicts_in_every_thread(digits):
    classifier = fitted(digits, 0)
    expected = classifier.predict(digits[0])
    for found in at_once(lambda _: classifier.predict(digits[0]), range(N_THREADS)):
        assert np.array_equal(found, expected)


def test_fit_predict_and_multiply_at_once(digits):
    classifier, packed = fitted(digits, 1), pack_bits(digits[0])
    model, expected = classifier.model_, classifier.predict(digits[0])
    product = xnor_matmul(packed, packed)

    def work(i):
        if i % 3 == 0:
            return fitted(digits, 1).model_ == model
        if i % 3 == 1:
            return np.array_equal(classifier.predict(digits[0]), expected)
        return np.array_equal(xnor_matmul(packed, packed, n_jobs=2), product)

    assert all(at_once(work, range(9)))


@pytest.fixture
def moves_on():
    """Whether another Python thread runs during a call.

    Nothing makes a thread give the interpreter lock away here, so the other one counts only while
    the call has released it. A call that does may still end before the other thread gets a
    processor; hence several calls, of which one is enough.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    counted, stopped = [0], threading.Event()

    def count():
        while not stopped.is_set():
            counted[0] += 1
            time.sleep(0)  # gives the lock away

    def check(call, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            before = counted[0]
            call()
            if counted[0] != before:
                return True
        return False

    thread = threading.Thread(target=count)
    thread.start()
    yield check
    stopped.set()
    thread.join()
    sys.setswitchinterval(interval)


@pytest.mark.skipif(not HAS_GIL, reason="an interpreter without the lock")
def test_a_call_that_holds_the_lock_is_noticed(moves_on):
    assert not moves_on(lambda: sum(range(100_000)), seconds=0.2)


def test_training_releases_the_lock(moves_on):
    net = _engine.Net(784, _engine.dense(256, 10), 128, 0, np.ones(10, dtype=int))
    x, labels = np.ones((128, 784), dtype=np.uint8), np.zeros(128, dtype=np.uint16)
    assert moves_on(lambda: net.train_step(x, labels, 3), seconds=60)


def test_prediction_releases_the_lock(moves_on):
    net = _engine.Net(784, _engine.dense(256, 10), 128, 0, np.ones(10, dtype=int))
    x = np.ones((2000, 784), dtype=np.uint8)
    net.calibrate(x[:128])
    model = net.model()
    assert moves_on(lambda: _engine.predict_scores(model, x), seconds=60)


@pytest.mark.skipif(HAS_GIL, reason="an interpreter with the lock")
def test_import_leaves_the_lock_off():
    """A module that does not say it can do without brings the lock back for all."""
    check = "import sys, pybinnet._core; sys.exit(sys._is_gil_enabled())"
    subprocess.run([sys.executable, "-W", "error", "-c", check], check=True)
