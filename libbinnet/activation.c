/* What becomes of activations after norm.c: dropout, and signs as bits (docs/algorithm.md, section 3).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

void binnet_plan_activations(const binnet_net *net, binnet_layer_state *layer,
                             binnet_planner *planner) {
    layer->activation = binnet_plan(planner, (uint64_t)net->batch_size * layer->units);
    if (net->method.activation != BINNET_SIGN) return;
    layer->signs_stride = binnet_bits_row_words(layer->units) * 8;
    layer->signs = binnet_plan(planner, (uint64_t)net->batch_size * layer->signs_stride);
    if (net->method.dropout)
        layer->kept = binnet_plan(planner, (uint64_t)net->batch_size * layer->signs_stride);
}

/* Leaves units of a row out. Their activation 0 lets no error pass either. */
static void leave_out(uint8_t *activation, const uint8_t *random, uint32_t n, uint32_t dropout) {
    for (uint32_t i = 0; i < n; ++i)
        activation[i] = (uint8_t)(activation[i] & (random[i] < dropout ? 0 : 255));
}

/* A block of columns: so many bytes of bits are set at once. */
enum { COLUMNS = 64 };

static void pack_row(const binnet_net *net, const binnet_layer_state *layer, uint32_t row,
                     const uint8_t *random, uint32_t first, uint32_t n) {
    const uint8_t *activation = layer->activation + row * (size_t)layer->units + first;
    const size_t at = row * layer->signs_stride + (first >> 3);
    uint8_t *low = layer->signs + at;
    uint8_t limit[COLUMNS];
    memset(limit, 63, sizeof limit); /* y < 0 */
    net->kernels->draw_bits(low, activation, limit, n, 255);
    if (!layer->kept) return;
    uint8_t *high = layer->kept + at;
    memset(limit, (int)net->method.dropout, sizeof limit);
    if (random)
        net->kernels->draw_bits(high, limit, random, n, 255);
    else
        memset(high, 0, (n + 7) >> 3);
    for (uint32_t i = 0; i < (n + 7) >> 3; ++i) high[i] = (uint8_t)(high[i] | low[i]);
}

void binnet_finish_activations(const binnet_net *net, binnet_layer_state *layer,
                               const uint8_t *random, uint32_t first_row, uint32_t n_rows,
                               uint32_t first, uint32_t n) {
    for (uint32_t row = first_row; row < first_row + n_rows; ++row) {
        if (random)
            leave_out(layer->activation + row * (size_t)layer->units + first, random, n,
                      net->method.dropout);
        if (layer->signs) pack_row(net, layer, row, random, first, n);
        if (random) random += COLUMNS;
    }
}
