"""export_c: the header compiled against libbinnet does what Python does; what is refused."""

import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import golden
import joblib
import numpy as np
import pytest
from cffi import FFI
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from pybinnet import (
    BinaryConnectClassifier,
    BinaryConnectRegressor,
    Conv2D,
    Dense,
    MaxPool2D,
    PiecewiseLinearEncoder,
    _engine,
    export_c,
)
from pybinnet.__main__ import main
from pybinnet._header import _literal
from pybinnet._integer_ramps import integer_ramps
from pybinnet._parameters import engine_method, rate_exponents

ROOT = Path(golden.__file__).parents[1]
INT32 = np.iinfo(np.int32)
STRICT_C = "-Wall -Wextra -Wconversion -pedantic -Werror".split()
BUFFER_SIZE, CHECKSUM, MISMATCH = -3, -10, -12
DRIVER = """
#include "net.h"
static uint64_t scratch[(NET_SCRATCH_BYTES + 7) / 8];
#ifdef NET_FRACTION_BITS
void encode(const net_input *inputs, size_t n_rows, uint8_t *features);
void encode(const net_input *inputs, size_t n_rows, uint8_t *features) {
    for (size_t i = 0; i < n_rows; ++i)
        net_encode(inputs + i * NET_N_INPUTS, features + i * NET_N_FEATURES);
}
#endif
int32_t selftest(size_t scratch_bytes);
int32_t selftest(size_t scratch_bytes) { return net_selftest(scratch, scratch_bytes); }
int32_t predict(const net_input *inputs, size_t n_rows, int32_t *scores, uint16_t *classes);
int32_t predict(const net_input *inputs, size_t n_rows, int32_t *scores, uint16_t *classes) {
    binnet_model model;
    binnet_status status = net_open(&model);
    for (size_t i = 0; status == BINNET_OK && i < n_rows; ++i)
        status = net_predict(&model, inputs + i * NET_N_INPUTS, scores + i * NET_N_CLASSES,
                             classes + i, scratch, NET_SCRATCH_BYTES);
    return status;
}
"""
DECLARED = """
int32_t selftest(size_t scratch_bytes);
int32_t predict(const void *inputs, size_t n_rows, int32_t *scores, uint16_t *classes);
"""


def compiler(name):
    if not shutil.which(name):
        assert os.environ.get("STRICT") != "1", f"no compiler, {name}"
        pytest.skip(f"LOUD: no compiler, {name}")
    return name


def cc():
    return compiler(os.environ.get("CC", "cc"))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """libbinnet as firmware has it: the portable kernels alone."""
    folder = ROOT / "libbinnet"
    lines = (folder / "sources.txt").read_text("utf-8").splitlines()
    sources = [folder / line.strip() for line in lines if line.strip() and line[0] != "#"]
    path = tmp_path_factory.mktemp("libbinnet") / "libbinnet.so"
    flags = "-std=c99 -O1 -fPIC -shared -DBINNET_PORTABLE_ONLY".split()
    subprocess.run([cc(), *flags, f"-I{ROOT / 'include'}", "-o", path, *sources], check=True)
    return path


