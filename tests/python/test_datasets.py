"""bench/datasets.py: CIFAR-10 and SVHN from the files of a folder."""

# SPDX-License-Identifier: BSD-3-Clause

import gzip
import lzma
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import datasets

N = 3  # images of a file


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def residuals(images):
    """Number by number, what the description of the format says."""
    red, green, blue = images.astype(int).transpose(3, 0, 1, 2)
    planes = np.array([green, red - green + 128, blue - green + 128]) % 256
    out = planes.copy()
    for place, n, y, x in np.ndindex(planes.shape):
        plane = planes[place, n]
        if y and x:
            a, b, c = plane[y, x - 1], plane[y - 1, x], plane[y - 1, x - 1]
            guess = min(max(a + b - c, min(a, b)), max(a, b))
        elif x:
            guess = plane[y, x - 1]
        else:
            guess = plane[y - 1, x] if y else 128
        out[place, n, y, x] = (plane[y, x] - guess) % 256
    return out


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of noise, and what is in it: images and labels, in the order of the files."""
    monkeypatch.setattr(datasets, "N_TEST", N)
    monkeypatch.setenv("BINNET_DATA", str(tmp_path))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6 * N, *datasets.CIFAR10_SHAPE), dtype=np.uint8)
    labels = random.integers(0, 10, 6 * N, dtype=np.uint8)
    (tmp_path / "cifar10").mkdir()
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name, some in zip(names, np.split(images, 6), strict=True):
        raw = idx(some)[:20] + residuals(some).astype(np.uint8).tobytes()  # 20: the header
        (tmp_path / "cifar10" / f"{name}.images.xz").write_bytes(lzma.compress(raw))
    for name, some in ("train", labels[: 5 * N]), ("test", labels[5 * N :]):
        path = tmp_path / "cifar10" / f"{name}-labels-idx1-ubyte.gz"
        path.write_bytes(gzip.compress(idx(some)))
    return tmp_path / "cifar10", images.reshape(6 * N, -1), labels


def test_cifar10(folder):
    _, images, labels = folder
    x_train, y_train, x_test, y_test = datasets.load("cifar10")
    np.testing.assert_array_equal(np.concatenate([x_train, x_test]), images)
    np.testing.assert_array_equal(np.concatenate([y_train, y_test]), labels)
    assert len(x_test) == len(y_test) == N


def test_damaged_and_missing_files(folder):
    path = folder[0] / "data_batch_2.images.xz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(ValueError, match=r"data_batch_2.images.xz is damaged"):
        datasets.load("cifar10")
    path.write_bytes(lzma.compress(lzma.decompress(whole)[:-1]))
    with pytest.raises(ValueError, match=r"is not an IDX file of unsigned bytes of shape \(3, 32"):
        datasets.load("cifar10")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"cifar10/data_batch_2.images.xz. Unset it"):
        datasets.load("cifar10")


def test_svhn(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "SVHN_ROWS", {"train": 4, "test": 2})
    monkeypatch.setenv("BINNET_DATA", str(tmp_path))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, *datasets.CIFAR10_SHAPE), dtype=np.uint8)
    labels = np.array([[10], [1], [9], [10], [2], [10]], dtype=np.uint8)
    with pytest.raises(FileNotFoundError, match=r"train_32x32.mat is missing; get it from http"):
        datasets.load("svhn")
    (tmp_path / "svhn").mkdir()
    for name, some in ("train", slice(4)), ("test", slice(4, 6)):
        mat = {"X": images[some].transpose(1, 2, 3, 0), "y": labels[some]}
        savemat(tmp_path / "svhn" / f"{name}_32x32.mat", mat, do_compression=True)
    x_train, y_train, x_test, y_test = datasets.load("svhn")
    np.testing.assert_array_equal(np.concatenate([x_train, x_test]), images.reshape(6, -1))
    assert (y_train.tolist(), y_test.tolist()) == ([0, 1, 9, 0], [2, 0])

    path = tmp_path / "svhn" / "test_32x32.mat"
    whole = path.read_bytes()
    for damaged in whole[:-20], b"", b"no mat file" * 100:
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"test_32x32.mat is damaged"):
            datasets.load("svhn")
    path.write_bytes((tmp_path / "svhn" / "train_32x32.mat").read_bytes())
    with pytest.raises(ValueError, match=r"has images of shape \(32, 32, 3, 4\), not of 2 digits"):
        datasets.load("svhn")
    monkeypatch.delenv("BINNET_DATA")
    with pytest.raises(FileNotFoundError, match="let BINNET_DATA name the folder"):
        datasets.load("svhn")


def test_unknown_name():
    with pytest.raises(ValueError, match=r"'cifar' is unknown; use one of mnist, .*, cifar10"):
        datasets.load("cifar")
