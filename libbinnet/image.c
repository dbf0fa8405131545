/* Convolutions as products: every position of an image is a row of what its filters reach, a patch,
 * made where it is used (docs/algorithm.md, section 12).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#if BINNET_CONVOLUTIONS
/* ---- Shapes -------------------------------------------------------------------------------- */

enum { MOST_SUMMANDS = 65536 }; /* of int32 sums, of at most 255 each */

/* Outputs along a height or width, and how many of a kernel's rows stand before the first. */
static uint32_t outputs(uint32_t size, uint32_t kernel, uint32_t stride, int valid,
                        uint32_t *before) {
    *before = 0;
    if (valid) return (size - kernel) / stride + 1;
    const uint32_t n = binnet_blocks(size, stride), reach = (n - 1) * stride + kernel;
    if (reach > size) *before = (reach - size) / 2;
    return n;
}

static binnet_status convolve_shape(binnet_shape *shape, const binnet_layer *layer) {
    const uint32_t kernel = layer->kernel_size, stride = layer->stride ? layer->stride : 1;
    const uint32_t pool = layer->pool ? layer->pool : 1, channels = shape->units;
    const int valid = layer->padding == BINNET_VALID;
    binnet_image *image = &shape->image;
    if (!kernel || kernel > BINNET_MAX_KERNEL_SIZE || kernel > shape->height ||
        kernel > shape->width || stride > BINNET_MAX_KERNEL_SIZE || layer->padding > BINNET_VALID ||
        pool > BINNET_MAX_POOL)
        return BINNET_ERR_ARGUMENT;
    image->height = shape->height;
    image->width = shape->width;
    image->channels = channels;
    image->kernel = kernel;
    image->stride = stride;
    image->pool = pool;
    image->out_height = outputs(image->height, kernel, stride, valid, &image->top) / pool;
    image->out_width = outputs(image->width, kernel, stride, valid, &image->left) / pool;
    if (!image->out_height || !image->out_width) return BINNET_ERR_ARGUMENT;
    const uint32_t most = MOST_SUMMANDS / (kernel * kernel);
    if (channels > most || layer->units > most) return BINNET_ERR_LIMIT;
    if (layer->units > BINNET_MAX_OUTPUTS / binnet_positions(image)) return BINNET_ERR_LIMIT;
    shape->fan_in = binnet_window(image);
    shape->height = image->out_height;
    shape->width = image->out_width;
    shape->positions = binnet_positions(image);
    return BINNET_OK;
}

/* Kind, kernel size, stride, padding and pool in bits 0, 8, 16, 23 and 24. */
uint32_t binnet_put_kind(const binnet_layer *layer) {
    if (layer->kind != BINNET_CONV2D) return layer->kind;
    return layer->kind | layer->kernel_size << 8 | (layer->stride ? layer->stride : 1) << 16 |
           layer->padding << 23 | (layer->pool ? layer->pool : 1) << 24;
}

binnet_layer binnet_get_kind(uint32_t kind, uint32_t units) {
    binnet_layer layer = {.kind = kind, .units = units};
    if ((kind & 255u) != BINNET_CONV2D) return layer;
    layer.kind = BINNET_CONV2D;
    layer.kernel_size = kind >> 8 & 255u;
    layer.stride = kind >> 16 & 127u;
    layer.padding = kind >> 23 & 1u;
    layer.pool = kind >> 24;
    return layer;
}

/* ---- Bits ---------------------------------------------------------------------------------- */

void binnet_put_bits(uint8_t *to, size_t at, const uint8_t *from, size_t n) {
    const unsigned shift = at & 7;
    const size_t n_bytes = (n + 7) / 8;
    to += at >> 3;
    if (!shift) {
        memcpy(to, from, n_bytes);
        return;
    }
    for (size_t i = 0; i < n_bytes; ++i) {
        to[i] = (uint8_t)(to[i] | from[i] << shift);
        /* The rest is in the next byte, if there is one. */
        if (shift + (n - 8 * i < 8 ? n - 8 * i : 8) > 8)
            to[i + 1] = (uint8_t)(from[i] >> (8 - shift));
    }
}

void binnet_get_bits(uint8_t *to, const uint8_t *from, size_t at, size_t n) {
    const unsigned shift = at & 7, used = n & 7;
    const size_t n_bytes = (n + 7) / 8;
    from += at >> 3;
    for (size_t i = 0; i < n_bytes; ++i) {
        unsigned byte = from[i] >> shift;
        if (shift && 8 * i + 8 - shift < n) byte |= (unsigned)from[i + 1] << (8 - shift);
        to[i] = (uint8_t)byte;
    }
    if (used) to[n_bytes - 1] = (uint8_t)(to[n_bytes - 1] & ((1u << used) - 1u));
}

