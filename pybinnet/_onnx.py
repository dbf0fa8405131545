"""A classifier as an ONNX model: its integer arithmetic in other words, with the same results."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pybinnet import _engine, _shapes
from pybinnet._base import BinaryConnectBase
from pybinnet._classifier import PROBABILITY_SLOPE, BinaryConnectClassifier
from pybinnet._export import check_exportable
from pybinnet._features import PiecewiseLinearEncoder
from pybinnet._files import replace
from pybinnet._integer_ramps import INT32
from pybinnet._model_file import Layer, Norms, Thresholds, read_model
from pybinnet._regressor import BinaryConnectRegressor
from pybinnet._validation import check_choice

_QONNX = "qonnx.custom_op.general"
_VERSIONS = {"": 17, _QONNX: 1}  # of operators; onnxruntime has had 17 since 1.12, of 2022
_IR_VERSION = 8  # likewise
_MAX_BYTES = 2**31 - 2**20  # of constants: a protobuf message is smaller than 2**31
_MAX_FLOAT_SHIFT = 17  # the largest `k` of a ReLU unit that float32 computes exactly: `_norm`

_Tensor = tuple[str, Any, tuple[int, ...]]  # name, data type, and shape of a row


def export_onnx(
    clf: BinaryConnectBase, path: str | os.PathLike[str], *, form: str = "standard"
) -> None:
    """Write an ONNX model that predicts what the estimator predicts, to the bit.

    The input `X` has the columns that `predict` takes, shape (n_rows, n_features), as uint8 if the
    estimator was fitted on bytes and otherwise as double. Cast others to that:
    ``X.astype(float)``. Images are rows too, in the order row, column, channel. It is not checked
    as `predict` does: let it be finite. The outputs are

    - `label` of a classifier, shape (n_rows,) or (n_rows, n_outputs): what `predict` returns, as
      strings, or as int64 if labels are numbers or Booleans;
    - `value` of a regressor, likewise, double: what `predict` returns;
    - `scores`, shape (n_rows, n_classes), int32: the network's integer scores, of which 8192 is the
      margin 1;
    - `probabilities` of a classifier, shape (n_rows, n_classes), double: what `predict_proba`
      returns, but for the last bits, as another exponential function makes them.

    Labels, values and scores are equal on every row: features are made by the same single
    operations in double, and all that follows is exact.

    Parameters
    ----------
    clf : BinaryConnectClassifier or BinaryConnectRegressor
        Fitted.
    path : str or path-like
        The file. It is replaced as a whole, or, on an error, left as it was.
    form : {"standard", "qonnx"}, default="standard"
        "standard" has only operators of ONNX itself (opset 17), for onnxruntime and others. The
        network is in integers: weights of int8, ``MatMulInteger`` and ``ConvInteger``, and for
        each unit a multiplication, an addition and a division by constants, which are in double in
        layers that are too wide for int32. "qonnx" says in QONNX's terms what is quantized to how
        many bits [1]_: weights and sign activations by ``BipolarQuant``, ternary weights, features
        and ReLU activations by ``Quant``. What they carry are integers in float32, up to the last
        layer's scores, which are computed as in the standard form. Inputs and outputs are the same,
        of one row.

    Raises
    ------
    ImportError
        If the package onnx is missing: ``pip install onnx``.
    TypeError
        If `clf` is of another type, or its labels are neither numbers nor strings.
    ValueError
        If `form` is not as said, if `model_` is damaged, if a label is beyond int64, if the model
        would be larger than the 2 GiB that ONNX allows, or if float32 is too coarse for a QONNX
        model, which takes layers of tens of thousands of inputs.
    sklearn.exceptions.NotFittedError
        If `clf` is not fitted. It is a ValueError.
    OSError
        If the file cannot be written.

    See Also
    --------
    export_c : A C header for firmware.

    References
    ----------
    .. [1] A. Pappalardo et al., "QONNX: representing arbitrary-precision quantized neural
       networks", AccML 2022.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import onnxruntime
    >>> from sklearn.datasets import load_iris
    >>> from pybinnet import BinaryConnectClassifier, export_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = BinaryConnectClassifier((16,), random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(clf, Path(folder) / "iris.onnx")
    ...     session = onnxruntime.InferenceSession(Path(folder) / "iris.onnx")
    >>> (label,) = session.run(["label"], {"X": X})
    >>> bool((label == clf.predict(X)).all())
    True
    """
    check_exportable("export_onnx", clf, BinaryConnectBase)
    check_choice("form", form, ("standard", "qonnx"))
    graph = _Graph()
    layers = read_model(clf.model_)
    features = _features(graph, clf.encoder_)
    sums = (_integer_sums if form == "standard" else _qonnx_sums)(graph, features, layers)
    outputs = _outcome(graph, _scores(graph, sums, layers[-1]), clf)
    dtype = np.uint8 if clf.encoder_.identity_ else np.float64
    n_rows = "n_rows" if form == "standard" else 1
    replace(Path(path), graph.model(n_rows, [("X", dtype, (clf.n_features_in_,))], outputs))


class _Graph:
    """Nodes and constants of a model in the making. Its one input is X."""

    def __init__(self) -> None:
        try:
            import onnx
        except ImportError as error:
            raise ImportError(
                f"export_onnx needs the package onnx ({error}): pip install onnx"
            ) from None
        self._onnx: Any = onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._n_bytes = 0

    def add(
        self, operator: str, *inputs: Any, name: str = "", domain: str = "", **attributes: Any
    ) -> str:
        """Add a node, of whose inputs arrays are constants; return its output's name."""
        name = name or f"{operator}_{len(self._nodes)}"
        inputs = tuple(x if isinstance(x, str) else self._constant(x) for x in inputs)
        node = self._onnx.helper.make_node(
            operator, inputs, [name], name=name, domain=domain, **attributes
        )
        self._nodes.append(node)
        return name

    def cast(self, x: str, dtype: type, name: str = "") -> str:
        return self.add("Cast", x, to=self._type(dtype), name=name)

    def _type(self, dtype: Any) -> int:
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def _constant(self, value: Any) -> str:
        array = np.asarray(value)
        name = f"constant_{len(self._constants)}"
        self._n_bytes += array.nbytes
        if self._n_bytes > _MAX_BYTES:
            raise ValueError(
                f"this network takes more than {_MAX_BYTES} bytes as ONNX, the most that a file of "
                "it may have; use form='standard', which has a byte a weight, or fit a smaller one"
            )
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def model(self, n_rows: int | str, inputs: list[_Tensor], outputs: list[_Tensor]) -> bytes:
        """The bytes of the whole."""
        helper = self._onnx.helper
        ends = [
            [
                helper.make_tensor_value_info(name, self._type(dtype), [n_rows, *shape])
                for name, dtype, shape in tensors
            ]
            for tensors in (inputs, outputs)
        ]
        domains = sorted({node.domain for node in self._nodes})
        model = helper.make_model(
            helper.make_graph(self._nodes, "pybinnet", *ends, self._constants),
            ir_version=_IR_VERSION,
            opset_imports=[helper.make_opsetid(domain, _VERSIONS[domain]) for domain in domains],
            producer_name="pybinnet",
            producer_version=_engine.version(),
        )
        content: bytes = model.SerializeToString()
        return content


def _features(graph: _Graph, encoder: PiecewiseLinearEncoder) -> str:
    """The network's uint8 features: the operations of `spread`, one by one."""
    if encoder.identity_:
        return "X"
    source, low, high = encoder._ramps
    if source.size == 0:  # no column says anything: one feature, which is 0
        source, low, high = np.array([0]), np.zeros(1), np.zeros(1)
    x = graph.add("Gather", "X", source.astype(np.int64), axis=1)
    x = graph.add("Min", graph.add("Max", x, low), high)
    width = np.where(high > low, high - low, 1.0)
    x = graph.add("Div", graph.add("Sub", x, low), width)
    x = graph.add("Add", graph.add("Mul", x, np.float64(255)), np.float64(0.5))
    return graph.cast(x, np.uint8)  # which truncates


def _integer_sums(graph: _Graph, x: str, layers: list[Layer]) -> str:
    """The last layer's sums, by standard operators on integers."""
    zero_point: tuple[Any, ...] = ()
    for before, layer, rule in _steps(layers):
        x = _input(graph, x, before, layer, np.uint8(0))
        sums = _multiply(graph, layer, "Integer", x, _arranged(layer), *zero_point)
        if layer is layers[-1]:
            break
        if isinstance(rule, Thresholds):
            reached = graph.add("GreaterOrEqual", sums, rule.values.astype(np.int32))
            x = graph.add("Where", reached, np.uint8(2), np.uint8(0))
            zero_point = (np.uint8(1),)  # so they are +1 and -1
        else:
            x = _activations(graph, sums, rule, _most(layer))
        x = _pooled(graph, x, layer)
    return sums


def _steps(layers: list[Layer]) -> Iterator[tuple[Layer | None, Layer, Norms | Thresholds]]:
    """Each layer, with that before it and what becomes of its sums.

    Those of a convolution have the shape (rows, filters, height, width).
    """
    for before, layer in pairwise((None, *layers)):
        assert layer is not None
        rule = layer.rule
        if layer.form.kernel_size:
            rule = type(rule)(*(values.reshape(-1, 1, 1) for values in vars(rule).values()))
        yield before, layer, rule


def _input(graph: _Graph, x: str, before: Layer | None, layer: Layer, outside: Any) -> str:
    """What a layer's weights multiply: channels come before rows and columns, as ONNX wants it.

    `outside` surrounds images. Of integers it is 0 always, which is -1 where these are signs.
    """
    if not layer.form.kernel_size:
        return graph.add("Flatten", x) if before and before.form.kernel_size else x
    if before is None:
        x = graph.add("Reshape", x, np.array([0, *layer.input_shape]))
        x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    pads = _shapes.padding(layer.form, layer.input_shape)
    if np.any(pads):
        x = graph.add("Pad", x, np.array([(0, 0), (0, 0), *pads]).T.ravel(), outside)
    return x


def _arranged(layer: Layer) -> NDArray[np.int8]:
    """Weights as ``Conv`` and ``MatMul`` have them."""
    size = layer.form.kernel_size
    area = (size, size) if size else layer.input_shape[:2]
    weights = np.moveaxis(layer.weights.reshape(layer.form.units, *area, -1), -1, 1)
    return weights if size else weights.reshape(layer.form.units, -1).T


def _multiply(graph: _Graph, layer: Layer, suffix: str, x: str, *inputs: Any) -> str:
    """Sums by ``Conv`` or ``MatMul``, or by those with a suffix."""
    if not layer.form.kernel_size:
        return graph.add(f"MatMul{suffix}", x, *inputs)
    return graph.add(f"Conv{suffix}", x, *inputs, strides=2 * [layer.form.stride])


def _pooled(graph: _Graph, x: str, layer: Layer) -> str:
    """The largest of each pool of activations.

    It is that of the largest sum, as no activation falls when its sum rises. ``MaxPool`` is not
    for sums of int32.
    """
    if layer.form.pool == 1:
        return x
    return graph.add(
        "MaxPool", x, kernel_shape=2 * [layer.form.pool], strides=2 * [layer.form.pool]
    )


def _activations(graph: _Graph, sums: str, norms: Norms, most: int) -> str:
    """ReLU activations, uint8.

    The bias, a whole number, is added before the clamp. As it is above -127 and below 127, what
    would be clamped at -127 is 0 then, and what would be clamped at 127 is 127 plus the bias.
    """
    bias = _whole(norms.biases)
    top = np.minimum(127 + bias, 127)
    return graph.cast(_rounded(graph, sums, norms, most, norms.shifts, bias, top), np.uint8)


def _scores(graph: _Graph, sums: str, layer: Layer) -> str:
    """The last layer's scores, int32."""
    norms, most = layer.rule, _most(layer)
    assert isinstance(norms, Norms)
    shifts = norms.shifts - 8
    left, right = _powers(shifts)
    reach = -(-2 * most * norms.factors * left // right)  # of sums less means, shifted
    reach = np.where(shifts < 0, np.minimum(reach, 2**30), reach)
    x = _rounded(graph, sums, norms, most, shifts, reach, 2 * reach)  # from 0, not from -reach
    x = graph.add("Add", graph.cast(x, np.int64), norms.biases - reach)
    return graph.cast(x, np.int32, "scores")


def _powers(shifts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What shifts multiply by, if to the left, and divide by, if to the right."""
    return 1 << np.maximum(-shifts, 0), 1 << np.maximum(shifts, 0)


def _whole(biases: NDArray[np.int64]) -> NDArray[np.int64]:
    """Biases in activation units."""
    return (biases + 128) >> 8


def _most(layer: Layer) -> int:
    """The largest sum that a layer can have, and the largest mean."""
    return 255 * int(layer.weights.shape[1])


def _rounded(
    graph: _Graph,
    sums: str,
    norms: Norms,
    most: int,
    shifts: NDArray[np.int64],
    added: NDArray[np.int64],
    top: NDArray[np.int64],
) -> str:
    """``clamp(shift(scaled(sums - means), shifts) + added, 0, top)``, to be truncated.

    `added` and the clamp come first, so that nothing negative is divided: of that the quotient
    would not be the floor. All is in int32 if it fits, which takes layers of ten thousand inputs or
    more not to. Then it is in double, exact as well, with integers below 2**53. It is not in int64,
    as onnxruntime's Min and Max of those look at their lower halves (1.31, AVX-512).
    """
    left, right = _powers(shifts)
    factor = norms.factors * left
    offset = right // 2 + added * right - factor * norms.means
    high = top * right
    largest = max((np.abs(offset) + factor * most).max(), high.max())
    kind: type = np.int32 if largest <= INT32.max else np.float64
    x = sums if kind is np.int32 else graph.cast(sums, kind)
    x = graph.add("Mul", x, factor.astype(kind))
    x = graph.add("Max", graph.add("Add", x, offset.astype(kind)), kind(0))
    return graph.add("Div", graph.add("Min", x, high.astype(kind)), right.astype(kind))


def _qonnx_sums(graph: _Graph, x: str, layers: list[Layer]) -> str:
    """The last layer's sums, by operators of QONNX.

    They are exact in float32, as are all their parts: below ``255 * 65536``, which is below 2**24.
    """
    x = _quant(graph, graph.cast(x, np.float32), 8, signed=False)
    outside = np.float32(0)
    for before, layer, rule in _steps(layers):
        x = _input(graph, x, before, layer, outside)
        weights: Any = _arranged(layer).astype(np.float32)
        if (layer.weights == 0).any():
            weights = _quant(graph, weights, 2, signed=True)
        else:
            weights = _bipolar(graph, weights)
        sums = _multiply(graph, layer, "", x, weights)
        if layer is layers[-1]:
            break
        if isinstance(rule, Thresholds):
            x = _bipolar(graph, graph.add("Sub", sums, rule.values.astype(np.float32)))
            outside = np.float32(-1)
        else:
            x = _norm(graph, sums, rule)
        x = _pooled(graph, x, layer)
    return graph.cast(sums, np.int32)


def _norm(graph: _Graph, sums: str, norms: Norms) -> str:
    """ReLU activations of sums in float32.

    Every operation rises with its operand, also as it is rounded. Hence it is enough that all are
    exact where ``Quant`` does not clamp: there their results are multiples of 2**-k below 128 (of
    2**-1, if `k` is less than that), and 7 + 17 bits fit into float32's 24.
    """
    if (norms.shifts > _MAX_FLOAT_SHIFT).any():
        raise ValueError(
            "float32 is too coarse for this network's QONNX form: a hidden unit's scale is "
            f"2**-{norms.shifts.max()}, and down to 2**-{_MAX_FLOAT_SHIFT} is exact; use "
            "form='standard', or fit on fewer columns"
        )
    x = graph.add("Sub", sums, norms.means.astype(np.float32))
    x = graph.add("Mul", x, (norms.factors * 2.0**-norms.shifts).astype(np.float32))
    x = _quant(graph, graph.add("Add", x, np.float32(0.5)), 8, signed=True)
    x = graph.add("Add", x, _whole(norms.biases).astype(np.float32))
    return _quant(graph, x, 7, signed=False)


def _quant(graph: _Graph, x: Any, bits: int, signed: bool) -> str:
    """Numbers rounded down to whole ones of some bits; signed ones have as many on either side."""
    parameters = np.float32(1), np.float32(0), np.float32(bits)  # scale, zero point
    signs = int(signed)
    return graph.add(
        "Quant", x, *parameters, domain=_QONNX, signed=signs, narrow=signs, rounding_mode="FLOOR"
    )


def _bipolar(graph: _Graph, x: Any) -> str:
    """+1 of numbers from 0, else -1."""
    return graph.add("BipolarQuant", x, np.float32(1), domain=_QONNX)


def _outcome(graph: _Graph, scores: str, estimator: BinaryConnectBase) -> list[_Tensor]:
    """What an estimator makes of scores: the model's outputs."""
    if isinstance(estimator, BinaryConnectRegressor):
        return _numbers(graph, scores, estimator)
    assert isinstance(estimator, BinaryConnectClassifier)
    labels = _labels(estimator.classes_)
    slope = np.float64(PROBABILITY_SLOPE / _engine.SCORE_UNIT)
    logits = graph.add("Mul", graph.cast(scores, np.float64), slope)
    n_classes = (labels.size,)
    if estimator._multilabel:
        graph.cast(graph.add("Greater", scores, np.int32(0)), np.int64, name="label")
        # onnxruntime's Sigmoid is of single precision.
        powers = graph.add("Exp", graph.add("Mul", logits, np.float64(-2)))
        below = graph.add("Add", powers, np.float64(1))
        graph.add("Reciprocal", below, name="probabilities")
    else:
        best = graph.add("ArgMax", scores, axis=1, keepdims=0)  # the first, of equal scores
        graph.add("Gather", labels, best, axis=0, name="label")
        graph.add("Softmax", logits, axis=1, name="probabilities")
    return [
        ("label", labels.dtype, n_classes if estimator._multilabel else ()),
        ("scores", np.int32, n_classes),
        ("probabilities", np.float64, n_classes),
    ]


def _numbers(graph: _Graph, scores: str, reg: BinaryConnectRegressor) -> list[_Tensor]:
    """The sums that `predict` makes of the ramps' shares, in its order."""
    half = graph.add("Div", graph.cast(scores, np.float64), np.float64(2 * _engine.SCORE_UNIT))
    shares = graph.add("Add", half, np.float64(0.5))
    shares = graph.add("Min", graph.add("Max", shares, np.float64(0)), np.float64(1))
    columns, first = [], 0
    for edges in reg.target_edges_:
        ramps = np.arange(first, first + edges.size - 1)
        first += ramps.size
        if not ramps.size:  # a constant: nothing of a ramp
            ramps, edges = np.array([0]), np.append(edges, edges)
        parts = graph.add("Mul", graph.add("Gather", shares, ramps, axis=1), np.diff(edges))
        least = graph.add("Mul", graph.add("Gather", shares, ramps[:1], axis=1), np.float64(0))
        least = graph.add("Add", least, edges[0])
        sums = graph.add("CumSum", graph.add("Concat", least, parts, axis=1), np.int64(1))
        columns.append(graph.add("Gather", sums, np.array([ramps.size]), axis=1))
    shape: tuple[int, ...] = (len(columns),)
    if reg._one_dimensional:
        shape = ()
        graph.add("Squeeze", columns[0], np.array([1]), name="value")
    else:
        graph.add("Concat", *columns, axis=1, name="value")
    return [("value", np.float64, shape), ("scores", np.int32, (reg._n_outputs(),))]


def _labels(classes: NDArray[Any]) -> NDArray[Any]:
    """The labels as ONNX has them: int64, or objects that are strings."""
    if classes.dtype.kind in "biuf":
        with np.errstate(invalid="ignore"):
            numbers = classes.astype(np.int64)
        if not np.array_equal(numbers, classes):
            raise ValueError(
                f"the labels {classes} are not all int64, as which ONNX has them; give smaller ones"
            )
        return numbers
    texts = classes.astype(object)
    for label in texts:
        if not isinstance(label, str):
            raise TypeError(
                f"the label {label!r} is of type {type(label).__name__}; ONNX has integers and "
                "strings: fit on such labels"
            )
    return texts
