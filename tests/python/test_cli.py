"""python -m pybinnet as a process, on files: results, errors, exit codes."""

import csv
import json
import os
import re
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_iris

from pybinnet import (
    BinaryConnectClassifier,
    BinaryConnectRegressor,
    Conv2D,
    Dense,
    MaxPool2D,
    _engine,
    cpu_info,
    export_c,
    load_model,
    save_model,
)
from pybinnet import _appendix as appendix
from pybinnet.__main__ import main

COMMAND = [sys.executable, "-m", "pybinnet"]
ERROR = "python -m pybinnet: error: "
QUICK = ["--hidden", "8", "--epochs", "2"]


@pytest.fixture
def run(tmp_path):
    """Run a command in tmp_path; return its exit code, standard output and standard error."""

    def done(*arguments, **options):
        command = [*COMMAND, *map(str, arguments)]
        process = subprocess.run(
            command, cwd=tmp_path, text=True, capture_output=True, timeout=300, **options
        )
        assert "Traceback" not in process.stderr
        return process.returncode, process.stdout, process.stderr

    return done


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """As `run`, but in this process, which is faster."""

    def done(*arguments):
        monkeypatch.chdir(tmp_path)
        try:
            code = main(list(map(str, arguments)))
        except SystemExit as exited:
            code = exited.code
        return code, *capsys.readouterr()

    return done


def write(path, names, rows, delimiter=","):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(names)
        writer.writerows(rows)


def read(text, delimiter=","):
    """The columns of a table, by their names."""
    names, *rows = csv.reader(text.splitlines(), delimiter=delimiter)
    return dict(zip(names, zip(*rows, strict=True), strict=True))


IRIS_NAMES = ["sepal length", "sepal width", "petal length", "petal width"]
X_IRIS, Y_IRIS = load_iris(return_X_y=True)
SPECIES = load_iris().target_names[Y_IRIS]


@pytest.fixture
def iris(tmp_path):
    rows = [[*x, label] for x, label in zip(X_IRIS.tolist(), SPECIES, strict=True)]
    write(tmp_path / "iris.csv", [*IRIS_NAMES, "species"], rows)
    return tmp_path / "iris.csv"


def small(X, y, kind=BinaryConnectClassifier):
    """An estimator that need not know anything."""
    return kind((8,), max_iter=2, random_state=0).fit(X, y)


# info and bench


def test_info(run):
    code, out, err = run("info")
    assert (code, err) == (0, "")
    assert f"pybinnet         {_engine.version()}\n" in out
    assert f"instruction set  {cpu_info()['isa']}\nsupported        portable, " in out
    code, out, err = run("info", "--json")
    assert json.loads(out) == {"version": _engine.version(), **cpu_info()}


def test_info_of_names_that_a_terminal_would_obey(run, tmp_path):
    X = np.arange(20).reshape(10, 2)
    y = np.array(["é", "\x1b[2J"])[np.arange(10) % 2]
    save_model(BinaryConnectClassifier((4,), max_iter=1).fit(X, y), tmp_path / "net")
    _, out, _ = run("info", "net")
    assert "classes          \\x1b[2J, é\n" in out


def test_info_of_a_model(run, tmp_path):
    rows = [[i, i % 5, i % 3, "xy"[i % 2]] for i in range(40)]
    write(tmp_path / "rows.csv", ["", "a", "b", "c"], rows)
    train = ["train", "rows.csv", "--target", "c", "--out", "net", "--hidden", "8", "--epochs", "2"]
    assert run(*train)[0] == 0  # pandas' index, the column without name, is no input
    code, out, _ = run("info", "net", "--json")
    told = json.loads(out)
    assert (code, told["columns"], told["classes"]) == (0, ["a", "b"], ["x", "y"])
    assert told["layers"] == [6, 8, 2]
    assert told["network_bytes"] < told["file_bytes"] == (tmp_path / "net").stat().st_size
    code, _, err = run("info", "rows.csv")
    assert code == 1 and "rows.csv" in err
    assert run("predict", "net", "rows.csv")[0] == 0


