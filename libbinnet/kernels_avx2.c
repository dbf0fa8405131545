/* AVX2. The product is a table lookup as in kernels_avx512.c: three values of a row have eight
 * sums, which fill half a register, vpshufb looks up 16 columns at once, and an addition of 16-bit
 * lanes ends it.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "norm_inline.h"
#include "select_inline.h"

#if BINNET_X86
#include <immintrin.h>

#define AVX2 BINNET_TARGET("avx2,popcnt")

enum { GROUP = 3, COLUMNS = 16, ROWS = 4, INDEX_BYTES = 32, TABLE_BYTES = 16 };
/* Groups whose sums fit 16 bits: 85 · 3 · 255 < 2^16 unsigned, 85 · 3 · 127 < 2^15 with a sign. */
enum { CHUNK = 85, DEPTH = GROUP * CHUNK, XNOR_COLUMNS = 4 };

AVX2 BINNET_INLINE void store(void *p, __m256i v) { _mm256_storeu_si256((__m256i *)p, v); }
AVX2 BINNET_INLINE __m256i load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* ---- Packing ------------------------------------------------------------------------------- */

/* Four bytes of a row of bits from byte `at` on, 0 past its end. */
BINNET_INLINE int32_t load_word(const uint8_t *row, uint32_t at, uint32_t n_bytes) {
    int32_t word = 0;
    if (at + 4 <= n_bytes)
        memcpy(&word, row + at, 4);
    else if (at < n_bytes)
        memcpy(&word, row + at, n_bytes - at);
    return word;
}

/* Numbers below 8 in 16-bit lanes as indices: the bytes 2i and 2i + 1. */
AVX2 BINNET_INLINE __m256i to_index(__m256i v) {
    v = _mm256_add_epi16(v, v);
    return _mm256_or_si256(_mm256_or_si256(v, _mm256_slli_epi16(v, 8)), _mm256_set1_epi16(0x0100));
}

/* The bits of a column are a row: eight groups are 24 bits, in 32-bit lanes of two registers. */
AVX2 static void pack_by_column(uint8_t *panel, const binnet_selector *selector, uint32_t column,
                                uint32_t n_columns, uint32_t depth) {
    const uint32_t n_groups = (depth + GROUP - 1) / GROUP, n_bytes = (depth + 7) / 8;
    for (uint32_t group = 0; group < n_groups; group += 8) {
        int32_t words[COLUMNS] = {0};
        for (uint32_t c = 0; c < n_columns; ++c)
            words[c] = load_word(selector->bits + (column + c) * selector->stride,
                                 group / 8 * GROUP, n_bytes);
        __m256i low = load(words), high = load(words + 8);
        for (uint32_t i = 0; i < 8 && group + i < n_groups; ++i, panel += INDEX_BYTES) {
            const __m256i seven = _mm256_set1_epi32(7);
            const __m256i lanes =
                _mm256_packus_epi32(_mm256_and_si256(low, seven), _mm256_and_si256(high, seven));
            store(panel, to_index(_mm256_permute4x64_epi64(lanes, 0xd8)));
            low = _mm256_srli_epi32(low, GROUP);
            high = _mm256_srli_epi32(high, GROUP);
        }
    }
}

AVX2 static void pack_by_summand(uint8_t *panel, const binnet_selector *selector, uint32_t column,
                                 uint32_t n_columns, uint32_t depth) {
    const __m256i bit = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096,
                                          8192, 16384, -32768);
    const uint8_t *rows = selector->bits + column / 8;
    for (uint32_t k = 0; k < depth; panel += INDEX_BYTES) {
        __m256i number = _mm256_setzero_si256();
        for (int power = 1; power < 8 && k < depth; power += power, ++k) {
            const uint8_t *row = rows + k * selector->stride;
            const int16_t columns = (int16_t)(row[0] | (n_columns > 8 ? row[1] << 8 : 0));
            const __m256i is_set =
                _mm256_cmpeq_epi16(_mm256_and_si256(_mm256_set1_epi16(columns), bit), bit);
            number = _mm256_or_si256(number,
                                     _mm256_and_si256(is_set, _mm256_set1_epi16((int16_t)power)));
        }
        store(panel, to_index(number));
    }
}

/* ---- Product ------------------------------------------------------------------------------- */

/* Two bytes in every 16-bit lane. */
AVX2 BINNET_INLINE __m128i pair(const uint8_t *p) {
    int16_t v;
    memcpy(&v, p, 2);
    return _mm_set1_epi16(v);
}

