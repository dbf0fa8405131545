/* The convolution: its three products, all of patches. Forward and backward a task makes the patches
 * of a few positions; for the gradient, whose sums go over positions, some images are taken at a
 * time. So no memory grows with the kernel's area but that of these images.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#if BINNET_CONVOLUTIONS
/* Positions of an image, not pooled. */
static uint32_t unpooled_positions(const binnet_image *image) {
    return binnet_positions(image) * image->pool * image->pool;
}

/* Positions of the gradient's at a time: the fewer times threads wait for one another, the better, as
 * long as what they share stays in cache. */
enum { POSITIONS_AT_ONCE = 1024, GRADIENT_BYTES = 2 << 20 };

/* Images of them: on a microcontroller one. */
static uint32_t images_at_once(const binnet_net *net, const binnet_layer_state *layer) {
    const uint32_t n = unpooled_positions(layer->image);
    /* Bits of patches, packed, and errors as rows and columns. */
    const uint32_t bytes = layer->fan_in / 2 + 2 * layer->units;
    const size_t most = binnet_most(POSITIONS_AT_ONCE, GRADIENT_BYTES / bytes) / n;
    return net->kernels->pack && most > 1 ? binnet_least((uint32_t)most, net->batch_size) : 1;
}

static size_t channel_bytes(const binnet_image *image) { return (image->channels + 7) / 8; }

/* ---- Forward ------------------------------------------------------------------------------- */

typedef struct forward_job {
    const binnet_pass *pass;
    binnet_convolution convolution;
} forward_job;

static void convolve_task(void *context, uint32_t task, uint32_t worker) {
    const forward_job *j = context;
    const binnet_net *net = j->pass->net;
    const size_t width = net->kernels->panel_columns;
    const binnet_tile tile = binnet_tile_of(&j->convolution, j->pass->n_images, task);
    binnet_convolve(&j->convolution, &tile, net->z + tile.first * width, j->pass->n_rows * width,
                    net->scratch + worker * net->scratch_bytes);
}

static void forward(binnet_pass *p) {
    const binnet_layer_state *layer = p->layer;
    forward_job j = {.pass = p};
    binnet_convolution *c = &j.convolution;
    c->image = layer->image;
    c->gemm = binnet_product_forward(p);
    c->gemm.n_rows = p->n_images * unpooled_positions(layer->image);
    if (layer->origins) c->origins = layer->origins + p->first_column;
    c->origin_stride = layer->units;
    binnet_plan_convolution(c);
    binnet_convolution_pack(c);
    binnet_run(&p->net->parallel, binnet_n_tiles(c, p->n_images), convolve_task, &j);
}

/* ---- Error at the input -------------------------------------------------------------------- */

enum { PIXELS_AT_ONCE = 16 };

typedef struct error_job {
    binnet_pass *pass;
    const binnet_image *image;
    binnet_gemm gemm;
    size_t patch_bytes;
    uint32_t first; /* pixel of a task */
    binnet_lines lines;
    uint32_t n_lines, n_columns; /* pixels of a task that has lines */
} error_job;

/* Rows of channels for each summand of an error. */
static void turn(const binnet_pass *p, const uint8_t *plane, uint8_t *turned) {
    const binnet_layer_state *layer = p->layer;
    const binnet_image *image = layer->image;
    const size_t n_bytes = channel_bytes(image);
    for (uint32_t at = image->kernel * image->kernel; at-- > 0;)
        for (uint32_t m = 0; m < layer->units; ++m, turned += n_bytes)
            binnet_get_bits(turned, plane + m * layer->bits_stride, at * (size_t)image->channels,
                            image->channels);
}

/* The position of which pixel `at` is the kernel's row `i`, and in `*origin` its number in a pool
 * of one dimension; -1: of none. */
static int32_t reaching(int32_t at, uint32_t i, uint32_t stride, uint32_t pool, uint32_t n,
                        uint32_t *origin) {
    const int32_t v = at - (int32_t)i;
    if (v < 0 || (uint32_t)v % stride || (uint32_t)v / stride >= n * pool) return -1;
    *origin = (uint32_t)v / stride % pool;
    return (int32_t)((uint32_t)v / stride / pool);
}

