"""
Learning curves of three methods
================================

Digits, with binary weights, with ternary ones, and with signs as activations. The losses of
training and of validation rows are of the same kind, so the distance between them can be read. The
score is that of the deployed network, whose bits are all there is at test.
"""

# SPDX-License-Identifier: BSD-3-Clause

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from pybinnet import BinaryConnectClassifier

X, y = load_digits(return_X_y=True)
X = (X * 15).astype(np.uint8)  # 0..16 to 0..240: bytes enter the network as they are

METHODS = {
    "binary": {},
    "ternary": {"weights": "ternary"},
    "binary, sign activations": {"activation": "sign"},
}
fits = {
    name: BinaryConnectClassifier(
        (256,),
        max_iter=40,
        early_stopping=True,
        validation_fraction=0.3,
        n_iter_no_change=40,  # all epochs: the curves are what this is for
        random_state=0,
        **method,
    ).fit(X, y)
    for name, method in METHODS.items()
}

# %%
# The fits keep their curves. Dashed lines are of training rows, solid ones of validation rows.

figure, (losses, scores) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for color, (name, clf) in zip(("C0", "C1", "C2"), fits.items(), strict=True):
    epochs = np.arange(1, clf.n_iter_ + 1)
    losses.plot(epochs, clf.loss_curve_, "--", color=color)
    losses.plot(epochs, clf.validation_loss_curve_, color=color, label=name)
    scores.plot(epochs, clf.validation_scores_, color=color, label=name)
losses.set(xlabel="epoch", ylabel="mean squared hinge loss", yscale="log")
scores.set(xlabel="epoch", ylabel="accuracy of validation rows")
for axes in (losses, scores):
    axes.grid(alpha=0.3)
scores.legend()
plt.show()

# %%
# What was kept is the network of the best epoch.

for name, clf in fits.items():
    best = int(np.argmax(clf.validation_scores_))
    print(
        f"{name:25} best {clf.validation_scores_[best]:.1%} after epoch {best + 1}, "
        f"{len(clf.model_):,} bytes"
    )
