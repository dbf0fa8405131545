#!/bin/bash
# Makes the corpus the fewest files that reach all that it reached before and what run.sh has found
# since. Files under names that are no hash stay: each was a finding once.
set -euo pipefail
cd "$(dirname "$0")/../.."
for target in model checkpoint config; do
    corpus=tests/fuzz/corpus/$target merged=build/fuzz/merged
    rm -rf $merged
    mkdir $merged
    build/fuzz/fuzz_$target -max_len=1280 -use_counters=0 -set_cover_merge=1 $merged $corpus \
        build/fuzz/found/$target build/fuzz/seeds/$target
    find $corpus -type f -regextype posix-egrep -regex '.*/[0-9a-f]{40}' -delete
    mv $merged/* $corpus
done
