/* NEON of AArch64. The bottleneck is udot or sdot, where the compiler's target has them: four
 * products a lane, both sides unsigned or both signed. Else it is two widening multiplications and
 * two pairwise additions. Panels hold the right factor's negative, for a power of two may be 128,
 * which is no int8, but -128 is. A 64-column tile is four panels [depth / 4][16][4] of bytes.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "norm_inline.h"

#if BINNET_NEON
#include <arm_neon.h>

enum { TILE = 64, PART = 16, GROUP_BYTES = 4 * PART };
#if defined(__ARM_FEATURE_DOTPROD)
enum { ROWS = 4 }; /* 4 × 4 accumulators hide the latency of udot */
#else
enum { ROWS = 2 }; /* 2 × 4 accumulators leave registers for the 16-bit products */
#endif

/* ---- Packing ------------------------------------------------------------------------------- */

/* 16 bytes, 255 where the bit is set, from the first of n_bytes bytes of a weight row on. */
BINNET_INLINE uint8x16_t expand(const uint8_t *p, uint32_t n_bytes) {
    const uint8x8_t bit = vcreate_u8(0x8040201008040201u);
    const uint8x8_t low = vdup_n_u8(p[0]), high = vdup_n_u8(n_bytes > 1 ? p[1] : 0);
    return vcombine_u8(vtst_u8(low, bit), vtst_u8(high, bit));
}

/* The panel of the tile's columns from `column` on, a multiple of PART. */
BINNET_INLINE uint8_t *panel_at(uint8_t *panel, uint32_t column, uint32_t depth) {
    return panel + column / PART * ((size_t)(depth + 3) / 4 * GROUP_BYTES);
}

/* Transposes 4 × 4 groups of four bytes. */
BINNET_INLINE void transpose4(uint8x16_t r[4]) {
    uint64x2_t t[4];
    for (int i = 0; i < 4; i += 2) {
        const uint32x4_t even = vreinterpretq_u32_u8(r[i]), odd = vreinterpretq_u32_u8(r[i + 1]);
        t[i] = vreinterpretq_u64_u32(vtrn1q_u32(even, odd));
        t[i + 1] = vreinterpretq_u64_u32(vtrn2q_u32(even, odd));
    }
    for (int i = 0; i < 2; ++i) {
        r[i] = vreinterpretq_u8_u64(vzip1q_u64(t[i], t[i + 2]));
        r[i + 2] = vreinterpretq_u8_u64(vzip2q_u64(t[i], t[i + 2]));
    }
}

/* 1 minus the weights of 64 units, as bytes 0 and 2, so that they are unsigned; 0 where there is no
 * unit. */
static void pack_forward(const binnet_tile *tile) {
    const uint32_t n_quads = (tile->depth + 3) / 4;
    for (uint32_t u = 0; u < (tile->n_columns + PART - 1) / PART * PART; u += 4) {
        uint8_t *panel = panel_at(tile->panel, u, tile->depth) + u % PART * 4;
        for (uint32_t n = 0; n < tile->depth; n += 16) {
            const uint32_t n_bytes = (tile->depth - n + 7) / 8;
            const uint32_t quads = n_quads - n / 4 < 4 ? n_quads - n / 4 : 4;
            uint8x16_t r[4];
            for (uint32_t i = 0; i < 4; ++i) {
                r[i] = vdupq_n_u8(0);
                if (u + i >= tile->n_columns) continue;
                const uint8_t *bits = tile->bits + (u + i) * tile->bits_stride + n / 8;
                r[i] = vbicq_u8(vdupq_n_u8(2), expand(bits, n_bytes));
            }
            transpose4(r);
            for (uint32_t q = 0; q < quads; ++q, panel += GROUP_BYTES) vst1q_u8(panel, r[q]);
        }
    }
}

