/* Division with rounding, the two-power scale, and binary digits (docs/algorithm.md, sections 1 and
 * 3).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

uint64_t binnet_quotient(uint64_t n, uint32_t d) {
#if SIZE_MAX > 0xffffffffu
    return n / d;
#else
    uint32_t rest = 0; /* where it is a call of a kilobyte, bit by bit */
    for (uint32_t i = 0; i < 64; ++i) {
        const uint32_t carry = rest >> 31;
        rest = rest << 1 | (uint32_t)(n >> 63);
        n += n;
        if (carry || rest >= d) {
            rest -= d;
            ++n;
        }
    }
    return n;
#endif
}

int64_t binnet_divide(int64_t n, uint32_t d) {
    BINNET_COUNT(DIVISIONS, 1);
    const int64_t twice = n + n + d;
    const uint64_t down = twice < 0 ? ~(uint64_t)0 : 0; /* floor(-n) is -1 - floor(n - 1) */
    return (int64_t)(binnet_quotient((uint64_t)twice ^ down, d + d) ^ down);
}

binnet_scale binnet_two_power(uint32_t target, uint32_t s16) {
    /* Mantissas in units of 2^-15 below which a factor is the nearest, and its powers. */
    static const struct {
        uint32_t below;
        int8_t term, halvings;
    } factors[] = {
        {33280, 0, 0}, {34304, 5, 5},  {35840, 4, 4},  {38912, 3, 3},  {45056, 2, 2},
        {53248, 1, 1}, {59392, -3, 2}, {62464, -4, 3}, {64512, -5, 4}, {65536, 0, -1},
    };
    BINNET_COUNT(DIVISIONS, 1);
    BINNET_COUNT(SHIFTS, 3);
    const int32_t v = binnet_bitlen(s16) > 16 ? binnet_bitlen(s16) - 16 : 0;
    const uint32_t quotient = (uint32_t)binnet_quotient(target << 24, s16 >> v);
    const int32_t length = binnet_bitlen(quotient);
    const uint32_t mantissa = length > 16 ? quotient >> (length - 16) : quotient << (16 - length);
    size_t i = 0;
    while (mantissa >= factors[i].below) ++i;
    const binnet_scale scale = {(int8_t)(21 + v - length + factors[i].halvings), factors[i].term};
    return scale;
}

/* Eight bits, each the lowest of its byte, to one byte. */
static uint8_t gather(uint64_t v) {
    v |= v >> 7;
    v |= v >> 14;
    v |= v >> 28;
    return (uint8_t)(v & 255u);
}

void binnet_split_digits(uint8_t *planes, size_t plane_bytes, const uint8_t *values, uint32_t n,
                         uint32_t n_digits) {
    for (uint32_t i = 0; i < n; i += 8, ++planes) {
        uint64_t bytes = 0;
        for (uint32_t j = 8; j-- > 0;) bytes = bytes << 8 | (i + j < n ? values[i + j] : 0);
        for (uint32_t d = 0; d < n_digits; ++d, bytes >>= 1)
            planes[d * plane_bytes] = gather(bytes & 0x0101010101010101u);
    }
}
