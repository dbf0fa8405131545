/* What layers of all kinds do around their products: propagated weights before, normalisation
 * (norm.c), activation and update (solver.c) after. Their rows are those of the batch, of a
 * convolution the positions of its images.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

void binnet_plan_layer(binnet_net *net, binnet_layer_state *layer, binnet_planner *planner) {
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

/* A row of numbers, uniform in the int16 range or a part of it. */
static void draw_row(const binnet_rng *rng, uint32_t row, int16_t *values, uint32_t n,
                     int32_t halvings) {
    uint8_t random[8];
    for (uint32_t i = 0; i < n; ++i) {
        if ((i & 3) == 0) binnet_rng_blocks(rng, row, i >> 2, 1, random);
        const int32_t v = binnet_floor_shift(binnet_get16(random + 2 * (i & 3)), halvings);
        values[i] = (int16_t)(v < -32767 ? -32767 : v);
    }
}

static void lowest(int16_t *values, size_t n) {
    for (size_t i = 0; i < n; ++i) values[i] = -32768;
}

/* In an arena of zeros. Signs start where few updates turn them, weights that are drawn or ternary
 * where they are not all undecided or 0, biases within a standard deviation. */
void binnet_init_layer(binnet_net *net, binnet_layer_state *layer) {
    binnet_rng rng = binnet_rng_stream(net->seed, BINNET_RANDOM_WEIGHTS, layer->index, 0);
    for (uint32_t m = 0; m < layer->units; ++m)
        draw_row(&rng, m, layer->latent + m * (size_t)layer->fan_in, layer->fan_in,
                 binnet_draws(net) ? 0 : 2);
    rng = binnet_rng_stream(net->seed, BINNET_RANDOM_BIASES, layer->index, 0);
    if (layer->activation) draw_row(&rng, 0, layer->bias, layer->units, 2);
    binnet_pack_latent(layer);
    if (!layer->momentum) return;
    lowest(layer->log_scale, (size_t)layer->units * layer->fan_in);
    lowest(layer->bias_log_scale, layer->units);
}

/* Only convolutions have so many rows that they are divided too. */
enum { COLUMNS_AT_ONCE = 64, ROWS_AT_ONCE = BINNET_CONVOLUTIONS ? 4096 : BINNET_MAX_BATCH };

static uint32_t row_blocks(uint32_t n_rows) {
    return BINNET_CONVOLUTIONS ? binnet_blocks(n_rows, ROWS_AT_ONCE) : 1;
}