/* The negative weights of 64 inputs. */
static void pack_backward(const binnet_tile *tile) {
    uint8_t *panel = tile->panel;
    for (uint32_t column = 0; column < tile->n_columns; column += PART)
        for (uint32_t m = 0; m < tile->depth; m += 4, panel += GROUP_BYTES) {
            uint8x16x4_t r;
            for (uint32_t i = 0; i < 4; ++i) {
                r.val[i] = vdupq_n_u8(0);
                if (m + i >= tile->depth) continue;
                const uint8_t *bits = tile->bits + (m + i) * tile->bits_stride + column / 8;
                r.val[i] =
                    vorrq_u8(expand(bits, (tile->n_columns - column + 7) / 8), vdupq_n_u8(1));
            }
            vst4q_u8(panel, r);
        }
}

/* The negative values of codes. */
static void pack_codes(uint8_t *panel, const uint8_t *codes, uint32_t depth, uint32_t column_tile) {
    const uint8x16_t values =
        vcombine_u8(vcreate_u8(0xc0e0f0f8fcfeff00u), vcreate_u8(0x80)); /* 0, -1, -2, .. -128 */
    for (uint32_t column = 0; column < TILE; column += PART)
        for (uint32_t b = 0; b < depth; b += 4, panel += GROUP_BYTES) {
            uint8x16x4_t r;
            for (uint32_t i = 0; i < 4; ++i) {
                r.val[i] = vdupq_n_u8(0);
                if (b + i < depth)
                    r.val[i] = vqtbl1q_u8(values,
                                          vld1q_u8(codes + (b + i) * (size_t)column_tile + column));
            }
            vst4q_u8(panel, r);
        }
}

static void interleave(uint8_t *out, const int8_t *delta, uint32_t n_rows, uint32_t n_units) {
    for (uint32_t b = 0; b < n_rows; b += 4)
        for (uint32_t m = 0; m < n_units; m += PART) {
            const uint32_t n = n_units - m < PART ? n_units - m : PART;
            uint8_t rows[4][PART] = {{0}}, groups[GROUP_BYTES];
            uint8x16x4_t r;
            for (uint32_t i = 0; i < 4; ++i) {
                if (b + i < n_rows) memcpy(rows[i], delta + (b + i) * (size_t)n_units + m, n);
                r.val[i] = vld1q_u8(rows[i]);
            }
            vst4q_u8(groups, r);
            memcpy(out + b * (size_t)n_units + 4 * (size_t)m, groups, 4 * (size_t)n);
        }
}

/* ---- Microkernel --------------------------------------------------------------------------- */

/* Sums of one sign or the other. A cast instead would make gcc copy them between registers. */
typedef struct lanes {
    int32x4_t with_sign;
    uint32x4_t without;
} lanes;

/* Adds the products of four bytes to each lane. Without udot and sdot, pairs of products are added
 * in 16 bits: 2 · 255 · 2 unsigned, 2 · 127 · 128 < 2^15 signed. */
BINNET_INLINE void dot(const int with_sign, lanes *sums, uint8x16_t a, uint8x16_t b) {
    const int8x16_t c = vreinterpretq_s8_u8(a), d = vreinterpretq_s8_u8(b);
#if defined(__ARM_FEATURE_DOTPROD)
    if (with_sign)
        sums->with_sign = vdotq_s32(sums->with_sign, c, d);
    else
        sums->without = vdotq_u32(sums->without, a, b);
#else
    if (with_sign) {
        const int16x8_t low = vmull_s8(vget_low_s8(c), vget_low_s8(d)), high = vmull_high_s8(c, d);
        sums->with_sign = vpadalq_s16(sums->with_sign, vpaddq_s16(low, high));
    } else {
        const uint16x8_t low = vmull_u8(vget_low_u8(a), vget_low_u8(b)), high = vmull_high_u8(a, b);
        sums->without = vpadalq_u16(sums->without, vpaddq_u16(low, high));
    }
#endif
}

