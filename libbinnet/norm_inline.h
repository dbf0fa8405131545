/* The loops over single values of normalisation and activation (docs/algorithm.md, section 3): what
 * prediction and training share. No multiply on data: shifts, adds and selections. A kernels_*.c
 * compiles them for its instruction set, and the compiler vectorises them: rows are walked one
 * after another, 16 units side by side. kernels_avx512.c has most of them by hand.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef BINNET_NORM_INLINE_H
#define BINNET_NORM_INLINE_H

#include "internal.h"

/* Normalisation factors side by side, without branches: numerator v·2^j + (v & plus) - (v & minus),
 * which is clamped to ±limit (127 before a left shift, which changes no result), then shifted. */
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

/* Units [from, from + n) of a job. */
BINNET_INLINE void binnet_inline_normalise(const binnet_norm_job *job, uint32_t from, uint32_t n) {
    const int32_t *z = job->z + from;
    int8_t *normed = job->normed ? job->normed + from : NULL;
    uint8_t *activation = job->activation ? job->activation + from : NULL;
    int32_t mean[BINNET_UNIT_BLOCK], bias[BINNET_UNIT_BLOCK], row[BINNET_UNIT_BLOCK];
    binnet_lanes lanes;
    binnet_spread_term(&lanes, job->scale + from, n);
    BINNET_EACH_UNIT {
        mean[u] = job->mean[from + u];
        bias[u] = job->bias[from + u];
        binnet_spread_shift(&lanes, u, job->scale[from + u].shift);
        lanes.limit[u] = job->scale[from + u].shift < 0 ? 127 : INT32_MAX;
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

BINNET_INLINE void binnet_inline_reach(uint8_t *restrict reached, const int32_t *restrict sums,
                                       const int32_t *restrict thresholds, uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) reached[i] = sums[i] >= thresholds[i];
}

/* Defines a table's function for one instruction set; `target` is its attribute. A whole block's
 * width is a constant, for the compiler to vectorise. */
#define BINNET_DEFINE_BLOCK(target, name, job_type)                                                \
    target static void name(const job_type *job, uint32_t n) {                                     \
        if (n == BINNET_UNIT_BLOCK)                                                                \
            binnet_inline_##name(job, 0, BINNET_UNIT_BLOCK);                                       \
        else                                                                                       \
            binnet_inline_##name(job, 0, n);                                                       \
    }

/* The same, a unit after the other: small, and without 16 of everything on the stack. */
#define BINNET_DEFINE_UNITS(name, job_type)                                                        \
    static void name(const job_type *job, uint32_t n) {                                            \
        for (uint32_t u = 0; u < n; ++u) binnet_inline_##name(job, u, 1);                          \
    }

/* Whole blocks of units, of a pool's rows of sums, line by line. `numbered` is the caller's
 * constant. */
BINNET_INLINE void binnet_inline_pool(const binnet_pool_job *job, const int numbered) {
    int32_t most[BINNET_UNIT_BLOCK], origin[BINNET_UNIT_BLOCK] = {0};
    memcpy(most, job->sums, sizeof most);
    for (uint32_t i = 0, number = 0; i < job->pool; ++i) {
        const int32_t *row = job->sums + i * job->line_step;
        for (uint32_t j = 0; j < job->pool; ++j, ++number, row += job->row_step)
            for (uint32_t u = 0; u < BINNET_UNIT_BLOCK; ++u) {
                if (numbered) origin[u] = row[u] > most[u] ? (int32_t)number : origin[u];
                most[u] = row[u] > most[u] ? row[u] : most[u];
            }
    }
    memcpy(job->pooled, most, sizeof most);
    if (!numbered) return;
    uint8_t bytes[BINNET_UNIT_BLOCK];
    for (uint32_t u = 0; u < BINNET_UNIT_BLOCK; ++u) bytes[u] = (uint8_t)origin[u];
    if (job->n_units == BINNET_UNIT_BLOCK)
        memcpy(job->origins, bytes, BINNET_UNIT_BLOCK);
    else
        memcpy(job->origins, bytes, job->n_units);
}

#if BINNET_CONVOLUTIONS
#define BINNET_DEFINE_POOL(target)                                                                 \
    target static void pool(const binnet_pool_job *job) {                                          \
        if (job->origins)                                                                          \
            binnet_inline_pool(job, 1);                                                            \
        else                                                                                       \
            binnet_inline_pool(job, 0);                                                            \
    }
#else
#define BINNET_DEFINE_POOL(target)
#endif

#define BINNET_DEFINE_REACH(target)                                                                \
    target static void reach(uint8_t *reached, const int32_t *z, const int32_t *thresholds,        \
                             uint32_t n) {                                                         \
        binnet_inline_reach(reached, z, thresholds, n);                                            \
    }

#endif
