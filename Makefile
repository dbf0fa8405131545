# Needs Python >= 3.10, a C compiler and make. Everything is made in build/.
#
#   make demo     train on handwritten digits
#   make test     everything that is checked; STRICT=1: a missing tool is an error
#   make docs     the documentation site, build/docs/index.html; a warning is an error
#   make wheels   the sdist and the Linux wheels, audited and tested, in build/wheels/dist
#   make sanitize the C tests under ASan, UBSan, TSan and valgrind; STRICT=1 likewise
#   make analyze  the C files under strict warnings, gcc -fanalyzer, clang-tidy and cppcheck; STRICT=1 likewise
#   make coverage lines that tests run: of C, and of Python in the last `make test`; an error below 95 %
#   make fuzz     FUZZ_SECONDS=60 of it for models, checkpoints and configurations, with clang-19
#   make soak     SOAK_SECONDS=60 of random nets on every kernel and thread count, compared with portable
#   make lint     the part of it that looks at style and types only
#   make format   format all C and Python files
#   make clean    remove build/

PYTHON ?= python3
STRICT ?= 0
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 60

VENV = build/venv
BIN = $(VENV)/bin
IN_VENV = PATH="$(CURDIR)/$(BIN):$$PATH"
SOURCES = $(wildcard include/* libbinnet/* pybinnet/*.py pybinnet/*.[ch]) setup.py pyproject.toml VERSION
C_FILES = $(wildcard include/*.h libbinnet/*.[ch] pybinnet/*.[ch] bench/*.c bench/*/*.[ch] examples/*/*.[ch] tests/*/*.[ch] tests/consumers/*/*.[ch])

export STRICT
export PIP_QUIET = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

demo: build/demo.installed
	$(BIN)/python examples/digits.py

test: lint
	$(IN_VENV) meson setup --reconfigure -Dwerror=$(if $(filter 1,$(STRICT)),true,false) build/meson
	$(IN_VENV) meson compile -C build/meson
	$(IN_VENV) meson test -C build/meson --print-errorlogs
	$(IN_VENV) tests/cross.sh
	$(IN_VENV) tests/drop_in.sh
	$(BIN)/python tests/firmware/run.py
	$(BIN)/python tests/proofs build/meson/libbinnet.a
	cd build && venv/bin/pytest -n auto -c ../pyproject.toml --cov --cov-config=../pyproject.toml --cov-report= --cov-fail-under=0 ../tests/python ../docs/guide pybinnet  # see CONTRIBUTING.md
	$(if $(filter 1,$(STRICT)),tests/oldest.sh)

docs: build/docs.installed
	mkdir -p build/site
	$(BIN)/sphinx-build -c docs -W --keep-going -q build/site build/docs

wheels: build/wheels.installed
	$(IN_VENV) python tools/wheels.py build/wheels

sanitize: build/test.installed
	$(IN_VENV) tests/sanitize.sh

analyze:
	tests/analyze.sh

coverage: build/test.installed
	$(IN_VENV) tests/coverage.sh

fuzz:
	tests/fuzz/run.sh -max_total_time=$(FUZZ_SECONDS)

soak: build/test.installed
	cd build && venv/bin/python ../tests/soak.py --seconds $(SOAK_SECONDS)

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

build/wheels.installed: build/test.installed
	$(BIN)/pip install '.[wheels]'
	touch $@

build/docs.installed: $(BIN)/python $(SOURCES)
	rm -rf build/lib* build/site  # the gallery shows what the library does
	$(BIN)/pip install '.[docs]'
	touch $@

.PHONY: demo test docs wheels sanitize analyze coverage fuzz soak lint format clean
