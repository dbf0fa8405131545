"""BinaryConnectClassifier: classes and labels."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import Tags, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d, validate_data

from pybinnet import _engine
from pybinnet._base import BinaryConnectBase
from pybinnet._callbacks import EpochInfo
from pybinnet._layers import Layers
from pybinnet._parameters import check_class_weight, check_parameters
from pybinnet._rows import Rows
from pybinnet._shapes import Shape
from pybinnet._targets import UNIT, Targets, exact_mean
from pybinnet._validation import demand, unchanged_on_error

_MOST_LETTERS = 1 << 24  # of classes in a file: a file's size says nothing of what they take

# Of the softmax in predict_proba: near the least log-loss on six data sets, which is at 1 to 4.
PROBABILITY_SLOPE = 2.0


class BinaryConnectClassifier(ClassifierMixin, BinaryConnectBase):  # type: ignore[misc]
    """Neural network with 1-bit or ternary weights, trained with integers only.

    BinaryConnect propagates the signs of its weights and accumulates the updates in latent ones.
    Here all of training is integer arithmetic without multiplications, so the same data,
    parameters and `random_state` give the same bytes on every machine, instruction set and number
    of threads. Predictions use the deployed network: one bit for each weight, or two if ternary.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(256, 256)
        Units of each hidden layer, 1 to 65536.

    layers : list of Conv2D, MaxPool2D and Dense, or None, default=None
        The hidden layers instead, for images: convolutions first. The output layer is not among
        them. With None `hidden_layer_sizes` says what they are.

    input_shape : tuple of int or None, default=None
        Height, width and channels of rows that are images. With None and a `Conv2D` among `layers`
        it is taken from X, which then must be of shape (n_samples, height, width, channels), or
        (n_samples, height, width) of one channel.

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

    weight_decay : float, default=0.0
        Share of the learning rate by which latent weights shrink in each step, so that they forget
        old gradients: "decoupled" ([4]_), a power of two to which this is rounded, 2**-15 to 0.5;
        0 for none. A weight is then the mean of about the last 1 / (learning rate * weight_decay)
        steps, which must not be few: 2**-4 is worth several points for small networks with
        convolutions and few epochs, 2**-7 for long training. Stochastic weights bear less of it:
        on scikit-learn's digits 2**-4 takes them from 4 to 13 % wrong, 2**-6 changes nothing.

    horizontal_flip : bool, default=False
        Whether half of the images are mirrored, left to right, at random in each training step.
        For pictures of things that look alike then, not for digits.

    random_crop : int, default=0
        By how many pixels, at most, images are moved in each direction, at random in each training
        step; zeros come in from outside. 0 to 127. Images that are predicted are taken as they are.

    batch_size : int or "auto", default="auto"
        The most rows of a training step, 4 to 32768. "auto" takes 64. The rows of an epoch are
        divided evenly over its steps.

    learning_rate_init : float or "auto", default="auto"
        Learning rate at the start, as a share of the weight range. It decays exponentially in
        powers of two, to which this is rounded; 2**-15 to 1. "auto" takes what was best on MNIST:
        2**-4, 2**-3 with stochastic binarization, 2**-5 with sign activation; with convolutions a
        quarter of it, which was best on CIFAR-10.

    learning_rate_final : float or "auto", default="auto"
        Learning rate at the end, likewise; not above `learning_rate_init`. "auto" takes 2**-10,
        2**-11 with convolutions, or the rate at the start if that is lower.

    max_iter : int or "auto", default="auto"
        Epochs. "auto" takes 20, and more if the data has so few rows that these would be less than
        3000 steps.

    class_weight : dict, "balanced" or None, default=None
        Weights of classes, by which those of rows are multiplied: a dict by label, or "balanced",
        inversely proportional to how many rows they have.

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
        Whether `fit` goes on from `checkpoint_`. If that is of a fit which has not ended (from a
        callback, or after an interrupt), of the same rows and parameters, `fit` does what is left
        of it, and ends in the same bytes as if never interrupted. Otherwise it begins `max_iter`
        epochs with the weights of `checkpoint_`: the classes, columns, layers, batch size and
        method (`weights` to `input_dropout`) must be the same; the seed and the classes' shares
        stay those of the first fit; the learning rate decays anew.

    shuffle : bool, default=True
        Whether each epoch takes the rows in a new order. The result then does not depend on the
        order in which they are given.

    n_jobs : int or None, default=None
        Threads in training. None is 1 unless in a joblib context, -1 is all processors. The result
        does not depend on it. Threads pay from layers of about 512 units.

    random_state : int, RandomState instance or None, default=None
        Determines initial weights, row order, roundings and the validation rows. Pass an int for
        results that can be repeated.

    verbose : bool, default=False
        Whether to show a progress bar with loss and validation score, in a terminal or notebook.

    callbacks : list of callable or None, default=None
        Each is called after every epoch of `fit`, or call of `partial_fit`, with an `EpochInfo`;
        one that returns True ends the fit.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; 0, 1 and so on if `y` has a column for each of several labels.

    n_features_in_ : int
        Number of columns seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns seen in `fit`, if all of them are strings.

    input_shape_ : tuple of int or None
        Height, width and channels of rows that are images; None if they are none.

    encoder_ : PiecewiseLinearEncoder
        Turns columns into the network's uint8 features.

    n_iter_ : int
        Epochs done, or calls of `partial_fit`.

    loss_ : float
        Loss of the last epoch.

    loss_curve_ : list of float
        Mean squared hinge loss of each epoch: ``max(0, 1 - margin)**2``, summed over the classes.

    validation_scores_ : list of float or None
        Accuracy of the deployed network on the validation rows after each epoch; None without
        `early_stopping`.

    validation_loss_curve_ : list of float or None
        Loss of the deployed network likewise.

    model_ : bytes
        The deployed network in the file format of libbinnet.

    checkpoint_ : bytes
        The state of training, likewise. If the fit was interrupted, with an appendix that says how
        far it has come.

    coefs_ : list of ndarray of int8
        The deployed weights of each layer, -1, 0 or 1, of shape (n_inputs, n_units); the inputs of
        the first layer are the features of `encoder_`. Of a convolution the shape is (kernel_size,
        kernel_size, channels, filters).

    latent_coefs_ : list of ndarray of float32
        The latent weights in `checkpoint_`, from -1 to 1, shaped likewise.

    See Also
    --------
    BinaryConnectRegressor : The same for numbers.
    PiecewiseLinearEncoder : The encoding of float columns.
    sklearn.neural_network.MLPClassifier : Floating-point network.

    Notes
    -----
    uint8 data that uses its range, such as images, enters the network as it is. All other data is
    encoded by `PiecewiseLinearEncoder`, so no scaling is needed. Every layer is followed by L1
    batch normalisation, whose statistics are measured again on training rows when training ends.

    Rows are images if `layers` has a `Conv2D` or `input_shape` is given. They may be flat, in the
    order height, width, channels, or have the shape of images, to the same result. Each pixel stays
    one feature: uint8 is taken as it is, and of other numbers those from the least to the greatest
    in the training rows become 0 to 255.

    Labels that do not exclude each other are the columns of a `y` of 0 and 1, as scikit-learn has
    it; each has an output of its own, and `score` is the share of rows with all labels right.

    **Reproducibility.** With an int as `random_state` the bytes of `checkpoint_` and `model_`
    depend on the set of rows, the parameters and the version of this library, and on nothing else:
    not on the processor, instruction set, threads, operating system, or order of the rows. (With
    `early_stopping` scikit-learn's `train_test_split` says which rows are set aside.)

    **Going on after a crash.** Give `SaveCheckpoint` as a callback. After
    ``clf = BinaryConnectClassifier(..., warm_start=True)`` with the same parameters and
    ``clf.checkpoint_ = Path(...).read_bytes()``, `fit` with the same rows does the rest.

    References
    ----------
    .. [1] M. Courbariaux, Y. Bengio and J.-P. David, "BinaryConnect: training deep neural networks
       with binary weights during propagations", NIPS 2015.
    .. [2] Z. Lin, M. Courbariaux, R. Memisevic and Y. Bengio, "Neural networks with few
       multiplications", ICLR 2016.
    .. [3] M. Courbariaux, I. Hubara, D. Soudry, R. El-Yaniv and Y. Bengio, "Binarized neural
       networks: training deep neural networks with weights and activations constrained to +1 or
       -1", 2016.
    .. [4] I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.

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
    class_weight: dict[Any, float] | str | None

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
        class_weight: dict[Any, float] | str | None = None,
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
        super().__init__(
            hidden_layer_sizes,
            layers=layers,
            input_shape=input_shape,
            weights=weights,
            binarization=binarization,
            activation=activation,
            solver=solver,
            quantized_backprop=quantized_backprop,
            dropout=dropout,
            input_dropout=input_dropout,
            weight_decay=weight_decay,
            horizontal_flip=horizontal_flip,
            random_crop=random_crop,
            batch_size=batch_size,
            learning_rate_init=learning_rate_init,
            learning_rate_final=learning_rate_final,
            max_iter=max_iter,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            warm_start=warm_start,
            shuffle=shuffle,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
            callbacks=callbacks,
        )
        self.class_weight = class_weight

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> BinaryConnectClassifier:
        """Train on rows and their classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers or Booleans; uint8 that uses its range is taken as it is. Images may have the
            shape (n_samples, height, width, channels), or without channels if there is one.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels; or 0 and 1 for each of several labels that do not exclude each other.
        sample_weight : array-like of shape (n_samples,), default=None
            How often an epoch takes each row: a row of weight 3 is as three rows, one of weight 0
            as none. If weights are not whole, or average more than 16, they are scaled to average
            1, and each epoch draws as many rows as there are.

        Returns
        -------
        self : BinaryConnectClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is not as documented. The estimator is left as it was.
        """
        self._fit(X, y, sample_weight)
        return self

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> BinaryConnectClassifier:
        """Train on rows once, as part of a stream.

        The first call chooses the encoding and scales by its rows: let it have some
        thousands that are like the rest. The learning rate halves whenever the number of steps so
        far doubles, beginning after 256, from `learning_rate_init` to `learning_rate_final`. With
        `early_stopping`, `validation_fraction` of the rows are never trained on (the same whenever
        they come); `model_` is the network that scores best on the latest 8192 of them, and
        after `n_iter_no_change` calls without improvement calls do nothing. Rows that a `fit`
        before had set aside are others: a stream may train on them. Layers, batch size and method
        (`weights` to `input_dropout`) must stay those of the first call.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, as in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, as in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All classes of the stream; needed in the first call, unless y is of several labels.
        sample_weight : array-like of shape (n_samples,), default=None
            As in `fit`.

        Returns
        -------
        self : BinaryConnectClassifier
            The estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is not as documented. The estimator is left as it was.
        """
        check_parameters(self)
        check_class_weight(self.class_weight)
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} needs all rows, which partial_fit never has; "
                "give a dict, or compute_class_weight of a sample as sample_weight"
            )
        with unchanged_on_error(self):
            self._check_classes(y, classes)
            self._partial_fit(X, y, sample_weight)
        return self

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
            others to -1 or less. With two classes, half the second's score less the first's. Of
            labels that do not exclude each other, a score each.
        """
        margins = self._margins(X)
        if margins.shape[1] == 2 and not self._multilabel:
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
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, as `fit` was given them.
        """
        return self._decided(self._scores(X))

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
            From 0 to 1, with rows that sum to 1; columns in the order of `classes_`. Of labels that
            do not exclude each other, the probability of each.
        """
        logits = PROBABILITY_SLOPE * self._margins(X)
        if self._multilabel:
            with np.errstate(over="ignore"):  # of margins below -177: the probability is 0
                return 1 / (1 + np.exp(-2 * logits))
        powers: NDArray[np.float64] = np.exp(logits - logits.max(axis=1, keepdims=True))
        powers /= powers.sum(axis=1, keepdims=True)
        return powers

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the logarithms of what `predict_proba` estimates, also where that rounds to 0.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Natural logarithms; all finite.
        """
        logits = PROBABILITY_SLOPE * self._margins(X)
        if self._multilabel:
            return -np.logaddexp(0, -2 * logits)
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return logits

    def _margins(self, X: ArrayLike) -> NDArray[np.float64]:
        return self._scores(X) / _engine.SCORE_UNIT

    def _decided(self, scores: NDArray[np.int32]) -> NDArray[Any]:
        if self._multilabel:
            return (scores > 0).astype(np.int64)
        decided: NDArray[Any] = self.classes_[scores.argmax(axis=1)]
        return decided

    def _read(
        self, X: Any, y: Any, reset: bool, min_rows: int
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        table, y = validate_data(
            self, X, y, reset=reset, multi_output=True, ensure_min_samples=min_rows
        )
        y = y.toarray() if hasattr(y, "toarray") else y
        kind = _kind(y)
        if kind == "multiclass-multioutput":
            raise ValueError(
                f"y has {y.shape[1]} columns of classes; fit one classifier for each, by "
                "sklearn.multioutput.MultiOutputClassifier. Columns of 0 and 1 work as they are"
            )
        if kind != "multilabel-indicator":
            return table, column_or_1d(y, warn=True)
        if not np.isin(y, (0, 1)).all():
            raise ValueError(
                f"y has columns of {np.unique(y)}; labels that do not exclude each other are "
                "columns of 0 and 1"
            )
        return table, y

    def _weigh(
        self, y: NDArray[Any], weights: NDArray[np.float64] | None, of_stream: bool
    ) -> NDArray[np.float64] | None:
        check_class_weight(self.class_weight)
        if self.class_weight is None:
            return weights
        if y.ndim == 2 and isinstance(self.class_weight, dict):
            raise ValueError(
                f"class_weight={self.class_weight!r} is of classes that exclude each other, and y "
                "has columns of labels that do not; use 'balanced', or sample_weight"
            )
        # Of a stream all classes are known, and scikit-learn refuses weights of those it misses.
        labels = np.concatenate([y, self.classes_]) if of_stream else y
        of_classes: NDArray[np.float64] = compute_sample_weight(self.class_weight, labels)[: len(y)]
        return of_classes if weights is None else weights * of_classes

    def _begin(self, y: NDArray[Any], keep: bool) -> None:
        classes = np.unique(y) if y.ndim == 1 else np.arange(y.shape[1])
        if not keep:
            self._set_classes(classes, y.ndim == 2)
        elif not np.array_equal(classes, self.classes_) or self._multilabel != (y.ndim == 2):
            raise ValueError(
                f"warm_start=True needs the classes of the previous fit, {self.classes_}, "
                f"got {classes}; set warm_start=False to start anew"
            )

    def _check_classes(self, y: Any, classes: Any) -> None:
        """Take the classes of a stream, or compare them with what they are."""
        if hasattr(self, "encoder_"):
            if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                raise ValueError(
                    f"classes={classes!r} are not those of the first call, {self.classes_}"
                )
        elif y is not None and _kind(y) == "multilabel-indicator":
            self._set_classes(np.arange(np.shape(y)[1]), True)
        elif classes is None:
            raise ValueError("the first call of partial_fit needs classes: all that will come in y")
        else:
            self._set_classes(np.unique(column_or_1d(classes)), False)

    def _set_classes(self, classes: NDArray[Any], multilabel: bool) -> None:
        if len(classes) < 2:
            which = f"only one class, {classes[0]}" if len(classes) else "no class"
            raise ValueError(f"there is {which}; BinaryConnectClassifier needs 2 or more")
        if len(classes) > _engine.MAX_UNITS - 1:
            raise ValueError(f"y has {len(classes)} classes; at most {_engine.MAX_UNITS - 1} work")
        self.classes_ = classes
        self._multilabel = multilabel

    def _code(self, y: NDArray[Any]) -> Targets:
        if self._multilabel != (y.ndim == 2) or (
            self._multilabel and y.shape[1] != self._n_outputs()
        ):
            raise ValueError(
                f"y of shape {y.shape} is not of the {self._n_outputs()} "
                f"{'labels' if self._multilabel else 'classes'} that the first call was given"
            )
        if self._multilabel:
            return np.where(y > 0, UNIT, -UNIT).astype(np.int8)
        if (y.dtype.kind in "OU") != (self.classes_.dtype.kind in "OU"):
            raise ValueError(
                f"y is of type {y.dtype}, but the classes are of type {self.classes_.dtype}"
            )
        unseen = np.setdiff1d(y, self.classes_)
        if unseen.size:
            raise ValueError(
                f"y has {unseen[:5].tolist()}, which are not among the {len(self.classes_)} "
                "classes of the first call"
            )
        return np.searchsorted(self.classes_, y).astype(np.uint16)

    def _set_targets(self, codes: NDArray[Any], rows: Rows, keep: bool) -> Targets:
        return codes

    def _n_outputs(self) -> int:
        return len(self.classes_)

    def _judge(self, scores: NDArray[np.int32], y: NDArray[Any], weights: Any) -> float:
        right = self._decided(scores) == y
        return exact_mean(right if right.ndim == 1 else right.all(axis=1), weights)

    def _saved(self) -> dict[str, Any]:
        kind = self.classes_.dtype.kind
        if kind not in "biufU" and not all(isinstance(label, str) for label in self.classes_):
            raise TypeError(
                f"classes_ are of type {self.classes_.dtype}, of which a model file has none: fit "
                "with numbers, Booleans or strings, or keep the estimator by joblib.dump"
            )
        if kind == "U" and _letters(self.classes_) > _MOST_LETTERS:
            raise ValueError(
                f"the {len(self.classes_)} classes_ times the longest are more than the "
                f"{_MOST_LETTERS} letters that a model file may have: fit with shorter ones"
            )
        return {
            "classes": self.classes_.tolist(),
            "dtype": "str" if kind == "U" else self.classes_.dtype.str,
            "multilabel": self._multilabel,
        }

    def _load_saved(self, values: dict[str, Any]) -> None:
        name, listed = values["dtype"], values["classes"]
        # numpy reads far more out of a string than the types that are saved.
        demand(re.fullmatch(r"str|[<>|][biufO][0-9]{0,2}", name) is not None, "classes")
        dtype = np.dtype(name)
        demand(dtype.kind not in "UO" or all(isinstance(label, str) for label in listed), "classes")
        demand(dtype.kind != "U" or _letters(listed) <= _MOST_LETTERS, "classes")
        classes = np.array(listed, dtype=dtype)
        demand(
            classes.tolist() == listed and np.array_equal(np.unique(classes), classes), "classes"
        )
        self._set_classes(classes, values["multilabel"] is True)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _letters(classes: Any) -> int:
    """What an array of strings takes: each as much as the longest."""
    return len(classes) * max(map(len, classes), default=0)


def _kind(y: Any) -> str:
    """What scikit-learn takes the classes for; ValueError if for none."""
    try:
        check_classification_targets(y)
        kind: str = type_of_target(y)
    except TypeError:  # of a comparison
        raise ValueError(
            "y has labels that cannot be sorted, of several types or None; give numbers, Booleans "
            "or strings"
        ) from None
    return kind
