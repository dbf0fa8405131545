/* AVX-512 with VNNI and VPOPCNTDQ. The bottleneck is vpdpbusd: four u8 × i8 products a lane, summed
 * exactly in int32. One factor is always -1, 0, 1, 2 or a power of two, so that it serves as a bank
 * of adders. Every product is a 64-column tile: a panel [depth / 4][64][4] of bytes against
 * broadcast groups of four.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#if BINNET_X86
#include <immintrin.h>

#define AVX512 BINNET_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vpopcntdq")

enum { TILE = 64, ROWS = 6 }; /* 6 × 4 accumulators of 16 lanes leave 8 registers for operands */

/* ---- Packing ------------------------------------------------------------------------------- */

/* Bits of a weight row from a byte on: up to 64, those past n_bytes are 0. */
AVX512 BINNET_INLINE uint64_t load_bits(const uint8_t *p, size_t n_bytes) {
    uint64_t bits = 0;
    memcpy(&bits, p, n_bytes < 8 ? n_bytes : 8);
    return bits;
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

/* Four bytes of a row; those past the row's end are 0. */
AVX512 BINNET_INLINE int32_t load_group(const uint8_t *p, uint32_t n_bytes) {
    int32_t group = 0;
    memcpy(&group, p, n_bytes < 4 ? n_bytes : 4);
    return group;
}

/* One group of four of each row against a panel group. Which side is unsigned is the caller's
 * constant. */
AVX512 BINNET_INLINE void dot_step(const int rows, const int unsigned_left, __m512i sums[ROWS][4],
                                   const int32_t groups[ROWS], const uint8_t *panel) {
    const __m512i p0 = _mm512_loadu_si512(panel), p1 = _mm512_loadu_si512(panel + 64);
    const __m512i p2 = _mm512_loadu_si512(panel + 128), p3 = _mm512_loadu_si512(panel + 192);
    BINNET_UNROLL
    for (int i = 0; i < rows; ++i) {
        const __m512i v = _mm512_set1_epi32(groups[i]);
        sums[i][0] =
            _mm512_dpbusd_epi32(sums[i][0], unsigned_left ? v : p0, unsigned_left ? p0 : v);
        sums[i][1] =
            _mm512_dpbusd_epi32(sums[i][1], unsigned_left ? v : p1, unsigned_left ? p1 : v);
        sums[i][2] =
            _mm512_dpbusd_epi32(sums[i][2], unsigned_left ? v : p2, unsigned_left ? p2 : v);
        sums[i][3] =
            _mm512_dpbusd_epi32(sums[i][3], unsigned_left ? v : p3, unsigned_left ? p3 : v);
    }
}

/* out[i][64] = start[i] + the sums of `rows` rows, whose groups are at left + i · row_step + q ·
 * group_step. The last group has depth % 4 bytes, if that is not 0: a row of a matrix may end
 * the buffer. */
AVX512 BINNET_INLINE void dot_rows(const int rows, const int unsigned_left, int32_t *out,
                                   size_t out_stride, const uint8_t *left, size_t row_step,
                                   size_t group_step, uint32_t depth, const uint8_t *panel,
                                   const int32_t *start) {
    __m512i sums[ROWS][4];
    int32_t groups[ROWS];
    BINNET_UNROLL
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < 4; ++j) sums[i][j] = _mm512_set1_epi32(start ? start[i] : 0);
    for (uint32_t q = 0; q < depth / 4; ++q, panel += 4 * TILE, left += group_step) {
        BINNET_UNROLL
        for (int i = 0; i < rows; ++i) groups[i] = load_group(left + (size_t)i * row_step, 4);
        dot_step(rows, unsigned_left, sums, groups, panel);
    }
    if (depth % 4) {
        for (int i = 0; i < rows; ++i)
            groups[i] = load_group(left + (size_t)i * row_step, depth % 4);
        dot_step(rows, unsigned_left, sums, groups, panel);
    }
    BINNET_UNROLL
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < 4; ++j)
            _mm512_storeu_si512(out + (size_t)i * out_stride + 16 * j, sums[i][j]);
}

