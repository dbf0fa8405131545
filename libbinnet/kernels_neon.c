/* NEON of AArch64. The product is a table lookup as in kernels_avx512.c: four values of a row have
 * 16 sums, which fill two registers, tbl looks up eight columns at once, and an addition of 16-bit
 * lanes ends it: 32 multiply-adds in two instructions, as with udot, which not every processor has.
 * Dot products serve, where the compiler's target has them, when few rows do not pay for tables.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "norm_inline.h"
#include "select_inline.h"

#if BINNET_NEON
#include <arm_neon.h>

enum { GROUP = 4, COLUMNS = 16, ROWS = 4, INDEX_BYTES = 32, TABLE_BYTES = 32 };
/* Groups whose sums fit 16 bits: 64 · 4 · 255 < 2^16 unsigned, 64 · 4 · 127 < 2^15 with a sign. */
enum { CHUNK = 64, DEPTH = GROUP * CHUNK };

/* 16 bytes, 255 where the bit is set, from the first of n_bytes bytes of a row of bits on. */
BINNET_INLINE uint8x16_t expand(const uint8_t *p, uint32_t n_bytes) {
    const uint8x8_t bit = vcreate_u8(0x8040201008040201u);
    const uint8x8_t low = vdup_n_u8(p[0]), high = vdup_n_u8(n_bytes > 1 ? p[1] : 0);
    return vcombine_u8(vtst_u8(low, bit), vtst_u8(high, bit));
}

/* ---- Transposition ------------------------------------------------------------------------- */

/* The first 16 of n_bytes bytes; those past their end are 0. */
BINNET_INLINE uint8x16_t load_bytes(const uint8_t *p, uint32_t n_bytes) {
    uint8_t bytes[16] = {0};
    if (n_bytes >= 16) return vld1q_u8(p);
    memcpy(bytes, p, n_bytes);
    return vld1q_u8(bytes);
}

BINNET_INLINE void store_bytes(uint8_t *p, uint8x16_t v, uint32_t n_bytes) {
    if (n_bytes >= 16)
        vst1q_u8(p, v);
    else
        memcpy(p, &v, n_bytes);
}

/* The bytes of the first and of the last eight rows in turn: the number 16 · r + c of byte c of row
 * r is rotated by a bit. Four times that make it 16 · c + r. */
BINNET_INLINE void zip_halves(uint8x16_t out[16], const uint8x16_t in[16]) {
    BINNET_UNROLL
    for (int i = 0; i < 8; ++i) {
        out[2 * i] = vzip1q_u8(in[i], in[i + 8]);
        out[2 * i + 1] = vzip2q_u8(in[i], in[i + 8]);
    }
}

/* The first 16 bytes of the first 16 rows, transposed; 0 where there is none. */
static void load_transposed(uint8x16_t out[16], const uint8_t *rows, size_t stride, uint32_t n_rows,
                            uint32_t n_bytes) {
    uint8x16_t even[16], odd[16];
    for (uint32_t i = 0; i < 16; ++i)
        even[i] = i < n_rows ? load_bytes(rows + i * stride, n_bytes) : vdupq_n_u8(0);
    zip_halves(odd, even);
    zip_halves(even, odd);
    zip_halves(odd, even);
    zip_halves(out, odd);
}

static void transpose(int8_t *out, size_t out_stride, const int8_t *in, size_t in_stride,
                      uint32_t n_rows, uint32_t n_columns) {
    for (uint32_t b = 0; b < n_rows; b += 16)
        for (uint32_t n = 0; n < n_columns; n += 16) {
            uint8x16_t columns[16];
            load_transposed(columns, (const uint8_t *)in + b * in_stride + n, in_stride, n_rows - b,
                            n_columns - n);
            for (uint32_t i = 0; i < 16 && n + i < n_columns; ++i)
                store_bytes((uint8_t *)out + (n + i) * out_stride + b, columns[i], n_rows - b);
        }
}

/* ---- Packing ------------------------------------------------------------------------------- */

/* The numbers of 16 columns' sums as indices: the bytes 2i and 2i + 1. */
BINNET_INLINE void store_index(uint8_t *panel, uint8x16_t number) {
    const uint8x16_t even = vaddq_u8(number, number);
    const uint8x16x2_t index = {{even, vorrq_u8(even, vdupq_n_u8(1))}};
    vst2q_u8(panel, index);
}

/* The bits of a column are a row, whose bytes are two groups each. */
static void pack_by_column(uint8_t *panel, const binnet_selector *selector, uint32_t column,
                           uint32_t n_columns, uint32_t depth) {
    const uint32_t n_groups = (depth + GROUP - 1) / GROUP, n_bytes = (depth + 7) / 8;
    const uint8_t *rows = selector->bits + column * selector->stride;
    for (uint32_t at = 0; at < n_bytes; at += 16) {
        uint8x16_t bytes[16];
        load_transposed(bytes, rows + at, selector->stride, n_columns, n_bytes - at);
        for (uint32_t i = 0; i < 16 && at + i < n_bytes; ++i, panel += 2 * INDEX_BYTES) {
            store_index(panel, vandq_u8(bytes[i], vdupq_n_u8(15)));
            if (2 * (at + i) + 1 < n_groups)
                store_index(panel + INDEX_BYTES, vshrq_n_u8(bytes[i], 4));
        }
    }
}

