"""What is refused: each with an error that says what was wrong, and nothing is changed by it."""

import numpy as np
import pytest
import scipy.sparse
from golden_data import images, labels, numbers
from sklearn.exceptions import NotFittedError

from pybinnet import (
    BinaryConnectClassifier,
    BinaryConnectRegressor,
    Conv2D,
    Dense,
    MaxPool2D,
    PiecewiseLinearEncoder,
)

X = images(20, 2) / 2
Y = np.arange(20) % 2
NUMBERS = numbers(images(20, 3))


def small(kind=BinaryConnectClassifier, **parameters):
    return kind(**{"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0, **parameters})


def fitted(kind):
    return small(kind).fit(X, Y if kind is BinaryConnectClassifier else NUMBERS)


@pytest.fixture(params=[BinaryConnectClassifier, BinaryConnectRegressor])
def estimator(request):
    return fitted(request.param)


def refused(estimator, error, message, method, *arguments, **named):
    """A call is refused, fitted or not, and leaves every attribute as it was."""
    before = dict(vars(estimator))
    with pytest.raises(error, match=message):
        getattr(estimator, method)(*arguments, **named)
    now = vars(estimator)
    assert now.keys() == before.keys()
    assert [name for name in now if now[name] is not before[name]] == []


# Parameters

PARAMETERS = [
    ({"hidden_layer_sizes": (0,)}, ValueError, r"hidden_layer_sizes=\(0,\) is outside .* 1 to"),
    ({"hidden_layer_sizes": (65537,)}, ValueError, "outside the allowed range, 1 to 65536"),
    (
        {"hidden_layer_sizes": (2.5,)},
        TypeError,
        r"hidden_layer_sizes=\(2\.5,\) has 2\.5, of type float; give an integer",
    ),
    ({"hidden_layer_sizes": "8"}, TypeError, "hidden_layer_sizes='8' is of type str"),
    ({"hidden_layer_sizes": None}, TypeError, "hidden_layer_sizes=None"),
    ({"hidden_layer_sizes": iter((4, 4))}, TypeError, "is of type tuple_iterator; give a tuple"),
    ({"hidden_layer_sizes": {4: 4}}, TypeError, "is of type dict"),
    ({"hidden_layer_sizes": (4,) * 32}, ValueError, "at most 31 hidden layers"),
    ({"layers": "dense"}, TypeError, "layers='dense' is of type str; give a list of Conv2D"),
    ({"layers": [8]}, TypeError, "layers has 8, of type int; give Conv2D, MaxPool2D and Dense"),
    ({"layers": [MaxPool2D()]}, ValueError, "a MaxPool2D must follow a Conv2D directly"),
    ({"layers": [Dense(8), Conv2D(8, 3)]}, ValueError, "give all Conv2D before the first Dense"),
    ({"layers": [], "activation": "sign"}, ValueError, "a hidden layer, and layers has none"),
    ({"input_shape": (2,)}, TypeError, r"input_shape=\(2,\) is no shape of an image; give \(hei"),
    ({"input_shape": (1, 2, 0)}, ValueError, r"input_shape=\(1, 2, 0\) is outside"),
    ({"input_shape": (2, "a", 1)}, TypeError, r"input_shape=.* has 'a', of type str"),
    ({"horizontal_flip": 1}, TypeError, "horizontal_flip=1 is of type int; give True or False"),
    ({"random_crop": 128}, ValueError, "random_crop=128 is outside the allowed range, 0 to 127"),
    ({"weights": "decimal"}, ValueError, r"weights='decimal' is unknown.*'binary' or 'ternary'"),
    ({"weights": np.array(["binary"])}, ValueError, r"weights=array.* is unknown"),
    ({"binarization": "no"}, ValueError, "binarization='no' is unknown; use 'deterministic'"),
    ({"activation": "tanh"}, ValueError, "activation='tanh' is unknown; use 'relu' or 'sign'"),
    ({"solver": "lbfgs"}, ValueError, "solver='lbfgs' is unknown; use 'sgd' or 'adamax'"),
    ({"dropout": 1.0}, ValueError, r"dropout=1\.0 is outside the allowed range, 0 to 0\.99"),
    ({"input_dropout": -0.1}, ValueError, r"input_dropout=-0\.1 is outside"),
    (
        {"weight_decay": 0.75},
        ValueError,
        r"weight_decay=0\.75 is outside .* to 0\.5 or 0$",
    ),
    (
        {"weight_decay": None},
        TypeError,
        "weight_decay=None is of type NoneType; give a number or 0",
    ),
    ({"dropout": "half"}, TypeError, "dropout='half' is of type str; give a number"),
    ({"quantized_backprop": 0}, TypeError, "quantized_backprop=0 is of type int; give True"),
    (
        {"hidden_layer_sizes": (), "activation": "sign"},
        ValueError,
        "activation='sign' needs a hidden layer, and hidden_layer_sizes has none",
    ),
    (
        {"hidden_layer_sizes": (), "dropout": 0.1},
        ValueError,
        r"dropout=0\.1 needs a hidden layer, and hidden_layer_sizes has none",
    ),
    ({"batch_size": 3}, ValueError, "batch_size=3 is outside .* 4 to 32768"),
    ({"batch_size": np.array([4, 5])}, TypeError, r"batch_size=array.* is of type ndarray"),
    ({"batch_size": "large"}, TypeError, "batch_size='large' is of type str; .*'auto'"),
    ({"batch_size": True}, TypeError, "batch_size=True is of type bool"),
    ({"max_iter": 0}, ValueError, "max_iter=0 is outside"),
    ({"max_iter": None}, TypeError, "max_iter=None is of type NoneType"),
    ({"learning_rate_init": 0}, ValueError, "learning_rate_init=0 is outside"),
    ({"learning_rate_init": 2}, ValueError, "learning_rate_init=2 is outside"),
    ({"learning_rate_final": float("nan")}, ValueError, "learning_rate_final=nan is outside"),
    ({"learning_rate_final": 0.5}, ValueError, r"final=0.5 is above .*'auto', which is 2\*\*-4"),
    ({"learning_rate_init": "fast"}, TypeError, "learning_rate_init='fast' is of type str"),
    ({"validation_fraction": 1.0}, ValueError, r"validation_fraction=1\.0 is outside"),
    ({"validation_fraction": "x"}, TypeError, "validation_fraction='x' is of type str"),
    ({"n_iter_no_change": 0}, ValueError, "n_iter_no_change=0 is outside"),
    ({"tol": -1}, ValueError, "tol=-1 is outside"),
    ({"tol": float("nan")}, ValueError, "tol=nan is outside"),
    ({"n_jobs": 0}, ValueError, "n_jobs=0 has no meaning"),
    ({"n_jobs": "all"}, TypeError, "n_jobs='all' is of type str"),
    ({"shuffle": "no"}, TypeError, "shuffle='no' is of type str; give True or False"),
    ({"early_stopping": 1}, TypeError, "early_stopping=1 is of type int; give True or False"),
    ({"warm_start": None}, TypeError, "warm_start=None is of type NoneType; give True or False"),
    ({"verbose": "yes"}, TypeError, "verbose='yes' is of type str; give True or False"),
    ({"callbacks": print}, TypeError, r"callbacks=.*; give a list of functions, or None"),
    ({"callbacks": iter([print])}, TypeError, r"callbacks=.* is of type list_iterator"),
    ({"callbacks": [1]}, TypeError, "callbacks holds 1, which cannot be called"),
]


@pytest.mark.parametrize(("parameters", "error", "message"), PARAMETERS)
@pytest.mark.parametrize("kind", [BinaryConnectClassifier, BinaryConnectRegressor])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_parameters(kind, method, parameters, error, message):
    y = Y if kind is BinaryConnectClassifier else NUMBERS
    refused(small(kind, **parameters), error, message, method, X, y)
    refused(fitted(kind).set_params(**parameters), error, message, method, X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"random_state": "a"}, "'a' cannot be used to seed"),
        ({"random_state": -1}, "Seed must be between 0"),
        ({"max_iter": 2**31 - 1, "batch_size": 4}, r"max_iter=2147483647 epochs of 5 steps are 2"),
        (
            {"early_stopping": True, "validation_fraction": 0.99},
            "validation_fraction=0.99 leaves 0 of 20 different rows to train on",
        ),
    ],
)
def test_parameters_that_do_not_fit_the_rows(estimator, parameters, message):
    y = Y if isinstance(estimator, BinaryConnectClassifier) else NUMBERS
    refused(estimator.set_params(**parameters), ValueError, message, "fit", X, y)


