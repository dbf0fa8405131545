"""Tests of tests/reference.py itself: known answers, exact sums, and floats, which it has not."""

import math
import struct
import zlib

import numpy as np
import pytest
import reference as ref
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

BYTES = np.arange(256, dtype=np.int64)


# Section 1


def test_bitlen_shift_divide():
    v = np.arange(-1000, 1000, dtype=np.int64)
    assert ref.bitlen(np.abs(v)).tolist() == [abs(i).bit_length() for i in v.tolist()]
    for k in range(-4, 12):
        assert ref.shift(v, k).tolist() == [math.floor(i / 2**k + 0.5) for i in v.tolist()]
    for d in (1, 2, 3, 10, 128):
        assert ref.divide(v, d).tolist() == [(2 * i + d) // (2 * d) for i in v.tolist()]
    assert ref.shift(ref.integers([-3, -1, 1, 3]), 1).tolist() == [-1, 0, 1, 2]  # halves go up
    assert ref.divide(ref.integers([-3, -1, 1, 3]), 2).tolist() == [-1, 0, 1, 2]


@pytest.mark.parametrize("k", [-3, 0, 1, 5, 8, 12])
def test_stochastic_is_unbiased_and_a_neighbour(k):
    v = np.arange(-2000, 2001, 7, dtype=np.int64)[:, None]
    rounded = ref.stochastic(v, k, BYTES)
    assert np.array_equal(rounded.sum(axis=1), ref.shift(v[:, 0], k - 8))  # 256 · v / 2^k
    tolerance = 0 if k <= 8 else 1 / 512
    assert np.all(np.abs(rounded - v / 2.0**k) < 1 + tolerance)
    if k <= 0:
        assert np.all(rounded == v << -k)


def test_ap2_is_the_nearest_power_in_log_scale():
    v = np.arange(1, 40000, dtype=np.int64)
    exact = 2 ** np.round(np.log2(v)).astype(np.int64)
    assert np.array_equal(ref.ap2(v), exact)
    assert np.array_equal(ref.ap2(-v), -exact)
    assert ref.ap2(0) == 0
    first = {int(p): int(v[exact == p].min()) for p in (4, 8, 16, 32, 64, 128)}
    assert first == {4: 3, 8: 6, 16: 12, 32: 23, 64: 46, 128: 91}


def test_threefry_known_answers():
    """Random123, kat_vectors, threefry2x32 13 and 20 rounds."""
    ones = 0xFFFFFFFF
    for key, counter, expected in [
        ((0, 0), (0, 0), (0x9D1C5EC6, 0x8BD50731)),
        ((ones, ones), (ones, ones), (0xFD36D048, 0x2D17272C)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xBA3E4725, 0xF27D669E)),
    ]:
        assert tuple(int(word) for word in ref.threefry(key, counter)) == expected
    words = ref.threefry((0, 0), (0, 0), rounds=20)
    assert tuple(int(word) for word in words) == (0x6B200159, 0x99BA4EFE)


def test_random_bytes_are_the_words_in_order():
    seed, step, purpose, layer = 0x0123456789ABCDEF, 77, ref.ERROR, 2
    key = ref.threefry((0x89ABCDEF, 0x01234567), (step, purpose + 256 * layer))
    octets = ref.random_bytes(seed, step, purpose, layer, 3, 13)
    for row in range(3):
        expected = b"".join(struct.pack("<II", *ref.threefry(key, (c, row))) for c in range(2))
        assert bytes(octets[row].tolist()) == expected[:13]
    many = ref.random_bytes(5, 0, 0, 0, 100, 1000)
    assert abs(many.mean() - 127.5) < 1
    assert np.unique(many).size == 256


# Section 2


def test_initial_values():
    net = ref.ReferenceNet(50, [40, 4], 8, seed=9, class_counts=[10, 30, 60, 0])
    hidden, output = net.layers
    assert np.abs(hidden.W).max() <= 8192
    assert np.abs(hidden.W.mean()) < 375
    assert 4250 < hidden.W.std() < 5250  # uniform: 8192 / sqrt(3)
    assert np.abs(hidden.beta).max() <= 8192
    assert hidden.beta.std() > 3000
    assert not output.beta.any()
    assert np.all(hidden.T == 32)
    p = np.array([0.1, 0.3, 0.6, 0])
    assert output.T.tolist() == np.maximum(2, np.round(96 * np.sqrt(p * (1 - p)))).tolist()
    assert ref.class_targets([1, 1]).tolist() == [48, 48]
    assert np.all(np.abs(ref.class_targets([10**12, 3 * 10**12]) - 96 * math.sqrt(3) / 4) < 1)