void binnet_flatten(uint8_t *to, const uint8_t *pixels, uint32_t channels, uint32_t n_pixels) {
    const size_t pixel_bytes = binnet_row_bytes(channels);
    memset(to, 0, binnet_row_bytes((size_t)channels * n_pixels));
    for (size_t i = 0; i < n_pixels; ++i)
        binnet_put_bits(to, i * channels, pixels + i * pixel_bytes, channels);
}

/* ---- Patches ------------------------------------------------------------------------------- */

/* Of the kernel's columns from x on, those inside: [*from, end). */
static uint32_t inside(uint32_t kernel, uint32_t width, int32_t x, uint32_t *from) {
    *from = x < 0 ? binnet_least((uint32_t)-x, kernel) : 0;
    if (x >= (int32_t)width) return *from = 0;
    const uint32_t end = (uint32_t)((int32_t)width - x);
    return end < kernel ? end : kernel;
}

void binnet_take_patch(const binnet_image *image, const uint8_t *pixels, int32_t y, int32_t x,
                       uint8_t *patch) {
    const size_t channels = image->channels, line = image->kernel * channels;
    uint32_t from;
    const uint32_t end = inside(image->kernel, image->width, x, &from);
    for (uint32_t i = 0; i < image->kernel; ++i, patch += line) {
        const int32_t row = y + (int32_t)i;
        if (row < 0 || row >= (int32_t)image->height || from >= end) {
            memset(patch, 0, line);
            continue;
        }
        const size_t first =
            (size_t)row * image->width + (size_t)(x + (int32_t)from); /* of the pixels */
        if (from) memset(patch, 0, from * channels);
        memcpy(patch + from * channels, pixels + first * channels, (end - from) * channels);
        if (end < image->kernel)
            memset(patch + end * channels, 0, (image->kernel - end) * channels);
    }
}

void binnet_take_bits(const binnet_image *image, const uint8_t *pixels, size_t pixel_bytes,
                      int32_t y, int32_t x, uint8_t *patch) {
    const size_t channels = image->channels;
    const int dense = channels == 8 * pixel_bytes; /* pixels are one row of bits */
    uint32_t from;
    const uint32_t end = inside(image->kernel, image->width, x, &from);
    for (uint32_t i = 0; i < image->kernel; ++i) {
        const int32_t row = y + (int32_t)i;
        if (row < 0 || row >= (int32_t)image->height) continue;
        const size_t at = i * image->kernel;
        const uint8_t *line = pixels + ((size_t)row * image->width) * pixel_bytes;
        if (dense && from < end)
            memcpy(patch + (at + from) * pixel_bytes,
                   line + (size_t)(x + (int32_t)from) * pixel_bytes, (end - from) * pixel_bytes);
        for (uint32_t j = from; !dense && j < end; ++j)
            binnet_put_bits(patch, (at + j) * channels,
                            line + (size_t)(x + (int32_t)j) * pixel_bytes, channels);
    }
}

/* ---- Sums ---------------------------------------------------------------------------------- */

enum { ROWS = 16, SIGN_ROWS = 64 };

static int has_signs(const binnet_convolution *c) { return !c->gemm.values; }

static const uint8_t *take_pixels(const void *context, uint32_t image, uint32_t y, uint32_t x,
                                  uint32_t n, uint8_t *buffer) {
    const binnet_convolution *c = context;
    (void)n;
    (void)buffer;
    return c->gemm.values +
           (((size_t)image * c->image->height + y) * c->image->width + x) * c->image->channels;
}

void binnet_plan_convolution(binnet_convolution *c) {
    const binnet_image *image = c->image;
    const binnet_kernels *k = c->gemm.kernels;
    const binnet_lines lines = {.gemm = &c->gemm,
                                .height = image->height,
                                .width = image->width,
                                .channels = image->channels,
                                .kernel = image->kernel,
                                .stride = image->stride,
                                .place_bytes = image->channels / 8,
                                .take = take_pixels,
                                .context = c};
    c->lines = lines;
    c->n_lines = 0;
    /* Only where positions have pixels in common are there tables to share. */
    if (binnet_shares_tables(k) && !has_signs(c) && image->channels % 8 == 0 &&
        image->stride < image->kernel) {
        c->n_lines = image->out_height * image->pool;
        c->n_columns = image->out_width * image->pool;
        binnet_lines_tile(&c->lines, image->pool, &c->n_lines, &c->n_columns);
        c->n_lines /= image->pool;
        c->n_columns /= image->pool;
        return;
    }
    /* Tables without panels make no more than a pool wants: on a microcontroller that is RAM. */
    const uint32_t rows = !binnet_packs(k) ? 1 : has_signs(c) ? SIGN_ROWS : ROWS;
    c->n_positions = (uint32_t)binnet_most(1, rows / (image->pool * image->pool));
}

