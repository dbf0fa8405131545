/* AVX2. The bottleneck is vpmaddubsw + vpmaddwd + vpaddd for four u8 × i8 products a lane. One
 * factor is always -1, 0, 1, 2 or a power of two up to 128, so the 16-bit pairs never saturate: 2 ·
 * 127 · 128 < 2^15. A 64-column tile is two panels [depth / 4][32][4] of bytes against broadcast
 * groups of four.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "norm_inline.h"

#if BINNET_X86
#include <immintrin.h>

#define AVX2 BINNET_TARGET("avx2")

enum { TILE = 64, HALF = 32, GROUP_BYTES = 4 * HALF, XNOR_COLUMNS = 4 };

/* ---- Packing ------------------------------------------------------------------------------- */

/* 32 bits from bit `from` of a row of n_bits; those past its end are 0. */
AVX2 BINNET_INLINE uint32_t load_bits(const uint8_t *row, uint32_t from, uint32_t n_bits) {
    uint32_t bits = 0;
    if (from >= n_bits) return 0;
    const uint32_t n_bytes = (n_bits - from + 7) / 8;
    memcpy(&bits, row + from / 8, n_bytes < 4 ? n_bytes : 4);
    return bits;
}

/* 32 bytes, 255 where the bit is set. */
AVX2 BINNET_INLINE __m256i expand(uint32_t bits) {
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                            2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201u);
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32((int32_t)bits), spread);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
}

AVX2 BINNET_INLINE void store(uint8_t *p, __m256i v) {
    _mm256_storeu_si256((__m256i *)(void *)p, v);
}
AVX2 BINNET_INLINE __m256i load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* Transposes 8 × 8 dwords. */
AVX2 BINNET_INLINE void transpose8(__m256i r[8]) {
    __m256i t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x31);
    }
    for (int i = 0; i < 8; ++i) r[i] = t[i];
}

/* Weights of 32 units as ±1 bytes; 0 where there is no unit or input. */
AVX2 static void pack_forward(uint8_t *panel, const binnet_tile *tile, uint32_t first_unit) {
    const __m256i one = _mm256_set1_epi8(1), two = _mm256_set1_epi8(2);
    const uint32_t n_quads = (tile->depth + 3) / 4;
    for (uint32_t n = 0; n < tile->depth; n += 32) {
        const uint32_t rest = tile->depth - n;
        const __m256i valid = expand(rest >= 32 ? 0xffffffffu : (1u << rest) - 1u);
        const uint32_t quads = n_quads - n / 4 < 8 ? n_quads - n / 4 : 8;
        for (uint32_t group = 0; group < HALF; group += 8) {
            __m256i r[8];
            for (uint32_t i = 0; i < 8; ++i) {
                const uint32_t u = first_unit + group + i;
                r[i] = _mm256_setzero_si256();
                if (u >= tile->n_columns) continue;
                const __m256i set =
                    expand(load_bits(tile->bits + u * tile->bits_stride, n, tile->depth));
                r[i] = _mm256_and_si256(valid, _mm256_sub_epi8(_mm256_and_si256(set, two), one));
            }
            transpose8(r);
            for (uint32_t q = 0; q < quads; ++q)
                store(panel + (n / 4 + q) * (size_t)GROUP_BYTES + group * 4, r[q]);
        }
    }
}

/* Four rows of 32 bytes as 32 groups of four. */
AVX2 BINNET_INLINE void interleave4(uint8_t *out, const __m256i r[4]) {
    const __m256i low01 = _mm256_unpacklo_epi8(r[0], r[1]),
                  high01 = _mm256_unpackhi_epi8(r[0], r[1]);
    const __m256i low23 = _mm256_unpacklo_epi8(r[2], r[3]),
                  high23 = _mm256_unpackhi_epi8(r[2], r[3]);
    const __m256i q0 = _mm256_unpacklo_epi16(low01, low23);
    const __m256i q1 = _mm256_unpackhi_epi16(low01, low23);
    const __m256i q2 = _mm256_unpacklo_epi16(high01, high23);
    const __m256i q3 = _mm256_unpackhi_epi16(high01, high23);
    store(out, _mm256_permute2x128_si256(q0, q1, 0x20));
    store(out + 32, _mm256_permute2x128_si256(q2, q3, 0x20));
    store(out + 64, _mm256_permute2x128_si256(q0, q1, 0x31));
    store(out + 96, _mm256_permute2x128_si256(q2, q3, 0x31));
}