/* Four bytes of a row; those past the row's end are 0. */
BINNET_INLINE uint8x16_t load_group(const uint8_t *p, uint32_t n_bytes) {
    uint32_t group = 0;
    memcpy(&group, p, n_bytes < 4 ? n_bytes : 4);
    return vreinterpretq_u8_u32(vdupq_n_u32(group));
}

BINNET_INLINE void dot_step(const int rows, const int with_sign, lanes sums[ROWS][4],
                            const uint8_t *left, size_t row_step, uint32_t n_bytes,
                            const uint8_t *panel) {
    const uint8x16_t p0 = vld1q_u8(panel), p1 = vld1q_u8(panel + 16);
    const uint8x16_t p2 = vld1q_u8(panel + 32), p3 = vld1q_u8(panel + 48);
    BINNET_UNROLL
    for (int i = 0; i < rows; ++i) {
        const uint8x16_t v = load_group(left + (size_t)i * row_step, n_bytes);
        dot(with_sign, &sums[i][0], p0, v);
        dot(with_sign, &sums[i][1], p1, v);
        dot(with_sign, &sums[i][2], p2, v);
        dot(with_sign, &sums[i][3], p3, v);
    }
}

/* out[i][16] = minus start[i] and the sums of `rows` rows, whose groups are at left + i · row_step +
 * q · group_step. The last group has depth % 4 bytes, if that is not 0: a row of a matrix may end
 * the buffer. */
BINNET_INLINE void dot_rows(const int rows, const int with_sign, int32_t *out, size_t out_stride,
                            const uint8_t *left, size_t row_step, size_t group_step, uint32_t depth,
                            const uint8_t *panel, const uint32_t *start) {
    lanes sums[ROWS][4];
    BINNET_UNROLL
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < 4; ++j) {
            sums[i][j].without = vdupq_n_u32(start[i]);
            sums[i][j].with_sign = vreinterpretq_s32_u32(sums[i][j].without);
        }
    for (uint32_t q = 0; q < depth / 4; ++q, panel += GROUP_BYTES, left += group_step)
        dot_step(rows, with_sign, sums, left, row_step, 4, panel);
    if (depth % 4) dot_step(rows, with_sign, sums, left, row_step, depth % 4, panel);
    BINNET_UNROLL
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < 4; ++j)
            vst1q_s32(out + (size_t)i * out_stride + 4 * j,
                      vnegq_s32(with_sign ? sums[i][j].with_sign
                                          : vreinterpretq_s32_u32(sums[i][j].without)));
}

static uint32_t sum_row(const uint8_t *a, uint32_t n) {
    uint32x4_t sums = vdupq_n_u32(0);
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) sums = vpadalq_u16(sums, vpaddlq_u8(vld1q_u8(a + i)));
    uint32_t sum = vaddvq_u32(sums);
    for (; i < n; ++i) sum += a[i];
    return sum;
}

/* All rows of a tile, a block of them with one panel after the other. An unsigned panel holds 1 - w:
 * minus the sum of w · a = (sum of (1 - w) · a) - (sum of a). */
BINNET_INLINE void dot_tile(const int with_sign, const binnet_tile *t, size_t row_step,
                            size_t group_step, uint32_t depth) {
    enum { BLOCK = 16 };
    const uint8_t *left = t->left;
    int32_t *out = t->out;
    uint32_t rest = t->n_rows;
    while (rest) {
        const uint32_t n_rows = rest < BLOCK ? rest : BLOCK;
        uint32_t start[BLOCK] = {0};
        for (uint32_t i = 0; i < n_rows && !with_sign; ++i)
            start[i] = 0u - sum_row(left + i * row_step, depth);
        for (uint32_t column = 0; column < t->n_columns; column += PART) {
            const uint8_t *panel = panel_at(t->panel, column, depth);
            uint32_t i = 0;
#define DOT(rows)                                                                                  \
    dot_rows(rows, with_sign, out + i * t->out_stride + column, t->out_stride,                     \
             left + i * row_step, row_step, group_step, depth, panel, start + i)
            for (; i + ROWS <= n_rows; i += ROWS) DOT(ROWS);
            for (; i < n_rows; ++i) DOT(1);
#undef DOT
        }
        rest -= n_rows;
        left += n_rows * row_step;
        out += n_rows * t->out_stride;
    }
}

