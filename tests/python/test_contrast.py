"""ContrastEncoder and binnet_contrasts: against the reference, and as users take them."""

# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pytest
import reference
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import (
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
)

from pybinnet import BinaryConnectClassifier, ContrastEncoder, Conv2D, Dense, MaxPool2D, _engine

DIGITS = load_digits()
SHAPES = [(1, 1, 1), (1, 6, 1), (7, 1, 2), (2, 2, 3), (5, 7, 3), (32, 32, 3), (3, 200, 1)]


def images_of(shape, seed=0, high=256, n_rows=12):
    random = np.random.default_rng(seed)
    return random.integers(0, high, (n_rows, *shape), dtype=np.uint8)


@pytest.mark.parametrize("high", [1, 2, 20, 256])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_reference(shape, high):
    x = images_of(shape, high=high).reshape(12, -1)
    x[3] = 255  # flat, and of the largest sums
    x[4, ::2] = 255
    assert np.array_equal(_engine.contrasts(x, shape), reference.contrasts(x, shape))


def test_largest_image():
    """With sums as large as those of docs/algorithm.md, section 13, may be, and its contrasts."""
    shape = 256, 256, 1
    board = np.indices(shape[:2]).sum(axis=0) % 2 * 255
    half = np.repeat([0, 255], 128 * 256).reshape(shape[:2])
    lone = np.zeros(shape[:2])  # 8 · 255 and nearly 16 · 255 from the means
    lone[100, 100] = 255
    x = np.stack([board, half, lone]).astype(np.uint8).reshape(3, -1)
    assert np.array_equal(_engine.contrasts(x, shape), reference.contrasts(x, shape))


