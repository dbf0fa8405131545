"""Builds what is released for Linux, without containers, and tests it as users get it.

Usage: wheels.py FOLDER, in the project's root, with the Python of `make wheels`. What comes out is
in FOLDER/dist; what is in FOLDER already is used again, but for sources and wheels.

The sdist must hold every file under version control. Everything else is made from it. Zig compiles
the wheels against glibc 2.17, for x86-64 and AArch64, so that the oldest manylinux tag fits; one
for the stable ABI and, if a free-threaded Python is at hand, one for it. auditwheel and abi3audit
check them. They need no library but glibc's own: threads are the package's own pool
(pybinnet/_parallel.c), not OpenMP, which is checked too. Each Python found gets a fresh virtual
environment with the installed wheel, in which the tests run; the AArch64 wheel runs under QEMU with
Debian's Python. Other systems and musl are cibuildwheel's (.github/workflows/wheels.yml), whose
settings are checked here by the names of what it would build.

A missing tool or Python is a SKIP, told again at the end. With STRICT=1 a missing tool is an error;
of Pythons, which a machine seldom has all of, only the one that runs this must have been tested.
"""

# SPDX-License-Identifier: BSD-3-Clause

import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from itertools import product
from pathlib import Path

from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).resolve().parents[1]
STRICT = os.environ.get("STRICT") == "1"
GLIBC = "2.17"
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
FREE_THREADED = "3.14t"
TELL_VERSION = """
import ensurepip, sys, sysconfig, venv
free_threaded = sysconfig.get_config_var("Py_GIL_DISABLED")
print(*sys.version_info[:2], sep=".", end="t" if free_threaded else "")
"""
NEEDED = {"libc.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
TESTS = [
    "test_estimators.py",
    "test_bits.py",
    "test_threads.py",
    "test_engine.py::test_golden_hash",
]
LONGER_TESTS = [*TESTS[:-1], "test_engine.py"]  # for the Python that runs this
EMULATED_TESTS = [  # a test takes 10 to 30 times as long
    "test_engine.py::test_golden_hash",
    "test_threads.py",
    "test_estimators.py::test_digits",
]
CIBUILDWHEEL = {  # platform: architectures, their names in identifiers
    "linux": (
        ["x86_64", "aarch64"],
        [f"{libc}_{cpu}" for libc in ("manylinux", "musllinux") for cpu in ("x86_64", "aarch64")],
    ),
    "macos": (["x86_64", "arm64"], ["macosx_x86_64", "macosx_arm64"]),
    "windows": (["AMD64"], ["win_amd64"]),
}


class Failure(Exception):
    """What is wrong with a build."""


class Missing(Exception):
    """A tool that is not here."""


def run(*command, **options):
    """Run a program; return what it printed, which a Failure has too."""
    options.setdefault("cwd", ROOT)
    words = [str(word) for word in command]
    options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    try:
        done = subprocess.run(words, **options)
    except FileNotFoundError:
        raise Missing(words[0]) from None
    if done.returncode != 0:
        raise Failure(f"{' '.join(words)}\n{done.stdout}")
    return done.stdout


def identifiers():
    """Check what cibuildwheel would build."""
    versions = [f"cp{version.replace('.', '')}" for version in [*PYTHONS, FREE_THREADED]]
    for platform, (architectures, names) in CIBUILDWHEEL.items():
        command = [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers"]
        command += ["--platform", platform, "--archs", ",".join(architectures)]
        found = set(run(*command).split())
        wanted = {"-".join(pair) for pair in product(versions, names)}
        if found != wanted:
            raise Failure(f"{platform}: unlike expected: {', '.join(sorted(found ^ wanted))}")
    return f"{len(versions)} Pythons on {', '.join(CIBUILDWHEEL)}"


def make_sdist(dist):
    """Build the sdist, hold it to the files under version control, return its path."""
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", dist)
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames() if "/" in name}
        folders = {member.name.partition("/")[2] for member in archive if member.isdir()}
    packed = {name for name in files - folders if not name.startswith("pybinnet.egg-info/")} - {
        "PKG-INFO",
        "setup.cfg",
    }
    if (ROOT / ".git").exists():
        tracked = set(run("git", "ls-files").splitlines())
        settings = {".clang-format", ".clang-tidy"}
        kept_out = {name for name in tracked if name.startswith(".")} - settings
        if packed != tracked - kept_out:
            unlike = sorted(packed ^ (tracked - kept_out))
            raise Failure(f"{sdist.name} and git ls-files differ, see MANIFEST.in: {unlike}")
    return sdist


def unpack(sdist, folder):
    """Unpack the sdist; return its root."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.unpack_archive(sdist, folder)
    (root,) = folder.iterdir()
    return root


def make_wheel(source, machine, folder, python=sys.executable):
    """Build a wheel by zig from unpacked sources, audit it, return the path in `folder`/dist."""
    raw = folder / "raw"
    shutil.rmtree(raw, ignore_errors=True)
    shutil.rmtree(source / "build", ignore_errors=True)
    compiler = f"{sys.executable} -m ziglang cc -target {machine}-linux-gnu.{GLIBC}"
    environment = {
        **os.environ,
        "CC": compiler,
        "LDSHARED": f"{compiler} -shared -s",
        "_PYTHON_HOST_PLATFORM": f"linux-{machine}",
        "ZIG_GLOBAL_CACHE_DIR": str(ROOT / "build" / "zig"),
    }
    # Isolated, pip would look for a cffi of the other machine. Another Python has none of its own.
    isolation = ["--no-build-isolation"] if python == sys.executable else []
    run(python, "-m", "pip", "wheel", "--no-deps", *isolation, "-w", raw, source, env=environment)
    (built,) = raw.glob("*.whl")
    tag = f"manylinux_{GLIBC.replace('.', '_')}_{machine}"
    run(sys.executable, "-m", "auditwheel", "repair", "-w", folder / "dist", built)
    (wheel,) = (folder / "dist").glob(f"{built.name.rsplit('-', 1)[0]}-*{machine}.whl")
    if tag not in wheel.name:
        raise Failure(f"{wheel.name} is not {tag}")
    needed = needed_libraries(wheel)
    if extra := needed - NEEDED:
        raise Failure(f"{wheel.name} needs {', '.join(sorted(extra))}")
    if "-abi3-" in wheel.name:
        run(sys.executable, "-m", "abi3audit", "--strict", wheel)
    return wheel


def needed_libraries(wheel):
    """Return the names of the shared libraries that the compiled modules of a wheel name."""
    names = set()
    with zipfile.ZipFile(wheel) as archive:
        modules = [name for name in archive.namelist() if ".so" in Path(name).suffixes]
        if len(modules) != 1:
            raise Failure(f"{wheel.name}: not one compiled module but {modules}")
        for module in modules:
            with archive.open(module) as file:
                dynamic = ELFFile(file).get_section_by_name(".dynamic")
                names |= {tag.needed for tag in dynamic.iter_tags("DT_NEEDED")}
    return names


def version_of(python):
    """Return the version of a Python as in PYTHONS, "" if it cannot make virtual environments."""
    told = subprocess.run([python, "-c", TELL_VERSION], capture_output=True, text=True)
    return told.stdout if told.returncode == 0 else ""


def find_python(version):
    """Return a Python of this version, the one that runs this if it fits; None if there is none."""
    candidates = [sys.executable, shutil.which(f"python{version}")]
    candidates += Path.home().glob(f".pyenv/versions/*/bin/python{version}")
    return next((c for c in candidates if c and version_of(c) == version), None)


def pytest(tests, files):
    """Return the arguments of Python that run test files of unpacked sources."""
    paths = [tests / "tests" / "python" / name for name in files]
    return ["-m", "pytest", "-q", "-c", tests / "pyproject.toml", *paths]


def test_installed(package, python, source, folder, tests=TESTS):
    """Install a wheel or sdist into a new virtual environment of a Python and run the tests."""
    shutil.rmtree(folder, ignore_errors=True)
    run(python, "-m", "venv", folder)
    inside = folder / "bin" / "python"
    run(inside, "-m", "pip", "install", package, "pytest", "pandas", "hypothesis")
    return summary(run(inside, *pytest(source, tests), cwd=folder))


def summary(printed):
    """Return the last line of pytest, what was passed and skipped."""
    return printed.strip().splitlines()[-1].strip("= ")


def test_emulated(wheel, source, folder):
    """Run tests of the AArch64 wheel with Debian's Python for it, under QEMU."""
    root = folder / "root"
    if not (root / "usr/bin/python3").exists():
        fetch_arm64_python(folder, root)
    (python,) = (root / "usr/bin").glob("python3.[0-9]*[0-9]")
    packages = folder / "packages"
    shutil.rmtree(packages, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--target", packages]
    command += ["--only-binary", ":all:", "--python-version", python.name.removeprefix("python")]
    for minor in (17, 27, 28):
        command += ["--platform", f"manylinux_2_{minor}_aarch64"]
    run(*command, wheel, "pytest", "hypothesis")
    emulated = ["qemu-aarch64", "-L", root, python]
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    return summary(run(*emulated, *pytest(source, EMULATED_TESTS), cwd=folder, env=environment))


def fetch_arm64_python(folder, root):
    """Unpack Debian's Python for AArch64, and all that it depends on, with apt's own checks."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "archives" / "partial").mkdir(parents=True)
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "status").touch()  # nothing is installed there
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "1",
        "Dir::Cache": folder,
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",
    }
    apt = ["apt-get", "-q", "-y", *(f"-o{name}={value}" for name, value in options.items())]
    run(*apt, "update")
    packages = ["python3", "libstdc++6"]  # which numpy's wheel wants
    run(*apt, "install", "--no-install-recommends", "--download-only", *packages)
    for archive in sorted((folder / "archives").glob("*.deb")):
        run("dpkg-deb", "-x", archive, root)


class Steps:
    """Does one thing after another and tells how each went."""

    def __init__(self):
        self.skipped = []
        self.failed = []

    def do(self, title, function, *arguments):
        """Return what the function did, None if it could not."""
        start = time.monotonic()
        try:
            result = function(*arguments)
        except Missing as tool:
            print(f"{title}: SKIP, this needs {tool}", flush=True)
            self.skipped.append(title)
        except Failure as failure:
            print(f"{title}: FAILED\n{failure}", flush=True)
            self.failed.append(title)
        else:
            told = result.name if isinstance(result, Path) else result
            print(f"{title}: ok, {told} ({time.monotonic() - start:.0f} s)", flush=True)
            return result
        return None


def main(folder):
    steps = Steps()
    absent, tested = [], []
    dist, environments = folder / "dist", folder / "environments"
    shutil.rmtree(dist, ignore_errors=True)
    steps.do("cibuildwheel's settings", identifiers)
    sdist = steps.do("sdist", make_sdist, dist)
    if not sdist:
        return 1
    source = unpack(sdist, folder / "source")
    steps.do("sdist, tests", test_installed, sdist, sys.executable, source, environments / "sdist")
    abi3 = steps.do("x86-64 wheel", make_wheel, source, "x86_64", folder)
    for version in [*PYTHONS, FREE_THREADED]:
        python = find_python(version)
        if not python:
            absent.append(version)
            continue
        wheel = abi3
        if version == FREE_THREADED:
            wheel = steps.do(f"{version} wheel", make_wheel, source, "x86_64", folder, python)
        tests = LONGER_TESTS if python == sys.executable else TESTS
        arguments = (wheel, python, source, environments / version, tests)
        if wheel and steps.do(f"Python {version}, tests", test_installed, *arguments):
            tested.append(version)
    wheel = steps.do("AArch64 wheel", make_wheel, source, "aarch64", folder)
    if wheel:
        steps.do("AArch64 wheel, tests", test_emulated, wheel, source, folder / "arm64")
    print(f"Wheels tested with Python {', '.join(tested) or 'NONE'}")
    if absent:
        print(f"NOT TESTED, not found on this machine: Python {', '.join(absent)}")
    if steps.skipped or steps.failed:
        print(f"Skipped: {steps.skipped}; failed: {steps.failed}")
    enough = version_of(sys.executable) in tested and not steps.skipped
    return int(bool(steps.failed) or (STRICT and not enough))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
