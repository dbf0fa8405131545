"""Instructions of an inference and of a training step on a microcontroller, and of emlearn's.

They are counted under QEMU, which does not know cycles: these are instructions, however long each
takes on a chip. Needs arm-none-eabi-gcc, qemu-system-arm and the Python package emlearn.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
import warnings
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from common import installed, output
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from pybinnet import BinaryConnectClassifier, Conv2D, Dense, MaxPool2D, __version__

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "firmware"))
import targets
import truth

TICK = 40  # instructions
BOARD = "mps2-an386"  # a Cortex-M4, which also runs the M0's instructions
CHIPS = {
    "M0": "-mcpu=cortex-m0",
    "M4": "-mcpu=cortex-m4",
    "M4F": "-mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16",  # with a float unit
}
LEVELS = "-Os", "-O2"
METHODS = {
    "pybinnet": {},
    "pybinnet, ternary": {"weights": "ternary"},
    "pybinnet, sign": {"activation": "sign"},
}
ROWS = {
    "64-64-32-10": 100,
    "784-128-10": 20,
}  # counted: of the latter emlearn's nearly fill the clock
# Layers of the sizes of LeNet-5, on images of 28 by 28; emlearn has no convolutions.
LENET = {
    "layers": [Conv2D(6, 5), MaxPool2D(2), Conv2D(16, 5), MaxPool2D(2), Dense(84)],
    "input_shape": (28, 28, 1),
}
IMAGES = 10  # counted
STEPS = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", type=output, metavar="FILE", help="write all of it there")
    parser.add_argument("--plot", type=output, metavar="FILE.png", help="draw inference on M0 -Os")
    options = parser.parse_args()
    if not installed("emlearn"):
        return 1
    with tempfile.TemporaryDirectory() as folder:
        counter = Counter(Path(folder))
        report = {
            "command": shlex.join(["python", *sys.argv]),
            "version": __version__,
            "peers": {"emlearn": version("emlearn")},
            "compiler": first_line("arm-none-eabi-gcc"),
            "emulator": first_line("qemu-system-arm"),
            "unit": "instructions, not cycles",
            "inference": [row for net in ROWS for row in count_inference(counter, net)]
            + count_lenet(counter),
            "training": count_training(counter),
        }
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.plot:
        plot(report["inference"], options.plot)
    return 0


class Counter:
    """Compiles programs for every chip at every level, and counts."""

    def __init__(self, folder):
        self.folder = folder
        self.workshops = {}
        board = next(target for target in targets.TARGETS if target.name == BOARD)
        for chip, machine in CHIPS.items():
            for level in LEVELS:
                flags = f"-mthumb {machine} {level} {targets.BARE}"
                place = folder / f"{chip}{level}"
                workshop = targets.Workshop(replace(board, flags=flags), place, folder)
                self.workshops[f"{chip} {level}"] = workshop
        for name, known in self.count("calibration", folder, 1).items():
            assert abs(known["instructions"] - 2_000_000) <= 2 * TICK, (name, known)

    def headers(self, name, **texts):
        """Write headers into a new folder and return it."""
        folder = self.folder / name
        folder.mkdir()
        for file, text in texts.items():
            (folder / f"{file}.h").write_text(text)
        return folder

    def count(self, program, headers, units, errors=0, row_bytes=0, flags=()):
        """Return, by chip and level, instructions of each of some units of work and bytes of flash.

        The program must print the ticks and `errors`. `row_bytes` of its flash are not counted.
        """
        counts = {}
        sources = [HERE / "firmware" / f"{program}.c", targets.HERE / "report.c"]
        for name, workshop in self.workshops.items():
            binary = workshop.build(
                f"{program}-{headers.name}", sources, [f"-I{headers}", *flags], c_library=True
            )
            code, printed = workshop.run(binary, ["-icount", "shift=0"])
            if code != 0 or not re.fullmatch(rf"[1-9]\d* {errors}", printed):
                raise RuntimeError(f"{binary}: exit code {code}, {printed!r}")
            counts[name] = {
                "instructions": round(int(printed.split()[0]) * TICK / units),
                "flash_bytes": workshop.sizes(binary)["flash"] - row_bytes,
            }
        return counts


# ---- Inference ------------------------------------------------------------------------------


def count_inference(counter, net):
    """Count a net of each method and emlearn's, on the same rows; return rows of the report."""
    n_features, *hidden, _ = map(int, net.split("-"))
    train, test = enlarged(n_features)
    x, labels = (part[: ROWS[net]] for part in test)
    ours = {"hidden_layer_sizes": hidden}
    report = count_ours(counter, net, ours, train, test, ROWS[net])
    x = floats(x)
    with warnings.catch_warnings(), np.errstate(under="ignore"):  # emlearn makes numpy raise it
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = MLPClassifier(hidden, random_state=0, max_iter=100).fit(floats(train[0]), train[1])
    headers = counter.headers(
        f"{net}-emlearn",
        rows=counted(labels, n_features) + truth.constant("float", "x_float", x),
        peer=emlearn_code(theirs),
    )
    errors = int((theirs.predict(x) != labels).sum())
    row_bytes = x.nbytes + labels.nbytes
    counts = counter.count("emlearn", headers, len(x), errors, row_bytes, emlearn_flags())
    accuracy = theirs.score(floats(test[0]), test[1])
    report.append({"net": net, "name": "emlearn float32", "accuracy": accuracy, "counts": counts})
    return report


