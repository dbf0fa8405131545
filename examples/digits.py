"""Trains on 1797 real handwritten digits, and shows what the 1-bit network makes of unseen ones."""

# SPDX-License-Identifier: BSD-3-Clause

from itertools import pairwise

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from pybinnet import BinaryConnectClassifier

N_SHOWN = 6
INK = " .:-=+*#%@"


def picture(image):
    """Return the rows of an image as text, two characters a pixel."""
    return ["".join(INK[v * len(INK) // 256] * 2 for v in row) for row in image.tolist()]


digits = load_digits()
pixels = (digits.data * 15).astype(np.uint8)  # 0..16 to 0..240: bytes enter the network as they are
x_train, x_test, y_train, y_test = train_test_split(
    pixels, digits.target, random_state=0, stratify=digits.target
)
classifier = BinaryConnectClassifier(verbose=True, random_state=0).fit(x_train, y_train)
predicted = classifier.predict(x_test)

for row in zip(*(picture(x.reshape(8, 8)) for x in x_test[:N_SHOWN]), strict=True):
    print("  ".join(row))
print("  ".join(f"predicted: {p}".center(16) for p in predicted[:N_SHOWN]))

n_wrong = np.count_nonzero(predicted != y_test)
layers = [x_train.shape[1], *classifier.hidden_layer_sizes, len(classifier.classes_)]
n_floats = sum((fan_in + 1) * units for fan_in, units in pairwise(layers))  # weights and biases
print(f"""
Layers {"-".join(map(str, layers))}: trained on {len(x_train)} digits, tested on {len(x_test)} more.
Test error with the deployed 1-bit weights: {n_wrong / len(x_test):.2%} ({n_wrong} wrong)
Deployed model: {len(classifier.model_):,} bytes; weights and biases as float32: {4 * n_floats:,}
Floating-point operations in the C code that trained: 0, by construction. make test looks at its
source and machine code (tests/proofs). Python has floats in parameters and reports.""")
