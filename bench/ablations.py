"""What each part of the learning rule is worth: the library with that part changed, on MNIST.

Every variant is a copy of the C sources with a few lines replaced, compiled and trained on 50000 of
the training rows, and tested on the other 10000: the test rows play no part.
"""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import datasets
from common import facts, integer, output, seeds, sizes
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import pybinnet
from pybinnet import BinaryConnectClassifier

TOP = Path(__file__).resolve().parent.parent
SOURCES = "include libbinnet pybinnet setup.py pyproject.toml VERSION README.md".split()
N_VALIDATION = 10000


@dataclass(frozen=True)
class Variant:
    """Replacements in files of libbinnet/: (file, what stands there, what shall)."""

    name: str
    changes: tuple[tuple[str, str, str], ...] = ()
    quantized_backprop: bool = True


TWO_POWERS = (
    "{33280, 0, 0}, {34304, 5, 5},  {35840, 4, 4},  {38912, 3, 3},  {45056, 2, 2},\n"
    "        {53248, 1, 1}, {59392, -3, 2}, {62464, -4, 3}, {64512, -5, 4}, {65536, 0, -1},"
)
NO_SLOPE = (
    "norm.c",
    "slope[u] = (int32_t)binnet_divide(fourth, target_of(layer, first + u));",
    "slope[u] = 0, (void)fourth;",
)
NO_MEAN = (
    "norm.c",
    "for (uint32_t u = 0; u < n; ++u) mean[u] = (int32_t)binnet_divide(total[u], n_rows);",
    "for (uint32_t u = 0; u < n; ++u) mean[u] = 0;",
)
# The exact product of powers of two in the place of values, features counting half.
ROUND_TO_POWERS = """static uint8_t power(uint32_t v, uint32_t r) {
    if (v == 0) return 0;
    const int32_t e = binnet_bitlen(v) - 1;
    return (uint8_t)(((v << 8 >> e) - 256 > r ? 2u : 1u) << e);
}

static const uint8_t *powers(const binnet_pass *p, uint32_t b, const binnet_strip *s,
                             uint8_t *out) {
    const uint8_t *values = p->input.data + b * p->input.stride + s->column;
    binnet_rng_blocks(&p->rng, b, s->column >> 3, COLUMNS_AT_ONCE >> 3, out);
    for (uint32_t i = 0; i < s->n_columns; ++i)
        out[i] = power(values[i] >> (p->input.mask == 255), RANDOM);
    return out;
}

static void draw_input("""
IN_POWERS = (
    (
        "layer.c",
        "p->input.n_rows * p->input_bits_stride, values,",
        "p->input.n_rows * p->input_bits_stride, powers(p, b, s, (uint8_t[COLUMNS_AT_ONCE]){0}),",
    ),
    ("net.c", "n_digits = 7", "n_digits = 8"),  # 127 may become 128
)
VARIANTS = [
    Variant("the rule"),
    Variant(
        "batch norm scaled by one power of two",
        (("quantize.c", TWO_POWERS, "{46341, 0, 0}, {65536, 0, -1},"),),
    ),
    Variant("batch norm's Jacobian without the term of the spread", (NO_SLOPE,)),
    Variant("batch norm's Jacobian skipped", (NO_SLOPE, NO_MEAN)),
    Variant("gradient exact", quantized_backprop=False),
    Variant(
        "gradient of inputs as random powers of two",
        (("layer.c", "static void draw_input(", ROUND_TO_POWERS.replace("RANDOM", "out[i]")),)
        + IN_POWERS,
        quantized_backprop=False,
    ),
    Variant(
        "gradient of inputs as the nearest power of two",  # in the logarithm: up from sqrt(2)
        (("layer.c", "static void draw_input(", ROUND_TO_POWERS.replace("RANDOM", "106")),)
        + IN_POWERS,
        quantized_backprop=False,
    ),
    Variant(
        "gradient of inputs as fixed bits",  # half of what a random bit has at 1
        (
            (
                "layer.c",
                "            p->net->kernels->draw_bits(bits, values, random,",
                "            memset((uint8_t *)(uintptr_t)random, (int)(p->input.mask >> 1), 64);\n"
                "            p->net->kernels->draw_bits(bits, values, random,",
            ),
        ),
    ),
]


def main():
    options = parse_options()
    if options.worker is not None:
        print(json.dumps(train(options, VARIANTS[options.worker])))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for index, variant in enumerate(tqdm(VARIANTS, unit="variant")):
            path = build(variant, Path(folder, str(index)))
            rows.append({"name": variant.name, "errors": run(path, index)})
            tqdm.write(line(rows[-1]))
    report = facts(argparse.Namespace(threads=1), [datasets.SIDE**2, *options.hidden, 10])
    report |= {"options": {"epochs": options.epochs, "seeds": options.seeds}, "variants": rows}
    report["changes"] = [asdict(variant) for variant in VARIANTS]
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def line(row):
    errors = row["errors"]
    spread = f" ± {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
    return f"{row['name']:<55} {statistics.mean(errors):.2f}{spread}"


def build(variant, folder):
    """Compile a changed copy of the package; return where it is."""
    folder.mkdir()
    for name in SOURCES:
        source = TOP / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    for name, old, new in variant.changes:
        path = folder / "libbinnet" / name
        path.write_text(replaced(path.read_text(), old, new, f"{variant.name}, {name}"))
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{variant.name} does not compile:\n{done.stderr}")
    return folder


def replaced(text, old, new, where):
    """Replace what must occur once."""
    if text.count(old) != 1:
        raise SystemExit(f"{where} has changed; mend bench/ablations.py")
    return text.replace(old, new)


def run(folder, index):
    """Train in a process that imports the changed package; return the errors."""
    arguments = [*sys.argv[1:], "--worker", str(index)]
    environment = os.environ | {"PYTHONPATH": str(folder), "BINNET_VARIANT": str(folder)}
    output = subprocess.run(
        [sys.executable, __file__, *arguments], env=environment, check=True, stdout=subprocess.PIPE
    ).stdout
    return json.loads(output)


def train(options, variant):
    """Return the error in percent of every seed."""
    changed = Path(pybinnet.__file__).is_relative_to(os.environ["BINNET_VARIANT"])
    assert changed, "the installed package was imported instead of the changed one"
    x, y, _, _ = datasets.load("mnist")
    x, x_validation, y, y_validation = train_test_split(
        x, y, test_size=N_VALIDATION, random_state=0, stratify=y
    )
    errors = []
    for seed in options.seeds:
        classifier = BinaryConnectClassifier(
            options.hidden,
            max_iter=options.epochs,
            quantized_backprop=variant.quantized_backprop,
            random_state=seed,
        )
        accuracy = classifier.fit(x, y).score(x_validation, y_validation)
        errors.append(100 * (1 - accuracy))
    return errors


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The data comes from the folder that BINNET_DATA names, else from openml.org.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--hidden", type=sizes, default="512,512,512", help="units of each hidden layer")
    add("--epochs", type=integer(1, 10**6), default=10, help="passes over the training rows")
    add("--seeds", type=seeds, default="0,1,2", help="a training for each")
    add("--json", type=output, metavar="FILE", help="write all of it there")
    add("--worker", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
