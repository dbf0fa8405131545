"""libbinnet on microcontrollers and other processors under QEMU: the same bits as on this host.

Usage: run.py [TARGET ...], with the Python that has pybinnet installed.

On each target a deployed model, exported by pybinnet.export_c, must pass its self-test and score
every row as the host does, and an error planted in one must be found; nets trained there, from new
weights and from a checkpoint of the host, must become the host's checkpoint, and the host must be
able to take that file back and go on; bad input must be refused; and a fault must be told. Sizes
are bytes; RAM is without the stack, of which is told the most in use. A missing tool is a SKIP and,
with STRICT=1, an error.
"""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import truth
from targets import HERE, KB, TARGETS, MissingTool, Workshop

EXIT_FAULT = 70  # machine.h
CHECKSUM, MISMATCH = 10, 12  # binnet.h; infer.c exits with them
# Errors planted in an exported model and its rows: the array, the place of the number that is
# changed, and the exit code and words of who finds it.
PLANTED = {
    "a wrong score is found": ("scores", 0, 1, "; 1 DIFFER FROM THE HOST'S"),
    "self-test finds a wrong score": ("deployed_test_scores", 0, MISMATCH, "self-test: "),
    "self-test finds a wrong edge": ("deployed_edges", 0, MISMATCH, "self-test: "),
    "self-test finds damage": ("deployed_model", 500, CHECKSUM, "self-test: "),
}
WIDTH = 33  # of a test's title


class Failure(Exception):
    """A test that failed; says how."""


def digest(content):
    return hashlib.sha256(content).hexdigest()


def same(content, wanted, what):
    if digest(content) != digest(wanted):
        raise Failure(f"another than the host's, SHA-256 {digest(content)}: {what}")


class Trials:
    """The tests of one target.

    Parameters
    ----------
    workshop : Workshop
    rows : truth.Digits
    nets : dict of str to truth.Trained
    headers : Path
        A folder for each header that some programs have their own version of.
    """

    def __init__(self, workshop, rows, nets, headers):
        self.workshop = workshop
        self.rows = rows
        self.nets = nets
        self.headers = headers

    def tests(self):
        """Pairs of a title and a function that returns what to print, or raises Failure."""
        if self.workshop.target.memory:
            yield "a fault is told", self.fault
        for name in PLANTED:
            yield name, lambda name=name: self.planted(name)
        for name in truth.DEPLOYED:
            yield f"inference, {name}", lambda name=name: self.inference(name)
        memory = self.workshop.target.memory
        for name in self.nets:
            if name in truth.TRAINED_LARGER and memory and memory.ram_bytes < 128 * KB:
                continue
            yield f"training, {name}", lambda name=name: self.training(name, "new")
            yield f"resumed, {name}", lambda name=name: self.training(name, "resumed")
        yield "bad input", self.bad_input

    def program(self, source, headers="", library=None):
        name = f"{source}-{headers}".replace("/", "-")
        return self.workshop.build(
            name,
            [HERE / f"{source}.c", HERE / "report.c"],
            [f"-I{self.headers / headers}"],
            library,
        )

    def run(self, program):
        """Return what a program printed, and the memory that it takes."""
        code, printed = self.workshop.run(program)
        if code != 0:
            raise Failure(f"exit code {code}: {printed}")
        sizes = self.workshop.sizes(program)
        return "; ".join([printed, *(f"{name} {size}" for name, size in sizes.items())])

    def fault(self):
        code, printed = self.workshop.run(self.program("fault"))
        if code != EXIT_FAULT or not printed.startswith("fault at 0x"):
            raise Failure(f"exit code {code}: {printed}")
        return printed

    def planted(self, name):
        *_, exit_code, words = PLANTED[name]
        program = self.program("infer", f"planted/{name}", self.workshop.inference)
        code, printed = self.workshop.run(program)
        if code != exit_code or words not in printed:
            raise Failure(f"exit code {code}: {printed}")
        return f"exit code {code}: {printed}"

    def inference(self, name):
        return self.run(self.program("infer", f"deployed/{name}", self.workshop.inference))

    def training(self, name, start):
        program = self.program("train", f"{name}/{start}")
        printed = self.run(program)
        net = self.nets[name]
        checkpoint, model = (self.workshop.saved(program, file) for file in ("checkpoint", "model"))
        same(checkpoint, net.classifier.checkpoint_, f"checkpoint; {printed}")
        same(model, net.classifier.model_, f"model; {printed}")
        if f"; {net.errors} errors of" not in printed:
            raise Failure(f"not {net.errors} errors as on the host: {printed}")
        if start == "resumed":
            longer = truth.continued(self.rows, net.classifier, checkpoint)
            same(longer, net.continued, f"checkpoint after pulling back; {printed}")
            printed = f"pulled back {digest(longer)[:16]}…; {printed}"
        return f"SHA-256 {digest(checkpoint)[:16]}…; {printed}"

    def bad_input(self):
        return self.run(self.program("reject", "binary/new"))


def write_headers(folder, rows, nets):
    """Write what the programs include: folders of `folder`, and digits.h in it."""
    (folder / "digits.h").write_text(truth.digits_header(rows))
    for name, subject in truth.deployed(rows).items():
        truth.export(subject, folder / "deployed" / name)
    for name, (array, place, *_) in PLANTED.items():
        copy = shutil.copytree(folder / "deployed" / "integers", folder / "planted" / name)
        truth.plant_error(copy / ("rows.h" if array == "scores" else "deployed.h"), array, place)
    for name, net in nets.items():
        for start, first_epoch in [("new", 0), ("resumed", truth.RESUMED_AFTER)]:
            path = folder / name / start
            path.mkdir(parents=True)
            (path / "net.h").write_text(truth.net_header(net, first_epoch))


def try_target(target, folder, rows, nets):
    """Run all tests; return lines to print and whether all is well."""
    lines = [f"{target.name} ({target.processor})"]
    try:
        trials = Trials(Workshop(target, folder / target.name, folder), rows, nets, folder)
    except MissingTool as tool:
        return [f"{lines[0]}: SKIP, this needs {tool}"], os.environ.get("STRICT") != "1"
    fine = True
    for name, test in trials.tests():
        try:
            result = f"ok      {test()}"
        except (Failure, RuntimeError) as failure:
            result = f"FAILED  {failure}"
            fine = False
        lines.append(f"    {name:<{WIDTH}} {result}")
    return lines, fine


def main(names):
    if unknown := set(names) - {target.name for target in TARGETS}:
        sys.exit(f"unknown: {', '.join(unknown)}; of: {', '.join(t.name for t in TARGETS)}")
    targets = [target for target in TARGETS if not names or target.name in names]
    fine = True
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(scratch)
        rows = truth.digits()
        parameters = truth.TRAINED | truth.TRAINED_LARGER
        nets = {name: truth.trained(rows, values) for name, values in parameters.items()}
        write_headers(folder, rows, nets)
        results = pool.map(lambda target: try_target(target, folder, rows, nets), targets)
        for lines, good in results:
            print("\n".join(lines), flush=True)
            fine &= good
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
