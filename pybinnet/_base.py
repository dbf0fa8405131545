"""What the estimators share: parameters, the way of rows to training, streams. No arithmetic."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from pybinnet import _engine, _shapes
from pybinnet._callbacks import EpochInfo
from pybinnet._checkpoint import read_header
from pybinnet._features import PiecewiseLinearEncoder, pixel_encoder
from pybinnet._images import (
    asked_shape,
    augmentation,
    check_augmentation,
    flattened,
    found_shape,
    refuse_images,
)
from pybinnet._latent import read_latent
from pybinnet._layers import Layers, check_shapes, has_convolutions
from pybinnet._model_file import read_model
from pybinnet._parameters import (
    batch_size,
    check_parameters,
    hidden_layers,
    method_parameters,
)
from pybinnet._rows import Rows, order_rows, row_hashes
from pybinnet._shapes import Shape
from pybinnet._stream import Stream, train_once
from pybinnet._targets import Targets, spreads
from pybinnet._training import CALIBRATION_ROWS, Configuration, HeldOut, Training, as_trained
from pybinnet._validation import is_auto, numbers, unchanged_on_error

ENCODED_ROWS = 100_000  # that the encoder is fitted on


class BinaryConnectBase(BaseEstimator):  # type: ignore[misc]
    """Fits networks. Subclasses say what targets are and what scores mean."""

    encoder_: PiecewiseLinearEncoder
    n_features_in_: int
    input_shape_: Shape | None
    n_iter_: int
    loss_: float
    loss_curve_: list[float]
    validation_scores_: Sequence[float | None] | None
    validation_loss_curve_: Sequence[float | None] | None
    checkpoint_: bytes
    _least_judged = 1  # validation rows of which there is a score
    _configuration: Configuration
    _model: bytes | None
    _stream: Stream

    def __init__(
        self,
        hidden_layer_sizes: tuple[int, ...] = (256, 256),
        *,
        layers: Layers | None = None,
        input_shape: Shape | None = None,
        weights: str = "binary",
        binarization: str = "deterministic",
        activation: str = "relu",
        solver: str = "sgd",
        quantized_backprop: bool = True,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        weight_decay: float = 0.0,
        horizontal_flip: bool = False,
        random_crop: int = 0,
        batch_size: int | str = "auto",
        learning_rate_init: float | str = "auto",
        learning_rate_final: float | str = "auto",
        max_iter: int | str = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        warm_start: bool = False,
        shuffle: bool = True,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: bool = False,
        callbacks: Sequence[Callable[[EpochInfo], Any]] | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.layers = layers
        self.input_shape = input_shape
        self.weights = weights
        self.binarization = binarization
        self.activation = activation
        self.solver = solver
        self.quantized_backprop = quantized_backprop
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.weight_decay = weight_decay
        self.horizontal_flip = horizontal_flip
        self.random_crop = random_crop
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.learning_rate_final = learning_rate_final
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.shuffle = shuffle
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    # What subclasses are to say

    def _read(
        self, X: Any, y: Any, reset: bool, min_rows: int
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Validate rows and what is to be learned of them."""
        raise NotImplementedError

    def _begin(self, y: NDArray[Any], keep: bool) -> None:
        """Learn what there is to learn. If `keep`, it must be as before."""
        raise NotImplementedError

    def _weigh(
        self, y: NDArray[Any], weights: NDArray[np.float64] | None, of_stream: bool
    ) -> NDArray[np.float64] | None:
        """The weights of rows, all things considered; None: 1. Rows of a stream are not all."""
        raise NotImplementedError

    def _code(self, y: NDArray[Any]) -> NDArray[Any]:
        """Numbers for what is to be learned."""
        raise NotImplementedError

    def _set_targets(self, codes: NDArray[Any], rows: Rows, keep: bool) -> Targets:
        """What the outputs are trained towards."""
        raise NotImplementedError

    def _n_outputs(self) -> int:
        """The units of the last layer."""
        raise NotImplementedError

    def _judge(self, scores: NDArray[np.int32], y: NDArray[Any], weights: Any) -> float:
        """The validation score of a deployed network."""
        raise NotImplementedError

    def _saved(self) -> dict[str, Any]:
        """What `save_model` is to keep of the targets, as JSON has it."""
        raise NotImplementedError

    def _load_saved(self, values: dict[str, Any]) -> None:
        """Take it back; KeyError, TypeError or ValueError if it is not that."""
        raise NotImplementedError

    # Fit

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        check_parameters(self)
        with unchanged_on_error(self):
            self._fit_checked(X, y, sample_weight)

    def _fit_checked(self, X: Any, y: Any, sample_weight: Any) -> None:
        warm = bool(self.warm_start) and self._has_state()
        keep = warm and hasattr(self, "encoder_")
        table, y, weights = self._weighted(X, y, sample_weight, reset=not keep, of_stream=False)
        self._begin(y, keep)
        codes = self._code(y)
        hashes = row_hashes(table, codes.reshape(len(codes), -1))
        rows = order_rows(hashes, weights, self.shuffle)
        if len(rows) < 2:
            raise ValueError(
                "the weights leave 1 row to train on, and 2 or more are needed; weights below a "
                "millionth of the largest count as zero"
            )
        targets = self._set_targets(codes, rows, keep)
        if not keep:
            self._fit_encoder(table, rows)
        features = self.encoder_._encode(table)
        data_hash = self._data_hash(hashes, rows)

        seed = read_header(self.checkpoint_).seed if warm else self._new_seed()
        held_out = None
        if self.early_stopping:
            kept = self._kept_rows(hashes, rows, targets, seed)
            of_rows = None if weights is None else weights[~kept]
            held_out = HeldOut(features[~kept], targets[~kept], y[~kept], of_rows)
            rows = rows.subset(kept)
        configuration = self._configured(features.shape[1], targets, rows, seed, warm)
        training = Training(self, configuration, features, targets, rows, held_out, data_hash)
        if warm:
            training.start_from(self.checkpoint_)
        training.run()

        self._configuration = configuration
        self.n_iter_ = len(training.progress.losses)
        self.loss_curve_ = training.progress.losses
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else math.nan
        self.validation_scores_ = training.progress.scores if held_out else None
        self.validation_loss_curve_ = training.progress.validation_losses if held_out else None
        self.checkpoint_ = training.checkpoint
        self._model = training.model
        self._stream = Stream()

    def _weighted(
        self, X: Any, y: Any, sample_weight: Any, reset: bool, of_stream: bool
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64] | None]:
        """Validated rows of positive weight, what is to be learned of them, and their weights."""
        X = self._flattened(X, reset)
        check_augmentation(self, self.input_shape_)
        table, y = self._read(X, y, reset, min_rows=1 if of_stream else 2)
        table = numbers(table)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, table, dtype=np.float64, ensure_non_negative=True
            )
        weights = self._weigh(y, sample_weight, of_stream)
        if weights is None or weights.all():
            return table, y, weights
        positive = weights > 0
        if not positive.any():
            raise ValueError("all weights are zero; at least one row must have a positive weight")
        return table[positive], y[positive], weights[positive]

    def _flattened(self, X: Any, reset: bool) -> Any:
        """Images as rows. If `reset`, their shape is taken from the parameters or X."""
        if reset:
            layers, shape = hidden_layers(self), asked_shape(self)
            if has_convolutions(layers):
                shape = shape or found_shape(X, "layers has a Conv2D, which")
                of_outputs = _engine.Layer(1)
                exact = not self.quantized_backprop
                check_shapes((*layers, of_outputs), shape, batch_size(self), exact)
            self.input_shape_ = shape
        if self.input_shape_ is None:
            refuse_images(X)
            return X
        return flattened(X, self.input_shape_)

    def _kept_rows(
        self, hashes: NDArray[np.uint64], rows: Rows, targets: Targets, seed: int
    ) -> NDArray[np.bool_]:
        """Mark the rows to train on; the others are for validation, of each class if it has enough.

        Rows that are equal stay together: else training would know some of the validation rows.
        """
        _, firsts = np.unique(hashes[rows.indices], return_index=True)
        distinct = rows.indices[np.sort(firsts)]
        n_held = max(self._least_judged, math.ceil(self.validation_fraction * len(distinct)))
        n_kept = len(distinct) - n_held
        if n_kept < 2:
            raise ValueError(
                f"early_stopping=True with validation_fraction={self.validation_fraction} leaves "
                f"{n_kept} of {len(distinct)} different rows to train on; 2 or more are needed"
            )
        by_class = None
        if targets.ndim == 1 and min(n_held, n_kept) >= self._n_outputs():
            labels = targets[distinct]
            enough = np.bincount(labels, minlength=self._n_outputs()).min() >= 2
            by_class = labels if enough else None
        _, held = train_test_split(distinct, test_size=n_held, random_state=seed, stratify=by_class)
        return ~np.isin(hashes, hashes[held])

    def _fit_encoder(self, table: NDArray[Any], rows: Rows) -> None:
        if self.input_shape_ is not None:
            self.encoder_ = pixel_encoder(table, rows.indices)
            return
        self.encoder_ = PiecewiseLinearEncoder().fit(table[rows.sample(ENCODED_ROWS)])
        if self.encoder_.n_features_out_ > _engine.MAX_FEATURES:
            raise ValueError(
                f"X becomes {self.encoder_.n_features_out_} features, at most "
                f"{_engine.MAX_FEATURES} work; encode it by PiecewiseLinearEncoder(n_ramps=1) "
                "first, or select columns"
            )

    def _data_hash(self, hashes: NDArray[np.uint64], rows: Rows) -> str:
        """Of all rows in their order, of their weights, and of what they are encoded by."""
        parts = [hashes[rows.indices].astype("<u8")]
        parts += [edges.astype("<f8") for edges in self.encoder_.edges_]
        parts.append(np.array(self.encoder_.spans_, dtype="<i8"))
        if rows.weights is not None:
            parts.append(rows.weights.astype("<i8"))
        digest = hashlib.blake2b(digest_size=8)
        for part in parts:
            digest.update(part.tobytes())
        return digest.hexdigest()

    def _new_seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _configured(
        self, n_features: int, targets: Targets, rows: Rows, seed: int, warm: bool
    ) -> Configuration:
        counts, n_rows = spreads(targets, self._n_outputs(), rows)
        asked = Configuration(
            seed,
            (*hidden_layers(self), _engine.Layer(self._n_outputs())),
            asked_shape(self) or self.input_shape_,
            method_parameters(self),
            batch_size(self),
            counts,
            n_rows,
        )
        if not warm:
            return asked
        header = read_header(self.checkpoint_)
        if header.n_features != n_features:
            raise ValueError(
                f"checkpoint_ is of a net of {header.n_features} features, and X becomes "
                f"{n_features}; fit with the rows that it was trained on"
            )
        before = Configuration.of_checkpoint(header, asked)
        if header.image is None:  # it does not say whether rows were images
            before = replace(before, input_shape=self.input_shape_)
        before.refuse_others(
            asked, is_auto(self.batch_size), "warm_start=True", "set warm_start=False"
        )
        return before

    # Partial fit

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        first = not self._has_state()
        if not first:
            self._refuse_another_net()
        table, y, weights = self._weighted(X, y, sample_weight, reset=first, of_stream=True)
        codes = self._code(y)
        hashes = row_hashes(table, codes.reshape(len(codes), -1))
        rows = order_rows(hashes, weights, self.shuffle)
        if first:
            self._fit_encoder(table, rows)
        features = self.encoder_._encode(table)
        kept = np.ones(len(table), dtype=bool)
        if self.early_stopping:  # by content: the same rows whenever they come, of whatever type
            kept = row_hashes(features) >> np.uint64(32) >= self.validation_fraction * 2.0**32
        rows = rows.subset(kept)
        if first and len(rows) < 2:
            raise ValueError(
                f"the first call of partial_fit got {len(rows)} rows to train on; give some "
                "hundreds: the encoding is chosen by them"
            )
        targets = self._set_targets(codes, rows, keep=not first)
        if first:
            self._begin_stream(targets, rows)
        stopped = self.early_stopping and self._stream.n_no_change >= self.n_iter_no_change
        if stopped or not len(rows):
            return
        held_out = None
        if self.early_stopping:
            of_rows = None if weights is None else weights[~kept]
            held_out = HeldOut(features[~kept], targets[~kept], y[~kept], of_rows)
        self._learn(features, targets, rows, held_out)

    def _refuse_another_net(self) -> None:
        """Raise a ValueError if parameters were changed that the net was made with."""
        before = self._last_configuration()
        asked = replace(
            before,
            layers=(*hidden_layers(self), before.layers[-1]),
            input_shape=asked_shape(self) or before.input_shape,
            method=method_parameters(self),
            batch_size=batch_size(self),
        )
        before.refuse_others(asked, is_auto(self.batch_size), "partial_fit", "clone the estimator")

    def _begin_stream(self, targets: Targets, rows: Rows) -> None:
        counts, n_rows = spreads(targets, self._n_outputs(), rows)
        if targets.ndim == 1:  # classes may be rare or missing yet: half of them, half equal
            counts = counts + np.uint32(-(-int(counts.sum()) // len(counts)))
        self._configuration = Configuration(
            self._new_seed(),
            (*hidden_layers(self), _engine.Layer(self._n_outputs())),
            self.input_shape_,
            method_parameters(self),
            batch_size(self),
            counts,
            n_rows,
        )
        self.n_iter_, self.loss_curve_ = 0, []
        self.validation_scores_ = [] if self.early_stopping else None
        self.validation_loss_curve_ = [] if self.early_stopping else None
        self._stream = Stream()

    def _learn(
        self, features: NDArray[np.uint8], targets: Targets, rows: Rows, held_out: HeldOut | None
    ) -> None:
        net = self._configuration.net(features.shape[1], self.n_jobs)
        if hasattr(self, "checkpoint_"):
            net.restore(self.checkpoint_)
        seed = self._configuration.seed
        order = rows.epoch(seed, self.n_iter_, self.shuffle)
        how = augmentation(self, self.input_shape_)
        loss = train_once(self, self._configuration, net, features, targets, order, how)
        recent = features[rows.epoch(seed, self.n_iter_)[-CALIBRATION_ROWS:]]
        stream = self._stream.remember(as_trained(recent, how, seed))
        model = score = validation_loss = None
        if held_out is not None:
            stream = stream.hold_out(held_out)
            stream, score, validation_loss = stream.judge(stream.deploy(net, seed), self)
            model = stream.best_model or None
            self.validation_scores_ = [*(self.validation_scores_ or ()), score]
            self.validation_loss_curve_ = [*(self.validation_loss_curve_ or ()), validation_loss]
        self._stream = stream
        self._model = model
        self.n_iter_ += 1
        self.loss_ = loss
        self.loss_curve_ = [*self.loss_curve_, loss]
        self.checkpoint_ = net.checkpoint()
        info = EpochInfo(
            self.n_iter_,
            None,
            loss,
            score,
            validation_loss,
            lambda: self._stream.deploy(net, seed),
            net.checkpoint,
        )
        for callback in self.callbacks or ():
            callback(info)

    # What is fitted

    def _has_state(self) -> bool:
        """Whether there is a state of training; ValueError if predictions are all there is."""
        if hasattr(self, "encoder_") and not hasattr(self, "checkpoint_"):
            raise ValueError(
                f"this {type(self).__name__} has no checkpoint_: it was loaded from a model file, "
                "which has the deployed network only. Keep what is to learn more by joblib.dump"
            )
        return hasattr(self, "checkpoint_")

    def _last_configuration(self) -> Configuration:
        """That of the last fit; ValueError if there was none, whatever has been set since."""
        self._has_state()
        if not hasattr(self, "_configuration"):
            raise ValueError(
                f"this {type(self).__name__} was not fitted, though checkpoint_ has been set; from "
                "that alone only fit with warm_start=True goes on. Take a whole estimator, such as "
                "joblib.dump keeps"
            )
        return self._configuration

    @property
    def model_(self) -> bytes:
        """The deployed network in the file format of libbinnet."""
        if not hasattr(self, "_model"):
            raise AttributeError(f"this {type(self).__name__} is not fitted yet: it has no model_")
        if self._model is None:  # partial_fit leaves it to who needs it
            net = self._configuration.net(self.encoder_.n_features_out_, self.n_jobs)
            net.restore(self.checkpoint_)
            self._model = self._stream.deploy(net, self._configuration.seed)
        return self._model

    @model_.setter
    def model_(self, model: bytes) -> None:
        if not isinstance(model, bytes):
            raise TypeError(f"model_ is of type {type(model).__name__}; give bytes")
        self._model = model

    @property
    def coefs_(self) -> list[NDArray[np.int8]]:
        """The deployed weights: for each layer an array of shape (n_inputs, n_units) of -1, 0, 1.

        Of a convolution it is of shape (kernel_size, kernel_size, channels, filters). The inputs of
        the first layer are the features that `encoder_` makes of the columns. The arrays are read
        from `model_` and are yours: to change them changes no prediction.
        """
        return [_shapes.as_coefs(layer.weights, layer.form) for layer in read_model(self.model_)]

    @property
    def latent_coefs_(self) -> list[NDArray[np.float32]]:
        """The latent weights, shaped as `coefs_`, from -1 to 1.

        They are read from `checkpoint_`. Where one is 0 or more a binary weight is +1, elsewhere
        -1; a ternary weight is 0 where one is within a third of 0.
        """
        if not hasattr(self, "checkpoint_"):
            raise AttributeError(
                f"this {type(self).__name__} has no latent_coefs_: it is not fitted, or was loaded "
                "from a model file, which has the deployed weights only (coefs_)"
            )
        read_header(self.checkpoint_)
        try:
            _, layers = read_latent(self.checkpoint_)
        except ValueError:
            raise ValueError("checkpoint_ is damaged: it ends before its last layer") from None
        return [_shapes.as_coefs(layer.weights, layer.form) for layer in layers]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "encoder_")

    def _scores(self, X: Any) -> NDArray[np.int32]:
        """The deployed network's scores, in units of `_engine.SCORE_UNIT`."""
        check_is_fitted(self)
        return _engine.predict_scores(self.model_, self._features(X))

    def _features(self, X: Any) -> NDArray[np.uint8]:
        """What the network takes of rows."""
        X = self._flattened(X, reset=False)
        return self.encoder_._encode(numbers(validate_data(self, X, reset=False)))
