"""What one training step costs, in operations: as the literature counts, and as it is here."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from pybinnet import _engine, _shapes
from pybinnet._classifier import BinaryConnectClassifier
from pybinnet._engine import Layer, Method
from pybinnet._images import check_input_shape
from pybinnet._layers import (
    Conv2D,
    Dense,
    MaxPool2D,
    check_shapes,
    engine_layers,
    has_convolutions,
    notation,
)
from pybinnet._parameters import CHOICES, check_decay, engine_method
from pybinnet._shapes import Shape
from pybinnet._validation import check_choice, check_flag, check_number

# Of the portable kernels (libbinnet/), whose counters tests/python/test_operations.py compares.
_GROUP = 4  # summands of a table, which has 16 sums
_PANEL = 16  # columns of sums that are kept at once, at least
_TABLE_SUMS = 15  # additions that make one
_ROW_BLOCK = 63  # rows summed in 32 bits before 64 are used
_XNOR_WORDS = 128  # words of a product of bits that are taken at a time
_COLUMNS = 64  # that random bytes are made for at a time
_SGD = {"additions": 3, "shifts": 2}  # of a weight or bias
_ADAMAX = {"additions": 21, "shifts": 24}


@dataclass(frozen=True, repr=False)
class OperationCounts:
    """Operations of one minibatch update; see `count_operations`. Printed, it is a table.

    Attributes
    ----------
    network : str
        Features, hidden units, classes, such as "784-1024-10"; of images such as
        "32x32x3-128C3-MP2-1024-10": their shape, 128 filters of 3 x 3 ("/2" would be their stride),
        a pool of 2 x 2.
    batch_size : int
        Rows of the minibatch.
    full_precision, full_precision_batch_norm : int
        Multiplications of floating-point training, without and with batch normalisation.
    few_multiplications, few_multiplications_batch_norm : int
        Those of ternary weights and quantized backprop as the paper counts them, likewise.
    multiplications : int
        Those of this library on data: 0 by construction, as its source shows; nothing counts them.
    additions, shifts, lookups, popcounts, divisions, random_bytes : int
        The other operations of this library.
    """

    network: str
    batch_size: int
    full_precision: int
    full_precision_batch_norm: int
    few_multiplications: int
    few_multiplications_batch_norm: int
    additions: int
    shifts: int
    lookups: int
    popcounts: int
    divisions: int
    random_bytes: int
    multiplications: int = 0

    def __repr__(self) -> str:
        plain = self.few_multiplications / self.full_precision
        normed = self.few_multiplications_batch_norm / self.full_precision_batch_norm
        rows = [
            ("Multiplications", "no batch norm", "batch norm"),
            (
                "  full precision",
                f"{self.full_precision:.4e}",
                f"{self.full_precision_batch_norm:.4e}",
            ),
            (
                "  ternary + quantized backprop",
                f"{self.few_multiplications:.4e}",
                f"{self.few_multiplications_batch_norm:.4e}",
            ),
            ("  … their ratio", f"{plain:.6f}", f"{normed:.6f}"),
            ("  this library", "", f"{self.multiplications}"),
            ("This library, portable kernels", "", ""),
            ("  additions", "", f"{self.additions:,}"),
            ("  shifts", "", f"{self.shifts:,}"),
            ("  table lookups", "", f"{self.lookups:,}"),
            ("  XNOR-popcounts of 64 bits", "", f"{self.popcounts:,}"),
            ("  divisions", "", f"{self.divisions:,}"),
            ("  random bytes", "", f"{self.random_bytes:,}"),
        ]
        lines = [f"One update of {self.network}, batch size {self.batch_size}"]
        lines += [f"{name:32}{left:>14}{right:>13}".rstrip() for name, left, right in rows]
        return "\n".join(lines)


def count_operations(
    layer_sizes: Sequence[int | Shape | Conv2D | MaxPool2D | Dense] | BinaryConnectClassifier,
    batch_size: int | None = None,
    *,
    weights: str = "binary",
    binarization: str = "deterministic",
    activation: str = "relu",
    solver: str = "sgd",
    quantized_backprop: bool = True,
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    weight_decay: float = 0.0,
) -> OperationCounts:
    """Count the operations of one minibatch update, forward and backward.

    Parameters
    ----------
    layer_sizes : sequence or BinaryConnectClassifier
        Features, hidden units, classes, such as ``(784, 1024, 1024, 1024, 10)``; of images their
        shape, layers, classes: ``((32, 32, 3), Conv2D(128, 3), MaxPool2D(2), 1024, 10)``. A fitted
        classifier has its own sizes, which begin with its encoded features, batch size and method:
        leave the other parameters out then.

    batch_size : int, default=200
        Rows of the minibatch, 1 to 32768. Few multiplications has 200.

    weights, binarization, activation, solver, quantized_backprop, dropout, input_dropout, \
