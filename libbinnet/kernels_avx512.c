/* AVX-512 with VNNI and VPOPCNTDQ. The bottleneck is vpdpbusd: four u8 × i8 products a lane, summed
 * exactly in int32. One factor is always -1, 0, 1, 2 or a power of two, so that it serves as a bank
 * of adders. Every product is a 64-column tile: a panel [depth / 4][64][4] of bytes against
 * broadcast groups of four.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "norm_inline.h"

#if BINNET_X86
#include <immintrin.h>

#define AVX512 BINNET_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vpopcntdq")

enum { TILE = 64, ROWS = 6 }; /* 6 × 4 accumulators of 16 lanes leave 8 registers for operands */
enum { XNOR_ROWS = 4, XNOR_COLUMNS = 16 }; /* 4 × 2 pairs of registers, 16 for operands */

/* ---- Packing ------------------------------------------------------------------------------- */

/* Bits of a weight row from a byte on: up to 64, those past n_bytes are 0. */
AVX512 BINNET_INLINE uint64_t load_bits(const uint8_t *p, size_t n_bytes) {
    const __mmask16 valid = (__mmask16)(n_bytes >= 8 ? 0xffu : (1u << n_bytes) - 1u);
    return (uint64_t)_mm_cvtsi128_si64(_mm_maskz_loadu_epi8(valid, p));
}

/* Transposes 16 × 16 dwords. */
AVX512 BINNET_INLINE void transpose16(__m512i r[16]) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; ++i) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* Weights of up to 64 units as ±1 bytes; 0 where there is no unit or input. */
AVX512 static void pack_forward(const binnet_tile *tile) {
    const __m512i plus = _mm512_set1_epi8(1), minus = _mm512_set1_epi8(-1);
    const uint32_t n_quads = (tile->depth + 3) / 4;
    for (uint32_t n = 0; n < tile->depth; n += 64) {
        const uint32_t rest = tile->depth - n;
        const __mmask64 valid = rest >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << rest) - 1;
        const size_t n_bytes = (rest + 7) / 8;
        const uint32_t quads = n_quads - n / 4 < 16 ? n_quads - n / 4 : 16;
        for (uint32_t group = 0; group < TILE; group += 16) {
            __m512i r[16];
            for (uint32_t i = 0; i < 16; ++i) {
                r[i] = _mm512_setzero_si512();
                if (group + i >= tile->n_columns) continue;
                const uint8_t *bits = tile->bits + (group + i) * tile->bits_stride + n / 8;
                r[i] = _mm512_maskz_mov_epi8(
                    valid, _mm512_mask_blend_epi8(load_bits(bits, n_bytes), minus, plus));
            }
            transpose16(r);
            uint8_t *out = tile->panel + (size_t)n * TILE + group * 4;
            for (uint32_t q = 0; q < quads; ++q) _mm512_storeu_si512(out + q * (4 * TILE), r[q]);
        }
    }
}

/* Four rows of 64 bytes as 64 groups of four. */
AVX512 BINNET_INLINE void interleave4(uint8_t *out, __m512i r0, __m512i r1, __m512i r2,
                                      __m512i r3) {
    const __m512i low01 = _mm512_unpacklo_epi8(r0, r1), high01 = _mm512_unpackhi_epi8(r0, r1);
    const __m512i low23 = _mm512_unpacklo_epi8(r2, r3), high23 = _mm512_unpackhi_epi8(r2, r3);
    /* 128-bit lane i of q0..q3 holds the groups 16 i + 0..3, 4..7, 8..11, 12..15. */
    const __m512i q0 = _mm512_unpacklo_epi16(low01, low23);
    const __m512i q1 = _mm512_unpackhi_epi16(low01, low23);
    const __m512i q2 = _mm512_unpacklo_epi16(high01, high23);
    const __m512i q3 = _mm512_unpackhi_epi16(high01, high23);
    const __m512i a = _mm512_shuffle_i32x4(q0, q1, 0x44), b = _mm512_shuffle_i32x4(q0, q1, 0xee);
    const __m512i c = _mm512_shuffle_i32x4(q2, q3, 0x44), d = _mm512_shuffle_i32x4(q2, q3, 0xee);
    _mm512_storeu_si512(out, _mm512_shuffle_i32x4(a, c, 0x88));
    _mm512_storeu_si512(out + 64, _mm512_shuffle_i32x4(a, c, 0xdd));
    _mm512_storeu_si512(out + 128, _mm512_shuffle_i32x4(b, d, 0x88));
    _mm512_storeu_si512(out + 192, _mm512_shuffle_i32x4(b, d, 0xdd));
}

