"""A deployed model's bytes as arrays: libbinnet/FORMAT.md."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pybinnet import _engine, _shapes

_METHOD, _SIZES, _FIXED = 12, 24, 32  # offsets: of the method, of two counts, of the layers
_TERNARY, _SIGN = 1, 4  # bits of the method
_UNIT = np.dtype([("mean", "<i4"), ("bias", "<i2"), ("shift", "i1"), ("term", "i1")])


@dataclass(frozen=True)
class Norms:
    """How sums of ReLU or output units are normalised; each array of shape (units,), int64."""

    means: NDArray[np.int64]
    factors: NDArray[np.int64]  # `scaled(c)` of docs/algorithm.md is factor times c
    shifts: NDArray[np.int64]  # `k`
    biases: NDArray[np.int64]  # in 1/256 of the activation unit


@dataclass(frozen=True)
class Thresholds:
    """The sums from which sign units are +1, shape (units,), int64."""

    values: NDArray[np.int64]


@dataclass(frozen=True)
class Layer:
    """A layer: its weights, shape (units, fan_in), and what becomes of its units' sums.

    Weights of a convolution, and inputs that are images, are in the order row, column, channel.
    """

    form: _engine.Layer
    input_shape: _shapes.Shape
    weights: NDArray[np.int8]
    rule: Norms | Thresholds


def read_model(model: bytes) -> list[Layer]:
    """Return the layers of a deployed model, the last of which makes the scores.

    Raises
    ------
    ValueError
        If the library refuses the bytes, which checks all that FORMAT.md says.
    """
    _engine._open_model(model, _engine.isa_name())
    data = np.frombuffer(model, dtype=np.uint8)
    method = int(data[_METHOD : _METHOD + 4].view("<u4")[0])
    n_features, shape = map(int, data[_SIZES:_FIXED].view("<u4"))
    n_layers = shape & 0xFF
    heads = data[_FIXED : _FIXED + 8 * n_layers].view("<u4").reshape(n_layers, 2)
    forms = tuple(_shapes.read_layer(*head) for head in heads.tolist())
    inputs = _shapes.inputs(forms, _shapes.input_shape(n_features, _shapes.read_image(shape)))
    at = _FIXED + heads.nbytes
    layers: list[Layer] = []
    for form, of_input in zip(forms, inputs, strict=True):
        units, fan_in = form.units, _shapes.fan_in(form, of_input)
        of_signs = bool(method & _SIGN) and len(layers) > 0
        rule: Norms | Thresholds
        if method & _SIGN and len(layers) + 1 < n_layers:
            rule = Thresholds(data[at : at + 4 * units].view("<i4").astype(np.int64))
            at += 4 * units
        else:
            rule = _norms(data[at : at + _UNIT.itemsize * units].view(_UNIT))
            at += _UNIT.itemsize * units
        row_bytes = _padded(-(-fan_in // 8), 8 if of_signs else 1)
        at = _padded(at, 8 if of_signs else 1)
        planes = []
        for _ in range(2 if method & _TERNARY else 1):
            plane = data[at : at + units * row_bytes].reshape(units, row_bytes)
            planes.append(np.unpackbits(plane, axis=1, count=fan_in, bitorder="little"))
            at += plane.size
        weights = planes[0].astype(np.int8) + planes[-1].astype(np.int8) - np.int8(1)
        at = _padded(at, 4)
        layers.append(Layer(form, of_input, weights, rule))
    return layers


def read_input_shape(model: bytes) -> _shapes.Shape | None:
    """Return the shape of the images that a deployed model takes; None if it takes rows."""
    n_features, shape = map(int, np.frombuffer(model, "<u4", 2, _SIZES))
    image = _shapes.read_image(shape)
    return None if image is None else _shapes.input_shape(n_features, image)


def _padded(n_bytes: int, to: int) -> int:
    return -(-n_bytes // to) * to


def _norms(units: NDArray[np.void]) -> Norms:
    means, biases, shifts, terms = (units[name].astype(np.int64) for name in _UNIT.names or ())
    return Norms(means, (1 << np.abs(terms)) + np.sign(terms), shifts, biases)