@pytest.mark.parametrize(
    ("class_weight", "error", "message"),
    [
        ("auto", ValueError, "class_weight='auto' is unknown; use a dict .*, 'balanced' or None"),
        ([1, 2], ValueError, r"class_weight=\[1, 2\] is unknown"),
        (3, ValueError, "class_weight=3 is unknown"),
        ({0: -1, 1: 1}, ValueError, r"class_weight\[0\]=-1 is outside the allowed range, 0 to"),
        ({0: float("nan")}, ValueError, r"class_weight\[0\]=nan is outside"),
        ({1: float("inf")}, ValueError, r"class_weight\[1\]=inf is outside"),
        ({1: "a"}, TypeError, r"class_weight\[1\]='a' is of type str; give a number"),
        ({5: 1.0, 6: 1.0}, ValueError, "The classes, .* are not in class_weight"),
        ({0: 0, 1: 0}, ValueError, "all weights are zero; at least one row must"),
        ({0: 0, 1: 1}, ValueError, "there is only one class, 1"),
    ],
    ids=repr,
)
def test_class_weight(class_weight, error, message):
    classifier = fitted(BinaryConnectClassifier).set_params(class_weight=class_weight)
    refused(classifier, error, message, "fit", X, Y)
    if "only one class" not in message:  # a call may have rows of one class only
        refused(classifier, error, message, "partial_fit", X, Y)


