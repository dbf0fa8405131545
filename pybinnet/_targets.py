"""What outputs are trained towards: labels, or a number for each output."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pybinnet import _engine
from pybinnet._rows import Rows

# Targets are labels, uint16 of shape (n_rows,), of outputs that are trained one against the rest;
# or int8 of shape (n_rows, n_outputs), in units of 1/32 margin, -32 to 32.
Targets = NDArray[Any]
UNIT = 32

_BLOCK = 2**20  # scores at a time
_MOST_SHORT = 2**23  # 2**16 squares of it are below 2**63
_MOST = 2**31  # rows that counts may say
_SHARES = 2**16  # rows that counts are of which stand for a variance


def spreads(targets: Targets, n_outputs: int, rows: Rows) -> tuple[NDArray[np.uint32], int]:
    """The counts, and the rows they are of, that give each output its scale (`binnet_config`).

    Labels: how many rows each class has. Numbers: as many of the rows as would have 32, and the
    others -32, if these had the same variance.
    """
    weights = np.ones(len(rows), dtype=np.int64) if rows.weights is None else rows.weights
    taken = targets[rows.indices]
    total = int(weights.sum())
    if targets.ndim == 1:
        counts = np.zeros(n_outputs, dtype=np.int64)
        np.add.at(counts, taken, weights)
        return (counts // -(-total // _MOST)).astype(np.uint32), 0
    shares = []
    for column in taken.T.astype(np.int64):
        mean, square = int(weights @ column), int(weights @ column**2)
        variance = (square * total - mean * mean) / (UNIT * total) ** 2
        shares.append(_share(variance))
    return np.array(shares, dtype=np.uint32), _SHARES


def spreads_of(scales: tuple[int, ...]) -> tuple[NDArray[np.uint32], int]:
    """Counts, and the rows they are of, that give the outputs these scales, 2 to 48."""
    return np.array([_share((scale / 48) ** 2) for scale in scales], dtype=np.uint32), _SHARES


def _share(variance: float) -> int:
    return round(_SHARES / 2 * (1 - math.sqrt(max(0.0, 1 - variance))))


def mean_loss(scores: NDArray[np.int32], targets: Targets, weights: NDArray[Any] | None) -> float:
    """The loss of deployed scores, as that of training: summed over outputs, mean over rows."""
    step = max(1, _BLOCK // scores.shape[1])
    blocks = [slice(start, start + step) for start in range(0, len(scores), step)]
    of_rows = [_losses(scores[block], targets[block]) for block in blocks]
    return exact_mean(np.concatenate(of_rows), weights)


def _losses(scores: NDArray[np.int32], targets: Targets) -> NDArray[np.float64]:
    wanted = targets.astype(np.int64) * (_engine.SCORE_UNIT // UNIT)
    if targets.ndim == 1:
        wanted = np.full(scores.shape, -_engine.SCORE_UNIT)
        wanted[np.arange(len(targets)), targets] = _engine.SCORE_UNIT
    short = np.clip(wanted - scores, -_MOST_SHORT, _MOST_SHORT)
    short[(wanted == _engine.SCORE_UNIT) & (short < 0)] = 0
    short[(wanted == -_engine.SCORE_UNIT) & (short > 0)] = 0
    losses: NDArray[np.float64] = (short * short).sum(axis=1) / _engine.SCORE_UNIT**2
    return losses


def exact_mean(values: NDArray[Any], weights: NDArray[Any] | None) -> float:
    """The mean of rows, the same in whatever order they come, on every machine."""
    if weights is None:
        return math.fsum(values) / len(values)
    weights = to_unit(weights)
    return math.fsum(values * weights) / math.fsum(weights)


def to_unit(values: NDArray[Any]) -> NDArray[Any]:
    """Divided by a power of two to be within -1 and 1, so that no sum of squares overflows."""
    scaled: NDArray[Any] = np.ldexp(values, -np.frexp(np.abs(values).max())[1])
    return scaled