/* The errors that a pixel has a share in, [kernel][kernel][units]. */
static void take_errors(const error_job *j, uint32_t b, uint32_t y, uint32_t x, int8_t *patch) {
    const binnet_layer_state *layer = j->pass->layer;
    const binnet_image *image = j->image;
    const uint32_t kernel = image->kernel, units = layer->units;
    const size_t first = (size_t)b * binnet_positions(image) * units;
    const int32_t bottom = (int32_t)(y + image->top), right = (int32_t)(x + image->left);
    const int8_t *error = layer->normed + first;
    if (image->stride == 1 && image->pool == 1) {
        const binnet_image errors = {.height = image->out_height,
                                     .width = image->out_width,
                                     .channels = units,
                                     .kernel = kernel};
        binnet_take_patch(&errors, (const uint8_t *)error, bottom - (int32_t)(kernel - 1),
                          right - (int32_t)(kernel - 1), (uint8_t *)patch);
        return;
    }
    for (uint32_t i = kernel; i-- > 0;)
        for (uint32_t o = kernel; o-- > 0; patch += units) {
            uint32_t u = 0, v = 0;
            const int32_t row =
                reaching(bottom, i, image->stride, image->pool, image->out_height, &u);
            const int32_t column =
                reaching(right, o, image->stride, image->pool, image->out_width, &v);
            if (row < 0 || column < 0) {
                memset(patch, 0, units);
                continue;
            }
            const size_t at = ((uint32_t)row * image->out_width + (uint32_t)column) * (size_t)units;
            binnet_unpool(patch, error + at, layer->origins ? layer->origins + first + at : NULL,
                          u * image->pool + v, units);
        }
}

static void store_errors(void *context, const binnet_result *sums) {
    const error_job *j = context;
    binnet_result of_all = *sums;
    of_all.first_row += j->first;
    binnet_store_errors(j->pass, &of_all);
}

static void error_task(void *context, uint32_t task, uint32_t worker) {
    error_job j = *(const error_job *)context;
    const binnet_net *net = j.pass->net;
    uint8_t *patches = net->scratch + worker * net->scratch_bytes;
    j.first = task * PIXELS_AT_ONCE;
    j.gemm.n_rows = binnet_block(j.first, j.pass->input.n_rows, PIXELS_AT_ONCE);
    for (uint32_t i = 0; i < j.gemm.n_rows; ++i) {
        const uint32_t line = (j.first + i) / j.image->width;
        take_errors(&j, line / j.image->height, line % j.image->height,
                    (j.first + i) % j.image->width, (int8_t *)patches + i * j.patch_bytes);
    }
    const size_t used = binnet_area(PIXELS_AT_ONCE, j.patch_bytes, net->kernels->alignment);
    j.gemm.values = patches;
    j.gemm.stride = j.patch_bytes;
    j.gemm.scratch = patches + used;
    j.gemm.scratch_bytes = net->scratch_bytes - used;
    j.gemm.context = &j;
    binnet_gemm_rows(&j.gemm);
}

/* Errors of a line, where they are from. */
static const uint8_t *take_line(const void *context, uint32_t b, uint32_t y, uint32_t x, uint32_t n,
                                uint8_t *buffer) {
    const error_job *j = context;
    const binnet_layer_state *layer = j->pass->layer;
    const uint32_t pool = j->image->pool, units = layer->units;
    const size_t line =
        ((size_t)b * j->image->out_height + y / pool) * j->image->out_width * (size_t)units;
    if (pool == 1) return (const uint8_t *)layer->normed + line + x * (size_t)units;
    for (uint32_t i = 0; i < n; ++i) {
        const size_t at = line + (x + i) / pool * (size_t)units;
        binnet_unpool((int8_t *)buffer + i * (size_t)units, layer->normed + at, layer->origins + at,
                      y % pool * pool + (x + i) % pool, units);
    }
    return buffer;
}

