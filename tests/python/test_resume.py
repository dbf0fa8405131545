"""Fits that were killed, or go on from checkpoint_, end in the bytes of one that was not."""

import json
import signal
import subprocess
import sys
import warnings
from hashlib import sha256
from pathlib import Path

import golden_data
import numpy as np
import pytest
from golden_data import images, labels, numbers
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from pybinnet import BinaryConnectClassifier, BinaryConnectRegressor, SaveCheckpoint, _engine
from pybinnet import _appendix as appendix

X = images(400, 9)
KINDS = {
    "classes": (BinaryConnectClassifier, labels(X)),
    "numbers": (BinaryConnectRegressor, numbers(X)),
    "labels": (BinaryConnectClassifier, X[:, :3] > 127),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def parameters(**others):
    return {"hidden_layer_sizes": (24,), "max_iter": 6, "random_state": 3, **others}


def digests(estimator):
    return [sha256(data).hexdigest() for data in (estimator.checkpoint_, estimator.model_)]


def checkpoints_of(estimator, *data, **weights):
    """The checkpoint after each epoch of a fit."""
    found = []
    estimator.set_params(callbacks=[lambda info: found.append(info.checkpoint())])
    estimator.fit(*data, **weights)
    return found


TESTS = Path(golden_data.__file__).parent

PROGRAM = """if True:
    import os, signal, sys
    sys.path.insert(0, sys.argv.pop(1))
    from golden_data import images, labels, numbers
    from hashlib import sha256
    from pathlib import Path
    from pybinnet import BinaryConnectClassifier, BinaryConnectRegressor, SaveCheckpoint

    name, early_stopping, path, dies_after = sys.argv[1:]
    X = images(400, 9)
    estimator_type, y = {
        "classes": (BinaryConnectClassifier, labels(X)),
        "numbers": (BinaryConnectRegressor, numbers(X)),
        "labels": (BinaryConnectClassifier, X[:, :3] > 127),
    }[name]

    def die(info):
        if info.epoch == int(dies_after):
            os.kill(os.getpid(), signal.SIGKILL)

    estimator = estimator_type(
        (24,), max_iter=6, random_state=3, early_stopping=early_stopping == "True",
        n_iter_no_change=2, warm_start=True, callbacks=[SaveCheckpoint(path), die],
    )
    if Path(path).exists():
        estimator.checkpoint_ = Path(path).read_bytes()
    estimator.fit(X, y)
    for data in (estimator.checkpoint_, estimator.model_):
        print(sha256(data).hexdigest())
"""


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_a_killed_process(name, early_stopping, tmp_path):
    """Killed after two epochs, again after one more, then let to its end."""
    estimator_type, y = KINDS[name]
    whole = estimator_type(**parameters(early_stopping=early_stopping, n_iter_no_change=2)).fit(
        X, y
    )
    path = tmp_path / "state"
    for dies_after in (2, 3, 0):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                PROGRAM,
                *map(str, (TESTS, name, early_stopping, path, dies_after)),
            ],
            capture_output=True,
            text=True,
        )
        assert done.returncode == (-signal.SIGKILL if dies_after else 0), done.stderr
        assert done.stderr == ""
    assert done.stdout.split() == digests(whole)
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


def test_a_file_cut_short_never_shows(tmp_path, monkeypatch):
    """A write that fails leaves the file of the epoch before."""
    path = tmp_path / "state"
    path.write_bytes(b"of before")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    estimator = BinaryConnectClassifier(**parameters(callbacks=[SaveCheckpoint(path)]))
    with pytest.raises(OSError, match="disk full"):
        estimator.fit(X, labels(X))
    assert path.read_bytes() == b"of before"
    assert [file.name for file in tmp_path.iterdir()] == ["state"]
    assert not hasattr(estimator, "checkpoint_")


