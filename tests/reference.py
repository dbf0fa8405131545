"""The learning rule of docs/algorithm.md, written from that text alone: slow, plain, all integers.

Functions are named as in the text and stand under the number of its section. All arrays are int64,
in which nothing here can overflow; `bounded` asserts the limits of section 10, which say that the
library's narrower types do not either. B rows, N fan-in, M fan-out: arrays over units are [M], over
a batch [B][M], weights [M][N]; k and scale = (j, sgn, k) hold one value per unit. Of a convolution
rows are positions of images, which stand in the order of section 12: R instead of B.
"""

import struct
import zlib
from dataclasses import dataclass
from math import isqrt, prod

import numpy as np

MASK32 = 0xFFFFFFFF
# The purposes of random bytes
INITIAL_W, INITIAL_BETA, OUTER, ERROR, UPDATE_W, UPDATE_BETA, ROW_ORDER, WEIGHTS, DROPOUT = range(9)
INPUT_DROPOUT, AUGMENTATION = 9, 10
DENSE, CONV2D = 1, 2  # FORMAT.md, kinds of layer


def integers(v):
    return np.asarray(v, dtype=np.int64)


def bounded(v, limit):
    """Section 10: `v`, after asserting abs(v) < limit."""
    assert v.dtype == np.int64
    assert np.all(np.abs(v) < limit), (np.abs(v).max(), limit)
    return v


@dataclass(frozen=True)
class Method:
    """The eight choices; their defaults are 0 in files."""

    ternary: bool = False  # weights, else binary
    stochastic: bool = False  # binarization, else deterministic
    sign: bool = False  # activation, else ReLU
    adamax: bool = False  # solver, else SGD
    exact: bool = False  # gradient, else quantized
    dropout: int = 0  # in 1/256
    input_dropout: int = 0  # likewise
    decay: int = 0  # of weights

    def __post_init__(self):
        assert 0 <= self.dropout <= 255
        assert 0 <= self.input_dropout <= 255
        assert 0 <= self.decay <= 15

    def to_u32(self):
        bits = (self.ternary, self.stochastic, self.sign, self.adamax, self.exact)
        return sum(bit << i for i, bit in enumerate(bits)) + (
            self.dropout << 8 | self.input_dropout << 16 | self.decay << 24
        )

    @classmethod
    def from_u32(cls, word):
        bits = (bool(word >> i & 1) for i in range(5))
        method = cls(*bits, word >> 8 & 255, word >> 16 & 255, word >> 24 & 15)
        same(method.to_u32(), word)  # so the other bits are 0
        return method

    def of_model(self):
        """What prediction depends on."""
        return Method(ternary=self.ternary, sign=self.sign)

    def suits(self, n_layers):
        """Sign activation and dropout need a hidden layer."""
        return n_layers > 1 or not (self.sign or self.dropout)

    def outside(self, index):
        """Section 12: what surrounds the images that layer `index` takes."""
        return -1 if self.sign and index > 0 else 0


@dataclass(frozen=True)
class Conv2D:
    """A convolution, as the `units` of a layer; a fully connected one is an int there."""

    units: int  # its filters
    kernel_size: int
    stride: int = 1
    valid: bool = False  # padding, else same
    pool: int = 1

    def __post_init__(self):
        assert 1 <= self.kernel_size <= 31
        assert 1 <= self.stride <= 31
        assert 1 <= self.pool <= 15

    def to_u32(self):
        return (
            CONV2D | self.kernel_size << 8 | self.stride << 16 | self.valid << 23 | self.pool << 24
        )

    @classmethod
    def from_u32(cls, word, units):
        within([word & 255], CONV2D, CONV2D)
        kernel_size, stride, pool = word >> 8 & 255, word >> 16 & 127, word >> 24 & 255
        within([kernel_size, stride], 1, 31)
        within(pool, 1, 15)
        return cls(units, kernel_size, stride, bool(word >> 23 & 1), pool)


# Section 1: primitives


def bitlen(v):
    v = integers(v)
    assert np.all(v >= 0)
    bits = np.zeros_like(v)
    while np.any(v):
        bits += v > 0
        v = v >> 1
    return bits


def shift(v, k):
    v, k = integers(v), integers(k)
    right, left = np.maximum(k, 0), np.maximum(-k, 0)
    return ((v << left) + ((1 << right) >> 1)) >> right


def divide(v, d):
    v, d = integers(v), integers(d)
    assert np.all(d > 0)
    return (2 * v + d) // (2 * d)


def clamp(v, lo, hi):
    return np.clip(integers(v), lo, hi)


def stochastic(v, k, r):
    return (shift(v, integers(k) - 8) + r) >> 8


def ap2(v):
    """2^b rounds up where abs(v) > 2^b · sqrt(2), or v^2 > 2^(2b + 1); never are they equal."""
    v = integers(v)
    b = np.maximum(bitlen(np.abs(v)) - 1, 0)
    return np.sign(v) << (b + (v * v > (2 << (2 * b))))


