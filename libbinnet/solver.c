/* The steps that gradients make (docs/algorithm.md, section 7). SGD's are sized by the largest
 * gradient of the step before, so that weights can be updated while their gradient is still in
 * registers.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

binnet_rule binnet_sgd_rule(int32_t exponent, uint32_t rate_exponent, int32_t full_step) {
    binnet_rule rule = {0, 0, 0};
    if (exponent < 0) return rule; /* the first gradient is only measured */
    rule.apply = 1;
    rule.limit = (int32_t)(2u << exponent); /* exponent <= 29 */
    rule.shift = exponent + (int32_t)rate_exponent - full_step;
    return rule;
}

binnet_momentum_rule binnet_adamax_rule(const binnet_net *net, int32_t unit, uint32_t rate_exponent,
                                        int32_t shift) {
    /* 1 / (1 - (7/8)^t), step t being net->step + 1, as the nearest power of two. */
    const int32_t correction = net->step == 0 ? 3 : net->step < 3 ? 2 : net->step < 9 ? 1 : 0;
    const binnet_momentum_rule rule = {binnet_clamp(unit, -40, 40),
                                       (int32_t)rate_exponent + shift - correction};
    return rule;
}

void binnet_update_biases(const binnet_net *net, binnet_layer_state *layer, uint32_t n_rows,
                          uint32_t rate_exponent) {
    const int32_t unit = net->error_unit + binnet_bias_halvings(n_rows);
    /* Those of filters at a sixteenth of the rate: they would walk at random over all their range,
     * as each is near the largest of its layer's few gradients. */
    const int32_t slower = BINNET_CONVOLUTIONS && layer->image ? 4 : 0;
    const binnet_update update = {
        /* A full step is 2^14 / 256 = 64 activation units at rate 1: twice the rate, in sigmas. */
        .rule = binnet_sgd_rule(layer->bias_exponent, rate_exponent, 14 - slower),
        .momentum_rule = binnet_adamax_rule(net, unit, rate_exponent, 1 + slower),
        .limit = 24576, /* 3 standard deviations */
        .n_rows = 1,
        .n_columns = layer->units,
        .latent = layer->bias,
        .momentum = layer->bias_momentum,
        .log_scale = layer->bias_log_scale,
        .gradient = layer->bias_gradient,
        .rng = binnet_rng_stream(net->seed, BINNET_RANDOM_BIAS_UPDATE, layer->index, net->step)};
    const uint32_t largest = net->training->update(&update);
    if (largest > 0) layer->bias_exponent = binnet_bitlen(largest) - 1;
}