@pytest.mark.parametrize("early_stopping", [False, True])
def test_every_epoch_is_one_to_go_on_from(kind, early_stopping):
    """The last epoch too: then there is nothing left to train."""
    estimator_type, y = kind
    weights = 1.0 + np.arange(len(X)) % 7 / 3
    given = parameters(early_stopping=early_stopping, n_iter_no_change=2)
    whole = estimator_type(**given)
    for checkpoint in checkpoints_of(whole, X, y, sample_weight=weights):
        resumed = estimator_type(**given, warm_start=True)
        resumed.checkpoint_ = checkpoint
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            resumed.fit(X, y, sample_weight=weights)
        assert digests(resumed) == digests(whole)
        assert resumed.loss_curve_ == whole.loss_curve_
        assert resumed.validation_scores_ == whole.validation_scores_
        assert resumed.validation_loss_curve_ == whole.validation_loss_curve_


def interrupted_in(monkeypatch, name, call):
    """Let Ctrl-C come while C computes in one call of a method: Python raises when it is done."""
    method, calls = getattr(_engine.Net, name), []

    def interrupting(net, *arguments):
        result = method(net, *arguments)
        calls.append(name)
        if len(calls) == call:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(_engine.Net, name, interrupting)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("call", [1, 10, 13])
def test_an_interrupt_within_an_epoch(kind, early_stopping, call, monkeypatch):
    """The step that it came in counts, and so does its loss."""
    estimator_type, y = kind
    given = parameters(early_stopping=early_stopping, n_iter_no_change=2)
    whole = estimator_type(**given).fit(X, y)
    resumed = estimator_type(**given, warm_start=True)
    step = "train_step" if y is KINDS["classes"][1] else "train_step_targets"
    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="interrupted after"):
        interrupted_in(patch, step, call)
        resumed.fit(X, y)
    assert digests(resumed.fit(X, y)) == digests(whole)
    assert resumed.loss_curve_ == whole.loss_curve_


@pytest.mark.parametrize("call", [1, 2])
def test_an_interrupt_while_the_best_state_is_kept(call, monkeypatch):
    """The best network stays that of before, if there is one."""
    estimator_type, y = KINDS["numbers"]
    given = parameters(early_stopping=True, n_iter_no_change=2)
    whole = estimator_type(**given).fit(X, y)
    resumed = estimator_type(**given, warm_start=True)
    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="interrupted after"):
        interrupted_in(patch, "checkpoint", call)
        resumed.fit(X, y)
    resumed.predict(X)
    assert digests(resumed.fit(X, y)) == digests(whole)
    assert resumed.validation_scores_ == whole.validation_scores_
    assert resumed.validation_loss_curve_ == whole.validation_loss_curve_


def test_random_state_need_not_be_known(kind):
    """The checkpoint has the seed, also if the estimator was fitted with another."""
    estimator_type, y = kind
    whole = estimator_type(**parameters())
    checkpoint = checkpoints_of(whole, X, y)[1]
    for fitted_before in (False, True):
        resumed = estimator_type(**parameters(random_state=9, warm_start=True))
        if fitted_before:
            resumed.fit(X, y)
        resumed.checkpoint_ = checkpoint
        assert digests(resumed.fit(X, y)) == digests(whole)


WEIGHTS = 1.5 + np.arange(len(X)) % 2


@pytest.mark.parametrize(
    ("changed", "rows", "weights"),
    [
        ({}, slice(300), WEIGHTS),
        ({}, slice(None, None, -1), WEIGHTS),  # shuffle=False: the order counts
        ({}, slice(None), WEIGHTS[::-1]),
        ({}, slice(None), None),
        ({"max_iter": 7}, slice(None), WEIGHTS),
        ({"learning_rate_init": 2**-7}, slice(None), WEIGHTS),
        ({"shuffle": True}, slice(None), WEIGHTS),
    ],
    ids=["rows", "order", "weights", "no weights", "epochs", "rate", "shuffle"],
)
def test_on_other_rows_or_parameters_it_begins_anew(kind, changed, rows, weights):
    estimator_type, y = kind
    given = parameters(shuffle=False)
    checkpoint = checkpoints_of(estimator_type(**given), X, y, sample_weight=WEIGHTS)[2]
    other = estimator_type(**{**given, "warm_start": True, **changed})
    other.checkpoint_ = checkpoint
    with pytest.warns(UserWarning, match="on other rows or with other parameters; fit begins"):
        other.fit(X[rows], y[rows], sample_weight=None if weights is None else weights[rows])
    assert other.n_iter_ == other.max_iter
    assert other.checkpoint_ != checkpoint