def threefry(key, counter, rounds=13):
    """Threefry-2x32: two words from two words of key and two of counter, any of them arrays."""
    k0, k1 = integers(key[0]), integers(key[1])
    schedule = (k0, k1, k0 ^ k1 ^ 0x1BD11BDA)
    x0, x1 = (integers(counter[0]) + k0) & MASK32, (integers(counter[1]) + k1) & MASK32
    for i in range(rounds):
        rotation = (13, 15, 26, 6, 17, 29, 16, 24)[i % 8]
        x0 = (x0 + x1) & MASK32
        x1 = x0 ^ ((x1 << rotation | x1 >> (32 - rotation)) & MASK32)
        if i % 4 == 3:
            n = (i + 1) // 4
            x0 = (x0 + schedule[n % 3]) & MASK32
            x1 = (x1 + schedule[(n + 1) % 3] + n) & MASK32
    return x0, x1


def stream_key(seed, step, purpose, layer):
    return threefry((seed & MASK32, seed >> 32), (step, purpose + 256 * layer))


def random_bytes(seed, step, purpose, layer, rows, cols):
    """Bytes 0 .. 255 of one stream, [rows][cols]."""
    blocks, row = np.arange(-(-cols // 8), dtype=np.int64), np.arange(rows, dtype=np.int64)
    words = threefry(stream_key(seed, step, purpose, layer), (blocks[None, :], row[:, None]))
    words = np.stack(words, axis=-1)  # [rows][blocks][2]
    octets = words[..., None] >> integers([0, 8, 16, 24]) & 255  # [rows][blocks][2][4]
    return octets.reshape(rows, -1)[:, :cols]


# Section 2: state


@dataclass
class Layer:
    W: np.ndarray  # [M][N] latent weights, Q15
    beta: np.ndarray  # [M] biases
    T: np.ndarray  # [M] targets
    e_W: int = -1
    e_beta: int = -1
    images: "Images" = None  # that a convolution takes

    def __post_init__(self):
        """What AdaMax has: momenta, Q15, and logarithmic scales, in 1/512 octave."""
        self.m_W, self.v_W = np.zeros_like(self.W), np.full_like(self.W, -32768)
        self.m_beta, self.v_beta = np.zeros_like(self.beta), np.full_like(self.beta, -32768)


def root(v):
    """Square root, rounded to nearest: v > (r + 1/2)^2 exactly if v > r^2 + r."""
    r = isqrt(v)
    return r + (v > r * r + r)


def class_targets(class_counts, n_rows=0):
    n = n_rows or sum(class_counts)
    assert n > 0
    assert min(class_counts) >= 0
    assert max(class_counts) <= n
    s = max(0, n.bit_length() - 16)
    n1, shares = n >> s, [c >> s for c in class_counts]
    return integers([max(2, root(9216 * c * (n1 - c) // n1**2)) for c in shares])


def little_endian_i16(octets):
    """[rows][2n] bytes to [rows][n] values."""
    low, high = octets[:, 0::2], octets[:, 1::2]
    return ((low | high << 8) ^ 0x8000) - 0x8000


# Section 3: forward


def sign_of(v):
    """+1 or -1, never 0."""
    return np.where(v >= 0, integers(1), integers(-1))


def deterministic_weights(W, ternary):
    return np.where(np.abs(W) > 10922, sign_of(W), 0) if ternary else sign_of(W)


def stochastic_weights(W, ternary, r):
    if ternary:
        return np.where((r & 127) < (np.abs(W) + 128 >> 8), sign_of(W), 0)
    return np.where((r & 127) < (W + (1 << 15) + 256 >> 9), integers(1), integers(-1))


BELOW = integers([33280, 34304, 35840, 38912, 45056, 53248, 59392, 62464, 64512, 65536])
FACTOR_J = integers([0, 5, 4, 3, 2, 1, 3, 4, 5, 0])
FACTOR_SGN = integers([0, 1, 1, 1, 1, 1, -1, -1, -1, 0])
FACTOR_D = integers([0, 5, 4, 3, 2, 1, 2, 3, 4, -1])


def two_power(T, s16):
    """T / s as (j, sgn, k): scaled(c) = c · 2^j + sgn · c, to be divided by 2^k."""
    v = np.maximum(0, bitlen(s16) - 16)
    Q = (integers(T) << 24) // (s16 >> v)
    L = bitlen(Q)
    mant = (Q << 16) >> L
    assert np.all(bitlen(mant) == 16)
    row = np.searchsorted(BELOW, mant, side="right")  # the first with mant < below
    return FACTOR_J[row], FACTOR_SGN[row], 21 + v - L + FACTOR_D[row]


def scaled(c, scale):
    j, sgn, _ = scale
    return (integers(c) << j) + sgn * c


def statistics(z):
    """Step 3: mean and 16 · 5/4 · mean absolute deviation of each unit."""
    mu = divide(z.sum(axis=0), len(z))
    c = bounded(z - mu, 1 << 25)
    return mu, bounded(np.maximum(16, divide(20 * np.abs(c).sum(axis=0), len(z))), 1 << 30)


def normalise(c, scale):
    return clamp(shift(bounded(scaled(c, scale), 1_110_000_000), scale[2]), -127, 127)


def add_bias(z_hat, beta):
    return z_hat + (beta + 128 >> 8)


def activation(y, sign):
    return sign_of(y) if sign else clamp(y, 0, 127)


def features(x, n_features, batch_size):
    x = np.asarray(x)
    assert x.dtype == np.uint8
    assert x.ndim == 2 and x.shape[1] == n_features
    assert 1 <= len(x) <= batch_size
    return integers(x)


@dataclass
class Trace:
    """What the backward pass needs of one layer's forward pass."""

    x: np.ndarray  # [B][N], or [B·H·W][C], layer input: features, or activations of that before
    w: np.ndarray  # [M][N] propagated weights
    mu: np.ndarray
    s16: np.ndarray
    scale: tuple
    z_hat: np.ndarray
    y: np.ndarray
    a: np.ndarray
    origin: np.ndarray  # [R][M] of a convolution, else None


def forward(layers, x, method=Method(), random=None):
    """A training step has `random(purpose, layer, rows, cols)`, calibration has not."""
    traces = []
    for index, layer in enumerate(layers):
        if random and method.stochastic:
            r = random(WEIGHTS, index, *layer.W.shape)
            w = stochastic_weights(layer.W, method.ternary, r)
        else:
            w = deterministic_weights(layer.W, method.ternary)
        x = in_rows(x, layer.images, w)
        z, origin = sums(x, w, layer.images, method.outside(index))
        mu, s16 = statistics(z)
        scale = two_power(layer.T, s16)
        z_hat = normalise(z - mu, scale)
        y = add_bias(z_hat, layer.beta)
        a = activation(y, method.sign)
        if random and method.dropout and index < len(layers) - 1:
            a = np.where(random(DROPOUT, index, *a.shape) < method.dropout, 0, a)
        traces.append(Trace(x, w, mu, s16, scale, z_hat, y, a, origin))
        x = a
    return traces


# Sections 4 to 7: loss, backward, update


def squared_hinge(y, labels):
    """Section 4: the loss and the error at the scores."""
    t = np.where(labels[:, None] == np.arange(y.shape[1]), integers(1), integers(-1))
    h = np.maximum(0, 32 - t * y)
    return int((h * h).sum()), bounded(-t * h * 64, 1 << 15)


def loss_of_targets(y, t):
    """Section 4, of targets: the loss and the error at the scores."""
    assert np.all(np.abs(t) <= 32)
    beyond = ((t == 32) & (y > 32)) | ((t == -32) & (y < -32))
    d = np.where(beyond, 0, t - y)
    return int((d * d).sum()), bounded(-d * 64, 1 << 15)


def inside(trace, sign):
    """Section 5: where a hidden unit passes errors on. A unit left out has a = 0."""
    if sign:
        return (np.abs(trace.y) <= 32) & (trace.a != 0)
    return (trace.a > 0) & (trace.a < 127)


def norm_backward(g, z_hat, T):
    """Section 5, steps 1 to 3: dβ, and the error e at the normalised units before the scale."""
    B = len(g)
    d_beta = bounded(shift(g.sum(axis=0), bias_shift(B)), 1 << 30)
    P = (g * ap2(z_hat)).sum(axis=0)
    q = divide(divide(5 * P, 4 * B), T)
    c1 = g - np.sign(z_hat) * q
    return d_beta, clamp(c1 - divide(c1.sum(axis=0), B), -32767, 32767)


def shared_exponent(e, scale):
    """Section 5, step 4: E."""
    x = scaled(np.abs(e).max(axis=0), scale)
    return int((bitlen(x) - scale[2])[x > 0].max()) if np.any(x > 0) else 7


def quantise_error(e, scale, E, r):
    """Section 5, step 4: δ, int8 with one exponent for the layer."""
    k = np.minimum(scale[2] + E - 7, 31)
    v = bounded(scaled(e, scale), 1 << 21)
    bounded(shift(v, k - 8), (1 << 15) + 1)
    return clamp(stochastic(v, k, r), -127, 127)


def error_of_sums(D, M):
    """Section 6: the error at the previous layer's y, inside and outside its linear range."""
    return clamp(shift(bounded(D, 1 << 23), bitlen(127 * M) - 15), -32767, 32767)


def weights_backward(delta, w):
    """Section 6, of a fully connected layer."""
    return error_of_sums(delta @ w, len(w))


def feature_bits(x, r):
    """Section 7, step 1: 1 or 0, of expectation x / 256."""
    return integers(r < x)


def activation_bits(a, r):
    """Section 7, step 1: 1 or 0, of expectation min(1, a / 32)."""
    return integers((r & 31) < a)


def clipped_step(gradient, e, k, r):
    """Section 7, steps 3 and 4: the gradient within ±2^(e+1), divided by 2^k."""
    clipped = clamp(gradient, -2 << e, 2 << e)
    bounded(shift(clipped, k - 8), (1 << 24) + 1)
    return stochastic(clipped, k, r)


def exponent(gradient, before):
    top = int(np.abs(gradient).max())
    return top.bit_length() - 1 if top else before


def log_scale(v, g, u):
    """Section 7, step 5: v'."""
    of_g = np.where(g == 0, -32768, 512 * (bitlen(np.abs(g)) + u))
    return clamp(np.maximum(v - 1, of_g), -32768, 32767)


def momentum(m, v, v1, g, u):
    """Section 7, step 5: m', in units of 2^(p' - 15); v1 is v'."""
    p, p1 = v + 511 >> 9, v1 + 511 >> 9
    m1 = clamp(shift(m, np.minimum(p1 - p, 16)), -32767, 32767)
    t = shift(g, clamp(p1 - u - 15, -15, 30))
    bounded(t[v1 < 32767], (1 << 15) + 1)
    return m1 + shift(bounded(clamp(t, -32767, 32767) - m1, 1 << 16), 3)


def bias_correction(step):
    """Section 7, step 5: c."""
    return 3 if step < 1 else 2 if step < 3 else 1 if step < 9 else 0


def slower(layer):
    """Section 12: the rate of biases, in halvings."""
    return 4 if layer.images else 0


def momentum_step(m, k, r):
    bounded(shift(m, k - 8), 1 << 26)
    return stochastic(m, k, r)


# Section 8: order of rows, learning rate


def row_order(seed, epoch, n):
    key = stream_key(seed, epoch, ROW_ORDER, 0)
    i = np.arange(n, dtype=np.int64)
    j, pending, attempt = np.zeros_like(i), i > 0, 0
    while np.any(pending):
        word, _ = threefry(key, (attempt, i))
        candidate = word & ((1 << bitlen(i)) - 1)
        won = pending & (candidate <= i)
        j[won] = candidate[won]
        pending, attempt = pending & ~won, attempt + 1
    order = list(range(n))
    for a in range(n - 1, 0, -1):
        b = int(j[a])
        order[a], order[b] = order[b], order[a]
    return integers(order)


def rate_exponent(h0, h1, step, total):
    return min(h1, h0 + (h1 - h0 + 1) * step // total)


# Section 12: convolutions


def extent(n, k, s, valid):
    """Of n pixels along one axis: H1 and top, or W1 and left."""
    if valid:
        return (n - k) // s + 1, 0
    n1 = -(-n // s)
    return n1, max(0, (n1 - 1) * s + k - n) // 2


@dataclass(frozen=True)
class Images:
    """A convolution and its input, images [H][W][C], of which B stand in B·H·W rows of C.

    Its sums z1 and what belongs to them are in rows too, one for each (b, Y2, X2, u, v) in this
    order: R·p·p of them, so that what is pooled stands together.
    """

    conv: Conv2D
    H: int
    W: int
    C: int

    @property
    def N(self):
        return self.conv.kernel_size**2 * self.C

    def extents(self):
        """(H1, top), (W1, left)."""
        conv = self.conv
        return [extent(n, conv.kernel_size, conv.stride, conv.valid) for n in (self.H, self.W)]

    def output(self):
        """H2, W2, M."""
        (H1, _), (W1, _) = self.extents()
        return H1 // self.conv.pool, W1 // self.conv.pool, self.conv.units

    def allowed(self, most_rows):
        k = self.conv.kernel_size
        H2, W2, M = self.output()
        fits = k <= min(self.H, self.W) and min(H2, W2) >= 1  # pool <= H1 is H2 >= 1
        fits = fits and k * k * max(self.C, M) <= 65536 and H2 * W2 * M <= 1 << 24
        return fits and most_rows >= H2 * W2

    def pixels(self):
        """[H2·W2·p·p][k·k]: the pixel y·W + x that (i, j) is at in each sum; H·W if outside."""
        k, s, p = self.conv.kernel_size, self.conv.stride, self.conv.pool
        (_, top), (_, left) = self.extents()
        H2, W2, _ = self.output()
        Y2, X2, u, v, i, j = np.ogrid[:H2, :W2, :p, :p, :k, :k]
        y, x = (p * Y2 + u) * s + i - top, (p * X2 + v) * s + j - left
        inside = (y >= 0) & (y < self.H) & (x >= 0) & (x < self.W)
        return np.where(inside, y * self.W + x, self.H * self.W).reshape(-1, k * k)

    def windows(self, a, outside):
        """[R·p·p][N]: the numbers of the input `a` that each sum is of."""
        images = a.reshape(-1, self.H * self.W, self.C)
        around = np.full((len(images), 1, self.C), outside, dtype=np.int64)
        return np.concatenate([images, around], axis=1)[:, self.pixels()].reshape(-1, self.N)

    def gathered(self, parts):
        """[B·H·W][C]: the sum of all the `parts`, [R·p·p][N], that belong to a number of `a`."""
        pixels = self.pixels()
        parts = parts.reshape(-1, *pixels.shape, self.C)
        D = np.zeros((len(parts), self.H * self.W + 1, self.C), dtype=np.int64)
        for b, of_image in enumerate(parts):
            np.add.at(D[b], pixels, of_image)
        return D[:, :-1].reshape(-1, self.C)


def pooled(z1, p):
    """z, [R][M], and u·p + v of its origins."""
    z1 = z1.reshape(-1, p * p, z1.shape[1])
    return z1.max(axis=1), z1.argmax(axis=1)  # argmax is the first


def at_origins(delta, origin, p):
    """δ1, [R·p·p][M]."""
    here = origin[:, None, :] == np.arange(p * p)[:, None]
    return np.where(here, delta[:, None, :], 0).reshape(-1, delta.shape[1])


def in_rows(x, images, w):
    """The layer's input in rows as it takes them: of a pixel, or of N numbers."""
    columns = images.C if images else w.shape[1]
    return x if x.shape[1] == columns else x.reshape(-1, columns)


def sums(x, w, images, outside):
    """z and, of a convolution, its origins."""
    if not images:
        return bounded(x @ w.T, 1 << 24), None
    return pooled(bounded(images.windows(x, outside) @ w.T, 1 << 24), images.conv.pool)


def bias_shift(R):
    return max(0, int(bitlen(R - 1)) - 15)


def layout(n_features, units, shape):
    """N, M and, of a convolution, the Images of each layer; to be checked by `allowed`."""
    layers, N = [], n_features
    for M in units:
        if isinstance(M, Conv2D):
            images = Images(M, *shape)
            layers.append((images.N, M.units, images))
            shape = images.output()
            N = prod(shape)
        else:
            layers.append((N, M, None))
            N, shape = M, (0, 0, 0)  # no convolution fits
    return layers


def allowed(n_features, layers, batch_size, exact):
    """Section 10 and the limits of section 12, of a `layout`."""
    first, last = layers[0][2], layers[-1][2]
    most_rows = (1 << (15 if exact else 23)) // batch_size
    return (
        all(1 <= N <= 65536 and 1 <= M <= 65536 for N, M, _ in layers)
        and all(images.allowed(most_rows) for _, _, images in layers if images)
        and (not first or n_features == first.H * first.W * first.C)
        and (not first or max(first.H, first.W) <= 4095)  # FORMAT.md
        and not last
    )


def augment(x, shape, seed, step, flip, crop):
    """The images x, [B][H·W·C] uint8, as the training step `step` takes them."""
    H, W, C = shape
    r = random_bytes(seed, step, AUGMENTATION, 0, len(x), 8)
    images = x.reshape(-1, H, W, C)
    out = np.zeros_like(images)
    for b, image in enumerate(images):
        if flip and r[b, 0] < 128:
            image = image[:, ::-1]
        d_y, d_x = ((r[b, [2, 4]] + 256 * r[b, [3, 5]]) * (2 * crop + 1) >> 16) - crop
        for at in np.ndindex(H, W):
            y, x = at[0] + d_y, at[1] + d_x
            if 0 <= y < H and 0 <= x < W:
                out[b][at] = image[y, x]
    return out.reshape(len(out), -1)


def contrasts(x, shape):
    """Section 13: of images x, [B][H·W·C] uint8, the features [B][H·W·C·4] uint8."""
    H, W, C = shape
    p = np.asarray(x).reshape(-1, H, W, C).astype(int)
    beside = np.pad(p, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    around = sum(beside[:, i : i + H, j : j + W] for i in range(3) for j in range(3))
    near, far = 9 * p - around, 16 * p - divide(16 * p.sum(axis=(1, 2), keepdims=True), H * W)
    out = np.zeros((*p.shape, 4), dtype=np.uint8)
    for b in range(len(p)):
        for first, grey_level, v in ((0, 9, near[b]), (2, 16, far[b])):
            s16 = max(16 * grey_level, divide(20 * np.abs(v).sum(), v.size))
            scale = two_power(64, s16)
            a = clamp(shift(scaled(np.abs(v), scale), scale[2]), 0, 255)
            out[b, ..., first], out[b, ..., first + 1] = a * (v > 0), a * (v < 0)
    return out.reshape(len(p), -1)


class ReferenceNet:
    def __init__(
        self,
        n_features,
        units,
        batch_size,
        seed,
        class_counts=None,
        method=Method(),
        n_rows=0,
        shape=(0, 0, 0),
    ):
        """Section 2, initial values. `units` ends with the number of classes.

        `shape` is (H, W, C) of the images that features are, if `units` begins with a Conv2D.
        """
        counts = [1] * units[-1] if class_counts is None else [int(c) for c in class_counts]
        assert len(counts) == units[-1] >= 2
        assert 1 <= len(units) <= 32
        assert method.suits(len(units))
        assert 1 <= batch_size <= 32768
        assert 0 <= seed < 1 << 64
        assert 1 <= n_features <= 65536
        planned = layout(n_features, units, shape)
        assert allowed(n_features, planned, batch_size, method.exact)
        self.n_features, self.batch_size, self.seed, self.step = n_features, batch_size, seed, 0
        self.layers, self.calibration, self.method = [], [], method
        for index, (N, M, images) in enumerate(planned):
            W = little_endian_i16(self._random(INITIAL_W, index, M, 2 * N))
            whole = method.ternary or method.stochastic
            W = np.maximum(W, -32767) if whole else W >> 2
            beta = little_endian_i16(self._random(INITIAL_BETA, index, 1, 2 * M))[0] >> 2
            self.layers.append(Layer(W, beta, np.full(M, 32, dtype=np.int64), images=images))
        output = self.layers[-1]
        output.T, output.beta = class_targets(counts, n_rows), np.zeros_like(output.beta)

    def _random(self, purpose, layer, rows, cols):
        return random_bytes(self.seed, self.step, purpose, layer, rows, cols)

    def train_step(self, x, labels, h):
        """Sections 3 to 7 on one batch, at the learning rate 2^-h. Returns the loss."""
        return self._train(x, h, lambda y: squared_hinge(y, integers(labels)))

    def train_step_targets(self, x, targets, h):
        """The same of targets, [B][M]."""
        return self._train(x, h, lambda y: loss_of_targets(y, integers(targets)))

    def _train(self, x, h, loss_of):
        assert h >= 0
        assert self.step < MASK32
        self.calibration = []
        x = self._drop(features(x, self.n_features, self.batch_size))
        traces = forward(self.layers, x, self.method, self._random)
        loss, g = loss_of(traces[-1].y)
        unit = 0  # that of g is 2^unit
        for index in reversed(range(len(traces))):
            layer, trace = self.layers[index], traces[index]
            if index < len(traces) - 1:
                g = np.where(inside(trace, self.method.sign), g.reshape(trace.y.shape), 0)
            d_beta, e = norm_backward(g, trace.z_hat, layer.T)
            E = shared_exponent(e, trace.scale)
            delta = quantise_error(e, trace.scale, E, self._random(ERROR, index, *e.shape))
            s = self._outer_input(index, trace.x)
            if layer.images:
                delta = at_origins(delta, trace.origin, layer.images.conv.pool)
                s = layer.images.windows(s, self.method.outside(index))
            G = delta.T @ s
            bounded(G, 1 << (30 if self.method.exact or layer.images else 22))
            self._decay(index, h)
            if self.method.adamax:
                u_beta = unit + bias_shift(len(e))
                units = [int(clamp(u, -40, 40)) for u in (unit + E - 7, u_beta)]
                self._adamax(index, G, d_beta, *units, h)
            else:
                self._sgd(index, G, d_beta, h)
            if index > 0:
                if layer.images:
                    g = error_of_sums(layer.images.gathered(delta @ trace.w), len(trace.w))
                else:
                    g = weights_backward(delta, trace.w)
                unit += E - 7 + int(bitlen(127 * len(trace.w))) - 15
        self.step += 1
        return loss

    def _drop(self, x):
        """Section 3, step 2: features without those left out."""
        if self.method.input_dropout == 0:
            return x
        return np.where(self._random(INPUT_DROPOUT, 0, *x.shape) < self.method.input_dropout, 0, x)

    def _outer_input(self, index, x):
        """Section 7, step 1: s."""
        if self.method.exact or (self.method.sign and index > 0):
            return x
        random_bits = activation_bits if index > 0 else feature_bits
        return random_bits(x, self._random(OUTER, index, *x.shape))

    def _decay(self, index, h):
        """Section 7, step 2."""
        layer, decay = self.layers[index], self.method.decay
        if decay > 0 and self.step % (1 << max(0, h + decay - 6)) == 0:
            layer.W = layer.W - shift(layer.W, 6)

    def _sgd(self, index, G, d_beta, h):
        """Section 7, steps 3 and 4. The exponents are those of the step before."""
        layer = self.layers[index]
        if layer.e_W >= 0:
            r = self._random(UPDATE_W, index, *G.shape)
            change = clipped_step(G, layer.e_W, layer.e_W + h - 15, r)
            layer.W = clamp(layer.W - change, -32767, 32767)
        if layer.e_beta >= 0:
            r = self._random(UPDATE_BETA, index, 1, len(d_beta))[0]
            k = layer.e_beta + h - 14 + slower(layer)
            change = clipped_step(d_beta, layer.e_beta, k, r)
            layer.beta = clamp(layer.beta - change, -24576, 24576)
        layer.e_W = exponent(G, layer.e_W)
        layer.e_beta = exponent(d_beta, layer.e_beta)

    def _adamax(self, index, G, d_beta, u_W, u_beta, h):
        """Section 7, step 5."""
        layer, c = self.layers[index], bias_correction(self.step)
        v, layer.v_W = layer.v_W, log_scale(layer.v_W, G, u_W)
        layer.m_W = momentum(layer.m_W, v, layer.v_W, G, u_W)
        change = momentum_step(layer.m_W, h - c, self._random(UPDATE_W, index, *G.shape))
        layer.W = clamp(layer.W - change, -32767, 32767)
        v, layer.v_beta = layer.v_beta, log_scale(layer.v_beta, d_beta, u_beta)
        layer.m_beta = momentum(layer.m_beta, v, layer.v_beta, d_beta, u_beta)
        r = self._random(UPDATE_BETA, index, 1, len(d_beta))[0]
        change = momentum_step(layer.m_beta, h - c + 1 + slower(layer), r)
        layer.beta = clamp(layer.beta - change, -24576, 24576)

    def calibrate(self, x):
        """Section 9."""
        x = features(x, self.n_features, self.batch_size)
        traces = forward(self.layers, x, self.method)
        self.calibration.append([np.stack([trace.mu, trace.s16]) for trace in traces])

    def model(self):
        assert self.calibration, "calibrate first"
        method, deployed = self.method.of_model(), []
        for layer, seen in zip(self.layers, zip(*self.calibration, strict=True), strict=True):
            mean, s16 = divide(sum(seen), len(seen))
            w = deterministic_weights(layer.W, method.ternary)
            scale = two_power(layer.T, s16)
            deployed.append(Deployed(w, mean, layer.beta, scale, images=layer.images))
        for layer in deployed[:-1] if method.sign else []:
            layer.theta = threshold(layer)
        return write_model(self.n_features, deployed, method)

    def checkpoint(self):
        sizes = (self.batch_size, self.n_features, shape_word(self.layers))
        body = struct.pack("<QIIII", self.seed, self.step, *sizes)
        for layer in self.layers:
            body += struct.pack("<IIii", kind_word(layer), len(layer.W), layer.e_W, layer.e_beta)
        body = padded(body + self.layers[-1].T.astype("u1").tobytes())
        for layer in self.layers:
            values = [layer.beta, layer.W]
            if self.method.adamax:
                values += [layer.m_beta, layer.m_W, layer.v_beta, layer.v_W]
            body = padded(body + b"".join(v.astype("<i2").tobytes() for v in values))
        return seal(b"BINNETCK", self.method, body)

    @classmethod
    def restore(cls, data):
        net, take = cls.__new__(cls), Reader(data, b"BINNETCK")
        net.method = take.method
        (net.seed,) = take("<u8", 1).tolist()
        net.step, net.batch_size, net.n_features, shape = take("<u4", 4).tolist()
        within(net.batch_size, 1, 32768)
        heads, planned = take.heads(net.n_features, shape, 4, net.batch_size)
        targets = within(take("u1", heads[-1, 1]), 2, 48)
        net.layers, net.calibration = [], []
        for (_, _, e_W, e_beta), (N, M, images) in zip(heads.tolist(), planned, strict=True):
            take.align(4)
            within([e_W, e_beta], -1, -1 if net.method.adamax else 29)
            beta = within(take("<i2", M), -24576, 24576)
            W = within(take("<i2", M * N), -32767, 32767).reshape(M, N)
            layer = Layer(W, beta, np.full(M, 32, dtype=np.int64), e_W, e_beta, images)
            if net.method.adamax:
                layer.m_beta = within(take("<i2", M), -32767, 32767)
                layer.m_W = within(take("<i2", M * N), -32767, 32767).reshape(M, N)
                layer.v_beta, layer.v_W = take("<i2", M), take("<i2", M * N).reshape(M, N)
            net.layers.append(layer)
        take.align(4)
        net.layers[-1].T = targets
        same(take.without_appendix(), net.checkpoint())  # so padding is zero
        return net


# FORMAT.md: what both files share


def padded(body, to=4):
    """The head of 24 bytes before the body is aligned already."""
    return body + bytes(-len(body) % to)


def seal(magic, method, body):
    data = magic + struct.pack("<IIQ", 1, method.to_u32(), 24 + len(body) + 4) + body
    return data + struct.pack("<I", zlib.crc32(data))


def shape_word(layers):
    images = layers[0].images
    return len(layers) | (images.H << 8 | images.W << 20 if images else 0)


def kind_word(layer):
    return layer.images.conv.to_u32() if layer.images else DENSE


def within(v, lo, hi):
    if not np.all((lo <= integers(v)) & (integers(v) <= hi)):
        raise ValueError("not a valid file")
    return v


def same(v, expected):
    if v != expected:
        raise ValueError("not a valid file")


class Reader:
    """Hands out the fields of a file in order, after checking what frames them."""

    def __init__(self, data, magic):
        self.data, self.at, self.magic = data, 24, magic
        self.method = Method.from_u32(int.from_bytes(data[12:16], "little"))
        same(data, seal(magic, self.method, data[24:-4]))
        same(len(data) % 4, 0)

    def __call__(self, dtype, count):
        dtype = np.dtype(dtype)
        within(self.at + dtype.itemsize * int(count), 0, len(self.data) - 4)
        v = np.frombuffer(self.data, dtype, int(count), self.at)
        self.at += v.nbytes
        return v if dtype.names or dtype.itemsize == 8 else integers(v)

    def align(self, to):
        self.at += -self.at % to

    def without_appendix(self):
        """The file, had it ended here; what is left of it may be anything."""
        return seal(self.magic, self.method, self.data[24 : min(self.at, len(self.data) - 4)])

    def heads(self, n_features, shape, words, batch_size=1):
        """What stands of each layer before all of them, and the `layout` that it says."""
        n_layers, H, W = shape & 255, shape >> 8 & 4095, shape >> 20
        within(n_features, 1, 65536)
        within(n_layers, 1, 32)
        same(self.method.suits(n_layers), True)
        heads = self("<i4", n_layers * words).reshape(n_layers, words)
        within(heads[:, 1], 1, 65536)
        within(heads[-1, 1], 2, 65536)
        units = [
            M if kind == DENSE else Conv2D.from_u32(kind, M) for kind, M in heads[:, :2].tolist()
        ]
        planned = layout(n_features, units, (H, W, n_features // max(1, H * W)))
        same(allowed(n_features, planned, batch_size, self.method.exact), True)
        return heads, planned


# FORMAT.md and section 9: deployed model


@dataclass
class Deployed:
    w: np.ndarray  # [M][N] deterministic weights
    mean: np.ndarray = None
    beta: np.ndarray = None
    scale: tuple = None  # (j, sgn, k)
    theta: np.ndarray = None  # of sign units, which keep nothing else
    images: Images = None  # that a convolution takes


UNIT = np.dtype([("mean", "<i4"), ("bias", "<i2"), ("k", "i1"), ("term", "i1")])


def deployed_y(layer, z):
    c = bounded(z - layer.mean, 1 << 25)
    return add_bias(normalise(c, layer.scale), layer.beta)


def threshold(layer):
    """θ, by bisection: `y` does not decrease in z."""
    M, N = layer.w.shape
    low, high = np.full(M, -255 * N), np.full(M, 255 * N + 1)
    while np.any(low < high):
        z = low + high >> 1
        plus = deployed_y(layer, z) >= 0
        low, high = np.where(plus, low, np.minimum(z + 1, high)), np.where(plus, z, high)
    return low


def row_bytes(N, of_signs):
    return -(-N // 64) * 8 if of_signs else -(-N // 8)


def write_plane(bits, of_signs):
    packed = np.packbits(bits, axis=1, bitorder="little")
    missing = row_bytes(bits.shape[1], of_signs) - packed.shape[1]
    return np.pad(packed, ((0, 0), (0, missing))).tobytes()


def read_plane(take, M, N, of_signs):
    packed = take("u1", M * row_bytes(N, of_signs)).reshape(M, -1).astype(np.uint8)
    return integers(np.unpackbits(packed, axis=1, count=N, bitorder="little"))


def write_model(n_features, layers, method=Method()):
    body = struct.pack("<II", n_features, shape_word(layers))
    for layer in layers:
        body += struct.pack("<II", kind_word(layer), len(layer.w))
    for index, layer in enumerate(layers):
        if method.sign and index < len(layers) - 1:
            body += layer.theta.astype("<i4").tobytes()
        else:
            j, sgn, k = layer.scale
            unit = np.empty(len(layer.w), dtype=UNIT)
            unit["mean"], unit["bias"], unit["k"], unit["term"] = layer.mean, layer.beta, k, sgn * j
            body += unit.tobytes()
        of_signs = method.sign and index > 0
        body = padded(body, 8 if of_signs else 4)
        body += write_plane(layer.w > 0, of_signs)
        body += write_plane(layer.w >= 0, of_signs) if method.ternary else b""
        body = padded(body)
    return seal(b"BINNETMD", method, body)


def read_model(data):
    take, layers = Reader(data, b"BINNETMD"), []
    n_features, shape = take("<u4", 2).tolist()
    method = take.method
    same(method, method.of_model())
    _, planned = take.heads(n_features, shape, 2)
    for index, (N, M, images) in enumerate(planned):
        layer = Deployed(None, images=images)
        if method.sign and index < len(planned) - 1:
            layer.theta = within(take("<i4", M), -255 * N, 255 * N + 1)
        else:
            unit = take(UNIT, M)
            layer.mean, layer.beta, k, term = (integers(unit[name]) for name in UNIT.names)
            within(layer.mean, -255 * N, 255 * N)
            within(layer.beta, -24576, 24576)
            within(k, -8, 30)
            within(np.isin(term, (0, 1, 2, 3, 4, 5, -3, -4, -5)), 1, 1)
            layer.scale = (np.abs(term), np.sign(term), k)
        of_signs = method.sign and index > 0
        take.align(8 if of_signs else 4)
        low = read_plane(take, M, N, of_signs)
        high = read_plane(take, M, N, of_signs) if method.ternary else low
        layer.w = low + high - 1
        take.align(4)
        layers.append(layer)
    # So padding is zero and no bit is set in low alone.
    same(take.without_appendix(), write_model(n_features, layers, method))
    return n_features, layers


def predict(model_bytes, x):
    """Section 9: scores (8192 is the margin 1) and the first class of largest score."""
    n_features, layers = read_model(model_bytes)
    a, outside = features(x, n_features, len(x)), 0
    for layer in layers:
        z, _ = sums(in_rows(a, layer.images, layer.w), layer.w, layer.images, outside)
        if layer is layers[-1]:
            break
        if layer.theta is None:
            a = activation(deployed_y(layer, z), sign=False)
        else:
            a, outside = sign_of(z - layer.theta), -1
    output = layers[-1]
    c, k = bounded(z - output.mean, 1 << 25), output.scale[2]
    v, limit = bounded(scaled(c, output.scale), 1_110_000_000), 1 << (30 - np.maximum(8 - k, 0))
    v = np.where(k < 8, clamp(v, -limit, limit), v)
    scores = bounded(shift(v, k - 8) + output.beta, 1 << 31)
    return scores.astype(np.int32), scores.argmax(axis=1)
