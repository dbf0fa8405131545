"""What is called after every epoch."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pybinnet._files import replace


@dataclass(frozen=True)
class EpochInfo:
    """What a callback is told after each epoch of `fit`, or call of `partial_fit`.

    Attributes
    ----------
    epoch : int
        Epochs done, from 1; in `partial_fit` calls.
    n_epochs : int or None
        Epochs that are planned; None in `partial_fit`.
    loss : float
        Mean loss of the epoch's training rows.
    validation_score : float or None
        Score of the deployed network on the validation rows; None without early stopping.
    validation_loss : float or None
        Mean loss likewise.
    deploy : callable
        Returns the deployed network of the present weights, as `model_` will be.
    checkpoint : callable
        Returns the present state of training: bytes that, as `checkpoint_` of an estimator with
        the same parameters and ``warm_start=True``, let `fit` go on with the same rows to the same
        end as if never interrupted.
    """

    epoch: int
    n_epochs: int | None
    loss: float
    validation_score: float | None
    validation_loss: float | None
    deploy: Callable[[], bytes]
    checkpoint: Callable[[], bytes]


class SaveCheckpoint:
    """A callback that keeps the state of training in a file, to go on after a crash.

    The file is replaced as a whole: a process that is killed loses the epoch it was in, no more.

    Parameters
    ----------
    path : str or path-like
        The file, for one fit: those of a search or cross-validation would all replace the same.

    See Also
    --------
    BinaryConnectClassifier : Its `warm_start` says how `fit` goes on.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from pybinnet import BinaryConnectClassifier, SaveCheckpoint
    >>> X, y = load_iris(return_X_y=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "iris.checkpoint"
    ...     clf = BinaryConnectClassifier((16,), callbacks=[SaveCheckpoint(path)], random_state=0)
    ...     _ = clf.fit(X, y)  # and if it does not come to its end, in another process:
    ...     again = BinaryConnectClassifier((16,), warm_start=True, random_state=0)
    ...     again.checkpoint_ = path.read_bytes()
    >>> again.fit(X, y).model_ == clf.model_
    True
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path

    def __call__(self, info: EpochInfo) -> None:
        """Write the state after an epoch."""
        replace(Path(self.path), info.checkpoint())
