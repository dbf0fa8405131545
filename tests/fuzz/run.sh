#!/bin/bash
# Fuzzes the readers of models and checkpoints for some time each. The corpus, with which it begins,
# becomes the fewest files that cover all of it and what was found. Usage: run.sh SECONDS
set -euo pipefail
cd "$(dirname "$0")/../.."
compiler=(clang-19 -std=c99 -g -O2 -Iinclude -fno-sanitize-recover=all)
mapfile -t sources < <(sed -e '/^#/d' -e '/^$/d' -e 's|^|libbinnet/|' libbinnet/sources.txt)
out=build/fuzz
mkdir -p $out/{seeds,found}/{model,checkpoint}

"${compiler[@]}" tests/fuzz/seeds.c "${sources[@]}" -o $out/make_seeds
$out/make_seeds $out/seeds
for target in model checkpoint; do
    "${compiler[@]}" -fsanitize=fuzzer,address,undefined tests/fuzz/{fuzz_$target,mutator}.c \
        "${sources[@]}" -o $out/fuzz_$target
    corpus=tests/fuzz/corpus/$target
    $out/fuzz_$target -max_len=1536 -max_total_time="$1" -print_final_stats=1 \
        -artifact_prefix=$out/$target- $out/found/$target $corpus $out/seeds/$target
    rm -rf $out/corpus && mkdir $out/corpus
    $out/fuzz_$target -max_len=1536 -set_cover_merge=1 $out/corpus \
        $corpus $out/found/$target $out/seeds/$target
    rm -rf $corpus && mv $out/corpus $corpus
done
