"""export_onnx: onnxruntime and qonnx compute what the engine computes; what is refused."""

import os
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import reference
from crafted import crafted_model
from hypothesis import given, settings
from hypothesis import strategies as st
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.cleanup import cleanup_model
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from pybinnet import (
    BinaryConnectClassifier,
    BinaryConnectRegressor,
    Conv2D,
    Dense,
    MaxPool2D,
    _engine,
    _onnx,
    export_onnx,
    load_model,
    save_model,
)
from pybinnet._onnx import _labels

FORMS = ["standard", "qonnx"]


def small(X, y=None, **parameters):
    """A classifier that need not know anything."""
    y = np.arange(len(X)) % 2 if y is None else y
    return BinaryConnectClassifier((8,), max_iter=1, random_state=0, **parameters).fit(X, y)


def as_input(clf, X):
    return X.reshape(len(X), -1).astype(np.uint8 if clf.encoder_.identity_ else np.float64)


def run_standard(path, x):
    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"X": x}), strict=True))


def run_qonnx(path, x):
    model = ModelWrapper(str(path))
    for end in [*model.graph.input, *model.graph.output]:
        end.type.tensor_type.shape.dim[0].dim_value = len(x)
    return execute_onnx(model.transform(InferShapes()), {"X": x})


RUN = {"standard": run_standard, "qonnx": run_qonnx}


@pytest.fixture(params=FORMS)
def check(request, tmp_path):
    """Holds an exported classifier to `predict`, its scores to the engine's; returns both."""

    def checked(clf, X):
        path = tmp_path / "net.onnx"
        export_onnx(clf, path, form=request.param)
        made = RUN[request.param](path, as_input(clf, X))
        scores = _engine.predict_scores(clf.model_, clf._features(X))
        assert made["scores"].dtype == np.int32
        np.testing.assert_array_equal(made["scores"], scores)
        if isinstance(clf, BinaryConnectRegressor):
            np.testing.assert_array_equal(made["value"], clf.predict(X))
            return onnx.load(path), made
        np.testing.assert_array_equal(made["label"], clf.predict(X))
        proba = clf.predict_proba(X)
        np.testing.assert_allclose(made["probabilities"], proba, rtol=1e-12, atol=1e-300)
        return onnx.load(path), made

    return checked


# Predictions


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("hidden", [(), (40,), (33, 20), (40, 33, 20)], ids=str)
@pytest.mark.parametrize("activation", ["relu", "sign"])
@pytest.mark.parametrize("weights", ["binary", "ternary"])
def test_methods(check, weights, activation, hidden, dtype):
    if activation == "sign" and not hidden:
        return
    X, y = load_digits(return_X_y=True)
    clf = BinaryConnectClassifier(
        hidden, weights=weights, activation=activation, max_iter=2, random_state=0
    )
    X = (15 * X).astype(dtype)
    _, made = check(clf.fit(X, y), X)
    assert len(np.unique(made["label"])) > 3  # it is about something


LAYERS = {
    "pools": [Conv2D(9, 3), MaxPool2D(2), Conv2D(7, 2), MaxPool2D(3), Dense(8)],
    "strides": [Conv2D(9, 5, "valid", 2), Conv2D(12, 1), Conv2D(5, 2, stride=2)],
    "to one pixel": [Conv2D(8, 3, stride=2), Conv2D(9, 4, "valid"), Dense(8), Dense(7)],
    "even": [Conv2D(10, 4), Conv2D(6, 2, stride=3)],
}


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("activation", ["relu", "sign"])
@pytest.mark.parametrize("weights", ["binary", "ternary"])
def test_convolutions(check, weights, activation, layers, dtype):
    digits = load_digits()
    parameters = {"weights": weights, "activation": activation, "max_iter": 2, "random_state": 0}
    X = (15 * digits.images[:500]).astype(dtype)
    X = np.stack([X, X[:, ::-1], 0 * X + 7], axis=3)[:, :, :7]  # 8 x 7 x 3
    clf = BinaryConnectClassifier(layers=layers, **parameters).fit(X, digits.target[:500])
    _, made = check(clf, X)
    assert len(np.unique(made["label"])) > 3


