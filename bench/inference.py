"""Microseconds per call of deployed nets: pybinnet against PyTorch, onnxruntime, scikit-learn."""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import logging
import tempfile
import warnings
from pathlib import Path

import datasets
import nets
import numpy as np
from common import (
    add_options,
    compared,
    facts,
    installed,
    measure,
    parse,
    save,
    show_facts,
    show_rows,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from pybinnet import BinaryConnectClassifier, _engine

BATCHES = {"mnist": (1, 64, 10000), "cifar10": (1, 64, 256)}
TRAINED_ROWS = {"mnist": 2560, "cifar10": 256}  # the time does not depend on what a network knows


def main():
    options = parse_options()
    x_train, y_train, x_test, _ = datasets.load(options.net)
    layers = nets.chosen(options)
    few = slice(TRAINED_ROWS[options.net])
    batches = BATCHES[options.net]
    report = facts(options, nets.described(layers))
    show_facts(report)
    with threadpool_limits(options.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        callables = contenders(options, layers, x_train[few], y_train[few])
        panels = [batch(options, callables, x_test[:n]) for n in batches]
    report["batches"] = {n: rows for n, (_, rows) in zip(batches, panels, strict=True)}
    save(options, report, panels, "microseconds per call")


def contenders(options, layers, x, y):
    """Return what is called with rows, and whether it takes them as floats, by name."""
    images = isinstance(layers[0], tuple)
    if images:
        net = {"layers": nets.estimator_layers(layers), "input_shape": layers[0]}
    else:
        net = {"hidden_layer_sizes": options.hidden}
    ours = BinaryConnectClassifier(
        **net, activation=options.activation, max_iter=1, random_state=0
    ).fit(x, y)
    callables = {
        "pybinnet, predict_scores": (lambda x: _engine.predict_scores(ours.model_, x), False),
        "pybinnet, estimator": (ours.predict, False),
    }
    if installed("torch"):
        callables["torch float32"] = torch_network(options, layers), True
    if images:
        return callables
    theirs = MLPClassifier(options.hidden, max_iter=1, batch_size=128, random_state=0)
    theirs.fit(floats(x), y)
    weights = list(zip(theirs.coefs_, theirs.intercepts_, strict=True))
    if installed("onnx", "onnxruntime"):
        for name, run in onnx_networks(options, weights, floats(x)).items():
            callables[f"onnxruntime {name}"] = run, True
    return callables | {"MLPClassifier": (theirs.predict, True)}


def torch_network(options, layers):
    """Return PyTorch's net with weights by chance, batch norm being part of them."""
    import torch
    from torch.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU

    torch.set_num_threads(options.threads)
    modules = []
    for layer, (units, inputs, *kernel) in zip(layers[1:], nets.weight_shapes(layers), strict=True):
        if kernel:
            modules.append(Conv2d(inputs, units, kernel, padding="same"))
            modules += [MaxPool2d(layer.pool)] if layer.pool > 1 else []
        else:
            modules += [Flatten(), Linear(inputs, units)]
        modules.append(ReLU(inplace=True))
    network = torch.nn.Sequential(*modules[:-1]).eval()
    shape = layers[0]
    if isinstance(shape, tuple):  # channels last is faster here than the other order
        network = network.to(memory_format=torch.channels_last)

    def run(x):
        x = torch.from_numpy(x)
        if isinstance(shape, tuple):
            x = x.unflatten(1, shape).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return network(x)

    return run


def onnx_networks(options, weights, x):
    """Return sessions in float32 and, quantized per column of the weights, in 8 bits."""
    import onnxruntime
    from onnxruntime import quantization

    class Rows(quantization.CalibrationDataReader):
        """The rows that the ranges of the activations are measured on, once."""

        def __init__(self):
            self.batches = iter([{"x": x}])

        def get_next(self):
            return next(self.batches, None)

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    logging.getLogger().setLevel(logging.ERROR)  # advice to preprocess: nothing is left to fuse
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, f"{name}.onnx") for name in ("float32", "dynamic", "static")}
        write_onnx(paths["float32"], weights)
        weight_type = quantization.QuantType.QInt8
        quantization.quantize_dynamic(
            paths["float32"], paths["dynamic"], per_channel=True, weight_type=weight_type
        )
        quantization.quantize_static(
            paths["float32"], paths["static"], Rows(), per_channel=True, weight_type=weight_type
        )
        sessions = {
            name: onnxruntime.InferenceSession(path, settings, ["CPUExecutionProvider"])
            for name, path in paths.items()
        }
    return {
        "float32": lambda x: sessions["float32"].run(None, {"x": x}),
        "int8, dynamic": lambda x: sessions["dynamic"].run(None, {"x": x}),
        "int8, static": lambda x: sessions["static"].run(None, {"x": x}),
    }


def write_onnx(path, weights):
    import onnx
    from onnx import helper, numpy_helper

    nodes, constants = [], []
    name = "x"
    for i, (coefficients, intercepts) in enumerate(weights):
        constants += [
            numpy_helper.from_array(coefficients, f"w{i}"),
            numpy_helper.from_array(intercepts, f"b{i}"),
        ]
        # Not MatMul and Add: static quantization makes one operator of Gemm, twice as fast.
        nodes += [
            helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], [f"z{i}"]),
            helper.make_node("Relu", [f"z{i}"], [f"a{i}"]),
        ]
        name = f"a{i}"
    nodes.pop()  # scores have no ReLU
    inputs, outputs = (
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["rows", n])]
        for name, n in (("x", len(weights[0][0])), (nodes[-1].output[0], len(weights[-1][1])))
    )
    graph = helper.make_graph(nodes, "mlp", inputs, outputs, constants)
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)


def batch(options, callables, x):
    """Measure one batch size."""
    rows_as = {False: x, True: floats(x)}

    def repeated(call, rows):
        def run(n):
            for _ in range(n):
                call(rows)

        return run

    blocks = measure(
        {name: repeated(call, rows_as[wants]) for name, (call, wants) in callables.items()},
        options.blocks,
        options.seconds,
    )
    rows = compared(blocks, scale=1e6)
    title = f"Batch of {len(x)}, median of {options.blocks} blocks"
    show_rows(title, rows, "us per call")
    return title, rows


def floats(x):
    return x.astype(np.float32) / 255


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The data comes from the folder that BINNET_DATA names, else from openml.org.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_options(parser, seconds=0.5)
    nets.add_option(parser)
    parser.add_argument(
        "--activation",
        choices=("relu", "sign"),
        default="relu",
        help="of pybinnet; sign is XNOR products. The peers always have ReLU, their fastest",
    )
    return parse(parser)


if __name__ == "__main__":
    main()