/* Weights of 64 inputs plus 1, as bytes 0 and 2, so that they are unsigned. */
AVX512 static void pack_backward(const binnet_tile *tile) {
    const __m512i two = _mm512_set1_epi8(2);
    const size_t n_bytes = (tile->n_columns + 7) / 8;
    uint8_t *out = tile->panel;
    for (uint32_t m = 0; m < tile->depth; m += 4, out += 4 * TILE) {
        __m512i r[4];
        for (uint32_t i = 0; i < 4; ++i) {
            r[i] = _mm512_setzero_si512();
            if (m + i < tile->depth)
                r[i] = _mm512_maskz_mov_epi8(
                    load_bits(tile->bits + (m + i) * tile->bits_stride, n_bytes), two);
        }
        interleave4(out, r[0], r[1], r[2], r[3]);
    }
}

AVX512 static void pack_codes(uint8_t *panel, const uint8_t *codes, uint32_t depth,
                              uint32_t column_tile) {
    const __m512i values =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0));
    for (uint32_t b = 0; b < depth; b += 4, panel += 4 * TILE) {
        __m512i r[4];
        for (uint32_t i = 0; i < 4; ++i) {
            r[i] = _mm512_setzero_si512();
            if (b + i < depth)
                r[i] = _mm512_shuffle_epi8(
                    values, _mm512_loadu_si512(codes + (b + i) * (size_t)column_tile));
        }
        interleave4(panel, r[0], r[1], r[2], r[3]);
    }
}

AVX512 static void interleave(uint8_t *out, const int8_t *delta, uint32_t n_rows,
                              uint32_t n_units) {
    for (uint32_t b = 0; b < n_rows; b += 4)
        for (uint32_t m = 0; m < n_units; m += 64) {
            const uint32_t n = n_units - m < 64 ? n_units - m : 64;
            const __mmask64 valid = n == 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
            uint8_t groups[256];
            __m512i r[4];
            for (uint32_t i = 0; i < 4; ++i) {
                r[i] = _mm512_setzero_si512();
                if (b + i < n_rows)
                    r[i] = _mm512_maskz_loadu_epi8(valid, delta + (b + i) * (size_t)n_units + m);
            }
            interleave4(groups, r[0], r[1], r[2], r[3]);
            memcpy(out + b * (size_t)n_units + 4 * (size_t)m, groups, 4 * (size_t)n);
        }
}

/* ---- Microkernel --------------------------------------------------------------------------- */

/* Four bytes of a row, in every lane; those past the row's end are 0. */
AVX512 BINNET_INLINE __m512i load_group(const uint8_t *p, uint32_t n_bytes) {
    int32_t group = 0;
    memcpy(&group, p, n_bytes < 4 ? n_bytes : 4);
    return _mm512_set1_epi32(group);
}

AVX512 BINNET_INLINE __m512i dot(const int unsigned_left, __m512i sum, __m512i left,
                                 __m512i right) {
    return unsigned_left ? _mm512_dpbusd_epi32(sum, left, right)
                         : _mm512_dpbusd_epi32(sum, right, left);
}

/* The accumulators have names and not indices, and the tail is elsewhere: gcc 12 spills them otherwise. */
#define EACH_ROW(OP) OP(0) OP(1) OP(2) OP(3) OP(4) OP(5)

#define START_ROW(i)                                                                               \
    __m512i s##i##0, s##i##1, s##i##2, s##i##3;                                                    \
    s##i##0 = s##i##1 = s##i##2 = s##i##3 = _mm512_set1_epi32(start && i < rows ? start[i] : 0);

#define STEP_ROW(i)                                                                                \
    if (i < rows) {                                                                                \
        const __m512i v = load_group(left + i * row_step, 4);                                      \
        s##i##0 = dot(unsigned_left, s##i##0, v, p0);                                              \
        s##i##1 = dot(unsigned_left, s##i##1, v, p1);                                              \
        s##i##2 = dot(unsigned_left, s##i##2, v, p2);                                              \
        s##i##3 = dot(unsigned_left, s##i##3, v, p3);                                              \
    }

