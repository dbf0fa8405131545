#!/bin/bash
# The C tests on other processors and systems than this one, built with the files in cross/ and run
# by QEMU, on Windows by wine. A missing tool is a SKIP and, with STRICT=1, an error.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
if [[ ${STRICT:-0} == 1 ]]; then werror=true; else werror=false; fi

# $1 title, $2 compiler, $3 emulator, then files in cross/
try() {
    local title=$1 compiler=$2 emulator=$3 tool file files=()
    local build=build/cross/$title log=build/cross/$title.log
    for tool in "$compiler" "$emulator"; do
        if ! command -v "$tool" >/dev/null; then
            echo "$title: SKIP, this needs $tool"
            if [[ ${STRICT:-0} == 1 ]]; then failed=1; fi
            return
        fi
    done
    for file in "${@:4}"; do files+=(--cross-file "cross/$file.ini"); done
    if meson setup --reconfigure "-Dwerror=$werror" "${files[@]}" "$build" >"$log" 2>&1 && meson compile -C "$build" >>"$log" 2>&1 &&
        meson test -C "$build" --print-errorlogs >>"$log" 2>&1; then
        echo "$title: ok"
    else
        echo "$title: FAILED"
        cat "$log"
        failed=1
    fi
}

# This computer's own C tests, unchanged, on x86-64 processors of fewer instructions, so that the library
# itself picks another table. $1 QEMU's name of the processor, $2 the table
lesser() {
    local log=build/cross/$1.log
    if [[ $(uname -m) != x86_64 ]]; then
        echo "$1: not run, this is no x86-64"
    elif ! command -v qemu-x86_64 >/dev/null; then
        echo "$1: SKIP, this needs qemu-x86_64"
        if [[ ${STRICT:-0} == 1 ]]; then failed=1; fi
    elif meson setup --reconfigure "-Dwerror=$werror" build/meson >"$log" 2>&1 &&
        meson test -C build/meson --print-errorlogs --verbose --logbase "$1" --wrapper "qemu-x86_64 -cpu $1" \
            api convolutions kernels >>"$log" 2>&1 && grep -q "all passed, with the $2 kernels" "$log"; then
        echo "$1, $2 kernels: ok"
    else
        echo "$1: FAILED"
        cat "$log"
        failed=1
    fi
}

mkdir -p build/cross
export ZIG_GLOBAL_CACHE_DIR=$PWD/build/zig WINEPREFIX=$PWD/build/wine WINEDEBUG=-all
try aarch64 aarch64-linux-gnu-gcc qemu-aarch64 aarch64
try aarch64-dotprod aarch64-linux-gnu-gcc qemu-aarch64 aarch64 dotprod
try s390x s390x-linux-gnu-gcc qemu-s390x s390x
try cortex-m0 arm-none-eabi-gcc qemu-system-arm cortex-m0
try cortex-m4 arm-none-eabi-gcc qemu-system-arm cortex-m4
try rv32 riscv64-unknown-elf-gcc qemu-system-riscv32 rv32
try windows python-zig wine windows
lesser Haswell avx2
lesser Nehalem portable
exit $failed
