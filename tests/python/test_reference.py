"""Tests of tests/reference.py itself: known answers, exact sums, and floats, which it has not."""

import math
import struct
import zlib
from dataclasses import replace

import golden
import numpy as np
import pytest
import reference as ref
from reference import Method
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

BYTES = np.arange(256, dtype=np.int64)
ALL_METHODS = pytest.mark.parametrize("method", golden.METHODS.values(), ids=golden.METHODS)


def test_method_in_files():
    for word, method in (
        (0, Method()),
        (1, Method(ternary=True)),
        (2, Method(stochastic=True)),
        (4, Method(sign=True)),
        (8, Method(adamax=True)),
        (16, Method(exact=True)),
        (255 << 8, Method(dropout=255)),
        (200 << 16, Method(input_dropout=200)),
        (15 << 24, Method(decay=15)),
        (3 << 24 | 50 << 16 | 77 << 8 | 31, golden.METHODS["all"]),
    ):
        assert (method.to_u32(), Method.from_u32(word)) == (word, method)
    for bit in (5, 6, 7, 28, 31):
        with pytest.raises(ValueError, match="not a valid file"):
            Method.from_u32(1 << bit)
    assert golden.METHODS["all"].of_model() == Method(ternary=True, sign=True)


def spied(monkeypatch, name):
    """The arguments of every later call of one function of the reference."""
    calls, function = [], getattr(ref, name)

    def spy(*arguments):
        calls.append(arguments)
        return function(*arguments)

    monkeypatch.setattr(ref, name, spy)
    return calls


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
    assert ref.class_targets([0, 5, 10, 18, 20], 20).tolist() == [2, 42, 48, 29, 2]
    with pytest.raises(AssertionError):
        ref.class_targets([1, 21], 20)


