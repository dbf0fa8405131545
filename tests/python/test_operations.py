"""count_operations: the published figures, and this library's counts against counters in it."""

import os
import shutil
import subprocess
from itertools import product
from pathlib import Path

import golden
import numpy as np
import pytest
from cffi import FFI

from pybinnet import (
    BinaryConnectClassifier,
    Conv2D,
    Dense,
    MaxPool2D,
    _engine,
    count_operations,
)
from pybinnet._ffi_build import declarations
from pybinnet._layers import engine_layers

ROOT = Path(golden.__file__).parents[1]
MNIST = (784, 1024, 1024, 1024, 10)
DONE = ("additions", "shifts", "lookups", "skipped", "popcounts", "divisions", "random_bytes")


# What the library counts


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """The portable kernels, compiled to count: cffi's view of them."""
    compiler = os.environ.get("CC", "cc")
    if not shutil.which(compiler):
        assert os.environ.get("STRICT") != "1", f"no C compiler, {compiler}"
        pytest.skip(f"LOUD: no C compiler, {compiler}")
    library = tmp_path_factory.mktemp("counting") / "libbinnet.so"
    folder = ROOT / "libbinnet"
    lines = (folder / "sources.txt").read_text("ascii").splitlines()
    sources = [folder / line for line in lines if not line.startswith("#")]
    flags = "-std=c99 -O1 -fPIC -shared -DBINNET_COUNT_OPERATIONS -DBINNET_PORTABLE_ONLY".split()
    command = [compiler, *flags, f"-I{ROOT / 'include'}", "-o", library, *sources]
    subprocess.run(command, check=True)
    ffi = FFI()
    ffi.cdef(declarations((ROOT / "include" / "binnet.h").read_text("utf-8")))
    ffi.cdef(f"extern uint64_t binnet_counts[{len(DONE)}];")
    return ffi, ffi.dlopen(str(library))


def n_features(sizes):
    return int(np.prod(sizes[0]))


