"""BinaryConnectClassifier as its users meet it."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import reference
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_blobs, make_moons
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pybinnet import BinaryConnectClassifier, EpochInfo, evaluate_latent
from pybinnet._parameters import rate_exponents


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split((X * 15).astype(np.uint8), y, random_state=0, stratify=y)


def small(**parameters):
    return BinaryConnectClassifier(
        **{"hidden_layer_sizes": (32,), "max_iter": 5, "random_state": 0, **parameters}
    )


# It learns


def test_digits(digits):
    X_train, X_test, y_train, y_test = digits
    classifier = BinaryConnectClassifier(random_state=0).fit(X_train, y_train)
    assert classifier.score(X_test, y_test) > 0.96
    assert len(classifier.model_) < 30_000
    assert classifier.loss_curve_[-1] < classifier.loss_curve_[0] / 10
    assert classifier.loss_ == classifier.loss_curve_[-1]
    assert classifier.n_iter_ == len(classifier.loss_curve_)


@pytest.mark.parametrize(
    ("data", "least"),
    [
        (make_moons(1000, noise=0.2, random_state=0), 0.93),
        (make_blobs(1000, centers=5, cluster_std=1.0, random_state=3), 0.90),
        (load_iris(return_X_y=True), 0.92),
        (load_breast_cancer(return_X_y=True), 0.94),
    ],
    ids=["moons", "blobs", "iris", "breast cancer"],
)
def test_tables_of_floats(data, least):
    classifier = BinaryConnectClassifier(hidden_layer_sizes=(128,), random_state=0)
    assert cross_val_score(classifier, *data, cv=3).mean() > least


METHODS = [
    {"binarization": "stochastic"},
    {"weights": "ternary"},
    {"weights": "ternary", "binarization": "stochastic"},
    {"activation": "sign"},
    {"activation": "sign", "weights": "ternary", "dropout": 0.1},
    {"solver": "adamax"},
    {"quantized_backprop": False},
    {"dropout": 0.25},
    {"input_dropout": 0.1},
    {"weight_decay": 0.25},
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_every_method_learns_and_is_deployed(digits, method):
    X_train, X_test, y_train, y_test = digits
    classifier = BinaryConnectClassifier(random_state=0, max_iter=60, **method)
    classifier.fit(X_train, y_train)
    assert classifier.score(X_test, y_test) > 0.95
    latent = evaluate_latent(classifier, X_test, y_test, X_train)
    # Latent weights are no deployed form of deterministic ones: only of stochastic ones the mean.
    assert latent > (0.95 if method.get("binarization") == "stochastic" else 0.5)
    bits = 8 * len(classifier.model_)
    n_weights = 64 * 256 + 256 * 256 + 256 * 10
    assert bits < n_weights * (2 if method.get("weights") == "ternary" else 1) + 256 * 3 * 64


def test_latent_evaluation_is_of_real_valued_weights(digits):
    """Against the rule in floats, of weights read from the checkpoint by the reference."""
    X_train, X_test, y_train, y_test = digits
    classifier = small(binarization="stochastic", max_iter=30, random_state=1)
    classifier.fit(X_train, y_train)
    a, a_train = X_test.astype(float), X_train.astype(float)
    layers = reference.ReferenceNet.restore(classifier.checkpoint_).layers
    for layer in layers:
        z, z_train = (rows @ (layer.W / 32768).T for rows in (a, a_train))
        s = 1.25 * np.abs(z_train - z_train.mean(axis=0)).mean(axis=0)
        a, a_train = (
            layer.T * (rows - z_train.mean(axis=0)) / s + layer.beta / 256 for rows in (z, z_train)
        )
        if layer is not layers[-1]:
            a, a_train = np.clip(a, 0, 127), np.clip(a_train, 0, 127)
    expected = np.mean(classifier.classes_[a.argmax(axis=1)] == y_test)
    latent = evaluate_latent(classifier, X_test, y_test, X_train)
    assert latent == pytest.approx(expected, abs=2 / len(y_test))
    assert latent != classifier.score(X_test, y_test)


@pytest.mark.parametrize("labels", [np.arange(2000) % 2, np.arange(4000).reshape(2000, 2) % 3 % 2])
def test_logarithms_are_finite_where_margins_are_large(labels, recwarn):
    """Rows far from all training rows: but for four of these, columns are 0."""
    X = np.zeros((2000, 300), dtype=np.uint8)
    X[0], X[1:4, :100] = 255, 255
    classifier = BinaryConnectClassifier((), max_iter=3, random_state=0).fit(X, labels)
    logarithms, shares = classifier.predict_log_proba(X), classifier.predict_proba(X)
    assert np.abs(classifier.decision_function(X)).max() > 200
    assert np.isfinite(logarithms).all() and logarithms.max() <= 0
    assert logarithms.min() < -700 and shares.min() == 0
    assert np.allclose(np.exp(logarithms), shares)
    assert not recwarn.list


def test_latent_evaluation_of_named_columns(digits, recwarn):
    pandas = pytest.importorskip("pandas")
    X_train, X_test, y_train, y_test = digits
    names = [f"pixel{i}" for i in range(64)]
    train, test = (pandas.DataFrame(X, columns=names) for X in (X_train, X_test))
    classifier = small().fit(train, y_train)
    latent = evaluate_latent(classifier, test, y_test, train)
    assert latent == evaluate_latent(small().fit(X_train, y_train), X_test, y_test, X_train)
    assert not recwarn.list
    with pytest.raises(ValueError, match="feature names should match"):
        evaluate_latent(classifier, test.rename(columns={"pixel0": "other"}), y_test, train)


def test_warm_start_of_another_method_is_refused(digits):
    X_train, _, y_train, _ = digits
    for name, value in [
        ("weights", "ternary"),
        ("binarization", "stochastic"),
        ("activation", "sign"),
        ("solver", "adamax"),
        ("quantized_backprop", False),
        ("dropout", 0.5),
        ("input_dropout", 0.5),
        ("weight_decay", 0.5),
    ]:
        classifier = small(warm_start=True).fit(X_train, y_train)
        before = classifier.checkpoint_
        classifier.set_params(**{name: value})
        with pytest.raises(ValueError, match=f"needs the {name} of the previous fit, .*, got"):
            classifier.fit(X_train, y_train)
        assert classifier.checkpoint_ == before


def test_rates_follow_the_method():
    def exponents(**parameters):
        return rate_exponents(BinaryConnectClassifier(**parameters))

    assert exponents() == (4, 10)
    assert exponents(learning_rate_init=2**-12) == (12, 12)
    assert exponents(learning_rate_final=2**-7) == (4, 7)
    assert exponents(binarization="stochastic") == (3, 10)
    assert exponents(activation="sign") == (5, 10)


def test_labels_of_any_kind():
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)[y]
    classifier = small(max_iter=20).fit(X, names)
    assert classifier.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert set(classifier.predict(X)) <= set(names)
    assert classifier.score(X, names) > 0.9


def test_outputs_agree(digits):
    X_train, X_test, y_train, _ = digits
    classifier = small().fit(X_train, y_train)
    margins, probabilities = classifier.decision_function(X_test), classifier.predict_proba(X_test)
    assert margins.shape == probabilities.shape == (len(X_test), 10)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities > 0).all()
    assert np.array_equal(margins.argmax(axis=1), classifier.predict(X_test))
    assert np.array_equal(probabilities.argmax(axis=1), classifier.predict(X_test))
    binary = small().fit(X_train, y_train > 4)
    assert binary.decision_function(X_test).shape == (len(X_test),)
    assert np.array_equal(binary.decision_function(X_test) > 0, binary.predict(X_test))


# The same bytes everywhere


def test_bytes_do_not_depend_on_isa_or_threads(digits, isa, monkeypatch):
    X_train, _, y_train, _ = digits
    states = {
        (classifier.checkpoint_, classifier.model_)
        for classifier in (small(n_jobs=n).fit(X_train, y_train) for n in (1, 2))
    }
    monkeypatch.setenv("BINNET_ISA", "portable")
    portable = small().fit(X_train, y_train)
    assert states == {(portable.checkpoint_, portable.model_)}


def test_random_state(digits):
    X_train, _, y_train, _ = digits
    first, again = small().fit(X_train, y_train), small().fit(X_train, y_train)
    other = small(random_state=1).fit(X_train, y_train)
    assert first.checkpoint_ == again.checkpoint_
    assert first.model_ == again.model_ != other.model_
    generator = np.random.RandomState(0)
    assert small(random_state=generator).fit(X_train, y_train).model_ == first.model_
    assert small(random_state=generator).fit(X_train, y_train).model_ != first.model_


# With the rest of scikit-learn


def test_pipeline_grid_search_clone_pickle(digits):
    X, y = load_iris(return_X_y=True)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), small()),
        {"binaryconnectclassifier__hidden_layer_sizes": [(8,), (64, 64)]},
        cv=3,
    ).fit(X, y)
    assert search.best_score_ > 0.85
    classifier = small().fit(X, y)
    copy = clone(classifier)
    assert copy.get_params() == classifier.get_params()
    assert not hasattr(copy, "model_")
    thawed = pickle.loads(pickle.dumps(classifier))
    assert np.array_equal(thawed.decision_function(X), classifier.decision_function(X))
    calibrated = CalibratedClassifierCV(small(), cv=2).fit(X, y)
    assert calibrated.score(X, y) > 0.8


def test_feature_names():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(load_iris().data, columns=["a", "b", "c", "d"])
    classifier = small().fit(frame, load_iris().target)
    assert classifier.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(frame.rename(columns={"a": "z"}))


# Options


def test_callbacks_see_every_epoch_and_can_stop(digits):
    X_train, _, y_train, _ = digits
    seen = []

    def stop_at_three(info):
        seen.append(info)
        return info.epoch == 3

    classifier = small(callbacks=[stop_at_three]).fit(X_train, y_train)
    assert classifier.n_iter_ == 3
    assert [info.epoch for info in seen] == [1, 2, 3]
    assert isinstance(seen[-1], EpochInfo)
    assert (seen[-1].n_epochs, seen[-1].loss) == (5, classifier.loss_)
    assert seen[-1].validation_score is None
    assert seen[-1].deploy() == classifier.model_
    assert seen[-1].validation_loss is None
    looking = small(callbacks=[lambda info: bool(info.deploy()) and None]).fit(X_train, y_train)
    assert looking.checkpoint_ == small().fit(X_train, y_train).checkpoint_


def test_early_stopping_keeps_the_best(digits):
    X_train, _, y_train, _ = digits
    classifier = small(early_stopping=True, n_iter_no_change=3, max_iter=60).fit(X_train, y_train)
    scores = classifier.validation_scores_
    assert len(scores) == classifier.n_iter_ < 60
    best = int(np.argmax(scores))
    assert best >= len(scores) - 1 - 3
    stopped = small(
        early_stopping=True, max_iter=60, callbacks=[lambda info: info.epoch == best + 1]
    )
    assert stopped.fit(X_train, y_train).model_ == classifier.model_
    assert small().fit(X_train, y_train).validation_scores_ is None


def test_warm_start_goes_on(digits):
    X_train, _, y_train, _ = digits
    classifier = small(warm_start=True).fit(X_train, y_train)
    first = classifier.checkpoint_
    classifier.fit(X_train, y_train)
    assert classifier.checkpoint_ != first
    assert classifier.loss_curve_[0] < small().fit(X_train, y_train).loss_curve_[0] / 2
    with pytest.raises(ValueError, match="warm_start=True needs the classes of the previous fit"):
        classifier.fit(X_train, y_train + 1)
    for name, value, before in [("hidden_layer_sizes", (9,), r"\(32,\)"), ("batch_size", 9, "64")]:
        changed = clone(classifier).fit(X_train, y_train).set_params(**{name: value})
        with pytest.raises(ValueError, match=f"needs the {name} of the previous fit, {before}"):
            changed.fit(X_train, y_train)


def test_warm_start_keeps_the_validation_rows(digits):
    """Rows held out by the first fit must not be trained on by the second."""
    X_train, _, y_train, _ = digits
    noise = np.random.RandomState(0).permutation(y_train)  # nothing to learn but by heart
    classifier = BinaryConnectClassifier(
        (256,), warm_start=True, early_stopping=True, max_iter=30, n_iter_no_change=30
    )
    for _ in range(3):
        classifier.fit(X_train, noise)
    assert max(classifier.validation_scores_) < 0.3


def test_callback_may_answer_with_numpy(digits):
    X_train, _, y_train, _ = digits
    classifier = small(callbacks=[lambda info: np.bool_(info.epoch == 2)]).fit(X_train, y_train)
    assert classifier.n_iter_ == 2


def test_order_of_the_rows_does_not_spoil_the_statistics(digits):
    """Calibration batches of sorted data would be of one class each."""
    X_train, X_test, y_train, y_test = digits
    by_class = np.argsort(y_train, kind="stable")
    classifier = small(hidden_layer_sizes=(64,) * 3, max_iter=20)
    shuffled = classifier.fit(X_train, y_train).score(X_test, y_test)
    assert classifier.fit(X_train[by_class], y_train[by_class]).score(X_test, y_test) > (
        shuffled - 0.015
    )


def test_early_stopping_of_few_rows():
    with pytest.raises(ValueError, match="leaves 1 of 2 different rows to train on"):
        small(early_stopping=True).fit([[0.0], [1.0]], [0, 1])
    X, y = np.arange(10.0)[:, None], np.arange(10) % 3
    small(early_stopping=True, validation_fraction=0.8).fit(X, y)


def test_shuffle(digits):
    X_train, _, y_train, _ = digits
    assert small(shuffle=False).fit(X_train, y_train).model_ != small().fit(X_train, y_train).model_


def test_verbose_shows_loss_and_score(digits, capsys):
    X_train, _, y_train, _ = digits
    small(verbose=True, early_stopping=True).fit(X_train, y_train)
    shown = capsys.readouterr().err
    assert "loss=" in shown
    assert "validation=" in shown
    small().fit(X_train, y_train)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("epoch", [1, 3])
def test_interrupt_leaves_a_usable_model(digits, epoch):
    X_train, X_test, y_train, _ = digits

    def interrupt(info):
        if info.epoch == epoch:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match=f"interrupted after {epoch} of 5 epochs"):
        classifier = small(callbacks=[interrupt]).fit(X_train, y_train)
    assert classifier.n_iter_ == epoch
    assert classifier.predict(X_test).shape == (len(X_test),)


@pytest.mark.untraced
def test_interrupt_by_signal():
    program = """if True:
        import numpy as np, os, signal, threading, warnings
        from pybinnet import BinaryConnectClassifier
        signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it behind &
        X, y = np.random.RandomState(0).rand(2000, 9), np.arange(2000) % 5
        threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
        classifier = BinaryConnectClassifier(max_iter=10**6, n_jobs=2).fit(X, y)
        assert 0 < classifier.n_iter_ < 10**6
        classifier.predict(X)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Training interrupted after" in done.stderr


def test_interrupt_before_the_first_epoch_ends(digits, monkeypatch):
    from pybinnet import _engine

    X_train, X_test, y_train, _ = digits

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_engine.Net, "train_step", interrupt)
    with pytest.warns(UserWarning, match="interrupted after 0 of 5 epochs"):
        classifier = small().fit(X_train, y_train)
    assert classifier.n_iter_ == 0
    assert np.isnan(classifier.loss_)
    assert classifier.predict(X_test).shape == (len(X_test),)


def test_counts_of_uint8_are_numbers(digits):
    """They would be faint as bytes; images are bytes."""
    X, y = load_digits(return_X_y=True)
    counts = small().fit(X.astype(np.uint8), y).encoder_
    assert not counts.identity_
    assert np.array_equal(counts.transform(X), small().fit(X, y).encoder_.transform(X))
    assert small().fit(digits[0], digits[2]).encoder_.identity_