@pytest.mark.parametrize("dtype", [np.uint8, float])
def test_a_model_of_images(call, tmp_path, dtype):
    digits = load_digits()
    X, y = (15 * digits.images[:200]).astype(dtype), digits.target[:200]
    layers = [Conv2D(6, 3, stride=2), MaxPool2D(), Dense(9)]
    clf = BinaryConnectClassifier(layers=layers, max_iter=2, random_state=0).fit(X, y)
    save_model(clf, tmp_path / "net")
    code, out, _ = call("info", "net", "--json")
    told = json.loads(out)
    assert (code, told["columns"]) == (0, 64)
    assert told["layers"] == ["8x8x1", "6C3/2", "MP2", "9", "10"]
    assert "layers           8x8x1, 6C3/2, MP2, 9, 10\n" in call("info", "net")[1]
    write(tmp_path / "rows.csv", map(str, range(64)), X.reshape(200, -1).tolist())
    code, out, _ = call("predict", "net", "rows.csv")
    assert code == 0
    assert [int(line) for line in out.split()[1:]] == clf.predict(X).tolist()
    assert call("export", "net", "net.h") == (0, "", "")
    export_c(clf, tmp_path / "same.h", "net")
    assert (tmp_path / "net.h").read_text() == (tmp_path / "same.h").read_text()
    assert call("export", "net", "net.onnx") == (0, "", "")
    assert (tmp_path / "net.onnx").read_bytes()


def test_unknown_instruction_set(run):
    code, out, err = run("info", env={**os.environ, "BINNET_ISA": "mmx"})
    assert (code, out) == (1, "")
    assert err.startswith(f"{ERROR}BINNET_ISA='mmx' is unknown")


def test_bench(run):
    small_net = ["bench", "--layers", "20,30,3", "--batch-size", "16"]
    code, out, err = run(*small_net)
    assert (code, err) == (0, "")
    assert re.findall(r"^(\w+) +[\d,]+ +[\d,]+$", out, re.M) == cpu_info()["isas"]
    code, out, err = run(*small_net, "--json")
    report = json.loads(out)
    assert (report["layers"], report["batch_size"]) == ([20, 30, 3], 16)
    assert list(report["rows_per_second"]) == cpu_info()["isas"]
    for rates in report["rows_per_second"].values():
        assert 1000 < rates["training"] < rates["prediction"]
    assert run("bench", "--layers", "20")[0] == 1
    assert run("bench", "--layers", "20,x")[0] == 2


# train and predict


def test_classes_as_text(run, iris, tmp_path):
    code, out, err = run("train", iris, "--target", "species", "--out", "iris.binnet")
    assert (code, err) == (0, "")
    assert "150 rows, 4 columns, 3 classes\n" in out
    assert "trained on 120 rows: " in out
    accuracy = re.search(r"accuracy on the 30 rows held out: (0\.\d{4})\n", out)[1]
    assert float(accuracy) > 0.85
    clf = load_model(tmp_path / "iris.binnet")
    assert clf.feature_names_in_.tolist() == IRIS_NAMES
    assert clf.classes_.tolist() == ["setosa", "versicolor", "virginica"]

    code, out, err = run("predict", "iris.binnet", iris, "--probabilities")
    assert (code, err) == (0, "")
    predicted = read(out)
    del clf.feature_names_in_
    assert list(predicted["prediction"]) == clf.predict(X_IRIS).tolist()
    shares = [predicted[f"probability_{label}"] for label in clf.classes_]
    np.testing.assert_array_equal(np.array(shares, dtype=float).T, clf.predict_proba(X_IRIS))


def test_score_is_of_rows_not_trained_on(run, tmp_path):
    """Labels are noise: on training rows the network is right much more often than by chance."""
    X = np.random.default_rng(0).normal(size=(400, 6))
    y = np.random.default_rng(1).integers(0, 2, 400)
    rows = [[*x, label] for x, label in zip(X.tolist(), y.tolist(), strict=True)]
    write(tmp_path / "noise.csv", [*"abcdef", "y"], rows)
    out = run("train", "noise.csv", "--target", "y", "--out", "net", "--test-size", "0.5")[1]
    assert abs(float(re.search(r"200 rows held out: (.*)", out)[1]) - 0.5) < 0.15
    del (clf := load_model(tmp_path / "net")).feature_names_in_
    assert clf.score(X, y) > 0.65


