"""The golden training runs: what every implementation, kernel and target must make of them.

There is one for each of some methods, and `tests/vectors/golden.json` has the SHA-256 of its
checkpoint and model. tests/c/test_api.c makes the same runs. To renew the values after a change of
the rule: ``python tests/golden.py``, which takes them from the reference.
"""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
import json
from pathlib import Path

import numpy as np
import reference
from reference import Method

FILE = Path(__file__).parent / "vectors" / "golden.json"
FEATURES, UNITS, BATCH, SEED, STEPS = 100, (70, 33, 26), 50, 2**40 + 5, 20
COUNTS = [5, 100] + [20] * 24
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
    "all": Method(True, True, True, True, True, dropout=77, input_dropout=50),
    "sign-dropout": Method(sign=True, dropout=64),
}


def batch(step):
    """Features and labels of a step; the last batch is short."""
    rows = BATCH if step < STEPS - 1 else 17
    x = reference.random_bytes(1, step, 64, 0, rows, FEATURES).astype(np.uint8)
    labels = reference.random_bytes(1, step, 65, 0, rows, 8)[:, 0] % UNITS[-1]
    return x, labels.astype(np.uint16)


def run(net):
    """Train and calibrate; return checkpoint and model."""
    for step in range(STEPS):
        x, labels = batch(step)
        net.train_step(x, labels, reference.rate_exponent(3, 9, step, STEPS))
    checkpoint = net.checkpoint()
    net.calibrate(batch(0)[0])
    net.calibrate(batch(1)[0])
    return checkpoint, net.model()


def digests(checkpoint, model):
    """What golden.json holds of one run."""
    return {
        "checkpoint_sha256": hashlib.sha256(checkpoint).hexdigest(),
        "checkpoint_crc32": f"{int.from_bytes(checkpoint[-4:], 'little'):08x}",
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "model_crc32": f"{int.from_bytes(model[-4:], 'little'):08x}",
    }


def reference_net(method):
    return reference.ReferenceNet(FEATURES, list(UNITS), BATCH, SEED, COUNTS, method)


def expected():
    """Digests by the method's name."""
    return json.loads(FILE.read_text("utf-8"))


if __name__ == "__main__":
    runs = {name: digests(*run(reference_net(method))) for name, method in METHODS.items()}
    FILE.write_text(json.dumps(runs, indent=2) + "\n", "utf-8")
