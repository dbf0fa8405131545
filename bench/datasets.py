"""MNIST, Fashion-MNIST, CIFAR-10: from the folder that BINNET_DATA names, else openml.org.

SVHN only from the folder, which then has svhn/ with the two published files.
"""

# SPDX-License-Identifier: BSD-3-Clause

import gzip
import lzma
import os
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError
from sklearn.datasets import fetch_openml

N_TRAIN, N_TEST = 60000, 10000
SIDE = 28  # pixels
CIFAR10_SHAPE = 32, 32, 3  # height, width, colours
SVHN_ROWS = {"train": 73257, "test": 26032}
CIFAR10_BATCHES = 5  # of training images, of as many images as the test's
OPENML_NAMES = {"mnist": "mnist_784", "fashion-mnist": "Fashion-MNIST"}
NAMES = tuple(OPENML_NAMES)  # of 28 x 28 grey pixels


def load(name):
    """Return X_train, y_train, X_test, y_test: uint8, an image a row, in the official order.

    A row is 784 pixels, of CIFAR-10 and SVHN 3072 numbers: height x width x (red, green, blue).
    """
    root = os.environ.get("BINNET_DATA")
    if name == "cifar10":
        return _cifar10_from_folder(Path(root) / name) if root else _cifar10_from_openml()
    if name == "svhn":
        return _svhn(root)
    if name not in NAMES:
        known = ", ".join((*NAMES, "cifar10", "svhn"))
        raise ValueError(f"data set {name!r} is unknown; use one of {known}")
    return _from_folder(Path(root) / name) if root else _from_openml(name)


def _from_folder(folder):
    arrays = []
    for prefix, n_rows in ("train", N_TRAIN), ("t10k", N_TEST):
        pixels = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", (n_rows, SIDE, SIDE))
        labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", (n_rows,))
        arrays += [pixels.reshape(n_rows, SIDE * SIDE), labels]
    return tuple(arrays)


def _cifar10_from_folder(folder):
    train = [f"data_batch_{i + 1}" for i in range(CIFAR10_BATCHES)]
    arrays = []
    for prefix, batches in ("train", train), ("test", ["test_batch"]):
        images = [_unpredicted(folder / f"{name}.images.xz") for name in batches]
        arrays.append(np.concatenate(images))
        arrays.append(
            _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", (len(batches) * N_TEST,))
        )
    return tuple(arrays)


def _unpredicted(path):
    """Return a file's images, a row each; it has what the pixels before do not foretell.

    Its planes are green, red - green + 128 and blue - green + 128. A pixel is foretold from those
    left of it, above, and above on the left: left + above - corner, but between left and above.
    """
    height, width, n_colours = CIFAR10_SHAPE
    residuals = _read_idx(path, (N_TEST, height, width, n_colours), lzma.open)
    residuals = residuals.reshape(n_colours, N_TEST, height, width)
    # All images at once, a pixel after the other.
    planes = np.ascontiguousarray(residuals.transpose(2, 3, 0, 1))
    for y in range(height):
        for x in range(width):
            if y and x:
                left, above = planes[y, x - 1].astype(np.int16), planes[y - 1, x]
                foretold = left + above - planes[y - 1, x - 1]
                low, high = np.minimum(left, above), np.maximum(left, above)
                planes[y, x] += foretold.clip(low, high).astype(np.uint8)
            elif x or y:
                planes[y, x] += planes[y, x - 1] if x else planes[y - 1, x]
            else:
                planes[y, x] += np.uint8(128)
    green, red, blue = planes.transpose(2, 3, 0, 1)
    offset = green - np.uint8(128)
    return np.stack([red + offset, green, blue + offset], axis=-1).reshape(N_TEST, -1)


def _svhn(root):
    """Return digits of house numbers, cut out: the published files, whose label of 0 is 10."""
    arrays = []
    for name, n_rows in SVHN_ROWS.items():
        file = f"svhn/{name}_32x32.mat"
        path = Path(root or "", file)
        if root is None or not path.exists():
            raise FileNotFoundError(
                f"{file} is missing; get it from http://ufldl.stanford.edu/housenumbers/ and let "
                "BINNET_DATA name the folder that has svhn/"
            )
        try:
            mat = loadmat(path)
            images, labels = mat["X"], mat["y"]
        except (MatReadError, KeyError, TypeError, ValueError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        if (images.shape, labels.shape) != ((*CIFAR10_SHAPE, n_rows), (n_rows, 1)):
            raise ValueError(f"{path} has images of shape {images.shape}, not of {n_rows} digits")
        arrays.append(np.ascontiguousarray(np.moveaxis(images, 3, 0)).reshape(n_rows, -1))
        arrays.append((labels[:, 0] % 10).astype(np.uint8))
    return tuple(arrays)


def _read_idx(path, shape, opened=gzip.open):
    """Return the bytes of a compressed IDX file, which must have this shape."""
    try:
        with opened(path) as file:
            raw = file.read()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is missing; BINNET_DATA must name the folder that has {path.parent.name}/"
            f"{path.name}. Unset it to download from openml.org instead"
        ) from None
    except (gzip.BadGzipFile, lzma.LZMAError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    # two zero bytes, 8 for unsigned bytes, the number of dimensions, then each of them big-endian
    header = bytes([0, 0, 8, len(shape)]) + np.array(shape, dtype=">u4").tobytes()
    if raw[: len(header)] != header or len(raw) != len(header) + np.prod(shape):
        raise ValueError(f"{path} is not an IDX file of unsigned bytes of shape {shape}")
    return np.frombuffer(raw, dtype=np.uint8, offset=len(header)).reshape(shape)


def _from_openml(name):
    return _fetched(OPENML_NAMES[name], N_TRAIN, SIDE * SIDE)


def _cifar10_from_openml():
    height, width, n_colours = CIFAR10_SHAPE
    n_train = CIFAR10_BATCHES * N_TEST
    x_train, y_train, x_test, y_test = _fetched("CIFAR_10", n_train, height * width * n_colours)

    def by_pixel(x):  # there all reds come first
        images = x.reshape(-1, n_colours, height, width).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(images).reshape(x.shape)

    return by_pixel(x_train), y_train, by_pixel(x_test), y_test


def _fetched(name, n_train, n_columns):
    parser = "pandas" if find_spec("pandas") else "liac-arff"  # the second is slow
    pixels, labels = fetch_openml(name, version=1, as_frame=False, parser=parser, return_X_y=True)
    if pixels.shape != (n_train + N_TEST, n_columns):
        raise ValueError(f"openml.org sent {name} of shape {pixels.shape}")
    pixels, labels = pixels.astype(np.uint8), labels.astype(np.uint8)
    return pixels[:n_train], labels[:n_train], pixels[n_train:], labels[n_train:]
