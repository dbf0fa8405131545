/* AVX-512 with VBMI and VPOPCNTDQ. The product is a table lookup: a row's next five values have 32
 * sums, one for each choice of them, which fill a register; five bits of a column are an index into
 * it. vpermb looks up 32 columns at once and an addition of 16-bit lanes ends it: 160 multiply-adds
 * in two instructions, none of which multiplies, where vpdpbusd does 64 in one.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "avx512_inline.h"
#include "select_inline.h"

#if BINNET_X86
enum { GROUP = 5, COLUMNS = 32, ROWS = 4, INDEX_BYTES = 64, TABLE_BYTES = 64 };
/* Groups whose sums fit 16 bits: 51 · 5 · 255 < 2^16 unsigned, 51 · 5 · 127 < 2^15 with a sign. */
enum { CHUNK = 51, DEPTH = GROUP * CHUNK };
enum { XNOR_ROWS = 4, XNOR_COLUMNS = 16 }; /* 4 × 2 pairs of registers, 16 for operands */

/* ---- Packing ------------------------------------------------------------------------------- */

/* An index i is the pair of bytes 2i and 2i + 1, those of a 16-bit sum in a table; vpermb ignores
 * the highest two bits of both. */

/* Eight bytes of a row of bits from byte `at` on, 0 past its end. */
AVX512 BINNET_INLINE int64_t load_word(const uint8_t *row, uint32_t at, uint32_t n_bytes) {
    int64_t word = 0;
    if (at + 8 <= n_bytes)
        memcpy(&word, row + at, 8);
    else if (at < n_bytes)
        word =
            _mm_cvtsi128_si64(_mm_maskz_loadu_epi8((__mmask16)first_bits(n_bytes - at), row + at));
    return word;
}

/* Eight groups of eight columns, a column in each 64-bit lane: 40 bits, taken apart into bytes that
 * begin one bit early. */
AVX512 BINNET_INLINE __m512i load_groups(const binnet_selector *selector, uint32_t column,
                                         uint32_t end, uint32_t at, uint32_t n_bytes) {
    const __m512i shifts = _mm512_set1_epi64(0x221d18130e09043f); /* 63, 4, 9, 14 ... 34 */
    const size_t stride = selector->stride;
    const uint8_t *bits = selector->bits + column * stride;
    __m512i words;
    if (column + 8 <= end && at + 8 <= n_bytes) {
#define WORD(i) load_word(bits + (i) * stride, at, at + 8)
        words = _mm512_setr_epi64(WORD(0), WORD(1), WORD(2), WORD(3), WORD(4), WORD(5), WORD(6),
                                  WORD(7));
#undef WORD
    } else {
        int64_t some[8] = {0};
        for (uint32_t i = 0; i < 8 && column + i < end; ++i)
            some[i] = load_word(bits + i * stride, at, n_bytes);
        words = _mm512_loadu_si512(some);
    }
    return _mm512_multishift_epi64_epi8(shifts, words);
}

AVX512 static void pack_by_column(uint8_t *panel, const binnet_selector *selector, uint32_t column,
                                  uint32_t n_columns, uint32_t depth) {
    const uint32_t n_groups = (depth + GROUP - 1) / GROUP, n_bytes = (depth + 7) / 8;
    const uint32_t end = column + n_columns;
    const __m512i even = _mm512_set1_epi8(-2), odd = _mm512_set1_epi16(0x0100);
    /* Byte 0 of the 16 columns of two registers, each twice. */
    const __m512i byte0 = _mm512_setr_epi64(
        0x1818101008080000, 0x3838303028282020, 0x5858505048484040, 0x7878707068686060,
        0x1818101008080000, 0x3838303028282020, 0x5858505048484040, 0x7878707068686060);
    for (uint32_t group = 0; group < n_groups; group += 8) {
        __m512i lanes[4], byte = byte0;
        for (uint32_t i = 0; i < 4; ++i)
            lanes[i] = load_groups(selector, column + 8 * i, end, group / 8 * GROUP, n_bytes);
        for (uint32_t i = 0; i < 8 && group + i < n_groups; ++i, panel += INDEX_BYTES) {
            const __m512i low = _mm512_permutex2var_epi8(lanes[0], byte, lanes[1]);
            const __m512i high = _mm512_permutex2var_epi8(lanes[2], byte, lanes[3]);
            const __m512i index = _mm512_mask_blend_epi64(0xf0, low, high);
            enum { AND_OR = 0xea }; /* (index & even) | odd */
            _mm512_storeu_si512(panel, _mm512_ternarylogic_epi64(index, even, odd, AND_OR));
            byte = _mm512_add_epi8(byte, _mm512_set1_epi8(1));
        }
    }
}

