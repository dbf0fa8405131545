/* NEON of AArch64: training. Whole vectors here, the rest of a row in plain C.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "training_inline.h"

#if BINNET_NEON
#include <arm_neon.h>

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
            BINNET_THREEFRY(ROUND, INJECT);
            vst1q_u8(bytes, vreinterpretq_u8_u32(vzip1q_u32(x0, x1)));
            vst1q_u8(bytes + 16, vreinterpretq_u8_u32(vzip2q_u32(x0, x1)));
        }
        binnet_rng_blocks(rng, row + r, first_block + block, n_blocks - block, bytes);
        bytes += 8 * (size_t)(n_blocks - block);
    }
#undef ROUND
#undef INJECT
}

BINNET_DEFINE_WEIGHTS()

/* Four gradients as steps: a rounding shift by a negative number shifts right. */
BINNET_INLINE int32x4_t steps(int32x4_t g, const binnet_rule *rule, uint16x4_t random) {
    g = vminq_s32(vmaxq_s32(g, vdupq_n_s32(-rule->limit)), vdupq_n_s32(rule->limit));
    g = vrshlq_s32(g, vdupq_n_s32(8 - rule->shift));
    return vshrq_n_s32(vaddq_s32(g, vreinterpretq_s32_u32(vmovl_u16(random))), 8);
}

static uint32_t update(const binnet_update *t) {
    if (t->momentum || !t->bits) return wide_update(t);
    const uint16x8_t bit = vmovl_u8(vcreate_u8(0x8040201008040201u));
    const uint32_t whole = t->n_columns & ~7u;
    uint32x4_t largest = vdupq_n_u32(0);
    uint8_t bytes[64]; /* random, of 64 columns */
    for (uint32_t m = 0; m < t->n_rows; ++m)
        for (uint32_t n = 0; n < whole; n += 8) {
            const int32_t *gradient = t->gradient + m * t->gradient_stride + n;
            const int32x4_t low = vld1q_s32(gradient), high = vld1q_s32(gradient + 4);
            largest = vmaxq_u32(largest, vreinterpretq_u32_s32(vabsq_s32(low)));
            largest = vmaxq_u32(largest, vreinterpretq_u32_s32(vabsq_s32(high)));
            if (!t->rule.apply) continue;
            if (n % 64 == 0)
                random_rows(bytes, &t->rng, t->first_row + m, 1, (t->first_column + n) >> 3, 8);
            const uint16x8_t random = vmovl_u8(vld1_u8(bytes + n % 64));
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
    const binnet_update rest = binnet_update_after(t, whole);
    return vmaxvq_u32(largest) | wide_update(&rest);
}

#define DEFINE(name, job_type) BINNET_DEFINE_BLOCK(, name, job_type)
BINNET_DEFINE_NORM(DEFINE)
BINNET_DEFINE_ROUND_ERROR()

const binnet_training binnet_training_neon = {.update = update, BINNET_TRAINING_LOOPS};
#else
typedef int binnet_no_neon_training; /* ISO C wants a declaration in every file */
#endif