class Device:
    """A compiled header."""

    def __init__(self, library, header):
        folder = header.parent
        (folder / "driver.c").write_text(DRIVER)
        built = folder / f"device{len(list(folder.iterdir()))}.so"  # dlopen knows files by name
        command = [cc(), "-std=c99", *STRICT_C, "-O2", "-fPIC", "-shared"]
        command += [f"-I{ROOT / 'include'}", "-o", built, folder / "driver.c"]
        subprocess.run([*command, library, f"-Wl,-rpath,{library.parent}"], check=True)
        self.text = header.read_text("utf-8")
        self.ffi = FFI()
        self.ffi.cdef(DECLARED)
        if self.encodes:
            self.ffi.cdef("void encode(const int32_t *, size_t n_rows, uint8_t *features);")
        self.lib = self.ffi.dlopen(str(built))

    @property
    def encodes(self):
        return "net_encode" in self.text

    def size(self, name):
        """A macro's value."""
        return int(re.search(rf"#define NET_{name} \(?(\d+)", self.text)[1])

    def labels(self):
        """The class labels as they stand in the header."""
        return re.search(r"net_classes\[NET_N_CLASSES\] = {\n(.*?)}", self.text, re.S)[1].split()

    def selftest(self, n_bytes=1 << 20):
        return self.lib.selftest(n_bytes)

    def predict(self, inputs):
        """Scores, and positions of classes."""
        inputs = np.ascontiguousarray(inputs, dtype=np.int32 if self.encodes else np.uint8)
        scores = np.empty((len(inputs), self.size("N_CLASSES")), dtype=np.int32)
        classes = np.empty(len(inputs), dtype=np.uint16)
        buffers = (
            self.ffi.from_buffer(inputs),
            len(inputs),
            self.ffi.from_buffer("int32_t[]", scores),
            self.ffi.from_buffer("uint16_t[]", classes),
        )
        assert self.lib.predict(*buffers) == 0
        return scores, classes

    def encode(self, inputs):
        inputs = np.ascontiguousarray(inputs, dtype=np.int32)
        features = np.empty((len(inputs), self.size("N_FEATURES")), dtype=np.uint8)
        self.lib.encode(
            self.ffi.from_buffer("int32_t[]", inputs),
            len(inputs),
            self.ffi.from_buffer("uint8_t[]", features),
        )
        return features


def small(X, y=None, **parameters):
    """A classifier that need not know anything."""
    y = np.arange(len(X)) % 2 if y is None else y
    return BinaryConnectClassifier((8,), max_iter=1, random_state=0, **parameters).fit(X, y)


@pytest.fixture
def export(library, tmp_path):
    def exported(clf, **arguments):
        header = tmp_path / "net.h"
        export_c(clf, header, **arguments)
        return Device(library, header)

    return exported


# Predictions

IMAGES = {
    "layers": [Conv2D(9, 3), MaxPool2D(2), Conv2D(5, 2, "valid", 2), Dense(12)],
    "input_shape": (8, 8, 1),
}


def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split((X * 15).astype(np.uint8), y, random_state=0)


@pytest.mark.parametrize(
    "method",
    [
        {},
        {"weights": "ternary"},
        {"activation": "sign"},
        {"activation": "sign", "weights": "ternary", "hidden_layer_sizes": (40, 33, 20)},
        {"hidden_layer_sizes": ()},
        IMAGES,
        {**IMAGES, "activation": "sign", "weights": "ternary"},
    ],
    ids=str,
)
def test_bytes(export, method):
    X_train, X_test, y_train, _ = digits()
    parameters = {"hidden_layer_sizes": (48,), "max_iter": 3, "random_state": 0, **method}
    clf = BinaryConnectClassifier(**parameters).fit(X_train, y_train)
    device = export(clf)
    assert device.selftest() == 0
    scores, classes = device.predict(X_test)
    np.testing.assert_array_equal(scores, _engine.predict_scores(clf.model_, X_test))
    np.testing.assert_array_equal(clf.classes_[classes], clf.predict(X_test))
    assert not device.encodes
    assert device.size("N_INPUTS") == device.size("N_FEATURES") == 64
    assert device.size("MODEL_BYTES") == len(clf.model_)
    assert device.size("SCRATCH_BYTES") == _engine.portable_scratch_size(clf.model_)
    assert device.labels() == [f"{digit}," for digit in range(10)]


@pytest.mark.parametrize("load", [load_iris, load_wine])
@pytest.mark.parametrize("fraction_bits", [12, 20])
def test_fractions(export, load, fraction_bits):
    X, y = load(return_X_y=True)
    X = np.rint(X * 2.0**fraction_bits) / 2.0**fraction_bits
    clf = small(X, load().target_names[y])
    device = export(clf, fraction_bits=fraction_bits, X_test=X[::9])
    assert device.selftest() == 0
    assert device.size("N_TESTS") == len(X[::9])
    assert device.size("FRACTION_BITS") == fraction_bits
    inputs = X * 2.0**fraction_bits
    np.testing.assert_array_equal(device.encode(inputs), clf.encoder_.transform(X))
    np.testing.assert_array_equal(clf.classes_[device.predict(inputs)[1]], clf.predict(X))
    assert device.labels() == [f'"{label}",' for label in clf.classes_]


