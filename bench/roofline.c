/* What bench/gemm.py cannot measure from Python: how many products a second the registers of one
 * processor allow, and how many the library's kernels make of it. Compiled with the library's
 * files. Every function returns the multiply-adds that it did.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "../libbinnet/internal.h"

#include <stdlib.h>

enum { ROWS = 16, CHAINS = 8 };

/* n rounds of the kernel alone on operands in the first-level cache: a 16-row tile. */
uint64_t microkernel(const char *isa, uint64_t n) {
    static uint64_t a[ROWS * BINNET_XNOR_WORDS], panel[64 * BINNET_XNOR_WORDS];
    static int32_t product[ROWS * 64];
    const binnet_kernels *kernels = binnet_kernels_find(isa);
    if (!kernels) return 0;
    const uint32_t width = kernels->xnor_columns;
    const binnet_xnor tile = {product,
                              width,
                              a,
                              BINNET_XNOR_WORDS,
                              panel,
                              ROWS,
                              width,
                              BINNET_XNOR_WORDS,
                              64 * BINNET_XNOR_WORDS,
                              0};
    for (uint64_t i = 0; i < n; ++i) kernels->xnor(&tile);
    return n * ROWS * width * 64 * BINNET_XNOR_WORDS;
}

static void drop(void *context, const binnet_result *result) {
    (void)context;
    (void)result;
}

/* n products of values and bits, packing included, as in training: forward, backward, outer. */
uint64_t product(const char *isa, const char *kind, uint32_t n_rows, uint32_t n_columns,
                 uint32_t depth, uint64_t n) {
    const binnet_kernels *kernels = binnet_kernels_find(isa);
    if (!kernels) return 0;
    const int by_column = kind[0] == 'f';
    const size_t stride = ((by_column ? depth : n_columns) + 63) / 64 * 8;
    const size_t scratch_bytes = (size_t)binnet_gemm_scratch(kernels, n_columns);
    uint8_t *values = malloc((size_t)n_rows * depth);
    uint8_t *bits = malloc((by_column ? n_columns : depth) * stride);
    uint8_t *panels = malloc((size_t)binnet_gemm_panels(kernels, n_rows, n_columns, depth) + 1);
    uint8_t *scratch = malloc(scratch_bytes + 1);
    int32_t *sums = malloc(n_rows * (size_t)binnet_padded(kernels, n_columns) * sizeof *sums);
    const binnet_gemm gemm = {.kernels = kernels,
                              .values = values,
                              .stride = depth,
                              .int8 = !by_column,
                              .signs = kind[0] != 'o',
                              .selector = {bits, stride, by_column},
                              .n_rows = n_rows,
                              .n_columns = n_columns,
                              .depth = depth,
                              .sums = by_column ? sums : NULL,
                              .epilogue = drop,
                              .panels = panels,
                              .scratch = scratch,
                              .scratch_bytes = scratch_bytes};
    const int ready = values && bits && panels && scratch && sums;
    for (size_t i = 0; ready && i < (size_t)n_rows * depth; ++i) values[i] = (uint8_t)(i % 127 + 1);
    for (size_t i = 0; ready && i < (by_column ? n_columns : depth) * stride; ++i)
        bits[i] = (uint8_t)(i % 251);
    for (uint64_t i = 0; ready && i < n; ++i) binnet_gemm_run(&gemm);
    free(values);
    free(bits);
    free(panels);
    free(scratch);
    free(sums);
    return ready ? n * n_rows * n_columns * depth : 0;
}

/* Exclusive or, count and add on registers only. The or is written in assembler, so that the
 * compiler cannot see that it is always the same. */
static uint64_t portable_roofline(uint64_t n) {
    uint64_t a = 0x0123456789abcdefu, b = 0xf0e1d2c3b4a59687u, sums[4] = {0, 0, 0, 0};
    for (uint64_t i = 0; i < n; ++i)
        for (int k = 0; k < 4; ++k) {
            uint64_t v = a;
            __asm__ volatile("" : "+r"(v), "+r"(b));
            v ^= b;
            v -= v >> 1 & 0x5555555555555555u;
            v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
            v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
            sums[k] += v * 0x0101010101010101u >> 56;
        }
    for (int k = 0; k < 4; ++k) __asm__ volatile("" : : "r"(sums[k]));
    return n * 4 * 64;
}

