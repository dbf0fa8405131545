/* The step that a gradient makes (docs/algorithm.md, section 7): sized by the largest gradient of
 * the step before, so that weights can be updated while their gradient is still in registers.
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

void binnet_sgd_biases(const binnet_net *net, binnet_layer_state *layer, uint32_t rate_exponent) {
    /* A full step is 2^14 / 256 = 64 activation units at rate 1: twice the rate, in sigmas. */
    const binnet_rule rule = binnet_sgd_rule(layer->bias_exponent, rate_exponent, 14);
    const binnet_rng rng =
        binnet_rng_stream(net->seed, BINNET_RANDOM_BIAS_UPDATE, layer->index, net->step);
    uint8_t random[8];
    int32_t largest = 0;
    for (uint32_t u = 0; u < layer->units; ++u) {
        const int32_t g = layer->bias_gradient[u];
        if (binnet_abs(g) > largest) largest = binnet_abs(g);
        if (!rule.apply) continue;
        if ((u & 7) == 0) binnet_rng_blocks(&rng, 0, u >> 3, 1, random);
        const int32_t step =
            binnet_stochastic(binnet_clamp(g, -rule.limit, rule.limit), rule.shift, random[u & 7]);
        layer->bias[u] = (int16_t)binnet_clamp(layer->bias[u] - step, -24576, 24576);
    }
    if (largest > 0) layer->bias_exponent = binnet_bitlen((uint32_t)largest) - 1;
}
