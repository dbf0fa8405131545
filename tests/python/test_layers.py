"""Layers and images: what may be given, and what becomes of it."""

import copy
import io
import json
import math
import pickle
import warnings
from dataclasses import FrozenInstanceError, replace

import golden_data
import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from pybinnet import (
    BinaryConnectClassifier,
    BinaryConnectRegressor,
    Conv2D,
    Dense,
    MaxPool2D,
    PiecewiseLinearEncoder,
    _engine,
    _latent,
    _shapes,
    evaluate_latent,
    load_model,
    save_model,
)
from pybinnet._appendix import append
from pybinnet._checkpoint import read_header
from pybinnet._layers import engine_layers, from_json, to_json, written
from pybinnet._model_file import Thresholds, read_model
from pybinnet._saved import _values

N, SHAPE = 120, (6, 5, 2)
NO_STEP = 2**32 - 1
X = golden_data.images(N, math.prod(SHAPE)).reshape(N, *SHAPE)
Y = (X[:, :, :2].mean(axis=(1, 2, 3)) > X[:, :, 3:].mean(axis=(1, 2, 3))).astype(int)
NUMBERS = X[:, 1:4].mean(axis=(1, 2, 3))
LAYERS = [Conv2D(6, 3), MaxPool2D(2), Conv2D(4, 2, "valid"), Dense(9)]


GIVEN = {"layers": LAYERS, "max_iter": 2, "batch_size": 16, "random_state": 0}


def classifier(**parameters):
    return BinaryConnectClassifier(**{**GIVEN, **parameters})


def regressor(**parameters):
    return BinaryConnectRegressor(**{**GIVEN, **parameters})


def files(estimator):
    return estimator.checkpoint_, estimator.model_


# Layers


@pytest.mark.parametrize(
    ("parameters", "decay"),
    [({}, 0), ({"weight_decay": 0}, 0), ({"weight_decay": 0.3}, 2), ({"weight_decay": 2**-15}, 15)],
)
def test_weight_decay(parameters, decay):
    fitted = classifier(**parameters).fit(X, Y)
    assert read_header(fitted.checkpoint_).method.decay == decay


def test_layers_are_values():
    assert Conv2D(8, 3) == Conv2D(8, 3, "same", 1) != Conv2D(8, 3, "valid")
    assert len({Conv2D(8, 3), Conv2D(8, 3), MaxPool2D(), MaxPool2D(2), Dense(2), Dense(3)}) == 4
    assert repr(MaxPool2D()) == "MaxPool2D(pool_size=2)"
    with pytest.raises(FrozenInstanceError):
        Dense(3).units = 4


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Conv2D(0, 3), ValueError, "filters=0 is outside the allowed range, 1 to 65536"),
        (lambda: Conv2D(8, 32), ValueError, "kernel_size=32 is outside .* 1 to 31"),
        (lambda: Conv2D(8, (3, 3)), TypeError, r"kernel_size=\(3, 3\) is of type tuple; give an"),
        (lambda: Conv2D(8, 3, "full"), ValueError, "padding='full' is unknown; use 'same' or 'va"),
        (lambda: Conv2D(8, 3, stride=0), ValueError, "stride=0 is outside .* 1 to 31"),
        (lambda: MaxPool2D(16), ValueError, "pool_size=16 is outside .* 1 to 15"),
        (lambda: MaxPool2D(True), TypeError, "pool_size=True is of type bool"),
        (lambda: Dense(2.0), TypeError, r"units=2\.0 is of type float; give an integer"),
        (lambda: Dense(65537), ValueError, "units=65537 is outside"),
    ],
)
def test_values_of_layers(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_engine_layers():
    layers = [Conv2D(np.int64(8), 3, stride=2), Conv2D(9, 5, "valid"), MaxPool2D(3), Dense(7)]
    found = engine_layers(layers)
    assert found == (
        _engine.Layer(8, 3, 2),
        _engine.Layer(9, 5, 1, True, 3),
        _engine.Layer(7),
    )
    assert type(found[0].units) is int
    assert written(found) == layers
    assert from_json(json.loads(json.dumps(to_json(layers)))) == layers
    assert engine_layers([]) == ()


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (Dense(3), TypeError, r"layers=Dense\(units=3\) is of type Dense; give a list of Conv2D"),
        ([8, 8], TypeError, r"layers has 8, of type int; give .* such as Dense\(256\)"),
        ([Dense], TypeError, "layers has <class .*Dense'>, of type type"),
        ([MaxPool2D()], ValueError, r"has MaxPool2D\(pool_size=2\) first; a MaxPool2D must follow"),
        ([Conv2D(3, 3), Dense(4), MaxPool2D()], ValueError, r"after Dense\(units=4\); a MaxPool2D"),
        ([Conv2D(3, 3), MaxPool2D(), MaxPool2D()], ValueError, "after MaxPool2D"),
        ([Dense(4), Conv2D(3, 3)], ValueError, r"after Dense\(units=4\), which puts out no images"),
        ([Dense(4)] * 32, ValueError, "layers has 32 layers; at most 31 hidden"),
    ],
)
@pytest.mark.parametrize("make", [classifier, regressor])
def test_refused_layers(make, layers, error, message):
    estimator = make(layers=layers)
    with pytest.raises(error, match=message):
        estimator.fit(X, Y)
    assert not hasattr(estimator, "n_features_in_")


