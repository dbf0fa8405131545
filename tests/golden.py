"""The golden training runs: what every implementation, kernel and target must make of them.

There is one for each of some methods, and some with convolutions; `tests/vectors/golden.json` has
the SHA-256 of the checkpoint and the model of each. tests/c/test_api.c makes the same runs. To
renew the values after a change of the rule: ``python tests/golden.py``, which takes them from the
reference.
"""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
import json
from dataclasses import astuple, dataclass
from math import prod
from pathlib import Path

import numpy as np
import reference
from reference import Conv2D, Method

FILE = Path(__file__).parent / "vectors" / "golden.json"
FEATURES, UNITS, BATCH, SEED, STEPS = 100, (70, 33, 26), 50, 2**40 + 5, 20
METHODS = {
    "binary": Method(),
    "binary-stochastic": Method(stochastic=True),
    "ternary": Method(ternary=True),
    "ternary-stochastic": Method(ternary=True, stochastic=True),
    "sign": Method(sign=True),
    "adamax": Method(adamax=True),
    "exact": Method(exact=True),
    "dropout": Method(dropout=128),
    "input-dropout": Method(input_dropout=51),
    "decay": Method(decay=2),
    "all": Method(True, True, True, True, True, dropout=77, input_dropout=50, decay=3),
    "sign-dropout": Method(sign=True, dropout=64),
}


@dataclass(frozen=True)
class Run:
    """A net and how long it learns; the last batch is short."""

    method: Method
    units: tuple = UNITS
    shape: tuple = (1, 1, FEATURES)  # H, W, C of a row
    batch_size: int = BATCH
    steps: int = STEPS

    @property
    def n_features(self):
        return prod(self.shape)

    @property
    def layers(self):
        """Units and, of a convolution, what else the fields of `Conv2D` are."""
        return [astuple(M) if isinstance(M, Conv2D) else (M,) for M in self.units]

    @property
    def counts(self):
        return [5, 100, *[20] * (self.units[-1] - 2)]

    def batch(self, step):
        """Features and labels of a step."""
        rows = self.batch_size if step < self.steps - 1 else self.batch_size // 3 + 1
        x = reference.random_bytes(1, step, 64, 0, rows, self.n_features).astype(np.uint8)
        labels = reference.random_bytes(1, step, 65, 0, rows, 8)[:, 0] % self.units[-1]
        return x, labels.astype(np.uint16)

    def make(self, net):
        """Train and calibrate; return checkpoint and model."""
        for step in range(self.steps):
            x, labels = self.batch(step)
            net.train_step(x, labels, reference.rate_exponent(3, 9, step, self.steps))
        checkpoint = net.checkpoint()
        net.calibrate(self.batch(0)[0])
        net.calibrate(self.batch(1)[0])
        return checkpoint, net.model()

    def reference_net(self):
        sizes = self.n_features, list(self.units), self.batch_size, SEED
        return reference.ReferenceNet(*sizes, self.counts, self.method, shape=self.shape)


def convolutional(method, shape, *units):
    """A run that an emulated microcontroller can make."""
    return Run(method, units, shape, batch_size=12, steps=8)


# Channels of whole bytes and not, more than a word of them; what strides and pools leave over.
RUNS = {name: Run(method) for name, method in METHODS.items()} | {
    "convolution": convolutional(
        Method(), (11, 9, 3), Conv2D(10, 3, pool=2), Conv2D(13, 2, valid=True), 21, 5
    ),
    "convolution-ternary-stochastic": convolutional(
        Method(ternary=True, stochastic=True),
        (13, 11, 1),
        Conv2D(16, 5, pool=3),
        Conv2D(9, 3, valid=True),
        6,
    ),
    "convolution-sign-dropout": convolutional(
        Method(sign=True, dropout=64),
        (11, 10, 2),
        Conv2D(67, 3, stride=2, valid=True),
        Conv2D(33, 3, pool=2),
        20,
        4,
    ),
    "convolution-adamax-exact": convolutional(
        Method(adamax=True, exact=True),
        (9, 8, 3),
        Conv2D(8, 4, stride=2, pool=2),
        Conv2D(12, 2),
        5,
    ),
    "convolution-all": convolutional(
        METHODS["all"], (10, 7, 2), Conv2D(11, 2, pool=3), Conv2D(70, 1), 3
    ),
}


def digests(checkpoint, model):
    """What golden.json holds of one run."""
    return {
        "checkpoint_sha256": hashlib.sha256(checkpoint).hexdigest(),
        "checkpoint_crc32": f"{int.from_bytes(checkpoint[-4:], 'little'):08x}",
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "model_crc32": f"{int.from_bytes(model[-4:], 'little'):08x}",
    }


def expected():
    """Digests by the run's name."""
    return json.loads(FILE.read_text("utf-8"))


if __name__ == "__main__":
    runs = {name: digests(*run.make(run.reference_net())) for name, run in RUNS.items()}
    FILE.write_text(json.dumps(runs, indent=2) + "\n", "utf-8")
