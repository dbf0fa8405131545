/* The loops over single values of L1 batch normalisation, activation and error quantization
 * (docs/algorithm.md, sections 3, 5 and 6). No multiply on data: shifts, adds and selections. A
 * kernels_*.c compiles them for its instruction set, and the compiler vectorises them: rows are
 * walked one after another, 16 units side by side. kernels_avx512.c has most of them by hand.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef BINNET_NORM_INLINE_H
#define BINNET_NORM_INLINE_H

#include "internal.h"

/* Normalisation factors side by side, without branches: numerator v·2^j + (v & plus) - (v & minus), which
 * is clamped to ±limit (127 before a left shift, which changes no result), then shifted. */
typedef struct binnet_lanes {
    int32_t power[BINNET_UNIT_BLOCK], plus[BINNET_UNIT_BLOCK], minus[BINNET_UNIT_BLOCK];
    int32_t limit[BINNET_UNIT_BLOCK], half[BINNET_UNIT_BLOCK];
    int32_t left[BINNET_UNIT_BLOCK], right[BINNET_UNIT_BLOCK];
} binnet_lanes;

BINNET_INLINE void binnet_spread_term(binnet_lanes *lanes, const binnet_scale *scale, uint32_t n) {
    for (uint32_t u = 0; u < n; ++u) {
        const int32_t term = scale[u].term;
        lanes->power[u] = binnet_abs(term);
        lanes->plus[u] = -(term > 0);
        lanes->minus[u] = -(term < 0);
    }
}

BINNET_INLINE void binnet_spread_shift(binnet_lanes *lanes, uint32_t u, int32_t shift) {
    lanes->left[u] = shift < 0 ? -shift : 0;
    lanes->right[u] = shift > 0 ? shift : 0;
    lanes->half[u] = shift > 0 ? (int32_t)(1u << (shift - 1)) : 0;
}

BINNET_INLINE int32_t binnet_lane_scaled(const binnet_lanes *lanes, uint32_t u, int32_t v) {
    BINNET_COUNT(SHIFTS, 1);
    BINNET_COUNT(ADDITIONS, 2);
    return (int32_t)((uint32_t)v << lanes->power[u]) + (v & lanes->plus[u]) - (v & lanes->minus[u]);
}

BINNET_INLINE int32_t binnet_lane_shifted(const binnet_lanes *lanes, uint32_t u, int32_t v) {
    BINNET_COUNT(SHIFTS, 1);
    BINNET_COUNT(ADDITIONS, 1);
    v = (int32_t)((uint32_t)(v + lanes->half[u]) << lanes->left[u]);
    return binnet_floor_shift(v, lanes->right[u]);
}

/* Rows go through local arrays of 16 values, which alias nothing. */
#define BINNET_EACH_UNIT for (uint32_t u = 0; u < n; ++u)

/* ---- Forward ------------------------------------------------------------------------------- */

BINNET_INLINE void binnet_inline_sums(const binnet_norm_job *job, uint32_t n) {
    const int32_t *z = job->z;
    int32_t sum[BINNET_UNIT_BLOCK] = {0};
    for (uint32_t b = 0; b < job->n_rows; ++b, z += job->z_stride) {
        BINNET_COUNT(ADDITIONS, n);
        BINNET_EACH_UNIT sum[u] += z[u];
    }
    BINNET_EACH_UNIT job->sum[u] = sum[u];
}

BINNET_INLINE void binnet_inline_deviations(const binnet_norm_job *job, uint32_t n) {
    const int32_t *z = job->z;
    int32_t sum[BINNET_UNIT_BLOCK] = {0}, mean[BINNET_UNIT_BLOCK];
    BINNET_EACH_UNIT mean[u] = job->mean[u];
    for (uint32_t b = 0; b < job->n_rows; ++b, z += job->z_stride) {
        BINNET_COUNT(ADDITIONS, 2 * n);
        BINNET_EACH_UNIT sum[u] += binnet_abs(z[u] - mean[u]);
    }
    BINNET_EACH_UNIT job->sum[u] = sum[u];
}

BINNET_INLINE void binnet_inline_normalise(const binnet_norm_job *job, uint32_t n) {
    const int32_t *z = job->z;
    int8_t *normed = job->normed;
    uint8_t *activation = job->activation;
    int32_t mean[BINNET_UNIT_BLOCK], bias[BINNET_UNIT_BLOCK], row[BINNET_UNIT_BLOCK];
    binnet_lanes lanes;
    binnet_spread_term(&lanes, job->scale, n);
    BINNET_EACH_UNIT {
        mean[u] = job->mean[u];
        bias[u] = job->bias[u];
        binnet_spread_shift(&lanes, u, job->scale[u].shift);
        lanes.limit[u] = job->scale[u].shift < 0 ? 127 : INT32_MAX;
    }
    for (uint32_t b = 0; b < job->n_rows; ++b, z += job->z_stride) {
        BINNET_COUNT(ADDITIONS, n);
        BINNET_EACH_UNIT {
            int32_t v = binnet_lane_scaled(&lanes, u, z[u] - mean[u]);
            v = binnet_clamp(v, -lanes.limit[u], lanes.limit[u]);
            row[u] = binnet_clamp(binnet_lane_shifted(&lanes, u, v), -127, 127);
        }
        if (normed) {
            BINNET_EACH_UNIT normed[u] = (int8_t)row[u];
            normed += job->stride;
        }
        if (activation) {
            BINNET_COUNT(ADDITIONS, n);
            BINNET_EACH_UNIT activation[u] = (uint8_t)binnet_clamp(row[u] + bias[u], 0, 127);
            activation += job->stride;
        }
    }
}

