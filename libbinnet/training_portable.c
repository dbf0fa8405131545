/* Training in plain C, with nothing but add, shift and mask on data: what every other table must
 * equal.
 * SPDX-License-Identifier: BSD-3-Clause */
#if defined(__clang__) && defined(__x86_64__)
/* Clang vectorises variable shifts for SSE2 by way of float exponents (cvttps2dq). */
#pragma clang attribute push(__attribute__((target("general-regs-only"))), apply_to = function)
#endif

#include "training_inline.h"

static void random_rows(uint8_t *bytes, const binnet_rng *rng, uint32_t row, uint32_t n_rows,
                        uint32_t first_block, uint32_t n_blocks) {
    for (uint32_t r = 0; r < n_rows; ++r, bytes += 8 * (size_t)n_blocks)
        binnet_rng_blocks(rng, row + r, first_block, n_blocks, bytes);
}

BINNET_DEFINE_WEIGHTS()

BINNET_DEFINE_NORM(BINNET_DEFINE_UNITS)
BINNET_DEFINE_ROUND_ERROR()

const binnet_training binnet_training_portable = {.update = wide_update, BINNET_TRAINING_LOOPS};

#if defined(__clang__) && defined(__x86_64__)
#pragma clang attribute pop
#endif
