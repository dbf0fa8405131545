/* The kernels in plain C, with nothing but add, shift and mask on data: what every other table must
 * equal.
 * SPDX-License-Identifier: BSD-3-Clause */
#if defined(__clang__) && defined(__x86_64__)
/* Clang vectorises variable shifts for SSE2 by way of float exponents (cvttps2dq). */
#pragma clang attribute push(__attribute__((target("general-regs-only"))), apply_to = function)
#endif

#include "norm_inline.h"

static uint32_t bit(const uint8_t *bits, uint32_t i) {
    return (uint32_t)bits[i >> 3] >> (i & 7) & 1u;
}

/* sum of w · a = 2 · (sum of a where w is +1) - (sum of a). */
static void forward(const binnet_tile *tile) {
    for (uint32_t b = 0; b < tile->n_rows; ++b) {
        const uint8_t *a = (const uint8_t *)tile->left + b * tile->left_stride;
        int32_t total = 0;
        for (uint32_t n = 0; n < tile->depth; ++n) total += a[n];
        for (uint32_t u = 0; u < tile->n_columns; ++u) {
            const uint8_t *bits = tile->bits + u * tile->bits_stride;
            uint32_t positive = 0;
            for (uint32_t n = 0; n < tile->depth; ++n) positive += a[n] & (0u - bit(bits, n));
            tile->out[b * tile->out_stride + u] = (int32_t)(positive + positive) - total;
        }
    }
}

static void backward(const binnet_tile *tile) {
    for (uint32_t b = 0; b < tile->n_rows; ++b) {
        const int8_t *delta = (const int8_t *)tile->left + b * tile->left_stride;
        int32_t *out = tile->out + b * tile->out_stride;
        int32_t total = 0;
        for (uint32_t m = 0; m < tile->depth; ++m) total += delta[m];
        for (uint32_t n = 0; n < tile->n_columns; ++n) out[n] = -total;
        for (uint32_t m = 0; m < tile->depth; ++m) {
            const uint8_t *bits = tile->bits + m * tile->bits_stride;
            const int32_t twice = delta[m] + delta[m];
            if (twice == 0) continue;
            for (uint32_t n = 0; n < tile->n_columns; ++n) out[n] += twice & -(int32_t)bit(bits, n);
        }
    }
}

static void outer(const binnet_tile *tile) {
    for (uint32_t m = 0; m < tile->n_rows; ++m) {
        int32_t *out = tile->out + m * tile->out_stride;
        memset(out, 0, tile->n_columns * sizeof *out);
        for (uint32_t b = 0; b < tile->depth; ++b) {
            const int32_t delta = ((const int8_t *)tile->left)[b * tile->left_stride + m];
            const uint8_t *codes = tile->panel + b * tile->out_stride;
            if (delta == 0) continue;
            for (uint32_t n = 0; n < tile->n_columns; ++n) /* code 0 is the value 0 */
                out[n] += (int32_t)((uint32_t)delta << codes[n]) & -(int32_t)(codes[n] != 0);
        }
        /* The codes are one more than the powers. Every sum is even, so no rounding happens
         * here. */
        for (uint32_t n = 0; n < tile->n_columns; ++n) out[n] = binnet_floor_shift(out[n], 1);
    }
}

static uint32_t update(const binnet_update *t) {
    uint32_t largest = 0;
    for (uint32_t m = 0; m < t->n_rows; ++m) {
        int16_t *latent = t->latent + m * t->latent_stride;
        uint8_t *bits = t->bits + m * t->bits_stride;
        const int32_t *gradient = t->gradient + m * t->stride;
        const uint8_t *random = t->random + m * t->stride;
        for (uint32_t n = 0; n < t->n_columns; ++n) {
            largest |= (uint32_t)binnet_abs(gradient[n]);
            if (!t->rule.apply) continue;
            const int32_t g = binnet_clamp(gradient[n], -t->rule.limit, t->rule.limit);
            const int32_t step = binnet_stochastic(g, t->rule.shift, random[n]);
            const int32_t w = binnet_clamp(latent[n] - step, -32767, 32767);
            const unsigned mask = 1u << (n & 7);
            latent[n] = (int16_t)w;
            bits[n >> 3] = (uint8_t)((bits[n >> 3] & ~mask) | (w >= 0 ? mask : 0));
        }
    }
    return largest;
}