/* ---- Backward ------------------------------------------------------------------------------ */

/* g · ap2(v): the power of two nearest to |v| in the logarithm, |v| <= 127. */
BINNET_INLINE int32_t binnet_times_ap2(int32_t g, int32_t v) {
    const int32_t a = binnet_abs(v);
    const int32_t k =
        (a >= 2) + (a >= 3) + (a >= 6) + (a >= 12) + (a >= 23) + (a >= 46) + (a >= 91);
    BINNET_COUNT(SHIFTS, 1);
    BINNET_COUNT(ADDITIONS, 1);
    const int32_t product = (int32_t)((uint32_t)g << k);
    return (product & -(v > 0)) - (product & -(v < 0));
}

BINNET_INLINE void binnet_inline_gradients(const binnet_error_job *job, uint32_t n) {
    int16_t *error = job->error;
    const int8_t *normed = job->normed;
    const uint8_t *activation = job->activation, first_open = job->first_open;
    const uint8_t n_open = job->n_open;
    int32_t sum[BINNET_UNIT_BLOCK] = {0}, bias_gradient[BINNET_UNIT_BLOCK] = {0};
    int32_t row[BINNET_UNIT_BLOCK], sigmas[BINNET_UNIT_BLOCK];
    for (uint32_t b = 0; b < job->n_rows; ++b, error += job->stride, normed += job->stride) {
        BINNET_EACH_UNIT row[u] = error[u];
        BINNET_EACH_UNIT sigmas[u] = normed[u];
        if (activation) { /* the activation's derivative, 0 or 1 */
            BINNET_EACH_UNIT row[u] &= -(int32_t)((uint8_t)(activation[u] - first_open) < n_open);
            BINNET_EACH_UNIT error[u] = (int16_t)row[u];
            activation += job->stride;
        }
        BINNET_COUNT(ADDITIONS, 2 * n);
        BINNET_EACH_UNIT bias_gradient[u] += row[u];
        BINNET_EACH_UNIT sum[u] += binnet_times_ap2(row[u], sigmas[u]);
    }
    BINNET_COUNT(ADDITIONS, n);
    BINNET_EACH_UNIT {
        job->sum[u] = sum[u];
        job->bias_gradient[u] += bias_gradient[u];
    }
}

/* What the slope leaves of an error. */
BINNET_INLINE int32_t binnet_less_slope(int32_t error, int32_t normed, int32_t slope) {
    BINNET_COUNT(ADDITIONS, 2);
    return error - (slope & -(normed > 0)) + (slope & -(normed < 0));
}

BINNET_INLINE void binnet_inline_centre(const binnet_error_job *job, uint32_t n) {
    const int16_t *error = job->error;
    const int8_t *normed = job->normed;
    int32_t sum[BINNET_UNIT_BLOCK] = {0}, slope[BINNET_UNIT_BLOCK];
    int32_t row[BINNET_UNIT_BLOCK], sigmas[BINNET_UNIT_BLOCK];
    BINNET_EACH_UNIT slope[u] = job->slope[u];
    for (uint32_t b = 0; b < job->n_rows; ++b, error += job->stride, normed += job->stride) {
        BINNET_EACH_UNIT row[u] = error[u];
        BINNET_EACH_UNIT sigmas[u] = normed[u];
        BINNET_COUNT(ADDITIONS, n);
        BINNET_EACH_UNIT sum[u] += binnet_less_slope(row[u], sigmas[u], slope[u]);
    }
    BINNET_EACH_UNIT job->sum[u] = sum[u];
}

