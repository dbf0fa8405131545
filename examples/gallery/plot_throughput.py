"""
Throughput beside others
========================

The reports of ``bench/training.py`` and ``bench/inference.py``, which are in ``bench/results``:
nothing is measured when this page is built. ``bench/README.md`` says how they were made; the
command and the machine are in each report. 784-1024-1024-1024-10 throughout.
"""

# SPDX-License-Identifier: BSD-3-Clause

import json
from pathlib import Path

import matplotlib.pyplot as plt

RESULTS = Path("../../bench/results")
N_ROWS = 60_000  # of an epoch


def read(name):
    """Return a report."""
    return json.loads((RESULTS / name).read_text("utf-8"))


def bars(axes, results, rates, title):
    """Draw rows a second, ours in color."""
    names = [result["name"] for result in results]
    colors = ["C1" if name.startswith("pybinnet") else "C7" for name in names]
    drawn = axes.barh(names, rates, color=colors)
    axes.bar_label(drawn, [f"{rate:,.0f}" for rate in rates], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.set(title=title, xlabel="rows a second")
    axes.title.set_fontsize("medium")


training = read("training.json")
inference = read("inference.json")
print(f"{training['cpu']}, {training['isa']}, {training['threads']} thread; as measured")
print(", ".join(f"{name} {version}" for name, version in training["peers"].items()))

# %%
# Training, batches of 128; medians of epochs in seconds, as rows a second.

results = training["results"]
figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
bars(axes, results, [N_ROWS / result["median"] for result in results], "Training")
plt.show()

# %%
# Inference of one row at a time, and of many. "predict_scores" is the engine alone, "estimator" is
# ``BinaryConnectClassifier.predict`` with scikit-learn's checks of the input.

figure, column = plt.subplots(3, 1, figsize=(9, 9), layout="constrained")
for axes, (batch, results) in zip(column, inference["batches"].items(), strict=True):
    rates = [int(batch) / (result["median"] * 1e-6) for result in results]
    bars(axes, results, rates, f"Inference, {batch} row{'s' * (batch != '1')} a call")
plt.show()