#define STORE_ROW(i)                                                                               \
    if (i < rows) {                                                                                \
        _mm512_storeu_si512(out + i * out_stride, s##i##0);                                        \
        _mm512_storeu_si512(out + i * out_stride + 16, s##i##1);                                   \
        _mm512_storeu_si512(out + i * out_stride + 32, s##i##2);                                   \
        _mm512_storeu_si512(out + i * out_stride + 48, s##i##3);                                   \
    }

/* out[i][64] = start[i] + the sums of `rows` rows over whole groups of four, which are at left + i ·
 * row_step + q · group_step. `rows` and which side is unsigned are the caller's constants. */
AVX512 BINNET_INLINE void dot_rows(const int rows, const int unsigned_left, int32_t *out,
                                   size_t out_stride, const uint8_t *left, size_t row_step,
                                   size_t group_step, uint32_t n_groups, const uint8_t *panel,
                                   const int32_t *start) {
    EACH_ROW(START_ROW)
    for (uint32_t q = 0; q < n_groups; ++q, panel += 4 * TILE, left += group_step) {
        const __m512i p0 = _mm512_loadu_si512(panel), p1 = _mm512_loadu_si512(panel + 64);
        const __m512i p2 = _mm512_loadu_si512(panel + 128), p3 = _mm512_loadu_si512(panel + 192);
        EACH_ROW(STEP_ROW)
    }
    EACH_ROW(STORE_ROW)
}

/* Adds the last depth % 4 bytes of rows, after which a buffer may end. */
AVX512 static void dot_tail(const int unsigned_left, const binnet_tile *t, uint32_t depth) {
    const uint32_t whole = depth & ~3u;
    for (uint32_t i = 0; i < t->n_rows; ++i) {
        const uint8_t *left = (const uint8_t *)t->left + i * t->left_stride + whole;
        const __m512i v = load_group(left, depth & 3);
        for (uint32_t j = 0; j < 4; ++j) {
            int32_t *out = t->out + i * t->out_stride + 16 * j;
            const __m512i p = _mm512_loadu_si512(t->panel + whole * (size_t)TILE + 64 * j);
            _mm512_storeu_si512(out, dot(unsigned_left, _mm512_loadu_si512(out), v, p));
        }
    }
}

/* All rows of a tile, ROWS at a time. */
AVX512 BINNET_INLINE void dot_tile(const int unsigned_left, const binnet_tile *t, size_t row_step,
                                   size_t group_step, uint32_t n_groups, const int32_t *start) {
    int32_t *out = t->out;
    const uint8_t *left = t->left;
    uint32_t rest = t->n_rows;
    for (; rest >= ROWS; rest -= ROWS, left += ROWS * row_step, out += ROWS * t->out_stride) {
        dot_rows(ROWS, unsigned_left, out, t->out_stride, left, row_step, group_step, n_groups,
                 t->panel, start);
        if (start) start += ROWS;
    }
#define REST(n)                                                                                    \
    case n:                                                                                        \
        dot_rows(n, unsigned_left, out, t->out_stride, left, row_step, group_step, n_groups,       \
                 t->panel, start);                                                                 \
        break
    switch (rest) {
        REST(5);
        REST(4);
        REST(3);
        REST(2);
        REST(1);
    default: break;
    }
#undef REST
}

/* Few rows do not pay for a panel: each weight row is spread to ±1 bytes where it is used. */
enum { FEW_ROWS = 3, UNITS_AT_ONCE = 4 };

AVX512 BINNET_INLINE void dot_units(const int n_units, const binnet_tile *t, uint32_t row,
                                    uint32_t unit) {
    const __m512i plus = _mm512_set1_epi8(1), minus = _mm512_set1_epi8(-1);
    const uint8_t *a = (const uint8_t *)t->left + row * t->left_stride;
    const uint8_t *bits = t->bits + unit * t->bits_stride;
    __m512i sums[UNITS_AT_ONCE];
    for (int i = 0; i < n_units; ++i) sums[i] = _mm512_setzero_si512();
    for (uint32_t n = 0; n < t->depth; n += 64, bits += 8) {
        const uint32_t rest = t->depth - n;
        const __mmask64 valid = rest >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << rest) - 1;
        const __m512i v = _mm512_maskz_loadu_epi8(valid, a + n);
        BINNET_UNROLL
        for (int i = 0; i < n_units; ++i) {
            uint64_t word;
            if (rest >= 64)
                memcpy(&word, bits + (size_t)i * t->bits_stride, 8);
            else
                word = load_bits(bits + (size_t)i * t->bits_stride, (rest + 7) / 8);
            sums[i] = _mm512_dpbusd_epi32(sums[i], v, _mm512_mask_blend_epi8(word, minus, plus));
        }
    }
    for (int i = 0; i < n_units; ++i)
        t->out[row * t->out_stride + unit + (uint32_t)i] = _mm512_reduce_add_epi32(sums[i]);
}

AVX512 static void forward_few(const binnet_tile *tile) {
    for (uint32_t b = 0; b < tile->n_rows; ++b) {
        uint32_t u = 0;
        for (; u + UNITS_AT_ONCE <= tile->n_columns; u += UNITS_AT_ONCE)
            dot_units(UNITS_AT_ONCE, tile, b, u);
        for (; u < tile->n_columns; ++u) dot_units(1, tile, b, u);
    }
}

AVX512 static void forward(const binnet_tile *tile) {
    if (tile->n_rows <= FEW_ROWS) {
        forward_few(tile);
        return;
    }
    pack_forward(tile);
    dot_tile(1, tile, tile->left_stride, 4, tile->depth / 4, NULL);
    if (tile->depth & 3) dot_tail(1, tile, tile->depth);
}

AVX512 BINNET_INLINE int32_t sum_row(const int8_t *delta, uint32_t n) {
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i sum = _mm512_setzero_si512();
    for (uint32_t m = 0; m < n; m += 64) {
        const __mmask64 valid = n - m >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << (n - m)) - 1;
        sum = _mm512_dpbusd_epi32(sum, ones, _mm512_maskz_loadu_epi8(valid, delta + m));
    }
    return _mm512_reduce_add_epi32(sum);
}

/* sum of w · delta = (sum of (w + 1) · delta) - (sum of delta). */
AVX512 static void backward(const binnet_tile *tile) {
    binnet_tile rows = *tile;
    pack_backward(tile);
    for (uint32_t b = 0; b < tile->n_rows; b += ROWS) {
        int32_t start[ROWS];
        rows.n_rows = tile->n_rows - b < ROWS ? tile->n_rows - b : ROWS;
        rows.left = (const int8_t *)tile->left + b * tile->left_stride;
        rows.out = tile->out + b * tile->out_stride;
        for (uint32_t i = 0; i < rows.n_rows; ++i)
            start[i] = -sum_row((const int8_t *)rows.left + i * tile->left_stride, tile->depth);
        dot_tile(0, &rows, tile->left_stride, 4, tile->depth / 4, start);
    }
    if (tile->depth & 3) dot_tail(0, tile, tile->depth);
}

/* The interleaved error has whole groups, and a group of every unit before the next group. */
AVX512 static void outer(const binnet_tile *tile) {
    dot_tile(0, tile, 4, 4 * tile->left_stride, (tile->depth + 3) / 4, NULL);
}

/* ---- Element-wise -------------------------------------------------------------------------- */

/* Gradients of 16 columns to steps: clamped, scaled to 1/256 of a latent step, rounded at random. */
AVX512 BINNET_INLINE __m512i make_steps(__m512i g, __m128i random, __m512i limit, __m512i half,
                                        __m512i left, __m512i right) {
    g = _mm512_min_epi32(_mm512_max_epi32(g, _mm512_sub_epi32(_mm512_setzero_si512(), limit)),
                         limit);
    g = _mm512_srav_epi32(_mm512_sllv_epi32(_mm512_add_epi32(g, half), left), right);
    return _mm512_srai_epi32(_mm512_add_epi32(g, _mm512_cvtepu8_epi32(random)), 8);
}

AVX512 static uint32_t update(const binnet_update *t) {
    const int32_t k = t->rule.shift - 8;
    /* A step is at most limit · 2^-shift; beyond 2^14 (a rate above 1/4) it may not fit 16 bits. */
    if (t->rule.apply && binnet_bitlen((uint32_t)t->rule.limit) - 1 - t->rule.shift > 14)
        return binnet_kernels_portable.update(t);
    const __m512i limit = _mm512_set1_epi32(t->rule.limit);
    const __m512i half = _mm512_set1_epi32(k > 0 ? (int32_t)(1u << (k - 1)) : 0);
    const __m512i left = _mm512_set1_epi32(k < 0 ? -k : 0);
    const __m512i right = _mm512_set1_epi32(k > 0 ? k : 0);
    const __m512i least = _mm512_set1_epi16(-32767);
    /* Packing interleaves 128-bit lanes of its operands; this undoes it. */
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    __m512i largest = _mm512_setzero_si512();
    for (uint32_t m = 0; m < t->n_rows; ++m) {
        const int32_t *gradient = t->gradient + m * t->stride;
        const uint8_t *random = t->random + m * t->stride;
        for (uint32_t n = 0; n < t->n_columns; n += 32) {
            const uint32_t rest = t->n_columns - n;
            const __mmask32 valid = rest >= 32 ? 0xffffffffu : (1u << rest) - 1u;
            const __m512i g0 = _mm512_maskz_loadu_epi32((__mmask16)(valid & 0xffffu), gradient + n);
            const __m512i g1 =
                _mm512_maskz_loadu_epi32((__mmask16)(valid >> 16), gradient + n + 16);
            largest = _mm512_or_si512(largest, _mm512_abs_epi32(g0));
            largest = _mm512_or_si512(largest, _mm512_abs_epi32(g1));
            if (!t->rule.apply) continue;
            const __m256i r = _mm256_maskz_loadu_epi8(valid, random + n);
            const __m512i steps = _mm512_permutexvar_epi64(
                order,
                _mm512_packs_epi32(
                    make_steps(g0, _mm256_castsi256_si128(r), limit, half, left, right),
                    make_steps(g1, _mm256_extracti128_si256(r, 1), limit, half, left, right)));
            int16_t *latent = t->latent + m * t->latent_stride + n;
            /* The next tile's weights, which its products give time to fetch: large nets train a
             * quarter faster. Past the end it is harmless, but must not be pointer arithmetic. */
            _mm_prefetch((const char *)((uintptr_t)latent + 2 * ROWS * t->latent_stride),
                         _MM_HINT_T0);
            __m512i w = _mm512_subs_epi16(_mm512_maskz_loadu_epi16(valid, latent), steps);
            w = _mm512_max_epi16(w, least);
            _mm512_mask_storeu_epi16(latent, valid, w);
            const __mmask32 signs = valid & ~_mm512_movepi16_mask(w);
            uint8_t *bits = t->bits + m * t->bits_stride + (n >> 3);
            if (rest >= 32)
                memcpy(bits, &signs, 4);
            else
                memcpy(bits, &signs, (rest + 7) / 8);
        }
    }
    return (uint32_t)_mm512_reduce_or_epi32(largest);
}

/* Eight blocks of two rows at once. */
AVX512 static void random_rows(uint8_t *bytes, const binnet_rng *rng, uint32_t row, uint32_t n_rows,
                               uint32_t first_block, uint32_t n_blocks) {
    const __m512i key[3] = {_mm512_set1_epi32((int32_t)rng->key[0]),
                            _mm512_set1_epi32((int32_t)rng->key[1]),
                            _mm512_set1_epi32((int32_t)(0x1bd11bdau ^ rng->key[0] ^ rng->key[1]))};
    const __m512i lane_block = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7);
    const __m512i lane_row = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m512i first_row = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i second_row = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    const size_t row_bytes = 8 * (size_t)n_blocks;
#define ROUND(n)                                                                                   \
    x0 = _mm512_add_epi32(x0, x1);                                                                 \
    x1 = _mm512_xor_si512(_mm512_rol_epi32(x1, n), x0)
#define INJECT(a, b, n)                                                                            \
    x0 = _mm512_add_epi32(x0, key[a]);                                                             \
    x1 = _mm512_add_epi32(x1, _mm512_add_epi32(key[b], _mm512_set1_epi32(n)))
    for (uint32_t block = 0; block < n_blocks; block += 8) {
        const uint32_t rest = n_blocks - block;
        const __mmask8 valid = (__mmask8)(rest >= 8 ? 0xffu : (1u << rest) - 1u);
        const __m512i column =
            _mm512_add_epi32(lane_block, _mm512_set1_epi32((int32_t)(first_block + block)));
        for (uint32_t r = 0; r < n_rows; r += 2) {
            __m512i x0 = _mm512_add_epi32(column, key[0]);
            __m512i x1 = _mm512_add_epi32(
                _mm512_add_epi32(lane_row, _mm512_set1_epi32((int32_t)(row + r))), key[1]);
            ROUND(13);
            ROUND(15);
            ROUND(26);
            ROUND(6);
            INJECT(1, 2, 1);
            ROUND(17);
            ROUND(29);
            ROUND(16);
            ROUND(24);
            INJECT(2, 0, 2);
            ROUND(13);
            ROUND(15);
            ROUND(26);
            ROUND(6);
            INJECT(0, 1, 3);
            ROUND(17);
            const __m512i low = _mm512_unpacklo_epi32(x0, x1), high = _mm512_unpackhi_epi32(x0, x1);
            uint8_t *out = bytes + r * row_bytes + 8 * (size_t)block;
            _mm512_mask_storeu_epi64(out, valid, _mm512_permutex2var_epi64(low, first_row, high));
            if (r + 1 < n_rows)
                _mm512_mask_storeu_epi64(out + row_bytes, valid,
                                         _mm512_permutex2var_epi64(low, second_row, high));
        }
    }
#undef ROUND
#undef INJECT
}

/* Bit lengths of bytes, a nibble at a time. */
AVX512 BINNET_INLINE __m512i bit_lengths(__m512i v) {
    const __m512i low =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4));
    const __m512i high =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 5, 6, 6, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8));
    const __m512i nibble = _mm512_set1_epi8(15);
    return _mm512_max_epu8(
        _mm512_shuffle_epi8(low, _mm512_and_si512(v, nibble)),
        _mm512_shuffle_epi8(high, _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble)));
}

