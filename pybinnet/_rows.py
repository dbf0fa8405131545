"""Which rows are trained on, and in which order: that of their contents, as often as they weigh."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pybinnet import _engine

# Whole weights are copies of rows, if these are not too many: of as many rows on the average.
_MOST_COPIES = 16
_WEIGHT_BITS = 20  # of other weights: 2**20 is the largest
_HASHED_ROWS = 4096  # at a time
_THINNING = 0x9E3779B97F4A7C15  # what the seed is changed by to draw rows by weight


def row_hashes(*columns: NDArray[Any]) -> NDArray[np.uint64]:
    """Hash rows of arrays that stand side by side, each 2-dimensional, to 64 bits.

    The same numbers of whatever type have the same hash, on every machine; but uint8 have another.
    """
    hashes: NDArray[np.uint64] = np.zeros(len(columns[0]), dtype=np.uint64)
    for index, values in enumerate(columns):
        for start in range(0, len(values), _HASHED_ROWS):
            block = slice(start, start + _HASHED_ROWS)
            words = _words(values[block])
            keys = _mixed(np.arange(1, words.shape[1] + 1, dtype=np.uint64) + (index << 32))
            # Numbers are often in the upper bits only, which products with keys would keep.
            hashes[block] = _mixed(hashes[block] + _mixed(words) @ (keys | 1))
    return hashes


def _words(values: NDArray[Any]) -> NDArray[np.uint64]:
    """The bits of rows as words. Sums and products of them wrap, which is what is wanted."""
    if values.dtype != np.uint8:
        return (np.ascontiguousarray(values, dtype="<f8") + 0.0).view("<u8")  # -0 becomes 0
    padded = np.zeros((len(values), -(-values.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : values.shape[1]] = values
    return padded.view("<u8")


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The last steps of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@dataclass(frozen=True)
class Rows:
    """The rows of a fit: what an epoch takes of them."""

    # In the order that an epoch without shuffling has, each as often as an epoch takes it, or once
    indices: NDArray[np.intp]
    weights: NDArray[np.int64] | None = None  # and then these are how often, in proportion

    def __len__(self) -> int:
        return len(self.indices)

    def epoch(self, seed: int, epoch: int, shuffle: bool = True) -> NDArray[np.intp]:
        """The rows that an epoch takes, in its order; as many in each."""
        taken = self.indices
        if self.weights is not None:
            order = _engine.row_order(seed ^ _THINNING, epoch, len(self))
            taken = np.sort(order[_by_weight(self.weights[order], len(self))])
            taken = self.indices[taken]
        return taken[_engine.row_order(seed, epoch, len(self))] if shuffle else taken

    def sample(self, most: int) -> NDArray[np.intp]:
        """At most so many rows, spread over all by weight."""
        n = min(most, len(self))
        if self.weights is not None:
            return self.indices[_by_weight(self.weights, n)]
        return self.indices[np.arange(n, dtype=np.int64) * len(self) // n]

    def subset(self, kept: NDArray[np.bool_]) -> Rows:
        """Those of the rows that are marked, by index."""
        mask = kept[self.indices]
        return Rows(self.indices[mask], None if self.weights is None else self.weights[mask])


def _by_weight(weights: NDArray[np.int64], n: int) -> NDArray[np.intp]:
    """Places of n draws at equal distances along the weights: systematic sampling."""
    ends = np.cumsum(weights)
    total = int(ends[-1])
    # Of n parts of the total the middles, in integers; total < 2**52, as 2**32 rows are too many.
    whole, rest = divmod(total, n)
    part = np.arange(n, dtype=np.int64)
    middles = part * whole + (part * rest + rest // 2) // n + whole // 2
    return np.searchsorted(ends, middles, side="right")


def order_rows(
    hashes: NDArray[np.uint64], weights: NDArray[np.float64] | None, shuffle: bool
) -> Rows:
    """The rows of positive weight; if they are shuffled, in the order of their hashes.

    So the result of training does not depend on the order in which rows are given, and a row of
    weight 3 is as three rows.
    """
    if not shuffle:
        indices = np.arange(len(hashes))
    else:  # of rows that are equal the lighter come first
        indices = np.lexsort([hashes] if weights is None else [weights, hashes])
    if weights is None:
        return Rows(indices)
    indices = indices[weights[indices] > 0]
    ordered = weights[indices]
    most = _MOST_COPIES * len(ordered)
    if (ordered == np.floor(ordered)).all() and np.minimum(ordered, most + 1).sum() <= most:
        return Rows(np.repeat(indices, ordered.astype(np.int64)))
    scaled = np.rint(ordered / ordered.max() * 2.0**_WEIGHT_BITS).astype(np.int64)
    return Rows(indices[scaled > 0], scaled[scaled > 0])
