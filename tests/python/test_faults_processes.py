"""Forks after a threaded fit, threads that share an estimator: the same results, no deadlock."""

import multiprocessing
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SECONDS = 300  # after which a process counts as deadlocked

BEGIN = """
import os, pickle, signal, sys, tempfile, threading, warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from golden_data import images, labels
from threadpoolctl import threadpool_limits
from pybinnet import BinaryConnectClassifier, load_model, save_model, xnor_matmul, pack_bits

warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
threadpool_limits(2)  # allows two threads also where there is one processor
X = images(300, 9)
Y = labels(X)
PACKED = pack_bits(X - 100.0)

def make(seed=0, n_jobs=2):
    return BinaryConnectClassifier((40, 40), max_iter=3, random_state=seed, n_jobs=n_jobs)

def results(estimator=None):
    '''Of a new fit, and of one estimator, all with threads.'''
    new = make().fit(X, Y)
    product = xnor_matmul(PACKED, PACKED, n_jobs=2)
    scores = (estimator or new).decision_function(X)
    return [new.checkpoint_, new.model_, product.tobytes(), scores.tobytes()]
"""


def run(code):
    """Run a program in a process of its own, for that only can be given a time."""
    program = BEGIN + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", program, str(TESTS)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "equal\n", done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_fork_after_a_threaded_fit():
    """Children predict and fit, with threads of their own; so do theirs, and the parent again.

    A net with threads that a child has from its parent goes on without, and goes without a wait.
    """
    run(
        """
        import numpy as np
        from pybinnet import _engine

        nets = [_engine.Net(9, _engine.dense(99, 3), 300, 0, np.ones(3, int), n_jobs=2)]
        fitted = make().fit(X, Y)
        whole = results(fitted)

        def check_in_child(depth):
            child = os.fork()
            if child == 0:
                signal.alarm(200)
                if depth:
                    check_in_child(depth - 1)
                nets.pop().train_step(X, Y.astype(np.uint16), 3)
                os._exit(0 if results(fitted) == whole else 1)
            assert os.waitpid(child, 0)[1] == 0

        for _ in range(5):
            check_in_child(depth=1)
            assert results(fitted) == whole
        print("equal")
        """
    )


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing_after_a_threaded_fit(method, tmp_path):
    """A method that starts a new Python wants a program that can be imported."""
    program = tmp_path / "program.py"
    body = """
        import multiprocessing

        if __name__ == "__main__":
            fitted = make().fit(X, Y)
            whole = results(fitted)
            with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
                assert pool.map(results, [fitted] * 4) == [whole] * 4
            assert results(fitted) == whole
            print("equal")
    """
    program.write_text(BEGIN + textwrap.dedent(body))
    done = subprocess.run(
        [sys.executable, program, TESTS, method], capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "equal\n"


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_joblib_after_a_threaded_fit(backend):
    """A search in two jobs, of estimators with two threads each, finds what one in one job does."""
    run(
        f"""
        import joblib
        from sklearn.model_selection import GridSearchCV

        def search(n_jobs):
            grid = {{"dropout": [0.0, 0.25], "weights": ["binary", "ternary"]}}
            found = GridSearchCV(make(), grid, cv=2, n_jobs=n_jobs).fit(X, Y)
            return found.cv_results_["mean_test_score"].tolist(), found.best_estimator_.model_

        fitted = make().fit(X, Y)
        whole = search(1)
        with joblib.parallel_backend({backend!r}):
            assert search(2) == whole
            scores = joblib.Parallel(2)(
                joblib.delayed(fitted.decision_function)(X) for _ in range(6)
            )
        assert all((found == fitted.decision_function(X)).all() for found in scores)
        print("equal")
        """
    )


def test_eight_threads_share_an_estimator():
    """One that no prediction has come to yet: partial_fit leaves model_ to the first."""
    run(
        """
        import numpy as np

        def fresh():
            return make().partial_fit(X, Y, classes=[0, 1, 2])

        def results(estimator, folder, i):
            path = Path(folder) / f"net {i % 3}"  # three threads write the same file
            save_model(estimator, path)
            return [
                estimator.predict(X).tobytes(),
                estimator.predict_proba(X).tobytes(),
                estimator.decision_function(X).tobytes(),
                load_model(path).model_,
                pickle.loads(pickle.dumps(estimator)).model_,
                estimator.model_,
            ]

        with tempfile.TemporaryDirectory() as folder:
            whole = results(fresh(), folder, 0)
            for _ in range(10):
                estimator, barrier = fresh(), threading.Barrier(8)

                def work(i):
                    barrier.wait()
                    return [results(estimator, folder, i) for _ in range(3)]

                with ThreadPoolExecutor(8) as executor:
                    assert list(executor.map(work, range(8))) == [[whole] * 3] * 8
        print("equal")
        """
    )
