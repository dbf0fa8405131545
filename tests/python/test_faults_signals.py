"""Ctrl-C at any moment: an estimator is as it was, or usable, and learns on to the same bytes."""

import inspect
import os
import random
import signal
import sys
import time
import warnings
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from golden_data import images, labels, numbers

import pybinnet
from pybinnet import BinaryConnectClassifier, BinaryConnectRegressor, load_model, save_model

# Coverage's lock would stay taken by an interrupt of its own Python code.
pytestmark = pytest.mark.untraced

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "30"))
X = images(120, 5)
STOPPING = {"early_stopping": True, "n_iter_no_change": 2}


def classifier(**parameters):
    return BinaryConnectClassifier((8,), batch_size=32, random_state=3, **parameters), labels(X)


def regressor(**parameters):
    return BinaryConnectRegressor((8,), batch_size=32, random_state=3, **parameters), numbers(X)


def fitted(made):
    estimator, y = made
    return estimator.fit(X[:70], y[:70]), y


def fit(estimator, y):
    estimator.fit(X, y)


def partial_fit(estimator, y):
    known = {"classes": [0, 1, 2]} if isinstance(estimator, BinaryConnectClassifier) else {}
    estimator.partial_fit(X[50:], y[50:], **known)


CASES = {
    "fit": (lambda: classifier(max_iter=2, warm_start=True), fit),
    "fit of a fitted one": (lambda: fitted(classifier(max_iter=2, warm_start=True)), fit),
    "fit that may stop early": (lambda: regressor(max_iter=2, warm_start=True, **STOPPING), fit),
    "partial_fit": (classifier, partial_fit),
    "partial_fit of a fitted one": (lambda: fitted(regressor(**STOPPING)), partial_fit),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def results(estimator):
    names = "checkpoint_ model_ loss_curve_ validation_scores_ validation_loss_curve_"
    return [getattr(estimator, name, None) for name in names.split()]


def expected(case):
    make, call = case
    estimator, y = make()
    call(estimator, y)
    return results(estimator)


def outcome(case, whole, interrupt):
    """What an interrupted call left, from which the next makes what it would have made."""
    make, call = case
    estimator, y = make()
    before = dict(vars(estimator))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        raised = interrupt(lambda: call(estimator, y))
    if caught:
        assert "usable as far as it was trained" in str(caught[0].message)
        assert len(estimator.predict(X)) == len(X)
    elif raised and vars(estimator).keys() == before.keys():
        assert all(value is before[name] for name, value in vars(estimator).items())
    else:  # it came before or after the call
        assert results(estimator) == whole
        return "whole"
    call(estimator, y)
    assert results(estimator) == whole
    return "usable" if caught else "as before"


class RaiseAt:
    """Raises an exception where Python does for a signal: on entering a function, and when C
    comes back to it. Counted from 1, in our functions and those that write files; but not where a
    generator is entered, maybe to be closed: what is raised there is lost."""

    places = (str(Path(pybinnet.__file__).parent), str(Path(os.__file__).with_name("pathlib")))

    def __init__(self, at, kind):
        self.at, self.kind = at, kind
        self.n_seen = 0

    def __call__(self, call):
        """Whether it was raised out of the call."""
        sys.setprofile(self.look)
        try:
            call()
        except self.kind:
            return True
        finally:
            sys.setprofile(None)
        return False

    def look(self, frame, event, _):
        code = frame.f_code
        generator = event == "call" and code.co_flags & inspect.CO_GENERATOR
        if (
            event in ("call", "c_return")
            and not generator
            and code.co_filename.startswith(self.places)
        ):
            self.n_seen += 1
            if self.n_seen == self.at:
                sys.setprofile(None)
                raise self.kind


def test_wherever_python_looks_for_signals(case):
    whole = expected(case)
    for at in count(1):
        interrupt = RaiseAt(at, KeyboardInterrupt)
        left = outcome(case, whole, interrupt)
        if interrupt.n_seen < at:
            break
        assert left != "whole", at  # else it was lost
    assert at > 300


def after(seconds):
    """As `RaiseAt`, of a real signal that comes after some time, wherever Python is then."""

    def interrupt(call):
        def handle(number, frame):
            if not is_over:
                signal.default_int_handler(number, frame)

        is_over = False
        before = signal.signal(signal.SIGALRM, handle)
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            call()
            is_over = True
        except KeyboardInterrupt:
            return True
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        return False

    return interrupt


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no such timers on this system")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in a destructor
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_at_random_moments(case, n_jobs):
    """Most come while C computes, on this thread or several."""
    make, call = case

    def larger():
        estimator, y = make()
        return estimator.set_params(n_jobs=n_jobs), y

    case = larger, call
    start = time.perf_counter()
    whole, rng, seen = expected(case), random.Random(n_jobs), set()
    seconds = time.perf_counter() - start
    for _ in range(ROUNDS):
        seen.add(outcome(case, whole, after(rng.uniform(0.0001, seconds))))
    assert seen - {"whole"}


def test_predictions_and_files(tmp_path):
    """They change nothing, and the next call finds nothing amiss; a file is old or new."""
    estimator, y = classifier(max_iter=2)
    estimator.partial_fit(X, y, classes=[0, 1, 2])  # leaves model_ to the first prediction
    other = classifier(max_iter=2)[0].fit(X, y)
    path, scores = tmp_path / "net", other.decision_function(X)
    contents = []
    for of in (estimator, other):
        save_model(of, path)
        contents.append(path.read_bytes())
    calls = {
        "predict": lambda: other.predict(X),
        "save": lambda: save_model(estimator, path),
        "load": lambda: load_model(path),
        "model_": lambda: estimator.model_,
    }
    for name, call in calls.items():
        for at in count(1):
            estimator._model = None
            save_model(other, path)
            interrupt = RaiseAt(at, KeyboardInterrupt)
            raised = interrupt(call)
            assert list(tmp_path.iterdir()) == [path]
            assert path.read_bytes() in contents
            assert np.array_equal(other.decision_function(X), scores)
            save_model(estimator, path)
            assert path.read_bytes() == contents[0]
            if interrupt.n_seen < at:
                break
            assert raised, (name, at)
        assert at > 10
