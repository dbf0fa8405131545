/* The deployed network: opened and run in place (FORMAT.md). deploy.c writes it.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

enum { FIXED = BINNET_MODEL_FIXED, LAYER_RECORD = 8, UNIT_RECORD = 8, SIGN_RECORD = 4 };

/* ---- Layers in the file --------------------------------------------------------------------- */

typedef binnet_view view;

static size_t padded(size_t n, size_t to) { return (n + to - 1) & ~(to - 1); }

/* Bytes of the weights of one plane. */
static size_t plane_bytes(const view *v) { return v->shape.units * v->row_bytes; }

binnet_status binnet_view_start(view *v, uint32_t n_features, uint32_t shape, uint32_t method) {
    memset(v, 0, sizeof *v);
    v->index = UINT32_MAX; /* before 0 */
    v->n_layers = shape & 255u;
    v->ternary = method & BINNET_METHOD_TERNARY;
    v->signs = method & BINNET_METHOD_SIGN;
    v->end = FIXED + v->n_layers * (size_t)LAYER_RECORD;
    return binnet_start_shape(&v->shape, n_features, shape >> 8 & 0xfff, shape >> 20);
}

binnet_status binnet_view_next(view *v, uint32_t kind, uint32_t units) {
    const binnet_layer layer = binnet_get_kind(kind, units);
    const binnet_status status = binnet_next_shape(&v->shape, &layer);
    if (status != BINNET_OK) return status;
    ++v->index;
    v->from_signs = v->to_signs;
    v->to_signs = v->signs && v->index + 1 < v->n_layers;
    v->record_bytes = v->to_signs ? SIGN_RECORD : UNIT_RECORD;
    v->row_bytes = v->from_signs ? binnet_row_bytes(v->shape.fan_in) : (v->shape.fan_in + 7) / 8;
    v->records = v->end;
    v->low = padded(v->records + units * v->record_bytes, v->from_signs ? 8 : 1);
    v->high = v->low + plane_bytes(v);
    v->end = padded(v->ternary ? v->high + plane_bytes(v) : v->high, 4);
    return binnet_put_kind(&layer) == kind ? BINNET_OK : BINNET_ERR_ARGUMENT;
}

/* ---- Opening ------------------------------------------------------------------------------- */

static int has_signs(const binnet_model *model) { return model->activation == BINNET_SIGN; }

/* The layers of an opened model, or of one that is being opened. */
static binnet_status first_layer(const binnet_model *model, view *v) {
    return binnet_view_start(v, model->n_features, binnet_get32(model->bytes + 28),
                             binnet_get32(model->bytes + 12));
}

static binnet_status next_layer(const binnet_model *model, view *v) {
    const uint8_t *record = model->bytes + FIXED + (v->index + 1) * LAYER_RECORD;
    return binnet_view_next(v, binnet_get32(record), binnet_get32(record + 4));
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
    if (first_layer(model, &v) != BINNET_OK) return 0;
    const int images = binnet_is_image(&v.shape);
    for (uint32_t i = 0; i < model->n_layers; ++i) {
        /* No layer has 2^31 bytes: ends do not wrap. */
        if (v.end + 4 > model->n_bytes || next_layer(model, &v) != BINNET_OK) return 0;
        if (i == 0 && images != binnet_is_convolution(&v.shape)) return 0;
    }
    model->n_classes = v.shape.units;
    model->bare_bytes = v.end + 4;
    return model->bare_bytes <= model->n_bytes && !(model->n_bytes & 3) &&
           !binnet_is_image(&v.shape) && v.shape.units >= 2;
}

static int sound_unit(const binnet_model *model, const view *v, uint32_t m) {
    const int32_t limit = 255 * (int32_t)v->shape.fan_in;
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
    const uint32_t used = v->shape.fan_in & 7, n = (v->shape.fan_in + 7) / 8;
    return !(used && row[n - 1] >> used) && binnet_all_zero(row + n, row + v->row_bytes);
}