/* Where errors reach a pixel from all sides, tables of them are shared. */
static binnet_lines error_lines(const binnet_gemm *gemm, const binnet_image *image,
                                uint32_t units) {
    const binnet_lines lines = {.gemm = gemm,
                                .height = image->out_height * image->pool,
                                .width = image->out_width * image->pool,
                                .channels = units,
                                .kernel = image->kernel,
                                .stride = 1,
                                .place_bytes = units * channel_bytes(image),
                                .take = take_line};
    return lines;
}

static int has_error_lines(const binnet_kernels *k, const binnet_image *image) {
    return binnet_shares_tables(k) && image->stride == 1;
}

static size_t line_sums(const error_job *j) {
    return binnet_area(j->n_lines * j->n_columns,
                       binnet_padded(j->gemm.kernels, j->image->channels) * sizeof(int32_t),
                       j->gemm.kernels->alignment);
}

static void error_line_task(void *context, uint32_t task, uint32_t worker) {
    const error_job *j = context;
    const binnet_image *image = j->image;
    const binnet_net *net = j->pass->net;
    const uint32_t width = net->kernels->panel_columns, channels = image->channels;
    const uint32_t across = binnet_blocks(image->width, j->n_columns);
    const uint32_t down = binnet_blocks(image->height, j->n_lines);
    const uint32_t x = task % across * j->n_columns, y = task / across % down * j->n_lines;
    const uint32_t n_columns = binnet_block(x, image->width, j->n_columns);
    const uint32_t n_lines = binnet_block(y, image->height, j->n_lines);
    const uint32_t b = task / across / down;
    uint8_t *scratch = net->scratch + worker * net->scratch_bytes;
    const int32_t *sums = (int32_t *)(void *)scratch;
    binnet_lines_sums(&j->lines, b, (int32_t)(y + image->top) - (int32_t)(image->kernel - 1),
                      (int32_t)(x + image->left) - (int32_t)(image->kernel - 1), n_lines, n_columns,
                      (int32_t *)(void *)scratch, (size_t)n_lines * n_columns * width,
                      scratch + line_sums(j));
    for (uint32_t c = 0; c < channels; c += width)
        for (uint32_t i = 0; i < n_lines; ++i) {
            const size_t first = ((size_t)b * image->height + y + i) * image->width + x;
            int16_t *error = net->layers[j->pass->layer->index - 1].error + first * channels + c;
            for (uint32_t o = 0; o < n_columns; ++o, sums += width, error += channels)
                net->training->round_error(error, sums, j->pass->input_shift,
                                           binnet_block(c, channels, width));
        }
}

static void multiply_backward(binnet_pass *p) {
    const binnet_layer_state *layer = p->layer;
    const binnet_image *image = layer->image;
    const binnet_workplace *w = p->net->workplace;
    error_job j = {.pass = p, .image = image};
    j.patch_bytes = (size_t)image->kernel * image->kernel * layer->units;
    turn(p, layer->low, w->turned);
    if (layer->high) turn(p, layer->high, w->turned + w->turned_bytes);
    j.gemm = binnet_product(p);
    j.gemm.int8 = 1;
    j.gemm.signs = 1;
    j.gemm.selector = (binnet_selector){w->turned, channel_bytes(image), 0};
    if (layer->high) j.gemm.high = w->turned + w->turned_bytes;
    j.gemm.n_rows = p->input.n_rows;
    j.gemm.n_columns = image->channels;
    j.gemm.depth = (uint32_t)j.patch_bytes;
    j.gemm.epilogue = store_errors;
    if (has_error_lines(p->net->kernels, image)) {
        j.lines = error_lines(&j.gemm, image, layer->units);
        j.lines.context = &j;
        j.n_lines = image->height;
        j.n_columns = image->width;
        binnet_lines_tile(&j.lines, 1, &j.n_lines, &j.n_columns);
        binnet_lines_pack(&j.lines);
        binnet_run(&p->net->parallel,
                   p->n_images * binnet_blocks(image->width, j.n_columns) *
                       binnet_blocks(image->height, j.n_lines),
                   error_line_task, &j);
        return;
    }
    binnet_gemm_pack(&j.gemm);
    binnet_run(&p->net->parallel, binnet_blocks(p->input.n_rows, PIXELS_AT_ONCE), error_task, &j);
}

