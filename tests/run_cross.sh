#!/bin/bash
# The C tests on other processors than this one, under qemu-user: AArch64 without and with the dot
# product instructions, and s390x, which is big-endian. Debian's packages: gcc-aarch64-linux-gnu
# libc6-dev-arm64-cross gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user. A missing tool is a SKIP
# and, with STRICT=1, an error.
set -uo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mapfile -t sources < <(sed '/^#/d; s|^|libbinnet/|' libbinnet/sources.txt)
flags=(-std=c99 -O3 -Wall -Wextra -Wconversion -Wvla -pedantic -Iinclude -static)
if [[ ${STRICT:-0} == 1 ]]; then flags+=(-Werror); fi
failed=0

# $1 title, $2 compiler, $3 flags of the target, $4 emulator, $5 what test_kernels must print
try() {
    local title=$1 compiler=$2 emulator=$4 log=$folder/log expected=$5 tool test
    for tool in "$compiler" "${emulator%% *}"; do
        if ! command -v "$tool" >/dev/null; then
            echo "$title: SKIP, this needs $tool"
            if [[ ${STRICT:-0} == 1 ]]; then failed=1; fi
            return
        fi
    done
    for test in kernels api; do
        # shellcheck disable=SC2086 # flags and emulator are lists of words
        if ! { "$compiler" "${flags[@]}" $3 "tests/c/test_$test.c" "${sources[@]}" \
            -o "$folder/test" && $emulator "$folder/test"; } >"$log" 2>&1 ||
            { [[ $test == kernels ]] && ! grep -qx "$expected" "$log"; }; then
            echo "$title: test_$test FAILED"
            cat "$log"
            failed=1
            return
        fi
    done
    echo "$title: ok"
}

neon="neon: equals portable"
try "aarch64" aarch64-linux-gnu-gcc "" "qemu-aarch64 -cpu cortex-a53" "$neon"
try "aarch64 with dot products" aarch64-linux-gnu-gcc -march=armv8.2-a+dotprod \
    "qemu-aarch64 -cpu max" "$neon"
try "s390x" s390x-linux-gnu-gcc "" qemu-s390x "SKIPPED: neon .*"
exit $failed
