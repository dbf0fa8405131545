"""MNIST and Fashion-MNIST: from the folder that BINNET_DATA names, else from openml.org."""

# SPDX-License-Identifier: BSD-3-Clause

import gzip
import os
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.datasets import fetch_openml

N_TRAIN, N_TEST = 60000, 10000
SIDE = 28  # pixels
OPENML_NAMES = {"mnist": "mnist_784", "fashion-mnist": "Fashion-MNIST"}
NAMES = tuple(OPENML_NAMES)


def load(name):
    """Return X_train, y_train, X_test, y_test: uint8, 784 pixels a row, in the official order."""
    if name not in NAMES:
        raise ValueError(f"data set {name!r} is unknown; use one of {', '.join(NAMES)}")
    root = os.environ.get("BINNET_DATA")
    return _from_folder(Path(root) / name) if root else _from_openml(name)


def _from_folder(folder):
    arrays = []
    for prefix, n_rows in ("train", N_TRAIN), ("t10k", N_TEST):
        pixels = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", (n_rows, SIDE, SIDE))
        labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", (n_rows,))
        arrays += [pixels.reshape(n_rows, SIDE * SIDE), labels]
    return tuple(arrays)


def _read_idx(path, shape):
    """Return the bytes of a gzip-compressed IDX file, which must have this shape."""
    try:
        with gzip.open(path) as file:
            raw = file.read()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is missing; BINNET_DATA must name the folder that has {path.parent.name}/"
            f"{path.name}. Unset it to download from openml.org instead"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    # two zero bytes, 8 for unsigned bytes, the number of dimensions, then each of them big-endian
    header = bytes([0, 0, 8, len(shape)]) + np.array(shape, dtype=">u4").tobytes()
    if raw[: len(header)] != header or len(raw) != len(header) + np.prod(shape):
        raise ValueError(f"{path} is not an IDX file of unsigned bytes of shape {shape}")
    return np.frombuffer(raw, dtype=np.uint8, offset=len(header)).reshape(shape)


def _from_openml(name):
    parser = "pandas" if find_spec("pandas") else "liac-arff"  # the second is slow
    pixels, labels = fetch_openml(
        OPENML_NAMES[name], version=1, as_frame=False, parser=parser, return_X_y=True
    )
    if pixels.shape != (N_TRAIN + N_TEST, SIDE * SIDE):
        raise ValueError(f"openml.org sent {OPENML_NAMES[name]} of shape {pixels.shape}")
    pixels, labels = pixels.astype(np.uint8), labels.astype(np.uint8)
    return pixels[:N_TRAIN], labels[:N_TRAIN], pixels[N_TRAIN:], labels[N_TRAIN:]
