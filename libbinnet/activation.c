/* Dropout of features and activations, and signs as bits (docs/algorithm.md, section 3).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

void binnet_plan_signs(const binnet_net *net, binnet_layer_state *layer, binnet_planner *planner) {
    if (net->method.activation != BINNET_SIGN) return;
    layer->signs_stride = binnet_row_bytes(layer->units);
    layer->low_signs = binnet_plan(planner, net->batch_size, layer->signs_stride);
    if (net->method.dropout)
        layer->high_signs = binnet_plan(planner, net->batch_size, layer->signs_stride);
}

/* Leaves units of a row out. */
static void leave_out(uint8_t *activation, const uint8_t *random, uint32_t n, uint32_t dropout) {
    for (uint32_t i = 0; i < n; ++i)
        activation[i] = (uint8_t)(activation[i] & (random[i] < dropout ? 0 : 255));
}

/* A block of columns: so many bytes of bits are set at once. */
enum { COLUMNS = 64 };

/* Columns of the features, and what is drawn for them. */
typedef struct feature_job {
    const binnet_net *net;
    const uint8_t *x;
    uint32_t n_rows;
    binnet_rng rng;
} feature_job;

static void drop_columns(void *context, uint32_t task, uint32_t worker) {
    const feature_job *j = context;
    const uint32_t first = task * COLUMNS, rest = j->net->n_features - first;
    const uint32_t n = rest < COLUMNS ? rest : COLUMNS;
    uint8_t random[COLUMNS];
    (void)worker;
    for (uint32_t row = 0; row < j->n_rows; ++row) {
        const size_t at = row * (size_t)j->net->n_features + first;
        j->net->training->random(random, &j->rng, row, 1, first >> 3, COLUMNS >> 3);
        memcpy(j->net->kept_features + at, j->x + at, n);
        leave_out(j->net->kept_features + at, random, n, j->net->method.input_dropout);
    }
}

const uint8_t *binnet_drop_features(binnet_net *net, const uint8_t *x, uint32_t n_rows) {
    feature_job job = {net, x, n_rows,
                       binnet_rng_stream(net->seed, BINNET_RANDOM_INPUT_DROPOUT, 0, net->step)};
    if (!net->kept_features) return x;
    binnet_run(&net->parallel, (net->n_features + COLUMNS - 1) / COLUMNS, drop_columns, &job);
    return net->kept_features;
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
                               const uint8_t *random, uint32_t first_row, uint32_t n_rows,
                               uint32_t first, uint32_t n) {
    for (uint32_t row = first_row; row < first_row + n_rows; ++row) {
        if (random)
            leave_out(layer->activation + row * (size_t)layer->units + first, random, n,
                      net->method.dropout);
        if (layer->low_signs) pack_row(net, layer, row, random, first, n);
        if (random) random += COLUMNS;
    }
}

void binnet_drop_errors(const binnet_net *net, binnet_layer_state *layer, const uint8_t *random,
                        uint32_t first_row, uint32_t n_rows, uint32_t first, uint32_t n) {
    for (uint32_t row = first_row; row < first_row + n_rows; ++row, random += COLUMNS) {
        int16_t *error = layer->error + row * (size_t)layer->units + first;
        for (uint32_t i = 0; i < n; ++i)
            error[i] = (int16_t)(error[i] & -(random[i] >= net->method.dropout));
    }
}