static void pack_by_summand(uint8_t *panel, const binnet_selector *selector, uint32_t column,
                            uint32_t n_columns, uint32_t depth) {
    const uint32_t n_bytes = (n_columns + 7) / 8;
    const uint8_t *rows = selector->bits + column / 8;
    for (uint32_t k = 0; k < depth; panel += INDEX_BYTES) {
        uint8x16_t number = vdupq_n_u8(0);
        for (uint32_t i = 0; i < GROUP && k < depth; ++i, ++k) {
            const uint8_t *row = rows + k * selector->stride;
            const uint8x16_t power = vdupq_n_u8((uint8_t)(1u << i));
            number = vorrq_u8(number, vandq_u8(expand(row, n_bytes), power));
        }
        store_index(panel, number);
    }
}

/* ---- Product ------------------------------------------------------------------------------- */

/* The table of a group's values: sum i has those whose bit of i is set. */
BINNET_INLINE void make_table(int16_t *table, const int16_t *values) {
    const int16x8_t bit0 = vreinterpretq_s16_u32(vdupq_n_u32(0xffff0000u));
    const int16x8_t bit1 = vreinterpretq_s16_u64(vdupq_n_u64(0xffffffff00000000u));
    const int16x8_t bit2 = vcombine_s16(vdup_n_s16(0), vdup_n_s16(-1));
    const int16x8_t two = vaddq_s16(vandq_s16(vld1q_dup_s16(values), bit0),
                                    vandq_s16(vld1q_dup_s16(values + 1), bit1));
    const int16x8_t three = vaddq_s16(two, vandq_s16(vld1q_dup_s16(values + 2), bit2));
    vst1q_s16(table, three);
    vst1q_s16(table + 8, vaddq_s16(three, vld1q_dup_s16(values + 3)));
}

/* The tables of n <= DEPTH values of a row. Those of all rows stand side by side, for the loads of
 * register pairs have no offsets. */
BINNET_INLINE void make_tables(const int int8, uint8_t *tables, const uint8_t *values, uint32_t n) {
    int16_t chunk[DEPTH] = {0};
    for (uint32_t k = 0; k < n; ++k) chunk[k] = int8 ? ((const int8_t *)values)[k] : values[k];
    for (uint32_t k = 0; k < n; k += GROUP, tables += ROWS * TABLE_BYTES)
        make_table((int16_t *)(void *)tables, chunk + k);
}

/* 16-bit sums of a row and a panel to 32 bits: twice them if bits are signs. They are added to
 * what is there, or to `start` in a first chunk. */
BINNET_INLINE void store_sums(const int int8, const binnet_select *t, uint32_t row, uint32_t panel,
                              const int32_t *start, uint16x8_t low, uint16x8_t high) {
    int32_t *out = t->sums + panel * t->panel_step + row * t->row_step;
    const uint16x4_t quarter[4] = {vget_low_u16(low), vget_high_u16(low), vget_low_u16(high),
                                   vget_high_u16(high)};
    for (int i = 0; i < 4; ++i, out += 4) {
        int32x4_t v = int8 ? vmovl_s16(vreinterpret_s16_u16(quarter[i]))
                           : vreinterpretq_s32_u32(vmovl_u16(quarter[i]));
        if (t->signs) v = vaddq_s32(v, v);
        vst1q_s32(out, vaddq_s32(v, start ? vdupq_n_s32(start[row]) : vld1q_s32(out)));
    }
}

#define EACH_ROW(OP) OP(0) OP(1) OP(2) OP(3)

#define START_ROW(i)                                                                               \
    uint16x8_t s##i##0, s##i##1, s##i##2, s##i##3;                                                 \
    s##i##0 = s##i##1 = s##i##2 = s##i##3 = vdupq_n_u16(0);

#define LOOK_UP(s, index) s = vaddq_u16(s, vreinterpretq_u16_u8(vqtbl2q_u8(table, index)))

/* No load moves past this: gcc 12 would have all four tables in registers at once and spill
 * sums. */
#define KEEP_ORDER __asm__ volatile("" ::: "memory")

