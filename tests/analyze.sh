#!/bin/bash
# The C library, and the threads of the Python package, under what looks at code without running it:
# warnings of both compilers as errors, gcc -fanalyzer, clang-tidy (.clang-tidy), cppcheck. A missing
# tool is a SKIP and, with STRICT=1, an error.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
mapfile -t sources < <(sed -e '/^#/d' -e '/^$/d' -e 's|^|libbinnet/|' libbinnet/sources.txt)
sources+=(pybinnet/_parallel.c)
flags=(-std=c99 -Iinclude)
mkdir -p build/analyze

# $1 title, then a command to which each file is added
try() {
    local title=$1 log=build/analyze/$1.log
    if ! command -v "$2" >/dev/null; then
        echo "$title: SKIP, this needs $2"
        if [[ ${STRICT:-0} == 1 ]]; then failed=1; fi
    elif printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -I FILE "${@:2}" >"$log" 2>&1; then
        echo "$title: ok"
    else
        echo "$title: FAILED"
        cat "$log"
        failed=1
    fi
}

# Of gcc 12 without what it says of vectors, its own header's among them: it sees them as memory that is
# never written. Memcheck looks for that as the code runs.
try gcc gcc "${flags[@]}" -O2 -fanalyzer -Werror -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wvla \
    -Wcast-align=strict -Wcast-qual -Wstrict-prototypes -Wmissing-prototypes -Wmissing-declarations \
    -Wundef -Wdouble-promotion -Wformat=2 -Wwrite-strings -Wduplicated-cond -Wduplicated-branches -Wlogical-op \
    -Wno-missing-field-initializers -Wno-maybe-uninitialized -Wno-uninitialized \
    -Wno-analyzer-use-of-uninitialized-value -c FILE -o /dev/null
# Without: declarations amid code and what C89 lacks, padding, pointer arithmetic as such, `unused`
# in BINNET_INLINE, sizes that are enums side by side, ++a, ++b, switches whose cases are all.
try clang clang-19 "${flags[@]}" -Werror -Weverything -Wno-declaration-after-statement -Wno-padded \
    -Wno-unsafe-buffer-usage -Wno-used-but-marked-unused -Wno-anon-enum-enum-conversion -Wno-comma \
    -Wno-switch-default -Wno-missing-field-initializers -fsyntax-only FILE
try clang-tidy clang-tidy-19 --quiet FILE -- "${flags[@]}"
# The two it takes to be uninitialised are: only pointed at, and written element by element.
try cppcheck cppcheck --std=c99 --enable=warning,portability,performance --quiet --error-exitcode=1 -Iinclude \
    --suppress=uninitvar:libbinnet/net.c --suppress=uninitvar:libbinnet/rng.c FILE
exit $failed
