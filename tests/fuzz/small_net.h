/* Small nets of all methods that train on made-up rows: for seeds, and for checkpoints to be read
 * into.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef BINNET_SMALL_NET_H
#define BINNET_SMALL_NET_H

#include "fuzz.h"

enum {
    SMALL_HEIGHT = 4,
    SMALL_WIDTH = 4,
    SMALL_FEATURES = 16,
    SMALL_BATCH = 4,
    SMALL_CLASSES = 3,
    SMALL_NETS = 12
};

static const struct {
    binnet_method method;
    uint32_t n_layers;
    binnet_layer layers[4];
} small_nets[SMALL_NETS] = {
    {.n_layers = 1, .layers = {{BINNET_DENSE, 3}}},
    {.method = {.weights = BINNET_TERNARY, .solver = BINNET_ADAMAX, .input_dropout = 99},
     .n_layers = 1,
     .layers = {{BINNET_DENSE, 3}}},
    {.method = {.decay = 2},
     .n_layers = 3,
     .layers = {{BINNET_DENSE, 10}, {BINNET_DENSE, 6}, {BINNET_DENSE, 3}}},
    {.method = {.weights = BINNET_TERNARY, .activation = BINNET_SIGN, .solver = BINNET_ADAMAX},
     .n_layers = 3,
     .layers = {{BINNET_DENSE, 4}, {BINNET_DENSE, 6}, {BINNET_DENSE, 3}}},
    {.method = {.binarization = BINNET_STOCHASTIC, .activation = BINNET_SIGN, .dropout = 77},
     .n_layers = 3,
     .layers = {{BINNET_DENSE, 10}, {BINNET_DENSE, 6}, {BINNET_DENSE, 3}}},
    {.method = {.gradient = BINNET_EXACT, .dropout = 77, .input_dropout = 33},
     .n_layers = 3,
     .layers = {{BINNET_DENSE, 10}, {BINNET_DENSE, 6}, {BINNET_DENSE, 3}}},
    {.method = {.weights = BINNET_TERNARY, .binarization = BINNET_STOCHASTIC, .decay = 15},
     .n_layers = 2,
     .layers = {{BINNET_DENSE, 10}, {BINNET_DENSE, 3}}},
    {.n_layers = 3,
     .layers = {{BINNET_CONV2D, 4, 3, 1, BINNET_SAME, 2},
                {BINNET_CONV2D, 5, 2, 1, BINNET_VALID, 1},
                {BINNET_DENSE, 3}}},
    {.method = {.weights = BINNET_TERNARY, .activation = BINNET_SIGN, .solver = BINNET_ADAMAX},
     .n_layers = 3,
     .layers = {{BINNET_CONV2D, 4, 3, 1, BINNET_SAME, 2},
                {BINNET_CONV2D, 5, 2, 1, BINNET_SAME, 2},
                {BINNET_DENSE, 3}}},
    {.method = {.binarization = BINNET_STOCHASTIC, .gradient = BINNET_EXACT},
     .n_layers = 3,
     .layers = {{BINNET_CONV2D, 3, 3, 2, BINNET_VALID, 1}, {BINNET_DENSE, 4}, {BINNET_DENSE, 3}}},
    /* Channels of whole bytes: positions share tables of sums. */
    {.method = {.dropout = 128, .decay = 5},
     .n_layers = 3,
     .layers = {{BINNET_CONV2D, 8, 2, 1, BINNET_VALID, 1},
                {BINNET_CONV2D, 3, 2, 1, BINNET_VALID, 2},
                {BINNET_DENSE, 3}}},
    {.method = {.activation = BINNET_SIGN, .solver = BINNET_ADAMAX, .dropout = 40, .decay = 1},
     .n_layers = 2,
     .layers = {{BINNET_CONV2D, 3, 3, 3, BINNET_SAME, 1}, {BINNET_DENSE, 3}}},
};

/* One of them, whose seed is its number, in an arena of its own, to be freed. NULL: the best
 * kernels. */
static inline binnet_net *small_net(uint32_t number, const binnet_kernels *kernels, void **arena) {
    const binnet_config config = {.seed = number,
                                  .n_features = SMALL_FEATURES,
                                  .n_layers = small_nets[number].n_layers,
                                  .batch_size = SMALL_BATCH,
                                  .layers = small_nets[number].layers,
                                  .method = small_nets[number].method,
                                  .height = SMALL_HEIGHT,
                                  .width = SMALL_WIDTH,
                                  .kernels = kernels};
    binnet_net *net = NULL;
    size_t n_bytes = 0;
    REQUIRE(binnet_net_size(&config, &n_bytes) == BINNET_OK);
    *arena = malloc(n_bytes);
    REQUIRE(*arena && binnet_net_init(&net, *arena, n_bytes, &config) == BINNET_OK);
    return net;
}

static inline void small_rows(uint8_t *x, uint16_t *labels) {
    for (uint32_t b = 0; b < SMALL_BATCH; ++b) {
        labels[b] = (uint16_t)(b % SMALL_CLASSES);
        for (uint32_t i = 0; i < SMALL_FEATURES; ++i)
            x[b * SMALL_FEATURES + i] =
                (uint8_t)((b + 1) * (i + 3) * 29 + (i % 3 == b % 3 ? 99 : 0));
    }
}

/* A step at a rate that the number of steps so far gives. */
static inline void small_step(binnet_net *net) {
    uint8_t x[SMALL_BATCH * SMALL_FEATURES];
    uint16_t labels[SMALL_BATCH];
    const uint32_t rate_exponent = (binnet_net_step(net) + 4) % (BINNET_MAX_RATE_EXPONENT + 1);
    small_rows(x, labels);
    REQUIRE(binnet_net_train_step(net, x, labels, SMALL_BATCH, rate_exponent, NULL) == BINNET_OK);
}

/* The model of the present weights, n_bytes or fewer of it; its length. */
static inline size_t small_model(binnet_net *net, uint8_t *bytes, size_t n_bytes) {
    uint8_t x[SMALL_BATCH * SMALL_FEATURES];
    uint16_t labels[SMALL_BATCH];
    small_rows(x, labels);
    REQUIRE(binnet_net_calibrate(net, x, SMALL_BATCH) == BINNET_OK);
    REQUIRE(binnet_model_write(net, bytes, n_bytes) == BINNET_OK);
    return binnet_model_size(net);
}

#endif
