#!/bin/bash
# Fuzzes the opener of models, the reader of checkpoints and the planner of nets, this one with 32-bit
# sizes too, as many at a time as there are cores. What is new stays in build/fuzz/found and becomes
# part of the corpus only by keep.sh. A finding ends the target, is kept in build/fuzz/TARGET-crash-HASH
# or the like, and fails. Usage: run.sh WHEN-TO-STOP, an option of libFuzzer:
#   tests/fuzz/run.sh -max_total_time=120     two minutes each, as CI does
#   tests/fuzz/run.sh -runs=10000000          the long run
set -euo pipefail
cd "$(dirname "$0")/../.."
export out=build/fuzz stop=$1
root=$PWD
compiler=(clang-19 -std=c99 -g -O2 "-I$root/include" -DBINNET_DEBUG -fno-sanitize-recover=all)
# Comparisons in inner loops, were they traced, would take two thirds of the time.
sanitize=(-fsanitize=fuzzer,address,undefined -fno-sanitize-coverage=trace-cmp)
mapfile -t sources < <(sed -e '/^#/d' -e '/^$/d' -e 's|^|libbinnet/|' libbinnet/sources.txt)
targets=(model checkpoint config)

if ! command -v clang-19 >/dev/null; then
    echo "NOT FUZZED: there is no clang-19 (Debian: clang-19 libclang-rt-19-dev)"
    exit "${STRICT:-0}"
fi
mkdir -p $out/{seeds,found}/{model,checkpoint,config} $out/found/config-32 $out/lib
"${compiler[@]}" tests/fuzz/seeds.c "${sources[@]}" -o $out/make_seeds
$out/make_seeds $out/seeds
for target in model checkpoint; do
    find tests/vectors/files -name "$target-*" -size -1281c -exec cp -t $out/seeds/$target {} +
done
(cd $out/lib && "${compiler[@]}" "${sanitize[@]/fuzzer/fuzzer-no-link}" -c "${sources[@]/#/$root/}")
for target in "${targets[@]}"; do
    "${compiler[@]}" "${sanitize[@]}" tests/fuzz/fuzz_$target.c $out/lib/*.o \
        $([ $target = config ] || echo tests/fuzz/mutator.c) -o $out/fuzz_$target
done
if "${compiler[@]}" -m32 "${sanitize[@]}" tests/fuzz/fuzz_config.c "${sources[@]}" \
    -o $out/fuzz_config-32 2>$out/config-32.log; then
    targets+=(config-32)
else
    cat $out/config-32.log
    echo "NOT FUZZED with 32-bit sizes: see above (Debian: libc6-dev-i386 lib32stdc++-12-dev)"
    [ "${STRICT:-0}" = 0 ]
fi

fuzz() {
    local files=${1%-32}
    if ! $out/fuzz_$1 "$stop" -max_len=1280 -timeout=60 -artifact_prefix=$out/$1- \
        $out/found/$1 tests/fuzz/corpus/$files $out/seeds/$files >$out/$1.log 2>&1; then
        cat $out/$1.log
        echo "$1: a finding: put the file named above into tests/fuzz/corpus/$files, under a name"
        return 1
    fi
    echo "$1: $(grep DONE $out/$1.log)"
}
export -f fuzz
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I '{}' bash -c 'fuzz {}'