/* Weights of 32 inputs plus 1, as bytes 0 and 2, so that they are unsigned. */
AVX2 static void pack_backward(uint8_t *panel, const binnet_tile *tile, uint32_t first_column) {
    for (uint32_t m = 0; m < tile->depth; m += 4, panel += GROUP_BYTES) {
        __m256i r[4];
        for (uint32_t i = 0; i < 4; ++i) {
            r[i] = _mm256_setzero_si256();
            if (m + i >= tile->depth) continue;
            const uint8_t *row = tile->bits + (m + i) * tile->bits_stride;
            r[i] = _mm256_and_si256(expand(load_bits(row, first_column, tile->n_columns)),
                                    _mm256_set1_epi8(2));
        }
        interleave4(panel, r);
    }
}

static size_t half_panel(uint32_t depth) { return (size_t)(depth + 3) / 4 * GROUP_BYTES; }

AVX2 static void pack_codes(uint8_t *panel, const uint8_t *codes, uint32_t depth,
                            uint32_t column_tile) {
    const __m256i values = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0));
    for (uint32_t half = 0; half < TILE; half += HALF)
        for (uint32_t b = 0; b < depth; b += 4, panel += GROUP_BYTES) {
            __m256i r[4];
            for (uint32_t i = 0; i < 4; ++i) {
                r[i] = _mm256_setzero_si256();
                if (b + i < depth)
                    r[i] = _mm256_shuffle_epi8(values,
                                               load(codes + (b + i) * (size_t)column_tile + half));
            }
            interleave4(panel, r);
        }
}

AVX2 static void interleave(uint8_t *out, const int8_t *delta, uint32_t n_rows, uint32_t n_units) {
    for (uint32_t b = 0; b < n_rows; b += 4)
        for (uint32_t m = 0; m < n_units; m += HALF) {
            const uint32_t n = n_units - m < HALF ? n_units - m : HALF;
            uint8_t rows[4][HALF] = {{0}}, groups[GROUP_BYTES];
            __m256i r[4];
            for (uint32_t i = 0; i < 4; ++i) {
                if (b + i < n_rows) memcpy(rows[i], delta + (b + i) * (size_t)n_units + m, n);
                r[i] = load(rows[i]);
            }
            interleave4(groups, r);
            memcpy(out + b * (size_t)n_units + 4 * (size_t)m, groups, 4 * (size_t)n);
        }
}

/* ---- Microkernel --------------------------------------------------------------------------- */

/* Four bytes of a row; those past the row's end are 0. */
AVX2 BINNET_INLINE __m256i load_group(const uint8_t *p, uint32_t n_bytes) {
    int32_t group = 0;
    memcpy(&group, p, n_bytes < 4 ? n_bytes : 4);
    return _mm256_set1_epi32(group);
}

AVX2 BINNET_INLINE void dot_step(const int unsigned_left, __m256i sums[4], __m256i v,
                                 const uint8_t *panel) {
    BINNET_UNROLL
    for (int j = 0; j < 4; ++j) {
        const __m256i p = load(panel + 32 * j);
        const __m256i pairs =
            unsigned_left ? _mm256_maddubs_epi16(v, p) : _mm256_maddubs_epi16(p, v);
        sums[j] = _mm256_add_epi32(sums[j], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
}

/* out[i][32] = start[i] + the sums of `rows` rows, whose groups are at left + i · row_step + q ·
 * group_step. The last group has depth % 4 bytes, if that is not 0: a row of a matrix may end
 * the buffer. */
AVX2 BINNET_INLINE void dot_rows(const int rows, const int unsigned_left, int32_t *out,
                                 size_t out_stride, const uint8_t *left, size_t row_step,
                                 size_t group_step, uint32_t depth, const uint8_t *panel,
                                 const int32_t *start) {
    __m256i sums[2][4];
    BINNET_UNROLL
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < 4; ++j) sums[i][j] = _mm256_set1_epi32(start ? start[i] : 0);
    for (uint32_t q = 0; q < depth / 4; ++q, panel += GROUP_BYTES, left += group_step) {
        BINNET_UNROLL
        for (int i = 0; i < rows; ++i)
            dot_step(unsigned_left, sums[i], load_group(left + (size_t)i * row_step, 4), panel);
    }
    if (depth % 4)
        for (int i = 0; i < rows; ++i)
            dot_step(unsigned_left, sums[i], load_group(left + (size_t)i * row_step, depth % 4),
                     panel);
    BINNET_UNROLL
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < 4; ++j)
            store((uint8_t *)(out + (size_t)i * out_stride + 8 * j), sums[i][j]);
}