def test_initial_values_are_the_bytes_of_their_streams():
    net = ref.ReferenceNet(5, [4, 3, 2], 8, seed=10)
    for index, layer in enumerate(net.layers):
        octets = ref.random_bytes(10, 0, 0, index, *(layer.W.shape * np.array([1, 2])))
        i16 = np.frombuffer(octets.astype(np.uint8).tobytes(), "<i2").reshape(layer.W.shape)
        assert np.array_equal(layer.W, i16 // 4)
        octets = ref.random_bytes(10, 0, 1, index, 1, 2 * len(layer.beta))
        i16 = np.frombuffer(octets.astype(np.uint8).tobytes(), "<i2")
        assert np.array_equal(layer.beta, i16 // 4 if index < 2 else 0 * i16)


def test_initial_ternary_weights_have_the_whole_range():
    net = ref.ReferenceNet(300, [250, 2], 8, seed=10, method=Method(ternary=True))
    octets = ref.random_bytes(10, 0, 0, 0, 250, 600).astype(np.uint8)
    i16 = np.frombuffer(octets.tobytes(), "<i2").reshape(250, 300).astype(np.int64)
    assert i16.min() == -32768
    assert np.array_equal(net.layers[0].W, np.where(i16 == -32768, -32767, i16))
    assert np.array_equal(net.layers[0].beta, ref.ReferenceNet(300, [250, 2], 8, 10).layers[0].beta)
    assert abs(np.mean(ref.deterministic_weights(net.layers[0].W, True) == 0) - 1 / 3) < 0.01


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
    assert ref.read_model(net.model())[1][0].w[0].tolist() == [1, 1, -1, 1, -1]


def test_ternary_thresholds():
    W = [0, 1, 10922, 10923, 32767, -1, -10922, -10923, -32767]
    w = ref.deterministic_weights(ref.integers(W), ternary=True)
    assert w.tolist() == [0, 0, 0, 1, 1, 0, 0, -1, -1]


@pytest.mark.parametrize("ternary", [False, True])
def test_stochastic_weights_have_the_expectation_of_the_latent_ones(ternary):
    W = np.append(np.arange(-32767, 32768, 61), [-1, 0, 1, 32767])
    w = ref.stochastic_weights(W[:, None], ternary, BYTES)
    assert np.all(np.abs(w.mean(axis=1) - W / 32768) <= (1 / 256 if ternary else 1 / 128))
    assert np.all(w[W == 32767] == 1)
    assert np.all(w[W == -32767] == -1)
    for one, row in zip(W, w, strict=True):
        possible = {0, np.sign(one)} if ternary else {-1, 1}
        assert set(row.tolist()) <= possible
    mirrored = ref.stochastic_weights(-W[:, None], ternary, BYTES)
    if ternary:
        assert np.array_equal(mirrored, -w)


def traces_of(monkeypatch):
    """The traces of every later forward pass."""
    traces, forward = [], ref.forward

    def spy(*arguments):
        traces.append(forward(*arguments))
        return traces[-1]

    monkeypatch.setattr(ref, "forward", spy)
    return traces


@pytest.mark.parametrize("ternary", [False, True])
def test_stochastic_weights_of_a_step(monkeypatch, ternary):
    """They are new in each step, the same forward and backward, and not those of calibration."""
    method = Method(ternary, stochastic=True)
    net = ref.ReferenceNet(7, [50, 40, 2], 16, seed=1, method=method)
    traces, backward = traces_of(monkeypatch), spied(monkeypatch, "weights_backward")
    for step in range(2):
        latent = [layer.W for layer in net.layers]
        step_of_three_layers(net)
        for index, (W, trace) in enumerate(zip(latent, traces[step], strict=True)):
            r = ref.random_bytes(1, step, 7, index, *W.shape)
            assert np.array_equal(trace.w, ref.stochastic_weights(W, ternary, r))
            if index > 0:
                delta, w = backward[2 * step + 2 - index]
                assert w is trace.w
                assert delta.shape == (16, len(W))
    assert np.mean(traces[0][1].w != traces[1][1].w) > 0.2
    net.calibrate(np.arange(112, dtype=np.uint8).reshape(16, 7))
    for layer, trace, deployed in zip(
        net.layers, traces[2], ref.read_model(net.model())[1], strict=True
    ):
        big = np.abs(layer.W) > 10922 if ternary else True
        assert np.array_equal(trace.w, np.where(layer.W < 0, -1, 1) * big)
        assert np.array_equal(deployed.w, trace.w)


def test_sign_activations():
    y = ref.integers([-300, -1, 0, 1, 300])
    assert ref.activation(y, sign=True).tolist() == [-1, -1, 1, 1, 1]
    assert ref.activation(y, sign=False).tolist() == [0, 0, 0, 1, 127]


@pytest.mark.parametrize("sign", [False, True])
def test_dropout_of_a_step(monkeypatch, sign):
    """Its share, its bytes, and its zeros: forward, backward, and in the outer product."""
    method = Method(sign=sign, dropout=77)
    net = ref.ReferenceNet(7, [200, 300, 2], 16, seed=1, method=method)
    traces, errors = traces_of(monkeypatch), spied(monkeypatch, "norm_backward")
    step_of_three_layers(net)
    step_of_three_layers(net)
    left_out = []
    for step in range(2):
        for index in range(2):
            trace, g = traces[step][index], errors[3 * step + 2 - index][0]
            out = ref.random_bytes(1, step, 8, index, *trace.y.shape) < 77
            left_out.append(out)
            assert abs(out.mean() - 77 / 256) < 0.035  # 4 standard errors
            assert not trace.a[out].any()
            assert np.array_equal(trace.a[~out], ref.activation(trace.y, sign)[~out])
            assert not g[out].any()
            assert g[~out].any()
            if sign:
                assert np.array_equal(trace.a == 0, out)
            following = traces[step][index + 1]
            assert following.x is trace.a
            assert not net._outer_input(index + 1, following.x)[out].any()
    for one, other in ((0, 2), (1, 3)):
        assert (left_out[one] != left_out[other]).mean() > 0.3  # 0.42 if independent
    assert np.array_equal(traces[0][2].a, ref.activation(traces[0][2].y, sign))  # of the output
    net.calibrate(np.arange(112, dtype=np.uint8).reshape(16, 7))
    for trace in traces[2]:
        assert np.array_equal(trace.a, ref.activation(trace.y, sign))


# Sections 4 to 7


def test_squared_hinge():
    y = ref.integers([[40, -40, 0], [31, 10, -31]])
    loss, g = ref.squared_hinge(y, ref.integers([0, 1]))
    assert loss == 32**2 + 63**2 + 22**2 + 1
    assert g.tolist() == [[0, 0, 32 * 64], [63 * 64, -22 * 64, 64]]


def test_loss_of_targets():
    y = ref.integers([[40, -40, 40, -40, 33], [31, 10, -31, 0, -127]])
    t = ref.integers([[32, -32, 31, -31, -32], [32, 10, 5, -7, 32]])
    loss, g = ref.loss_of_targets(y, t)
    assert loss == 9**2 + 9**2 + 65**2 + 1 + 36**2 + 7**2 + 159**2
    d = [[0, 0, -9, 9, -65], [1, 0, 36, -7, 159]]
    assert g.tolist() == [[-64 * v for v in row] for row in d]


def test_targets_of_classes_are_the_squared_hinge():
    y = np.arange(-255, 256, dtype=np.int64)[:, None].repeat(2, axis=1)
    for label in (0, 1):
        t = np.where(np.arange(2) == label, 32, -32)[None, :].repeat(len(y), axis=0)
        for row in range(len(y)):
            one = slice(row, row + 1)
            loss, g = ref.loss_of_targets(y[one], t[one])
            expected = ref.squared_hinge(y[one], ref.integers([label]))
            assert (loss, g.tolist()) == (expected[0], expected[1].tolist())


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
    E = ref.shared_exponent(e, scale)
    samples = [ref.quantise_error(e, scale, E, np.full(e.shape, r)) for r in range(256)]
    mean = np.mean(samples, axis=0)
    unit = 2.0 ** (np.floor(np.log2(np.abs(exact).max())) + 1 - 7)
    assert unit == 2.0 ** (E - 7)
    assert np.all(np.abs(mean - exact / unit)[np.abs(exact / unit) < 126] <= 1 / 256)
    assert 63 <= np.abs(samples).max() <= 127
    assert ref.shared_exponent(0 * e, scale) == 7
    assert not ref.quantise_error(0 * e, scale, 7, np.full(e.shape, 255)).any()


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
    net._sgd(0, G, np.zeros(3, dtype=np.int64), 3)
    assert np.array_equal(layer.W, before)
    assert (layer.e_W, layer.e_beta) == (9, -1)
    net._sgd(0, 7 * G, np.zeros(3, dtype=np.int64), 3)
    assert np.array_equal(layer.W, before - (1 << 13))
    assert layer.e_W == 12
    net._sgd(0, 0 * G, np.zeros(3, dtype=np.int64), 3)
    assert np.array_equal(layer.W, before - (1 << 13))
    assert layer.e_W == 12


def test_weights_decay_by_a_64th_and_keep_their_signs():
    W = np.arange(-32767, 32768, 2).reshape(2, -1)
    for h, decay in ((0, 1), (2, 4), (6, 3), (10, 4), (15, 15)):
        net = ref.ReferenceNet(W.shape[1], [2], 4, seed=1, method=Method(decay=decay))
        layer, lost = net.layers[0], np.zeros(W.shape)
        layer.W = W
        between = 2 ** max(0, h + decay - 6)
        for net.step in sorted({0, 1, between - 1, between, 5 * between}):
            before = layer.W
            net._decay(0, h)
            if net.step % between:
                assert layer.W is before
                continue
            lost = before - layer.W
            assert np.array_equal(lost, np.floor(before / 64 + 0.5))
            assert np.array_equal(layer.W >= 0, W >= 0)
        assert np.any(lost)


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


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("sign", [False, True])
def test_outer_product_of_a_step(monkeypatch, sign, exact):
    """G, which `exponent` sees, from δ and what the layer input counts as."""
    net = ref.ReferenceNet(7, [5, 4, 2], 16, seed=1, method=Method(sign=sign, exact=exact))
    step_of_three_layers(net)
    traces, quantise = traces_of(monkeypatch), ref.quantise_error
    errors, exponents = spied(monkeypatch, "quantise_error"), spied(monkeypatch, "exponent")
    step_of_three_layers(net)
    for index, arguments, (G, _) in zip((2, 1, 0), errors, exponents[::2], strict=True):
        delta, x = quantise(*arguments), traces[0][index].x
        r = ref.random_bytes(1, 1, 2, index, *x.shape)
        bits = (r if index == 0 else r % 32) < x
        s = x if exact or (sign and index > 0) else bits
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
    calls, traces = spied(monkeypatch, "norm_backward"), traces_of(monkeypatch)
    step_of_three_layers(net)
    for trace, (g, z_hat, _) in zip(traces[0][:2], calls[:0:-1], strict=True):
        assert trace.z_hat is z_hat
        assert g.any()
        assert not g[(trace.y <= 0) | (trace.y >= 127)].any()
    assert (traces[0][0].y >= 127).sum() > 20
    assert (traces[0][0].y <= 0).sum() > 5


def test_straight_through_estimator(monkeypatch):
    """Errors pass a sign exactly where abs(y) ≤ 32, whichever the sign is."""
    net = ref.ReferenceNet(7, [400, 400, 2], 16, seed=1, method=Method(sign=True))
    calls, traces = spied(monkeypatch, "norm_backward"), traces_of(monkeypatch)
    backward, function = spied(monkeypatch, "weights_backward"), ref.weights_backward
    step_of_three_layers(net)
    (hidden, middle, _), edges = traces[0], set()
    for trace, (g, _, _), arguments in (
        (middle, calls[1], backward[0]),
        (hidden, calls[2], backward[1]),
    ):
        arrived, passes = function(*arguments), (trace.y >= -32) & (trace.y <= 32)
        assert np.array_equal(g, arrived * passes)
        assert 0.3 < passes.mean() < 0.8
        edges |= set(trace.y[passes & (g != 0)].tolist())
    assert {-32, -31, -1, 0, 1, 31, 32} <= edges


# Section 7, AdaMax


def test_bias_correction_is_the_nearest_power_of_two():
    for step in range(200):
        assert ref.bias_correction(step) == round(-math.log2(1 - 0.875 ** (step + 1)))


@pytest.mark.parametrize("u", [-40, -3, 40])
def test_adamax_follows_its_floats(u):
    """m to the rounding of Q15, v exactly, over gradients that grow, shrink and pause."""
    rng = np.random.default_rng(8)
    steps, n = 1600, 60
    size = 2 ** (11 + 8 * np.sin(np.arange(steps)[:, None] / 200 + np.arange(n)))
    gradients = (rng.normal(size=(steps, n)) * size).astype(np.int64) * (
        rng.random((steps, n)) < 0.7
    )
    gradients[:9] = gradients[800:1300] = 0
    m, v = np.zeros(n, dtype=np.int64), np.full(n, -32768)
    float_m, log2_v = np.zeros(n), np.full(n, -64.0)
    for g in gradients:
        before, v = v, ref.log_scale(v, g, u)
        m = ref.momentum(m, before, v, g, u)
        float_m = 0.875 * float_m + 0.125 * g * 2.0**u
        bits = np.array([abs(i).bit_length() for i in g.tolist()])
        log2_v = np.maximum(log2_v - 1 / 512, np.where(g == 0, -64, bits + u))
        log2_v = np.clip(log2_v, -64, 32767 / 512)
        assert np.array_equal(v, 512 * log2_v)
        unit = 2.0 ** (np.ceil(log2_v) - 15)
        assert np.all(np.abs(m - float_m / unit) <= 9)  # 8 · (half of shift + half of t), and m1's
        assert np.all(np.abs(float_m) <= 2.0**log2_v)
    assert np.abs(m).max() > 1000


def test_scale_halves_in_512_steps_and_stays_in_int16():
    g, zero = ref.integers([1000, -1000, 1]), ref.integers([0, 0, 0])
    v = ref.log_scale(ref.integers([-32768] * 3), g, 3)
    assert v.tolist() == [512 * 13, 512 * 13, 512 * 4]
    for _ in range(512):
        v = ref.log_scale(v, zero, 3)
    assert v.tolist() == [512 * 12, 512 * 12, 512 * 3]
    assert ref.log_scale(v, g, 3).tolist() == [512 * 13, 512 * 13, 512 * 4]
    assert ref.log_scale(v, g >> 4, 3).tolist() == [512 * 12 - 1, 512 * 12 - 1, 512 * 3 - 1]
    assert ref.log_scale(ref.integers([-32768]), zero[:1], 40).tolist() == [-32768]
    top = ref.log_scale(ref.integers([0]), ref.integers([(1 << 30) - 1]), 40)
    assert top.tolist() == [32767]


def test_momentum_at_its_limits():
    limit = (1 << 30) - 1
    for v, g, u in (
        (32767, limit, 40),
        (32767, -limit, 40),
        (-32768, limit, 40),
        (-32768, -limit, -40),
        (32767, 1, -40),
        (-32768, 0, -40),
    ):
        v, g = ref.integers([v]), ref.integers([g])
        v1 = ref.log_scale(v, g, u)
        m = [ref.momentum(ref.integers([m]), v, v1, g, u)[0] for m in (-32767, 0, 32767)]
        assert -32767 <= m[0] <= m[1] <= m[2] <= 32767
        assert m[0] == ref.momentum(ref.integers([-32767]), v, v1, g, u)
    # When the scale is halved a momentum counts twice as much, at most 32767.
    half = [ref.integers([512]), ref.integers([0])]
    for m, doubled in ((100, 200), (-100, -200), (20000, 32767), (-20000, -32767)):
        m1 = ref.momentum(ref.integers([m]), *half, ref.integers([0]), 0)
        assert m1 == doubled + ref.shift(-doubled, 3)


@pytest.mark.parametrize("by", [1, 5, 12])
def test_the_unit_of_gradients_does_not_matter(by):
    """The same gradient in another unit, as another layer or step may have it."""
    rng = np.random.default_rng(9)
    m = other_m = np.zeros(50, dtype=np.int64)
    v = np.full(50, -32768)
    for step in range(100):
        g, u = rng.integers(-9000, 9000, 50), step % 7 - 5
        other_g, other_u = (g, u) if step % 2 else (g << by, u - by)
        v1 = ref.log_scale(v, g, u)
        assert np.array_equal(ref.log_scale(v, other_g, other_u), v1)
        m = ref.momentum(m, v, v1, g, u)
        other_m = ref.momentum(other_m, v, v1, other_g, other_u)
        assert np.array_equal(m, other_m)
        v = v1


def test_adamax_step_is_the_corrected_ratio():
    """W moves by 2^-h · m / (v (1 - β1^t)), v and 1 - β1^t as powers of two; β likewise."""
    method, n, h = Method(adamax=True), 400, 4
    net = ref.ReferenceNet(n, [1, 2], 4, seed=1, method=method)
    rng, layer = np.random.default_rng(10), net.layers[0]
    float_m, log2_v = 0, -64
    for net.step in range(15):
        g = int(rng.integers(300, 4000))
        layer.W, layer.beta = np.zeros((1, n), dtype=np.int64), ref.integers([0])
        net._adamax(0, np.full((1, n), g), ref.integers([8 * g]), 0, -3, h)
        float_m = 0.875 * float_m + 0.125 * g
        log2_v = max(log2_v - 1 / 512, g.bit_length())
        correction = 2.0 ** round(-math.log2(1 - 0.875 ** (net.step + 1)))
        step = 2.0**-h * correction * float_m / 2 ** math.ceil(log2_v)
        assert abs(layer.W.mean() / 32768 + step) < 16 / 32768
        assert np.ptp(layer.W) <= 1
        assert abs(layer.beta[0] / 16384 + step) < 16 / 16384  # bias: half as many units
    assert (layer.e_W, layer.e_beta) == (-1, -1)


def test_adamax_keeps_weights_in_their_range():
    net = ref.ReferenceNet(9, [3, 2], 4, seed=1, method=Method(adamax=True))
    layer = net.layers[0]
    for g in (-4096, 4096):
        for _ in range(40):
            net._adamax(0, np.full((3, 9), g), ref.integers([g] * 3), 0, 0, 0)
        assert set(layer.W.ravel().tolist()) == {-8 * g - np.sign(-g)}
        assert set(layer.beta.tolist()) == {-6 * g}


@ALL_METHODS
def test_units_of_gradients_through_the_layers(monkeypatch, method):
    """δ · 2^u is the error at z and g · 2^u that at y, in the unit of the loss."""
    method, norm, quantise = replace(method, adamax=True), ref.norm_backward, ref.quantise_error
    net = ref.ReferenceNet(7, [300, 40, 3], 16, seed=1, method=method)
    traces, errors = traces_of(monkeypatch), spied(monkeypatch, "norm_backward")
    deltas = spied(monkeypatch, "quantise_error")
    updates, adamax = [], net._adamax
    net._adamax = lambda *arguments: updates.append(arguments) or adamax(*arguments)
    step_of_three_layers(net)
    assert [call[0] for call in updates] == [2, 1, 0]
    assert updates[0][4] == 0
    for (index, _, d_beta, u_W, u_beta, _), error, arguments in zip(
        updates, errors, deltas, strict=True
    ):
        (j, sgn, k), (expected, e) = arguments[1], norm(*error)
        assert np.array_equal(d_beta, expected)
        delta = quantise(*arguments)
        exact = e * (2.0**j + sgn) / 2.0**k * 2.0**u_beta
        assert np.abs(delta * 2.0**u_W - exact).max() < 1.1 * 2.0**u_W  # 127 stands for up to 128
        if index > 0:
            g, trace = errors[3 - index][0], traces[0][index - 1]
            exact = (delta @ traces[0][index].w) * 2.0**u_W * ref.inside(trace, method.sign)
            u = updates[3 - index][4]
            assert np.abs(g * 2.0**u - exact).max() <= 0.5 * 2.0**u
            assert g.any()


def test_units_are_bounded_and_pass_layers_without_error(monkeypatch):
    def units_of(n_features, units, E):
        seen, net = [], ref.ReferenceNet(n_features, units, 16, 1, method=Method(adamax=True))
        net._adamax = lambda *arguments: seen.append(arguments[3:5])
        monkeypatch.setattr(ref, "shared_exponent", lambda *_: E)
        monkeypatch.setattr(ref, "quantise_error", lambda e, *_: 0 * e)
        step_of_three_layers(net)
        return seen

    assert units_of(7, [5, 4, 2], 30) == [(23, 0), (39, 16), (40, 33)]  # 23 - 7, then 23 - 6
    assert units_of(7, [5, 4, 2], -16) == [(-23, 0), (-40, -30), (-40, -40)]
    assert units_of(7, [5, 258, 2], 7) == [(0, 0), (-7, -7), (-7, -7)]


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


@ALL_METHODS
def test_every_method_learns_digits(method):
    x, x_test, y, y_test = digits()
    net = ref.ReferenceNet(64, [64, 10], 64, 1, np.bincount(y), method)
    losses = train(net, x, y, 8)
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) / 2
    assert np.mean(ref.predict(net.model(), x_test)[1] != y_test) < 0.16


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


@ALL_METHODS
def test_deployed_scores_agree_with_the_batch_they_were_calibrated_on(method):
    x, _, y, _ = digits()
    net = ref.ReferenceNet(64, [32, 10], 128, seed=3, method=method)
    train(net, x, y, 2, calibration=0)
    net.calibrate(x[:128])
    y_batch = ref.forward(net.layers, ref.integers(x[:128]), method)[-1].y
    scores, _ = ref.predict(net.model(), x[:128])
    inside = np.abs(y_batch) < 120
    assert np.all(np.abs(scores / 256 - y_batch)[inside] <= 1.01)


def test_threshold_is_steps_4_to_6_for_every_z():
    rng, kinds = np.random.default_rng(11), set()
    for N in (1, 2, 3):
        M = 400
        mean, beta = rng.integers(-255 * N, 255 * N + 1, M), rng.integers(-24576, 24577, M)
        s16 = np.maximum(16, 2 ** (rng.random(M) * 14)).astype(np.int64)
        scale = j, sgn, k = ref.two_power(32, s16)
        beta[:20], scale[2][:10], mean[:5], mean[5:10] = 0, 5, 255 * N, -255 * N
        layer = ref.Deployed(np.ones((M, N), dtype=np.int64), mean, beta, scale)
        theta = ref.threshold(layer)
        z = np.arange(-255 * N, 255 * N + 1)[:, None]
        z_hat = np.floor((z - mean) * (2.0**j + sgn) / 2.0**k + 0.5)
        plus = np.clip(z_hat, -127, 127) + np.floor(beta / 256 + 0.5) >= 0
        assert np.array_equal(z >= theta, plus)
        always, never = plus.all(axis=0), ~plus.any(axis=0)
        assert np.array_equal(always, theta == -255 * N)
        assert np.array_equal(never, theta == 255 * N + 1)
        kinds |= set(zip(always.tolist(), never.tolist(), strict=True))
    assert kinds == {(False, False), (True, False), (False, True)}


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
    w = np.ones((2, fan_in), dtype=np.int64)
    return ref.write_model(fan_in, [ref.Deployed(w, mean, beta, (j, sgn, k))])


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


# Section 12


@pytest.mark.parametrize(
    ("n", "k", "s", "valid", "positions", "before"),
    [
        (28, 5, 1, False, 28, 2),
        (28, 5, 1, True, 24, 0),
        (28, 4, 1, False, 28, 1),  # one pixel more is missing behind
        (5, 3, 2, False, 3, 1),
        (4, 3, 2, False, 2, 0),
        (7, 2, 3, False, 3, 0),
        (10, 1, 4, False, 3, 0),  # nothing is missing, the last pixel is not used
        (10, 3, 4, True, 2, 0),
        (3, 3, 31, True, 1, 0),
    ],
)
def test_extent(n, k, s, valid, positions, before):
    assert ref.extent(n, k, s, valid) == (positions, before)


CONVOLUTIONS = [  # H, W, C, then M, k, s, valid, p
    ((5, 7, 2), ref.Conv2D(3, 3)),
    ((5, 7, 2), ref.Conv2D(3, 3, pool=2)),
    ((6, 4, 1), ref.Conv2D(2, 4, valid=True)),
    ((7, 9, 3), ref.Conv2D(4, 2, 3, pool=2)),
    ((9, 8, 2), ref.Conv2D(4, 3, 2, valid=True, pool=3)),
    ((8, 8, 2), ref.Conv2D(5, 1, 3)),
    ((4, 4, 2), ref.Conv2D(5, 4, 1, pool=4)),
]


@pytest.mark.parametrize("outside", [0, -1])
@pytest.mark.parametrize(("shape", "conv"), CONVOLUTIONS)
def test_sums_are_those_of_the_text_one_by_one(shape, conv, outside):
    """z with its origin, G and D, as loops over what the text has as indices."""
    rng = np.random.default_rng(13)
    (H, W, C), B, M, k, s, p = shape, 2, conv.units, conv.kernel_size, conv.stride, conv.pool
    images = ref.Images(conv, *shape)
    (H1, top), (W1, left) = images.extents()
    H2, W2 = H1 // p, W1 // p
    assert images.output() == (H2, W2, M)
    a, bits = rng.integers(-1, 4, (2, B, H, W, C))  # few values: many sums are equal
    w = rng.integers(-1, 2, (M, images.N))
    delta = rng.integers(-127, 128, (B * H2 * W2, M))

    z, origin = ref.sums(a.reshape(-1, C), w, images, outside)
    delta1 = ref.at_origins(delta, origin, p)
    G = delta1.T @ images.windows(bits.reshape(-1, C), outside)
    D = images.gathered(delta1 @ w)
    expected_G, expected_D = np.zeros_like(w), np.zeros_like(a)
    for b, Y2, X2, m in np.ndindex(B, H2, W2, M):
        found = []
        for u, v in np.ndindex(p, p):
            z1 = 0
            for i, j, c in np.ndindex(k, k, C):
                y, x = (p * Y2 + u) * s + i - top, (p * X2 + v) * s + j - left
                inside = 0 <= y < H and 0 <= x < W
                z1 += w[m, (i * k + j) * C + c] * (a[b, y, x, c] if inside else outside)
            found.append(z1)
        r = (b * H2 + Y2) * W2 + X2
        assert z[r, m] == max(found)
        assert origin[r, m] == found.index(max(found))
        u, v = divmod(found.index(max(found)), p)
        for i, j, c in np.ndindex(k, k, C):
            y, x = (p * Y2 + u) * s + i - top, (p * X2 + v) * s + j - left
            n, inside = (i * k + j) * C + c, 0 <= y < H and 0 <= x < W
            expected_G[m, n] += delta[r, m] * (bits[b, y, x, c] if inside else outside)
            if inside:
                expected_D[b, y, x, c] += delta[r, m] * w[m, n]
    assert np.array_equal(G, expected_G)
    assert np.array_equal(D, expected_D.reshape(-1, C))


def trained(n_features, units, method, shape=(0, 0, 0)):
    """A net after a few steps and a calibration, and batches."""
    rng = np.random.default_rng(14)
    x, labels = rng.integers(0, 256, (5, 9, n_features), np.uint8), rng.integers(0, 3, (5, 9))
    net = ref.ReferenceNet(n_features, units, 9, 15, method=method, shape=shape)
    losses = [net.train_step(x[step], labels[step], 3) for step in range(4)]
    net.calibrate(x[3])
    net.calibrate(x[4])
    return net, losses, x


def same_but_for_the_kind(method, convolution, dense):
    """What was trained, apart from the first words of the files that say what the layers are."""
    (net, losses, x), (other, other_losses, _) = convolution, dense
    assert losses == other_losses
    for data, expected, start, head in (
        (net.checkpoint(), other.checkpoint(), 44, 16),
        (net.model(), other.model(), 28, 8),
    ):
        assert len(data) == len(expected)
        for layer in range(len(net.layers)):  # units and exponents
            at = start + 4 + layer * head
            assert data[at + 4 : at + head] == expected[at + 4 : at + head]
        at = start + 4 + len(net.layers) * head
        assert data[at:-4] == expected[at:-4]
    scores, expected = ref.predict(net.model(), x[0])[0], ref.predict(other.model(), x[0])[0]
    assert np.array_equal(scores, expected)


@pytest.fixture
def biases_of_one_rate(monkeypatch):
    """The one difference that there is: biases of filters are slower."""
    monkeypatch.setattr(ref, "slower", lambda layer: 0)


@ALL_METHODS
@pytest.mark.usefixtures("biases_of_one_rate")
def test_a_convolution_of_one_pixel_is_fully_connected(method):
    units, shape = [ref.Conv2D(13, 1), ref.Conv2D(8, 1), 3], (1, 1, 12)
    dense = trained(12, [13, 8, 3], method)
    same_but_for_the_kind(method, trained(12, units, method, shape), dense)


@ALL_METHODS
@pytest.mark.usefixtures("biases_of_one_rate")
@pytest.mark.parametrize("conv", [ref.Conv2D(13, 3, valid=True), ref.Conv2D(13, 3, 5)])
def test_a_filter_of_the_whole_image_is_fully_connected(method, conv):
    """With the exact gradient: random bits are a pixel's in one, an image's in the other."""
    method = replace(method, exact=True)
    dense = trained(18, [13, 8, 3], method)
    same_but_for_the_kind(method, trained(18, [conv, 8, 3], method, (3, 3, 2)), dense)


def test_pooling_keeps_the_first_of_the_largest():
    image = [[1, 2, 7, 7, 9], [2, 0, 7, 7, 9], [0, 0, 0, 1, 9], [0, 0, 5, 5, 9], [9, 9, 9, 9, 9]]
    images = ref.Images(ref.Conv2D(2, 1, pool=2), 5, 5, 1)
    z, origin = ref.sums(ref.integers(image).reshape(-1, 1), ref.integers([[1], [-1]]), images, 0)
    assert z.tolist() == [[2, 0], [7, -7], [0, 0], [5, 0]]
    assert origin.tolist() == [[1, 3], [0, 0], [0, 0], [2, 0]]
    delta = ref.integers([[1, 10], [2, 20], [3, 30], [4, 40]])
    D = images.gathered(ref.at_origins(delta, origin, 2) @ ref.integers([[1], [-1]]))
    assert D.reshape(5, 5).tolist() == [
        [0, 1, -18, 0, 0],
        [0, -10, 0, 0, 0],
        [-27, 0, -40, 0, 0],
        [0, 0, 4, 0, 0],
        [0, 0, 0, 0, 0],
    ]


def test_gradients_of_biases_of_many_rows():
    for rows, v in ((1, 0), (32768, 0), (32769, 1), (65536, 1), (65537, 2), (1 << 23, 8)):
        assert ref.bias_shift(rows) == v
    g = np.ones((32769, 1), dtype=np.int64)
    d_beta, _ = ref.norm_backward(g, 0 * g, ref.integers([32]))
    assert d_beta.tolist() == [16385]  # a half, up
    net = ref.ReferenceNet(
        1024, [ref.Conv2D(1, 1), 2], 33, 1, method=Method(adamax=True), shape=(32, 32, 1)
    )
    updates, adamax = [], net._adamax
    net._adamax = lambda *arguments: updates.append(arguments) or adamax(*arguments)
    rng = np.random.default_rng(16)
    net.train_step(rng.integers(0, 256, (33, 1024), np.uint8), rng.integers(0, 2, 33), 3)
    (_, _, _, u_W, _, _), (_, _, _, _, u_beta, _) = updates
    assert u_beta == u_W + 8 - 15 + 1  # of g: bitlen(127 · 2) = 8; dβ is shifted by 1


@pytest.mark.parametrize("sign", [False, True])
def test_streams_of_a_step_of_convolutions(monkeypatch, sign):
    method = Method(stochastic=True, sign=sign, dropout=9, input_dropout=9)
    units, shape = [ref.Conv2D(5, 3, pool=2), ref.Conv2D(4, 2, valid=True), 3, 2], (6, 8, 2)
    net = ref.ReferenceNet(96, units, 7, 1, method=method, shape=shape)
    x = np.arange(7 * 96).reshape(7, 96).astype(np.uint8)
    net.train_step(x, [0, 1, 1, 0, 0, 1, 0], 3)
    calls = spied(monkeypatch, "random_bytes")
    net.train_step(x, [0, 1, 1, 0, 0, 1, 0], 3)
    expected = {(9, 0, 7, 96)}
    for index, (rows, C, R, M, N) in enumerate(
        ((7 * 48, 2, 7 * 12, 5, 18), (7 * 12, 5, 7 * 6, 4, 20), (7, 24, 7, 3, 24), (7, 3, 7, 2, 3))
    ):
        expected |= {(purpose, index, M, N) for purpose in (4, 7)} | {(5, index, 1, M)}
        expected |= {(3, index, R, M)} | ({(8, index, R, M)} if index < 3 else set())
        expected |= set() if sign and index > 0 else {(2, index, rows, C)}
    assert {call[2:] for call in calls} == expected
    assert {call[:2] for call in calls} == {(1, 1)}
    assert len(calls) == len(expected)


def small_images(method, units=None):
    """Two convolutions have borders: of features, of activations."""
    units = units or [ref.Conv2D(6, 3, pool=2), ref.Conv2D(70, 2, 2), ref.Conv2D(3, 1, 1, True), 4]
    return trained(48, [*units, 3], method, (6, 4, 2))


def restored_goes_on_alike(net, batch, x):
    """What is read from a net's checkpoint, and learns a batch like the net, is the same net."""
    other = ref.ReferenceNet.restore(net.checkpoint())
    assert other.method == net.method
    assert other.checkpoint() == net.checkpoint()
    for one in (net, other):
        one.train_step(*batch, 3)
        one.calibrate(x)
    for one, copy in zip(net.layers, other.layers, strict=True):
        for name, value in vars(one).items():
            assert np.array_equal(value, getattr(copy, name)), name
    assert other.checkpoint() == net.checkpoint()
    assert other.model() == net.model()


@ALL_METHODS
def test_files_of_convolutions_round_trip(method):
    net, _, x = small_images(method)
    restored_goes_on_alike(net, (x[2], [0, 1, 2] * 3), x[0])
    n_features, layers = ref.read_model(net.model())
    assert ref.write_model(n_features, layers, method.of_model()) == net.model()
    shapes = [(6, 18), (70, 24), (3, 70), (4, 6), (3, 4)]
    assert [layer.w.shape for layer in layers] == shapes
    assert [layer.images for layer in layers] == [layer.images for layer in net.layers]


def test_heads_of_convolutions():
    net, _, _ = small_images(Method(sign=True))
    kinds = [2 | 3 << 8 | 1 << 16 | 2 << 24, 2 | 2 << 8 | 2 << 16 | 1 << 24]
    kinds += [2 | 1 << 8 | 1 << 16 | 1 << 23 | 1 << 24, 1, 1]
    shape = 5 | 6 << 8 | 4 << 20
    assert struct.unpack_from("<II", net.checkpoint(), 40) == (48, shape)
    assert [struct.unpack_from("<I", net.checkpoint(), 48 + 16 * i)[0] for i in range(5)] == kinds
    model = net.model()
    assert struct.unpack_from("<II", model, 24) == (48, shape)
    assert [struct.unpack_from("<I", model, 32 + 8 * i)[0] for i in range(5)] == kinds
    # One plane of 18 bits a filter, then, of signs, 24 bits in 8 bytes
    at = 72 + 6 * 4 + 6 * 3 + 2 + 70 * 4
    assert at % 8 == 4
    bits = [model[at + 4 + 8 * 69 + (n >> 3)] >> (n & 7) & 1 for n in range(64)]
    assert bits == (net.layers[1].W[69] >= 0).astype(int).tolist() + [0] * 40


@ALL_METHODS
def test_deployed_convolutions_agree_with_the_batch_they_were_calibrated_on(method):
    net, _, x = small_images(method)
    net.calibration = net.calibration[:1]  # of x[3]
    output = ref.forward(net.layers, ref.integers(x[3]), method)[-1]
    scores, _ = ref.predict(net.model(), x[3])
    inside = np.abs(output.z_hat) < 127
    assert np.all(np.abs(scores / 256 - output.y)[inside] <= 1.01)
    assert inside.mean() > 0.8


@ALL_METHODS
def test_what_is_outside_of_images(monkeypatch, method):
    """Signs have -1 there: forward, in the outer product, at calibration and when deployed."""
    seen, windows = [], ref.Images.windows

    def spy(images, a, outside):
        seen.append((images.conv.units, outside, {-1, 1} >= set(a.ravel()) - {0}))
        return windows(images, a, outside)

    monkeypatch.setattr(ref.Images, "windows", spy)
    net, _, x = small_images(method)
    there = -1 if method.sign else 0
    forward = [(6, 0, False), (70, there, method.sign), (3, there, method.sign)]
    assert [call[:2] for call in seen[:6]] == [call[:2] for call in forward + forward[::-1]]
    assert seen[:3] == forward
    ref.predict(net.model(), x[0])
    assert seen[24:] == forward * 3  # calibration of two batches, prediction


@ALL_METHODS
def test_convolutions_learn_digits(method):
    x, x_test, y, y_test = digits()
    units = [ref.Conv2D(24, 3, pool=2), 10]
    net = ref.ReferenceNet(64, units, 64, 1, np.bincount(y), method, shape=(8, 8, 1))
    losses = train(net, x, y, 6)
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) / 2
    assert np.mean(ref.predict(net.model(), x_test)[1] != y_test) < 0.25


