"""BinaryConnect in PyTorch, float32, as fast as its own operations allow: the peer in training.py.

Deterministic binary weights, batch norm on every layer, ReLU, squared hinge, clipped latent
weights, learning rates scaled by Glorot's coefficients and decaying exponentially.
"""

# SPDX-License-Identifier: BSD-3-Clause

from itertools import pairwise

import numpy as np
import torch
from torch.nn import BatchNorm1d
from torch.nn.functional import linear

# First and last. Published are 1e-3 to 3e-6 and 0.3 to 0.01, for hundreds of epochs; with four
# or five, these were the best of two and three tried.
RATES = {"Adam": (3e-3, 3e-5), "SGD": (3.0, 0.03)}


class Trainer:
    """Trains on rows that are kept as floats, so that a step only gathers its batch."""

    def __init__(self, options, layers, optimizer, x, y):
        torch.set_num_threads(options.threads)
        torch.manual_seed(options.seed)
        self.x = _floats(x)
        self.t = 2 * torch.eye(layers[-1])[torch.from_numpy(y.astype(np.int64))] - 1
        self.batch_size = options.batch_size
        self.n_steps = -(-len(x) // options.batch_size)  # of an epoch
        self.total = self.n_steps * options.epochs
        self.step = 0
        self.one = torch.ones(())
        self.latent, self.binary, self.norms, groups = [], [], [], []
        for fan_in, units in pairwise(layers):
            self.latent.append(torch.empty(units, fan_in).uniform_(-1, 1))
            # A leaf of its own: its gradient is the straight-through one of the latent weights.
            self.binary.append(torch.empty(units, fan_in, requires_grad=True))
            self.norms.append(BatchNorm1d(units, eps=1e-4, momentum=0.15))
            scale = ((fan_in + units) / 1.5) ** (0.5 if optimizer == "Adam" else 1)
            groups.append({"params": [self.latent[-1]], "scale": scale})
        groups.append({"params": [p for norm in self.norms for p in norm.parameters()], "scale": 1})
        self.optimizer = getattr(torch.optim, optimizer)(groups, lr=1.0, fused=True)
        self.first, self.last = RATES[optimizer]
        self.binarize()

    @torch.no_grad()
    def binarize(self):
        for latent, binary in zip(self.latent, self.binary, strict=True):
            latent.clamp_(-1, 1)
            torch.copysign(self.one, latent, out=binary)

    def scores(self, x):
        for binary, norm in zip(self.binary, self.norms, strict=True):
            x = norm(linear(x, binary))
            if norm is not self.norms[-1]:
                x = x.relu_()
        return x

    def train(self, n_steps):
        n_rows = len(self.x)
        for step in range(self.step, self.step + n_steps):
            i = step % self.n_steps
            if i == 0:
                self.order = torch.randperm(n_rows)
            rows = self.order[i * n_rows // self.n_steps : (i + 1) * n_rows // self.n_steps]
            rate = self.first * (self.last / self.first) ** min(1, step / self.total)
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["scale"]
            scores = self.scores(self.x.index_select(0, rows))
            loss = (1 - scores.mul_(self.t.index_select(0, rows))).clamp_min_(0).square().mean()
            loss.backward()
            for latent, binary in zip(self.latent, self.binary, strict=True):
                latent.grad, binary.grad = binary.grad, None
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.binarize()
        self.step += n_steps

    def finish(self):
        """Nothing: tests take the running statistics."""

    @torch.no_grad()
    def predict(self, x):
        for norm in self.norms:
            norm.eval()
        best = self.scores(_floats(x)).argmax(1).numpy()
        for norm in self.norms:
            norm.train()
        return best


def _floats(x):
    """Pixels as floats of -1 to 1."""
    return torch.from_numpy(x.astype(np.float32)).div_(127.5).sub_(1)
