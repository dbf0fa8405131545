"""The nets that are measured: lists of the input, then one layer after the other.

The input is a number of features, or the height, width and channels of an image. A number is a
fully connected layer of so many units; the last is the output layer.
"""

# SPDX-License-Identifier: BSD-3-Clause

from math import prod
from typing import NamedTuple

import datasets
import numpy as np

from pybinnet import Conv2D, Dense, MaxPool2D
from pybinnet._engine import CONTRASTS


class Conv(NamedTuple):
    """A convolution with "same" padding; of each pool x pool sums the largest goes on."""

    filters: int
    kernel_size: int = 3
    pool: int = 1


def _pairs(maps, units):
    """Two convolutions of each number of maps, then two layers of units."""
    pairs = [layer for n in maps for layer in (Conv(n), Conv(n, pool=2))]
    return (datasets.CIFAR10_SHAPE, *pairs, units, units, 10)


# Those of the BinaryConnect paper, section 3,
CIFAR10 = _pairs((128, 256, 512), 1024)
SVHN = _pairs((64, 128, 256), 1024)
# and two that train in less time.
CIFAR10_SMALL = _pairs((64, 128, 256), 512)
MNIST_CNN = ((datasets.SIDE, datasets.SIDE, 1), Conv(32, 5, pool=2), Conv(64, 5, pool=2), 256, 10)


def of_contrasts(layers):
    """Return a net of images with the contrasts of an image as input (`ContrastEncoder`)."""
    (height, width, channels), *others = layers
    return ((height, width, channels * CONTRASTS), *others)


def add_option(parser):
    parser.add_argument(
        "--net",
        choices=("mnist", "cifar10"),
        default="mnist",
        help="mnist is fully connected, with --hidden units; cifar10 is the paper's convolutions",
    )


def chosen(options):
    """Return the net that `add_option` is about; the data set has the same name."""
    return CIFAR10 if options.net == "cifar10" else [datasets.SIDE**2, *options.hidden, 10]


def n_features(layers):
    return int(np.prod(layers[0]))


def weight_shapes(layers):
    """Return the shape of each layer's weights: units, inputs of one; filters with a kernel."""
    shapes = []
    shape = layers[0]
    for layer in layers[1:]:
        if isinstance(layer, Conv):
            height, width, channels = shape
            shapes.append((layer.filters, channels, layer.kernel_size, layer.kernel_size))
            shape = height // layer.pool, width // layer.pool, layer.filters
        else:
            shapes.append((layer, int(np.prod(shape))))
            shape = layer
    return shapes


def n_products(layers):
    """Return the products of one row in all layers."""
    total, positions = 0, prod(layers[0][:2]) if isinstance(layers[0], tuple) else 1
    for layer, shape in zip(layers[1:], weight_shapes(layers), strict=True):
        if isinstance(layer, Conv):
            total += positions * prod(shape)
            positions //= layer.pool**2
        else:
            total += prod(shape)
    return total


def estimator_layers(layers):
    """Return the hidden layers of a net with convolutions, as the estimators take them."""
    hidden = []
    for layer in layers[1:-1]:
        if isinstance(layer, Conv):
            hidden.append(Conv2D(layer.filters, layer.kernel_size))
            hidden += [MaxPool2D(layer.pool)] if layer.pool > 1 else []
        else:
            hidden.append(Dense(layer))
    return hidden


def described(layers):
    """Return the layers as the papers write them: numbers, and such as 128C3 and 128C3-MP2."""
    return [_described(layer) for layer in layers]


def _described(layer):
    if isinstance(layer, Conv):
        pool = f"-MP{layer.pool}" if layer.pool > 1 else ""
        return f"{layer.filters}C{layer.kernel_size}{pool}"
    return "x".join(map(str, layer)) if isinstance(layer, tuple) else layer
