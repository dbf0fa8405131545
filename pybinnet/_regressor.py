"""BinaryConnectRegressor: numbers as ramps, which the outputs are trained towards."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import validate_data

from pybinnet import _engine
from pybinnet._base import ENCODED_ROWS, BinaryConnectBase
from pybinnet._features import MAX_ABS, place_edges
from pybinnet._parameters import check_parameters
from pybinnet._rows import Rows
from pybinnet._targets import UNIT, Targets, exact_mean, to_unit
from pybinnet._validation import checked_edges, demand, unchanged_on_error

_N_RAMPS = 16  # of a number: 8 to 64 did as well (docs/algorithm.md, section 4)


class BinaryConnectRegressor(RegressorMixin, BinaryConnectBase):  # type: ignore[misc]
    """Neural network regression with 1-bit or ternary weights, trained with integers only.

    A number becomes up to 16 ramps between quantiles of the training targets, as columns do in
    `PiecewiseLinearEncoder`, and the network has an output for each: it learns -1 below the ramp, 1
    above it, and what is between on it. The loss is the square of the difference, where the output
    is not beyond -1 or 1. The least mean of it is at the mean of the ramp given the row, so the
    outputs' sum, each times the width of its ramp, estimates the conditional mean.

    Parameters
    ----------
    hidden_layer_sizes, layers, input_shape, weights, binarization, activation, solver, \
quantized_backprop, dropout, input_dropout, weight_decay, horizontal_flip, random_crop, \
batch_size, learning_rate_init, learning_rate_final, max_iter, early_stopping, \
validation_fraction, n_iter_no_change, tol, warm_start, shuffle, n_jobs, random_state, verbose, \
callbacks : as in `BinaryConnectClassifier`
        The same, with the same defaults. The validation score is R².

    Attributes
    ----------
    n_features_in_, feature_names_in_, input_shape_, encoder_, n_iter_, loss_, loss_curve_, \
