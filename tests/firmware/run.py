"""libbinnet on microcontrollers and other processors under QEMU: the same bits as on this host.

Usage: run.py [TARGET ...], with the Python that has pybinnet installed.

On each target a deployed model must score every row as the host does; nets trained there, from new
weights and from a checkpoint of the host, must become the host's checkpoint; bad input must be
refused; and a fault must be told. Sizes are bytes; RAM is without the stack, of which is told the
most in use. A missing tool is a SKIP and, with STRICT=1, an error.
"""

# SPDX-License-Identifier: BSD-3-Clause

import hashlib
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import truth
from targets import HERE, KB, TARGETS, MissingTool, Workshop

EXIT_FAULT = 70  # machine.h
WIDTH = 33  # of a test's title


class Failure(Exception):
    """A test that failed; says how."""


class Trials:
    """The tests of one target.

    Parameters
    ----------
    workshop : Workshop
    nets : dict of str to truth.Trained
    headers : Path
        A folder for each header that some programs have their own version of.
    """

    def __init__(self, workshop, nets, headers):
        self.workshop = workshop
        self.nets = nets
        self.headers = headers

    def tests(self):
        """Pairs of a title and a function that returns what to print, or raises Failure."""
        if self.workshop.target.memory:
            yield "a fault is told", self.fault
        yield "a wrong score is found", self.wrong_score
        yield "inference", self.inference
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

    def wrong_score(self):
        program = self.program("infer", "wrong", self.workshop.inference)
        code, printed = self.workshop.run(program)
        if code != 1 or printed.count("1 ROWS DIFFER") != 1:
            raise Failure(f"exit code {code}: {printed}")
        return "1 row differs"

    def inference(self):
        return self.run(self.program("infer", "right", self.workshop.inference))

    def training(self, name, start):
        program = self.program("train", f"{name}/{start}")
        printed = self.run(program)
        net = self.nets[name].classifier
        digests = []
        for file, wanted in [("checkpoint", net.checkpoint_), ("model", net.model_)]:
            digests.append(hashlib.sha256(self.workshop.saved(program, file)).hexdigest())
            if digests[-1] != hashlib.sha256(wanted).hexdigest():
                raise Failure(f"another {file} than the host's: SHA-256 {digests[-1]}; {printed}")
        return f"SHA-256 {digests[0][:16]}…; {printed}"

    def bad_input(self):
        return self.run(self.program("reject", "binary/new"))


def write_headers(folder, rows, nets):
    """Write what the programs include: folders of `folder`, and digits.h in it."""
    (folder / "digits.h").write_text(truth.digits_header(rows))
    exports = truth.deployed(rows)
    right = truth.exported_header(rows, exports)
    wrong = truth.exported_header(rows, exports, wrong=True)
    for name, text in [("right", right), ("wrong", wrong)]:
        (folder / name).mkdir()
        (folder / name / "exported.h").write_text(text)
    for name, net in nets.items():
        for start, first_epoch in [("new", 0), ("resumed", truth.RESUMED_AFTER)]:
            path = folder / name / start
            path.mkdir(parents=True)
            (path / "net.h").write_text(truth.net_header(net, first_epoch))


def try_target(target, folder, nets):
    """Run all tests; return lines to print and whether all is well."""
    lines = [f"{target.name} ({target.processor})"]
    try:
        trials = Trials(Workshop(target, folder / target.name, folder), nets, folder)
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
        results = pool.map(lambda target: try_target(target, folder, nets), targets)
        for lines, good in results:
            print("\n".join(lines), flush=True)
            fine &= good
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