@pytest.mark.parametrize(
    ("layers", "parameters", "message"),
    [
        (
            [Conv2D(3, 6)],
            {},
            r"kernel_size=6.* kernel larger than its input, images of 6 x 5; .* at most 5, or",
        ),
        (
            [Conv2D(3, 5, "valid"), Conv2D(3, 2)],
            {},
            "kernel_size=2.* images of 2 x 1; .* at most 1, or",
        ),
        (
            [Conv2D(3, 4, "valid"), MaxPool2D(3)],
            {},
            r"pool_size=3\) .* 3 x 2 sums of Conv2D.*; .* at most 2$",
        ),
        (
            [Conv2D(7282, 3)],
            {},
            r"3\*\*2 \* 7282 = 65538 weights for its 7282 filters; at most 655",
        ),
        ([Conv2D(7281, 1), Conv2D(2, 3), Conv2D(7281, 1), Conv2D(2, 3)], {}, None),
        ([Conv2D(7282, 1), Conv2D(2, 3)], {}, "for its 7282 channels of its input; .*int32"),
        ([Conv2D(2185, 1)], {}, "layers: the output layer would have 6 x 5 x 2185 = 65550 inputs"),
        ([Conv2D(2185, 1), Dense(4)], {}, r"Dense\(4\) would have 6 x 5 x 2185 = 65550 inputs"),
        (
            [Conv2D(513, 1)],
            {"input_shape": (256, 128, 1)},
            r"filters=513.* puts out 256 x 128 x 513 = 16809984 numbers for an image; at most 16",
        ),
        (
            [Conv2D(3, 1)],
            {"batch_size": 1093, "quantized_backprop": False},
            "puts out 6 x 5 for each of 1093 images of a batch, 32790; at most 32768 work with",
        ),
        (
            [Conv2D(3, 1)],
            {"input_shape": (255, 257, 1), "batch_size": 129},
            "puts out 255 x 257 for each of 129 .*; at most 8388608 work, so that",
        ),
    ],
)
def test_shapes_that_do_not_fit(layers, parameters, message):
    estimator = classifier(layers=layers, **parameters)
    if message is None:
        estimator._flattened(X, reset=True)
        assert estimator.input_shape_ == SHAPE
        return
    with pytest.raises(ValueError, match=message):
        estimator.fit(X, Y)
    assert not hasattr(estimator, "encoder_")


def test_what_hidden_layers_are_needed_for():
    for parameters in ({"activation": "sign"}, {"dropout": 0.5}):
        with pytest.raises(ValueError, match="needs a hidden layer, and layers has none"):
            classifier(layers=[], **parameters).fit(X.reshape(N, -1), Y)


# Without images


def test_dense_layers_are_hidden_layer_sizes():
    table = X.reshape(N, -1) / 3
    found = classifier(layers=[Dense(9), Dense(7)]).fit(table, Y)
    assert files(found) == files(classifier(layers=None, hidden_layer_sizes=(9, 7)).fit(table, Y))
    assert found.input_shape_ is None
    assert classifier(layers=()).fit(table, Y).coefs_[0].shape[1] == 2


def test_images_for_dense_layers():
    """A feature each pixel, as for convolutions."""
    found = classifier(layers=[Dense(9)], input_shape=SHAPE, random_crop=1).fit(X / 7, Y)
    assert found.encoder_.n_features_out_ == found.n_features_in_ == 60
    assert (found.predict(X / 7) == found.predict(X.reshape(N, -1) / 7)).all()
    assert found.model_ != classifier(layers=[Dense(9)], input_shape=SHAPE).fit(X / 7, Y).model_
    again = pickle.loads(pickle.dumps(found))
    assert (again.predict(X / 7) == found.predict(X / 7)).all()