/* All rows of half a tile, two at a time. */
AVX2 BINNET_INLINE void dot_half(const int unsigned_left, const binnet_tile *t, uint32_t half,
                                 size_t row_step, size_t group_step, uint32_t depth,
                                 const int32_t *start) {
    const uint8_t *panel = t->panel + (half ? half_panel(depth) : 0);
    const uint8_t *left = t->left;
    int32_t *out = t->out + half;
    uint32_t i = 0;
    for (; i + 2 <= t->n_rows; i += 2, left += 2 * row_step, out += 2 * t->out_stride)
        dot_rows(2, unsigned_left, out, t->out_stride, left, row_step, group_step, depth, panel,
                 start ? start + i : NULL);
    if (i < t->n_rows)
        dot_rows(1, unsigned_left, out, t->out_stride, left, row_step, group_step, depth, panel,
                 start ? start + i : NULL);
}

AVX2 static void forward(const binnet_tile *tile) {
    for (uint32_t half = 0; half < tile->n_columns; half += HALF) {
        pack_forward(tile->panel + (half ? half_panel(tile->depth) : 0), tile, half);
        dot_half(1, tile, half, tile->left_stride, 4, tile->depth, NULL);
    }
}

static int32_t sum_row(const int8_t *delta, uint32_t n) {
    int32_t sum = 0;
    for (uint32_t m = 0; m < n; ++m) sum += delta[m];
    return sum;
}

/* sum of w · delta = (sum of (w + 1) · delta) - (sum of delta). */
AVX2 static void backward(const binnet_tile *tile) {
    enum { BLOCK = 16 };
    binnet_tile rows = *tile;
    for (uint32_t half = 0; half < tile->n_columns; half += HALF)
        pack_backward(tile->panel + (half ? half_panel(tile->depth) : 0), tile, half);
    for (uint32_t b = 0; b < tile->n_rows; b += BLOCK) {
        int32_t start[BLOCK];
        rows.n_rows = tile->n_rows - b < BLOCK ? tile->n_rows - b : BLOCK;
        rows.left = (const int8_t *)tile->left + b * tile->left_stride;
        rows.out = tile->out + b * tile->out_stride;
        for (uint32_t i = 0; i < rows.n_rows; ++i)
            start[i] = -sum_row((const int8_t *)rows.left + i * tile->left_stride, tile->depth);
        for (uint32_t half = 0; half < tile->n_columns; half += HALF)
            dot_half(0, &rows, half, tile->left_stride, 4, tile->depth, start);
    }
}

/* The interleaved error has whole groups, and a group of every unit before the next group. */
AVX2 static void outer(const binnet_tile *tile) {
    for (uint32_t half = 0; half < tile->n_columns; half += HALF)
        dot_half(0, tile, half, 4, 4 * tile->left_stride, (tile->depth + 3) / 4 * 4, NULL);
}

/* ---- Element-wise: whole vectors here, the rest of a row with the portable kernels ----------- */

