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
from pybinnet._validation import is_auto

if TYPE_CHECKING:
    from pybinnet._estimators import BinaryConnectClassifier

CALIBRATION_ROWS = 8192  # training rows that measure the statistics before each deployment
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


@dataclass(frozen=True)
class Configuration:
    """What a warm start keeps of the first fit."""

    seed: int
    units: tuple[int, ...]
    method: dict[str, Any]  # the parameters that say how the net learns
    batch_size: int
    class_counts: NDArray[Any]


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
        self.params = params
        sizes = hidden_sizes(params.hidden_layer_sizes)
        units = tuple(int(n) for n in (*sizes, n_classes))
        random = check_random_state(params.random_state)
        seed = int(random.randint(np.iinfo(np.int32).max))
        if warm:
            seed = params._configuration.seed
        self.held_out: tuple[NDArray[np.uint8], NDArray[np.uint16]] | None = None
        if params.early_stopping:
            features, held_features, labels, held_labels = _split(
                features, labels, n_classes, params.validation_fraction, seed
            )
            self.held_out = held_features, held_labels
        self.features = features
        self.labels = labels
        counts = np.bincount(labels, minlength=n_classes)
        self.configuration = Configuration(
            seed, units, _method_parameters(params), _batch_size(params, len(labels)), counts
        )
        if warm:
            self.configuration = _warm_configuration(params, self.configuration)
        self.seed = seed
        if features.shape[1] > _engine.MAX_FEATURES:
            raise ValueError(
                f"X becomes {features.shape[1]} features, at most {_engine.MAX_FEATURES} work; "
                "encode it by PiecewiseLinearEncoder(n_ramps=1) first, or select columns"
            )
        batch_size = self.configuration.batch_size
        self.n_steps = -(-len(labels) // batch_size)  # of an epoch
        self.n_epochs = _n_epochs(params.max_iter, self.n_steps)
        self.net = _engine.Net(
            features.shape[1],
            units,
            batch_size,
            seed,
            self.configuration.class_counts,
            engine_method(self.configuration.method),
            n_jobs=params.n_jobs,
        )
        if warm:
            self.net.restore(params.checkpoint_)
        if self.net.step + self.n_epochs * self.n_steps >= 2**32:
            raise ValueError(
                f"max_iter={params.max_iter} epochs of {self.n_steps} steps are 2**32 or more; "
                "give fewer, or a larger batch_size"
            )
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
                self.losses.append(self.epoch(epoch - 1))
                score = None
                if self.held_out is not None:
                    model = self.deploy()
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
                    self.deploy,
                    self.net.checkpoint,
                )
                asked = [_is_true(callback(info)) for callback in self.params.callbacks or ()]
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
            self.checkpoint, self.model = self.net.checkpoint(), self.deploy()

    def epoch(self, epoch: int) -> float:
        """Train on all rows once; return the mean loss. `epoch` counts from 0 in this fit."""
        n_rows = len(self.labels)
        total = self.n_epochs * self.n_steps
        order: NDArray[Any] = np.arange(n_rows)
        if self.params.shuffle:
            order = _engine.row_order(self.seed, self.net.step // self.n_steps, n_rows)
        first, last = rate_exponents(self.params)
        loss = 0
        for i in range(self.n_steps):
            batch = order[i * n_rows // self.n_steps : (i + 1) * n_rows // self.n_steps]
            rate = _engine.rate_exponent(first, last, epoch * self.n_steps + i, total)
            loss += self.net.train_step(self.features[batch], self.labels[batch], rate)
        return loss / (1024 * n_rows)

    def deploy(self) -> bytes:
        """Return the deployed model of the present weights."""
        self.net.calibrate(self.calibration_rows())
        return self.net.model()

    def calibration_rows(self) -> NDArray[np.uint8]:
        """Return the training rows that measure the normalisation statistics."""
        # Random rows: batches of rows that stand together, of one class maybe, vary too little.
        rows = _engine.row_order(self.seed, 2**32 - 1, len(self.labels))[:CALIBRATION_ROWS]
        return self.features[rows]

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
    seed: int,
) -> Any:
    """Training and validation rows; of each class where it has rows enough."""
    n_rows = len(labels)
    n_held = math.ceil(fraction * n_rows)
    if n_rows - n_held < 2:
        raise ValueError(
            f"early_stopping=True with validation_fraction={fraction} leaves "
            f"{n_rows - n_held} of {n_rows} rows to train on; 2 or more are needed"
        )
    rare = np.bincount(labels, minlength=n_classes).min() < 2
    by_class = not rare and min(n_held, n_rows - n_held) >= n_classes
    return train_test_split(
        features,
        labels,
        test_size=n_held,
        random_state=seed,
        stratify=labels if by_class else None,
    )


def _batch_size(params: BinaryConnectClassifier, n_rows: int) -> int:
    if not is_auto(params.batch_size):
        return int(params.batch_size)
    return 16 if n_rows < 512 else 32 if n_rows < 1024 else 64 if n_rows < 2048 else 128


CHOICES = {
    "weights": ("binary", "ternary"),
    "binarization": ("deterministic", "stochastic"),
    "activation": ("relu", "sign"),
    "solver": ("sgd", "adamax"),
}
METHOD_PARAMETERS = (*CHOICES, "quantized_backprop", "dropout", "input_dropout")


def _method_parameters(params: BinaryConnectClassifier) -> dict[str, Any]:
    return {name: getattr(params, name) for name in METHOD_PARAMETERS}


def engine_method(parameters: dict[str, Any]) -> _engine.Method:
    """The engine's form of the parameters that say how a net learns."""
    ternary, stochastic, sign, adamax = (
        allowed.index(parameters[name]) == 1 for name, allowed in CHOICES.items()
    )
    exact = not parameters["quantized_backprop"]
    shares = (round(256 * parameters[name]) for name in ("dropout", "input_dropout"))
    return _engine.Method(ternary, stochastic, sign, adamax, exact, *shares)


def _warm_configuration(params: BinaryConnectClassifier, asked: Configuration) -> Configuration:
    """The configuration of the previous fit, which the parameters must not contradict."""
    before = params._configuration
    for name, old, new in [
        ("hidden_layer_sizes", before.units[:-1], asked.units[:-1]),
        ("batch_size", before.batch_size, params.batch_size),
        *((name, old, asked.method[name]) for name, old in before.method.items()),
    ]:
        if not is_auto(new) and new != old:
            raise ValueError(
                f"warm_start=True needs the {name} of the previous fit, {old}, got {new}; "
                "set warm_start=False to start anew"
            )
    return before


def _is_true(answer: Any) -> bool:
    """Whether a callback asks to stop: a truth value, not any other object that is not empty."""
    return isinstance(answer, bool | np.bool_) and bool(answer)


def _n_epochs(max_iter: int | str, n_steps: int) -> int:
    if not is_auto(max_iter):
        return int(max_iter)
    return max(_MIN_EPOCHS, -(-_MIN_UPDATES // n_steps))


def rate_exponents(params: BinaryConnectClassifier) -> tuple[int, int]:
    """The powers of two nearest to the learning rates, as their negative exponents."""
    if not is_auto(params.learning_rate_init):
        first = _exponent(params.learning_rate_init)
    else:
        first = (
            3 if params.binarization == "stochastic" else 5 if params.activation == "sign" else 4
        )
    if not is_auto(params.learning_rate_final):
        return first, _exponent(params.learning_rate_final)
    return first, max(first, 10)


def _exponent(rate: float | str) -> int:
    return round(-math.log2(float(rate)))


def _shown(loss: float, score: float | None) -> dict[str, str]:
    shown = {"loss": f"{loss:.4f}"}
    if score is not None:
        shown["validation"] = f"{score:.4f}"
    return shown
