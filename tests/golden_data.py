"""Data from a formula in integers, the same with every version of numpy."""

import numpy as np


def images(n_rows, n_columns):
    """Bytes without pattern, of all values."""
    n = np.arange(1, n_rows * n_columns + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    n = (n ^ (n >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return (n >> np.uint64(56)).astype(np.uint8).reshape(n_rows, n_columns)


def labels(X):
    """Classes 0, 1 and 2, of the first two columns."""
    return (X[:, 0] > 127).astype(np.int64) + (X[:, 1] > 127)


def numbers(X):
    """Numbers of the first three columns, whole and of every size."""
    return X[:, :3].astype(np.int64) @ np.array([9, 3, 1])