class CountingNet:
    """A net of the counting library."""

    def __init__(self, counting, sizes, batch, method):
        self.ffi, self.lib = counting
        image, layers = (0, 0), [(1, units) for units in sizes[1:]]
        if isinstance(sizes[0], tuple):
            image = sizes[0][:2]
            forms = engine_layers([Dense(s) if isinstance(s, int) else s for s in sizes[1:]])
            layers = [
                (2, f.units, f.kernel_size, f.stride, f.valid, f.pool)
                if f.kernel_size
                else (1, f.units)
                for f in forms
            ]
        layers = self.ffi.new("binnet_layer[]", layers)
        choices = (method.ternary, method.stochastic, method.sign, method.adamax, method.exact)
        config = self.ffi.new("binnet_config *")
        config.seed = 5
        config.n_features = n_features(sizes)
        config.height, config.width = image
        config.n_layers = len(layers)
        config.batch_size = batch
        config.layers = layers
        config.method = (*choices, method.dropout, method.input_dropout)
        size = self.ffi.new("size_t *")
        assert self.lib.binnet_net_size(config, size) == 0
        self.arena = self.ffi.new("uint64_t[]", size[0] // 8 + 1)
        net = self.ffi.new("binnet_net **")
        assert self.lib.binnet_net_init(net, self.arena, size[0], config) == 0
        self.net = net[0]

    def train_step(self, x, labels):
        """Train; return what was counted, by name."""
        wanted = self.ffi.from_buffer("uint16_t[]", labels)
        return self._counted(self.lib.binnet_net_train_step, x, wanted)

    def train_step_targets(self, x, targets):
        """The same of targets."""
        wanted = self.ffi.from_buffer("int8_t[]", targets)
        return self._counted(self.lib.binnet_net_train_step_targets, x, wanted)

    def _counted(self, step, x, wanted):
        self.ffi.memmove(self.lib.binnet_counts, bytes(8 * len(DONE)), 8 * len(DONE))
        rows = self.ffi.from_buffer("uint8_t[]", x)
        assert step(self.net, rows, wanted, len(x), 3, self.ffi.NULL) == 0
        return dict(zip(DONE, self.lib.binnet_counts, strict=True))


def formula(sizes, batch, method):
    """The same by count_operations."""
    counts = count_operations(
        sizes,
        batch,
        weights=("binary", "ternary")[method.ternary],
        binarization=("deterministic", "stochastic")[method.stochastic],
        activation=("relu", "sign")[method.sign],
        solver=("sgd", "adamax")[method.adamax],
        quantized_backprop=not method.exact,
        dropout=method.dropout / 256,
        input_dropout=method.input_dropout / 256,
    )
    return {name: getattr(counts, name) for name in DONE if name != "skipped"}


def with_skipped(counts):
    """What the counts would be if no lookup had been skipped."""
    whole = {name: n for name, n in counts.items() if name != "skipped"}
    for name in ("additions", "lookups"):
        whole[name] += counts["skipped"]
    return whole


METHODS = [
    _engine.Method(*choices, dropout=dropout, input_dropout=dropout // 2)
    for choices in product((False, True), repeat=5)
    for dropout in (0, 77)
]


def check_counts(counting, sizes, batch, method):
    random = np.random.default_rng(1)
    net = CountingNet(counting, sizes, batch, method)
    for _ in range(4):
        x = random.integers(0, 256, (batch, n_features(sizes)), dtype=np.uint8)
        labels = random.integers(0, sizes[-1], batch, dtype=np.uint16)
        counts = net.train_step(x, labels)
        if net.lib.binnet_net_step(net.net) > 1:  # SGD only measures the first gradient
            assert with_skipped(counts) == formula(sizes, batch, method)
    return counts


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_counts_equal_the_counters_in_every_method(counting, method):
    check_counts(counting, (70, 65, 33, 5), 37, method)


@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize(
    ("sizes", "batch"),
    [
        ((64, 32, 10), 32),
        ((9, 6, 3), 5),
        ((7, 16, 130, 2), 64),
        ((31, 200, 64, 3), 131),
        ((5, 8300, 2), 8),
        ((784, 48, 10), 63),
    ],
)
def test_counts_equal_the_counters_in_every_shape(counting, sizes, batch, sign):
    check_counts(counting, sizes, batch, _engine.Method(sign=sign))
    check_counts(counting, sizes, batch, _engine.Method(sign=sign, ternary=True, dropout=99))


def test_counts_without_a_hidden_layer(counting):
    check_counts(counting, (17, 3), 20, _engine.Method())


IMAGES = ((9, 7, 3), Conv2D(17, 3), MaxPool2D(2), Conv2D(35, 2), Conv2D(9, 1, "valid", 2), 20, 5)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_counts_of_convolutions_equal_the_counters_in_every_method(counting, method):
    check_counts(counting, IMAGES, 7, method)


@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize(
    ("sizes", "batch"),
    [
        (((1, 1, 12), Conv2D(7, 1), Conv2D(70, 1), 3), 5),
        (((28, 28, 1), Conv2D(8, 5), MaxPool2D(3), Conv2D(40, 5, stride=2), 10), 3),
        (((6, 5, 3), Conv2D(4, 3), 2), 6),
        (((3, 3, 130), Conv2D(65, 3), Conv2D(65, 3, "valid"), 3), 4),  # patches of many words
        (((2, 3, 2), Conv2D(130, 2), 300, 7), 2),  # not all columns at once
        (((4, 4, 2), Conv2D(50, 2), Conv2D(3, 2), 2), 3),
        (((64, 64, 1), Conv2D(3, 3), Conv2D(2, 3), MaxPool2D(2), 2), 9),  # 36864 rows of sums
    ],
    ids=str,
)
def test_counts_of_convolutions_equal_the_counters_in_every_shape(counting, sizes, batch, sign):
    check_counts(counting, sizes, batch, _engine.Method(sign=sign))
    check_counts(counting, sizes, batch, _engine.Method(sign=sign, ternary=True, dropout=99))


def test_counts_of_targets_are_those_of_labels(counting):
    sizes, batch, method = (31, 20, 4), 25, _engine.Method()
    random = np.random.default_rng(2)
    net = CountingNet(counting, sizes, batch, method)
    for _ in range(3):
        x = random.integers(0, 256, (batch, sizes[0]), dtype=np.uint8)
        targets = random.integers(-32, 33, (batch, sizes[-1]), dtype=np.int8)
        counts = net.train_step_targets(x, targets)
    assert with_skipped(counts) == formula(sizes, batch, method)


def test_counts_are_bounds(counting):
    """Where a lookup's numbers, or all errors, are 0, less is done."""
    sizes, batch, method = (12, 9, 2), 16, _engine.Method()
    expected = formula(sizes, batch, method)
    net = CountingNet(counting, sizes, batch, method)
    x, labels = np.zeros((batch, 12), np.uint8), np.zeros(batch, np.uint16)
    for _ in range(60):  # the biases alone learn it
        counts = net.train_step(x, labels)
        assert counts["skipped"] > 0
        assert all(n <= expected[name] for name, n in with_skipped(counts).items())
    assert with_skipped(counts)["random_bytes"] < expected["random_bytes"]


# The published figures


def test_published_figures():
    counts = count_operations(MNIST)
    assert f"{counts.full_precision:.4e}" == "1.7480e+09"
    assert f"{counts.few_multiplications:.4e}" == "1.8492e+06"
    assert f"{counts.few_multiplications / counts.full_precision:.6f}" == "0.001058"
    normed = counts.few_multiplications_batch_norm, counts.full_precision_batch_norm
    assert f"{normed[1]:.4e}" == "1.7535e+09"
    assert f"{normed[0]:.4e}" == "7.4245e+06"
    assert f"{normed[0] / normed[1]:.6f}" == "0.004234"


def test_multiplications_of_convolutions():
    """A convolution of one pixel is fully connected; a larger one is that at each position."""
    dense, one = count_operations((12, 7, 5), 9), count_operations(((1, 1, 12), Conv2D(7, 1), 5), 9)
    assert one.full_precision == dense.full_precision
    assert one.few_multiplications_batch_norm == dense.few_multiplications_batch_norm
    counts = count_operations(((7, 6, 2), Conv2D(5, 3), MaxPool2D(2), 4), 10)
    sums, pooled = 5 * (6 * 6 * 9 * 2) + 9 * 5 * 4, 5 * 9 + 4
    assert counts.full_precision == 3 * 10 * (sums + pooled)
    assert counts.few_multiplications == 3 * 10 * pooled
    normed = 9 * 10 * pooled + 9 * (5 + 4)
    assert counts.full_precision_batch_norm - counts.full_precision == normed
    assert counts.few_multiplications_batch_norm - counts.few_multiplications == normed


def test_printed_as_a_table():
    counts = count_operations((4, 3, 2), 5, activation="sign")
    lines = repr(counts).splitlines()
    assert lines[0] == "One update of 4-3-2, batch size 5"
    assert lines[1].split() == ["Multiplications", "no", "batch", "norm", "batch", "norm"]
    assert lines[2].split() == ["full", "precision", "3.4500e+02", "6.1500e+02"]
    assert lines[5].split() == ["this", "library", "0"]
    assert lines[7].split() == ["additions", f"{counts.additions:,}"]
    assert str(counts) == repr(counts)
    layers = Conv2D(128, 3), Conv2D(9, 5, "valid", 2), MaxPool2D(), Dense(7)
    images = count_operations(((32, 32, 3), *layers, 10), 5)
    assert images.network == "32x32x3-128C3-9C5/2-MP2-7-10"


def test_of_a_fitted_classifier():
    X = np.random.default_rng(0).integers(0, 256, (40, 11), dtype=np.uint8)
    method = {"weights": "ternary", "activation": "sign", "dropout": 0.25}
    clf = BinaryConnectClassifier((12, 7), batch_size=8, max_iter=1, **method)
    clf.fit(X, np.arange(40) % 3)
    assert count_operations(clf) == count_operations((11, 12, 7, 3), 8, **method)
    with pytest.raises(ValueError, match="leave the other parameters out"):
        count_operations(clf, solver="adamax")
    with pytest.raises(ValueError, match="not fitted"):
        count_operations(BinaryConnectClassifier())


def test_of_a_fitted_classifier_of_images():
    X = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 2), dtype=np.uint8)
    layers = [Conv2D(6, 3), MaxPool2D(2), Dense(9)]
    clf = BinaryConnectClassifier(layers=layers, batch_size=8, max_iter=1, weights="ternary")
    clf.fit(X, np.arange(40) % 3)
    expected = count_operations(((6, 5, 2), *layers, 3), 8, weights="ternary")
    assert count_operations(clf) == expected
    clf.set_params(layers=[Dense(4)], input_shape=(6, 5, 2)).fit(X, np.arange(40) % 3)
    assert count_operations(clf) == count_operations((60, 4, 3), 8, weights="ternary")