binnet_gemm binnet_product(const binnet_pass *p) {
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

binnet_gemm binnet_product_forward(const binnet_pass *p) {
    const binnet_layer_state *layer = p->layer;
    const size_t first = p->first_column * layer->bits_stride;
    binnet_gemm gemm = binnet_product(p);
    gemm.a = p->input.signs;
    gemm.values = p->input.data;
    gemm.stride = p->input.stride;
    gemm.signs = 1;
    gemm.selector = (binnet_selector){layer->low + first, layer->bits_stride, 1};
    if (layer->high) gemm.high = layer->high + first;
    gemm.n_columns = p->n_columns;
    gemm.depth = layer->fan_in;
    gemm.sums = p->net->z;
    return gemm;
}

static void normalise_task(void *context, uint32_t task, uint32_t worker) {
    const binnet_pass *p = context;
    const uint32_t first = task * BINNET_UNIT_BLOCK;
    (void)worker;
    binnet_norm_forward(p->net, p->layer,
                        p->net->z + binnet_sum_index(p->net->kernels, p->n_rows, first), p->n_rows,
                        p->first_column + first,
                        binnet_block(first, p->n_columns, BINNET_UNIT_BLOCK), p->calibrate);
}

/* As many rows at a time as the worker's scratch has room for random bytes. */
static void strip_task(void *context, uint32_t task, uint32_t worker) {
    const binnet_pass *p = context;
    const binnet_net *net = p->net;
    const uint32_t n_blocks = row_blocks(p->strip_rows);
    uint8_t *random = net->scratch + worker * net->scratch_bytes;
    const uint32_t most = p->draw ? (uint32_t)(net->scratch_bytes / COLUMNS_AT_ONCE) : ROWS_AT_ONCE;
    binnet_strip s = {.random = p->draw ? random : NULL,
                      .row = task % n_blocks * ROWS_AT_ONCE,
                      .column = task / n_blocks * COLUMNS_AT_ONCE};
    const uint32_t end = s.row + binnet_block(s.row, p->strip_rows, ROWS_AT_ONCE);
    s.n_columns = binnet_block(s.column, p->strip_columns, COLUMNS_AT_ONCE);
    for (; s.row < end; s.row += s.n_rows) {
        s.n_rows = binnet_block(s.row, end, most);
        if (p->draw)
            net->training->random(random, &p->rng, s.row, s.n_rows, s.column >> 3,
                                  COLUMNS_AT_ONCE >> 3);
        p->use(p, &s);
    }
}

/* Uses all of so many rows and columns, drawing from the stream of a purpose if told to. */
static void each_strip(binnet_pass *p, void (*use)(const binnet_pass *, const binnet_strip *),
                       uint32_t n_rows, uint32_t n_columns, int draw, uint32_t purpose) {
    p->use = use;
    p->strip_rows = n_rows;
    p->strip_columns = n_columns;
    p->draw = draw;
    p->rng = binnet_rng_stream(p->net->seed, purpose, p->layer->index, p->net->step);
    binnet_run(&p->net->parallel, binnet_blocks(n_columns, COLUMNS_AT_ONCE) * row_blocks(n_rows),
               strip_task, p);
}

/* Dropout and signs. */
static void finish(const binnet_pass *p, const binnet_strip *s) {
    binnet_finish_activations(p->net, p->layer, s);
}

/* Features of the first layer. */
static void drop_features(const binnet_pass *p, const binnet_strip *s) {
    binnet_drop_features(p->net, p->input.data, s);
}

static int drops_features(const binnet_pass *p) {
    return p->layer->index == 0 && p->net->kept_features;
}

static int drops(const binnet_pass *p) { return p->layer->activation && p->net->method.dropout; }

#if BINNET_CONVOLUTIONS
/* The signs of an image's outputs, one row. */
static void flatten_task(void *context, uint32_t image, uint32_t worker) {
    const binnet_pass *p = context;
    const binnet_layer_state *layer = p->layer;
    const size_t first = (size_t)image * layer->positions * layer->signs_stride;
    const binnet_workplace *w = p->net->workplace;
    const size_t at = image * w->flat_stride;
    (void)worker;
    binnet_flatten(w->flat[0] + at, layer->low_signs + first, layer->units, layer->positions);
    if (layer->high_signs)
        binnet_flatten(w->flat[1] + at, layer->high_signs + first, layer->units, layer->positions);
}
#endif

void binnet_layer_forward(binnet_net *net, binnet_layer_state *layer, const binnet_input *input,
                          uint32_t n_images, int calibrate) {
    binnet_pass p = {.net = net,
                     .layer = layer,
                     .input = *input,
                     .n_images = n_images,
                     .n_rows = n_images * binnet_layer_positions(layer),
                     .calibrate = calibrate};
    if (drops_features(&p) && !calibrate) {
        each_strip(&p, drop_features, n_images, net->n_features, 1, BINNET_RANDOM_INPUT_DROPOUT);
        p.input.data = net->kept_features;
    }
    /* Deployed weights stay what they are from batch to batch. */
    if (!calibrate || net->n_calibrations == 0) binnet_propagate(net, layer, calibrate);
    for (uint32_t c = 0; c < layer->units; c += p.n_columns) {
        p.first_column = c;
        p.n_columns = binnet_block(c, layer->units, layer->z_columns);
        layer->type->forward(&p);
        binnet_run(&net->parallel, binnet_blocks(p.n_columns, BINNET_UNIT_BLOCK), normalise_task,
                   &p);
    }
    const int drop = drops(&p) && !calibrate;
    if (drop || layer->low_signs)
        each_strip(&p, finish, p.n_rows, layer->units, drop, BINNET_RANDOM_DROPOUT);
#if BINNET_CONVOLUTIONS
    if (layer->low_signs && layer->image && !layer[1].image)
        binnet_run(&net->parallel, n_images, flatten_task, &p);
#endif
}

/* ---- Backward ------------------------------------------------------------------------------ */

/* A maximum over tasks, one candidate a worker so that none waits for another. Of gradients it is
 * exact in its length in bits, which is all that is asked of it (see training->update). */
static void raise_peak(const binnet_net *net, uint32_t worker, int32_t peak) {
    if (peak > net->peaks[worker]) net->peaks[worker] = peak;
}

/* It, and back to 0. */
static int32_t take_peak(const binnet_net *net) {
    int32_t peak = 0;
    for (uint32_t w = 0; w < net->parallel.n_workers; ++w) {
        if (net->peaks[w] > peak) peak = net->peaks[w];
        net->peaks[w] = 0;
    }
    return peak;
}

/* No error passes units that were left out. */
static void drop_errors(const binnet_pass *p, const binnet_strip *s) {
    binnet_drop_errors(p->net, p->layer, s);
}

static void norm_task(void *context, uint32_t task, uint32_t worker) {
    const binnet_pass *p = context;
    const uint32_t first = task * BINNET_UNIT_BLOCK;
    raise_peak(p->net, worker,
               binnet_norm_backward(p->net, p->layer, p->n_rows, first,
                                    binnet_block(first, p->layer->units, BINNET_UNIT_BLOCK)) -
                   BINNET_NO_PEAK);
}

/* Errors, in the place of what they were derived from: as rows, for the backward product, and as
 * columns where the outer one wants them. A convolution's are not yet where they are from. */
static void quantize_errors(const binnet_pass *p, const binnet_strip *s) {
    const binnet_layer_state *layer = p->layer;
    const size_t at = (size_t)s->row * layer->units + s->column;
    binnet_error_job job = {.error = layer->error + at,
                            .scale = layer->scale + s->column,
                            .stride = layer->units,
                            .n_rows = s->n_rows,
                            .exponent = p->exponent,
                            .random = s->random,
                            .random_stride = COLUMNS_AT_ONCE,
                            .delta = layer->normed + at};
    for (uint32_t u = 0; u < s->n_columns; u += BINNET_UNIT_BLOCK) {
        p->net->training->quantize(&job, binnet_block(u, s->n_columns, BINNET_UNIT_BLOCK));
        job.error += BINNET_UNIT_BLOCK;
        job.scale += BINNET_UNIT_BLOCK;
        job.random += BINNET_UNIT_BLOCK;
        job.delta += BINNET_UNIT_BLOCK;
    }
    if (binnet_transposes(p->net->kernels) && !layer->image)
        p->net->kernels->transpose(p->net->transposed + (size_t)s->column * p->n_rows + s->row,
                                   p->n_rows, layer->normed + at, layer->units, s->n_rows,
                                   s->n_columns);
}

void binnet_store_errors(void *context, const binnet_result *d) {
    const binnet_pass *p = context;
    const uint32_t n_columns = p->input.n_columns;
    int16_t *error = p->net->layers[p->layer->index - 1].error + d->first_row * (size_t)n_columns;
    for (uint32_t i = 0; i < d->n_rows; ++i, error += n_columns)
        p->net->training->round_error(error, d->sums + i * d->stride, p->input_shift, n_columns);
}

/* The layer's input as random bits, or as binary digits, a plane of each. */
static void draw_input(const binnet_pass *p, const binnet_strip *s) {
    const uint8_t *random = s->random;
    for (uint32_t b = s->row; b < s->row + s->n_rows; ++b) {
        uint8_t *bits = p->net->input_bits + b * p->input_bits_stride + (s->column >> 3);
        const uint8_t *values = p->input.data + b * p->input.stride + s->column;
        if (random) {
            p->net->kernels->draw_bits(bits, values, random, s->n_columns, p->input.mask);
            random += COLUMNS_AT_ONCE;
        } else {
            binnet_split_digits(bits, p->input.n_rows * p->input_bits_stride, values, s->n_columns,
                                p->input.n_digits);
        }
    }
}

/* Bits of the layer's input for the gradient: itself if it has signs only, its digits if the
 * gradient is exact, random bits otherwise. Activations are not needed after this. */
static void take_input(binnet_pass *p) {
    const binnet_net *net = p->net;
    if (!p->input.data) return;
    p->input_bits_stride = (p->input.n_columns + 7) >> 3;
    each_strip(p, draw_input, p->input.n_rows, p->input.n_columns,
               net->method.gradient != BINNET_EXACT, BINNET_RANDOM_OUTER);
}

/* Latent weights lose 1/64 at once, in some of the steps: what is rounded to no loss is then 1/1024
 * of the range at most, instead of most of it. No sign changes. */
static void decay(const binnet_net *net, const binnet_layer_state *layer, uint32_t exponent) {
    int16_t *latent = layer->latent;
    if (exponent > 6 && net->step & ((1u << (exponent - 6)) - 1)) return;
    for (size_t n = (size_t)layer->units * layer->fan_in; n > 0; --n, ++latent)
        *latent = (int16_t)(*latent - binnet_floor_shift(*latent + 32, 6));
}

void binnet_update_rows(void *context, const binnet_result *gradient) {
    const binnet_pass *p = context;
    const binnet_layer_state *layer = p->layer;
    const size_t row = gradient->first_row;
    const size_t at = row * layer->fan_in;
    const binnet_update update = {.rule = p->rule,
                                  .momentum_rule = p->momentum_rule,
                                  .limit = 32767,
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

void binnet_layer_backward(binnet_net *net, binnet_layer_state *layer, const binnet_input *input,
                           uint32_t n_images, uint32_t rate_exponent) {
    const uint32_t n_rows = n_images * binnet_layer_positions(layer);
    binnet_pass p = {
        .net = net, .layer = layer, .input = *input, .n_images = n_images, .n_rows = n_rows};
    if (drops_features(&p)) p.input.data = net->kept_features;
    if (drops(&p)) each_strip(&p, drop_errors, n_rows, layer->units, 1, BINNET_RANDOM_DROPOUT);
    binnet_run(&net->parallel, binnet_blocks(layer->units, BINNET_UNIT_BLOCK), norm_task, &p);
    binnet_update_biases(net, layer, n_rows, rate_exponent);
    p.exponent = take_peak(net) + BINNET_NO_PEAK;
    p.delta_unit = net->error_unit;
    if (p.exponent == BINNET_NO_PEAK) {
        memset(layer->normed, 0, (size_t)n_rows * layer->units);
        if (binnet_transposes(net->kernels) && !layer->image)
            memset(net->transposed, 0, (size_t)n_rows * layer->units);
    } else {
        each_strip(&p, quantize_errors, n_rows, layer->units, 1, BINNET_RANDOM_ERROR);
        p.delta_unit += p.exponent - 7;
    }
    take_input(&p);
    p.input_shift = binnet_bitlen(127u * layer->units) - 15;
    p.rng = binnet_rng_stream(net->seed, BINNET_RANDOM_UPDATE, layer->index, net->step);
    p.rule = binnet_sgd_rule(layer->weight_exponent, rate_exponent, 15);
    p.momentum_rule = binnet_adamax_rule(net, p.delta_unit, rate_exponent, 0);
    if (net->method.decay) decay(net, layer, rate_exponent + net->method.decay);
    layer->type->backward(&p);
    const int32_t peak = take_peak(net);
    if (peak > 0) layer->weight_exponent = binnet_bitlen((uint32_t)peak) - 1;
    net->error_unit = p.delta_unit + p.input_shift;
}
