"""
Numbers as ramps
================

A network of bits has coarse outputs, so ``BinaryConnectRegressor`` gives each number several: ramps
between quantiles of the training targets. The prediction is the sum of their widths, each by how
far up its ramp the network sees the row. Edges are by rank: close where targets are many.
"""

# SPDX-License-Identifier: BSD-3-Clause

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_predict
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pybinnet import BinaryConnectRegressor

# %%
# A curve with noise that grows, 2000 points.

rng = np.random.default_rng(0)
x = np.sort(rng.uniform(0, 4 * np.pi, 2000))
target = np.sin(x) * x + rng.normal(0, 0.3 + 0.1 * x)
reg = BinaryConnectRegressor((128, 128), random_state=0).fit(x[:, np.newaxis], target)
predicted = reg.predict(x[:, np.newaxis])

figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
axes.hlines(reg.target_edges_[0], 0, x[-1], "C7", lw=0.6, label="edges of the target's ramps")
axes.plot(x, target, ".", ms=2, color="C0", label="training rows")
axes.plot(x, predicted, "C1", lw=2, label="prediction")
axes.plot(x, np.sin(x) * x, "k--", lw=1, label="the mean that is to be learned")
axes.set(xlabel="x", ylabel="y")
axes.legend(loc="lower left")
plt.show()

# %%
# The diabetes data: predictions of rows that were held out. 442 rows are few, and what they say is
# nearly linear, so a linear model is hard to beat.

X, y = load_diabetes(return_X_y=True)
peers = {
    "BinaryConnectRegressor": BinaryConnectRegressor(early_stopping=True, random_state=0),
    "MLPRegressor": make_pipeline(
        StandardScaler(),
        MLPRegressor(
            hidden_layer_sizes=(256, 256),
            learning_rate_init=0.01,
            early_stopping=True,
            max_iter=1000,
            random_state=0,
        ),
    ),
    "Ridge": Ridge(alpha=0.1),
}
figure, row = plt.subplots(1, 3, figsize=(10, 4), sharey=True, layout="constrained")
for axes, (name, regressor) in zip(row, peers.items(), strict=True):
    held_out = cross_val_predict(regressor, X, y, cv=3)
    axes.plot(y, held_out, ".")
    axes.plot([y.min(), y.max()], [y.min(), y.max()], "k--", lw=1)
    axes.set(title=f"{name}: R² {r2_score(y, held_out):.2f}", xlabel="target")
row[0].set_ylabel("prediction")
plt.show()