AVX512 static void power_of_two(uint8_t *codes, const uint8_t *x, const uint8_t *random, uint32_t n,
                                uint32_t doubling) {
    const __m512i masks =
        _mm512_broadcast_i32x4(_mm_setr_epi8(1, 1, 1, 3, 7, 15, 31, 63, 127, 0, 0, 0, 0, 0, 0, 0));
    for (uint32_t i = 0; i < n; i += 64) {
        const __mmask64 valid = n - i >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << (n - i)) - 1;
        __m512i v = _mm512_maskz_loadu_epi8(valid, x + i);
        if (doubling) v = _mm512_add_epi8(v, v);
        const __m512i r = _mm512_and_si512(_mm512_maskz_loadu_epi8(valid, random + i),
                                           _mm512_shuffle_epi8(masks, bit_lengths(v)));
        /* floor((v + r) / 2): the average instruction rounds up */
        const __m512i odd = _mm512_and_si512(_mm512_xor_si512(v, r), _mm512_set1_epi8(1));
        _mm512_mask_storeu_epi8(codes + i, valid,
                                bit_lengths(_mm512_sub_epi8(_mm512_avg_epu8(v, r), odd)));
    }
}

/* ---- Bits ---------------------------------------------------------------------------------- */

AVX512 BINNET_INLINE void xnor_store(const binnet_xnor *t, int32_t *product, uint32_t column,
                                     __m256i differing) {
    const uint32_t n = t->n_columns - column;
    const __mmask8 valid = (__mmask8)(n >= 8 ? 0xffu : (1u << n) - 1u);
    __m256i sum = _mm256_set1_epi32(t->n_bits);
    if (t->add) sum = _mm256_add_epi32(sum, _mm256_maskz_loadu_epi32(valid, product + column));
    sum = _mm256_sub_epi32(sum, _mm256_add_epi32(differing, differing));
    _mm256_mask_storeu_epi32(product + column, valid, sum);
}

