"""What random_state promises: these bytes, on every machine, until the library's version changes.

All parameters that results depend on are given here, and X is bytes, so neither the defaults nor
the encoder show. A change of any of these is a change of results (CONTRIBUTING.md).
"""

from hashlib import sha256

import numpy as np
import pytest
from golden_data import images, labels, numbers

from pybinnet import BinaryConnectClassifier, BinaryConnectRegressor

X = images(500, 9)
WHOLE, FRACTIONS = np.arange(500) % 3, (1 + np.arange(500) % 5) / 4
GIVEN = {
    "hidden_layer_sizes": (24, 16),
    "batch_size": 32,
    "learning_rate_init": 2**-4,
    "learning_rate_final": 2**-8,
    "max_iter": 3,
    "random_state": 7,
}


def classifier(**others):
    return BinaryConnectClassifier(**{**GIVEN, **others})


def regressor(**others):
    return BinaryConnectRegressor(**{**GIVEN, **others})


def streamed(estimator, y, *classes):
    for start in range(0, 500, 125):
        part = slice(start, start + 125)
        estimator.partial_fit(X[part], y[part], *classes)
    return estimator


FITS = {
    "classes": lambda: classifier().fit(X, labels(X)),
    "other methods": lambda: classifier(
        activation="sign",
        weights="ternary",
        binarization="stochastic",
        solver="adamax",
        dropout=0.25,
        input_dropout=0.125,
    ).fit(X, labels(X)),
    "early stopping": lambda: classifier(
        early_stopping=True, validation_fraction=0.25, n_iter_no_change=9, tol=0.0
    ).fit(X, labels(X)),
    "labels": lambda: classifier().fit(X, X[:, :4] > 127),
    "numbers": lambda: regressor().fit(X, numbers(X)),
    "columns of numbers": lambda: regressor().fit(X, np.stack([labels(X), numbers(X)], axis=1)),
    "whole weights": lambda: classifier().fit(X, labels(X), sample_weight=WHOLE),
    "fractional weights": lambda: classifier().fit(X, labels(X), sample_weight=FRACTIONS),
    "weights of numbers": lambda: regressor().fit(X, numbers(X), sample_weight=FRACTIONS),
    "balanced classes": lambda: classifier(class_weight="balanced").fit(X, labels(X)),
    "unshuffled": lambda: classifier(shuffle=False).fit(X, labels(X)),
    "stream": lambda: streamed(classifier(), labels(X), [0, 1, 2]),
    "stream, early stopping": lambda: streamed(
        classifier(early_stopping=True, validation_fraction=0.25, n_iter_no_change=9, tol=0.0),
        labels(X),
        [0, 1, 2],
    ),
    "stream of numbers": lambda: streamed(regressor(), numbers(X)),
    "warm start": lambda: classifier(warm_start=True).fit(X, labels(X)).fit(X, labels(X)),
}
DIGESTS = {
    "classes": "587a95d2a084c09d894f09cf666619dd",
    "other methods": "35c98d3deaed5456aedf314ee542662f",
    "early stopping": "e6ae4d261b2958f320eca23895707067",
    "labels": "55666634a344a89432ecc17b6eacfd48",
    "numbers": "2c2962dd72843c96948420c4711acc91",
    "columns of numbers": "556e622441b4535378562bbce31be6ba",
    "whole weights": "3834f19bc68ad2870f4e6ff103b41dfc",
    "fractional weights": "1d9c5d507a2bd80fadf42e3d440676d3",
    "weights of numbers": "0ed83c5c7ae94b67db486585fcb6075a",
    "balanced classes": "d013dcc6cf0e60d664fbe46eab5548e1",
    "unshuffled": "260c81d2a0b13cc92090e286978fae77",
    "stream": "363fd8b26183f7cf49797f11e40f02b8",
    "stream, early stopping": "e36cb8b85577bfac42d5a544e8f399d3",
    "stream of numbers": "84bfc90d427a22f25e35801c43bb616d",
    "warm start": "08a64ed57ae025db577d26b95521ff30",
}


def digest(estimator):
    return sha256(estimator.checkpoint_ + estimator.model_).hexdigest()[:32]


def test_the_data():
    assert (
        sha256(X.tobytes()).hexdigest()
        == "b089b588cac95e9329ecb0c980d0c6c18cb7cc0104cc91cf03903e8c85414c22"
    )
    assert np.bincount(labels(X)).tolist() == [113, 256, 131]


@pytest.mark.parametrize("name", FITS)
def test_golden(name, isa):
    assert digest(FITS[name]()) == DIGESTS[name]
