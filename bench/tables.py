"""Accuracy and fit time of the defaults on tables, against MLPClassifier and boosted trees."""

# SPDX-License-Identifier: BSD-3-Clause

import argparse
import os
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
from common import add_outputs, check_outputs, facts, integer, save
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from pybinnet import BinaryConnectClassifier

HIDDEN = (256, 256)  # the default of BinaryConnectClassifier
CONTENDERS = {
    "pybinnet": lambda seed: BinaryConnectClassifier(random_state=seed),
    "MLPClassifier": lambda seed: make_pipeline(
        StandardScaler(), MLPClassifier(HIDDEN, random_state=seed)
    ),
    "HistGradientBoosting": lambda seed: HistGradientBoostingClassifier(random_state=seed),
}


def main():
    options = parse_options()
    report = facts(options, HIDDEN)
    print(f"{'':<20} {'rows':>6} {'columns':>7} {'classes':>7}", end="")
    print("".join(f"  {name:>20}" for name in CONTENDERS), "   fit time to MLP's")
    rows = []
    with threadpool_limits(options.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of max_iter, the peer's default
        for name, load in tables().items():
            if not options.only or name in options.only:
                rows.append(compare(name, *load(), options.splits))
                show(rows[-1])
    report |= {"splits": options.splits, "results": rows, "mean": means(rows)}
    for name, accuracy in report["mean"].items():
        print(f"mean accuracy of {name}: {accuracy:.2f} %")
    n_level = sum(difference(row) >= 0 for row in rows)
    print(f"pybinnet is at MLPClassifier's or above it on {n_level} of {len(rows)} tables")
    plot, options.plot = options.plot, None
    save(options, report, [], "")
    if plot:
        draw(plot, rows)


def parse_options():
    names = list(tables())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=integer(1, 100), default=3, help="of training and test")
    parser.add_argument("--only", nargs="+", choices=names, metavar="TABLE", help=", ".join(names))
    parser.set_defaults(threads=1)
    add_outputs(parser)
    options = parser.parse_args()
    check_outputs(parser, options)
    return options


def compare(name, x, y, n_splits):
    """Fit all contenders on three quarters of the rows, and test on the others."""
    row = {"name": name, "rows": x.shape[0], "columns": x.shape[1], "classes": len(np.unique(y))}
    for contender, make in CONTENDERS.items():
        accuracies, seconds = [], []
        for seed in range(n_splits):
            x_train, x_test, y_train, y_test = train_test_split(
                x, y, test_size=0.25, random_state=seed, stratify=y
            )
            estimator = make(seed)
            start = time.process_time()  # of one thread: other programs do not count
            estimator.fit(x_train, y_train)
            seconds.append(time.process_time() - start)
            accuracies.append(100 * estimator.score(x_test, y_test))
        row[contender] = {
            "accuracy_percent": statistics.mean(accuracies),
            "accuracies": accuracies,
            "seconds": statistics.median(seconds),
        }
    return row


def difference(row):
    return row["pybinnet"]["accuracy_percent"] - row["MLPClassifier"]["accuracy_percent"]


def time_ratio(row):
    return row["pybinnet"]["seconds"] / row["MLPClassifier"]["seconds"]


def means(rows):
    return {
        name: statistics.mean(row[name]["accuracy_percent"] for row in rows) for name in CONTENDERS
    }


def show(row):
    print(f"{row['name']:<20} {row['rows']:>6} {row['columns']:>7} {row['classes']:>7}", end="")
    print("".join(f"  {row[name]['accuracy_percent']:>20.2f}" for name in CONTENDERS), end="")
    print(f"  {time_ratio(row):>8.2f}", flush=True)


