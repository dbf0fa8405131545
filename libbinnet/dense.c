/* The fully connected layer: products of gemm.c and xnor.c between normalisation (norm.c) and update
 * (solver.c).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static void plan(binnet_net *net, binnet_layer_state *layer, binnet_planner *planner) {
    const uint32_t units = layer->units;
    const size_t row_bytes = layer->fan_in * sizeof *layer->latent;
    layer->bits_stride = binnet_row_bytes(layer->fan_in);
    layer->latent = binnet_plan(planner, units, row_bytes);
    layer->bits = binnet_plan(planner, units, layer->bits_stride);
    binnet_plan_weights(net, layer, planner);
    layer->bias = binnet_plan(planner, units, sizeof *layer->bias);
    layer->bias_gradient = binnet_plan(planner, units, sizeof *layer->bias_gradient);
    layer->scale = binnet_plan(planner, units, sizeof *layer->scale);
    if (layer->index + 1 < net->n_layers) binnet_plan_signs(net, layer, planner);
    if (net->method.solver != BINNET_ADAMAX) return;
    layer->momentum = binnet_plan(planner, units, row_bytes);
    layer->log_scale = binnet_plan(planner, units, row_bytes);
    layer->bias_momentum = binnet_plan(planner, units, sizeof *layer->bias_momentum);
    layer->bias_log_scale = binnet_plan(planner, units, sizeof *layer->bias_log_scale);
}

/* Uniform in the int16 range or a part of it: signs start where few updates turn them, weights that are drawn
 * or ternary where they are not all undecided or 0, biases within a standard deviation. */
static int16_t initial(const uint8_t *random, uint32_t i, int32_t halvings) {
    const int32_t v = binnet_floor_shift(binnet_get16(random + 2 * (i & 3)), halvings);
    return (int16_t)(v < -32767 ? -32767 : v);
}

static void init_momenta(int16_t *momentum, int16_t *log_scale, size_t n) {
    for (size_t i = 0; i < n; ++i) momentum[i] = 0, log_scale[i] = -32768;
}

static void init(binnet_net *net, binnet_layer_state *layer) {
    const binnet_rng weights = binnet_rng_stream(net->seed, BINNET_RANDOM_WEIGHTS, layer->index, 0);
    const binnet_rng biases = binnet_rng_stream(net->seed, BINNET_RANDOM_BIASES, layer->index, 0);
    const int32_t halvings = binnet_draws(net) ? 0 : 2;
    uint8_t random[8];
    for (uint32_t m = 0; m < layer->units; ++m)
        for (uint32_t n = 0; n < layer->fan_in; ++n) {
            if ((n & 3) == 0) binnet_rng_blocks(&weights, m, n >> 2, 1, random);
            layer->latent[(size_t)m * layer->fan_in + n] = initial(random, n, halvings);
        }
    for (uint32_t m = 0; m < layer->units; ++m) {
        if ((m & 3) == 0) binnet_rng_blocks(&biases, 0, m >> 2, 1, random);
        layer->bias[m] = layer->activation ? initial(random, m, 2) : 0;
    }
    binnet_pack_latent(layer);
    /* Bits beyond the ends of rows stay 0. */
    if (layer->low_signs) memset(layer->low_signs, 0, net->batch_size * layer->signs_stride);
    if (layer->high_signs) memset(layer->high_signs, 0, net->batch_size * layer->signs_stride);
    if (net->method.solver != BINNET_ADAMAX) return;
    init_momenta(layer->momentum, layer->log_scale, (size_t)layer->units * layer->fan_in);
    init_momenta(layer->bias_momentum, layer->bias_log_scale, layer->units);
}

