"""Images as contrasts, for networks that begin with convolutions."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from pybinnet import _engine
from pybinnet._features import pixel_encoder
from pybinnet._images import asked_shape, check_input_shape, flattened, found_shape
from pybinnet._shapes import Shape
from pybinnet._validation import numbers, unchanged_on_error


class ContrastEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Make of each channel of an image four: how much a pixel is above and below its surroundings.

    A filter with weights of -1 and +1 cannot cancel what its pixels have in common, so of
    photographs it sees mostly how bright they are. This makes two contrasts of every number: to the
    mean of the 3 x 3 pixels around, and to the mean of the channel in the whole image, both in
    units of the image's spread. What is above becomes one channel of bytes and what is below
    another, so that 0 means no contrast. Networks of photographs learn much better so; it takes
    the place of the whitening of the papers, and is computed in integers.

    Parameters
    ----------
    input_shape : tuple of 3 int or None, default=None
        Height, width and channels of the images, for an `X` of flat rows. None takes the shape from
        `X`.

    Attributes
    ----------
    input_shape_ : tuple of 3 int
        Height, width and channels of the images seen in `fit`.

    pixels_ : PiecewiseLinearEncoder
        What makes bytes of other numbers: from the least to the greatest in `fit`.

    n_features_in_ : int
        Numbers of an image.

    See Also
    --------
    BinaryConnectClassifier : Its `layers` take what this makes.
    PiecewiseLinearEncoder : What the columns of tables are made into.

    Notes
    -----
    Bytes are the same on every machine. In C it is ``binnet_contrasts``, so that firmware can
    make the inputs of a network from a camera's bytes; docs/algorithm.md, section 13, has it to the
    bit. It belongs before the classifier in a `Pipeline`: images that `random_crop` moves then have
    zeros at their edges, which are no contrast.

    References
    ----------
    K. Jarrett, K. Kavukcuoglu, M. Ranzato and Y. LeCun, "What is the best multi-stage architecture
    for object recognition?", ICCV 2009 (local contrast normalization).

    Examples
    --------
    >>> import numpy as np
    >>> from pybinnet import ContrastEncoder
    >>> images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    >>> images[0, 4:] = 200  # bright below
    >>> contrasts = ContrastEncoder().fit_transform(images)
    >>> contrasts.shape, contrasts.dtype
    ((2, 8, 8, 12), dtype('uint8'))
    >>> contrasts[0, :, 0, :4]  # of red: above and below the neighbours, and the image's mean
    array([[  0,   0,   0,  52],
           [  0,   0,   0,  52],
           [  0,   0,   0,  52],
           [  0, 188,   0,  52],
           [188,   0,  52,   0],
           [  0,   0,  52,   0],
           [  0,   0,  52,   0],
           [  0,   0,  52,   0]], dtype=uint8)
    """

    def __init__(self, input_shape: Any = None) -> None:
        self.input_shape = input_shape

    def fit(self, X: ArrayLike, y: Any = None) -> ContrastEncoder:
        """Take the shape of the images and, unless they are bytes, their range.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width[, channels]) or (n_samples, n_features)
            Images; flat rows if `input_shape` is given.
        y : None
            Ignored.

        Returns
        -------
        self : ContrastEncoder
            The fitted encoder.
        """
        check_input_shape(self.input_shape)
        with unchanged_on_error(self):
            self.input_shape_: Shape = asked_shape(self) or found_shape(X, "ContrastEncoder")
            rows = self._rows(X, reset=True)
            n_out = rows.shape[1] * _engine.CONTRASTS
            if n_out > _engine.MAX_FEATURES:
                raise ValueError(
                    f"images of {self.input_shape_} become {n_out} features, at most "
                    f"{_engine.MAX_FEATURES} work; scale them down"
                )
            self.pixels_ = pixel_encoder(rows, np.arange(len(rows)))
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.uint8]:
        """Make contrasts.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width[, channels]) or (n_samples, n_features)
            Images of the shape seen in `fit`, or the same as flat rows.

        Returns
        -------
        X_out : ndarray of shape (n_samples, height, width, 4 * channels), uint8
            Of each channel, one after the other: above and below the mean around, above and below
            the mean of the image. 64 is an image's standard deviation, and 255 the most.
        """
        check_is_fitted(self)
        height, width, channels = self.input_shape_
        bytes_ = self.pixels_._encode(self._rows(X, reset=False))
        contrasts = _engine.contrasts(bytes_, self.input_shape_)
        return contrasts.reshape(-1, height, width, channels * _engine.CONTRASTS)

    def _rows(self, X: ArrayLike, reset: bool) -> NDArray[Any]:
        rows = flattened(X, self.input_shape_)
        return numbers(validate_data(self, rows, reset=reset))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags
