"""BinaryConnect in PyTorch, float32, as fast as its own operations allow: the peer in training.py.

Deterministic binary weights, batch norm on every layer, ReLU, squared hinge, clipped latent
weights, learning rates scaled by Glorot's coefficients and decaying exponentially. Convolutions
are pooled before batch norm, as the paper's own program does it.
"""

# SPDX-License-Identifier: BSD-3-Clause

from math import prod

import nets
import numpy as np
import torch
from torch.nn import BatchNorm1d, BatchNorm2d
from torch.nn.functional import conv2d, linear, max_pool2d

# First and last. Published are 1e-3 to 3e-6 and 0.3 to 0.01, for hundreds of epochs; with four
# or five, these were the best of two and three tried.
RATES = {"Adam": (3e-3, 3e-5), "SGD": (3.0, 0.03)}
TEST_ROWS = 1000  # at a time: images take 0.5 MB and more each between layers


class Trainer:
    """Trains on rows that are kept as floats, so that a step only gathers its batch."""

    def __init__(self, options, layers, optimizer, x, y):
        torch.set_num_threads(options.threads)
        torch.manual_seed(options.seed)
        self.layers = layers
        self.x = self.floats(x)
        self.t = 2 * torch.eye(layers[-1])[torch.from_numpy(y.astype(np.int64))] - 1
        self.batch_size = options.batch_size
        self.n_steps = -(-len(x) // options.batch_size)  # of an epoch
        self.total = self.n_steps * options.epochs
        self.step = 0
        self.one = torch.ones(())
        self.latent, self.binary, self.norms, groups = [], [], [], []
        for shape in nets.weight_shapes(layers):
            units, inputs, *kernel = shape
            self.latent.append(torch.empty(shape).uniform_(-1, 1))
            # A leaf of its own: its gradient is the straight-through one of the latent weights.
            self.binary.append(torch.empty(shape, requires_grad=True))
            norm = BatchNorm2d if kernel else BatchNorm1d
            self.norms.append(norm(units, eps=1e-4, momentum=0.15))
            fans = (inputs + units) * prod(kernel)
            scale = (fans / 1.5) ** (0.5 if optimizer == "Adam" else 1)
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

    def floats(self, x):
        """Pixels as floats of -1 to 1; images are height x width x channels."""
        x = torch.from_numpy(x.astype(np.float32)).div_(127.5).sub_(1)
        return x.unflatten(1, self.layers[0]) if isinstance(self.layers[0], tuple) else x

    def scores(self, x):
        if x.ndim == 4:  # what PyTorch calls channels-last, faster here than the other order
            x = x.permute(0, 3, 1, 2)
        for layer, binary, norm in zip(self.layers[1:], self.binary, self.norms, strict=True):
            if isinstance(layer, nets.Conv):
                x = conv2d(x, binary, padding="same")
                if layer.pool > 1:
                    x = max_pool2d(x, layer.pool)
            else:
                x = linear(x.flatten(1), binary)
            x = norm(x)
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
        batches = self.floats(x).split(TEST_ROWS)
        best = torch.cat([self.scores(batch).argmax(1) for batch in batches]).numpy()
        for norm in self.norms:
            norm.train()
        return best
