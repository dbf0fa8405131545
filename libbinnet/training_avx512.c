/* AVX-512: training.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "avx512_inline.h"
#include "training_inline.h"

#if BINNET_X86

enum { ROWS = 4 }; /* of weights side by side, as products finish them */

/* ---- Weights ------------------------------------------------------------------------------- */

/* Keys of a stream in every lane, the third as Threefry makes it. */
typedef struct keys {
    __m512i k[3];
} keys;

AVX512 BINNET_INLINE keys spread_keys(const binnet_rng *rng) {
    const keys spread = {{_mm512_set1_epi32((int32_t)rng->key[0]),
                          _mm512_set1_epi32((int32_t)rng->key[1]),
                          _mm512_set1_epi32((int32_t)(0x1bd11bdau ^ rng->key[0] ^ rng->key[1]))}};
    return spread;
}

/* The 64 bytes of eight blocks, in two rows at once. */
AVX512 BINNET_INLINE void random_pair(__m512i out[2], const keys *key, uint32_t row,
                                      uint32_t block) {
    const __m512i lane_block = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7);
    const __m512i lane_row = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    __m512i x0 = _mm512_add_epi32(lane_block, _mm512_set1_epi32((int32_t)block));
    __m512i x1 = _mm512_add_epi32(lane_row, _mm512_set1_epi32((int32_t)row));
    x0 = _mm512_add_epi32(x0, key->k[0]);
    x1 = _mm512_add_epi32(x1, key->k[1]);
#define ROUND(n)                                                                                   \
    x0 = _mm512_add_epi32(x0, x1);                                                                 \
    x1 = _mm512_xor_si512(_mm512_rol_epi32(x1, n), x0)
#define INJECT(a, b, n)                                                                            \
    x0 = _mm512_add_epi32(x0, key->k[a]);                                                          \
    x1 = _mm512_add_epi32(x1, _mm512_add_epi32(key->k[b], _mm512_set1_epi32(n)))
    BINNET_THREEFRY(ROUND, INJECT);
#undef ROUND
#undef INJECT
    const __m512i low = _mm512_unpacklo_epi32(x0, x1), high = _mm512_unpackhi_epi32(x0, x1);
    out[0] = _mm512_permutex2var_epi64(low, first, high);
    out[1] = _mm512_permutex2var_epi64(low, second, high);
}

AVX512 static void random_rows(uint8_t *bytes, const binnet_rng *rng, uint32_t row, uint32_t n_rows,
                               uint32_t first_block, uint32_t n_blocks) {
    const keys key = spread_keys(rng);
    const size_t row_bytes = 8 * (size_t)n_blocks;
    for (uint32_t block = 0; block < n_blocks; block += 8)
        for (uint32_t r = 0; r < n_rows; r += 2) {
            const uint32_t rest = n_blocks - block;
            const __mmask8 valid = (__mmask8)first_bits(rest < 8 ? rest : 8);
            uint8_t *out = bytes + r * row_bytes + 8 * (size_t)block;
            __m512i pair[2];
            random_pair(pair, &key, row + r, first_block + block);
            _mm512_mask_storeu_epi64(out, valid, pair[0]);
            if (r + 1 < n_rows) _mm512_mask_storeu_epi64(out + row_bytes, valid, pair[1]);
        }
}

BINNET_DEFINE_WEIGHTS(AVX512)

/* How a gradient becomes a step in 16 bits (binnet_update_is_narrow). */
typedef struct stepper {
    __m512i high, low, left, right, fraction;
} stepper;

/* The weights of up to 32 columns. Returns gradients whose or has the largest one's length. */
AVX512 BINNET_INLINE __m512i update_32(const binnet_update *t, const stepper *s, uint32_t row,
                                       uint32_t column, __m256i random) {
    const uint32_t rest = t->n_columns - column;
    const __mmask32 valid = (__mmask32)first_bits(rest < 32 ? rest : 32);
    const int32_t *gradient = t->gradient + row * t->gradient_stride + column;
    const __m512i g0 = _mm512_maskz_loadu_epi32((__mmask16)valid, gradient);
    const __m512i g1 = _mm512_maskz_loadu_epi32((__mmask16)(valid >> 16), gradient + 16);
    const __m512i largest = _mm512_or_si512(_mm512_abs_epi32(g0), _mm512_abs_epi32(g1));
    if (!t->rule.apply) return largest;
    /* Packing interleaves 128-bit lanes of its operands; this undoes it. */
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    __m512i step = _mm512_permutexvar_epi64(order, _mm512_packs_epi32(g0, g1));
    step = _mm512_min_epi16(_mm512_max_epi16(step, s->low), s->high);
    step = _mm512_add_epi16(step, _mm512_srlv_epi16(_mm512_cvtepu8_epi16(random), s->fraction));
    step = _mm512_srav_epi16(_mm512_sllv_epi16(step, s->left), s->right);
    int16_t *latent = t->latent + row * t->latent_stride + column;
    /* Later rows' weights, which their products give time to fetch: large nets train a few
     * percent faster. Past the end it is harmless, but must not be pointer arithmetic. */
    _mm_prefetch((const char *)((uintptr_t)latent + 2 * ROWS * t->latent_stride), _MM_HINT_T0);
    __m512i w = _mm512_subs_epi16(_mm512_maskz_loadu_epi16(valid, latent), step);
    w = _mm512_max_epi16(w, _mm512_set1_epi16(-32767));
    const __mmask32 signs = valid & ~_mm512_movepi16_mask(w);
    uint8_t *bits = t->bits + row * t->bits_stride + (column >> 3);
    if (rest >= 32) {
        _mm512_storeu_si512(latent, w);
        memcpy(bits, &signs, 4);
    } else {
        _mm512_mask_storeu_epi16(latent, valid, w);
        memcpy(bits, &signs, (rest + 7) / 8);
    }
    return largest;
}

