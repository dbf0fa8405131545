/* What the fuzz targets and the programs around them share.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef BINNET_FUZZ_H
#define BINNET_FUZZ_H

#include "binnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What must hold whatever the input is, in a release build too. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A target, under libFuzzer's name for it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* For the mutator, of each target: the bytes that a file of such a header has, by FORMAT.md; 0 if
 * it does not say. The header is FUZZ_HEADER bytes. */
size_t fuzz_file_size(const uint8_t *header);

/* Both formats: what stands before the first layer, the most of these that the mutator follows, and
 * where their fields are. */
enum { FUZZ_LAYERS = 8, FUZZ_HEADER = 48 + 16 * FUZZ_LAYERS, FUZZ_METHOD = 12, FUZZ_N_BYTES = 16 };

static inline uint32_t fuzz_get32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* A copy in memory of its own, `offset` bytes from an aligned address: the sanitizer sees every
 * byte that is read beyond it. Free what it returns less the offset. */
static inline uint8_t *fuzz_copy(const uint8_t *bytes, size_t n_bytes, size_t offset) {
    uint8_t *copy = malloc(n_bytes + offset + !(n_bytes + offset));
    REQUIRE(copy);
    if (n_bytes) memcpy(copy + offset, bytes, n_bytes);
    return copy + offset;
}

#endif
