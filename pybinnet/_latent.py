"""Evaluation with the latent weights, as the papers report for stochastic binarization.

Nothing here is part of a deployed network: it is floating-point, and only for comparison.
"""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from pybinnet import _engine
from pybinnet._checkpoint import read_header
from pybinnet._images import augmentation
from pybinnet._shapes import Shape, fan_in, input_shape, inputs, padding, summed
from pybinnet._training import as_trained

if TYPE_CHECKING:
    from pybinnet._classifier import BinaryConnectClassifier

_ROWS = 2048  # at a time
_VALUES = 1 << 22  # that convolutions multiply at a time


def evaluate_latent(
    classifier: BinaryConnectClassifier, X: ArrayLike, y: ArrayLike, X_train: ArrayLike
) -> float:
    """Return the accuracy of a classifier with its latent weights instead of the deployed ones.

    Courbariaux et al. (2015, section 2.6) test networks that were trained with stochastic
    binarization by their real-valued weights, so figures to compare with theirs come from here.
    `BinaryConnectClassifier.score` is the accuracy of what is deployed: 1 or 2 bits for a weight.

    Parameters
    ----------
    classifier : BinaryConnectClassifier
        Fitted; its `checkpoint_` has the latent weights.
    X : array-like of shape (n_samples, n_features)
        Rows to classify.
    y : array-like of shape (n_samples,)
        Their classes.
    X_train : array-like of shape (n_training_samples, n_features)
        Training rows, on which the normalisation statistics of these weights are measured: a few
        thousand are enough, of all classes; of images for convolutions some hundreds, as all
        activations of a layer are kept, as floats. They are varied as in training, by
        `horizontal_flip` and `random_crop` of `classifier`.

    Returns
    -------
    accuracy : float
        Share of the rows that are classified rightly.

    Raises
    ------
    ValueError
        If `classifier` is of targets that do not exclude each other, or has no `checkpoint_` or one
        of another number of classes.
    """
    check_is_fitted(classifier)
    if not hasattr(classifier, "classes_") or classifier._multilabel:
        raise ValueError(
            "evaluate_latent takes a BinaryConnectClassifier of classes that exclude each other, "
            f"got a {type(classifier).__name__} of other targets"
        )
    classifier._has_state()
    how = augmentation(classifier, classifier.input_shape_)
    seed = read_header(classifier.checkpoint_).seed
    scores = latent_scores(
        classifier.checkpoint_,
        classifier._features(X),
        as_trained(classifier._features(X_train), how, seed),
    )
    n_classes = len(classifier.classes_)
    if scores.shape[1] != n_classes:
        raise ValueError(f"checkpoint_ is of {scores.shape[1]} classes, classes_ of {n_classes}")
    return float(accuracy_score(y, classifier.classes_[scores.argmax(axis=1)]))


@dataclass(frozen=True)
class LatentLayer:
    """A layer of a checkpoint: weights of shape (units, fan_in), biases and targets, as floats."""

    form: _engine.Layer
    input_shape: Shape
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    target: Any


def latent_scores(
    checkpoint: bytes, x: NDArray[np.uint8], x_train: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return the scores of encoded rows with the latent weights of a checkpoint."""
    sign, layers = read_latent(checkpoint)
    rows: NDArray[Any] = x
    train_rows: NDArray[Any] = x_train
    for index, layer in enumerate(layers):
        outside = -1 if sign and index else 0
        z, z_train = (_sums(layer, of, outside) for of in (rows, train_rows))
        mean = z_train.mean(axis=0)
        scale = layer.target / np.maximum(1.25 * np.abs(z_train - mean).mean(axis=0), 1e-9)
        rows, train_rows = ((sums - mean) * scale + layer.bias for sums in (z, z_train))
        if index + 1 < len(layers):
            rows, train_rows = _activate(rows, sign), _activate(train_rows, sign)
        rows, train_rows = rows.reshape(len(x), -1), train_rows.reshape(len(x_train), -1)
    return rows


def _sums(layer: LatentLayer, x: NDArray[Any], outside: int) -> NDArray[np.float32]:
    """Rows by weights, without a float copy of all rows; of a convolution a row each position."""
    form, sums = layer.form, _product
    at_once = _ROWS
    if form.kernel_size:
        sums = _convolution
        area = math.prod(summed(form, layer.input_shape))
        at_once = max(1, _VALUES // (area * layer.weights.shape[1]))
    blocks = range(0, len(x), at_once)
    return np.concatenate([sums(layer, x[i : i + at_once], outside) for i in blocks])


def _product(layer: LatentLayer, x: NDArray[Any], outside: int) -> NDArray[np.float32]:
    product: NDArray[np.float32] = x.astype(np.float32) @ layer.weights.T
    return product


def _convolution(layer: LatentLayer, x: NDArray[Any], outside: int) -> NDArray[np.float32]:
    """The pooled sums, shape (n_rows * height * width, filters): docs/algorithm.md, section 12."""
    form, (height, width, channels) = layer.form, layer.input_shape
    k, s, p = form.kernel_size, form.stride, form.pool
    n_down, n_right = summed(form, layer.input_shape)
    images = x.astype(np.float32).reshape(-1, height, width, channels)
    pads = padding(form, layer.input_shape)
    images = np.pad(images, ((0, 0), *pads, (0, 0)), constant_values=outside)
    windows = np.lib.stride_tricks.sliding_window_view(images, (k, k), (1, 2))
    windows = np.moveaxis(windows[:, ::s, ::s], 3, 5)[:, :n_down, :n_right]
    z = windows.reshape(-1, layer.weights.shape[1]) @ layer.weights.T
    n_down, n_right = n_down // p, n_right // p
    z = z.reshape(len(x), *summed(form, layer.input_shape), -1)[:, : p * n_down, : p * n_right]
    pooled: NDArray[np.float32] = z.reshape(len(x), n_down, p, n_right, p, -1).max(axis=(2, 4))
    return pooled.reshape(-1, form.units)


def _activate(y: NDArray[np.float32], sign: bool) -> NDArray[np.float32]:
    return np.where(y >= 0, 1, -1).astype(np.float32) if sign else np.clip(y, 0, 127)


def read_latent(checkpoint: bytes) -> tuple[bool, list[LatentLayer]]:
    """Whether activations are signs; the layers of a checkpoint.

    A ValueError if the checkpoint ends before its last layer.
    """
    header = read_header(checkpoint)
    shapes = inputs(header.layers, input_shape(header.n_features, header.image))
    at = 48 + 16 * len(header.layers) + -(-len(header.scales) // 4) * 4
    layers = []
    for index, (form, shape) in enumerate(zip(header.layers, shapes, strict=True)):
        n, n_weights = form.units, fan_in(form, shape)
        values = np.frombuffer(checkpoint, "<i2", n * (1 + n_weights), at).astype(np.float32)
        bias, weights = values[:n] / np.float32(256), values[n:] / np.float32(32768)
        last = index + 1 == len(header.layers)
        target: Any = np.array(header.scales, np.float32) if last else np.float32(32)
        layers.append(LatentLayer(form, shape, weights.reshape(n, -1), bias, target))
        n_bytes = 2 * len(values) * (3 if header.method.adamax else 1)
        at += -(-n_bytes // 4) * 4
    return header.method.sign, layers