AVX2 static uint32_t update(const binnet_update *t) {
    const int32_t k = t->rule.shift - 8;
    const __m256i high = _mm256_set1_epi32(t->rule.limit), low = _mm256_set1_epi32(-t->rule.limit);
    const __m256i half = _mm256_set1_epi32(k > 0 ? (int32_t)(1u << (k - 1)) : 0);
    const __m128i left = _mm_cvtsi32_si128(k < 0 ? -k : 0),
                  right = _mm_cvtsi32_si128(k > 0 ? k : 0);
    const __m256i most = _mm256_set1_epi32(32767), least = _mm256_set1_epi32(-32767);
    const uint32_t whole = t->n_columns & ~7u;
    __m256i largest = _mm256_setzero_si256();
    for (uint32_t m = 0; m < t->n_rows; ++m)
        for (uint32_t n = 0; n < whole; n += 8) {
            __m256i g = load(t->gradient + m * t->stride + n);
            largest = _mm256_or_si256(largest, _mm256_abs_epi32(g));
            if (!t->rule.apply) continue;
            g = _mm256_min_epi32(_mm256_max_epi32(g, low), high);
            g = _mm256_sra_epi32(_mm256_sll_epi32(_mm256_add_epi32(g, half), left), right);
            const uint8_t *random = t->random + m * t->stride + n;
            const __m256i r =
                _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)random));
            const __m256i step = _mm256_srai_epi32(_mm256_add_epi32(g, r), 8);
            __m128i *latent = (__m128i *)(void *)(t->latent + m * t->latent_stride + n);
            __m256i w = _mm256_sub_epi32(_mm256_cvtepi16_epi32(_mm_loadu_si128(latent)), step);
            w = _mm256_min_epi32(_mm256_max_epi32(w, least), most);
            _mm_storeu_si128(
                latent, _mm_packs_epi32(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
            t->bits[m * t->bits_stride + (n >> 3)] =
                (uint8_t)(~_mm256_movemask_ps(_mm256_castsi256_ps(w)) & 255);
        }
    uint32_t lanes[8], bits = 0;
    store((uint8_t *)lanes, largest);
    for (int i = 0; i < 8; ++i) bits |= lanes[i];
    if (whole == t->n_columns) return bits;
    binnet_update rest = *t;
    rest.n_columns -= whole;
    rest.latent += whole;
    rest.bits += whole >> 3;
    rest.gradient += whole;
    rest.random += whole;
    return bits | binnet_kernels_portable.update(&rest);
}

AVX2 BINNET_INLINE __m256i rotate(__m256i v, const int n) {
    return _mm256_or_si256(_mm256_slli_epi32(v, n), _mm256_srli_epi32(v, 32 - n));
}

/* Eight blocks at once. */
AVX2 static void random_rows(uint8_t *bytes, const binnet_rng *rng, uint32_t row, uint32_t n_rows,
                             uint32_t first_block, uint32_t n_blocks) {
    const __m256i key[3] = {_mm256_set1_epi32((int32_t)rng->key[0]),
                            _mm256_set1_epi32((int32_t)rng->key[1]),
                            _mm256_set1_epi32((int32_t)(0x1bd11bdau ^ rng->key[0] ^ rng->key[1]))};
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
#define ROUND(n)                                                                                   \
    x0 = _mm256_add_epi32(x0, x1);                                                                 \
    x1 = _mm256_xor_si256(rotate(x1, n), x0)
#define INJECT(a, b, n)                                                                            \
    x0 = _mm256_add_epi32(x0, key[a]);                                                             \
    x1 = _mm256_add_epi32(x1, _mm256_add_epi32(key[b], _mm256_set1_epi32(n)))
    for (uint32_t r = 0; r < n_rows; ++r) {
        uint32_t block = 0;
        for (; block + 8 <= n_blocks; block += 8, bytes += 64) {
            const __m256i column = _mm256_set1_epi32((int32_t)(first_block + block));
            __m256i x0 = _mm256_add_epi32(_mm256_add_epi32(lane, column), key[0]);
            __m256i x1 = _mm256_add_epi32(_mm256_set1_epi32((int32_t)(row + r)), key[1]);
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
            const __m256i low = _mm256_unpacklo_epi32(x0, x1), high = _mm256_unpackhi_epi32(x0, x1);
            store(bytes, _mm256_permute2x128_si256(low, high, 0x20));
            store(bytes + 32, _mm256_permute2x128_si256(low, high, 0x31));
        }
        binnet_rng_blocks(rng, row + r, first_block + block, n_blocks - block, bytes);
        bytes += 8 * (size_t)(n_blocks - block);
    }
#undef ROUND
#undef INJECT
}

/* Bit lengths of bytes, a nibble at a time. */
AVX2 BINNET_INLINE __m256i bit_lengths(__m256i v) {
    const __m256i low =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4));
    const __m256i high =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 5, 6, 6, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8));
    const __m256i nibble = _mm256_set1_epi8(15);
    return _mm256_max_epu8(
        _mm256_shuffle_epi8(low, _mm256_and_si256(v, nibble)),
        _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble)));
}

