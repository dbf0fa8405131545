"""What the host makes of the digits: data, models and checkpoints, as C headers and as bytes."""

# SPDX-License-Identifier: BSD-3-Clause

import os
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
from sklearn.datasets import load_digits

from pybinnet import BinaryConnectClassifier, _engine
from pybinnet._training import engine_method, rate_exponents

N_TRAIN, N_TEST = 1003, 450  # the former not a multiple of a batch: some batches are short

# Of the inference test.
DEPLOYED = {
    "binary": {"hidden_layer_sizes": (64, 32)},
    "ternary": {"hidden_layer_sizes": (64, 32), "weights": "ternary"},
    "sign": {"hidden_layer_sizes": (64, 32), "activation": "sign"},
}
# Of the training tests. 16 KB must hold the first ones with their checkpoint and stack.
SMALL = {"hidden_layer_sizes": (32,), "batch_size": 8, "max_iter": 4}
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
}
RESUMED_AFTER = 2  # epochs


@dataclass(frozen=True)
class Digits:
    x_train: np.ndarray
    labels_train: np.ndarray
    x_test: np.ndarray
    labels_test: np.ndarray


@dataclass(frozen=True)
class Trained:
    """A net that the host trained, and its checkpoint after some epochs."""

    classifier: BinaryConnectClassifier
    resumed: bytes


def digits():
    data = load_digits()
    x, labels = (data.data * 15).astype(np.uint8), data.target.astype(np.uint16)
    return Digits(x[:N_TRAIN], labels[:N_TRAIN], x[-N_TEST:], labels[-N_TEST:])


def deployed(rows):
    """Return the classifiers of the inference test."""
    return {
        name: BinaryConnectClassifier(**parameters, random_state=0).fit(
            rows.x_train, rows.labels_train
        )
        for name, parameters in DEPLOYED.items()
    }


def trained(rows, parameters):
    """Train as the programs do."""
    kept = []

    def keep(info):
        if info.epoch == RESUMED_AFTER:
            kept.append(info.checkpoint())

    classifier = BinaryConnectClassifier(**parameters, random_state=7, callbacks=[keep])
    return Trained(classifier.fit(rows.x_train, rows.labels_train), kept[0])


def portable_size(classifier):
    """Return bytes of the arena with portable kernels; on 32-bit processors a little less do."""
    configuration = classifier._configuration
    with patch.dict(os.environ, BINNET_ISA="portable"):
        return _engine.Net(
            classifier.n_features_in_,
            configuration.units,
            configuration.batch_size,
            configuration.seed,
            configuration.class_counts,
            engine_method(configuration.method),
        ).n_bytes


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
    """Memory for a net or for scratch, unless the target says how much."""
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


def exported_header(rows, classifiers, wrong=False):
    """Models and their scores of the test rows, the first of which may be wrong."""
    text, table = arena(4096), ""
    for name, classifier in classifiers.items():
        scores = _engine.predict_scores(classifier.model_, rows.x_test)
        if wrong:
            scores[0, 0] += 1
            wrong = False
        text += file_bytes(f"{name}_model", classifier.model_)
        text += constant("int32_t", f"{name}_scores", scores)
        table += f'{{"{name}", {name}_model, sizeof {name}_model, {name}_scores}},\n'
    return text + f"static const exported exports[] = {{\n{table}}};\n"


def net_header(trained_net, first_epoch=0):
    """The configuration of a net, its schedule, and files of it."""
    classifier = trained_net.classifier
    configuration = classifier._configuration
    first, last = rate_exponents(classifier)
    batch_size = configuration.batch_size
    units = configuration.units
    method = engine_method(configuration.method)
    flags = (method.ternary, method.stochastic, method.sign, method.adamax, method.exact)
    shares = (method.dropout, method.input_dropout)
    return (
        '#include "binnet.h"\n'
        + arena(portable_size(classifier))
        + constants(
            FIRST_EPOCH=first_epoch,
            N_EPOCHS=f"{classifier.n_iter_}u",
            N_STEPS=f"{-(-N_TRAIN // batch_size)}u",
            BATCH_SIZE=batch_size,
            FIRST_RATE=first,
            LAST_RATE=last,
            CHECKPOINT_BYTES=len(trained_net.resumed),
            MODEL_BYTES=len(classifier.model_),
        )
        + constant("uint32_t", "class_counts", configuration.class_counts)
        + "static const binnet_layer layers[] = {"
        + ", ".join(f"{{BINNET_DENSE, {n}}}" for n in units)
        + "};\n"
        + "static const binnet_config config = {"
        + f".seed = {configuration.seed}u, .n_features = {classifier.n_features_in_}, "
        + f".n_layers = {len(units)}, .batch_size = {batch_size}, .layers = layers, "
        + f".method = {{{', '.join(str(int(value)) for value in flags + shares)}}}, "
        + ".class_counts = class_counts};\n"
        + file_bytes("checkpoint", trained_net.resumed)
        + file_bytes("model", classifier.model_)
    )