static void random_rows(uint8_t *bytes, const binnet_rng *rng, uint32_t row, uint32_t n_rows,
                        uint32_t first_block, uint32_t n_blocks) {
    for (uint32_t r = 0; r < n_rows; ++r, bytes += 8 * (size_t)n_blocks)
        binnet_rng_blocks(rng, row + r, first_block, n_blocks, bytes);
}

static void power_of_two(uint8_t *codes, const uint8_t *x, const uint8_t *random, uint32_t n,
                         uint32_t doubling) {
    for (uint32_t i = 0; i < n; ++i)
        codes[i] = (uint8_t)binnet_power_code((uint32_t)x[i] << doubling, random[i]);
}

/* ---- Bits ---------------------------------------------------------------------------------- */

/* Pairs, nibbles and bytes of a word hold their counts; then all are summed. Where size_t has 32
 * bits, a 64-bit shift is a call or several instructions: two halves there. */
#if SIZE_MAX > 0xffffffffu
static uint32_t count_bits(uint64_t v) {
    v -= v >> 1 & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    v += v >> 8; /* bytes of at most 8: no sum of eight reaches 2^8 */
    v += v >> 16;
    return (uint32_t)(v + (v >> 32)) & 255u;
}
#else
static uint32_t nibble_counts(uint32_t v) {
    v -= v >> 1 & 0x55555555u;
    return (v & 0x33333333u) + (v >> 2 & 0x33333333u);
}

static uint32_t count_bits(uint64_t words) {
    uint32_t v = nibble_counts((uint32_t)words), u = nibble_counts((uint32_t)(words >> 32));
    v = (v & 0x0f0f0f0fu) + (v >> 4 & 0x0f0f0f0fu) + (u & 0x0f0f0f0fu) + (u >> 4 & 0x0f0f0f0fu);
    v += v >> 8; /* bytes of at most 16: the sums of four stay below 2^8 */
    return (v + (v >> 16)) & 255u;
}
#endif

/* A full adder of 64 columns: returns the sum bits; *carry gets the carries. */
BINNET_INLINE uint64_t add_bits(uint64_t a, uint64_t b, uint64_t c, uint64_t *carry) {
    const uint64_t u = a ^ b;
    *carry = (a & b) | (u & c);
    return u ^ c;
}

/* Four words are added to the columns' counts with the binary digits `ones` and `twos`, so that
 * only the carries into the fours are counted. */
static uint32_t xor_count(const uint64_t *a, const uint64_t *b, uint32_t n_words) {
    uint64_t ones = 0, twos = 0, low, high, fours;
    uint32_t count = 0, i = 0;
    for (; i + 4 <= n_words; i += 4) {
        ones = add_bits(ones, a[i] ^ b[i], a[i + 1] ^ b[i + 1], &low);
        ones = add_bits(ones, a[i + 2] ^ b[i + 2], a[i + 3] ^ b[i + 3], &high);
        twos = add_bits(twos, low, high, &fours);
        count += count_bits(fours);
    }
    count = (count << 2) + (count_bits(twos) << 1) + count_bits(ones);
    for (; i < n_words; ++i) count += count_bits(a[i] ^ b[i]);
    return count;
}

static void xnor(const binnet_xnor *t) {
    for (uint32_t i = 0; i < t->n_rows; ++i) {
        int32_t *product = t->product + i * t->product_stride;
        const int32_t start = t->add ? *product : 0;
        *product = start + t->n_bits -
                   2 * (int32_t)xor_count(t->a + i * t->a_stride, t->panel, t->n_words);
    }
}

BINNET_DEFINE_NORM()

/* Small tiles: on a microcontroller they are RAM. */
const binnet_kernels binnet_kernels_portable = {
    .name = "portable",
    .alignment = 8,
    .unit_tile = 16,
    .column_tile = 16,
    .row_block = 4,
    .packs = 0,
    .xnor_columns = 1,
    .forward = forward,
    .backward = backward,
    .interleave = NULL,
    .pack_codes = NULL,
    .outer = outer,
    .update = update,
    .random = random_rows,
    .power_of_two = power_of_two,
    .xnor = xnor,
    BINNET_NORM_KERNELS,
};

#if defined(__clang__) && defined(__x86_64__)
#pragma clang attribute pop
#endif