AVX512 static void pack_by_summand(uint8_t *panel, const binnet_selector *selector, uint32_t column,
                                   uint32_t n_columns, uint32_t depth) {
    const uint32_t n_bytes = (n_columns + 7) / 8;
    const uint8_t *rows = selector->bits + column / 8;
    for (uint32_t k = 0; k < depth; panel += INDEX_BYTES) {
        __m512i index = _mm512_set1_epi16(0x0100);
        for (int bit = 0; bit < GROUP && k < depth; ++bit, ++k) {
            const uint8_t *row = rows + k * selector->stride;
            uint32_t columns = 0;
            if (n_bytes == 4)
                memcpy(&columns, row, 4);
            else
                memcpy(&columns, row, n_bytes);
            index = _mm512_mask_add_epi16(index, columns, index,
                                          _mm512_set1_epi16((int16_t)(0x0202 << bit)));
        }
        _mm512_storeu_si512(panel, index);
    }
}

/* ---- Product ------------------------------------------------------------------------------- */

/* The tables of n <= DEPTH values of a row: the 16 sums of four values are a dot product with the
 * bits of the lane's number; the fifth is added to them in the upper half. */
AVX512 BINNET_INLINE void make_tables(const int int8, uint8_t *tables, const uint8_t *values,
                                      uint32_t n) {
    const __m512i bits =
        _mm512_setr_epi32(0x00000000, 0x00000001, 0x00000100, 0x00000101, 0x00010000, 0x00010001,
                          0x00010100, 0x00010101, 0x01000000, 0x01000001, 0x01000100, 0x01000101,
                          0x01010000, 0x01010001, 0x01010100, 0x01010101);
    const __m512i both_halves = _mm512_broadcast_i64x4(
        _mm256_setr_epi16(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30));
    uint8_t chunk[DEPTH + 1]; /* 0 after the last value */
    int16_t wide[DEPTH + 1];
    for (uint32_t i = 0; i <= DEPTH; i += 32) {
        const __mmask32 valid = (__mmask32)first_bits(n <= i ? 0 : n - i < 32 ? n - i : 32);
        const __m256i v = _mm256_maskz_loadu_epi8(valid, values + (valid ? i : 0));
        _mm256_storeu_si256((__m256i *)(void *)(chunk + i), v);
        _mm512_storeu_si512(wide + i, int8 ? _mm512_cvtepi8_epi16(v) : _mm512_cvtepu8_epi16(v));
    }
    for (uint32_t k = 0; k < n; k += GROUP, tables += TABLE_BYTES) {
        const __m512i zero = _mm512_setzero_si512();
        int32_t word;
        memcpy(&word, chunk + k, 4);
        const __m512i four = _mm512_set1_epi32(word);
        const __m512i sums =
            _mm512_permutexvar_epi16(both_halves, int8 ? _mm512_dpbusd_epi32(zero, bits, four)
                                                       : _mm512_dpbusd_epi32(zero, four, bits));
        _mm512_storeu_si512(
            tables, _mm512_mask_add_epi16(sums, 0xffff0000, sums, _mm512_set1_epi16(wide[k + 4])));
    }
}

/* 16-bit sums of a row and a panel to 32 bits: twice them if bits are signs. They are added to
 * what is there, or to `start` in a first chunk. */