static int sound_layer(const binnet_model *model, const view *v) {
    const uint8_t *const bytes = model->bytes;
    const uint8_t *low = bytes + v->low, *high = bytes + v->high;
    const int ternary = model->weights == BINNET_TERNARY;
    if (!binnet_all_zero(bytes + v->records + v->shape.units * v->record_bytes, low)) return 0;
    for (uint32_t m = 0; m < v->shape.units; ++m, low += v->row_bytes) {
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
    const uint32_t shape = binnet_get32(opened.bytes + 28);
    opened.n_layers = shape & 255u;
    opened.height = shape >> 8 & 0xfff;
    opened.width = shape >> 20;
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

/* Bytes of a row of a layer's activations; an image's, of all positions. */
static size_t activation_bytes(const view *v) {
    return binnet_image_bytes(binnet_positions_of(&v->shape),
                              v->to_signs ? binnet_row_bytes(v->shape.units) : v->shape.units);
}

/* The most that layers need, one after another. */
typedef struct needs {
    size_t sums, panels, tables, hidden;
} needs;

#if BINNET_CONVOLUTIONS
/* A layer's convolution of values, or of signs if there are none. */
static binnet_convolution convolution_of(const binnet_model *model, const view *v,
                                         const uint8_t *values) {
    binnet_convolution c = {.image = &v->shape.image,
                            .gemm = {.kernels = model->kernels,
                                     .values = values,
                                     .stride = v->shape.image.channels,
                                     .a.stride = binnet_row_bytes(v->shape.image.channels),
                                     .step = 1,
                                     .signs = 1,
                                     .selector = {model->bytes + v->low, v->row_bytes, 1},
                                     .high = v->ternary ? model->bytes + v->high : NULL,
                                     .n_digits = 1,
                                     .n_columns = v->shape.units,
                                     .depth = v->shape.fan_in}};
    return c; /* yet to be planned */
}
#endif

static void measure(const binnet_model *model, const view *v, uint32_t n_rows, needs *most) {
    const binnet_kernels *k = model->kernels;
    const uint32_t units = v->shape.units;
    const size_t row = binnet_padded(k, units) * sizeof(int32_t);
    if (v->index + 1 < v->n_layers) binnet_need(&most->hidden, activation_bytes(v));
#if BINNET_CONVOLUTIONS
    if (v->shape.image.kernel) {
        /* Only whether there are values counts. */
        binnet_convolution c = convolution_of(model, v, v->from_signs ? NULL : model->bytes);
        binnet_plan_convolution(&c);
        binnet_need(&most->sums, binnet_area(binnet_tile_positions(&c), row, 1));
        binnet_need(&most->tables, binnet_convolution_scratch(&c));
        binnet_need(&most->panels, binnet_convolution_panels(&c));
        return;
    }
#endif
    /* Hidden sums that become signs are consumed in blocks. */
    if (!v->to_signs) binnet_need(&most->sums, binnet_area(n_rows, row, 1));
    if (v->from_signs) {
        binnet_need(&most->tables,
                    binnet_xnor_scratch(k, v->to_signs ? n_rows : 0, v->shape.fan_in));
        return;
    }
    binnet_need(&most->tables, binnet_gemm_scratch(k, v->to_signs ? units : 0));
    const size_t plane = binnet_gemm_panels(k, n_rows, units, v->shape.fan_in);
    binnet_need(&most->panels, v->ternary ? plane + plane : plane);
}

/* The offset of the next region. */
static size_t region(binnet_planner *planner, uint32_t n_rows, size_t row_bytes) {
    const size_t start = planner->n_bytes;
    binnet_plan(planner, n_rows, row_bytes);
    return start;
}

static regions divide_scratch(const binnet_model *model, uint32_t n_rows) {
    binnet_planner planner = {NULL, 0, model->kernels->alignment};
    needs most = {0, 0, 0, 0};
    view v;
    first_layer(model, &v);
    for (uint32_t i = 0; i < model->n_layers; ++i) {
        next_layer(model, &v);
        measure(model, &v, n_rows, &most);
    }
    regions r;
    region(&planner, 1, most.sums);
    r.panels = region(&planner, 1, most.panels);
    r.tables = region(&planner, 1, most.tables);
    r.scores = region(&planner, n_rows, model->n_classes * sizeof(int32_t));
    r.activations[0] = region(&planner, n_rows, most.hidden);
    const int two = model->n_layers > 2 || (BINNET_CONVOLUTIONS && model->height);
    r.activations[1] = region(&planner, two ? n_rows : 0, most.hidden);
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
    for (uint32_t first = 0; first < layer->shape.units; first += BINNET_UNIT_BLOCK) {
        const uint32_t rest = layer->shape.units - first;
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
                                     .stride = layer->shape.units};
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
    for (uint32_t m = 0; m < layer->shape.units; ++m) {
        const unit u = get_unit(model, layer, m);
        const int32_t *z = sums + binnet_sum_index(kernels, n_rows, m);
        for (uint32_t b = 0; b < n_rows; ++b)
            scores[(size_t)b * layer->shape.units + m] =
                score(z[(size_t)b * kernels->panel_columns] - u.mean, &u);
    }
}

static uint16_t best_class(const int32_t *scores, uint32_t n_classes) {
    uint32_t best = 0;
    for (uint32_t k = 1; k < n_classes; ++k)
        if (scores[k] > scores[best]) best = k;
    return (uint16_t)best;
}

#if BINNET_CONVOLUTIONS
/* Images through a convolution, a tile at a time. */
static void run_convolution(const sign_job *job, const binnet_gemm *gemm, uint32_t n_images,
                            int32_t *sums, uint8_t *activation) {
    const view *v = job->layer;
    const uint32_t width = gemm->kernels->panel_columns, units = v->shape.units;
    binnet_convolution c = convolution_of(job->model, v, v->from_signs ? NULL : gemm->values);
    binnet_plan_convolution(&c);
    c.gemm.a.low = gemm->a.low;
    c.gemm.panels = gemm->panels;
    c.gemm.n_rows = n_images * v->shape.positions * c.image->pool * c.image->pool;
    binnet_convolution_pack(&c);
    for (uint32_t t = 0; t < binnet_n_tiles(&c, n_images); ++t) {
        const binnet_tile tile = binnet_tile_of(&c, n_images, t);
        binnet_convolve(&c, &tile, sums, (size_t)tile.n * width, gemm->scratch);
        if (!v->to_signs)
            activate(job->model, v, sums, tile.n, activation + (size_t)tile.first * units);
        for (uint32_t column = 0; v->to_signs && column < units; column += width) {
            const binnet_result result = {
                sums + column * (size_t)tile.n,     width, tile.first, tile.n, column,
                binnet_block(column, units, width), 0};
            make_signs((void *)(uintptr_t)job, &result);
        }
    }
}

/* Signs of images, pixel by pixel, to a row for each. */
static void flatten(const view *v, uint32_t channels, uint32_t n_pixels, uint32_t n_images,
                    const uint8_t *pixels, uint8_t *rows) {
    const size_t row_bytes = binnet_row_bytes(v->shape.fan_in);
    for (uint32_t b = 0; b < n_images; ++b, rows += row_bytes) {
        binnet_flatten(rows, pixels, channels, n_pixels);
        pixels += n_pixels * binnet_row_bytes(channels);
    }
}
#endif

/* Rows to scores, through all layers. */
static void run(const binnet_model *model, const uint8_t *x, uint32_t n_rows, int32_t *scores,
                uint8_t *scratch, const regions *r) {
    int32_t *sums = (int32_t *)(void *)scratch;
    uint32_t place = 0;
    view v;
    first_layer(model, &v);
    sign_job job = {.model = model, .layer = &v};
    binnet_gemm gemm = {.kernels = model->kernels,
                        .values = x,
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
#if BINNET_CONVOLUTIONS
        const uint32_t channels = v.shape.units, n_pixels = v.shape.positions;
#endif
        next_layer(model, &v);
#if BINNET_CONVOLUTIONS
        if (v.from_signs && n_pixels > 1 && !v.shape.image.kernel) {
            flatten(&v, channels, n_pixels, n_rows, gemm.a.low, scratch + r->activations[place]);
            gemm.a.low = scratch + r->activations[place];
            place ^= 1u;
        }
#endif
        uint8_t *activation = scratch + r->activations[place];
        gemm.selector.bits = model->bytes + v.low;
        gemm.selector.stride = v.row_bytes;
        if (v.ternary) gemm.high = model->bytes + v.high;
        gemm.n_columns = v.shape.units;
        gemm.depth = v.shape.fan_in;
        gemm.sums = v.to_signs ? NULL : sums;
        gemm.stride = v.shape.fan_in;
        gemm.a.stride = binnet_row_bytes(v.shape.fan_in);
        if (v.to_signs) {
            job.bits = activation;
            job.stride = binnet_row_bytes(v.shape.units);
            memset(activation, 0, n_rows * activation_bytes(&v));
        }
#if BINNET_CONVOLUTIONS
        if (v.shape.image.kernel) {
            run_convolution(&job, &gemm, n_rows, sums, activation);
        } else
#endif
            if (v.from_signs)
            binnet_xnor_run(&gemm);
        else
            binnet_gemm_run(&gemm);
        if (i + 1 == model->n_layers) break;
        if (!v.to_signs && !binnet_is_convolution(&v.shape))
            activate(model, &v, sums, n_rows, activation);
        gemm.a.low = gemm.values = activation;
        if (v.to_signs) gemm.values = NULL;
        place ^= 1u;
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
