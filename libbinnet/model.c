/* The deployed network: written from a calibrated net, opened and run in place (FORMAT.md).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static const char magic[] = "BINNETMD";

enum { FIXED = 32, LAYER_RECORD = 8, UNIT_RECORD = 8 };

static uint32_t row_bytes(uint32_t fan_in) { return (fan_in + 7) / 8; }

static uint64_t layer_bytes(uint32_t fan_in, uint32_t units) {
    const uint64_t n = (uint64_t)units * (UNIT_RECORD + row_bytes(fan_in));
    return (n + 3) & ~(uint64_t)3;
}

/* ---- Writing ------------------------------------------------------------------------------- */

size_t binnet_model_size(const binnet_net *net) {
    uint64_t n = FIXED + net->n_layers * (uint64_t)LAYER_RECORD;
    for (uint32_t i = 0; i < net->n_layers; ++i)
        n += layer_bytes(net->layers[i].fan_in, net->layers[i].units);
    return (size_t)n + 4; /* smaller than the net, so it fits a size_t */
}

binnet_status binnet_model_write(const binnet_net *net, void *bytes, size_t n_bytes) {
    if (!net || !bytes) return BINNET_ERR_ARGUMENT;
    if (net->n_calibrations == 0) return BINNET_ERR_STATE;
    const size_t size = binnet_model_size(net);
    if (n_bytes < size) return BINNET_ERR_BUFFER_SIZE;
    uint8_t *const start = bytes;
    uint8_t *p = binnet_put_header(start, magic, size);
    p = binnet_put32(p, net->n_features);
    p = binnet_put32(p, net->n_layers);
    for (uint32_t i = 0; i < net->n_layers; ++i) {
        p = binnet_put32(p, net->layers[i].kind);
        p = binnet_put32(p, net->layers[i].units);
    }
    for (uint32_t i = 0; i < net->n_layers; ++i) {
        const binnet_layer_state *layer = &net->layers[i];
        const size_t n = row_bytes(layer->fan_in);
        uint8_t *const end = p + layer_bytes(layer->fan_in, layer->units);
        for (uint32_t m = 0; m < layer->units; ++m) {
            const int64_t mean = binnet_divide(layer->mean_sum[m], net->n_calibrations);
            const int64_t s16 = binnet_divide(layer->spread_sum[m], net->n_calibrations);
            const binnet_scale scale =
                binnet_two_power(layer->target ? layer->target[m] : 32u, (uint32_t)s16);
            p = binnet_put32(p, (uint32_t)(int32_t)mean);
            p = binnet_put16(p, layer->bias[m]);
            *p++ = (uint8_t)scale.shift;
            *p++ = (uint8_t)scale.term;
        }
        for (uint32_t m = 0; m < layer->units; ++m, p += n)
            memcpy(p, layer->bits + m * layer->bits_stride, n);
        memset(p, 0, (size_t)(end - p));
        p = end;
    }
    binnet_put32(p, binnet_crc32(start, size - 4));
    return BINNET_OK;
}

/* ---- Opening ------------------------------------------------------------------------------- */

/* A layer of an opened model. */
typedef struct view {
    uint32_t index, fan_in, units;
    const uint8_t *records; /* [units][UNIT_RECORD] */
    const uint8_t *bits;    /* [units][row_bytes(fan_in)] */
} view;

static view first_layer(const uint8_t *bytes) {
    view v;
    v.index = 0;
    v.fan_in = binnet_get32(bytes + 24);
    v.units = binnet_get32(bytes + FIXED + 4);
    v.records = bytes + FIXED + binnet_get32(bytes + 28) * (size_t)LAYER_RECORD;
    v.bits = v.records + v.units * (size_t)UNIT_RECORD;
    return v;
}

static view next_layer(const uint8_t *bytes, const view *last) {
    view v;
    v.index = last->index + 1;
    v.fan_in = last->units;
    v.units = binnet_get32(bytes + FIXED + v.index * (size_t)LAYER_RECORD + 4);
    v.records = last->records + layer_bytes(last->fan_in, last->units);
    v.bits = v.records + v.units * (size_t)UNIT_RECORD;
    return v;
}