def test_images_of_fractions(export):
    X, y = load_digits().images / 16, load_digits().target
    clf = BinaryConnectClassifier(layers=IMAGES["layers"], max_iter=2, random_state=0).fit(X, y)
    device = export(clf, fraction_bits=4, X_test=X[:9])
    assert device.selftest() == 0
    assert device.size("N_TESTS") == 9
    assert "/* A 8x8x1-9C3-MP2-5C2/2-12-10 network with binary weights and relu" in device.text
    inputs = (X * 16).reshape(len(X), -1)
    np.testing.assert_array_equal(device.encode(inputs), clf._features(X))
    np.testing.assert_array_equal(clf.classes_[device.predict(inputs)[1]], clf.predict(X))
    with pytest.raises(ValueError, match=r"X has shape \(9, 7, 8\), and its images must be of"):
        export(clf, fraction_bits=4, X_test=X[:9, 1:])


def test_integers_of_two_classes(export):
    X = np.random.default_rng(0).integers(-40, 4096, (300, 5))
    X[:, 0] *= -500_000
    clf = small(X, np.where(X[:, 1] > 99, -7.0, 2**31 - 1))
    device = export(clf)
    assert device.selftest() == 0
    np.testing.assert_array_equal(clf.classes_[device.predict(X)[1]], clf.predict(X))
    assert device.labels() == ["-7,", "2147483647,"]
    assert "name_exceptions" not in device.text
    assert "int32_t net_edge;" in device.text


# The encoding


def columns(*values):
    """One column of each, repeated to one length."""
    return np.transpose([np.resize(np.array(v, dtype=np.float64), 60) for v in values])


ENCODERS = {
    "integers": (columns(range(-30, 30), [0, 510], [0, 4095, 17], [-3, 8, 9, 9, 200]), 0),
    "extremes": (columns([INT32.min, INT32.max], [INT32.min, 0, 7], [5, 5]), 0),
    "Boolean and constant": (columns([0, 1], [3.7], [1e300], [0, 0, 1]), 0),
    "all constant": (columns([2], [3]), 0),
    "all fraction bits": (columns([-1, 0.3, 1], np.linspace(0, 1e-4, 60)), 30),
    "halves": (columns(np.arange(60) / 2, np.arange(0, 300, 5) * 0.75), 2),
    # Many inputs are near ties, where float64's roundings decide.
    "decimals": (columns(np.arange(60) * 5.1, np.arange(17) * 5.1 + 0.1, [0.1, 0.9]), 10),
    "narrower than a step": (columns([3.7, 4.0, 9]), 0),
    "around zero": (columns([-1e-300, 1e-300], [-1e-9, 1e-9, 3]), 4),
    "normal": (np.random.default_rng(1).normal(3, 9, (60, 4)), 7),
}