@pytest.mark.parametrize("parameters", [{"layers": None}, {"layers": [Dense(9)]}])
def test_images_for_rows(parameters):
    message = (
        r"X has shape \(120, 6, 5, 2\), and rows are no images: give X\.reshape.*Conv2D.*input_s"
    )
    found = classifier(**parameters)
    with pytest.raises(ValueError, match=message):
        found.fit(X, Y)
    found.fit(X.reshape(N, -1), Y)
    with pytest.raises(ValueError, match=message):
        found.predict(X)


# Shapes of X


@pytest.mark.parametrize("make", [classifier, regressor])
def test_flat_and_shaped_are_the_same(make):
    y = Y if make is classifier else NUMBERS
    shaped = make().fit(X, y)
    assert (shaped.input_shape_, shaped.n_features_in_) == (SHAPE, 60)
    assert [coefs.shape for coefs in shaped.coefs_] == [
        (3, 3, 2, 6), (2, 2, 6, 4), (8, 9), (9, shaped._n_outputs()),
    ]  # fmt: skip
    assert [c.shape for c in shaped.latent_coefs_] == [c.shape for c in shaped.coefs_]
    for coefs, latent in zip(shaped.coefs_, shaped.latent_coefs_, strict=True):
        assert (coefs == np.where(latent >= 0, 1, -1)).all()
    flat = make(input_shape=list(SHAPE)).fit(X.reshape(N, -1), y)
    assert files(flat) == files(shaped)
    rows = X[::7]
    assert (shaped.predict(rows) == flat.predict(rows)).all()
    assert (shaped.predict(rows) == shaped.predict(rows.reshape(len(rows), -1))).all()
    assert (shaped.predict(rows.tolist()) == shaped.predict(rows)).all()


def test_one_channel():
    grey, layers = X[..., 0], [Conv2D(4, 3)]
    found = classifier(layers=layers).fit(grey, Y)
    assert found.input_shape_ == (6, 5, 1)
    assert files(found) == files(classifier(layers=layers).fit(grey[..., np.newaxis], Y))
    assert (found.predict(grey) == found.predict(grey[..., np.newaxis])).all()


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ((6, 5), TypeError, r"input_shape=\(6, 5\) is no shape .* such as \(28, 28, 1\)"),
        (60, TypeError, "input_shape=60 is no shape of an image"),
        ((6, 5.0, 2), TypeError, r"has 5\.0, of type float; give an integer"),
        ((6, 0, 2), ValueError, r"input_shape=\(6, 0, 2\) is outside"),
        ((4096, 1, 1), ValueError, "is outside the allowed range, 1 to 4095"),
        ((257, 256, 1), ValueError, "has more than the 65536 numbers that a row may have; scale"),
        (
            (5, 6, 2),
            ValueError,
            r"shape \(120, 6, 5, 2\).* must be of input_shape \(5, 6, 2\): .*6",
        ),
    ],
)
def test_refused_input_shapes(shape, error, message):
    with pytest.raises(error, match=message):
        classifier(input_shape=shape).fit(X, Y)


