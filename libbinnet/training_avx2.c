/* AVX2: training. Whole vectors here, the rest of a row in plain C.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "training_inline.h"

#if BINNET_X86
#include <immintrin.h>

#define AVX2 BINNET_TARGET("avx2")

AVX2 BINNET_INLINE void store(void *p, __m256i v) { _mm256_storeu_si256((__m256i *)p, v); }
AVX2 BINNET_INLINE __m256i load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

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
            BINNET_THREEFRY(ROUND, INJECT);
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

BINNET_DEFINE_WEIGHTS(AVX2)

/* In 16 bits, if they suffice (binnet_update_is_narrow). */
AVX2 static uint32_t update(const binnet_update *t) {
    if (!binnet_update_is_narrow(t)) return wide_update(t);
    const int32_t shift = t->rule.apply ? t->rule.shift : 0;
    const __m256i high = _mm256_set1_epi16((int16_t)t->rule.limit);
    const __m256i low = _mm256_set1_epi16((int16_t)-t->rule.limit);
    const __m128i left = _mm_cvtsi32_si128(shift < 0 ? -shift : 0);
    const __m128i right = _mm_cvtsi32_si128(shift > 0 ? shift : 0);
    const __m128i fraction = _mm_cvtsi32_si128(8 - shift);
    const uint32_t whole = t->n_columns & ~15u;
    __m256i largest = _mm256_setzero_si256();
    uint8_t bytes[64]; /* random, of 64 columns */
    for (uint32_t m = 0; m < t->n_rows; ++m)
        for (uint32_t n = 0; n < whole; n += 16) {
            const int32_t *gradient = t->gradient + m * t->gradient_stride + n;
            const __m256i g0 = load(gradient), g1 = load(gradient + 8);
            largest = _mm256_or_si256(largest,
                                      _mm256_or_si256(_mm256_abs_epi32(g0), _mm256_abs_epi32(g1)));
            if (!t->rule.apply) continue;
            if (n % 64 == 0)
                random_rows(bytes, &t->rng, t->first_row + m, 1, (t->first_column + n) >> 3, 8);
            const __m256i random = _mm256_cvtepu8_epi16(
                _mm_loadu_si128((const __m128i *)(const void *)(bytes + n % 64)));
            __m256i step = _mm256_permute4x64_epi64(_mm256_packs_epi32(g0, g1), 0xd8);
            step = _mm256_min_epi16(_mm256_max_epi16(step, low), high);
            step = _mm256_add_epi16(step, _mm256_srl_epi16(random, fraction));
            step = _mm256_sra_epi16(_mm256_sll_epi16(step, left), right);
            int16_t *latent = t->latent + m * t->latent_stride + n;
            const __m256i w =
                _mm256_max_epi16(_mm256_subs_epi16(load(latent), step), _mm256_set1_epi16(-32767));
            store(latent, w);
            const __m128i signs =
                _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
            const uint32_t positive = ~(uint32_t)_mm_movemask_epi8(signs);
            memcpy(t->bits + m * t->bits_stride + (n >> 3), &positive, 2);
        }
    uint32_t lanes[8], bits = 0;
    store(lanes, largest);
    for (int i = 0; i < 8; ++i) bits |= lanes[i];
    if (whole == t->n_columns) return bits;
    const binnet_update rest = binnet_update_after(t, whole);
    return bits | wide_update(&rest);
}

#define DEFINE(name, job_type) BINNET_DEFINE_BLOCK(AVX2, name, job_type)
BINNET_DEFINE_NORM(DEFINE)
BINNET_DEFINE_ROUND_ERROR(AVX2)

const binnet_training binnet_training_avx2 = {.update = update, BINNET_TRAINING_LOOPS};
#else
typedef int binnet_no_avx2_training; /* ISO C wants a declaration in every file */
#endif
