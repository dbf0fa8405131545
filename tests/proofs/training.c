/* What a program that trains, deploys and predicts calls, with CHECKPOINTS one that keeps those
 * too, with TARGETS one that has them instead of labels: for the size of that.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "binnet.h"

const uint8_t *volatile rows;
#ifdef TARGETS
#define train_step binnet_net_train_step_targets
const int8_t *volatile wanted;
#else
#define train_step binnet_net_train_step
const uint16_t *volatile wanted;
#endif
uint8_t *volatile bytes;
void *volatile arena;
volatile uint16_t answer;

int main(void) {
    const binnet_layer layers[] = {{BINNET_DENSE, 32}, {BINNET_DENSE, 10}};
    const binnet_config config = {
        .seed = 1, .n_features = 64, .n_layers = 2, .batch_size = 32, .layers = layers};
    binnet_net *net;
    binnet_model model;
    uint16_t class;
    uint64_t loss;
    size_t n_bytes;
    if (binnet_net_size(&config, &n_bytes) != BINNET_OK ||
        binnet_net_init(&net, arena, n_bytes, &config) != BINNET_OK)
        return 1;
#ifdef CHECKPOINTS
    if (binnet_checkpoint_read(net, bytes, binnet_checkpoint_size(net)) != BINNET_OK ||
        binnet_checkpoint_write(net, bytes, binnet_checkpoint_size(net)) != BINNET_OK)
        return 4;
#endif
    for (uint32_t step = binnet_net_step(net); step < 1000; ++step)
        if (train_step(net, rows, wanted, 32, binnet_rate_exponent(3, 9, step, 1000), &loss) !=
            BINNET_OK)
            return 2;
    if (binnet_net_calibrate(net, rows, 32) != BINNET_OK ||
        binnet_model_write(net, bytes, binnet_model_size(net)) != BINNET_OK ||
        binnet_model_open(&model, bytes, binnet_model_size(net), NULL) != BINNET_OK ||
        binnet_model_predict(&model, rows, 1, NULL, &class, arena, n_bytes) != BINNET_OK)
        return 3;
    answer = class;
    return 0;
}
