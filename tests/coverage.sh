#!/bin/bash
# Lines that tests run, with those that none runs: of the C files by the C tests and the replayed
# corpus, on the kernel tables of this processor; of the Python files by the last `make test`.
# Below 95 % of either is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/c_coverage
{
    # Atomic: threads that count at once otherwise lose counts, down to less than none.
    meson setup --reconfigure -Dbuildtype=debug -Doptimization=1 -Ddefault_library=static -Db_coverage=true \
        -Dc_args=-fprofile-update=atomic $build
    find $build -name '*.gcda' -delete
    meson test -C $build --print-errorlogs
} >$build.log 2>&1 || { cat $build.log; exit 1; }
# Not where it would look by itself: build/wine leads to the whole file system.
gcovr --root . --object-directory $build --filter libbinnet/ --filter pybinnet/ --fail-under-line 95 $build
if [[ ! -f build/.coverage ]]; then
    echo "build/.coverage is missing: run make test, whose Python tests write it" >&2
    exit 1
fi
coverage report --data-file=build/.coverage