validation_scores_, validation_loss_curve_, model_, checkpoint_, coefs_, latent_coefs_ : as in \
`BinaryConnectClassifier`
        The same. The loss is the sum over the outputs.

    target_edges_ : list of ndarray of float64
        The increasing edges of each target's ramps.

    See Also
    --------
    BinaryConnectClassifier : Classes and labels; its documentation has the parameters.
    sklearn.neural_network.MLPRegressor : Floating-point network.

    Notes
    -----
    Predictions are between the least and the greatest target of the training data. Targets need no
    scaling; they are placed by rank, so a long tail is on few ramps and costs accuracy there: of
    such targets, train on the logarithm (`sklearn.compose.TransformedTargetRegressor`).

    References
    ----------
    E. Imani and M. White, "Improving regression performance with distributional losses", ICML 2018:
    why many outputs learn a number better than one.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from pybinnet import BinaryConnectRegressor
    >>> X, y = make_friedman1(1000, noise=1.0, random_state=0)
    >>> reg = BinaryConnectRegressor(random_state=0).fit(X[:800], y[:800])
    >>> reg.score(X[800:], y[800:]) > 0.85
    True
    """

    target_edges_: list[NDArray[np.float64]]
    _least_judged = 2  # R² is of a variance
    _one_dimensional: bool

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> BinaryConnectRegressor:
        """Train on rows and their numbers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers, Booleans or images, as in `BinaryConnectClassifier.fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Finite numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            As in `BinaryConnectClassifier.fit`.

        Returns
        -------
        self : BinaryConnectRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is not as documented. The estimator is left as it was.
        """
        self._fit(X, y, sample_weight)
        return self

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> BinaryConnectRegressor:
        """Train on rows once, as part of a stream.

        As `BinaryConnectClassifier.partial_fit`; the first call also chooses the ramps of the
        targets, beyond which no prediction will be.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, as in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers, as in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            As in `fit`.

        Returns
        -------
        self : BinaryConnectRegressor
            The estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is not as documented. The estimator is left as it was.
        """
        check_parameters(self)
        with unchanged_on_error(self):
            if not hasattr(self, "encoder_"):
                self._begin(np.asarray(y), keep=False)
            self._partial_fit(X, y, sample_weight)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the numbers of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Numbers, in the shape that `fit` was given.
        """
        return self._decided(self._scores(X))

    def _decided(self, scores: NDArray[np.int32]) -> NDArray[np.float64]:
        columns = []
        for edges in self.target_edges_:
            of_ramps, scores = np.split(scores, [edges.size - 1], axis=1)
            columns.append(_decode(of_ramps, edges))
        return columns[0] if self._one_dimensional else np.stack(columns, axis=1)

    def _read(
        self, X: Any, y: Any, reset: bool, min_rows: int
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        table, y = validate_data(
            self,
            X,
            y,
            reset=reset,
            multi_output=True,
            y_numeric=True,
            ensure_min_samples=min_rows,
        )
        y = y.toarray() if hasattr(y, "toarray") else y
        return table, np.clip(y.astype(np.float64), -MAX_ABS, MAX_ABS)

    def _weigh(
        self, y: NDArray[Any], weights: NDArray[np.float64] | None, of_stream: bool
    ) -> NDArray[np.float64] | None:
        return weights

    def _begin(self, y: NDArray[Any], keep: bool) -> None:
        if not keep:
            self._one_dimensional = y.ndim == 1

    def _code(self, y: NDArray[Any]) -> NDArray[Any]:
        return y.reshape(len(y), -1)

    def _set_targets(self, codes: NDArray[Any], rows: Rows, keep: bool) -> Targets:
        if not keep:
            sample = codes[rows.sample(ENCODED_ROWS)]
            self.target_edges_ = [_edges(column) for column in sample.T]
        if codes.shape[1] != len(self.target_edges_):
            raise ValueError(
                f"y has {codes.shape[1]} columns, but this BinaryConnectRegressor was fitted on "
                f"{len(self.target_edges_)}"
            )
        ramps = [
            _encode(column, edges)
            for column, edges in zip(codes.T, self.target_edges_, strict=True)
        ]
        # A network has two outputs or more.
        spare = np.full((len(codes), self._n_outputs() - sum(r.shape[1] for r in ramps)), -UNIT)
        targets: NDArray[np.int8] = np.concatenate([*ramps, spare.astype(np.int8)], axis=1)
        return targets

    def _n_outputs(self) -> int:
        return max(2, sum(edges.size - 1 for edges in self.target_edges_))

    def _judge(self, scores: NDArray[np.int32], y: NDArray[Any], weights: Any) -> float:
        wanted, predicted = (rows.reshape(len(y), -1).T for rows in (y, self._decided(scores)))
        of_columns = [_r2(*pair, weights) for pair in zip(wanted, predicted, strict=True)]
        return math.fsum(of_columns) / len(of_columns)

    def _saved(self) -> dict[str, Any]:
        return {
            "target_edges": [edges.tolist() for edges in self.target_edges_],
            "one_dimensional": self._one_dimensional,
        }

    def _load_saved(self, values: dict[str, Any]) -> None:
        self.target_edges_ = [checked_edges(edges) for edges in values["target_edges"]]
        self._one_dimensional = values["one_dimensional"] is True
        demand(len(self.target_edges_) > 0, "targets")
        demand(len(self.target_edges_) == 1 or not self._one_dimensional, "targets")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _r2(y: NDArray[np.float64], predicted: NDArray[np.float64], weights: Any) -> float:
    """R² as `sklearn.metrics.r2_score` has it, of exact sums: it decides which network is best."""
    y, predicted = to_unit(np.stack([y, predicted]))
    residual = exact_mean((y - predicted) ** 2, weights)
    variance = exact_mean((y - exact_mean(y, weights)) ** 2, weights)
    if variance == 0:
        return float(residual == 0)
    return 1 - residual / variance


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges from the least value to the greatest; a constant is one edge, and has no ramp."""
    ordered = np.sort(values)
    edges = place_edges(ordered, _N_RAMPS + 1)
    edges[0], edges[-1] = ordered[0], ordered[-1]
    return edges


def _encode(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int8]:
    """Targets of shape (n_values, n_ramps)."""
    low, high = edges[:-1], edges[1:]
    shares = (np.clip(values[:, np.newaxis], low, high) - low) / (high - low)
    targets: NDArray[np.int8] = np.floor(2 * UNIT * shares + (0.5 - UNIT)).astype(np.int8)
    return targets


def _decode(scores: NDArray[np.int32], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.clip(scores / (2 * _engine.SCORE_UNIT) + 0.5, 0, 1)
    values = np.full(len(scores), edges[0])
    # Ramp by ramp, for the same sum on every machine.
    for share, width in zip(shares.T, np.diff(edges), strict=True):
        values += share * width
    return values
