/* What kernels_avx512.c and training_avx512.c share: masks, and the loops of norm_inline.h by hand,
 * of which gcc 12 makes scalar code in part.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef BINNET_AVX512_INLINE_H
#define BINNET_AVX512_INLINE_H

#include "norm_inline.h"

#if BINNET_X86
#include <immintrin.h>

#define AVX512                                                                                     \
    BINNET_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni,avx512vpopcntdq")

/* The bits 0 to n - 1. */
BINNET_INLINE uint64_t first_bits(uint32_t n) {
    return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
}

/* Normalisation factors of 16 units. */
typedef struct lanes {
    __mmask16 units, plus, minus;
    __m512i power, half, left, right;
} lanes;

AVX512 BINNET_INLINE __m512i clamped(__m512i v, __m512i low, __m512i high) {
    return _mm512_min_epi32(_mm512_max_epi32(v, low), high);
}

/* The shifts of units' factors, in the low byte of each lane; their terms are in the next. */
AVX512 BINNET_INLINE __m512i load_factors(const binnet_scale *scale, __mmask16 units) {
    return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(units, scale));
}

AVX512 BINNET_INLINE __m512i shift_of(__m512i factors) {
    return _mm512_srai_epi32(_mm512_slli_epi32(factors, 24), 24);
}

/* The factors as scaled() and shifted() want them; k is what the latter shifts by. */
AVX512 BINNET_INLINE lanes make_lanes(__mmask16 units, __m512i factors, __m512i k) {
    const __m512i zero = _mm512_setzero_si512(), one = _mm512_set1_epi32(1);
    const __m512i term = _mm512_srai_epi32(factors, 8);
    lanes l;
    l.units = units;
    l.plus = _mm512_cmpgt_epi32_mask(term, zero);
    l.minus = _mm512_cmplt_epi32_mask(term, zero);
    l.power = _mm512_abs_epi32(term);
    l.right = _mm512_max_epi32(k, zero);
    l.left = _mm512_sub_epi32(l.right, k);
    l.half =
        _mm512_maskz_sllv_epi32(_mm512_cmpgt_epi32_mask(k, zero), one, _mm512_sub_epi32(k, one));
    return l;
}

AVX512 BINNET_INLINE __m512i scaled(const lanes *l, __m512i v) {
    const __m512i sum = _mm512_sllv_epi32(v, l->power);
    return _mm512_mask_sub_epi32(_mm512_mask_add_epi32(sum, l->plus, sum, v), l->minus, sum, v);
}

AVX512 BINNET_INLINE __m512i shifted(const lanes *l, __m512i v) {
    return _mm512_srav_epi32(_mm512_sllv_epi32(_mm512_add_epi32(v, l->half), l->left), l->right);
}

#endif
#endif