def test_arrays_and_lists_are_sizes_too():
    assert count_operations([4, 3, 2]) == count_operations(np.array([4, 3, 2]))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layer_sizes": 784}, TypeError, r"layer_sizes=784 is of type int; give features"),
        ({"layer_sizes": "784"}, TypeError, "is of type str"),
        ({"layer_sizes": (784,)}, ValueError, "has 1 entries"),
        ({"layer_sizes": (4,) * 34}, ValueError, "has 34 entries"),
        ({"layer_sizes": (4, 2.5)}, TypeError, "give an integer"),
        ({"layer_sizes": (4, 0, 2)}, ValueError, "outside the allowed range, 1 to 65536"),
        ({"layer_sizes": (4, 3, 1)}, ValueError, "has one class"),
        ({"layer_sizes": (4, 3), "activation": "sign"}, ValueError, "needs a hidden layer"),
        ({"layer_sizes": ((6, 5), Conv2D(3, 3), 2)}, TypeError, r"layer_sizes\[0\]=\(6, 5\) is no"),
        ({"layer_sizes": (60, Conv2D(3, 3), 2)}, ValueError, r"begin with \(height, width"),
        ({"layer_sizes": ((6, 5, 2), Conv2D(3, 6), 2)}, ValueError, "larger than its input"),
        ({"layer_sizes": ((6, 5, 2), Dense(2))}, TypeError, "give the number of classes last"),
        ({"layer_sizes": ((6, 5, 2), "conv", 2)}, TypeError, "give an integer or a layer"),
        ({"batch_size": 0}, ValueError, "batch_size=0 is outside"),
        ({"batch_size": 2.0}, TypeError, "batch_size=2.0 is of type float"),
        ({"weights": "full"}, ValueError, "weights='full' is unknown; use 'binary' or 'ternary'"),
        ({"solver": None}, ValueError, "solver=None is unknown"),
        ({"quantized_backprop": 1}, TypeError, "give True or False"),
        ({"dropout": 1.0}, ValueError, "dropout=1.0 is outside"),
    ],
)
def test_what_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        count_operations(**{"layer_sizes": (4, 3, 2), **arguments})
