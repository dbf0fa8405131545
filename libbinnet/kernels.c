/* Which kernel tables this processor can run. The only file that names them all.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#if BINNET_X86
#include <cpuid.h>

static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

enum { FEATURE_AVX2 = 1, FEATURE_AVX512 = 2 };

/* The processor has the instructions (cpuid) and the system saves their registers (XCR0). */
static unsigned features(void) {
    uint32_t a, b, c, d;
    unsigned found = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    const uint64_t state = enabled_state();
    const uint32_t popcnt = c & bit_POPCNT; /* not a part of AVX2, though each processor has both */
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if ((state & 0x06) == 0x06 && popcnt && b & bit_AVX2) found |= FEATURE_AVX2;
    const uint32_t foundation = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    if ((state & 0xe6) == 0xe6 && (b & foundation) == foundation && c & bit_AVX512VBMI &&
        c & bit_AVX512VNNI && c & bit_AVX512VPOPCNTDQ)
        found |= FEATURE_AVX512;
    return found;
}
#endif

const binnet_kernels *binnet_kernels_best(void) {
#if BINNET_X86
    const unsigned found = features();
    if (found & FEATURE_AVX512) return &binnet_kernels_avx512;
    if (found & FEATURE_AVX2) return &binnet_kernels_avx2;
#endif
#if BINNET_NEON
    return &binnet_kernels_neon; /* every AArch64 processor has it */
#else
    return &binnet_kernels_portable;
#endif
}

/* strcmp, which a freestanding C library need not have. */
static int same(const char *a, const char *b) {
    while (*a && *a == *b) ++a, ++b;
    return *a == *b;
}

const binnet_kernels *binnet_kernels_find(const char *name) {
    if (!name) return NULL;
    if (same(name, "portable")) return &binnet_kernels_portable;
#if BINNET_X86
    if (same(name, "avx2") && features() & FEATURE_AVX2) return &binnet_kernels_avx2;
    if (same(name, "avx512") && features() & FEATURE_AVX512) return &binnet_kernels_avx512;
#endif
#if BINNET_NEON
    if (same(name, "neon")) return &binnet_kernels_neon;
#endif
    return NULL;
}

const char *binnet_kernels_name(const binnet_kernels *kernels) { return kernels->name; }