static void forward(const binnet_tile *tile) {
    pack_forward(tile);
    dot_tile(0, tile, tile->left_stride, 4, tile->depth);
}

static void backward(const binnet_tile *tile) {
    pack_backward(tile);
    dot_tile(1, tile, tile->left_stride, 4, tile->depth);
}

/* The interleaved error has whole groups, and a group of every unit before the next group. */
static void outer(const binnet_tile *tile) {
    dot_tile(1, tile, 4, 4 * tile->left_stride, (tile->depth + 3) / 4 * 4);
}

/* ---- Element-wise: whole vectors here, the rest of a row with the portable kernels ----------- */

/* Four gradients as steps: a rounding shift by a negative number shifts right. */
BINNET_INLINE int32x4_t steps(int32x4_t g, const binnet_rule *rule, uint16x4_t random) {
    g = vminq_s32(vmaxq_s32(g, vdupq_n_s32(-rule->limit)), vdupq_n_s32(rule->limit));
    g = vrshlq_s32(g, vdupq_n_s32(8 - rule->shift));
    return vshrq_n_s32(vaddq_s32(g, vreinterpretq_s32_u32(vmovl_u16(random))), 8);
}

static uint32_t update(const binnet_update *t) {
    const uint16x8_t bit = vmovl_u8(vcreate_u8(0x8040201008040201u));
    const uint32_t whole = t->n_columns & ~7u;
    uint32x4_t largest = vdupq_n_u32(0);
    for (uint32_t m = 0; m < t->n_rows; ++m)
        for (uint32_t n = 0; n < whole; n += 8) {
            const int32_t *gradient = t->gradient + m * t->stride + n;
            const int32x4_t low = vld1q_s32(gradient), high = vld1q_s32(gradient + 4);
            largest = vmaxq_u32(largest, vreinterpretq_u32_s32(vabsq_s32(low)));
            largest = vmaxq_u32(largest, vreinterpretq_u32_s32(vabsq_s32(high)));
            if (!t->rule.apply) continue;
            const uint16x8_t random = vmovl_u8(vld1_u8(t->random + m * t->stride + n));
            const int32x4_t low_step = steps(low, &t->rule, vget_low_u16(random));
            const int32x4_t high_step = steps(high, &t->rule, vget_high_u16(random));
            int16_t *latent = t->latent + m * t->latent_stride + n;
            const int16x8_t old = vld1q_s16(latent);
            const int32x4_t low_w = vsubq_s32(vmovl_s16(vget_low_s16(old)), low_step);
            const int32x4_t high_w = vsubq_s32(vmovl_s16(vget_high_s16(old)), high_step);
            const int16x8_t w =
                vmaxq_s16(vcombine_s16(vqmovn_s32(low_w), vqmovn_s32(high_w)), vdupq_n_s16(-32767));
            vst1q_s16(latent, w);
            t->bits[m * t->bits_stride + (n >> 3)] =
                (uint8_t)vaddvq_u16(vandq_u16(vcgezq_s16(w), bit));
        }
    if (whole == t->n_columns) return vmaxvq_u32(largest);
    binnet_update rest = *t;
    rest.n_columns -= whole;
    rest.latent += whole;
    rest.bits += whole >> 3;
    rest.gradient += whole;
    rest.random += whole;
    return vmaxvq_u32(largest) | binnet_kernels_portable.update(&rest);
}