AVX2 static void power_of_two(uint8_t *codes, const uint8_t *x, const uint8_t *random, uint32_t n,
                              uint32_t doubling) {
    const __m256i masks = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, 1, 1, 3, 7, 15, 31, 63, 127, 0, 0, 0, 0, 0, 0, 0));
    uint32_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i v = load(x + i);
        if (doubling) v = _mm256_add_epi8(v, v);
        const __m256i r =
            _mm256_and_si256(load(random + i), _mm256_shuffle_epi8(masks, bit_lengths(v)));
        /* floor((v + r) / 2): the average instruction rounds up */
        const __m256i odd = _mm256_and_si256(_mm256_xor_si256(v, r), _mm256_set1_epi8(1));
        store(codes + i, bit_lengths(_mm256_sub_epi8(_mm256_avg_epu8(v, r), odd)));
    }
    binnet_kernels_portable.power_of_two(codes + i, x + i, random + i, n - i, doubling);
}

/* ---- Bits ---------------------------------------------------------------------------------- */

/* Bytes of bit counts: nibbles by table. */
AVX2 BINNET_INLINE __m256i byte_counts(__m256i v) {
    const __m256i table =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i nibble = _mm256_set1_epi8(15);
    return _mm256_add_epi8(
        _mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble)),
        _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble)));
}

AVX2 BINNET_INLINE __m256i count_bits(__m256i v) {
    return _mm256_sad_epu8(byte_counts(v), _mm256_setzero_si256());
}

/* A full adder of every bit position: *a becomes the sum, the carry is returned. */
AVX2 BINNET_INLINE __m256i add_bits(__m256i *a, __m256i b, __m256i c) {
    const __m256i u = _mm256_xor_si256(*a, b);
    const __m256i carry = _mm256_or_si256(_mm256_and_si256(*a, b), _mm256_and_si256(u, c));
    *a = _mm256_xor_si256(u, c);
    return carry;
}

AVX2 BINNET_INLINE __m256i differ(const uint64_t *a, const uint64_t *b, uint32_t word) {
    return _mm256_xor_si256(_mm256_set1_epi64x((int64_t)a[word]),
                            load(b + (size_t)word * XNOR_COLUMNS));
}

/* Differing bits of a row and of four columns, one in each 64-bit lane. Eight words are added to
 * every position's count with the binary digits ones, twos and fours: only the carries into the
 * eights are counted, at most 16 · 8 a byte. */
AVX2 BINNET_INLINE __m256i xor_count(const uint64_t *a, const uint64_t *b, uint32_t n_words) {
    __m256i ones = _mm256_setzero_si256(), twos = ones, fours = ones, eights = ones;
    uint32_t w = 0;
    for (; w + 8 <= n_words; w += 8) {
        __m256i low = add_bits(&ones, differ(a, b, w), differ(a, b, w + 1));
        __m256i high = add_bits(&ones, differ(a, b, w + 2), differ(a, b, w + 3));
        const __m256i lower = add_bits(&twos, low, high);
        low = add_bits(&ones, differ(a, b, w + 4), differ(a, b, w + 5));
        high = add_bits(&ones, differ(a, b, w + 6), differ(a, b, w + 7));
        const __m256i upper = add_bits(&twos, low, high);
        eights = _mm256_add_epi8(eights, byte_counts(add_bits(&fours, lower, upper)));
    }
    __m256i count = _mm256_sad_epu8(eights, _mm256_setzero_si256());
    count = _mm256_add_epi64(_mm256_add_epi64(count, count), count_bits(fours));
    count = _mm256_add_epi64(_mm256_add_epi64(count, count), count_bits(twos));
    count = _mm256_add_epi64(_mm256_add_epi64(count, count), count_bits(ones));
    for (; w < n_words; ++w) count = _mm256_add_epi64(count, count_bits(differ(a, b, w)));
    return count;
}

AVX2 static void xnor(const binnet_xnor *t) {
    for (uint32_t i = 0; i < t->n_rows; ++i) {
        int32_t *product = t->product + i * t->product_stride;
        int64_t counts[XNOR_COLUMNS];
        store((uint8_t *)counts, xor_count(t->a + i * t->a_stride, t->panel, t->n_words));
        for (uint32_t j = 0; j < t->n_columns; ++j)
            product[j] = (t->add ? product[j] : 0) + t->n_bits - 2 * (int32_t)counts[j];
    }
}

BINNET_DEFINE_NORM(AVX2)

const binnet_kernels binnet_kernels_avx2 = {
    .name = "avx2",
    .alignment = 64,
    .unit_tile = TILE,
    .column_tile = TILE,
    .row_block = 8,
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
typedef int binnet_no_avx2; /* ISO C wants a declaration in every file */
#endif