/* What tasks and epilogues need to know. */
typedef struct pass {
    binnet_net *net;
    binnet_layer_state *layer;
    int calibrate;
    int drop;
    int32_t input_shift; /* backward: from sums to int16 errors */
    binnet_input input;
    uint32_t first_column; /* forward: of the sums that are kept */
    uint32_t n_columns;
    size_t input_bits_stride;
    binnet_rule rule;
    binnet_momentum_rule momentum_rule;
    binnet_rng rng;
    int32_t exponent;
    int32_t delta_unit; /* of the quantised error: 2^delta_unit */
    uint32_t n_rows;
} pass;

static uint32_t blocks(uint32_t n, uint32_t size) { return n / size + (n % size != 0); }
static uint32_t block(uint32_t first, uint32_t n, uint32_t size) {
    return n - first < size ? n - first : size;
}

/* What the three products have in common. */
static binnet_gemm product(const pass *p) {
    const binnet_net *net = p->net;
    const binnet_gemm gemm = {.kernels = net->kernels,
                              .parallel = &net->parallel,
                              .step = 1,
                              .n_digits = 1,
                              .n_rows = p->n_rows,
                              .context = (void *)(uintptr_t)p,
                              .panels = net->panels,
                              .scratch = net->scratch,
                              .scratch_bytes = net->scratch_bytes};
    return gemm;
}

static void normalise_task(void *context, uint32_t task, uint32_t worker) {
    const pass *p = context;
    const uint32_t first = task * BINNET_UNIT_BLOCK;
    (void)worker;
    binnet_norm_forward(
        p->net, p->layer, binnet_sums_at(p->net->kernels, p->net->z, p->n_rows, first), p->n_rows,
        p->first_column + first, block(first, p->n_columns, BINNET_UNIT_BLOCK), p->calibrate);
}

/* Random bytes are made for so many columns at a time. */
enum { COLUMNS_AT_ONCE = 64 };

/* As many rows of random bytes as the worker's scratch has room for. */
static uint32_t draw_strip(const pass *p, uint32_t worker, uint32_t first_row,
                           uint32_t first_column, uint8_t **random) {
    const size_t room = p->net->scratch_bytes / COLUMNS_AT_ONCE;
    const uint32_t n_rows =
        block(first_row, p->n_rows, room < p->n_rows ? (uint32_t)room : p->n_rows);
    *random = p->net->scratch + worker * p->net->scratch_bytes;
    p->net->training->random(*random, &p->rng, first_row, n_rows, first_column >> 3,
                             COLUMNS_AT_ONCE >> 3);
    return n_rows;
}

/* Dropout and signs of COLUMNS_AT_ONCE units. */
static void finish_task(void *context, uint32_t task, uint32_t worker) {
    const pass *p = context;
    const uint32_t first = task * COLUMNS_AT_ONCE;
    const uint32_t columns = block(first, p->layer->units, COLUMNS_AT_ONCE);
    uint8_t *random = NULL;
    uint32_t n_rows = p->n_rows;
    for (uint32_t row = 0; row < p->n_rows; row += n_rows) {
        if (p->drop) n_rows = draw_strip(p, worker, row, first, &random);
        binnet_finish_activations(p->net, p->layer, random, row, n_rows, first, columns);
    }
}

/* Sums of columns of the layer. */
static void multiply_forward(pass *p) {
    const binnet_net *net = p->net;
    const binnet_layer_state *layer = p->layer;
    const size_t first = p->first_column * layer->bits_stride;
    const uint8_t *low = layer->low + first, *high = layer->high ? layer->high + first : NULL;
    if (p->input.data) {
        binnet_gemm gemm = product(p);
        gemm.values = p->input.data;
        gemm.stride = p->input.stride;
        gemm.signs = 1;
        gemm.selector = (binnet_selector){low, layer->bits_stride, 1};
        gemm.high = high;
        gemm.n_columns = p->n_columns;
        gemm.depth = layer->fan_in;
        gemm.sums = net->z;
        binnet_gemm_run(&gemm);
        return;
    }
    const binnet_xnor_gemm gemm = {.kernels = net->kernels,
                                   .parallel = &net->parallel,
                                   .a = p->input.signs,
                                   .w = {low, high, layer->bits_stride},
                                   .n_rows = p->n_rows,
                                   .n_columns = p->n_columns,
                                   .n_bits = layer->fan_in,
                                   .sums = net->z,
                                   .scratch = net->scratch,
                                   .scratch_bytes = net->scratch_bytes};
    binnet_xnor_gemm_run(&gemm);
}