/* Four blocks at once. */
static void random_rows(uint8_t *bytes, const binnet_rng *rng, uint32_t row, uint32_t n_rows,
                        uint32_t first_block, uint32_t n_blocks) {
    const uint32_t key[3] = {rng->key[0], rng->key[1], 0x1bd11bdau ^ rng->key[0] ^ rng->key[1]};
    const uint32x4_t lane = vmovl_u16(vcreate_u16(0x0003000200010000u));
#define ROUND(n)                                                                                   \
    x0 = vaddq_u32(x0, x1);                                                                        \
    x1 = veorq_u32(vsriq_n_u32(vshlq_n_u32(x1, n), x1, 32 - n), x0)
#define INJECT(a, b, n)                                                                            \
    x0 = vaddq_u32(x0, vdupq_n_u32(key[a]));                                                       \
    x1 = vaddq_u32(x1, vdupq_n_u32(key[b] + n))
    for (uint32_t r = 0; r < n_rows; ++r) {
        uint32_t block = 0;
        for (; block + 4 <= n_blocks; block += 4, bytes += 32) {
            uint32x4_t x0 = vaddq_u32(lane, vdupq_n_u32(first_block + block + key[0]));
            uint32x4_t x1 = vdupq_n_u32(row + r + key[1]);
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
            vst1q_u8(bytes, vreinterpretq_u8_u32(vzip1q_u32(x0, x1)));
            vst1q_u8(bytes + 16, vreinterpretq_u8_u32(vzip2q_u32(x0, x1)));
        }
        binnet_rng_blocks(rng, row + r, first_block + block, n_blocks - block, bytes);
        bytes += 8 * (size_t)(n_blocks - block);
    }
#undef ROUND
#undef INJECT
}

static void power_of_two(uint8_t *codes, const uint8_t *x, const uint8_t *random, uint32_t n,
                         uint32_t doubling) {
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const uint8x16_t v = vshlq_u8(vld1q_u8(x + i), vdupq_n_s8((int8_t)doubling));
        /* the bits below the leading one, but at least one bit: 127 shifted right by the zeros */
        const int8x16_t right = vnegq_s8(vreinterpretq_s8_u8(vclzq_u8(v)));
        const uint8x16_t mask = vorrq_u8(vshlq_u8(vdupq_n_u8(127), right), vdupq_n_u8(1));
        const uint8x16_t half = vhaddq_u8(v, vandq_u8(vld1q_u8(random + i), mask));
        vst1q_u8(codes + i, vsubq_u8(vdupq_n_u8(8), vclzq_u8(half)));
    }
    binnet_kernels_portable.power_of_two(codes + i, x + i, random + i, n - i, doubling);
}

/* The counts of up to 31 vectors are added in bytes: 31 · 8 < 2^8. */
static uint64_t xor_count(const uint64_t *a, const uint64_t *b, size_t n_words) {
    const size_t even = n_words - n_words % 2;
    uint64x2_t count = vdupq_n_u64(0);
    size_t i = 0;
    while (i < even) {
        const size_t end = even - i < 62 ? even : i + 62;
        uint8x16_t bytes = vdupq_n_u8(0);
        for (; i < end; i += 2) {
            const uint64x2_t v = veorq_u64(vld1q_u64(a + i), vld1q_u64(b + i));
            bytes = vaddq_u8(bytes, vcntq_u8(vreinterpretq_u8_u64(v)));
        }
        count = vpadalq_u32(count, vpaddlq_u16(vpaddlq_u8(bytes)));
    }
    uint64_t total = vaddvq_u64(count);
    if (i < n_words) total += vaddv_u8(vcnt_u8(vcreate_u8(a[i] ^ b[i])));
    return total;
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

const binnet_kernels binnet_kernels_neon = {
    .name = "neon",
    .alignment = 64,
    .unit_tile = TILE,
    .column_tile = TILE,
    .row_block = 8,
    .packs = 1,
    .xnor_columns = 1,
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
typedef int binnet_no_neon; /* ISO C wants a declaration in every file */
#endif