@pytest.fixture(scope="module", params=ENCODERS)
def encoding(request, library, tmp_path_factory):
    """A device, its classifier's encoder, and what to divide its inputs by."""
    X, fraction_bits = ENCODERS[request.param]
    header = tmp_path_factory.mktemp("encoding") / "net.h"
    clf = small(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are too coarse, but right
        export_c(clf, header, fraction_bits=fraction_bits)
    return Device(library, header), clf.encoder_, 2.0**fraction_bits


def check_encoding(encoding, inputs):
    device, encoder, unit = encoding
    np.testing.assert_array_equal(device.encode(inputs), encoder.transform(inputs / unit))


def test_encoding_in_the_range(encoding):
    """All inputs between the least and the largest edge, or many of them, and some beyond."""
    _, encoder, unit = encoding
    n_inputs = encoder.n_features_in_
    used = [edges * unit for edges in encoder.edges_ if edges.size > 1] or [np.zeros(1)]
    for edges in used:
        low, high = max(INT32.min, edges[0] - 99), min(INT32.max, edges[-1] + 99)
        inputs = np.unique(np.linspace(low, high, 200_001).astype(np.int64))
        check_encoding(encoding, np.repeat(inputs[:, None], n_inputs, axis=1))
        near = np.rint(edges)[:, None] + np.arange(-600, 601)
        near = np.clip(near.reshape(-1, 1), INT32.min, INT32.max)
        check_encoding(encoding, np.repeat(near, n_inputs, axis=1))


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_encoding_of_any_row(encoding, data):
    shape = 3, encoding[1].n_features_in_
    elements = st.one_of(st.integers(-5000, 5000), st.integers(INT32.min, INT32.max))
    check_encoding(encoding, data.draw(hnp.arrays(np.int64, shape, elements=elements)))


def test_selftest_of_every_encoding(encoding):
    assert encoding[0].selftest() == 0


def test_exceptions_are_met(library, tmp_path):
    X, fraction_bits = ENCODERS["decimals"]
    export_c(small(X), tmp_path / "net.h", fraction_bits=fraction_bits)
    assert "net_exceptions[]" in (tmp_path / "net.h").read_text()


def in_integers(ramps, column, x):
    """The bytes of a column by the definition of IntegerRamps, in Python's integers."""
    first_feature = sum(ramps.n_ramps[:column])
    sizes = [n - s + 2 if n else 0 for n, s in zip(ramps.n_ramps, ramps.spans, strict=True)]
    edges = ramps.edges.tolist()[sum(sizes[:column]) : sum(sizes[: column + 1])]
    overlap = ramps.spans[column] - 1
    begins, ends = edges[:1] * overlap + edges[:-1], edges[1:] + edges[-1:] * overlap
    made = []
    for low, high in zip(begins, ends, strict=True):
        d, w = (x << ramps.edge_bits) - low, high - low
        made.append(255 if d >= w else 0 if d <= 0 else (255 * d + w // 2) // w)
    for e in ramps.exceptions:
        if (e.column, e.value) == (column, x):
            made[e.feature - first_feature] = e.byte
    return made


@settings(deadline=None)
@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(2, 40), st.just(2)),
        elements=st.one_of(
            st.integers(-300, 300).map(float),
            st.integers(-3000, 3000).map(lambda n: n / 10),
            st.floats(-100, 100),
        ),
    ),
    st.integers(0, 22),
    st.lists(st.floats(-0.2, 1.2), min_size=1, max_size=8),
)
def test_integer_ramps_of_any_columns(X, fraction_bits, places):
    encoder = PiecewiseLinearEncoder().fit(X)
    if all(edges.size == 1 for edges in encoder.edges_):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ramps = integer_ramps(encoder, fraction_bits)
    assert len(ramps.exceptions) < 300
    for column, edges in enumerate(encoder.edges_):
        span = (edges[-1] - edges[0]) * 2.0**fraction_bits
        xs = [round(edges[0] * 2.0**fraction_bits + place * span) for place in places]
        xs += [e.value for e in ramps.exceptions if e.column == column][:9]
        xs = [x + step for x in xs for step in (-1, 0, 1)]
        rows = np.repeat(np.array(xs)[:, None] / 2.0**fraction_bits, 2, axis=1)
        start = sum(ramps.n_ramps[:column])
        expected = encoder.transform(rows)[:, start : start + ramps.n_ramps[column]]
        assert [in_integers(ramps, column, x) for x in xs] == expected.tolist()


@settings(deadline=None)
@given(hnp.arrays(np.int64, (9, 3), elements=st.integers(INT32.min, INT32.max)))
def test_integers_need_neither_fractions_nor_exceptions(X):
    """But outer edges may be moved by half an odd distance."""
    encoder = PiecewiseLinearEncoder().fit(X)
    ramps = integer_ramps(encoder, 0)
    assert ramps.exceptions == []
    assert ramps.edge_bits <= 1


