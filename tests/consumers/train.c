/* The golden training run "binary" of tests/golden.py, as any program may have it.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "train.h"

#include <string.h>

enum { FEATURES = 100, BATCH = 50, CLASSES = 26, STEPS = 20 };

static uint64_t arena[1 << 14];
static uint8_t x[BATCH * FEATURES], bytes[1 << 16];
static uint16_t labels[BATCH];

/* Made-up rows of a step. */
static void make_batch(uint32_t step) {
    const binnet_rng pixels = binnet_rng_stream(1, 64, 0, step);
    const binnet_rng classes = binnet_rng_stream(1, 65, 0, step);
    for (uint32_t b = 0; b < BATCH; ++b) {
        uint8_t random[104];
        binnet_rng_blocks(&pixels, b, 0, 13, random);
        memcpy(x + b * FEATURES, random, FEATURES);
        binnet_rng_blocks(&classes, b, 0, 1, random);
        labels[b] = random[0] % CLASSES;
    }
}

uint32_t trained_crc32(void) {
    static const binnet_layer layers[] = {
        {BINNET_DENSE, 70}, {BINNET_DENSE, 33}, {BINNET_DENSE, CLASSES}};
    uint32_t counts[CLASSES] = {5, 100};
    const binnet_config config = {.seed = ((uint64_t)1 << 40) + 5,
                                  .n_features = FEATURES,
                                  .n_layers = 3,
                                  .batch_size = BATCH,
                                  .layers = layers,
                                  .class_counts = counts};
    binnet_net *net;
    for (int k = 2; k < CLASSES; ++k) counts[k] = 20;
    if (binnet_net_init(&net, arena, sizeof arena, &config) != BINNET_OK) return 1;
    for (uint32_t t = 0; t < STEPS; ++t) {
        make_batch(t);
        if (binnet_net_train_step(net, x, labels, t == STEPS - 1 ? 17 : BATCH,
                                  binnet_rate_exponent(3, 9, t, STEPS), NULL) != BINNET_OK)
            return 2;
    }
    if (binnet_checkpoint_write(net, bytes, sizeof bytes) != BINNET_OK) return 3;
    const uint8_t *crc = bytes + binnet_checkpoint_size(net) - 4;
    return (uint32_t)crc[0] | (uint32_t)crc[1] << 8 | (uint32_t)crc[2] << 16 |
           (uint32_t)crc[3] << 24;
}
