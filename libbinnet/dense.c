/* The fully connected layer: products of gemm.c between normalisation (norm.c) and update (sgd.c).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static void plan(binnet_net *net, binnet_layer_state *layer, binnet_planner *planner) {
    const uint64_t units = layer->units, values = units * net->batch_size;
    const int hidden = layer->index + 1 < net->n_layers;
    layer->bits_stride = binnet_bits_row_words(layer->fan_in) * 8;
    layer->latent = binnet_plan(planner, units * layer->fan_in * sizeof *layer->latent);
    layer->bits = binnet_plan(planner, units * layer->bits_stride);
    layer->bias = binnet_plan(planner, units * sizeof *layer->bias);
    layer->bias_gradient = binnet_plan(planner, units * sizeof *layer->bias_gradient);
    layer->scale = binnet_plan(planner, units * sizeof *layer->scale);
    layer->normed = binnet_plan(planner, values);
    layer->activation = hidden ? binnet_plan(planner, values) : NULL;
}

/* Uniform in a quarter of the int16 range: weights start where few updates turn them, biases within
 * a standard deviation. */
static int16_t initial(const uint8_t *random, uint32_t i) {
    return (int16_t)binnet_floor_shift(binnet_get16(random + 2 * (i & 3)), 2);
}

static void init(binnet_net *net, binnet_layer_state *layer) {
    const binnet_rng weights = binnet_rng_stream(net->seed, BINNET_RANDOM_WEIGHTS, layer->index, 0);
    const binnet_rng biases = binnet_rng_stream(net->seed, BINNET_RANDOM_BIASES, layer->index, 0);
    uint8_t random[8];
    for (uint32_t m = 0; m < layer->units; ++m)
        for (uint32_t n = 0; n < layer->fan_in; ++n) {
            if ((n & 3) == 0) binnet_rng_blocks(&weights, m, n >> 2, 1, random);
            layer->latent[(size_t)m * layer->fan_in + n] = initial(random, n);
        }
    for (uint32_t m = 0; m < layer->units; ++m) {
        if ((m & 3) == 0) binnet_rng_blocks(&biases, 0, m >> 2, 1, random);
        layer->bias[m] = layer->activation ? initial(random, m) : 0;
    }
    binnet_pack_latent(layer);
}

/* What an epilogue needs to know. */
typedef struct pass {
    binnet_net *net;
    binnet_layer_state *layer;
    int calibrate;
    int32_t input_shift; /* backward: from sums to int16 errors */
    binnet_rule rule;
    binnet_rng rng;
    int32_t exponent;
    uint32_t n_rows;
} pass;

static binnet_gemm product(const pass *p, binnet_epilogue epilogue) {
    const binnet_layer_state *layer = p->layer;
    binnet_gemm gemm;
    gemm.kernels = p->net->kernels;
    gemm.parallel = &p->net->parallel;
    gemm.scratch = p->net->scratch;
    gemm.scratch_bytes = p->net->scratch_bytes;
    gemm.bits = layer->bits;
    gemm.bits_stride = layer->bits_stride;
    gemm.fan_in = layer->fan_in;
    gemm.units = layer->units;
    gemm.n_rows = p->n_rows;
    gemm.epilogue = epilogue;
    gemm.context = (void *)(uintptr_t)p;
    return gemm;
}

static void normalise_tile(void *context, const binnet_result *z) {
    const pass *p = context;
    binnet_norm_forward(p->net->kernels, p->layer, z, p->calibrate);
}

static void forward(binnet_net *net, binnet_layer_state *layer, binnet_input input, uint32_t n_rows,
                    int calibrate) {
    pass p = {.net = net, .layer = layer, .calibrate = calibrate, .n_rows = n_rows};
    const binnet_gemm gemm = product(&p, normalise_tile);
    binnet_gemm_forward(&gemm, input);
}

/* ---- Backward ------------------------------------------------------------------------------ */

static uint32_t blocks(uint32_t n, uint32_t size) { return n / size + (n % size != 0); }

/* A maximum over tasks, one candidate a worker so that none waits for another. Of gradients it is
 * exact in its length in bits, which is all that is asked of it (see kernels->update). */
static void reset_peaks(const binnet_net *net, int32_t lowest) {
    for (uint32_t w = 0; w < net->parallel.n_workers; ++w) net->peaks[w] = lowest;
}

static void raise_peak(const binnet_net *net, uint32_t worker, int32_t peak) {
    if (peak > net->peaks[worker]) net->peaks[worker] = peak;
}

static int32_t highest_peak(const binnet_net *net) {
    int32_t peak = net->peaks[0];
    for (uint32_t w = 1; w < net->parallel.n_workers; ++w)
        if (net->peaks[w] > peak) peak = net->peaks[w];
    return peak;
}

static void norm_task(void *context, uint32_t task, uint32_t worker) {
    const pass *p = context;
    const uint32_t first = task * BINNET_UNIT_BLOCK, rest = p->layer->units - first;
    raise_peak(p->net, worker,
               binnet_norm_backward(p->net->kernels, p->layer, p->net->error, p->n_rows, first,
                                    rest < BINNET_UNIT_BLOCK ? rest : BINNET_UNIT_BLOCK));
}

