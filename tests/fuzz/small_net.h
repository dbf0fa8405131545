/* A small net that trains on made-up rows: for seeds, and for checkpoints to be read into.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef BINNET_SMALL_NET_H
#define BINNET_SMALL_NET_H

#include "fuzz.h"

enum { SMALL_FEATURES = 9, SMALL_BATCH = 8 };

/* A net of 1 to 3 layers in an arena of its own, to be freed. */
static inline binnet_net *small_net(const binnet_method *method, uint32_t n_layers, void **arena) {
    static const binnet_layer layers[] = {{BINNET_DENSE, 10}, {BINNET_DENSE, 6}, {BINNET_DENSE, 3}};
    const binnet_config config = {.seed = 7,
                                  .n_features = SMALL_FEATURES,
                                  .n_layers = n_layers,
                                  .batch_size = SMALL_BATCH,
                                  .layers = layers + 3 - n_layers,
                                  .method = *method};
    binnet_net *net = NULL;
    size_t n_bytes = 0;
    REQUIRE(binnet_net_size(&config, &n_bytes) == BINNET_OK);
    *arena = malloc(n_bytes);
    REQUIRE(*arena && binnet_net_init(&net, *arena, n_bytes, &config) == BINNET_OK);
    return net;
}

static inline void small_rows(uint8_t *x, uint16_t *labels) {
    for (uint32_t b = 0; b < SMALL_BATCH; ++b) {
        labels[b] = (uint16_t)(b % 3);
        for (uint32_t i = 0; i < SMALL_FEATURES; ++i)
            x[b * SMALL_FEATURES + i] =
                (uint8_t)((b + 1) * (i + 3) * 29 + (i % 3 == b % 3 ? 99 : 0));
    }
}

static inline void small_step(binnet_net *net) {
    uint8_t x[SMALL_BATCH * SMALL_FEATURES];
    uint16_t labels[SMALL_BATCH];
    small_rows(x, labels);
    REQUIRE(binnet_net_train_step(net, x, labels, SMALL_BATCH, 4, NULL) == BINNET_OK);
}

#endif
