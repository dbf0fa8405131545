"""Compiles pybinnet._core. All else about the package is in pyproject.toml."""

# SPDX-License-Identifier: BSD-3-Clause

import sysconfig
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

OPENMP_PROGRAM = """
#include <omp.h>
int main(void) { return omp_get_max_threads() < 1; }
"""


class BuildExtension(build_ext):  # type: ignore[misc]
    """Compiles with the flags of the compiler at hand, and with OpenMP where it has that."""

    def build_extensions(self):
        if self.compiler.compiler_type == "msvc":
            openmp, compile_args = "/openmp", ["/O2"]
        else:
            openmp, compile_args = "-fopenmp", ["-std=c99", "-O3", "-fvisibility=hidden"]
        link_args = []
        if self.can_link(OPENMP_PROGRAM, openmp):
            compile_args.append(openmp)
            link_args.append(openmp)
        else:
            print("pybinnet: no OpenMP here: training will use one thread")
        for extension in self.extensions:
            extension.extra_compile_args += compile_args
            extension.extra_link_args += link_args
        super().build_extensions()

    def can_link(self, program, flag):
        """Whether the program compiles and links with the flag."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "program.c")
            source.write_text(program, encoding="ascii")
            try:
                objects = self.compiler.compile([str(source)], folder, extra_postargs=[flag])
                self.compiler.link_executable(objects, "program", folder, extra_postargs=[flag])
            except (CompileError, LinkError):
                return False
        return True


free_threaded = sysconfig.get_config_var("Py_GIL_DISABLED")  # it has no stable ABI
setup(
    cffi_modules=["pybinnet/_ffi_build.py:make_ffi"],
    cmdclass={"build_ext": BuildExtension},
    options={} if free_threaded else {"bdist_wheel": {"py_limited_api": "cp310"}},
)
