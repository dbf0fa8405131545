/* L1 batch normalisation and activation, forward and backward (docs/algorithm.md, sections 3 and
 * 5): what is done once for each unit. The loops over values are in norm_inline.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static uint32_t target_of(const binnet_layer_state *layer, uint32_t unit) {
    return layer->target ? layer->target[unit] : 32u;
}

/* Runs a loop over a batch, BINNET_ROW_BLOCK rows at a time, and totals what it sums. */
static void total_norm(void (*loop)(const binnet_norm_job *, uint32_t), binnet_norm_job job,
                       uint32_t n, int64_t *total) {
    const uint32_t n_rows = job.n_rows;
    memset(total, 0, n * sizeof *total);
    for (uint32_t b = 0; b < n_rows; b += job.n_rows) {
        job.n_rows = binnet_block(b, n_rows, BINNET_ROW_BLOCK);
        loop(&job, n);
        BINNET_COUNT(ADDITIONS, n);
        for (uint32_t u = 0; u < n; ++u) total[u] += job.sum[u];
        job.z += job.n_rows * job.z_stride;
    }
}

static void total_error(void (*loop)(const binnet_error_job *, uint32_t), binnet_error_job job,
                        uint32_t n, int64_t *total) {
    const uint32_t n_rows = job.n_rows;
    memset(total, 0, n * sizeof *total);
    for (uint32_t b = 0; b < n_rows; b += job.n_rows) {
        job.n_rows = binnet_block(b, n_rows, BINNET_ROW_BLOCK);
        loop(&job, n);
        BINNET_COUNT(ADDITIONS, n);
        for (uint32_t u = 0; u < n; ++u) total[u] += job.sum[u];
        job.error += job.n_rows * job.stride;
        job.normed += job.n_rows * job.stride;
    }
}

/* Biases in activation units, of what activations are made of. */
static void get_biases(const binnet_layer_state *layer, uint32_t first, uint32_t n, int32_t *bias) {
    for (uint32_t u = 0; u < n; ++u)
        bias[u] = binnet_bias(layer->bias[first + u]) + (layer->low_signs ? 64 : 0);
}

void binnet_norm_forward(const binnet_net *net, binnet_layer_state *layer, const int32_t *z,
                         uint32_t n_rows, uint32_t first, uint32_t n, int calibrate) {
    int64_t total[BINNET_UNIT_BLOCK];
    int32_t sum[BINNET_UNIT_BLOCK], mean[BINNET_UNIT_BLOCK], bias[BINNET_UNIT_BLOCK];
    const binnet_norm_job job = {.z = z,
                                 .z_stride = net->kernels->panel_columns,
                                 .n_rows = n_rows,
                                 .sum = sum,
                                 .mean = mean,
                                 .bias = bias,
                                 .scale = layer->scale + first,
                                 .normed = calibrate ? NULL : layer->normed + first,
                                 .activation = layer->activation ? layer->activation + first : NULL,
                                 .stride = layer->units};
    get_biases(layer, first, n, bias);
    total_norm(net->training->sums, job, n, total);
    for (uint32_t u = 0; u < n; ++u) {
        BINNET_COUNT(ADDITIONS, 1);
        mean[u] = (int32_t)binnet_divide(total[u], n_rows);
    }
    total_norm(net->training->deviations, job, n, total);
    for (uint32_t u = 0; u < n; ++u) {
        BINNET_COUNT(SHIFTS, 2);
        BINNET_COUNT(ADDITIONS, 1);
        const int64_t two = total[u] + total[u], four = two + two, eight = four + four;
        int64_t sixteen = eight + eight;
        BINNET_KEEP(sixteen);
        const int64_t twenty = sixteen + four; /* 16 · 5/4 */
        const uint32_t s = (uint32_t)binnet_divide(twenty, n_rows);
        const uint32_t s16 = s < 16 ? 16 : s;
        layer->scale[first + u] = binnet_two_power(target_of(layer, first + u), s16);
        if (calibrate) {
            layer->mean_sum[first + u] += mean[u];
            layer->spread_sum[first + u] += s16;
        }
    }
    net->kernels->normalise(&job, n);
}

