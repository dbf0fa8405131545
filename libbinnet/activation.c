/* Dropout of features and activations, and signs as bits (docs/algorithm.md, section 3).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

void binnet_plan_signs(const binnet_net *net, binnet_layer_state *layer, binnet_planner *planner) {
    if (net->method.activation != BINNET_SIGN) return;
    layer->signs_stride = binnet_row_bytes(layer->units);
    const size_t row_bytes = binnet_image_bytes(binnet_layer_positions(layer), layer->signs_stride);
    layer->low_signs = binnet_plan(planner, net->batch_size, row_bytes);
    if (net->method.dropout) layer->high_signs = binnet_plan(planner, net->batch_size, row_bytes);
}

/* Leaves units of a row out. */
static void leave_out(uint8_t *activation, const uint8_t *random, uint32_t n, uint32_t dropout) {
    for (uint32_t i = 0; i < n; ++i)
        activation[i] = (uint8_t)(activation[i] & (random[i] < dropout ? 0 : 255));
}

/* A block of columns: so many bytes of bits are set at once. */
enum { COLUMNS = 64 };

void binnet_drop_features(const binnet_net *net, const uint8_t *x, const binnet_strip *strip) {
    const uint8_t *random = strip->random;
    size_t at = strip->row * (size_t)net->n_features + strip->column;
    for (uint32_t i = 0; i < strip->n_rows; ++i, at += net->n_features, random += COLUMNS) {
        memcpy(net->kept_features + at, x + at, strip->n_columns);
        leave_out(net->kept_features + at, random, strip->n_columns, net->method.input_dropout);
    }
}

static void pack_row(const binnet_net *net, const binnet_layer_state *layer, uint32_t row,
                     const uint8_t *random, uint32_t first, uint32_t n) {
    const uint8_t *activation = layer->activation + row * (size_t)layer->units + first;
    const size_t at = row * layer->signs_stride + (first >> 3);
    uint8_t *low = layer->low_signs + at;
    uint8_t limit[COLUMNS];
    memset(limit, 63, sizeof limit); /* y < 0 */
    net->kernels->draw_bits(low, activation, limit, n, 255);
    if (!layer->high_signs) return;
    uint8_t *high = layer->high_signs + at;
    memset(limit, (int)net->method.dropout, sizeof limit);
    if (random)
        net->kernels->draw_bits(high, limit, random, n, 255);
    else
        memset(high, 0, (n + 7) >> 3);
    for (uint32_t i = 0; i < (n + 7) >> 3; ++i) high[i] = (uint8_t)(high[i] | low[i]);
}

void binnet_finish_activations(const binnet_net *net, binnet_layer_state *layer,
                               const binnet_strip *strip) {
    const uint8_t *random = strip->random;
    for (uint32_t i = 0; i < strip->n_rows; ++i) {
        const uint32_t row = strip->row + i;
        if (random)
            leave_out(layer->activation + row * (size_t)layer->units + strip->column, random,
                      strip->n_columns, net->method.dropout);
        if (layer->low_signs) pack_row(net, layer, row, random, strip->column, strip->n_columns);
        if (random) random += COLUMNS;
    }
}

void binnet_drop_errors(const binnet_net *net, binnet_layer_state *layer,
                        const binnet_strip *strip) {
    const uint8_t *random = strip->random;
    int16_t *error = layer->error + strip->row * (size_t)layer->units + strip->column;
    for (uint32_t i = 0; i < strip->n_rows; ++i, error += layer->units, random += COLUMNS)
        for (uint32_t u = 0; u < strip->n_columns; ++u)
            error[u] = (int16_t)(error[u] & -(random[u] >= net->method.dropout));
}