def test_convolutions_of_a_loaded_model(check, tmp_path):
    X = np.random.default_rng(0).random((40, 6, 5))
    reg = BinaryConnectRegressor(layers=LAYERS["even"], max_iter=1).fit(X, X[:, 0, 0])
    save_model(reg, tmp_path / "net.binnet")
    check(load_model(tmp_path / "net.binnet"), X)


@pytest.mark.parametrize("n_columns", [None, 1, 3])
def test_numbers(check, n_columns):
    X, y = load_digits(return_X_y=True)
    wanted = y.astype(float) if n_columns is None else np.stack([y * 0.3, y % 3, y * 0], axis=1)
    reg = BinaryConnectRegressor((20,), max_iter=2, random_state=0)
    _, made = check(reg.fit(X, wanted if n_columns is None else wanted[:, :n_columns]), X)
    assert made["value"].shape == (len(X), *([] if n_columns is None else [n_columns]))
    assert len(np.unique(made["value"])) > 100


def test_a_constant_number(check):
    X = np.arange(40.0).reshape(20, 2)
    check(BinaryConnectRegressor((8,), max_iter=1, random_state=0).fit(X, np.full(20, 3.5)), X)


def test_labels_that_do_not_exclude_each_other(check):
    X, y = load_digits(return_X_y=True)
    clf = BinaryConnectClassifier((20,), max_iter=2, random_state=0)
    _, made = check(clf.fit(X, np.stack([y > 4, y % 2, y < 2], axis=1).astype(int)), X)
    assert made["label"].shape == (len(X), 3)


@pytest.mark.parametrize(
    "X",
    [
        np.random.default_rng(0).integers(-(2**40), 2**40, (300, 3)),
        np.random.default_rng(0).integers(0, 2, (300, 4)).astype(bool),
        np.random.default_rng(0).normal(3, 9, (300, 4)).astype(np.float32),
        np.random.default_rng(0).normal(0, 1e300, (300, 2)),
        np.c_[np.arange(300) / 10, np.full(300, 3.7), np.arange(300) % 17 * 5.1],
        np.full((300, 2), 3.7),  # no ramps at all
    ],
    ids=["int", "bool", "float32", "huge", "constant column", "constant"],
)
def test_kinds_of_columns(check, X):
    check(small(X), X)


def test_features_at_edges_and_ties(tmp_path):
    """Numbers on edges, beside them, beyond them, and where float64's roundings decide."""
    rng = np.random.default_rng(1)
    X = np.c_[rng.normal(size=400), rng.integers(0, 17, 400) * 5.1 + 0.1, rng.random(400)]
    clf = small(X)
    export_onnx(clf, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    features = next(node for node in model.graph.node if node.op_type == "MatMulInteger").input[0]
    ends = onnx.helper.make_tensor_value_info(features, onnx.TensorProto.UINT8, None)
    model.graph.output.append(ends)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    edges = np.concatenate(clf.encoder_.edges_)
    near = np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)])
    bytes_apart = np.linspace(edges.min() - 1, edges.max() + 1, 20_001)
    values = np.concatenate([near, bytes_apart, [0, -0.0, 1e308, -1e308, 5e-324]])
    rows = np.repeat(values[:, None], 3, axis=1)
    (made,) = session.run([features], {"X": rows})
    np.testing.assert_array_equal(made, clf.encoder_.transform(rows))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["no", "yes"], ["no", "yes"]),
        (["ä", "日本"], ["ä", "日本"]),
        ([-7, 2**40], [-7, 2**40]),
        ([False, True], [0, 1]),
        ([1.0, 3.0], [1, 3]),
        (np.array(["a", "b"], dtype=object), ["a", "b"]),
    ],
    ids=str,
)
def test_labels(check, labels, expected):
    X, y = load_iris(return_X_y=True)
    clf = small(X, np.array(labels)[(y > 0).astype(int)])
    _, made = check(clf, X)
    assert made["label"].dtype == (object if isinstance(expected[0], str) else np.int64)
    assert set(made["label"].tolist()) == set(expected)


