"""Compiles pybinnet._core. All else about the package is in pyproject.toml."""

# SPDX-License-Identifier: BSD-3-Clause

import os
import sysconfig

from setuptools import setup
from setuptools.command.build_ext import build_ext


class BuildExtension(build_ext):  # type: ignore[misc]
    """Compiles with the flags of the compiler at hand."""

    def build_extensions(self):
        compile_args, link_args = (
            ["-std=gnu99", "-O3", "-fvisibility=hidden", "-pthread"],
            ["-pthread"],
        )
        if self.compiler.compiler_type == "msvc":
            compile_args, link_args = ["/O2"], []
            if "CC" in os.environ:  # by MSVC's own cl there are no SIMD kernels and no threads
                self.compiler.initialize()
                self.compiler.cc = os.environ["CC"]
        for extension in self.extensions:
            extension.extra_compile_args += compile_args
            extension.extra_link_args += link_args
        super().build_extensions()


free_threaded = sysconfig.get_config_var("Py_GIL_DISABLED")  # it has no stable ABI
setup(
    cffi_modules=["pybinnet/_ffi_build.py:make_ffi"],
    cmdclass={"build_ext": BuildExtension},
    options={} if free_threaded else {"bdist_wheel": {"py_limited_api": "cp310"}},
)
