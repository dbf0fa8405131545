"""What holds of any small data, parameters and files; the examples are the same in every run."""

import os
import tracemalloc
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from golden_data import images, labels, numbers
from hypothesis import assume, example, given, reject, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone

from pybinnet import (
    BinaryConnectClassifier,
    BinaryConnectRegressor,
    Conv2D,
    Dense,
    MaxPool2D,
    PackedBits,
    PiecewiseLinearEncoder,
    _engine,
    count_operations,
    evaluate_latent,
    export_c,
    load_model,
    pack_bits,
    save_model,
    xnor_matmul,
)
from pybinnet import _appendix as appendix

properties = settings(deadline=None, max_examples=60)


@contextmanager
def isa(name):
    """An instruction set for a block; the fixture is for whole tests."""
    before = os.environ.get("BINNET_ISA")
    os.environ["BINNET_ISA"] = name
    try:
        yield
    finally:
        del os.environ["BINNET_ISA"]
        if before is not None:
            os.environ["BINNET_ISA"] = before


# Estimators

units = st.integers(1, 9)
hidden = st.one_of(
    st.builds(lambda sizes: {"hidden_layer_sizes": tuple(sizes)}, st.lists(units, max_size=3)),
    st.builds(
        lambda conv, pool, dense: {
            "layers": [conv, *([MaxPool2D(pool)] if pool else []), *map(Dense, dense)],
            "input_shape": (4, 3, 1),
        },
        st.builds(
            Conv2D,
            units,
            st.integers(1, 3),
            st.sampled_from(["same", "valid"]),
            st.just(1),
        ),
        st.sampled_from([0, 1]),
        st.lists(units, max_size=1),
    ),
    st.just({"layers": [Conv2D(8, 3, stride=2), MaxPool2D(2)], "input_shape": (4, 3, 1)}),
)
methods = st.fixed_dictionaries(
    {},
    optional={
        "weights": st.sampled_from(["binary", "ternary"]),
        "binarization": st.sampled_from(["deterministic", "stochastic"]),
        "activation": st.sampled_from(["relu", "sign"]),
        "solver": st.sampled_from(["sgd", "adamax"]),
        "quantized_backprop": st.booleans(),
        "dropout": st.sampled_from([0.0, 0.25]),
        "input_dropout": st.sampled_from([0.0, 0.25]),
        "weight_decay": st.sampled_from([0.0, 2.0**-5]),
        "batch_size": st.integers(4, 20),
        "random_state": st.integers(0, 2**32 - 1),
        "shuffle": st.booleans(),
        "early_stopping": st.booleans(),
    },
)
N_COLUMNS = 12
tables = st.one_of(
    st.builds(lambda n: images(n, N_COLUMNS), st.integers(6, 40)),
    hnp.arrays(np.uint8, st.tuples(st.integers(6, 20), st.just(N_COLUMNS))),
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(6, 20), st.just(N_COLUMNS)),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    ),
)
alphabets = st.sampled_from(
    [[0, 1], [-7, 3, 2**40], [-2.0, 3.0, 1e9], ["", "é\u2028", "long " * 9], [False, True]]
)


@st.composite
def problems(draw):
    """An estimator, the rows it is to be fitted on, and what is wanted of them."""
    layout = draw(hidden)
    parameters = {**layout, **draw(methods)}
    shallow = not layout.get("hidden_layer_sizes", True)
    if shallow:
        parameters.update(activation="relu", dropout=0.0)
    parameters.setdefault("random_state", 0)
    X = draw(tables)
    if "layers" in layout:
        assume(X.min() < X.max())
    of_rows = images(len(X), 3)
    if draw(st.booleans()):
        classes = np.array(draw(alphabets))
        y = classes[of_rows[:, 0] % len(classes)]
        y[: len(classes)] = classes
        return BinaryConnectClassifier(max_iter=2, **parameters), X, y
    y = draw(st.sampled_from([numbers(of_rows), of_rows / 7, of_rows[:, 0] * 1e300]))
    return BinaryConnectRegressor(max_iter=2, **parameters), X, y


def fitted(estimator, X, y):
    """A fitted copy, of the same bits by all instruction sets."""
    results = []
    for name in _engine.supported_isas():
        with isa(name):
            again = clone(estimator)
            try:
                again.fit(X, y)
            except ValueError as error:  # of early stopping with few rows
                assert "validation_fraction" in str(error) or "least populated" in str(error)
                reject()
            results.append((again.checkpoint_, again.model_, again.predict(X).tolist()))
    assert all(result == results[0] for result in results)
    return again


@properties
@given(problems())
def test_any_fit_predicts_what_it_was_given(problem):
    estimator, X, y = problem
    again = fitted(estimator, X, y)
    predicted = again.predict(X)
    assert predicted.shape == y.shape and predicted.dtype.kind == again.predict(X[:1]).dtype.kind
    if isinstance(again, BinaryConnectClassifier):
        assert set(predicted.tolist()) <= set(again.classes_.tolist()) == set(y.tolist())
        shares = again.predict_proba(X)
        np.testing.assert_allclose(shares.sum(axis=1), 1)
    else:
        assert (y.min(axis=0) <= predicted).all() and (predicted <= y.max(axis=0)).all()


