/* Any bytes as a model: refused without a trace, or opened and run within the buffers it asks for,
 * with the same scores at any address, from any kernels and for any rows at a time.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"

#include "shapes.h"

/* A model of more products a row is only opened. */
enum { ROWS = 3, FIXED = 32, LAYER = 8, MOST_WORK = 1 << 14 };

/* The bytes that a model of such a header has without appendix, or 0; the products of a row. */
static size_t measure(const uint8_t *header, uint64_t *work) {
    const int ternary = header[FUZZ_METHOD] & 1, sign = header[FUZZ_METHOD] >> 2 & 1;
    const uint32_t n_layers = header[28], n_features = fuzz_get32(header + 24);
    size_t end = FIXED + n_layers * (size_t)LAYER;
    fuzz_shape shape = fuzz_get_start(header + 24, header + 28);
    if (n_layers < 1 || n_layers > FUZZ_LAYERS || n_features > BINNET_MAX_FEATURES) return 0;
    for (uint32_t i = 0; i < n_layers; ++i) {
        const binnet_layer layer = fuzz_get_layer(header + FIXED + i * LAYER);
        const int from_signs = sign && i > 0, to_signs = sign && i + 1 < n_layers;
        if (!fuzz_next(&shape, &layer) || shape.fan_in > BINNET_MAX_FEATURES) return 0;
        const size_t bits = from_signs ? 64 : 8;
        const size_t row = ((size_t)shape.fan_in + bits - 1) / bits * (bits / 8);
        end += layer.units * (size_t)(to_signs ? 4 : 8);
        if (from_signs) end = (end + 7) & ~(size_t)7;
        end = (end + layer.units * row * (ternary ? 2 : 1) + 3) & ~(size_t)3;
    }
    *work = shape.work;
    return end + 4;
}

size_t fuzz_file_size(const uint8_t *header) {
    uint64_t work;
    return measure(header, &work);
}

static uint8_t pixel(size_t i) { return (uint8_t)(i * 2654435761u >> 13); }

/* Whether an opened model is as long as its header says. */
static int sound_size(const binnet_model *model, size_t wanted) {
    return model->bare_bytes <= model->n_bytes && model->n_bytes % 4 == 0 &&
           (model->n_layers > FUZZ_LAYERS || model->bare_bytes == wanted);
}

/* Scores of ROWS rows, `at_once` at a time, in memory of its exact size. */
static int32_t *predict(const binnet_model *model, uint32_t at_once) {
    const size_t n_bytes = binnet_model_scratch_size(model, at_once);
    const size_t n_x = (size_t)ROWS * model->n_features, n_scores = (size_t)ROWS * model->n_classes;
    uint16_t classes[ROWS];
    uint8_t *x = malloc(n_x), *scratch = malloc(n_bytes);
    int32_t *scores = malloc(n_scores * sizeof *scores);
    REQUIRE(x && scratch && scores);
    for (size_t i = 0; i < n_x; ++i) x[i] = pixel(i);
    memset(scratch, 0xa5, n_bytes);
    REQUIRE(binnet_model_predict(model, x, ROWS, scores, classes, scratch, n_bytes) == BINNET_OK);
    for (uint32_t b = 0; b < ROWS; ++b) REQUIRE(classes[b] < model->n_classes);
    free(x), free(scratch);
    return scores;
}

/* The scores, or NULL if the bytes are refused or would take long. */
static int32_t *scores_of(const uint8_t *data, size_t size, size_t offset,
                          const binnet_kernels *kernels, uint32_t at_once, size_t *n_bytes) {
    uint8_t header[FUZZ_HEADER] = {0};
    uint8_t *bytes = fuzz_copy(data, size, offset);
    int32_t *scores = NULL;
    uint64_t work = UINT64_MAX;
    binnet_model model, untouched;
    memset(&model, 0x5a, sizeof model);
    memset(&untouched, 0x5a, sizeof untouched);
    if (binnet_model_open(&model, bytes, size, kernels) != BINNET_OK) {
        REQUIRE(memcmp(&model, &untouched, sizeof model) == 0);
    } else {
        memcpy(header, data, size < sizeof header ? size : sizeof header);
        REQUIRE(model.n_bytes == size && sound_size(&model, measure(header, &work)));
        *n_bytes = (size_t)ROWS * model.n_classes * sizeof *scores;
        if (work <= MOST_WORK) scores = predict(&model, at_once);
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
        REQUIRE(again && n_again == n && memcmp(again, scores, n) == 0);
        free(again);
    }
    free(scores);
    return 0;
}