#define STEP_ROW(i)                                                                                \
    if (i < rows) {                                                                                \
        const uint8x16x2_t table = vld1q_u8_x2(tables + i * TABLE_BYTES);                          \
        LOOK_UP(s##i##0, index0);                                                                  \
        LOOK_UP(s##i##1, index1);                                                                  \
        if (panels == 2) {                                                                         \
            LOOK_UP(s##i##2, index2);                                                              \
            LOOK_UP(s##i##3, index3);                                                              \
        }                                                                                          \
        if (i == 1) KEEP_ORDER;                                                                    \
    }

#define STORE_ROW(i)                                                                               \
    if (i < rows) {                                                                                \
        store_sums(int8, t, row + i, panel, start, s##i##0, s##i##1);                              \
        if (panels == 2) store_sums(int8, t, row + i, panel + 1, start, s##i##2, s##i##3);         \
    }

/* Some rows and panels over a chunk of the depth. int8, rows and panels are the caller's
 * constants. */
BINNET_INLINE void select_block(const int int8, const uint32_t rows, const uint32_t panels,
                                const binnet_select *t, uint32_t row, uint32_t panel,
                                uint32_t first_group, uint32_t n_groups, const int32_t *start) {
    const size_t panel_bytes = (t->depth + GROUP - 1) / GROUP * (size_t)INDEX_BYTES;
    const uint8_t *index = t->panels + panel * panel_bytes + first_group * (size_t)INDEX_BYTES;
    const uint8_t *tables = t->tables + row * TABLE_BYTES;
    EACH_ROW(START_ROW)
    for (uint32_t g = 0; g < n_groups; ++g, index += INDEX_BYTES, tables += ROWS * TABLE_BYTES) {
        const uint8x16_t index0 = vld1q_u8(index), index1 = vld1q_u8(index + 16);
        const uint8x16_t index2 = panels == 2 ? vld1q_u8(index + panel_bytes) : index0;
        const uint8x16_t index3 = panels == 2 ? vld1q_u8(index + panel_bytes + 16) : index1;
        EACH_ROW(STEP_ROW)
    }
    EACH_ROW(STORE_ROW)
}

/* The sum of a row. */
BINNET_INLINE int32_t sum_row(const uint8_t *row, int int8, uint32_t n) {
    return binnet_total(row, 1, int8, n);
}

BINNET_DEFINE_SELECT(, 2, TABLE_BYTES, sum_row)

/* Few rows do not pay for packing: the bits of a column are spread to masks where they are used. */

/* Four 32-bit sums of bytes. */
BINNET_INLINE uint32x4_t add_bytes(uint32x4_t sums, uint8x16_t v) {
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_u32(sums, v, vdupq_n_u8(1));
#else
    return vpadalq_u16(sums, vpaddlq_u8(v));
#endif
}

static int32_t masked_sum(const uint8_t *values, const uint8_t *bits, uint32_t depth) {
    const uint32_t whole = depth & ~15u;
    uint32x4_t sums = vdupq_n_u32(0);
    for (uint32_t k = 0; k < whole; k += 16)
        sums = add_bytes(sums, vandq_u8(vld1q_u8(values + k), expand(bits + k / 8, 2)));
    int32_t total = (int32_t)vaddvq_u32(sums);
    for (uint32_t k = whole; k < depth; ++k) total += values[k] & -(bits[k >> 3] >> (k & 7) & 1);
    return total;
}

BINNET_DEFINE_PLAIN()

/* ---- Element-wise: whole vectors here, the rest of a row with the portable kernels ----------- */

static void draw_bits(uint8_t *bits, const uint8_t *x, const uint8_t *random, uint32_t n,
                      uint32_t mask) {
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const uint8x16_t r = vandq_u8(vld1q_u8(random + i), vdupq_n_u8((uint8_t)mask));
        const uint8x16_t drawn = vandq_u8(vcltq_u8(r, vld1q_u8(x + i)), bit);
        bits[i / 8] = vaddv_u8(vget_low_u8(drawn));
        bits[i / 8 + 1] = vaddv_u8(vget_high_u8(drawn));
    }
    if (i < n) binnet_kernels_portable.draw_bits(bits + i / 8, x + i, random + i, n - i, mask);
}

/* ---- Bits ---------------------------------------------------------------------------------- */

/* The counts of up to 31 vectors are added in bytes: 31 · 8 < 2^8. */
static uint64_t xor_count(const binnet_word *a, const binnet_word *b, size_t n_words) {
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

static void xnor_row(const binnet_xnor *t) {
    for (uint32_t i = 0; i < t->n_rows; ++i) {
        int32_t *product = t->product + i * t->product_stride;
        const int32_t start = t->add ? *product : 0;
        *product = start + t->n_bits -
                   2 * (int32_t)xor_count(t->a + i * t->a_stride, t->panel, t->n_words);
    }
}

BINNET_DEFINE_BLOCK(, normalise, binnet_norm_job)
BINNET_DEFINE_REACH()
BINNET_DEFINE_POOL()

const binnet_kernels binnet_kernels_neon = {
    .name = "neon",
    .alignment = 64,
    .plain_rows = 2,
    .row_shift = 2,
    .panel_columns = COLUMNS,
    .z_columns = UINT32_MAX,
    .group = GROUP,
    .index_bytes = INDEX_BYTES,
    .table_bytes = ROWS * CHUNK * TABLE_BYTES,
    .plain = plain,
    .panels_bytes = binnet_panels_bytes,
    .pack = binnet_pack,
    .pack_by_column = pack_by_column,
    .pack_by_summand = pack_by_summand,
    .select = select_packed,
    .transpose = transpose,
    .draw_bits = draw_bits,
    .xnor_row = xnor_row,
    .normalise = normalise,
    .reach = reach,
#if BINNET_CONVOLUTIONS
    .pool = pool,
#endif
};
#else
typedef int binnet_no_neon; /* ISO C wants a declaration in every file */
#endif
