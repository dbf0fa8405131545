"""PiecewiseLinearEncoder: each rule of its docstring, on examples and on random columns."""

import warnings
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from pybinnet import PiecewiseLinearEncoder
from pybinnet import _features as features

MAX = np.finfo(np.float64).max


def column(*values, dtype=np.float64):
    return np.array(values, dtype=dtype)[:, None]


def normal(n_rows, n_columns=1, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, n_columns))


columns = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 40), st.just(1)),
    elements=st.one_of(
        st.integers(-3, 3).map(float),  # ties
        st.floats(-1e3, 1e3),
        st.floats(allow_nan=False, allow_infinity=False),  # extremes, subnormals
    ),
)
ramps = st.integers(1, 9)


def ends_of(last, span):
    """Where the ramps of a column begin and end, as numbers of edges."""
    begin, end = range(last), range(1, last + 1)
    return list(zip([0] * (span - 1) + [*begin], [*end] + [last] * (span - 1), strict=True))


@parametrize_with_checks(
    [PiecewiseLinearEncoder(), PiecewiseLinearEncoder(n_ramps=1), PiecewiseLinearEncoder(n_ramps=5)]
)
def test_sklearn(estimator, check):
    check(estimator)


# The ramps


def test_ramp_is_linear_between_edges_and_constant_outside():
    encoder = PiecewiseLinearEncoder().fit(column(0, 100, 200))
    assert encoder.edges_[0].tolist() == [0, 100, 200]
    x = np.array([-1e300, -1, 0, 25, 100, 150, 200, 201, 1e300])
    assert encoder.transform(x[:, None]).tolist() == [
        [0, 0], [0, 0], [0, 0], [64, 0], [255, 0], [255, 128], [255, 255], [255, 255], [255, 255]
    ]  # fmt: skip