# The self-test


def planted(library, header, pattern, replacement):
    """The device of a header with a fault."""
    text = header.read_text("utf-8")
    changed, n = re.subn(pattern, replacement, text, count=1, flags=re.S)
    assert n == 1 and changed != text
    header.write_text(changed)
    return Device(library, header)


@pytest.mark.parametrize(
    ("pattern", "replacement", "status"),
    [
        (r"(net_model\[NET_MODEL_BYTES\] = {.*?)0x\w\w(, 0x\w\w,\n};)", r"\g<1>0x00\2", CHECKSUM),
        (r"(net_test_scores\[.*?{\n    {\n\s+)-?\d+", r"\g<1>77", MISMATCH),
        (r"(net_test_classes\[NET_N_TESTS\] = {\n\s+)\d+", r"\g<1>9", MISMATCH),
        (r"(net_edges\[\] = {\n\s+)-?\d+", r"\g<1>-9000", MISMATCH),
        (r"part >> 1\);", "0);", MISMATCH),
    ],
)
def test_selftest_finds_faults(library, tmp_path, pattern, replacement, status):
    header = tmp_path / "net.h"
    export_c(small(np.random.default_rng(3).integers(0, 4096, (90, 20))), header)
    assert Device(library, header).selftest() == 0
    assert planted(library, header, pattern, replacement).selftest() == status


def test_scratch_is_enough_and_no_more(export):
    for X in (np.random.default_rng(0).integers(0, 99, (50, 6)), 255 * np.eye(50, dtype=np.uint8)):
        device = export(small(X))
        size = device.size("SCRATCH_BYTES")
        assert device.selftest(size) == 0
        assert device.selftest(size - 1) == BUFFER_SIZE


# The header


