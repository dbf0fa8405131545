"""Float columns to uint8 features: the only floating-point step of the library."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from pybinnet._validation import numbers, unchanged_on_error

_MAX_ROWS = 100_000  # rows that the edges are placed by
MAX_ABS = np.finfo(np.float64).max / 4  # so that differences of edges are finite
_BLOCK = 1 << 16  # outputs computed at a time: 512 KiB of float64
_AUTO_RAMPS = (31, 15, 7, 3)
_AUTO_WIDTH = 512
BYTES_REACH = 64  # is the least maximum of a column that uses the range of bytes


class PiecewiseLinearEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Spread each column over several ``uint8`` ramps between its quantiles.

    A network with weights of -1 and +1 cannot scale a feature, and its inputs are bytes. So every
    column becomes several ramps: each rises linearly from 0 at one edge to 255 at another and is
    constant outside. A column of few values has a ramp between each two neighbours. A column of
    many has ramps that overlap, each half as long as the column. Its edges are quantiles of the
    training data, so that about as many training rows lie between each two. Bytes (images) need no
    encoding and pass unchanged.

    Parameters
    ----------
    n_ramps : int or "auto", default="auto"
        The most ramps that a column may become. "auto" takes the first of 31, 15, 7 and 3 that
        gives at most 512 outputs in all, or else 3.

    Attributes
    ----------
    edges_ : list of ndarray of float64
        The increasing edges of each column. Empty for bytes.

    spans_ : list of int
        How many intervals between edges a ramp of each column covers: 1 if it has few values, or
        else about half of them. Empty for bytes.

    identity_ : bool
        Whether `fit` was given bytes, which pass unchanged.

    n_features_in_ : int
        Number of columns seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns seen in `fit`, if all of them are strings.

    n_features_out_ : int
        Number of columns that `transform` returns.

    See Also
    --------
    sklearn.preprocessing.KBinsDiscretizer : Bins without the ramps between them.
    sklearn.preprocessing.SplineTransformer : Smoother bases, as floats.

    Notes
    -----
    **The ramps.** A column with at most `n_ramps + 1` distinct values has them all as edges and a
    ramp between each two neighbours, so that a code of a category can have any weight. A column
    with more has ``m = 2 * (n_ramps + 1) // 3`` intervals between `m + 1` edges, and its ramps
    cover ``s = n_ramps + 1 - m`` of them: such short ones as between neighbours would show the
    network steps, which it learns by heart. Ramp `t` rises from edge ``max(0, t + 1 - s)`` to edge
    ``min(m, t + 1)``, and there are ``m + s - 1``; with ``s = 1`` that is between neighbours.

    **Placing the edges.** They are training values at equal distances of rank, at the ranks
    ``(t + 1/2) / (m + 1)``. A value shared by so many rows that it would be taken twice counts as
    only just enough rows to be taken once, so ties cost no edges. The outer edges then move
    out to the smallest and largest training value, but each by no more than half the distance
    between them: outliers beyond that are clipped, and cannot squash the ramps they are on.

    **Columns without information.** A constant column has no ramps, thus no outputs. If all columns
    are constant, there is one output, which is 0.

    **Kinds of data.** A Boolean column is a column of 0 and 1 and becomes 0 and 255. Data that is
    all ``uint8`` is taken as bytes if at least half of the columns that vary come to 64 or more;
    other ``uint8`` data are counts or codes, which would be faint as bytes, and are encoded as
    numbers. An encoder fitted on bytes accepts the integers 0 to 255 of any type.

    **Reproducibility.** Edges are training values, chosen by integer arithmetic on ranks (the outer
    ones may be moved by half their distance). An output is ``floor(255 * t + 0.5)``, where
    ``t = (x - low) / (high - low)`` in float64, x clipped to the ramp. These are single IEEE
    operations: the bytes are the same on every machine. With more than 100,000 rows, the
    edges are placed by 100,000 evenly spaced rows. Values beyond a quarter of the float64 range
    (4.5e307) count as that.

    References
    ----------
    Y. Gorishniy, I. Rubachev and A. Babenko, "On embeddings for numerical features in tabular deep
    learning", Advances in Neural Information Processing Systems 35, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from pybinnet import PiecewiseLinearEncoder
    >>> X = np.array([[0.0], [1.0], [5.0]])
    >>> encoder = PiecewiseLinearEncoder().fit(X)
    >>> encoder.edges_, encoder.spans_
    ([array([0., 1., 5.])], [1])
    >>> encoder.transform([[-1.0], [0.5], [1.0], [2.0], [9.0]])
    array([[  0,   0],
           [128,   0],
           [255,   0],
           [255,  64],
           [255, 255]], dtype=uint8)
    """

    def __init__(self, n_ramps: int | str = "auto") -> None:
        self.n_ramps = n_ramps

    def fit(self, X: ArrayLike, y: Any = None) -> PiecewiseLinearEncoder:
        """Place the edges.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data: finite numbers or Booleans.
        y : None
            Ignored.

        Returns
        -------
        self : PiecewiseLinearEncoder
            The fitted encoder.
        """
        n_ramps = self.n_ramps
        if n_ramps != "auto" and (
            not isinstance(n_ramps, Integral) or isinstance(n_ramps, bool) or n_ramps < 1
        ):
            raise ValueError(f'n_ramps must be "auto" or an integer >= 1, got {n_ramps!r}')
        with unchanged_on_error(self):
            self._fit(X, n_ramps)
        return self

    def _fit(self, X: ArrayLike, n_ramps: int | str) -> None:
        rows = self._validated(X, reset=True)
        if are_bytes(rows):
            self._take(None, [])
            return

        n_sampled = min(len(rows), _MAX_ROWS)
        sampled = np.arange(n_sampled, dtype=np.int64) * len(rows) // n_sampled
        sample = rows[sampled].T.astype(np.float64, order="C")
        np.clip(sample, -MAX_ABS, MAX_ABS, out=sample)
        sample.sort(axis=1)
        gaps = np.count_nonzero(sample[:, 1:] != sample[:, :-1], axis=1)
        if n_ramps == "auto":
            fits = (r for r in _AUTO_RAMPS if np.minimum(gaps, r).sum() <= _AUTO_WIDTH)
            n_ramps = next(fits, _AUTO_RAMPS[-1])
        n_ramps = int(n_ramps)
        edges: list[NDArray[np.float64]] = []
        spans: list[int] = []
        for column, n_gaps in zip(sample, gaps.tolist(), strict=True):
            few = n_gaps <= n_ramps
            n_intervals = n_gaps if few else 2 * (n_ramps + 1) // 3
            edges.append(place_edges(column, n_intervals + 1))
            spans.append(1 if few else n_ramps + 1 - n_intervals)
        self._take(edges, spans)

    def _take(self, edges: list[NDArray[np.float64]] | None, spans: list[int]) -> None:
        """Take columns as numbers with these edges, or, of None, as bytes."""
        self.identity_ = edges is None
        self.edges_, self.spans_ = edges or [], spans
        n_ramps = np.array(self._n_ramps(), dtype=np.intp)
        self.n_features_out_ = self.n_features_in_ if edges is None else max(1, int(n_ramps.sum()))
        # The column of each ramp, and the edges it is between. Of images there are thousands: to
        # gather them takes longer than to predict one, so it is done here.
        low, high = ramp_ends(edges, spans) if edges else (np.zeros(0), np.zeros(0))
        self._ramps = np.repeat(np.arange(n_ramps.size), n_ramps), low, high

    def transform(self, X: ArrayLike) -> NDArray[np.uint8]:
        """Encode rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data with the columns of the training data.

        Returns
        -------
        X_out : ndarray of shape (n_samples, `n_features_out_`)
            The ramps of the first column, of the second, and so on; ``uint8``, C-contiguous.
        """
        check_is_fitted(self)
        return self._encode(self._validated(X, reset=False))

    def _encode(self, rows: NDArray[Any]) -> NDArray[np.uint8]:
        """Encode rows that have been validated: twice would take longer than a prediction."""
        if self.identity_:
            return _as_bytes(rows)

        source, low, high = self._ramps
        try:
            out = np.zeros((len(rows), self.n_features_out_), dtype=np.uint8)
        except MemoryError as error:  # which says how much
            raise MemoryError(
                f"{error}: the encoded rows; give fewer at a time, to predict, or to learn by "
                "partial_fit"
            ) from None
        step = max(1, _BLOCK // self.n_features_out_)
        for start in range(0, len(rows) if source.size else 0, step):
            block = slice(start, start + step)
            ramps = rows[block].astype(np.float64).take(source, axis=1)
            spread(ramps, low, high)
            out[block] = ramps  # the cast truncates
        return out

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:
        """Name the outputs: ``x0_ramp0``, ``x0_ramp1``, and so on.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns; by default those seen in `fit`, or else x0, x1, and so on.

        Returns
        -------
        feature_names_out : ndarray of str objects
            Names of the columns that `transform` returns.
        """
        names: NDArray[np.object_]
        names = OneToOneFeatureMixin.get_feature_names_out(self, input_features)  # checks, defaults
        if not self.identity_:
            ramps = [
                f"{name}_ramp{t}"
                for name, n_ramps in zip(names, self._n_ramps(), strict=True)
                for t in range(n_ramps)
            ]
            names = np.array(ramps or [f"{names[0]}_ramp0"], dtype=object)
        return names

    def _n_ramps(self) -> list[int]:
        """How many ramps each column has become."""
        pairs = zip(self.edges_, self.spans_, strict=True)
        return [edges.size + span - 2 for edges, span in pairs]

    def _validated(self, X: ArrayLike, reset: bool) -> NDArray[Any]:
        with np.errstate(invalid="ignore"):  # its first look for NaN is a sum, which may overflow
            return numbers(validate_data(self, X, reset=reset))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


def pixel_encoder(X: NDArray[Any], taken: NDArray[np.intp]) -> PiecewiseLinearEncoder:
    """An encoder of images, which keeps a feature for each pixel.

    Bytes pass unchanged. Of other numbers those from the least to the greatest in the rows `taken`
    become 0 to 255, alike in all columns.
    """
    encoder = PiecewiseLinearEncoder(n_ramps=1)
    encoder.n_features_in_ = X.shape[1]
    if X.dtype == np.uint8:
        encoder._take(None, [])
        return encoder
    ends = X.min(axis=1)[taken].min(), X.max(axis=1)[taken].max()
    edges = np.clip(np.array(ends, dtype=np.float64), -MAX_ABS, MAX_ABS)
    if edges[0] == edges[1]:
        raise ValueError(f"all pixels of the images in X are {edges[0]}; give images to learn from")
    encoder._take([edges] * X.shape[1], [1] * X.shape[1])
    return encoder


def ramp_ends(columns: list[NDArray[Any]], spans: list[int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The edges where each ramp begins and ends, of columns of edges and their spans."""
    low, high = [], []
    for edges, span in zip(columns, spans, strict=True):
        last = edges.size - 1
        ends = np.arange(1, last + span)
        low.append(edges[np.maximum(ends - span, 0)])
        high.append(edges[np.minimum(ends, last)])
    return np.concatenate(low), np.concatenate(high)


def spread(x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    """Replace values by ``255 * t + 0.5`` of the ramps from `low` to `high`, which broadcast.

    Its integer part is the output. No operation falls where its operand rises, so neither does it.
    """
    np.clip(x, low, high, out=x)
    x -= low
    x /= high - low
    x *= 255
    x += 0.5


def place_edges(ordered: NDArray[np.float64], n_edges: int) -> NDArray[np.float64]:
    """At most n_edges increasing edges for a column, given sorted."""
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    values = ordered[starts]
    counts = np.diff(starts, append=ordered.size)
    n_edges = min(n_edges, values.size)

    # Edges share the rows equally. A value with more rows than a share is cut down to one share:
    # the j commonest values get one each, and the other n_edges - j share the rows that remain.
    # In units of 1 / (n_edges - j) rows, all this is in integers.
    commonest = np.sort(counts)[::-1][:n_edges]
    remaining = ordered.size - np.cumsum(commonest) + commonest
    n_left = n_edges - np.arange(n_edges)
    j = np.argmax(commonest * n_left <= remaining)
    share = remaining[j]
    ends = np.cumsum(np.minimum(counts * n_left[j], share))
    # No value is wider than a share, so the middles of the shares fall on different values.
    middles = share * np.arange(1, 2 * n_edges, 2)
    edges: NDArray[np.float64] = values[np.searchsorted(2 * ends, middles)]

    reach = (edges[-1] - edges[0]) / 2  # to the extremes, 1 % of outliers cost accuracy
    edges[0] = max(values[0], edges[0] - reach)
    edges[-1] = min(values[-1], edges[-1] + reach)
    return edges


def are_bytes(X: NDArray[Any]) -> bool:
    """Whether numbers are bytes that use their range: images, not counts or codes."""
    if X.dtype != np.uint8:
        return False
    most = X.max(axis=0)
    most = most[most > X.min(axis=0)]
    return bool(2 * np.count_nonzero(most >= BYTES_REACH) >= most.size)


def _as_bytes(X: NDArray[Any]) -> NDArray[np.uint8]:
    """The same numbers as uint8; ValueError if one is not an integer from 0 to 255."""
    if X.dtype != np.uint8:
        bad = (X < 0) | (X > 255) | (np.floor(X) != X)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise ValueError(
                f"X[{row}, {column}] is {X[row, column]}, but the encoder was fitted on bytes "
                "and takes integers from 0 to 255 as they are. Pass such integers, or fit on data "
                "of another type, such as X.astype(float), to have its columns encoded."
            )
    return np.ascontiguousarray(X, dtype=np.uint8)