def test_train_is_fit_with_these_parameters(run, iris, tmp_path):
    options = (
        "--hidden 24,16 --weights ternary --binarization stochastic --activation sign "
        "--solver adamax --dropout 0.1 --input-dropout 0.2 --epochs 3 --early-stopping --balanced "
        "--seed 7 --jobs 2 --test-size 0"
    )
    train = ["train", iris, "--target", "species", "--out", "net", *options.split()]
    code, out, err = run(*train)
    assert (code, err) == (0, "")
    assert "trained on 150 rows: 3 epochs" in out and "held out" not in out
    clf = BinaryConnectClassifier(
        (24, 16),
        weights="ternary",
        binarization="stochastic",
        activation="sign",
        solver="adamax",
        dropout=0.1,
        input_dropout=0.2,
        max_iter=3,
        early_stopping=True,
        class_weight="balanced",
        random_state=7,
    ).fit(X_IRIS, SPECIES)
    assert load_model(tmp_path / "net").model_ == clf.model_


def test_numbers(run, tmp_path):
    X, y = load_diabetes(return_X_y=True)
    names = load_diabetes().feature_names
    write(tmp_path / "d.csv", ["y", *names], np.column_stack([y, X]).tolist())
    train = ["train", "d.csv", "--target", "y", "--out", "net", "--hidden", "16", "--regression"]
    code, out, err = run(*train)
    assert (code, err) == (0, "")
    assert "442 rows, 10 columns\n" in out
    assert re.search(r"R2 on the 89 rows held out: -?\d\.\d{4}\n", out)
    reg = load_model(tmp_path / "net")
    assert isinstance(reg, BinaryConnectRegressor)
    assert reg.feature_names_in_.tolist() == names
    del reg.feature_names_in_
    predicted = read(run("predict", "net", "d.csv")[1])
    assert list(predicted) == ["prediction"]
    np.testing.assert_array_equal(np.array(predicted["prediction"], float), reg.predict(X))
    assert reg.score(X, y) > 0.4
    code, out, err = run("predict", "net", "d.csv", "--probabilities")
    assert (code, out) == (1, "") and "have no probabilities" in err


def test_bytes_and_integer_classes(run, tmp_path):
    X, y = load_digits(return_X_y=True)
    names = [f"pixel{i}" for i in range(64)]
    write(
        tmp_path / "digits.csv",
        [*names, "digit"],
        np.column_stack([15 * X, y]).astype(int).tolist(),
    )
    train = ["train", "digits.csv", "--target", "digit", "--out", "net", "--bytes", "--epochs", "9"]
    assert run(*train)[0] == 0
    clf = load_model(tmp_path / "net")
    assert clf.encoder_.identity_ and clf.classes_.dtype == np.int64
    predicted = read(run("predict", "net", "digits.csv")[1])["prediction"]
    assert np.mean(np.array(predicted, dtype=int) == y) > 0.9

    write(tmp_path / "bad.csv", [*names, "digit"], [[*range(63), 256, 1]] * 9)
    code, _, err = run("train", "bad.csv", "--target", "digit", "--out", "other", "--bytes")
    assert code == 1 and "row 1, column 'pixel63' has 256.0, which is no byte" in err

    write(tmp_path / "dim.csv", [*names, "digit"], np.column_stack([X, y]).astype(int).tolist())
    code, _, err = run("train", "dim.csv", "--target", "digit", "--out", "other", "--bytes")
    assert code == 1 and "fewer than half of the columns that vary come to 64; multiply" in err
    assert not (tmp_path / "other").exists()


def test_labels_stay_as_they_are_written(run, tmp_path):
    write(tmp_path / "t.csv", ["x", "y"], [[i, "007" if i % 2 else "7"] for i in range(40)])
    assert run("train", "t.csv", "--target", "y", "--out", "net", *QUICK)[0] == 0
    assert load_model(tmp_path / "net").classes_.tolist() == ["007", "7"]