AVX512 static uint32_t update(const binnet_update *t) {
    if (!binnet_update_is_narrow(t)) return wide_update(t);
    const int32_t shift = t->rule.apply ? t->rule.shift : 0;
    const stepper s = {_mm512_set1_epi16((int16_t)t->rule.limit),
                       _mm512_set1_epi16((int16_t)-t->rule.limit),
                       _mm512_set1_epi16((int16_t)(shift < 0 ? -shift : 0)),
                       _mm512_set1_epi16((int16_t)(shift > 0 ? shift : 0)),
                       _mm512_set1_epi16((int16_t)(8 - shift))};
    const keys key = spread_keys(&t->rng);
    __m512i largest = _mm512_setzero_si512();
    for (uint32_t m = 0; m < t->n_rows; m += ROWS)
        for (uint32_t n = 0; n < t->n_columns; n += 64) {
            const uint32_t block = (t->first_column + n) >> 3;
            __m512i random[ROWS];
            random_pair(random, &key, t->first_row + m, block);
            random_pair(random + 2, &key, t->first_row + m + 2, block);
            for (uint32_t i = 0; i < ROWS && m + i < t->n_rows; ++i) {
                const __m256i low = _mm512_castsi512_si256(random[i]);
                const __m256i high = _mm512_extracti64x4_epi64(random[i], 1);
                largest = _mm512_or_si512(largest, update_32(t, &s, m + i, n, low));
                if (n + 32 < t->n_columns)
                    largest = _mm512_or_si512(largest, update_32(t, &s, m + i, n + 32, high));
            }
        }
    return (uint32_t)_mm512_reduce_or_epi32(largest);
}

/* ---- Normalisation ------------------------------------------------------------------------- */

AVX512 static void sums(const binnet_norm_job *job, uint32_t n) {
    const __mmask16 units = (__mmask16)first_bits(n);
    __m512i sum = _mm512_setzero_si512();
    for (uint32_t b = 0; b < job->n_rows; ++b)
        sum = _mm512_add_epi32(sum, _mm512_maskz_loadu_epi32(units, job->z + b * job->z_stride));
    _mm512_mask_storeu_epi32(job->sum, units, sum);
}

AVX512 static void deviations(const binnet_norm_job *job, uint32_t n) {
    const __mmask16 units = (__mmask16)first_bits(n);
    const __m512i mean = _mm512_maskz_loadu_epi32(units, job->mean);
    __m512i sum = _mm512_setzero_si512();
    for (uint32_t b = 0; b < job->n_rows; ++b) {
        const __m512i z = _mm512_maskz_loadu_epi32(units, job->z + b * job->z_stride);
        sum = _mm512_add_epi32(sum, _mm512_abs_epi32(_mm512_sub_epi32(z, mean)));
    }
    _mm512_mask_storeu_epi32(job->sum, units, sum);
}

/* What a row holds of 16 units. */
AVX512 BINNET_INLINE __m512i load_errors(const binnet_error_job *job, uint32_t row,
                                         __mmask16 units) {
    return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(units, job->error + row * job->stride));
}

AVX512 BINNET_INLINE __m128i load_normed(const binnet_error_job *job, uint32_t row,
                                         __mmask16 units) {
    return _mm_maskz_loadu_epi8(units, job->normed + row * job->stride);
}

/* round(log2 a) of a = 0, 1 ... 127; of 0 it does not count. */
static const uint8_t logarithms[128] = {
    0, 0, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5,
    5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6,
    6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
};

