/* Division with rounding, the two-power scale, and the int8 error (docs/algorithm.md, sections 1,
 * 3, 5).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

int64_t binnet_divide(int64_t n, int64_t d) {
    const int64_t twice = n + n + d;
    const int64_t whole = twice / (d + d);
    return whole - (twice < 0 && twice % (d + d) != 0); /* C truncates, the rule floors */
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
    const int32_t v = binnet_bitlen(s16) > 16 ? binnet_bitlen(s16) - 16 : 0;
    const uint32_t quotient = (target << 24) / (s16 >> v);
    const int32_t length = binnet_bitlen(quotient);
    const uint32_t mantissa = length > 16 ? quotient >> (length - 16) : quotient << (16 - length);
    size_t i = 0;
    while (mantissa >= factors[i].below) ++i;
    const binnet_scale scale = {(int8_t)(21 + v - length + factors[i].halvings), factors[i].term};
    return scale;
}

void binnet_pack_latent(binnet_layer_state *layer) {
    memset(layer->bits, 0, layer->units * layer->bits_stride);
    for (uint32_t m = 0; m < layer->units; ++m) {
        const int16_t *latent = layer->latent + (size_t)m * layer->fan_in;
        uint8_t *row = layer->bits + m * layer->bits_stride;
        for (uint32_t n = 0; n < layer->fan_in; ++n)
            if (latent[n] >= 0) row[n >> 3] = (uint8_t)(row[n >> 3] | 1u << (n & 7));
    }
}
