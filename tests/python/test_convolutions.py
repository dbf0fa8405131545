"""Convolutions of the C core against the independent reference, through the Python engine."""

import math
import struct
import zlib
from dataclasses import asdict, astuple, dataclass
from functools import cache
from itertools import product

import golden
import numpy as np
import pytest
import reference
from reference import Conv2D, Method

from pybinnet import _engine

METHODS = [
    Method(*choices, dropout=dropout, input_dropout=dropout // 2)
    for choices in product((False, True), repeat=5)
    for dropout in (0, 77)
]
STEPS = 5
THREADS = pytest.mark.parametrize("n_jobs", [1, 3])


@dataclass(frozen=True)
class Case:
    """A net and, from its seed, what it learns."""

    method: Method
    shape: tuple  # H, W, C
    units: tuple
    batch_size: int
    seed: int

    @property
    def n_features(self):
        return math.prod(self.shape)

    def engine_net(self, n_jobs=1):
        return _engine.Net(
            self.n_features,
            tuple(layer_of(units) for units in self.units),
            self.batch_size,
            self.seed,
            np.ones(self.units[-1], dtype=int),
            _engine.Method(**asdict(self.method)),
            n_jobs=n_jobs,
            image=self.shape[:2],
        )

    def reference_net(self):
        sizes = self.n_features, list(self.units), self.batch_size, self.seed
        return reference.ReferenceNet(*sizes, method=self.method, shape=self.shape)

    def rows(self, step):
        """Features, a third of them 0, and labels; every third batch is short."""
        rng = np.random.default_rng([self.seed, step])
        rows = self.batch_size if step % 3 else max(1, self.batch_size - 3)
        x = rng.integers(0, 256, (rows, self.n_features), dtype=np.uint8)
        x[:, ::3] *= x[:, ::3] > 200
        return x, rng.integers(0, self.units[-1], rows, dtype=np.uint16)

    def calibration(self):
        rng = np.random.default_rng([self.seed, 1000])
        return rng.integers(0, 256, (2, self.batch_size, self.n_features), dtype=np.uint8)


def layer_of(units):
    return _engine.Layer(*(astuple(units) if isinstance(units, Conv2D) else [units]))


@cache
def expected(case):
    """Loss and checkpoint of each step, the model and its scores; once for all kernels."""
    net, steps = case.reference_net(), []
    begin = net.checkpoint()
    for step in range(STEPS):
        x, labels = case.rows(step)
        steps.append((net.train_step(x, labels.astype(int), 3 + step), net.checkpoint()))
    for x in case.calibration():
        net.calibrate(x)
    return begin, steps, net.model(), reference.predict(net.model(), case.calibration()[0])[0]


def check(case, n_jobs):
    begin, steps, model, scores = expected(case)
    net = case.engine_net(n_jobs)
    assert net.checkpoint() == begin
    for step, (loss, checkpoint) in enumerate(steps):
        assert net.train_step(*case.rows(step), 3 + step) == loss, f"in step {step + 1}"
        assert net.checkpoint() == checkpoint, f"after step {step + 1}"
    for x in case.calibration():
        net.calibrate(x)
    assert net.model() == model
    assert np.array_equal(_engine.predict_scores(model, case.calibration()[0]), scores)


@THREADS
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_core_equals_reference_in_every_method(isa, n_jobs, method):
    """Borders of features and of activations, even and odd kernels, what pooling leaves over."""
    units = Conv2D(17, 3, pool=2), Conv2D(66, 2), Conv2D(9, 1, 2), 20, 5
    check(Case(method, (9, 7, 3), units, 7, 5), n_jobs)


SHAPES = [  # H, W, C; units; batch size
    ((1, 1, 12), (Conv2D(7, 1), Conv2D(70, 1), 3), 5),
    ((28, 28, 1), (Conv2D(32, 5, pool=2), Conv2D(64, 5, pool=2), 10), 3),
    ((8, 6, 3), (Conv2D(5, 3, 2, True), 2), 2),  # steps of one image
    ((5, 5, 1), (Conv2D(1, 5), Conv2D(1, 5, valid=True), 2), 4),  # one position, one filter
    ((4, 9, 130), (Conv2D(65, 3), Conv2D(64, 3, pool=4), 3), 4),  # rows of many words
    ((9, 33, 64), (Conv2D(64, 3), Conv2D(128, 3, pool=3), 4), 2),  # rows of whole words
    ((10, 11, 2), (Conv2D(9, 1, 4), Conv2D(5, 2, 31), 4), 6),  # pixels that nothing is of
    ((31, 31, 1), (Conv2D(3, 31, 31), 2), 3),
    ((31, 32, 2), (Conv2D(3, 31, pool=15), Conv2D(2, 1, pool=2), 2), 2),
    ((2, 300, 3), (Conv2D(300, 2, pool=2), Conv2D(2, 1), 2), 2),
    ((64, 64, 1), (Conv2D(3, 3), Conv2D(4, 3, pool=2), 2), 9),  # more than 32768 rows
]


@THREADS
@pytest.mark.parametrize(
    "method", [Method(), Method(ternary=True, sign=True, adamax=True, dropout=40)], ids=str
)
@pytest.mark.parametrize(("shape", "units", "batch_size"), SHAPES)
def test_core_equals_reference_in_every_shape(isa, n_jobs, shape, units, batch_size, method):
    check(Case(method, shape, units, batch_size, 2**63 + 1), n_jobs)


def any_case(seed):
    """A net of random size and method; all is drawn from its seed."""
    rng = np.random.default_rng([18, seed])
    H, W = rng.integers(1, 14, 2).tolist()
    shape = H, W, int(rng.choice([1, 2, 3, 8, 13, 64]))
    units = []
    for _ in range(rng.integers(1, 4)):
        k, s = int(rng.integers(1, min(H, W, 7) + 1)), int(rng.integers(1, 4))
        valid, M = bool(rng.integers(2)), int(rng.choice([1, 2, 7, 16, 33, 64, 65]))
        H1, W1 = (reference.extent(n, k, s, valid)[0] for n in (H, W))
        p = int(rng.integers(1, min(H1, W1, 3) + 1))
        H, W = H1 // p, W1 // p
        units.append(Conv2D(M, k, s, valid, p))
    units += [int(rng.integers(1, 40))] * int(rng.integers(2)) + [int(rng.integers(2, 6))]
    method = METHODS[rng.integers(len(METHODS))]
    return Case(method, shape, tuple(units), int(rng.integers(2, 12)), seed)


@THREADS
@pytest.mark.parametrize("seed", range(60))
def test_core_equals_reference_in_any_net(isa, n_jobs, seed):
    check(any_case(seed), n_jobs)


@pytest.mark.parametrize("seed", range(8))
def test_training_goes_on_from_the_references_checkpoint(isa, seed):
    case = any_case(seed)
    _, steps, _, _ = expected(case)
    net = case.engine_net()
    net.restore(steps[2][1])
    for step in (3, 4):
        assert net.train_step(*case.rows(step), 3 + step) == steps[step][0]
        assert net.checkpoint() == steps[step][1]


def test_targets_equal_reference(isa):
    case = any_case(60)
    net, ref = case.engine_net(), case.reference_net()
    rng = np.random.default_rng(19)
    for step in range(4):
        x, _ = case.rows(step)
        targets = rng.integers(-32, 33, (len(x), case.units[-1]), dtype=np.int8)
        assert net.train_step_targets(x, targets, 3) == ref.train_step_targets(x, targets, 3)
        assert net.checkpoint() == ref.checkpoint()


def test_predictions_of_many_rows(isa):
    """More than the rows that are predicted at a time; rows do not depend on each other."""
    case = Case(Method(sign=True), (6, 7, 2), (Conv2D(9, 3, pool=2), Conv2D(5, 2), 3), 20, 4)
    model = expected(case)[2]
    x = np.random.default_rng(20).integers(0, 256, (600, 84), dtype=np.uint8)
    scores = _engine.predict_scores(model, x)
    assert np.array_equal(scores, reference.predict(model, x)[0])
    assert np.array_equal(_engine.predict_scores(model, x[599:]), scores[599:])


# What is allowed


def made(make):
    try:
        make()
    except (ValueError, AssertionError):
        return False
    return True


def test_the_core_takes_the_nets_that_the_reference_takes():
    """Of kernels, strides, pools and layers around their limits; about half are allowed."""
    rng, taken = np.random.default_rng(21), []
    for _ in range(400):
        shape = tuple(rng.integers(2, 9, 3).tolist())
        units = [2]
        for _ in range(rng.integers(1, 4)):
            k, s, p = rng.choice([1, 1, 2, 3], 3).tolist()
            units.insert(0, Conv2D(int(rng.integers(1, 4)), k, s, bool(rng.integers(2)), p))
        if rng.random() < 0.2:
            units.insert(int(rng.integers(len(units))), 3)
        case = Case(Method(), shape, tuple(units), 2, 1)
        taken.append(made(case.reference_net))
        assert made(case.engine_net) == taken[-1], case
    assert 0.3 < np.mean(taken) < 0.7


@pytest.mark.parametrize(
    ("shape", "units", "batch_size", "taken", "taken_exact"),
    [
        ((3, 3, 7281), (Conv2D(1, 3, valid=True), 2), 1, True, True),  # k·k·C
        ((3, 3, 7282), (Conv2D(1, 3, valid=True), 2), 1, False, False),  # and n_features
        ((4, 4, 4096), (Conv2D(1, 4, valid=True), 2), 1, True, True),
        ((6, 4, 2), (Conv2D(1820, 1), Conv2D(1, 6), 2), 1, False, False),  # k > W
        ((8, 8, 1), (Conv2D(1024, 8, 4, pool=2), Conv2D(9, 1), 2), 1, True, True),
        ((8, 8, 1), (Conv2D(1025, 8, 4, pool=2), Conv2D(9, 1), 2), 1, False, False),  # k·k·M
        ((8, 8, 1), (Conv2D(1024, 1), Conv2D(9, 8), 2), 1, True, True),
        ((8, 8, 1), (Conv2D(1025, 1), Conv2D(9, 8), 2), 1, False, False),  # k·k·C
        ((6, 4, 2), (Conv2D(2730, 1), 2), 1, True, True),
        ((6, 4, 2), (Conv2D(2731, 1), 2), 1, False, False),  # N of a fully connected layer
        ((64, 64, 1), (Conv2D(1, 1), 2), 8, True, True),
        ((64, 64, 1), (Conv2D(1, 1), 2), 9, True, False),  # R with the exact gradient
        ((64, 64, 1), (Conv2D(1, 1), 2), 2048, True, False),
        ((64, 64, 1), (Conv2D(1, 1), 2), 2049, False, False),  # R
        ((64, 64, 1), (Conv2D(1, 1, pool=2), 2), 2049, True, False),
        ((256, 128, 1), (Conv2D(512, 1), Conv2D(1, 1, pool=2), 2), 1, True, True),
        ((256, 128, 1), (Conv2D(513, 1), Conv2D(1, 1, pool=2), 2), 1, False, False),  # H2·W2·M
        ((256, 256, 1), (Conv2D(65536, 1), Conv2D(1, 1, 16), 2), 1, False, False),
        ((4095, 1, 2), (Conv2D(1, 1), 2), 1, True, True),
        ((4096, 1, 2), (Conv2D(1, 1), 2), 1, False, False),  # 12 bits in files
        ((1, 4095, 2), (Conv2D(1, 1), 2), 1, True, True),
        ((1, 4096, 2), (Conv2D(1, 1), 2), 1, False, False),
    ],
)
def test_limits(shape, units, batch_size, taken, taken_exact):
    for method, fits in ((Method(), taken), (Method(exact=True), taken_exact)):
        case = Case(method, shape, units, batch_size, 1)
        assert made(case.reference_net) == fits
        assert made(case.engine_net) == fits


def test_images_that_no_convolution_takes_change_nothing():
    sizes = 12, (_engine.Layer(5), _engine.Layer(2)), 4, 1, np.ones(2, dtype=int)
    plain, images = _engine.Net(*sizes), _engine.Net(*sizes, image=(2, 3))
    assert plain.checkpoint() == images.checkpoint()


def test_models_with_a_bit_of_their_heads_changed_are_read_as_by_the_reference(isa):
    """The core and the reference refuse the same files, and read the others alike."""
    # A filter of one pixel has the same shape with either padding, so one bit is free.
    case = Case(Method(), (6, 4, 2), (Conv2D(3, 3, pool=2), Conv2D(2, 1), 4, 3), 4, 1)
    model, read = expected(case)[2], 0
    for bit in range(8 * 24, 8 * (32 + 4 * 8)):
        changed = bytearray(model[:-4])
        changed[bit >> 3] ^= 1 << (bit & 7)
        data = bytes(changed) + struct.pack("<I", zlib.crc32(changed))
        try:
            n_features, _ = reference.read_model(data)
        except ValueError:
            with pytest.raises(ValueError, match="the model"):
                _engine.model_sizes(data)
            continue
        read += 1
        x = np.random.default_rng(bit).integers(0, 256, (5, n_features), dtype=np.uint8)
        assert np.array_equal(_engine.predict_scores(data, x), reference.predict(data, x)[0])
    assert read > 0


def test_checkpoints_of_other_convolutions_are_refused():
    case = Case(Method(), (6, 4, 2), (Conv2D(3, 3), Conv2D(2, 2), 3), 4, 1)
    net = case.engine_net()
    before = net.checkpoint()
    for units in (
        (Conv2D(3, 3, valid=False), Conv2D(2, 2, 1, True), 3),
        (Conv2D(3, 3), Conv2D(2, 2, 2), 3),
        (Conv2D(3, 3), Conv2D(2, 2, pool=2), 3),
        (Conv2D(3, 3, pool=2), Conv2D(2, 2), 3),
    ):
        other = Case(Method(), (6, 4, 2), units, 4, 1).engine_net().checkpoint()
        with pytest.raises(ValueError, match="checkpoint"):
            net.restore(other)
    turned = Case(Method(), (4, 6, 2), case.units, 4, 1).engine_net().checkpoint()
    with pytest.raises(ValueError, match="checkpoint"):
        net.restore(turned)
    assert net.checkpoint() == before


# Augmentation


def augmented(x, shape, seed, step, flip, crop):
    ffi, lib, out = _engine.ffi, _engine.lib, np.full_like(x, 77)
    how = ffi.new("binnet_augmentation *", [*shape, flip, crop])
    arrays = [ffi.from_buffer("uint8_t[]", array) for array in (x, out)]
    status = lib.binnet_augment(how, seed, step, arrays[0], len(x), arrays[1])
    return status, out


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("crop", [0, 1, 4, 127])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (32, 32, 3), (3, 200, 1)])
def test_augmentation_equals_reference(shape, crop, flip):
    x = np.random.default_rng(22).integers(0, 256, (50, math.prod(shape)), dtype=np.uint8)
    for step in (0, 1, 2**32 - 1):
        status, out = augmented(x, shape, golden.SEED, step, flip, crop)
        assert status == _engine.lib.BINNET_OK
        assert np.array_equal(out, reference.augment(x, shape, golden.SEED, step, flip, crop))


@pytest.mark.parametrize("how", [(0, 2, 3), (2, 0, 3), (2, 2, 0), (2, 2, 3, 2), (2, 2, 3, 0, 128)])
def test_augmentation_refuses(how):
    flip, crop = (*how[3:], 0, 0)[:2]
    x = np.zeros((3, 12), dtype=np.uint8)
    status, out = augmented(x, how[:3], 1, 1, flip, crop)
    assert status == _engine.lib.BINNET_ERR_ARGUMENT
    assert np.all(out == 77)