AVX512 BINNET_INLINE void store_sums(const int int8, const binnet_select *t, uint32_t row,
                                     uint32_t panel, const int32_t *start, __m512i sums) {
    int32_t *out = t->sums + panel * t->panel_step + row * t->row_step;
    const __m256i half[2] = {_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64(sums, 1)};
    for (int i = 0; i < 2; ++i, out += 16) {
        __m512i v = int8 ? _mm512_cvtepi16_epi32(half[i]) : _mm512_cvtepu16_epi32(half[i]);
        if (t->signs) v = _mm512_add_epi32(v, v);
        const __m512i before = start ? _mm512_set1_epi32(start[row]) : _mm512_loadu_si512(out);
        _mm512_storeu_si512(out, _mm512_add_epi32(v, before));
    }
}

/* The accumulators have names and not indices: gcc 12 spills them otherwise. */
#define EACH_ROW(OP) OP(0) OP(1) OP(2) OP(3)

#define START_ROW(i)                                                                               \
    __m512i s##i##0, s##i##1, s##i##2, s##i##3;                                                    \
    s##i##0 = s##i##1 = s##i##2 = s##i##3 = _mm512_setzero_si512();

#define LOOK_UP(s, index) s = _mm512_add_epi16(s, _mm512_permutexvar_epi8(index, table))

