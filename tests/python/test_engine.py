"""The C core against the independent reference and the golden values, through the Python engine."""

import hashlib
import os
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import product
from pathlib import Path

import golden
import numpy as np
import pytest
import reference
from threadpoolctl import threadpool_limits

from pybinnet import _engine

TESTS = Path(golden.__file__).parent


def method_of(reference_method):
    """The engine's method, whose fields are those of the reference's."""
    return _engine.Method(**asdict(reference_method))


BINARY = golden.RUNS["binary"]
GOLDEN = pytest.mark.parametrize("name", golden.RUNS)


def make_net(seed=golden.SEED, name="binary", n_jobs=None):
    """The net of a golden run."""
    run = golden.RUNS[name]
    return _engine.Net(
        run.n_features,
        tuple(_engine.Layer(*layer) for layer in run.layers),
        run.batch_size,
        seed,
        run.counts,
        method_of(run.method),
        n_jobs=n_jobs,
        image=run.shape[:2],
    )


SHAPES = [  # features, units, batch, seed, class counts
    (64, (32, 10), 32, 1, None),
    (7, (5, 3), 4, 2, None),
    (1, (1, 2), 3, 9, [3, 0]),
    (65, (200, 64, 130, 2), 129, 4, [10, 3]),
    (784, (130, 65, 10), 37, 2**64 - 1, None),
    (33, (17,), 20, 0, None),
]


