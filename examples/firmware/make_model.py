"""Trains a network that reads digits; writes it, and rows to try it on, as C headers.

Usage: make_model.py FOLDER
"""

# SPDX-License-Identifier: BSD-3-Clause

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.utils import shuffle

from pybinnet import BinaryConnectClassifier, export_c

N_TRAIN, N_TEST = 512, 400  # rows that the device gets: to learn, and to be tested on
HIDDEN = 32  # units, as in main.c


def constant(kind, name, values):
    """Return C text of an array."""
    array = np.asarray(values)
    sizes = "".join(f"[{n}]" for n in array.shape)
    text = np.array2string(array, separator=",", threshold=sys.maxsize, max_line_width=100)
    return f"static const {kind} {name}{sizes} = {text.translate(str.maketrans('[]', '{}'))};\n"


folder = Path(sys.argv[1])
digits = load_digits()
pixels = (digits.data * 15).astype(np.uint8)  # 0..16 to 0..240: bytes enter the network as they are
rows, labels = shuffle(pixels, digits.target, random_state=0)  # a writer's stand together

n_device = N_TRAIN + N_TEST
classifier = BinaryConnectClassifier((HIDDEN,), random_state=0)
classifier.fit(rows[n_device:], labels[n_device:])
export_c(classifier, folder / "digits.h", X_test=rows[:4])  # four rows for the self-test
(folder / "rows.h").write_text(
    "/* Made by make_model.py. */\n#include <stdint.h>\n"
    f"enum {{ N_TRAIN = {N_TRAIN}, N_TEST = {N_TEST} }};\n"
    + constant("uint8_t", "rows", rows[:n_device])
    + constant("uint8_t", "labels", labels[:n_device])
)
score = classifier.score(rows[N_TRAIN:n_device], labels[N_TRAIN:n_device])
print(f"trained in Python: {round(score * N_TEST)} right of {N_TEST}")
