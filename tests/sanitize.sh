#!/bin/bash
# The C tests under sanitizers: ASan and UBSan of both compilers, clang's also for wraps of unsigned
# numbers and conversions that change a value; TSan for what runs on threads; valgrind's memcheck, of
# the very library that `make test` tests, for reads of what was never written. A missing tool is a
# SKIP and, with STRICT=1, an error.
#
# Valgrind 3.19 has no AVX-512 and hides it, and MSan knows not all of its instructions (a masked
# store leaves the memory undefined): there it is left to test_kernels, whose buffers are filled
# with a pattern beforehand, and to golden values.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0

missing() {
    command -v "$2" >/dev/null && return 1
    echo "$1: SKIP, this needs $2"
    if [[ ${STRICT:-0} == 1 ]]; then failed=1; fi
}

# $1 title, $2 log, then a command whose output it keeps
report() {
    if "${@:3}" >>"$2" 2>&1; then
        echo "$1: ok"
    else
        echo "$1: FAILED"
        cat "$2"
        failed=1
    fi
}

# $1 folder; $2 tests; then options for meson
build_and_test() {
    local build=$1 tests
    read -ra tests <<<"$2"
    meson setup --reconfigure -Dbuildtype=debug -Doptimization=1 -Ddefault_library=static -Db_lundef=false "${@:3}" "$build" &&
        meson test -C "$build" --print-errorlogs "${tests[@]}"
}

# $1 title, $2 compiler, $3 sanitizers of meson, $4 tests ("": all), then flags of the compiler
try() {
    local title=$1 build=build/sanitize/$1 flags
    missing "$title" "$2" && return
    printf -v flags "'%s'," -fno-sanitize-recover=all -DBINNET_DEBUG "${@:5}"
    mkdir -p build/sanitize
    cat >"$build.ini" <<END
[binaries]
c = '$2'
[built-in options]
c_args = [$flags]
END
    : >"$build.log"
    report "$title" "$build.log" build_and_test "$build" "$4" --native-file "$build.ini" "-Db_sanitize=$3"
}

memcheck() {
    meson setup --reconfigure build/meson &&
        meson test -C build/meson --print-errorlogs --logbase memcheck --timeout-multiplier 10 \
            --wrapper 'valgrind --quiet --leak-check=full --error-exitcode=1' \
            api convolutions kernels
}

try gcc gcc address,undefined 'api convolutions kernels pool threads'
try clang clang-19 address,undefined '' \
    -fsanitize=implicit-conversion,unsigned-integer-overflow,local-bounds \
    "-fsanitize-ignorelist=$PWD/tests/sanitize_ignore.txt"
try threads clang-19 thread 'pool threads'
missing memcheck valgrind || report memcheck build/sanitize/memcheck.log memcheck
exit $failed