/* ---- Gradient and update ------------------------------------------------------------------- */

typedef struct gradient_job {
    binnet_pass *pass;
    const binnet_image *image;
    uint32_t first_image;
    uint32_t n_positions; /* of the images at hand, not pooled */
    uint32_t n_planes;
    const uint8_t *planes[8]; /* of the input's bits, */
    size_t pixel_bytes;
    size_t patch_bytes; /* and of a patch of them */
    size_t stride;      /* of the gradient */
} gradient_job;

/* Errors of a line of pooled positions, [pool][pool · out_width][units]. */
static void unpool_line(const binnet_layer_state *layer, size_t first, int8_t *unpooled) {
    const uint32_t width = layer->image->out_width, pool = layer->image->pool;
    for (uint32_t i = 0; i < width * pool * pool; ++i, unpooled += layer->units) {
        const uint32_t row = i / (width * pool), column = i % (width * pool);
        const size_t at = (first + column / pool) * layer->units;
        binnet_unpool(unpooled, layer->normed + at, layer->origins + at, row * pool + column % pool,
                      layer->units);
    }
}

/* Of a line of pooled positions: errors where they are from, as columns where these are wanted, and
 * the bits that they meet. */
static void line_task(void *context, uint32_t task, uint32_t worker) {
    const gradient_job *j = context;
    const binnet_pass *p = j->pass;
    const binnet_layer_state *layer = p->layer;
    const binnet_image *image = j->image;
    const uint32_t n = image->out_width * image->pool * image->pool, units = layer->units;
    const uint32_t b = j->first_image + task / image->out_height, y = task % image->out_height;
    const size_t first = ((size_t)j->first_image * image->out_height + task) * image->out_width;
    const int8_t *error = layer->normed + first * units;
    (void)worker;
    if (layer->origins) {
        int8_t *unpooled = p->net->workplace->unpooled + (size_t)task * n * units;
        unpool_line(layer, first, unpooled);
        error = unpooled;
    }
    if (binnet_transposes(p->net->kernels))
        p->net->kernels->transpose(p->net->transposed + (size_t)task * n, j->n_positions, error,
                                   units, n, units);
    for (uint32_t plane = 0; plane < j->n_planes; ++plane) {
        uint8_t *patch = p->net->workplace->patches +
                         (plane * (size_t)j->n_positions + (size_t)task * n) * j->patch_bytes;
        const uint8_t *pixels =
            j->planes[plane] + (size_t)b * image->height * image->width * j->pixel_bytes;
        memset(patch, 0, n * j->patch_bytes);
        for (uint32_t i = 0; i < n; ++i, patch += j->patch_bytes) {
            const uint32_t row = y * image->pool + i / (image->out_width * image->pool);
            const uint32_t column = i % (image->out_width * image->pool);
            binnet_take_bits(image, pixels, j->pixel_bytes,
                             (int32_t)(row * image->stride) - (int32_t)image->top,
                             (int32_t)(column * image->stride) - (int32_t)image->left, patch);
        }
    }
}

/* Adds to the gradient; of the first images, stores. What pads a row may be anything, and its sum
 * overflow: it is left alone. */
static void accumulate(void *context, const binnet_result *sums) {
    const gradient_job *j = context;
    int32_t *gradient = j->pass->net->workplace->gradient + sums->first_row * j->stride;
    const int32_t *more = sums->sums;
    for (uint32_t i = 0; i < sums->n_rows; ++i, gradient += j->stride, more += sums->stride)
        if (j->first_image == 0) {
            memcpy(gradient, more, sums->n_columns * sizeof *gradient);
        } else {
            BINNET_COUNT(ADDITIONS, sums->n_columns);
            for (uint32_t c = 0; c < sums->n_columns; ++c) gradient[c] += more[c];
        }
}