static void forward(binnet_net *net, binnet_layer_state *layer, binnet_input input, uint32_t n_rows,
                    int calibrate) {
    pass p = {.net = net, .layer = layer, .input = input, .calibrate = calibrate, .n_rows = n_rows};
    /* Deployed weights stay what they are from batch to batch. */
    if (!calibrate || net->n_calibrations == 0) binnet_propagate(net, layer, calibrate);
    for (uint32_t c = 0; c < layer->units; c += p.n_columns) {
        p.first_column = c;
        p.n_columns = block(c, layer->units, net->z_columns);
        multiply_forward(&p);
        binnet_run(&net->parallel, blocks(p.n_columns, BINNET_UNIT_BLOCK), normalise_task, &p);
    }
    p.drop = layer->activation && net->method.dropout && !calibrate;
    if (!p.drop && !layer->low_signs) return;
    p.rng = binnet_rng_stream(net->seed, BINNET_RANDOM_DROPOUT, layer->index, net->step);
    binnet_run(&net->parallel, blocks(layer->units, COLUMNS_AT_ONCE), finish_task, &p);
}

/* ---- Backward ------------------------------------------------------------------------------ */

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

/* No error passes units that were left out. */
static void drop_task(void *context, uint32_t task, uint32_t worker) {
    const pass *p = context;
    const uint32_t first = task * COLUMNS_AT_ONCE;
    uint8_t *random;
    uint32_t n_rows;
    for (uint32_t row = 0; row < p->n_rows; row += n_rows) {
        n_rows = draw_strip(p, worker, row, first, &random);
        binnet_drop_errors(p->net, p->layer, random, row, n_rows, first,
                           block(first, p->layer->units, COLUMNS_AT_ONCE));
    }
}

static void norm_task(void *context, uint32_t task, uint32_t worker) {
    const pass *p = context;
    const uint32_t first = task * BINNET_UNIT_BLOCK;
    raise_peak(p->net, worker,
               binnet_norm_backward(p->net, p->layer, p->n_rows, first,
                                    block(first, p->layer->units, BINNET_UNIT_BLOCK)));
}

/* Errors of COLUMNS_AT_ONCE units, in the place of what they were derived from: as rows, for the backward
 * product, and as columns where the outer one wants them. */
static void quantize_task(void *context, uint32_t task, uint32_t worker) {
    const pass *p = context;
    const binnet_layer_state *layer = p->layer;
    const uint32_t start = task * COLUMNS_AT_ONCE;
    const uint32_t end = start + block(start, layer->units, COLUMNS_AT_ONCE);
    uint8_t *random;
    binnet_error_job job = {
        .stride = layer->units, .exponent = p->exponent, .random_stride = COLUMNS_AT_ONCE};
    for (uint32_t row = 0; row < p->n_rows; row += job.n_rows) {
        job.n_rows = draw_strip(p, worker, row, start, &random);
        for (uint32_t m = start; m < end; m += BINNET_UNIT_BLOCK) {
            const size_t at = (size_t)row * layer->units + m;
            job.error = layer->error + at;
            job.delta = layer->normed + at;
            job.scale = layer->scale + m;
            job.random = random + (m - start);
            p->net->training->quantize(&job, block(m, end, BINNET_UNIT_BLOCK));
        }
    }
    if (!p->net->transposed) return;
    p->net->kernels->transpose(p->net->transposed + (size_t)start * p->n_rows, p->n_rows,
                               layer->normed + start, layer->units, p->n_rows, end - start);
}

