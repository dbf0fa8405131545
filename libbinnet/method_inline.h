/* The loops over single values of solvers and of some methods (docs/algorithm.md): chances of stochastic and
 * ternary weights, updates, thresholds of sign units. A kernels_*.c compiles them for its instruction
 * set, and the compiler vectorises them.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef BINNET_METHOD_INLINE_H
#define BINNET_METHOD_INLINE_H

#include "internal.h"

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

BINNET_INLINE void binnet_inline_reach(uint8_t *restrict reached, const int32_t *restrict sums,
                                       const int32_t *restrict thresholds, uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) reached[i] = sums[i] >= thresholds[i];
}

/* Bits of |g| < 2^30, without branches. */
BINNET_INLINE int32_t binnet_lane_bitlen(int32_t g) {
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

/* One row of AdaMax (section 7, step 4). */
BINNET_INLINE void binnet_inline_adamax_row(int16_t *restrict latent, int16_t *restrict momentum,
                                            int16_t *restrict log_scale,
                                            const int32_t *restrict gradient,
                                            const uint8_t *restrict random, uint32_t n,
                                            binnet_momentum_rule rule) {
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
        latent[i] = (int16_t)binnet_clamp(latent[i] - step, -rule.limit, rule.limit);
    }
}

/* The sign bits of n latent weights. */
BINNET_INLINE void binnet_inline_signs(uint8_t *bits, const int16_t *latent, uint32_t n) {
    for (uint32_t i = 0; i < n; i += 8) {
        unsigned byte = 0;
        for (uint32_t j = i; j < n && j < i + 8; ++j) byte |= (unsigned)(latent[j] >= 0) << (j - i);
        bits[i >> 3] = (uint8_t)byte;
    }
}

/* One row of SGD (section 7, step 2). */
BINNET_INLINE uint32_t binnet_inline_sgd_row(int16_t *restrict latent,
                                             const int32_t *restrict gradient,
                                             const uint8_t *restrict random, uint32_t n,
                                             binnet_rule rule) {
    uint32_t largest = 0;
    for (uint32_t i = 0; i < n; ++i) largest |= (uint32_t)binnet_abs(gradient[i]);
    for (uint32_t i = 0; rule.apply && i < n; ++i) {
        BINNET_COUNT(ADDITIONS, 1);
        const int32_t g = binnet_clamp(gradient[i], -rule.limit, rule.limit);
        const int32_t step = binnet_stochastic(g, rule.shift, random[i]);
        latent[i] = (int16_t)binnet_clamp(latent[i] - step, -32767, 32767);
    }
    return largest;
}

typedef void (*binnet_random)(uint8_t *, const binnet_rng *, uint32_t, uint32_t, uint32_t,
                              uint32_t);

/* Rows of either solver, with the table's own random bytes. Returns what `update` does. */
BINNET_INLINE uint32_t binnet_inline_solve(const binnet_update *t, binnet_random random_rows,
                                           const int adamax) {
    enum { STRIP = 256 };
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
                                         gradient, random, count, t->momentum_rule);
            else
                largest |= binnet_inline_sgd_row(t->latent + at, gradient, random, count, t->rule);
            if (t->bits && (adamax || t->rule.apply))
                binnet_inline_signs(t->bits + m * t->bits_stride + (n >> 3), t->latent + at, count);
        }
    return largest;
}

/* Defines the table's functions for one instruction set; `target` is its attribute. */
#define BINNET_DEFINE_METHOD(target)                                                               \
    target static void chances(uint8_t *chance, const int16_t *latent, uint32_t n,                 \
                               binnet_chance of) {                                                 \
        binnet_inline_chances(chance, latent, n, of);                                              \
    }                                                                                              \
    target static void reach(uint8_t *reached, const int32_t *z, const int32_t *thresholds,        \
                             uint32_t n) {                                                         \
        binnet_inline_reach(reached, z, thresholds, n);                                            \
    }                                                                                              \
    target static void adamax(const binnet_update *t) { binnet_inline_solve(t, random_rows, 1); }  \
    target static uint32_t wide_update(const binnet_update *t) {                                   \
        return binnet_inline_solve(t, random_rows, 0);                                             \
    }

#define BINNET_METHOD_KERNELS .chances = chances, .reach = reach, .adamax = adamax

#endif
