"""One call of fit: epochs over encoded rows, validation, early stopping, progress."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from pybinnet import _engine, _shapes
from pybinnet._callbacks import EpochInfo
from pybinnet._checkpoint import Header, Progress, append_progress, split_progress
from pybinnet._images import augmentation
from pybinnet._layers import has_convolutions, written
from pybinnet._parameters import CHOICES, engine_method, n_epochs, rate_exponents, weight_decay
from pybinnet._rows import Rows
from pybinnet._shapes import Shape
from pybinnet._targets import Targets, mean_loss, spreads_of
from pybinnet._validation import demand

CALIBRATION_ROWS = 8192  # training rows that measure the statistics before each deployment
NO_STEP = 2**32 - 1  # a step and an epoch that no training comes to: for their random bytes


@dataclass(frozen=True)
class Configuration:
    """What a warm start keeps of the first fit."""

    seed: int
    layers: tuple[_engine.Layer, ...]
    input_shape: Shape | None  # of images
    method: dict[str, Any]  # the parameters that say how the net learns
    batch_size: int
    counts: NDArray[np.uint32]  # spreads of the outputs,
    n_rows: int  # and the rows they are of

    @classmethod
    def of_checkpoint(cls, header: Header, asked: Configuration) -> Configuration:
        """That of a checkpoint, with what it does not say as asked for."""
        ours, wanted = header.method, engine_method(asked.method)
        method = {
            "weights": CHOICES["weights"][ours.ternary],
            "binarization": CHOICES["binarization"][ours.stochastic],
            "activation": CHOICES["activation"][ours.sign],
            "solver": CHOICES["solver"][ours.adamax],
            "quantized_backprop": not ours.exact,
        }
        for name in ("dropout", "input_dropout"):  # they are rounded in it
            same = getattr(ours, name) == getattr(wanted, name)
            method[name] = asked.method[name] if same else getattr(ours, name) / 256
        if ours.decay == wanted.decay:
            method["weight_decay"] = asked.method["weight_decay"]
        else:
            method["weight_decay"] = weight_decay(ours.decay)
        shape = None
        if header.image is not None:
            shape = _shapes.input_shape(header.n_features, header.image)
        spreads = spreads_of(header.scales)
        return cls(header.seed, header.layers, shape, method, header.batch_size, *spreads)

    @property
    def units(self) -> tuple[int, ...]:
        """Units or filters of each layer."""
        return tuple(layer.units for layer in self.layers)

    def refuse_others(
        self, asked: Configuration, any_batch_size: bool, going_on: str, anew: str
    ) -> None:
        """Raise a ValueError if another net is asked for.

        `going_on` is what asks, and `anew` how to begin with another.
        """
        images = has_convolutions(self.layers) or has_convolutions(asked.layers)
        for name, old, new in [
            ("layers", written(self.layers[:-1]), written(asked.layers[:-1]))
            if images
            else ("hidden_layer_sizes", self.units[:-1], asked.units[:-1]),
            ("input_shape", self.input_shape, asked.input_shape),
            (
                "batch_size",
                self.batch_size,
                self.batch_size if any_batch_size else asked.batch_size,
            ),
            ("outputs", self.units[-1], asked.units[-1]),
            *((name, old, asked.method[name]) for name, old in self.method.items()),
        ]:
            if new != old and not (name == "batch_size" and any_batch_size):
                raise ValueError(
                    f"{going_on} needs the {name} of the previous fit, {old}, got {new}; "
                    f"{anew} to start anew"
                )

    def net(self, n_features: int, n_jobs: int | None) -> _engine.Net:
        """A net with random weights."""
        return _engine.Net(
            n_features,
            self.layers,
            self.batch_size,
            self.seed,
            self.counts,
            engine_method(self.method),
            n_jobs=n_jobs,
            n_rows=self.n_rows,
            image=self.image,
        )

    @property
    def image(self) -> tuple[int, int] | None:
        """Height and width of images, for convolutions."""
        if self.input_shape is None or not has_convolutions(self.layers):
            return None
        return self.input_shape[:2]


@dataclass(frozen=True)
class HeldOut:
    """Validation rows."""

    features: NDArray[np.uint8]
    targets: Targets
    y: NDArray[Any]
    weights: NDArray[np.float64] | None

    def joined(self, others: HeldOut, most: int) -> HeldOut:
        """With others behind, the last of all as far as there is room for them."""
        weights = None
        if self.weights is not None or others.weights is not None:
            weights = np.concatenate([_weights(self), _weights(others)])[-most:]
        return HeldOut(
            np.concatenate([self.features, others.features])[-most:],
            np.concatenate([self.targets, others.targets])[-most:],
            np.concatenate([self.y, others.y])[-most:],
            weights,
        )

    def judge(self, model: bytes, params: Any) -> tuple[float, float]:
        """The score and the mean loss of a deployed network."""
        scores = _engine.predict_scores(model, self.features)
        score = params._judge(scores, self.y, self.weights)
        return score, mean_loss(scores, self.targets, self.weights)


def _weights(rows: HeldOut) -> NDArray[np.float64]:
    return np.ones(len(rows.y)) if rows.weights is None else rows.weights


def train_steps(
    net: _engine.Net,
    features: NDArray[np.uint8],
    targets: Targets,
    order: NDArray[np.intp],
    rates: Sequence[int],
    first: int = 0,
    how: _engine.Augmentation | None = None,
) -> Iterator[int]:
    """Divide rows evenly over steps, train from the `first` on, and give the loss of each.

    `how` images are varied depends on the net's seed and step, so that a fit can go on later.
    """
    step = net.train_step if targets.ndim == 1 else net.train_step_targets
    n_rows, n_steps = len(order), len(rates)
    for i in range(first, n_steps):
        batch = order[i * n_rows // n_steps : (i + 1) * n_rows // n_steps]
        x = features[batch]
        if how is not None:
            x = _engine.augment(how, net.seed, net.step, x)
        yield step(x, targets[batch], rates[i])


def as_trained(
    features: NDArray[np.uint8], how: _engine.Augmentation | None, seed: int
) -> NDArray[np.uint8]:
    """Return rows varied like those of training, for which the weights are.

    Statistics of other rows would not fit these weights.
    """
    return features if how is None else _engine.augment(how, seed, NO_STEP, features)


class Training:
    """What fit trains on, and what came of it.

    Attributes
    ----------
    progress : Progress
        Losses and scores of the epochs so far.
    checkpoint : bytes
        The state of training at the end: with early stopping, the best.
    model : bytes
        The deployed network of it.
    """

    def __init__(
        self,
        params: Any,
        configuration: Configuration,
        features: NDArray[np.uint8],
        targets: Targets,
        rows: Rows,
        held_out: HeldOut | None = None,
        data_hash: str = "",
    ) -> None:
        self.params = params
        self.seed = configuration.seed
        self.features = features
        self.targets = targets
        self.rows = rows
        self.held_out = held_out
        self.n_steps = -(-len(rows) // configuration.batch_size)  # of an epoch
        self.net = configuration.net(features.shape[1], params.n_jobs)
        self.sizes = features.shape[1], configuration.layers[-1].units
        self.n_epochs = n_epochs(params, self.n_steps)
        self.rates = rate_exponents(params)
        self.augmentation = augmentation(params, configuration.input_shape)
        self.progress = Progress(self._fingerprint(data_hash))
        self.checkpoint = b""
        self.model = b""

    def _fingerprint(self, data_hash: str) -> str:
        """Of all that the rest of a fit depends on beside its checkpoint."""
        names = ("shuffle", "early_stopping", "validation_fraction", "n_iter_no_change", "tol")
        values = [self.n_epochs, *self.rates, *(getattr(self.params, name) for name in names)]
        values.append(self.augmentation)
        return f"{data_hash}{zlib.crc32(repr(values).encode()):08x}"

    def start_from(self, checkpoint: bytes) -> None:
        """Go on with the fit of a checkpoint; if that had ended, begin another with its weights."""
        self.net.restore(checkpoint)
        unfinished = split_progress(checkpoint, self.net.checkpoint_size)
        if unfinished and unfinished.fingerprint == self.progress.fingerprint:
            begun = unfinished.first_step + len(unfinished.losses) * self.n_steps
            if not 0 <= self.net.step - begun <= self.n_steps:
                raise ValueError(
                    f"checkpoint_ has an appendix of another net: its epoch began at step {begun}, "
                    f"and the net is at {self.net.step}"
                )
            if unfinished.best_epoch:
                self._check_best(unfinished)
                self.net.restore(checkpoint)
            self.progress = unfinished
            return
        if unfinished:
            warnings.warn(
                "checkpoint_ is of a fit that had not ended, on other rows or with other "
                f"parameters; fit begins {self.n_epochs} epochs from its weights",
                stacklevel=5,
            )
        self.progress.first_step = self.net.step

    def _check_best(self, progress: Progress) -> None:
        """Raise a ValueError if the best network of a fit is not of this net, which it restores."""
        model = progress.best_model
        try:
            self.net.restore(progress.best_checkpoint)
            demand(_engine.model_sizes(model) == (len(model), *self.sizes), "sizes")
        except ValueError as error:
            raise ValueError(
                f"checkpoint_ has an appendix of another net: of the best one, {error}"
            ) from None

    def run(self) -> None:
        """Train; set `progress`, `checkpoint` and `model`."""
        last_step = self.progress.first_step + self.n_epochs * self.n_steps
        if last_step >= 2**32:
            raise ValueError(
                f"max_iter={self.params.max_iter} epochs of {self.n_steps} steps are 2**32 or "
                "more; give fewer, or a larger batch_size"
            )
        done = self.progress
        # A disabled bar takes locks too: an interrupt can leave them taken, and other threads wait.
        bar = None
        if self.params.verbose:
            bar = tqdm(total=self.n_epochs, initial=len(done.losses), unit="epoch")
        try:
            with nullcontext() if bar is None else bar:
                while not self._has_ended():
                    info = self._epoch_with_validation()
                    if bar is not None:
                        bar.set_postfix(_shown(info), refresh=False)
                        bar.update()
                    answers = [_is_true(callback(info)) for callback in self.params.callbacks or ()]
                    if any(answers):
                        break
        except KeyboardInterrupt:
            warnings.warn(
                f"Training interrupted after {len(done.losses)} of {self.n_epochs} epochs; the "
                "estimator is usable as far as it was trained, and with warm_start=True fit goes "
                "on from there.",
                stacklevel=5,
            )
            self.checkpoint = self._present()
        if done.best_epoch:
            self.checkpoint = self.checkpoint or done.best_checkpoint
            self.model = done.best_model
        else:
            self.checkpoint = self.checkpoint or self.net.checkpoint()
            self.model = self.deploy()

    def _has_ended(self) -> bool:
        done = self.progress
        n_whole = len(done.losses if self.held_out is None else done.scores)
        no_change = len(done.scores) - done.best_epoch
        return n_whole >= self.n_epochs or no_change >= self.params.n_iter_no_change

    def _present(self) -> bytes:
        return append_progress(self.net.checkpoint(), self.progress)

    def _epoch_with_validation(self) -> EpochInfo:
        done = self.progress
        if self.held_out is None or len(done.scores) == len(done.losses):  # else: interrupted here
            self.epoch()
        score = validation_loss = None
        if self.held_out is not None:
            model = self.deploy()
            score, validation_loss = self.held_out.judge(model, self.params)
            best = score > done.best_score + self.params.tol
            checkpoint = self.net.checkpoint() if best else b""
            epoch = len(done.losses)
            # All at once from here: Python looks for interrupts where there is a call or a loop.
            done.validation_losses += [validation_loss]
            done.scores += [score]
            if best:
                done.best_epoch = epoch
                done.best_checkpoint, done.best_model = checkpoint, model
        return EpochInfo(
            len(done.losses),
            self.n_epochs,
            done.losses[-1],
            score,
            validation_loss,
            self.deploy,
            self._present,
        )

    def epoch(self) -> None:
        """Train on the rows of an epoch, or what is left of it; note the mean loss of all."""
        done = self.progress
        n_rows, n_steps = len(self.rows), self.n_steps
        first = len(done.losses) * n_steps  # of the steps of this fit
        order = self.rows.epoch(
            self.seed, (done.first_step + first) // n_steps, self.params.shuffle
        )
        total = self.n_epochs * n_steps
        rates = [_engine.rate_exponent(*self.rates, first + i, total) for i in range(n_steps)]
        begun = self.net.step - done.first_step - first
        n_noted = begun
        losses = train_steps(
            self.net, self.features, self.targets, order, rates, begun, self.augmentation
        )
        try:
            for loss in losses:
                done.loss_sum += loss
                n_noted += 1
        except KeyboardInterrupt:  # mostly while C trains: the step is done, its loss not noted
            if self.net.step - done.first_step - first > n_noted:
                done.loss_sum += self.net.loss
            raise
        done.losses += [done.loss_sum / (1024 * n_rows)]  # no call: no interrupt before the next
        done.loss_sum = 0

    def deploy(self) -> bytes:
        """Return the deployed model of the present weights."""
        self.net.calibrate(self.calibration_rows())
        return self.net.model()

    def calibration_rows(self) -> NDArray[np.uint8]:
        """Return the training rows that measure the normalisation statistics."""
        # Random rows: batches of rows that stand together, of one class maybe, vary too little.
        rows = self.rows.epoch(self.seed, NO_STEP)[:CALIBRATION_ROWS]
        return as_trained(self.features[rows], self.augmentation, self.seed)


def _is_true(answer: Any) -> bool:
    """Whether a callback asks to stop: a truth value, not any other object that is not empty."""
    return isinstance(answer, bool | np.bool_) and bool(answer)


def _shown(info: EpochInfo) -> dict[str, str]:
    shown = {"loss": f"{info.loss:.4f}"}
    if info.validation_score is not None:
        shown["validation"] = f"{info.validation_score:.4f}"
    return shown
