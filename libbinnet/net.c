/* A net in training: plans the arena and walks the layers forward and backward.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static const binnet_layer_type *layer_type(const binnet_layer *layer) {
#if BINNET_CONVOLUTIONS
    if (layer->kind == BINNET_CONV2D) return &binnet_layer_conv2d;
#endif
    (void)layer;
    return &binnet_layer_dense;
}

/* ---- Configuration ------------------------------------------------------------------------- */

/* Only a convolution takes images. */
static int takes_images(const binnet_config *config) {
    return BINNET_CONVOLUTIONS && config->layers[0].kind == BINNET_CONV2D;
}

/* What stands before the first layer. */
static binnet_status start_shape(const binnet_config *config, binnet_shape *shape) {
    const int images = takes_images(config);
    return binnet_start_shape(shape, config->n_features, images ? config->height : 0,
                              images ? config->width : 0);
}

static binnet_status check_layers(const binnet_config *config) {
    const uint32_t most =
        config->method.gradient == BINNET_EXACT ? BINNET_MAX_BATCH : BINNET_MAX_POSITIONS;
    binnet_shape shape;
    binnet_status status = start_shape(config, &shape);
    for (uint32_t i = 0; i < config->n_layers && status == BINNET_OK; ++i) {
        status = binnet_next_shape(&shape, &config->layers[i]);
        /* Positions are at most the features: 2^31. */
        if (status == BINNET_OK && binnet_positions_of(&shape) * config->batch_size > most)
            status = BINNET_ERR_LIMIT;
    }
    if (status == BINNET_OK && (binnet_is_image(&shape) || shape.units < 2))
        status = BINNET_ERR_ARGUMENT;
    return status;
}

static binnet_status check_config(const binnet_config *config) {
    if (!config || !config->layers) return BINNET_ERR_ARGUMENT;
    if (!config->n_features || !config->n_layers || !config->batch_size) return BINNET_ERR_ARGUMENT;
    if (config->n_features > BINNET_MAX_FEATURES || config->n_layers > BINNET_MAX_LAYERS ||
        config->batch_size > BINNET_MAX_BATCH)
        return BINNET_ERR_LIMIT;
    const binnet_method *m = &config->method;
    /* Choices are 0 or 1. */
    if ((m->weights | m->binarization | m->activation | m->solver | m->gradient) > 1 ||
        (m->dropout | m->input_dropout) > 255 || m->decay > BINNET_MAX_DECAY ||
        (config->n_layers < 2 && (m->activation == BINNET_SIGN || m->dropout)))
        return BINNET_ERR_ARGUMENT;
    const uint32_t n_classes = config->layers[config->n_layers - 1].units;
    for (uint32_t k = 0; config->n_rows && k < n_classes; ++k)
        if (!config->class_counts || config->class_counts[k] > config->n_rows)
            return BINNET_ERR_ARGUMENT;
    const binnet_parallel *p = config->parallel;
    if (p && (!p->run || p->n_workers < 1 || p->n_workers > BINNET_MAX_WORKERS))
        return BINNET_ERR_ARGUMENT;
    return check_layers(config);
}

/* Numbers of so many bytes, of an image's outputs. */
static size_t row_bytes(const binnet_shape *shape, uint32_t size) {
    return binnet_image_bytes(binnet_positions_of(shape), (size_t)shape->units * size);
}

/* What a pass keeps, and one after the other in the same place: forward, activations of all hidden
 * layers and then sums; backward, a layer's error where its activations began, for all after them
 * are done with. */
