/* Squared hinge and squared error, of labels and of targets (docs/algorithm.md, section 4).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

/* v · v by shift and add, v < 256. */
static uint32_t square(uint32_t v) {
    uint32_t sum = 0;
    BINNET_COUNT(ADDITIONS, 8); /* whatever its bits are */
    BINNET_COUNT(SHIFTS, 8);
    for (uint32_t bit = 0; v >> bit; ++bit)
        if (v >> bit & 1u) sum += v << bit;
    return sum;
}

/* The error of a row's output unit k from its target t; the loss. */
BINNET_INLINE uint32_t unit_loss(const binnet_layer_state *layer, size_t row, uint32_t k,
                                 int32_t t) {
    BINNET_COUNT(ADDITIONS, 3);
    BINNET_COUNT(SHIFTS, 1);
    int32_t error = layer->normed[row + k] + binnet_bias(layer->bias[k]) - t;
    if (error > 0 ? t == 32 : t == -32) error = 0;
    layer->error[row + k] = (int16_t)(int32_t)((uint32_t)error << 6);
    return square((uint32_t)binnet_abs(error)); /* at most 32 + 127 + 96 = 255 */
}

uint64_t binnet_loss_of_labels(binnet_net *net, const void *wanted, uint32_t n_rows) {
    const uint16_t *labels = wanted;
    const binnet_layer_state *layer = binnet_output_layer(net);
    uint64_t loss = 0;
    for (uint32_t b = 0; b < n_rows; ++b) {
        const size_t row = (size_t)b * layer->units;
        for (uint32_t k = 0; k < layer->units; ++k)
            loss += unit_loss(layer, row, k, labels[b] == k ? 32 : -32);
    }
    return loss;
}

uint64_t binnet_loss_of_targets(binnet_net *net, const void *wanted, uint32_t n_rows) {
    const int8_t *targets = wanted;
    const binnet_layer_state *layer = binnet_output_layer(net);
    uint64_t loss = 0;
    for (uint32_t b = 0; b < n_rows; ++b) {
        const size_t row = (size_t)b * layer->units;
        for (uint32_t k = 0; k < layer->units; ++k)
            loss += unit_loss(layer, row, k, targets[row + k]);
    }
    return loss;
}