def test_refused_shapes_of_rows():
    table = X.reshape(N, -1)
    with pytest.raises(ValueError, match=r"shape \(120, 60\), and layers has a Conv2D.*or input_s"):
        classifier().fit(table, Y)
    with pytest.raises(ValueError, match=r"\(120, 59\).* of input_shape .* or rows of 60 numbers"):
        classifier(input_shape=SHAPE).fit(table[:, 1:], Y)
    with pytest.raises(ValueError, match=r"X\.shape\[1:\]=\(5000, 1, 1\) is outside .* 1 to 4095"):
        classifier().fit(np.zeros((2, 5000, 1)), Y[:2])
    with pytest.raises(ValueError, match="Found array with 0 sample"):
        classifier().fit(X[:0], Y[:0])
    with pytest.raises(ValueError, match="images in X differ in shape; crop or scale them"):
        classifier().fit([X[0], X[1, 1:]], Y[:2])
    found = classifier().fit(X, Y)
    before = files(found)
    for wrong in (X[:, 1:], X[..., 0], table[:, 1:], X[..., np.newaxis]):
        with pytest.raises(ValueError, match=r"must be of input_shape \(6, 5, 2\)"):
            found.predict(wrong)
        with pytest.raises(ValueError, match=r"must be of input_shape \(6, 5, 2\)"):
            found.partial_fit(wrong, Y)
    with pytest.raises(ValueError, match=r"or rows of 60 numbers; of one image X\[np\.newaxis\]$"):
        found.predict(X[0])
    with pytest.raises(ValueError, match="1D array"):
        found.predict(table[0])
    with pytest.raises(ValueError, match="NaN"):
        found.predict(np.full(SHAPE, np.nan)[np.newaxis])
    assert files(found) == before
    with pytest.raises(NotFittedError):
        classifier().predict(X)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_that_come_first(channels):
    first = np.random.default_rng(6).random((20, channels, 8, 9))
    y = np.arange(20) % 2
    layers = [Conv2D(3, 1)]
    shape = (channels, 8, 9)
    with pytest.raises(ValueError, match=rf"np\.moveaxis.* input_shape=\({channels}, 8, 9\) if"):
        classifier(layers=layers).fit(first, y)
    last = np.moveaxis(first, 1, -1)
    assert classifier(layers=layers).fit(last, y).input_shape_ == (8, 9, channels)
    assert classifier(layers=layers, input_shape=shape).fit(first, y).input_shape_ == shape
    assert classifier(layers=layers).fit(first[..., :4], y).input_shape_ == (channels, 8, 4)


# Encoding


def test_bytes_are_taken_as_they_are():
    """Also where they use little of their range, which a table would not."""
    dark = X // 16
    found = classifier().fit(dark, Y)
    assert found.encoder_.identity_
    assert not PiecewiseLinearEncoder().fit(dark.reshape(N, -1)).identity_
    assert found.model_ != classifier().fit(X, Y).model_
    assert (found.predict(dark.astype(int)) == found.predict(dark)).all()


def test_numbers_keep_one_feature_a_pixel():
    low, high = int(X.min()), int(X.max())
    floats = X / 4.0 - 9
    found = classifier().fit(floats, Y)
    assert found.encoder_.n_features_out_ == 60
    assert {tuple(edges) for edges in found.encoder_.edges_} == {(low / 4 - 9, high / 4 - 9)}
    wanted = np.floor(255 * ((X - low) / (high - low)) + 0.5).astype(np.uint8)
    assert (found._features(floats) == wanted.reshape(N, -1)).all()
    assert found._features(np.full((1, *SHAPE), 1e9)).tolist() == [[255] * 60]
    plain = [classifier(shuffle=False).fit(x, Y) for x in (floats, wanted)]
    assert files(plain[0]) == files(plain[1])
    booleans = classifier().fit(X > 127, Y)
    assert set(np.unique(booleans._features(X > 127))) == {0, 255}


def test_only_training_rows_say_what_the_range_is():
    floats = X / 4.0
    floats[0] = 1e6
    weights = np.ones(N)
    weights[0] = 1e-9  # counts as zero
    found = classifier().fit(floats, Y, sample_weight=weights)
    assert found.encoder_.edges_[0][1] < 64


def test_images_of_one_number():
    with pytest.raises(ValueError, match=r"all pixels of the images in X are 3\.5"):
        classifier().fit(np.full_like(X, 3.5, dtype=float), Y)


# The network