/* All rows of a tile, ROWS at a time. */
AVX512 BINNET_INLINE void dot_tile(const int unsigned_left, const binnet_tile *t, size_t row_step,
                                   size_t group_step, uint32_t depth, const int32_t *start) {
    int32_t *out = t->out;
    const uint8_t *left = t->left;
    uint32_t rest = t->n_rows;
    for (; rest >= ROWS; rest -= ROWS, left += ROWS * row_step, out += ROWS * t->out_stride) {
        dot_rows(ROWS, unsigned_left, out, t->out_stride, left, row_step, group_step, depth,
                 t->panel, start);
        if (start) start += ROWS;
    }
#define REST(n)                                                                                    \
    case n:                                                                                        \
        dot_rows(n, unsigned_left, out, t->out_stride, left, row_step, group_step, depth,          \
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

AVX512 static void forward(const binnet_tile *tile) {
    pack_forward(tile);
    dot_tile(1, tile, tile->left_stride, 4, tile->depth, NULL);
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
        dot_tile(0, &rows, tile->left_stride, 4, tile->depth, start);
    }
}

/* The interleaved error has whole groups, and a group of every unit before the next group. */
AVX512 static void outer(const binnet_tile *tile) {
    dot_tile(0, tile, 4, 4 * tile->left_stride, (tile->depth + 3) / 4 * 4, NULL);
}

/* ---- Element-wise -------------------------------------------------------------------------- */

AVX512 static uint32_t update(const binnet_update *u) {
    const int32_t k = u->rule.shift - 8;
    const __m512i high = _mm512_set1_epi32(u->rule.limit), low = _mm512_set1_epi32(-u->rule.limit);
    const __m512i half = _mm512_set1_epi32(k > 0 ? (int32_t)(1u << (k - 1)) : 0);
    const __m128i left = _mm_cvtsi32_si128(k < 0 ? -k : 0),
                  right = _mm_cvtsi32_si128(k > 0 ? k : 0);
    const __m512i most = _mm512_set1_epi32(32767), least = _mm512_set1_epi32(-32767);
    __m512i largest = _mm512_setzero_si512();
    for (uint32_t n = 0; n < u->n_columns; n += 16) {
        const uint32_t rest = u->n_columns - n;
        const __mmask16 valid = (__mmask16)(rest >= 16 ? 0xffffu : (1u << rest) - 1u);
        __m512i g = _mm512_maskz_loadu_epi32(valid, u->gradient + n);
        largest = _mm512_max_epu32(largest, _mm512_abs_epi32(g));
        if (!u->rule.apply) continue;
        g = _mm512_min_epi32(_mm512_max_epi32(g, low), high);
        g = _mm512_sra_epi32(_mm512_sll_epi32(_mm512_add_epi32(g, half), left), right);
        const __m512i random = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(valid, u->random + n));
        const __m512i step = _mm512_srai_epi32(_mm512_add_epi32(g, random), 8);
        __m512i w = _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(valid, u->latent + n));
        w = _mm512_sub_epi32(w, step);
        w = _mm512_min_epi32(_mm512_max_epi32(w, least), most);
        _mm256_mask_storeu_epi16(u->latent + n, valid, _mm512_cvtepi32_epi16(w));
        const uint32_t bits = valid & (uint32_t)~_mm512_movepi32_mask(w);
        u->bits[n >> 3] = (uint8_t)(bits & 255u);
        if (rest > 8) u->bits[(n >> 3) + 1] = (uint8_t)(bits >> 8);
    }
    return _mm512_reduce_max_epu32(largest);
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

AVX512 static uint64_t xor_count(const uint64_t *a, const uint64_t *b, size_t n_words) {
    __m512i count = _mm512_setzero_si512();
    for (size_t i = 0; i < n_words; i += 8) {
        const size_t rest = n_words - i;
        const __mmask8 valid = (__mmask8)(rest >= 8 ? 0xffu : (1u << rest) - 1u);
        count = _mm512_add_epi64(
            count, _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_maskz_loadu_epi64(valid, a + i),
                                                        _mm512_maskz_loadu_epi64(valid, b + i))));
    }
    return (uint64_t)_mm512_reduce_add_epi64(count);
}

const binnet_kernels binnet_kernels_avx512 = {
    .name = "avx512",
    .alignment = 64,
    .unit_tile = TILE,
    .column_tile = TILE,
    .row_block = ROWS,
    .packs = 1,
    .forward = forward,
    .backward = backward,
    .interleave = interleave,
    .pack_codes = pack_codes,
    .outer = outer,
    .update = update,
    .random = random_rows,
    .power_of_two = power_of_two,
    .xor_count = xor_count,
};
#else
typedef int binnet_no_avx512; /* ISO C wants a declaration in every file */
#endif
