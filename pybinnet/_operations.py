"""What one training step costs, in operations: as the literature counts, and as it is here."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from pybinnet import _engine
from pybinnet._classifier import BinaryConnectClassifier
from pybinnet._engine import Method
from pybinnet._layers import has_convolutions
from pybinnet._parameters import CHOICES, engine_method
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
    layer_sizes : tuple of int
        Features, hidden units, classes.
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

    layer_sizes: tuple[int, ...]
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
        sizes = "-".join(map(str, self.layer_sizes))
        lines = [f"One update of {sizes}, batch size {self.batch_size}"]
        lines += [f"{name:32}{left:>14}{right:>13}".rstrip() for name, left, right in rows]
        return "\n".join(lines)


def count_operations(
    layer_sizes: Sequence[int] | BinaryConnectClassifier,
    batch_size: int | None = None,
    *,
    weights: str = "binary",
    binarization: str = "deterministic",
    activation: str = "relu",
    solver: str = "sgd",
    quantized_backprop: bool = True,
    dropout: float = 0.0,
    input_dropout: float = 0.0,
) -> OperationCounts:
    """Count the operations of one minibatch update, forward and backward.

    Parameters
    ----------
    layer_sizes : sequence of int or BinaryConnectClassifier
        Features, hidden units, classes, such as ``(784, 1024, 1024, 1024, 10)``. A fitted
        classifier has its own sizes, which begin with its encoded features, batch size and method:
        leave the other parameters out then.

    batch_size : int, default=200
        Rows of the minibatch, 1 to 32768. Few multiplications has 200.

    weights, binarization, activation, solver, quantized_backprop, dropout, input_dropout
        The method of this library's counts, as in `BinaryConnectClassifier`.

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
    backprop; batch normalisation adds 9·B·U + 9·U to both. A shift is no multiplication.

    This library always normalises. Its counts are those of the portable kernels, from the second
    step on: with SGD the first only measures gradients. Counted is arithmetic on data: on weights,
    activations, errors, gradients, their sums and statistics. Not counted are loop counters,
    addresses and sizes; comparisons and selections (clamping, absolute values, signs, masks);
    moving bits in and out of bytes; and exponents of units and layers. Subtractions are additions.
    A lookup takes one of the 16 sums of 4 numbers from a table. A popcount is of 64 bits, with what
    counts them. Divisions, which are 6 for each unit, include their rounding. 8 random bytes are 13
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
    }
    for name, allowed in CHOICES.items():
        check_choice(name, parameters[name], allowed)
    check_flag("quantized_backprop", quantized_backprop)
    check_number("dropout", dropout, Real, 0, 0.99)
    check_number("input_dropout", input_dropout, Real, 0, 0.99)
    method = engine_method(parameters)
    if isinstance(layer_sizes, BinaryConnectClassifier):
        if (batch_size, method) != (None, Method()):
            raise ValueError(
                "layer_sizes is a classifier, whose own batch size and method are counted; "
                "leave the other parameters out"
            )
        check_is_fitted(layer_sizes)
        configuration = layer_sizes._last_configuration()
        if has_convolutions(configuration.layers):
            raise ValueError(
                "count_operations knows fully connected networks, and this classifier has "
                "convolutions"
            )
        n_features = int.from_bytes(layer_sizes.model_[24:28], "little")  # encoded ones
        batch_size, method = configuration.batch_size, engine_method(configuration.method)
        layer_sizes = (n_features, *configuration.units)
    sizes = _check_sizes(layer_sizes, method)
    batch_size = 200 if batch_size is None else batch_size
    check_number("batch_size", batch_size, Integral, 1, _engine.MAX_BATCH)
    batch = int(batch_size)
    units = sum(sizes[1:])
    few = 3 * batch * units
    full = few + 3 * batch * sum(a * b for a, b in pairwise(sizes))
    norm = 9 * batch * units + 9 * units
    library = _of_library(sizes, batch, method)
    return OperationCounts(sizes, batch, full, full + norm, few, few + norm, **library)


