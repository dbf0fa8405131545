"""Evaluation with the latent weights, as the papers report for stochastic binarization.

Nothing here is part of a deployed network: it is floating-point, and only for comparison.
"""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from pybinnet._classifier import BinaryConnectClassifier

_SIGN, _ADAMAX = 4, 8  # bits of the method (libbinnet/FORMAT.md)
_ROWS = 2048  # at a time


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
        thousand are enough, of all classes.

    Returns
    -------
    accuracy : float
        Share of the rows that are classified rightly.

    Raises
    ------
    ValueError
        If `classifier` is of targets that do not exclude each other, or has no `checkpoint_`.
    """
    check_is_fitted(classifier)
    if not hasattr(classifier, "classes_") or classifier._multilabel:
        raise ValueError(
            "evaluate_latent takes a BinaryConnectClassifier of classes that exclude each other, "
            f"got a {type(classifier).__name__} of other targets"
        )
    classifier._has_state()
    scores = latent_scores(
        classifier.checkpoint_,
        classifier._features(X),
        classifier._features(X_train),
    )
    return float(accuracy_score(y, classifier.classes_[scores.argmax(axis=1)]))


def latent_scores(
    checkpoint: bytes, x: NDArray[np.uint8], x_train: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return the scores of encoded rows with the latent weights of a checkpoint."""
    sign, layers = read_latent(checkpoint)
    rows: NDArray[Any] = x
    train_rows: NDArray[Any] = x_train
    for index, (weights, bias, target) in enumerate(layers):
        z, z_train = _product(rows, weights), _product(train_rows, weights)
        mean = z_train.mean(axis=0)
        scale = target / np.maximum(1.25 * np.abs(z_train - mean).mean(axis=0), 1e-9)
        rows, train_rows = ((sums - mean) * scale + bias for sums in (z, z_train))
        if index + 1 < len(layers):
            rows, train_rows = _activate(rows, sign), _activate(train_rows, sign)
    return rows


def _product(x: NDArray[Any], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows by weights, without a float copy of all rows."""
    blocks = [x[i : i + _ROWS].astype(np.float32) @ weights.T for i in range(0, len(x), _ROWS)]
    return np.concatenate(blocks)


def _activate(y: NDArray[np.float32], sign: bool) -> NDArray[np.float32]:
    return np.where(y >= 0, 1, -1).astype(np.float32) if sign else np.clip(y, 0, 127)


def read_latent(checkpoint: bytes) -> tuple[bool, list[tuple[Any, Any, Any]]]:
    """Whether activations are signs; weights, biases and targets of each layer."""
    (method,) = struct.unpack_from("<I", checkpoint, 12)
    n_features, n_layers = struct.unpack_from("<II", checkpoint, 40)
    units = np.frombuffer(checkpoint, "<u4", 4 * n_layers, 48)[1::4].tolist()
    at = 48 + 16 * n_layers
    targets = np.frombuffer(checkpoint, "u1", units[-1], at).astype(np.float32)
    at += -(-units[-1] // 4) * 4
    layers = []
    for index, (fan_in, n) in enumerate(zip([n_features, *units], units, strict=False)):
        values = np.frombuffer(checkpoint, "<i2", n * (1 + fan_in), at).astype(np.float32)
        bias, weights = values[:n] / 256, values[n:].reshape(n, fan_in) / 32768
        layers.append((weights, bias, targets if index + 1 == n_layers else np.float32(32)))
        n_bytes = 2 * len(values) * (3 if method & _ADAMAX else 1)
        at += -(-n_bytes // 4) * 4
    return bool(method & _SIGN), layers
