# Needs Python >= 3.10, a C compiler and make. Everything is made in build/.
#
#   make demo     train on handwritten digits
#   make test     everything that is checked; STRICT=1: a missing tool is an error
#   make lint     the part of it that looks at style and types only
#   make format   format all C and Python files
#   make clean    remove build/

PYTHON ?= python3
STRICT ?= 0

VENV = build/venv
BIN = $(VENV)/bin
SOURCES = $(wildcard include/* libbinnet/* pybinnet/*.py pybinnet/*.[ch]) setup.py pyproject.toml VERSION
C_FILES = $(wildcard include/*.h libbinnet/*.[ch] pybinnet/*.[ch] bench/*.c bench/firmware/*.[ch] tests/c/*.[ch] tests/firmware/*.[ch])

export STRICT
export PIP_QUIET = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

demo: build/demo.installed
	$(BIN)/python examples/digits.py

test: lint
	PATH="$(CURDIR)/$(BIN):$$PATH" && \
	    meson setup --reconfigure -Dwerror=$(if $(filter 1,$(STRICT)),true,false) build/meson && \
	    meson compile -C build/meson && \
	    meson test -C build/meson --print-errorlogs
	tests/run_cross.sh
	$(BIN)/python tests/firmware/run.py
	$(BIN)/python tests/check_no_float.py build/meson/libbinnet.a
	cd build && venv/bin/pytest -c ../pyproject.toml ../tests/python pybinnet  # see CONTRIBUTING.md

lint: build/test.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)

format: build/test.installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(C_FILES)

clean:
	rm -rf build pybinnet.egg-info pybinnet/_core.*

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

build/demo.installed: $(BIN)/python $(SOURCES)
	rm -rf build/lib*
	$(BIN)/pip install .
	touch $@

build/test.installed: $(BIN)/python $(SOURCES)
	rm -rf build/lib*
	$(BIN)/pip install '.[test]'
	touch $@

.PHONY: demo test lint format clean