def test_columns_are_found_by_name(run, iris, tmp_path):
    train = ["train", iris, "--target", "species", "--drop", "sepal width", "--drop", "petal width"]
    assert "2 columns" in run(*train, "--out", "net", *QUICK)[1]
    expected = run("predict", "net", iris)[1]
    rows = np.column_stack([X_IRIS[:, 2], np.full(150, "text"), X_IRIS[:, 0]]).tolist()
    write(tmp_path / "other.csv", ["petal length", "remark", "sepal length"], rows)
    assert run("predict", "net", "other.csv") == (0, expected, "")
    write(tmp_path / "less.csv", ["sepal length"], X_IRIS[:, :1].tolist())
    code, out, err = run("predict", "net", "less.csv")
    assert (code, out) == (1, "")
    assert err.startswith(f"{ERROR}less.csv lacks the column 'petal length'; its line 1")


def test_columns_without_names_are_in_order(run, iris, tmp_path):
    clf = small(X_IRIS, Y_IRIS)
    save_model(clf, tmp_path / "net")
    write(tmp_path / "x.csv", "abcd", X_IRIS.tolist())
    code, out, err = run("predict", "net", "x.csv", "--out", "y.csv")
    assert (code, out, err) == (0, "", "")
    predicted = read((tmp_path / "y.csv").read_text())["prediction"]
    assert list(map(int, predicted)) == clf.predict(X_IRIS).tolist()
    write(tmp_path / "x.csv", "abc", X_IRIS[:, :3].tolist())
    code, out, err = run("predict", "net", "x.csv", "--out", "z.csv")
    assert code == 1 and "has 3 columns, and net takes 4" in err
    assert not (tmp_path / "z.csv").exists()


def test_several_labels(run, tmp_path):
    labels = np.column_stack([Y_IRIS > 0, X_IRIS[:, 0] > 5.8]).astype(int)
    clf = small(X_IRIS, labels)
    save_model(clf, tmp_path / "net")
    write(tmp_path / "x.csv", "abcd", X_IRIS.tolist())
    predicted = read(run("predict", "net", "x.csv")[1])
    assert list(predicted) == ["prediction_0", "prediction_1"]
    found = np.array(list(predicted.values()), dtype=int).T
    np.testing.assert_array_equal(found, clf.predict(X_IRIS))


def test_pipes_and_delimiters(run, iris, tmp_path):
    """A byte order mark, Windows' line ends, empty lines, tabs and quotes change nothing."""
    plain = iris.read_text()
    train = ["--target", "species", *QUICK, "--out"]
    assert run("train", "iris.csv", *train, "net")[0] == 0
    other = "\ufeff" + plain.replace("\n", "\r\n\r\n").replace(",", "\t").replace("set", '"set')
    other = other.replace("setosa", 'setosa"')
    code, out, err = run("train", "-", *train, "same", "--delimiter", "tab", input=other)
    assert (code, err) == (0, "") and out.startswith("standard input: 150 rows, 4 columns")
    assert (tmp_path / "same").read_bytes() == (tmp_path / "net").read_bytes()
    assert run("predict", "net", "-", input=plain) == run("predict", "net", iris)


