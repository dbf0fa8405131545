"""
Which digits are confused
=========================

The confusion matrix of 450 digits that the network has not seen, and all those that it got wrong.
"""

# SPDX-License-Identifier: BSD-3-Clause

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split

from pybinnet import BinaryConnectClassifier

digits = load_digits()
pixels = (digits.data * 15).astype(np.uint8)
X_train, X_test, y_train, y_test = train_test_split(
    pixels, digits.target, random_state=0, stratify=digits.target
)
clf = BinaryConnectClassifier(random_state=0).fit(X_train, y_train)
predicted = clf.predict(X_test)
print(f"{clf.score(X_test, y_test):.1%} are right; the network has {len(clf.model_):,} bytes")

figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
ConfusionMatrixDisplay.from_predictions(y_test, predicted, cmap="Blues", ax=axes)
plt.show()

# %%
# The errors. Some of them are hard to read at 8 by 8 pixels.

(wrong,) = np.nonzero(predicted != y_test)
figure, row = plt.subplots(1, len(wrong), figsize=(1.3 * len(wrong), 1.7), layout="constrained")
for axes, index in zip(np.atleast_1d(row), wrong, strict=True):
    axes.imshow(X_test[index].reshape(8, 8), cmap="gray_r")
    axes.set_title(f"{y_test[index]} as {predicted[index]}", fontsize="medium")
    axes.axis("off")
plt.show()