static void store_error(void *context, const binnet_result *d) {
    const pass *p = context;
    int16_t *error =
        p->net->layers[p->layer->index - 1].error + d->first_row * (size_t)p->layer->fan_in;
    for (uint32_t i = 0; i < d->n_rows; ++i, error += p->layer->fan_in)
        p->net->training->round_error(error, d->sums + i * d->stride, p->input_shift,
                                      p->layer->fan_in);
}

/* The error at the layer's input. */
static void multiply_backward(pass *p) {
    const binnet_layer_state *layer = p->layer;
    p->input_shift = binnet_bitlen(127u * layer->units) - 15;
    binnet_gemm gemm = product(p);
    gemm.values = (const uint8_t *)layer->normed;
    gemm.stride = layer->units;
    gemm.int8 = 1;
    gemm.signs = 1;
    gemm.selector = (binnet_selector){layer->low, layer->bits_stride, 0};
    gemm.high = layer->high;
    gemm.n_columns = layer->fan_in;
    gemm.depth = layer->units;
    gemm.epilogue = store_error;
    binnet_gemm_run(&gemm);
}

/* Columns of the layer's input as random bits. */
static void draw_task(void *context, uint32_t task, uint32_t worker) {
    const pass *p = context;
    const uint32_t first = task * COLUMNS_AT_ONCE;
    const uint32_t columns = block(first, p->layer->fan_in, COLUMNS_AT_ONCE);
    uint8_t *random;
    uint32_t n_rows;
    for (uint32_t row = 0; row < p->n_rows; row += n_rows) {
        n_rows = draw_strip(p, worker, row, first, &random);
        for (uint32_t b = row; b < row + n_rows; ++b, random += COLUMNS_AT_ONCE)
            p->net->kernels->draw_bits(p->net->input_bits + b * p->input_bits_stride + (first >> 3),
                                       p->input.data + b * p->input.stride + first, random, columns,
                                       p->input.mask);
    }
}

static void update_rows(void *context, const binnet_result *gradient) {
    const pass *p = context;
    const binnet_layer_state *layer = p->layer;
    const size_t row = gradient->first_row;
    const size_t at = row * layer->fan_in;
    const binnet_update update = {.rule = p->rule,
                                  .momentum_rule = p->momentum_rule,
                                  .momentum = layer->momentum ? layer->momentum + at : NULL,
                                  .log_scale = layer->momentum ? layer->log_scale + at : NULL,
                                  .n_rows = gradient->n_rows,
                                  .n_columns = layer->fan_in,
                                  .latent = layer->latent + at,
                                  .latent_stride = layer->fan_in,
                                  .bits = layer->bits + row * layer->bits_stride,
                                  .bits_stride = layer->bits_stride,
                                  .gradient = gradient->sums,
                                  .gradient_stride = gradient->stride,
                                  .rng = p->rng,
                                  .first_row = gradient->first_row};
    raise_peak(p->net, gradient->worker, (int32_t)p->net->training->update(&update));
}

/* Columns of the layer's input as binary digits, a plane of each. */
static void digit_task(void *context, uint32_t task, uint32_t worker) {
    const pass *p = context;
    const uint32_t first = task * COLUMNS_AT_ONCE;
    const uint32_t columns = block(first, p->layer->fan_in, COLUMNS_AT_ONCE);
    (void)worker;
    for (uint32_t b = 0; b < p->n_rows; ++b)
        binnet_split_digits(p->net->input_bits + b * p->input_bits_stride + (first >> 3),
                            p->n_rows * p->input_bits_stride,
                            p->input.data + b * p->input.stride + first, columns,
                            p->input.n_digits);
}

/* Bits of the layer's input for the gradient: itself if it has signs only, its digits if the gradient is exact,
 * random bits otherwise. Activations are not needed after this. */