@properties
@given(problems(), st.data())
def test_any_estimator_is_saved(tmp_path_factory, problem, data):
    estimator, X, y = problem
    try:
        estimator.fit(X, y)
    except ValueError:  # as above
        reject()
    path = tmp_path_factory.getbasetemp() / "property"
    save_model(estimator, path)
    again = load_model(path)
    assert again.model_ == estimator.model_
    expected = estimator.predict(X)
    found = again.predict(X)
    assert found.dtype == expected.dtype and np.array_equal(found, expected)
    whole = path.read_bytes()
    save_model(again, path)
    assert path.read_bytes() == whole

    at = data.draw(st.integers(0, len(whole) - 1), label="at")
    kind = data.draw(st.sampled_from(["cut", "flip", "insert", "remove", "repeat"]))
    damaged = {
        "cut": whole[:at],
        "flip": whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :],
        "insert": whole[:at] + data.draw(st.binary(min_size=1, max_size=9)) + whole[at:],
        "remove": whole[:at] + whole[at + data.draw(st.integers(1, 9)) :],
        "repeat": whole + whole[at:],
    }[kind]
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="property cannot be loaded: "):
        load_model(path)


@properties
@given(hidden, methods)
def test_parameters_come_back(layout, method):
    for kind in (BinaryConnectClassifier, BinaryConnectRegressor):
        estimator = kind(**layout, **method)
        parameters = estimator.get_params()
        assert parameters == parameters | layout | method
        assert clone(estimator).get_params() == parameters
        assert kind().set_params(**parameters).get_params() == parameters


# What is no data

anything = st.one_of(
    hnp.arrays(
        st.one_of(
            hnp.scalar_dtypes(),
            hnp.array_dtypes(),
            hnp.byte_string_dtypes(),
            hnp.unicode_string_dtypes(),
            st.just(np.dtype(object)),
        ).filter(lambda dtype: not dtype.hasobject),
        st.one_of(  # those of the data that there is, and any
            st.sampled_from([(9, 2), (9,), (9, 1), (1, 2)]),
            hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7),
        ),
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(),
        lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=2), inner),
        max_leaves=30,
    ),
    st.sampled_from([object(), len, ..., np.ma.masked, iter([1]), 10**400, {1, 2}]),
)


def refused_or_done(call):
    """Any exception but a TypeError or ValueError that says something fails."""
    try:
        call()
    except (TypeError, ValueError) as error:
        assert len(str(error)) > 9


@settings(properties, max_examples=200)
@given(anything, anything)
def test_any_objects_are_data_or_refused(X, y):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for kind in (BinaryConnectClassifier, BinaryConnectRegressor):
            small = kind((3,), max_iter=1, random_state=0)
            refused_or_done(lambda small=small: small.fit(X, y))
            refused_or_done(lambda small=small: small.fit(images(9, 2), y))
            refused_or_done(lambda kind=kind: FITTED[kind].predict(X))
            refused_or_done(lambda kind=kind: FITTED[kind].score(images(9, 2), y))
        refused_or_done(lambda: FITTED[BinaryConnectClassifier].predict_proba(X))
        refused_or_done(lambda: PiecewiseLinearEncoder().fit_transform(X))
        refused_or_done(lambda: pack_bits(X))
        refused_or_done(lambda: xnor_matmul(X, y))
        refused_or_done(lambda: PackedBits(X, 3))


FITTED = {
    kind: kind((3,), max_iter=1, random_state=0).fit(images(9, 2), np.arange(9) % 2)
    for kind in (BinaryConnectClassifier, BinaryConnectRegressor)
}


# Checkpoints from strangers

X = images(30, N_COLUMNS)
TRAINED = [
    BinaryConnectClassifier((5,), max_iter=2, random_state=0).fit(X, labels(X)),
    BinaryConnectClassifier(
        layers=[Conv2D(4, 3), MaxPool2D(2), Dense(3)],
        input_shape=(4, 3, 1),
        solver="adamax",
        max_iter=2,
        random_state=0,
    ).fit(X, labels(X)),
]


def uses(estimator):
    """All that reads a checkpoint."""
    return [
        lambda: clone_with(estimator, warm_start=True).fit(X, labels(X)),
        lambda: clone_with(estimator).partial_fit(X, labels(X)),
        lambda: clone_with(estimator).coefs_,
        lambda: count_operations(clone_with(estimator)),
        lambda: evaluate_latent(clone_with(estimator), X, labels(X), X),
        lambda: export_c(clone_with(estimator), os.devnull, checkpoint=True),
    ]


def clone_with(estimator, **parameters):
    """A copy with its fitted attributes."""
    copy = clone(estimator)
    vars(copy).update(vars(estimator))
    return copy.set_params(**parameters)


def refused_or_works(trained, words):
    """Any use of a checkpoint with other words in its header, and the right length and checksum."""
    header = np.frombuffer(trained.checkpoint_, "<u4").copy()
    for at, word in words:
        header[at] = word
    changed = header.tobytes()
    estimator = clone_with(trained)
    estimator.checkpoint_ = appendix._sealed(changed, changed[24:-4])
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for use in uses(estimator):
            refused_or_done(use)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26


WORDS = range(3, 24)  # behind the version, up to the second layer's or beyond


@pytest.mark.untraced
@pytest.mark.parametrize("at", WORDS)
def test_a_checkpoint_with_another_word_is_refused_or_works(at):
    for trained in TRAINED:
        word = int.from_bytes(trained.checkpoint_[4 * at : 4 * at + 4], "little")
        for other in (0, word + 1, word & 0xFFFFFF, 2**32 - 1):
            refused_or_works(trained, [(at, other % 2**32)])


words = st.one_of(
    st.sampled_from([0, 1, 2, 2**31, 2**32 - 1]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 31).map(lambda bit: 1 << bit),
)


@pytest.mark.untraced
@properties
@example(TRAINED[1], [(3, 0), (21, 4)])  # of more classes
@given(st.sampled_from(TRAINED), st.lists(st.tuples(st.sampled_from(WORDS), words), min_size=2))
def test_a_checkpoint_with_other_words_is_refused_or_works(trained, changed):
    refused_or_works(trained, changed)
