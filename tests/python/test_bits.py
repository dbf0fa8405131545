"""Packed ±1 matrices and their product against numpy."""

import dataclasses
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pybinnet
from pybinnet import PackedBits, pack_bits, xnor_matmul

EDGES = [0, 1, 7, 8, 63, 64, 65, 127, 128, 129, 255, 256, 257]


def signs(a):
    a = np.asarray(a)
    return np.where(a if a.dtype == bool else a >= 0, 1, -1)


real_matrices = hnp.arrays(
    st.one_of(
        hnp.boolean_dtypes(),
        hnp.integer_dtypes(endianness="="),
        hnp.unsigned_integer_dtypes(endianness="="),
        hnp.floating_dtypes(endianness="=", sizes=(16, 32, 64)),
    ),
    st.tuples(st.integers(0, 5), st.integers(0, 200)),
).filter(lambda a: a.dtype.kind != "f" or not np.isnan(a).any())


@given(real_matrices)
@settings(deadline=None, max_examples=200)
def test_unpack_is_sign(a):
    packed = pack_bits(a)
    assert packed.shape == a.shape
    assert packed.nbytes == packed.words.nbytes == len(a) * -(-a.shape[1] // 64) * 8
    unpacked = packed.unpack()
    assert unpacked.dtype == np.int8
    np.testing.assert_array_equal(unpacked, signs(a))
    assert pack_bits(unpacked) == packed
    assert PackedBits(packed.words, packed.n_bits) == packed


def test_bit_order():
    a = np.full((1, 65), -1)
    a[0, [0, 9, 64]] = 1
    packed = pack_bits(a)
    bytes_ = packed.words.view(np.uint8)[0]
    assert bytes_.tolist() == [1, 2] + 6 * [0] + [1] + 7 * [0]


@pytest.mark.parametrize("layout", ["F", "strided", "reversed", "big-endian"])
def test_any_layout_packs(layout):
    a = np.random.default_rng(0).standard_normal((9, 70))
    b = {
        "F": np.asfortranarray(a),
        "strided": np.repeat(a, 2, axis=1)[:, ::2],
        "reversed": a[:, ::-1].copy()[:, ::-1],
        "big-endian": a.astype(">f8"),
    }[layout]
    assert pack_bits(b) == pack_bits(a)


def test_long_rows_pack():
    a = np.random.default_rng(0).standard_normal((3, (1 << 20) + 5)).astype(np.float32)
    np.testing.assert_array_equal(pack_bits(a).unpack(), signs(a))
    a = a.reshape(-1, 3)  # many short rows: more than one block
    np.testing.assert_array_equal(pack_bits(a).unpack(), signs(a))


@given(
    n_a=st.one_of(st.sampled_from(EDGES), st.integers(0, 40)),
    n_b=st.one_of(st.sampled_from(EDGES), st.integers(0, 80)),
    n_bits=st.one_of(st.sampled_from(EDGES), st.integers(0, 700)),
    n_jobs=st.sampled_from([None, 1, 2, 3]),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=150)
def test_product_equals_numpy(n_a, n_b, n_bits, n_jobs, seed):
    random = np.random.default_rng(seed)
    a = random.integers(-2, 3, (n_a, n_bits))
    b = random.integers(-2, 3, (n_b, n_bits))
    product = xnor_matmul(a, pack_bits(b), n_jobs=n_jobs)
    assert product.dtype == np.int32
    np.testing.assert_array_equal(product, signs(a) @ signs(b).T)


SHAPES = [(1, 1, 64), (5, 17, 8191), (9, 70, 8192), (6, 65, 8193), (2, 3, 30000), (1030, 66, 100)]


def test_threads_are_kept_for_each_caller():
    """They wait for its next product; callers at the same time must not share them."""
    a = np.random.default_rng(1).standard_normal((200, 700))
    expected = signs(a) @ signs(a).T
    packed = pack_bits(a)
    with ThreadPoolExecutor(4) as executor:
        products = executor.map(lambda i: xnor_matmul(packed, packed, n_jobs=1 + i % 3), range(60))
        assert all(np.array_equal(product, expected) for product in products)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child_multiplies_on():
    a = pack_bits(np.random.default_rng(2).standard_normal((100, 300)))
    expected = xnor_matmul(a, a, n_jobs=2)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(xnor_matmul(a, a, n_jobs=2), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize(("n_a", "n_b", "n_bits"), SHAPES)
def test_blocks(isa, n_a, n_b, n_bits, n_jobs):
    """Shapes around the sizes of the blocks, on every instruction set."""
    random = np.random.default_rng(n_bits)
    a, b = random.standard_normal((n_a, n_bits)), random.standard_normal((n_b, n_bits))
    expected = (signs(a).astype(np.float64) @ signs(b).T).astype(np.int32)
    np.testing.assert_array_equal(xnor_matmul(a, b, n_jobs=n_jobs), expected)


def test_equal_and_opposite_rows(isa):
    ones = np.ones((3, 9000))
    assert (xnor_matmul(ones, ones) == 9000).all()
    assert (xnor_matmul(ones, -ones) == -9000).all()


def test_out():
    a = pack_bits(np.ones((2, 3)))
    out = np.zeros((2, 2), dtype=np.int32)
    assert xnor_matmul(a, a, out=out) is out
    assert (out == 3).all()
    read_only = out.view()
    read_only.flags.writeable = False
    for bad in (out[:1], out.T[:, :1], out.astype(np.int64), read_only, [[0, 0], [0, 0]]):
        with pytest.raises(ValueError, match="out must be"):
            xnor_matmul(a, a, out=bad)
    words = np.zeros((2, 1), dtype=np.uint64)
    with pytest.raises(ValueError, match="not be the memory"):
        xnor_matmul(a, PackedBits(words, 3), out=words.view(np.int32))


def test_frozen():
    packed = pack_bits(np.ones((2, 3)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        packed.n_bits = 4
    with pytest.raises(ValueError, match="read-only"):
        packed.words[0] = 0
    with pytest.raises(TypeError, match="unhashable"):
        hash(packed)
    assert packed != pack_bits(np.ones((2, 4)))
    assert packed != pack_bits(-np.ones((2, 3)))
    assert packed != 3
    assert repr(packed) == "PackedBits(shape=(2, 3), nbytes=16)"


def test_words_stay_the_callers():
    words = np.zeros((1, 1), dtype=np.uint64)
    packed = PackedBits(words, 3)
    words[0] = 1  # not copied, not made read-only
    assert packed.unpack().tolist() == [[1, -1, -1]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pack_bits([1, 2]), ValueError, "1 dimensions"),
        (lambda: pack_bits(np.zeros((1, 2, 3))), ValueError, "3 dimensions"),
        (lambda: pack_bits([[1.0, np.nan]]), ValueError, "NaN"),
        (lambda: pack_bits([[1j]]), TypeError, "complex128"),
        (lambda: pack_bits([["a"]]), TypeError, "real numbers"),
        (lambda: xnor_matmul([[1, 2]], [[1]]), ValueError, "A have 2 entries, those of B 1"),
        (lambda: xnor_matmul([[1]], [1]), ValueError, "B: a matrix is needed"),
        (lambda: xnor_matmul([[None]], [[1]]), TypeError, "A: signs are of"),
        (lambda: xnor_matmul([[1]], [[1]], n_jobs=0), ValueError, "n_jobs"),
        (lambda: PackedBits(np.zeros((1, 1)), 3), ValueError, "uint64"),
        (lambda: PackedBits(np.zeros(1, np.uint64), 3), ValueError, "1-D"),
        (lambda: PackedBits(np.zeros((1, 2), np.uint64), 64), ValueError, "are 1 words"),
        (lambda: PackedBits(np.zeros((1, 0), np.uint64), -1), ValueError, "-1 bits"),
        (lambda: PackedBits(np.full((1, 1), 8, np.uint64), 3), ValueError, "beyond the 3"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_cpu_info(isa):
    info = pybinnet.cpu_info()
    assert info["isa"] == isa
    assert "portable" in info["isas"]
    assert info["threads"] >= 1
    assert info["processor"]


def test_pickled_bits_are_read_only_too():
    packed = pack_bits([[1, -1, 3]])
    thawed = pickle.loads(pickle.dumps(packed))
    assert thawed == packed
    assert not thawed.words.flags.writeable
    with pytest.raises(TypeError, match="integer"):
        PackedBits(packed.words, 3.5)
