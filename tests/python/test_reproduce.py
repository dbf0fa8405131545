"""bench/reproduce.py: killed runs go on to the same bits, and reports say what is missing."""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pybinnet import (
    BinaryConnectClassifier,
    Conv2D,
    Dense,
    MaxPool2D,
    _engine,
    evaluate_latent,
)
from pybinnet._parameters import engine_method
from pybinnet._rows import row_hashes

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

import common  # noqa: E402 (the path comes first)
import nets  # noqa: E402
import reproduce  # noqa: E402
from rows import TABLES, ImageRow, Table  # noqa: E402

ROWS = [
    reproduce.Row("plain", ((1.29, "BC"),), hidden=(24, 16), epochs=4, batch_size=32),
    reproduce.Row(
        "All at once",
        method=_engine.Method(True, True, True, True, dropout=64),
        hidden=(24, 16),
        epochs=4,
        batch_size=32,
    ),
    ImageRow(
        "images",
        ((9.90, "BC"),),
        net=((8, 8, 1), nets.Conv(6, pool=2), nets.Conv(8), 16, 10),
        epochs=4,
        batch_size=32,
        flip=True,
        crop=1,
    ),
]
CHILD = """
import sys, time
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
import reproduce, test_reproduce

train_step = reproduce._engine.Net.train_step

def stopping(net, *batch):
    if net.step == int(sys.argv[4]):
        print("here", flush=True)
        time.sleep(60)
    return train_step(net, *batch)

reproduce._engine.Net.train_step = stopping
row = test_reproduce.ROWS[int(sys.argv[5])]
run = test_reproduce.run_of(row, Path(sys.argv[3]))
reproduce.train(run, test_reproduce.digits(), n_jobs=1)
"""


def arrays(row=ROWS[0]):
    x, y = load_digits(return_X_y=True)
    x = (x * 15).astype(np.uint8)
    as_fit_takes_them = np.argsort(row_hashes(row.encoded(x[:300]), y[:300, np.newaxis]))
    return x[as_fit_takes_them], y[as_fit_takes_them], x[300:400], y[300:400]


def digits():
    return reproduce.Data(*arrays())


def run_of(row, folder):
    return reproduce.Run(row, 3, reproduce.state_path(folder, "digits", row, 3))


def history(state):
    """What must not depend on when a run was stopped: all but the time."""
    return [
        {key: value for key, value in epoch.items() if "seconds" not in key}
        for epoch in state["history"]
    ]


@pytest.fixture
def program(monkeypatch, tmp_path, capsys):
    """Call the program on two small rows; return exit code, output and errors."""
    monkeypatch.setattr(reproduce, "TABLES", {"mnist": Table(ROWS, "MNIST", [])})
    monkeypatch.setattr(reproduce.datasets, "load", lambda name: arrays())
    monkeypatch.setattr(sys.stdout, "reconfigure", lambda **_: None, raising=False)

    def call(*arguments):
        state = ["--state", str(tmp_path / "state")]
        monkeypatch.setattr(sys, "argv", ["reproduce.py", *arguments, *state])
        code = 0
        try:
            reproduce.main()
        except SystemExit as stop:
            code = stop.code
        return (code, *capsys.readouterr())

    return call


@pytest.mark.parametrize(
    ("row", "method"),
    [
        (ROWS[0], {}),
        (
            ROWS[1],
            {
                "weights": "ternary",
                "binarization": "stochastic",
                "activation": "sign",
                "solver": "adamax",
                "dropout": 0.25,
            },
        ),
    ],
)
def test_a_run_is_a_fit(tmp_path, row, method):
    state = reproduce.train(run_of(row, tmp_path), digits(), n_jobs=1)
    x, y, x_test, y_test = arrays()
    errors = []
    classifier = BinaryConnectClassifier(
        (24, 16),
        batch_size=32,
        learning_rate_init=2**-4,
        learning_rate_final=2**-10,
        max_iter=4,
        random_state=3,
        callbacks=[lambda info: errors.append(error(info.deploy(), x_test, y_test))],
        **method,
    ).fit(x, y)
    assert state["checkpoint_sha256"] == hashlib.sha256(classifier.checkpoint_).hexdigest()
    assert [epoch["loss"] for epoch in state["history"]] == classifier.loss_curve_
    assert [epoch["test_error_percent"] for epoch in state["history"]] == errors
    latent = 100 * (1 - evaluate_latent(classifier, x_test, y_test, x))
    assert state["history"][-1]["latent_error_percent"] == pytest.approx(latent)