def sums_of(form, shape, weights, x, outside):
    """Pooled sums of images, as docs/algorithm.md, section 12, says them, number by number."""
    (height, width, channels), k, s, p = shape, form.kernel_size, form.stride, form.pool
    if form.valid:
        n_down, n_right, top, left = (height - k) // s + 1, (width - k) // s + 1, 0, 0
    else:
        n_down, n_right = -(-height // s), -(-width // s)
        top = max(0, (n_down - 1) * s + k - height) // 2
        left = max(0, (n_right - 1) * s + k - width) // 2
    z = np.zeros((len(x), n_down, n_right, form.units))
    for down, right, i, j in np.ndindex(n_down, n_right, k, k):
        y, at = down * s + i - top, right * s + j - left
        inside = 0 <= y < height and 0 <= at < width
        values = x[:, y, at] if inside else np.full((len(x), channels), outside)
        z[:, down, right] += values @ weights.reshape(-1, k, k, channels)[:, i, j].T
    pooled = np.zeros((len(x), n_down // p, n_right // p, form.units))
    for down, right in np.ndindex(*pooled.shape[1:3]):
        block = z[:, p * down : p * down + p, p * right : p * right + p]
        pooled[:, down, right] = block.max(axis=(1, 2))
    return pooled


FORMS = [
    (_engine.Layer(3, 3), (6, 5, 2)),
    (_engine.Layer(3, 3, 1, True, 2), (7, 5, 2)),
    (_engine.Layer(2, 4, 2), (7, 6, 1)),
    (_engine.Layer(2, 2, 3, False, 2), (11, 12, 3)),
    (_engine.Layer(2, 1, 4), (5, 6, 3)),
    (_engine.Layer(4, 5, 2, True), (5, 9, 1)),
]


@pytest.mark.parametrize(("form", "shape"), FORMS)
@pytest.mark.parametrize("outside", [0, -1])
def test_latent_convolution(form, shape, outside):
    random = np.random.default_rng(3)
    x = random.integers(-9, 9, (5, *shape)).astype(np.float32)
    n = _shapes.fan_in(form, shape)
    weights = random.integers(-9, 9, (form.units, n)).astype(np.float32)
    layer = _latent.LatentLayer(form, shape, weights, np.zeros(1, np.float32), 32)
    wanted = sums_of(form, shape, weights, x, outside)
    assert wanted.shape[1:] == _shapes.output(form, shape)
    found = _latent._sums(layer, x.reshape(5, -1), outside)
    assert (found.reshape(wanted.shape) == wanted).all()


def scores_of(model, shape, x):
    """The scores of images, from what `read_model` says of a deployed network."""
    rows = x.reshape(len(x), *shape).astype(int)
    layers = read_model(model)
    outside = 0
    for index, layer in enumerate(layers):
        if layer.form.kernel_size:
            z = sums_of(layer.form, rows.shape[1:], layer.weights, rows, outside).astype(int)
        else:
            z = rows.reshape(len(rows), -1) @ layer.weights.T.astype(int)
        if isinstance(layer.rule, Thresholds):
            rows, outside = np.where(z >= layer.rule.values, 1, -1), -1
            continue
        rule = layer.rule
        c = (z - rule.means) * rule.factors
        last = index + 1 == len(layers)
        k = rule.shifts - 8 if last else rule.shifts
        up = np.where(k < 0, c << np.maximum(-k, 0), 0)
        down = (c + (1 << np.maximum(k - 1, 0))) >> np.maximum(k, 0)
        z_hat = np.where(k < 0, up, np.where(k == 0, c, down))
        if last:
            return z_hat + rule.biases
        rows = np.clip(np.clip(z_hat, -127, 127) + ((rule.biases + 128) >> 8), 0, 127)
    raise AssertionError


@pytest.mark.parametrize("weights", ["binary", "ternary"])
@pytest.mark.parametrize("activation", ["relu", "sign"])
@pytest.mark.parametrize(
    "layers",
    [
        LAYERS,
        [Conv2D(9, 2, stride=2), Conv2D(3, 3), Dense(8)],
        [Conv2D(8, 4, "valid"), MaxPool2D(2)],
    ],
)
def test_deployed_scores(isa, weights, activation, layers):
    """The bytes of a model say what the library computes."""
    found = classifier(layers=layers, weights=weights, activation=activation).fit(X, Y)
    assert (found._scores(X) == scores_of(found.model_, SHAPE, X)).all()


def test_it_learns():
    """Which of two shapes is in an image, wherever it is."""
    random = np.random.default_rng(5)
    x = random.integers(0, 90, (900, 8, 8), dtype=np.uint8)
    y = np.arange(900) % 2
    for image, label in zip(x, y, strict=True):
        down, right = random.integers(0, 5, 2)
        image[down : down + 4, right + 1] = 255 if label else 90
        image[down + 1, right : right + 4] = 90 if label else 255
    layers = [Conv2D(8, 3), MaxPool2D(2), Dense(16)]
    found = classifier(layers=layers, max_iter=20).fit(x[:600], y[:600])
    assert found.score(x[600:], y[600:]) > 0.95
    assert evaluate_latent(found, x[600:], y[600:], x[:600]) > 0.9
    for activation in ("relu", "sign"):
        found.set_params(activation=activation, binarization="stochastic").fit(x[:600], y[:600])
        latent = evaluate_latent(found, x[600:], y[600:], x[:600])
        assert latent > 0.8, activation


def test_latent_statistics_are_of_images_varied_as_in_training(monkeypatch):
    given = []
    scores = _latent.latent_scores

    def watched(checkpoint, x, x_train):
        given.append(x_train)
        return scores(checkpoint, x, x_train)

    monkeypatch.setattr(_latent, "latent_scores", watched)
    rows = X.reshape(N, -1)
    for crop, flip in ((0, False), (1, True)):
        found = classifier(random_crop=crop, horizontal_flip=flip).fit(X, Y)
        evaluate_latent(found, X, Y, X)
        how = _engine.Augmentation(*SHAPE, flip, crop)
        seed = read_header(found.checkpoint_).seed
        assert np.array_equal(given.pop(), _engine.augment(how, seed, NO_STEP, rows))
    assert np.any(_engine.augment(how, seed, NO_STEP, rows) != rows)


def test_few_rows_at_a_time_where_they_take_much(monkeypatch):
    found = classifier().fit(X, Y)
    whole = found._scores(X)
    sizes = []
    for most in (1 << 24, 20_000, 1):
        monkeypatch.setattr(_engine, "_PREDICT_BYTES", most)
        opened, _ = _engine._open_model(found.model_, _engine.isa_name())
        sizes.append(_engine._scratch_size(opened, 100))
        assert (found._scores(X) == whole).all()
    assert sizes[0] > sizes[1] > sizes[2] == _engine.lib.binnet_model_scratch_size(opened, 1)


# scikit-learn


def test_searches_over_layers():
    grid = {"layers": [[Conv2D(3, 3)], LAYERS, None], "input_shape": [SHAPE]}
    search = GridSearchCV(classifier(), grid, cv=2, n_jobs=2).fit(X, Y)
    assert search.best_params_["layers"] in grid["layers"]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    estimator = clone(classifier(random_crop=2))
    assert estimator.get_params()["layers"] == LAYERS
    assert "layers=[Conv2D(filters=6," in repr(estimator)
    piped = make_pipeline(classifier(input_shape=SHAPE)).fit(X.reshape(N, -1), Y)
    assert (piped.predict(X.reshape(N, -1)) == classifier().fit(X, Y).predict(X)).all()


@pytest.mark.parametrize("x", [X, X / 3.0])
def test_pickles(x):
    found = classifier().fit(x, Y)
    buffer = io.BytesIO()
    joblib.dump(found, buffer)
    buffer.seek(0)
    for again in (pickle.loads(pickle.dumps(found)), joblib.load(buffer), copy.deepcopy(found)):
        assert again.layers == LAYERS
        assert files(again) == files(found)
        assert (again.predict(x) == found.predict(x)).all()


# Files


@pytest.mark.parametrize("make", [classifier, regressor])
@pytest.mark.parametrize("x", [X, X / 3.0])
def test_save_and_load(tmp_path, make, x):
    path = tmp_path / "images.binnet"
    found = make(input_shape=np.array(SHAPE), random_crop=1, horizontal_flip=True)
    found.fit(x, Y if make is classifier else NUMBERS)
    save_model(found, path)
    again = load_model(path)
    assert (again.layers, again.input_shape, again.input_shape_) == (LAYERS, SHAPE, SHAPE)
    assert (again.random_crop, again.horizontal_flip) == (1, True)
    assert (again.predict(x) == found.predict(x)).all()
    assert all((a == b).all() for a, b in zip(again.coefs_, found.coefs_, strict=True))
    found.set_params(layers=None)  # what it was trained with stays
    save_model(found, path)
    assert load_model(path).layers is None
    assert (load_model(path).predict(x) == found.predict(x)).all()


def test_files_say_once_what_the_range_of_pixels_is(tmp_path):
    found = classifier().fit(X / 3.0, Y)
    assert _values(found)["spans"] == [1]
    save_model(found, tmp_path / "images.binnet")
    again = load_model(tmp_path / "images.binnet").encoder_
    assert np.array_equal(again.edges_, found.encoder_.edges_)
    assert again.spans_ == found.encoder_.spans_ == [1] * 60


def test_a_file_of_c(tmp_path):
    path = tmp_path / "images.binnet"
    found = classifier().fit(X, Y)
    path.write_bytes(found.model_)
    again = load_model(path)
    assert again.input_shape_ == SHAPE
    assert (again.predict(X) == found.predict(X)).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"input_shape": [5, 6, 2]},
        {"input_shape": [6, 5]},
        {"input_shape": [-6, -5, 2]},
        {"input_shape": [6, 5, 2.0]},
        {"input_shape": "652"},
        {"input_shape": None},
        {"parameters": {"layers": [{"Conv3D": {}}]}},
        {"parameters": {"layers": [{"Conv2D": {"filters": 0, "kernel_size": 3}}]}},
        {"parameters": {"layers": [{"Dense": {"units": 2, "more": 3}}]}},
        {"parameters": {"layers": [7]}},
        {"parameters": {"layers": 7}},
        {"edges": [[0, 1]] * 60, "spans": [1] * 60},
        {"edges": [[0, 1, 2]], "spans": [1]},
        {"edges": [], "spans": []},
        {"n_features_in": 10**12, "edges": [[0, 1]], "spans": [1]},
    ],
)
def test_appendices_that_do_not_fit(tmp_path, changed):
    path = tmp_path / "images.binnet"
    found = classifier().fit(X, Y)
    path.write_bytes(append(found.model_, _values(found) | changed))
    with pytest.raises(ValueError, match=r"images\.binnet has an appendix that does not fit"):
        load_model(path)