typedef struct unit {
    int32_t mean;
    int16_t bias;
    binnet_scale scale;
} unit;

static int8_t get8(const uint8_t *p) { return (int8_t)(*p < 128 ? *p : *p - 256); }

static unit get_unit(const view *layer, uint32_t m) {
    const uint8_t *p = layer->records + m * (size_t)UNIT_RECORD;
    const uint32_t mean = binnet_get32(p);
    unit u;
    u.mean = mean < 0x80000000u ? (int32_t)mean : -(int32_t)(~mean) - 1;
    u.bias = binnet_get16(p + 4);
    u.scale.shift = get8(p + 6);
    u.scale.term = get8(p + 7);
    return u;
}

/* Whether the counts in the header are allowed and add up to the file's size. */
static int sound_shape(const uint8_t *bytes, size_t n_bytes) {
    uint32_t fan_in = binnet_get32(bytes + 24);
    const uint32_t n_layers = binnet_get32(bytes + 28);
    if (fan_in < 1 || fan_in > BINNET_MAX_FEATURES || n_layers < 1 || n_layers > BINNET_MAX_LAYERS)
        return 0;
    uint64_t size = FIXED + n_layers * (uint64_t)LAYER_RECORD + 4;
    if (n_bytes < size) return 0;
    for (uint32_t i = 0; i < n_layers; ++i) {
        const uint8_t *record = bytes + FIXED + i * (size_t)LAYER_RECORD;
        const uint32_t units = binnet_get32(record + 4);
        if (binnet_get32(record) != BINNET_DENSE || units < 1 || units > BINNET_MAX_UNITS) return 0;
        size += layer_bytes(fan_in, units);
        fan_in = units;
    }
    return size == n_bytes && fan_in >= 2;
}

static int sound_layer(const view *layer) {
    const int32_t limit = 255 * (int32_t)layer->fan_in;
    for (uint32_t m = 0; m < layer->units; ++m) {
        const unit u = get_unit(layer, m);
        const int32_t term = u.scale.term;
        if (u.mean < -limit || u.mean > limit || u.bias < -24576 || u.bias > 24576) return 0;
        if (u.scale.shift < -8 || u.scale.shift > 30) return 0;
        if (term > 5 || term < -5 || term == -1 || term == -2) return 0;
    }
    const uint32_t n = row_bytes(layer->fan_in);
    const uint32_t used = layer->fan_in & 7;
    const uint8_t *p = layer->bits;
    for (uint32_t m = 0; m < layer->units; ++m, p += n)
        if (used && p[n - 1] >> used) return 0;
    const uint8_t *const end = layer->records + layer_bytes(layer->fan_in, layer->units);
    while (p < end)
        if (*p++) return 0;
    return 1;
}

binnet_status binnet_model_open(binnet_model *model, const void *bytes, size_t n_bytes,
                                const binnet_kernels *kernels) {
    if (!model || !bytes) return BINNET_ERR_ARGUMENT;
    const binnet_status status = binnet_check_file(bytes, n_bytes, magic);
    if (status != BINNET_OK) return status;
    if (n_bytes < FIXED + 4 || !sound_shape(bytes, n_bytes)) return BINNET_ERR_CORRUPT;
    binnet_model opened = {bytes, n_bytes, 0, 0, 0, 0, kernels};
    opened.n_features = binnet_get32(opened.bytes + 24);
    opened.n_layers = binnet_get32(opened.bytes + 28);
    view layer = first_layer(bytes);
    for (;;) {
        if (!sound_layer(&layer)) return BINNET_ERR_CORRUPT;
        if (layer.index + 1 == opened.n_layers) break;
        if (layer.units > opened.max_hidden) opened.max_hidden = layer.units;
        layer = next_layer(bytes, &layer);
    }
    opened.n_classes = layer.units;
    if (!kernels) opened.kernels = binnet_kernels_best();
    *model = opened;
    return BINNET_OK;
}

/* ---- Predicting ---------------------------------------------------------------------------- */

/* Scratch: a product's sums, packed bits and tables, scores, and two activation buffers that take
 * turns. */
typedef struct regions {
    uint64_t panels, tables, scores, activations[2], end;
} regions;

