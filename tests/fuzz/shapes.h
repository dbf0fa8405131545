/* What layers make of what they are given, again, by docs/algorithm.md, section 12: how long a file
 * must be, and how long it takes to run what is in it.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef BINNET_SHAPES_H
#define BINNET_SHAPES_H

#include "fuzz.h"

/* What stands between two layers: an image, or numbers, which are one of 1 by 1. */
typedef struct fuzz_shape {
    uint64_t height, width, units;
    uint64_t fan_in; /* of the layer before */
    uint64_t work;   /* products of a row, of all layers before */
} fuzz_shape;

static inline fuzz_shape fuzz_start(uint32_t n_features, uint32_t height, uint32_t width) {
    const uint64_t h = height ? height : 1, w = width ? width : 1;
    const fuzz_shape start = {h, w, n_features / (h * w)};
    return start;
}

/* Takes a shape through a layer. Whether there is such a layer, as far as that is asked here. */
static inline int fuzz_next(fuzz_shape *s, const binnet_layer *layer) {
    const uint64_t kernel = layer->kernel_size, stride = layer->stride ? layer->stride : 1;
    const uint64_t pool = layer->pool ? layer->pool : 1;
    if (layer->units > BINNET_MAX_UNITS) return 0;
    s->fan_in = s->height * s->width * s->units;
    uint64_t sums = 1;
    if (layer->kind != BINNET_CONV2D) {
        s->height = s->width = 1;
    } else {
        if (!kernel || kernel > s->height || kernel > s->width) return 0;
        s->fan_in = kernel * kernel * s->units;
        const uint64_t less = layer->padding == BINNET_VALID ? kernel - 1 : 0;
        s->height = (s->height - less + stride - 1) / stride / pool;
        s->width = (s->width - less + stride - 1) / stride / pool;
        sums = s->height * s->width * pool * pool;
    }
    s->units = layer->units;
    s->work += sums * s->fan_in * s->units;
    return 1;
}

/* ---- In files (FORMAT.md) ------------------------------------------------------------------- */

/* A layer's kind and units. */
static inline binnet_layer fuzz_get_layer(const uint8_t *record) {
    binnet_layer layer = {.kind = record[0], .units = fuzz_get32(record + 4)};
    if (layer.kind != BINNET_CONV2D) return layer;
    layer.kernel_size = record[1];
    layer.stride = record[2] & 127u;
    layer.padding = record[2] >> 7;
    layer.pool = record[3];
    return layer;
}

/* What stands before the first layer, of a file's count of features and its word of shape. */
static inline fuzz_shape fuzz_get_start(const uint8_t *n_features, const uint8_t *shape) {
    const uint32_t word = fuzz_get32(shape);
    return fuzz_start(fuzz_get32(n_features), word >> 8 & 0xfff, word >> 20);
}

#endif