def test_class_weights_of_other_kinds():
    columns = X > 64
    refused(small(class_weight={0: 1}), ValueError, "has columns of labels", "fit", X, columns)
    refused(
        small(class_weight="balanced"),
        ValueError,
        "class_weight='balanced' needs all rows, which partial_fit never has; give a dict",
        "partial_fit",
        X,
        Y,
        [0, 1],
    )


# Rows

ROWS = [
    (np.where(X[3, 0] == X, np.nan, X), ValueError, "Input X contains NaN"),
    (np.where(X[3, 0] == X, np.inf, X), ValueError, "Input X contains infinity"),
    (X[:0], ValueError, r"0 sample\(s\) .* a minimum of"),
    (X[:, :0], ValueError, r"0 feature\(s\) .* a minimum of 1 is required"),
    (X[0], ValueError, "Expected 2D array, got 1D array instead"),
    (None, ValueError, "Expected 2D array, got scalar array instead"),
    (X[:, :, np.newaxis], ValueError, "Found array with dim 3|rows are no images"),
    (X + 0j, ValueError, "Complex data not supported"),
    (X.astype(str), ValueError, "(convert|Convert) your data to numeric values"),
    ([[1, 2], [3]], ValueError, "inhomogeneous shape|Expected 2D array, got 1D"),
    (scipy.sparse.csr_matrix(X), TypeError, "[Ss]parse data was passed.*toarray"),
    (scipy.sparse.coo_matrix(X), TypeError, "[Ss]parse data was passed.*toarray"),
    ([[None, 1.0]] * len(X), ValueError, "contains NaN"),
    (X.astype("datetime64[D]"), TypeError, r"X is of type datetime64\[D\]; give numbers or Bool"),
]
ROW_IDS = "nan inf empty columns 1d none 3d complex strings ragged csr coo None dates".split()


@pytest.mark.parametrize(("rows", "error", "message"), ROWS, ids=ROW_IDS)
def test_rows(estimator, rows, error, message):
    y = Y if isinstance(estimator, BinaryConnectClassifier) else NUMBERS
    y = y[:0] if rows is ROWS[2][0] else y
    classes = {"classes": [0, 1]} if isinstance(estimator, BinaryConnectClassifier) else {}
    for first in (estimator, small(type(estimator))):
        refused(first, error, message, "fit", rows, y)
        refused(first, error, message, "partial_fit", rows, y, **classes)
    refused(estimator, error, message, "predict", rows)
    refused(estimator, error, message, "score", rows, y)
    if isinstance(estimator, BinaryConnectClassifier):
        for method in ("predict_proba", "predict_log_proba", "decision_function"):
            refused(estimator, error, message, method, rows)


@pytest.mark.parametrize(("rows", "error", "message"), ROWS, ids=ROW_IDS)
def test_rows_of_the_encoder(rows, error, message):
    encoder = PiecewiseLinearEncoder().fit(X)
    refused(encoder, error, message, "fit", rows)
    refused(encoder, error, message, "transform", rows)
    refused(PiecewiseLinearEncoder(), error, message, "fit", rows)


def test_rows_unlike_those_of_fit(estimator):
    name = type(estimator).__name__
    y = Y if isinstance(estimator, BinaryConnectClassifier) else NUMBERS
    message = f"X has 3 features, but {name} is expecting 2 features as input"
    for method in ("predict", "partial_fit", "score"):
        refused(
            estimator, ValueError, message, method, np.hstack([X, Y[:, None]]),
            *([y] if method != "predict" else []),
        )  # fmt: skip
    images = estimator.set_params().fit((9 * X).astype(np.uint8), y)
    message = r"X\[0, 1\] is 0.5, but the encoder was fitted on bytes"
    refused(images, ValueError, message, "predict", [[0, 0.5]])
    refused(images, ValueError, message, "partial_fit", [[0, 0.5]], y[:1])


