/* The half of each kernel table that only training needs.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

const binnet_training *binnet_training_of(const binnet_kernels *kernels) {
#if BINNET_X86
    if (kernels == &binnet_kernels_avx512) return &binnet_training_avx512;
    if (kernels == &binnet_kernels_avx2) return &binnet_training_avx2;
#endif
#if BINNET_NEON
    if (kernels == &binnet_kernels_neon) return &binnet_training_neon;
#endif
    (void)kernels;
    return &binnet_training_portable;
}