/* Values that the bits of a lane's number choose: `chosen` has a byte of 0 or 1 for each of two. */
AVX2 BINNET_INLINE __m128i choose(const int int8, __m128i values, __m128i chosen) {
    return int8 ? _mm_maddubs_epi16(chosen, values) : _mm_maddubs_epi16(values, chosen);
}

/* The tables of n <= DEPTH values of a row. */
AVX2 BINNET_INLINE void make_tables(const int int8, uint8_t *tables, const uint8_t *values,
                                    uint32_t n) {
    const __m128i bits01 = _mm_set1_epi64x(0x0101010000010000);
    const __m128i bit2 = _mm_set_epi64x(0x0001000100010001, 0);
    uint8_t chunk[DEPTH + 1]; /* 0 after the last value */
    memcpy(chunk, values, n);
    memset(chunk + n, 0, sizeof chunk - n);
    for (uint32_t k = 0; k < n; k += GROUP, tables += TABLE_BYTES)
        _mm_storeu_si128((__m128i *)(void *)tables,
                         _mm_add_epi16(choose(int8, pair(chunk + k), bits01),
                                       choose(int8, pair(chunk + k + 2), bit2)));
}

/* 16-bit sums of a row and a panel to 32 bits: twice them if bits are signs. They are added to
 * what is there, or to `start` in a first chunk. */
AVX2 BINNET_INLINE void store_sums(const int int8, const binnet_select *t, uint32_t row,
                                   uint32_t panel, const int32_t *start, __m256i sums) {
    int32_t *out = t->sums + panel * t->panel_step + row * t->row_step;
    const __m128i half[2] = {_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1)};
    for (int i = 0; i < 2; ++i, out += 8) {
        __m256i v = int8 ? _mm256_cvtepi16_epi32(half[i]) : _mm256_cvtepu16_epi32(half[i]);
        if (t->signs) v = _mm256_add_epi32(v, v);
        store(out, _mm256_add_epi32(v, start ? _mm256_set1_epi32(start[row]) : load(out)));
    }
}

#define EACH_ROW(OP) OP(0) OP(1) OP(2) OP(3)

#define START_ROW(i) __m256i s##i##0 = _mm256_setzero_si256(), s##i##1 = s##i##0;

#define LOOK_UP(sum, index) sum = _mm256_add_epi16(sum, _mm256_shuffle_epi8(table, index))

/* An instruction of no effect. Without it before, in and after the loop gcc 12 keeps two copies of
 * every sum, and spills some. */
#define KEEP_ROW(i) __asm__("" : "+x"(s##i##0), "+x"(s##i##1));

