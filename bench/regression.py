"""R² of `BinaryConnectRegressor` by three-fold cross-validation, beside scikit-learn's regressors.

The ramps that a number becomes are varied: the default is one of them.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import json
import shlex
import sys
import time
from unittest.mock import patch

import numpy as np
from common import integer, output, write_atomic
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_diabetes,
    load_digits,
    make_friedman1,
    make_friedman2,
    make_regression,
)
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from pybinnet import BinaryConnectRegressor, __version__, _regressor, cpu_info

RAMPS = (4, 8, 16, 32, 64)


def tables():
    """Return columns and numbers by name."""
    random = np.random.RandomState(0)
    x = random.normal(size=(3000, 6))
    tail = np.exp(x[:, 0] + 0.5 * x[:, 1] * x[:, 2]) + 0.3 * random.standard_t(3, 3000)
    return {
        "diabetes": load_diabetes(return_X_y=True),
        "Friedman 1": make_friedman1(3000, noise=1.0, random_state=0),
        "Friedman 2": make_friedman2(3000, noise=50, random_state=0),
        "linear": make_regression(2000, 20, n_informative=8, noise=50, random_state=0),
        "long tail": (x, tail),
        "digits as numbers": load_digits(return_X_y=True),
    }


def contenders(seed):
    """Return regressors by name, each with the ramps that numbers become, or None."""
    scaled = make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(256, 256), random_state=seed)
    )
    ours = {f"{n} ramps": (BinaryConnectRegressor(random_state=seed), n) for n in RAMPS}
    return ours | {
        "MLPRegressor": (TransformedTargetRegressor(scaled, transformer=StandardScaler()), None),
        "gradient boosting": (HistGradientBoostingRegressor(random_state=seed), None),
    }


def measure(regressor, n_ramps, x, y):
    """Return R² of all rows, each predicted by the fit that did not see it, and seconds."""
    folds = KFold(3, shuffle=True, random_state=0)
    start = time.process_time()
    with patch.object(_regressor, "_N_RAMPS", n_ramps or _regressor._N_RAMPS):
        predicted = cross_val_predict(regressor, x, y, cv=folds)
    return {"r2": r2_score(y, predicted), "processor_seconds": time.process_time() - start}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=integer(0, 2**31), default=0)
    parser.add_argument("--json", type=output, metavar="FILE", help="write all of it there")
    options = parser.parse_args()
    rows = []
    print(f"{'':18}", *(f"{name:>17}" for name in contenders(0)))
    with threadpool_limits(1):
        for name, (x, y) in tables().items():
            row = {
                contender: measure(regressor, n_ramps, x, np.asarray(y, dtype=float))
                for contender, (regressor, n_ramps) in contenders(options.seed).items()
            }
            rows.append({"name": name} | row)
            print(f"{name:18}", *(f"{one['r2']:17.3f}" for one in row.values()), flush=True)
    if options.json:
        command = shlex.join(["python", *sys.argv])
        head = {"command": command, "version": __version__, "cpu": cpu_info()}
        write_atomic(options.json, json.dumps(head | {"rows": rows}, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