BINNET_INLINE void binnet_inline_denormalise(const binnet_error_job *job, uint32_t n) {
    int16_t *error = job->error;
    const int8_t *normed = job->normed;
    int32_t slope[BINNET_UNIT_BLOCK], mean[BINNET_UNIT_BLOCK], largest[BINNET_UNIT_BLOCK];
    int32_t row[BINNET_UNIT_BLOCK], sigmas[BINNET_UNIT_BLOCK];
    BINNET_EACH_UNIT {
        slope[u] = job->slope[u];
        mean[u] = job->mean[u];
        largest[u] = job->largest[u];
    }
    for (uint32_t b = 0; b < job->n_rows; ++b, error += job->stride, normed += job->stride) {
        BINNET_EACH_UNIT row[u] = error[u];
        BINNET_EACH_UNIT sigmas[u] = normed[u];
        BINNET_COUNT(ADDITIONS, n);
        BINNET_EACH_UNIT row[u] = binnet_less_slope(row[u], sigmas[u], slope[u]) - mean[u];
        BINNET_EACH_UNIT row[u] = binnet_clamp(row[u], -32767, 32767);
        BINNET_EACH_UNIT error[u] = (int16_t)row[u];
        BINNET_EACH_UNIT row[u] = binnet_abs(row[u]);
        BINNET_EACH_UNIT largest[u] = row[u] > largest[u] ? row[u] : largest[u];
    }
    BINNET_EACH_UNIT job->largest[u] = largest[u];
}

/* Scaled errors of units to int8 with the shared exponent; `random` has a byte for each. */
BINNET_INLINE void binnet_inline_quantize(const binnet_error_job *job, uint32_t n) {
    const int16_t *error = job->error;
    const uint8_t *random = job->random;
    int8_t *delta = job->delta;
    int32_t row[BINNET_UNIT_BLOCK], bytes[BINNET_UNIT_BLOCK];
    binnet_lanes lanes;
    binnet_spread_term(&lanes, job->scale, n);
    BINNET_EACH_UNIT {
        /* Not below -6 unless the error is 0: the lower clamp only keeps the shift legal. */
        const int32_t k = binnet_clamp(job->scale[u].shift + job->exponent - 7, -8, 31);
        binnet_spread_shift(&lanes, u, k - 8);
    }
    for (uint32_t b = 0; b < job->n_rows; ++b) {
        BINNET_EACH_UNIT row[u] = error[u];
        BINNET_EACH_UNIT row[u] =
            binnet_lane_shifted(&lanes, u, binnet_lane_scaled(&lanes, u, row[u]));
        BINNET_EACH_UNIT bytes[u] = random[u];
        BINNET_COUNT(ADDITIONS, n);
        BINNET_EACH_UNIT row[u] += bytes[u];
        BINNET_EACH_UNIT row[u] = binnet_clamp(binnet_floor_shift(row[u], 8), -127, 127);
        BINNET_EACH_UNIT delta[u] = (int8_t)row[u];
        error += job->stride;
        delta += job->stride;
        random += job->random_stride;
    }
}

/* Sums of the backward product to int16 errors. */
BINNET_INLINE void binnet_inline_round_error(int16_t *restrict error, const int32_t *restrict sums,
                                             int32_t shift, uint32_t n) {
    const int32_t left = shift < 0 ? -shift : 0, right = shift > 0 ? shift : 0;
    const int32_t half = shift > 0 ? (int32_t)(1u << (shift - 1)) : 0;
    for (uint32_t i = 0; i < n; ++i) {
        BINNET_COUNT(ADDITIONS, 1);
        BINNET_COUNT(SHIFTS, 1);
        const int32_t v = (int32_t)((uint32_t)(sums[i] + half) << left);
        error[i] = (int16_t)binnet_clamp(binnet_floor_shift(v, right), -32767, 32767);
    }
}

/* Defines the table's functions for one instruction set; `target` is its attribute. A whole block's
 * width is a constant, for the compiler to vectorise. */
#define BINNET_DEFINE_NORM(target)                                                                 \
    BINNET_DEFINE_BLOCK(target, sums, binnet_norm_job)                                             \
    BINNET_DEFINE_BLOCK(target, deviations, binnet_norm_job)                                       \
    BINNET_DEFINE_BLOCK(target, normalise, binnet_norm_job)                                        \
    BINNET_DEFINE_BLOCK(target, gradients, binnet_error_job)                                       \
    BINNET_DEFINE_BLOCK(target, centre, binnet_error_job)                                          \
    BINNET_DEFINE_BLOCK(target, denormalise, binnet_error_job)                                     \
    BINNET_DEFINE_BLOCK(target, quantize, binnet_error_job)                                        \
    target static void round_error(int16_t *error, const int32_t *s, int32_t shift, uint32_t n) {  \
        binnet_inline_round_error(error, s, shift, n);                                             \
    }

#define BINNET_DEFINE_BLOCK(target, name, job_type)                                                \
    target static void name(const job_type *job, uint32_t n) {                                     \
        if (n == BINNET_UNIT_BLOCK)                                                                \
            binnet_inline_##name(job, BINNET_UNIT_BLOCK);                                          \
        else                                                                                       \
            binnet_inline_##name(job, n);                                                          \
    }

#define BINNET_NORM_KERNELS                                                                        \
    .sums = sums, .deviations = deviations, .normalise = normalise, .gradients = gradients,        \
    .centre = centre, .denormalise = denormalise, .quantize = quantize, .round_error = round_error

#endif