static void plan_passes(binnet_net *net, const binnet_config *config, binnet_planner *planner,
                        const binnet_needs *needs, uint32_t n_units) {
    const uint32_t batch = net->batch_size, n_layers = config->n_layers;
    const size_t normed = planner->n_bytes;
    size_t errors = 0;
    binnet_shape shape;
    net->calibration = binnet_plan(planner, 0, 0); /* which needs nothing normed */
    start_shape(config, &shape);
    for (uint32_t i = 0; i < n_layers; ++i) {
        binnet_next_shape(&shape, &config->layers[i]);
        int8_t *place = binnet_plan(planner, batch, row_bytes(&shape, 1));
        if (place) net->layers[i].normed = place;
    }
    planner->n_bytes =
        binnet_most(planner->n_bytes, normed + 2 * sizeof *net->calibration * n_units);
    start_shape(config, &shape);
    for (uint32_t i = 0; i < n_layers; ++i) {
        binnet_next_shape(&shape, &config->layers[i]);
        const size_t start = planner->n_bytes;
        void *place = binnet_plan(planner, batch, row_bytes(&shape, sizeof(int16_t)));
        errors = binnet_most(errors, planner->n_bytes);
        planner->n_bytes = start;
        if (place) net->layers[i].error = place;
        if (i + 1 == n_layers) break;
        place = binnet_plan(planner, batch, row_bytes(&shape, 1));
        if (place) net->layers[i].activation = place;
    }
    net->z = binnet_plan(planner, 1, needs->z);
    const size_t forwards = planner->n_bytes;
    planner->n_bytes = errors;
    if (binnet_transposes(net->kernels))
        net->transposed = binnet_plan(planner, 1, needs->transposed);
    planner->n_bytes = binnet_most(planner->n_bytes, forwards);
}

/* What the fully connected layer needs. */
static void measure_dense(const binnet_net *net, const binnet_layer_state *layer,
                          binnet_needs *needs) {
    const binnet_kernels *k = net->kernels;
    const uint32_t batch = net->batch_size, fan_in = layer->fan_in, units = layer->units;
    const uint32_t planes = net->method.weights == BINNET_TERNARY ? 2 : 1;
    const uint32_t digits = net->method.gradient == BINNET_EXACT ? 8 : 1;
    const int signs = net->method.activation == BINNET_SIGN;
    const uint32_t sign_planes = net->method.dropout ? 2 : 1;
    binnet_need(&needs->panels,
                binnet_area(planes, binnet_gemm_panels(k, batch, units, fan_in), 1));
    if (layer->index > 0) /* only there is an error at the input */
        binnet_need(&needs->panels,
                    binnet_area(planes, binnet_gemm_panels(k, batch, fan_in, units), 1));
    binnet_need(&needs->panels, binnet_area(signs && layer->index > 0 ? sign_planes : digits,
                                            binnet_gemm_panels(k, units, fan_in, batch), 1));
    if (binnet_transposes(k)) binnet_need(&needs->transposed, binnet_area(batch, units, 1));
    binnet_need(&needs->input_bits, (fan_in + 7) / 8 * digits);
    binnet_need(&needs->scratch, binnet_gemm_scratch(k, fan_in));
    if (signs) binnet_need(&needs->scratch, binnet_xnor_scratch(k, 0, fan_in));
}

/* Columns of sums at a time. The more, the fewer times tables of sums are made: an eighth of the
 * weights' memory, or what convolutions need anyway. */
static void plan_columns(binnet_net *net, const binnet_config *config, binnet_needs *needs,
                         size_t n_weights, uint32_t widest) {
    const uint32_t batch = net->batch_size;
    const size_t share =
        (size_t)binnet_quotient(n_weights >> 4, batch) & ~(size_t)(BINNET_UNIT_BLOCK - 1);
    const size_t columns = binnet_most(share, net->kernels->z_columns);
    const uint32_t z_columns = columns < widest ? (uint32_t)columns : widest;
    binnet_need(&needs->z,
                binnet_area(batch, binnet_padded(net->kernels, z_columns) * sizeof(int32_t), 1));
    for (uint32_t i = 0; net->layers && i < config->n_layers; ++i) {
        binnet_layer_state *layer = &net->layers[i];
        layer->z_columns = z_columns;
#if BINNET_CONVOLUTIONS
        if (!layer->image) continue;
        const size_t most = needs->z / sizeof(int32_t) / batch / layer->positions;
        layer->z_columns = most < binnet_padded(net->kernels, layer->units)
                               ? (uint32_t)most & ~(net->kernels->panel_columns - 1)
                               : layer->units;
#endif
    }
}

#if BINNET_CONVOLUTIONS
/* The image of a convolution; and where the signs of the last one's outputs stand in rows, as the
 * layer after it wants them. */
