/* L1 batch normalisation and activation, forward and backward (docs/algorithm.md, sections 3 and
 * 5). No multiply on data: two divisions a unit and step, shifts and adds for each value.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static uint32_t target_of(const binnet_layer_state *layer, uint32_t unit) {
    return layer->target ? layer->target[unit] : 32u;
}

/* Statistics of n columns of z; the scale they give. */
static void measure(const binnet_layer_state *layer, const int32_t *z, size_t stride,
                    uint32_t n_rows, uint32_t first, uint32_t n, int32_t *mean, uint32_t *s16) {
    int64_t sum[BINNET_UNIT_BLOCK] = {0};
    int64_t deviation[BINNET_UNIT_BLOCK] = {0};
    for (uint32_t b = 0; b < n_rows; ++b)
        for (uint32_t u = 0; u < n; ++u) sum[u] += z[b * stride + u];
    for (uint32_t u = 0; u < n; ++u) mean[u] = (int32_t)binnet_divide(sum[u], n_rows);
    for (uint32_t b = 0; b < n_rows; ++b)
        for (uint32_t u = 0; u < n; ++u) deviation[u] += binnet_abs(z[b * stride + u] - mean[u]);
    for (uint32_t u = 0; u < n; ++u) {
        const int64_t twenty = (deviation[u] << 4) + (deviation[u] << 2); /* 16 · 5/4 */
        const uint32_t s = (uint32_t)binnet_divide(twenty, n_rows);
        s16[u] = s < 16 ? 16 : s;
        layer->scale[first + u] = binnet_two_power(target_of(layer, first + u), s16[u]);
    }
}

static void normalise(const binnet_layer_state *layer, const int32_t *z, size_t stride,
                      uint32_t n_rows, uint32_t first, uint32_t n, const int32_t *mean) {
    int32_t bias[BINNET_UNIT_BLOCK];
    for (uint32_t u = 0; u < n; ++u) bias[u] = binnet_bias(layer->bias[first + u]);
    for (uint32_t b = 0; b < n_rows; ++b) {
        const size_t row = (size_t)b * layer->units + first;
        for (uint32_t u = 0; u < n; ++u)
            layer->normed[row + u] =
                (int8_t)binnet_normalised(z[b * stride + u] - mean[u], layer->scale[first + u]);
        if (!layer->activation) continue;
        for (uint32_t u = 0; u < n; ++u)
            layer->activation[row + u] =
                (uint8_t)binnet_clamp(layer->normed[row + u] + bias[u], 0, 127);
    }
}

void binnet_norm_forward(binnet_layer_state *layer, const binnet_result *z, int calibrate) {
    for (uint32_t i = 0; i < z->n_columns; i += BINNET_UNIT_BLOCK) {
        const uint32_t n =
            z->n_columns - i < BINNET_UNIT_BLOCK ? z->n_columns - i : BINNET_UNIT_BLOCK;
        const uint32_t first = z->first_column + i;
        int32_t mean[BINNET_UNIT_BLOCK];
        uint32_t s16[BINNET_UNIT_BLOCK];
        measure(layer, z->sums + i, z->stride, z->n_rows, first, n, mean, s16);
        normalise(layer, z->sums + i, z->stride, z->n_rows, first, n, mean);
        if (!calibrate) continue;
        for (uint32_t u = 0; u < n; ++u) {
            layer->mean_sum[first + u] += mean[u];
            layer->spread_sum[first + u] += s16[u];
        }
    }
}

/* g · ap2(v): the power of two nearest to |v| in the logarithm, |v| <= 127. */
static int32_t times_ap2(int32_t g, int32_t v) {
    const int32_t a = binnet_abs(v);
    const uint32_t k =
        (uint32_t)((a >= 2) + (a >= 3) + (a >= 6) + (a >= 12) + (a >= 23) + (a >= 46) + (a >= 91));
    const int32_t product = (int32_t)((uint32_t)g << k);
    return v == 0 ? 0 : v < 0 ? -product : product;
}

int32_t binnet_norm_backward(binnet_layer_state *layer, int16_t *error, uint32_t n_rows,
                             uint32_t first, uint32_t n) {
    const size_t stride = layer->units;
    const int8_t *normed = layer->normed + first;
    int32_t bias_gradient[BINNET_UNIT_BLOCK] = {0};
    int64_t sum[BINNET_UNIT_BLOCK] = {0}; /* of g · ap2, then of what is left to centre */
    int32_t slope[BINNET_UNIT_BLOCK], mean[BINNET_UNIT_BLOCK], largest[BINNET_UNIT_BLOCK] = {0};
    error += first;
    if (layer->activation) /* the clamp's derivative is 0 outside its linear range */
        for (uint32_t b = 0; b < n_rows; ++b)
            for (uint32_t u = 0; u < n; ++u) {
                const uint8_t a = layer->activation[b * stride + first + u];
                if (a == 0 || a == 127) error[b * stride + u] = 0;
            }
    for (uint32_t b = 0; b < n_rows; ++b)
        for (uint32_t u = 0; u < n; ++u) {
            const int32_t g = error[b * stride + u];
            bias_gradient[u] += g;
            sum[u] += times_ap2(g, normed[b * stride + u]);
        }
    for (uint32_t u = 0; u < n; ++u) {
        const int64_t twice = sum[u] + sum[u];
        const int64_t fourth = binnet_divide(twice + twice + sum[u], (int64_t)n_rows << 2);
        slope[u] = (int32_t)binnet_divide(fourth, target_of(layer, first + u));
        layer->bias_gradient[first + u] = bias_gradient[u];
        sum[u] = 0;
    }
    for (uint32_t b = 0; b < n_rows; ++b)
        for (uint32_t u = 0; u < n; ++u) {
            const int32_t v = normed[b * stride + u];
            sum[u] += error[b * stride + u] - (v > 0 ? slope[u] : v < 0 ? -slope[u] : 0);
        }
    for (uint32_t u = 0; u < n; ++u) mean[u] = (int32_t)binnet_divide(sum[u], n_rows);
    for (uint32_t b = 0; b < n_rows; ++b)
        for (uint32_t u = 0; u < n; ++u) {
            const int32_t v = normed[b * stride + u];
            const int32_t c = error[b * stride + u] - (v > 0 ? slope[u] : v < 0 ? -slope[u] : 0);
            const int32_t e = binnet_clamp(c - mean[u], -32767, 32767);
            if (binnet_abs(e) > largest[u]) largest[u] = binnet_abs(e);
            error[b * stride + u] = (int16_t)e;
        }
    int32_t peak = BINNET_NO_PEAK;
    for (uint32_t u = 0; u < n; ++u) {
        const binnet_scale scale = layer->scale[first + u];
        const uint32_t x = (uint32_t)binnet_scaled(largest[u], scale.term);
        const int32_t exponent = binnet_bitlen(x) - scale.shift;
        if (x && exponent > peak) peak = exponent;
    }
    return peak;
}