/* Biases' gradients, of so many rows at a time that int32 holds them; the errors by their sigmas. */
static void total_gradients(const binnet_net *net, binnet_layer_state *layer, binnet_error_job job,
                            uint32_t first, uint32_t n, int64_t *total) {
    int32_t *const gradient = layer->bias_gradient + first;
#if BINNET_CONVOLUTIONS
    const uint32_t n_rows = job.n_rows;
    if (n_rows > BINNET_MAX_BATCH) {
        const int32_t halvings = binnet_bias_halvings(n_rows);
        int64_t sums[BINNET_UNIT_BLOCK] = {0}, some[BINNET_UNIT_BLOCK];
        memset(total, 0, n * sizeof *total);
        for (uint32_t b = 0; b < n_rows; b += job.n_rows) {
            job.n_rows = binnet_block(b, n_rows, BINNET_MAX_BATCH);
            memset(gradient, 0, n * sizeof *gradient);
            total_error(net->training->gradients, job, n, some);
            BINNET_COUNT(ADDITIONS, 2 * n);
            for (uint32_t u = 0; u < n; ++u) {
                total[u] += some[u];
                sums[u] += gradient[u];
            }
            job.error += job.n_rows * job.stride;
            job.normed += job.n_rows * job.stride;
        }
        for (uint32_t u = 0; u < n; ++u)
            gradient[u] = (int32_t)binnet_divide(sums[u], 1u << halvings);
        return;
    }
#endif
    memset(gradient, 0, n * sizeof *gradient);
    total_error(net->training->gradients, job, n, total);
}

int32_t binnet_norm_backward(const binnet_net *net, binnet_layer_state *layer, uint32_t n_rows,
                             uint32_t first, uint32_t n) {
    int32_t sum[BINNET_UNIT_BLOCK], slope[BINNET_UNIT_BLOCK], mean[BINNET_UNIT_BLOCK];
    int32_t bias[BINNET_UNIT_BLOCK], largest[BINNET_UNIT_BLOCK] = {0};
    int64_t total[BINNET_UNIT_BLOCK];
    const int sign = layer->low_signs != NULL;
    const binnet_error_job job = {.error = layer->error + first,
                                  .normed = layer->normed + first,
                                  .bias = layer->activation ? bias : NULL,
                                  .first_open = sign ? 32 : 1,
                                  .n_open = sign ? 65 : 126,
                                  .stride = layer->units,
                                  .n_rows = n_rows,
                                  .bias_gradient = layer->bias_gradient + first,
                                  .sum = sum,
                                  .slope = slope,
                                  .mean = mean,
                                  .largest = largest};
    get_biases(layer, first, n, bias);
    total_gradients(net, layer, job, first, n, total);
    for (uint32_t u = 0; u < n; ++u) {
        BINNET_COUNT(ADDITIONS, 3);
        const int64_t two = total[u] + total[u];
        int64_t four = two + two;
        BINNET_KEEP(four);
        const int64_t fourth = binnet_divide(four + total[u], n_rows << 2);
        slope[u] = (int32_t)binnet_divide(fourth, target_of(layer, first + u));
    }
    total_error(net->training->centre, job, n, total);
    for (uint32_t u = 0; u < n; ++u) mean[u] = (int32_t)binnet_divide(total[u], n_rows);
    net->training->denormalise(&job, n);
    int32_t peak = BINNET_NO_PEAK;
    for (uint32_t u = 0; u < n; ++u) {
        const binnet_scale scale = layer->scale[first + u];
        const uint32_t x = (uint32_t)binnet_scaled(largest[u], scale.term);
        const int32_t exponent = binnet_bitlen(x) - scale.shift;
        if (x && exponent > peak) peak = exponent;
    }
    return peak;
}