static void plan_image(binnet_net *net, binnet_layer_state *layer, const binnet_shape *shape,
                       int was_image, binnet_needs *needs, binnet_planner *planner) {
    if (shape->image.kernel) {
        binnet_image *place = binnet_plan(planner, 1, sizeof *place);
        if (place) *place = shape->image;
        layer->image = place ? place : &shape->image;
        if (shape->image.pool > 1)
            layer->origins = binnet_plan(planner, net->batch_size,
                                         binnet_area(shape->positions, shape->units, 1));
        return;
    }
    if (was_image && net->method.activation == BINNET_SIGN)
        needs->flat = binnet_row_bytes(layer->fan_in);
}
#endif

/* Places everything; with no base, only measures, on a net and layers of the caller's stack. */
static void plan_net(binnet_net *net, const binnet_config *config, binnet_planner *planner) {
    const uint32_t batch = net->batch_size;
    uint32_t widest = 0, n_units = 0;
    size_t n_weights = 0;
    binnet_needs needs;
    binnet_shape shape;
    binnet_layer_state measured;
    memset(&needs, 0, sizeof needs);
    start_shape(config, &shape);
    for (uint32_t i = 0; i < config->n_layers; ++i) {
        binnet_layer_state *layer = net->layers ? &net->layers[i] : &measured;
        const int was_image = binnet_is_image(&shape);
        memset(layer, 0, sizeof *layer);
        layer->kind = binnet_put_kind(&config->layers[i]);
        layer->type = layer_type(&config->layers[i]);
        layer->index = i;
        binnet_next_shape(&shape, &config->layers[i]);
        layer->fan_in = shape.fan_in;
        layer->units = shape.units;
        layer->positions = binnet_positions_of(&shape);
        layer->weight_exponent = -1;
        layer->bias_exponent = -1;
        n_units += layer->units;
        n_weights += layer->units * (size_t)layer->fan_in;
        binnet_plan_layer(net, layer, planner);
#if BINNET_CONVOLUTIONS
        plan_image(net, layer, &shape, was_image, &needs, planner);
        if (layer->image) {
            binnet_measure_convolution(net, layer, &needs);
            continue;
        }
#endif
        (void)was_image;
        measure_dense(net, layer, &needs);
        if (layer->units > widest) widest = layer->units;
    }
    plan_columns(net, config, &needs, n_weights, widest);
    net->targets = binnet_plan(planner, 1, shape.units);
    if (net->method.input_dropout)
        net->kept_features = binnet_plan(planner, batch, config->n_features);
    plan_passes(net, config, planner, &needs, n_units);
    net->input_bits = binnet_plan(planner, batch, needs.input_bits);
    net->peaks = binnet_plan(planner, net->parallel.n_workers, sizeof *net->peaks);
    net->panels = binnet_plan(planner, 1, needs.panels);
#if BINNET_CONVOLUTIONS
    binnet_plan_workplace(net, &needs, planner);
#endif
    net->scratch = binnet_plan(planner, net->parallel.n_workers, needs.scratch);
    net->scratch_bytes = needs.scratch;
}

/* Plans a net for a checked configuration. `net` is the arena's, or the caller's to measure. */
static size_t start_net(binnet_net *net, const binnet_config *config, uint8_t *base) {
    const binnet_parallel serial = {NULL, NULL, 1};
    memset(net, 0, sizeof *net);
    net->seed = config->seed;
    const int images = takes_images(config);
    net->shape =
        binnet_put_shape(config->n_layers, images ? config->height : 0, images ? config->width : 0);
    net->method = config->method;
    net->n_features = config->n_features;
    net->n_layers = config->n_layers;
    net->batch_size = config->batch_size;
    net->kernels = config->kernels ? config->kernels : binnet_kernels_best();
    net->training = binnet_training_of(net->kernels);
    net->parallel = config->parallel ? *config->parallel : serial;
    binnet_planner planner = {base, 0, net->kernels->alignment};
    binnet_plan(&planner, 1, sizeof *net);
    net->layers = binnet_plan(&planner, config->n_layers, sizeof *net->layers);
    plan_net(net, config, &planner);
    return planner.n_bytes;
}

