"""Files of every format version there was, which this version must still read.

``tests/vectors/files/`` has a folder for each version, and `files.json` beside it the hash of what
is read from each file. They stay as that version wrote them. When a format changes, `VERSION`
becomes its new number, and ``python tests/golden_files.py`` adds a folder.
"""

# SPDX-License-Identifier: BSD-3-Clause

import json
from contextlib import suppress
from dataclasses import astuple
from hashlib import sha256
from pathlib import Path

import golden
import numpy as np
from golden_data import images, labels, numbers

from pybinnet import (
    BinaryConnectClassifier,
    BinaryConnectRegressor,
    Conv2D,
    Dense,
    MaxPool2D,
    SaveCheckpoint,
    _engine,
    load_model,
    save_model,
)

VERSION = 1
FOLDER = Path(golden.__file__).parent / "vectors" / "files"
EXPECTED = FOLDER.with_suffix(".json")

NETS = [
    "binary",
    "ternary-stochastic",
    "sign",
    "convolution",
    "convolution-sign-dropout",
    "convolution-adamax-exact",
    "convolution-all",
]
X = images(200, 9)
GIVEN = {"max_iter": 4, "random_state": 1}
LAYERS = [Conv2D(9, 2), MaxPool2D(2), Dense(6)]
SAVED = {
    "classes": lambda: BinaryConnectClassifier((12,), **GIVEN).fit(
        X, np.array(["a", "b", "é"])[labels(X)]
    ),
    "fractions": lambda: BinaryConnectClassifier(
        (12,), activation="sign", weights="ternary", **GIVEN
    ).fit(X / 3, labels(X) - 1),
    "labels": lambda: BinaryConnectClassifier((12,), **GIVEN).fit(X, X[:, :3] > 127),
    "numbers": lambda: BinaryConnectRegressor((12,), **GIVEN).fit(X, numbers(X)),
    "images": lambda: BinaryConnectClassifier(layers=LAYERS, input_shape=(3, 3, 1), **GIVEN).fit(
        X, labels(X)
    ),
}


def underway(*callbacks):
    """An estimator that a fit goes on in, from a checkpoint after two of its four epochs."""
    return BinaryConnectClassifier(
        (12,), early_stopping=True, warm_start=True, callbacks=callbacks, **GIVEN
    )


def net_of(run):
    """The net of a golden run, before it begins."""
    return _engine.Net(
        run.n_features,
        tuple(_engine.Layer(*layer) for layer in run.layers),
        run.batch_size,
        golden.SEED,
        run.counts,
        _engine.Method(*astuple(run.method)),
        image=run.shape[:2],
    )


def read(path):
    """What is read from a file, as text."""
    kind, name = path.name.split("-", 1)
    if kind == "model":
        rows = images(20, golden.RUNS[name].n_features)
        return _engine.predict_scores(path.read_bytes(), rows).tolist()
    if kind == "checkpoint":
        net = net_of(golden.RUNS[name])
        net.restore(path.read_bytes())
        return net.step, golden.digests(*golden.RUNS[name].make(net))
    if kind == "saved":
        loaded = load_model(path)
        return repr(loaded), loaded.predict(X / 3 if name == "fractions" else X).tolist()
    estimator = underway()
    estimator.checkpoint_ = path.read_bytes()
    estimator.fit(X, labels(X))
    return estimator.loss_curve_, sha256(estimator.model_).hexdigest()


def digest(path):
    """The hash of what is read from a file."""
    return sha256(repr(read(path)).encode()).hexdigest()[:32]


def write(folder):
    """Write the files of this version, whatever of it there is."""
    for name in NETS:
        run = golden.RUNS[name]
        checkpoint, model = run.make(net_of(run))
        (folder / f"model-{name}").write_bytes(model)
        (folder / f"checkpoint-{name}").write_bytes(checkpoint)
    for name, fitted in SAVED.items():
        save_model(fitted(), folder / f"saved-{name}")

    def stop(info):
        if info.epoch == 2:
            raise InterruptedError

    with suppress(InterruptedError):
        underway(SaveCheckpoint(folder / "underway-classes"), stop).fit(X, labels(X))


if __name__ == "__main__":
    folder = FOLDER / f"version-{VERSION}"
    folder.mkdir(parents=True)  # an error if there is one: its files stay
    write(folder)
    expected = {
        path.relative_to(FOLDER).as_posix(): digest(path) for path in sorted(FOLDER.glob("*/*"))
    }
    EXPECTED.write_text(json.dumps(expected, indent=2) + "\n", "utf-8")
