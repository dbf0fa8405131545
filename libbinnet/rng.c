/* Threefry-2x32 with 13 rounds, the fewest that pass BigCrush (Salmon et al. 2011, "Parallel random
 * numbers: as easy as 1, 2, 3"): add, rotate and exclusive or only, and any byte can be had without
 * the ones before it.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static uint32_t rotate(uint32_t v, unsigned n) { return v << n | v >> (32u - n); }

void binnet_threefry(const uint32_t key[2], uint32_t counter0, uint32_t counter1, uint32_t out[2]) {
    static const uint8_t rotations[8] = {13, 15, 26, 6, 17, 29, 16, 24};
    const uint32_t keys[3] = {key[0], key[1], 0x1bd11bdau ^ key[0] ^ key[1]};
    uint32_t x0 = counter0 + keys[0];
    uint32_t x1 = counter1 + keys[1];
    uint32_t a = 1, b = 2; /* the keys of the next injection */
    for (uint32_t round = 0; round < 13; ++round) {
        x0 += x1;
        x1 = rotate(x1, rotations[round & 7u]) ^ x0;
        if ((round & 3u) == 3u) {
            x0 += keys[a];
            x1 += keys[b] + (round >> 2) + 1u;
            a = b;
            b = b == 2 ? 0 : b + 1;
        }
    }
    out[0] = x0;
    out[1] = x1;
}

binnet_rng binnet_rng_stream(uint64_t seed, uint32_t purpose, uint32_t layer, uint32_t step) {
    const uint32_t key[2] = {(uint32_t)(seed & 0xffffffffu), (uint32_t)(seed >> 32)};
    binnet_rng rng;
    binnet_threefry(key, step, purpose | layer << 8, rng.key);
    return rng;
}

void binnet_rng_blocks(const binnet_rng *rng, uint32_t row, uint32_t first_block, uint32_t n_blocks,
                       uint8_t *bytes) {
    BINNET_COUNT(RANDOM_BYTES, 8 * n_blocks);
    for (uint32_t i = 0; i < n_blocks; ++i) {
        uint32_t words[2];
        binnet_threefry(rng->key, first_block + i, row, words);
        bytes = binnet_put32(binnet_put32(bytes, words[0]), words[1]);
    }
}

binnet_status binnet_row_order(uint64_t seed, uint32_t epoch, uint32_t n_rows, uint32_t *order) {
    if (!order) return BINNET_ERR_ARGUMENT;
    const binnet_rng rng = binnet_rng_stream(seed, BINNET_RANDOM_ORDER, 0, epoch);
    for (uint32_t i = 0; i < n_rows; ++i) order[i] = i;
    for (uint32_t i = n_rows; i-- > 1;) {
        const uint32_t mask = 0xffffffffu >> (32 - binnet_bitlen(i));
        uint32_t words[2], attempt = 0;
        do {
            binnet_threefry(rng.key, attempt++, i, words);
            words[0] &= mask;
        } while (words[0] > i);
        const uint32_t other = order[words[0]];
        order[words[0]] = order[i];
        order[i] = other;
    }
    return BINNET_OK;
}
