"""
What training does to the weights
=================================

BinaryConnect computes with signs, and adds its updates to latent weights in [-1, 1] behind them. A
callback keeps the state after some epochs; ``latent_coefs_`` has its weights as arrays. With
deterministic binarization only the sign of a latent weight counts; how far it is from 0 says how
many steps would turn it. Stochastic binarization draws a sign whose expectation is the latent
weight: at the ends, where more and more weights gather, the draw is certain.
"""

# SPDX-License-Identifier: BSD-3-Clause

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from pybinnet import BinaryConnectClassifier

X, y = load_digits(return_X_y=True)
X = (X * 15).astype(np.uint8)
EPOCHS = (1, 10, 100)


def latent_weights(binarization):
    """Return the second layer's weights after some epochs, and those deployed at the end."""
    states = {}

    def keep(info):
        if info.epoch in EPOCHS:
            states[info.epoch] = info.checkpoint()

    clf = BinaryConnectClassifier(
        (256, 256),
        binarization=binarization,
        max_iter=max(EPOCHS),
        callbacks=[keep],
        random_state=0,
    ).fit(X, y)
    deployed = clf.coefs_[1]
    latent = []
    for epoch in EPOCHS:
        clf.checkpoint_ = states[epoch]
        latent.append(clf.latent_coefs_[1])
    return latent, deployed


found = {name: latent_weights(name) for name in ("deterministic", "stochastic")}

# %%
# The second layer, 256 by 256 weights. They begin evenly spread: over a quarter of the range where
# binarization is deterministic, over all of it where it is stochastic.

bins = np.linspace(-1, 1, 81)
figure, rows = plt.subplots(
    2, len(EPOCHS), figsize=(10, 5), sharex=True, sharey="row", layout="constrained"
)
for row, (name, (latent, _)) in zip(rows, found.items(), strict=True):
    for axes, epoch, weights in zip(row, EPOCHS, latent, strict=True):
        axes.hist(weights.ravel(), bins=bins, color="C0" if name == "deterministic" else "C1")
        axes.set_title(f"{name}, epoch {epoch}", fontsize="medium")
for axes in rows[-1]:
    axes.set_xlabel("latent weight")
for axes in rows[:, 0]:
    axes.set_ylabel("weights")
plt.show()

# %%
# What is deployed is a bit for each: the sign of the last.

for name, (latent, deployed) in found.items():
    signs = np.where(latent[-1] >= 0, 1, -1)
    flipped = np.mean((latent[0] >= 0) != (latent[-1] >= 0))
    print(
        f"{name}: values {np.unique(deployed)}, the signs: {bool((deployed == signs).all())}; "
        f"{flipped:.1%} changed their sign since epoch {EPOCHS[0]}"
    )