uint32_t binnet_tile_positions(const binnet_convolution *c) {
    return c->n_lines ? c->n_lines * c->n_columns : c->n_positions;
}

uint32_t binnet_n_tiles(const binnet_convolution *c, uint32_t n_images) {
    const binnet_image *image = c->image;
    if (!c->n_lines) return binnet_blocks(n_images * binnet_positions(image), c->n_positions);
    return n_images * binnet_blocks(image->out_height, c->n_lines) *
           binnet_blocks(image->out_width, c->n_columns);
}

binnet_tile binnet_tile_of(const binnet_convolution *c, uint32_t n_images, uint32_t task) {
    const binnet_image *image = c->image;
    binnet_tile tile = {task * c->n_positions, 0};
    if (!c->n_lines) {
        tile.n = binnet_block(tile.first, n_images * binnet_positions(image), c->n_positions);
        return tile;
    }
    const uint32_t across = binnet_blocks(image->out_width, c->n_columns);
    const uint32_t down = binnet_blocks(image->out_height, c->n_lines);
    const uint32_t x = task % across * c->n_columns, y = task / across % down * c->n_lines;
    tile.first = (task / across / down * image->out_height + y) * image->out_width + x;
    tile.n = binnet_block(y, image->out_height, c->n_lines) *
             binnet_block(x, image->out_width, c->n_columns);
    return tile;
}

size_t binnet_convolution_panels(const binnet_convolution *c) {
    const binnet_kernels *k = c->gemm.kernels;
    if (has_signs(c)) return 0;
    return binnet_area(
        binnet_gemm_planes(&c->gemm),
        binnet_gemm_panels(k, UINT32_MAX, c->gemm.n_columns,
                           c->n_lines ? binnet_lines_depth(&c->lines) : binnet_window(c->image)),
        1);
}

void binnet_convolution_pack(const binnet_convolution *c) {
    if (c->n_lines)
        binnet_lines_pack(&c->lines);
    else if (!has_signs(c))
        binnet_gemm_pack(&c->gemm);
}

/* A patch of values or of signs. */
static size_t patch_bytes(const binnet_convolution *c) {
    const uint32_t n = binnet_window(c->image);
    return has_signs(c) ? binnet_row_bytes(n) : n;
}

typedef struct regions {
    size_t patches, product, end;
} regions;

/* Offsets in a worker's scratch, which begins with sums. */
static regions divide(const binnet_convolution *c) {
    const binnet_kernels *k = c->gemm.kernels;
    const uint32_t pool = c->image->pool, n = binnet_tile_positions(c) * pool * pool;
    binnet_planner planner = {NULL, 0, k->alignment};
    regions r;
    binnet_plan(&planner, n, binnet_padded(k, c->gemm.n_columns) * sizeof(int32_t));
    r.patches = r.product = planner.n_bytes;
    if (c->n_lines) {
        binnet_plan(&planner, 1,
                    binnet_lines_scratch(&c->lines, c->n_lines * pool, c->n_columns * pool));
    } else {
        binnet_plan(&planner, n, patch_bytes(c) << (c->gemm.a.high ? 1 : 0));
        r.product = planner.n_bytes;
        binnet_plan(&planner, 1,
                    has_signs(c) ? binnet_xnor_scratch(k, 0, binnet_window(c->image))
                                 : binnet_gemm_scratch(k, 0));
    }
    r.end = planner.n_bytes;
    return r;
}

size_t binnet_convolution_scratch(const binnet_convolution *c) { return divide(c).end; }

/* The patches of pooled positions [first, first + n), those of a pool one after another. */
static void take_patches(const binnet_convolution *c, uint32_t first, uint32_t n, uint8_t *patch,
                         uint8_t *high) {
    const binnet_image *image = c->image;
    const binnet_gemm *g = &c->gemm;
    const size_t size = patch_bytes(c);
    const uint32_t n_pixels = image->height * image->width, pool = image->pool;
    const int32_t stride = (int32_t)image->stride;
    uint32_t b = first / binnet_positions(image), left = first % binnet_positions(image);
    uint32_t row = left / image->out_width, column = left % image->out_width;
    if (!g->values) memset(patch, 0, n * (size_t)(pool * pool) * size);
    if (high) memset(high, 0, n * (size_t)(pool * pool) * size);
    for (uint32_t i = 0; i < n; ++i) {
        for (uint32_t u = 0; u < pool * pool; ++u, patch += size) {
            const int32_t y = (int32_t)(row * pool + u / pool) * stride - (int32_t)image->top;
            const int32_t x = (int32_t)(column * pool + u % pool) * stride - (int32_t)image->left;
            const size_t pixels = (size_t)b * n_pixels;
            if (g->values) {
                binnet_take_patch(image, g->values + pixels * g->stride, y, x, patch);
                continue;
            }
            binnet_take_bits(image, g->a.low + pixels * g->a.stride, g->a.stride, y, x, patch);
            if (!high) continue;
            binnet_take_bits(image, g->a.high + pixels * g->a.stride, g->a.stride, y, x, high);
            high += size;
        }
        if (++column < image->out_width) continue;
        column = 0;
        if (++row < image->out_height) continue;
        row = 0;
        ++b;
    }
}