AVX512 static void gradients(const binnet_error_job *job, uint32_t n) {
    const __m512i table[2] = {_mm512_loadu_si512(logarithms), _mm512_loadu_si512(logarithms + 64)};
    const __mmask16 units = (__mmask16)first_bits(n);
    const __m512i n_open = _mm512_set1_epi32((int32_t)job->n_open);
    __m512i start = _mm512_set1_epi32(-job->first_open);
    if (job->bias) start = _mm512_add_epi32(start, _mm512_maskz_loadu_epi32(units, job->bias));
    __m512i sum = _mm512_setzero_si512(), bias_gradient = sum;
    for (uint32_t b = 0; b < job->n_rows; ++b) {
        __m512i error = load_errors(job, b, units);
        const __m128i normed = load_normed(job, b, units);
        if (job->bias) { /* the activation's derivative, 0 or 1 */
            const __m512i from = _mm512_add_epi32(_mm512_cvtepi8_epi32(normed), start);
            const __mmask16 linear = _mm512_cmplt_epu32_mask(from, n_open);
            error = _mm512_maskz_mov_epi32(linear, error);
            _mm512_mask_cvtepi32_storeu_epi16(job->error + b * job->stride, units, error);
        }
        bias_gradient = _mm512_add_epi32(bias_gradient, error);
        const __m512i k = _mm512_permutex2var_epi8(
            table[0], _mm512_castsi128_si512(_mm_abs_epi8(normed)), table[1]);
        const __m512i product =
            _mm512_sllv_epi32(error, _mm512_cvtepu8_epi32(_mm512_castsi512_si128(k)));
        const __mmask16 positive = _mm_cmpgt_epi8_mask(normed, _mm_setzero_si128());
        sum = _mm512_mask_add_epi32(sum, positive, sum, product);
        sum = _mm512_mask_sub_epi32(sum, _mm_movepi8_mask(normed), sum, product);
    }
    _mm512_mask_storeu_epi32(job->sum, units, sum);
    bias_gradient =
        _mm512_add_epi32(bias_gradient, _mm512_maskz_loadu_epi32(units, job->bias_gradient));
    _mm512_mask_storeu_epi32(job->bias_gradient, units, bias_gradient);
}

/* What the slope leaves of a row's errors. */
AVX512 BINNET_INLINE __m512i less_slope(const binnet_error_job *job, uint32_t row, __mmask16 units,
                                        __m512i slope) {
    const __m512i error = load_errors(job, row, units);
    const __m128i normed = load_normed(job, row, units);
    const __mmask16 positive = _mm_cmpgt_epi8_mask(normed, _mm_setzero_si128());
    return _mm512_mask_add_epi32(_mm512_mask_sub_epi32(error, positive, error, slope),
                                 _mm_movepi8_mask(normed), error, slope);
}

AVX512 static void centre(const binnet_error_job *job, uint32_t n) {
    const __mmask16 units = (__mmask16)first_bits(n);
    const __m512i slope = _mm512_maskz_loadu_epi32(units, job->slope);
    __m512i sum = _mm512_setzero_si512();
    for (uint32_t b = 0; b < job->n_rows; ++b)
        sum = _mm512_add_epi32(sum, less_slope(job, b, units, slope));
    _mm512_mask_storeu_epi32(job->sum, units, sum);
}

AVX512 static void denormalise(const binnet_error_job *job, uint32_t n) {
    const __mmask16 units = (__mmask16)first_bits(n);
    const __m512i slope = _mm512_maskz_loadu_epi32(units, job->slope);
    const __m512i mean = _mm512_maskz_loadu_epi32(units, job->mean);
    const __m512i most = _mm512_set1_epi32(32767), least = _mm512_set1_epi32(-32767);
    __m512i largest = _mm512_maskz_loadu_epi32(units, job->largest);
    for (uint32_t b = 0; b < job->n_rows; ++b) {
        const __m512i centred = _mm512_sub_epi32(less_slope(job, b, units, slope), mean);
        const __m512i error = clamped(centred, least, most);
        _mm512_mask_cvtepi32_storeu_epi16(job->error + b * job->stride, units, error);
        largest = _mm512_max_epi32(largest, _mm512_abs_epi32(error));
    }
    _mm512_mask_storeu_epi32(job->largest, units, largest);
}

AVX512 static void quantize(const binnet_error_job *job, uint32_t n) {
    const __mmask16 units = (__mmask16)first_bits(n);
    const __m512i factors = load_factors(job->scale, units);
    const __m512i k = _mm512_add_epi32(shift_of(factors), _mm512_set1_epi32(job->exponent - 7));
    const lanes l = make_lanes(units, factors, /* less the random byte's 8; see norm_inline.h */
                               clamped(_mm512_sub_epi32(k, _mm512_set1_epi32(8)),
                                       _mm512_set1_epi32(-16), _mm512_set1_epi32(23)));
    const __m512i most = _mm512_set1_epi32(127), least = _mm512_set1_epi32(-127);
    for (uint32_t b = 0; b < job->n_rows; ++b) {
        const __m128i random = _mm_maskz_loadu_epi8(l.units, job->random + b * job->random_stride);
        const __m512i v = _mm512_add_epi32(shifted(&l, scaled(&l, load_errors(job, b, l.units))),
                                           _mm512_cvtepu8_epi32(random));
        _mm512_mask_cvtepi32_storeu_epi8(job->delta + b * job->stride, l.units,
                                         clamped(_mm512_srai_epi32(v, 8), least, most));
    }
}

AVX512 static void round_error(int16_t *error, const int32_t *z, int32_t shift, uint32_t n) {
    binnet_inline_round_error(error, z, shift, n);
}

const binnet_training binnet_training_avx512 = {.update = update, BINNET_TRAINING_LOOPS};
#else
typedef int binnet_no_avx512_training; /* ISO C wants a declaration in every file */
#endif