def draw(path, rows):
    from matplotlib.figure import Figure

    rows = sorted(rows, key=difference)
    names = [row["name"] for row in rows]
    figure = Figure(figsize=(10, 1.5 + 0.3 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.barh(names, [difference(row) for row in rows], color="tab:orange")
    trees = [
        row["HistGradientBoosting"]["accuracy_percent"] - row["MLPClassifier"]["accuracy_percent"]
        for row in rows
    ]
    left.plot(trees, names, "k|", markersize=10, label="HistGradientBoosting")
    left.legend()
    left.axvline(0, color="tab:gray")
    left.set(xlabel="accuracy less MLPClassifier's, points")
    right.barh(names, [time_ratio(row) for row in rows], color="tab:orange")
    right.axvline(1, color="tab:gray")
    right.set(xlabel="fit time to MLPClassifier's, one thread", xscale="log")
    figure.savefig(path, dpi=150)


# ---- Tables --------------------------------------------------------------------------------


def tables():
    """Return what loads each table: rows and classes."""
    made = {
        "iris": lambda: datasets.load_iris(return_X_y=True),
        "wine": lambda: datasets.load_wine(return_X_y=True),
        "breast cancer": lambda: datasets.load_breast_cancer(return_X_y=True),
        "digits": lambda: datasets.load_digits(return_X_y=True),
        "clusters": lambda: datasets.make_classification(
            8000, 30, n_informative=15, n_classes=4, n_clusters_per_class=3, random_state=0
        ),
        "sphere": lambda: datasets.make_hastie_10_2(6000, random_state=0),
        "friedman": friedman,
        "categories": categories,
        "rules": rules,
        "mixed": mixed,
        "sentinels": sentinels,
        "wide": wide,
    }
    folder = os.environ.get("BINNET_TABLES")
    if folder:
        if not Path(folder).is_dir():
            raise SystemExit(f"BINNET_TABLES={folder} is no folder; name one with CSV or npz files")
        for path in sorted(Path(folder).glob("*.npz")):
            made[path.stem] = lambda path=path: from_npz(path)
        for path in sorted(Path(folder).glob("*.csv")):
            made[path.stem] = lambda path=path: from_csv(path)
    return made


def from_npz(path):
    """Arrays X and y."""
    with np.load(path) as arrays:
        return arrays["X"], arrays["y"]


def from_csv(path):
    """A line of names, then rows; the last column is the class. Texts become codes in order."""
    cells = np.loadtxt(path, dtype=str, delimiter=",", skiprows=1, quotechar='"', ndmin=2)
    return np.stack([codes(column) for column in cells.T[:-1]], axis=1), cells[:, -1]


def codes(column):
    try:
        return column.astype(np.float64)
    except ValueError:
        return np.unique(column, return_inverse=True)[1].astype(np.float64)


def friedman():
    x, target = datasets.make_friedman1(5000, 12, noise=1, random_state=0)
    return x, target > np.median(target)


def categories():
    """Codes without order, each with an effect on every class, and two that interact."""
    random = np.random.default_rng(0)
    sizes = 5, 8, 12, 20, 3, 4, 30, 6
    x = np.stack([random.integers(size, size=8000) for size in sizes], axis=1)
    scores = 1.5 * random.normal(size=(12, 20, 5))[x[:, 2], x[:, 3]]
    for column, size in zip(x.T, sizes, strict=True):
        scores += random.normal(size=(size, 5))[column]
    return x, (scores + 0.5 * random.gumbel(size=scores.shape)).argmax(axis=1)


def rules():
    """All combinations of eight graded properties, judged by sums, minima and vetoes."""
    sizes = 3, 5, 4, 4, 3, 2, 3, 3
    x = np.stack(np.meshgrid(*map(np.arange, sizes)), axis=-1).reshape(-1, len(sizes))
    family = np.minimum(x[:, 0] + x[:, 1], 2 + x[:, 2])
    total = family + x[:, 3] + x[:, 4] * x[:, 5] + 2 * (x[:, 6] == 2)
    return x, np.where(x[:, 7] == 0, 0, 1 + np.digitize(total + 2 * x[:, 7], [6, 9, 12]))


def mixed():
    """Amounts with heavy tails and many zeros, ages and codes; the class is drawn."""
    random = np.random.default_rng(0)
    n_rows = 10000
    amount = np.where(random.random(n_rows) < 0.9, 0, random.exponential(3000, n_rows)).round()
    age = random.integers(17, 91, n_rows)
    wealth = random.lognormal(9, 1.5, n_rows).round()
    x = [amount, age, wealth]
    score = 0.3 * np.log1p(amount) + np.sin(age / 15) + 0.4 * np.log(wealth)
    for size in 2, 5, 9, 16, 41:
        code = np.minimum(random.geometric(2 / size, n_rows) - 1, size - 1)
        score += random.normal(size=size)[code]
        x.append(code)
    score += random.logistic(size=n_rows)
    return np.stack(x, axis=1), score > np.quantile(score, 0.7)


def sentinels():
    """Measurements of which a fifth is missing, written as -999."""
    random = np.random.default_rng(0)
    x = random.normal(size=(6000, 14))
    y = np.abs(x[:, 0]) + x[:, 1] * x[:, 2] + x[:, 3] > 0.8
    x[random.random(x.shape) < 0.2] = -999
    return x, y


def wide():
    random = np.random.default_rng(0)
    y = random.integers(5, size=3000)
    return random.normal(size=(3000, 180)) + 0.25 * random.normal(size=(5, 180))[y], y


if __name__ == "__main__":
    main()
