/* The deployed network: written from a calibrated net, opened and run in place (FORMAT.md).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static const char magic[] = "BINNETMD";

enum { FIXED = 32, LAYER_RECORD = 8, UNIT_RECORD = 8, SIGN_RECORD = 4 };

/* ---- Layers in the file --------------------------------------------------------------------- */

/* A layer: where its parts begin, counted from the file's first byte. */
typedef struct view {
    uint32_t index, fan_in, units;
    int from_signs, to_signs; /* activations before and after */
    uint64_t records, low, high, end;
    size_t row_bytes; /* of the planes */
} view;

static uint64_t padded(uint64_t n, uint64_t to) { return (n + to - 1) & ~(to - 1); }

static uint64_t record_bytes(const view *v) { return v->to_signs ? SIGN_RECORD : UNIT_RECORD; }

/* The layer after `last`, which is only asked for its end, its units and what it makes. */
static view view_after(const view *last, const binnet_method *method, uint32_t n_layers,
                       uint32_t units) {
    view v;
    v.index = last->index + 1;
    v.fan_in = last->units;
    v.units = units;
    v.from_signs = last->to_signs;
    v.to_signs = method->activation == BINNET_SIGN && v.index + 1 < n_layers;
    v.records = last->end;
    v.low = v.records + units * record_bytes(&v);
    if (v.from_signs) v.low = padded(v.low, 8);
    v.row_bytes = v.from_signs ? binnet_bits_row_words(v.fan_in) * 8 : (v.fan_in + 7) / 8;
    v.high = v.low + units * (uint64_t)v.row_bytes;
    v.end = v.high;
    if (method->weights == BINNET_TERNARY) v.end += units * (uint64_t)v.row_bytes;
    v.end = padded(v.end, 4);
    return v;
}

/* What stands before the first layer. */
static view start_view(uint32_t n_features, uint32_t n_layers) {
    view v;
    memset(&v, 0, sizeof v);
    v.index = UINT32_MAX;
    v.units = n_features;
    v.end = FIXED + n_layers * (uint64_t)LAYER_RECORD;
    return v;
}

/* ---- Writing ------------------------------------------------------------------------------- */

static view next_of_net(const binnet_net *net, const view *last) {
    return view_after(last, &net->method, net->n_layers, net->layers[last->index + 1].units);
}

size_t binnet_model_size(const binnet_net *net) {
    view v = start_view(net->n_features, net->n_layers);
    for (uint32_t i = 0; i < net->n_layers; ++i) v = next_of_net(net, &v);
    return (size_t)v.end + 4; /* smaller than the net, so it fits a size_t */
}

typedef struct unit {
    int32_t mean;
    int16_t bias;
    binnet_scale scale;
} unit;

/* Statistics of the calibration. */
static unit measured(const binnet_net *net, const binnet_layer_state *layer, uint32_t m) {
    const uint32_t s16 = (uint32_t)binnet_divide(layer->spread_sum[m], net->n_calibrations);
    unit u;
    u.mean = (int32_t)binnet_divide(layer->mean_sum[m], net->n_calibrations);
    u.bias = layer->bias[m];
    u.scale = binnet_two_power(layer->target ? layer->target[m] : 32u, s16);
    return u;
}

static int is_positive(const unit *u, int32_t z) {
    int32_t v = binnet_scaled(z - u->mean, u->scale.term);
    if (u->scale.shift < 0) v = binnet_clamp(v, -127, 127);
    v = binnet_clamp(binnet_shift(v, u->scale.shift), -127, 127);
    return v + binnet_bias(u->bias) >= 0;
}