binnet_status binnet_net_size(const binnet_config *config, size_t *n_bytes) {
    const binnet_status status = check_config(config);
    if (status != BINNET_OK) return status;
    if (!n_bytes) return BINNET_ERR_ARGUMENT;
    binnet_net measured;
    const size_t n = start_net(&measured, config, NULL);
    if (n >= BINNET_TOO_MUCH) return BINNET_ERR_LIMIT;
    *n_bytes = n;
    return BINNET_OK;
}

/* Square root rounded to nearest: v less odd numbers, whose sums are squares. */
static uint32_t root(uint32_t v) {
    uint32_t r = 0;
    for (; v > r + r; ++r) v -= r + r + 1;
    return v > r ? r + 1 : r;
}

/* The output scale of each class, from its share of the rows (docs/algorithm.md, section 2). */
static void set_targets(binnet_net *net, const uint32_t *counts, uint32_t n_rows) {
    const uint32_t n_classes = binnet_output_layer(net)->units;
    uint64_t total = n_rows;
    for (uint32_t k = 0; !n_rows && k < n_classes; ++k) total += counts ? counts[k] : 1u;
    uint32_t halvings = 0;
    for (; total > 0xffff; total >>= 1) ++halvings;
    const uint32_t n = total ? (uint32_t)total : 1;
    for (uint32_t k = 0; k < n_classes; ++k) {
        const uint32_t count = counts ? counts[k] : 1u, c = halvings < 32 ? count >> halvings : 0;
        const uint64_t v = (uint64_t)(c * (n - c)) << 10; /* p (1 - p) = v / n² / 2^10 */
        uint64_t eight = v << 3;
        BINNET_KEEP(eight);
        const uint32_t target =
            root((uint32_t)binnet_quotient(eight + v, n * n)); /* 9216 = 9 · 2^10 */
        net->targets[k] = (uint8_t)(target < 2 ? 2 : target);
    }
    binnet_output_layer(net)->target = net->targets;
}

binnet_status binnet_net_init(binnet_net **net, void *arena, size_t n_bytes,
                              const binnet_config *config) {
    size_t needed;
    const binnet_status status = binnet_net_size(config, &needed);
    if (status != BINNET_OK) return status;
    if (!net || !arena) return BINNET_ERR_ARGUMENT;
    if ((uintptr_t)arena % BINNET_ALIGNMENT != 0) return BINNET_ERR_ALIGNMENT;
    if (n_bytes < needed) return BINNET_ERR_BUFFER_SIZE;
    binnet_net *n = arena;
    memset(arena, 0, needed);
    start_net(n, config, arena);
    set_targets(n, config->class_counts, config->n_rows);
    for (uint32_t i = 0; i < n->n_layers; ++i) binnet_init_layer(n, &n->layers[i]);
    *net = n;
    return BINNET_OK;
}

/* ---- Passes -------------------------------------------------------------------------------- */

static void get_input(const binnet_net *net, uint32_t i, const uint8_t *x, uint32_t n_rows,
                      binnet_input *input) {
    const binnet_layer_state *layer = &net->layers[i];
    memset(input, 0, sizeof *input);
    input->n_rows = n_rows;
    input->n_columns = layer->fan_in;
#if BINNET_CONVOLUTIONS
    if (layer->image) {
        input->n_rows = n_rows * layer->image->height * layer->image->width;
        input->n_columns = layer->image->channels;
    }
#endif
    input->stride = input->n_columns;
    if (i == 0) {
        input->data = x;
        input->mask = 255;
        input->n_digits = 8;
        return;
    }
    const binnet_layer_state *before = &net->layers[i - 1];
    input->signs.low = before->low_signs;
    input->signs.high = before->high_signs;
    input->signs.stride = before->signs_stride;
#if BINNET_CONVOLUTIONS
    if (before->image && !layer->image)
        input->signs = (binnet_signs){net->workplace->flat[0], net->workplace->flat[1],
                                      net->workplace->flat_stride};
#endif
    if (!before->low_signs) input->data = before->activation;
    input->mask = 31;
    input->n_digits = 7;
}

