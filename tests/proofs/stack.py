"""The most stack that a public function takes: the heaviest chain of calls below it.

Frames are gcc's own figures (-fstack-usage). Calls are those of the source, as clang writes them
before it optimises anything: what gcc has inlined has no frame of its own, and counts 0 in the
chain. A call through a pointer may go to any function of the same C type (-fsanitize=kcfi notes
types) whose address stands in a constant, such as a kernel table, or is taken in what the public
function may call.

Not in the figures: what memory functions and the compiler's integer helpers take.
"""

# SPDX-License-Identifier: BSD-3-Clause

import re
from collections import Counter, defaultdict
from functools import cache

from tools import ROOT, output

CLANG = "clang-19"
# RV32, for Cortex-M has no kcfi: the same sizes, and no kernels but the portable ones either.
FLAGS = "--target=riscv32-unknown-elf -fsanitize=kcfi -std=c99 -O0 -S -emit-llvm".split()
FLAGS += ["-isystem/usr/include/newlib", f"-I{ROOT}/include", "-o", "-"]

NAME = r"@[\w.]+"


def frames(su_files):
    """Bytes of each function's frame, as 'file:function'; gcc's clones of a function together."""
    sizes = Counter()
    for path in su_files:
        for line in path.read_text("utf-8").splitlines():
            place, size, kind = line.split("\t")
            assert "dynamic" not in kind, line
            sizes[f"{path.stem}:{place.split(':')[-1].split('.')[0]}"] += int(size)
    return sizes


class Calls:
    """Who calls whom, by name, and through pointers, by the number of a type."""

    def __init__(self, files, *flags):
        self.callees = defaultdict(set)
        self.pointers = defaultdict(set)  # types of what is called through pointers
        self.taken = defaultdict(
            set
        )  # functions whose address is taken in one, or in constants: ""
        self.type = {}
        for file in files:
            self._read(file.stem, output(CLANG, *FLAGS, *flags, file))

    def _read(self, stem, text):
        local = set(re.findall(rf"(?m)^define internal .*?({NAME})\(", text))
        types = dict(re.findall(r"(?m)^(!\d+) = !{i32 (-?\d+)}$", text))
        here = ""

        def full(name):
            return f"{stem}:{name[1:]}" if name in local else name[1:]

        for line in text.splitlines():
            if define := re.match(rf"define .*?({NAME})\(", line):
                here = full(define[1])
                if number := re.search(r"!kcfi_type (!\d+)", line):
                    self.type[here] = types[number[1]]
            elif line == "}":
                here = ""
            elif not line.startswith("declare"):
                if direct := re.search(rf"\bcall .*?({NAME})\(", line):
                    self.callees[here].add(full(direct[1]))
                elif indirect := re.search(r'"kcfi"\(i32 (-?\d+)\)', line):
                    self.pointers[here].add(indirect[1])
                inline = " asm " in line  # calls nothing
                assert direct or indirect or inline or " call " not in line, line
                names = line.split("(", 1)[1] if direct else line
                self.taken[here].update(full(name) for name in re.findall(NAME, names))

    def below(self, root):
        """What each function may call, of those that a function may reach."""
        taken, reached = self.taken[""], {}
        while True:
            todo, before = [root], (len(taken), len(reached))
            reached = {}
            while todo:
                name = todo.pop()
                if name in reached:
                    continue
                pointed = {f for f in taken if self.type.get(f) in self.pointers[name]}
                reached[name] = self.callees[name] | pointed
                todo += reached[name]
            taken = taken.union(*(self.taken[name] for name in reached))
            if before == (len(taken), len(reached)):
                return reached


def deepest(calls, sizes, root):
    """The heaviest chain from a function, as bytes and frames; a recursion is an error."""
    public = {key.split(":")[1]: size for key, size in sizes.items()}
    below = calls.below(root)
    above = []

    @cache
    def chain(function):
        if function in above:
            raise RecursionError(" -> ".join([*above, function]))
        above.append(function)
        size = sizes[function] if ":" in function else public.get(function, 0)
        most, frames = max((chain(callee) for callee in sorted(below[function])), default=(0, ()))
        above.pop()
        return size + most, ((function, size), *frames) if size else frames

    return chain(root)