/* The sums of four rows and 8 or 16 columns, one column in each 64-bit lane. */
typedef struct xnor_sums {
    __m512i parity[XNOR_ROWS][2]; /* of the differing bits so far, at every position of a word */
    __m512i falls[XNOR_ROWS][2];  /* how often it went from 1 to 0, at all positions together */
} xnor_sums;

/* Every differing bit turns its position's parity over, so there are twice as many as falls, and
 * one more where the parity ends at 1. In two words it falls at most once: five instructions (two
 * parities, falls, vpopcntq, add), where exclusive or, count and add of each word are six. */
AVX512 BINNET_INLINE void xnor_step(const int vectors, xnor_sums *s, const uint64_t *const *a,
                                    size_t word, const uint64_t *b) {
    enum { XOR = 0x96, FALLS = 0x74 }; /* FALLS(u, v, w) = (u & ~v) | (v & ~w) */
    __m512i b0[2], b1[2];
    for (int j = 0; j < vectors; ++j) {
        b0[j] = _mm512_loadu_si512(b + 8 * j);
        b1[j] = _mm512_loadu_si512(b + 8 * j + XNOR_COLUMNS);
    }
    BINNET_UNROLL
    for (int i = 0; i < XNOR_ROWS; ++i) {
        const __m512i a0 = _mm512_set1_epi64((int64_t)a[i][word]);
        const __m512i a1 = _mm512_set1_epi64((int64_t)a[i][word + 1]);
        for (int j = 0; j < vectors; ++j) {
            const __m512i first = _mm512_ternarylogic_epi64(s->parity[i][j], a0, b0[j], XOR);
            const __m512i second = _mm512_ternarylogic_epi64(first, a1, b1[j], XOR);
            const __m512i falls = _mm512_ternarylogic_epi64(s->parity[i][j], first, second, FALLS);
            s->falls[i][j] = _mm512_add_epi64(s->falls[i][j], _mm512_popcnt_epi64(falls));
            s->parity[i][j] = second;
        }
    }
}