def test_it_is_cxx(tmp_path):
    cxx = compiler(os.environ.get("CXX", "c++"))
    for X, fraction_bits in (*ENCODERS.values(), (255 * np.eye(60, dtype=np.uint8), 0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            export_c(small(X), tmp_path / "net.h", fraction_bits=fraction_bits)
        (tmp_path / "main.cc").write_text('#include "net.h"\nint main() { return 0; }\n')
        command = [cxx, "-std=c++11", *STRICT_C, f"-I{ROOT / 'include'}", "-fsyntax-only"]
        subprocess.run([*command, tmp_path / "main.cc"], check=True)


def test_a_processor_without_divider_or_floats_needs_no_help(tmp_path):
    """Compiled for a Cortex-M0, the header calls libbinnet and memcmp, and no helper of GCC."""
    gcc = compiler("arm-none-eabi-gcc")
    (tmp_path / "driver.c").write_text(DRIVER)
    for X, fraction_bits in (ENCODERS["decimals"], (255 * np.eye(60, dtype=np.uint8), 0)):
        export_c(small(X), tmp_path / "net.h", fraction_bits=fraction_bits)
        for level in ("-Os", "-O2"):
            flags = ["-std=c99", *STRICT_C, "-mcpu=cortex-m0", "-mthumb", level]
            command = [gcc, *flags, f"-I{ROOT / 'include'}", "-c", "driver.c", "-o", "driver.o"]
            subprocess.run(command, check=True, cwd=tmp_path)
            command = [gcc.replace("gcc", "nm"), "--undefined-only", "driver.o"]
            called = subprocess.check_output(command, cwd=tmp_path, text=True).split()
            assert all(name in ("U", "memcmp") or name[:7] == "binnet_" for name in called), called


def test_it_has_no_floats_and_is_repeatable(tmp_path):
    X, y = load_iris(return_X_y=True)
    clf = small(X, y)
    for name in ("a.h", "b.h"):
        export_c(clf, tmp_path / name, "Flower2", fraction_bits=12)
    text = (tmp_path / "a.h").read_text()
    assert text == (tmp_path / "b.h").read_text()
    assert not re.search(
        r"\bfloat|\bdouble|\d\.\d+[^.]", re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    )
    assert "#define FLOWER2_N_INPUTS 4\n" in text and "Flower2_predict(" in text
    assert not re.search(r"\bname_|\bNAME_", text)
    assert max(map(len, text.splitlines())) <= 110


def test_labels_of_any_text(export):
    labels = ['name_a "b"', "ü\\??/", "1\n2", "C"]
    X = 255 * np.eye(40, dtype=np.uint8)
    device = export(small(X, np.array(labels)[np.arange(40) % 4]))
    assert device.selftest() == 0
    assert '"name_a \\042b\\042",' in device.text
    assert _literal("ü\\?") == '"\\303\\274\\134\\077"'


def test_labels_that_are_no_int32_are_texts(export):
    X = 255 * np.eye(40, dtype=np.uint8)
    for labels, expected in [
        ([1, 2**31], ['"1",', '"2147483648",']),
        ([False, True], ["0,", "1,"]),
        (["1", "2"], ['"1",', '"2",']),
    ]:
        assert export(small(X, np.array(labels)[np.arange(40) % 2])).labels() == expected


def test_named_as_its_file(tmp_path):
    export_c(small(np.eye(9)), tmp_path / "door.h")
    assert "door_selftest" in (tmp_path / "door.h").read_text()


def test_the_default_tests_meet_all_ramps(tmp_path):
    clf = small(np.arange(20_000)[:, None] - 700)
    export_c(clf, tmp_path / "net.h")
    found = re.search(r"net_test_inputs\[.*?= {(.*?)};", (tmp_path / "net.h").read_text(), re.S)
    inputs = [int(n) for n in re.findall(r"-?\d+", found[1])]
    assert inputs[:2] == [INT32.min, INT32.max]
    assert len(inputs) == 23
    ramps = np.searchsorted(clf.encoder_.edges_[0], inputs[2:])
    assert sorted(ramps) == list(range(1, 22))


# What is refused, and warned of


@pytest.mark.parametrize(
    ("clf", "arguments", "error", "message"),
    [
        (LogisticRegression(), {}, TypeError, "got LogisticRegression"),
        (make_pipeline(LogisticRegression()), {}, TypeError, "got Pipeline"),
        (BinaryConnectClassifier(), {}, NotFittedError, "not fitted"),
        (None, {"name": "2nd"}, ValueError, "name='2nd' is no C identifier"),
        (None, {"name": "a-b"}, ValueError, "is no C identifier"),
        (None, {"name": "é"}, ValueError, "is no C identifier"),
        (None, {"name": "binnet_model"}, ValueError, "begins as the library's own"),
        (None, {"name": 3}, TypeError, "name=3 is of type int"),
        (None, {"fraction_bits": -1}, ValueError, "fraction_bits=-1 is outside"),
        (None, {"fraction_bits": 31}, ValueError, "fraction_bits=31 is outside"),
        (None, {"fraction_bits": 2.0}, TypeError, "give an integer"),
        (None, {"fraction_bits": 30}, ValueError, "column 1 has values up to 9 in training"),
        (None, {"X_test": [[1, 2, 3]]}, ValueError, "expecting 2 features"),
        (None, {"X_test": [[0, 0], [1, 0.5]]}, ValueError, r"X_test\[1, 1\] is 0.5, which"),
        (None, {"X_test": [[2**31, 0]]}, ValueError, r"X_test\[0, 0\] is 2147483648"),
        (None, {"X_test": [[1e300, 0]], "fraction_bits": 1}, ValueError, "no int32"),
        (None, {"X_test": [[np.nan, 0]]}, ValueError, "NaN"),
        ("bytes", {"fraction_bits": 1}, ValueError, "fitted on bytes"),
        ("bytes", {"X_test": [[1, 256]]}, ValueError, r"X\[0, 1\] is 256"),
    ],
)
def test_refused(tmp_path, clf, arguments, error, message):
    X = np.array([[0, 0], [1, 9], [0, 3], [1, 5]])
    if clf is None or clf == "bytes":
        clf = small(X if clf is None else (99 * X).astype(np.uint8))
    with pytest.raises(error, match=message):
        export_c(clf, tmp_path / "net.h", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_file(tmp_path, monkeypatch):
    path = tmp_path / "net.h"
    path.write_text("old")
    clf = small(np.eye(9))

    def full(*_):
        raise OSError(28, "No space left on device", "some temporary name")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/net\.h'"):
        export_c(clf, path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("net.h", "old")]


def test_an_unwritable_path_is_named(tmp_path):
    (tmp_path / "net.h").mkdir()
    for path, error in [("none/net.h", FileNotFoundError), ("net.h", IsADirectoryError)]:
        with pytest.raises(error, match=f"'{tmp_path / path}'"):
            export_c(small(np.eye(9)), tmp_path / path)
    assert [p.name for p in tmp_path.iterdir()] == ["net.h"]


def test_warns_of_coarse_inputs_and_the_advice_helps(tmp_path):
    X, y = load_iris(return_X_y=True)
    clf = small(X, y)
    with pytest.warns(UserWarning, match=r"too coarse for column 0, 1, 2, 3, .*") as caught:
        export_c(clf, tmp_path / "net.h")
    assert caught[0].filename == __file__
    bits = int(re.search(r"use fraction_bits=(\d+)", str(caught[0].message))[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_c(clf, tmp_path / "net.h", fraction_bits=bits)


def test_warns_where_no_fraction_bits_help(tmp_path):
    clf = small(columns([0, 1e9], [0, 1e-9]))
    with pytest.warns(UserWarning, match="column 1, .* fit on larger numbers there"):
        export_c(clf, tmp_path / "net.h", fraction_bits=1)


LEARNER = """
#include "net.h"
static uint64_t arena[(NET_ARENA_BYTES + 7) / 8];
int32_t learn(const uint8_t *x, const uint16_t *labels, uint32_t n_rows, uint8_t *checkpoint);
int32_t learn(const uint8_t *x, const uint16_t *labels, uint32_t n_rows, uint8_t *checkpoint) {
    binnet_net *net;
    binnet_status status = binnet_net_init(&net, arena, sizeof arena, &net_config);
    if (status == BINNET_OK)
        status = binnet_checkpoint_read(net, net_checkpoint, sizeof net_checkpoint);
    if (status == BINNET_OK)
        status = binnet_net_train_step(net, x, labels, n_rows, NET_LAST_RATE, NULL);
    if (status == BINNET_OK)
        status = binnet_checkpoint_write(net, checkpoint, NET_CHECKPOINT_BYTES);
    return status;
}
"""


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"weights": "ternary", "solver": "adamax", "dropout": 0.3, "hidden_layer_sizes": (9, 7)},
        IMAGES,
    ],
)
def test_device_goes_on_learning(tmp_path, library, parameters):
    X, y = load_digits(return_X_y=True)
    X, y = (X[:200] * 15).astype(np.uint8), y[:200]
    values = {"hidden_layer_sizes": (12,), "max_iter": 2, "batch_size": 32, "random_state": 3}
    clf = BinaryConnectClassifier(**values | parameters).fit(X, y)
    export_c(clf, tmp_path / "net.h", checkpoint=True)
    (tmp_path / "learner.c").write_text(LEARNER)
    built = tmp_path / "learner.so"
    command = [cc(), "-std=c99", *STRICT_C, "-Wno-unused-function", "-fPIC", "-shared"]
    command += [f"-I{ROOT / 'include'}", "-o", built, tmp_path / "learner.c"]
    subprocess.run([*command, library, f"-Wl,-rpath,{library.parent}"], check=True)
    ffi = FFI()
    ffi.cdef("int32_t learn(const uint8_t *, const uint16_t *, uint32_t, uint8_t *);")
    learned = ffi.new("uint8_t[]", len(clf.checkpoint_))
    labels = y[:20].astype(np.uint16)
    rows = ffi.from_buffer(X[:20])
    lib = ffi.dlopen(str(built))
    assert lib.learn(rows, ffi.from_buffer("uint16_t[]", labels), 20, learned) == 0

    before = clf._configuration
    net = _engine.Net(
        64,
        before.layers,
        32,
        before.seed,
        before.counts,
        engine_method(before.method),
        n_rows=before.n_rows,
        image=before.image,
    )
    net.restore(clf.checkpoint_)
    net.train_step(X[:20], labels, rate_exponents(clf)[1])
    assert bytes(ffi.buffer(learned)) == net.checkpoint()
    clf.checkpoint_ = bytes(ffi.buffer(learned))  # and back
    clf.set_params(warm_start=True).fit(X, y)
    assert int.from_bytes(clf.checkpoint_[32:36], "little") == 2 * 2 * 7 + 1  # steps


def test_regressors_are_refused(tmp_path):
    X, _ = load_iris(return_X_y=True)
    with pytest.raises(TypeError, match="got a BinaryConnectRegressor; export_onnx takes it"):
        export_c(BinaryConnectRegressor((8,), max_iter=1).fit(X, X[:, 0]), tmp_path / "net.h")


# The command line


@pytest.fixture
def run(capsys):
    """What a command returns, or exits with, and its two outputs."""

    def result(*arguments):
        try:
            code = main(list(map(str, arguments)))
        except SystemExit as exited:
            code = exited.code
        return code, *capsys.readouterr()

    return result


def test_command_as_a_process(tmp_path):
    command = [sys.executable, "-m", "pybinnet", "export", "no.joblib", "net.h"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("python -m pybinnet: error: no.joblib: No such file")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.filterwarnings("default")
def test_command(library, tmp_path, run):
    X, y = load_iris(return_X_y=True)
    clf = small(X, y)
    joblib.dump(clf, tmp_path / "clf.joblib")
    header = tmp_path / "net.h"
    done = run("export", tmp_path / "clf.joblib", header, "--fraction-bits", 12)
    assert done == (0, "", "")
    assert Device(library, header).selftest() == 0
    export_c(clf, tmp_path / "same.h", "net", fraction_bits=12)
    assert (tmp_path / "same.h").read_text() == header.read_text()

    code, out, err = run("export", tmp_path / "clf.joblib", header, "--name", "iris")
    assert (code, out) == (0, "")
    assert err.startswith("python -m pybinnet: warning: fraction_bits=0 is too coarse")
    assert "iris_selftest" in header.read_text()


def test_command_refuses(tmp_path, run):
    joblib.dump(LogisticRegression(), tmp_path / "other.joblib")
    (tmp_path / "text").write_text("no pickle")
    joblib.dump(small(np.eye(9)), tmp_path / "clf.joblib")
    out = tmp_path / "net.h"
    for code, message, arguments in [
        (1, "none: No such file", ["export", tmp_path / "none", out]),
        (1, "no joblib or pickle file", ["export", tmp_path / "text", out]),
        (1, "is to be named", ["export", tmp_path / "clf.joblib", tmp_path / "clf.joblib"]),
        (1, "got LogisticRegression", ["export", tmp_path / "other.joblib", out]),
        (1, "no C identifier", ["export", tmp_path / "clf.joblib", out, "--name", "1"]),
        (1, "there is no folder", ["export", tmp_path / "clf.joblib", tmp_path / "no" / "net.h"]),
        (2, "invalid int value", ["export", tmp_path / "clf.joblib", out, "--fraction-bits", "x"]),
        (2, "the following arguments are required", ["export"]),
        (2, "COMMAND", []),
    ]:
        exited, output, errors = run(*arguments)
        assert (exited, output) == (code, "")
        assert message in errors
    assert not out.exists()


def test_command_help(run):
    assert "export" in run("--help")[1]
    assert "load only what you trust" in " ".join(run("export", "--help")[1].split())
    assert run("--version")[1] == f"pybinnet {_engine.version()}\n"