#define STEP_ROW(i)                                                                                \
    if (i < rows) {                                                                                \
        const __m256i table = _mm256_broadcastsi128_si256(                                         \
            _mm_loadu_si128((const __m128i *)(const void *)(tables + i * CHUNK * TABLE_BYTES)));   \
        LOOK_UP(s##i##0, index0);                                                                  \
        if (panels == 2) LOOK_UP(s##i##1, index1);                                                 \
    }

#define STORE_ROW(i)                                                                               \
    if (i < rows) {                                                                                \
        store_sums(int8, t, row + i, panel, start, s##i##0);                                       \
        if (panels == 2) store_sums(int8, t, row + i, panel + 1, start, s##i##1);                  \
    }

/* Some rows and panels over a chunk of the depth. int8, rows and panels are the caller's
 * constants. */
AVX2 BINNET_INLINE void select_block(const int int8, const uint32_t rows, const uint32_t panels,
                                     const binnet_select *t, uint32_t row, uint32_t panel,
                                     uint32_t first_group, uint32_t n_groups,
                                     const int32_t *start) {
    const size_t panel_bytes = (t->depth + GROUP - 1) / GROUP * (size_t)INDEX_BYTES;
    const uint8_t *index = t->panels + panel * panel_bytes + first_group * (size_t)INDEX_BYTES;
    const uint8_t *tables = t->tables + row * CHUNK * TABLE_BYTES;
    EACH_ROW(START_ROW)
    EACH_ROW(KEEP_ROW)
    do {
        const __m256i index0 = load(index);
        const __m256i index1 = panels == 2 ? load(index + panel_bytes) : index0;
        EACH_ROW(STEP_ROW)
        EACH_ROW(KEEP_ROW)
        index += INDEX_BYTES;
        tables += TABLE_BYTES;
    } while (--n_groups);
    EACH_ROW(KEEP_ROW)
    EACH_ROW(STORE_ROW)
}

/* The sum of a row. */
BINNET_INLINE int32_t sum_row(const uint8_t *row, int int8, uint32_t n) {
    return binnet_total(row, 1, int8, n);
}

BINNET_DEFINE_SELECT(AVX2, 2, CHUNK *TABLE_BYTES, sum_row)

/* Few rows do not pay for packing: the bits of a column are spread to masks where they are used. */

/* 32 bytes, 255 where the bit is set. */
AVX2 BINNET_INLINE __m256i expand(int32_t bits) {
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                            2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201u);
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), spread);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
}

AVX2 BINNET_INLINE int32_t masked_sum(const uint8_t *values, const uint8_t *bits, uint32_t depth) {
    const uint32_t whole = depth & ~31u, n_bytes = (depth + 7) / 8;
    __m256i sum = _mm256_setzero_si256();
    for (uint32_t k = 0; k < whole; k += 32) {
        const __m256i v =
            _mm256_and_si256(load(values + k), expand(load_word(bits, k / 8, n_bytes)));
        sum = _mm256_add_epi64(sum, _mm256_sad_epu8(v, _mm256_setzero_si256()));
    }
    const __m128i half =
        _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    int32_t total = _mm_cvtsi128_si32(_mm_add_epi64(half, _mm_unpackhi_epi64(half, half)));
    for (uint32_t k = whole; k < depth; ++k) total += values[k] & -(bits[k >> 3] >> (k & 7) & 1);
    return total;
}

BINNET_DEFINE_PLAIN(AVX2)

/* ---- Element-wise: whole vectors here, the rest of a row with the portable kernels ----------- */

static void transpose(int8_t *out, size_t out_stride, const int8_t *in, size_t in_stride,
                      uint32_t n_rows, uint32_t n_columns) {
    for (uint32_t b = 0; b < n_rows; ++b)
        for (uint32_t n = 0; n < n_columns; ++n) out[n * out_stride + b] = in[b * in_stride + n];
}

AVX2 static void draw_bits(uint8_t *bits, const uint8_t *x, const uint8_t *random, uint32_t n,
                           uint32_t mask) {
    uint32_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i r = _mm256_and_si256(load(random + i), _mm256_set1_epi8((char)mask));
        const __m256i not_below = _mm256_cmpeq_epi8(_mm256_max_epu8(r, load(x + i)), r);
        const int32_t drawn = ~_mm256_movemask_epi8(not_below);
        memcpy(bits + i / 8, &drawn, 4);
    }
    if (i < n) binnet_kernels_portable.draw_bits(bits + i / 8, x + i, random + i, n - i, mask);
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

AVX2 BINNET_INLINE __m256i differ(const binnet_word *a, const binnet_word *b, uint32_t word) {
    return _mm256_xor_si256(_mm256_set1_epi64x((int64_t)a[word]),
                            load(b + (size_t)word * XNOR_COLUMNS));
}

/* Differing bits of a row and of four columns, one in each 64-bit lane. Eight words are added to
 * every position's count with the binary digits ones, twos and fours: only the carries into the
 * eights are counted, at most 16 · 8 a byte. */
AVX2 BINNET_INLINE __m256i xor_count(const binnet_word *a, const binnet_word *b, uint32_t n_words) {
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

AVX2 static void xnor_row(const binnet_xnor *t) {
    for (uint32_t i = 0; i < t->n_rows; ++i) {
        const binnet_word *a = t->a + i * t->a_stride;
        int32_t *product = t->product + i * t->product_stride;
        int64_t count = 0;
        for (uint32_t w = 0; w < t->n_words; ++w) count += _mm_popcnt_u64(a[w] ^ t->panel[w]);
        *product = (t->add ? *product : 0) + t->n_bits - 2 * (int32_t)count;
    }
}

AVX2 static void xnor(const binnet_xnor *t) {
    for (uint32_t i = 0; i < t->n_rows; ++i) {
        int32_t *product = t->product + i * t->product_stride;
        int64_t counts[XNOR_COLUMNS];
        store(counts, xor_count(t->a + i * t->a_stride, t->panel, t->n_words));
        for (uint32_t j = 0; j < t->n_columns; ++j)
            product[j] = (t->add ? product[j] : 0) + t->n_bits - 2 * (int32_t)counts[j];
    }
}

BINNET_DEFINE_BLOCK(AVX2, normalise, binnet_norm_job)
BINNET_DEFINE_REACH(AVX2)
BINNET_DEFINE_POOL(AVX2)

const binnet_kernels binnet_kernels_avx2 = {
    .name = "avx2",
    .alignment = 64,
    .plain_rows = 2,
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
#endif
};
#else
typedef int binnet_no_avx2; /* ISO C wants a declaration in every file */
#endif
