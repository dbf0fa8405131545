/* The kernels in plain C, with nothing but add, shift and mask on data: what every other table must
 * equal.
 * SPDX-License-Identifier: BSD-3-Clause */
#if defined(__clang__) && defined(__x86_64__)
/* Clang vectorises variable shifts for SSE2 by way of float exponents (cvttps2dq). */
#pragma clang attribute push(__attribute__((target("general-regs-only"))), apply_to = function)
#endif

#include "norm_inline.h"

#ifdef BINNET_COUNT_OPERATIONS
uint64_t binnet_counts[BINNET_N_COUNTS];
#endif

static int32_t value(const uint8_t *p, int int8) { return int8 ? *(const int8_t *)p : *p; }

int32_t binnet_total(const uint8_t *values, size_t step, int int8, uint32_t n) {
    int32_t sum = 0;
    BINNET_COUNT(ADDITIONS, n);
    for (; n-- > 0; values += step) sum += value(values, int8);
    return sum;
}

/* Four values have 16 sums, one for each choice of them; four bits of a column choose one. So four
 * summands cost one addition a column, with no more memory than a table; two tables take a byte of
 * bits at once. */
enum { HALF = 4, GROUP = 2 * HALF, SUMS = 1 << HALF, COLUMNS = BINNET_UNIT_BLOCK };

/* The sums of up to four values, twice them if bits are signs. Returns whether any is not 0. */
static int32_t make_table(int32_t table[SUMS], const binnet_select *t, const uint8_t *values,
                          uint32_t n_values) {
    int32_t any = 0;
    table[0] = 0;
    for (uint32_t n = 1; n < SUMS; n += n, values += t->step) {
        const int32_t once = n >> n_values ? 0 : value(values, t->int8);
        const int32_t v = t->signs ? once + once : once;
        any |= v;
        BINNET_COUNT(ADDITIONS, n + (t->signs ? 1 : 0));
        for (uint32_t i = 0; i < n; ++i) table[n + i] = table[i] + v;
    }
    return any;
}

/* A row of bits for each column. */
BINNET_APART static void add_by_column(const int32_t tables[2 * SUMS], const uint8_t *bits,
                                       size_t stride, uint32_t n, int32_t *sums) {
    const int32_t *const high = tables + SUMS;
    BINNET_COUNT(LOOKUPS, 2 * n);
    BINNET_COUNT(ADDITIONS, 2 * n);
    for (int32_t *const end = sums + n; sums < end; bits += stride)
        *sums++ += tables[*bits & (SUMS - 1)] + high[*bits >> HALF];
}

/* A row of bits for each summand: four bits of four rows become the indices of four columns. */
BINNET_APART static void add_by_summand(const int32_t table[SUMS], const uint8_t *rows,
                                        size_t stride, uint32_t n_rows, uint32_t n, int32_t *sums) {
    /* Bit i of a number at bit 4 i. */
    static const uint16_t spread[SUMS] = {0x0000, 0x0001, 0x0010, 0x0011, 0x0100, 0x0101,
                                          0x0110, 0x0111, 0x1000, 0x1001, 0x1010, 0x1011,
                                          0x1100, 0x1101, 0x1110, 0x1111};
    BINNET_COUNT(LOOKUPS, n);
    BINNET_COUNT(ADDITIONS, n);
    for (uint32_t c = 0; c < n; c += 4) {
        const uint8_t *bits = rows + (c >> 3);
        uint32_t indices = 0;
        for (uint32_t j = 0; j < n_rows; ++j, bits += stride)
            indices |= (uint32_t)spread[*bits >> (c & 4) & 15] << j;
        for (uint32_t i = c; i < n && i < c + 4; ++i, indices >>= 4) sums[i] += table[indices & 15];
    }
}

/* Adds what up to GROUP values from number k on give to the sums of a row. */
static void add_group(const binnet_select *t, const uint8_t *values, uint32_t k, int32_t *sums,
                      uint32_t panel_columns) {
    const binnet_selector *s = &t->selector;
    const uint32_t low = binnet_block(k, t->depth, HALF),
                   high = binnet_block(k + low, t->depth, HALF);
    int32_t tables[2 * SUMS];
    int32_t any = make_table(tables, t, values, low);
    any |= make_table(tables + SUMS, t, values + HALF * t->step, high);
    if (!any) {
        BINNET_COUNT(SKIPPED, 2 * t->n_columns);
        return;
    }
    for (uint32_t c = 0; c < t->n_columns; c += panel_columns, sums += t->panel_step) {
        const uint32_t n = binnet_block(c, t->n_columns, panel_columns);
        if (s->by_column) {
            add_by_column(tables, s->bits + c * s->stride + (k >> 3), s->stride, n, sums);
            continue;
        }
        const uint8_t *rows = s->bits + k * s->stride + (c >> 3);
        add_by_summand(tables, rows, s->stride, low, n, sums);
        add_by_summand(tables + SUMS, rows + HALF * s->stride, s->stride, high, n, sums);
    }
}

