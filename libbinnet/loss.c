/* Squared hinge, one class against the rest (docs/algorithm.md, section 4).
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

uint64_t binnet_loss(binnet_net *net, const uint16_t *labels, uint32_t n_rows) {
    const binnet_layer_state *layer = binnet_output_layer(net);
    uint64_t loss = 0;
    for (uint32_t b = 0; b < n_rows; ++b) {
        const size_t row = (size_t)b * layer->units;
        for (uint32_t k = 0; k < layer->units; ++k) {
            BINNET_COUNT(ADDITIONS, 3);
            BINNET_COUNT(SHIFTS, 1);
            const int32_t y = layer->normed[row + k] + binnet_bias(layer->bias[k]);
            const int32_t hinge = labels[b] == k ? 32 - y : 32 + y;
            const int32_t h = hinge > 0 ? hinge : 0; /* at most 32 + 127 + 96 = 255 */
            loss += square((uint32_t)h);
            layer->error[row + k] = (int16_t)(labels[b] == k ? -(h << 6) : h << 6);
        }
    }
    return loss;
}