def test_what_all_pixels_share_does_not_matter():
    x = images_of((9, 9, 3), high=128)
    contrasts = ContrastEncoder().fit_transform(x)
    assert contrasts.shape == (12, 9, 9, 12) and contrasts.dtype == np.uint8
    assert np.array_equal(contrasts, ContrastEncoder().fit_transform(x + np.uint8(100)))
    # Twice the contrast is twice the spread, but scales are rounded to two powers of two.
    twice = ContrastEncoder().fit_transform(x * np.uint8(2)).astype(int)
    assert np.all(abs(twice - contrasts) <= 1 + contrasts // 20)


def test_a_number_is_above_or_below():
    contrasts = ContrastEncoder().fit_transform(images_of((9, 9, 2))).reshape(-1, 2)
    assert np.all(contrasts.min(axis=1) == 0) and np.all(contrasts.max(axis=0) > 100)


def test_mirrored_and_dark_images():
    x = images_of((8, 9, 3))
    contrasts = ContrastEncoder().fit_transform(x)
    assert np.array_equal(ContrastEncoder().fit_transform(x[:, :, ::-1]), contrasts[:, :, ::-1])
    negative = ContrastEncoder().fit_transform(255 - x).reshape(-1, 2)
    assert np.array_equal(negative[:, ::-1], contrasts.reshape(-1, 2))


def test_weak_images_stay_weak():
    """Noise of one grey level is not made what contrasts of photographs are."""
    x = images_of((16, 16, 1), high=2)
    assert ContrastEncoder().fit_transform(x).max() <= 64


def test_shapes_and_types():
    grey = DIGITS.images  # (n, 8, 8), 0.0 to 16.0
    contrasts = ContrastEncoder().fit_transform(grey)
    assert contrasts.shape == (len(grey), 8, 8, 4)
    flat = ContrastEncoder(input_shape=(8, 8, 1)).fit(DIGITS.data)
    assert np.array_equal(flat.transform(grey), contrasts)
    assert np.array_equal(flat.transform(grey[..., np.newaxis]), contrasts)
    assert np.array_equal(ContrastEncoder().fit_transform(grey.tolist()), contrasts)
    assert (flat.input_shape_, flat.n_features_in_) == ((8, 8, 1), 64)
    # Bytes are taken as they are, other numbers from the least to the greatest of fit.
    as_bytes = np.floor(grey * (255 / 16) + 0.5).astype(np.uint8)
    assert np.array_equal(ContrastEncoder().fit_transform(as_bytes), contrasts)
    beyond = 2 * grey - 8  # -8 to 24
    assert np.array_equal(flat.transform(beyond), flat.transform(np.clip(beyond, 0, 16)))
    assert not np.array_equal(flat.transform(beyond), contrasts)
    strided = np.repeat(as_bytes, 2, axis=2)[:, :, ::2]
    assert np.array_equal(ContrastEncoder().fit_transform(strided), contrasts)


def test_in_a_pipeline():
    layers = [Conv2D(8, 3), MaxPool2D(2), Dense(32)]
    clf = BinaryConnectClassifier(layers=layers, max_iter=30, random_state=0)
    pipeline = make_pipeline(ContrastEncoder(), clf)
    pipeline.fit(DIGITS.images[:1000], DIGITS.target[:1000])
    assert pipeline.score(DIGITS.images[1000:], DIGITS.target[1000:]) > 0.9
    assert pipeline[-1].input_shape_ == (8, 8, 4)
    same = pickle.loads(pickle.dumps(pipeline))
    assert np.array_equal(same.predict(DIGITS.images), pipeline.predict(DIGITS.images))
    crops = {"binaryconnectclassifier__random_crop": [0, 1]}
    search = GridSearchCV(clone(pipeline), crops, cv=2).fit(
        DIGITS.images[:300], DIGITS.target[:300]
    )
    assert search.best_score_ > 0.3


@pytest.mark.parametrize(
    "check",
    [
        check_get_params_invariance,
        check_no_attributes_set_in_init,
        check_parameters_default_constructible,
        check_set_params,
    ],
)
def test_scikit_learn_checks(check):
    """Those that need no data, which is not of two dimensions."""
    check("ContrastEncoder", ContrastEncoder())
    assert not ContrastEncoder().__sklearn_tags__().input_tags.two_d_array


@pytest.mark.parametrize(
    ("parameters", "x", "error", "message"),
    [
        ({}, DIGITS.data, ValueError, "ContrastEncoder needs images: give X of shape"),
        ({"input_shape": (8, 8)}, DIGITS.images, TypeError, "give \\(height, width, channels\\)"),
        ({"input_shape": (8, 9, 1)}, DIGITS.images, ValueError, "must be of input_shape"),
        ({}, np.zeros((2, 200, 200)), ValueError, "become 160000 features, at most 65536"),
        ({}, np.ones((2, 4, 4)), ValueError, "all pixels of the images in X are 1"),
        ({}, np.full((2, 4, 4), np.nan), ValueError, "NaN"),
        ({}, np.full((2, 4, 4), "a"), ValueError, "could not convert|numeric"),
        ({}, np.zeros((0, 4, 4)), ValueError, "0 sample"),
        ({}, np.zeros((4, 3, 32, 32)), ValueError, "channels come first"),
    ],
)
def test_refused(parameters, x, error, message):
    encoder = ContrastEncoder(**parameters)
    with pytest.raises(error, match=message):
        encoder.fit(x)
    assert set(vars(encoder)) == {"input_shape"}


def test_refused_to_transform():
    encoder = ContrastEncoder().fit(DIGITS.images)
    with pytest.raises(ValueError, match="must be of input_shape"):
        encoder.transform(np.zeros((2, 9, 8)))
    of_bytes = ContrastEncoder().fit(images_of((4, 4, 1)))
    with pytest.raises(ValueError, match="takes integers from 0 to 255"):
        of_bytes.transform(np.full((1, 4, 4), 0.5))
    with pytest.raises(ValueError, match="no images"):
        _engine.contrasts(np.zeros((2, 20), np.uint8), (2, 2, 3))


def test_no_memory(monkeypatch):
    empty = np.empty

    def no_memory(shape, *args, **kwargs):
        if shape == (12, 64):
            raise MemoryError("Unable to allocate 740 MiB")
        return empty(shape, *args, **kwargs)

    encoder = ContrastEncoder().fit(images_of((4, 4, 1)))
    monkeypatch.setattr(np, "empty", no_memory)
    with pytest.raises(MemoryError, match="740 MiB: the contrasts of all images; give fewer"):
        encoder.transform(images_of((4, 4, 1)))