METHODS = [
    reference.Method(*choices, dropout=dropout, input_dropout=dropout // 2)
    for choices in product((False, True), repeat=5)
    for dropout in (0, 77)
]


@pytest.mark.parametrize(("n_features", "units", "batch", "seed", "counts"), SHAPES)
def test_core_equals_reference(isa, n_features, units, batch, seed, counts):
    check_core(reference.Method(), n_features, units, batch, seed, counts)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_core_equals_reference_in_every_method(isa, method):
    check_core(method, 70, (65, 33, 5), 37, 6, None)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_few_rows_and_whole_words(isa, method):
    """Batches of one to three rows, fan-ins of 64 and above 256, other threads."""
    check_core(method, 300, (64, 130, 3), 3, 7, [3, 0, 1], n_jobs=2)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_targets_equal_reference_in_every_method(isa, method):
    net, ref = both_nets(method, 70, (65, 33, 5), 37, 8, None)
    random = np.random.default_rng(8)
    for step in range(8):
        x = random.integers(0, 256, (37 - step % 3, 70), dtype=np.uint8)
        targets = random.integers(-32, 33, (len(x), 5), dtype=np.int8)
        targets[:, :2] = np.where(targets[:, :2] < 0, -32, 32)  # classes beside numbers
        h = 3 + step // 2
        assert net.train_step_targets(x, targets, h) == ref.train_step_targets(x, targets, h)
        assert net.checkpoint() == ref.checkpoint(), f"after step {step + 1}"


@pytest.mark.parametrize("n_rows", [10, 11, 70_000, 2**32 - 1])
def test_shares_of_rows_equal_reference(isa, n_rows):
    """Counts of classes that do not exclude each other, up to all rows."""
    counts = [0, 1, n_rows // 3, n_rows - 1, n_rows]
    net = _engine.Net(9, _engine.dense(4, 5), 8, 3, np.array(counts), n_rows=n_rows)
    ref = reference.ReferenceNet(9, (4, 5), 8, 3, counts, n_rows=n_rows)
    assert net.checkpoint() == ref.checkpoint()
    assert ref.layers[-1].T[[0, -1]].tolist() == [2, 2]
    assert ref.layers[-1].T[2] > 40


def test_rows_that_are_the_sum_of_the_counts_change_nothing():
    sizes, counts = (9, _engine.dense(4, 3), 8, 3), np.array([3, 1, 4])
    files = [_engine.Net(*sizes, counts, n_rows=n_rows).checkpoint() for n_rows in (0, 8, 9)]
    assert files[0] == files[1] != files[2]


def test_more_rows_of_a_class_than_rows():
    with pytest.raises(ValueError, match="argument outside"):
        _engine.Net(9, _engine.dense(4, 3), 8, 3, np.array([1, 11, 2]), n_rows=10)


class TargetsNet:
    """A net that gets its labels as targets of one class against the rest."""

    def __init__(self, net, n_classes):
        self.net, self.eye = net, np.where(np.eye(n_classes, dtype=bool), 32, -32).astype(np.int8)

    def train_step(self, x, labels, rate_exponent):
        return self.net.train_step_targets(x, self.eye[labels], rate_exponent)

    def __getattr__(self, name):
        return getattr(self.net, name)


@GOLDEN
def test_targets_of_classes_train_to_the_golden_hash(isa, name):
    run = golden.RUNS[name]
    net = TargetsNet(make_net(name=name), run.units[-1])
    assert golden.digests(*run.make(net)) == golden.expected()[name]


def both_nets(method, n_features, units, batch, seed, counts, n_jobs=1):
    """The core's and the reference's net, which have begun as the same."""
    counts = np.ones(units[-1], dtype=int) if counts is None else np.array(counts)
    layers = _engine.dense(*units)
    net = _engine.Net(n_features, layers, batch, seed, counts, method_of(method), n_jobs)
    ref = reference.ReferenceNet(n_features, list(units), batch, seed, counts.tolist(), method)
    assert net.checkpoint() == ref.checkpoint()
    return net, ref


def check_core(method, n_features, units, batch, seed, counts, n_jobs=1):
    net, ref = both_nets(method, n_features, units, batch, seed, counts, n_jobs)
    random = np.random.default_rng(seed % 1000)
    for step in range(20):
        rows = batch if step % 3 else max(1, batch - step)
        x = random.integers(0, 256, (rows, n_features), dtype=np.uint8)
        x[:, ::3] *= x[:, ::3] > 200
        labels = random.integers(0, units[-1], rows, dtype=np.uint16)
        h = _engine.rate_exponent(3, 11, step, 20)
        assert h == reference.rate_exponent(3, 11, step, 20)
        assert net.train_step(x, labels, h) == ref.train_step(x, labels.astype(int), h)
        assert net.checkpoint() == ref.checkpoint(), f"after step {step + 1}"
    for _ in range(3):
        x = random.integers(0, 256, (batch, n_features), dtype=np.uint8)
        net.calibrate(x)
        ref.calibrate(x)
    model = net.model()
    assert model == ref.model()
    x = random.integers(0, 256, (300, n_features), dtype=np.uint8)
    scores, _ = reference.predict(model, x)
    assert np.array_equal(_engine.predict_scores(model, x), scores)


@GOLDEN
@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_golden_hash(isa, n_jobs, name):
    net = make_net(name=name, n_jobs=n_jobs)
    assert golden.digests(*golden.RUNS[name].make(net)) == golden.expected()[name]


@GOLDEN
def test_golden_hash_of_the_reference(name):
    run = golden.RUNS[name]
    assert golden.digests(*run.make(run.reference_net())) == golden.expected()[name]


def test_checkpoint_continues_to_the_same_bytes():
    def train(net, first, last):
        for step in range(first, last):
            net.train_step(*BINARY.batch(step), 3)
        return net

    whole = train(make_net(), 0, 6).checkpoint()
    resumed = make_net()
    resumed.restore(train(make_net(), 0, 3).checkpoint())
    assert train(resumed, 3, 6).checkpoint() == whole
    assert reference.ReferenceNet.restore(whole).checkpoint() == whole


def test_row_order_equals_reference():
    for n_rows in (0, 1, 2, 3, 64, 65, 1000):
        assert np.array_equal(_engine.row_order(7, 3, n_rows), reference.row_order(7, 3, n_rows))


def test_arena_is_all_the_memory_training_takes():
    """3 bytes a weight plus activations: latent int16, one bit, and no gradient buffer."""
    units, n_features, batch = (512, 512, 512, 10), 784, 128
    net = _engine.Net(n_features, _engine.dense(*units), batch, 0, np.ones(10, dtype=int))
    n_weights = sum(a * b for a, b in zip((n_features, *units[:-1]), units, strict=True))
    per_row = 2 * sum(units) + 2 * max(units) + max(units)  # ẑ and a; error; packed error
    activations = batch * per_row
    assert net.n_bytes <= 3 * n_weights + activations


PEAK = """
import resource, sys
import numpy as np
from pybinnet import _engine
units, n = (1024, 1024, 1024, 10), 784
x, y = np.ones((128, n), np.uint8), np.zeros(128, np.uint16)
small = _engine.Net(n, _engine.dense(8, 10), 128, 0, np.ones(10, int))
small.train_step(x, y, 3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
net = _engine.Net(n, _engine.dense(*units), 128, 0, np.ones(10, int))
for _ in range(3):
    net.train_step(x, y, 3)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) * 1024, net.n_bytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_peak_memory_agrees_with_the_arena():
    out = subprocess.run([sys.executable, "-c", PEAK], check=True, capture_output=True, text=True)
    measured, planned = map(int, out.stdout.split())
    assert measured <= planned + (1 << 20)


# What is refused


def test_unknown_isa_is_an_error(monkeypatch):
    monkeypatch.setenv("BINNET_ISA", "sse9")
    with pytest.raises(ValueError, match=r"BINNET_ISA='sse9' is unknown; use one of portable"):
        _engine.kernels()


def test_unsupported_isa_is_an_error(monkeypatch):
    monkeypatch.setenv("BINNET_ISA", "avx2" if "neon" in _engine.supported_isas() else "neon")
    with pytest.raises(ValueError, match="not supported by this processor"):
        _engine.kernels()


@pytest.mark.parametrize(
    ("n_features", "units", "message"),
    [
        (65537, (4, 2), "sums cannot overflow"),
        (4, (65537, 2), "sums cannot overflow"),
        (4, (4,) * 33, "sums cannot overflow"),
        (4, (4, 1), "argument outside"),
    ],
)
def test_sizes_beyond_the_bounds(n_features, units, message):
    with pytest.raises(ValueError, match=message):
        _engine.Net(n_features, _engine.dense(*units), 4, 0, np.ones(units[-1], dtype=int))


@pytest.fixture(scope="module")
def files():
    return BINARY.make(make_net())


def crc(body):
    return zlib.crc32(body).to_bytes(4, "little")


def newer(data):
    body = data[:8] + (2).to_bytes(4, "little") + data[12:-4]
    return body + crc(body)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data, other: data[:-1], "shorter or longer"),
        (lambda data, other: data + b"\0", "shorter or longer"),
        (lambda data, other: data[:100] + bytes([data[100] ^ 4]) + data[101:], "damaged"),
        (lambda data, other: newer(data), "format version"),
        (lambda data, other: other, "wanted kind"),
        (lambda data, other: b"", "wanted kind"),
    ],
    ids=["truncated", "extended", "flipped", "newer", "other kind", "empty"],
)
def test_damaged_files_are_refused(files, damage, message):
    checkpoint, model = files
    net = make_net()
    before = net.checkpoint()
    with pytest.raises(ValueError, match=f"the checkpoint: .*{message}"):
        net.restore(damage(checkpoint, model))
    assert net.checkpoint() == before
    with pytest.raises(ValueError, match=f"the model: .*{message}"):
        _engine.predict_scores(damage(model, checkpoint), BINARY.batch(0)[0])


@pytest.mark.parametrize("target", [33, -33, 127, -128])
def test_targets_beyond_the_margin_are_refused(target):
    net, x = make_net(), BINARY.batch(0)[0]
    targets = np.zeros((len(x), BINARY.units[-1]), dtype=np.int8)
    targets[-1, -1] = target
    before = net.checkpoint()
    with pytest.raises(ValueError, match="a target not from -32 to 32"):
        net.train_step_targets(x, targets, 3)
    assert net.checkpoint() == before


def test_checkpoint_of_another_net_is_refused(files):
    with pytest.raises(ValueError, match="another configuration"):
        make_net(seed=3).restore(files[0])


def test_every_flipped_bit_of_a_model_is_noticed(files):
    model = files[1]
    x = BINARY.batch(0)[0]
    for position in range(0, len(model), 97):
        for bit in range(8):
            bad = bytearray(model)
            bad[position] ^= 1 << bit
            with pytest.raises(ValueError, match="the model: "):
                _engine.predict_scores(bytes(bad), x)


def resealed(data, at, new):
    body = data[:at] + new + data[at + len(new) : -4]
    return body + crc(body)


def small_files(**method):
    """A net of 5-3-2, its checkpoint and its model, in which all paddings occur."""
    net = _engine.Net(5, _engine.dense(3, 2), 4, 1, np.ones(2), _engine.Method(**method))
    net.train_step(
        np.arange(20, dtype=np.uint8).reshape(4, 5), np.array([0, 1, 0, 1], np.uint16), 3
    )
    net.calibrate(np.arange(20, dtype=np.uint8).reshape(4, 5))
    return net, net.checkpoint(), net.model()


def test_models_that_their_method_does_not_allow():
    """Right checksum, wrong value: of all that ternary weights and sign activations bring."""
    _, _, model = small_files(ternary=True, sign=True)
    thresholds, low = 48, 48 + 12
    high, output = low + 3, low + 8  # two zero bytes fill the first layer's up
    planes = output + 16 + 4  # four zero bytes before words
    assert len(model) == planes + 2 * 2 * 8 + 4
    x = np.zeros((1, 5), dtype=np.uint8)
    for at, new in [
        (12, b"\x0d"),  # the solver is no matter of models
        (12, b"\x07"),
        (12, b"\x15"),
        (12, b"\x05\x01"),
        (12, b"\x05\x00\x01"),
        (12, b"\x25"),  # a bit without meaning
        (thresholds, (1277).to_bytes(4, "little")),
        (thresholds, (-1276).to_bytes(4, "little", signed=True)),
        (low, b"\x1f\x1f\x1f\x1f\x1f\x1e"),  # a bit in low alone
        (low, b"\x20"),  # pad bits
        (high, b"\x3f"),
        (high + 3, b"\1"),  # padding to 4,
        (output + 16, b"\1"),  # to 8,
        (planes + 7, b"\1"),  # of a row's word
    ]:
        with pytest.raises(ValueError, match="value that its format does not allow"):
            _engine.predict_scores(resealed(model, at, new), x)
    for theta in (1276, -1275):
        good = resealed(model, thresholds, theta.to_bytes(4, "little", signed=True))
        assert np.array_equal(_engine.predict_scores(good, x), reference.predict(good, x)[0])


def test_checkpoints_that_their_method_does_not_allow():
    net, checkpoint, _ = small_files(adamax=True)
    first, momenta = 48 + 2 * 16 + 4, 48 + 2 * 16 + 4 + 2 * (3 + 15)
    for at, new in [
        (48 + 8, b"\0\0\0\0"),  # an exponent, which AdaMax has not
        (first + 6, b"\x00\x80"),
        (momenta, b"\x00\x80"),
        (momenta + 34, b"\x00\x80"),
    ]:
        with pytest.raises(ValueError, match="value that its format does not allow"):
            net.restore(resealed(checkpoint, at, new))
    assert net.checkpoint() == checkpoint
    net.restore(resealed(checkpoint, momenta + 36, b"\x00\x80"))  # a scale may be the lowest
    with pytest.raises(ValueError, match="another configuration"):
        net.restore(resealed(checkpoint, 12, b"\x0c"))


def test_values_that_the_format_does_not_allow(files):
    """Right checksum, wrong value: a shift of 31, a set pad bit, a factor that there is not."""
    model = files[1]
    records = 32 + 3 * 8
    rows = records + 70 * 8
    for position, value in [(records + 6, 31), (rows + 12, 0xFF), (records + 7, 6)]:
        assert model[position] != value
        with pytest.raises(ValueError, match="value that its format does not allow"):
            _engine.predict_scores(resealed(model, position, bytes([value])), BINARY.batch(0)[0])


def with_appendix(data, appendix):
    return resealed(
        data[:-4] + appendix + bytes(4), 16, (len(data) + len(appendix)).to_bytes(8, "little")
    )


@GOLDEN
def test_appendix_is_ignored(isa, name):
    net, run = make_net(name=name), golden.RUNS[name]
    checkpoint, model = run.make(net)
    x = run.batch(0)[0]
    scores = _engine.predict_scores(model, x)
    for appendix in (bytes(4), b"\xff" * 1000):
        other = make_net(name=name)
        other.restore(with_appendix(checkpoint, appendix))
        assert other.checkpoint() == checkpoint
        assert np.array_equal(_engine.predict_scores(with_appendix(model, appendix), x), scores)


def test_appendix_of_what_is_no_multiple_of_four(files):
    net = make_net()
    before = net.checkpoint()
    for n in (1, 2, 3, 5):
        checkpoint, model = (with_appendix(data, bytes(n)) for data in files)
        with pytest.raises(ValueError, match="value that its format does not allow"):
            net.restore(checkpoint)
        with pytest.raises(ValueError, match="value that its format does not allow"):
            _engine.predict_scores(model, BINARY.batch(0)[0])
    assert net.checkpoint() == before


def test_wrong_width_at_predict(files):
    with pytest.raises(ValueError, match="takes 100 features, got 99"):
        _engine.predict_scores(files[1], np.zeros((1, 99), dtype=np.uint8))


def test_two_runs_are_equal_in_new_processes():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import golden; from pybinnet import _engine;"
        "run = golden.RUNS['binary']; layers = _engine.dense(*run.units);"
        "net = _engine.Net(run.n_features, layers, run.batch_size, 3, run.counts, n_jobs=2);"
        "sys.stdout.buffer.write(run.make(net)[0])"
    )
    command = [sys.executable, "-c", program, str(TESTS)]
    runs = [subprocess.run(command, check=True, capture_output=True).stdout for _ in range(2)]
    assert len({hashlib.sha256(run).digest() for run in runs}) == 1
    assert len(runs[0]) > 1000


# Images


def test_augmentation_equals_the_text():
    """docs/algorithm.md, section 12, by the reference's random bytes."""
    how = _engine.Augmentation(5, 7, 2, True, 3)
    x = np.random.default_rng(4).integers(0, 256, (60, 5, 7, 2), dtype=np.uint8)
    found = _engine.augment(how, 2**40 + 9, 11, x.reshape(60, -1)).reshape(x.shape)
    for b, random in enumerate(reference.random_bytes(2**40 + 9, 11, 10, 0, 60, 6)):
        image = x[b]
        wanted = image[:, ::-1] if random[0] < 128 else image
        wanted = np.pad(wanted, ((3, 3), (3, 3), (0, 0)))
        down, right = ((random[i] + 256 * random[i + 1]) * 7 >> 16 for i in (2, 4))
        assert (found[b] == wanted[down : down + 5, right : right + 7]).all()


@pytest.mark.parametrize("how", [(4, 4, 1, False, 0), (4, 5, 1, False, 128)])
def test_refused_augmentation(how):
    with pytest.raises(ValueError, match="Augmentation"):
        _engine.augment(_engine.Augmentation(*how), 0, 0, np.zeros((2, 20), np.uint8))


# Threads


def test_threads_stay_within_limits():
    assert _engine.n_threads(None) == 1
    assert _engine.n_threads(3) <= 3
    with threadpool_limits(1):
        assert _engine.n_threads(3) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_child_trains_on():
    """Threads do not survive a fork: the child must do the work alone, to the same bytes."""
    net = make_net(n_jobs=2)
    net.train_step(*BINARY.batch(0), 3)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        net.train_step(*BINARY.batch(1), 3)
        os.write(writer, hashlib.sha256(net.checkpoint()).digest())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    net.train_step(*BINARY.batch(1), 3)
    assert os.read(reader, 32) == hashlib.sha256(net.checkpoint()).digest()


def test_nets_train_at_the_same_time():
    """Eight Python threads, each with a net of two threads."""
    with ThreadPoolExecutor(8) as executor:
        runs = list(executor.map(lambda _: BINARY.make(make_net(n_jobs=2)), range(16)))
    assert {hashlib.sha256(checkpoint).hexdigest() for checkpoint, _ in runs} == {
        golden.expected()["binary"]["checkpoint_sha256"]
    }