# Going on


def test_warm_start():
    found = classifier(warm_start=True).fit(X, Y)
    first = found.checkpoint_
    fresh = classifier(warm_start=True, input_shape=SHAPE)
    fresh.checkpoint_ = first
    found.fit(X, Y)
    assert files(fresh.fit(X.reshape(N, -1), Y)) == files(found)
    assert found.checkpoint_ != first
    before = files(found)
    for changed, message in [
        (
            {"layers": [Conv2D(6, 3), *LAYERS[1:3]]},
            r"needs the layers of the previous fit, \[Conv2D",
        ),
        (
            {"layers": [replace(LAYERS[0], stride=2), *LAYERS[1:]]},
            r"layers.*got \[Conv2D.*stride=2",
        ),
        ({"layers": [LAYERS[0], *LAYERS[2:]]}, "needs the layers of the previous fit"),
        ({"layers": None, "hidden_layer_sizes": (6, 4, 9)}, r"got \[Dense\(units=6\), "),
        (
            {"input_shape": (5, 6, 2)},
            r"needs the input_shape of the previous fit, \(6, 5, 2\), got",
        ),
    ]:
        other = copy.deepcopy(found).set_params(**changed)
        with pytest.raises(ValueError, match=message):
            other.fit(X, Y)
        with pytest.raises(ValueError, match=message):
            other.partial_fit(X, Y)
        assert files(other) == before
    with pytest.raises(ValueError, match=r"input_shape of the previous fit, \(6, 5, 2\), got \(5,"):
        other = classifier(warm_start=True)
        other.checkpoint_ = first
        other.fit(X.reshape(N, 5, 6, 2), Y)