/* The first sum, of those that there can be, whose sign is +1; else one more than all. */
static int32_t threshold(const unit *u, uint32_t fan_in) {
    const int32_t most = (int32_t)fan_in * 255;
    int32_t low = -most, high = most + 1;
    while (low < high) {
        const int32_t middle = binnet_floor_shift(low + high, 1);
        if (is_positive(u, middle))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void write_records(const binnet_net *net, const view *v, uint8_t *p) {
    const binnet_layer_state *layer = &net->layers[v->index];
    for (uint32_t m = 0; m < v->units; ++m) {
        const unit u = measured(net, layer, m);
        if (v->to_signs) {
            p = binnet_put32(p, (uint32_t)threshold(&u, v->fan_in));
            continue;
        }
        p = binnet_put32(p, (uint32_t)u.mean);
        p = binnet_put16(p, u.bias);
        *p++ = (uint8_t)u.scale.shift;
        *p++ = (uint8_t)u.scale.term;
    }
}

binnet_status binnet_model_write(const binnet_net *net, void *bytes, size_t n_bytes) {
    if (!net || !bytes) return BINNET_ERR_ARGUMENT;
    if (net->n_calibrations == 0) return BINNET_ERR_STATE;
    const size_t size = binnet_model_size(net);
    if (n_bytes < size) return BINNET_ERR_BUFFER_SIZE;
    const binnet_method kept = {.weights = net->method.weights,
                                .activation = net->method.activation};
    uint8_t *const start = bytes;
    uint8_t *p = binnet_put_header(start, magic, binnet_put_method(&kept), size);
    p = binnet_put32(p, net->n_features);
    p = binnet_put32(p, net->n_layers);
    for (uint32_t i = 0; i < net->n_layers; ++i) {
        p = binnet_put32(p, net->layers[i].kind);
        p = binnet_put32(p, net->layers[i].units);
    }
    memset(p, 0, size - (size_t)(p - start));
    view v = start_view(net->n_features, net->n_layers);
    for (uint32_t i = 0; i < net->n_layers; ++i) {
        const binnet_layer_state *layer = &net->layers[i];
        v = next_of_net(net, &v);
        write_records(net, &v, start + v.records);
        for (uint32_t m = 0; m < v.units; ++m) {
            const size_t row = m * layer->bits_stride;
            memcpy(start + v.low + m * v.row_bytes, layer->low + row, v.row_bytes);
            if (layer->high)
                memcpy(start + v.high + m * v.row_bytes, layer->high + row, v.row_bytes);
        }
    }
    binnet_put32(start + v.end, binnet_crc32(start, size - 4));
    return BINNET_OK;
}

/* ---- Opening ------------------------------------------------------------------------------- */

/* The layer after `last` in an opened model, or one that is being opened. */
static view next_layer(const binnet_model *model, const view *last) {
    const binnet_method method = {.weights = model->weights, .activation = model->activation};
    const uint8_t *record = model->bytes + FIXED + (last->index + 1) * (size_t)LAYER_RECORD;
    return view_after(last, &method, model->n_layers, binnet_get32(record + 4));
}

static view before_layers(const binnet_model *model) {
    return start_view(model->n_features, model->n_layers);
}

static int8_t get8(const uint8_t *p) { return (int8_t)(*p < 128 ? *p : *p - 256); }

static int32_t get_signed(const uint8_t *p) {
    const uint32_t v = binnet_get32(p);
    return v < 0x80000000u ? (int32_t)v : -(int32_t)(~v) - 1;
}

static unit get_unit(const binnet_model *model, const view *layer, uint32_t m) {
    const uint8_t *p = model->bytes + layer->records + m * (size_t)UNIT_RECORD;
    unit u;
    u.mean = get_signed(p);
    u.bias = binnet_get16(p + 4);
    u.scale.shift = get8(p + 6);
    u.scale.term = get8(p + 7);
    return u;
}

/* Whether the counts in the header are allowed and add up to the file's size. */
static int sound_shape(const binnet_model *model) {
    if (model->n_features < 1 || model->n_features > BINNET_MAX_FEATURES || model->n_layers < 1 ||
        model->n_layers > BINNET_MAX_LAYERS)
        return 0;
    view v = before_layers(model);
    if (model->n_bytes < v.end + 4) return 0;
    for (uint32_t i = 0; i < model->n_layers; ++i) {
        const uint8_t *record = model->bytes + FIXED + i * (size_t)LAYER_RECORD;
        const uint32_t units = binnet_get32(record + 4);
        if (binnet_get32(record) != BINNET_DENSE || units < 1 || units > BINNET_MAX_UNITS) return 0;
        v = next_layer(model, &v);
    }
    return v.end + 4 == model->n_bytes && v.units >= 2;
}

static int sound_unit(const binnet_model *model, const view *v, uint32_t m) {
    const int32_t limit = 255 * (int32_t)v->fan_in;
    if (v->to_signs) {
        const int32_t t = get_signed(model->bytes + v->records + m * (size_t)SIGN_RECORD);
        return t >= -limit && t <= limit + 1;
    }
    const unit u = get_unit(model, v, m);
    const int32_t term = u.scale.term;
    return u.mean >= -limit && u.mean <= limit && u.bias >= -24576 && u.bias <= 24576 &&
           u.scale.shift >= -8 && u.scale.shift <= 30 && term <= 5 && term >= -5 && term != -1 &&
           term != -2;
}

/* Whether no bit stands beyond a row's end. */
static int sound_row(const view *v, const uint8_t *row) {
    const uint32_t used = v->fan_in & 7, n = (v->fan_in + 7) / 8;
    return !(used && row[n - 1] >> used) && binnet_all_zero(row + n, row + v->row_bytes);
}

static int sound_layer(const binnet_model *model, const view *v) {
    const uint8_t *const bytes = model->bytes;
    const int ternary = model->weights == BINNET_TERNARY;
    for (uint32_t m = 0; m < v->units; ++m) {
        const uint8_t *low = bytes + v->low + m * v->row_bytes;
        if (!sound_unit(model, v, m) || !sound_row(v, low)) return 0;
        if (!ternary) continue;
        const uint8_t *high = bytes + v->high + m * v->row_bytes;
        if (!sound_row(v, high)) return 0;
        for (size_t i = 0; i < v->row_bytes; ++i)
            if (low[i] & ~high[i]) return 0;
    }
    const uint64_t rows = v->units * (uint64_t)v->row_bytes;
    return binnet_all_zero(bytes + v->records + v->units * record_bytes(v), bytes + v->low) &&
           binnet_all_zero(bytes + v->high + (ternary ? rows : 0), bytes + v->end);
}

binnet_status binnet_model_open(binnet_model *model, const void *bytes, size_t n_bytes,
                                const binnet_kernels *kernels) {
    if (!model || !bytes) return BINNET_ERR_ARGUMENT;
    const binnet_status status = binnet_check_file(bytes, n_bytes, magic);
    if (status != BINNET_OK) return status;
    if (n_bytes < FIXED + 4) return BINNET_ERR_CORRUPT;
    binnet_model opened = {.bytes = bytes, .n_bytes = n_bytes, .kernels = kernels};
    binnet_method method;
    if (!binnet_get_method(&method, binnet_get32(opened.bytes + 12)) || method.binarization ||
        method.solver || method.gradient || method.dropout || method.input_dropout)
        return BINNET_ERR_CORRUPT;
    opened.weights = method.weights;
    opened.activation = method.activation;
    opened.n_features = binnet_get32(opened.bytes + 24);
    opened.n_layers = binnet_get32(opened.bytes + 28);
    if (!sound_shape(&opened) || (method.activation == BINNET_SIGN && opened.n_layers < 2))
        return BINNET_ERR_CORRUPT;
    view layer = before_layers(&opened);
    for (uint32_t i = 0; i < opened.n_layers; ++i) {
        if (i > 0 && layer.units > opened.max_hidden) opened.max_hidden = layer.units;
        layer = next_layer(&opened, &layer);
        if (!sound_layer(&opened, &layer)) return BINNET_ERR_CORRUPT;
    }
    opened.n_classes = layer.units;
    if (!kernels) opened.kernels = binnet_kernels_best();
    *model = opened;
    return BINNET_OK;
}

/* ---- Scratch ------------------------------------------------------------------------------- */

/* Offsets in the scratch, which begins with sums. */
typedef struct regions {
    uint64_t panels, tables, scores, activations[2], end;
} regions;

static uint64_t max64(uint64_t a, uint64_t b) { return a > b ? a : b; }

static int has_signs(const binnet_model *model) { return model->activation == BINNET_SIGN; }

/* Bytes of a row of hidden activations. */
static size_t activation_bytes(const binnet_model *model, uint32_t units) {
    return has_signs(model) ? binnet_bits_row_words(units) * 8 : units;
}

/* The most packed bits of a product of values. */
static uint64_t most_panels(const binnet_model *model, uint32_t n_rows) {
    uint64_t most = 0;
    view v = before_layers(model);
    for (uint32_t i = 0; i < (has_signs(model) ? 1 : model->n_layers); ++i) {
        v = next_layer(model, &v);
        most = max64(most, binnet_gemm_panels(model->kernels, n_rows, v.units, v.fan_in));
    }
    return model->weights == BINNET_TERNARY ? most + most : most;
}

static regions divide_scratch(const binnet_model *model, uint64_t n_rows) {
    const binnet_kernels *k = model->kernels;
    const uint32_t rows = (uint32_t)n_rows;
    const uint64_t hidden =
        padded(n_rows * activation_bytes(model, model->max_hidden), k->alignment);
    uint64_t columns = model->n_classes, tables = binnet_gemm_scratch(k, 0);
    if (has_signs(model)) { /* hidden sums are consumed in blocks */
        tables = max64(binnet_gemm_scratch(k, model->max_hidden),
                       max64(binnet_xnor_gemm_scratch(k, rows, model->max_hidden), tables));
    } else {
        columns = max64(columns, model->max_hidden);
    }
    regions r;
    r.panels = padded(n_rows * binnet_padded(k, columns) * sizeof(int32_t), k->alignment);
    r.tables = r.panels + padded(most_panels(model, rows), k->alignment);
    r.scores = r.tables + tables;
    r.activations[0] = padded(r.scores + n_rows * model->n_classes * sizeof(int32_t), k->alignment);
    r.activations[1] = r.activations[0] + hidden;
    r.end = r.activations[1] + (model->n_layers > 2 ? hidden : 0);
    return r;
}

size_t binnet_model_scratch_size(const binnet_model *model, uint32_t n_rows) {
    const uint64_t n = divide_scratch(model, n_rows).end;
    return n > SIZE_MAX ? SIZE_MAX : (size_t)n;
}

/* ---- Prediction ---------------------------------------------------------------------------- */

/* The score in 1/256 of the activation unit. */
static int32_t score(int32_t centred, const unit *u) {
    const int32_t k = u->scale.shift - 8;
    int32_t v = binnet_scaled(centred, u->scale.term);
    if (k < 0) v = binnet_clamp(v, -(int32_t)(1u << (30 + k)), (int32_t)(1u << (30 + k)));
    return binnet_shift(v, k) + u->bias;
}

/* Sums of a hidden ReLU layer to activations [n_rows][units]. */
static void activate(const binnet_model *model, const view *layer, const int32_t *sums,
                     uint32_t n_rows, uint8_t *activation) {
    const binnet_kernels *kernels = model->kernels;
    for (uint32_t first = 0; first < layer->units; first += BINNET_UNIT_BLOCK) {
        const uint32_t rest = layer->units - first;
        const uint32_t n = rest < BINNET_UNIT_BLOCK ? rest : BINNET_UNIT_BLOCK;
        int32_t mean[BINNET_UNIT_BLOCK], bias[BINNET_UNIT_BLOCK];
        binnet_scale scale[BINNET_UNIT_BLOCK];
        const binnet_norm_job job = {.z = binnet_sums_at(kernels, sums, n_rows, first),
                                     .z_stride = kernels->panel_columns,
                                     .n_rows = n_rows,
                                     .mean = mean,
                                     .bias = bias,
                                     .scale = scale,
                                     .activation = activation + first,
                                     .stride = layer->units};
        for (uint32_t u = 0; u < n; ++u) {
            const unit here = get_unit(model, layer, first + u);
            mean[u] = here.mean;
            bias[u] = binnet_bias(here.bias);
            scale[u] = here.scale;
        }
        kernels->normalise(&job, n);
    }
}

/* Where the signs of a hidden layer go. */
typedef struct sign_job {
    const binnet_model *model;
    const view *layer;
    uint8_t *bits; /* [n_rows][stride] */
    size_t stride;
    uint32_t n_rows;
} sign_job;

/* Sums of up to 64 columns, from a multiple of 8 on, to signs. */
static void sign_block(const sign_job *j, const int32_t *sums, size_t row_step, uint32_t first_row,
                       uint32_t n_rows, uint32_t first, uint32_t n) {
    const binnet_kernels *kernels = j->model->kernels;
    const uint8_t *record = j->model->bytes + j->layer->records + first * (size_t)SIGN_RECORD;
    int32_t thresholds[BINNET_XNOR_COLUMNS];
    uint8_t reached[BINNET_XNOR_COLUMNS];
    for (uint32_t u = 0; u < n; ++u, record += SIGN_RECORD) thresholds[u] = get_signed(record);
    for (uint32_t b = 0; b < n_rows; ++b) {
        kernels->reach(reached, sums + b * row_step, thresholds, n);
        kernels->draw_bits(j->bits + (first_row + b) * j->stride + (first >> 3), reached, reached,
                           n, 0); /* 0 < reached */
    }
}

static void sign_columns(void *context, const int32_t *sums, uint32_t first, uint32_t n) {
    const sign_job *j = context;
    sign_block(j, sums, BINNET_XNOR_COLUMNS, 0, j->n_rows, first, n);
}

static void sign_rows(void *context, const binnet_result *r) {
    const sign_job *j = context;
    for (uint32_t c = 0; c < j->layer->units; c += BINNET_XNOR_COLUMNS) {
        const uint32_t rest = j->layer->units - c;
        sign_block(j, r->sums + c, r->stride, r->first_row, r->n_rows, c,
                   rest < BINNET_XNOR_COLUMNS ? rest : BINNET_XNOR_COLUMNS);
    }
}

/* Sums of the last layer to scores [n_rows][units]. */
static void make_scores(const binnet_model *model, const view *layer, const int32_t *sums,
                        uint32_t n_rows, int32_t *scores) {
    const binnet_kernels *kernels = model->kernels;
    for (uint32_t m = 0; m < layer->units; ++m) {
        const unit u = get_unit(model, layer, m);
        const int32_t *z = binnet_sums_at(kernels, sums, n_rows, m);
        for (uint32_t b = 0; b < n_rows; ++b)
            scores[(size_t)b * layer->units + m] =
                score(z[(size_t)b * kernels->panel_columns] - u.mean, &u);
    }
}

static uint16_t best_class(const int32_t *scores, uint32_t n_classes) {
    uint32_t best = 0;
    for (uint32_t k = 1; k < n_classes; ++k)
        if (scores[k] > scores[best]) best = k;
    return (uint16_t)best;
}

/* A product of values: features, or ReLU activations. */
static void multiply_values(const binnet_model *model, const view *v, binnet_gemm *gemm) {
    gemm->signs = 1;
    gemm->selector = (binnet_selector){model->bytes + v->low, v->row_bytes, 1};
    gemm->high = model->weights == BINNET_TERNARY ? model->bytes + v->high : NULL;
    gemm->n_digits = 1;
    gemm->n_columns = v->units;
    gemm->depth = v->fan_in;
    gemm->epilogue = sign_rows;
    binnet_gemm_run(gemm);
}

static void multiply_signs(const binnet_model *model, const view *v, const binnet_gemm *like,
                           binnet_signs input) {
    const uint8_t *high = model->weights == BINNET_TERNARY ? model->bytes + v->high : NULL;
    const binnet_xnor_gemm gemm = {.kernels = model->kernels,
                                   .a = input,
                                   .w = {model->bytes + v->low, high, v->row_bytes},
                                   .n_rows = like->n_rows,
                                   .n_columns = v->units,
                                   .n_bits = v->fan_in,
                                   .sums = like->sums,
                                   .epilogue = sign_columns,
                                   .context = like->context,
                                   .scratch = like->scratch,
                                   .scratch_bytes = like->scratch_bytes};
    binnet_xnor_gemm_run(&gemm);
}

/* Rows to scores, through all layers. */
static void run(const binnet_model *model, const uint8_t *x, uint32_t n_rows, int32_t *scores,
                uint8_t *scratch, const regions *r) {
    int32_t *sums = (int32_t *)(void *)scratch;
    view v = before_layers(model);
    sign_job job = {.model = model, .layer = &v, .n_rows = n_rows};
    binnet_gemm gemm = {.kernels = model->kernels,
                        .values = x,
                        .stride = model->n_features,
                        .n_rows = n_rows,
                        .context = &job,
                        .panels = scratch + r->panels,
                        .scratch = scratch + r->tables,
                        .scratch_bytes = (size_t)(r->scores - r->tables)};
    for (uint32_t i = 0; i < model->n_layers; ++i) {
        uint8_t *activation = scratch + r->activations[i & 1];
        const binnet_signs input = {job.bits, NULL, job.stride};
        v = next_layer(model, &v);
        gemm.sums = v.to_signs ? NULL : sums;
        if (v.to_signs) {
            job.bits = activation;
            job.stride = activation_bytes(model, v.units);
            memset(activation, 0, n_rows * job.stride);
        }
        if (v.from_signs)
            multiply_signs(model, &v, &gemm, input);
        else
            multiply_values(model, &v, &gemm);
        if (i + 1 == model->n_layers || v.to_signs) continue;
        activate(model, &v, sums, n_rows, activation);
        gemm.values = activation;
        gemm.stride = v.units;
    }
    make_scores(model, &v, sums, n_rows, scores);
}

/* The most rows at a time that fit the scratch, 0 if none do. */
static uint32_t rows_at_once(const binnet_model *model, size_t scratch_bytes, size_t n_rows) {
    uint64_t low = 0, high = n_rows < BINNET_MAX_BATCH ? n_rows : BINNET_MAX_BATCH;
    while (low < high) {
        const uint64_t middle = (low + high + 1) / 2;
        if (divide_scratch(model, middle).end <= scratch_bytes)
            low = middle;
        else
            high = middle - 1;
    }
    return (uint32_t)low;
}

binnet_status binnet_model_predict(const binnet_model *model, const uint8_t *x, size_t n_rows,
                                   int32_t *scores, uint16_t *classes, void *scratch,
                                   size_t scratch_bytes) {
    if (!model || !scratch || (n_rows && !x)) return BINNET_ERR_ARGUMENT;
    if ((uintptr_t)scratch % BINNET_ALIGNMENT != 0) return BINNET_ERR_ALIGNMENT;
    if (n_rows == 0) return BINNET_OK;
    const uint32_t at_once = rows_at_once(model, scratch_bytes, n_rows);
    if (at_once == 0) return BINNET_ERR_BUFFER_SIZE;
    const regions r = divide_scratch(model, at_once);
    for (size_t first = 0; first < n_rows; first += at_once) {
        const size_t rest = n_rows - first;
        const uint32_t n = rest < at_once ? (uint32_t)rest : at_once;
        int32_t *out = scores ? scores + first * model->n_classes
                              : (int32_t *)(void *)((uint8_t *)scratch + r.scores);
        run(model, x + first * model->n_features, n, out, scratch, &r);
        for (uint32_t b = 0; classes && b < n; ++b)
            classes[first + b] = best_class(out + (size_t)b * model->n_classes, model->n_classes);
    }
    return BINNET_OK;
}

binnet_status binnet_model_evaluate(const binnet_model *model, const uint8_t *x,
                                    const uint16_t *labels, size_t n_rows, size_t *n_errors,
                                    void *scratch, size_t scratch_bytes) {
    if (!model || !n_errors || (n_rows && (!x || !labels))) return BINNET_ERR_ARGUMENT;
    for (size_t b = 0; b < n_rows; ++b)
        if (labels[b] >= model->n_classes) return BINNET_ERR_LABEL;
    size_t errors = 0;
    uint16_t classes[64];
    for (size_t first = 0; first < n_rows; first += 64) {
        const size_t n = n_rows - first < 64 ? n_rows - first : 64;
        const binnet_status status = binnet_model_predict(model, x + first * model->n_features, n,
                                                          NULL, classes, scratch, scratch_bytes);
        if (status != BINNET_OK) return status;
        for (size_t b = 0; b < n; ++b) errors += classes[b] != labels[first + b];
    }
    *n_errors = errors;
    return BINNET_OK;
}
