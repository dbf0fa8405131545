"""The shapes that images have between layers, and what files say of both (libbinnet/FORMAT.md)."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pybinnet import _engine

# Height, width, channels; what is no image is (1, 1, n).
Shape = tuple[int, int, int]


def summed(layer: _engine.Layer, shape: Shape) -> tuple[int, int]:
    """Height and width of a convolution's sums, before they are pooled."""
    if layer.valid:
        height, width = ((size - layer.kernel_size) // layer.stride + 1 for size in shape[:2])
    else:
        height, width = (-(-size // layer.stride) for size in shape[:2])
    return height, width


def padding(layer: _engine.Layer, shape: Shape) -> list[tuple[int, int]]:
    """What stands around a convolution's input: (above, below), (left, right)."""
    if layer.valid:
        return [(0, 0), (0, 0)]
    pads = []
    for n, size in zip(summed(layer, shape), shape[:2], strict=True):
        missing = max(0, (n - 1) * layer.stride + layer.kernel_size - size)
        pads.append((missing // 2, missing - missing // 2))
    return pads


def output(layer: _engine.Layer, shape: Shape) -> Shape:
    """The shape of what a layer puts out for an input of this shape."""
    if not layer.kernel_size:
        return 1, 1, layer.units
    height, width = summed(layer, shape)
    return height // layer.pool, width // layer.pool, layer.units


def inputs(layers: tuple[_engine.Layer, ...], shape: Shape) -> list[Shape]:
    """The shape of each layer's input."""
    shapes = [shape]
    for layer in layers[:-1]:
        shapes.append(output(layer, shapes[-1]))
    return shapes


def fan_in(layer: _engine.Layer, shape: Shape) -> int:
    """The weights of a unit or filter."""
    return layer.kernel_size**2 * shape[2] if layer.kernel_size else math.prod(shape)


def as_coefs(weights: NDArray[Any], layer: _engine.Layer) -> NDArray[Any]:
    """Weights, shape (units, fan_in), with the units last and kernels as arrays."""
    if layer.kernel_size:
        return np.moveaxis(weights.reshape(layer.units, *2 * (layer.kernel_size,), -1), 0, -1)
    return weights.T


def read_image(word: int) -> tuple[int, int] | None:
    """Height and width of images in a file's word of shape."""
    height, width = word >> 8 & 0xFFF, word >> 20
    return (height, width) if height and width else None


def read_layer(kind: int, units: int) -> _engine.Layer:
    """A layer from a file's words of kind and units."""
    if kind & 0xFF != _engine.CONV2D:
        return _engine.Layer(units)
    size, stride, pool = kind >> 8 & 0xFF, kind >> 16 & 0x7F, kind >> 24
    return _engine.Layer(units, size, stride, bool(kind >> 23 & 1), pool)


def input_shape(n_features: int, image: tuple[int, int] | None) -> Shape:
    """The shape of a net's input."""
    if image is None:
        return 1, 1, n_features
    return *image, n_features // math.prod(image)
