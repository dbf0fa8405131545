"""Rows that are images: their shape, and how training varies them."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

import numpy as np

from pybinnet import _engine
from pybinnet._shapes import Shape
from pybinnet._validation import check_number


def check_input_shape(shape: Any, name: str = "input_shape") -> None:
    """Raise a TypeError or ValueError unless a parameter is the shape of an image, or None."""
    if shape is None:
        return
    if not isinstance(shape, tuple | list | np.ndarray) or len(shape) != 3:
        raise TypeError(
            f"{name}={shape!r} is no shape of an image; give (height, width, channels), such "
            "as (28, 28, 1)"
        )
    for size, most in zip(
        shape, (_engine.MAX_SIZE, _engine.MAX_SIZE, _engine.MAX_FEATURES), strict=True
    ):
        check_number(name, size, Integral, 1, most, whole=shape)
    if math.prod(map(int, shape)) > _engine.MAX_FEATURES:
        raise ValueError(
            f"{name}={shape!r} has more than the {_engine.MAX_FEATURES} numbers that a row may "
            "have; scale the images down"
        )


def asked_shape(params: Any) -> Shape | None:
    """The parameter `input_shape`, checked before."""
    if params.input_shape is None:
        return None
    height, width, channels = map(int, params.input_shape)
    return height, width, channels


def found_shape(X: Any, who: str) -> Shape:
    """The shape of the images in X; ValueError if one cannot tell. `who` needs it."""
    found = _shape(X)
    if len(found) not in (3, 4):
        raise ValueError(
            f"X has shape {found}, and {who} needs images: give X of shape "
            "(n_samples, height, width, channels) or (n_samples, height, width), or input_shape"
        )
    height, width, channels = (*found[1:], 1)[:3]
    shape = height, width, channels
    check_input_shape(shape, "X.shape[1:]")
    if height in (1, 3) and min(width, channels) > 4:
        raise ValueError(
            f"X has shape {found}, as of images whose channels come first: give "
            f"np.moveaxis(X, 1, -1), or input_shape={shape} if their height is {height}"
        )
    return shape


def flattened(X: Any, shape: Shape) -> Any:
    """Images as rows, in the order row, column, channel; ValueError if they have another shape."""
    found = _shape(X)
    n_features = math.prod(shape)
    if len(found) < 2:
        return X  # scikit-learn says what is wrong with it
    if found[1:] == (n_features,):
        return X
    if len(found) not in (3, 4) or (*found[1:], 1)[:3] != shape:
        one = f" or (n_samples, {shape[0]}, {shape[1]})" if shape[2] == 1 else ""
        raise ValueError(
            f"X has shape {found}, and its images must be of input_shape {shape}: give X of shape "
            f"(n_samples, {', '.join(map(str, shape))}){one}, or rows of {n_features} numbers"
            f"{'; of one image X[np.newaxis]' if (*found, 1)[:3] == shape else ''}"
        )
    return np.asarray(X).reshape(found[0], n_features)


def refuse_images(X: Any) -> None:
    """Raise a ValueError if an array holds images."""
    found = getattr(X, "shape", ())
    if len(found) > 2:
        raise ValueError(
            f"X has shape {found}, and rows are no images: give X.reshape(len(X), -1), or fit with "
            "layers that have a Conv2D, or with input_shape"
        )


def _shape(X: Any) -> tuple[int, ...]:
    try:
        return np.shape(X)
    except ValueError:
        raise ValueError(
            "the images in X differ in shape; crop or scale them to the same height and width"
        ) from None


def check_augmentation(params: Any, shape: Shape | None) -> None:
    """Raise a ValueError if images are to be varied where there are none, or not that much."""
    if shape is None and (params.horizontal_flip or params.random_crop):
        name = "horizontal_flip" if params.horizontal_flip else "random_crop"
        raise ValueError(
            f"{name}={getattr(params, name)!r} varies images, and rows are none: give layers with "
            "a Conv2D, or input_shape"
        )
    if shape is not None and params.random_crop >= min(shape[:2]):
        raise ValueError(
            f"random_crop={params.random_crop!r} would move images of {shape[0]} x {shape[1]} out "
            f"of sight; give less than {min(shape[:2])}"
        )


def augmentation(params: Any, shape: Shape | None) -> _engine.Augmentation | None:
    """How training varies images; None if not at all."""
    if shape is None or not (params.horizontal_flip or params.random_crop):
        return None
    return _engine.Augmentation(*shape, bool(params.horizontal_flip), int(params.random_crop))