enum { ROWS_A_TASK = 8, COLUMNS_AT_ONCE = 64 };

static void quantize_task(void *context, uint32_t task, uint32_t worker) {
    const pass *p = context;
    const binnet_layer_state *layer = p->layer;
    const uint32_t first = task * ROWS_A_TASK, rest = p->n_rows - first;
    uint8_t random[ROWS_A_TASK * COLUMNS_AT_ONCE];
    binnet_error_job job = {.stride = layer->units,
                            .n_rows = rest < ROWS_A_TASK ? rest : ROWS_A_TASK,
                            .exponent = p->exponent,
                            .random_stride = COLUMNS_AT_ONCE};
    (void)worker;
    for (uint32_t m = 0; m < layer->units; m += BINNET_UNIT_BLOCK) {
        const size_t at = (size_t)first * layer->units + m;
        const uint32_t n = layer->units - m;
        if (m % COLUMNS_AT_ONCE == 0)
            p->net->kernels->random(random, &p->rng, first, job.n_rows, m >> 3,
                                    COLUMNS_AT_ONCE >> 3);
        job.error = p->net->error + at;
        job.delta = layer->normed + at;
        job.scale = layer->scale + m;
        job.random = random + m % COLUMNS_AT_ONCE;
        p->net->kernels->quantize(&job, n < BINNET_UNIT_BLOCK ? n : BINNET_UNIT_BLOCK);
    }
}

static void store_error(void *context, const binnet_result *d) {
    const pass *p = context;
    for (uint32_t b = 0; b < d->n_rows; ++b)
        p->net->kernels->round_error(p->net->error + (size_t)b * p->layer->fan_in + d->first_column,
                                     d->sums + b * d->stride, p->input_shift, d->n_columns);
}

static void update_tile(void *context, const binnet_result *gradient) {
    const pass *p = context;
    const binnet_layer_state *layer = p->layer;
    const binnet_kernels *kernels = p->net->kernels;
    const size_t row = gradient->first_row;
    const uint32_t first_block = gradient->first_column >> 3;
    const binnet_update update = {.rule = p->rule,
                                  .n_rows = gradient->n_rows,
                                  .n_columns = gradient->n_columns,
                                  .latent =
                                      layer->latent + row * layer->fan_in + gradient->first_column,
                                  .latent_stride = layer->fan_in,
                                  .bits = layer->bits + row * layer->bits_stride + first_block,
                                  .bits_stride = layer->bits_stride,
                                  .gradient = gradient->sums,
                                  .random = gradient->spare,
                                  .stride = kernels->column_tile};
    if (p->rule.apply)
        kernels->random(gradient->spare, &p->rng, gradient->first_row, gradient->n_rows,
                        first_block, kernels->column_tile >> 3);
    raise_peak(p->net, gradient->worker, (int32_t)kernels->update(&update));
}

static void backward(binnet_net *net, binnet_layer_state *layer, binnet_input input,
                     uint32_t n_rows, uint32_t rate_exponent) {
    pass p = {.net = net, .layer = layer, .n_rows = n_rows};
    int8_t *delta = layer->normed; /* the error takes the place of what it was derived from */
    reset_peaks(net, BINNET_NO_PEAK);
    binnet_run(&net->parallel, blocks(layer->units, BINNET_UNIT_BLOCK), norm_task, &p);
    binnet_sgd_biases(net, layer, rate_exponent);
    p.exponent = highest_peak(net);
    if (p.exponent == BINNET_NO_PEAK) {
        memset(delta, 0, (size_t)n_rows * layer->units);
    } else {
        p.rng = binnet_rng_stream(net->seed, BINNET_RANDOM_ERROR, layer->index, net->step);
        binnet_run(&net->parallel, blocks(n_rows, ROWS_A_TASK), quantize_task, &p);
    }
    if (layer->index > 0) { /* before the update: it wants the weights of the forward pass */
        p.input_shift = binnet_bitlen(127u * layer->units) - 15;
        const binnet_gemm gemm = product(&p, store_error);
        binnet_gemm_backward(&gemm, delta);
    }
    p.rule = binnet_sgd_rule(layer->weight_exponent, rate_exponent, 15);
    p.rng = binnet_rng_stream(net->seed, BINNET_RANDOM_UPDATE, layer->index, net->step);
    reset_peaks(net, 0);
    const binnet_rng rounding =
        binnet_rng_stream(net->seed, BINNET_RANDOM_OUTER, layer->index, net->step);
    const binnet_gemm gemm = product(&p, update_tile);
    binnet_gemm_outer(&gemm, delta, net->interleaved, input, &rounding);
    if (highest_peak(net) > 0)
        layer->weight_exponent = binnet_bitlen((uint32_t)highest_peak(net)) - 1;
}

const binnet_layer_type binnet_layer_dense = {plan, init, forward, backward};
