/* Any bytes as a model: refused without a trace, or opened and run within the buffers it asks for,
 * with the same scores at any address, from any kernels and for any rows at a time.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"

enum { ROWS = 3, FIXED = 32, LAYER = 8 };

size_t fuzz_file_size(const uint8_t *header) {
    const int ternary = header[FUZZ_METHOD] & 1, sign = header[FUZZ_METHOD] >> 2 & 1;
    const uint32_t n_layers = fuzz_get32(header + 28);
    size_t inputs = fuzz_get32(header + 24), end = FIXED + n_layers * (size_t)LAYER;
    if (n_layers < 1 || n_layers > FUZZ_LAYERS || inputs > BINNET_MAX_FEATURES) return 0;
    for (uint32_t i = 0; i < n_layers; ++i) {
        const size_t units = fuzz_get32(header + FIXED + i * LAYER + 4);
        const int from_signs = sign && i > 0, to_signs = sign && i + 1 < n_layers;
        const size_t bits = from_signs ? 64 : 8, row = (inputs + bits - 1) / bits * (bits / 8);
        if (units > BINNET_MAX_UNITS) return 0;
        end += units * (to_signs ? 4 : 8);
        if (from_signs) end = (end + 7) & ~(size_t)7;
        end = (end + units * row * (ternary ? 2 : 1) + 3) & ~(size_t)3;
        inputs = units;
    }
    return end + 4;
}

static uint8_t pixel(size_t i) { return (uint8_t)(i * 2654435761u >> 13); }

/* Scores of ROWS rows, `at_once` at a time, or NULL if the bytes are refused. Everything is in
 * memory of its exact size. */
static int32_t *scores_of(const uint8_t *data, size_t size, size_t offset,
                          const binnet_kernels *kernels, uint32_t at_once, size_t *n_scores) {
    uint8_t *bytes = fuzz_copy(data, size, offset);
    int32_t *scores = NULL;
    binnet_model model, untouched;
    memset(&model, 0x5a, sizeof model);
    memset(&untouched, 0x5a, sizeof untouched);
    if (binnet_model_open(&model, bytes, size, kernels) != BINNET_OK) {
        REQUIRE(memcmp(&model, &untouched, sizeof model) == 0);
    } else {
        uint8_t header[FUZZ_HEADER] = {0};
        memcpy(header, data, size < sizeof header ? size : sizeof header);
        const size_t wanted = fuzz_file_size(header);
        REQUIRE(model.n_bytes == size && model.bare_bytes <= size && size % 4 == 0);
        REQUIRE(wanted == 0 || model.bare_bytes == wanted);
        const size_t n_bytes = binnet_model_scratch_size(&model, at_once);
        const size_t n_x = (size_t)ROWS * model.n_features;
        uint16_t classes[ROWS];
        uint8_t *x = malloc(n_x), *scratch = malloc(n_bytes);
        *n_scores = (size_t)ROWS * model.n_classes;
        scores = malloc(*n_scores * sizeof *scores);
        REQUIRE(x && scratch && scores);
        for (size_t i = 0; i < n_x; ++i) x[i] = pixel(i);
        memset(scratch, 0xa5, n_bytes);
        REQUIRE(binnet_model_predict(&model, x, ROWS, scores, classes, scratch, n_bytes) ==
                BINNET_OK);
        for (uint32_t b = 0; b < ROWS; ++b) REQUIRE(classes[b] < model.n_classes);
        free(x), free(scratch);
    }
    REQUIRE(size == 0 || memcmp(bytes, data, size) == 0);
    free(bytes - offset);
    return scores;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"portable", "avx2", "avx512", "neon"};
    size_t n, n_again;
    int32_t *scores = scores_of(data, size, 0, binnet_kernels_find(names[0]), 1, &n);
    if (!scores) return 0;
    for (uint32_t k = 0; k < 4; ++k) {
        const binnet_kernels *kernels = binnet_kernels_find(names[k]);
        if (!kernels) continue;
        int32_t *again = scores_of(data, size, 2 * k + 1, kernels, 1 + k % ROWS, &n_again);
        REQUIRE(again && n_again == n && memcmp(again, scores, n * sizeof *scores) == 0);
        free(again);
    }
    free(scores);
    return 0;
}