static void update_task(void *context, uint32_t task, uint32_t worker) {
    const gradient_job *j = context;
    const binnet_result row = {.sums = j->pass->net->workplace->gradient + task * j->stride,
                               .stride = j->stride,
                               .first_row = task,
                               .n_rows = 1,
                               .n_columns = j->pass->layer->fan_in,
                               .worker = worker};
    binnet_update_rows(j->pass, &row);
}

/* The input's planes. */
static void take_planes(gradient_job *j) {
    const binnet_pass *p = j->pass;
    const binnet_net *net = p->net;
    if (!p->input.data) {
        j->planes[0] = p->input.signs.low;
        j->planes[1] = p->input.signs.high;
        j->n_planes = p->input.signs.high ? 2 : 1;
        j->pixel_bytes = p->input.signs.stride;
        return;
    }
    j->n_planes = net->method.gradient == BINNET_EXACT ? p->input.n_digits : 1;
    j->pixel_bytes = p->input_bits_stride;
    for (uint32_t d = 0; d < j->n_planes; ++d)
        j->planes[d] = net->input_bits + d * (size_t)p->input.n_rows * j->pixel_bytes;
}

static void multiply_outer(binnet_pass *p) {
    const binnet_net *net = p->net;
    const binnet_layer_state *layer = p->layer;
    const binnet_image *image = layer->image;
    const uint32_t at_once = images_at_once(net, layer);
    gradient_job j = {.pass = p, .image = image};
    j.patch_bytes = binnet_row_bytes(layer->fan_in);
    j.stride = binnet_padded(net->kernels, layer->fan_in);
    take_planes(&j);
    for (uint32_t n; j.first_image < p->n_images; j.first_image += n) {
        n = binnet_block(j.first_image, p->n_images, at_once);
        j.n_positions = n * unpooled_positions(image);
        binnet_run(&net->parallel, n * image->out_height, line_task, &j);
        binnet_gemm gemm = binnet_product(p);
        if (binnet_transposes(net->kernels)) {
            gemm.values = (const uint8_t *)net->transposed;
            gemm.stride = j.n_positions;
        } else { /* columns of the error */
            gemm.values = layer->origins ? (const uint8_t *)net->workplace->unpooled
                                         : (const uint8_t *)layer->normed +
                                               j.first_image * (size_t)j.n_positions * layer->units;
            gemm.stride = 1;
            gemm.step = layer->units;
        }
        gemm.int8 = 1;
        gemm.n_rows = layer->units;
        gemm.n_columns = layer->fan_in;
        gemm.depth = j.n_positions;
        gemm.epilogue = accumulate;
        gemm.context = &j;
        gemm.selector = (binnet_selector){net->workplace->patches, j.patch_bytes, 0};
        if (p->input.data) {
            gemm.n_digits = j.n_planes;
            gemm.digit_bytes = j.n_positions * j.patch_bytes;
        } else {
            gemm.signs = 1;
            if (j.n_planes > 1) gemm.high = net->workplace->patches + j.n_positions * j.patch_bytes;
        }
        binnet_gemm_run(&gemm);
    }
    binnet_run(&net->parallel, layer->units, update_task, &j);
}

static void backward(binnet_pass *p) {
    if (p->layer->index > 0) multiply_backward(p);
    multiply_outer(p);
}

const binnet_layer_type binnet_layer_conv2d = {forward, backward};

/* ---- Memory -------------------------------------------------------------------------------- */

