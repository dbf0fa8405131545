"""What the host makes of the digits: data, models and checkpoints, as C headers and as bytes."""

# SPDX-License-Identifier: BSD-3-Clause

import copy
import os
import re
from dataclasses import dataclass
from itertools import islice
from unittest.mock import patch

import numpy as np
from sklearn.datasets import load_digits

from pybinnet import BinaryConnectClassifier, Conv2D, Dense, MaxPool2D, _engine, export_c
from pybinnet._appendix import strip
from pybinnet._parameters import engine_method, rate_exponents
from pybinnet._rows import row_hashes

N_TRAIN, N_TEST = 1003, 450  # the former not a multiple of a batch: some batches are short

# Layers of the sizes of LeNet-5, but for a smaller second kernel, on images of 8 by 8.
LENET = {
    "layers": [Conv2D(6, 5), MaxPool2D(2), Conv2D(16, 3), MaxPool2D(2), Dense(84)],
    "input_shape": (8, 8, 1),
}
# Of the inference test: 64-64-32-10 on bytes, and on integers that become more features; images.
PERCEPTRON = {"hidden_layer_sizes": (64, 32)}
DEPLOYED = {
    "binary": PERCEPTRON,
    "ternary": PERCEPTRON | {"weights": "ternary"},
    "sign": PERCEPTRON | {"activation": "sign"},
    "integers": PERCEPTRON,
    "LeNet": LENET,
    "LeNet, sign": LENET | {"activation": "sign"},
}
# Bytes in which the project promises that they predict, without the features of integers.
MOST_SCRATCH = {"LeNet": 1152, "LeNet, sign": 1152}
MOST_SCRATCH_OF_OTHERS = 512
# Of the training tests. 16 KB must hold the first ones with their checkpoint and stack.
SMALL = {"hidden_layer_sizes": (32,), "batch_size": 16, "max_iter": 4}
SIGNS = {
    "hidden_layer_sizes": (24,),
    "weights": "ternary",
    "binarization": "stochastic",
    "activation": "sign",
}
LARGER = {"hidden_layer_sizes": (64, 32), "batch_size": 32, "max_iter": 4}
TRAINED = {"binary": SMALL, "ternary stochastic sign": SMALL | SIGNS}
TRAINED_LARGER = {
    "larger binary": LARGER,
    "larger AdaMax dropout": LARGER | {"solver": "adamax", "dropout": 0.25},
    "LeNet": LENET | {"batch_size": 16, "max_iter": 3},
    "LeNet, sign": LENET | {"batch_size": 16, "max_iter": 3, "activation": "sign"},
}
RESUMED_AFTER = 2  # epochs


@dataclass(frozen=True)
class Digits:
    x_train: np.ndarray
    labels_train: np.ndarray
    x_test: np.ndarray
    labels_test: np.ndarray


@dataclass(frozen=True)
class Deployed:
    """A classifier, and test rows: uint8 or int32."""

    classifier: BinaryConnectClassifier
    inputs: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Trained:
    """A net that the host trained, its checkpoints after some epochs, and its test errors."""

    classifier: BinaryConnectClassifier
    resumed: bytes
    continued: bytes  # after one epoch more than the classifier's
    errors: int


def digits():
    data = load_digits()
    x, labels = (data.data * 15).astype(np.uint8), data.target.astype(np.uint16)
    order = np.argsort(row_hashes(x[:N_TRAIN], labels[:N_TRAIN, np.newaxis]))  # as fit takes them
    return Digits(x[order], labels[order], x[-N_TEST:], labels[-N_TEST:])


def readings(x):
    """Make of bytes what sensors may give: signed, noisy, each column on a scale of its own."""
    noisy = x.astype(np.int64) + np.random.default_rng(0).integers(16, size=x.shape)
    return ((noisy - 100) * 10 ** (np.arange(x.shape[1]) % 8)).astype(np.int32)


def deployed(rows):
    """Return what the inference test is about, by name."""
    result = {}
    for name, parameters in DEPLOYED.items():
        x_train, x_test = rows.x_train, rows.x_test
        if name == "integers":
            x_train, x_test = readings(x_train), readings(x_test)
        classifier = BinaryConnectClassifier(**parameters, random_state=0)
        result[name] = Deployed(
            classifier.fit(x_train, rows.labels_train), x_test, rows.labels_test
        )
    return result


def trained(rows, parameters):
    """Train as the programs do."""
    kept = []

    def keep(info):
        if info.epoch == RESUMED_AFTER:
            kept.append(strip(info.checkpoint(), net_of(classifier).checkpoint_size))

    data = rows.x_train, rows.labels_train
    classifier = BinaryConnectClassifier(**parameters, random_state=7).fit(*data)
    copy.deepcopy(classifier).set_params(callbacks=[keep]).fit(*data)
    longer = copy.deepcopy(classifier).set_params(warm_start=True, max_iter=1).fit(*data)
    errors = int((classifier.predict(rows.x_test) != rows.labels_test).sum())
    return Trained(classifier, kept[0], longer.checkpoint_, errors)


def net_of(classifier):
    """Return a new net like that of a classifier."""
    return classifier._configuration.net(classifier.n_features_in_, None)


