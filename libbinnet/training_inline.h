/* The loops over single values that only training needs: statistics of a batch, the backward pass
 * through normalisation, error quantization, chances of weights, solvers (docs/algorithm.md,
 * sections 3 and 5 to 7). As those of norm_inline.h, a training_*.c compiles them for its
 * instruction set. No multiply on data.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef BINNET_TRAINING_INLINE_H
#define BINNET_TRAINING_INLINE_H

#include "norm_inline.h"

/* ---- Statistics ---------------------------------------------------------------------------- */

BINNET_INLINE void binnet_inline_sums(const binnet_norm_job *job, uint32_t from, uint32_t n) {
    const int32_t *z = job->z + from;
    int32_t sum[BINNET_UNIT_BLOCK] = {0};
    for (uint32_t b = 0; b < job->n_rows; ++b, z += job->z_stride) {
        BINNET_COUNT(ADDITIONS, n);
        BINNET_EACH_UNIT sum[u] += z[u];
    }
    BINNET_EACH_UNIT job->sum[from + u] = sum[u];
}

BINNET_INLINE void binnet_inline_deviations(const binnet_norm_job *job, uint32_t from, uint32_t n) {
    const int32_t *z = job->z + from;
    int32_t sum[BINNET_UNIT_BLOCK] = {0}, mean[BINNET_UNIT_BLOCK];
    BINNET_EACH_UNIT mean[u] = job->mean[from + u];
    for (uint32_t b = 0; b < job->n_rows; ++b, z += job->z_stride) {
        BINNET_COUNT(ADDITIONS, 2 * n);
        BINNET_EACH_UNIT sum[u] += binnet_abs(z[u] - mean[u]);
    }
    BINNET_EACH_UNIT job->sum[from + u] = sum[u];
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

BINNET_INLINE void binnet_inline_gradients(const binnet_error_job *job, uint32_t from, uint32_t n) {
    int16_t *error = job->error + from;
    const int8_t *normed = job->normed + from;
    int32_t sum[BINNET_UNIT_BLOCK] = {0}, bias_gradient[BINNET_UNIT_BLOCK] = {0};
    int32_t row[BINNET_UNIT_BLOCK], sigmas[BINNET_UNIT_BLOCK], start[BINNET_UNIT_BLOCK] = {0};
    if (job->bias) BINNET_EACH_UNIT start[u] = job->bias[from + u] - job->first_open;
    for (uint32_t b = 0; b < job->n_rows; ++b, error += job->stride, normed += job->stride) {
        BINNET_EACH_UNIT row[u] = error[u];
        BINNET_EACH_UNIT sigmas[u] = normed[u];
        if (job->bias) { /* the activation's derivative, 0 or 1 */
            BINNET_COUNT(ADDITIONS, n);
            BINNET_EACH_UNIT row[u] &= -(int32_t)((uint32_t)(sigmas[u] + start[u]) < job->n_open);
            BINNET_EACH_UNIT error[u] = (int16_t)row[u];
        }
        BINNET_COUNT(ADDITIONS, 2 * n);
        BINNET_EACH_UNIT bias_gradient[u] += row[u];
        BINNET_EACH_UNIT sum[u] += binnet_times_ap2(row[u], sigmas[u]);
    }
    BINNET_COUNT(ADDITIONS, n);
    BINNET_EACH_UNIT {
        job->sum[from + u] = sum[u];
        job->bias_gradient[from + u] += bias_gradient[u];
    }
}

/* What the slope leaves of an error. */
BINNET_INLINE int32_t binnet_less_slope(int32_t error, int32_t normed, int32_t slope) {
    BINNET_COUNT(ADDITIONS, 2);
    return error - (slope & -(normed > 0)) + (slope & -(normed < 0));
}

BINNET_INLINE void binnet_inline_centre(const binnet_error_job *job, uint32_t from, uint32_t n) {
    const int16_t *error = job->error + from;
    const int8_t *normed = job->normed + from;
    int32_t sum[BINNET_UNIT_BLOCK] = {0}, slope[BINNET_UNIT_BLOCK];
    int32_t row[BINNET_UNIT_BLOCK], sigmas[BINNET_UNIT_BLOCK];
    BINNET_EACH_UNIT slope[u] = job->slope[from + u];
    for (uint32_t b = 0; b < job->n_rows; ++b, error += job->stride, normed += job->stride) {
        BINNET_EACH_UNIT row[u] = error[u];
        BINNET_EACH_UNIT sigmas[u] = normed[u];
        BINNET_COUNT(ADDITIONS, n);
        BINNET_EACH_UNIT sum[u] += binnet_less_slope(row[u], sigmas[u], slope[u]);
    }
    BINNET_EACH_UNIT job->sum[from + u] = sum[u];
}

BINNET_INLINE void binnet_inline_denormalise(const binnet_error_job *job, uint32_t from,
                                             uint32_t n) {
    int16_t *error = job->error + from;
    const int8_t *normed = job->normed + from;
    int32_t slope[BINNET_UNIT_BLOCK], mean[BINNET_UNIT_BLOCK], largest[BINNET_UNIT_BLOCK];
    int32_t row[BINNET_UNIT_BLOCK], sigmas[BINNET_UNIT_BLOCK];
    BINNET_EACH_UNIT {
        slope[u] = job->slope[from + u];
        mean[u] = job->mean[from + u];
        largest[u] = job->largest[from + u];
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
    BINNET_EACH_UNIT job->largest[from + u] = largest[u];
}

/* Scaled errors of units to int8 with the shared exponent; `random` has a byte for each. */
BINNET_INLINE void binnet_inline_quantize(const binnet_error_job *job, uint32_t from, uint32_t n) {
    const int16_t *error = job->error + from;
    const uint8_t *random = job->random + from;
    int8_t *delta = job->delta + from;
    int32_t row[BINNET_UNIT_BLOCK], bytes[BINNET_UNIT_BLOCK];
    binnet_lanes lanes;
    binnet_spread_term(&lanes, job->scale + from, n);
    BINNET_EACH_UNIT {
        /* Not below -6 unless the error is 0: the lower clamp only keeps the shift legal. */
        const int32_t k = binnet_clamp(job->scale[from + u].shift + job->exponent - 7, -8, 31);
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

/* ---- Weights ------------------------------------------------------------------------------- */

BINNET_INLINE void binnet_inline_chances(uint8_t *restrict chance, const int16_t *restrict latent,
                                         uint32_t n, binnet_chance of) {
    if (of == BINNET_POSITIVE)
        for (uint32_t i = 0; i < n; ++i) {
            BINNET_COUNT(ADDITIONS, 2);
            chance[i] = (uint8_t)(binnet_floor_shift(latent[i] + 256, 9) + 64);
        }
    else if (of == BINNET_NONZERO)
        for (uint32_t i = 0; i < n; ++i) {
            BINNET_COUNT(ADDITIONS, 1);
            BINNET_COUNT(SHIFTS, 1);
            chance[i] = (uint8_t)((binnet_abs(latent[i]) + 128) >> 8);
        }
    else
        for (uint32_t i = 0; i < n; ++i)
            chance[i] = binnet_abs(latent[i]) > BINNET_TERNARY_THRESHOLD ? 128 : 0;
}

/* Bits of |g| < 2^30, without branches. */
BINNET_INLINE int32_t binnet_lane_bitlen(int32_t g) {
#if SIZE_MAX > 0xffffffffu
    int32_t a = binnet_abs(g), n = 0;
#define BINNET_HALVE(half)                                                                         \
    {                                                                                              \
        const int32_t k = a >> half ? half : 0;                                                    \
        BINNET_COUNT(SHIFTS, 2);                                                                   \
        BINNET_COUNT(ADDITIONS, 1);                                                                \
        n += k;                                                                                    \
        a >>= k;                                                                                   \
    }
    BINNET_HALVE(16)
    BINNET_HALVE(8)
    BINNET_HALVE(4)
    BINNET_HALVE(2)
    BINNET_HALVE(1)
#undef BINNET_HALVE
    BINNET_COUNT(ADDITIONS, 1);
    return n + a;
#else
    return binnet_bitlen((uint32_t)binnet_abs(g)); /* no vectors there */
#endif
}

/* v · 2^-k rounded half up, within ±32767; -15 <= k <= 30, and the result of a left shift fits. */
BINNET_INLINE int32_t binnet_lane_q15(int32_t v, int32_t k) {
    const int32_t right = k > 0 ? k : 0, left = k < 0 ? -k : 0;
    BINNET_COUNT(SHIFTS, 3); /* `half` is made for each value */
    BINNET_COUNT(ADDITIONS, 1);
    const int32_t half = (int32_t)(1u << right >> 1);
    return binnet_clamp(binnet_floor_shift((int32_t)((uint32_t)(v + half) << left), right), -32767,
                        32767);
}

/* One row of AdaMax (section 7, step 5). */
BINNET_INLINE void binnet_inline_adamax_row(int16_t *restrict latent, int16_t *restrict momentum,
                                            int16_t *restrict log_scale,
                                            const int32_t *restrict gradient,
                                            const uint8_t *restrict random, uint32_t n,
                                            binnet_momentum_rule rule, int32_t limit) {
    for (uint32_t i = 0; i < n; ++i) {
        BINNET_COUNT(SHIFTS, 1);
        BINNET_COUNT(ADDITIONS, 11);
        const int32_t g = gradient[i], v = log_scale[i];
        const int32_t high = (int32_t)((uint32_t)(binnet_lane_bitlen(g) + rule.unit) << 9);
        int32_t scale = v - 1;
        scale = g != 0 && high > scale ? high : scale;
        scale = binnet_clamp(scale, -32768, 32767);
        const int32_t power = binnet_floor_shift(scale + 511, 9);
        const int32_t rise = power - binnet_floor_shift(v + 511, 9);
        const int32_t down = power - rule.unit - 15;
        const int32_t m = binnet_lane_q15(momentum[i], rise < 16 ? rise : 16);
        const int32_t to = binnet_lane_q15(g, binnet_clamp(down, -15, 30));
        const int32_t next = m + binnet_floor_shift(to - m + 4, 3);
        const int32_t step = binnet_stochastic(next, rule.shift, random[i]);
        log_scale[i] = (int16_t)scale;
        momentum[i] = (int16_t)next;
        latent[i] = (int16_t)binnet_clamp(latent[i] - step, -limit, limit);
    }
}

/* One row of SGD (section 7, step 3). */
BINNET_INLINE uint32_t binnet_inline_sgd_row(int16_t *restrict latent,
                                             const int32_t *restrict gradient,
                                             const uint8_t *restrict random, uint32_t n,
                                             binnet_rule rule, int32_t limit) {
    uint32_t largest = 0;
    for (uint32_t i = 0; i < n; ++i) largest |= (uint32_t)binnet_abs(gradient[i]);
    for (uint32_t i = 0; rule.apply && i < n; ++i) {
        BINNET_COUNT(ADDITIONS, 1);
        const int32_t g = binnet_clamp(gradient[i], -rule.limit, rule.limit);
        const int32_t step = binnet_stochastic(g, rule.shift, random[i]);
        latent[i] = (int16_t)binnet_clamp(latent[i] - step, -limit, limit);
    }
    return largest;
}

/* What is left of an update of weights after its first n columns, a multiple of 8. */
BINNET_INLINE binnet_update binnet_update_after(const binnet_update *t, uint32_t n) {
    binnet_update rest = *t;
    rest.n_columns -= n;
    rest.latent += n;
    rest.bits += n >> 3;
    rest.gradient += n;
    rest.first_column += n;
    return rest;
}

typedef void (*binnet_random)(uint8_t *, const binnet_rng *, uint32_t, uint32_t, uint32_t,
                              uint32_t);

/* Rows of either solver, with the table's own random bytes. Returns what `update` does. */
BINNET_INLINE uint32_t binnet_inline_solve(const binnet_update *t, binnet_random random_rows) {
    enum { STRIP = 64 };
    const int adamax = t->momentum != NULL;
    uint32_t largest = 0;
    for (uint32_t m = 0; m < t->n_rows; ++m)
        for (uint32_t n = 0; n < t->n_columns; n += STRIP) {
            const uint32_t rest = t->n_columns - n, count = rest < STRIP ? rest : STRIP;
            const size_t at = m * t->latent_stride + n;
            const int32_t *gradient = t->gradient + m * t->gradient_stride + n;
            uint8_t random[STRIP];
            if (adamax || t->rule.apply)
                random_rows(random, &t->rng, t->first_row + m, 1, (t->first_column + n) >> 3,
                            (count + 7) >> 3);
            if (adamax)
                binnet_inline_adamax_row(t->latent + at, t->momentum + at, t->log_scale + at,
                                         gradient, random, count, t->momentum_rule, t->limit);
            else
                largest |= binnet_inline_sgd_row(t->latent + at, gradient, random, count, t->rule,
                                                 t->limit);
            if (t->bits && (adamax || t->rule.apply))
                binnet_pack_signs(t->bits + m * t->bits_stride + (n >> 3), t->latent + at, count);
        }
    return largest;
}

/* The rounds of Threefry-2x32-13 (rng.c), by the file's macros of a round and of an injection of
 * keys. */
#define BINNET_THREEFRY(ROUND, INJECT)                                                             \
    ROUND(13);                                                                                     \
    ROUND(15);                                                                                     \
    ROUND(26);                                                                                     \
    ROUND(6);                                                                                      \
    INJECT(1, 2, 1);                                                                               \
    ROUND(17);                                                                                     \
    ROUND(29);                                                                                     \
    ROUND(16);                                                                                     \
    ROUND(24);                                                                                     \
    INJECT(2, 0, 2);                                                                               \
    ROUND(13);                                                                                     \
    ROUND(15);                                                                                     \
    ROUND(26);                                                                                     \
    ROUND(6);                                                                                      \
    INJECT(0, 1, 3);                                                                               \
    ROUND(17)

/* Defines a table's functions for one instruction set; `target` is its attribute. They want
 * random_rows. */
#define BINNET_DEFINE_WEIGHTS(target)                                                              \
    target static void chances(uint8_t *chance, const int16_t *latent, uint32_t n,                 \
                               binnet_chance of) {                                                 \
        binnet_inline_chances(chance, latent, n, of);                                              \
    }                                                                                              \
    target static uint32_t wide_update(const binnet_update *t) {                                   \
        return binnet_inline_solve(t, random_rows);                                                \
    }

#define BINNET_DEFINE_NORM(DEFINE)                                                                 \
    DEFINE(sums, binnet_norm_job)                                                                  \
    DEFINE(deviations, binnet_norm_job)                                                            \
    DEFINE(gradients, binnet_error_job)                                                            \
    DEFINE(centre, binnet_error_job)                                                               \
    DEFINE(denormalise, binnet_error_job)                                                          \
    DEFINE(quantize, binnet_error_job)

#define BINNET_DEFINE_ROUND_ERROR(target)                                                          \
    target static void round_error(int16_t *error, const int32_t *s, int32_t shift, uint32_t n) {  \
        binnet_inline_round_error(error, s, shift, n);                                             \
    }

/* The functions of those names, and `random_rows`. */
#define BINNET_TRAINING_LOOPS                                                                      \
    .random = random_rows, .chances = chances, .sums = sums, .deviations = deviations,             \
    .gradients = gradients, .centre = centre, .denormalise = denormalise, .quantize = quantize,    \
    .round_error = round_error

#endif
