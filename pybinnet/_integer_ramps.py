"""The encoder's ramps in integers, for targets without floating point: the same bytes, proved."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pybinnet._features import PiecewiseLinearEncoder, ramp_ends, spread

INT32 = np.iinfo(np.int32)
MAX_FRACTION_BITS = 30  # 2**30 is an int32 too
_MAX_EDGE_BITS = 20  # edges are below 2**51: 255 times their distance fits 64 bits
_EXCEPTION_BYTES = 16  # of one in C; an edge has 4 or 8
_LEVELS = np.arange(1, 256)


class RampException(NamedTuple):
    """An input of which float64's roundings make another byte than exact arithmetic."""

    value: int
    column: int
    feature: int
    byte: int


@dataclass(frozen=True)
class IntegerRamps:
    """The ramps of a `PiecewiseLinearEncoder`, for inputs that are integers.

    The ramps of a column begin and end at its edges as `PiecewiseLinearEncoder` says. On a ramp, an
    input ``x`` becomes ``(255 * d + w // 2) // w``, where ``d = (x << edge_bits) - low`` and
    ``w = high - low``; 255 from `high` on, else 0 up to `low`; then the exceptions.

    Attributes
    ----------
    n_ramps : list of int
        Ramps of each column.
    spans : list of int
        How many intervals between edges they cover.
    edges : ndarray of int64
        Edges of the columns that have ramps, one after the other: ``n_ramps - span + 2`` each.
    edge_bits : int
        An edge of 1 is an input of ``2**-edge_bits``.
    exceptions : list of RampException
        Usually none or a few.
    """

    n_ramps: list[int]
    spans: list[int]
    edges: NDArray[np.int64]
    edge_bits: int
    exceptions: list[RampException]


def integer_ramps(encoder: PiecewiseLinearEncoder, fraction_bits: int) -> IntegerRamps:
    """Return ramps that make of every int32 ``i`` what `encoder` makes of ``i / 2**fraction_bits``.

    An output only rises with its input, so it is known by the 255 inputs where it reaches 1 to 255.
    These are found for float64, by bisection, and for integer edges, by their formula. Where
    they differ, the inputs between them are exceptions: the two agree on all others. Edges are kept
    as finely as takes least memory, exceptions included. Edges that are integers themselves,
    as of integer data, have none: a tie is the same float64 quotient in ramps of every width, and
    is rounded up, and all else is too far from a tie.

    Parameters
    ----------
    encoder : PiecewiseLinearEncoder
        Fitted, not on bytes.
    fraction_bits : int
        0 to `MAX_FRACTION_BITS`.

    Returns
    -------
    IntegerRamps

    Raises
    ------
    ValueError
        If an edge is no int32.

    Warns
    -----
    UserWarning
        If integers at `fraction_bits` are too coarse for a ramp.
    """
    n_ramps, spans = encoder._n_ramps(), encoder.spans_
    if not any(n_ramps):  # the encoder's one output is 0, as that of a ramp which no int32 reaches
        return IntegerRamps([1] + n_ramps[1:], spans, np.array([2**31, 2**31 + 1]), 0, [])
    _check_range(encoder, fraction_bits)
    _warn_if_coarse(encoder, fraction_bits)

    in_floats = [edges for edges in encoder.edges_ if edges.size > 1]
    in_spans = [span for span, n in zip(spans, n_ramps, strict=True) if n > 0]
    reached = _reached(*ramp_ends(in_floats, in_spans), 2.0**fraction_bits)
    candidates = []
    for edge_bits in range(_MAX_EDGE_BITS + 1):
        scale = 2.0 ** (fraction_bits + edge_bits)
        edges = [np.rint(column * scale).astype(np.int64) for column in in_floats]
        flat = np.concatenate(edges)
        by_formula = _reached_by_formula(*ramp_ends(edges, in_spans), edge_bits)
        n_bytes = flat.size * (4 if fit_int32(flat) else 8)
        n_bytes += _EXCEPTION_BYTES * int(np.abs(by_formula - reached).sum())
        candidates.append((n_bytes, edge_bits, flat, by_formula))
    _, edge_bits, flat, by_formula = min(candidates, key=lambda candidate: candidate[0])
    sources = np.repeat(np.arange(len(n_ramps)), n_ramps)
    return IntegerRamps(n_ramps, spans, flat, edge_bits, _exceptions(reached, by_formula, sources))