def test_other_proportions_of_classes_are_no_obstacle():
    """The outputs' scales are of the first fit; the rows that follow may have other classes."""
    y = labels(X)
    first = BinaryConnectClassifier(**parameters()).fit(X, y)
    rare = np.r_[np.flatnonzero(y == 0)[:3], np.flatnonzero(y != 0)]
    again = BinaryConnectClassifier(**parameters(warm_start=True))
    again.checkpoint_ = first.checkpoint_
    again.fit(X[rare], y[rare])
    assert again.n_iter_ == 6
    kept = BinaryConnectClassifier(**parameters(warm_start=True)).fit(X, y).fit(X[rare], y[rare])
    assert digests(again) == digests(kept)


def test_another_encoding_is_another_fit():
    """An encoder that was fitted on other rows stays, so the fit is not the one of the file."""
    y, tables = labels(X), (X / 3, X**1.5)
    checkpoint = checkpoints_of(BinaryConnectClassifier(**parameters()), tables[0], y)[2]
    fitted = BinaryConnectClassifier(**parameters(warm_start=True)).fit(tables[1], y)
    fitted.checkpoint_ = checkpoint
    with pytest.warns(UserWarning, match="on other rows"):
        fitted.fit(tables[0], y)


def whole_checkpoint():
    estimator = BinaryConnectClassifier(**parameters())
    return checkpoints_of(estimator, X, labels(X))[2]


WHOLE = whole_checkpoint()
N_LAYERS = 44  # offset, libbinnet/FORMAT.md


@pytest.mark.parametrize(
    ("checkpoint", "error", "message"),
    [
        (None, TypeError, "checkpoint_ is of type NoneType; give bytes"),
        ("a file name", TypeError, "checkpoint_ is of type str; give bytes"),
        (b"", ValueError, "checkpoint_ is no checkpoint of libbinnet"),
        (b"BINNETMD" + WHOLE[8:], ValueError, "checkpoint_ is no checkpoint of libbinnet"),
        (WHOLE[:40], ValueError, "checkpoint_ is no checkpoint of libbinnet"),
        (WHOLE[:60], ValueError, "checkpoint_ is damaged: it has no header of its layers"),
        (WHOLE[:81], ValueError, "checkpoint_ is damaged: it ends before the scales"),
        (WHOLE[:N_LAYERS] + bytes(4) + WHOLE[48:], ValueError, "damaged: it has no header"),
        (WHOLE[:900], ValueError, "the checkpoint: the file is shorter or longer than"),
        (WHOLE + bytes(4), ValueError, "the checkpoint: the file is shorter or longer than"),
        (WHOLE[:-9] + b"x" + WHOLE[-8:], ValueError, "the checkpoint: .* its CRC-32 is wrong"),
        (WHOLE[:200] + b"x" + WHOLE[201:], ValueError, "the checkpoint: .* its CRC-32 is wrong"),
    ],
)
@pytest.mark.parametrize("fitted", [False, True])
def test_a_damaged_checkpoint_changes_nothing(checkpoint, error, message, fitted):
    estimator = BinaryConnectClassifier(**parameters(warm_start=True))
    if fitted:
        estimator.fit(X, labels(X))
    estimator.checkpoint_ = checkpoint
    before = dict(vars(estimator))
    with pytest.raises(error, match=message):
        estimator.fit(X, labels(X))
    assert vars(estimator) == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BinaryConnectClassifier((8,)).fit(X, labels(X)), "hidden_layer_sizes"),
        (lambda: BinaryConnectClassifier((24,), solver="adamax").fit(X, labels(X)), "solver"),
        (lambda: BinaryConnectClassifier((24,)).fit(X, labels(X) % 2), "outputs"),
        (lambda: BinaryConnectClassifier((24,)).fit(X[:, :5], labels(X)), "a net of 5 features"),
        (lambda: BinaryConnectRegressor((24,)).fit(X, numbers(X)), "outputs"),
    ],
)
def test_a_checkpoint_of_another_net_is_refused(make, message):
    estimator = BinaryConnectClassifier(**parameters(warm_start=True))
    estimator.checkpoint_ = make().set_params(max_iter=1).checkpoint_
    before = dict(vars(estimator))
    with pytest.raises(ValueError, match=message):
        estimator.fit(X, labels(X))
    assert vars(estimator) == before