static void multiply_patches(const binnet_convolution *c, const binnet_tile *tile, int32_t *sums,
                             uint8_t *scratch, const regions *r) {
    const uint32_t n_rows = tile->n * c->image->pool * c->image->pool;
    uint8_t *patches = scratch + r->patches;
    uint8_t *high = c->gemm.a.high ? patches + n_rows * patch_bytes(c) : NULL;
    binnet_gemm g = c->gemm;
    take_patches(c, tile->first, tile->n, patches, high);
    g.n_rows = n_rows;
    g.sums = sums;
    g.scratch = scratch + r->product;
    g.scratch_bytes = r->end - r->product;
    if (has_signs(c)) {
        g.a.low = patches;
        g.a.high = high;
        g.a.stride = patch_bytes(c);
        binnet_xnor_rows(&g);
    } else {
        g.values = patches;
        g.stride = patch_bytes(c);
        binnet_gemm_rows(&g);
    }
}

void binnet_convolve(const binnet_convolution *c, const binnet_tile *tile, int32_t *pooled,
                     size_t panel_step, uint8_t *scratch) {
    const binnet_image *image = c->image;
    const uint32_t pool = image->pool;
    const regions r = divide(c);
    int32_t *sums = (int32_t *)(void *)scratch;
    uint32_t run = 1;
    if (c->n_lines) {
        const uint32_t x = tile->first % image->out_width, line = tile->first / image->out_width;
        const size_t n_rows = (size_t)tile->n * pool * pool;
        run = binnet_block(x, image->out_width, c->n_columns);
        binnet_lines_sums(
            &c->lines, line / image->out_height,
            (int32_t)(line % image->out_height * pool * image->stride) - (int32_t)image->top,
            (int32_t)(x * pool * image->stride) - (int32_t)image->left, tile->n / run * pool,
            run * pool, pool > 1 ? sums : pooled,
            pool > 1 ? n_rows * c->gemm.kernels->panel_columns : panel_step, scratch + r.patches);
        if (pool == 1) return;
    } else {
        multiply_patches(c, tile, sums, scratch, &r);
    }
    binnet_pool(c, sums, tile->n, run, pooled, panel_step,
                c->origins ? c->origins + tile->first * c->origin_stride : NULL);
}

binnet_status binnet_start_shape(binnet_shape *shape, uint32_t n_features, uint32_t height,
                                 uint32_t width) {
    memset(shape, 0, sizeof *shape);
    shape->units = n_features;
    shape->positions = 1;
    if (!height && !width) return BINNET_OK;
    if (!height || !width) return BINNET_ERR_ARGUMENT;
    if (height > BINNET_MAX_SIZE || width > BINNET_MAX_SIZE) return BINNET_ERR_LIMIT;
    if (n_features % (height * width)) return BINNET_ERR_ARGUMENT;
    shape->height = height;
    shape->width = width;
    shape->positions = height * width;
    shape->units = n_features / shape->positions;
    return BINNET_OK;
}

binnet_status binnet_next_shape(binnet_shape *shape, const binnet_layer *layer) {
    if (!layer->units) return BINNET_ERR_ARGUMENT;
    if (layer->units > BINNET_MAX_UNITS) return BINNET_ERR_LIMIT;
    if (layer->kind == BINNET_CONV2D) {
        const binnet_status status = convolve_shape(shape, layer);
        shape->units = layer->units;
        return status;
    }
    if (shape->units > BINNET_MAX_FEATURES / shape->positions) return BINNET_ERR_LIMIT;
    shape->fan_in = shape->units * shape->positions;
    shape->positions = 1;
    shape->height = shape->width = shape->image.kernel = 0;
    shape->units = layer->units;
    return layer->kind == BINNET_DENSE ? BINNET_OK : BINNET_ERR_ARGUMENT;
}
#endif
