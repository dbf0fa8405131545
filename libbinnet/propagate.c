/* Latent weights to propagated ones (docs/algorithm.md, section 3, step 1).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

void binnet_pack_signs(uint8_t *bits, const int16_t *latent, uint32_t n) {
    for (uint32_t i = 0; i < n; i += 8) {
        unsigned byte = 0;
        for (uint32_t j = i; j < n && j < i + 8; ++j) byte |= (unsigned)(latent[j] >= 0) << (j - i);
        bits[i >> 3] = (uint8_t)byte;
    }
}

void binnet_pack_latent(binnet_layer_state *layer) {
    for (uint32_t m = 0; m < layer->units; ++m)
        binnet_pack_signs(layer->bits + m * layer->bits_stride,
                          layer->latent + m * (size_t)layer->fan_in, layer->fan_in);
}

static int is_ternary(const binnet_net *net) { return net->method.weights == BINNET_TERNARY; }

void binnet_plan_weights(const binnet_net *net, binnet_layer_state *layer,
                         binnet_planner *planner) {
    layer->low = layer->bits;
    if (binnet_draws(net)) layer->low = binnet_plan(planner, layer->units, layer->bits_stride);
    if (is_ternary(net)) layer->high = binnet_plan(planner, layer->units, layer->bits_stride);
}

typedef struct job {
    const binnet_net *net;
    const binnet_layer_state *layer;
    binnet_rng rng;
    binnet_chance chance;
    int random; /* else certain */
} job;

/* So many rows are drawn at a time, since a vector of random bytes may be of two. */
enum { ROWS = 2, STRIP = 64, ROWS_OF_TASK = 16 };

/* Bits of columns [first, first + n) of up to ROWS rows, set where a random number is below the
 * chance. */
static void draw(const job *j, uint8_t *plane, uint32_t row, uint32_t n_rows, uint32_t first,
                 uint32_t n) {
    const binnet_layer_state *layer = j->layer;
    const uint32_t n_blocks = (n + 7) >> 3;
    uint8_t random[ROWS * STRIP], chance[STRIP];
    if (j->random) j->net->training->random(random, &j->rng, row, n_rows, first >> 3, n_blocks);
    for (uint32_t i = 0; i < n_rows; ++i) {
        j->net->training->chances(chance, layer->latent + (row + i) * (size_t)layer->fan_in + first,
                                  n, j->chance);
        uint8_t *bits = plane + (row + i) * layer->bits_stride + (first >> 3);
        if (j->random)
            j->net->kernels->draw_bits(bits, chance, random + i * 8 * (size_t)n_blocks, n, 127);
        else
            j->net->kernels->draw_bits(bits, chance, chance, n, 0); /* 0 < chance */
    }
}

/* The planes of ternary weights, from one that says which are not 0 in the place of the high
 * one. */
static void split(const binnet_layer_state *layer, uint32_t row) {
    uint8_t *low = layer->low, *high = layer->high;
    const uint32_t used = layer->fan_in & 7;
    const size_t start = row * layer->bits_stride, n = (layer->fan_in + 7) >> 3;
    for (size_t i = start; i < start + n; ++i) {
        const unsigned sign = layer->bits[i], nonzero = high[i];
        low[i] = (uint8_t)(sign & nonzero);
        high[i] = (uint8_t)((sign | ~nonzero) & 255u);
    }
    if (used) high[start + n - 1] = (uint8_t)(high[start + n - 1] & ((1u << used) - 1u));
}

static void draw_rows(void *context, uint32_t task, uint32_t worker) {
    const job *j = context;
    const binnet_layer_state *layer = j->layer;
    const uint32_t rest = layer->units - task * ROWS_OF_TASK;
    const uint32_t end = task * ROWS_OF_TASK + (rest < ROWS_OF_TASK ? rest : ROWS_OF_TASK);
    (void)worker;
    for (uint32_t row = task * ROWS_OF_TASK; row < end; row += ROWS) {
        const uint32_t n_rows = end - row < ROWS ? end - row : ROWS;
        for (uint32_t n = 0; n < layer->fan_in; n += STRIP) {
            const uint32_t left = layer->fan_in - n;
            draw(j, layer->high ? layer->high : layer->low, row, n_rows, n,
                 left < STRIP ? left : STRIP);
        }
        for (uint32_t i = 0; layer->high && i < n_rows; ++i) split(layer, row + i);
    }
}

void binnet_propagate(const binnet_net *net, binnet_layer_state *layer, int deploy) {
    const int stochastic = net->method.binarization == BINNET_STOCHASTIC;
    job j = {.net = net, .layer = layer, .random = stochastic && !deploy};
    if (!binnet_draws(net)) return;
    if (deploy && !is_ternary(net)) {
        memcpy(layer->low, layer->bits, layer->units * layer->bits_stride);
        return;
    }
    j.rng = binnet_rng_stream(net->seed, BINNET_RANDOM_PROPAGATED, layer->index, net->step);
    j.chance = !j.random ? BINNET_CERTAIN : is_ternary(net) ? BINNET_NONZERO : BINNET_POSITIVE;
    binnet_run(&net->parallel, (layer->units + ROWS_OF_TASK - 1) / ROWS_OF_TASK, draw_rows, &j);
}