def test_one_row(estimator):
    y = Y if isinstance(estimator, BinaryConnectClassifier) else NUMBERS
    refused(estimator, ValueError, r"1 sample\(s\) .* a minimum of 2", "fit", X[:1], y[:1])
    classes = {"classes": [0, 1]} if y is Y else {}
    first = small(type(estimator))
    message = "the first call of partial_fit got 1 rows to train on; give some hundreds"
    refused(first, ValueError, message, "partial_fit", X[:1], y[:1], **classes)


def test_too_many_features(estimator):
    y = Y if isinstance(estimator, BinaryConnectClassifier) else NUMBERS
    wide = np.random.RandomState(0).rand(20, 40_000)
    message = r"X becomes \d+ features, at most 65536 work; encode it by Piecewise.* or select"
    refused(small(type(estimator)), ValueError, message, "fit", wide, y)


# What is to be learned


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        (Y * 0, "there is only one class, 0; BinaryConnectClassifier needs 2 or more"),
        (Y[:-1], r"inconsistent numbers of samples: \[20, 19\]"),
        (X[:, 0] + 0.25, "Unknown label type: continuous"),
        (np.where(Y, np.nan, 1.0), "Input y contains NaN"),
        (np.stack([Y, Y + 1], axis=1), r"y has 2 columns of classes; .*MultiOutputClassifier"),
        (np.stack([Y, 1 - Y], axis=1) * 2, r"y has columns of \[0 2\]; .* columns of 0 and 1"),
        (np.stack([Y, 1 - Y], axis=1) * 2 - 1, r"y has columns of \[-1  1\]"),
        (np.array(["a", 1] * 10, dtype=object), "y has labels that cannot be sorted"),
        (np.array(["a", None] * 10, dtype=object), "y has labels that cannot be sorted"),
        (Y.reshape(5, 2, 2), "Unknown label type|dim 3"),
    ],
    ids="none one short numbers nan classes twos signs mixed none-in 3d".split(),
)
def test_labels(y, message):
    refused(fitted(BinaryConnectClassifier), ValueError, message, "fit", X, y)
    refused(small(), ValueError, message, "fit", X, y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        (NUMBERS[:-1], r"inconsistent numbers of samples: \[20, 19\]"),
        (np.where(Y, np.nan, 1.0), "Input y contains NaN"),
        (np.where(Y, np.inf, 1.0), "Input y contains infinity"),
        (NUMBERS + 1j, "Complex data not supported"),
        (np.array(["a", "b"] * 10), "could not convert string to float"),
        (NUMBERS.reshape(5, 2, 2), "dim 3"),
        (np.zeros((20, 0)), r"0 feature\(s\)"),
    ],
    ids="none short nan inf complex strings 3d columns".split(),
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_numbers(method, y, message):
    refused(fitted(BinaryConnectRegressor), ValueError, message, method, X, y)
    refused(small(BinaryConnectRegressor), ValueError, message, method, X, y)


def test_numbers_of_another_shape_in_a_stream():
    message = "y has 2 columns, but this BinaryConnectRegressor was fitted on 1"
    two = np.stack([NUMBERS, NUMBERS], axis=1)
    refused(fitted(BinaryConnectRegressor), ValueError, message, "partial_fit", X, two)


@pytest.mark.parametrize(
    ("y", "classes", "message"),
    [
        (Y, None, "the first call of partial_fit needs classes: all that will come in y"),
        (None, [0, 1], "requires y to be passed, but the target y is None"),
        (Y, [], "there is no class; BinaryConnectClassifier needs 2 or more"),
        (Y, [0], "there is only one class, 0"),
        (Y, [[0, 1], [2, 3]], "1d array"),
        (Y, [1, 2], r"y has \[0\], which are not among the 2 classes"),
        (Y, ["0", "1"], "y is of type int64, but the classes are of type <U1"),
        (Y.astype(str), [0, 1], r"y is of type <U\d+, but the classes are of type int64"),
        (Y + 0.5, [0, 1], "Unknown label type: continuous"),
    ],
    ids=str,
)
def test_the_first_classes_of_a_stream(y, classes, message):
    refused(small(), ValueError, message, "partial_fit", X, y, classes)