def test_head_of_a_pipe(iris, tmp_path):
    """A reader who has had enough is no error to report."""
    save_model(small(X_IRIS, Y_IRIS), tmp_path / "net")
    write(tmp_path / "x.csv", "abcd", X_IRIS.tolist() * 2000)  # more than a pipe holds
    with subprocess.Popen(
        [*COMMAND, "predict", "net", "x.csv", "--probabilities"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline().startswith(b"prediction,")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 1


# What is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv, line 1 is empty"),
        ("a,b,y\n", "t.csv has no rows"),
        ("a,b,y\n1,2,u\n\n1,2\n", "t.csv, line 4 has 2 columns, and line 1 names 3; give each"),
        ("a,b,y\n1,2,u\n1,red,v\n", "t.csv, line 3, column 'b' has 'red', which is no finite numb"),
        ("a,b,y\n1,2,u\n1,nan,v\n", "t.csv, line 3, column 'b' has 'nan', which is no finite numb"),
        (
            "a,b,y\n1,2,u\n,2,v\n",
            "t.csv, line 3, column 'a' is empty; fill it in, or leave the row out, or the column "
            "by --drop\n",
        ),
        ("a,b,y\n1,2, \n", "t.csv, line 2, column 'y' is empty; fill it in, or leave"),
        ("a,,y\n1,2,u\n", "t.csv, line 1: column 2 has no name"),
        ("a,y\n1_0,u\n", "t.csv, line 2, column 'a' has '1_0', which is no finite number"),
        ("a,a,y\n1,2,u\n", "t.csv, line 1 names two columns 'a'"),
        ("a;b;y\n1;2;u\n", "t.csv lacks the column 'y'; its line 1, read with the delimiter ','"),
        ("y\nu\nv\n", "t.csv has no columns to predict"),
        ("a,y\n1,u\n2,v\n3,v\n", "1 of 2 classes in column 'y' of t.csv have one row only"),
        ("a,y\n1,u\n2,u\n3,v\n4,v\n", "4 rows cannot be divided with --test-size 0.2"),
        ("a,y\n1,u\n2,u\n3,u\n4,u\n5,u\n", "there is only one class, u"),
    ],
)
def test_tables_that_are_refused(call, tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    (tmp_path / "net").write_text("older")
    code, _, err = call("train", "t.csv", "--target", "y", "--out", "net", *QUICK)
    assert code == 1
    assert err.startswith(ERROR + message)
    assert len(err.splitlines()) == 1
    assert (tmp_path / "net").read_text() == "older"


def test_target_that_is_no_number(call, iris):
    train = ["train", iris, "--target", "species", "--out", "net", "--regression"]
    code, _, err = call(*train)
    assert code == 1 and "line 2, column 'species' has 'setosa', which is no finite number" in err
    assert err.endswith("or leave the row out\n")  # --drop would drop the target


def test_no_text(call, tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,y\n1,\xff\n")
    code, _, err = call("train", "t.csv", "--target", "y", "--out", "net")
    assert code == 1 and err.startswith(f"{ERROR}t.csv is no text in UTF-8")


@pytest.mark.parametrize(
    ("code", "message", "arguments"),
    [
        (1, "none.csv: No such file", "train none.csv --target y --out net"),
        (1, "there is no folder", "train iris.csv --target species --out no/net"),
        (1, "is what is to be read", "train iris.csv --target species --out iris.csv"),
        (1, "would leave out the target", "train iris.csv --target y --drop y --out net"),
        (1, "lacks the column 'x'", "train iris.csv --target species --drop x --out net"),
        (
            1,
            "--balanced is of classes",
            "train iris.csv --target y --balanced --regression --out n",
        ),
        (1, "max_iter=0 is outside", "train iris.csv --target species --epochs 0 --out net"),
        (1, "cannot be loaded: the model: the bytes are not", "predict iris.csv iris.csv"),
        (1, "none: No such file", "predict none iris.csv"),
        (1, "is what is to be read", "predict net iris.csv --out net"),
        (2, "invalid choice: 'octal'", "train iris.csv --target y --out n --weights octal"),
        (2, "not a share", "train iris.csv --target y --out net --test-size 1"),
        (2, "'x' is not a share", "train iris.csv --target y --out net --test-size x"),
        (2, "'x' is neither an integer nor 'auto'", "train iris.csv --target y --out n --epochs x"),
        (2, "'-1' is not an integer from 0", "train iris.csv --target y --out net --seed -1"),
        (2, "'4294967296' is not an", "train iris.csv --target y --out net --seed 4294967296"),
        (2, "not one character", "train iris.csv --target y --out net --delimiter ,,"),
        (2, "required: --target, --out", "train iris.csv"),
        (2, "invalid choice: 'fly'", "fly"),
        (2, "COMMAND", ""),
    ],
)
def test_arguments_that_are_refused(call, iris, tmp_path, code, message, arguments):
    save_model(small(X_IRIS, Y_IRIS), tmp_path / "net")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    exited, out, err = call(*arguments.split())
    assert (exited, out) == (code, "") or message.startswith("max_iter")
    assert message in err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("command", ["", "info", "train", "predict", "export", "bench"])
def test_help(call, command):
    code, out, err = call(*command.split(), "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: python -m pybinnet {command}".rstrip())
    assert len(out.splitlines()) > 6


# export


def test_export_of_a_model_file(call, tmp_path):
    """A loaded classifier makes the header that the fitted one makes, by its model alone."""
    clf = BinaryConnectClassifier((8, 6), weights="ternary", activation="sign", max_iter=2)
    clf.fit((10 * X_IRIS).round().astype(int), SPECIES)
    save_model(clf, tmp_path / "net.binnet")
    assert call("export", "net.binnet", "net.h") == (0, "", "")
    export_c(clf, tmp_path / "same.h", "net")
    text = (tmp_path / "net.h").read_text()
    assert text == (tmp_path / "same.h").read_text()
    features = clf.encoder_.n_features_out_
    assert f"A {features}-8-6-3 network with ternary weights and sign activation." in text


def test_export_to_onnx(call, tmp_path):
    onnx = pytest.importorskip("onnx", reason="LOUD: no onnx")
    clf = small(X_IRIS, SPECIES)
    joblib.dump(clf, tmp_path / "net.joblib")
    for form, domains in [([], [""]), (["--form", "qonnx"], ["", "qonnx.custom_op.general"])]:
        assert call("export", "net.joblib", "net.onnx", *form) == (0, "", "")
        model = onnx.load(tmp_path / "net.onnx")
        assert [opset.domain for opset in model.opset_import] == domains


def test_exports_that_are_refused(call, tmp_path):
    clf = small((10 * X_IRIS).round().astype(int), Y_IRIS)
    save_model(clf, tmp_path / "net")
    joblib.dump(clf, tmp_path / "net.joblib")
    save_model(small(X_IRIS, X_IRIS[:, 0], BinaryConnectRegressor), tmp_path / "numbers")
    save_model(small(X_IRIS, np.eye(3, dtype=int)[Y_IRIS]), tmp_path / "labels")
    (tmp_path / "checkpoint").write_bytes(clf.checkpoint_)
    (tmp_path / "damaged").write_bytes(clf.model_[:-9] + bytes(9))
    for message, arguments in [
        ("has no checkpoint_: it was loaded", "net net.h --checkpoint"),
        ("got a BinaryConnectRegressor; export_onnx takes it", "numbers net.h"),
        ("takes classes that exclude each other", "labels net.h"),
        ("checkpoint is a checkpoint, which has no classes", "checkpoint net.h"),
        ("damaged cannot be loaded: the model: the file is damaged", "damaged net.h"),
        ("is to be named ….h or ….onnx, not net.txt", "net net.txt"),
        ("--form has no meaning for a .h file", "net net.h --form qonnx"),
        ("--fraction-bits has no meaning for a .onnx file", "net net.onnx --fraction-bits 0"),
        ("--checkpoint has no meaning for a .onnx file", "net net.onnx --checkpoint"),
    ]:
        code, out, err = call("export", *arguments.split())
        assert (code, out) == (1, "")
        assert err.startswith(ERROR) and message in err
    assert not list(tmp_path.glob("net.h")) + list(tmp_path.glob("net.onnx"))
    assert call("export", "net.joblib", "net.h", "--checkpoint") == (0, "", "")
    assert "net_checkpoint" in (tmp_path / "net.h").read_text()


@pytest.mark.parametrize(
    "arguments", ["info {}", "info {} --json", "predict {} {}", "export {} a.h"]
)
def test_hostile_files(call, arguments, tmp_path):
    clf = small((10 * X_IRIS).round().astype(int), Y_IRIS)
    for values in ({}, {"estimator": "os.system"}, {"estimator": ["\x1b[2J"]}):
        (tmp_path / "hostile").write_bytes(appendix.append(clf.model_, values))
        code, out, err = call(*arguments.format("hostile", "hostile").split())
        assert (code, out) == (1, "")
        assert err.startswith(f"{ERROR}hostile has an appendix that") and "Traceback" not in err
