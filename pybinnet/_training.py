"""One call of fit: epochs over encoded rows, validation, early stopping, progress."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from tqdm.auto import tqdm

from pybinnet import _engine

if TYPE_CHECKING:
    from pybinnet._estimators import BinaryConnectClassifier

_CALIBRATION_ROWS = 8192  # training rows that measure the statistics before each deployment
_MIN_EPOCHS = 20  # of max_iter="auto"
_MIN_UPDATES = 3000  # likewise, for data of few rows


@dataclass(frozen=True)
class EpochInfo:
    """What a callback of `BinaryConnectClassifier` is told after each epoch.

    Attributes
    ----------
    epoch : int
        Epochs done, from 1.
    n_epochs : int
        Epochs that are planned.
    loss : float
        Mean squared hinge loss of the epoch's training rows.
    validation_score : float or None
        Accuracy of the deployed network on the validation rows; None without early stopping.
    deploy : callable
        Returns the deployed network of the present weights, as `model_` will be.
    checkpoint : callable
        Returns the present state of training, as `checkpoint_` will be.
    """

    epoch: int
    n_epochs: int
    loss: float
    validation_score: float | None
    deploy: Callable[[], bytes]
    checkpoint: Callable[[], bytes]


class Training:
    """What fit trains on, and what came of it."""

    def __init__(
        self,
        params: BinaryConnectClassifier,
        features: NDArray[np.uint8],
        labels: NDArray[np.uint16],
        n_classes: int,
        warm: bool,
    ) -> None:
        random = check_random_state(params.random_state)
        seed = int(random.randint(np.iinfo(np.int32).max))
        self.held_out: tuple[NDArray[np.uint8], NDArray[np.uint16]] | None = None
        if params.early_stopping:
            features, held_features, labels, held_labels = _split(
                features, labels, n_classes, params.validation_fraction, random
            )
            self.held_out = held_features, held_labels
        self.params = params
        self.features = features
        self.labels = labels
        batch_size = _batch_size(params.batch_size, len(labels))
        counts = np.bincount(labels, minlength=n_classes)
        if warm:
            seed, batch_size, counts = params._configuration
        self.configuration: tuple[int, int, NDArray[Any]] = seed, batch_size, counts
        self.seed = seed
        units = (*hidden_sizes(params.hidden_layer_sizes), n_classes)
        self.net = _engine.Net(
            features.shape[1], units, batch_size, seed, counts, n_jobs=params.n_jobs
        )
        if warm:
            self.net.restore(params.checkpoint_)
        self.n_steps = -(-len(labels) // batch_size)  # of an epoch
        self.n_epochs = _n_epochs(params.max_iter, self.n_steps)
        self.losses: list[float] = []
        self.scores: list[float] = []
        self.checkpoint = b""
        self.model = b""

    def run(self) -> None:
        """Train; set `losses`, `scores`, `checkpoint` and `model`."""
        best = -math.inf
        since_best = 0
        bar = tqdm(total=self.n_epochs, unit="epoch", disable=not self.params.verbose)
        try:
            for epoch in range(1, self.n_epochs + 1):
                self.losses.append(self._epoch(epoch - 1))
                score = None
                if self.held_out is not None:
                    model = self._deploy()
                    score = self._score(model)
                    self.scores.append(score)
                    since_best += 1
                    if score > best + self.params.tol:
                        best, since_best = score, 0
                        self.checkpoint, self.model = self.net.checkpoint(), model
                bar.set_postfix(_shown(self.losses[-1], score), refresh=False)
                bar.update()
                info = EpochInfo(
                    epoch,
                    self.n_epochs,
                    self.losses[-1],
                    score,
                    self._deploy,
                    self.net.checkpoint,
                )
                asked = [callback(info) is True for callback in self.params.callbacks or ()]
                if any(asked) or since_best >= self.params.n_iter_no_change:
                    break
        except KeyboardInterrupt:
            warnings.warn(
                f"Training interrupted after {len(self.losses)} of {self.n_epochs} epochs; the "
                "estimator is usable as far as it was trained.",
                stacklevel=3,
            )
        finally:
            bar.close()
        if not self.model:
            self.checkpoint, self.model = self.net.checkpoint(), self._deploy()

    def _epoch(self, epoch: int) -> float:
        n_rows = len(self.labels)
        total = self.n_epochs * self.n_steps
        order: NDArray[Any] = np.arange(n_rows)
        if self.params.shuffle:
            order = _engine.row_order(self.seed, self.net.step // self.n_steps, n_rows)
        first = _exponent(self.params.learning_rate_init)
        last = _exponent(self.params.learning_rate_final)
        loss = 0
        for i in range(self.n_steps):
            batch = order[i * n_rows // self.n_steps : (i + 1) * n_rows // self.n_steps]
            rate = _engine.rate_exponent(first, last, epoch * self.n_steps + i, total)
            loss += self.net.train_step(self.features[batch], self.labels[batch], rate)
        return loss / (1024 * n_rows)

    def _deploy(self) -> bytes:
        """The deployed model of the present weights."""
        n_rows = len(self.labels)
        n_used = min(n_rows, _CALIBRATION_ROWS)
        self.net.calibrate(self.features[np.arange(n_used) * n_rows // n_used])
        return self.net.model()

    def _score(self, model: bytes) -> float:
        assert self.held_out is not None
        features, labels = self.held_out
        predicted = _engine.predict_scores(model, features).argmax(axis=1)
        return float(accuracy_score(labels, predicted))


def hidden_sizes(sizes: Any) -> tuple[Any, ...]:
    """The units of each hidden layer; an integer is one layer, as MLPClassifier allows."""
    return (sizes,) if isinstance(sizes, Integral) else tuple(sizes)


def _split(
    features: NDArray[np.uint8],
    labels: NDArray[np.uint16],
    n_classes: int,
    fraction: float,
    random: np.random.RandomState,
) -> Any:
    """Training and validation rows; of each class where it has rows enough."""
    counts = np.bincount(labels, minlength=n_classes)
    n_held = math.ceil(fraction * len(labels))
    stratify = labels if counts.min() >= 2 and n_held >= n_classes else None
    try:
        return train_test_split(
            features, labels, test_size=fraction, random_state=random, stratify=stratify
        )
    except ValueError as error:
        raise ValueError(
            f"early_stopping=True cannot set validation_fraction={fraction} of {len(labels)} rows "
            f"aside: {error}"
        ) from error


def _batch_size(batch_size: int | str, n_rows: int) -> int:
    if batch_size != "auto":
        return min(int(batch_size), max(2, n_rows))
    return min(
        n_rows, 16 if n_rows < 512 else 32 if n_rows < 1024 else 64 if n_rows < 2048 else 128
    )


def _n_epochs(max_iter: int | str, n_steps: int) -> int:
    if max_iter != "auto":
        return int(max_iter)
    return max(_MIN_EPOCHS, -(-_MIN_UPDATES // n_steps))


def _exponent(rate: float) -> int:
    """The power of two nearest to a learning rate, as its negative exponent."""
    return round(-math.log2(rate))


def _shown(loss: float, score: float | None) -> dict[str, str]:
    shown = {"loss": f"{loss:.4f}"}
    if score is not None:
        shown["validation"] = f"{score:.4f}"
    return shown
