"""
Decision boundary on moons
==========================

Two columns of floats, beside ``MLPClassifier`` with as many units. Columns enter the network on
ramps between their quantiles (``PiecewiseLinearEncoder``), so its boundary has corners where the
ramps have edges. The shades are those of ``predict_proba``; the points, rows held out.
"""

# SPDX-License-Identifier: BSD-3-Clause

import matplotlib.pyplot as plt
from sklearn.datasets import make_moons
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from pybinnet import BinaryConnectClassifier

X, y = make_moons(1000, noise=0.25, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

classifiers = {
    "BinaryConnectClassifier, 1-bit weights": BinaryConnectClassifier((64, 64), random_state=0),
    "BinaryConnectClassifier, ternary": BinaryConnectClassifier(
        (64, 64), weights="ternary", random_state=0
    ),
    "MLPClassifier, float weights": MLPClassifier((64, 64), max_iter=500, random_state=0),
}
figure, row = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
for axes, (name, classifier) in zip(row, classifiers.items(), strict=True):
    classifier.fit(X_train, y_train)
    DecisionBoundaryDisplay.from_estimator(
        classifier, X, eps=0.3, response_method="predict_proba", cmap="RdBu", alpha=0.8, ax=axes
    )
    axes.scatter(*X_test.T, c=y_test, cmap="RdBu", edgecolor="w", s=25)
    axes.set(title=f"{name}: {classifier.score(X_test, y_test):.1%}", xticks=(), yticks=())
plt.show()