AVX512 BINNET_INLINE void xnor_rows(const int vectors, const binnet_xnor *t, uint32_t row) {
    const uint64_t *a[XNOR_ROWS], *b = t->panel;
    xnor_sums s;
    BINNET_UNROLL
    for (uint32_t i = 0; i < XNOR_ROWS; ++i) { /* rows past the last are the last again */
        a[i] = t->a + (row + i < t->n_rows ? row + i : t->n_rows - 1) * t->a_stride;
        for (int j = 0; j < vectors; ++j) s.parity[i][j] = s.falls[i][j] = _mm512_setzero_si512();
    }
    size_t w = 0;
    for (; w + 4 <= t->n_words; w += 4, b += 4 * XNOR_COLUMNS) {
        xnor_step(vectors, &s, a, w, b);
        xnor_step(vectors, &s, a, w + 2, b + 2 * XNOR_COLUMNS);
    }
    if (t->n_words & 2) {
        xnor_step(vectors, &s, a, w, b);
        w += 2;
        b += 2 * XNOR_COLUMNS;
    }
    BINNET_UNROLL
    for (uint32_t i = 0; i < XNOR_ROWS; ++i)
        for (int j = 0; j < vectors; ++j) {
            __m512i count = _mm512_add_epi64(_mm512_add_epi64(s.falls[i][j], s.falls[i][j]),
                                             _mm512_popcnt_epi64(s.parity[i][j]));
            if (t->n_words & 1)
                count = _mm512_add_epi64(
                    count, _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_set1_epi64((int64_t)a[i][w]),
                                                                _mm512_loadu_si512(b + 8 * j))));
            if (row + i < t->n_rows)
                xnor_store(t, t->product + (row + i) * t->product_stride, 8 * (uint32_t)j,
                           _mm512_cvtepi64_epi32(count));
        }
}

AVX512 static void xnor(const binnet_xnor *tile) {
    for (uint32_t row = 0; row < tile->n_rows; row += XNOR_ROWS) {
        if (tile->n_columns > 8)
            xnor_rows(2, tile, row);
        else
            xnor_rows(1, tile, row);
    }
}

BINNET_DEFINE_NORM(AVX512)

const binnet_kernels binnet_kernels_avx512 = {
    .name = "avx512",
    .alignment = 64,
    .unit_tile = TILE,
    .column_tile = TILE,
    .row_block = ROWS,
    .packs = 1,
    .xnor_columns = XNOR_COLUMNS,
    .forward = forward,
    .backward = backward,
    .interleave = interleave,
    .pack_codes = pack_codes,
    .outer = outer,
    .update = update,
    .random = random_rows,
    .power_of_two = power_of_two,
    .xnor = xnor,
    BINNET_NORM_KERNELS,
};
#else
typedef int binnet_no_avx512; /* ISO C wants a declaration in every file */
#endif
