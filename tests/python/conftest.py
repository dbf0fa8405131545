"""Lets tests import tests/reference.py and tests/golden.py; lets scikit-learn check all it can."""

import os
import platform
import signal
import sys
from pathlib import Path

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # before scipy is imported, else checks are skipped
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
# A shell's background jobs ignore it, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
from hypothesis import settings

from pybinnet import _engine

# What passes once passes again; --hypothesis-profile=default looks at other examples each time.
settings.register_profile("the same", derandomize=True, deadline=None, database=None)
settings.load_profile("the same")

ARM = platform.machine() in ("aarch64", "arm64")  # as Linux and macOS say
ISAS = ["portable"] + (["neon"] if ARM else ["avx2", "avx512"])


@pytest.fixture(params=ISAS)
def isa(request, monkeypatch):
    """Each kernel table of this kind of processor."""
    if request.param not in _engine.supported_isas():
        pytest.skip(f"LOUD: this processor has no {request.param}")  # its fault, not the suite's
    monkeypatch.setenv("BINNET_ISA", request.param)
    return request.param


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Keep coverage out of tests that are marked so, and of the processes that they start."""
    if not item.get_closest_marker("untraced"):
        return (yield)
    trace = sys.gettrace()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        sys.settrace(None)
        try:
            return (yield)
        finally:
            sys.settrace(trace)