/* Bytes of the packed bits of the layer that has most. */
static uint64_t most_panels(const binnet_model *model, uint32_t n_rows) {
    uint64_t most = 0;
    uint32_t fan_in = model->n_features;
    for (uint32_t i = 0; i < model->n_layers; ++i) {
        const uint32_t units = binnet_get32(model->bytes + FIXED + i * (size_t)LAYER_RECORD + 4);
        const uint64_t n = binnet_gemm_panels(model->kernels, n_rows, units, fan_in);
        if (n > most) most = n;
        fan_in = units;
    }
    return most;
}

static regions divide_scratch(const binnet_model *model, uint64_t n_rows) {
    const binnet_kernels *k = model->kernels;
    const uint64_t mask = k->alignment - 1;
    const uint64_t hidden = (n_rows * model->max_hidden + mask) & ~mask;
    const uint32_t widest =
        model->max_hidden > model->n_classes ? model->max_hidden : model->n_classes;
    regions r;
    r.panels = (n_rows * binnet_padded(k, widest) * sizeof(int32_t) + mask) & ~mask;
    r.tables = r.panels + ((most_panels(model, (uint32_t)n_rows) + mask) & ~mask);
    r.scores = r.tables + binnet_gemm_scratch(k, 0);
    r.activations[0] = (r.scores + n_rows * model->n_classes * sizeof(int32_t) + mask) & ~mask;
    r.activations[1] = r.activations[0] + hidden;
    r.end = r.activations[1] + (model->n_layers > 2 ? hidden : 0);
    return r;
}

size_t binnet_model_scratch_size(const binnet_model *model, uint32_t n_rows) {
    const uint64_t n = divide_scratch(model, n_rows).end;
    return n > SIZE_MAX ? SIZE_MAX : (size_t)n;
}

/* The score in 1/256 of the activation unit. */
static int32_t score(int32_t centred, const unit *u) {
    const int32_t k = u->scale.shift - 8;
    int32_t v = binnet_scaled(centred, u->scale.term);
    if (k < 0) v = binnet_clamp(v, -(int32_t)(1u << (30 + k)), (int32_t)(1u << (30 + k)));
    return binnet_shift(v, k) + u->bias;
}

/* Sums of a hidden layer to activations [n_rows][units]. */
static void activate(const binnet_kernels *kernels, const view *layer, const int32_t *sums,
                     uint32_t n_rows, uint8_t *activation) {
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
            const unit here = get_unit(layer, first + u);
            mean[u] = here.mean;
            bias[u] = binnet_bias(here.bias);
            scale[u] = here.scale;
        }
        kernels->normalise(&job, n);
    }
}

/* Sums of the last layer to scores [n_rows][units]. */
static void make_scores(const binnet_kernels *kernels, const view *layer, const int32_t *sums,
                        uint32_t n_rows, int32_t *scores) {
    for (uint32_t m = 0; m < layer->units; ++m) {
        const unit u = get_unit(layer, m);
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

/* Rows to scores, through all layers. */
static void run(const binnet_model *model, const uint8_t *x, uint32_t n_rows, int32_t *scores,
                uint8_t *scratch, const regions *r) {
    view layer = first_layer(model->bytes);
    binnet_gemm gemm = {.kernels = model->kernels,
                        .values = x,
                        .stride = model->n_features,
                        .signs = 1,
                        .n_rows = n_rows,
                        .sums = (int32_t *)(void *)scratch,
                        .panels = scratch + r->panels,
                        .scratch = scratch + r->tables,
                        .scratch_bytes = (size_t)(r->scores - r->tables)};
    for (;;) {
        gemm.selector = (binnet_selector){layer.bits, row_bytes(layer.fan_in), 1};
        gemm.n_columns = layer.units;
        gemm.depth = layer.fan_in;
        binnet_gemm_run(&gemm);
        if (layer.index + 1 == model->n_layers) break;
        uint8_t *activation = scratch + r->activations[layer.index & 1];
        activate(model->kernels, &layer, gemm.sums, n_rows, activation);
        gemm.values = activation;
        gemm.stride = layer.units;
        layer = next_layer(model->bytes, &layer);
    }
    make_scores(model->kernels, &layer, gemm.sums, n_rows, scores);
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