static void forward(binnet_net *net, const uint8_t *x, uint32_t n_rows, int calibrate) {
    binnet_input input;
    for (uint32_t i = 0; i < net->n_layers; ++i) {
        get_input(net, i, x, n_rows, &input);
        binnet_layer_forward(net, &net->layers[i], &input, n_rows, calibrate);
    }
}

static int sound_step(const binnet_net *net, const uint8_t *x, const void *wanted, uint32_t n_rows,
                      uint32_t rate_exponent) {
    return net && x && wanted && n_rows - 1 < net->batch_size &&
           rate_exponent <= BINNET_MAX_RATE_EXPONENT;
}

/* One step of checked arguments; the loss. */
static uint64_t train(binnet_net *net, const uint8_t *x, const void *wanted, uint32_t n_rows,
                      uint32_t rate_exponent, binnet_loss *loss) {
    net->error_unit = 0;
    forward(net, x, n_rows, 0);
    const uint64_t sum = loss(net, wanted, n_rows);
    for (uint32_t i = net->n_layers; i-- > 0;) {
        binnet_input input;
        get_input(net, i, x, n_rows, &input);
        binnet_layer_backward(net, &net->layers[i], &input, n_rows, rate_exponent);
    }
    ++net->step;
    net->n_calibrations = 0; /* what is normed took the place of the calibration sums */
    return sum;
}

binnet_status binnet_net_train_step(binnet_net *net, const uint8_t *x, const uint16_t *labels,
                                    uint32_t n_rows, uint32_t rate_exponent, uint64_t *loss) {
    if (!sound_step(net, x, labels, n_rows, rate_exponent)) return BINNET_ERR_ARGUMENT;
    for (uint32_t b = 0; b < n_rows; ++b)
        if (labels[b] >= binnet_output_layer(net)->units) return BINNET_ERR_LABEL;
    const uint64_t sum = train(net, x, labels, n_rows, rate_exponent, binnet_loss_of_labels);
    if (loss) *loss = sum;
    return BINNET_OK;
}

binnet_status binnet_net_train_step_targets(binnet_net *net, const uint8_t *x,
                                            const int8_t *targets, uint32_t n_rows,
                                            uint32_t rate_exponent, uint64_t *loss) {
    if (!sound_step(net, x, targets, n_rows, rate_exponent)) return BINNET_ERR_ARGUMENT;
    const size_t n = (size_t)n_rows * binnet_output_layer(net)->units;
    for (size_t i = 0; i < n; ++i)
        if (binnet_abs(targets[i]) > 32) return BINNET_ERR_LABEL;
    const uint64_t sum = train(net, x, targets, n_rows, rate_exponent, binnet_loss_of_targets);
    if (loss) *loss = sum;
    return BINNET_OK;
}

uint32_t binnet_net_step(const binnet_net *net) { return net->step; }

uint32_t binnet_rate_exponent(uint32_t first, uint32_t last, uint32_t step, uint32_t n_steps) {
    uint64_t steps = 0; /* (last - first + 1) · step, by shift and add */
    if (step >= n_steps) return last;
    uint64_t part = step;
    for (uint32_t n = last - first + 1; n > 0; n >>= 1, part += part)
        if (n & 1u) steps += part;
    return first + (uint32_t)binnet_quotient(steps, n_steps);
}

binnet_status binnet_net_calibrate(binnet_net *net, const uint8_t *x, uint32_t n_rows) {
    if (!net || !x || n_rows < 2 || n_rows > net->batch_size || net->n_calibrations == 65535)
        return BINNET_ERR_ARGUMENT;
    if (net->n_calibrations == 0) {
        int64_t *sums = net->calibration;
        for (uint32_t i = 0; i < net->n_layers; ++i) {
            binnet_layer_state *layer = &net->layers[i];
            memset(sums, 0, 2 * sizeof *sums * layer->units);
            layer->mean_sum = sums;
            layer->spread_sum = sums + layer->units;
            sums += 2 * (size_t)layer->units;
        }
    }
    forward(net, x, n_rows, 1);
    ++net->n_calibrations;
    return BINNET_OK;
}