@pytest.mark.parametrize("contrasts", [False, True])
def test_a_run_of_images_is_a_fit(tmp_path, contrasts):
    row = replace(ROWS[2], epochs=6, contrasts=contrasts)
    if contrasts:
        row = replace(row, net=nets.of_contrasts(row.net))
    x, y, x_test, y_test = arrays(row)
    state = reproduce.train(run_of(row, tmp_path), reproduce.Data(x, y, x_test, y_test), n_jobs=1)
    x, x_test = row.encoded(x), row.encoded(x_test)
    assert x.shape == (300, 64 * (4 if contrasts else 1))
    errors = []
    classifier = BinaryConnectClassifier(
        layers=[Conv2D(6, 3), MaxPool2D(2), Conv2D(8, 3), Dense(16)],
        horizontal_flip=True,
        random_crop=1,
        batch_size=32,
        learning_rate_init=2**-4,
        learning_rate_final=2**-10,
        max_iter=6,
        random_state=3,
        callbacks=[lambda info: errors.append(error(info.deploy(), x_test, y_test))],
    ).fit(x.reshape(300, 8, 8, -1), y)
    assert state["checkpoint_sha256"] == hashlib.sha256(classifier.checkpoint_).hexdigest()
    assert [epoch["loss"] for epoch in state["history"]] == classifier.loss_curve_
    tested = [epoch["test_error_percent"] for epoch in state["history"]]
    assert tested == [None, None, None, None, *errors[4:]]  # every fifth, and the last
    assert {epoch["latent_error_percent"] for epoch in state["history"]} == {None}


@pytest.mark.parametrize(
    "row",
    [row for name in ("mnist", "cifar10", "svhn") for row in TABLES[name].rows],
    ids=lambda row: row.slug,
)
def test_a_row_is_trained_by_its_method(row):
    assert engine_method(reproduce.parameters(row.method)) == row.method


def error(model, x, y):
    return 100 * np.count_nonzero(_engine.predict_scores(model, x).argmax(axis=1) != y) / len(y)


@pytest.mark.parametrize("index", [1, 2], ids=["dense", "images"])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, index):
    row = ROWS[index]
    whole = reproduce.train(run_of(row, tmp_path), digits(), n_jobs=1)
    folder = tmp_path / "killed"
    folder.mkdir()
    n_steps = -(-300 // 32)
    arguments = [
        str(BENCH),
        str(Path(__file__).parent),
        str(folder),
        str(2 * n_steps + 5),
        str(index),
    ]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "here\n"
        child.kill()
    assert child.returncode == -signal.SIGKILL
    run = run_of(row, folder)
    assert history(reproduce.read_state(run)) == history(whole)[:2]  # in the middle of the third
    state = reproduce.train(run, digits(), n_jobs=2)
    assert history(state) == history(whole)
    assert state["checkpoint_sha256"] == whole["checkpoint_sha256"]
    assert [session["first_epoch"] for session in state["sessions"]] == [1, 3]
    assert reproduce.read_state(run) == state


def test_states_of_other_settings_are_not_mixed(tmp_path):
    def path(row):
        return reproduce.state_path(tmp_path, "digits", row, 3)

    row = ROWS[0]
    assert path(replace(row, name="renamed", paper=())) == path(row)
    for change in {"epochs": 5}, {"first": 3}, {"method": _engine.Method(exact=True)}:
        assert path(replace(row, **change)) != path(row)


def test_the_rule_is_part_of_the_settings(tmp_path, monkeypatch):
    before = run_of(ROWS[0], tmp_path).path
    train_step = _engine.Net.train_step
    monkeypatch.setattr(
        _engine.Net, "train_step", lambda net, x, y, rate: train_step(net, x, y, rate + 1)
    )
    reproduce.rule.cache_clear()
    after = run_of(ROWS[0], tmp_path).path
    reproduce.rule.cache_clear()
    assert before != after


def test_other_data_is_an_error(tmp_path):
    run = run_of(ROWS[0], tmp_path)
    data = digits()
    reproduce.train(run, data, n_jobs=1)
    x, y, x_test, y_test = arrays()
    with pytest.raises(reproduce.StateError, match="other data"):
        reproduce.train(run, reproduce.Data(x, y, x_test, y_test[::-1]), n_jobs=1)


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: b"", lambda raw: raw[9:]])
def test_a_damaged_file_is_an_error(tmp_path, damage):
    run = run_of(ROWS[0], tmp_path)
    reproduce.train(run, digits(), n_jobs=1)
    run.path.write_bytes(damage(run.path.read_bytes()))
    with pytest.raises(reproduce.StateError, match="is damaged; delete it"):
        reproduce.read_state(run)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    common.write_atomic(path, b"before")

    def killed(*_):
        raise KeyboardInterrupt

    for call in "fsync", "replace":
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(common.os, call, killed)
            common.write_atomic(path, b"half")
        assert path.read_bytes() == b"before"
    common.write_atomic(path, b"after")
    assert path.read_bytes() == b"after"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_ctrl_c_says_how_to_go_on(program, monkeypatch):
    selected = ["--only", "plain", "all-at-once", "--seeds", "0,1"]
    epoch = reproduce.Training.epoch
    calls = []

    def interrupted(training):
        calls.append(len(training.targets))
        if calls.count(300) == 6:  # the others are of the small net that identifies the rule
            raise KeyboardInterrupt
        epoch(training)

    with monkeypatch.context() as patch:
        patch.setattr(reproduce.Training, "epoch", interrupted)
        code, _, errors = program(*selected)
    assert code == 130
    assert "stopped: 5 of 16 epochs are done\nin All at once, seed 0: 1 of 4 epochs\n" in errors

    code, output, _ = program(*selected, "--report")
    assert code == 0
    assert "missing: All at once, seed 0: 1 of 4 epochs\n" in output
    assert "missing: plain, seed 1: 0 of 4 epochs\n" in output
    assert "missing: plain, seed 0" not in output
    assert line(output, "plain")[4:6] == ["1 of 2", "4"]
    assert line(output, "All at once")[2:5] == ["–", "–", "0 of 2"]

    code, output, _ = program(*selected)
    assert code == 0
    assert "missing" not in output
    assert line(output, "All at once")[4] == "2 of 2"