def test_rounds_half_up():
    encoder = PiecewiseLinearEncoder().fit(column(0, 510))
    x = np.arange(511)
    np.testing.assert_array_equal(encoder.transform(x[:, None])[:, 0], (x + 1) // 2)


def test_output_is_columns_in_order():
    X = np.hstack([column(0, 1, 2), column(5, 5, 5), column(0, 0, 4)])
    encoder = PiecewiseLinearEncoder().fit(X)
    assert [edges.tolist() for edges in encoder.edges_] == [[0, 1, 2], [5], [0, 4]]
    out = encoder.transform(X)
    assert out.tolist() == [[0, 0, 0], [255, 0, 0], [255, 255, 255]]
    assert out.dtype == np.uint8 and out.flags.c_contiguous
    assert encoder.n_features_out_ == 3
    assert encoder.get_feature_names_out().tolist() == ["x0_ramp0", "x0_ramp1", "x2_ramp0"]


def test_few_values_have_a_ramp_between_neighbours():
    encoder = PiecewiseLinearEncoder(3).fit(column(0, 1, 2, 4))
    assert encoder.edges_[0].tolist() == [0, 1, 2, 4] and encoder.spans_ == [1]
    out = encoder.transform(column(0, 1, 2, 3, 4))
    assert out.tolist() == [[0, 0, 0], [255, 0, 0], [255, 255, 0], [255, 255, 128], [255] * 3]


def test_many_values_have_ramps_that_overlap():
    encoder = PiecewiseLinearEncoder(4).fit(np.arange(7.0)[:, None])
    assert encoder.edges_[0].tolist() == [0, 2, 4, 6] and encoder.spans_ == [2]
    out = encoder.transform(column(0, 1, 2, 3, 4, 5, 6))  # from 0 to 2, 0 to 4, 2 to 6, 4 to 6
    assert out.tolist() == [
        [0, 0, 0, 0],
        [128, 64, 0, 0],
        [255, 128, 0, 0],
        [255, 191, 64, 0],
        [255, 255, 128, 0],
        [255, 255, 191, 128],
        [255, 255, 255, 255],
    ]


@pytest.mark.parametrize(
    ("n_ramps", "n_intervals", "span"),
    [(1, 1, 1), (2, 2, 1), (3, 2, 2), (4, 3, 2), (7, 5, 3), (15, 10, 6), (31, 21, 11)],
)
def test_spans_are_half_of_the_column(n_ramps, n_intervals, span):
    encoder = PiecewiseLinearEncoder(n_ramps).fit(normal(200))
    assert (encoder.edges_[0].size - 1, encoder.spans_) == (n_intervals, [span])
    assert encoder.n_features_out_ == n_ramps


@settings(deadline=None)
@given(columns, ramps, hnp.arrays(np.float64, 20, elements=st.floats(-MAX, MAX)))
def test_ramps_rise_between_their_edges(X, n_ramps, x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = PiecewiseLinearEncoder(n_ramps).fit(X)
        edges = encoder.edges_[0]
        x = np.sort(np.concatenate([x, X[:, 0], edges, [-MAX, MAX]]))
        out = encoder.transform(x[:, None])
    ends = ends_of(len(edges) - 1, encoder.spans_[0])
    assert out.dtype == np.uint8 and out.shape == (len(x), max(1, len(ends)))
    assert len(ends) <= n_ramps and len(edges) >= 1
    assert np.all(np.isfinite(edges)) and np.all(edges[1:] > edges[:-1])
    assert np.all(out[1:] >= out[:-1])  # each rises with x
    for t, (low, high) in enumerate(ends):
        assert np.all(out[x <= edges[low], t] == 0)
        assert np.all(out[x >= edges[high], t] == 255)


@settings(deadline=None)
@given(columns, ramps)
def test_few_values_are_all_edges(X, n_ramps):
    values = np.unique(np.clip(X, -MAX / 4, MAX / 4))
    encoder = PiecewiseLinearEncoder(n_ramps).fit(X)
    if len(values) <= n_ramps + 1:
        np.testing.assert_array_equal(encoder.edges_[0], values)
        out = encoder.transform(values[:, None])
        expected = np.tri(len(values), max(1, len(values) - 1), -1) * 255
        np.testing.assert_array_equal(out, expected)
    else:
        assert len(encoder.edges_[0]) == 2 * (n_ramps + 1) // 3 + 1  # ties cost no edges


@settings(deadline=None)
@given(columns, ramps)
def test_encoding_is_not_encoded_again(X, n_ramps):
    out = PiecewiseLinearEncoder(n_ramps).fit_transform(X)
    again = PiecewiseLinearEncoder(n_ramps).fit(out)
    assert again.identity_
    np.testing.assert_array_equal(again.transform(out), out)


@settings(deadline=None)
@given(columns, ramps, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(X, n_ramps, random):
    shuffled = X.copy()
    random.shuffle(shuffled[:, 0])
    edges = PiecewiseLinearEncoder(n_ramps).fit(X).edges_[0]
    np.testing.assert_array_equal(PiecewiseLinearEncoder(n_ramps).fit(shuffled).edges_[0], edges)


# Placing the edges


def test_edges_share_the_rows_equally():
    x = np.sort(normal(1000)[:, 0])
    edges = PiecewiseLinearEncoder(5).fit(x[:, None]).edges_[0]
    np.testing.assert_array_equal(edges[1:-1], x[[299, 499, 699]])


@pytest.mark.parametrize("tie", [0.0, -3.0, 3.0, -9.0, 9.0])
def test_heavy_tie_costs_no_edges(tie):
    x = normal(1000)
    x[:950] = tie
    edges = PiecewiseLinearEncoder(11).fit(x).edges_[0]
    assert len(edges) == 9 and tie in edges
    on_ramp = np.histogram(x[950:], edges)[0]
    assert np.all(on_ramp >= 1) and np.all(on_ramp <= 12)  # the other 50 rows are shared


def test_counts_with_a_long_tail():
    x = np.random.default_rng(0).zipf(1.5, 5000).astype(np.float64)
    edges = PiecewiseLinearEncoder(23).fit(x[:, None]).edges_[0]
    assert len(edges) == 17
    np.testing.assert_array_equal(edges[:4], [1, 2, 3, 4])


@pytest.mark.parametrize("n_ramps", [1, 2, 4, 16])
@pytest.mark.parametrize("outliers", [[1e9], [-1e9], [-1e9, 1e9], [1e300]])
def test_outlier_does_not_squash_the_other_rows(n_ramps, outliers):
    x = np.random.default_rng(0).uniform(0, 100, 500)
    encoder = PiecewiseLinearEncoder(n_ramps).fit(np.append(x, outliers)[:, None])
    out = encoder.transform(np.array([[0.0], [100.0]])).astype(int).sum(axis=1)
    assert out[1] - out[0] > 255 * encoder.n_features_out_ * 0.3
    assert np.abs(encoder.edges_[0]).max() <= 200


def test_outer_edges_reach_the_extremes_if_near():
    x = np.random.default_rng(0).uniform(0, 100, (500, 1))
    edges = PiecewiseLinearEncoder(4).fit(x).edges_[0]
    assert edges[0] == x.min() and edges[-1] == x.max()


def test_many_rows_are_sampled_evenly(monkeypatch):
    monkeypatch.setattr(features, "_MAX_ROWS", 100)
    x = np.arange(1000.0)[:, None]
    sampled = PiecewiseLinearEncoder(10).fit(x).edges_[0]
    np.testing.assert_array_equal(sampled, PiecewiseLinearEncoder(10).fit(x[::10]).edges_[0])
    full = PiecewiseLinearEncoder(10).fit(x[:100]).edges_[0]
    assert full[-1] == 99  # as many rows as the limit: all are used


# Columns without information


def test_constant_column_has_no_ramps():
    X = np.hstack([normal(50), np.full((50, 1), 7.0)])
    encoder = PiecewiseLinearEncoder(4).fit(X)
    assert encoder.edges_[1].tolist() == [7.0]
    assert encoder.transform(X).shape == (50, 4)


@pytest.mark.parametrize("value", [0.0, -1e308, 5e-324])
def test_all_constant_gives_one_zero(value):
    encoder = PiecewiseLinearEncoder().fit(np.full((5, 3), value))
    assert encoder.n_features_out_ == 1
    assert encoder.get_feature_names_out().tolist() == ["x0_ramp0"]
    out = encoder.transform([[value] * 3, [-MAX, 0, MAX]])
    assert out.tolist() == [[0], [0]] and out.dtype == np.uint8


# Kinds of data


def test_bytes_pass_unchanged():
    X = np.arange(256, dtype=np.uint8).reshape(64, 4)
    encoder = PiecewiseLinearEncoder().fit(X)
    assert encoder.identity_ and encoder.edges_ == [] and encoder.n_features_out_ == 4
    assert encoder.get_feature_names_out().tolist() == ["x0", "x1", "x2", "x3"]
    for dtype in [np.uint8, np.int8, np.int64, np.uint64, np.float32, np.float64, object]:
        rows = X[:32].astype(dtype)
        for order in "CF":
            out = encoder.transform(np.asarray(rows, order=order))
            np.testing.assert_array_equal(out, X[:32])
            assert out.dtype == np.uint8 and out.flags.c_contiguous
    assert encoder.transform(np.eye(4, dtype=bool)).max() == 1


@pytest.mark.parametrize("value", [-1, 256, 0.5, 1e300, -1e-300, np.int64(2**40)])
def test_bytes_then_other_values_are_refused(value):
    encoder = PiecewiseLinearEncoder().fit(np.zeros((3, 2), dtype=np.uint8))
    X = np.zeros((3, 2), dtype=np.asarray(value).dtype)
    X[2, 1] = value
    with pytest.raises(ValueError, match=r"0 to 255.*fit on data of another type") as error:
        encoder.transform(X)
    assert f"X[2, 1] is {X[2, 1]}," in str(error.value)


def test_numbers_then_bytes_are_encoded():
    encoder = PiecewiseLinearEncoder().fit(column(0, 100))
    assert encoder.transform(column(0, 50, 100, dtype=np.uint8)).tolist() == [[0], [128], [255]]


def test_booleans_become_0_and_255():
    X = np.array([[True, False], [False, False], [True, True]])
    encoder = PiecewiseLinearEncoder().fit(X)
    assert not encoder.identity_
    np.testing.assert_array_equal(encoder.transform(X), X * np.uint8(255))


@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint16, np.int32, np.uint64, np.float16, np.float32, object]
)
def test_any_type_of_numbers_is_encoded(dtype):
    X = np.random.default_rng(0).integers(0, 100, (200, 3))
    expected = PiecewiseLinearEncoder(6).fit_transform(X.astype(np.float64))
    out = PiecewiseLinearEncoder(6).fit_transform(X.astype(dtype))
    np.testing.assert_array_equal(out, expected)


def test_magnitudes_at_the_ends_of_float64():
    tiny = 5e-324
    X = np.array([[0, -1e300, -MAX, 0], [tiny, 0, 0, -1e300], [2 * tiny, 1e300, MAX, tiny]])
    with warnings.catch_warnings(), np.errstate(over="raise", divide="raise", invalid="raise"):
        warnings.simplefilter("error")
        encoder = PiecewiseLinearEncoder().fit(X)
        out = encoder.transform(X)
    assert out[0].tolist() == [0, 0, 0, 0, 0, 0, 255, 0]
    assert out[1].tolist() == [255, 0, 255, 0, 255, 0, 0, 0]
    assert out[2].tolist() == [255] * 8


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(value):
    X = normal(10, 2)
    encoder = PiecewiseLinearEncoder().fit(X)
    X[3, 1] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        PiecewiseLinearEncoder().fit(X)
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        encoder.transform(X)


# Blocks, parameters, the scikit-learn surface


def test_blocks_do_not_show(monkeypatch):
    X = normal(257, 5)
    expected = PiecewiseLinearEncoder(7).fit_transform(X)
    for block in [1, 36, 350, 8995]:
        monkeypatch.setattr(features, "_BLOCK", block)
        np.testing.assert_array_equal(PiecewiseLinearEncoder(7).fit_transform(X), expected)


def test_known_bytes():
    x = (np.arange(1, 101) ** 2 % 101) / 7  # 50 values, each twice, between 1/7 and 100/7
    encoder = PiecewiseLinearEncoder(4).fit(x[:, None])
    assert (encoder.edges_[0] * 7).round().tolist() == [1, 33, 68, 100]
    out = encoder.transform(np.array([[0.5], [5.5], [13.0]]))
    # 255 (3.5 - 1) / (33 - 1), 255 (3.5 - 1) / (68 - 1), and so on
    assert out.tolist() == [[20, 10, 0, 0], [255, 143, 21, 0], [255, 255, 221, 183]]


def test_same_bytes_everywhere():
    X = (np.arange(30_000, dtype=np.int64) ** 3 % 65_537).reshape(-1, 3) / 997
    digest = sha256(PiecewiseLinearEncoder(31).fit_transform(X)).hexdigest()
    assert digest == "7d4e94cd50415bf837c3f1b69b726645fb8a5f80823b9e4542f0ec4cf126787e"


@pytest.mark.parametrize(
    ("n_columns", "n_ramps"),
    [(1, 31), (16, 31), (17, 15), (34, 15), (35, 7), (73, 7), (74, 3), (300, 3)],
)
def test_auto_bounds_the_width(n_columns, n_ramps):
    encoder = PiecewiseLinearEncoder().fit(normal(40, n_columns))
    assert encoder.n_features_out_ == n_columns * n_ramps


def test_auto_counts_only_ramps_that_are_needed():
    X = np.hstack([normal(40, 10), normal(40, 200) > 0, np.zeros((40, 99))])
    encoder = PiecewiseLinearEncoder().fit(X)
    assert [edges.size - 1 for edges in encoder.edges_] == [21] * 10 + [1] * 200 + [0] * 99


@pytest.mark.parametrize("n_ramps", [0, -1, 2.0, "four", None, True])
def test_bad_n_ramps(n_ramps):
    with pytest.raises(ValueError, match='n_ramps must be "auto" or an integer >= 1, got'):
        PiecewiseLinearEncoder(n_ramps).fit(normal(5))


def test_rows_are_encoded_without_gathering_edges_again(monkeypatch):
    """Of images of thousands of pixels that takes a hundred times longer than to predict one."""
    X = np.random.default_rng(5).normal(size=(50, 3))
    encoder = PiecewiseLinearEncoder().fit(X)
    wanted = encoder.transform(X)
    monkeypatch.setattr(features, "ramp_ends", None)
    assert (encoder.transform(X) == wanted).all()


def test_numpy_integer_n_ramps():
    assert PiecewiseLinearEncoder(np.int64(3)).fit(normal(50)).n_features_out_ == 3


def test_not_fitted():
    encoder = PiecewiseLinearEncoder()
    with pytest.raises(NotFittedError):
        encoder.transform(normal(5))
    with pytest.raises(NotFittedError):
        encoder.get_feature_names_out()


def test_fitting_again_forgets():
    encoder = PiecewiseLinearEncoder(4).fit(np.zeros((3, 2), dtype=np.uint8))
    encoder.fit(normal(50))
    expected = clone(encoder).fit(normal(50))
    np.testing.assert_array_equal(encoder.transform(normal(9)), expected.transform(normal(9)))
    assert not encoder.identity_ and encoder.n_features_in_ == 1


def test_feature_names_and_set_output():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"age": [20, 30, 40], "member": [True, False, True], "same": 1.5})
    encoder = PiecewiseLinearEncoder().set_output(transform="pandas").fit(frame)
    names = ["age_ramp0", "age_ramp1", "member_ramp0"]
    assert encoder.feature_names_in_.tolist() == ["age", "member", "same"]
    assert encoder.get_feature_names_out().tolist() == names
    out = encoder.transform(frame)
    assert list(out.columns) == names and set(out.dtypes) == {np.dtype(np.uint8)}
    assert out.to_numpy().tolist() == [[0, 0, 255], [255, 0, 0], [255, 255, 255]]
    with pytest.raises(ValueError, match="feature names"):
        encoder.transform(frame[["member", "age", "same"]])


@pytest.mark.parametrize(
    ("most", "bytes_"),
    [([64, 200], True), ([63, 200], True), ([63, 63, 200], False), ([0, 63], False), ([0], True)],
)
def test_bytes_use_their_range(most, bytes_):
    X = np.array([[0] * len(most), most], dtype=np.uint8)
    assert PiecewiseLinearEncoder().fit(X).identity_ == bytes_