def count_lenet(counter):
    train, test = enlarged(784)
    return count_ours(counter, "28 x 28, LeNet-5", LENET, train, test, IMAGES)


def count_ours(counter, net, parameters, train, test, n):
    """Count a net of each method on the first n test rows; return rows of the report."""
    x, labels = (part[:n] for part in test)
    report = []
    for name, method in METHODS.items():
        ours = BinaryConnectClassifier(**parameters, **method, random_state=0).fit(*train)
        text = counted(labels, x.shape[1]) + truth.constant("uint8_t", "x", x)
        headers = counter.headers(
            f"{net}-{name}".replace(" ", ""), rows=text + truth.file_bytes("model", ours.model_)
        )
        errors = int((ours.predict(x) != labels).sum())
        counts = counter.count("inference", headers, n, errors, x.nbytes + labels.nbytes)
        report.append({"net": net, "name": name, "accuracy": ours.score(*test), "counts": counts})
    return report


def counted(labels, n_features):
    """C text of what rows have beside their features."""
    return (
        truth.constants(N_COUNTED=len(labels), N_FEATURES=n_features)
        + truth.constant("uint16_t", "labels", labels)
        + truth.arena(8192)
    )


def emlearn_code(net):
    from emlearn.net import c_generate_net_loadable

    # What convert(net, method="loadable").save() returns, but convert also compiles it, in a folder
    # that it makes in the working directory. Of the other methods of 0.23.2, "inline" fails on the
    # activation's name, and in fixed point its C code computes nothing yet.
    activations = [net.activation] * (len(net.coefs_) - 1) + [net.out_activation_]
    return c_generate_net_loadable(activations, net.coefs_, net.intercepts_, prefix="peer")


def emlearn_flags():
    import emlearn

    return ["-w", "-isystem", Path(emlearn.__file__).parent]


def enlarged(n_features):
    """Digits of 8 by 8 pixels, or of 28 by 28: rows and labels to train on, and to test."""
    rows = truth.digits()
    parts = [rows.x_train, rows.x_test]
    if n_features != rows.x_test.shape[1]:
        images = [np.kron(x.reshape(-1, 8, 8), np.ones((1, 3, 3), np.uint8)) for x in parts]
        parts = [np.pad(x, ((0, 0), (2, 2), (2, 2))).reshape(len(x), -1) for x in images]
    return (parts[0], rows.labels_train), (parts[1], rows.labels_test)


def floats(x):
    return x.astype(np.float32) / 255


# ---- Training -------------------------------------------------------------------------------


def count_training(counter):
    """Count a step of the nets of tests/firmware; return rows of the report."""
    rows = truth.digits()
    digits = truth.digits_header(rows)
    row_bytes = rows.x_train.nbytes + rows.labels_train.nbytes
    report = []
    for name, parameters in (truth.TRAINED | truth.TRAINED_LARGER).items():
        trained = truth.trained(rows, parameters)
        net = truth.net_header(trained) + truth.constants(N_COUNTED=STEPS)
        headers = counter.headers(f"training-{name}", digits=digits, net=net)
        net_title = (
            "8 x 8, small LeNet"
            if "layers" in parameters
            else "-".join(map(str, (64, *units(trained))))
        )
        title = f"{net_title}, batch {parameters['batch_size']}"
        counts = counter.count("training", headers, STEPS, row_bytes=row_bytes)
        report.append({"net": title, "name": name, "counts": counts})
    return report


def units(trained):
    return trained.classifier._configuration.units


# ---- Report ---------------------------------------------------------------------------------


def show(report):
    print(f"{report['compiler']}; {report['emulator']}; emlearn {report['peers']['emlearn']}")
    for title in ("inference", "training"):
        print(f"\n{title}: instructions, not cycles (times fewer than emlearn's)")
        rows = report[title]
        print(" " * 46 + "".join(f"{column:>19}" for column in rows[0]["counts"]))
        peers = {row["net"]: row for row in rows if "emlearn" in row["name"]}
        for row in rows:
            cells = []
            for column, count in row["counts"].items():
                cell = f"{count['instructions']:,}"
                if (peer := peers.get(row["net"], row)) is not row:
                    ratio = peer["counts"][column]["instructions"] / count["instructions"]
                    cell += f" ({ratio:.1f})"
                cells.append(f"{cell:>19}")
            print(f"{row['net'] + ', ' + row['name']:<46}" + "".join(cells))


def plot(rows, path):
    from matplotlib.figure import Figure

    nets = list(dict.fromkeys(row["net"] for row in rows))
    figure = Figure(figsize=(10, 1 + 2 * len(nets)), layout="constrained")
    figure.suptitle("Instructions to predict a row on a Cortex-M0, gcc -Os, under QEMU")
    for axes, net in zip(figure.subplots(len(nets), squeeze=False)[:, 0], nets, strict=True):
        here = [row for row in rows if row["net"] == net]
        counts = [row["counts"]["M0 -Os"]["instructions"] for row in here]
        colors = ["tab:gray" if "emlearn" in row["name"] else "tab:orange" for row in here]
        bars = axes.barh([row["name"] for row in here], counts, color=colors)
        axes.bar_label(bars, [f"{count:,}" for count in counts], padding=3)
        axes.invert_yaxis()  # the first at the top
        axes.set(title=net, xlabel="instructions")
        axes.margins(x=0.15)  # room for the labels
    figure.savefig(path, dpi=150)


def first_line(tool):
    return subprocess.run([tool, "--version"], capture_output=True, text=True).stdout.split("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
