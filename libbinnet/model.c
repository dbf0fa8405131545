/* The deployed network: opened and run in place (FORMAT.md). deploy.c writes it.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

enum { FIXED = BINNET_MODEL_FIXED, LAYER_RECORD = 8, UNIT_RECORD = 8, SIGN_RECORD = 4 };

/* ---- Layers in the file --------------------------------------------------------------------- */

typedef binnet_view view;

static size_t padded(size_t n, size_t to) { return (n + to - 1) & ~(to - 1); }

/* Bytes of the weights of one plane. */
static size_t plane_bytes(const view *v) { return v->units * v->row_bytes; }

void binnet_view_start(view *v, uint32_t n_features, uint32_t n_layers, uint32_t method) {
    memset(v, 0, sizeof *v);
    v->index = 255; /* before 0 */
    v->units = n_features;
    v->n_layers = (uint8_t)n_layers;
    v->ternary = method & BINNET_METHOD_TERNARY;
    v->signs = method & BINNET_METHOD_SIGN;
    v->end = FIXED + n_layers * (size_t)LAYER_RECORD;
}

void binnet_view_next(view *v, uint32_t units) {
    ++v->index;
    v->fan_in = v->units;
    v->units = units;
    v->from_signs = v->to_signs;
    v->to_signs = v->signs && v->index + 1 < v->n_layers;
    v->record_bytes = v->to_signs ? SIGN_RECORD : UNIT_RECORD;
    v->row_bytes = v->from_signs ? binnet_row_bytes(v->fan_in) : (v->fan_in + 7) / 8;
    v->records = v->end;
    v->low = padded(v->records + units * v->record_bytes, v->from_signs ? 8 : 1);
    v->high = v->low + plane_bytes(v);
    v->end = padded(v->ternary ? v->high + plane_bytes(v) : v->high, 4);
}

/* ---- Opening ------------------------------------------------------------------------------- */

static int has_signs(const binnet_model *model) { return model->activation == BINNET_SIGN; }

/* The layers of an opened model, or of one that is being opened. */
static void first_layer(const binnet_model *model, view *v) {
    binnet_view_start(v, model->n_features, model->n_layers, binnet_get32(model->bytes + 12));
}

static void next_layer(const binnet_model *model, view *v) {
    const uint32_t index = (v->index + 1) & 255u;
    binnet_view_next(v, binnet_get32(model->bytes + FIXED + index * LAYER_RECORD + 4));
}

typedef binnet_unit unit;

static int8_t get8(const uint8_t *p) { return (int8_t)(*p < 128 ? *p : *p - 256); }

static unit get_unit(const binnet_model *model, const view *layer, uint32_t m) {
    const uint8_t *p = model->bytes + layer->records + m * (size_t)UNIT_RECORD;
    unit u;
    u.mean = binnet_get_signed(p);
    u.bias = binnet_get16(p + 4);
    u.scale.shift = get8(p + 6);
    u.scale.term = get8(p + 7);
    return u;
}

/* Whether the counts in the header are allowed and leave nothing of the file, or an appendix. */
static int sound_shape(binnet_model *model) {
    if (model->n_features - 1 >= BINNET_MAX_FEATURES || model->n_layers - 1 >= BINNET_MAX_LAYERS ||
        model->n_bytes > SIZE_MAX / 2)
        return 0;
    view v;
    first_layer(model, &v);
    for (uint32_t i = 0; i < model->n_layers; ++i) {
        const uint8_t *record = model->bytes + FIXED + i * (size_t)LAYER_RECORD;
        if (v.end + 4 > model->n_bytes) return 0; /* no layer has 2^31 bytes: ends do not wrap */
        if (binnet_get32(record) != BINNET_DENSE ||
            binnet_get32(record + 4) - 1 >= BINNET_MAX_UNITS)
            return 0;
        if (i > 0 && v.units > model->max_hidden) model->max_hidden = v.units;
        next_layer(model, &v);
    }
    model->n_classes = v.units;
    model->bare_bytes = v.end + 4;
    return model->bare_bytes <= model->n_bytes && !(model->n_bytes & 3) && v.units >= 2;
}