# Models that no training makes


def crafted(sizes, seed=0, **parameters):
    """A classifier of bytes with such a model, and rows."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, (60, int(np.prod(sizes[0]))), dtype=np.uint8)
    X[:3] = [[0], [255], [1]]
    clf = small(X, np.arange(60) % sizes[-1])
    clf.model_ = crafted_model(rng, sizes, **parameters)
    return clf, X


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 70), min_size=1, max_size=4),
    st.integers(2, 9),
    st.integers(0, 2**32),
    st.booleans(),
    st.booleans(),
)
def test_any_model(tmp_path_factory, sizes, n_classes, seed, ternary, sign):
    sign = sign and len(sizes) > 1
    clf, X = crafted((*sizes, n_classes), seed, ternary=ternary, sign=sign)
    path = tmp_path_factory.mktemp("any") / "net.onnx"
    export_onnx(clf, path)
    made = run_standard(path, X)
    scores, best = reference.predict(clf.model_, X)
    np.testing.assert_array_equal(made["scores"], scores)
    np.testing.assert_array_equal(made["label"], best)


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.integers(1, 70), min_size=2, max_size=3),
    st.integers(0, 2**32),
    st.booleans(),
    st.booleans(),
)
def test_any_qonnx_model(tmp_path_factory, sizes, seed, ternary, sign):
    clf, X = crafted((*sizes, 5), seed, ternary=ternary, sign=sign, shifts=(-8, 17))
    path = tmp_path_factory.mktemp("any") / "net.onnx"
    export_onnx(clf, path, form="qonnx")
    np.testing.assert_array_equal(run_qonnx(path, X)["scores"], reference.predict(clf.model_, X)[0])


@st.composite
def images(draw):
    """Sizes of any network with one to three convolutions."""
    shape = height, width, _ = *draw(st.tuples(*2 * [st.integers(1, 12)])), draw(st.integers(1, 9))
    units = []
    for _ in range(draw(st.integers(1, 3))):
        convolution = reference.Conv2D(
            draw(st.integers(1, 20)),
            draw(st.integers(1, min(height, width, 6))),
            draw(st.integers(1, 3)),
            draw(st.booleans()),
        )
        height, width, _ = reference.Images(convolution, height, width, 1).output()
        pool = draw(st.integers(1, min(height, width, 3)))
        units.append(replace(convolution, pool=pool))
        height, width = height // pool, width // pool
    return shape, *units, *draw(st.lists(st.integers(1, 20), max_size=1)), 5


@settings(deadline=None, max_examples=100)
@given(images(), st.integers(0, 2**32), st.booleans(), st.booleans())
def test_any_model_of_images(tmp_path_factory, sizes, seed, ternary, sign):
    clf, X = crafted(sizes, seed, ternary=ternary, sign=sign)
    path = tmp_path_factory.mktemp("any") / "net.onnx"
    export_onnx(clf, path)
    np.testing.assert_array_equal(
        run_standard(path, X)["scores"], reference.predict(clf.model_, X)[0]
    )


@settings(deadline=None, max_examples=30)
@given(images(), st.integers(0, 2**32), st.booleans(), st.booleans())
def test_any_qonnx_model_of_images(tmp_path_factory, sizes, seed, ternary, sign):
    clf, X = crafted(sizes, seed, ternary=ternary, sign=sign, shifts=(-8, 17))
    path = tmp_path_factory.mktemp("any") / "net.onnx"
    export_onnx(clf, path, form="qonnx")
    np.testing.assert_array_equal(run_qonnx(path, X)["scores"], reference.predict(clf.model_, X)[0])


@pytest.mark.parametrize("form", FORMS)
def test_the_widest_convolution(tmp_path, form):
    """65536 products in a sum, some at their bound."""
    sizes = (16, 16, 256), reference.Conv2D(3, 16), 3
    clf, X = crafted(sizes, shifts=(-8, 17 if form == "qonnx" else 30))
    X = X[:5]
    _, (first, _) = reference.read_model(clf.model_)
    X[3:] = ((first.w[:2] > 0) * 255).reshape(2, -1)
    export_onnx(clf, tmp_path / "net.onnx", form=form)
    made = RUN[form](tmp_path / "net.onnx", X)
    np.testing.assert_array_equal(made["scores"], reference.predict(clf.model_, X)[0])


@pytest.mark.parametrize("form", FORMS)
def test_the_widest_sums(tmp_path, form):
    """65536 features: sums do not fit int32 with their scales, and only just float32 without."""
    clf, X = crafted((65536, 40, 3), shifts=(-8, 17 if form == "qonnx" else 30))
    X[3:30] = (crafted_weights(clf)[:27] > 0) * 255  # the largest sums of some units
    export_onnx(clf, tmp_path / "net.onnx", form=form)
    made = RUN[form](tmp_path / "net.onnx", X)
    np.testing.assert_array_equal(made["scores"], reference.predict(clf.model_, X)[0])


def test_the_largest_score(tmp_path):
    """33 times 2 * 255 * 65536, which is clamped to 2**30 before a shift to the left only."""
    clf, X = crafted((65536, 2))
    w = np.ones((2, 65536), dtype=int)
    units = {"mean": np.full(2, -255 * 65536), "beta": np.zeros(2, dtype=int)}
    scale = np.array([5, 5]), np.array([1, 1]), np.array([8, 7])
    clf.model_ = reference.write_model(65536, [reference.Deployed(w, scale=scale, **units)])
    export_onnx(clf, tmp_path / "net.onnx")
    made = run_standard(tmp_path / "net.onnx", X)["scores"]
    np.testing.assert_array_equal(made, reference.predict(clf.model_, X)[0])
    assert made[1].tolist() == [33 * 2 * 255 * 65536, 2**30]  # the row of 255


def crafted_weights(clf):
    return reference.read_model(clf.model_)[1][0].w


def test_the_first_of_equal_classes(check):
    clf, X = crafted((20, 6, 4), shifts=(3, 12))
    _, layers = reference.read_model(clf.model_)
    last = layers[-1]
    for values in (last.w, last.mean, last.beta, *last.scale):
        values[:] = values[0]
    clf.model_ = reference.write_model(20, layers)
    _, made = check(clf, X)
    assert not made["label"].any()
    assert np.ptp(made["scores"]) > 0


# What is in the file


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"weights": "ternary"},
        {"activation": "sign"},
        {"layers": [Conv2D(8, 5, stride=4), MaxPool2D()], "input_shape": (28, 28, 1)},
    ],
    ids=str,
)
def test_integers_only(tmp_path, parameters):
    """From bytes to scores there is no floating point, in a network of a usual size."""
    X = np.random.default_rng(0).integers(0, 256, (200, 784), dtype=np.uint8)
    parameters = {"hidden_layer_sizes": (512, 512), "max_iter": 1, "random_state": 0, **parameters}
    clf = BinaryConnectClassifier(**parameters)
    export_onnx(clf.fit(X, np.arange(200) % 10), tmp_path / "net.onnx")
    model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "net.onnx"))
    graph = model.graph
    kinds = {constant.name: constant.data_type for constant in graph.initializer}
    for tensor in [*graph.value_info, *graph.input, *graph.output]:
        kinds[tensor.name] = tensor.type.tensor_type.elem_type
    names = onnx.TensorProto.DataType.Name
    last = [node.output[0] for node in graph.node].index("scores")
    used = {name for node in graph.node[: last + 1] for name in [*node.input, *node.output]}
    found = {names(kinds[name]) for name in used}
    assert found <= {"INT32", "INT64", "UINT8", "INT8", "BOOL"}
    assert names(kinds["probabilities"]) == "DOUBLE"  # the types are found


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (
            {},
            {"BipolarQuant": ["BIPOLAR"] * 3, "Quant": ["INT8", "INT8", "UINT7", "UINT7", "UINT8"]},
        ),
        (
            {"weights": "ternary"},
            {"Quant": ["INT2"] * 3 + ["INT8"] * 2 + ["UINT7"] * 2 + ["UINT8"]},
        ),
        ({"activation": "sign"}, {"BipolarQuant": ["BIPOLAR"] * 5, "Quant": ["UINT8"]}),
        (
            {"layers": [Conv2D(9, 3), MaxPool2D()], "input_shape": (8, 8, 1)},
            {"BipolarQuant": ["BIPOLAR"] * 2, "Quant": ["INT8", "UINT7", "UINT8"]},
        ),
    ],
    ids=str,
)
def test_qonnx_knows_the_bits(tmp_path, parameters, expected):
    X, y = load_digits(return_X_y=True)
    clf = BinaryConnectClassifier((16, 9), max_iter=1, random_state=0, **parameters)
    X = (15 * X).astype(np.uint8)
    clf.fit(X, y)
    export_onnx(clf, tmp_path / "net.onnx", form="qonnx")
    model = cleanup_model(ModelWrapper(str(tmp_path / "net.onnx"))).transform(InferDataTypes())
    found = {}
    for node in model.graph.node:
        if node.domain == "qonnx.custom_op.general":
            found.setdefault(node.op_type, []).append(
                model.get_tensor_datatype(node.output[0]).name
            )
    assert {operator: sorted(names) for operator, names in found.items()} == expected
    one = execute_onnx(model, {model.graph.input[0].name: X[:1]})
    assert one[model.graph.output[0].name] == clf.predict(X[:1])


def test_the_same_bytes_each_time(tmp_path):
    X, y = load_iris(return_X_y=True)
    for name in ("a.onnx", "b.onnx"):
        export_onnx(small(X, y), tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    model = onnx.load(tmp_path / "a.onnx")
    assert (model.producer_name, model.producer_version) == ("pybinnet", _engine.version())
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]


# What is refused


@pytest.mark.parametrize(
    ("clf", "arguments", "error", "message"),
    [
        (LogisticRegression(), {}, TypeError, "export_onnx takes .* got LogisticRegression"),
        (BinaryConnectClassifier(), {}, NotFittedError, "not fitted"),
        (None, {"form": "QONNX"}, ValueError, "form='QONNX' is unknown; use 'standard' or 'qonnx'"),
        (None, {"form": None}, ValueError, "form=None is unknown"),
    ],
)
def test_refused(tmp_path, clf, arguments, error, message):
    with pytest.raises(error, match=message):
        export_onnx(small(np.eye(9)) if clf is None else clf, tmp_path / "net.onnx", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_labels_that_onnx_has_not():
    for labels in ([1, 2**63], [-1e300, 2.0]):
        with pytest.raises(ValueError, match="are not all int64"):
            _labels(np.array(labels))
    with pytest.raises(TypeError, match="b'no' is of type bytes"):
        _labels(np.array([b"no", b"yes"]))
    with pytest.raises(TypeError, match="1 is of type int"):
        _labels(np.array(["no", 1], dtype=object))


def test_shifts_that_float32_has_not(tmp_path):
    for k, fits in ((17, True), (18, False)):
        clf, _ = crafted((9, 5, 2), shifts=(k, k))
        if fits:
            export_onnx(clf, tmp_path / "net.onnx", form="qonnx")
            continue
        with pytest.raises(ValueError, match=r"2\*\*-18, and down to 2\*\*-17 .* form='standard'"):
            export_onnx(clf, tmp_path / "none.onnx", form="qonnx")
        export_onnx(clf, tmp_path / "net.onnx")


def test_a_damaged_model(tmp_path):
    clf = small(np.eye(9))
    clf.model_ = clf.model_[:-1] + bytes([clf.model_[-1] ^ 1])
    with pytest.raises(ValueError, match="the model: the file is damaged"):
        export_onnx(clf, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_too_large_for_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(_onnx, "_MAX_BYTES", 999)
    with pytest.raises(ValueError, match="takes more than 999 bytes as ONNX"):
        export_onnx(small(np.eye(99)), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_without_onnx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"needs the package onnx .*: pip install onnx"):
        export_onnx(small(np.eye(9)), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_file(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device", "some temporary name")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/net\.onnx'"):
        export_onnx(small(np.eye(9)), path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("net.onnx", "old")]