weight_decay
        The method of this library's counts, as in `BinaryConnectClassifier`. Weight decay is not
        counted.

    Returns
    -------
    counts : OperationCounts
        Multiplications of full precision and of [1]_ and all operations of this library, as
        attributes; printed, it is a table.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not as documented.

    Notes
    -----
    With W weights, U units in the hidden and output layers and B rows, [1]_ (section 3) counts
    3·B·W + 3·B·U multiplications in full precision and 3·B·U with ternary weights and quantized
    backprop; batch normalisation adds 9·B·U + 9·U to both. A shift is no multiplication. A
    convolution has each of its weights at each position of its sums, those of zeros outside the
    image too and of sums that are pooled away, so these count in 3·B·W. In 3·B·U and 9·B·U a filter
    counts at each pooled position, and in 9·U once.

    This library always normalises. Its counts are those of the portable kernels, from the second
    step on: with SGD the first only measures gradients. Counted is arithmetic on data: on weights,
    activations, errors, gradients, their sums and statistics. Not counted are loop counters,
    addresses and sizes; comparisons and selections (clamping, absolute values, signs, masks);
    moving bits in and out of bytes; and exponents of units and layers. Subtractions are additions.
    A lookup takes one of the 16 sums of 4 numbers from a table. A popcount is of 64 bits, with what
    counts them. Divisions, which are 6 for each unit, 7 where more than 32768
    positions are normalised, include their rounding. 8 random bytes are 13
    rounds of Threefry, each an addition, a rotation and an exclusive or.

    The counts are upper bounds in that they take no value to be 0: lookups in tables of zeros, each
    with an addition, are skipped, as are roundings where no error is left.

    References
    ----------
    .. [1] Z. Lin, M. Courbariaux, R. Memisevic and Y. Bengio, "Neural networks with few
       multiplications", ICLR 2016.

    Examples
    --------
    >>> from pybinnet import count_operations
    >>> count_operations((784, 1024, 1024, 1024, 10))
    One update of 784-1024-1024-1024-10, batch size 200
    Multiplications                  no batch norm   batch norm
      full precision                    1.7480e+09   1.7535e+09
      ternary + quantized backprop      1.8492e+06   7.4245e+06
      … their ratio                       0.001058     0.004234
      this library                                            0
    This library, portable kernels
      additions                                     432,094,066
      shifts                                         12,031,236
      table lookups                                 396,697,600
      XNOR-popcounts of 64 bits                               0
      divisions                                          18,492
      random bytes                                    4,321,296
    """
    parameters = {
        "weights": weights,
        "binarization": binarization,
        "activation": activation,
        "solver": solver,
        "quantized_backprop": quantized_backprop,
        "dropout": dropout,
        "input_dropout": input_dropout,
        "weight_decay": weight_decay,
    }
    for name, allowed in CHOICES.items():
        check_choice(name, parameters[name], allowed)
    check_flag("quantized_backprop", quantized_backprop)
    check_number("dropout", dropout, Real, 0, 0.99)
    check_number("input_dropout", input_dropout, Real, 0, 0.99)
    check_decay(weight_decay)
    method = engine_method(parameters)
    if isinstance(layer_sizes, BinaryConnectClassifier):
        if (batch_size, method) != (None, Method()):
            raise ValueError(
                "layer_sizes is a classifier, whose own batch size and method are counted; "
                "leave the other parameters out"
            )
        check_is_fitted(layer_sizes)
        configuration = layer_sizes._last_configuration()
        n_features = int.from_bytes(layer_sizes.model_[24:28], "little")  # encoded ones
        shape = _shapes.input_shape(n_features, configuration.image)
        layers = configuration.layers
        batch_size, method = configuration.batch_size, engine_method(configuration.method)
    else:
        batch_size = 200 if batch_size is None else batch_size
        shape, layers = _checked(layer_sizes, method)
        check_number("batch_size", batch_size, Integral, 1, _engine.MAX_BATCH)
        check_shapes(layers, shape, int(batch_size), method.exact)
    batch = int(batch_size)
    sizes = _sizes(layers, shape)
    few = 3 * batch * sum(of.units * of.positions for of in sizes)
    full = few + 3 * batch * sum(of.units * of.fan_in * of.sums for of in sizes)
    norm = 3 * few + 9 * sum(of.units for of in sizes)
    library = _of_library(sizes, batch, method)
    network = notation(shape, layers)
    return OperationCounts(network, batch, full, full + norm, few, few + norm, **library)


def _checked(layer_sizes: Any, method: Method) -> tuple[Shape, tuple[Layer, ...]]:
    """The shape of the input, and all layers."""
    if not isinstance(layer_sizes, Sequence | np.ndarray) or isinstance(layer_sizes, str | bytes):
        raise TypeError(
            f"layer_sizes={layer_sizes!r} is of type {type(layer_sizes).__name__}; give features, "
            "hidden units and classes, such as (784, 1024, 10), or a fitted classifier"
        )
    n_sizes = sum(not isinstance(size, MaxPool2D) for size in layer_sizes)
    if not 2 <= n_sizes <= _engine.MAX_LAYERS + 1:
        raise ValueError(
            f"layer_sizes={layer_sizes!r} has {n_sizes} entries; features and classes, "
            f"and at most {_engine.MAX_LAYERS - 1} hidden layers between them, make 2 to "
            f"{_engine.MAX_LAYERS + 1}"
        )
    first, *hidden, n_classes = layer_sizes
    shape = _checked_input(first, layer_sizes)
    for size in hidden:
        if not isinstance(size, Conv2D | MaxPool2D | Dense):
            check_number(
                "layer_sizes", size, Integral, 1, _engine.MAX_UNITS, "a layer", layer_sizes
            )
    layers = engine_layers([Dense(int(s)) if isinstance(s, Integral) else s for s in hidden])
    if isinstance(n_classes, Conv2D | MaxPool2D | Dense):
        raise TypeError(
            f"layer_sizes={layer_sizes!r} ends with {n_classes}; give the number of classes last"
        )
    check_number("layer_sizes", n_classes, Integral, 1, _engine.MAX_UNITS, whole=layer_sizes)
    if n_classes < 2:
        raise ValueError(f"layer_sizes={layer_sizes!r} has one class; 2 or more are needed")
    if (method.sign or method.dropout) and not layers:
        what = "activation='sign'" if method.sign else "dropout"
        raise ValueError(f"{what} needs a hidden layer, layer_sizes={layer_sizes!r} has none")
    if has_convolutions(layers) and isinstance(first, Integral):
        raise ValueError(
            f"layer_sizes={layer_sizes!r} has a Conv2D, which needs images: begin with (height, "
            "width, channels)"
        )
    return shape, (*layers, Layer(int(n_classes)))


def _checked_input(size: Any, layer_sizes: Any) -> Shape:
    if isinstance(size, Sequence | np.ndarray) and not isinstance(size, str | bytes):
        check_input_shape(size, "layer_sizes[0]")
        height, width, channels = map(int, size)
        return height, width, channels
    check_number("layer_sizes", size, Integral, 1, _engine.MAX_FEATURES, whole=layer_sizes)
    return 1, 1, int(size)


@dataclass(frozen=True)
class _Sizes:
    """Those of a layer, of one row or image. What is no image has one pixel and one position."""

    pixels: int  # of its input,
    channels: int  # and the numbers of each
    area: int  # of its kernel
    fan_in: int
    units: int
    positions: int  # of its output,
    sums: int  # and of its sums, before they are pooled
    is_convolution: bool


def _sizes(layers: tuple[Layer, ...], shape: Shape) -> list[_Sizes]:
    found = []
    for layer, of_input in zip(layers, _shapes.inputs(layers, shape), strict=True):
        fan_in, convolves = _shapes.fan_in(layer, of_input), layer.kernel_size > 0
        area = layer.kernel_size**2 if convolves else 1
        positions = math.prod(_shapes.output(layer, of_input)[:2])
        channels = fan_in // area
        found.append(
            _Sizes(
                math.prod(of_input) // channels,
                channels,
                area,
                fan_in,
                layer.units,
                positions,
                positions * layer.pool**2,
                convolves,
            )
        )
    return found


def _blocks(n: int, size: int) -> int:
    return -(-n // size)


def _rounded_up(n: int, size: int) -> int:
    return size * _blocks(n, size)


def _kept_columns(sizes: list[_Sizes], batch: int) -> list[int]:
    """How many columns of sums each layer keeps at once (net.c, plan_columns).

    They take an eighth of the weights' memory, or one panel, or what a convolution needs.
    """
    share = sum(of.units * of.fan_in for of in sizes) // (16 * batch)
    widest = max(of.units for of in sizes if not of.is_convolution)
    columns = min(max(_PANEL, share // _PANEL * _PANEL), widest)
    kept = _rounded_up(columns, _PANEL)
    for of in sizes:
        if of.is_convolution:
            kept = max(kept, of.positions * _rounded_up(min(of.units, 2 * _PANEL), _PANEL))
    wide = [kept // of.positions if of.is_convolution else columns for of in sizes]
    return [
        of.units if n >= of.units else n // _PANEL * _PANEL if of.is_convolution else n
        for of, n in zip(sizes, wide, strict=True)
    ]


def _of_library(sizes: list[_Sizes], batch: int, method: Method) -> dict[str, int]:
    """The operations of `binnet_net_train_step`, in its order."""
    total = Counter(additions=0, shifts=0, lookups=0, popcounts=0, divisions=0, random_bytes=0)

    def count(times: int, **operations: int) -> None:
        for kind, n in operations.items():
            total[kind] += times * n

    def count_select(
        rows: int, depth: int, columns: int, planes: int, digits: bool = False
    ) -> None:
        """Sums selected by signs, by two planes of signs that may be 0, or by binary digits."""
        groups = 2 * _blocks(depth, 2 * _GROUP)  # tables come in pairs
        signs = planes == 1 and not digits
        make = _TABLE_SUMS + (_GROUP if signs else 0)
        count(rows * planes * groups, additions=make + columns, lookups=columns)
        if not digits:
            count(rows, additions=depth)
        # The sums are made less once, or doubled before each further digit.
        count(rows * columns * (planes - 1), additions=1)

    if method.input_dropout:
        features = sizes[0].pixels * sizes[0].channels
        count(batch * _rounded_up(features, _COLUMNS), random_bytes=1)
    weight_planes = 2 if method.ternary else 1
    sign_planes = 2 if method.dropout else 1
    for layer, (of, columns) in enumerate(zip(sizes, _kept_columns(sizes, batch), strict=True)):
        fan_in, units = of.fan_in, of.units
        hidden = layer < len(sizes) - 1
        sign_input = method.sign and layer > 0
        rows, input_rows = batch * of.positions, batch * of.pixels
        values, n_weights = rows * units, units * fan_in
        weight_bytes = units * _rounded_up(fan_in, 8)
        value_bytes = rows * _rounded_up(units, _COLUMNS)
        # Propagated weights
        if method.stochastic:
            count(n_weights, additions=1 if method.ternary else 2, shifts=1)
            count(weight_bytes, random_bytes=1)
        # Forward product
        if sign_input:
            n_sums = batch * of.sums * units
            planes, words = weight_planes * sign_planes, _blocks(fan_in, 64)
            count(n_sums * planes, popcounts=words)
            count(n_sums * planes * _blocks(words, _XNOR_WORDS), additions=2, shifts=1)
            count(n_sums * (planes > 1), shifts=1)
        else:
            for first in range(0, units, columns):
                count_select(batch * of.sums, fan_in, min(columns, units - first), weight_planes)
        # Normalisation, activation, dropout; backward, to the quantised error
        row_blocks = _blocks(rows, _ROW_BLOCK)
        error_blocks, divisions = row_blocks, 6
        if rows > _engine.MAX_BATCH:  # a bias's gradient is of so many rows at a time
            parts = _blocks(rows, _engine.MAX_BATCH)
            last = rows - (parts - 1) * _engine.MAX_BATCH
            error_blocks = (parts - 1) * _blocks(_engine.MAX_BATCH, _ROW_BLOCK)
            error_blocks += _blocks(last, _ROW_BLOCK)
            count(units * parts, additions=2)
            divisions += 1
        count(values, additions=20 + 2 * hidden, shifts=8)
        count(
            units,
            additions=3 * row_blocks + 2 * error_blocks + 8,
            shifts=8,
            divisions=divisions,
        )
        count(value_bytes, random_bytes=1 + 2 * (hidden and method.dropout > 0))
        if not hidden:  # the loss
            count(values, additions=12, shifts=10)
        # Error at the input
        if layer > 0:
            count_select(input_rows, of.area * units, of.channels, weight_planes)
            count(input_rows * of.channels, additions=1, shifts=2)
        # Gradients, of a convolution those of one image after the other, and updates
        times, depth = (batch, of.sums) if of.is_convolution else (1, batch)
        count(n_weights * (times - 1), additions=1)
        if sign_input:
            count_select(times * units, depth, fan_in, sign_planes)
        elif method.exact:
            count_select(times * units, depth, fan_in, 7 if layer else 8, digits=True)
        else:
            count_select(times * units, depth, fan_in, 1, digits=True)
            count(input_rows * _rounded_up(of.channels, _COLUMNS), random_bytes=1)
        count(n_weights + units, **(_ADAMAX if method.adamax else _SGD))
        count(weight_bytes + _rounded_up(units, 8), random_bytes=1)
    return dict(total)
