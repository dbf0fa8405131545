#!/bin/sh
# Tests the estimators with the oldest versions of what they need, on the oldest Python there is.
set -eu
cd "$(dirname "$0")/.."

for python in python3.10 python3.11 python3.12 python3.13 ''; do
    if [ -n "$python" ] && "$python" -c 'import venv, ensurepip' 2>/dev/null; then break; fi
done
if [ -z "$python" ]; then
    echo "tests/oldest.sh: no Python 3.10 to 3.13 with venv is in PATH" >&2
    exit 1
fi

venv=$PWD/build/oldest
rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/pip" install -q --only-binary :all: \
    -c tests/oldest-constraints.txt . pytest hypothesis
"$venv/bin/python" tests/floors.py
PIP_QUIET=0 "$venv/bin/pip" list 2>/dev/null | grep -E '^(cffi|joblib|numpy|sci|threadpoolctl|tqdm)'
suites='bad_input estimators features golden resume rows saved scikit_learn streams'
cd build && "$venv/bin/pytest" -q -c ../pyproject.toml \
    $(for suite in $suites; do echo "../tests/python/test_$suite.py"; done)