def line(output, name):
    """The cells of a row of the printed table."""
    (found,) = (text for text in output.splitlines() if text.startswith(f"| {name} |"))
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_report(program, tmp_path):
    kept = {"rows": [{"name": "another"}, {"name": "plain"}], "operations": "kept"}
    (tmp_path / "reproduce.json").write_text(json.dumps(kept))
    selected = ["--only", "plain", "--seeds", "0,1"]
    code, output, _ = program(*selected, "--results", str(tmp_path))
    assert code == 0
    written = json.loads((tmp_path / "reproduce.json").read_text())
    other, row = written["rows"]
    assert (other["name"], row["name"], written["operations"]) == ("another", "plain", "kept")
    errors = [run["history"]["test_error_percent"] for run in row["runs"]]
    last = [error[-1] for error in errors]
    assert [len(error) for error in errors] == [4, 4]
    assert row["test_error_percent"]["values"] == last
    assert line(output, "plain")[2] == f"{np.mean(last):.2f} ± {np.std(last, ddof=1):.2f}"
    assert line(output, "plain")[1] == "1.29 (BC)"
    assert [run["history"]["latent_error_percent"][0] for run in row["runs"]] == [None, None]
    assert None not in row["latent_error_percent"]["values"]


def test_report_of_images(program, tmp_path):
    pytest.importorskip("matplotlib")
    selected = ["--only", "images", "--seeds", "0,1", "--results", str(tmp_path)]
    code, output, _ = program(*selected, "--plots", str(tmp_path))
    assert code == 0
    for epoch in "1", "4":
        assert f"images, seed 0: epoch {epoch} of 4, loss " in output
    assert ", test error " in output.partition("epoch 4 of 4")[2].partition("\n")[0]
    (row,) = json.loads((tmp_path / "reproduce.json").read_text())["rows"]
    assert row["layers"] == ["8x8x1", "6C3-MP2", "8C3", 16, 10]
    errors = [run["history"]["test_error_percent"] for run in row["runs"]]
    assert [error[:-1] for error in errors] == [[None] * 3] * 2
    assert row["test_error_percent"]["values"] == [error[-1] for error in errors]
    seconds = [sum(run["history"]["seconds"]) for run in row["runs"]]
    assert row["images_per_second"] == pytest.approx(np.mean([4 * 300 / s for s in seconds]))
    cells = line(output, "images")
    assert cells[1] == "9.90 (BC)"
    assert cells[3:6] == ["–", "2 of 2", "4"]
    assert cells[7] == f"{row['images_per_second']:.0f}"


def test_epochs_and_rates_of_the_command(program, tmp_path):
    program("--only", "plain", "--seeds", "0", "--epochs", "2", "--rates", "3", "6")
    row = replace(ROWS[0], epochs=2, first=3, last=6)
    run = reproduce.Run(row, 0, reproduce.state_path(tmp_path / "state", "mnist", row, 0))
    assert len(reproduce.read_state(run)["history"]) == 2


