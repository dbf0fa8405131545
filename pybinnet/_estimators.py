"""The scikit-learn surface. No arithmetic of the network happens here."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from pybinnet import _engine
from pybinnet._features import PiecewiseLinearEncoder
from pybinnet._training import (
    CHOICES,
    Configuration,
    EpochInfo,
    Training,
    hidden_sizes,
    rate_exponents,
)
from pybinnet._validation import (
    check_choice,
    check_flag,
    check_number,
    is_auto,
    unchanged_on_error,
)

# Of the softmax in predict_proba: near the least log-loss on six data sets, which is at 1 to 4.
_PROBABILITY_SLOPE = 2.0


class BinaryConnectClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Neural network with 1-bit or ternary weights, trained with integers only.

    BinaryConnect propagates the signs of its weights and accumulates the updates in latent ones.
    Here all of training is integer arithmetic without multiplications, so the same data,
    parameters and `random_state` give the same bytes on every machine, instruction set and number
    of threads. Predictions use the deployed network: one bit for each weight, or two if ternary.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(256, 256)
        Units of each hidden layer, 1 to 65536.

    weights : {"binary", "ternary"}, default="binary"
        Values of the propagated weights: -1 and +1 ([1]_), or also 0 ([2]_, section 3.1), which
        takes two bits in the deployed network.

    binarization : {"deterministic", "stochastic"}, default="deterministic"
        How a latent weight becomes a propagated one: by its sign (ternary: 0 if small); or, in
        training, by a new draw in every step, whose expectation is the latent weight. What is
        deployed is deterministic. Stochastic weights regularize: give them width and epochs.

    activation : {"relu", "sign"}, default="relu"
        Activation of hidden units. With "sign" activations are bits too ([3]_), and all layers but
        the first are computed forward, in prediction and training, by XNOR and bit count.

    solver : {"sgd", "adamax"}, default="sgd"
        Stochastic gradient descent on latent weights clipped to [-1, 1], each layer's step measured
        by the largest gradient of the step before; or AdaMax by shifts ([3]_, algorithm 4), which
        keeps 4 more bytes for each weight.

    quantized_backprop : bool, default=True
        Round layer inputs in the weight gradient ([2]_, section 3.2): to one random bit. False
        takes them as they are, in several times the time; for comparison.

    dropout : float, default=0.0
        Share of hidden units left out at random in training, for each row; 0 to 0.99, rounded to
        1/256.

    input_dropout : float, default=0.0
        Share of features likewise. On images 0.2 helps more than anything else, given epochs.

    batch_size : int or "auto", default="auto"
        The most rows of a training step, 4 to 32768. "auto" takes 128, and 16 to 64 below 2048
        rows. The rows of an epoch are divided evenly over its steps.

    learning_rate_init : float or "auto", default="auto"
        Learning rate at the start, as a share of the weight range. It decays exponentially in
        powers of two, to which this is rounded; 2**-15 to 1. "auto" takes what was best on MNIST:
        2**-4, 2**-3 with stochastic binarization, 2**-5 with sign activation.

    learning_rate_final : float or "auto", default="auto"
        Learning rate at the end, likewise; not above `learning_rate_init`. "auto" takes 2**-10, or
        the rate at the start if that is lower.

    max_iter : int or "auto", default="auto"
        Epochs. "auto" takes 20, and more if the data has so few rows that these would be less than
        3000 steps.

    early_stopping : bool, default=False
        Whether to set `validation_fraction` of the rows aside, stop when their score has not
        improved for `n_iter_no_change` epochs, and keep the network that scored best.

    validation_fraction : float, default=0.1
        Share of the rows set aside; between 0 and 1. Only with `early_stopping`.

    n_iter_no_change : int, default=10
        Epochs without improvement that end the training. Only with `early_stopping`.

    tol : float, default=1e-4
        By how much the validation score must rise to count as an improvement.

    warm_start : bool, default=False
        Whether `fit` goes on from `checkpoint_` of the previous call instead of new weights. The
        classes, columns, layers, batch size and method (`weights` to `input_dropout`) must be the
        same. The seed and the classes' shares
        stay those of the first fit; the learning rate decays anew.

    shuffle : bool, default=True
        Whether each epoch takes the rows in a new order.

    n_jobs : int or None, default=None
        Threads in training. None is 1 unless in a joblib context, -1 is all processors. The result
        does not depend on it. Threads pay from layers of about 512 units.

    random_state : int, RandomState instance or None, default=None
        Determines initial weights, row order, roundings and the validation rows. Pass an int for
        results that can be repeated.

    verbose : bool, default=False
        Whether to show a progress bar with loss and validation score.

    callbacks : list of callable or None, default=None
        Each is called after every epoch with an `EpochInfo`; one that returns True ends the
        training.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_features_in_ : int
        Number of columns seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen in `fit`, if all of them are strings.

    encoder_ : PiecewiseLinearEncoder
        Turns columns into the network's uint8 features.

    n_iter_ : int
        Epochs done.

    loss_ : float
        Loss of the last epoch.

    loss_curve_ : list of float
        Mean squared hinge loss of each epoch: ``max(0, 1 - margin)**2``, summed over the classes.

    validation_scores_ : list of float or None
        Accuracy of the deployed network on the validation rows after each epoch; None without
        `early_stopping`.

    model_ : bytes
        The deployed network in the file format of libbinnet.

    checkpoint_ : bytes
        The state of training, likewise.

    See Also
    --------
    PiecewiseLinearEncoder : The encoding of float columns.
    sklearn.neural_network.MLPClassifier : Floating-point network.

    Notes
    -----
    uint8 data enters the network as it is: let it be images or other bytes that use their range.
    Small counts and indicators are faint as bytes of 0 to 255; pass them as float or bool. Other
    data is encoded by `PiecewiseLinearEncoder`, so no scaling is needed. Every layer is followed by
    L1 batch normalisation, whose statistics are measured again on training rows when training ends.

    References
    ----------
    .. [1] M. Courbariaux, Y. Bengio and J.-P. David, "BinaryConnect: training deep neural networks
       with binary weights during propagations", NIPS 2015.
    .. [2] Z. Lin, M. Courbariaux, R. Memisevic and Y. Bengio, "Neural networks with few
       multiplications", ICLR 2016.
    .. [3] M. Courbariaux, I. Hubara, D. Soudry, R. El-Yaniv and Y. Bengio, "Binarized neural
       networks: training deep neural networks with weights and activations constrained to +1 or
       -1", 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from pybinnet import BinaryConnectClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = BinaryConnectClassifier(random_state=0).fit(X, y)
    >>> clf.predict(X[:3])
    array([0, 0, 0])
    >>> clf.score(X, y) > 0.95
    True
    """

    classes_: NDArray[Any]
    encoder_: PiecewiseLinearEncoder
    n_iter_: int
    loss_: float
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    model_: bytes
    checkpoint_: bytes
    _configuration: Configuration

    def __init__(
        self,
        hidden_layer_sizes: tuple[int, ...] = (256, 256),
        *,
        weights: str = "binary",
        binarization: str = "deterministic",
        activation: str = "relu",
        solver: str = "sgd",
        quantized_backprop: bool = True,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
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
        self.weights = weights
        self.binarization = binarization
        self.activation = activation
        self.solver = solver
        self.quantized_backprop = quantized_backprop
        self.dropout = dropout
        self.input_dropout = input_dropout
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

    def fit(self, X: ArrayLike, y: ArrayLike) -> BinaryConnectClassifier:
        """Train on rows and their classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers or Booleans; uint8 is taken as it is.
        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        self : BinaryConnectClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is not as documented. The estimator is left as it was.
        """
        self._check_parameters()
        with unchanged_on_error(self):
            self._fit(X, y)
        return self

    def _fit(self, X: ArrayLike, y: ArrayLike) -> None:
        warm = bool(self.warm_start) and hasattr(self, "model_")
        rows, targets = validate_data(self, X, y, reset=not warm, ensure_min_samples=2)
        check_classification_targets(targets)
        targets = column_or_1d(targets, warn=True)
        classes, labels = np.unique(targets, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"y has only one class, {classes[0]}; BinaryConnectClassifier needs 2 or more"
            )
        if len(classes) > _engine.MAX_UNITS - 1:
            raise ValueError(f"y has {len(classes)} classes; at most {_engine.MAX_UNITS - 1} work")
        if warm and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start=True needs the classes of the previous fit, {self.classes_}, "
                f"got {classes}; set warm_start=False to start anew"
            )
        encoder = self.encoder_ if warm else PiecewiseLinearEncoder().fit(rows)
        features = encoder._encode(rows)
        training = Training(self, features, labels.astype(np.uint16), len(classes), warm)
        training.run()

        self.classes_ = classes
        self.encoder_ = encoder
        self.n_iter_ = len(training.losses)
        self.loss_curve_ = training.losses
        self.loss_ = training.losses[-1] if training.losses else math.nan
        self.validation_scores_ = training.scores if self.early_stopping else None
        self._configuration = training.configuration
        self.checkpoint_ = training.checkpoint
        self.model_ = training.model

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the margins of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        margins : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Scores of the deployed network; training drives the right class to +1 or more and the
            others to -1 or less. With two classes, half the second's score less the first's.
        """
        margins = self._margins(X)
        if margins.shape[1] == 2:
            margins = (margins[:, 1] - margins[:, 0]) / 2
        return margins

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Class labels.
        """
        best = self._margins(X).argmax(axis=1)
        classes: NDArray[Any] = self.classes_[best]
        return classes

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return probability estimates: a softmax of twice the margins.

        The network is trained for margins, not for probabilities; this fixed curve is only roughly
        calibrated. Use `sklearn.calibration.CalibratedClassifierCV` where probabilities matter.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Positive, with rows that sum to 1; columns in the order of `classes_`.
        """
        logits = _PROBABILITY_SLOPE * self._margins(X)
        powers: NDArray[np.float64] = np.exp(logits - logits.max(axis=1, keepdims=True))
        powers /= powers.sum(axis=1, keepdims=True)
        return powers

    def _margins(self, X: ArrayLike) -> NDArray[np.float64]:
        check_is_fitted(self)
        features = self.encoder_._encode(validate_data(self, X, reset=False))
        margins: NDArray[np.float64]
        margins = _engine.predict_scores(self.model_, features) / _engine.SCORE_UNIT
        return margins

    def _check_parameters(self) -> None:
        """Raise a ValueError or TypeError that names the first parameter not as documented."""
        sizes = self.hidden_layer_sizes
        if not isinstance(sizes, Integral | tuple | list | np.ndarray):
            raise TypeError(
                f"hidden_layer_sizes={sizes!r} is of type {type(sizes).__name__}; "
                "give a tuple of the units of each hidden layer, such as (256, 256)"
            )
        hidden = hidden_sizes(sizes)
        if len(hidden) > _engine.MAX_LAYERS - 1:
            raise ValueError(
                f"hidden_layer_sizes has {len(hidden)} layers; "
                f"at most {_engine.MAX_LAYERS - 1} hidden layers work"
            )
        for size in hidden:
            check_number("hidden_layer_sizes", size, Integral, 1, _engine.MAX_UNITS, whole=sizes)
        for name, allowed in CHOICES.items():
            check_choice(name, getattr(self, name), allowed)
        check_number("dropout", self.dropout, Real, 0, 0.99)
        check_number("input_dropout", self.input_dropout, Real, 0, 0.99)
        if not hidden and self.activation == "sign":
            raise ValueError(
                "activation='sign' needs a hidden layer, and hidden_layer_sizes has none: sign is "
                "the activation of hidden units; use activation='relu', or give a layer"
            )
        if not hidden and self.dropout > 0:
            raise ValueError(
                f"dropout={self.dropout!r} needs a hidden layer, and hidden_layer_sizes has none: "
                "only hidden units are left out; use dropout=0.0, or give a layer"
            )
        for name in ("quantized_backprop", "early_stopping", "warm_start", "shuffle"):
            check_flag(name, getattr(self, name))
        if not is_auto(self.batch_size):
            check_number("batch_size", self.batch_size, Integral, 4, _engine.MAX_BATCH, "'auto'")
        if not is_auto(self.max_iter):
            check_number("max_iter", self.max_iter, Integral, 1, 2**31 - 1, "'auto'")
        smallest = 2.0**-_engine.MAX_RATE_EXPONENT
        for name in ("learning_rate_init", "learning_rate_final"):
            if not is_auto(getattr(self, name)):
                check_number(name, getattr(self, name), Real, smallest, 1, "'auto'")
        first, last = rate_exponents(self)
        if last < first:
            raise ValueError(
                f"learning_rate_final={self.learning_rate_final!r} is above "
                f"learning_rate_init={self.learning_rate_init!r}, which is 2**-{first}; the rate "
                "can only decay"
            )
        check_number("validation_fraction", self.validation_fraction, Real, 1e-9, 1 - 1e-9)
        check_number("n_iter_no_change", self.n_iter_no_change, Integral, 1, 2**31 - 1)
        check_number("tol", self.tol, Real, 0, math.inf)
        if self.n_jobs is not None:
            check_number("n_jobs", self.n_jobs, Integral, -(2**31), 2**31 - 1)
            if self.n_jobs == 0:
                raise ValueError("n_jobs=0 has no meaning; use None, 1 or more, or -1 for all")
        if not isinstance(self.callbacks, list | tuple | type(None)):
            raise TypeError(
                f"callbacks={self.callbacks!r} is of type {type(self.callbacks).__name__}; "
                "give a list of functions, or None"
            )
        for callback in self.callbacks or ():
            if not callable(callback):
                raise TypeError(f"callbacks holds {callback!r}, which cannot be called")
