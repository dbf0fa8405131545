"""Checks of parameters, and estimators that a refused fit leaves as they were."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array


@contextmanager
def unchanged_on_error(estimator: Any) -> Iterator[None]:
    """Give an estimator its attributes back if the block raises."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        estimator.__dict__ = before  # at once, without memory: nothing can come between
        raise


def is_auto(value: Any) -> bool:
    """Whether a parameter is the string "auto" (an array would not compare to one truth)."""
    return isinstance(value, str) and value == "auto"


def check_number(
    name: str, value: Any, kind: type, low: Any, high: Any, or_else: str = "", whole: Any = None
) -> None:
    """Raise a TypeError or ValueError unless `value` is a `kind` within the bounds.

    `whole` is the parameter that `value` is an item of, and `or_else` what is allowed besides.
    """
    shown = value if whole is None else whole
    alternative = f" or {or_else}" if or_else else ""
    if not isinstance(value, kind) or isinstance(value, bool | np.bool_):
        wrong = "is" if whole is None else f"has {value!r},"
        wanted = "an integer" if kind is Integral else "a number"
        raise TypeError(
            f"{name}={shown!r} {wrong} of type {type(value).__name__}; give {wanted}{alternative}"
        )
    if not low <= value <= high:
        raise ValueError(
            f"{name}={shown!r} is outside the allowed range, {low} to {high}{alternative}"
        )


def check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise a ValueError unless `value` is one of the strings."""
    if not isinstance(value, str) or value not in allowed:
        choices = " or ".join(map(repr, allowed))
        raise ValueError(f"{name}={value!r} is unknown; use {choices}")


def check_flag(name: str, value: Any) -> None:
    """Raise a TypeError unless `value` is a Boolean."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}={value!r} is of type {type(value).__name__}; give True or False")


def numbers(rows: NDArray[Any]) -> NDArray[Any]:
    """Validated rows as numbers or Booleans, which scikit-learn's validation does not promise."""
    if rows.dtype.kind == "O":  # of a list with None, or of Python's own large numbers
        converted: NDArray[np.float64] = check_array(rows, dtype=np.float64)
        return converted
    if rows.dtype.kind not in "biuf":
        raise TypeError(
            f"X is of type {rows.dtype}; give numbers or Booleans: of dates, say, days since one"
        )
    return rows


def demand(fits: bool, what: str) -> None:
    """Raise a ValueError about what was saved, unless it fits."""
    if not fits:
        raise ValueError(f"its {what} do not fit")


def checked_edges(edges: Any) -> NDArray[np.float64]:
    """Saved edges as an array; ValueError if they are no increasing numbers."""
    values: NDArray[np.float64] = np.array(edges, dtype=np.float64)
    demand(values.ndim == 1 and values.size > 0, "edges")
    with np.errstate(over="ignore"):
        widths = np.diff(values)
    demand(bool(np.isfinite(values).all() and ((widths > 0) & np.isfinite(widths)).all()), "edges")
    return values