def test_initial_values_are_the_bytes_of_their_streams():
    net = ref.ReferenceNet(5, [4, 3, 2], 8, seed=10)
    for index, layer in enumerate(net.layers):
        octets = ref.random_bytes(10, 0, 0, index, *(layer.W.shape * np.array([1, 2])))
        i16 = np.frombuffer(octets.astype(np.uint8).tobytes(), "<i2").reshape(layer.W.shape)
        assert np.array_equal(layer.W, i16 // 4)
        octets = ref.random_bytes(10, 0, 1, index, 1, 2 * len(layer.beta))
        i16 = np.frombuffer(octets.astype(np.uint8).tobytes(), "<i2")
        assert np.array_equal(layer.beta, i16 // 4 if index < 2 else 0 * i16)


def test_root_rounds_to_nearest():
    for v in range(3000):
        assert ref.root(v) == math.floor(math.sqrt(v) + 0.5)


# Section 3


def test_two_power_is_the_nearest_factor():
    rng = np.random.default_rng(0)
    s16 = np.append(np.arange(16, 3000), (16 * 2 ** (rng.random(4000) * 25)).astype(np.int64))
    factors = [1, 2] + [1 + 2.0**-i for i in range(1, 6)] + [2 - 2.0**-i for i in range(2, 5)]
    for T in (2, 3, 17, 29, 32, 48):
        j, sgn, k = ref.two_power(T, s16)
        used, exact = (2.0**j + sgn) / 2.0**k, T * 16.0 / s16
        octave = np.floor(np.log2(exact))
        candidates = np.array(factors) * 2.0 ** octave[:, None]
        nearest = np.abs(candidates - exact[:, None]).min(axis=1)
        floors = np.minimum(s16, 1 << 16) / (T * 2.0**24) + (s16 >= 1 << 16) * 2.0**-15 + 2.0**-15
        assert np.all(np.abs(used - exact) <= nearest + 2 * exact * floors)
        assert np.all(np.abs(used / exact - 1) < 0.1)  # half of the widest step, 5/4 to 3/2
        assert k.min() >= -8
        assert k.max() <= 30
        assert set(sgn * j) <= {0, 1, 2, 3, 4, 5, -3, -4, -5}


def test_forward_normalises_to_the_target():
    rng = np.random.default_rng(1)
    net = ref.ReferenceNet(60, [30, 3], 256, seed=4, class_counts=[200, 50, 6])
    hidden, output = ref.forward(net.layers, ref.integers(rng.integers(0, 256, (256, 60))))
    for trace, T in ((hidden, 32), (output, net.layers[1].T)):
        assert np.all(np.abs(trace.z_hat.mean(axis=0)) < 1)
        deviation = 1.25 * np.abs(trace.z_hat).mean(axis=0)
        assert np.all(np.abs(deviation / T - 1) < 0.15)
    assert np.array_equal(hidden.a, np.clip(hidden.y, 0, 127))
    assert np.array_equal(output.x, hidden.a)
    offset = np.floor(net.layers[0].beta / 256 + 0.5)
    assert np.all(hidden.y - hidden.z_hat == offset)
    assert offset.any()


def test_zero_weights_count_as_plus_one():
    net = ref.ReferenceNet(5, [3, 2], 4, seed=1)
    net.layers[0].W = ref.integers([[0, 1, -1, 32767, -32767]] * 3)
    x = np.arange(20, dtype=np.uint8).reshape(4, 5)
    net.calibrate(x)
    assert ref.forward(net.layers, ref.integers(x))[0].w[0].tolist() == [1, 1, -1, 1, -1]
    assert ref.read_model(net.model())[1][0].bits[0].tolist() == [True, True, False, True, False]


# Sections 4 to 7


def test_squared_hinge():
    y = ref.integers([[40, -40, 0], [31, 10, -31]])
    loss, g = ref.squared_hinge(y, ref.integers([0, 1]))
    assert loss == 32**2 + 63**2 + 22**2 + 1
    assert g.tolist() == [[0, 0, 32 * 64], [63 * 64, -22 * 64, 64]]


def norm_gradient(z, g, T):
    """Central differences, in floats, of Σ g · ẑ(z), ẑ = T (z - mean) / s; in units of T / s."""

    def loss(z):
        c = z - z.mean()
        return (g * T * c / (1.25 * np.abs(c).mean())).sum()

    s = 1.25 * np.abs(z - z.mean()).mean()
    unit = np.eye(len(z)) * s * 1e-5
    return np.array([(loss(z + d) - loss(z - d)) / 2e-5 / T for d in unit])


@pytest.mark.parametrize("T", [8, 16, 32])
def test_norm_backward_is_the_derivative_of_the_l1_norm(T):
    """With ẑ all powers of two nothing is approximated: only the roundings of q and mean remain."""
    rng = np.random.default_rng(2)
    z_hat = ref.integers([T, -T] * 3 + [T // 2, -T // 2] * 2)  # mean 0, 5/4 · mean abs(ẑ) = T
    z_hat = rng.permutation(np.tile(z_hat, 6))
    for trial in range(5):
        g = rng.integers(-3000, 3000, z_hat.shape) + 2000 * trial * z_hat // T
        d_beta, e = ref.norm_backward(g[:, None], z_hat[:, None], ref.integers([T]))
        assert d_beta == g.sum()
        assert np.abs(e[:, 0] - norm_gradient(1000.0 * z_hat, g, T)).max() <= 1.5


def test_norm_backward_with_ap2_is_close_and_both_terms_matter():
    rng = np.random.default_rng(3)
    z = rng.normal(size=200) * 3000 + 500
    z_hat = np.round(32 * (z - z.mean()) / (1.25 * np.abs(z - z.mean()).mean())).astype(np.int64)
    g = rng.integers(-2000, 2000, z.shape) + 50 * z_hat + 1000
    exact = norm_gradient(z, g, 32)
    _, e = ref.norm_backward(g[:, None], z_hat[:, None], ref.integers([32]))

    def distance(v):
        return np.linalg.norm(v - exact) / np.linalg.norm(exact)

    assert distance(e[:, 0]) < 0.2
    assert distance(g - g.mean()) > 0.3
    assert distance(g) > 0.5


def test_quantised_error_is_unbiased_and_uses_its_range():
    rng = np.random.default_rng(4)
    e = rng.integers(-9000, 9000, (32, 12)) >> rng.integers(0, 6, 12)
    scale = ref.two_power(32, rng.integers(200, 400000, 12))
    j, sgn, k = scale
    exact = e * (2.0**j + sgn) / 2.0**k
    samples = [ref.quantise_error(e, scale, np.full(e.shape, r)) for r in range(256)]
    mean = np.mean(samples, axis=0)
    unit = 2.0 ** (np.floor(np.log2(np.abs(exact).max())) + 1 - 7)
    assert np.all(np.abs(mean - exact / unit)[np.abs(exact / unit) < 126] <= 1 / 256)
    assert 63 <= np.abs(samples).max() <= 127
    assert not ref.quantise_error(0 * e, scale, np.full(e.shape, 255)).any()


def test_weights_backward():
    rng = np.random.default_rng(5)
    for M in (3, 10, 64, 258, 300):
        delta, w = rng.integers(-127, 128, (9, M)), rng.integers(0, 2, (M, 7)) * 2 - 1
        exact = (delta @ w) / 2.0 ** ((127 * M).bit_length() - 15)
        assert np.abs(ref.weights_backward(delta, w) - exact).max() <= 0.5
    full = ref.weights_backward(np.full((1, 258), 127), np.full((258, 1), 1))
    assert full.tolist() == [[32766]]


def test_random_bits_have_the_expectation_of_the_text():
    x, a = BYTES, np.arange(128, dtype=np.int64)
    for bits, ones in (
        (ref.feature_bits(x[:, None], BYTES), x),  # x / 256
        (ref.activation_bits(a[:, None], BYTES), np.minimum(256, 8 * a)),  # min(1, a / 32)
    ):
        assert bits.shape == (len(ones), 256)
        assert set(bits.ravel().tolist()) == {0, 1}
        assert bits.sum(axis=1).tolist() == ones.tolist()


def test_update_lags_one_step_and_is_clipped():
    net = ref.ReferenceNet(8, [3, 2], 4, seed=1)
    layer = net.layers[0]
    before = layer.W = layer.W // 4
    G = np.full((3, 8), 1000, dtype=np.int64)
    net._update(0, G, np.zeros(3, dtype=np.int64), 3)
    assert np.array_equal(layer.W, before)
    assert (layer.e_W, layer.e_beta) == (9, -1)
    net._update(0, 7 * G, np.zeros(3, dtype=np.int64), 3)
    assert np.array_equal(layer.W, before - (1 << 13))
    assert layer.e_W == 12
    net._update(0, 0 * G, np.zeros(3, dtype=np.int64), 3)
    assert np.array_equal(layer.W, before - (1 << 13))
    assert layer.e_W == 12


def spied(monkeypatch, name):
    """The arguments of every later call of one function of the reference."""
    calls, function = [], getattr(ref, name)

    def spy(*arguments):
        calls.append(arguments)
        return function(*arguments)

    monkeypatch.setattr(ref, name, spy)
    return calls


def step_of_three_layers(net):
    rng = np.random.default_rng(6)
    x = rng.integers(0, 256, (16, 7), dtype=np.uint8)
    net.train_step(x, rng.integers(0, 2, 16), 3)


def test_streams_of_a_step(monkeypatch):
    net = ref.ReferenceNet(7, [5, 4, 2], 16, seed=1)
    step_of_three_layers(net)
    calls = spied(monkeypatch, "random_bytes")
    step_of_three_layers(net)
    expected = set()
    for index, (N, M) in enumerate(((7, 5), (5, 4), (4, 2))):
        expected |= {(1, 1, 2, index, 16, N), (1, 1, 3, index, 16, M)}
        expected |= {(1, 1, 4, index, M, N), (1, 1, 5, index, 1, M)}
    assert set(calls) == expected
    assert len(calls) == len(expected)


def test_outer_product_of_a_step(monkeypatch):
    """G, which `exponent` sees, from δ and the random bytes; bits of features in layer 0 only."""
    net = ref.ReferenceNet(7, [5, 4, 2], 16, seed=1)
    step_of_three_layers(net)
    traces, forward = [], ref.forward
    monkeypatch.setattr(ref, "forward", lambda *a: traces.extend(forward(*a)) or traces)
    quantise = ref.quantise_error
    errors, exponents = spied(monkeypatch, "quantise_error"), spied(monkeypatch, "exponent")
    step_of_three_layers(net)
    for index, arguments, (G, _) in zip((2, 1, 0), errors, exponents[::2], strict=True):
        delta, x = quantise(*arguments), traces[index].x
        r = ref.random_bytes(1, 1, 2, index, *x.shape)
        s = (r if index == 0 else r % 32) < x
        assert np.array_equal(G, np.einsum("bm,bn->mn", delta, s))
        assert G.any()


def test_a_short_batch_counts_its_own_rows():
    large = ref.ReferenceNet(7, [5, 4, 2], 128, seed=1)
    exact = ref.ReferenceNet(7, [5, 4, 2], 16, seed=1)
    for _ in range(3):
        step_of_three_layers(large)
        step_of_three_layers(exact)
    for one, other in zip(large.layers, exact.layers, strict=True):
        assert np.array_equal(one.W, other.W)
        assert np.array_equal(one.beta, other.beta)
    small = ref.ReferenceNet(7, [5, 4, 2], 15, seed=1)
    with pytest.raises(AssertionError):
        step_of_three_layers(small)


def test_error_is_zero_outside_the_linear_range(monkeypatch):
    net = ref.ReferenceNet(7, [50, 50, 2], 16, seed=1)
    net.layers[0].beta += 16384  # 2 sigma up: some activations saturate
    calls, forward = spied(monkeypatch, "norm_backward"), ref.forward
    traces = []
    monkeypatch.setattr(ref, "forward", lambda *a: traces.extend(forward(*a)) or traces)
    step_of_three_layers(net)
    for trace, (g, z_hat, _) in zip(traces[:2], calls[:0:-1], strict=True):
        assert trace.z_hat is z_hat
        assert g.any()
        assert not g[(trace.y <= 0) | (trace.y >= 127)].any()
    assert (traces[0].y >= 127).sum() > 20
    assert (traces[0].y <= 0).sum() > 5


# Section 8


def test_row_order():
    orders = [ref.row_order(seed, epoch, 257).tolist() for seed, epoch in ((1, 0), (1, 1), (2, 0))]
    assert all(sorted(order) == list(range(257)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert ref.row_order(1, 0, 1).tolist() == [0]
    assert ref.row_order(1, 0, 0).tolist() == []
    counts = np.zeros((5, 5))
    for epoch in range(1000):
        counts[np.arange(5), ref.row_order(3, epoch, 5)] += 1
    assert ((counts - 200) ** 2 / 200).sum() < 45  # chi squared, 16 degrees of freedom: p = 0.0001


def test_rate_exponent():
    schedule = [ref.rate_exponent(3, 11, t, 900) for t in range(901)]
    assert schedule[:900] == [3 + t // 100 for t in range(900)]
    assert schedule[900] == 11
    assert ref.rate_exponent(5, 5, 0, 1) == 5


# The whole


def digits():
    x, y = load_digits(return_X_y=True)
    x = (x * 15).astype(np.uint8)
    return train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)


def train(net, x, y, epochs, calibration=8):
    steps, losses = len(x) // net.batch_size, []
    for epoch in range(epochs):
        order = ref.row_order(net.seed, epoch, len(x))[: steps * net.batch_size]
        for rows in order.reshape(steps, -1):
            h = ref.rate_exponent(3, 10, net.step, steps * epochs)
            losses.append(net.train_step(x[rows], y[rows], h))
    for rows in order.reshape(steps, -1)[:calibration]:
        net.calibrate(x[rows])
    return losses


def test_learns_digits_and_survives_a_checkpoint():
    x, x_test, y, y_test = digits()
    net = ref.ReferenceNet(64, [64, 10], 64, seed=1, class_counts=np.bincount(y))
    losses = train(net, x, y, 20)
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) / 10
    scores, classes = ref.predict(net.model(), x_test)
    assert scores.dtype == np.int32
    assert scores.shape == (len(x_test), 10)
    assert np.mean(classes != y_test) < 0.06

    other = ref.ReferenceNet.restore(net.checkpoint())
    assert (other.seed, other.step) == (1, 20 * (len(x) // 64))
    for rows in (slice(0, 64), slice(64, 128)):
        assert net.train_step(x[rows], y[rows], 5) == other.train_step(x[rows], y[rows], 5)
    assert net.checkpoint() == other.checkpoint()


def test_deployed_scores_agree_with_the_batch_they_were_calibrated_on():
    x, _, y, _ = digits()
    net = ref.ReferenceNet(64, [32, 10], 128, seed=3)
    train(net, x, y, 2, calibration=0)
    net.calibrate(x[:128])
    y_batch = ref.forward(net.layers, ref.integers(x[:128]))[-1].y
    scores, _ = ref.predict(net.model(), x[:128])
    inside = np.abs(y_batch) < 120
    assert np.all(np.abs(scores / 256 - y_batch)[inside] <= 1.01)


def test_one_layer_learns_and_a_step_discards_calibration():
    x, x_test, y, y_test = digits()
    net = ref.ReferenceNet(64, [10], 64, seed=2)
    train(net, x, y, 6)
    assert np.mean(ref.predict(net.model(), x_test)[1] != y_test) < 0.15
    net.train_step(x[:64], y[:64], 4)
    with pytest.raises(AssertionError):
        net.model()


def one_layer(mean, bias, term, k, fan_in):
    """A deployed model of two equal units with all weights +1."""
    mean, beta, j, sgn, k = (
        ref.integers([v, v]) for v in (mean, bias, abs(term), np.sign(term), k)
    )
    bits = np.ones((2, fan_in), dtype=bool)
    return ref.write_model(fan_in, [ref.Deployed(mean, beta, (j, sgn, k), bits)])


@pytest.mark.parametrize(
    ("mean", "bias", "term", "k", "score"),
    [
        (0, 0, 0, 8, 27),
        (7, -9, 0, 8, 11),
        (0, 0, 1, 10, 20),  # 81 / 4
        (0, 0, -3, 9, 95),  # 7 · 27 / 2, a half, up
        (0, 5, 5, -1, 33 * 27 * 512 + 5),
        (-765, 24576, 5, -8, (1 << 30) + 24576),  # 33 · 792 > 2^14: saturates
        (765, -24576, 5, -8, -(1 << 30) - 24576),
    ],
)
def test_deployed_score(mean, bias, term, k, score):
    model = one_layer(mean, bias, term, k, 3)
    scores, classes = ref.predict(model, np.full((1, 3), 9, dtype=np.uint8))
    assert scores.tolist() == [[score, score]]
    assert classes.tolist() == [0]  # the first of equals


def test_deployed_score_at_the_bounds_of_the_text():
    model = one_layer(-255 * 65536, 0, 5, 8, 65536)
    scores, _ = ref.predict(model, np.full((1, 65536), 255, dtype=np.uint8))
    assert scores.tolist() == [[33 * 510 * 65536] * 2]  # more than 2^30: nothing is shifted left


# Files


def small_files():
    net = ref.ReferenceNet(5, [3, 2], 4, seed=0xFEDCBA9876543210)
    x = np.arange(20, dtype=np.uint8).reshape(4, 5) * 12
    net.train_step(x, [0, 1, 1, 0], 3)
    net.calibrate(x)
    return net, net.checkpoint(), net.model()


def resealed(data):
    return data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))


def test_checkpoint_layout():
    net, data, _ = small_files()
    head = struct.unpack_from("<8sIIQQIIII", data)
    assert head == (b"BINNETCK", 1, 0, len(data), 0xFEDCBA9876543210, 1, 4, 5, 2)
    assert struct.unpack_from("<IIii", data, 48) == (1, 3, net.layers[0].e_W, net.layers[0].e_beta)
    assert list(data[80:84]) == [48, 48, 0, 0]
    assert list(struct.unpack_from("<3h", data, 84)) == net.layers[0].beta.tolist()
    assert list(struct.unpack_from("<15h", data, 90)) == net.layers[0].W.ravel().tolist()
    assert len(data) == 84 + 2 * (3 + 15) + 2 * (2 + 6) + 4
    assert resealed(data) == data


def test_model_layout():
    net, _, data = small_files()
    head = struct.unpack_from("<8sIIQIIIIII", data)
    assert head == (b"BINNETMD", 1, 0, len(data), 5, 2, 1, 3, 1, 2)
    bias = [struct.unpack_from("<ihbb", data, 48 + 8 * m)[1] for m in range(3)]
    assert bias == net.layers[0].beta.tolist()
    for m in range(3):
        bits = [data[72 + m] >> i & 1 for i in range(8)]
        assert bits == (net.layers[0].W[m] >= 0).astype(int).tolist() + [0, 0, 0]
    assert data[75] == 0
    assert len(data) == 76 + 16 + 4 + 4
    assert resealed(data) == data


def test_readers_refuse():
    _, checkpoint, model = small_files()
    for data, read in ((checkpoint, ref.ReferenceNet.restore), (model, ref.read_model)):
        read(data)
        for at in range(len(data)):
            with pytest.raises(ValueError, match="not a valid file"):
                read(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            with pytest.raises(ValueError, match="not a valid file"):
                read(data[:at])
        with pytest.raises(ValueError, match="not a valid file"):
            read(data + bytes(4))
    for data, read, at, byte in (
        (checkpoint, ref.ReferenceNet.restore, 56, 30),  # e_W
        (checkpoint, ref.ReferenceNet.restore, 80, 49),  # T
        (checkpoint, ref.ReferenceNet.restore, 83, 1),  # padding
        (model, ref.read_model, 54, 31),  # k
        (model, ref.read_model, 55, 6),  # term
        (model, ref.read_model, 72, 0xFF),  # pad bits
        (model, ref.read_model, 75, 1),  # padding
        (model, ref.read_model, 36, 0),  # units
    ):
        with pytest.raises(ValueError, match="not a valid file"):
            read(resealed(data[:at] + bytes([byte]) + data[at + 1 :]))