def test_nets_of_the_papers():
    layers = {row.slug: nets.described(row.net) for name in TABLES for row in TABLES[name].rows}
    maps = ["128C3", "128C3-MP2", "256C3", "256C3-MP2", "512C3", "512C3-MP2"]
    halved = ["64C3", "64C3-MP2", "128C3", "128C3-MP2", "256C3", "256C3-MP2"]
    assert layers["cifar10"] == ["32x32x12", *maps, 1024, 1024, 10]
    assert layers["cifar10-small"] == ["32x32x12", *halved, 512, 512, 10]
    assert layers["svhn"] == ["32x32x3", *halved, 1024, 1024, 10]
    assert layers["mnist-cnn"] == ["28x28x1", "32C5-MP2", "64C5-MP2", 256, 10]
    assert layers["binary-deterministic"] == [784, 1024, 1024, 1024, 10]
    products = 784 * 25 * 32 + 196 * 25 * 32 * 64 + 49 * 64 * 256 + 256 * 10
    assert nets.n_products(nets.MNIST_CNN) == products


def test_plot(program, tmp_path):
    pytest.importorskip("matplotlib")
    selected = ["--only", "plain", "--seeds", "0,1", "--epochs", "2", "--plots", str(tmp_path)]
    program(*selected, "--report")
    assert not (tmp_path / "convergence.png").exists()  # nothing is finished
    program(*selected)
    assert (tmp_path / "convergence.png").stat().st_size > 1000


def test_what_another_process_trains_is_left_to_it(program, tmp_path):
    options = ["--only", "plain", "--seeds", "0"]
    (tmp_path / "state").mkdir()
    run = reproduce.Run(ROWS[0], 0, reproduce.state_path(tmp_path / "state", "mnist", ROWS[0], 0))
    with reproduce.claimed(run):
        _, output, errors = program(*options)
    assert "plain, seed 0: another process trains it" in output + errors
    assert "missing: plain, seed 0: 0 of 4 epochs" in output
    assert "missing" not in program(*options)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--only", "nothing"],
            "'nothing' is unknown; use one of plain, all-at-once, images, operations",
        ),
        (["--seeds", "1,1"], "1,1 has a seed twice"),
        (["--seeds", "x"], "invalid"),
        (["--epochs", "0"], "0 is outside the range 1 to"),
        (["--rates", "4", "3"], "--rates: the second is"),
        (["--rates", "4", "10", "--results", "."], "--results for what is kept; write them into"),
        (["--n-jobs", "0"], "--n-jobs 0 has no meaning"),
        (["--results", "/does/not/exist"], "the folder /does/not/exist does not exist"),
    ],
)
def test_bad_options(program, arguments, message):
    code, _, errors = program(*arguments)
    assert code == 2
    assert message in errors


def test_missing_data_is_a_clear_error(program, monkeypatch):
    def load(name):
        raise FileNotFoundError("mnist/train-images is missing")

    monkeypatch.setattr(reproduce.datasets, "load", load)
    code, _, errors = program("--only", "plain")
    assert code == 2
    assert "mnist/train-images is missing" in errors


def test_xnor(program, monkeypatch, tmp_path):
    monkeypatch.setattr(reproduce, "XNOR_SIZE", 64)
    monkeypatch.setattr(reproduce, "XNOR_HIDDEN", (16, 16))
    monkeypatch.setattr(reproduce, "N_XNOR_ROWS", 50)
    monkeypatch.setattr(reproduce, "SECONDS", 0.001)
    assert "missing: xnor" in program("--only", "xnor", "--report")[1]
    monkeypatch.setattr(reproduce, "MOST_LOAD", -1)
    assert "xnor is not measured: the load is" in program("--only", "xnor")[1]
    monkeypatch.setattr(reproduce, "MOST_LOAD", 1e9)
    assert "numpy float32" in program("--only", "xnor", "--results", str(tmp_path))[1]
    panels = json.loads((tmp_path / "xnor.json").read_text())["panels"]
    assert [len(rows) for _, rows in panels] == [3, 3]
    assert "xnor is measured; delete" in program("--only", "xnor")[1]


def test_operations(program, tmp_path):
    _, output, _ = program("--only", "operations", "--report", "--results", str(tmp_path))
    assert "1.8492e+06" in output  # the paper's figure
    counts = json.loads((tmp_path / "reproduce.json").read_text())["operations"]
    assert (counts["multiplications"], counts["few_multiplications"]) == (0, 1849200)