def _check_sizes(layer_sizes: Any, method: Method) -> tuple[int, ...]:
    if not isinstance(layer_sizes, Sequence | np.ndarray) or isinstance(layer_sizes, str | bytes):
        raise TypeError(
            f"layer_sizes={layer_sizes!r} is of type {type(layer_sizes).__name__}; give features, "
            "hidden units and classes, such as (784, 1024, 10), or a fitted classifier"
        )
    if not 2 <= len(layer_sizes) <= _engine.MAX_LAYERS + 1:
        raise ValueError(
            f"layer_sizes={layer_sizes!r} has {len(layer_sizes)} entries; features and classes, "
            f"and at most {_engine.MAX_LAYERS - 1} hidden layers between them, make 2 to "
            f"{_engine.MAX_LAYERS + 1}"
        )
    largest = [_engine.MAX_FEATURES] + [_engine.MAX_UNITS] * (len(layer_sizes) - 1)
    for size, most in zip(layer_sizes, largest, strict=True):
        check_number("layer_sizes", size, Integral, 1, most, whole=layer_sizes)
    if layer_sizes[-1] < 2:
        raise ValueError(f"layer_sizes={layer_sizes!r} has one class; 2 or more are needed")
    if (method.sign or method.dropout) and len(layer_sizes) < 3:
        what = "activation='sign'" if method.sign else "dropout"
        raise ValueError(f"{what} needs a hidden layer, layer_sizes={layer_sizes!r} has none")
    return tuple(int(size) for size in layer_sizes)


def _blocks(n: int, size: int) -> int:
    return -(-n // size)


def _of_library(sizes: tuple[int, ...], batch: int, method: Method) -> dict[str, int]:
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
        count(batch * _COLUMNS * _blocks(sizes[0], _COLUMNS), random_bytes=1)
    # Sums are kept for as many columns as take an eighth of the weights' memory, or one panel.
    share = sum(a * b for a, b in pairwise(sizes)) // (16 * batch)
    columns = max(_PANEL, share // _PANEL * _PANEL)
    weight_planes = 2 if method.ternary else 1
    sign_planes = 2 if method.dropout else 1
    row_blocks = _blocks(batch, _ROW_BLOCK)
    for layer, (fan_in, units) in enumerate(pairwise(sizes)):
        hidden = layer < len(sizes) - 2
        sign_input = method.sign and layer > 0
        values, n_weights = batch * units, units * fan_in
        weight_bytes = units * 8 * _blocks(fan_in, 8)
        value_bytes = batch * _COLUMNS * _blocks(units, _COLUMNS)
        # Propagated weights
        if method.stochastic:
            count(n_weights, additions=1 if method.ternary else 2, shifts=1)
            count(weight_bytes, random_bytes=1)
        # Forward product
        if sign_input:
            planes, words = weight_planes * sign_planes, _blocks(fan_in, 64)
            count(values * planes, popcounts=words)
            count(values * planes * _blocks(words, _XNOR_WORDS), additions=2, shifts=1)
            count(values * (planes > 1), shifts=1)
        else:
            for first in range(0, units, columns):
                count_select(batch, fan_in, min(columns, units - first), weight_planes)
        # Normalisation, activation, dropout; backward, to the quantised error
        count(values, additions=20 + 2 * hidden, shifts=8)
        count(units, additions=5 * row_blocks + 8, shifts=8, divisions=6)
        count(value_bytes, random_bytes=1 + 2 * (hidden and method.dropout > 0))
        if not hidden:  # the loss
            count(values, additions=12, shifts=10)
        # Error at the input
        if layer > 0:
            count_select(batch, units, fan_in, weight_planes)
            count(batch * fan_in, additions=1, shifts=2)
        # Gradients and updates
        if sign_input:
            count_select(units, batch, fan_in, sign_planes)
        elif method.exact:
            count_select(units, batch, fan_in, 7 if layer else 8, digits=True)
        else:
            count_select(units, batch, fan_in, 1, digits=True)
            count(batch * _COLUMNS * _blocks(fan_in, _COLUMNS), random_bytes=1)
        count(n_weights + units, **(_ADAMAX if method.adamax else _SGD))
        count(weight_bytes + 8 * _blocks(units, 8), random_bytes=1)
    return dict(total)
