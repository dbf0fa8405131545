"""Layers as users write them, and what becomes of them."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from numbers import Integral
from typing import Any

from pybinnet import _engine, _shapes
from pybinnet._shapes import Shape
from pybinnet._validation import check_choice, check_number

_MOST_SUMMED = 65536  # products of a byte each: what a sum is known not to overflow with
_EXACT_POSITIONS = 32768  # of the exact gradient, whose products are larger
_PADDINGS = ("same", "valid")


@dataclass(frozen=True)
class Conv2D:
    """A convolution of images, batch normalisation by filter, and the activation.

    Parameters
    ----------
    filters : int
        Channels that it puts out, 1 to 65536.
    kernel_size : int
        Height and width of a filter, 1 to 31.
    padding : {"same", "valid"}, default="same"
        With "same" there are ``ceil(size / stride)`` outputs, and outside the image are zeros (-1
        where activations are signs, which have no 0); with "valid" all is taken from inside:
        ``(size - kernel_size) // stride + 1``.
    stride : int, default=1
        Pixels from one output to the next, 1 to 31.

    See Also
    --------
    BinaryConnectClassifier : Its `layers` is a list of these.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from pybinnet import BinaryConnectClassifier, Conv2D, Dense, MaxPool2D
    >>> digits = load_digits()
    >>> layers = [Conv2D(16, 3), MaxPool2D(2), Dense(32)]
    >>> clf = BinaryConnectClassifier(layers=layers, max_iter=3, random_state=0)
    >>> clf = clf.fit(digits.images, digits.target)
    >>> [coefs.shape for coefs in clf.coefs_]
    [(3, 3, 1, 16), (256, 32), (32, 10)]
    """

    filters: int
    kernel_size: int
    padding: str = "same"
    stride: int = 1

    def __post_init__(self) -> None:
        check_number("filters", self.filters, Integral, 1, _engine.MAX_UNITS)
        check_number("kernel_size", self.kernel_size, Integral, 1, _engine.MAX_KERNEL_SIZE)
        check_choice("padding", self.padding, _PADDINGS)
        check_number("stride", self.stride, Integral, 1, _engine.MAX_KERNEL_SIZE)


@dataclass(frozen=True)
class MaxPool2D:
    """The largest of each square of a convolution's sums, which goes on alone.

    It follows a `Conv2D` directly and pools its sums before they are normalised, as the papers on
    binary networks do. What is left of a height or width that is no multiple of `pool_size` is
    left out.

    Parameters
    ----------
    pool_size : int, default=2
        Height and width of the squares, which do not overlap; 1 to 15.

    See Also
    --------
    Conv2D : Has an example.
    """

    pool_size: int = 2

    def __post_init__(self) -> None:
        check_number("pool_size", self.pool_size, Integral, 1, _engine.MAX_POOL)


@dataclass(frozen=True)
class Dense:
    """A fully connected layer, batch normalisation, and the activation.

    Parameters
    ----------
    units : int
        1 to 65536.

    See Also
    --------
    Conv2D : Has an example.
    """

    units: int

    def __post_init__(self) -> None:
        check_number("units", self.units, Integral, 1, _engine.MAX_UNITS)


Layers = Sequence[Conv2D | MaxPool2D | Dense]
_KINDS = {kind.__name__: kind for kind in (Conv2D, MaxPool2D, Dense)}


def engine_layers(layers: Any) -> tuple[_engine.Layer, ...]:
    """The engine's form of hidden layers; TypeError or ValueError if they are none."""
    if not isinstance(layers, list | tuple):
        raise TypeError(
            f"layers={layers!r} is of type {type(layers).__name__}; give a list of Conv2D, "
            "MaxPool2D and Dense, or None for hidden_layer_sizes"
        )
    found: list[_engine.Layer] = []
    for index, layer in enumerate(layers):
        before = layers[index - 1] if index else None
        if isinstance(layer, Conv2D):
            if found and not found[-1].kernel_size:
                raise ValueError(
                    f"layers has {layer} after {before}, which puts out no images; give all Conv2D "
                    "before the first Dense"
                )
            size, stride = int(layer.kernel_size), int(layer.stride)
            valid = layer.padding == "valid"
            found.append(_engine.Layer(int(layer.filters), size, stride, valid))
        elif isinstance(layer, MaxPool2D):
            if not isinstance(before, Conv2D):
                raise ValueError(
                    f"layers has {layer} {f'after {before}' if index else 'first'}; a MaxPool2D "
                    "must follow a Conv2D directly, whose sums it pools"
                )
            found[-1] = replace(found[-1], pool=int(layer.pool_size))
        elif isinstance(layer, Dense):
            found.append(_engine.Layer(int(layer.units)))
        else:
            raise TypeError(
                f"layers has {layer!r}, of type {type(layer).__name__}; give Conv2D, MaxPool2D and "
                "Dense, such as Dense(256)"
            )
    if len(found) > _engine.MAX_LAYERS - 1:
        raise ValueError(
            f"layers has {len(found)} layers; at most {_engine.MAX_LAYERS - 1} hidden layers work"
        )
    return tuple(found)


