"""A classifier as a C header, for firmware."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import os
import re
from dataclasses import astuple
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from pybinnet import _engine
from pybinnet._base import BinaryConnectBase
from pybinnet._classifier import BinaryConnectClassifier
from pybinnet._files import replace
from pybinnet._header import Exported, State, header
from pybinnet._integer_ramps import INT32, MAX_FRACTION_BITS, IntegerRamps, integer_ramps
from pybinnet._layers import notation
from pybinnet._model_file import read_model
from pybinnet._parameters import CHOICES, engine_method, rate_exponents
from pybinnet._regressor import BinaryConnectRegressor
from pybinnet._validation import check_flag, check_number, numbers

_TEST_ROWS = 8


def export_c(
    clf: BinaryConnectClassifier,
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    fraction_bits: int = 0,
    X_test: ArrayLike | None = None,
    checkpoint: bool = False,
) -> None:
    """Write a C header with the deployed network, for firmware with libbinnet.

    The header has the model, the sizes of all buffers, the class labels, and functions to open the
    model (``name_open``), predict a row (``name_predict``) and check at boot that the device
    computes what Python does (``name_selftest``). It is C99 and C++; how to use it, it says itself.
    Nothing in it is floating-point.

    The inputs of ``name_predict`` are bytes if the classifier was fitted on bytes. Otherwise
    they are int32, and ``name_encode`` makes of them the features that `predict` makes: an input
    `i` is the number ``i / 2**fraction_bits``. The bytes are the same for every int32, which is
    proved for each export. Images are inputs in the order row, column, channel.

    Parameters
    ----------
    clf : BinaryConnectClassifier
        Fitted.
    path : str or path-like
        The file. It is replaced as a whole, or, on an error, left as it was.
    name : str or None, default=None
        What names in the header begin with: a letter, then letters, digits and underscores.
        Macros have it in upper case. By default the file's name without its suffix.
    fraction_bits : int, default=0
        Bits behind the binary point of inputs, 0 to 30. If sensor readings are what the classifier
        was fitted on, 0 is right.
    X_test : array-like of shape (n_tests, n_features), default=None
        Rows, or images, that ``name_selftest`` predicts: multiples of ``2**-fraction_bits``. By
        default eight random ones; of int32 the extremes and up to 31, so that all ramps are met.
    checkpoint : bool, default=False
        Whether to add `checkpoint_` and its configuration, from which the device can go on
        learning as if it had begun there (``name_config``, ``name_checkpoint``). Of the classifier
        that was exported, a checkpoint that the device wrote becomes `checkpoint_`:
        ``clf.checkpoint_ = data``, then fit with `warm_start`.

    Raises
    ------
    TypeError
        If `clf` is no BinaryConnectClassifier, or an argument is not of its type.
    ValueError
        If `name` or `fraction_bits` is not as said, if `X_test` has other columns or numbers that
        no input is, or if training data is beyond int32 at these `fraction_bits`.
    sklearn.exceptions.NotFittedError
        If `clf` is not fitted. It is a ValueError.
    OSError
        If the file cannot be written.

    Warns
    -----
    UserWarning
        If integers at `fraction_bits` are too coarse to tell training values apart.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from pybinnet import BinaryConnectClassifier, export_c
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = BinaryConnectClassifier((16,), random_state=0).fit((10 * X).round().astype(int), y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "iris.h"
    ...     export_c(clf, path)
    ...     print("iris_selftest" in path.read_text())
    True
    """
    if isinstance(clf, BinaryConnectRegressor):
        raise TypeError(
            "export_c takes a classifier, got a BinaryConnectRegressor; export_onnx takes it, and "
            "C programs get the scores of encoded rows from the file of save_model, by "
            "binnet_model_predict"
        )
    check_exportable("export_c", clf, BinaryConnectClassifier)
    if clf._multilabel:
        raise ValueError(
            "export_c takes classes that exclude each other; C programs get the scores of these "
            "labels from the file of save_model, by binnet_model_predict: a label is where its "
            "score is above 0"
        )
    path = Path(path)
    name = _checked_name(path.stem if name is None else name)
    check_number("fraction_bits", fraction_bits, Integral, 0, MAX_FRACTION_BITS)
    check_flag("checkpoint", checkpoint)
    encoder = clf.encoder_
    if encoder.identity_ and fraction_bits:
        raise ValueError(
            f"fraction_bits={fraction_bits} does not go with a classifier fitted on bytes, "
            "whose inputs are bytes; use 0"
        )
    ramps = None if encoder.identity_ else integer_ramps(encoder, int(fraction_bits))
    inputs: NDArray[Any]
    if X_test is not None:
        inputs = _as_inputs(clf, X_test, fraction_bits)
    else:
        inputs = _random_bytes(clf.n_features_in_) if ramps is None else _rows_on(ramps)
    features = encoder._encode(inputs if ramps is None else inputs / 2.0**fraction_bits)
    exported = Exported(
        name=name,
        version=_engine.version(),
        what=_description(clf),
        model=clf.model_,
        classes=clf.classes_,
        n_features=encoder.n_features_out_,
        library_scratch=_engine.portable_scratch_size(clf.model_),
        ramps=ramps,
        fraction_bits=fraction_bits,
        test_inputs=inputs,
        test_scores=_engine.predict_scores(clf.model_, features),
        state=_state(clf) if checkpoint else None,
    )
    replace(path, header(exported).encode())


def check_exportable(function: str, clf: Any, kind: type[BinaryConnectBase]) -> None:
    """Raise a TypeError or NotFittedError unless `clf` is a fitted estimator of this kind."""
    if not isinstance(clf, kind):
        wanted = "BinaryConnectClassifier"
        if kind is not BinaryConnectClassifier:
            wanted += " or BinaryConnectRegressor"
        raise TypeError(
            f"{function} takes a fitted {wanted}, got {type(clf).__name__}; of a search give "
            "best_estimator_, of a pipeline the estimator that is its last step"
        )
    check_is_fitted(clf)


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"name={name!r} is of type {type(name).__name__}; give a string")
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(
            f"name={name!r} is no C identifier; give a letter, then letters, digits and underscores"
        )
    if name.lower().startswith("binnet"):
        raise ValueError(f"name={name!r} begins as the library's own names do; give another")
    return name


def _description(clf: BinaryConnectClassifier) -> str:
    (method,) = np.frombuffer(clf.model_, "<u4", 1, 12)  # FORMAT.md
    layers = read_model(clf.model_)
    network = notation(layers[0].input_shape, tuple(layer.form for layer in layers))
    weights, activation = CHOICES["weights"][method & 1], CHOICES["activation"][method >> 2 & 1]
    return f"A {network} network with {weights} weights and {activation} activation."


def _state(clf: BinaryConnectClassifier) -> State:
    before = clf._last_configuration()
    method = engine_method(before.method)
    return State(
        checkpoint=clf.checkpoint_,
        seed=before.seed,
        batch_size=before.batch_size,
        layers=before.layers,
        image=before.image or (0, 0),
        method=tuple(map(int, astuple(method))),
        class_counts=before.counts,
        n_rows=before.n_rows,
        rate_exponents=rate_exponents(clf),
        arena_bytes=_engine.portable_net_size(
            clf.encoder_.n_features_out_, before.layers, before.batch_size, method, before.image
        ),
    )


def _as_inputs(clf: BinaryConnectClassifier, X_test: ArrayLike, fraction_bits: int) -> NDArray[Any]:
    """Rows, given as to `predict`, as the inputs that the header takes."""
    rows = numbers(validate_data(clf, clf._flattened(X_test, reset=False), reset=False))
    if clf.encoder_.identity_:
        return clf.encoder_._encode(rows)
    with np.errstate(over="ignore"):
        scaled = rows.astype(np.float64) * 2.0**fraction_bits
    bad = (scaled != np.rint(scaled)) | (scaled < INT32.min) | (scaled > INT32.max)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"X_test[{row}, {column}] is {rows[row, column]}, which fraction_bits={fraction_bits} "
            f"makes {scaled[row, column]}: no int32. Round X_test to multiples of "
            f"2**-{fraction_bits}, or use other fraction_bits"
        )
    inputs: NDArray[np.int32] = scaled.astype(np.int32)
    return inputs


def _random_bytes(n_inputs: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (_TEST_ROWS, n_inputs), dtype=np.uint8)


def _rows_on(ramps: IntegerRamps) -> NDArray[np.int32]:
    """The two extremes, and random rows, the same each time, in all intervals of each column."""
    random = np.random.default_rng(0)
    n_intervals = [n - span + 1 for n, span in zip(ramps.n_ramps, ramps.spans, strict=True)]
    inputs = np.zeros((max(_TEST_ROWS, 2 + max(n_intervals)), len(n_intervals)), np.int64)
    inputs[:2] = [[INT32.min], [INT32.max]]
    first = 0
    for column, n in enumerate(n_intervals):
        if n == 0:
            continue
        edge = first + random.permutation(np.arange(len(inputs) - 2) % n)
        between = random.integers(ramps.edges[edge], ramps.edges[edge + 1], endpoint=True)
        inputs[2:, column] = between >> ramps.edge_bits
        first += n + 1
    return inputs.clip(INT32.min, INT32.max).astype(np.int32)