def test_partial_fit_cannot_begin_from_a_bare_checkpoint():
    estimator = BinaryConnectClassifier(**parameters())
    estimator.checkpoint_ = WHOLE
    with pytest.raises(ValueError, match=r"was not fitted, though checkpoint_ .* joblib\.dump"):
        estimator.partial_fit(X, labels(X), classes=[0, 1, 2])


@pytest.mark.parametrize(
    "changed",
    [
        {"losses": "abc"},
        {"losses": 5},
        {"losses": []},
        {"scores": [None, None, None]},
        {"first_step": "x"},
        {"first_step": -3},
        {"loss_sum": None},
        {"best_epoch": 99},
        {"best_epoch": "a"},
        {"blobs": [10**9, 1]},
        {"blobs": [-5, 3]},
        {"blobs": "ab"},
        {"later": 1},
    ],
    ids=str,
)
def test_an_appendix_of_others_changes_nothing(changed):
    given = parameters(early_stopping=True)
    checkpoint = checkpoints_of(BinaryConnectClassifier(**given), X, labels(X))[2]
    bare = len(BinaryConnectClassifier(**given).fit(X, labels(X)).checkpoint_)
    values, blob = appendix.split(checkpoint, bare)
    estimator = BinaryConnectClassifier(**given, warm_start=True)
    state = appendix.append(appendix.strip(checkpoint, bare), {**values, **changed}, blob)
    estimator.checkpoint_ = state
    before = dict(vars(estimator))
    with pytest.raises(ValueError, match="checkpoint_ has an appendix of another version"):
        estimator.fit(X, labels(X))
    assert vars(estimator) == before


progress_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-2, 40) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def underway():
    """A fit that has not ended: its parameters, its checkpoint without appendix, the appendix."""
    given = parameters(early_stopping=True)
    checkpoint = checkpoints_of(BinaryConnectClassifier(**given), X, labels(X))[2]
    bare = len(BinaryConnectClassifier(**given).fit(X, labels(X)).checkpoint_)
    return given, appendix.strip(checkpoint, bare), *appendix.split(checkpoint, bare)


OTHER_MODEL = BinaryConnectClassifier(**parameters()).fit(X[:, :5], labels(X)).model_


@pytest.mark.parametrize(
    ("changed", "best_model"),
    [
        ({"first_step": 5}, b""),
        ({"first_step": 2**31}, b""),
        ({"losses": [1.0] * 5}, b""),
        ({"blobs": [0, 0]}, b""),
        ({}, bytes(100)),
        ({}, OTHER_MODEL),
    ],
    ids=range(6),
)
def test_an_appendix_of_another_net_changes_nothing(underway, changed, best_model):
    given, bare, values, blob = underway
    if best_model:
        size = values["blobs"][0]
        changed, blob = {"blobs": [size, len(best_model)]}, blob[:size] + best_model
    estimator = BinaryConnectClassifier(**given, warm_start=True)
    estimator.checkpoint_ = appendix.append(bare, {**values, **changed}, blob)
    before = dict(vars(estimator))
    with pytest.raises(ValueError, match=r"has an appendix of another net: (its|of the best one)"):
        estimator.fit(X, labels(X))
    assert vars(estimator) == before


@settings(deadline=None, max_examples=150)
@drawn(st.data())
def test_any_edit_of_an_appendix_is_refused_or_works(underway, data):
    given, bare, values, blob = underway
    values = json.loads(json.dumps(values))
    for key in data.draw(st.lists(st.sampled_from(sorted(values)), min_size=1, max_size=2)):
        old = values[key]
        if isinstance(old, list) and old and data.draw(st.booleans()):
            old[data.draw(st.integers(0, len(old) - 1))] = data.draw(progress_values)
        else:
            values[key] = data.draw(progress_values)
    estimator = BinaryConnectClassifier(**given, warm_start=True)
    estimator.checkpoint_ = appendix.append(bare, values, blob)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other rows, which another fingerprint means
        try:
            estimator.fit(X, labels(X))
        except ValueError as error:
            assert "checkpoint_ has an appendix of another" in str(error)
            return
    assert set(estimator.predict(X).tolist()) <= {0, 1, 2}
