"""The parameters of the estimators: what they may be, and what "auto" means."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math
import sys
from numbers import Integral, Real
from typing import Any

import numpy as np

from pybinnet import _engine
from pybinnet._images import check_input_shape
from pybinnet._layers import engine_layers, has_convolutions
from pybinnet._validation import check_choice, check_flag, check_number, is_auto

CHOICES = {
    "weights": ("binary", "ternary"),
    "binarization": ("deterministic", "stochastic"),
    "activation": ("relu", "sign"),
    "solver": ("sgd", "adamax"),
}
METHOD_PARAMETERS = (*CHOICES, "quantized_backprop", "dropout", "input_dropout", "weight_decay")

# Of batch_size="auto": on tables of 150 to 12,000 rows as good as 32, better than 16 and 128.
_BATCH_SIZE = 64
_MIN_EPOCHS = 20  # of max_iter="auto"
_MIN_UPDATES = 3000  # likewise, for data of few rows


def check_parameters(params: Any) -> None:
    """Raise a ValueError or TypeError that names the first parameter not as documented."""
    sizes = params.hidden_layer_sizes
    if not isinstance(sizes, Integral | tuple | list | np.ndarray):
        raise TypeError(
            f"hidden_layer_sizes={sizes!r} is of type {type(sizes).__name__}; "
            "give a tuple of the units of each hidden layer, such as (256, 256)"
        )
    hidden = _as_tuple(sizes)
    if len(hidden) > _engine.MAX_LAYERS - 1:
        raise ValueError(
            f"hidden_layer_sizes has {len(hidden)} layers; "
            f"at most {_engine.MAX_LAYERS - 1} hidden layers work"
        )
    for size in hidden:
        check_number("hidden_layer_sizes", size, Integral, 1, _engine.MAX_UNITS, whole=sizes)
    n_hidden, name_of_layers = len(hidden), "hidden_layer_sizes"
    if params.layers is not None:
        n_hidden, name_of_layers = len(engine_layers(params.layers)), "layers"
    check_input_shape(params.input_shape)
    for name, allowed in CHOICES.items():
        check_choice(name, getattr(params, name), allowed)
    check_number("dropout", params.dropout, Real, 0, 0.99)
    check_number("input_dropout", params.input_dropout, Real, 0, 0.99)
    check_decay(params.weight_decay)
    if not n_hidden and params.activation == "sign":
        raise ValueError(
            f"activation='sign' needs a hidden layer, and {name_of_layers} has none: sign is the "
            "activation of hidden units; use activation='relu', or give a layer"
        )
    if not n_hidden and params.dropout > 0:
        raise ValueError(
            f"dropout={params.dropout!r} needs a hidden layer, and {name_of_layers} has none: "
            "only hidden units are left out; use dropout=0.0, or give a layer"
        )
    check_number("random_crop", params.random_crop, Integral, 0, _engine.MAX_CROP)
    check_flag("horizontal_flip", params.horizontal_flip)
    for name in ("quantized_backprop", "early_stopping", "warm_start", "shuffle"):
        check_flag(name, getattr(params, name))
    if not isinstance(params.verbose, Integral):  # scikit-learn's users write 1 too
        check_flag("verbose", params.verbose)
    if not is_auto(params.batch_size):
        check_number("batch_size", params.batch_size, Integral, 4, _engine.MAX_BATCH, "'auto'")
    if not is_auto(params.max_iter):
        check_number("max_iter", params.max_iter, Integral, 1, 2**31 - 1, "'auto'")
    smallest = 2.0**-_engine.MAX_RATE_EXPONENT
    for name in ("learning_rate_init", "learning_rate_final"):
        if not is_auto(getattr(params, name)):
            check_number(name, getattr(params, name), Real, smallest, 1, "'auto'")
    first, last = rate_exponents(params)
    if last < first:
        raise ValueError(
            f"learning_rate_final={params.learning_rate_final!r} is above "
            f"learning_rate_init={params.learning_rate_init!r}, which is 2**-{first}; the rate "
            "can only decay"
        )
    check_number("validation_fraction", params.validation_fraction, Real, 1e-9, 1 - 1e-9)
    check_number("n_iter_no_change", params.n_iter_no_change, Integral, 1, 2**31 - 1)
    check_number("tol", params.tol, Real, 0, math.inf)
    if params.n_jobs is not None:
        check_number("n_jobs", params.n_jobs, Integral, -(2**31), 2**31 - 1)
        if params.n_jobs == 0:
            raise ValueError("n_jobs=0 has no meaning; use None, 1 or more, or -1 for all")
    if not isinstance(params.callbacks, list | tuple | type(None)):
        raise TypeError(
            f"callbacks={params.callbacks!r} is of type {type(params.callbacks).__name__}; "
            "give a list of functions, or None"
        )
    for callback in params.callbacks or ():
        if not callable(callback):
            raise TypeError(f"callbacks holds {callback!r}, which cannot be called")


def check_decay(value: Any) -> None:
    """Likewise of `weight_decay`."""
    if not (isinstance(value, Real) and value == 0):
        check_number("weight_decay", value, Real, 2.0**-_engine.MAX_DECAY, 0.5, "0")


def check_class_weight(value: Any) -> None:
    """Likewise of `class_weight`, which only classifiers have."""
    if value is None or (isinstance(value, str) and value == "balanced"):
        return
    if not isinstance(value, dict):
        raise ValueError(
            f"class_weight={value!r} is unknown; use a dict of weights by label, 'balanced' or None"
        )
    for label, weight in value.items():
        check_number(f"class_weight[{label!r}]", weight, Real, 0, sys.float_info.max)


def hidden_sizes(params: Any) -> tuple[int, ...]:
    """The units of each hidden layer; an integer is one layer, as MLPClassifier allows."""
    return tuple(map(int, _as_tuple(params.hidden_layer_sizes)))


def hidden_layers(params: Any) -> tuple[_engine.Layer, ...]:
    """The hidden layers: `layers`, or else fully connected ones."""
    if params.layers is None:
        return _engine.dense(*hidden_sizes(params))
    return engine_layers(params.layers)


def _as_tuple(sizes: Any) -> tuple[Any, ...]:
    return (sizes,) if isinstance(sizes, Integral) else tuple(sizes)


def method_parameters(params: Any) -> dict[str, Any]:
    """The parameters that say how the net learns."""
    return {name: getattr(params, name) for name in METHOD_PARAMETERS}


def engine_method(parameters: dict[str, Any]) -> _engine.Method:
    """The engine's form of the parameters that say how a net learns."""
    ternary, stochastic, sign, adamax = (
        allowed.index(parameters[name]) == 1 for name, allowed in CHOICES.items()
    )
    exact = not parameters["quantized_backprop"]
    dropout, input_dropout = (
        round(256 * parameters[name]) for name in ("dropout", "input_dropout")
    )
    decay = parameters["weight_decay"]
    exponent = _exponent(decay) if decay else 0
    return _engine.Method(
        ternary, stochastic, sign, adamax, exact, dropout, input_dropout, exponent
    )


def weight_decay(exponent: int) -> float:
    """The parameter of a decay in the engine's form."""
    return 2.0**-exponent if exponent else 0.0


def batch_size(params: Any) -> int:
    """The most rows of a step."""
    return _BATCH_SIZE if is_auto(params.batch_size) else int(params.batch_size)


def n_epochs(params: Any, n_steps: int) -> int:
    """The epochs of a fit whose epochs have `n_steps` steps."""
    if not is_auto(params.max_iter):
        return int(params.max_iter)
    return max(_MIN_EPOCHS, -(-_MIN_UPDATES // n_steps))


def rate_exponents(params: Any) -> tuple[int, int]:
    """The powers of two nearest to the learning rates, as their negative exponents."""
    convolutions = has_convolutions(hidden_layers(params))
    if not is_auto(params.learning_rate_init):
        first = _exponent(params.learning_rate_init)
    else:
        first = (
            3 if params.binarization == "stochastic" else 5 if params.activation == "sign" else 4
        )
        first += 2 if convolutions else 0
    if not is_auto(params.learning_rate_final):
        return first, _exponent(params.learning_rate_final)
    return first, max(first, 11 if convolutions else 10)


def _exponent(rate: float | str) -> int:
    return round(-math.log2(float(rate)))