def n_steps(classifier):
    """Return the steps of an epoch."""
    return -(-N_TRAIN // classifier._configuration.batch_size)


def continued(rows, classifier, checkpoint):
    """Return the checkpoint after an epoch on this host that goes on from a device's checkpoint."""
    net = net_of(classifier)
    net.restore(checkpoint)
    steps = n_steps(classifier)
    order = _engine.row_order(classifier._configuration.seed, net.step // steps, N_TRAIN)
    for i in range(steps):
        batch = order[i * N_TRAIN // steps : (i + 1) * N_TRAIN // steps]
        rate = _engine.rate_exponent(*rate_exponents(classifier), i, steps)
        net.train_step(rows.x_train[batch], rows.labels_train[batch], rate)
    return net.checkpoint()


def portable_size(classifier):
    """Return bytes of the arena with portable kernels; on 32-bit processors a little less do."""
    with patch.dict(os.environ, BINNET_ISA="portable"):
        return net_of(classifier).n_bytes


# ---- C headers ------------------------------------------------------------------------------


def braces(array):
    if array.ndim == 0:
        return str(array)
    return "{" + ",".join(map(braces, array)) + "}\n"


def constant(kind, name, values):
    """C text of an array."""
    array = np.asarray(values)
    sizes = "".join(f"[{n}]" for n in array.shape)
    return f"static const {kind} {name}{sizes} = {braces(array)};\n"


def constants(**numbers):
    return "".join(f"#define {name} {value}\n" for name, value in numbers.items())


def arena(n_bytes):
    """Memory for a net, or for scratch of any kernels, unless the target says how much."""
    return f"#ifndef ARENA_BYTES\n#define ARENA_BYTES {n_bytes}\n#endif\n"


def file_bytes(name, content):
    return constant("uint8_t", name, np.frombuffer(content, np.uint8))


def digits_header(rows):
    return (
        "#include <stdint.h>\n"
        + constants(N_ROWS=N_TRAIN, N_TEST=N_TEST, N_CLASSES=10, N_FEATURES=rows.x_test.shape[1])
        + constant("uint8_t", "x_train", rows.x_train)
        + constant("uint16_t", "labels_train", rows.labels_train)
        + constant("uint8_t", "x_test", rows.x_test)
        + constant("uint16_t", "labels_test", rows.labels_test)
    )


def export(subject, folder):
    """Write what infer.c includes: deployed.h, and rows.h with the host's answers."""
    folder.mkdir(parents=True)
    export_c(subject.classifier, folder / "deployed.h")
    features = subject.classifier.encoder_.transform(subject.inputs)
    scores = _engine.predict_scores(subject.classifier.model_, features)
    most = MOST_SCRATCH.get(folder.name, MOST_SCRATCH_OF_OTHERS)
    most += 0 if subject.inputs.dtype == np.uint8 else features.shape[1]
    (folder / "rows.h").write_text(
        constants(N_ROWS=len(scores), MOST_SCRATCH_BYTES=most)
        + constant("deployed_input", "inputs", subject.inputs)
        + constant("int32_t", "scores", scores)
        + constant("uint16_t", "predicted", subject.classifier.predict(subject.inputs))
        + constant("uint16_t", "labels", subject.labels)
    )


def plant_error(file, array, place):
    """Change one number of an array in a header."""
    text = file.read_text()
    begin = re.search(rf"\b{array}\[.* = ", text).end()
    start, end = next(islice(re.compile(r"-?\w+").finditer(text, begin), place, None)).span()
    file.write_text(f"{text[:start]}{int(text[start:end], 0) ^ 64}{text[end:]}")


def layer_braces(layer):
    kind = "BINNET_CONV2D" if layer.kernel_size else "BINNET_DENSE"
    numbers = layer.units, layer.kernel_size, layer.stride, int(layer.valid), layer.pool
    return f"{{{', '.join(map(str, (kind, *numbers)))}}}"


def net_header(trained_net, first_epoch=0):
    """The configuration of a net, its schedule, and files of it."""
    classifier = trained_net.classifier
    configuration = classifier._configuration
    first, last = rate_exponents(classifier)
    batch_size = configuration.batch_size
    layers = configuration.layers
    height, width = configuration.image or (0, 0)
    method = engine_method(configuration.method)
    flags = (method.ternary, method.stochastic, method.sign, method.adamax, method.exact)
    shares = (method.dropout, method.input_dropout, method.decay)
    return (
        '#include "binnet.h"\n'
        + arena(portable_size(classifier))
        + constants(
            FIRST_EPOCH=first_epoch,
            N_EPOCHS=f"{classifier.n_iter_}u",
            N_STEPS=f"{n_steps(classifier)}u",
            BATCH_SIZE=batch_size,
            FIRST_RATE=first,
            LAST_RATE=last,
            CHECKPOINT_BYTES=len(trained_net.resumed),
            MODEL_BYTES=len(classifier.model_),
        )
        + constant("uint32_t", "class_counts", configuration.counts)
        + "static const binnet_layer layers[] = {"
        + ", ".join(map(layer_braces, layers))
        + "};\n"
        + "static const binnet_config config = {"
        + f".seed = {configuration.seed}u, .n_features = {classifier.n_features_in_}, "
        + f".n_layers = {len(layers)}, .batch_size = {batch_size}, .layers = layers, "
        + f".method = {{{', '.join(str(int(value)) for value in flags + shares)}}}, "
        + f".class_counts = class_counts, .height = {height}, .width = {width}}};\n"
        + file_bytes("checkpoint", trained_net.resumed)
        + file_bytes("model", classifier.model_)
    )