void binnet_plain(const binnet_select *t, uint32_t panel_columns) {
    for (uint32_t i = 0; i < t->n_rows; ++i) {
        const uint8_t *values = t->values + i * t->stride;
        int32_t *const first = t->sums + i * t->row_step, *sums = first;
        if (!t->add) {
            const int32_t less = t->signs ? binnet_total(values, t->step, t->int8, t->depth) : 0;
            for (uint32_t c = 0; c < t->n_columns; c += panel_columns, sums += t->panel_step) {
                const uint32_t n = binnet_block(c, t->n_columns, panel_columns);
                for (uint32_t u = 0; u < n; ++u) sums[u] = -less;
            }
        }
        for (uint32_t k = 0; k < t->depth; k += GROUP, values += GROUP * t->step)
            add_group(t, values, k, first, panel_columns);
    }
}

static void plain(const binnet_select *product) { binnet_plain(product, COLUMNS); }

static void draw_bits(uint8_t *bits, const uint8_t *x, const uint8_t *random, uint32_t n,
                      uint32_t mask) {
    memset(bits, 0, (n + 7) >> 3);
    for (uint32_t i = 0; i < n; ++i)
        bits[i >> 3] = (uint8_t)(bits[i >> 3] | ((random[i] & mask) < x[i]) << (i & 7));
}

/* ---- Bits ---------------------------------------------------------------------------------- */

#if SIZE_MAX > 0xffffffffu
/* Pairs, nibbles and bytes of a word hold their counts; then all are summed. */
static uint32_t count_bits(uint64_t v) {
    v -= v >> 1 & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    v += v >> 8; /* bytes of at most 8: no sum of eight reaches 2^8 */
    v += v >> 16;
    return (uint32_t)(v + (v >> 32)) & 255u;
}

/* A full adder of 64 columns: returns the sum bits; *carry gets the carries. */
BINNET_INLINE uint64_t add_bits(uint64_t a, uint64_t b, uint64_t c, uint64_t *carry) {
    const uint64_t u = a ^ b;
    *carry = (a & b) | (u & c);
    return u ^ c;
}

/* Four words are added to the columns' counts with the binary digits `ones` and `twos`, so that
 * only the carries into the fours are counted. */
static uint32_t xor_count(const binnet_word *a, const binnet_word *b, uint32_t n_words) {
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
#else
/* Where a 64-bit operation is several, halves of words; and few registers hold no more than one's
 * counts. */
typedef uint32_t BINNET_MAY_ALIAS half;

static uint32_t xor_count(const binnet_word *a, const binnet_word *b, uint32_t n_words) {
    const half *p = (const half *)a, *q = (const half *)b, *const end = p + 2 * (size_t)n_words;
    uint32_t count = 0;
    while (p < end) {
        uint32_t v = *p++ ^ *q++;
        v -= v >> 1 & 0x55555555u;
        v = (v & 0x33333333u) + (v >> 2 & 0x33333333u);
        v = (v + (v >> 4)) & 0x0f0f0f0fu;
        v += v >> 8;
        count += (v + (v >> 16)) & 63u;
    }
    return count;
}
#endif

static void xnor_row(const binnet_xnor *t) {
    for (uint32_t i = 0; i < t->n_rows; ++i) {
        int32_t *product = t->product + i * t->product_stride;
        const int32_t start = t->add ? *product : 0;
        BINNET_COUNT(POPCOUNTS, t->n_words);
        BINNET_COUNT(ADDITIONS, 2);
        BINNET_COUNT(SHIFTS, 1);
        *product = start + t->n_bits -
                   (int32_t)(xor_count(t->a + i * t->a_stride, t->panel, t->n_words) << 1);
    }
}

BINNET_DEFINE_UNITS(normalise, binnet_norm_job)
BINNET_DEFINE_REACH()
BINNET_DEFINE_POOL()

/* Nothing is packed: on a microcontroller that would be RAM. */
const binnet_kernels binnet_kernels_portable = {
    .name = "portable",
    .alignment = 8,
    .panel_columns = COLUMNS,
    .z_columns = COLUMNS,
    .plain = plain,
    .draw_bits = draw_bits,
    .xnor_row = xnor_row,
    .normalise = normalise,
    .reach = reach,
#if BINNET_CONVOLUTIONS
    .pool = pool,
#endif
};

#if defined(__clang__) && defined(__x86_64__)
#pragma clang attribute pop
#endif