@pytest.mark.parametrize(
    ("y", "classes", "message"),
    [
        (Y + 1, None, r"y has \[2\], which are not among the 2 classes of the first call"),
        (Y, [0, 1, 2], r"classes=\[0, 1, 2\] are not those of the first call, \[0 1\]"),
        (np.stack([Y, Y], axis=1), None, r"y of shape \(20, 2\) is not of the 2 classes that"),
    ],
    ids=str,
)
def test_later_classes_of_a_stream(y, classes, message):
    for first in (fitted(BinaryConnectClassifier), small().partial_fit(X, Y, [0, 1])):
        refused(first, ValueError, message, "partial_fit", X, y, classes)
    several = small().partial_fit(X, X > 64)
    refused(several, ValueError, "is not of the 2 labels that the", "partial_fit", X, Y)


# Weights


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(19), r"sample_weight.shape == \(19,\), expected \(20,\)"),
        (np.ones((20, 2)), "Sample weights must be 1D array or scalar"),
        (-np.ones(20), "Negative values in data passed to `sample_weight`"),
        (np.full(20, np.nan), "sample_weight contains NaN"),
        (np.full(20, np.inf), "sample_weight contains infinity"),
        (np.array(["a"] * 20), "could not convert string to float"),
        (np.zeros(20), "all weights are zero|at least one non-zero number"),
    ],
    ids="short 2d negative nan inf strings zero".split(),
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_weights(estimator, method, weights, message):
    y = Y if isinstance(estimator, BinaryConnectClassifier) else NUMBERS
    refused(estimator, ValueError, message, method, X, y, sample_weight=weights)


def test_weights_of_one_row(estimator):
    y = Y if isinstance(estimator, BinaryConnectClassifier) else NUMBERS
    weights = np.r_[1e9, 0.5, np.full(18, 1e-9)]
    message = "the weights leave 1 row to train on, and 2 or more are needed"
    refused(estimator, ValueError, message, "fit", X, y, sample_weight=weights)
    estimator.partial_fit(X, y, sample_weight=weights)  # it is enough for a later call


# Fitted estimators


def test_not_fitted():
    for kind in (BinaryConnectClassifier, BinaryConnectRegressor):
        for method in ("predict", "score"):
            arguments = [X] if method == "predict" else [X, Y]
            refused(small(kind), NotFittedError, "not fitted yet", method, *arguments)
        with pytest.raises(AttributeError, match="not fitted yet: it has no model_"):
            _ = small(kind).model_
    refused(PiecewiseLinearEncoder(), NotFittedError, "not fitted yet", "transform", X)


def fail(info):
    raise RuntimeError("from a callback")


def test_a_fit_that_fails_midway(estimator):
    y = Y if isinstance(estimator, BinaryConnectClassifier) else NUMBERS
    wide, expected = np.hstack([X, X]), estimator.predict(X)
    refused(estimator.set_params(callbacks=[fail]), RuntimeError, "from a callback", "fit", wide, y)
    assert np.array_equal(estimator.predict(X), expected)


def test_a_model_that_is_none(estimator):
    before = estimator.model_
    for model in ("text", 5, None, bytearray(before)):
        with pytest.raises(TypeError, match=r"model_ is of type \w+; give bytes"):
            estimator.model_ = model
    assert estimator.model_ == before
    estimator.model_ = b"no model"
    refused(estimator, ValueError, "the model: the bytes are not a libbinnet file", "predict", X)


def test_a_damaged_model_is_refused_not_run(estimator):
    estimator.model_ = estimator.model_[:-1]
    refused(estimator, ValueError, "the model: the file is shorter or longer", "predict", X)


def test_a_model_of_other_columns(estimator):
    y = Y if isinstance(estimator, BinaryConnectClassifier) else NUMBERS
    estimator.model_ = small(type(estimator)).fit(images(20, 5), y).model_
    refused(estimator, ValueError, r"the model takes 5 features, got \d+", "predict", X)


def test_scores_of_other_rows(estimator):
    message = "inconsistent numbers of samples"
    refused(estimator, ValueError, message, "score", X, Y[:3])
    refused(estimator, ValueError, message, "score", X, Y, sample_weight=[1])


def test_labels_are_named_with_what_to_do():
    """As labels() has three classes, a message must say which one is new."""
    three = labels(images(20, 2))
    classifier = small().partial_fit(X, np.minimum(three, 1), [0, 1])
    refused(classifier, ValueError, r"y has \[2\]", "partial_fit", X, three)