NOT_ALLOWED = [  # n_features, shape, units, batch size
    (48, (6, 4, 1), [ref.Conv2D(2, 3), 2], 1),  # n_features
    (48, (6, 4, 2), [ref.Conv2D(2, 5), 2], 1),  # k > W
    (48, (6, 4, 2), [ref.Conv2D(2, 3, valid=True, pool=3), 2], 1),  # p > W1
    (48, (6, 4, 2), [3, ref.Conv2D(2, 1), 2], 1),  # after a fully connected layer
    (48, (6, 4, 2), [ref.Conv2D(2, 4, valid=True), ref.Conv2D(2, 2), 2], 1),  # k > W2
    (48, (6, 4, 2), [ref.Conv2D(7282, 3, 3), 2], 1),  # k·k·M
    (48, (6, 4, 2), [ref.Conv2D(7281, 1, pool=4), ref.Conv2D(1, 3), 2], 1),  # H2 = 1
    (65536, (16, 4, 1024), [ref.Conv2D(1, 9), 2], 1),  # k·k·C
    (48, (6, 4, 2), [ref.Conv2D(2731, 1), 2], 1),  # N of a fully connected layer
    (1024, (32, 32, 1), [ref.Conv2D(1, 1), 2], 8193),  # R
    (4096, (4096, 1, 1), [ref.Conv2D(1, 1), 2], 1),  # 12 bits of a file
    (4096, (1, 4096, 1), [ref.Conv2D(1, 1), 2], 1),
]


