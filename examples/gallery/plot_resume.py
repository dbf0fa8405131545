"""
Going on after a crash
======================

``SaveCheckpoint`` writes the state of training to a file after every epoch. Here a fit dies after
its twelfth; another process, on the same rows and with the same parameters, does what is left. It
ends in the same bytes as a fit that was never interrupted.
"""

# SPDX-License-Identifier: BSD-3-Clause

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from pybinnet import BinaryConnectClassifier, SaveCheckpoint

X, y = load_digits(return_X_y=True)
X = (X * 15).astype(np.uint8)
folder = tempfile.TemporaryDirectory()
file = Path(folder.name) / "digits.checkpoint"


def classifier(**parameters):
    """Return the same network each time."""
    return BinaryConnectClassifier(
        (128,), max_iter=30, early_stopping=True, random_state=0, **parameters
    )


def crash(info):
    """Stand for a power cut."""
    if info.epoch == 12:
        raise RuntimeError("the power went out")


try:
    classifier(callbacks=[SaveCheckpoint(file), crash]).fit(X, y)
except RuntimeError as error:
    print(f"{error}; {file.name} has {file.stat().st_size:,} bytes")

# %%
# What another process would do, perhaps on another machine:

resumed = classifier(warm_start=True)
resumed.checkpoint_ = file.read_bytes()
resumed.fit(X, y)

# %%
# And the fit that was never interrupted:

whole = classifier().fit(X, y)
print("the same network:", resumed.model_ == whole.model_)
print("the same state:", resumed.checkpoint_ == whole.checkpoint_)

figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
axes.plot(range(1, whole.n_iter_ + 1), whole.loss_curve_, "C7", lw=6, label="never interrupted")
axes.plot(range(1, 13), resumed.loss_curve_[:12], "C0", label="until the crash")
axes.plot(range(12, resumed.n_iter_ + 1), resumed.loss_curve_[11:], "C1", label="after it")
axes.axvline(12, color="k", ls=":", lw=1)
axes.set(xlabel="epoch", ylabel="training loss", yscale="log")
axes.legend()
plt.show()
folder.cleanup()