def fit_int32(values: NDArray[np.int64]) -> bool:
    """Whether all values are int32."""
    return bool(values.min() >= INT32.min and values.max() <= INT32.max)


def _reached(low: NDArray[np.float64], high: NDArray[np.float64], unit: float) -> NDArray[np.int64]:
    """The first int32 ``i`` at which each output of ``i / unit`` is 1 to 255; 2**31 if none is."""
    first = np.full((low.size, _LEVELS.size), INT32.min, dtype=np.int64)
    end = np.full_like(first, INT32.max + 1)
    for _ in range(33):  # 2**32 + 1 answers
        middle = (first + end) >> 1
        x = middle / unit
        spread(x, low[:, None], high[:, None])
        enough = x >= _LEVELS
        end[enough] = middle[enough]
        first[~enough] = np.minimum(middle + 1, end)[~enough]
    return end


def _reached_by_formula(
    low: NDArray[np.int64], high: NDArray[np.int64], edge_bits: int
) -> NDArray[np.int64]:
    """The same for integer edges: 255 d + w // 2 >= level * w, solved for the input."""
    width = (high - low)[:, None]
    distance = -((width // 2 - _LEVELS * width) // 255)
    first: NDArray[np.int64] = -(-(low[:, None] + distance) >> edge_bits)
    return first.clip(INT32.min, INT32.max + 1)


def _exceptions(
    reached: NDArray[np.int64], by_formula: NDArray[np.int64], sources: NDArray[np.intp]
) -> list[RampException]:
    """Each input between the one's and the other's first input of a level, with its true byte."""
    found = set()
    for feature, level in np.argwhere(reached != by_formula):
        between = sorted((int(reached[feature, level]), int(by_formula[feature, level])))
        for value in range(*between):
            byte = int(np.searchsorted(reached[feature], value, side="right"))
            found.add(RampException(value, int(sources[feature]), int(feature), byte))
    return sorted(found)


def _check_range(encoder: PiecewiseLinearEncoder, fraction_bits: int) -> None:
    limit = 2.0 ** (31 - fraction_bits)
    for column, edges in enumerate(encoder.edges_):
        largest = edges[np.abs(edges).argmax()]
        if edges.size > 1 and not -limit <= largest < limit:
            raise ValueError(
                f"column {column} has values up to {largest:g} in training, beyond int32 with "
                f"fraction_bits={fraction_bits}; use fewer, or fit on smaller numbers"
            )


def _warn_if_coarse(encoder: PiecewiseLinearEncoder, fraction_bits: int) -> None:
    narrowest = np.array([np.diff(edges).min(initial=np.inf) for edges in encoder.edges_])
    coarse = np.flatnonzero(narrowest < 2.0**-fraction_bits)
    if not coarse.size:
        return
    largest = max(np.abs(edges).max() for edges in encoder.edges_ if edges.size > 1)
    fine = 8 - np.log2(narrowest.min())  # a step of the input is less than one of the output
    best = int(min(np.ceil(fine), np.floor(30.99 - np.log2(largest)), MAX_FRACTION_BITS))
    least = int(np.ceil(fine - 8))  # neighbours differ
    advice = "fit on larger numbers there"
    if best >= least > fraction_bits:
        advice = f"use fraction_bits={least} or more; beyond {best} nothing is gained"
    shown = ", ".join(map(str, coarse[:10])) + (", ..." if coarse.size > 10 else "")
    warnings.warn(
        f"fraction_bits={fraction_bits} is too coarse for column {shown}, where training values "
        f"differ by less than {2.0**-fraction_bits:g}; {advice}",
        stacklevel=4,  # the caller of export_c
    )
