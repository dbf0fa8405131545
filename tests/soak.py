"""Trains random nets on random kernels and threads, and compares them byte for byte with the
portable kernels on one thread.

    python tests/soak.py --seconds 60
    python tests/soak.py --seed S --first N --count 1    configuration N again

What is compared: the loss of every step, the checkpoint, the deployed model and its scores. The
portable net trains from end to end; the other stops midway, and one made anew goes on from its
checkpoint. Some configurations are products of bits, which numpy must find too. The exit status is
1 if anything differs.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import math
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from itertools import count

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from pybinnet import _engine, pack_bits, xnor_matmul

MOST_THREADS = 4
MOST_WORK = 1 << 20  # uses of weights in a step, of one kind: some hundredths of a second in all


@dataclass(frozen=True)
class Training:
    """A net and, from its seed, what it learns."""

    shape: tuple  # of a row: height, width, channels
    layers: tuple
    method: _engine.Method
    batch_size: int
    n_steps: int
    by_targets: bool
    augmentation: _engine.Augmentation | None
    seed: int

    def kinds(self):
        convolutions = [layer for layer in self.layers if layer.kernel_size]
        yield f"{len(convolutions)} convolutions"
        yield f"{len(self.layers) - len(convolutions)} dense layers"
        for layer in convolutions:
            yield from (f"{name} > 1" for name in ("stride", "pool") if getattr(layer, name) > 1)
            yield "valid" if layer.valid else "same"
        yield from (name for name, value in vars(self.method).items() if value)
        yield "targets" if self.by_targets else "labels"
        if self.augmentation:
            yield "augmented"

    def net(self, n_jobs):
        counts = np.arange(1, self.layers[-1].units + 1)
        return _engine.Net(
            math.prod(self.shape),
            self.layers,
            self.batch_size,
            self.seed,
            counts,
            self.method,
            n_jobs,
            n_rows=int(counts.sum()),
            image=self.shape[:2] if self.layers[0].kernel_size else None,
        )

    def rows(self, number, n_rows):
        """Features, from any address, many of them 0 or 255; and labels or targets."""
        rng = np.random.default_rng([self.seed, number])
        n_features, offset = math.prod(self.shape), int(rng.integers(64))
        values = rng.integers(-60, 316, offset + n_rows * n_features).clip(0, 255)
        x = values.astype(np.uint8)[offset:].reshape(n_rows, n_features)
        if self.augmentation:
            x = _engine.augment(self.augmentation, self.seed, number, x)
        if self.by_targets:
            return x, rng.integers(-32, 33, (n_rows, self.layers[-1].units), dtype=np.int8)
        return x, rng.integers(0, self.layers[-1].units, n_rows, dtype=np.uint16)

    def expected(self):
        return self.results(1, stops=False)

    def found(self, n_jobs):
        return self.results(n_jobs, stops=True)

    def results(self, n_jobs, stops):
        """What comes of it, by name."""
        net, found = self.net(n_jobs), {}
        for step in range(self.n_steps):
            if stops and step == self.n_steps // 2:
                checkpoint, net = net.checkpoint(), self.net(n_jobs)
                net.restore(checkpoint)
            train = net.train_step_targets if self.by_targets else net.train_step
            rows = self.rows(step, self.batch_size if step else -(-self.batch_size // 2))
            found[f"the loss of step {step}"] = train(*rows, 1 + step)
        found["the checkpoint"] = net.checkpoint()
        net.calibrate(self.rows(self.n_steps, self.batch_size + 2)[0])
        found["the model"] = net.model()
        x, _ = self.rows(self.n_steps + 1, 1 + self.seed % (2 * self.batch_size))
        found["the scores"] = _engine.predict_scores(found["the model"], x).tobytes()
        return found


@dataclass(frozen=True)
class Product:
    """A product of random bits."""

    n_a: int
    n_b: int
    n_bits: int
    seed: int

    def kinds(self):
        yield "product of bits"

    def matrices(self):
        rng = np.random.default_rng(self.seed)
        for n_rows in (self.n_a, self.n_b):
            yield rng.integers(-2, 2, (n_rows, self.n_bits), dtype=np.int8)

    def expected(self):
        a, b = (np.where(matrix < 0, -1, 1) for matrix in self.matrices())
        return {"the product": (a @ b.T).astype(np.int32).tobytes()}

    def found(self, n_jobs):
        a, b = map(pack_bits, self.matrices())
        return {"the product": xnor_matmul(a, b, n_jobs=n_jobs).tobytes()}


def size(rng, most):
    """1 to `most`, small ones as often as large ones; every other one is beside a power of two."""
    value = round(2 ** rng.uniform(0, math.log2(most)))
    if rng.random() < 0.5:
        value = (1 << (value.bit_length() - 1)) + rng.choice((-1, 0, 1))
    return min(max(1, value), most)


def drawn_layers(rng):
    """The shape of rows, layers, and the uses of weights for a row."""
    layers, work = [], 0
    if rng.random() < 0.5:
        shape = 1, 1, size(rng, 3000)
        fan_in = shape[2]
    else:
        height, width, channels = shape = rng.randint(1, 13), rng.randint(1, 13), size(rng, 70)
        for _ in range(rng.randint(1, 3)):
            kernel, stride = rng.randint(1, min(height, width, 6)), rng.choice((1, 1, 2, 3))
            valid, filters = rng.random() < 0.5, size(rng, 140)
            height, width = (
                (n - kernel) // stride + 1 if valid else -(-n // stride) for n in (height, width)
            )
            work += height * width * kernel**2 * channels * filters
            pool = rng.randint(1, min(height, width, 3))
            height, width, channels = height // pool, width // pool, filters
            layers.append(_engine.Layer(filters, kernel, stride, valid, pool))
        fan_in = height * width * channels
    for units in [*(size(rng, 600) for _ in range(rng.randint(0, 2))), 1 + size(rng, 150)]:
        layers.append(_engine.Layer(units))
        work += fan_in * units
        fan_in = units
    return shape, tuple(layers), work


def drawn(rng):
    """Any configuration that is no more work than `MOST_WORK`."""
    seed = rng.getrandbits(64)
    if rng.random() < 0.1:
        return Product(size(rng, 150), size(rng, 150), size(rng, 5000), seed)
    shape, layers, work = drawn_layers(rng)
    batch_size = 1 + size(rng, 200)
    if work * batch_size > MOST_WORK:
        return drawn(rng)
    hidden = len(layers) > 1
    method = _engine.Method(
        ternary=rng.random() < 0.4,
        stochastic=rng.random() < 0.3,
        sign=hidden and rng.random() < 0.4,
        adamax=rng.random() < 0.3,
        exact=rng.random() < 0.2,
        dropout=rng.choice((0, 0, rng.randint(1, 255))) * hidden,
        input_dropout=rng.choice((0, 0, rng.randint(1, 255))),
        decay=rng.choice((0, 0, rng.randint(1, 15))),
    )
    augmentation = None
    if layers[0].kernel_size and rng.random() < 0.4:
        augmentation = _engine.Augmentation(*shape, rng.random() < 0.5, rng.randint(0, 5))
    by_targets = rng.random() < 0.3
    return Training(
        shape, layers, method, batch_size, rng.randint(2, 5), by_targets, augmentation, seed
    )


def difference(case, isa, n_jobs):
    """What is not as it should be; None if all is."""
    try:
        os.environ["BINNET_ISA"] = "portable"
        expected = case.expected()
        os.environ["BINNET_ISA"] = isa
        found = case.found(n_jobs)
    except Exception as error:
        return f"{error!r} is raised"
    return next((f"{name} differs" for name in expected if found[name] != expected[name]), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split(".")[0])
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    numbers = count(options.first)
    if options.count is not None:
        numbers = range(options.first, options.first + options.count)
    kinds, n_done, differ = Counter(), 0, []
    end = time.monotonic() + options.seconds
    with threadpool_limits(MOST_THREADS):  # also where there are fewer processors
        for number in tqdm(numbers, f"seed {options.seed}", unit=" nets", mininterval=1):
            if time.monotonic() > end:
                break
            rng = random.Random(f"{options.seed} {number}")
            isa, n_jobs = rng.choice(_engine.supported_isas()), rng.randint(1, MOST_THREADS)
            case = drawn(rng)
            found = difference(case, isa, n_jobs)
            kinds.update({f"{isa}, {n_jobs} threads", *case.kinds()})
            n_done += 1
            if found is not None:
                differ.append(number)
                print(
                    f"{found}: {isa}, {n_jobs} threads, {case}\n"
                    f"again: python tests/soak.py --seed {options.seed} --first {number} --count 1",
                    flush=True,
                )
    for kind, n in sorted(kinds.items()):
        print(f"{kind:24}{n:8}")
    print(f"{n_done} configurations of seed {options.seed}: {len(differ)} differ")
    return 1 if differ or not n_done else 0


if __name__ == "__main__":
    sys.exit(main())
