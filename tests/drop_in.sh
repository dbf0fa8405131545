#!/bin/bash
# The library without its build system: include/ and libbinnet/ copied into a project compile with a
# plain cc, on every target, without a warning; and projects that use it so, as WebAssembly, or as
# installed from build/meson all train to the golden checkpoint. A missing tool is a SKIP and, with
# STRICT=1, an error.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
log=$folder/log
golden=$(sed -n '/"binary": {/,/}/s/.*"checkpoint_crc32": "\(.*\)".*/\1/p' \
    tests/vectors/golden.json)
version=$(<VERSION)
failed=0

# $1 title, then the tools it needs, --, a command in the project's folder
check() {
    local title=$1 missing=()
    shift
    while [[ $1 != -- ]]; do
        command -v "$1" >/dev/null || missing+=("$1")
        shift
    done
    shift
    if ((${#missing[@]})); then
        echo "$title: SKIP, this needs ${missing[*]}"
        if [[ ${STRICT:-0} == 1 ]]; then failed=1; fi
    elif (cd "$folder/project" && "$@") >"$log" 2>&1; then
        echo "$title: ok"
    else
        echo "$title: FAILED"
        cat "$log"
        failed=1
    fi
}

# $1 what a program must print, then the program
prints() {
    local expected=$1 printed
    shift
    printed=$("$@") && [[ $printed == "$expected" ]] && return
    echo "printed $printed, not $expected"
    return 1
}

# Everything at once, as the README says; the target alone needs flags.
compile() {
    "$@" -std=c99 -Werror -Wall -Wextra -Wconversion -pedantic -Iinclude -c libbinnet/*.c
}

copied() {
    make -B && prints "$version $golden" ./program
}

installed() {
    local libraries=$folder/installed/usr/local/lib
    libraries=$(dirname "$(find "$libraries" -name libbinnet.a)")
    export PKG_CONFIG_SYSROOT_DIR=$folder/installed PKG_CONFIG_LIBDIR=$libraries/pkgconfig
    make -B -C "$root/tests/consumers/pkg_config" OUT="$folder" "$@" || return 1
    local shared=0
    if readelf -d "$folder/program" | grep -q 'NEEDED.*libbinnet'; then shared=1; fi
    [[ $shared == $((1 - $#)) ]] && # of the two libraries the one that was asked for
        LD_LIBRARY_PATH=$libraries prints "$version $golden" "$folder/program"
}

web() {
    clang-19 "${wasm[@]}" -std=c99 -O2 -fno-builtin -nostdlib -Iinclude \
        -Wl,--no-entry,--export=trained_crc32 \
        libbinnet/*.c train.c "$root/tests/consumers/wasm/memory.c" -o program.wasm &&
        prints "$golden" node "$root/tests/consumers/wasm/run.js" program.wasm
}

mkdir "$folder/project"
cp -r include libbinnet tests/consumers/*.[ch] tests/consumers/copied/Makefile "$folder/project"

arm=arm-none-eabi-gcc riscv=riscv64-unknown-elf-gcc
wasm=(--target=wasm32 -isystem "$root/tests/consumers/wasm")
check "this machine, gcc" gcc -- compile gcc
check "this machine, clang" clang-19 -- compile clang-19
check "AArch64" aarch64-linux-gnu-gcc -- compile aarch64-linux-gnu-gcc
check "s390x" s390x-linux-gnu-gcc -- compile s390x-linux-gnu-gcc
check "ARMv6-M" $arm -- compile $arm -mcpu=cortex-m0
check "ARMv7-M" $arm -- compile $arm -mcpu=cortex-m3
check "ARMv8.1-M" $arm -- compile $arm -mcpu=cortex-m55
check "RV32" $riscv -- compile $riscv --specs=picolibc.specs -march=rv32imc -mabi=ilp32
check "RV64" $riscv -- compile $riscv --specs=picolibc.specs -march=rv64gc -mabi=lp64d
check "WebAssembly" clang-19 -- compile clang-19 "${wasm[@]}"
check "WebAssembly program" clang-19 wasm-ld-19 node -- web
check "program with the folder copied" cc make -- copied
if DESTDIR=$folder/installed meson install -C build/meson --no-rebuild --quiet >"$log" 2>&1; then
    check "program with pkg-config" cc make pkg-config -- installed
    check "program with pkg-config, static" cc make pkg-config -- installed LINK=-static
else
    echo "meson install: FAILED"
    cat "$log"
    failed=1
fi
exit $failed