void binnet_measure_convolution(const binnet_net *net, const binnet_layer_state *layer,
                                binnet_needs *needs) {
    const binnet_image *image = layer->image;
    const binnet_kernels *k = net->kernels;
    const uint32_t area = image->kernel * image->kernel, units = layer->units;
    const uint32_t planes = net->method.weights == BINNET_TERNARY ? 2 : 1;
    const uint32_t n = images_at_once(net, layer) * unpooled_positions(image);
    const int signs = layer->index > 0 && net->method.activation == BINNET_SIGN;
    const uint32_t bits = signs                                  ? net->method.dropout ? 2 : 1
                          : net->method.gradient == BINNET_EXACT ? 8
                                                                 : 1;
    const size_t columns = binnet_padded(k, binnet_least(units, 2 * k->panel_columns));
    /* Only whether there are values, signs, zeros counts. */
    static const uint8_t some[1];
    binnet_convolution c = {.image = image,
                            .gemm = {.kernels = k,
                                     .values = signs ? NULL : some,
                                     .a.high = signs && net->method.dropout ? some : NULL,
                                     .high = planes > 1 ? some : NULL,
                                     .n_digits = 1,
                                     .n_columns = units}};
    binnet_plan_convolution(&c);
    binnet_need(&needs->input_bits,
                binnet_area(image->height * image->width, channel_bytes(image) * bits, 1));
    binnet_need(&needs->z,
                binnet_area(net->batch_size, layer->positions * columns * sizeof(int32_t), 1));
    binnet_need(&needs->panels, binnet_convolution_panels(&c));
    binnet_need(&needs->panels,
                binnet_area(bits, binnet_gemm_panels(k, units, layer->fan_in, n), 1));
    binnet_need(&needs->scratch, binnet_convolution_scratch(&c));
    binnet_need(&needs->scratch, binnet_gemm_scratch(k, layer->fan_in));
    if (binnet_transposes(k)) binnet_need(&needs->transposed, binnet_area(units, n, 1));
    if (image->pool > 1) binnet_need(&needs->unpooled, binnet_area(units, n, 1));
    binnet_need(&needs->patches, binnet_area(n, binnet_row_bytes(layer->fan_in) * bits, 1));
    binnet_need(&needs->gradient,
                binnet_area(units, binnet_padded(k, layer->fan_in) * sizeof(int32_t), 1));
    if (layer->index == 0) return;
    binnet_need(&needs->turned, binnet_area(area * units, channel_bytes(image), 1));
    uint32_t depth = area * units;
    if (has_error_lines(k, image)) {
        error_job j = {.image = image, .gemm = {.kernels = k}};
        j.lines = error_lines(&j.gemm, image, units);
        j.n_lines = image->height;
        j.n_columns = image->width;
        binnet_lines_tile(&j.lines, 1, &j.n_lines, &j.n_columns);
        depth = binnet_lines_depth(&j.lines);
        binnet_need(&needs->scratch,
                    line_sums(&j) + binnet_lines_scratch(&j.lines, j.n_lines, j.n_columns));
    } else {
        binnet_need(&needs->scratch,
                    binnet_area(PIXELS_AT_ONCE, (size_t)area * units, k->alignment) +
                        binnet_gemm_scratch(k, image->channels));
    }
    binnet_need(&needs->panels,
                binnet_area(planes, binnet_gemm_panels(k, UINT32_MAX, image->channels, depth), 1));
}

void binnet_plan_workplace(binnet_net *net, const binnet_needs *needs, binnet_planner *planner) {
    if (!needs->gradient) return; /* no convolution */
    const uint32_t planes = net->method.weights == BINNET_TERNARY ? 2 : 1;
    binnet_workplace *place = binnet_plan(planner, 1, sizeof *place);
    binnet_workplace w = {.flat_stride = needs->flat, .turned_bytes = needs->turned};
    w.flat[0] = binnet_plan(planner, net->batch_size, needs->flat);
    if (net->method.dropout) w.flat[1] = binnet_plan(planner, net->batch_size, needs->flat);
    w.turned = binnet_plan(planner, planes, needs->turned);
    w.unpooled = binnet_plan(planner, 1, needs->unpooled);
    w.patches = binnet_plan(planner, 1, needs->patches);
    w.gradient = binnet_plan(planner, 1, needs->gradient);
    if (!place) return; /* only measured */
    *place = w;
    net->workplace = place;
}
#endif