#if BINNET_X86
#include <immintrin.h>

BINNET_TARGET("avx2") static uint64_t avx2_roofline(uint64_t n) {
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i table =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i a = _mm256_set1_epi8(0x35), b = _mm256_set1_epi8(0x59);
    __m256i sums[4];
    for (int k = 0; k < 4; ++k) sums[k] = nibble;
    for (uint64_t i = 0; i < n; ++i)
        for (int k = 0; k < 4; ++k) {
            __m256i v;
            __asm__ volatile("vpxor %1, %2, %0" : "=x"(v) : "x"(a), "x"(b));
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
            v = _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble)),
                                _mm256_shuffle_epi8(table, high));
            sums[k] = _mm256_add_epi8(sums[k], v);
        }
    for (int k = 0; k < 4; ++k) __asm__ volatile("" : : "x"(sums[k]));
    return n * 4 * 256;
}

BINNET_TARGET("avx512f,avx512vpopcntdq") static uint64_t avx512_roofline(uint64_t n) {
    const __m512i a = _mm512_set1_epi8(0x35), b = _mm512_set1_epi8(0x59);
    __m512i sums[CHAINS];
    for (int k = 0; k < CHAINS; ++k) sums[k] = a;
    for (uint64_t i = 0; i < n; ++i) {
        BINNET_UNROLL
        for (int k = 0; k < CHAINS; ++k) {
            __m512i v;
            __asm__ volatile("vpxorq %1, %2, %0" : "=v"(v) : "v"(a), "v"(b));
            sums[k] = _mm512_add_epi64(sums[k], _mm512_popcnt_epi64(v));
        }
    }
    for (int k = 0; k < CHAINS; ++k) __asm__ volatile("" : : "v"(sums[k]));
    return n * CHAINS * 512;
}
#endif

/* Table lookup and addition on registers only: the product of values and bits. */
#if BINNET_X86
BINNET_TARGET("avx2") static uint64_t avx2_lookups(uint64_t n) {
    const __m256i table = _mm256_set1_epi8(0x35), index = _mm256_set1_epi8(3);
    __m256i sums[CHAINS];
    for (int k = 0; k < CHAINS; ++k) sums[k] = table;
    for (uint64_t i = 0; i < n; ++i) {
        BINNET_UNROLL
        for (int k = 0; k < CHAINS; ++k) {
            __m256i v;
            __asm__ volatile("vpshufb %1, %2, %0" : "=x"(v) : "x"(index), "x"(table));
            sums[k] = _mm256_add_epi16(sums[k], v);
        }
    }
    for (int k = 0; k < CHAINS; ++k) __asm__ volatile("" : : "x"(sums[k]));
    return n * CHAINS * 16 * 3;
}

BINNET_TARGET("avx512f,avx512bw,avx512vbmi") static uint64_t avx512_lookups(uint64_t n) {
    const __m512i table = _mm512_set1_epi8(0x35), index = _mm512_set1_epi8(3);
    __m512i sums[CHAINS];
    for (int k = 0; k < CHAINS; ++k) sums[k] = table;
    for (uint64_t i = 0; i < n; ++i) {
        BINNET_UNROLL
        for (int k = 0; k < CHAINS; ++k) {
            __m512i v;
            __asm__ volatile("vpermb %1, %2, %0" : "=v"(v) : "v"(table), "v"(index));
            sums[k] = _mm512_add_epi16(sums[k], v);
        }
    }
    for (int k = 0; k < CHAINS; ++k) __asm__ volatile("" : : "v"(sums[k]));
    return n * CHAINS * 32 * 5;
}
#endif

/* 0 if there is none for this instruction set. */
uint64_t lookup_roofline(const char *isa, uint64_t n) {
#if BINNET_X86
    if (strcmp(isa, "avx2") == 0) return avx2_lookups(n);
    if (strcmp(isa, "avx512") == 0) return avx512_lookups(n);
#endif
    (void)isa;
    (void)n;
    return 0;
}

/* 0 if there is none for this instruction set. */
uint64_t roofline(const char *isa, uint64_t n) {
    if (strcmp(isa, "portable") == 0) return portable_roofline(n);
#if BINNET_X86
    if (strcmp(isa, "avx2") == 0) return avx2_roofline(n);
    if (strcmp(isa, "avx512") == 0) return avx512_roofline(n);
#endif
    return 0;
}