@pytest.mark.parametrize(("n_features", "shape", "units", "batch_size"), NOT_ALLOWED)
def test_convolutions_that_are_not_allowed(n_features, shape, units, batch_size):
    with pytest.raises(AssertionError):
        ref.ReferenceNet(n_features, units, batch_size, 1, shape=shape)


def test_convolutions_that_are_just_allowed():
    for shape, units, batch_size, method in (
        ((6, 4, 2), [ref.Conv2D(2, 4), 2], 1, Method()),
        ((6, 4, 2), [ref.Conv2D(2, 3, valid=True, pool=2), 2], 1, Method()),
        ((6, 4, 2), [ref.Conv2D(7281, 3, 3), 2], 1, Method()),
        ((6, 4, 2), [ref.Conv2D(2730, 1), 2], 1, Method()),
        ((4095, 1, 2), [ref.Conv2D(2, 1), 2], 1, Method()),
        ((32, 32, 1), [ref.Conv2D(1, 1), 2], 8192, Method()),
        ((32, 32, 1), [ref.Conv2D(1, 1), 2], 32, Method(exact=True)),
    ):
        ref.ReferenceNet(math.prod(shape), units, batch_size, 1, method=method, shape=shape)
    with pytest.raises(AssertionError):
        ref.ReferenceNet(1024, units, 33, 1, method=Method(exact=True), shape=shape)
    for numbers in ((32, 1, 1), (0, 1, 1), (1, 32, 1), (1, 0, 1), (1, 1, 16), (1, 1, 0)):
        k, s, p = numbers
        with pytest.raises(AssertionError):
            ref.Conv2D(1, k, s, pool=p)


