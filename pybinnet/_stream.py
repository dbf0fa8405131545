"""One call of partial_fit: a pass over its rows, and what is kept for the next."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pybinnet import _engine
from pybinnet._parameters import rate_exponents
from pybinnet._targets import Targets
from pybinnet._training import CALIBRATION_ROWS, NO_STEP, Configuration, HeldOut, train_steps

_MOST_HELD = 8192  # validation rows
_FULL_RATE_STEPS = 256  # at the initial rate, which then halves whenever the steps double


@dataclass(frozen=True)
class Stream:
    """What `partial_fit` keeps between calls, beside the checkpoint."""

    recent: NDArray[np.uint8] | None = None  # rows as trained: the statistics are measured on them
    held_out: HeldOut | None = None
    best_model: bytes = b""  # on the validation rows
    n_no_change: int = 0  # calls since

    def remember(self, rows: NDArray[np.uint8]) -> Stream:
        """With these rows too, `CALIBRATION_ROWS` at most, in place of the oldest."""
        if self.recent is not None:
            rows = np.concatenate([self.recent, rows])[-CALIBRATION_ROWS:]
        return replace(self, recent=rows)

    def hold_out(self, rows: HeldOut) -> Stream:
        """With these validation rows too, likewise."""
        if self.held_out is not None:
            rows = self.held_out.joined(rows, _MOST_HELD)
        return replace(self, held_out=rows)

    def judge(self, model: bytes, params: Any) -> tuple[Stream, float | None, float | None]:
        """Compare a deployed network with the best; return its score and loss too."""
        if self.held_out is None or len(self.held_out.y) < params._least_judged:
            return self, None, None
        score, loss = self.held_out.judge(model, params)
        if self.best_model:  # the rows have changed since
            least = self.held_out.judge(self.best_model, params)[0] + params.tol
            if score <= least:
                return replace(self, n_no_change=self.n_no_change + 1), score, loss
        return replace(self, best_model=model, n_no_change=0), score, loss

    def deploy(self, net: _engine.Net, seed: int) -> bytes:
        """Return the deployed model of a net that was trained on the stream."""
        assert self.recent is not None
        net.calibrate(self.recent[_engine.row_order(seed, NO_STEP, len(self.recent))])
        return net.model()


def train_once(
    params: Any,
    configuration: Configuration,
    net: _engine.Net,
    features: NDArray[np.uint8],
    targets: Targets,
    order: NDArray[np.intp],
    how: _engine.Augmentation | None,
) -> float:
    """Train on rows once, varied so; return their mean loss."""
    first, last = rate_exponents(params)
    steps = range(net.step, net.step - (-len(order) // configuration.batch_size))
    rates = [_rate_exponent(first, last, step) for step in steps]
    return sum(train_steps(net, features, targets, order, rates, how=how)) / (1024 * len(order))


def _rate_exponent(first: int, last: int, step: int) -> int:
    return min(last, first + (step // _FULL_RATE_STEPS + 1).bit_length() - 1)