#define STEP_ROW(i)                                                                                \
    if (i < rows) {                                                                                \
        const __m512i table = _mm512_loadu_si512(tables + i * table_step);                         \
        LOOK_UP(s##i##0, index0);                                                                  \
        if (panels > 1) LOOK_UP(s##i##1, index1);                                                  \
        if (panels > 2) {                                                                          \
            LOOK_UP(s##i##2, index2);                                                              \
            LOOK_UP(s##i##3, index3);                                                              \
        }                                                                                          \
    }

#define STORE_ROW(i)                                                                               \
    if (i < rows) {                                                                                \
        store_sums(int8, t, row + i, panel, start, s##i##0);                                       \
        if (panels > 1) store_sums(int8, t, row + i, panel + 1, start, s##i##1);                   \
        if (panels > 2) {                                                                          \
            store_sums(int8, t, row + i, panel + 2, start, s##i##2);                               \
            store_sums(int8, t, row + i, panel + 3, start, s##i##3);                               \
        }                                                                                          \
    }

/* Some rows and panels over a chunk of the depth, the tables of a row being table_step after those
 * of the row before. int8, rows and panels are the caller's constants. */
AVX512 BINNET_INLINE void look_up_block(const int int8, const uint32_t rows, const uint32_t panels,
                                        const size_t table_step, const binnet_select *t,
                                        uint32_t row, uint32_t panel, uint32_t first_group,
                                        uint32_t n_groups, const int32_t *start) {
    const size_t panel_bytes = (t->depth + GROUP - 1) / GROUP * (size_t)INDEX_BYTES;
    const uint8_t *index = t->panels + panel * panel_bytes + first_group * (size_t)INDEX_BYTES;
    const uint8_t *tables = t->tables + row * table_step;
    EACH_ROW(START_ROW)
    for (uint32_t g = 0; g < n_groups; ++g, index += INDEX_BYTES, tables += TABLE_BYTES) {
        const __m512i index0 = _mm512_loadu_si512(index);
        __m512i index1 = index0, index2 = index0, index3 = index0;
        if (panels > 1) index1 = _mm512_loadu_si512(index + panel_bytes);
        if (panels > 2) {
            index2 = _mm512_loadu_si512(index + 2 * panel_bytes);
            index3 = _mm512_loadu_si512(index + 3 * panel_bytes);
        }
        EACH_ROW(STEP_ROW)
    }
    EACH_ROW(STORE_ROW)
}

AVX512 BINNET_INLINE void select_block(const int int8, const uint32_t rows, const uint32_t panels,
                                       const binnet_select *t, uint32_t row, uint32_t panel,
                                       uint32_t first_group, uint32_t n_groups,
                                       const int32_t *start) {
    look_up_block(int8, rows, panels, CHUNK * TABLE_BYTES, t, row, panel, first_group, n_groups,
                  start);
}

AVX512 BINNET_INLINE int32_t sum_row(const uint8_t *row, const int int8, uint32_t n) {
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i sum = _mm512_setzero_si512();
    for (uint32_t k = 0; k < n; k += 64) {
        const __m512i v = _mm512_maskz_loadu_epi8(first_bits(n - k), row + k);
        sum = int8 ? _mm512_dpbusd_epi32(sum, ones, v) : _mm512_dpbusd_epi32(sum, v, ones);
    }
    return _mm512_reduce_add_epi32(sum);
}

BINNET_DEFINE_SELECT(AVX512, 4, CHUNK *TABLE_BYTES, sum_row)

/* ---- Tables that rows share ---------------------------------------------------------------- */

#if BINNET_CONVOLUTIONS
AVX512 static int32_t table_values(uint8_t *tables, const uint8_t *values, uint32_t n, int int8) {
    for (uint32_t k = 0; k < n; k += DEPTH, tables += CHUNK * TABLE_BYTES) {
        const uint32_t some = n - k < DEPTH ? n - k : DEPTH;
        if (int8)
            make_tables(1, tables, values + k, some);
        else
            make_tables(0, tables, values + k, some);
    }
    return int8 ? sum_row(values, 1, n) : sum_row(values, 0, n);
}

#define ADD(rows, panels)                                                                          \
    look_up_block(int8, rows, panels, t->table_step, t, row, p, first_group, n_groups, NULL)

/* A chunk of the depth: all rows against the same indices, which stay in the first-level cache. */
AVX512 BINNET_INLINE void add_chunk(const int int8, const binnet_select *t, uint32_t first_group,
                                    uint32_t n_groups) {
    const uint32_t n_panels = (t->n_columns + COLUMNS - 1) / COLUMNS;
    for (uint32_t p = 0; p < n_panels;) {
        const uint32_t rest = n_panels - p, some = rest >= 4 ? 4 : rest >= 2 ? 2 : 1;
        uint32_t row = 0;
        for (; row + ROWS <= t->n_rows; row += ROWS)
            if (some == 4)
                ADD(ROWS, 4);
            else if (some == 2)
                ADD(ROWS, 2);
            else
                ADD(ROWS, 1);
        for (; row < t->n_rows; ++row)
            if (some == 4)
                ADD(1, 4);
            else if (some == 2)
                ADD(1, 2);
            else
                ADD(1, 1);
        p += some;
    }
}

AVX512 static void add_tables(const binnet_select *product, uint32_t first_group,
                              uint32_t n_groups) {
    binnet_select t = *product;
    for (uint32_t n; n_groups > 0; n_groups -= n) {
        const uint32_t chunks = (n_groups + CHUNK - 1) / CHUNK;
        n = (n_groups + chunks - 1) / chunks;
        if (t.int8)
            add_chunk(1, &t, first_group, n);
        else
            add_chunk(0, &t, first_group, n);
        t.tables += (size_t)n * TABLE_BYTES;
        first_group += n;
    }
}
#endif

/* Few rows do not pay for packing: the bits of a unit choose bytes where they are used. */
enum { UNITS_AT_ONCE = 8 };

/* The total of each of 16 registers, in its lane. */
AVX512 BINNET_INLINE __m512i total_each(const __m512i s[16]) {
    __m512i t[8], u[4];
    for (int i = 0; i < 8; ++i)
        t[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(s[2 * i], s[2 * i + 1]),
                                _mm512_unpackhi_epi32(s[2 * i], s[2 * i + 1]));
    for (int i = 0; i < 4; ++i)
        u[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(t[2 * i], t[2 * i + 1]),
                                _mm512_unpackhi_epi64(t[2 * i], t[2 * i + 1]));
    const __m512i low = _mm512_add_epi32(_mm512_shuffle_i32x4(u[0], u[1], 0x44),
                                         _mm512_shuffle_i32x4(u[0], u[1], 0xee));
    const __m512i high = _mm512_add_epi32(_mm512_shuffle_i32x4(u[2], u[3], 0x44),
                                          _mm512_shuffle_i32x4(u[2], u[3], 0xee));
    return _mm512_add_epi32(_mm512_shuffle_i32x4(low, high, 0x88),
                            _mm512_shuffle_i32x4(low, high, 0xdd));
}

/* The lanes of n_units sums, the caller's constant: a byte counts +1 where the bit is 1, else
 * -1. */
AVX512 BINNET_INLINE void dot_units(const uint32_t n_units, __m512i *sums, const binnet_select *t,
                                    uint32_t row, uint32_t unit) {
    const __m512i plus = _mm512_set1_epi8(1), minus = _mm512_set1_epi8(-1);
    const uint8_t *values = t->values + row * t->stride;
    const uint8_t *bits = t->selector.bits + unit * t->selector.stride;
    const size_t stride = t->selector.stride;
    const uint32_t whole = t->depth & ~63u, n_bytes = (t->depth + 7) / 8;
    __m512i s[UNITS_AT_ONCE];
    for (uint32_t i = 0; i < n_units; ++i) s[i] = _mm512_setzero_si512();
    for (uint32_t n = 0; n < whole; n += 64) {
        const __m512i v = _mm512_loadu_si512(values + n);
        BINNET_UNROLL
        for (uint32_t i = 0; i < n_units; ++i) {
            uint64_t word;
            memcpy(&word, bits + i * stride + n / 8, 8);
            s[i] = _mm512_dpbusd_epi32(s[i], v, _mm512_mask_blend_epi8(word, minus, plus));
        }
    }
    const __m512i v = _mm512_maskz_loadu_epi8(first_bits(t->depth - whole), values + whole);
    for (uint32_t i = 0; i < n_units; ++i) {
        const __mmask64 word = (__mmask64)load_word(bits + i * stride, whole / 8, n_bytes);
        sums[i] = _mm512_dpbusd_epi32(s[i], v, _mm512_mask_blend_epi8(word, minus, plus));
    }
}

AVX512 static void plain(const binnet_select *t) {
    if (t->int8 || !t->signs || t->add || !t->selector.by_column) {
        binnet_plain(t, COLUMNS);
        return;
    }
    for (uint32_t row = 0; row < t->n_rows; ++row)
        for (uint32_t unit = 0; unit < t->n_columns; unit += 16) {
            const uint32_t n = t->n_columns - unit < 16 ? t->n_columns - unit : 16;
            __m512i sums[16];
            uint32_t u = 0;
            for (; u + UNITS_AT_ONCE <= n; u += UNITS_AT_ONCE)
                dot_units(UNITS_AT_ONCE, sums + u, t, row, unit + u);
            for (; u < n; ++u) dot_units(1, sums + u, t, row, unit + u);
            for (; u < 16; ++u) sums[u] = _mm512_setzero_si512();
            _mm512_mask_storeu_epi32(t->sums + unit / COLUMNS * t->panel_step + row * t->row_step +
                                         unit % COLUMNS,
                                     (__mmask16)first_bits(n), total_each(sums));
        }
}

/* ---- Transposition ------------------------------------------------------------------------- */

/* Four rows of 64 bytes as 64 groups of four. */
AVX512 BINNET_INLINE void interleave4(__m512i out[4], const __m512i r[4]) {
    const __m512i low01 = _mm512_unpacklo_epi8(r[0], r[1]),
                  high01 = _mm512_unpackhi_epi8(r[0], r[1]);
    const __m512i low23 = _mm512_unpacklo_epi8(r[2], r[3]),
                  high23 = _mm512_unpackhi_epi8(r[2], r[3]);
    /* 128-bit lane i of q0..q3 holds the groups 16 i + 0..3, 4..7, 8..11, 12..15. */
    const __m512i q0 = _mm512_unpacklo_epi16(low01, low23);
    const __m512i q1 = _mm512_unpackhi_epi16(low01, low23);
    const __m512i q2 = _mm512_unpacklo_epi16(high01, high23);
    const __m512i q3 = _mm512_unpackhi_epi16(high01, high23);
    const __m512i a = _mm512_shuffle_i32x4(q0, q1, 0x44), b = _mm512_shuffle_i32x4(q0, q1, 0xee);
    const __m512i c = _mm512_shuffle_i32x4(q2, q3, 0x44), d = _mm512_shuffle_i32x4(q2, q3, 0xee);
    out[0] = _mm512_shuffle_i32x4(a, c, 0x88);
    out[1] = _mm512_shuffle_i32x4(a, c, 0xdd);
    out[2] = _mm512_shuffle_i32x4(b, d, 0x88);
    out[3] = _mm512_shuffle_i32x4(b, d, 0xdd);
}

/* 16 rows of up to 64 columns at a time: 16 bytes for each column. */
AVX512 static void transpose(int8_t *out, size_t out_stride, const int8_t *in, size_t in_stride,
                             uint32_t n_rows, uint32_t n_columns) {
    for (uint32_t b = 0; b < n_rows; b += 16) {
        const __mmask16 rows = (__mmask16)first_bits(n_rows - b < 16 ? n_rows - b : 16);
        for (uint32_t first = 0; first < n_columns; first += 64) {
            const __mmask64 columns = first_bits(n_columns - first);
            __m512i groups[4][4];
            for (uint32_t quad = 0; quad < 4; ++quad) {
                __m512i r[4];
                for (uint32_t i = 0; i < 4; ++i) {
                    const uint32_t row = b + 4 * quad + i;
                    r[i] = _mm512_setzero_si512();
                    if (row < n_rows)
                        r[i] = _mm512_maskz_loadu_epi8(columns, in + row * in_stride + first);
                }
                interleave4(groups[quad], r);
            }
            for (uint32_t k = 0; k < 4; ++k) {
                const __m512i t0 = _mm512_unpacklo_epi32(groups[0][k], groups[1][k]);
                const __m512i t1 = _mm512_unpackhi_epi32(groups[0][k], groups[1][k]);
                const __m512i t2 = _mm512_unpacklo_epi32(groups[2][k], groups[3][k]);
                const __m512i t3 = _mm512_unpackhi_epi32(groups[2][k], groups[3][k]);
                __m512i u[4]; /* lane i of u[j]: column 4 i + j of these 16 */
                u[0] = _mm512_unpacklo_epi64(t0, t2);
                u[1] = _mm512_unpackhi_epi64(t0, t2);
                u[2] = _mm512_unpacklo_epi64(t1, t3);
                u[3] = _mm512_unpackhi_epi64(t1, t3);
                __m128i lanes[4][4];
                for (uint32_t j = 0; j < 4; ++j) _mm512_storeu_si512(lanes[j], u[j]);
                for (uint32_t c = 0; c < 16 && first + 16 * k + c < n_columns; ++c)
                    _mm_mask_storeu_epi8(out + (first + 16 * k + c) * out_stride + b, rows,
                                         lanes[c % 4][c / 4]);
            }
        }
    }
}

/* ---- Element-wise -------------------------------------------------------------------------- */

AVX512 static void draw_bits(uint8_t *bits, const uint8_t *x, const uint8_t *random, uint32_t n,
                             uint32_t mask) {
    for (uint32_t i = 0; i < n; i += 64) {
        const __mmask64 valid = first_bits(n - i);
        const __m512i r = _mm512_and_si512(_mm512_maskz_loadu_epi8(valid, random + i),
                                           _mm512_set1_epi8((char)mask));
        const __mmask64 drawn = _mm512_cmplt_epu8_mask(r, _mm512_maskz_loadu_epi8(valid, x + i));
        memcpy(bits + i / 8, &drawn, n - i >= 64 ? 8 : (n - i + 7) / 8);
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
AVX512 BINNET_INLINE void xnor_step(const int vectors, xnor_sums *s, const binnet_word *const *a,
                                    size_t word, const binnet_word *b) {
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
    const binnet_word *a[XNOR_ROWS], *b = t->panel;
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

AVX512 static void xnor_row(const binnet_xnor *t) {
    for (uint32_t i = 0; i < t->n_rows; ++i) {
        const binnet_word *a = t->a + i * t->a_stride;
        int32_t *product = t->product + i * t->product_stride;
        __m512i count = _mm512_setzero_si512();
        for (uint32_t w = 0; w < t->n_words; w += 8) {
            const uint32_t rest = t->n_words - w;
            const __mmask8 valid = (__mmask8)first_bits(rest < 8 ? rest : 8);
            const __m512i differing =
                _mm512_xor_si512(_mm512_maskz_loadu_epi64(valid, a + w),
                                 _mm512_maskz_loadu_epi64(valid, t->panel + w));
            count = _mm512_add_epi64(count, _mm512_popcnt_epi64(differing));
        }
        *product =
            (t->add ? *product : 0) + t->n_bits - 2 * (int32_t)_mm512_reduce_add_epi64(count);
    }
}

/* ---- Normalisation ------------------------------------------------------------------------- */

AVX512 static void normalise(const binnet_norm_job *job, uint32_t n) {
    const __mmask16 units = (__mmask16)first_bits(n);
    const __m512i factors = load_factors(job->scale, units);
    const lanes l = make_lanes(units, factors, shift_of(factors));
    const __m512i mean = _mm512_maskz_loadu_epi32(l.units, job->mean);
    const __m512i bias = _mm512_maskz_loadu_epi32(l.units, job->bias);
    const __m512i zero = _mm512_setzero_si512(), most = _mm512_set1_epi32(127);
    const __m512i least = _mm512_sub_epi32(zero, most);
    /* Before a left shift, so that it does not overflow; this changes no result. */
    const __mmask16 grow = _mm512_cmpgt_epi32_mask(l.left, zero);
    for (uint32_t b = 0; b < job->n_rows; ++b) {
        __m512i v = _mm512_maskz_loadu_epi32(l.units, job->z + b * job->z_stride);
        v = scaled(&l, _mm512_sub_epi32(v, mean));
        v = _mm512_mask_min_epi32(v, grow, _mm512_max_epi32(v, least), most);
        v = clamped(shifted(&l, v), least, most);
        if (job->normed)
            _mm512_mask_cvtepi32_storeu_epi8(job->normed + b * job->stride, l.units, v);
        if (job->activation)
            _mm512_mask_cvtepi32_storeu_epi8(job->activation + b * job->stride, l.units,
                                             clamped(_mm512_add_epi32(v, bias), zero, most));
    }
}

BINNET_DEFINE_REACH(AVX512)
BINNET_DEFINE_POOL(AVX512)

const binnet_kernels binnet_kernels_avx512 = {
    .name = "avx512",
    .alignment = 64,
    .plain_rows = 3,
    .row_shift = 2,
    .panel_columns = COLUMNS,
    .z_columns = UINT32_MAX,
    .group = GROUP,
    .index_bytes = INDEX_BYTES,
    .table_bytes = ROWS * CHUNK * TABLE_BYTES,
    .xnor_columns = XNOR_COLUMNS,
    .plain = plain,
    .panels_bytes = binnet_panels_bytes,
    .pack = binnet_pack,
    .pack_by_column = pack_by_column,
    .pack_by_summand = pack_by_summand,
    .select = select_packed,
    .transpose = transpose,
    .draw_bits = draw_bits,
    .xnor_row = xnor_row,
    .xnor = xnor,
    .xnor_packed = binnet_xnor_packed,
    .normalise = normalise,
    .reach = reach,
#if BINNET_CONVOLUTIONS
    .pool = pool,
    .table_size = TABLE_BYTES,
    .make_tables = table_values,
    .add_tables = add_tables,
#endif
};
#else
typedef int binnet_no_avx512; /* ISO C wants a declaration in every file */
#endif