def test_readers_refuse_convolutions():
    net, _, _ = small_images(Method(), [ref.Conv2D(3, 3, pool=2), ref.Conv2D(3, 1)])
    for data, read, shape, kind, size in (
        (net.checkpoint(), ref.ReferenceNet.restore, 44, 48, 16),
        (net.model(), ref.read_model, 28, 32, 8),
    ):
        assert read(data)
        for H, W in ((0, 0), (0, 4), (6, 0), (7, 4), (2, 4)):
            refused(data, read, shape, struct.pack("<I", 3 | H << 8 | W << 20))
        first, second = (struct.unpack_from("<I", data, kind + i * size)[0] for i in range(2))
        for word in (0, 1, 3, first & ~(255 << 8), first | 5 << 8, first | 32 << 8):
            refused(data, read, kind, struct.pack("<I", word))
        for word in (first & ~(127 << 16), first | 32 << 16, first & 0xFFFFFF, first | 16 << 24):
            refused(data, read, kind, struct.pack("<I", word))
        for word in (1 | 1 << 8, second | 128 << 24):
            refused(data, read, kind + size, struct.pack("<I", word))
        refused(data, read, kind + 2 * size, struct.pack("<I", second))  # the last
        # Valid: 4 x 2 sums, pooled 2 x 1, and so another fan-in of the fully connected layer
        refused(data, read, kind, struct.pack("<I", first | 1 << 23))
    _, checkpoint, model = small_files()
    for data, read, at in ((checkpoint, ref.ReferenceNet.restore, 44), (model, ref.read_model, 28)):
        refused(data, read, at, struct.pack("<I", 2 | 1 << 8 | 5 << 20))  # no convolution