def test_warm_start_of_dense_layers_on_images():
    """Their checkpoint does not say whether rows are images."""
    table = X.reshape(N, -1)
    given = {"layers": [Dense(5)], "warm_start": True, "random_crop": 1}
    found = classifier(**given, input_shape=SHAPE).fit(X, Y)
    fresh = classifier(**given, input_shape=SHAPE)
    fresh.checkpoint_ = found.checkpoint_
    assert files(fresh.fit(table, Y)) == files(copy.deepcopy(found).fit(X, Y))
    before = files(found)
    for estimator, message in [
        (found.set_params(input_shape=(5, 6, 2)), r"previous fit, \(6, 5, 2\), got \(5, 6, 2\)"),
        (
            classifier(**given | {"random_crop": 0}).fit(table, Y).set_params(input_shape=SHAPE),
            r"the input_shape of the previous fit, None, got \(6, 5, 2\)",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            estimator.fit(table, Y)
        with pytest.raises(ValueError, match=message):
            estimator.partial_fit(table, Y)
    assert files(found) == before


def test_damaged_checkpoints():
    found = classifier(warm_start=True).fit(X, Y)
    data = found.checkpoint_
    for at in range(40, 48 + 16 * 4):
        for bit in (1, 128):
            other = classifier(warm_start=True, random_state=1)
            other.checkpoint_ = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            with pytest.raises(ValueError):
                other.fit(X, Y)
    found.checkpoint_ = data[:49] + bytes([200]) + data[50:]
    with pytest.raises(ValueError, match=r"damaged: it is of no net \(kernel_size=200 is outside"):
        found.fit(X, Y)


def test_streams():
    estimators = classifier(random_crop=1), classifier(random_crop=1, input_shape=SHAPE)
    plain = classifier()
    for part in np.split(np.arange(N), 3):
        for estimator, x in zip((*estimators, plain), (X, X.reshape(N, -1), X), strict=True):
            estimator.partial_fit(x[part], Y[part], classes=[0, 1])
    assert files(estimators[0]) == files(estimators[1])
    assert estimators[0].checkpoint_ != plain.checkpoint_


# Augmentation

VARIED = [
    {"horizontal_flip": True},
    {"random_crop": 2},
    {"horizontal_flip": True, "random_crop": 1},
]


@pytest.mark.parametrize("varied", VARIED)
def test_augmentation_is_the_same_everywhere(isa, varied):
    one = classifier(**varied).fit(X, Y)
    assert files(one) == files(classifier(**varied, n_jobs=3).fit(X[::-1], Y[::-1]))
    assert one.checkpoint_ != classifier().fit(X, Y).checkpoint_
    assert one.checkpoint_ != classifier(**varied, random_state=1).fit(X, Y).checkpoint_


def test_rows_of_training_and_calibration_are_varied(monkeypatch):
    """By the net's seed and step, calibration by a step of its own; validation not."""
    seen, varied, measured = [], [], []
    augment, step, calibrate = _engine.augment, _engine.Net.train_step, _engine.Net.calibrate

    def watched(how, seed, at, x):
        seen.append((how, seed, at))
        varied.append(augment(how, seed, at, x))
        return varied[-1]

    def train_step(net, x, labels, rate):
        assert x is varied[-1]
        assert net.step == seen[-1][2]
        return step(net, x, labels, rate)

    def measure(net, x):
        assert seen[-1][2] == NO_STEP
        assert sorted(map(bytes, x)) == sorted(map(bytes, varied[-1]))
        measured.append(x)
        return calibrate(net, x)

    monkeypatch.setattr(_engine, "augment", watched)
    monkeypatch.setattr(_engine.Net, "train_step", train_step)
    monkeypatch.setattr(_engine.Net, "calibrate", measure)
    found = classifier(random_crop=2, early_stopping=True, warm_start=True).fit(X, Y)
    how = _engine.Augmentation(*SHAPE, False, 2)
    seed = int(np.random.RandomState(0).randint(np.iinfo(np.int32).max))
    steps = [at for *_, at in seen if at != NO_STEP]
    assert steps == list(range(len(steps)))
    assert len(measured) == len(seen) - len(steps) > 0
    net_step = read_header(found.checkpoint_).step
    n_seen = len(seen)
    found.partial_fit(X, Y)
    assert seen[n_seen] == (how, seed, net_step)
    assert [at for *_, at in seen].count(NO_STEP) == len(measured)
    assert {(how, seed)} == {one[:2] for one in seen}


@pytest.mark.parametrize("varied", VARIED)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_resumed_augmentation(varied, early_stopping):
    given = {**varied, "early_stopping": early_stopping, "max_iter": 5, "warm_start": True}
    states = []
    whole = classifier(**given, callbacks=[lambda info: states.append(info.checkpoint())])
    whole.fit(X, Y)
    for state in states[:-1]:
        again = classifier(**given)
        again.checkpoint_ = state
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert files(again.fit(X, Y)) == files(whole)
    other = classifier(**{**given, "random_crop": 3})
    other.checkpoint_ = states[0]
    with pytest.warns(UserWarning, match="with other parameters"):
        other.fit(X, Y)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"layers": None, "random_crop": 2}, ValueError, "random_crop=2 varies images, and rows a"),
        (
            {"layers": [Dense(4)], "horizontal_flip": True},
            ValueError,
            "horizontal_flip=True varies images.* give layers with a Conv2D, or input_shape",
        ),
        ({"random_crop": -1}, ValueError, "random_crop=-1 is outside .* 0 to 127"),
        ({"random_crop": 0.5}, TypeError, r"random_crop=0\.5 is of type float; give an integer"),
        ({"horizontal_flip": 1}, TypeError, "horizontal_flip=1 is of type int; give True or False"),
        ({"random_crop": 5, "input_shape": SHAPE}, ValueError, "images of 6 x 5 out of sight; .*5"),
    ],
)
@pytest.mark.parametrize("make", [classifier, regressor])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_refused_augmentation(make, method, parameters, error, message):
    estimator = make(**parameters)
    named = {"classes": [0, 1]} if method == "partial_fit" and make is classifier else {}
    with pytest.raises(error, match=message):
        getattr(estimator, method)(X.reshape(N, -1), Y, **named)
    assert not hasattr(estimator, "n_features_in_")