static int sound_unit(const binnet_model *model, const view *v, uint32_t m) {
    const int32_t limit = 255 * (int32_t)v->fan_in;
    if (v->to_signs) {
        const int32_t t = binnet_get_signed(model->bytes + v->records + m * (size_t)SIGN_RECORD);
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
    const uint8_t *low = bytes + v->low, *high = bytes + v->high;
    const int ternary = model->weights == BINNET_TERNARY;
    if (!binnet_all_zero(bytes + v->records + v->units * v->record_bytes, low)) return 0;
    for (uint32_t m = 0; m < v->units; ++m, low += v->row_bytes) {
        if (!sound_unit(model, v, m) || !sound_row(v, low)) return 0;
        if (!ternary) continue;
        if (!sound_row(v, high)) return 0;
        for (size_t i = 0; i < v->row_bytes; ++i)
            if (low[i] & ~*high++) return 0;
    }
    return binnet_all_zero(high, bytes + v->end);
}

binnet_status binnet_model_open(binnet_model *model, const void *bytes, size_t n_bytes,
                                const binnet_kernels *kernels) {
    if (!model || !bytes) return BINNET_ERR_ARGUMENT;
    const binnet_status status = binnet_check_file(bytes, n_bytes, BINNET_MODEL_MAGIC);
    if (status != BINNET_OK) return status;
    if (n_bytes < FIXED + 4) return BINNET_ERR_CORRUPT;
    binnet_model opened = {.bytes = bytes, .n_bytes = n_bytes, .kernels = kernels};
    const uint32_t method = binnet_get32(opened.bytes + 12);
    if (method & ~(uint32_t)(BINNET_METHOD_TERNARY | BINNET_METHOD_SIGN)) return BINNET_ERR_CORRUPT;
    if (method & BINNET_METHOD_TERNARY) opened.weights = BINNET_TERNARY;
    if (method & BINNET_METHOD_SIGN) opened.activation = BINNET_SIGN;
    opened.n_features = binnet_get32(opened.bytes + 24);
    opened.n_layers = binnet_get32(opened.bytes + 28);
    if (!sound_shape(&opened) || (has_signs(&opened) && opened.n_layers < 2))
        return BINNET_ERR_CORRUPT;
    view layer;
    first_layer(&opened, &layer);
    for (uint32_t i = 0; i < opened.n_layers; ++i) {
        next_layer(&opened, &layer);
        if (!sound_layer(&opened, &layer)) return BINNET_ERR_CORRUPT;
    }
    if (!kernels) opened.kernels = binnet_kernels_best();
    *model = opened;
    return BINNET_OK;
}

/* ---- Scratch ------------------------------------------------------------------------------- */

/* Offsets in the scratch, which begins with sums. */
typedef struct regions {
    size_t panels, tables, scores, activations[2], end;
} regions;

/* Bytes of a row of hidden activations. */
static size_t activation_bytes(const binnet_model *model, uint32_t units) {
    return has_signs(model) ? binnet_row_bytes(units) : units;
}

/* The most packed bits of a product of values. */
static size_t most_panels(const binnet_model *model, uint32_t n_rows) {
    size_t n_bytes = 0;
    view v;
    first_layer(model, &v);
    for (uint32_t i = 0; i < (has_signs(model) ? 1 : model->n_layers); ++i) {
        next_layer(model, &v);
        n_bytes =
            binnet_most(n_bytes, binnet_gemm_panels(model->kernels, n_rows, v.units, v.fan_in));
    }
    return model->weights == BINNET_TERNARY ? n_bytes + n_bytes : n_bytes;
}

/* The offset of the next region. */
static size_t region(binnet_planner *planner, uint32_t n_rows, size_t row_bytes) {
    const size_t start = planner->n_bytes;
    binnet_plan(planner, n_rows, row_bytes);
    return start;
}

static regions divide_scratch(const binnet_model *model, uint32_t n_rows) {
    const binnet_kernels *k = model->kernels;
    const size_t hidden = activation_bytes(model, model->max_hidden);
    binnet_planner planner = {NULL, 0, k->alignment};
    uint32_t columns = model->n_classes;
    size_t tables = binnet_gemm_scratch(k, 0);
    if (has_signs(model)) /* hidden sums are consumed in blocks */
        tables = binnet_most(binnet_gemm_scratch(k, model->max_hidden),
                             binnet_xnor_scratch(k, n_rows, model->max_hidden));
    else if (model->max_hidden > columns)
        columns = model->max_hidden;
    regions r;
    region(&planner, n_rows, binnet_padded(k, columns) * sizeof(int32_t));
    r.panels = region(&planner, 1, most_panels(model, n_rows));
    r.tables = region(&planner, 1, tables);
    r.scores = region(&planner, n_rows, model->n_classes * sizeof(int32_t));
    r.activations[0] = region(&planner, n_rows, hidden);
    r.activations[1] = region(&planner, model->n_layers > 2 ? n_rows : 0, hidden);
    r.end = planner.n_bytes;
    return r;
}

size_t binnet_model_scratch_size(const binnet_model *model, uint32_t n_rows) {
    return divide_scratch(model, n_rows < BINNET_MAX_BATCH ? n_rows : BINNET_MAX_BATCH).end;
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
        const binnet_norm_job job = {.z = sums + binnet_sum_index(kernels, n_rows, first),
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
} sign_job;

/* Sums to signs. */
static void make_signs(void *context, const binnet_result *r) {
    const sign_job *j = context;
    const binnet_kernels *kernels = j->model->kernels;
    for (uint32_t c = 0; c < r->n_columns; c += BINNET_XNOR_COLUMNS) {
        const uint32_t rest = r->n_columns - c, first = r->first_column + c;
        const uint32_t n = rest < BINNET_XNOR_COLUMNS ? rest : BINNET_XNOR_COLUMNS;
        const uint8_t *record = j->model->bytes + j->layer->records + first * (size_t)SIGN_RECORD;
        int32_t thresholds[BINNET_XNOR_COLUMNS];
        uint8_t reached[BINNET_XNOR_COLUMNS];
        for (uint32_t u = 0; u < n; ++u, record += SIGN_RECORD)
            thresholds[u] = binnet_get_signed(record);
        for (uint32_t b = 0; b < r->n_rows; ++b) {
            kernels->reach(reached, r->sums + b * r->stride + c, thresholds, n);
            kernels->draw_bits(j->bits + (r->first_row + b) * j->stride + (first >> 3), reached,
                               reached, n, 0); /* 0 < reached */
        }
    }
}

/* Sums of the last layer to scores [n_rows][units]. */
static void make_scores(const binnet_model *model, const view *layer, const int32_t *sums,
                        uint32_t n_rows, int32_t *scores) {
    const binnet_kernels *kernels = model->kernels;
    for (uint32_t m = 0; m < layer->units; ++m) {
        const unit u = get_unit(model, layer, m);
        const int32_t *z = sums + binnet_sum_index(kernels, n_rows, m);
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
    int32_t *sums = (int32_t *)(void *)scratch;
    view v;
    first_layer(model, &v);
    sign_job job = {.model = model, .layer = &v};
    binnet_gemm gemm = {.kernels = model->kernels,
                        .values = x,
                        .stride = model->n_features,
                        .step = 1,
                        .signs = 1,
                        .selector = {.by_column = 1},
                        .n_digits = 1,
                        .n_rows = n_rows,
                        .epilogue = make_signs,
                        .context = &job,
                        .panels = scratch + r->panels,
                        .scratch = scratch + r->tables,
                        .scratch_bytes = r->scores - r->tables};
    for (uint32_t i = 0; i < model->n_layers; ++i) {
        uint8_t *activation = scratch + r->activations[i & 1];
        next_layer(model, &v);
        gemm.selector.bits = model->bytes + v.low;
        gemm.selector.stride = v.row_bytes;
        if (v.ternary) gemm.high = model->bytes + v.high;
        gemm.n_columns = v.units;
        gemm.depth = v.fan_in;
        gemm.sums = v.to_signs ? NULL : sums;
        if (v.to_signs) {
            job.bits = activation;
            job.stride = activation_bytes(model, v.units);
            memset(activation, 0, n_rows * job.stride);
        }
        if (v.from_signs)
            binnet_xnor_run(&gemm);
        else
            binnet_gemm_run(&gemm);
        gemm.a.low = activation;
        gemm.a.stride = job.stride;
        if (i + 1 == model->n_layers || v.to_signs) continue;
        activate(model, &v, sums, n_rows, activation);
        gemm.values = activation;
        gemm.stride = v.units;
    }
    make_scores(model, &v, sums, n_rows, scores);
}

binnet_status binnet_model_predict(const binnet_model *model, const uint8_t *x, size_t n_rows,
                                   int32_t *scores, uint16_t *classes, void *scratch,
                                   size_t scratch_bytes) {
    if (!model || !scratch || (n_rows && !x)) return BINNET_ERR_ARGUMENT;
    if ((uintptr_t)scratch % BINNET_ALIGNMENT != 0) return BINNET_ERR_ALIGNMENT;
    if (n_rows == 0) return BINNET_OK;
    uint32_t at_once = 0; /* as many as fit */
    for (uint32_t bit = BINNET_MAX_BATCH; bit > 0; bit >>= 1)
        if (at_once + bit <= n_rows && at_once + bit <= BINNET_MAX_BATCH &&
            divide_scratch(model, at_once + bit).end <= scratch_bytes)
            at_once += bit;
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