def test_checkpoints_of_too_many_rows_are_refused():
    net = ref.ReferenceNet(1024, [ref.Conv2D(1, 1), 2], 8192, 1, shape=(32, 32, 1))
    data = net.checkpoint()
    refused(data, ref.ReferenceNet.restore, 36, struct.pack("<I", 8193))
    ref.ReferenceNet.restore(resealed(data[:12] + bytes(4) + data[16:]))
    refused(data, ref.ReferenceNet.restore, 12, struct.pack("<I", 16))  # the exact gradient


def test_augmentation():
    shape, n = (4, 5, 2), 300
    x = np.random.default_rng(17).integers(1, 256, (n, 40), dtype=np.uint8)
    r = ref.random_bytes(2**40, 6, 10, 0, n, 8)
    assert np.array_equal(ref.augment(x, shape, 2**40, 6, flip=False, crop=0), x)
    moved, mirrored = np.zeros((5, 5), dtype=int), 0
    both = ref.augment(x, shape, 2**40, 6, flip=True, crop=2)
    assert both.dtype == np.uint8
    for b in range(n):
        image = x[b].reshape(shape)
        if r[b, 0] < 128:
            image, mirrored = np.flip(image, axis=1), mirrored + 1
        d_y, d_x = (int(r[b, c] + 256 * r[b, c + 1]) * 5 // 65536 for c in (2, 4))
        moved[d_y, d_x] += 1
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
        assert np.array_equal(both[b].reshape(shape), padded[d_y : d_y + 4, d_x : d_x + 5])
    assert abs(mirrored - n / 2) < 35  # 4 standard errors
    assert ((moved - n / 25) ** 2 / (n / 25)).sum() < 58  # 24 degrees of freedom: p = 0.0001
    flipped = ref.augment(x, shape, 2**40, 6, flip=True, crop=0)
    assert np.array_equal(ref.augment(flipped, shape, 2**40, 6, flip=True, crop=0), x)
    far = ref.augment(x, shape, 2**40, 6, flip=False, crop=127)
    assert 0.8 < np.mean(~far.any(axis=1)) < 1


# Files


def small_files(method=golden.METHODS["binary"], units=(3, 2)):
    net = ref.ReferenceNet(5, list(units), 4, seed=0xFEDCBA9876543210, method=method)
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


def test_adamax_checkpoint_layout():
    net, data, _ = small_files(golden.METHODS["all"])
    head = struct.unpack_from("<8sIIQQIIII", data)
    assert head[1:4] == (1, 3 << 24 | 50 << 16 | 77 << 8 | 31, len(data))
    assert struct.unpack_from("<IIii", data, 48) == (1, 3, -1, -1)
    at = 84
    for layer in net.layers:
        M, N = layer.W.shape
        for v in (layer.beta, layer.W, layer.m_beta, layer.m_W, layer.v_beta, layer.v_W):
            assert list(struct.unpack_from(f"<{v.size}h", data, at)) == v.ravel().tolist()
            at += 2 * v.size
        assert np.any(layer.m_W)
        assert (M + M * N) % 2 == 0
    assert len(data) == at + 4
    _, data, _ = small_files(Method(adamax=True), [3, 3])
    assert len(data) == 84 + 6 * (3 + 15) + 6 * (3 + 9) + 4
    _, data, _ = small_files(Method(adamax=True), [3])
    assert len(data) == 64 + 4 + 6 * (3 + 15) + 4


def test_sign_ternary_model_layout():
    """Two planes; thresholds; where the input is signs, rows of a multiple of 8 at one of 8."""
    method = golden.METHODS["all"]
    net, _, data = small_files(method, [3, 70, 2])
    head = struct.unpack_from("<8sIIQIIIIIIII", data)
    assert head == (b"BINNETMD", 1, 5, len(data), 5, 3, 1, 3, 1, 70, 1, 2)
    _, layers = ref.read_model(data)
    at = 32 + 3 * 8
    assert list(struct.unpack_from("<3i", data, at)) == layers[0].theta.tolist()
    at += 12
    planes_are(data, at, 1, net.layers[0].W)
    at += 2 * 3 + 2
    assert data[at - 2 : at] == bytes(2)
    assert list(struct.unpack_from("<70i", data, at)) == layers[1].theta.tolist()
    at += 280
    assert at % 8 == 4
    assert data[at : at + 4] == bytes(4)
    planes_are(data, at + 4, 8, net.layers[1].W)
    at += 4 + 2 * 70 * 8
    assert list(struct.unpack_from("<ih", data, at)) == [layers[2].mean[0], layers[2].beta[0]]
    at += 16
    assert at % 8 == 0
    planes_are(data, at, 16, net.layers[2].W)
    assert len(data) == at + 2 * 2 * 16 + 4


def planes_are(data, at, row, W):
    """Low, then high: 11 is +1, 01 is 0, 00 is -1."""
    M, N = W.shape
    for bit, ones in ((0, W > 10922), (1, W >= -10922)):
        for m in range(M):
            start = at + (bit * M + m) * row
            bits = int.from_bytes(data[start : start + row], "little")
            assert bits == sum(1 << n for n in range(N) if ones[m, n])


@ALL_METHODS
def test_files_of_every_method_round_trip(method):
    rng = np.random.default_rng(12)
    x, labels = rng.integers(0, 256, (3, 9, 11), dtype=np.uint8), rng.integers(0, 3, (3, 9))
    net = ref.ReferenceNet(11, [9, 6, 3], 9, seed=5, method=method)
    for step in range(2):
        net.train_step(x[step], labels[step], 3)
    restored_goes_on_alike(net, (x[2], labels[2]), x[0])
    n_features, layers = ref.read_model(net.model())
    assert (n_features, [layer.w.shape for layer in layers]) == (11, [(9, 11), (6, 9), (3, 6)])
    kept = Method(ternary=method.ternary, sign=method.sign)
    assert ref.write_model(n_features, layers, kept) == net.model()
    assert struct.unpack_from("<I", net.model(), 12) == (kept.to_u32(),)


def test_signs_and_dropout_need_a_hidden_layer():
    _, checkpoint, model = small_files(units=[3])
    for method in Method(sign=True), Method(dropout=9):
        with pytest.raises(AssertionError):
            small_files(method, [3])
        word = struct.pack("<I", method.to_u32())
        refused(checkpoint, ref.ReferenceNet.restore, 12, word)
        refused(model, ref.read_model, 12, word)
    small_files(Method(input_dropout=9), [3])


def test_left_out_features_are_0_and_all_else_is_as_without(monkeypatch):
    x = np.arange(1, 16 * 40 + 1).reshape(16, 40).astype(np.uint8) | 1
    labels = np.arange(16) % 3
    net = ref.ReferenceNet(40, [9, 3], 16, 5, method=Method(input_dropout=100))
    plain = ref.ReferenceNet(40, [9, 3], 16, 5)
    for step in range(3):
        r = ref.random_bytes(5, step, 9, 0, 16, 40)
        assert 0.3 < np.mean(r < 100) < 0.5
        net.train_step(x, labels, 3)
        plain.train_step(np.where(r < 100, 0, x).astype(np.uint8), labels, 3)
        for one, other in zip(net.layers, plain.layers, strict=True):
            assert np.array_equal(one.W, other.W)
    net.calibrate(x)
    plain.calibrate(x)
    assert net.model() == plain.model()


def refused(data, read, at, new):
    with pytest.raises(ValueError, match="not a valid file"):
        read(resealed(data[:at] + new + data[at + len(new) :]))


def test_readers_refuse_methods():
    _, checkpoint, model = small_files()
    for bit in (5, 6, 7, *range(28, 32)):
        refused(checkpoint, ref.ReferenceNet.restore, 12, struct.pack("<I", 1 << bit))
        refused(model, ref.read_model, 12, struct.pack("<I", 1 << bit))
    for bit in (1, 3, 4, *range(8, 28)):
        refused(model, ref.read_model, 12, struct.pack("<I", 1 << bit))
        other = checkpoint[:12] + struct.pack("<I", 1 << bit) + checkpoint[16:]
        if bit != 3:  # AdaMax has other sizes
            assert ref.ReferenceNet.restore(resealed(other)).checkpoint() == resealed(other)
    refused(checkpoint, ref.ReferenceNet.restore, 12, b"\x08")
    for method in (1, 4, 5):
        refused(model, ref.read_model, 12, bytes([method]))
    _, _, model = small_files(units=[2])
    refused(model, ref.read_model, 12, b"\x04")


def test_readers_refuse_values_of_methods():
    _, checkpoint, _ = small_files(Method(adamax=True))
    restore, momenta = ref.ReferenceNet.restore, 84 + 2 * (3 + 15)
    for at in (momenta, momenta + 6, momenta + 34):
        refused(checkpoint, restore, at, struct.pack("<h", -32768))
        restore(resealed(checkpoint[:at] + struct.pack("<h", -32767) + checkpoint[at + 2 :]))
    for scale in (-32768, 32767):
        at, v = momenta + 36, struct.pack("<h", scale)
        restore(resealed(checkpoint[:at] + v + checkpoint[at + 2 :]))

    _, _, model = small_files(Method(ternary=True, sign=True))
    for theta, valid in ((1276, True), (-1275, True), (1277, False), (-1276, False)):
        v = struct.pack("<i", theta)
        if valid:
            assert ref.read_model(resealed(model[:48] + v + model[52:]))[1][0].theta[0] == theta
        else:
            refused(model, ref.read_model, 48, v)
    low, high = 48 + 12, 48 + 12 + 3
    ref.read_model(resealed(model[:low] + b"\x0a\x0a\x0a\x1a\x1a\x1a" + model[low + 6 :]))
    refused(model, ref.read_model, low, b"\x0a\x0a\x0a\x1a\x1a\x15")  # in low alone
    refused(model, ref.read_model, low, b"\x2a")  # pad bits
    refused(model, ref.read_model, high, b"\x3f")
    refused(model, ref.read_model, 48 + 12 + 6, b"\1")  # padding to 4
    output = 48 + 12 + 8
    refused(model, ref.read_model, output + 16, b"\1")  # padding to 8
    refused(model, ref.read_model, output + 20 + 7, b"\1")  # pad byte of a row
    assert (output + 20) % 8 == 0
    assert len(model) == output + 20 + 2 * 2 * 8 + 4


@ALL_METHODS
def test_readers_refuse(method):
    _, checkpoint, model = small_files(method)
    for data, read in ((checkpoint, ref.ReferenceNet.restore), (model, ref.read_model)):
        read(data)
        for at in range(len(data)):
            with pytest.raises(ValueError, match="not a valid file"):
                read(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            with pytest.raises(ValueError, match="not a valid file"):
                read(data[:at])
        with pytest.raises(ValueError, match="not a valid file"):
            read(data + bytes(4))


def with_appendix(data, appendix):
    size = struct.pack("<Q", len(data) + len(appendix))
    return resealed(data[:16] + size + data[24:-4] + appendix + bytes(4))


@ALL_METHODS
def test_appendix(method):
    """Read as without it; none that is no multiple of 4, shortens the file or is not counted."""
    _, checkpoint, model = small_files(method)
    x = np.arange(5, dtype=np.uint8)[None, :]
    for appendix in (bytes(4), b"any bytes at all"):
        long = with_appendix(checkpoint, appendix)
        assert ref.ReferenceNet.restore(long).checkpoint() == checkpoint
        long = with_appendix(model, appendix)
        assert np.array_equal(ref.predict(long, x)[0], ref.predict(model, x)[0])
    for data, read in ((checkpoint, ref.ReferenceNet.restore), (model, ref.read_model)):
        refused(data[:-4] + bytes(8), read, 0, data[:8])  # not counted
        for appendix in (b"1", b"12", b"12345"):
            with pytest.raises(ValueError, match="not a valid file"):
                read(with_appendix(data, appendix))
        for cut in (4, 8):
            with pytest.raises(ValueError, match="not a valid file"):
                read(with_appendix(data[:-cut], b""))


def test_readers_refuse_values():
    _, checkpoint, model = small_files()
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
        refused(data, read, at, bytes([byte]))