def written(layers: tuple[_engine.Layer, ...]) -> Layers:
    """Layers of the engine as users write them."""
    found: list[Conv2D | MaxPool2D | Dense] = []
    for layer in layers:
        if not layer.kernel_size:
            found.append(Dense(layer.units))
            continue
        padding = _PADDINGS[layer.valid]
        found.append(Conv2D(layer.units, layer.kernel_size, padding, layer.stride))
        if layer.pool != 1:
            found.append(MaxPool2D(layer.pool))
    return found


def notation(shape: Shape, layers: tuple[_engine.Layer, ...]) -> str:
    """A network as papers write it, such as 784-1024-10 or 32x32x3-128C3-MP2-1024-10."""
    images = has_convolutions(layers)
    parts = ["x".join(map(str, shape)) if images else str(math.prod(shape))]
    for layer in layers:
        parts.append(
            f"{layer.units}C{layer.kernel_size}" if layer.kernel_size else str(layer.units)
        )
        if layer.stride > 1:
            parts[-1] += f"/{layer.stride}"
        if layer.pool > 1:
            parts.append(f"MP{layer.pool}")
    return "-".join(parts)


def has_convolutions(layers: tuple[_engine.Layer, ...]) -> bool:
    """Whether rows must be images."""
    return len(layers) > 0 and layers[0].kernel_size > 0


def check_shapes(
    layers: tuple[_engine.Layer, ...], shape: Shape, batch_size: int, exact: bool
) -> None:
    """Raise a ValueError that names the first layer whose input is not as it needs it.

    The last layer is the output layer, whose units do not matter.
    """
    for index, layer in enumerate(layers):
        wide = _shapes.fan_in(layer, shape)
        if not layer.kernel_size:
            if wide > _engine.MAX_FEATURES:
                last = index + 1 == len(layers)
                name = "the output layer" if last else f"Dense({layer.units})"
                raise ValueError(
                    f"layers: {name} would have {_sizes(shape)} = {wide} inputs; at "
                    f"most {_engine.MAX_FEATURES} work, so that its sums, int32, cannot overflow; "
                    "pool more before it, or give fewer filters"
                )
        else:
            _check_convolution(layer, shape, batch_size, exact)
        shape = _shapes.output(layer, shape)


def _check_convolution(layer: _engine.Layer, shape: Shape, batch_size: int, exact: bool) -> None:
    name, *pool = written((layer,))
    size = layer.kernel_size
    if size > min(shape[:2]):
        raise ValueError(
            f"layers: {name} has a kernel larger than its input, images of {_sizes(shape[:2])}; "
            f"give a kernel_size of at most {min(shape[:2])}, or pool less before it"
        )
    for channels, which in (shape[2], "channels of its input"), (layer.units, "filters"):
        if size**2 * channels > _MOST_SUMMED:
            raise ValueError(
                f"layers: {name} has {size}**2 * {channels} = {size**2 * channels} weights for its "
                f"{channels} {which}; at most {_MOST_SUMMED} work, so that sums of so many, "
                "int32, cannot overflow"
            )
    sums = _shapes.summed(layer, shape)
    if layer.pool > min(sums):
        raise ValueError(
            f"layers: {pool[0]} is larger than what there is to pool, {_sizes(sums)} sums of {name}"
            f"; give a pool_size of at most {min(sums)}"
        )
    height, width, _ = _shapes.output(layer, shape)
    n = height * width * layer.units
    if n > _engine.MAX_OUTPUTS:
        raise ValueError(
            f"layers: {name} puts out {_sizes((height, width, layer.units))} = {n} numbers for an "
            f"image; at most {_engine.MAX_OUTPUTS} work; pool more, or give fewer filters"
        )
    n, most = batch_size * height * width, _EXACT_POSITIONS if exact else _engine.MAX_POSITIONS
    if n > most:
        raise ValueError(
            f"layers: {name} puts out {_sizes((height, width))} for each of {batch_size} images of "
            f"a batch, {n}; at most {most} work{' with quantized_backprop=False' if exact else ''},"
            " so that its gradient's sums, int32, cannot overflow; give a smaller batch_size, or "
            "pool more"
        )


def _sizes(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


def to_json(layers: Layers) -> list[dict[str, Any]]:
    """Layers as values that JSON has."""
    return [
        {
            type(layer).__name__: {
                name: value if isinstance(value, str) else int(value)
                for name, value in asdict(layer).items()
            }
        }
        for layer in layers
    ]


def from_json(values: list[dict[str, Any]]) -> Layers:
    """Take them back; LookupError, TypeError, ValueError or AttributeError if they are not that."""
    return [_KINDS[name](**fields) for value in values for name, fields in value.items()]
