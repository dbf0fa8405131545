"""Estimators as files that C programs read too: the deployed network with an appendix."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from pybinnet import _engine, _layers
from pybinnet._appendix import append, split, strip
from pybinnet._base import BinaryConnectBase
from pybinnet._classifier import BinaryConnectClassifier
from pybinnet._features import PiecewiseLinearEncoder
from pybinnet._files import replace
from pybinnet._model_file import read_input_shape
from pybinnet._parameters import hidden_sizes
from pybinnet._regressor import BinaryConnectRegressor
from pybinnet._shapes import Shape
from pybinnet._stream import Stream
from pybinnet._validation import checked_edges, demand

_ESTIMATORS = {c.__name__: c for c in (BinaryConnectClassifier, BinaryConnectRegressor)}


def save_model(estimator: BinaryConnectBase, path: str | os.PathLike[str]) -> None:
    """Write the deployed network and what predictions need beside it to a file.

    The file is a deployed model as ``libbinnet/FORMAT.md`` has it, which C programs open as it is;
    its appendix holds encoding, classes, column names and parameters as JSON. It has no state of
    training: to go on learning, keep the estimator by `joblib.dump`.

    Parameters
    ----------
    estimator : BinaryConnectClassifier or BinaryConnectRegressor
        Fitted.
    path : str or path-like
        The file. It is replaced as a whole, or, on an error, left as it was.

    Raises
    ------
    TypeError
        If `estimator` is of another type, or its classes are neither numbers, Booleans nor strings.
    ValueError
        If the classes are too long for a file, 2^24 letters were each as long as the longest.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    OSError
        If the file cannot be written.

    See Also
    --------
    load_model : Reads it.
    export_c : For firmware, with an integer encoding of the inputs.
    export_onnx : For other runtimes.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from pybinnet import BinaryConnectClassifier, load_model, save_model
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = BinaryConnectClassifier((16,), random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "iris.binnet"
    ...     save_model(clf, path)
    ...     again = load_model(path)
    >>> bool((again.predict(X) == clf.predict(X)).all())
    True
    """
    if not isinstance(estimator, BinaryConnectBase):
        raise TypeError(
            "save_model takes a fitted BinaryConnectClassifier or BinaryConnectRegressor, got "
            f"{type(estimator).__name__}; of a search give best_estimator_, of a pipeline its last "
            "step"
        )
    check_is_fitted(estimator)
    replace(Path(path), append(estimator.model_, _values(estimator)))


def load_model(path: str | os.PathLike[str]) -> BinaryConnectClassifier | BinaryConnectRegressor:
    """Read an estimator that predicts as the one that `save_model` was given.

    Nothing in the file is run, and all of it is checked: files from strangers are safe to load.

    Parameters
    ----------
    path : str or path-like
        The file. One that a C program wrote has no appendix: it becomes a classifier of uint8
        columns with the classes 0, 1 and so on.

    Returns
    -------
    estimator : BinaryConnectClassifier or BinaryConnectRegressor
        With all that predicting and exporting needs, but without the state of training:
        `checkpoint_`, `loss_curve_` and the like.

    Raises
    ------
    ValueError
        If the file is not such a file, or is damaged.
    OSError
        If it cannot be read.
    """
    try:
        data = Path(path).read_bytes()
    except MemoryError:
        n_bytes = os.path.getsize(path)
        raise MemoryError(
            f"{os.fspath(path)} has {n_bytes / 2**20:.0f} MiB, for which there is no memory"
        ) from None
    try:
        size, n_features, n_outputs = _engine.model_sizes(data)
        values, _ = split(data, size)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)} cannot be loaded: {error}") from None
    image_shape = read_input_shape(data)
    if values is None:
        values = _values_of_c(n_features, n_outputs, image_shape)
    estimator: BinaryConnectClassifier | BinaryConnectRegressor
    try:
        estimator = _restored(values, n_features, n_outputs, image_shape)
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise ValueError(
            f"{os.fspath(path)} has an appendix that does not fit its network, or is of a later "
            f"version of pybinnet ({type(error).__name__}: {error})"
        ) from None
    estimator._stream = Stream()
    estimator.model_ = strip(data, size)
    return estimator


def _values(estimator: BinaryConnectBase) -> dict[str, Any]:
    encoder = estimator.encoder_
    told = slice(None if estimator.input_shape_ is None else 1)  # all columns of images are alike
    parameters = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in estimator.get_params().items()
        if isinstance(value, str | int | float | np.generic)
    }
    parameters["hidden_layer_sizes"] = hidden_sizes(estimator)
    if estimator.layers is not None:
        parameters["layers"] = _layers.to_json(estimator.layers)
    if estimator.input_shape is not None:
        parameters["input_shape"] = list(map(int, estimator.input_shape))
    values = {
        "estimator": next(n for n, c in _ESTIMATORS.items() if isinstance(estimator, c)),
        "parameters": parameters,
        "n_features_in": estimator.n_features_in_,
        "edges": None if encoder.identity_ else [edges.tolist() for edges in encoder.edges_[told]],
        "spans": list(encoder.spans_[told]),
    }
    if estimator.input_shape_ is not None:
        values["input_shape"] = list(estimator.input_shape_)
    if hasattr(estimator, "feature_names_in_"):
        values["feature_names_in"] = estimator.feature_names_in_.tolist()
    return values | estimator._saved()


def _values_of_c(n_features: int, n_classes: int, image_shape: Shape | None) -> dict[str, Any]:
    of_images = {} if image_shape is None else {"input_shape": list(image_shape)}
    return {
        **of_images,
        "estimator": "BinaryConnectClassifier",
        "parameters": {},
        "n_features_in": n_features,
        "edges": None,
        "spans": [],
        "classes": list(range(n_classes)),
        "dtype": "<i8",
        "multilabel": False,
    }


def _restored(
    values: dict[str, Any], n_features: int, n_outputs: int, image_shape: Shape | None
) -> Any:
    estimator = _ESTIMATORS[values["estimator"]](**_parameters(values["parameters"]))
    estimator.n_features_in_ = values["n_features_in"]
    demand(isinstance(estimator.n_features_in_, int), "columns")
    estimator.input_shape_ = _input_shape(values, n_features)
    demand(image_shape in (None, estimator.input_shape_), "images")
    if "feature_names_in" in values:
        names = values["feature_names_in"]
        demand(len(names) == estimator.n_features_in_, "column names")
        demand(all(isinstance(name, str) for name in names), "column names")
        estimator.feature_names_in_ = np.array(names, dtype=object)
    of_images = estimator.input_shape_ is not None
    demand(not of_images or estimator.n_features_in_ == n_features, "columns")
    estimator.encoder_ = _encoder(values, estimator.n_features_in_, of_images)
    demand(estimator.encoder_.n_features_out_ == n_features, "edges")
    estimator._load_saved(values)
    demand(estimator._n_outputs() == n_outputs, "outputs")
    return estimator


def _parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    restored = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in parameters.items()
    }
    if parameters.get("layers") is not None:
        restored["layers"] = _layers.from_json(parameters["layers"])
    return restored


def _input_shape(values: dict[str, Any], n_features: int) -> Shape | None:
    if "input_shape" not in values:
        return None
    shape = height, width, channels = values["input_shape"]
    demand(all(type(size) is int and size > 0 for size in shape), "images")
    demand(height * width * channels == n_features, "images")
    return height, width, channels


def _encoder(values: dict[str, Any], n_columns: Any, of_images: bool) -> PiecewiseLinearEncoder:
    edges, spans = values["edges"], values["spans"]
    encoder = PiecewiseLinearEncoder()
    encoder.n_features_in_ = n_columns
    if edges is None:
        encoder._take(None, [])
        return encoder
    checked = [checked_edges(of_column) for of_column in edges]
    demand(len(checked) == len(spans) == (1 if of_images else n_columns), "edges")
    for of_column, span in zip(checked, spans, strict=True):
        demand(type(span) is int and 1 <= span <= max(1, of_column.size - 1), "spans")
    if of_images:
        demand(checked[0].size == 2, "edges")
        checked, spans = checked * n_columns, spans * n_columns
    encoder._take(checked, spans)
    return encoder