static void take_input(pass *p) {
    const binnet_net *net = p->net;
    if (!p->input.data) return;
    p->input_bits_stride = (p->layer->fan_in + 7) >> 3;
    p->rng = binnet_rng_stream(net->seed, BINNET_RANDOM_OUTER, p->layer->index, net->step);
    binnet_run(&net->parallel, blocks(p->layer->fan_in, COLUMNS_AT_ONCE),
               net->method.gradient == BINNET_EXACT ? digit_task : draw_task, p);
}

/* The weights' gradient, errors times the input, and the update. */
static void multiply_outer(pass *p, uint32_t rate_exponent) {
    binnet_net *net = p->net;
    binnet_layer_state *layer = p->layer;
    const binnet_input *input = &p->input;
    binnet_gemm gemm = product(p);
    if (net->transposed) {
        gemm.values = (const uint8_t *)net->transposed;
        gemm.stride = p->n_rows;
    } else { /* columns of the error */
        gemm.values = (const uint8_t *)layer->normed;
        gemm.stride = 1;
        gemm.step = layer->units;
    }
    gemm.int8 = 1;
    gemm.n_rows = layer->units;
    gemm.n_columns = layer->fan_in;
    gemm.depth = p->n_rows;
    gemm.epilogue = update_rows;
    if (input->data) {
        gemm.selector = (binnet_selector){net->input_bits, p->input_bits_stride, 0};
        if (net->method.gradient == BINNET_EXACT) gemm.n_digits = input->n_digits;
        gemm.digit_bytes = p->n_rows * p->input_bits_stride;
    } else {
        gemm.signs = 1;
        gemm.selector = (binnet_selector){input->signs.low, input->signs.stride, 0};
        gemm.high = input->signs.high;
    }
    p->rng = binnet_rng_stream(net->seed, BINNET_RANDOM_UPDATE, layer->index, net->step);
    p->rule = binnet_sgd_rule(layer->weight_exponent, rate_exponent, 15);
    p->momentum_rule = binnet_adamax_rule(net, p->delta_unit, rate_exponent, 0, 32767);
    reset_peaks(net, 0);
    binnet_gemm_run(&gemm);
    if (highest_peak(net) > 0)
        layer->weight_exponent = binnet_bitlen((uint32_t)highest_peak(net)) - 1;
}

static void backward(binnet_net *net, binnet_layer_state *layer, binnet_input input,
                     uint32_t n_rows, uint32_t rate_exponent) {
    pass p = {.net = net, .layer = layer, .input = input, .n_rows = n_rows};
    if (net->method.dropout && layer->activation) {
        p.rng = binnet_rng_stream(net->seed, BINNET_RANDOM_DROPOUT, layer->index, net->step);
        binnet_run(&net->parallel, blocks(layer->units, COLUMNS_AT_ONCE), drop_task, &p);
    }
    reset_peaks(net, BINNET_NO_PEAK);
    binnet_run(&net->parallel, blocks(layer->units, BINNET_UNIT_BLOCK), norm_task, &p);
    binnet_update_biases(net, layer, rate_exponent);
    p.exponent = highest_peak(net);
    p.delta_unit = net->error_unit;
    if (p.exponent == BINNET_NO_PEAK) {
        memset(layer->normed, 0, (size_t)n_rows * layer->units);
        if (net->transposed) memset(net->transposed, 0, (size_t)n_rows * layer->units);
    } else {
        p.rng = binnet_rng_stream(net->seed, BINNET_RANDOM_ERROR, layer->index, net->step);
        binnet_run(&net->parallel, blocks(layer->units, COLUMNS_AT_ONCE), quantize_task, &p);
        p.delta_unit += p.exponent - 7;
    }
    take_input(&p);
    if (layer->index > 0) multiply_backward(&p); /* by the weights of the forward pass */
    multiply_outer(&p, rate_exponent);
    net->error_unit = p.delta_unit + p.input_shift;
}

const binnet_layer_type binnet_layer_dense = {plan, init, forward, backward};
